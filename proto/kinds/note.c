/* SPDX-License-Identifier: Apache-2.0 */
/* Free text within any exchange; it starts, moves and stops no clock. */
#include "proto/kinds/note.pb-c.h"

#include "proto/kind.h"

static enum err
note_check(const ProtobufCMessage *body, struct kind_problem *problem)
{
	return check_needed(((const Citex__Note *)body)->text, "text", problem);
}

const struct kind kind_note = {
	.code = 8,
	.name = "note",
	.version = 1,
	.verb = "note",
	.summary = N_("write free text within an exchange"),
	.body = &citex__note__descriptor,
	.may_send = ROLE_ANY,
	.may_receive = ROLE_ANY,
	.argument = TO_MESSAGE,
	.effect = EFFECT_NONE,
	.answers = { "note" },
	.handling = "AMBER",
	.subject = "text",
	.paragraph = "Conf. 11.3, 14",
	.check = note_check,
};
