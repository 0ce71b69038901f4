/* SPDX-License-Identifier: Apache-2.0 */
/* After a new directory: mail that waits for a node which serves its addressee
 * no more goes to the lane of the one that does. A page at a time, between
 * other work. Slips find their way by themselves: their authors ask again. */
#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/post/inside.h"

#define PAGE 128

struct moves {
	struct post *post;
	struct timer *timer;
	size_t lane; /* which is looked at */
	enum lane_class class;
	uint64_t after;
};

struct move {
	struct errand errand;
	char lane[LANE_NAME_BYTES], to[LANE_NAME_BYTES];
	enum lane_class class;
	uint64_t ticket;
	struct spool_news news;
};

static enum err
write_move(struct errand *e, struct txn *t)
{
	struct move *m = (struct move *)e;

	return spool_move(e->post->spool, t, m->lane, m->class, m->ticket, m->to, &m->news);
}

static void
wrote_move(struct errand *e, enum err result)
{
	struct move *m = (struct move *)e;

	if (result == OK)
		post_tell_news(e->post, &m->news);
	else if (result != ERR_NOT_FOUND)
		log_event(LEVEL_WARNING, "not-moved", LOG_TEXT("lane", m->lane), LOG_ERR(result));
	errand_end(e);
}

static void
release_move(struct errand *e)
{
	spool_news_release(&((struct move *)e)->news);
}

static void
consider(struct post *p, const char *lane, enum lane_class class, const struct spool_item *item)
{
	struct route_self self = post_route_self(p);
	char to[LANE_NAME_BYTES];
	struct move *m;

	if (!route_home(&self, item->addressee, to) || strcmp(to, lane) == 0 || to[0] != LANE_NODE)
		return;
	m = errand_new(p, NULL, sizeof(*m));
	m->errand.write = write_move;
	m->errand.written = wrote_move;
	m->errand.release = release_move;
	memcpy(m->lane, lane, strlen(lane) + 1);
	memcpy(m->to, to, sizeof(to));
	m->class = class;
	m->ticket = item->ticket;
	errand_commit(&m->errand);
}

/* On to the next class, or the next lane. */
static void
step(struct moves *x)
{
	x->after = 0;
	if (x->class == LANE_URGENT) {
		x->class = LANE_ROUTINE;
		return;
	}
	x->class = LANE_URGENT;
	x->lane++;
}

static void
look(void *arg)
{
	struct moves *x = arg;
	struct post *p = x->post;
	struct lane *l = queue_lane_at(p->queue, x->lane);
	struct spool_item *rows;
	char name[LANE_NAME_BYTES];
	size_t count = 0;
	bool end = true;

	if (l == NULL || p->ending || p->directory == NULL)
		return;
	memcpy(name, lane_name(l), sizeof(name));
	rows = xalloc_array(PAGE, sizeof(*rows));
	if (name[0] == LANE_NODE && lane_count(l, x->class) > 0 &&
	    spool_page(p->spool, name, x->class, x->after, rows, PAGE, &count, &end) != OK)
		count = 0;
	for (size_t i = 0; i < count; i++) {
		consider(p, name, x->class, &rows[i]);
		x->after = rows[i].ticket;
	}
	free(rows);
	if (end || count == 0)
		step(x);
	timer_set(x->timer, loop_now(p->loop).mono_ms);
}

void
moves_begin(struct moves *x)
{
	x->lane = 0;
	x->class = LANE_URGENT;
	x->after = 0;
	timer_set(x->timer, loop_now(x->post->loop).mono_ms);
}

struct moves *
moves_new(struct post *p)
{
	struct moves *x = xalloc(sizeof(*x));

	x->post = p;
	x->timer = timer_new(p->loop, look, x);
	return x;
}

void
moves_free(struct moves *x)
{
	if (x == NULL)
		return;
	timer_free(x->timer);
	free(x);
}
