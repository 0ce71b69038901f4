/* SPDX-License-Identifier: Apache-2.0 */
/* An office wants envelopes back. They go back only when it is certain that no
 * other node was ever offered one: stored once, for a node, and later than
 * whatever its lane gave out. What was there before a crash is not certain, for
 * attempts are written to the disk at a clean end only. While the spool is
 * being told, outgo.c asks here and does not offer them.
 *
 * Yes is said after the commit. An office that does not hear it (a crash, a
 * broken line) offers its envelopes again, and they are taken in again: never
 * is one neither here nor offered nor withdrawn. */
#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/post/inside.h"

#define TAKEBACKS_MAX 16 /* under way */

struct takeback {
	struct errand errand;
	uint32_t number;
	struct spool_place *at; /* owned */
	size_t count;
	bool parts; /* one of them has attachments */
	struct spool_news news;
	struct takeback *next;
};

bool
takeback_holds(const struct post *p, uint64_t ticket)
{
	for (const struct takeback *x = p->takebacks; x != NULL; x = x->next) {
		for (size_t i = 0; i < x->count; i++) {
			if (x->at[i].ticket == ticket)
				return true;
		}
	}
	return false;
}

static void
answer(struct conn *c, uint32_t number, enum err why, ProtobufCBinaryData *left, size_t count)
{
	Citex__Frame frame = CITEX__FRAME__INIT;
	Citex__TakeBackResult r = CITEX__TAKE_BACK_RESULT__INIT;
	char reason[64];

	strncpy(reason, err_name(why), sizeof(reason) - 1);
	reason[sizeof(reason) - 1] = '\0';
	r.number = number;
	r.reason = reason;
	r.left = left;
	r.n_left = count;
	frame.body_case = CITEX__FRAME__BODY_TAKE_BACK_RESULT;
	frame.take_back_result = &r;
	log_event(LEVEL_INFO, "take-back", LOG_TEXT("office", c->name), LOG_ERR(why));
	conn_send(c, &frame);
}

static enum err
write_takeback(struct errand *e, struct txn *t)
{
	struct takeback *x = (struct takeback *)e;

	return spool_take_back(e->post->spool, t, x->at, x->count, &x->news);
}

static void
wrote_takeback(struct errand *e, enum err result)
{
	struct takeback *x = (struct takeback *)e;

	if (result == OK) {
		post_tell_news(e->post, &x->news);
		if (x->parts)
			chores_sweep(e->post);
	}
	/* not found: one was moved or has expired meanwhile */
	answer(e->conn, x->number, result == ERR_NOT_FOUND ? ERR_BUSY : result, NULL, 0);
	errand_end(e);
}

static void
release_takeback(struct errand *e)
{
	struct takeback *x = (struct takeback *)e;
	struct takeback **at = &e->post->takebacks;

	while (*at != x)
		at = &(*at)->next;
	*at = x->next;
	spool_news_release(&x->news);
	free(x->at);
}

/* Was what waits at AT certainly never offered to another node? */
static bool
never_left(const struct post *p, const struct spool_place *at)
{
	const struct lane *l = queue_find(p->queue, at->lane);

	return at->lane[0] == LANE_NODE && !at->again && at->ticket > spool_old_tickets(p->spool) &&
	    l != NULL && !lane_has_tried(l, at->class, at->ticket);
}

/* Where NAME's envelope waits. ERR_WRONG_STATE: it has left, or may have. ERR_BUSY: it is on its
 * way into this post, or back already. */
static enum err
find(const struct conn *c, const Citex__EnvelopeName *name, struct spool_place *at)
{
	struct post *p = c->post;
	struct id id;
	enum err e = id_from_bytes(bytes_of_pb(name->envelope_id), &id);

	if (e == OK && intake_has(p, id))
		return ERR_BUSY;
	if (e == OK)
		e = spool_place(p->spool, id, name->outer_digest.data, at);
	if (e == OK && takeback_holds(p, at->ticket))
		e = ERR_BUSY;
	if (e == ERR_NOT_YET)
		e = ERR_BUSY;
	if (e == ERR_NOT_FOUND)
		e = ERR_WRONG_STATE;
	/* of an envelope of another author no more is said than of one that is not here */
	if (e == OK && (strcmp(at->author, c->name) != 0 || !never_left(p, at)))
		e = ERR_WRONG_STATE;
	return e;
}

/* What an earlier conversation of this office has said may not be read yet. */
static bool
is_alone(const struct conn *c)
{
	for (const struct conn *o = c->post->conns; o != NULL; o = o->next) {
		if (o != c && o->kind == CONN_OFFICE && strcmp(o->name, c->name) == 0)
			return false;
	}
	return true;
}

static bool
has_room(const struct post *p)
{
	unsigned count = 0;

	for (const struct takeback *x = p->takebacks; x != NULL; x = x->next)
		count++;
	return count < TAKEBACKS_MAX;
}

/* Find all of what T names, before anything is held. */
static enum err
judge(const struct conn *c, const Citex__TakeBack *t, struct spool_place *at,
    ProtobufCBinaryData *left, size_t *left_count)
{
	enum err worst = is_alone(c) && has_room(c->post) ? OK : ERR_BUSY;

	for (size_t i = 0; worst != ERR_BUSY && i < t->n_envelopes; i++) {
		enum err e = find(c, t->envelopes[i], &at[i]);
		if (e == ERR_WRONG_STATE)
			left[(*left_count)++] = t->envelopes[i]->envelope_id;
		if (e != OK)
			worst = e;
		if (e != OK && e != ERR_WRONG_STATE)
			break;
	}
	if (worst != ERR_WRONG_STATE)
		*left_count = 0;
	return worst;
}

void
takeback_frame(struct conn *c, const Citex__Frame *f)
{
	const Citex__TakeBack *t = f->take_back;
	struct post *p = c->post;
	struct spool_place *at;
	ProtobufCBinaryData *left;
	struct takeback *x;
	size_t left_count = 0;
	enum err e;

	if (c->kind != CONN_OFFICE) {
		conn_close(c, ERR_UNEXPECTED);
		return;
	}
	at = xalloc_array(t->n_envelopes, sizeof(*at));
	left = xalloc_array(t->n_envelopes, sizeof(*left));
	e = judge(c, t, at, left, &left_count);
	if (e != OK) {
		answer(c, t->number, e, left, left_count);
		free(at);
		free(left);
		return;
	}
	free(left);
	x = errand_new(p, c, sizeof(*x));
	x->errand.write = write_takeback;
	x->errand.written = wrote_takeback;
	x->errand.release = release_takeback;
	x->number = t->number;
	x->at = at;
	x->count = t->n_envelopes;
	for (size_t i = 0; i < x->count; i++)
		x->parts = x->parts || at[i].parts;
	x->next = p->takebacks;
	p->takebacks = x;
	errand_commit(&x->errand);
}
