/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_COUNTER_H
#define DAEMON_COUNTER_H

#include <sys/types.h>

#include "daemon/loop.h"
#include "proto/desk.pb-c.h"
#include "proto/frame.h"

/* The counter at which programs of this machine ask: the officers' socket of
 * an office, the administrators' of a post. Who they are is the kernel's word.
 * A table says which requests there are and who may make them. Whatever bytes
 * come, the worst that happens is that their sender is put out: counted, logged,
 * closed. Loop thread only. */
struct counter;

/* Whom a user of this machine is here. */
struct visitor {
	char name[OFFICER_MAX_BYTES + 1];
	uid_t user;
	unsigned may; /* bits, as in the table */
	uint64_t visit; /* the connection: a number that comes once in a process, never 0 */
};

/* One request on its way to its answer. It ends with turn_answer() or
 * turn_fail(), once; its visitor may be gone before, and is told nothing then. */
struct turn;

struct counter_row {
	Citex__Request__WhatCase what; /* 0 ends the table */
	const char *name; /* for logs and words */
	unsigned may; /* what the visitor must have, all of it */
	/* The next request may begin before this one is answered: it keeps its order by itself, or
	 * there is no next one. */
	bool overlaps;
	void (*run)(void *arg, struct turn *t, const Citex__Request *r);
};

struct counter_rules {
	const char *whose; /* "the office of ke.ma", for words */
	const struct counter_row *rows;
	/* Fill *OUT when USER is somebody here. */
	bool (*who)(void *arg, uid_t user, struct visitor *out);
	void *arg; /* for WHO, RUN and LEFT */
	/* Who was let in is gone, put out or not: what was kept for the visit may go. Turns of it
	 * may still be under way. May be NULL. */
	void (*left)(void *arg, const struct visitor *v);
};

/* Listen on FD, which stays the caller's; RULES are copied, what they point to must outlive the
 * counter. At most DESK_CLIENTS_MAX visitors, DESK_CLIENTS_PER_USER_MAX of one user. */
struct counter *counter_new(struct loop *l, int fd, const struct counter_rules *rules);
/* Puts everybody out. Turns under way stay until they are ended. */
void counter_free(struct counter *c);

struct counter_figures {
	unsigned visitors; /* now */
	uint64_t denied; /* users who are nobody here */
	uint64_t malformed; /* put out for bytes that are no request */
};
struct counter_figures counter_figures(const struct counter *c);

/* Borrowed until the turn ends. */
const struct visitor *turn_visitor(const struct turn *t);
const Citex__Request *turn_request(const struct turn *t);
/* Has the visitor left? Then nobody hears the answer; what was begun goes on or not as its owner
 * likes. */
bool turn_is_gone(const struct turn *t);

/* Send A, whose number is set here. ANSWER ends T; after MORE further ones follow. */
void turn_answer(struct turn *t, Citex__Answer *a);
void turn_more(struct turn *t, Citex__Answer *a);
/* End T with a Failure: words for a person that say what failed and what to do; "" for those of E.
 */
void turn_fail(struct turn *t, enum err e, const char *fmt, ...) PRINTF(3, 4);
/* End T with Done, or with a Failure of E and its words. */
void turn_done(struct turn *t, enum err e);

/* For streams. Is more than SEND_HIGH_BYTES still on its way to the visitor? Then wait: FN(ARG) is
 * called once when there is room again, or when the visitor is gone. */
bool turn_is_full(const struct turn *t);
void turn_when_room(struct turn *t, loop_fn *fn, void *arg);

#endif
