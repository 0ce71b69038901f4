/* SPDX-License-Identifier: Apache-2.0 */
/* The batch of the store thread: what its jobs write, count and have to sign.
 * A write that fails sticks, and drops the whole batch at its end. */
#include "daemon/post/spool_batch.h"

#include <stdlib.h>
#include <string.h>

/* --- the batch under way --- */

enum err
batch_broke(struct spool *s, enum err e)
{
	if (s->broken == OK)
		s->broken = e;
	return s->broken;
}

/* Writes nothing once a write has failed. */
void
batch_put(
    struct spool *s, struct txn *t, enum spool_table table, struct key key, struct bytes value)
{
	enum err e = s->broken == OK ? store_put(t, table, key_bytes(&key), value) : OK;

	if (e != OK)
		batch_broke(s, e);
}

void
batch_mark(struct spool *s, struct txn *t, enum spool_table table, struct key key)
{
	batch_put(s, t, table, key, bytes_str("1"));
}

void
batch_put_buffer(
    struct spool *s, struct txn *t, enum spool_table table, struct key key, struct buffer *b)
{
	if (buffer_status(b) != OK)
		batch_broke(s, buffer_status(b));
	batch_put(s, t, table, key, buffer_bytes(b));
	buffer_release(b);
}

/* What is not there need not be deleted. */
void
batch_del(struct spool *s, struct txn *t, enum spool_table table, struct key key)
{
	enum err e = s->broken == OK ? store_del(t, table, key_bytes(&key)) : OK;

	if (e != OK && e != ERR_NOT_FOUND)
		batch_broke(s, e);
}

uint64_t
batch_number(struct spool *s)
{
	return ++s->last_number;
}

void
batch_count(struct spool *s, const char *lane, enum lane_class class, int by)
{
	size_t i = 0;

	while (i < s->delta_count && strcmp(s->deltas[i].lane, lane) != 0)
		i++;
	if (i == s->delta_count) {
		if (s->delta_count == s->delta_room) {
			s->delta_room = s->delta_room == 0 ? 16 : s->delta_room * 2;
			s->deltas = xgrow(s->deltas, s->delta_room, sizeof(*s->deltas));
		}
		s->deltas[s->delta_count++] = (struct spool_delta){ 0 };
		memcpy(s->deltas[i].lane, lane, strlen(lane) + 1);
	}
	s->deltas[i].counts[class] += by;
}

void
spool_news_release(struct spool_news *n)
{
	free(n->at);
	*n = (struct spool_news){ 0 };
}

void
news_clear(struct spool_news *n)
{
	*n = (struct spool_news){ .at = n->at, .room = n->room };
}

void
batch_news(struct spool_news *n, const char *lane, enum lane_class class, uint64_t ticket,
    uint64_t number, bool added)
{
	struct spool_change *c;

	if (n->count == n->room) {
		n->room = n->room == 0 ? 4 : n->room * 2;
		n->at = xgrow(n->at, n->room, sizeof(*n->at));
	}
	c = &n->at[n->count++];
	*c = (struct spool_change){ .class = class, .ticket = ticket, .number = number };
	c->added = added;
	memcpy(c->lane, lane, strlen(lane) + 1);
}

void
batch_clear(struct spool *s)
{
	s->broken = OK;
	s->draft_count = 0;
	s->delta_count = 0;
}

/* A value copied out, so that it outlives the next put. */
enum err
row_copy(struct txn *t, enum spool_table table, struct key key, struct buffer *out)
{
	struct bytes value;
	enum err e = store_get(t, table, key_bytes(&key), &value);

	if (e != OK)
		return e;
	buffer_add(out, value);
	return buffer_status(out);
}

void
batch_known(struct spool *s, struct txn *t, const struct envelope_row *row, uint64_t number,
    uint64_t ticket, struct known_row *known)
{
	struct buffer value = { 0 };

	known->number = number;
	known->ticket = ticket;
	memcpy(known->author, row->author, sizeof(row->author));
	known_row_write(known, &value);
	batch_put_buffer(s, t, TABLE_KNOWN, key_known(row->id, row->digest), &value);
}

/* Put a whole envelope into its lane. Returns its ticket. */
uint64_t
batch_enqueue(struct spool *s, struct txn *t, const struct envelope_row *row, uint64_t number,
    struct spool_news *news)
{
	struct buffer value = { 0 };
	struct queue_row q = { 0 };
	uint64_t ticket = batch_number(s);

	q.item.number = number;
	q.item.envelope_id = row->id;
	memcpy(q.item.author, row->author, sizeof(row->author));
	memcpy(q.item.addressee, row->addressee, sizeof(row->addressee));
	q.item.arrived_ms = row->arrived_ms;
	q.item.created_ms = row->created_ms;
	q.item.expires_ms = row->expires_ms;
	q.item.bytes = envelope_row_bytes(row);
	queue_row_write(&q, &value);
	batch_put_buffer(s, t, TABLE_QUEUE, key_queue(row->lane, row->class, ticket), &value);
	batch_count(s, row->lane, row->class, 1);
	batch_news(news, row->lane, row->class, ticket, number, true);
	return ticket;
}

enum err
row_part(struct txn *t, const struct spool_part *part, uint32_t *next)
{
	struct key key = key_part(part);
	struct bytes value;
	enum err e = store_get(t, TABLE_PARTS, key_bytes(&key), &value);

	return e == OK ? part_read(value, next) : e;
}

enum err
row_envelope(struct txn *t, uint64_t number, struct buffer *copy, struct envelope_row *row)
{
	enum err e = row_copy(t, TABLE_ENVELOPES, key_number(number), copy);

	return e == OK ? envelope_row_read(buffer_bytes(copy), row) : e;
}

enum err
row_known(struct txn *t, struct key key, struct buffer *copy, struct known_row *known)
{
	enum err e = row_copy(t, TABLE_KNOWN, key, copy);

	return e == OK ? known_row_read(buffer_bytes(copy), known) : e;
}

/* --- slips of our own, signed at the end of the batch --- */

void
batch_draft(struct spool *s, Citex__SlipType type, const struct envelope_row *about,
    enum err reason, const char *words, struct spool_news *news)
{
	struct spool_draft *d;

	if (s->draft_count == s->draft_room) {
		s->draft_room = s->draft_room == 0 ? 16 : s->draft_room * 2;
		s->drafts = xgrow(s->drafts, s->draft_room, sizeof(*s->drafts));
	}
	d = &s->drafts[s->draft_count++];
	*d = (struct spool_draft){ .news = news, .remember = true };
	d->slip.type = type;
	d->slip.envelope_id = about->id;
	memcpy(d->slip.outer_digest, about->digest, DIGEST_BYTES);
	d->slip.reason = reason;
	memcpy(d->to, about->author, strlen(about->author) + 1);
	memcpy(d->home, about->home, strlen(about->home) + 1);
	if (words != NULL)
		strncpy(d->words, words, sizeof(d->words) - 1);
}

void
batch_date_drafts(struct spool *s, size_t from, int64_t now_ms, uint64_t directory)
{
	for (size_t i = from; i < s->draft_count; i++) {
		s->drafts[i].slip.time_ms = s->drafts[i].now_ms = now_ms;
		s->drafts[i].slip.directory = directory;
	}
}

/* Put a slip into LANE, unless it stands there already. */
void
batch_queue_slip(struct spool *s, struct txn *t, const char *lane, const struct slip *slip,
    struct bytes packed, int64_t now_ms, struct spool_news *news)
{
	struct key by_digest = { .len = 0 };
	struct buffer value = { 0 };
	struct queue_row row = { .slip = packed };
	uint64_t ticket;

	key_add(&by_digest, BYTES_OF(slip->digest));
	if (s->broken != OK || store_has(t, TABLE_SLIPS, key_bytes(&by_digest)))
		return;
	ticket = batch_number(s);
	row.item.envelope_id = slip->envelope_id;
	row.item.arrived_ms = now_ms;
	row.item.bytes = packed.len;
	memcpy(row.slip_digest, slip->digest, DIGEST_BYTES);
	queue_row_write(&row, &value);
	batch_put_buffer(s, t, TABLE_QUEUE, key_queue(lane, LANE_SLIPS, ticket), &value);
	buffer_add_u8(&value, (uint8_t)strlen(lane));
	buffer_add_str(&value, lane);
	buffer_add_u64(&value, ticket);
	batch_put_buffer(s, t, TABLE_SLIPS, by_digest, &value);
	batch_count(s, lane, LANE_SLIPS, 1);
	batch_news(news, lane, LANE_SLIPS, ticket, 0, true);
}

/* What was said of an envelope once is said again, to whoever asks again. */
void
batch_remember_slip(
    struct spool *s, struct txn *t, struct key key, Citex__SlipType own, struct bytes packed)
{
	CLEANUP(buffer_release) struct buffer copy = { 0 };
	struct buffer value = { 0 };
	struct known_row known;
	enum err e = row_copy(t, TABLE_KNOWN, key, &copy);

	if (e == OK)
		e = known_row_read(buffer_bytes(&copy), &known);
	if (e != OK) {
		if (e != ERR_NOT_FOUND)
			batch_broke(s, e);
		return;
	}
	for (size_t i = 0; i < known.slip_count; i++) {
		if (bytes_equal(known.slips[i], packed))
			return;
	}
	if (known.slip_count == KNOWN_SLIPS_MAX)
		return;
	if (own != CITEX__SLIP_TYPE__SLIP_NONE)
		known.slip = own;
	known.slips[known.slip_count++] = packed;
	known_row_write(&known, &value);
	batch_put_buffer(s, t, TABLE_KNOWN, key, &value);
}

static void
keep_draft(struct spool *s, struct txn *t, const struct spool_draft *d, struct bytes packed)
{
	struct slip slip;
	enum err e = slip_parse(packed, &slip);

	if (e != OK) {
		batch_broke(s, e);
		return;
	}
	if (d->remember)
		batch_remember_slip(s, t, key_known(d->slip.envelope_id, d->slip.outer_digest),
		    d->slip.type, packed);
	if (d->home[0] != '\0')
		batch_queue_slip(s, t, d->home, &slip, packed, d->now_ms, d->news);
	slip_release(&slip);
}

/* Sign COUNT drafts from FIRST with one signature. */
static void
sign_drafts(struct spool *s, struct txn *t, size_t first, size_t n)
{
	struct slip_draft drafts[BATCH_MAX];
	struct buffer packed[BATCH_MAX];
	enum err e;

	memset(packed, 0, sizeof(packed));
	memset(drafts, 0, sizeof(drafts)); /* gcc with sanitizers does not see that n > 0 */
	for (size_t i = 0; i < n; i++) {
		struct spool_draft *d = &s->drafts[first + i];
		drafts[i] = d->slip;
		drafts[i].to = d->to;
		drafts[i].maker = s->signer->node;
		drafts[i].words = d->words;
	}
	e = slips_make(s->signer->key, drafts, n, packed);
	if (e != OK)
		batch_broke(s, e);
	for (size_t i = 0; i < n; i++) {
		if (e == OK)
			keep_draft(s, t, &s->drafts[first + i], buffer_bytes(&packed[i]));
		buffer_release(&packed[i]);
	}
}

static enum err
read_counts(struct txn *t, const char *lane, uint64_t counts[LANE_CLASSES])
{
	struct key key = key_lane(lane);
	struct bytes value;
	struct reader r;
	enum err e = store_get(t, TABLE_LANES, key_bytes(&key), &value);

	memset(counts, 0, LANE_CLASSES * sizeof(*counts));
	if (e != OK)
		return e == ERR_NOT_FOUND ? OK : e;
	r = (struct reader){ value, OK };
	for (size_t c = 0; c < LANE_CLASSES; c++)
		counts[c] = read_u64(&r);
	return reader_finish(&r) == OK ? OK : ERR_CORRUPT;
}

static void
write_counts(struct spool *s, struct txn *t, const struct spool_delta *d)
{
	struct buffer value = { 0 };
	uint64_t counts[LANE_CLASSES], all = 0;
	enum err e = s->broken == OK ? read_counts(t, d->lane, counts) : s->broken;

	if (e != OK) {
		batch_broke(s, e);
		return;
	}
	for (size_t c = 0; c < LANE_CLASSES; c++) {
		counts[c] += (uint64_t)d->counts[c];
		all |= counts[c];
		buffer_add_u64(&value, counts[c]);
	}
	if (all == 0) {
		buffer_release(&value);
		batch_del(s, t, TABLE_LANES, key_lane(d->lane));
		return;
	}
	batch_put_buffer(s, t, TABLE_LANES, key_lane(d->lane), &value);
}

/* Runs before the commit of each batch. */
static enum err
batch_end(void *arg, struct txn *t)
{
	struct spool *s = arg;
	uint8_t last[8];
	struct key k;
	enum err e;

	for (size_t i = 0; i < s->draft_count && s->broken == OK; i += BATCH_MAX) {
		size_t left = s->draft_count - i;
		sign_drafts(s, t, i, left < BATCH_MAX ? left : BATCH_MAX);
	}
	for (size_t i = 0; i < s->delta_count; i++)
		write_counts(s, t, &s->deltas[i]);
	k = key_number(s->last_number);
	memcpy(last, k.at, sizeof(last));
	batch_put(s, t, TABLE_FACTS, key_word("last"), BYTES_OF(last));
	e = s->broken;
	batch_clear(s);
	return e;
}

static void
batch_dropped(void *arg)
{
	batch_clear(arg);
}

struct committer_hooks
spool_hooks(struct spool *s)
{
	return (struct committer_hooks){ batch_end, batch_dropped, s };
}
