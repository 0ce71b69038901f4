/* SPDX-License-Identifier: Apache-2.0 */
/* The session against itself and against a peer that misbehaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/session.h"

/* Two sides and what each was told to do. Frames travel when pump() carries them. */
struct side {
	struct session *s;
	struct frame_reader in; /* bytes on their way to this side */
	struct actions log; /* all but ACTION_SEND */
	enum err closed;
};
struct pair {
	struct side a, b;
	struct now now;
};

static void
side_init(struct side *x, const char *name, uint64_t directory)
{
	struct session_self self = { .directory = directory };

	memcpy(self.node, name, strlen(name));
	memset(self.incarnation, name[0], sizeof(self.incarnation));
	memset(self.head_digest, (int)directory, sizeof(self.head_digest));
	*x = (struct side){ .s = session_new(&self) };
	frame_reader_init(&x->in);
}

static void
keep(struct actions *log, struct action *a)
{
	log->at = xgrow(log->at, log->count + 1, sizeof(*log->at));
	log->at[log->count++] = *a;
	*a = (struct action){ 0 };
}

static enum err
tell(struct pair *p, struct side *x, const struct event *ev)
{
	struct side *other = x == &p->a ? &p->b : &p->a;
	struct actions out = { 0 };
	enum err e = session_handle(x->s, ev, p->now, &out);

	for (size_t i = 0; i < out.count; i++) {
		struct action *a = &out.at[i];
		if (a->type == ACTION_SEND) {
			frame_feed(&other->in, buffer_bytes(&a->bytes));
			continue;
		}
		if (a->type == ACTION_CLOSE)
			x->closed = a->result;
		keep(&x->log, a);
	}
	actions_release(&out);
	return e;
}

static bool
carry_one(struct pair *p, struct side *x)
{
	struct event ev = { .type = EVENT_FRAME };

	if (x->closed != OK || frame_next(&x->in, &ev.bytes) != OK)
		return false;
	(void)!tell(p, x, &ev);
	return true;
}

static void
pump(struct pair *p)
{
	while (carry_one(p, &p->a) || carry_one(p, &p->b))
		;
}

static void
tick(struct pair *p, struct side *x)
{
	struct event ev = { .type = EVENT_TICK };

	(void)!tell(p, x, &ev);
}

static void
open_side(struct pair *p, struct side *x)
{
	struct event open = { .type = EVENT_OPEN };

	assert_int_equal(tell(p, x, &open), OK);
}

static void
pair_init(struct pair *p)
{
	*p = (struct pair){ .now = { 1000, 1766000000000 } };
	side_init(&p->a, "ke", 1);
	side_init(&p->b, "gb", 1);
	open_side(p, &p->a);
	open_side(p, &p->b);
	pump(p);
	assert_true(session_is_ready(p->a.s) && session_is_ready(p->b.s));
}

static void
side_release(struct side *x)
{
	session_free(x->s);
	frame_reader_release(&x->in);
	actions_release(&x->log);
}

static void
pair_release(struct pair *p)
{
	side_release(&p->a);
	side_release(&p->b);
}

static struct action *
find(struct side *x, enum action_type type)
{
	for (size_t i = 0; i < x->log.count; i++) {
		if (x->log.at[i].type == type)
			return &x->log.at[i];
	}
	return NULL;
}

static size_t
count(const struct side *x, enum action_type type)
{
	size_t n = 0;

	for (size_t i = 0; i < x->log.count; i++)
		n += x->log.at[i].type == type ? 1 : 0;
	return n;
}

/* A slip is the smallest thing to offer. */
static struct bytes
some_slip(struct buffer *b)
{
	Citex__Slip slip = CITEX__SLIP__INIT;

	buffer_clear(b);
	slip.body = pb_of_bytes(bytes_str("body"));
	proto_pack(&slip.base, b);
	return buffer_bytes(b);
}

static enum err
offer(struct pair *p, struct side *x, uint64_t token)
{
	CLEANUP(buffer_release) struct buffer b = { 0 };
	struct event ev = { .type = EVENT_OFFER_SLIP, .token = token };

	ev.bytes = some_slip(&b);
	return tell(p, x, &ev);
}

static enum err
committed(struct pair *p, struct side *x, uint32_t number, enum err result)
{
	struct event ev = { .type = EVENT_COMMITTED, .number = number, .result = result };

	return tell(p, x, &ev);
}

static enum err
inject(struct pair *p, struct side *x, Citex__Frame *f)
{
	CLEANUP(buffer_release) struct buffer b = { 0 };
	struct event ev = { .type = EVENT_FRAME };

	proto_pack(&f->base, &b);
	ev.bytes = buffer_bytes(&b);
	return tell(p, x, &ev);
}

static enum err
inject_offer(struct pair *p, struct side *x, uint32_t number)
{
	Citex__Frame f = CITEX__FRAME__INIT;
	Citex__Offer o = CITEX__OFFER__INIT;
	Citex__Slip slip = CITEX__SLIP__INIT;

	f.body_case = CITEX__FRAME__BODY_OFFER;
	f.offer = &o;
	o.number = number;
	o.what_case = CITEX__OFFER__WHAT_SLIP;
	o.slip = &slip;
	return inject(p, x, &f);
}

static void
test_session_hello_names_the_peer(void **state)
{
	struct pair p;

	(void)state;
	pair_init(&p);
	assert_string_equal(session_peer(p.a.s), "gb");
	assert_string_equal(session_peer(p.b.s), "ke");
	assert_int_equal(count(&p.a, ACTION_READY), 1);
	assert_int_equal(count(&p.a, ACTION_PEER_DIRECTORY), 0);
	pair_release(&p);
}

static void
test_session_taken_only_after_commit(void **state)
{
	struct pair p;

	(void)state;
	pair_init(&p);
	assert_int_equal(offer(&p, &p.a, 77), OK);
	pump(&p);
	tick(&p, &p.b);
	pump(&p);
	assert_non_null(find(&p.b, ACTION_STORE_SLIP));
	assert_null(find(&p.a, ACTION_TAKEN));
	assert_int_equal(committed(&p, &p.b, 1, OK), OK);
	assert_int_equal(session_deadline_ms(p.b.s), 0);
	tick(&p, &p.b);
	pump(&p);
	assert_non_null(find(&p.a, ACTION_TAKEN));
	assert_int_equal(find(&p.a, ACTION_TAKEN)->token, 77);
	pair_release(&p);
}

static void
test_session_failed_commit_is_later_not_taken(void **state)
{
	struct pair p;

	(void)state;
	pair_init(&p);
	assert_int_equal(offer(&p, &p.a, 5), OK);
	pump(&p);
	assert_int_equal(committed(&p, &p.b, 1, ERR_STORE_FULL), OK);
	pump(&p);
	assert_null(find(&p.a, ACTION_TAKEN));
	assert_int_equal(find(&p.a, ACTION_LATER)->result, ERR_STORE_FULL);
	assert_int_equal(find(&p.a, ACTION_LATER)->token, 5);
	pair_release(&p);
}

static void
test_session_gathers_taken_of_one_commit(void **state)
{
	struct pair p;

	(void)state;
	pair_init(&p);
	for (uint64_t i = 1; i <= 100; i++)
		assert_int_equal(offer(&p, &p.a, i), OK);
	pump(&p);
	for (uint32_t i = 100; i >= 1; i--)
		assert_int_equal(committed(&p, &p.b, i, OK), OK);
	tick(&p, &p.b);
	pump(&p);
	assert_int_equal(count(&p.a, ACTION_TAKEN), 100);
	assert_int_equal(count(&p.a, ACTION_CREDIT), 1); /* one frame */
	pair_release(&p);
}

static void
test_session_window_is_full_at_its_limit(void **state)
{
	struct pair p;

	(void)state;
	pair_init(&p);
	for (uint64_t i = 0; i < WINDOW_ENVELOPES; i++)
		assert_int_equal(offer(&p, &p.a, i), OK);
	assert_int_equal(session_may_offer(p.a.s), 0);
	assert_int_equal(offer(&p, &p.a, 999), ERR_BUSY);
	pump(&p);
	/* One answered out of order makes room for one. */
	assert_int_equal(committed(&p, &p.b, 200, OK), OK);
	tick(&p, &p.b);
	pump(&p);
	assert_int_equal(session_may_offer(p.a.s), 1);
	assert_int_equal(offer(&p, &p.a, 1000), OK);
	pump(&p);
	assert_int_equal(count(&p.b, ACTION_STORE_SLIP), WINDOW_ENVELOPES + 1);
	pair_release(&p);
}

static void
test_session_one_slow_offer_does_not_stop_the_others(void **state)
{
	struct pair p;

	(void)state;
	pair_init(&p);
	assert_int_equal(offer(&p, &p.a, 1), OK); /* its chunks take for ever */
	for (uint32_t i = 2; i < 3 * WINDOW_ENVELOPES; i++) {
		assert_int_equal(offer(&p, &p.a, i), OK);
		pump(&p);
		assert_int_equal(committed(&p, &p.b, i, OK), OK);
		tick(&p, &p.b);
		pump(&p);
	}
	assert_int_equal(committed(&p, &p.b, 1, OK), OK);
	pair_release(&p);
}

static void
test_session_offer_beyond_the_window_closes(void **state)
{
	struct pair p;

	(void)state;
	pair_init(&p);
	for (uint32_t i = 1; i <= WINDOW_ENVELOPES; i++)
		assert_int_equal(inject_offer(&p, &p.b, i), OK);
	assert_int_equal(inject_offer(&p, &p.b, WINDOW_ENVELOPES + 1), ERR_UNEXPECTED);
	assert_int_equal(p.b.closed, ERR_UNEXPECTED);
	assert_int_equal(inject_offer(&p, &p.b, WINDOW_ENVELOPES + 1), ERR_WRONG_STATE);
	pair_release(&p);
}

static void
test_session_offers_must_count_up(void **state)
{
	static const uint32_t wrong[] = { 0, 2, UINT32_MAX };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct pair p;
		pair_init(&p);
		assert_int_equal(inject_offer(&p, &p.b, wrong[i]), ERR_UNEXPECTED);
		pair_release(&p);
	}
}

static void
test_session_answer_to_nothing_closes(void **state)
{
	uint32_t number = 9;
	struct pair p;
	Citex__Frame f = CITEX__FRAME__INIT;
	Citex__Taken t = CITEX__TAKEN__INIT;
	Citex__Later l = CITEX__LATER__INIT;

	(void)state;
	pair_init(&p);
	f.body_case = CITEX__FRAME__BODY_TAKEN;
	f.taken = &t;
	t.numbers = &number;
	t.n_numbers = 1;
	assert_int_equal(inject(&p, &p.a, &f), ERR_UNEXPECTED);
	f.body_case = CITEX__FRAME__BODY_LATER;
	f.later = &l;
	l.number = 0;
	l.reason = (char *)(uintptr_t) "busy";
	assert_int_equal(inject(&p, &p.b, &f), ERR_UNEXPECTED);
	pair_release(&p);
}

/* Every kind of frame in every state: what the table does not list is refused. */
static void
test_session_every_state_with_every_frame(void **state)
{
	(void)state;
	for (unsigned body = CITEX__FRAME__BODY_HELLO; body <= CITEX__FRAME__BODY_TAKE_BACK_RESULT;
	     body++) {
		/* An empty body of that kind: field number (a varint), length 0. */
		unsigned tag = body << 3 | 2;
		uint8_t bytes[3] = { (uint8_t)(tag | (tag > 127 ? 128 : 0)), (uint8_t)(tag >> 7) };
		struct event ev = { .type = EVENT_FRAME, .bytes = { bytes, tag > 127 ? 3 : 2 } };
		struct pair p = { .now = { 1, 1 } };
		enum err e;
		side_init(&p.a, "ke", 0);
		side_init(&p.b, "gb", 0);
		assert_int_equal(tell(&p, &p.a, &ev), ERR_WRONG_STATE); /* not open yet */
		open_side(&p, &p.a);
		e = tell(&p, &p.a, &ev);
		if (body == CITEX__FRAME__BODY_HELLO)
			assert_int_equal(e, ERR_VERSION); /* an empty one speaks no version */
		else if (body != CITEX__FRAME__BODY_BYE)
			assert_int_equal(e, ERR_UNEXPECTED);
		assert_int_not_equal(p.a.closed, OK);
		assert_int_equal(tell(&p, &p.a, &ev), ERR_WRONG_STATE);
		pair_release(&p);
	}
}

static void
some_hello(struct buffer *out)
{
	Citex__Frame f = CITEX__FRAME__INIT;
	Citex__Hello h = CITEX__HELLO__INIT;

	h.version_min = h.version_max = 1;
	h.node = (char *)(uintptr_t) "ke";
	h.incarnation = pb_of_bytes(bytes_str("12345678"));
	f.body_case = CITEX__FRAME__BODY_HELLO;
	f.hello = &h;
	proto_pack(&f.base, out);
}

/* The bytes that a side sends which said hello and made five offers. */
static void
some_wire(struct buffer *wire)
{
	CLEANUP(buffer_release) struct buffer slip = { 0 };
	CLEANUP(buffer_release) struct buffer hello = { 0 };
	CLEANUP(actions_release) struct actions out = { 0 };
	struct session_self self = { .node = "gb" };
	struct session *peer = session_new(&self);
	struct event open = { .type = EVENT_OPEN }, give = { .type = EVENT_OFFER_SLIP };
	struct event heard = { .type = EVENT_FRAME };
	struct now now = { 1, 1 };

	some_hello(&hello);
	heard.bytes = buffer_bytes(&hello);
	assert_int_equal(session_handle(peer, &open, now, &out), OK);
	assert_int_equal(session_handle(peer, &heard, now, &out), OK);
	give.bytes = some_slip(&slip);
	for (int i = 0; i < 5; i++)
		assert_int_equal(session_handle(peer, &give, now, &out), OK);
	for (size_t i = 0; i < out.count; i++)
		buffer_add(wire, buffer_bytes(&out.at[i].bytes));
	session_free(peer);
}

static void
test_session_same_actions_in_every_split(void **state)
{
	CLEANUP(buffer_release) struct buffer wire = { 0 };

	(void)state;
	some_wire(&wire);
	for (size_t split = 1; split <= wire.len; split++) {
		struct pair p = { .now = { 1, 1 } };
		side_init(&p.a, "ke", 0);
		side_init(&p.b, "gb", 0);
		open_side(&p, &p.a);
		for (size_t at = 0; at < wire.len; at += split) {
			size_t len = wire.len - at < split ? wire.len - at : split;
			frame_feed(&p.a.in, (struct bytes){ wire.at + at, len });
			while (carry_one(&p, &p.a))
				;
		}
		assert_int_equal(p.a.closed, OK);
		assert_int_equal(count(&p.a, ACTION_READY), 1);
		assert_int_equal(count(&p.a, ACTION_STORE_SLIP), 5);
		pair_release(&p);
	}
}

static void
test_session_silent_peer_times_out(void **state)
{
	struct pair p;

	(void)state;
	pair_init(&p);
	assert_int_equal(session_deadline_ms(p.a.s), 1000 + KEEPALIVE_MS);
	p.now.mono_ms = 1000 + SILENCE_MAX_MS - 1;
	tick(&p, &p.a);
	assert_int_equal(p.a.closed, OK);
	p.now.mono_ms = 1000 + SILENCE_MAX_MS;
	tick(&p, &p.a);
	assert_int_equal(p.a.closed, ERR_TIMEOUT);
	pair_release(&p);
}

static void
test_session_missing_hello_times_out(void **state)
{
	struct pair p = { .now = { 50, 1 } };

	(void)state;
	side_init(&p.a, "ke", 0);
	side_init(&p.b, "gb", 0);
	open_side(&p, &p.a);
	p.now.mono_ms = 50 + HELLO_TIMEOUT_MS - 1;
	tick(&p, &p.a);
	assert_int_equal(p.a.closed, OK);
	p.now.mono_ms = 50 + HELLO_TIMEOUT_MS;
	tick(&p, &p.a);
	assert_int_equal(p.a.closed, ERR_TIMEOUT);
	pair_release(&p);
}

static void
test_session_says_it_lives_when_it_said_nothing(void **state)
{
	struct bytes frame;
	struct pair p;

	(void)state;
	pair_init(&p);
	p.now.mono_ms = 1000 + KEEPALIVE_MS - 1;
	tick(&p, &p.a);
	assert_int_equal(frame_next(&p.b.in, &frame), ERR_NOT_FOUND);
	p.now.mono_ms++;
	tick(&p, &p.a);
	assert_int_equal(frame_next(&p.b.in, &frame), OK);
	pair_release(&p);
}

static void
test_session_keep_alive_keeps_it_alive(void **state)
{
	struct pair p;

	(void)state;
	pair_init(&p);
	for (int i = 0; i < 10; i++) {
		p.now.mono_ms += KEEPALIVE_MS;
		tick(&p, &p.a);
		tick(&p, &p.b);
		pump(&p);
	}
	assert_int_equal(p.a.closed, OK);
	assert_int_equal(p.b.closed, OK);
	pair_release(&p);
}

static void
test_session_unanswered_offer_times_out_unless_chunks_move(void **state)
{
	uint8_t root[DIGEST_BYTES] = { 1 };
	struct event want = { .type = EVENT_WANT_CHUNK, .root = BYTES_OF(root) };
	struct event read = { .type = EVENT_CHUNK_READ, .root = BYTES_OF(root) };
	struct pair p;

	(void)state;
	pair_init(&p);
	assert_int_equal(offer(&p, &p.a, 1), OK);
	pump(&p);
	for (uint32_t i = 0; i < 5; i++) {
		p.now.mono_ms += ANSWER_TIMEOUT_MS - 1;
		want.index = read.index = i;
		assert_int_equal(tell(&p, &p.b, &want), OK);
		pump(&p);
		assert_int_equal(tell(&p, &p.a, &read), OK);
		pump(&p);
		tick(&p, &p.a);
		assert_int_equal(p.a.closed, OK);
	}
	assert_int_equal(count(&p.b, ACTION_CHUNK), 5);
	p.now.mono_ms += ANSWER_TIMEOUT_MS;
	tick(&p, &p.b); /* says something, so that it is not the silence that ends it */
	pump(&p);
	tick(&p, &p.a);
	assert_int_equal(p.a.closed, ERR_TIMEOUT);
	pair_release(&p);
}

static void
test_session_chunks_are_bounded_and_matched(void **state)
{
	uint8_t root[DIGEST_BYTES] = { 7 };
	struct event want = { .type = EVENT_WANT_CHUNK, .root = BYTES_OF(root) };
	Citex__Frame f = CITEX__FRAME__INIT;
	Citex__Chunk c = CITEX__CHUNK__INIT;
	Citex__ChunkRequest r = CITEX__CHUNK_REQUEST__INIT;
	struct pair p;

	(void)state;
	pair_init(&p);
	for (want.index = 0; want.index < CHUNKS_IN_FLIGHT; want.index++)
		assert_int_equal(tell(&p, &p.a, &want), OK);
	assert_int_equal(tell(&p, &p.a, &want), ERR_BUSY);
	pump(&p);
	assert_int_equal(count(&p.b, ACTION_READ_CHUNK), CHUNKS_IN_FLIGHT);
	/* one more request than the bound, from a peer that does not keep to it */
	f.body_case = CITEX__FRAME__BODY_CHUNK_REQUEST;
	f.chunk_request = &r;
	r.root = pb_of_bytes(BYTES_OF(root));
	assert_int_equal(inject(&p, &p.b, &f), ERR_UNEXPECTED);
	/* a chunk that nobody asked for */
	f.body_case = CITEX__FRAME__BODY_CHUNK;
	f.chunk = &c;
	c.root = pb_of_bytes(BYTES_OF(root));
	c.index = 99;
	assert_int_equal(inject(&p, &p.a, &f), ERR_UNEXPECTED);
	pair_release(&p);
}

static void
test_session_lost_chunk_is_told(void **state)
{
	uint8_t root[DIGEST_BYTES] = { 7 };
	struct event want = { .type = EVENT_WANT_CHUNK, .root = BYTES_OF(root), .index = 3 };
	struct pair p;

	(void)state;
	pair_init(&p);
	assert_int_equal(tell(&p, &p.a, &want), OK);
	p.now.mono_ms += ANSWER_TIMEOUT_MS;
	tick(&p, &p.a);
	assert_non_null(find(&p.a, ACTION_CHUNK_LOST));
	assert_int_equal(find(&p.a, ACTION_CHUNK_LOST)->index, 3);
	assert_int_equal(session_may_want(p.a.s), CHUNKS_IN_FLIGHT);
	pair_release(&p);
}

static void
test_session_tells_of_another_directory(void **state)
{
	struct session_self self = { .node = "gb", .directory = 2 };
	struct event ev = { .type = EVENT_DIRECTORY, .self = &self };
	struct pair p;

	(void)state;
	pair_init(&p);
	memset(self.incarnation, 'g', sizeof(self.incarnation));
	memset(self.head_digest, 2, sizeof(self.head_digest));
	assert_int_equal(tell(&p, &p.b, &ev), OK);
	pump(&p);
	assert_non_null(find(&p.a, ACTION_PEER_DIRECTORY));
	assert_int_equal(session_peer_hello(p.a.s)->directory, 2);
	/* another incarnation in a later hello is a lie */
	self.incarnation[0] ^= 1;
	assert_int_equal(tell(&p, &p.b, &ev), OK);
	pump(&p);
	assert_int_equal(p.a.closed, ERR_UNEXPECTED);
	pair_release(&p);
}

static void
test_session_spool_needs_a_name_and_an_incarnation(void **state)
{
	static const struct {
		const char *node, *incarnation;
		enum err expect;
	} rows[] = { { "ke", "12345678", OK }, { "", "12345678", ERR_MALFORMED },
		{ "k e", "12345678", ERR_MALFORMED }, { "ke", "1234567", ERR_MALFORMED },
		{ "ke", "123456789", ERR_MALFORMED } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		Citex__Frame f = CITEX__FRAME__INIT;
		Citex__Spool s = CITEX__SPOOL__INIT;
		struct pair p;
		pair_init(&p);
		s.node = (char *)(uintptr_t)rows[i].node;
		s.incarnation = pb_of_bytes(bytes_str(rows[i].incarnation));
		f.body_case = CITEX__FRAME__BODY_SPOOL;
		f.spool = &s;
		assert_int_equal(inject(&p, &p.a, &f), rows[i].expect);
		assert_true((find(&p.a, ACTION_SPOOL) != NULL) == (rows[i].expect == OK));
		pair_release(&p);
	}
}

static void
test_session_takes_back_what_is_named_well(void **state)
{
	static const struct {
		const char *ids[2], *digest;
		size_t count;
		enum err expect;
	} rows[] = { { { "0123456789abcdef" }, "01234567012345670123456701234567", 1, OK },
		{ { "0123456789abcdef", "1123456789abcdef" }, "01234567012345670123456701234567", 2,
		    OK },
		{ { "0123456789abcdef", "0123456789abcdef" }, "01234567012345670123456701234567", 2,
		    ERR_MALFORMED },
		{ { "1123456789abcdef", "0123456789abcdef" }, "01234567012345670123456701234567", 2,
		    ERR_MALFORMED },
		{ { "0123456789abcde" }, "01234567012345670123456701234567", 1, ERR_MALFORMED },
		{ { "0123456789abcdef" }, "0123456701234567012345670123456", 1, ERR_MALFORMED },
		{ { NULL }, "", 0, ERR_MALFORMED } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		Citex__Frame f = CITEX__FRAME__INIT;
		Citex__TakeBack t = CITEX__TAKE_BACK__INIT;
		Citex__EnvelopeName names[2], *list[2] = { &names[0], &names[1] };
		struct pair p;
		pair_init(&p);
		for (size_t k = 0; k < rows[i].count; k++) {
			citex__envelope_name__init(&names[k]);
			names[k].envelope_id = pb_of_bytes(bytes_str(rows[i].ids[k]));
			names[k].outer_digest = pb_of_bytes(bytes_str(rows[i].digest));
		}
		t.number = 1;
		t.n_envelopes = rows[i].count;
		t.envelopes = list;
		f.body_case = CITEX__FRAME__BODY_TAKE_BACK;
		f.take_back = &t;
		assert_int_equal(inject(&p, &p.a, &f), rows[i].expect);
		assert_true((find(&p.a, ACTION_TAKE_BACK) != NULL) == (rows[i].expect == OK));
		pair_release(&p);
	}
}

static void
test_session_asks_back_for_so_many_and_no_more(void **state)
{
	static uint8_t ids[ADDRESSEES_MAX + 1][ID_BYTES], digest[DIGEST_BYTES];
	static Citex__EnvelopeName names[ADDRESSEES_MAX + 1], *list[ADDRESSEES_MAX + 1];

	(void)state;
	for (size_t n = ADDRESSEES_MAX; n <= ADDRESSEES_MAX + 1; n++) {
		Citex__Frame f = CITEX__FRAME__INIT;
		Citex__TakeBack t = CITEX__TAKE_BACK__INIT;
		struct pair p;
		pair_init(&p);
		for (size_t i = 0; i < n; i++) {
			citex__envelope_name__init(list[i] = &names[i]);
			ids[i][0] = (uint8_t)(i >> 8);
			ids[i][1] = (uint8_t)i;
			names[i].envelope_id = pb_of_bytes(BYTES_OF(ids[i]));
			names[i].outer_digest = pb_of_bytes(BYTES_OF(digest));
		}
		t.n_envelopes = n;
		t.envelopes = list;
		f.body_case = CITEX__FRAME__BODY_TAKE_BACK;
		f.take_back = &t;
		assert_int_equal(inject(&p, &p.a, &f), n <= ADDRESSEES_MAX ? OK : ERR_MALFORMED);
		pair_release(&p);
	}
}

static void
test_session_answer_to_taking_back_names_whole_ids(void **state)
{
	(void)state;
	for (size_t len = ID_BYTES - 1; len <= ID_BYTES + 1; len++) {
		Citex__Frame f = CITEX__FRAME__INIT;
		Citex__TakeBackResult r = CITEX__TAKE_BACK_RESULT__INIT;
		ProtobufCBinaryData left = { len, (uint8_t *)(uintptr_t) "0123456789abcdefg" };
		struct pair p;
		pair_init(&p);
		r.n_left = 1;
		r.left = &left;
		f.body_case = CITEX__FRAME__BODY_TAKE_BACK_RESULT;
		f.take_back_result = &r;
		assert_int_equal(inject(&p, &p.a, &f), len == ID_BYTES ? OK : ERR_MALFORMED);
		assert_true((find(&p.a, ACTION_TAKE_BACK_RESULT) != NULL) == (len == ID_BYTES));
		pair_release(&p);
	}
}

static void
test_session_unknown_version_is_refused(void **state)
{
	Citex__Frame f = CITEX__FRAME__INIT;
	Citex__Hello h = CITEX__HELLO__INIT;
	struct pair p = { .now = { 1, 1 } };

	(void)state;
	side_init(&p.a, "ke", 0);
	side_init(&p.b, "gb", 0);
	open_side(&p, &p.a);
	h.version_min = 2;
	h.version_max = 3;
	h.node = (char *)(uintptr_t) "gb";
	h.incarnation = pb_of_bytes(bytes_str("12345678"));
	f.body_case = CITEX__FRAME__BODY_HELLO;
	f.hello = &h;
	assert_int_equal(inject(&p, &p.a, &f), ERR_VERSION);
	pair_release(&p);
}

static void
test_session_goodbye_says_why(void **state)
{
	struct event bye = { .type = EVENT_BYE, .result = ERR_REVOKED };
	struct pair p;

	(void)state;
	pair_init(&p);
	assert_int_equal(tell(&p, &p.a, &bye), OK);
	pump(&p);
	assert_int_equal(p.b.closed, ERR_REVOKED);
	assert_int_equal(p.a.closed, ERR_REVOKED);
	pair_release(&p);
}

static void
test_session_credit_can_shrink_and_grow(void **state)
{
	struct event ev = { .type = EVENT_CREDIT, .number = 2 };
	struct pair p;

	(void)state;
	pair_init(&p);
	assert_int_equal(tell(&p, &p.b, &ev), OK);
	pump(&p);
	assert_int_equal(session_may_offer(p.a.s), 2);
	ev.number = WINDOW_ENVELOPES;
	assert_int_equal(tell(&p, &p.b, &ev), OK);
	pump(&p);
	assert_int_equal(session_may_offer(p.a.s), WINDOW_ENVELOPES);
	ev.number = WINDOW_ENVELOPES + 1;
	assert_int_equal(tell(&p, &p.b, &ev), ERR_INTERNAL);
	pair_release(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_session_hello_names_the_peer),
		cmocka_unit_test(test_session_taken_only_after_commit),
		cmocka_unit_test(test_session_failed_commit_is_later_not_taken),
		cmocka_unit_test(test_session_gathers_taken_of_one_commit),
		cmocka_unit_test(test_session_window_is_full_at_its_limit),
		cmocka_unit_test(test_session_one_slow_offer_does_not_stop_the_others),
		cmocka_unit_test(test_session_offer_beyond_the_window_closes),
		cmocka_unit_test(test_session_offers_must_count_up),
		cmocka_unit_test(test_session_answer_to_nothing_closes),
		cmocka_unit_test(test_session_every_state_with_every_frame),
		cmocka_unit_test(test_session_same_actions_in_every_split),
		cmocka_unit_test(test_session_silent_peer_times_out),
		cmocka_unit_test(test_session_missing_hello_times_out),
		cmocka_unit_test(test_session_keep_alive_keeps_it_alive),
		cmocka_unit_test(test_session_says_it_lives_when_it_said_nothing),
		cmocka_unit_test(test_session_unanswered_offer_times_out_unless_chunks_move),
		cmocka_unit_test(test_session_chunks_are_bounded_and_matched),
		cmocka_unit_test(test_session_lost_chunk_is_told),
		cmocka_unit_test(test_session_tells_of_another_directory),
		cmocka_unit_test(test_session_spool_needs_a_name_and_an_incarnation),
		cmocka_unit_test(test_session_takes_back_what_is_named_well),
		cmocka_unit_test(test_session_asks_back_for_so_many_and_no_more),
		cmocka_unit_test(test_session_answer_to_taking_back_names_whole_ids),
		cmocka_unit_test(test_session_unknown_version_is_refused),
		cmocka_unit_test(test_session_goodbye_says_why),
		cmocka_unit_test(test_session_credit_can_shrink_and_grow),
	};

	return cmocka_run_group_tests_name("session", tests, NULL, NULL);
}
