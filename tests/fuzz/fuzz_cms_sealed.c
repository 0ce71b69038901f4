/* SPDX-License-Identifier: Apache-2.0 */
/* AuthEnvelopedData of any form, for a key that nobody has sealed to: whatever
 * is done to it, one error comes out and nothing else. */
#include "pki/cms.h"
#include "pki/ossl.h"
#include "tests/fuzz/fuzz.h"

static struct cms_opener *opener;
static uint8_t key_id[KEY_ID_BYTES];

static void
begin(void)
{
	static struct private_key *key; /* the opener borrows it */
	CLEANUP(public_key_drop) struct public_key *public = NULL;

	MUST(ossl_init() == OK);
	key = private_key_new();
	MUST(key != NULL && cms_opener_new(key, &opener) == OK);
	public = private_key_public(key);
	public_key_id(public, key_id);
}

int
LLVMFuzzerTestOneInput(const uint8_t *at, size_t len)
{
	CLEANUP(buffer_release) struct buffer out = { 0 };
	struct cms_sealed s;
	enum err e = cms_parse_sealed((struct bytes){ at, len }, &s);

	if (opener == NULL)
		begin();
	MUST(e == OK || e == ERR_CANNOT_BE_OPENED);
	if (e != OK)
		return 0;
	MUST(s.originator.len == 65 && s.ukm.len == ID_BYTES && s.nonce.len == 12);
	MUST(s.wrapped_key.len == 40 && s.tag.len == 16);
	s.recipient_key_id = BYTES_OF(key_id); /* else it would end there */
	MUST(cms_open(opener, &s, s.ukm, &out) == ERR_CANNOT_BE_OPENED);
	MUST(out.len == 0);
	return 0;
}
