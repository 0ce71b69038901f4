/* SPDX-License-Identifier: Apache-2.0 */
/* The road in: fetch → open → check → file, or quarantine and refuse. An
 * envelope is the office's when it and every chunk are on disk; it is opened
 * after that, with an attempt counted on disk before each. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/office/clock.h"
#include "daemon/office/inside.h"
#include "pki/ossl.h"
#include "proto/decode.h"
#include "proto/kind.h"

/* An envelope on its way from `arrived' to the inbox. */
struct opening {
	struct open_work work; /* first */
	struct job job;
	struct office *office;
	uint8_t digest[DIGEST_BYTES];
	unsigned attempts;
	int64_t stored_ms;
	struct now now;
	/* what is to be written */
	enum err verdict;
	char words[SLIP_REASON_MAX_BYTES + 1];
	bool duplicate, conflict, stale, from_left;
	char subject[KIND_SUBJECT_BYTES];
	bool has_clock;
	struct id message, exchange;
};

#define OPENING_OF(j) ((struct opening *)(void *)((char *)(j)-offsetof(struct opening, job)))

static void
opening_free(struct opening *x)
{
	envelope_release(&x->work.envelope);
	opened_release(&x->work.opened);
	directory_free(x->work.directory);
	free(x);
}

static void
answer(struct office *o, uint64_t session, uint32_t number, enum err result)
{
	struct event ev = { .type = EVENT_COMMITTED, .number = number, .result = result };

	if (o->session_number == session && number != 0)
		mail_event(o, &ev);
}

static enum err
put_arrived(struct office *o, struct txn *t, const struct envelope *e, const uint8_t *digest,
    bool complete, int64_t stored_ms, int64_t now_ms)
{
	Citex__BookArrived a = CITEX__BOOK_ARRIVED__INIT;
	CLEANUP(buffer_release) struct buffer packed = { 0 };
	enum err err;

	proto_pack(&e->pb->base, &packed);
	a.packed = pb_of_bytes(buffer_bytes(&packed));
	a.attempts = complete ? 1 : 0; /* it is opened next: counted before it is tried */
	a.arrived = (uint64_t)now_ms;
	a.stored = (uint64_t)stored_ms;
	a.complete = complete;
	err = sweep_spare(o, t, e->outer);
	return err == OK ? book_put_arrived(o->book, t, digest, &a) : err;
}

/* --- judging what was opened --- */

static enum err
say(struct opening *x, enum err e, const char *words)
{
	(void)snprintf(x->words, sizeof(x->words), "%s", words);
	return e;
}

/* Both sides count alike, by the one rule of the kind; what is passed on asks nobody. */
static enum err
judge_rule(struct opening *x, const struct kind *k, const Citex__Content *c)
{
	x->has_clock = k->effect == EFFECT_ASKS && k->clock != NULL && c->origin == NULL;
	if (!x->has_clock)
		return OK;
	if (c->rule == NULL || strcmp(c->rule->id, k->clock) != 0 || !clock_rule_is_ours(c->rule))
		return say(x, ERR_VALUE, "its deadline is not the one that is known here");
	return OK;
}

/* The kind's rules, on this side too: a modified sender gains nothing. */
static enum err
judge_kind(struct opening *x, const Citex__Content *c)
{
	const struct directory *d = x->work.directory;
	const struct directory_authority *from = directory_authority(d, c->author);
	const struct directory_authority *me = directory_authority(d, x->office->config.authority);
	const struct kind *k = kind_by_name(c->kind);
	struct kind_problem problem = { "", "" };
	ProtobufCMessage *body = NULL;
	enum err e;

	if (k == NULL)
		return say(x, ERR_UNKNOWN_KIND, "this kind of message is not known here");
	if (c->kind_version > k->version || c->kind_version == 0)
		return say(x, ERR_VERSION, "this version of the kind is not read here");
	if (from == NULL || me == NULL || !kind_allowed(k, from->roles, me->roles))
		return say(x, ERR_DENIED, "the author may not send this kind of message to us");
	if (c->handling == NULL || tlp_rank(c->handling->tlp) < 0)
		return say(x, ERR_VALUE, "it carries no handling label");
	e = kind_decode(k, bytes_of_pb(c->body), &body, &problem);
	if (e == OK)
		e = kind_check_addressee(k, body, me->roles, &problem);
	if (e == OK)
		kind_subject(k, body, x->subject);
	proto_wipe(body);
	if (e != OK)
		return say(x, e, problem.path); /* the field's name; never its text */
	return judge_rule(x, k, c);
}

/* Was the message M of ours sent to AUTHORITY? */
static bool
was_sent_to(struct book *b, struct txn *t, const Citex__BookMessage *m, const char *authority)
{
	bool found = false;
	struct id id;

	if (!m->outgoing || id_from_bytes(bytes_of_pb(m->id), &id) != OK)
		return false;
	for (unsigned i = 0; !found && i < m->addressee_count; i++) {
		Citex__BookAddressee *a = NULL;
		if (book_addressee(b, t, id, i, &a) != OK)
			return false;
		found = strcmp(a->authority, authority) == 0;
		proto_free(&a->base);
	}
	return found;
}

/* An answer speaks of a message that we sent to its author; one that is passed on answers nobody.
 */
static enum err
judge_about(struct opening *x, struct txn *t, const Citex__Content *c)
{
	const struct kind *k = kind_by_name(c->kind);
	struct book *b = x->office->book;
	Citex__BookMessage *about = NULL;
	const struct kind *asked;
	struct id id;
	bool fits = false;

	if ((k->effect != EFFECT_ANSWERS && k->effect != EFFECT_EXTENDS) || c->origin != NULL)
		return OK;
	if (id_from_bytes(bytes_of_pb(c->about), &id) == OK &&
	    book_message(b, t, id, &about) == OK) {
		Citex__Content *was = NULL;
		fits = bytes_equal(bytes_of_pb(about->exchange), bytes_of_pb(c->exchange)) &&
		    was_sent_to(b, t, about, c->author) &&
		    proto_unpack(&citex__content__descriptor, bytes_of_pb(about->content),
			(ProtobufCMessage **)&was) == OK;
		asked = fits ? kind_by_name(was->kind) : NULL;
		fits = asked != NULL && kind_may_answer(asked, c->kind);
		proto_wipe((ProtobufCMessage *)was);
	}
	proto_wipe((ProtobufCMessage *)about);
	return fits ? OK : say(x, ERR_VALUE, "it answers a message that we did not send it");
}

/* Who takes part in an exchange that is here. */
struct membership {
	struct opening *x;
	struct txn *txn;
	const char *who;
	bool any, is_member, began;
};

static bool
look_for_member(void *arg, const Citex__BookMessage *m)
{
	struct membership *s = arg;
	Citex__Content *c = NULL;
	bool wrote;

	if (proto_unpack(&citex__content__descriptor, bytes_of_pb(m->content),
		(ProtobufCMessage **)&c) != OK)
		return true;
	s->any = true;
	wrote = strcmp(c->author, s->who) == 0;
	s->is_member = s->is_member || wrote || c->audience[0] != '\0' ||
	    was_sent_to(s->x->office->book, s->txn, m, s->who);
	for (size_t i = 0; i < c->n_addressees; i++)
		s->is_member = s->is_member || strcmp(c->addressees[i], s->who) == 0;
	if (wrote && bytes_equal(bytes_of_pb(m->id), bytes_of_pb(m->exchange)))
		s->began = true;
	proto_wipe(&c->base);
	return true;
}

/* A first message begins an exchange of its own; nobody gets into an exchange of others, and only
 * who began one closes it. A message may come before the one it follows: then nothing is known of
 * its exchange yet. */
static enum err
judge_exchange(struct opening *x, struct txn *t, const Citex__Content *c)
{
	const struct kind *k = kind_by_name(c->kind);
	struct membership s = { .x = x, .txn = t, .who = c->author };
	bool begins =
	    k->argument == TO_AUTHORITIES || k->argument == TO_DEFAULT || c->origin != NULL;
	enum err e;

	if (begins != id_equal(x->message, x->exchange))
		return say(x, ERR_VALUE, "its exchange is not one that it can belong to");
	if (begins)
		return OK;
	e = book_exchange(x->office->book, t, x->exchange, look_for_member, &s);
	if (e != OK)
		return say(x, e, err_words(e));
	if (s.any && !s.is_member)
		return say(x, ERR_DENIED, "its author takes no part in this exchange");
	if (s.any && k->effect == EFFECT_CLOSES && !s.began)
		return say(x, ERR_DENIED, "only who began an exchange closes it");
	return OK;
}

static enum err
judge_ids(struct opening *x, const Citex__Content *c)
{
	if (id_from_bytes(bytes_of_pb(c->message_id), &x->message) != OK ||
	    id_from_bytes(bytes_of_pb(c->exchange), &x->exchange) != OK ||
	    (c->about.len != 0 && c->about.len != ID_BYTES))
		return say(x, ERR_MALFORMED, "its ids are malformed");
	return OK;
}

static void
judge(struct opening *x, struct txn *t)
{
	const Citex__Content *c = x->work.opened.content;

	x->verdict = x->work.err;
	if (x->verdict ==
	    ERR_CANNOT_BE_OPENED) { /* one answer for every cause; the detail stays here */
		(void)say(x, ERR_CANNOT_BE_OPENED, err_words(ERR_CANNOT_BE_OPENED));
		return;
	}
	if (x->verdict != OK) {
		(void)say(x, x->verdict, err_words(x->verdict));
		return;
	}
	x->verdict = judge_ids(x, c);
	if (x->verdict == OK)
		x->verdict = judge_kind(x, c);
	if (x->verdict == OK)
		x->verdict = judge_exchange(x, t, c);
	if (x->verdict == OK)
		x->verdict = judge_about(x, t, c);
}

/* --- filing --- */

static bool
draft_slip(struct opening *x, Citex__SlipType type)
{
	struct draft d = { .type = type,
		.envelope_id = x->work.envelope.id,
		.time_ms = x->now.utc_ms,
		.directory = directory_number(x->work.directory) };

	memcpy(d.digest, x->digest, DIGEST_BYTES);
	(void)snprintf(d.to, sizeof(d.to), "%s", x->work.envelope.outer->author);
	if (type == CITEX__SLIP_TYPE__SLIP_REFUSED) {
		d.reason = x->verdict;
		(void)snprintf(d.words, sizeof(d.words), "%s", x->words);
	}
	return add_draft(x->office, &d);
}

static enum err
write_message(struct opening *x, struct txn *t)
{
	const Citex__Content *c = x->work.opened.content;
	Citex__BookMessage m = CITEX__BOOK_MESSAGE__INIT;
	Citex__Content bare = *c;
	CLEANUP(buffer_wipe) struct buffer content = { 0 };

	bare.padding = (ProtobufCBinaryData){ 0, NULL };
	proto_pack(&bare.base, &content);
	m.id = pb_of_bytes(id_bytes(&x->message));
	m.exchange = pb_of_bytes(id_bytes(&x->exchange));
	m.filed = (uint64_t)x->now.utc_ms;
	m.content = pb_of_bytes(buffer_bytes(&content));
	m.signed_data = pb_of_bytes(buffer_bytes(&x->work.opened.signed_data));
	m.new_ = true;
	m.clock_start = (uint64_t)x->stored_ms;
	m.subject = x->subject;
	m.envelope_id = pb_of_bytes(id_bytes(&x->work.envelope.id));
	m.outer = x->work.envelope.pb->outer;
	m.signer = pb_of_bytes(BYTES_OF(x->work.opened.key_id));
	m.urgent = x->work.envelope.outer->priority != 0;
	return book_put_message(x->office->book, t, &m, true);
}

/* Is it new? The same message again is not; the same id with another content is a conflict. */
static enum err
check_seen(struct opening *x, struct txn *t)
{
	uint8_t was[DIGEST_BYTES];
	const char *author = x->work.opened.content->author;
	enum err e = book_seen(x->office->book, t, author, x->message, was);

	if (e == ERR_NOT_FOUND) {
		Citex__BookMessage *other = NULL; /* an id of another author, or of ours */
		e = book_message(x->office->book, t, x->message, &other);
		proto_wipe((ProtobufCMessage *)other);
		if (e == ERR_NOT_FOUND)
			return OK;
		memset(was, 0, sizeof(was));
	}
	if (e != OK)
		return e;
	x->duplicate = memcmp(was, x->work.envelope.outer->signed_digest.data, DIGEST_BYTES) == 0;
	x->conflict = !x->duplicate;
	if (x->conflict)
		x->verdict = say(x, ERR_CONFLICT, "its id was used before for another content");
	return OK;
}

/* The message has its attachments: they stay. One that was here already keeps its handle. */
static enum err
keep_attachments(struct opening *x, struct txn *t)
{
	const Citex__Content *c = x->work.opened.content;
	struct book *b = x->office->book;
	enum err e = OK;

	for (size_t i = 0; e == OK && i < c->n_attachments; i++) {
		struct bytes root = bytes_of_pb(c->attachments[i]->root);
		if (!book_has_root(b, t, root))
			e = book_put_root(b, t, root, book_handle(b, t, root));
	}
	return e;
}

static enum err
file_message(struct opening *x, struct txn *t)
{
	struct book *b = x->office->book;
	const Citex__Content *c = x->work.opened.content;
	char text[ID_TEXT_BYTES];
	enum err e = write_message(x, t);

	if (e == OK)
		e = keep_attachments(x, t);
	if (e == OK)
		e = book_put_seen(
		    b, t, c->author, x->message, x->work.envelope.outer->signed_digest.data);
	if (e == OK && x->has_clock)
		e = book_mark(b, t, LIST_CLOCKS, x->exchange);
	id_print(x->message, text);
	return e == OK ? book_audit(b, t, x->now.utc_ms, "", "filed", text, c->author) : e;
}

static enum err
quarantine(struct opening *x, struct txn *t)
{
	Citex__BookQuarantined q = CITEX__BOOK_QUARANTINED__INIT, *was = NULL;
	CLEANUP(buffer_release) struct buffer packed = { 0 };
	char reason[64], text[ID_TEXT_BYTES];
	enum err e;

	proto_pack(&x->work.envelope.pb->base, &packed);
	(void)snprintf(reason, sizeof(reason), "%s", err_name(x->verdict));
	q.packed = pb_of_bytes(buffer_bytes(&packed));
	q.reason = reason;
	q.words = x->words;
	q.time = (uint64_t)x->now.utc_ms;
	q.stored = (uint64_t)x->stored_ms;
	q.author = x->work.envelope.outer->author;
	e = book_quarantined(x->office->book, t, x->work.envelope.id, &was);
	proto_wipe((ProtobufCMessage *)was);
	if (e == ERR_NOT_FOUND) /* else a stranger's, under an id that he saw: the first stays */
		e = book_put_quarantined(x->office->book, t, x->work.envelope.id, &q);
	id_print(x->work.envelope.id, text);
	return e == OK
	    ? book_audit(x->office->book, t, x->now.utc_ms, "", "quarantined", text, reason)
	    : e;
}

/* It stays, unopened and with its chunks, until its lifetime is over: its author sends it again in
 * another envelope, and only what is sealed differs. */
static enum err
await_new_sealing(struct opening *x, struct txn *t)
{
	char text[ID_TEXT_BYTES];
	enum err e = put_arrived(
	    x->office, t, &x->work.envelope, x->digest, false, x->stored_ms, x->now.utc_ms);

	id_print(x->work.envelope.id, text);
	return e == OK ? book_audit(x->office->book, t, x->now.utc_ms, "", "reseal", text,
			     x->work.envelope.outer->author)
		       : e;
}

static enum err
del_arrived(struct opening *x, struct txn *t)
{
	enum err e = book_del_arrived(x->office->book, t, x->digest);

	return e == ERR_NOT_FOUND ? OK : e;
}

/* Everything about one envelope in one transaction: message, clock, audit, receipt. */
static enum err
file_run(struct job *j, struct txn *t)
{
	struct opening *x = OPENING_OF(j);
	struct book *b = x->office->book;
	CLEANUP(buffer_release) struct buffer receipt = { 0 };
	enum err e;

	x->stale = x->duplicate = x->conflict = false;
	if (x->office->draft_count == DRAFTS_MAX)
		return ERR_BUSY;
	if (book_receipt(b, t, x->digest, &receipt) == OK) {
		x->stale = true; /* was answered while this one was open */
		return del_arrived(x, t);
	}
	judge(x, t);
	e = x->verdict == OK ? check_seen(x, t) : OK;
	if (e == OK)
		e = del_arrived(x, t);
	if (e == OK && x->verdict == ERR_RESEAL)
		e = await_new_sealing(x, t);
	else if (e == OK && x->verdict != OK)
		e = quarantine(x, t);
	else if (e == OK && !x->duplicate)
		e = file_message(x, t);
	/* last: no receipt is drafted for what was not written */
	if (e == OK &&
	    !draft_slip(x,
		x->verdict == OK ? CITEX__SLIP_TYPE__SLIP_OPENED : CITEX__SLIP_TYPE__SLIP_REFUSED))
		e = ERR_INTERNAL;
	return e;
}

static void file_again(struct opening *x);
static void reopen_next(struct office *o);

/* X is done with; the next of those left may begin. */
static void
opening_end(struct opening *x)
{
	struct office *o = x->office;
	bool next = x->from_left;

	opening_free(x);
	if (next) {
		o->reopening = false;
		reopen_next(o);
	}
}

struct waiting_job {
	struct job job;
	struct office *office;
	uint8_t digest[DIGEST_BYTES];
};

static enum err
waiting_run(struct job *j, struct txn *t)
{
	struct waiting_job *w = (struct waiting_job *)j;
	Citex__BookArrived *a = NULL;
	enum err e = book_arrived(w->office->book, t, w->digest, &a);

	if (e != OK)
		return e == ERR_NOT_FOUND ? OK : e;
	a->attempts = 0; /* it killed nobody */
	e = book_put_arrived(w->office->book, t, w->digest, a);
	proto_free(&a->base);
	return e;
}

static void
waiting_done(struct job *j, enum err result)
{
	struct waiting_job *w = (struct waiting_job *)j;

	(void)result;
	buffer_add(&w->office->left, BYTES_OF(w->digest));
	free(w);
}

/* Not now: it stays in `arrived' and is opened again when a directory comes, or in a while. */
static void
keep_for_later(struct opening *x)
{
	struct office *o = x->office;
	struct waiting_job *w = xalloc(sizeof(*w));

	*w = (struct waiting_job){ .job = { waiting_run, waiting_done, OK, NULL }, .office = o };
	memcpy(w->digest, x->digest, DIGEST_BYTES);
	if (x->from_left)
		o->reopening = false;
	opening_free(x);
	office_submit_job(o, &w->job);
}

static void
tell_filed(struct opening *x)
{
	struct office *o = x->office;
	const Citex__Content *c = x->work.opened.content;
	char text[ID_TEXT_BYTES], envelope[ID_TEXT_BYTES];

	id_print(x->work.envelope.id, envelope);
	if (x->verdict == ERR_RESEAL) {
		log_event(LEVEL_INFO, "reseal-asked", LOG_TEXT("envelope", envelope),
		    LOG_TEXT("author", x->work.envelope.outer->author));
		return;
	}
	if (x->verdict != OK) {
		log_event(LEVEL_WARNING, "refused", LOG_TEXT("envelope", envelope),
		    LOG_TEXT("author", x->work.envelope.outer->author), LOG_ERR(x->verdict),
		    LOG_TEXT("detail", x->work.detail));
		if (x->conflict)
			raise_alarm(o, "conflict", x->work.envelope.id);
		tell_watches(o, "quarantine", x->work.envelope.id, "",
		    x->work.envelope.outer->author, "refused");
		return;
	}
	id_print(x->message, text);
	log_event(LEVEL_INFO, x->duplicate ? "duplicate" : "filed", LOG_TEXT("id", text),
	    LOG_TEXT("envelope", envelope), LOG_TEXT("author", c->author),
	    LOG_TEXT("kind", c->kind));
	if (x->duplicate)
		return;
	tell_watches(o, "message", x->message, c->kind, c->author, "new");
	if (o->config.hook != NULL)
		o->config.hook(o->config.hook_arg, "new", text, c->kind);
}

static void
file_done(struct job *j, enum err result)
{
	struct opening *x = OPENING_OF(j);
	struct office *o = x->office;

	if (result == ERR_BUSY) { /* the batch had as many receipts as one signature takes */
		file_again(x);
		return;
	}
	if (result != OK) {
		log_event(LEVEL_ERROR, "not-filed", LOG_ERR(result));
		keep_for_later(x);
		return;
	}
	if (!x->stale)
		tell_filed(x);
	mail_new_slips(o);
	opening_end(x);
}

static void
file_again(struct opening *x)
{
	x->job = (struct job){ file_run, file_done, OK, NULL };
	office_submit_job(x->office, &x->job);
}

static void
opened(struct open_work *w)
{
	struct opening *x = (struct opening *)w;

	if (w->err == ERR_NOT_YET) { /* our clock, or theirs, is off: a matter of time */
		log_event(LEVEL_WARNING, "not-opened-yet", LOG_TEXT("detail", w->detail));
		keep_for_later(x);
		return;
	}
	file_again(x);
}

static void
open_envelope(
    struct office *o, struct envelope *e, const uint8_t *digest, int64_t stored_ms, bool from_left)
{
	struct opening *x = xalloc(sizeof(*x));

	x->office = o;
	memcpy(x->digest, digest, DIGEST_BYTES);
	x->stored_ms = stored_ms;
	x->from_left = from_left;
	x->now = loop_now(o->loop);
	x->work.done = opened;
	x->work.directory = directory_ref(o->directory);
	x->work.envelope = *e;
	x->work.now_ms = x->now.utc_ms;
	*e = (struct envelope){ 0 };
	vault_open(o->vault, &x->work);
}

/* --- arriving --- */

struct arrival {
	struct job job;
	struct office *office;
	uint64_t session;
	uint32_t number;
	struct envelope envelope;
	uint8_t digest[DIGEST_BYTES];
	int64_t stored_ms, now_ms;
	struct buffer receipt; /* of our own node, packed; empty: it gave none */
	bool answered, here, complete; /* found out in the transaction */
};

/* All chunks of all parts are on disk. */
static bool
has_all_chunks(struct office *o, struct txn *t, const Citex__Outer *outer)
{
	for (size_t i = 0; i < outer->n_parts; i++) {
		struct id handle = book_handle(o->book, t, bytes_of_pb(outer->parts[i]->root));
		uint32_t count = chunk_count(outer->parts[i]->length);
		for (uint32_t k = 0; k < count; k++) {
			if (!book_has_chunk(o->book, t, handle, k))
				return false;
		}
	}
	return true;
}

static enum err
arrive_run(struct job *j, struct txn *t)
{
	struct arrival *a = (struct arrival *)j;
	struct book *b = a->office->book;
	CLEANUP(buffer_release) struct buffer receipt = { 0 };
	Citex__BookArrived *was = NULL;
	enum err e = book_receipt(b, t, a->digest, &receipt);

	if (e == OK) { /* a duplicate is answered with what was answered first */
		a->answered = true;
		return book_put_out_slip(b, t, buffer_bytes(&receipt));
	}
	if (e != ERR_NOT_FOUND)
		return e;
	e = book_arrived(b, t, a->digest, &was);
	if (e == OK) {
		a->here = true;
		a->complete = was->complete;
		a->stored_ms = (int64_t)was->stored;
		proto_free(&was->base);
		return OK;
	}
	if (e != ERR_NOT_FOUND)
		return e;
	if (store_is_low(a->office->store))
		return ERR_STORE_FULL;
	a->complete = has_all_chunks(a->office, t, a->envelope.outer);
	e = put_arrived(
	    a->office, t, &a->envelope, a->digest, a->complete, a->stored_ms, a->now_ms);
	if (e == OK && a->receipt.len > 0) /* both sides hold what the clock starts by */
		e = book_put_slip(b, t, book_arrival_name(a->digest), CITEX__SLIP_TYPE__SLIP_STORED,
		    buffer_bytes(&a->receipt));
	return e;
}

static void begin_pull(struct office *o, struct arrival *a);

static void
arrive_done(struct job *j, enum err result)
{
	struct arrival *a = (struct arrival *)j;
	struct office *o = a->office;

	if (result != OK || a->answered || a->complete)
		answer(o, a->session, a->number, result);
	if (result == OK && a->answered)
		mail_new_slips(o);
	else if (result == OK && a->complete && !a->here)
		open_envelope(o, &a->envelope, a->digest, a->stored_ms, false);
	else if (result == OK && !a->complete && a->session == o->session_number &&
	    o->session != NULL)
		begin_pull(o, a);
	envelope_release(&a->envelope);
	buffer_release(&a->receipt);
	free(a);
}

/* The time in RECEIPT, of our own node about the envelope of A, which keeps it. 0: it is none. Its
 * signature is looked at by who doubts it (`citex verify'); our post could date what it likes. */
static int64_t
take_receipt(struct arrival *a, const Citex__Slip *receipt)
{
	CLEANUP(slip_release) struct slip slip = { 0 };
	int64_t time_ms = 0;

	if (receipt == NULL)
		return 0;
	proto_pack(&receipt->base, &a->receipt);
	if (slip_parse(buffer_bytes(&a->receipt), &slip) == OK &&
	    slip.body->type == CITEX__SLIP_TYPE__SLIP_STORED &&
	    id_equal(slip.envelope_id, a->envelope.id) &&
	    bytes_equal(bytes_of_pb(slip.body->outer_digest), BYTES_OF(a->envelope.digest)))
		time_ms = (int64_t)slip.body->time;
	if (time_ms == 0)
		buffer_release(&a->receipt);
	return time_ms;
}

/* Does our directory list the key that stamped E? The post checked it by a newer one, perhaps,
 * which is on its way: until then `later', not a refusal. */
static bool
knows_author(const struct office *o, const struct envelope *e)
{
	const struct directory_key *key;
	const char *owner;
	enum cert_use use;

	return o->directory != NULL &&
	    directory_key_find(
		o->directory, bytes_of_pb(e->pb->stamp->key_id), &key, &owner, &use) == OK;
}

void
receive_envelope(struct office *o, uint32_t number, Citex__Envelope *pb, const Citex__Slip *receipt)
{
	struct arrival *a = xalloc(sizeof(*a));
	enum err e = envelope_take(pb, &a->envelope);

	a->job = (struct job){ arrive_run, arrive_done, OK, NULL };
	a->office = o;
	a->session = o->session_number;
	a->number = number;
	a->now_ms = loop_now(o->loop).utc_ms;
	if (e != OK) {
		proto_free(&pb->base);
		log_event(LEVEL_ERROR, "post-gave-malformed", LOG_ERR(e));
		answer(o, o->session_number, number,
		    OK); /* our own post checks before it takes: nothing can come of it */
		free(a);
		return;
	}
	if (!knows_author(o, &a->envelope) ||
	    strcmp(a->envelope.outer->addressee, o->config.authority) != 0) {
		answer(o, o->session_number, number, ERR_LATER);
		envelope_release(&a->envelope);
		free(a);
		return;
	}
	memcpy(a->digest, a->envelope.digest, DIGEST_BYTES);
	a->stored_ms = take_receipt(a, receipt);
	if (a->stored_ms == 0)
		a->stored_ms = a->now_ms;
	office_submit_job(o, &a->job);
}

/* --- attachments --- */

static void
pull_free(struct office *o, struct pull *p)
{
	struct pull **at = &o->pulls;

	while (*at != NULL && *at != p)
		at = &(*at)->next;
	if (*at == p)
		*at = p->next;
	envelope_release(&p->envelope);
	free(p);
}

static void
ask_chunks(struct office *o, struct pull *p)
{
	CLEANUP(store_end_drop) struct txn *t = NULL;
	const Citex__Outer *outer = p->envelope.outer;

	if (store_read(o->store, &t) != OK)
		return;
	/* the session first: when it ends in here, P is gone with it */
	while (o->session != NULL && p->part < outer->n_parts && session_may_want(o->session) > 0 &&
	    p->asked + p->writing < CHUNKS_IN_FLIGHT) {
		const Citex__Part *part = outer->parts[p->part];
		struct event ev = {
			.type = EVENT_WANT_CHUNK, .root = bytes_of_pb(part->root), .index = p->index
		};
		if (p->index >= chunk_count(part->length)) {
			p->part++;
			p->index = 0;
			continue;
		}
		p->index++;
		if (book_has_chunk(o->book, t, book_handle(o->book, t, ev.root), ev.index))
			continue; /* what came before the line broke stays */
		p->asked++;
		mail_event(o, &ev);
	}
}

struct complete_job {
	struct job job;
	struct office *office;
	uint64_t session;
	uint32_t number;
	struct envelope envelope;
	uint8_t digest[DIGEST_BYTES];
	int64_t stored_ms, now_ms;
};

static enum err
complete_run(struct job *j, struct txn *t)
{
	struct complete_job *c = (struct complete_job *)j;

	/* never before the last chunk */
	if (!has_all_chunks(c->office, t, c->envelope.outer))
		return ERR_LATER;
	return put_arrived(c->office, t, &c->envelope, c->digest, true, c->stored_ms, c->now_ms);
}

static void
complete_done(struct job *j, enum err result)
{
	struct complete_job *c = (struct complete_job *)j;

	answer(c->office, c->session, c->number, result);
	if (result == OK)
		open_envelope(c->office, &c->envelope, c->digest, c->stored_ms, false);
	envelope_release(&c->envelope);
	free(c);
}

/* Go on with P; when nothing is left to ask for or to write, it is complete. */
static void
continue_pull(struct office *o, struct pull *p)
{
	struct complete_job *c;

	ask_chunks(o, p);
	if (o->session == NULL || p->asked > 0 || p->writing > 0 ||
	    p->part < p->envelope.outer->n_parts)
		return;
	c = xalloc(sizeof(*c));
	*c = (struct complete_job){ .job = { complete_run, complete_done, OK, NULL },
		.office = o,
		.session = o->session_number,
		.number = p->number,
		.envelope = p->envelope,
		.stored_ms = (int64_t)p->stored_ms,
		.now_ms = loop_now(o->loop).utc_ms };
	memcpy(c->digest, p->digest, DIGEST_BYTES);
	p->envelope = (struct envelope){ 0 };
	pull_free(o, p);
	office_submit_job(o, &c->job);
}

/* A pull that asks for nothing, because others had the whole window of the session. */
static struct pull *
idle_pull(struct office *o)
{
	struct pull *p = o->pulls;

	while (p != NULL && (p->asked > 0 || p->writing > 0))
		p = p->next;
	return p;
}

/* There is room in the window again. */
static void
continue_idle(struct office *o)
{
	struct pull *p, *before = NULL;

	while (o->session != NULL && session_may_want(o->session) > 0 &&
	    (p = idle_pull(o)) != NULL && p != before) {
		before = p;
		continue_pull(o, p);
	}
}

static void
begin_pull(struct office *o, struct arrival *a)
{
	struct pull *p = xalloc(sizeof(*p));

	*p = (struct pull){ .envelope = a->envelope,
		.number = a->number,
		.stored_ms = (uint64_t)a->stored_ms,
		.next = o->pulls };
	memcpy(p->digest, a->digest, DIGEST_BYTES);
	a->envelope = (struct envelope){ 0 };
	o->pulls = p;
	continue_pull(o, p);
}

struct chunk_job {
	struct job job;
	struct office *office;
	uint8_t digest[DIGEST_BYTES]; /* of the envelope it is for */
	uint64_t session;
	struct id handle;
	uint32_t index;
	struct buffer data;
};

static enum err
chunk_run(struct job *j, struct txn *t)
{
	struct chunk_job *c = (struct chunk_job *)j;

	return book_put_chunk(c->office->book, t, c->handle, c->index, buffer_bytes(&c->data));
}

static struct pull *
find_pull(struct office *o, const uint8_t *digest)
{
	struct pull *p = o->pulls;

	while (p != NULL && memcmp(p->digest, digest, DIGEST_BYTES) != 0)
		p = p->next;
	return p;
}

static void
chunk_done(struct job *j, enum err result)
{
	struct chunk_job *c = (struct chunk_job *)j;
	struct office *o = c->office;
	struct pull *p = c->session == o->session_number ? find_pull(o, c->digest) : NULL;

	if (p != NULL) {
		p->writing--;
		if (result == OK) {
			continue_pull(o, p);
		} else {
			answer(o, o->session_number, p->number, result);
			pull_free(o, p);
		}
	}
	continue_idle(o);
	buffer_release(&c->data);
	free(c);
}

/* The pull and part that a chunk with ROOT belongs to. */
static struct pull *
pull_of_root(struct office *o, struct bytes root, const Citex__Part **part)
{
	for (struct pull *p = o->pulls; p != NULL; p = p->next) {
		for (size_t i = 0; p->asked > 0 && i < p->envelope.outer->n_parts; i++) {
			*part = p->envelope.outer->parts[i];
			if (bytes_equal(bytes_of_pb((*part)->root), root))
				return p;
		}
	}
	return NULL;
}

void
receive_chunk(struct office *o, const Citex__Chunk *c)
{
	const Citex__Part *part = NULL;
	struct pull *p = pull_of_root(o, bytes_of_pb(c->root), &part);
	struct bytes path[MERKLE_PATH_MAX];
	struct chunk_job *j;

	if (p == NULL)
		return;
	p->asked--;
	for (size_t i = 0; i < c->n_path && i < MERKLE_PATH_MAX; i++)
		path[i] = bytes_of_pb(c->path[i]);
	if (c->data.len == 0 ||
	    chunk_check(part, c->index, bytes_of_pb(c->data), path, c->n_path) != OK) {
		log_event(LEVEL_WARNING, "chunk-not-taken", LOG_NUM("index", c->index));
		answer(o, o->session_number, p->number, ERR_LATER);
		pull_free(o, p);
		continue_idle(o);
		return;
	}
	p->writing++;
	j = xalloc(sizeof(*j));
	*j = (struct chunk_job){ .job = { chunk_run, chunk_done, OK, NULL },
		.office = o,
		.session = o->session_number,
		.index = c->index };
	memcpy(j->digest, p->digest, DIGEST_BYTES);
	memcpy(j->handle.at, c->root.data, ID_BYTES);
	buffer_add(&j->data, bytes_of_pb(c->data));
	office_submit_job(o, &j->job);
}

void
receive_link_lost(struct office *o)
{
	while (o->pulls != NULL)
		pull_free(o, o->pulls);
}

/* --- what an earlier process left, one by one --- */

struct reopening {
	struct job job;
	struct office *office;
	uint8_t digest[DIGEST_BYTES];
	struct envelope envelope;
	int64_t stored_ms;
	unsigned attempts;
	bool found;
};

/* Count the attempt on disk before it is made. */
static enum err
reopen_run(struct job *j, struct txn *t)
{
	struct reopening *r = (struct reopening *)j;
	struct book *b = r->office->book;
	Citex__BookArrived *a = NULL;
	enum err e = book_arrived(b, t, r->digest, &a);

	if (e != OK)
		return e == ERR_NOT_FOUND ? OK : e;
	r->stored_ms = (int64_t)a->stored;
	r->attempts = a->attempts;
	envelope_release(&r->envelope);
	e = envelope_parse(bytes_of_pb(a->packed), &r->envelope);
	r->found = e == OK;
	a->attempts++;
	if (e == OK)
		e = book_put_arrived(b, t, r->digest, a);
	proto_free(&a->base);
	return e;
}

/* It killed the process as often as one may: refused without another look. */
static void
give_up(struct reopening *r)
{
	struct office *o = r->office;
	struct opening *x = xalloc(sizeof(*x));

	x->office = o;
	memcpy(x->digest, r->digest, DIGEST_BYTES);
	x->from_left = true;
	x->stored_ms = r->stored_ms;
	x->now = loop_now(o->loop);
	x->work.directory = directory_ref(o->directory);
	x->work.envelope = r->envelope;
	x->work.err = ERR_CANNOT_BE_OPENED;
	r->envelope = (struct envelope){ 0 };
	raise_alarm(o, "poison", x->work.envelope.id);
	file_again(x);
}

static void
reopen_done(struct job *j, enum err result)
{
	struct reopening *r = (struct reopening *)j;
	struct office *o = r->office;

	if (result != OK) {
		buffer_add(&o->left, BYTES_OF(r->digest));
		o->reopening = false;
	} else if (!r->found) { /* was done with */
		o->reopening = false;
		reopen_next(o);
	} else if (r->attempts >= OPEN_ATTEMPTS_MAX) {
		give_up(r);
	} else {
		open_envelope(o, &r->envelope, r->digest, r->stored_ms, true);
	}
	envelope_release(&r->envelope);
	free(r);
}

static void
reopen_next(struct office *o)
{
	struct reopening *r;

	if (o->reopening || o->closing || o->directory == NULL || o->left.len < DIGEST_BYTES)
		return;
	r = xalloc(sizeof(*r));
	*r = (struct reopening){ .job = { reopen_run, reopen_done, OK, NULL }, .office = o };
	memcpy(r->digest, o->left.at, DIGEST_BYTES);
	buffer_cut_front(&o->left, DIGEST_BYTES);
	o->reopening = true;
	office_submit_job(o, &r->job);
}

struct leftover {
	struct office *office;
	struct txn *txn;
};

static bool
add_leftover(void *arg, const uint8_t digest[DIGEST_BYTES])
{
	struct leftover *l = arg;
	Citex__BookArrived *a = NULL;

	if (book_arrived(l->office->book, l->txn, digest, &a) != OK)
		return true;
	if (a->complete)
		buffer_add(&l->office->left, (struct bytes){ digest, DIGEST_BYTES });
	proto_free(&a->base);
	return true;
}

enum err
receive_open(struct office *o)
{
	CLEANUP(store_end_drop) struct txn *t = NULL;
	struct leftover l = { o, NULL };
	enum err e = store_read(o->store, &t);

	l.txn = t;
	if (e == OK)
		e = book_each_arrived(o->book, t, add_leftover, &l);
	reopen_next(o);
	return e;
}

void
receive_close(struct office *o)
{
	receive_link_lost(o);
	buffer_release(&o->left);
}

void
receive_directory_changed(struct office *o)
{
	/* what could not be opened or sealed for want of a directory */
	receive_again(o);
	sealing_resume(o);
}

void
receive_again(struct office *o)
{
	reopen_next(o);
}

/* --- officers' acts on what came --- */

struct shown_job {
	struct job job;
	struct office *office;
	struct id id;
	char *officer;
	int64_t now_ms;
	bool was_new;
	office_done *done;
	void *arg;
};

static bool
draft_seen(struct shown_job *s, const Citex__BookMessage *m, const Citex__Content *c)
{
	struct draft d = { .type = CITEX__SLIP_TYPE__SLIP_SEEN,
		.time_ms = s->now_ms,
		.directory = directory_number(s->office->directory) };

	if (id_from_bytes(bytes_of_pb(m->envelope_id), &d.envelope_id) != OK)
		return true;
	sha256(bytes_of_pb(m->outer), d.digest);
	(void)snprintf(d.to, sizeof(d.to), "%s", c->author);
	return add_draft(s->office, &d);
}

static enum err
shown_run(struct job *j, struct txn *t)
{
	struct shown_job *s = (struct shown_job *)j;
	struct book *b = s->office->book;
	Citex__BookMessage *m = NULL;
	Citex__Content *c = NULL;
	char text[ID_TEXT_BYTES];
	enum err e = book_message(b, t, s->id, &m);

	if (e == OK)
		e = proto_unpack(
		    &citex__content__descriptor, bytes_of_pb(m->content), (ProtobufCMessage **)&c);
	s->was_new = e == OK && !m->outgoing && m->new_;
	if (s->was_new && s->office->config.tell_seen && s->office->directory != NULL &&
	    !draft_seen(s, m, c))
		e = ERR_BUSY;
	if (e == OK && s->was_new) {
		m->new_ = false;
		m->shown = (uint64_t)s->now_ms;
		if (m->shown_by != protobuf_c_empty_string)
			free(m->shown_by);
		m->shown_by = xstrdup(s->officer);
		e = book_put_message(b, t, m, false);
	}
	id_print(s->id, text);
	if (e == OK)
		e = book_audit(b, t, s->now_ms, s->officer, "show", text, "");
	proto_wipe((ProtobufCMessage *)c);
	proto_wipe((ProtobufCMessage *)m);
	return e;
}

static void
shown_done(struct job *j, enum err result)
{
	struct shown_job *s = (struct shown_job *)j;

	if (result == OK && s->was_new) {
		mail_new_slips(s->office);
		tell_watches(s->office, "state", s->id, "", "", "shown");
	}
	s->done(s->arg, result, "");
	free(s->officer);
	free(s);
}

void
office_shown(struct office *o, struct id message, const char *officer, office_done *done, void *arg)
{
	struct shown_job *s = xalloc(sizeof(*s));

	*s = (struct shown_job){ { shown_run, shown_done, OK, NULL }, o, message, xstrdup(officer),
		loop_now(o->loop).utc_ms, false, done, arg };
	office_submit_job(o, &s->job);
}

struct quarantine_job {
	struct job job;
	struct office *office;
	struct id envelope;
	bool retry;
	char *officer;
	int64_t now_ms, stored_ms;
	struct envelope opened;
	office_done *done;
	void *arg;
};

static enum err
quarantine_run(struct job *j, struct txn *t)
{
	struct quarantine_job *q = (struct quarantine_job *)j;
	struct book *b = q->office->book;
	Citex__BookQuarantined *was = NULL;
	char text[ID_TEXT_BYTES];
	enum err e = book_quarantined(b, t, q->envelope, &was);

	if (e == OK && q->retry) {
		/* the clock began when our node stored it, as its author counts */
		q->stored_ms = was->stored != 0 ? (int64_t)was->stored : q->now_ms;
		envelope_release(&q->opened);
		e = envelope_parse(bytes_of_pb(was->packed), &q->opened);
		if (e == OK)
			e = book_del_receipt(b, t, q->opened.digest);
		if (e == OK || e == ERR_NOT_FOUND)
			e = put_arrived(q->office, t, &q->opened, q->opened.digest, true,
			    q->stored_ms, q->now_ms);
	}
	if (e == OK)
		e = book_del_quarantined(b, t, q->envelope);
	if (e == OK && !q->retry)
		e = sweep_orphan(q->office, t, bytes_of_pb(was->packed));
	proto_free((ProtobufCMessage *)was);
	id_print(q->envelope, text);
	return e == OK
	    ? book_audit(b, t, q->now_ms, q->officer, q->retry ? "retry" : "drop", text, "")
	    : e;
}

static void
quarantine_done(struct job *j, enum err result)
{
	struct quarantine_job *q = (struct quarantine_job *)j;

	if (result == OK && q->retry && q->office->directory != NULL) {
		uint8_t digest[DIGEST_BYTES];
		memcpy(digest, q->opened.digest, DIGEST_BYTES);
		open_envelope(q->office, &q->opened, digest, q->stored_ms, false);
	}
	if (result == OK)
		sweep_begin(q->office);
	q->done(q->arg, result, "");
	envelope_release(&q->opened);
	free(q->officer);
	free(q);
}

static void
act_on_quarantine(struct office *o, struct id envelope, bool retry, const char *officer,
    office_done *done, void *arg)
{
	struct quarantine_job *q = xalloc(sizeof(*q));

	*q = (struct quarantine_job){ .job = { quarantine_run, quarantine_done, OK, NULL },
		.office = o,
		.envelope = envelope,
		.retry = retry,
		.officer = xstrdup(officer),
		.now_ms = loop_now(o->loop).utc_ms,
		.done = done,
		.arg = arg };
	office_submit_job(o, &q->job);
}

void
office_retry(
    struct office *o, struct id envelope, const char *officer, office_done *done, void *arg)
{
	act_on_quarantine(o, envelope, true, officer, done, arg);
}

void
office_drop(struct office *o, struct id envelope, const char *officer, office_done *done, void *arg)
{
	act_on_quarantine(o, envelope, false, officer, done, arg);
}
