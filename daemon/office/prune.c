/* SPDX-License-Identifier: Apache-2.0 */
/* Once a day: what was kept long enough goes. The sealed bytes of an envelope
 * whose addressee has had it for KEEP_SEALED_AFTER_STORED_MS: its outer fields
 * stay, for they are what the receipts prove. And what never arrived whole and
 * cannot any more. Messages, receipts, the log and what is in quarantine are
 * never touched: they go by an officer's order. */
#include <stdlib.h>
#include <string.h>

#include "daemon/office/inside.h"
#include "proto/decode.h"

/* A little of a round, in one transaction. */
struct pruning {
	struct job job;
	struct office *office;
	struct txn *txn;
	int64_t now_ms;
	enum { KEPT, AGED, ARRIVED } step;
	struct id kept; /* of LIST_KEPT, up to here */
	unsigned count; /* in this transaction */
	bool more;
	struct buffer gathered; /* ids of envelopes, or digests of arrivals */
	enum err err;
};

/* --- sealed bytes --- */

static bool
is_over(const struct pruning *p, struct id id, const Citex__BookEnvelope *e)
{
	struct book *b = p->office->book;

	return e->ended != 0 && p->now_ms - (int64_t)e->ended > KEEP_SEALED_AFTER_STORED_MS &&
	    !book_is_marked(b, p->txn, LIST_WAITING, id) &&
	    !book_is_marked(b, p->txn, LIST_UNSENT, id);
}

static enum err
drop_sealed(struct pruning *p, struct id id, Citex__BookEnvelope *e)
{
	struct envelope parsed;
	enum err err;

	if (e->packed.len == 0)
		return OK;
	err = envelope_parse(bytes_of_pb(e->packed), &parsed);
	if (err != OK)
		return err;
	set_bytes(&e->outer, bytes_of_pb(parsed.pb->outer));
	envelope_release(&parsed);
	free(e->packed.data);
	e->packed = (ProtobufCBinaryData){ 0, NULL };
	return book_put_envelope(p->office->book, p->txn, id, e);
}

static enum err
prune_envelope(struct pruning *p, struct id id, Citex__BookEnvelope *e)
{
	struct book *b = p->office->book;
	enum err err;

	if (!is_over(p, id, e))
		return book_mark(b, p->txn, LIST_KEPT, id);
	err = drop_sealed(p, id, e);
	return err == OK ? book_unmark(b, p->txn, LIST_KEPT, id) : err;
}

static bool
has_room(struct pruning *p)
{
	p->more = p->count == PRUNE_MAX;
	p->count++;
	return !p->more && p->err == OK;
}

/* One that was too young when its turn came, or waits still. */
static bool
look_at_kept(void *arg, struct id id)
{
	struct pruning *p = arg;

	if (!has_room(p))
		return false;
	buffer_add(&p->gathered, id_bytes(&id)); /* not changed under the walk */
	p->kept = id;
	return true;
}

/* Ids are in the order of sealing: behind the first that is too young all are. */
static bool
look_at_aged(void *arg, struct id id)
{
	struct pruning *p = arg;
	Citex__BookEnvelope *e = NULL;
	bool aged = false;

	if (!has_room(p))
		return false;
	p->err = book_envelope(p->office->book, p->txn, id, &e);
	/* a day more than kept, so that most are over when their turn comes */
	aged = p->err == OK &&
	    p->now_ms - (int64_t)e->sealed > KEEP_SEALED_AFTER_STORED_MS + PRUNE_ROUND_MS;
	if (aged)
		buffer_add(&p->gathered, id_bytes(&id));
	proto_free((ProtobufCMessage *)e);
	return aged;
}

/* Those gathered, one after the other. */
static enum err
prune_gathered(struct pruning *p)
{
	struct book *b = p->office->book;
	struct reader r = { buffer_bytes(&p->gathered), OK };
	enum err e = OK;
	struct id id = { { 0 } };

	while (e == OK && r.left.len > 0) {
		Citex__BookEnvelope *envelope = NULL;
		read_copy(&r, id.at, ID_BYTES);
		e = book_envelope(b, p->txn, id, &envelope);
		if (e == OK)
			e = prune_envelope(p, id, envelope);
		proto_free((ProtobufCMessage *)envelope);
	}
	if (e == OK && p->step == AGED && !id_is_zero(id))
		e = book_put_pruned(b, p->txn, id);
	return e;
}

/* --- what never arrived whole --- */

static bool
look_at_arrived(void *arg, const uint8_t digest[DIGEST_BYTES])
{
	struct pruning *p = arg;
	Citex__BookArrived *a = NULL;
	struct envelope e = { 0 };

	p->more = p->count == PRUNE_MAX;
	if (p->more || book_arrived(p->office->book, p->txn, digest, &a) != OK)
		return !p->more;
	/* nobody offers it any more, and no post remembers it */
	if (!a->complete && envelope_parse(bytes_of_pb(a->packed), &e) == OK &&
	    p->now_ms > (int64_t)e.outer->expires + REMEMBER_AFTER_EXPIRY_MS) {
		buffer_add(&p->gathered, (struct bytes){ digest, DIGEST_BYTES });
		p->count++;
	}
	envelope_release(&e);
	proto_free(&a->base);
	return true;
}

static enum err
drop_arrived(struct pruning *p)
{
	struct book *b = p->office->book;
	struct reader r = { buffer_bytes(&p->gathered), OK };
	enum err e = OK;

	while (e == OK && r.left.len > 0) {
		uint8_t digest[DIGEST_BYTES];
		Citex__BookArrived *a = NULL;
		read_copy(&r, digest, sizeof(digest));
		e = book_arrived(b, p->txn, digest, &a);
		if (e == OK)
			e = book_del_arrived(b, p->txn, digest);
		if (e == OK)
			e = sweep_orphan(p->office, p->txn, bytes_of_pb(a->packed));
		proto_free((ProtobufCMessage *)a);
	}
	return e;
}

/* --- a round --- */

static enum err
run_step(struct pruning *p)
{
	struct book *b = p->office->book;
	struct id pruned;
	enum err e;

	switch (p->step) {
	case KEPT:
		e = book_each_marked_after(b, p->txn, LIST_KEPT, p->kept, look_at_kept, p);
		break;
	case AGED:
		e = book_pruned(b, p->txn, &pruned);
		if (e == OK)
			e = book_each_envelope(b, p->txn, pruned, look_at_aged, p);
		break;
	default:
		e = book_each_arrived(b, p->txn, look_at_arrived, p);
		return e == OK ? drop_arrived(p) : e;
	}
	if (e == OK)
		e = p->err;
	return e == OK ? prune_gathered(p) : e;
}

static enum err
prune_run(struct job *j, struct txn *t)
{
	struct pruning *p = (struct pruning *)j;
	struct id kept = p->kept;
	enum err e;

	p->txn = t;
	p->count = 0;
	p->more = false;
	p->err = OK;
	buffer_clear(&p->gathered);
	e = run_step(p);
	if (e != OK)
		p->kept = kept;
	return e;
}

static void
prune_done(struct job *j, enum err result)
{
	struct pruning *p = (struct pruning *)j;
	struct office *o = p->office;

	if (result != OK) /* tomorrow again */
		log_event(LEVEL_WARNING, "not-pruned", LOG_ERR(result));
	else if (!p->more && p->step == ARRIVED)
		sweep_begin(o);
	if (result != OK || o->closing || (!p->more && p->step == ARRIVED)) {
		o->pruning = false;
		buffer_release(&p->gathered);
		free(p);
		return;
	}
	if (!p->more)
		p->step = p->step == KEPT ? AGED : ARRIVED;
	office_submit_job(o, &p->job);
}

void
prune_begin(struct office *o)
{
	struct pruning *p;

	if (o->pruning || o->closing)
		return;
	o->pruning = true;
	p = xalloc(sizeof(*p));
	*p = (struct pruning){ .job = { prune_run, prune_done, OK, NULL },
		.office = o,
		.now_ms = loop_now(o->loop).utc_ms };
	office_submit_job(o, &p->job);
}
