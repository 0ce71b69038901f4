/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTO_BYTES_H
#define PROTO_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/error.h"

/* A borrowed slice. Nothing here owns or frees AT. */
struct bytes {
	const uint8_t *at;
	size_t len;
};

#define BYTES_NONE ((struct bytes){ NULL, 0 })
/* A slice over an array, not over a pointer. */
#define BYTES_OF(array) ((struct bytes){ (const uint8_t *)(array), sizeof(array) })

struct bytes bytes_str(const char *s); /* without the final NUL */
bool bytes_equal(struct bytes a, struct bytes b);
/* Like memcmp, then the shorter first. */
int bytes_compare(struct bytes a, struct bytes b);
/* Equal, in a time that depends on the lengths only: for tags, ids and digests of secret origin. */
bool bytes_equal_secret(struct bytes a, struct bytes b);

/* An owned, growing run of bytes. All zero is a valid empty buffer. The first
 * failure sticks in ERR: appends after it do nothing, and the caller asks once
 * at the end with buffer_status(). */
struct buffer {
	uint8_t *at;
	size_t len;
	size_t room;
	enum err err;
};

void buffer_release(struct buffer *b); /* frees; B is empty again. Fits CLEANUP(). */
void buffer_wipe(struct buffer *b); /* overwrites with zeros, then buffer_release() */
void buffer_clear(struct buffer *b); /* empty and without error; keeps the room */
void buffer_add(struct buffer *b, struct bytes more);
void buffer_add_u8(struct buffer *b, uint8_t v);
void buffer_add_u16(struct buffer *b, uint16_t v); /* big-endian, as all numbers here */
void buffer_add_u32(struct buffer *b, uint32_t v);
void buffer_add_u64(struct buffer *b, uint64_t v);
void buffer_add_str(struct buffer *b, const char *s); /* without the final NUL */
void buffer_printf(struct buffer *b, const char *fmt, ...) PRINTF(2, 3);
/* Append LEN bytes not yet set and return where they begin; NULL after a failure. Valid until the
 * next append. */
uint8_t *buffer_extend(struct buffer *b, size_t len);
void buffer_cut_front(struct buffer *b, size_t len); /* LEN is at most the length */
struct bytes buffer_bytes(const struct buffer *b); /* borrowed until the next change of B */
/* The text as a C string, borrowed until the next change of B; "" after a failure. */
const char *buffer_text(struct buffer *b);
enum err buffer_status(const struct buffer *b) MUST_CHECK; /* OK or ERR_NO_MEMORY */
/* The bytes move to the caller, who frees them with free(); B is empty. NULL after a failure. */
uint8_t *buffer_detach(struct buffer *b, size_t *len);

/* A reader over borrowed bytes. The first failure sticks: reads after it give
 * zeros, and reader_finish() tells. */
struct reader {
	struct bytes left;
	enum err err;
};

uint8_t read_u8(struct reader *r);
uint16_t read_u16(struct reader *r);
uint32_t read_u32(struct reader *r);
uint64_t read_u64(struct reader *r);
struct bytes read_bytes(struct reader *r, size_t len); /* borrowed from the input */
void read_copy(struct reader *r, void *to, size_t len);
/* OK only when nothing failed and nothing is left over; else ERR_TRUNCATED or ERR_TRAILING. */
enum err reader_finish(const struct reader *r) MUST_CHECK;

/* Lower-case hexadecimal of B into OUT, which has room for 2 * LEN + 1. */
void hex_encode(struct bytes b, char *out);
/* Exactly LEN bytes from 2 * LEN hexadecimal digits; ERR_MALFORMED else. */
enum err hex_decode(const char *text, uint8_t *out, size_t len) MUST_CHECK;

/* Memory: malloc and friends end the process when there is none, because no
 * caller could do better; sizes that come from outside are bounded before. */
void *xalloc(size_t len); /* zeroed */
void *xalloc_array(size_t n, size_t each); /* zeroed; checked for overflow */
void *xgrow(void *old, size_t n, size_t each);
char *xstrdup(const char *s);
void *xmemdup(const void *from, size_t len);
struct bytes bytes_dup(struct bytes b); /* owned by the caller; free((void *)b.at) */

#endif
