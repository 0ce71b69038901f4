/* SPDX-License-Identifier: Apache-2.0 */
/* Frames come out the same however the stream was cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "proto/frame.h"
#include "proto/frame.pb-c.h"

static void
add_frame(struct buffer *stream, size_t len, uint8_t fill)
{
	uint8_t *to;

	buffer_add_u32(stream, (uint32_t)len);
	to = buffer_extend(stream, len);
	assert_non_null(to);
	memset(to, fill, len);
}

/* Take all frames that R has; each must be the next in order, of LENGTHS. */
static void
take_frames(struct frame_reader *r, const size_t *lengths, size_t count, size_t *taken)
{
	struct bytes frame;
	enum err e;

	while ((e = frame_next(r, &frame)) == OK) {
		assert_true(*taken < count);
		assert_int_equal(frame.len, lengths[*taken]);
		for (size_t i = 0; i < frame.len; i++)
			assert_int_equal(frame.at[i], *taken + 1);
		(*taken)++;
	}
	assert_int_equal(e, ERR_NOT_FOUND);
	assert_null(frame.at);
}

static void
test_frame_every_split_in_two_and_three_gives_the_same_frames(void **state)
{
	static const size_t lengths[] = { 1, 5, 13, 2 };
	struct buffer stream = { 0 };

	(void)state;
	for (size_t i = 0; i < 4; i++)
		add_frame(&stream, lengths[i], (uint8_t)(i + 1));
	for (size_t one = 0; one <= stream.len; one++) {
		for (size_t two = one; two <= stream.len; two++) {
			struct frame_reader r;
			size_t taken = 0;

			frame_reader_init(&r);
			frame_feed(&r, (struct bytes){ stream.at, one });
			take_frames(&r, lengths, 4, &taken);
			frame_feed(&r, (struct bytes){ stream.at + one, two - one });
			take_frames(&r, lengths, 4, &taken);
			frame_feed(&r, (struct bytes){ stream.at + two, stream.len - two });
			take_frames(&r, lengths, 4, &taken);
			assert_int_equal(taken, 4);
			assert_false(frame_is_partial(&r));
			frame_reader_release(&r);
		}
	}
	buffer_release(&stream);
}

static void
test_frame_chunks_of_every_size_give_the_same_frames(void **state)
{
	static const size_t lengths[] = { 3, 200, 1, 64 };
	struct buffer stream = { 0 };

	(void)state;
	for (size_t i = 0; i < 4; i++)
		add_frame(&stream, lengths[i], (uint8_t)(i + 1));
	for (size_t chunk = 1; chunk <= stream.len; chunk++) {
		struct frame_reader r;
		size_t taken = 0;

		frame_reader_init(&r);
		for (size_t at = 0; at < stream.len; at += chunk) {
			size_t left = stream.len - at;
			frame_feed(
			    &r, (struct bytes){ stream.at + at, left < chunk ? left : chunk });
			take_frames(&r, lengths, 4, &taken);
		}
		assert_int_equal(taken, 4);
		frame_reader_release(&r);
	}
	buffer_release(&stream);
}

static void
test_frame_of_the_largest_length_passes_and_one_more_ends_the_stream(void **state)
{
	static const size_t length = FRAME_MAX_BYTES;
	struct buffer stream = { 0 };
	struct frame_reader r;
	struct bytes frame;
	size_t taken = 0;

	(void)state;
	add_frame(&stream, length, 1);
	frame_reader_init(&r);
	frame_feed(&r, buffer_bytes(&stream));
	take_frames(&r, &length, 1, &taken);
	assert_int_equal(taken, 1);

	buffer_clear(&stream);
	buffer_add_u32(&stream, FRAME_MAX_BYTES + 1);
	frame_feed(&r, buffer_bytes(&stream));
	assert_int_equal(frame_next(&r, &frame), ERR_TOO_LARGE);
	buffer_clear(&stream);
	add_frame(&stream, 1, 1);
	frame_feed(&r, buffer_bytes(&stream));
	assert_int_equal(frame_next(&r, &frame), ERR_TOO_LARGE);
	assert_false(frame_is_partial(&r));
	frame_reader_release(&r);
	buffer_release(&stream);
}

static void
test_frame_without_bytes_ends_the_stream(void **state)
{
	static const uint8_t input[] = { 0, 0, 0, 0, 0, 0, 0, 1, 7 };
	struct frame_reader r;
	struct bytes frame;

	(void)state;
	frame_reader_init(&r);
	frame_feed(&r, BYTES_OF(input));
	assert_int_equal(frame_next(&r, &frame), ERR_MALFORMED);
	assert_int_equal(frame_next(&r, &frame), ERR_MALFORMED);
	frame_reader_release(&r);
}

static void
test_frame_memory_grows_with_bytes_received_not_claimed(void **state)
{
	static const uint8_t claim[] = { 0, 2, 0, 0, 'x' };
	struct frame_reader r;
	struct bytes frame;

	(void)state;
	frame_reader_init(&r);
	frame_feed(&r, BYTES_OF(claim));
	assert_int_equal(frame_next(&r, &frame), ERR_NOT_FOUND);
	assert_true(r.held.room < 1024);
	frame_reader_release(&r);
}

static void
test_frame_is_partial_from_its_first_byte_to_the_one_before_its_last(void **state)
{
	static const uint8_t input[] = { 0, 0, 0, 2, 'a', 'b', 0 };
	struct frame_reader r;
	struct bytes frame;

	(void)state;
	frame_reader_init(&r);
	assert_false(frame_is_partial(&r));
	for (size_t i = 0; i < 6; i++) {
		frame_feed(&r, (struct bytes){ input + i, 1 });
		assert_int_equal(frame_is_partial(&r), i < 5);
	}
	assert_int_equal(frame_next(&r, &frame), OK);
	assert_false(frame_is_partial(&r));
	frame_feed(&r, (struct bytes){ input + 6, 1 });
	assert_true(frame_is_partial(&r));
	frame_reader_release(&r);
}

/* A frame of LEN bytes in all, by the length of its chunk's data. */
static enum err
write_frame_of(size_t len, struct buffer *out)
{
	Citex__Frame frame = CITEX__FRAME__INIT;
	Citex__Chunk chunk = CITEX__CHUNK__INIT;
	uint8_t *data = xalloc(len);

	frame.body_case = CITEX__FRAME__BODY_CHUNK;
	frame.chunk = &chunk;
	chunk.data = (ProtobufCBinaryData){ len - 8, data };
	assert_int_equal(protobuf_c_message_get_packed_size(&frame.base), len);
	frame_write(&frame.base, out);
	free(data);
	return buffer_status(out);
}

static void
test_frame_write_stops_at_the_limit(void **state)
{
	struct buffer out = { 0 };
	Citex__Frame empty = CITEX__FRAME__INIT;
	struct frame_reader r;
	struct bytes frame;

	(void)state;
	assert_int_equal(write_frame_of(FRAME_MAX_BYTES, &out), OK);
	assert_int_equal(out.len, FRAME_MAX_BYTES + FRAME_HEADER_BYTES);
	frame_reader_init(&r);
	frame_feed(&r, buffer_bytes(&out));
	assert_int_equal(frame_next(&r, &frame), OK);
	frame_reader_release(&r);
	assert_int_equal(write_frame_of(FRAME_MAX_BYTES + 1, &out), ERR_TOO_LARGE);
	assert_int_equal(out.len, FRAME_MAX_BYTES + FRAME_HEADER_BYTES);
	buffer_clear(&out);
	frame_write(&empty.base, &out);
	assert_int_equal(buffer_status(&out), ERR_INTERNAL);
	buffer_release(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frame_every_split_in_two_and_three_gives_the_same_frames),
		cmocka_unit_test(test_frame_chunks_of_every_size_give_the_same_frames),
		cmocka_unit_test(
		    test_frame_of_the_largest_length_passes_and_one_more_ends_the_stream),
		cmocka_unit_test(test_frame_without_bytes_ends_the_stream),
		cmocka_unit_test(test_frame_memory_grows_with_bytes_received_not_claimed),
		cmocka_unit_test(
		    test_frame_is_partial_from_its_first_byte_to_the_one_before_its_last),
		cmocka_unit_test(test_frame_write_stops_at_the_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
