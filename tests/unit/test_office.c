/* SPDX-License-Identifier: Apache-2.0 */
/* The office of ke.ma in a simulated world, and a carrier that plays its post
 * over a real session: what is taken, what is refused, and what stands after a
 * machine died. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/log.h"
#include "daemon/office/bundle.h"
#include "daemon/office/history.h"
#include "daemon/office/inside.h"
#include "pki/ossl.h"
#include "proto/codes.h"
#include "proto/decode.h"
#include "proto/kinds/query.pb-c.h"
#include "proto/kinds/reply.pb-c.h"
#include "tests/mail.h"
#include "tests/sim/world.h"

#define QUERY "0193f3c2-1a2b-7000-8000-000000000001"
#define OURS "0193f3c2-9999-7000-8000-000000000003"
#define POST "/run/post"
#define SEEN_MAX 64

static struct fixture *fixture;
static struct secret store_key;
static struct office_key signing, sealing[2]; /* the last is the one in force */
static struct office_key old_sealing; /* kept beside it, when there is one */
static struct office_config config;
static struct store *store;
static struct office *office;
static struct machine *ke, *elsewhere;
static void (*before_start)(struct book *b, struct txn *t); /* changes the first store */
static bool store_is_made, is_restored; /* at the next boot: from a backup */
static bool has_newer; /* a directory that is in the store at the next start */
static unsigned told_new;
static int64_t began_ms; /* mono_ms at which the office did */
static int64_t run_at_begin_ms;
static enum { AGED, KEPT, ARRIVED, PRUNABLES } prunable;
static struct { /* notices, and hooks for them */
	char words[SEEN_MAX][100];
	size_t count;
	unsigned hooks;
} told_due;

/* An attachment in chunks. */
#define CHUNKS 5
static struct {
	Citex__Attachment *like;
	struct buffer chunks[CHUNKS];
	uint32_t made;
	struct merkle *leaves;
	uint8_t root[DIGEST_BYTES];
} scan;

/* The post's side. */
static struct {
	struct listener *listener;
	struct link *link;
	struct session *session;
	struct timer *tick;
	uint64_t token;
	unsigned taken, later, sessions;
	uint64_t taken_token[SEEN_MAX];
	struct slip slips[SEEN_MAX];
	size_t slip_count;
	struct envelope envelopes[SEEN_MAX];
	uint32_t envelope_numbers[SEEN_MAX];
	size_t envelope_count;
	uint32_t wanted[SEEN_MAX]; /* indexes of chunks asked for */
	size_t wanted_count;
	size_t give; /* so many chunks, then silence */
	bool holds_back; /* envelopes are not answered */
	uint8_t incarnation; /* of its spool: this and 5 */
	enum { REFUSES, GIVES_BACK, SAYS_NOTHING } back; /* when asked for envelopes */
	Citex__Frame *asked; /* the last one of these */
	unsigned asked_times;
	size_t has; /* refuses for the sake of this one alone: its index in it and 1 */
} post;

static void
run_for(int64_t ms)
{
	world_run(world_now().mono_ms + ms);
}

static char *
text(const char *s)
{
	return (char *)(uintptr_t)s;
}

/* What a process had in memory when it died is nobody's leak. */
void __lsan_disable(void) __attribute__((weak));
void __lsan_enable(void) __attribute__((weak));

/* --- the carrier --- */

static void post_event(const struct event *ev); /* actions lead to events */

static void
post_gives_chunk(const struct action *a)
{
	Citex__Chunk c = CITEX__CHUNK__INIT;
	uint8_t path[MERKLE_PATH_MAX][DIGEST_BYTES];
	ProtobufCBinaryData list[MERKLE_PATH_MAX];
	struct event ev = {
		.type = EVENT_CHUNK_READ, .root = { a->root, DIGEST_BYTES }, .index = a->index
	};

	assert_memory_equal(a->root, scan.root, DIGEST_BYTES);
	assert_true(post.wanted_count < SEEN_MAX && a->index < CHUNKS);
	post.wanted[post.wanted_count++] = a->index;
	if (post.give == 0)
		return;
	post.give--;
	c.root = pb_of_bytes(ev.root);
	c.index = a->index;
	c.n_path = merkle_path(scan.leaves, a->index, path);
	for (size_t i = 0; i < c.n_path; i++)
		list[i] = pb_of_bytes(BYTES_OF(path[i]));
	c.path = list;
	c.data = pb_of_bytes(buffer_bytes(&scan.chunks[a->index]));
	ev.chunk = &c;
	post_event(&ev);
}

static void
post_takes(const struct action *a)
{
	struct event ev = { .type = EVENT_COMMITTED, .number = a->number };
	struct buffer packed = { 0 };

	if (a->type == ACTION_STORE_SLIP) {
		assert_true(post.slip_count < SEEN_MAX);
		proto_pack(&a->frame->offer->slip->base, &packed);
		assert_int_equal(
		    slip_parse(buffer_bytes(&packed), &post.slips[post.slip_count++]), OK);
	} else {
		assert_true(post.envelope_count < SEEN_MAX);
		proto_pack(&a->frame->offer->envelope->base, &packed);
		post.envelope_numbers[post.envelope_count] = a->number;
		assert_int_equal(
		    envelope_parse(buffer_bytes(&packed), &post.envelopes[post.envelope_count++]),
		    OK);
	}
	buffer_release(&packed);
	if (a->type == ACTION_STORE_SLIP || !post.holds_back)
		post_event(&ev);
}

/* The answer to what was asked last. */
static void
post_gives_back(bool yes)
{
	Citex__Frame f = CITEX__FRAME__INIT;
	Citex__TakeBackResult r = CITEX__TAKE_BACK_RESULT__INIT;
	const Citex__TakeBack *t = post.asked->take_back;
	ProtobufCBinaryData left[2];
	struct event ev = { .type = EVENT_SEND, .frame = &f };

	assert_true(t->n_envelopes <= 2);
	r.number = t->number;
	r.reason = text(err_name(yes ? OK : ERR_WRONG_STATE));
	for (size_t i = 0; !yes && i < t->n_envelopes; i++) {
		if (post.has == 0 || post.has == i + 1)
			left[r.n_left++] = t->envelopes[i]->envelope_id;
	}
	r.left = left;
	f.body_case = CITEX__FRAME__BODY_TAKE_BACK_RESULT;
	f.take_back_result = &r;
	post_event(&ev);
}

static void
post_is_asked(Citex__Frame *f)
{
	proto_free((ProtobufCMessage *)post.asked);
	post.asked = f;
	post.asked_times++;
	if (post.back != SAYS_NOTHING)
		post_gives_back(post.back == GIVES_BACK);
}

static void
post_loses(void)
{
	session_free(post.session);
	post.session = NULL;
	post.link = NULL;
}

static void
post_acts(struct action *a)
{
	Citex__Frame *f = a->frame;

	switch (a->type) {
	case ACTION_TAKE_BACK:
		a->frame = NULL;
		post_is_asked(f);
		break;
	case ACTION_SEND:
		link_send(post.link, buffer_bytes(&a->bytes));
		break;
	case ACTION_STORE_SLIP:
	case ACTION_STORE_ENVELOPE:
		post_takes(a);
		break;
	case ACTION_TAKEN:
		assert_true(post.taken < SEEN_MAX);
		post.taken_token[post.taken++] = a->token;
		break;
	case ACTION_LATER:
		post.later++;
		break;
	case ACTION_READ_CHUNK:
		post_gives_chunk(a);
		break;
	case ACTION_CLOSE:
		link_close(post.link);
		post_loses();
		break;
	default:
		break;
	}
}

static void
post_event(const struct event *ev)
{
	struct actions out = { 0 };
	struct session *s = post.session;

	if (s == NULL)
		return;
	(void)!session_handle(s, ev, world_now(), &out);
	for (size_t i = 0; i < out.count && post.session == s; i++)
		post_acts(&out.at[i]);
	actions_release(&out);
	if (post.session == s)
		timer_set(post.tick, session_deadline_ms(s));
}

static void
on_tick(void *arg)
{
	struct event ev = { .type = EVENT_TICK };

	(void)arg;
	post_event(&ev);
}

static void
on_opened(void *arg, struct link *l, const char *peer)
{
	struct session_self self = { .node = "ke",
		.incarnation = { post.incarnation, 5 },
		.directory = directory_number(fixture_directory(fixture)) };
	struct event ev = { .type = EVENT_OPEN };

	(void)arg;
	(void)l;
	(void)peer;
	memcpy(self.head_digest, directory_head_digest(fixture_directory(fixture)), DIGEST_BYTES);
	post.session = session_new(&self);
	post.sessions++;
	post_event(&ev);
}

static void
on_frame(void *arg, struct link *l, struct bytes frame)
{
	struct event ev = { .type = EVENT_FRAME, .bytes = frame };

	(void)arg;
	(void)l;
	post_event(&ev);
}

static void
on_closed(void *arg, struct link *l, enum err why, const char *words)
{
	(void)arg;
	(void)why;
	(void)words;
	if (l == post.link)
		post_loses();
}

static const struct link_events events = { on_opened, on_frame, NULL, on_closed };

static void
on_dialled(void *arg, int fd, const char *address)
{
	(void)arg;
	(void)address;
	if (post.link != NULL)
		link_close(post.link);
	post_loses();
	post.link = link_accept_local(machine_loop(elsewhere), fd, &events, NULL);
}

/* The line breaks; the office dials again by itself. */
static void
break_line(void)
{
	link_close(post.link);
	post_loses();
	run_for(10000);
	assert_non_null(post.session);
}

/* What the post said when it stored it: a second before it hands it over. */
static void
make_receipt(struct bytes envelope, struct buffer *receipt)
{
	struct slip_draft d = { .type = CITEX__SLIP_TYPE__SLIP_STORED,
		.maker = "ke",
		.time_ms = FIXTURE_NOW_MS - 1000,
		.directory = 1 };
	struct envelope e;

	assert_int_equal(envelope_parse(envelope, &e), OK);
	d.about = &e;
	d.to = e.outer->author;
	assert_int_equal(slips_make(fixture_key(fixture, "ke", USE_RECEIPTS), &d, 1, receipt), OK);
	envelope_release(&e);
}

static void
offer_with(struct bytes packed, struct bytes receipt)
{
	struct event ev = { .type = EVENT_OFFER_ENVELOPE,
		.bytes = packed,
		.receipt = receipt,
		.token = ++post.token };

	assert_non_null(post.session);
	assert_true(session_may_offer(post.session) > 0);
	post_event(&ev);
}

static void
offer_packed(struct bytes packed)
{
	struct buffer receipt = { 0 };

	make_receipt(packed, &receipt);
	offer_with(packed, buffer_bytes(&receipt));
	buffer_release(&receipt);
}

static void
offer(const struct mail_plan *plan)
{
	struct buffer packed = { 0 };

	mail_make(fixture, plan, &packed, NULL);
	offer_packed(buffer_bytes(&packed));
	buffer_release(&packed);
}

static void
post_forget(void)
{
	post_loses();
	listener_free(post.listener);
	timer_free(post.tick);
	for (size_t i = 0; i < post.slip_count; i++)
		slip_release(&post.slips[i]);
	for (size_t i = 0; i < post.envelope_count; i++)
		envelope_release(&post.envelopes[i]);
	proto_free((ProtobufCMessage *)post.asked);
	memset(&post, 0, sizeof(post));
}

/* --- what is sent --- */

static void
set_id(ProtobufCBinaryData *to, const char *id)
{
	struct id raw;

	assert_int_equal(id_parse(id, &raw), OK);
	free(to->data);
	*to = (ProtobufCBinaryData){ ID_BYTES, xmemdup(raw.at, ID_BYTES) };
}

static void
set_body(Citex__Content *c, const char *kind, const ProtobufCMessage *body)
{
	struct buffer packed = { 0 };

	proto_pack(body, &packed);
	free(c->kind);
	c->kind = xstrdup(kind);
	c->kind_version = 1;
	free(c->body.data);
	c->body.data = buffer_detach(&packed, &c->body.len);
}

static void
set_handling(Citex__Content *c, const char *tlp)
{
	c->handling = xalloc(sizeof(*c->handling));
	citex__handling__init(c->handling);
	c->handling->tlp = xstrdup(tlp);
}

static void
set_rule(Citex__Content *c, const char *name)
{
	const struct deadline *limit = deadline_find(name);

	c->rule = xalloc(sizeof(*c->rule));
	citex__rule__init(c->rule);
	c->rule->id = xstrdup(name);
	c->rule->version = limit->version;
	c->rule->length = limit->length;
	c->rule->unit = xstrdup(limit->unit);
}

/* ARG: other words, or NULL. */
static void
make_query(Citex__Content *c, void *arg)
{
	Citex__Query q = CITEX__QUERY__INIT;
	Citex__Permit permit = CITEX__PERMIT__INIT;
	char *reasons[] = { text("AUTHENTIC") };

	permit.number = text("KE 2026/0417");
	q.permit = &permit;
	q.reason = reasons;
	q.n_reason = 1;
	q.text = arg != NULL ? arg : text("The stamp number does not fit.");
	set_body(c, "query", &q.base);
	set_id(&c->message_id, QUERY);
	set_id(&c->exchange, QUERY);
	set_handling(c, "AMBER");
	set_rule(c, "reply");
}

static void
make_query_to_others(Citex__Content *c, void *arg)
{
	make_query(c, arg);
	free(c->addressees[0]);
	c->addressees[0] = xstrdup("so.ma");
}

/* A scan of five chunks hangs on it. */
static void
make_query_with_scan(Citex__Content *c, void *arg)
{
	static const uint8_t key[32] = { 3 };
	static uint8_t plain[CHUNK_PLAIN_BYTES];
	Citex__Attachment *a = xalloc(sizeof(*a));

	make_query(c, arg);
	citex__attachment__init(a);
	a->name = xstrdup("scan.pdf");
	a->media_type = xstrdup("application/pdf");
	a->length = (CHUNKS - 1) * (uint64_t)CHUNK_PLAIN_BYTES + 1;
	a->sealed_length = sealed_length_of(a->length);
	for (uint32_t i = 0; scan.made < CHUNKS && i < CHUNKS; i++) {
		size_t len = i < CHUNKS - 1 ? CHUNK_PLAIN_BYTES : 1;
		if (scan.leaves == NULL)
			scan.leaves = merkle_new();
		scan.made++;
		memset(plain, (int)i, sizeof(plain));
		assert_int_equal(
		    chunk_seal(key, i, CHUNKS, (struct bytes){ plain, len }, &scan.chunks[i]), OK);
		merkle_add(scan.leaves, buffer_bytes(&scan.chunks[i]));
	}
	merkle_root(scan.leaves, scan.root);
	a->root = (ProtobufCBinaryData){ DIGEST_BYTES, xmemdup(scan.root, DIGEST_BYTES) };
	a->key = (ProtobufCBinaryData){ 32, xmemdup(key, 32) };
	a->digest = (ProtobufCBinaryData){ DIGEST_BYTES, xmemdup(scan.root, DIGEST_BYTES) };
	free(c->attachments);
	c->attachments = xalloc(sizeof(*c->attachments));
	c->attachments[0] = a;
	c->n_attachments = 1;
}

/* --- what stands in the book --- */

static uint64_t
count(enum box box)
{
	struct txn *t = NULL;
	uint64_t n;

	assert_int_equal(store_read(store, &t), OK);
	n = book_count(office_book(office), t, box);
	store_end(t);
	return n;
}

static bool
has_alarm(const char *what)
{
	for (const char *const *a = office_alarms(office); *a != NULL; a++) {
		if (strcmp(*a, what) == 0)
			return true;
	}
	return false;
}

static void
expect_slip(size_t i, Citex__SlipType type, const char *reason)
{
	if (i >= post.slip_count)
		fail_msg("%zu slips, none of them %d", post.slip_count, (int)type);
	if (post.slips[i].body->type != type)
		fail_msg("a slip of type %d, %s", (int)post.slips[i].body->type,
		    post.slips[i].body->reason);
	assert_string_equal(post.slips[i].body->reason, reason);
	assert_string_equal(post.slips[i].body->to, "gb.ma");
	assert_string_equal(post.slips[i].body->maker, "ke.ma");
}

/* --- life --- */

static void
on_event(void *arg, Citex__Event *e)
{
	(void)arg;
	if (strcmp(e->event, "due") != 0)
		return;
	assert_true(told_due.count < SEEN_MAX);
	(void)snprintf(told_due.words[told_due.count++], sizeof(told_due.words[0]), "%s %s",
	    e->state, e->authority);
}

static void
on_hook(void *arg, const char *event, const char *id, const char *kind)
{
	(void)arg;
	(void)id;
	if (strcmp(event, "due") == 0) {
		assert_int_equal(
		    strncmp(told_due.words[told_due.count - 1], kind, strlen(kind)), 0);
		told_due.hooks++;
	}
	told_new += strcmp(event, "new") == 0 ? 1 : 0;
}

static void
fill_store(struct store *s)
{
	struct directory *d = fixture_directory(fixture);
	struct buffer head = { 0 };
	struct book *b = NULL;
	struct txn *t = NULL;

	assert_int_equal(book_new(s, &store_key, &b), OK);
	assert_int_equal(store_begin(s, &t), OK);
	proto_pack(&directory_signed_head(d)->base, &head);
	assert_int_equal(book_put_directory(b, t, buffer_bytes(&head), directory_contents(d)), OK);
	if (before_start != NULL && !store_is_made)
		before_start(b, t);
	assert_int_equal(store_commit(t), OK);
	book_free(b);
	buffer_release(&head);
}

static void
boot(void *arg, struct machine *m)
{
	(void)arg;
	if (m == elsewhere || elsewhere == NULL)
		return;
	assert_int_equal(store_open_sim(machine_disk(m), &book_layout, &store), OK);
	if (!store_is_made || has_newer)
		fill_store(store);
	if (is_restored)
		assert_int_equal(store_mark_restored(store), OK);
	store_is_made = true;
	is_restored = false;
	has_newer = false;
	assert_int_equal(office_new(machine_loop(m), store, &config, &office), OK);
	(void)office_watch(office, on_event, NULL);
}

static void
crashed(void *arg, struct machine *m)
{
	(void)arg;
	(void)m;
	office_free(office);
	store_close(store);
	office = NULL;
	store = NULL;
}

/* The office's process dies and begins again. */
static void
crash(void)
{
	if (__lsan_disable != NULL)
		__lsan_disable();
	machine_crash(ke);
	if (__lsan_enable != NULL)
		__lsan_enable();
	run_for(10000);
	assert_non_null(office);
}

static int
begin(uint64_t seed)
{
	static const uint8_t key[32] = { 1, 2, 3 };

	signing = (struct office_key){ fixture_cert(fixture, "ke.ma", USE_SIGNING),
		fixture_key(fixture, "ke.ma", USE_SIGNING) };
	sealing[0] = old_sealing;
	sealing[1] = (struct office_key){ fixture_cert(fixture, "ke.ma", USE_SEALING),
		fixture_key(fixture, "ke.ma", USE_SEALING) };
	assert_int_equal(secret_from(&store_key, BYTES_OF(key)), OK);
	config = (struct office_config){ .authority = "ke.ma",
		.node = "ke",
		.signing = &signing,
		.sealing = &sealing[old_sealing.key != NULL ? 0 : 1],
		.signing_count = 1,
		.sealing_count = old_sealing.key != NULL ? 2 : 1,
		.store_key = &store_key,
		.link_path = POST,
		.trust.pin = fixture_pin(fixture),
		.desk_fd = -1,
		.hook = on_hook };
	store_is_made = false;
	told_new = 0;
	memset(&told_due, 0, sizeof(told_due));
	world_begin(seed);
	world_calm();
	elsewhere = NULL;
	elsewhere = machine_new("elsewhere", boot, NULL, NULL);
	machine_boot(elsewhere);
	post.listener =
	    listener_new(machine_loop(elsewhere), world_listen(elsewhere, POST), on_dialled, NULL);
	post.tick = timer_new(machine_loop(elsewhere), on_tick, NULL);
	post.give = SEEN_MAX;
	ke = machine_new("ke", boot, crashed, NULL);
	began_ms = world_now().mono_ms;
	machine_boot(ke);
	run_for(run_at_begin_ms);
	assert_non_null(post.session);
	return 0;
}

static int
set_up(void **state)
{
	(void)state;
	before_start = NULL;
	run_at_begin_ms = 3000;
	return begin(1);
}

static int
tear_down(void **state)
{
	(void)state;
	post_forget();
	office_free(office);
	store_close(store);
	world_end();
	secret_release(&store_key);
	for (size_t i = 0; i < CHUNKS; i++)
		buffer_release(&scan.chunks[i]);
	merkle_free(scan.leaves);
	memset(&scan, 0, sizeof(scan));
	return 0;
}

/* Keys are made before the first world, whose chance is OpenSSL's, too. */
static int
make_fixture(void **state)
{
	(void)state;
	log_open("test", getenv("TEST_LOG") != NULL ? LEVEL_DEBUG : LEVEL_ERROR);
	fixture = fixture_new();
	return 0;
}

static int
free_fixture(void **state)
{
	(void)state;
	fixture_free(fixture);
	return 0;
}

/* --- what comes in --- */

static void
test_office_takes_files_and_answers(void **state)
{
	struct mail_plan plan = { .content = make_query };

	(void)state;
	offer(&plan);
	run_for(2000);
	assert_int_equal(post.taken, 1);
	assert_int_equal(post.slip_count, 1);
	expect_slip(0, CITEX__SLIP_TYPE__SLIP_OPENED, "");
	assert_int_equal(count(BOX_INBOX), 1);
	assert_int_equal(told_new, 1);
}

/* When its clock started, of the one message in the inbox; and whether a proof of that is held. */
static uint64_t
clock_start_of(const struct envelope *e, bool *proved)
{
	CLEANUP(buffer_release) struct buffer packed = { 0 };
	Citex__BookMessage *m = NULL;
	struct txn *t = NULL;
	struct id id;
	uint64_t start;

	assert_int_equal(store_read(store, &t), OK);
	assert_int_equal(id_parse(QUERY, &id), OK);
	assert_int_equal(book_message(office_book(office), t, id, &m), OK);
	start = m->clock_start;
	*proved = book_slip(office_book(office), t, book_arrival_name(e->digest),
		      CITEX__SLIP_TYPE__SLIP_STORED, &packed) == OK;
	proto_wipe((ProtobufCMessage *)m);
	store_end(t);
	return start;
}

static void
test_office_counts_from_the_receipt_and_keeps_it(void **state)
{
	struct mail_plan plan = { .content = make_query }, other = { .sequence = 2 };
	struct buffer packed = { 0 }, another = { 0 }, wrong = { 0 };
	struct envelope e;
	bool proved;

	mail_make(fixture, &plan, &packed, NULL);
	mail_make(fixture, &other, &another, NULL);
	assert_int_equal(envelope_parse(buffer_bytes(&packed), &e), OK);
	make_receipt(buffer_bytes(&another), &wrong);
	for (unsigned i = 0; i < 3; i++) {
		if (i == 0)
			offer_packed(buffer_bytes(&packed));
		else /* none, or one that speaks of another envelope */
			offer_with(
			    buffer_bytes(&packed), i == 1 ? BYTES_NONE : buffer_bytes(&wrong));
		run_for(2000);
		uint64_t start = clock_start_of(&e, &proved);
		assert_int_equal(proved, i == 0);
		if (i == 0)
			assert_int_equal(start, FIXTURE_NOW_MS - 1000);
		else
			assert_true(start >= FIXTURE_NOW_MS);
		if (i < 2) {
			(void)tear_down(state);
			begin(i + 1);
		}
	}
	envelope_release(&e);
	buffer_release(&packed);
	buffer_release(&another);
	buffer_release(&wrong);
}

static void
test_office_answers_the_same_envelope_with_the_first_receipt(void **state)
{
	struct mail_plan plan = { .content = make_query };
	struct buffer packed = { 0 };

	(void)state;
	mail_make(fixture, &plan, &packed, NULL);
	for (unsigned i = 1; i <= 3; i++) {
		offer_packed(buffer_bytes(&packed));
		run_for(2000);
		assert_int_equal(post.taken, i);
		assert_int_equal(post.slip_count, i);
		assert_memory_equal(post.slips[i - 1].digest, post.slips[0].digest, DIGEST_BYTES);
		if (i == 2)
			break_line();
	}
	assert_int_equal(count(BOX_INBOX), 1);
	assert_int_equal(told_new, 1);
	buffer_release(&packed);
}

static void
test_office_a_message_in_another_envelope_is_not_new(void **state)
{
	struct mail_plan plan = { .content = make_query }, again = { .sequence = 2 };
	struct buffer packed = { 0 }, signed_data = { 0 };

	(void)state;
	mail_make(fixture, &plan, &packed, &signed_data);
	offer_packed(buffer_bytes(&packed));
	again.signed_data = buffer_bytes(&signed_data);
	offer(&again);
	run_for(2000);
	assert_int_equal(post.taken, 2);
	assert_int_equal(post.slip_count, 2);
	expect_slip(0, CITEX__SLIP_TYPE__SLIP_OPENED, "");
	expect_slip(1, CITEX__SLIP_TYPE__SLIP_OPENED, "");
	assert_memory_not_equal(post.slips[0].digest, post.slips[1].digest, DIGEST_BYTES);
	assert_int_equal(count(BOX_INBOX), 1);
	assert_int_equal(told_new, 1);
	buffer_release(&packed);
	buffer_release(&signed_data);
}

static void
test_office_refuses_another_content_under_a_known_id(void **state)
{
	struct mail_plan plan = { .content = make_query };
	struct mail_plan other = {
		.content = make_query, .arg = text("Another story."), .sequence = 2
	};

	(void)state;
	offer(&plan);
	run_for(2000);
	offer(&other);
	run_for(2000);
	assert_int_equal(post.taken, 2);
	expect_slip(0, CITEX__SLIP_TYPE__SLIP_OPENED, "");
	expect_slip(1, CITEX__SLIP_TYPE__SLIP_REFUSED, err_name(ERR_CONFLICT));
	assert_true(has_alarm("conflict"));
	assert_int_equal(count(BOX_INBOX), 1);
	assert_int_equal(count(BOX_QUARANTINE), 1);
	assert_int_equal(told_new, 1);
}

/* What is not for us, or not theirs to say: refused, kept apart, never shown as new. */
static void
test_office_refuses_what_may_not_come(void **state)
{
	static const struct {
		const char *name;
		struct mail_plan plan;
		enum err err;
	} rows[] = {
		{ "sealed to another authority", { .content = make_query, .sealed_to = "so.ma" },
		    ERR_CANNOT_BE_OPENED },
		{ "signed to another and forwarded as it is", { .content = make_query_to_others },
		    ERR_IDENTITY },
		{ "signed by another than its author", { .content = make_query, .signer = "so.ma" },
		    ERR_CANNOT_BE_OPENED },
		{ "signed with the sealing key",
		    { .content = make_query, .signer_use = USE_SEALING }, ERR_CANNOT_BE_OPENED },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		if (i > 0)
			begin(i);
		offer(&rows[i].plan);
		run_for(2000);
		if (post.slip_count != 1 ||
		    strcmp(post.slips[0].body->reason, err_name(rows[i].err)) != 0)
			fail_msg("%s: %s", rows[i].name,
			    post.slip_count > 0 ? post.slips[0].body->reason : "no answer");
		assert_int_equal(post.taken, 1);
		expect_slip(0, CITEX__SLIP_TYPE__SLIP_REFUSED, err_name(rows[i].err));
		assert_string_equal(post.slips[0].body->words, err_words(rows[i].err));
		assert_int_equal(count(BOX_INBOX), 0);
		assert_int_equal(count(BOX_QUARANTINE), 1);
		assert_int_equal(told_new, 0);
		if (i + 1 < sizeof(rows) / sizeof(*rows))
			(void)tear_down(state);
	}
}

static void
make_interim(Citex__Content *c, void *arg)
{
	make_query(c, arg);
	free(c->kind);
	c->kind = xstrdup("interim");
}

static void
test_office_refuses_a_kind_that_its_author_may_not_send(void **state)
{
	struct mail_plan plan = { .author = "gb.border-force", .content = make_interim };

	(void)state;
	offer(&plan);
	run_for(2000);
	assert_int_equal(post.taken, 1);
	assert_int_equal(post.slip_count, 1);
	assert_int_equal(post.slips[0].body->type, CITEX__SLIP_TYPE__SLIP_REFUSED);
	assert_string_equal(post.slips[0].body->reason, err_name(ERR_DENIED));
	assert_int_equal(count(BOX_INBOX), 0);
	assert_int_equal(count(BOX_QUARANTINE), 1);
}

/* --- what killed an earlier process --- */

static unsigned attempts_before;

static void
leave_arrived(struct book *b, struct txn *t)
{
	struct mail_plan plan = { .content = make_query };
	struct buffer packed = { 0 };
	struct envelope e;
	Citex__BookArrived a = CITEX__BOOK_ARRIVED__INIT;

	mail_make(fixture, &plan, &packed, NULL);
	assert_int_equal(envelope_parse(buffer_bytes(&packed), &e), OK);
	a.packed = pb_of_bytes(buffer_bytes(&packed));
	a.complete = true;
	a.arrived = a.stored = FIXTURE_NOW_MS;
	a.attempts = attempts_before;
	assert_int_equal(book_put_arrived(b, t, e.digest, &a), OK);
	envelope_release(&e);
	buffer_release(&packed);
}

static int
set_up_left(void **state)
{
	(void)state;
	before_start = leave_arrived;
	return begin(1);
}

static int
set_up_left_twice(void **state)
{
	attempts_before = OPEN_ATTEMPTS_MAX - 1;
	return set_up_left(state);
}

static int
set_up_left_thrice(void **state)
{
	attempts_before = OPEN_ATTEMPTS_MAX;
	return set_up_left(state);
}

static void
test_office_opens_what_was_left(void **state)
{
	(void)state;
	assert_int_equal(post.slip_count, 1);
	expect_slip(0, CITEX__SLIP_TYPE__SLIP_OPENED, "");
	assert_int_equal(count(BOX_INBOX), 1);
	assert_false(has_alarm("poison"));
}

static void
test_office_does_not_open_what_killed_it_three_times(void **state)
{
	(void)state;
	assert_int_equal(post.slip_count, 1);
	expect_slip(0, CITEX__SLIP_TYPE__SLIP_REFUSED, err_name(ERR_CANNOT_BE_OPENED));
	assert_int_equal(count(BOX_INBOX), 0);
	assert_int_equal(count(BOX_QUARANTINE), 1);
	assert_true(has_alarm("poison"));
}

/* --- a sealing key that is gone --- */

static struct fixture *common;
static struct {
	struct buffer packed, signed_data; /* sealed to the key that was */
} early;

/* ke.ma's sealing key was renewed an hour ago; what was sealed to the old one is in EARLY. */
static int
begin_renewed(bool keeps_old)
{
	struct mail_plan plan = { .content = make_query };

	common = fixture;
	world_begin(1); /* keys need chance */
	fixture = fixture_new();
	mail_make(fixture, &plan, &early.packed, &early.signed_data);
	if (keeps_old)
		old_sealing = (struct office_key){ fixture_cert(fixture, "ke.ma", USE_SEALING),
			fixture_key(fixture, "ke.ma", USE_SEALING) };
	fixture_renew(fixture, "ke.ma", USE_SEALING, FIXTURE_NOW_MS - HOUR_MS);
	(void)fixture_publish(fixture);
	before_start = NULL;
	return begin(1);
}

static int
set_up_key_gone(void **state)
{
	(void)state;
	return begin_renewed(false);
}

static int
set_up_key_kept(void **state)
{
	(void)state;
	return begin_renewed(true);
}

static int
tear_down_renewed(void **state)
{
	int result = tear_down(state);

	fixture_free(fixture);
	fixture = common;
	old_sealing = (struct office_key){ NULL, NULL };
	buffer_release(&early.packed);
	buffer_release(&early.signed_data);
	return result;
}

static void
test_office_asks_for_another_sealing_when_its_key_is_gone(void **state)
{
	struct mail_plan again = { .signed_data = buffer_bytes(&early.signed_data) };

	(void)state;
	offer_packed(buffer_bytes(&early.packed));
	run_for(2000);
	assert_int_equal(post.taken, 1);
	expect_slip(0, CITEX__SLIP_TYPE__SLIP_REFUSED, err_name(ERR_RESEAL));
	assert_int_equal(count(BOX_INBOX), 0);
	assert_int_equal(count(BOX_QUARANTINE), 0); /* nobody has to look at it */
	crash();
	offer_packed(buffer_bytes(&early.packed));
	run_for(2000);
	assert_int_equal(post.slip_count, 2);
	assert_memory_equal(post.slips[1].digest, post.slips[0].digest, DIGEST_BYTES);
	offer(&again);
	run_for(2000);
	expect_slip(2, CITEX__SLIP_TYPE__SLIP_OPENED, "");
	assert_int_equal(count(BOX_INBOX), 1);
	assert_int_equal(told_new, 1);
}

static void
test_office_opens_with_a_key_that_it_keeps(void **state)
{
	(void)state;
	machine_clock_jump(ke, SEALING_KEY_KEPT_MS - 2 * HOUR_MS);
	offer_packed(buffer_bytes(&early.packed));
	run_for(2000);
	expect_slip(0, CITEX__SLIP_TYPE__SLIP_OPENED, "");
}

static void
test_office_does_not_open_with_a_key_kept_too_long(void **state)
{
	(void)state;
	machine_clock_jump(ke, SEALING_KEY_KEPT_MS);
	offer_packed(buffer_bytes(&early.packed));
	run_for(2000);
	expect_slip(0, CITEX__SLIP_TYPE__SLIP_REFUSED, err_name(ERR_RESEAL));
}

/* --- attachments --- */

static void
test_office_takes_an_envelope_with_its_last_chunk(void **state)
{
	struct mail_plan plan = { .content = make_query_with_scan };
	struct buffer packed = { 0 };

	(void)state;
	mail_make(fixture, &plan, &packed, NULL);
	post.give = CHUNKS - 1;
	offer_packed(buffer_bytes(&packed));
	run_for(20000);
	assert_int_equal(post.taken, 0);
	assert_int_equal(post.slip_count, 0);
	assert_int_equal(count(BOX_INBOX), 0);
	assert_int_equal(post.wanted_count, CHUNKS);
	break_line();
	post.give = 1;
	post.wanted_count = 0;
	offer_packed(buffer_bytes(&packed));
	run_for(5000);
	assert_int_equal(post.wanted_count, 1); /* what came before the line broke stays */
	assert_int_equal(post.taken, 1);
	expect_slip(0, CITEX__SLIP_TYPE__SLIP_OPENED, "");
	assert_int_equal(count(BOX_INBOX), 1);
	buffer_release(&packed);
}

/* A chunk that does not belong there is not taken, and nor is the envelope. */
static void
test_office_takes_no_false_chunk(void **state)
{
	struct mail_plan plan = { .content = make_query_with_scan };
	struct buffer packed = { 0 };

	(void)state;
	mail_make(fixture, &plan, &packed, NULL);
	scan.chunks[2].at[7] ^= 1;
	offer_packed(buffer_bytes(&packed));
	run_for(5000);
	assert_int_equal(post.taken, 0);
	assert_int_equal(post.later, 1);
	assert_int_equal(count(BOX_INBOX), 0);
	scan.chunks[2].at[7] ^= 1;
	offer_packed(buffer_bytes(&packed));
	run_for(5000);
	assert_int_equal(post.taken, 1);
	assert_int_equal(count(BOX_INBOX), 1);
	buffer_release(&packed);
}

/* What is passed on asks and answers nobody: also an answer may be. */
static void
make_forwarded_reply(Citex__Content *c, void *arg)
{
	static const char *const about = "0193f3c2-1a2b-7000-8000-00000000000a";
	Citex__Reply r = CITEX__REPLY__INIT;

	(void)arg;
	r.outcome = text("NOTISSUED");
	set_body(c, "reply", &r.base);
	set_id(&c->message_id, QUERY);
	set_id(&c->exchange, QUERY);
	set_id(&c->about, about);
	set_handling(c, "GREEN");
	c->origin = xalloc(sizeof(*c->origin));
	citex__origin__init(c->origin);
	c->origin->author = xstrdup("so.ma");
	set_id(&c->origin->message_id, about);
	c->origin->signed_digest =
	    (ProtobufCBinaryData){ DIGEST_BYTES, xmemdup(scan.root, DIGEST_BYTES) };
}

static void
test_office_files_an_answer_that_was_passed_on(void **state)
{
	struct mail_plan plan = { .content = make_forwarded_reply };

	(void)state;
	offer(&plan);
	run_for(2000);
	expect_slip(0, CITEX__SLIP_TYPE__SLIP_OPENED, "");
	assert_int_equal(count(BOX_INBOX), 1);
}

/* --- what goes out --- */

struct outcome {
	bool told, known;
	enum err err;
	char words[400];
};

static void
on_submitted(void *arg, enum err e, const char *words, const Citex__Submitted *s)
{
	struct outcome *o = arg;

	o->told = true;
	o->err = e;
	o->known = s != NULL && s->known;
	snprintf(o->words, sizeof(o->words), "%s", words);
}

static void
on_done(void *arg, enum err e, const char *words)
{
	on_submitted(arg, e, words, NULL);
}

static bool to_two; /* to so.ma as well */

static void
submit(const char *id, const char *words, struct outcome *out)
{
	Citex__Submit s = CITEX__SUBMIT__INIT;
	Citex__Query q = CITEX__QUERY__INIT;
	Citex__Permit permit = CITEX__PERMIT__INIT;
	char *reasons[] = { text("AUTHENTIC") }, *to[] = { text("gb.ma"), text("so.ma") };
	struct buffer body = { 0 };

	*out = (struct outcome){ .told = false };
	permit.number = text("GB 1");
	q.permit = &permit;
	q.reason = reasons;
	q.n_reason = 1;
	q.text = text(words);
	proto_pack(&q.base, &body);
	s.id = text(id);
	s.kind = text("query");
	s.to = to;
	s.n_to = to_two ? 2 : 1;
	s.body = pb_of_bytes(buffer_bytes(&body));
	s.even_if_unreadable = true;
	office_submit(office, &s, "Wanjiru", on_submitted, out);
	buffer_release(&body);
}

static struct outcome
submit_and_wait(const char *id, const char *words)
{
	struct outcome out;

	submit(id, words, &out);
	run_for(2000);
	assert_true(out.told);
	return out;
}

static struct outcome
withdraw(const char *id)
{
	struct outcome out = { .told = false };
	struct id raw;

	assert_int_equal(id_parse(id, &raw), OK);
	office_withdraw(office, raw, "Wanjiru", on_done, &out);
	run_for(2000);
	assert_true(out.told);
	return out;
}

/* A slip about the I-th envelope that the post was given. */
static void
say_slip(size_t i, Citex__SlipType type, const char *maker, enum err reason)
{
	bool is_node = strchr(maker, '.') == NULL;
	struct slip_draft draft = { .type = type,
		.about = &post.envelopes[i],
		.to = "ke.ma",
		.maker = maker,
		.time_ms = world_now().utc_ms,
		.reason = reason,
		.words = "",
		.directory = 1 };
	struct buffer packed = { 0 };
	struct event ev = { .type = EVENT_OFFER_SLIP, .token = ++post.token };

	assert_int_equal(
	    slips_make(fixture_key(fixture, maker, is_node ? USE_RECEIPTS : USE_SIGNING), &draft, 1,
		&packed),
	    OK);
	ev.bytes = buffer_bytes(&packed);
	post_event(&ev);
	buffer_release(&packed);
}

static void
offer_slip(size_t i, Citex__SlipType type, const char *maker, enum err reason)
{
	say_slip(i, type, maker, reason);
	run_for(2000);
}

static Citex__BookAddressee *
addressee(void)
{
	struct txn *t = NULL;
	struct id id;
	Citex__BookAddressee *a = NULL;

	assert_int_equal(id_parse(OURS, &id), OK);
	assert_int_equal(store_read(store, &t), OK);
	assert_int_equal(book_addressee(office_book(office), t, id, 0, &a), OK);
	store_end(t);
	return a;
}

static void
expect_addressee(Citex__SlipType reached, bool is_stored, const char *reason)
{
	Citex__BookAddressee *a = addressee();

	assert_int_equal(a->reached, reached);
	assert_int_equal(a->stored != 0, is_stored);
	assert_string_equal(a->reason, reason);
	proto_free(&a->base);
}

static void
expect_addressee_at(size_t i, Citex__SlipType reached)
{
	Citex__BookAddressee *a = NULL;
	struct txn *t = NULL;
	struct id id;
	bool found = false;

	assert_int_equal(id_parse(OURS, &id), OK);
	assert_int_equal(store_read(store, &t), OK);
	for (unsigned k = 0; !found && k < 2; k++) {
		assert_int_equal(book_addressee(office_book(office), t, id, k, &a), OK);
		found = strcmp(a->authority, post.envelopes[i].outer->addressee) == 0;
		assert_true(!found || a->reached == reached);
		proto_free(&a->base);
	}
	store_end(t);
	assert_true(found);
}

static int
set_up_own(void **state)
{
	common = fixture;
	world_begin(1); /* keys need chance */
	fixture = fixture_new();
	return set_up(state);
}

/* gb.ma has another key from the office's next start on. */
static void
renew_theirs(void)
{
	fixture_renew(fixture, "gb.ma", USE_SEALING, FIXTURE_NOW_MS);
	(void)fixture_publish(fixture);
	has_newer = true;
	crash();
}

static void
expect_sealed_to_newest(size_t i)
{
	struct bytes key_id = { NULL, 0 };

	assert_int_equal(envelope_recipient(&post.envelopes[i], &key_id), OK);
	assert_memory_equal(
	    key_id.at, cert_key_id(fixture_cert(fixture, "gb.ma", USE_SEALING)), KEY_ID_BYTES);
}

static void
test_office_seals_anew_when_the_key_is_gone(void **state)
{
	const Citex__Outer *was, *is;

	(void)state;
	assert_int_equal(submit_and_wait(OURS, "a").err, OK);
	offer_slip(0, CITEX__SLIP_TYPE__SLIP_STORED, "gb", OK);
	expect_addressee(CITEX__SLIP_TYPE__SLIP_STORED, true, "");
	offer_slip(0, CITEX__SLIP_TYPE__SLIP_REFUSED, "gb.ma", ERR_RESEAL);
	run_for(2 * MINUTE_MS);
	assert_int_equal(post.envelope_count, 1); /* never to the same key again */
	expect_addressee(CITEX__SLIP_TYPE__SLIP_NONE, false, err_name(ERR_RESEAL));
	assert_int_equal(withdraw(OURS).err, ERR_WRONG_STATE);
	renew_theirs();
	assert_int_equal(post.envelope_count, 2);
	was = post.envelopes[0].outer;
	is = post.envelopes[1].outer;
	assert_false(id_equal(post.envelopes[0].id, post.envelopes[1].id));
	assert_true(bytes_equal(bytes_of_pb(was->signed_digest), bytes_of_pb(is->signed_digest)));
	assert_int_equal(was->sequence, is->sequence);
	assert_int_equal(was->expires, is->expires);
	expect_sealed_to_newest(1);
	/* what comes late about the first one changes nothing */
	offer_slip(0, CITEX__SLIP_TYPE__SLIP_STORED, "gb", OK);
	offer_slip(0, CITEX__SLIP_TYPE__SLIP_REFUSED, "gb.ma", ERR_RESEAL);
	expect_addressee(CITEX__SLIP_TYPE__SLIP_NONE, false, "");
	run_for(2 * MINUTE_MS);
	assert_int_equal(post.envelope_count, 2);
	offer_slip(1, CITEX__SLIP_TYPE__SLIP_STORED, "gb", OK);
	offer_slip(1, CITEX__SLIP_TYPE__SLIP_OPENED, "gb.ma", OK);
	expect_addressee(CITEX__SLIP_TYPE__SLIP_OPENED, true, "");
}

/* The second asks STEPS events after the first, whose new envelope is being made perhaps. */
static void
ask_two_for_new_sealings(unsigned steps)
{
	int64_t until_ms;
	size_t gb;

	to_two = true;
	assert_int_equal(submit_and_wait(OURS, "a").err, OK);
	to_two = false;
	assert_int_equal(post.envelope_count, 2);
	gb = strcmp(post.envelopes[0].outer->addressee, "gb.ma") == 0 ? 0 : 1;
	fixture_renew(fixture, "so.ma", USE_SEALING, FIXTURE_NOW_MS);
	renew_theirs();
	say_slip(gb, CITEX__SLIP_TYPE__SLIP_REFUSED, "gb.ma", ERR_RESEAL);
	until_ms = world_now().mono_ms + 1000;
	for (unsigned i = 0; i < steps && world_step(until_ms); i++)
		;
	say_slip(1 - gb, CITEX__SLIP_TYPE__SLIP_REFUSED, "so.ma", ERR_RESEAL);
	run_for(2 * MINUTE_MS);
	assert_int_equal(post.envelope_count, 6); /* the first two came again with the restart */
	assert_string_not_equal(
	    post.envelopes[4].outer->addressee, post.envelopes[5].outer->addressee);
	for (size_t i = 0; i < 4; i++) {
		assert_false(id_equal(post.envelopes[i].id, post.envelopes[4].id));
		assert_false(id_equal(post.envelopes[i].id, post.envelopes[5].id));
	}
}

static void
test_office_seals_anew_for_two_who_ask_one_after_the_other(void **state)
{
	for (unsigned steps = 0; steps < 24; steps++) {
		if (steps > 0)
			(void)set_up_own(state);
		ask_two_for_new_sealings(steps);
		if (steps + 1 < 24)
			(void)tear_down_renewed(state);
	}
}

static void
test_office_seals_anew_so_often_and_no_more(void **state)
{
	(void)state;
	assert_int_equal(submit_and_wait(OURS, "a").err, OK);
	for (unsigned i = 0; i < RESEALS_MAX; i++) {
		offer_slip(i, CITEX__SLIP_TYPE__SLIP_REFUSED, "gb.ma", ERR_RESEAL);
		renew_theirs();
		assert_int_equal(post.envelope_count, i + 2);
	}
	offer_slip(RESEALS_MAX, CITEX__SLIP_TYPE__SLIP_REFUSED, "gb.ma", ERR_RESEAL);
	renew_theirs();
	assert_int_equal(post.envelope_count, RESEALS_MAX + 1);
	expect_addressee(CITEX__SLIP_TYPE__SLIP_REFUSED, false, err_name(ERR_RESEAL));
}

static void give_slip(Citex__SlipType type, int64_t time_ms);
static uint64_t time_of_kept_slip(unsigned type);

/* What was opened is not unsaid. */
static void
test_office_does_not_seal_anew_what_was_opened(void **state)
{
	(void)state;
	assert_int_equal(submit_and_wait(OURS, "a").err, OK);
	offer_slip(0, CITEX__SLIP_TYPE__SLIP_STORED, "gb", OK);
	offer_slip(0, CITEX__SLIP_TYPE__SLIP_OPENED, "gb.ma", OK);
	offer_slip(0, CITEX__SLIP_TYPE__SLIP_REFUSED, "gb.ma", ERR_RESEAL);
	renew_theirs();
	assert_int_equal(post.envelope_count, 1);
	expect_addressee(CITEX__SLIP_TYPE__SLIP_OPENED, true, "");
}

/* Of the exchange that we began; 0: nothing is due. */
static int64_t
clock_runs_from(void)
{
	CLEANUP(history_release) struct history h = { 0 };
	CLEANUP(store_end_drop) struct txn *t = NULL;
	struct id id;

	assert_int_equal(id_parse(OURS, &id), OK);
	assert_int_equal(store_read(store, &t), OK);
	assert_int_equal(history_load(office, t, id, world_now().utc_ms, &h), OK);
	assert_int_equal(h.exchange.clock_count, 1);
	return h.exchange.clocks[0].start_ms;
}

/* A clock that runs is not stopped so. */
static void
test_office_begins_no_clock_anew_after_days(void **state)
{
	(void)state;
	for (unsigned late = 0; late < 2; late++) {
		int64_t stored_ms;

		assert_int_equal(submit_and_wait(OURS, "a").err, OK);
		stored_ms = world_now().utc_ms;
		give_slip(CITEX__SLIP_TYPE__SLIP_STORED, stored_ms);
		/* at the last moment, but for the way of the slip; or a millisecond after it */
		run_for(
		    stored_ms + RESEAL_ANEW_MS + (late > 0 ? 1 : -SECOND_MS) - world_now().utc_ms);
		offer_slip(0, CITEX__SLIP_TYPE__SLIP_REFUSED, "gb.ma", ERR_RESEAL);
		/* nothing of the new envelope is there, whatever the clock goes by */
		expect_addressee(CITEX__SLIP_TYPE__SLIP_NONE, false, err_name(ERR_RESEAL));
		assert_int_equal(clock_runs_from(), late > 0 ? stored_ms : 0);
		if (late == 0) {
			(void)tear_down_renewed(state);
			(void)set_up_own(state);
		}
	}
}

/* Any relay may say that it gave up, until the addressee's node has it. */
static void
test_office_hears_no_relay_after_the_addressees_node(void **state)
{
	(void)state;
	assert_int_equal(submit_and_wait(OURS, "a").err, OK);
	offer_slip(0, CITEX__SLIP_TYPE__SLIP_STORED, "gb", OK);
	offer_slip(0, CITEX__SLIP_TYPE__SLIP_REFUSED, "ke", ERR_DENIED);
	expect_addressee(CITEX__SLIP_TYPE__SLIP_STORED, true, "");
	offer_slip(0, CITEX__SLIP_TYPE__SLIP_REFUSED, "gb.ma", ERR_DENIED);
	expect_addressee(CITEX__SLIP_TYPE__SLIP_REFUSED, true, "denied");
}

static void
test_office_believes_no_receipt_from_the_future(void **state)
{
	Citex__BookAddressee *a;

	(void)state;
	assert_int_equal(submit_and_wait(OURS, "a").err, OK);
	give_slip(CITEX__SLIP_TYPE__SLIP_STORED, 253370764800000LL); /* the year 9999 */
	a = addressee();
	assert_true(a->stored != 0 && a->stored <= (uint64_t)world_now().utc_ms);
	proto_free(&a->base);
	assert_int_equal(time_of_kept_slip(CITEX__SLIP_TYPE__SLIP_STORED), 253370764800000LL);
}

/* Whose key it is says that it is gone; from a node it is a refusal like any other. */
static void
test_office_does_not_seal_anew_for_a_node(void **state)
{
	(void)state;
	assert_int_equal(submit_and_wait(OURS, "a").err, OK);
	offer_slip(0, CITEX__SLIP_TYPE__SLIP_REFUSED, "gb", ERR_RESEAL);
	expect_addressee(CITEX__SLIP_TYPE__SLIP_REFUSED, false, err_name(ERR_RESEAL));
	renew_theirs();
	assert_int_equal(post.envelope_count, 1);
}

static void
test_office_sends_a_known_id_once(void **state)
{
	struct outcome out = submit_and_wait(OURS, "a");

	(void)state;
	if (out.err != OK)
		fail_msg("%s", out.words);
	assert_false(out.known);
	out = submit_and_wait(OURS, "a");
	assert_int_equal(out.err, OK);
	assert_true(out.known);
	out = submit_and_wait(OURS, "b");
	assert_int_equal(out.err, ERR_CONFLICT);
	assert_int_equal(post.envelope_count, 1);
	assert_int_equal(count(BOX_SENT), 1);
}

/* What the post was offered may be on its disk, whatever became of the line. */
static void
test_office_withdraws_only_what_has_not_left(void **state)
{
	(void)state;
	assert_int_equal(submit_and_wait(OURS, "a").err, OK);
	assert_int_equal(withdraw(OURS).err, ERR_WRONG_STATE); /* taken */
	post.holds_back = true;
	assert_int_equal(submit_and_wait(QUERY, "a").err, OK);
	assert_int_equal(post.envelope_count, 2);
	assert_int_equal(withdraw(QUERY).err, ERR_WRONG_STATE); /* offered */
	machine_cut(elsewhere, true);
	link_close(post.link);
	post_loses();
	run_for(1000);
	assert_int_equal(withdraw(QUERY).err, ERR_WRONG_STATE); /* not answered; the line is gone */
	crash();
	assert_int_equal(withdraw(QUERY).err, ERR_WRONG_STATE); /* and so are we */
	post.holds_back = false;
	machine_cut(elsewhere, false);
	run_for(20000);
	assert_true(post.envelope_count >= 3);
	assert_memory_equal(post.envelopes[2].digest, post.envelopes[1].digest, DIGEST_BYTES);
}

/* It waited for the post, and went: that it leaves is written before. */
static void
test_office_does_not_withdraw_what_waited_and_then_left(void **state)
{
	(void)state;
	machine_cut(elsewhere, true);
	link_close(post.link);
	post_loses();
	run_for(1000);
	assert_int_equal(submit_and_wait(OURS, "a").err, OK);
	post.holds_back = true;
	machine_cut(elsewhere, false);
	run_for(20000);
	assert_int_equal(post.envelope_count, 1);
	machine_cut(elsewhere, true);
	link_close(post.link);
	post_loses();
	run_for(1000);
	assert_int_equal(withdraw(OURS).err, ERR_WRONG_STATE);
	crash();
	assert_int_equal(withdraw(OURS).err, ERR_WRONG_STATE);
}

static void
test_office_withdraws_what_was_never_offered(void **state)
{
	(void)state;
	machine_cut(elsewhere, true);
	link_close(post.link);
	post_loses();
	run_for(1000);
	assert_int_equal(submit_and_wait(OURS, "a").err, OK);
	crash();
	assert_int_equal(withdraw(OURS).err, OK);
	assert_int_equal(withdraw(OURS).err, ERR_WRONG_STATE);
	machine_cut(elsewhere, false);
	run_for(20000);
	assert_non_null(post.session);
	assert_int_equal(post.envelope_count, 0);
}

/* One piece of a scan of LENGTH bytes, from OFFSET on, during VISIT. */
static void
begin_put(uint64_t visit, const char *handle, uint64_t length, uint64_t offset, office_done *done,
    void *arg)
{
	static uint8_t plain[CHUNK_PLAIN_BYTES];
	Citex__Put p = CITEX__PUT__INIT;
	uint64_t left = length - offset;

	p.handle = (ProtobufCBinaryData){ ID_BYTES, (uint8_t *)(uintptr_t)handle };
	p.name = text("scan.pdf");
	p.media_type = text("application/pdf");
	p.length = length;
	p.offset = offset;
	p.data = (ProtobufCBinaryData){ left < sizeof(plain) ? left : sizeof(plain), plain };
	office_put(office, visit, &p, done, arg);
}

static enum err
put(uint64_t visit, const char *handle, uint64_t length, uint64_t offset)
{
	struct outcome out = { .told = false };

	begin_put(visit, handle, length, offset, on_done, &out);
	run_for(100);
	assert_true(out.told);
	return out.err;
}

static bool
put_piece(const char *handle, uint64_t length)
{
	return put(1, handle, length, 0) == OK;
}

static uint32_t
chunks_of(const char *handle)
{
	struct id id;
	struct txn *t = NULL;
	uint32_t n = 0;

	memcpy(id.at, handle, ID_BYTES);
	assert_int_equal(store_read(store, &t), OK);
	for (uint32_t i = 0; i < 2000; i++)
		n += book_has_chunk(office_book(office), t, id, i) ? 1 : 0;
	store_end(t);
	return n;
}

static void
test_office_never_writes_over_an_attachment(void **state)
{
	(void)state;
	assert_true(put_piece("0123456789abcdef", 1000));
	assert_false(put_piece("0123456789abcdef", 1000));
	assert_true(put_piece("0123456789abcdeF", 0));
}

#define SCAN "0123456789abcdef"

/* An officer's program that goes away frees its places, and what it put goes with it. */
static void
test_office_frees_what_a_program_left_half_put(void **state)
{
	char handle[ID_BYTES + 1] = SCAN;

	(void)state;
	for (unsigned i = 0; i < UPLOADS_MAX; i++) {
		handle[0] = (char)('0' + i);
		assert_int_equal(put(7, handle, 2 * CHUNK_PLAIN_BYTES, 0), OK);
	}
	assert_int_equal(put(8, SCAN, 2 * CHUNK_PLAIN_BYTES, 0), ERR_UNEXPECTED);
	assert_int_equal(put(8, "another.........", 1, 0), ERR_BUSY);
	office_visit_ended(office, 9);
	assert_int_equal(put(8, "another.........", 1, 0), ERR_BUSY);
	office_visit_ended(office, 7);
	assert_int_equal(put(8, "another.........", 1, 0), OK);
	run_for(1000);
	for (unsigned i = 0; i < UPLOADS_MAX; i++) {
		handle[0] = (char)('0' + i);
		assert_int_equal(chunks_of(handle), 0);
	}
	assert_int_equal(chunks_of("another........."), 1);
}

/* It may leave while a piece is being written, and one transaction deletes only so much. */
static void
test_office_sweeps_a_long_upload_that_was_cut_off_in_writing(void **state)
{
	struct outcome out = { .told = false };
	const uint64_t length = 4 * SWEEP_CHUNKS_MAX * CHUNK_PLAIN_BYTES;
	uint64_t offset = 0;
	uint32_t before = 0, most = 0;
	int64_t until_ms;

	(void)state;
	for (; offset < length / 2; offset += CHUNK_PLAIN_BYTES)
		assert_int_equal(put(7, SCAN, length, offset), OK);
	assert_int_equal(chunks_of(SCAN), 2 * SWEEP_CHUNKS_MAX);
	begin_put(7, SCAN, length, offset, on_done, &out);
	office_visit_ended(office, 7);
	until_ms = world_now().mono_ms + SECOND_MS;
	while (world_step(until_ms)) {
		uint32_t left = chunks_of(SCAN);
		if (left < before)
			most = before - left > most ? before - left : most;
		before = left;
	}
	assert_int_equal(most, SWEEP_CHUNKS_MAX);
	assert_true(out.told);
	assert_int_equal(chunks_of(SCAN), 0);
	assert_int_equal(put(8, SCAN, 1, 0), OK);
}

static void
test_office_sweeps_what_was_half_put_when_it_died(void **state)
{
	(void)state;
	assert_int_equal(put(7, SCAN, 2 * CHUNK_PLAIN_BYTES, 0), OK);
	crash();
	assert_int_equal(chunks_of(SCAN), 0);
}

static unsigned refused_again;

static void
on_refused_again(void *arg, enum err e, const char *words)
{
	(void)arg;
	(void)words;
	assert_int_not_equal(e, OK);
	refused_again++;
}

/* The answer that there is no room may bring the same piece once more, at once. */
static void
on_put_or_again(void *arg, enum err e, const char *words)
{
	uint64_t *offset = arg;

	(void)words;
	if (e == OK)
		*offset += CHUNK_PLAIN_BYTES;
	else
		begin_put(7, SCAN, ATTACHMENT_MAX_BYTES, *offset, on_refused_again, NULL);
}

static void
test_office_throws_away_what_found_no_room(void **state)
{
	uint64_t offset = 0;

	(void)state;
	refused_again = 0;
	for (unsigned i = 0; i < 2000 && refused_again == 0; i++) {
		begin_put(7, SCAN, ATTACHMENT_MAX_BYTES, offset, on_put_or_again, &offset);
		run_for(20);
	}
	assert_int_equal(refused_again, 1);
	run_for(5000);
	assert_int_equal(chunks_of(SCAN), 0);
}

/* --- disks that burn --- */

/* It signed a message, the backup was made, it was sealed after the restore. */
static void
test_office_sends_what_it_signed_before_it_was_restored(void **state)
{
	uint8_t was[INCARNATION_BYTES];
	int64_t until_ms = world_now().mono_ms + 2000;
	struct outcome out;

	(void)state;
	memcpy(was, book_incarnation(office_book(office)), sizeof(was));
	if (__lsan_disable != NULL)
		__lsan_disable();
	submit(OURS, "a", &out);
	while (!out.told && world_step(until_ms))
		;
	assert_int_equal(out.err, OK);
	is_restored = true;
	machine_crash(ke);
	if (__lsan_enable != NULL)
		__lsan_enable();
	assert_int_equal(post.envelope_count, 0);
	run_for(20000);
	assert_memory_not_equal(book_incarnation(office_book(office)), was, sizeof(was));
	assert_int_equal(post.envelope_count, 1);
	/* the signed content names it too: they must agree */
	assert_memory_equal(post.envelopes[0].outer->incarnation.data, was, sizeof(was));
}

/* The addressee's node, or the addressee, says TYPE of the envelope that the post has. */
static void
give_slip(Citex__SlipType type, int64_t time_ms)
{
	const bool by_node = type == CITEX__SLIP_TYPE__SLIP_STORED;
	struct slip_draft d = { .type = type,
		.about = &post.envelopes[0],
		.to = "ke.ma",
		.maker = by_node ? "gb" : "gb.ma",
		.time_ms = time_ms,
		.directory = 1 };
	struct buffer packed = { 0 };
	struct event ev = { .type = EVENT_OFFER_SLIP, .token = ++post.token };

	assert_int_equal(
	    slips_make(fixture_key(fixture, d.maker, by_node ? USE_RECEIPTS : USE_SIGNING), &d, 1,
		&packed),
	    OK);
	ev.bytes = buffer_bytes(&packed);
	post_event(&ev);
	buffer_release(&packed);
	run_for(500);
}

static void
tell_spool(const char *node, const char *incarnation)
{
	Citex__Frame f = CITEX__FRAME__INIT;
	Citex__Spool s = CITEX__SPOOL__INIT;
	struct event ev = { .type = EVENT_SEND, .frame = &f };

	s.node = text(node);
	s.incarnation = pb_of_bytes(bytes_str(incarnation));
	f.body_case = CITEX__FRAME__BODY_SPOOL;
	f.spool = &s;
	post_event(&ev);
	run_for(1000);
}

static uint64_t
time_of_kept_slip(unsigned type)
{
	struct buffer packed = { 0 };
	struct slip slip;
	struct txn *t = NULL;
	uint64_t time;

	assert_int_equal(store_read(store, &t), OK);
	assert_int_equal(
	    book_slip(office_book(office), t, post.envelopes[0].id, type, &packed), OK);
	assert_int_equal(slip_parse(buffer_bytes(&packed), &slip), OK);
	time = slip.body->time;
	slip_release(&slip);
	buffer_release(&packed);
	store_end(t);
	return time;
}

/* Who got an envelope of ours knows its id, and may give it to one of his own. */
static void
test_office_keeps_its_proofs_when_an_envelope_comes_under_its_id(void **state)
{
	struct mail_plan plan = { .content = make_query };
	struct buffer packed = { 0 };
	struct envelope e;
	int64_t stored_ms;
	bool proved;

	(void)state;
	assert_int_equal(submit_and_wait(OURS, "a").err, OK);
	stored_ms = world_now().utc_ms - 10;
	give_slip(CITEX__SLIP_TYPE__SLIP_STORED, stored_ms);
	give_slip(CITEX__SLIP_TYPE__SLIP_OPENED, stored_ms + 1);
	plan.envelope_id = &post.envelopes[0].id;
	mail_make(fixture, &plan, &packed, NULL);
	assert_int_equal(envelope_parse(buffer_bytes(&packed), &e), OK);
	assert_true(id_equal(e.id, post.envelopes[0].id));
	offer_packed(buffer_bytes(&packed));
	run_for(2000);
	assert_int_equal(count(BOX_INBOX), 1);
	assert_int_equal(time_of_kept_slip(CITEX__SLIP_TYPE__SLIP_STORED), stored_ms);
	assert_int_equal(time_of_kept_slip(CITEX__SLIP_TYPE__SLIP_OPENED), stored_ms + 1);
	(void)clock_start_of(&e, &proved);
	assert_true(proved);
	envelope_release(&e);
	buffer_release(&packed);
}

/* Nor does one take the place of another in quarantine. */
static void
test_office_keeps_both_apart_in_quarantine(void **state)
{
	struct mail_plan plan = { .content = make_query, .sealed_to = "so.ma" };
	struct buffer packed = { 0 };
	struct envelope e;
	Citex__BookQuarantined *q = NULL;
	struct txn *t;

	(void)state;
	mail_make(fixture, &plan, &packed, NULL);
	assert_int_equal(envelope_parse(buffer_bytes(&packed), &e), OK);
	offer_packed(buffer_bytes(&packed));
	run_for(2000);
	plan.envelope_id = &e.id;
	plan.sequence = 2;
	offer(&plan);
	run_for(2000);
	expect_slip(1, CITEX__SLIP_TYPE__SLIP_REFUSED, "cannot-be-opened");
	assert_int_equal(store_read(store, &t), OK);
	assert_int_equal(book_quarantined(office_book(office), t, e.id, &q), OK);
	store_end(t);
	assert_true(bytes_equal(bytes_of_pb(q->packed), buffer_bytes(&packed)));
	proto_free(&q->base);
	envelope_release(&e);
	buffer_release(&packed);
}

/* What a node acknowledged, and lost with its disk, is offered again: the same envelope, for as
 * long as it is kept, and once for each disk. */
static void
test_office_offers_again_to_a_node_that_lost_its_disk(void **state)
{
	int64_t stored_ms;

	(void)state;
	tell_spool("gb", "12345678");
	assert_int_equal(submit_and_wait(OURS, "a").err, OK);
	stored_ms = world_now().utc_ms;
	give_slip(CITEX__SLIP_TYPE__SLIP_STORED, stored_ms);
	give_slip(CITEX__SLIP_TYPE__SLIP_OPENED, stored_ms + 1);
	assert_int_equal(post.taken, 2);
	tell_spool("gb", "12345678");
	tell_spool("secretariat", "12345678");
	tell_spool("secretariat", "abcdefgh"); /* another node's disk */
	assert_int_equal(post.envelope_count, 1);
	tell_spool("gb", "abcdefgh");
	assert_int_equal(post.envelope_count, 2);
	assert_memory_equal(post.envelopes[1].digest, post.envelopes[0].digest, DIGEST_BYTES);
	give_slip(CITEX__SLIP_TYPE__SLIP_STORED, stored_ms + 5000);
	assert_int_equal(time_of_kept_slip(CITEX__SLIP_TYPE__SLIP_STORED), stored_ms);
	give_slip(CITEX__SLIP_TYPE__SLIP_OPENED, stored_ms + 5001);
	tell_spool("gb", "abcdefgh");
	break_line();
	assert_int_equal(post.envelope_count, 2);
	run_for(KEEP_SEALED_AFTER_STORED_MS - MINUTE_MS);
	tell_spool("gb", "ABCDEFGH");
	assert_int_equal(post.envelope_count, 3);
	give_slip(CITEX__SLIP_TYPE__SLIP_OPENED, stored_ms + 5002);
	run_for(MINUTE_MS);
	tell_spool("gb", "stuvwxyz");
	assert_int_equal(post.envelope_count, 3);
}

/* --- what an officer is told of --- */

/* WHAT was told COUNT times in all. */
static void
expect_told(const char *what, unsigned count)
{
	unsigned n = 0;

	for (size_t i = 0; i < told_due.count; i++)
		n += strcmp(told_due.words[i], what) == 0 ? 1 : 0;
	if (n != count)
		fail_msg("`%s' was told %u times", what, n);
	assert_int_equal(told_due.hooks, told_due.count);
}

static void
submit_to_two(void)
{
	to_two = true;
	assert_int_equal(submit_and_wait(OURS, "a").err, OK);
	to_two = false;
	assert_int_equal(post.envelope_count, 2);
}

/* The place of the envelope to AUTHORITY among those that the post has. */
static size_t
envelope_to(const char *authority)
{
	for (size_t i = 0; i < post.envelope_count; i++) {
		if (strcmp(post.envelopes[i].outer->addressee, authority) == 0)
			return i;
	}
	fail_msg("nothing was sent to %s", authority);
	return 0;
}

static void
test_office_tells_of_an_addressee_who_says_nothing_for_hours(void **state)
{
	(void)state;
	submit_to_two();
	offer_slip(envelope_to("gb.ma"), CITEX__SLIP_TYPE__SLIP_STORED, "gb", OK);
	offer_slip(
	    envelope_to("so.ma"), CITEX__SLIP_TYPE__SLIP_RELAYED, "secretariat", OK); /* no word */
	run_for(SILENCE_NOTICE_MS - MINUTE_MS);
	assert_int_equal(told_due.count, 0);
	run_for(4 * MINUTE_MS);
	expect_told("silent so.ma", 1);
	assert_int_equal(told_due.count, 1);
	run_for(2 * HOUR_MS);
	crash();
	run_for(2 * HOUR_MS);
	assert_int_equal(told_due.count, 1);
}

/* Let time pass until the watchman has looked N times more; he begins a second after the office. */
static void
run_to_look(unsigned n)
{
	int64_t since_ms = world_now().mono_ms - began_ms - SECOND_MS;

	run_for(n * MINUTE_MS - since_ms % MINUTE_MS);
}

/* COUNT envelopes wait that nobody can read, before any of ours. */
static void
put_unreadable(unsigned count)
{
	struct txn *t = NULL;
	struct id id = { { 0 } };

	assert_int_equal(store_begin(store, &t), OK);
	for (unsigned i = 1; i <= count; i++) {
		id.at[14] = (uint8_t)(i >> 8);
		id.at[15] = (uint8_t)i;
		assert_int_equal(book_mark(office_book(office), t, LIST_WAITING, id), OK);
	}
	assert_int_equal(store_commit(t), OK);
}

/* What one look leaves, the next one looks at. */
static void
test_office_looks_for_silence_at_so_many_at_once(void **state)
{
	for (unsigned beyond = 0; beyond < 2; beyond++) {
		if (beyond > 0)
			begin(1);
		assert_int_equal(submit_and_wait(OURS, "a").err, OK);
		run_to_look((unsigned)(SILENCE_NOTICE_MS / MINUTE_MS));
		run_for(SECOND_MS);
		assert_int_equal(told_due.count, 0);
		put_unreadable(SILENCE_LOOKS_MAX - 1 + beyond);
		run_for(MINUTE_MS);
		assert_int_equal(told_due.count, beyond == 0 ? 1 : 0);
		run_for(MINUTE_MS);
		expect_told("silent gb.ma", 1);
		if (beyond == 0)
			(void)tear_down(state);
	}
}

static void
test_office_offers_again_what_nobody_opened_for_a_day(void **state)
{
	(void)state;
	assert_int_equal(submit_and_wait(OURS, "a").err, OK);
	assert_int_equal(post.envelope_count, 1);
	/* he looks once a minute, and a second after the day is over */
	run_for(began_ms + OFFER_AGAIN_MS - world_now().mono_ms);
	assert_int_equal(post.envelope_count, 1);
	run_for(2 * SECOND_MS);
	assert_int_equal(post.envelope_count, 2);
	assert_memory_equal(post.envelopes[1].digest, post.envelopes[0].digest, DIGEST_BYTES);
	run_for(OFFER_AGAIN_MS - 3 * SECOND_MS);
	assert_int_equal(post.envelope_count, 2);
	run_for(4 * SECOND_MS);
	assert_int_equal(post.envelope_count, 3);
	offer_slip(0, CITEX__SLIP_TYPE__SLIP_OPENED, "gb.ma", OK);
	run_for(OFFER_AGAIN_MS + MINUTE_MS);
	assert_int_equal(post.envelope_count, 3);
}

static void
test_office_gives_an_envelope_thirty_days(void **state)
{
	const Citex__Outer *o;

	(void)state;
	assert_int_equal(submit_and_wait(OURS, "a").err, OK);
	o = post.envelopes[0].outer;
	assert_int_equal(o->expires - o->created, LIFETIME_DEFAULT_MS);
}

/* Not only what the post has: also what cannot be sealed, and what waits for the post. */
static void
test_office_tells_of_silence_when_the_post_is_away(void **state)
{
	(void)state;
	machine_cut(elsewhere, true);
	link_close(post.link);
	post_loses();
	run_for(1000);
	assert_int_equal(submit_and_wait(OURS, "a").err, OK);
	run_for(SILENCE_NOTICE_MS + 3 * MINUTE_MS);
	expect_told("silent gb.ma", 1);
	assert_int_equal(told_due.count, 1);
	machine_cut(elsewhere, false);
	run_for(20000);
}

static void
test_office_tells_of_silence_when_there_is_no_key(void **state)
{
	(void)state;
	assert_int_equal(submit_and_wait(OURS, "a").err, OK);
	offer_slip(0, CITEX__SLIP_TYPE__SLIP_REFUSED, "gb.ma", ERR_RESEAL);
	run_for(SILENCE_NOTICE_MS + 3 * MINUTE_MS);
	expect_told("silent gb.ma", 1);
	assert_int_equal(told_due.count, 1);
}

/* Each addressee has its own clock, and what is told of one says nothing of another. */
static void
test_office_tells_what_is_due_and_overdue_for_each_addressee(void **state)
{
	const int64_t length_ms = 14 * DAY_MS;

	(void)state;
	submit_to_two();
	offer_slip(envelope_to("gb.ma"), CITEX__SLIP_TYPE__SLIP_STORED, "gb", OK);
	offer_slip(envelope_to("gb.ma"), CITEX__SLIP_TYPE__SLIP_OPENED, "gb.ma", OK);
	run_for(DAY_MS);
	told_due.count = told_due.hooks = 0; /* so.ma's silence */
	offer_slip(envelope_to("so.ma"), CITEX__SLIP_TYPE__SLIP_STORED, "so", OK);
	offer_slip(envelope_to("so.ma"), CITEX__SLIP_TYPE__SLIP_OPENED, "so.ma", OK);
	run_for(length_ms - DUE_SOON_MS - DAY_MS - HOUR_MS);
	assert_int_equal(told_due.count, 0);
	run_for(2 * HOUR_MS);
	expect_told("soon gb.ma", 1);
	assert_int_equal(told_due.count, 1);
	run_for(DUE_SOON_MS);
	expect_told("soon so.ma", 1);
	expect_told("overdue gb.ma", 1);
	assert_int_equal(told_due.count, 3);
	crash();
	run_for(DAY_MS);
	expect_told("overdue so.ma", 1);
	assert_int_equal(told_due.count, 4);
}

/* We owe as well. */
static void
test_office_tells_what_it_owes_itself(void **state)
{
	struct mail_plan plan = { .content = make_query };

	(void)state;
	offer(&plan);
	run_for(14 * DAY_MS + HOUR_MS);
	expect_told("soon ke.ma", 1);
	expect_told("overdue ke.ma", 1);
	assert_int_equal(told_due.count, 2);
}

/* --- what goes when it was kept long enough --- */

static void
read_envelope(size_t i, Citex__BookEnvelope **out)
{
	struct txn *t = NULL;

	assert_int_equal(store_read(store, &t), OK);
	assert_int_equal(book_envelope(office_book(office), t, post.envelopes[i].id, out), OK);
	store_end(t);
}

static void
expect_sealed_bytes(size_t i, bool there)
{
	Citex__BookEnvelope *e = NULL;

	read_envelope(i, &e);
	assert_int_equal(e->packed.len != 0, there);
	assert_true(
	    there || bytes_equal(bytes_of_pb(e->outer), bytes_of_pb(post.envelopes[i].pb->outer)));
	proto_free(&e->base);
}

/* The bundle of our message proves what the I-th envelope's slips say: its outer fields are in it,
 * and so many slips. */
static void
expect_bundle(size_t i, unsigned slips)
{
	struct display v = { .book = office_book(office),
		.directory = office_directory(office),
		.office = office,
		.me = "ke.ma",
		.now_ms = world_now().utc_ms };
	struct bundle b = { NULL, 0 };
	char id[ID_TEXT_BYTES], name[ID_TEXT_BYTES + 16];
	struct id exchange;
	unsigned outer = 0, found = 0;

	id_print(post.envelopes[i].id, id);
	(void)snprintf(name, sizeof(name), "slips/%s.outer", id);
	assert_int_equal(id_parse(OURS, &exchange), OK);
	assert_int_equal(store_read(store, &v.t), OK);
	assert_int_equal(bundle_make(&v, exchange, &b), OK);
	store_end(v.t);
	for (size_t k = 0; k < b.count; k++) {
		if (strcmp(b.files[k].name, name) == 0 &&
		    bytes_equal(
			buffer_bytes(&b.files[k].data), bytes_of_pb(post.envelopes[i].pb->outer)))
			outer++;
		if (strncmp(b.files[k].name, "slips/", 6) == 0 &&
		    strstr(b.files[k].name, ".slip") != NULL)
			found++;
	}
	assert_int_equal(outer, 1);
	assert_int_equal(found, slips);
	bundle_release(&b);
}

static void
test_office_drops_sealed_bytes_two_weeks_after_they_were_stored(void **state)
{
	size_t gb, so;

	(void)state;
	submit_to_two();
	gb = envelope_to("gb.ma");
	so = envelope_to("so.ma");
	offer_slip(gb, CITEX__SLIP_TYPE__SLIP_STORED, "gb", OK);
	offer_slip(gb, CITEX__SLIP_TYPE__SLIP_OPENED, "gb.ma", OK);
	expect_bundle(gb, 2);
	run_for(10 * DAY_MS);
	offer_slip(so, CITEX__SLIP_TYPE__SLIP_STORED, "so", OK); /* and not opened */
	run_for(4 * DAY_MS - HOUR_MS);
	expect_sealed_bytes(gb, true);
	run_for(2 * DAY_MS + 2 * HOUR_MS);
	expect_sealed_bytes(gb, false);
	expect_sealed_bytes(so, true);
	expect_bundle(gb, 3);
	/* what was pruned is no worse a proof, and takes further slips */
	offer_slip(gb, CITEX__SLIP_TYPE__SLIP_SEEN, "gb.ma", OK);
	expect_bundle(gb, 4);
	expect_addressee_at(gb, CITEX__SLIP_TYPE__SLIP_SEEN);
	run_for(9 * DAY_MS);
	expect_sealed_bytes(so, true); /* it waits for its `opened': offered again each day */
	offer_slip(so, CITEX__SLIP_TYPE__SLIP_OPENED, "so.ma", OK);
	crash(); /* it remembers which it passed over */
	run_for(DAY_MS + HOUR_MS);
	expect_sealed_bytes(so, false);
}

static struct buffer with_scan;

static uint32_t
chunks_of_scan(void)
{
	return chunks_of((const char *)scan.root);
}

static void
offer_with_scan(const char *words, uint64_t sequence)
{
	struct mail_plan plan = {
		.content = make_query_with_scan, .arg = text(words), .sequence = sequence
	};

	buffer_release(&with_scan);
	mail_make(fixture, &plan, &with_scan, NULL);
	offer_packed(buffer_bytes(&with_scan));
	run_for(3000);
}

static void
test_office_drops_what_never_came_whole(void **state)
{
	const int64_t end_ms = MAIL_CREATED_MS + LIFETIME_DEFAULT_MS + REMEMBER_AFTER_EXPIRY_MS;
	int64_t round_ms;

	(void)state;
	post.give = 2;
	offer_with_scan("a", 1);
	assert_int_equal(chunks_of_scan(), 2);
	/* in the first round after it: rounds are days after the watchman's first look */
	round_ms = end_ms - (world_now().utc_ms - world_now().mono_ms) - began_ms - SECOND_MS;
	round_ms = (round_ms / PRUNE_ROUND_MS + 1) * PRUNE_ROUND_MS + began_ms + SECOND_MS;
	world_run(round_ms - SECOND_MS);
	assert_int_equal(chunks_of_scan(), 2);
	world_run(round_ms + SECOND_MS);
	assert_int_equal(chunks_of_scan(), 0);
	buffer_release(&with_scan);
}

#define PRUNABLE (PRUNE_MAX + 1)

static struct id
prunable_id(unsigned i)
{
	return (struct id){ { [14] = 1, [15] = (uint8_t)i } };
}

static void
end_long_ago(Citex__Outer *o, void *arg)
{
	(void)arg;
	o->created = (uint64_t)(FIXTURE_NOW_MS - 60 * DAY_MS);
	o->expires = o->created + HOUR_MS;
}

/* Envelopes of ours that ended long ago, passed over when they were young or not, or what arrived
 * without its chunks. */
static void
leave_prunable(struct book *b, struct txn *t)
{
	struct mail_plan plan = { .content = make_query, .outer = end_long_ago };
	struct buffer packed = { 0 };
	Citex__BookEnvelope e = CITEX__BOOK_ENVELOPE__INIT;
	Citex__BookArrived a = CITEX__BOOK_ARRIVED__INIT;

	mail_make(fixture, &plan, &packed, NULL);
	e.packed = a.packed = pb_of_bytes(buffer_bytes(&packed));
	e.sealed = e.ended = (uint64_t)(FIXTURE_NOW_MS - 60 * DAY_MS);
	for (unsigned i = 0; i < PRUNABLE; i++) {
		uint8_t digest[DIGEST_BYTES] = { (uint8_t)i };
		struct id id = prunable_id(i);
		if (prunable == ARRIVED) {
			assert_int_equal(book_put_arrived(b, t, digest, &a), OK);
			continue;
		}
		assert_int_equal(book_put_envelope(b, t, id, &e), OK);
		if (prunable == KEPT)
			assert_int_equal(book_mark(b, t, LIST_KEPT, id), OK);
	}
	if (prunable == KEPT)
		assert_int_equal(book_put_pruned(b, t, prunable_id(PRUNABLE - 1)), OK);
	buffer_release(&packed);
}

static bool
is_pruned(struct txn *t, unsigned i)
{
	struct book *b = office_book(office);
	uint8_t digest[DIGEST_BYTES] = { (uint8_t)i };
	Citex__BookArrived *a = NULL;
	Citex__BookEnvelope *e = NULL;
	bool there = false;

	if (prunable == ARRIVED && book_arrived(b, t, digest, &a) == OK)
		there = true;
	if (prunable != ARRIVED && book_envelope(b, t, prunable_id(i), &e) == OK)
		there = e->packed.len != 0;
	proto_free((ProtobufCMessage *)a);
	proto_free((ProtobufCMessage *)e);
	return !there;
}

static unsigned
count_pruned(void)
{
	unsigned n = 0;
	struct txn *t = NULL;

	assert_int_equal(store_read(store, &t), OK);
	for (unsigned i = 0; i < PRUNABLE; i++)
		n += is_pruned(t, i) ? 1 : 0;
	store_end(t);
	return n;
}

static int
set_up_prunable(void **state)
{
	(void)state;
	before_start = leave_prunable;
	run_at_begin_ms = SECOND_MS / 2; /* before the first look */
	return begin(1);
}

/* One transaction takes PRUNE_MAX, the next one what is left. */
static void
test_office_prunes_so_many_in_one_transaction(void **state)
{
	for (prunable = AGED; prunable < PRUNABLES; prunable++) {
		unsigned counts[4] = { 0 }, changes = 0;
		int64_t until_ms;
		(void)tear_down(state);
		(void)set_up_prunable(state);
		assert_int_equal(count_pruned(), 0);
		until_ms = world_now().mono_ms + 3 * SECOND_MS;
		while (world_step(until_ms)) {
			unsigned n = count_pruned();
			if (n != counts[changes] && changes < 3)
				counts[++changes] = n;
		}
		assert_int_equal(changes, 2);
		assert_int_equal(counts[1], PRUNE_MAX);
		assert_int_equal(counts[2], PRUNABLE);
	}
}

static void
begin_drop(struct bytes packed, struct outcome *out)
{
	struct envelope e;

	*out = (struct outcome){ .told = false };
	assert_int_equal(envelope_parse(packed, &e), OK);
	office_drop(office, e.id, "Wanjiru", on_done, out);
	envelope_release(&e);
}

static void
drop_the_last(void)
{
	struct outcome out;

	begin_drop(buffer_bytes(&with_scan), &out);
	run_for(200);
	assert_true(out.told);
	assert_int_equal(out.err, OK);
}

static void
test_office_drops_the_chunks_of_what_is_dropped(void **state)
{
	struct mail_plan plan = { .content = make_query };

	(void)state;
	offer(&plan);
	run_for(2000);
	offer_with_scan("Another story.", 2);
	assert_int_equal(count(BOX_QUARANTINE), 1);
	assert_int_equal(chunks_of_scan(), CHUNKS);
	drop_the_last();
	run_for(1000);
	assert_int_equal(chunks_of_scan(), 0);
	/* two have them: they go with the last */
	offer_with_scan("One more.", 3);
	assert_int_equal(chunks_of_scan(), CHUNKS);
	drop_the_last();
	offer_with_scan("And one.", 4); /* comes while they are being deleted */
	assert_int_equal(count(BOX_QUARANTINE), 1);
	assert_int_equal(chunks_of_scan(), CHUNKS);
	offer_with_scan("And another.", 5);
	drop_the_last();
	run_for(1000);
	assert_int_equal(chunks_of_scan(), CHUNKS);
	buffer_release(&with_scan);
}

/* Another envelope with the same scan comes while the one before it is being dropped: at any
 * moment it has its chunks, or gets them again. */
static void
test_office_spares_the_chunks_of_what_comes_meanwhile(void **state)
{
	struct mail_plan plan = { .content = make_query };
	struct buffer before = { 0 };
	struct outcome out;

	(void)state;
	offer(&plan);
	run_for(2000);
	offer_with_scan("One.", 2);
	for (unsigned ms = 0; ms < 8; ms++) {
		struct mail_plan next = {
			.content = make_query_with_scan, .arg = text("More."), .sequence = 3 + ms
		};
		buffer_release(&before);
		before = with_scan;
		with_scan = (struct buffer){ 0 };
		mail_make(fixture, &next, &with_scan, NULL);
		offer_packed(buffer_bytes(&with_scan));
		run_for(ms);
		begin_drop(buffer_bytes(&before), &out);
		run_for(3000);
		assert_true(out.told);
		assert_int_equal(count(BOX_QUARANTINE), 1);
		assert_int_equal(chunks_of_scan(), CHUNKS);
	}
	buffer_release(&before);
	buffer_release(&with_scan);
}

static void
test_office_keeps_the_chunks_of_what_is_filed(void **state)
{
	(void)state;
	offer_with_scan("a", 1);
	assert_int_equal(count(BOX_INBOX), 1);
	offer_with_scan("Another story.", 2);
	assert_int_equal(count(BOX_QUARANTINE), 1);
	drop_the_last();
	run_for(PRUNE_ROUND_MS + HOUR_MS);
	assert_int_equal(chunks_of_scan(), CHUNKS);
	buffer_release(&with_scan);
}

/* --- death at any point --- */

/* Run N events, die, and go on: what was taken is filed once, what was accepted goes out. */
static void
die_after(unsigned n)
{
	struct mail_plan plan = { .content = make_query };
	struct buffer packed = { 0 };
	struct outcome out;
	int64_t until_ms;

	mail_make(fixture, &plan, &packed, NULL);
	if (__lsan_disable != NULL)
		__lsan_disable();
	offer_packed(buffer_bytes(&packed));
	submit(OURS, "a", &out);
	until_ms = world_now().mono_ms + 5000;
	for (unsigned i = 0; i < n && world_step(until_ms); i++)
		;
	machine_crash(ke);
	if (__lsan_enable != NULL)
		__lsan_enable();
	run_for(30000);
	assert_non_null(office);
	if (post.taken == 0) { /* custody is still the post's: it offers again */
		offer_packed(buffer_bytes(&packed));
		run_for(5000);
	}
	assert_int_equal(post.taken, 1);
	assert_int_equal(count(BOX_INBOX), 1);
	assert_true(post.slip_count >= 1);
	for (size_t i = 0; i < post.slip_count; i++)
		assert_memory_equal(post.slips[i].digest, post.slips[0].digest, DIGEST_BYTES);
	assert_true(told_new <= 1);
	if (out.told && out.err == OK) {
		assert_int_equal(count(BOX_SENT), 1);
		assert_true(post.envelope_count >= 1);
	}
	for (size_t i = 1; i < post.envelope_count; i++) /* never sealed twice */
		assert_memory_equal(
		    post.envelopes[i].digest, post.envelopes[0].digest, DIGEST_BYTES);
	buffer_release(&packed);
}

static void
test_office_loses_nothing_whenever_it_dies(void **state)
{
	for (unsigned n = 0; n < 60; n++) {
		if (n > 0)
			begin(n + 1);
		die_after(n);
		if (n + 1 < 60)
			(void)tear_down(state);
	}
}

#define OFFICE_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

/* --- what the post is asked to give back --- */

static bool
is_withdrawn(void)
{
	Citex__BookMessage *m = NULL;
	struct txn *t = NULL;
	struct id id;
	bool is;

	assert_int_equal(id_parse(OURS, &id), OK);
	assert_int_equal(store_read(store, &t), OK);
	assert_int_equal(book_message(office_book(office), t, id, &m), OK);
	is = m->withdrawn;
	proto_wipe((ProtobufCMessage *)m);
	store_end(t);
	return is;
}

/* Ask for it, and do not wait. */
static void
begin_withdraw(struct outcome *out)
{
	struct id raw;

	*out = (struct outcome){ .told = false };
	assert_int_equal(id_parse(OURS, &raw), OK);
	office_withdraw(office, raw, "Wanjiru", on_done, out);
}

static void
test_office_withdraws_what_its_post_gives_back(void **state)
{
	struct outcome out;

	(void)state;
	assert_int_equal(submit_and_wait(OURS, "a").err, OK);
	assert_int_equal(post.envelope_count, 1);
	post.back = GIVES_BACK;
	out = withdraw(OURS);
	assert_int_equal(out.err, OK);
	assert_int_equal(post.asked_times, 1);
	assert_true(bytes_equal(bytes_of_pb(post.asked->take_back->envelopes[0]->envelope_id),
	    id_bytes(&post.envelopes[0].id)));
	assert_true(bytes_equal(bytes_of_pb(post.asked->take_back->envelopes[0]->outer_digest),
	    BYTES_OF(post.envelopes[0].digest)));
	assert_true(is_withdrawn());
	assert_int_equal(withdraw(OURS).err, ERR_WRONG_STATE);
	assert_int_equal(post.asked_times, 1);
	run_for(2 * DAY_MS);
	crash();
	run_for(2 * DAY_MS);
	assert_int_equal(post.envelope_count, 1); /* never again */
}

static void
test_office_names_who_has_what_is_not_given_back(void **state)
{
	struct outcome out;

	(void)state;
	submit_to_two();
	post.has = 1;
	out = withdraw(OURS);
	assert_int_equal(out.err, ERR_WRONG_STATE);
	assert_int_equal(post.asked->take_back->n_envelopes, 2);
	assert_non_null(strstr(out.words, "or may have; it goes to the others too"));
	assert_non_null(strstr(out.words, "citex note " OURS));
	/* of the two, one is named: the one whose id comes first */
	assert_true((strstr(out.words, "gb.ma") != NULL) != (strstr(out.words, "so.ma") != NULL));
	assert_false(is_withdrawn());
	post.has = 0;
	assert_non_null(strstr(withdraw(OURS).words, ", or may have; send a note"));
	assert_int_equal(post.envelope_count, 2);
}

static void
test_office_does_not_ask_for_what_is_there(void **state)
{
	struct outcome out;

	(void)state;
	submit_to_two();
	post.back = GIVES_BACK;
	offer_slip(envelope_to("gb.ma"), CITEX__SLIP_TYPE__SLIP_STORED, "gb", OK);
	out = withdraw(OURS);
	assert_int_equal(out.err, ERR_WRONG_STATE);
	assert_int_equal(post.asked_times, 0);
	assert_non_null(
	    strstr(out.words, "it has left for gb.ma; it goes to the others too; send"));
	assert_false(is_withdrawn());
}

/* The post's word is about its spool, and it has lost the one that the envelope was in. */
static void
test_office_does_not_believe_another_spool(void **state)
{
	(void)state;
	assert_int_equal(submit_and_wait(OURS, "a").err, OK);
	post.incarnation = 6;
	break_line();
	assert_int_equal(post.envelope_count, 2); /* it is offered again */
	post.back = GIVES_BACK;
	assert_int_equal(withdraw(OURS).err, ERR_WRONG_STATE);
	assert_int_equal(post.asked_times, 0);
	crash();
	assert_int_equal(withdraw(OURS).err, ERR_WRONG_STATE);
	assert_int_equal(post.asked_times, 0);
}

static void
test_office_offers_nothing_that_it_asks_back(void **state)
{
	static struct outcome out, again;

	(void)state;
	assert_int_equal(submit_and_wait(OURS, "a").err, OK);
	post.back = SAYS_NOTHING;
	begin_withdraw(&out);
	home_reoffer(office); /* as each day what nobody has opened */
	run_for(5000);
	assert_false(out.told);
	assert_int_equal(post.envelope_count, 1);
	begin_withdraw(&again);
	run_for(1000);
	assert_int_equal(again.err, ERR_BUSY);
	assert_int_equal(post.asked_times, 1);
	post_gives_back(true);
	run_for(25 * HOUR_MS);
	assert_true(out.told && out.err == OK);
	assert_true(is_withdrawn());
	assert_int_equal(post.envelope_count, 1);
}

static void
test_office_offers_again_what_it_was_refused(void **state)
{
	static struct outcome out;

	(void)state;
	assert_int_equal(submit_and_wait(OURS, "a").err, OK);
	post.back = SAYS_NOTHING;
	begin_withdraw(&out);
	home_reoffer(office);
	run_for(5000);
	assert_int_equal(post.envelope_count, 1);
	post_gives_back(false);
	run_for(1000);
	assert_int_equal(out.err, ERR_WRONG_STATE);
	assert_int_equal(post.envelope_count, 2);
}

/* The post hangs: the officer is told, and what comes after that undoes nothing that was said. */
static void
test_office_that_waited_for_nothing_sends(void **state)
{
	static struct outcome out;

	(void)state;
	assert_int_equal(submit_and_wait(OURS, "a").err, OK);
	post.back = SAYS_NOTHING;
	begin_withdraw(&out);
	run_for(9000);
	assert_false(out.told);
	run_for(2000);
	assert_true(out.told);
	assert_int_equal(out.err, ERR_LATER);
	post_gives_back(true);
	run_for(1000);
	assert_false(is_withdrawn());
	assert_int_equal(post.envelope_count, 2);
	post.back = GIVES_BACK;
	assert_int_equal(withdraw(OURS).err, OK);
	run_for(25 * HOUR_MS);
	assert_int_equal(post.envelope_count, 2);
}

/* The post may have given it back before the line broke. */
static void
test_office_offers_again_when_no_answer_came(void **state)
{
	static struct outcome out;

	(void)state;
	assert_int_equal(submit_and_wait(OURS, "a").err, OK);
	post.back = SAYS_NOTHING;
	begin_withdraw(&out);
	run_for(1000);
	assert_int_equal(post.asked_times, 1);
	break_line();
	assert_int_equal(out.err, ERR_LATER);
	assert_int_equal(post.envelope_count, 2);
	assert_memory_equal(post.envelopes[1].digest, post.envelopes[0].digest, DIGEST_BYTES);
	assert_false(is_withdrawn());
	post.back = GIVES_BACK;
	assert_int_equal(withdraw(OURS).err, OK);
	run_for(25 * HOUR_MS);
	assert_int_equal(post.envelope_count, 2);
}

/* It was given back, and then not withdrawn: it goes to all. */
static void
test_office_offers_again_what_was_given_back_for_nothing(void **state)
{
	static struct outcome out;

	(void)state;
	submit_to_two();
	post.back = SAYS_NOTHING;
	begin_withdraw(&out);
	run_for(1000);
	offer_slip(envelope_to("so.ma"), CITEX__SLIP_TYPE__SLIP_STORED, "so", OK);
	post_gives_back(true);
	run_for(1000);
	assert_true(out.told);
	assert_int_equal(out.err, ERR_WRONG_STATE);
	assert_non_null(strstr(out.words, "it has left for so.ma; it goes to the others too"));
	assert_false(is_withdrawn());
	run_for(5000);
	assert_true(post.envelope_count >= 3);
	for (size_t i = 2; i < post.envelope_count && i < 4; i++) {
		if (strcmp(post.envelopes[i].outer->addressee, "gb.ma") == 0)
			return;
	}
	fail_msg("gb.ma's is lost");
}

/* The office dies at each moment after it has asked: withdrawn, or offered again; and never a
 * second state after that. */
static void
test_office_that_dies_after_the_yes_withdraws_or_offers_again(void **state)
{
	static struct outcome out;
	unsigned withdrawn = 0, offered = 0;

	for (int64_t ms = 0; ms < 30; ms++) {
		bool is;
		assert_int_equal(set_up(state), 0);
		assert_int_equal(submit_and_wait(OURS, "a").err, OK);
		post.back = GIVES_BACK;
		if (__lsan_disable != NULL)
			__lsan_disable();
		begin_withdraw(&out);
		run_for(ms);
		if (__lsan_enable != NULL)
			__lsan_enable();
		crash();
		is = is_withdrawn();
		assert_int_equal(post.envelope_count, is ? 1 : 2);
		assert_true(is || !out.told || out.err != OK);
		run_for(25 * HOUR_MS);
		assert_int_equal(is_withdrawn(), is);
		withdrawn += is;
		offered += !is;
		if (ms < 29)
			assert_int_equal(tear_down(state), 0);
	}
	assert_true(withdrawn > 0 && offered > 0);
}

static void
test_office_asks_no_post_that_is_away(void **state)
{
	struct outcome out;

	(void)state;
	assert_int_equal(submit_and_wait(OURS, "a").err, OK);
	machine_cut(elsewhere, true);
	link_close(post.link);
	post_loses();
	run_for(1000);
	out = withdraw(OURS);
	assert_int_equal(out.err, ERR_WRONG_STATE);
	assert_non_null(strstr(out.words, "gb.ma, or may have; the post of this node is away"));
	crash();
	assert_non_null(strstr(withdraw(OURS).words, "is away"));
	machine_cut(elsewhere, false);
	run_for(20000);
	post.back = GIVES_BACK;
	assert_int_equal(withdraw(OURS).err, OK);
}

static void
test_office_withdraws_what_is_here_and_what_is_there(void **state)
{
	(void)state;
	submit_to_two();
	post.back = GIVES_BACK;
	assert_int_equal(withdraw(OURS).err, OK);
	assert_int_equal(post.asked->take_back->n_envelopes, 2);
	run_for(25 * HOUR_MS);
	assert_int_equal(post.envelope_count, 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		OFFICE_TEST(test_office_takes_files_and_answers),
		OFFICE_TEST(test_office_counts_from_the_receipt_and_keeps_it),
		OFFICE_TEST(test_office_keeps_its_proofs_when_an_envelope_comes_under_its_id),
		OFFICE_TEST(test_office_keeps_both_apart_in_quarantine),
		OFFICE_TEST(test_office_answers_the_same_envelope_with_the_first_receipt),
		OFFICE_TEST(test_office_a_message_in_another_envelope_is_not_new),
		OFFICE_TEST(test_office_refuses_another_content_under_a_known_id),
		OFFICE_TEST(test_office_refuses_what_may_not_come),
		OFFICE_TEST(test_office_refuses_a_kind_that_its_author_may_not_send),
		cmocka_unit_test_setup_teardown(
		    test_office_opens_what_was_left, set_up_left_twice, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_office_does_not_open_what_killed_it_three_times, set_up_left_thrice,
		    tear_down),
		cmocka_unit_test_setup_teardown(
		    test_office_asks_for_another_sealing_when_its_key_is_gone, set_up_key_gone,
		    tear_down_renewed),
		cmocka_unit_test_setup_teardown(
		    test_office_opens_with_a_key_that_it_keeps, set_up_key_kept, tear_down_renewed),
		cmocka_unit_test_setup_teardown(test_office_does_not_open_with_a_key_kept_too_long,
		    set_up_key_kept, tear_down_renewed),
		cmocka_unit_test_setup_teardown(
		    test_office_seals_anew_when_the_key_is_gone, set_up_own, tear_down_renewed),
		cmocka_unit_test_setup_teardown(
		    test_office_seals_anew_for_two_who_ask_one_after_the_other, set_up_own,
		    tear_down_renewed),
		cmocka_unit_test_setup_teardown(
		    test_office_seals_anew_so_often_and_no_more, set_up_own, tear_down_renewed),
		cmocka_unit_test_setup_teardown(
		    test_office_does_not_seal_anew_what_was_opened, set_up_own, tear_down_renewed),
		cmocka_unit_test_setup_teardown(
		    test_office_begins_no_clock_anew_after_days, set_up_own, tear_down_renewed),
		OFFICE_TEST(test_office_hears_no_relay_after_the_addressees_node),
		OFFICE_TEST(test_office_believes_no_receipt_from_the_future),
		cmocka_unit_test_setup_teardown(
		    test_office_does_not_seal_anew_for_a_node, set_up_own, tear_down_renewed),
		OFFICE_TEST(test_office_takes_an_envelope_with_its_last_chunk),
		OFFICE_TEST(test_office_takes_no_false_chunk),
		OFFICE_TEST(test_office_files_an_answer_that_was_passed_on),
		OFFICE_TEST(test_office_sends_a_known_id_once),
		OFFICE_TEST(test_office_withdraws_only_what_has_not_left),
		OFFICE_TEST(test_office_does_not_withdraw_what_waited_and_then_left),
		OFFICE_TEST(test_office_withdraws_what_was_never_offered),
		OFFICE_TEST(test_office_withdraws_what_its_post_gives_back),
		OFFICE_TEST(test_office_names_who_has_what_is_not_given_back),
		OFFICE_TEST(test_office_does_not_ask_for_what_is_there),
		OFFICE_TEST(test_office_does_not_believe_another_spool),
		OFFICE_TEST(test_office_offers_nothing_that_it_asks_back),
		OFFICE_TEST(test_office_offers_again_what_it_was_refused),
		OFFICE_TEST(test_office_that_waited_for_nothing_sends),
		OFFICE_TEST(test_office_offers_again_when_no_answer_came),
		OFFICE_TEST(test_office_offers_again_what_was_given_back_for_nothing),
		OFFICE_TEST(test_office_asks_no_post_that_is_away),
		OFFICE_TEST(test_office_withdraws_what_is_here_and_what_is_there),
		cmocka_unit_test_teardown(
		    test_office_that_dies_after_the_yes_withdraws_or_offers_again, tear_down),
		OFFICE_TEST(test_office_never_writes_over_an_attachment),
		OFFICE_TEST(test_office_frees_what_a_program_left_half_put),
		OFFICE_TEST(test_office_sweeps_a_long_upload_that_was_cut_off_in_writing),
		OFFICE_TEST(test_office_sweeps_what_was_half_put_when_it_died),
		OFFICE_TEST(test_office_throws_away_what_found_no_room),
		OFFICE_TEST(test_office_sends_what_it_signed_before_it_was_restored),
		OFFICE_TEST(test_office_offers_again_to_a_node_that_lost_its_disk),
		OFFICE_TEST(test_office_tells_of_an_addressee_who_says_nothing_for_hours),
		OFFICE_TEST(test_office_looks_for_silence_at_so_many_at_once),
		OFFICE_TEST(test_office_offers_again_what_nobody_opened_for_a_day),
		OFFICE_TEST(test_office_gives_an_envelope_thirty_days),
		OFFICE_TEST(test_office_tells_of_silence_when_the_post_is_away),
		OFFICE_TEST(test_office_tells_of_silence_when_there_is_no_key),
		OFFICE_TEST(test_office_tells_what_is_due_and_overdue_for_each_addressee),
		OFFICE_TEST(test_office_tells_what_it_owes_itself),
		OFFICE_TEST(test_office_drops_sealed_bytes_two_weeks_after_they_were_stored),
		OFFICE_TEST(test_office_drops_what_never_came_whole),
		OFFICE_TEST(test_office_prunes_so_many_in_one_transaction),
		OFFICE_TEST(test_office_drops_the_chunks_of_what_is_dropped),
		OFFICE_TEST(test_office_spares_the_chunks_of_what_comes_meanwhile),
		OFFICE_TEST(test_office_keeps_the_chunks_of_what_is_filed),
		OFFICE_TEST(test_office_loses_nothing_whenever_it_dies),
	};

	return cmocka_run_group_tests_name("office", tests, make_fixture, free_fixture);
}
