/* SPDX-License-Identifier: Apache-2.0 */
/* Frames on a byte stream. Not here: which frame may come when (that is the
 * session's), and waiting. */
#include "proto/frame.h"

void
frame_reader_init(struct frame_reader *r)
{
	*r = (struct frame_reader){ 0 };
}

void
frame_reader_release(struct frame_reader *r)
{
	buffer_wipe(&r->held);
	frame_reader_init(r);
}

void
frame_feed(struct frame_reader *r, struct bytes input)
{
	if (r->err != OK)
		return;
	buffer_cut_front(&r->held, r->given);
	r->given = 0;
	buffer_add(&r->held, input);
	if (buffer_status(&r->held) != OK)
		r->err = buffer_status(&r->held);
}

/* The length of the frame that begins at the front of LEFT; ERR_NOT_FOUND: not all there. */
static enum err
whole_frame(struct bytes left, uint32_t *len)
{
	struct reader r = { left, OK };

	*len = read_u32(&r);
	if (r.err != OK)
		return ERR_NOT_FOUND;
	if (*len == 0)
		return ERR_MALFORMED;
	if (*len > FRAME_MAX_BYTES)
		return ERR_TOO_LARGE;
	return *len <= r.left.len ? OK : ERR_NOT_FOUND;
}

static struct bytes
left_of(const struct frame_reader *r)
{
	if (r->held.len == r->given)
		return BYTES_NONE;
	return (struct bytes){ r->held.at + r->given, r->held.len - r->given };
}

enum err
frame_next(struct frame_reader *r, struct bytes *out)
{
	struct bytes left = left_of(r);
	uint32_t len;
	enum err e;

	*out = BYTES_NONE;
	if (r->err != OK)
		return r->err;
	e = whole_frame(left, &len);
	if (e != OK) {
		if (e != ERR_NOT_FOUND)
			r->err = e;
		return e;
	}
	*out = (struct bytes){ left.at + FRAME_HEADER_BYTES, len };
	r->given += FRAME_HEADER_BYTES + len;
	return OK;
}

bool
frame_is_partial(const struct frame_reader *r)
{
	struct bytes left = left_of(r);
	uint32_t len;

	return r->err == OK && left.len > 0 && whole_frame(left, &len) == ERR_NOT_FOUND;
}

void
frame_write(const ProtobufCMessage *m, struct buffer *out)
{
	size_t len = protobuf_c_message_get_packed_size(m);

	if (out->err != OK)
		return;
	if (len == 0 || len > FRAME_MAX_BYTES) {
		out->err = len == 0 ? ERR_INTERNAL : ERR_TOO_LARGE;
		return;
	}
	buffer_add_u32(out, (uint32_t)len);
	proto_pack(m, out);
}
