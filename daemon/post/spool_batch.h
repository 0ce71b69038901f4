/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_POST_SPOOL_BATCH_H
#define DAEMON_POST_SPOOL_BATCH_H

#include "daemon/post/spool_rows.h"

/* The batch of the store thread that the jobs of the spool write in. For the
 * files of the spool only. A write that fails sticks in BROKEN: what follows
 * does nothing, and the batch is dropped at its end. */

struct spool_draft {
	struct slip_draft slip;
	char to[AUTHORITY_MAX_BYTES + 1];
	char words[SLIP_REASON_MAX_BYTES + 1];
	char home[LANE_NAME_BYTES];
	bool remember;
	int64_t now_ms;
	struct spool_news *news;
};
struct spool_delta {
	char lane[LANE_NAME_BYTES];
	int64_t counts[LANE_CLASSES];
};

struct spool {
	struct store *store;
	const struct spool_signer *signer;
	uint8_t incarnation[INCARNATION_BYTES];
	bool restored;
	uint64_t old_tickets; /* up to this one: given before a crash */
	struct buffer tried; /* what the process before put; until it is taken */
	struct spool_after pruned; /* how far the ends were looked at */
	/* The rest is the store thread's: of the batch under way. */
	uint64_t last_number;
	enum err broken; /* a write failed: the batch must not be committed */
	struct spool_draft *drafts; /* slips to be signed at its end */
	size_t draft_count, draft_room;
	struct spool_delta *deltas;
	size_t delta_count, delta_room;
};

/* Puts, deletes (what is not there need not be), numbers that grow. */
enum err batch_broke(struct spool *s, enum err e);
void batch_put(
    struct spool *s, struct txn *t, enum spool_table table, struct key key, struct bytes value);
void batch_mark(struct spool *s, struct txn *t, enum spool_table table, struct key key);
void batch_put_buffer(struct spool *s, struct txn *t, enum spool_table table, struct key key,
    struct buffer *b); /* releases B */
void batch_del(struct spool *s, struct txn *t, enum spool_table table, struct key key);
uint64_t batch_number(struct spool *s);
/* BY more items in LANE, at the end of the batch. */
void batch_count(struct spool *s, const char *lane, enum lane_class class, int by);
void batch_clear(struct spool *s);

/* What a job tells the queue. */
void news_clear(struct spool_news *n);
void batch_news(struct spool_news *n, const char *lane, enum lane_class class, uint64_t ticket,
    uint64_t number, bool added);

/* Rows copied out, so that they outlive the next put: COPY is the caller's. */
enum err row_copy(struct txn *t, enum spool_table table, struct key key, struct buffer *copy)
    MUST_CHECK;
enum err row_envelope(struct txn *t, uint64_t number, struct buffer *copy, struct envelope_row *row)
    MUST_CHECK;
enum err row_known(struct txn *t, struct key key, struct buffer *copy, struct known_row *known)
    MUST_CHECK;
enum err row_part(struct txn *t, const struct spool_part *part, uint32_t *next) MUST_CHECK;

/* Remember of ROW's envelope: where it is now, and KNOWN's slips. */
void batch_known(struct spool *s, struct txn *t, const struct envelope_row *row, uint64_t number,
    uint64_t ticket, struct known_row *known);
/* Put a whole envelope into its lane; its ticket. */
uint64_t batch_enqueue(struct spool *s, struct txn *t, const struct envelope_row *row,
    uint64_t number, struct spool_news *news);
/* Put a slip into LANE, unless it stands there already. */
void batch_queue_slip(struct spool *s, struct txn *t, const char *lane, const struct slip *slip,
    struct bytes packed, int64_t now_ms, struct spool_news *news);
/* What was said of an envelope once is said again, to whoever asks again. OWN: the type, when it
 * is this post's first word on it. */
void batch_remember_slip(
    struct spool *s, struct txn *t, struct key key, Citex__SlipType own, struct bytes packed);
/* A slip of our own about ABOUT, signed and queued for its home at the end of the batch. */
void batch_draft(struct spool *s, Citex__SlipType type, const struct envelope_row *about,
    enum err reason, const char *words, struct spool_news *news);
/* The drafts from number FROM on were made at NOW_MS. */
void batch_date_drafts(struct spool *s, size_t from, int64_t now_ms, uint64_t directory);

#endif
