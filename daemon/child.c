/* SPDX-License-Identifier: Apache-2.0 */
/* The supervisor as a child sees it. The supervisor is trusted; what is checked
 * here is checked against mistakes. Passphrase and Start are read at once, before there is a
 * loop, because keys are read before the process gives up its rights. */
#include "daemon/child.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/link.h"
#include "daemon/log.h"
#include "proto/decode.h"
#include "proto/frame.h"

#define START_TIMEOUT_SECONDS 10

struct child {
	struct secret passphrase;
	Citex__Control *control; /* holds Start */
	struct loop *loop;
	struct link *link;
	struct buffer directory; /* parts that came */
	const struct child_events *events;
	void *arg;
};

static enum err
read_all(void *to, size_t len)
{
	uint8_t *at = to;

	while (len > 0) {
		ssize_t n = read(CHILD_CONTROL_FD, at, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return ERR_CLOSED;
		at += n;
		len -= (size_t)n;
	}
	return OK;
}

static enum err
read_length(size_t most, size_t *len)
{
	uint8_t header[FRAME_HEADER_BYTES];
	struct reader r = { BYTES_OF(header), OK };
	enum err e = read_all(header, sizeof(header));

	if (e != OK)
		return e;
	*len = read_u32(&r);
	return *len <= most ? OK : ERR_TOO_LARGE;
}

static enum err
read_passphrase(struct child *c)
{
	size_t len;
	enum err e = read_length(PASSPHRASE_MAX_BYTES, &len);

	if (e == OK)
		e = secret_init(&c->passphrase, len);
	return e == OK ? read_all(c->passphrase.at, len) : e;
}

static enum err
read_start(struct child *c)
{
	CLEANUP(buffer_wipe) struct buffer frame = { 0 };
	ProtobufCMessage *m = NULL;
	size_t len;
	enum err e = read_length(FRAME_MAX_BYTES, &len);

	if (e == OK)
		e = read_all(buffer_extend(&frame, len), len);
	if (e == OK)
		e = proto_unpack(&citex__control__descriptor, buffer_bytes(&frame), &m);
	if (e != OK)
		return e;
	c->control = (Citex__Control *)m;
	return c->control->what_case == CITEX__CONTROL__WHAT_START ? OK : ERR_MALFORMED;
}

static void
open_log(const char *who, const Citex__Start *start)
{
	char name[AUTHORITY_MAX_BYTES + 16];
	enum log_level level = LEVEL_INFO;

	(void)snprintf(name, sizeof(name), "%s %s", who,
	    *start->authority != '\0' ? start->authority : start->node);
	if (log_level_parse(start->log_level, &level) != OK)
		level = LEVEL_INFO;
	log_open(name, level);
	(void)snprintf(name, sizeof(name), "citexd-%s", who);
	(void)prctl(PR_SET_NAME, name, 0, 0, 0);
}

enum err
child_new(const char *who, child_count_fn *count, struct child **out)
{
	const struct timeval patience = { .tv_sec = START_TIMEOUT_SECONDS };
	struct child *c = xalloc(sizeof(*c));
	enum err e;

	/* a child without a supervisor was started by hand */
	if (setsockopt(CHILD_CONTROL_FD, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) != 0)
		e = ERR_USAGE;
	else
		e = read_passphrase(c);
	if (e == OK)
		e = read_start(c);
	if (e == OK) {
		open_log(who, c->control->start);
		if (c->control->start->change_user)
			secret_trust_owner(c->control->start->user);
		e = sandbox_early(CHILD_FIRST_FD + (int)count(c->control->start));
	}
	if (e != OK) {
		child_free(c);
		return e;
	}
	*out = c;
	return OK;
}

void
child_free(struct child *c)
{
	if (c == NULL)
		return;
	if (c->link != NULL)
		link_close(c->link);
	secret_release(&c->passphrase);
	proto_free((ProtobufCMessage *)c->control);
	buffer_release(&c->directory);
	free(c);
}

const Citex__Start *
child_start(const struct child *c)
{
	return c->control->start;
}

struct secret *
child_passphrase(struct child *c)
{
	return &c->passphrase;
}

void
child_sandbox(const struct child *c, enum sandbox_role role, struct sandbox *out)
{
	const Citex__Start *start = child_start(c);

	*out = (struct sandbox){ .role = role,
		.change_user = start->change_user,
		.user = start->user,
		.group = start->group,
		.root = start->run };
}

/* The channel */

static void
send_control(struct child *c, const Citex__Control *m)
{
	CLEANUP(buffer_release) struct buffer out = { 0 };

	if (c->link == NULL)
		return;
	frame_write(&m->base, &out);
	if (buffer_status(&out) == OK)
		link_send(c->link, buffer_bytes(&out));
}

static void
take_directory(struct child *c, const Citex__DirectoryBytes *part)
{
	buffer_add(&c->directory, bytes_of_pb(part->data));
	if (!part->last)
		return;
	if (c->events->directory != NULL)
		c->events->directory(c->arg, buffer_bytes(&c->directory));
	buffer_release(&c->directory);
}

static void
reload(const Citex__Reload *r)
{
	enum log_level level;

	if (log_level_parse(r->log_level, &level) == OK)
		log_set_level(level);
}

static void
obey(struct child *c, const Citex__Control *m)
{
	switch (m->what_case) {
	case CITEX__CONTROL__WHAT_ALIVE:
		send_control(c, m);
		break;
	case CITEX__CONTROL__WHAT_RELOAD:
		reload(m->reload);
		break;
	case CITEX__CONTROL__WHAT_DIRECTORY:
		take_directory(c, m->directory);
		break;
	case CITEX__CONTROL__WHAT_STOP:
		loop_stop(c->loop);
		break;
	default:
		log_event(LEVEL_ERROR, "control-unknown", LOG_NUM("what", m->what_case));
		break;
	}
}

static void
on_frame(void *arg, struct link *l, struct bytes frame)
{
	CLEANUP(proto_drop) ProtobufCMessage *m = NULL;
	enum err e = proto_unpack(&citex__control__descriptor, frame, &m);

	(void)l;
	if (e == OK)
		obey(arg, (const Citex__Control *)m);
	else
		log_event(LEVEL_ERROR, "control-malformed", LOG_ERR(e));
}

static void
on_closed(void *arg, struct link *l, enum err why, const char *words)
{
	struct child *c = arg;

	(void)l;
	log_event(LEVEL_WARNING, "supervisor-gone", LOG_ERR(why), LOG_TEXT("words", words));
	c->link = NULL;
	loop_stop(c->loop);
}

static void
on_term(void *arg)
{
	loop_stop(arg);
}

void
child_attach(struct child *c, struct loop *l, const struct child_events *events, void *arg)
{
	static const struct link_events link_events = { .frame = on_frame, .closed = on_closed };

	c->loop = l;
	c->events = events;
	c->arg = arg;
	/* a key pressed at the supervisor's terminal reaches all; it alone decides */
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	loop_on_signal(l, SIGTERM, on_term, l);
	c->link = link_accept_local(l, CHILD_CONTROL_FD, &link_events, c);
}

void
child_ready(struct child *c)
{
	Citex__Ready ready = CITEX__READY__INIT;
	Citex__Control m = CITEX__CONTROL__INIT;

	m.what_case = CITEX__CONTROL__WHAT_READY;
	m.ready = &ready;
	send_control(c, &m);
}

void
child_hook(struct child *c, const char *event, const char *id, const char *kind)
{
	Citex__RunHook hook = CITEX__RUN_HOOK__INIT;
	Citex__Control m = CITEX__CONTROL__INIT;

	hook.event = (char *)(uintptr_t)event;
	hook.id = (char *)(uintptr_t)id;
	hook.kind = (char *)(uintptr_t)kind;
	m.what_case = CITEX__CONTROL__WHAT_HOOK;
	m.hook = &hook;
	send_control(c, &m);
}
