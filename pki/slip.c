/* SPDX-License-Identifier: Apache-2.0 */
/* Slips: made in batches, judged one by one. Not here: what becomes of a
 * message when one comes. */
#include "pki/slip.h"

#include <stdlib.h>
#include <string.h>

#include "pki/ossl.h"
#include "proto/decode.h"

#define SLIP_VERSION 1
#define REASON_WORD_MAX_BYTES 64

static bool
has_reason(Citex__SlipType type)
{
	return type == CITEX__SLIP_TYPE__SLIP_REFUSED || type == CITEX__SLIP_TYPE__SLIP_EXPIRED;
}

/* WORDS cut to the limit between two characters; the caller's. */
static char *
cut_words(const char *words)
{
	char *cut = xstrdup(words == NULL ? "" : words);
	size_t len = strlen(cut);

	if (len <= SLIP_REASON_MAX_BYTES)
		return cut;
	len = SLIP_REASON_MAX_BYTES;
	while (len > 0 && ((unsigned char)cut[len] & 0xc0) == 0x80)
		len--;
	cut[len] = '\0';
	return cut;
}

static void
body_pack(const struct slip_draft *d, struct buffer *out)
{
	Citex__SlipBody body = CITEX__SLIP_BODY__INIT;
	const struct id *id = d->about != NULL ? &d->about->id : &d->envelope_id;
	const uint8_t *digest = d->about != NULL ? d->about->digest : d->outer_digest;
	const char *to = d->about != NULL ? d->about->outer->author : d->to;
	char *words = cut_words(d->words);

	body.version = SLIP_VERSION;
	body.type = d->type;
	body.envelope_id = pb_of_bytes(id_bytes(id));
	body.outer_digest = pb_of_bytes((struct bytes){ digest, DIGEST_BYTES });
	body.to = (char *)(uintptr_t)to;
	body.maker = (char *)(uintptr_t)d->maker;
	body.time = (uint64_t)d->time_ms;
	if (has_reason(d->type))
		body.reason = (char *)(uintptr_t)err_name(d->reason);
	body.words = words;
	body.directory = d->directory;
	proto_pack(&body.base, out);
	free(words);
}

static enum err
slip_pack(struct bytes body, Citex__Proof *proof, struct buffer *out)
{
	Citex__Slip slip = CITEX__SLIP__INIT;

	slip.body = pb_of_bytes(body);
	slip.proof = proof;
	proto_pack(&slip.base, out);
	proto_free(&proof->base);
	return buffer_status(out);
}

enum err
slips_make(const struct private_key *key, const struct slip_draft *drafts, size_t count,
    struct buffer *packed)
{
	struct buffer bodies[BATCH_MAX] = { { 0 } };
	struct bytes leaves[BATCH_MAX];
	Citex__Proof *proofs[BATCH_MAX];
	enum err e = OK;

	if (count == 0 || count > BATCH_MAX)
		return ERR_TOO_MANY;
	for (size_t i = 0; i < count; i++)
		if (has_reason(drafts[i].type) && drafts[i].reason == OK)
			return ERR_VALUE;
	for (size_t i = 0; i < count; i++) {
		body_pack(&drafts[i], &bodies[i]);
		leaves[i] = buffer_bytes(&bodies[i]);
		if (e == OK)
			e = buffer_status(&bodies[i]);
	}
	if (e == OK)
		e = proofs_sign(key, SLIP_LABEL, leaves, count, proofs);
	for (size_t i = 0; i < count; i++) {
		if (e == OK)
			e = slip_pack(leaves[i], proofs[i], &packed[i]);
		buffer_release(&bodies[i]);
	}
	return e;
}

/* An err_name(), perhaps one that this version does not know: lower case, digits, dashes. */
static bool
is_reason_word(const char *s)
{
	size_t len = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-");

	return len > 0 && len <= REASON_WORD_MAX_BYTES && s[len] == '\0' && strcmp(s, "ok") != 0;
}

static bool
maker_is_valid(const Citex__SlipBody *b)
{
	switch (b->type) {
	case CITEX__SLIP_TYPE__SLIP_RELAYED:
	case CITEX__SLIP_TYPE__SLIP_STORED:
		return node_is_valid(b->maker);
	case CITEX__SLIP_TYPE__SLIP_OPENED:
	case CITEX__SLIP_TYPE__SLIP_SEEN:
		return authority_is_valid(b->maker);
	case CITEX__SLIP_TYPE__SLIP_REFUSED:
	case CITEX__SLIP_TYPE__SLIP_EXPIRED:
		return node_is_valid(b->maker) || authority_is_valid(b->maker);
	default:
		return false;
	}
}

static enum err
check_body(const Citex__SlipBody *b, struct id *id)
{
	enum err e;

	if (b->version != SLIP_VERSION)
		return ERR_VERSION;
	e = id_from_bytes(bytes_of_pb(b->envelope_id), id);
	if (e != OK)
		return e;
	if (id_is_zero(*id) || b->outer_digest.len != DIGEST_BYTES || !authority_is_valid(b->to) ||
	    !maker_is_valid(b) || b->time == 0 || b->time > INT64_MAX ||
	    strlen(b->words) > SLIP_REASON_MAX_BYTES)
		return ERR_MALFORMED;
	if (has_reason(b->type) ? !is_reason_word(b->reason) : b->reason[0] != '\0')
		return ERR_MALFORMED;
	return OK;
}

enum err
slip_take(Citex__Slip *pb, struct slip *s)
{
	CLEANUP(proto_drop) ProtobufCMessage *body = NULL;
	struct id id;
	enum err e;

	*s = (struct slip){ 0 };
	if (protobuf_c_message_get_packed_size(&pb->base) > SLIP_MAX_BYTES)
		return ERR_TOO_LARGE;
	e = proto_unpack(&citex__slip_body__descriptor, bytes_of_pb(pb->body), &body);
	if (e == OK)
		e = check_body((const Citex__SlipBody *)body, &id);
	if (e == OK)
		e = proof_check(pb->proof);
	if (e != OK)
		return e;
	s->pb = pb;
	s->body = (Citex__SlipBody *)body;
	s->envelope_id = id;
	sha256(bytes_of_pb(pb->body), s->digest);
	body = NULL;
	return OK;
}

enum err
slip_parse(struct bytes packed, struct slip *s)
{
	ProtobufCMessage *pb;
	enum err e;

	*s = (struct slip){ 0 };
	if (packed.len > SLIP_MAX_BYTES)
		return ERR_TOO_LARGE;
	e = proto_unpack(&citex__slip__descriptor, packed, &pb);
	if (e != OK)
		return e;
	e = slip_take((Citex__Slip *)pb, s);
	if (e != OK)
		proto_free(pb);
	return e;
}

void
slip_release(struct slip *s)
{
	if (s->pb != NULL)
		proto_free(&s->pb->base);
	if (s->body != NULL)
		proto_free(&s->body->base);
	*s = (struct slip){ 0 };
}

/* Which key may sign a slip of TYPE. */
static bool
use_fits(Citex__SlipType type, enum cert_use use)
{
	switch (type) {
	case CITEX__SLIP_TYPE__SLIP_RELAYED:
	case CITEX__SLIP_TYPE__SLIP_STORED:
		return use == USE_RECEIPTS;
	case CITEX__SLIP_TYPE__SLIP_OPENED:
	case CITEX__SLIP_TYPE__SLIP_SEEN:
		return use == USE_SIGNING;
	case CITEX__SLIP_TYPE__SLIP_REFUSED:
	case CITEX__SLIP_TYPE__SLIP_EXPIRED:
		return use == USE_RECEIPTS || use == USE_SIGNING;
	default:
		return false;
	}
}

enum err
slip_verify(struct proof_cache *cache, const struct directory *d, const struct slip *s)
{
	const struct directory_key *key;
	const char *owner;
	enum cert_use use;
	enum err e = directory_key_find(d, bytes_of_pb(s->pb->proof->key_id), &key, &owner, &use);

	if (e != OK)
		return e;
	if (!use_fits(s->body->type, use) || strcmp(owner, s->body->maker) != 0)
		return ERR_IDENTITY;
	if (key->revoked && (uint64_t)key->until_ms <= s->body->time)
		return ERR_REVOKED;
	return proof_verify_cached(
	    cache, s->pb->proof, cert_key(key->cert), SLIP_LABEL, bytes_of_pb(s->pb->body));
}

/* The node that serves an authority, as far as D knows. */
static const struct directory_node *
node_of(const struct directory *d, const char *authority)
{
	const struct directory_authority *a = directory_authority(d, authority);

	return a == NULL ? NULL : directory_node(d, a->node);
}

static bool
is_node(const struct directory_node *n, const char *name)
{
	return n != NULL && strcmp(n->id, name) == 0;
}

static bool
is_relay_of(const struct directory_node *n, const char *name)
{
	for (size_t i = 0; n != NULL && i < n->via_count; i++)
		if (strcmp(n->via[i], name) == 0)
			return true;
	return false;
}

/* May the maker of S, a node or (AUTHORITY) an authority, say such a thing of what AUTHOR sent to
 * ADDRESSEE? */
static bool
maker_may(const struct directory *d, const struct slip *s, bool authority, const Citex__Outer *o)
{
	const char *maker = s->body->maker;
	const struct directory_node *there = node_of(d, o->addressee),
				    *here = node_of(d, o->author);

	if (authority)
		return strcmp(maker, o->addressee) == 0;
	switch (s->body->type) {
	case CITEX__SLIP_TYPE__SLIP_STORED:
		return is_node(there, maker);
	case CITEX__SLIP_TYPE__SLIP_RELAYED:
		return is_relay_of(there, maker) || is_relay_of(here, maker);
	default:
		return is_node(there, maker) || is_node(here, maker) || is_relay_of(there, maker) ||
		    is_relay_of(here, maker);
	}
}

enum err
slip_fits(const struct directory *d, const struct slip *s, const struct envelope *e)
{
	const struct directory_key *key;
	const char *owner;
	enum cert_use use;
	enum err result;

	if (!id_equal(s->envelope_id, e->id) ||
	    !bytes_equal(bytes_of_pb(s->body->outer_digest), BYTES_OF(e->digest)) ||
	    strcmp(s->body->to, e->outer->author) != 0)
		return ERR_IDENTITY;
	result = directory_key_find(d, bytes_of_pb(s->pb->proof->key_id), &key, &owner, &use);
	if (result != OK)
		return result;
	if (!use_fits(s->body->type, use))
		return ERR_IDENTITY;
	return maker_may(d, s, use == USE_SIGNING, e->outer) ? OK : ERR_IDENTITY;
}
