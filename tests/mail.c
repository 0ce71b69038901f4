/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/mail.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "pki/ossl.h"
#include "proto/decode.h"

static const uint8_t incarnation[INCARNATION_BYTES] = { 1, 2, 3, 4, 5, 6, 7, 8 };

static const char *
author_of(const struct mail_plan *p)
{
	return p->author != NULL ? p->author : "gb.ma";
}

static const char *
addressee_of(const struct mail_plan *p)
{
	return p->addressee != NULL ? p->addressee : "ke.ma";
}

static void
set_bytes(ProtobufCBinaryData *to, uint8_t fill, size_t len)
{
	to->len = len;
	to->data = xalloc(len);
	memset(to->data, fill, len);
}

static Citex__Attachment *
attachment(uint8_t number)
{
	Citex__Attachment *a = xalloc(sizeof(*a));

	citex__attachment__init(a);
	a->name = xstrdup("scan.pdf");
	a->media_type = xstrdup("application/pdf");
	a->length = 1000U + number;
	a->sealed_length = sealed_length_of(a->length);
	set_bytes(&a->digest, 1, DIGEST_BYTES);
	set_bytes(&a->key, (uint8_t)(number + 100), 32);
	set_bytes(&a->root, (uint8_t)(number + 1), DIGEST_BYTES);
	return a;
}

Citex__Content *
mail_content(const struct mail_plan *p)
{
	Citex__Content *c = xalloc(sizeof(*c));

	citex__content__init(c);
	c->version = 1;
	set_bytes(&c->message_id, 7, ID_BYTES);
	set_bytes(&c->exchange, 7, ID_BYTES);
	c->author = xstrdup(author_of(p));
	c->addressees = xalloc(sizeof(*c->addressees));
	c->addressees[0] = xstrdup(addressee_of(p));
	c->n_addressees = 1;
	c->created = MAIL_CREATED_MS;
	c->kind = xstrdup("note");
	c->kind_version = 1;
	set_bytes(&c->body, 'b', 20);
	c->officer = xstrdup("j.doe");
	c->directory = 1;
	set_bytes(&c->incarnation, 0, INCARNATION_BYTES);
	memcpy(c->incarnation.data, incarnation, INCARNATION_BYTES);
	c->attachments = xalloc_array(p->attachments, sizeof(*c->attachments));
	for (size_t i = 0; i < p->attachments; i++)
		c->attachments[c->n_attachments++] = attachment((uint8_t)i);
	return c;
}

static void
sign(struct fixture *f, const struct mail_plan *p, Citex__Content *c, struct buffer *out)
{
	enum cert_use use = p->signed_by_ca ? USE_CA
	    : p->signer_use != 0            ? p->signer_use
					    : USE_SIGNING;

	if (p->signed_data.len > 0) {
		buffer_add(out, p->signed_data);
		return;
	}
	if (p->content != NULL)
		p->content(c, p->arg);
	assert_int_equal(
	    content_sign(c, fixture_key(f, p->signer != NULL ? p->signer : author_of(p), use),
		MAIL_CREATED_MS, out),
	    OK);
}

static void
seal(struct fixture *f, const struct mail_plan *p, const Citex__Content *c,
    struct bytes signed_data, struct buffer *packed)
{
	const char *to = p->sealed_to != NULL ? p->sealed_to : addressee_of(p);
	struct directory_key key = { .cert = fixture_cert(f, to, USE_SEALING) };
	struct seal_draft d = { .author = author_of(p),
		.addressee = addressee_of(p),
		.incarnation = incarnation,
		.sequence = p->sequence != 0 ? p->sequence : 1,
		.created_ms = MAIL_CREATED_MS,
		.expires_ms = MAIL_CREATED_MS + LIFETIME_DEFAULT_MS,
		.recipient = &key,
		.attachments = (const Citex__Attachment *const *)c->attachments,
		.attachment_count = c->n_attachments };

	memset(d.envelope_id.at, 0xe, ID_BYTES);
	d.envelope_id.at[ID_BYTES - 1] ^= (uint8_t)p->sequence; /* each its own */
	if (p->envelope_id != NULL)
		d.envelope_id = *p->envelope_id;
	assert_int_equal(cms_sender_new(cert_key(key.cert), &d.sender), OK);
	assert_int_equal(
	    envelopes_make(
		fixture_key(f, p->stamper != NULL ? p->stamper : author_of(p), USE_SIGNING),
		&signed_data, &d, 1, packed),
	    OK);
	cms_sender_free(d.sender);
}

/* Take PACKED apart, change it, stamp it anew. */
static void
change(struct fixture *f, const struct mail_plan *p, struct buffer *packed)
{
	CLEANUP(proto_drop) Citex__Envelope *e = NULL;
	CLEANUP(proto_drop) Citex__Outer *o = NULL;
	CLEANUP(buffer_release) struct buffer sealed = { 0 }, outer = { 0 };
	uint8_t digest[DIGEST_BYTES];
	struct bytes leaf;
	Citex__Proof *stamp;

	assert_int_equal(proto_unpack(&citex__envelope__descriptor, buffer_bytes(packed),
			     (ProtobufCMessage **)&e),
	    OK);
	assert_int_equal(
	    proto_unpack(&citex__outer__descriptor, bytes_of_pb(e->outer), (ProtobufCMessage **)&o),
	    OK);
	buffer_add(&sealed, bytes_of_pb(e->sealed));
	if (p->sealed != NULL) {
		p->sealed(&sealed, p->arg);
		sha256(buffer_bytes(&sealed), digest);
		memcpy(o->sealed_digest.data, digest, DIGEST_BYTES);
		o->sealed_length = sealed.len;
	}
	if (p->outer != NULL)
		p->outer(o, p->arg);
	proto_pack(&o->base, &outer);
	leaf = buffer_bytes(&outer);
	assert_int_equal(
	    proofs_sign(fixture_key(f, p->stamper != NULL ? p->stamper : author_of(p), USE_SIGNING),
		STAMP_LABEL, &leaf, 1, &stamp),
	    OK);
	{
		Citex__Envelope again = CITEX__ENVELOPE__INIT;
		again.outer = pb_of_bytes(leaf);
		again.stamp = stamp;
		again.sealed = pb_of_bytes(buffer_bytes(&sealed));
		buffer_clear(packed);
		proto_pack(&again.base, packed);
	}
	proto_free(&stamp->base);
}

void
mail_make(
    struct fixture *f, const struct mail_plan *p, struct buffer *packed, struct buffer *signed_data)
{
	CLEANUP(proto_drop) Citex__Content *c = mail_content(p);
	CLEANUP(buffer_release) struct buffer inner = { 0 };

	sign(f, p, c, &inner);
	seal(f, p, c, buffer_bytes(&inner), packed);
	if (p->sealed != NULL || p->outer != NULL)
		change(f, p, packed);
	if (signed_data != NULL)
		buffer_add(signed_data, buffer_bytes(&inner));
}

void
mail_envelope(struct fixture *f, const struct mail_plan *p, struct envelope *e)
{
	CLEANUP(buffer_release) struct buffer packed = { 0 };

	mail_make(f, p, &packed, NULL);
	assert_int_equal(envelope_parse(buffer_bytes(&packed), e), OK);
}
