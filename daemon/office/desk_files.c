/* SPDX-License-Identifier: Apache-2.0 */
/* What leaves the desk for an officer's disk: attachments and bundles. Both are
 * on record before their first byte is given. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/office/bundle.h"
#include "daemon/office/desk_inside.h"
#include "pki/seal.h"

/* Attachments: pieces in order, the last one only when the digest is that of the signed message. */

static struct fetching *
fetch_find(struct desk *d, uid_t user, struct id message, uint32_t attachment)
{
	for (size_t i = 0; i < FETCHES_MAX; i++) {
		struct fetching *f = &d->fetches[i];
		if (f->used && f->user == user && f->attachment == attachment &&
		    id_equal(f->message, message))
			return f;
	}
	return NULL;
}

static void
fetch_end(struct fetching *f)
{
	uint8_t digest[DIGEST_BYTES];
	if (f->used)
		sha256_end(f->digest, digest);
	*f = (struct fetching){ 0 };
}

/* A free place, or the one that was begun first (an unused one has the stamp 0). */
static struct fetching *
fetch_place(struct desk *d)
{
	struct fetching *f = &d->fetches[0];
	for (size_t i = 1; i < FETCHES_MAX; i++) {
		if (d->fetches[i].stamp < f->stamp)
			f = &d->fetches[i];
	}
	return f;
}

static struct fetching *
fetch_begin(struct desk *d, uid_t user, struct id message, uint32_t attachment)
{
	struct fetching *f = fetch_find(d, user, message, attachment);
	if (f == NULL)
		f = fetch_place(d);
	fetch_end(f);
	*f = (struct fetching){ .used = true,
		.user = user,
		.message = message,
		.attachment = attachment,
		.digest = sha256_new(),
		.stamp = ++d->fetch_stamp };
	return f;
}

/* Open the piece at OFFSET of attachment A into PLAIN. */
static enum err
open_piece(
    const struct display *v, const Citex__Attachment *a, uint64_t offset, struct buffer *plain)
{
	CLEANUP(buffer_release) struct buffer sealed = { 0 };
	uint32_t count = chunk_count(a->sealed_length);
	uint64_t index = offset / CHUNK_PLAIN_BYTES;
	enum err e;
	if (offset % CHUNK_PLAIN_BYTES != 0 || index >= count || a->key.len != 32)
		return ERR_VALUE;
	e = book_chunk(v->book, v->t, book_handle(v->book, v->t, bytes_of_pb(a->root)),
	    (uint32_t)index, &sealed);
	if (e == OK)
		e = chunk_open(a->key.data, (uint32_t)index, count, buffer_bytes(&sealed), plain);
	return e;
}

/* Add PLAIN to what was given so far. ERR_CORRUPT: the whole is not what the author signed. */
static enum err
count_piece(struct fetching *f, const Citex__Attachment *a, struct bytes plain, bool *last)
{
	uint8_t digest[DIGEST_BYTES];
	sha256_add(f->digest, plain);
	f->next += plain.len;
	*last = f->next >= a->length;
	if (!*last)
		return OK;
	sha256_end(f->digest, digest);
	*f = (struct fetching){ 0 };
	return bytes_equal(BYTES_OF(digest), bytes_of_pb(a->digest)) ? OK : ERR_CORRUPT;
}

static enum err
load_content(const struct display *v, struct id message, Citex__Content **out)
{
	CLEANUP(proto_wipe_drop) Citex__BookMessage *m = NULL;
	enum err e = book_message(v->book, v->t, message, &m);
	if (e == OK)
		e = proto_unpack(&citex__content__descriptor, bytes_of_pb(m->content),
		    (ProtobufCMessage **)(void *)out);
	return e;
}

static enum err
get_piece(struct desk *d, uid_t user, struct id message, const Citex__Fetch *r,
    struct buffer *plain, bool *last)
{
	CLEANUP(display_end) struct display v = { 0 };
	CLEANUP(proto_wipe_drop) Citex__Content *content = NULL;
	struct fetching *f;
	enum err e = display_begin(d, &v);
	if (e == OK)
		e = load_content(&v, message, &content);
	if (e == OK && r->attachment >= content->n_attachments)
		e = ERR_NOT_FOUND;
	if (e == OK)
		e = open_piece(&v, content->attachments[r->attachment], r->offset, plain);
	if (e != OK)
		return e;
	f = r->offset == 0 ? fetch_begin(d, user, message, r->attachment)
			   : fetch_find(d, user, message, r->attachment);
	if (f == NULL || f->next != r->offset)
		return ERR_UNEXPECTED;
	return count_piece(f, content->attachments[r->attachment], buffer_bytes(plain), last);
}

static void
give_piece(struct desk *d, struct turn *t, struct id message)
{
	CLEANUP(buffer_wipe) struct buffer plain = { 0 };
	const Citex__Fetch *r = turn_request(t)->fetch;
	Citex__Data data = CITEX__DATA__INIT;
	Citex__Answer a = CITEX__ANSWER__INIT;
	bool last = false;
	enum err e = get_piece(d, turn_visitor(t)->user, message, r, &plain, &last);
	if (e == ERR_CORRUPT) {
		turn_fail(
		    t, e, "the attachment is not what its author signed; it is not given out");
		return;
	}
	if (e != OK) {
		turn_fail(t, e, "%s",
		    e == ERR_UNEXPECTED
			? "an attachment is given from its beginning, piece by piece"
			: "");
		return;
	}
	data.data = pb_of_bytes(buffer_bytes(&plain));
	data.offset = r->offset;
	data.last = last;
	a.what_case = CITEX__ANSWER__WHAT_DATA;
	a.data = &data;
	turn_answer(t, &a);
}

static void
fetch_recorded(void *arg, enum err e, const char *words)
{
	struct act *a = arg;
	if (e == OK)
		give_piece(a->desk, a->turn, a->id);
	else
		turn_fail(a->turn, e, "%s", words);
	free(a);
}

/* Where it begins it is recorded; a later piece is given only after its beginning. */
void
run_fetch(void *arg, struct turn *t, const Citex__Request *r)
{
	struct desk *d = arg;
	char text[ID_TEXT_BYTES], what[32];
	struct act *a;
	struct id id;
	enum err e = desk_find(d, r->fetch->id, &id);
	if (e != OK) {
		fail_id(t, e, r->fetch->id);
		return;
	}
	if (r->fetch->offset != 0) {
		give_piece(d, t, id);
		return;
	}
	a = act_new(d, t);
	a->id = id;
	id_print(id, text);
	(void)snprintf(what, sizeof(what), "attachment %u", r->fetch->attachment);
	office_record(d->office, officer_of(t), "saved", text, what, fetch_recorded, a);
}

/* Export: recorded, made whole, streamed as the officer's program reads. */

struct exporting {
	struct turn *turn;
	struct bundle bundle;
	size_t file, offset;
};

static void
export_end(struct exporting *x)
{
	Citex__BundleFile last = CITEX__BUNDLE_FILE__INIT;
	Citex__Answer a = CITEX__ANSWER__INIT;
	a.what_case = CITEX__ANSWER__WHAT_FILE;
	a.file = &last;
	turn_answer(x->turn, &a);
	bundle_release(&x->bundle);
	free(x);
}

/* The next piece of the file under way; a file longer than one comes in several of one name. */
static void
export_piece(struct exporting *x)
{
	const struct bundle_file *f = &x->bundle.files[x->file];
	size_t left = f->data.len - x->offset;
	Citex__BundleFile piece = CITEX__BUNDLE_FILE__INIT;
	Citex__Answer a = CITEX__ANSWER__INIT;
	if (left > CHUNK_PLAIN_BYTES)
		left = CHUNK_PLAIN_BYTES;
	piece.name = f->name;
	piece.data = (ProtobufCBinaryData){ left, left > 0 ? f->data.at + x->offset : NULL };
	a.what_case = CITEX__ANSWER__WHAT_FILE;
	a.file = &piece;
	turn_more(x->turn, &a);
	x->offset += left;
	if (x->offset < f->data.len)
		return;
	x->file++;
	x->offset = 0;
}

static void
export_on(void *arg)
{
	struct exporting *x = arg;
	while (x->file < x->bundle.count && !turn_is_gone(x->turn)) {
		if (turn_is_full(x->turn)) {
			turn_when_room(x->turn, export_on, x);
			return;
		}
		export_piece(x);
	}
	export_end(x);
}

static void
export_recorded(void *arg, enum err e, const char *words)
{
	struct act *a = arg;
	struct exporting *x;
	struct display v = { 0 };
	if (e != OK) {
		turn_fail(a->turn, e, "%s", words);
		free(a);
		return;
	}
	x = xalloc(sizeof(*x));
	x->turn = a->turn;
	e = display_begin(a->desk, &v);
	if (e == OK)
		e = bundle_make(&v, a->id, &x->bundle);
	display_end(&v);
	free(a);
	if (e == OK) {
		export_on(x);
		return;
	}
	turn_fail(x->turn, e, "%s", "");
	bundle_release(&x->bundle);
	free(x);
}

void
run_export(void *arg, struct turn *t, const Citex__Request *r)
{
	struct desk *d = arg;
	struct display v = { 0 };
	char text[ID_TEXT_BYTES];
	struct act *a;
	struct id id;
	enum err e = display_begin(d, &v);
	if (e == OK)
		e = book_find(v.book, v.t, r->export->id, &id);
	if (e == OK)
		e = exchange_of(&v, id, &id);
	display_end(&v);
	if (e != OK) {
		fail_id(t, e, r->export->id);
		return;
	}
	a = act_new(d, t);
	a->id = id;
	id_print(id, text);
	office_record(d->office, officer_of(t), "exported", text, "", export_recorded, a);
}

void
fetches_end(struct desk *d)
{
	for (size_t i = 0; i < FETCHES_MAX; i++)
		fetch_end(&d->fetches[i]);
}
