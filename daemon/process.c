/* SPDX-License-Identifier: Apache-2.0 */
/* One process of a node. The supervisor keeps its listening sockets, so that
 * callers wait while it is started anew, and its passphrase, so that nobody
 * must type it again.
 *
 * A process that dies is started again: at once after the first death, then
 * after 1 s growing to 1 min, until it has been at work for a minute. One that
 * ends, with an exit status, before it was ever at work has said what a person
 * must mend. Its frames are checked like anything from outside, and it pays for
 * a wrong one with its life. */
#include "daemon/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/link.h"
#include "daemon/spawn.h"
#include "proto/decode.h"
#include "proto/frame.h"

enum phase { DOWN, STARTING, WORKING, STOPPING };

struct process {
	struct loop *loop;
	char *authority; /* NULL: the post */
	char name[AUTHORITY_MAX_BYTES + 16];
	const struct process_events *events;
	void *arg;
	struct start_part part;
	int *fds; /* the first is kept free for the control channel */
	size_t fd_count;

	enum phase phase;
	pid_t pid; /* 0: there is none */
	struct link *control;
	struct timer *timer; /* DOWN: start; STARTING, STOPPING: kill; WORKING: ask */
	unsigned deaths; /* since it was last at work for CHILD_STEADY_MS */
	bool was_ready; /* at least once */
	bool again; /* STOPPING: and then start */
	int64_t since_ms; /* of PHASE */
	int64_t heard_ms;
};

static void
set_phase(struct process *p, enum phase phase, int64_t timer_in_ms)
{
	int64_t now_ms = loop_now(p->loop).mono_ms;

	p->phase = phase;
	p->since_ms = now_ms;
	timer_set(p->timer, timer_in_ms == INT64_MAX ? INT64_MAX : now_ms + timer_in_ms);
}

static void
kill_process(struct process *p, const char *why)
{
	log_event(LEVEL_ERROR, "kill", LOG_TEXT("process", p->name), LOG_NUM("pid", p->pid),
	    LOG_TEXT("why", why));
	if (p->pid != 0)
		(void)kill(p->pid, SIGKILL);
	timer_set(p->timer, INT64_MAX);
}

/* The control channel */

void
process_tell(struct process *p, const Citex__Control *m)
{
	CLEANUP(buffer_release) struct buffer out = { 0 };

	if (p->control == NULL)
		return;
	frame_write(&m->base, &out);
	if (buffer_status(&out) == OK)
		link_send(p->control, buffer_bytes(&out));
}

static void
tell_alive(struct process *p)
{
	Citex__Alive alive = CITEX__ALIVE__INIT;
	Citex__Control m = CITEX__CONTROL__INIT;

	m.what_case = CITEX__CONTROL__WHAT_ALIVE;
	m.alive = &alive;
	process_tell(p, &m);
}

static void
tell_stop(struct process *p)
{
	Citex__Stop stop = CITEX__STOP__INIT;
	Citex__Control m = CITEX__CONTROL__INIT;

	m.what_case = CITEX__CONTROL__WHAT_STOP;
	m.stop = &stop;
	process_tell(p, &m);
}

static void
is_ready(struct process *p)
{
	if (p->phase != STARTING)
		return;
	p->was_ready = true;
	set_phase(p, WORKING, CHILD_ALIVE_ASK_MS);
	log_event(LEVEL_INFO, "working", LOG_TEXT("process", p->name), LOG_NUM("pid", p->pid));
	p->events->ready(p->arg, p);
}

static void
take_frame(struct process *p, const Citex__Control *m)
{
	p->heard_ms = loop_now(p->loop).mono_ms;
	switch (m->what_case) {
	case CITEX__CONTROL__WHAT_READY:
		is_ready(p);
		break;
	case CITEX__CONTROL__WHAT_HOOK:
		p->events->hook(p->arg, p, m->hook);
		break;
	case CITEX__CONTROL__WHAT_ALIVE:
		break;
	default:
		kill_process(p, "it said what only a supervisor may say");
		break;
	}
}

static void
on_frame(void *arg, struct link *l, struct bytes frame)
{
	CLEANUP(proto_drop) ProtobufCMessage *m = NULL;
	struct process *p = arg;

	(void)l;
	if (proto_unpack(&citex__control__descriptor, frame, &m) == OK)
		take_frame(p, (const Citex__Control *)m);
	else
		kill_process(p, "it said what is no frame");
}

/* It is dying, or has closed what it must not close. SIGCHLD tells the rest. */
static void
on_closed(void *arg, struct link *l, enum err why, const char *words)
{
	struct process *p = arg;

	(void)l;
	(void)words;
	p->control = NULL;
	if (why != ERR_CLOSED)
		kill_process(p, err_words(why));
	else if (p->phase != STOPPING)
		timer_set(p->timer, loop_now(p->loop).mono_ms + STOP_MAX_MS);
}

static const struct link_events control_events = { .frame = on_frame, .closed = on_closed };

/* Starting */

static int64_t
restart_in_ms(unsigned deaths)
{
	int64_t wait_ms = CHILD_RESTART_FIRST_MS;

	if (deaths <= 1)
		return 0;
	for (unsigned i = 2; i < deaths && wait_ms < CHILD_RESTART_MAX_MS; i++)
		wait_ms *= 2;
	return wait_ms < CHILD_RESTART_MAX_MS ? wait_ms : CHILD_RESTART_MAX_MS;
}

static void
restart_later(struct process *p)
{
	p->deaths++;
	set_phase(p, DOWN, restart_in_ms(p->deaths));
}

/* OURS and THEIRS are the two ends of the new control channel. */
static enum err
start_at(struct process *p, int ours, int theirs)
{
	const char *arguments[] = { "citexd", "--role", p->authority != NULL ? "office" : "post",
		p->authority, NULL };
	enum err e;

	p->fds[0] = theirs;
	e = spawn_self(arguments, p->fds, p->fd_count, &p->pid);
	if (e != OK) {
		p->pid = 0;
		return e;
	}
	e = start_part_send(&p->part, ours);
	if (e != OK)
		return e;
	return fcntl(ours, F_SETFL, O_NONBLOCK) == 0 ? OK : ERR_SYSTEM;
}

void
process_start(struct process *p)
{
	int pair[2];
	enum err e;

	p->heard_ms = loop_now(p->loop).mono_ms;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
		log_event(LEVEL_ERROR, "start-failed", LOG_TEXT("process", p->name),
		    LOG_TEXT("words", strerror(errno)));
		restart_later(p);
		return;
	}
	set_phase(p, STARTING, CHILD_READY_MS);
	e = start_at(p, pair[0], pair[1]);
	(void)close(pair[1]);
	if (e == OK) {
		p->control = link_accept_local(p->loop, pair[0], &control_events, p);
		log_event(
		    LEVEL_INFO, "started", LOG_TEXT("process", p->name), LOG_NUM("pid", p->pid));
		return;
	}
	(void)close(pair[0]);
	log_event(LEVEL_ERROR, "start-failed", LOG_TEXT("process", p->name), LOG_ERR(e));
	if (p->pid == 0)
		restart_later(p);
	else
		kill_process(p, "it did not take its start"); /* SIGCHLD does the rest */
}

/* Ending */

static void
log_death(const struct process *p, int status)
{
	bool wanted = p->phase == STOPPING && status == 0;

	if (WIFSIGNALED(status))
		log_event(LEVEL_ERROR, "died", LOG_TEXT("process", p->name), LOG_NUM("pid", p->pid),
		    LOG_NUM("signal", WTERMSIG(status)),
		    LOG_TEXT("words", strsignal(WTERMSIG(status))));
	else
		log_event(wanted ? LEVEL_INFO : LEVEL_ERROR, "ended", LOG_TEXT("process", p->name),
		    LOG_NUM("pid", p->pid), LOG_NUM("status", WEXITSTATUS(status)));
}

/* An error whose class has this exit status. */
static enum err
err_of_status(int status)
{
	for (enum err e = OK; e < ERR_COUNT; e++)
		if (err_exit_status(e) == status)
			return e;
	return ERR_INTERNAL;
}

static void
is_dead(struct process *p, int status)
{
	bool stopped = p->phase == STOPPING;

	log_death(p, status);
	if (p->control != NULL)
		link_close(p->control);
	p->control = NULL;
	p->pid = 0;
	if (loop_now(p->loop).mono_ms - p->since_ms >= CHILD_STEADY_MS && p->phase == WORKING)
		p->deaths = 0;
	if (stopped && p->again) {
		process_start(p);
	} else if (stopped) {
		set_phase(p, DOWN, INT64_MAX);
		p->events->down(p->arg, p);
	} else if (!p->was_ready && WIFEXITED(status) && WEXITSTATUS(status) != 0) {
		set_phase(p, DOWN, INT64_MAX);
		p->events->gave_up(p->arg, p, err_of_status(WEXITSTATUS(status)));
	} else {
		restart_later(p);
	}
}

void
process_reap(struct process *p)
{
	int status;

	if (p->pid != 0 && waitpid(p->pid, &status, WNOHANG) == p->pid)
		is_dead(p, status);
}

void
process_stop(struct process *p, bool again)
{
	p->again = again;
	if (p->pid == 0) {
		set_phase(p, DOWN, INT64_MAX);
		if (again)
			process_start(p);
		else
			p->events->down(p->arg, p);
		return;
	}
	if (p->phase == STOPPING)
		return;
	if (p->control != NULL)
		tell_stop(p);
	else
		(void)kill(p->pid, SIGTERM);
	set_phase(p, STOPPING, STOP_MAX_MS);
}

static void
ask(struct process *p)
{
	int64_t now_ms = loop_now(p->loop).mono_ms;

	if (now_ms - p->heard_ms >= CHILD_SILENCE_MAX_MS) {
		kill_process(p, "it does not answer");
		return;
	}
	tell_alive(p);
	timer_set(p->timer, now_ms + CHILD_ALIVE_ASK_MS);
}

static void
on_timer(void *arg)
{
	struct process *p = arg;

	switch (p->phase) {
	case DOWN:
		process_start(p);
		break;
	case STARTING:
		kill_process(p, "it was not ready in time");
		break;
	case WORKING:
		if (p->control != NULL)
			ask(p);
		else
			kill_process(p, "it closed its control channel");
		break;
	case STOPPING:
		kill_process(p, "it did not stop in time");
		break;
	}
}

/* Making one */

struct process *
process_new(struct loop *l, const char *node, const char *authority, int *fds, size_t count,
    const struct process_events *events, void *arg)
{
	struct process *p = xalloc(sizeof(*p));

	p->loop = l;
	p->events = events;
	p->arg = arg;
	p->authority = authority != NULL ? xstrdup(authority) : NULL;
	(void)snprintf(p->name, sizeof(p->name), "%s %s", authority != NULL ? "office" : "post",
	    authority != NULL ? authority : node);
	p->fds = xalloc_array(count + 1, sizeof(*p->fds));
	if (count > 0)
		memcpy(p->fds + 1, fds, count * sizeof(*fds));
	p->fd_count = count + 1;
	p->timer = timer_new(l, on_timer, p);
	return p;
}

void
process_free(struct process *p)
{
	if (p == NULL)
		return;
	if (p->pid != 0) {
		(void)kill(p->pid, SIGKILL);
		(void)waitpid(p->pid, NULL, 0);
	}
	if (p->control != NULL)
		link_close(p->control);
	for (size_t i = 1; i < p->fd_count; i++)
		(void)close(p->fds[i]);
	timer_free(p->timer);
	start_part_release(&p->part);
	free(p->fds);
	free(p->authority);
	free(p);
}

void
process_take_part(struct process *p, struct start_part *part)
{
	start_part_release(&p->part);
	p->part = *part;
	*part = (struct start_part){ 0 };
}

bool
process_has_part(const struct process *p, const struct start_part *part)
{
	return start_part_equal(&p->part, part);
}

bool
process_is_down(const struct process *p)
{
	return p->phase == DOWN;
}

bool
process_is_working(const struct process *p)
{
	return p->phase == WORKING;
}

const char *
process_authority(const struct process *p)
{
	return p->authority;
}

const char *
process_name(const struct process *p)
{
	return p->name;
}
