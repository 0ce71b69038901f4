/* SPDX-License-Identifier: Apache-2.0 */
/* Deletes chunks that nobody needs: a few in one transaction, so that nobody
 * waits for it, and on until none is left. What is to go stands in LIST_ORPHANS;
 * whoever needs it after all takes it off that list first. */
#include <stdlib.h>
#include <string.h>

#include "daemon/office/inside.h"
#include "proto/decode.h"

struct sweeping {
	struct job job;
	struct office *office;
	bool found;
};

struct finding {
	struct id id;
	bool found;
};

static bool
take_first(void *arg, struct id id)
{
	*(struct finding *)arg = (struct finding){ id, true };
	return false;
}

static enum err
sweep_run(struct job *j, struct txn *t)
{
	struct sweeping *s = (struct sweeping *)j;
	struct book *b = s->office->book;
	struct finding f = { .found = false };
	bool left = false;
	enum err e = book_each_marked(b, t, LIST_ORPHANS, take_first, &f);

	s->found = f.found;
	if (e == OK && f.found)
		e = book_del_chunks(b, t, f.id, SWEEP_CHUNKS_MAX, &left);
	return e == OK && f.found && !left ? book_unmark(b, t, LIST_ORPHANS, f.id) : e;
}

static void
sweep_done(struct job *j, enum err result)
{
	struct sweeping *s = (struct sweeping *)j;
	struct office *o = s->office;

	o->sweeping = false;
	if (result != OK) /* the watchman begins again */
		log_event(LEVEL_WARNING, "not-swept", LOG_ERR(result));
	else if (s->found)
		sweep_begin(o);
	free(s);
}

void
sweep_begin(struct office *o)
{
	struct sweeping *s;

	if (o->sweeping || o->closing)
		return;
	o->sweeping = true;
	s = xalloc(sizeof(*s));
	*s = (struct sweeping){ .job = { sweep_run, sweep_done, OK, NULL }, .office = o };
	office_submit_job(o, &s->job);
}

/* --- what is an orphan --- */

/* Does any envelope here list ROOT? */
struct search {
	struct office *office;
	struct txn *txn;
	struct bytes root;
	bool found;
};

static void
look_in(struct search *s, ProtobufCBinaryData packed)
{
	struct envelope e;

	if (envelope_parse(bytes_of_pb(packed), &e) != OK)
		return;
	for (size_t i = 0; i < e.outer->n_parts; i++)
		s->found = s->found || bytes_equal(bytes_of_pb(e.outer->parts[i]->root), s->root);
	envelope_release(&e);
}

static bool
look_in_arrived(void *arg, const uint8_t digest[DIGEST_BYTES])
{
	struct search *s = arg;
	Citex__BookArrived *a = NULL;

	if (book_arrived(s->office->book, s->txn, digest, &a) == OK)
		look_in(s, a->packed);
	proto_free((ProtobufCMessage *)a);
	return !s->found;
}

static bool
look_in_quarantined(void *arg, struct id envelope, const Citex__BookQuarantined *q)
{
	struct search *s = arg;

	(void)envelope;
	look_in(s, q->packed);
	return !s->found;
}

static struct id
handle_of(const Citex__Part *p)
{
	struct id handle;

	memcpy(handle.at, p->root.data, ID_BYTES);
	return handle;
}

static enum err
orphan_part(struct office *o, struct txn *t, const Citex__Part *p)
{
	struct search s = { o, t, bytes_of_pb(p->root),
		book_has_root(o->book, t, bytes_of_pb(p->root)) };
	enum err e = OK;

	if (!s.found)
		e = book_each_arrived(o->book, t, look_in_arrived, &s);
	if (e == OK && !s.found)
		e = book_each_quarantined(o->book, t, look_in_quarantined, &s);
	return e == OK && !s.found ? book_mark(o->book, t, LIST_ORPHANS, handle_of(p)) : e;
}

enum err
sweep_orphan(struct office *o, struct txn *t, struct bytes packed)
{
	struct envelope envelope;
	enum err e = OK;

	if (envelope_parse(packed, &envelope) != OK)
		return OK;
	for (size_t i = 0; e == OK && i < envelope.outer->n_parts; i++)
		e = orphan_part(o, t, envelope.outer->parts[i]);
	envelope_release(&envelope);
	return e;
}

enum err
sweep_spare(struct office *o, struct txn *t, const Citex__Outer *outer)
{
	enum err e = OK;

	for (size_t i = 0; e == OK && i < outer->n_parts; i++)
		e = book_unmark(o->book, t, LIST_ORPHANS, handle_of(outer->parts[i]));
	return e;
}
