/* SPDX-License-Identifier: Apache-2.0 */
/* Slices, buffers and readers: order, growth, sticking errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "proto/bytes.h"

static void
test_bytes_compare_orders_like_memcmp_then_the_shorter_first(void **state)
{
	static const struct {
		const char *a, *b;
		int order;
	} rows[] = { { "", "", 0 }, { "", "a", -1 }, { "a", "b", -1 }, { "b", "ab", 1 },
		{ "ab", "a", 1 }, { "ab", "ab", 0 }, { "\xff", "a", 1 } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct bytes a = bytes_str(rows[i].a), b = bytes_str(rows[i].b);
		int order = bytes_compare(a, b);

		assert_int_equal((order > 0) - (order < 0), rows[i].order);
		assert_int_equal(bytes_equal(a, b), rows[i].order == 0);
		assert_int_equal(bytes_equal_secret(a, b), rows[i].order == 0);
	}
	assert_true(bytes_equal(BYTES_NONE, bytes_str("")));
}

static void
test_buffer_keeps_what_was_added_in_big_endian(void **state)
{
	static const uint8_t wanted[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 'x',
		'-', '7' };
	struct buffer b = { 0 };

	(void)state;
	buffer_add_u8(&b, 1);
	buffer_add_u16(&b, 0x0203);
	buffer_add_u32(&b, 0x04050607);
	buffer_add_u64(&b, 0x08090a0b0c0d0e0fULL);
	buffer_add_str(&b, "x");
	buffer_printf(&b, "-%d", 7);
	assert_int_equal(buffer_status(&b), OK);
	assert_true(bytes_equal(buffer_bytes(&b), BYTES_OF(wanted)));
	assert_string_equal(buffer_text(&b) + 15, "x-7");
	assert_int_equal(b.len, sizeof(wanted));
	buffer_release(&b);
	assert_null(b.at);
}

static void
test_buffer_grows_over_many_appends(void **state)
{
	struct buffer b = { 0 };

	(void)state;
	for (uint32_t i = 0; i < 10000; i++)
		buffer_add_u32(&b, i);
	assert_int_equal(b.len, 40000);
	for (uint32_t i = 0; i < 10000; i++) {
		struct reader r = { { b.at + 4 * (size_t)i, 4 }, OK };
		assert_int_equal(read_u32(&r), i);
	}
	buffer_cut_front(&b, 39996);
	assert_int_equal(b.len, 4);
	assert_int_equal(b.at[3], 9999 & 0xff);
	buffer_cut_front(&b, 100);
	assert_int_equal(b.len, 0);
	buffer_wipe(&b);
}

static void
test_buffer_error_sticks_until_it_is_cleared(void **state)
{
	struct buffer b = { 0 };
	size_t len = 7;

	(void)state;
	buffer_add_str(&b, "a");
	assert_null(buffer_extend(&b, SIZE_MAX - 1));
	assert_int_equal(buffer_status(&b), ERR_NO_MEMORY);
	buffer_add_str(&b, "b");
	assert_int_equal(b.len, 1);
	assert_string_equal(buffer_text(&b), "");
	buffer_clear(&b);
	buffer_add_str(&b, "c");
	assert_string_equal(buffer_text(&b), "c");
	b.err = ERR_NO_MEMORY;
	assert_null(buffer_detach(&b, &len));
	assert_int_equal(len, 0);
}

static void
test_buffer_detach_moves_the_bytes_out(void **state)
{
	struct buffer b = { 0 };
	size_t len;
	uint8_t *at;

	(void)state;
	buffer_add_str(&b, "abc");
	at = buffer_detach(&b, &len);
	assert_int_equal(len, 3);
	assert_memory_equal(at, "abc", 3);
	assert_null(b.at);
	free(at);
}

static void
test_reader_fails_at_every_short_length_and_stays_failed(void **state)
{
	static const uint8_t input[15] = { 1, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4 };

	(void)state;
	for (size_t len = 0; len <= sizeof(input); len++) {
		struct reader r = { { input, len }, OK };
		uint64_t sum = read_u8(&r);

		sum += read_u16(&r);
		sum += read_u32(&r);
		sum += read_u64(&r);
		assert_int_equal(reader_finish(&r), len == sizeof(input) ? OK : ERR_TRUNCATED);
		assert_int_equal(read_u8(&r), 0);
		assert_int_equal(reader_finish(&r), ERR_TRUNCATED);
		if (len == sizeof(input))
			assert_int_equal(sum, 10);
	}
}

static void
test_reader_refuses_what_is_left_over(void **state)
{
	struct reader r = { bytes_str("abc"), OK };
	char to[4] = "xxx";

	(void)state;
	read_copy(&r, to, 2);
	assert_memory_equal(to, "abx", 3);
	assert_int_equal(reader_finish(&r), ERR_TRAILING);
	read_copy(&r, to, 2);
	assert_memory_equal(to, "\0\0x", 3);
	assert_int_equal(reader_finish(&r), ERR_TRUNCATED);
	assert_null(read_bytes(&r, 0).at);
}

static void
test_hex_goes_there_and_back_and_refuses_the_rest(void **state)
{
	static const uint8_t bytes[] = { 0x00, 0x9a, 0xff };
	uint8_t back[3];
	char text[7];

	(void)state;
	hex_encode(BYTES_OF(bytes), text);
	assert_string_equal(text, "009aff");
	assert_int_equal(hex_decode("009AfF", back, 3), OK);
	assert_memory_equal(back, bytes, 3);
	assert_int_equal(hex_decode("009af", back, 3), ERR_MALFORMED);
	assert_int_equal(hex_decode("009aff0", back, 3), ERR_MALFORMED);
	assert_int_equal(hex_decode("009afg", back, 3), ERR_MALFORMED);
	assert_int_equal(hex_decode("", back, 0), OK);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes_compare_orders_like_memcmp_then_the_shorter_first),
		cmocka_unit_test(test_buffer_keeps_what_was_added_in_big_endian),
		cmocka_unit_test(test_buffer_grows_over_many_appends),
		cmocka_unit_test(test_buffer_error_sticks_until_it_is_cleared),
		cmocka_unit_test(test_buffer_detach_moves_the_bytes_out),
		cmocka_unit_test(test_reader_fails_at_every_short_length_and_stays_failed),
		cmocka_unit_test(test_reader_refuses_what_is_left_over),
		cmocka_unit_test(test_hex_goes_there_and_back_and_refuses_the_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
