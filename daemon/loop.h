/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_LOOP_H
#define DAEMON_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/error.h"

/* Timers, descriptors, signals, wake-up and the two clocks of one process. The
 * only place that asks the system what time it is. tests/sim has another
 * loop.c behind this header. Everything here is for the loop's own thread,
 * but loop_call(). */
struct loop;

/* Timeouts count by MONO_MS (CLOCK_BOOTTIME), deadlines and certificates by UTC_MS; never mix them.
 */
struct now {
	int64_t mono_ms;
	int64_t utc_ms;
};

typedef void loop_fn(void *arg);

struct loop *loop_new(void); /* NULL: the system refuses */
void loop_free(struct loop *l);
/* Runs until loop_stop(). */
void loop_run(struct loop *l);
void loop_stop(struct loop *l);
/* The time at which the current event was taken up. */
struct now loop_now(struct loop *l);

/* Run FN once, after the event under way. */
void loop_defer(struct loop *l, loop_fn *fn, void *arg);
/* The same from any thread; wakes the loop. Calls of one thread keep their order. */
void loop_call(struct loop *l, loop_fn *fn, void *arg);

/* A timer that stands still until set. */
struct timer;
struct timer *timer_new(struct loop *l, loop_fn *fn, void *arg);
void timer_free(struct timer *t); /* NULL too; may be called from within FN */
void timer_set(struct timer *t,
    int64_t mono_ms); /* fire once at MONO_MS or soon after; INT64_MAX: never; replaces */

/* Watch a descriptor. FN gets which of the two is ready. The descriptor stays the caller's. */
#define WATCH_READ 1
#define WATCH_WRITE 2
struct watch;
typedef void watch_fn(void *arg, unsigned ready);
struct watch *watch_new(struct loop *l, int fd, watch_fn *fn, void *arg);
void watch_set(struct watch *w, unsigned want); /* 0: neither */
void watch_free(struct watch *w); /* NULL too; may be called from within FN */

/* FN on each SIGNO, as an event. */
void loop_on_signal(struct loop *l, int signo, loop_fn *fn, void *arg);

#endif
