/* SPDX-License-Identifier: Apache-2.0 */
/* The answer to a query. Conf. 11.3, 3(c). Which outcomes end the wait stands in
 * outcomes.csv: `cannot tell yet' does not. */
#include "proto/kinds/reply.pb-c.h"

#include <string.h>

#include "proto/codes.h"
#include "proto/ids.h"
#include "proto/kind.h"
#include "proto/kinds/permit.h"

static enum err
check_differing(const Citex__Reply *r, struct kind_problem *problem)
{
	bool differs = strcmp(r->outcome, "DIFFERS") == 0;

	if (differs && r->n_differing == 0)
		return problem_set(problem, "differing.box",
		    "is needed with the outcome `differs': which boxes differ");
	if (!differs && r->n_differing > 0)
		return problem_set(
		    problem, "differing.box", "goes with the outcome `differs' only");
	for (size_t i = 0; i < r->n_differing; i++) {
		enum err e = check_needed(r->differing[i]->box, "differing.box", problem);
		if (e != OK)
			return e;
	}
	return OK;
}

static enum err
reply_check(const ProtobufCMessage *body, struct kind_problem *problem)
{
	const Citex__Reply *r = (const Citex__Reply *)body;
	enum err e = check_needed(r->outcome, "outcome", problem);

	if (e != OK)
		return e;
	e = check_differing(r, problem);
	if (e != OK)
		return e;
	if (r->replaced_by[0] != '\0' && strcmp(r->outcome, "CANCELLED") != 0)
		return problem_set(
		    problem, "replaced_by", "goes with the outcome `cancelled' only");
	e = check_length(r->replaced_by, PERMIT_NUMBER_MAX_CHARACTERS, "replaced_by", problem);
	if (e != OK)
		return e;
	if (r->expected[0] != '\0' && strcmp(r->outcome, "CANNOTTELL") != 0)
		return problem_set(problem, "expected", "goes with the outcome `cannot-tell' only");
	return check_date(r->expected, "expected", problem);
}

/* Towards another Management Authority an indication suffices (3(c)): a date is
 * expected, not needed. */
static size_t
reply_warn(const ProtobufCMessage *body, struct kind_problem *warnings, size_t max)
{
	const Citex__Reply *r = (const Citex__Reply *)body;
	size_t count = 0;

	if (strcmp(r->outcome, "CANNOTTELL") == 0 && r->expected[0] == '\0')
		problem_add(warnings, max, &count, "expected", "should say when it can be told");
	if (strcmp(r->outcome, "DECLINED") == 0 && r->text[0] == '\0')
		problem_add(warnings, max, &count, "text", "should say why, where the law allows");
	return count;
}

static bool
reply_is_final(const ProtobufCMessage *body)
{
	const struct code_list *outcomes = codes_find("outcomes");
	const struct code *row = code_find(outcomes, ((const Citex__Reply *)body)->outcome);

	return row != NULL && strcmp(code_value(outcomes, row, "stops_clock"), "yes") == 0;
}

static int64_t
reply_until(const ProtobufCMessage *body)
{
	int64_t utc_ms;

	if (date_parse_end(((const Citex__Reply *)body)->expected, &utc_ms) != OK)
		return 0;
	return utc_ms;
}

const struct kind kind_reply = {
	.code = 3,
	.name = "reply",
	.version = 1,
	.verb = "answer",
	.summary = N_("answer a query about a permit"),
	.body = &citex__reply__descriptor,
	.may_send = ROLE_MANAGEMENT,
	.may_receive = ROLE_MANAGEMENT | ROLE_ENFORCEMENT,
	.argument = TO_MESSAGE,
	.effect = EFFECT_ANSWERS,
	.answers = { "closing", "note" },
	.handling = "AMBER",
	.subject = "outcome text",
	.paragraph = "Conf. 11.3, 3(c)",
	.codes = {
		{ "outcome", "outcomes" },
		{ "differing.box", "boxes" },
	},
	.check = reply_check,
	.warn = reply_warn,
	.is_final = reply_is_final,
	.until = reply_until,
};
