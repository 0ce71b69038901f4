/* SPDX-License-Identifier: Apache-2.0 */
/* Wires an office: store, vault, session with the post, desk. What each does
 * stands in its own file. */
#include <stdlib.h>
#include <string.h>

#include "daemon/office/desk.h"
#include "daemon/office/inside.h"
#include "pki/ossl.h"

void
log_id(struct id id, char out[ID_TEXT_BYTES])
{
	id_print(id, out);
}

bool
gather_marked(void *arg, struct id id)
{
	struct buffer *ids = arg;

	buffer_add(ids, id_bytes(&id));
	return true;
}

void
tell_watches(struct office *o, const char *event, struct id id, const char *kind,
    const char *authority, const char *state)
{
	Citex__Event e = CITEX__EVENT__INIT;
	char text[ID_TEXT_BYTES] = "", time[TIME_TEXT_BYTES];

	if (!id_is_zero(id))
		id_print(id, text);
	time_print(loop_now(o->loop).utc_ms, time);
	e.event = (char *)(uintptr_t)event;
	e.id = text;
	e.kind = (char *)(uintptr_t)kind;
	e.authority = (char *)(uintptr_t)authority;
	e.state = (char *)(uintptr_t)state;
	e.time = time;
	for (struct office_watch *w = o->watches, *next; w != NULL; w = next) {
		next = w->next;
		w->fn(w->arg, &e);
	}
}

void
raise_alarm(struct office *o, const char *what, struct id id)
{
	char text[ID_TEXT_BYTES] = "";
	size_t i = 0;

	if (!id_is_zero(id))
		id_print(id, text);
	log_event(LEVEL_WARNING, "alarm", LOG_TEXT("what", what), LOG_TEXT("id", text));
	while (i < ALARMS_MAX && o->alarms[i] != NULL && strcmp(o->alarms[i], what) != 0)
		i++;
	if (i < ALARMS_MAX)
		o->alarms[i] = what;
	if (o->config.hook != NULL)
		o->config.hook(o->config.hook_arg, "alarm", text, what);
	tell_watches(o, "alarm", id, what, "", "");
}

void
end_alarm(struct office *o, const char *what)
{
	size_t kept = 0;

	for (size_t i = 0; i < ALARMS_MAX && o->alarms[i] != NULL; i++) {
		const char *alarm = o->alarms[i];
		o->alarms[i] = NULL;
		if (strcmp(alarm, what) != 0)
			o->alarms[kept++] = alarm;
	}
}

void
office_submit_job(struct office *o, struct job *j)
{
	committer_submit(o->committer, j);
}

/* --- receipts of a batch, in the store thread --- */

bool
add_draft(struct office *o, const struct draft *d)
{
	if (o->draft_count == DRAFTS_MAX)
		return false;
	o->drafts[o->draft_count++] = *d;
	return true;
}

static enum err
write_slip(struct office *o, struct txn *t, const struct draft *d, struct bytes packed)
{
	/* the answer first given stays the answer; `seen' is said beside it */
	enum err e = d->type == CITEX__SLIP_TYPE__SLIP_SEEN
	    ? OK
	    : book_put_receipt(o->book, t, d->digest, packed);

	if (e == OK)
		e = book_put_slip(o->book, t, book_arrival_name(d->digest), d->type, packed);
	return e == OK ? book_put_out_slip(o->book, t, packed) : e;
}

static enum err
sign_some(struct office *o, struct txn *t, const struct draft *from, size_t count)
{
	struct slip_draft drafts[BATCH_MAX] = { { 0 } };
	struct buffer packed[BATCH_MAX] = { { 0 } };
	enum err e;

	for (size_t i = 0; i < count; i++) {
		const struct draft *d = &from[i];
		drafts[i] = (struct slip_draft){ .type = d->type,
			.envelope_id = d->envelope_id,
			.to = d->to,
			.maker = o->config.authority,
			.time_ms = d->time_ms,
			.reason = d->reason,
			.words = d->words,
			.directory = d->directory };
		memcpy(drafts[i].outer_digest, d->digest, DIGEST_BYTES);
	}
	e = vault_receipts(o->vault, drafts, count, packed);
	for (size_t i = 0; i < count; i++) {
		if (e == OK)
			e = write_slip(o, t, &from[i], buffer_bytes(&packed[i]));
		buffer_release(&packed[i]);
	}
	return e;
}

static enum err
batch_end(void *arg, struct txn *t)
{
	struct office *o = arg;
	enum err e = OK;

	for (size_t i = 0; e == OK && i < o->draft_count; i += BATCH_MAX) {
		size_t count = o->draft_count - i < BATCH_MAX ? o->draft_count - i : BATCH_MAX;
		e = sign_some(o, t, &o->drafts[i], count);
	}
	o->draft_count = 0;
	return e;
}

static void
batch_dropped(void *arg)
{
	((struct office *)arg)->draft_count = 0;
}

/* --- life --- */

static enum err
load_directory(struct office *o)
{
	CLEANUP(buffer_release) struct buffer packed = { 0 }, kept = { 0 };
	CLEANUP(store_end_drop) struct txn *t = NULL;
	Citex__SignedHead *head = NULL;
	char why[200];
	enum err e = store_read(o->store, &t);

	if (e == OK)
		e = book_directory(o->book, t, &packed, &kept);
	if (e != OK)
		return e == ERR_NOT_FOUND ? OK : e;
	e = proto_unpack(
	    &citex__signed_head__descriptor, buffer_bytes(&packed), (ProtobufCMessage **)&head);
	if (e == OK) /* it was judged when it came; its publisher is in it */
		e = directory_build_kept(NULL,
		    &(struct directory_trust){
			NULL, o->config.trust.confirmed, o->config.trust.confirmed_count },
		    head, buffer_bytes(&kept), &o->directory, why);
	if (e != OK)
		log_event(LEVEL_ERROR, "directory-unusable", LOG_ERR(e), LOG_TEXT("why", why));
	proto_free((ProtobufCMessage *)head);
	return e;
}

static enum err
open_parts(struct office *o)
{
	struct committer_hooks hooks = { batch_end, batch_dropped, o };
	enum err e = book_new(o->store, o->config.store_key, &o->book);

	if (e == OK)
		e = load_directory(o);
	if (e == OK)
		e = vault_new(o->loop, &o->config, &o->vault);
	if (e != OK)
		return e;
	o->committer = committer_new(o->loop, o->store, &hooks);
	if (o->committer == NULL)
		return ERR_SYSTEM;
	e = receive_open(o);
	if (e == OK)
		e = uploads_open(o);
	if (e == OK)
		sealing_resume(o);
	if (e == OK)
		e = mail_open(o);
	if (e == OK)
		e = watchman_open(o);
	return e == OK && o->config.desk_fd >= 0 ? desk_new(o, o->config.desk_fd, &o->desk) : e;
}

enum err
office_new(struct loop *l, struct store *s, const struct office_config *c, struct office **out)
{
	struct office *o = xalloc(sizeof(*o));
	enum err e;

	o->config = *c;
	o->loop = l;
	o->store = s;
	o->last_errand = &o->errands;
	e = c->signing_count > 0 && c->sealing_count > 0 ? open_parts(o) : ERR_CONFIG;
	if (e == OK)
		*out = o;
	else
		office_free(o);
	return e;
}

void
office_free(struct office *o)
{
	if (o == NULL)
		return;
	o->closing = true;
	desk_free(o->desk);
	mail_close(o);
	watchman_close(o);
	committer_free(o->committer);
	vault_free(o->vault);
	receive_close(o);
	uploads_close(o);
	send_close(o);
	book_free(o->book);
	directory_free(o->directory);
	while (o->watches != NULL)
		office_unwatch(o->watches);
	free(o);
}

/* --- what the desk asks --- */

const struct office_config *
office_config(const struct office *o)
{
	return &o->config;
}

struct loop *
office_loop(struct office *o)
{
	return o->loop;
}

struct book *
office_book(struct office *o)
{
	return o->book;
}

struct directory *
office_directory(struct office *o)
{
	return o->directory;
}

bool
office_has_post(const struct office *o)
{
	return o->session != NULL && session_is_ready(o->session);
}

const char *const *
office_alarms(const struct office *o)
{
	return o->alarms;
}

const Citex__Progress *
office_progress(const struct office *o, struct id envelope)
{
	const struct progress *p = o->progress[envelope.at[ID_BYTES - 1]];

	while (p != NULL && !id_equal(p->envelope, envelope))
		p = p->next;
	return p != NULL ? p->frame->progress : NULL;
}

struct office_watch *
office_watch(struct office *o, void (*fn)(void *arg, Citex__Event *e), void *arg)
{
	struct office_watch *w = xalloc(sizeof(*w));

	*w = (struct office_watch){ o, fn, arg, o->watches };
	o->watches = w;
	return w;
}

void
office_unwatch(struct office_watch *w)
{
	struct office_watch **at = &w->office->watches;

	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	free(w);
}

/* --- acts that only leave a record --- */

struct record_job {
	struct job job;
	struct office *office;
	int64_t now_ms;
	char *officer, *act, *id, *what;
	office_done *done;
	void *arg;
};

static enum err
record_run(struct job *j, struct txn *t)
{
	struct record_job *r = (struct record_job *)j;

	return book_audit(r->office->book, t, r->now_ms, r->officer, r->act, r->id, r->what);
}

static void
record_done(struct job *j, enum err result)
{
	struct record_job *r = (struct record_job *)j;

	r->done(r->arg, result, "");
	free(r->officer);
	free(r->act);
	free(r->id);
	free(r->what);
	free(r);
}

void
office_record(struct office *o, const char *officer, const char *act, const char *id,
    const char *what, office_done *done, void *arg)
{
	struct record_job *r = xalloc(sizeof(*r));

	*r =
	    (struct record_job){ { record_run, record_done, OK, NULL }, o, loop_now(o->loop).utc_ms,
		    xstrdup(officer), xstrdup(act), xstrdup(id), xstrdup(what), done, arg };
	office_submit_job(o, &r->job);
}
