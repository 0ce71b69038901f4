/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_POST_SPOOL_ROWS_H
#define DAEMON_POST_SPOOL_ROWS_H

#include "daemon/post/spool.h"

/* Keys and values of the spool's tables. For spool.c and spool_read.c only.
 * Numbers are big-endian, so that order is the order wanted; each value begins
 * with the version of its form. */

enum spool_table {
	TABLE_FACTS,
	TABLE_ENVELOPES, /* number -> envelope_row */
	TABLE_KNOWN, /* envelope id, digest -> known_row: what was accepted, and its slips */
	TABLE_EXPIRY, /* expires, envelope id, digest -> nothing */
	TABLE_QUEUE, /* lane, class, ticket -> queue_row */
	TABLE_SLIPS, /* digest of a slip in the queue -> lane, ticket */
	TABLE_LANES, /* lane -> how many of each class */
	TABLE_INCOMING, /* number of an envelope that waits for chunks -> nothing */
	TABLE_USES, /* root, length, lane, number: that envelope lists that part -> nothing */
	TABLE_PARTS, /* root, length -> chunks below which all are here */
	TABLE_CHUNKS, /* root, length, index -> path, data */
	TABLE_DOOMED, /* root, length of a part that no envelope lists any more -> nothing */
	TABLE_HEADS, /* number -> SignedHead */
	TABLE_DIRECTORY, /* number, slice -> contents */
	TABLE_PROOFS, /* number, digest -> SignedHead: two heads with one number */
	TABLE_PEERS, /* node -> spool_peer */
	TABLE_COUNT
};

/* A key under construction. */
struct key {
	uint8_t at[STORE_KEY_MAX_BYTES];
	size_t len;
};
void key_add(struct key *k, struct bytes more);
void key_add_u8(struct key *k, uint8_t v);
void key_add_u32(struct key *k, uint32_t v);
void key_add_u64(struct key *k, uint64_t v);
void key_add_text(
    struct key *k, const char *s); /* its length before it: none is a beginning of another */
struct bytes key_bytes(const struct key *k);
/* Whether KEY begins with K. */
bool key_begins(const struct key *k, struct bytes key);

/* The keys of the tables, in the order of enum spool_table. */
struct key key_word(const char *word);
struct key key_number(uint64_t number);
struct key key_known(struct id id, const uint8_t digest[DIGEST_BYTES]);
struct key key_expiry(uint64_t expires, struct id id, const uint8_t digest[DIGEST_BYTES]);
struct key key_queue(const char *lane, enum lane_class class, uint64_t ticket);
struct key key_lane(const char *lane);
struct key key_part(const struct spool_part *p);
struct key key_use(const struct spool_part *p, const char *lane, uint64_t number);
struct key key_chunk(const struct spool_part *p, uint32_t index);

struct envelope_row {
	enum lane_class class;
	Citex__SlipType slip; /* to be made when it is whole */
	char lane[LANE_NAME_BYTES], home[LANE_NAME_BYTES], from[LANE_NAME_BYTES];
	struct id id;
	uint8_t digest[DIGEST_BYTES];
	char author[AUTHORITY_MAX_BYTES + 1], addressee[AUTHORITY_MAX_BYTES + 1];
	int64_t arrived_ms, created_ms, expires_ms;
	struct spool_part parts[ATTACHMENTS_MAX];
	size_t part_count;
	struct bytes packed; /* borrowed */
};
void envelope_row_write(const struct envelope_row *r, struct buffer *out);
enum err envelope_row_read(struct bytes in, struct envelope_row *r) MUST_CHECK;
/* Of the envelope with all its parts. */
uint64_t envelope_row_bytes(const struct envelope_row *r);

#define KNOWN_SLIPS_MAX 3
struct known_row {
	uint64_t number; /* 0: not held any more */
	uint64_t ticket; /* 0: waits for chunks */
	Citex__SlipType slip; /* that this post made first */
	bool again; /* it was handed on before, or moved: whether it ever left is not certain */
	char author[AUTHORITY_MAX_BYTES + 1];
	struct bytes slips[KNOWN_SLIPS_MAX]; /* borrowed */
	size_t slip_count;
};
void known_row_write(const struct known_row *r, struct buffer *out);
enum err known_row_read(struct bytes in, struct known_row *r) MUST_CHECK;

struct queue_row {
	struct spool_item item; /* all but the ticket */
	uint8_t slip_digest[DIGEST_BYTES];
	struct bytes slip; /* borrowed; empty: an envelope */
};
void queue_row_write(const struct queue_row *r, struct buffer *out);
enum err queue_row_read(struct bytes in, struct queue_row *r) MUST_CHECK;

/* Reads the text of key_add_text(). OUT has SIZE bytes. */
void row_read_text(struct reader *r, char *out, size_t size);
enum err part_read(struct bytes in, uint32_t *next) MUST_CHECK;
void part_write(uint32_t next, struct buffer *out);

#endif
