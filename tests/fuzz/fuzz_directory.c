/* SPDX-License-Identifier: Apache-2.0 */
/* A directory: first byte 0, as a file; else contents, under a head that fits
 * them but for its signature, which is looked at last. */
#include <string.h>

#include "pki/directory_file.h"
#include "pki/ossl.h"
#include "proto/decode.h"
#include "tests/fuzz/fuzz.h"

static void
build(const Citex__SignedHead *head, struct bytes contents, bool whole)
{
	struct directory *d = NULL;
	char why[200] = "";
	enum err e = directory_build_kept(NULL, NULL, head, contents, &d, why);

	MUST((e == OK) == (d != NULL) && memchr(why, '\0', sizeof(why)) != NULL);
	MUST(e == OK || why[0] != '\0');
	if (d != NULL) {
		CLEANUP(buffer_release) struct buffer kept = { 0 };
		struct directory *again = NULL;
		MUST(whole);
		directory_keep(d, &kept);
		MUST(
		    directory_build_kept(NULL, NULL, head, buffer_bytes(&kept), &again, why) == OK);
		directory_free(again);
	}
	directory_free(d);
}

static void
as_file(struct bytes file)
{
	CLEANUP(buffer_release) struct buffer again = { 0 };
	Citex__SignedHead *head = NULL;
	struct bytes contents;

	if (directory_file_parse(file, &head, &contents) != OK)
		return;
	directory_file_print(head, contents, &again);
	MUST(bytes_equal(buffer_bytes(&again), file));
	build(head, contents, true);
	proto_free(&head->base);
}

static void
as_contents(struct bytes contents)
{
	CLEANUP(buffer_release) struct buffer packed = { 0 };
	Citex__SignedHead s = CITEX__SIGNED_HEAD__INIT;
	Citex__Head h = CITEX__HEAD__INIT;
	uint8_t digest[DIGEST_BYTES], none[64] = { 0 };

	sha256(contents, digest);
	h.version = 1;
	h.number = 1;
	h.contents_digest = pb_of_bytes(BYTES_OF(digest));
	h.contents_length = contents.len;
	h.date = 1;
	h.fresh_until = 2;
	proto_pack(&h.base, &packed);
	s.head = pb_of_bytes(buffer_bytes(&packed));
	s.key_id = pb_of_bytes((struct bytes){ none, KEY_ID_BYTES });
	s.signature = pb_of_bytes(BYTES_OF(none));
	build(&s, contents, false);
}

int
LLVMFuzzerTestOneInput(const uint8_t *at, size_t len)
{
	static bool begun;

	if (!begun)
		MUST(ossl_init() == OK);
	begun = true;
	if (len > 0 && at[0] == 0)
		as_file((struct bytes){ at + 1, len - 1 });
	else if (len > 0)
		as_contents((struct bytes){ at + 1, len - 1 });
	return 0;
}
