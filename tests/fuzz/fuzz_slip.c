/* SPDX-License-Identifier: Apache-2.0 */
/* A slip as a post takes it from the network. */
#include <string.h>

#include "pki/ossl.h"
#include "pki/slip.h"
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
	struct slip s;

	if (slip_parse((struct bytes){ at, len }, &s) != OK) {
		MUST(s.pb == NULL && s.body == NULL);
		return 0;
	}
	MUST(len <= SLIP_MAX_BYTES && strlen(s.body->words) <= SLIP_REASON_MAX_BYTES);
	proto_pack(&s.pb->base, &again);
	MUST(bytes_equal(buffer_bytes(&again), (struct bytes){ at, len }));
	MUST(proof_verify_cached(
		 &cache, s.pb->proof, somebody(), SLIP_LABEL, bytes_of_pb(s.pb->body)) != OK);
	slip_release(&s);
	return 0;
}
