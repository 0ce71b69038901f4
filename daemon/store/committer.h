/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_STORE_COMMITTER_H
#define DAEMON_STORE_COMMITTER_H

#include "daemon/loop.h"
#include "daemon/store/store.h"

/* The store thread: takes what has gathered (at most BATCH_MAX jobs), runs each
 * in one write batch, commits once, and only then answers all. What gathers
 * while one commit runs is the next batch. One job goes at once; where CROWD_MIN
 * came together, the next batch waits until BATCH_MAX are there, or until
 * CROWD_GATHER_MS have gone since the last one. tests/sim has another
 * committer.c behind this header. */
struct committer;

/* Embed at the front of what RUN needs. */
struct job {
	/* Store thread. Validates before it writes: after an error it has written nothing. */
	enum err (*run)(struct job *j, struct txn *t);
	/* Loop thread, after the commit. RESULT is what RUN said, or ERR_STORE_FULL
	 * when the batch did not fit. May free J. */
	void (*done)(struct job *j, enum err result);
	enum err result;
	struct job *next;
};

/* BATCH_END (may be NULL) runs in the store thread after the last RUN of a batch
 * and before its commit: what is made once for all (receipts). Its error drops
 * the batch as a full store does; then BATCH_DROPPED (may be NULL) runs. */
struct committer_hooks {
	enum err (*batch_end)(void *arg, struct txn *t);
	void (*batch_dropped)(void *arg);
	void *arg;
};
struct committer *committer_new(
    struct loop *l, struct store *s, const struct committer_hooks *hooks);
/* All jobs of one event are in one batch, up to BATCH_MAX. */
void committer_submit(struct committer *c, struct job *j);
/* Jobs not yet answered. */
unsigned committer_pending(const struct committer *c);
/* Commits what was submitted; DONE of those is still called, before this returns. */
void committer_free(struct committer *c);

#endif
