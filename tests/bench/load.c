/* SPDX-License-Identifier: Apache-2.0 */
/* The load of a benchmark: officers' programs that submit messages as fast as
 * an office takes them, and one that hears when each was opened at the other
 * end. An office takes one request of a connection after the other, each when
 * the one before is on disk, so there are as many connections as may submit at
 * once.
 *
 *   load SOCKET AUTHORITY[,AUTHORITY...] COUNT WINDOW BODY_BYTES
 *
 * At most WINDOW messages are under way (submitted, not yet opened by all).
 * Prints one JSON object: seconds, messages a second, p50 and p99 in ms. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "proto/desk.pb-c.h"
#include "proto/frame.h"
#include "proto/ids.h"
#include "proto/kind.h"
#include "proto/kinds/query.pb-c.h"

#define STALL_MS 120000
#define WRITERS_MAX 24 /* below DESK_CLIENTS_PER_USER_MAX */

struct sent {
	char id[ID_TEXT_BYTES];
	int64_t begin_us, end_us;
	unsigned opened_count;
};

struct writer {
	int fd;
	bool busy;
	struct frame_reader in;
};

struct load {
	char *to[ADDRESSEES_MAX];
	size_t to_count;
	unsigned count, window;
	struct buffer body;
	struct sent *sent;
	unsigned submitted, done;
	struct writer writers[WRITERS_MAX];
	unsigned writer_count;
	int watch_fd;
	struct frame_reader watch_in;
};

static int64_t
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void
die(const char *what)
{
	fprintf(stderr, "load: %s\n", what);
	exit(1);
}

static int
dial(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(a.sun_path))
		die("the path of the socket is too long");
	memcpy(a.sun_path, path, strlen(path));
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) != 0)
		die(strerror(errno));
	return fd;
}

static void
send_request(int fd, Citex__Request *r)
{
	CLEANUP(buffer_release) struct buffer b = { 0 };
	size_t at = 0;

	frame_write(&r->base, &b);
	if (buffer_status(&b) != OK)
		die("the request is too large");
	while (at < b.len) {
		ssize_t n = write(fd, b.at + at, b.len - at);
		if (n < 0 && errno != EINTR)
			die(strerror(errno));
		at += n > 0 ? (size_t)n : 0;
	}
}

static void
make_body(struct load *l, size_t bytes)
{
	Citex__Query q = CITEX__QUERY__INIT;
	Citex__Permit permit = CITEX__PERMIT__INIT;
	char *reason = (char *)(uintptr_t) "AUTHENTIC";
	char *text = xalloc(bytes + 1);

	memset(text, 'x', bytes);
	permit.number = (char *)(uintptr_t) "KE 2026/0417";
	q.permit = &permit;
	q.reason = &reason;
	q.n_reason = 1;
	q.text = text;
	proto_pack(&q.base, &l->body);
	free(text);
}

static void
submit_one(struct load *l, struct writer *w)
{
	Citex__Request r = CITEX__REQUEST__INIT;
	Citex__Submit s = CITEX__SUBMIT__INIT;
	struct sent *m = &l->sent[l->submitted++];
	uint8_t chance[10];
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	for (size_t i = 0; i < sizeof(chance); i++)
		chance[i] = (uint8_t)(random() >> 7);
	id_print(id_make((int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000, chance), m->id);
	s.id = m->id;
	s.kind = (char *)(uintptr_t) "query";
	s.to = l->to;
	s.n_to = l->to_count;
	s.body = pb_of_bytes(buffer_bytes(&l->body));
	r.number = l->submitted;
	r.what_case = CITEX__REQUEST__WHAT_SUBMIT;
	r.submit = &s;
	m->begin_us = now_us();
	w->busy = true;
	send_request(w->fd, &r);
}

static void
watch(struct load *l)
{
	Citex__Request r = CITEX__REQUEST__INIT;
	Citex__Watch w = CITEX__WATCH__INIT;

	r.number = 1;
	r.what_case = CITEX__REQUEST__WHAT_WATCH;
	r.watch = &w;
	send_request(l->watch_fd, &r);
}

static void
on_answer(struct load *l, const Citex__Answer *a)
{
	(void)l;
	if (a->what_case == CITEX__ANSWER__WHAT_FAILURE)
		die(a->failure->words);
}

static void
on_event(struct load *l, const Citex__Answer *a)
{
	if (a->what_case != CITEX__ANSWER__WHAT_EVENT || strcmp(a->event->event, "state") != 0 ||
	    strcmp(a->event->state, "opened") != 0)
		return;
	/* the newest are the likely ones */
	for (unsigned i = l->submitted; i-- > 0;) {
		struct sent *m = &l->sent[i];
		if (strcmp(m->id, a->event->id) != 0)
			continue;
		if (++m->opened_count == l->to_count) {
			m->end_us = now_us();
			l->done++;
		}
		return;
	}
}

/* How many answers there were. */
static unsigned
take_frames(struct load *l, int fd, struct frame_reader *r,
    void (*on)(struct load *l, const Citex__Answer *a))
{
	uint8_t piece[65536];
	ssize_t n = read(fd, piece, sizeof(piece));
	struct bytes frame;
	unsigned count = 0;

	if (n <= 0)
		die("the office closed the connection");
	frame_feed(r, (struct bytes){ piece, (size_t)n });
	while (frame_next(r, &frame) == OK) {
		Citex__Answer *a = NULL;
		if (proto_unpack(&citex__answer__descriptor, frame, (ProtobufCMessage **)&a) != OK)
			die("the office sent what is no answer");
		on(l, a);
		proto_free(&a->base);
		count++;
	}
	return count;
}

static void
submit_some(struct load *l)
{
	for (unsigned i = 0; i < l->writer_count; i++) {
		struct writer *w = &l->writers[i];
		if (l->submitted == l->count || l->submitted - l->done >= l->window)
			return;
		if (!w->busy)
			submit_one(l, w);
	}
}

static void
run(struct load *l)
{
	struct pollfd fds[WRITERS_MAX + 1];

	for (unsigned i = 0; i < l->writer_count; i++)
		fds[i] = (struct pollfd){ l->writers[i].fd, POLLIN, 0 };
	fds[l->writer_count] = (struct pollfd){ l->watch_fd, POLLIN, 0 };
	while (l->done < l->count) {
		submit_some(l);
		if (poll(fds, l->writer_count + 1, STALL_MS) <= 0)
			die("nothing happened for two minutes");
		for (unsigned i = 0; i < l->writer_count; i++) {
			if (fds[i].revents == 0)
				continue;
			if (take_frames(l, fds[i].fd, &l->writers[i].in, on_answer) > 0)
				l->writers[i].busy = false;
		}
		if (fds[l->writer_count].revents != 0)
			(void)take_frames(l, l->watch_fd, &l->watch_in, on_event);
	}
}

static int
by_time(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y ? 1 : 0;
}

static void
report(const struct load *l, int64_t took_us)
{
	int64_t *times = xalloc_array(l->count, sizeof(*times));

	for (unsigned i = 0; i < l->count; i++)
		times[i] = l->sent[i].end_us - l->sent[i].begin_us;
	qsort(times, l->count, sizeof(*times), by_time);
	printf("{\"seconds\": %.6f, \"per_second\": %.1f, \"p50_ms\": %.3f, \"p99_ms\": %.3f}\n",
	    (double)took_us / 1e6, l->count / ((double)took_us / 1e6),
	    (double)times[l->count / 2] / 1e3, (double)times[(size_t)l->count * 99 / 100] / 1e3);
	free(times);
}

int
main(int argc, char **argv)
{
	static struct load l;
	int64_t begin_us;

	if (argc != 6)
		die("usage: load SOCKET AUTHORITY[,AUTHORITY...] COUNT WINDOW BODY_BYTES");
	for (char *rest = argv[2], *word;
	     (word = strsep(&rest, ",")) != NULL && l.to_count < ADDRESSEES_MAX;)
		l.to[l.to_count++] = word;
	l.count = (unsigned)strtoul(argv[3], NULL, 10);
	l.window = (unsigned)strtoul(argv[4], NULL, 10);
	if (l.count == 0 || l.window == 0)
		die("COUNT and WINDOW are at least 1");
	srandom((unsigned)now_us());
	make_body(&l, strtoul(argv[5], NULL, 10));
	l.sent = xalloc_array(l.count, sizeof(*l.sent));
	l.writer_count = l.window < WRITERS_MAX ? l.window : WRITERS_MAX;
	for (unsigned i = 0; i < l.writer_count; i++) {
		l.writers[i].fd = dial(argv[1]);
		frame_reader_init(&l.writers[i].in);
	}
	l.watch_fd = dial(argv[1]);
	frame_reader_init(&l.watch_in);
	watch(&l);
	begin_us = now_us();
	run(&l);
	report(&l, now_us() - begin_us);
	for (unsigned i = 0; i < l.writer_count; i++)
		frame_reader_release(&l.writers[i].in);
	frame_reader_release(&l.watch_in);
	buffer_release(&l.body);
	free(l.sent);
	return 0;
}
