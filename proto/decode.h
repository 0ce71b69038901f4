/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTO_DECODE_H
#define PROTO_DECODE_H

#include <protobuf-c/protobuf-c.h>

#include "proto/bytes.h"

/* The only way from outside bytes to a protobuf message, and back. protobuf-c
 * alone keeps unknown fields, has no depth limit, does not look at UTF-8 and
 * may allocate 76 times its input; this accepts exactly what proto_pack()
 * writes. */

/* Decode IN as D. Refused with ERR_MALFORMED: unknown fields, wrong wire types,
 * deeper than PROTO_DEPTH_MAX, strings with NUL or bad UTF-8, heap over
 * PROTO_EXPANSION_MAX times the input (and 4 KiB), and whatever would not be
 * written the same way again (RFC-less protobuf has many spellings: signed
 * bytes have one meaning). *OUT is the caller's: proto_free(). */
enum err proto_unpack(const ProtobufCMessageDescriptor *d, struct bytes in, ProtobufCMessage **out)
    MUST_CHECK;

/* Frees M, NULL too. */
void proto_free(ProtobufCMessage *m);
/* The same for CLEANUP() on a pointer to any message: CLEANUP(proto_drop) Citex__Frame *f = NULL;
 */
void proto_drop(void *pointer_to_message);

/* Overwrites all strings and bytes in M with zeros, then frees it. For plaintext and keys. */
void proto_wipe(ProtobufCMessage *m);
void proto_wipe_drop(void *pointer_to_message);

/* Append the encoding of M to OUT. A failure sticks in OUT. */
void proto_pack(const ProtobufCMessage *m, struct buffer *out);

/* Whether S is UTF-8 (RFC 3629) without NUL. */
bool utf8_is_valid(struct bytes s);

/* Borrowed views between our slices and protobuf-c's. */
static inline struct bytes
bytes_of_pb(ProtobufCBinaryData b)
{
	return (struct bytes){ b.data, b.len };
}

static inline ProtobufCBinaryData
pb_of_bytes(struct bytes b)
{
	return (ProtobufCBinaryData){ b.len, (uint8_t *)(uintptr_t)b.at };
}

#endif
