/* SPDX-License-Identifier: Apache-2.0 */
/* The spool opened, and what it keeps of the world. spool_in.c and spool_out.c
 * move mail, spool_read.c reads, spool_rows.c knows keys and values,
 * spool_batch.c what a batch writes. Every job reads and judges first and
 * writes then; a write that fails drops the whole batch: there is no half
 * state. Nothing here decides who may send what: the callers do. */
#include "daemon/post/spool.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/post/spool_batch.h"
#include "pki/ossl.h"
#include "proto/decode.h"

#define SLICE_BYTES (512 * KIB) /* of a directory's contents */

static void
digest(struct bytes in, uint8_t out[DIGEST_BYTES])
{
	sha256(in, out);
}

static const char *const table_names[TABLE_COUNT + 1] = {
	[TABLE_FACTS] = "facts",
	[TABLE_ENVELOPES] = "envelopes",
	[TABLE_KNOWN] = "known",
	[TABLE_EXPIRY] = "expiry",
	[TABLE_QUEUE] = "queue",
	[TABLE_SLIPS] = "slips",
	[TABLE_LANES] = "lanes",
	[TABLE_INCOMING] = "incoming",
	[TABLE_USES] = "uses",
	[TABLE_PARTS] = "parts",
	[TABLE_CHUNKS] = "chunks",
	[TABLE_DOOMED] = "doomed",
	[TABLE_HEADS] = "heads",
	[TABLE_DIRECTORY] = "directory",
	[TABLE_PROOFS] = "proofs",
	[TABLE_PEERS] = "peers",
};

const struct store_layout spool_layout = {
	.kind = "spool",
	.version = 1,
	.tables = table_names,
	.digest = digest,
};

/* --- opening --- */

/* What a clean end has left. It is true for the disk that ended so, and once. */
static enum err
take_tried_row(struct spool *s, struct txn *t, bool is_new)
{
	struct key word = key_word("tried");
	struct bytes value;
	struct reader r;
	enum err e = store_get(t, TABLE_FACTS, key_bytes(&word), &value);

	if (e != OK)
		return e == ERR_NOT_FOUND ? s->broken : e;
	r = (struct reader){ value, OK };
	if (!is_new) {
		s->old_tickets = read_u64(&r);
		buffer_add(&s->tried, r.left);
	}
	batch_del(s, t, TABLE_FACTS, word);
	return r.err == OK ? s->broken : ERR_CORRUPT;
}

static enum err
first_rows(struct spool *s, struct txn *t)
{
	bool is_new = false;
	struct key word = key_word("incarnation"), last = key_word("last");
	struct reader r;
	struct bytes value;
	struct key restored = key_word("restored");
	enum err e = store_get(t, TABLE_FACTS, key_bytes(&word), &value);

	s->restored = store_has(t, TABLE_FACTS, key_bytes(&restored));
	if (e == OK && value.len == INCARNATION_BYTES && !store_take_restored(t)) {
		memcpy(s->incarnation, value.at, INCARNATION_BYTES);
	} else if (e == ERR_NOT_FOUND || (e == OK && value.len == INCARNATION_BYTES)) {
		random_bytes(s->incarnation, INCARNATION_BYTES);
		is_new = true;
		batch_put(s, t, TABLE_FACTS, word, BYTES_OF(s->incarnation));
		s->restored = e == OK;
		if (s->restored)
			batch_put(s, t, TABLE_FACTS, restored, BYTES_NONE);
	} else {
		return e == OK ? ERR_CORRUPT : e;
	}
	e = store_get(t, TABLE_FACTS, key_bytes(&last), &value);
	if (e != OK)
		return e == ERR_NOT_FOUND ? s->broken : e;
	r = (struct reader){ value, OK };
	s->last_number = s->old_tickets = read_u64(&r);
	if (reader_finish(&r) != OK)
		return ERR_CORRUPT;
	return take_tried_row(s, t, is_new);
}

enum err
spool_begin(struct spool *s, struct txn **t)
{
	batch_clear(s);
	return store_begin(s->store, t);
}

enum err
spool_commit(struct spool *s, struct txn *t)
{
	struct committer_hooks hooks = spool_hooks(s);
	enum err e = hooks.batch_end(hooks.arg, t);

	if (e == OK)
		return store_commit(t);
	store_end(t);
	return e;
}

enum err
spool_open(struct store *store, const struct spool_signer *signer, struct spool **out)
{
	struct spool *s = xalloc(sizeof(*s));
	struct txn *t = NULL;
	enum err e;

	s->store = store;
	s->signer = signer;
	e = spool_begin(s, &t);
	if (e == OK) {
		e = first_rows(s, t);
		if (e == OK)
			e = spool_commit(s, t);
		else
			store_end(t);
	}
	if (e != OK) {
		spool_free(s);
		return e;
	}
	batch_clear(s);
	*out = s;
	return OK;
}

void
spool_free(struct spool *s)
{
	if (s == NULL)
		return;
	buffer_release(&s->tried);
	free(s->drafts);
	free(s->deltas);
	free(s);
}

bool
spool_is_restored(const struct spool *s)
{
	return s->restored;
}

const uint8_t *
spool_incarnation(const struct spool *s)
{
	return s->incarnation;
}

uint64_t
spool_old_tickets(const struct spool *s)
{
	return s->old_tickets;
}

enum err
spool_put_tried(struct spool *s, const struct queue *q)
{
	struct buffer value = { 0 };
	struct txn *t = NULL;
	const struct lane *l;
	enum err e = spool_begin(s, &t);

	if (e != OK)
		return e;
	buffer_add_u64(&value, s->old_tickets);
	for (size_t i = 0; (l = queue_lane_at(q, i)) != NULL; i++) {
		for (unsigned c = 0; c < LANE_CLASSES; c++) {
			uint64_t ticket = lane_tried(l, (enum lane_class)c);
			if (ticket == 0 || lane_name(l)[0] != LANE_NODE)
				continue;
			buffer_add_u64(&value, ticket);
			buffer_add_u8(&value, (uint8_t)c);
			buffer_add_u8(&value, (uint8_t)strlen(lane_name(l)));
			buffer_add_str(&value, lane_name(l));
		}
	}
	batch_put_buffer(s, t, TABLE_FACTS, key_word("tried"), &value);
	return spool_commit(s, t);
}

void
spool_take_tried(struct spool *s, struct queue *q)
{
	struct reader r = { buffer_bytes(&s->tried), OK };

	while (r.err == OK && r.left.len > 0) {
		char name[LANE_NAME_BYTES] = "";
		uint64_t ticket = read_u64(&r);
		unsigned class = read_u8(&r);
		struct bytes lane = read_bytes(&r, read_u8(&r));
		if (r.err != OK || class >= LANE_CLASSES || lane.len >= sizeof(name)) {
			s->old_tickets = s->last_number; /* not ours: nothing is certain */
			break;
		}
		memcpy(name, lane.at, lane.len);
		lane_set_tried(queue_lane(q, name), (enum lane_class) class, ticket);
	}
	buffer_release(&s->tried);
}

bool
spool_is_low(struct spool *s)
{
	return store_is_low(s->store);
}

/* --- the world --- */

static enum err
head_number(const Citex__SignedHead *signed_head, uint64_t *number)
{
	Citex__Head *head = NULL;
	enum err e = proto_unpack(
	    &citex__head__descriptor, bytes_of_pb(signed_head->head), (ProtobufCMessage **)&head);

	if (e != OK)
		return e;
	*number = head->number;
	proto_free(&head->base);
	return OK;
}

/* Keys of the slices that are kept. */
static enum err
kept_slices(struct txn *t, struct buffer *keys)
{
	CLEANUP(cursor_drop) struct cursor *c = NULL;
	struct bytes key, value;
	enum err e = cursor_new(t, TABLE_DIRECTORY, &c);

	if (e == OK)
		e = cursor_seek(c, BYTES_NONE, &key, &value);
	for (; e == OK; e = cursor_next(c, &key, &value))
		buffer_add(keys, key);
	return e == ERR_NOT_FOUND ? buffer_status(keys) : e;
}

static void
replace_kept(
    struct spool *s, struct txn *t, uint64_t number, struct bytes kept, struct bytes old_keys)
{
	for (size_t i = 0; i + 12 <= old_keys.len; i += 12) {
		struct key key = { .len = 0 };
		key_add(&key, (struct bytes){ old_keys.at + i, 12 });
		batch_del(s, t, TABLE_DIRECTORY, key);
	}
	for (uint32_t i = 0; (size_t)i * SLICE_BYTES < kept.len; i++) {
		size_t left = kept.len - (size_t)i * SLICE_BYTES;
		struct key key = key_number(number);
		key_add_u32(&key, i);
		batch_put(s, t, TABLE_DIRECTORY, key,
		    (struct bytes){ kept.at + (size_t)i * SLICE_BYTES,
			left < SLICE_BYTES ? left : SLICE_BYTES });
	}
}

enum err
spool_put_directory(
    struct spool *s, struct txn *t, Citex__SignedHead *const *heads, size_t n, struct bytes kept)
{
	CLEANUP(buffer_release) struct buffer old_keys = { 0 };
	struct buffer value = { 0 };
	uint64_t number = 0;
	enum err e = kept_slices(t, &old_keys);

	for (size_t i = 0; i < n && e == OK; i++)
		e = head_number(heads[i], &number);
	if (e != OK || n == 0)
		return e;
	for (size_t i = 0; i < n; i++) {
		if (head_number(heads[i], &number) != OK)
			break;
		proto_pack(&heads[i]->base, &value);
		batch_put_buffer(s, t, TABLE_HEADS, key_number(number), &value);
	}
	replace_kept(s, t, number, kept, buffer_bytes(&old_keys));
	return s->broken;
}

static void
put_proof(struct spool *s, struct txn *t, uint64_t number, const Citex__SignedHead *head)
{
	struct key key = key_number(number);
	struct buffer value = { 0 };
	uint8_t head_hash[DIGEST_BYTES];

	head_digest(head, head_hash);
	key_add(&key, BYTES_OF(head_hash));
	proto_pack(&head->base, &value);
	batch_put_buffer(s, t, TABLE_PROOFS, key, &value);
}

enum err
spool_put_split(struct spool *s, struct txn *t, uint64_t number, const Citex__SignedHead *ours,
    const Citex__SignedHead *theirs)
{
	struct buffer value = { 0 };

	put_proof(s, t, number, ours);
	put_proof(s, t, number, theirs);
	buffer_add_u64(&value, number);
	batch_put_buffer(s, t, TABLE_FACTS, key_word("frozen"), &value);
	return s->broken;
}

enum err
spool_thaw(struct spool *s, struct txn *t)
{
	batch_del(s, t, TABLE_FACTS, key_word("frozen"));
	return s->broken;
}

enum err
spool_put_peer(struct spool *s, struct txn *t, const char *node, const struct spool_peer *p)
{
	struct buffer value = { 0 };

	buffer_add_u8(&value, 2);
	buffer_add(&value, BYTES_OF(p->incarnation));
	buffer_add_u64(&value, (uint64_t)p->seen_ms);
	buffer_add_u64(&value, p->directory);
	buffer_add(&value, BYTES_OF(s->incarnation));
	batch_put_buffer(s, t, TABLE_PEERS, key_word(node), &value);
	return s->broken;
}
