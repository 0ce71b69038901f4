/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting without asking again and again: the office tells of each change.
 * Two connections: one on which it tells, one on which is asked. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/said.h"
#include "cli/words.h"
#include "proto/ids.h"

#define LOOK_AGAIN_MS (5 * SECOND_MS) /* should the office have nothing to tell */
#define WAIT_DEFAULT_MS (60 * SECOND_MS)

const struct option_row wait_options[] = {
	{ "for", 0, N_("STATE"), N_("stored, opened, seen or answered (stored)"), false },
	{ "timeout", 0, N_("TIME"), N_("wait no longer than this: 30s, 15m, 4h, 2d (60s)"), false },
	{ 0 }
};

/* How far a state is on the way; -1: the way has ended before. */
static int
rank_of(const char *state)
{
	static const char *const states[] = { "queued", "relayed", "stored", "opened", "seen",
		"answered" };
	for (int i = 0; i < 6; i++) {
		if (strcmp(state, states[i]) == 0)
			return i;
	}
	return -1;
}

struct waiting {
	const char *id, *state;
	int rank;
	int64_t deadline_ms;
	Citex__Answer *tracking; /* the newest; owned */
};

static enum err
parse_options(struct call *c, struct waiting *w)
{
	const char *state = arguments_value(&c->given, "for");
	const char *timeout = arguments_value(&c->given, "timeout");
	int64_t wait_ms = WAIT_DEFAULT_MS;
	w->id = c->given.words[0];
	w->state = state != NULL ? state : "stored";
	w->rank = rank_of(w->state);
	if (w->rank < 1)
		return failure_set(&c->why, ERR_USAGE,
		    _("--for: `%s' is none of: relayed, stored, opened, seen, answered"), w->state);
	if (timeout != NULL && duration_parse(timeout, &wait_ms) != OK)
		return failure_set(&c->why, ERR_USAGE,
		    _("--timeout: `%s' is no time, as 30s, 15m, 4h or 2d"), timeout);
	w->deadline_ms = client_mono_ms() + wait_ms;
	return OK;
}

/* OK: all are so far. ERR_LATER: not yet. ERR_DENIED: one never will be. */
static enum err
look(struct call *c, struct client *client, struct waiting *w)
{
	Citex__Track track = CITEX__TRACK__INIT;
	Citex__Request r = CITEX__REQUEST__INIT;
	enum err e;
	track.id = (char *)(uintptr_t)w->id;
	r.what_case = CITEX__REQUEST__WHAT_TRACK;
	r.track = &track;
	if (w->tracking != NULL)
		proto_wipe(&w->tracking->base);
	w->tracking = NULL;
	e = client_ask(client, &r, CITEX__ANSWER__WHAT_TRACKING, &w->tracking);
	if (e != OK)
		return e;
	for (size_t i = 0; i < w->tracking->tracking->n_addressees; i++) {
		const Citex__Addressee *a = w->tracking->tracking->addressees[i];
		int rank = rank_of(a->state);
		if (rank < 0)
			return failure_set(&c->why, ERR_DENIED, "%s: %s%s%s%s%s", a->authority,
			    said_word(a->state), a->reason[0] != '\0' ? ", " : "", a->reason,
			    a->words[0] != '\0' ? ", " : "", a->words);
		if (rank < w->rank)
			e = ERR_LATER;
	}
	return e;
}

static enum err
watch_start(struct client *client)
{
	Citex__Watch watch = CITEX__WATCH__INIT;
	Citex__Request r = CITEX__REQUEST__INIT;
	r.what_case = CITEX__REQUEST__WHAT_WATCH;
	r.watch = &watch;
	return client_send(client, &r);
}

static enum err
too_late(struct call *c, const struct waiting *w)
{
	CLEANUP(buffer_release) struct buffer who = { 0 };
	const Citex__Tracking *t = w->tracking->tracking;
	size_t missing = 0;
	for (size_t i = 0; i < t->n_addressees; i++) {
		const Citex__Addressee *a = t->addressees[i];
		if (rank_of(a->state) >= w->rank || ++missing > 5)
			continue;
		buffer_printf(
		    &who, "%s%s: %s", missing > 1 ? ", " : "", a->authority, said_word(a->state));
		if (a->reason[0] != '\0')
			buffer_printf(&who, " (%s)", a->reason);
	}
	if (missing > 5)
		buffer_printf(&who, _(" and %zu more"), missing - 5);
	return failure_set(&c->why, ERR_TIMEOUT,
	    _("not %s in the time given: %s. It stays on its way; see: citex track %s"),
	    said_word(w->state), buffer_text(&who), w->id);
}

/* Until something was told, or it is time to look. */
static enum err
rest(struct call *c, struct client *teller, const struct waiting *w)
{
	CLEANUP(proto_wipe_drop) Citex__Answer *event = NULL;
	int64_t left = w->deadline_ms - client_mono_ms();
	enum err e;
	if (left <= 0)
		return too_late(c, w);
	client_set_timeout(teller, left < LOOK_AGAIN_MS ? left : LOOK_AGAIN_MS);
	e = client_receive(teller, CITEX__ANSWER__WHAT_EVENT, &event);
	return e == ERR_TIMEOUT ? OK : e;
}

static void
print_waited(struct call *c, const struct waiting *w)
{
	const Citex__Tracking *t = w->tracking->tracking;
	if (c->out.json) {
		output_message(&c->out, &t->base);
		return;
	}
	for (size_t i = 0; i < t->n_addressees; i++) {
		char when[32];
		pretty_time(t->addressees[i]->since, when);
		output_say(&c->out, _("%s: %s since %s UTC"), t->addressees[i]->authority,
		    said_word(t->addressees[i]->state), when);
	}
}

enum err
cmd_wait(struct call *c)
{
	CLEANUP(client_drop) struct client *asker = NULL;
	CLEANUP(client_drop) struct client *teller = NULL;
	struct waiting w = { 0 };
	enum err e = parse_options(c, &w);
	if (e == OK)
		e = call_office(c, &asker);
	if (e == OK)
		e = call_office(c, &teller);
	if (e == OK)
		e = watch_start(teller);
	if (e == OK)
		e = look(c, asker, &w);
	while (e == ERR_LATER && c->why.err == OK) {
		e = rest(c, teller, &w);
		if (e == OK)
			e = look(c, asker, &w);
	}
	if (e == OK)
		print_waited(c, &w);
	if (w.tracking != NULL)
		proto_wipe(&w.tracking->base);
	return e;
}

static void
print_event(struct output *o, const Citex__Event *event)
{
	char id[ID_TEXT_BYTES], when[32];
	short_id(event->id, id);
	pretty_time(event->time, when);
	output_say(o, "%s  %-9s  %s  %s  %s  %s", when, event->event, id, said_word(event->kind),
	    event->authority, said_word(event->state));
	(void)fflush(o->to);
}

enum err
cmd_watch(struct call *c)
{
	CLEANUP(client_drop) struct client *teller = NULL;
	enum err e = call_office(c, &teller);
	if (e == OK)
		e = watch_start(teller);
	if (e != OK)
		return e;
	client_set_timeout(teller, CLIENT_FOR_EVER_MS);
	while (e == OK && !ferror(c->out.to)) {
		CLEANUP(proto_wipe_drop) Citex__Answer *answer = NULL;
		e = client_receive(teller, CITEX__ANSWER__WHAT_EVENT, &answer);
		if (e == OK && c->out.json)
			output_json_line(&c->out, json_of_message(&answer->event->base));
		else if (e == OK)
			print_event(&c->out, answer->event);
	}
	return e;
}
