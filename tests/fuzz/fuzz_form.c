/* SPDX-License-Identifier: Apache-2.0 */
/* A kind's form as an editor leaves it, or its JSON: first byte the kind, second which of the two.
 */
#include <string.h>

#include "cli/command.h"
#include "tests/fuzz/fuzz.h"

static const struct kind *
kind_at(uint8_t n)
{
	size_t count = 0;
	while (kinds[count] != NULL)
		count++;
	return kinds[n % count];
}

int
LLVMFuzzerTestOneInput(const uint8_t *at, size_t len)
{
	CLEANUP(buffer_release) struct buffer body = { 0 };
	CLEANUP(buffer_release) struct buffer lines = { 0 };
	struct arguments none = { 0 };
	struct failure why = { 0 };
	struct form *f;
	struct bytes input;
	enum err e;

	if (len < 2)
		return 0;
	input = (struct bytes){ at + 2, len - 2 };
	f = form_new(kind_at(at[0]), &none);
	e = at[1] % 2 == 0 ? form_read(f, input, &why) : form_load_json(f, input, &why);
	MUST((e == OK) == (why.err == OK));
	if (e == OK) {
		form_write(f, &lines);
		e = form_body(f, &body, &why);
		MUST(e != OK || body.len <= CONTENT_MAX_BYTES);
	}
	form_free(f);
	failure_release(&why);
	return 0;
}
