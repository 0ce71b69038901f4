/* SPDX-License-Identifier: Apache-2.0 */
/* Taking mail: who may (route.c says), is the stamp good (a worker), is it on
 * disk whole (the spool). An offer is answered `taken' only then. What can't be
 * taken now is answered `later'; what never can be is taken, and a refusal goes
 * home instead of it.
 *
 * An envelope whose chunks are not all here keeps its offer open: a pull. Two
 * pulls of the same part share it; one connection at a time is asked for it. */
#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/post/inside.h"
#include "pki/chunk.h"

/* Bytes between offer and commit; beyond it whoever offers is not read. */
#define UNDER_WAY_MAX_BYTES (4 * MIB)
#define ITEM_BYTES (2 * KIB) /* what an item costs beside its bytes */
#define AHEAD_MAX 64 /* chunks of a part that may be here or asked for beyond the first missing */
#define LATER_LONG_MS (60 * SECOND_MS)
#define LATER_ASKED_MS (5 * SECOND_MS) /* the directory may be here by then */

/* A part that is being pulled. */
struct part {
	struct spool_part is;
	uint32_t count; /* chunks */
	uint32_t next; /* all below are on disk */
	uint64_t here; /* bit I: chunk NEXT + I is on disk */
	uint64_t asked; /* bit I: asked for, or on its way to the disk */
	struct conn *source; /* NULL: nobody is asked */
	unsigned users;
	struct part *link;
};

struct pull {
	uint32_t offer;
	uint64_t number; /* of the envelope in the spool */
	struct part *parts[ATTACHMENTS_MAX];
	size_t part_count;
	struct pull *next;
};

struct intake {
	struct post *post;
	struct part *parts;
	size_t under_way_bytes;
	bool was_low;
};

struct intake *
intake_new(struct post *p)
{
	struct intake *x = xalloc(sizeof(*x));

	x->post = p;
	return x;
}

void
intake_free(struct intake *x)
{
	if (x == NULL)
		return;
	while (x->parts != NULL) {
		struct part *gone = x->parts;
		x->parts = gone->link;
		free(gone);
	}
	free(x);
}

/* How long to wait before it is offered again: never longer than a peer would wait to dial. */
static int64_t
wait_ms(const struct post *p, int64_t ms)
{
	int64_t most_ms = p->config.retry_max_ms > 0 ? p->config.retry_max_ms : RETRY_MAX_MS;

	return ms < most_ms ? ms : most_ms;
}

/* --- how much is under way --- */

static void
begin(struct errand *e, size_t bytes)
{
	struct intake *x = e->post->intake;
	struct conn *c = e->conn;

	e->weight_bytes = bytes + ITEM_BYTES;
	x->under_way_bytes += e->weight_bytes;
	if (x->under_way_bytes < UNDER_WAY_MAX_BYTES || c->paused || c->link == NULL)
		return;
	c->paused = true;
	link_pause(c->link, true);
}

static void
finish(struct errand *e)
{
	struct intake *x = e->post->intake;
	bool was_much = x->under_way_bytes > UNDER_WAY_MAX_BYTES / 2;

	x->under_way_bytes -= e->weight_bytes;
	e->weight_bytes = 0;
	if (!was_much || x->under_way_bytes > UNDER_WAY_MAX_BYTES / 2)
		return;
	for (struct conn *c = e->post->conns; c != NULL; c = c->next) {
		if (c->paused && c->link != NULL) {
			c->paused = false;
			link_pause(c->link, false);
		}
	}
}

static bool
is_low(struct post *p)
{
	bool low = spool_is_low(p->spool);

	if (low && !p->intake->was_low) {
		log_event(LEVEL_ERROR, "store-low", LOG_TEXT("node", p->config.node));
		post_alarm(p, "store-low", "");
	}
	p->intake->was_low = low;
	return low;
}

/* --- pulls --- */

static struct part *
part_find(struct intake *x, const struct spool_part *is)
{
	for (struct part *t = x->parts; t != NULL; t = t->link) {
		if (t->is.length == is->length && memcmp(t->is.root, is->root, DIGEST_BYTES) == 0)
			return t;
	}
	return NULL;
}

static struct part *
part_use(struct intake *x, const struct spool_missing *m)
{
	struct part *t = part_find(x, &m->part);

	if (t == NULL) {
		t = xalloc(sizeof(*t));
		t->is = m->part;
		t->count = chunk_count(m->part.length);
		t->next = m->next;
		t->here = m->later;
		t->link = x->parts;
		x->parts = t;
	}
	t->users++;
	return t;
}

static void
part_leave(struct intake *x, struct part *t)
{
	struct part **at = &x->parts;

	if (--t->users > 0)
		return;
	while (*at != t)
		at = &(*at)->link;
	*at = t->link;
	free(t);
}

static void
pull_free(struct intake *x, struct pull *pull)
{
	for (size_t i = 0; i < pull->part_count; i++)
		part_leave(x, pull->parts[i]);
	free(pull);
}

/* End PULL of C, without a word to C. */
static void
pull_drop(struct conn *c, struct pull *pull)
{
	struct pull **at = &c->pulls;

	while (*at != pull)
		at = &(*at)->next;
	*at = pull->next;
	pull_free(c->post->intake, pull);
}

/* Let go of what C was asked for and no pull of C needs any more. */
static void
let_go(struct conn *c)
{
	for (struct part *t = c->post->intake->parts; t != NULL; t = t->link) {
		bool needed = false;
		for (struct pull *pull = c->pulls; pull != NULL; pull = pull->next) {
			for (size_t i = 0; i < pull->part_count; i++)
				needed = needed || pull->parts[i] == t;
		}
		if (t->source != c || (needed && !c->dead))
			continue;
		t->source = NULL;
		t->asked = 0;
	}
}

static void
pump_all(struct post *p)
{
	size_t count;
	struct conn **all = conns_hold(p, &count);

	for (size_t i = 0; i < count; i++) {
		if (all[i]->pulls != NULL)
			intake_pump(all[i]);
	}
	conns_let_go(all, count);
}

/* End the pulls of C of PART (NULL: all) with `later'. */
static void
put_off_pulls(struct conn *c, const struct part *part, enum err why)
{
	struct pull *next;

	for (struct pull *pull = c->pulls; pull != NULL; pull = next) {
		bool fits = part == NULL;
		uint32_t offer = pull->offer;
		next = pull->next;
		for (size_t i = 0; i < pull->part_count; i++)
			fits = fits || pull->parts[i] == part;
		if (!fits)
			continue;
		pull_drop(c, pull);
		conn_answer(c, offer, why, wait_ms(c->post, LATER_LONG_MS));
		if (c->dead)
			return;
	}
	let_go(c);
	pump_all(c->post); /* others may have them */
}

void
intake_gone(struct conn *c)
{
	bool had = c->pulls != NULL;

	while (c->pulls != NULL)
		pull_drop(c, c->pulls);
	let_go(c);
	if (c->paused)
		c->paused = false;
	if (had && !c->post->ending)
		pump_all(c->post);
}

static bool
find_wanted(struct conn *c, struct part *t, uint32_t *index)
{
	if (t->source != NULL && t->source != c)
		return false;
	for (uint32_t i = 0; i < AHEAD_MAX && t->next + i < t->count; i++) {
		if (((t->here | t->asked) >> i & 1) != 0)
			continue;
		t->source = c;
		t->asked |= 1ULL << i;
		*index = t->next + i;
		return true;
	}
	return false;
}

static bool
want_one(struct conn *c)
{
	for (struct pull *pull = c->pulls; pull != NULL; pull = pull->next) {
		for (size_t i = 0; i < pull->part_count; i++) {
			uint32_t index;
			if (!find_wanted(c, pull->parts[i], &index))
				continue;
			conn_tell(c,
			    &(struct event){
				.type = EVENT_WANT_CHUNK,
				.root = BYTES_OF(pull->parts[i]->is.root),
				.index = index,
			    });
			return true;
		}
	}
	return false;
}

void
intake_pump(struct conn *c)
{
	while (
	    !c->dead && !c->closing && c->ready && session_may_want(c->session) > 0 && want_one(c))
		;
}

/* Chunks are missing: keep the offer open and ask. */
static void
pull_begin(struct conn *c, uint32_t offer, uint64_t number)
{
	struct spool_missing missing[ATTACHMENTS_MAX];
	struct pull *pull;
	bool whole = true;
	size_t count = 0;
	enum err e = spool_missing(c->post->spool, number, missing, &count);

	if (e != OK) {
		conn_answer(c, offer, e == ERR_NOT_FOUND ? ERR_LATER : e, RETRY_FIRST_MS);
		return;
	}
	pull = xalloc(sizeof(*pull));
	pull->offer = offer;
	pull->number = number;
	for (size_t i = 0; i < count; i++) {
		if (missing[i].next >= chunk_count(missing[i].part.length))
			continue;
		whole = false;
		pull->parts[pull->part_count++] = part_use(c->post->intake, &missing[i]);
	}
	if (whole) { /* the last chunk came while we looked: offered again, it is a duplicate */
		pull_free(c->post->intake, pull);
		conn_answer(c, offer, ERR_LATER, RETRY_FIRST_MS);
		return;
	}
	pull->next = c->pulls;
	c->pulls = pull;
	intake_pump(c);
}

/* Envelope NUMBER is whole: all who offered it hear. */
static void
pull_done(struct post *p, uint64_t number)
{
	size_t count;
	struct conn **all = conns_hold(p, &count);

	for (size_t i = 0; i < count; i++) {
		struct conn *c = all[i];
		struct pull *next;
		for (struct pull *pull = c->pulls; pull != NULL && !c->dead; pull = next) {
			uint32_t offer = pull->offer;
			next = pull->next;
			if (pull->number != number)
				continue;
			pull_drop(c, pull);
			let_go(c);
			c->received++;
			conn_answer(c, offer, OK, 0);
		}
	}
	conns_let_go(all, count);
}

/* --- chunks --- */

struct chunk_errand {
	struct errand errand;
	Citex__Frame *frame;
	struct spool_part part;
	enum err checked;
	struct now now;
	uint64_t directory;
	struct bytes path[MERKLE_PATH_MAX];
	struct spool_news news;
};

static void
check_chunk(struct errand *e)
{
	struct chunk_errand *x = (struct chunk_errand *)e;
	const Citex__Chunk *c = x->frame->chunk;
	Citex__Part part = CITEX__PART__INIT;

	part.root = pb_of_bytes(BYTES_OF(x->part.root));
	part.length = x->part.length;
	for (size_t i = 0; i < c->n_path; i++)
		x->path[i] = bytes_of_pb(c->path[i]);
	x->checked = chunk_check(&part, c->index, bytes_of_pb(c->data), x->path, c->n_path);
}

static void
checked_chunk(struct errand *e)
{
	struct chunk_errand *x = (struct chunk_errand *)e;
	struct conn *c = e->conn;

	if (x->checked == OK) {
		errand_commit(e);
		return;
	}
	log_event(LEVEL_WARNING, "bad-chunk", LOG_TEXT("peer", c->name),
	    LOG_NUM("index", x->frame->chunk->index), LOG_ERR(x->checked));
	conn_close(c, x->checked);
	finish(e);
	errand_end(e);
}

static enum err
write_chunk(struct errand *e, struct txn *t)
{
	struct chunk_errand *x = (struct chunk_errand *)e;
	const Citex__Chunk *c = x->frame->chunk;

	return spool_chunk(e->post->spool, t,
	    &(struct spool_chunk){
		.root = x->part.root,
		.length = x->part.length,
		.index = c->index,
		.path = x->path,
		.path_count = c->n_path,
		.data = bytes_of_pb(c->data),
		.now_ms = x->now.utc_ms,
		.directory = x->directory,
	    },
	    &x->news);
}

static void
part_has(struct part *t, uint32_t index)
{
	if (index < t->next || index - t->next >= AHEAD_MAX)
		return;
	t->here |= 1ULL << (index - t->next);
	t->asked &= ~(1ULL << (index - t->next));
	while ((t->here & 1) != 0) {
		t->next++;
		t->here >>= 1;
		t->asked >>= 1;
	}
}

static void
part_lacks(struct part *t, uint32_t index)
{
	if (index >= t->next && index - t->next < AHEAD_MAX)
		t->asked &= ~(1ULL << (index - t->next));
}

static void
wrote_chunk(struct errand *e, enum err result)
{
	struct chunk_errand *x = (struct chunk_errand *)e;
	struct post *p = e->post;
	struct part *t = part_find(p->intake, &x->part);
	uint32_t index = x->frame->chunk->index;

	finish(e);
	if (result == OK) {
		if (t != NULL)
			part_has(t, index);
		post_tell_news(p, &x->news);
		for (size_t i = 0; i < x->news.count; i++) {
			if (x->news.at[i].added && x->news.at[i].number != 0)
				pull_done(p, x->news.at[i].number);
		}
	} else if (t != NULL) {
		part_lacks(t, index);
		if (!e->conn->dead)
			put_off_pulls(e->conn, t, result == ERR_NOT_FOUND ? ERR_LATER : result);
	}
	if (!e->conn->dead)
		intake_pump(e->conn);
	errand_end(e);
}

static void
release_chunk(struct errand *e)
{
	struct chunk_errand *x = (struct chunk_errand *)e;

	proto_free((ProtobufCMessage *)x->frame);
	spool_news_release(&x->news);
}

/* The part that C was asked for; NULL: none. */
static struct part *
part_of(struct conn *c, struct bytes root, uint32_t index)
{
	for (struct part *t = c->post->intake->parts; t != NULL; t = t->link) {
		if (t->source == c && bytes_equal(BYTES_OF(t->is.root), root) && index >= t->next &&
		    index - t->next < AHEAD_MAX && (t->asked >> (index - t->next) & 1) != 0)
			return t;
	}
	return NULL;
}

void
intake_chunk(struct conn *c, Citex__Frame *frame)
{
	const Citex__Chunk *chunk = frame->chunk;
	struct part *t = part_of(c, bytes_of_pb(chunk->root), chunk->index);
	struct post *p = c->post;
	struct chunk_errand *x;

	if (t == NULL) { /* nobody needs it any more */
		proto_free(&frame->base);
		intake_pump(c);
		return;
	}
	if (chunk->data.len == 0 || is_low(p)) {
		enum err why = chunk->data.len == 0 ? ERR_NOT_FOUND : ERR_STORE_FULL;
		log_event(LEVEL_WARNING, "chunk-missed", LOG_TEXT("peer", c->name),
		    LOG_NUM("index", chunk->index), LOG_ERR(why));
		part_lacks(t, chunk->index);
		put_off_pulls(c, t, why);
		proto_free(&frame->base);
		return;
	}
	x = errand_new(p, c, sizeof(*x));
	x->errand.compute = check_chunk;
	x->errand.computed = checked_chunk;
	x->errand.write = write_chunk;
	x->errand.written = wrote_chunk;
	x->errand.release = release_chunk;
	x->frame = frame;
	x->part = t->is;
	x->now = loop_now(p->loop);
	x->directory = p->self.directory;
	begin(&x->errand, frame->chunk->data.len);
	errand_compute(&x->errand);
	intake_pump(c);
}

void
intake_chunk_lost(struct conn *c, const uint8_t root[DIGEST_BYTES], uint32_t index)
{
	struct part *t = part_of(c, (struct bytes){ root, DIGEST_BYTES }, index);

	if (t != NULL)
		part_lacks(t, index);
	intake_pump(c);
}

/* --- envelopes --- */

struct envelope_errand {
	struct errand errand;
	struct envelope envelope;
	struct buffer packed;
	uint32_t offer;
	struct route route;
	struct directory *directory;
	struct now now;
	enum err stamp;
	bool forget;
	char from[LANE_NAME_BYTES];
	struct spool_news news;
};

static void
log_envelope(enum log_level level, const char *event, const struct conn *c,
    const struct envelope *envelope, enum err why)
{
	char id[ID_TEXT_BYTES];

	id_print(envelope->id, id);
	log_event(level, event, LOG_TEXT("envelope", id),
	    LOG_TEXT("author", envelope->outer->author),
	    LOG_TEXT("addressee", envelope->outer->addressee), LOG_TEXT("peer", c->name),
	    LOG_ERR(why));
}

static void
release_envelope(struct errand *e)
{
	struct envelope_errand *x = (struct envelope_errand *)e;

	envelope_release(&x->envelope);
	buffer_release(&x->packed);
	directory_free(x->directory);
	spool_news_release(&x->news);
}

static void
put_off(struct envelope_errand *x, enum err why, bool ask)
{
	struct conn *c = x->errand.conn;

	log_envelope(LEVEL_INFO, "later", c, &x->envelope, why);
	if (ask)
		lookout_ask(c->post, c->kind == CONN_PEER ? c : NULL);
	finish(&x->errand);
	conn_answer(c, x->offer, why, wait_ms(c->post, ask ? LATER_ASKED_MS : LATER_LONG_MS));
	errand_end(&x->errand);
}

static void
check_stamp(struct errand *e)
{
	struct envelope_errand *x = (struct envelope_errand *)e;

	x->stamp = stamp_verify(&e->post->cache, x->directory, &x->envelope, x->now.utc_ms);
}

static void
refuse(struct envelope_errand *x, enum err why, const char *words, bool forget)
{
	x->route.slip = CITEX__SLIP_TYPE__SLIP_REFUSED;
	x->route.reason = why;
	x->route.words = words;
	x->route.to[0] = '\0';
	x->forget = forget;
}

/* The stamp is judged. Only what its author has stamped is worth a word to the author, but for a
 * bad stamp itself: the author's own node or relay brought it. */
static void
checked_stamp(struct errand *e)
{
	struct envelope_errand *x = (struct envelope_errand *)e;

	switch (x->stamp) {
	case OK:
		break;
	case ERR_UNKNOWN_KEY:
	case ERR_UNKNOWN_AUTHORITY:
		put_off(x, x->stamp, true);
		return;
	case ERR_NOT_YET:
		put_off(x, x->stamp, false);
		return;
	default:
		log_envelope(LEVEL_WARNING, "bad-stamp", e->conn, &x->envelope, x->stamp);
		refuse(x, x->stamp, "the stamp is not good", true);
		break;
	}
	errand_commit(e);
}

static enum err
write_envelope(struct errand *e, struct txn *t)
{
	struct envelope_errand *x = (struct envelope_errand *)e;
	struct spool_arrival a = {
		.envelope = &x->envelope,
		.packed = buffer_bytes(&x->packed),
		.from = x->from,
		.to = x->route.to,
		.home = x->route.home,
		.slip = x->route.slip,
		.reason = x->route.reason,
		.words = x->route.words,
		.forget = x->forget,
		.now_ms = x->now.utc_ms,
		.directory = x->directory != NULL ? directory_number(x->directory) : 0,
	};

	return spool_accept(e->post->spool, t, &a, &x->news);
}

static void
wrote_envelope(struct errand *e, enum err result)
{
	struct envelope_errand *x = (struct envelope_errand *)e;
	struct post *p = e->post;
	struct conn *c = e->conn;

	if (result == ERR_CONFLICT && x->route.slip != CITEX__SLIP_TYPE__SLIP_REFUSED) {
		log_envelope(LEVEL_ERROR, "conflict", c, &x->envelope, result);
		post_alarm(p, "conflict", "");
		refuse(x, ERR_CONFLICT, "this envelope id was used for another envelope", false);
		errand_commit(e);
		return;
	}
	if (result != OK) {
		put_off(x, result, false);
		return;
	}
	log_envelope(LEVEL_INFO,
	    x->news.outcome == SPOOL_PARTIAL ? "waits-for-chunks"
		: x->news.duplicate          ? "duplicate"
		: x->route.to[0] == '\0'     ? "turned-away"
					     : "in-custody",
	    c, &x->envelope, x->route.reason);
	finish(e);
	post_tell_news(p, &x->news);
	if (x->news.outcome == SPOOL_PARTIAL) {
		if (!c->dead)
			pull_begin(c, x->offer, x->news.number);
	} else {
		c->received++;
		conn_answer(c, x->offer, OK, 0);
	}
	errand_end(e);
}

/* Past its end, or further ahead than anybody may go: ERR_LATER while a clock may be wrong. */
static enum err
check_times(const struct conn *c, const struct envelope_errand *x)
{
	int64_t expires_ms = (int64_t)x->envelope.outer->expires;
	bool sane = chores_clock_is_sane(c->post) && c->clock_off_ms < CLOCK_JUMP_MS &&
	    c->clock_off_ms > -CLOCK_JUMP_MS;

	if (expires_ms > x->now.utc_ms + EXPIRES_AHEAD_MAX_MS)
		return ERR_LATER;
	if (expires_ms > x->now.utc_ms)
		return OK;
	return sane ? ERR_EXPIRED : ERR_LATER;
}

static bool
lane_is_full(const struct post *p, const char *name)
{
	const struct lane *l = queue_find(p->queue, name);
	uint64_t most =
	    p->config.queue_peer_max > 0 ? p->config.queue_peer_max : QUEUE_PEER_MAX_ENVELOPES;

	return l != NULL && lane_count(l, LANE_URGENT) + lane_count(l, LANE_ROUTINE) >= most;
}

/* Decide what to do with it, before anything is computed. */
static void
judge(struct envelope_errand *x)
{
	struct conn *c = x->errand.conn;
	struct post *p = c->post;
	struct route_self self = post_route_self(p);
	struct route_from from = conn_from(c);
	enum err times;

	route_envelope(&self, &from, &x->envelope, &x->route);
	if (x->route.verdict == VERDICT_BREAK) {
		log_envelope(LEVEL_WARNING, "impostor", c, &x->envelope, x->route.reason);
		finish(&x->errand);
		conn_close(c, x->route.reason);
		errand_end(&x->errand);
		return;
	}
	if (x->route.verdict == VERDICT_LATER) {
		put_off(x, x->route.reason, x->route.ask);
		return;
	}
	times = check_times(c, x);
	if (times == ERR_LATER || is_low(p) ||
	    (x->route.to[0] != '\0' && lane_is_full(p, x->route.to))) {
		put_off(x,
		    times == ERR_LATER ? ERR_LATER
			: is_low(p)    ? ERR_STORE_FULL
				       : ERR_QUEUE_FULL,
		    false);
		return;
	}
	if (x->route.verdict == VERDICT_REFUSE)
		refuse(x, x->route.reason, x->route.words, false);
	if (times == ERR_EXPIRED) {
		refuse(x, ERR_EXPIRED, "its time had run out when it came", false);
		x->route.slip = CITEX__SLIP_TYPE__SLIP_EXPIRED;
	}
	errand_compute(&x->errand);
}

void
intake_envelope(struct conn *c, uint32_t number, Citex__Frame *frame)
{
	struct envelope_errand *x = errand_new(c->post, c, sizeof(*x));
	enum err e;

	x->errand.compute = check_stamp;
	x->errand.computed = checked_stamp;
	x->errand.write = write_envelope;
	x->errand.written = wrote_envelope;
	x->errand.release = release_envelope;
	x->offer = number;
	x->now = loop_now(c->post->loop);
	proto_pack(&frame->offer->envelope->base, &x->packed);
	begin(&x->errand, x->packed.len);
	e = envelope_take(frame->offer->envelope, &x->envelope);
	if (e == OK)
		frame->offer->envelope = NULL;
	proto_free(&frame->base);
	if (e == OK)
		e = buffer_status(&x->packed);
	if (e == OK && c->post->directory != NULL) {
		x->directory = directory_ref(c->post->directory);
		(void)!lane_name_make(
		    c->kind == CONN_OFFICE ? LANE_OFFICE : LANE_NODE, c->name, x->from);
		judge(x);
		return;
	}
	log_event(LEVEL_WARNING, "bad-envelope", LOG_TEXT("peer", c->name), LOG_ERR(e));
	finish(&x->errand);
	/* What a later version writes may be put off; garbage ends the conversation. */
	if (e == OK || e == ERR_VERSION)
		conn_answer(c, number, e == OK ? ERR_LATER : e, wait_ms(c->post, LATER_LONG_MS));
	else
		conn_close(c, e);
	errand_end(&x->errand);
}

/* --- slips --- */

struct slip_errand {
	struct errand errand;
	struct slip slip;
	struct buffer packed;
	uint32_t offer;
	struct route route;
	struct directory *directory;
	struct now now;
	enum err proof;
	bool ends, remember;
	struct spool_news news;
};

static void
log_slip(enum log_level level, const char *event, const struct conn *c, const struct slip *s,
    enum err why)
{
	static const char *const types[] = { "none", "relayed", "stored", "opened", "seen",
		"refused", "expired" };
	char id[ID_TEXT_BYTES];

	id_print(s->envelope_id, id);
	log_event(level, event, LOG_TEXT("envelope", id), LOG_TEXT("slip", types[s->body->type]),
	    LOG_TEXT("maker", s->body->maker), LOG_TEXT("to", s->body->to),
	    LOG_TEXT("peer", c->name), LOG_ERR(why));
}

static void
release_slip(struct errand *e)
{
	struct slip_errand *x = (struct slip_errand *)e;

	slip_release(&x->slip);
	buffer_release(&x->packed);
	directory_free(x->directory);
	spool_news_release(&x->news);
}

static void
answer_slip(struct slip_errand *x, enum err result, int64_t wait)
{
	struct conn *c = x->errand.conn;

	finish(&x->errand);
	if (result == OK)
		c->received++;
	conn_answer(c, x->offer, result, wait);
	errand_end(&x->errand);
}

static void
put_off_slip(struct slip_errand *x, enum err why, bool ask)
{
	struct conn *c = x->errand.conn;

	log_slip(LEVEL_INFO, "later", c, &x->slip, why);
	if (ask)
		lookout_ask(c->post, c->kind == CONN_PEER ? c : NULL);
	answer_slip(x, why, wait_ms(c->post, ask ? LATER_ASKED_MS : LATER_LONG_MS));
}

/* Answered, so that its sender is rid of it; but nobody else hears it. */
static void
drop_slip(struct slip_errand *x, enum err why)
{
	log_slip(LEVEL_WARNING, "slip-dropped", x->errand.conn, &x->slip, why);
	answer_slip(x, OK, 0);
}

static void
check_slip(struct errand *e)
{
	struct slip_errand *x = (struct slip_errand *)e;

	x->proof = slip_verify(&e->post->cache, x->directory, &x->slip);
}

/* Does the slip end an envelope that waits here? */
static bool
ends_ours(struct post *p, const struct slip_errand *x)
{
	CLEANUP(buffer_release) struct buffer packed = { 0 };
	struct envelope envelope;
	char lane[LANE_NAME_BYTES];
	Citex__SlipType type = x->slip.body->type;
	bool fits;

	if (type == CITEX__SLIP_TYPE__SLIP_RELAYED || type == CITEX__SLIP_TYPE__SLIP_SEEN)
		return false;
	if (spool_find(p->spool, x->slip.envelope_id, x->slip.body->outer_digest.data, lane,
		&packed) != OK ||
	    lane[0] != LANE_NODE || envelope_parse(buffer_bytes(&packed), &envelope) != OK)
		return false;
	fits = slip_fits(x->directory, &x->slip, &envelope) == OK;
	envelope_release(&envelope);
	return fits;
}

static void
checked_slip(struct errand *e)
{
	struct slip_errand *x = (struct slip_errand *)e;
	struct post *p = e->post;
	struct route_self self = post_route_self(p);
	struct route_from from = conn_from(e->conn);
	Citex__SlipType type = x->slip.body->type;

	if (x->proof == ERR_UNKNOWN_KEY) {
		put_off_slip(x, x->proof, true);
		return;
	}
	if (x->proof != OK) {
		drop_slip(x, x->proof);
		return;
	}
	route_slip(&self, &from, &x->slip, &x->route);
	if (x->route.verdict == VERDICT_BREAK) {
		log_slip(LEVEL_WARNING, "impostor", e->conn, &x->slip, x->route.reason);
		finish(e);
		conn_close(e->conn, x->route.reason);
		errand_end(e);
		return;
	}
	if (x->route.verdict == VERDICT_LATER) {
		put_off_slip(x, x->route.reason, x->route.ask);
		return;
	}
	if (x->route.verdict == VERDICT_REFUSE) {
		drop_slip(x, x->route.reason);
		return;
	}
	x->ends = ends_ours(p, x);
	x->remember = e->conn->kind == CONN_OFFICE &&
	    (type == CITEX__SLIP_TYPE__SLIP_OPENED || type == CITEX__SLIP_TYPE__SLIP_REFUSED);
	errand_commit(e);
}

static enum err
write_slip(struct errand *e, struct txn *t)
{
	struct slip_errand *x = (struct slip_errand *)e;

	return spool_slip(e->post->spool, t,
	    &(struct spool_slip){
		.slip = &x->slip,
		.packed = buffer_bytes(&x->packed),
		.lane = x->route.to,
		.ends = x->ends,
		.remember = x->remember,
		.now_ms = x->now.utc_ms,
	    },
	    &x->news);
}

static void
wrote_slip(struct errand *e, enum err result)
{
	struct slip_errand *x = (struct slip_errand *)e;

	if (result != OK) {
		put_off_slip(x, result, false);
		return;
	}
	log_slip(LEVEL_INFO, "slip-taken", e->conn, &x->slip, OK);
	post_tell_news(e->post, &x->news);
	if (x->ends)
		chores_sweep(e->post);
	answer_slip(x, OK, 0);
}

void
intake_slip(struct conn *c, uint32_t number, Citex__Frame *frame)
{
	struct slip_errand *x = errand_new(c->post, c, sizeof(*x));
	enum err e;

	x->errand.compute = check_slip;
	x->errand.computed = checked_slip;
	x->errand.write = write_slip;
	x->errand.written = wrote_slip;
	x->errand.release = release_slip;
	x->offer = number;
	x->now = loop_now(c->post->loop);
	proto_pack(&frame->offer->slip->base, &x->packed);
	begin(&x->errand, x->packed.len);
	e = slip_take(frame->offer->slip, &x->slip);
	if (e == OK)
		frame->offer->slip = NULL;
	proto_free(&frame->base);
	if (e == OK)
		e = buffer_status(&x->packed);
	if (e == OK && c->post->directory != NULL) {
		x->directory = directory_ref(c->post->directory);
		errand_compute(&x->errand);
		return;
	}
	log_event(LEVEL_WARNING, "bad-slip", LOG_TEXT("peer", c->name), LOG_ERR(e));
	finish(&x->errand);
	if (e == OK || e == ERR_VERSION)
		conn_answer(c, number, e == OK ? ERR_LATER : e, wait_ms(c->post, LATER_LONG_MS));
	else
		conn_close(c, e);
	errand_end(&x->errand);
}
