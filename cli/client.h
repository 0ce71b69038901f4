/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_CLIENT_H
#define CLI_CLIENT_H

#include "cli/failure.h"
#include "proto/desk.pb-c.h"
#include "proto/frame.h"

/* Requests over the socket of an office (or, for administrators, of a post),
 * and their answers. Waits, with a time limit; what goes wrong is said in the
 * failure that the client was given. */
struct client;

#define CLIENT_TIMEOUT_MS (30 * SECOND_MS) /* for one answer */
#define CLIENT_LONG_TIMEOUT_MS \
	(180 * SECOND_MS) /* doctor, probe: real paths with their own limits */
#define CLIENT_FOR_EVER_MS INT64_MAX

/* Connect to the office of AUTHORITY (NULL or "": the only one there is) in
 * $CITEX_RUN, else CITEX_RUNDIR. ERR_USAGE, ERR_UNREACHABLE, ERR_DENIED.
 * F must live as long as the client. */
enum err client_open_office(const char *authority, struct failure *f, struct client **out)
    MUST_CHECK;
/* The same for the post of NODE. */
enum err client_open_node(const char *node, struct failure *f, struct client **out) MUST_CHECK;
/* Over a connected socket, which the client owns: for tests. */
struct client *client_new(int fd, const char *name, struct failure *f);
void client_free(struct client *c); /* NULL too */
void client_drop(struct client **c); /* fits CLEANUP() */
/* The authority or node that it speaks with; borrowed. */
const char *client_name(const struct client *c);

void client_set_timeout(struct client *c, int64_t timeout_ms);

/* Send R, whose number is set here, and do not wait. */
enum err client_send(struct client *c, Citex__Request *r) MUST_CHECK;
/* The next answer, which must be a WANT: *OUT is the caller's (proto_wipe()).
 * A Failure from the other side is returned as its error with its words. With
 * ERR_TIMEOUT no words are set: the caller may try again. */
enum err client_receive(struct client *c, Citex__Answer__WhatCase want, Citex__Answer **out)
    MUST_CHECK;
/* Both. Words are set for each failure. */
enum err client_ask(struct client *c, Citex__Request *r, Citex__Answer__WhatCase want,
    Citex__Answer **out) MUST_CHECK;

/* A descriptor that is readable when an answer may be there: for waiting on several. */
int client_fd(const struct client *c);

/* The two clocks of the program: for deadlines, and for the id of a new message. */
int64_t client_mono_ms(void);
int64_t client_utc_ms(void);

#endif
