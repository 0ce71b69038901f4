/* SPDX-License-Identifier: Apache-2.0 */
/* citex VERB: one command for all kinds. What a kind needs comes from its
 * descriptor and struct; nothing here asks which kind it is. The id is chosen
 * here, so that a request whose answer was lost can be made again. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/editor.h"
#include "cli/said.h"
#include "cli/send.h"
#include "cli/words.h"
#include "proto/codes.h"
#include "proto/ids.h"

#define JSON_MAX_BYTES (256 * KIB)
#define PUTS_IN_FLIGHT 8 /* pieces under way: the office commits many at once */
#define HANDLE_BYTES 16
#define EDITS_MAX 16 /* a program may never get it right */
#define WRONG_MARK "# !! "

const struct option_row send_options[] = { { "to", 0, "AUTHORITY", N_("send it to this authority"),
					       true },
	{ "all", 0, NULL, N_("send it to every authority of the directory"), false },
	{ "about", 0, "ID", N_("the message that it speaks of"), false },
	{ "attach", 0, N_("FILE"), N_("attach this file"), true },
	{ "handling", 0, N_("LABEL"),
	    N_("how it may be passed on: red, amber+strict, amber, green, clear"), false },
	{ "audience", 0, "AUTHORITY", N_("may be passed on to this authority all the same"), true },
	{ "handling-words", 0, "TEXT", N_("a restriction or permission in words"), false },
	{ "use", 0, "WORD",
	    N_("what it may be used for: intelligence, enforcement, evidence, publication"),
	    false },
	{ "language", 0, N_("LANGUAGE"), N_("of the text: en, fr, es"), false },
	{ "urgent", 0, NULL, N_("before all that is routine"), false },
	{ "from", 0, "FILE", N_("the fields as JSON; - is standard input"), false },
	{ "edit", 0, NULL, N_("fill in a form in your editor"), false },
	{ "id", 0, "ID", N_("the message's id: the same command given again sends nothing twice"),
	    false },
	{ "even-if-unreadable", 0, NULL, N_("send it although an addressee cannot read this kind"),
	    false },
	{ 0 } };

static enum err
new_id(char *out, struct failure *why)
{
	uint8_t chance[10];
	if (getrandom(chance, sizeof(chance), 0) != (ssize_t)sizeof(chance))
		return failure_errno(why, ERR_SYSTEM, "getrandom");
	id_print(id_make(client_utc_ms(), chance), out);
	return OK;
}

enum err
send_id(struct call *c, char *out)
{
	const char *text = arguments_value(&c->given, "id");
	struct id id;
	if (text == NULL)
		return new_id(out, &c->why);
	if (id_parse(text, &id) != OK)
		return failure_set(&c->why, ERR_USAGE,
		    _("--id: `%s' is no id: 32 hexadecimal digits, as of uuidgen --time"), text);
	id_print(id, out);
	return OK;
}

/* The boxes of the document, from the message that this one is about. What its author holds close
 * is not repeated unasked. */
static enum err
take_over(struct call *c, struct client **client, const char *about)
{
	CLEANUP(proto_wipe_drop) Citex__Answer *answer = NULL;
	Citex__Request r = CITEX__REQUEST__INIT;
	Citex__Show show = CITEX__SHOW__INIT;
	const struct kind *kind;
	const Citex__Item *item;
	enum err e = call_office(c, client);
	if (e != OK)
		return e;
	show.id = (char *)(uintptr_t)about;
	show.quiet = true;
	r.what_case = CITEX__REQUEST__WHAT_SHOW;
	r.show = &show;
	e = client_ask(*client, &r, CITEX__ANSWER__WHAT_ITEM, &answer);
	if (e != OK)
		return e;
	item = answer->item;
	kind = kind_by_name(item->message->kind);
	if (kind == NULL)
		return OK;
	if (strcmp(item->handling, "RED") == 0 || strcmp(item->handling, "AMBER+STRICT") == 0) {
		output_note(&c->out, _("Note: nothing is repeated from %s, which is TLP:%s"), about,
		    item->handling);
		return OK;
	}
	return form_take_over(c->form, kind, bytes_of_pb(item->body), &c->why);
}

/* What was wrong stands above what the officer wrote. */
static void
put_above(struct buffer *text, const char *words)
{
	CLEANUP(buffer_wipe) struct buffer rest = { 0 };
	buffer_add(&rest, buffer_bytes(text));
	buffer_clear(text);
	buffer_printf(text, WRONG_MARK "%s\n", words);
	buffer_add(text, buffer_bytes(&rest));
}

static void
take_off_above(struct buffer *text)
{
	const uint8_t *end = memchr(text->at, '\n', text->len);
	if (strncmp(buffer_text(text), WRONG_MARK, strlen(WRONG_MARK)) == 0 && end != NULL)
		buffer_cut_front(text, (size_t)(end - text->at) + 1);
}

/* In the editor until the form is right, or left as it was: a wrong date must not cost the text. */
static enum err
edit(struct call *c)
{
	CLEANUP(buffer_wipe) struct buffer text = { 0 };
	form_write(c->form, &text);
	for (unsigned i = 1;; i++) {
		CLEANUP(buffer_wipe) struct buffer body = { 0 };
		CLEANUP(buffer_wipe) struct buffer before = { 0 };
		enum err e;
		buffer_add(&before, buffer_bytes(&text));
		e = editor_run(&text, &c->why);
		if (e != OK)
			return e;
		bool same = bytes_equal(buffer_bytes(&before), buffer_bytes(&text));
		take_off_above(&text);
		e = form_read(c->form, buffer_bytes(&text), &c->why);
		if (e == OK && form_is_empty(c->form))
			return failure_set(
			    &c->why, ERR_VALUE, _("the form is empty; nothing was sent"));
		if (e == OK)
			e = form_body(c->form, &body, &c->why);
		if (e == OK || same || i == EDITS_MAX)
			return e;
		put_above(&text, buffer_text(&c->why.words));
		failure_release(&c->why);
	}
}

/* The fields: from --from, then the message it is about, then options, then the editor. */
static enum err
fill_form(struct call *c, struct client **client)
{
	const char *about = arguments_value(&c->given, "about");
	CLEANUP(buffer_wipe) struct buffer text = { 0 };
	const char *from = arguments_value(&c->given, "from");
	enum err e = OK;
	if (from != NULL)
		e = read_file(from, JSON_MAX_BYTES, &text, &c->why);
	if (e == OK && from != NULL)
		e = form_load_json(c->form, buffer_bytes(&text), &c->why);
	if (e == OK && about != NULL && c->kind->takes_over[0] != NULL)
		e = take_over(c, client, about);
	if (e == OK)
		e = form_take_arguments(c->form, &c->given, &c->why);
	if (e != OK || !arguments_has(&c->given, "edit"))
		return e;
	return edit(c);
}

/* Attachments. */

static const char *
media_type_of(const char *name)
{
	static const struct {
		const char *ending, *type;
	} types[] = {
		{ ".pdf", "application/pdf" },
		{ ".jpg", "image/jpeg" },
		{ ".jpeg", "image/jpeg" },
		{ ".png", "image/png" },
		{ ".tif", "image/tiff" },
		{ ".tiff", "image/tiff" },
		{ ".txt", "text/plain" },
		{ ".csv", "text/csv" },
		{ ".json", "application/json" },
		{ ".xml", "application/xml" },
		{ ".zip", "application/zip" },
		{ ".odt", "application/vnd.oasis.opendocument.text" },
		{ ".docx",
		    "application/vnd.openxmlformats-officedocument.wordprocessingml.document" },
		{ ".xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" },
	};
	const char *dot = strrchr(name, '.');
	for (size_t i = 0; dot != NULL && i < sizeof(types) / sizeof(*types); i++) {
		if (strcasecmp(dot, types[i].ending) == 0)
			return types[i].type;
	}
	return "application/octet-stream";
}

struct upload {
	const char *file, *name;
	int fd;
	uint64_t length;
	uint8_t *handle;
	unsigned waiting; /* answers that are still to come */
};

static enum err
open_upload(struct upload *u, struct failure *why)
{
	struct stat st;
	const char *slash = strrchr(u->file, '/');
	u->name = slash != NULL ? slash + 1 : u->file;
	if (*u->file == '\0')
		return failure_set(why, ERR_USAGE, _("--attach: which file?"));
	if (!utf8_is_valid(bytes_str(u->name)))
		return failure_set(why, ERR_VALUE,
		    _("the name of %s is not in UTF-8: attach a copy with another name"), u->file);
	/* O_NONBLOCK: the open of a pipe would wait for its writer */
	u->fd = open(u->file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (u->fd < 0 || fstat(u->fd, &st) != 0)
		return failure_errno(
		    why, ERR_NOT_FOUND, _("the attachment %s cannot be read"), u->file);
	if (!S_ISREG(st.st_mode))
		return failure_set(why, ERR_VALUE, _("the attachment %s is not a file"), u->file);
	if ((uint64_t)st.st_size > ATTACHMENT_MAX_BYTES)
		return failure_set(
		    why, ERR_TOO_LARGE, _("the attachment %s is larger than 2 GiB"), u->file);
	if (strlen(u->name) > ATTACHMENT_NAME_MAX_BYTES)
		return failure_set(why, ERR_TOO_LARGE, _("the name of %s is too long"), u->file);
	u->length = (uint64_t)st.st_size;
	if (getrandom(u->handle, HANDLE_BYTES, 0) != HANDLE_BYTES)
		return failure_errno(why, ERR_SYSTEM, "getrandom");
	return OK;
}

static enum err
take_done(struct client *client, unsigned *waiting)
{
	CLEANUP(proto_wipe_drop) Citex__Answer *answer = NULL;
	enum err e = client_receive(client, CITEX__ANSWER__WHAT_DONE, &answer);
	(*waiting)--;
	return e;
}

static enum err
put_piece(struct client *client, const struct upload *u, uint64_t offset, struct bytes data)
{
	Citex__Put put = CITEX__PUT__INIT;
	Citex__Request r = CITEX__REQUEST__INIT;
	put.handle = (ProtobufCBinaryData){ HANDLE_BYTES, u->handle };
	put.name = (char *)(uintptr_t)u->name;
	put.media_type = (char *)(uintptr_t)media_type_of(u->name);
	put.length = u->length;
	put.offset = offset;
	put.data = pb_of_bytes(data);
	r.what_case = CITEX__REQUEST__WHAT_PUT;
	r.put = &put;
	return client_send(client, &r);
}

static enum err
read_piece(const struct upload *u, uint64_t offset, uint8_t *piece, size_t len, struct failure *why)
{
	size_t have = 0;
	while (have < len) {
		ssize_t n = pread(u->fd, piece + have, len - have, (off_t)(offset + have));
		if (n < 0)
			return failure_errno(why, ERR_IO, "%s", u->file);
		if (n == 0)
			return failure_set(why, ERR_VALUE,
			    _("%s became shorter while it was read; nothing was sent"), u->file);
		have += (size_t)n;
	}
	return OK;
}

/* An empty file is one piece with nothing in it. */
static enum err
put_all(struct call *c, struct client *client, struct upload *u, uint8_t *piece)
{
	uint64_t offset = 0;
	enum err e;
	do {
		uint64_t left = u->length - offset;
		size_t len = left > CHUNK_PLAIN_BYTES ? CHUNK_PLAIN_BYTES : (size_t)left;
		e = read_piece(u, offset, piece, len, &c->why);
		if (e == OK && u->waiting == PUTS_IN_FLIGHT)
			e = take_done(client, &u->waiting);
		if (e == OK)
			e = put_piece(client, u, offset, (struct bytes){ piece, len });
		if (e != OK)
			return e;
		u->waiting++;
		offset += len;
		output_progress(&c->out, u->name, offset, u->length);
	} while (offset < u->length);
	while (e == OK && u->waiting > 0)
		e = take_done(client, &u->waiting);
	return e;
}

static enum err
upload(struct call *c, struct client *client, const char *file, uint8_t handle[HANDLE_BYTES])
{
	struct upload u = { .file = file, .fd = -1, .handle = handle };
	enum err e = open_upload(&u, &c->why);
	if (e == OK) {
		uint8_t *piece = xalloc(CHUNK_PLAIN_BYTES);
		e = put_all(c, client, &u, piece);
		explicit_bzero(piece, CHUNK_PLAIN_BYTES);
		free(piece);
	}
	if (u.fd >= 0)
		(void)close(u.fd);
	if (e == ERR_TIMEOUT)
		return failure_set(&c->why, e, _("the office did not take %s in time"), file);
	return e;
}

/* A request under way, and what it points to. */
struct letter {
	Citex__Submit submit;
	char id[ID_TEXT_BYTES];
	struct buffer body;
	char *to[ADDRESSEES_MAX];
	char *audience[ADDRESSEES_MAX];
	uint8_t handles[ATTACHMENTS_MAX][HANDLE_BYTES];
	ProtobufCBinaryData attachments[ATTACHMENTS_MAX];
};

static char *
text_option(const struct call *c, const char *name)
{
	const char *value = arguments_value(&c->given, name);
	return (char *)(uintptr_t)(value != NULL ? value : "");
}

static enum err
add_names(struct call *c, const char *option, char **names, size_t *count)
{
	size_t at = 0;
	for (const char *value; (value = arguments_next(&c->given, option, &at)) != NULL;) {
		if (!authority_is_valid(value))
			return failure_set(&c->why, ERR_USAGE,
			    _("--%s: `%s' is no authority, as ke.ma; see citex directory"), option,
			    value);
		if (*count == ADDRESSEES_MAX)
			return failure_set(&c->why, ERR_TOO_MANY, _("--%s: too many"), option);
		names[(*count)++] = (char *)(uintptr_t)value;
	}
	return OK;
}

static enum err
add_words(struct call *c, struct letter *l)
{
	for (size_t i = 0; i < c->given.word_count; i++) {
		char *word = c->given.words[i];
		if (!authority_is_valid(word))
			return failure_set(&c->why, ERR_USAGE,
			    _("`%s' is no authority, as ke.ma; see citex directory"), word);
		if (l->submit.n_to == ADDRESSEES_MAX)
			return failure_set(&c->why, ERR_TOO_MANY, _("too many addressees"));
		l->to[l->submit.n_to++] = word;
	}
	return OK;
}

/* To whom, and about what: by what the kind's verb takes. */
static enum err
address(struct call *c, struct letter *l)
{
	enum err e;
	l->submit.to = l->to;
	l->submit.all = arguments_has(&c->given, "all");
	l->submit.about = text_option(c, "about");
	e = add_names(c, "to", l->to, &l->submit.n_to);
	if (e != OK)
		return e;
	if (c->kind->argument == TO_AUTHORITIES || c->kind->argument == TO_DEFAULT) {
		e = add_words(c, l);
		if (e != OK)
			return e;
		if (c->kind->argument == TO_DEFAULT || l->submit.n_to > 0 || l->submit.all)
			return OK;
		return failure_set(&c->why, ERR_USAGE,
		    _("to whom? citex %s AUTHORITY …, or --all; see citex directory"),
		    c->kind->verb);
	}
	if (c->given.word_count != 1 || *l->submit.about != '\0')
		return failure_set(&c->why, ERR_USAGE,
		    _("which message? citex %s ID; see citex inbox"), c->kind->verb);
	l->submit.about = c->given.words[0];
	return OK;
}

static enum err
set_handling(struct call *c, struct letter *l)
{
	const struct code_list *uses = codes_find("uses");
	const char *use = arguments_value(&c->given, "use");
	const char *label = arguments_value(&c->given, "handling");
	if (label != NULL && tlp_label(label) == NULL)
		return failure_set(&c->why, ERR_VALUE,
		    _("--handling: `%s' is none of: red, amber+strict, amber, green, clear"),
		    label);
	if (use != NULL && uses != NULL) {
		const struct code *code = code_find(uses, use);
		if (code == NULL)
			return failure_set(&c->why, ERR_VALUE,
			    _("--use: `%s' is none of: intelligence, enforcement, evidence, "
			      "publication"),
			    use);
		use = code->code;
	}
	l->submit.handling = (char *)(uintptr_t)(label != NULL ? tlp_label(label) : "");
	l->submit.use = (char *)(uintptr_t)(use != NULL ? use : "");
	l->submit.handling_words = text_option(c, "handling-words");
	l->submit.audience = l->audience;
	return add_names(c, "audience", l->audience, &l->submit.n_audience);
}

static char *
language_of(const struct call *c)
{
	static const char *const known[] = { "en", "fr", "es" };
	const char *chosen = arguments_value(&c->given, "language");
	const char *locale = getenv("LC_ALL");
	if (chosen != NULL)
		return (char *)(uintptr_t)chosen;
	if (locale == NULL || *locale == '\0')
		locale = getenv("LC_MESSAGES");
	if (locale == NULL || *locale == '\0')
		locale = getenv("LANG");
	for (size_t i = 0; locale != NULL && i < 3; i++) {
		if (strncmp(locale, known[i], 2) == 0)
			return (char *)(uintptr_t)known[i];
	}
	return (char *)(uintptr_t) "en";
}

static enum err
write_letter(struct call *c, struct client **client, struct letter *l)
{
	enum err e = send_id(c, l->id);
	if (e == OK)
		e = address(c, l);
	if (e == OK)
		e = set_handling(c, l);
	if (e == OK)
		e = fill_form(c, client);
	if (e == OK)
		e = form_body(c->form, &l->body, &c->why);
	if (e != OK)
		return e;
	l->submit.id = l->id;
	l->submit.kind = (char *)(uintptr_t)c->kind->name;
	l->submit.body = pb_of_bytes(buffer_bytes(&l->body));
	l->submit.language = language_of(c);
	l->submit.urgent = arguments_has(&c->given, "urgent");
	l->submit.even_if_unreadable = arguments_has(&c->given, "even-if-unreadable");
	return OK;
}

static enum err
attach(struct call *c, struct client *client, struct letter *l)
{
	size_t at = 0, n = 0;
	for (const char *file; (file = arguments_next(&c->given, "attach", &at)) != NULL; n++) {
		if (n == ATTACHMENTS_MAX)
			return failure_set(&c->why, ERR_TOO_MANY,
			    _("a message has at most %d attachments"), ATTACHMENTS_MAX);
		enum err e = upload(c, client, file, l->handles[n]);
		if (e != OK)
			return e;
		l->attachments[n] = (ProtobufCBinaryData){ HANDLE_BYTES, l->handles[n] };
	}
	l->submit.attachments = l->attachments;
	l->submit.n_attachments = n;
	return OK;
}

static void
print_due(struct call *c, const struct kind *k, const char *due)
{
	char when[32];
	pretty_time(due, when);
	if (k == NULL || k->clock == NULL)
		return;
	if (*due != '\0')
		output_say(&c->out, _("The answer is due by %s UTC."), when);
	else
		output_say(
		    &c->out, _("The time for the answer begins when they have it; see: citex due"));
}

void
send_print(struct call *c, const Citex__Submitted *s, const struct kind *k)
{
	CLEANUP(buffer_release) struct buffer to = { 0 };
	pretty_list(s->to, s->n_to, &to);
	for (size_t i = 0; i < s->n_warnings; i++) {
		CLEANUP(buffer_release) struct buffer words = { 0 };
		said_append(s->warnings[i], &words);
		output_note(&c->out, _("Note: %s"), buffer_text(&words));
	}
	if (s->known)
		output_say(&c->out, _("This was sent before, to %s; nothing was sent again."),
		    buffer_text(&to));
	else if (s->n_to > 8)
		output_say(&c->out, _("On its way to %zu authorities."), s->n_to);
	else
		output_say(&c->out, _("On its way to %s."), buffer_text(&to));
	output_say(&c->out, "id %s", s->id);
	print_due(c, k, s->due);
	output_say(&c->out, _("To see how far it is: citex track %s"), s->id);
}

static enum err
submit(struct call *c, struct client *client, struct letter *l)
{
	CLEANUP(proto_wipe_drop) Citex__Answer *answer = NULL;
	Citex__Request r = CITEX__REQUEST__INIT;
	enum err e = attach(c, client, l);
	if (e != OK)
		return e;
	r.what_case = CITEX__REQUEST__WHAT_SUBMIT;
	r.submit = &l->submit;
	e = call_show(c, client, &r, CITEX__ANSWER__WHAT_SUBMITTED, &answer);
	if (answer != NULL)
		send_print(c, answer->submitted, c->kind);
	return e;
}

enum err
cmd_send(struct call *c)
{
	CLEANUP(client_drop) struct client *client = NULL;
	struct letter *l = xalloc(sizeof(*l));
	enum err e;
	l->submit = (Citex__Submit)CITEX__SUBMIT__INIT;
	e = write_letter(c, &client, l);
	if (e == OK && client == NULL)
		e = call_office(c, &client);
	if (e == OK)
		e = submit(c, client, l);
	if ((e == ERR_TIMEOUT || e == ERR_CLOSED) && l->id[0] != '\0')
		buffer_printf(&c->why.words,
		    _(" (the same command with --id %s sends nothing twice)"), l->id);
	buffer_wipe(&l->body);
	explicit_bzero(l, sizeof(*l));
	free(l);
	return e;
}
