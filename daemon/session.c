/* SPDX-License-Identifier: Apache-2.0 */
/* One session, as a pure machine: who may say what when, which offer was
 * answered, and by when something must happen. It does not know what an
 * envelope means, whether a peer may send it, or where it is stored.
 *
 * Each side numbers its offers from 1. The other side answers each once, in
 * any order, with `taken' or `later'; at most the credit it gave may stand
 * unanswered. `taken' is gathered: what was committed together is answered in
 * one frame at the next tick, which is due at once.
 *
 * Known weakness: a peer that asks for chunks for ever keeps its offers alive
 * for as long; the limits of the post bound what that costs. */
#include "daemon/session.h"

#include <stdlib.h>
#include <string.h>

#define VERSION 1

/* Each state is named for what it waits for. */
enum state { AWAIT_OPEN, AWAIT_HELLO, READY, CLOSED };

struct offer {
	uint32_t number; /* 0: free */
	uint64_t token;
	int64_t since_ms;
};

struct wanted {
	bool used;
	uint8_t root[DIGEST_BYTES];
	uint32_t index;
	int64_t since_ms;
};

struct session {
	enum state state;
	struct session_self self;
	Citex__Frame *hello; /* of the peer */
	int64_t opened_ms;
	int64_t heard_ms; /* last frame of the peer */
	int64_t sent_ms; /* last frame of ours */

	/* our offers */
	uint32_t next_number;
	unsigned credit; /* given by the peer */
	unsigned open_count;
	/* WINDOW_ENVELOPES, in no order, for the answers come in any; NULL while none is open: of
	 * many sessions most are idle */
	struct offer *offers;
	int64_t answered_ms; /* last sign that the peer works on them */

	/* the peer's offers */
	uint32_t heard_number;
	unsigned given; /* credit we gave */
	unsigned unanswered_count;
	uint32_t unanswered[WINDOW_ENVELOPES]; /* 0: free */
	uint32_t taken[BATCH_MAX];
	unsigned taken_count;

	struct wanted wanted[CHUNKS_IN_FLIGHT];
	int64_t chunk_ms; /* last chunk that came */
	unsigned reading_count; /* the peer's chunk requests not yet answered */
};

static struct action *
add_action(struct actions *out, enum action_type type)
{
	struct action *a;

	if (out->count == out->room) {
		out->room = out->room == 0 ? 8 : out->room * 2;
		out->at = xgrow(out->at, out->room, sizeof(*out->at));
	}
	a = &out->at[out->count++];
	*a = (struct action){ .type = type };
	return a;
}

void
actions_release(struct actions *a)
{
	for (size_t i = 0; i < a->count; i++) {
		buffer_release(&a->at[i].bytes);
		proto_free((ProtobufCMessage *)a->at[i].frame);
	}
	free(a->at);
	*a = (struct actions){ 0 };
}

/* Frames that follow one another leave as one run of bytes. */
static struct buffer *
sending(struct session *s, struct actions *out, struct now now)
{
	struct action *last = out->count > 0 ? &out->at[out->count - 1] : NULL;

	s->sent_ms = now.mono_ms;
	if (last == NULL || last->type != ACTION_SEND)
		last = add_action(out, ACTION_SEND);
	return &last->bytes;
}

static enum err
send_frame(struct session *s, Citex__Frame *f, struct actions *out, struct now now)
{
	struct buffer *to = sending(s, out, now);

	frame_write(&f->base, to);
	return buffer_status(to);
}

static void
add_varint(struct buffer *b, uint64_t v)
{
	while (v >= 0x80) {
		buffer_add_u8(b, (uint8_t)(v | 0x80));
		v >>= 7;
	}
	buffer_add_u8(b, (uint8_t)v);
}

/* An Offer around bytes that are encoded already: nothing is decoded on the way out. */
static enum err
send_offer(struct session *s, uint32_t number, unsigned field, const struct event *ev,
    struct actions *out, struct now now)
{
	CLEANUP(buffer_release) struct buffer offer = { 0 };
	struct bytes item = ev->bytes;
	CLEANUP(buffer_release) struct buffer frame = { 0 };
	struct buffer *to = sending(s, out, now);

	add_varint(&offer, 1 << 3);
	add_varint(&offer, number);
	add_varint(&offer, field << 3 | 2);
	add_varint(&offer, item.len);
	buffer_add(&offer, item);
	if (ev->receipt.len > 0) {
		add_varint(&offer, 4 << 3 | 2);
		add_varint(&offer, ev->receipt.len);
		buffer_add(&offer, ev->receipt);
	}
	add_varint(&frame, CITEX__FRAME__BODY_OFFER << 3 | 2);
	add_varint(&frame, offer.len);
	if (frame.len + offer.len > FRAME_MAX_BYTES)
		return ERR_TOO_LARGE;
	buffer_add_u32(to, (uint32_t)(frame.len + offer.len));
	buffer_add(to, buffer_bytes(&frame));
	buffer_add(to, buffer_bytes(&offer));
	return buffer_status(to);
}

static enum err
send_hello(struct session *s, struct actions *out, struct now now)
{
	Citex__Frame frame = CITEX__FRAME__INIT;
	Citex__Hello hello = CITEX__HELLO__INIT;

	hello.version_min = VERSION;
	hello.version_max = VERSION;
	hello.node = s->self.node;
	hello.incarnation = pb_of_bytes(BYTES_OF(s->self.incarnation));
	hello.directory = s->self.directory;
	if (s->self.directory != 0)
		hello.head_digest = pb_of_bytes(BYTES_OF(s->self.head_digest));
	hello.time = (uint64_t)now.utc_ms;
	frame.body_case = CITEX__FRAME__BODY_HELLO;
	frame.hello = &hello;
	return send_frame(s, &frame, out, now);
}

static enum err
flush_taken(struct session *s, struct actions *out, struct now now)
{
	Citex__Frame frame = CITEX__FRAME__INIT;
	Citex__Taken taken = CITEX__TAKEN__INIT;

	if (s->taken_count == 0)
		return OK;
	taken.numbers = s->taken;
	taken.n_numbers = s->taken_count;
	frame.body_case = CITEX__FRAME__BODY_TAKEN;
	frame.taken = &taken;
	s->taken_count = 0;
	return send_frame(s, &frame, out, now);
}

/* --- frames of the peer --- */

static enum err
check_hello_fields(const Citex__Hello *h)
{
	if (h->version_min > VERSION || h->version_max < VERSION)
		return ERR_VERSION;
	if (!authority_is_valid(h->node) || h->incarnation.len != INCARNATION_BYTES)
		return ERR_MALFORMED;
	if (h->head_digest.len != (h->directory == 0 ? 0 : DIGEST_BYTES))
		return ERR_MALFORMED;
	return OK;
}

static bool
same_directory(const struct session *s, const Citex__Hello *h)
{
	return h->directory == s->self.directory &&
	    (h->directory == 0 ||
		bytes_equal(bytes_of_pb(h->head_digest), BYTES_OF(s->self.head_digest)));
}

static enum err
on_hello(struct session *s, Citex__Frame **frame, struct now now, struct actions *out)
{
	enum err e = check_hello_fields((*frame)->hello);

	(void)now;
	if (e != OK)
		return e;
	s->hello = *frame;
	*frame = NULL;
	s->state = READY;
	add_action(out, ACTION_READY);
	if (!same_directory(s, s->hello->hello))
		add_action(out, ACTION_PEER_DIRECTORY);
	return OK;
}

/* A later hello tells of another directory, and of nothing else. */
static enum err
on_hello_again(struct session *s, Citex__Frame **frame, struct now now, struct actions *out)
{
	const Citex__Hello *was = s->hello->hello, *is = (*frame)->hello;
	enum err e = check_hello_fields(is);

	(void)now;
	if (e != OK)
		return e;
	if (strcmp(was->node, is->node) != 0 ||
	    !bytes_equal(bytes_of_pb(was->incarnation), bytes_of_pb(is->incarnation)))
		return ERR_UNEXPECTED;
	proto_free(&s->hello->base);
	s->hello = *frame;
	*frame = NULL;
	if (!same_directory(s, s->hello->hello))
		add_action(out, ACTION_PEER_DIRECTORY);
	return OK;
}

/* The slot of the peer's offer NUMBER, or a free one for 0; NULL: none. */
static uint32_t *
find_unanswered(struct session *s, uint32_t number)
{
	for (size_t i = 0; i < WINDOW_ENVELOPES; i++) {
		if (s->unanswered[i] == number)
			return &s->unanswered[i];
	}
	return NULL;
}

static enum err
on_offer(struct session *s, Citex__Frame **frame, struct now now, struct actions *out)
{
	const Citex__Offer *o = (*frame)->offer;
	struct action *a;

	(void)now;
	if (o->number != s->heard_number + 1 || s->unanswered_count >= s->given)
		return ERR_UNEXPECTED;
	if (o->what_case != CITEX__OFFER__WHAT_ENVELOPE && o->what_case != CITEX__OFFER__WHAT_SLIP)
		return ERR_MALFORMED;
	s->heard_number = o->number;
	*find_unanswered(s, 0) = o->number;
	s->unanswered_count++;
	a = add_action(out,
	    o->what_case == CITEX__OFFER__WHAT_ENVELOPE ? ACTION_STORE_ENVELOPE
							: ACTION_STORE_SLIP);
	a->number = o->number;
	a->frame = *frame;
	*frame = NULL;
	return OK;
}

/* The slot of our offer NUMBER, or a free one for 0; NULL: none. */
static struct offer *
find_offer(struct session *s, uint32_t number)
{
	for (size_t i = 0; s->offers != NULL && i < WINDOW_ENVELOPES; i++) {
		if (s->offers[i].number == number)
			return &s->offers[i];
	}
	return NULL;
}

/* The offer of ours that the peer answers; NULL: there is none. */
static struct offer *
open_offer(struct session *s, uint32_t number)
{
	return number != 0 ? find_offer(s, number) : NULL;
}

static void
close_offer(struct session *s, struct offer *o, struct now now)
{
	o->number = 0;
	s->answered_ms = now.mono_ms;
	if (--s->open_count > 0)
		return;
	free(s->offers);
	s->offers = NULL;
}

static enum err
on_taken(struct session *s, Citex__Frame **frame, struct now now, struct actions *out)
{
	const Citex__Taken *t = (*frame)->taken;

	if (t->n_numbers == 0 || t->n_numbers > WINDOW_ENVELOPES)
		return ERR_MALFORMED;
	for (size_t i = 0; i < t->n_numbers; i++) {
		struct offer *o = open_offer(s, t->numbers[i]);
		if (o == NULL)
			return ERR_UNEXPECTED;
		add_action(out, ACTION_TAKEN)->token = o->token;
		close_offer(s, o, now);
	}
	add_action(out, ACTION_CREDIT);
	return OK;
}

static enum err
on_later(struct session *s, Citex__Frame **frame, struct now now, struct actions *out)
{
	const Citex__Later *l = (*frame)->later;
	struct offer *o = open_offer(s, l->number);
	struct action *a;

	if (o == NULL)
		return ERR_UNEXPECTED;
	a = add_action(out, ACTION_LATER);
	a->token = o->token;
	a->result = err_from_name(l->reason);
	/* A peer may not put an envelope off for longer than our own longest wait. */
	a->wait_ms = l->wait_ms > RETRY_MAX_MS ? RETRY_MAX_MS : (int64_t)l->wait_ms;
	close_offer(s, o, now);
	add_action(out, ACTION_CREDIT);
	return OK;
}

static enum err
on_credit(struct session *s, Citex__Frame **frame, struct now now, struct actions *out)
{
	uint32_t offers = (*frame)->credit->offers;

	(void)now;
	if (offers == 0 || offers > WINDOW_ENVELOPES)
		return ERR_MALFORMED;
	s->credit = offers;
	add_action(out, ACTION_CREDIT);
	return OK;
}

static enum err
on_chunk_request(struct session *s, Citex__Frame **frame, struct now now, struct actions *out)
{
	const Citex__ChunkRequest *r = (*frame)->chunk_request;
	struct action *a;

	if (r->root.len != DIGEST_BYTES)
		return ERR_MALFORMED;
	if (s->reading_count >= CHUNKS_IN_FLIGHT)
		return ERR_UNEXPECTED;
	s->reading_count++;
	s->answered_ms = now.mono_ms;
	a = add_action(out, ACTION_READ_CHUNK);
	memcpy(a->root, r->root.data, DIGEST_BYTES);
	a->index = r->index;
	return OK;
}

static struct wanted *
find_wanted(struct session *s, struct bytes root, uint32_t index)
{
	for (size_t i = 0; i < CHUNKS_IN_FLIGHT; i++) {
		struct wanted *w = &s->wanted[i];
		if (w->used && w->index == index && bytes_equal(BYTES_OF(w->root), root))
			return w;
	}
	return NULL;
}

static enum err
on_chunk(struct session *s, Citex__Frame **frame, struct now now, struct actions *out)
{
	const Citex__Chunk *c = (*frame)->chunk;
	struct wanted *w = find_wanted(s, bytes_of_pb(c->root), c->index);
	struct action *a;

	if (w == NULL)
		return ERR_UNEXPECTED;
	if (c->data.len > CHUNK_BYTES || c->n_path > MERKLE_PATH_MAX)
		return ERR_MALFORMED;
	w->used = false;
	s->chunk_ms = now.mono_ms;
	a = add_action(out, ACTION_CHUNK);
	memcpy(a->root, c->root.data, DIGEST_BYTES);
	a->index = c->index;
	a->frame = *frame;
	*frame = NULL;
	return OK;
}

static enum err
pass_on(enum action_type type, Citex__Frame **frame, struct actions *out)
{
	add_action(out, type)->frame = *frame;
	*frame = NULL;
	return OK;
}

static enum err
on_directory(struct session *s, Citex__Frame **frame, struct now now, struct actions *out)
{
	(void)s;
	(void)now;
	return pass_on(ACTION_DIRECTORY, frame, out);
}

static enum err
on_probe(struct session *s, Citex__Frame **frame, struct now now, struct actions *out)
{
	(void)s;
	(void)now;
	return pass_on(ACTION_PROBE, frame, out);
}

static enum err
on_progress(struct session *s, Citex__Frame **frame, struct now now, struct actions *out)
{
	(void)s;
	(void)now;
	return pass_on(ACTION_PROGRESS, frame, out);
}

static enum err
on_spool(struct session *s, Citex__Frame **frame, struct now now, struct actions *out)
{
	(void)s;
	(void)now;
	if (!node_is_valid((*frame)->spool->node) ||
	    (*frame)->spool->incarnation.len != INCARNATION_BYTES)
		return ERR_MALFORMED;
	return pass_on(ACTION_SPOOL, frame, out);
}

static enum err
on_take_back(struct session *s, Citex__Frame **frame, struct now now, struct actions *out)
{
	const Citex__TakeBack *t = (*frame)->take_back;

	(void)s;
	(void)now;
	if (t->n_envelopes == 0 || t->n_envelopes > ADDRESSEES_MAX)
		return ERR_MALFORMED;
	for (size_t i = 0; i < t->n_envelopes; i++) {
		const Citex__EnvelopeName *e = t->envelopes[i];
		if (e->envelope_id.len != ID_BYTES || e->outer_digest.len != DIGEST_BYTES)
			return ERR_MALFORMED;
		if (i > 0 &&
		    memcmp(t->envelopes[i - 1]->envelope_id.data, e->envelope_id.data, ID_BYTES) >=
			0)
			return ERR_MALFORMED;
	}
	return pass_on(ACTION_TAKE_BACK, frame, out);
}

static enum err
on_take_back_result(struct session *s, Citex__Frame **frame, struct now now, struct actions *out)
{
	const Citex__TakeBackResult *r = (*frame)->take_back_result;

	(void)s;
	(void)now;
	if (r->n_left > ADDRESSEES_MAX)
		return ERR_MALFORMED;
	for (size_t i = 0; i < r->n_left; i++) {
		if (r->left[i].len != ID_BYTES)
			return ERR_MALFORMED;
	}
	return pass_on(ACTION_TAKE_BACK_RESULT, frame, out);
}

static enum err
on_keep_alive(struct session *s, Citex__Frame **frame, struct now now, struct actions *out)
{
	(void)s;
	(void)frame;
	(void)now;
	(void)out;
	return OK;
}

static enum err
on_bye(struct session *s, Citex__Frame **frame, struct now now, struct actions *out)
{
	struct action *a = add_action(out, ACTION_CLOSE);

	(void)now;
	a->result = strcmp((*frame)->bye->reason, err_name(OK)) == 0
	    ? ERR_CLOSED
	    : err_from_name((*frame)->bye->reason);
	a->text = "the other side said goodbye";
	s->state = CLOSED;
	return OK;
}

/* The machine: what is not listed is ERR_UNEXPECTED. */
static const struct rule {
	enum state in;
	Citex__Frame__BodyCase on;
	enum err (*act)(struct session *s, Citex__Frame **f, struct now now, struct actions *out);
} rules[] = {
	{ AWAIT_HELLO, CITEX__FRAME__BODY_HELLO, on_hello },
	{ AWAIT_HELLO, CITEX__FRAME__BODY_BYE, on_bye },
	{ READY, CITEX__FRAME__BODY_HELLO, on_hello_again },
	{ READY, CITEX__FRAME__BODY_OFFER, on_offer },
	{ READY, CITEX__FRAME__BODY_TAKEN, on_taken },
	{ READY, CITEX__FRAME__BODY_LATER, on_later },
	{ READY, CITEX__FRAME__BODY_CREDIT, on_credit },
	{ READY, CITEX__FRAME__BODY_CHUNK_REQUEST, on_chunk_request },
	{ READY, CITEX__FRAME__BODY_CHUNK, on_chunk },
	{ READY, CITEX__FRAME__BODY_DIRECTORY_REQUEST, on_directory },
	{ READY, CITEX__FRAME__BODY_DIRECTORY_HEADS, on_directory },
	{ READY, CITEX__FRAME__BODY_DIRECTORY_PART, on_directory },
	{ READY, CITEX__FRAME__BODY_PROBE, on_probe },
	{ READY, CITEX__FRAME__BODY_PROBE_RESULT, on_probe },
	{ READY, CITEX__FRAME__BODY_PROGRESS, on_progress },
	{ READY, CITEX__FRAME__BODY_SPOOL, on_spool },
	{ READY, CITEX__FRAME__BODY_TAKE_BACK, on_take_back },
	{ READY, CITEX__FRAME__BODY_TAKE_BACK_RESULT, on_take_back_result },
	{ READY, CITEX__FRAME__BODY_KEEP_ALIVE, on_keep_alive },
	{ READY, CITEX__FRAME__BODY_BYE, on_bye },
};

static enum err
handle_frame(struct session *s, struct bytes bytes, struct now now, struct actions *out)
{
	Citex__Frame *frame = NULL;
	enum err e;

	if (bytes.len > FRAME_MAX_BYTES)
		return ERR_TOO_LARGE;
	e = proto_unpack(&citex__frame__descriptor, bytes, (ProtobufCMessage **)&frame);
	if (e != OK)
		return e;
	s->heard_ms = now.mono_ms;
	e = ERR_UNEXPECTED;
	for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++) {
		if (rules[i].in == s->state && rules[i].on == frame->body_case) {
			e = rules[i].act(s, &frame, now, out);
			break;
		}
	}
	proto_free((ProtobufCMessage *)frame);
	return e;
}

/* --- events of our own side --- */

static enum err
handle_offer(struct session *s, const struct event *ev, struct now now, struct actions *out)
{
	struct offer *o;
	unsigned field = ev->type == EVENT_OFFER_ENVELOPE ? CITEX__OFFER__WHAT_ENVELOPE
							  : CITEX__OFFER__WHAT_SLIP;

	if (session_may_offer(s) == 0)
		return ERR_BUSY;
	if (s->offers == NULL)
		s->offers = xalloc_array(WINDOW_ENVELOPES, sizeof(*s->offers));
	o = find_offer(s, 0); /* there is one: a credit is at most the window */
	*o = (struct offer){ s->next_number, ev->token, now.mono_ms };
	s->open_count++;
	return send_offer(s, s->next_number++, field, ev, out, now);
}

static enum err
send_later(struct session *s, const struct event *ev, struct actions *out, struct now now)
{
	Citex__Frame frame = CITEX__FRAME__INIT;
	Citex__Later later = CITEX__LATER__INIT;
	char reason[64];

	strncpy(reason, err_name(ev->result), sizeof(reason) - 1);
	reason[sizeof(reason) - 1] = '\0';
	later.number = ev->number;
	later.reason = reason;
	later.wait_ms = (uint64_t)(ev->wait_ms > 0 ? ev->wait_ms : RETRY_FIRST_MS);
	frame.body_case = CITEX__FRAME__BODY_LATER;
	frame.later = &later;
	return send_frame(s, &frame, out, now);
}

static enum err
handle_committed(struct session *s, const struct event *ev, struct now now, struct actions *out)
{
	uint32_t *slot = find_unanswered(s, ev->number);

	if (ev->number == 0 || slot == NULL)
		return ERR_INTERNAL;
	*slot = 0;
	s->unanswered_count--;
	if (ev->result != OK)
		return send_later(s, ev, out, now);
	s->taken[s->taken_count++] = ev->number;
	return s->taken_count < BATCH_MAX ? OK : flush_taken(s, out, now);
}

static enum err
handle_want_chunk(struct session *s, const struct event *ev, struct now now, struct actions *out)
{
	Citex__Frame frame = CITEX__FRAME__INIT;
	Citex__ChunkRequest request = CITEX__CHUNK_REQUEST__INIT;
	struct wanted *w = s->wanted;

	if (session_may_want(s) == 0 || ev->root.len != DIGEST_BYTES)
		return ERR_BUSY;
	while (w->used)
		w++;
	w->used = true;
	memcpy(w->root, ev->root.at, DIGEST_BYTES);
	w->index = ev->index;
	w->since_ms = now.mono_ms;
	request.root = pb_of_bytes(ev->root);
	request.index = ev->index;
	frame.body_case = CITEX__FRAME__BODY_CHUNK_REQUEST;
	frame.chunk_request = &request;
	return send_frame(s, &frame, out, now);
}

static enum err
handle_chunk_read(struct session *s, const struct event *ev, struct now now, struct actions *out)
{
	Citex__Frame frame = CITEX__FRAME__INIT;
	Citex__Chunk none = CITEX__CHUNK__INIT;

	if (s->reading_count == 0)
		return ERR_INTERNAL;
	s->reading_count--;
	none.root = pb_of_bytes(ev->root);
	none.index = ev->index;
	frame.body_case = CITEX__FRAME__BODY_CHUNK;
	frame.chunk = ev->chunk != NULL ? (Citex__Chunk *)(uintptr_t)ev->chunk : &none;
	return send_frame(s, &frame, out, now);
}

static enum err
handle_credit(struct session *s, const struct event *ev, struct now now, struct actions *out)
{
	Citex__Frame frame = CITEX__FRAME__INIT;
	Citex__Credit credit = CITEX__CREDIT__INIT;

	if (ev->number == 0 || ev->number > WINDOW_ENVELOPES)
		return ERR_INTERNAL;
	/* What is under way may exceed a smaller credit; the peer is held to the larger one until
	 * it has heard. */
	if (ev->number > s->given)
		s->given = ev->number;
	credit.offers = ev->number;
	frame.body_case = CITEX__FRAME__BODY_CREDIT;
	frame.credit = &credit;
	return send_frame(s, &frame, out, now);
}

static enum err
send_bye(struct session *s, enum err reason, struct actions *out, struct now now)
{
	Citex__Frame frame = CITEX__FRAME__INIT;
	Citex__Bye bye = CITEX__BYE__INIT;
	char name[64];

	strncpy(name, err_name(reason), sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	bye.reason = name;
	frame.body_case = CITEX__FRAME__BODY_BYE;
	frame.bye = &bye;
	return send_frame(s, &frame, out, now);
}

/* The oldest time since which the peer owes an answer to an offer; INT64_MAX: owes none. */
static int64_t
owing_since_ms(const struct session *s)
{
	int64_t oldest_ms = INT64_MAX;

	for (size_t i = 0; s->open_count > 0 && i < WINDOW_ENVELOPES; i++) {
		if (s->offers[i].number != 0 && s->offers[i].since_ms < oldest_ms)
			oldest_ms = s->offers[i].since_ms;
	}
	if (oldest_ms != INT64_MAX && oldest_ms < s->answered_ms)
		return s->answered_ms;
	return oldest_ms;
}

static int64_t
wanted_until_ms(const struct session *s, const struct wanted *w)
{
	return (w->since_ms > s->chunk_ms ? w->since_ms : s->chunk_ms) + ANSWER_TIMEOUT_MS;
}

static void
give_up_chunks(struct session *s, struct now now, struct actions *out)
{
	for (size_t i = 0; i < CHUNKS_IN_FLIGHT; i++) {
		struct wanted *w = &s->wanted[i];
		struct action *a;
		if (!w->used || wanted_until_ms(s, w) > now.mono_ms)
			continue;
		w->used = false;
		a = add_action(out, ACTION_CHUNK_LOST);
		memcpy(a->root, w->root, DIGEST_BYTES);
		a->index = w->index;
	}
}

static enum err
handle_tick(struct session *s, struct now now, struct actions *out)
{
	Citex__Frame frame = CITEX__FRAME__INIT;
	Citex__KeepAlive alive = CITEX__KEEP_ALIVE__INIT;
	int64_t owing_ms = owing_since_ms(s);
	enum err e;

	if (s->state == AWAIT_HELLO)
		return now.mono_ms >= s->opened_ms + HELLO_TIMEOUT_MS ? ERR_TIMEOUT : OK;
	e = flush_taken(s, out, now);
	if (e != OK)
		return e;
	if (now.mono_ms >= s->heard_ms + SILENCE_MAX_MS)
		return ERR_TIMEOUT;
	if (owing_ms != INT64_MAX && now.mono_ms >= owing_ms + ANSWER_TIMEOUT_MS)
		return ERR_TIMEOUT;
	give_up_chunks(s, now, out);
	if (now.mono_ms < s->sent_ms + KEEPALIVE_MS)
		return OK;
	frame.body_case = CITEX__FRAME__BODY_KEEP_ALIVE;
	frame.keep_alive = &alive;
	return send_frame(s, &frame, out, now);
}

static enum err
handle_open(struct session *s, struct now now, struct actions *out)
{
	if (s->state != AWAIT_OPEN)
		return ERR_INTERNAL;
	s->state = AWAIT_HELLO;
	s->opened_ms = s->heard_ms = now.mono_ms;
	return send_hello(s, out, now);
}

static enum err
handle_directory(struct session *s, const struct event *ev, struct now now, struct actions *out)
{
	s->self = *ev->self;
	return s->state == READY ? send_hello(s, out, now) : OK;
}

static enum err
handle_bye(struct session *s, const struct event *ev, struct now now, struct actions *out)
{
	struct action *a;
	enum err e = flush_taken(s, out, now);

	if (e == OK)
		e = send_bye(s, ev->result, out, now);
	a = add_action(out, ACTION_CLOSE);
	a->result = ev->result == OK ? ERR_CLOSED : ev->result;
	a->text = "closed by this side";
	s->state = CLOSED;
	return e;
}

static enum err
handle(struct session *s, const struct event *ev, struct now now, struct actions *out)
{
	switch (ev->type) {
	case EVENT_OPEN:
		return handle_open(s, now, out);
	case EVENT_FRAME:
		return handle_frame(s, ev->bytes, now, out);
	case EVENT_OFFER_ENVELOPE:
	case EVENT_OFFER_SLIP:
		return handle_offer(s, ev, now, out);
	case EVENT_COMMITTED:
		return handle_committed(s, ev, now, out);
	case EVENT_WANT_CHUNK:
		return handle_want_chunk(s, ev, now, out);
	case EVENT_CHUNK_READ:
		return handle_chunk_read(s, ev, now, out);
	case EVENT_DIRECTORY:
		return handle_directory(s, ev, now, out);
	case EVENT_SEND:
		return s->state == READY ? send_frame(s, ev->frame, out, now) : ERR_WRONG_STATE;
	case EVENT_CREDIT:
		return handle_credit(s, ev, now, out);
	case EVENT_TICK:
		return handle_tick(s, now, out);
	case EVENT_BYE:
		return handle_bye(s, ev, now, out);
	}
	return ERR_INTERNAL;
}

/* --- public --- */

struct session *
session_new(const struct session_self *self)
{
	struct session *s = xalloc(sizeof(*s));

	s->self = *self;
	s->next_number = 1;
	s->credit = s->given = WINDOW_ENVELOPES;
	return s;
}

void
session_free(struct session *s)
{
	if (s == NULL)
		return;
	proto_free((ProtobufCMessage *)s->hello);
	free(s->offers);
	free(s);
}

enum err
session_handle(struct session *s, const struct event *ev, struct now now, struct actions *out)
{
	struct action *a;
	enum err e;

	if (s->state == CLOSED ||
	    (s->state == AWAIT_OPEN && ev->type != EVENT_OPEN && ev->type != EVENT_DIRECTORY &&
		ev->type != EVENT_BYE))
		return ERR_WRONG_STATE;
	e = handle(s, ev, now, out);
	if (e == OK || e == ERR_BUSY || e == ERR_WRONG_STATE)
		return e;
	if (send_bye(s, e, out, now) != OK)
		out->count = 0;
	a = add_action(out, ACTION_CLOSE);
	a->result = e;
	a->text = err_words(e);
	s->state = CLOSED;
	return e;
}

static void
sooner(int64_t *at_ms, int64_t other_ms)
{
	if (other_ms < *at_ms)
		*at_ms = other_ms;
}

int64_t
session_deadline_ms(const struct session *s)
{
	int64_t at_ms = INT64_MAX, owing_ms;

	if (s->state == AWAIT_HELLO)
		return s->opened_ms + HELLO_TIMEOUT_MS;
	if (s->state != READY)
		return INT64_MAX;
	if (s->taken_count > 0)
		return 0;
	owing_ms = owing_since_ms(s);
	if (owing_ms != INT64_MAX)
		sooner(&at_ms, owing_ms + ANSWER_TIMEOUT_MS);
	for (size_t i = 0; i < CHUNKS_IN_FLIGHT; i++) {
		if (s->wanted[i].used)
			sooner(&at_ms, wanted_until_ms(s, &s->wanted[i]));
	}
	sooner(&at_ms, s->heard_ms + SILENCE_MAX_MS);
	sooner(&at_ms, s->sent_ms + KEEPALIVE_MS);
	return at_ms;
}

unsigned
session_may_offer(const struct session *s)
{
	return s->state == READY && s->open_count < s->credit ? s->credit - s->open_count : 0;
}

unsigned
session_may_want(const struct session *s)
{
	unsigned free_count = 0;

	for (size_t i = 0; s->state == READY && i < CHUNKS_IN_FLIGHT; i++)
		free_count += s->wanted[i].used ? 0 : 1;
	return free_count;
}

bool
session_is_ready(const struct session *s)
{
	return s->state == READY;
}

const char *
session_peer(const struct session *s)
{
	return s->hello != NULL ? s->hello->hello->node : "";
}

const Citex__Hello *
session_peer_hello(const struct session *s)
{
	return s->hello != NULL ? s->hello->hello : NULL;
}
