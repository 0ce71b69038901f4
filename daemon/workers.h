/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_WORKERS_H
#define DAEMON_WORKERS_H

#include "daemon/loop.h"

/* Threads that compute and touch nothing shared. */
struct workers;

/* Embed at the front of what RUN needs. */
struct work {
	void (*run)(struct work *w); /* a worker's thread */
	void (*done)(struct work *w); /* loop thread, afterwards; may free W */
	struct work *next; /* the pool's */
};

/* THREADS workers, at least one. NULL: the system refuses. */
struct workers *workers_new(struct loop *l, unsigned threads);
/* In order of submission with one thread; in any order with more. */
void workers_submit(struct workers *p, struct work *w);
/* Works not yet done. */
unsigned workers_pending(const struct workers *p);
/* Waits for what runs, drops what waits (their DONE is not called). */
void workers_free(struct workers *p);

#endif
