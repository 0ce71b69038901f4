/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PKI_CMS_H
#define PKI_CMS_H

#include "pki/keys.h"

/* The one CMS shape (RFC 5652, 5083, 5084, 5753): an encoder and a decoder
 * over EVP primitives, pure. DER, nothing left over, nothing optional. The
 * shape byte by byte is in docs/protocol.md. Anything else is refused. */

/* Dotted form of our content type; its DER value octets are in cms.c. */
#define CMS_CONTENT_OID "2.25.147698054712042959894840408000355340080.0"

struct cms_signed { /* all borrowed from the input */
	struct bytes content;
	struct bytes key_id; /* KEY_ID_BYTES: the signer's */
	struct bytes signed_attributes; /* whole, under their tag 0xa0; hashed with 0x31 instead */
	struct bytes message_digest; /* DIGEST_BYTES: of the content, as signed */
	struct bytes signature;
	int64_t signing_time_ms;
};

/* Append a ContentInfo with SignedData over CONTENT. ERR_VALUE for a time before 1970 or after
 * 9999, ERR_TOO_LARGE over about 16 MiB, ERR_CRYPTO. */
enum err cms_sign(const struct private_key *key, struct bytes content, int64_t signing_time_ms,
    struct buffer *out) MUST_CHECK;
/* Take SignedData apart; no cryptography. ERR_CANNOT_BE_OPENED for every other shape. */
enum err cms_parse_signed(struct bytes der, struct cms_signed *out) MUST_CHECK;
/* Check digest and signature by KEY (whose id the caller looked up and matched). ERR_SIGNATURE. */
enum err cms_verify(const struct cms_signed *s, const struct public_key *key) MUST_CHECK;

/* One ephemeral key for one addressee: for at most EPHEMERAL_MAX_ENVELOPES or EPHEMERAL_MAX_MS. */
struct cms_sender;
enum err cms_sender_new(const struct public_key *recipient, struct cms_sender **out) MUST_CHECK;
void cms_sender_free(struct cms_sender *s);

/* Append a ContentInfo with AuthEnvelopedData for S's recipient; PLAIN is a whole ContentInfo of
 * SignedData. S may serve several threads at once. ERR_VALUE, ERR_TOO_LARGE, ERR_CRYPTO. */
enum err cms_seal(struct cms_sender *s, const uint8_t recipient_key_id[KEY_ID_BYTES],
    struct bytes envelope_id, struct bytes plain, struct buffer *out) MUST_CHECK;

struct cms_sealed { /* all borrowed */
	struct bytes originator; /* 65 bytes, uncompressed point */
	struct bytes ukm; /* ID_BYTES */
	struct bytes recipient_key_id;
	struct bytes wrapped_key; /* 40 bytes */
	struct bytes nonce; /* 12 */
	struct bytes ciphertext;
	struct bytes tag; /* 16 */
};
enum err cms_parse_sealed(struct bytes der, struct cms_sealed *out)
    MUST_CHECK; /* ERR_CANNOT_BE_OPENED */

/* Opens for one private key (borrowed, as long as the opener); remembers the newest agreed secrets
 * (an ephemeral key serves many envelopes). */
struct cms_opener;
enum err cms_opener_new(const struct private_key *key, struct cms_opener **out) MUST_CHECK;
void cms_opener_free(struct cms_opener *o);
/* Append the plaintext. The ukm must be ENVELOPE_ID, the recipient key id that of O's key. One
 * error for every cause: ERR_CANNOT_BE_OPENED. Not thread safe on one O. */
enum err cms_open(struct cms_opener *o, const struct cms_sealed *s, struct bytes envelope_id,
    struct buffer *out) MUST_CHECK;

#endif
