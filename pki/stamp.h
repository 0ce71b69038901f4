/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PKI_STAMP_H
#define PKI_STAMP_H

#include "pki/directory.h"
#include "pki/merkle.h"
#include "proto/ids.h"

/* The outer fields of an envelope and who signed them. */
#define STAMP_LABEL "citex stamp v1"

/* An envelope taken apart and found well-formed: version, lengths of all ids
 * and digests, valid names, parts within limits, sealed length and digest as
 * the outer fields say. Nothing is verified against keys yet. */
struct envelope {
	Citex__Envelope *pb; /* owned */
	Citex__Outer *outer; /* owned */
	uint8_t digest[DIGEST_BYTES]; /* SHA-256 of the outer bytes: the digest of the envelope */
	struct id id;
};
/* From a received Envelope (which E takes over on OK). ERR_MALFORMED, ERR_VERSION, ERR_TOO_LARGE.
 */
enum err envelope_take(Citex__Envelope *pb, struct envelope *e) MUST_CHECK;
/* From stored bytes of an Envelope. */
enum err envelope_parse(struct bytes packed, struct envelope *e) MUST_CHECK;
/* From the outer fields alone, when the sealed bytes are gone: what slips speak of. PB is NULL. */
enum err envelope_of_outer(struct bytes outer, struct envelope *e) MUST_CHECK;
void envelope_release(struct envelope *e);

/* Is the stamp by a signing key of the author, live (or in overlap) in D at
 * NOW_MS? OK; ERR_UNKNOWN_KEY (not in D: answer `later'), ERR_REVOKED, ERR_IDENTITY (a key of
 * somebody else), ERR_UNKNOWN_AUTHORITY, ERR_SIGNATURE, and what directory_key_usable() says. */
enum err stamp_verify(struct proof_cache *cache, const struct directory *d,
    const struct envelope *e, int64_t now_ms) MUST_CHECK;

#endif
