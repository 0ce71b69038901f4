/* SPDX-License-Identifier: Apache-2.0 */
/* Message to envelopes and back.
 *
 * Opening goes through its checks in the order of docs/protocol.md, section 7,
 * and everything up to the author's signature fails alike. Not here: the
 * stamp (stamp.c, checked by the post), and what a kind allows. */
#include "pki/seal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pki/ossl.h"
#include "proto/decode.h"

#define CONTENT_VERSION 1
#define OUTER_VERSION 1
#define DETAIL_BYTES 200
#define ATTACHMENT_KEY_BYTES 32

/* The number of the padding field and its wire type take two bytes. */
#define PADDING_TAG_BYTES 2

static size_t
varint_size(size_t v)
{
	size_t size = 1;

	while (v >= 0x80) {
		v >>= 7;
		size++;
	}
	return size;
}

/* The length of padding whose field takes exactly GAP bytes; false: no length does (a field of
 * one to three bytes, and where the length of the length grows). */
static bool
padding_for(size_t gap, size_t *padding)
{
	*padding = 0;
	if (gap == 0)
		return true;
	for (size_t length_size = 1; length_size <= 3; length_size++) {
		if (gap <= PADDING_TAG_BYTES + length_size)
			return false;
		*padding = gap - PADDING_TAG_BYTES - length_size;
		if (varint_size(*padding) == length_size)
			return true;
	}
	return false;
}

enum err
content_padding(size_t size, size_t *padding)
{
	for (size_t target = CONTENT_PAD_MIN_BYTES; target <= CONTENT_MAX_BYTES; target *= 2)
		if (size <= target && padding_for(target - size, padding))
			return OK;
	return ERR_TOO_LARGE;
}

enum err
content_sign(Citex__Content *content, const struct private_key *key, int64_t now_ms,
    struct buffer *signed_data)
{
	CLEANUP(buffer_wipe) struct buffer encoded = { 0 };
	const ProtobufCBinaryData before = content->padding;
	uint8_t *zeros = NULL;
	size_t padding;
	enum err e;

	content->padding = (ProtobufCBinaryData){ 0, NULL };
	e = content_padding(protobuf_c_message_get_packed_size(&content->base), &padding);
	if (e == OK) {
		zeros = xalloc(padding);
		content->padding = (ProtobufCBinaryData){ padding, zeros };
		proto_pack(&content->base, &encoded);
		e = buffer_status(&encoded);
	}
	content->padding = before;
	free(zeros);
	return e == OK ? cms_sign(key, buffer_bytes(&encoded), now_ms, signed_data) : e;
}

/* One envelope on its way out, its buffers the maker's. */
struct making {
	struct buffer outer, sealed;
};

static void
outer_pack(const struct seal_draft *d, struct bytes signed_data, struct making *m)
{
	Citex__Outer outer = CITEX__OUTER__INIT;
	Citex__Part parts[ATTACHMENTS_MAX];
	Citex__Part *pointers[ATTACHMENTS_MAX];
	uint8_t signed_digest[DIGEST_BYTES], sealed_digest[DIGEST_BYTES];

	sha256(signed_data, signed_digest);
	sha256(buffer_bytes(&m->sealed), sealed_digest);
	for (size_t i = 0; i < d->attachment_count; i++) {
		citex__part__init(&parts[i]);
		parts[i].root = d->attachments[i]->root;
		parts[i].length = d->attachments[i]->sealed_length;
		pointers[i] = &parts[i];
	}
	outer.version = OUTER_VERSION;
	outer.envelope_id = pb_of_bytes(id_bytes(&d->envelope_id));
	outer.author = (char *)(uintptr_t)d->author;
	outer.addressee = (char *)(uintptr_t)d->addressee;
	outer.incarnation = pb_of_bytes((struct bytes){ d->incarnation, INCARNATION_BYTES });
	outer.sequence = d->sequence;
	outer.created = (uint64_t)d->created_ms;
	outer.expires = (uint64_t)d->expires_ms;
	outer.priority = d->priority;
	outer.signed_digest = pb_of_bytes(BYTES_OF(signed_digest));
	outer.sealed_length = m->sealed.len;
	outer.sealed_digest = pb_of_bytes(BYTES_OF(sealed_digest));
	outer.n_parts = d->attachment_count;
	outer.parts = pointers;
	proto_pack(&outer.base, &m->outer);
}

static enum err
seal_one(const struct seal_draft *d, struct bytes signed_data, struct making *m)
{
	enum err e;

	if (d->attachment_count > ATTACHMENTS_MAX)
		return ERR_TOO_MANY;
	e = cms_seal(d->sender, cert_key_id(d->recipient->cert), id_bytes(&d->envelope_id),
	    signed_data, &m->sealed);
	if (e != OK)
		return e;
	outer_pack(d, signed_data, m);
	return buffer_status(&m->outer);
}

/* Takes over PROOF. */
static enum err
envelope_pack(const struct making *m, Citex__Proof *proof, struct buffer *out)
{
	Citex__Envelope envelope = CITEX__ENVELOPE__INIT;

	envelope.outer = pb_of_bytes(buffer_bytes(&m->outer));
	envelope.stamp = proof;
	envelope.sealed = pb_of_bytes(buffer_bytes(&m->sealed));
	proto_pack(&envelope.base, out);
	proto_free(&proof->base);
	if (out->len > ENVELOPE_MAX_BYTES)
		return ERR_TOO_LARGE;
	return buffer_status(out);
}

enum err
envelopes_make(const struct private_key *signing, struct bytes const *signed_data,
    const struct seal_draft *drafts, size_t count, struct buffer *packed)
{
	struct making all[BATCH_MAX] = { { { 0 }, { 0 } } };
	struct bytes leaves[BATCH_MAX];
	Citex__Proof *proofs[BATCH_MAX];
	enum err e = count == 0 || count > BATCH_MAX ? ERR_TOO_MANY : OK, packing;

	for (size_t i = 0; e == OK && i < count; i++) {
		e = seal_one(&drafts[i], signed_data[i], &all[i]);
		leaves[i] = buffer_bytes(&all[i].outer);
	}
	if (e == OK)
		e = proofs_sign(signing, STAMP_LABEL, leaves, count, proofs);
	for (size_t i = 0, made = e == OK ? count : 0; i < made; i++) {
		packing = envelope_pack(&all[i], proofs[i], &packed[i]);
		if (e == OK)
			e = packing;
	}
	for (size_t i = 0; i < BATCH_MAX; i++) {
		buffer_release(&all[i].outer);
		buffer_release(&all[i].sealed);
	}
	return e;
}

void
opened_release(struct opened *o)
{
	buffer_wipe(&o->signed_data);
	if (o->content != NULL)
		proto_wipe(&o->content->base);
	*o = (struct opened){ 0 };
}

static enum err
fail(enum err e, char *detail, const char *words)
{
	snprintf(detail, DETAIL_BYTES, "%s", words);
	return e;
}

enum err
envelope_recipient(const struct envelope *e, struct bytes *key_id)
{
	struct cms_sealed sealed;
	enum err result = cms_parse_sealed(bytes_of_pb(e->pb->sealed), &sealed);

	*key_id = result == OK ? sealed.recipient_key_id : BYTES_NONE;
	return result;
}

static bool
is_length(ProtobufCBinaryData b, size_t len)
{
	return b.len == len;
}

static bool
is_empty_or(ProtobufCBinaryData b, size_t len)
{
	return b.len == 0 || b.len == len;
}

static bool
is_zeros(ProtobufCBinaryData b)
{
	uint8_t any = 0;

	for (size_t i = 0; i < b.len; i++)
		any |= b.data[i];
	return any == 0;
}

static bool
attachment_is_whole(const Citex__Attachment *a)
{
	return is_length(a->digest, DIGEST_BYTES) && is_length(a->key, ATTACHMENT_KEY_BYTES) &&
	    is_length(a->root, DIGEST_BYTES) && a->length <= ATTACHMENT_MAX_BYTES &&
	    a->sealed_length == sealed_length_of(a->length) && a->name[0] != '\0' &&
	    strlen(a->name) <= ATTACHMENT_NAME_MAX_BYTES;
}

static bool
addressees_are_valid(const Citex__Content *c)
{
	if (c->n_addressees > ADDRESSEES_MAX || (c->n_addressees == 0) != (c->audience[0] != '\0'))
		return false;
	for (size_t i = 0; i < c->n_addressees; i++)
		if (!authority_is_valid(c->addressees[i]))
			return false;
	return true;
}

/* Lengths and ranges of what every message has; the kind's own fields are the kind's business. */
static bool
content_is_whole(const Citex__Content *c)
{
	struct id id, exchange;

	if (id_from_bytes(bytes_of_pb(c->message_id), &id) != OK || id_is_zero(id) ||
	    id_from_bytes(bytes_of_pb(c->exchange), &exchange) != OK || id_is_zero(exchange) ||
	    !authority_is_valid(c->author) || !addressees_are_valid(c) || c->created == 0 ||
	    c->created > INT64_MAX || c->kind[0] == '\0' || c->kind_version == 0 ||
	    !is_empty_or(c->about, ID_BYTES) || !is_empty_or(c->audit_head, DIGEST_BYTES) ||
	    !is_length(c->incarnation, INCARNATION_BYTES) || !is_zeros(c->padding) ||
	    strlen(c->officer) > OFFICER_MAX_BYTES || c->n_attachments > ATTACHMENTS_MAX)
		return false;
	if (c->origin != NULL &&
	    (!authority_is_valid(c->origin->author) ||
		!is_length(c->origin->message_id, ID_BYTES) ||
		!is_length(c->origin->signed_digest, DIGEST_BYTES)))
		return false;
	for (size_t i = 0; i < c->n_attachments; i++)
		if (!attachment_is_whole(c->attachments[i]))
			return false;
	return true;
}

static bool
size_is_padded(size_t size)
{
	return size >= CONTENT_PAD_MIN_BYTES && size <= CONTENT_MAX_BYTES &&
	    (size & (size - 1)) == 0;
}

static enum err
content_read(struct bytes encoded, Citex__Content **out, char *detail)
{
	ProtobufCMessage *m;
	enum err e;

	if (!size_is_padded(encoded.len))
		return fail(ERR_MALFORMED, detail, "content not padded to a power of two");
	e = proto_unpack(&citex__content__descriptor, encoded, &m);
	if (e != OK)
		return fail(e, detail, "content is no message of the schema");
	*out = (Citex__Content *)m;
	if ((*out)->version != CONTENT_VERSION)
		return fail(ERR_VERSION, detail, "content of another version");
	if (!content_is_whole(*out))
		return fail(ERR_MALFORMED, detail, "a field of the content is out of its bounds");
	return OK;
}

/* Is ME named, or in the audience `all@N' of some directory N? */
static bool
is_for(const Citex__Content *c, const struct directory *d, const char *me)
{
	const char *number;

	for (size_t i = 0; i < c->n_addressees; i++)
		if (strcmp(c->addressees[i], me) == 0)
			return true;
	if (strncmp(c->audience, "all@", 4) != 0 || directory_authority(d, me) == NULL)
		return false;
	number = c->audience + 4;
	return number[0] >= '1' && number[0] <= '9' &&
	    strspn(number, "0123456789") == strlen(number) && strlen(number) < 20;
}

static bool
parts_fit(const Citex__Content *c, const Citex__Outer *o)
{
	if (c->n_attachments != o->n_parts)
		return false;
	for (size_t i = 0; i < o->n_parts; i++)
		if (c->attachments[i]->sealed_length != o->parts[i]->length ||
		    !bytes_equal(
			bytes_of_pb(c->attachments[i]->root), bytes_of_pb(o->parts[i]->root)))
			return false;
	return true;
}

enum err
content_fits(const Citex__Content *c, const Citex__Outer *o, const struct directory *d,
    const char *me, char *detail)
{
	if (strcmp(c->author, o->author) != 0)
		return fail(ERR_IDENTITY, detail, "the content names another author");
	if (strcmp(o->addressee, me) != 0 || !is_for(c, d, me))
		return fail(ERR_IDENTITY, detail, "the content is for somebody else");
	if (c->created != o->created)
		return fail(ERR_IDENTITY, detail, "the content was created at another time");
	if (!bytes_equal(bytes_of_pb(c->incarnation), bytes_of_pb(o->incarnation)))
		return fail(ERR_IDENTITY, detail, "the content is of another incarnation");
	if (!parts_fit(c, o))
		return fail(ERR_IDENTITY, detail, "the content has other attachments");
	return OK;
}

/* A live key now; or one that was live when the message was signed and has been retired or has
 * expired since, for mail that waited. Never a revoked one: whoever stole it can sign any time. */
static enum err
signer_usable(const struct directory_key *key, int64_t now_ms, int64_t signing_time_ms)
{
	enum err e = directory_key_usable(key, now_ms);

	return e == OK ? OK : directory_key_usable(key, signing_time_ms);
}

/* The sealed bytes to the author's SignedData, in OUT. */
static enum err
unseal(struct cms_opener *opener, const struct envelope *e, struct buffer *out, char *detail)
{
	struct bytes sealed = bytes_of_pb(e->pb->sealed);
	uint8_t digest[DIGEST_BYTES];
	struct cms_sealed s;

	sha256(sealed, digest);
	if (sealed.len != e->outer->sealed_length ||
	    !bytes_equal(BYTES_OF(digest), bytes_of_pb(e->outer->sealed_digest)))
		return fail(ERR_CANNOT_BE_OPENED, detail,
		    "the sealed bytes are not those of the outer fields");
	if (cms_parse_sealed(sealed, &s) != OK)
		return fail(ERR_CANNOT_BE_OPENED, detail, "the sealed bytes have another shape");
	if (cms_open(opener, &s, id_bytes(&e->id), out) != OK)
		return fail(
		    ERR_CANNOT_BE_OPENED, detail, "wrong key, other envelope id, or changed bytes");
	return OK;
}

/* The signing key of AUTHOR that signed S; all failures alike. */
static enum err
check_signer(const struct directory *d, const char *author, const struct cms_signed *s,
    const struct directory_key **key, char *detail)
{
	const char *owner;
	enum cert_use use;

	if (directory_key_find(d, s->key_id, key, &owner, &use) != OK)
		return fail(ERR_CANNOT_BE_OPENED, detail,
		    "signed with a key that the directory does not list");
	if (use != USE_SIGNING)
		return fail(
		    ERR_CANNOT_BE_OPENED, detail, "signed with a key that is not for signing");
	if (strcmp(owner, author) != 0)
		return fail(
		    ERR_CANNOT_BE_OPENED, detail, "signed by somebody else than its author");
	if (cms_verify(s, cert_key((*key)->cert)) != OK)
		return fail(ERR_CANNOT_BE_OPENED, detail, "the author's signature does not verify");
	return OK;
}

static enum err
open_into(struct cms_opener *opener, const struct directory *d, const char *me,
    const struct envelope *e, int64_t now_ms, struct opened *out, char *detail)
{
	const struct directory_key *key;
	uint8_t digest[DIGEST_BYTES];
	struct cms_signed s;
	enum err result = unseal(opener, e, &out->signed_data, detail);

	if (result != OK)
		return result;
	if (cms_parse_signed(buffer_bytes(&out->signed_data), &s) != OK)
		return fail(
		    ERR_CANNOT_BE_OPENED, detail, "what was sealed is no SignedData of our shape");
	sha256(buffer_bytes(&out->signed_data), digest);
	if (!bytes_equal(BYTES_OF(digest), bytes_of_pb(e->outer->signed_digest)))
		return fail(ERR_CANNOT_BE_OPENED, detail, "not the SignedData of the outer fields");
	result = check_signer(d, e->outer->author, &s, &key, detail);
	if (result != OK)
		return result;
	result = signer_usable(key, now_ms, s.signing_time_ms);
	if (result != OK)
		return fail(
		    result, detail, "the author's key may not be used any more, or not yet");
	out->signing_time_ms = s.signing_time_ms;
	memcpy(out->key_id, s.key_id.at, KEY_ID_BYTES);
	result = content_read(s.content, &out->content, detail);
	if (result != OK)
		return result;
	return content_fits(out->content, e->outer, d, me, detail);
}

enum err
envelope_open(struct cms_opener *opener, const struct directory *d, const char *me,
    const struct envelope *e, int64_t now_ms, struct opened *out, char *detail)
{
	enum err result;

	*out = (struct opened){ 0 };
	detail[0] = '\0';
	result = open_into(opener, d, me, e, now_ms, out, detail);
	if (result != OK)
		opened_release(out);
	return result;
}

static enum err
verify_into(const struct directory *d, struct bytes signed_data, struct opened *out, char *detail)
{
	const struct directory_key *key;
	const char *owner;
	enum cert_use use;
	struct cms_signed s;
	enum err e;

	if (cms_parse_signed(signed_data, &s) != OK)
		return fail(ERR_CANNOT_BE_OPENED, detail, "no SignedData of our shape");
	if (directory_key_find(d, s.key_id, &key, &owner, &use) != OK)
		return fail(
		    ERR_UNKNOWN_KEY, detail, "signed with a key that the directory does not list");
	if (use != USE_SIGNING)
		return fail(ERR_IDENTITY, detail, "signed with a key that is not for signing");
	if (cms_verify(&s, cert_key(key->cert)) != OK)
		return fail(ERR_SIGNATURE, detail, "the signature does not verify");
	if (key->revoked && key->until_ms <= s.signing_time_ms)
		return fail(ERR_REVOKED, detail, "signed after its key was revoked");
	e = content_read(s.content, &out->content, detail);
	if (e != OK)
		return e;
	if (strcmp(owner, out->content->author) != 0)
		return fail(ERR_IDENTITY, detail, "signed by somebody else than its author");
	out->signing_time_ms = s.signing_time_ms;
	memcpy(out->key_id, s.key_id.at, KEY_ID_BYTES);
	buffer_add(&out->signed_data, signed_data);
	return buffer_status(&out->signed_data);
}

enum err
signed_verify(const struct directory *d, struct bytes signed_data, struct opened *out, char *detail)
{
	enum err e;

	*out = (struct opened){ 0 };
	detail[0] = '\0';
	e = verify_into(d, signed_data, out, detail);
	if (e != OK)
		opened_release(out);
	return e;
}

static const char chunk_label[] = "citex chunk v1"; /* its zero byte is bound too */
#define CHUNK_AAD_BYTES (sizeof(chunk_label) + 8)

static void
put_u32(uint8_t *to, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		to[i] = (uint8_t)(v >> (24 - 8 * i));
}

static void
chunk_binding(uint32_t index, uint32_t count, uint8_t nonce[12], uint8_t aad[CHUNK_AAD_BYTES])
{
	memset(nonce, 0, 12);
	put_u32(nonce + 8, index);
	memcpy(aad, chunk_label, sizeof(chunk_label));
	put_u32(aad + sizeof(chunk_label), index);
	put_u32(aad + sizeof(chunk_label) + 4, count);
}

/* Only the last chunk may be shorter, and only a lone one empty. */
static bool
chunk_fits(uint32_t index, uint32_t count, size_t plain_len)
{
	if (index >= count || plain_len > CHUNK_PLAIN_BYTES)
		return false;
	if (index + 1 < count)
		return plain_len == CHUNK_PLAIN_BYTES;
	return count == 1 || plain_len > 0;
}

enum err
chunk_seal(
    const uint8_t key[32], uint32_t index, uint32_t count, struct bytes plain, struct buffer *out)
{
	uint8_t nonce[12], aad[CHUNK_AAD_BYTES];

	if (!chunk_fits(index, count, plain.len))
		return ERR_VALUE;
	chunk_binding(index, count, nonce, aad);
	return aead_seal(key, nonce, BYTES_OF(aad), plain, out);
}

enum err
chunk_open(
    const uint8_t key[32], uint32_t index, uint32_t count, struct bytes sealed, struct buffer *out)
{
	uint8_t nonce[12], aad[CHUNK_AAD_BYTES];

	if (sealed.len < CHUNK_TAG_BYTES || !chunk_fits(index, count, sealed.len - CHUNK_TAG_BYTES))
		return ERR_CANNOT_BE_OPENED;
	chunk_binding(index, count, nonce, aad);
	return aead_open(key, nonce, BYTES_OF(aad), sealed, out);
}
