/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_OFFICE_BOOK_H
#define DAEMON_OFFICE_BOOK_H

#include "daemon/store/store.h"
#include "pki/secret.h"
#include "proto/book.pb-c.h"
#include "proto/ids.h"

/* The tables of an office's store: this file alone knows their names and keys.
 * Every value is encrypted (AES-256-GCM) under the store's key and bound to its
 * table and key; keys hold ids, digests and times only. docs/store.md.
 *
 * Functions with a txn run in the store thread inside a job, or on a snapshot
 * of store_read() in any thread. Messages they give out are plaintext: the
 * caller's, proto_wipe(). */
struct book;

extern const struct store_layout book_layout;

enum box { BOX_INBOX, BOX_SENT, BOX_QUARANTINE };

/* KEY (32 bytes) is copied. Makes the incarnation when there is none, or the store was restored. */
enum err book_new(struct store *s, const struct secret *key, struct book **out) MUST_CHECK;
void book_free(struct book *b);
struct store *book_store(struct book *b);
const uint8_t *book_incarnation(const struct book *b); /* INCARNATION_BYTES */

/* Messages. ERR_NOT_FOUND, ERR_CORRUPT (also: another key). */
enum err book_message(struct book *b, struct txn *t, struct id id, Citex__BookMessage **out)
    MUST_CHECK;
/* Insert or replace; a new one is put in its box and exchange. */
enum err book_put_message(struct book *b, struct txn *t, const Citex__BookMessage *m, bool is_new)
    MUST_CHECK;
enum err book_addressee(struct book *b, struct txn *t, struct id message, unsigned index,
    Citex__BookAddressee **out) MUST_CHECK;
enum err book_put_addressee(struct book *b, struct txn *t, struct id message, unsigned index,
    const Citex__BookAddressee *a) MUST_CHECK;
/* The id that TEXT, an id or its beginning, names among messages and exchanges. ERR_NOT_FOUND,
 * ERR_AMBIGUOUS, ERR_MALFORMED. */
enum err book_find(struct book *b, struct txn *t, const char *text, struct id *out) MUST_CHECK;
/* FN for each message of a box, newest first, from the one after AFTER (zero: the newest). FN gives
 * false to stop. */
typedef bool book_message_fn(void *arg, const Citex__BookMessage *m);
enum err book_list(struct book *b, struct txn *t, enum box box, struct id after,
    book_message_fn *fn, void *arg) MUST_CHECK;
/* FN for each message of an exchange, in order of ids. */
enum err book_exchange(
    struct book *b, struct txn *t, struct id exchange, book_message_fn *fn, void *arg) MUST_CHECK;
uint64_t book_count(struct book *b, struct txn *t, enum box box);

/* Proofs: packed Slips about an envelope of ours, under its id, or by us and our node about one
 * that arrived, under book_arrival_name(), by type. */
enum err book_put_slip(struct book *b, struct txn *t, struct id envelope, unsigned type,
    struct bytes packed) MUST_CHECK;
enum err book_slip(struct book *b, struct txn *t, struct id envelope, unsigned type,
    struct buffer *packed) MUST_CHECK;
/* The name of an arrived envelope, of its DIGEST: a stranger chose its id, and may repeat ours. */
struct id book_arrival_name(const uint8_t digest[DIGEST_BYTES]);

/* The incarnation (INCARNATION_BYTES) of a node's spool, as it was last told; ERR_NOT_FOUND. */
enum err book_spool(struct book *b, struct txn *t, const char *node, uint8_t *out) MUST_CHECK;
enum err book_put_spool(struct book *b, struct txn *t, const char *node, const uint8_t *incarnation)
    MUST_CHECK;

/* Envelopes of ours, and which of them the post has not taken yet. */
enum err book_envelope(struct book *b, struct txn *t, struct id envelope, Citex__BookEnvelope **out)
    MUST_CHECK;
enum err book_put_envelope(
    struct book *b, struct txn *t, struct id envelope, const Citex__BookEnvelope *e) MUST_CHECK;
typedef bool book_id_fn(void *arg, struct id id);
/* Up to which envelope all were looked at for pruning; zero: none. */
enum err book_pruned(struct book *b, struct txn *t, struct id *out) MUST_CHECK;
enum err book_put_pruned(struct book *b, struct txn *t, struct id envelope) MUST_CHECK;
enum err book_mark(struct book *b, struct txn *t, unsigned list, struct id id) MUST_CHECK;
enum err book_unmark(struct book *b, struct txn *t, unsigned list, struct id id)
    MUST_CHECK; /* OK also when it is not there */
bool book_is_marked(struct book *b, struct txn *t, unsigned list, struct id id);
/* Each envelope of ours behind AFTER (zero: all), in order of ids. */
enum err book_each_envelope(
    struct book *b, struct txn *t, struct id after, book_id_fn *fn, void *arg) MUST_CHECK;
enum err book_each_marked(struct book *b, struct txn *t, unsigned list, book_id_fn *fn, void *arg)
    MUST_CHECK;
enum {
	LIST_UNSEALED,
	LIST_UNSENT,
	LIST_WAITING /* taken, not yet opened */,
	LIST_UPLOADS, /* attachments without a message */
	LIST_CLOCKS, /* exchanges with a clock */
	LIST_LATE, /* book_notice_id() of what was told: an answer is overdue, */
	LIST_ORPHANS, /* handles whose chunks are to be deleted */
	LIST_SOON, /* is due soon, */
	LIST_SILENT, /* and no word came from an addressee */
	LIST_KEPT /* envelopes too young to be pruned when their turn came */
};
/* The same for ids after AFTER. */
enum err book_each_marked_after(struct book *b, struct txn *t, unsigned list, struct id after,
    book_id_fn *fn, void *arg) MUST_CHECK;
/* What is told once for a message, an authority and a date. */
struct id book_notice_id(struct id message, const char *authority, int64_t date_ms);
/* The next sequence number for an addressee. */
enum err book_next_sequence(struct book *b, struct txn *t, const char *addressee, uint64_t *out)
    MUST_CHECK;

/* What arrived and is not opened yet; by the envelope's digest. */
enum err book_arrived(struct book *b, struct txn *t, const uint8_t digest[DIGEST_BYTES],
    Citex__BookArrived **out) MUST_CHECK;
enum err book_put_arrived(struct book *b, struct txn *t, const uint8_t digest[DIGEST_BYTES],
    const Citex__BookArrived *a) MUST_CHECK;
enum err book_del_arrived(struct book *b, struct txn *t, const uint8_t digest[DIGEST_BYTES])
    MUST_CHECK;
typedef bool book_digest_fn(void *arg, const uint8_t digest[DIGEST_BYTES]);
enum err book_each_arrived(struct book *b, struct txn *t, book_digest_fn *fn, void *arg) MUST_CHECK;
/* The answer first given to an envelope: a packed Slip. */
enum err book_receipt(struct book *b, struct txn *t, const uint8_t digest[DIGEST_BYTES],
    struct buffer *packed) MUST_CHECK;
enum err book_put_receipt(struct book *b, struct txn *t, const uint8_t digest[DIGEST_BYTES],
    struct bytes packed) MUST_CHECK;
enum err book_del_receipt(struct book *b, struct txn *t, const uint8_t digest[DIGEST_BYTES])
    MUST_CHECK;
/* (author, message id) -> digest of the SignedData first seen. */
enum err book_seen(struct book *b, struct txn *t, const char *author, struct id message,
    uint8_t out[DIGEST_BYTES]) MUST_CHECK;
enum err book_put_seen(struct book *b, struct txn *t, const char *author, struct id message,
    const uint8_t digest[DIGEST_BYTES]) MUST_CHECK;
/* Quarantine, by the envelope's id. */
enum err book_quarantined(
    struct book *b, struct txn *t, struct id envelope, Citex__BookQuarantined **out) MUST_CHECK;
enum err book_put_quarantined(
    struct book *b, struct txn *t, struct id envelope, const Citex__BookQuarantined *q) MUST_CHECK;
enum err book_del_quarantined(struct book *b, struct txn *t, struct id envelope) MUST_CHECK;
typedef bool book_quarantined_fn(void *arg, struct id envelope, const Citex__BookQuarantined *q);
enum err book_each_quarantined(struct book *b, struct txn *t, book_quarantined_fn *fn, void *arg)
    MUST_CHECK;

/* Slips on their way to the post: kept until it says taken. KEY (8 bytes number) is given out, and
 * grows; each_out_slip() begins behind AFTER (0: with the first). */
enum err book_put_out_slip(struct book *b, struct txn *t, struct bytes packed) MUST_CHECK;
enum err book_out_slip(struct book *b, struct txn *t, uint64_t number, struct buffer *packed)
    MUST_CHECK;
enum err book_del_out_slip(struct book *b, struct txn *t, uint64_t number) MUST_CHECK;
typedef bool book_slip_fn(void *arg, uint64_t number, struct bytes packed);
enum err book_each_out_slip(
    struct book *b, struct txn *t, uint64_t after, book_slip_fn *fn, void *arg) MUST_CHECK;

/* Chunks (ciphertext) of an attachment: HANDLE is the upload's, or the first 16 bytes of the root
 * of one that arrived. */
enum err book_put_chunk(
    struct book *b, struct txn *t, struct id handle, uint32_t index, struct bytes data) MUST_CHECK;
enum err book_chunk(
    struct book *b, struct txn *t, struct id handle, uint32_t index, struct buffer *out) MUST_CHECK;
bool book_has_chunk(struct book *b, struct txn *t, struct id handle, uint32_t index);
/* Delete at most MAX chunks of HANDLE, gaps or not; *LEFT: there may be more. */
enum err book_del_chunks(struct book *b, struct txn *t, struct id handle, unsigned max, bool *left)
    MUST_CHECK;
/* Which handle holds ROOT, of an attachment that a message here has. For what arrived it is the
 * beginning of the root itself. */
enum err book_put_root(struct book *b, struct txn *t, struct bytes root, struct id handle)
    MUST_CHECK;
bool book_has_root(struct book *b, struct txn *t, struct bytes root);
struct id book_handle(struct book *b, struct txn *t, struct bytes root);

/* The chained log: appends an entry after the last, and tells count and head after it. */
enum err book_audit(struct book *b, struct txn *t, int64_t now_ms, const char *officer,
    const char *act, const char *id, const char *what) MUST_CHECK;
enum err book_audit_head(struct book *b, struct txn *t, uint64_t *count, uint8_t head[DIGEST_BYTES])
    MUST_CHECK;
/* Walk the chain from the first entry: ERR_CORRUPT when an entry is altered, missing or out of
 * order, or the last are gone. FN may be NULL; when it stops the walk, the rest is not judged. */
typedef bool book_audit_fn(void *arg, const Citex__BookAudit *a);
enum err book_audit_walk(struct book *b, struct txn *t, book_audit_fn *fn, void *arg) MUST_CHECK;

/* The directory in force: its signed head, packed, and what directory_keep() gave. */
enum err book_put_directory(struct book *b, struct txn *t, struct bytes head, struct bytes kept)
    MUST_CHECK;
enum err book_directory(struct book *b, struct txn *t, struct buffer *head, struct buffer *kept)
    MUST_CHECK;

#endif
