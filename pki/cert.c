/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates of one fixed profile: what does not fit it wholly is refused
 * when it is parsed, so that nobody later has to look. Not here: which
 * certificate belongs to whom; that is the directory's. */
#include "pki/cert.h"

#include <openssl/objects.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pki/der.h"
#include "pki/files.h"
#include "pki/ossl.h"
#include "pki/ossl_types.h"
#include "proto/ids.h"

#define CERT_MAX_BYTES (8 * KIB)
#define SERIAL_BYTES 16

struct cert {
	atomic_uint refs;
	X509 *x509;
	struct bytes der; /* owned */
	char name[AUTHORITY_MAX_BYTES + 1];
	char party[AUTHORITY_MAX_BYTES + 1];
	enum cert_use use;
	struct public_key *key;
	uint8_t key_id[KEY_ID_BYTES];
	int64_t from_ms, until_ms;
};

/* What each use demands: its own extended key usage, the TLS ones beside it, and the key usage. */
static const struct profile {
	const char *usage;
	bool tls;
	uint32_t key_usage;
	const char *key_usage_words;
} profiles[] = {
	[USE_CA] = { NULL, false, KU_KEY_CERT_SIGN | KU_CRL_SIGN, "critical,keyCertSign,cRLSign" },
	[USE_TLS] = { CITEX_ARC ".1", true, KU_DIGITAL_SIGNATURE, "critical,digitalSignature" },
	[USE_SIGNING] = { CITEX_ARC ".2", false, KU_DIGITAL_SIGNATURE,
	    "critical,digitalSignature" },
	[USE_SEALING] = { CITEX_ARC ".3", false, KU_KEY_AGREEMENT, "critical,keyAgreement" },
	[USE_RECEIPTS] = { CITEX_ARC ".4", false, KU_DIGITAL_SIGNATURE,
	    "critical,digitalSignature" },
	[USE_DIRECTORY] = { CITEX_ARC ".5", false, KU_DIGITAL_SIGNATURE,
	    "critical,digitalSignature" },
};
#define PROFILE_COUNT (sizeof(profiles) / sizeof(*profiles))

/* --- reading --- */

static enum err
read_text(const X509_NAME_ENTRY *entry, int nid, int set, char *out, size_t room)
{
	const ASN1_STRING *text = X509_NAME_ENTRY_get_data(entry);

	if (OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry)) != nid ||
	    X509_NAME_ENTRY_set(entry) != set)
		return ERR_CERTIFICATE;
	if (ASN1_STRING_type(text) != V_ASN1_UTF8STRING || ASN1_STRING_length(text) <= 0 ||
	    (size_t)ASN1_STRING_length(text) >= room ||
	    memchr(ASN1_STRING_get0_data(text), '\0', (size_t)ASN1_STRING_length(text)) != NULL)
		return ERR_CERTIFICATE;
	memcpy(out, ASN1_STRING_get0_data(text), (size_t)ASN1_STRING_length(text));
	out[ASN1_STRING_length(text)] = '\0';
	return authority_is_valid(out) ? OK : ERR_CERTIFICATE;
}

/* O, then CN, each alone in its set. */
static enum err
read_subject(struct cert *c)
{
	const X509_NAME *subject = X509_get_subject_name(c->x509);
	enum err e;

	if (X509_NAME_entry_count(subject) != 2)
		return ERR_CERTIFICATE;
	e = read_text(
	    X509_NAME_get_entry(subject, 0), NID_organizationName, 0, c->party, sizeof(c->party));
	return e != OK ? e
		       : read_text(X509_NAME_get_entry(subject, 1), NID_commonName, 1, c->name,
			     sizeof(c->name));
}

static enum err
read_time(const ASN1_TIME *t, int64_t *out)
{
	struct bytes text = { ASN1_STRING_get0_data(t), (size_t)ASN1_STRING_length(t) };

	return der_time_value((uint8_t)ASN1_STRING_type(t), text, out) ? OK : ERR_CERTIFICATE;
}

static enum err
read_times(struct cert *c)
{
	enum err e = read_time(X509_get0_notBefore(c->x509), &c->from_ms);

	if (e == OK)
		e = read_time(X509_get0_notAfter(c->x509), &c->until_ms);
	return e == OK && c->from_ms > c->until_ms ? ERR_CERTIFICATE : e;
}

/* Exactly what P says: its own usage first, of TLS the two public ones behind it. */
static bool
usages_are(const EXTENDED_KEY_USAGE *usages, const struct profile *p)
{
	ASN1_OBJECT *own;
	bool same;

	if (p->usage == NULL || sk_ASN1_OBJECT_num(usages) != (p->tls ? 3 : 1))
		return false;
	own = OBJ_txt2obj(p->usage, 1);
	same = own != NULL && OBJ_cmp(sk_ASN1_OBJECT_value(usages, 0), own) == 0;
	ASN1_OBJECT_free(own);
	if (!same || !p->tls)
		return same;
	return OBJ_obj2nid(sk_ASN1_OBJECT_value(usages, 1)) == NID_server_auth &&
	    OBJ_obj2nid(sk_ASN1_OBJECT_value(usages, 2)) == NID_client_auth;
}

static enum err
read_use(struct cert *c)
{
	EXTENDED_KEY_USAGE *usages;
	enum err e = ERR_CERTIFICATE;

	if (X509_get_ext_by_NID(c->x509, NID_ext_key_usage, -1) < 0) {
		c->use = USE_CA;
		return OK;
	}
	/* NULL for what can't be read and for what stands there twice */
	usages = X509_get_ext_d2i(c->x509, NID_ext_key_usage, NULL, NULL);
	for (size_t i = 0; usages != NULL && i < PROFILE_COUNT; i++) {
		if (usages_are(usages, &profiles[i])) {
			c->use = (enum cert_use)i;
			e = OK;
		}
	}
	EXTENDED_KEY_USAGE_free(usages);
	return e;
}

/* The extensions of the profile, each once; a CA has no use, and no others are there. */
static enum err
check_extension_list(const struct cert *c)
{
	static const struct {
		int nid;
		int critical;
	} list[] = { { NID_basic_constraints, 1 }, { NID_key_usage, 1 },
		{ NID_subject_key_identifier, 0 }, { NID_authority_key_identifier, 0 },
		{ NID_ext_key_usage, 0 } };
	const int count = c->use == USE_CA ? 4 : 5;

	if (X509_get_ext_count(c->x509) != count)
		return ERR_CERTIFICATE;
	for (int i = 0; i < count; i++) {
		int at = X509_get_ext_by_NID(c->x509, list[i].nid, -1);
		if (at < 0 ||
		    X509_EXTENSION_get_critical(X509_get_ext(c->x509, at)) != list[i].critical)
			return ERR_CERTIFICATE;
	}
	return OK;
}

static enum err
check_basic_constraints(const struct cert *c)
{
	BASIC_CONSTRAINTS *basic = X509_get_ext_d2i(c->x509, NID_basic_constraints, NULL, NULL);
	bool is_ca, has_path, path_is_zero;

	if (basic == NULL)
		return ERR_CERTIFICATE;
	is_ca = basic->ca != 0;
	has_path = basic->pathlen != NULL;
	path_is_zero = has_path && ASN1_INTEGER_get(basic->pathlen) == 0;
	BASIC_CONSTRAINTS_free(basic);
	if (c->use == USE_CA)
		return is_ca && path_is_zero ? OK : ERR_CERTIFICATE;
	return !is_ca && !has_path ? OK : ERR_CERTIFICATE;
}

static enum err
check_extensions(const struct cert *c)
{
	const ASN1_OCTET_STRING *own, *above;
	enum err e = check_extension_list(c);

	if (e == OK)
		e = check_basic_constraints(c);
	if (e != OK)
		return e;
	if (X509_get_key_usage(c->x509) != profiles[c->use].key_usage)
		return ERR_CERTIFICATE;
	own = X509_get0_subject_key_id(c->x509);
	if (own == NULL || ASN1_STRING_length(own) != KEY_ID_BYTES ||
	    memcmp(ASN1_STRING_get0_data(own), c->key_id, KEY_ID_BYTES) != 0)
		return ERR_CERTIFICATE;
	above = X509_get0_authority_key_id(c->x509);
	if (above == NULL || ASN1_STRING_length(above) != KEY_ID_BYTES ||
	    X509_get0_authority_issuer(c->x509) != NULL ||
	    X509_get0_authority_serial(c->x509) != NULL)
		return ERR_CERTIFICATE;
	return OK;
}

/* The key in its one spelling: a named curve and an uncompressed point. */
static enum err
read_key(struct cert *c)
{
	EVP_PKEY *key = X509_get_pubkey(c->x509);
	uint8_t digest[DIGEST_BYTES], expected[DIGEST_BYTES];
	uint8_t *der = NULL;
	int len;

	if (key == NULL)
		return ERR_CERTIFICATE;
	if (public_key_take(key, &c->key) != OK) {
		EVP_PKEY_free(key);
		return ERR_CERTIFICATE;
	}
	len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(c->x509), &der);
	if (len <= 0)
		return ERR_CERTIFICATE;
	sha256((struct bytes){ der, (size_t)len }, digest);
	OPENSSL_free(der);
	public_key_digest(c->key, expected);
	public_key_id(c->key, c->key_id);
	return memcmp(digest, expected, DIGEST_BYTES) == 0 ? OK : ERR_CERTIFICATE;
}

static bool
is_ecdsa_with_sha256(const X509_ALGOR *a)
{
	const ASN1_OBJECT *what;
	int parameters;

	X509_ALGOR_get0(&what, &parameters, NULL, a);
	return OBJ_obj2nid(what) == NID_ecdsa_with_SHA256 && parameters == V_ASN1_UNDEF;
}

static enum err
check_form(const struct cert *c)
{
	const ASN1_INTEGER *serial = X509_get0_serialNumber(c->x509);
	const ASN1_BIT_STRING *subject_uid, *issuer_uid;
	const X509_ALGOR *outer;

	X509_get0_uids(c->x509, &issuer_uid, &subject_uid);
	X509_get0_signature(NULL, &outer, c->x509);
	if (X509_get_version(c->x509) != X509_VERSION_3 || issuer_uid != NULL ||
	    subject_uid != NULL)
		return ERR_CERTIFICATE;
	if (!is_ecdsa_with_sha256(outer) || !is_ecdsa_with_sha256(X509_get0_tbs_sigalg(c->x509)))
		return ERR_CERTIFICATE;
	return ASN1_STRING_type(serial) == V_ASN1_INTEGER &&
		ASN1_STRING_length(serial) == SERIAL_BYTES
	    ? OK
	    : ERR_CERTIFICATE;
}

static enum err
check_profile(struct cert *c)
{
	enum err e = check_form(c);

	if (e == OK)
		e = read_subject(c);
	if (e == OK)
		e = read_key(c);
	if (e == OK)
		e = read_times(c);
	if (e == OK)
		e = read_use(c);
	return e == OK ? check_extensions(c) : e;
}

/* OpenSSL reads BER too, and remembers the signed part as it came: written anew, it must be the
 * same. */
static bool
is_der(X509 *x, struct bytes der)
{
	uint8_t *again = NULL;
	int len;
	bool same;

	if (i2d_re_X509_tbs(x, NULL) <= 0)
		return false;
	len = i2d_X509(x, &again);
	same = len > 0 && bytes_equal((struct bytes){ again, (size_t)len }, der);
	OPENSSL_free(again);
	return same;
}

enum err
cert_parse(struct bytes der, struct cert **out)
{
	const uint8_t *at = der.at;
	struct cert *c;
	enum err e;

	if (der.len == 0 || der.len > CERT_MAX_BYTES)
		return ERR_MALFORMED;
	c = xalloc(sizeof(*c));
	c->refs = 1;
	c->x509 = d2i_X509(NULL, &at, (long)der.len);
	ERR_clear_error();
	e = c->x509 == NULL ? ERR_MALFORMED : at != der.at + der.len ? ERR_TRAILING : OK;
	if (e == OK && !is_der(c->x509, der))
		e = ERR_MALFORMED;
	if (e == OK)
		e = check_profile(c);
	ERR_clear_error();
	if (e != OK) {
		cert_free(c);
		return e;
	}
	c->der = bytes_dup(der);
	*out = c;
	return OK;
}

struct cert *
cert_ref(struct cert *c)
{
	atomic_fetch_add(&c->refs, 1);
	return c;
}

void
cert_free(struct cert *c)
{
	if (c == NULL || atomic_fetch_sub(&c->refs, 1) != 1)
		return;
	X509_free(c->x509);
	public_key_free(c->key);
	free((void *)(uintptr_t)c->der.at);
	free(c);
}

void
cert_drop(struct cert **c)
{
	cert_free(*c);
}

struct bytes
cert_der(const struct cert *c)
{
	return c->der;
}

const char *
cert_name(const struct cert *c)
{
	return c->name;
}

const char *
cert_party(const struct cert *c)
{
	return c->party;
}

enum cert_use
cert_use(const struct cert *c)
{
	return c->use;
}

struct public_key *
cert_key(const struct cert *c)
{
	return c->key;
}

const uint8_t *
cert_key_id(const struct cert *c)
{
	return c->key_id;
}

int64_t
cert_from_ms(const struct cert *c)
{
	return c->from_ms;
}

int64_t
cert_until_ms(const struct cert *c)
{
	return c->until_ms;
}

static void
print_fingerprint(const uint8_t digest[DIGEST_BYTES], char *out)
{
	char hex[2 * DIGEST_BYTES + 1];
	size_t len = 0;

	hex_encode((struct bytes){ digest, DIGEST_BYTES }, hex);
	for (size_t i = 0; hex[i] != '\0'; i++) {
		if (i > 0 && i % 4 == 0)
			out[len++] = ' ';
		out[len++] = hex[i];
	}
	out[len] = '\0';
}

void
cert_fingerprint(const struct cert *c, char *out)
{
	uint8_t digest[DIGEST_BYTES];

	sha256(c->der, digest);
	print_fingerprint(digest, out);
}

enum err
fingerprint_parse(const char *text, char *out)
{
	char digits[2 * DIGEST_BYTES + 1] = "";
	uint8_t digest[DIGEST_BYTES];
	size_t n = 0;

	for (; *text != '\0'; text++) {
		if (*text == ' ' || *text == ':' || *text == '-')
			continue;
		if (n == 2 * DIGEST_BYTES)
			return ERR_TOO_LARGE;
		digits[n++] = *text;
	}
	if (hex_decode(digits, digest, sizeof(digest)) != OK)
		return ERR_VALUE;
	print_fingerprint(digest, out);
	return OK;
}

/* --- judging --- */

/* A name of the Party: of an authority PARTY or PARTY.OFFICE; a node's word is checked by the
 * directory. */
static bool
is_name_of(const struct cert *c, const char *party)
{
	char mine[AUTHORITY_MAX_BYTES + 1];

	if (strcmp(c->party, party) != 0)
		return false;
	if (c->use == USE_TLS || c->use == USE_RECEIPTS)
		return node_is_valid(c->name);
	authority_party(c->name, mine);
	return strcmp(mine, party) == 0;
}

enum err
cert_check_chain(const struct cert *c, const struct cert *ca, enum cert_use use)
{
	const ASN1_OCTET_STRING *above = X509_get0_authority_key_id(c->x509);
	int good;

	if (c->use != use || ca->use != USE_CA)
		return ERR_CERTIFICATE;
	if (!is_name_of(c, ca->party))
		return ERR_IDENTITY;
	if (X509_NAME_cmp(X509_get_issuer_name(c->x509), X509_get_subject_name(ca->x509)) != 0 ||
	    ASN1_STRING_length(above) != KEY_ID_BYTES ||
	    memcmp(ASN1_STRING_get0_data(above), ca->key_id, KEY_ID_BYTES) != 0)
		return ERR_CERTIFICATE;
	good = X509_verify(c->x509, public_key_evp(ca->key));
	ERR_clear_error();
	return good == 1 ? OK : ERR_CERTIFICATE;
}

enum err
cert_check(const struct cert *c, const struct cert *ca, enum cert_use use, int64_t at_ms)
{
	enum err e = cert_check_chain(c, ca, use);

	if (e != OK)
		return e;
	if (at_ms < c->from_ms || at_ms < ca->from_ms)
		return ERR_NOT_YET;
	return at_ms > c->until_ms || at_ms > ca->until_ms ? ERR_EXPIRED : OK;
}

/* --- issuing --- */

static bool
add_extension(X509 *x, X509V3_CTX *ctx, int nid, const char *value)
{
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, ctx, nid, value);
	bool done = ext != NULL && X509_add_ext(x, ext, -1) == 1;

	X509_EXTENSION_free(ext);
	return done;
}

static bool
add_extensions(X509 *x, X509 *issuer, enum cert_use use)
{
	const struct profile *p = &profiles[use];
	char usages[256];
	X509V3_CTX ctx;

	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	if (!add_extension(x, &ctx, NID_basic_constraints,
		use == USE_CA ? "critical,CA:TRUE,pathlen:0" : "critical,CA:FALSE") ||
	    !add_extension(x, &ctx, NID_key_usage, p->key_usage_words) ||
	    !add_extension(x, &ctx, NID_subject_key_identifier, "hash"))
		return false;
	if (!add_extension(x, &ctx, NID_authority_key_identifier, "keyid:always"))
		return false;
	if (p->usage == NULL)
		return true;
	snprintf(usages, sizeof(usages), "%s%s", p->usage, p->tls ? ",serverAuth,clientAuth" : "");
	return add_extension(x, &ctx, NID_ext_key_usage, usages);
}

static bool
set_serial(X509 *x)
{
	uint8_t bytes[SERIAL_BYTES];
	BIGNUM *n;
	bool done;

	random_bytes(bytes, sizeof(bytes));
	bytes[0] = (uint8_t)((bytes[0] & 0x7f) | 0x40); /* positive, always 16 bytes */
	n = BN_bin2bn(bytes, sizeof(bytes), NULL);
	done = n != NULL && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x)) != NULL;
	BN_free(n);
	return done;
}

static bool
set_subject(X509 *x, const char *party, const char *name)
{
	X509_NAME *subject = X509_get_subject_name(x);

	return X509_NAME_add_entry_by_NID(subject, NID_organizationName, V_ASN1_UTF8STRING,
		   (const uint8_t *)party, -1, -1, 0) == 1 &&
	    X509_NAME_add_entry_by_NID(
		subject, NID_commonName, V_ASN1_UTF8STRING, (const uint8_t *)name, -1, -1, 0) == 1;
}

static bool
set_times(X509 *x, int64_t from_ms, int64_t until_ms)
{
	return ASN1_TIME_set(X509_getm_notBefore(x), (time_t)(from_ms / 1000)) != NULL &&
	    ASN1_TIME_set(X509_getm_notAfter(x), (time_t)(until_ms / 1000)) != NULL;
}

enum err
cert_issue(const struct cert_request *r, const struct cert *ca, const struct private_key *ca_key,
    struct cert **out)
{
	CLEANUP(x509_drop) X509 *x = X509_new();
	X509 *issuer = ca != NULL ? ca->x509 : x;
	uint8_t *der = NULL;
	int len;
	enum err e;

	if ((ca == NULL) != (r->use == USE_CA || r->use == USE_DIRECTORY))
		return ERR_VALUE;
	if (x == NULL || X509_set_version(x, X509_VERSION_3) != 1 || !set_serial(x) ||
	    !set_subject(x, r->party, r->name) || !set_times(x, r->from_ms, r->until_ms) ||
	    X509_set_pubkey(x, public_key_evp(r->key)) != 1 ||
	    X509_set_issuer_name(x, X509_get_subject_name(issuer)) != 1 ||
	    !add_extensions(x, issuer, r->use) ||
	    X509_sign(x, private_key_evp(ca_key), EVP_sha256()) == 0)
		return ERR_CRYPTO;
	len = i2d_X509(x, &der);
	if (len <= 0)
		return ERR_CRYPTO;
	e = cert_parse((struct bytes){ der, (size_t)len }, out);
	OPENSSL_free(der);
	return e;
}

/* --- files --- */

enum err
cert_load_pem(const char *path, struct cert **out)
{
	CLEANUP(buffer_release) struct buffer pem = { 0 };
	CLEANUP(bio_drop) BIO *bio = NULL;
	CLEANUP(x509_drop) X509 *x = NULL;
	uint8_t *der = NULL;
	int len;
	enum err e = file_read(path, 4 * CERT_MAX_BYTES, &pem);

	if (e != OK)
		return e;
	bio = BIO_new_mem_buf(pem.at, (int)pem.len);
	x = bio == NULL ? NULL : PEM_read_bio_X509(bio, NULL, NULL, NULL);
	ERR_clear_error();
	len = x == NULL ? -1 : i2d_X509(x, &der);
	if (len <= 0)
		return ERR_MALFORMED;
	e = cert_parse((struct bytes){ der, (size_t)len }, out);
	OPENSSL_free(der);
	return e;
}

void
cert_print_pem(const struct cert *c, struct buffer *out)
{
	CLEANUP(bio_drop) BIO *bio = BIO_new(BIO_s_mem());
	char *at = NULL;
	long len;

	if (bio == NULL || PEM_write_bio_X509(bio, c->x509) != 1) {
		out->err = ERR_NO_MEMORY;
		return;
	}
	len = BIO_get_mem_data(bio, &at);
	buffer_add(out, (struct bytes){ (const uint8_t *)at, (size_t)len });
}

enum err
cert_save_pem(const struct cert *c, const char *path)
{
	CLEANUP(buffer_release) struct buffer pem = { 0 };

	cert_print_pem(c, &pem);
	if (buffer_status(&pem) != OK)
		return buffer_status(&pem);
	return file_create(path, buffer_bytes(&pem), 0644);
}
