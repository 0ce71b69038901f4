/* SPDX-License-Identifier: Apache-2.0 */
/* A case or a piece of intelligence. Conf. 11.3, 14: exchange of intelligence
 * between authorities; 23(b): significant cases to the Secretariat, behind a
 * release gate (kind_check_addressee()). Grades are codes of the scheme that the
 * sender uses, and are never converted. */
#include "proto/kinds/case.pb-c.h"

#include <stdio.h>
#include <string.h>

#include "proto/codes.h"
#include "proto/kinds/permit.h"

/* GRADE is a code of `handling.SCHEME.AXIS'. */
static enum err
check_grade(const char *scheme, const char *axis, const char *grade, const char *path,
    struct kind_problem *problem)
{
	char list[64];
	const struct code_list *grades;
	const struct code *row;

	snprintf(list, sizeof(list), "handling.%s.%s", scheme, axis);
	grades = codes_find(list);
	row = grades == NULL ? NULL : code_find(grades, grade);
	if (row == NULL || strcmp(row->code, grade) != 0)
		return problem_set(
		    problem, path, "`%.20s' is no grade of the scheme %.20s", grade, scheme);
	return OK;
}

/* Source and information are graded together or not at all. */
static enum err
check_grading(const Citex__Case *c, struct kind_problem *problem)
{
	enum err e;

	if (c->scheme[0] == '\0') {
		if (c->source_grade[0] != '\0' || c->information_grade[0] != '\0')
			return problem_set(problem, "scheme", "is needed with a grade");
		return OK;
	}
	e = check_needed(c->source_grade, "source_grade", problem);
	if (e != OK)
		return e;
	e = check_needed(c->information_grade, "information_grade", problem);
	if (e != OK)
		return e;
	e = check_grade(c->scheme, "source", c->source_grade, "source_grade", problem);
	if (e != OK)
		return e;
	return check_grade(
	    c->scheme, "information", c->information_grade, "information_grade", problem);
}

static enum err
case_check(const ProtobufCMessage *body, struct kind_problem *problem)
{
	const Citex__Case *c = (const Citex__Case *)body;
	enum err e = check_needed(c->title, "title", problem);

	if (e != OK)
		return e;
	if (c->text[0] == '\0' && c->contents[0] == '\0')
		return problem_set(problem, "text", "is needed, or `contents'");
	e = check_partial_date(c->date, "date", problem);
	if (e != OK)
		return e;
	e = permit_check(c->permit, problem);
	if (e != OK)
		return e;
	e = lines_check(c->lines, c->n_lines, problem);
	return e != OK ? e : check_grading(c, problem);
}

static size_t
case_warn(const ProtobufCMessage *body, struct kind_problem *warnings, size_t max)
{
	const Citex__Case *c = (const Citex__Case *)body;
	size_t count = 0;

	if (c->scheme[0] == '\0')
		problem_add(
		    warnings, max, &count, "scheme", "source and information are not graded");
	if (c->source_ref[0] != '\0' && !c->sanitised)
		problem_add(warnings, max, &count, "sanitised",
		    "is not set: does the text lead to the source?");
	lines_warn(c->lines, c->n_lines, warnings, max, &count);
	return count;
}

#define CASE_SENDERS (ROLE_MANAGEMENT | ROLE_ENFORCEMENT | ROLE_SECRETARIAT | ROLE_PARTNER)

const struct kind kind_case = {
	.code = 7,
	.name = "case",
	.version = 1,
	.verb = "share",
	.summary = N_("share a case under a handling restriction"),
	.body = &citex__case__descriptor,
	.may_send = CASE_SENDERS,
	.may_receive = CASE_SENDERS,
	.argument = TO_AUTHORITIES,
	.effect = EFFECT_NONE,
	.answers = { "note", "closing" },
	.handling = "AMBER+STRICT",
	.subject = "title",
	.release = "release",
	.paragraph = "Conf. 11.3, 14 and 23(b)",
	.codes = {
		{ "country", "countries" },
		{ "transport_mode", "transport_modes" },
		{ "scheme", "grading_schemes" },
		{ "onward", "releases" },
		PERMIT_CODES,
		LINE_CODES,
	},
	.check = case_check,
	.warn = case_warn,
};
