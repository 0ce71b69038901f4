/* SPDX-License-Identifier: Apache-2.0 */
/* One message, one exchange, one message's way. `show' is the command that
 * ends `new' for the authority; the others change nothing. The frame of a
 * message is drawn here alone: what somebody wrote stands behind a mark. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/body.h"
#include "cli/command.h"
#include "cli/said.h"
#include "cli/words.h"
#include "proto/ids.h"

static void
say_list(struct output *o, const char *label, char **words, size_t count)
{
	CLEANUP(buffer_release) struct buffer text = { 0 };
	pretty_list(words, count, &text);
	output_field(o, 0, label, buffer_text(&text));
}

static void
say_time(struct output *o, const char *label, const char *iso, const char *after)
{
	CLEANUP(buffer_release) struct buffer text = { 0 };
	char when[32];
	if (*iso == '\0')
		return;
	pretty_time(iso, when);
	buffer_printf(&text, "%s UTC%s", when, after);
	output_field(o, 0, label, buffer_text(&text));
}

static void
print_head(struct output *o, const Citex__Item *item)
{
	CLEANUP(buffer_release) struct buffer signer = { 0 };
	const Citex__MessageRow *row = item->message;
	said_append(item->signed_by, &signer);
	output_heading(o, row->subject[0] != '\0' ? row->subject : said_word(row->kind));
	output_field(o, 0, _("Id"), row->id);
	output_field(o, 0, _("Kind"), said_word(row->kind));
	output_field(o, 0, _("From"), row->from);
	output_field(o, 0, _("Officer"), item->officer);
	if (row->n_to > 8) {
		char text[64];
		(void)snprintf(text, sizeof(text), _("%zu authorities"), row->n_to);
		output_field(o, 0, _("To"), text);
	} else
		say_list(o, _("To"), row->to, row->n_to);
	say_time(o, _("Time"), row->time, "");
	output_field(o, 0, _("State"), said_word(row->state));
	say_time(o, _("Due"), row->due, row->overdue ? _("  OVERDUE") : "");
	output_field(o, 0, _("About"), item->about);
	output_field(o, 0, _("Forwarded"), item->origin);
	output_field(o, 0, _("Signed by"), buffer_text(&signer));
}

static void
print_handling(struct output *o, const Citex__Item *item)
{
	CLEANUP(buffer_release) struct buffer label = { 0 };
	if (item->handling[0] != '\0')
		buffer_printf(&label, "TLP:%s", item->handling);
	output_field(o, 0, _("Handling"), buffer_text(&label));
	say_list(o, _("Audience"), item->audience, item->n_audience);
	output_field(o, 0, _("Restriction"), item->handling_words);
	output_field(o, 0, _("Use"), item->use);
}

static void
print_attachments(struct output *o, const Citex__Item *item)
{
	static const struct table_column columns[] = { { N_("ATTACHMENT"), COLUMN_PLAIN },
		{ N_("TYPE"), COLUMN_PLAIN }, { N_("SIZE"), COLUMN_RIGHT }, { "", COLUMN_PLAIN } };
	struct table *t;
	if (item->n_attachments == 0)
		return;
	output_gap(o);
	t = table_new(o, columns, 4);
	for (size_t i = 0; i < item->n_attachments; i++) {
		const Citex__AttachmentRow *a = item->attachments[i];
		char size[32];
		pretty_bytes(a->length, size);
		const char *const cells[] = { a->name, a->media_type, size,
			a->complete ? "" : _("still on its way") };
		table_row(t, PAINT_NONE, cells);
	}
	table_print(t, "");
}

static void
print_next(struct output *o, const Citex__Item *item)
{
	char id[ID_TEXT_BYTES];
	short_id(item->message->id, id);
	if (item->n_attachments == 0 && item->n_next == 0)
		return;
	output_gap(o);
	if (item->n_attachments > 0)
		output_say(o, _("To save the attachments: citex save %s --to DIR"), id);
	for (size_t i = 0; i < item->n_next; i++)
		output_say(o, "%s citex %s %s …", i == 0 ? _("To answer:") : _("       or:"),
		    item->next[i], id);
}

static void
print_item(struct output *o, const Citex__Item *item)
{
	print_head(o, item);
	print_handling(o, item);
	output_gap(o);
	body_print(o, item->message->kind, bytes_of_pb(item->body));
	print_attachments(o, item);
	print_next(o, item);
}

/* The answer with the body as an object in the place of its bytes. */
static void
json_item(struct output *o, const Citex__Item *item)
{
	json_t *value = json_of_message(&item->base);
	json_t *body = body_json(item->message->kind, bytes_of_pb(item->body));
	if (body != NULL)
		(void)json_object_set_new(value, "body", body);
	output_json(o, value);
}

enum err
cmd_show(struct call *c)
{
	CLEANUP(client_drop) struct client *client = NULL;
	CLEANUP(proto_wipe_drop) Citex__Answer *answer = NULL;
	Citex__Show show = CITEX__SHOW__INIT;
	Citex__Request r = CITEX__REQUEST__INIT;
	enum err e = call_office(c, &client);
	if (e != OK)
		return e;
	show.id = c->given.words[0];
	r.what_case = CITEX__REQUEST__WHAT_SHOW;
	r.show = &show;
	e = client_ask(client, &r, CITEX__ANSWER__WHAT_ITEM, &answer);
	if (e != OK)
		return e;
	if (answer->item->message == NULL)
		return failure_set(
		    &c->why, ERR_UNEXPECTED, _("the office's answer lacks its message"));
	if (c->out.json)
		json_item(&c->out, answer->item);
	else
		print_item(&c->out, answer->item);
	return OK;
}

static enum paint
paint_of(const Citex__Addressee *a)
{
	if (a->overdue || strcmp(a->state, "refused") == 0 || strcmp(a->state, "expired") == 0)
		return PAINT_RED;
	return strcmp(a->state, "answered") == 0 ? PAINT_GREEN : PAINT_NONE;
}

static void
progress_of(const Citex__Addressee *a, char out[80])
{
	char done[32], total[32];
	out[0] = '\0';
	if (a->bytes_total == 0)
		return;
	pretty_bytes(a->bytes, done);
	pretty_bytes(a->bytes_total, total);
	if (a->bytes == a->bytes_total)
		(void)snprintf(out, 80, "%s", total);
	else
		(void)snprintf(out, 80, "%s / %s", done, total);
}

static void
add_addressee(struct table *t, const Citex__Addressee *a)
{
	CLEANUP(buffer_release) struct buffer words = { 0 };
	char since[32], last[32], next[32], due[32], sent[80];
	pretty_time(a->since, since);
	pretty_time(a->last_try, last);
	pretty_time(a->next_try, next);
	pretty_time(a->due, due);
	progress_of(a, sent);
	buffer_printf(&words, "%s%s%s", a->reason,
	    a->reason[0] != '\0' && a->words[0] != '\0' ? ": " : "", a->words);
	if (a->until[0] != '\0')
		buffer_printf(
		    &words, _("%sinterim answer until %.10s"), words.len > 0 ? "; " : "", a->until);
	const char *const cells[] = { a->authority, said_word(a->state), since, due,
		a->overdue      ? _("OVERDUE")
		    : a->silent ? _("SILENT")
				: "",
		last, next, sent, buffer_text(&words) };
	table_row(t, paint_of(a), cells);
}

static void
print_addressees(struct output *o, Citex__Addressee **addressees, size_t count)
{
	static const struct table_column columns[] = { { N_("AUTHORITY"), COLUMN_PLAIN },
		{ N_("STATE"), COLUMN_PLAIN }, { N_("SINCE (UTC)"), COLUMN_PLAIN },
		{ N_("DUE (UTC)"), COLUMN_PLAIN }, { "", COLUMN_PLAIN },
		{ N_("LAST TRY"), COLUMN_PLAIN }, { N_("NEXT TRY"), COLUMN_PLAIN },
		{ N_("SENT"), COLUMN_RIGHT }, { N_("REASON"), COLUMN_WRAP } };
	struct table *t = table_new(o, columns, sizeof(columns) / sizeof(*columns));
	for (size_t i = 0; i < count; i++)
		add_addressee(t, addressees[i]);
	table_print(t, _("It has no addressee."));
}

static void
print_proofs(struct output *o, Citex__Addressee **addressees, size_t count)
{
	static const struct table_column columns[] = { { N_("PROOF OF"), COLUMN_PLAIN },
		{ N_("AUTHORITY"), COLUMN_PLAIN }, { N_("TIME (UTC)"), COLUMN_PLAIN },
		{ N_("SIGNED BY"), COLUMN_PLAIN } };
	struct table *t = table_new(o, columns, 4);
	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < addressees[i]->n_proofs; j++) {
			const Citex__Proven *p = addressees[i]->proofs[j];
			char when[32];
			pretty_time(p->time, when);
			const char *const cells[] = { said_word(p->state), addressees[i]->authority,
				when, p->maker };
			table_row(t, PAINT_NONE, cells);
		}
	}
	output_gap(o);
	table_print(t, _("No receipt has come yet: nothing is proved."));
}

/* How many are at least so far: for a broadcast. */
static void
print_roll_call(struct output *o, Citex__Addressee **addressees, size_t count)
{
	static const char *const states[] = { "queued", "relayed", "stored", "opened", "seen",
		"answered", "refused", "expired" };
	if (count < 2)
		return;
	output_gap(o);
	for (size_t s = 0; s < sizeof(states) / sizeof(*states); s++) {
		size_t n = 0;
		for (size_t i = 0; i < count; i++)
			n += strcmp(addressees[i]->state, states[s]) == 0;
		if (n > 0)
			output_say(o, _("%4zu of %zu: %s"), n, count, said_word(states[s]));
	}
}

enum err
cmd_track(struct call *c)
{
	CLEANUP(client_drop) struct client *client = NULL;
	CLEANUP(proto_wipe_drop) Citex__Answer *answer = NULL;
	Citex__Track track = CITEX__TRACK__INIT;
	Citex__Request r = CITEX__REQUEST__INIT;
	enum err e = call_office(c, &client);
	if (e != OK)
		return e;
	track.id = c->given.words[0];
	r.what_case = CITEX__REQUEST__WHAT_TRACK;
	r.track = &track;
	e = call_show(c, client, &r, CITEX__ANSWER__WHAT_TRACKING, &answer);
	if (answer == NULL)
		return e;
	const Citex__Tracking *t = answer->tracking;
	output_say(&c->out, "%s  %s", said_word(t->kind), t->id);
	print_addressees(&c->out, t->addressees, t->n_addressees);
	print_roll_call(&c->out, t->addressees, t->n_addressees);
	print_proofs(&c->out, t->addressees, t->n_addressees);
	return OK;
}

static void
print_messages(struct output *o, const Citex__ExchangeView *x)
{
	static const struct table_column columns[] = { { "", COLUMN_PLAIN }, { "ID", COLUMN_PLAIN },
		{ N_("TIME (UTC)"), COLUMN_PLAIN }, { N_("KIND"), COLUMN_PLAIN },
		{ N_("FROM"), COLUMN_PLAIN }, { N_("SUBJECT"), COLUMN_WRAP },
		{ N_("STATE"), COLUMN_PLAIN } };
	struct table *t = table_new(o, columns, 7);
	for (size_t i = 0; i < x->n_messages; i++) {
		const Citex__MessageRow *row = x->messages[i];
		char id[ID_TEXT_BYTES], when[32];
		short_id_beside(row->id, i > 0 ? x->messages[i - 1]->id : "",
		    i + 1 < x->n_messages ? x->messages[i + 1]->id : "", id);
		pretty_time(row->time, when);
		const char *const cells[] = { row->new_ ? "*" : "", id, when, said_word(row->kind),
			row->from, row->subject, said_word(row->state) };
		table_row(t, row->new_ ? PAINT_BOLD : PAINT_NONE, cells);
	}
	output_gap(o);
	table_print(t, _("It has no message."));
}

enum err
cmd_exchange(struct call *c)
{
	CLEANUP(client_drop) struct client *client = NULL;
	CLEANUP(proto_wipe_drop) Citex__Answer *answer = NULL;
	CLEANUP(buffer_release) struct buffer outcome = { 0 };
	Citex__ShowExchange show = CITEX__SHOW_EXCHANGE__INIT;
	Citex__Request r = CITEX__REQUEST__INIT;
	enum err e = call_office(c, &client);
	if (e != OK)
		return e;
	show.id = c->given.words[0];
	r.what_case = CITEX__REQUEST__WHAT_EXCHANGE;
	r.exchange = &show;
	e = call_show(c, client, &r, CITEX__ANSWER__WHAT_EXCHANGE, &answer);
	if (answer == NULL)
		return e;
	const Citex__ExchangeView *x = answer->exchange;
	output_heading(&c->out, x->subject);
	output_field(&c->out, 0, _("Exchange"), x->exchange);
	output_field(&c->out, 0, _("State"), said_word(x->state));
	body_add_value(kind_by_name("closing"), "outcome", x->outcome, &outcome);
	output_field(&c->out, 0, _("Outcome"), buffer_text(&outcome));
	output_gap(&c->out);
	print_addressees(&c->out, x->addressees, x->n_addressees);
	print_messages(&c->out, x);
	print_proofs(&c->out, x->addressees, x->n_addressees);
	return OK;
}
