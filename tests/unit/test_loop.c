/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/workers.h"
#include "proto/bytes.h"

struct seen {
	struct loop *loop;
	struct timer *timer;
	struct watch *watch;
	int fd;
	char order[32];
	unsigned calls;
};

static void
note(struct seen *s, char c)
{
	s->order[strlen(s->order)] = c;
}

static void
stop(void *arg)
{
	loop_stop(((struct seen *)arg)->loop);
}

static void
note_d(void *arg)
{
	note(arg, 'd');
}

static void
note_t_and_free(void *arg)
{
	struct seen *s = arg;

	note(s, 't');
	timer_free(s->timer); /* from within its own function */
	loop_defer(s->loop, note_d, s);
	loop_defer(s->loop, stop, s);
}

static void
test_loop_timer_fires_once_not_before_its_time(void **state)
{
	struct seen s = { .loop = loop_new() };
	struct now begin = loop_now(s.loop);

	(void)state;
	s.timer = timer_new(s.loop, note_t_and_free, &s);
	timer_set(s.timer, begin.mono_ms);
	timer_set(s.timer, begin.mono_ms + 30); /* replaces */
	loop_run(s.loop);
	assert_string_equal(s.order, "td");
	assert_true(loop_now(s.loop).mono_ms >= begin.mono_ms + 30);
	loop_free(s.loop);
}

static void
read_one(void *arg, unsigned ready)
{
	struct seen *s = arg;
	char c;

	assert_int_equal(ready, WATCH_READ);
	assert_int_equal(read(s->fd, &c, 1), 1);
	note(s, c);
	if (c != 'z')
		return;
	watch_free(s->watch);
	loop_stop(s->loop);
}

static void
test_loop_watches_a_descriptor(void **state)
{
	struct seen s = { .loop = loop_new() };
	int ends[2];

	(void)state;
	assert_int_equal(pipe(ends), 0);
	s.fd = ends[0];
	s.watch = watch_new(s.loop, ends[0], read_one, &s);
	watch_set(s.watch, WATCH_READ);
	assert_int_equal(write(ends[1], "xyz", 3), 3);
	loop_run(s.loop);
	assert_string_equal(s.order, "xyz");
	close(ends[0]);
	close(ends[1]);
	loop_free(s.loop);
}

static void
test_loop_takes_signals_as_events(void **state)
{
	struct seen s = { .loop = loop_new() };

	(void)state;
	loop_on_signal(s.loop, SIGUSR1, stop, &s);
	kill(getpid(), SIGUSR1);
	loop_run(s.loop); /* returns by the signal */
	loop_free(s.loop);
}

#define CALLS 2000

static void
count_call(void *arg)
{
	struct seen *s = arg;

	if (++s->calls == 2 * CALLS)
		loop_stop(s->loop);
}

static void *
call_many(void *arg)
{
	struct seen *s = arg;

	for (int i = 0; i < CALLS; i++)
		loop_call(s->loop, count_call, s);
	return NULL;
}

static void
test_loop_is_called_from_other_threads(void **state)
{
	struct seen s = { .loop = loop_new() };
	pthread_t a, b;

	(void)state;
	assert_int_equal(pthread_create(&a, NULL, call_many, &s), 0);
	assert_int_equal(pthread_create(&b, NULL, call_many, &s), 0);
	loop_run(s.loop);
	pthread_join(a, NULL);
	pthread_join(b, NULL);
	assert_int_equal(s.calls, 2 * CALLS);
	loop_free(s.loop);
}

struct square {
	struct work work;
	struct seen *seen;
	uint64_t in, out;
};

static void
square_run(struct work *w)
{
	struct square *q = (struct square *)w;

	q->out = q->in * q->in;
}

static void
square_done(struct work *w)
{
	struct square *q = (struct square *)w;

	assert_int_equal(q->out, q->in * q->in);
	if (++q->seen->calls == CALLS)
		loop_stop(q->seen->loop);
	free(q);
}

static void
test_workers_hand_each_work_back_once(void **state)
{
	struct seen s = { .loop = loop_new() };
	struct workers *p = workers_new(s.loop, 3);

	(void)state;
	for (uint64_t i = 0; i < CALLS; i++) {
		struct square *q = xalloc(sizeof(*q));
		*q = (struct square){ { square_run, square_done, NULL }, &s, i, 0 };
		workers_submit(p, &q->work);
	}
	loop_run(s.loop);
	assert_int_equal(s.calls, CALLS);
	assert_int_equal(workers_pending(p), 0);
	workers_free(p);
	loop_free(s.loop);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_loop_timer_fires_once_not_before_its_time),
		cmocka_unit_test(test_loop_watches_a_descriptor),
		cmocka_unit_test(test_loop_takes_signals_as_events),
		cmocka_unit_test(test_loop_is_called_from_other_threads),
		cmocka_unit_test(test_workers_hand_each_work_back_once),
	};

	return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
