/* SPDX-License-Identifier: Apache-2.0 */
/* Merkle trees as in RFC 9162, 2.1, and one signature for a batch.
 *
 * Kept are the hashes of all complete subtrees, level by level; what is ragged
 * at the right edge is folded when asked for. So a leaf costs one hash, root
 * and path cost as many as the tree is high, and a tree of 2 GiB in chunks
 * takes 2 MiB. Not here: what a leaf means. */
#include "pki/merkle.h"

#include <stdlib.h>
#include <string.h>

#include "pki/ossl.h"
#include "proto/decode.h"

#define LEVELS (MERKLE_PATH_MAX + 1)
#define SIGNATURE_MAX_BYTES 72 /* DER of two numbers of 33 bytes */
#define SIGNATURE_MIN_BYTES 8

struct level {
	uint8_t (*hashes)[DIGEST_BYTES];
	size_t count, room;
};

struct merkle {
	struct level levels[LEVELS]; /* 0: the leaves */
};

struct merkle *
merkle_new(void)
{
	return xalloc(sizeof(struct merkle));
}

void
merkle_free(struct merkle *m)
{
	if (m == NULL)
		return;
	for (size_t i = 0; i < LEVELS; i++)
		free(m->levels[i].hashes);
	free(m);
}

void
merkle_drop(struct merkle **m)
{
	merkle_free(*m);
}

void
merkle_leaf_hash(struct bytes leaf, uint8_t out[DIGEST_BYTES])
{
	static const uint8_t front[] = { 0 };

	sha256_two(BYTES_OF(front), leaf, out);
}

/* OUT may be LEFT or RIGHT. */
static void
node_hash(
    const uint8_t left[DIGEST_BYTES], const uint8_t right[DIGEST_BYTES], uint8_t out[DIGEST_BYTES])
{
	uint8_t both[1 + 2 * DIGEST_BYTES] = { 1 };

	memcpy(both + 1, left, DIGEST_BYTES);
	memcpy(both + 1 + DIGEST_BYTES, right, DIGEST_BYTES);
	sha256(BYTES_OF(both), out);
}

static void
level_add(struct level *l, const uint8_t hash[DIGEST_BYTES])
{
	if (l->count == l->room) {
		l->room = l->room == 0 ? 8 : 2 * l->room;
		l->hashes = xgrow(l->hashes, l->room, DIGEST_BYTES);
	}
	memcpy(l->hashes[l->count++], hash, DIGEST_BYTES);
}

void
merkle_add_hash(struct merkle *m, const uint8_t hash[DIGEST_BYTES])
{
	uint8_t up[DIGEST_BYTES];

	memcpy(up, hash, DIGEST_BYTES);
	for (size_t i = 0; i < LEVELS; i++) {
		struct level *l = &m->levels[i];
		level_add(l, up);
		if (l->count % 2 != 0)
			return;
		node_hash(l->hashes[l->count - 2], l->hashes[l->count - 1], up);
	}
}

void
merkle_add(struct merkle *m, struct bytes leaf)
{
	uint8_t hash[DIGEST_BYTES];

	merkle_leaf_hash(leaf, hash);
	merkle_add_hash(m, hash);
}

size_t
merkle_size(const struct merkle *m)
{
	return m->levels[0].count;
}

/* The root of the leaves right of the complete subtrees of level TOP; false: there are none. */
static bool
ragged_root(const struct merkle *m, unsigned top, uint8_t out[DIGEST_BYTES])
{
	bool some = false;

	for (unsigned i = 0; i < top; i++) {
		const struct level *l = &m->levels[i];
		if (l->count % 2 == 0)
			continue;
		if (some)
			node_hash(l->hashes[l->count - 1], out, out);
		else
			memcpy(out, l->hashes[l->count - 1], DIGEST_BYTES);
		some = true;
	}
	return some;
}

void
merkle_root(const struct merkle *m, uint8_t out[DIGEST_BYTES])
{
	if (!ragged_root(m, LEVELS, out))
		sha256(BYTES_NONE, out);
}

size_t
merkle_path(const struct merkle *m, size_t index, uint8_t out[][DIGEST_BYTES])
{
	size_t size = merkle_size(m), count = 0;

	if (index >= size)
		return 0;
	for (unsigned i = 0; i < MERKLE_PATH_MAX && (size - 1) >> i != 0; i++) {
		const struct level *l = &m->levels[i];
		size_t beside = (index >> i) ^ 1;
		if (beside < l->count)
			memcpy(out[count++], l->hashes[beside], DIGEST_BYTES);
		else if (beside == l->count && ragged_root(m, i, out[count]))
			count++;
	}
	return count;
}

enum err
merkle_walk(struct bytes leaf, size_t index, size_t size, const struct bytes *path,
    size_t path_count, uint8_t root[DIGEST_BYTES])
{
	size_t at = index, last = size - 1;

	if (index >= size || path_count > MERKLE_PATH_MAX)
		return ERR_MALFORMED;
	merkle_leaf_hash(leaf, root);
	for (size_t i = 0; i < path_count; i++) {
		if (last == 0 || path[i].len != DIGEST_BYTES)
			return ERR_MALFORMED;
		if (at % 2 != 0 || at == last) {
			node_hash(path[i].at, root, root);
			while (at % 2 == 0 && at != 0) {
				at >>= 1;
				last >>= 1;
			}
		} else {
			node_hash(root, path[i].at, root);
		}
		at >>= 1;
		last >>= 1;
	}
	return last == 0 ? OK : ERR_MALFORMED;
}

#define BATCH_BYTES (8 + DIGEST_BYTES)

/* What is signed of a batch. */
static void
batch_data(uint64_t size, const uint8_t root[DIGEST_BYTES], uint8_t out[BATCH_BYTES])
{
	for (unsigned i = 0; i < 8; i++)
		out[i] = (uint8_t)(size >> (56 - 8 * i));
	memcpy(out + 8, root, DIGEST_BYTES);
}

static void
pb_copy(ProtobufCBinaryData *to, struct bytes from)
{
	*to = (ProtobufCBinaryData){ from.len, xmemdup(from.at, from.len) };
}

static Citex__Proof *
proof_new(const struct merkle *m, size_t index, struct bytes key_id, struct bytes signature)
{
	Citex__Proof *p = xalloc(sizeof(*p));
	uint8_t path[MERKLE_PATH_MAX][DIGEST_BYTES];

	citex__proof__init(p);
	pb_copy(&p->key_id, key_id);
	pb_copy(&p->signature, signature);
	p->index = (uint32_t)index;
	p->size = (uint32_t)merkle_size(m);
	p->n_path = merkle_path(m, index, path);
	if (p->n_path > 0)
		p->path = xalloc_array(p->n_path, sizeof(*p->path));
	for (size_t i = 0; i < p->n_path; i++)
		pb_copy(&p->path[i], BYTES_OF(path[i]));
	return p;
}

enum err
proofs_sign(const struct private_key *key, const char *label, const struct bytes *leaves,
    size_t count, Citex__Proof **out)
{
	CLEANUP(merkle_drop) struct merkle *m = merkle_new();
	CLEANUP(buffer_release) struct buffer signature = { 0 };
	CLEANUP(public_key_drop) struct public_key *public = private_key_public(key);
	uint8_t root[DIGEST_BYTES], batch[BATCH_BYTES], key_id[KEY_ID_BYTES];
	enum err e;

	if (count == 0 || count > BATCH_MAX)
		return ERR_TOO_MANY;
	for (size_t i = 0; i < count; i++)
		merkle_add(m, leaves[i]);
	merkle_root(m, root);
	batch_data(count, root, batch);
	e = label_sign(key, label, BYTES_OF(batch), &signature);
	if (e != OK)
		return e;
	public_key_id(public, key_id);
	for (size_t i = 0; i < count; i++)
		out[i] = proof_new(m, i, BYTES_OF(key_id), buffer_bytes(&signature));
	return OK;
}

enum err
proof_check(const Citex__Proof *p)
{
	if (p == NULL || p->key_id.len != KEY_ID_BYTES || p->size == 0 || p->size > BATCH_MAX ||
	    p->index >= p->size || p->n_path > MERKLE_PATH_MAX ||
	    p->signature.len < SIGNATURE_MIN_BYTES || p->signature.len > SIGNATURE_MAX_BYTES)
		return ERR_MALFORMED;
	for (size_t i = 0; i < p->n_path; i++)
		if (p->path[i].len != DIGEST_BYTES)
			return ERR_MALFORMED;
	return OK;
}

static enum err
proof_root(const Citex__Proof *p, struct bytes leaf, uint8_t root[DIGEST_BYTES])
{
	struct bytes path[MERKLE_PATH_MAX];
	enum err e = proof_check(p);

	if (e != OK)
		return e;
	for (size_t i = 0; i < p->n_path; i++)
		path[i] = bytes_of_pb(p->path[i]);
	return merkle_walk(leaf, p->index, p->size, path, p->n_path, root);
}

static enum err
root_verify(const Citex__Proof *p, const struct public_key *key, const char *label,
    const uint8_t root[DIGEST_BYTES])
{
	uint8_t batch[BATCH_BYTES];

	batch_data(p->size, root, batch);
	return label_verify(key, label, BYTES_OF(batch), bytes_of_pb(p->signature));
}

enum err
proof_verify(
    const Citex__Proof *p, const struct public_key *key, const char *label, struct bytes leaf)
{
	uint8_t root[DIGEST_BYTES];
	enum err e = proof_root(p, leaf, root);

	return e == OK ? root_verify(p, key, label, root) : e;
}

/* A label ends with its zero byte, so label and signature cannot run into each other. */
static void
signature_digest(const char *label, struct bytes signature, uint8_t out[DIGEST_BYTES])
{
	sha256_two((struct bytes){ (const uint8_t *)label, strlen(label) + 1 }, signature, out);
}

enum err
proof_verify_cached(struct proof_cache *cache, const Citex__Proof *p, const struct public_key *key,
    const char *label, struct bytes leaf)
{
	const size_t rows = sizeof(cache->rows) / sizeof(*cache->rows);
	struct proof_cache_row row = { .used = true };
	enum err e = proof_root(p, leaf, row.root);

	if (e != OK)
		return e;
	row.size = p->size;
	public_key_digest(key, row.key);
	signature_digest(label, bytes_of_pb(p->signature), row.signature);
	for (size_t i = 0; i < rows; i++) {
		const struct proof_cache_row *r = &cache->rows[i];
		if (r->used && r->size == row.size &&
		    memcmp(r->root, row.root, DIGEST_BYTES) == 0 &&
		    memcmp(r->key, row.key, DIGEST_BYTES) == 0 &&
		    memcmp(r->signature, row.signature, DIGEST_BYTES) == 0)
			return OK;
	}
	e = root_verify(p, key, label, row.root);
	if (e == OK)
		cache->rows[cache->next++ % rows] = row;
	return e;
}
