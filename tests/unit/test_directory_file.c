/* SPDX-License-Identifier: Apache-2.0 */
/* The directory as a file: there and back, and everything that is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "pki/directory_file.h"
#include "pki/files.h"
#include "proto/decode.h"
#include "tests/fixtures.h"

struct world {
	struct fixture *f;
	struct buffer file;
	char state[40];
};

static int
set_up(void **state)
{
	struct world *w = xalloc(sizeof(*w));
	struct directory *d;

	w->f = fixture_new();
	d = fixture_directory(w->f);
	directory_file_print(directory_signed_head(d), directory_contents(d), &w->file);
	assert_int_equal(buffer_status(&w->file), OK);
	(void)snprintf(w->state, sizeof(w->state), "/tmp/citex-directory-XXXXXX");
	assert_non_null(mkdtemp(w->state));
	*state = w;
	return 0;
}

static int
tear_down(void **state)
{
	struct world *w = *state;
	char path[64];

	(void)snprintf(path, sizeof(path), "%s/%s", w->state, DIRECTORY_FILE_NAME);
	(void)unlink(path);
	(void)rmdir(w->state);
	buffer_release(&w->file);
	fixture_free(w->f);
	free(w);
	return 0;
}

static enum err
install_and_read(struct world *w, struct bytes file, const char *pin)
{
	char path[64], why[200];
	struct directory *d = NULL;
	enum err e;

	(void)snprintf(path, sizeof(path), "%s/%s", w->state, DIRECTORY_FILE_NAME);
	assert_int_equal(file_replace(path, file, 0600), OK);
	e = directory_file_read(w->state, pin, &d, why);
	assert_true(e == OK || why[0] != '\0');
	if (e == OK)
		assert_memory_equal(directory_head_digest(d),
		    directory_head_digest(fixture_directory(w->f)), DIGEST_BYTES);
	directory_free(d);
	return e;
}

static void
test_directory_file_goes_there_and_back(void **state)
{
	struct world *w = *state;

	assert_int_equal(install_and_read(w, buffer_bytes(&w->file), fixture_pin(w->f)), OK);
}

static void
test_directory_file_needs_the_right_pin(void **state)
{
	struct world *w = *state;
	char pin[80];

	memcpy(pin, fixture_pin(w->f), strlen(fixture_pin(w->f)) + 1);
	pin[0] = pin[0] == '0' ? '1' : '0';
	assert_int_not_equal(install_and_read(w, buffer_bytes(&w->file), pin), OK);
}

static void
test_directory_file_is_not_there(void **state)
{
	struct world *w = *state;
	struct directory *d = NULL;
	char why[200];

	assert_int_equal(directory_file_read(w->state, fixture_pin(w->f), &d, why), ERR_NOT_FOUND);
	assert_true(strlen(why) > 0);
}

static void
test_directory_file_truncated_anywhere_is_refused(void **state)
{
	struct world *w = *state;
	char why[200];

	for (size_t len = 0; len < w->file.len; len += len < 600 ? 1 : 97) {
		struct bytes file = { w->file.at, len }, contents;
		Citex__SignedHead *head = NULL;
		struct directory *d = NULL;

		if (directory_file_parse(file, &head, &contents) == OK)
			assert_int_not_equal(
			    directory_build(NULL,
				&(struct directory_trust){ .pin = fixture_pin(w->f) }, head,
				contents, &d, why),
			    OK);
		proto_free((ProtobufCMessage *)head);
	}
}

static void
test_directory_file_with_a_bit_turned_is_refused(void **state)
{
	struct world *w = *state;

	for (size_t at = 0; at < w->file.len; at += at < 600 ? 7 : 211) {
		w->file.at[at] ^= 0x20;
		assert_int_not_equal(
		    install_and_read(w, buffer_bytes(&w->file), fixture_pin(w->f)), OK);
		w->file.at[at] ^= 0x20;
	}
}

static void
test_directory_file_is_bounded(void **state)
{
	CLEANUP(buffer_release) struct buffer big = { 0 };
	struct world *w = *state;
	Citex__SignedHead *head = NULL;
	struct bytes contents;

	directory_file_print(directory_signed_head(fixture_directory(w->f)), BYTES_NONE, &big);
	memset(buffer_extend(&big, DIRECTORY_MAX_BYTES), 0, DIRECTORY_MAX_BYTES);
	assert_int_equal(directory_file_parse(buffer_bytes(&big), &head, &contents), OK);
	proto_free((ProtobufCMessage *)head);
	buffer_add_u8(&big, 0);
	assert_int_equal(directory_file_parse(buffer_bytes(&big), &head, &contents), ERR_TOO_LARGE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(test_directory_file_goes_there_and_back),
		T(test_directory_file_needs_the_right_pin),
		T(test_directory_file_is_not_there),
		T(test_directory_file_truncated_anywhere_is_refused),
		T(test_directory_file_with_a_bit_turned_is_refused),
		T(test_directory_file_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
