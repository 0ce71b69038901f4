/* SPDX-License-Identifier: Apache-2.0 */
/* An envelope whose chunks are not all here keeps its offer open: a pull. Each
 * chunk is checked by a worker, committed as it comes, and asked for again only
 * when it never came. Two pulls of the same part share it; one connection at a
 * time is asked for it. */
#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/post/inside.h"
#include "pki/chunk.h"

#define AHEAD_MAX 64 /* chunks of a part that may be here or asked for beyond the first missing */

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

struct pulls {
	struct part *parts;
};

struct pulls *
pulls_new(void)
{
	return xalloc(sizeof(struct pulls));
}

void
pulls_free(struct pulls *x)
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

static struct part *
part_find(struct pulls *x, const struct spool_part *is)
{
	for (struct part *t = x->parts; t != NULL; t = t->link) {
		if (t->is.length == is->length && memcmp(t->is.root, is->root, DIGEST_BYTES) == 0)
			return t;
	}
	return NULL;
}

static struct part *
part_use(struct pulls *x, const struct spool_missing *m)
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
part_leave(struct pulls *x, struct part *t)
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
pull_free(struct pulls *x, struct pull *pull)
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
	pull_free(c->post->pulls, pull);
}

/* Let go of what C was asked for and no pull of C needs any more. */
static void
let_go(struct conn *c)
{
	for (struct part *t = c->post->pulls->parts; t != NULL; t = t->link) {
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
			pulls_pump(all[i]);
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
		conn_answer(c, offer, why, intake_wait_ms(c->post, LATER_LONG_MS));
		if (c->dead)
			return;
	}
	let_go(c);
	pump_all(c->post); /* others may have them */
}

void
pulls_gone(struct conn *c)
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
pulls_pump(struct conn *c)
{
	while (
	    !c->dead && !c->closing && c->ready && session_may_want(c->session) > 0 && want_one(c))
		;
}

/* Chunks are missing: keep the offer open and ask. */
void
pulls_begin(struct conn *c, uint32_t offer, uint64_t number)
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
		pull->parts[pull->part_count++] = part_use(c->post->pulls, &missing[i]);
	}
	if (whole) { /* the last chunk came while we looked: offered again, it is a duplicate */
		pull_free(c->post->pulls, pull);
		conn_answer(c, offer, ERR_LATER, RETRY_FIRST_MS);
		return;
	}
	pull->next = c->pulls;
	c->pulls = pull;
	pulls_pump(c);
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
	intake_finish(e);
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
	struct part *t = part_find(p->pulls, &x->part);
	uint32_t index = x->frame->chunk->index;

	intake_finish(e);
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
		pulls_pump(e->conn);
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
	for (struct part *t = c->post->pulls->parts; t != NULL; t = t->link) {
		if (t->source == c && bytes_equal(BYTES_OF(t->is.root), root) && index >= t->next &&
		    index - t->next < AHEAD_MAX && (t->asked >> (index - t->next) & 1) != 0)
			return t;
	}
	return NULL;
}

void
pulls_chunk(struct conn *c, Citex__Frame *frame)
{
	const Citex__Chunk *chunk = frame->chunk;
	struct part *t = part_of(c, bytes_of_pb(chunk->root), chunk->index);
	struct post *p = c->post;
	struct chunk_errand *x;

	if (t == NULL) { /* nobody needs it any more */
		proto_free(&frame->base);
		pulls_pump(c);
		return;
	}
	if (chunk->data.len == 0 || intake_is_low(p)) {
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
	intake_begin(&x->errand, frame->chunk->data.len);
	errand_compute(&x->errand);
	pulls_pump(c);
}

void
pulls_chunk_lost(struct conn *c, const uint8_t root[DIGEST_BYTES], uint32_t index)
{
	struct part *t = part_of(c, (struct bytes){ root, DIGEST_BYTES }, index);

	if (t != NULL)
		part_lacks(t, index);
	pulls_pump(c);
}
