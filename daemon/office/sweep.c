/* SPDX-License-Identifier: Apache-2.0 */
/* Deletes chunks that nobody needs: a few in one transaction, so that nobody
 * waits for it, and on until none is left. What is to go stands in LIST_ORPHANS;
 * whoever needs it after all takes it off that list first. */
#include <stdlib.h>

#include "daemon/office/inside.h"

struct sweeping {
	struct job job;
	struct office *office;
	bool found;
};

struct finding {
	struct id id;
	bool found;
};

static bool
take_first(void *arg, struct id id)
{
	*(struct finding *)arg = (struct finding){ id, true };
	return false;
}

static enum err
sweep_run(struct job *j, struct txn *t)
{
	struct sweeping *s = (struct sweeping *)j;
	struct book *b = s->office->book;
	struct finding f = { .found = false };
	bool left = false;
	enum err e = book_each_marked(b, t, LIST_ORPHANS, take_first, &f);

	s->found = f.found;
	if (e == OK && f.found)
		e = book_del_chunks(b, t, f.id, SWEEP_CHUNKS_MAX, &left);
	return e == OK && f.found && !left ? book_unmark(b, t, LIST_ORPHANS, f.id) : e;
}

static void
sweep_done(struct job *j, enum err result)
{
	struct sweeping *s = (struct sweeping *)j;
	struct office *o = s->office;

	o->sweeping = false;
	if (result != OK) /* the watchman begins again */
		log_event(LEVEL_WARNING, "not-swept", LOG_ERR(result));
	else if (s->found)
		sweep_begin(o);
	free(s);
}

void
sweep_begin(struct office *o)
{
	struct sweeping *s;

	if (o->sweeping || o->closing)
		return;
	o->sweeping = true;
	s = xalloc(sizeof(*s));
	*s = (struct sweeping){ .job = { sweep_run, sweep_done, OK, NULL }, .office = o };
	office_submit_job(o, &s->job);
}
