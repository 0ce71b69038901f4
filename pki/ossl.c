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

bool
gcm_seal(const struct gcm *g, struct bytes plain, uint8_t *to, uint8_t tag[GCM_TAG_BYTES])
{
	CLEANUP(cipher_ctx_drop) EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int len = 0;

	return ctx != NULL && plain.len <= INT32_MAX && g->aad.len <= INT32_MAX &&
	    EVP_EncryptInit_ex2(ctx, ossl_aes_256_gcm(), g->key, g->nonce, NULL) == 1 &&
	    (g->aad.len == 0 ||
		EVP_EncryptUpdate(ctx, NULL, &len, g->aad.at, (int)g->aad.len) == 1) &&
	    (plain.len == 0 || EVP_EncryptUpdate(ctx, to, &len, plain.at, (int)plain.len) == 1) &&
	    EVP_EncryptFinal_ex(ctx, to + plain.len, &len) == 1 &&
	    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, GCM_TAG_BYTES, tag) == 1;
}

bool
gcm_open(const struct gcm *g, struct bytes cipher, const uint8_t tag[GCM_TAG_BYTES], uint8_t *to)
{
	CLEANUP(cipher_ctx_drop) EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	uint8_t expected[GCM_TAG_BYTES];
	int len = 0;
	bool done;

	memcpy(expected, tag, GCM_TAG_BYTES);
	done = ctx != NULL && cipher.len <= INT32_MAX && g->aad.len <= INT32_MAX &&
	    EVP_DecryptInit_ex2(ctx, ossl_aes_256_gcm(), g->key, g->nonce, NULL) == 1 &&
	    (g->aad.len == 0 ||
		EVP_DecryptUpdate(ctx, NULL, &len, g->aad.at, (int)g->aad.len) == 1) &&
	    (cipher.len == 0 ||
		EVP_DecryptUpdate(ctx, to, &len, cipher.at, (int)cipher.len) == 1) &&
	    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, GCM_TAG_BYTES, expected) == 1 &&
	    EVP_DecryptFinal_ex(ctx, to + cipher.len, &len) == 1;
	ERR_clear_error();
	return done;
}

enum err
aead_seal(const uint8_t key[32], const uint8_t nonce[12], struct bytes aad, struct bytes plain,
    struct buffer *out)
{
	struct gcm g = { key, nonce, aad };
	uint8_t *to = buffer_extend(out, plain.len + GCM_TAG_BYTES);

	if (to == NULL)
		return ERR_NO_MEMORY;
	if (gcm_seal(&g, plain, to, to + plain.len))
		return OK;
	out->len -= plain.len + GCM_TAG_BYTES;
	return ERR_CRYPTO;
}

enum err
aead_open(const uint8_t key[32], const uint8_t nonce[12], struct bytes aad, struct bytes sealed,
    struct buffer *out)
{
	struct gcm g = { key, nonce, aad };
	uint8_t *to;

	if (sealed.len < GCM_TAG_BYTES)
		return ERR_CANNOT_BE_OPENED;
	/* With the tag's length too, so that TO is a place also for an empty plaintext. */
	to = buffer_extend(out, sealed.len);
	if (to == NULL)
		return ERR_NO_MEMORY;
	sealed.len -= GCM_TAG_BYTES;
	if (gcm_open(&g, sealed, sealed.at + sealed.len, to)) {
		out->len -= GCM_TAG_BYTES;
		return OK;
	}
	explicit_bzero(to, sealed.len);
	out->len -= sealed.len + GCM_TAG_BYTES;
	return ERR_CANNOT_BE_OPENED;
}

/* AES key wrap (RFC 3394), forth or back. False: it does not fit. */
static bool
wrap(const uint8_t kek[32], bool forth, const uint8_t *in, uint8_t *out)
{
	CLEANUP(cipher_ctx_drop) EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	const size_t in_len = forth ? KEY_WRAP_BYTES : KEY_WRAPPED_BYTES,
		     out_len = forth ? KEY_WRAPPED_BYTES : KEY_WRAP_BYTES;
	uint8_t room[KEY_WRAPPED_BYTES + 16];
	int len = 0, more = 0;
	bool done;

	if (ctx == NULL)
		return false;
	EVP_CIPHER_CTX_set_flags(ctx, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
	done = EVP_CipherInit_ex2(ctx, ossl_aes_256_wrap(), kek, NULL, forth ? 1 : 0, NULL) == 1 &&
	    EVP_CipherUpdate(ctx, room, &len, in, (int)in_len) == 1 &&
	    EVP_CipherFinal_ex(ctx, room + len, &more) == 1 && (size_t)(len + more) == out_len;
	if (done)
		memcpy(out, room, out_len);
	explicit_bzero(room, sizeof(room));
	ERR_clear_error();
	return done;
}

bool
key_wrap(const uint8_t kek[32], const uint8_t key[KEY_WRAP_BYTES], uint8_t out[KEY_WRAPPED_BYTES])
{
	return wrap(kek, true, key, out);
}

bool
key_unwrap(
    const uint8_t kek[32], const uint8_t wrapped[KEY_WRAPPED_BYTES], uint8_t out[KEY_WRAP_BYTES])
{
	return wrap(kek, false, wrapped, out);
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
