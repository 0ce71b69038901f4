/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_POST_QUEUE_H
#define DAEMON_POST_QUEUE_H

#include "daemon/loop.h"
#include "proto/bytes.h"
#include "proto/limits.h"

/* What goes next, to whom, and when again. Pure: it holds cursors over what the
 * spool has on disk, and a window of the next items of a lane that is open;
 * never the whole queue. Loop thread only. */
struct queue;

/* Where mail waits: for a node ("n" and its id) or for an office here ("o" and its authority). */
struct lane;
#define LANE_NAME_BYTES (1 + AUTHORITY_MAX_BYTES + 1)
#define LANE_NODE 'n'
#define LANE_OFFICE 'o'
/* OUT has LANE_NAME_BYTES. ERR_VALUE when NAME is empty or too long. */
enum err lane_name_make(char what, const char *name, char *out) MUST_CHECK;

/* In the order in which they go. */
enum lane_class { LANE_SLIPS, LANE_URGENT, LANE_ROUTINE, LANE_CLASSES };

/* Items of one lane and class that are held in memory at most. */
#define LANE_WINDOW 1024
/* Fewer ready ones than this: ask for a page. */
#define LANE_PAGE 256

struct queue *queue_new(void);
void queue_free(struct queue *q);
/* The lane with that name, made when there is none. Borrowed; lives as long as Q. */
struct lane *queue_lane(struct queue *q, const char *name);
/* NULL: there is none. */
struct lane *queue_find(const struct queue *q, const char *name);
/* Lanes in order of their names; NULL after the last. */
struct lane *queue_lane_at(const struct queue *q, size_t i);

const char *lane_name(const struct lane *l);
/* Who carries this lane now: whatever the caller set. */
void lane_set_carrier(struct lane *l, void *carrier);
void *lane_carrier(const struct lane *l);

/* How many items of CLASS wait on disk. */
void lane_set_count(struct lane *l, enum lane_class class, uint64_t count);
uint64_t lane_count(const struct lane *l, enum lane_class class);
uint64_t lane_total(const struct lane *l);

/* An item was committed under TICKET; tickets grow. */
void lane_added(struct lane *l, enum lane_class class, uint64_t ticket);
/* It is on disk no more. */
void lane_gone(struct lane *l, enum lane_class class, uint64_t ticket);

/* Somebody carries L from now on: its items may go. All of them are ready, from the first. */
void lane_open(struct lane *l);
/* Nobody does: what was in flight is as if it never went. */
void lane_close(struct lane *l);
bool lane_is_open(const struct lane *l);

/* Whether a page of CLASS should be read: items with tickets greater than *AFTER. */
bool lane_wants_page(const struct lane *l, enum lane_class class, uint64_t *after);
/* That page: COUNT tickets in order; END: there are none after them. */
void lane_page(
    struct lane *l, enum lane_class class, const uint64_t *tickets, size_t count, bool end);

/* The first item of CLASS that is ready at NOW; it is in flight from then on. */
bool lane_next(struct lane *l, enum lane_class class, struct now now, uint64_t *ticket);
/* Whether lane_next() may have given TICKET, or a later one, since the queue was made or
 * before (lane_set_tried()): over lanes that closed and opened again. */
bool lane_has_tried(const struct lane *l, enum lane_class class, uint64_t ticket);
/* The last ticket that was given so; 0: none. To be told to the next queue of the same disk. */
uint64_t lane_tried(const struct lane *l, enum lane_class class);
void lane_set_tried(struct lane *l, enum lane_class class, uint64_t ticket);
/* Whether there is one. */
bool lane_has_next(const struct lane *l, enum lane_class class, struct now now);
/* The item is not in flight any more, and ready at UNTIL_MS (mono_ms). */
void lane_later(struct lane *l, enum lane_class class, uint64_t ticket, int64_t until_ms);
/* When an item becomes ready that is not now: mono_ms; INT64_MAX: none. */
int64_t lane_wakes_ms(const struct lane *l, struct now now);
/* Items in flight. */
unsigned lane_flying(const struct lane *l);

/* When to try a peer again: from FIRST_MS growing to MAX_MS, up to a quarter
 * more by chance, so that not all come back at once. */
struct retry {
	int64_t first_ms, max_ms;
	unsigned attempts; /* failed in a row */
	int64_t next_ms; /* mono_ms; 0: at once */
	int64_t next_utc_ms, last_utc_ms; /* for people; 0: none */
	enum err why; /* of the last failure */
};
/* FIRST_MS and MAX_MS: 0 takes the limits. */
void retry_init(struct retry *r, int64_t first_ms, int64_t max_ms);
void retry_failed(struct retry *r, enum err why, uint32_t chance, struct now now);
/* A sign of life: try at once, and count anew. */
void retry_alive(struct retry *r);
/* How long a wait after ATTEMPTS failures is, chance left out. */
int64_t retry_wait_ms(const struct retry *r, unsigned attempts);

#endif
