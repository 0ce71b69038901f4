/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTO_IDS_H
#define PROTO_IDS_H

#include "proto/bytes.h"
#include "proto/limits.h"

/* Ids of messages, exchanges and envelopes: UUIDv7 (RFC 9562, 5.7), so that
 * byte order is about time order. An exchange's id is its first message's. */
struct id {
	uint8_t at[ID_BYTES];
};

#define ID_TEXT_BYTES 37 /* 8-4-4-4-12 hexadecimal digits and a NUL */

/* An id for UTC_MS (ms since 1970) from 10 bytes of CHANCE. */
struct id id_make(int64_t utc_ms, const uint8_t chance[10]);
/* The whole text form, dashes as in RFC 9562 or none, either case. ERR_MALFORMED else. */
enum err id_parse(const char *text, struct id *out) MUST_CHECK;
/* OUT has ID_TEXT_BYTES. Lower case with dashes. */
void id_print(struct id id, char *out);
/* A beginning of an id as a person types it: 1 to 32 hexadecimal digits, dashes
 * ignored. LOW and HIGH are the first and last id with it. ERR_MALFORMED else. */
enum err id_prefix(const char *text, struct id *low, struct id *high) MUST_CHECK;
/* ERR_MALFORMED unless B is ID_BYTES long. */
enum err id_from_bytes(struct bytes b, struct id *out) MUST_CHECK;
struct bytes id_bytes(const struct id *id); /* borrowed */
bool id_equal(struct id a, struct id b);
bool id_is_zero(struct id id);

/* Authorities: PARTY[.OFFICE], both of [a-z0-9-], beginning with a letter, at
 * most AUTHORITY_MAX_BYTES in all. Nodes: one such word. */
bool authority_is_valid(const char *s);
bool node_is_valid(const char *s);
/* The Party of an authority: PARTY. OUT has AUTHORITY_MAX_BYTES + 1. */
void authority_party(const char *authority, char *out);
bool same_party(const char *a, const char *b);

/* Times as people and files read them: ISO 8601 in UTC, with seconds. */
#define TIME_TEXT_BYTES 32
void time_print(int64_t utc_ms, char *out); /* 2026-12-20T23:59:59Z; "" for 0 */
void date_print(int64_t utc_ms, char *out); /* 2026-12-20; "" for 0 */
/* 2026-12-20: the last millisecond of that day in UTC. ERR_VALUE else. */
enum err date_parse_end(const char *text, int64_t *utc_ms) MUST_CHECK;
/* 30s, 15m, 4h, 14d to ms; ERR_VALUE else. */
enum err duration_parse(const char *text, int64_t *ms) MUST_CHECK;

#endif
