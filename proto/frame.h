/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTO_FRAME_H
#define PROTO_FRAME_H

#include "proto/decode.h"
#include "proto/limits.h"

/* Frames on a byte stream: 4-byte big-endian length, then that many bytes. The
 * reader takes its input in any split; its memory grows with bytes received,
 * never with bytes claimed. */
struct frame_reader {
	struct buffer held; /* bytes not yet given out */
	size_t
	    given; /* bytes at its front that frame_next() gave out since the last frame_feed() */
	enum err err;
};

void frame_reader_init(struct frame_reader *r);
void frame_reader_release(
    struct frame_reader *r); /* wipes: frames of the officers' socket are plaintext */
/* Append INPUT. */
void frame_feed(struct frame_reader *r, struct bytes input);
/* The next whole frame's bytes, without its length: OK and *OUT borrowed until
 * the next call on R. ERR_NOT_FOUND: not yet whole. ERR_TOO_LARGE (length over
 * FRAME_MAX_BYTES) and ERR_MALFORMED (length 0) stick: the stream is lost. */
enum err frame_next(struct frame_reader *r, struct bytes *out) MUST_CHECK;
/* Whether a frame has begun and not ended: for the deadline of a frame. */
bool frame_is_partial(const struct frame_reader *r);

/* Append M with its length to OUT. ERR_TOO_LARGE sticks in OUT when it is over FRAME_MAX_BYTES,
 * ERR_INTERNAL when it is empty. */
void frame_write(const ProtobufCMessage *m, struct buffer *out);

#endif
