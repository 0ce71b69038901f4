/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/counter.h"
#include "daemon/log.h"

#define MAY_READ 1u
#define MAY_MANAGE 2u

/* The counter runs in a thread of its own, the test is a program that asks. */
static struct loop *loop;
static struct counter *counter;
static struct turn *held; /* of `doctor': not answered yet */
static pthread_t thread;
static char place[] = "/tmp/citex-counter-XXXXXX";
static char path[80];
static atomic_bool nobody; /* users are nobody here */
static atomic_uint rooms, ended_late, came, went; /* visits: who asked last, who left last */

static atomic_uint user_shift; /* who comes now is another user, by so much */

/* Instead of the C library's: a test is one user, and the counter knows them by this. */
int
getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	int result = (int)syscall(SYS_getsockopt, fd, level, name, value, len);

	if (result == 0 && level == SOL_SOCKET && name == SO_PEERCRED)
		((struct ucred *)value)->uid += atomic_load(&user_shift);
	return result;
}

static bool
who(void *arg, uid_t user, struct visitor *out)
{
	(void)arg;
	(void)user;
	if (atomic_load(&nobody))
		return false;
	(void)snprintf(out->name, sizeof(out->name), "A. Officer");
	out->may = MAY_READ;
	return true;
}

static void
run_status(void *arg, struct turn *t, const Citex__Request *r)
{
	Citex__StatusView status = CITEX__STATUS_VIEW__INIT;
	Citex__Answer a = CITEX__ANSWER__INIT;
	(void)arg;
	(void)r;
	status.authority = (char *)(uintptr_t)turn_visitor(t)->name;
	atomic_store(&came, (unsigned)turn_visitor(t)->visit);
	a.what_case = CITEX__ANSWER__WHAT_STATUS;
	a.status = &status;
	turn_answer(t, &a);
}

static void
left(void *arg, const struct visitor *v)
{
	(void)arg;
	atomic_store(&went, (unsigned)v->visit);
}

static void
run_doctor(void *arg, struct turn *t, const Citex__Request *r)
{
	(void)arg;
	(void)r;
	held = t;
}

static void
run_track(void *arg, struct turn *t, const Citex__Request *r)
{
	(void)arg;
	turn_fail(t, ERR_NOT_FOUND, "no message %s", r->track->id);
}

static void
run_watch(void *arg, struct turn *t, const Citex__Request *r)
{
	(void)arg;
	(void)r;
	held = t;
}

struct stream {
	struct turn *turn;
	unsigned left;
};

static void
stream_on(void *arg)
{
	struct stream *s = arg;
	static uint8_t piece[60000];
	while (s->left > 0 && !turn_is_gone(s->turn)) {
		Citex__Data data = CITEX__DATA__INIT;
		Citex__Answer a = CITEX__ANSWER__INIT;
		if (turn_is_full(s->turn)) {
			atomic_fetch_add(&rooms, 1);
			turn_when_room(s->turn, stream_on, s);
			return;
		}
		data.data = (ProtobufCBinaryData){ sizeof(piece), piece };
		a.what_case = CITEX__ANSWER__WHAT_DATA;
		a.data = &data;
		s->left--;
		turn_more(s->turn, &a);
	}
	if (turn_is_gone(s->turn))
		atomic_fetch_add(&ended_late, 1);
	turn_done(s->turn, OK);
	free(s);
}

static void
run_export(void *arg, struct turn *t, const Citex__Request *r)
{
	struct stream *s = malloc(sizeof(*s));
	(void)arg;
	(void)r;
	s->turn = t;
	s->left = 200; /* 12 MB */
	stream_on(s);
}

static void
run_put(void *arg, struct turn *t, const Citex__Request *r)
{
	(void)arg;
	(void)r;
	turn_done(t, OK);
}

static const struct counter_row rows[] = {
	{ CITEX__REQUEST__WHAT_STATUS, "status", MAY_READ, false, run_status },
	{ CITEX__REQUEST__WHAT_TRACK, "track", MAY_READ, false, run_track },
	{ CITEX__REQUEST__WHAT_DOCTOR, "doctor", MAY_READ, false, run_doctor },
	{ CITEX__REQUEST__WHAT_WATCH, "watch", MAY_READ, true, run_watch },
	{ CITEX__REQUEST__WHAT_EXPORT, "export", MAY_READ, false, run_export },
	{ CITEX__REQUEST__WHAT_PUT, "put", MAY_READ, true, run_put },
	{ CITEX__REQUEST__WHAT_QUARANTINE, "quarantine", MAY_READ | MAY_MANAGE, false, run_status },
	{ 0 },
};

static void *
run_loop(void *arg)
{
	loop_run(arg);
	return NULL;
}

static int
start(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct counter_rules rules = { "the office of ke.ma", rows, who, NULL, left };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	(void)state;
	log_open("test", LEVEL_ERROR);
	if (mkdtemp(place) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/sock", place);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, 128) != 0)
		return -1;
	loop = loop_new();
	counter = counter_new(loop, fd, &rules);
	return pthread_create(&thread, NULL, run_loop, loop);
}

static void
stop_it(void *arg)
{
	(void)arg;
	if (held != NULL)
		turn_done(held, OK);
	counter_free(counter);
	loop_stop(loop);
}

static int
stop(void **state)
{
	(void)state;
	loop_call(loop, stop_it, NULL);
	pthread_join(thread, NULL);
	loop_free(loop);
	unlink(path);
	return rmdir(place);
}

/* Run FN in the loop's thread and wait for it. */
struct errand {
	void (*fn)(void *arg);
	void *arg;
	atomic_bool done;
};

static void
do_errand(void *arg)
{
	struct errand *e = arg;
	e->fn(e->arg);
	atomic_store(&e->done, true);
}

static void
in_loop(void (*fn)(void *arg), void *arg)
{
	struct errand e = { fn, arg, false };
	loop_call(loop, do_errand, &e);
	while (!atomic_load(&e.done))
		usleep(500);
}

static void
get_figures(void *arg)
{
	*(struct counter_figures *)arg = counter_figures(counter);
}

static struct counter_figures
figures(void)
{
	struct counter_figures f;
	in_loop(get_figures, &f);
	return f;
}

static int
visit(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* Send a request of WHAT, numbered NUMBER. All members of the oneof used here are empty or ids. */
static void
ask(int fd, uint32_t number, Citex__Request__WhatCase what)
{
	static Citex__Status status = CITEX__STATUS__INIT;
	static Citex__Track track = CITEX__TRACK__INIT;
	static Citex__Doctor doctor = CITEX__DOCTOR__INIT;
	static Citex__Watch watch = CITEX__WATCH__INIT;
	static Citex__Export export = CITEX__EXPORT__INIT;
	static Citex__Put put = CITEX__PUT__INIT;
	static Citex__Quarantine quarantine = CITEX__QUARANTINE__INIT;
	static Citex__NodePeers peers = CITEX__NODE_PEERS__INIT;
	Citex__Request r = CITEX__REQUEST__INIT;
	struct buffer out = { 0 };
	r.number = number;
	r.what_case = what;
	switch (what) {
	case CITEX__REQUEST__WHAT_STATUS:
		r.status = &status;
		break;
	case CITEX__REQUEST__WHAT_TRACK:
		r.track = &track;
		break;
	case CITEX__REQUEST__WHAT_DOCTOR:
		r.doctor = &doctor;
		break;
	case CITEX__REQUEST__WHAT_WATCH:
		r.watch = &watch;
		break;
	case CITEX__REQUEST__WHAT_EXPORT:
		r.export = &export;
		break;
	case CITEX__REQUEST__WHAT_PUT:
		r.put = &put;
		break;
	case CITEX__REQUEST__WHAT_QUARANTINE:
		r.quarantine = &quarantine;
		break;
	default:
		r.peers = &peers;
		break;
	}
	frame_write(&r.base, &out);
	assert_int_equal(write(fd, out.at, out.len), (ssize_t)out.len);
	buffer_release(&out);
}

/* The next answer within MS; NULL: none. */
static Citex__Answer *
hear(int fd, struct frame_reader *in, int ms)
{
	static uint8_t piece[65536];
	struct bytes frame;
	while (frame_next(in, &frame) != OK) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		if (poll(&p, 1, ms) != 1)
			return NULL;
		ssize_t n = read(fd, piece, sizeof(piece));
		if (n <= 0)
			return NULL;
		frame_feed(in, (struct bytes){ piece, (size_t)n });
	}
	ProtobufCMessage *m = NULL;
	assert_int_equal(proto_unpack(&citex__answer__descriptor, frame, &m), OK);
	return (Citex__Answer *)m;
}

static void
expect(int fd, struct frame_reader *in, uint32_t number, Citex__Answer__WhatCase what, enum err e)
{
	Citex__Answer *a = hear(fd, in, 3000);
	assert_non_null(a);
	assert_int_equal(a->number, number);
	assert_int_equal(a->what_case, what);
	if (what == CITEX__ANSWER__WHAT_FAILURE) {
		assert_string_equal(a->failure->error, err_name(e));
		assert_true(a->failure->words[0] != '\0');
	}
	proto_free(&a->base);
}

static void
expect_closed(int fd)
{
	char c;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	assert_int_equal(poll(&p, 1, 3000), 1);
	assert_true(read(fd, &c, 1) <= 0);
}

static void
test_answers_carry_the_number_of_their_request(void **state)
{
	struct frame_reader in;
	int fd = visit();
	(void)state;
	frame_reader_init(&in);
	ask(fd, 41, CITEX__REQUEST__WHAT_STATUS);
	ask(fd, 7, CITEX__REQUEST__WHAT_TRACK);
	ask(fd, 9, CITEX__REQUEST__WHAT_STATUS);
	expect(fd, &in, 41, CITEX__ANSWER__WHAT_STATUS, OK);
	expect(fd, &in, 7, CITEX__ANSWER__WHAT_FAILURE, ERR_NOT_FOUND);
	expect(fd, &in, 9, CITEX__ANSWER__WHAT_STATUS, OK);
	frame_reader_release(&in);
	close(fd);
}

static void
release_held(void *arg)
{
	(void)arg;
	turn_done(held, OK);
	held = NULL;
}

static void
is_held(void *arg)
{
	*(bool *)arg = held != NULL;
}

static void
wait_held(void)
{
	bool yes = false;
	for (int i = 0; i < 500 && !yes; i++) {
		in_loop(is_held, &yes);
		if (!yes)
			usleep(2000);
	}
	assert_true(yes);
}

static void
test_a_request_waits_for_the_one_before_it(void **state)
{
	struct frame_reader in;
	int fd = visit();
	(void)state;
	frame_reader_init(&in);
	ask(fd, 1, CITEX__REQUEST__WHAT_DOCTOR);
	ask(fd, 2, CITEX__REQUEST__WHAT_STATUS);
	wait_held();
	assert_null(hear(fd, &in, 50));
	in_loop(release_held, NULL);
	expect(fd, &in, 1, CITEX__ANSWER__WHAT_DONE, OK);
	expect(fd, &in, 2, CITEX__ANSWER__WHAT_STATUS, OK);
	frame_reader_release(&in);
	close(fd);
}

static void
test_user_who_is_nobody_is_denied_in_words_and_counted(void **state)
{
	struct frame_reader in;
	uint64_t before = figures().denied;
	int fd;
	(void)state;
	frame_reader_init(&in);
	atomic_store(&nobody, true);
	fd = visit();
	expect(fd, &in, 0, CITEX__ANSWER__WHAT_FAILURE, ERR_DENIED);
	expect_closed(fd);
	atomic_store(&nobody, false);
	assert_int_equal(figures().denied, before + 1);
	frame_reader_release(&in);
	close(fd);
}

static void
test_what_a_visitor_may_not_do_is_denied(void **state)
{
	struct frame_reader in;
	int fd = visit();
	(void)state;
	frame_reader_init(&in);
	ask(fd, 1, CITEX__REQUEST__WHAT_QUARANTINE);
	expect(fd, &in, 1, CITEX__ANSWER__WHAT_FAILURE, ERR_DENIED);
	ask(fd, 2, CITEX__REQUEST__WHAT_PEERS);
	expect(fd, &in, 2, CITEX__ANSWER__WHAT_FAILURE, ERR_UNEXPECTED);
	ask(fd, 3, CITEX__REQUEST__WHAT_STATUS);
	expect(fd, &in, 3, CITEX__ANSWER__WHAT_STATUS, OK);
	frame_reader_release(&in);
	close(fd);
}

static void
test_stream_waits_for_a_slow_reader(void **state)
{
	struct frame_reader in;
	unsigned before = atomic_load(&rooms);
	int fd = visit();
	(void)state;
	frame_reader_init(&in);
	ask(fd, 1, CITEX__REQUEST__WHAT_EXPORT);
	for (int i = 0; i < 1000 && atomic_load(&rooms) == before; i++)
		usleep(2000);
	assert_true(atomic_load(&rooms) > before); /* it stopped while nothing was read */
	for (int i = 0; i < 200; i++)
		expect(fd, &in, 1, CITEX__ANSWER__WHAT_DATA, OK);
	expect(fd, &in, 1, CITEX__ANSWER__WHAT_DONE, OK);
	frame_reader_release(&in);
	close(fd);
}

static void
test_stream_ends_when_its_reader_leaves(void **state)
{
	unsigned before = atomic_load(&rooms), late = atomic_load(&ended_late);
	int fd = visit();
	(void)state;
	ask(fd, 1, CITEX__REQUEST__WHAT_EXPORT);
	for (int i = 0; i < 1000 && atomic_load(&rooms) == before; i++)
		usleep(2000);
	close(fd);
	for (int i = 0; i < 1000 && atomic_load(&ended_late) == late; i++)
		usleep(2000);
	assert_int_equal(atomic_load(&ended_late), late + 1);
}

static void
test_listener_who_leaves_is_noticed_at_once(void **state)
{
	unsigned before = figures().visitors;
	int fd = visit();
	(void)state;
	ask(fd, 1, CITEX__REQUEST__WHAT_WATCH);
	wait_held();
	assert_int_equal(figures().visitors, before + 1);
	close(fd);
	for (int i = 0; i < 500 && figures().visitors > before; i++)
		usleep(2000);
	assert_int_equal(figures().visitors, before);
	in_loop(release_held, NULL); /* its turn is still there, and nobody hears of it */
}

static void
test_the_end_of_a_visit_is_told(void **state)
{
	struct frame_reader in;
	int fd = visit(), other = visit();
	(void)state;
	frame_reader_init(&in);
	ask(fd, 1, CITEX__REQUEST__WHAT_STATUS);
	expect(fd, &in, 1, CITEX__ANSWER__WHAT_STATUS, OK);
	assert_int_not_equal(atomic_load(&came), 0);
	assert_int_not_equal(atomic_load(&came), atomic_load(&went));
	close(fd);
	for (int i = 0; i < 1000 && atomic_load(&went) != atomic_load(&came); i++)
		usleep(2000);
	assert_int_equal(atomic_load(&went), atomic_load(&came));
	frame_reader_release(&in);
	close(other);
}

static void
test_one_user_has_so_many_places_and_no_more(void **state)
{
	int fds[DESK_CLIENTS_PER_USER_MAX];
	struct frame_reader in;
	int over;
	(void)state;
	for (int i = 0; i < 500 && figures().visitors > 0; i++)
		usleep(2000);
	frame_reader_init(&in);
	for (size_t i = 0; i < DESK_CLIENTS_PER_USER_MAX; i++) {
		frame_reader_release(&in);
		frame_reader_init(&in);
		fds[i] = visit();
		ask(fds[i], 1, CITEX__REQUEST__WHAT_STATUS); /* when it is answered, it is in */
		expect(fds[i], &in, 1, CITEX__ANSWER__WHAT_STATUS, OK);
	}
	frame_reader_release(&in);
	frame_reader_init(&in);
	over = visit();
	expect(over, &in, 0, CITEX__ANSWER__WHAT_FAILURE, ERR_BUSY);
	expect_closed(over);
	close(over);
	frame_reader_release(&in);
	frame_reader_init(&in);
	ask(fds[DESK_CLIENTS_PER_USER_MAX - 1], 1, CITEX__REQUEST__WHAT_STATUS);
	expect(fds[DESK_CLIENTS_PER_USER_MAX - 1], &in, 1, CITEX__ANSWER__WHAT_STATUS, OK);
	frame_reader_release(&in);
	for (size_t i = 0; i < DESK_CLIENTS_PER_USER_MAX; i++)
		close(fds[i]);
	for (int i = 0; i < 500 && figures().visitors > 0; i++)
		usleep(2000);
	assert_int_equal(figures().visitors, 0);
}

/* A visitor who is in when this returns. */
static int
visit_and_ask(void)
{
	struct frame_reader in;
	int fd = visit();

	frame_reader_init(&in);
	ask(fd, 1, CITEX__REQUEST__WHAT_STATUS);
	expect(fd, &in, 1, CITEX__ANSWER__WHAT_STATUS, OK);
	frame_reader_release(&in);
	return fd;
}

static void
expect_visitors(unsigned count)
{
	for (int i = 0; i < 500 && figures().visitors != count; i++)
		usleep(2000);
	assert_int_equal(figures().visitors, count);
}

static void
test_all_users_have_so_many_places_and_no_more(void **state)
{
	int fds[DESK_CLIENTS_MAX], over;
	struct frame_reader in;

	(void)state;
	expect_visitors(0);
	for (unsigned i = 0; i < DESK_CLIENTS_MAX; i++) {
		atomic_store(&user_shift, i / DESK_CLIENTS_PER_USER_MAX);
		fds[i] = visit_and_ask();
	}
	atomic_store(&user_shift, DESK_CLIENTS_MAX); /* one who has no place yet */
	frame_reader_init(&in);
	over = visit();
	expect(over, &in, 0, CITEX__ANSWER__WHAT_FAILURE, ERR_BUSY);
	expect_closed(over);
	frame_reader_release(&in);
	close(over);
	close(fds[0]);
	expect_visitors(DESK_CLIENTS_MAX - 1);
	fds[0] = visit_and_ask();
	for (unsigned i = 0; i < DESK_CLIENTS_MAX; i++)
		close(fds[i]);
	expect_visitors(0);
	atomic_store(&user_shift, 0);
}

/* A session of random bytes, often with lengths and tags that fit; then the counter still answers.
 */
static void
test_garbage_closes_its_sender_and_nobody_else(void **state)
{
	struct frame_reader in;
	struct counter_figures before = figures();
	int good = visit();
	uint32_t seed = 11;
	(void)state;
	frame_reader_init(&in);
	for (int i = 0; i < 10000; i++) {
		uint8_t junk[48];
		int fd = visit();
		for (size_t j = 0; j < sizeof(junk); j++) {
			seed = seed * 1664525 + 1013904223;
			junk[j] = (uint8_t)(seed >> 24);
		}
		if (i % 3 != 0) {
			memcpy(junk, "\0\0\0", 3);
			junk[3] = (uint8_t)(1 + seed % 43);
		}
		if (i % 3 == 2)
			memcpy(junk + 4, "\x08\x01\x7a\x00", 4); /* number 1, status */
		(void)!send(fd, junk, sizeof(junk), MSG_NOSIGNAL);
		shutdown(fd, SHUT_WR);
		while (read(fd, junk, sizeof(junk)) > 0)
			;
		close(fd);
	}
	assert_true(figures().malformed > before.malformed + 1000);
	ask(good, 5, CITEX__REQUEST__WHAT_STATUS);
	expect(good, &in, 5, CITEX__ANSWER__WHAT_STATUS, OK);
	frame_reader_release(&in);
	close(good);
}

static void
test_too_long_a_frame_is_told_and_closed(void **state)
{
	static const uint8_t head[] = { 0, 2, 0, 1, 8, 1 };
	int fd = visit();
	(void)state;
	assert_int_equal(write(fd, head, sizeof(head)), sizeof(head));
	expect_closed(fd);
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers_carry_the_number_of_their_request),
		cmocka_unit_test(test_a_request_waits_for_the_one_before_it),
		cmocka_unit_test(test_user_who_is_nobody_is_denied_in_words_and_counted),
		cmocka_unit_test(test_what_a_visitor_may_not_do_is_denied),
		cmocka_unit_test(test_stream_waits_for_a_slow_reader),
		cmocka_unit_test(test_stream_ends_when_its_reader_leaves),
		cmocka_unit_test(test_listener_who_leaves_is_noticed_at_once),
		cmocka_unit_test(test_the_end_of_a_visit_is_told),
		cmocka_unit_test(test_one_user_has_so_many_places_and_no_more),
		cmocka_unit_test(test_all_users_have_so_many_places_and_no_more),
		cmocka_unit_test(test_garbage_closes_its_sender_and_nobody_else),
		cmocka_unit_test(test_too_long_a_frame_is_told_and_closed),
	};
	return cmocka_run_group_tests(tests, start, stop);
}
