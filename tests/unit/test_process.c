/* SPDX-License-Identifier: Apache-2.0 */
/* A process seen by its supervisor, and the supervisor seen by it: this program starts itself
 * again, and the authority's name tells the child how to behave. Hooks, too. The loop is the real
 * one; where minutes must pass, its clock stands and the test moves it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/child.h"
#include "daemon/hooks.h"
#include "daemon/link.h"
#include "daemon/process.h"
#include "daemon/sockets.h"
#include "proto/decode.h"
#include "proto/frame.h"

#define ID "01924f6e-7c00-7abc-8def-0123456789ab"

/* --- the clock, and who is killed --- */

static bool clock_stands;
static int64_t clock_ms; /* when it does */
static unsigned kills;

/* Instead of the C library's, also for libevent. Each clock shows the same. */
int
clock_gettime(clockid_t id, struct timespec *out)
{
	if (!clock_stands)
		return (int)syscall(SYS_clock_gettime, id, out);
	*out = (struct timespec){ clock_ms / 1000, clock_ms % 1000 * 1000000 };
	return 0;
}

int
kill(pid_t pid, int signo)
{
	if (signo == SIGKILL)
		kills++;
	return (int)syscall(SYS_kill, pid, signo);
}

/* --- the child --- */

static unsigned
one_socket(const Citex__Start *start)
{
	(void)start;
	return 1;
}

static unsigned
count_descriptors(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 1000; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* What this process is, as the kind of a hook: descriptors, words of the environment, core limit,
 * length of the passphrase, whether it was given what it was to be given. */
static void
report(struct child *c, unsigned descriptors)
{
	const Citex__Start *start = child_start(c);
	struct rlimit core = { 1, 1 };
	unsigned words = 0;
	char text[65];

	while (environ != NULL && environ[words] != NULL)
		words++;
	(void)getrlimit(RLIMIT_CORE, &core);
	(void)snprintf(text, sizeof(text), "fds-%u.env-%u.core-%u.pass-%zu.%s.%u", descriptors,
	    words, (unsigned)core.rlim_max, child_passphrase(c)->len, start->node,
	    (unsigned)start->n_officers);
	child_hook(c, "alarm", ID, text);
}

static struct child *the_child;

static void
directory_came(void *arg, struct bytes file)
{
	char text[32];

	(void)arg;
	(void)snprintf(text, sizeof(text), "directory-%zu", file.len);
	child_hook(the_child, "alarm", "", text);
}

static void
misbehave(void *arg)
{
	const char *authority = child_start(arg)->authority;

	if (strcmp(authority, "ke.dies-of-signal") == 0)
		(void)raise(SIGKILL);
	if (strcmp(authority, "ke.speaks-garbage") == 0)
		(void)!write(CHILD_CONTROL_FD, "\0\0\0\4\xff\xff\xff\xff", 8);
	if (strcmp(authority, "ke.speaks-out-of-turn") == 0)
		(void)!write(CHILD_CONTROL_FD, "\0\0\0\2\x3a\0", 6); /* stop */
	if (strcmp(authority, "ke.speaks-huge") == 0)
		(void)!write(CHILD_CONTROL_FD, "\xff\xff\xff\xff", 4);
}

/* A child that speaks by itself, without a loop: it tells what it hears, in order, but for what its
 * behaviour leaves out. */
static const struct behaviour {
	const char *authority;
	bool never_ready, ignores_alive, ignores_stop, dies_of_reload, hangs_up_at_reload;
} behaviours[] = {
	{ .authority = "ke.listens" },
	{ .authority = "ke.never-ready", .never_ready = true },
	{ .authority = "ke.falls-silent", .ignores_alive = true },
	{ .authority = "ke.does-not-stop", .ignores_stop = true },
	{ .authority = "ke.dies-when-told", .dies_of_reload = true },
	{ .authority = "ke.hangs-up", .hangs_up_at_reload = true },
};

static const struct behaviour *
behaviour_of(const char *authority)
{
	for (size_t i = 0; i < sizeof(behaviours) / sizeof(behaviours[0]); i++)
		if (strcmp(behaviours[i].authority, authority) == 0)
			return &behaviours[i];
	return NULL;
}

static void
say(const Citex__Control *m)
{
	CLEANUP(buffer_release) struct buffer out = { 0 };

	frame_write(&m->base, &out);
	(void)!write(CHILD_CONTROL_FD, out.at, out.len);
}

static void
say_heard(const char *what)
{
	Citex__RunHook hook = CITEX__RUN_HOOK__INIT;
	Citex__Control m = CITEX__CONTROL__INIT;

	hook.event = (char *)(uintptr_t) "alarm";
	hook.kind = (char *)(uintptr_t)what;
	m.what_case = CITEX__CONTROL__WHAT_HOOK;
	m.hook = &hook;
	say(&m);
}

static void
say_ready(void)
{
	Citex__Ready ready = CITEX__READY__INIT;
	Citex__Control m = CITEX__CONTROL__INIT;

	m.what_case = CITEX__CONTROL__WHAT_READY;
	m.ready = &ready;
	say(&m);
}

/* false: it ends. */
static bool
behave(const struct behaviour *b, const Citex__Control *m)
{
	switch (m->what_case) {
	case CITEX__CONTROL__WHAT_ALIVE:
		if (!b->ignores_alive)
			say_heard("alive");
		return true;
	case CITEX__CONTROL__WHAT_STOP:
		return b->ignores_stop;
	default:
		if (b->dies_of_reload)
			(void)raise(SIGKILL);
		if (b->hangs_up_at_reload)
			(void)close(CHILD_CONTROL_FD);
		say_heard("reload");
		return true;
	}
}

static int
be_listener(const struct behaviour *b)
{
	struct frame_reader in;
	uint8_t at[512];
	bool on = true;
	ssize_t n = 0;

	(void)alarm(120); /* should the test die */
	if (!b->never_ready)
		say_ready();
	frame_reader_init(&in);
	while (on && (n = read(CHILD_CONTROL_FD, at, sizeof(at))) != 0) {
		struct bytes frame;
		if (n < 0 && errno == EBADF)
			(void)pause();
		frame_feed(&in, (struct bytes){ at, n > 0 ? (size_t)n : 0 });
		while (on && frame_next(&in, &frame) == OK) {
			CLEANUP(proto_drop) ProtobufCMessage *m = NULL;
			on = proto_unpack(&citex__control__descriptor, frame, &m) == OK &&
			    behave(b, (const Citex__Control *)m);
		}
	}
	frame_reader_release(&in);
	return 0;
}

static int
be_child(void)
{
	const struct behaviour *b;
	static const struct child_events events = { directory_came };
	struct timer *soon;
	struct loop *l;
	unsigned descriptors;
	enum err e = child_new("office", one_socket, &the_child);

	if (e != OK)
		return 99;
	descriptors = count_descriptors();
	if (strcmp(child_start(the_child)->authority, "ke.gives-up") == 0)
		return err_exit_status(ERR_DENIED);
	b = behaviour_of(child_start(the_child)->authority);
	if (b != NULL) {
		int status = be_listener(b);
		child_free(the_child);
		return status;
	}
	l = loop_new();
	child_attach(the_child, l, &events, NULL);
	report(the_child, descriptors);
	child_ready(the_child);
	soon = timer_new(l, misbehave, the_child);
	timer_set(soon, loop_now(l).mono_ms + 50); /* when it is known to be ready */
	loop_run(l);
	timer_free(soon);
	child_free(the_child);
	links_end(l);
	loop_free(l);
	return 0;
}

/* --- the supervisor --- */

struct world {
	struct loop *loop;
	struct process *p;
	struct hooks *hooks;
	unsigned ready, gave_up, down;
	enum err why;
	char told[8][80]; /* kinds of the hooks */
	unsigned told_count;
	pid_t pid;
	unsigned deaths; /* told by SIGCHLD */
	unsigned until_ready, until_told, until_deaths;
	bool until_hooks_end;
	struct timer *limit;
	int listen_fd;
};
static char folder[] = "/tmp/citex-process-XXXXXX";

static void
on_ready(void *arg, struct process *p)
{
	struct world *w = arg;

	assert_ptr_equal(p, w->p);
	assert_true(process_is_working(p));
	if (++w->ready == w->until_ready)
		loop_stop(w->loop);
}

static void
on_hook(void *arg, struct process *p, const Citex__RunHook *h)
{
	struct world *w = arg;

	(void)p;
	if (w->told_count < 8)
		(void)snprintf(w->told[w->told_count++], sizeof(w->told[0]), "%s", h->kind);
	if (w->told_count == w->until_told)
		loop_stop(w->loop);
}

static void
on_gave_up(void *arg, struct process *p, enum err why)
{
	struct world *w = arg;

	(void)p;
	w->gave_up++;
	w->why = why;
	loop_stop(w->loop);
}

static void
on_down(void *arg, struct process *p)
{
	struct world *w = arg;

	assert_true(process_is_down(p));
	w->down++;
	loop_stop(w->loop);
}

static const struct process_events events = { on_ready, on_hook, on_gave_up, on_down };

static void
on_chld(void *arg)
{
	struct world *w = arg;

	w->deaths++;
	if (w->p != NULL)
		process_reap(w->p);
	if (w->deaths == w->until_deaths)
		loop_stop(w->loop);
	if (w->hooks == NULL)
		return;
	hooks_reap(w->hooks);
	if (w->until_hooks_end && hooks_running(w->hooks) == 0)
		loop_stop(w->loop);
}

static void
on_limit(void *arg)
{
	(void)arg;
	fail_msg("it takes too long");
}

static void
run(struct world *w, int64_t limit_ms)
{
	timer_set(w->limit, loop_now(w->loop).mono_ms + limit_ms);
	loop_run(w->loop);
	timer_set(w->limit, INT64_MAX);
}

static int
set_up(void **state)
{
	struct world *w = xalloc(sizeof(*w));

	w->loop = loop_new();
	assert_non_null(w->loop);
	w->limit = timer_new(w->loop, on_limit, w);
	loop_on_signal(w->loop, SIGCHLD, on_chld, w);
	*state = w;
	return 0;
}

static int
set_up_standing(void **state)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	clock_ms = now.tv_sec * SECOND_MS;
	clock_stands = true;
	kills = 0;
	(void)alarm(60); /* a limit of the loop's clock would never come */
	return set_up(state);
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	process_free(w->p);
	hooks_free(w->hooks);
	timer_free(w->limit);
	links_end(w->loop);
	loop_free(w->loop);
	free(w);
	clock_stands = false;
	(void)alarm(0);
	return 0;
}

static void
stop_loop(void *arg)
{
	loop_stop(arg);
}

/* The clock goes on by MS; what is due then, and what follows at once, is done. */
static void
move_clock(struct world *w, int64_t ms)
{
	clock_ms += ms;
	for (unsigned i = 0; i < 3; i++) {
		loop_defer(w->loop, stop_loop, w->loop);
		loop_run(w->loop);
	}
}

static struct conf_officer officers[] = { { (char *)(uintptr_t) "Jane", 1000, 3 },
	{ (char *)(uintptr_t) "Joe", 1001, 1 } };

/* A configuration of one office, AUTHORITY. */
static struct conf
conf_of(struct conf_authority *a, const char *authority)
{
	*a = (struct conf_authority){ .id = (char *)(uintptr_t)authority,
		.keys = folder,
		.officers = officers,
		.officer_count = 2 };
	return (struct conf){ .node = (char *)(uintptr_t) "ke",
		.state = folder,
		.run = folder,
		.keys = folder,
		.directory_key = (char *)(uintptr_t) "pin",
		.user = getuid(),
		.log_level = LEVEL_ERROR,
		.authorities = a,
		.authority_count = 1 };
}

static void
make(struct world *w, const char *authority)
{
	struct conf_authority a;
	struct conf c = conf_of(&a, authority);
	struct start_part part;
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_int_equal(start_part_fill(&c, authority, &part), OK);
	assert_int_equal(secret_from(&part.passphrase, bytes_str("open sesame")), OK);
	w->p = process_new(w->loop, "ke", authority, &fd, 1, &events, w);
	process_take_part(w->p, &part);
	process_start(w->p);
}

static void
test_process_gets_what_it_needs_and_no_more(void **state)
{
	struct world *w = *state;

	assert_return_code(setenv("SECRET", "in the environment", 1), errno);
	assert_return_code(dup(2), errno); /* a descriptor that is nobody's business */
	w->until_ready = 1;
	make(w, "ke.ma");
	run(w, 10000);
	assert_int_equal(w->told_count, 1);
	/* 0, 1, 2, the channel, one socket */
	assert_string_equal(w->told[0], "fds-5.env-0.core-0.pass-11.ke.2");
	process_stop(w->p, false);
	run(w, 10000);
	assert_int_equal(w->down, 1);
	assert_int_equal(w->gave_up, 0);
}

static void
test_process_that_says_why_it_cannot_is_not_started_again(void **state)
{
	struct world *w = *state;

	make(w, "ke.gives-up");
	run(w, 10000);
	assert_int_equal(w->gave_up, 1);
	assert_int_equal(err_class(w->why), CLASS_DENIED);
	assert_int_equal(w->ready, 0);
	assert_true(process_is_down(w->p));
}

static void
test_process_that_dies_is_started_at_once_and_then_later(void **state)
{
	struct world *w = *state;
	int64_t began;

	w->until_ready = 2;
	make(w, "ke.dies-of-signal");
	began = loop_now(w->loop).mono_ms;
	run(w, 10000); /* the first time at once */
	w->until_ready = 3;
	run(w, 10000); /* the second after a second */
	assert_true(loop_now(w->loop).mono_ms - began >= CHILD_RESTART_FIRST_MS);
	assert_int_equal(w->gave_up, 0);
}

static void
test_process_that_speaks_wrongly_dies_and_comes_back(void **state)
{
	static const char *const wrong[] = { "ke.speaks-garbage", "ke.speaks-out-of-turn",
		"ke.speaks-huge" };
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		w->ready = 0;
		w->until_ready = 2;
		make(w, wrong[i]);
		run(w, 10000);
		assert_int_equal(w->ready, 2);
		process_free(w->p);
		w->p = NULL;
	}
}

/* --- how long --- */

static void
make_and_wait(struct world *w, const char *authority)
{
	w->until_ready = w->ready + 1;
	make(w, authority);
	run(w, 10000);
}

static void
tell_reload(struct world *w)
{
	Citex__Reload reload = CITEX__RELOAD__INIT;
	Citex__Control m = CITEX__CONTROL__INIT;

	m.what_case = CITEX__CONTROL__WHAT_RELOAD;
	m.reload = &reload;
	process_tell(w->p, &m);
}

/* The next that the child tells, or has told meanwhile, is that it heard WHAT. */
static void
expect_heard(struct world *w, const char *what)
{
	w->until_told = 1;
	if (w->told_count == 0)
		run(w, 10000);
	assert_string_equal(w->told[0], what);
	memmove(w->told[0], w->told[1], sizeof(w->told) - sizeof(w->told[0]));
	w->told_count--;
}

static void
expect_killed(struct world *w)
{
	assert_int_equal(kills, 1);
	w->until_deaths = 1;
	if (w->deaths == 0)
		run(w, 10000);
	assert_int_equal(w->deaths, 1);
}

static void
test_process_that_never_gets_ready_is_killed(void **state)
{
	struct world *w = *state;

	make(w, "ke.never-ready");
	move_clock(w, 0); /* its channel is open */
	move_clock(w, CHILD_READY_MS - 1);
	assert_int_equal(kills, 0);
	move_clock(w, 1);
	expect_killed(w);
	assert_int_equal(w->ready, 0);
	assert_int_equal(w->gave_up, 0);
}

static void
test_process_is_asked_whether_it_lives(void **state)
{
	struct world *w = *state;

	make_and_wait(w, "ke.listens");
	for (unsigned i = 0; i < 8; i++) { /* longer than one may be silent */
		move_clock(w, CHILD_ALIVE_ASK_MS - 1);
		tell_reload(w);
		expect_heard(w, "reload"); /* and nothing before it */
		move_clock(w, 1);
		tell_reload(w);
		expect_heard(w, "alive");
		expect_heard(w, "reload");
	}
	assert_int_equal(kills, 0);
}

/* It is looked at whenever it is asked: SILENCE after its last word, when it is asked just then. */
static void
test_process_that_falls_silent_is_killed(void **state)
{
	struct world *w = *state;

	make_and_wait(w, "ke.falls-silent");
	for (int64_t ms = CHILD_ALIVE_ASK_MS; ms < CHILD_SILENCE_MAX_MS; ms += CHILD_ALIVE_ASK_MS)
		move_clock(w, CHILD_ALIVE_ASK_MS);
	move_clock(w, CHILD_ALIVE_ASK_MS - 1);
	assert_int_equal(kills, 0);
	move_clock(w, 1);
	expect_killed(w);
}

static void
test_process_that_was_silent_a_little_less_is_not_killed(void **state)
{
	struct world *w = *state;

	make_and_wait(w, "ke.falls-silent");
	move_clock(w, 1);
	tell_reload(w);
	expect_heard(w, "reload");
	move_clock(w, CHILD_ALIVE_ASK_MS - 1);
	for (int64_t ms = CHILD_ALIVE_ASK_MS; ms < CHILD_SILENCE_MAX_MS; ms += CHILD_ALIVE_ASK_MS)
		move_clock(w, CHILD_ALIVE_ASK_MS);
	assert_int_equal(kills, 0); /* SILENCE - 1 after its last word */
	move_clock(w, CHILD_ALIVE_ASK_MS);
	expect_killed(w);
}

/* Tell it to die; the next one is there in WAIT_MS, and not before. */
static void
die_and_come_back(struct world *w, int64_t wait_ms)
{
	w->until_deaths = w->deaths + 1;
	tell_reload(w);
	run(w, 10000);
	if (wait_ms > 0) {
		move_clock(w, wait_ms - 1);
		assert_true(process_is_down(w->p));
	}
	move_clock(w, wait_ms > 0 ? 1 : 0);
	assert_false(process_is_down(w->p));
	if (process_is_working(w->p))
		return;
	w->until_ready = w->ready + 1;
	run(w, 10000);
}

static void
test_process_that_dies_and_dies_waits_longer_each_time(void **state)
{
	struct world *w = *state;

	make_and_wait(w, "ke.dies-when-told");
	die_and_come_back(w, 0);
	for (int64_t wait_ms = CHILD_RESTART_FIRST_MS; wait_ms < CHILD_RESTART_MAX_MS; wait_ms *= 2)
		die_and_come_back(w, wait_ms);
	die_and_come_back(w, CHILD_RESTART_MAX_MS);
	die_and_come_back(w, CHILD_RESTART_MAX_MS);
	assert_int_equal(w->gave_up, 0);
}

/* It answers all the while. */
static void
work_for(struct world *w, int64_t ms)
{
	move_clock(w, ms / 2);
	expect_heard(w, "alive");
	move_clock(w, ms - ms / 2);
	expect_heard(w, "alive");
}

static void
test_process_steady_for_a_while_is_started_at_once_again(void **state)
{
	struct world *w = *state;

	make_and_wait(w, "ke.dies-when-told");
	die_and_come_back(w, 0);
	die_and_come_back(w, CHILD_RESTART_FIRST_MS);
	work_for(w, CHILD_STEADY_MS - 1);
	die_and_come_back(w, 2 * CHILD_RESTART_FIRST_MS);
	work_for(w, CHILD_STEADY_MS);
	die_and_come_back(w, 0);
	die_and_come_back(w, CHILD_RESTART_FIRST_MS);
	assert_int_equal(kills, 0);
}

static void
test_process_that_does_not_stop_is_killed(void **state)
{
	struct world *w = *state;

	make_and_wait(w, "ke.does-not-stop");
	process_stop(w->p, false);
	move_clock(w, STOP_MAX_MS - 1);
	assert_int_equal(kills, 0);
	move_clock(w, 1);
	expect_killed(w);
	assert_int_equal(w->down, 1);
}

static void
test_process_that_hangs_up_and_stays_is_killed(void **state)
{
	struct world *w = *state;
	unsigned descriptors;

	make_and_wait(w, "ke.hangs-up");
	descriptors = count_descriptors();
	tell_reload(w);
	while (count_descriptors() == descriptors) { /* until the end is seen */
		(void)usleep(1000);
		move_clock(w, 0);
	}
	move_clock(w, 0);
	move_clock(w, STOP_MAX_MS - 1);
	assert_int_equal(kills, 0);
	move_clock(w, 1);
	expect_killed(w);
}

static void
test_process_is_stopped_and_started_again_for_a_reload(void **state)
{
	struct world *w = *state;

	w->until_ready = 1;
	make(w, "ke.ma");
	run(w, 10000);
	w->until_ready = 2;
	process_stop(w->p, true);
	run(w, 10000);
	assert_int_equal(w->down, 0);
	assert_true(process_is_working(w->p));
}

static void
test_process_takes_a_directory_in_parts(void **state)
{
	static uint8_t data[60000];
	Citex__DirectoryBytes part = CITEX__DIRECTORY_BYTES__INIT;
	Citex__Control m = CITEX__CONTROL__INIT;
	struct world *w = *state;

	w->until_ready = 1;
	make(w, "ke.ma");
	run(w, 10000);
	w->until_told = 2;
	m.what_case = CITEX__CONTROL__WHAT_DIRECTORY;
	m.directory = &part;
	for (unsigned i = 0; i < 30; i++) {
		part.data = (ProtobufCBinaryData){ sizeof(data), data };
		part.last = i == 29;
		process_tell(w->p, &m);
	}
	run(w, 10000);
	assert_string_equal(w->told[1], "directory-1800000");
}

static void
test_part_changes_with_what_it_holds(void **state)
{
	struct conf_authority a;
	struct conf c = conf_of(&a, "ke.ma");
	struct start_part before, after;
	char path[64];
	int fd;

	(void)state;
	assert_int_equal(start_part_fill(&c, "ke.ma", &before), OK);
	c.log_level = LEVEL_DEBUG; /* this alone is told, not started anew for */
	assert_int_equal(start_part_fill(&c, "ke.ma", &after), OK);
	assert_true(start_part_equal(&before, &after));
	start_part_release(&after);
	a.seen = true;
	assert_int_equal(start_part_fill(&c, "ke.ma", &after), OK);
	assert_false(start_part_equal(&before, &after));
	start_part_release(&after);
	a.seen = false;
	(void)snprintf(path, sizeof(path), "%s/signing.pem", folder);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	(void)close(fd);
	assert_int_equal(start_part_fill(&c, "ke.ma", &after), OK);
	assert_false(start_part_equal(&before, &after));
	start_part_release(&after);
	(void)unlink(path);
	assert_int_equal(start_part_fill(&c, "ke.other", &after), ERR_NOT_FOUND);
	start_part_release(&before);
}

/* --- hooks --- */

static void
write_hook(const char *name, const char *body, char *path)
{
	CLEANUP(buffer_release) struct buffer text = { 0 };
	int fd;

	(void)snprintf(path, 64, "%s/%s", folder, name);
	fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0700);
	assert_true(fd >= 0);
	buffer_printf(&text, "#!/bin/sh\n%s\n", body);
	assert_int_equal(write(fd, text.at, text.len), (ssize_t)text.len);
	(void)close(fd);
}

static void
read_text(const char *name, char *out, size_t size)
{
	char path[64];
	int fd;
	ssize_t n;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	n = read(fd, out, size - 1);
	out[n > 0 ? n : 0] = '\0';
	(void)close(fd);
	(void)unlink(path);
}

static void
test_hook_gets_three_words_and_nothing_else(void **state)
{
	const struct hooks_user nobody_else = { 0 };
	struct world *w = *state;
	CLEANUP(buffer_release) struct buffer body = { 0 };
	char path[64], text[512];

	buffer_printf(&body,
	    "{ echo \"$# $1 $2 $3\"; ls /proc/self/fd | wc -l; cat /proc/self/environ | tr '\\0' "
	    "'\\n' | grep -v -e ^PWD= -e ^OLDPWD= -e ^_= -e ^SHLVL=; ulimit -c; } >%s/out 2>&1",
	    folder);
	write_hook("hook", buffer_text(&body), path);
	w->hooks = hooks_new(w->loop, &nobody_else);
	w->until_hooks_end = true;
	assert_int_equal(hooks_run(w->hooks, path, "new", ID, "query"), OK);
	run(w, 10000);
	read_text("out", text, sizeof(text));
	/* ls itself opens one more */
	assert_string_equal(text, "3 new " ID " query\n4\n0\n");
	(void)unlink(path);
}

static void
test_hook_refuses_what_is_no_event(void **state)
{
	static const struct {
		const char *event, *id, *kind;
	} bad[] = {
		{ "old news", "", "" },
		{ "", "", "" },
		{ "-rf", "", "" },
		{ "new", "not an id", "query" },
		{ "new", "../../etc/passwd", "query" },
		{ "new", ID, "-query" },
		{ "new", ID, "two words" },
		{ "new", ID, "$(reboot)" },
		{ "new", ID, "Query" },
		{ "new", ID, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" },
	};
	const struct hooks_user nobody_else = { 0 };
	struct world *w = *state;

	w->hooks = hooks_new(w->loop, &nobody_else);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(
		    hooks_run(w->hooks, "/bin/true", bad[i].event, bad[i].id, bad[i].kind),
		    ERR_VALUE);
	assert_int_equal(hooks_running(w->hooks), 0);
}

static void
test_hooks_run_few_at_once_and_wait_in_a_bounded_queue(void **state)
{
	const struct hooks_user nobody_else = { 0 };
	struct world *w = *state;
	char path[64];

	write_hook("hook", "exec sleep 1000", path);
	w->hooks = hooks_new(w->loop, &nobody_else);
	for (unsigned i = 0; i < HOOKS_RUNNING_MAX + HOOKS_WAITING_MAX; i++)
		assert_int_equal(hooks_run(w->hooks, path, "due", ID, "query"), OK);
	assert_int_equal(hooks_running(w->hooks), HOOKS_RUNNING_MAX);
	assert_int_equal(hooks_run(w->hooks, path, "due", ID, "query"), ERR_QUEUE_FULL);
	(void)unlink(path);
}

static void
wait_for_line(const char *name)
{
	char path[64];
	struct stat st = { .st_size = 0 };

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	while (stat(path, &st) != 0 || st.st_size == 0)
		(void)usleep(1000);
}

static void
test_hook_that_hangs_is_killed_with_its_children(void **state)
{
	const struct hooks_user nobody_else = { 0 };
	struct world *w = *state;
	CLEANUP(buffer_release) struct buffer body = { 0 };
	char path[64], text[64];
	pid_t child;

	buffer_printf(&body, "sleep 1000 & echo $! >%s/out; wait", folder);
	write_hook("hook", buffer_text(&body), path);
	w->hooks = hooks_new(w->loop, &nobody_else);
	assert_int_equal(hooks_run(w->hooks, path, "new", ID, "query"), OK);
	wait_for_line("out");
	move_clock(w, HOOK_MAX_MS - 1);
	assert_int_equal(kills, 0);
	w->until_hooks_end = true;
	move_clock(w, 1);
	assert_true(kills > 0);
	if (hooks_running(w->hooks) > 0)
		run(w, 10000);
	read_text("out", text, sizeof(text));
	child = (pid_t)strtol(text, NULL, 10);
	assert_true(child > 1);
	for (unsigned i = 0; i < 100 && kill(child, 0) == 0; i++) {
		char status[64], line[256] = "";
		int fd;

		(void)snprintf(status, sizeof(status), "/proc/%d/stat", (int)child);
		fd = open(status, O_RDONLY);
		if (fd < 0 || read(fd, line, sizeof(line) - 1) <= 0 || strstr(line, ") Z") != NULL)
			break; /* a zombie that nobody has buried yet */
		(void)close(fd);
		(void)usleep(20000);
		assert_true(i < 99);
	}
	(void)unlink(path);
}

/* --- sockets --- */

static int
listen_at(const char *path, mode_t mode, enum err wanted)
{
	const struct socket_rights rights = { .mode = mode };
	CLEANUP(buffer_release) struct buffer why = { 0 };
	int fd = -1;

	assert_int_equal(socket_listen_local(path, &rights, &fd, &why), wanted);
	assert_int_equal(why.len > 0, wanted != OK);
	return fd;
}

static void
test_socket_of_the_dead_is_replaced_and_of_the_living_not(void **state)
{
	char path[64];
	struct stat st;
	int fd;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/a.sock", folder);
	fd = listen_at(path, 0660, OK);
	assert_return_code(stat(path, &st), errno);
	assert_int_equal(st.st_mode & 07777, 0660);
	(void)listen_at(path, 0660, ERR_LOCKED);
	(void)close(fd); /* its name stays behind */
	assert_return_code(stat(path, &st), errno);
	fd = listen_at(path, 0600, OK);
	assert_return_code(stat(path, &st), errno);
	assert_int_equal(st.st_mode & 07777, 0600);
	(void)close(fd);
	(void)unlink(path);
}

static void
test_socket_never_replaces_a_file(void **state)
{
	char path[64];
	struct stat st;

	(void)state;
	write_hook("a.sock", "", path);
	(void)listen_at(path, 0600, ERR_SYSTEM);
	assert_return_code(stat(path, &st), errno);
	assert_true(S_ISREG(st.st_mode));
	(void)unlink(path);
}

static void
test_address_in_use_is_refused(void **state)
{
	CLEANUP(buffer_release) struct buffer why = { 0 };
	int fd = -1, second = -1;
	unsigned port = 20000 + (unsigned)getpid() % 30000;
	char address[32];
	enum err e = ERR_LOCKED;

	(void)state;
	for (; e == ERR_LOCKED; port++) {
		(void)snprintf(address, sizeof(address), "127.0.0.1:%u", port);
		e = socket_listen(address, &fd, &why);
	}
	assert_int_equal(e, OK);
	assert_int_equal(socket_listen(address, &second, &why), ERR_LOCKED);
	assert_int_equal(socket_listen("nowhere:1", &second, &why), ERR_SYSTEM);
	(void)close(fd);
}

static int
make_folder(void **state)
{
	(void)state;
	log_set_level(LEVEL_ERROR);
	return mkdtemp(folder) != NULL ? 0 : -1;
}

static int
remove_folder(void **state)
{
	(void)state;
	return rmdir(folder);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define STANDING(name) cmocka_unit_test_setup_teardown(name, set_up_standing, tear_down)
		T(test_process_gets_what_it_needs_and_no_more),
		T(test_process_that_says_why_it_cannot_is_not_started_again),
		T(test_process_that_dies_is_started_at_once_and_then_later),
		T(test_process_that_speaks_wrongly_dies_and_comes_back),
		STANDING(test_process_that_never_gets_ready_is_killed),
		STANDING(test_process_is_asked_whether_it_lives),
		STANDING(test_process_that_falls_silent_is_killed),
		STANDING(test_process_that_was_silent_a_little_less_is_not_killed),
		STANDING(test_process_that_dies_and_dies_waits_longer_each_time),
		STANDING(test_process_steady_for_a_while_is_started_at_once_again),
		STANDING(test_process_that_does_not_stop_is_killed),
		STANDING(test_process_that_hangs_up_and_stays_is_killed),
		T(test_process_is_stopped_and_started_again_for_a_reload),
		T(test_process_takes_a_directory_in_parts),
		T(test_part_changes_with_what_it_holds),
		T(test_hook_gets_three_words_and_nothing_else),
		T(test_hook_refuses_what_is_no_event),
		T(test_hooks_run_few_at_once_and_wait_in_a_bounded_queue),
		STANDING(test_hook_that_hangs_is_killed_with_its_children),
		T(test_socket_of_the_dead_is_replaced_and_of_the_living_not),
		T(test_socket_never_replaces_a_file),
		T(test_address_in_use_is_refused),
	};

	if (argc > 2 && strcmp(argv[1], "--role") == 0)
		return be_child();
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
