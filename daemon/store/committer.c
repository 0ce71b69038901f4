/* SPDX-License-Identifier: Apache-2.0 */
/* The store thread and its two queues. A commit whose outcome is not known
 * ends the process: nobody is answered, and a repeated request is harmless. */
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
	unsigned pending; /* loop thread only */
	pthread_t thread;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct job *waiting, **last_waiting;
	struct job *finished, **last_finished;
	bool called; /* hand_back() is on its way */
	bool stopping;
};

static void
hand_back(void *arg)
{
	struct committer *c = arg;
	struct job *j;

	pthread_mutex_lock(&c->lock);
	j = c->finished;
	c->finished = NULL;
	c->last_finished = &c->finished;
	c->called = false;
	pthread_mutex_unlock(&c->lock);
	while (j != NULL) {
		struct job *next = j->next; /* the answer may free J */
		c->pending--;
		j->done(j, j->result);
		j = next;
	}
}

/* At most BATCH_MAX jobs off the queue; called with the lock held. */
static struct job *
take_batch(struct committer *c)
{
	struct job *first = c->waiting, *last = first;

	for (size_t i = 1; i < BATCH_MAX && last->next != NULL; i++)
		last = last->next;
	c->waiting = last->next;
	if (c->waiting == NULL)
		c->last_waiting = &c->waiting;
	last->next = NULL;
	return first;
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

static void
finish(struct committer *c, struct job *jobs)
{
	bool call;

	*c->last_finished = jobs;
	while (*c->last_finished != NULL)
		c->last_finished = &(*c->last_finished)->next;
	call = !c->called;
	c->called = true;
	if (call)
		loop_call(c->loop, hand_back, c);
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
		jobs = take_batch(c);
		pthread_mutex_unlock(&c->lock);
		commit_batch(c, jobs);
		pthread_mutex_lock(&c->lock);
		finish(c, jobs);
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
	c->last_waiting = &c->waiting;
	c->last_finished = &c->finished;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->changed, NULL);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before); /* signals belong to the loop */
	rc = pthread_create(&c->thread, NULL, run_thread, c);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc == 0)
		return c;
	free(c);
	return NULL;
}

void
committer_submit(struct committer *c, struct job *j)
{
	j->next = NULL;
	c->pending++;
	pthread_mutex_lock(&c->lock);
	*c->last_waiting = j;
	c->last_waiting = &j->next;
	pthread_cond_signal(&c->changed);
	pthread_mutex_unlock(&c->lock);
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
	} while (c->waiting != NULL && pthread_create(&c->thread, NULL, run_thread, c) == 0);
	pthread_cond_destroy(&c->changed);
	pthread_mutex_destroy(&c->lock);
	free(c);
}
