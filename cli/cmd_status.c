/* SPDX-License-Identifier: Apache-2.0 */
/* How this office is, whom it knows, and the code lists. */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/said.h"
#include "cli/words.h"
#include "proto/codes.h"

static void
say_number(struct output *o, const char *label, uint64_t number)
{
	char text[32];
	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
	output_field(o, 0, label, text);
}

static void
print_status(struct output *o, const Citex__StatusView *s)
{
	char used[32], limit[32], store[80];
	pretty_bytes(s->store_bytes, used);
	pretty_bytes(s->store_limit_bytes, limit);
	(void)snprintf(store, sizeof(store), _("%s of at most %s"), used, limit);
	output_field(o, 0, _("Authority"), s->authority);
	output_field(o, 0, _("Node"), s->node);
	output_field(
	    o, 0, _("Post"), s->post ? _("connected") : _("NOT CONNECTED: nothing leaves"));
	output_field(o, 0, _("Version"), s->version);
	say_number(o, _("Directory"), s->directory);
	say_number(o, _("New"), s->new_);
	say_number(o, _("Queued"), s->queued);
	say_number(o, _("Overdue"), s->overdue);
	say_number(o, _("Quarantine"), s->quarantined);
	say_number(o, _("Recorded acts"), s->audit_count);
	output_field(o, 0, _("Store"), store);
	for (size_t i = 0; i < s->n_alarms; i++)
		output_field(o, 0, _("ALARM"), s->alarms[i]);
}

enum err
cmd_status(struct call *c)
{
	CLEANUP(client_drop) struct client *client = NULL;
	CLEANUP(proto_wipe_drop) Citex__Answer *answer = NULL;
	Citex__Status status = CITEX__STATUS__INIT;
	Citex__Request r = CITEX__REQUEST__INIT;
	enum err e = call_office(c, &client);
	if (e != OK)
		return e;
	r.what_case = CITEX__REQUEST__WHAT_STATUS;
	r.status = &status;
	e = call_show(c, client, &r, CITEX__ANSWER__WHAT_STATUS, &answer);
	if (answer != NULL)
		print_status(&c->out, answer->status);
	return e;
}

enum err
show_checks(struct call *c, const Citex__DoctorView *d)
{
	static const struct table_column columns[] = { { "", COLUMN_PLAIN },
		{ N_("WHAT"), COLUMN_PLAIN }, { N_("FOUND"), COLUMN_PLAIN },
		{ N_("WHAT TO DO"), COLUMN_PLAIN } };
	struct table *t = NULL;
	size_t bad = 0;
	if (c->out.json)
		output_message(&c->out, &d->base);
	else
		t = table_new(&c->out, columns, 4);
	for (size_t i = 0; i < d->n_checks; i++) {
		CLEANUP(buffer_release) struct buffer what = { 0 };
		CLEANUP(buffer_release) struct buffer reason = { 0 };
		const Citex__Check *check = d->checks[i];
		said_append(check->what, &what);
		said_append(check->reason, &reason);
		const char *const cells[] = { check->good ? _("good") : _("BAD"),
			buffer_text(&what), buffer_text(&reason), _(check->mend) };
		bad += !check->good;
		if (t != NULL)
			table_row(t, check->good ? PAINT_GREEN : PAINT_RED, cells);
	}
	if (t != NULL)
		table_print(t, _("Nothing was checked."));
	if (bad == 0)
		return OK;
	return failure_set(&c->why, ERR_UNREACHABLE,
	    ngettext("%zu check of %zu is bad", "%zu checks of %zu are bad", bad), bad,
	    d->n_checks);
}

enum err
cmd_doctor(struct call *c)
{
	CLEANUP(client_drop) struct client *client = NULL;
	CLEANUP(proto_wipe_drop) Citex__Answer *answer = NULL;
	Citex__Doctor doctor = CITEX__DOCTOR__INIT;
	Citex__Request r = CITEX__REQUEST__INIT;
	enum err e = call_office(c, &client);
	if (e != OK)
		return e;
	client_set_timeout(client, CLIENT_LONG_TIMEOUT_MS);
	r.what_case = CITEX__REQUEST__WHAT_DOCTOR;
	r.doctor = &doctor;
	e = client_ask(client, &r, CITEX__ANSWER__WHAT_DOCTOR, &answer);
	return e == OK ? show_checks(c, answer->doctor) : e;
}

static void
add_authority(struct table *t, const Citex__AuthorityRow *row)
{
	CLEANUP(buffer_release) struct buffer roles = { 0 };
	CLEANUP(buffer_release) struct buffer languages = { 0 };
	CLEANUP(buffer_release) struct buffer points = { 0 };
	said_list(row->roles, row->n_roles, &roles);
	pretty_list(row->languages, row->n_languages, &languages);
	pretty_list(row->focal_points, row->n_focal_points, &points);
	const char *const cells[] = { row->authority, row->name, buffer_text(&roles), row->node,
		buffer_text(&languages), buffer_text(&points) };
	table_row(t, PAINT_NONE, cells);
}

static void
print_head(struct output *o, const Citex__DirectoryView *d)
{
	char date[32], fresh[32];
	pretty_time(d->date, date);
	pretty_time(d->fresh_until, fresh);
	output_say(o, _("Directory %llu of %s UTC, fresh until %s UTC%s"),
	    (unsigned long long)d->number, date, fresh,
	    d->stale ? _(": PAST ITS TIME, ask the Secretariat for a new one") : "");
}

/* All answers of a directory that is larger than one. */
static enum err
gather_directory(struct call *c, struct client *client, struct table *t, json_t **all)
{
	for (bool first = true, more = true; more; first = false) {
		CLEANUP(proto_wipe_drop) Citex__Answer *answer = NULL;
		enum err e = client_receive(client, CITEX__ANSWER__WHAT_DIRECTORY, &answer);
		if (e == ERR_TIMEOUT)
			e = failure_set(&c->why, e, _("the office gave no answer in time"));
		if (e != OK)
			return e;
		more = answer->more;
		if (t != NULL) {
			if (first)
				print_head(&c->out, answer->directory);
			for (size_t i = 0; i < answer->directory->n_authorities; i++)
				add_authority(t, answer->directory->authorities[i]);
			continue;
		}
		json_t *page = json_of_message(&answer->directory->base);
		if (first) {
			*all = page;
			continue;
		}
		(void)json_array_extend(
		    json_object_get(*all, "authorities"), json_object_get(page, "authorities"));
		json_decref(page);
	}
	return OK;
}

enum err
cmd_directory(struct call *c)
{
	static const struct table_column columns[] = { { N_("AUTHORITY"), COLUMN_PLAIN },
		{ N_("NAME"), COLUMN_WRAP }, { N_("ROLES"), COLUMN_PLAIN },
		{ N_("NODE"), COLUMN_PLAIN }, { N_("LANGUAGES"), COLUMN_PLAIN },
		{ N_("FOCAL POINTS"), COLUMN_WRAP } };
	CLEANUP(client_drop) struct client *client = NULL;
	Citex__Directory directory = CITEX__DIRECTORY__INIT;
	Citex__Request r = CITEX__REQUEST__INIT;
	struct table *t = NULL;
	json_t *all = NULL;
	enum err e = call_office(c, &client);
	if (e != OK)
		return e;
	if (c->given.word_count > 0)
		directory.filter = c->given.words[0];
	r.what_case = CITEX__REQUEST__WHAT_DIRECTORY;
	r.directory = &directory;
	e = client_send(client, &r);
	if (!c->out.json)
		t = table_new(&c->out, columns, 6);
	if (e == OK)
		e = gather_directory(c, client, t, &all);
	if (e == OK && t == NULL)
		output_json(&c->out, json_incref(all));
	if (t != NULL)
		table_print(t, e == OK ? _("No authority fits.") : "");
	json_decref(all);
	return e;
}

/* Which lists there are, or the codes of one. Asks no office. */

static json_t *
json_codes(const struct code_list *list)
{
	json_t *rows = json_array();
	for (const struct code *code = list->rows; code->code != NULL; code++)
		(void)json_array_append_new(rows,
		    json_pack("{s:s, s:s, s:s}", "code", code->code, "word", code->word, "name",
			code->name));
	return json_pack("{s:s, s:o}", "list", list->name, "codes", rows);
}

static void
print_codes(struct call *c, const struct code_list *list)
{
	static const struct table_column columns[] = { { N_("CODE"), COLUMN_PLAIN },
		{ N_("WORD"), COLUMN_PLAIN }, { N_("NAME"), COLUMN_PLAIN } };
	struct table *t;
	if (c->out.json) {
		output_json(&c->out, json_codes(list));
		return;
	}
	t = table_new(&c->out, columns, 3);
	for (const struct code *code = list->rows; code->code != NULL; code++) {
		const char *const cells[] = { code->code, code->word, said_name(list, code) };
		table_row(t, PAINT_NONE, cells);
	}
	table_print(t, "");
}

enum err
cmd_codes(struct call *c)
{
	json_t *names;
	const struct code_list *list = NULL;
	if (c->given.word_count > 0) {
		list = codes_find(c->given.words[0]);
		if (list == NULL)
			return failure_set(&c->why, ERR_NOT_FOUND,
			    _("there is no list `%s'; citex codes names them"), c->given.words[0]);
		print_codes(c, list);
		return OK;
	}
	names = json_array();
	for (list = code_lists; list->name != NULL; list++) {
		if (c->out.json)
			(void)json_array_append_new(names, json_string(list->name));
		else
			output_say(&c->out, "%s", list->name);
	}
	if (c->out.json)
		output_json(&c->out, json_pack("{s:O}", "lists", names));
	json_decref(names);
	return OK;
}
