/* SPDX-License-Identifier: Apache-2.0 */
/* Posts that speak to each other in the simulated world: custody, receipts,
 * chunks, relays, refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/log.h"
#include "pki/ossl.h"
#include "proto/decode.h"
#include "tests/nodes.h"

static int
set_up(void **state)
{
	*state = nodes_new(1);
	world_calm();
	return 0;
}

static int
tear_down(void **state)
{
	nodes_free(*state);
	return 0;
}

/* The story's two nodes, with an office at each. */
struct two {
	struct node *gb, *ke;
	struct desk *author, *addressee;
};

static struct two
begin(struct nodes *all)
{
	struct two t = { .gb = nodes_get(all, "gb"), .ke = nodes_get(all, "ke") };

	node_start(t.gb);
	node_start(t.ke);
	t.author = desk_office(t.gb, "gb.ma");
	t.addressee = desk_office(t.ke, "ke.ma");
	nodes_until(t.author->ready && t.addressee->ready);
	return t;
}

static void
test_envelope_arrives_and_its_receipt_comes_home(void **state)
{
	struct two t = begin(*state);
	const struct slip *s;

	desk_offer(t.author, &(struct parcel){ .id = 1 }, 7);
	nodes_until(t.author->taken == 1);
	assert_int_equal(t.author->last_taken, 7);
	nodes_until(t.addressee->envelopes == 1 && t.author->slips == 1);
	s = desk_slip(t.author, CITEX__SLIP_TYPE__SLIP_STORED, 0);
	assert_non_null(s);
	assert_string_equal(s->body->maker, "ke");
	assert_memory_equal(
	    s->body->outer_digest.data, t.addressee->got->envelope.digest, DIGEST_BYTES);
	/* the clock starts by it: both sides hold the same */
	assert_non_null(t.addressee->got->slip.pb);
	assert_memory_equal(s->digest, t.addressee->got->slip.digest, DIGEST_BYTES);
	nodes_run(MINUTE_MS);
	assert_int_equal(t.addressee->envelopes, 1);
	assert_int_equal(t.author->slips, 1);
}

static void
test_duplicate_brings_the_first_receipt_and_nothing_new(void **state)
{
	struct two t = begin(*state);
	const struct parcel parcel = { .id = 1 };
	const struct slip *first, *again;

	desk_offer(t.author, &parcel, 1);
	nodes_until(t.author->slips == 1);
	desk_offer(t.author, &parcel, 2);
	nodes_until(t.author->slips == 2);
	first = desk_slip(t.author, CITEX__SLIP_TYPE__SLIP_STORED, 0);
	again = desk_slip(t.author, CITEX__SLIP_TYPE__SLIP_STORED, 1);
	assert_memory_equal(first->digest, again->digest, DIGEST_BYTES);
	nodes_run(MINUTE_MS);
	assert_int_equal(t.addressee->envelopes, 1);
	assert_int_equal(t.author->taken, 2);
}

static void
test_offices_of_one_node_need_no_network(void **state)
{
	struct nodes *all = *state;
	struct node *gb = nodes_get(all, "gb");
	struct desk *one, *two;

	node_start(gb);
	one = desk_office(gb, "gb.ma");
	two = desk_office(gb, "gb.border-force");
	nodes_until(one->ready && two->ready);
	desk_offer(one, &(struct parcel){ .id = 1, .addressee = "gb.border-force" }, 1);
	nodes_until(two->envelopes == 1 && one->slips == 1);
	assert_string_equal(desk_slip(one, CITEX__SLIP_TYPE__SLIP_STORED, 0)->body->maker, "gb");
}

/* --- attachments --- */

static const struct parcel_part scan = { 1, 40, 1000 };
static const struct parcel with_scan = { .id = 1, .parts = &scan, .part_count = 1 };

static size_t
asked_times(const struct desk *d, uint32_t index)
{
	struct reader r = { buffer_bytes(&d->asked), OK };
	size_t times = 0;

	while (r.left.len > 0)
		times += read_u32(&r) == index;
	return times;
}

static void
test_attachment_travels_whole_before_anything_is_said(void **state)
{
	struct two t = begin(*state);

	t.author->has = &scan;
	t.author->has_count = 1;
	t.author->serves_below = 20;
	desk_offer(t.author, &with_scan, 1);
	nodes_until(t.author->chunks_served == 20);
	nodes_run(30 * SECOND_MS);
	assert_int_equal(t.author->taken, 0);
	assert_int_equal(t.author->slips, 0);
	assert_int_equal(t.addressee->envelopes, 0);
	desk_serve_all(t.author);
	nodes_until(t.author->taken == 1 && t.author->slips == 1);
	assert_int_equal(t.addressee->envelopes, 1);
	nodes_run(MINUTE_MS);
	assert_int_equal(t.addressee->pull_number, 0); /* it pulled all of it */
	for (uint32_t i = 0; i < scan.count; i++)
		assert_int_equal(asked_times(t.author, i), 1);
}

static void
test_transfer_resumes_after_a_crash_where_it_stopped(void **state)
{
	struct two t = begin(*state);
	struct desk *again;
	size_t asked = 0;

	t.author->has = &scan;
	t.author->has_count = 1;
	t.author->serves_below = 25;
	desk_offer(t.author, &with_scan, 1);
	nodes_until(t.author->chunks_served == 25);
	nodes_run(SECOND_MS);
	node_crash(t.gb);
	nodes_until(t.gb->post != NULL);
	again = desk_office(t.gb, "gb.ma");
	nodes_until(again->ready);
	again->has = &scan;
	again->has_count = 1;
	desk_offer(again, &with_scan, 1);
	nodes_until(again->taken == 1 && again->slips == 1);
	for (uint32_t i = 0; i < scan.count; i++) {
		assert_int_equal(asked_times(again, i), i < 25 ? 0 : 1);
		asked += asked_times(again, i);
	}
	assert_int_equal(asked, 15);
}

static void
test_transfer_between_nodes_survives_crashes_of_either(void **state)
{
	struct two t = begin(*state);

	t.author->has = &scan;
	t.author->has_count = 1;
	machine_cut(t.ke->machine, true);
	desk_offer(t.author, &with_scan, 1);
	nodes_until(t.author->taken == 1);
	machine_cut(t.ke->machine, false);
	for (int i = 0; i < 6; i++) {
		nodes_run(700);
		node_crash(i % 2 == 0 ? t.gb : t.ke);
		nodes_until(t.gb->post != NULL && t.ke->post != NULL);
	}
	desk_free(t.author);
	t.author = desk_office(t.gb, "gb.ma");
	desk_free(t.addressee);
	t.addressee = desk_office(t.ke, "ke.ma");
	nodes_until(t.addressee->envelopes == 1 && t.author->slips == 1);
}

static void
test_spoiled_chunk_ends_the_conversation_and_is_not_kept(void **state)
{
	struct two t = begin(*state);
	struct desk *again;

	t.author->has = &scan;
	t.author->has_count = 1;
	t.author->spoils = 5 + 1;
	desk_offer(t.author, &with_scan, 1);
	nodes_until(t.author->closed);
	again = desk_office(t.gb, "gb.ma");
	nodes_until(again->ready);
	again->has = &scan;
	again->has_count = 1;
	desk_offer(again, &with_scan, 1);
	nodes_until(again->slips == 1);
	assert_int_equal(asked_times(again, 5), 1);
}

static void
test_two_envelopes_share_a_part_that_is_pulled_once(void **state)
{
	struct two t = begin(*state);
	struct desk *kws = desk_office(t.ke, "ke.kws");
	const struct parcel other = {
		.id = 2, .addressee = "ke.kws", .parts = &scan, .part_count = 1
	};

	t.author->has = &scan;
	t.author->has_count = 1;
	desk_offer(t.author, &with_scan, 1);
	desk_offer(t.author, &other, 2);
	nodes_until(t.author->slips == 2);
	assert_int_equal(t.author->chunks_served, scan.count);
	assert_int_equal(t.addressee->envelopes, 1);
	assert_int_equal(kws->envelopes, 1);
}

static void
test_chunk_is_served_to_nobody_else(void **state)
{
	struct nodes *all = *state;
	struct two t = begin(all);
	struct desk *stranger = desk_node(t.gb, "secretariat");
	Citex__Frame frame = CITEX__FRAME__INIT;
	Citex__ChunkRequest request = CITEX__CHUNK_REQUEST__INIT;
	uint8_t root[DIGEST_BYTES];

	t.author->has = &scan;
	t.author->has_count = 1;
	t.addressee->silent = true;
	machine_cut(t.ke->machine, true);
	desk_offer(t.author, &with_scan, 1);
	nodes_until(t.author->taken == 1 && stranger->ready);
	parcel_root(&scan, root);
	request.root = pb_of_bytes(BYTES_OF(root));
	frame.body_case = CITEX__FRAME__BODY_CHUNK_REQUEST;
	frame.chunk_request = &request;
	desk_frame(stranger, &frame);
	/* The answer is empty; the session of the stranger, who never asked by its own rules,
	 * takes it for an error. */
	nodes_until(stranger->closed);
	assert_int_equal(stranger->why, ERR_UNEXPECTED);
}

/* --- relays --- */

static void
test_relay_keeps_mail_for_who_dials_in(void **state)
{
	struct nodes *all = *state;
	struct two t = begin(all);
	struct node *relay = nodes_get(all, "secretariat"), *so = nodes_get(all, "so");
	struct desk *office;
	const struct slip *s;

	t.author->has = &scan;
	t.author->has_count = 1;
	node_start(relay);
	desk_offer(t.author,
	    &(struct parcel){ .id = 1, .addressee = "so.ma", .parts = &scan, .part_count = 1 }, 1);
	nodes_until(t.author->slips == 1);
	s = desk_slip(t.author, CITEX__SLIP_TYPE__SLIP_RELAYED, 0);
	assert_non_null(s);
	assert_string_equal(s->body->maker, "secretariat");
	nodes_run(HOUR_MS);
	assert_int_equal(t.author->slips, 1);
	node_crash(relay); /* it is on its disk */
	nodes_until(relay->post != NULL);
	node_start(so);
	office = desk_office(so, "so.ma");
	nodes_until(office->envelopes == 1);
	nodes_until(t.author->slips == 2);
	s = desk_slip(t.author, CITEX__SLIP_TYPE__SLIP_STORED, 0);
	assert_string_equal(s->body->maker, "so");
}

static void
test_who_cannot_be_reached_sends_through_its_relay(void **state)
{
	struct nodes *all = *state;
	struct two t = begin(all);
	struct node *relay = nodes_get(all, "secretariat"), *so = nodes_get(all, "so");
	struct desk *office;

	node_start(relay);
	node_start(so);
	office = desk_office(so, "so.ma");
	nodes_until(office->ready && peers_conn(so->post, "secretariat") != NULL);
	desk_offer(office, &(struct parcel){ .id = 1, .author = "so.ma", .addressee = "ke.ma" }, 1);
	nodes_until(t.addressee->envelopes == 1);
	nodes_until(office->slips == 1);
	assert_string_equal(desk_slip(office, CITEX__SLIP_TYPE__SLIP_STORED, 0)->body->maker, "ke");
	assert_null(peers_conn(so->post, "ke"));
}

static void
test_own_relay_silent_means_dialling_past_it(void **state)
{
	struct nodes *all = *state;
	struct two t = begin(all);
	struct node *so = nodes_get(all, "so");
	struct desk *office;

	node_start(so); /* the relay is down */
	office = desk_office(so, "so.ma");
	nodes_until(office->ready);
	desk_offer(office, &(struct parcel){ .id = 1, .author = "so.ma", .addressee = "ke.ma" }, 1);
	nodes_until(t.addressee->envelopes == 1 && office->slips == 1);
}

static void
test_relay_that_lost_its_disk_is_refilled(void **state)
{
	struct nodes *all = *state;
	struct two t = begin(all);
	struct node *relay = nodes_get(all, "secretariat"), *so = nodes_get(all, "so");
	const struct parcel parcel = { .id = 1, .addressee = "so.ma" };
	struct desk *office;

	node_start(relay);
	desk_offer(t.author, &parcel, 1);
	nodes_until(t.author->slips == 1);
	/* What the relay had is gone; the author offers again. */
	node_start(so);
	machine_cut(so->machine, true);
	desk_offer(t.author, &parcel, 2);
	nodes_until(t.author->slips == 2);
	machine_cut(so->machine, false);
	office = desk_office(so, "so.ma");
	nodes_until(office->envelopes == 1);
	nodes_until(t.author->slips >= 3);
	nodes_run(MINUTE_MS);
	assert_int_equal(office->envelopes, 1);
}

/* --- who may not --- */

static size_t
mail_in(struct node *n, const char *lane)
{
	struct lane *l = queue_find(n->post->queue, lane);

	return l != NULL ? (size_t)(lane_count(l, LANE_URGENT) + lane_count(l, LANE_ROUTINE)) : 0;
}

static void
test_node_offers_what_another_node_s_authority_wrote(void **state)
{
	struct nodes *all = *state;
	struct node *ke = nodes_get(all, "ke");
	struct desk *impostor;

	node_start(ke);
	impostor = desk_node(ke, "secretariat");
	nodes_until(impostor->ready);
	desk_offer(impostor, &(struct parcel){ .id = 1 }, 1); /* gb.ma's */
	nodes_until(impostor->laters == 1);
	assert_int_equal(impostor->last_later, ERR_IDENTITY);
	assert_int_equal(mail_in(ke, "oke.ma"), 0);
	assert_int_equal(impostor->slips, 0); /* no refusal that would end gb's message */
}

static void
test_office_that_speaks_for_another_is_put_out(void **state)
{
	struct two t = begin(*state);

	desk_offer(t.author, &(struct parcel){ .id = 1, .author = "gb.border-force" }, 1);
	nodes_until(t.author->closed);
	assert_int_equal(mail_in(t.gb, "nke"), 0);
}

static void
test_wrong_stamp_is_refused_and_its_author_told(void **state)
{
	struct two t = begin(*state);
	const struct slip *s;

	desk_offer(t.author, &(struct parcel){ .id = 1, .stamper = "ke.ma" }, 1);
	nodes_until(t.author->slips == 1);
	s = desk_slip(t.author, CITEX__SLIP_TYPE__SLIP_REFUSED, 0);
	assert_string_equal(s->body->reason, "identity");
	assert_int_equal(t.author->taken, 1);
	assert_int_equal(mail_in(t.gb, "nke"), 0);
	/* With the right stamp it is another matter. */
	desk_offer(t.author, &(struct parcel){ .id = 1 }, 2);
	nodes_until(t.addressee->envelopes == 1);
}

static void
test_what_is_not_for_us_is_refused(void **state)
{
	struct nodes *all = *state;
	struct node *ke = nodes_get(all, "ke");
	struct desk *gb;
	const struct slip *s;

	node_start(ke);
	gb = desk_node(ke, "gb");
	nodes_until(gb->ready);
	desk_offer(gb, &(struct parcel){ .id = 1, .addressee = "secretariat" }, 1);
	nodes_until(gb->slips == 1);
	s = desk_slip(gb, CITEX__SLIP_TYPE__SLIP_REFUSED, 0);
	assert_string_equal(s->body->reason, "denied");
	assert_string_equal(s->body->maker, "ke");
	assert_int_equal(mail_in(ke, "nsecretariat"), 0);
}

static void
test_one_id_for_two_envelopes_is_refused_with_an_alarm(void **state)
{
	struct two t = begin(*state);
	const struct slip *s;

	desk_offer(t.author, &(struct parcel){ .id = 1 }, 1);
	nodes_until(t.author->slips == 1);
	desk_offer(t.author, &(struct parcel){ .id = 1, .sequence = 2 }, 2);
	nodes_until(t.author->slips == 2);
	s = desk_slip(t.author, CITEX__SLIP_TYPE__SLIP_REFUSED, 0);
	assert_string_equal(s->body->reason, "conflict");
	assert_non_null(strstr(t.gb->alarms, "conflict"));
	nodes_run(MINUTE_MS);
	assert_int_equal(t.addressee->envelopes, 1);
}

/* Only the others know what they have to offer it again. */
static void
test_restored_node_calls_everybody_and_they_tell_their_offices(void **state)
{
	struct nodes *all = *state;
	struct node *secretariat = nodes_get(all, "secretariat");
	struct two t = begin(all);
	struct desk *office;

	node_start(secretariat);
	office = desk_office(secretariat, "secretariat");
	desk_offer(t.author, &(struct parcel){ .id = 1 }, 1);
	nodes_until(t.author->slips == 1 && office->ready);
	assert_string_equal(t.author->spools, "ke ");
	node_crash(t.ke);
	nodes_run(5 * MINUTE_MS);
	assert_string_equal(t.author->spools, "ke "); /* it has what it had */
	t.ke->is_restored = true;
	node_crash(t.ke);
	nodes_until(strcmp(t.author->spools, "ke ke ") == 0);
	nodes_until(strcmp(office->spools, "ke ") == 0);
	node_crash(t.ke); /* who has heard of it is not called again */
	nodes_run(5 * MINUTE_MS);
	assert_string_equal(t.author->spools, "ke ke ");
	assert_null(peers_conn(t.gb->post, "ke"));
}

/* Who can't be reached is heard of through the relay, and hears of the others through it. */
static void
test_relay_tells_of_spools(void **state)
{
	struct nodes *all = *state;
	struct node *secretariat = nodes_get(all, "secretariat"), *gb = nodes_get(all, "gb");
	struct desk *so, *ke, *office;

	node_start(secretariat);
	node_start(gb);
	office = desk_office(gb, "gb.ma");
	nodes_until(office->ready);
	desk_offer(office, &(struct parcel){ .id = 1, .addressee = "so.ma" }, 1);
	nodes_until(office->slips == 1);
	assert_string_equal(office->spools, "secretariat ");
	so = desk_node(secretariat, "so");
	nodes_until(strcmp(office->spools, "secretariat so ") == 0);
	assert_string_equal(so->spools, "gb ");
	ke = desk_node(secretariat, "ke");
	nodes_until(ke->ready);
	nodes_run(SECOND_MS);
	assert_string_equal(ke->spools, "so "); /* it can ask gb itself */
	assert_string_equal(so->spools, "gb ke ");
}

static void
test_spool_is_believed_of_a_relay_only(void **state)
{
	static const char *const names[] = { "so", "secretariat", "gb", "ke", "xx" };
	struct node *gb = nodes_get(*state, "gb");
	struct desk *office, *ke;

	node_start(gb);
	office = desk_office(gb, "gb.ma");
	ke = desk_node(gb, "ke");
	nodes_until(office->ready && ke->ready);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		Citex__Frame f = CITEX__FRAME__INIT;
		Citex__Spool s = CITEX__SPOOL__INIT;
		s.node = (char *)(uintptr_t)names[i];
		s.incarnation = pb_of_bytes(bytes_str("12345678"));
		f.body_case = CITEX__FRAME__BODY_SPOOL;
		f.spool = &s;
		desk_frame(ke, &f);
	}
	nodes_run(SECOND_MS);
	assert_string_equal(office->spools, "ke ");
	assert_false(ke->closed);
}

static void
test_unknown_author_is_put_off_and_asked_about(void **state)
{
	struct nodes *all = *state;
	struct node *gb = nodes_get(all, "gb"), *ke = nodes_get(all, "ke");
	struct desk *office, *fr;

	/* fr.ma joins in directory 2, which gb has and ke has not. */
	fixture_add_party(all->fixture, "fr", "fr.ma", "management");
	gb->given = fixture_publish(all->fixture);
	node_start(ke);
	office = desk_office(ke, "ke.ma");
	nodes_until(office->ready);
	assert_int_equal(post_directory_number(ke->post), 1);
	fr = desk_node(ke, "gb");
	nodes_until(fr->ready);
	desk_offer(fr, &(struct parcel){ .id = 1, .author = "fr.ma" }, 1);
	nodes_until(fr->laters == 1);
	assert_int_equal(fr->last_later, ERR_UNKNOWN_AUTHORITY);
	assert_int_equal(mail_in(ke, "oke.ma"), 0);
	nodes_until(fr->progress != NULL &&
	    fr->progress->body_case == CITEX__FRAME__BODY_DIRECTORY_REQUEST);
}

static void
test_lifetime_longer_than_anybody_may_is_put_off(void **state)
{
	struct two t = begin(*state);
	struct parcel p = { .id = 1 };

	/* what travels for some milliseconds is a little nearer to its end */
	p.expires_ms = world_now().utc_ms + EXPIRES_AHEAD_MAX_MS;
	p.created_ms = p.expires_ms - LIFETIME_MAX_MS;
	desk_offer(t.author, &p, 1);
	nodes_until(t.author->taken == 1);
	p.id = 2;
	p.expires_ms = world_now().utc_ms + EXPIRES_AHEAD_MAX_MS + SECOND_MS;
	p.created_ms = p.expires_ms - LIFETIME_MAX_MS;
	desk_offer(t.author, &p, 2);
	nodes_until(t.author->laters == 1);
	assert_int_equal(t.author->last_later, ERR_LATER);
}

static void
test_garbage_ends_its_sender_and_nobody_else(void **state)
{
	struct nodes *all = *state;
	struct two t = begin(all);
	struct desk *gb = desk_node(t.ke, "secretariat");

	nodes_until(gb->ready);
	desk_offer_bytes(gb, EVENT_OFFER_ENVELOPE,
	    bytes_str("\x0a\x03"
		      "abc"),
	    1);
	nodes_until(gb->closed);
	desk_offer(t.author, &(struct parcel){ .id = 1 }, 1);
	nodes_until(t.addressee->envelopes == 1);
}

static void
test_hello_under_another_name_is_put_out(void **state)
{
	struct nodes *all = *state;
	struct node *ke = nodes_get(all, "ke");
	struct desk *gb;

	node_start(ke);
	gb = desk_node(ke, "gb");
	memcpy(gb->self.node, "secretariat", sizeof("secretariat"));
	nodes_until(gb->closed);
	assert_null(peers_conn(ke->post, "gb"));
	assert_null(peers_conn(ke->post, "secretariat"));
}

/* --- when it is full, or late --- */

static void
test_queue_takes_its_limit_and_no_more(void **state)
{
	struct nodes *all = *state;
	struct node *gb = nodes_get(all, "gb");
	struct desk *office;

	gb->config.queue_peer_max = 3;
	node_start(gb); /* ke is down */
	office = desk_office(gb, "gb.ma");
	nodes_until(office->ready);
	for (uint8_t i = 1; i <= 3; i++)
		desk_offer(office, &(struct parcel){ .id = i }, i);
	nodes_until(office->taken == 3);
	desk_offer(office, &(struct parcel){ .id = 4 }, 4);
	nodes_until(office->laters == 1);
	assert_int_equal(office->last_later, ERR_QUEUE_FULL);
	assert_int_equal(mail_in(gb, "nke"), 3);
}

/* Who configures nothing has the limit itself; slips do not count. */
static void
test_queue_of_the_default_size_takes_its_limit_and_no_more(void **state)
{
	struct node *gb = nodes_get(*state, "gb");
	struct desk *office;
	struct lane *l;

	node_start(gb); /* ke is down */
	office = desk_office(gb, "gb.ma");
	nodes_until(office->ready);
	assert_int_equal(gb->post->config.queue_peer_max, 0);
	l = queue_lane(gb->post->queue, "nke");
	lane_set_count(l, LANE_SLIPS, QUEUE_PEER_MAX_ENVELOPES);
	lane_set_count(l, LANE_ROUTINE, QUEUE_PEER_MAX_ENVELOPES - 2);
	desk_offer(office, &(struct parcel){ .id = 1, .urgent = true }, 1);
	nodes_until(office->taken == 1);
	desk_offer(office, &(struct parcel){ .id = 2 }, 2);
	nodes_until(office->taken == 2);
	desk_offer(office, &(struct parcel){ .id = 3 }, 3);
	nodes_until(office->laters == 1);
	assert_int_equal(office->last_later, ERR_QUEUE_FULL);
}

static void
test_urgent_goes_before_routine_and_slips_before_both(void **state)
{
	struct nodes *all = *state;
	struct node *gb = nodes_get(all, "gb"), *ke = nodes_get(all, "ke");
	struct desk *office, *addressee;
	uint8_t order[6];
	size_t count = 0;

	node_start(gb);
	office = desk_office(gb, "gb.ma");
	nodes_until(office->ready);
	for (uint8_t i = 1; i <= 6; i++)
		desk_offer(office, &(struct parcel){ .id = i, .urgent = i > 4 }, i);
	nodes_until(office->taken == 6);
	node_start(ke);
	nodes_until(mail_in(ke, "oke.ma") == 6);
	addressee = desk_office(ke, "ke.ma");
	nodes_until(addressee->envelopes == 6);
	for (struct received *r = addressee->got; r != NULL; r = r->next)
		order[count++] = r->envelope.id.at[0];
	assert_memory_equal(order, ((uint8_t[]){ 5, 6, 1, 2, 3, 4 }), 6);
}

static void
test_retries_grow_and_end_at_a_sign_of_life(void **state)
{
	struct nodes *all = *state;
	struct node *gb = nodes_get(all, "gb"), *ke = nodes_get(all, "ke");
	struct desk *office;
	const struct retry *r;
	const char *words, *hop;

	node_start(gb);
	office = desk_office(gb, "gb.ma");
	nodes_until(office->ready);
	desk_offer(office, &(struct parcel){ .id = 1 }, 1);
	nodes_until(office->taken == 1);
	nodes_run(HOUR_MS);
	r = peers_retry(gb->post, "ke", &words, &hop);
	assert_string_equal(hop, "ke");
	assert_int_equal(r->why, ERR_UNREACHABLE);
	assert_in_range(
	    r->attempts, 10, 14); /* 1 s doubling to 15 min: 2047 s until the eleventh */
	assert_true(r->next_ms > world_now().mono_ms);
	/* The officer's side knows when the next try is. */
	assert_int_equal(office->progress->body_case, CITEX__FRAME__BODY_PROGRESS);
	assert_string_equal(office->progress->progress->reason, "unreachable");
	assert_int_equal(office->progress->progress->next_try, (uint64_t)r->next_utc_ms);
	assert_string_equal(office->progress->progress->node, "ke");
	/* ke dials us for a reason of its own: no waiting then. */
	node_start(ke);
	{
		struct desk *theirs = desk_office(ke, "ke.ma");
		nodes_until(theirs->ready);
		desk_offer(theirs,
		    &(struct parcel){ .id = 9, .author = "ke.ma", .addressee = "gb.ma" }, 1);
		int64_t before_ms = world_now().mono_ms;
		nodes_until(theirs->envelopes == 1);
		assert_true(world_now().mono_ms - before_ms < 5 * SECOND_MS);
	}
}

static void
test_expired_comes_home_as_a_slip(void **state)
{
	struct nodes *all = *state;
	struct node *gb = nodes_get(all, "gb"), *ke = nodes_get(all, "ke");
	struct desk *office, *addressee;
	const struct slip *s;

	node_start(gb);
	office = desk_office(gb, "gb.ma");
	nodes_until(office->ready);
	desk_offer(
	    office, &(struct parcel){ .id = 1, .expires_ms = FIXTURE_NOW_MS + 2 * MINUTE_MS }, 1);
	nodes_until(office->taken == 1);
	nodes_run(90 * SECOND_MS);
	assert_int_equal(office->slips, 0);
	nodes_until(office->slips == 1);
	s = desk_slip(office, CITEX__SLIP_TYPE__SLIP_EXPIRED, 0);
	assert_string_equal(s->body->maker, "gb");
	assert_string_equal(s->body->reason, "expired");
	assert_int_equal(mail_in(gb, "nke"), 0);
	node_start(ke);
	addressee = desk_office(ke, "ke.ma");
	nodes_run(20 * MINUTE_MS);
	assert_int_equal(addressee->envelopes, 0);
}

/* Offered with an attachment, and no chunk of it ever given. */
static void
test_what_never_became_whole_expires_in_each_lane(void **state)
{
	static const struct parcel_part big = { 7, 20, 100 };
	struct nodes *all = *state;
	struct node *ke = nodes_get(all, "ke");
	const struct parcel one = { .id = 8,
		.parts = &big,
		.part_count = 1,
		.created_ms = MAIL_CREATED_MS,
		.expires_ms = FIXTURE_NOW_MS + 2 * HOUR_MS };
	struct desk *author;
	struct spool_place at;
	struct envelope e;

	node_start(ke);
	(void)desk_office(ke, "ke.ma");
	author = desk_node(ke, "gb");
	nodes_until(author->ready);
	parcel_envelope(all->fixture, &one, &e);
	desk_offer(author, &one, 1);
	nodes_run(60 * SECOND_MS);
	assert_int_equal(spool_place(ke->post->spool, e.id, e.digest, &at), ERR_NOT_YET);
	nodes_run(4 * HOUR_MS);
	assert_int_equal(spool_place(ke->post->spool, e.id, e.digest, &at), ERR_NOT_FOUND);
	envelope_release(&e);
}

static void
test_nothing_expires_while_the_clock_has_jumped(void **state)
{
	struct nodes *all = *state;
	struct node *gb = nodes_get(all, "gb"), *ke = nodes_get(all, "ke");
	struct desk *office, *addressee;

	node_start(gb);
	office = desk_office(gb, "gb.ma");
	nodes_until(office->ready);
	desk_offer(office, &(struct parcel){ .id = 1 }, 1);
	nodes_until(office->taken == 1);
	machine_clock_jump(gb->machine, 60 * DAY_MS);
	nodes_run(5 * MINUTE_MS);
	assert_int_equal(office->slips, 0);
	assert_int_equal(mail_in(gb, "nke"), 1);
	assert_non_null(strstr(gb->alarms, "clock-jump"));
	/* Nor is what comes with a sane clock's lifetime turned away. */
	desk_offer(office, &(struct parcel){ .id = 2 }, 2);
	nodes_until(office->laters == 1);
	machine_clock_jump(gb->machine, -60 * DAY_MS);
	node_start(ke);
	addressee = desk_office(ke, "ke.ma");
	nodes_until(addressee->envelopes == 1);
}

/* An envelope past its end is offered: whether it is judged, or put off. */
static void
expect_judged(struct desk *d, uint8_t id, bool judged)
{
	size_t taken = d->taken, laters = d->laters;

	desk_offer(d,
	    &(struct parcel){ .id = id,
		.created_ms = FIXTURE_NOW_MS - 2 * DAY_MS,
		.expires_ms = FIXTURE_NOW_MS - DAY_MS },
	    id);
	nodes_until(d->taken + d->laters > taken + laters);
	assert_int_equal(d->taken - taken, judged ? 1 : 0);
}

static void
test_clock_may_be_off_by_its_limit_and_no_more(void **state)
{
	static const struct {
		int64_t off_ms;
		bool sane;
	} rows[] = {
		{ CLOCK_JUMP_MS, true },
		{ CLOCK_JUMP_MS + 1, false },
		{ -CLOCK_JUMP_MS, true },
		{ -CLOCK_JUMP_MS - 1, false },
	};
	struct node *gb = nodes_get(*state, "gb");
	struct desk *office;
	uint8_t id = 1;

	node_start(gb);
	office = desk_office(gb, "gb.ma");
	nodes_until(office->ready);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		machine_clock_jump(gb->machine, rows[i].off_ms); /* ours */
		expect_judged(office, id++, rows[i].sane);
		machine_clock_jump(gb->machine, -rows[i].off_ms);
		expect_judged(office, id++, true);
		assert_null(gb->post->conns->next);
		gb->post->conns->clock_off_ms = rows[i].off_ms; /* theirs */
		expect_judged(office, id++, rows[i].sane);
		gb->post->conns->clock_off_ms = 0;
	}
}

static void
test_full_store_puts_off_and_hands_on(void **state)
{
	struct nodes *all = *state;
	struct two t = begin(all);
	static const struct parcel_part big = { 1, 1000, 1000 }; /* 62 of 64 MiB */
	const struct parcel parcel = { .id = 1, .parts = &big, .part_count = 1 };

	t.author->has = &big;
	t.author->has_count = 1;
	desk_offer(t.author, &parcel, 1);
	nodes_until(t.author->laters == 1);
	assert_int_equal(t.author->last_later, ERR_STORE_FULL);
	assert_non_null(strstr(t.gb->alarms, "store-low"));
	assert_int_equal(t.author->taken, 0);
	/* Small ones, too; but slips go through. */
	desk_offer(t.author, &(struct parcel){ .id = 2 }, 2);
	nodes_until(t.author->laters == 2);
}

/* --- slips --- */

static void
test_forged_slip_goes_nowhere(void **state)
{
	struct nodes *all = *state;
	struct two t = begin(all);
	CLEANUP(buffer_release) struct buffer packed = { 0 };
	struct slip_draft d = { .type = CITEX__SLIP_TYPE__SLIP_STORED,
		.to = "gb.ma",
		.maker = "ke", /* says it is ke's, signs with secretariat's */
		.time_ms = FIXTURE_NOW_MS,
		.directory = 1 };
	struct desk *liar = desk_node(t.gb, "secretariat");

	nodes_until(liar->ready);
	memset(d.envelope_id.at, 1, ID_BYTES);
	assert_int_equal(
	    slips_make(fixture_key(all->fixture, "secretariat", USE_RECEIPTS), &d, 1, &packed), OK);
	desk_offer_bytes(liar, EVENT_OFFER_SLIP, buffer_bytes(&packed), 1);
	nodes_until(liar->taken == 1); /* it is rid of it */
	nodes_run(MINUTE_MS);
	assert_int_equal(t.author->slips, 0);
}

static void
test_a_stranger_s_refusal_ends_nothing(void **state)
{
	struct nodes *all = *state;
	struct node *gb = nodes_get(all, "gb");
	struct desk *office, *stranger;
	const struct parcel parcel = { .id = 1 };
	CLEANUP(buffer_release) struct buffer packed = { 0 };
	struct envelope e;
	struct slip_draft d = { .type = CITEX__SLIP_TYPE__SLIP_REFUSED,
		.maker = "secretariat",
		.time_ms = FIXTURE_NOW_MS,
		.reason = ERR_DENIED,
		.directory = 1 };

	node_start(gb);
	office = desk_office(gb, "gb.ma");
	stranger = desk_node(gb, "secretariat");
	nodes_until(office->ready && stranger->ready);
	desk_offer(office, &parcel, 1);
	nodes_until(office->taken == 1);
	parcel_envelope(all->fixture, &parcel, &e);
	d.about = &e;
	assert_int_equal(
	    slips_make(fixture_key(all->fixture, "secretariat", USE_RECEIPTS), &d, 1, &packed), OK);
	envelope_release(&e);
	desk_offer_bytes(stranger, EVENT_OFFER_SLIP, buffer_bytes(&packed), 1);
	nodes_until(stranger->taken == 1);
	assert_int_equal(mail_in(gb, "nke"), 1);
}

/* --- the directory --- */

static void
test_newer_directory_spreads_to_nodes_and_offices(void **state)
{
	struct nodes *all = *state;
	struct two t = begin(all);

	desk_offer(t.author, &(struct parcel){ .id = 1 }, 1);
	nodes_until(t.addressee->envelopes == 1);
	fixture_add_party(all->fixture, "fr", "fr.ma", "management");
	{
		struct directory *d = fixture_publish(all->fixture);
		assert_int_equal(post_directory_offered(
				     t.gb->post, directory_signed_head(d), directory_contents(d)),
		    OK);
	}
	nodes_until(post_directory_number(t.gb->post) == 2);
	nodes_until(post_directory_number(t.ke->post) == 2);
	nodes_until(t.addressee->their_directory == 2);
	/* It stays so after a crash, though the file on the disk is the old one. */
	node_crash(t.ke);
	nodes_until(t.ke->post != NULL);
	assert_int_equal(post_directory_number(t.ke->post), 2);
	/* Nobody goes back. */
	assert_int_equal(post_directory_offered(t.ke->post, directory_signed_head(all->first),
			     directory_contents(all->first)),
	    OK);
	nodes_run(MINUTE_MS);
	assert_int_equal(post_directory_number(t.ke->post), 2);
}

static void
test_two_heads_with_one_number_freeze_both_and_mail_goes_on(void **state)
{
	struct nodes *all = *state;
	struct node *gb = nodes_get(all, "gb"), *ke = nodes_get(all, "ke");
	struct desk *author, *addressee;
	Citex__SignedHead *head;
	struct buffer contents = { 0 };
	struct directory *other = NULL, *second;
	char why[200];

	fixture_add_party(all->fixture, "fr", "fr.ma", "management");
	second = directory_ref(fixture_publish(all->fixture));
	fixture_make(
	    all->fixture, 2, directory_head_digest(all->first), NULL, NULL, &head, &contents);
	assert_int_equal(
	    directory_build(all->first, NULL, head, buffer_bytes(&contents), &other, why), OK);
	gb->given = second;
	ke->given = other;
	node_start(gb);
	node_start(ke);
	author = desk_office(gb, "gb.ma");
	addressee = desk_office(ke, "ke.ma");
	nodes_until(author->ready && addressee->ready);
	desk_offer(author, &(struct parcel){ .id = 1 }, 1);
	nodes_until(addressee->envelopes == 1 && author->slips == 1);
	nodes_until(strstr(gb->alarms, "split-view") != NULL);
	nodes_until(strstr(ke->alarms, "split-view") != NULL);
	assert_int_equal(post_directory_number(gb->post), 2);
	{
		uint64_t frozen;
		assert_int_equal(spool_frozen(gb->post->spool, &frozen), OK);
		assert_int_equal(frozen, 2);
	}
	node_crash(gb);
	node_crash(ke);
	nodes_until(gb->post != NULL && ke->post != NULL);
	directory_free(second);
	directory_free(other);
	proto_free(&head->base);
	buffer_release(&contents);
}

/* Nobody has anything to say to anybody; who was away hears of it all the same. */
static void
test_newer_directory_is_found_without_any_mail(void **state)
{
	struct nodes *all = *state;
	struct node *gb = nodes_get(all, "gb"), *ke = nodes_get(all, "ke");

	fixture_add_party(all->fixture, "fr", "fr.ma", "management");
	gb->given = fixture_publish(all->fixture);
	node_start(gb);
	node_start(ke);
	nodes_run(DIRECTORY_ASK_MS - MINUTE_MS);
	assert_int_equal(post_directory_number(ke->post), 1);
	nodes_run(4 * DIRECTORY_ASK_MS);
	assert_int_equal(post_directory_number(ke->post), 2);
}

static bool
was_asked_for_heads(const struct desk *d)
{
	return d->progress != NULL &&
	    d->progress->body_case == CITEX__FRAME__BODY_DIRECTORY_REQUEST;
}

static void
test_directory_is_asked_for_once_an_hour(void **state)
{
	struct node *ke = nodes_get(*state, "ke");
	int64_t start_ms;
	struct desk *gb;

	node_start(ke);
	start_ms = world_now().mono_ms;
	gb = desk_node(ke, "gb");
	nodes_until(gb->ready);
	nodes_run(start_ms + DIRECTORY_ASK_MS - SECOND_MS - world_now().mono_ms);
	assert_false(was_asked_for_heads(gb));
	nodes_run(11 * SECOND_MS); /* it looks every 5 s */
	assert_true(was_asked_for_heads(gb));
}

static void
test_revoked_node_is_put_out_when_the_directory_comes(void **state)
{
	struct nodes *all = *state;
	struct two t = begin(all);
	struct directory *d;

	desk_offer(t.author, &(struct parcel){ .id = 1 }, 1);
	nodes_until(t.addressee->envelopes == 1 && peers_conn(t.ke->post, "gb") != NULL);
	fixture_revoke(all->fixture, "gb", USE_TLS, world_now().utc_ms);
	d = fixture_publish(all->fixture);
	assert_int_equal(
	    post_directory_offered(t.ke->post, directory_signed_head(d), directory_contents(d)),
	    OK);
	nodes_until(post_directory_number(t.ke->post) == 2);
	nodes_until(peers_conn(t.ke->post, "gb") == NULL);
	desk_offer(t.author, &(struct parcel){ .id = 2 }, 2);
	nodes_run(10 * MINUTE_MS);
	assert_int_equal(t.addressee->envelopes, 1);
}

/* --- conversations --- */

static void
test_two_dials_that_cross_leave_one_conversation(void **state)
{
	struct nodes *all = *state;
	struct two t = begin(all);

	for (int i = 0; i < 5; i++) {
		peers_want(t.gb->post, "ke");
		peers_want(t.ke->post, "gb");
		nodes_until(
		    peers_conn(t.gb->post, "ke") != NULL && peers_conn(t.ke->post, "gb") != NULL);
		nodes_run(5 * SECOND_MS);
		size_t peers = 0;
		for (struct conn *c = t.gb->post->conns; c != NULL; c = c->next)
			peers += c->kind == CONN_PEER;
		assert_int_equal(peers, 1);
		assert_true(peers_conn(t.gb->post, "ke")->dialled); /* gb sorts first */
		conn_close(peers_conn(t.gb->post, "ke"), OK);
		nodes_run(SECOND_MS / 10);
	}
}

static void
test_node_that_lost_the_conversation_is_let_in_again(void **state)
{
	struct nodes *all = *state;
	struct node *ke = nodes_get(all, "ke");
	struct desk *one, *two;

	node_start(ke);
	one = desk_node(ke, "gb");
	nodes_until(one->ready);
	nodes_run(MINUTE_MS);
	two = desk_node(ke, "gb");
	nodes_until(two->ready && one->closed);
	nodes_run(MINUTE_MS);
	assert_false(two->closed);
}

static void
test_half_open_connections_are_bounded(void **state)
{
	struct nodes *all = *state;
	struct node *ke = nodes_get(all, "ke");
	struct conn *many = xalloc_array(PEERS_MAX, sizeof(*many));
	struct conn *was;
	char address[64], prefix[64];

	node_start(ke);
	was = ke->post->conns;
	/* one prefix: at its limit, and one beyond */
	assert_true(peers_may_accept(ke->post, "192.0.2.1:5", prefix));
	for (size_t i = 0; i < PEERS_MAX; i++) {
		many[i].kind = CONN_PEER;
		many[i].next = i + 1 < PEERS_MAX ? &many[i + 1] : NULL;
		memcpy(many[i].prefix, prefix, sizeof(prefix));
	}
	ke->post->conns = &many[PEERS_MAX - (HALF_OPEN_PER_PREFIX_MAX - 1)];
	assert_true(peers_may_accept(ke->post, "192.0.2.99:5", prefix));
	ke->post->conns = &many[PEERS_MAX - HALF_OPEN_PER_PREFIX_MAX];
	assert_false(peers_may_accept(ke->post, "192.0.2.99:5", prefix));
	assert_true(peers_may_accept(ke->post, "192.0.3.99:5", prefix));
	assert_true(peers_may_accept(ke->post, "[2001:db8::1]:5", prefix));
	/* all together */
	for (size_t i = 0; i < PEERS_MAX; i++) {
		snprintf(address, sizeof(address), "10.%zu.%zu.1:5", i / 256, i % 256);
		(void)peers_may_accept(ke->post, address, many[i].prefix);
	}
	ke->post->conns = &many[PEERS_MAX - (HALF_OPEN_MAX - 1)];
	assert_true(peers_may_accept(ke->post, "192.0.3.99:5", prefix));
	ke->post->conns = &many[PEERS_MAX - HALF_OPEN_MAX];
	assert_false(peers_may_accept(ke->post, "192.0.3.99:5", prefix));
	/* those that are open */
	for (size_t i = 0; i < PEERS_MAX; i++)
		many[i].opened = many[i].ready = true;
	ke->post->conns = &many[1];
	assert_true(peers_may_accept(ke->post, "192.0.3.99:5", prefix));
	ke->post->conns = &many[0];
	assert_false(peers_may_accept(ke->post, "192.0.3.99:5", prefix));
	ke->post->conns = was;
	free(many);
}

/* --- probes --- */

static const Citex__ProbeResult *
probe(struct desk *d, const char *node)
{
	Citex__Frame frame = CITEX__FRAME__INIT;
	Citex__Probe p = CITEX__PROBE__INIT;

	proto_free((ProtobufCMessage *)d->probe);
	d->probe = NULL;
	p.number = 5;
	p.node = (char *)(uintptr_t)node;
	frame.body_case = CITEX__FRAME__BODY_PROBE;
	frame.probe = &p;
	desk_frame(d, &frame);
	nodes_until(d->probe != NULL);
	assert_int_equal(d->probe->probe_result->number, 5);
	return d->probe->probe_result;
}

static void
test_probe_tries_the_real_path(void **state)
{
	struct nodes *all = *state;
	struct two t = begin(all);
	struct node *relay = nodes_get(all, "secretariat");

	assert_string_equal(probe(t.author, "ke.ma")->reason, "ok");
	assert_string_equal(probe(t.author, "gb")->reason, "ok");
	assert_string_equal(probe(t.author, "zz")->reason, "not-found");
	assert_string_equal(probe(t.author, "secretariat")->reason, "unreachable");
	assert_string_equal(probe(t.author, "so.ma")->reason, "unreachable");
	node_start(relay);
	assert_string_equal(probe(t.author, "so.ma")->reason, "ok");
	assert_non_null(strstr(t.author->probe->probe_result->words, "secretariat"));
}

/* --- taking back --- */

/* D asks for the envelopes of PARCELS, whose ids grow. */
static void
ask_back(struct nodes *all, struct desk *d, const struct parcel *parcels, size_t count)
{
	Citex__Frame frame = CITEX__FRAME__INIT;
	Citex__TakeBack t = CITEX__TAKE_BACK__INIT;
	Citex__EnvelopeName names[2], *list[2] = { &names[0], &names[1] };
	struct envelope e[2];

	for (size_t i = 0; i < count; i++) {
		parcel_envelope(all->fixture, &parcels[i], &e[i]);
		citex__envelope_name__init(&names[i]);
		names[i].envelope_id = pb_of_bytes(id_bytes(&e[i].id));
		names[i].outer_digest = pb_of_bytes(BYTES_OF(e[i].digest));
	}
	proto_free((ProtobufCMessage *)d->took_back);
	d->took_back = NULL;
	t.number = 7;
	t.n_envelopes = count;
	t.envelopes = list;
	frame.body_case = CITEX__FRAME__BODY_TAKE_BACK;
	frame.take_back = &t;
	desk_frame(d, &frame);
	for (size_t i = 0; i < count; i++)
		envelope_release(&e[i]);
}

static enum err
take_back_all(struct nodes *all, struct desk *d, const struct parcel *parcels, size_t count)
{
	ask_back(all, d, parcels, count);
	nodes_until(d->took_back != NULL);
	assert_int_equal(d->took_back->take_back_result->number, 7);
	return err_from_name(d->took_back->take_back_result->reason);
}

static enum err
take_back(struct nodes *all, struct desk *d, const struct parcel *parcel)
{
	return take_back_all(all, d, parcel, 1);
}

static const struct parcel back = { .id = 1 };

/* The peer can be reached again, and hears of what waits for it. */
static void
heal(struct two *t)
{
	machine_cut(t->ke->machine, false);
	desk_free(t->addressee);
	t->addressee = desk_office(t->ke, "ke.ma");
	nodes_until(t->addressee->ready);
	post_flush(t->gb->post, "ke");
}

static void
test_office_takes_back_what_was_never_offered(void **state)
{
	struct two t = begin(*state);

	machine_cut(t.ke->machine, true);
	desk_offer(t.author, &back, 1);
	nodes_until(t.author->taken == 1);
	nodes_run(HOUR_MS);
	assert_int_equal(mail_in(t.gb, "nke"), 1);
	assert_int_equal(take_back(*state, t.author, &back), OK);
	assert_int_equal(mail_in(t.gb, "nke"), 0);
	node_crash(t.gb); /* it is gone from the disk */
	nodes_run(10 * SECOND_MS);
	heal(&t);
	nodes_run(HOUR_MS);
	assert_int_equal(t.addressee->envelopes, 0);
	assert_int_equal(t.author->slips, 0);
}

static void
test_attachments_go_with_what_is_taken_back(void **state)
{
	struct two t = begin(*state);
	struct spool_missing missing[ATTACHMENTS_MAX];
	struct spool_place at;
	struct envelope e;
	size_t count;

	t.author->has = &scan;
	t.author->has_count = 1;
	machine_cut(t.ke->machine, true);
	t.author->serves_below = 20;
	desk_offer(t.author, &with_scan, 1);
	nodes_until(t.author->chunks_served == 20);
	assert_int_equal(
	    take_back(*state, t.author, &with_scan), ERR_BUSY); /* half of it is here */
	desk_serve_all(t.author);
	nodes_until(t.author->taken == 1);
	assert_int_equal(take_back(*state, t.author, &with_scan), OK);
	parcel_envelope(((struct nodes *)*state)->fixture, &with_scan, &e);
	assert_int_equal(spool_place(t.gb->post->spool, e.id, e.digest, &at), ERR_NOT_FOUND);
	assert_int_equal(spool_missing(t.gb->post->spool, 1, missing, &count), ERR_NOT_FOUND);
	envelope_release(&e);
	nodes_run(MINUTE_MS);
	/* its chunks are asked for anew: none has stayed */
	heal(&t);
	desk_offer(t.author, &with_scan, 2);
	nodes_until(t.addressee->envelopes == 1 && t.author->slips == 1);
	assert_int_equal(asked_times(t.author, 0), 2);
}

static void
test_what_was_offered_once_is_not_given_back(void **state)
{
	struct two t = begin(*state);
	const struct parcel two = { .id = 2 }, three = { .id = 3 };

	desk_offer(t.author, &back, 1);
	nodes_until(t.author->slips == 1);
	assert_int_equal(take_back(*state, t.author, &back), ERR_WRONG_STATE); /* it is there */
	assert_int_equal(t.author->took_back->take_back_result->n_left, 1);
	machine_cut(t.ke->machine, true); /* the line swallows what goes over it */
	desk_offer(t.author, &two, 2);
	nodes_until(t.author->taken == 2);
	nodes_run(SECOND_MS);
	assert_int_equal(mail_in(t.gb, "nke"), 1);
	assert_int_equal(take_back(*state, t.author, &two), ERR_WRONG_STATE); /* in flight */
	nodes_run(HOUR_MS);
	assert_null(peers_conn(t.gb->post, "ke"));
	assert_int_equal(take_back(*state, t.author, &two), ERR_WRONG_STATE); /* once is enough */
	desk_offer(t.author, &three, 3);
	nodes_until(t.author->taken == 3);
	assert_int_equal(take_back(*state, t.author, &three), OK); /* came when nobody listened */
	heal(&t);
	nodes_until(t.addressee->envelopes == 1);
	nodes_run(HOUR_MS);
	assert_int_equal(t.addressee->envelopes, 1);
}

static struct desk *
back_at_office(struct two *t)
{
	struct desk *again;

	nodes_until(t->gb->post != NULL);
	again = desk_office(t->gb, "gb.ma");
	nodes_until(again->ready);
	return again;
}

/* What was tried is written at a clean end, and is as true then as before. */
static void
test_what_a_former_process_never_offered_is_given_back(void **state)
{
	struct two t = begin(*state);
	const struct parcel two = { .id = 2 }, three = { .id = 3 };
	struct desk *again;

	desk_offer(t.author, &back, 1);
	nodes_until(t.author->slips == 1);
	machine_cut(t.ke->machine, true);
	desk_offer(t.author, &two, 2); /* offered, into a line that swallows it */
	nodes_until(t.author->taken == 2);
	nodes_run(HOUR_MS);
	desk_offer(t.author, &three, 3);
	nodes_until(t.author->taken == 3);
	for (unsigned i = 0; i < 2; i++) { /* and over one more end */
		node_end(t.gb);
		again = back_at_office(&t);
		assert_int_equal(take_back(*state, again, &two), ERR_WRONG_STATE);
	}
	assert_int_equal(take_back(*state, again, &three), OK);
	node_crash(t.gb);
	again = back_at_office(&t);
	desk_offer(again, &three, 4); /* it was known before: it may have left, for all one knows */
	nodes_until(again->taken == 1);
	assert_int_equal(take_back(*state, again, &three), ERR_WRONG_STATE);
	heal(&t);
	nodes_until(t.addressee->envelopes == 2);
}

static void
test_what_a_former_process_stored_is_not_given_back(void **state)
{
	struct two t = begin(*state);
	struct desk *again;

	machine_cut(t.ke->machine, true);
	desk_offer(t.author, &back, 1);
	nodes_until(t.author->taken == 1);
	node_end(t.gb); /* what it says at its end is for the next only */
	nodes_until(t.gb->post != NULL);
	node_crash(t.gb);
	again = back_at_office(&t);
	assert_int_equal(take_back(*state, again, &back), ERR_WRONG_STATE);
	heal(&t);
	nodes_until(t.addressee->envelopes == 1);
}

static void
test_all_go_back_or_none(void **state)
{
	struct two t = begin(*state);
	const struct parcel both[2] = { { .id = 1 }, { .id = 2, .addressee = "gb.border-force" } };
	const Citex__TakeBackResult *r;
	struct id id;

	machine_cut(t.ke->machine, true);
	desk_offer(t.author, &both[0], 1);
	desk_offer(t.author, &both[1], 2); /* stored at once: its office is on this node */
	nodes_until(t.author->taken == 2);
	assert_int_equal(take_back_all(*state, t.author, both, 2), ERR_WRONG_STATE);
	r = t.author->took_back->take_back_result;
	assert_int_equal(r->n_left, 1);
	assert_int_equal(id_from_bytes(bytes_of_pb(r->left[0]), &id), OK);
	assert_int_equal(id.at[0], 2);
	assert_int_equal(mail_in(t.gb, "nke"), 1);
	heal(&t);
	nodes_until(t.addressee->envelopes == 1);
}

/* The answer was lost, or the office died: it offers again, and what it offers goes. */
static void
test_what_was_given_back_and_offered_again_goes(void **state)
{
	struct two t = begin(*state);
	struct desk *again;

	machine_cut(t.ke->machine, true);
	desk_offer(t.author, &back, 1);
	nodes_until(t.author->taken == 1);
	assert_int_equal(take_back(*state, t.author, &back), OK);
	again = desk_office(t.gb, "gb.ma");
	nodes_until(again->ready);
	desk_offer(again, &back, 1);
	nodes_until(again->taken == 1);
	assert_int_equal(take_back(*state, again, &back), ERR_WRONG_STATE); /* it was here before */
	heal(&t);
	nodes_until(t.addressee->envelopes == 1 && again->slips == 1);
}

/* An offer that is still judged would come after the yes, and stay. */
static void
test_nothing_is_given_back_while_it_is_coming(void **state)
{
	struct two t = begin(*state);

	machine_cut(t.ke->machine, true);
	desk_offer(t.author, &back, 1);
	nodes_until(t.author->taken == 1);
	desk_offer(t.author, &back, 2);
	assert_int_equal(take_back(*state, t.author, &back), ERR_BUSY);
	assert_int_equal(mail_in(t.gb, "nke"), 1);
	nodes_until(t.author->taken == 2);
	assert_int_equal(take_back(*state, t.author, &back), OK);
	assert_int_equal(mail_in(t.gb, "nke"), 0);
}

/* The peer comes while the disk is told: what is given back is not offered any more. */
static void
test_what_is_being_given_back_is_not_offered(void **state)
{
	struct two t = begin(*state);
	size_t arrived = 0, back_again = 0;

	for (uint8_t i = 1; i <= 40; i++) {
		const struct parcel p = { .id = i };
		enum err e;
		machine_cut(t.ke->machine, true);
		nodes_until(peers_conn(t.gb->post, "ke") == NULL);
		desk_offer(t.author, &p, i);
		nodes_until(t.author->taken == i);
		heal(&t);
		nodes_run(i);
		e = take_back(*state, t.author, &p);
		nodes_run(10 * MINUTE_MS);
		assert_int_equal(t.addressee->envelopes, e == OK ? 0 : 1);
		arrived += e != OK;
		back_again += e == OK;
	}
	assert_true(arrived > 0 && back_again > 0);
}

static void
test_nobody_takes_back_for_another(void **state)
{
	struct two t = begin(*state);
	struct desk *other = desk_office(t.gb, "gb.border-force");
	struct desk *peer = desk_node(t.gb, "secretariat");
	Citex__Frame frame = CITEX__FRAME__INIT;
	Citex__TakeBackResult r = CITEX__TAKE_BACK_RESULT__INIT;

	machine_cut(t.ke->machine, true);
	desk_offer(t.author, &back, 1);
	nodes_until(t.author->taken == 1 && other->ready && peer->ready);
	assert_int_equal(take_back(*state, other, &back), ERR_WRONG_STATE);
	ask_back(*state, peer, &back, 1);
	nodes_until(peer->closed);
	assert_int_equal(mail_in(t.gb, "nke"), 1);
	frame.body_case = CITEX__FRAME__BODY_TAKE_BACK_RESULT;
	frame.take_back_result = &r;
	desk_frame(other, &frame); /* a post asks nobody */
	nodes_until(other->closed);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
		TEST(test_envelope_arrives_and_its_receipt_comes_home),
		TEST(test_duplicate_brings_the_first_receipt_and_nothing_new),
		TEST(test_offices_of_one_node_need_no_network),
		TEST(test_attachment_travels_whole_before_anything_is_said),
		TEST(test_transfer_resumes_after_a_crash_where_it_stopped),
		TEST(test_transfer_between_nodes_survives_crashes_of_either),
		TEST(test_spoiled_chunk_ends_the_conversation_and_is_not_kept),
		TEST(test_two_envelopes_share_a_part_that_is_pulled_once),
		TEST(test_chunk_is_served_to_nobody_else),
		TEST(test_relay_keeps_mail_for_who_dials_in),
		TEST(test_who_cannot_be_reached_sends_through_its_relay),
		TEST(test_own_relay_silent_means_dialling_past_it),
		TEST(test_relay_that_lost_its_disk_is_refilled),
		TEST(test_node_offers_what_another_node_s_authority_wrote),
		TEST(test_office_that_speaks_for_another_is_put_out),
		TEST(test_wrong_stamp_is_refused_and_its_author_told),
		TEST(test_what_is_not_for_us_is_refused),
		TEST(test_one_id_for_two_envelopes_is_refused_with_an_alarm),
		TEST(test_restored_node_calls_everybody_and_they_tell_their_offices),
		TEST(test_relay_tells_of_spools),
		TEST(test_spool_is_believed_of_a_relay_only),
		TEST(test_unknown_author_is_put_off_and_asked_about),
		TEST(test_lifetime_longer_than_anybody_may_is_put_off),
		TEST(test_garbage_ends_its_sender_and_nobody_else),
		TEST(test_hello_under_another_name_is_put_out),
		TEST(test_queue_takes_its_limit_and_no_more),
		TEST(test_queue_of_the_default_size_takes_its_limit_and_no_more),
		TEST(test_urgent_goes_before_routine_and_slips_before_both),
		TEST(test_retries_grow_and_end_at_a_sign_of_life),
		TEST(test_expired_comes_home_as_a_slip),
		TEST(test_what_never_became_whole_expires_in_each_lane),
		TEST(test_nothing_expires_while_the_clock_has_jumped),
		TEST(test_clock_may_be_off_by_its_limit_and_no_more),
		TEST(test_full_store_puts_off_and_hands_on),
		TEST(test_forged_slip_goes_nowhere),
		TEST(test_a_stranger_s_refusal_ends_nothing),
		TEST(test_newer_directory_spreads_to_nodes_and_offices),
		TEST(test_two_heads_with_one_number_freeze_both_and_mail_goes_on),
		TEST(test_newer_directory_is_found_without_any_mail),
		TEST(test_directory_is_asked_for_once_an_hour),
		TEST(test_revoked_node_is_put_out_when_the_directory_comes),
		TEST(test_two_dials_that_cross_leave_one_conversation),
		TEST(test_node_that_lost_the_conversation_is_let_in_again),
		TEST(test_half_open_connections_are_bounded),
		TEST(test_probe_tries_the_real_path),
		TEST(test_office_takes_back_what_was_never_offered),
		TEST(test_attachments_go_with_what_is_taken_back),
		TEST(test_what_was_offered_once_is_not_given_back),
		TEST(test_what_a_former_process_never_offered_is_given_back),
		TEST(test_what_a_former_process_stored_is_not_given_back),
		TEST(test_all_go_back_or_none),
		TEST(test_what_was_given_back_and_offered_again_goes),
		TEST(test_nothing_is_given_back_while_it_is_coming),
		TEST(test_what_is_being_given_back_is_not_offered),
		TEST(test_nobody_takes_back_for_another),
#undef TEST
	};

	assert_int_equal(ossl_init(), OK);
	log_open("test", getenv("V") != NULL ? LEVEL_DEBUG : LEVEL_ERROR);
	if (getenv("V") == NULL)
		log_set_fd(-1);
	if (getenv("ONLY") != NULL)
		cmocka_set_test_filter(getenv("ONLY"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
