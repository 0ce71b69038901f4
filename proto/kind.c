/* SPDX-License-Identifier: Apache-2.0 */
/* What is common to all kinds: look-up, and checks that follow from a kind's
 * struct and descriptor. Not here: anything about one kind (proto/kinds/), and
 * the exchange that a message belongs to. */
#include "proto/kind.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/codes.h"
#include "proto/limits.h"

unsigned
role_from_word(const char *word)
{
	static const struct {
		const char *word;
		enum role role;
	} rows[] = {
		{ "management", ROLE_MANAGEMENT },
		{ "scientific", ROLE_SCIENTIFIC },
		{ "enforcement", ROLE_ENFORCEMENT },
		{ "secretariat", ROLE_SECRETARIAT },
		{ "committee", ROLE_COMMITTEE },
		{ "partner", ROLE_PARTNER },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (strcmp(rows[i].word, word) == 0)
			return rows[i].role;
	}
	return 0;
}

const struct kind *
kind_by_name(const char *name)
{
	for (size_t i = 0; kinds[i] != NULL; i++) {
		if (strcmp(kinds[i]->name, name) == 0)
			return kinds[i];
	}
	return NULL;
}

const struct kind *
kind_by_verb(const char *verb)
{
	for (size_t i = 0; kinds[i] != NULL; i++) {
		if (strcmp(kinds[i]->verb, verb) == 0)
			return kinds[i];
	}
	return NULL;
}

bool
kind_may_answer(const struct kind *k, const char *answer)
{
	for (size_t i = 0; k->answers[i] != NULL; i++) {
		if (strcmp(k->answers[i], answer) == 0)
			return true;
	}
	return false;
}

bool
kind_allowed(const struct kind *k, unsigned from_roles, unsigned to_roles)
{
	return (k->may_send & from_roles) != 0 && (k->may_receive & to_roles) != 0;
}

/* Something to do with each text at a path; an error ends the walk. */
struct visit {
	const char *path; /* the whole, for problems */
	enum err (*text)(char **text, struct visit *v);
	const char *list;
	struct kind_problem *problem;
	const char *found;
};

static enum err walk(const ProtobufCMessage *m, const char *path, struct visit *v) MUST_CHECK;

/* The value of F at AT; REST of the path goes on below it. */
static enum err
walk_value(const ProtobufCFieldDescriptor *f, char *at, const char *rest, struct visit *v)
{
	if (f->type == PROTOBUF_C_TYPE_STRING && *rest == '\0')
		return v->text((char **)(void *)at, v);
	if (f->type == PROTOBUF_C_TYPE_MESSAGE && *(ProtobufCMessage **)(void *)at != NULL)
		return walk(*(ProtobufCMessage **)(void *)at, rest, v);
	return OK;
}

static enum err
walk(const ProtobufCMessage *m, const char *path, struct visit *v)
{
	size_t len = strcspn(path, ".");
	const char *rest = path[len] == '.' ? path + len + 1 : path + len;
	char name[64];
	const ProtobufCFieldDescriptor *f;
	char *at;
	size_t n = 1;
	enum err e = OK;

	snprintf(name, sizeof(name), "%.*s", (int)len, path);
	f = protobuf_c_message_descriptor_get_field_by_name(m->descriptor, name);
	if (f == NULL || (f->type != PROTOBUF_C_TYPE_STRING && f->type != PROTOBUF_C_TYPE_MESSAGE))
		return OK;
	at = (char *)(uintptr_t)m + f->offset;
	if (f->label == PROTOBUF_C_LABEL_REPEATED) {
		n = *(const size_t *)((const char *)m + f->quantifier_offset);
		at = *(char **)(void *)at;
	}
	for (size_t i = 0; i < n && e == OK; i++)
		e = walk_value(f, at + i * sizeof(void *), rest, v);
	return e;
}

static enum err
find_text(char **text, struct visit *v)
{
	if (v->found == NULL && *text != NULL && **text != '\0')
		v->found = *text;
	return OK;
}

const char *
kind_text(const ProtobufCMessage *body, const char *path)
{
	struct visit v = { .path = path, .text = find_text };

	if (walk(body, path, &v) != OK || v.found == NULL)
		return "";
	return v.found;
}

static const struct code *
listed(const char *list, const char *text)
{
	const struct code_list *l = codes_find(list);

	return l == NULL ? NULL : code_find(l, text);
}

static enum err
refuse_code(const char *text, struct visit *v)
{
	return problem_set(v->problem, v->path, "`%.60s' is not in the list %s", text, v->list);
}

static enum err
check_code(char **text, struct visit *v)
{
	const struct code *row;

	if (*text == NULL || **text == '\0')
		return OK;
	row = listed(v->list, *text);
	return row != NULL && strcmp(row->code, *text) == 0 ? OK : refuse_code(*text, v);
}

static enum err
normalise_code(char **text, struct visit *v)
{
	const struct code *row;

	if (*text == NULL || **text == '\0')
		return OK;
	row = listed(v->list, *text);
	if (row == NULL)
		return refuse_code(*text, v);
	if (strcmp(row->code, *text) != 0) {
		free(*text);
		*text = xstrdup(row->code);
	}
	return OK;
}

static enum err
for_each_code(const struct kind *k, const ProtobufCMessage *body,
    enum err (*text)(char **text, struct visit *v), struct kind_problem *problem)
{
	enum err e = OK;

	for (const struct kind_codes *c = k->codes; c->field != NULL && e == OK; c++) {
		struct visit v = { c->field, text, c->list, problem, NULL };
		e = walk(body, c->field, &v);
	}
	return e;
}

enum err
kind_normalise(const struct kind *k, ProtobufCMessage *body, struct kind_problem *problem)
{
	return for_each_code(k, body, normalise_code, problem);
}

/* Each text of M, and of the messages in it, within TEXT_MAX_BYTES. */
static enum err
check_texts(const ProtobufCMessage *m, struct kind_problem *problem)
{
	for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
		bool repeated = f->label == PROTOBUF_C_LABEL_REPEATED;
		const char *base = (const char *)m;
		size_t n = repeated ? *(const size_t *)(base + f->quantifier_offset) : 1;
		void *const *at = repeated ? *(void **const *)(base + f->offset)
					   : (void *const *)(base + f->offset);

		if (f->type != PROTOBUF_C_TYPE_STRING && f->type != PROTOBUF_C_TYPE_MESSAGE)
			continue;
		for (size_t k = 0; k < n; k++) {
			if (at[k] == NULL)
				continue;
			if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
				enum err e = check_texts(at[k], problem);
				if (e != OK)
					return e;
			} else if (strlen(at[k]) > TEXT_MAX_BYTES) {
				(void)!problem_set(
				    problem, f->name, "is longer than %lu bytes", TEXT_MAX_BYTES);
				return ERR_TOO_LARGE;
			}
		}
	}
	return OK;
}

static enum err
check_body(const struct kind *k, const ProtobufCMessage *body, struct kind_problem *problem)
{
	enum err e = check_texts(body, problem);

	if (e != OK)
		return e;
	e = for_each_code(k, body, check_code, problem);
	if (e != OK)
		return e;
	return k->check(body, problem);
}

enum err
kind_decode(
    const struct kind *k, struct bytes body, ProtobufCMessage **out, struct kind_problem *problem)
{
	ProtobufCMessage *m;
	enum err e;

	*out = NULL;
	*problem = (struct kind_problem){ "", "" };
	if (body.len > CONTENT_MAX_BYTES) {
		(void)!problem_set(problem, "",
		    "this is longer than %lu bytes: shorten it, or attach what is long",
		    CONTENT_MAX_BYTES);
		return ERR_TOO_LARGE;
	}
	e = proto_unpack(k->body, body, &m);
	if (e != OK) {
		(void)!problem_set(problem, "", "is not of the form of a %s", k->name);
		return e;
	}
	e = check_body(k, m, problem);
	if (e != OK) {
		proto_wipe(m);
		return e;
	}
	*out = m;
	return OK;
}

enum err
kind_check_addressee(const struct kind *k, const ProtobufCMessage *body, unsigned roles,
    struct kind_problem *problem)
{
	if (k->release == NULL || (roles & ROLE_SECRETARIAT) == 0)
		return OK;
	if (kind_text(body, k->release)[0] != '\0')
		return OK;
	return problem_set(problem, k->release,
	    "is needed before it goes to the Secretariat: who states that it endangers no "
	    "investigation and exposes no covert technique (23(b))");
}

static enum err
replace_text(char **text, struct visit *v)
{
	if (*text != NULL && *text != protobuf_c_empty_string)
		free(*text);
	*text = xstrdup(v->found);
	return OK;
}

enum err
kind_set_release(const struct kind *k, ProtobufCMessage *body, const char *statement,
    struct kind_problem *problem)
{
	struct visit v = { .path = k->release, .text = replace_text, .found = statement };

	*problem = (struct kind_problem){ "", "" };
	if (k->release == NULL)
		return problem_set(
		    problem, "", "a %s needs no release: leave --release out", k->name);
	return walk(body, k->release, &v);
}

/* Append TEXT to OUT as one line, a blank before it, cut between characters. */
static void
add_line(const char *text, char *out)
{
	size_t len = strlen(out), room = KIND_SUBJECT_BYTES - 1;

	if (len > 0 && text[0] != '\0' && len < room)
		out[len++] = ' ';
	for (; *text != '\0' && len < room; text++) {
		bool upper = (uint8_t)text[0] == 0xc2 && (uint8_t)text[1] < 0xa0; /* U+0080 to 9F */

		out[len++] = upper || iscntrl((unsigned char)*text) ? ' ' : *text;
		text += upper ? 1 : 0;
	}
	while (*text != '\0' && len > 0 && ((unsigned char)*text & 0xc0) == 0x80)
		text--, len--;
	out[len] = '\0';
}

/* What stands at PATH, in words where it is a code. */
static const char *
readable(const struct kind *k, const ProtobufCMessage *body, const char *path)
{
	const char *text = kind_text(body, path);

	for (const struct kind_codes *c = k->codes; c->field != NULL; c++) {
		const struct code *row;

		if (strcmp(c->field, path) != 0)
			continue;
		row = listed(c->list, text);
		return row != NULL ? row->word : text;
	}
	return text;
}

void
kind_subject(const struct kind *k, const ProtobufCMessage *body, char *out)
{
	const char *at = k->subject == NULL ? "" : k->subject;
	char path[64];

	out[0] = '\0';
	while (*at != '\0') {
		size_t len = strcspn(at, " ");

		snprintf(path, sizeof(path), "%.*s", (int)len, at);
		add_line(readable(k, body, path), out);
		at += at[len] == ' ' ? len + 1 : len;
	}
	if (out[0] == '\0')
		add_line(kind_text(body, "text"), out);
}
