/* SPDX-License-Identifier: Apache-2.0 */
/* Taking back what has not left: from all its addressees, or from none.
 *
 * What was never offered is only here, and is taken off the lists. What was
 * offered lies at the post, and the post is asked to give it back; while it is
 * asked, none of the message is offered. Only after its yes is `withdrawn'
 * written. When that fails, or we die between the two, nothing has been written
 * and the envelopes still wait: they are offered again (here; after a restart,
 * at the first session: mail.c), the post takes them in again, and the message
 * is sent. It is never in a third state.
 *
 * The post's word counts only for the spool that it has now: of what was
 * offered when it had another one it knows nothing. */
#include <stdlib.h>
#include <string.h>

#include "daemon/office/inside.h"
#include "proto/decode.h"

#define NAMED_MAX 8 /* addressees in the words of a refusal */
#define ANSWER_MAX_MS (10 * SECOND_MS) /* of the post, while an officer waits */

/* An envelope of the message; held while the post is asked. */
struct held {
	struct id envelope;
	uint8_t digest[DIGEST_BYTES];
	bool asked; /* the post may have it; otherwise it is here */
	char authority[AUTHORITY_MAX_BYTES + 1];
};

struct withdrawal {
	struct job job;
	struct office *office;
	struct id id;
	char *officer;
	int64_t now_ms;
	office_done *done;
	void *arg;

	struct held *at; /* in order of ids */
	size_t count;
	unsigned addressee_count;
	uint32_t number; /* of what the post was asked */
	struct timer *timer; /* when its answer is too late */
	bool given_back; /* the post said yes */
	bool post_away; /* it could have been asked */
	bool twice; /* another one of this message is under way */
	struct withdrawal *next; /* that the post was asked about */

	struct buffer names; /* who has it, or, when nobody certainly has, may have it */
	unsigned left_count;
	bool is_sure; /* they have it */
	struct buffer words;
};

/* --- who has it --- */

static void
begin_left(struct withdrawal *w)
{
	buffer_release(&w->names);
	buffer_release(&w->words);
	w->left_count = 0;
}

/* Those who certainly have it are named alone. */
static void
add_left(struct withdrawal *w, const char *authority, bool is_sure)
{
	if (w->left_count > 0 && w->is_sure && !is_sure)
		return;
	if (w->left_count > 0 && !w->is_sure && is_sure)
		begin_left(w);
	w->is_sure = is_sure;
	if (w->left_count++ < NAMED_MAX)
		buffer_printf(&w->names, "%s%s", w->left_count > 1 ? ", " : "", authority);
}

static void
say_left(struct withdrawal *w)
{
	char id[ID_TEXT_BYTES];

	id_print(w->id, id);
	buffer_printf(&w->words, "it has left for %s", buffer_text(&w->names));
	if (w->left_count > NAMED_MAX)
		buffer_printf(&w->words, " and %u more", w->left_count - NAMED_MAX);
	if (!w->is_sure)
		buffer_printf(&w->words, ", or may have");
	if (w->left_count < w->addressee_count)
		buffer_printf(&w->words, "; it goes to the others too");
	if (w->post_away)
		buffer_printf(&w->words,
		    "; the post of this node is away and cannot be asked: try again when it is "
		    "back, or");
	else
		buffer_printf(&w->words, ";");
	buffer_printf(&w->words, " send a note that corrects it: citex note %s", id);
}

/* --- beginning and end --- */

static void
unlink_held(struct withdrawal *w)
{
	struct withdrawal **at = &w->office->withdrawals;

	while (*at != NULL && *at != w)
		at = &(*at)->next;
	if (*at == w)
		*at = w->next;
}

/* Nothing is held any more; what is not withdrawn goes its way. */
static void
finish(struct withdrawal *w, enum err result)
{
	unlink_held(w);
	timer_free(w->timer);
	mail_resume(w->office);
	w->done(w->arg, result, buffer_text(&w->words));
	buffer_release(&w->names);
	buffer_release(&w->words);
	free(w->at);
	free(w->officer);
	free(w);
}

/* What the post gave back, or may have, is offered again. An office that is closing does so when
 * it begins again. */
static void
offer_again(struct office *o)
{
	if (!o->closing)
		home_reoffer(o);
}

bool
withdraw_holds(const struct office *o, struct id envelope)
{
	for (const struct withdrawal *w = o->withdrawals; w != NULL; w = w->next) {
		for (size_t i = 0; i < w->count; i++) {
			if (id_equal(w->at[i].envelope, envelope))
				return true;
		}
	}
	return false;
}

/* --- writing that it is withdrawn: store thread --- */

static bool
was_given_back(const struct withdrawal *w, struct id envelope)
{
	for (size_t i = 0; w->given_back && i < w->count; i++) {
		if (w->at[i].asked && id_equal(w->at[i].envelope, envelope))
			return true;
	}
	return false;
}

/* What was offered once may be on its way, answered or not, and whoever has died since. */
static enum err
is_here(struct withdrawal *w, struct txn *t, struct id envelope, bool *here)
{
	Citex__BookEnvelope *e = NULL;
	enum err err = book_envelope(w->office->book, t, envelope, &e);

	if (err == OK)
		*here = was_given_back(w, envelope) ||
		    (e->offered == 0 && book_is_marked(w->office->book, t, LIST_UNSENT, envelope));
	proto_free((ProtobufCMessage *)e);
	return err;
}

/* Who has it, or had it and could not read it: has answered in some way. */
static bool
has_it(const Citex__BookAddressee *a)
{
	return a->reached != CITEX__SLIP_TYPE__SLIP_NONE || a->reseals > 0;
}

static enum err
check_addressee(struct withdrawal *w, struct txn *t, const Citex__BookAddressee *a)
{
	struct id envelope;
	bool here = true;
	enum err e = OK;

	if (has_it(a)) {
		add_left(w, a->authority, true);
		return OK;
	}
	if (id_from_bytes(bytes_of_pb(a->envelope_id), &envelope) == OK)
		e = is_here(w, t, envelope, &here);
	if (e == OK && !here)
		add_left(w, a->authority, false);
	return e;
}

static enum err
take_off_lists(struct withdrawal *w, struct txn *t, const Citex__BookAddressee *a)
{
	struct book *b = w->office->book;
	struct id envelope;
	enum err e;

	if (id_from_bytes(bytes_of_pb(a->envelope_id), &envelope) != OK)
		return OK;
	e = book_unmark(b, t, LIST_UNSENT, envelope);
	return e == OK ? book_unmark(b, t, LIST_WAITING, envelope) : e;
}

static enum err
each_addressee(struct withdrawal *w, struct txn *t, const Citex__BookMessage *m,
    enum err (*fn)(struct withdrawal *w, struct txn *t, const Citex__BookAddressee *a))
{
	enum err e = OK;

	for (unsigned i = 0; e == OK && i < m->addressee_count; i++) {
		Citex__BookAddressee *a = NULL;
		e = book_addressee(w->office->book, t, w->id, i, &a);
		if (e == OK)
			e = fn(w, t, a);
		proto_free((ProtobufCMessage *)a);
	}
	return e;
}

static enum err
check(struct withdrawal *w, struct txn *t, const Citex__BookMessage *m)
{
	enum err e;

	if (w->twice) {
		buffer_printf(&w->words, "it is being withdrawn just now");
		return ERR_BUSY;
	}
	if (!m->outgoing || m->withdrawn) {
		buffer_printf(&w->words, "%s",
		    m->outgoing ? "it was withdrawn before"
				: "only a message of yours can be withdrawn");
		return ERR_WRONG_STATE;
	}
	w->addressee_count = m->addressee_count;
	e = each_addressee(w, t, m, check_addressee);
	if (e != OK || w->left_count == 0)
		return e;
	say_left(w);
	return ERR_WRONG_STATE;
}

static enum err
withdraw_run(struct job *j, struct txn *t)
{
	struct withdrawal *w = (struct withdrawal *)j;
	struct book *b = w->office->book;
	Citex__BookMessage *m = NULL;
	char text[ID_TEXT_BYTES];
	enum err e = book_message(b, t, w->id, &m);

	begin_left(w); /* a batch that was dropped runs once more */
	id_print(w->id, text);
	/* checked before anything is written: a batch keeps what a refused job wrote */
	if (e == OK)
		e = check(w, t, m);
	if (e == OK)
		e = each_addressee(w, t, m, take_off_lists);
	if (e == OK)
		e = book_unmark(b, t, LIST_UNSEALED, w->id);
	if (e == OK) {
		m->withdrawn = true;
		e = book_put_message(b, t, m, false);
	}
	proto_wipe((ProtobufCMessage *)m);
	return e == OK ? book_audit(b, t, w->now_ms, w->officer, "withdraw", text, "") : e;
}

static void
withdraw_done(struct job *j, enum err result)
{
	struct withdrawal *w = (struct withdrawal *)j;
	struct office *o = w->office;

	if (result == OK)
		tell_watches(o, "state", w->id, "", "", "withdrawn");
	if (result != OK && w->given_back) {
		if (w->words.len == 0)
			buffer_printf(&w->words,
			    "it could not be written that it is withdrawn: it is sent as before");
		offer_again(o);
	}
	finish(w, result);
}

/* --- asking the post --- */

/* Add the envelope of A, who has said nothing yet. False: the post's word would not be enough. */
static bool
hold(struct withdrawal *w, struct txn *t, const Citex__BookAddressee *a)
{
	struct held *h = &w->at[w->count];
	Citex__BookEnvelope *e = NULL;
	struct envelope envelope = { 0 };
	bool good;

	if (has_it(a))
		return false;
	if (id_from_bytes(bytes_of_pb(a->envelope_id), &h->envelope) != OK)
		return true; /* not sealed: there is none */
	good = book_envelope(w->office->book, t, h->envelope, &e) == OK &&
	    envelope_parse(bytes_of_pb(e->packed), &envelope) == OK;
	if (good) {
		memcpy(h->digest, envelope.digest, DIGEST_BYTES);
		memcpy(h->authority, a->authority, strlen(a->authority) + 1);
		h->asked = e->offered != 0;
		w->count++;
		good = !h->asked || !office_has_post(w->office) ||
		    bytes_equal(bytes_of_pb(e->spool), BYTES_OF(w->office->post_incarnation));
	}
	envelope_release(&envelope);
	proto_free((ProtobufCMessage *)e);
	return good;
}

static int
by_id(const void *a, const void *b)
{
	return memcmp(
	    ((const struct held *)a)->envelope.at, ((const struct held *)b)->envelope.at, ID_BYTES);
}

/* Must the post be asked, and can it be? Then all envelopes of the message are in W. */
static bool
look(struct withdrawal *w)
{
	CLEANUP(store_end_drop) struct txn *t = NULL;
	struct book *b = w->office->book;
	Citex__BookMessage *m = NULL;
	bool good = store_read(w->office->store, &t) == OK && book_message(b, t, w->id, &m) == OK &&
	    m->outgoing && !m->withdrawn && m->addressee_count <= ADDRESSEES_MAX;
	bool asks = false;

	if (good) {
		w->addressee_count = m->addressee_count;
		w->at = xalloc_array(m->addressee_count + 1, sizeof(*w->at));
	}
	for (unsigned i = 0; good && i < w->addressee_count; i++) {
		Citex__BookAddressee *a = NULL;
		good = book_addressee(b, t, w->id, i, &a) == OK && hold(w, t, a);
		proto_free((ProtobufCMessage *)a);
	}
	proto_wipe((ProtobufCMessage *)m);
	for (size_t i = 0; i < w->count; i++)
		asks = asks || w->at[i].asked;
	w->post_away = good && asks && !office_has_post(w->office);
	if (good && asks && !w->post_away) {
		qsort(w->at, w->count, sizeof(*w->at), by_id);
		return true;
	}
	w->count = 0;
	return false;
}

static void
on_silence(void *arg)
{
	struct withdrawal *w = arg;

	buffer_printf(&w->words,
	    "the post of this node does not answer: it is sent as before, unless you withdraw it"
	    " again");
	finish(w, ERR_LATER);
}

/* W may be gone after it. */
static void
ask(struct withdrawal *w)
{
	struct office *o = w->office;
	Citex__Frame frame = CITEX__FRAME__INIT;
	Citex__TakeBack t = CITEX__TAKE_BACK__INIT;
	Citex__EnvelopeName *names = xalloc_array(w->count, sizeof(*names));
	Citex__EnvelopeName **list = xalloc_array(w->count, sizeof(Citex__EnvelopeName *));

	w->next = o->withdrawals;
	o->withdrawals = w;
	w->number = ++o->next_take_back;
	w->timer = timer_new(o->loop, on_silence, w);
	timer_set(w->timer, loop_now(o->loop).mono_ms + ANSWER_MAX_MS);
	t.number = w->number;
	t.envelopes = list;
	for (size_t i = 0; i < w->count; i++) {
		if (!w->at[i].asked)
			continue;
		citex__envelope_name__init(&names[i]);
		names[i].envelope_id = pb_of_bytes(id_bytes(&w->at[i].envelope));
		names[i].outer_digest = pb_of_bytes(BYTES_OF(w->at[i].digest));
		list[t.n_envelopes++] = &names[i];
	}
	frame.body_case = CITEX__FRAME__BODY_TAKE_BACK;
	frame.take_back = &t;
	mail_send(o, &frame);
	free(names);
	free(list);
}

static bool
is_named(const Citex__TakeBackResult *r, struct id envelope)
{
	for (size_t i = 0; i < r->n_left; i++) {
		if (bytes_equal(bytes_of_pb(r->left[i]), id_bytes(&envelope)))
			return true;
	}
	return false;
}

/* The post has given none back. */
static void
say_no(struct withdrawal *w, enum err why, const Citex__TakeBackResult *r)
{
	begin_left(w);
	for (size_t i = 0; why == ERR_WRONG_STATE && i < w->count; i++) {
		if (is_named(r, w->at[i].envelope))
			add_left(w, w->at[i].authority, false);
	}
	if (w->left_count > 0)
		say_left(w);
	else if (why == ERR_BUSY)
		buffer_printf(&w->words, "the post of this node is at work on it: try again");
}

void
withdraw_answer(struct office *o, const Citex__TakeBackResult *r)
{
	struct withdrawal *w = o->withdrawals;
	enum err why = err_from_name(r->reason);

	while (w != NULL && (w->number != r->number || w->given_back))
		w = w->next;
	if (w == NULL) {
		if (why == OK) /* too late: the officer was told that it is sent */
			offer_again(o);
		return;
	}
	if (why == OK) {
		w->given_back = true;
		timer_set(w->timer, INT64_MAX);
		office_submit_job(o, &w->job);
		return;
	}
	say_no(w, why, r);
	finish(w, why);
}

void
withdraw_link_lost(struct office *o)
{
	bool any = false;

	for (struct withdrawal *w = o->withdrawals, *next; w != NULL; w = next) {
		next = w->next;
		if (w->given_back)
			continue; /* it is being written */
		any = true;
		buffer_printf(&w->words,
		    "the post of this node went away before it answered: it is sent as before, "
		    "unless"
		    " you withdraw it again");
		finish(w, ERR_LATER);
	}
	if (any)
		offer_again(o);
}

static bool
is_under_way(const struct office *o, struct id message)
{
	const struct withdrawal *w = o->withdrawals;

	while (w != NULL && !id_equal(w->id, message))
		w = w->next;
	return w != NULL;
}

void
office_withdraw(
    struct office *o, struct id message, const char *officer, office_done *done, void *arg)
{
	struct withdrawal *w = xalloc(sizeof(*w));

	*w = (struct withdrawal){ .job = { withdraw_run, withdraw_done, OK, NULL },
		.office = o,
		.id = message,
		.officer = xstrdup(officer),
		.now_ms = loop_now(o->loop).utc_ms,
		.done = done,
		.arg = arg };
	w->twice = is_under_way(o, message);
	if (!w->twice && look(w))
		ask(w);
	else
		office_submit_job(o, &w->job);
}
