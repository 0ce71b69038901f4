/* SPDX-License-Identifier: Apache-2.0 */
/* Links over real sockets and a loop whose clock the test turns: frames in every split, an owner
 * that closes from within, slow and silent peers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "proto/address.h"
#include "daemon/link.h"
#include "proto/limits.h"
#include "tests/fixtures.h"

/* The loop: everything of daemon/loop.h that link.c uses, with a clock that stands. */

#define WATCHES 64
struct watch {
	bool used;
	int fd;
	unsigned want;
	watch_fn *fn;
	void *arg;
};
struct timer {
	bool used;
	int64_t at_ms;
	loop_fn *fn;
	void *arg;
};
struct loop {
	struct now now;
	struct watch watches[WATCHES];
	struct timer timers[WATCHES];
};
static struct loop the_loop;

struct now
loop_now(struct loop *l)
{
	return l->now;
}

struct timer *
timer_new(struct loop *l, loop_fn *fn, void *arg)
{
	for (size_t i = 0; i < WATCHES; i++)
		if (!l->timers[i].used) {
			l->timers[i] = (struct timer){ true, INT64_MAX, fn, arg };
			return &l->timers[i];
		}
	fail_msg("no timer left");
	return NULL;
}

void
timer_free(struct timer *t)
{
	if (t != NULL)
		t->used = false;
}

void
timer_set(struct timer *t, int64_t mono_ms)
{
	t->at_ms = mono_ms;
}

struct watch *
watch_new(struct loop *l, int fd, watch_fn *fn, void *arg)
{
	for (size_t i = 0; i < WATCHES; i++)
		if (!l->watches[i].used) {
			l->watches[i] = (struct watch){ true, fd, 0, fn, arg };
			return &l->watches[i];
		}
	fail_msg("no watch left");
	return NULL;
}

void
watch_set(struct watch *w, unsigned want)
{
	w->want = want;
}

void
watch_free(struct watch *w)
{
	if (w != NULL)
		w->used = false;
}

static bool
fire_timers(struct loop *l)
{
	bool any = false;

	for (size_t i = 0; i < WATCHES; i++) {
		struct timer *t = &l->timers[i];
		if (!t->used || t->at_ms > l->now.mono_ms)
			continue;
		t->at_ms = INT64_MAX;
		any = true;
		t->fn(t->arg);
	}
	return any;
}

static bool
fire_watches(struct loop *l)
{
	bool any = false;

	for (size_t i = 0; i < WATCHES; i++) {
		struct watch *w = &l->watches[i];
		struct pollfd p = { .fd = w->fd };
		unsigned ready = 0;

		if (!w->used || w->want == 0)
			continue;
		p.events = (short)((w->want & WATCH_READ ? POLLIN : 0) |
		    (w->want & WATCH_WRITE ? POLLOUT : 0));
		if (poll(&p, 1, 0) <= 0)
			continue;
		if (p.revents & (POLLIN | POLLHUP | POLLERR))
			ready |= WATCH_READ;
		if (p.revents & (POLLOUT | POLLHUP | POLLERR))
			ready |= WATCH_WRITE;
		if ((ready & w->want) == 0)
			continue;
		any = true;
		w->fn(w->arg, ready & w->want);
	}
	return any;
}

/* Until nothing happens any more at this instant. */
static void
pump(void)
{
	for (unsigned quiet = 0, turns = 0; quiet < 3; turns++) {
		bool any = fire_timers(&the_loop);
		any = fire_watches(&the_loop) || any;
		quiet = any ? 0 : quiet + 1;
		if (turns > 100000)
			fail_msg("the loop spins");
	}
}

static void
pass(int64_t ms)
{
	the_loop.now.mono_ms += ms;
	pump();
}

/* An owner that notes what it is told. */
struct owner {
	struct link *l;
	const char *peer; /* who is to be at the other end; NULL: nobody, it is local */
	unsigned opened, drained, closed, frames;
	struct buffer got; /* all frames, each with its length */
	enum err why;
	unsigned close_at; /* close the link in this frame */
	unsigned pause_at;
	bool close_in_opened, echo;
};

static void
on_opened(void *arg, struct link *l, const char *peer)
{
	struct owner *o = arg;

	assert_ptr_equal(l, o->l);
	assert_string_equal(peer, o->peer != NULL ? o->peer : "");
	o->opened++;
	if (o->close_in_opened) {
		link_close(l);
		o->l = NULL;
	}
}

static void
on_frame(void *arg, struct link *l, struct bytes frame)
{
	struct owner *o = arg;

	assert_ptr_equal(l, o->l);
	assert_int_equal(o->opened, 1);
	o->frames++;
	buffer_add_u32(&o->got, (uint32_t)frame.len);
	buffer_add(&o->got, frame);
	if (o->echo) {
		uint8_t header[4] = { 0, 0, (uint8_t)(frame.len >> 8), (uint8_t)frame.len };
		link_send(l, BYTES_OF(header));
		link_send(l, frame);
	}
	if (o->frames == o->pause_at)
		link_pause(l, true);
	if (o->frames == o->close_at) {
		link_close(l);
		o->l = NULL;
	}
}

static void
on_drained(void *arg, struct link *l)
{
	struct owner *o = arg;

	assert_ptr_equal(l, o->l);
	assert_true(link_queued_bytes(l) < SEND_HIGH_BYTES / 4);
	o->drained++;
}

static void
on_closed(void *arg, struct link *l, enum err why, const char *words)
{
	struct owner *o = arg;

	assert_ptr_equal(l, o->l);
	assert_non_null(words);
	o->closed++;
	o->why = why;
	o->l = NULL;
}

static const struct link_events owner_events = { on_opened, on_frame, on_drained, on_closed };

/* A local link at one end of a pair, the other end in our hands. */
static int
open_pair(struct owner *o)
{
	int pair[2];

	the_loop.now.mono_ms += 1000;
	assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), errno);
	o->l = link_accept_local(&the_loop, pair[0], &owner_events, o);
	return pair[1];
}

static void
owner_end(struct owner *o, int fd)
{
	if (fd >= 0)
		(void)close(fd);
	if (o->l != NULL)
		link_close(o->l);
	pass(5 * SECOND_MS);
	buffer_release(&o->got);
	for (size_t i = 0; i < WATCHES; i++) {
		assert_false(the_loop.watches[i].used);
		assert_false(the_loop.timers[i].used);
	}
}

static void
put(int fd, const void *bytes, size_t len)
{
	assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
}

static void
add_frame(struct buffer *b, size_t len, uint8_t fill)
{
	buffer_add_u32(b, (uint32_t)len);
	memset(buffer_extend(b, len), fill, len);
}

static void
test_link_opens_later_and_knows_its_peer(void **state)
{
	struct owner o = { 0 };
	int fd = open_pair(&o);

	(void)state;
	assert_int_equal(o.opened, 0);
	pump();
	assert_int_equal(o.opened, 1);
	assert_int_equal(link_peer_uid(o.l), getuid());
	assert_int_equal(link_peer_pid(o.l), getpid());
	assert_string_equal(link_address(o.l), "");
	owner_end(&o, fd);
}

static void
test_link_gives_frames_in_every_split(void **state)
{
	struct buffer stream = { 0 };

	(void)state;
	add_frame(&stream, 1, 'a');
	add_frame(&stream, 7, 'b');
	add_frame(&stream, 300, 'c');
	for (size_t step = 1; step <= stream.len; step++) {
		struct owner o = { 0 };
		int fd = open_pair(&o);

		for (size_t at = 0; at < stream.len; at += step) {
			put(fd, stream.at + at, stream.len - at < step ? stream.len - at : step);
			pump();
		}
		assert_int_equal(o.frames, 3);
		assert_int_equal(o.got.len, stream.len);
		assert_memory_equal(o.got.at, stream.at, stream.len);
		owner_end(&o, fd);
	}
	buffer_release(&stream);
}

static void
test_link_takes_the_largest_frame_and_no_larger(void **state)
{
	(void)state;
	for (unsigned over = 0; over < 2; over++) {
		struct owner o = { 0 };
		struct buffer stream = { 0 };
		int fd = open_pair(&o);

		add_frame(&stream, FRAME_MAX_BYTES + over, 'x');
		for (size_t at = 0; at < stream.len && o.closed == 0; at += 8192) {
			put(fd, stream.at + at, stream.len - at < 8192 ? stream.len - at : 8192);
			pump();
		}
		assert_int_equal(o.frames, 1 - over);
		assert_int_equal(o.closed, over);
		assert_int_equal(o.why, over ? ERR_TOO_LARGE : OK);
		buffer_release(&stream);
		owner_end(&o, fd);
	}
}

static void
test_link_refuses_an_empty_frame(void **state)
{
	struct owner o = { 0 };
	int fd = open_pair(&o);

	(void)state;
	put(fd, "\0\0\0\0", 4);
	pump();
	assert_int_equal(o.closed, 1);
	assert_int_equal(o.why, ERR_MALFORMED);
	owner_end(&o, fd);
}

static void
test_link_peer_that_closes_is_told_once(void **state)
{
	struct owner o = { 0 };
	int fd = open_pair(&o);

	(void)state;
	pump();
	(void)close(fd);
	pump();
	assert_int_equal(o.closed, 1);
	assert_int_equal(o.why, ERR_CLOSED);
	owner_end(&o, -1);
}

static void
test_link_half_frame_has_a_deadline(void **state)
{
	struct owner o = { 0 };
	int fd = open_pair(&o);

	(void)state;
	put(fd, "\0\0\0\x09", 4);
	pump();
	for (unsigned i = 0; i < 4; i++) { /* a byte now and then does not help */
		pass(DESK_IDLE_MS / 5);
		put(fd, "x", 1);
		pump();
	}
	pass(DESK_IDLE_MS / 5 - 1);
	assert_int_equal(o.closed, 0);
	pass(1);
	assert_int_equal(o.closed, 1);
	assert_int_equal(o.why, ERR_TIMEOUT);
	owner_end(&o, fd);
}

static void
test_link_whole_frames_need_no_hurry(void **state)
{
	struct owner o = { 0 };
	int fd = open_pair(&o);

	(void)state;
	pump();
	for (unsigned i = 0; i < 5; i++) {
		pass(10 * DESK_IDLE_MS);
		put(fd, "\0\0\0\1x", 5);
		pump();
	}
	assert_int_equal(o.frames, 5);
	assert_int_equal(o.closed, 0);
	/* each frame has a deadline of its own: the end of one and the beginning of the next */
	put(fd, "\0\0\0\1", 4);
	pump();
	pass(DESK_IDLE_MS - 1);
	put(fd, "x\0\0", 3);
	pump();
	pass(DESK_IDLE_MS - 1);
	assert_int_equal(o.frames, 6);
	assert_int_equal(o.closed, 0);
	pass(1);
	assert_int_equal(o.closed, 1);
	owner_end(&o, fd);
}

static void
test_link_paused_reads_nothing_and_goes_on(void **state)
{
	struct owner o = { .pause_at = 2 };
	int fd = open_pair(&o);

	(void)state;
	put(fd, "\0\0\0\1a\0\0\0\1b\0\0\0\1c\0\0\0\1", 19);
	pump();
	assert_int_equal(o.frames, 2);
	pass(10 * DESK_IDLE_MS); /* our own pause is not the peer's fault */
	assert_int_equal(o.frames, 2);
	assert_int_equal(o.closed, 0);
	link_pause(o.l, false);
	pump();
	assert_int_equal(o.frames, 3);
	pass(DESK_IDLE_MS - 1);
	assert_int_equal(o.closed, 0);
	put(fd, "d", 1);
	pump();
	assert_int_equal(o.frames, 4);
	owner_end(&o, fd);
}

static void
test_link_owner_may_close_within_any_event(void **state)
{
	(void)state;
	for (unsigned at = 0; at <= 3; at++) {
		struct owner o = { .close_at = at, .close_in_opened = at == 0, .echo = at > 0 };
		int fd = open_pair(&o);
		uint8_t back[64];
		ssize_t n;

		put(fd, "\0\0\0\1a\0\0\0\1b\0\0\0\1c", 15);
		pump();
		assert_null(o.l);
		assert_int_equal(o.frames, at);
		assert_int_equal(o.closed, 0);
		n = recv(fd, back, sizeof(back), 0); /* what was sent before arrives */
		assert_int_equal(n, at == 0 ? 0 : (ssize_t)(5 * at));
		owner_end(&o, fd);
	}
}

static void
test_link_closing_sends_what_is_queued(void **state)
{
	struct owner o = { 0 };
	int fd = open_pair(&o);
	struct buffer big = { 0 };
	static uint8_t back[65536];
	size_t total = 0;
	ssize_t n;

	(void)state;
	pump();
	memset(buffer_extend(&big, 800000), 7, 800000);
	put(fd, "\0\0\0\1a", 5); /* unread when we close */
	link_send(o.l, buffer_bytes(&big));
	link_close(o.l);
	o.l = NULL;
	while (total < big.len) {
		pump();
		n = recv(fd, back, sizeof(back), 0);
		assert_true(n > 0);
		total += (size_t)n;
	}
	pump();
	assert_int_equal(recv(fd, back, sizeof(back), 0), 0);
	buffer_release(&big);
	owner_end(&o, fd);
}

static void
test_link_closing_waits_a_second_for_a_peer_that_does_not_read(void **state)
{
	struct owner o = { 0 };
	int fd = open_pair(&o);
	struct buffer big = { 0 };

	(void)state;
	pump();
	(void)buffer_extend(&big, 4000000);
	link_send(o.l, buffer_bytes(&big));
	link_close(o.l);
	o.l = NULL;
	pass(999);
	assert_true(the_loop.timers[0].used);
	pass(1);
	assert_false(the_loop.timers[0].used);
	buffer_release(&big);
	owner_end(&o, fd);
}

static void
test_link_tells_when_it_has_drained(void **state)
{
	struct owner o = { 0 };
	int fd = open_pair(&o);
	struct buffer big = { 0 };
	static uint8_t back[65536];

	(void)state;
	pump();
	link_send(o.l, BYTES_OF("small"));
	pump();
	assert_int_equal(o.drained, 0);
	memset(buffer_extend(&big, SEND_HIGH_BYTES), 0, SEND_HIGH_BYTES);
	link_send(o.l, buffer_bytes(&big));
	pump();
	assert_int_equal(o.drained, 0);
	assert_true(link_queued_bytes(o.l) >= SEND_HIGH_BYTES / 4);
	while (link_queued_bytes(o.l) > 0) {
		assert_true(recv(fd, back, sizeof(back), 0) > 0);
		pump();
	}
	assert_int_equal(o.drained, 1);
	buffer_release(&big);
	owner_end(&o, fd);
}

/* A quarter of it is much; a byte less is not, and nobody waits for it to leave. */
static void
test_link_that_held_little_tells_of_no_draining(void **state)
{
	for (unsigned much = 0; much < 2; much++) {
		struct owner o = { 0 };
		int fd = open_pair(&o);
		static uint8_t back[65536];
		struct buffer big = { 0 };

		(void)state;
		pump();
		memset(buffer_extend(&big, SEND_HIGH_BYTES / 4 - 1 + much), 0,
		    SEND_HIGH_BYTES / 4 - 1 + much);
		link_send(o.l, buffer_bytes(&big));
		pump();
		while (link_queued_bytes(o.l) > 0) {
			assert_true(recv(fd, back, sizeof(back), 0) > 0);
			pump();
		}
		assert_int_equal(o.drained, much);
		buffer_release(&big);
		owner_end(&o, fd);
	}
}

static void
test_link_dial_failures_arrive_later(void **state)
{
	static const struct {
		const char *path;
		enum err why;
	} rows[] = {
		{ "/nonexistent/sock", ERR_UNREACHABLE },
		{ "/tmp/"
		  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		    ERR_VALUE },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct owner o = { 0 };

		o.l = link_dial_local(&the_loop, rows[i].path, &owner_events, &o);
		assert_non_null(o.l);
		assert_int_equal(o.closed, 0);
		pump();
		assert_int_equal(o.closed, 1);
		assert_int_equal(o.opened, 0);
		assert_int_equal(o.why, rows[i].why);
		owner_end(&o, -1);
	}
}

static void
test_link_dial_may_be_closed_before_it_failed(void **state)
{
	struct owner o = { 0 };

	(void)state;
	link_close(link_dial_local(&the_loop, "/nonexistent/sock", &owner_events, &o));
	pump();
	assert_int_equal(o.closed, 0);
	owner_end(&o, -1);
}

/* Two links through a listener on a Unix socket. */
static void
take_peer(void *arg, int fd, const char *address)
{
	struct owner *o = arg;

	assert_string_equal(address, "");
	assert_null(o->l);
	o->l = link_accept_local(&the_loop, fd, &owner_events, o);
}

static int
listen_unix(char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	(void)snprintf(path, 64, "/tmp/citex-link-%d.sock", (int)getpid());
	memcpy(a.sun_path, path, strlen(path));
	assert_return_code(bind(fd, (struct sockaddr *)&a, sizeof(a)), errno);
	assert_return_code(listen(fd, 8), errno);
	return fd;
}

static void
test_listener_accepts_and_links_talk(void **state)
{
	struct owner server = { .echo = true }, client = { 0 };
	char path[64];
	int fd = listen_unix(path);
	struct listener *l = listener_new(&the_loop, fd, take_peer, &server);

	(void)state;
	client.l = link_dial_local(&the_loop, path, &owner_events, &client);
	pump();
	assert_int_equal(client.opened, 1);
	assert_int_equal(server.opened, 1);
	link_send(client.l, (struct bytes){ (const uint8_t *)"\0\0\0\5hello", 9 });
	pump();
	assert_int_equal(client.frames, 1);
	assert_memory_equal(client.got.at, "\0\0\0\5hello", 9);
	listener_free(l);
	link_close(server.l);
	server.l = NULL;
	pump();
	assert_int_equal(client.closed, 1);
	assert_int_equal(client.why, ERR_CLOSED);
	(void)close(fd);
	(void)unlink(path);
	buffer_release(&server.got);
	owner_end(&client, -1);
}

static void
test_listener_rests_when_descriptors_run_out(void **state)
{
	struct owner server = { 0 }, client = { 0 };
	char path[64];
	int fd = listen_unix(path);
	struct listener *l = listener_new(&the_loop, fd, take_peer, &server);
	struct rlimit old, few;

	(void)state;
	client.l = link_dial_local(&the_loop, path, &owner_events, &client);
	assert_return_code(getrlimit(RLIMIT_NOFILE, &old), errno);
	few = old;
	few.rlim_cur = (rlim_t)dup(0); /* the lowest free one, and so the first that is not to be */
	(void)close((int)few.rlim_cur);
	assert_return_code(setrlimit(RLIMIT_NOFILE, &few), errno);
	pump(); /* would spin, were it not for the rest */
	assert_int_equal(server.opened, 0);
	assert_return_code(setrlimit(RLIMIT_NOFILE, &old), errno);
	pass(999);
	assert_int_equal(server.opened, 0);
	pass(1);
	assert_int_equal(server.opened, 1);
	listener_free(l);
	(void)close(fd);
	(void)unlink(path);
	link_close(server.l);
	owner_end(&client, -1);
}

/* TLS over loopback: gb dials ke. */
struct wire {
	struct fixture *f;
	struct tls_context *gb, *ke;
	struct owner client, server;
	struct listener *listener;
	int listen_fd;
	char address[ADDRESS_TEXT_BYTES];
	enum err verdict; /* of the server's judge */
};

static enum err
judge_at_server(void *arg, const struct cert *peer)
{
	const struct wire *w = arg;

	assert_string_equal(cert_name(peer), "gb");
	return w->verdict;
}

static enum err
judge_at_client(void *arg, const struct cert *peer)
{
	(void)arg;
	return strcmp(cert_name(peer), "ke") == 0 ? OK : ERR_IDENTITY;
}

static void
take_tls_peer(void *arg, int fd, const char *address)
{
	struct wire *w = arg;

	assert_true(strncmp(address, "127.0.0.1:", 10) == 0);
	assert_null(w->server.l);
	w->server.l =
	    link_accept(&the_loop, w->ke, fd, judge_at_server, w, &owner_events, &w->server);
	assert_string_equal(link_address(w->server.l), address);
}

static int
wire_up(void **state)
{
	struct wire *w = xalloc(sizeof(*w));
	struct address a = { .len = sizeof(struct sockaddr_in) };
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };

	w->f = fixture_new();
	the_loop.now.utc_ms = FIXTURE_NOW_MS;
	the_loop.now.mono_ms += 1000;
	assert_int_equal(tls_context_new(fixture_cert(w->f, "gb", USE_TLS),
			     fixture_key(w->f, "gb", USE_TLS), &w->gb),
	    OK);
	assert_int_equal(tls_context_new(fixture_cert(w->f, "ke", USE_TLS),
			     fixture_key(w->f, "ke", USE_TLS), &w->ke),
	    OK);
	w->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_return_code(bind(w->listen_fd, (struct sockaddr *)&v4, sizeof(v4)), errno);
	assert_return_code(listen(w->listen_fd, 8), errno);
	assert_return_code(getsockname(w->listen_fd, (struct sockaddr *)&a.at, &a.len), errno);
	address_print(&a, w->address);
	w->listener = listener_new(&the_loop, w->listen_fd, take_tls_peer, w);
	w->client.peer = "ke";
	w->server.peer = "gb";
	*state = w;
	return 0;
}

static int
wire_down(void **state)
{
	struct wire *w = *state;

	listener_free(w->listener);
	(void)close(w->listen_fd);
	if (w->server.l != NULL)
		link_close(w->server.l);
	buffer_release(&w->server.got);
	owner_end(&w->client, -1);
	tls_context_free(w->gb);
	tls_context_free(w->ke);
	fixture_free(w->f);
	free(w);
	return 0;
}

static void
dial_wire(struct wire *w)
{
	w->client.l =
	    link_dial(&the_loop, w->gb, w->address, judge_at_client, w, &owner_events, &w->client);
	pump();
}

/* A plain TCP connection of a peer that misbehaves. */
static int
dial_raw(struct wire *w)
{
	struct address a;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(address_parse(w->address, &a), OK);
	assert_return_code(connect(fd, (struct sockaddr *)&a.at, a.len), errno);
	assert_return_code(fcntl(fd, F_SETFL, O_NONBLOCK), errno);
	pump();
	assert_non_null(w->server.l);
	return fd;
}

static void
test_tls_link_names_its_peer_and_carries_frames(void **state)
{
	struct wire *w = *state;
	struct buffer many = { 0 };

	dial_wire(w);
	assert_int_equal(w->client.opened, 1);
	assert_int_equal(w->server.opened, 1);
	assert_string_equal(link_address(w->client.l), w->address);
	assert_int_equal(link_peer_uid(w->server.l), (uid_t)-1);
	for (unsigned i = 0; i < 40; i++)
		add_frame(&many, i % 3 == 0 ? FRAME_MAX_BYTES : i + 1, (uint8_t)i);
	link_send(w->client.l, buffer_bytes(&many));
	link_send(w->server.l, buffer_bytes(&many));
	pump();
	assert_int_equal(w->client.frames, 40);
	assert_int_equal(w->server.frames, 40);
	assert_true(bytes_equal(buffer_bytes(&many), buffer_bytes(&w->server.got)));
	assert_true(bytes_equal(buffer_bytes(&many), buffer_bytes(&w->client.got)));
	assert_int_equal(w->client.drained, 1);
	assert_int_equal(link_queued_bytes(w->client.l), 0);
	buffer_release(&many);
}

static void
test_tls_link_paused_keeps_what_tls_holds(void **state)
{
	struct wire *w = *state;
	struct buffer many = { 0 };

	w->server.pause_at = 3;
	dial_wire(w);
	for (unsigned i = 0; i < 10; i++)
		add_frame(&many, 3000, (uint8_t)i);
	link_send(w->client.l, buffer_bytes(&many));
	pump();
	assert_int_equal(w->server.frames, 3);
	pass(2 * FRAME_TIMEOUT_MS);
	assert_int_equal(w->server.closed, 0);
	link_pause(w->server.l, false);
	pump();
	assert_int_equal(w->server.frames, 10);
	buffer_release(&many);
}

static void
test_tls_link_half_frame_has_a_deadline(void **state)
{
	struct wire *w = *state;

	dial_wire(w);
	link_send(w->client.l, (struct bytes){ (const uint8_t *)"\0\0\0\2x", 5 });
	pump();
	pass(FRAME_TIMEOUT_MS - 1);
	assert_int_equal(w->server.closed, 0);
	pass(1);
	assert_int_equal(w->server.closed, 1);
	assert_int_equal(w->server.why, ERR_TIMEOUT);
}

static void
test_tls_link_closing_sends_what_is_queued(void **state)
{
	struct wire *w = *state;
	struct buffer many = { 0 };

	dial_wire(w);
	for (unsigned i = 0; i < 10; i++)
		add_frame(&many, FRAME_MAX_BYTES, (uint8_t)i);
	link_send(w->client.l, buffer_bytes(&many));
	link_close(w->client.l);
	w->client.l = NULL;
	pump();
	assert_int_equal(w->server.frames, 10);
	assert_int_equal(w->server.closed, 1);
	assert_int_equal(w->server.why, ERR_CLOSED);
	buffer_release(&many);
}

static void
test_tls_link_refused_by_the_judge_is_never_open(void **state)
{
	static const enum err verdicts[] = { ERR_UNKNOWN_KEY, ERR_REVOKED, ERR_EXPIRED,
		ERR_IDENTITY };
	struct wire *w = *state;

	for (size_t i = 0; i < sizeof(verdicts) / sizeof(verdicts[0]); i++) {
		w->client.opened = w->client.closed = w->server.closed = 0;
		w->verdict = verdicts[i];
		dial_wire(w);
		assert_int_equal(w->server.opened, 0);
		assert_int_equal(w->server.frames, 0);
		assert_int_equal(w->server.closed, 1);
		assert_int_equal(w->server.why, verdicts[i]);
		assert_int_equal(w->client.closed, 1);
	}
}

static void
test_tls_link_to_somebody_else_is_never_open(void **state)
{
	struct wire *w = *state;

	tls_context_free(w->ke); /* it presents itself as so now */
	assert_int_equal(tls_context_new(fixture_cert(w->f, "so", USE_TLS),
			     fixture_key(w->f, "so", USE_TLS), &w->ke),
	    OK);
	dial_wire(w);
	assert_int_equal(w->client.opened, 0);
	assert_int_equal(w->client.closed, 1);
	assert_int_equal(w->client.why, ERR_IDENTITY);
	assert_int_equal(w->server.opened, 0);
}

static void
test_tls_link_slow_handshake_has_one_deadline(void **state)
{
	struct wire *w = *state;
	int fd = dial_raw(w);

	put(fd, "\x16\x03\x01\x02\x00\x01", 6); /* the beginning of a ClientHello */
	for (unsigned i = 0; i < 9; i++) { /* a byte now and then does not help */
		pass(HANDSHAKE_TIMEOUT_MS / 10);
		put(fd, "\0", 1);
		pump();
	}
	pass(HANDSHAKE_TIMEOUT_MS / 10 - 1);
	assert_int_equal(w->server.closed, 0);
	pass(1);
	assert_int_equal(w->server.closed, 1);
	assert_int_equal(w->server.why, ERR_TIMEOUT);
	(void)close(fd);
}

static void
test_tls_link_silent_peer_at_connect_times_out(void **state)
{
	struct wire *w = *state;

	listener_free(w->listener); /* nobody accepts, the kernel alone does */
	w->listener = NULL;
	dial_wire(w);
	pass(HANDSHAKE_TIMEOUT_MS - 1);
	assert_int_equal(w->client.closed, 0);
	pass(1);
	assert_int_equal(w->client.closed, 1);
	assert_int_equal(w->client.why, ERR_TIMEOUT);
}

static const struct {
	const char *bytes;
	size_t len;
} garbage[] = {
	{ "GET / HTTP/1.1\r\n\r\n", 18 },
	{ "\0\0\0\0\0\0\0\0\0\0", 10 },
	{ "\0\0\0\5hello", 9 },
	/* a ClientHello of TLS 1.2: no supported_versions */
	{ "\x16\x03\x01\x00\x2d\x01\x00\x00\x29\x03\x03"
	  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	  "\x00\x00\x02\xc0\x2b\x01\x00",
	    50 },
	{ "\x15\x03\x03\x00\x02\x02\x28", 7 },
	{ "\x16\x03\x01\xff\xff", 5 },
};

static void
test_tls_link_garbage_ends_it_before_any_frame(void **state)
{
	struct wire *w = *state;

	for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
		int fd;

		w->server.closed = 0;
		fd = dial_raw(w);
		put(fd, garbage[i].bytes, garbage[i].len);
		pump();
		if (w->server.closed == 0) { /* it looks like a beginning yet */
			(void)shutdown(fd, SHUT_WR);
			pump();
		}
		assert_int_equal(w->server.closed, 1);
		assert_int_equal(w->server.why, ERR_TLS);
		assert_int_equal(w->server.opened, 0);
		assert_int_equal(w->server.frames, 0);
		(void)close(fd);
	}
}

static void
test_tls_dial_failures_arrive_later(void **state)
{
	static const char *const addresses[] = { "localhost:1", "127.0.0.1", "", "127.0.0.1:1" };
	struct wire *w = *state;

	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		w->client.closed = 0;
		w->client.l = link_dial(
		    &the_loop, w->gb, addresses[i], judge_at_client, w, &owner_events, &w->client);
		assert_non_null(w->client.l);
		assert_int_equal(w->client.closed, 0);
		pump();
		assert_int_equal(w->client.closed, 1);
		assert_int_equal(w->client.why, i < 3 ? ERR_VALUE : ERR_UNREACHABLE);
	}
}

static void
test_links_end_with_their_loop(void **state)
{
	struct wire *w = *state;

	dial_wire(w);
	link_send(w->client.l, (struct bytes){ (const uint8_t *)"\0\0\0\5hello", 9 });
	link_close(w->client.l);
	w->client.l = NULL;
	links_end(&the_loop); /* a last try, and gone */
	pump();
	assert_int_equal(w->server.frames, 1);
	assert_int_equal(w->server.closed, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_link_opens_later_and_knows_its_peer),
		cmocka_unit_test(test_link_gives_frames_in_every_split),
		cmocka_unit_test(test_link_takes_the_largest_frame_and_no_larger),
		cmocka_unit_test(test_link_refuses_an_empty_frame),
		cmocka_unit_test(test_link_peer_that_closes_is_told_once),
		cmocka_unit_test(test_link_half_frame_has_a_deadline),
		cmocka_unit_test(test_link_whole_frames_need_no_hurry),
		cmocka_unit_test(test_link_paused_reads_nothing_and_goes_on),
		cmocka_unit_test(test_link_owner_may_close_within_any_event),
		cmocka_unit_test(test_link_closing_sends_what_is_queued),
		cmocka_unit_test(test_link_closing_waits_a_second_for_a_peer_that_does_not_read),
		cmocka_unit_test(test_link_tells_when_it_has_drained),
		cmocka_unit_test(test_link_that_held_little_tells_of_no_draining),
		cmocka_unit_test(test_link_dial_failures_arrive_later),
		cmocka_unit_test(test_link_dial_may_be_closed_before_it_failed),
		cmocka_unit_test(test_listener_accepts_and_links_talk),
		cmocka_unit_test(test_listener_rests_when_descriptors_run_out),
		cmocka_unit_test_setup_teardown(
		    test_tls_link_names_its_peer_and_carries_frames, wire_up, wire_down),
		cmocka_unit_test_setup_teardown(
		    test_tls_link_paused_keeps_what_tls_holds, wire_up, wire_down),
		cmocka_unit_test_setup_teardown(
		    test_tls_link_half_frame_has_a_deadline, wire_up, wire_down),
		cmocka_unit_test_setup_teardown(
		    test_tls_link_closing_sends_what_is_queued, wire_up, wire_down),
		cmocka_unit_test_setup_teardown(
		    test_tls_link_refused_by_the_judge_is_never_open, wire_up, wire_down),
		cmocka_unit_test_setup_teardown(
		    test_tls_link_to_somebody_else_is_never_open, wire_up, wire_down),
		cmocka_unit_test_setup_teardown(
		    test_tls_link_slow_handshake_has_one_deadline, wire_up, wire_down),
		cmocka_unit_test_setup_teardown(
		    test_tls_link_silent_peer_at_connect_times_out, wire_up, wire_down),
		cmocka_unit_test_setup_teardown(
		    test_tls_link_garbage_ends_it_before_any_frame, wire_up, wire_down),
		cmocka_unit_test_setup_teardown(
		    test_tls_dial_failures_arrive_later, wire_up, wire_down),
		cmocka_unit_test_setup_teardown(test_links_end_with_their_loop, wire_up, wire_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
