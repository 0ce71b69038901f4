/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PKI_SEAL_H
#define PKI_SEAL_H

#include "pki/chunk.h"
#include "pki/cms.h"
#include "pki/stamp.h"
#include "proto/message.pb-c.h"

/* Message to envelopes, and back: for the vault alone. Pure but for chance. */

/* Sign CONTENT once: encodes it with padding to a power of two from CONTENT_PAD_MIN_BYTES
 * (ERR_TOO_LARGE over CONTENT_MAX_BYTES) and signs. Appends the SignedData. CONTENT is on return as
 * it was: the padding is only in the encoding. ERR_CRYPTO. */
enum err content_sign(Citex__Content *content, const struct private_key *key, int64_t now_ms,
    struct buffer *signed_data) MUST_CHECK;

/* The length of padding that brings an encoding of SIZE bytes to the next possible power of two;
 * its field's own bytes count too, so sometimes the one after it. ERR_TOO_LARGE. */
enum err content_padding(size_t size, size_t *padding) MUST_CHECK;

struct seal_draft {
	struct id envelope_id;
	const char *author, *addressee;
	const uint8_t *incarnation; /* INCARNATION_BYTES */
	uint64_t sequence;
	int64_t created_ms, expires_ms; /* created as in the content, which is compared;
					 expires at most LIFETIME_MAX_MS after it */
	unsigned priority;
	const struct directory_key *recipient;
	struct cms_sender *sender; /* for that recipient's key */
	const Citex__Attachment *const *attachments;
	size_t attachment_count;
};
/* Seal SIGNED_DATA to COUNT addressees (at most BATCH_MAX) and stamp all with one signature. PACKED
 * gets COUNT buffers, each an encoded Envelope; garbage after an error. ERR_TOO_MANY,
 * ERR_TOO_LARGE, ERR_CRYPTO. */
enum err envelopes_make(const struct private_key *signing,
    struct bytes const *signed_data /* one for each */, const struct seal_draft *drafts,
    size_t count, struct buffer *packed) MUST_CHECK;

/* What came out of an envelope that was opened and found right. */
struct opened {
	struct buffer signed_data; /* the author's original, kept as evidence */
	Citex__Content *content; /* owned, proto_wipe() */
	int64_t signing_time_ms;
	uint8_t key_id[KEY_ID_BYTES]; /* the author's signing key */
};
void opened_release(struct opened *o);
/* Open E for ME with the opener whose key has the recipient key id (the caller looks it up), check
 * shape, digest, signature, the signer's certificate in D, and inner against outer fields: author,
 * addressee or audience, parts, incarnation, created. ERR_CANNOT_BE_OPENED for whatever fails up to
 * the signature, alike for all causes (DETAIL, 200 bytes, is for the local log only); after it
 * ERR_IDENTITY, ERR_MALFORMED, ERR_REVOKED, ERR_VERSION, and what directory_key_usable() says of a
 * key that is usable neither now nor at the signing time. After an error OUT is empty. */
enum err envelope_open(struct cms_opener *opener, const struct directory *d, const char *me,
    const struct envelope *e, int64_t now_ms, struct opened *out, char *detail) MUST_CHECK;
/* Verify a SignedData alone (bundles, own sent messages): who signed, when, and the content.
 * ERR_CANNOT_BE_OPENED (shape), ERR_UNKNOWN_KEY, ERR_IDENTITY (no signing key, or not its
 * author's), ERR_SIGNATURE, ERR_REVOKED (before it was signed), ERR_MALFORMED, ERR_VERSION. */
enum err signed_verify(const struct directory *d, struct bytes signed_data, struct opened *out,
    char *detail) MUST_CHECK;
/* Are O the outer fields of an envelope to ME with C in it: author, addressee or audience, parts,
 * incarnation, created? ERR_IDENTITY; DETAIL (200 bytes) says which is not. Outer fields may name
 * the digest of anything: without this they prove nothing about C. */
enum err content_fits(const Citex__Content *c, const Citex__Outer *o, const struct directory *d,
    const char *me, char *detail) MUST_CHECK;
/* Which of our sealing keys E is for: KEY_ID_BYTES, borrowed from E. ERR_CANNOT_BE_OPENED. */
enum err envelope_recipient(const struct envelope *e, struct bytes *key_id) MUST_CHECK;

/* Attachments: AES-256-GCM under the attachment's own key in chunks of CHUNK_PLAIN_BYTES, each
 * bound to its INDEX and the COUNT of chunks. Nonce: 4 zero bytes and the index (8 bytes);
 * associated data: "citex chunk v1", a zero byte, index and count (4 bytes each). An empty
 * attachment is one chunk with nothing in it. Only the last chunk may be shorter: ERR_VALUE. */
enum err chunk_seal(const uint8_t key[32], uint32_t index, uint32_t count, struct bytes plain,
    struct buffer *out) MUST_CHECK;
/* Appends. ERR_CANNOT_BE_OPENED: other key, place or bytes. */
enum err chunk_open(const uint8_t key[32], uint32_t index, uint32_t count, struct bytes sealed,
    struct buffer *out) MUST_CHECK;
#endif
