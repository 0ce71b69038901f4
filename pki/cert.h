/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PKI_CERT_H
#define PKI_CERT_H

#include "pki/keys.h"

/* Certificates by fixed profile (RFC 5280): P-256, ECDSA with SHA-256, one CA
 * directly above each. Subject: O = Party, CN = name (of a CA: the Party).
 * Random 128-bit serial, key identifiers, basicConstraints and keyUsage
 * critical. A leaf has one use, by one extended key usage of our own:
 *   2.25.UUID.1 tls (with serverAuth and clientAuth), .2 signing, .3 sealing, .4 receipts
 * UUID is CITEX_ARC in cert.c; docs/protocol.md has it. */
enum cert_use { USE_CA, USE_TLS, USE_SIGNING, USE_SEALING, USE_RECEIPTS, USE_DIRECTORY };

struct cert;

/* DER in, nothing left over; the profile is checked wholly: ERR_MALFORMED, ERR_CERTIFICATE. */
enum err cert_parse(struct bytes der, struct cert **out) MUST_CHECK;
struct cert *cert_ref(struct cert *c);
void cert_free(struct cert *c);
void cert_drop(struct cert **c);
struct bytes cert_der(const struct cert *c); /* borrowed, as long as C */
const char *cert_name(const struct cert *c); /* authority or node; of a CA its Party */
const char *cert_party(const struct cert *c);
enum cert_use cert_use(const struct cert *c);
struct public_key *cert_key(const struct cert *c); /* borrowed, as long as C */
const uint8_t *cert_key_id(const struct cert *c); /* KEY_ID_BYTES */
int64_t cert_from_ms(const struct cert *c);
int64_t cert_until_ms(const struct cert *c);
/* SHA-256 of the DER as 64 hexadecimal digits in groups of four, for people to compare. OUT has 80
 * bytes. */
void cert_fingerprint(const struct cert *c, char *out);
/* TEXT, as a person writes a fingerprint (64 hexadecimal digits, in groups or not, either case), to
 * OUT (80 bytes) as cert_fingerprint() does. ERR_TOO_LARGE: more digits; ERR_VALUE. */
enum err fingerprint_parse(const char *text, char *out) MUST_CHECK;

/* Does C, for USE, end at CA, bear a name of CA's Party, and hold at AT_MS (ms since 1970)? OK,
 * ERR_CERTIFICATE (chain, use), ERR_IDENTITY (a name of another Party), ERR_EXPIRED, ERR_NOT_YET.
 */
enum err cert_check(const struct cert *c, const struct cert *ca, enum cert_use use, int64_t at_ms)
    MUST_CHECK;
/* The same without the time: what the directory vouches for stays valid as evidence. */
enum err cert_check_chain(const struct cert *c, const struct cert *ca, enum cert_use use)
    MUST_CHECK;

struct cert_request {
	const char *party;
	const char *name;
	enum cert_use use;
	const struct public_key *key;
	int64_t from_ms, until_ms;
};
/* Issue a certificate: by CA, or self-signed when CA is NULL (USE_CA, USE_DIRECTORY). */
enum err cert_issue(const struct cert_request *r, const struct cert *ca,
    const struct private_key *ca_key, struct cert **out) MUST_CHECK;
enum err cert_load_pem(const char *path, struct cert **out) MUST_CHECK; /* ERR_IO, ERR_MALFORMED */
enum err cert_save_pem(const struct cert *c, const char *path)
    MUST_CHECK; /* mode 0644; ERR_EXISTS */
void cert_print_pem(const struct cert *c, struct buffer *out);

#endif
