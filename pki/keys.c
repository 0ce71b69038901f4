/* SPDX-License-Identifier: Apache-2.0 */
/* P-256 keys in PKCS#8 files, and the signatures that are not CMS. */
#include "pki/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/sha.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pki/files.h"
#include "pki/ossl.h"
#include "pki/ossl_types.h"

#define KEY_FILE_MAX_BYTES (16 * KIB)
#define POINT_BYTES 65
#define SCRYPT_N (1U << 14) /* OpenSSL reads no more than 32 MiB of it from a file */

struct public_key {
	EVP_PKEY *evp;
	atomic_uint refs;
	uint8_t id[KEY_ID_BYTES];
	uint8_t digest[DIGEST_BYTES];
};

struct private_key {
	EVP_PKEY *evp;
	struct public_key *public; /* made once: it costs as much as a signature */
};

EVP_PKEY *
private_key_evp(const struct private_key *k)
{
	return k->evp;
}

EVP_PKEY *
public_key_evp(const struct public_key *k)
{
	return k->evp;
}

static bool
is_p256(EVP_PKEY *key)
{
	char group[32];

	return EVP_PKEY_is_a(key, "EC") == 1 &&
	    EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) == 1 &&
	    strcmp(group, "prime256v1") == 0;
}

static enum err
point_of(EVP_PKEY *key, uint8_t out[POINT_BYTES])
{
	size_t len = 0;

	if (EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, out, POINT_BYTES, &len) !=
		1 ||
	    len != POINT_BYTES || out[0] != 0x04)
		return ERR_MALFORMED;
	return OK;
}

/* The SubjectPublicKeyInfo of every P-256 key: this, then the point (RFC 5480). */
static const uint8_t spki_front[] = { 0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce,
	0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42,
	0x00 };

enum err
public_key_take(EVP_PKEY *key, struct public_key **out)
{
	uint8_t point[POINT_BYTES];
	struct public_key *k;

	if (!is_p256(key) || point_of(key, point) != OK)
		return ERR_MALFORMED;
	k = xalloc(sizeof(*k));
	k->evp = key;
	k->refs = 1;
	SHA1(point, sizeof(point), k->id);
	sha256_two(BYTES_OF(spki_front), BYTES_OF(point), k->digest);
	*out = k;
	return OK;
}

enum err
public_key_from_point(struct bytes point, struct public_key **out)
{
	EVP_PKEY *key = NULL;
	CLEANUP(pkey_ctx_drop) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(
		    OSSL_PKEY_PARAM_GROUP_NAME, (char *)(uintptr_t) "prime256v1", 0),
		OSSL_PARAM_construct_octet_string(
		    OSSL_PKEY_PARAM_PUB_KEY, (void *)(uintptr_t)point.at, point.len),
		OSSL_PARAM_END,
	};
	enum err e = ERR_MALFORMED;

	if (point.len != POINT_BYTES || point.at[0] != 0x04)
		return ERR_MALFORMED;
	if (ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1 &&
	    EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) == 1)
		e = public_key_take(key, out);
	if (e != OK)
		EVP_PKEY_free(key);
	ERR_clear_error();
	return e;
}

enum err
private_key_take(EVP_PKEY *key, struct private_key **out)
{
	uint8_t point[POINT_BYTES];
	struct public_key *public;

	if (!is_p256(key) || point_of(key, point) != OK ||
	    public_key_from_point(BYTES_OF(point), &public) != OK)
		return ERR_MALFORMED;
	*out = xalloc(sizeof(**out));
	(*out)->evp = key;
	(*out)->public = public;
	return OK;
}

enum err
public_key_point(const struct public_key *k, uint8_t out[POINT_BYTES])
{
	return point_of(k->evp, out);
}

struct private_key *
private_key_new(void)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	struct private_key *k = NULL;

	if (key == NULL || private_key_take(key, &k) != OK)
		EVP_PKEY_free(key);
	return k;
}

void
private_key_free(struct private_key *k)
{
	if (k == NULL)
		return;
	EVP_PKEY_free(k->evp); /* OpenSSL wipes the number */
	public_key_free(k->public);
	free(k);
}

void
private_key_drop(struct private_key **k)
{
	private_key_free(*k);
}

struct public_key *
private_key_public(const struct private_key *k)
{
	return public_key_ref(k->public);
}

static int
give_passphrase(char *to, int room, int rwflag, void *arg)
{
	const struct secret *passphrase = arg;

	(void)rwflag;
	if (passphrase == NULL || passphrase->len > (size_t)room)
		return -1;
	memcpy(to, passphrase->at, passphrase->len);
	return (int)passphrase->len;
}

static enum err
open_private(const char *path, int *fd)
{
	struct stat st;

	*fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (*fd < 0)
		return ERR_IO;
	if (fstat(*fd, &st) != 0 || (st.st_mode & (S_IRWXG | S_IRWXO)) != 0 ||
	    !secret_owner_is_trusted(st.st_uid)) {
		close(*fd);
		return ERR_DENIED;
	}
	if (!S_ISREG(st.st_mode) || st.st_size > (off_t)KEY_FILE_MAX_BYTES) {
		close(*fd);
		return ERR_MALFORMED;
	}
	return OK;
}

static bool
is_encrypted_pem(const uint8_t *pem, size_t len)
{
	static const char mark[] = "BEGIN ENCRYPTED PRIVATE KEY";

	return memmem(pem, len, mark, sizeof(mark) - 1) != NULL;
}

enum err
private_key_load(const char *path, const struct secret *passphrase, struct private_key **out)
{
	CLEANUP(secret_release) struct secret pem = { 0 };
	CLEANUP(bio_drop) BIO *bio = NULL;
	EVP_PKEY *key;
	ssize_t len;
	int fd;
	enum err e = open_private(path, &fd);

	if (e != OK)
		return e;
	e = secret_init(&pem, KEY_FILE_MAX_BYTES);
	len = e == OK ? read(fd, pem.at, pem.len) : -1;
	close(fd);
	if (len <= 0)
		return e != OK ? e : ERR_IO;
	bio = BIO_new_mem_buf(pem.at, (int)len);
	key = bio == NULL
	    ? NULL
	    : PEM_read_bio_PrivateKey(bio, NULL, give_passphrase, (void *)(uintptr_t)passphrase);
	ERR_clear_error();
	/* scrypt had 16 MiB, which the allocator would keep for good from the second key on */
	(void)malloc_trim(0);
	if (key == NULL)
		return is_encrypted_pem(pem.at, (size_t)len) ? ERR_PASSPHRASE : ERR_MALFORMED;
	e = private_key_take(key, out);
	if (e != OK)
		EVP_PKEY_free(key);
	return e;
}

/* PBES2 with scrypt and AES-256-CBC (RFC 7914): what stock openssl reads. */
static enum err
encrypt_pkcs8(const struct private_key *k, const struct secret *passphrase, BIO *to)
{
	PKCS8_PRIV_KEY_INFO *plain = EVP_PKEY2PKCS8(k->evp);
	X509_ALGOR *pbe = PKCS5_pbe2_set_scrypt(EVP_aes_256_cbc(), NULL, 0, NULL, SCRYPT_N, 8, 1);
	X509_SIG *sealed = NULL;
	bool done = false;

	if (plain != NULL && pbe != NULL)
		sealed =
		    PKCS8_set0_pbe((const char *)passphrase->at, (int)passphrase->len, plain, pbe);
	if (sealed != NULL)
		done = PEM_write_bio_PKCS8(to, sealed) == 1;
	else
		X509_ALGOR_free(pbe); /* else it belongs to SEALED */
	X509_SIG_free(sealed);
	PKCS8_PRIV_KEY_INFO_free(plain);
	return done ? OK : ERR_CRYPTO;
}

enum err
private_key_save(const struct private_key *k, const char *path, const struct secret *passphrase)
{
	CLEANUP(bio_drop) BIO *bio = BIO_new(BIO_s_secmem());
	enum err e = bio == NULL ? ERR_CRYPTO : encrypt_pkcs8(k, passphrase, bio);
	char *at = NULL;
	long len;

	if (e != OK)
		return e;
	len = BIO_get_mem_data(bio, &at);
	return file_create(path, (struct bytes){ (const uint8_t *)at, (size_t)len }, 0600);
}

struct public_key *
public_key_ref(struct public_key *k)
{
	atomic_fetch_add(&k->refs, 1);
	return k;
}

void
public_key_free(struct public_key *k)
{
	if (k == NULL || atomic_fetch_sub(&k->refs, 1) != 1)
		return;
	EVP_PKEY_free(k->evp);
	free(k);
}

void
public_key_drop(struct public_key **k)
{
	public_key_free(*k);
}

void
public_key_id(const struct public_key *k, uint8_t out[KEY_ID_BYTES])
{
	memcpy(out, k->id, KEY_ID_BYTES);
}

void
public_key_digest(const struct public_key *k, uint8_t out[DIGEST_BYTES])
{
	memcpy(out, k->digest, DIGEST_BYTES);
}

bool
public_key_equal(const struct public_key *a, const struct public_key *b)
{
	return memcmp(a->digest, b->digest, DIGEST_BYTES) == 0;
}

enum err
label_sign(const struct private_key *k, const char *label, struct bytes data, struct buffer *out)
{
	CLEANUP(md_ctx_drop) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t signature[128];
	size_t len = sizeof(signature);

	if (ctx == NULL ||
	    EVP_DigestSignInit_ex(ctx, NULL, "SHA256", NULL, NULL, k->evp, NULL) != 1 ||
	    EVP_DigestSignUpdate(ctx, label, strlen(label) + 1) != 1 ||
	    EVP_DigestSignUpdate(ctx, data.at, data.len) != 1 ||
	    EVP_DigestSignFinal(ctx, signature, &len) != 1)
		return ERR_CRYPTO;
	buffer_add(out, (struct bytes){ signature, len });
	return buffer_status(out);
}

enum err
label_verify(
    const struct public_key *k, const char *label, struct bytes data, struct bytes signature)
{
	CLEANUP(md_ctx_drop) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good;

	if (ctx == NULL ||
	    EVP_DigestVerifyInit_ex(ctx, NULL, "SHA256", NULL, NULL, k->evp, NULL) != 1 ||
	    EVP_DigestVerifyUpdate(ctx, label, strlen(label) + 1) != 1 ||
	    EVP_DigestVerifyUpdate(ctx, data.at, data.len) != 1)
		return ERR_CRYPTO;
	good = EVP_DigestVerifyFinal(ctx, signature.at, signature.len) == 1;
	ERR_clear_error();
	return good ? OK : ERR_SIGNATURE;
}
