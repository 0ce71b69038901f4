/* SPDX-License-Identifier: Apache-2.0 */
/* Taking mail: who may (route.c says), is the stamp good (a worker), is it on
 * disk whole (the spool). An offer is answered `taken' only then. What can't be
 * taken now is answered `later'; what never can be is taken, and a refusal goes
 * home instead of it. pulls.c gets the chunks that are missing, slips.c takes
 * slips. */
#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/post/inside.h"

/* Bytes between offer and commit; beyond it whoever offers is not read. */
#define UNDER_WAY_MAX_BYTES (4 * MIB)
#define ITEM_BYTES (2 * KIB) /* what an item costs beside its bytes */

struct intake {
	struct post *post;
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
	free(x);
}

int64_t
intake_wait_ms(const struct post *p, int64_t ms)
{
	int64_t most_ms = p->config.retry_max_ms > 0 ? p->config.retry_max_ms : RETRY_MAX_MS;

	return ms < most_ms ? ms : most_ms;
}

/* --- how much is under way --- */

void
intake_begin(struct errand *e, size_t bytes)
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

void
intake_finish(struct errand *e)
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

bool
intake_is_low(struct post *p)
{
	bool low = spool_is_low(p->spool);

	if (low && !p->intake->was_low) {
		log_event(LEVEL_ERROR, "store-low", LOG_TEXT("node", p->config.node));
		post_alarm(p, "store-low", "");
	}
	p->intake->was_low = low;
	return low;
}

void
intake_reject(struct errand *e, uint32_t number, const char *what, enum err why)
{
	struct conn *c = e->conn;

	log_event(LEVEL_WARNING, what, LOG_TEXT("peer", c->name), LOG_ERR(why));
	intake_finish(e);
	/* What a later version writes may be put off; garbage ends the conversation. */
	if (why == OK || why == ERR_VERSION)
		conn_answer(
		    c, number, why == OK ? ERR_LATER : why, intake_wait_ms(c->post, LATER_LONG_MS));
	else
		conn_close(c, why);
	errand_end(e);
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
	intake_finish(&x->errand);
	conn_answer(
	    c, x->offer, why, intake_wait_ms(c->post, ask ? LATER_ASKED_MS : LATER_LONG_MS));
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
	intake_finish(e);
	post_tell_news(p, &x->news);
	if (x->news.outcome == SPOOL_PARTIAL) {
		if (!c->dead)
			pulls_begin(c, x->offer, x->news.number);
	} else {
		c->received++;
		conn_answer(c, x->offer, OK, 0);
	}
	errand_end(e);
}

bool
intake_has(const struct post *p, struct id id)
{
	for (const struct errand *e = p->errands; e != NULL; e = e->next) {
		if (e->write == write_envelope &&
		    id_equal(((const struct envelope_errand *)e)->envelope.id, id))
			return true;
	}
	return false;
}

/* Past its end, or further ahead than anybody may go: ERR_LATER while a clock may be wrong. */
static enum err
check_times(const struct conn *c, const struct envelope_errand *x)
{
	int64_t expires_ms = (int64_t)x->envelope.outer->expires;
	bool sane = chores_clock_is_sane(c->post) && c->clock_off_ms <= CLOCK_JUMP_MS &&
	    c->clock_off_ms >= -CLOCK_JUMP_MS;

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
		intake_finish(&x->errand);
		conn_close(c, x->route.reason);
		errand_end(&x->errand);
		return;
	}
	if (x->route.verdict == VERDICT_LATER) {
		put_off(x, x->route.reason, x->route.ask);
		return;
	}
	times = check_times(c, x);
	if (times == ERR_LATER || intake_is_low(p) ||
	    (x->route.to[0] != '\0' && lane_is_full(p, x->route.to))) {
		put_off(x,
		    times == ERR_LATER     ? ERR_LATER
			: intake_is_low(p) ? ERR_STORE_FULL
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
	intake_begin(&x->errand, x->packed.len);
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
	intake_reject(&x->errand, number, "bad-envelope", e);
}
