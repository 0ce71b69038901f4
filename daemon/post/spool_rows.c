/* SPDX-License-Identifier: Apache-2.0 */
/* Keys and values of the spool. It reads only what it wrote itself, but a disk
 * may give back something else: every value goes through a reader to its end. */
#include "daemon/post/spool_rows.h"

#include <assert.h>
#include <string.h>

#define ROW_VERSION 1

void
key_add(struct key *k, struct bytes more)
{
	assert(more.len <= sizeof(k->at) - k->len);
	if (more.len > 0)
		memcpy(k->at + k->len, more.at, more.len);
	k->len += more.len;
}

void
key_add_u8(struct key *k, uint8_t v)
{
	key_add(k, (struct bytes){ &v, 1 });
}

void
key_add_u32(struct key *k, uint32_t v)
{
	for (int shift = 24; shift >= 0; shift -= 8)
		key_add_u8(k, (uint8_t)(v >> shift));
}

void
key_add_u64(struct key *k, uint64_t v)
{
	key_add_u32(k, (uint32_t)(v >> 32));
	key_add_u32(k, (uint32_t)v);
}

void
key_add_text(struct key *k, const char *s)
{
	key_add_u8(k, (uint8_t)strlen(s));
	key_add(k, bytes_str(s));
}

struct bytes
key_bytes(const struct key *k)
{
	return (struct bytes){ k->at, k->len };
}

bool
key_begins(const struct key *k, struct bytes key)
{
	return key.len >= k->len && memcmp(key.at, k->at, k->len) == 0;
}

struct key
key_word(const char *word)
{
	struct key k = { .len = 0 };

	key_add(&k, bytes_str(word));
	return k;
}

struct key
key_number(uint64_t number)
{
	struct key k = { .len = 0 };

	key_add_u64(&k, number);
	return k;
}

struct key
key_known(struct id id, const uint8_t digest[DIGEST_BYTES])
{
	struct key k = { .len = 0 };

	key_add(&k, id_bytes(&id));
	key_add(&k, (struct bytes){ digest, DIGEST_BYTES });
	return k;
}

struct key
key_expiry(uint64_t expires, struct id id, const uint8_t digest[DIGEST_BYTES])
{
	struct key k = key_number(expires);

	key_add(&k, id_bytes(&id));
	key_add(&k, (struct bytes){ digest, DIGEST_BYTES });
	return k;
}

struct key
key_lane(const char *lane)
{
	struct key k = { .len = 0 };

	key_add_text(&k, lane);
	return k;
}

struct key
key_queue(const char *lane, enum lane_class class, uint64_t ticket)
{
	struct key k = key_lane(lane);

	key_add_u8(&k, (uint8_t) class);
	key_add_u64(&k, ticket);
	return k;
}

struct key
key_part(const struct spool_part *p)
{
	struct key k = { .len = 0 };

	key_add(&k, BYTES_OF(p->root));
	key_add_u64(&k, p->length);
	return k;
}

struct key
key_use(const struct spool_part *p, const char *lane, uint64_t number)
{
	struct key k = key_part(p);

	key_add_text(&k, lane);
	key_add_u64(&k, number);
	return k;
}

struct key
key_chunk(const struct spool_part *p, uint32_t index)
{
	struct key k = key_part(p);

	key_add_u32(&k, index);
	return k;
}

/* --- values --- */

static void
add_text(struct buffer *b, const char *s)
{
	buffer_add_u8(b, (uint8_t)strlen(s));
	buffer_add_str(b, s);
}

void
row_read_text(struct reader *r, char *out, size_t size)
{
	struct bytes text = read_bytes(r, read_u8(r));

	out[0] = '\0';
	if (text.len >= size) {
		r->err = ERR_CORRUPT;
		return;
	}
	if (text.len > 0)
		memcpy(out, text.at, text.len);
	out[text.len] = '\0';
}

#define READ_TEXT(r, array) row_read_text(r, array, sizeof(array))

static void
read_version(struct reader *r)
{
	if (read_u8(r) != ROW_VERSION && r->err == OK)
		r->err = ERR_CORRUPT;
}

static enum err
finish(const struct reader *r)
{
	return reader_finish(r) == OK ? OK : ERR_CORRUPT;
}

/* All that is left. */
static struct bytes
read_rest(struct reader *r)
{
	return read_bytes(r, r->left.len);
}

void
envelope_row_write(const struct envelope_row *r, struct buffer *out)
{
	buffer_add_u8(out, ROW_VERSION);
	buffer_add_u8(out, (uint8_t)r->class);
	buffer_add_u8(out, (uint8_t)r->slip);
	add_text(out, r->lane);
	add_text(out, r->home);
	add_text(out, r->from);
	buffer_add(out, id_bytes(&r->id));
	buffer_add(out, BYTES_OF(r->digest));
	add_text(out, r->author);
	add_text(out, r->addressee);
	buffer_add_u64(out, (uint64_t)r->arrived_ms);
	buffer_add_u64(out, (uint64_t)r->created_ms);
	buffer_add_u64(out, (uint64_t)r->expires_ms);
	buffer_add_u8(out, (uint8_t)r->part_count);
	for (size_t i = 0; i < r->part_count; i++) {
		buffer_add(out, BYTES_OF(r->parts[i].root));
		buffer_add_u64(out, r->parts[i].length);
	}
	buffer_add(out, r->packed);
}

enum err
envelope_row_read(struct bytes in, struct envelope_row *row)
{
	struct reader r = { in, OK };

	*row = (struct envelope_row){ 0 };
	read_version(&r);
	row->class = read_u8(&r);
	row->slip = read_u8(&r);
	READ_TEXT(&r, row->lane);
	READ_TEXT(&r, row->home);
	READ_TEXT(&r, row->from);
	read_copy(&r, row->id.at, ID_BYTES);
	read_copy(&r, row->digest, DIGEST_BYTES);
	READ_TEXT(&r, row->author);
	READ_TEXT(&r, row->addressee);
	row->arrived_ms = (int64_t)read_u64(&r);
	row->created_ms = (int64_t)read_u64(&r);
	row->expires_ms = (int64_t)read_u64(&r);
	row->part_count = read_u8(&r);
	if (row->class >= LANE_CLASSES || row->part_count > ATTACHMENTS_MAX)
		return ERR_CORRUPT;
	for (size_t i = 0; i < row->part_count; i++) {
		read_copy(&r, row->parts[i].root, DIGEST_BYTES);
		row->parts[i].length = read_u64(&r);
	}
	row->packed = read_rest(&r);
	return finish(&r);
}

uint64_t
envelope_row_bytes(const struct envelope_row *r)
{
	uint64_t bytes = r->packed.len;

	for (size_t i = 0; i < r->part_count; i++)
		bytes += r->parts[i].length;
	return bytes;
}

void
known_row_write(const struct known_row *r, struct buffer *out)
{
	buffer_add_u8(out, ROW_VERSION);
	buffer_add_u64(out, r->number);
	buffer_add_u64(out, r->ticket);
	buffer_add_u8(out, (uint8_t)r->slip);
	buffer_add_u8(out, r->again ? 1 : 0);
	add_text(out, r->author);
	buffer_add_u8(out, (uint8_t)r->slip_count);
	for (size_t i = 0; i < r->slip_count; i++) {
		buffer_add_u16(out, (uint16_t)r->slips[i].len);
		buffer_add(out, r->slips[i]);
	}
}

enum err
known_row_read(struct bytes in, struct known_row *row)
{
	struct reader r = { in, OK };

	*row = (struct known_row){ 0 };
	read_version(&r);
	row->number = read_u64(&r);
	row->ticket = read_u64(&r);
	row->slip = read_u8(&r);
	row->again = read_u8(&r) != 0;
	READ_TEXT(&r, row->author);
	row->slip_count = read_u8(&r);
	if (row->slip_count > KNOWN_SLIPS_MAX)
		return ERR_CORRUPT;
	for (size_t i = 0; i < row->slip_count; i++)
		row->slips[i] = read_bytes(&r, read_u16(&r));
	return finish(&r);
}

void
queue_row_write(const struct queue_row *r, struct buffer *out)
{
	const struct spool_item *i = &r->item;

	buffer_add_u8(out, ROW_VERSION);
	buffer_add_u64(out, i->number);
	buffer_add(out, id_bytes(&i->envelope_id));
	add_text(out, i->author);
	add_text(out, i->addressee);
	buffer_add_u64(out, (uint64_t)i->arrived_ms);
	buffer_add_u64(out, (uint64_t)i->created_ms);
	buffer_add_u64(out, (uint64_t)i->expires_ms);
	buffer_add_u64(out, i->bytes);
	if (r->slip.len == 0)
		return;
	buffer_add(out, BYTES_OF(r->slip_digest));
	buffer_add(out, r->slip);
}

enum err
queue_row_read(struct bytes in, struct queue_row *row)
{
	struct reader r = { in, OK };
	struct spool_item *i = &row->item;

	*row = (struct queue_row){ 0 };
	read_version(&r);
	i->number = read_u64(&r);
	read_copy(&r, i->envelope_id.at, ID_BYTES);
	READ_TEXT(&r, i->author);
	READ_TEXT(&r, i->addressee);
	i->arrived_ms = (int64_t)read_u64(&r);
	i->created_ms = (int64_t)read_u64(&r);
	i->expires_ms = (int64_t)read_u64(&r);
	i->bytes = read_u64(&r);
	if (r.left.len > 0)
		read_copy(&r, row->slip_digest, DIGEST_BYTES);
	row->slip = read_rest(&r);
	return finish(&r);
}

enum err
part_read(struct bytes in, uint32_t *next)
{
	struct reader r = { in, OK };

	read_version(&r);
	*next = read_u32(&r);
	return finish(&r);
}

void
part_write(uint32_t next, struct buffer *out)
{
	buffer_add_u8(out, ROW_VERSION);
	buffer_add_u32(out, next);
}
