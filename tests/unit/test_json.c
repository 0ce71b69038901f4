/* SPDX-License-Identifier: Apache-2.0 */
/* JSON there and back, what it refuses and how it says so; base64. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "proto/frame.pb-c.h"
#include "proto/json.h"
#include "tests/unit/shapes.pb-c.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

/* TEXT to a message; the error, and WHERE. */
static enum err
parse(const ProtobufCMessageDescriptor *d, const char *text, ProtobufCMessage **m, char *where)
{
	json_error_t error;
	json_t *value = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
	enum err e;

	if (value == NULL)
		fail_msg("%s: %s", text, error.text);
	e = json_to_message(d, value, m, where);
	json_decref(value);
	return e;
}

static char *
dump(const ProtobufCMessage *m)
{
	json_t *value = json_of_message(m);
	char *text;

	assert_non_null(value);
	text = json_dumps(value, JSON_COMPACT);
	json_decref(value);
	return text;
}

static const char full[] =
    "{\"u32\":4294967295,\"u64\":\"18446744073709551615\",\"i32\":-2147483648,"
    "\"i64\":\"-9223372036854775808\",\"s32\":-1,\"s64\":9007199254740992,\"f32\":1,\"f64\":2,"
    "\"flag\":true,\"colour\":\"BLUE\",\"text\":\"gr\xc3\xbc\xc3\x9f\",\"data\":\"AP8=\","
    "\"leaf\":{\"text\":\"x\",\"data\":\"\"},\"numbers\":[0,1],\"texts\":[\"\",\"a\"],"
    "\"datas\":[\"\",\"AA==\"],\"leaves\":[{\"text\":\"\",\"data\":\"\"}],"
    "\"colours\":[\"NONE\",\"RED\"],\"fixeds\":[9007199254740992,\"9007199254740993\"],"
    "\"flags\":[true,false],\"empties\":[{},{}],\"one_text\":\"\"}";

static void
test_json_every_type_goes_there_and_back(void **state)
{
	ProtobufCMessage *m, *again;
	struct buffer packed = { 0 };
	char where[128], *text;

	(void)state;
	assert_int_equal(parse(&shapes__all__descriptor, full, &m, where), OK);
	text = dump(m);
	assert_string_equal(text, full);
	free(text);
	proto_pack(m, &packed);
	assert_int_equal(proto_unpack(&shapes__all__descriptor, buffer_bytes(&packed), &again), OK);
	text = dump(again);
	assert_string_equal(text, full);
	free(text);
	proto_wipe(again);
	proto_wipe(m);
	buffer_release(&packed);
}

static void
test_json_writes_empty_fields_but_no_absent_messages(void **state)
{
	static const char wanted[] =
	    "{\"u32\":0,\"u64\":0,\"i32\":0,\"i64\":0,\"s32\":0,\"s64\":0,\"f32\":0,\"f64\":0,"
	    "\"flag\":false,\"colour\":\"NONE\",\"text\":\"\",\"data\":\"\",\"numbers\":[],"
	    "\"texts\":[],\"datas\":[],\"leaves\":[],\"colours\":[],\"fixeds\":[],\"flags\":[],"
	    "\"empties\":[]}";
	ProtobufCMessage *m;
	char where[128], *text;

	(void)state;
	assert_int_equal(parse(&shapes__all__descriptor, "{}", &m, where), OK);
	assert_int_equal(protobuf_c_message_get_packed_size(m), 0);
	text = dump(m);
	assert_string_equal(text, wanted);
	free(text);
	proto_free(m);
}

static void
test_json_takes_a_single_value_for_a_list_and_null_for_nothing(void **state)
{
	ProtobufCMessage *m;
	Shapes__All *all;
	char where[128];

	(void)state;
	assert_int_equal(parse(&shapes__all__descriptor,
			     "{\"texts\":\"a\",\"leaves\":{\"text\":\"b\"},\"numbers\":7,"
			     "\"leaf\":null,\"text\":null,\"datas\":[]}",
			     &m, where),
	    OK);
	all = (Shapes__All *)m;
	assert_int_equal(all->n_texts, 1);
	assert_string_equal(all->texts[0], "a");
	assert_int_equal(all->n_leaves, 1);
	assert_string_equal(all->leaves[0]->text, "b");
	assert_int_equal(all->numbers[0], 7);
	assert_null(all->leaf);
	assert_string_equal(all->text, "");
	proto_wipe(m);
}

static void
test_json_refuses_and_names_the_member(void **state)
{
	static const struct {
		const char *text, *where;
	} rows[] = {
		{ "[]", "not an object" },
		{ "3", "not an object" },
		{ "{\"txet\":\"x\"}", "txet: there is no such member" },
		{ "{\"leaf\":{\"txet\":\"x\"}}", "leaf.txet: there is no such member" },
		{ "{\"leaves\":[{},{\"text\":1}]}", "leaves.text: not text" },
		{ "{\"leaf\":[]}", "leaf: not an object" },
		{ "{\"text\":[\"x\"]}", "text: not text" },
		{ "{\"texts\":[\"x\",null]}", "texts: not text" },
		{ "{\"text\":\"a\\u0000b\"}", "text: not allowed in a text" },
		{ "{\"u32\":-1}", "u32: not a number in range" },
		{ "{\"u32\":4294967296}", "u32: not a number in range" },
		{ "{\"u32\":\"7\"}", "u32: not a number in range" },
		{ "{\"u32\":1.0}", "u32: not a number in range" },
		{ "{\"i32\":2147483648}", "i32: not a number in range" },
		{ "{\"i32\":-2147483649}", "i32: not a number in range" },
		{ "{\"u64\":-1}", "u64: not a number in range" },
		{ "{\"u64\":\"-1\"}", "u64: not a number in range" },
		{ "{\"u64\":\"18446744073709551616\"}", "u64: not a number in range" },
		{ "{\"u64\":\" 1\"}", "u64: not a number in range" },
		{ "{\"u64\":\"\"}", "u64: not a number in range" },
		{ "{\"i64\":\"9223372036854775808\"}", "i64: not a number in range" },
		{ "{\"i64\":\"0x10\"}", "i64: not a number in range" },
		{ "{\"flag\":1}", "flag: neither true nor false" },
		{ "{\"colour\":\"GREEN\"}", "colour: not one of the words allowed" },
		{ "{\"colour\":1}", "colour: not one of the words allowed" },
		{ "{\"data\":\"A\"}", "data: not text in base64" },
		{ "{\"data\":\"AA==\\u0000\"}", "data: not text in base64" },
		{ "{\"data\":7}", "data: not text in base64" },
		{ "{\"one_text\":\"a\",\"one_number\":1}",
		    "one_number: stands beside another choice" },
		{ "{\"one_leaf\":{\"text\":\"a\"},\"one_leaf\":3}", "one_leaf: not an object" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		ProtobufCMessage *m;
		char where[128];

		if (parse(&shapes__all__descriptor, rows[i].text, &m, where) != ERR_VALUE)
			fail_msg("%s was taken", rows[i].text);
		assert_null(m);
		assert_string_equal(where, rows[i].where);
	}
}

static void
test_json_depth_8_passes_and_9_does_not(void **state)
{
	static const char open[] = "{\"next\":{\"next\":{\"next\":{\"next\":{\"next\":{\"next\":";
	ProtobufCMessage *m;
	struct buffer text = { 0 };
	char where[128];

	(void)state;
	buffer_printf(&text, "%s{\"next\":{\"text\":\"8\"}}}}}}}}", open);
	assert_int_equal(parse(&shapes__deep1__descriptor, buffer_text(&text), &m, where), OK);
	proto_free(m);
	buffer_clear(&text);
	buffer_printf(&text, "%s{\"next\":{\"next\":{\"text\":\"9\"}}}}}}}}}", open);
	assert_int_equal(
	    parse(&shapes__deep1__descriptor, buffer_text(&text), &m, where), ERR_VALUE);
	assert_string_equal(where, "next.next.next.next.next.next.next.next: nested too deeply");
	buffer_release(&text);
}

static void
test_json_where_stays_within_its_room(void **state)
{
	ProtobufCMessage *m;
	struct buffer text = { 0 };
	char where[129];

	(void)state;
	buffer_add_str(&text, "{\"leaf\":{\"");
	for (size_t i = 0; i < 300; i++)
		buffer_add_u8(&text, 'n');
	buffer_add_str(&text, "\":1}}");
	where[128] = '!';
	assert_int_equal(parse(&shapes__all__descriptor, buffer_text(&text), &m, where), ERR_VALUE);
	assert_int_equal(where[128], '!');
	assert_true(strlen(where) < 128);
	assert_non_null(strstr(where, ": there is no such member"));
	buffer_release(&text);
}

static void
test_json_an_invalid_text_gives_null_not_half_an_object(void **state)
{
	Shapes__Leaf leaf = SHAPES__LEAF__INIT;
	Shapes__All all = SHAPES__ALL__INIT;

	(void)state;
	leaf.text = "\xff";
	assert_null(json_of_message(&leaf.base));
	all.leaf = &leaf;
	assert_null(json_of_message(&all.base));
}

/* RFC 4648, 10 */
static void
test_base64_has_one_spelling(void **state)
{
	static const struct {
		const char *plain, *text;
	} rows[] = { { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" },
		{ "foob", "Zm9vYg==" }, { "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" },
		{ "\xff\xfe\xfd", "//79" }, { "\xfb\xef", "++8=" } };
	static const char *const bad[] = { "Z", "Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "Zm8",
		"====", "Z===", "=Zg=", "Zg==Zg==", "Zm=v", "Zm 8", "Zm8=\n", "Zm9v!", "-_-_",
		"Zg=g" };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buffer out = { 0 };
		char *text = base64_encode(bytes_str(rows[i].plain));

		assert_string_equal(text, rows[i].text);
		assert_int_equal(base64_decode(text, &out), OK);
		assert_true(bytes_equal(buffer_bytes(&out), bytes_str(rows[i].plain)));
		buffer_release(&out);
		free(text);
	}
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct buffer out = { 0 };
		if (base64_decode(bad[i], &out) != ERR_MALFORMED)
			fail_msg("%s was taken", bad[i]);
		buffer_release(&out);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_json_every_type_goes_there_and_back),
		cmocka_unit_test(test_json_writes_empty_fields_but_no_absent_messages),
		cmocka_unit_test(test_json_takes_a_single_value_for_a_list_and_null_for_nothing),
		cmocka_unit_test(test_json_refuses_and_names_the_member),
		cmocka_unit_test(test_json_depth_8_passes_and_9_does_not),
		cmocka_unit_test(test_json_where_stays_within_its_room),
		cmocka_unit_test(test_json_an_invalid_text_gives_null_not_half_an_object),
		cmocka_unit_test(test_base64_has_one_spelling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
