/* SPDX-License-Identifier: Apache-2.0 */
/* citex verify BUNDLE: what the files of a bundle prove, without an office and
 * without believing the bundle. Its manifest is not read: whatever is said here
 * comes from what somebody signed. One thing must be known from elsewhere: the
 * fingerprint of the Secretariat's directory key. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/body.h"
#include "cli/command.h"
#include "cli/said.h"
#include "cli/words.h"
#include "pki/ossl.h"
#include "pki/seal.h"
#include "pki/slip.h"
#include "proto/ids.h"

const struct option_row verify_options[] = {
	{ "pin", 0, N_("FINGERPRINT"),
	    N_("of the Secretariat's directory key, as you know it from elsewhere"), false },
	{ "show", 0, NULL, N_("print what each message says, too"), false }, { 0 }
};

#define MESSAGES_MAX 10000
#define OUTER_MAX_BYTES (16 * KIB)
#define WHY_BYTES 200
#define FINGERPRINT_BYTES 80

/* One message of the bundle. */
struct proven {
	char file[NAME_MAX + 1];
	struct opened opened;
	uint8_t digest[DIGEST_BYTES]; /* of the SignedData: what the outer fields name */
	enum err result;
	char why[WHY_BYTES];
};

/* A slip that was judged, to be told in order of time. */
struct told {
	int64_t time_ms;
	char *line; /* for people; NULL with --json */
	json_t *row; /* for programs; NULL else */
};

struct bundle {
	struct call *call;
	const char *path;
	struct directory *directory;
	char pin[FINGERPRINT_BYTES];
	struct proven *messages;
	size_t message_count, slip_count, bad_count;
	struct proof_cache cache;
	struct told *told;
	size_t told_count;
	json_t *json_messages, *json_slips; /* owned */
};

/* Names in FOLDER of the bundle that end with ENDING, in order. The caller's. */
struct names {
	char **at;
	size_t count;
};

static int
compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool
ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);
	return len > end_len && strcmp(text + len - end_len, end) == 0;
}

static void
names_list(const struct bundle *b, const char *folder, const char *ending, struct names *out)
{
	CLEANUP(buffer_release) struct buffer path = { 0 };
	DIR *dir;
	buffer_printf(&path, "%s/%s", b->path, folder);
	dir = opendir(buffer_text(&path));
	if (dir == NULL)
		return;
	for (struct dirent *entry; (entry = readdir(dir)) != NULL && out->count < MESSAGES_MAX;) {
		if (!ends_with(entry->d_name, ending))
			continue;
		out->at = xgrow(out->at, out->count + 1, sizeof(char *));
		out->at[out->count++] = xstrdup(entry->d_name);
	}
	(void)closedir(dir);
	if (out->count > 0)
		qsort(out->at, out->count, sizeof(char *), compare_names);
}

static void
names_release(struct names *n)
{
	for (size_t i = 0; i < n->count; i++)
		free(n->at[i]);
	free(n->at);
}

static enum err
read_part(
    struct bundle *b, const char *folder, const char *name, size_t max_bytes, struct buffer *out)
{
	CLEANUP(buffer_release) struct buffer path = { 0 };
	buffer_printf(&path, "%s/%s/%s", b->path, folder, name);
	return read_file(buffer_text(&path), max_bytes, out, &b->call->why);
}

/* The directory: everything else is judged by it. */

/* The fingerprint of the publisher in CONTENTS whose key signed HEAD: what the bundle claims. */
static void
claimed_pin(const Citex__SignedHead *head, struct bytes contents, char pin[FINGERPRINT_BYTES])
{
	CLEANUP(proto_drop) Citex__DirectoryContents *c = NULL;
	if (proto_unpack(&citex__directory_contents__descriptor, contents,
		(ProtobufCMessage **)(void *)&c) != OK)
		return;
	for (size_t i = 0; i < c->n_publishers; i++) {
		CLEANUP(cert_drop) struct cert *cert = NULL;
		if (cert_parse(bytes_of_pb(c->publishers[i]->certificate), &cert) != OK)
			continue;
		struct bytes key_id = { cert_key_id(cert), KEY_ID_BYTES };
		if (bytes_equal(key_id, bytes_of_pb(head->key_id)))
			cert_fingerprint(cert, pin);
	}
}

static enum err
build_directory(struct bundle *b, struct bytes head_bytes, struct bytes contents)
{
	CLEANUP(proto_drop) Citex__SignedHead *head = NULL;
	const char *known = arguments_value(&b->call->given, "pin");
	char why[WHY_BYTES] = "";
	enum err e = proto_unpack(
	    &citex__signed_head__descriptor, head_bytes, (ProtobufCMessage **)(void *)&head);
	if (e != OK)
		return failure_set(&b->call->why, e, _("the bundle's directory is damaged"));
	claimed_pin(head, contents, b->pin);
	e = directory_build(NULL,
	    &(struct directory_trust){ .pin = known != NULL ? known : b->pin }, head, contents,
	    &b->directory, why);
	if (e != OK)
		return failure_set(&b->call->why, e, _("the bundle's directory does not hold: %s"),
		    why[0] != '\0' ? why : _(err_words(e)));
	return OK;
}

static enum err
load_directory(struct bundle *b)
{
	CLEANUP(buffer_release) struct buffer head = { 0 };
	CLEANUP(buffer_release) struct buffer contents = { 0 };
	struct names heads = { 0 };
	char name[NAME_MAX + 1];
	enum err e;
	names_list(b, "directory", ".head", &heads);
	if (heads.count == 0)
		return failure_set(&b->call->why, ERR_NOT_FOUND,
		    _("%s is no bundle: it has no directory/*.head"), b->path);
	const char *newest = heads.at[heads.count - 1];
	(void)snprintf(name, sizeof(name), "%.*s.contents", (int)(strlen(newest) - 5), newest);
	e = read_part(b, "directory", newest, FRAME_MAX_BYTES, &head);
	if (e == OK)
		e = read_part(b, "directory", name, DIRECTORY_MAX_BYTES, &contents);
	if (e == OK)
		e = build_directory(b, buffer_bytes(&head), buffer_bytes(&contents));
	names_release(&heads);
	return e;
}

static void
print_directory(struct bundle *b)
{
	struct output *o = &b->call->out;
	const Citex__Head *head = directory_head(b->directory);
	char date[TIME_TEXT_BYTES];
	if (o->json)
		return;
	time_print((int64_t)head->date, date);
	output_heading(o, _("Directory"));
	output_say(o, _("Number %llu of %s, signed with the directory key of fingerprint"),
	    (unsigned long long)head->number, date);
	output_say(o, "  %s", b->pin);
	if (arguments_has(&b->call->given, "pin"))
		output_say(o, _("which is the one that you gave."));
	else
		output_say(o,
		    _("COMPARE it with the one that the Secretariat has given you (or give it with "
		      "--pin): all that follows holds only if they are the same."));
}

/* Messages */

static void
print_attachments(struct output *o, const Citex__Content *c)
{
	for (size_t i = 0; i < c->n_attachments; i++) {
		char hex[2 * DIGEST_BYTES + 1] = "", line[2 * DIGEST_BYTES + 64];
		struct bytes digest = bytes_of_pb(c->attachments[i]->digest);
		if (digest.len == DIGEST_BYTES)
			hex_encode(digest, hex);
		(void)snprintf(line, sizeof(line), _("%llu bytes, sha256 %s"),
		    (unsigned long long)c->attachments[i]->length, hex);
		output_field(o, 2, c->attachments[i]->name, line);
	}
}

static void
print_to(struct output *o, const Citex__Content *c)
{
	CLEANUP(buffer_release) struct buffer to = { 0 };
	pretty_list(c->addressees, c->n_addressees, &to);
	if (c->n_addressees == 0)
		buffer_add_str(&to, c->audience);
	output_field(o, 2, _("To"), buffer_text(&to));
}

static void
id_text(ProtobufCBinaryData bytes, char out[ID_TEXT_BYTES])
{
	struct id id;
	out[0] = '\0';
	if (id_from_bytes(bytes_of_pb(bytes), &id) == OK)
		id_print(id, out);
}

static void
print_message(struct bundle *b, const struct proven *p)
{
	struct output *o = &b->call->out;
	const Citex__Content *c = p->opened.content;
	char id[ID_TEXT_BYTES], created[TIME_TEXT_BYTES], signed_at[TIME_TEXT_BYTES];
	char key[2 * KEY_ID_BYTES + 1];
	output_gap(o);
	if (p->result != OK) {
		output_heading(o, p->file);
		output_say(o, _("  NOT PROVED: %s (%s)"), _(err_words(p->result)), p->why);
		return;
	}
	id_text(c->message_id, id);
	time_print((int64_t)c->created, created);
	time_print(p->opened.signing_time_ms, signed_at);
	hex_encode((struct bytes){ p->opened.key_id, KEY_ID_BYTES }, key);
	CLEANUP(buffer_release) struct buffer heading = { 0 };
	buffer_printf(&heading, "%s %s", c->kind, id);
	output_heading(o, buffer_text(&heading));
	output_field(o, 2, _("Said by"), c->author);
	output_field(o, 2, _("Officer"), c->officer);
	print_to(o, c);
	output_field(o, 2, _("Written"), created);
	output_field(o, 2, _("Signed"), signed_at);
	output_field(o, 2, _("With key"), key);
	output_field(o, 2, _("Handling"), c->handling != NULL ? c->handling->tlp : "");
	output_field(o, 2, _("Forwarded"), c->origin != NULL ? c->origin->author : "");
	print_attachments(o, c);
	output_say(
	    o, _("  PROVED: this was said by %s, and nothing of it was changed."), c->author);
	if (arguments_has(&b->call->given, "show"))
		body_print(o, c->kind, bytes_of_pb(c->body));
}

static json_t *
json_proven(const struct proven *p)
{
	const Citex__Content *c = p->opened.content;
	char id[ID_TEXT_BYTES], exchange[ID_TEXT_BYTES], created[TIME_TEXT_BYTES];
	char signed_at[TIME_TEXT_BYTES], key[2 * KEY_ID_BYTES + 1];
	if (p->result != OK)
		return json_pack("{s:s, s:b, s:s, s:s}", "file", p->file, "proved", 0, "error",
		    err_name(p->result), "words", p->why);
	id_text(c->message_id, id);
	id_text(c->exchange, exchange);
	time_print((int64_t)c->created, created);
	time_print(p->opened.signing_time_ms, signed_at);
	hex_encode((struct bytes){ p->opened.key_id, KEY_ID_BYTES }, key);
	return json_pack("{s:s, s:b, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "file", p->file,
	    "proved", 1, "id", id, "exchange", exchange, "kind", c->kind, "author", c->author,
	    "officer", c->officer, "created", created, "signed", signed_at, "key", key);
}

static enum err
verify_message(struct bundle *b, const char *name, struct proven *p)
{
	CLEANUP(buffer_wipe) struct buffer der = { 0 };
	enum err e = read_part(b, "messages", name, FRAME_MAX_BYTES, &der);
	if (e != OK)
		return e;
	(void)snprintf(p->file, sizeof(p->file), "messages/%s", name);
	sha256(buffer_bytes(&der), p->digest);
	p->result = signed_verify(b->directory, buffer_bytes(&der), &p->opened, p->why);
	b->bad_count += p->result != OK;
	if (b->call->out.json)
		(void)json_array_append_new(b->json_messages, json_proven(p));
	else
		print_message(b, p);
	return OK;
}

static enum err
verify_messages(struct bundle *b)
{
	struct names files = { 0 };
	enum err e = OK;
	names_list(b, "messages", ".cms", &files);
	if (files.count == 0)
		return failure_set(&b->call->why, ERR_NOT_FOUND,
		    _("%s is no bundle: it has no messages/*.cms"), b->path);
	b->messages = xalloc_array(files.count, sizeof(*b->messages));
	for (size_t i = 0; e == OK && i < files.count; i++) {
		e = verify_message(b, files.at[i], &b->messages[i]);
		b->message_count++;
	}
	names_release(&files);
	return e;
}

/* Slips: each beside the outer fields of its envelope. */

static const char *
slip_word(Citex__SlipType type)
{
	switch (type) {
	case CITEX__SLIP_TYPE__SLIP_RELAYED:
		return "relayed";
	case CITEX__SLIP_TYPE__SLIP_STORED:
		return "stored";
	case CITEX__SLIP_TYPE__SLIP_OPENED:
		return "opened";
	case CITEX__SLIP_TYPE__SLIP_SEEN:
		return "seen";
	case CITEX__SLIP_TYPE__SLIP_REFUSED:
		return "refused";
	case CITEX__SLIP_TYPE__SLIP_EXPIRED:
		return "expired";
	default:
		return "?";
	}
}

/* The message of the bundle that the outer fields O name by their digest, and that is in their
 * envelope: anybody who has it can name it in an envelope of his own. NULL: none. */
static const struct proven *
message_of(const struct bundle *b, const Citex__Outer *o)
{
	char detail[200];
	for (size_t i = 0; i < b->message_count; i++) {
		struct bytes digest = BYTES_OF(b->messages[i].digest);
		if (b->messages[i].result == OK &&
		    bytes_equal(digest, bytes_of_pb(o->signed_digest)) &&
		    content_fits(
			b->messages[i].opened.content, o, b->directory, o->addressee, detail) == OK)
			return &b->messages[i];
	}
	return NULL;
}

static enum err
judge_slip(struct bundle *b, const struct slip *s, const struct envelope *e,
    const struct proven **message, const char **why)
{
	enum err result = slip_verify(&b->cache, b->directory, s);
	*why = _("its signature");
	if (result != OK)
		return result;
	*why = _("it speaks of another envelope, or its maker may not say so");
	result = slip_fits(b->directory, s, e);
	if (result != OK)
		return result;
	*why = _("the message it speaks of is not proved here");
	*message = message_of(b, e->outer);
	return *message != NULL ? OK : ERR_NOT_FOUND;
}

static void
tell_slip(struct bundle *b, const char *file, const struct slip *s, const struct envelope *e,
    enum err result, const struct proven *message, const char *why)
{
	CLEANUP(buffer_release) struct buffer line = { 0 };
	char id[ID_TEXT_BYTES] = "", when[TIME_TEXT_BYTES];
	const char *word = slip_word(s->body->type);
	struct told told = { .time_ms = (int64_t)s->body->time };
	if (message != NULL)
		id_text(message->opened.content->message_id, id);
	time_print((int64_t)s->body->time, when);
	if (result == OK)
		buffer_printf(&line, _("  %s  %.13s  %s: %s, says %s"), when, id,
		    e->outer->addressee, said_word(word), s->body->maker);
	else
		buffer_printf(&line, _("  %s  NOT PROVED: %s: %s (%s)"), when, file,
		    _(err_words(result)), why);
	if (b->call->out.json)
		told.row = json_pack("{s:s, s:b, s:s, s:s, s:s, s:s, s:s}", "file", file, "proved",
		    result == OK, "message", id, "addressee", e->outer->addressee, "state", word,
		    "time", when, "maker", s->body->maker);
	else
		told.line = xstrdup(buffer_text(&line));
	b->told = xgrow(b->told, b->told_count + 1, sizeof(*b->told));
	b->told[b->told_count++] = told;
}

static int
compare_told(const void *a, const void *b)
{
	const struct told *x = a, *y = b;
	return x->time_ms < y->time_ms ? -1 : x->time_ms > y->time_ms;
}

static void
show_told(struct bundle *b)
{
	if (b->told_count > 0)
		qsort(b->told, b->told_count, sizeof(*b->told), compare_told);
	for (size_t i = 0; i < b->told_count; i++) {
		if (b->told[i].line != NULL)
			output_say(&b->call->out, "%s", b->told[i].line);
		if (b->told[i].row != NULL)
			(void)json_array_append_new(b->json_slips, b->told[i].row);
		free(b->told[i].line);
	}
	free(b->told);
	b->told = NULL;
	b->told_count = 0;
}

static enum err
verify_slip(struct bundle *b, const char *name, const struct envelope *envelope)
{
	CLEANUP(buffer_release) struct buffer packed = { 0 };
	CLEANUP(slip_release) struct slip slip = { 0 };
	const struct proven *message = NULL;
	const char *why = _("its bytes");
	enum err e = read_part(b, "slips", name, SLIP_MAX_BYTES, &packed);
	if (e != OK)
		return e;
	e = slip_parse(buffer_bytes(&packed), &slip);
	if (e != OK) {
		b->bad_count++;
		output_note(&b->call->out, "slips/%s: %s", name, _(err_words(e)));
		return OK;
	}
	e = judge_slip(b, &slip, envelope, &message, &why);
	b->bad_count += e != OK;
	b->slip_count += e == OK;
	tell_slip(b, name, &slip, envelope, e, message, why);
	return OK;
}

/* All slips whose file begins as the outer fields' one does. */
static enum err
verify_outer(struct bundle *b, const char *name, const struct names *slips)
{
	CLEANUP(buffer_release) struct buffer bytes = { 0 };
	CLEANUP(proto_drop) Citex__Outer *outer = NULL;
	struct envelope envelope = { 0 };
	size_t len = strlen(name) - strlen(".outer");
	enum err e = read_part(b, "slips", name, OUTER_MAX_BYTES, &bytes);
	if (e != OK)
		return e;
	if (proto_unpack(&citex__outer__descriptor, buffer_bytes(&bytes),
		(ProtobufCMessage **)(void *)&outer) != OK ||
	    id_from_bytes(bytes_of_pb(outer->envelope_id), &envelope.id) != OK) {
		b->bad_count++;
		output_note(&b->call->out, "slips/%s: %s", name, _(err_words(ERR_MALFORMED)));
		return OK;
	}
	envelope.outer = outer; /* borrowed: only what slip_fits() looks at is set */
	sha256(buffer_bytes(&bytes), envelope.digest);
	for (size_t i = 0; e == OK && i < slips->count; i++) {
		if (strncmp(slips->at[i], name, len) == 0)
			e = verify_slip(b, slips->at[i], &envelope);
	}
	return e;
}

static bool
has_outer(const struct names *outers, const char *slip)
{
	for (size_t i = 0; i < outers->count; i++) {
		size_t len = strlen(outers->at[i]) - strlen(".outer");
		if (strncmp(outers->at[i], slip, len) == 0)
			return true;
	}
	return false;
}

static enum err
verify_slips(struct bundle *b)
{
	struct names outers = { 0 }, slips = { 0 };
	enum err e = OK;
	names_list(b, "slips", ".outer", &outers);
	names_list(b, "slips", ".slip", &slips);
	if (!b->call->out.json) {
		output_gap(&b->call->out);
		output_heading(&b->call->out, _("What became of them"));
	}
	for (size_t i = 0; e == OK && i < outers.count; i++)
		e = verify_outer(b, outers.at[i], &slips);
	for (size_t i = 0; i < slips.count; i++) {
		if (has_outer(&outers, slips.at[i]))
			continue;
		b->bad_count++;
		output_note(&b->call->out,
		    _("slips/%s: NOT PROVED: the outer fields that it speaks of are missing"),
		    slips.at[i]);
	}
	show_told(b);
	names_release(&outers);
	names_release(&slips);
	return e;
}

/* "GOOD: 1 message and 3 receipts are proved." */
static void
print_good(const struct bundle *b)
{
	CLEANUP(buffer_release) struct buffer messages = { 0 };
	CLEANUP(buffer_release) struct buffer receipts = { 0 };
	buffer_printf(
	    &messages, ngettext("%zu message", "%zu messages", b->message_count), b->message_count);
	buffer_printf(
	    &receipts, ngettext("%zu receipt", "%zu receipts", b->slip_count), b->slip_count);
	output_say(&b->call->out, _("GOOD: %s and %s are proved."), buffer_text(&messages),
	    buffer_text(&receipts));
}

static void
print_end(struct bundle *b)
{
	struct output *o = &b->call->out;
	if (o->json) {
		output_json(o,
		    json_pack("{s:s, s:I, s:s, s:b, s:O, s:O, s:b}", "bundle", b->path, "directory",
			(json_int_t)directory_number(b->directory), "fingerprint", b->pin, "pinned",
			arguments_has(&b->call->given, "pin"), "messages", b->json_messages,
			"slips", b->json_slips, "good", b->bad_count == 0));
		return;
	}
	if (b->slip_count == 0)
		output_say(o,
		    _("  There is no receipt in this bundle: nothing proves that a message "
		      "arrived."));
	output_gap(o);
	output_heading(o, _("What this cannot tell"));
	output_say(
	    o, _("- whether messages of the exchange are missing: only what is here was checked;"));
	output_say(o, _("- whether the times are right: they are those of who signed;"));
	output_say(o, _("- whether what was said is true, and whether a person has read it;"));
	output_say(o, _("- whether a key was revoked after this directory was signed."));
	output_gap(o);
	if (b->bad_count == 0)
		print_good(b);
}

static enum err
verify(struct bundle *b)
{
	enum err e = load_directory(b);
	if (e != OK)
		return e;
	print_directory(b);
	e = verify_messages(b);
	if (e == OK)
		e = verify_slips(b);
	if (e != OK)
		return e;
	print_end(b);
	if (b->bad_count == 0)
		return OK;
	return failure_set(&b->call->why, ERR_SIGNATURE,
	    ngettext("%zu part of the bundle is NOT proved: do not rely on it",
		"%zu parts of the bundle are NOT proved: do not rely on it", b->bad_count),
	    b->bad_count);
}

enum err
cmd_verify(struct call *c)
{
	struct bundle b = { .call = c, .path = c->given.words[0] };
	enum err e = ossl_init();
	if (e != OK)
		return failure_set(&c->why, e, _("OpenSSL cannot be used here"));
	b.json_messages = json_array();
	b.json_slips = json_array();
	e = verify(&b);
	for (size_t i = 0; i < b.message_count; i++)
		opened_release(&b.messages[i].opened);
	free(b.messages);
	directory_free(b.directory);
	json_decref(b.json_messages);
	json_decref(b.json_slips);
	return e;
}
