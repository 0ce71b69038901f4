/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <malloc.h>
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
	static const char *const names[] = { "a.key", "b.key", "open.key" };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
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
	public_key_free(a); /* its own reference: the private key keeps its public half */
	a = private_key_public(k);
	assert_true(public_key_equal(a, b));
	assert_int_equal(chmod(in_folder("a.key"), 0640), 0);
	private_key_free(again);
	again = NULL;
	assert_int_equal(private_key_load(in_folder("a.key"), &right, &again), ERR_DENIED);
}

/* Memory of this process that no file backs. */
static unsigned long
anonymous_kib(void)
{
	unsigned long kib = 0;
	char line[128];
	FILE *f = fopen("/proc/self/status", "re");

	assert_non_null(f);
	while (kib == 0 && fgets(line, sizeof(line), f) != NULL)
		(void)sscanf(line, "RssAnon: %lu", &kib);
	fclose(f);
	assert_true(kib > 0);
	return kib;
}

/* What scrypt needs is 16 MiB: a process that holds several keys is not to hold that as well. */
static void
test_keys_give_back_the_memory_of_loading(void **state)
{
	CLEANUP(secret_release) struct secret passphrase = { 0 };
	CLEANUP(private_key_drop) struct private_key *k = NULL;
	struct private_key *again[3] = { NULL };
	unsigned long before_kib;

	(void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	skip(); /* their allocators keep what was freed */
#endif
	k = private_key_new();
	assert_int_equal(secret_from(&passphrase, bytes_str("correct horse")), OK);
	assert_int_equal(private_key_save(k, in_folder("b.key"), &passphrase), OK);
	(void)malloc_trim(0);
	before_kib = anonymous_kib();
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(private_key_load(in_folder("b.key"), &passphrase, &again[i]), OK);
	assert_true(anonymous_kib() < before_kib + 4 * 1024);
	for (size_t i = 0; i < 3; i++)
		private_key_free(again[i]);
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
	struct private_key *k = private_key_new(), *other = private_key_new();
	CLEANUP(public_key_drop)
	struct public_key *p = private_key_public(k), *q = private_key_public(other);
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys_survive_the_way_through_a_file),
		cmocka_unit_test(test_keys_give_back_the_memory_of_loading),
		cmocka_unit_test(test_keys_of_another_form_are_refused),
		cmocka_unit_test(test_keys_sign_under_a_label),
		cmocka_unit_test(test_keys_points_off_the_curve_are_refused),
	};

	return cmocka_run_group_tests_name("keys", tests, make_folder, remove_folder);
}
