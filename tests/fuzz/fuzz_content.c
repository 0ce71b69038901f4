/* SPDX-License-Identifier: Apache-2.0 */
/* What a member with a good key can put into a message: the input is signed as
 * it is, and read as by the addressee's office. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "proto/decode.h"
#include "tests/fuzz/fuzz.h"
#include "tests/mail.h"

int
LLVMFuzzerTestOneInput(const uint8_t *at, size_t len)
{
	static struct fixture *f;
	CLEANUP(buffer_release) struct buffer signed_data = { 0 }, again = { 0 };
	struct opened out;
	char detail[200];
	enum err e;

	if (f == NULL)
		f = fixture_new();
	MUST(cms_sign(fixture_key(f, "gb.ma", USE_SIGNING), (struct bytes){ at, len },
		 MAIL_CREATED_MS, &signed_data) == OK);
	e = signed_verify(fixture_directory(f), buffer_bytes(&signed_data), &out, detail);
	MUST(e == OK || e == ERR_MALFORMED || e == ERR_VERSION || e == ERR_IDENTITY);
	MUST((e == OK) == (out.content != NULL));
	if (e != OK)
		return 0;
	proto_pack(&out.content->base, &again);
	MUST(bytes_equal(buffer_bytes(&again), (struct bytes){ at, len }));
	MUST(strcmp(out.content->author, "gb.ma") == 0);
	opened_release(&out);
	return 0;
}
