/* SPDX-License-Identifier: Apache-2.0 */
/* The reading half of the spool: each call is one snapshot, begun and ended
 * here, and what it gives is a copy. */
#include <string.h>

#include "daemon/post/spool.h"
#include "daemon/post/spool_batch.h"
#include "pki/chunk.h"
#include "proto/decode.h"

static enum err
not_found_is_end(enum err e)
{
	return e == ERR_NOT_FOUND ? OK : e;
}

enum err
spool_lanes(struct spool *s,
    void (*found)(void *arg, const char *lane, const uint64_t counts[LANE_CLASSES]), void *arg)
{
	CLEANUP(store_end_drop) struct txn *t = NULL;
	CLEANUP(cursor_drop) struct cursor *c = NULL;
	struct bytes key, value;
	enum err e = store_read(s->store, &t);

	if (e == OK)
		e = cursor_new(t, TABLE_LANES, &c);
	if (e == OK)
		e = cursor_seek(c, BYTES_NONE, &key, &value);
	for (; e == OK; e = cursor_next(c, &key, &value)) {
		struct reader name = { key, OK }, r = { value, OK };
		char lane[LANE_NAME_BYTES];
		uint64_t counts[LANE_CLASSES];
		row_read_text(&name, lane, sizeof(lane));
		for (size_t i = 0; i < LANE_CLASSES; i++)
			counts[i] = read_u64(&r);
		if (reader_finish(&name) != OK || reader_finish(&r) != OK)
			return ERR_CORRUPT;
		found(arg, lane, counts);
	}
	return not_found_is_end(e);
}

/* The ticket at the end of a key of the queue. */
static enum err
ticket_of(struct bytes key, size_t prefix, uint64_t *ticket)
{
	struct reader r = { { key.at + prefix, key.len - prefix }, OK };

	*ticket = read_u64(&r);
	return reader_finish(&r) == OK ? OK : ERR_CORRUPT;
}

enum err
spool_page(struct spool *s, const char *lane, enum lane_class class, uint64_t after,
    struct spool_item *rows, size_t count, size_t *found, bool *end)
{
	CLEANUP(store_end_drop) struct txn *t = NULL;
	CLEANUP(cursor_drop) struct cursor *c = NULL;
	struct key from = key_queue(lane, class, after + 1), prefix = key_lane(lane);
	struct bytes key, value;
	enum err e = store_read(s->store, &t);

	*found = 0;
	*end = false;
	key_add_u8(&prefix, (uint8_t) class);
	if (e == OK)
		e = cursor_new(t, TABLE_QUEUE, &c);
	if (e == OK)
		e = cursor_seek(c, key_bytes(&from), &key, &value);
	while (e == OK && key_begins(&prefix, key) && *found < count) {
		struct queue_row row;
		e = queue_row_read(value, &row);
		if (e == OK)
			e = ticket_of(key, prefix.len, &row.item.ticket);
		if (e != OK)
			break;
		rows[(*found)++] = row.item;
		e = cursor_next(c, &key, &value);
	}
	*end = e == ERR_NOT_FOUND || (e == OK && !key_begins(&prefix, key));
	return not_found_is_end(e);
}

/* What this post said first of an envelope that is for an office here. */
static void
load_receipt(struct txn *t, const struct envelope_row *row, struct buffer *out)
{
	struct key key = key_known(row->id, row->digest);
	struct known_row known;
	struct bytes value;

	if (row->slip != CITEX__SLIP_TYPE__SLIP_STORED ||
	    store_get(t, TABLE_KNOWN, key_bytes(&key), &value) != OK ||
	    known_row_read(value, &known) != OK)
		return;
	for (size_t i = 0; i < known.slip_count && out->len == 0; i++) {
		CLEANUP(slip_release) struct slip slip = { 0 };
		if (slip_parse(known.slips[i], &slip) == OK &&
		    slip.body->type == CITEX__SLIP_TYPE__SLIP_STORED)
			buffer_add(out, known.slips[i]);
	}
}

static enum err
load_envelope(struct txn *t, uint64_t number, struct spool_envelope *out)
{
	struct key key = key_number(number);
	struct envelope_row row;
	struct bytes value;
	enum err e = store_get(t, TABLE_ENVELOPES, key_bytes(&key), &value);

	if (e == OK)
		e = envelope_row_read(value, &row);
	if (e != OK)
		return e == ERR_NOT_FOUND ? ERR_CORRUPT : e;
	memcpy(out->digest, row.digest, DIGEST_BYTES);
	memcpy(out->parts, row.parts, sizeof(row.parts));
	out->part_count = row.part_count;
	buffer_add(&out->packed, row.packed);
	load_receipt(t, &row, &out->receipt);
	return buffer_status(&out->packed);
}

enum err
spool_load(struct spool *s, const char *lane, enum lane_class class, uint64_t ticket,
    struct spool_envelope *out)
{
	CLEANUP(store_end_drop) struct txn *t = NULL;
	struct key key = key_queue(lane, class, ticket);
	struct queue_row row;
	struct bytes value;
	enum err e = store_read(s->store, &t);

	*out = (struct spool_envelope){ 0 };
	if (e == OK)
		e = store_get(t, TABLE_QUEUE, key_bytes(&key), &value);
	if (e == OK)
		e = queue_row_read(value, &row);
	if (e != OK)
		return e;
	out->item = row.item;
	out->item.ticket = ticket;
	if (row.item.number == 0) {
		buffer_add(&out->packed, row.slip);
		e = buffer_status(&out->packed);
	} else {
		e = load_envelope(t, row.item.number, out);
	}
	if (e != OK)
		spool_envelope_release(out);
	return e;
}

void
spool_envelope_release(struct spool_envelope *e)
{
	buffer_release(&e->packed);
	buffer_release(&e->receipt);
}

/* What is known of an envelope that is here, and its row; both borrow from T. */
static enum err
find(struct txn *t, struct key key, struct known_row *known, struct envelope_row *row)
{
	struct bytes value;
	enum err e = store_get(t, TABLE_KNOWN, key_bytes(&key), &value);

	if (e == OK)
		e = known_row_read(value, known);
	if (e == OK && known->number == 0)
		e = ERR_NOT_FOUND;
	if (e != OK)
		return e;
	key = key_number(known->number);
	e = store_get(t, TABLE_ENVELOPES, key_bytes(&key), &value);
	return e == OK ? envelope_row_read(value, row) : e;
}

enum err
spool_find(struct spool *s, struct id id, const uint8_t digest[DIGEST_BYTES],
    char lane[LANE_NAME_BYTES], struct buffer *packed)
{
	CLEANUP(store_end_drop) struct txn *t = NULL;
	struct known_row known;
	struct envelope_row row;
	enum err e = store_read(s->store, &t);

	if (e == OK)
		e = find(t, key_known(id, digest), &known, &row);
	if (e != OK)
		return e;
	memcpy(lane, row.lane, LANE_NAME_BYTES);
	buffer_add(packed, row.packed);
	return buffer_status(packed);
}

enum err
spool_place(
    struct spool *s, struct id id, const uint8_t digest[DIGEST_BYTES], struct spool_place *out)
{
	CLEANUP(store_end_drop) struct txn *t = NULL;
	struct known_row known;
	struct envelope_row row;
	enum err e = store_read(s->store, &t);

	if (e == OK)
		e = find(t, key_known(id, digest), &known, &row);
	if (e != OK)
		return e;
	*out = (struct spool_place){ .id = id,
		.class = row.class,
		.ticket = known.ticket,
		.again = known.again,
		.parts = row.part_count > 0 };
	memcpy(out->digest, digest, DIGEST_BYTES);
	memcpy(out->author, row.author, sizeof(out->author));
	memcpy(out->lane, row.lane, sizeof(out->lane));
	return known.ticket != 0 ? OK : ERR_NOT_YET;
}

static enum err
find_missing(struct txn *t, struct spool_missing *m)
{
	struct key key = key_part(&m->part);
	uint32_t all = chunk_count(m->part.length);
	struct bytes value;
	enum err e = store_get(t, TABLE_PARTS, key_bytes(&key), &value);

	m->next = 0;
	m->later = 0;
	if (e == OK)
		e = part_read(value, &m->next);
	for (uint32_t i = 0; e == OK && i < 64 && m->next + i < all; i++) {
		key = key_chunk(&m->part, m->next + i);
		if (store_has(t, TABLE_CHUNKS, key_bytes(&key)))
			m->later |= 1ULL << i;
	}
	return e;
}

enum err
spool_missing(struct spool *s, uint64_t number, struct spool_missing *out, size_t *count)
{
	CLEANUP(store_end_drop) struct txn *t = NULL;
	struct key key = key_number(number);
	struct envelope_row row;
	struct bytes value;
	enum err e = store_read(s->store, &t);

	*count = 0;
	if (e == OK)
		e = store_get(t, TABLE_ENVELOPES, key_bytes(&key), &value);
	if (e == OK)
		e = envelope_row_read(value, &row);
	for (size_t i = 0; e == OK && i < row.part_count; i++) {
		out[i].part = row.parts[i];
		e = find_missing(t, &out[i]);
	}
	if (e == OK)
		*count = row.part_count;
	return e;
}

/* The next use of ROOT from FROM on: which part, and for which lane. */
static enum err
next_use(struct txn *t, struct key *from, const uint8_t root[DIGEST_BYTES], struct spool_part *part,
    char lane[LANE_NAME_BYTES])
{
	CLEANUP(cursor_drop) struct cursor *c = NULL;
	struct bytes key, value;
	struct reader r;
	enum err e = cursor_new(t, TABLE_USES, &c);

	if (e == OK)
		e = cursor_seek(c, key_bytes(from), &key, &value);
	if (e != OK)
		return e;
	r = (struct reader){ key, OK };
	read_copy(&r, part->root, DIGEST_BYTES);
	part->length = read_u64(&r);
	row_read_text(&r, lane, LANE_NAME_BYTES);
	(void)read_u64(&r);
	if (reader_finish(&r) != OK)
		return ERR_CORRUPT;
	return memcmp(part->root, root, DIGEST_BYTES) == 0 ? OK : ERR_NOT_FOUND;
}

static enum err
copy_chunk(struct txn *t, const struct spool_part *part, uint32_t index, struct buffer *data,
    uint8_t path[MERKLE_PATH_MAX][DIGEST_BYTES], size_t *count)
{
	struct key key = key_chunk(part, index);
	struct bytes value;
	struct reader r;
	enum err e = store_get(t, TABLE_CHUNKS, key_bytes(&key), &value);

	if (e != OK)
		return e;
	r = (struct reader){ value, OK };
	if (read_u8(&r) != 1)
		return ERR_CORRUPT;
	*count = read_u8(&r);
	if (*count > MERKLE_PATH_MAX)
		return ERR_CORRUPT;
	for (size_t i = 0; i < *count; i++)
		read_copy(&r, path[i], DIGEST_BYTES);
	buffer_add(data, read_bytes(&r, r.left.len));
	return reader_finish(&r) == OK ? buffer_status(data) : ERR_CORRUPT;
}

enum err
spool_read_chunk(struct spool *s, const uint8_t root[DIGEST_BYTES], uint32_t index,
    bool (*allowed)(void *arg, const char *lane), void *arg, struct buffer *data,
    uint8_t path[MERKLE_PATH_MAX][DIGEST_BYTES], size_t *count)
{
	CLEANUP(store_end_drop) struct txn *t = NULL;
	struct key from = { .len = 0 };
	enum err e = store_read(s->store, &t);

	key_add(&from, (struct bytes){ root, DIGEST_BYTES });
	while (e == OK) {
		struct spool_part part;
		char lane[LANE_NAME_BYTES];
		e = next_use(t, &from, root, &part, lane);
		if (e != OK)
			break;
		from = key_use(&part, lane, UINT64_MAX); /* the next lane, or length */
		if (!allowed(arg, lane))
			continue;
		e = copy_chunk(t, &part, index, data, path, count);
		if (e != ERR_NOT_FOUND)
			break;
		e = OK; /* who lists the root with a false length has nothing of it */
	}
	return e;
}

/* What is known of the envelope that KEY of the table of ends names: ERR_NOT_FOUND when it is not
 * here. */
static enum err
due_row(struct txn *t, struct bytes key, struct spool_due *out)
{
	struct reader r = { key, OK };
	struct key known_key, number;
	struct known_row known;
	struct envelope_row row;
	struct bytes value;
	enum err e;

	(void)read_u64(&r);
	read_copy(&r, out->id.at, ID_BYTES);
	read_copy(&r, out->digest, DIGEST_BYTES);
	if (reader_finish(&r) != OK)
		return ERR_CORRUPT;
	known_key = key_known(out->id, out->digest);
	e = store_get(t, TABLE_KNOWN, key_bytes(&known_key), &value);
	if (e == OK)
		e = known_row_read(value, &known);
	if (e == OK && known.number == 0)
		e = ERR_NOT_FOUND;
	if (e != OK)
		return e;
	out->number = known.number;
	number = key_number(known.number);
	e = store_get(t, TABLE_ENVELOPES, key_bytes(&number), &value);
	if (e == OK)
		e = envelope_row_read(value, &row);
	if (e != OK)
		return e;
	memcpy(out->author, row.author, sizeof(out->author));
	memcpy(out->lane, row.lane, sizeof(out->lane));
	out->whole = known.ticket != 0;
	return OK;
}

enum err
spool_due(struct spool *s, int64_t now_ms, struct spool_after *after, struct spool_due *rows,
    size_t count, size_t *found)
{
	CLEANUP(store_end_drop) struct txn *t = NULL;
	CLEANUP(cursor_drop) struct cursor *c = NULL;
	struct bytes from = after->set ? BYTES_OF(after->key) : BYTES_NONE, key, value;
	enum err e = store_read(s->store, &t);

	*found = 0;
	if (e == OK)
		e = cursor_new(t, TABLE_EXPIRY, &c);
	if (e == OK)
		e = cursor_seek(c, from, &key, &value);
	if (e == OK && after->set && bytes_equal(key, from))
		e = cursor_next(c, &key, &value);
	while (e == OK && *found < count) {
		struct reader r = { key, OK };
		if (key.len != sizeof(after->key) || (int64_t)read_u64(&r) > now_ms)
			break;
		memcpy(after->key, key.at, key.len);
		after->set = true;
		e = due_row(t, key, &rows[*found]);
		if (e == OK)
			(*found)++;
		if (e == OK || e == ERR_NOT_FOUND || e == ERR_CORRUPT)
			e = cursor_next(c, &key, &value);
	}
	return not_found_is_end(e);
}

static enum err
read_head(struct bytes value, Citex__SignedHead **out)
{
	return proto_unpack(&citex__signed_head__descriptor, value, (ProtobufCMessage **)out);
}

enum err
spool_directory(struct spool *s, Citex__SignedHead **head, struct buffer *kept)
{
	CLEANUP(store_end_drop) struct txn *t = NULL;
	CLEANUP(cursor_drop) struct cursor *c = NULL;
	struct bytes key, value;
	struct key number = { .len = 0 };
	enum err e = store_read(s->store, &t);

	if (e == OK)
		e = cursor_new(t, TABLE_DIRECTORY, &c);
	if (e == OK)
		e = cursor_seek(c, BYTES_NONE, &key, &value);
	if (e != OK || key.len != 12)
		return e != OK ? e : ERR_CORRUPT;
	key_add(&number, (struct bytes){ key.at, 8 });
	for (; e == OK; e = cursor_next(c, &key, &value))
		buffer_add(kept, value);
	e = not_found_is_end(e);
	if (e == OK)
		e = store_get(t, TABLE_HEADS, key_bytes(&number), &value);
	if (e == OK)
		e = buffer_status(kept);
	return e == OK ? read_head(value, head) : e == ERR_NOT_FOUND ? ERR_CORRUPT : e;
}

enum err
spool_heads(struct spool *s, uint64_t from, Citex__SignedHead **out, size_t *count)
{
	CLEANUP(store_end_drop) struct txn *t = NULL;
	CLEANUP(cursor_drop) struct cursor *c = NULL;
	struct key first = key_number(from);
	struct bytes key, value;
	enum err e = store_read(s->store, &t);

	*count = 0;
	if (e == OK)
		e = cursor_new(t, TABLE_HEADS, &c);
	if (e == OK)
		e = cursor_seek(c, key_bytes(&first), &key, &value);
	while (e == OK && *count < DIRECTORY_HEADS_MAX) {
		e = read_head(value, &out[*count]);
		if (e == OK) {
			(*count)++;
			e = cursor_next(c, &key, &value);
		}
	}
	return not_found_is_end(e);
}

enum err
spool_frozen(struct spool *s, uint64_t *number)
{
	CLEANUP(store_end_drop) struct txn *t = NULL;
	struct key word = key_word("frozen");
	struct bytes value;
	struct reader r;
	enum err e = store_read(s->store, &t);

	*number = 0;
	if (e == OK)
		e = store_get(t, TABLE_FACTS, key_bytes(&word), &value);
	if (e != OK)
		return not_found_is_end(e);
	r = (struct reader){ value, OK };
	*number = read_u64(&r);
	return reader_finish(&r) == OK ? OK : ERR_CORRUPT;
}

enum err
spool_peer(struct spool *s, const char *node, struct spool_peer *out)
{
	CLEANUP(store_end_drop) struct txn *t = NULL;
	struct key key = key_word(node);
	uint8_t told[INCARNATION_BYTES], version;
	struct bytes value;
	struct reader r;
	enum err e = store_read(s->store, &t);

	*out = (struct spool_peer){ 0 };
	if (e == OK)
		e = store_get(t, TABLE_PEERS, key_bytes(&key), &value);
	if (e != OK)
		return e;
	r = (struct reader){ value, OK };
	version = read_u8(&r);
	if (version != 1 && version != 2)
		return ERR_CORRUPT;
	read_copy(&r, out->incarnation, INCARNATION_BYTES);
	out->seen_ms = (int64_t)read_u64(&r);
	out->directory = read_u64(&r);
	if (version == 2) {
		read_copy(&r, told, INCARNATION_BYTES);
		out->knows_us = memcmp(told, s->incarnation, INCARNATION_BYTES) == 0;
	}
	return reader_finish(&r) == OK ? OK : ERR_CORRUPT;
}
