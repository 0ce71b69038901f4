/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_LINK_H
#define DAEMON_LINK_H

#include <sys/types.h>

#include "daemon/loop.h"
#include "pki/tls.h"
#include "proto/frame.h"

/* One connection: loop, TLS or not, frames. No decisions. Deadlines by the
 * limits: handshake, a frame's first byte to its last. tests/sim has another
 * link.c behind this header. Loop thread only. */
struct link;

struct link_events {
	/* The handshake is done and the certificate was judged good (or a local connection stands).
	 * PEER is the name in it, "" on a local one. */
	void (*opened)(void *arg, struct link *l, const char *peer);
	/* One whole frame, without its length; borrowed. May close the link. */
	void (*frame)(void *arg, struct link *l, struct bytes frame);
	/* What was sent has left us but for less than a quarter of SEND_HIGH_BYTES, after it was
	 * more. */
	void (*drained)(void *arg, struct link *l);
	/* Over; the last call for L, which is freed after it. Not called after link_close(). */
	void (*closed)(void *arg, struct link *l, enum err why, const char *words);
};

/* Connect to HOST:PORT (an address, not a name to look up) as TLS client. Never NULL: failures
 * arrive at CLOSED, later. */
struct link *link_dial(struct loop *l, struct tls_context *c, const char *address, tls_judge *judge,
    void *judge_arg, const struct link_events *events, void *arg);
/* Take over an accepted socket as TLS server. */
struct link *link_accept(struct loop *l, struct tls_context *c, int fd, tls_judge *judge,
    void *judge_arg, const struct link_events *events, void *arg);
/* Connect to the Unix socket at PATH, or take over an accepted one: no TLS. OPENED arrives later,
 * too. */
struct link *link_dial_local(
    struct loop *l, const char *path, const struct link_events *events, void *arg);
struct link *link_accept_local(struct loop *l, int fd, const struct link_events *events, void *arg);

/* Send bytes of one or more frames, lengths included (frame_write()). */
void link_send(struct link *l, struct bytes frames);
size_t link_queued_bytes(const struct link *l);
/* Read no more for now, or again: when the store is behind. */
void link_pause(struct link *l, bool paused);
/* Send what is queued for at most a second, then close. No event follows; the caller forgets L. */
void link_close(struct link *l);
/* End what link_close() has left on L, with a last try to send what is queued: when the loop has
 * stopped, before loop_free(). */
void links_end(struct loop *l);
/* Who connected, by the kernel's word (local links). -1 else. */
uid_t link_peer_uid(const struct link *l);
pid_t link_peer_pid(const struct link *l);
/* "127.0.0.1:4711"; "" on a local link. For logs and limits by prefix. Borrowed. */
const char *link_address(const struct link *l);
struct loop *link_loop(const struct link *l);

/* A listening socket (made and bound by the supervisor). FN gets each accepted descriptor, its to
 * own. On EMFILE it rests for a second. */
struct listener;
typedef void listener_fn(void *arg, int fd, const char *address);
/* FN does not want FD: close it, without a word. */
void link_refuse(struct loop *l, int fd);
struct listener *listener_new(struct loop *l, int fd, listener_fn *fn, void *arg);
void listener_free(struct listener *l);

#endif
