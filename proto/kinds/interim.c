/* SPDX-License-Identifier: Apache-2.0 */
/* An interim answer: more time is needed, and until when. Conf. 11.3, 3(c) asks
 * for it within the two weeks. It moves the clock and never stops it. */
#include "proto/kinds/interim.pb-c.h"

#include "proto/ids.h"
#include "proto/kind.h"

static enum err
interim_check(const ProtobufCMessage *body, struct kind_problem *problem)
{
	const Citex__Interim *i = (const Citex__Interim *)body;
	enum err e = check_needed(i->until, "until", problem);

	return e != OK ? e : check_date(i->until, "until", problem);
}

static int64_t
interim_until(const ProtobufCMessage *body)
{
	int64_t utc_ms;

	if (date_parse_end(((const Citex__Interim *)body)->until, &utc_ms) != OK)
		return 0;
	return utc_ms;
}

const struct kind kind_interim = {
	.code = 2,
	.name = "interim",
	.version = 1,
	.verb = "interim",
	.summary = N_("say that more time is needed, and until when"),
	.body = &citex__interim__descriptor,
	.may_send = ROLE_MANAGEMENT,
	.may_receive = ROLE_MANAGEMENT | ROLE_ENFORCEMENT,
	.argument = TO_MESSAGE,
	.effect = EFFECT_EXTENDS,
	.answers = { "note", "closing" },
	.handling = "AMBER",
	.subject = "until text",
	.paragraph = "Conf. 11.3, 3(c)",
	.check = interim_check,
	.until = interim_until,
};
