/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_SESSION_H
#define DAEMON_SESSION_H

#include "daemon/loop.h"
#include "proto/frame.h"
#include "proto/frame.pb-c.h"
#include "proto/ids.h"

/* The language that post and post, and office and post speak, over one
 * connection. Pure: events in, actions out; no socket, clock, disk or chance.
 * Both sides are alike. docs/protocol.md, "Session".
 *
 * Custody: an offer is answered `taken' only after EVENT_COMMITTED says that it
 * is on disk, whole, with every chunk. */
struct session;

/* What this side says of itself in hello. */
struct session_self {
	char node[NODE_MAX_BYTES + AUTHORITY_MAX_BYTES];
	uint8_t incarnation[INCARNATION_BYTES];
	uint64_t directory;
	uint8_t head_digest[DIGEST_BYTES];
};

enum event_type {
	EVENT_OPEN, /* the link stands: say hello */
	EVENT_FRAME, /* BYTES: one frame from the peer, without its length */
	EVENT_OFFER_ENVELOPE, /* hand over BYTES (an Envelope), under TOKEN; only while
				 session_may_offer() */
	EVENT_OFFER_SLIP, /* hand over BYTES (a Slip), under TOKEN */
	EVENT_COMMITTED, /* what became of ACTION_STORE_ENVELOPE or _SLIP: NUMBER, RESULT: OK is
			    taken; other errors are answered `later' (WAIT_MS, 0: the session
			    chooses) */
	EVENT_WANT_CHUNK, /* ask the peer for chunk INDEX of ROOT; at most CHUNKS_IN_FLIGHT open */
	EVENT_CHUNK_READ, /* answer to ACTION_READ_CHUNK: ROOT, INDEX, CHUNK (NULL: no such chunk
			     for this peer) */
	EVENT_DIRECTORY, /* our directory is another one now: SELF */
	EVENT_SEND, /* send FRAME as it is: directory frames, probes, progress, spools,
		       taking back */
	EVENT_CREDIT, /* let the peer have at most NUMBER (1 to WINDOW_ENVELOPES) offers unanswered
		       */
	EVENT_TICK, /* session_deadline_ms() is reached */
	EVENT_BYE /* close in peace, RESULT is the reason */
};

struct event {
	enum event_type type;
	struct bytes bytes;
	uint64_t token;
	uint32_t number;
	enum err result;
	int64_t wait_ms;
	struct bytes receipt; /* EVENT_OFFER_ENVELOPE of a post to its office: the `stored' that it
				 gave, a packed Slip; else none */
	struct bytes root;
	uint32_t index;
	const Citex__Chunk *chunk;
	const struct session_self *self;
	Citex__Frame *frame;
};

enum action_type {
	ACTION_SEND, /* BYTES: frames with their lengths */
	ACTION_READY, /* hello of both sides done: see session_peer_hello() */
	ACTION_STORE_ENVELOPE, /* commit FRAME's offer; answer with EVENT_COMMITTED for NUMBER */
	ACTION_STORE_SLIP,
	ACTION_TAKEN, /* the peer has what was offered under TOKEN on its disk */
	ACTION_LATER, /* not now: TOKEN, RESULT (reason), WAIT_MS */
	ACTION_CREDIT, /* session_may_offer() may be true again */
	ACTION_READ_CHUNK, /* the peer wants chunk INDEX of ROOT: answer with EVENT_CHUNK_READ */
	ACTION_CHUNK, /* a chunk that we wanted: FRAME; empty data: the peer has none (for us) */
	ACTION_CHUNK_LOST, /* no answer to our request: ROOT, INDEX */
	ACTION_DIRECTORY, /* FRAME: a request, heads or a part */
	ACTION_PEER_DIRECTORY, /* the peer's hello, the first or a later one, names another
				  directory */
	ACTION_PROBE, /* FRAME: a probe or its result */
	ACTION_PROGRESS, /* FRAME */
	ACTION_SPOOL, /* FRAME: which spool a node has; the name and the length are good */
	ACTION_TAKE_BACK, /* FRAME: an office asks for envelopes; ids and digests have their length,
			     the ids their order */
	ACTION_TAKE_BACK_RESULT, /* FRAME */
	ACTION_CLOSE /* send what went before, then close: RESULT, and words in TEXT */
};

struct action {
	enum action_type type;
	struct buffer bytes; /* ACTION_SEND */
	Citex__Frame *frame; /* owned by the action; take it by setting it to NULL */
	uint64_t token;
	uint32_t number;
	enum err result;
	int64_t wait_ms;
	uint8_t root[DIGEST_BYTES];
	uint32_t index;
	const char *text; /* static */
};

struct actions {
	struct action *at;
	size_t count, room;
};
void actions_release(struct actions *a);

/* A new session that has not begun. SELF is copied. VERSION 1 is the only one. */
struct session *session_new(const struct session_self *self);
void session_free(struct session *s);

/* Advance S by one event at NOW and append what is to be done to OUT, in order. After an error
 * (which is also appended as ACTION_CLOSE) S takes no more events: ERR_WRONG_STATE. */
enum err session_handle(
    struct session *s, const struct event *ev, struct now now, struct actions *out) MUST_CHECK;

/* When to send EVENT_TICK at the latest (mono_ms); INT64_MAX: never. */
int64_t session_deadline_ms(const struct session *s);
/* How many offers the peer would take now (its credit, and our WINDOW_ENVELOPES). 0 before hello.
 */
unsigned session_may_offer(const struct session *s);
/* How many chunks may still be asked for now. */
unsigned session_may_want(const struct session *s);
bool session_is_ready(const struct session *s);
/* The peer's name and facts in its hello; "" and NULL before. */
const char *session_peer(const struct session *s);
const Citex__Hello *session_peer_hello(const struct session *s);

#endif
