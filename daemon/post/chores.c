/* SPDX-License-Identifier: Apache-2.0 */
/* What is done without anybody asking: envelopes past their end get a slip and
 * go, what is long past is forgotten, chunks that nobody lists are deleted, the
 * clock is watched, mail whose way changed is moved.
 *
 * While our clock has jumped, nothing expires. It has when UTC and the
 * monotonic clock drifted apart by more than CLOCK_JUMP_MS since the start; it
 * counts as right again when they agree again, or after a restart. */
#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/post/inside.h"

#define EVERY_MS (5 * SECOND_MS)
#define PRUNE_EVERY_MS HOUR_MS
#define DUE_PAGE 128

struct chores {
	struct post *post;
	struct timer *timer;
	struct now start;
	bool was_sane;
	struct spool_after after; /* ends up to here were seen */
	unsigned expiring; /* under way */
	bool sweeping, sweep_again;
	bool pruning;
	int64_t prune_ms;
};

bool
chores_clock_is_sane(const struct post *p)
{
	const struct chores *x = p->chores;
	struct now now = loop_now(p->loop);
	int64_t apart_ms = (now.utc_ms - x->start.utc_ms) - (now.mono_ms - x->start.mono_ms);

	return apart_ms <= CLOCK_JUMP_MS && apart_ms >= -CLOCK_JUMP_MS;
}

static void
watch_clock(struct chores *x)
{
	bool sane = chores_clock_is_sane(x->post);

	if (sane == x->was_sane)
		return;
	x->was_sane = sane;
	log_event(sane ? LEVEL_INFO : LEVEL_ERROR, sane ? "clock-is-back" : "clock-jumped",
	    LOG_TEXT("node", x->post->config.node));
	if (!sane)
		post_alarm(x->post, "clock-jump", "");
}

/* --- expiry --- */

struct ending {
	struct errand errand;
	struct spool_ending is;
	char home[LANE_NAME_BYTES];
	struct spool_news news;
};

static enum err
write_ending(struct errand *e, struct txn *t)
{
	struct ending *x = (struct ending *)e;

	x->is.home = x->home;
	return spool_expire(e->post->spool, t, &x->is, &x->news);
}

static void
wrote_ending(struct errand *e, enum err result)
{
	struct ending *x = (struct ending *)e;
	struct post *p = e->post;
	char id[ID_TEXT_BYTES];

	id_print(x->is.id, id);
	p->chores->expiring--;
	if (result == OK && x->news.count > 0) {
		log_event(LEVEL_INFO, "expired", LOG_TEXT("envelope", id));
		post_tell_news(p, &x->news);
		chores_sweep(p);
	} else if (result != OK && result != ERR_NOT_FOUND) {
		log_event(LEVEL_WARNING, "not-expired", LOG_TEXT("envelope", id), LOG_ERR(result));
		p->chores->after.set = false; /* look at all again */
	}
	errand_end(e);
}

static void
release_ending(struct errand *e)
{
	spool_news_release(&((struct ending *)e)->news);
}

static void
expire_one(struct chores *x, const struct spool_due *due)
{
	struct post *p = x->post;
	struct route_self self = post_route_self(p);
	struct ending *e = errand_new(p, NULL, sizeof(*e));

	e->errand.write = write_ending;
	e->errand.written = wrote_ending;
	e->errand.release = release_ending;
	e->is.id = due->id;
	memcpy(e->is.digest, due->digest, DIGEST_BYTES);
	e->is.number = due->number;
	e->is.now_ms = loop_now(p->loop).utc_ms;
	e->is.directory = p->self.directory;
	(void)route_home(&self, due->author, e->home);
	x->expiring++;
	errand_commit(&e->errand);
}

static void
expire(struct chores *x)
{
	struct post *p = x->post;
	struct spool_due *rows;
	size_t count = 0;
	enum err e;

	/* Without a directory nobody knows where a slip would go. */
	if (p->directory == NULL || x->expiring > 0 || !chores_clock_is_sane(p))
		return;
	rows = xalloc_array(DUE_PAGE, sizeof(*rows));
	e = spool_due(p->spool, loop_now(p->loop).utc_ms, &x->after, rows, DUE_PAGE, &count);
	if (e != OK)
		log_event(LEVEL_ERROR, "ends-unreadable", LOG_ERR(e));
	for (size_t i = 0; i < count; i++) {
		/* what is whole and stored for an office here is the office's to judge */
		if (rows[i].lane[0] == LANE_NODE || !rows[i].whole)
			expire_one(x, &rows[i]);
	}
	free(rows);
	if (count == DUE_PAGE)
		timer_set(x->timer, loop_now(p->loop).mono_ms + SECOND_MS / 10);
}

/* --- forgetting --- */

struct forgetting {
	struct errand errand;
	int64_t now_ms;
	bool more;
	struct spool_news news;
};

static enum err
write_prune(struct errand *e, struct txn *t)
{
	struct forgetting *f = (struct forgetting *)e;

	return spool_prune(e->post->spool, t, f->now_ms, &f->more, &f->news);
}

static void
wrote_prune(struct errand *e, enum err result)
{
	struct forgetting *f = (struct forgetting *)e;
	struct post *p = e->post;

	if (result == OK)
		post_tell_news(p, &f->news);
	else
		log_event(LEVEL_WARNING, "not-pruned", LOG_ERR(result));
	if (result == OK && f->more) {
		errand_commit(e);
		return;
	}
	p->chores->pruning = false;
	errand_end(e);
}

static void
release_forgetting(struct errand *e)
{
	spool_news_release(&((struct forgetting *)e)->news);
}

static void
prune(struct chores *x)
{
	struct now now = loop_now(x->post->loop);
	struct forgetting *f;

	if (x->pruning || now.mono_ms < x->prune_ms || !chores_clock_is_sane(x->post))
		return;
	x->prune_ms = now.mono_ms + PRUNE_EVERY_MS;
	x->pruning = true;
	f = errand_new(x->post, NULL, sizeof(*f));
	f->errand.write = write_prune;
	f->errand.written = wrote_prune;
	f->errand.release = release_forgetting;
	f->now_ms = now.utc_ms;
	errand_commit(&f->errand);
}

static enum err
write_sweep(struct errand *e, struct txn *t)
{
	return spool_sweep(e->post->spool, t, &((struct forgetting *)e)->more);
}

static void
wrote_sweep(struct errand *e, enum err result)
{
	struct forgetting *f = (struct forgetting *)e;
	struct chores *x = e->post->chores;

	if (result != OK)
		log_event(LEVEL_WARNING, "not-swept", LOG_ERR(result));
	if (result == OK && (f->more || x->sweep_again)) {
		x->sweep_again = false;
		errand_commit(e);
		return;
	}
	x->sweeping = false;
	errand_end(e);
}

void
chores_sweep(struct post *p)
{
	struct chores *x = p->chores;
	struct forgetting *f;

	if (p->ending)
		return;
	if (x->sweeping) {
		x->sweep_again = true;
		return;
	}
	x->sweeping = true;
	f = errand_new(p, NULL, sizeof(*f));
	f->errand.write = write_sweep;
	f->errand.written = wrote_sweep;
	errand_commit(&f->errand);
}

static void
on_timer(void *arg)
{
	struct chores *x = arg;

	timer_set(x->timer, loop_now(x->post->loop).mono_ms + EVERY_MS);
	watch_clock(x);
	expire(x);
	prune(x);
	lookout_tick(x->post);
}

struct chores *
chores_new(struct post *p)
{
	struct chores *x = xalloc(sizeof(*x));

	x->post = p;
	x->start = loop_now(p->loop);
	x->was_sane = true;
	x->prune_ms = x->start.mono_ms;
	x->timer = timer_new(p->loop, on_timer, x);
	timer_set(x->timer, x->start.mono_ms + SECOND_MS);
	return x;
}

void
chores_free(struct chores *x)
{
	if (x == NULL)
		return;
	timer_free(x->timer);
	free(x);
}
