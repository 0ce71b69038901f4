/* SPDX-License-Identifier: Apache-2.0 */
/* OpenSSL's life in a process, and the primitives that everybody needs. */
#include "pki/ossl.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pki/ossl_types.h"

#define NONCE_BYTES 12
#define TAG_BYTES 16

static EVP_MD *md_sha256;
static EVP_CIPHER *cipher_gcm, *cipher_wrap;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void
fetch_all(void)
{
	if (OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) != 1)
		return;
	md_sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	cipher_gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	cipher_wrap = EVP_CIPHER_fetch(NULL, "id-aes256-wrap", NULL);
}

enum err
ossl_init(void)
{
	pthread_once(&once, fetch_all);
	return md_sha256 != NULL && cipher_gcm != NULL && cipher_wrap != NULL ? OK : ERR_CRYPTO;
}

static void
need_init(void)
{
	if (ossl_init() != OK) {
		fputs("this OpenSSL lacks SHA-256 or AES-256\n", stderr);
		abort();
	}
}

const EVP_MD *
ossl_sha256(void)
{
	need_init();
	return md_sha256;
}

const EVP_CIPHER *
ossl_aes_256_gcm(void)
{
	need_init();
	return cipher_gcm;
}

const EVP_CIPHER *
ossl_aes_256_wrap(void)
{
	need_init();
	return cipher_wrap;
}

const char *
ossl_version(void)
{
	return OpenSSL_version(OPENSSL_VERSION);
}

void
random_bytes(void *out, size_t len)
{
	if (RAND_bytes_ex(NULL, out, len, 0) != 1) {
		fputs("no random numbers\n", stderr);
		abort();
	}
}

/* A digest over memory fails only without memory. */
static void
must(int done)
{
	if (done != 1) {
		fputs("SHA-256 failed\n", stderr);
		abort();
	}
}

void
sha256_two(struct bytes a, struct bytes b, uint8_t out[DIGEST_BYTES])
{
	CLEANUP(md_ctx_drop) EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	must(ctx != NULL && EVP_DigestInit_ex2(ctx, ossl_sha256(), NULL) == 1);
	must(EVP_DigestUpdate(ctx, a.at, a.len));
	must(EVP_DigestUpdate(ctx, b.at, b.len));
	must(EVP_DigestFinal_ex(ctx, out, NULL));
}

void
sha256(struct bytes in, uint8_t out[DIGEST_BYTES])
{
	sha256_two(in, BYTES_NONE, out);
}

struct sha256_run {
	EVP_MD_CTX *ctx;
};

struct sha256_run *
sha256_new(void)
{
	struct sha256_run *r = xalloc(sizeof(*r));

	r->ctx = EVP_MD_CTX_new();
	must(r->ctx != NULL && EVP_DigestInit_ex2(r->ctx, ossl_sha256(), NULL) == 1);
	return r;
}

void
sha256_add(struct sha256_run *r, struct bytes in)
{
	must(EVP_DigestUpdate(r->ctx, in.at, in.len));
}

void
sha256_end(struct sha256_run *r, uint8_t out[DIGEST_BYTES])
{
	must(EVP_DigestFinal_ex(r->ctx, out, NULL));
	EVP_MD_CTX_free(r->ctx);
	free(r);
}

enum err
aead_seal(const uint8_t key[32], const uint8_t nonce[12], struct bytes aad, struct bytes plain,
    struct buffer *out)
{
	CLEANUP(cipher_ctx_drop) EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	uint8_t *to = buffer_extend(out, plain.len + TAG_BYTES);
	int len = 0;

	if (to == NULL)
		return ERR_NO_MEMORY;
	if (ctx == NULL || plain.len > INT32_MAX || aad.len > INT32_MAX ||
	    EVP_EncryptInit_ex2(ctx, ossl_aes_256_gcm(), key, nonce, NULL) != 1 ||
	    (aad.len > 0 && EVP_EncryptUpdate(ctx, NULL, &len, aad.at, (int)aad.len) != 1) ||
	    (plain.len > 0 && EVP_EncryptUpdate(ctx, to, &len, plain.at, (int)plain.len) != 1) ||
	    EVP_EncryptFinal_ex(ctx, to + plain.len, &len) != 1 ||
	    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, to + plain.len) != 1) {
		out->len -= plain.len + TAG_BYTES;
		return ERR_CRYPTO;
	}
	return OK;
}

static bool
gcm_open(EVP_CIPHER_CTX *ctx, struct bytes aad, struct bytes sealed, uint8_t *to)
{
	uint8_t tag[TAG_BYTES];
	size_t plain_len = sealed.len - TAG_BYTES;
	int len = 0;

	memcpy(tag, sealed.at + plain_len, TAG_BYTES);
	return (aad.len == 0 || EVP_DecryptUpdate(ctx, NULL, &len, aad.at, (int)aad.len) == 1) &&
	    (plain_len == 0 || EVP_DecryptUpdate(ctx, to, &len, sealed.at, (int)plain_len) == 1) &&
	    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, tag) == 1 &&
	    EVP_DecryptFinal_ex(ctx, to + plain_len, &len) == 1;
}

enum err
aead_open(const uint8_t key[32], const uint8_t nonce[12], struct bytes aad, struct bytes sealed,
    struct buffer *out)
{
	CLEANUP(cipher_ctx_drop) EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	uint8_t *to;

	if (sealed.len < TAG_BYTES || sealed.len > INT32_MAX || aad.len > INT32_MAX)
		return ERR_CANNOT_OPEN;
	/* At least one byte of room, so that TO is a place also for an empty plaintext. */
	to = buffer_extend(out, sealed.len);
	if (to == NULL)
		return ERR_NO_MEMORY;
	if (ctx == NULL || EVP_DecryptInit_ex2(ctx, ossl_aes_256_gcm(), key, nonce, NULL) != 1 ||
	    !gcm_open(ctx, aad, sealed, to)) {
		explicit_bzero(to, sealed.len);
		out->len -= sealed.len;
		ERR_clear_error();
		return ERR_CANNOT_OPEN;
	}
	out->len -= TAG_BYTES;
	return OK;
}

const char *
ossl_why(void)
{
	static _Thread_local char text[256];
	unsigned long newest = ERR_peek_last_error();

	if (newest == 0)
		return "";
	ERR_error_string_n(newest, text, sizeof(text));
	ERR_clear_error();
	return text;
}
