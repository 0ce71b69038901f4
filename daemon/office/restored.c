/* SPDX-License-Identifier: Apache-2.0 */
/* A node's spool is another one than before: it lost its disk, or went back to
 * a backup. What it acknowledged in the last KEEP_SEALED_AFTER_STORED_MS may be
 * gone there, so it is offered again; who has it still only answers again. A
 * few envelopes in one transaction, so that nobody waits for it. That node's
 * new spool is remembered with the last of them: a crash begins anew. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/office/inside.h"

#define BATCH_ENVELOPES 64

struct restoring {
	struct job job;
	struct office *office;
	struct directory *directory;
	char node[NODE_MAX_BYTES + 1];
	uint8_t incarnation[INCARNATION_BYTES];
	int64_t now_ms;
	struct id after;
	unsigned again; /* marked so far */
	bool done;
};

struct batch {
	struct id at[BATCH_ENVELOPES];
	size_t count;
};

static bool
gather(void *arg, struct id id)
{
	struct batch *b = arg;

	b->at[b->count++] = id;
	return b->count < BATCH_ENVELOPES;
}

/* Stored lately, not replaced by another sealing, and at an authority that is served by that node
 * now? */
static bool
is_concerned(const struct restoring *r, struct id envelope, const Citex__BookEnvelope *e,
    const Citex__BookAddressee *a)
{
	const struct directory_authority *there = directory_authority(r->directory, a->authority);

	return there != NULL && strcmp(there->node, r->node) == 0 && e->packed.len > 0 &&
	    bytes_equal(bytes_of_pb(a->envelope_id), id_bytes(&envelope)) && a->stored != 0 &&
	    r->now_ms - (int64_t)a->stored < KEEP_SEALED_AFTER_STORED_MS;
}

static enum err
mark_again(struct restoring *r, struct txn *t, struct id envelope)
{
	struct book *b = r->office->book;
	Citex__BookEnvelope *e = NULL;
	Citex__BookAddressee *a = NULL;
	struct id message;
	bool concerned;
	enum err err = book_envelope(b, t, envelope, &e);

	if (err == OK)
		err = id_from_bytes(bytes_of_pb(e->message), &message);
	if (err == OK)
		err = book_addressee(b, t, message, e->addressee, &a);
	concerned = err == OK && is_concerned(r, envelope, e, a);
	proto_wipe((ProtobufCMessage *)e);
	proto_wipe((ProtobufCMessage *)a);
	if (!concerned)
		return err;
	r->again++;
	err = book_mark(b, t, LIST_WAITING, envelope);
	return err == OK ? book_mark(b, t, LIST_UNSENT, envelope) : err;
}

static enum err
restoring_run(struct job *j, struct txn *t)
{
	struct restoring *r = (struct restoring *)j;
	struct book *b = r->office->book;
	uint8_t was[INCARNATION_BYTES];
	struct batch batch = { .count = 0 };
	enum err e = book_spool(b, t, r->node, was);

	r->done = true;
	if (e == ERR_NOT_FOUND) /* the first that is heard of it: there is nothing to lose */
		return book_put_spool(b, t, r->node, r->incarnation);
	if (e != OK || memcmp(was, r->incarnation, INCARNATION_BYTES) == 0)
		return e;
	e = book_each_envelope(b, t, r->after, gather, &batch);
	for (size_t i = 0; e == OK && i < batch.count; i++)
		e = mark_again(r, t, batch.at[i]);
	if (e != OK)
		return e;
	r->done = batch.count < BATCH_ENVELOPES;
	if (r->done)
		return book_put_spool(b, t, r->node, r->incarnation);
	r->after = batch.at[batch.count - 1];
	return OK;
}

static void
restoring_done(struct job *j, enum err result)
{
	struct restoring *r = (struct restoring *)j;
	struct office *o = r->office;

	if (result == OK && !r->done && !o->closing) {
		office_submit_job(o, &r->job);
		return;
	}
	if (result != OK)
		log_event(
		    LEVEL_ERROR, "not-offered-again", LOG_TEXT("node", r->node), LOG_ERR(result));
	else if (r->again > 0) {
		log_event(LEVEL_WARNING, "offered-again", LOG_TEXT("node", r->node),
		    LOG_NUM("envelopes", r->again));
		mail_reload(o);
	}
	directory_free(r->directory);
	free(r);
}

void
restored_spool(struct office *o, const Citex__Spool *spool)
{
	struct restoring *r;

	if (o->directory == NULL)
		return; /* no word of it is believed, nothing was sent */
	r = xalloc(sizeof(*r));
	*r = (struct restoring){ .job = { restoring_run, restoring_done, OK, NULL },
		.office = o,
		.directory = directory_ref(o->directory),
		.now_ms = loop_now(o->loop).utc_ms };
	(void)snprintf(r->node, sizeof(r->node), "%s", spool->node);
	memcpy(r->incarnation, spool->incarnation.data, INCARNATION_BYTES);
	office_submit_job(o, &r->job);
}
