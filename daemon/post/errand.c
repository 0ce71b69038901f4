/* SPDX-License-Identifier: Apache-2.0 */
/* One thing on its way: computed by a worker, written by the store thread, its
 * end told in the loop. What it means is its maker's matter. */
#include <stdlib.h>

#include "daemon/post/inside.h"

static struct errand *
of_work(struct work *w)
{
	return (struct errand *)w; /* stands first */
}

static struct errand *
of_job(struct job *j)
{
	return (struct errand *)((char *)j - offsetof(struct errand, job));
}

static void
run_work(struct work *w)
{
	of_work(w)->compute(of_work(w));
}

static void
work_done(struct work *w)
{
	struct errand *e = of_work(w);

	if (e->post->ending)
		errand_end(e);
	else
		e->computed(e);
}

static enum err
run_job(struct job *j, struct txn *t)
{
	return of_job(j)->write(of_job(j), t);
}

static void
job_done(struct job *j, enum err result)
{
	of_job(j)->written(of_job(j), result);
}

void *
errand_new(struct post *p, struct conn *conn, size_t size)
{
	struct errand *e = xalloc(size);

	e->post = p;
	e->conn = conn != NULL ? conn_ref(conn) : NULL;
	e->work = (struct work){ .run = run_work, .done = work_done };
	e->job = (struct job){ .run = run_job, .done = job_done };
	e->next = p->errands;
	if (p->errands != NULL)
		p->errands->prev = e;
	p->errands = e;
	return e;
}

void
errand_compute(struct errand *e)
{
	workers_submit(e->post->workers, &e->work);
}

void
errand_commit(struct errand *e)
{
	if (e->post->ending)
		errand_end(e);
	else
		committer_submit(e->post->committer, &e->job);
}

void
errand_end(struct errand *e)
{
	if (e->prev != NULL)
		e->prev->next = e->next;
	else
		e->post->errands = e->next;
	if (e->next != NULL)
		e->next->prev = e->prev;
	if (e->release != NULL)
		e->release(e);
	if (e->conn != NULL)
		conn_unref(e->conn);
	free(e);
}
