/* SPDX-License-Identifier: Apache-2.0 */
/* The desk of ke.ma in a simulated world without a post: what officers ask, and
 * what they are told. Two messages have arrived before: a query and a note. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/conf.h"
#include "daemon/counter.h"
#include "daemon/log.h"
#include "daemon/office/desk.h"
#include "pki/ossl.h"
#include "proto/codes.h"
#include "proto/kinds/interim.pb-c.h"
#include "proto/kinds/note.pb-c.h"
#include "proto/kinds/query.pb-c.h"
#include "proto/kinds/reply.pb-c.h"
#include "tests/mail.h"
#include "tests/sim/world.h"

#define QUERY "0193f3c2-1a2b-7000-8000-000000000001"
#define NOTE "0193f3c2-1a2b-7000-8000-000000000000" /* lower than the one it speaks of */
#define OURS "0193f3c2-9999-7000-8000-000000000003"
#define DESK "/run/desk"

static struct fixture *fixture;
static struct secret store_key;
static struct office_key signing, sealing;
static struct office_officer officers[2];
static struct office_config config;
static struct store *store;
static struct office *office;
static struct machine *ke, *elsewhere;

/* An officer's program. */
struct program {
	struct link *link;
	Citex__Answer *answers[600];
	size_t count, taken;
	bool closed;
	uint32_t number;
};

static void
on_opened(void *arg, struct link *l, const char *peer)
{
	(void)arg;
	(void)l;
	(void)peer;
}

static void
on_frame(void *arg, struct link *l, struct bytes frame)
{
	struct program *p = arg;
	ProtobufCMessage *m = NULL;
	(void)l;
	assert_int_equal(proto_unpack(&citex__answer__descriptor, frame, &m), OK);
	assert_true(p->count < 600);
	p->answers[p->count++] = (Citex__Answer *)m;
}

static void
on_closed(void *arg, struct link *l, enum err why, const char *words)
{
	struct program *p = arg;
	(void)l;
	(void)why;
	(void)words;
	p->closed = true;
	p->link = NULL;
}

static const struct link_events events = { on_opened, on_frame, NULL, on_closed };

static void
run_for(int64_t ms)
{
	world_run(world_now().mono_ms + ms);
}

static void
begin(struct program *p)
{
	*p = (struct program){ 0 };
	p->link = link_dial_local(machine_loop(elsewhere), DESK, &events, p);
	run_for(50);
}

static void
end(struct program *p)
{
	if (p->link != NULL)
		link_close(p->link);
	for (size_t i = 0; i < p->count; i++)
		proto_free(&p->answers[i]->base);
	run_for(50);
}

/* The answer after those taken; waits up to 10 s of the world's time. */
static Citex__Answer *
hear(struct program *p)
{
	for (int i = 0; i < 200 && p->taken == p->count && !p->closed; i++)
		run_for(50);
	return p->taken < p->count ? p->answers[p->taken++] : NULL;
}

static void
tell(struct program *p, Citex__Request *r)
{
	struct buffer out = { 0 };
	r->number = ++p->number;
	frame_write(&r->base, &out);
	link_send(p->link, buffer_bytes(&out));
	buffer_release(&out);
}

static Citex__Answer *
ask(struct program *p, Citex__Request *r)
{
	Citex__Answer *a;
	tell(p, r);
	a = hear(p);
	assert_non_null(a);
	assert_int_equal(a->number, p->number);
	return a;
}

static void
expect_failure(const Citex__Answer *a, enum err e, const char *words)
{
	assert_int_equal(a->what_case, CITEX__ANSWER__WHAT_FAILURE);
	assert_string_equal(a->failure->error, err_name(e));
	assert_non_null(strstr(a->failure->words, words));
}

static char *
text(const char *s)
{
	return (char *)(uintptr_t)s;
}

static Citex__Answer *
ask_list(struct program *p, const char *box, const char *search)
{
	Citex__List list = CITEX__LIST__INIT;
	Citex__Request r = CITEX__REQUEST__INIT;
	list.box = text(box);
	list.search = text(search);
	r.what_case = CITEX__REQUEST__WHAT_LIST;
	r.list = &list;
	return ask(p, &r);
}

static Citex__Answer *
ask_show(struct program *p, const char *id, bool quiet)
{
	Citex__Show show = CITEX__SHOW__INIT;
	Citex__Request r = CITEX__REQUEST__INIT;
	show.id = text(id);
	show.quiet = quiet;
	r.what_case = CITEX__REQUEST__WHAT_SHOW;
	r.show = &show;
	return ask(p, &r);
}

static uint64_t
audit_count(struct program *p)
{
	Citex__Status status = CITEX__STATUS__INIT;
	Citex__Request r = CITEX__REQUEST__INIT;
	r.what_case = CITEX__REQUEST__WHAT_STATUS;
	r.status = &status;
	Citex__Answer *a = ask(p, &r);
	assert_int_equal(a->what_case, CITEX__ANSWER__WHAT_STATUS);
	return a->status->audit_count;
}

/* What has arrived before the office begins. */

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
	if (c->handling == NULL) {
		c->handling = xalloc(sizeof(*c->handling));
		citex__handling__init(c->handling);
	}
	if (c->handling->tlp != protobuf_c_empty_string)
		free(c->handling->tlp);
	c->handling->tlp = xstrdup(tlp);
}

static void
make_query(Citex__Content *c, void *arg)
{
	Citex__Query q = CITEX__QUERY__INIT;
	Citex__Permit permit = CITEX__PERMIT__INIT;
	char *reasons[] = { text("AUTHENTIC") };
	const struct deadline *limit = deadline_find("reply");
	(void)arg;
	permit.number = text("KE 2026/0417");
	q.permit = &permit;
	q.reason = reasons;
	q.n_reason = 1;
	q.text = text("The stamp number does not fit.");
	set_body(c, "query", &q.base);
	set_id(&c->message_id, QUERY);
	set_id(&c->exchange, QUERY);
	set_handling(c, "AMBER");
	if (c->rule == NULL) {
		c->rule = xalloc(sizeof(*c->rule));
		citex__rule__init(c->rule);
	}
	c->rule->id = xstrdup("reply");
	c->rule->version = limit->version;
	c->rule->length = limit->length;
	c->rule->unit = xstrdup(limit->unit);
}

static void
make_note(Citex__Content *c, void *arg)
{
	Citex__Note note = CITEX__NOTE__INIT;
	(void)arg;
	note.text = text("Ivory in the hold, ask for Mombasa");
	set_body(c, "note", &note.base);
	set_id(&c->message_id, NOTE);
	set_id(&c->exchange, QUERY);
	set_id(&c->about, QUERY);
	set_handling(c, "RED");
}

static void
arrive(struct book *b, struct txn *t, void (*make)(Citex__Content *c, void *arg), uint64_t sequence)
{
	struct mail_plan plan = { .content = make, .sequence = sequence };
	struct buffer packed = { 0 };
	struct envelope e;
	Citex__BookArrived a = CITEX__BOOK_ARRIVED__INIT;
	mail_make(fixture, &plan, &packed, NULL);
	assert_int_equal(envelope_parse(buffer_bytes(&packed), &e), OK);
	a.packed = pb_of_bytes(buffer_bytes(&packed));
	a.complete = true;
	a.arrived = a.stored = FIXTURE_NOW_MS;
	assert_int_equal(book_put_arrived(b, t, e.digest, &a), OK);
	envelope_release(&e);
	buffer_release(&packed);
}

static void
quarantine(struct book *b, struct txn *t)
{
	Citex__BookQuarantined q = CITEX__BOOK_QUARANTINED__INIT;
	struct id id;
	assert_int_equal(id_parse("0193f3c2-7777-7000-8000-000000000009", &id), OK);
	q.packed = (ProtobufCBinaryData){ 3, (uint8_t *)(uintptr_t) "abc" };
	q.reason = text("cannot-open");
	q.words = text("it cannot be opened");
	q.time = FIXTURE_NOW_MS;
	q.author = text("so.ma");
	assert_int_equal(book_put_quarantined(b, t, id, &q), OK);
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
	arrive(b, t, make_query, 1);
	arrive(b, t, make_note, 2);
	quarantine(b, t);
	assert_int_equal(store_commit(t), OK);
	book_free(b);
	buffer_release(&head);
}

static void
boot(void *arg, struct machine *m)
{
	(void)arg;
	if (m != ke)
		return;
	assert_int_equal(store_open_sim(machine_disk(m), &book_layout, &store), OK);
	if (office == NULL)
		fill_store(store);
	config.desk_fd = world_listen(m, DESK);
	assert_int_equal(office_new(machine_loop(m), store, &config, &office), OK);
}

static int
set_up(void **state)
{
	static const uint8_t key[32] = { 1, 2, 3 };
	(void)state;
	signing = (struct office_key){ fixture_cert(fixture, "ke.ma", USE_SIGNING),
		fixture_key(fixture, "ke.ma", USE_SIGNING) };
	sealing = (struct office_key){ fixture_cert(fixture, "ke.ma", USE_SEALING),
		fixture_key(fixture, "ke.ma", USE_SEALING) };
	assert_int_equal(secret_from(&store_key, BYTES_OF(key)), OK);
	officers[0] = (struct office_officer){ "Wanjiru", 0, OFFICER_MAY_READ | OFFICER_MAY_WRITE };
	config = (struct office_config){ .authority = "ke.ma",
		.node = "ke",
		.signing = &signing,
		.sealing = &sealing,
		.signing_count = 1,
		.sealing_count = 1,
		.store_key = &store_key,
		.link_path = "/run/nowhere",
		.trust.pin = fixture_pin(fixture),
		.officers = officers,
		.officer_count = 1 };
	office = NULL;
	ke = NULL; /* of the test before: a new machine may lie where that one lay */
	world_begin(1);
	world_calm();
	elsewhere = machine_new("elsewhere", boot, NULL, NULL);
	machine_boot(elsewhere);
	ke = machine_new("ke", boot, NULL, NULL);
	machine_boot(ke);
	run_for(3000);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	office_free(office);
	store_close(store);
	world_end();
	secret_release(&store_key);
	return 0;
}

/* Keys are made before the first world, whose chance is OpenSSL's, too. */
static int
make_fixture(void **state)
{
	(void)state;
	log_open("test", LEVEL_ERROR);
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

static const Citex__MessageRow *
row_of(const Citex__Answer *a, const char *id)
{
	assert_int_equal(a->what_case, CITEX__ANSWER__WHAT_LISTING);
	for (size_t i = 0; i < a->listing->n_messages; i++) {
		if (strcmp(a->listing->messages[i]->id, id) == 0)
			return a->listing->messages[i];
	}
	return NULL;
}

static void
test_inbox_shows_what_came_in_and_changes_nothing(void **state)
{
	struct program p;
	(void)state;
	begin(&p);
	uint64_t before = audit_count(&p);
	for (int i = 0; i < 2; i++) {
		const Citex__MessageRow *row = row_of(ask_list(&p, "inbox", ""), QUERY);
		assert_non_null(row);
		assert_true(row->new_);
		assert_string_equal(row->from, "gb.ma");
		assert_string_equal(row->kind, "query");
		assert_string_equal(row->state, "open");
		assert_string_equal(
		    row->due, "2025-12-31T19:33:20Z"); /* 14 days after it was stored */
		assert_false(row->overdue);
		assert_non_null(strstr(row->subject, "KE 2026/0417"));
		assert_int_equal(row->n_to, 1);
	}
	assert_int_equal(audit_count(&p), before);
	end(&p);
}

static void
test_show_ends_new_and_is_on_record_before_it_is_read(void **state)
{
	struct program p;
	(void)state;
	begin(&p);
	uint64_t before = audit_count(&p);
	Citex__Answer *a = ask_show(&p, QUERY, true);
	assert_int_equal(a->what_case, CITEX__ANSWER__WHAT_ITEM);
	assert_int_equal(audit_count(&p), before + 1);
	assert_true(row_of(ask_list(&p, "inbox", ""), QUERY)->new_);
	a = ask_show(&p, QUERY, false);
	assert_int_equal(a->what_case, CITEX__ANSWER__WHAT_ITEM);
	assert_true(a->item->body.len > 0);
	assert_string_equal(a->item->handling, "AMBER");
	assert_int_equal(strncmp(a->item->signed_by, "gb.ma, key ", 11), 0);
	bool answer = false, interim = false, close_it = false;
	for (size_t i = 0; i < a->item->n_next; i++) {
		answer = answer || strcmp(a->item->next[i], "answer") == 0;
		interim = interim || strcmp(a->item->next[i], "interim") == 0;
		close_it = close_it || strcmp(a->item->next[i], "close") == 0;
	}
	assert_true(answer && interim && !close_it);
	assert_true(audit_count(&p) > before + 1);
	assert_false(row_of(ask_list(&p, "inbox", ""), QUERY)->new_);
	end(&p);
}

static void
test_ids_may_be_shortened_as_far_as_they_are_clear(void **state)
{
	struct program p;
	(void)state;
	begin(&p);
	assert_int_equal(ask_show(&p, "0193f3c21a2b70008000000000000001", true)->what_case,
	    CITEX__ANSWER__WHAT_ITEM);
	expect_failure(ask_show(&p, "0193f3c2", true), ERR_AMBIGUOUS, "more of the id");
	expect_failure(ask_show(&p, "ffff", true), ERR_NOT_FOUND, "ffff");
	expect_failure(ask_show(&p, "xyz", true), ERR_VALUE, "xyz");
	expect_failure(ask_show(&p, "", true), ERR_VALUE, "");
	end(&p);
}

static void
test_search_finds_text_in_either_case(void **state)
{
	struct program p;
	(void)state;
	begin(&p);
	Citex__Answer *a = ask_list(&p, "", "MOMBASA");
	assert_int_equal(a->listing->n_messages, 1);
	assert_non_null(row_of(a, NOTE));
	assert_int_equal(ask_list(&p, "", "no such words")->listing->n_messages, 0);
	assert_int_equal(ask_list(&p, "", "0193f3c2-1a2b")->listing->n_messages, 2);
	expect_failure(ask_list(&p, "attic", ""), ERR_VALUE, "attic");
	end(&p);
}

/* So small that a page of the largest number of rows fits a frame. */
static void
put_small_messages(unsigned count)
{
	Citex__BookMessage m = CITEX__BOOK_MESSAGE__INIT;
	struct txn *t = NULL;
	uint8_t id[ID_BYTES] = { 0, 1 };

	assert_int_equal(store_begin(store, &t), OK);
	for (unsigned i = 0; i < count; i++) {
		id[14] = (uint8_t)(i >> 8);
		id[15] = (uint8_t)i;
		m.id = m.exchange = (ProtobufCBinaryData){ ID_BYTES, id };
		assert_int_equal(book_put_message(office_book(office), t, &m, true), OK);
	}
	assert_int_equal(store_commit(t), OK);
}

static void
test_listing_has_so_many_rows_and_no_more(void **state)
{
	Citex__List list = CITEX__LIST__INIT;
	Citex__Request r = CITEX__REQUEST__INIT;
	Citex__Answer *a;
	struct program p;

	(void)state;
	put_small_messages(LIST_PAGE_MAX + 2);
	begin(&p);
	list.box = text("inbox");
	r.what_case = CITEX__REQUEST__WHAT_LIST;
	r.list = &list;
	for (uint32_t limit = LIST_PAGE_MAX - 1; limit <= LIST_PAGE_MAX + 1; limit++) {
		list.limit = limit;
		a = ask(&p, &r);
		assert_int_equal(a->what_case, CITEX__ANSWER__WHAT_LISTING);
		assert_int_equal(
		    a->listing->n_messages, limit < LIST_PAGE_MAX ? limit : LIST_PAGE_MAX);
		assert_true(a->listing->more);
	}
	end(&p);
}

static void
test_listing_goes_on_after_its_last_row(void **state)
{
	struct program p;
	Citex__List list = CITEX__LIST__INIT;
	Citex__Request r = CITEX__REQUEST__INIT;
	(void)state;
	begin(&p);
	list.box = text("inbox");
	list.limit = 1;
	r.what_case = CITEX__REQUEST__WHAT_LIST;
	r.list = &list;
	Citex__Answer *a = ask(&p, &r);
	assert_int_equal(a->listing->n_messages, 1);
	assert_true(a->listing->more);
	const char *first = a->listing->messages[0]->id;
	list.after = text(first);
	a = ask(&p, &r);
	assert_int_equal(a->listing->n_messages, 1);
	assert_string_not_equal(a->listing->messages[0]->id, first);
	assert_false(a->listing->more);
	list.after = a->listing->messages[0]->id;
	a = ask(&p, &r);
	assert_int_equal(a->listing->n_messages, 0);
	end(&p);
}

static void
test_due_says_who_owes_what_to_whom(void **state)
{
	struct program p;
	(void)state;
	begin(&p);
	Citex__Answer *a = ask_list(&p, "due", "");
	assert_int_equal(a->what_case, CITEX__ANSWER__WHAT_DUE);
	assert_int_equal(a->due->n_due, 1);
	assert_string_equal(a->due->due[0]->who, "ke.ma");
	assert_string_equal(a->due->due[0]->to, "gb.ma");
	assert_string_equal(a->due->due[0]->owes, "reply");
	assert_string_equal(a->due->due[0]->id, QUERY);
	assert_false(a->due->due[0]->overdue);
	machine_clock_jump(ke, 15 * DAY_MS);
	a = ask_list(&p, "due", "");
	assert_true(a->due->due[0]->overdue);
	assert_true(row_of(ask_list(&p, "inbox", ""), QUERY)->overdue);
	end(&p);
}

/* A message of ours about the query; TO NULL: to its author. */
static Citex__Answer *
ask_submit_kind(struct program *p, const char *id, const char *kind, const ProtobufCMessage *body,
    const char *to)
{
	Citex__Submit s = CITEX__SUBMIT__INIT;
	Citex__Request r = CITEX__REQUEST__INIT;
	struct buffer packed = { 0 };
	char *names[] = { text(to) };
	proto_pack(body, &packed);
	s.id = text(id);
	s.kind = text(kind);
	s.about = text(QUERY);
	s.to = names;
	s.n_to = to != NULL;
	s.body = pb_of_bytes(buffer_bytes(&packed));
	s.language = text("en");
	r.what_case = CITEX__REQUEST__WHAT_SUBMIT;
	r.submit = &s;
	Citex__Answer *a = ask(p, &r);
	buffer_release(&packed);
	return a;
}

/* An answer of ours to the query. */
static Citex__Answer *
ask_submit(struct program *p, const char *id, const char *words)
{
	Citex__Note note = CITEX__NOTE__INIT;
	note.text = text(words);
	return ask_submit_kind(p, id, "note", &note.base, NULL);
}

/* The clock of the fixtures stands at 2025-12-17: UNTIL_MAX_MS from there ends within 2026-12-18,
 * before that day does. */
static void
test_a_date_that_cannot_be_meant_is_refused(void **state)
{
	static const struct {
		const char *until, *words;
	} rows[] = { { "2025-12-16", "has passed" }, { "2026-12-18", "a year ahead" },
		{ "9999-12-31", "a year ahead" }, { "2026-12-17", NULL }, { "2025-12-17", NULL } };
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct program p;
		Citex__Interim interim = CITEX__INTERIM__INIT;
		Citex__Reply reply = CITEX__REPLY__INIT;
		const ProtobufCMessage *bodies[] = { &interim.base, &reply.base };
		interim.until = reply.expected = text(rows[i].until);
		reply.outcome = text("CANNOTTELL");
		for (size_t k = 0; k < 2; k++) {
			begin(&p);
			Citex__Answer *a = ask_submit_kind(
			    &p, OURS, k == 0 ? "interim" : "reply", bodies[k], NULL);
			if (rows[i].words != NULL)
				expect_failure(a, ERR_VALUE, rows[i].words);
			else
				assert_int_equal(a->what_case, CITEX__ANSWER__WHAT_SUBMITTED);
			end(&p);
			(void)tear_down(state);
			assert_int_equal(set_up(state), 0);
		}
	}
}

static void
test_nobody_writes_to_himself(void **state)
{
	struct program p;
	Citex__Note note = CITEX__NOTE__INIT;
	(void)state;
	begin(&p);
	note.text = text("x");
	expect_failure(ask_submit_kind(&p, OURS, "note", &note.base, "ke.ma"), ERR_VALUE,
	    "your own authority");
	end(&p);
}

static void
test_submit_is_done_once_and_tracked(void **state)
{
	struct program p;
	Citex__Track track = CITEX__TRACK__INIT;
	Citex__Request r = CITEX__REQUEST__INIT;
	(void)state;
	begin(&p);
	Citex__Answer *a = ask_submit(&p, OURS, "We look into it.");
	assert_int_equal(a->what_case, CITEX__ANSWER__WHAT_SUBMITTED);
	assert_string_equal(a->submitted->id, OURS);
	assert_string_equal(a->submitted->exchange, QUERY);
	assert_false(a->submitted->known);
	a = ask_submit(&p, OURS, "We look into it.");
	assert_true(a->submitted->known);
	expect_failure(ask_submit(&p, OURS, "Other words."), ERR_CONFLICT, "");
	track.id = text(OURS);
	r.what_case = CITEX__REQUEST__WHAT_TRACK;
	r.track = &track;
	a = ask(&p, &r);
	assert_int_equal(a->what_case, CITEX__ANSWER__WHAT_TRACKING);
	assert_int_equal(a->tracking->n_addressees, 1);
	assert_string_equal(a->tracking->addressees[0]->authority, "gb.ma");
	assert_string_equal(a->tracking->addressees[0]->state, "queued");
	assert_false(a->tracking->addressees[0]->silent);
	a = ask_list(&p, "sent", "");
	assert_int_equal(a->listing->n_messages, 1);
	assert_string_equal(row_of(a, OURS)->state, "queued");
	assert_false(row_of(a, OURS)->silent);
	run_for(SILENCE_NOTICE_MS);
	assert_true(ask(&p, &r)->tracking->addressees[0]->silent);
	assert_true(row_of(ask_list(&p, "sent", ""), OURS)->silent);
	end(&p);
}

static void
test_exchange_has_all_messages_and_the_clock(void **state)
{
	struct program p;
	Citex__ShowExchange show = CITEX__SHOW_EXCHANGE__INIT;
	Citex__Request r = CITEX__REQUEST__INIT;
	(void)state;
	begin(&p);
	show.id = text(NOTE); /* any message of it */
	r.what_case = CITEX__REQUEST__WHAT_EXCHANGE;
	r.exchange = &show;
	Citex__Answer *a = ask(&p, &r);
	assert_int_equal(a->what_case, CITEX__ANSWER__WHAT_EXCHANGE);
	assert_string_equal(a->exchange->exchange, QUERY);
	assert_string_equal(a->exchange->state, "open");
	assert_int_equal(a->exchange->n_messages, 2);
	assert_non_null(strstr(a->exchange->subject, "KE"));
	assert_null(strstr(a->exchange->subject, "Ivory"));
	assert_int_equal(a->exchange->n_addressees, 1);
	assert_string_equal(a->exchange->addressees[0]->authority, "ke.ma");
	assert_true(a->exchange->addressees[0]->due[0] != '\0');
	assert_true(a->exchange->addressees[0]->n_proofs >= 1); /* that we have opened it */
	end(&p);
}

static void
test_forward_against_the_handling_is_refused_and_recorded(void **state)
{
	struct program p;
	Citex__Forward f = CITEX__FORWARD__INIT;
	Citex__Request r = CITEX__REQUEST__INIT;
	char *to[] = { text("so.ma") };
	(void)state;
	begin(&p);
	uint64_t before = audit_count(&p);
	f.id = text(OURS);
	f.message = text(NOTE);
	f.to = to;
	f.n_to = 1;
	r.what_case = CITEX__REQUEST__WHAT_FORWARD;
	r.forward = &f;
	expect_failure(ask(&p, &r), ERR_HANDLING, "RED");
	assert_int_equal(audit_count(&p), before + 1);
	assert_int_equal(ask_list(&p, "sent", "")->listing->n_messages, 0);
	end(&p);
}

static Citex__Answer *
ask_put(struct program *p, uint64_t length, uint64_t offset, size_t len)
{
	static uint8_t data[CHUNK_PLAIN_BYTES];
	Citex__Put put = CITEX__PUT__INIT;
	Citex__Request r = CITEX__REQUEST__INIT;
	uint8_t handle[16] = { 1, 2, 3 };
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)((offset + i) % 251);
	put.handle = (ProtobufCBinaryData){ 16, handle };
	put.name = text("scan.pdf");
	put.media_type = text("application/pdf");
	put.length = length;
	put.offset = offset;
	put.data = (ProtobufCBinaryData){ len, data };
	r.what_case = CITEX__REQUEST__WHAT_PUT;
	r.put = &put;
	return ask(p, &r);
}

static Citex__Answer *
ask_fetch(struct program *p, const char *id, uint32_t attachment, uint64_t offset)
{
	Citex__Fetch fetch = CITEX__FETCH__INIT;
	Citex__Request r = CITEX__REQUEST__INIT;
	fetch.id = text(id);
	fetch.attachment = attachment;
	fetch.offset = offset;
	r.what_case = CITEX__REQUEST__WHAT_FETCH;
	r.fetch = &fetch;
	return ask(p, &r);
}

static void
submit_with_attachment(struct program *p)
{
	Citex__Submit s = CITEX__SUBMIT__INIT;
	Citex__Note note = CITEX__NOTE__INIT;
	Citex__Request r = CITEX__REQUEST__INIT;
	struct buffer body = { 0 };
	uint8_t handle[16] = { 1, 2, 3 };
	ProtobufCBinaryData attachments[] = { { 16, handle } };
	note.text = text("See the scan.");
	proto_pack(&note.base, &body);
	s.id = text(OURS);
	s.kind = text("note");
	s.about = text(QUERY);
	s.body = pb_of_bytes(buffer_bytes(&body));
	s.attachments = attachments;
	s.n_attachments = 1;
	r.what_case = CITEX__REQUEST__WHAT_SUBMIT;
	r.submit = &s;
	assert_int_equal(ask(p, &r)->what_case, CITEX__ANSWER__WHAT_SUBMITTED);
	buffer_release(&body);
}

static void
test_attachment_is_put_and_fetched_in_order_and_recorded(void **state)
{
	struct program p;
	const uint64_t length = CHUNK_PLAIN_BYTES + 100;
	(void)state;
	begin(&p);
	assert_int_equal(
	    ask_put(&p, length, 0, CHUNK_PLAIN_BYTES)->what_case, CITEX__ANSWER__WHAT_DONE);
	expect_failure(ask_put(&p, length, 0, CHUNK_PLAIN_BYTES), ERR_UNEXPECTED, "");
	assert_int_equal(
	    ask_put(&p, length, CHUNK_PLAIN_BYTES, 100)->what_case, CITEX__ANSWER__WHAT_DONE);
	submit_with_attachment(&p);
	uint64_t before = audit_count(&p);
	expect_failure(ask_fetch(&p, OURS, 0, CHUNK_PLAIN_BYTES), ERR_UNEXPECTED, "beginning");
	expect_failure(ask_fetch(&p, OURS, 1, 0), ERR_NOT_FOUND, "");
	expect_failure(ask_fetch(&p, OURS, 0, 5), ERR_VALUE, "");
	Citex__Answer *a = ask_fetch(&p, OURS, 0, 0);
	assert_int_equal(a->what_case, CITEX__ANSWER__WHAT_DATA);
	assert_int_equal(a->data->data.len, CHUNK_PLAIN_BYTES);
	assert_false(a->data->last);
	assert_true(audit_count(&p) > before);
	a = ask_fetch(&p, OURS, 0, CHUNK_PLAIN_BYTES);
	assert_int_equal(a->data->data.len, 100);
	assert_true(a->data->last);
	assert_int_equal(a->data->data.data[99], (CHUNK_PLAIN_BYTES + 99) % 251);
	end(&p);
}

static bool
has_first_chunk(void)
{
	struct txn *t = NULL;
	struct id handle = { { 1, 2, 3 } };
	bool there;
	assert_int_equal(store_read(store, &t), OK);
	there = book_has_chunk(office_book(office), t, handle, 0);
	store_end(t);
	return there;
}

/* What an officer's program put goes with it, unless a message has it. */
static void
test_an_attachment_without_a_message_goes_with_its_program(void **state)
{
	struct program p;
	(void)state;
	begin(&p);
	assert_int_equal(ask_put(&p, CHUNK_PLAIN_BYTES + 100, 0, CHUNK_PLAIN_BYTES)->what_case,
	    CITEX__ANSWER__WHAT_DONE);
	assert_true(has_first_chunk());
	end(&p);
	run_for(1000);
	assert_false(has_first_chunk());
	begin(&p);
	assert_int_equal(ask_put(&p, 100, 0, 100)->what_case, CITEX__ANSWER__WHAT_DONE);
	submit_with_attachment(&p);
	end(&p);
	run_for(1000);
	assert_true(has_first_chunk());
}

static void
test_export_gives_the_files_of_a_bundle(void **state)
{
	static const char *const wanted[] = { "README", "manifest.json", "messages/" QUERY ".cms",
		"messages/" NOTE ".cms", "certificates/signers.pem", "certificates/cas.pem",
		"directory/1.head", "directory/1.contents" };
	struct program p;
	Citex__Export export = CITEX__EXPORT__INIT;
	Citex__Request r = CITEX__REQUEST__INIT;
	bool seen[8] = { false };
	size_t slips = 0;
	(void)state;
	begin(&p);
	uint64_t before = audit_count(&p);
	export.id = text(QUERY);
	r.what_case = CITEX__REQUEST__WHAT_EXPORT;
	r.export = &export;
	Citex__Answer *a = ask(&p, &r);
	for (; a->what_case == CITEX__ANSWER__WHAT_FILE && a->file->name[0] != '\0'; a = hear(&p)) {
		assert_true(a->more);
		assert_true(a->file->data.len <= CHUNK_PLAIN_BYTES);
		for (size_t i = 0; i < 8; i++)
			seen[i] = seen[i] || strcmp(a->file->name, wanted[i]) == 0;
		slips += strstr(a->file->name, ".slip") != NULL;
	}
	assert_int_equal(a->what_case, CITEX__ANSWER__WHAT_FILE);
	assert_false(a->more);
	for (size_t i = 0; i < 8; i++)
		assert_true(seen[i]);
	assert_true(slips >= 2);
	assert_int_equal(audit_count(&p), before + 1);
	end(&p);
}

static Citex__Answer *
ask_quarantine(struct program *p, const char *action, const char *id)
{
	Citex__Quarantine q = CITEX__QUARANTINE__INIT;
	Citex__Request r = CITEX__REQUEST__INIT;
	q.action = text(action);
	q.id = text(id);
	r.what_case = CITEX__REQUEST__WHAT_QUARANTINE;
	r.quarantine = &q;
	return ask(p, &r);
}

static void
test_quarantine_is_looked_at_by_all_and_emptied_by_those_who_manage(void **state)
{
	struct program p;
	(void)state;
	begin(&p);
	Citex__Answer *a = ask_list(&p, "quarantine", "");
	assert_int_equal(a->listing->n_messages, 1);
	assert_string_equal(a->listing->messages[0]->from, "so.ma");
	assert_string_equal(a->listing->messages[0]->reason, "cannot-open");
	a = ask_quarantine(&p, "show", "0193f3c2-7777");
	assert_int_equal(a->what_case, CITEX__ANSWER__WHAT_ITEM);
	expect_failure(ask_quarantine(&p, "drop", "0193f3c2-7777"), ERR_DENIED, "may = manage");
	end(&p);
	officers[0].may |= OFFICER_MAY_MANAGE;
	begin(&p);
	expect_failure(ask_quarantine(&p, "drop", "ffff"), ERR_NOT_FOUND, "");
	expect_failure(ask_quarantine(&p, "eat", "0193f3c2-7777"), ERR_VALUE, "eat");
	a = ask_quarantine(&p, "drop", "0193f3c2-7777");
	assert_int_equal(a->what_case, CITEX__ANSWER__WHAT_DONE);
	assert_int_equal(ask_list(&p, "quarantine", "")->listing->n_messages, 0);
	end(&p);
}

static void
test_directory_and_doctor_answer_without_a_post(void **state)
{
	struct program p;
	Citex__Directory directory = CITEX__DIRECTORY__INIT;
	Citex__Doctor doctor = CITEX__DOCTOR__INIT;
	Citex__Request r = CITEX__REQUEST__INIT;
	bool post = true;
	(void)state;
	begin(&p);
	r.what_case = CITEX__REQUEST__WHAT_DIRECTORY;
	r.directory = &directory;
	Citex__Answer *a = ask(&p, &r);
	assert_int_equal(a->what_case, CITEX__ANSWER__WHAT_DIRECTORY);
	assert_int_equal(a->directory->number, 1);
	assert_int_equal(a->directory->n_authorities, 6);
	directory.filter = text("border");
	a = ask(&p, &r);
	assert_int_equal(a->directory->n_authorities, 1);
	r.what_case = CITEX__REQUEST__WHAT_DOCTOR;
	r.doctor = &doctor;
	a = ask(&p, &r);
	assert_int_equal(a->what_case, CITEX__ANSWER__WHAT_DOCTOR);
	for (size_t i = 0; i < a->doctor->n_checks; i++) {
		const Citex__Check *c = a->doctor->checks[i];
		if (strcmp(c->what, "post") == 0)
			post = c->good;
		assert_true(c->good || c->mend[0] != '\0');
	}
	assert_false(post);
	end(&p);
}

static void
test_watch_tells_of_a_message_that_was_sent(void **state)
{
	struct program listener, sender;
	Citex__Watch watch = CITEX__WATCH__INIT;
	Citex__Request r = CITEX__REQUEST__INIT;
	(void)state;
	begin(&listener);
	begin(&sender);
	r.what_case = CITEX__REQUEST__WHAT_WATCH;
	r.watch = &watch;
	tell(&listener, &r);
	run_for(100);
	ask_show(&sender, QUERY, false);
	ask_submit(&sender, OURS, "x");
	run_for(3000);
	end(&sender);
	for (size_t i = 0; i < listener.count; i++) {
		assert_int_equal(listener.answers[i]->what_case, CITEX__ANSWER__WHAT_EVENT);
		assert_true(listener.answers[i]->more);
	}
	end(&listener); /* and leaves: nothing of it stays (AddressSanitizer) */
}

static void
test_reader_may_not_write_and_a_post_is_not_asked_here(void **state)
{
	struct program p;
	Citex__NodePeers peers = CITEX__NODE_PEERS__INIT;
	Citex__Request r = CITEX__REQUEST__INIT;
	(void)state;
	officers[0].may = OFFICER_MAY_READ;
	begin(&p);
	expect_failure(ask_submit(&p, OURS, "x"), ERR_DENIED, "Wanjiru");
	r.what_case = CITEX__REQUEST__WHAT_PEERS;
	r.peers = &peers;
	expect_failure(ask(&p, &r), ERR_UNEXPECTED, "another socket");
	end(&p);
}

static void
test_user_who_is_nobody_is_denied(void **state)
{
	struct program p;
	(void)state;
	officers[0].user = 4711;
	begin(&p);
	(void)hear(&p); /* the words: tests/unit/test_counter.c, over a real socket */
	run_for(2000);
	assert_true(p.closed);
	end(&p);
}

/* Requests that decode, with fields of chance: an answer or the door, and the office lives on. */
static void
test_fuzzed_requests_leave_the_office_alive(void **state)
{
	struct program p;
	uint32_t seed = 3;
	(void)state;
	for (int i = 0; i < 10000; i++) {
		uint8_t junk[40], frame[44];
		struct buffer out = { 0 };
		for (size_t j = 0; j < sizeof(junk); j++) {
			seed = seed * 1664525 + 1013904223;
			junk[j] = (uint8_t)(seed >> 24);
		}
		if (i % 2 == 0) { /* number 1, a member of the oneof with a string in it */
			size_t len = seed % 30;
			junk[0] = 8;
			junk[1] = 1;
			junk[2] = (uint8_t)((2 + seed % 15) << 3 | 2);
			junk[3] = (uint8_t)(len + 2);
			junk[4] = 10;
			junk[5] = (uint8_t)len;
			for (size_t j = 6; j < 6 + len && j < sizeof(junk); j++)
				junk[j] = (uint8_t)("0193f3c2-\x01 abz"[junk[j] % 14]);
			buffer_add_u32(&out, (uint32_t)(6 + len));
			buffer_add(&out, (struct bytes){ junk, 6 + len });
		} else {
			buffer_add_u32(&out, (uint32_t)(seed % 40));
			memcpy(frame, junk, 40);
			buffer_add(&out, (struct bytes){ frame, 40 });
		}
		p = (struct program){ 0 };
		p.link = link_dial_local(machine_loop(elsewhere), DESK, &events, &p);
		link_send(p.link, buffer_bytes(&out));
		run_for(20);
		buffer_release(&out);
		if (p.link != NULL)
			link_close(p.link);
		for (size_t j = 0; j < p.count; j++)
			proto_free(&p.answers[j]->base);
		run_for(5);
	}
	begin(&p);
	assert_non_null(row_of(ask_list(&p, "inbox", ""), QUERY));
	end(&p);
}

#define DESK_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		DESK_TEST(test_inbox_shows_what_came_in_and_changes_nothing),
		DESK_TEST(test_show_ends_new_and_is_on_record_before_it_is_read),
		DESK_TEST(test_ids_may_be_shortened_as_far_as_they_are_clear),
		DESK_TEST(test_search_finds_text_in_either_case),
		DESK_TEST(test_listing_goes_on_after_its_last_row),
		DESK_TEST(test_listing_has_so_many_rows_and_no_more),
		DESK_TEST(test_due_says_who_owes_what_to_whom),
		DESK_TEST(test_a_date_that_cannot_be_meant_is_refused),
		DESK_TEST(test_nobody_writes_to_himself),
		DESK_TEST(test_submit_is_done_once_and_tracked),
		DESK_TEST(test_exchange_has_all_messages_and_the_clock),
		DESK_TEST(test_forward_against_the_handling_is_refused_and_recorded),
		DESK_TEST(test_attachment_is_put_and_fetched_in_order_and_recorded),
		DESK_TEST(test_an_attachment_without_a_message_goes_with_its_program),
		DESK_TEST(test_export_gives_the_files_of_a_bundle),
		DESK_TEST(test_quarantine_is_looked_at_by_all_and_emptied_by_those_who_manage),
		DESK_TEST(test_directory_and_doctor_answer_without_a_post),
		DESK_TEST(test_watch_tells_of_a_message_that_was_sent),
		DESK_TEST(test_reader_may_not_write_and_a_post_is_not_asked_here),
		DESK_TEST(test_user_who_is_nobody_is_denied),
		DESK_TEST(test_fuzzed_requests_leave_the_office_alive),
	};
	return cmocka_run_group_tests(tests, make_fixture, free_fixture);
}
