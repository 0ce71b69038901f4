/* SPDX-License-Identifier: Apache-2.0 */
/* What is common to all kinds, and what single kinds demand: outcomes, dates,
 * grades, the release gate. The table of kinds itself: suite_kind.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "proto/json.h"
#include "proto/kind.h"
#include "proto/kinds/case.pb-c.h"
#include "proto/kinds/note.pb-c.h"
#include "proto/limits.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

/* TEXT, JSON as an officer writes it, as the body of kind NAME. The result of the first step that
 * fails; *BODY is the caller's. */
static enum err
body_of(const char *name, const char *text, ProtobufCMessage **body, struct kind_problem *problem)
{
	const struct kind *k = kind_by_name(name);
	json_error_t error;
	json_t *value = json_loads(text, 0, &error);
	CLEANUP(proto_wipe_drop) ProtobufCMessage *m = NULL;
	struct buffer packed = { 0 };
	char where[128];
	enum err e;

	*problem = (struct kind_problem){ "", "" };
	*body = NULL;
	if (value == NULL)
		fail_msg("%s: %s", text, error.text);
	if (json_to_message(k->body, value, &m, where) != OK)
		fail_msg("%s: %s", text, where);
	json_decref(value);
	e = kind_normalise(k, m, problem);
	if (e != OK)
		return e;
	proto_pack(m, &packed);
	e = kind_decode(k, buffer_bytes(&packed), body, problem);
	buffer_release(&packed);
	return e;
}

struct row {
	const char *kind, *body;
	enum err err;
	const char *path; /* of the problem */
};

static void
try_rows(const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		ProtobufCMessage *body;
		struct kind_problem problem;
		enum err e = body_of(rows[i].kind, rows[i].body, &body, &problem);

		if (e != rows[i].err || strcmp(problem.path, rows[i].path) != 0)
			fail_msg("%s %s: %s, %s %s", rows[i].kind, rows[i].body, err_name(e),
			    problem.path, problem.words);
		assert_int_equal(problem.words[0] != '\0', e != OK);
		proto_wipe(body);
	}
}

#define PERMIT "\"permit\":{\"number\":\"KE 2026/0417\"},\"reason\":\"ROUTINE\""

static void
test_query_needs_a_number_and_a_reason_and_good_boxes(void **state)
{
	static const struct row rows[] = {
		{ "query", "{" PERMIT "}", OK, "" },
		{ "query",
		    "{\"permit\":{\"number\":\"?? any \xe2\x98\x83 pattern\"},"
		    "\"reason\":[\"reuse\",\"quantity\"]}",
		    OK, "" },
		{ "query", "{\"permit\":{},\"reason\":\"ROUTINE\"}", ERR_VALUE, "permit.number" },
		{ "query", "{\"reason\":\"ROUTINE\"}", ERR_VALUE, "permit.number" },
		{ "query", "{\"permit\":{\"number\":\"1\"}}", ERR_VALUE, "reason" },
		{ "query", "{\"permit\":{\"number\":\"1\"},\"reason\":[\"\"]}", ERR_VALUE,
		    "reason" },
		{ "query", "{\"permit\":{\"number\":\"1\"},\"reason\":\"other\"}", ERR_VALUE,
		    "text" },
		{ "query", "{\"permit\":{\"number\":\"1\"},\"reason\":\"other\",\"text\":\"x\"}",
		    OK, "" },
		{ "query", "{" PERMIT ",\"missing\":[\"13\",\"quantity\"]}", OK, "" },
		{ "query", "{" PERMIT ",\"missing\":\"16\"}", ERR_VALUE, "missing" },
		{ "query", "{" PERMIT ",\"presented_date\":\"soon\"}", ERR_VALUE,
		    "presented_date" },
		{ "query", "{" PERMIT ",\"lines\":{\"quantity\":\"12.125\",\"quota\":\"0\"}}", OK,
		    "" },
		{ "query", "{" PERMIT ",\"lines\":{\"quantity\":\"12,5\"}}", ERR_VALUE,
		    "lines.quantity" },
		{ "query", "{" PERMIT ",\"lines\":[{},{\"origin_date\":\"2026-02-30\"}]}",
		    ERR_VALUE, "lines.origin_date" },
		{ "query", "{" PERMIT ",\"lines\":{\"acquisition_date\":\"1975\"}}", OK, "" },
		{ "query", "{" PERMIT ",\"lines\":{\"term\":\"LIV\",\"unit\":\"NAR\"}}", OK, "" },
		{ "query", "{" PERMIT ",\"lines\":{\"term\":\"XXX\"}}", ERR_VALUE, "lines.term" },
	};

	(void)state;
	try_rows(rows, COUNT(rows));
}

/* The number of a document is opaque, up to 70 characters: of any script, so not bytes. */
static void
test_permit_number_of_70_characters_passes_and_71_does_not(void **state)
{
	struct buffer text = { 0 };
	struct kind_problem problem;
	ProtobufCMessage *body;

	(void)state;
	for (size_t n = 70; n <= 71; n++) {
		buffer_clear(&text);
		buffer_add_str(&text, "{\"reason\":\"ROUTINE\",\"permit\":{\"number\":\"");
		for (size_t i = 0; i < n; i++)
			buffer_add_str(&text, "\xe2\x98\x83");
		buffer_add_str(&text, "\"}}");
		assert_int_equal(body_of("query", buffer_text(&text), &body, &problem),
		    n == 70 ? OK : ERR_VALUE);
		proto_wipe(body);
	}
	assert_string_equal(problem.path, "permit.number");
	buffer_release(&text);
}

static void
test_reply_fields_go_with_their_outcome(void **state)
{
	static const struct row rows[] = {
		{ "reply", "{\"outcome\":\"not-issued\"}", OK, "" },
		{ "reply", "{\"outcome\":\"MATCHES\"}", OK, "" },
		{ "reply", "{}", ERR_VALUE, "outcome" },
		{ "reply", "{\"outcome\":\"valid\"}", ERR_VALUE, "outcome" },
		{ "reply", "{\"outcome\":\"differs\"}", ERR_VALUE, "differing.box" },
		{ "reply", "{\"outcome\":\"differs\",\"differing\":{}}", ERR_VALUE,
		    "differing.box" },
		{ "reply",
		    "{\"outcome\":\"differs\",\"differing\":{\"box\":\"11\",\"ours\":\"2\"}}", OK,
		    "" },
		{ "reply", "{\"outcome\":\"matches\",\"differing\":{\"box\":\"11\"}}", ERR_VALUE,
		    "differing.box" },
		{ "reply", "{\"outcome\":\"cancelled\",\"replaced_by\":\"KE 2\"}", OK, "" },
		{ "reply", "{\"outcome\":\"matches\",\"replaced_by\":\"KE 2\"}", ERR_VALUE,
		    "replaced_by" },
		{ "reply", "{\"outcome\":\"cannot-tell\",\"expected\":\"2026-12-20\"}", OK, "" },
		{ "reply", "{\"outcome\":\"cannot-tell\",\"expected\":\"later\"}", ERR_VALUE,
		    "expected" },
		{ "reply", "{\"outcome\":\"matches\",\"expected\":\"2026-12-20\"}", ERR_VALUE,
		    "expected" },
	};

	(void)state;
	try_rows(rows, COUNT(rows));
}

static void
test_interim_alert_closing_and_case_demand_their_fields(void **state)
{
	static const struct row rows[] = {
		{ "interim", "{\"until\":\"2026-12-20\"}", OK, "" },
		{ "interim", "{}", ERR_VALUE, "until" },
		{ "interim", "{\"until\":\"20.12.2026\"}", ERR_VALUE, "until" },
		{ "interim", "{\"until\":\"2026-12\"}", ERR_VALUE, "until" },
		{ "closing", "{\"outcome\":\"refused-import\"}", OK, "" },
		{ "closing", "{\"outcome\":\"other\"}", ERR_VALUE, "text" },
		{ "closing", "{\"outcome\":\"other\",\"text\":\"x\"}", OK, "" },
		{ "fraud", "{}", ERR_VALUE, "text" },
		{ "fraud", "{\"fraud\":\"stolen-form\"}", ERR_VALUE, "text" },
		{ "fraud", "{\"text\":\" \\n\"}", ERR_VALUE, "text" },
		{ "fraud", "{\"permit\":{\"number\":\"KE 1\"}}", OK, "" },
		{ "fraud", "{\"lines\":{\"species\":\"Panthera pardus\"}}", OK, "" },
		{ "fraud", "{\"fraud\":\"stolen-form\",\"serials\":{\"first\":\"A1\"}}", OK, "" },
		{ "fraud", "{\"serials\":{\"last\":\"A9\"}}", ERR_VALUE, "serials.first" },
		{ "fraud", "{\"permit\":{\"valid_until\":\"never\"}}", ERR_VALUE,
		    "permit.valid_until" },
		{ "alert", "{\"text\":\"x\",\"serials\":{\"last\":\"A9\"}}", ERR_VALUE,
		    "serials.first" },
		{ "case", "{\"title\":\"T\",\"contents\":\"x\",\"date\":\"2026-03\"}", OK, "" },
		{ "case", "{\"title\":\"T\"}", ERR_VALUE, "text" },
		{ "case", "{\"title\":\"T\",\"text\":\"x\",\"date\":\"March\"}", ERR_VALUE,
		    "date" },
		{ "case", "{\"title\":\"T\",\"text\":\"x\",\"source_grade\":\"A\"}", ERR_VALUE,
		    "scheme" },
		{ "case", "{\"title\":\"T\",\"text\":\"x\",\"scheme\":\"4x4\"}", ERR_VALUE,
		    "source_grade" },
		{ "case",
		    "{\"title\":\"T\",\"text\":\"x\",\"scheme\":\"4x4\",\"source_grade\":\"A\"}",
		    ERR_VALUE, "information_grade" },
		{ "case",
		    "{\"title\":\"T\",\"text\":\"x\",\"scheme\":\"4x4\",\"source_grade\":\"A\","
		    "\"information_grade\":\"1\"}",
		    OK, "" },
		{ "case",
		    "{\"title\":\"T\",\"text\":\"x\",\"scheme\":\"4x4\",\"source_grade\":\"D\","
		    "\"information_grade\":\"1\"}",
		    ERR_VALUE, "source_grade" },
		{ "case",
		    "{\"title\":\"T\",\"text\":\"x\",\"scheme\":\"3x5x2\","
		    "\"source_grade\":\"2\",\"information_grade\":\"E\"}",
		    OK, "" },
		{ "case", "{\"title\":\"T\",\"text\":\"x\",\"onward\":\"ask-me\"}", OK, "" },
	};

	(void)state;
	try_rows(rows, COUNT(rows));
}

/* Conf. 11.3, 3(c): `cannot tell yet' is no answer; the clock runs on. */
static void
test_reply_cannot_tell_does_not_end_the_wait(void **state)
{
	static const struct {
		const char *outcome;
		bool final;
	} rows[] = { { "matches", true }, { "not-issued", true }, { "cancelled", true },
		{ "expired-or-exhausted", true }, { "declined", true }, { "cannot-tell", false } };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buffer text = { 0 };
		struct kind_problem problem;
		ProtobufCMessage *body;

		buffer_printf(&text, "{\"outcome\":\"%s\"}", rows[i].outcome);
		assert_int_equal(body_of("reply", buffer_text(&text), &body, &problem), OK);
		assert_int_equal(kind_by_name("reply")->is_final(body), rows[i].final);
		proto_wipe(body);
		buffer_release(&text);
	}
}

static void
test_interim_until_is_the_end_of_its_day(void **state)
{
	struct kind_problem problem;
	ProtobufCMessage *body;

	(void)state;
	assert_int_equal(body_of("interim", "{\"until\":\"2026-12-20\"}", &body, &problem), OK);
	assert_int_equal(kind_by_name("interim")->until(body), 1797811199999);
	proto_wipe(body);
}

/* Conf. 11.3, 23(b): somebody states that it endangers no investigation. */
static void
test_case_goes_to_the_secretariat_only_with_a_release(void **state)
{
	const struct kind *k = kind_by_name("case");
	struct kind_problem problem;
	ProtobufCMessage *body;

	(void)state;
	assert_int_equal(body_of("case", "{\"title\":\"T\",\"text\":\"x\"}", &body, &problem), OK);
	assert_int_equal(kind_check_addressee(k, body, ROLE_ENFORCEMENT, &problem), OK);
	assert_int_equal(
	    kind_check_addressee(k, body, ROLE_SECRETARIAT | ROLE_MANAGEMENT, &problem), ERR_VALUE);
	assert_string_equal(problem.path, "release");
	assert_int_equal(kind_set_release(k, body, "Head of unit", &problem), OK);
	assert_int_equal(kind_check_addressee(k, body, ROLE_SECRETARIAT, &problem), OK);
	assert_int_equal(kind_set_release(kind_by_name("fraud"), body, "x", &problem), ERR_VALUE);
	proto_wipe(body);
	assert_int_equal(
	    body_of("case", "{\"title\":\"T\",\"text\":\"x\",\"release\":\"Head of unit\"}", &body,
		&problem),
	    OK);
	assert_int_equal(kind_check_addressee(k, body, ROLE_SECRETARIAT, &problem), OK);
	assert_int_equal(
	    kind_check_addressee(kind_by_name("fraud"), body, ROLE_SECRETARIAT, &problem), OK);
	proto_wipe(body);
}

static void
test_query_warns_of_what_looks_wrong_and_takes_it(void **state)
{
	static const struct {
		const char *boxes, *path; /* of the only warning; "" none */
	} rows[] = {
		{ "\"permit\":{\"number\":\"1\",\"type\":\"E\",\"issue_date\":\"2026-01-31\","
		  "\"valid_until\":\"2026-07-31\"}",
		    "" },
		{ "\"permit\":{\"number\":\"1\",\"type\":\"E\",\"issue_date\":\"2026-01-30\","
		  "\"valid_until\":\"2026-07-31\"}",
		    "permit.valid_until" },
		{ "\"permit\":{\"number\":\"1\",\"type\":\"I\",\"issue_date\":\"2026-01-31\","
		  "\"valid_until\":\"2027-01-31\"}",
		    "" },
		{ "\"permit\":{\"number\":\"1\",\"type\":\"I\",\"issue_date\":\"2026-01-31\","
		  "\"valid_until\":\"2027-02-01\"}",
		    "permit.valid_until" },
		{ "\"permit\":{\"number\":\"1\",\"issue_date\":\"2026-03-01\","
		  "\"valid_until\":\"2026-02-01\"}",
		    "permit.valid_until" },
		{ "\"permit\":{\"number\":\"1\",\"type\":\"O\"}", "permit.type_words" },
		{ "\"permit\":{\"number\":\"1\",\"importer_country\":\"GB\","
		  "\"exporter_country\":\"GB\"}",
		    "permit.exporter_country" },
		{ "\"permit\":{\"number\":\"1\"},\"lines\":{\"source\":\"U\"}", "lines.source" },
		{ "\"permit\":{\"number\":\"1\"},\"lines\":{\"source\":\"U\","
		  "\"description\":\"found in a museum\"}",
		    "" },
		{ "\"permit\":{\"number\":\"1\"},\"lines\":{\"source\":\"D\"}", "lines.operation" },
		{ "\"permit\":{\"number\":\"1\"},\"lines\":{\"source\":\"D\",\"operation\":\"7\","
		  "\"appendix\":\"II\"}",
		    "lines.source" },
		{ "\"permit\":{\"number\":\"1\"},\"lines\":{\"source\":\"W\","
		  "\"second_source\":\"C\"}",
		    "lines.second_source" },
		{ "\"permit\":{\"number\":\"1\"},\"lines\":{\"source\":\"W\","
		  "\"second_source\":\"I\"}",
		    "" },
		{ "\"permit\":{\"number\":\"1\"},\"lines\":{\"source\":\"O\"}",
		    "lines.acquisition_date" },
		{ "\"permit\":{\"number\":\"1\"},\"lines\":{\"quota\":\"10\",\"quota_used\":\"10."
		  "5\"}",
		    "lines.quota_used" },
		{ "\"permit\":{\"number\":\"1\"},\"lines\":{\"quantity\":\"2\","
		  "\"exported_quantity\":\"3\"}",
		    "lines.exported_quantity" },
	};
	const struct kind *k = kind_by_name("query");

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buffer text = { 0 };
		struct kind_problem problem, warnings[4] = { 0 };
		ProtobufCMessage *body;
		size_t n;

		buffer_printf(&text, "{%s,\"reason\":\"ROUTINE\"}", rows[i].boxes);
		assert_int_equal(body_of("query", buffer_text(&text), &body, &problem), OK);
		n = k->warn(body, warnings, COUNT(warnings));
		if (n != (rows[i].path[0] != '\0') || strcmp(warnings[0].path, rows[i].path) != 0)
			fail_msg("%s: %zu, %s", rows[i].boxes, n, warnings[0].path);
		assert_int_equal(k->warn(body, warnings, 0), 0);
		proto_wipe(body);
		buffer_release(&text);
	}
}

static void
test_kind_decode_takes_codes_only_not_words(void **state)
{
	static const char *const outcomes[] = { "not-issued", "notissued", "NOTISSUED" };
	const struct kind *k = kind_by_name("reply");

	(void)state;
	for (size_t i = 0; i < COUNT(outcomes); i++) {
		struct buffer body = { 0 };
		struct kind_problem problem;
		ProtobufCMessage *m;

		buffer_add_u8(&body, 0x0a); /* Reply.outcome */
		buffer_add_u8(&body, (uint8_t)strlen(outcomes[i]));
		buffer_add_str(&body, outcomes[i]);
		assert_int_equal(
		    kind_decode(k, buffer_bytes(&body), &m, &problem), i == 2 ? OK : ERR_VALUE);
		proto_wipe(m);
		buffer_release(&body);
	}
}

static enum err
decode_note_of(size_t len, struct kind_problem *problem)
{
	Citex__Note note = CITEX__NOTE__INIT;
	struct buffer packed = { 0 };
	ProtobufCMessage *m;
	enum err e;

	note.text = xalloc(len + 1);
	memset(note.text, 'x', len);
	proto_pack(&note.base, &packed);
	e = kind_decode(kind_by_name("note"), buffer_bytes(&packed), &m, problem);
	proto_wipe(m);
	free(note.text);
	buffer_release(&packed);
	return e;
}

static void
test_kind_text_of_the_largest_length_passes_and_one_more_does_not(void **state)
{
	struct kind_problem problem;

	(void)state;
	assert_int_equal(decode_note_of(TEXT_MAX_BYTES, &problem), OK);
	assert_int_equal(decode_note_of(TEXT_MAX_BYTES + 1, &problem), ERR_TOO_LARGE);
	assert_string_equal(problem.path, "text");
}

/* A case of LEN bytes in all, in three texts. */
static enum err
decode_case_of(size_t len, struct kind_problem *problem)
{
	Citex__Case c = CITEX__CASE__INIT;
	struct buffer packed = { 0 };
	ProtobufCMessage *m;
	size_t overhead = 3 + 4 + 5; /* title; contents; text, whose tag takes two bytes */
	size_t first = TEXT_MAX_BYTES, second = len - overhead - first;
	enum err e;

	c.title = "T";
	c.contents = xalloc(first + 1);
	memset(c.contents, 'x', first);
	c.text = xalloc(second + 1);
	memset(c.text, 'y', second);
	proto_pack(&c.base, &packed);
	assert_int_equal(packed.len, len);
	e = kind_decode(kind_by_name("case"), buffer_bytes(&packed), &m, problem);
	proto_wipe(m);
	free(c.contents);
	free(c.text);
	buffer_release(&packed);
	return e;
}

static void
test_kind_body_of_the_largest_length_passes_and_one_more_does_not(void **state)
{
	struct kind_problem problem;

	(void)state;
	assert_int_equal(decode_case_of(CONTENT_MAX_BYTES, &problem), OK);
	assert_int_equal(decode_case_of(CONTENT_MAX_BYTES + 1, &problem), ERR_TOO_LARGE);
	assert_string_equal(problem.path, "");
}

static void
test_kind_decode_refuses_what_is_no_body(void **state)
{
	struct kind_problem problem;
	ProtobufCMessage *m;

	(void)state;
	assert_int_equal(
	    kind_decode(kind_by_name("note"), bytes_str("\xff\xff"), &m, &problem), ERR_MALFORMED);
	assert_null(m);
	assert_string_equal(problem.words, "is not of the form of a note");
}

static void
test_kind_subject_is_one_clean_line(void **state)
{
	static const struct {
		const char *kind, *body, *subject;
	} rows[] = {
		{ "query",
		    "{" PERMIT
		    ",\"lines\":[{\"species\":\"Panthera pardus\"},{\"species\":\"x\"}]}",
		    "KE 2026/0417 Panthera pardus" },
		{ "query", "{" PERMIT "}", "KE 2026/0417" },
		{ "interim", "{\"until\":\"2026-12-20\",\"text\":\"asking\"}",
		    "2026-12-20 asking" },
		{ "reply", "{\"outcome\":\"NOTISSUED\"}", "not-issued" },
		{ "closing", "{\"outcome\":\"refused-import\"}", "refused-import" },
		{ "fraud", "{\"text\":\"forged\"}", "forged" },
		{ "fraud", "{\"serials\":{\"first\":\"A1\"}}", "" },
		{ "alert", "{\"text\":\"a\\nb\\u001b[31m\\u009b\\u007f\"}", "a b [31m  " },
		{ "case", "{\"title\":\"Skins\",\"text\":\"x\"}", "Skins" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct kind_problem problem;
		ProtobufCMessage *body;
		char subject[KIND_SUBJECT_BYTES];

		assert_int_equal(body_of(rows[i].kind, rows[i].body, &body, &problem), OK);
		kind_subject(kind_by_name(rows[i].kind), body, subject);
		assert_string_equal(subject, rows[i].subject);
		proto_wipe(body);
	}
}

static void
test_kind_subject_is_cut_between_characters(void **state)
{
	(void)state;
	for (size_t lead = 0; lead < 8; lead++) {
		struct buffer text = { 0 };
		struct kind_problem problem;
		ProtobufCMessage *body;
		char subject[KIND_SUBJECT_BYTES];

		buffer_printf(&text, "{\"text\":\"%.*s", (int)lead, "abcdefgh");
		for (size_t i = 0; i < 80; i++)
			buffer_add_str(&text, i % 2 == 0 ? "\xf0\x9f\x90\x86" : "\xc3\xa9");
		buffer_add_str(&text, "\"}");
		assert_int_equal(body_of("note", buffer_text(&text), &body, &problem), OK);
		kind_subject(kind_by_name("note"), body, subject);
		assert_in_range(strlen(subject), KIND_SUBJECT_BYTES - 4, KIND_SUBJECT_BYTES - 1);
		assert_true(utf8_is_valid(bytes_str(subject)));
		proto_wipe(body);
		buffer_release(&text);
	}
}

static void
test_kind_text_finds_the_first_that_is_there(void **state)
{
	struct kind_problem problem;
	ProtobufCMessage *body;

	(void)state;
	assert_int_equal(
	    body_of("query",
		"{" PERMIT ",\"lines\":[{},{\"species\":\"second\"},{\"species\":\"x\"}]}", &body,
		&problem),
	    OK);
	assert_string_equal(kind_text(body, "lines.species"), "second");
	assert_string_equal(kind_text(body, "reason"), "ROUTINE");
	assert_string_equal(kind_text(body, "text"), "");
	assert_string_equal(kind_text(body, "permit"), "");
	assert_string_equal(kind_text(body, "no.such.field"), "");
	proto_wipe(body);
}

static void
test_roles_are_the_words_of_the_directory(void **state)
{
	static const char *const words[] = { "management", "scientific", "enforcement",
		"secretariat", "committee", "partner" };
	unsigned all = 0;

	(void)state;
	for (size_t i = 0; i < COUNT(words); i++) {
		assert_int_equal(all & role_from_word(words[i]), 0);
		all |= role_from_word(words[i]);
	}
	assert_int_equal(all, ROLE_ANY);
	assert_int_equal(role_from_word("police"), 0);
	assert_int_equal(role_from_word(""), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_query_needs_a_number_and_a_reason_and_good_boxes),
		cmocka_unit_test(test_permit_number_of_70_characters_passes_and_71_does_not),
		cmocka_unit_test(test_reply_fields_go_with_their_outcome),
		cmocka_unit_test(test_interim_alert_closing_and_case_demand_their_fields),
		cmocka_unit_test(test_reply_cannot_tell_does_not_end_the_wait),
		cmocka_unit_test(test_interim_until_is_the_end_of_its_day),
		cmocka_unit_test(test_case_goes_to_the_secretariat_only_with_a_release),
		cmocka_unit_test(test_query_warns_of_what_looks_wrong_and_takes_it),
		cmocka_unit_test(test_kind_decode_takes_codes_only_not_words),
		cmocka_unit_test(test_kind_text_of_the_largest_length_passes_and_one_more_does_not),
		cmocka_unit_test(test_kind_body_of_the_largest_length_passes_and_one_more_does_not),
		cmocka_unit_test(test_kind_decode_refuses_what_is_no_body),
		cmocka_unit_test(test_kind_subject_is_one_clean_line),
		cmocka_unit_test(test_kind_subject_is_cut_between_characters),
		cmocka_unit_test(test_kind_text_finds_the_first_that_is_there),
		cmocka_unit_test(test_roles_are_the_words_of_the_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
