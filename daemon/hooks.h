/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_HOOKS_H
#define DAEMON_HOOKS_H

#include <sys/types.h>

#include "daemon/loop.h"

/* Programs of the operator, run on an event so that nobody must poll: with
 * event, id and kind as arguments and nothing else, as an unprivileged user, in
 * a process group of its own, without environment, for at most HOOK_MAX_MS, at
 * most HOOKS_RUNNING_MAX at once; HOOKS_WAITING_MAX wait, others are dropped. The
 * supervisor's; loop thread only. */
struct hooks;

struct hooks_user {
	bool change; /* we are root: hooks become the next two */
	uid_t user;
	gid_t group;
};
struct hooks *hooks_new(struct loop *l, const struct hooks_user *as);
/* Kills what runs. */
void hooks_free(struct hooks *h);
void hooks_set_user(struct hooks *h, const struct hooks_user *as);

/* Run PROGRAM (an absolute path) for an event, soon. All is copied. ERR_VALUE: what a child sent
 * is no event of ours, no id, no word. ERR_QUEUE_FULL: dropped. */
enum err hooks_run(struct hooks *h, const char *program, const char *event, const char *id,
    const char *kind) MUST_CHECK;
/* Look whether a hook has ended: on each SIGCHLD. */
void hooks_reap(struct hooks *h);
unsigned hooks_running(const struct hooks *h);

#endif
