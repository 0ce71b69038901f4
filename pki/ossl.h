/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PKI_OSSL_H
#define PKI_OSSL_H

#include "proto/bytes.h"
#include "proto/limits.h"

/* The little of OpenSSL that everybody needs, without its headers. OpenSSL is
 * included in pki/ .c files and in pki/ossl_types.h, nowhere else. */

/* Once in each process, first thing: no configuration file, no environment,
 * algorithms fetched. ERR_CRYPTO when this OpenSSL lacks something. Idempotent. */
enum err ossl_init(void) MUST_CHECK;

/* "OpenSSL 3.0.22 ..." as linked. */
const char *ossl_version(void);

/* LEN random bytes; ends the process when there are none. */
void random_bytes(void *out, size_t len);

void sha256(struct bytes in, uint8_t out[DIGEST_BYTES]);
/* Of A followed by B. */
void sha256_two(struct bytes a, struct bytes b, uint8_t out[DIGEST_BYTES]);
/* A running digest, for what is not in memory at once. */
struct sha256_run;
struct sha256_run *sha256_new(void);
void sha256_add(struct sha256_run *r, struct bytes in);
void sha256_end(struct sha256_run *r, uint8_t out[DIGEST_BYTES]); /* frees R */

/* AES-256-GCM over one piece (NIST SP 800-38D): nonce 12 bytes, tag 16 bytes at
 * the end of the ciphertext. */
enum err aead_seal(const uint8_t key[32], const uint8_t nonce[12], struct bytes aad,
    struct bytes plain, struct buffer *out) MUST_CHECK;
/* ERR_CANNOT_BE_OPENED: wrong key, nonce, aad or bytes; OUT is then unchanged. */
enum err aead_open(const uint8_t key[32], const uint8_t nonce[12], struct bytes aad,
    struct bytes sealed, struct buffer *out) MUST_CHECK;

/* Takes everything off OpenSSL's error queue; the newest entry's text for one log line. Per thread.
 */
const char *ossl_why(void);

#endif
