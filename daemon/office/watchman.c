/* SPDX-License-Identifier: Apache-2.0 */
/* Looks at the clocks once a minute: silence is made visible here. What is due
 * is computed by exchange.c; told once for each message that is late. */
#include <stdlib.h>
#include <string.h>

#include "daemon/office/inside.h"
#include "daemon/office/history.h"

#define LOOK_MS MINUTE_MS

struct look {
	struct office *office;
	struct txn *txn;
	int64_t now_ms;
	struct buffer done,
	    late; /* exchange ids that need no more looks; message ids to be told of */
};

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
		if (exchange_clock_is_overdue(c, l->now_ms) &&
		    !book_is_marked(l->office->book, l->txn, LIST_LATE, c->message))
			buffer_add(&l->late, id_bytes(&c->message));
	}
	if (!running || v.exchange.status == EXCHANGE_CLOSED)
		buffer_add(&l->done, id_bytes(&exchange));
	history_release(&v);
	return true;
}

struct late_job {
	struct job job;
	struct office *office;
	struct buffer done, late;
};

static enum err
late_run(struct job *j, struct txn *t)
{
	struct late_job *x = (struct late_job *)j;
	struct reader done = { buffer_bytes(&x->done), OK }, late = { buffer_bytes(&x->late), OK };
	struct id id;
	enum err e = OK;

	while (e == OK && done.left.len > 0) {
		read_copy(&done, id.at, ID_BYTES);
		e = book_unmark(x->office->book, t, LIST_CLOCKS, id);
	}
	while (e == OK && late.left.len > 0) {
		read_copy(&late, id.at, ID_BYTES);
		e = book_mark(x->office->book, t, LIST_LATE, id);
	}
	return e;
}

static void
late_done(struct job *j, enum err result)
{
	struct late_job *x = (struct late_job *)j;
	struct office *o = x->office;
	struct reader late = { buffer_bytes(&x->late), OK };

	while (result == OK && late.left.len > 0) {
		char text[ID_TEXT_BYTES];
		struct id id;
		read_copy(&late, id.at, ID_BYTES);
		id_print(id, text);
		log_event(LEVEL_INFO, "overdue", LOG_TEXT("id", text));
		tell_watches(o, "due", id, "", "", "overdue");
		if (o->config.hook != NULL)
			o->config.hook(o->config.hook_arg, "due", text, "overdue");
	}
	buffer_release(&x->done);
	buffer_release(&x->late);
	free(x);
}

static void
look(void *arg)
{
	struct office *o = arg;
	struct look l = { .office = o, .now_ms = loop_now(o->loop).utc_ms };
	struct late_job *x;

	timer_set(o->watchman, loop_now(o->loop).mono_ms + LOOK_MS);
	if (store_read(o->store, &l.txn) != OK)
		return;
	if (book_each_marked(o->book, l.txn, LIST_CLOCKS, look_at_exchange, &l) != OK)
		log_event(
		    LEVEL_ERROR, "clocks-unreadable", LOG_TEXT("authority", o->config.authority));
	store_end(l.txn);
	receive_again(o);
	sweep_begin(o); /* what failed, or was left by an earlier process */
	sealing_resume(o);
	if (loop_now(o->loop).mono_ms >= o->reoffer_ms) {
		/* no `opened' for a day: a relay that lost its disk is refilled, a receipt that was
		 * lost comes again */
		o->reoffer_ms = loop_now(o->loop).mono_ms + OFFER_AGAIN_MS;
		home_reoffer(o);
	}
	x = xalloc(sizeof(*x));
	*x = (struct late_job){ { late_run, late_done, OK, NULL }, o, l.done, l.late };
	office_submit_job(o, &x->job);
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
