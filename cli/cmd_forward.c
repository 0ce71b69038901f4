/* SPDX-License-Identifier: Apache-2.0 */
/* Passing a message on, and calling one back while it still waits here.
 * Whether handling allows it is the office's judgement. */
#include "cli/send.h"
#include "cli/words.h"

const struct option_row forward_options[] = {
	{ "id", 0, "ID",
	    N_("the new message's id: the same command given again sends nothing twice"), false },
	{ "release", 0, "WORDS",
	    N_("who states that it endangers no investigation and exposes no covert technique: a "
	       "case needs it before it goes to the Secretariat"),
	    false },
	{ 0 }
};

enum err
cmd_forward(struct call *c)
{
	CLEANUP(client_drop) struct client *client = NULL;
	CLEANUP(proto_wipe_drop) Citex__Answer *answer = NULL;
	Citex__Forward forward = CITEX__FORWARD__INIT;
	Citex__Request r = CITEX__REQUEST__INIT;
	char id[ID_TEXT_BYTES];
	enum err e = send_id(c, id);
	for (size_t i = 1; e == OK && i < c->given.word_count; i++) {
		if (!authority_is_valid(c->given.words[i]))
			e = failure_set(&c->why, ERR_USAGE,
			    _("`%s' is no authority, as ke.ma; see citex directory"),
			    c->given.words[i]);
	}
	if (e == OK)
		e = call_office(c, &client);
	if (e != OK)
		return e;
	forward.id = id;
	forward.message = c->given.words[0];
	forward.to = c->given.words + 1;
	forward.n_to = c->given.word_count - 1;
	if (arguments_has(&c->given, "release"))
		forward.release = (char *)(uintptr_t)arguments_value(&c->given, "release");
	r.what_case = CITEX__REQUEST__WHAT_FORWARD;
	r.forward = &forward;
	e = call_show(c, client, &r, CITEX__ANSWER__WHAT_SUBMITTED, &answer);
	if (answer != NULL)
		send_print(c, answer->submitted, NULL);
	return e;
}

enum err
cmd_withdraw(struct call *c)
{
	CLEANUP(client_drop) struct client *client = NULL;
	CLEANUP(proto_wipe_drop) Citex__Answer *answer = NULL;
	Citex__Withdraw withdraw = CITEX__WITHDRAW__INIT;
	Citex__Request r = CITEX__REQUEST__INIT;
	enum err e = call_office(c, &client);
	if (e != OK)
		return e;
	withdraw.id = c->given.words[0];
	r.what_case = CITEX__REQUEST__WHAT_WITHDRAW;
	r.withdraw = &withdraw;
	e = call_show(c, client, &r, CITEX__ANSWER__WHAT_DONE, &answer);
	if (answer != NULL)
		output_say(&c->out, _("Withdrawn: nobody gets it."));
	return e;
}
