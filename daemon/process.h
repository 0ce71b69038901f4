/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_PROCESS_H
#define DAEMON_PROCESS_H

#include "daemon/loop.h"
#include "daemon/start.h"
#include "proto/start.pb-c.h"

/* One process of a node, seen by the supervisor: started, asked whether it is
 * alive, started again when it dies, stopped. Loop thread only. */
struct process;

struct process_events {
	void (*ready)(void *arg, struct process *p); /* at work, the first time or again */
	void (*hook)(void *arg, struct process *p, const Citex__RunHook *h); /* borrowed */
	/* It ended before it was ever at work and said why: it is not started again. */
	void (*gave_up)(void *arg, struct process *p, enum err why);
	void (*down)(void *arg, struct process *p); /* after process_stop() */
};

/* The post when AUTHORITY is NULL. FDS (moved in, COUNT of them) are the listening sockets that it
 * gets each time. */
struct process *process_new(struct loop *l, const char *node, const char *authority, int *fds,
    size_t count, const struct process_events *events, void *arg);
void process_free(struct process *p); /* kills it, closes its sockets */

/* What it is given from the next start on; moved in. */
void process_take_part(struct process *p, struct start_part *part);
/* Is it given the same as PART says? */
bool process_has_part(const struct process *p, const struct start_part *part);
void process_start(struct process *p);
/* Let it commit and end; kill it after STOP_MAX_MS. AGAIN: start it again then, for a reload. */
void process_stop(struct process *p, bool again);
/* Look whether it has ended: on each SIGCHLD. */
void process_reap(struct process *p);
/* Say M to it, if it is at work or about to be. */
void process_tell(struct process *p, const Citex__Control *m);

bool process_is_down(const struct process *p);
bool process_is_working(const struct process *p);
const char *process_authority(const struct process *p); /* NULL: the post */
const char *process_name(const struct process *p); /* "post ke", "office ke.ma" */

#endif
