/* SPDX-License-Identifier: Apache-2.0 */
/* The one CMS shape, written for that shape: DER in and out over EVP primitives.
 *
 * What is constant is compared as bytes; what varies is taken by its exact tag
 * and in the shortest length; nothing is left over. Not here: who a key
 * belongs to, and what the content means. Known weakness: lengths end at 16 MiB,
 * far over any limit of citex. */
#include "pki/cms.h"

#include <stdlib.h>
#include <string.h>

#include "pki/der.h"
#include "pki/ossl.h"
#include "pki/ossl_types.h"

#define ATTRIBUTES 3
#define ATTRIBUTE_MAX_BYTES 64
#define SIGNATURE_MIN_BYTES 8
#define SIGNATURE_MAX_BYTES 72
#define POINT_BYTES 65
#define SECRET_BYTES 32
#define CACHE_ROWS 128

/* Whole elements that never vary */
static const uint8_t id_data[] = { 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07,
	0x01 };
static const uint8_t id_signed_data[] = { 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01,
	0x07, 0x02 };
static const uint8_t id_auth_enveloped[] = { 0x06, 0x0b, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01,
	0x09, 0x10, 0x01, 0x17 };
/* CMS_CONTENT_OID; tests/unit/test_cms.c compares it with the text */
static const uint8_t id_content[] = { 0x06, 0x15, 0x69, 0x81, 0xde, 0x9d, 0xce, 0x94, 0xc7, 0xb7,
	0xf2, 0xaa, 0x8d, 0x9d, 0x82, 0xb0, 0xaf, 0xe5, 0xd1, 0xae, 0x9e, 0x30, 0x00 };
static const uint8_t id_content_type[] = { 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01,
	0x09, 0x03 };
static const uint8_t id_message_digest[] = { 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01,
	0x09, 0x04 };
static const uint8_t id_signing_time[] = { 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01,
	0x09, 0x05 };
static const uint8_t alg_sha256[] = { 0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03,
	0x04, 0x02, 0x01 };
static const uint8_t alg_ecdsa[] = { 0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04,
	0x03, 0x02 };
static const uint8_t alg_ec[] = { 0x30, 0x09, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02,
	0x01 };
/* dhSinglePass-stdDH-sha256kdf-scheme with id-aes256-wrap */
static const uint8_t alg_agree[] = { 0x30, 0x15, 0x06, 0x06, 0x2b, 0x81, 0x04, 0x01, 0x0b, 0x01,
	0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2d };
static const uint8_t id_gcm[] = { 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01,
	0x2e };
static const uint8_t version_0[] = { DER_INTEGER, 1, 0 }, version_3[] = { DER_INTEGER, 1, 3 },
		     icv_16[] = { DER_INTEGER, 1, 16 };

/* One attribute: SEQUENCE of OID and a SET of one VALUE. */
struct attribute {
	uint8_t room[ATTRIBUTE_MAX_BYTES];
	struct bytes der;
};

static void
attribute_set(struct attribute *a, struct bytes oid, uint8_t tag, struct bytes value)
{
	struct der_writer w = { a->room, sizeof(a->room) };

	if (tag == 0)
		der_put(&w, value);
	else
		der_element(&w, tag, value);
	der_close(&w, DER_SET, sizeof(a->room));
	der_put(&w, oid);
	der_close(&w, DER_SEQUENCE, sizeof(a->room));
	a->der = (struct bytes){ a->room + w.left, sizeof(a->room) - w.left };
}

static int
order_attributes(const void *a, const void *b)
{
	const struct bytes *x = a, *y = b;

	return bytes_compare(*x, *y);
}

/* The signed attributes with their header, under TAG: in DER's order of a SET OF (X.690, 11.6). */
static enum err
attributes_write(struct bytes content, int64_t signing_time_ms, struct der_writer *w)
{
	struct attribute all[ATTRIBUTES];
	struct bytes sorted[ATTRIBUTES];
	uint8_t digest[DIGEST_BYTES], time_tag;
	size_t mark = w->left;
	char text[DER_TIME_BYTES];

	if (!der_time_text(signing_time_ms, &time_tag, text))
		return ERR_VALUE;
	sha256(content, digest);
	attribute_set(&all[0], BYTES_OF(id_content_type), 0, BYTES_OF(id_content));
	attribute_set(&all[1], BYTES_OF(id_message_digest), DER_OCTETS, BYTES_OF(digest));
	attribute_set(&all[2], BYTES_OF(id_signing_time), time_tag, bytes_str(text));
	for (size_t i = 0; i < ATTRIBUTES; i++)
		sorted[i] = all[i].der;
	qsort(sorted, ATTRIBUTES, sizeof(*sorted), order_attributes);
	for (size_t i = ATTRIBUTES; i > 0; i--)
		der_put(w, sorted[i - 1]);
	der_close(w, DER_INSIDE(0), mark);
	return OK;
}

/* The signature covers the attributes as a SET, not under the tag they travel with. */
static enum err
attributes_sign(EVP_PKEY *key, struct bytes attributes, uint8_t *signature, size_t *len)
{
	CLEANUP(md_ctx_drop) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	const uint8_t tag = DER_SET;

	if (ctx == NULL || EVP_DigestSignInit_ex(ctx, NULL, "SHA256", NULL, NULL, key, NULL) != 1 ||
	    EVP_DigestSignUpdate(ctx, &tag, 1) != 1 ||
	    EVP_DigestSignUpdate(ctx, attributes.at + 1, attributes.len - 1) != 1 ||
	    EVP_DigestSignFinal(ctx, signature, len) != 1)
		return ERR_CRYPTO;
	return OK;
}

static void
signed_write(struct der_writer *w, struct bytes content, struct bytes key_id,
    struct bytes attributes, struct bytes signature)
{
	size_t end = w->left, mark;

	/* SignerInfo */
	der_element(w, DER_OCTETS, signature);
	der_put(w, BYTES_OF(alg_ecdsa));
	der_put(w, attributes);
	der_put(w, BYTES_OF(alg_sha256));
	der_element(w, DER_CONTEXT(0), key_id);
	der_put(w, BYTES_OF(version_3));
	der_close(w, DER_SEQUENCE, end);
	der_close(w, DER_SET, end);
	/* EncapsulatedContentInfo */
	mark = w->left;
	der_element(w, DER_OCTETS, content);
	der_close(w, DER_INSIDE(0), mark);
	der_put(w, BYTES_OF(id_content));
	der_close(w, DER_SEQUENCE, mark);
	der_element(w, DER_SET, BYTES_OF(alg_sha256));
	der_put(w, BYTES_OF(version_3));
	der_close(w, DER_SEQUENCE, end);
	der_close(w, DER_INSIDE(0), end);
	der_put(w, BYTES_OF(id_signed_data));
	der_close(w, DER_SEQUENCE, end);
}

enum err
cms_sign(const struct private_key *key, struct bytes content, int64_t signing_time_ms,
    struct buffer *out)
{
	CLEANUP(public_key_drop) struct public_key *public = private_key_public(key);
	uint8_t room[ATTRIBUTES * ATTRIBUTE_MAX_BYTES], key_id[KEY_ID_BYTES];
	uint8_t signature[128];
	size_t signature_len = sizeof(signature);
	struct der_writer a = { room, sizeof(room) }, w;
	struct bytes attributes;
	enum err e;

	public_key_id(public, key_id);
	e = attributes_write(content, signing_time_ms, &a);
	if (e != OK)
		return e;
	attributes = (struct bytes){ room + a.left, sizeof(room) - a.left };
	e = attributes_sign(private_key_evp(key), attributes, signature, &signature_len);
	if (e == OK)
		e = der_begin(&w, out, content.len);
	if (e != OK)
		return e;
	signed_write(
	    &w, content, BYTES_OF(key_id), attributes, (struct bytes){ signature, signature_len });
	der_end(&w, out);
	return OK;
}

/* One attribute of the three. */
static void
attribute_read(struct reader *set, struct cms_signed *out, unsigned *seen)
{
	struct reader in = der_enter(set, DER_SEQUENCE), value;
	struct bytes oid;
	uint8_t tag;
	unsigned which;

	oid = read_bytes(&in, sizeof(id_content_type));
	value = der_enter(&in, DER_SET);
	if (bytes_equal(oid, BYTES_OF(id_content_type))) {
		which = 1;
		der_expect(&value, BYTES_OF(id_content));
	} else if (bytes_equal(oid, BYTES_OF(id_message_digest))) {
		which = 2;
		out->message_digest = der_take_sized(&value, DER_OCTETS, DIGEST_BYTES);
	} else if (bytes_equal(oid, BYTES_OF(id_signing_time)) && value.left.len > 0) {
		which = 4;
		tag = value.left.at[0];
		if ((tag != DER_UTC_TIME && tag != DER_GENERALIZED_TIME) ||
		    !der_time_value(tag, der_take(&value, tag), &out->signing_time_ms))
			value.err = ERR_CANNOT_BE_OPENED;
	} else {
		set->err = ERR_CANNOT_BE_OPENED;
		return;
	}
	if ((*seen & which) != 0 || !der_ended(&value) || !der_ended(&in))
		set->err = ERR_CANNOT_BE_OPENED;
	*seen |= which;
}

static void
attributes_read(struct reader *signer, struct cms_signed *out)
{
	const uint8_t *from = signer->left.at;
	struct reader set = der_enter(signer, DER_INSIDE(0));
	struct bytes last = BYTES_NONE;
	unsigned seen = 0;

	if (signer->err != OK)
		return;
	out->signed_attributes = (struct bytes){ from, (size_t)(signer->left.at - from) };
	while (set.err == OK && set.left.len > 0) {
		const uint8_t *at = set.left.at;
		struct bytes this;

		attribute_read(&set, out, &seen);
		this = (struct bytes){ at, (size_t)(set.left.at - at) };
		if (last.len > 0 && bytes_compare(last, this) >= 0)
			set.err = ERR_CANNOT_BE_OPENED;
		last = this;
	}
	if (set.err != OK || seen != 7)
		signer->err = ERR_CANNOT_BE_OPENED;
}

static void
signer_read(struct reader *in, struct cms_signed *out)
{
	struct reader set = der_enter(in, DER_SET), signer = der_enter(&set, DER_SEQUENCE);

	der_expect(&signer, BYTES_OF(version_3));
	out->key_id = der_take_sized(&signer, DER_CONTEXT(0), KEY_ID_BYTES);
	der_expect(&signer, BYTES_OF(alg_sha256));
	attributes_read(&signer, out);
	der_expect(&signer, BYTES_OF(alg_ecdsa));
	out->signature = der_take(&signer, DER_OCTETS);
	if (!der_ended(&signer) || !der_ended(&set) || out->signature.len < SIGNATURE_MIN_BYTES ||
	    out->signature.len > SIGNATURE_MAX_BYTES)
		in->err = ERR_CANNOT_BE_OPENED;
}

static void
content_read(struct reader *in, struct cms_signed *out)
{
	struct reader content = der_enter(in, DER_SEQUENCE), embedded;

	der_expect(&content, BYTES_OF(id_content));
	embedded = der_enter(&content, DER_INSIDE(0));
	out->content = der_take(&embedded, DER_OCTETS);
	if (!der_ended(&embedded) || !der_ended(&content))
		in->err = ERR_CANNOT_BE_OPENED;
}

/* The inside of a ContentInfo of TYPE. */
static bool
content_info(struct bytes der, struct bytes type, struct reader *inside)
{
	struct reader all = { der, OK }, info = der_enter(&all, DER_SEQUENCE), explicit;

	der_expect(&info, type);
	explicit = der_enter(&info, DER_INSIDE(0));
	*inside = der_enter(&explicit, DER_SEQUENCE);
	return der_ended(&explicit) && der_ended(&info) && der_ended(&all);
}

enum err
cms_parse_signed(struct bytes der, struct cms_signed *out)
{
	struct reader in, digests;

	*out = (struct cms_signed){ 0 };
	if (!content_info(der, BYTES_OF(id_signed_data), &in))
		return ERR_CANNOT_BE_OPENED;
	der_expect(&in, BYTES_OF(version_3));
	digests = der_enter(&in, DER_SET);
	der_expect(&digests, BYTES_OF(alg_sha256));
	content_read(&in, out);
	signer_read(&in, out);
	return der_ended(&digests) && der_ended(&in) ? OK : ERR_CANNOT_BE_OPENED;
}

enum err
cms_verify(const struct cms_signed *s, const struct public_key *key)
{
	CLEANUP(md_ctx_drop) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t digest[DIGEST_BYTES];
	const uint8_t tag = DER_SET;
	bool good;

	sha256(s->content, digest);
	if (!bytes_equal(BYTES_OF(digest), s->message_digest))
		return ERR_SIGNATURE;
	if (ctx == NULL ||
	    EVP_DigestVerifyInit_ex(ctx, NULL, "SHA256", NULL, NULL, public_key_evp(key), NULL) !=
		1 ||
	    EVP_DigestVerifyUpdate(ctx, &tag, 1) != 1 ||
	    EVP_DigestVerifyUpdate(
		ctx, s->signed_attributes.at + 1, s->signed_attributes.len - 1) != 1)
		return ERR_CRYPTO;
	good = EVP_DigestVerifyFinal(ctx, s->signature.at, s->signature.len) == 1;
	ERR_clear_error();
	return good ? OK : ERR_SIGNATURE;
}

/* ECDH. PEER was checked to be on the curve when it was made: not again here, it doubles the cost.
 */
static enum err
agree(EVP_PKEY *own, EVP_PKEY *peer, uint8_t z[SECRET_BYTES])
{
	CLEANUP(pkey_ctx_drop) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, own, NULL);
	size_t len = SECRET_BYTES;

	if (ctx == NULL || EVP_PKEY_derive_init(ctx) != 1 ||
	    EVP_PKEY_derive_set_peer_ex(ctx, peer, 0) != 1 || EVP_PKEY_derive(ctx, z, &len) != 1 ||
	    len != SECRET_BYTES)
		return ERR_CRYPTO;
	return OK;
}

/* X9.63 KDF with SHA-256 (RFC 5753, 7.2), one block: Z, counter, SharedInfo with the ukm inside. */
static void
derive_kek(const uint8_t z[SECRET_BYTES], struct bytes ukm, uint8_t kek[32])
{
	static const uint8_t front[] = { 0, 0, 0, 1, 0x30, 0x29, 0x30, 0x0b, 0x06, 0x09, 0x60, 0x86,
		0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2d, 0xa0, 0x12, 0x04, 0x10 };
	static const uint8_t back[] = { 0xa2, 0x06, 0x04, 0x04, 0, 0, 1, 0 };
	uint8_t info[sizeof(front) + ID_BYTES + sizeof(back)];

	memcpy(info, front, sizeof(front));
	memcpy(info + sizeof(front), ukm.at, ID_BYTES);
	memcpy(info + sizeof(front) + ID_BYTES, back, sizeof(back));
	sha256_two((struct bytes){ z, SECRET_BYTES }, BYTES_OF(info), kek);
}

struct cms_sender {
	uint8_t point[POINT_BYTES]; /* the ephemeral key's; its private half is gone */
	uint8_t z[SECRET_BYTES];
};

enum err
cms_sender_new(const struct public_key *recipient, struct cms_sender **out)
{
	CLEANUP(private_key_drop) struct private_key *ephemeral = private_key_new();
	CLEANUP(public_key_drop)
	struct public_key *public = ephemeral == NULL ? NULL : private_key_public(ephemeral);
	struct cms_sender *s = xalloc(sizeof(*s));

	if (public != NULL && public_key_point(public, s->point) == OK &&
	    agree(private_key_evp(ephemeral), public_key_evp(recipient), s->z) == OK) {
		*out = s;
		return OK;
	}
	cms_sender_free(s);
	return ERR_CRYPTO;
}

void
cms_sender_free(struct cms_sender *s)
{
	if (s == NULL)
		return;
	explicit_bzero(s, sizeof(*s));
	free(s);
}

static void
recipient_write(struct der_writer *w, const struct cms_sender *s, struct bytes ukm,
    struct bytes key_id, struct bytes wrapped)
{
	static const uint8_t no_unused_bits[] = { 0 };
	size_t end = w->left, mark;

	/* RecipientEncryptedKeys */
	der_element(w, DER_OCTETS, wrapped);
	mark = w->left;
	der_element(w, DER_OCTETS, key_id);
	der_close(w, DER_INSIDE(0), mark);
	der_close(w, DER_SEQUENCE, end);
	der_close(w, DER_SEQUENCE, end);
	der_put(w, BYTES_OF(alg_agree));
	mark = w->left;
	der_element(w, DER_OCTETS, ukm);
	der_close(w, DER_INSIDE(1), mark);
	/* OriginatorPublicKey */
	mark = w->left;
	der_put(w, BYTES_OF(s->point));
	der_put(w, BYTES_OF(no_unused_bits));
	der_close(w, DER_BIT_STRING, mark);
	der_put(w, BYTES_OF(alg_ec));
	der_close(w, DER_INSIDE(1), mark);
	der_close(w, DER_INSIDE(0), mark);
	der_put(w, BYTES_OF(version_3));
	der_close(w, DER_INSIDE(1), end);
	der_close(w, DER_SET, end);
}

/* Where the parts that are made last go. */
struct holes {
	uint8_t *tag, *ciphertext, *nonce;
};

static void
content_write(struct der_writer *w, size_t plain_len, struct holes *h)
{
	size_t end = w->left, mark;

	h->ciphertext = der_reserve(w, plain_len);
	der_close(w, DER_CONTEXT(0), end);
	mark = w->left;
	der_put(w, BYTES_OF(icv_16));
	h->nonce = der_reserve(w, GCM_NONCE_BYTES);
	der_close(w, DER_OCTETS, w->left + GCM_NONCE_BYTES);
	der_close(w, DER_SEQUENCE, mark);
	der_put(w, BYTES_OF(id_gcm));
	der_close(w, DER_SEQUENCE, mark);
	der_put(w, BYTES_OF(id_data));
	der_close(w, DER_SEQUENCE, end);
}

static bool
sealed_write(struct der_writer *w, const struct cms_sender *s, struct bytes key_id,
    struct bytes ukm, struct bytes plain)
{
	uint8_t cek[KEY_WRAP_BYTES], kek[32], wrapped[KEY_WRAPPED_BYTES];
	size_t end = w->left;
	struct holes h;
	bool done;

	random_bytes(cek, sizeof(cek));
	derive_kek(s->z, ukm, kek);
	h.tag = der_reserve(w, GCM_TAG_BYTES);
	der_close(w, DER_OCTETS, end);
	content_write(w, plain.len, &h);
	random_bytes(h.nonce, GCM_NONCE_BYTES);
	done = key_wrap(kek, cek, wrapped) &&
	    gcm_seal(&(struct gcm){ cek, h.nonce, BYTES_NONE }, plain, h.ciphertext, h.tag);
	explicit_bzero(cek, sizeof(cek));
	explicit_bzero(kek, sizeof(kek));
	recipient_write(w, s, ukm, key_id, BYTES_OF(wrapped));
	der_put(w, BYTES_OF(version_0));
	der_close(w, DER_SEQUENCE, end);
	der_close(w, DER_INSIDE(0), end);
	der_put(w, BYTES_OF(id_auth_enveloped));
	der_close(w, DER_SEQUENCE, end);
	return done;
}

enum err
cms_seal(struct cms_sender *s, const uint8_t recipient_key_id[KEY_ID_BYTES],
    struct bytes envelope_id, struct bytes plain, struct buffer *out)
{
	struct bytes key_id = { recipient_key_id, KEY_ID_BYTES };
	size_t before = out->len;
	struct der_writer w;
	enum err e;

	if (envelope_id.len != ID_BYTES)
		return ERR_VALUE;
	e = der_begin(&w, out, plain.len);
	if (e != OK)
		return e;
	if (sealed_write(&w, s, key_id, envelope_id, plain)) {
		der_end(&w, out);
		return OK;
	}
	out->len = before;
	return ERR_CRYPTO;
}

static void
originator_read(struct reader *info, struct cms_sealed *out)
{
	struct reader choice = der_enter(info, DER_INSIDE(0)),
		      key = der_enter(&choice, DER_INSIDE(1));
	struct bytes bits;

	der_expect(&key, BYTES_OF(alg_ec));
	bits = der_take_sized(&key, DER_BIT_STRING, 1 + POINT_BYTES);
	/* no unused bits, uncompressed */
	if (!der_ended(&key) || !der_ended(&choice) || bits.at[0] != 0 || bits.at[1] != 4) {
		info->err = ERR_CANNOT_BE_OPENED;
		return;
	}
	out->originator = (struct bytes){ bits.at + 1, POINT_BYTES };
}

static void
recipient_read(struct reader *in, struct cms_sealed *out)
{
	struct reader set = der_enter(in, DER_SET), info = der_enter(&set, DER_INSIDE(1)), ukm,
		      keys, key, id;

	der_expect(&info, BYTES_OF(version_3));
	originator_read(&info, out);
	ukm = der_enter(&info, DER_INSIDE(1));
	out->ukm = der_take_sized(&ukm, DER_OCTETS, ID_BYTES);
	der_expect(&info, BYTES_OF(alg_agree));
	keys = der_enter(&info, DER_SEQUENCE);
	key = der_enter(&keys, DER_SEQUENCE);
	id = der_enter(&key, DER_INSIDE(0));
	out->recipient_key_id = der_take_sized(&id, DER_OCTETS, KEY_ID_BYTES);
	out->wrapped_key = der_take_sized(&key, DER_OCTETS, KEY_WRAPPED_BYTES);
	if (!der_ended(&ukm) || !der_ended(&id) || !der_ended(&key) || !der_ended(&keys) ||
	    !der_ended(&info) || !der_ended(&set))
		in->err = ERR_CANNOT_BE_OPENED;
}

static void
ciphertext_read(struct reader *in, struct cms_sealed *out)
{
	struct reader content = der_enter(in, DER_SEQUENCE), algorithm, parameters;

	der_expect(&content, BYTES_OF(id_data));
	algorithm = der_enter(&content, DER_SEQUENCE);
	der_expect(&algorithm, BYTES_OF(id_gcm));
	parameters = der_enter(&algorithm, DER_SEQUENCE);
	out->nonce = der_take_sized(&parameters, DER_OCTETS, GCM_NONCE_BYTES);
	der_expect(&parameters, BYTES_OF(icv_16));
	out->ciphertext = der_take(&content, DER_CONTEXT(0));
	if (!der_ended(&parameters) || !der_ended(&algorithm) || !der_ended(&content))
		in->err = ERR_CANNOT_BE_OPENED;
}

enum err
cms_parse_sealed(struct bytes der, struct cms_sealed *out)
{
	struct reader in;

	*out = (struct cms_sealed){ 0 };
	if (!content_info(der, BYTES_OF(id_auth_enveloped), &in))
		return ERR_CANNOT_BE_OPENED;
	der_expect(&in, BYTES_OF(version_0));
	recipient_read(&in, out);
	ciphertext_read(&in, out);
	out->tag = der_take_sized(&in, DER_OCTETS, GCM_TAG_BYTES);
	return der_ended(&in) ? OK : ERR_CANNOT_BE_OPENED;
}

struct agreed { /* one row of the cache */
	uint8_t point[POINT_BYTES];
	uint8_t z[SECRET_BYTES];
	uint64_t used; /* the opener's clock when it was last used; 0: empty */
};

struct cms_opener {
	const struct private_key *key; /* borrowed */
	uint8_t key_id[KEY_ID_BYTES];
	struct secret memory; /* CACHE_ROWS of struct agreed */
	uint64_t clock;
};

enum err
cms_opener_new(const struct private_key *key, struct cms_opener **out)
{
	CLEANUP(public_key_drop) struct public_key *public = private_key_public(key);
	struct cms_opener *o = xalloc(sizeof(*o));
	enum err e = secret_init(&o->memory, CACHE_ROWS * sizeof(struct agreed));

	if (e != OK) {
		free(o);
		return e;
	}
	public_key_id(public, o->key_id);
	o->key = key;
	*out = o;
	return OK;
}

void
cms_opener_free(struct cms_opener *o)
{
	if (o == NULL)
		return;
	secret_release(&o->memory);
	free(o);
}

/* The row of POINT, or else the one to give up for it. */
static struct agreed *
cache_row(struct cms_opener *o, struct bytes point)
{
	struct agreed *rows = (struct agreed *)(void *)o->memory.at, *oldest = rows;

	for (struct agreed *r = rows; r < rows + CACHE_ROWS; r++) {
		if (r->used != 0 && memcmp(r->point, point.at, POINT_BYTES) == 0)
			return r;
		if (r->used < oldest->used)
			oldest = r;
	}
	oldest->used = 0;
	return oldest;
}

/* The secret agreed with the owner of POINT; NULL: POINT is no point of the curve. */
static const uint8_t *
agreed_secret(struct cms_opener *o, struct bytes point)
{
	struct agreed *row = cache_row(o, point);
	CLEANUP(public_key_drop) struct public_key *peer = NULL;

	if (row->used == 0) {
		if (public_key_from_point(point, &peer) != OK ||
		    agree(private_key_evp(o->key), public_key_evp(peer), row->z) != OK) {
			ERR_clear_error();
			return NULL;
		}
		memcpy(row->point, point.at, POINT_BYTES);
	}
	row->used = ++o->clock;
	return row->z;
}

static bool
content_key(struct cms_opener *o, const struct cms_sealed *s, uint8_t cek[KEY_WRAP_BYTES])
{
	const uint8_t *z = agreed_secret(o, s->originator);
	uint8_t kek[32];
	bool done;

	if (z == NULL)
		return false;
	derive_kek(z, s->ukm, kek);
	done = key_unwrap(kek, s->wrapped_key.at, cek);
	explicit_bzero(kek, sizeof(kek));
	return done;
}

enum err
cms_open(
    struct cms_opener *o, const struct cms_sealed *s, struct bytes envelope_id, struct buffer *out)
{
	uint8_t cek[KEY_WRAP_BYTES];
	uint8_t *to;
	bool done;

	if (!bytes_equal(s->ukm, envelope_id) ||
	    !bytes_equal(s->recipient_key_id, BYTES_OF(o->key_id)) || !content_key(o, s, cek))
		return ERR_CANNOT_BE_OPENED;
	to = buffer_extend(out, s->ciphertext.len);
	done = to != NULL &&
	    gcm_open(&(struct gcm){ cek, s->nonce.at, BYTES_NONE }, s->ciphertext, s->tag.at, to);
	explicit_bzero(cek, sizeof(cek));
	if (done)
		return OK;
	if (to != NULL) {
		explicit_bzero(to, s->ciphertext.len);
		out->len -= s->ciphertext.len;
	}
	return ERR_CANNOT_BE_OPENED;
}
