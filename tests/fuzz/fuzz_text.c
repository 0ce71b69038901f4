/* SPDX-License-Identifier: Apache-2.0 */
/* Text from outside on its way to a terminal, and a label on its way to a file's name. */
#include <string.h>

#include "proto/escape.h"
#include "cli/names.h"
#include "tests/fuzz/fuzz.h"

static void
check(struct bytes text, enum escape how, bool ascii_only)
{
	CLEANUP(buffer_release) struct buffer out = { 0 };

	escape_append(text, how, ascii_only, &out);
	for (struct bytes left = buffer_bytes(&out); left.len > 0;) {
		int32_t c = utf8_next(&left);
		if (c == '\n' && how == ESCAPE_TEXT)
			continue;
		MUST(c >= 0x20 && c != 0x7f && (c < 0x80 || c > 0x9f) && escape_is_plain(c));
		MUST(!ascii_only || c < 0x80);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *at, size_t len)
{
	struct bytes text = { at, len };
	char name[NAME_BYTES], numbered[NAME_BYTES], label[512];
	size_t n = len < sizeof(label) - 1 ? len : sizeof(label) - 1;

	check(text, ESCAPE_LINE, false);
	check(text, ESCAPE_TEXT, false);
	check(text, ESCAPE_LINE, true);
	if (n > 0)
		memcpy(label, at, n);
	label[n] = '\0';
	name_clean(label, name);
	MUST(name[0] != '\0' && name[0] != '.' && name[0] != '-' && strchr(name, '/') == NULL);
	MUST(strlen(name) <= 201 && name_is_clean(name));
	name_number(name, 2, numbered);
	MUST(strlen(numbered) < NAME_BYTES && strchr(numbered, '/') == NULL);
	return 0;
}
