/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_CHILD_H
#define DAEMON_CHILD_H

#include "daemon/loop.h"
#include "daemon/sandbox.h"
#include "pki/secret.h"
#include "proto/start.pb-c.h"

/* A process that the supervisor started, seen from within: what it was given,
 * and the control channel (proto/start.proto). A child without its supervisor
 * ends by itself. */
struct child;

#define CHILD_CONTROL_FD 3
#define CHILD_FIRST_FD 4

/* Read passphrase and Start from the control channel, open the log as WHO and the name in it, and
 * go through sandbox_early(). COUNT is how many descriptors follow the channel by that Start.
 * ERR_CLOSED, ERR_MALFORMED, ERR_SYSTEM. */
typedef unsigned child_count_fn(const Citex__Start *start);
enum err child_new(const char *who, child_count_fn *count, struct child **out) MUST_CHECK;
void child_free(struct child *c);

const Citex__Start *child_start(const struct child *c); /* borrowed */
struct secret *child_passphrase(struct child *c); /* borrowed; to be released when keys are read */
/* What to become, by Start. */
void child_sandbox(const struct child *c, enum sandbox_role role, struct sandbox *out);

struct child_events {
	/* A directory file was installed; borrowed. May be NULL. */
	void (*directory)(void *arg, struct bytes file);
};
/* Listen to the supervisor from now on: on L, which is stopped when it says so, when it is gone,
 * or on SIGTERM. Before sandbox_filter(). */
void child_attach(struct child *c, struct loop *l, const struct child_events *events, void *arg);
/* Tell the supervisor that we are at work. */
void child_ready(struct child *c);
/* Ask it to run the program for EVENT (new, due, alarm), if there is one. */
void child_hook(struct child *c, const char *event, const char *id, const char *kind);

#endif
