/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTO_JSON_H
#define PROTO_JSON_H

#include <jansson.h>

#include "proto/decode.h"

/* Protobuf to JSON and back, by descriptor: same names, stable order. Bytes are
 * base64 (RFC 4648), enumerations the words of the schema, numbers of 64 bits
 * are JSON numbers up to 2^53 and text of digits beyond; every scalar and array
 * is written also when it is empty, absent sub-messages and absent members of a
 * oneof are not. */

/* Before a sandbox closes: jansson opens /dev/urandom for its first object. */
void json_begin(void);

/* A new reference; NULL without memory, or when a text in M is no UTF-8. */
json_t *json_of_message(const ProtobufCMessage *m);

/* Fill a new message of type D from OBJECT. ERR_VALUE with WHERE (128 bytes)
 * naming the member and what is wrong with it: unknown name, wrong type, number
 * out of range, depth. A single value is accepted for a repeated field, null
 * for an absent one. *OUT is the caller's: proto_free() or proto_wipe(). */
enum err json_to_message(const ProtobufCMessageDescriptor *d, const json_t *object,
    ProtobufCMessage **out, char *where) MUST_CHECK;

/* Base64 for those who need it beside JSON. The text is malloc'd. Decoding takes
 * one spelling only, with padding and without white space; ERR_MALFORMED else. */
char *base64_encode(struct bytes in);
enum err base64_decode(const char *text, struct buffer *out) MUST_CHECK;

#endif
