/* SPDX-License-Identifier: Apache-2.0 */
/* A card as a Party sends it to the Secretariat: text; or the SignedCard in it,
 * when the first byte is no dash. */
#include <string.h>

#include "pki/card.h"
#include "pki/directory.h"
#include "pki/ossl.h"
#include "proto/decode.h"
#include "tests/fuzz/fuzz.h"

static void
judge(struct bytes signed_card, bool is_node)
{
	ProtobufCMessage *s = NULL;
	char why[200] = "";

	if (proto_unpack(&citex__signed_card__descriptor, signed_card, &s) != OK)
		return;
	/* of a Party without a CA: nobody is believed */
	MUST(directory_check_card((const Citex__SignedCard *)s, is_node, "ke", NULL, 0, why) != OK);
	MUST(why[0] != '\0' && memchr(why, '\0', sizeof(why)) != NULL);
	proto_free(s);
}

int
LLVMFuzzerTestOneInput(const uint8_t *at, size_t len)
{
	CLEANUP(buffer_release) struct buffer card = { 0 }, again = { 0 };
	static bool begun;
	bool is_node = false, same = false;

	if (!begun)
		MUST(ossl_init() == OK);
	begun = true;
	if (len > 0 && at[0] != '-') {
		judge((struct bytes){ at + 1, len - 1 }, at[0] % 2 == 1);
		return 0;
	}
	if (card_parse((struct bytes){ at, len }, &is_node, &card) != OK)
		return 0;
	judge(buffer_bytes(&card), is_node);
	/* what is printed is read as the same */
	card_print(is_node, buffer_bytes(&card), &again);
	buffer_clear(&card);
	MUST(card_parse(buffer_bytes(&again), &same, &card) == OK && same == is_node);
	return 0;
}
