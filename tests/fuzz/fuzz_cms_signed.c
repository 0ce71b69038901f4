/* SPDX-License-Identifier: Apache-2.0 */
/* SignedData of any form; the signer is the one of tests/vectors/signed.json. */
#include "pki/cms.h"
#include "pki/ossl.h"
#include "tests/fuzz/fuzz.h"

#define SIGNER_POINT \
	"0474d4aa4286f45a9b4d64aab7b27d9cf6c4cf75e9a1e139ef392dbd7c8e1e7592" \
	"cbf0e441c5da2061a915bb83d41b0afe0dd4ee10374b590177d9bea739cb8b7c"

static struct public_key *
signer(void)
{
	static struct public_key *key;
	uint8_t point[65];

	if (key != NULL)
		return key;
	MUST(ossl_init() == OK);
	MUST(hex_decode(SIGNER_POINT, point, sizeof(point)) == OK);
	MUST(public_key_from_point(BYTES_OF(point), &key) == OK);
	return key;
}

static int
is_inside(struct bytes part, struct bytes whole)
{
	return part.len == 0 || (part.at >= whole.at && part.at + part.len <= whole.at + whole.len);
}

int
LLVMFuzzerTestOneInput(const uint8_t *at, size_t len)
{
	struct bytes in = { at, len };
	struct cms_signed s;
	enum err e = cms_parse_signed(in, &s);

	MUST(e == OK || e == ERR_CANNOT_BE_OPENED);
	if (e != OK)
		return 0;
	MUST(is_inside(s.content, in) && is_inside(s.signed_attributes, in));
	MUST(s.key_id.len == KEY_ID_BYTES && s.message_digest.len == DIGEST_BYTES);
	MUST(is_inside(s.signature, in) && s.signing_time_ms >= 0);
	e = cms_verify(&s, signer());
	MUST(e == OK || e == ERR_SIGNATURE);
	return 0;
}
