/* SPDX-License-Identifier: Apache-2.0 */
/* The Secretariat's warning of a false document. Conf. 11.3, 24: it passes on
 * promptly what it was told; nobody else may speak to everybody. */
#include "proto/kinds/alert.pb-c.h"

#include "proto/kinds/permit.h"

static enum err
alert_check(const ProtobufCMessage *body, struct kind_problem *problem)
{
	const Citex__Alert *a = (const Citex__Alert *)body;
	enum err e = check_needed(a->text, "text", problem);

	if (e != OK)
		return e;
	e = permit_check(a->permit, problem);
	if (e != OK)
		return e;
	e = lines_check(a->lines, a->n_lines, problem);
	for (size_t i = 0; e == OK && i < a->n_serials; i++)
		e = check_needed(a->serials[i]->first, "serials.first", problem);
	return e;
}

const struct kind kind_alert = {
	.code = 6,
	.name = "alert",
	.version = 1,
	.verb = "alert",
	.summary = N_("warn authorities of a false document"),
	.body = &citex__alert__descriptor,
	.may_send = ROLE_SECRETARIAT,
	.may_receive = ROLE_ANY,
	.argument = TO_DEFAULT,
	.effect = EFFECT_NONE,
	.answers = { "note" },
	.handling = "GREEN",
	.subject = "title permit.number lines.species",
	.takes_over = { "permit", "lines", "fraud", "serials" },
	.paragraph = "Conf. 11.3, 3(d) and 24",
	.codes = {
		{ "fraud", "fraud_kinds" },
		PERMIT_CODES,
		LINE_CODES,
	},
	.check = alert_check,
};
