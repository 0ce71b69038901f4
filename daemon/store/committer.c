/* SPDX-License-Identifier: Apache-2.0 */
/* The store thread and its two queues. A commit whose outcome is not known
 * ends the process: nobody is answered, and a repeated request is harmless.
 *
 * When a batch goes is decided in the loop's thread: after the events that are
 * at hand, and not before the last one is back. A commit costs much more
 * processor time than a job, so a crowd is made to gather: where several came
 * at once more will come, and a few milliseconds make one commit of many. */
#include "daemon/store/committer.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "daemon/log.h"

#define EXIT_STORE_FAILED 70

struct committer {
	struct loop *loop;
	struct store *store;
	struct committer_hooks hooks;
	pthread_t thread;

	/* loop thread only */
	unsigned pending;
	struct job *gathered, **last_gathered; /* not yet handed over */
	unsigned gathered_count;
	unsigned under_way; /* handed over, and not yet back */
	unsigned last_count; /* of the batch before */
	int64_t crowd_ms; /* a crowd goes at this time, or when it is BATCH_MAX */
	struct timer *timer; /* of look() */

	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct job *waiting; /* the batch that was handed over */
	struct job *finished;
	bool stopping;
};

/* One batch of what has gathered goes to the store thread. */
static void
hand_over(struct committer *c)
{
	struct job *first = c->gathered, **end = &c->gathered;
	unsigned count = 0;

	while (*end != NULL && count < BATCH_MAX) {
		end = &(*end)->next;
		count++;
	}
	c->gathered = *end;
	*end = NULL;
	if (c->gathered == NULL)
		c->last_gathered = &c->gathered;
	c->gathered_count -= count;
	c->under_way += count;
	c->last_count = count;
	c->crowd_ms = loop_now(c->loop).mono_ms + CROWD_GATHER_MS;
	pthread_mutex_lock(&c->lock);
	c->waiting = first;
	pthread_cond_signal(&c->changed);
	pthread_mutex_unlock(&c->lock);
}

/* Is it time for the next batch? */
static void
look(void *arg)
{
	struct committer *c = arg;
	bool crowd = c->last_count >= CROWD_MIN;

	if (c->gathered == NULL || c->under_way > 0)
		return;
	if (!crowd || c->gathered_count >= BATCH_MAX || loop_now(c->loop).mono_ms >= c->crowd_ms)
		hand_over(c);
	else
		timer_set(c->timer, c->crowd_ms);
}

static void
hand_back(void *arg)
{
	struct committer *c = arg;
	struct job *j;

	pthread_mutex_lock(&c->lock);
	j = c->finished;
	c->finished = NULL;
	pthread_mutex_unlock(&c->lock);
	while (j != NULL) {
		struct job *next = j->next; /* the answer may free J */
		c->pending--;
		c->under_way--;
		j->done(j, j->result);
		j = next;
	}
	look(c);
}

/* One batch. ERR_STORE_FULL: nothing of it happened. */
static enum err
try_batch(struct committer *c, struct job *jobs)
{
	struct txn *t = NULL;
	enum err e = store_begin(c->store, &t);

	for (struct job *j = jobs; e == OK && j != NULL; j = j->next) {
		j->result = j->run(j, t);
		if (j->result == ERR_STORE_FULL)
			e = ERR_STORE_FULL;
	}
	if (e == OK && c->hooks.batch_end != NULL)
		e = c->hooks.batch_end(c->hooks.arg, t);
	if (e == OK)
		return store_commit(t);
	store_end(t);
	return e;
}

static void
drop_batch(struct committer *c)
{
	if (c->hooks.batch_dropped != NULL)
		c->hooks.batch_dropped(c->hooks.arg);
}

static void
end_process(enum err e)
{
	log_event(LEVEL_ERROR, "store-failed", LOG_ERR(e),
	    LOG_TEXT("words", "the outcome of a commit is not known; ending without an answer"));
	_exit(EXIT_STORE_FAILED);
}

/* A full store takes what frees it: each job by itself, so that deletes and acknowledgements pass.
 */
static void
commit_singly(struct committer *c, struct job *jobs)
{
	for (struct job *j = jobs, *next; j != NULL; j = next) {
		enum err e;
		next = j->next;
		j->next = NULL;
		e = try_batch(c, j);
		if (e != OK) {
			drop_batch(c);
			if (err_class(e) == CLASS_SYSTEM)
				end_process(e);
			j->result = ERR_STORE_FULL;
		}
		j->next = next;
	}
}

static void
commit_batch(struct committer *c, struct job *jobs)
{
	enum err e = try_batch(c, jobs);

	if (e == OK)
		return;
	drop_batch(c);
	if (err_class(e) == CLASS_SYSTEM)
		end_process(e);
	commit_singly(c, jobs);
}

static void *
run_thread(void *arg)
{
	struct committer *c = arg;

	pthread_mutex_lock(&c->lock);
	for (;;) {
		struct job *jobs;
		while (c->waiting == NULL && !c->stopping)
			pthread_cond_wait(&c->changed, &c->lock);
		if (c->waiting == NULL)
			break;
		jobs = c->waiting;
		c->waiting = NULL;
		pthread_mutex_unlock(&c->lock);
		commit_batch(c, jobs);
		pthread_mutex_lock(&c->lock);
		c->finished = jobs;
		pthread_mutex_unlock(&c->lock);
		loop_call(c->loop, hand_back, c);
		pthread_mutex_lock(&c->lock);
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

struct committer *
committer_new(struct loop *l, struct store *s, const struct committer_hooks *hooks)
{
	struct committer *c = xalloc(sizeof(*c));
	sigset_t all, before;
	int rc;

	c->loop = l;
	c->store = s;
	if (hooks != NULL)
		c->hooks = *hooks;
	c->last_gathered = &c->gathered;
	c->timer = timer_new(l, look, c);
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->changed, NULL);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before); /* signals belong to the loop */
	rc = pthread_create(&c->thread, NULL, run_thread, c);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc == 0)
		return c;
	timer_free(c->timer);
	free(c);
	return NULL;
}

void
committer_submit(struct committer *c, struct job *j)
{
	j->next = NULL;
	c->pending++;
	*c->last_gathered = j;
	c->last_gathered = &j->next;
	c->gathered_count++;
	/* behind the events at hand: they may bring more */
	if (c->under_way == 0 && (c->gathered_count == 1 || c->gathered_count == BATCH_MAX))
		timer_set(c->timer, 0);
}

unsigned
committer_pending(const struct committer *c)
{
	return c->pending;
}

void
committer_free(struct committer *c)
{
	if (c == NULL)
		return;
	do { /* what a DONE submits is committed, too */
		pthread_mutex_lock(&c->lock);
		c->stopping = true;
		pthread_cond_signal(&c->changed);
		pthread_mutex_unlock(&c->lock);
		pthread_join(c->thread, NULL);
		c->stopping = false;
		hand_back(c);
		if (c->waiting == NULL && c->gathered != NULL)
			hand_over(c);
	} while (c->waiting != NULL && pthread_create(&c->thread, NULL, run_thread, c) == 0);
	timer_free(c->timer);
	pthread_cond_destroy(&c->changed);
	pthread_mutex_destroy(&c->lock);
	free(c);
}
