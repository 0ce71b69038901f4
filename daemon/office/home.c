/* SPDX-License-Identifier: Apache-2.0 */
/* Slips that come home: what becomes of what was sent, each on disk before it
 * is answered. And offering again what nobody has acknowledged. */
#include <stdlib.h>
#include <string.h>

#include "daemon/office/display.h"
#include "daemon/office/inside.h"
#include "pki/seal.h"
#include "proto/decode.h"

/* --- slips that come home --- */

struct slip_job {
	struct job job;
	struct office *office;
	uint32_t number;
	struct slip slip;
	struct buffer packed;
	struct directory *directory;
	struct id message;
	char authority[AUTHORITY_MAX_BYTES + 1];
	bool changed, ended;
	bool again; /* it is to be sealed anew */
	uint64_t session; /* whose offer it was */
	int64_t now_ms;
};

static int
rank(Citex__SlipType type)
{
	/* a valid receipt outranks `expired' (docs/protocol.md, 5); and one that came after a
	 * refusal, which an officer there had looked at again */
	static const int ranks[] = { 0, 2, 3, 5, 6, 4, 1 };

	return (unsigned)type < sizeof(ranks) / sizeof(*ranks) ? ranks[type] : 0;
}

/* NOW_MS bounds the time: no clock waits for a day that somebody made up. */
static void
apply_slip(Citex__BookAddressee *a, const Citex__SlipBody *b, int64_t now_ms)
{
	uint64_t latest = (uint64_t)(now_ms + CLOCK_JUMP_MS);
	uint64_t time = b->time < latest ? b->time : (uint64_t)now_ms;

	if (b->type == CITEX__SLIP_TYPE__SLIP_STORED && a->stored == 0)
		a->stored = time;
	if (b->type == CITEX__SLIP_TYPE__SLIP_OPENED && a->opened == 0)
		a->opened = time;
	if (rank(b->type) <= rank(a->reached))
		return;
	a->reached = b->type;
	a->since = time;
	text_set(&a->reason, b->reason);
	text_set(&a->words, b->words);
}

static bool
ends_wait(Citex__SlipType type)
{
	return type != CITEX__SLIP_TYPE__SLIP_RELAYED && type != CITEX__SLIP_TYPE__SLIP_STORED;
}

/* A reseal is for the addressee's office to ask, whose key it is; anybody else's is a refusal. */
static bool
asks_reseal(const struct slip_job *s, const struct envelope *about)
{
	const Citex__SlipBody *b = s->slip.body;

	return about->pb != NULL && b->type == CITEX__SLIP_TYPE__SLIP_REFUSED &&
	    strcmp(b->reason, err_name(ERR_RESEAL)) == 0 &&
	    strcmp(b->maker, about->outer->addressee) == 0;
}

/* A is as if nothing had been sent: the key that is gone is not sealed to again, and the clock
 * begins with the receipt for what can be read. Bounded: whoever asks for ever has no key. */
static enum err
begin_anew(struct slip_job *s, struct txn *t, Citex__BookAddressee *a, const struct envelope *about)
{
	struct bytes gone;
	enum err e = envelope_recipient(about, &gone);

	if (e != OK)
		return e;
	a->reseals++;
	free(a->gone_key.data);
	set_bytes(&a->gone_key, gone);
	free(a->envelope_id.data);
	a->envelope_id = (ProtobufCBinaryData){ 0, NULL };
	a->reached = CITEX__SLIP_TYPE__SLIP_NONE;
	/* who notices only weeks later that a key is gone does not undo the days that ran */
	if (a->stored != 0 && a->counts_from == 0 &&
	    s->now_ms - (int64_t)a->stored > RESEAL_ANEW_MS)
		a->counts_from = a->stored;
	a->since = a->stored = a->opened = 0;
	text_set(&a->reason, s->slip.body->reason);
	text_set(&a->words, "their key is gone: it is sealed anew when the directory has another");
	s->again = true;
	return book_mark(s->office->book, t, LIST_UNSEALED, s->message);
}

static enum err
update_addressee(
    struct slip_job *s, struct txn *t, const Citex__BookEnvelope *e, const struct envelope *about)
{
	struct book *b = s->office->book;
	Citex__BookAddressee *a = NULL;
	Citex__SlipType before;
	enum err err = id_from_bytes(bytes_of_pb(e->message), &s->message);

	if (err == OK)
		err = book_addressee(b, t, s->message, e->addressee, &a);
	if (err != OK)
		return err;
	before = a->reached;
	memcpy(s->authority, a->authority, strlen(a->authority));
	if (!bytes_equal(bytes_of_pb(a->envelope_id), id_bytes(&s->slip.envelope_id))) {
		proto_free(
		    &a->base); /* about one that another has replaced: it is kept, and no more */
		return OK;
	}
	/* who has opened it has no need of another sealing, and its word stands */
	if (asks_reseal(s, about) && a->reseals < RESEALS_MAX &&
	    rank(a->reached) < rank(CITEX__SLIP_TYPE__SLIP_OPENED))
		err = begin_anew(s, t, a, about);
	else
		apply_slip(a, s->slip.body, s->now_ms);
	s->changed = a->reached != before;
	if (err == OK)
		err = book_put_addressee(b, t, s->message, e->addressee, a);
	proto_free(&a->base);
	return err;
}

/* Once the addressee's own node has it, no relay ends the wait: only they do. */
static bool
is_out_of_turn(
    struct slip_job *s, struct txn *t, const Citex__BookEnvelope *e, const struct envelope *about)
{
	const Citex__SlipBody *b = s->slip.body;
	const struct directory_authority *to =
	    directory_authority(s->directory, about->outer->addressee);
	Citex__BookAddressee *a = NULL;
	struct id message;
	bool is_there;

	if ((b->type != CITEX__SLIP_TYPE__SLIP_REFUSED &&
		b->type != CITEX__SLIP_TYPE__SLIP_EXPIRED) ||
	    strcmp(b->maker, about->outer->addressee) == 0 ||
	    (to != NULL && strcmp(b->maker, to->node) == 0))
		return false;
	if (id_from_bytes(bytes_of_pb(e->message), &message) != OK ||
	    book_addressee(s->office->book, t, message, e->addressee, &a) != OK)
		return false;
	is_there = rank(a->reached) >= rank(CITEX__SLIP_TYPE__SLIP_STORED) &&
	    bytes_equal(bytes_of_pb(a->envelope_id), id_bytes(&s->slip.envelope_id));
	proto_free(&a->base);
	return is_there;
}

/* The first of its type is the proof of the time that counts; a node that lost its disk gives
 * another. */
static enum err
keep_first(struct slip_job *s, struct txn *t)
{
	CLEANUP(buffer_release) struct buffer first = { 0 };
	struct book *b = s->office->book;
	struct id envelope = s->slip.envelope_id;
	enum err e = book_slip(b, t, envelope, s->slip.body->type, &first);

	return e == ERR_NOT_FOUND
	    ? book_put_slip(b, t, envelope, s->slip.body->type, buffer_bytes(&s->packed))
	    : e;
}

static enum err
slip_run(struct job *j, struct txn *t)
{
	struct slip_job *s = (struct slip_job *)j;
	struct book *b = s->office->book;
	Citex__BookEnvelope *e = NULL;
	struct envelope envelope = { 0 };
	enum err err = book_envelope(b, t, s->slip.envelope_id, &e);

	if (err == ERR_NOT_FOUND)
		return OK; /* not ours, or long forgotten: nothing is lost by letting it go */
	if (err == OK)
		err = e->packed.len > 0 ? envelope_parse(bytes_of_pb(e->packed), &envelope)
					: envelope_of_outer(bytes_of_pb(e->outer), &envelope);
	s->again = s->changed = false; /* a batch that was dropped runs once more */
	if (err == OK &&
	    (slip_fits(s->directory, &s->slip, &envelope) != OK ||
		is_out_of_turn(s, t, e, &envelope))) {
		envelope_release(&envelope);
		proto_free(&e->base);
		return OK; /* signed, but not theirs to say */
	}
	if (err == OK)
		err = keep_first(s, t);
	if (err == OK)
		err = update_addressee(s, t, e, &envelope);
	envelope_release(&envelope);
	if (err == OK)
		err = book_unmark(b, t, LIST_UNSENT, s->slip.envelope_id);
	if (err == OK && ends_wait(s->slip.body->type)) {
		err = book_unmark(b, t, LIST_WAITING, s->slip.envelope_id);
		s->ended = true;
	}
	if (err == OK && s->slip.body->type != CITEX__SLIP_TYPE__SLIP_RELAYED && e->ended == 0) {
		e->ended = s->slip.body->time;
		err = book_put_envelope(b, t, s->slip.envelope_id, e);
	}
	proto_free((ProtobufCMessage *)e);
	return err;
}

static void
slip_job_free(struct slip_job *s)
{
	slip_release(&s->slip);
	buffer_release(&s->packed);
	directory_free(s->directory);
	free(s);
}

static void
slip_done(struct job *j, enum err result)
{
	struct slip_job *s = (struct slip_job *)j;
	struct office *o = s->office;
	struct event ev = { .type = EVENT_COMMITTED, .number = s->number, .result = result };
	char text[ID_TEXT_BYTES];

	if (s->session == o->session_number)
		mail_event(o, &ev);
	if (result == OK && s->again) {
		id_print(s->message, text);
		log_event(LEVEL_INFO, "reseal", LOG_TEXT("id", text),
		    LOG_TEXT("addressee", s->authority));
		mail_forget(o, s->slip.envelope_id);
		tell_watches(o, "state", s->message, "", s->authority, "queued");
		sealing_begin(o, s->message);
	} else if (result == OK && s->changed) {
		id_print(s->message, text);
		log_event(LEVEL_INFO, slip_word(s->slip.body->type), LOG_TEXT("id", text),
		    LOG_TEXT("addressee", s->authority), LOG_TEXT("reason", s->slip.body->reason));
		mail_forget(o, s->slip.envelope_id);
		tell_watches(
		    o, "state", s->message, "", s->authority, slip_word(s->slip.body->type));
	}
	slip_job_free(s);
}

void
home_slip_arrived(struct office *o, uint32_t number, Citex__Slip *pb)
{
	struct slip_job *s = xalloc(sizeof(*s));
	struct event ev = { .type = EVENT_COMMITTED, .number = number };
	enum err e;

	*s = (struct slip_job){ .job = { slip_run, slip_done, OK, NULL },
		.office = o,
		.number = number,
		.session = o->session_number,
		.now_ms = loop_now(o->loop).utc_ms };
	proto_pack(&pb->base, &s->packed);
	e = slip_take(pb, &s->slip);
	if (e != OK)
		proto_free(&pb->base);
	if (e == OK)
		e = o->directory == NULL ? ERR_LATER
					 : slip_verify(&o->cache, o->directory, &s->slip);
	if (e == OK) {
		s->directory = directory_ref(o->directory);
		office_submit_job(o, &s->job);
		return;
	}
	/* A key not known yet is a matter of time; what is false is taken and thrown away. */
	log_event(LEVEL_WARNING, "slip-not-taken", LOG_ERR(e));
	ev.result = e == ERR_UNKNOWN_KEY || e == ERR_LATER ? ERR_LATER : OK;
	slip_job_free(s);
	mail_event(o, &ev);
}

/* --- offering again --- */

struct reoffer_job {
	struct job job;
	struct office *office;
	struct buffer ids;
};

static enum err
reoffer_run(struct job *j, struct txn *t)
{
	struct reoffer_job *r = (struct reoffer_job *)j;
	struct book *b = r->office->book;
	enum err e = book_each_marked(b, t, LIST_WAITING, gather_marked, &r->ids);
	struct reader in = { buffer_bytes(&r->ids), OK };

	while (e == OK && in.left.len > 0) {
		struct id id;
		read_copy(&in, id.at, ID_BYTES);
		e = book_mark(b, t, LIST_UNSENT, id);
	}
	return e;
}

static void
reoffer_done(struct job *j, enum err result)
{
	struct reoffer_job *r = (struct reoffer_job *)j;

	if (result == OK)
		mail_reload(r->office);
	buffer_release(&r->ids);
	free(r);
}

void
home_reoffer(struct office *o)
{
	struct reoffer_job *r = xalloc(sizeof(*r));

	*r = (struct reoffer_job){ .job = { reoffer_run, reoffer_done, OK, NULL }, .office = o };
	office_submit_job(o, &r->job);
}
