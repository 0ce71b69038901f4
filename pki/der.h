/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PKI_DER_H
#define PKI_DER_H

#include "proto/bytes.h"

/* DER (X.690) as far as the one CMS shape needs it, for cms.c. Every failure of
 * the reader is ERR_CANNOT_BE_OPENED or an error of struct reader; they are one to
 * the caller. */

#define DER_INTEGER 0x02
#define DER_BIT_STRING 0x03
#define DER_OCTETS 0x04
#define DER_UTC_TIME 0x17
#define DER_GENERALIZED_TIME 0x18
#define DER_SEQUENCE 0x30
#define DER_SET 0x31
#define DER_CONTEXT(n) (0x80 | (n)) /* primitive */
#define DER_INSIDE(n) (0xa0 | (n)) /* constructed */

#define DER_MAX_BYTES (1U << 24) /* three octets of length */
#define DER_ROOM_BYTES 1024 /* for all of an encoding but the long runs in it */

/* A writer from the end to the front, so that each length is known when its
 * header is written. The room is reserved before: running out of it is a
 * mistake of the caller and ends the process. */
struct der_writer {
	uint8_t *base;
	size_t left; /* free bytes at BASE; what is written begins there */
};

/* Room for an encoding with INNER_LEN bytes in long runs, at the end of OUT. ERR_TOO_LARGE,
 * ERR_NO_MEMORY. Nothing else may change OUT before der_end(), which moves the encoding to where
 * it belongs. */
enum err der_begin(struct der_writer *w, struct buffer *out, size_t inner_len) MUST_CHECK;
void der_end(struct der_writer *w, struct buffer *out);
/* LEN bytes to be filled before der_end(). */
uint8_t *der_reserve(struct der_writer *w, size_t len);
void der_put(struct der_writer *w, struct bytes b);
/* The header of an element whose value is all that was written since LEFT was MARK. */
void der_close(struct der_writer *w, uint8_t tag, size_t mark);
void der_element(struct der_writer *w, uint8_t tag, struct bytes value);

/* The value of the next element, which must have TAG and the shortest length; none after a
 * failure, which sticks in R. */
struct bytes der_take(struct reader *r, uint8_t tag);
struct bytes der_take_sized(struct reader *r, uint8_t tag, size_t len);
/* Go down into the next element. A failure of R goes down too. */
struct reader der_enter(struct reader *r, uint8_t tag);
/* The next bytes must be these. */
void der_expect(struct reader *r, struct bytes exact);
/* Nothing failed and nothing is left over. */
bool der_ended(const struct reader *r);

/* Times (RFC 5652, 11.3): UTCTime until 2049 (here from 1970 on), GeneralizedTime from 2050 on,
 * with seconds and Z. False for anything else. */
bool der_time_value(uint8_t tag, struct bytes text, int64_t *ms);
#define DER_TIME_BYTES 16
/* False before 1970 and after 9999. */
bool der_time_text(int64_t ms, uint8_t *tag, char text[DER_TIME_BYTES]);

#endif
