/* SPDX-License-Identifier: Apache-2.0 */
/* The session with the office's post: what is to be handed over, what comes,
 * and the directory. What an envelope or slip means is decided in home.c and
 * receive.c. */
#include <stdlib.h>
#include <string.h>

#include "daemon/office/inside.h"
#include "pki/ossl.h"
#include "proto/decode.h"

#define REDIAL_FIRST_MS 100
#define REDIAL_MAX_MS 5000
#define PROGRESS_MAX 4096

static void pump(void *arg); /* hands over what waits; the session's actions call for it */

static void
pump_soon(struct office *o)
{
	if (o->pumping || o->closing)
		return;
	o->pumping = true;
	loop_defer(o->loop, pump, o);
}

/* --- errands --- */

void
mail_add(struct office *o, bool is_slip, struct id envelope, uint64_t number)
{
	struct errand *e = xalloc(sizeof(*e));

	*e = (struct errand){ .is_slip = is_slip, .envelope = envelope, .number = number };
	*o->last_errand = e;
	o->last_errand = &e->next;
	if (number > o->last_slip)
		o->last_slip = number;
	pump_soon(o);
}

static void
unlink_errand(struct office *o, struct errand **at)
{
	struct errand *e = *at;

	*at = e->next;
	if (o->last_errand == &e->next)
		o->last_errand = at;
	free(e);
}

static struct errand **
find_token(struct office *o, uint64_t token)
{
	struct errand **at = &o->errands;

	while (*at != NULL && (*at)->token != token)
		at = &(*at)->next;
	return at;
}

void
mail_forget(struct office *o, struct id envelope)
{
	for (struct errand **at = &o->errands; *at != NULL;) {
		if (!(*at)->is_slip && (*at)->token == 0 && id_equal((*at)->envelope, envelope))
			unlink_errand(o, at);
		else
			at = &(*at)->next;
	}
}

void
mail_resume(struct office *o)
{
	pump_soon(o);
}

bool
mail_offers_at_once(const struct office *o)
{
	return office_has_post(o) && session_may_offer(o->session) > 0;
}

static void
drop_errands(struct office *o)
{
	while (o->errands != NULL)
		unlink_errand(o, &o->errands);
}

static bool
add_unsent(void *arg, struct id id)
{
	mail_add(arg, false, id, 0);
	return true;
}

static bool
add_slip(void *arg, uint64_t number, struct bytes packed)
{
	(void)packed;
	mail_add(arg, true, (struct id){ { 0 } }, number);
	return true;
}

void
mail_reload(struct office *o)
{
	CLEANUP(store_end_drop) struct txn *t = NULL;

	drop_errands(o);
	o->last_slip = 0;
	if (store_read(o->store, &t) != OK ||
	    book_each_out_slip(o->book, t, 0, add_slip, o) != OK ||
	    book_each_marked(o->book, t, LIST_UNSENT, add_unsent, o) != OK)
		log_event(
		    LEVEL_ERROR, "queue-unreadable", LOG_TEXT("authority", o->config.authority));
}

void
mail_new_slips(struct office *o)
{
	CLEANUP(store_end_drop) struct txn *t = NULL;

	if (store_read(o->store, &t) != OK ||
	    book_each_out_slip(o->book, t, o->last_slip, add_slip, o) != OK)
		log_event(
		    LEVEL_ERROR, "queue-unreadable", LOG_TEXT("authority", o->config.authority));
}

/* That an envelope leaves is on disk before it does: what was offered may be on its way, whatever
 * becomes of the line or of us, and is not taken back any more. */
struct leaving {
	struct job job;
	struct office *office;
	struct id envelope;
	uint8_t spool[INCARNATION_BYTES]; /* the post's, that will have it */
	int64_t now_ms;
};

static enum err
leaving_run(struct job *j, struct txn *t)
{
	struct leaving *l = (struct leaving *)j;
	struct book *b = l->office->book;
	Citex__BookEnvelope *envelope = NULL;
	enum err e = OK;

	if (!book_is_marked(b, t, LIST_UNSENT, l->envelope))
		return OK; /* taken back meanwhile: pump() forgets it */
	e = book_envelope(b, t, l->envelope, &envelope);
	if (e == OK && envelope->offered == 0) {
		envelope->offered = (uint64_t)l->now_ms;
		set_bytes(&envelope->spool, BYTES_OF(l->spool));
		e = book_put_envelope(b, t, l->envelope, envelope);
	}
	proto_free((ProtobufCMessage *)envelope);
	return e;
}

static void
leaving_done(struct job *j, enum err result)
{
	struct leaving *l = (struct leaving *)j;
	struct office *o = l->office;

	for (struct errand *e = o->errands; e != NULL; e = e->next) {
		if (e->is_slip || !e->leaving || !id_equal(e->envelope, l->envelope))
			continue;
		e->leaving = false;
		if (result != OK)
			e->not_before_ms = loop_now(o->loop).mono_ms + RETRY_FIRST_MS;
	}
	free(l);
	pump_soon(o);
}

static void
begin_leaving(struct office *o, struct errand *e)
{
	struct leaving *l = xalloc(sizeof(*l));

	e->leaving = true;
	*l = (struct leaving){ { leaving_run, leaving_done, OK, NULL }, o, e->envelope, { 0 },
		loop_now(o->loop).utc_ms };
	memcpy(l->spool, o->post_incarnation, INCARNATION_BYTES);
	office_submit_job(o, &l->job);
}

/* The bytes to offer for E. ERR_NOT_FOUND: it is done with. ERR_NOT_YET: it must be written first
 * that it leaves. */
static enum err
load_errand(struct office *o, struct txn *t, const struct errand *e, struct buffer *packed)
{
	Citex__BookEnvelope *envelope = NULL;
	enum err err;

	if (e->is_slip)
		return book_out_slip(o->book, t, e->number, packed);
	if (!book_is_marked(o->book, t, LIST_UNSENT, e->envelope))
		return ERR_NOT_FOUND;
	err = book_envelope(o->book, t, e->envelope, &envelope);
	if (err == OK && envelope->offered == 0)
		err = ERR_NOT_YET;
	if (err == OK)
		buffer_add(packed, bytes_of_pb(envelope->packed));
	proto_free((ProtobufCMessage *)envelope);
	return err;
}

static void
offer(struct office *o, struct errand *e, struct bytes packed)
{
	struct event ev = { .type = e->is_slip ? EVENT_OFFER_SLIP : EVENT_OFFER_ENVELOPE,
		.bytes = packed };

	e->token = ev.token = ++o->next_token;
	mail_event(o, &ev);
}

/* The post is asked to give it back: mail_resume() tells when it may go again. */
static bool
is_held(const struct office *o, const struct errand *e)
{
	return !e->is_slip && withdraw_holds(o, e->envelope);
}

static void
pump(void *arg)
{
	struct office *o = arg;
	struct now now = loop_now(o->loop);
	int64_t next_ms = INT64_MAX;
	unsigned leaving = 0;
	CLEANUP(store_end_drop) struct txn *t = NULL;

	o->pumping = false;
	if (o->closing || !office_has_post(o) || store_read(o->store, &t) != OK)
		return;
	for (struct errand **at = &o->errands; *at != NULL && office_has_post(o);) {
		struct errand *e = *at;
		CLEANUP(buffer_release) struct buffer packed = { 0 };
		enum err err;
		if (session_may_offer(o->session) <= leaving ||
		    link_queued_bytes(o->link) > SEND_HIGH_BYTES)
			break;
		leaving += e->leaving ? 1 : 0;
		if (e->token != 0 || e->leaving || is_held(o, e) ||
		    e->not_before_ms > now.mono_ms) {
			if (e->token == 0 && !e->leaving && !is_held(o, e) &&
			    e->not_before_ms < next_ms)
				next_ms = e->not_before_ms;
			at = &e->next;
			continue;
		}
		err = load_errand(o, t, e, &packed);
		if (err == ERR_NOT_YET) {
			begin_leaving(o, e);
			leaving++;
			at = &e->next;
			continue;
		}
		if (err != OK) {
			unlink_errand(o, at);
			continue;
		}
		offer(o, e, buffer_bytes(&packed));
		if (o->session == NULL)
			return;
		at = &e->next;
	}
	timer_set(o->errand_timer, next_ms);
}

/* --- what the post says --- */

struct taken_job {
	struct job job;
	struct office *office;
	bool is_slip;
	struct id envelope;
	uint64_t number;
};

static enum err
taken_run(struct job *j, struct txn *t)
{
	struct taken_job *x = (struct taken_job *)j;
	struct book *b = x->office->book;
	enum err e;

	if (x->is_slip)
		return book_del_out_slip(b, t, x->number);
	e = book_unmark(b, t, LIST_UNSENT, x->envelope);
	return e;
}

static void
taken_done(struct job *j, enum err result)
{
	(void)
	    result; /* a full store leaves it marked: it is offered once more, which is harmless */
	free(j);
}

static void
on_taken(struct office *o, uint64_t token)
{
	struct errand **at = find_token(o, token);
	struct taken_job *x;

	if (*at == NULL)
		return;
	x = xalloc(sizeof(*x));
	*x = (struct taken_job){ { taken_run, taken_done, OK, NULL }, o, (*at)->is_slip,
		(*at)->envelope, (*at)->number };
	unlink_errand(o, at);
	office_submit_job(o, &x->job);
}

static void
on_later(struct office *o, const struct action *a)
{
	struct errand **at = find_token(o, a->token);

	if (*at == NULL)
		return;
	(*at)->token = 0;
	(*at)->not_before_ms = loop_now(o->loop).mono_ms + a->wait_ms;
	log_event(
	    LEVEL_INFO, "post-says-later", LOG_ERR(a->result), LOG_NUM("wait_ms", a->wait_ms));
	pump_soon(o);
}

static void
on_progress(struct office *o, Citex__Frame *frame)
{
	struct progress **list, *p;
	struct id id;

	if (id_from_bytes(bytes_of_pb(frame->progress->envelope_id), &id) != OK) {
		proto_free(&frame->base);
		return;
	}
	list = &o->progress[id.at[ID_BYTES - 1]];
	for (p = *list; p != NULL && !id_equal(p->envelope, id);)
		p = p->next;
	if (p == NULL && o->progress_count < PROGRESS_MAX) {
		p = xalloc(sizeof(*p));
		*p = (struct progress){ id, NULL, *list };
		*list = p;
		o->progress_count++;
	}
	if (p == NULL)
		p = *list; /* the newest is overwritten: it is only for the eye */
	if (p == NULL) {
		proto_free(&frame->base);
		return;
	}
	p->envelope = id;
	proto_free((ProtobufCMessage *)p->frame);
	p->frame = frame;
}

/* --- the directory --- */

void
mail_send(struct office *o, Citex__Frame *f)
{
	struct event ev = { .type = EVENT_SEND, .frame = f };

	mail_event(o, &ev);
}

static void
request(struct office *o, uint64_t from, bool contents, uint64_t offset)
{
	Citex__Frame f = CITEX__FRAME__INIT;
	Citex__DirectoryRequest r = CITEX__DIRECTORY_REQUEST__INIT;

	r.from = from;
	r.contents = contents;
	r.offset = offset;
	f.body_case = CITEX__FRAME__BODY_DIRECTORY_REQUEST;
	f.directory_request = &r;
	mail_send(o, &f);
}

static void
on_peer_directory(struct office *o)
{
	uint64_t theirs = session_peer_hello(o->session)->directory;
	uint64_t ours = o->directory != NULL ? directory_number(o->directory) : 0;

	if (theirs > ours)
		request(o, ours == 0 ? theirs : ours, false, 0);
}

static void
stop_fetching(struct office *o)
{
	proto_free((ProtobufCMessage *)o->fetching);
	o->fetching = NULL;
	buffer_release(&o->fetched);
}

static void
on_heads(struct office *o, const Citex__DirectoryHeads *heads)
{
	CLEANUP(buffer_release) struct buffer packed = { 0 };
	const Citex__SignedHead *newest = NULL;
	Citex__Head *head = NULL;
	enum err e = heads->n_heads > 0 ? OK : ERR_NOT_FOUND;

	if (e == OK && o->directory != NULL)
		e = directory_check_heads(o->directory, heads, &newest);
	else if (e == OK)
		newest = heads->heads[heads->n_heads -
		    1]; /* judged by the pin when its contents are here */
	if (e == ERR_SPLIT_VIEW)
		raise_alarm(o, "split-view", (struct id){ { 0 } });
	if (e == OK)
		e = proto_unpack(&citex__head__descriptor, bytes_of_pb(newest->head),
		    (ProtobufCMessage **)&head);
	if (e != OK || head->contents_length > DIRECTORY_MAX_BYTES) {
		log_event(LEVEL_INFO, "heads-not-taken", LOG_ERR(e));
		proto_free((ProtobufCMessage *)head);
		return;
	}
	stop_fetching(o);
	proto_pack(&newest->base, &packed);
	if (proto_unpack(&citex__signed_head__descriptor, buffer_bytes(&packed),
		(ProtobufCMessage **)&o->fetching) == OK)
		request(o, head->number, true, 0);
	proto_free(&head->base);
}

struct directory_job {
	struct job job;
	struct office *office;
	struct directory *directory;
	struct buffer head;
};

static enum err
directory_run(struct job *j, struct txn *t)
{
	struct directory_job *d = (struct directory_job *)j;

	CLEANUP(buffer_release) struct buffer kept = { 0 };

	directory_keep(d->directory, &kept);
	return book_put_directory(d->office->book, t, buffer_bytes(&d->head), buffer_bytes(&kept));
}

static void
tell_directory(struct office *o)
{
	struct session_self self = { .directory = directory_number(o->directory) };
	struct event ev = { .type = EVENT_DIRECTORY, .self = &self };

	memcpy(self.node, o->config.authority, strlen(o->config.authority));
	memcpy(self.incarnation, book_incarnation(o->book), INCARNATION_BYTES);
	memcpy(self.head_digest, directory_head_digest(o->directory), DIGEST_BYTES);
	if (o->session != NULL)
		mail_event(o, &ev);
}

/* A Party whose CA has changed without a voucher: its messages stop, so a person must hear of it.
 * The post's log says which, and what to ask it. */
static void
tell_held(struct office *o)
{
	const struct cert *ca;

	end_alarm(o, "party-held");
	if (o->directory != NULL && directory_held_at(o->directory, 0, &ca) != NULL)
		raise_alarm(o, "party-held", (struct id){ { 0 } });
}

static void
directory_done(struct job *j, enum err result)
{
	struct directory_job *d = (struct directory_job *)j;
	struct office *o = d->office;

	if (result == OK &&
	    (o->directory == NULL ||
		directory_number(o->directory) < directory_number(d->directory))) {
		directory_free(o->directory);
		o->directory = directory_ref(d->directory);
		log_event(
		    LEVEL_INFO, "directory", LOG_NUM("number", directory_number(o->directory)));
		tell_held(o);
		tell_directory(o);
		tell_watches(o, "directory", (struct id){ { 0 } }, "", "", "");
		receive_directory_changed(o);
	}
	directory_free(d->directory);
	buffer_release(&d->head);
	free(d);
}

static void
install(struct office *o)
{
	struct directory *d = NULL;
	struct directory_job *j;
	char why[200];
	enum err e = directory_build(
	    o->directory, &o->config.trust, o->fetching, buffer_bytes(&o->fetched), &d, why);

	if (e != OK) {
		log_event(LEVEL_WARNING, "directory-refused", LOG_ERR(e), LOG_TEXT("why", why));
		raise_alarm(o, "directory-refused", (struct id){ { 0 } });
	} else {
		j = xalloc(sizeof(*j));
		*j = (struct directory_job){ .job = { directory_run, directory_done, OK, NULL },
			.office = o,
			.directory = d };
		proto_pack(&o->fetching->base, &j->head);
		office_submit_job(o, &j->job);
	}
	stop_fetching(o);
}

static void
on_part(struct office *o, const Citex__DirectoryPart *p)
{
	Citex__Head *head = NULL;
	uint64_t number, length;

	if (o->fetching == NULL ||
	    proto_unpack(&citex__head__descriptor, bytes_of_pb(o->fetching->head),
		(ProtobufCMessage **)&head) != OK)
		return;
	number = head->number;
	length = head->contents_length;
	proto_free(&head->base);
	if (p->number != number || p->offset != o->fetched.len || p->data.len == 0 ||
	    o->fetched.len + p->data.len > length) {
		stop_fetching(o);
		return;
	}
	buffer_add(&o->fetched, bytes_of_pb(p->data));
	if (o->fetched.len < length)
		request(o, number, true, o->fetched.len);
	else
		install(o);
}

static void
on_directory(struct office *o, const Citex__Frame *f)
{
	if (f->body_case == CITEX__FRAME__BODY_DIRECTORY_HEADS)
		on_heads(o, f->directory_heads);
	else if (f->body_case == CITEX__FRAME__BODY_DIRECTORY_PART)
		on_part(o, f->directory_part);
	/* a post that asks its office: it has what we have */
}

/* --- probes --- */

static void
on_probe_result(struct office *o, const Citex__Frame *f)
{
	if (f->body_case != CITEX__FRAME__BODY_PROBE_RESULT)
		return;
	for (struct probing **at = &o->probings; *at != NULL; at = &(*at)->next) {
		struct probing p = **at;
		if (p.number != f->probe_result->number)
			continue;
		free(*at);
		*at = p.next;
		p.fn(p.arg, f->probe_result);
		return;
	}
}

void
office_probe(struct office *o, const char *node, void (*fn)(void *arg, const Citex__ProbeResult *r),
    void *arg)
{
	struct probing *p;
	Citex__Frame f = CITEX__FRAME__INIT;
	Citex__Probe probe = CITEX__PROBE__INIT;

	if (!office_has_post(o)) {
		fn(arg, NULL);
		return;
	}
	p = xalloc(sizeof(*p));
	*p = (struct probing){ ++o->next_probe, fn, arg, o->probings };
	o->probings = p;
	probe.number = p->number;
	probe.node = (char *)(uintptr_t)node;
	f.body_case = CITEX__FRAME__BODY_PROBE;
	f.probe = &probe;
	mail_send(o, &f);
}

static void
end_probings(struct office *o)
{
	while (o->probings != NULL) {
		struct probing p = *o->probings;
		free(o->probings);
		o->probings = p.next;
		p.fn(p.arg, NULL);
	}
}

/* --- the session --- */

static void
on_ready(struct office *o)
{
	const Citex__Hello *hello = session_peer_hello(o->session);
	bool another = memcmp(hello->incarnation.data, o->post_incarnation, INCARNATION_BYTES) != 0;

	o->redial_ms = REDIAL_FIRST_MS;
	log_event(LEVEL_INFO, "post-ready", LOG_TEXT("node", hello->node));
	memcpy(o->post_incarnation, hello->incarnation.data, INCARNATION_BYTES);
	mail_reload(o);
	/* a post that lost its disk, or was restored, lacks what it had taken */
	if (another)
		home_reoffer(o);
	tell_watches(o, "post", (struct id){ { 0 } }, "", "", "ready");
}

static void
lose_link(struct office *o)
{
	session_free(o->session);
	o->session = NULL;
	o->link = NULL;
	stop_fetching(o);
	receive_link_lost(o);
	for (struct errand *e = o->errands; e != NULL; e = e->next)
		e->token = 0;
	end_probings(o);
	withdraw_link_lost(o);
	timer_set(o->tick, INT64_MAX);
	if (!o->closing)
		timer_set(o->redial, loop_now(o->loop).mono_ms + o->redial_ms);
	o->redial_ms = o->redial_ms * 2 > REDIAL_MAX_MS ? REDIAL_MAX_MS : o->redial_ms * 2;
}

/* Do one action; false when the session is gone. */
static bool
act(struct office *o, struct action *a)
{
	switch (a->type) {
	case ACTION_SEND:
		link_send(o->link, buffer_bytes(&a->bytes));
		break;
	case ACTION_READY:
		on_ready(o);
		break;
	case ACTION_STORE_ENVELOPE: {
		Citex__Envelope *e = a->frame->offer->envelope;
		a->frame->offer->envelope = NULL;
		a->frame->offer->what_case = CITEX__OFFER__WHAT__NOT_SET;
		receive_envelope(o, a->number, e, a->frame->offer->receipt);
		break;
	}
	case ACTION_STORE_SLIP: {
		Citex__Slip *s = a->frame->offer->slip;
		a->frame->offer->slip = NULL;
		a->frame->offer->what_case = CITEX__OFFER__WHAT__NOT_SET;
		home_slip_arrived(o, a->number, s);
		break;
	}
	case ACTION_TAKEN:
		on_taken(o, a->token);
		break;
	case ACTION_LATER:
		on_later(o, a);
		break;
	case ACTION_CREDIT:
		pump_soon(o);
		break;
	case ACTION_READ_CHUNK:
		send_chunk_wanted(o, a->root, a->index);
		break;
	case ACTION_CHUNK:
		receive_chunk(o, a->frame->chunk);
		break;
	case ACTION_CHUNK_LOST: {
		struct event bye = { .type = EVENT_BYE, .result = ERR_TIMEOUT };
		mail_event(o, &bye);
		break;
	}
	case ACTION_DIRECTORY:
		on_directory(o, a->frame);
		break;
	case ACTION_PEER_DIRECTORY:
		on_peer_directory(o);
		break;
	case ACTION_PROBE:
		on_probe_result(o, a->frame);
		break;
	case ACTION_PROGRESS:
		on_progress(o, a->frame);
		a->frame = NULL;
		break;
	case ACTION_TAKE_BACK_RESULT:
		withdraw_answer(o, a->frame->take_back_result);
		break;
	case ACTION_TAKE_BACK: { /* a post has nothing to ask for */
		struct event bye = { .type = EVENT_BYE, .result = ERR_UNEXPECTED };
		mail_event(o, &bye);
		break;
	}
	case ACTION_SPOOL:
		restored_spool(o, a->frame->spool);
		break;
	case ACTION_CLOSE:
		log_event(
		    LEVEL_INFO, "post-session-ended", LOG_ERR(a->result), LOG_TEXT("why", a->text));
		link_close(o->link);
		lose_link(o);
		return false;
	}
	return o->session != NULL;
}

void
mail_event(struct office *o, const struct event *ev)
{
	struct actions out = { 0 };
	struct session *s = o->session;

	if (s == NULL)
		return;
	(void)!session_handle(s, ev, loop_now(o->loop), &out);
	for (size_t i = 0; i < out.count && o->session == s; i++) {
		if (!act(o, &out.at[i]))
			break;
	}
	actions_release(&out);
	if (o->session == s && s != NULL)
		timer_set(o->tick, session_deadline_ms(s));
}

static void
on_tick(void *arg)
{
	struct event ev = { .type = EVENT_TICK };

	mail_event(arg, &ev);
}

static void
link_opened(void *arg, struct link *l, const char *peer)
{
	struct office *o = arg;
	struct session_self self = { .directory = 0 };
	struct event ev = { .type = EVENT_OPEN };

	(void)l;
	(void)peer;
	memcpy(self.node, o->config.authority, strlen(o->config.authority));
	memcpy(self.incarnation, book_incarnation(o->book), INCARNATION_BYTES);
	if (o->directory != NULL) {
		self.directory = directory_number(o->directory);
		memcpy(self.head_digest, directory_head_digest(o->directory), DIGEST_BYTES);
	}
	o->session = session_new(&self);
	o->session_number++;
	mail_event(o, &ev);
}

static void
link_frame(void *arg, struct link *l, struct bytes frame)
{
	struct event ev = { .type = EVENT_FRAME, .bytes = frame };

	(void)l;
	mail_event(arg, &ev);
}

static void
link_drained(void *arg, struct link *l)
{
	(void)l;
	pump_soon(arg);
}

static void
link_closed(void *arg, struct link *l, enum err why, const char *words)
{
	(void)l;
	log_event(LEVEL_DEBUG, "post-link-closed", LOG_ERR(why), LOG_TEXT("why", words));
	lose_link(arg);
}

static const struct link_events events = { link_opened, link_frame, link_drained, link_closed };

static void
dial(void *arg)
{
	struct office *o = arg;

	if (o->link == NULL && !o->closing)
		o->link = link_dial_local(o->loop, o->config.link_path, &events, o);
}

enum err
mail_open(struct office *o)
{
	o->tick = timer_new(o->loop, on_tick, o);
	o->redial = timer_new(o->loop, dial, o);
	o->errand_timer = timer_new(o->loop, pump, o);
	o->redial_ms = REDIAL_FIRST_MS;
	tell_held(o);
	dial(o);
	return OK;
}

void
mail_close(struct office *o)
{
	struct event bye = { .type = EVENT_BYE };

	if (o->session != NULL)
		mail_event(o, &bye);
	if (o->link != NULL) {
		link_close(o->link);
		lose_link(o);
	}
	drop_errands(o);
	for (size_t i = 0; i < PROGRESS_LISTS; i++) {
		while (o->progress[i] != NULL) {
			struct progress *p = o->progress[i];
			o->progress[i] = p->next;
			proto_free((ProtobufCMessage *)p->frame);
			free(p);
		}
	}
	end_probings(o);
	stop_fetching(o);
	timer_free(o->tick);
	timer_free(o->redial);
	timer_free(o->errand_timer);
}
