/* SPDX-License-Identifier: Apache-2.0 */
/* One connection: a socket, TLS over it or not, frames over that. Not here: what
 * a frame means, whom to dial and when again, and how many connections there
 * may be.
 *
 * The loop enters by two doors, on_socket() and on_timer(). Whatever goes wrong
 * within is only noted (link_break()); settle(), last thing behind each door,
 * tells the owner and frees. So an owner may close the link from within any
 * event, and no event comes while he is inside one of our functions.
 *
 * What is sent is gathered until the socket is ready, so that many small frames
 * make few TLS records. A closing link sends what is queued, says that it will
 * send no more, and reads until the peer has closed too: a socket that is
 * closed with bytes unread resets the connection and takes the last frame
 * along.
 *
 * Known weakness: a client is open when it has sent its own certificate; that
 * the server refuses it comes afterwards, as an error. */
#include "daemon/link.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/address.h"

#define READ_BYTES (16 * KIB)
#define READS_MAX 4 /* in one event: no link may starve the others */
#define SEAL_BYTES (64 * KIB) /* plain bytes made cipher at once */
#define LINGER_MS (1 * SECOND_MS)
#define ACCEPTS_MAX 16 /* in one event */
#define REST_MS (1 * SECOND_MS) /* of a listener that has no descriptors left */
#define WORDS_BYTES 200

/* Each state is named for what it waits for. */
enum state { AWAIT_CONNECT, AWAIT_HANDSHAKE, OPEN, LINGER_SEND, LINGER_PEER };

struct link {
	enum state state;
	struct loop *loop;
	int fd; /* -1: there never was one */
	struct watch *watch;
	struct timer *timer;
	struct tls *tls; /* NULL: local */
	struct frame_reader in;
	struct buffer plain; /* for TLS, not yet sealed */
	struct buffer wire; /* for the socket; its first WIRE_SENT are gone */
	size_t wire_sent;
	bool was_high; /* a DRAINED is owed */
	bool paused;
	bool kick; /* settle() or waiting frames are owed at the next timer */
	bool inside; /* behind one of the doors */
	bool broken; /* WHY and WORDS say what */
	bool forgotten; /* by its owner: no more events */
	enum err why;
	char words[WORDS_BYTES];
	int64_t handshake_by_ms; /* deadlines, mono_ms; INT64_MAX: none */
	int64_t frame_by_ms;
	int64_t linger_by_ms;
	const struct link_events *events;
	void *arg;
	uid_t uid;
	pid_t pid;
	char address[ADDRESS_TEXT_BYTES];
	struct link *next_lingering;
};

/* Links that their owners have closed and that have not ended yet. */
static struct link *lingering;

/* Note the end of L; the first reason stands. */
static void
link_break(struct link *l, enum err why, const char *words)
{
	if (l->broken)
		return;
	l->broken = true;
	l->why = why;
	strncpy(l->words, words, sizeof(l->words) - 1);
}

static void
break_by_errno(struct link *l, enum err why)
{
	link_break(l, why, strerror(errno));
}

static void
forget_lingering(const struct link *l)
{
	struct link **at = &lingering;

	while (*at != NULL && *at != l)
		at = &(*at)->next_lingering;
	if (*at != NULL)
		*at = l->next_lingering;
}

static void
link_free(struct link *l)
{
	forget_lingering(l);
	watch_free(l->watch);
	timer_free(l->timer);
	if (l->tls != NULL)
		tls_free(l->tls);
	if (l->fd >= 0)
		(void)close(l->fd);
	frame_reader_release(&l->in);
	buffer_wipe(&l->plain);
	buffer_wipe(&l->wire);
	free(l);
}

/* Has the link a word to say yet to its owner, and may it take frames? */
static bool
is_live(const struct link *l)
{
	return !l->broken && !l->forgotten;
}

static bool
is_local(const struct link *l)
{
	return l->tls == NULL;
}

static size_t
wire_left(const struct link *l)
{
	return l->wire.len - l->wire_sent;
}

static int64_t
earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static void
set_timer(struct link *l)
{
	int64_t by = earlier(l->handshake_by_ms, earlier(l->frame_by_ms, l->linger_by_ms));

	timer_set(l->timer, l->kick ? 0 : by);
}

static void
set_watch(struct link *l)
{
	unsigned want = 0;

	if (l->watch == NULL)
		return;
	if (l->state == AWAIT_CONNECT || wire_left(l) > 0 || l->plain.len > 0)
		want |= WATCH_WRITE;
	if (l->state != AWAIT_CONNECT && !l->paused)
		want |= WATCH_READ;
	if (l->state == LINGER_SEND)
		want = WATCH_READ | WATCH_WRITE;
	if (l->state == AWAIT_HANDSHAKE && is_local(l))
		want = 0; /* it is open at the next timer, and not read before */
	watch_set(l->watch, want);
}

/* Last thing behind each door: L may be gone after it. */
static void
settle(struct link *l)
{
	l->inside = false;
	if (l->broken) {
		if (!l->forgotten && l->events->closed != NULL) {
			l->inside = true; /* link_close() in it must not free */
			l->events->closed(l->arg, l, l->why, l->words);
		}
		link_free(l);
		return;
	}
	set_timer(l);
	set_watch(l);
}

/* Out */

/* The first bytes that are gone are cut when they are the greater part: so a long queue is not
 * moved for each write. */
static void
cut_sent(struct link *l)
{
	if (l->wire_sent == l->wire.len) {
		buffer_clear(&l->wire);
		l->wire_sent = 0;
	} else if (l->wire_sent > SEAL_BYTES && l->wire_sent > l->wire.len / 2) {
		buffer_cut_front(&l->wire, l->wire_sent);
		l->wire_sent = 0;
	}
}

/* Hand the socket what it takes. */
static void
write_wire(struct link *l)
{
	while (wire_left(l) > 0) {
		ssize_t n = send(
		    l->fd, l->wire.at + l->wire_sent, wire_left(l), MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			if (errno != EAGAIN)
				break_by_errno(l, ERR_CLOSED);
			break;
		}
		l->wire_sent += (size_t)n;
	}
	cut_sent(l);
}

static void
break_by_tls(struct link *l, enum err e)
{
	tls_output(l->tls, &l->wire); /* the alert, as far as the socket takes it at once */
	write_wire(l);
	link_break(l, e, tls_why(l->tls));
}

/* Seal some of what waits, when the socket has room. */
static void
seal_plain(struct link *l)
{
	size_t some = l->plain.len < SEAL_BYTES ? l->plain.len : SEAL_BYTES;
	enum err e;

	if (l->tls == NULL || some == 0 || wire_left(l) > 0 || !tls_is_open(l->tls))
		return;
	e = tls_write(l->tls, (struct bytes){ l->plain.at, some });
	if (e != OK) {
		break_by_tls(l, e);
		return;
	}
	buffer_cut_front(&l->plain, some);
	tls_output(l->tls, &l->wire);
}

static void
tell_drained(struct link *l)
{
	if (!l->was_high || link_queued_bytes(l) >= SEND_HIGH_BYTES / 4 || !is_live(l))
		return;
	l->was_high = false;
	if (l->events->drained != NULL)
		l->events->drained(l->arg, l);
}

static void
flush(struct link *l)
{
	for (unsigned i = 0; i < READS_MAX && !l->broken; i++) {
		seal_plain(l);
		if (wire_left(l) == 0)
			break;
		write_wire(l);
		if (wire_left(l) > 0)
			break;
	}
	tell_drained(l);
}

/* In */

/* From a frame's first byte to its last; the time that we do not read does not count. */
static void
set_frame_deadline(struct link *l, bool progress)
{
	int64_t most_ms = is_local(l) ? DESK_IDLE_MS : FRAME_TIMEOUT_MS;

	if (!frame_is_partial(&l->in) || l->paused || l->state != OPEN)
		l->frame_by_ms = INT64_MAX;
	else if (progress || l->frame_by_ms == INT64_MAX)
		l->frame_by_ms = loop_now(l->loop).mono_ms + most_ms;
}

/* Give out what frames are whole. */
static void
give_frames(struct link *l)
{
	bool progress = false;
	struct bytes frame;
	enum err e = ERR_NOT_FOUND;

	while (is_live(l) && !l->paused && l->state == OPEN &&
	    (e = frame_next(&l->in, &frame)) == OK) {
		progress = true;
		l->events->frame(l->arg, l, frame);
	}
	if (e != OK && e != ERR_NOT_FOUND)
		link_break(l, e, err_words(e));
	set_frame_deadline(l, progress);
}

static void
tell_open(struct link *l)
{
	l->state = OPEN;
	l->handshake_by_ms = INT64_MAX;
	if (is_live(l) && l->events->opened != NULL)
		l->events->opened(l->arg, l, is_local(l) ? "" : tls_peer(l->tls));
}

static void
shake_hands(struct link *l)
{
	enum err e = tls_handshake(l->tls);

	if (e != OK) {
		break_by_tls(l, e);
		return;
	}
	tls_output(l->tls, &l->wire);
	if (tls_is_open(l->tls))
		tell_open(l);
}

/* The peer sends no more. */
static void
peer_ended(struct link *l)
{
	if (l->state == AWAIT_HANDSHAKE)
		link_break(l, ERR_TLS, "closed in the handshake");
	else
		link_break(l, ERR_CLOSED,
		    frame_is_partial(&l->in) ? "closed within a frame" : "closed by the peer");
}

/* Plain bytes out of TLS, frames out of them. */
static void
read_plain(struct link *l)
{
	struct buffer plain = { 0 };
	enum err e = OK;

	while (is_live(l) && l->state == OPEN && !l->paused) {
		buffer_clear(&plain);
		e = tls_read(l->tls, SEAL_BYTES, &plain);
		frame_feed(&l->in, buffer_bytes(&plain));
		give_frames(l);
		if (e != OK || plain.len == 0)
			break;
	}
	buffer_wipe(&plain);
	if (!l->broken)
		tls_output(l->tls, &l->wire); /* key updates */
	if (!is_live(l) || e == OK)
		return;
	if (e == ERR_CLOSED)
		peer_ended(l);
	else
		break_by_tls(l, e);
}

static void
take_input(struct link *l, struct bytes input)
{
	enum err e;

	if (l->state == LINGER_SEND || l->state == LINGER_PEER)
		return;
	if (is_local(l)) {
		frame_feed(&l->in, input);
		give_frames(l);
		return;
	}
	e = tls_receive(l->tls, input);
	if (e != OK) {
		break_by_tls(l, e);
		return;
	}
	if (l->state == AWAIT_HANDSHAKE)
		shake_hands(l);
	if (l->state == OPEN)
		read_plain(l);
}

static void
read_socket(struct link *l)
{
	uint8_t input[READ_BYTES];

	for (unsigned i = 0; i < READS_MAX && !l->broken && !l->paused; i++) {
		ssize_t n = recv(l->fd, input, sizeof(input), MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			break_by_errno(l, ERR_CLOSED);
		if (n == 0)
			peer_ended(l);
		if (n <= 0)
			break;
		take_input(l, (struct bytes){ input, (size_t)n });
		if ((size_t)n < sizeof(input))
			break;
	}
	if (is_local(l))
		explicit_bzero(input, sizeof(input));
}

/* Doors */

static void
connected(struct link *l)
{
	int failure = 0;
	socklen_t len = sizeof(failure);

	if (getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &failure, &len) != 0)
		failure = errno;
	if (failure != 0) {
		link_break(l, ERR_UNREACHABLE, strerror(failure));
		return;
	}
	l->state = AWAIT_HANDSHAKE;
	shake_hands(l);
}

/* All that was queued is gone: say so, and wait for the peer to close. */
static void
linger(struct link *l)
{
	if (l->plain.len > 0 || wire_left(l) > 0)
		return;
	if (l->tls != NULL && tls_is_open(l->tls)) {
		tls_close(l->tls);
		tls_output(l->tls, &l->wire);
		write_wire(l);
	}
	if (shutdown(l->fd, SHUT_WR) != 0)
		break_by_errno(l, ERR_CLOSED);
	l->state = LINGER_PEER;
}

static void
on_socket(void *arg, unsigned ready)
{
	struct link *l = arg;

	l->inside = true;
	if (l->state == AWAIT_CONNECT)
		connected(l);
	else if (ready & WATCH_READ)
		read_socket(l);
	if (!l->broken)
		flush(l);
	if (!l->broken && l->state == LINGER_SEND)
		linger(l);
	settle(l);
}

static void
check_deadlines(struct link *l)
{
	int64_t now_ms = loop_now(l->loop).mono_ms;

	if (now_ms >= l->handshake_by_ms)
		link_break(l, ERR_TIMEOUT, "no handshake in time");
	if (now_ms >= l->frame_by_ms)
		link_break(l, ERR_TIMEOUT, "a frame did not end in time");
	if (now_ms >= l->linger_by_ms)
		link_break(l, ERR_CLOSED, "closed");
}

static void
on_timer(void *arg)
{
	struct link *l = arg;

	l->inside = true;
	l->kick = false;
	check_deadlines(l);
	if (is_live(l) && is_local(l) && l->state == AWAIT_HANDSHAKE)
		tell_open(l);
	if (is_live(l) && l->state == OPEN && !l->paused) {
		give_frames(l);
		if (l->tls != NULL)
			read_plain(l);
	}
	settle(l);
}

/* Making one */

static struct link *
link_new(struct loop *loop, const struct link_events *events, void *arg)
{
	struct link *l = xalloc(sizeof(*l));

	l->loop = loop;
	l->fd = -1;
	l->events = events;
	l->arg = arg;
	l->uid = (uid_t)-1;
	l->pid = -1;
	l->state = AWAIT_HANDSHAKE;
	l->handshake_by_ms = loop_now(loop).mono_ms + HANDSHAKE_TIMEOUT_MS;
	l->frame_by_ms = INT64_MAX;
	l->linger_by_ms = INT64_MAX;
	l->timer = timer_new(loop, on_timer, l);
	frame_reader_init(&l->in);
	return l;
}

/* What a constructor found wrong arrives as CLOSED, later. */
static struct link *
start(struct link *l)
{
	if (!l->broken && l->fd >= 0)
		l->watch = watch_new(l->loop, l->fd, on_socket, l);
	if (l->fd >= 0 && !l->broken && l->watch == NULL)
		link_break(l, ERR_SYSTEM, "cannot watch a descriptor");
	l->kick = l->broken || is_local(l);
	set_timer(l);
	set_watch(l);
	return l;
}

/* Without these a link works, only worse. */
static void
tune_tcp(int fd)
{
	int on = 1;
	unsigned unacknowledged_ms = SILENCE_MAX_MS;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(
	    fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged_ms, sizeof(unacknowledged_ms));
}

static void
begin_tls(struct link *l, struct tls_context *c, bool server, tls_judge *judge, void *judge_arg)
{
	enum err e = tls_new(c, server, judge, judge_arg, &l->tls);

	if (e != OK)
		link_break(l, e, err_words(e));
}

/* Begin to connect L's socket. */
static void
dial(struct link *l, const struct sockaddr *a, socklen_t len)
{
	l->fd = socket(a->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->fd < 0) {
		break_by_errno(l, ERR_SYSTEM);
		return;
	}
	if (connect(l->fd, a, len) != 0 && errno != EINPROGRESS)
		break_by_errno(l, ERR_UNREACHABLE);
}

struct link *
link_dial(struct loop *loop, struct tls_context *c, const char *address, tls_judge *judge,
    void *judge_arg, const struct link_events *events, void *arg)
{
	struct link *l = link_new(loop, events, arg);
	struct address a;

	l->state = AWAIT_CONNECT;
	strncpy(l->address, address, sizeof(l->address) - 1);
	begin_tls(l, c, false, judge, judge_arg);
	if (address_parse(address, &a) != OK)
		link_break(l, ERR_VALUE, "this is not ADDRESS:PORT");
	if (l->broken)
		return start(l);
	dial(l, (const struct sockaddr *)&a.at, a.len);
	if (l->fd >= 0)
		tune_tcp(l->fd);
	return start(l);
}

struct link *
link_accept(struct loop *loop, struct tls_context *c, int fd, tls_judge *judge, void *judge_arg,
    const struct link_events *events, void *arg)
{
	struct link *l = link_new(loop, events, arg);
	struct address a = { .len = sizeof(a.at) };

	l->fd = fd;
	if (getpeername(fd, (struct sockaddr *)&a.at, &a.len) == 0)
		address_print(&a, l->address);
	tune_tcp(fd);
	begin_tls(l, c, true, judge, judge_arg);
	return start(l);
}

/* Who is at the other end, by the kernel's word. */
static void
ask_peer(struct link *l)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(l->fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0) {
		break_by_errno(l, ERR_SYSTEM);
		return;
	}
	l->uid = peer.uid;
	l->pid = peer.pid;
}

struct link *
link_dial_local(struct loop *loop, const char *path, const struct link_events *events, void *arg)
{
	struct link *l = link_new(loop, events, arg);
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(a.sun_path)) {
		link_break(l, ERR_VALUE, "the path of the socket is too long");
		return start(l);
	}
	memcpy(a.sun_path, path, strlen(path));
	dial(l, (const struct sockaddr *)&a, sizeof(a));
	if (!l->broken)
		ask_peer(l);
	return start(l);
}

struct link *
link_accept_local(struct loop *loop, int fd, const struct link_events *events, void *arg)
{
	struct link *l = link_new(loop, events, arg);

	l->fd = fd;
	ask_peer(l);
	return start(l);
}

/* Using one */

void
link_send(struct link *l, struct bytes frames)
{
	if (!is_live(l))
		return;
	buffer_add(l->tls != NULL ? &l->plain : &l->wire, frames);
	if (link_queued_bytes(l) >= SEND_HIGH_BYTES / 4)
		l->was_high = true;
	if (!l->inside)
		set_watch(l);
}

size_t
link_queued_bytes(const struct link *l)
{
	return l->plain.len + wire_left(l);
}

void
link_pause(struct link *l, bool paused)
{
	if (l->paused == paused || !is_live(l))
		return;
	l->paused = paused;
	l->kick = l->kick || !paused; /* frames may wait that no socket will tell of */
	set_frame_deadline(l, false);
	if (l->inside)
		return;
	set_timer(l);
	set_watch(l);
}

void
link_close(struct link *l)
{
	bool was_open = l->state == OPEN && !l->broken;

	l->forgotten = true;
	l->paused = false;
	l->frame_by_ms = l->handshake_by_ms = INT64_MAX;
	if (was_open) {
		l->state = LINGER_SEND;
		l->linger_by_ms = loop_now(l->loop).mono_ms + LINGER_MS;
		l->next_lingering = lingering;
		lingering = l;
	} else {
		link_break(l, ERR_CLOSED, "closed");
	}
	if (!l->inside)
		settle(l);
}

void
links_end(struct loop *loop)
{
	struct link *next;

	for (struct link *l = lingering; l != NULL; l = next) {
		next = l->next_lingering;
		if (l->loop != loop)
			continue;
		flush(l);
		link_free(l);
	}
}

uid_t
link_peer_uid(const struct link *l)
{
	return l->uid;
}

pid_t
link_peer_pid(const struct link *l)
{
	return l->pid;
}

const char *
link_address(const struct link *l)
{
	return l->address;
}

struct loop *
link_loop(const struct link *l)
{
	return l->loop;
}

/* Listening */

struct listener {
	struct loop *loop;
	int fd;
	struct watch *watch;
	struct timer *rest;
	listener_fn *fn;
	void *arg;
	bool inside, freed;
};

static bool
is_shortage(int e)
{
	return e == EMFILE || e == ENFILE || e == ENOBUFS || e == ENOMEM;
}

static void
on_listener(void *arg, unsigned ready)
{
	struct listener *l = arg;

	(void)ready;
	l->inside = true;
	for (unsigned i = 0; i < ACCEPTS_MAX && !l->freed; i++) {
		struct address a = { .len = sizeof(a.at) };
		char text[ADDRESS_TEXT_BYTES];
		int fd =
		    accept4(l->fd, (struct sockaddr *)&a.at, &a.len, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0 && is_shortage(errno)) {
			watch_set(l->watch, 0);
			timer_set(l->rest, loop_now(l->loop).mono_ms + REST_MS);
		}
		if (fd < 0)
			break;
		address_print(&a, text);
		l->fn(l->arg, fd, text);
	}
	l->inside = false;
	if (l->freed)
		listener_free(l);
}

static void
on_rested(void *arg)
{
	struct listener *l = arg;

	watch_set(l->watch, WATCH_READ);
}

void
link_refuse(struct loop *l, int fd)
{
	(void)l;
	(void)close(fd);
}

struct listener *
listener_new(struct loop *loop, int fd, listener_fn *fn, void *arg)
{
	struct listener *l = xalloc(sizeof(*l));

	*l = (struct listener){ .loop = loop, .fd = fd, .fn = fn, .arg = arg };
	l->watch = watch_new(loop, fd, on_listener, l);
	l->rest = timer_new(loop, on_rested, l);
	watch_set(l->watch, WATCH_READ);
	return l;
}

void
listener_free(struct listener *l)
{
	if (l == NULL)
		return;
	l->freed = true;
	if (l->inside)
		return;
	watch_free(l->watch);
	timer_free(l->rest);
	free(l);
}
