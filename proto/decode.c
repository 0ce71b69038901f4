/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes to protobuf messages and back, with one spelling for each message.
 *
 * Three steps, each of which can refuse: a walk over the wire bytes beside the
 * descriptor, which allocates nothing; protobuf-c's own decoder, on a budget;
 * and packing the result again, which must give the input. Not here: what a
 * message means.
 *
 * Known weakness: the heap that an embedded message's scratch needs depends on
 * the version of protobuf-c, so an input within a few bytes of the budget may
 * be refused by one version and taken by another. Real messages use a tenth. */
#include "proto/decode.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "proto/limits.h"

#define EXPANSION_FREE_BYTES (4 * KIB) /* so that a small message may have a large struct */
#define VARINT_MAX_BYTES 10

/* The wire types of protobuf that we use */
enum wire { WIRE_VARINT = 0, WIRE_64BIT = 1, WIRE_BYTES = 2, WIRE_32BIT = 5 };

/* The wire type of one value of TYPE. */
static enum wire
wire_of(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return WIRE_64BIT;
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_FLOAT:
		return WIRE_32BIT;
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_BYTES:
	case PROTOBUF_C_TYPE_MESSAGE:
		return WIRE_BYTES;
	default:
		return WIRE_VARINT;
	}
}

/* A number in its shortest spelling; anything else fails R. */
static uint64_t
read_varint(struct reader *r)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < VARINT_MAX_BYTES; i++) {
		uint8_t byte = read_u8(r);
		if (r->err != OK)
			return 0;
		if (i == VARINT_MAX_BYTES - 1 && byte > 1)
			break;
		v |= (uint64_t)(byte & 0x7f) << (7 * i);
		if (byte < 0x80) {
			if (byte == 0 && i > 0)
				break;
			return v;
		}
	}
	r->err = ERR_MALFORMED;
	return 0;
}

/* How many bytes the UTF-8 character at the front of S has: shortest form, no
 * surrogates, nothing over U+10FFFF (RFC 3629), no NUL. 0: it is none. */
static size_t
utf8_character(struct bytes s)
{
	static const uint32_t least[] = { 0, 1, 0x80, 0x800, 0x10000 };
	uint8_t first = s.at[0];
	size_t len = first < 0x80 ? 1 : first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
	uint32_t c = len == 1 ? first : first & (0x7fU >> len);

	if ((first >= 0x80 && first < 0xc0) || first >= 0xf8 || len > s.len)
		return 0;
	for (size_t i = 1; i < len; i++) {
		if ((s.at[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s.at[i] & 0x3fU);
	}
	if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	return len;
}

bool
utf8_is_valid(struct bytes s)
{
	while (s.len > 0) {
		size_t len = utf8_character(s);
		if (len == 0)
			return false;
		s.at += len;
		s.len -= len;
	}
	return true;
}

static enum err
check_enum(const ProtobufCFieldDescriptor *f, uint64_t v)
{
	if (v > INT32_MAX || protobuf_c_enum_descriptor_get_value(f->descriptor, (int)v) == NULL)
		return ERR_MALFORMED;
	return OK;
}

/* One value that is no string, bytes or message. */
static enum err
walk_scalar(const ProtobufCFieldDescriptor *f, struct reader *r)
{
	uint64_t v;

	switch (wire_of(f->type)) {
	case WIRE_32BIT:
		read_bytes(r, 4);
		return r->err;
	case WIRE_64BIT:
		read_bytes(r, 8);
		return r->err;
	default:
		v = read_varint(r);
		if (r->err != OK)
			return r->err;
		return f->type == PROTOBUF_C_TYPE_ENUM ? check_enum(f, v) : OK;
	}
}

static enum err walk_message(const ProtobufCMessageDescriptor *d, struct bytes in, unsigned depth);

/* A run of bytes that field F holds: text, bytes, a message, or packed numbers. */
static enum err
walk_run(const ProtobufCFieldDescriptor *f, struct bytes run, unsigned depth)
{
	struct reader r = { run, OK };
	enum err e = OK;

	switch (f->type) {
	case PROTOBUF_C_TYPE_STRING:
		return utf8_is_valid(run) ? OK : ERR_MALFORMED;
	case PROTOBUF_C_TYPE_BYTES:
		return OK;
	case PROTOBUF_C_TYPE_MESSAGE:
		return walk_message(f->descriptor, run, depth + 1);
	default:
		while (e == OK && r.left.len > 0)
			e = walk_scalar(f, &r);
		return e;
	}
}

static bool
is_repeated(const ProtobufCFieldDescriptor *f)
{
	return f->label == PROTOBUF_C_LABEL_REPEATED;
}

static bool
is_packed(const ProtobufCFieldDescriptor *f)
{
	return is_repeated(f) && (f->flags & PROTOBUF_C_FIELD_FLAG_PACKED) != 0;
}

static enum err
walk_field(const ProtobufCFieldDescriptor *f, enum wire wire, struct reader *r, unsigned depth)
{
	uint64_t len;
	struct bytes run;

	if (wire != (is_packed(f) ? WIRE_BYTES : wire_of(f->type)))
		return ERR_MALFORMED;
	if (wire != WIRE_BYTES)
		return walk_scalar(f, r);
	len = read_varint(r);
	if (r->err == OK && len > r->left.len)
		r->err = ERR_TRUNCATED;
	run = read_bytes(r, (size_t)len);
	return r->err == OK ? walk_run(f, run, depth) : r->err;
}

/* Fields come in the order of their numbers, each once unless it is repeated:
 * so protobuf-c never merges two messages into one. */
static enum err
walk_message(const ProtobufCMessageDescriptor *d, struct bytes in, unsigned depth)
{
	struct reader r = { in, OK };
	uint64_t last = 0;

	if (depth > PROTO_DEPTH_MAX)
		return ERR_MALFORMED;
	while (r.left.len > 0) {
		uint64_t tag = read_varint(&r), number = tag >> 3;
		const ProtobufCFieldDescriptor *f;
		enum err e;

		if (r.err != OK || number > UINT32_MAX)
			return ERR_MALFORMED;
		f = protobuf_c_message_descriptor_get_field(d, (unsigned)number);
		if (f == NULL || number < last)
			return ERR_MALFORMED;
		if (number == last && (!is_repeated(f) || is_packed(f)))
			return ERR_MALFORMED;
		last = number;
		e = walk_field(f, (enum wire)(tag & 7), &r, depth);
		if (e != OK)
			return e;
	}
	return OK;
}

/* Counts what was asked for, never what was given back: so the result does not
 * depend on the order in which protobuf-c frees its scratch. */
struct budget {
	size_t left;
	bool spent;
};

static void *
budget_alloc(void *data, size_t len)
{
	struct budget *budget = data;

	if (len > budget->left) {
		budget->spent = true;
		return NULL;
	}
	budget->left -= len;
	return malloc(len);
}

/* What a failed decoding leaves behind may be plaintext. */
static void
budget_free(void *data, void *at)
{
	(void)data;
	if (at != NULL)
		explicit_bzero(at, malloc_usable_size(at));
	free(at);
}

/* Compares what is packed with what came in, without a copy of either. */
struct comparer {
	ProtobufCBuffer base;
	struct bytes left;
	bool differs;
};

static void
compare_append(ProtobufCBuffer *base, size_t len, const uint8_t *data)
{
	struct comparer *c = (struct comparer *)base;

	if (c->differs || len == 0)
		return;
	if (len > c->left.len || memcmp(c->left.at, data, len) != 0) {
		c->differs = true;
		return;
	}
	c->left.at += len;
	c->left.len -= len;
}

static bool
packs_to(const ProtobufCMessage *m, struct bytes in)
{
	struct comparer c = { { compare_append }, in, false };

	protobuf_c_message_pack_to_buffer(m, &c.base);
	return !c.differs && c.left.len == 0;
}

enum err
proto_unpack(const ProtobufCMessageDescriptor *d, struct bytes in, ProtobufCMessage **out)
{
	struct budget budget = { 0, false };
	ProtobufCAllocator allocator = { budget_alloc, budget_free, &budget };
	ProtobufCMessage *m;

	*out = NULL;
	if (in.len > SIZE_MAX / (2 * PROTO_EXPANSION_MAX))
		return ERR_TOO_LARGE;
	if (walk_message(d, in, 1) != OK)
		return ERR_MALFORMED;
	budget.left = PROTO_EXPANSION_MAX * in.len + EXPANSION_FREE_BYTES;
	m = protobuf_c_message_unpack(d, &allocator, in.len, in.at);
	if (m == NULL)
		return ERR_MALFORMED;
	if (!packs_to(m, in)) {
		proto_wipe(m);
		return ERR_MALFORMED;
	}
	*out = m;
	return OK;
}

void
proto_free(ProtobufCMessage *m)
{
	if (m != NULL)
		protobuf_c_message_free_unpacked(m, NULL);
}

void
proto_drop(void *pointer_to_message)
{
	ProtobufCMessage **m = pointer_to_message;

	proto_free(*m);
	*m = NULL;
}

/* The value of F that stands at AT. Default texts are constants of the program: left alone. */
static void
wipe_value(const ProtobufCFieldDescriptor *f, void *at)
{
	char *text;
	ProtobufCBinaryData *data;

	switch (f->type) {
	case PROTOBUF_C_TYPE_STRING:
		text = *(char **)at;
		if (text != NULL && text != protobuf_c_empty_string && text != f->default_value)
			explicit_bzero(text, strlen(text));
		break;
	case PROTOBUF_C_TYPE_BYTES:
		data = at;
		if (data->data != NULL)
			explicit_bzero(data->data, data->len);
		break;
	default:
		break;
	}
}

static size_t
value_size(ProtobufCType type)
{
	return type == PROTOBUF_C_TYPE_BYTES ? sizeof(ProtobufCBinaryData) : sizeof(void *);
}

/* Whether F, when it belongs to a oneof, is the member that is set. */
static bool
is_chosen(const ProtobufCFieldDescriptor *f, const ProtobufCMessage *m)
{
	if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) == 0)
		return true;
	return *(const uint32_t *)((const char *)m + f->quantifier_offset) == f->id;
}

static void
wipe_texts(ProtobufCMessage *m)
{
	for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
		char *at = (char *)m + f->offset;
		size_t n = 1;

		if (wire_of(f->type) != WIRE_BYTES || !is_chosen(f, m))
			continue;
		if (is_repeated(f)) {
			n = *(size_t *)((char *)m + f->quantifier_offset);
			at = *(char **)at;
		}
		for (size_t k = 0; k < n; k++, at += value_size(f->type)) {
			if (f->type != PROTOBUF_C_TYPE_MESSAGE)
				wipe_value(f, at);
			else if (*(ProtobufCMessage **)at != NULL)
				wipe_texts(*(ProtobufCMessage **)at);
		}
	}
}

void
proto_wipe(ProtobufCMessage *m)
{
	if (m == NULL)
		return;
	wipe_texts(m);
	proto_free(m);
}

void
proto_wipe_drop(void *pointer_to_message)
{
	ProtobufCMessage **m = pointer_to_message;

	proto_wipe(*m);
	*m = NULL;
}

void
proto_pack(const ProtobufCMessage *m, struct buffer *out)
{
	uint8_t *to = buffer_extend(out, protobuf_c_message_get_packed_size(m));

	if (to != NULL)
		protobuf_c_message_pack(m, to);
}
