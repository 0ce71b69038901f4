/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_POST_SPOOL_H
#define DAEMON_POST_SPOOL_H

#include "daemon/post/queue.h"
#include "daemon/store/committer.h"
#include "pki/slip.h"

/* The tables of spool.mdb: what this post has in custody, what it remembers,
 * and what it knows of the world. Alone knows their keys; docs/store.md shows
 * them. What writes is called in the store thread, within the run of a job;
 * what reads takes a snapshot of its own, any thread. */
struct spool;

extern const struct store_layout spool_layout;

/* Who signs what this post says of envelopes. Both borrowed, as long as the spool. */
struct spool_signer {
	const char *node;
	const struct private_key *key; /* of its receipts */
};

/* Over S, an open store with spool_layout; writes its first rows, so: before there is a committer.
 */
enum err spool_open(struct store *s, const struct spool_signer *signer, struct spool **out)
    MUST_CHECK;
void spool_free(struct spool *s);
/* For committer_new(): signs the slips of a batch at once, and keeps the counts. */
struct committer_hooks spool_hooks(struct spool *s);
/* INCARNATION_BYTES; another one after create and restore. */
const uint8_t *spool_incarnation(const struct spool *s);
bool spool_is_restored(const struct spool *s); /* ever */
bool spool_is_low(struct spool *s);
/* A batch of one's own, before there is a committer. */
enum err spool_begin(struct spool *s, struct txn **t) MUST_CHECK;
enum err spool_commit(struct spool *s, struct txn *t) MUST_CHECK;

/* --- what happened in a job: for the queue, after the commit --- */

struct spool_change {
	char lane[LANE_NAME_BYTES];
	enum lane_class class;
	uint64_t ticket;
	uint64_t number; /* the envelope that is whole now, or gone; 0: a slip */
	bool added;
};
enum spool_outcome {
	SPOOL_DONE, /* in custody, or remembered: answer `taken' */
	SPOOL_PARTIAL /* accepted, chunks are missing: see spool_missing() */
};
struct spool_news {
	enum spool_outcome outcome;
	bool duplicate;
	uint64_t number; /* of the envelope accepted */
	struct spool_change *at;
	size_t count, room;
};
void spool_news_release(struct spool_news *n);

/* --- writing: store thread, in a job. After an error other than those named, the batch is
 * dropped. All may run again after a dropped batch: NEWS is cleared first. --- */

struct spool_arrival {
	const struct envelope *envelope;
	struct bytes packed; /* an Envelope */
	const char *from; /* lane of who offers it */
	const char *to; /* lane; "": refused, it is not kept */
	const char *home; /* lane of slips to its author; "": there is no way */
	Citex__SlipType slip; /* that this post makes: stored, relayed, refused; SLIP_NONE */
	enum err reason; /* of refused */
	const char *words;
	bool forget; /* do not remember it: its stamp is not known to be good */
	int64_t now_ms; /* UTC */
	uint64_t directory;
};
/* Take an envelope in. A known one is answered with its first slips again. When all chunks are
 * here it is in custody (SPOOL_DONE), else it waits for them. ERR_CONFLICT: the author used this
 * envelope id for another one. */
enum err spool_accept(struct spool *s, struct txn *t, const struct spool_arrival *a,
    struct spool_news *news) MUST_CHECK;

struct spool_chunk {
	const uint8_t *root;
	uint64_t length; /* of the whole part */
	uint32_t index;
	const struct bytes *path; /* DIGEST_BYTES each */
	size_t path_count;
	struct bytes data;
	int64_t now_ms;
	uint64_t directory;
};
/* Keep a chunk that was checked. Envelopes that became whole by it are in NEWS. ERR_NOT_FOUND: no
 * envelope here lists that part. */
enum err spool_chunk(struct spool *s, struct txn *t, const struct spool_chunk *c,
    struct spool_news *news) MUST_CHECK;

/* Keep a slip until the next hop has it. Known by its digest. */
struct spool_slip {
	const struct slip *slip;
	struct bytes packed;
	const char *lane;
	bool ends; /* it ends the envelope that waits here for a node */
	bool remember; /* the last word of an office here: goes with each answer to a duplicate */
	int64_t now_ms;
};
enum err spool_slip(struct spool *s, struct txn *t, const struct spool_slip *in,
    struct spool_news *news) MUST_CHECK;

/* The next hop has it: custody is over. ERR_NOT_FOUND: it was gone already. */
enum err spool_taken(struct spool *s, struct txn *t, const char *lane, enum lane_class class,
    uint64_t ticket, struct spool_news *news) MUST_CHECK;

/* An envelope is past its end: an expired slip goes HOME, signed here; the envelope goes. What
 * waits for chunks, or for an office here, goes without one. ERR_NOT_FOUND. */
struct spool_ending {
	struct id id;
	uint8_t digest[DIGEST_BYTES];
	uint64_t number;
	const char *home;
	int64_t now_ms;
	uint64_t directory;
};
enum err spool_expire(struct spool *s, struct txn *t, const struct spool_ending *e,
    struct spool_news *news) MUST_CHECK;

/* Send an envelope that waits in LANE to lane TO instead: the directory changed. */
enum err spool_move(struct spool *s, struct txn *t, const char *lane, enum lane_class class,
    uint64_t ticket, const char *to, struct spool_news *news) MUST_CHECK;

/* Where an envelope waits, whole. */
struct spool_place {
	struct id id;
	uint8_t digest[DIGEST_BYTES];
	char author[AUTHORITY_MAX_BYTES + 1];
	char lane[LANE_NAME_BYTES];
	enum lane_class class;
	uint64_t ticket;
	bool again; /* it was handed on, or waited elsewhere, before */
	bool parts; /* it has attachments */
};
/* Their author takes COUNT different envelopes back: all of them leave this disk, with no slip, or
 * none does. They are known still: one that is offered again is taken in as one that may have left
 * before. ERR_NOT_FOUND: one is not at its place any more, nothing was written. */
enum err spool_take_back(struct spool *s, struct txn *t, const struct spool_place *at, size_t count,
    struct spool_news *news) MUST_CHECK;

/* Forget envelopes that ended, REMEMBER_AFTER_EXPIRY_MS after their end, and slips that nobody took
 * in SLIP_KEPT_MS; some of each: *MORE says whether to come again. */
#define SLIP_KEPT_MS (EXPIRES_AHEAD_MAX_MS + REMEMBER_AFTER_EXPIRY_MS)
enum err spool_prune(
    struct spool *s, struct txn *t, int64_t now_ms, bool *more, struct spool_news *news) MUST_CHECK;
/* Delete some chunks that no envelope lists any more. */
enum err spool_sweep(struct spool *s, struct txn *t, bool *more) MUST_CHECK;

/* Keep the directory: all heads that are new, in order, and what directory_keep() gave for the
 * last. */
enum err spool_put_directory(struct spool *s, struct txn *t, Citex__SignedHead *const *heads,
    size_t count, struct bytes kept) MUST_CHECK;
/* Keep the proof that two heads bear one number, and stay there: see spool_frozen(). */
enum err spool_put_split(struct spool *s, struct txn *t, uint64_t number,
    const Citex__SignedHead *ours, const Citex__SignedHead *theirs) MUST_CHECK;
/* Directory number 0 thaws. */
enum err spool_thaw(struct spool *s, struct txn *t) MUST_CHECK;

/* What a peer last said of itself. */
struct spool_peer {
	uint8_t incarnation[INCARNATION_BYTES];
	int64_t seen_ms;
	uint64_t directory;
	bool knows_us; /* read only: it has heard which spool this one is now */
};
enum err spool_put_peer(
    struct spool *s, struct txn *t, const char *node, const struct spool_peer *p) MUST_CHECK;

/* --- reading: any thread --- */

/* Calls FOUND for each lane with something in it. */
enum err spool_lanes(struct spool *s,
    void (*found)(void *arg, const char *lane, const uint64_t counts[LANE_CLASSES]), void *arg)
    MUST_CHECK;

/* One row of a lane. */
struct spool_item {
	uint64_t ticket;
	uint64_t number; /* of the envelope; 0: a slip */
	struct id envelope_id;
	char author[AUTHORITY_MAX_BYTES + 1], addressee[AUTHORITY_MAX_BYTES + 1];
	int64_t created_ms, expires_ms, arrived_ms;
	uint64_t bytes; /* with its parts */
};
/* At most COUNT rows of CLASS in LANE with tickets greater than AFTER; *FOUND: how many; *END: none
 * follow. */
enum err spool_page(struct spool *s, const char *lane, enum lane_class class, uint64_t after,
    struct spool_item *rows, size_t count, size_t *found, bool *end) MUST_CHECK;

/* An envelope as it is kept. */
struct spool_part {
	uint8_t root[DIGEST_BYTES];
	uint64_t length;
};
struct spool_envelope {
	struct spool_item item;
	uint8_t digest[DIGEST_BYTES];
	struct spool_part parts[ATTACHMENTS_MAX];
	size_t part_count;
	struct buffer packed; /* the Envelope */
	struct buffer receipt; /* the `stored' that this post gave for it; empty: none */
};
/* The item of LANE to offer. For a slip only PACKED is set. ERR_NOT_FOUND, ERR_CORRUPT. The
 * caller's to release on OK. */
enum err spool_load(struct spool *s, const char *lane, enum lane_class class, uint64_t ticket,
    struct spool_envelope *out) MUST_CHECK;
void spool_envelope_release(struct spool_envelope *e);

/* Where an envelope is: ERR_NOT_FOUND when this post does not hold it (any more). PACKED is the
 * caller's. */
enum err spool_find(struct spool *s, struct id id, const uint8_t digest[DIGEST_BYTES],
    char lane[LANE_NAME_BYTES], struct buffer *packed) MUST_CHECK;

/* The place of an envelope that is in custody. ERR_NOT_FOUND: this post does not hold it (any
 * more). ERR_NOT_YET: its attachments are not all here. */
enum err spool_place(struct spool *s, struct id id, const uint8_t digest[DIGEST_BYTES],
    struct spool_place *out) MUST_CHECK;
/* Tickets up to this one may have been tried and nobody knows: they were given before a crash. */
uint64_t spool_old_tickets(const struct spool *s);
/* At a clean end: how far each lane of Q was tried. The next process takes it, once: after a crash,
 * or in a spool that was restored, there is nothing to take. Commits; nothing else is under way. */
enum err spool_put_tried(struct spool *s, const struct queue *q) MUST_CHECK;
/* Tell Q what the process before this one put; nothing when it put nothing. */
void spool_take_tried(struct spool *s, struct queue *q);

/* The parts of envelope NUMBER, and for each the chunks that are here: all below *NEXT, and those
 * in *LATER (bit I: chunk *NEXT + I). */
struct spool_missing {
	struct spool_part part;
	uint32_t next;
	uint64_t later;
};
enum err spool_missing(struct spool *s, uint64_t number, struct spool_missing *out, size_t *count)
    MUST_CHECK;

/* A chunk for somebody who carries lanes: ALLOWED says whether a lane with an envelope that lists
 * it is theirs. ERR_NOT_FOUND. DATA is the caller's; PATH holds *COUNT digests. */
enum err spool_read_chunk(struct spool *s, const uint8_t root[DIGEST_BYTES], uint32_t index,
    bool (*allowed)(void *arg, const char *lane), void *arg, struct buffer *data,
    uint8_t path[MERKLE_PATH_MAX][DIGEST_BYTES], size_t *count) MUST_CHECK;

/* Envelopes here with `expires' in (*AFTER, NOW_MS], at most COUNT, in that order; *AFTER moves
 * on. *FOUND less than COUNT: those were all. */
struct spool_due {
	struct id id;
	uint8_t digest[DIGEST_BYTES];
	uint64_t number;
	char author[AUTHORITY_MAX_BYTES + 1];
	char lane[LANE_NAME_BYTES];
	bool whole; /* in custody: every chunk is here */
};
struct spool_after {
	uint8_t key[8 + ID_BYTES + DIGEST_BYTES];
	bool set;
};
enum err spool_due(struct spool *s, int64_t now_ms, struct spool_after *after,
    struct spool_due *rows, size_t count, size_t *found) MUST_CHECK;

/* The directory kept: ERR_NOT_FOUND when there is none. *HEAD is the caller's, proto_free(). */
enum err spool_directory(struct spool *s, Citex__SignedHead **head, struct buffer *kept) MUST_CHECK;
/* Heads FROM and newer, at most DIRECTORY_HEADS_MAX; OUT (room for as many) is the caller's. */
enum err spool_heads(struct spool *s, uint64_t from, Citex__SignedHead **out, size_t *count)
    MUST_CHECK;
/* The number at which this post stays because of two heads; 0: none. */
enum err spool_frozen(struct spool *s, uint64_t *number) MUST_CHECK;
enum err spool_peer(struct spool *s, const char *node, struct spool_peer *out) MUST_CHECK;

#endif
