/* SPDX-License-Identifier: Apache-2.0 */
/* One spelling for each message; everything else is refused; secrets are wiped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "proto/decode.h"
#include "proto/frame.pb-c.h"
#include "proto/limits.h"
#include "proto/message.pb-c.h"
#include "tests/unit/shapes.pb-c.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

/* What was overwritten, in order: decode.c is linked with a wrapper around explicit_bzero(). */
static struct buffer wiped;

void __real_explicit_bzero(void *at, size_t len);
void __wrap_explicit_bzero(void *at, size_t len);
void __wrap___explicit_bzero_chk(void *at, size_t len, size_t room);

void
__wrap_explicit_bzero(void *at, size_t len)
{
	/* Not a buffer_add(): that wipes as well when it grows. */
	if (wiped.at != NULL && wiped.len + len <= wiped.room) {
		memcpy(wiped.at + wiped.len, at, len);
		wiped.len += len;
	}
	memset(at, 0, len);
	__asm__ volatile("" : : "r"(at) : "memory");
}

void
__wrap___explicit_bzero_chk(void *at, size_t len, size_t room)
{
	(void)room;
	__wrap_explicit_bzero(at, len);
}

static enum err
try(const ProtobufCMessageDescriptor *d, struct bytes in)
{
	ProtobufCMessage *m;
	struct buffer again = { 0 };
	enum err e = proto_unpack(d, in, &m);

	if (e != OK) {
		assert_null(m);
		return e;
	}
	proto_pack(m, &again);
	assert_true(bytes_equal(buffer_bytes(&again), in));
	buffer_release(&again);
	proto_wipe(m);
	return OK;
}

/* Fills every field of ALL, with storage that lives as long as the program. */
static void
fill_all(Shapes__All *all)
{
	static Shapes__Leaf leaf = SHAPES__LEAF__INIT, one_leaf = SHAPES__LEAF__INIT;
	static Shapes__Leaf *leaves[2] = { &leaf, &one_leaf };
	static uint32_t numbers[] = { 0, 1, 127, 128, UINT32_MAX };
	static char *texts[] = { "a", "", "gr\xc3\xbc\xc3\x9f" };
	static uint8_t data[] = { 0, 255, 7 };
	static ProtobufCBinaryData datas[] = { { 3, data }, { 0, NULL } };
	static Shapes__Colour colours[] = { SHAPES__COLOUR__BLUE, SHAPES__COLOUR__NONE };
	static uint64_t fixeds[] = { 0, UINT64_MAX };
	static protobuf_c_boolean flags[] = { 1, 0 };

	shapes__all__init(all);
	leaf.text = "leaf text";
	one_leaf.data = (ProtobufCBinaryData){ 3, data };
	all->u32 = UINT32_MAX;
	all->u64 = UINT64_MAX;
	all->i32 = -1;
	all->i64 = INT64_MIN;
	all->s32 = INT32_MIN;
	all->s64 = -7;
	all->f32 = 5;
	all->f64 = 6;
	all->flag = 1;
	all->colour = SHAPES__COLOUR__RED;
	all->text = "top text";
	all->data = (ProtobufCBinaryData){ 3, data };
	all->leaf = &leaf;
	all->n_numbers = COUNT(numbers);
	all->numbers = numbers;
	all->n_texts = COUNT(texts);
	all->texts = texts;
	all->n_datas = COUNT(datas);
	all->datas = datas;
	all->n_leaves = COUNT(leaves);
	all->leaves = leaves;
	all->n_colours = COUNT(colours);
	all->colours = colours;
	all->n_fixeds = COUNT(fixeds);
	all->fixeds = fixeds;
	all->n_flags = COUNT(flags);
	all->flags = flags;
	all->choice_case = SHAPES__ALL__CHOICE_ONE_LEAF;
	all->one_leaf = &one_leaf;
}

static void
test_decode_every_type_comes_back(void **state)
{
	Shapes__All all, *back;
	struct buffer packed = { 0 };
	ProtobufCMessage *m;

	(void)state;
	fill_all(&all);
	proto_pack(&all.base, &packed);
	assert_int_equal(try(&shapes__all__descriptor, buffer_bytes(&packed)), OK);
	assert_int_equal(proto_unpack(&shapes__all__descriptor, buffer_bytes(&packed), &m), OK);
	back = (Shapes__All *)m;
	assert_int_equal(back->i64, INT64_MIN);
	assert_int_equal(back->numbers[4], UINT32_MAX);
	assert_string_equal(back->texts[2], "gr\xc3\xbc\xc3\x9f");
	assert_int_equal(back->choice_case, SHAPES__ALL__CHOICE_ONE_LEAF);
	proto_drop(&m);
	assert_null(m);
	buffer_release(&packed);
}

static void
test_decode_empty_input_is_the_default_message(void **state)
{
	(void)state;
	assert_int_equal(try(&shapes__all__descriptor, BYTES_NONE), OK);
	assert_int_equal(try(&shapes__empty__descriptor, bytes_str("")), OK);
	assert_int_equal(try(&citex__frame__descriptor, BYTES_NONE), OK);
}

#define ALL &shapes__all__descriptor
#define LEAF &shapes__leaf__descriptor

static void
test_decode_refuses_every_other_spelling(void **state)
{
	static const struct {
		const char *what;
		const ProtobufCMessageDescriptor *d;
		const char *in;
		size_t len;
		enum err err;
	} rows[] = {
#define ROW(what, d, in, err) { what, d, in, sizeof(in) - 1, err }
		ROW("a number", ALL, "\x08\x05", OK),
		ROW("a default that need not be there", ALL, "\x08\x00", ERR_MALFORMED),
		ROW("a number in too many bytes", ALL, "\x08\x85\x00", ERR_MALFORMED),
		ROW("a tag in too many bytes", ALL, "\x88\x00\x05", ERR_MALFORMED),
		ROW("a number of 32 bits with 33", ALL, "\x08\x80\x80\x80\x80\x10", ERR_MALFORMED),
		ROW("a number of 64 bits", ALL, "\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", OK),
		ROW("a number of 65 bits", ALL, "\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x03",
		    ERR_MALFORMED),
		ROW("a number that never ends", ALL,
		    "\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", ERR_MALFORMED),
		ROW("minus one in 10 bytes", ALL, "\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
		    OK),
		ROW("minus one in 5 bytes", ALL, "\x18\xff\xff\xff\xff\x0f", ERR_MALFORMED),
		ROW("two is not true", ALL, "\x48\x02", ERR_MALFORMED),
		ROW("an enum value", ALL, "\x50\x05", OK),
		ROW("an enum value that is none", ALL, "\x50\x02", ERR_MALFORMED),
		ROW("an enum value below 0", ALL, "\x50\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
		    ERR_MALFORMED),
		ROW("packed enums", ALL, "\x92\x01\x02\x05\x01", OK),
		ROW("packed enums with one that is none", ALL, "\x92\x01\x02\x05\x02",
		    ERR_MALFORMED),
		ROW("field 0", ALL, "\x00\x05", ERR_MALFORMED),
		ROW("an unknown field", ALL, "\xd8\x3e\x05", ERR_MALFORMED),
		ROW("an unknown field of bytes", ALL, "\xda\x3e\x01x", ERR_MALFORMED),
		ROW("an unknown field in an embedded message", ALL, "\x6a\x02\x18\x01",
		    ERR_MALFORMED),
		ROW("a field number beyond 32 bits", ALL, "\x88\x80\x80\x80\x80\x04\x05",
		    ERR_MALFORMED),
		ROW("the wrong wire type", ALL, "\x0d\x05\x00\x00\x00", ERR_MALFORMED),
		ROW("a group", ALL, "\x0b\x0c", ERR_MALFORMED),
		ROW("wire type 6", ALL, "\x0e", ERR_MALFORMED),
		ROW("fields in order", LEAF, "\x0a\x01x\x12\x01y", OK),
		ROW("fields out of order", LEAF, "\x12\x01y\x0a\x01x", ERR_MALFORMED),
		ROW("one field twice", LEAF, "\x0a\x01x\x0a\x01x", ERR_MALFORMED),
		ROW("an embedded message twice", ALL, "\x6a\x03\x0a\x01x\x6a\x03\x12\x01y",
		    ERR_MALFORMED),
		ROW("an embedded message that is empty", ALL, "\x6a\x00", OK),
		ROW("packed numbers", ALL, "\x72\x02\x01\x02", OK),
		ROW("packed numbers in two runs", ALL, "\x72\x01\x01\x72\x01\x02", ERR_MALFORMED),
		ROW("numbers not packed", ALL, "\x70\x01\x70\x02", ERR_MALFORMED),
		ROW("no packed numbers", ALL, "\x72\x00", ERR_MALFORMED),
		ROW("a packed number cut short", ALL, "\x72\x02\x01\x80", ERR_MALFORMED),
		ROW("packed 64 bits", ALL,
		    "\x9a\x01\x08"
		    "12345678",
		    OK),
		ROW("packed 60 bits", ALL,
		    "\x9a\x01\x07"
		    "1234567",
		    ERR_MALFORMED),
		ROW("a repeated text, empty ones too", ALL, "\x7a\x00\x7a\x01x", OK),
		ROW("one of a choice", ALL, "\xf0\x01\x00", OK),
		ROW("two of a choice", ALL, "\xf0\x01\x01\xfa\x01\x01x", ERR_MALFORMED),
		ROW("two messages of a choice", ALL, "\x82\x02\x00\x82\x02\x00", ERR_MALFORMED),
		ROW("a text that ends too early", LEAF, "\x0a\x02x", ERR_MALFORMED),
		ROW("a text of 2^63 bytes", LEAF, "\x0a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01x",
		    ERR_MALFORMED),
		ROW("a text that need not be there", LEAF, "\x0a\x00", ERR_MALFORMED),
		ROW("a tag alone", LEAF, "\x0a", ERR_MALFORMED),
		ROW("half a tag", LEAF, "\x8a", ERR_MALFORMED),
		ROW("an embedded message longer than its parent", ALL, "\x6a\x05\x0a\x01x",
		    ERR_MALFORMED),
#undef ROW
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct bytes in = { (const uint8_t *)rows[i].in, rows[i].len };
		if (try(rows[i].d, in) != rows[i].err)
			fail_msg("%s", rows[i].what);
	}
}

/* RFC 3629: shortest form, no surrogates, at most U+10FFFF; and no NUL. */
static void
test_decode_texts_are_utf8_without_nul(void **state)
{
	static const struct {
		const char *text;
		size_t len;
		bool valid;
	} rows[] = {
#define ROW(text, valid) { text, sizeof(text) - 1, valid }
		ROW("", true),
		ROW("plain\tand\n", true),
		ROW("\x7f", true),
		ROW("\xc2\x80", true),
		ROW("\xdf\xbf", true),
		ROW("\xe0\xa0\x80", true),
		ROW("\xed\x9f\xbf", true),
		ROW("\xee\x80\x80", true),
		ROW("\xf0\x90\x80\x80", true),
		ROW("\xf4\x8f\xbf\xbf", true),
		ROW("\0", false),
		ROW("a\0b", false),
		ROW("\x80", false),
		ROW("\xbf", false),
		ROW("\xc0\x80", false),
		ROW("\xc1\xbf", false),
		ROW("\xe0\x9f\xbf", false),
		ROW("\xed\xa0\x80", false),
		ROW("\xed\xbf\xbf", false),
		ROW("\xf0\x8f\xbf\xbf", false),
		ROW("\xf4\x90\x80\x80", false),
		ROW("\xf5\x80\x80\x80", false),
		ROW("\xf8\x88\x80\x80\x80", false),
		ROW("\xff", false),
		ROW("\xc3", false),
		ROW("\xe2\x82", false),
		ROW("\xf0\x9f\x98", false),
		ROW("\xc3(", false),
		ROW("\xe2(\xa1", false),
		ROW("\xe2\x82(", false),
#undef ROW
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct bytes text = { (const uint8_t *)rows[i].text, rows[i].len };
		struct buffer in = { 0 };

		assert_int_equal(utf8_is_valid(text), rows[i].valid);
		buffer_add_u8(&in, 0x7a); /* All.texts */
		buffer_add_u8(&in, (uint8_t)text.len);
		buffer_add(&in, text);
		assert_int_equal(try(ALL, buffer_bytes(&in)), rows[i].valid ? OK : ERR_MALFORMED);
		in.at[0] = 0x82; /* All.datas: bytes may be anything */
		buffer_clear(&in);
		buffer_add(&in, bytes_str("\x82\x01"));
		buffer_add_u8(&in, (uint8_t)text.len);
		buffer_add(&in, text);
		assert_int_equal(try(ALL, buffer_bytes(&in)), OK);
		buffer_release(&in);
	}
}

/* LEVELS messages inside each other; the innermost is a Deep8 or a Deep9 with its text. */
static void
nest(struct buffer *in, unsigned levels)
{
	uint8_t inner[64] = { 0x0a, 0x01, 'x' };
	size_t len = 3;

	if (levels == 8) {
		inner[0] = 0x12; /* Deep8.text */
	}
	for (unsigned i = 1; i < levels; i++) {
		memmove(inner + 2, inner, len);
		inner[0] = 0x0a;
		inner[1] = (uint8_t)len;
		len += 2;
	}
	buffer_add(in, (struct bytes){ inner, len });
}

static void
test_decode_depth_8_passes_and_9_does_not(void **state)
{
	struct buffer in = { 0 };

	(void)state;
	assert_int_equal(PROTO_DEPTH_MAX, 8);
	nest(&in, PROTO_DEPTH_MAX);
	assert_int_equal(try(&shapes__deep1__descriptor, buffer_bytes(&in)), OK);
	buffer_clear(&in);
	nest(&in, PROTO_DEPTH_MAX + 1);
	assert_int_equal(try(&shapes__deep1__descriptor, buffer_bytes(&in)), ERR_MALFORMED);
	assert_int_equal(
	    try(&shapes__deep2__descriptor, (struct bytes){ in.at + 2, in.len - 2 }), OK);
	buffer_release(&in);
}

/* Two bytes of input for a struct of 24 and a pointer: a few fit the free part of the budget, then
 * no number of them does. */
static void
test_decode_heap_is_bounded_by_the_input(void **state)
{
	struct buffer in = { 0 };
	size_t accepted = 0;

	(void)state;
	while (accepted < 4000) {
		buffer_add(&in, bytes_str("\xaa\x01"));
		buffer_add_u8(&in, 0); /* one of All.empties */
		if (try(ALL, buffer_bytes(&in)) != OK)
			break;
		accepted++;
	}
	/* sizeof(All) and, for each, a struct, a pointer and scratch of protobuf-c come out of
	 * 4 KiB and 16 * 3 bytes each. */
	assert_in_range(accepted, 30, 4000 / 2);
	for (size_t i = 0; i < 20000; i++) {
		buffer_add(&in, bytes_str("\xaa\x01"));
		buffer_add_u8(&in, 0);
	}
	assert_int_equal(try(ALL, buffer_bytes(&in)), ERR_MALFORMED);
	buffer_release(&in);
}

static void *
count_alloc(void *data, size_t len)
{
	*(size_t *)data += len;
	return malloc(len);
}

static void
count_free(void *data, void *at)
{
	(void)data;
	free(at);
}

/* What protobuf-c asks for in all, for IN. */
static size_t
heap_of(struct bytes in)
{
	size_t sum = 0;
	ProtobufCAllocator counting = { count_alloc, count_free, &sum };
	ProtobufCMessage *m = protobuf_c_message_unpack(ALL, &counting, in.len, in.at);

	assert_non_null(m);
	protobuf_c_message_free_unpacked(m, &counting);
	return sum;
}

/* DATA bytes in one field, and EMPTIES messages of nothing. */
static void
swell(struct buffer *in, size_t data, size_t empties)
{
	buffer_clear(in);
	buffer_add(in, bytes_str("\x82\x01")); /* one of All.datas */
	buffer_add_u8(in, (uint8_t)data);
	memset(buffer_extend(in, data), 'd', data);
	for (size_t i = 0; i < empties; i++) {
		buffer_add(in, bytes_str("\xaa\x01"));
		buffer_add_u8(in, 0);
	}
}

/* To the byte: what needs as much as the budget passes, what needs one byte more does not. */
static void
test_decode_heap_ends_at_the_byte(void **state)
{
	struct buffer in = { 0 };
	bool met[2] = { false, false };

	(void)state;
	for (size_t empties = 40; empties < 400 && !(met[0] && met[1]); empties++) {
		for (size_t data = 0; data < 128; data++) {
			size_t most, heap;
			swell(&in, data, empties);
			most = PROTO_EXPANSION_MAX * in.len + 4 * KIB;
			heap = heap_of(buffer_bytes(&in));
			if (heap != most && heap != most + 1)
				continue;
			met[heap - most] = true;
			assert_int_equal(
			    try(ALL, buffer_bytes(&in)), heap == most ? OK : ERR_MALFORMED);
		}
	}
	assert_true(met[0] && met[1]);
	buffer_release(&in);
}

/* What must fit: a message to every authority, and a batch of acknowledgements. */
static void
test_decode_large_ordinary_messages_fit_the_heap(void **state)
{
	static char names[ADDRESSEES_MAX][16];
	static char *addressees[ADDRESSEES_MAX];
	static uint32_t numbers[WINDOW_ENVELOPES];
	static uint8_t zeros[1024];
	Citex__Content content = CITEX__CONTENT__INIT;
	Citex__Taken taken = CITEX__TAKEN__INIT;
	struct buffer packed = { 0 };

	(void)state;
	for (size_t i = 0; i < ADDRESSEES_MAX; i++) {
		memcpy(names[i], "ke.ma", 6);
		names[i][1] = (char)('a' + i % 26);
		addressees[i] = names[i];
	}
	content.n_addressees = ADDRESSEES_MAX;
	content.addressees = addressees;
	content.padding = (ProtobufCBinaryData){ 512, zeros };
	proto_pack(&content.base, &packed);
	assert_int_equal(try(&citex__content__descriptor, buffer_bytes(&packed)), OK);
	buffer_clear(&packed);
	for (uint32_t i = 0; i < WINDOW_ENVELOPES; i++)
		numbers[i] = i + 1;
	taken.n_numbers = WINDOW_ENVELOPES;
	taken.numbers = numbers;
	proto_pack(&taken.base, &packed);
	assert_int_equal(try(&citex__taken__descriptor, buffer_bytes(&packed)), OK);
	buffer_release(&packed);
}

/* Whatever one byte is changed to, the input is refused or is what is packed again; and nothing is
 * read or written outside, under the sanitizers. */
static void
test_decode_every_byte_changed_to_every_value(void **state)
{
	Shapes__All all;
	struct buffer packed = { 0 };
	size_t accepted = 0, refused = 0;

	(void)state;
	fill_all(&all);
	proto_pack(&all.base, &packed);
	for (size_t i = 0; i < packed.len; i++) {
		uint8_t before = packed.at[i];
		for (unsigned v = 0; v < 256; v++) {
			packed.at[i] = (uint8_t)v;
			if (try(ALL, buffer_bytes(&packed)) == OK)
				accepted++;
			else
				refused++;
		}
		packed.at[i] = before;
	}
	assert_true(accepted > packed.len);
	assert_true(refused > 100 * packed.len);
	buffer_release(&packed);
}

static void
test_decode_every_prefix_is_refused_or_whole(void **state)
{
	Shapes__All all;
	struct buffer packed = { 0 };

	(void)state;
	fill_all(&all);
	proto_pack(&all.base, &packed);
	for (size_t len = 0; len < packed.len; len++) {
		uint8_t *copy = xmemdup(packed.at, len); /* so that reading on is seen */
		(void)!try(ALL, (struct bytes){ copy, len });
		free(copy);
	}
	buffer_release(&packed);
}

static bool
was_wiped(const char *text)
{
	return memmem(wiped.at, wiped.len, text, strlen(text)) != NULL;
}

static void
test_decode_wipe_overwrites_all_texts_and_bytes(void **state)
{
	static const char *const secrets[] = { "top-secret", "leaf-secret", "key-secret",
		"list-secret-1", "list-secret-2", "choice-secret" };
	static const char json_like[] = "\x5a\x0atop-secret"
					"\x62\x0akey-secret"
					"\x6a\x0d\x0a\x0bleaf-secret"
					"\x7a\x0dlist-secret-1"
					"\x7a\x0dlist-secret-2"
					"\xfa\x01\x0d"
					"choice-secret";
	ProtobufCMessage *m;

	(void)state;
	wiped.at = xalloc(65536);
	wiped.room = 65536;
	assert_int_equal(
	    proto_unpack(
		ALL, (struct bytes){ (const uint8_t *)json_like, sizeof(json_like) - 1 }, &m),
	    OK);
	wiped.len = 0;
	proto_wipe(m);
	for (size_t i = 0; i < COUNT(secrets); i++)
		assert_true(was_wiped(secrets[i]));
	wiped.len = 0;
	proto_wipe(NULL);
	assert_int_equal(proto_unpack(ALL, BYTES_NONE, &m), OK);
	proto_wipe_drop(&m); /* default texts are constants: not to be written */
	assert_null(m);
	free(wiped.at);
	wiped = (struct buffer){ 0 };
}

/* The walk takes it, the heap does not suffice: what was decoded so far is wiped. */
static void
test_decode_failure_leaves_no_text_behind(void **state)
{
	struct buffer in = { 0 };

	(void)state;
	wiped.at = xalloc(1 << 20);
	wiped.room = 1 << 20;
	buffer_add(&in, bytes_str("\x5a\x0atop-secret"));
	for (size_t i = 0; i < 5000; i++) {
		buffer_add(&in, bytes_str("\xaa\x01"));
		buffer_add_u8(&in, 0);
	}
	wiped.len = 0;
	assert_int_equal(try(ALL, buffer_bytes(&in)), ERR_MALFORMED);
	wiped.len = 0;
	/* Few enough for the scratch, too many for the structs. */
	for (size_t n = 12 + 3 * 20; n < 12 + 3 * 400; n += 3) {
		size_t before = wiped.len;
		if (try(ALL, (struct bytes){ in.at, n }) == OK) {
			wiped.len = before;
			continue;
		}
		break;
	}
	assert_true(was_wiped("top-secret"));
	buffer_release(&in);
	free(wiped.at);
	wiped = (struct buffer){ 0 };
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decode_every_type_comes_back),
		cmocka_unit_test(test_decode_empty_input_is_the_default_message),
		cmocka_unit_test(test_decode_refuses_every_other_spelling),
		cmocka_unit_test(test_decode_texts_are_utf8_without_nul),
		cmocka_unit_test(test_decode_depth_8_passes_and_9_does_not),
		cmocka_unit_test(test_decode_heap_is_bounded_by_the_input),
		cmocka_unit_test(test_decode_heap_ends_at_the_byte),
		cmocka_unit_test(test_decode_large_ordinary_messages_fit_the_heap),
		cmocka_unit_test(test_decode_every_byte_changed_to_every_value),
		cmocka_unit_test(test_decode_every_prefix_is_refused_or_whole),
		cmocka_unit_test(test_decode_wipe_overwrites_all_texts_and_bytes),
		cmocka_unit_test(test_decode_failure_leaves_no_text_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
