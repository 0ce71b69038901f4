/* SPDX-License-Identifier: Apache-2.0 */
/* Listings: inbox, sent, search, quarantine, due. They change nothing. A page
 * has as many rows as fit a frame; further pages are fetched here, up to
 * --limit. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/said.h"
#include "cli/words.h"
#include "proto/ids.h"

#define LIMIT_DEFAULT 200

const struct option_row list_options[] = { { "limit", 0, N_("NUMBER"), N_("at most so many (200)"),
					       false },
	{ "unread", 0, NULL, N_("only what is new"), false }, { 0 } };

static enum err
limit_of(struct call *c, uint32_t *limit)
{
	const char *text = arguments_value(&c->given, "limit");
	char *end = NULL;
	*limit = LIMIT_DEFAULT;
	if (text == NULL)
		return OK;
	unsigned long value = strtoul(text, &end, 10);
	if (*end != '\0' || *text == '-' || value == 0 || value > 1000000)
		return failure_set(&c->why, ERR_USAGE, _("--limit: a number from 1 to 1000000"));
	*limit = (uint32_t)value;
	return OK;
}

/* All pages of one listing. */
struct pages {
	Citex__Answer **answers;
	size_t count, rows;
	bool more;
};

static void
pages_release(struct pages *p)
{
	for (size_t i = 0; i < p->count; i++)
		proto_wipe(&p->answers[i]->base);
	free(p->answers);
}

static const Citex__MessageRow *
last_row(const struct pages *p)
{
	const Citex__Listing *l = p->count > 0 ? p->answers[p->count - 1]->listing : NULL;
	return l != NULL && l->n_messages > 0 ? l->messages[l->n_messages - 1] : NULL;
}

static enum err
get_pages(struct call *c, struct client *client, Citex__List *list, struct pages *p)
{
	uint32_t limit = list->limit;
	do {
		Citex__Request r = CITEX__REQUEST__INIT;
		const Citex__MessageRow *last = last_row(p);
		if (last != NULL)
			list->after = last->id;
		list->limit = limit - (uint32_t)p->rows > LIST_PAGE_MAX ? LIST_PAGE_MAX
									: limit - (uint32_t)p->rows;
		r.what_case = CITEX__REQUEST__WHAT_LIST;
		r.list = list;
		p->answers = xgrow(p->answers, p->count + 1, sizeof(Citex__Answer *));
		enum err e =
		    client_ask(client, &r, CITEX__ANSWER__WHAT_LISTING, &p->answers[p->count]);
		if (e != OK)
			return e;
		const Citex__Listing *got = p->answers[p->count++]->listing;
		p->rows += got->n_messages;
		p->more = got->more && got->n_messages > 0;
	} while (p->more && p->rows < limit);
	(void)c;
	return OK;
}

static void
print_json(struct call *c, const struct pages *p)
{
	json_t *all = json_of_message(&p->answers[0]->listing->base);
	json_t *rows = json_object_get(all, "messages");
	for (size_t i = 1; i < p->count; i++) {
		json_t *page = json_of_message(&p->answers[i]->listing->base);
		(void)json_array_extend(rows, json_object_get(page, "messages"));
		json_decref(page);
	}
	(void)json_object_set_new(all, "more", json_boolean(p->more));
	output_json(&c->out, all);
}

static enum paint
paint_of(const Citex__MessageRow *row)
{
	if (row->overdue)
		return PAINT_RED;
	return row->new_ || row->urgent ? PAINT_BOLD : PAINT_NONE;
}

static void
add_row(struct table *t, const Citex__MessageRow *row, const char *id, bool sent)
{
	CLEANUP(buffer_release) struct buffer who = { 0 };
	CLEANUP(buffer_release) struct buffer state = { 0 };
	char time[32], due[32];
	pretty_time(row->time, time);
	pretty_time(row->due, due);
	if (!sent)
		buffer_add_str(&who, row->from);
	else if (row->n_to > 3)
		buffer_printf(&who, _("%zu authorities"), row->n_to);
	else
		pretty_list(row->to, row->n_to, &who);
	buffer_printf(&state, "%s%s", said_word(row->state), row->urgent ? _(", urgent") : "");
	if (row->reason[0] != '\0')
		buffer_printf(&state, ": %s", row->reason);
	const char *const cells[] = { row->new_ ? "*" : "", id, time, said_word(row->kind),
		buffer_text(&who), row->subject, buffer_text(&state), due,
		row->overdue      ? _("OVERDUE")
		    : row->silent ? _("SILENT")
				  : "" };
	table_row(t, paint_of(row), cells);
}

static void
print_table(struct call *c, const struct pages *p, bool sent, const char *empty)
{
	const struct table_column columns[] = { { "", COLUMN_PLAIN }, { "ID", COLUMN_PLAIN },
		{ N_("TIME (UTC)"), COLUMN_PLAIN }, { N_("KIND"), COLUMN_PLAIN },
		{ sent ? N_("TO") : N_("FROM"), COLUMN_PLAIN }, { N_("SUBJECT"), COLUMN_WRAP },
		{ N_("STATE"), COLUMN_PLAIN }, { N_("DUE (UTC)"), COLUMN_PLAIN },
		{ "", COLUMN_PLAIN } };
	struct table *t = table_new(&c->out, columns, sizeof(columns) / sizeof(*columns));
	for (size_t i = 0; i < p->count; i++) {
		const Citex__Listing *l = p->answers[i]->listing;
		for (size_t j = 0; j < l->n_messages; j++) {
			char id[ID_TEXT_BYTES];
			short_id_beside(l->messages[j]->id, j > 0 ? l->messages[j - 1]->id : "",
			    j + 1 < l->n_messages ? l->messages[j + 1]->id : "", id);
			add_row(t, l->messages[j], id, sent);
		}
	}
	table_print(t, empty);
	if (p->more)
		output_note(&c->out, _("There are more: raise --limit, or use citex search."));
}

static enum err
list(struct call *c, const char *box, const char *search, const char *empty)
{
	CLEANUP(client_drop) struct client *client = NULL;
	Citex__List request = CITEX__LIST__INIT;
	struct pages pages = { 0 };
	enum err e = limit_of(c, &request.limit);
	if (e == OK)
		e = call_office(c, &client);
	if (e != OK)
		return e;
	request.box = (char *)(uintptr_t)box;
	request.search = (char *)(uintptr_t)search;
	request.unread = arguments_has(&c->given, "unread");
	e = get_pages(c, client, &request, &pages);
	if (e == OK && c->out.json)
		print_json(c, &pages);
	else if (e == OK)
		print_table(c, &pages, strcmp(box, "sent") == 0, empty);
	pages_release(&pages);
	return e;
}

enum err
cmd_inbox(struct call *c)
{
	return list(c, "inbox", "", _("Nothing has come in."));
}

enum err
cmd_sent(struct call *c)
{
	return list(c, "sent", "", _("Nothing was sent."));
}

enum err
cmd_search(struct call *c)
{
	CLEANUP(buffer_release) struct buffer words = { 0 };
	for (size_t i = 0; i < c->given.word_count; i++)
		buffer_printf(&words, "%s%s", i > 0 ? " " : "", c->given.words[i]);
	return list(c, "", buffer_text(&words), _("Nothing was found."));
}

static enum err
quarantine_act(struct call *c, const char *action)
{
	CLEANUP(client_drop) struct client *client = NULL;
	CLEANUP(proto_wipe_drop) Citex__Answer *answer = NULL;
	Citex__Quarantine q = CITEX__QUARANTINE__INIT;
	Citex__Request r = CITEX__REQUEST__INIT;
	bool show = strcmp(action, "show") == 0;
	enum err e;
	if (c->given.word_count != 2)
		return failure_set(
		    &c->why, ERR_USAGE, _("which one? citex quarantine %s ID"), action);
	e = call_office(c, &client);
	if (e != OK)
		return e;
	q.action = (char *)(uintptr_t)action;
	q.id = c->given.words[1];
	r.what_case = CITEX__REQUEST__WHAT_QUARANTINE;
	r.quarantine = &q;
	e = call_show(
	    c, client, &r, show ? CITEX__ANSWER__WHAT_ITEM : CITEX__ANSWER__WHAT_DONE, &answer);
	if (answer == NULL)
		return e;
	if (show) {
		const Citex__MessageRow *row = answer->item->message;
		output_field(&c->out, 0, _("Id"), row != NULL ? row->id : "");
		output_field(&c->out, 0, _("From"), row != NULL ? row->from : "");
		output_field(&c->out, 0, _("Time"), row != NULL ? row->time : "");
		output_field(&c->out, 0, _("Reason"), row != NULL ? row->reason : "");
	} else if (strcmp(action, "retry") == 0)
		output_say(&c->out, _("It is opened again; see citex inbox and citex quarantine."));
	else
		output_say(&c->out, _("Dropped. The order is in the record of this office."));
	return e;
}

enum err
cmd_quarantine(struct call *c)
{
	static const char *const actions[] = { "show", "retry", "drop" };
	const char *action = c->given.word_count > 0 ? c->given.words[0] : "list";
	if (strcmp(action, "list") == 0)
		return list(c, "quarantine", "", _("Nothing is in quarantine."));
	for (size_t i = 0; i < 3; i++) {
		if (strcmp(action, actions[i]) == 0)
			return quarantine_act(c, action);
	}
	return failure_set(&c->why, ERR_USAGE,
	    _("citex quarantine knows: list, show ID, retry ID, drop ID; not `%s'"), action);
}

/* Shortened, unless another message of the list would be so too: rows are in the order of dates. */
static void
id_of_due(const Citex__DueList *l, size_t at, char *out)
{
	short_id(l->due[at]->id, out);
	for (size_t i = 0; i < l->n_due; i++) {
		if (strcmp(l->due[i]->id, l->due[at]->id) != 0)
			short_id_beside(l->due[at]->id, l->due[i]->id, "", out);
		if (strlen(out) == ID_TEXT_BYTES - 1)
			return;
	}
}

static void
add_due(struct table *t, const Citex__DueRow *row, const char *id)
{
	char due[32];
	pretty_time(row->due, due);
	const char *const cells[] = { *row->since == '\0' ? _("not delivered yet") : due,
		row->overdue ? _("OVERDUE") : "", row->who, said_word(row->owes), row->to,
		row->subject, id, row->paragraph };
	table_row(t, row->overdue ? PAINT_RED : PAINT_NONE, cells);
}

enum err
cmd_due(struct call *c)
{
	static const struct table_column columns[] = { { N_("DUE (UTC)"), COLUMN_PLAIN },
		{ "", COLUMN_PLAIN }, { N_("WHO"), COLUMN_PLAIN }, { N_("OWES"), COLUMN_PLAIN },
		{ N_("TO"), COLUMN_PLAIN }, { N_("SUBJECT"), COLUMN_WRAP }, { "ID", COLUMN_PLAIN },
		{ N_("PARAGRAPH"), COLUMN_WRAP } };
	CLEANUP(client_drop) struct client *client = NULL;
	CLEANUP(proto_wipe_drop) Citex__Answer *answer = NULL;
	Citex__List request = CITEX__LIST__INIT;
	Citex__Request r = CITEX__REQUEST__INIT;
	struct table *t;
	enum err e = call_office(c, &client);
	if (e != OK)
		return e;
	request.box = (char *)(uintptr_t) "due";
	r.what_case = CITEX__REQUEST__WHAT_LIST;
	r.list = &request;
	e = call_show(c, client, &r, CITEX__ANSWER__WHAT_DUE, &answer);
	if (answer == NULL)
		return e;
	t = table_new(&c->out, columns, sizeof(columns) / sizeof(*columns));
	for (size_t i = 0; i < answer->due->n_due; i++) {
		char id[ID_TEXT_BYTES];
		id_of_due(answer->due, i, id);
		add_due(t, answer->due->due[i], id);
	}
	table_print(t, _("Nobody owes anything."));
	return e;
}
