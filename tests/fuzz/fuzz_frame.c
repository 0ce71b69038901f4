/* SPDX-License-Identifier: Apache-2.0 */
/* What the other side of a session says: frames in any split, through the whole
 * session. Its actions are answered as a post with an empty disk would. */
#include <string.h>

#include "daemon/session.h"
#include "tests/fuzz/fuzz.h"

static const struct now now = { .mono_ms = 1000, .utc_ms = 1800000000000 };

static enum err
tell(struct session *s, const struct event *ev)
{
	struct actions out = { 0 };
	enum err e = session_handle(s, ev, now, &out);

	for (size_t i = 0; i < out.count; i++) {
		const struct action *a = &out.at[i];
		struct event answer = { .type = EVENT_COMMITTED, .number = a->number };
		if (a->type == ACTION_CLOSE) {
			/* nothing more is done for it, and nothing more is taken */
			MUST(i + 1 == out.count);
			answer.type = EVENT_TICK;
			e = ERR_CLOSED;
		} else if (a->type == ACTION_STORE_ENVELOPE) {
			MUST(a->frame->offer->envelope != NULL && a->number != 0);
			answer.result = a->number % 3 == 0 ? ERR_LATER : OK;
		} else if (a->type == ACTION_STORE_SLIP) {
			MUST(a->frame->offer->slip != NULL && a->number != 0);
		} else if (a->type == ACTION_READ_CHUNK) {
			answer = (struct event){ .type = EVENT_CHUNK_READ,
				.root = { a->root, DIGEST_BYTES },
				.index = a->index };
		} else {
			continue;
		}
		if (tell(s, &answer) != OK)
			e = ERR_CLOSED;
	}
	actions_release(&out);
	return e;
}

int
LLVMFuzzerTestOneInput(const uint8_t *at, size_t len)
{
	struct session_self self = { .node = "ke", .incarnation = { 1 }, .directory = 1 };
	struct session *s = session_new(&self);
	struct frame_reader in;
	struct bytes frame;
	size_t step = len > 0 ? 1 + at[0] % 97 : 1;
	enum err e = tell(s, &(struct event){ .type = EVENT_OPEN });

	MUST(e == OK);
	frame_reader_init(&in);
	for (size_t i = 1; i < len && e == OK; i += step) {
		enum err framed;
		frame_feed(&in, (struct bytes){ at + i, len - i < step ? len - i : step });
		while (e == OK && (framed = frame_next(&in, &frame)) == OK)
			e = tell(s, &(struct event){ .type = EVENT_FRAME, .bytes = frame });
		if (e == OK && framed != ERR_NOT_FOUND)
			break;
	}
	MUST(session_may_offer(s) <= WINDOW_ENVELOPES);
	MUST(session_may_want(s) <= CHUNKS_IN_FLIGHT);
	MUST(!session_is_ready(s) || session_peer(s)[0] != '\0');
	if (e != OK)
		MUST(tell(s, &(struct event){ .type = EVENT_FRAME }) == ERR_WRONG_STATE);
	frame_reader_release(&in);
	session_free(s);
	return 0;
}
