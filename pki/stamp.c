/* SPDX-License-Identifier: Apache-2.0 */
/* Outer fields: taken apart once, then trusted to be well-formed; and the stamp
 * over them. Not here: what is sealed. */
#include "pki/stamp.h"

#include <string.h>

#include "pki/chunk.h"
#include "pki/ossl.h"
#include "proto/decode.h"

#define OUTER_VERSION 1
#define PRIORITY_MAX 1

static enum err
check_parts(const Citex__Outer *o)
{
	if (o->n_parts > ATTACHMENTS_MAX)
		return ERR_MALFORMED;
	for (size_t i = 0; i < o->n_parts; i++) {
		const Citex__Part *p = o->parts[i];
		if (p->root.len != DIGEST_BYTES || chunk_count(p->length) == 0)
			return ERR_MALFORMED;
		/* each attachment has its own key, so two never share a root */
		for (size_t j = 0; j < i; j++)
			if (bytes_equal(bytes_of_pb(p->root), bytes_of_pb(o->parts[j]->root)))
				return ERR_MALFORMED;
	}
	return OK;
}

static enum err
check_times(const Citex__Outer *o)
{
	if (o->created == 0 || o->expires > INT64_MAX || o->created >= o->expires ||
	    o->expires - o->created > (uint64_t)LIFETIME_MAX_MS)
		return ERR_MALFORMED;
	return OK;
}

static enum err
check_sealed(const Citex__Outer *o, struct bytes sealed)
{
	uint8_t digest[DIGEST_BYTES];

	if (o->signed_digest.len != DIGEST_BYTES || o->sealed_digest.len != DIGEST_BYTES ||
	    o->sealed_length != sealed.len || sealed.len == 0)
		return ERR_MALFORMED;
	sha256(sealed, digest);
	return memcmp(digest, o->sealed_digest.data, DIGEST_BYTES) == 0 ? OK : ERR_MALFORMED;
}

static enum err
check_outer(const Citex__Outer *o, struct id *id)
{
	enum err e;

	if (o->version != OUTER_VERSION)
		return ERR_VERSION;
	e = id_from_bytes(bytes_of_pb(o->envelope_id), id);
	if (e != OK)
		return e;
	if (id_is_zero(*id) || !authority_is_valid(o->author) ||
	    !authority_is_valid(o->addressee) || o->incarnation.len != INCARNATION_BYTES ||
	    o->sequence == 0 || o->priority > PRIORITY_MAX)
		return ERR_MALFORMED;
	e = check_times(o);
	return e == OK ? check_parts(o) : e;
}

enum err
envelope_take(Citex__Envelope *pb, struct envelope *e)
{
	CLEANUP(proto_drop) ProtobufCMessage *outer = NULL;
	struct id id;
	enum err result;

	*e = (struct envelope){ 0 };
	if (protobuf_c_message_get_packed_size(&pb->base) > ENVELOPE_MAX_BYTES)
		return ERR_TOO_LARGE;
	result = proto_unpack(&citex__outer__descriptor, bytes_of_pb(pb->outer), &outer);
	if (result == OK)
		result = check_outer((const Citex__Outer *)outer, &id);
	if (result == OK)
		result = proof_check(pb->stamp);
	if (result == OK)
		result = check_sealed((const Citex__Outer *)outer, bytes_of_pb(pb->sealed));
	if (result != OK)
		return result;
	e->pb = pb;
	e->outer = (Citex__Outer *)outer;
	e->id = id;
	sha256(bytes_of_pb(pb->outer), e->digest);
	outer = NULL;
	return OK;
}

enum err
envelope_parse(struct bytes packed, struct envelope *e)
{
	ProtobufCMessage *pb;
	enum err result;

	*e = (struct envelope){ 0 };
	if (packed.len > ENVELOPE_MAX_BYTES)
		return ERR_TOO_LARGE;
	result = proto_unpack(&citex__envelope__descriptor, packed, &pb);
	if (result != OK)
		return result;
	result = envelope_take((Citex__Envelope *)pb, e);
	if (result != OK)
		proto_free(pb);
	return result;
}

enum err
envelope_of_outer(struct bytes outer, struct envelope *e)
{
	CLEANUP(proto_drop) ProtobufCMessage *pb = NULL;
	struct id id;
	enum err result = proto_unpack(&citex__outer__descriptor, outer, &pb);

	*e = (struct envelope){ 0 };
	if (result == OK)
		result = check_outer((const Citex__Outer *)pb, &id);
	if (result != OK)
		return result;
	e->outer = (Citex__Outer *)pb;
	e->id = id;
	sha256(outer, e->digest);
	pb = NULL;
	return OK;
}

void
envelope_release(struct envelope *e)
{
	if (e->pb != NULL)
		proto_free(&e->pb->base);
	if (e->outer != NULL)
		proto_free(&e->outer->base);
	*e = (struct envelope){ 0 };
}

enum err
stamp_verify(
    struct proof_cache *cache, const struct directory *d, const struct envelope *e, int64_t now_ms)
{
	const Citex__Proof *stamp = e->pb->stamp;
	const struct directory_key *key;
	const char *owner;
	enum cert_use use;
	enum err result;

	if (directory_authority(d, e->outer->author) == NULL)
		return ERR_UNKNOWN_AUTHORITY;
	result = directory_key_find(d, bytes_of_pb(stamp->key_id), &key, &owner, &use);
	if (result != OK)
		return result;
	if (use != USE_SIGNING || strcmp(owner, e->outer->author) != 0)
		return ERR_IDENTITY;
	result = directory_key_usable(key, now_ms);
	if (result != OK)
		return result;
	return proof_verify_cached(
	    cache, stamp, cert_key(key->cert), STAMP_LABEL, bytes_of_pb(e->pb->outer));
}
