/* SPDX-License-Identifier: Apache-2.0 */
/* Attachments on their way from officers: each piece is sealed as it comes and
 * is on disk before it is answered. What never gets a message is swept. */
#include <stdlib.h>
#include <string.h>

#include "daemon/office/inside.h"
#include "pki/ossl.h"

/* --- attachments from officers --- */

static void
upload_free(struct upload *u)
{
	uint8_t unused[DIGEST_BYTES];

	if (u->running != NULL)
		sha256_end(u->running, unused);
	merkle_free(u->leaves);
	explicit_bzero(u->key, sizeof(u->key));
	free(u->name);
	free(u->media_type);
	free(u);
}

void
upload_forget(struct office *o, struct id handle)
{
	for (size_t i = 0; i < UPLOADS_MAX; i++) {
		if (o->uploads[i] != NULL && id_equal(o->uploads[i]->handle, handle)) {
			upload_free(o->uploads[i]);
			o->uploads[i] = NULL;
		}
	}
}

struct upload *
upload_find(struct office *o, struct bytes handle)
{
	for (size_t i = 0; i < UPLOADS_MAX; i++) {
		if (o->uploads[i] != NULL && bytes_equal(id_bytes(&o->uploads[i]->handle), handle))
			return o->uploads[i];
	}
	return NULL;
}

/* Queued after whatever takes up the handle: a submission that has come before it wins. */
struct giving_up {
	struct job job;
	struct office *office;
	struct id handle;
};

static enum err
orphan(struct book *b, struct txn *t, struct id handle)
{
	enum err e = book_unmark(b, t, LIST_UPLOADS, handle);

	return e == OK ? book_mark(b, t, LIST_ORPHANS, handle) : e;
}

static enum err
give_up_run(struct job *j, struct txn *t)
{
	struct giving_up *g = (struct giving_up *)j;
	struct book *b = g->office->book;

	return book_is_marked(b, t, LIST_UPLOADS, g->handle) ? orphan(b, t, g->handle) : OK;
}

static void
give_up_done(struct job *j, enum err result)
{
	struct giving_up *g = (struct giving_up *)j;

	if (result != OK) /* it stays among the uploads: the next process sweeps it */
		log_event(LEVEL_WARNING, "uploads-not-cleaned", LOG_ERR(result));
	else
		sweep_begin(g->office);
	free(g);
}

void
upload_give_up(struct office *o, struct id handle)
{
	struct giving_up *g = xalloc(sizeof(*g));

	upload_forget(o, handle);
	*g = (struct giving_up){ { give_up_run, give_up_done, OK, NULL }, o, handle };
	office_submit_job(o, &g->job);
}

void
office_visit_ended(struct office *o, uint64_t visit)
{
	for (size_t i = 0; i < UPLOADS_MAX && !o->closing; i++) {
		struct upload *u = o->uploads[i];
		if (u == NULL || u->visit != visit)
			continue;
		if (u->busy)
			u->given_up = true;
		else
			upload_give_up(o, u->handle);
	}
}

static struct upload *
new_upload(struct office *o, uint64_t visit, const Citex__Put *p)
{
	size_t i = 0;
	struct upload *u;

	while (i < UPLOADS_MAX && o->uploads[i] != NULL)
		i++;
	if (i == UPLOADS_MAX)
		return NULL;
	u = o->uploads[i] = xalloc(sizeof(*u));
	memcpy(u->handle.at, p->handle.data, ID_BYTES);
	u->name = xstrdup(p->name);
	u->media_type = xstrdup(p->media_type);
	u->visit = visit;
	u->length = p->length;
	u->count = chunk_count(sealed_length_of(p->length));
	u->running = sha256_new();
	u->leaves = merkle_new();
	random_bytes(u->key, sizeof(u->key));
	return u;
}

struct put_job {
	struct job job;
	struct office *office;
	struct upload *upload;
	struct id handle;
	uint32_t index;
	struct buffer sealed;
	office_done *done;
	void *arg;
};

static enum err
put_run(struct job *j, struct txn *t)
{
	struct put_job *p = (struct put_job *)j;
	enum err e = store_is_low(p->office->store) ? ERR_STORE_FULL : OK;

	if (e == OK && p->index == 0)
		e = book_mark(p->office->book, t, LIST_UPLOADS, p->handle);
	return e == OK
	    ? book_put_chunk(p->office->book, t, p->handle, p->index, buffer_bytes(&p->sealed))
	    : e;
}

static void
put_done(struct job *j, enum err result)
{
	struct put_job *p = (struct put_job *)j;
	struct upload *u = p->upload;

	u->busy = false;
	if (result == OK && ++u->next == u->count) {
		sha256_end(u->running, u->digest);
		u->running = NULL;
	}
	/* before it is told: the answer may bring the next piece */
	if (result != OK || u->given_up)
		upload_give_up(p->office, p->handle);
	p->done(p->arg, result,
	    result == ERR_STORE_FULL
		? "the disk of this office is nearly full: the attachment does not fit"
		: "");
	buffer_release(&p->sealed);
	free(p);
}

/* Chunks under a handle belong to what was sent with it: never written over. */
static bool
is_used_handle(struct office *o, struct bytes handle)
{
	CLEANUP(store_end_drop) struct txn *t = NULL;
	struct id id;

	return id_from_bytes(handle, &id) != OK || store_read(o->store, &t) != OK ||
	    book_has_chunk(o->book, t, id, 0) || book_is_marked(o->book, t, LIST_ORPHANS, id);
}

static enum err
check_put(
    struct office *o, uint64_t visit, const Citex__Put *p, struct upload **out, const char **words)
{
	struct upload *u;

	*words = "";
	if (p->handle.len != ID_BYTES || strlen(p->name) > ATTACHMENT_NAME_MAX_BYTES ||
	    p->name[0] == '\0')
		return ERR_VALUE;
	if (p->length > ATTACHMENT_MAX_BYTES) {
		*words = "an attachment may have at most 2 GiB";
		return ERR_TOO_LARGE;
	}
	u = upload_find(o, bytes_of_pb(p->handle));
	if (u == NULL && p->offset == 0 && is_used_handle(o, bytes_of_pb(p->handle))) {
		*words = "this attachment was sent before; send it anew";
		return ERR_CONFLICT;
	}
	if (u == NULL && p->offset == 0)
		u = new_upload(o, visit, p);
	if (u == NULL) {
		*words =
		    "too many attachments are on their way, or this one was given up; try again";
		return ERR_BUSY;
	}
	*out = u;
	if (u->busy || u->next >= u->count || p->offset != (uint64_t)u->next * CHUNK_PLAIN_BYTES ||
	    p->length != u->length)
		return ERR_UNEXPECTED;
	return p->data.len + CHUNK_TAG_BYTES == chunk_length(sealed_length_of(u->length), u->next)
	    ? OK
	    : ERR_UNEXPECTED;
}

void
office_put(struct office *o, uint64_t visit, const Citex__Put *p, office_done *done, void *arg)
{
	struct upload *u = NULL;
	struct put_job *j;
	const char *words;
	enum err e = check_put(o, visit, p, &u, &words);

	if (e != OK) {
		done(arg, e, words);
		return;
	}
	j = xalloc(sizeof(*j));
	*j = (struct put_job){ { put_run, put_done, OK, NULL }, o, u, u->handle, u->next, { 0 },
		done, arg };
	e = chunk_seal(u->key, u->next, u->count, bytes_of_pb(p->data), &j->sealed);
	if (e != OK) {
		done(arg, e, "");
		buffer_release(&j->sealed);
		free(j);
		return;
	}
	u->busy = true;
	sha256_add(u->running, bytes_of_pb(p->data));
	merkle_add(u->leaves, buffer_bytes(&j->sealed));
	office_submit_job(o, &j->job);
}

/* --- what an earlier process left --- */

struct cleaning {
	struct job job;
	struct office *office;
};

/* Attachments whose message was never submitted. */
static enum err
clean_run(struct job *j, struct txn *t)
{
	struct book *b = ((struct cleaning *)j)->office->book;
	CLEANUP(buffer_release) struct buffer ids = { 0 };
	enum err e = book_each_marked(b, t, LIST_UPLOADS, gather_marked, &ids);
	struct reader r = { buffer_bytes(&ids), OK };

	while (e == OK && r.left.len > 0) {
		struct id id;
		read_copy(&r, id.at, ID_BYTES);
		e = orphan(b, t, id);
	}
	return e;
}

static void
clean_done(struct job *j, enum err result)
{
	if (result != OK)
		log_event(LEVEL_WARNING, "uploads-not-cleaned", LOG_ERR(result));
	else
		sweep_begin(((struct cleaning *)j)->office);
	free(j);
}

enum err
uploads_open(struct office *o)
{
	struct cleaning *c = xalloc(sizeof(*c));

	/* before any officer can begin an upload: never later */
	*c = (struct cleaning){ { clean_run, clean_done, OK, NULL }, o };
	office_submit_job(o, &c->job);
	return OK;
}

void
uploads_close(struct office *o)
{
	for (size_t i = 0; i < UPLOADS_MAX; i++) {
		if (o->uploads[i] != NULL)
			upload_free(o->uploads[i]);
	}
}
