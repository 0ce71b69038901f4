/* SPDX-License-Identifier: Apache-2.0 */
/* What an office says to the officer's program: an Answer, printed as JSON. */
#include <string.h>

#include "cli/command.h"
#include "tests/fuzz/fuzz.h"

static FILE *nowhere;

int
LLVMFuzzerTestOneInput(const uint8_t *at, size_t len)
{
	struct output o;
	ProtobufCMessage *m = NULL;
	const ProtobufCMessage *payload;

	if (nowhere == NULL)
		nowhere = fopen("/dev/null", "w");
	MUST(nowhere != NULL);
	if (proto_unpack(&citex__answer__descriptor, (struct bytes){ at, len }, &m) != OK)
		return 0;
	payload = answer_payload((const Citex__Answer *)m);
	output_init(&o, nowhere);
	if (payload != NULL) {
		output_message(&o, payload);
		MUST(o.written);
	}
	proto_wipe(m);
	return 0;
}
