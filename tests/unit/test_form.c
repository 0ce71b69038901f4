/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "cli/command.h"
#include "proto/codes.h"
#include "proto/kinds/query.pb-c.h"

/* A form of K, with the options that every verb has besides. */
struct fixture {
	struct arguments given;
	struct form *form;
	struct failure why;
};

static void
begin(struct fixture *x, const struct kind *k)
{
	*x = (struct fixture){ 0 };
	arguments_allow(&x->given, global_options);
	arguments_allow(&x->given, send_options);
	x->form = form_new(k, &x->given);
	arguments_allow(&x->given, form_options(x->form));
}

static void
end(struct fixture *x)
{
	form_free(x->form);
	arguments_release(&x->given);
	failure_release(&x->why);
}

static enum err
take(struct fixture *x, const char *const *argv)
{
	size_t n = 0;
	char *copy[64] = { (char *)(uintptr_t) "citex" };
	while (argv[n] != NULL) {
		copy[n + 1] = (char *)(uintptr_t)argv[n];
		n++;
	}
	enum err e = arguments_parse(&x->given, (int)n + 1, copy, false, &x->why);
	return e == OK ? form_take_arguments(x->form, &x->given, &x->why) : e;
}

#define TAKE(x, ...) take(x, (const char *const[]){ __VA_ARGS__, NULL })

static Citex__Query *
query_of(struct fixture *x)
{
	struct buffer body = { 0 };
	ProtobufCMessage *m = NULL;
	assert_int_equal(form_body(x->form, &body, &x->why), OK);
	assert_int_equal(proto_unpack(&citex__query__descriptor, buffer_bytes(&body), &m), OK);
	buffer_release(&body);
	return (Citex__Query *)m;
}

static void
test_no_kind_has_two_options_of_one_name(void **state)
{
	(void)state;
	for (size_t k = 0; kinds[k] != NULL; k++) {
		struct fixture x;
		begin(&x, kinds[k]);
		assert_true(x.given.row_count > 15);
		for (size_t i = 0; i < x.given.row_count; i++) {
			for (size_t j = i + 1; j < x.given.row_count; j++)
				assert_string_not_equal(
				    x.given.rows[i]->name, x.given.rows[j]->name);
		}
		end(&x);
	}
}

static void
test_every_code_list_of_every_kind_is_reached_by_an_option(void **state)
{
	(void)state;
	for (size_t k = 0; kinds[k] != NULL; k++) {
		struct fixture x;
		begin(&x, kinds[k]);
		for (const struct kind_codes *c = kinds[k]->codes; c->field != NULL; c++) {
			const char *name = form_option_name(x.form, c->field);
			const struct option_row *row = form_options(x.form);
			assert_non_null(name);
			while (strcmp(row->name, name) != 0)
				row++;
			assert_non_null(form_codes(x.form, row));
			assert_string_equal(form_codes(x.form, row)->name, c->list);
		}
		end(&x);
	}
}

/* All options of a kind at once, each with a value of its type. */
static void
test_every_option_of_every_kind_goes_to_the_form_and_back(void **state)
{
	(void)state;
	for (size_t k = 0; kinds[k] != NULL; k++) {
		struct fixture x;
		struct buffer first = { 0 }, second = { 0 };
		begin(&x, kinds[k]);
		for (const struct option_row *row = form_options(x.form); row->name != NULL;
		     row++) {
			const struct code_list *codes = form_codes(x.form, row);
			const char *value = codes != NULL ? codes->rows[0].word : "12";
			struct given one = { row, row->argument != NULL ? value : NULL };
			struct arguments a = { .given = &one, .given_count = 1 };
			for (int twice = 0; twice < (row->several ? 2 : 1); twice++)
				assert_int_equal(form_take_arguments(x.form, &a, &x.why), OK);
		}
		form_write(x.form, &first);
		for (const struct option_row *row = form_options(x.form); row->name != NULL;
		     row++) {
			char line[128];
			snprintf(line, sizeof(line), "\n%s: ", row->name);
			assert_non_null(strstr(buffer_text(&first), line));
		}
		assert_int_equal(form_read(x.form, buffer_bytes(&first), &x.why), OK);
		form_write(x.form, &second);
		assert_string_equal(buffer_text(&first), buffer_text(&second));
		buffer_release(&first);
		buffer_release(&second);
		end(&x);
	}
}

static void
test_story_options_make_the_query(void **state)
{
	struct fixture x;
	(void)state;
	begin(&x, kind_by_verb("ask"));
	assert_int_equal(TAKE(&x, "ke.ma", "--permit-number", "KE 2026/0417", "--permit-type",
			     "export", "--species", "Panthera pardus", "--reason",
			     "suspected-forgery", "--text", "The stamp number does not fit."),
	    OK);
	Citex__Query *q = query_of(&x);
	assert_string_equal(q->permit->number, "KE 2026/0417");
	assert_string_equal(q->permit->type, "E");
	assert_int_equal(q->n_lines, 1);
	assert_string_equal(q->lines[0]->species, "Panthera pardus");
	assert_int_equal(q->n_reason, 1);
	assert_string_equal(q->reason[0], "AUTHENTIC");
	proto_free(&q->base);
	end(&x);
}

static void
test_repeated_field_begins_a_new_line(void **state)
{
	struct fixture x;
	(void)state;
	begin(&x, kind_by_verb("ask"));
	assert_int_equal(TAKE(&x, "--permit-number", "1", "--reason", "routine", "--species",
			     "Panthera pardus", "--quantity", "2", "--species",
			     "Loxodonta africana", "--quantity", "1", "--reason", "reuse"),
	    OK);
	Citex__Query *q = query_of(&x);
	assert_int_equal(q->n_lines, 2);
	assert_string_equal(q->lines[0]->quantity, "2");
	assert_string_equal(q->lines[1]->species, "Loxodonta africana");
	assert_string_equal(q->lines[1]->quantity, "1");
	assert_int_equal(q->n_reason, 2);
	proto_free(&q->base);
	end(&x);
}

static void
test_json_takes_words_and_options_go_on_from_it(void **state)
{
	static const char json[] =
	    "{\"permit\":{\"number\":\"7\",\"type\":\"export\"},"
	    "\"reason\":\"suspected-forgery\",\"lines\":{\"species\":\"A\"}}";
	struct fixture x;
	(void)state;
	begin(&x, kind_by_verb("ask"));
	assert_int_equal(form_load_json(x.form, bytes_str(json), &x.why), OK);
	assert_int_equal(
	    TAKE(&x, "--permit-number", "8", "--reason", "routine", "--species", "B"), OK);
	Citex__Query *q = query_of(&x);
	assert_string_equal(q->permit->number, "8");
	assert_string_equal(q->permit->type, "E");
	assert_int_equal(q->n_reason, 2);
	assert_int_equal(q->n_lines, 2);
	proto_free(&q->base);
	end(&x);
}

static void
test_wrong_values_name_their_option(void **state)
{
	static const struct {
		const char *option, *value, *words;
	} cases[] = {
		{ "--reason", "because", "--reason: `because' is none of:" },
		{ "--permit-type", "", "--permit-type: `' is none of:" },
		{ "--text", "\xff", "--text: this text is not in UTF-8" },
		{ "--unknown", "1", "--unknown" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct fixture x;
		begin(&x, kind_by_verb("ask"));
		assert_int_not_equal(TAKE(&x, cases[i].option, cases[i].value), OK);
		assert_non_null(strstr(buffer_text(&x.why.words), cases[i].words));
		end(&x);
	}
}

static void
test_what_the_kind_needs_is_named_by_its_option(void **state)
{
	struct fixture x;
	struct buffer body = { 0 };
	(void)state;
	begin(&x, kind_by_verb("ask"));
	assert_int_equal(TAKE(&x, "--reason", "routine"), OK);
	assert_int_equal(form_body(x.form, &body, &x.why), ERR_VALUE);
	assert_non_null(strstr(buffer_text(&x.why.words), "--permit-number"));
	buffer_release(&body);
	end(&x);
}

static void
test_bad_json_says_where(void **state)
{
	static const struct {
		const char *json, *words;
	} cases[] = { { "{\"text\": ", "line 1" }, { "[1]", "not one object" },
		{ "{\"text\":\"a\",\"text\":\"b\"}", "duplicate" } };
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct fixture x;
		begin(&x, kind_by_verb("ask"));
		assert_int_equal(
		    form_load_json(x.form, bytes_str(cases[i].json), &x.why), ERR_VALUE);
		assert_non_null(strstr(buffer_text(&x.why.words), cases[i].words));
		end(&x);
	}
}

static void
test_form_lines_group_by_their_first_field(void **state)
{
	static const char lines[] =
	    "# a remark\npermit-number: 5\nreason: routine\nletter: A\n"
	    "species: one\nletter: B\nquantity: 3\ntext: first\n    second\n\tthird\n";
	struct fixture x;
	(void)state;
	begin(&x, kind_by_verb("ask"));
	assert_int_equal(form_read(x.form, bytes_str(lines), &x.why), OK);
	Citex__Query *q = query_of(&x);
	assert_int_equal(q->n_lines, 2);
	assert_string_equal(q->lines[0]->species, "one");
	assert_string_equal(q->lines[1]->species, "");
	assert_string_equal(q->lines[1]->quantity, "3");
	assert_string_equal(q->text, "first\nsecond\nthird");
	proto_free(&q->base);
	end(&x);
}

static void
test_form_line_that_is_not_understood_is_refused(void **state)
{
	static const char *const lines[] = { "no colon\n", "nonsense: 1\n", ": 1\n",
		"to: gb.ma\n" };
	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct fixture x;
		begin(&x, kind_by_verb("ask"));
		assert_int_equal(form_read(x.form, bytes_str(lines[i]), &x.why), ERR_VALUE);
		end(&x);
	}
}

static void
test_form_of_random_lines_never_breaks(void **state)
{
	static const char *const pieces[] = { "text", "letter", "species", ":", " ", "\n", "#",
		"reason", "routine", "\t", "\r", "permit-number", "x", "\xff", "sanitised", "yes" };
	uint32_t seed = 7;
	(void)state;
	for (int i = 0; i < 3000; i++) {
		struct fixture x;
		struct buffer text = { 0 }, body = { 0 };
		begin(&x, kinds[i % 8]);
		for (int j = 0; j < 40; j++) {
			seed = seed * 1664525 + 1013904223;
			buffer_add_str(&text, pieces[(seed >> 16) % 16]);
		}
		if (form_read(x.form, buffer_bytes(&text), &x.why) == OK)
			(void)!form_body(x.form, &body, &x.why);
		buffer_release(&text);
		buffer_release(&body);
		end(&x);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_kind_has_two_options_of_one_name),
		cmocka_unit_test(test_every_code_list_of_every_kind_is_reached_by_an_option),
		cmocka_unit_test(test_every_option_of_every_kind_goes_to_the_form_and_back),
		cmocka_unit_test(test_story_options_make_the_query),
		cmocka_unit_test(test_repeated_field_begins_a_new_line),
		cmocka_unit_test(test_json_takes_words_and_options_go_on_from_it),
		cmocka_unit_test(test_wrong_values_name_their_option),
		cmocka_unit_test(test_what_the_kind_needs_is_named_by_its_option),
		cmocka_unit_test(test_bad_json_says_where),
		cmocka_unit_test(test_form_lines_group_by_their_first_field),
		cmocka_unit_test(test_form_line_that_is_not_understood_is_refused),
		cmocka_unit_test(test_form_of_random_lines_never_breaks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
