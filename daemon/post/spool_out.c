/* SPDX-License-Identifier: Apache-2.0 */
/* What leaves the spool: handed on, ended, moved, forgotten. */
#include "daemon/post/spool.h"

#include <string.h>

#include "daemon/post/spool_batch.h"

#define SWEEP_CHUNKS 64 /* chunks deleted in one job */
#define PRUNE_ROWS 128 /* rows deleted in one job */
#define PRUNE_LOOKED 1024 /* rows looked at */

/* --- out --- */

static bool
is_used(struct spool *s, struct txn *t, const struct spool_part *part)
{
	CLEANUP(cursor_drop) struct cursor *c = NULL;
	struct key prefix = key_part(part);
	struct bytes key, value;
	enum err e = cursor_new(t, TABLE_USES, &c);

	if (e == OK)
		e = cursor_seek(c, key_bytes(&prefix), &key, &value);
	if (e != OK && e != ERR_NOT_FOUND)
		batch_broke(s, e);
	return e == OK && key_begins(&prefix, key);
}

static void
leave_parts(struct spool *s, struct txn *t, const struct envelope_row *row, uint64_t number)
{
	for (size_t i = 0; i < row->part_count; i++)
		batch_del(s, t, TABLE_USES, key_use(&row->parts[i], row->lane, number));
	for (size_t i = 0; i < row->part_count && s->broken == OK; i++) {
		if (!is_used(s, t, &row->parts[i]))
			batch_mark(s, t, TABLE_DOOMED, key_part(&row->parts[i]));
	}
}

/* Envelope NUMBER leaves this disk; what is remembered of it stays. */
static void
remove_envelope(struct spool *s, struct txn *t, uint64_t number, const struct envelope_row *row,
    struct known_row *known, struct spool_news *news)
{
	if (known->ticket != 0) {
		batch_del(s, t, TABLE_QUEUE, key_queue(row->lane, row->class, known->ticket));
		batch_count(s, row->lane, row->class, -1);
		batch_news(news, row->lane, row->class, known->ticket, number, false);
	}
	batch_del(s, t, TABLE_INCOMING, key_number(number));
	batch_del(s, t, TABLE_ENVELOPES, key_number(number));
	leave_parts(s, t, row, number);
	batch_known(s, t, row, 0, 0, known);
}

static enum err
load_queued(struct txn *t, const char *lane, enum lane_class class, uint64_t ticket,
    struct buffer *copy, struct queue_row *row)
{
	enum err e = row_copy(t, TABLE_QUEUE, key_queue(lane, class, ticket), copy);

	return e == OK ? queue_row_read(buffer_bytes(copy), row) : e;
}

static void
remove_slip(struct spool *s, struct txn *t, const char *lane, uint64_t ticket,
    const uint8_t slip_digest[DIGEST_BYTES], struct spool_news *news)
{
	struct key by_digest = { .len = 0 };

	key_add(&by_digest, (struct bytes){ slip_digest, DIGEST_BYTES });
	batch_del(s, t, TABLE_SLIPS, by_digest);
	batch_del(s, t, TABLE_QUEUE, key_queue(lane, LANE_SLIPS, ticket));
	batch_count(s, lane, LANE_SLIPS, -1);
	batch_news(news, lane, LANE_SLIPS, ticket, 0, false);
}

enum err
spool_taken(struct spool *s, struct txn *t, const char *lane, enum lane_class class,
    uint64_t ticket, struct spool_news *news)
{
	CLEANUP(buffer_release) struct buffer queue_copy = { 0 };
	CLEANUP(buffer_release) struct buffer copy = { 0 };
	CLEANUP(buffer_release) struct buffer known_copy = { 0 };
	struct queue_row q;
	struct envelope_row row;
	struct known_row known;
	enum err e = load_queued(t, lane, class, ticket, &queue_copy, &q);

	news_clear(news);
	if (e != OK)
		return e;
	if (q.item.number == 0) {
		remove_slip(s, t, lane, ticket, q.slip_digest, news);
		return s->broken;
	}
	e = row_envelope(t, q.item.number, &copy, &row);
	if (e == OK)
		e = row_known(t, key_known(row.id, row.digest), &known_copy, &known);
	if (e != OK)
		return e == ERR_NOT_FOUND ? ERR_CORRUPT : e;
	remove_envelope(s, t, q.item.number, &row, &known, news);
	return s->broken;
}

/* A slip has ended what waits here for a node; what waits for an office here is beyond it. */
static enum err
end_envelope(struct spool *s, struct txn *t, struct known_row *known, struct spool_news *news)
{
	CLEANUP(buffer_release) struct buffer copy = { 0 };
	struct envelope_row row;
	enum err e = row_envelope(t, known->number, &copy, &row);

	if (e != OK)
		return e;
	if (row.lane[0] == LANE_NODE)
		remove_envelope(s, t, known->number, &row, known, news);
	return s->broken;
}

enum err
spool_slip(struct spool *s, struct txn *t, const struct spool_slip *in, struct spool_news *news)
{
	CLEANUP(buffer_release) struct buffer copy = { 0 };
	struct key key;
	struct known_row known = { 0 };
	struct id id = in->slip->envelope_id;
	enum err e;

	news_clear(news);
	if (in->slip->body->outer_digest.len != DIGEST_BYTES)
		return ERR_MALFORMED;
	key = key_known(id, in->slip->body->outer_digest.data);
	e = row_known(t, key, &copy, &known);
	if (e != OK && e != ERR_NOT_FOUND)
		return e;
	if (e == OK && in->ends && known.number != 0)
		e = end_envelope(s, t, &known, news);
	if (e != OK && e != ERR_NOT_FOUND)
		return e;
	if (in->remember)
		batch_remember_slip(s, t, key, CITEX__SLIP_TYPE__SLIP_NONE, in->packed);
	if (in->lane[0] != '\0')
		batch_queue_slip(s, t, in->lane, in->slip, in->packed, in->now_ms, news);
	return s->broken;
}

enum err
spool_expire(struct spool *s, struct txn *t, const struct spool_ending *in, struct spool_news *news)
{
	CLEANUP(buffer_release) struct buffer copy = { 0 };
	CLEANUP(buffer_release) struct buffer known_copy = { 0 };
	size_t first_draft = s->draft_count;
	struct envelope_row row;
	struct known_row known;
	enum err e = row_known(t, key_known(in->id, in->digest), &known_copy, &known);

	news_clear(news);
	if (e == OK && known.number != in->number)
		e = ERR_NOT_FOUND;
	if (e == OK)
		e = row_envelope(t, known.number, &copy, &row);
	if (e != OK)
		return e;
	if (known.ticket != 0 && row.lane[0] == LANE_OFFICE)
		return OK; /* stored, and said so: the office decides */
	memcpy(row.home, in->home, strlen(in->home) + 1);
	if (known.ticket != 0)
		batch_draft(s, CITEX__SLIP_TYPE__SLIP_EXPIRED, &row, ERR_EXPIRED,
		    "its time ran out before it could be handed over", news);
	remove_envelope(s, t, in->number, &row, &known, news);
	batch_date_drafts(s, first_draft, in->now_ms, in->directory);
	return s->broken;
}

enum err
spool_move(struct spool *s, struct txn *t, const char *lane, enum lane_class class, uint64_t ticket,
    const char *to, struct spool_news *news)
{
	CLEANUP(buffer_release) struct buffer queue_copy = { 0 };
	CLEANUP(buffer_release) struct buffer copy = { 0 };
	CLEANUP(buffer_release) struct buffer known_copy = { 0 };
	struct buffer value = { 0 };
	struct queue_row q;
	struct envelope_row row;
	struct known_row known;
	enum err e = load_queued(t, lane, class, ticket, &queue_copy, &q);

	news_clear(news);
	if (e != OK || q.item.number == 0)
		return e;
	e = row_envelope(t, q.item.number, &copy, &row);
	if (e == OK)
		e = row_known(t, key_known(row.id, row.digest), &known_copy, &known);
	if (e != OK)
		return e;
	batch_del(s, t, TABLE_QUEUE, key_queue(lane, class, ticket));
	batch_count(s, lane, class, -1);
	batch_news(news, lane, class, ticket, q.item.number, false);
	for (size_t i = 0; i < row.part_count; i++) {
		batch_del(s, t, TABLE_USES, key_use(&row.parts[i], row.lane, q.item.number));
		batch_mark(s, t, TABLE_USES, key_use(&row.parts[i], to, q.item.number));
	}
	memcpy(row.lane, to, strlen(to) + 1);
	known.again = true; /* it may have been offered to whom it waited for before */
	envelope_row_write(&row, &value);
	batch_put_buffer(s, t, TABLE_ENVELOPES, key_number(q.item.number), &value);
	batch_known(
	    s, t, &row, q.item.number, batch_enqueue(s, t, &row, q.item.number, news), &known);
	return s->broken;
}

/* --- taken back --- */

/* The rows of the envelope that waits at P. ERR_NOT_FOUND: it does no more. */
static enum err
load_place(struct txn *t, const struct spool_place *p, struct buffer *copy,
    struct buffer *known_copy, struct envelope_row *row, struct known_row *known)
{
	enum err e = row_known(t, key_known(p->id, p->digest), known_copy, known);

	if (e == OK && (known->number == 0 || known->ticket != p->ticket))
		e = ERR_NOT_FOUND;
	return e == OK ? row_envelope(t, known->number, copy, row) : e;
}

enum err
spool_take_back(struct spool *s, struct txn *t, const struct spool_place *at, size_t count,
    struct spool_news *news)
{
	enum err e = OK;

	news_clear(news);
	for (int writing = 0; writing < 2; writing++) {
		for (size_t i = 0; e == OK && i < count; i++) {
			CLEANUP(buffer_release) struct buffer copy = { 0 };
			CLEANUP(buffer_release) struct buffer known_copy = { 0 };
			struct envelope_row row;
			struct known_row known;
			e = load_place(t, &at[i], &copy, &known_copy, &row, &known);
			if (e == OK && writing)
				remove_envelope(s, t, known.number, &row, &known, news);
		}
		if (e != OK && writing)
			return batch_broke(s, e); /* one named twice: all of them stay */
	}
	return e == OK ? s->broken : e;
}

/* --- forgetting --- */

/* Expiry rows whose end is long past and whose envelope is gone. Some at a time, from AFTER on:
 * many whose envelope is still here must not keep it from what is behind them. */
static enum err
find_past(struct txn *t, int64_t now_ms, struct spool_after *after, struct buffer *keys)
{
	CLEANUP(cursor_drop) struct cursor *c = NULL;
	struct bytes key, value;
	size_t looked = 0;
	enum err e = cursor_new(t, TABLE_EXPIRY, &c);

	if (e == OK)
		e = cursor_seek(c, after->set ? BYTES_OF(after->key) : BYTES_NONE, &key, &value);
	after->set = false;
	for (; e == OK && looked < PRUNE_LOOKED; looked++) {
		struct reader r = { key, OK };
		struct bytes known_key = { key.at + 8, key.len - 8 }, row;
		struct known_row known;
		if (key.len != 8 + ID_BYTES + DIGEST_BYTES)
			return ERR_CORRUPT;
		if ((int64_t)read_u64(&r) + REMEMBER_AFTER_EXPIRY_MS > now_ms ||
		    keys->len >= PRUNE_ROWS * key.len)
			break;
		e = store_get(t, TABLE_KNOWN, known_key, &row);
		if (e == OK)
			e = known_row_read(row, &known);
		if (e == ERR_NOT_FOUND || (e == OK && known.number == 0))
			buffer_add(keys, key);
		if (e == OK || e == ERR_NOT_FOUND)
			e = cursor_next(c, &key, &value);
	}
	if (e == OK && looked == PRUNE_LOOKED && key.len == sizeof(after->key)) {
		memcpy(after->key, key.at, key.len);
		after->set = true;
	}
	return e == ERR_NOT_FOUND || e == OK ? buffer_status(keys) : e;
}

static enum err
prune_known(struct spool *s, struct txn *t, int64_t now_ms, bool *more)
{
	CLEANUP(buffer_release) struct buffer keys = { 0 };
	const size_t each = 8 + ID_BYTES + DIGEST_BYTES;
	enum err e = find_past(t, now_ms, &s->pruned, &keys);

	if (e != OK)
		return e;
	for (size_t i = 0; i + each <= keys.len; i += each) {
		struct key expiry = { .len = 0 }, known = { .len = 0 };
		key_add(&expiry, (struct bytes){ keys.at + i, each });
		key_add(&known, (struct bytes){ keys.at + i + 8, each - 8 });
		batch_del(s, t, TABLE_KNOWN, known);
		batch_del(s, t, TABLE_EXPIRY, expiry);
	}
	if (keys.len >= PRUNE_ROWS * each || s->pruned.set)
		*more = true;
	return s->broken;
}

/* The oldest slip of LANE, when nobody wanted it in all that time. */
static enum err
find_stale_slip(struct txn *t, const char *lane, int64_t now_ms, uint64_t *ticket,
    uint8_t slip_digest[DIGEST_BYTES])
{
	CLEANUP(cursor_drop) struct cursor *c = NULL;
	struct key prefix = key_lane(lane);
	struct bytes key, value;
	struct queue_row row;
	struct reader r;
	enum err e = cursor_new(t, TABLE_QUEUE, &c);

	key_add_u8(&prefix, LANE_SLIPS);
	if (e == OK)
		e = cursor_seek(c, key_bytes(&prefix), &key, &value);
	if (e == OK && !key_begins(&prefix, key))
		e = ERR_NOT_FOUND;
	if (e == OK)
		e = queue_row_read(value, &row);
	if (e != OK)
		return e;
	if (row.item.arrived_ms + SLIP_KEPT_MS > now_ms)
		return ERR_NOT_FOUND;
	r = (struct reader){ { key.at + prefix.len, key.len - prefix.len }, OK };
	*ticket = read_u64(&r);
	memcpy(slip_digest, row.slip_digest, DIGEST_BYTES);
	return reader_finish(&r) == OK ? OK : ERR_CORRUPT;
}

static enum err
prune_slips(struct spool *s, struct txn *t, const char *lane, int64_t now_ms, bool *more,
    struct spool_news *news)
{
	uint8_t slip_digest[DIGEST_BYTES];
	uint64_t ticket;
	enum err e = OK;

	for (size_t i = 0; i < PRUNE_ROWS && e == OK; i++) {
		e = find_stale_slip(t, lane, now_ms, &ticket, slip_digest);
		if (e == OK)
			remove_slip(s, t, lane, ticket, slip_digest, news);
		if (s->broken != OK)
			return s->broken;
	}
	if (e == OK)
		*more = true;
	return e == ERR_NOT_FOUND ? OK : e;
}

/* Names of all lanes, one after the other, as key_add_text() writes them. */
static enum err
lane_names(struct txn *t, struct buffer *names)
{
	CLEANUP(cursor_drop) struct cursor *c = NULL;
	struct bytes key, value;
	enum err e = cursor_new(t, TABLE_LANES, &c);

	if (e == OK)
		e = cursor_seek(c, BYTES_NONE, &key, &value);
	for (; e == OK; e = cursor_next(c, &key, &value))
		buffer_add(names, key);
	return e == ERR_NOT_FOUND ? buffer_status(names) : e;
}

enum err
spool_prune(struct spool *s, struct txn *t, int64_t now_ms, bool *more, struct spool_news *news)
{
	CLEANUP(buffer_release) struct buffer names = { 0 };
	struct reader r;
	enum err e;

	news_clear(news);
	*more = false;
	e = lane_names(t, &names);
	if (e == OK)
		e = prune_known(s, t, now_ms, more);
	r = (struct reader){ buffer_bytes(&names), OK };
	while (e == OK && r.err == OK && r.left.len > 0) {
		char lane[LANE_NAME_BYTES];
		row_read_text(&r, lane, sizeof(lane));
		e = prune_slips(s, t, lane, now_ms, more, news);
	}
	/* What was deleted before an error must not be committed without the rest. */
	return e == OK ? s->broken : batch_broke(s, e);
}

static enum err
first_doomed(struct txn *t, struct spool_part *part)
{
	CLEANUP(cursor_drop) struct cursor *c = NULL;
	struct bytes key, value;
	struct reader r;
	enum err e = cursor_new(t, TABLE_DOOMED, &c);

	if (e == OK)
		e = cursor_seek(c, BYTES_NONE, &key, &value);
	if (e != OK)
		return e;
	r = (struct reader){ key, OK };
	read_copy(&r, part->root, DIGEST_BYTES);
	part->length = read_u64(&r);
	return reader_finish(&r) == OK ? OK : ERR_CORRUPT;
}

enum err
spool_sweep(struct spool *s, struct txn *t, bool *more)
{
	struct spool_part part = { .length = 0 };
	struct buffer value = { 0 };
	uint32_t next = 0, low, high;
	enum err e = first_doomed(t, &part);

	*more = false;
	if (e != OK)
		return e == ERR_NOT_FOUND ? OK : e;
	e = row_part(t, &part, &next);
	if (e != OK && e != ERR_NOT_FOUND)
		return e;
	*more = true;
	low = next > SWEEP_CHUNKS ? next - SWEEP_CHUNKS : 0;
	high = next + SWEEP_CHUNKS; /* some came out of order */
	for (uint32_t i = low; i < high && s->broken == OK; i++)
		batch_del(s, t, TABLE_CHUNKS, key_chunk(&part, i));
	if (low == 0) {
		batch_del(s, t, TABLE_PARTS, key_part(&part));
		batch_del(s, t, TABLE_DOOMED, key_part(&part));
		return s->broken;
	}
	part_write(low, &value);
	batch_put_buffer(s, t, TABLE_PARTS, key_part(&part), &value);
	return s->broken;
}
