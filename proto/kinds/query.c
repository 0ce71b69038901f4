/* SPDX-License-Identifier: Apache-2.0 */
/* A query: is this document yours, and is it in order? Conf. 11.3, 3(a) asks
 * for it as soon as there is reason to believe that something is wrong; 3(c)
 * gives the Management Authority two weeks. Enforcement agencies ask too
 * (12(a)(iv)), but only a Management Authority answers for a permit. */
#include "proto/kinds/query.pb-c.h"

#include <string.h>

#include "proto/kinds/permit.h"

static enum err
query_check(const ProtobufCMessage *body, struct kind_problem *problem)
{
	const Citex__Query *q = (const Citex__Query *)body;
	enum err e;

	if (q->permit == NULL || q->permit->number[0] == '\0')
		return problem_set(problem, "permit.number", "is needed");
	if (q->n_reason == 0)
		return problem_set(problem, "reason", "is needed");
	for (size_t i = 0; i < q->n_reason; i++) {
		e = check_needed(q->reason[i], "reason", problem);
		if (e != OK)
			return e;
		if (strcmp(q->reason[i], "OTHER") == 0 && q->text[0] == '\0')
			return problem_set(problem, "text", "is needed with the reason `other'");
	}
	e = permit_check(q->permit, problem);
	if (e != OK)
		return e;
	e = lines_check(q->lines, q->n_lines, problem);
	if (e != OK)
		return e;
	return check_date(q->presented_date, "presented_date", problem);
}

static size_t
query_warn(const ProtobufCMessage *body, struct kind_problem *warnings, size_t max)
{
	const Citex__Query *q = (const Citex__Query *)body;
	size_t count = 0;

	permit_warn(q->permit, warnings, max, &count);
	lines_warn(q->lines, q->n_lines, warnings, max, &count);
	return count;
}

const struct kind kind_query = {
	.code = 1,
	.name = "query",
	.version = 1,
	.verb = "ask",
	.summary = N_("ask the issuer whether a permit is genuine"),
	.body = &citex__query__descriptor,
	.may_send = ROLE_MANAGEMENT | ROLE_ENFORCEMENT,
	.may_receive = ROLE_MANAGEMENT,
	.argument = TO_AUTHORITIES,
	.effect = EFFECT_ASKS,
	.answers = { "reply", "interim", "closing", "note" },
	.clock = "reply",
	.handling = "AMBER",
	.subject = "permit.number lines.species",
	.paragraph = "Conf. 11.3, 3(a)(i) and 3(c)",
	.codes = {
		{ "reason", "query_reasons" },
		{ "missing", "boxes" },
		{ "measure", "closings" },
		{ "transport_mode", "transport_modes" },
		PERMIT_CODES,
		LINE_CODES,
	},
	.check = query_check,
	.warn = query_warn,
};
