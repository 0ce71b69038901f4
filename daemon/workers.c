/* SPDX-License-Identifier: Apache-2.0 */
/* Threads that compute. The queue between them and the loop is the only thing shared. */
#include "daemon/workers.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

#include "proto/bytes.h"

#define THREADS_MAX 16

struct workers {
	struct loop *loop;
	pthread_t threads[THREADS_MAX];
	unsigned thread_count;
	unsigned pending; /* loop thread only */

	pthread_mutex_t lock;
	pthread_cond_t there_is_work;
	struct work *waiting, **last_waiting;
	struct work *finished, **last_finished;
	bool called; /* a call of hand_back() is under way */
	bool stopping;
};

static void
hand_back(void *arg)
{
	struct workers *p = arg;
	struct work *w;

	pthread_mutex_lock(&p->lock);
	w = p->finished;
	p->finished = NULL;
	p->last_finished = &p->finished;
	p->called = false;
	pthread_mutex_unlock(&p->lock);
	while (w != NULL) {
		struct work *next = w->next;
		p->pending--;
		w->done(w);
		w = next;
	}
}

static struct work *
next_work(struct workers *p)
{
	struct work *w;

	while (p->waiting == NULL && !p->stopping)
		pthread_cond_wait(&p->there_is_work, &p->lock);
	if (p->stopping)
		return NULL;
	w = p->waiting;
	p->waiting = w->next;
	if (p->waiting == NULL)
		p->last_waiting = &p->waiting;
	return w;
}

static void *
run_thread(void *arg)
{
	struct workers *p = arg;
	struct work *w;

	pthread_mutex_lock(&p->lock);
	while ((w = next_work(p)) != NULL) {
		bool call;
		pthread_mutex_unlock(&p->lock);
		w->run(w);
		pthread_mutex_lock(&p->lock);
		w->next = NULL;
		*p->last_finished = w;
		p->last_finished = &w->next;
		call = !p->called;
		p->called = true;
		if (call)
			loop_call(p->loop, hand_back, p);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

struct workers *
workers_new(struct loop *l, unsigned threads)
{
	struct workers *p = xalloc(sizeof(*p));
	sigset_t all, before;

	p->loop = l;
	p->last_waiting = &p->waiting;
	p->last_finished = &p->finished;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->there_is_work, NULL);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before); /* signals belong to the loop */
	while (p->thread_count < (threads == 0 ? 1 : threads) && p->thread_count < THREADS_MAX) {
		if (pthread_create(&p->threads[p->thread_count], NULL, run_thread, p) != 0)
			break;
		p->thread_count++;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (p->thread_count > 0)
		return p;
	workers_free(p);
	return NULL;
}

void
workers_submit(struct workers *p, struct work *w)
{
	w->next = NULL;
	p->pending++;
	pthread_mutex_lock(&p->lock);
	*p->last_waiting = w;
	p->last_waiting = &w->next;
	pthread_cond_signal(&p->there_is_work);
	pthread_mutex_unlock(&p->lock);
}

unsigned
workers_pending(const struct workers *p)
{
	return p->pending;
}

void
workers_free(struct workers *p)
{
	if (p == NULL)
		return;
	pthread_mutex_lock(&p->lock);
	p->stopping = true;
	pthread_cond_broadcast(&p->there_is_work);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->thread_count; i++)
		pthread_join(p->threads[i], NULL);
	pthread_cond_destroy(&p->there_is_work);
	pthread_mutex_destroy(&p->lock);
	free(p);
}
