/* SPDX-License-Identifier: Apache-2.0 */
/* citex: the officer's program. The table of commands, and the way from a
 * command line to one of them and to an exit status. --help is printed from
 * the tables; docs/citex.1 is compared with it by tests/checks/. */
#include <locale.h>
#include <langinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/words.h"
#include "config.h"
#include "proto/codes.h"

static const struct command commands[] = {
	{ "forward", cmd_forward, forward_options, N_("ID AUTHORITY…"), 2, 512,
	    N_("pass a message on, when its handling allows it"), GROUP_SEND },
	{ "withdraw", cmd_withdraw, NULL, "ID", 1, 1,
	    N_("call a message back while it still waits here"), GROUP_SEND },
	{ "inbox", cmd_inbox, list_options, "", 0, 0, N_("what has come in; changes nothing"),
	    GROUP_READ },
	{ "show", cmd_show, NULL, "ID", 1, 1, N_("read a message; it is not new afterwards"),
	    GROUP_READ },
	{ "save", cmd_save, save_options, N_("ID --to DIR"), 1, 1,
	    N_("save a message's attachments to a folder"), GROUP_READ },
	{ "sent", cmd_sent, list_options, "", 0, 0, N_("what was sent"), GROUP_READ },
	{ "exchange", cmd_exchange, NULL, "ID", 1, 1,
	    N_("a question with all that answers it, and the proofs"), GROUP_READ },
	{ "track", cmd_track, NULL, "ID", 1, 1, N_("how far a message is, for each addressee"),
	    GROUP_READ },
	{ "due", cmd_due, NULL, "", 0, 0, N_("who owes an answer, and until when"), GROUP_READ },
	{ "search", cmd_search, list_options, N_("TEXT…"), 1, 64, N_("find messages, old ones too"),
	    GROUP_READ },
	{ "wait", cmd_wait, wait_options, "ID", 1, 1,
	    N_("wait until a message is stored, opened or answered"), GROUP_READ },
	{ "watch", cmd_watch, NULL, "", 0, 0, N_("tell of each change as it happens"), GROUP_READ },
	{ "export", cmd_export, export_options, N_("ID -o BUNDLE"), 1, 1,
	    N_("write an exchange with its proofs to a folder"), GROUP_PROVE },
	{ "verify", cmd_verify, verify_options, N_("BUNDLE"), 1, 1,
	    N_("check such a folder; needs no office"), GROUP_PROVE },
	{ "status", cmd_status, NULL, "", 0, 0, N_("how this office is"), GROUP_OFFICE },
	{ "doctor", cmd_doctor, NULL, "", 0, 0,
	    N_("test the way to each other node, and what else can be wrong"), GROUP_OFFICE },
	{ "directory", cmd_directory, NULL, N_("[TEXT]"), 0, 1, N_("whom you can write to"),
	    GROUP_OFFICE },
	{ "codes", cmd_codes, NULL, N_("[LIST]"), 0, 1, N_("the words and codes that options take"),
	    GROUP_OFFICE },
	{ "quarantine", cmd_quarantine, list_options, N_("[list | show ID | retry ID | drop ID]"),
	    0, 2, N_("messages that could not be opened"), GROUP_OFFICE },
	{ "node", cmd_node, NULL, N_("queue [NODE] | flush [NODE] | peers | probe NODE"), 1, 2,
	    N_("for administrators: the post and its peers"), GROUP_ADMIN },
};
#define COMMAND_COUNT (sizeof(commands) / sizeof(*commands))

static const char *
words_of(const struct kind *k)
{
	static const char *const words[] = { [TO_AUTHORITIES] = N_("AUTHORITY…"),
		[TO_MESSAGE] = "ID",
		[TO_EXCHANGE] = "ID",
		[TO_DEFAULT] = N_("[AUTHORITY…]") };
	return words[k->argument];
}

/* The row that all verbs have in common. */
static struct command
verb_of(const struct kind *k)
{
	return (struct command){ .name = k->verb,
		.run = cmd_send,
		.options = send_options,
		.words = words_of(k),
		.words_min = 0,
		.words_max = k->argument == TO_AUTHORITIES || k->argument == TO_DEFAULT ? 512 : 1,
		.summary = k->summary,
		.group = GROUP_SEND };
}

static void
help_row(struct output *o, const char *name, const char *summary)
{
	output_say(o, "  %-12s  %s", name, _(summary));
}

static void
help_all(struct output *o)
{
	static const char *const groups[] = { N_("To write:"), N_("To read:"), N_("To prove:"),
		N_("The office:"), N_("For administrators:") };
	output_say(o, _("citex [-a AUTHORITY] COMMAND …: messages between CITES authorities"));
	for (unsigned group = 0; group < GROUP_COUNT; group++) {
		output_gap(o);
		output_heading(o, _(groups[group]));
		for (size_t i = 0; group == GROUP_SEND && kinds[i] != NULL; i++)
			help_row(o, kinds[i]->verb, kinds[i]->summary);
		for (size_t i = 0; i < COMMAND_COUNT; i++) {
			if (commands[i].group == group)
				help_row(o, commands[i].name, commands[i].summary);
		}
	}
	output_gap(o);
	output_say(
	    o, _("An ID may be shortened. Each command: citex COMMAND --help. All: man citex"));
}

#define HELP_INDENT 38
#define HELP_WIDTH 100

/* Characters of TEXT in UTF-8. */
static size_t
characters(const char *text)
{
	size_t n = 0;
	for (; *text != '\0'; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

/* The last blank within the first ROOM characters of TEXT; 0: none. */
static size_t
break_at(const char *text, size_t room)
{
	size_t blank = 0, n = 0;
	for (size_t i = 0; text[i] != '\0' && n <= room; i++) {
		n += ((unsigned char)text[i] & 0xc0) != 0x80;
		if (text[i] == ' ' && n <= room + 1)
			blank = i;
	}
	return blank;
}

/* TEXT beside NAME, broken at blanks, its further lines under its first. */
static void
help_wrapped(struct output *o, const char *name, const char *text)
{
	const size_t room = HELP_WIDTH - HELP_INDENT;
	if (characters(name) >= HELP_INDENT) {
		output_say(o, "%s", name);
		name = "";
	}
	for (;;) {
		size_t len = characters(text) > room ? break_at(text, room) : 0;
		int gap = (int)(HELP_INDENT - characters(name));
		output_say(
		    o, "%s%*s%.*s", name, gap, "", (int)(len > 0 ? len : strlen(text)), text);
		if (len == 0)
			return;
		name = "";
		text += len + 1;
	}
}

/* ROW's summary is OURS to translate; that of a form is in the officer's language already. */
static void
help_options(struct output *o, const char *heading, const struct option_row *row, bool ours)
{
	if (row == NULL || row->name == NULL)
		return;
	output_gap(o);
	output_heading(o, heading);
	for (; row->name != NULL; row++) {
		CLEANUP(buffer_release) struct buffer name = { 0 };
		CLEANUP(buffer_release) struct buffer text = { 0 };
		if (row->letter != 0)
			buffer_printf(&name, "  -%c, ", row->letter);
		else
			buffer_add_str(&name, "      ");
		buffer_printf(&name, "--%s%s%s", row->name, row->argument != NULL ? " " : "",
		    row->argument != NULL ? _(row->argument) : "");
		buffer_printf(&text, "%s%s", ours ? _(row->summary) : row->summary,
		    row->several ? _(" (several times)") : "");
		help_wrapped(o, buffer_text(&name), buffer_text(&text));
	}
}

static void
help_command(const struct call *call, struct output *o)
{
	const struct command *c = call->command;
	output_say(o, "citex %s %s: %s", c->name, _(c->words), _(c->summary));
	if (call->form != NULL)
		help_options(o, _("What it says:"), form_options(call->form), false);
	help_options(o, _("Options:"), c->options, true);
	help_options(o, _("With every command:"), global_options, true);
}

static const struct command *
command_by_name(const char *name)
{
	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	}
	return NULL;
}

static enum err
check_words(struct call *c)
{
	size_t n = c->given.word_count;
	if (n >= c->command->words_min && n <= c->command->words_max)
		return OK;
	return failure_set(&c->why, ERR_USAGE, _("use: citex %s %s (see citex %s --help)"),
	    c->command->name, _(c->command->words), c->command->name);
}

/* What programs read is the same in each language, the words of a failure too. */
static void
note_json(struct call *c)
{
	c->out.json = arguments_has(&c->given, "json");
	if (c->out.json)
		(void)setlocale(LC_MESSAGES, "C");
}

/* ARGV begins with the command's name. */
static enum err
run_command(struct call *c, int argc, char **argv, struct command *verb)
{
	enum err e;
	c->command = command_by_name(argv[0]);
	if (c->command == NULL) {
		c->kind = kind_by_verb(argv[0]);
		if (c->kind == NULL)
			return failure_set(&c->why, ERR_USAGE,
			    _("there is no command `%s'; citex --help names them"), argv[0]);
		*verb = verb_of(c->kind);
		c->command = verb;
	}
	arguments_allow(&c->given, c->command->options);
	if (c->kind != NULL) {
		c->form = form_new(c->kind, &c->given);
		arguments_allow(&c->given, form_options(c->form));
	}
	e = arguments_parse(&c->given, argc, argv, false, &c->why);
	if (e != OK)
		return e;
	note_json(c);
	if (arguments_has(&c->given, "help")) {
		help_command(c, &c->out);
		return OK;
	}
	e = check_words(c);
	return e == OK ? c->command->run(c) : e;
}

static enum err
run(struct call *c, int argc, char **argv, struct command *verb)
{
	enum err e;
	arguments_allow(&c->given, global_options);
	e = arguments_parse(&c->given, argc, argv, true, &c->why);
	note_json(c);
	if (e != OK)
		return e;
	if (arguments_has(&c->given, "version")) {
		output_say(&c->out, "citex %s", PACKAGE_VERSION);
		return OK;
	}
	if (c->given.word_count > 0)
		return run_command(c, (int)c->given.word_count, c->given.words, verb);
	help_all(&c->out);
	if (arguments_has(&c->given, "help"))
		return OK;
	return failure_set(&c->why, ERR_USAGE, _("which command?"));
}

/* The officer's locale; UTF-8 when nothing is said, as terminals are. */
static void
choose_locale(void)
{
	const char *const said[] = { getenv("LC_ALL"), getenv("LC_CTYPE"), getenv("LANG") };
	const char *words = getenv("TEXTDOMAINDIR"); /* gettext's own name for it */
	(void)setlocale(LC_ALL, "");
	(void)bindtextdomain("citex", words != NULL ? words : CITEX_LOCALEDIR);
	(void)textdomain("citex");
	for (size_t i = 0; i < 3; i++) {
		if (said[i] != NULL && *said[i] != '\0')
			return;
	}
	(void)setlocale(LC_CTYPE, "C.UTF-8");
}

int
main(int argc, char **argv)
{
	struct call c = { 0 };
	struct command verb;
	enum err e;
	choose_locale();
	output_init(&c.out, stdout);
	e = run(&c, argc, argv, &verb);
	if (e == OK)
		e = output_finish(&c.out, &c.why);
	if (e != OK) {
		c.why.err = e;
		output_failure(&c.out, &c.why);
		(void)fflush(stdout);
	}
	form_free(c.form);
	arguments_release(&c.given);
	failure_release(&c.why);
	return err_exit_status(e);
}
