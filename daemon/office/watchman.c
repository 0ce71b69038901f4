/* SPDX-License-Identifier: Apache-2.0 */
/* Looks at the clocks once a minute: silence is made visible here. What is due
 * is computed by exchange.c. Each thing is told once, for each addressee and each
 * date: an answer that is due soon, one that is overdue, a node that says nothing.
 * What was told is on disk first, so that a restart does not tell it again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/office/history.h"
#include "daemon/office/inside.h"

#define LOOK_MS MINUTE_MS

/* Something that an officer is to hear of. */
struct notice {
	struct id id; /* book_notice_id() */
	struct id message;
	unsigned list; /* that remembers it */
	const char *state; /* soon, overdue, silent */
	char authority[AUTHORITY_MAX_BYTES + 1]; /* who owes, or says nothing */
};

struct notices {
	struct notice *at;
	size_t count;
};

struct look {
	struct office *office;
	struct txn *txn;
	int64_t now_ms;
	struct buffer done; /* exchanges that need no more looks */
	struct notices notices;
	unsigned looks; /* at envelopes that wait */
	struct id seen; /* the last of them */
};

/* N, which lacks its id, unless it was told before. */
static void
add_notice(struct look *l, struct notice n, const char *authority, int64_t date_ms)
{
	struct notices *all = &l->notices;

	n.id = book_notice_id(n.message, authority, date_ms);
	if (book_is_marked(l->office->book, l->txn, n.list, n.id))
		return;
	(void)snprintf(n.authority, sizeof(n.authority), "%s", authority);
	all->at = xgrow(all->at, all->count + 1, sizeof(*all->at));
	all->at[all->count++] = n;
}

/* --- what is due --- */

static void
look_at_clock(struct look *l, const struct exchange_clock *c)
{
	struct notice overdue = { .message = c->message, .list = LIST_LATE, .state = "overdue" };
	struct notice soon = { .message = c->message, .list = LIST_SOON, .state = "soon" };

	/* an interim answer moves the date: that one is told of, too */
	if (exchange_clock_is_overdue(c, l->now_ms))
		add_notice(l, overdue, c->authority, c->due_ms);
	else if (exchange_clock_is_due_soon(c, l->now_ms))
		add_notice(l, soon, c->authority, c->due_ms);
}

static bool
look_at_exchange(void *arg, struct id exchange)
{
	struct look *l = arg;
	struct history v;
	bool running = false;

	if (history_load(l->office, l->txn, exchange, l->now_ms, &v) != OK)
		return true;
	for (size_t i = 0; i < v.exchange.clock_count; i++) {
		const struct exchange_clock *c = &v.exchange.clocks[i];
		running = running || (c->answered_ms == 0 && !c->ended);
		look_at_clock(l, c);
	}
	if (!running || v.exchange.status == EXCHANGE_CLOSED)
		buffer_add(&l->done, id_bytes(&exchange));
	history_release(&v);
	return true;
}

/* --- who says nothing --- */

static void
look_at_addressee(struct look *l, const Citex__BookMessage *m, struct id message, unsigned index)
{
	struct notice silent = { .message = message, .list = LIST_SILENT, .state = "silent" };
	Citex__BookAddressee *a = NULL;

	if (book_addressee(l->office->book, l->txn, message, index, &a) != OK)
		return;
	if (history_is_silent(m, a, l->now_ms))
		add_notice(l, silent, a->authority, 0);
	proto_free(&a->base);
}

/* One that waits for its `opened'. Ids follow the time at which they were sealed: what comes after
 * the first that is too young is younger. */
static bool
look_at_envelope(void *arg, struct id envelope)
{
	struct look *l = arg;
	struct book *b = l->office->book;
	Citex__BookEnvelope *e = NULL;
	Citex__BookMessage *m = NULL;
	struct id message;
	bool old = true; /* what cannot be read is passed over */

	if (l->looks++ == SILENCE_LOOKS_MAX)
		return false;
	if (book_envelope(b, l->txn, envelope, &e) == OK) {
		old = l->now_ms - (int64_t)e->sealed > SILENCE_NOTICE_MS;
		if (old && id_from_bytes(bytes_of_pb(e->message), &message) == OK &&
		    book_message(b, l->txn, message, &m) == OK)
			look_at_addressee(l, m, message, e->addressee);
	}
	if (old)
		l->seen = envelope;
	proto_wipe((ProtobufCMessage *)m);
	proto_free((ProtobufCMessage *)e);
	return old;
}

/* One that has no key to be sealed to. */
static bool
look_at_unsealed(void *arg, struct id message)
{
	struct look *l = arg;
	Citex__BookMessage *m = NULL;

	if (book_message(l->office->book, l->txn, message, &m) != OK)
		return true;
	for (unsigned i = 0; i < m->addressee_count; i++)
		look_at_addressee(l, m, message, i);
	proto_wipe(&m->base);
	return true;
}

/* --- telling --- */

struct notice_job {
	struct job job;
	struct office *office;
	struct buffer done;
	struct notices notices;
	struct id seen;
};

static enum err
notice_run(struct job *j, struct txn *t)
{
	struct notice_job *x = (struct notice_job *)j;
	struct reader done = { buffer_bytes(&x->done), OK };
	enum err e = OK;

	while (e == OK && done.left.len > 0) {
		struct id id;
		read_copy(&done, id.at, ID_BYTES);
		e = book_unmark(x->office->book, t, LIST_CLOCKS, id);
	}
	for (size_t i = 0; e == OK && i < x->notices.count; i++)
		e = book_mark(x->office->book, t, x->notices.at[i].list, x->notices.at[i].id);
	return e;
}

static void
tell(struct office *o, const struct notice *n)
{
	char text[ID_TEXT_BYTES];

	id_print(n->message, text);
	log_event(LEVEL_INFO, n->state, LOG_TEXT("id", text), LOG_TEXT("authority", n->authority));
	tell_watches(o, "due", n->message, "", n->authority, n->state);
	if (o->config.hook != NULL)
		o->config.hook(o->config.hook_arg, "due", text, n->state);
}

static void
notice_done(struct job *j, enum err result)
{
	struct notice_job *x = (struct notice_job *)j;

	x->office->noticing = false;
	for (size_t i = 0; result == OK && i < x->notices.count; i++)
		tell(x->office, &x->notices.at[i]);
	if (result == OK)
		x->office->silence_seen = x->seen;
	buffer_release(&x->done);
	free(x->notices.at);
	free(x);
}

static enum err
look_at_all(struct look *l)
{
	struct office *o = l->office;
	enum err e = book_each_marked(o->book, l->txn, LIST_CLOCKS, look_at_exchange, l);

	if (e == OK)
		e = book_each_marked_after(
		    o->book, l->txn, LIST_WAITING, o->silence_seen, look_at_envelope, l);
	if (e == OK)
		e = book_each_marked(o->book, l->txn, LIST_UNSEALED, look_at_unsealed, l);
	return e;
}

static void
look_for_notices(struct office *o)
{
	struct look l = {
		.office = o, .now_ms = loop_now(o->loop).utc_ms, .seen = o->silence_seen
	};
	struct notice_job *x;

	if (o->noticing || store_read(o->store, &l.txn) != OK)
		return;
	if (look_at_all(&l) != OK)
		log_event(
		    LEVEL_ERROR, "clocks-unreadable", LOG_TEXT("authority", o->config.authority));
	store_end(l.txn);
	o->noticing = true;
	x = xalloc(sizeof(*x));
	*x = (struct notice_job){ { notice_run, notice_done, OK, NULL }, o, l.done, l.notices,
		l.seen };
	office_submit_job(o, &x->job);
}

static void
look(void *arg)
{
	struct office *o = arg;

	timer_set(o->watchman, loop_now(o->loop).mono_ms + LOOK_MS);
	look_for_notices(o);
	receive_again(o);
	sweep_begin(o); /* what failed, or was left by an earlier process */
	sealing_resume(o);
	if (loop_now(o->loop).mono_ms >= o->prune_ms) {
		o->prune_ms = loop_now(o->loop).mono_ms + PRUNE_ROUND_MS;
		prune_begin(o);
	}
	if (loop_now(o->loop).mono_ms >= o->reoffer_ms) {
		/* no `opened' for a day: a relay that lost its disk is refilled, a receipt that was
		 * lost comes again */
		o->reoffer_ms = loop_now(o->loop).mono_ms + OFFER_AGAIN_MS;
		home_reoffer(o);
	}
}

enum err
watchman_open(struct office *o)
{
	o->watchman = timer_new(o->loop, look, o);
	o->reoffer_ms = loop_now(o->loop).mono_ms + OFFER_AGAIN_MS;
	timer_set(o->watchman, loop_now(o->loop).mono_ms + SECOND_MS);
	return OK;
}

void
watchman_close(struct office *o)
{
	timer_free(o->watchman);
}
