/* SPDX-License-Identifier: Apache-2.0 */
/* What became of it. Conf. 11.3, 3(a)(i): both sides inform each other of
 * control measures, so who asked owes the outcome. The decision stays with the
 * authority of import; the message records it. */
#include "proto/kinds/closing.pb-c.h"

#include <string.h>

#include "proto/kind.h"

static enum err
closing_check(const ProtobufCMessage *body, struct kind_problem *problem)
{
	const Citex__Closing *c = (const Citex__Closing *)body;
	enum err e = check_needed(c->outcome, "outcome", problem);

	if (e != OK)
		return e;
	if (strcmp(c->outcome, "OTHER") == 0 && c->text[0] == '\0')
		return problem_set(problem, "text", "is needed with the outcome `other'");
	return OK;
}

const struct kind kind_closing = {
	.code = 4,
	.name = "closing",
	.version = 1,
	.verb = "close",
	.summary = N_("close an exchange and say what became of it"),
	.body = &citex__closing__descriptor,
	.may_send = ROLE_MANAGEMENT | ROLE_ENFORCEMENT | ROLE_SECRETARIAT,
	.may_receive = ROLE_MANAGEMENT | ROLE_ENFORCEMENT | ROLE_SECRETARIAT | ROLE_PARTNER,
	.argument = TO_EXCHANGE,
	.effect = EFFECT_CLOSES,
	.answers = { "note" },
	.handling = "AMBER",
	.subject = "outcome text",
	.paragraph = "Conf. 11.3, 3(a)(i)",
	.codes = { { "outcome", "closings" } },
	.check = closing_check,
};
