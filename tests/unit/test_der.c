/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "pki/der.h"

static void
test_der_lengths_survive_and_are_the_shortest(void **state)
{
	static const size_t lengths[] = { 0, 1, 126, 127, 128, 129, 255, 256, 257, 65535, 65536,
		65537, DER_MAX_BYTES - DER_ROOM_BYTES };

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		CLEANUP(buffer_release) struct buffer out = { 0 };
		struct der_writer w;
		struct reader r;
		size_t mark, header, len = lengths[i];
		buffer_add_str(&out, "before");
		assert_int_equal(der_begin(&w, &out, len), OK);
		mark = w.left;
		memset(der_reserve(&w, len), 'v', len);
		der_close(&w, DER_OCTETS, mark);
		der_end(&w, &out);
		header = len < 128 ? 2 : len < 256 ? 3 : len < 65536 ? 4 : 5;
		assert_int_equal(out.len, 6 + header + len);
		r = (struct reader){ { out.at + 6, out.len - 6 }, OK };
		assert_int_equal(der_take_sized(&r, DER_OCTETS, len).len, len);
		assert_true(der_ended(&r));
	}
}

static void
test_der_longer_than_its_limit_is_not_written(void **state)
{
	CLEANUP(buffer_release) struct buffer out = { 0 };
	struct der_writer w;

	(void)state;
	assert_int_equal(der_begin(&w, &out, DER_MAX_BYTES - DER_ROOM_BYTES + 1), ERR_TOO_LARGE);
	assert_int_equal(out.len, 0);
}

static void
test_der_other_spellings_are_refused(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} rows[] = {
		{ "", 0 }, { "\x04", 1 }, { "\x04\x01", 2 }, { "\x05\x00", 2 }, /* other tag */
		{ "\x24\x00", 2 }, /* constructed */
		{ "\x04\x80\x00\x00", 4 }, /* indefinite */
		{ "\x04\x81\x01x", 4 }, /* longer than needed */
		{ "\x04\x82\x00\x80", 4 }, { "\x04\x84\x00\x00\x00\x01x", 7 },
		{ "\x04\x84\x01\x00\x00\x00x", 7 }, /* over three octets */
		{ "\x04\xff", 2 }, { "\x04\x00x", 3 }, /* left over */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct reader r = { { (const uint8_t *)rows[i].bytes, rows[i].len }, OK };
		der_take(&r, DER_OCTETS);
		assert_false(der_ended(&r));
	}
}

static void
test_der_times_have_one_spelling(void **state)
{
	static const struct {
		uint8_t tag;
		const char *text;
		int64_t ms;
	} rows[] = {
		{ DER_UTC_TIME, "700101000000Z", 0 },
		{ DER_UTC_TIME, "261123235959Z", 1795478399000 },
		{ DER_UTC_TIME, "240229000000Z", 1709164800000 },
		{ DER_UTC_TIME, "491231235959Z", 2524607999000 },
		{ DER_GENERALIZED_TIME, "20500101000000Z", 2524608000000 },
		{ DER_GENERALIZED_TIME, "99991231235959Z", 253402300799000 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char text[DER_TIME_BYTES];
		uint8_t tag = 0;
		int64_t ms = -1;
		assert_true(der_time_value(rows[i].tag, bytes_str(rows[i].text), &ms));
		assert_int_equal(ms, rows[i].ms);
		assert_true(der_time_text(rows[i].ms + 999, &tag, text));
		assert_int_equal(tag, rows[i].tag);
		assert_string_equal(text, rows[i].text);
	}
}

static void
test_der_times_that_are_none_are_refused(void **state)
{
	static const struct {
		uint8_t tag;
		const char *text;
	} rows[] = {
		{ DER_UTC_TIME, "" },
		{ DER_UTC_TIME, "6911231159" },
		{ DER_UTC_TIME, "691231235959Z" }, /* before 1970 */
		{ DER_UTC_TIME, "500101000000Z" }, /* 1950 in RFC 5652 */
		{ DER_UTC_TIME, "2611232359Z" }, /* without seconds */
		{ DER_UTC_TIME, "261123235959+0000" },
		{ DER_UTC_TIME, "261123235959z" },
		{ DER_UTC_TIME, "261123235960Z" },
		{ DER_UTC_TIME, "261123236059Z" },
		{ DER_UTC_TIME, "261123245959Z" },
		{ DER_UTC_TIME, "261323235959Z" },
		{ DER_UTC_TIME, "260023235959Z" },
		{ DER_UTC_TIME, "260229000000Z" },
		{ DER_UTC_TIME, "260100000000Z" },
		{ DER_UTC_TIME, "26 123235959Z" },
		{ DER_UTC_TIME, "20500101000000Z" },
		{ DER_GENERALIZED_TIME, "20491231235959Z" }, /* UTCTime's years */
		{ DER_GENERALIZED_TIME, "20500101000000.5Z" },
		{ DER_GENERALIZED_TIME, "500101000000Z" },
	};
	char text[DER_TIME_BYTES];
	uint8_t tag;
	int64_t ms;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		assert_false(der_time_value(rows[i].tag, bytes_str(rows[i].text), &ms));
	assert_false(der_time_text(-1, &tag, text));
	assert_false(der_time_text(253402300800000, &tag, text));
	assert_false(der_time_text(INT64_MAX, &tag, text));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_der_lengths_survive_and_are_the_shortest),
		cmocka_unit_test(test_der_longer_than_its_limit_is_not_written),
		cmocka_unit_test(test_der_other_spellings_are_refused),
		cmocka_unit_test(test_der_times_have_one_spelling),
		cmocka_unit_test(test_der_times_that_are_none_are_refused),
	};

	return cmocka_run_group_tests_name("der", tests, NULL, NULL);
}
