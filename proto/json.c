/* SPDX-License-Identifier: Apache-2.0 */
/* Protobuf to JSON and back, by descriptor, and base64. Not here: which values
 * make sense; proto/kind.c knows. No schema of ours has floating numbers, and
 * they are refused. */
#include "proto/json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/limits.h"

#define WHERE_BYTES 128
#define JSON_NUMBER_MAX (1LL << 53) /* beyond it other programs lose digits */

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *
base64_encode(struct bytes in)
{
	char *out = xalloc(in.len / 3 * 4 + 5), *to = out;

	for (size_t i = 0; i < in.len; i += 3) {
		size_t n = in.len - i < 3 ? in.len - i : 3;
		uint32_t v = (uint32_t)in.at[i] << 16;

		v |= n > 1 ? (uint32_t)in.at[i + 1] << 8 : 0;
		v |= n > 2 ? in.at[i + 2] : 0;
		for (unsigned k = 0; k < 4; k++)
			*to++ = k <= n ? alphabet[v >> (18 - 6 * k) & 63] : '=';
	}
	*to = '\0';
	return out;
}

/* Four characters of base64 into V; how many bytes they mean, 0 when they are wrong. */
static size_t
quantum(const char *text, uint32_t *v)
{
	size_t letters = 0;

	*v = 0;
	for (size_t k = 0; k < 4; k++) {
		const char *letter = text[k] == '\0' ? NULL : strchr(alphabet, text[k]);
		if (text[k] == '=' && letters == k && k >= 2 && (k == 3 || text[3] == '=')) {
			*v <<= 6 * (4 - k);
			break;
		}
		if (letter == NULL)
			return 0;
		*v = *v << 6 | (uint32_t)(letter - alphabet);
		letters++;
	}
	/* Bits that no byte takes must be zero: one spelling for each value (RFC 4648, 3.5). */
	if ((letters == 2 && (*v & 0xffff) != 0) || (letters == 3 && (*v & 0xff) != 0))
		return 0;
	return letters - 1;
}

enum err
base64_decode(const char *text, struct buffer *out)
{
	size_t len = strlen(text);

	if (len % 4 != 0)
		return ERR_MALFORMED;
	for (size_t i = 0; i < len; i += 4) {
		uint32_t v;
		size_t n = quantum(text + i, &v);

		if (n == 0 || (n < 3 && i + 4 != len))
			return ERR_MALFORMED;
		for (size_t k = 0; k < n; k++)
			buffer_add_u8(out, (uint8_t)(v >> (16 - 8 * k)));
	}
	return buffer_status(out);
}

static bool
is_repeated(const ProtobufCFieldDescriptor *f)
{
	return f->label == PROTOBUF_C_LABEL_REPEATED;
}

static bool
is_oneof(const ProtobufCFieldDescriptor *f)
{
	return (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
}

static size_t
value_size(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_BOOL:
		return sizeof(protobuf_c_boolean);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return 8;
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	default:
		return 4;
	}
}

static json_t *
json_of_uint64(uint64_t v)
{
	char digits[24];

	if (v <= JSON_NUMBER_MAX)
		return json_integer((json_int_t)v);
	snprintf(digits, sizeof(digits), "%" PRIu64, v);
	return json_string(digits);
}

static json_t *
json_of_int64(int64_t v)
{
	char digits[24];

	if (v <= JSON_NUMBER_MAX && v >= -JSON_NUMBER_MAX)
		return json_integer(v);
	snprintf(digits, sizeof(digits), "%" PRId64, v);
	return json_string(digits);
}

static json_t *
json_of_bytes(struct bytes b)
{
	char *text = base64_encode(b);
	json_t *value = json_string(text);

	explicit_bzero(text, strlen(text));
	free(text);
	return value;
}

static json_t *
json_of_enum(const ProtobufCFieldDescriptor *f, int v)
{
	const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(f->descriptor, v);

	return value != NULL ? json_string(value->name) : json_integer(v);
}

/* The value of F that stands at AT. */
static json_t *
json_of_value(const ProtobufCFieldDescriptor *f, const void *at)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
		return json_integer(*(const int32_t *)at);
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		return json_integer(*(const uint32_t *)at);
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
		return json_of_int64(*(const int64_t *)at);
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		return json_of_uint64(*(const uint64_t *)at);
	case PROTOBUF_C_TYPE_BOOL:
		return json_boolean(*(const protobuf_c_boolean *)at);
	case PROTOBUF_C_TYPE_ENUM:
		return json_of_enum(f, *(const int *)at);
	case PROTOBUF_C_TYPE_STRING:
		return json_string(*(char *const *)at != NULL ? *(char *const *)at : "");
	case PROTOBUF_C_TYPE_BYTES:
		return json_of_bytes(bytes_of_pb(*(const ProtobufCBinaryData *)at));
	case PROTOBUF_C_TYPE_MESSAGE:
		return json_of_message(*(ProtobufCMessage *const *)at);
	default:
		return NULL;
	}
}

static json_t *
json_of_array(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
	size_t n = *(const size_t *)((const char *)m + f->quantifier_offset);
	const char *at = *(char *const *)((const char *)m + f->offset);
	json_t *array = json_array();

	for (size_t i = 0; i < n; i++, at += value_size(f->type)) {
		if (json_array_append_new(array, json_of_value(f, at)) != 0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

static bool
is_absent(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
	const char *base = (const char *)m;

	if (is_oneof(f) && *(const uint32_t *)(base + f->quantifier_offset) != f->id)
		return true;
	return !is_repeated(f) && f->type == PROTOBUF_C_TYPE_MESSAGE &&
	    *(ProtobufCMessage *const *)(base + f->offset) == NULL;
}

json_t *
json_of_message(const ProtobufCMessage *m)
{
	json_t *object = json_object();

	for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
		json_t *value;

		if (is_absent(m, f))
			continue;
		value = is_repeated(f) ? json_of_array(m, f)
				       : json_of_value(f, (const char *)m + f->offset);
		if (json_object_set_new(object, f->name, value) != 0) {
			json_decref(object);
			return NULL;
		}
	}
	return object;
}

/* Where the reader of JSON stands: the path of members, for the message to a person. */
struct path {
	char text[WHERE_BYTES];
	unsigned depth;
};

static enum err
refuse(const struct path *path, char *where, const char *why)
{
	const char *colon = path->text[0] == '\0' ? "" : ": ";

	snprintf(where, WHERE_BYTES, "%.*s%s%s", (int)(WHERE_BYTES - 3 - strlen(why)), path->text,
	    colon, why);
	return ERR_VALUE;
}

static void
path_push(struct path *path, const char *name)
{
	size_t len = strlen(path->text);

	snprintf(path->text + len, sizeof(path->text) - len, "%s%s", len > 0 ? "." : "", name);
}

/* The digits of VALUE when it is text of a number and nothing else; NULL: it is not. */
static const char *
digits_of_json(const json_t *value)
{
	const char *text = json_string_value(value);
	size_t sign;

	if (text == NULL || strlen(text) != json_string_length(value))
		return NULL;
	sign = text[0] == '-' ? 1 : 0;
	if (text[sign] == '\0' || strspn(text + sign, "0123456789") != strlen(text + sign))
		return NULL;
	return text;
}

/* VALUE as a number from LOW to HIGH. Text of digits serves for what JSON numbers cannot hold. */
static bool
number_of_json(const json_t *value, int64_t low, int64_t high, int64_t *out)
{
	const char *digits = high > UINT32_MAX ? digits_of_json(value) : NULL;

	if (digits == NULL && !json_is_integer(value))
		return false;
	errno = 0;
	*out = digits == NULL ? json_integer_value(value) : strtoll(digits, NULL, 10);
	return errno == 0 && *out >= low && *out <= high;
}

static bool
uint64_of_json(const json_t *value, uint64_t *out)
{
	const char *digits = digits_of_json(value);
	int64_t v;

	if (digits == NULL || digits[0] == '-') {
		if (!number_of_json(value, 0, INT64_MAX, &v))
			return false;
		*out = (uint64_t)v;
		return true;
	}
	errno = 0;
	*out = strtoull(digits, NULL, 10);
	return errno == 0;
}

static const char *
set_number(const ProtobufCFieldDescriptor *f, const json_t *value, void *at)
{
	bool small = value_size(f->type) == 4;
	int64_t v;

	switch (f->type) {
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		return uint64_of_json(value, at) ? NULL : "not a number in range";
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		if (!number_of_json(value, 0, UINT32_MAX, &v))
			return "not a number in range";
		*(uint32_t *)at = (uint32_t)v;
		return NULL;
	default:
		break;
	}
	if (!number_of_json(
		value, small ? INT32_MIN : INT64_MIN, small ? INT32_MAX : INT64_MAX, &v))
		return "not a number in range";
	if (small)
		*(int32_t *)at = (int32_t)v;
	else
		*(int64_t *)at = v;
	return NULL;
}

static const char *
set_string(const json_t *value, void *at)
{
	if (!json_is_string(value))
		return "not text";
	if (!utf8_is_valid((struct bytes){
		(const uint8_t *)json_string_value(value), json_string_length(value) }))
		return "not allowed in a text";
	*(char **)at = xstrdup(json_string_value(value));
	return NULL;
}

static const char *
set_bytes(const json_t *value, void *at)
{
	struct buffer decoded = { 0 };
	ProtobufCBinaryData *data = at;

	if (!json_is_string(value))
		return "not text in base64";
	if (strlen(json_string_value(value)) != json_string_length(value) ||
	    base64_decode(json_string_value(value), &decoded) != OK) {
		buffer_wipe(&decoded);
		return "not text in base64";
	}
	data->data = buffer_detach(&decoded, &data->len);
	return NULL;
}

static const char *
set_enum(const ProtobufCFieldDescriptor *f, const json_t *value, void *at)
{
	const char *name = json_string_value(value);
	const ProtobufCEnumValue *v =
	    name == NULL ? NULL : protobuf_c_enum_descriptor_get_value_by_name(f->descriptor, name);

	if (v == NULL)
		return "not one of the words allowed";
	*(int *)at = v->value;
	return NULL;
}

static const char *
set_scalar(const ProtobufCFieldDescriptor *f, const json_t *value, void *at)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_BOOL:
		if (!json_is_boolean(value))
			return "neither true nor false";
		*(protobuf_c_boolean *)at = json_is_true(value);
		return NULL;
	case PROTOBUF_C_TYPE_ENUM:
		return set_enum(f, value, at);
	case PROTOBUF_C_TYPE_STRING:
		return set_string(value, at);
	case PROTOBUF_C_TYPE_BYTES:
		return set_bytes(value, at);
	case PROTOBUF_C_TYPE_FLOAT:
	case PROTOBUF_C_TYPE_DOUBLE:
		return "not supported";
	default:
		return set_number(f, value, at);
	}
}

static enum err fill(ProtobufCMessage *m, const json_t *object, struct path *path, char *where)
    MUST_CHECK;

/* A new message of F's type at *AT, which owns it also when filling fails. */
static enum err
set_value(const ProtobufCFieldDescriptor *f, const json_t *value, void *at, struct path *path,
    char *where)
{
	const ProtobufCMessageDescriptor *d = f->descriptor;
	ProtobufCMessage *m;
	const char *why;

	if (f->type != PROTOBUF_C_TYPE_MESSAGE) {
		why = set_scalar(f, value, at);
		return why == NULL ? OK : refuse(path, where, why);
	}
	m = xalloc(d->sizeof_message);
	d->message_init(m);
	*(ProtobufCMessage **)at = m;
	return fill(m, value, path, where);
}

static enum err
set_array(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, const json_t *value,
    struct path *path, char *where)
{
	size_t *count = (size_t *)((char *)m + f->quantifier_offset);
	size_t n = json_is_array(value) ? json_array_size(value) : 1;
	char *values = n == 0 ? NULL : xalloc_array(n, value_size(f->type));
	enum err e = OK;

	*(void **)((char *)m + f->offset) = values;
	for (size_t i = 0; i < n && e == OK; i++) {
		const json_t *each = json_is_array(value) ? json_array_get(value, i) : value;
		*count = i + 1;
		e = set_value(f, each, values + i * value_size(f->type), path, where);
	}
	return e;
}

static enum err
set_field(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, const json_t *value,
    struct path *path, char *where)
{
	uint32_t *chosen = (uint32_t *)((char *)m + f->quantifier_offset);

	if (is_repeated(f))
		return set_array(m, f, value, path, where);
	if (is_oneof(f)) {
		if (*chosen != 0)
			return refuse(path, where, "stands beside another choice");
		*chosen = f->id;
	}
	return set_value(f, value, (char *)m + f->offset, path, where);
}

static enum err
fill(ProtobufCMessage *m, const json_t *object, struct path *path, char *where)
{
	const char *name;
	json_t *value;

	if (!json_is_object(object))
		return refuse(path, where, "not an object");
	if (++path->depth > PROTO_DEPTH_MAX)
		return refuse(path, where, "nested too deeply");
	json_object_foreach((json_t *)(uintptr_t)object, name, value)
	{
		const ProtobufCFieldDescriptor *f =
		    protobuf_c_message_descriptor_get_field_by_name(m->descriptor, name);
		size_t len = strlen(path->text);
		enum err e;

		path_push(path, name);
		if (f == NULL)
			return refuse(path, where, "there is no such member");
		e = json_is_null(value) ? OK : set_field(m, f, value, path, where);
		if (e != OK)
			return e;
		path->text[len] = '\0';
	}
	path->depth--;
	return OK;
}

enum err
json_to_message(
    const ProtobufCMessageDescriptor *d, const json_t *object, ProtobufCMessage **out, char *where)
{
	ProtobufCMessage *m = xalloc(d->sizeof_message);
	struct path path = { "", 0 };
	enum err e;

	*out = NULL;
	where[0] = '\0';
	d->message_init(m);
	e = fill(m, object, &path, where);
	if (e != OK) {
		proto_wipe(m);
		return e;
	}
	*out = m;
	return OK;
}

void
json_begin(void)
{
	json_object_seed(0);
}
