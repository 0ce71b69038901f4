/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PKI_MERKLE_H
#define PKI_MERKLE_H

#include "pki/keys.h"
#include "proto/frame.pb-c.h"

/* Merkle tree hashing as in RFC 9162, 2.1: leaf SHA-256(00 ‖ leaf), node SHA-256(01 ‖ left ‖
 * right). */
struct merkle; /* grows by leaves, at most 2^MERKLE_PATH_MAX; memory: 64 bytes a leaf */
struct merkle *merkle_new(void);
void merkle_free(struct merkle *m);
void merkle_drop(struct merkle **m);
void merkle_add(struct merkle *m, struct bytes leaf);
/* Adds by the leaf's hash: for chunks that are gone from memory. */
void merkle_leaf_hash(struct bytes leaf, uint8_t out[DIGEST_BYTES]);
void merkle_add_hash(struct merkle *m, const uint8_t hash[DIGEST_BYTES]);
size_t merkle_size(const struct merkle *m);
void merkle_root(
    const struct merkle *m, uint8_t out[DIGEST_BYTES]); /* of no leaves: SHA-256 of nothing */
/* The inclusion path of leaf INDEX (RFC 9162, 2.1.3.1): up to MERKLE_PATH_MAX hashes; returns how
 * many. */
size_t merkle_path(const struct merkle *m, size_t index, uint8_t out[][DIGEST_BYTES]);
/* The root that LEAF at INDEX of SIZE and PATH lead to (2.1.3.2). ERR_MALFORMED when the path does
 * not fit. */
enum err merkle_walk(struct bytes leaf, size_t index, size_t size, const struct bytes *path,
    size_t path_count, uint8_t root[DIGEST_BYTES]) MUST_CHECK;

/* One signature for many leaves, each provable alone. Sign all COUNT leaves
 * under LABEL and make a Proof for each: OUT has COUNT pointers, each to free with proto_free().
 * ERR_TOO_MANY unless COUNT is 1 to BATCH_MAX. */
enum err proofs_sign(const struct private_key *key, const char *label, const struct bytes *leaves,
    size_t count, Citex__Proof **out) MUST_CHECK;
/* Are the lengths and numbers of P within their bounds? P may be NULL. ERR_MALFORMED. */
enum err proof_check(const Citex__Proof *p) MUST_CHECK;
/* Is P the proof of LEAF by KEY under LABEL? OK, ERR_MALFORMED, ERR_SIGNATURE. */
enum err proof_verify(const Citex__Proof *p, const struct public_key *key, const char *label,
    struct bytes leaf) MUST_CHECK;
/* The same, remembering in CACHE (16 entries, roots already verified with that key) so that one
 * batch costs one verification. CACHE is the caller's thread's; all zero is empty. */
struct proof_cache_row {
	uint8_t root[DIGEST_BYTES];
	uint8_t key[DIGEST_BYTES];
	uint8_t signature[DIGEST_BYTES]; /* SHA-256 of label, a zero byte, signature */
	uint64_t size;
	bool used;
};
struct proof_cache {
	struct proof_cache_row rows[16];
	unsigned next;
};
enum err proof_verify_cached(struct proof_cache *cache, const Citex__Proof *p,
    const struct public_key *key, const char *label, struct bytes leaf) MUST_CHECK;

#endif
