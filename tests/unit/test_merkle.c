/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "pki/chunk.h"
#include "pki/ossl.h"
#include "proto/decode.h"

#define LABEL "citex test v1"

/* The definition of RFC 9162, 2.1.1, word by word, to compare with. */
static void
slow_root(const struct bytes *leaves, size_t n, uint8_t out[DIGEST_BYTES])
{
	uint8_t both[1 + 2 * DIGEST_BYTES] = { 1 };
	size_t k = 1;

	if (n == 0) {
		sha256(BYTES_NONE, out);
		return;
	}
	if (n == 1) {
		merkle_leaf_hash(leaves[0], out);
		return;
	}
	while (k * 2 < n)
		k *= 2;
	slow_root(leaves, k, both + 1);
	slow_root(leaves + k, n - k, both + 1 + DIGEST_BYTES);
	sha256(BYTES_OF(both), out);
}

/* N leaves: the numbers from 0 in one byte each. */
static void
make_leaves(struct bytes *leaves, uint8_t *values, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		values[i] = (uint8_t)i;
		leaves[i] = (struct bytes){ &values[i], 1 };
	}
}

static void
test_merkle_root_and_paths_are_those_of_the_rfc(void **state)
{
	struct bytes leaves[140];
	uint8_t values[140], expected[DIGEST_BYTES], root[DIGEST_BYTES];

	(void)state;
	make_leaves(leaves, values, 140);
	for (size_t n = 0; n <= 140; n++) {
		CLEANUP(merkle_drop) struct merkle *m = merkle_new();
		for (size_t i = 0; i < n; i++)
			merkle_add(m, leaves[i]);
		assert_int_equal(merkle_size(m), n);
		slow_root(leaves, n, expected);
		merkle_root(m, root);
		assert_memory_equal(root, expected, DIGEST_BYTES);
		for (size_t i = 0; i < n; i++) {
			uint8_t path[MERKLE_PATH_MAX][DIGEST_BYTES];
			struct bytes borrowed[MERKLE_PATH_MAX];
			size_t count = merkle_path(m, i, path);
			for (size_t j = 0; j < count; j++)
				borrowed[j] = BYTES_OF(path[j]);
			assert_int_equal(merkle_walk(leaves[i], i, n, borrowed, count, root), OK);
			assert_memory_equal(root, expected, DIGEST_BYTES);
			/* a path that is one too long, one too short, or for another tree */
			borrowed[count] = BYTES_OF(expected);
			assert_int_equal(
			    merkle_walk(leaves[i], i, n, borrowed, count + 1, root), ERR_MALFORMED);
			if (count > 0)
				assert_int_equal(
				    merkle_walk(leaves[i], i, n, borrowed, count - 1, root),
				    ERR_MALFORMED);
			assert_int_equal(
			    merkle_walk(leaves[i], n, n, borrowed, count, root), ERR_MALFORMED);
		}
	}
}

static void
test_merkle_of_no_leaves_has_no_paths(void **state)
{
	CLEANUP(merkle_drop) struct merkle *m = merkle_new();
	uint8_t path[MERKLE_PATH_MAX][DIGEST_BYTES], root[DIGEST_BYTES];

	(void)state;
	assert_int_equal(merkle_path(m, 0, path), 0);
	assert_int_equal(merkle_walk(BYTES_NONE, 0, 0, NULL, 0, root), ERR_MALFORMED);
}

static void
test_merkle_tree_of_the_largest_attachment(void **state)
{
	CLEANUP(merkle_drop) struct merkle *m = merkle_new();
	uint8_t path[MERKLE_PATH_MAX][DIGEST_BYTES], root[DIGEST_BYTES], walked[DIGEST_BYTES];
	struct bytes borrowed[MERKLE_PATH_MAX];
	uint32_t n = chunk_count(sealed_length_of(ATTACHMENT_MAX_BYTES));
	size_t count;

	(void)state;
	for (uint32_t i = 0; i < n; i++)
		merkle_add(m, BYTES_OF("leaf"));
	merkle_root(m, root);
	for (uint32_t i = 0; i < n; i += 4111) {
		count = merkle_path(m, i, path);
		assert_in_range(count, 1, MERKLE_PATH_MAX);
		for (size_t j = 0; j < count; j++)
			borrowed[j] = BYTES_OF(path[j]);
		assert_int_equal(merkle_walk(BYTES_OF("leaf"), i, n, borrowed, count, walked), OK);
		assert_memory_equal(walked, root, DIGEST_BYTES);
	}
}

struct batch {
	struct private_key *key;
	struct public_key *public;
	uint8_t values[BATCH_MAX + 1];
	struct bytes leaves[BATCH_MAX + 1];
	Citex__Proof *proofs[BATCH_MAX];
	size_t count;
};

static void
batch_make(struct batch *b, const char *label, size_t count)
{
	b->key = private_key_new();
	b->public = private_key_public(b->key);
	b->count = count;
	make_leaves(b->leaves, b->values, BATCH_MAX + 1);
	assert_int_equal(proofs_sign(b->key, label, b->leaves, count, b->proofs), OK);
}

static void
batch_release(struct batch *b)
{
	for (size_t i = 0; i < b->count; i++)
		proto_free(&b->proofs[i]->base);
	private_key_free(b->key);
	public_key_free(b->public);
}

static void
test_proof_of_each_leaf_stands_alone(void **state)
{
	static const size_t counts[] = { 1, 2, 3, 7, 64, 127, BATCH_MAX };

	(void)state;
	for (size_t c = 0; c < sizeof(counts) / sizeof(*counts); c++) {
		struct proof_cache cache = { 0 };
		struct batch b;
		batch_make(&b, LABEL, counts[c]);
		for (size_t i = 0; i < b.count; i++) {
			assert_int_equal(
			    proof_verify(b.proofs[i], b.public, LABEL, b.leaves[i]), OK);
			assert_int_equal(
			    proof_verify_cached(&cache, b.proofs[i], b.public, LABEL, b.leaves[i]),
			    OK);
			assert_int_not_equal(
			    proof_verify(b.proofs[i], b.public, LABEL, b.leaves[i + 1]), OK);
		}
		batch_release(&b);
	}
}

static void
test_proof_batch_is_bounded(void **state)
{
	struct batch b;
	Citex__Proof *none[1];

	(void)state;
	batch_make(&b, LABEL, 1);
	assert_int_equal(proofs_sign(b.key, LABEL, b.leaves, 0, none), ERR_TOO_MANY);
	assert_int_equal(proofs_sign(b.key, LABEL, b.leaves, BATCH_MAX + 1, none), ERR_TOO_MANY);
	b.proofs[0]->size = BATCH_MAX + 1;
	assert_int_equal(proof_check(b.proofs[0]), ERR_MALFORMED);
	b.proofs[0]->size = BATCH_MAX;
	assert_int_equal(proof_check(b.proofs[0]), OK);
	batch_release(&b);
}

static void
test_proof_cache_knows_key_label_size_and_signature(void **state)
{
	struct proof_cache cache = { 0 };
	CLEANUP(private_key_drop) struct private_key *other_key = private_key_new();
	CLEANUP(public_key_drop) struct public_key *other = private_key_public(other_key);
	struct batch b;
	Citex__Proof *p;

	(void)state;
	batch_make(&b, LABEL, 4);
	p = b.proofs[1];
	assert_int_equal(proof_verify_cached(&cache, p, b.public, LABEL, b.leaves[1]), OK);
	assert_int_equal(proof_verify_cached(&cache, p, other, LABEL, b.leaves[1]), ERR_SIGNATURE);
	assert_int_equal(
	    proof_verify_cached(&cache, p, b.public, "citex other v1", b.leaves[1]), ERR_SIGNATURE);
	p->signature.data[p->signature.len - 1] ^= 1;
	assert_int_equal(
	    proof_verify_cached(&cache, p, b.public, LABEL, b.leaves[1]), ERR_SIGNATURE);
	p->signature.data[p->signature.len - 1] ^= 1;
	p->size = 3; /* the path of leaf 1 fits a tree of three as well: the root is the same */
	assert_int_equal(
	    proof_verify_cached(&cache, p, b.public, LABEL, b.leaves[1]), ERR_SIGNATURE);
	p->size = 4;
	assert_int_equal(proof_verify_cached(&cache, p, b.public, LABEL, b.leaves[1]), OK);
	batch_release(&b);
}

static void
test_proof_cache_forgets_the_oldest_only(void **state)
{
	struct proof_cache cache = { 0 };
	struct batch b[20];

	(void)state;
	for (size_t round = 0; round < 2; round++)
		for (size_t i = 0; i < 20; i++) {
			if (round == 0)
				batch_make(&b[i], LABEL, 2);
			assert_int_equal(proof_verify_cached(&cache, b[i].proofs[0], b[i].public,
					     LABEL, b[i].leaves[0]),
			    OK);
		}
	for (size_t i = 0; i < 20; i++)
		batch_release(&b[i]);
}

static void
test_proof_with_wrong_lengths_is_malformed(void **state)
{
	struct batch b;
	Citex__Proof p;
	ProtobufCBinaryData path[MERKLE_PATH_MAX + 1];

	(void)state;
	batch_make(&b, LABEL, 5);
	for (size_t i = 0; i <= MERKLE_PATH_MAX; i++)
		path[i] = b.proofs[0]->path[0];
	p = *b.proofs[0];
	p.key_id.len--;
	assert_int_equal(proof_verify(&p, b.public, LABEL, b.leaves[0]), ERR_MALFORMED);
	p = *b.proofs[0];
	p.index = 5;
	assert_int_equal(proof_verify(&p, b.public, LABEL, b.leaves[0]), ERR_MALFORMED);
	p = *b.proofs[0];
	p.size = 0;
	assert_int_equal(proof_verify(&p, b.public, LABEL, b.leaves[0]), ERR_MALFORMED);
	p = *b.proofs[0];
	p.path = path;
	p.n_path = MERKLE_PATH_MAX + 1;
	assert_int_equal(proof_verify(&p, b.public, LABEL, b.leaves[0]), ERR_MALFORMED);
	path[0].len--;
	p.n_path = b.proofs[0]->n_path;
	assert_int_equal(proof_verify(&p, b.public, LABEL, b.leaves[0]), ERR_MALFORMED);
	p = *b.proofs[0];
	p.signature.len = 7;
	assert_int_equal(proof_verify(&p, b.public, LABEL, b.leaves[0]), ERR_MALFORMED);
	assert_int_equal(proof_verify(NULL, b.public, LABEL, b.leaves[0]), ERR_MALFORMED);
	batch_release(&b);
}

static void
test_chunk_lengths_have_one_meaning(void **state)
{
	static const uint64_t plain[] = { 0, 1, CHUNK_PLAIN_BYTES - 1, CHUNK_PLAIN_BYTES,
		CHUNK_PLAIN_BYTES + 1, 2 * CHUNK_PLAIN_BYTES, 3 * CHUNK_PLAIN_BYTES + 7,
		ATTACHMENT_MAX_BYTES - 1, ATTACHMENT_MAX_BYTES };

	(void)state;
	for (size_t i = 0; i < sizeof(plain) / sizeof(*plain); i++) {
		uint64_t sealed = sealed_length_of(plain[i]), sum = 0;
		uint32_t count = chunk_count(sealed);
		assert_int_not_equal(count, 0);
		for (uint32_t c = 0; c < count; c++) {
			assert_in_range(chunk_length(sealed, c), CHUNK_TAG_BYTES, CHUNK_BYTES);
			sum += chunk_length(sealed, c);
		}
		assert_int_equal(sum, sealed);
		assert_int_equal(sealed - plain[i], (uint64_t)count * CHUNK_TAG_BYTES);
		assert_int_equal(chunk_length(sealed, count), 0);
	}
	assert_int_equal(chunk_count(0), 0);
	assert_int_equal(chunk_count(CHUNK_TAG_BYTES - 1), 0);
	assert_int_equal(chunk_count(CHUNK_TAG_BYTES), 1);
	assert_int_equal(chunk_count(CHUNK_BYTES), 1);
	assert_int_equal(chunk_count(CHUNK_BYTES + 1), 0);
	assert_int_equal(chunk_count(CHUNK_BYTES + CHUNK_TAG_BYTES), 0);
	assert_int_equal(chunk_count(CHUNK_BYTES + CHUNK_TAG_BYTES + 1), 2);
	assert_int_equal(chunk_count(sealed_length_of(ATTACHMENT_MAX_BYTES + 1)), 0);
	assert_int_equal(chunk_count(UINT64_MAX), 0);
}

static void
test_chunk_stands_at_its_place_only(void **state)
{
	CLEANUP(merkle_drop) struct merkle *m = merkle_new();
	CLEANUP(buffer_release) struct buffer whole = { 0 };
	uint8_t root[DIGEST_BYTES], path[MERKLE_PATH_MAX][DIGEST_BYTES];
	struct bytes borrowed[MERKLE_PATH_MAX], first, second, last;
	Citex__Part part = CITEX__PART__INIT;
	size_t count;

	(void)state;
	memset(buffer_extend(&whole, 2 * CHUNK_BYTES + 100), 'c', 2 * CHUNK_BYTES + 100);
	whole.at[CHUNK_BYTES] = 'd';
	first = (struct bytes){ whole.at, CHUNK_BYTES };
	second = (struct bytes){ whole.at + CHUNK_BYTES, CHUNK_BYTES };
	last = (struct bytes){ whole.at + 2 * CHUNK_BYTES, 100 };
	merkle_add(m, first);
	merkle_add(m, second);
	merkle_add(m, last);
	merkle_root(m, root);
	part.root = pb_of_bytes(BYTES_OF(root));
	part.length = whole.len;
	count = merkle_path(m, 1, path);
	for (size_t i = 0; i < count; i++)
		borrowed[i] = BYTES_OF(path[i]);
	assert_int_equal(chunk_check(&part, 1, second, borrowed, count), OK);
	assert_int_equal(chunk_check(&part, 1, first, borrowed, count), ERR_SIGNATURE);
	assert_int_equal(chunk_check(&part, 0, second, borrowed, count), ERR_SIGNATURE);
	assert_int_equal(chunk_check(&part, 1, last, borrowed, count), ERR_MALFORMED);
	assert_int_equal(chunk_check(&part, 3, last, borrowed, count), ERR_MALFORMED);
	assert_int_equal(chunk_check(&part, 1, second, borrowed, count - 1), ERR_MALFORMED);
	part.length--;
	assert_int_equal(chunk_check(&part, 2, last, borrowed, 1), ERR_MALFORMED);
	part.root.len--;
	assert_int_equal(chunk_check(&part, 1, second, borrowed, count), ERR_MALFORMED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_merkle_root_and_paths_are_those_of_the_rfc),
		cmocka_unit_test(test_merkle_of_no_leaves_has_no_paths),
		cmocka_unit_test(test_merkle_tree_of_the_largest_attachment),
		cmocka_unit_test(test_proof_of_each_leaf_stands_alone),
		cmocka_unit_test(test_proof_batch_is_bounded),
		cmocka_unit_test(test_proof_cache_knows_key_label_size_and_signature),
		cmocka_unit_test(test_proof_cache_forgets_the_oldest_only),
		cmocka_unit_test(test_proof_with_wrong_lengths_is_malformed),
		cmocka_unit_test(test_chunk_lengths_have_one_meaning),
		cmocka_unit_test(test_chunk_stands_at_its_place_only),
	};

	return cmocka_run_group_tests_name("merkle", tests, NULL, NULL);
}
