/* SPDX-License-Identifier: Apache-2.0 */
/* The code lists as built in: whole, unambiguous, with their columns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "proto/codes.h"
#include "proto/decode.h"
#include "proto/handling.h"
#include "proto/ids.h"
#include "proto/kinds/query.pb-c.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static size_t
length_of(const struct code_list *list)
{
	size_t n = 0;

	while (list->rows[n].code != NULL)
		n++;
	return n;
}

static void
test_codes_every_list_is_there_with_all_its_rows(void **state)
{
	static const struct {
		const char *list;
		size_t rows;
	} wanted[] = { { "appendices", 3 }, { "boxes", 21 }, { "closings", 11 },
		{ "countries", 253 }, { "deadlines", 12 }, { "fraud_kinds", 13 },
		{ "grading_schemes", 4 }, { "handling.TLP2.disclosure", 5 },
		{ "handling.EUROPOL4X4.source", 4 }, { "handling.UK3X5X2.information", 5 },
		{ "outcomes", 7 }, { "parties", 185 }, { "permit_types", 13 }, { "purposes", 12 },
		{ "query_reasons", 15 }, { "releases", 4 }, { "sources", 11 }, { "terms", 114 },
		{ "territories", 68 }, { "transport_modes", 10 }, { "units", 9 }, { "uses", 4 } };

	(void)state;
	for (size_t i = 0; i < COUNT(wanted); i++) {
		const struct code_list *list = codes_find(wanted[i].list);

		if (list == NULL)
			fail_msg("no list %s", wanted[i].list);
		if (length_of(list) != wanted[i].rows)
			fail_msg("%s has %zu rows", wanted[i].list, length_of(list));
	}
	assert_null(codes_find("no_such_list"));
}

static void
test_codes_each_code_and_word_finds_its_own_row(void **state)
{
	(void)state;
	for (const struct code_list *list = code_lists; list->name != NULL; list++) {
		for (const struct code *row = list->rows; row->code != NULL; row++) {
			if (code_find(list, row->code) != row || code_find(list, row->word) != row)
				fail_msg("%s: `%s' is ambiguous", list->name, row->code);
			assert_true(row->code[0] != '\0' && row->name[0] != '\0');
			assert_true(utf8_is_valid(bytes_str(row->name)));
		}
	}
}

static void
test_codes_every_row_has_as_many_values_as_columns(void **state)
{
	(void)state;
	for (const struct code_list *list = code_lists; list->name != NULL; list++) {
		for (const struct code *row = list->rows; row->code != NULL; row++) {
			size_t i = 0;
			while (list->columns[i] != NULL)
				assert_non_null(row->values[i++]);
			assert_null(row->values[i]);
		}
	}
}

static void
test_codes_are_found_by_code_or_word_in_any_case(void **state)
{
	static const struct {
		const char *list, *text, *code;
	} rows[] = {
		{ "query_reasons", "suspected-forgery", "AUTHENTIC" },
		{ "query_reasons", "AUTHENTIC", "AUTHENTIC" },
		{ "query_reasons", "authentic", "AUTHENTIC" },
		{ "query_reasons", "Suspected-Forgery", "AUTHENTIC" },
		{ "permit_types", "export", "E" },
		{ "permit_types", "import", "I" },
		{ "permit_types", "i", "I" },
		{ "outcomes", "not-issued", "NOTISSUED" },
		{ "closings", "refused-import", "REFUSED" },
		{ "countries", "ke", "KE" },
		{ "countries", "xx", "XX" },
		{ "boxes", "5A", "5a" },
		{ "appendices", "ii", "II" },
		{ "grading_schemes", "4x4", "EUROPOL4X4" },
		{ "query_reasons", "forgery", NULL },
		{ "query_reasons", "", NULL },
		{ "parties", "kenya", NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct code *row = code_find(codes_find(rows[i].list), rows[i].text);
		if (rows[i].code == NULL)
			assert_null(row);
		else
			assert_string_equal(row->code, rows[i].code);
	}
}

/* Values with commas and quotes come through the generator whole. */
static void
test_codes_quoted_values_are_whole(void **state)
{
	const struct code_list *types = codes_find("permit_types"), *boxes = codes_find("boxes");

	(void)state;
	assert_string_equal(code_value(types, code_find(types, "R"), "note"),
	    "must name country of origin with its permit number and date, and country of last "
	    "re-export with its certificate");
	assert_string_equal(
	    code_value(types, code_find(types, "E"), "name_fr"), "Permis d'exportation");
	assert_string_equal(code_value(types, code_find(types, "E"), "max_validity_months"), "6");
	assert_string_equal(code_value(types, code_find(types, "E"), "no_such_column"), "");
	assert_string_equal(
	    code_find(boxes, "4")->name, "Exporter or re-exporter: name, address, country");
}

static void
test_codes_labels_of_handling_are_those_of_the_program(void **state)
{
	const struct code_list *tlp = codes_find("handling.TLP2.disclosure");

	(void)state;
	for (const struct code *row = tlp->rows; row->code != NULL; row++) {
		assert_in_range(tlp_rank(row->code), 0, 4);
		assert_string_equal(tlp_label(row->name), row->code);
	}
}

/* A box that a reply may name is a field of the query that it answers. */
static void
test_codes_boxes_name_fields_of_a_query(void **state)
{
	const struct code_list *boxes = codes_find("boxes");

	(void)state;
	for (const struct code *row = boxes->rows; row->code != NULL; row++) {
		const char *path = code_value(boxes, row, "field"), *dot = strchr(path, '.');
		const ProtobufCFieldDescriptor *f;
		char first[16] = "";

		assert_non_null(dot);
		assert_true((size_t)(dot - path) < sizeof(first));
		memcpy(first, path, (size_t)(dot - path));
		f = protobuf_c_message_descriptor_get_field_by_name(
		    &citex__query__descriptor, first);
		assert_non_null(f);
		if (protobuf_c_message_descriptor_get_field_by_name(f->descriptor, dot + 1) == NULL)
			fail_msg("there is no field %s", path);
	}
}

static void
test_deadlines_are_those_of_the_resolution(void **state)
{
	static const struct {
		const char *id, *paragraph, *unit, *date;
		unsigned length;
	} rows[] = {
		{ "reply", "3(c)", "day", "", 14 },
		{ "secretariat_reply", "21(a)", "month", "", 1 },
		{ "secretariat_justify", "21(b)", "month", "", 6 },
		{ "aitr", "23(c)", "yearly date", "10-31", 0 },
		{ "lab_directory", "28(d)", "year", "", 2 },
		{ "consult", "3(a)(i)", "immediately", "", 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct deadline *d = deadline_find(rows[i].id);

		assert_non_null(d);
		assert_string_equal(d->paragraph, rows[i].paragraph);
		assert_string_equal(d->unit, rows[i].unit);
		assert_string_equal(d->date, rows[i].date);
		assert_int_equal(d->length, rows[i].length);
		assert_true(d->version >= 1);
		assert_true(d->event[0] != '\0');
	}
	assert_null(deadline_find("no_such_deadline"));
}

/* Each Party's code in lower case is the first word of its authorities' names. */
static void
test_codes_parties_are_beginnings_of_authorities(void **state)
{
	(void)state;
	for (const struct code *row = codes_find("parties")->rows; row->code != NULL; row++) {
		assert_int_equal(strlen(row->code), 2);
		assert_true(authority_is_valid(row->word));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_codes_every_list_is_there_with_all_its_rows),
		cmocka_unit_test(test_codes_each_code_and_word_finds_its_own_row),
		cmocka_unit_test(test_codes_every_row_has_as_many_values_as_columns),
		cmocka_unit_test(test_codes_are_found_by_code_or_word_in_any_case),
		cmocka_unit_test(test_codes_quoted_values_are_whole),
		cmocka_unit_test(test_codes_labels_of_handling_are_those_of_the_program),
		cmocka_unit_test(test_codes_boxes_name_fields_of_a_query),
		cmocka_unit_test(test_deadlines_are_those_of_the_resolution),
		cmocka_unit_test(test_codes_parties_are_beginnings_of_authorities),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
