/* SPDX-License-Identifier: Apache-2.0 */
/* A false document was presented. Conf. 11.3, 3(e): tell the Secretariat and
 * the other Parties involved; 3(d): the Secretariat tells the Party named as
 * issuer. The Secretariat does not see the message that this one is about, so
 * what is known of the document must stand here. */
#include "proto/kinds/fraud.pb-c.h"

#include "proto/kinds/permit.h"

static enum err
fraud_check(const ProtobufCMessage *body, struct kind_problem *problem)
{
	const Citex__Fraud *f = (const Citex__Fraud *)body;
	enum err e = permit_check(f->permit, problem);

	if (e != OK)
		return e;
	if (kind_text(body, "permit.number")[0] == '\0' && f->n_serials == 0 && f->n_lines == 0)
		e = check_needed(f->text, "text", problem);
	if (e != OK)
		return e;
	e = lines_check(f->lines, f->n_lines, problem);
	for (size_t i = 0; e == OK && i < f->n_serials; i++)
		e = check_needed(f->serials[i]->first, "serials.first", problem);
	return e;
}

const struct kind kind_fraud = {
	.code = 5,
	.name = "fraud",
	.version = 1,
	.verb = "report-fraud",
	.summary = N_("report a false document to the Secretariat"),
	.body = &citex__fraud__descriptor,
	.may_send = ROLE_MANAGEMENT | ROLE_ENFORCEMENT | ROLE_SECRETARIAT,
	.may_receive = ROLE_MANAGEMENT | ROLE_ENFORCEMENT | ROLE_SECRETARIAT,
	.argument = TO_DEFAULT,
	.default_to = "secretariat",
	.effect = EFFECT_NONE,
	.answers = { "note", "closing" },
	.handling = "AMBER",
	.subject = "permit.number lines.species fraud",
	.takes_over = { "permit", "lines", "fraud", "serials" },
	.paragraph = "Conf. 11.3, 3(d) and 3(e)",
	.codes = {
		{ "fraud", "fraud_kinds" },
		PERMIT_CODES,
		LINE_CODES,
	},
	.check = fraud_check,
};
