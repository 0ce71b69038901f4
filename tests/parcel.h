/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_PARCEL_H
#define TESTS_PARCEL_H

#include "pki/chunk.h"
#include "tests/mail.h"

/* Envelopes with ids, lifetimes and attachments of one's own, for tests of the
 * post: it carries them and looks into none, so the chunks are made up. */

struct parcel_part {
	uint8_t seed;
	uint32_t count; /* chunks */
	size_t last; /* bytes of the last one, more than CHUNK_TAG_BYTES */
};
/* The part, its chunks, and their paths. OUT is the caller's. */
uint64_t parcel_length(const struct parcel_part *p);
void parcel_root(const struct parcel_part *p, uint8_t root[DIGEST_BYTES]);
void parcel_chunk(const struct parcel_part *p, uint32_t index, struct buffer *out);
/* A Chunk to send; the caller's, proto_free(). */
Citex__Chunk *parcel_pb(const struct parcel_part *p, uint32_t index);

struct parcel {
	const char *author, *addressee; /* NULL: gb.ma, ke.ma */
	const char *stamper; /* NULL: the author */
	uint8_t id; /* all bytes of the envelope id */
	uint64_t sequence; /* 0: 1; another one makes another digest */
	bool urgent;
	int64_t created_ms, expires_ms; /* 0: MAIL_CREATED_MS, 30 days later */
	const struct parcel_part *parts;
	size_t part_count;
};
/* Append the encoded Envelope. The same parcel (PARTS by their place) is the same envelope, until
 * parcels_forget(), at the end of each test. */
void parcel_make(struct fixture *f, const struct parcel *p, struct buffer *packed);
void parcel_envelope(struct fixture *f, const struct parcel *p, struct envelope *e);
void parcels_forget(void);

#endif
