/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_STORE_STORE_H
#define DAEMON_STORE_STORE_H

#include "proto/bytes.h"
#include "proto/limits.h"

/* One small interface over durable tables of byte keys: ordered cursors, one
 * write batch that commits whole or not at all, snapshots for reading. Two
 * backends: lmdb.c, and sim.c, which forgets whatever was not committed.
 *
 * Over either, store.c keeps in each record its version, length, key and
 * digest, and for each table a count and the sum (mod 2^256) of SHA-256(key ‖
 * value) in the same transaction: a damaged record is ERR_CORRUPT when read, a
 * lost one is found by store_check(). */
struct store;
struct txn;
struct cursor;

/* What a store holds. */
struct store_layout {
	const char *kind; /* "spool", "book": a store of another kind is refused */
	uint32_t version; /* a newer one in the file is refused: ERR_VERSION */
	const char *const *tables; /* names; NULL ends. A table is its index here */
	/* SHA-256; this room knows no OpenSSL */
	void (*digest)(struct bytes in, uint8_t out[DIGEST_BYTES]);
};

/* Open DIR/KIND.mdb (a single file, its lock file beside it), making it under
 * another name, synced and renamed, when it is not there. One opener:
 * ERR_LOCKED for the second, within a second. ERR_CORRUPT, ERR_VERSION, ERR_IO,
 * ERR_SYSTEM (a file system that citex does not trust). WHY (200 bytes) says it
 * in words. MAP_BYTES is the most it may grow to. */
enum err store_open_lmdb(const char *dir, const struct store_layout *layout, uint64_t map_bytes,
    struct store **out, char *why) MUST_CHECK;

/* A simulated disk outlives the stores opened on it. */
struct sim_disk;
struct sim_disk *sim_disk_new(uint64_t limit_bytes);
void sim_disk_free(struct sim_disk *d);
/* The machine dies: stores open on D forget what was not committed; their
 * handles are of use for store_close() only. */
void sim_disk_crash(struct sim_disk *d);
/* Let the Nth step from now fail (1 is the next): a commit with ERR_IO, any
 * other with ERR_FAULT; 0: none. */
void sim_disk_fail(struct sim_disk *d, unsigned nth);
enum err store_open_sim(struct sim_disk *d, const struct store_layout *layout, struct store **out)
    MUST_CHECK;

/* NULL too. No transaction may be open. */
void store_close(struct store *s);

/* The write batch: one at a time, in one thread. */
enum err store_begin(struct store *s, struct txn **out) MUST_CHECK;
/* OK means: on disk. T is gone either way. ERR_STORE_FULL: nothing of it
 * happened. Anything else: the outcome is not known; the process must end
 * without an answer to anybody. */
enum err store_commit(struct txn *t) MUST_CHECK;
/* A snapshot for reading: short, ended in the event that began it. Any thread. */
enum err store_read(struct store *s, struct txn **out) MUST_CHECK;
/* Drops a write batch, or ends a snapshot. NULL too. */
void store_end(struct txn *t);
void store_end_drop(struct txn **t); /* fits CLEANUP() */

/* *VALUE is borrowed until the next put or del in T, or its end: copy out what
 * is needed. ERR_NOT_FOUND, ERR_CORRUPT. */
enum err store_get(struct txn *t, unsigned table, struct bytes key, struct bytes *value) MUST_CHECK;
bool store_has(struct txn *t, unsigned table, struct bytes key);
/* Insert or replace. ERR_TOO_LARGE over STORE_KEY_MAX_BYTES and
 * STORE_VALUE_MAX_BYTES; ERR_STORE_FULL. */
enum err store_put(struct txn *t, unsigned table, struct bytes key, struct bytes value) MUST_CHECK;
/* ERR_NOT_FOUND when it is not there. */
enum err store_del(struct txn *t, unsigned table, struct bytes key) MUST_CHECK;
enum err store_count(struct txn *t, unsigned table, uint64_t *count) MUST_CHECK;

/* Walk in order of keys. To be freed before T ends, and before a put or del in
 * T: gather keys first, then change. */
enum err cursor_new(struct txn *t, unsigned table, struct cursor **out) MUST_CHECK;
void cursor_free(struct cursor *c); /* NULL too */
void cursor_drop(struct cursor **c);
/* The first record with a key not before FROM; ERR_NOT_FOUND: none. KEY and
 * VALUE are borrowed until the next step. */
enum err cursor_seek(struct cursor *c, struct bytes from, struct bytes *key, struct bytes *value)
    MUST_CHECK;
enum err cursor_next(struct cursor *c, struct bytes *key, struct bytes *value) MUST_CHECK;
/* The last record with a key before BEFORE; BYTES_NONE: the last of the table. */
enum err cursor_seek_before(
    struct cursor *c, struct bytes before, struct bytes *key, struct bytes *value) MUST_CHECK;
enum err cursor_prev(struct cursor *c, struct bytes *key, struct bytes *value) MUST_CHECK;

/* Whether more than STORE_LOW_MARK_PERCENT of the map is in use: nothing new
 * is to be accepted; the rest belongs to deletes, slips and audit. */
bool store_is_low(struct store *s);
uint64_t store_used_bytes(struct store *s);
uint64_t store_limit_bytes(struct store *s);

/* Walk every record of every table and compare counts and sums. FOUND is called
 * for each damage. ERR_CORRUPT when there was any. */
enum err store_check(struct store *s,
    void (*found)(void *arg, const char *table, struct bytes key, const char *words), void *arg)
    MUST_CHECK;
/* A compacted copy KIND.mdb into the folder DIR, while the store is in use. ERR_EXISTS, ERR_IO. */
enum err store_copy(struct store *s, const char *dir) MUST_CHECK;

/* The same of the store in FROM, which another process may have open. ERR_NOT_FOUND. WHY (200
 * bytes) says it in words. */
enum err store_copy_beside(
    const char *from, const struct store_layout *layout, const char *dir, char *why) MUST_CHECK;

/* A restored copy is an old one: mark it, so that its owner begins a new
 * incarnation when it next opens it. */
enum err store_mark_restored(struct store *s) MUST_CHECK;
/* In a write batch: whether the store was marked; takes the mark off. */
bool store_take_restored(struct txn *t);

#endif
