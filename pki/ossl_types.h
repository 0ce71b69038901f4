/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PKI_OSSL_TYPES_H
#define PKI_OSSL_TYPES_H

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "pki/keys.h"

/* What the .c files of this room share of OpenSSL. Nobody else includes it. */

/* Our arc under 2.25 (a UUID, ITU-T X.667): .0 the content type, .1 to .5 the extended key usages.
 */
#define CITEX_ARC "2.25.147698054712042959894840408000355340080"

EVP_PKEY *private_key_evp(const struct private_key *k); /* borrowed */
EVP_PKEY *public_key_evp(const struct public_key *k); /* borrowed */
/* Takes over KEY on success; ERR_MALFORMED unless it is a P-256 key. */
enum err private_key_take(EVP_PKEY *key, struct private_key **out) MUST_CHECK;
enum err public_key_take(EVP_PKEY *key, struct public_key **out) MUST_CHECK;
/* The 65 bytes of the uncompressed point. */
enum err public_key_point(const struct public_key *k, uint8_t out[65]) MUST_CHECK;

/* For CLEANUP() on a local pointer. */
static inline void
bio_drop(BIO **b)
{
	BIO_free_all(*b);
}
static inline void
pkey_drop(EVP_PKEY **k)
{
	EVP_PKEY_free(*k);
}
static inline void
pkey_ctx_drop(EVP_PKEY_CTX **c)
{
	EVP_PKEY_CTX_free(*c);
}
static inline void
md_ctx_drop(EVP_MD_CTX **c)
{
	EVP_MD_CTX_free(*c);
}
static inline void
cipher_ctx_drop(EVP_CIPHER_CTX **c)
{
	EVP_CIPHER_CTX_free(*c);
}
static inline void
x509_drop(X509 **x)
{
	X509_free(*x);
}

/* Fetched once by ossl_init(): looking an algorithm up by name costs more than a small digest. */
const EVP_MD *ossl_sha256(void);
const EVP_CIPHER *ossl_aes_256_gcm(void);
const EVP_CIPHER *ossl_aes_256_wrap(void);

/* AES-256-GCM with the tag apart (aead_seal() and aead_open() have it at the end). TO has room for
 * the input's length and is never NULL. False: refused; TO then holds garbage. */
#define GCM_NONCE_BYTES 12
#define GCM_TAG_BYTES 16
struct gcm {
	const uint8_t *key; /* 32 bytes */
	const uint8_t *nonce; /* GCM_NONCE_BYTES */
	struct bytes aad;
};
bool gcm_seal(const struct gcm *g, struct bytes plain, uint8_t *to, uint8_t tag[GCM_TAG_BYTES])
    MUST_CHECK;
bool gcm_open(const struct gcm *g, struct bytes cipher, const uint8_t tag[GCM_TAG_BYTES],
    uint8_t *to) MUST_CHECK;

/* AES-256 key wrap (RFC 3394) of one 32-byte key. False: WRAPPED was not made with KEK. */
#define KEY_WRAP_BYTES 32
#define KEY_WRAPPED_BYTES 40
bool key_wrap(const uint8_t kek[32], const uint8_t key[KEY_WRAP_BYTES],
    uint8_t out[KEY_WRAPPED_BYTES]) MUST_CHECK;
bool key_unwrap(const uint8_t kek[32], const uint8_t wrapped[KEY_WRAPPED_BYTES],
    uint8_t out[KEY_WRAP_BYTES]) MUST_CHECK;

#endif
