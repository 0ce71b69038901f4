/* SPDX-License-Identifier: Apache-2.0 */
/* The program's side of the officers' socket. It decides nothing: what may be
 * done is the office's word. The socket is reached through a descriptor of its
 * folder, because the address of a Unix socket has room for 107 bytes only. */
#include "cli/client.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "cli/said.h"
#include "cli/words.h"
#include "proto/ids.h"

struct client {
	int fd;
	char *name;
	struct failure *failure;
	struct frame_reader reader;
	int64_t timeout_ms;
	uint32_t number; /* of the last request */
	uint32_t awaited; /* of the request whose answer comes next: they come in order */
};

static int64_t
clock_ms(clockid_t which)
{
	struct timespec t = { 0 };
	(void)clock_gettime(which, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t
client_mono_ms(void)
{
	return clock_ms(CLOCK_BOOTTIME);
}

int64_t
client_utc_ms(void)
{
	return clock_ms(CLOCK_REALTIME);
}

static const char *
run_dir(void)
{
	const char *dir = getenv("CITEX_RUN");
	return dir != NULL && *dir != '\0' ? dir : CITEX_RUNDIR;
}

/* What the two kinds of sockets differ in. */
struct place {
	const char *prefix; /* of the socket's name */
	const char *what; /* for words */
	const char *option; /* that chooses one */
	bool (*is_valid)(const char *name);
};

static const struct place offices = { "office-", N_("office"), "-a AUTHORITY", authority_is_valid };
static const struct place posts = { "node-", N_("post"), "-n NODE", node_is_valid };

/* The name in "PREFIXname.sock", malloc'd; NULL when FILE is something else. */
static char *
name_in(const char *file, const struct place *p)
{
	size_t before = strlen(p->prefix), len = strlen(file), after = strlen(".sock");
	char *name;
	if (len <= before + after || strncmp(file, p->prefix, before) != 0 ||
	    strcmp(file + len - after, ".sock") != 0)
		return NULL;
	name = xmemdup(file + before, len - before - after + 1);
	name[len - before - after] = '\0';
	if (p->is_valid(name))
		return name;
	free(name);
	return NULL;
}

static enum err
none_here(const struct place *p, struct failure *f)
{
	return failure_set(f, ERR_UNREACHABLE,
	    _("no %s is running here (looked in %s). "
	      "Start it (systemctl start citexd), or set CITEX_RUN to its folder"),
	    _(p->what), run_dir());
}

/* The only one there is in DIR. *NAME is the caller's. */
static enum err
only_one(DIR *dir, const struct place *p, struct failure *f, char **name)
{
	CLEANUP(buffer_release) struct buffer all = { 0 };
	size_t count = 0;
	for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
		char *found = name_in(entry->d_name, p);
		if (found == NULL)
			continue;
		buffer_printf(&all, "%s%s", count++ > 0 ? ", " : "", found);
		free(*name);
		*name = found;
	}
	if (count == 1)
		return OK;
	free(*name);
	*name = NULL;
	if (count == 0)
		return none_here(p, f);
	return failure_set(f, ERR_USAGE, _("there are several here: %s. Choose one with %s"),
	    buffer_text(&all), p->option);
}

static enum err
not_connected(const struct place *p, const char *name, struct failure *f)
{
	if (errno == EACCES || errno == EPERM)
		return failure_set(f, ERR_DENIED,
		    _("you may not speak to the %s of %s. "
		      "Ask its administrator to enter you as an officer"),
		    _(p->what), name);
	if (errno == ENOENT || errno == ECONNREFUSED)
		return failure_set(f, ERR_UNREACHABLE,
		    _("the %s of %s is not running (looked in %s). "
		      "Start it (systemctl start citexd), or check the name"),
		    _(p->what), name, run_dir());
	return failure_errno(
	    f, ERR_UNREACHABLE, _("the %s of %s cannot be reached"), _(p->what), name);
}

static int
connect_at(int dir_fd, const char *prefix, const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd, len;
	len = snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s%s.sock",
	    dir_fd, prefix, name);
	if (len < 0 || (size_t)len >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	int saved = errno;
	(void)close(fd);
	errno = saved;
	return -1;
}

static enum err
open_place(const struct place *p, const char *chosen, struct failure *f, struct client **out)
{
	char *name = NULL;
	enum err e = OK;
	DIR *dir;
	int fd;
	if (chosen != NULL && *chosen == '\0')
		chosen = NULL;
	if (chosen != NULL && !p->is_valid(chosen))
		return failure_set(
		    f, ERR_USAGE, _("`%s' is not a name as in %s"), chosen, p->option);
	dir = opendir(run_dir());
	if (dir == NULL)
		return errno == EACCES ? failure_errno(f, ERR_DENIED, "%s", run_dir())
				       : none_here(p, f);
	if (chosen != NULL)
		name = xstrdup(chosen);
	else
		e = only_one(dir, p, f, &name);
	if (e == OK) {
		fd = connect_at(dirfd(dir), p->prefix, name);
		if (fd < 0)
			e = not_connected(p, name, f);
		else
			*out = client_new(fd, name, f);
	}
	free(name);
	(void)closedir(dir);
	return e;
}

enum err
client_open_office(const char *authority, struct failure *f, struct client **out)
{
	return open_place(&offices, authority, f, out);
}

enum err
client_open_node(const char *node, struct failure *f, struct client **out)
{
	return open_place(&posts, node, f, out);
}

struct client *
client_new(int fd, const char *name, struct failure *f)
{
	struct client *c = xalloc(sizeof(*c));
	c->fd = fd;
	c->name = xstrdup(name);
	c->failure = f;
	c->timeout_ms = CLIENT_TIMEOUT_MS;
	c->awaited = 1;
	frame_reader_init(&c->reader);
	return c;
}

void
client_free(struct client *c)
{
	if (c == NULL)
		return;
	(void)close(c->fd);
	frame_reader_release(&c->reader);
	free(c->name);
	free(c);
}

void
client_drop(struct client **c)
{
	client_free(*c);
	*c = NULL;
}

const char *
client_name(const struct client *c)
{
	return c->name;
}

void
client_set_timeout(struct client *c, int64_t timeout_ms)
{
	c->timeout_ms = timeout_ms;
}

int
client_fd(const struct client *c)
{
	return c->fd;
}

static enum err
lost(struct client *c)
{
	return failure_set(c->failure, ERR_CLOSED,
	    _("%s closed the connection. Try again; citexd's log says why"), c->name);
}

/* Wait for EVENTS until DEADLINE_MS. */
static enum err
wait_for(struct client *c, short events, int64_t deadline_ms)
{
	for (;;) {
		struct pollfd p = { .fd = c->fd, .events = events };
		int64_t left = deadline_ms - client_mono_ms();
		if (left <= 0)
			return ERR_TIMEOUT;
		int n = poll(&p, 1, left > 1000000 ? 1000000 : (int)left);
		if (n > 0)
			return OK;
		if (n < 0 && errno != EINTR)
			return failure_errno(c->failure, ERR_SYSTEM, "poll");
	}
}

static int64_t
deadline_of(const struct client *c)
{
	int64_t now = client_mono_ms();
	return c->timeout_ms > INT64_MAX - now ? INT64_MAX : now + c->timeout_ms;
}

static enum err
send_all(struct client *c, struct bytes left)
{
	int64_t deadline = deadline_of(c);
	while (left.len > 0) {
		ssize_t n = send(c->fd, left.at, left.len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n >= 0) {
			left.at += n;
			left.len -= (size_t)n;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return lost(c);
		enum err e = wait_for(c, POLLOUT, deadline);
		if (e != OK)
			return failure_set(
			    c->failure, e, _("%s does not take the request"), c->name);
	}
	return OK;
}

enum err
client_send(struct client *c, Citex__Request *r)
{
	CLEANUP(buffer_wipe) struct buffer out = { 0 };
	r->number = ++c->number;
	frame_write(&r->base, &out);
	if (buffer_status(&out) != OK)
		return failure_set(c->failure, buffer_status(&out),
		    _("this is too much for one message; send long matter as an attachment"));
	return send_all(c, buffer_bytes(&out));
}

static enum err
receive_frame(struct client *c, struct bytes *frame)
{
	int64_t deadline = deadline_of(c);
	uint8_t input[16 * KIB];
	for (;;) {
		enum err e = frame_next(&c->reader, frame);
		if (e == OK)
			return OK;
		if (e != ERR_NOT_FOUND)
			return failure_set(c->failure, e, _("%s sent what is no answer"), c->name);
		e = wait_for(c, POLLIN, deadline);
		if (e != OK)
			return e;
		ssize_t n = recv(c->fd, input, sizeof(input), MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
			return lost(c);
		if (n > 0)
			frame_feed(&c->reader, (struct bytes){ input, (size_t)n });
	}
}

static enum err
failed(struct client *c, const Citex__Failure *failure)
{
	CLEANUP(buffer_release) struct buffer words = { 0 };
	enum err e = err_from_name(failure->error);
	if (e == OK)
		e = ERR_UNEXPECTED;
	said_append(failure->words[0] != '\0' ? failure->words : err_words(e), &words);
	return failure_set(c->failure, e, "%s", buffer_text(&words));
}

/* Takes ANSWER: gives it on as *OUT, or frees it. */
static enum err
judge(struct client *c, Citex__Answer *answer, Citex__Answer__WhatCase want, Citex__Answer **out)
{
	enum err e;
	bool is_failure = answer->what_case == CITEX__ANSWER__WHAT_FAILURE;
	bool is_next = answer->number == c->awaited;
	if (is_next && !answer->more)
		c->awaited++;
	if (!is_next && !(is_failure && answer->number == 0)) /* 0: the connection is refused */
		e = failure_set(
		    c->failure, ERR_UNEXPECTED, _("%s answers what was not asked"), c->name);
	else if (is_failure)
		e = failed(c, answer->failure);
	else if (answer->what_case != want)
		e = failure_set(c->failure, ERR_UNEXPECTED,
		    _("%s gave another answer than was asked for; "
		      "are citex and citexd of one version?"),
		    c->name);
	else {
		*out = answer;
		return OK;
	}
	proto_wipe(&answer->base);
	return e;
}

enum err
client_receive(struct client *c, Citex__Answer__WhatCase want, Citex__Answer **out)
{
	ProtobufCMessage *m = NULL;
	struct bytes frame;
	enum err e = receive_frame(c, &frame);
	if (e != OK)
		return e;
	e = proto_unpack(&citex__answer__descriptor, frame, &m);
	if (e != OK)
		return failure_set(c->failure, e,
		    _("%s sent what is no answer; are citex and citexd of one version?"), c->name);
	return judge(c, (Citex__Answer *)m, want, out);
}

enum err
client_ask(struct client *c, Citex__Request *r, Citex__Answer__WhatCase want, Citex__Answer **out)
{
	enum err e = client_send(c, r);
	if (e == OK)
		e = client_receive(c, want, out);
	if (e == ERR_TIMEOUT)
		return failure_set(c->failure, e,
		    _("%s gave no answer in time. Nothing is known of what it did; try again"),
		    c->name);
	return e;
}
