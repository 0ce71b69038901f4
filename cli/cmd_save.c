/* SPDX-License-Identifier: Apache-2.0 */
/* What is written to the officer's disk: attachments and bundles. Names come
 * from outside and are labels only: see names.c and folder.c. The digest of an
 * attachment is compared by the office, whose last piece is not given
 * otherwise; the length is compared here as well. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/folder.h"
#include "cli/names.h"
#include "cli/words.h"

const struct option_row save_options[] = {
	{ "to", 0, N_("DIR"), N_("the folder to save to; it is made when it is not there"), false },
	{ 0 }
};

const struct option_row export_options[] = {
	{ "output", 'o', N_("BUNDLE"), N_("the folder to make"), false }, { 0 }
};

static enum err
fetch_piece(struct client *client, Citex__Fetch *fetch, Citex__Answer **out)
{
	Citex__Request r = CITEX__REQUEST__INIT;
	r.what_case = CITEX__REQUEST__WHAT_FETCH;
	r.fetch = fetch;
	return client_ask(client, &r, CITEX__ANSWER__WHAT_DATA, out);
}

static enum err
fetch_all(
    struct call *c, struct client *client, const char *id, const Citex__AttachmentRow *a, int fd)
{
	Citex__Fetch fetch = CITEX__FETCH__INIT;
	bool last = false;
	fetch.id = (char *)(uintptr_t)id;
	fetch.attachment = a->index;
	while (!last) {
		CLEANUP(proto_wipe_drop) Citex__Answer *answer = NULL;
		enum err e = fetch_piece(client, &fetch, &answer);
		if (e != OK)
			return e;
		const Citex__Data *data = answer->data;
		if (data->offset != fetch.offset || (data->data.len == 0 && !data->last) ||
		    data->data.len > a->length - fetch.offset)
			return failure_set(&c->why, ERR_UNEXPECTED,
			    _("%s came in pieces that do not fit; nothing was saved"), a->name);
		e = folder_write(fd, bytes_of_pb(data->data), &c->why);
		if (e != OK)
			return e;
		fetch.offset += data->data.len;
		last = data->last;
		output_progress(&c->out, a->name, fetch.offset, a->length);
	}
	if (fetch.offset != a->length)
		return failure_set(&c->why, ERR_CORRUPT,
		    _("%s is not of the length that its author signed; it was not saved"), a->name);
	return OK;
}

/* A name for attachment N that none before it has: two may bear one label. */
static void
name_of(char names[][NAME_BYTES], size_t n, const char *label)
{
	char base[NAME_BYTES];
	unsigned number = 1;
	name_clean(label, base);
	memcpy(names[n], base, NAME_BYTES);
	for (size_t i = 0; i < n;) {
		if (strcasecmp(names[i], names[n]) != 0) {
			i++;
			continue;
		}
		name_number(base, ++number, names[n]);
		i = 0;
	}
}

static json_t *
saved_json(const Citex__AttachmentRow *a, const char *name)
{
	json_t *row = json_of_message(&a->base);
	(void)json_object_set_new(row, "file", json_string(name));
	return row;
}

static enum err
save_all(struct call *c, struct client *client, const Citex__Item *item, int folder, json_t *saved)
{
	char names[ATTACHMENTS_MAX][NAME_BYTES];
	for (size_t i = 0; i < item->n_attachments; i++) {
		const Citex__AttachmentRow *a = item->attachments[i];
		char size[32];
		name_of(names, i, a->name);
		int fd = folder_create(folder, names[i], &c->why);
		if (fd < 0)
			return c->why.err;
		enum err e = fetch_all(c, client, item->message->id, a, fd);
		e = folder_finish(folder, names[i], fd, e, &c->why);
		if (e != OK)
			return e;
		pretty_bytes(a->length, size);
		if (c->out.json)
			(void)json_array_append_new(saved, saved_json(a, names[i]));
		else
			output_say(&c->out, "%s  %s%s%s", names[i], size,
			    a->digest[0] != '\0' ? "  sha256:" : "", a->digest);
	}
	return OK;
}

static enum err
check_item(struct call *c, const Citex__Item *item)
{
	if (item->message == NULL || item->n_attachments > ATTACHMENTS_MAX)
		return failure_set(
		    &c->why, ERR_UNEXPECTED, _("the office's answer is not complete"));
	if (item->n_attachments == 0)
		return failure_set(&c->why, ERR_NOT_FOUND, _("this message has no attachment"));
	for (size_t i = 0; i < item->n_attachments; i++) {
		if (!item->attachments[i]->complete)
			return failure_set(&c->why, ERR_LATER,
			    _("the attachment %s is still on its way; try again later"),
			    item->attachments[i]->name);
	}
	return OK;
}

enum err
cmd_save(struct call *c)
{
	CLEANUP(client_drop) struct client *client = NULL;
	CLEANUP(proto_wipe_drop) Citex__Answer *answer = NULL;
	Citex__Show show = CITEX__SHOW__INIT;
	Citex__Request r = CITEX__REQUEST__INIT;
	const char *to = arguments_value(&c->given, "to");
	json_t *saved;
	int folder;
	enum err e;
	if (to == NULL)
		return failure_set(&c->why, ERR_USAGE, _("where to? citex save ID --to DIR"));
	e = call_office(c, &client);
	if (e != OK)
		return e;
	show.id = c->given.words[0];
	show.quiet = true;
	r.what_case = CITEX__REQUEST__WHAT_SHOW;
	r.show = &show;
	e = client_ask(client, &r, CITEX__ANSWER__WHAT_ITEM, &answer);
	if (e == OK)
		e = check_item(c, answer->item);
	if (e != OK)
		return e;
	folder = folder_open(to, &c->why);
	if (folder < 0)
		return c->why.err;
	saved = json_array();
	e = save_all(c, client, answer->item, folder, saved);
	(void)close(folder);
	if (e == OK && c->out.json)
		output_json(&c->out, json_pack("{s:O}", "saved", saved));
	json_decref(saved);
	return e;
}

/* A bundle on its way to disk: files come in pieces with one name. */
struct unpack {
	int top; /* the bundle's folder */
	int folder, fd; /* of the file under way; -1: none */
	char *path; /* as it came; NULL: none */
	const char *name; /* its last part, in PATH */
	size_t files;
};

static enum err
finish_file(struct unpack *u, enum err e, struct failure *why)
{
	if (u->path == NULL)
		return e;
	e = folder_finish(u->folder, u->name, u->fd, e, why);
	if (u->folder != u->top)
		(void)close(u->folder);
	free(u->path);
	u->path = NULL;
	u->files++;
	return e;
}

/* NAME or FOLDER/NAME, no deeper. */
static enum err
begin_file(struct unpack *u, const char *path, struct failure *why)
{
	char *copy = xstrdup(path), *slash = strchr(copy, '/');
	int folder = u->top;
	if (slash != NULL) {
		*slash = '\0';
		folder = folder_within(u->top, copy, why);
	}
	u->name = slash != NULL ? slash + 1 : copy;
	u->fd = folder >= 0 ? folder_create(folder, u->name, why) : -1;
	if (u->fd < 0) {
		if (folder >= 0 && folder != u->top)
			(void)close(folder);
		free(copy);
		return why->err;
	}
	if (slash != NULL)
		*slash = '/';
	u->folder = folder;
	u->path = copy;
	return OK;
}

static enum err
unpack_piece(struct unpack *u, const Citex__BundleFile *f, struct failure *why)
{
	enum err e;
	if (u->path == NULL || strcmp(u->path, f->name) != 0) {
		e = finish_file(u, OK, why);
		if (e == OK)
			e = begin_file(u, f->name, why);
		if (e != OK)
			return e;
	}
	return folder_write(u->fd, bytes_of_pb(f->data), why);
}

static enum err
unpack_all(struct call *c, struct client *client, struct unpack *u)
{
	for (;;) {
		CLEANUP(proto_wipe_drop) Citex__Answer *answer = NULL;
		enum err e = client_receive(client, CITEX__ANSWER__WHAT_FILE, &answer);
		if (e == ERR_TIMEOUT)
			e = failure_set(&c->why, e, _("the office gave no further piece in time"));
		if (e == OK && answer->file->name[0] == '\0')
			return finish_file(u, OK, &c->why);
		if (e == OK)
			e = unpack_piece(u, answer->file, &c->why);
		if (e != OK)
			return finish_file(u, e, &c->why);
		if (!answer->more)
			return finish_file(u, OK, &c->why);
	}
}

static void
print_export(struct call *c, const char *bundle, size_t files)
{
	if (c->out.json) {
		output_json(
		    &c->out, json_pack("{s:s, s:I}", "bundle", bundle, "files", (json_int_t)files));
		return;
	}
	output_say(&c->out,
	    ngettext("Written to %s (%zu file). To check it: citex verify %s",
		"Written to %s (%zu files). To check it: citex verify %s", files),
	    bundle, files, bundle);
	output_say(
	    &c->out, _("It holds the messages in the clear: keep it as their handling demands."));
}

enum err
cmd_export(struct call *c)
{
	CLEANUP(client_drop) struct client *client = NULL;
	Citex__Export request = CITEX__EXPORT__INIT;
	Citex__Request r = CITEX__REQUEST__INIT;
	struct unpack u = { 0 };
	const char *bundle = arguments_value(&c->given, "output");
	enum err e;
	if (bundle == NULL)
		return failure_set(&c->why, ERR_USAGE, _("where to? citex export ID -o BUNDLE"));
	e = call_office(c, &client);
	if (e != OK)
		return e;
	if (access(bundle, F_OK) == 0)
		return failure_set(&c->why, ERR_EXISTS,
		    _("%s is there already; choose another name for the bundle"), bundle);
	request.id = c->given.words[0];
	r.what_case = CITEX__REQUEST__WHAT_EXPORT;
	r.export = &request;
	e = client_send(client, &r);
	if (e != OK)
		return e;
	u.top = folder_open(bundle, &c->why);
	if (u.top < 0)
		return c->why.err;
	e = unpack_all(c, client, &u);
	(void)close(u.top);
	if (e == OK)
		print_export(c, bundle, u.files);
	else if (rmdir(bundle) != 0) /* goes only when nothing is in it */
		buffer_printf(&c->why.words, _(" (%s is not complete: remove it)"), bundle);
	return e;
}
