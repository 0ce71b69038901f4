/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PKI_SLIP_H
#define PKI_SLIP_H

#include "pki/stamp.h"

/* Slips: signed words about an envelope that travel back to its author. */
#define SLIP_LABEL "citex slip v1"

struct slip_draft {
	Citex__SlipType type;
	const struct envelope *about; /* or, when the envelope is not at hand, the next three */
	struct id envelope_id;
	uint8_t outer_digest[DIGEST_BYTES];
	const char *to;
	const char *maker; /* node or authority that signs */
	int64_t time_ms;
	enum err reason; /* refused, expired: not OK; not used else */
	const char *words; /* may be NULL; cut to SLIP_REASON_MAX_BYTES */
	uint64_t directory;
};

/* Sign COUNT slips (at most BATCH_MAX) once. PACKED gets COUNT buffers, each an encoded Slip, the
 * caller's. ERR_TOO_MANY, ERR_VALUE (a refusal without a reason), ERR_CRYPTO. */
enum err slips_make(const struct private_key *key, const struct slip_draft *drafts, size_t count,
    struct buffer *packed) MUST_CHECK;

struct slip {
	Citex__Slip *pb; /* owned */
	Citex__SlipBody *body; /* owned */
	struct id envelope_id;
	uint8_t digest[DIGEST_BYTES]; /* SHA-256 of the body: the slip's own identity */
};
enum err slip_take(Citex__Slip *pb, struct slip *s)
    MUST_CHECK; /* takes PB on OK. ERR_MALFORMED, ERR_VERSION, ERR_TOO_LARGE */
enum err slip_parse(struct bytes packed, struct slip *s) MUST_CHECK;
void slip_release(struct slip *s);

/* Is S signed by its maker with a key that D lists for that maker: stored and
 * relayed by a node's receipt key, opened, seen by an authority's signing key, refused and expired
 * by either? Retired keys count (the newest directory alone judges every slip), keys revoked before
 * the slip's time do not. OK, ERR_UNKNOWN_KEY, ERR_REVOKED, ERR_IDENTITY, ERR_SIGNATURE. */
enum err slip_verify(struct proof_cache *cache, const struct directory *d, const struct slip *s)
    MUST_CHECK;
/* Does S speak of the envelope E, and may its maker say so: stored by the node that serves the
 * addressee, opened and seen by the addressee itself, relayed by a node that one of the two nodes
 * has in its `via', expired and refused by one of those or the author's node? ERR_IDENTITY else;
 * ERR_UNKNOWN_KEY. */
enum err slip_fits(const struct directory *d, const struct slip *s, const struct envelope *e)
    MUST_CHECK;

#endif
