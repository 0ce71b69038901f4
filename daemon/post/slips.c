/* SPDX-License-Identifier: Apache-2.0 */
/* Taking slips: by whom they are signed (a worker), where they go (route.c), and
 * whether they end an envelope that waits here. One that nobody can use is
 * answered `taken', so that its sender is rid of it, and dropped. */
#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/post/inside.h"

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

	intake_finish(&x->errand);
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
	answer_slip(x, why, intake_wait_ms(c->post, ask ? LATER_ASKED_MS : LATER_LONG_MS));
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
		intake_finish(e);
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
slips_take_in(struct conn *c, uint32_t number, Citex__Frame *frame)
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
	intake_begin(&x->errand, x->packed.len);
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
	intake_reject(&x->errand, number, "bad-slip", e);
}
