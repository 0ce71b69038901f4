/* SPDX-License-Identifier: Apache-2.0 */
/* Handing mail on: which lane goes over which connection, what is offered
 * next, what became of it, and the chunks that the other side pulls. What was
 * offered stays on our disk until the answer `taken' is there, and that answer
 * is committed before anything else follows from it. */
#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/post/inside.h"

#define TELL_EVERY_MS SECOND_MS /* progress in bytes of one envelope */
#define TELL_WAITING_MAX 256 /* envelopes of one node whose authors hear of each failed try */
#define DAMAGED_WAIT_MS RETRY_MAX_MS

/* --- lanes --- */

static struct conn *
office_conn(struct post *p, const char *authority)
{
	for (struct conn *c = p->conns; c != NULL; c = c->next) {
		if (c->kind == CONN_OFFICE && c->ready && !c->closing &&
		    strcmp(c->name, authority) == 0)
			return c;
	}
	return NULL;
}

static void
drop_lane(struct conn *c, struct lane *l)
{
	for (size_t i = 0; i < c->lane_count; i++) {
		if (c->lanes[i] != l)
			continue;
		c->lane_count--;
		memmove(
		    &c->lanes[i], &c->lanes[i + 1], (c->lane_count - i) * sizeof(struct lane *));
		return;
	}
}

static void
give_lane(struct conn *c, struct lane *l)
{
	if (c->lane_count == c->lane_room) {
		c->lane_room = c->lane_room == 0 ? 4 : c->lane_room * 2;
		c->lanes = xgrow(c->lanes, c->lane_room, sizeof(struct lane *));
	}
	c->lanes[c->lane_count++] = l;
}

static void
assign(struct post *p, struct lane *l)
{
	const char *name = lane_name(l);
	struct conn *was = lane_carrier(l), *now;

	now = name[0] == LANE_OFFICE ? office_conn(p, name + 1) : peers_carrier(p, name + 1);
	if (was == now)
		return;
	if (was != NULL)
		drop_lane(was, l);
	lane_set_carrier(l, now);
	lane_close(l);
	if (now == NULL)
		return;
	lane_open(l);
	give_lane(now, l);
	conn_wake(now, 0);
}

void
outgo_assign(struct post *p)
{
	struct lane *l;

	for (size_t i = 0; (l = queue_lane_at(p->queue, i)) != NULL; i++)
		assign(p, l);
}

void
outgo_gone(struct conn *c)
{
	for (size_t i = 0; i < c->lane_count; i++) {
		lane_set_carrier(c->lanes[i], NULL);
		lane_close(c->lanes[i]);
	}
	c->lane_count = 0;
	for (size_t i = 0; c->flights != NULL && i < WINDOW_ENVELOPES; i++)
		free(c->flights[i].parts);
	free(c->flights);
	c->flights = NULL;
}

/* --- what the authors hear --- */

struct word {
	const struct id *id;
	const char *author;
	int64_t last_utc_ms, next_utc_ms;
	enum err reason;
	const char *words, *node;
	uint64_t bytes, bytes_total;
};

static void
tell_author(struct post *p, const struct word *w)
{
	struct conn *c = office_conn(p, w->author);
	Citex__Frame frame = CITEX__FRAME__INIT;
	Citex__Progress progress = CITEX__PROGRESS__INIT;
	char reason[64];

	if (c == NULL)
		return;
	strncpy(reason, err_name(w->reason), sizeof(reason) - 1);
	reason[sizeof(reason) - 1] = '\0';
	progress.envelope_id = pb_of_bytes(id_bytes(w->id));
	progress.last_try = (uint64_t)w->last_utc_ms;
	progress.next_try = (uint64_t)w->next_utc_ms;
	progress.reason = reason;
	progress.words = (char *)(uintptr_t)(w->words != NULL ? w->words : "");
	progress.bytes = w->bytes;
	progress.bytes_total = w->bytes_total;
	progress.node = (char *)(uintptr_t)w->node;
	frame.body_case = CITEX__FRAME__BODY_PROGRESS;
	frame.progress = &progress;
	conn_send(c, &frame);
}

static void
tell_flight(struct conn *c, struct flight *f, enum err reason, int64_t next_utc_ms)
{
	struct now now = loop_now(c->post->loop);

	f->told_ms = now.mono_ms;
	if (c->kind != CONN_PEER || f->class == LANE_SLIPS)
		return;
	tell_author(c->post,
	    &(struct word){
		.id = &f->envelope_id,
		.author = f->author,
		.last_utc_ms = now.utc_ms,
		.next_utc_ms = next_utc_ms,
		.reason = reason,
		.words = reason != OK ? err_words(reason) : "",
		.node = c->name,
		.bytes = f->bytes,
		.bytes_total = f->bytes_total,
	    });
}

static void
tell_page(struct post *p, const char *lane, enum lane_class class)
{
	struct spool_item *rows = xalloc_array(TELL_WAITING_MAX, sizeof(*rows));
	const char *words, *hop;
	const struct retry *r = peers_retry(p, lane + 1, &words, &hop);
	size_t count = 0;
	bool end;

	if (spool_page(p->spool, lane, class, 0, rows, TELL_WAITING_MAX, &count, &end) != OK)
		count = 0;
	for (size_t i = 0; i < count; i++) {
		tell_author(p,
		    &(struct word){
			.id = &rows[i].envelope_id,
			.author = rows[i].author,
			.last_utc_ms = r->last_utc_ms,
			.next_utc_ms = r->next_utc_ms,
			.reason = r->why,
			.words = words,
			.node = hop,
			.bytes_total = rows[i].bytes,
		    });
	}
	free(rows);
}

void
outgo_tell_waiting(struct post *p, const char *node)
{
	struct lane *l;

	for (size_t i = 0; (l = queue_lane_at(p->queue, i)) != NULL; i++) {
		const char *words, *hop;
		if (lane_name(l)[0] != LANE_NODE || lane_is_open(l) ||
		    lane_count(l, LANE_URGENT) + lane_count(l, LANE_ROUTINE) == 0)
			continue;
		(void)peers_retry(p, lane_name(l) + 1, &words, &hop);
		if (strcmp(lane_name(l) + 1, node) != 0 && strcmp(hop, node) != 0)
			continue;
		tell_page(p, lane_name(l), LANE_URGENT);
		tell_page(p, lane_name(l), LANE_ROUTINE);
	}
}

/* --- offering --- */

static void
read_page(struct post *p, struct lane *l, enum lane_class class, uint64_t after)
{
	struct spool_item *rows = xalloc_array(LANE_PAGE, sizeof(*rows));
	uint64_t tickets[LANE_PAGE];
	size_t count = 0;
	bool end = false;
	enum err e =
	    spool_page(p->spool, lane_name(l), class, after, rows, LANE_PAGE, &count, &end);

	if (e != OK)
		log_event(
		    LEVEL_ERROR, "queue-unreadable", LOG_TEXT("lane", lane_name(l)), LOG_ERR(e));
	for (size_t i = 0; i < count; i++)
		tickets[i] = rows[i].ticket;
	lane_page(l, class, tickets, count, end || e != OK);
	free(rows);
}

/* The next lane of C, in turn, that has something of CLASS. */
static struct lane *
next_lane(struct conn *c, enum lane_class class, struct now now)
{
	for (size_t i = 0; i < c->lane_count; i++) {
		struct lane *l = c->lanes[(c->lane_turn + i) % c->lane_count];
		uint64_t after;
		if (lane_wants_page(l, class, &after))
			read_page(c->post, l, class, after);
		if (!lane_has_next(l, class, now))
			continue;
		c->lane_turn = (c->lane_turn + i + 1) % c->lane_count;
		return l;
	}
	return NULL;
}

static struct flight *
free_flight(struct conn *c)
{
	if (c->flights == NULL)
		c->flights = xalloc_array(WINDOW_ENVELOPES, sizeof(*c->flights));
	for (size_t i = 0; i < WINDOW_ENVELOPES; i++) {
		if (!c->flights[i].used)
			return &c->flights[i];
	}
	return NULL;
}

static void
fill_flight(struct flight *f, struct lane *l, enum lane_class class, const struct spool_envelope *e)
{
	*f = (struct flight){ .used = true, .lane = l, .class = class };
	f->ticket = e->item.ticket;
	f->envelope_id = e->item.envelope_id;
	if (class == LANE_SLIPS)
		return;
	memcpy(f->author, e->item.author, sizeof(f->author));
	f->bytes_total = e->item.bytes;
	f->part_count = e->part_count;
	if (e->part_count > 0)
		f->parts = xmemdup(e->parts, e->part_count * sizeof(*e->parts));
}

static void
offer(struct conn *c, struct lane *l, enum lane_class class, uint64_t ticket)
{
	struct now now = loop_now(c->post->loop);
	struct flight *f;
	struct spool_envelope envelope;
	enum err e;

	if (takeback_holds(c->post, ticket)) {
		lane_later(l, class, ticket, now.mono_ms + RETRY_FIRST_MS);
		return;
	}
	f = free_flight(c);
	e = f == NULL ? ERR_BUSY
		      : spool_load(c->post->spool, lane_name(l), class, ticket, &envelope);
	if (e != OK) {
		lane_later(l, class, ticket, now.mono_ms + DAMAGED_WAIT_MS);
		if (e == ERR_NOT_FOUND)
			return; /* it is being deleted */
		log_event(LEVEL_ERROR, "unreadable", LOG_TEXT("lane", lane_name(l)),
		    LOG_NUM("ticket", ticket), LOG_ERR(e));
		post_alarm(c->post, "store-damaged", "");
		return;
	}
	fill_flight(f, l, class, &envelope);
	if (f->part_count > 0)
		tell_flight(c, f, OK, 0);
	conn_tell(c,
	    &(struct event){
		.type = class == LANE_SLIPS ? EVENT_OFFER_SLIP : EVENT_OFFER_ENVELOPE,
		.bytes = buffer_bytes(&envelope.packed),
		.receipt = buffer_bytes(&envelope.receipt),
		.token = (uint64_t)(f - c->flights),
	    });
	spool_envelope_release(&envelope);
}

static bool
offer_one(struct conn *c)
{
	struct now now = loop_now(c->post->loop);

	for (int class = LANE_SLIPS; class < LANE_CLASSES; class ++) {
		struct lane *l = next_lane(c, (enum lane_class) class, now);
		uint64_t ticket;
		if (l == NULL || !lane_next(l, (enum lane_class) class, now, &ticket))
			continue;
		offer(c, l, (enum lane_class) class, ticket);
		return true;
	}
	return false;
}

static void
wake_for_later(struct conn *c)
{
	struct now now = loop_now(c->post->loop);
	int64_t at_ms = INT64_MAX;

	for (size_t i = 0; i < c->lane_count; i++) {
		int64_t lane_ms = lane_wakes_ms(c->lanes[i], now);
		if (lane_ms < at_ms)
			at_ms = lane_ms;
	}
	if (at_ms != INT64_MAX)
		conn_wake(c, at_ms);
}

void
outgo_pump(struct conn *c)
{
	conn_ref(c);
	while (!c->dead && c->ready && !c->closing && session_may_offer(c->session) > 0 &&
	    !conn_is_full(c)) {
		if (!offer_one(c)) {
			wake_for_later(c);
			break;
		}
	}
	conn_unref(c);
}

/* --- answers --- */

struct handed {
	struct errand errand;
	struct lane *lane;
	enum lane_class class;
	uint64_t ticket;
	bool parts;
	struct spool_news news;
};

static enum err
write_handed(struct errand *e, struct txn *t)
{
	struct handed *h = (struct handed *)e;

	return spool_taken(e->post->spool, t, lane_name(h->lane), h->class, h->ticket, &h->news);
}

static void
wrote_handed(struct errand *e, enum err result)
{
	struct handed *h = (struct handed *)e;
	struct post *p = e->post;

	if (result == OK) {
		post_tell_news(p, &h->news);
		if (h->parts)
			chores_sweep(p);
	} else if (result != ERR_NOT_FOUND) {
		/* It is offered again, answered `taken' again, and deleted then. */
		lane_later(
		    h->lane, h->class, h->ticket, loop_now(p->loop).mono_ms + RETRY_FIRST_MS);
	}
	errand_end(e);
}

static void
release_handed(struct errand *e)
{
	spool_news_release(&((struct handed *)e)->news);
}

static struct flight *
flight_of(struct conn *c, uint64_t token)
{
	return c->flights != NULL && token < WINDOW_ENVELOPES && c->flights[token].used
	    ? &c->flights[token]
	    : NULL;
}

static void
land(struct flight *f)
{
	free(f->parts);
	*f = (struct flight){ 0 };
}

void
outgo_taken(struct conn *c, uint64_t token)
{
	struct flight *f = flight_of(c, token);
	char id[ID_TEXT_BYTES];
	struct handed *h;

	if (f == NULL)
		return;
	c->sent++;
	id_print(f->envelope_id, id);
	log_event(LEVEL_INFO, "handed-on", LOG_TEXT("envelope", id),
	    LOG_TEXT("what", f->class == LANE_SLIPS ? "slip" : "envelope"),
	    LOG_NUM("ticket", f->ticket), LOG_TEXT("to", c->name));
	f->bytes = f->bytes_total;
	tell_flight(c, f, OK, 0);
	h = errand_new(c->post, NULL, sizeof(*h));
	h->errand.write = write_handed;
	h->errand.written = wrote_handed;
	h->errand.release = release_handed;
	h->lane = f->lane;
	h->class = f->class;
	h->ticket = f->ticket;
	h->parts = f->part_count > 0;
	land(f);
	errand_commit(&h->errand);
}

void
outgo_later(struct conn *c, uint64_t token, enum err why, int64_t wait_ms)
{
	struct flight *f = flight_of(c, token);
	struct now now = loop_now(c->post->loop);
	char id[ID_TEXT_BYTES];

	if (f == NULL)
		return;
	id_print(f->envelope_id, id);
	log_event(LEVEL_INFO, "put-off", LOG_TEXT("envelope", id),
	    LOG_TEXT("what", f->class == LANE_SLIPS ? "slip" : "envelope"), LOG_TEXT("by", c->name),
	    LOG_ERR(why), LOG_NUM("wait-ms", wait_ms));
	lane_later(f->lane, f->class, f->ticket, now.mono_ms + wait_ms);
	tell_flight(c, f, why, now.utc_ms + wait_ms);
	land(f);
	conn_wake(c, now.mono_ms + wait_ms);
}

/* --- chunks that the other side pulls --- */

/* A chunk goes to who carries the lane of an envelope that lists it: nobody else. */
static bool
is_theirs(void *arg, const char *lane)
{
	const struct conn *c = arg;
	struct lane *l = queue_find(c->post->queue, lane);

	if (l == NULL)
		return false;
	if (lane_carrier(l) == c)
		return true;
	for (size_t i = 0; c->flights != NULL && i < WINDOW_ENVELOPES; i++) {
		if (c->flights[i].used && c->flights[i].lane == l)
			return true;
	}
	return false;
}

/* The envelopes on their way to C that list ROOT have gone a chunk further. */
static void
count_bytes(struct conn *c, const uint8_t *root, uint32_t index, size_t len)
{
	int64_t now_ms = loop_now(c->post->loop).mono_ms;

	for (size_t i = 0; c->flights != NULL && i < WINDOW_ENVELOPES; i++) {
		struct flight *f = &c->flights[i];
		for (size_t k = 0; f->used && k < f->part_count; k++) {
			if (memcmp(f->parts[k].root, root, DIGEST_BYTES) != 0)
				continue;
			if (f->bytes + len <= f->bytes_total)
				f->bytes += len;
			if (index == 0 || now_ms - f->told_ms >= TELL_EVERY_MS)
				tell_flight(c, f, OK, 0);
			break;
		}
	}
}

static void
serve_chunk(struct conn *c, const uint8_t *root, uint32_t index)
{
	CLEANUP(buffer_release) struct buffer data = { 0 };
	uint8_t path[MERKLE_PATH_MAX][DIGEST_BYTES];
	ProtobufCBinaryData path_pb[MERKLE_PATH_MAX];
	Citex__Chunk chunk = CITEX__CHUNK__INIT;
	struct event ev = { .type = EVENT_CHUNK_READ };
	size_t count = 0;
	enum err e =
	    spool_read_chunk(c->post->spool, root, index, is_theirs, c, &data, path, &count);

	ev.root = (struct bytes){ root, DIGEST_BYTES };
	ev.index = index;
	if (e == OK) {
		for (size_t i = 0; i < count; i++)
			path_pb[i] = pb_of_bytes(BYTES_OF(path[i]));
		chunk.root = pb_of_bytes(ev.root);
		chunk.index = index;
		chunk.n_path = count;
		chunk.path = path_pb;
		chunk.data = pb_of_bytes(buffer_bytes(&data));
		ev.chunk = &chunk;
		count_bytes(c, root, index, data.len);
	} else {
		log_event(LEVEL_WARNING, "no-chunk", LOG_TEXT("peer", c->name),
		    LOG_NUM("index", index), LOG_ERR(e));
	}
	conn_tell(c, &ev);
}

void
outgo_read_chunk(struct conn *c, const uint8_t root[DIGEST_BYTES], uint32_t index)
{
	if (!conn_is_full(c) && c->held_count == 0) {
		serve_chunk(c, root, index);
		return;
	}
	if (c->held_count == CHUNKS_IN_FLIGHT)
		return; /* the session lets no more in */
	memcpy(c->held[c->held_count].root, root, DIGEST_BYTES);
	c->held[c->held_count++].index = index;
}

void
outgo_drained(struct conn *c)
{
	while (!c->dead && c->held_count > 0 && !conn_is_full(c)) {
		struct held_chunk h = c->held[0];
		c->held_count--;
		memmove(&c->held[0], &c->held[1], c->held_count * sizeof(*c->held));
		serve_chunk(c, h.root, h.index);
	}
	outgo_pump(c);
}
