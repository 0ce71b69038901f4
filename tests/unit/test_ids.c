/* SPDX-License-Identifier: Apache-2.0 */
/* Ids, names and times as text: what is taken, what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "proto/ids.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static const uint8_t chance[10] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

/* RFC 9562, 5.7: time first, then version and variant among the chance. */
static void
test_id_make_is_a_uuid_version_7(void **state)
{
	static const uint8_t none[10] = { 0 };
	char text[ID_TEXT_BYTES];

	(void)state;
	id_print(id_make(0x017f22e279b0, chance), text);
	assert_string_equal(text, "017f22e2-79b0-7fff-bfff-ffffffffffff");
	id_print(id_make(0x017f22e279b0, none), text);
	assert_string_equal(text, "017f22e2-79b0-7000-8000-000000000000");
}

static void
test_id_order_is_time_order(void **state)
{
	struct id early = id_make(1792000000000, chance);
	struct id late = id_make(1792000000001, (const uint8_t[10]){ 0 });

	(void)state;
	assert_true(bytes_compare(id_bytes(&early), id_bytes(&late)) < 0);
	assert_false(id_equal(early, late));
	assert_false(id_is_zero(early));
	assert_true(id_is_zero((struct id){ { 0 } }));
}

static void
test_id_parse_takes_the_whole_text_only(void **state)
{
	static const struct {
		const char *text;
		enum err err;
	} rows[] = {
		{ "017f22e2-79b0-7fff-bfff-ffffffffffff", OK },
		{ "017F22E2-79B0-7FFF-BFFF-FFFFFFFFFFFF", OK },
		{ "017f22e279b07fffbfffffffffffffff", OK },
		{ "017f22e2-79b0-7fff-bfff-fffffffffff", ERR_MALFORMED },
		{ "017f22e2-79b0-7fff-bfff-fffffffffffff", ERR_MALFORMED },
		{ "017f22e279b0-7fff-bfff-ffffffffffff0", ERR_MALFORMED },
		{ "017f22e27-9b0-7fff-bfff-ffffffffffff", ERR_MALFORMED },
		{ "017f22e279b07fffbffffffffffffffff", ERR_MALFORMED },
		{ "017f22e2-79b0-7fff-bfff-fffffffffffg", ERR_MALFORMED },
		{ "{017f22e2-79b0-7fff-bfff-ffffffffff}", ERR_MALFORMED },
		{ "", ERR_MALFORMED },
	};
	struct id wanted = id_make(0x017f22e279b0, chance), id;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(id_parse(rows[i].text, &id), rows[i].err);
		if (rows[i].err == OK)
			assert_true(id_equal(id, wanted));
	}
}

static void
test_id_prefix_spans_all_ids_that_begin_so(void **state)
{
	static const struct {
		const char *text, *low, *high;
	} rows[] = {
		{ "0", "00000000-0000-0000-0000-000000000000",
		    "0fffffff-ffff-ffff-ffff-ffffffffffff" },
		{ "017f22E2-7", "017f22e2-7000-0000-0000-000000000000",
		    "017f22e2-7fff-ffff-ffff-ffffffffffff" },
		{ "017f22e2-79b0-7fff-bfff-ffffffffffff", "017f22e2-79b0-7fff-bfff-ffffffffffff",
		    "017f22e2-79b0-7fff-bfff-ffffffffffff" },
	};
	static const char *const bad[] = { "", "-", "x", "017f22e2-79b0-7fff-bfff-fffffffffffff",
		"0 1" };
	char text[ID_TEXT_BYTES];
	struct id low, high;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(id_prefix(rows[i].text, &low, &high), OK);
		id_print(low, text);
		assert_string_equal(text, rows[i].low);
		id_print(high, text);
		assert_string_equal(text, rows[i].high);
	}
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_int_equal(id_prefix(bad[i], &low, &high), ERR_MALFORMED);
}

static void
test_id_from_bytes_takes_16_bytes_and_no_other_number(void **state)
{
	uint8_t input[ID_BYTES + 1] = { 1, 2, 3 };
	struct id id;

	(void)state;
	for (size_t len = 0; len <= sizeof(input); len++)
		assert_int_equal(id_from_bytes((struct bytes){ input, len }, &id),
		    len == ID_BYTES ? OK : ERR_MALFORMED);
	assert_memory_equal(id.at, input, ID_BYTES);
}

#define W32 "abcdefghijklmnopqrstuvwxyz012345"

static void
test_authority_names_are_checked_to_the_byte(void **state)
{
	static const struct {
		const char *name;
		bool authority, node;
	} rows[] = {
		{ "ke.ma", true, false },
		{ "gb.border-force", true, false },
		{ "secretariat", true, true },
		{ "k", true, true },
		{ "k2.m2", true, false },
		{ W32 W32, true, true }, /* 64 bytes */
		{ W32 W32 "x", false, false }, /* and one more */
		{ W32 "."
		      "abcdefghijklmnopqrstuvwxyz01234",
		    true, false }, /* 64 */
		{ W32 "."
		      "abcdefghijklmnopqrstuvwxyz012345",
		    false, false }, /* 65 */
		{ "", false, false },
		{ ".", false, false },
		{ "ke.", false, false },
		{ ".ma", false, false },
		{ "ke.ma.x", false, false },
		{ "KE.ma", false, false },
		{ "2ke", false, false },
		{ "-ke", false, false },
		{ "ke.-ma", false, false },
		{ "ke ma", false, false },
		{ "ke.ma\n", false, false },
		{ "ke_ma", false, false },
		{ "k\xc3\xa9", false, false },
		{ "../ke", false, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(authority_is_valid(rows[i].name), rows[i].authority);
		assert_int_equal(node_is_valid(rows[i].name), rows[i].node);
	}
}

static void
test_node_and_authority_have_a_longest_name(void **state)
{
	char name[NODE_MAX_BYTES + AUTHORITY_MAX_BYTES] = "";

	(void)state;
	memset(name, 'k', NODE_MAX_BYTES);
	assert_true(node_is_valid(name));
	name[NODE_MAX_BYTES] = 'k';
	assert_false(node_is_valid(name));
	memset(name, 0, sizeof(name));
	memset(name, 'k', AUTHORITY_MAX_BYTES);
	name[2] = '.';
	assert_true(authority_is_valid(name));
	name[AUTHORITY_MAX_BYTES] = 'k';
	assert_false(authority_is_valid(name));
}

static void
test_authority_party_is_what_stands_before_the_point(void **state)
{
	char party[AUTHORITY_MAX_BYTES + 1];

	(void)state;
	authority_party("gb.border-force", party);
	assert_string_equal(party, "gb");
	authority_party("secretariat", party);
	assert_string_equal(party, "secretariat");
	authority_party(W32 W32 W32, party);
	assert_int_equal(strlen(party), AUTHORITY_MAX_BYTES);
	assert_true(same_party("gb.ma", "gb.border-force"));
	assert_true(same_party("gb", "gb.ma"));
	assert_false(same_party("gb.ma", "gbx.ma"));
	assert_false(same_party("gb.ma", "g.b"));
}

static void
test_time_print_knows_0_and_the_far_ends(void **state)
{
	static const struct {
		int64_t utc_ms;
		const char *time, *date;
	} rows[] = {
		{ 0, "", "" },
		{ 1, "1970-01-01T00:00:00Z", "1970-01-01" },
		{ -1, "1969-12-31T23:59:59Z", "1969-12-31" },
		{ 1797811199999, "2026-12-20T23:59:59Z", "2026-12-20" },
	};
	static const int64_t far[] = { INT64_MAX, INT64_MIN };
	char text[TIME_TEXT_BYTES];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		time_print(rows[i].utc_ms, text);
		assert_string_equal(text, rows[i].time);
		date_print(rows[i].utc_ms, text);
		assert_string_equal(text, rows[i].date);
	}
	for (size_t i = 0; i < COUNT(far); i++) {
		time_print(far[i], text);
		assert_true(strlen(text) < TIME_TEXT_BYTES);
	}
}

static void
test_date_parse_takes_days_of_the_calendar_only(void **state)
{
	static const char *const good[] = { "2026-12-20", "2024-02-29", "2000-02-29", "1905-01-01",
		"0001-01-01", "9999-12-31" };
	static const char *const bad[] = { "", "2026-12-2", "2026-02-29", "1900-02-29",
		"2026-04-31", "2026-13-01", "2026-00-10", "2026-10-00", "0000-01-01", "20.12.2026",
		"2026/12/20", "2026-12-20Z", "2026-12-32", "+026-12-20", "2026-1 -20" };
	int64_t utc_ms;
	char text[TIME_TEXT_BYTES];

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		assert_int_equal(date_parse_end(good[i], &utc_ms), OK);
		assert_int_equal((utc_ms + 1) % DAY_MS, 0);
		date_print(utc_ms, text);
		/* strftime() does not pad the year 1 */
		assert_non_null(strstr(good[i], text));
	}
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_int_equal(date_parse_end(bad[i], &utc_ms), ERR_VALUE);
	assert_int_equal(date_parse_end("2026-12-20", &utc_ms), OK);
	assert_int_equal(utc_ms, 1797811199999);
}

static void
test_duration_parse_takes_a_number_and_one_letter(void **state)
{
	static const struct {
		const char *text;
		enum err err;
		int64_t ms;
	} rows[] = {
		{ "30s", OK, 30000 },
		{ "15m", OK, 900000 },
		{ "4h", OK, 14400000 },
		{ "14d", OK, 1209600000 },
		{ "0s", OK, 0 },
		{ "106751991167d", OK, 106751991167LL * 86400000LL },
		{ "106751991168d", ERR_VALUE, 0 }, /* over 2^63 ms */
		{ "99999999999999999999s", ERR_VALUE, 0 },
		{ "30", ERR_VALUE, 0 },
		{ "s", ERR_VALUE, 0 },
		{ "", ERR_VALUE, 0 },
		{ "-1s", ERR_VALUE, 0 },
		{ "1.5h", ERR_VALUE, 0 },
		{ "3w", ERR_VALUE, 0 },
		{ "3 s", ERR_VALUE, 0 },
		{ "3sx", ERR_VALUE, 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		int64_t ms;
		assert_int_equal(duration_parse(rows[i].text, &ms), rows[i].err);
		if (rows[i].err == OK)
			assert_int_equal(ms, rows[i].ms);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_id_make_is_a_uuid_version_7),
		cmocka_unit_test(test_id_order_is_time_order),
		cmocka_unit_test(test_id_parse_takes_the_whole_text_only),
		cmocka_unit_test(test_id_prefix_spans_all_ids_that_begin_so),
		cmocka_unit_test(test_id_from_bytes_takes_16_bytes_and_no_other_number),
		cmocka_unit_test(test_authority_names_are_checked_to_the_byte),
		cmocka_unit_test(test_node_and_authority_have_a_longest_name),
		cmocka_unit_test(test_authority_party_is_what_stands_before_the_point),
		cmocka_unit_test(test_time_print_knows_0_and_the_far_ends),
		cmocka_unit_test(test_date_parse_takes_days_of_the_calendar_only),
		cmocka_unit_test(test_duration_parse_takes_a_number_and_one_letter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
