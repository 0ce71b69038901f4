/* SPDX-License-Identifier: Apache-2.0 */
/* Slices, buffers, readers: the only place that does arithmetic on lengths
 * that came from outside. Not here: meaning of any kind. */
#include "proto/bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bytes
bytes_str(const char *s)
{
	return (struct bytes){ (const uint8_t *)s, strlen(s) };
}

bool
bytes_equal(struct bytes a, struct bytes b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

int
bytes_compare(struct bytes a, struct bytes b)
{
	size_t shorter = a.len < b.len ? a.len : b.len;
	int order = shorter == 0 ? 0 : memcmp(a.at, b.at, shorter);

	if (order != 0)
		return order;
	return a.len == b.len ? 0 : a.len < b.len ? -1 : 1;
}

bool
bytes_equal_secret(struct bytes a, struct bytes b)
{
	volatile uint8_t differs = 0;

	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		differs = (uint8_t)(differs | (a.at[i] ^ b.at[i]));
	return differs == 0;
}

void
buffer_release(struct buffer *b)
{
	free(b->at);
	*b = (struct buffer){ 0 };
}

void
buffer_wipe(struct buffer *b)
{
	if (b->at != NULL)
		explicit_bzero(b->at, b->room);
	buffer_release(b);
}

void
buffer_clear(struct buffer *b)
{
	b->len = 0;
	b->err = OK;
}

uint8_t *
buffer_extend(struct buffer *b, size_t len)
{
	size_t room = b->room;

	if (b->err != OK)
		return NULL;
	if (len > SIZE_MAX / 4 || b->len > SIZE_MAX / 4) {
		b->err = ERR_NO_MEMORY;
		return NULL;
	}
	while (room < b->len + len || room == 0)
		room = room == 0 ? 64 : room * 2;
	if (room != b->room) {
		/* Not realloc(): what moves may be secret, and the old place is wiped. */
		uint8_t *at = malloc(room);
		if (at == NULL) {
			b->err = ERR_NO_MEMORY;
			return NULL;
		}
		if (b->len > 0)
			memcpy(at, b->at, b->len);
		if (b->at != NULL)
			explicit_bzero(b->at, b->len);
		free(b->at);
		b->at = at;
		b->room = room;
	}
	b->len += len;
	return b->at + b->len - len;
}

void
buffer_add(struct buffer *b, struct bytes more)
{
	uint8_t *to = buffer_extend(b, more.len);

	if (to != NULL && more.len > 0)
		memcpy(to, more.at, more.len);
}

static void
add_number(struct buffer *b, uint64_t v, unsigned size)
{
	uint8_t *to = buffer_extend(b, size);

	for (unsigned i = 0; to != NULL && i < size; i++)
		to[i] = (uint8_t)(v >> (8 * (size - 1 - i)));
}

void
buffer_add_u8(struct buffer *b, uint8_t v)
{
	add_number(b, v, 1);
}

void
buffer_add_u16(struct buffer *b, uint16_t v)
{
	add_number(b, v, 2);
}

void
buffer_add_u32(struct buffer *b, uint32_t v)
{
	add_number(b, v, 4);
}

void
buffer_add_u64(struct buffer *b, uint64_t v)
{
	add_number(b, v, 8);
}

void
buffer_add_str(struct buffer *b, const char *s)
{
	buffer_add(b, bytes_str(s));
}

void
buffer_printf(struct buffer *b, const char *fmt, ...)
{
	va_list args;
	char *text = NULL;
	int len;

	va_start(args, fmt);
	len = vasprintf(&text, fmt, args);
	va_end(args);
	if (len < 0) {
		b->err = ERR_NO_MEMORY;
		return;
	}
	buffer_add(b, (struct bytes){ (uint8_t *)text, (size_t)len });
	free(text);
}

void
buffer_cut_front(struct buffer *b, size_t len)
{
	if (len > b->len)
		len = b->len;
	b->len -= len;
	if (b->len > 0 && len > 0)
		memmove(b->at, b->at + len, b->len);
}

struct bytes
buffer_bytes(const struct buffer *b)
{
	return (struct bytes){ b->at, b->len };
}

const char *
buffer_text(struct buffer *b)
{
	uint8_t *end = buffer_extend(b, 1);

	if (end == NULL)
		return "";
	*end = '\0';
	b->len--;
	return (const char *)b->at;
}

enum err
buffer_status(const struct buffer *b)
{
	return b->err;
}

uint8_t *
buffer_detach(struct buffer *b, size_t *len)
{
	uint8_t *at = b->err == OK ? b->at : NULL;

	if (at == NULL) {
		*len = 0;
		buffer_release(b);
		return NULL;
	}
	*len = b->len;
	*b = (struct buffer){ 0 };
	return at;
}

struct bytes
read_bytes(struct reader *r, size_t len)
{
	struct bytes got = { r->left.at, len };

	if (r->err == OK && len > r->left.len)
		r->err = ERR_TRUNCATED;
	if (r->err != OK)
		return BYTES_NONE;
	r->left.at = len == 0 ? r->left.at : r->left.at + len;
	r->left.len -= len;
	return got;
}

void
read_copy(struct reader *r, void *to, size_t len)
{
	struct bytes got = read_bytes(r, len);

	if (r->err != OK)
		memset(to, 0, len);
	else if (len > 0)
		memcpy(to, got.at, len);
}

static uint64_t
read_number(struct reader *r, unsigned size)
{
	struct bytes got = read_bytes(r, size);
	uint64_t v = 0;

	for (size_t i = 0; i < got.len; i++)
		v = v << 8 | got.at[i];
	return v;
}

uint8_t
read_u8(struct reader *r)
{
	return (uint8_t)read_number(r, 1);
}

uint16_t
read_u16(struct reader *r)
{
	return (uint16_t)read_number(r, 2);
}

uint32_t
read_u32(struct reader *r)
{
	return (uint32_t)read_number(r, 4);
}

uint64_t
read_u64(struct reader *r)
{
	return read_number(r, 8);
}

enum err
reader_finish(const struct reader *r)
{
	if (r->err != OK)
		return r->err;
	return r->left.len == 0 ? OK : ERR_TRAILING;
}

void
hex_encode(struct bytes b, char *out)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < b.len; i++) {
		out[2 * i] = digits[b.at[i] >> 4];
		out[2 * i + 1] = digits[b.at[i] & 15];
	}
	out[2 * b.len] = '\0';
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

enum err
hex_decode(const char *text, uint8_t *out, size_t len)
{
	if (strlen(text) != 2 * len)
		return ERR_MALFORMED;
	for (size_t i = 0; i < len; i++) {
		int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);
		if (high < 0 || low < 0)
			return ERR_MALFORMED;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return OK;
}

static void *
or_die(void *at)
{
	if (at == NULL) {
		fputs("out of memory\n", stderr);
		abort();
	}
	return at;
}

void *
xalloc_array(size_t n, size_t each)
{
	return or_die(calloc(n == 0 ? 1 : n, each == 0 ? 1 : each));
}

void *
xalloc(size_t len)
{
	return xalloc_array(1, len);
}

void *
xgrow(void *old, size_t n, size_t each)
{
	return or_die(reallocarray(old, n == 0 ? 1 : n, each));
}

char *
xstrdup(const char *s)
{
	return or_die(strdup(s));
}

void *
xmemdup(const void *from, size_t len)
{
	void *to = xalloc(len);

	if (len > 0)
		memcpy(to, from, len);
	return to;
}

struct bytes
bytes_dup(struct bytes b)
{
	return (struct bytes){ xmemdup(b.at, b.len), b.len };
}
