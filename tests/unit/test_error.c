/* SPDX-License-Identifier: Apache-2.0 */
/* The list of errors: names are unique and come back, classes give exit statuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "proto/error.h"

static void
test_error_every_name_comes_back_as_its_error(void **state)
{
	(void)state;
	for (enum err e = OK; e < ERR_COUNT; e++) {
		char name[64];

		strncpy(name, err_name(e), sizeof(name) - 1);
		name[sizeof(name) - 1] = '\0';
		assert_int_equal(err_from_name(name), e);
		assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz-"), strlen(name));
	}
	assert_string_equal(err_name(ERR_STORE_FULL), "store-full");
	assert_string_equal(err_name(OK), "ok");
	assert_int_equal(err_from_name("no-such-error"), ERR_INTERNAL);
}

static void
test_error_every_one_has_words_without_a_full_stop(void **state)
{
	(void)state;
	for (enum err e = OK; e < ERR_COUNT; e++) {
		const char *words = err_words(e);

		assert_true(strlen(words) > 3);
		assert_int_not_equal(words[strlen(words) - 1], '.');
	}
	assert_string_equal(err_words((enum err)9999), err_words(ERR_INTERNAL));
}

static void
test_error_exit_status_is_the_class(void **state)
{
	(void)state;
	assert_int_equal(err_exit_status(OK), 0);
	for (enum err e = (enum err)(OK + 1); e < ERR_COUNT; e++)
		assert_in_range(err_exit_status(e), 2, 10);
	assert_int_equal(err_exit_status(ERR_USAGE), 2);
	assert_int_equal(err_exit_status(ERR_VALUE), 3);
	assert_int_equal(err_exit_status(ERR_NOT_FOUND), 4);
	assert_int_equal(err_exit_status(ERR_HANDLING), 5);
	assert_int_equal(err_exit_status(ERR_BUSY), 6);
	assert_int_equal(err_exit_status(ERR_SIGNATURE), 8);
	assert_int_equal(err_class(ERR_MALFORMED), CLASS_PEER);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_error_every_name_comes_back_as_its_error),
		cmocka_unit_test(test_error_every_one_has_words_without_a_full_stop),
		cmocka_unit_test(test_error_exit_status_is_the_class),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
