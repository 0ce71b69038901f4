/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <openssl/err.h>

#include "pki/ossl.h"
#include "pki/ossl_types.h"

static void
assert_hex(const uint8_t *at, size_t len, const char *hex)
{
	char text[129];

	hex_encode((struct bytes){ at, len }, text);
	assert_string_equal(text, hex);
}

/* FIPS 180-4's examples */
static void
test_sha256_known_answers(void **state)
{
	uint8_t out[DIGEST_BYTES];
	struct sha256_run *r = sha256_new();

	(void)state;
	sha256(BYTES_NONE, out);
	assert_hex(out, 32, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	sha256(bytes_str("abc"), out);
	assert_hex(out, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	sha256_two(bytes_str("a"), bytes_str("bc"), out);
	assert_hex(out, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	sha256_add(r, bytes_str("ab"));
	sha256_add(r, BYTES_NONE);
	sha256_add(r, bytes_str("c"));
	sha256_end(r, out);
	assert_hex(out, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

/* The GCM specification's test case 13 and 14 (AES-256, no associated data). */
static void
test_aead_known_answers(void **state)
{
	const uint8_t key[32] = { 0 }, nonce[12] = { 0 }, zeros[16] = { 0 };
	CLEANUP(buffer_release) struct buffer out = { 0 };

	(void)state;
	assert_int_equal(aead_seal(key, nonce, BYTES_NONE, BYTES_NONE, &out), OK);
	assert_hex(out.at, out.len, "530f8afbc74536b9a963b4f1c4cb738b");
	buffer_clear(&out);
	assert_int_equal(aead_seal(key, nonce, BYTES_NONE, BYTES_OF(zeros), &out), OK);
	assert_hex(
	    out.at, out.len, "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919");
}

/* RFC 3394, 4.6 */
static void
test_key_wrap_known_answer(void **state)
{
	uint8_t kek[32], key[32], wrapped[KEY_WRAPPED_BYTES], again[32];

	(void)state;
	assert_int_equal(
	    hex_decode("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", kek, 32),
	    OK);
	assert_int_equal(
	    hex_decode("00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f", key, 32),
	    OK);
	assert_true(key_wrap(kek, key, wrapped));
	assert_hex(wrapped, sizeof(wrapped),
	    "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21");
	assert_true(key_unwrap(kek, wrapped, again));
	assert_memory_equal(again, key, 32);
	for (size_t i = 0; i < sizeof(wrapped) * 8; i++) {
		wrapped[i / 8] ^= (uint8_t)(1 << i % 8);
		assert_false(key_unwrap(kek, wrapped, again));
		wrapped[i / 8] ^= (uint8_t)(1 << i % 8);
	}
}

static void
test_aead_opens_only_what_it_sealed(void **state)
{
	uint8_t key[32] = { 1 }, nonce[12] = { 2 };
	static const size_t lengths[] = { 0, 1, 15, 16, 17, 65536 };

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		CLEANUP(buffer_release) struct buffer plain = { 0 }, sealed = { 0 }, again = { 0 };
		memset(buffer_extend(&plain, lengths[i]), 'p', lengths[i]);
		assert_int_equal(
		    aead_seal(key, nonce, bytes_str("aad"), buffer_bytes(&plain), &sealed), OK);
		assert_int_equal(sealed.len, lengths[i] + 16);
		assert_int_equal(
		    aead_open(key, nonce, bytes_str("aad"), buffer_bytes(&sealed), &again), OK);
		assert_true(bytes_equal(buffer_bytes(&again), buffer_bytes(&plain)));
		buffer_clear(&again);
		assert_int_equal(
		    aead_open(key, nonce, bytes_str("add"), buffer_bytes(&sealed), &again),
		    ERR_CANNOT_BE_OPENED);
		sealed.at[sealed.len / 2] ^= 1;
		assert_int_equal(
		    aead_open(key, nonce, bytes_str("aad"), buffer_bytes(&sealed), &again),
		    ERR_CANNOT_BE_OPENED);
		assert_int_equal(again.len, 0);
	}
}

static void
test_aead_too_short_for_a_tag_opens_nothing(void **state)
{
	const uint8_t key[32] = { 0 }, nonce[12] = { 0 }, bytes[15] = { 0 };
	CLEANUP(buffer_release) struct buffer out = { 0 };

	(void)state;
	for (size_t len = 0; len <= sizeof(bytes); len++)
		assert_int_equal(
		    aead_open(key, nonce, BYTES_NONE, (struct bytes){ bytes, len }, &out),
		    ERR_CANNOT_BE_OPENED);
}

static void
test_random_bytes_differ(void **state)
{
	uint8_t a[32] = { 0 }, b[32] = { 0 };

	(void)state;
	random_bytes(a, sizeof(a));
	random_bytes(b, sizeof(b));
	assert_memory_not_equal(a, b, sizeof(a));
}

static void
test_ossl_why_empties_the_queue(void **state)
{
	(void)state;
	assert_int_equal(ossl_init(), OK);
	assert_int_equal(ossl_init(), OK);
	ERR_clear_error();
	assert_string_equal(ossl_why(), "");
	ERR_raise(ERR_LIB_EC, EC_R_POINT_IS_NOT_ON_CURVE);
	assert_non_null(strstr(ossl_why(), "point is not on curve"));
	assert_string_equal(ossl_why(), "");
	assert_non_null(strstr(ossl_version(), "OpenSSL 3."));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sha256_known_answers),
		cmocka_unit_test(test_aead_known_answers),
		cmocka_unit_test(test_key_wrap_known_answer),
		cmocka_unit_test(test_aead_opens_only_what_it_sealed),
		cmocka_unit_test(test_aead_too_short_for_a_tag_opens_nothing),
		cmocka_unit_test(test_random_bytes_differ),
		cmocka_unit_test(test_ossl_why_empties_the_queue),
	};

	return cmocka_run_group_tests_name("ossl", tests, NULL, NULL);
}
