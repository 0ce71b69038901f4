/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PKI_KEYS_H
#define PKI_KEYS_H

#include "pki/secret.h"
#include "proto/bytes.h"
#include "proto/limits.h"

/* P-256 keys behind an interface: PKCS#8 files now, PKCS#11 later. */
struct private_key; /* wiped when freed */
struct public_key;

/* A new key; NULL when OpenSSL refuses. */
struct private_key *private_key_new(void);
/* Read a PKCS#8 PEM file, encrypted or not (RFC 5958). ERR_IO, ERR_PASSPHRASE,
 * ERR_MALFORMED, ERR_DENIED (readable by others than its owner, unless FD < 0 reads ...). */
enum err private_key_load(
    const char *path, const struct secret *passphrase, struct private_key **out) MUST_CHECK;
/* Write it encrypted (PBES2, scrypt, AES-256-CBC), mode 0600, temporary name,
 * sync, rename, sync of the folder; never over an existing file: ERR_EXISTS. */
enum err private_key_save(
    const struct private_key *k, const char *path, const struct secret *passphrase) MUST_CHECK;
void private_key_free(struct private_key *k);
void private_key_drop(struct private_key **k);
/* A new reference to its public half; never NULL. */
struct public_key *private_key_public(const struct private_key *k);

/* From an uncompressed point of 65 bytes, checked to be on the curve; ERR_MALFORMED else. */
enum err public_key_from_point(struct bytes point, struct public_key **out) MUST_CHECK;
struct public_key *public_key_ref(struct public_key *k);
void public_key_free(struct public_key *k);
void public_key_drop(struct public_key **k);
/* RFC 5280, 4.2.1.2 (1): SHA-1 of the public key bits. A name, not a defence. */
void public_key_id(const struct public_key *k, uint8_t out[KEY_ID_BYTES]);
/* SHA-256 of the SubjectPublicKeyInfo: what is compared when a key is pinned. */
void public_key_digest(const struct public_key *k, uint8_t out[DIGEST_BYTES]);
bool public_key_equal(const struct public_key *a, const struct public_key *b);

/* ECDSA with SHA-256 over LABEL, a zero byte, DATA: every signature of citex
 * that is not CMS or a certificate. Appends DER (RFC 3279, 2.2.3) to OUT. */
enum err label_sign(const struct private_key *k, const char *label, struct bytes data,
    struct buffer *out) MUST_CHECK;
/* OK or ERR_SIGNATURE. */
enum err label_verify(const struct public_key *k, const char *label, struct bytes data,
    struct bytes signature) MUST_CHECK;

#endif
