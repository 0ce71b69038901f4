/* SPDX-License-Identifier: Apache-2.0 */
/* From what an officer types to a kind's body. The body is kept as JSON until
 * the end: options, --from and --edit all write there, and only
 * json_to_message() and kind_decode() make and judge the message. Not settable
 * by an option: bytes and floating point, which no kind uses. */
#include "cli/form.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/help.h"
#include "cli/said.h"
#include "cli/words.h"
#include "proto/codes.h"
#include "proto/limits.h"

#define PATH_BYTES 128
#define WORDS_SHOWN_MAX 16 /* codes named in a summary or an error; more are listed by `codes' */

struct form_field {
	const ProtobufCFieldDescriptor *steps[PROTO_DEPTH_MAX];
	size_t depth;
	char path[PATH_BYTES]; /* names joined by dots */
	const struct code_list *codes;
	size_t
	    group; /* 1 + index in STEPS of the innermost message that may be repeated; 0: none */
	bool begins; /* the first field of its group */
};

struct form {
	const struct kind *kind;
	const struct arguments *taken;
	struct option_row *rows; /* COUNT, and one with NAME NULL */
	struct form_field *fields;
	size_t count;
	json_t *body;
};

static bool
is_repeated(const ProtobufCFieldDescriptor *d)
{
	return d->label == PROTOBUF_C_LABEL_REPEATED;
}

static bool
is_number(const ProtobufCFieldDescriptor *d)
{
	return d->type == PROTOBUF_C_TYPE_UINT32 || d->type == PROTOBUF_C_TYPE_UINT64 ||
	    d->type == PROTOBUF_C_TYPE_INT32 || d->type == PROTOBUF_C_TYPE_INT64;
}

static bool
is_settable(const ProtobufCFieldDescriptor *d)
{
	return is_number(d) || d->type == PROTOBUF_C_TYPE_STRING || d->type == PROTOBUF_C_TYPE_BOOL;
}

static const struct code_list *
codes_of(const struct kind *k, const char *path)
{
	for (size_t i = 0; i < sizeof(k->codes) / sizeof(*k->codes); i++) {
		if (k->codes[i].field == NULL)
			return NULL;
		if (strcmp(k->codes[i].field, path) == 0)
			return codes_find(k->codes[i].list);
	}
	return NULL;
}

static void
join_words(const struct code_list *list, struct buffer *out)
{
	size_t n = 0;
	bool telling = false; /* words that say something, unlike `t, z, g' */
	for (; list->rows[n].code != NULL; n++)
		telling = telling || strlen(list->rows[n].word) > 3;
	if (n > WORDS_SHOWN_MAX || !telling) {
		buffer_printf(out, _("a code or word of `citex codes %s'"), list->name);
		return;
	}
	for (size_t i = 0; i < n; i++)
		buffer_printf(out, "%s%s", i > 0 ? ", " : "", list->rows[i].word);
}

/* "permit type: export, import", "permit number (box 1)" */
static char *
summary_of(const struct form_field *f, const ProtobufCMessageDescriptor *body)
{
	CLEANUP(buffer_release) struct buffer out = { 0 };
	const struct help_row *help = NULL;
	for (size_t i = 0; i < f->depth; i++) {
		help = help_find(body, f->steps[i]);
		body = f->steps[i]->descriptor;
		/* For a blank between "permit" and "number": the number of the permit. */
		if (i > f->group)
			buffer_add_str(&out, _(" "));
		if (i >= f->group)
			buffer_add_str(&out, _(help->name));
	}
	if (f->codes != NULL) {
		buffer_add_str(&out, _(": "));
		join_words(f->codes, &out);
	} else if (help != NULL && help->words != NULL)
		buffer_printf(&out, " (%s)", _(help->words));
	return xstrdup(buffer_text(&out));
}

static bool
ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);
	return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

static const char *
argument_of(const struct form_field *f)
{
	const ProtobufCFieldDescriptor *last = f->steps[f->depth - 1];
	if (last->type == PROTOBUF_C_TYPE_BOOL)
		return NULL;
	if (f->codes != NULL)
		return N_("WORD");
	if (is_number(last))
		return N_("NUMBER");
	if (ends_with(last->name, "date") || strncmp(last->name, "valid_", 6) == 0 ||
	    ends_with(last->name, "until"))
		return N_("YYYY-MM-DD");
	return N_("TEXT");
}

static bool
is_taken(const struct form *f, const char *name)
{
	for (size_t i = 0; i < f->count; i++) {
		if (strcmp(f->rows[i].name, name) == 0)
			return true;
	}
	for (size_t i = 0; i < f->taken->row_count; i++) {
		if (strcmp(f->taken->rows[i]->name, name) == 0)
			return true;
	}
	return false;
}

/* The steps FROM on, joined by dashes. */
static char *
name_of(const struct form_field *f, size_t from)
{
	char name[PATH_BYTES] = "";
	size_t len = 0;
	for (size_t i = from; i < f->depth && len < sizeof(name) - 1; i++)
		len += (size_t)snprintf(
		    name + len, sizeof(name) - len, "%s%s", i > from ? "-" : "", f->steps[i]->name);
	for (char *at = name; *at != '\0'; at++) {
		if (*at == '_')
			*at = '-';
	}
	return xstrdup(name);
}

static void
add_field(struct form *f, const struct form_field *field)
{
	const ProtobufCFieldDescriptor *last = field->steps[field->depth - 1];
	struct option_row *row;
	size_t from = field->group;
	char *name = name_of(field, from);
	while (is_taken(f, name) && from > 0) {
		free(name);
		name = name_of(field, --from);
	}
	f->fields = xgrow(f->fields, f->count + 1, sizeof(*f->fields));
	f->rows = xgrow(f->rows, f->count + 2, sizeof(*f->rows));
	f->fields[f->count] = *field;
	row = &f->rows[f->count];
	*row = (struct option_row){ .name = name,
		.argument = argument_of(field),
		.summary = summary_of(field, f->kind->body),
		.several = field->group > 0 || is_repeated(last) };
	f->rows[++f->count] = (struct option_row){ 0 };
}

/* Add the fields of D, which FIELD's steps lead to. */
static void
walk(struct form *f, const ProtobufCMessageDescriptor *d, struct form_field field)
{
	size_t path_len = strlen(field.path);
	for (unsigned i = 0; i < d->n_fields; i++) {
		const ProtobufCFieldDescriptor *step = &d->fields[i];
		struct form_field next = field;
		if (field.depth == PROTO_DEPTH_MAX)
			return;
		next.steps[next.depth++] = step;
		(void)snprintf(next.path + path_len, sizeof(next.path) - path_len, "%s%s",
		    path_len > 0 ? "." : "", step->name);
		if (step->type == PROTOBUF_C_TYPE_MESSAGE) {
			if (is_repeated(step)) {
				next.group = next.depth;
				next.begins = true;
			}
			walk(f, step->descriptor, next);
		} else if (is_settable(step)) {
			next.codes = codes_of(f->kind, next.path);
			add_field(f, &next);
		}
		field.begins = false;
	}
}

struct form *
form_new(const struct kind *k, const struct arguments *taken)
{
	struct form *f = xalloc(sizeof(*f));
	f->kind = k;
	f->taken = taken;
	f->rows = xalloc(sizeof(*f->rows));
	f->body = json_object();
	walk(f, k->body, (struct form_field){ 0 });
	f->taken = NULL;
	return f;
}

void
form_free(struct form *f)
{
	if (f == NULL)
		return;
	for (size_t i = 0; i < f->count; i++) {
		free((char *)(uintptr_t)f->rows[i].name);
		free((char *)(uintptr_t)f->rows[i].summary);
	}
	free(f->rows);
	free(f->fields);
	json_decref(f->body);
	free(f);
}

void
form_drop(struct form **f)
{
	form_free(*f);
	*f = NULL;
}

const struct option_row *
form_options(const struct form *f)
{
	return f->rows;
}

static const struct form_field *
field_of(const struct form *f, const struct option_row *row)
{
	if (row < f->rows || row >= f->rows + f->count)
		return NULL;
	return &f->fields[row - f->rows];
}

const struct code_list *
form_codes(const struct form *f, const struct option_row *row)
{
	const struct form_field *field = field_of(f, row);
	return field != NULL ? field->codes : NULL;
}

/* PATH may carry an index at a repeated message (`specimens[1].species'): passed over. */
static bool
same_path(const char *path, const char *ours)
{
	while (*path != '\0') {
		if (*path == '[') {
			while (*path != '\0' && *path != ']')
				path++;
			path += *path == ']';
			continue;
		}
		if (*path++ != *ours++)
			return false;
	}
	return *ours == '\0';
}

const char *
form_option_name(const struct form *f, const char *path)
{
	for (size_t i = 0; i < f->count; i++) {
		if (same_path(path, f->fields[i].path))
			return f->rows[i].name;
	}
	return NULL;
}

enum err
form_load_json(struct form *f, struct bytes from, struct failure *why)
{
	json_error_t error;
	json_t *body = json_loadb((const char *)from.at, from.len, JSON_REJECT_DUPLICATES, &error);
	if (body == NULL)
		return failure_set(why, ERR_VALUE, _("this is no JSON: line %d, column %d: %s"),
		    error.line, error.column, error.text);
	if (!json_is_object(body)) {
		json_decref(body);
		return failure_set(why, ERR_VALUE, _("the JSON is not one object { … }"));
	}
	json_decref(f->body);
	f->body = body;
	return OK;
}

static bool prune(json_t *value);

static bool
takes_over(const struct kind *k, const char *field)
{
	for (size_t i = 0; k->takes_over[i] != NULL; i++) {
		if (strcmp(k->takes_over[i], field) == 0)
			return true;
	}
	return false;
}

enum err
form_take_over(struct form *f, const struct kind *from, struct bytes body, struct failure *why)
{
	CLEANUP(proto_wipe_drop) ProtobufCMessage *m = NULL;
	enum err e = proto_unpack(from->body, body, &m);
	json_t *known = e == OK ? json_of_message(m) : NULL;
	json_t *value;
	const char *name;
	if (known == NULL)
		return failure_set(why, ERR_MALFORMED, "%s: %s", from->name, err_words(e));
	(void)prune(known);
	json_object_foreach(known, name, value)
	{
		if (takes_over(f->kind, name) && json_object_get(f->body, name) == NULL)
			(void)json_object_set(f->body, name, value);
	}
	json_decref(known);
	return OK;
}

static bool
is_set(const json_t *value)
{
	if (json_is_string(value))
		return json_string_length(value) > 0;
	if (json_is_array(value))
		return json_array_size(value) > 0;
	return value != NULL && !json_is_null(value);
}

/* Is the field at STEPS[FROM..] set within OBJECT? */
static bool
is_set_within(const struct form_field *field, size_t from, const json_t *object)
{
	for (size_t i = from; i < field->depth - 1; i++)
		object = json_object_get(object, field->steps[i]->name);
	return is_set(json_object_get(object, field->steps[field->depth - 1]->name));
}

/* The element of the array NAME in OBJECT that is filled now. FRESH: begin a new one. */
static json_t *
element(json_t *object, const char *name, bool fresh)
{
	json_t *array = json_object_get(object, name), *last;
	if (!json_is_array(array)) {
		json_t *single = json_is_object(array) ? json_incref(array) : NULL;
		array = json_array();
		if (single != NULL) /* --from may hold one alone */
			(void)json_array_append_new(array, single);
		(void)json_object_set_new(object, name, array);
	}
	last = json_array_get(array, json_array_size(array) - 1);
	if (last != NULL && (!fresh || json_object_size(last) == 0))
		return last;
	last = json_object();
	(void)json_array_append_new(array, last);
	return last;
}

/* The innermost object on the way to FIELD, made where it is missing. BEGIN: a new element of its
 * group, else a new one only when the field is set in the last. */
static json_t *
holder(struct form *f, const struct form_field *field, bool begin)
{
	json_t *at = f->body;
	for (size_t i = 0; i < field->depth - 1; i++) {
		const char *name = field->steps[i]->name;
		if (is_repeated(field->steps[i])) {
			json_t *last = element(at, name, false);
			bool fresh =
			    i + 1 == field->group && (begin || is_set_within(field, i + 1, last));
			at = fresh ? element(at, name, true) : last;
			continue;
		}
		json_t *child = json_object_get(at, name);
		if (!json_is_object(child)) {
			child = json_object();
			(void)json_object_set_new(at, name, child);
		}
		at = child;
	}
	return at;
}

static enum err
take_code(const struct option_row *row, const struct code_list *list, const char *text,
    struct failure *why, json_t **out)
{
	CLEANUP(buffer_release) struct buffer words = { 0 };
	const struct code *code = code_find(list, text);
	if (code != NULL) {
		*out = json_string(code->code);
		return OK;
	}
	join_words(list, &words);
	return failure_set(
	    why, ERR_VALUE, _("--%s: `%s' is none of: %s"), row->name, text, buffer_text(&words));
}

static enum err
number_value(const struct option_row *row, const char *text, struct failure *why, json_t **out)
{
	json_int_t value = 0;
	size_t i = text[0] == '-';
	for (; isdigit((unsigned char)text[i]) && value < 1000000000000000; i++)
		value = value * 10 + (text[i] - '0');
	if (text[i] != '\0' || !isdigit((unsigned char)text[i > 0 ? i - 1 : 0]))
		return failure_set(why, ERR_VALUE, _("--%s: `%s' is no number"), row->name, text);
	*out = json_integer(text[0] == '-' ? -value : value);
	return OK;
}

static enum err
text_value(const struct option_row *row, const char *text, struct failure *why, json_t **out)
{
	*out = json_string(text);
	if (*out == NULL)
		return failure_set(why, ERR_VALUE,
		    _("--%s: this text is not in UTF-8; set your terminal to UTF-8"), row->name);
	return OK;
}

static enum err
value_of(const struct form_field *field, const struct option_row *row, const char *text,
    struct failure *why, json_t **out)
{
	const ProtobufCFieldDescriptor *last = field->steps[field->depth - 1];
	if (last->type == PROTOBUF_C_TYPE_BOOL) {
		bool no = text != NULL && (strcmp(text, "no") == 0 || strcmp(text, "false") == 0);
		*out = json_boolean(!no);
		return OK;
	}
	if (field->codes != NULL)
		return take_code(row, field->codes, text, why, out);
	if (is_number(last))
		return number_value(row, text, why, out);
	return text_value(row, text, why, out);
}

static enum err
set(struct form *f, const struct option_row *row, const char *text, bool begin, struct failure *why)
{
	const struct form_field *field = field_of(f, row);
	const ProtobufCFieldDescriptor *last = field->steps[field->depth - 1];
	json_t *value = NULL, *object;
	enum err e = value_of(field, row, text, why, &value);
	if (e != OK)
		return e;
	object = holder(f, field, begin);
	if (!is_repeated(last))
		return json_object_set_new(object, last->name, value) == 0 ? OK : ERR_NO_MEMORY;
	json_t *array = json_object_get(object, last->name);
	if (!json_is_array(array)) {
		json_t *single = is_set(array) ? json_incref(array) : NULL;
		array = json_array();
		if (single != NULL)
			(void)json_array_append_new(array, single);
		(void)json_object_set_new(object, last->name, array);
	}
	return json_array_append_new(array, value) == 0 ? OK : ERR_NO_MEMORY;
}

enum err
form_take_arguments(struct form *f, const struct arguments *a, struct failure *why)
{
	for (size_t i = 0; i < a->given_count; i++) {
		if (field_of(f, a->given[i].option) == NULL)
			continue;
		enum err e = set(f, a->given[i].option, a->given[i].value, false, why);
		if (e != OK)
			return e;
	}
	return OK;
}

bool
form_is_empty(const struct form *f)
{
	return json_object_size(f->body) == 0;
}

/* Lines for a person: first what the field takes, then `name: value'. */

static void
write_value(const struct option_row *row, const json_t *value, struct buffer *out)
{
	buffer_printf(out, "%s:", row->name);
	if (json_is_string(value)) {
		buffer_add_u8(out, ' ');
		for (const char *at = json_string_value(value); *at != '\0'; at++) {
			buffer_add_u8(out, (uint8_t)*at);
			if (*at == '\n') /* goes on with a blank at the beginning */
				buffer_add_str(out, "    ");
		}
	} else if (json_is_integer(value))
		buffer_printf(out, " %lld", (long long)json_integer_value(value));
	else if (json_is_boolean(value))
		buffer_add_str(out, json_is_true(value) ? " yes" : " no");
	buffer_add_u8(out, '\n');
}

/* Each value of FIELD within OBJECT, which its STEPS[FROM..] start from; an empty line when there
 * is none. */
static void
write_field(const struct form_field *field, const struct option_row *row, size_t from,
    const json_t *object, struct buffer *out)
{
	const json_t *value;
	for (size_t i = from; i < field->depth - 1; i++)
		object = json_object_get(object, field->steps[i]->name);
	value = json_object_get(object, field->steps[field->depth - 1]->name);
	if (!json_is_array(value)) {
		write_value(row, value, out);
		return;
	}
	for (size_t i = 0; i < json_array_size(value); i++)
		write_value(row, json_array_get(value, i), out);
}

static void
write_hint(const struct form *f, size_t i, struct buffer *out)
{
	if (f->fields[i].codes != NULL || ends_with(f->fields[i].path, "date"))
		buffer_printf(out, "# %s\n",
		    f->fields[i].codes != NULL ? f->rows[i].summary : _(f->rows[i].argument));
}

static size_t
group_end(const struct form *f, size_t first)
{
	size_t depth = f->fields[first].group, end = first + 1;
	while (end < f->count && f->fields[end].group >= depth &&
	    f->fields[end].steps[depth - 1] == f->fields[first].steps[depth - 1])
		end++;
	return end;
}

static void
write_element(const struct form *f, size_t first, size_t end, const json_t *object, bool hints,
    struct buffer *out)
{
	for (size_t i = first; i < end; i++) {
		if (hints)
			write_hint(f, i, out);
		write_field(&f->fields[i], &f->rows[i], f->fields[first].group, object, out);
	}
}

/* The elements of a group, or the lines for one that is not there yet. */
static void
write_group(const struct form *f, size_t first, size_t end, struct buffer *out)
{
	const struct form_field *field = &f->fields[first];
	const json_t *at = f->body;
	size_t count;
	for (size_t i = 0; i < field->group; i++)
		at = json_object_get(at, field->steps[i]->name);
	count = json_array_size(at);
	buffer_printf(out, _("# For each further one, repeat these lines from `%s' on.\n"),
	    f->rows[first].name);
	if (count == 0)
		write_element(f, first, end, json_is_object(at) ? at : NULL, true, out);
	for (size_t i = 0; i < count; i++)
		write_element(f, first, end, json_array_get(at, i), i == 0, out);
}

void
form_write(const struct form *f, struct buffer *out)
{
	buffer_printf(out,
	    _("# citex %s: %s\n"
	      "# Write behind the colons; a line that begins with blanks goes on with the one "
	      "above.\n"
	      "# What stays empty is not sent. Lines with # are not read.\n"),
	    f->kind->verb, _(f->kind->summary));
	for (size_t i = 0; i < f->count;) {
		if (f->fields[i].begins) {
			size_t end = group_end(f, i);
			write_group(f, i, end, out);
			i = end;
			continue;
		}
		write_hint(f, i, out);
		write_field(&f->fields[i], &f->rows[i], 0, f->body, out);
		i++;
	}
}

/* Take the next line off *TEXT, without its line feed. */
static struct bytes
next_line(struct bytes *text)
{
	const uint8_t *end = memchr(text->at, '\n', text->len);
	struct bytes line = { text->at, end != NULL ? (size_t)(end - text->at) : text->len };
	size_t taken = line.len + (end != NULL);
	text->at += taken;
	text->len -= taken;
	if (line.len > 0 && line.at[line.len - 1] == '\r')
		line.len--;
	return line;
}

static bool
is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

static struct bytes
trimmed(struct bytes b)
{
	while (b.len > 0 && is_blank(b.at[0])) {
		b.at++;
		b.len--;
	}
	while (b.len > 0 && is_blank(b.at[b.len - 1]))
		b.len--;
	return b;
}

static const struct option_row *
row_named(const struct form *f, struct bytes name)
{
	for (size_t i = 0; i < f->count; i++) {
		if (bytes_equal(bytes_str(f->rows[i].name), name))
			return &f->rows[i];
	}
	return NULL;
}

/* One line and those that go on with it, as an option; *TEXT is after them. */
static enum err
read_entry(struct form *f, struct bytes line, struct bytes *text, struct failure *why)
{
	CLEANUP(buffer_wipe) struct buffer value = { 0 };
	const uint8_t *colon = memchr(line.at, ':', line.len);
	size_t name_len = colon != NULL ? (size_t)(colon - line.at) : 0;
	struct bytes name = trimmed((struct bytes){ line.at, name_len });
	const struct option_row *row = name.len > 0 ? row_named(f, name) : NULL;
	if (row == NULL)
		return failure_set(why, ERR_VALUE,
		    _("this line of the form is not understood: %.*s"),
		    (int)(line.len > 60 ? 60 : line.len), (const char *)line.at);
	buffer_add(&value, trimmed((struct bytes){ colon + 1, line.len - name_len - 1 }));
	while (text->len > 0 && is_blank(text->at[0])) {
		buffer_add_u8(&value, '\n');
		buffer_add(&value, trimmed(next_line(text)));
	}
	while (value.len > 0 && value.at[value.len - 1] == '\n')
		value.len--;
	const struct form_field *field = field_of(f, row);
	if (field->begins)
		(void)holder(f, field, true);
	if (value.len == 0)
		return OK;
	if (memchr(value.at, '\0', value.len) != NULL)
		return failure_set(
		    why, ERR_VALUE, _("--%s: there is a zero byte in it"), row->name);
	return set(f, row, buffer_text(&value), false, why);
}

enum err
form_read(struct form *f, struct bytes lines, struct failure *why)
{
	json_decref(f->body);
	f->body = json_object();
	while (lines.len > 0) {
		struct bytes line = next_line(&lines);
		if (trimmed(line).len == 0 || line.at[0] == '#')
			continue;
		enum err e = read_entry(f, line, &lines, why);
		if (e != OK)
			return e;
	}
	return OK;
}

/* Takes empty objects out of VALUE; true when it is one itself. */
static bool
prune(json_t *value)
{
	const char *key;
	json_t *item;
	void *next;
	if (json_is_array(value)) {
		for (size_t i = json_array_size(value); i-- > 0;) {
			if (prune(json_array_get(value, i)))
				(void)json_array_remove(value, i);
		}
		return false;
	}
	if (!json_is_object(value))
		return false;
	json_object_foreach_safe(value, next, key, item)
	{
		if (prune(item))
			(void)json_object_del(value, key);
	}
	return json_object_size(value) == 0;
}

/* Words become codes, and the kind judges what has been made. */
static enum err
judge(const struct form *f, ProtobufCMessage *body, struct buffer *out, struct failure *why)
{
	CLEANUP(proto_wipe_drop) ProtobufCMessage *decoded = NULL;
	CLEANUP(buffer_release) struct buffer words = { 0 };
	struct kind_problem problem = { 0 };
	size_t before = out->len;
	const char *option;
	enum err e = kind_normalise(f->kind, body, &problem);
	if (e == OK) {
		proto_pack(body, out);
		e = buffer_status(out);
	}
	if (e == OK)
		e = kind_decode(f->kind, (struct bytes){ out->at + before, out->len - before },
		    &decoded, &problem);
	if (e == OK)
		return OK;
	option = form_option_name(f, problem.path);
	said_append(problem.words[0] != '\0' ? problem.words : err_words(e), &words);
	if (option != NULL)
		return failure_set(why, e, "--%s: %s", option, buffer_text(&words));
	return failure_set(why, e, "%s%s%s", problem.path, problem.path[0] != '\0' ? ": " : "",
	    buffer_text(&words));
}

enum err
form_body(const struct form *f, struct buffer *out, struct failure *why)
{
	CLEANUP(proto_wipe_drop) ProtobufCMessage *body = NULL;
	char where[128] = "";
	enum err e;
	(void)prune(f->body);
	e = json_to_message(f->kind->body, f->body, &body, where);
	if (e != OK)
		return failure_set(why, e, "%s: %s", where, _(err_words(e)));
	return judge(f, body, out, why);
}
