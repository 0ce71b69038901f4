/* SPDX-License-Identifier: Apache-2.0 */
/* Lanes, each with three classes; in each class a window over the spool: the
 * items with tickets up to CURSOR were read, more may follow on disk. It does
 * not know what an item is, nor who carries a lane.
 *
 * Known weakness: a lane of which a whole window was answered `later' waits
 * for the first of them, although others behind it could go. */
#include "daemon/post/queue.h"

#include <stdlib.h>
#include <string.h>

/* Values of READY_MS beside a time. */
#define READY 0
#define FLYING INT64_MAX

struct item {
	uint64_t ticket;
	int64_t ready_ms;
};

struct window {
	uint64_t total; /* on disk */
	struct item *at; /* in order of tickets */
	size_t count, room;
	uint64_t cursor; /* the last ticket that was read */
	bool more; /* the disk may hold items after CURSOR */
	unsigned flying;
	uint64_t tried; /* the last ticket that was ever given: outlives clear() */
};

struct lane {
	char name[LANE_NAME_BYTES];
	void *carrier;
	bool open;
	struct window classes[LANE_CLASSES];
};

struct queue {
	struct lane **at; /* by name */
	size_t count, room;
};

enum err
lane_name_make(char what, const char *name, char *out)
{
	size_t len = strlen(name);

	if (len == 0 || len > LANE_NAME_BYTES - 2)
		return ERR_VALUE;
	out[0] = what;
	memcpy(out + 1, name, len + 1);
	return OK;
}

/* --- lanes --- */

struct queue *
queue_new(void)
{
	return xalloc(sizeof(struct queue));
}

void
queue_free(struct queue *q)
{
	if (q == NULL)
		return;
	for (size_t i = 0; i < q->count; i++) {
		for (size_t c = 0; c < LANE_CLASSES; c++)
			free(q->at[i]->classes[c].at);
		free(q->at[i]);
	}
	free(q->at);
	free(q);
}

/* Where NAME is or would be. */
static size_t
place_of(const struct queue *q, const char *name)
{
	size_t low = 0, high = q->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (strcmp(q->at[middle]->name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct lane *
queue_find(const struct queue *q, const char *name)
{
	size_t i = place_of(q, name);

	return i < q->count && strcmp(q->at[i]->name, name) == 0 ? q->at[i] : NULL;
}

struct lane *
queue_lane(struct queue *q, const char *name)
{
	size_t i = place_of(q, name);
	struct lane *l;

	if (i < q->count && strcmp(q->at[i]->name, name) == 0)
		return q->at[i];
	if (q->count == q->room) {
		q->room = q->room == 0 ? 16 : q->room * 2;
		q->at = xgrow(q->at, q->room, sizeof(struct lane *));
	}
	memmove(&q->at[i + 1], &q->at[i], (q->count - i) * sizeof(struct lane *));
	l = q->at[i] = xalloc(sizeof(*l));
	q->count++;
	strncpy(l->name, name, sizeof(l->name) - 1);
	return l;
}

struct lane *
queue_lane_at(const struct queue *q, size_t i)
{
	return i < q->count ? q->at[i] : NULL;
}

const char *
lane_name(const struct lane *l)
{
	return l->name;
}

void
lane_set_carrier(struct lane *l, void *carrier)
{
	l->carrier = carrier;
}

void *
lane_carrier(const struct lane *l)
{
	return l->carrier;
}

void
lane_set_count(struct lane *l, enum lane_class class, uint64_t count)
{
	l->classes[class].total = count;
}

uint64_t
lane_count(const struct lane *l, enum lane_class class)
{
	return l->classes[class].total;
}

uint64_t
lane_total(const struct lane *l)
{
	uint64_t total = 0;

	for (size_t c = 0; c < LANE_CLASSES; c++)
		total += l->classes[c].total;
	return total;
}

/* --- windows --- */

/* Where TICKET is or would be. */
static size_t
item_place(const struct window *w, uint64_t ticket)
{
	size_t low = 0, high = w->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (w->at[middle].ticket < ticket)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct item *
item_find(const struct window *w, uint64_t ticket)
{
	size_t i = item_place(w, ticket);

	return i < w->count && w->at[i].ticket == ticket ? &w->at[i] : NULL;
}

/* Append what is newer than all that was read. */
static void
append(struct window *w, uint64_t ticket)
{
	if (w->count == w->room) {
		w->room = w->room == 0 ? 16 : w->room * 2;
		w->at = xgrow(w->at, w->room, sizeof(*w->at));
	}
	w->at[w->count++] = (struct item){ ticket, READY };
	w->cursor = ticket;
}

/* News of one commit come in the order of its jobs, not of its tickets: what is behind the cursor
 * and not in the window was never read, and no page would bring it. */
static void
insert(struct window *w, uint64_t ticket)
{
	uint64_t cursor = w->cursor;
	size_t i = item_place(w, ticket);

	if (i < w->count && w->at[i].ticket == ticket)
		return; /* a page was quicker than the news */
	append(w, ticket);
	w->cursor = cursor;
	memmove(&w->at[i + 1], &w->at[i], (w->count - 1 - i) * sizeof(*w->at));
	w->at[i] = (struct item){ ticket, READY };
}

static bool
is_ready(const struct item *i, struct now now)
{
	return i->ready_ms != FLYING && i->ready_ms <= now.mono_ms;
}

static struct item *
first_ready(const struct window *w, struct now now)
{
	for (size_t i = 0; i < w->count; i++) {
		if (is_ready(&w->at[i], now))
			return &w->at[i];
	}
	return NULL;
}

void
lane_added(struct lane *l, enum lane_class class, uint64_t ticket)
{
	struct window *w = &l->classes[class];

	w->total++;
	if (l->open && ticket <= w->cursor)
		insert(w, ticket);
	else if (!l->open || w->more || w->count >= LANE_WINDOW)
		w->more = true;
	else
		append(w, ticket);
}

void
lane_gone(struct lane *l, enum lane_class class, uint64_t ticket)
{
	struct window *w = &l->classes[class];
	struct item *i = item_find(w, ticket);

	if (w->total > 0)
		w->total--;
	if (i == NULL)
		return;
	if (i->ready_ms == FLYING)
		w->flying--;
	w->count--;
	memmove(i, i + 1, (size_t)(&w->at[w->count] - i) * sizeof(*i));
}

static void
clear(struct window *w)
{
	free(w->at);
	w->at = NULL;
	w->count = w->room = 0;
	w->cursor = 0;
	w->more = w->total > 0;
	w->flying = 0;
}

void
lane_open(struct lane *l)
{
	for (size_t c = 0; c < LANE_CLASSES; c++)
		clear(&l->classes[c]);
	l->open = true;
}

void
lane_close(struct lane *l)
{
	for (size_t c = 0; c < LANE_CLASSES; c++)
		clear(&l->classes[c]);
	l->open = false;
}

bool
lane_is_open(const struct lane *l)
{
	return l->open;
}

bool
lane_wants_page(const struct lane *l, enum lane_class class, uint64_t *after)
{
	const struct window *w = &l->classes[class];

	*after = w->cursor;
	return l->open && w->more && w->count + LANE_PAGE <= LANE_WINDOW &&
	    w->count - w->flying < LANE_PAGE / 4;
}

void
lane_page(struct lane *l, enum lane_class class, const uint64_t *tickets, size_t count, bool end)
{
	struct window *w = &l->classes[class];

	for (size_t i = 0; i < count; i++) {
		if (tickets[i] > w->cursor)
			append(w, tickets[i]);
	}
	w->more = !end;
}

bool
lane_next(struct lane *l, enum lane_class class, struct now now, uint64_t *ticket)
{
	struct window *w = &l->classes[class];
	struct item *i = l->open ? first_ready(w, now) : NULL;

	if (i == NULL)
		return false;
	i->ready_ms = FLYING;
	w->flying++;
	if (i->ticket > w->tried)
		w->tried = i->ticket;
	*ticket = i->ticket;
	return true;
}

bool
lane_has_tried(const struct lane *l, enum lane_class class, uint64_t ticket)
{
	return ticket <= l->classes[class].tried;
}

uint64_t
lane_tried(const struct lane *l, enum lane_class class)
{
	return l->classes[class].tried;
}

void
lane_set_tried(struct lane *l, enum lane_class class, uint64_t ticket)
{
	l->classes[class].tried = ticket;
}

bool
lane_has_next(const struct lane *l, enum lane_class class, struct now now)
{
	return l->open && first_ready(&l->classes[class], now) != NULL;
}

void
lane_later(struct lane *l, enum lane_class class, uint64_t ticket, int64_t until_ms)
{
	struct window *w = &l->classes[class];
	struct item *i = item_find(w, ticket);

	if (i == NULL || i->ready_ms != FLYING)
		return;
	i->ready_ms = until_ms;
	w->flying--;
}

int64_t
lane_wakes_ms(const struct lane *l, struct now now)
{
	int64_t at_ms = INT64_MAX;

	for (size_t c = 0; c < LANE_CLASSES; c++) {
		const struct window *w = &l->classes[c];
		for (size_t i = 0; i < w->count; i++) {
			if (w->at[i].ready_ms > now.mono_ms && w->at[i].ready_ms < at_ms)
				at_ms = w->at[i].ready_ms;
		}
	}
	return at_ms;
}

unsigned
lane_flying(const struct lane *l)
{
	unsigned n = 0;

	for (size_t c = 0; c < LANE_CLASSES; c++)
		n += l->classes[c].flying;
	return n;
}

/* --- when again --- */

void
retry_init(struct retry *r, int64_t first_ms, int64_t max_ms)
{
	*r = (struct retry){ 0 };
	r->first_ms = first_ms > 0 ? first_ms : RETRY_FIRST_MS;
	r->max_ms = max_ms > 0 ? max_ms : RETRY_MAX_MS;
}

int64_t
retry_wait_ms(const struct retry *r, unsigned attempts)
{
	int64_t wait_ms = r->first_ms;

	for (unsigned i = 1; i < attempts && wait_ms < r->max_ms; i++)
		wait_ms *= 2;
	return wait_ms < r->max_ms ? wait_ms : r->max_ms;
}

void
retry_failed(struct retry *r, enum err why, uint32_t chance, struct now now)
{
	int64_t wait_ms;

	if (r->attempts < UINT32_MAX)
		r->attempts++;
	wait_ms = retry_wait_ms(r, r->attempts);
	wait_ms += chance % (wait_ms / 4 + 1);
	r->next_ms = now.mono_ms + wait_ms;
	r->next_utc_ms = now.utc_ms + wait_ms;
	r->last_utc_ms = now.utc_ms;
	r->why = why;
}

void
retry_alive(struct retry *r)
{
	r->attempts = 0;
	r->next_ms = 0;
	r->next_utc_ms = 0;
	r->why = OK;
}
