/* SPDX-License-Identifier: Apache-2.0 */
/* An envelope as a post takes it from the network. */
#include <string.h>

#include "pki/ossl.h"
#include "pki/seal.h"
#include "proto/decode.h"
#include "tests/fuzz/fuzz.h"

static struct public_key *
somebody(void)
{
	static struct private_key *key;
	static struct public_key *public;

	if (key == NULL) {
		MUST(ossl_init() == OK);
		key = private_key_new();
		public = private_key_public(key);
	}
	return public;
}

int
LLVMFuzzerTestOneInput(const uint8_t *at, size_t len)
{
	CLEANUP(buffer_release) struct buffer again = { 0 };
	struct proof_cache cache = { 0 };
	struct envelope e;
	struct bytes key_id;

	if (envelope_parse((struct bytes){ at, len }, &e) != OK) {
		MUST(e.pb == NULL && e.outer == NULL);
		return 0;
	}
	MUST(len <= ENVELOPE_MAX_BYTES);
	proto_pack(&e.pb->base, &again);
	MUST(bytes_equal(buffer_bytes(&again), (struct bytes){ at, len }));
	MUST(e.outer->sealed_length == e.pb->sealed.len && e.outer->n_parts <= ATTACHMENTS_MAX);
	for (size_t i = 0; i < e.outer->n_parts; i++)
		MUST(chunk_count(e.outer->parts[i]->length) > 0);
	MUST(proof_verify_cached(
		 &cache, e.pb->stamp, somebody(), STAMP_LABEL, bytes_of_pb(e.pb->outer)) != OK);
	MUST(envelope_recipient(&e, &key_id) != OK || key_id.len == KEY_ID_BYTES);
	envelope_release(&e);
	return 0;
}
