/* SPDX-License-Identifier: Apache-2.0 */
/* What a program says on the officers' or administrators' socket: frames in any
 * split, each a Request. */
#include <string.h>

#include "proto/desk.pb-c.h"
#include "proto/frame.h"
#include "tests/fuzz/fuzz.h"

/* A request that is taken is written again as it came. */
static void
take(struct bytes frame)
{
	CLEANUP(buffer_release) struct buffer again = { 0 };
	ProtobufCMessage *m = NULL;

	if (proto_unpack(&citex__request__descriptor, frame, &m) != OK) {
		MUST(m == NULL);
		return;
	}
	proto_pack(m, &again);
	MUST(bytes_equal(buffer_bytes(&again), frame));
	proto_wipe(m);
}

int
LLVMFuzzerTestOneInput(const uint8_t *at, size_t len)
{
	struct frame_reader in;
	struct bytes frame;
	size_t step = len > 0 ? 1 + at[0] % 7 : 1;

	frame_reader_init(&in);
	for (size_t i = 0; i < len; i += step) {
		enum err e;
		frame_feed(&in, (struct bytes){ at + i, len - i < step ? len - i : step });
		while ((e = frame_next(&in, &frame)) == OK)
			take(frame);
		if (e != ERR_NOT_FOUND)
			break;
	}
	frame_reader_release(&in);
	return 0;
}
