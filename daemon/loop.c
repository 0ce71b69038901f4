/* SPDX-License-Identifier: Apache-2.0 */
/* libevent behind a small face. No TLS, no buffers, no DNS of it is used; its
 * environment variables are ignored. Objects may be freed from within their
 * own function: the last use of one is before its function is called. */
#include "daemon/loop.h"

#include <event2/event.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "proto/bytes.h"

struct call {
	loop_fn *fn;
	void *arg;
	struct call *next;
};

struct calls {
	struct call *first, **last;
};

struct loop {
	struct event_base *base;
	struct now now;
	bool stopping;
	struct calls deferred; /* of the loop's own thread */
	struct event *run_deferred;
	int wake_fd;
	struct event *woken;
	pthread_mutex_t lock; /* of CALLED alone */
	struct calls called;
	struct watch *signals; /* freed with the loop */
};

struct timer {
	struct loop *loop;
	struct event *event;
	loop_fn *fn;
	void *arg;
};

struct watch {
	struct loop *loop;
	struct event *read, *write;
	watch_fn *fn;
	loop_fn *on_signal;
	void *arg;
	struct watch *next;
};

static int64_t
clock_ms(clockid_t id)
{
	struct timespec t = { 0 };

	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Each event begins with a look at the clocks; what it does later counts from there. */
static void
look_at_clocks(struct loop *l)
{
	l->now.mono_ms = clock_ms(CLOCK_BOOTTIME);
	l->now.utc_ms = clock_ms(CLOCK_REALTIME);
}

static void
add_call(struct calls *c, loop_fn *fn, void *arg)
{
	struct call *x = xalloc(sizeof(*x));

	*x = (struct call){ fn, arg, NULL };
	*c->last = x;
	c->last = &x->next;
}

static struct call *
take_calls(struct calls *c)
{
	struct call *first = c->first;

	c->first = NULL;
	c->last = &c->first;
	return first;
}

static void
run_calls(struct call *c)
{
	while (c != NULL) {
		struct call x = *c;
		free(c);
		x.fn(x.arg);
		c = x.next;
	}
}

static void
on_deferred(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;

	(void)fd;
	(void)what;
	look_at_clocks(l);
	run_calls(take_calls(&l->deferred));
}

static void
on_woken(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;
	struct call *calls;
	uint64_t count;

	(void)what;
	if (read(fd, &count, sizeof(count)) < 0)
		return; /* nothing there after all */
	look_at_clocks(l);
	pthread_mutex_lock(&l->lock);
	calls = take_calls(&l->called);
	pthread_mutex_unlock(&l->lock);
	run_calls(calls);
}

static struct event_base *
new_base(void)
{
	struct event_config *config = event_config_new();
	struct event_base *base;

	if (config == NULL)
		return NULL;
	event_config_set_flag(config,
	    EVENT_BASE_FLAG_IGNORE_ENV | EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_PRECISE_TIMER);
	base = event_base_new_with_config(config);
	event_config_free(config);
	return base;
}

struct loop *
loop_new(void)
{
	struct loop *l = xalloc(sizeof(*l));

	l->deferred.last = &l->deferred.first;
	l->called.last = &l->called.first;
	pthread_mutex_init(&l->lock, NULL);
	l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	l->base = new_base();
	if (l->base != NULL && l->wake_fd >= 0) {
		l->run_deferred = event_new(l->base, -1, 0, on_deferred, l);
		l->woken = event_new(l->base, l->wake_fd, EV_READ | EV_PERSIST, on_woken, l);
	}
	if (l->run_deferred == NULL || l->woken == NULL || event_add(l->woken, NULL) != 0) {
		loop_free(l);
		return NULL;
	}
	look_at_clocks(l);
	return l;
}

static void
drop_calls(struct call *c)
{
	while (c != NULL) {
		struct call *next = c->next;
		free(c);
		c = next;
	}
}

void
loop_free(struct loop *l)
{
	if (l == NULL)
		return;
	while (l->signals != NULL) {
		struct watch *w = l->signals;
		l->signals = w->next;
		event_free(w->read);
		free(w);
	}
	drop_calls(take_calls(&l->deferred));
	drop_calls(take_calls(&l->called));
	if (l->run_deferred != NULL)
		event_free(l->run_deferred);
	if (l->woken != NULL)
		event_free(l->woken);
	if (l->base != NULL)
		event_base_free(l->base);
	if (l->wake_fd >= 0)
		close(l->wake_fd);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

void
loop_run(struct loop *l)
{
	l->stopping = false;
	while (!l->stopping) {
		if (event_base_loop(l->base, EVLOOP_ONCE) != 0)
			break; /* nothing left to wait for, or the system refuses */
	}
}

void
loop_stop(struct loop *l)
{
	l->stopping = true;
	event_base_loopbreak(l->base);
}

struct now
loop_now(struct loop *l)
{
	return l->now;
}

void
loop_defer(struct loop *l, loop_fn *fn, void *arg)
{
	add_call(&l->deferred, fn, arg);
	event_active(l->run_deferred, EV_TIMEOUT, 1);
}

void
loop_call(struct loop *l, loop_fn *fn, void *arg)
{
	uint64_t one = 1;

	pthread_mutex_lock(&l->lock);
	add_call(&l->called, fn, arg);
	pthread_mutex_unlock(&l->lock);
	/* full (2^64 - 2 wake-ups waiting) is awake as well */
	(void)!write(l->wake_fd, &one, sizeof(one));
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct timer *t = arg;

	(void)fd;
	(void)what;
	look_at_clocks(t->loop);
	t->fn(t->arg);
}

struct timer *
timer_new(struct loop *l, loop_fn *fn, void *arg)
{
	struct timer *t = xalloc(sizeof(*t));

	*t = (struct timer){ .loop = l, .fn = fn, .arg = arg };
	t->event = evtimer_new(l->base, on_timer, t);
	if (t->event == NULL)
		abort(); /* no memory */
	return t;
}

void
timer_free(struct timer *t)
{
	if (t == NULL)
		return;
	event_free(t->event);
	free(t);
}

void
timer_set(struct timer *t, int64_t mono_ms)
{
	/* libevent's clock stands still in suspend, this one does not: a timer may be late after
	 * one. */
	int64_t wait_ms = mono_ms - clock_ms(CLOCK_BOOTTIME);
	struct timeval wait;

	evtimer_del(t->event);
	if (mono_ms == INT64_MAX)
		return;
	if (wait_ms < 0)
		wait_ms = 0;
	wait.tv_sec = (time_t)(wait_ms / 1000);
	wait.tv_usec = (suseconds_t)(wait_ms % 1000 * 1000);
	evtimer_add(t->event, &wait);
}

static void
on_ready(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w = arg;

	(void)fd;
	look_at_clocks(w->loop);
	w->fn(w->arg, (what & EV_READ ? WATCH_READ : 0U) | (what & EV_WRITE ? WATCH_WRITE : 0U));
}

struct watch *
watch_new(struct loop *l, int fd, watch_fn *fn, void *arg)
{
	struct watch *w = xalloc(sizeof(*w));

	*w = (struct watch){ .loop = l, .fn = fn, .arg = arg };
	w->read = event_new(l->base, fd, EV_READ | EV_PERSIST, on_ready, w);
	w->write = event_new(l->base, fd, EV_WRITE | EV_PERSIST, on_ready, w);
	if (w->read == NULL || w->write == NULL)
		abort(); /* no memory */
	return w;
}

static void
want(struct event *e, bool wanted)
{
	if (wanted)
		event_add(e, NULL);
	else
		event_del(e);
}

void
watch_set(struct watch *w, unsigned wanted)
{
	want(w->read, (wanted & WATCH_READ) != 0);
	want(w->write, (wanted & WATCH_WRITE) != 0);
}

void
watch_free(struct watch *w)
{
	if (w == NULL)
		return;
	event_free(w->read);
	event_free(w->write);
	free(w);
}

static void
on_signal_event(evutil_socket_t signo, short what, void *arg)
{
	struct watch *w = arg;

	(void)signo;
	(void)what;
	look_at_clocks(w->loop);
	w->on_signal(w->arg);
}

void
loop_on_signal(struct loop *l, int signo, loop_fn *fn, void *arg)
{
	struct watch *w = xalloc(sizeof(*w));

	*w = (struct watch){ .loop = l, .on_signal = fn, .arg = arg, .next = l->signals };
	w->read = evsignal_new(l->base, signo, on_signal_event, w);
	if (w->read == NULL || event_add(w->read, NULL) != 0)
		abort();
	l->signals = w;
}
