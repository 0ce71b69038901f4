/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of local programs. Knows who asks and in which order, and nothing
 * of what is asked: that is the table's.
 *
 * Answers leave in the order of the requests: a request that does not overlap
 * waits until those before it are answered, and nothing is read meanwhile. A
 * visitor who does not read its answers is not read either; one who does not
 * read what it is told unasked (a stream without end) is put out. */
#include "daemon/counter.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/link.h"
#include "daemon/log.h"

#define OVERLAP_MAX 16 /* turns of one visitor under way: 1 MiB of pieces */
#define WORDS_BYTES 1024

struct guest {
	struct counter *counter; /* NULL: put out; freed with its last turn */
	struct link *link;
	struct visitor visitor;
	bool admitted;
	unsigned turns;
	struct turn *waiting; /* not begun: those before it are to be answered first */
	struct turn *first; /* all that are begun */
	struct guest *next;
};

struct turn {
	struct guest *guest;
	Citex__Request *request;
	const struct counter_row *row;
	loop_fn *room;
	void *room_arg;
	struct turn *next;
};

struct counter {
	struct loop *loop;
	struct listener *listener;
	struct counter_rules rules;
	struct guest *guests;
	uint64_t visits;
	struct counter_figures figures;
};

static const struct counter_row *
row_of(const struct counter *c, Citex__Request__WhatCase what)
{
	for (const struct counter_row *row = c->rules.rows; row->what != 0; row++) {
		if (row->what == what)
			return row;
	}
	return NULL;
}

static void
turn_free(struct turn *t)
{
	proto_wipe(&t->request->base);
	free(t);
}

static void
guest_free_if_done(struct guest *g)
{
	if (g->counter == NULL && g->turns == 0)
		free(g);
}

/* G is no guest any more: its turns go on, and nobody hears of them. */
static void
forget(struct guest *g)
{
	struct counter *c = g->counter;
	struct guest **at = &c->guests;
	while (*at != g)
		at = &(*at)->next;
	*at = g->next;
	c->figures.visitors -= g->admitted;
	g->counter = NULL;
	g->link = NULL;
	if (g->waiting != NULL)
		turn_free(g->waiting);
	g->waiting = NULL;
	for (struct turn *t = g->first; t != NULL; t = t->next) {
		if (t->room != NULL)
			loop_defer(c->loop, t->room, t->room_arg);
		t->room = NULL;
	}
	if (g->admitted && c->rules.left != NULL)
		c->rules.left(c->rules.arg, &g->visitor);
	guest_free_if_done(g);
}

static void
put_out(struct guest *g)
{
	link_close(g->link);
	forget(g);
}

static void
send_answer(struct guest *g, const Citex__Answer *a)
{
	struct buffer out = { 0 };
	frame_write(&a->base, &out);
	if (buffer_status(&out) == OK)
		link_send(g->link, buffer_bytes(&out));
	buffer_wipe(&out);
}

static void
send_failure(struct guest *g, uint32_t number, enum err e, const char *words)
{
	Citex__Failure failure = CITEX__FAILURE__INIT;
	Citex__Answer a = CITEX__ANSWER__INIT;
	failure.error = (char *)(uintptr_t)err_name(e);
	failure.words = (char *)(uintptr_t)(words[0] != '\0' ? words : err_words(e));
	a.number = number;
	a.what_case = CITEX__ANSWER__WHAT_FAILURE;
	a.failure = &failure;
	send_answer(g, &a);
}

/* Read G's next request, or not yet. */
static void
set_pause(struct guest *g)
{
	link_pause(g->link,
	    g->waiting != NULL || g->turns >= OVERLAP_MAX ||
		(g->turns > 0 && !g->first->row->overlaps) ||
		link_queued_bytes(g->link) > SEND_HIGH_BYTES);
}

static void
begin(struct guest *g, struct turn *t)
{
	struct counter *c = g->counter;
	t->next = g->first;
	g->first = t;
	g->turns++;
	t->row->run(c->rules.arg, t, t->request); /* may end T, and G with it */
}

/* T, of G, is over. */
static void
end(struct turn *t)
{
	struct guest *g = t->guest;
	struct turn **at = &g->first, *waiting;
	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
	g->turns--;
	turn_free(t);
	if (g->counter == NULL) {
		guest_free_if_done(g);
		return;
	}
	waiting = g->waiting;
	if (waiting != NULL && g->turns == 0) {
		g->waiting = NULL;
		begin(g, waiting);
		return;
	}
	set_pause(g);
}

/* What stands against asking this, in WORDS. */
static enum err
judge(const struct guest *g, const Citex__Request *r, const struct counter_row *row, char *words)
{
	if (row == NULL) {
		(void)snprintf(words, WORDS_BYTES,
		    "%s does not know this request: it is for "
		    "another socket, or of a newer citex",
		    g->counter->rules.whose);
		return ERR_UNEXPECTED;
	}
	if ((g->visitor.may & row->may) != row->may) {
		(void)snprintf(words, WORDS_BYTES,
		    "%s may not do this (%s) at %s; its administrator can allow it in the "
		    "configuration",
		    g->visitor.name, row->name, g->counter->rules.whose);
		return ERR_DENIED;
	}
	(void)r;
	return OK;
}

/* Takes R. */
static void
take_request(struct guest *g, Citex__Request *r)
{
	const struct counter_row *row = row_of(g->counter, r->what_case);
	char words[WORDS_BYTES] = "";
	enum err e = judge(g, r, row, words);
	struct turn *t;
	if (e != OK) {
		log_event(LEVEL_INFO, "request-refused", LOG_TEXT("who", g->visitor.name),
		    LOG_TEXT("request", row != NULL ? row->name : "unknown"), LOG_ERR(e));
		send_failure(g, r->number, e, words);
		proto_wipe(&r->base);
		return;
	}
	t = xalloc(sizeof(*t));
	t->guest = g;
	t->request = r;
	t->row = row;
	if (g->turns == 0 || (row->overlaps && g->first->row->overlaps)) {
		begin(g, t);
		return;
	}
	g->waiting = t;
}

static void
malformed(struct guest *g, enum err why)
{
	g->counter->figures.malformed++;
	log_event(LEVEL_WARNING, "malformed-request", LOG_TEXT("who", g->visitor.name),
	    LOG_NUM("user", g->visitor.user), LOG_ERR(why));
}

static void
on_frame(void *arg, struct link *l, struct bytes frame)
{
	struct guest *g = arg;
	struct counter *c = g->counter;
	ProtobufCMessage *m = NULL;
	enum err e = proto_unpack(&citex__request__descriptor, frame, &m);
	(void)l;
	if (e == OK && ((Citex__Request *)m)->what_case == CITEX__REQUEST__WHAT__NOT_SET) {
		proto_wipe(m);
		e = ERR_MALFORMED;
	}
	if (e != OK) {
		malformed(g, e);
		send_failure(g, 0, ERR_MALFORMED, "");
		put_out(g);
		return;
	}
	take_request(g, (Citex__Request *)m);
	for (struct guest *still = c->guests; still != NULL; still = still->next) {
		if (still == g)
			set_pause(g);
	}
}

static void
on_drained(void *arg, struct link *l)
{
	struct guest *g = arg;
	(void)l;
	for (struct turn *t = g->first; t != NULL; t = t->next) {
		if (t->room != NULL)
			loop_defer(g->counter->loop, t->room, t->room_arg);
		t->room = NULL;
	}
	set_pause(g);
}

static void
on_closed(void *arg, struct link *l, enum err why, const char *words)
{
	struct guest *g = arg;
	(void)l;
	if (why != ERR_CLOSED && why != OK) {
		g->counter->figures.malformed++;
		log_event(LEVEL_WARNING, "visitor-lost", LOG_TEXT("who", g->visitor.name),
		    LOG_ERR(why), LOG_TEXT("words", words));
	}
	forget(g);
}

static unsigned
visitors_of(const struct counter *c, uid_t user)
{
	unsigned n = 0;
	for (const struct guest *g = c->guests; g != NULL; g = g->next)
		n += g->admitted && g->visitor.user == user;
	return n;
}

/* Is there a place for the user behind G's link? Words go to WORDS. */
static enum err
admit(struct counter *c, struct guest *g, char *words)
{
	uid_t user = g->visitor.user;
	bool known = c->rules.who(c->rules.arg, user, &g->visitor);
	g->visitor.user = user;
	g->visitor.visit = ++c->visits;
	if (!known) {
		c->figures.denied++;
		log_event(LEVEL_WARNING, "user-denied", LOG_NUM("user", user),
		    LOG_NUM("process", link_peer_pid(g->link)));
		(void)snprintf(words, WORDS_BYTES,
		    "user %u of this machine is nobody at %s; its administrator can enter you in "
		    "the "
		    "configuration",
		    (unsigned)user, c->rules.whose);
		return ERR_DENIED;
	}
	if (c->figures.visitors >= DESK_CLIENTS_MAX ||
	    visitors_of(c, user) >= DESK_CLIENTS_PER_USER_MAX) {
		(void)snprintf(words, WORDS_BYTES,
		    "too many programs speak with %s at once; end some and try again",
		    c->rules.whose);
		return ERR_BUSY;
	}
	g->admitted = true;
	c->figures.visitors++;
	return OK;
}

/* What is sent before this would be lost with the link. */
static void
on_opened(void *arg, struct link *l, const char *peer)
{
	struct guest *g = arg;
	char words[WORDS_BYTES] = "";
	enum err e = admit(g->counter, g, words);
	(void)l;
	(void)peer;
	if (e == OK)
		return;
	send_failure(g, 0, e, words);
	put_out(g);
}

static const struct link_events events = {
	.opened = on_opened,
	.frame = on_frame,
	.drained = on_drained,
	.closed = on_closed,
};

static void
on_accept(void *arg, int fd, const char *address)
{
	struct counter *c = arg;
	struct guest *g = xalloc(sizeof(*g));
	(void)address;
	g->counter = c;
	g->link = link_accept_local(c->loop, fd, &events, g);
	g->visitor.user = link_peer_uid(g->link);
	g->next = c->guests;
	c->guests = g;
}

struct counter *
counter_new(struct loop *l, int fd, const struct counter_rules *rules)
{
	struct counter *c = xalloc(sizeof(*c));
	c->loop = l;
	c->rules = *rules;
	c->listener = listener_new(l, fd, on_accept, c);
	return c;
}

void
counter_free(struct counter *c)
{
	if (c == NULL)
		return;
	listener_free(c->listener);
	while (c->guests != NULL)
		put_out(c->guests);
	free(c);
}

struct counter_figures
counter_figures(const struct counter *c)
{
	return c->figures;
}

const struct visitor *
turn_visitor(const struct turn *t)
{
	return &t->guest->visitor;
}

const Citex__Request *
turn_request(const struct turn *t)
{
	return t->request;
}

bool
turn_is_gone(const struct turn *t)
{
	return t->guest->counter == NULL;
}

/* Send A for T, or a Failure when it is larger than a frame. */
static void
reply(struct turn *t, Citex__Answer *a, bool more)
{
	if (turn_is_gone(t))
		return;
	a->number = t->request->number;
	a->more = more;
	if (protobuf_c_message_get_packed_size(&a->base) > FRAME_MAX_BYTES)
		send_failure(t->guest, a->number, ERR_TOO_LARGE, "");
	else
		send_answer(t->guest, a);
}

void
turn_answer(struct turn *t, Citex__Answer *a)
{
	reply(t, a, false);
	end(t);
}

void
turn_more(struct turn *t, Citex__Answer *a)
{
	reply(t, a, true);
}

void
turn_fail(struct turn *t, enum err e, const char *fmt, ...)
{
	char words[WORDS_BYTES];
	va_list args;
	va_start(args, fmt);
	(void)vsnprintf(words, sizeof(words), fmt, args);
	va_end(args);
	if (!turn_is_gone(t))
		send_failure(t->guest, t->request->number, e, words);
	end(t);
}

void
turn_done(struct turn *t, enum err e)
{
	Citex__Done done = CITEX__DONE__INIT;
	Citex__Answer a = CITEX__ANSWER__INIT;
	if (e != OK) {
		turn_fail(t, e, "%s", "");
		return;
	}
	a.what_case = CITEX__ANSWER__WHAT_DONE;
	a.done = &done;
	turn_answer(t, &a);
}

bool
turn_is_full(const struct turn *t)
{
	return !turn_is_gone(t) && link_queued_bytes(t->guest->link) > SEND_HIGH_BYTES;
}

void
turn_when_room(struct turn *t, loop_fn *fn, void *arg)
{
	t->room = fn;
	t->room_arg = arg;
}
