/* SPDX-License-Identifier: Apache-2.0 */
/* Cards as text; who signed them is judged in directory.c. */
#include "pki/card.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/json.h"

#define CARD_BEGIN "-----BEGIN CITEX %s CARD-----\n"
#define CARD_END "-----END CITEX %s CARD-----\n"

static const char *const kinds[] = { "AUTHORITY", "NODE" };

void
card_print(bool is_node, struct bytes signed_card, struct buffer *out)
{
	const char *what = kinds[is_node ? 1 : 0];
	char *text = base64_encode(signed_card);

	buffer_printf(out, CARD_BEGIN, what);
	for (size_t i = 0, len = strlen(text); i < len; i += 64)
		buffer_printf(out, "%.64s\n", text + i);
	buffer_printf(out, CARD_END, what);
	free(text);
}

enum err
card_parse(struct bytes text, bool *is_node, struct buffer *signed_card)
{
	CLEANUP(buffer_release) struct buffer copy = { 0 }, base64 = { 0 };
	const char *at;

	buffer_add(&copy, text);
	at = buffer_text(&copy);
	for (int i = 0; i < 2; i++) {
		char begin[64], end[64];
		const char *last;
		(void)snprintf(begin, sizeof(begin), CARD_BEGIN, kinds[i]);
		(void)snprintf(end, sizeof(end), CARD_END, kinds[i]);
		if (strncmp(at, begin, strlen(begin)) != 0)
			continue;
		*is_node = i == 1;
		last = strstr(at, end);
		if (last == NULL)
			return ERR_TRUNCATED;
		for (const char *c = at + strlen(begin); c < last; c++) {
			if (*c != '\n' && *c != '\r')
				buffer_add_u8(&base64, (uint8_t)*c);
		}
		return base64_decode(buffer_text(&base64), signed_card);
	}
	return ERR_MALFORMED;
}
