/* SPDX-License-Identifier: Apache-2.0 */
/* Every kind, by the table: a new kind adds one row here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "proto/codes.h"
#include "proto/ids.h"
#include "proto/json.h"
#include "proto/kind.h"
#include "proto/limits.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

/* The smallest good body, in codes, and the fields in it without each of which it is refused. */
static const struct {
	const char *kind, *body;
	const char *needed[4];
	/* Roles: who may send it to whom (domain rules: Conf. 11.3). */
	unsigned from, to;
} rows[] = {
	{ "query", "{\"permit\":{\"number\":\"1\"},\"reason\":[\"ROUTINE\"]}",
	    { "permit.number", "reason" }, ROLE_MANAGEMENT | ROLE_ENFORCEMENT, ROLE_MANAGEMENT },
	{ "interim", "{\"until\":\"2026-12-20\"}", { "until" }, ROLE_MANAGEMENT,
	    ROLE_MANAGEMENT | ROLE_ENFORCEMENT },
	{ "reply", "{\"outcome\":\"MATCHES\"}", { "outcome" }, ROLE_MANAGEMENT,
	    ROLE_MANAGEMENT | ROLE_ENFORCEMENT },
	{ "closing", "{\"outcome\":\"SATISFIED\"}", { "outcome" },
	    ROLE_MANAGEMENT | ROLE_ENFORCEMENT | ROLE_SECRETARIAT,
	    ROLE_MANAGEMENT | ROLE_ENFORCEMENT | ROLE_SECRETARIAT | ROLE_PARTNER },
	{ "fraud", "{\"text\":\"forged\"}", { NULL },
	    ROLE_MANAGEMENT | ROLE_ENFORCEMENT | ROLE_SECRETARIAT,
	    ROLE_MANAGEMENT | ROLE_ENFORCEMENT | ROLE_SECRETARIAT },
	{ "alert", "{\"text\":\"x\"}", { "text" }, ROLE_SECRETARIAT, ROLE_ANY },
	{ "case", "{\"title\":\"x\",\"text\":\"x\"}", { "title", "text" },
	    ROLE_MANAGEMENT | ROLE_ENFORCEMENT | ROLE_SECRETARIAT | ROLE_PARTNER,
	    ROLE_MANAGEMENT | ROLE_ENFORCEMENT | ROLE_SECRETARIAT | ROLE_PARTNER },
	{ "note", "{\"text\":\"x\"}", { "text" }, ROLE_ANY, ROLE_ANY },
};

static size_t
row_of(const struct kind *k)
{
	size_t i;

	for (i = 0; i < COUNT(rows); i++) {
		if (strcmp(rows[i].kind, k->name) == 0)
			return i;
	}
	fail_msg("%s has no row here", k->name);
	return i;
}

static json_t *
smallest(const struct kind *k)
{
	json_error_t error;
	json_t *body = json_loads(rows[row_of(k)].body, 0, &error);

	if (body == NULL)
		fail_msg("%s: %s", k->name, error.text);
	return body;
}

/* BODY, which goes, as kind K. */
static enum err
try(const struct kind *k, json_t *body, struct kind_problem *problem)
{
	CLEANUP(proto_wipe_drop) ProtobufCMessage *m = NULL, *decoded = NULL;
	struct buffer packed = { 0 };
	char where[128];
	enum err e;

	if (json_to_message(k->body, body, &m, where) != OK)
		fail_msg("%s: %s", k->name, where);
	json_decref(body);
	proto_pack(m, &packed);
	e = kind_decode(k, buffer_bytes(&packed), &decoded, problem);
	buffer_release(&packed);
	return e;
}

/* The field of D at PATH, NULL when there is none. */
static const ProtobufCFieldDescriptor *
field_at(const ProtobufCMessageDescriptor *d, const char *path)
{
	const ProtobufCFieldDescriptor *f = NULL;

	while (d != NULL && *path != '\0') {
		size_t len = strcspn(path, ".");
		char name[64];

		snprintf(name, sizeof(name), "%.*s", (int)len, path);
		f = protobuf_c_message_descriptor_get_field_by_name(d, name);
		if (f == NULL)
			return NULL;
		d = f->type == PROTOBUF_C_TYPE_MESSAGE ? f->descriptor : NULL;
		path += path[len] == '.' ? len + 1 : len;
	}
	return *path == '\0' ? f : NULL;
}

/* Set what stands at PATH in BODY to TEXT, making objects on the way; NULL takes it away. */
static void
put(json_t *body, const char *path, const char *text)
{
	size_t len = strcspn(path, ".");
	char name[64];
	json_t *inner;

	snprintf(name, sizeof(name), "%.*s", (int)len, path);
	if (path[len] == '\0') {
		if (text == NULL)
			json_object_del(body, name);
		else
			json_object_set_new(body, name, json_string(text));
		return;
	}
	if (json_object_get(body, name) == NULL)
		json_object_set_new(body, name, json_object());
	inner = json_object_get(body, name);
	put(inner, path + len + 1, text);
}

static void
test_kinds_have_a_row_each_and_no_row_is_left_over(void **state)
{
	size_t n = 0;

	(void)state;
	for (; kinds[n] != NULL; n++)
		(void)row_of(kinds[n]);
	assert_int_equal(n, COUNT(rows));
}

static void
test_kinds_are_found_by_name_and_verb_which_are_unique(void **state)
{
	(void)state;
	for (size_t i = 0; kinds[i] != NULL; i++) {
		assert_ptr_equal(kind_by_name(kinds[i]->name), kinds[i]);
		assert_ptr_equal(kind_by_verb(kinds[i]->verb), kinds[i]);
		for (size_t k = 0; k < i; k++)
			assert_int_not_equal(kinds[i]->code, kinds[k]->code);
	}
	assert_null(kind_by_name("no-such-kind"));
	assert_null(kind_by_verb("query"));
}

static void
test_kinds_say_all_that_others_rely_on(void **state)
{
	(void)state;
	for (size_t i = 0; kinds[i] != NULL; i++) {
		const struct kind *k = kinds[i];

		assert_true(k->code > 0 && k->version > 0);
		assert_true(strlen(k->summary) > 10 && strlen(k->summary) < 70);
		assert_non_null(k->body);
		assert_non_null(k->check);
		assert_non_null(strstr(k->paragraph, "Conf. 11.3, "));
		assert_in_range(tlp_rank(k->handling), 0, 4);
		assert_int_equal(k->clock != NULL, k->effect == EFFECT_ASKS);
		if (k->clock != NULL)
			assert_true(deadline_find(k->clock)->length > 0);
		/* who can put it off can say until when */
		assert_int_equal(
		    k->until != NULL, k->effect == EFFECT_EXTENDS || k->is_final != NULL);
		assert_true(k->is_final == NULL || k->effect == EFFECT_ANSWERS);
		if (k->default_to != NULL) {
			assert_int_equal(k->argument, TO_DEFAULT);
			assert_true(authority_is_valid(k->default_to));
		}
		for (size_t a = 0; k->answers[a] != NULL; a++) {
			assert_true(a + 1 < COUNT(k->answers));
			assert_non_null(kind_by_name(k->answers[a]));
			assert_true(kind_may_answer(k, k->answers[a]));
		}
		assert_false(kind_may_answer(k, "query"));
		assert_false(kind_may_answer(k, "no-such-kind"));
	}
}

/* Who may send what to whom, each role alone against each. */
static void
test_kinds_go_from_whom_to_whom_the_resolution_says(void **state)
{
	(void)state;
	for (size_t i = 0; kinds[i] != NULL; i++) {
		size_t r = row_of(kinds[i]);

		for (unsigned from = 1; from <= ROLE_PARTNER; from *= 2) {
			for (unsigned to = 1; to <= ROLE_PARTNER; to *= 2) {
				bool wanted = (rows[r].from & from) != 0 && (rows[r].to & to) != 0;
				assert_int_equal(kind_allowed(kinds[i], from, to), wanted);
			}
		}
		assert_false(kind_allowed(kinds[i], 0, ROLE_ANY));
		assert_false(kind_allowed(kinds[i], ROLE_ANY, 0));
	}
}

static void
test_kinds_name_fields_and_lists_that_exist(void **state)
{
	(void)state;
	for (size_t i = 0; kinds[i] != NULL; i++) {
		const struct kind *k = kinds[i];
		const char *subject = k->subject == NULL ? "" : k->subject;
		size_t c;

		for (c = 0; c < KIND_CODES_MAX && k->codes[c].field != NULL; c++) {
			const ProtobufCFieldDescriptor *f = field_at(k->body, k->codes[c].field);
			if (f == NULL || f->type != PROTOBUF_C_TYPE_STRING ||
			    codes_find(k->codes[c].list) == NULL)
				fail_msg("%s: %s %s", k->name, k->codes[c].field, k->codes[c].list);
		}
		assert_true(c < KIND_CODES_MAX); /* the row that ends it */
		while (*subject != '\0') {
			char path[64];
			size_t len = strcspn(subject, " ");

			snprintf(path, sizeof(path), "%.*s", (int)len, subject);
			assert_non_null(field_at(k->body, path));
			subject += subject[len] == ' ' ? len + 1 : len;
		}
		assert_true(k->release == NULL || field_at(k->body, k->release) != NULL);
		assert_non_null(field_at(k->body, "text"));
	}
}

static void
test_kinds_take_the_smallest_good_body_and_need_each_field_of_it(void **state)
{
	(void)state;
	for (size_t i = 0; kinds[i] != NULL; i++) {
		size_t r = row_of(kinds[i]);
		struct kind_problem problem;

		if (try(kinds[i], smallest(kinds[i]), &problem) != OK)
			fail_msg("%s: %s %s", kinds[i]->name, problem.path, problem.words);
		for (size_t n = 0; rows[r].needed[n] != NULL; n++) {
			json_t *body = smallest(kinds[i]);

			put(body, rows[r].needed[n], NULL);
			assert_int_equal(try(kinds[i], body, &problem), ERR_VALUE);
			assert_string_equal(problem.path, rows[r].needed[n]);
		}
	}
}

static void
test_kinds_refuse_a_code_that_is_in_no_list(void **state)
{
	(void)state;
	for (size_t i = 0; kinds[i] != NULL; i++) {
		for (const struct kind_codes *c = kinds[i]->codes; c->field != NULL; c++) {
			struct kind_problem problem;
			json_t *body = smallest(kinds[i]);

			put(body, c->field, "no-such-code");
			assert_int_equal(try(kinds[i], body, &problem), ERR_VALUE);
			assert_string_equal(problem.path, c->field);
		}
	}
}

/* Every word of every list becomes its code, whatever the case it is typed in. */
static void
test_kinds_normalise_every_word_to_its_code(void **state)
{
	(void)state;
	for (size_t i = 0; kinds[i] != NULL; i++) {
		for (const struct kind_codes *c = kinds[i]->codes; c->field != NULL; c++) {
			const struct code *row = codes_find(c->list)->rows;

			for (; row->code != NULL; row++) {
				CLEANUP(proto_wipe_drop) ProtobufCMessage *m = NULL;
				json_t *body = smallest(kinds[i]);
				struct kind_problem problem;
				char where[128];

				put(body, c->field, row->word);
				assert_int_equal(
				    json_to_message(kinds[i]->body, body, &m, where), OK);
				assert_int_equal(kind_normalise(kinds[i], m, &problem), OK);
				assert_string_equal(kind_text(m, c->field), row->code);
				json_decref(body);
			}
		}
	}
}

/* Anything in any one field: taken or refused, never a crash; a subject always. */
static void
test_kinds_survive_anything_in_any_field(void **state)
{
	static const char *const anything[] = { "", "x", "2026-12-20", "-1",
		"9999999999999999999999", "\x1b[31m", "\xf0\x9f\x90\x86", "OTHER", "U", "I" };

	(void)state;
	for (size_t i = 0; kinds[i] != NULL; i++) {
		const ProtobufCMessageDescriptor *d = kinds[i]->body;

		for (size_t f = 0; f < d->n_fields; f++) {
			const ProtobufCMessageDescriptor *inner =
			    d->fields[f].type == PROTOBUF_C_TYPE_MESSAGE ? d->fields[f].descriptor
									 : NULL;
			size_t n = inner == NULL ? 1 : inner->n_fields;

			if (inner == NULL && d->fields[f].type != PROTOBUF_C_TYPE_STRING)
				continue;
			for (size_t s = 0; s < n * COUNT(anything); s++) {
				json_t *body = smallest(kinds[i]);
				struct kind_problem problem;
				char path[128];

				snprintf(path, sizeof(path), "%s%s%s", d->fields[f].name,
				    inner == NULL ? "" : ".",
				    inner == NULL ? "" : inner->fields[s / COUNT(anything)].name);
				put(body, path, anything[s % COUNT(anything)]);
				if (try(kinds[i], body, &problem) != OK)
					assert_true(problem.words[0] != '\0');
			}
		}
	}
}

/* How the command line names a field (docs/citex.1): `permit.number' is
 * --permit-number, `lines.species' is --species. */
static void
option_of(const ProtobufCFieldDescriptor *outer, const ProtobufCFieldDescriptor *f, char *out,
    size_t room)
{
	bool prefix = outer != NULL && outer->label != PROTOBUF_C_LABEL_REPEATED;

	snprintf(out, room, "%s%s%s", prefix ? outer->name : "", prefix ? "-" : "", f->name);
	for (char *c = out; *c != '\0'; c++)
		*c = *c == '_' ? '-' : *c;
}

static size_t
options_of(const struct kind *k, char (*out)[64], size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < k->body->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &k->body->fields[i];
		const ProtobufCMessageDescriptor *d =
		    f->type == PROTOBUF_C_TYPE_MESSAGE ? f->descriptor : NULL;

		for (size_t s = 0; s < (d == NULL ? 1 : d->n_fields); s++) {
			assert_true(n < max);
			if (d != NULL) /* nothing deeper: an option has one level */
				assert_int_not_equal(d->fields[s].type, PROTOBUF_C_TYPE_MESSAGE);
			option_of(
			    d == NULL ? NULL : f, d == NULL ? f : &d->fields[s], out[n++], 64);
		}
	}
	return n;
}

static void
test_kinds_options_clash_neither_with_each_other_nor_with_the_general_ones(void **state)
{
	static const char *const general[] = { "id", "to", "all", "about", "attach", "handling",
		"audience", "handling-words", "use", "language", "urgent", "from", "edit", "json",
		"help", "authority" };
	static char options[128][64];

	(void)state;
	for (size_t i = 0; kinds[i] != NULL; i++) {
		size_t n = options_of(kinds[i], options, COUNT(options));

		for (size_t a = 0; a < n; a++) {
			for (size_t b = 0; b < a; b++) {
				if (strcmp(options[a], options[b]) == 0)
					fail_msg("%s: --%s twice", kinds[i]->name, options[a]);
			}
			for (size_t g = 0; g < COUNT(general); g++) {
				if (strcmp(options[a], general[g]) == 0)
					fail_msg("%s: --%s is general", kinds[i]->name, options[a]);
			}
		}
	}
}

/* The command lines that the tutorial walks. */
static void
test_kinds_have_the_options_of_the_story(void **state)
{
	static const struct {
		const char *verb, *option;
	} wanted[] = {
		{ "ask", "permit-number" },
		{ "ask", "permit-type" },
		{ "ask", "species" },
		{ "ask", "reason" },
		{ "ask", "text" },
		{ "interim", "until" },
		{ "interim", "text" },
		{ "answer", "outcome" },
		{ "answer", "text" },
		{ "report-fraud", "text" },
		{ "alert", "text" },
		{ "share", "title" },
		{ "close", "outcome" },
		{ "note", "text" },
	};
	static char options[128][64];

	(void)state;
	for (size_t i = 0; i < COUNT(wanted); i++) {
		const struct kind *k = kind_by_verb(wanted[i].verb);
		bool found = false;
		size_t n;

		assert_non_null(k);
		n = options_of(k, options, COUNT(options));
		for (size_t o = 0; o < n; o++)
			found = found || strcmp(options[o], wanted[i].option) == 0;
		if (!found)
			fail_msg("%s has no --%s", wanted[i].verb, wanted[i].option);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds_have_a_row_each_and_no_row_is_left_over),
		cmocka_unit_test(test_kinds_are_found_by_name_and_verb_which_are_unique),
		cmocka_unit_test(test_kinds_say_all_that_others_rely_on),
		cmocka_unit_test(test_kinds_go_from_whom_to_whom_the_resolution_says),
		cmocka_unit_test(test_kinds_name_fields_and_lists_that_exist),
		cmocka_unit_test(test_kinds_take_the_smallest_good_body_and_need_each_field_of_it),
		cmocka_unit_test(test_kinds_refuse_a_code_that_is_in_no_list),
		cmocka_unit_test(test_kinds_normalise_every_word_to_its_code),
		cmocka_unit_test(test_kinds_survive_anything_in_any_field),
		cmocka_unit_test(
		    test_kinds_options_clash_neither_with_each_other_nor_with_the_general_ones),
		cmocka_unit_test(test_kinds_have_the_options_of_the_story),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
