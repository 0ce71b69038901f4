/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "pki/files.h"
#include "pki/keys.h"
#include "pki/ossl.h"

static char folder[] = "/tmp/citex-keys-XXXXXX";

static int
make_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) == NULL ? -1 : 0;
}

static int
remove_folder(void **state)
{
	static const char *const names[] = { "a.key", "open.key", "pass", "full" };

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		char path[64];
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		unlink(path);
	}
	return rmdir(folder);
}

static const char *
in_folder(const char *name)
{
	static char path[64];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static void
test_keys_survive_the_way_through_a_file(void **state)
{
	CLEANUP(secret_release) struct secret right = { 0 }, wrong = { 0 };
	CLEANUP(private_key_drop) struct private_key *k = private_key_new(), *again = NULL;
	CLEANUP(public_key_drop) struct public_key *a = private_key_public(k), *b = NULL;
	struct stat st;

	(void)state;
	assert_int_equal(secret_from(&right, bytes_str("correct horse")), OK);
	assert_int_equal(secret_from(&wrong, bytes_str("wrong horse")), OK);
	assert_int_equal(private_key_save(k, in_folder("a.key"), &right), OK);
	assert_int_equal(stat(in_folder("a.key"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(private_key_save(k, in_folder("a.key"), &right), ERR_EXISTS);
	assert_int_equal(private_key_load(in_folder("a.key"), &wrong, &again), ERR_PASSPHRASE);
	assert_int_equal(private_key_load(in_folder("a.key"), NULL, &again), ERR_PASSPHRASE);
	assert_int_equal(private_key_load(in_folder("a.key"), &right, &again), OK);
	b = private_key_public(again);
	assert_true(public_key_equal(a, b));
	assert_int_equal(chmod(in_folder("a.key"), 0640), 0);
	private_key_free(again);
	again = NULL;
	assert_int_equal(private_key_load(in_folder("a.key"), &right, &again), ERR_DENIED);
}

static void
test_keys_of_another_form_are_refused(void **state)
{
	CLEANUP(private_key_drop) struct private_key *k = NULL;

	(void)state;
	assert_int_equal(file_create(in_folder("open.key"), bytes_str("no key"), 0600), OK);
	assert_int_equal(private_key_load(in_folder("open.key"), NULL, &k), ERR_MALFORMED);
	assert_int_equal(private_key_load(in_folder("none.key"), NULL, &k), ERR_IO);
}

static void
test_keys_sign_under_a_label(void **state)
{
	CLEANUP(private_key_drop)
	struct private_key *k = private_key_new(),
			   *other = private_key_new();
	CLEANUP(public_key_drop)
	struct public_key *p = private_key_public(k),
			  *q = private_key_public(other);
	CLEANUP(buffer_release) struct buffer s = { 0 };
	struct bytes data = bytes_str("data");

	(void)state;
	assert_int_equal(label_sign(k, "citex a v1", data, &s), OK);
	assert_int_equal(label_verify(p, "citex a v1", data, buffer_bytes(&s)), OK);
	assert_int_equal(label_verify(p, "citex b v1", data, buffer_bytes(&s)), ERR_SIGNATURE);
	assert_int_equal(
	    label_verify(p, "citex a v1", bytes_str("date"), buffer_bytes(&s)), ERR_SIGNATURE);
	assert_int_equal(label_verify(q, "citex a v1", data, buffer_bytes(&s)), ERR_SIGNATURE);
	assert_int_equal(label_verify(p, "citex a v1", data, BYTES_NONE), ERR_SIGNATURE);
}

static void
test_keys_points_off_the_curve_are_refused(void **state)
{
	uint8_t point[65] = { 4, 1, 2, 3 };
	struct public_key *k = NULL;

	(void)state;
	assert_int_equal(public_key_from_point(BYTES_OF(point), &k), ERR_MALFORMED);
	assert_int_equal(public_key_from_point((struct bytes){ point, 33 }, &k), ERR_MALFORMED);
	assert_int_equal(public_key_from_point(BYTES_NONE, &k), ERR_MALFORMED);
}

static void
test_secret_wrapped_key_needs_its_passphrase(void **state)
{
	CLEANUP(secret_release)
	struct secret right = { 0 },
		      wrong = { 0 }, key = { 0 }, again = { 0 };
	uint8_t wrapped[WRAPPED_KEY_BYTES];

	(void)state;
	assert_int_equal(secret_from(&right, bytes_str("one")), OK);
	assert_int_equal(secret_from(&wrong, bytes_str("two")), OK);
	assert_int_equal(wrapped_key_new(&right, &key, wrapped), OK);
	assert_int_equal(wrapped_key_open(&wrong, BYTES_OF(wrapped), &again), ERR_PASSPHRASE);
	assert_int_equal(wrapped_key_open(&right, BYTES_OF(wrapped), &again), OK);
	assert_true(bytes_equal_secret(secret_bytes(&key), secret_bytes(&again)));
	wrapped[20] ^= 1;
	secret_release(&again);
	assert_int_equal(wrapped_key_open(&right, BYTES_OF(wrapped), &again), ERR_PASSPHRASE);
	wrapped[0] = 2;
	assert_int_equal(wrapped_key_open(&right, BYTES_OF(wrapped), &again), ERR_VERSION);
}

static void
test_secret_file_is_its_first_line_and_private(void **state)
{
	CLEANUP(secret_release) struct secret s = { 0 };
	CLEANUP(buffer_release) struct buffer line = { 0 };

	(void)state;
	assert_int_equal(file_create(in_folder("pass"), bytes_str("secret\nmore"), 0400), OK);
	assert_int_equal(secret_read_file(in_folder("pass"), &s), OK);
	assert_true(bytes_equal(secret_bytes(&s), bytes_str("secret")));
	secret_release(&s);
	assert_int_equal(chmod(in_folder("pass"), 0444), 0);
	assert_int_equal(secret_read_file(in_folder("pass"), &s), ERR_DENIED);
	memset(buffer_extend(&line, PASSPHRASE_MAX_BYTES), 'x', PASSPHRASE_MAX_BYTES);
	assert_int_equal(file_replace(in_folder("pass"), buffer_bytes(&line), 0400), OK);
	assert_int_equal(secret_read_file(in_folder("pass"), &s), OK);
	secret_release(&s);
	buffer_add_u8(&line, 'x');
	assert_int_equal(file_replace(in_folder("pass"), buffer_bytes(&line), 0400), OK);
	assert_int_equal(secret_read_file(in_folder("pass"), &s), ERR_TOO_LARGE);
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
		    ERR_CANNOT_OPEN);
		sealed.at[sealed.len / 2] ^= 1;
		assert_int_equal(
		    aead_open(key, nonce, bytes_str("aad"), buffer_bytes(&sealed), &again),
		    ERR_CANNOT_OPEN);
		assert_int_equal(again.len, 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys_survive_the_way_through_a_file),
		cmocka_unit_test(test_keys_of_another_form_are_refused),
		cmocka_unit_test(test_keys_sign_under_a_label),
		cmocka_unit_test(test_keys_points_off_the_curve_are_refused),
		cmocka_unit_test(test_secret_wrapped_key_needs_its_passphrase),
		cmocka_unit_test(test_secret_file_is_its_first_line_and_private),
		cmocka_unit_test(test_aead_opens_only_what_it_sealed),
	};

	return cmocka_run_group_tests_name("keys", tests, make_folder, remove_folder);
}
