/* SPDX-License-Identifier: Apache-2.0 */
/* Any kind's body for a person: what is set, in the order of the schema, codes
 * with their names. The message was checked by the office already; it is
 * decoded by its schema again, because the office is another process. */
#include "cli/body.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>
#include <wctype.h>

#include "cli/help.h"
#include "cli/said.h"
#include "cli/words.h"
#include "proto/codes.h"
#include "proto/limits.h"

#define LABEL_BYTES 80
#define PATH_BYTES 256

struct printer {
	struct output *to;
	const struct kind *kind;
	unsigned indent;
	char path[PATH_BYTES];
};

/* "Valid until": the name of the field, in the officer's language, with a capital. */
static void
label_of(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, char out[LABEL_BYTES])
{
	const char *name = _(help_find(m->descriptor, f)->name);
	mbstate_t state = { 0 };
	char first[MB_LEN_MAX] = "";
	wchar_t letter = 0;
	size_t taken = mbrtowc(&letter, name, strlen(name), &state), made = 0;
	if (taken != 0 && taken < (size_t)-2) {
		state = (mbstate_t){ 0 };
		made = wcrtomb(first, (wchar_t)towupper((wint_t)letter), &state);
	}
	if (made == 0 || made == (size_t)-1)
		made = taken = 0;
	(void)snprintf(out, LABEL_BYTES, "%.*s%s", (int)made, first, name + taken);
}

/* The code that stands at PATH as VALUE, and its list; NULL: none. */
static const struct code *
code_at(const struct kind *k, const char *path, const char *value, const struct code_list **list)
{
	for (size_t i = 0; i < sizeof(k->codes) / sizeof(*k->codes); i++) {
		if (k->codes[i].field == NULL)
			return NULL;
		if (strcmp(k->codes[i].field, path) != 0)
			continue;
		*list = codes_find(k->codes[i].list);
		return *list != NULL ? code_find(*list, value) : NULL;
	}
	return NULL;
}

void
body_add_value(const struct kind *kind, const char *path, const char *value, struct buffer *out)
{
	const struct code_list *list = NULL;
	const struct code *code = code_at(kind, path, value, &list);
	if (code == NULL)
		buffer_add_str(out, value);
	else
		buffer_printf(out, "%s (%s)", code->word, said_name(list, code));
}

static void
print_text(const struct printer *p, const char *label, const char *value)
{
	CLEANUP(buffer_release) struct buffer text = { 0 };
	body_add_value(p->kind, p->path, value, &text);
	output_field(p->to, p->indent, label, buffer_text(&text));
}

static void
print_number(const struct printer *p, const char *label, uint64_t value)
{
	char text[32];
	if (value == 0)
		return;
	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	output_field(p->to, p->indent, label, text);
}

static void print_fields(struct printer *p, const ProtobufCMessage *m);

static void
print_message(const struct printer *p, const char *label, const ProtobufCMessage *m)
{
	struct printer inner = *p;
	char heading[LABEL_BYTES + 16];
	if (m == NULL)
		return;
	(void)snprintf(heading, sizeof(heading), "%*s%s", (int)p->indent, "", label);
	output_say(p->to, "%s", heading);
	inner.indent += 2;
	print_fields(&inner, m);
}

/* One value of the field F of M, at AT. */
static void
print_value(const struct printer *p, const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
    const void *at)
{
	char label[LABEL_BYTES];
	label_of(m, f, label);
	switch (f->type) {
	case PROTOBUF_C_TYPE_STRING:
		print_text(p, label, *(char *const *)at);
		break;
	case PROTOBUF_C_TYPE_MESSAGE:
		print_message(p, label, *(ProtobufCMessage *const *)at);
		break;
	case PROTOBUF_C_TYPE_BOOL:
		if (*(const protobuf_c_boolean *)at != 0)
			output_field(p->to, p->indent, label, _("yes"));
		break;
	case PROTOBUF_C_TYPE_UINT64:
		print_number(p, label, *(const uint64_t *)at);
		break;
	case PROTOBUF_C_TYPE_UINT32:
		print_number(p, label, *(const uint32_t *)at);
		break;
	default:
		break; /* no kind has others: form.c cannot set them either */
	}
}

static size_t
size_of(const ProtobufCFieldDescriptor *f)
{
	if (f->type == PROTOBUF_C_TYPE_UINT32)
		return sizeof(uint32_t);
	if (f->type == PROTOBUF_C_TYPE_BOOL)
		return sizeof(protobuf_c_boolean);
	return sizeof(void *); /* strings, messages, and uint64 of the same size here */
}
_Static_assert(sizeof(uint64_t) == sizeof(void *), "size_of() counts on it");

static void
print_field(struct printer *p, const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
	const uint8_t *base = (const uint8_t *)m;
	const void *at = base + f->offset;
	if (f->label != PROTOBUF_C_LABEL_REPEATED) {
		print_value(p, m, f, at);
		return;
	}
	size_t count = *(const size_t *)(const void *)(base + f->quantifier_offset);
	const uint8_t *items = *(const uint8_t *const *)at;
	for (size_t i = 0; i < count; i++)
		print_value(p, m, f, items + i * size_of(f));
}

static void
print_fields(struct printer *p, const ProtobufCMessage *m)
{
	size_t path_len = strlen(p->path);
	for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
		(void)snprintf(p->path + path_len, sizeof(p->path) - path_len, "%s%s",
		    path_len > 0 ? "." : "", f->name);
		print_field(p, m, f);
		p->path[path_len] = '\0';
	}
}

void
body_print(struct output *o, const char *kind, struct bytes body)
{
	CLEANUP(proto_wipe_drop) ProtobufCMessage *m = NULL;
	struct printer p = { .to = o, .kind = kind_by_name(kind) };
	if (p.kind == NULL)
		output_say(
		    o, _("(this citex does not know the kind `%s': a newer one does)"), kind);
	else if (proto_unpack(p.kind->body, body, &m) != OK)
		output_say(o, _("(what it says is not of the form that this citex knows)"));
	else
		print_fields(&p, m);
}

json_t *
body_json(const char *kind, struct bytes body)
{
	CLEANUP(proto_wipe_drop) ProtobufCMessage *m = NULL;
	const struct kind *k = kind_by_name(kind);
	if (k == NULL || proto_unpack(k->body, body, &m) != OK)
		return NULL;
	return json_of_message(m);
}
