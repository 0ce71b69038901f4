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
#include "pki/ossl.h"
#include "pki/secret.h"
#include "proto/limits.h"

static char folder[] = "/tmp/citex-secret-XXXXXX";

static int
make_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) == NULL ? -1 : 0;
}

static int
remove_folder(void **state)
{
	static const char *const names[] = { "pass" };

	(void)state;
	for (size_t i = 0; i < 1; i++) {
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
test_secret_wrapped_key_needs_its_passphrase(void **state)
{
	CLEANUP(secret_release)
	struct secret right = { 0 }, wrong = { 0 }, key = { 0 }, again = { 0 };
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
test_secret_is_wiped_and_of_any_length(void **state)
{
	static const size_t lengths[] = { 0, 1, 32, 4095, 4096, 4097 };

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		struct secret s = { 0 };
		assert_int_equal(secret_init(&s, lengths[i]), OK);
		assert_int_equal(secret_bytes(&s).len, lengths[i]);
		memset(s.at, 's', s.len);
		secret_release(&s);
		assert_null(s.at);
		secret_release(&s); /* twice is once */
	}
}

static void
test_secret_from_a_descriptor_is_its_first_line(void **state)
{
	static const struct {
		const char *written, *expect;
	} rows[] = { { "secret\n", "secret" }, { "secret", "secret" }, { "\nx", "" }, { "", "" },
		{ "a b\r\n", "a b\r" } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		CLEANUP(secret_release) struct secret s = { 0 };
		int ends[2];
		assert_int_equal(pipe(ends), 0);
		assert_int_equal(write(ends[1], rows[i].written, strlen(rows[i].written)),
		    (ssize_t)strlen(rows[i].written));
		close(ends[1]);
		assert_int_equal(secret_read_fd(ends[0], &s), OK);
		assert_true(bytes_equal(secret_bytes(&s), bytes_str(rows[i].expect)));
		close(ends[0]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_secret_wrapped_key_needs_its_passphrase),
		cmocka_unit_test(test_secret_file_is_its_first_line_and_private),
		cmocka_unit_test(test_secret_is_wiped_and_of_any_length),
		cmocka_unit_test(test_secret_from_a_descriptor_is_its_first_line),
	};

	return cmocka_run_group_tests_name("secret", tests, make_folder, remove_folder);
}
