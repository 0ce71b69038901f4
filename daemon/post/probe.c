/* SPDX-License-Identifier: Apache-2.0 */
/* Is the path to a node good? Tried for real: over the conversation that would
 * carry its mail, dialled at once when there is none. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/post/inside.h"

#define PROBE_MAX_MS (15 * SECOND_MS)
#define PROBES_MAX 64

struct probe {
	uint32_t number; /* of ours */
	char node[NODE_MAX_BYTES + 1];
	struct conn *conn; /* that was asked; a reference; NULL: not yet */
	int64_t sent_ms, until_ms;
	probe_fn *fn;
	void *arg;
	struct probe *next;
};

struct probes {
	struct post *post;
	struct timer *timer;
	struct probe *first;
	unsigned count;
	uint32_t last_number;
};

static void
tell(probe_fn *fn, void *arg, const char *node, enum err why, const char *words, int64_t trip_ms,
    uint64_t time)
{
	Citex__ProbeResult r = CITEX__PROBE_RESULT__INIT;
	char reason[64];

	strncpy(reason, err_name(why), sizeof(reason) - 1);
	reason[sizeof(reason) - 1] = '\0';
	r.node = (char *)(uintptr_t)node;
	r.reason = reason;
	r.words = (char *)(uintptr_t)words;
	r.round_trip_us = (uint64_t)trip_ms * 1000;
	r.time = time;
	fn(arg, &r);
}

static void
set_timer(struct probes *x)
{
	int64_t at_ms = INT64_MAX;

	for (const struct probe *b = x->first; b != NULL; b = b->next) {
		if (b->until_ms < at_ms)
			at_ms = b->until_ms;
	}
	timer_set(x->timer, at_ms);
}

static void
end(struct probes *x, struct probe *b, enum err why, const char *words, uint64_t time)
{
	struct probe **at = &x->first;
	int64_t trip_ms = b->conn != NULL ? loop_now(x->post->loop).mono_ms - b->sent_ms : 0;

	while (*at != b)
		at = &(*at)->next;
	*at = b->next;
	x->count--;
	tell(b->fn, b->arg, b->node, why, words, trip_ms, time);
	if (b->conn != NULL)
		conn_unref(b->conn);
	free(b);
	set_timer(x);
}

static void
send_probe(struct probe *b, struct conn *c)
{
	Citex__Frame frame = CITEX__FRAME__INIT;
	Citex__Probe probe = CITEX__PROBE__INIT;

	b->conn = conn_ref(c);
	b->sent_ms = loop_now(c->post->loop).mono_ms;
	probe.number = b->number;
	probe.node = c->name;
	frame.body_case = CITEX__FRAME__BODY_PROBE;
	frame.probe = &probe;
	conn_send(c, &frame);
}

static void
on_timer(void *arg)
{
	struct probes *x = arg;
	int64_t now_ms = loop_now(x->post->loop).mono_ms;

	for (struct probe *b = x->first, *next; b != NULL; b = next) {
		next = b->next;
		if (b->until_ms <= now_ms)
			end(x, b, ERR_TIMEOUT,
			    b->conn != NULL ? "connected, but no answer" : "no connection in time",
			    0);
	}
	set_timer(x);
}

/* Nothing is to be tried: say why. */
static bool
is_settled(struct post *p, const char *node, enum err *why, const char **words)
{
	const struct directory_node *d =
	    p->directory != NULL ? directory_node(p->directory, node) : NULL;

	*why = OK;
	*words = "";
	if (p->directory == NULL) {
		*why = ERR_DIRECTORY;
		*words = "this node has no directory yet";
		return true;
	}
	if (strcmp(node, p->config.node) == 0) {
		*words = "this node itself";
		return true;
	}
	if (d == NULL) {
		*why = ERR_NOT_FOUND;
		*words = "the directory has no such node";
		return true;
	}
	if (peers_carrier(p, node) == NULL && p->config.relay_for != NULL &&
	    route_relays_for(&(struct route_self){ .relay_for = p->config.relay_for }, node)) {
		*why = ERR_UNREACHABLE;
		*words = "it dials this node, and is not connected now; its mail waits here";
		return true;
	}
	return false;
}

void
probe_begin(struct post *p, const char *name, probe_fn *fn, void *arg)
{
	struct probes *x = p->probes;
	const struct directory_authority *a =
	    p->directory != NULL ? directory_authority(p->directory, name) : NULL;
	const char *node = name, *words, *hop;
	struct conn *c;
	struct probe *b;
	enum err why;

	/* A node has one word, an authority may: `secretariat' is both, mostly the same. */
	if (a != NULL && directory_node(p->directory, name) == NULL)
		node = a->node;
	if (is_settled(p, node, &why, &words)) {
		tell(fn, arg, node, why, words, 0, (uint64_t)loop_now(p->loop).utc_ms);
		return;
	}
	if (x->count >= PROBES_MAX) {
		tell(fn, arg, node, ERR_BUSY, "too many probes are under way", 0, 0);
		return;
	}
	b = xalloc(sizeof(*b));
	b->number = ++x->last_number;
	strncpy(b->node, node, sizeof(b->node) - 1);
	b->until_ms = loop_now(p->loop).mono_ms + PROBE_MAX_MS;
	b->fn = fn;
	b->arg = arg;
	b->next = x->first;
	x->first = b;
	x->count++;
	set_timer(x);
	c = peers_carrier(p, node);
	if (c != NULL) {
		send_probe(b, c);
		return;
	}
	(void)peers_retry(p, node, &words, &hop);
	peers_want(p, hop);
}

void
probe_ready(struct post *p, struct conn *c)
{
	for (struct probe *b = p->probes->first, *next; b != NULL; b = next) {
		next = b->next;
		if (b->conn == NULL && peers_carrier(p, b->node) == c)
			send_probe(b, c);
	}
}

void
probe_failed(struct post *p, const char *node, enum err why, const char *words)
{
	for (struct probe *b = p->probes->first, *next; b != NULL; b = next) {
		const char *last, *hop;
		next = b->next;
		(void)peers_retry(p, b->node, &last, &hop);
		if (b->conn != NULL ? strcmp(b->conn->name, node) == 0 && b->conn->dead
				    : strcmp(b->node, node) == 0 || strcmp(hop, node) == 0)
			end(p->probes, b, why, words, 0);
	}
}

/* --- frames --- */

static void
answer_peer(struct conn *c, const Citex__Probe *probe)
{
	Citex__Frame frame = CITEX__FRAME__INIT;
	Citex__ProbeResult r = CITEX__PROBE_RESULT__INIT;
	char reason[64];

	strncpy(reason, err_name(OK), sizeof(reason) - 1);
	reason[sizeof(reason) - 1] = '\0';
	r.number = probe->number;
	r.node = c->post->self.node;
	r.reason = reason;
	r.time = (uint64_t)loop_now(c->post->loop).utc_ms;
	frame.body_case = CITEX__FRAME__BODY_PROBE_RESULT;
	frame.probe_result = &r;
	conn_send(c, &frame);
}

/* An office that asked. */
struct asker {
	struct conn *conn;
	uint32_t number;
};

static void
answer_office(void *arg, const Citex__ProbeResult *result)
{
	struct asker *a = arg;
	Citex__Frame frame = CITEX__FRAME__INIT;
	Citex__ProbeResult r = *result;

	r.number = a->number;
	frame.body_case = CITEX__FRAME__BODY_PROBE_RESULT;
	frame.probe_result = &r;
	conn_send(a->conn, &frame);
	conn_unref(a->conn);
	free(a);
}

static void
take_result(struct conn *c, const Citex__ProbeResult *r)
{
	struct probes *x = c->post->probes;
	char words[128] = "";

	for (struct probe *b = x->first; b != NULL; b = b->next) {
		if (b->number != r->number || b->conn != c)
			continue;
		if (strcmp(c->name, b->node) != 0)
			(void)snprintf(
			    words, sizeof(words), "as far as %s, which carries its mail", c->name);
		end(x, b, err_from_name(r->reason), words, r->time);
		return;
	}
}

void
probe_frame(struct conn *c, const Citex__Frame *f)
{
	struct asker *a;

	if (f->body_case == CITEX__FRAME__BODY_PROBE_RESULT) {
		take_result(c, f->probe_result);
		return;
	}
	if (c->kind == CONN_PEER) {
		answer_peer(c, f->probe);
		return;
	}
	a = xalloc(sizeof(*a));
	a->conn = conn_ref(c);
	a->number = f->probe->number;
	probe_begin(c->post, f->probe->node, answer_office, a);
}

struct probes *
probes_new(struct post *p)
{
	struct probes *x = xalloc(sizeof(*x));

	x->post = p;
	x->timer = timer_new(p->loop, on_timer, x);
	return x;
}

void
probes_free(struct probes *x)
{
	if (x == NULL)
		return;
	while (x->first != NULL)
		end(x, x->first, ERR_CLOSED, "this node is stopping", 0);
	timer_free(x->timer);
	free(x);
}
