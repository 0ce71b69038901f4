/* SPDX-License-Identifier: Apache-2.0 */
/* The first process of a node. Not here: how one process lives and dies
 * (process.c), and whether keys and certificates are good: a process of its own
 * judges that (`--role check'), because it reads what others have written.
 *
 * SIGHUP: the file is checked as at the start. Then the log level and the
 * directory are handed on; a process whose part of the configuration or whose
 * key files have changed is stopped, with all its work on disk, and started
 * again, for a sandboxed process can open no file. What moves sockets or folders
 * needs a new start of the daemon, and is refused as a whole. */
#include "daemon/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include "daemon/hooks.h"
#include "daemon/link.h"
#include "daemon/loop.h"
#include "daemon/process.h"
#include "daemon/sandbox.h"
#include "daemon/sockets.h"
#include "daemon/spawn.h"
#include "daemon/start.h"

/* What a daemon that was killed left behind may need so long to end. */
#define TAKEOVER_STEPS 100
#define TAKEOVER_STEP_NS (50 * 1000 * 1000)
#define DIRECTORY_PART_BYTES (64 * KIB)
#define DIRECTORY_FILE_MAX_BYTES (DIRECTORY_MAX_BYTES + MIB) /* contents, and some heads */

struct supervisor {
	struct loop *loop;
	const char *path;
	struct conf *conf;
	struct hooks *hooks;
	struct process **processes; /* the post first */
	size_t count;
	int lock_fd;
	bool told_ready;
	bool stopping;
	enum err result;
	pid_t checker; /* 0: none */
	bool check_again; /* SIGHUP while one was at work */
	struct timer *watchdog;
	int64_t watchdog_ms;
};

/* Telling systemd */

static bool
all_working(const struct supervisor *s)
{
	for (size_t i = 0; i < s->count; i++)
		if (!process_is_working(s->processes[i]))
			return false;
	return true;
}

static void
tell_ready(struct supervisor *s)
{
	if (s->told_ready || s->stopping || !all_working(s))
		return;
	s->told_ready = true;
	log_event(LEVEL_INFO, "ready", LOG_NUM("processes", s->count));
	(void)sd_notifyf(0, "READY=1\nSTATUS=post and %zu offices at work", s->count - 1);
}

static void
on_watchdog(void *arg)
{
	struct supervisor *s = arg;

	(void)sd_notify(0, "WATCHDOG=1");
	timer_set(s->watchdog, loop_now(s->loop).mono_ms + s->watchdog_ms / 2);
}

static void
start_watchdog(struct supervisor *s)
{
	uint64_t limit_us = 0;

	if (sd_watchdog_enabled(0, &limit_us) <= 0)
		return;
	s->watchdog_ms = (int64_t)(limit_us / 1000);
	s->watchdog = timer_new(s->loop, on_watchdog, s);
	on_watchdog(s);
}

/* Events of processes */

static void
stop_all(struct supervisor *s, enum err why)
{
	if (s->stopping)
		return;
	s->stopping = true;
	s->result = why;
	log_event(LEVEL_INFO, "stopping", LOG_NUM("status", err_exit_status(why)));
	(void)sd_notify(0, "STOPPING=1");
	for (size_t i = 0; i < s->count; i++)
		process_stop(s->processes[i], false);
}

static void
on_down(void *arg, struct process *p)
{
	struct supervisor *s = arg;

	(void)p;
	for (size_t i = 0; i < s->count; i++)
		if (!process_is_down(s->processes[i]))
			return;
	loop_stop(s->loop);
}

static void
on_gave_up(void *arg, struct process *p, enum err why)
{
	log_event(LEVEL_ERROR, "gave-up", LOG_TEXT("process", process_name(p)),
	    LOG_TEXT("words", "it has said why; the node does not start"));
	stop_all(arg, why);
}

static void
on_ready(void *arg, struct process *p)
{
	(void)p;
	tell_ready(arg);
}

static const struct conf_authority *
conf_of(const struct supervisor *s, const char *authority)
{
	for (size_t i = 0; i < s->conf->authority_count; i++)
		if (strcmp(s->conf->authorities[i].id, authority) == 0)
			return &s->conf->authorities[i];
	return NULL;
}

/* NULL: none is wanted. */
static const char *
hook_program(const struct supervisor *s, const struct process *p, const char *event)
{
	const struct conf_authority *a;

	if (process_authority(p) == NULL)
		return strcmp(event, "alarm") == 0 ? s->conf->on_alarm : NULL;
	a = conf_of(s, process_authority(p));
	if (a == NULL)
		return NULL;
	if (strcmp(event, "new") == 0)
		return a->on_new;
	if (strcmp(event, "due") == 0)
		return a->on_due;
	return strcmp(event, "alarm") == 0 ? a->on_alarm : NULL;
}

static void
on_hook(void *arg, struct process *p, const Citex__RunHook *h)
{
	struct supervisor *s = arg;
	const char *program = hook_program(s, p, h->event);
	enum err e;

	if (program == NULL)
		return;
	e = hooks_run(s->hooks, program, h->event, h->id, h->kind);
	if (e != OK)
		log_event(LEVEL_WARNING, "hook-refused", LOG_TEXT("process", process_name(p)),
		    LOG_TEXT("event", h->event), LOG_ERR(e));
}

static const struct process_events process_events = { on_ready, on_hook, on_gave_up, on_down };

/* Making the processes */

/* Sockets gathered for one process. */
struct sockets {
	int fds[SPAWN_FDS_MAX];
	size_t count;
};

static void
sockets_close(struct sockets *x)
{
	for (size_t i = 0; i < x->count; i++)
		(void)close(x->fds[i]);
	x->count = 0;
}

static void
wait_a_little(void)
{
	const struct timespec step = { 0, TAKEOVER_STEP_NS };

	(void)nanosleep(&step, NULL);
}

/* Officers and administrators are judged by the kernel's word for who they are; a group may be
 * asked for beside. An office's link is for our own user alone. */
static struct socket_rights
rights_of(const struct conf *c, const char *kind)
{
	struct socket_rights r = {
		.mode = 0666, .change_owner = getuid() == 0, .user = c->user, .group = c->user_group
	};

	if (strcmp(kind, "link") == 0)
		r.mode = 0600;
	else if (c->has_group) {
		r.mode = 0660;
		r.group = c->group;
		r.change_owner = true;
	}
	return r;
}

typedef enum err bind_fn(
    const struct conf *c, const char *kind, const char *name, int *fd, struct buffer *why);

static enum err
bind_local(const struct conf *c, const char *kind, const char *name, int *fd, struct buffer *why)
{
	struct socket_rights rights = rights_of(c, kind);
	char path[START_PATH_BYTES];

	start_socket_path(c, kind, name, path);
	return socket_listen_local(path, &rights, fd, why);
}

static enum err
bind_address(const struct conf *c, const char *kind, const char *name, int *fd, struct buffer *why)
{
	(void)c;
	(void)kind;
	return socket_listen(name, fd, why);
}

/* Add a socket; wait for what a killed daemon left behind. */
static enum err
add_socket(
    struct sockets *x, bind_fn *bind, const struct conf *c, const char *kind, const char *name)
{
	CLEANUP(buffer_release) struct buffer why = { 0 };
	enum err e = ERR_TOO_MANY;

	for (unsigned i = 0; x->count < SPAWN_FDS_MAX && i < TAKEOVER_STEPS; i++) {
		buffer_clear(&why);
		e = bind(c, kind, name, &x->fds[x->count], &why);
		if (e != ERR_LOCKED)
			break;
		wait_a_little();
	}
	if (e == OK)
		x->count++;
	else
		log_event(
		    LEVEL_ERROR, "no-socket", LOG_ERR(e), LOG_TEXT("words", buffer_text(&why)));
	return e;
}

static enum err
add_process(struct supervisor *s, const char *authority, struct sockets *x)
{
	struct start_part part;
	struct process *p;
	enum err e = start_part_fill(s->conf, authority, &part);

	if (e != OK) {
		start_part_release(&part);
		return e;
	}
	p = process_new(s->loop, s->conf->node, authority, x->fds, x->count, &process_events, s);
	x->count = 0;
	process_take_part(p, &part);
	s->processes[s->count++] = p;
	return OK;
}

static enum err
add_post(struct supervisor *s)
{
	const struct conf *c = s->conf;
	struct sockets x = { .count = 0 };
	enum err e = OK;

	for (size_t i = 0; e == OK && i < c->listen.count; i++)
		e = add_socket(&x, bind_address, c, "", c->listen.at[i]);
	if (e == OK)
		e = add_socket(&x, bind_local, c, "node", c->node);
	for (size_t i = 0; e == OK && i < c->authority_count; i++)
		e = add_socket(&x, bind_local, c, "link", c->authorities[i].id);
	if (e == OK)
		e = add_process(s, NULL, &x);
	sockets_close(&x);
	return e;
}

static enum err
add_office(struct supervisor *s, const struct conf_authority *a)
{
	struct sockets x = { .count = 0 };
	enum err e = add_socket(&x, bind_local, s->conf, "office", a->id);

	if (e == OK)
		e = add_process(s, a->id, &x);
	sockets_close(&x);
	return e;
}

static enum err
add_all(struct supervisor *s)
{
	enum err e;

	s->processes = xalloc_array(s->conf->authority_count + 1, sizeof(struct process *));
	e = add_post(s);
	for (size_t i = 0; e == OK && i < s->conf->authority_count; i++)
		e = add_office(s, &s->conf->authorities[i]);
	return e;
}

static void
remove_socket(const struct conf *c, const char *kind, const char *name)
{
	char path[START_PATH_BYTES];

	start_socket_path(c, kind, name, path);
	(void)unlink(path);
}

/* Nobody shall wait for an answer at the door of an empty house. */
static void
remove_sockets(const struct conf *c)
{
	remove_socket(c, "node", c->node);
	for (size_t i = 0; i < c->authority_count; i++) {
		remove_socket(c, "office", c->authorities[i].id);
		remove_socket(c, "link", c->authorities[i].id);
	}
}

/* Checking */

static enum err
start_checker(const char *path, pid_t *pid)
{
	const char *credentials = start_credentials();
	const char *arguments[] = { "citexd", "--role", "check", path,
		credentials != NULL ? credentials : "", NULL };

	return spawn_self(arguments, NULL, 0, pid);
}

static enum err
check_result(int status)
{
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? OK : ERR_CONFIG;
}

/* Before there is a loop. */
static enum err
check_and_wait(const char *path)
{
	pid_t pid;
	int status;
	enum err e = start_checker(path, &pid);

	if (e != OK)
		return e;
	while (waitpid(pid, &status, 0) != pid)
		if (errno != EINTR)
			return ERR_SYSTEM;
	return check_result(status);
}

/* Reload */

static bool
same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool
same_words(const struct conf_words *a, const struct conf_words *b)
{
	bool same = a->count == b->count;

	for (size_t i = 0; same && i < a->count; i++)
		same = same_text(a->at[i], b->at[i]);
	return same;
}

static bool
same_authorities(const struct conf *a, const struct conf *b)
{
	bool same = a->authority_count == b->authority_count;

	for (size_t i = 0; same && i < a->authority_count; i++)
		same = same_text(a->authorities[i].id, b->authorities[i].id);
	return same;
}

/* The first setting that can't change while the daemon runs, or NULL. */
static const char *
fixed_setting(const struct conf *a, const struct conf *b)
{
	if (!same_text(a->node, b->node))
		return "node";
	if (!same_words(&a->listen, &b->listen))
		return "listen";
	if (!same_text(a->state, b->state))
		return "state";
	if (!same_text(a->run, b->run))
		return "run";
	if (a->user != b->user)
		return "user";
	if (a->has_group != b->has_group || a->group != b->group)
		return "group";
	return same_authorities(a, b) ? NULL : "authority";
}

static void
tell_level(struct supervisor *s, struct process *p)
{
	static const char *const levels[] = { "error", "warning", "info", "debug" };
	Citex__Reload reload = CITEX__RELOAD__INIT;
	Citex__Control m = CITEX__CONTROL__INIT;

	reload.log_level = (char *)(uintptr_t)levels[s->conf->log_level];
	m.what_case = CITEX__CONTROL__WHAT_RELOAD;
	m.reload = &reload;
	process_tell(p, &m);
}

static void
tell_directory_part(struct process *post, struct bytes data, bool last)
{
	Citex__DirectoryBytes part = CITEX__DIRECTORY_BYTES__INIT;
	Citex__Control m = CITEX__CONTROL__INIT;

	part.data = (ProtobufCBinaryData){ data.len, (uint8_t *)(uintptr_t)data.at };
	part.last = last;
	m.what_case = CITEX__CONTROL__WHAT_DIRECTORY;
	m.directory = &part;
	process_tell(post, &m);
}

/* The installed directory, as it is: the post judges it. */
static void
tell_directory(struct supervisor *s, struct process *post)
{
	CLEANUP(buffer_release) struct buffer file = { 0 };
	char path[START_PATH_BYTES];
	struct bytes left;
	ssize_t n = 1;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/directory.citex", s->conf->state);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	while (fd >= 0 && n > 0 && file.len <= DIRECTORY_FILE_MAX_BYTES) {
		uint8_t *at = buffer_extend(&file, DIRECTORY_PART_BYTES);
		n = at != NULL ? read(fd, at, DIRECTORY_PART_BYTES) : -1;
		file.len -= DIRECTORY_PART_BYTES - (n > 0 ? (size_t)n : 0);
	}
	if (fd >= 0)
		(void)close(fd);
	if (fd < 0 || n != 0 || file.len == 0) {
		log_event(LEVEL_WARNING, "directory-unreadable", LOG_TEXT("file", path));
		return;
	}
	for (left = buffer_bytes(&file); left.len > DIRECTORY_PART_BYTES;
	     left.at += DIRECTORY_PART_BYTES, left.len -= DIRECTORY_PART_BYTES)
		tell_directory_part(post, (struct bytes){ left.at, DIRECTORY_PART_BYTES }, false);
	tell_directory_part(post, left, true);
}

/* Hand on to P what is new; start it anew when its part has changed. */
static void
reload_process(struct supervisor *s, struct process *p)
{
	struct start_part part;
	bool changed;

	if (start_part_fill(s->conf, process_authority(p), &part) != OK) {
		start_part_release(&part);
		return;
	}
	changed = !process_has_part(p, &part);
	process_take_part(p, &part); /* the new log level, at least */
	if (changed) {
		log_event(LEVEL_INFO, "restarting", LOG_TEXT("process", process_name(p)));
		process_stop(p, true);
		return;
	}
	tell_level(s, p);
	if (process_authority(p) == NULL)
		tell_directory(s, p);
}

static struct hooks_user
hooks_user_of(const struct conf *c)
{
	return (struct hooks_user){ .change = getuid() == 0 && c->hook_user != 0,
		.user = c->hook_user,
		.group = c->hook_group };
}

static void
take_conf(struct supervisor *s, struct conf *c)
{
	struct hooks_user user = hooks_user_of(c);

	conf_free(s->conf);
	s->conf = c;
	log_set_level(c->log_level);
	hooks_set_user(s->hooks, &user);
	for (size_t i = 0; i < s->count; i++)
		reload_process(s, s->processes[i]);
	log_event(LEVEL_INFO, "reloaded", LOG_TEXT("file", s->path));
}

/* The file has been found good; it is read again. */
static void
reload(struct supervisor *s)
{
	CLEANUP(buffer_release) struct buffer why = { 0 };
	struct conf *c = NULL;
	const char *fixed;

	if (conf_load(s->path, &c, &why) != OK) {
		log_event(LEVEL_ERROR, "reload-refused", LOG_TEXT("words", buffer_text(&why)));
		return;
	}
	fixed = fixed_setting(s->conf, c);
	if (fixed == NULL) {
		take_conf(s, c);
		return;
	}
	log_event(LEVEL_ERROR, "reload-refused", LOG_TEXT("setting", fixed),
	    LOG_TEXT("words", "this needs a new start of the daemon"));
	conf_free(c);
}

static void
on_hup(void *arg)
{
	struct supervisor *s = arg;

	if (s->stopping)
		return;
	if (s->checker != 0) {
		s->check_again = true;
		return;
	}
	(void)sd_notify(0, "RELOADING=1");
	if (start_checker(s->path, &s->checker) != OK)
		s->checker = 0;
}

static void
checker_ended(struct supervisor *s, int status)
{
	s->checker = 0;
	if (s->stopping)
		return;
	if (check_result(status) == OK)
		reload(s);
	else
		log_event(LEVEL_ERROR, "reload-refused",
		    LOG_TEXT("words", "the configuration is wrong; nothing has changed"));
	(void)sd_notify(0, "READY=1");
	if (s->check_again) {
		s->check_again = false;
		on_hup(s);
	}
}

/* Signals */

static void
on_chld(void *arg)
{
	struct supervisor *s = arg;
	int status;

	hooks_reap(s->hooks);
	if (s->checker != 0 && waitpid(s->checker, &status, WNOHANG) == s->checker)
		checker_ended(s, status);
	for (size_t i = 0; i < s->count; i++)
		process_reap(s->processes[i]);
}

static void
on_term(void *arg)
{
	stop_all(arg, OK);
}

/* The whole */

/* One daemon for each state folder, however its path is written. */
static enum err
take_lock(struct supervisor *s)
{
	char path[START_PATH_BYTES];
	const char *words = "another citexd works in this folder";
	enum err e = ERR_LOCKED;

	(void)snprintf(path, sizeof(path), "%s/citexd.lock", s->conf->state);
	s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (s->lock_fd >= 0 && flock(s->lock_fd, LOCK_EX | LOCK_NB) == 0)
		return OK;
	if (s->lock_fd < 0 || errno != EWOULDBLOCK) {
		words = strerror(errno);
		e = ERR_SYSTEM;
	}
	log_event(LEVEL_ERROR, "no-lock", LOG_TEXT("file", path), LOG_TEXT("words", words));
	return e;
}

static enum err
prepare(struct supervisor *s)
{
	struct hooks_user user = hooks_user_of(s->conf);
	enum err e = take_lock(s);

	if (e != OK)
		return e;
	s->loop = loop_new();
	if (s->loop == NULL)
		return ERR_SYSTEM;
	s->hooks = hooks_new(s->loop, &user);
	loop_on_signal(s->loop, SIGCHLD, on_chld, s);
	loop_on_signal(s->loop, SIGTERM, on_term, s);
	loop_on_signal(s->loop, SIGINT, on_term, s);
	loop_on_signal(s->loop, SIGHUP, on_hup, s);
	return add_all(s);
}

static void
release(struct supervisor *s)
{
	if (s->count > 0)
		remove_sockets(s->conf);
	for (size_t i = 0; i < s->count; i++)
		process_free(s->processes[i]);
	free(s->processes);
	hooks_free(s->hooks);
	timer_free(s->watchdog);
	if (s->loop != NULL) {
		links_end(s->loop);
		loop_free(s->loop);
	}
	if (s->lock_fd >= 0)
		(void)close(s->lock_fd);
	conf_free(s->conf);
}

static void
run(struct supervisor *s)
{
	start_watchdog(s);
	for (size_t i = 0; i < s->count; i++)
		process_start(s->processes[i]);
	loop_run(s->loop);
}

/* The folder of the sockets lies where every start of the machine finds nothing. */
static enum err
make_run(const struct conf *c)
{
	if (mkdir(c->run, 0700) == 0 && chmod(c->run, 0755) == 0) /* past the umask */
		return OK;
	if (errno == EEXIST)
		return OK;
	(void)dprintf(STDERR_FILENO, "citexd: %s: %s\n", c->run, strerror(errno));
	return ERR_IO;
}

static enum err
load(struct supervisor *s)
{
	CLEANUP(buffer_release) struct buffer why = { 0 };
	enum err e = conf_load(s->path, &s->conf, &why);
	char name[NODE_MAX_BYTES + 16];

	if (e != OK) {
		(void)dprintf(STDERR_FILENO, "citexd: %s\n", buffer_text(&why));
		return e;
	}
	(void)snprintf(name, sizeof(name), "citexd %s", s->conf->node);
	log_open(name, s->conf->log_level);
	if (getuid() == 0)
		secret_trust_owner(s->conf->user);
	e = check_and_wait(s->path);
	return e == OK ? make_run(s->conf) : e;
}

enum err
supervisor_run(const char *path)
{
	struct supervisor s = { .path = path, .lock_fd = -1 };
	enum err e = load(&s);

	if (e == OK)
		e = prepare(&s);
	if (e == OK) {
		run(&s);
		e = s.result;
	}
	release(&s);
	return e;
}
