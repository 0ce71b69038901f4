/* SPDX-License-Identifier: Apache-2.0 */
/* What comes into the spool: envelopes, chunks, slips. Reads and judges first,
 * writes then. */
#include "daemon/post/spool.h"

#include <string.h>

#include "daemon/post/spool_batch.h"
#include "pki/chunk.h"

/* --- envelopes in --- */

static enum err
row_of_arrival(const struct spool_arrival *a, struct envelope_row *row)
{
	const Citex__Outer *o = a->envelope->outer;

	*row = (struct envelope_row){ .packed = a->packed, .slip = a->slip };
	if (o->n_parts > ATTACHMENTS_MAX)
		return ERR_TOO_MANY;
	row->class = o->priority == 1 ? LANE_URGENT : LANE_ROUTINE;
	memcpy(row->lane, a->to, strlen(a->to) + 1);
	memcpy(row->home, a->home, strlen(a->home) + 1);
	memcpy(row->from, a->from, strlen(a->from) + 1);
	row->id = a->envelope->id;
	memcpy(row->digest, a->envelope->digest, DIGEST_BYTES);
	strncpy(row->author, o->author, sizeof(row->author) - 1);
	strncpy(row->addressee, o->addressee, sizeof(row->addressee) - 1);
	row->arrived_ms = a->now_ms;
	row->created_ms = (int64_t)o->created;
	row->expires_ms = (int64_t)o->expires;
	row->part_count = o->n_parts;
	for (size_t i = 0; i < o->n_parts; i++) {
		if (o->parts[i]->root.len != DIGEST_BYTES)
			return ERR_MALFORMED;
		memcpy(row->parts[i].root, o->parts[i]->root.data, DIGEST_BYTES);
		row->parts[i].length = o->parts[i]->length;
	}
	return OK;
}

static bool
parts_are_whole(struct txn *t, const struct envelope_row *row)
{
	uint32_t next;

	for (size_t i = 0; i < row->part_count; i++) {
		if (row_part(t, &row->parts[i], &next) != OK ||
		    next < chunk_count(row->parts[i].length))
			return false;
	}
	return true;
}

/* Say that envelope NUMBER lists these parts, whatever of them is here. */
static void
use_parts(struct spool *s, struct txn *t, const struct envelope_row *row, uint64_t number)
{
	for (size_t i = 0; i < row->part_count; i++) {
		const struct spool_part *part = &row->parts[i];
		struct key key = key_part(part);
		struct buffer value = { 0 };

		batch_mark(s, t, TABLE_USES, key_use(part, row->lane, number));
		batch_del(s, t, TABLE_DOOMED, key);
		if (s->broken != OK || store_has(t, TABLE_PARTS, key_bytes(&key)))
			continue;
		part_write(0, &value);
		batch_put_buffer(s, t, TABLE_PARTS, key, &value);
	}
}

/* KNOWN holds what is remembered of it from before, or nothing. */
static void
take_in(struct spool *s, struct txn *t, const struct spool_arrival *a,
    const struct envelope_row *row, struct known_row *known, struct spool_news *news)
{
	size_t first_draft = s->draft_count;
	uint64_t number = batch_number(s), ticket = 0;
	struct buffer value = { 0 };

	news->number = number;
	news->outcome = SPOOL_DONE;
	envelope_row_write(row, &value);
	batch_put_buffer(s, t, TABLE_ENVELOPES, key_number(number), &value);
	use_parts(s, t, row, number);
	if (s->broken == OK && parts_are_whole(t, row))
		ticket = batch_enqueue(s, t, row, number, news);
	batch_known(s, t, row, number, ticket, known);
	batch_mark(s, t, TABLE_EXPIRY, key_expiry((uint64_t)row->expires_ms, row->id, row->digest));
	if (ticket == 0) {
		batch_mark(s, t, TABLE_INCOMING, key_number(number));
		news->outcome = SPOOL_PARTIAL;
	} else if (row->slip != CITEX__SLIP_TYPE__SLIP_NONE && known->slip != row->slip) {
		batch_draft(s, row->slip, row, OK, NULL, news);
	}
	batch_date_drafts(s, first_draft, a->now_ms, a->directory);
}

/* Not kept: its author hears why. */
static void
turn_away(struct spool *s, struct txn *t, const struct spool_arrival *a,
    const struct envelope_row *row, struct spool_news *news)
{
	struct known_row nothing = { 0 };
	size_t first_draft = s->draft_count;

	news->outcome = SPOOL_DONE;
	if (!a->forget) {
		batch_known(s, t, row, 0, 0, &nothing);
		batch_mark(s, t, TABLE_EXPIRY,
		    key_expiry((uint64_t)row->expires_ms, row->id, row->digest));
	}
	batch_draft(s, a->slip, row, a->reason, a->words, news);
	s->drafts[first_draft].remember = !a->forget;
	batch_date_drafts(s, first_draft, a->now_ms, a->directory);
}

static void
say_again(struct spool *s, struct txn *t, const char *home, const struct known_row *known,
    int64_t now_ms, struct spool_news *news)
{
	for (size_t i = 0; i < known->slip_count && home[0] != '\0'; i++) {
		struct slip slip;
		enum err e = slip_parse(known->slips[i], &slip);
		if (e != OK) {
			batch_broke(s, e);
			return;
		}
		batch_queue_slip(s, t, home, &slip, known->slips[i], now_ms, news);
		slip_release(&slip);
	}
}

/* Whether the first word on it was the last: then an envelope that is gone stays gone. Otherwise it
 * was handed on, and is handed on again, so that the next hop answers again. */
static bool
is_settled(const struct known_row *known)
{
	return known->slip == CITEX__SLIP_TYPE__SLIP_STORED ||
	    known->slip == CITEX__SLIP_TYPE__SLIP_REFUSED ||
	    known->slip == CITEX__SLIP_TYPE__SLIP_EXPIRED;
}

static void
take_again(struct spool *s, struct txn *t, const struct spool_arrival *a,
    const struct envelope_row *row, struct known_row *known, struct spool_news *news)
{
	news->duplicate = true;
	news->number = known->number;
	if (known->number != 0 && known->ticket == 0) {
		news->outcome = SPOOL_PARTIAL;
		return;
	}
	say_again(s, t, a->home, known, a->now_ms, news);
	if (known->number != 0 || a->to[0] == '\0' || is_settled(known))
		return;
	known->again = true;
	take_in(s, t, a, row, known, news);
}

/* Whether the author has used the id for another envelope. */
static enum err
check_id(struct txn *t, const struct envelope_row *row)
{
	CLEANUP(cursor_drop) struct cursor *c = NULL;
	struct key prefix = { .len = 0 };
	struct bytes key, value;
	enum err e = cursor_new(t, TABLE_KNOWN, &c);

	key_add(&prefix, id_bytes(&row->id));
	if (e == OK)
		e = cursor_seek(c, key_bytes(&prefix), &key, &value);
	while (e == OK && key_begins(&prefix, key)) {
		struct known_row other;
		e = known_row_read(value, &other);
		if (e == OK && strcmp(other.author, row->author) == 0)
			return ERR_CONFLICT;
		if (e == OK)
			e = cursor_next(c, &key, &value);
	}
	return e == ERR_NOT_FOUND ? OK : e;
}

enum err
spool_accept(struct spool *s, struct txn *t, const struct spool_arrival *a, struct spool_news *news)
{
	CLEANUP(buffer_release) struct buffer copy = { 0 };
	struct known_row known = { 0 };
	struct envelope_row row;
	enum err e = row_of_arrival(a, &row);

	news_clear(news);
	if (e != OK)
		return e;
	e = row_copy(t, TABLE_KNOWN, key_known(row.id, row.digest), &copy);
	if (e == OK) {
		e = known_row_read(buffer_bytes(&copy), &known);
		if (e == OK)
			take_again(s, t, a, &row, &known, news);
		return e == OK ? s->broken : e;
	}
	if (e != ERR_NOT_FOUND)
		return e;
	if (a->to[0] == '\0') {
		turn_away(s, t, a, &row, news);
		return s->broken;
	}
	e = check_id(t, &row);
	if (e != OK)
		return e;
	take_in(s, t, a, &row, &known, news);
	return s->broken;
}

/* --- chunks in --- */

/* An envelope that waited has all its chunks: custody begins. */
static void
become_whole(struct spool *s, struct txn *t, uint64_t number, const struct spool_chunk *c,
    struct spool_news *news)
{
	CLEANUP(buffer_release) struct buffer copy = { 0 };
	CLEANUP(buffer_release) struct buffer known_copy = { 0 };
	size_t first_draft = s->draft_count;
	struct envelope_row row;
	struct known_row known;
	enum err e = row_envelope(t, number, &copy, &row);

	if (e == OK && !parts_are_whole(t, &row))
		return;
	if (e == OK)
		e = row_copy(t, TABLE_KNOWN, key_known(row.id, row.digest), &known_copy);
	if (e == OK)
		e = known_row_read(buffer_bytes(&known_copy), &known);
	if (e != OK) {
		batch_broke(s, e);
		return;
	}
	batch_del(s, t, TABLE_INCOMING, key_number(number));
	batch_known(s, t, &row, number, batch_enqueue(s, t, &row, number, news), &known);
	if (row.slip != CITEX__SLIP_TYPE__SLIP_NONE && known.slip != row.slip)
		batch_draft(s, row.slip, &row, OK, NULL, news);
	batch_date_drafts(s, first_draft, c->now_ms, c->directory);
}

/* The numbers of envelopes that list PART and wait. */
static enum err
who_waits(struct txn *t, const struct spool_part *part, struct buffer *numbers)
{
	CLEANUP(cursor_drop) struct cursor *c = NULL;
	struct key prefix = key_part(part);
	struct bytes key, value;
	enum err e = cursor_new(t, TABLE_USES, &c);

	if (e == OK)
		e = cursor_seek(c, key_bytes(&prefix), &key, &value);
	while (e == OK && key_begins(&prefix, key) && key.len > prefix.len + 8) {
		struct bytes number = { key.at + key.len - 8, 8 };
		if (store_has(t, TABLE_INCOMING, number))
			buffer_add(numbers, number);
		e = cursor_next(c, &key, &value);
	}
	return e == ERR_NOT_FOUND || e == OK ? buffer_status(numbers) : e;
}

static void
part_is_whole(struct spool *s, struct txn *t, const struct spool_part *part,
    const struct spool_chunk *c, struct spool_news *news)
{
	CLEANUP(buffer_release) struct buffer numbers = { 0 };
	enum err e = who_waits(t, part, &numbers);
	struct reader r = { buffer_bytes(&numbers), OK };

	if (e != OK)
		batch_broke(s, e);
	while (s->broken == OK && r.left.len >= 8)
		become_whole(s, t, read_u64(&r), c, news);
}

static bool
has_chunk(struct txn *t, const struct spool_part *part, uint32_t index)
{
	struct key key = key_chunk(part, index);

	return store_has(t, TABLE_CHUNKS, key_bytes(&key));
}

static void
put_chunk(
    struct spool *s, struct txn *t, const struct spool_part *part, const struct spool_chunk *c)
{
	struct buffer value = { 0 };

	buffer_add_u8(&value, 1);
	buffer_add_u8(&value, (uint8_t)c->path_count);
	for (size_t i = 0; i < c->path_count; i++)
		buffer_add(&value, c->path[i]);
	buffer_add(&value, c->data);
	batch_put_buffer(s, t, TABLE_CHUNKS, key_chunk(part, c->index), &value);
}

enum err
spool_chunk(struct spool *s, struct txn *t, const struct spool_chunk *c, struct spool_news *news)
{
	struct spool_part part = { .length = c->length };
	struct key key;
	struct buffer value = { 0 };
	uint32_t next = 0, all = chunk_count(c->length);
	enum err e;

	news_clear(news);
	memcpy(part.root, c->root, DIGEST_BYTES);
	key = key_part(&part);
	e = row_part(t, &part, &next);
	if (e == OK && store_has(t, TABLE_DOOMED, key_bytes(&key)))
		e = ERR_NOT_FOUND;
	if (e != OK)
		return e;
	if (c->index >= all || c->path_count > MERKLE_PATH_MAX)
		return ERR_MALFORMED;
	if (c->index < next || has_chunk(t, &part, c->index))
		return OK;
	put_chunk(s, t, &part, c);
	if (c->index != next || s->broken != OK)
		return s->broken;
	for (next++; next < all && has_chunk(t, &part, next);)
		next++;
	part_write(next, &value);
	batch_put_buffer(s, t, TABLE_PARTS, key, &value);
	if (next == all && s->broken == OK)
		part_is_whole(s, t, &part, c, news);
	return s->broken;
}
