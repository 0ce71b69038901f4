/* SPDX-License-Identifier: Apache-2.0 */
/* The road out: submit → seal → hand over, and the slips that come home. What
 * is accepted is on disk before the officer hears so; what is sealed is on disk
 * before it is offered, and is never sealed twice under one envelope id. */
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/office/inside.h"
#include "pki/ossl.h"
#include "proto/codes.h"
#include "proto/decode.h"
#include "proto/handling.h"
#include "proto/kind.h"

#define WORDS_BYTES 400

/* --- one submission --- */

struct submission {
	struct job job;
	struct office *office;
	struct id id, exchange, about;
	bool has_about, urgent, known;
	const struct kind *kind;
	char **to; /* owned */
	size_t to_count;
	Citex__Content *content; /* owned */
	char subject[KIND_SUBJECT_BYTES];
	char warnings[8][300];
	size_t warning_count;
	uint8_t request[DIGEST_BYTES];
	struct id handles[PARTS_MAX];
	size_t handle_count;
	char *officer;
	struct now now;
	char words[WORDS_BYTES];
	office_submitted *done;
	void *arg;
};

static enum err refuse(struct submission *s, enum err e, const char *fmt, ...) PRINTF(3, 4);

static enum err
refuse(struct submission *s, enum err e, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(s->words, sizeof(s->words), fmt, args);
	va_end(args);
	return e;
}

static void
submission_free(struct submission *s)
{
	for (size_t i = 0; i < s->to_count; i++)
		free(s->to[i]);
	free(s->to);
	proto_wipe((ProtobufCMessage *)s->content);
	free(s->officer);
	free(s);
}

static void
add_to(struct submission *s, const char *authority)
{
	for (size_t i = 0; i < s->to_count; i++) {
		if (strcmp(s->to[i], authority) == 0)
			return;
	}
	s->to = xgrow(s->to, s->to_count + 1, sizeof(*s->to));
	s->to[s->to_count++] = xstrdup(authority);
}

static Citex__Content *
content_of(const Citex__BookMessage *m)
{
	Citex__Content *c = NULL;

	if (proto_unpack(&citex__content__descriptor, bytes_of_pb(m->content),
		(ProtobufCMessage **)&c) != OK)
		return NULL;
	return c;
}

/* --- whom it goes to, and which exchange it belongs to --- */

struct participants {
	struct submission *s;
	const char *me;
};

static bool
add_participants(void *arg, const Citex__BookMessage *m)
{
	struct participants *p = arg;
	Citex__Content *c = content_of(m);

	if (c == NULL)
		return true;
	if (strcmp(c->author, p->me) != 0)
		add_to(p->s, c->author);
	for (size_t i = 0; i < c->n_addressees; i++) {
		if (strcmp(c->addressees[i], p->me) != 0)
			add_to(p->s, c->addressees[i]);
	}
	proto_wipe(&c->base);
	return true;
}

/* A message answered: its kind allows it, it came to us, and its label is kept. */
static enum err
check_answer(struct submission *s, const Citex__BookMessage *about, const Citex__Content *c)
{
	const struct kind *asked = kind_by_name(c->kind);

	if (s->kind->effect == EFFECT_ANSWERS || s->kind->effect == EFFECT_EXTENDS) {
		if (asked == NULL || !kind_may_answer(asked, s->kind->name))
			return refuse(s, ERR_DENIED, "a %s can't be answered with `%s'", c->kind,
			    s->kind->verb);
		if (about->outgoing)
			return refuse(s, ERR_DENIED,
			    "this message is your own; wait for the answer of %s",
			    c->n_addressees > 0 ? c->addressees[0] : "the others");
	}
	return OK;
}

static enum err
join_exchange(
    struct submission *s, struct txn *t, const Citex__BookMessage *about, const Citex__Content *c)
{
	struct participants p = { s, s->office->config.authority };
	enum err e = id_from_bytes(bytes_of_pb(about->exchange), &s->exchange);

	if (e != OK)
		return e;
	if (s->kind->effect == EFFECT_CLOSES) {
		Citex__BookMessage *first = NULL;
		bool ours;
		e = book_message(s->office->book, t, s->exchange, &first);
		ours = e == OK && first->outgoing;
		proto_wipe((ProtobufCMessage *)first);
		if (!ours)
			return refuse(
			    s, ERR_DENIED, "only the authority that asked can close this exchange");
	}
	if (s->to_count > 0)
		return OK;
	if (s->kind->argument == TO_MESSAGE && !about->outgoing) {
		add_to(s, c->author);
		return OK;
	}
	return book_exchange(s->office->book, t, s->exchange, add_participants, &p);
}

static bool
begins_exchange(const struct kind *k)
{
	return k->argument == TO_AUTHORITIES || k->argument == TO_DEFAULT;
}

static enum err
find_about(struct submission *s, struct txn *t, const char *text)
{
	Citex__BookMessage *about = NULL;
	Citex__Content *c = NULL;
	enum err e;

	s->exchange = s->id;
	if (text[0] == '\0')
		return begins_exchange(s->kind)
		    ? OK
		    : refuse(s, ERR_VALUE, "name the message: citex %s ID", s->kind->verb);
	e = book_find(s->office->book, t, text, &s->about);
	if (e == OK)
		e = book_message(s->office->book, t, s->about, &about);
	if (e != OK)
		return refuse(s, e, "%s: %s; `citex inbox' and `citex sent' list what is here",
		    text, err_words(e));
	s->has_about = true;
	c = content_of(about);
	e = c == NULL ? ERR_CORRUPT : check_answer(s, about, c);
	if (e == OK && !begins_exchange(s->kind))
		e = join_exchange(s, t, about, c);
	proto_wipe((ProtobufCMessage *)c);
	proto_wipe((ProtobufCMessage *)about);
	return e;
}

static enum err
name_addressees(struct submission *s, const Citex__Submit *in)
{
	const struct directory *d = s->office->directory;
	const struct directory_authority *a;

	for (size_t i = 0; i < in->n_to; i++)
		add_to(s, in->to[i]);
	for (size_t i = 0; in->all && (a = directory_authority_at(d, i)) != NULL; i++) {
		if (strcmp(a->id, s->office->config.authority) != 0 &&
		    kind_allowed(s->kind, ROLE_ANY, a->roles))
			add_to(s, a->id);
	}
	if (s->to_count == 0 && s->kind->argument == TO_DEFAULT && s->kind->default_to != NULL)
		add_to(s, s->kind->default_to);
	if (s->to_count > ADDRESSEES_MAX)
		return refuse(s, ERR_TOO_MANY, "at most %d addressees", ADDRESSEES_MAX);
	return OK;
}

static bool
reads_kind(const struct directory_authority *a, const struct kind *k)
{
	for (size_t i = 0; i < a->card->n_kinds; i++) {
		if (strcmp(a->card->kinds[i]->kind, k->name) == 0)
			return a->card->kinds[i]->version >= k->version;
	}
	return false;
}

static enum err
check_addressees(struct submission *s, const ProtobufCMessage *body, bool even_if_unreadable)
{
	const struct directory *d = s->office->directory;
	const struct directory_authority *me = directory_authority(d, s->office->config.authority);
	struct kind_problem problem;

	if (me == NULL)
		return refuse(s, ERR_UNKNOWN_AUTHORITY,
		    "directory %lu does not list %s yet: ask the Secretariat",
		    (unsigned long)directory_number(d), s->office->config.authority);
	if (s->to_count == 0)
		return refuse(s, ERR_VALUE, "name at least one authority, or --all");
	for (size_t i = 0; i < s->to_count; i++) {
		const struct directory_authority *a = directory_authority(d, s->to[i]);
		if (a == NULL)
			return refuse(s, ERR_UNKNOWN_AUTHORITY,
			    "there is no authority %s; `citex directory' lists them", s->to[i]);
		if (!kind_allowed(s->kind, me->roles, a->roles))
			return refuse(s, ERR_DENIED, "%s may not send a %s to %s (%s)", me->id,
			    s->kind->name, a->id, s->kind->paragraph);
		if (!reads_kind(a, s->kind) && !even_if_unreadable)
			return refuse(s, ERR_UNREADABLE,
			    "%s cannot read messages of kind %s; --even-if-unreadable sends it all "
			    "the same",
			    a->id, s->kind->name);
		if (kind_check_addressee(s->kind, body, a->roles, &problem) != OK)
			return refuse(s, ERR_VALUE, "%s: %s", problem.path, problem.words);
	}
	return OK;
}

/* --- the content --- */

static enum err
take_body(struct submission *s, const Citex__Submit *in, ProtobufCMessage **body)
{
	struct kind_problem problem = { "", "" };
	CLEANUP(buffer_wipe) struct buffer packed = { 0 };
	ProtobufCMessage *raw = NULL;
	enum err e = proto_unpack(s->kind->body, bytes_of_pb(in->body), &raw);

	if (e == OK)
		e = kind_normalise(s->kind, raw, &problem);
	if (e == OK) {
		proto_pack(raw, &packed);
		e = kind_decode(s->kind, buffer_bytes(&packed), body, &problem);
	}
	proto_wipe(raw);
	if (e != OK)
		return refuse(s, e, "%s%s%s", problem.path, problem.path[0] != '\0' ? ": " : "",
		    problem.words[0] != '\0' ? problem.words : err_words(e));
	kind_subject(s->kind, *body, s->subject);
	return OK;
}

static void
take_warnings(struct submission *s, const ProtobufCMessage *body)
{
	struct kind_problem problems[8];
	size_t count = s->kind->warn != NULL ? s->kind->warn(body, problems, 8) : 0;

	for (size_t i = 0; i < count; i++)
		(void)snprintf(s->warnings[s->warning_count++], sizeof(s->warnings[0]),
		    "%.63s: %.199s", problems[i].path, problems[i].words);
}

static void
set_bytes(ProtobufCBinaryData *field, struct bytes b)
{
	field->data = xmemdup(b.at, b.len);
	field->len = b.len;
}

static enum err
set_handling(struct submission *s, const Citex__Submit *in)
{
	const char *label = in->handling[0] != '\0' ? tlp_label(in->handling) : s->kind->handling;
	Citex__Handling *h;

	if (label == NULL)
		return refuse(s, ERR_VALUE,
		    "`%s' is no TLP label: use red, amber+strict, amber, green or clear",
		    in->handling);
	h = xalloc(sizeof(*h));
	citex__handling__init(h);
	h->tlp = xstrdup(label);
	h->words = xstrdup(in->handling_words);
	h->use = xstrdup(in->use);
	h->audience = xalloc_array(in->n_audience, sizeof(char *));
	for (size_t i = 0; i < in->n_audience; i++)
		h->audience[h->n_audience++] = xstrdup(in->audience[i]);
	s->content->handling = h;
	return OK;
}

static struct upload *
find_upload(struct office *o, struct bytes handle)
{
	for (size_t i = 0; i < UPLOADS_MAX; i++) {
		if (o->uploads[i] != NULL && bytes_equal(id_bytes(&o->uploads[i]->handle), handle))
			return o->uploads[i];
	}
	return NULL;
}

static Citex__Attachment *
attachment_of(const struct upload *u)
{
	Citex__Attachment *a = xalloc(sizeof(*a));
	uint8_t root[DIGEST_BYTES];

	citex__attachment__init(a);
	merkle_root(u->leaves, root);
	a->name = xstrdup(u->name);
	a->media_type = xstrdup(u->media_type);
	a->length = u->length;
	set_bytes(&a->digest, BYTES_OF(u->digest));
	set_bytes(&a->key, BYTES_OF(u->key));
	set_bytes(&a->root, BYTES_OF(root));
	a->sealed_length = sealed_length_of(u->length);
	return a;
}

static enum err
set_attachments(struct submission *s, const Citex__Submit *in)
{
	if (in->n_attachments > ATTACHMENTS_MAX)
		return refuse(s, ERR_TOO_MANY, "at most %d attachments", ATTACHMENTS_MAX);
	s->content->attachments = xalloc_array(in->n_attachments, sizeof(Citex__Attachment *));
	for (size_t i = 0; i < in->n_attachments; i++) {
		struct upload *u = find_upload(s->office, bytes_of_pb(in->attachments[i]));
		if (u == NULL || u->next != u->count || u->busy)
			return refuse(
			    s, ERR_NOT_FOUND, "an attachment is not here whole; send it again");
		s->content->attachments[s->content->n_attachments++] = attachment_of(u);
		s->handles[s->handle_count++] = u->handle;
	}
	return OK;
}

static void
set_rule(struct submission *s)
{
	const struct deadline *d = s->kind->clock != NULL ? deadline_find(s->kind->clock) : NULL;
	Citex__Rule *r;

	if (d == NULL)
		return;
	r = xalloc(sizeof(*r));
	citex__rule__init(r);
	r->id = xstrdup(d->id);
	r->version = d->version;
	r->length = d->length;
	r->unit = xstrdup(d->unit);
	s->content->rule = r;
}

static void
set_names(struct submission *s, const Citex__Submit *in)
{
	Citex__Content *c = s->content;

	c->version = 1;
	set_bytes(&c->message_id, id_bytes(&s->id));
	set_bytes(&c->exchange, id_bytes(&s->exchange));
	c->author = xstrdup(s->office->config.authority);
	if (in->all) {
		char audience[32];
		(void)snprintf(audience, sizeof(audience), "all@%lu",
		    (unsigned long)directory_number(s->office->directory));
		c->audience = xstrdup(audience);
	} else {
		c->addressees = xalloc_array(s->to_count, sizeof(char *));
		for (size_t i = 0; i < s->to_count; i++)
			c->addressees[c->n_addressees++] = xstrdup(s->to[i]);
	}
	c->created = (uint64_t)s->now.utc_ms;
	c->kind = xstrdup(s->kind->name);
	c->kind_version = s->kind->version;
	if (s->has_about)
		set_bytes(&c->about, id_bytes(&s->about));
	c->officer = xstrdup(s->officer);
	c->language = xstrdup(in->language[0] != '\0' ? in->language : "en");
	c->directory = directory_number(s->office->directory);
	set_bytes(&c->incarnation,
	    (struct bytes){ book_incarnation(s->office->book), INCARNATION_BYTES });
}

/* What makes two requests the same: all the officer asked for, attachments by their digest. */
static void
digest_request(struct submission *s, const Citex__Submit *in)
{
	CLEANUP(buffer_wipe) struct buffer all = { 0 };
	Citex__Submit bare = *in;

	bare.n_attachments = 0;
	bare.attachments = NULL;
	proto_pack(&bare.base, &all);
	for (size_t i = 0; i < s->content->n_attachments; i++) {
		buffer_add_str(&all, s->content->attachments[i]->name);
		buffer_add(&all, bytes_of_pb(s->content->attachments[i]->digest));
	}
	sha256(buffer_bytes(&all), s->request);
}

/* What the vault will sign has a bound; better told now than found out when it is sealed. */
static enum err
check_size(struct submission *s)
{
	CLEANUP(buffer_wipe) struct buffer packed = { 0 };

	proto_pack(&s->content->base, &packed);
	/* the head of the audit log and its count are not in it yet */
	if (packed.len + DIGEST_BYTES + 64 <= CONTENT_MAX_BYTES)
		return OK;
	return refuse(s, ERR_TOO_LARGE,
	    "the message has %zu bytes, at most %lu fit: shorten it, or attach what is long",
	    packed.len, CONTENT_MAX_BYTES - DIGEST_BYTES - 64);
}

static enum err
build(struct submission *s, struct txn *t, const Citex__Submit *in)
{
	ProtobufCMessage *body = NULL;
	CLEANUP(buffer_wipe) struct buffer packed = { 0 };
	enum err e = take_body(s, in, &body);

	if (e == OK)
		e = name_addressees(s, in);
	if (e == OK)
		e = find_about(s, t, in->about);
	if (e == OK)
		e = check_addressees(s, body, in->even_if_unreadable || in->all);
	if (e == OK)
		e = set_handling(s, in);
	if (e == OK)
		e = set_attachments(s, in);
	if (e == OK) {
		set_names(s, in);
		set_rule(s);
		take_warnings(s, body);
		proto_pack(body, &packed);
		set_bytes(&s->content->body, buffer_bytes(&packed));
		digest_request(s, in);
		e = check_size(s);
	}
	proto_wipe(body);
	return e;
}

/* --- the transaction --- */

static enum err
answer_known(struct submission *s, const Citex__BookMessage *was)
{
	if (!was->outgoing || !bytes_equal(bytes_of_pb(was->request), BYTES_OF(s->request)))
		return refuse(s, ERR_CONFLICT,
		    "this id was used before for another message; choose another --id");
	s->known = true;
	return id_from_bytes(bytes_of_pb(was->exchange), &s->exchange);
}

static enum err
write_addressees(struct submission *s, struct txn *t)
{
	enum err e = OK;

	for (size_t i = 0; e == OK && i < s->to_count; i++) {
		Citex__BookAddressee a = CITEX__BOOK_ADDRESSEE__INIT;
		a.authority = s->to[i];
		a.since = (uint64_t)s->now.utc_ms;
		e = book_next_sequence(s->office->book, t, s->to[i], &a.sequence);
		if (e == OK)
			e = book_put_addressee(s->office->book, t, s->id, (unsigned)i, &a);
	}
	return e;
}

static enum err
write_message(struct submission *s, struct txn *t)
{
	Citex__BookMessage m = CITEX__BOOK_MESSAGE__INIT;
	CLEANUP(buffer_wipe) struct buffer content = { 0 };

	proto_pack(&s->content->base, &content);
	m.id = pb_of_bytes(id_bytes(&s->id));
	m.exchange = pb_of_bytes(id_bytes(&s->exchange));
	m.outgoing = true;
	m.filed = (uint64_t)s->now.utc_ms;
	m.content = pb_of_bytes(buffer_bytes(&content));
	m.officer = s->officer;
	m.subject = s->subject;
	m.request = pb_of_bytes(BYTES_OF(s->request));
	m.addressee_count = (uint32_t)s->to_count;
	m.urgent = s->urgent;
	return book_put_message(s->office->book, t, &m, true);
}

static enum err
submit_run(struct job *j, struct txn *t)
{
	struct submission *s = (struct submission *)j;
	struct book *b = s->office->book;
	Citex__BookMessage *was = NULL;
	uint8_t head[DIGEST_BYTES];
	char text[ID_TEXT_BYTES];
	enum err e = book_message(b, t, s->id, &was);

	if (e == OK) {
		e = answer_known(s, was);
		proto_wipe(&was->base);
		return e;
	}
	if (e != ERR_NOT_FOUND)
		return e;
	if (store_is_low(s->office->store))
		return refuse(s, ERR_STORE_FULL,
		    "the disk of this office is nearly full: nothing new is accepted until there "
		    "is room");
	e = book_audit_head(b, t, &s->content->audit_count, head);
	free(s->content->audit_head.data); /* a batch that was dropped runs once more */
	s->content->audit_head = (ProtobufCBinaryData){ 0, NULL };
	if (e == OK && s->content->audit_count > 0)
		set_bytes(&s->content->audit_head, BYTES_OF(head));
	if (e == OK)
		e = write_message(s, t);
	if (e == OK)
		e = write_addressees(s, t);
	if (e == OK)
		e = book_mark(b, t, LIST_UNSEALED, s->id);
	for (size_t i = 0; e == OK && i < s->handle_count; i++) {
		e = book_unmark(b, t, LIST_UPLOADS, s->handles[i]);
		if (e == OK)
			e = book_put_root(
			    b, t, bytes_of_pb(s->content->attachments[i]->root), s->handles[i]);
	}
	if (e == OK && s->content->rule != NULL)
		e = book_mark(b, t, LIST_CLOCKS, s->exchange);
	id_print(s->id, text);
	return e == OK
	    ? book_audit(b, t, s->now.utc_ms, s->officer, s->kind->verb, text, s->subject)
	    : e;
}

static void seal_message(struct office *o, struct id id); /* below; submit_done() begins it */
static void forget_upload(struct office *o, struct id handle);

static void
tell_submitted(struct submission *s)
{
	Citex__Submitted out = CITEX__SUBMITTED__INIT;
	char id[ID_TEXT_BYTES], exchange[ID_TEXT_BYTES];
	char *warnings[8];

	id_print(s->id, id);
	id_print(s->exchange, exchange);
	for (size_t i = 0; i < s->warning_count; i++)
		warnings[i] = s->warnings[i];
	out.id = id;
	out.exchange = exchange;
	out.to = s->to;
	out.n_to = s->to_count;
	out.warnings = warnings;
	out.n_warnings = s->warning_count;
	out.known = s->known;
	s->done(s->arg, OK, "", &out);
}

static void
submit_done(struct job *j, enum err result)
{
	struct submission *s = (struct submission *)j;
	struct office *o = s->office;

	if (result != OK) {
		s->done(s->arg, result, s->words, NULL);
		submission_free(s);
		return;
	}
	for (size_t i = 0; i < s->handle_count; i++)
		forget_upload(o, s->handles[i]);
	tell_submitted(s);
	if (!s->known) {
		char text[ID_TEXT_BYTES];
		id_print(s->id, text);
		log_event(LEVEL_INFO, "submitted", LOG_TEXT("id", text),
		    LOG_TEXT("kind", s->kind->name), LOG_NUM("addressees", s->to_count));
		seal_message(o, s->id);
		tell_watches(o, "message", s->id, s->kind->name, o->config.authority, "queued");
	}
	submission_free(s);
}

static struct submission *
submission_new(struct office *o, const char *officer, office_submitted *done, void *arg)
{
	struct submission *s = xalloc(sizeof(*s));

	*s = (struct submission){ .job = { submit_run, submit_done, OK, NULL },
		.office = o,
		.officer = xstrdup(officer),
		.now = loop_now(o->loop),
		.done = done,
		.arg = arg };
	s->content = xalloc(sizeof(*s->content));
	citex__content__init(s->content);
	return s;
}

static void
fail(struct submission *s, enum err e)
{
	s->done(s->arg, e, s->words, NULL);
	submission_free(s);
}

static enum err
check_request(struct submission *s, const Citex__Submit *in)
{
	enum err e = id_parse(in->id, &s->id);

	if (e != OK)
		return refuse(s, ERR_VALUE, "`%s' is no message id (a UUID)", in->id);
	s->kind = kind_by_name(in->kind);
	if (s->kind == NULL)
		return refuse(
		    s, ERR_UNKNOWN_KIND, "there is no kind of message called `%s'", in->kind);
	if (s->office->directory == NULL)
		return refuse(s, ERR_LATER,
		    "this office has no directory yet; its post must be running and joined");
	s->urgent = in->urgent;
	return OK;
}

void
office_submit(struct office *o, const Citex__Submit *in, const char *officer,
    office_submitted *done, void *arg)
{
	struct submission *s = submission_new(o, officer, done, arg);
	CLEANUP(store_end_drop) struct txn *t = NULL;
	enum err e = check_request(s, in);

	if (e == OK)
		e = store_read(o->store, &t);
	if (e == OK)
		e = build(s, t, in);
	if (e == OK)
		office_submit_job(o, &s->job);
	else
		fail(s, e);
}

/* --- passing on --- */

static enum err
check_forward(struct submission *s, const Citex__Content *c, const Citex__Forward *f)
{
	char why[HANDLING_WHY_BYTES];

	for (size_t i = 0; i < f->n_to; i++) {
		if (!handling_allows(
			c->handling, c->author, s->office->config.authority, f->to[i], why))
			return refuse(s, ERR_HANDLING, "%s", why);
		add_to(s, f->to[i]);
	}
	return OK;
}

/* The same body, label and attachments, under our name, with where it comes from. */
static enum err
copy_message(struct submission *s, const Citex__BookMessage *m, Citex__Content *c)
{
	uint8_t digest[DIGEST_BYTES];
	Citex__Origin *origin = xalloc(sizeof(*origin));
	Citex__Submit like = CITEX__SUBMIT__INIT;

	s->exchange = s->id;
	set_names(s, &like);
	(void)snprintf(s->subject, sizeof(s->subject), "%s", m->subject);
	s->content->body = c->body;
	c->body = (ProtobufCBinaryData){ 0, NULL };
	s->content->handling = c->handling;
	c->handling = NULL;
	s->content->attachments = c->attachments;
	s->content->n_attachments = c->n_attachments;
	c->attachments = NULL;
	c->n_attachments = 0;
	citex__origin__init(origin);
	origin->author = xstrdup(c->author);
	set_bytes(&origin->message_id, bytes_of_pb(c->message_id));
	sha256(bytes_of_pb(m->signed_data), digest);
	set_bytes(&origin->signed_digest, BYTES_OF(digest));
	s->content->origin = origin;
	return OK;
}

static enum err
build_forward(struct submission *s, struct txn *t, const Citex__Forward *f)
{
	CLEANUP(buffer_release) struct buffer packed = { 0 };
	Citex__BookMessage *m = NULL;
	Citex__Content *c = NULL;
	ProtobufCMessage *body = NULL;
	struct kind_problem problem;
	enum err e = book_find(s->office->book, t, f->message, &s->about);

	if (e == OK)
		e = book_message(s->office->book, t, s->about, &m);
	if (e != OK)
		return refuse(s, e, "%s: %s", f->message, err_words(e));
	c = content_of(m);
	e = c == NULL ? ERR_CORRUPT : check_forward(s, c, f);
	if (e == OK) {
		s->kind = kind_by_name(c->kind);
		s->has_about = true;
		e = s->kind == NULL ? ERR_UNKNOWN_KIND
				    : kind_decode(s->kind, bytes_of_pb(c->body), &body, &problem);
	}
	if (e == OK)
		e = check_addressees(s, body, false);
	if (e == OK)
		e = copy_message(s, m, c);
	proto_pack(&f->base, &packed);
	sha256(buffer_bytes(&packed), s->request);
	proto_wipe(body);
	proto_wipe((ProtobufCMessage *)c);
	proto_wipe((ProtobufCMessage *)m);
	return e;
}

void
office_forward(struct office *o, const Citex__Forward *f, const char *officer,
    office_submitted *done, void *arg)
{
	struct submission *s = submission_new(o, officer, done, arg);
	CLEANUP(store_end_drop) struct txn *t = NULL;
	enum err e = id_parse(f->id, &s->id);

	if (e == OK && o->directory == NULL)
		e = ERR_LATER;
	if (e == OK)
		e = store_read(o->store, &t);
	if (e == OK)
		e = build_forward(s, t, f);
	if (e == OK)
		office_submit_job(o, &s->job);
	else
		fail(s, e);
}

/* --- sealing --- */

struct sealing {
	struct seal_work work; /* first */
	struct job job;
	struct office *office;
	struct id id;
	unsigned *indexes; /* of the addressees */
	size_t left; /* addressees without a key to seal to: later */
	Citex__BookMessage *message;
	struct sealing *next; /* under way */
};

static bool
is_being_sealed(const struct office *o, struct id id)
{
	const struct sealing *s = o->sealings;

	while (s != NULL && !id_equal(s->id, id))
		s = s->next;
	return s != NULL;
}

static void
sealing_free(struct sealing *s)
{
	struct sealing **at = &s->office->sealings;

	while (*at != NULL && *at != s)
		at = &(*at)->next;
	if (*at == s)
		*at = s->next;
	for (size_t i = 0; i < s->work.to_count; i++) {
		buffer_release(&s->work.to[i].packed);
		free((void *)(uintptr_t)s->work.to[i].authority);
	}
	free(s->work.to);
	free(s->indexes);
	buffer_release(&s->work.signed_data);
	proto_wipe((ProtobufCMessage *)s->work.content);
	proto_wipe((ProtobufCMessage *)s->message);
	directory_free(s->work.directory);
	free(s);
}

#define SEALING_OF(j) ((struct sealing *)(void *)((char *)(j)-offsetof(struct sealing, job)))

static enum err
write_sealed(struct sealing *s, struct txn *t, size_t i)
{
	struct book *b = s->office->book;
	const struct seal_addressee *to = &s->work.to[i];
	Citex__BookEnvelope e = CITEX__BOOK_ENVELOPE__INIT;
	Citex__BookAddressee *a = NULL;
	enum err err;

	e.message = pb_of_bytes(id_bytes(&s->id));
	e.addressee = s->indexes[i];
	e.packed = pb_of_bytes(buffer_bytes(&to->packed));
	e.sealed = e.offered = (uint64_t)s->work.now.utc_ms;
	err = book_put_envelope(b, t, to->envelope_id, &e);
	if (err == OK)
		err = book_addressee(b, t, s->id, s->indexes[i], &a);
	if (err == OK) {
		free(a->envelope_id.data);
		set_bytes(&a->envelope_id, id_bytes(&to->envelope_id));
		err = book_put_addressee(b, t, s->id, s->indexes[i], a);
	}
	proto_free((ProtobufCMessage *)a);
	if (err == OK)
		err = book_mark(b, t, LIST_UNSENT, to->envelope_id);
	return err == OK ? book_mark(b, t, LIST_WAITING, to->envelope_id) : err;
}

static enum err
sealed_run(struct job *j, struct txn *t)
{
	struct sealing *s = SEALING_OF(j);
	Citex__BookMessage *m = NULL;
	enum err e;

	/* withdrawn, or sealed already: these bytes never leave */
	if (!book_is_marked(s->office->book, t, LIST_UNSEALED, s->id))
		return ERR_WRONG_STATE;
	e = book_message(s->office->book, t, s->id, &m);
	if (e == OK) {
		if (m->signed_data.len == 0) {
			const struct office_config *c = &s->office->config;
			set_bytes(&m->signed_data, buffer_bytes(&s->work.signed_data));
			set_bytes(&m->signer,
			    (struct bytes){
				cert_key_id(c->signing[c->signing_count - 1].cert), KEY_ID_BYTES });
		}
		e = book_put_message(s->office->book, t, m, false);
	}
	proto_wipe((ProtobufCMessage *)m);
	for (size_t i = 0; e == OK && i < s->work.to_count; i++)
		e = write_sealed(s, t, i);
	/* who has no key yet is sealed to when a directory brings one */
	return e == OK && s->left == 0 ? book_unmark(s->office->book, t, LIST_UNSEALED, s->id) : e;
}

static void
sealed_done(struct job *j, enum err result)
{
	struct sealing *s = SEALING_OF(j);
	char text[ID_TEXT_BYTES];

	id_print(s->id, text);
	for (size_t i = 0; result == OK && i < s->work.to_count; i++)
		mail_add(s->office, false, s->work.to[i].envelope_id, 0);
	if (result != OK && result != ERR_WRONG_STATE)
		log_event(LEVEL_ERROR, "not-sealed", LOG_TEXT("id", text), LOG_ERR(result));
	sealing_free(s);
}

static void
sealing_worked(struct seal_work *w)
{
	struct sealing *s = (struct sealing *)w;
	char text[ID_TEXT_BYTES];

	if (w->err == OK) {
		s->job = (struct job){ sealed_run, sealed_done, OK, NULL };
		office_submit_job(s->office, &s->job);
		return;
	}
	id_print(s->id, text);
	log_event(LEVEL_ERROR, "not-sealed", LOG_TEXT("id", text), LOG_ERR(w->err));
	raise_alarm(s->office, "not-sealed", s->id);
	sealing_free(s);
}

/* An addressee that has no envelope yet, or whose envelope was sealed to a key that is gone. */
static bool
needs_envelope(const Citex__BookAddressee *a)
{
	return a->envelope_id.len == 0;
}

static enum err
gather_addressees(struct sealing *s, struct txn *t)
{
	size_t count = s->message->addressee_count;

	s->work.to = xalloc_array(count, sizeof(*s->work.to));
	s->indexes = xalloc_array(count, sizeof(*s->indexes));
	for (size_t i = 0; i < count; i++) {
		struct seal_addressee *to = &s->work.to[s->work.to_count];
		Citex__BookAddressee *a = NULL;
		const struct directory_authority *known;
		uint8_t chance[10];
		enum err e = book_addressee(s->office->book, t, s->id, (unsigned)i, &a);
		if (e != OK)
			return e;
		known = directory_authority(s->work.directory, a->authority);
		to->key = known != NULL ? directory_sealing_key(known, s->work.now.utc_ms) : NULL;
		if (needs_envelope(a) && to->key != NULL) {
			random_bytes(chance, sizeof(chance));
			to->envelope_id = id_make(s->work.now.utc_ms, chance);
			to->authority = xstrdup(a->authority);
			to->sequence = a->sequence;
			s->indexes[s->work.to_count++] = (unsigned)i;
		} else if (needs_envelope(a)) {
			s->left++;
			log_event(
			    LEVEL_WARNING, "no-sealing-key", LOG_TEXT("authority", a->authority));
		}
		proto_free(&a->base);
	}
	return s->work.to_count > 0 ? OK : ERR_NOT_FOUND;
}

static enum err
load_sealing(struct sealing *s)
{
	CLEANUP(store_end_drop) struct txn *t = NULL;
	enum err e = store_read(s->office->store, &t);

	if (e == OK)
		e = book_message(s->office->book, t, s->id, &s->message);
	if (e != OK)
		return e;
	s->work.content = content_of(s->message);
	if (s->work.content == NULL)
		return ERR_CORRUPT;
	s->work.signed_data_before = bytes_of_pb(s->message->signed_data);
	s->work.created_ms = (int64_t)s->work.content->created;
	s->work.expires_ms = s->work.created_ms + LIFETIME_DEFAULT_MS;
	s->work.priority = s->message->urgent ? 1 : 0;
	return gather_addressees(s, t);
}

static void
seal_message(struct office *o, struct id id)
{
	struct sealing *s;
	enum err e;

	if (o->directory == NULL || is_being_sealed(o, id))
		return; /* send_seal_waiting() comes back */
	s = xalloc(sizeof(*s));
	s->office = o;
	s->id = id;
	s->next = o->sealings;
	o->sealings = s;
	s->work.done = sealing_worked;
	s->work.directory = directory_ref(o->directory);
	s->work.incarnation = book_incarnation(o->book);
	s->work.now = loop_now(o->loop);
	e = load_sealing(s);
	if (e == OK) {
		vault_seal(o->vault, &s->work);
		return;
	}
	sealing_free(s);
}

static bool
seal_marked(void *arg, struct id id)
{
	seal_message(arg, id);
	return true;
}

struct cleaning {
	struct job job;
	struct office *office;
};

static bool
gather_id(void *arg, struct id id)
{
	struct buffer *ids = arg;

	buffer_add(ids, id_bytes(&id));
	return true;
}

/* Attachments whose message was never submitted. */
static enum err
clean_run(struct job *j, struct txn *t)
{
	struct book *b = ((struct cleaning *)j)->office->book;
	CLEANUP(buffer_release) struct buffer ids = { 0 };
	enum err e = book_each_marked(b, t, LIST_UPLOADS, gather_id, &ids);
	struct reader r = { buffer_bytes(&ids), OK };

	while (e == OK && r.left.len > 0) {
		struct id id;
		read_copy(&r, id.at, ID_BYTES);
		e = book_del_chunks(b, t, id);
		if (e == OK)
			e = book_unmark(b, t, LIST_UPLOADS, id);
	}
	return e;
}

static void
clean_done(struct job *j, enum err result)
{
	if (result != OK)
		log_event(LEVEL_WARNING, "uploads-not-cleaned", LOG_ERR(result));
	free(j);
}

void
send_seal_waiting(struct office *o)
{
	CLEANUP(store_end_drop) struct txn *t = NULL;

	if (store_read(o->store, &t) != OK ||
	    book_each_marked(o->book, t, LIST_UNSEALED, seal_marked, o) != OK)
		log_event(
		    LEVEL_ERROR, "queue-unreadable", LOG_TEXT("authority", o->config.authority));
}

enum err
send_open(struct office *o)
{
	struct cleaning *c = xalloc(sizeof(*c));

	/* before any officer can begin an upload: never later */
	*c = (struct cleaning){ { clean_run, clean_done, OK, NULL }, o };
	office_submit_job(o, &c->job);
	send_seal_waiting(o);
	return OK;
}

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

static void
forget_upload(struct office *o, struct id handle)
{
	for (size_t i = 0; i < UPLOADS_MAX; i++) {
		if (o->uploads[i] != NULL && id_equal(o->uploads[i]->handle, handle)) {
			upload_free(o->uploads[i]);
			o->uploads[i] = NULL;
		}
	}
}

void
send_close(struct office *o)
{
	for (size_t i = 0; i < UPLOADS_MAX; i++) {
		if (o->uploads[i] != NULL)
			upload_free(o->uploads[i]);
	}
	merkle_free(o->served);
}

static struct upload *
new_upload(struct office *o, const Citex__Put *p)
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
	p->done(p->arg, result,
	    result == ERR_STORE_FULL
		? "the disk of this office is nearly full: the attachment does not fit"
		: "");
	if (result != OK)
		forget_upload(p->office, p->handle);
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
	    book_has_chunk(o->book, t, id, 0);
}

static enum err
check_put(struct office *o, const Citex__Put *p, struct upload **out, const char **words)
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
	u = find_upload(o, bytes_of_pb(p->handle));
	if (u == NULL && p->offset == 0 && is_used_handle(o, bytes_of_pb(p->handle))) {
		*words = "this attachment was sent before; send it anew";
		return ERR_CONFLICT;
	}
	if (u == NULL && p->offset == 0)
		u = new_upload(o, p);
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
office_put(struct office *o, const Citex__Put *p, office_done *done, void *arg)
{
	struct upload *u = NULL;
	struct put_job *j;
	const char *words;
	enum err e = check_put(o, p, &u, &words);

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

/* --- chunks for the post --- */

/* The leaves of an attachment, from its chunks: kept for the one last served. */
static enum err
load_leaves(struct office *o, struct txn *t, const uint8_t *root)
{
	struct id handle = book_handle(o->book, t, (struct bytes){ root, DIGEST_BYTES });
	uint8_t is[DIGEST_BYTES];

	if (o->served != NULL && memcmp(o->served_root, root, DIGEST_BYTES) == 0)
		return OK;
	merkle_free(o->served);
	o->served = merkle_new();
	for (uint32_t i = 0; book_has_chunk(o->book, t, handle, i); i++) {
		CLEANUP(buffer_release) struct buffer data = { 0 };
		enum err e = book_chunk(o->book, t, handle, i, &data);
		if (e != OK)
			return e;
		merkle_add(o->served, buffer_bytes(&data));
	}
	merkle_root(o->served, is);
	if (memcmp(is, root, DIGEST_BYTES) != 0) {
		memset(o->served_root, 0, DIGEST_BYTES);
		return ERR_NOT_FOUND;
	}
	memcpy(o->served_root, root, DIGEST_BYTES);
	return OK;
}

void
send_chunk_wanted(struct office *o, const uint8_t *root, uint32_t index)
{
	CLEANUP(store_end_drop) struct txn *t = NULL;
	CLEANUP(buffer_release) struct buffer data = { 0 };
	Citex__Chunk c = CITEX__CHUNK__INIT;
	uint8_t path[MERKLE_PATH_MAX][DIGEST_BYTES];
	ProtobufCBinaryData path_list[MERKLE_PATH_MAX];
	struct event ev = {
		.type = EVENT_CHUNK_READ, .root = { root, DIGEST_BYTES }, .index = index
	};
	enum err e = store_read(o->store, &t);

	if (e == OK)
		e = load_leaves(o, t, root);
	if (e == OK)
		e = book_chunk(o->book, t, book_handle(o->book, t, ev.root), index, &data);
	if (e == OK) {
		c.root = pb_of_bytes(ev.root);
		c.index = index;
		c.n_path = merkle_path(o->served, index, path);
		for (size_t i = 0; i < c.n_path; i++)
			path_list[i] = pb_of_bytes(BYTES_OF(path[i]));
		c.path = path_list;
		c.data = pb_of_bytes(buffer_bytes(&data));
		ev.chunk = &c;
	}
	mail_event(o, &ev);
}

/* --- slips that come home --- */

struct slip_job {
	struct job job;
	struct office *office;
	uint32_t number;
	struct slip slip;
	struct buffer packed;
	struct directory *directory;
	struct id message;
	char authority[AUTHORITY_MAX_BYTES + 1];
	bool changed, ended;
	uint64_t session; /* whose offer it was */
};

static int
rank(Citex__SlipType type)
{
	/* a valid receipt outranks `expired' (docs/protocol.md, 5); and one that came after a
	 * refusal, which an officer there had looked at again */
	static const int ranks[] = { 0, 2, 3, 5, 6, 4, 1 };

	return (unsigned)type < sizeof(ranks) / sizeof(*ranks) ? ranks[type] : 0;
}

static void
apply_slip(Citex__BookAddressee *a, const Citex__SlipBody *b)
{
	if (b->type == CITEX__SLIP_TYPE__SLIP_STORED && a->stored == 0)
		a->stored = b->time;
	if (b->type == CITEX__SLIP_TYPE__SLIP_OPENED && a->opened == 0)
		a->opened = b->time;
	if (rank(b->type) <= rank(a->reached))
		return;
	a->reached = b->type;
	a->since = b->time;
	free(a->reason);
	free(a->words);
	a->reason = xstrdup(b->reason);
	a->words = xstrdup(b->words);
}

/* protobuf-c's empty string is nobody's to free. */
static void
own_strings(Citex__BookAddressee *a)
{
	if (a->reason == protobuf_c_empty_string)
		a->reason = xstrdup("");
	if (a->words == protobuf_c_empty_string)
		a->words = xstrdup("");
}

static bool
ends_wait(Citex__SlipType type)
{
	return type != CITEX__SLIP_TYPE__SLIP_RELAYED && type != CITEX__SLIP_TYPE__SLIP_STORED;
}

static enum err
update_addressee(struct slip_job *s, struct txn *t, const Citex__BookEnvelope *e)
{
	struct book *b = s->office->book;
	Citex__BookAddressee *a = NULL;
	Citex__SlipType before;
	enum err err = id_from_bytes(bytes_of_pb(e->message), &s->message);

	if (err == OK)
		err = book_addressee(b, t, s->message, e->addressee, &a);
	if (err != OK)
		return err;
	before = a->reached;
	own_strings(a);
	apply_slip(a, s->slip.body);
	s->changed = a->reached != before;
	memcpy(s->authority, a->authority, strlen(a->authority));
	err = book_put_addressee(b, t, s->message, e->addressee, a);
	proto_free(&a->base);
	return err;
}

static enum err
slip_run(struct job *j, struct txn *t)
{
	struct slip_job *s = (struct slip_job *)j;
	struct book *b = s->office->book;
	Citex__BookEnvelope *e = NULL;
	struct envelope envelope = { 0 };
	enum err err = book_envelope(b, t, s->slip.envelope_id, &e);

	if (err == ERR_NOT_FOUND)
		return OK; /* not ours, or long forgotten: nothing is lost by letting it go */
	if (err == OK)
		err = envelope_parse(bytes_of_pb(e->packed), &envelope);
	if (err == OK && slip_fits(s->directory, &s->slip, &envelope) != OK) {
		envelope_release(&envelope);
		proto_free(&e->base);
		return OK; /* signed, but not theirs to say */
	}
	envelope_release(&envelope);
	if (err == OK)
		err = book_put_slip(
		    b, t, s->slip.envelope_id, s->slip.body->type, buffer_bytes(&s->packed));
	if (err == OK)
		err = update_addressee(s, t, e);
	if (err == OK)
		err = book_unmark(b, t, LIST_UNSENT, s->slip.envelope_id);
	if (err == OK && ends_wait(s->slip.body->type)) {
		err = book_unmark(b, t, LIST_WAITING, s->slip.envelope_id);
		s->ended = true;
	}
	if (err == OK && s->slip.body->type != CITEX__SLIP_TYPE__SLIP_RELAYED && e->ended == 0) {
		e->ended = s->slip.body->time;
		err = book_put_envelope(b, t, s->slip.envelope_id, e);
	}
	proto_free((ProtobufCMessage *)e);
	return err;
}

static const char *
slip_word(Citex__SlipType type)
{
	static const char *const words[] = { "queued", "relayed", "stored", "opened", "seen",
		"refused", "expired" };

	return (unsigned)type < sizeof(words) / sizeof(*words) ? words[type] : "queued";
}

static void
slip_job_free(struct slip_job *s)
{
	slip_release(&s->slip);
	buffer_release(&s->packed);
	directory_free(s->directory);
	free(s);
}

static void
slip_done(struct job *j, enum err result)
{
	struct slip_job *s = (struct slip_job *)j;
	struct office *o = s->office;
	struct event ev = { .type = EVENT_COMMITTED, .number = s->number, .result = result };
	char text[ID_TEXT_BYTES];

	if (s->session == o->session_number)
		mail_event(o, &ev);
	if (result == OK && s->changed) {
		id_print(s->message, text);
		log_event(LEVEL_INFO, slip_word(s->slip.body->type), LOG_TEXT("id", text),
		    LOG_TEXT("addressee", s->authority), LOG_TEXT("reason", s->slip.body->reason));
		mail_forget(o, s->slip.envelope_id);
		tell_watches(
		    o, "state", s->message, "", s->authority, slip_word(s->slip.body->type));
	}
	slip_job_free(s);
}

void
send_slip_arrived(struct office *o, uint32_t number, Citex__Slip *pb)
{
	struct slip_job *s = xalloc(sizeof(*s));
	struct event ev = { .type = EVENT_COMMITTED, .number = number };
	enum err e;

	*s = (struct slip_job){ .job = { slip_run, slip_done, OK, NULL },
		.office = o,
		.number = number,
		.session = o->session_number };
	proto_pack(&pb->base, &s->packed);
	e = slip_take(pb, &s->slip);
	if (e != OK)
		proto_free(&pb->base);
	if (e == OK)
		e = o->directory == NULL ? ERR_LATER
					 : slip_verify(&o->cache, o->directory, &s->slip);
	if (e == OK) {
		s->directory = directory_ref(o->directory);
		office_submit_job(o, &s->job);
		return;
	}
	/* A key not known yet is a matter of time; what is false is taken and thrown away. */
	log_event(LEVEL_WARNING, "slip-not-taken", LOG_ERR(e));
	ev.result = e == ERR_UNKNOWN_KEY || e == ERR_LATER ? ERR_LATER : OK;
	slip_job_free(s);
	mail_event(o, &ev);
}

/* --- offering again --- */

struct reoffer_job {
	struct job job;
	struct office *office;
	struct buffer ids;
};

static enum err
reoffer_run(struct job *j, struct txn *t)
{
	struct reoffer_job *r = (struct reoffer_job *)j;
	struct book *b = r->office->book;
	enum err e = book_each_marked(b, t, LIST_WAITING, gather_id, &r->ids);
	struct reader in = { buffer_bytes(&r->ids), OK };

	while (e == OK && in.left.len > 0) {
		struct id id;
		read_copy(&in, id.at, ID_BYTES);
		e = book_mark(b, t, LIST_UNSENT, id);
	}
	return e;
}

static void
reoffer_done(struct job *j, enum err result)
{
	struct reoffer_job *r = (struct reoffer_job *)j;

	if (result == OK)
		mail_reload(r->office);
	buffer_release(&r->ids);
	free(r);
}

void
send_reoffer(struct office *o)
{
	struct reoffer_job *r = xalloc(sizeof(*r));

	*r = (struct reoffer_job){ .job = { reoffer_run, reoffer_done, OK, NULL }, .office = o };
	office_submit_job(o, &r->job);
}

/* --- taking back --- */

struct withdraw_job {
	struct job job;
	struct office *office;
	struct id id;
	char *officer;
	int64_t now_ms;
	office_done *done;
	void *arg;
	const char *words;
};

/* FN for the envelope of each addressee that has one. */
static enum err
each_envelope(struct withdraw_job *w, struct txn *t, const Citex__BookMessage *m,
    enum err (*fn)(struct withdraw_job *w, struct txn *t, struct id envelope))
{
	enum err e = OK;

	for (unsigned i = 0; e == OK && i < m->addressee_count; i++) {
		Citex__BookAddressee *a = NULL;
		struct id envelope;
		e = book_addressee(w->office->book, t, w->id, i, &a);
		if (e == OK && id_from_bytes(bytes_of_pb(a->envelope_id), &envelope) == OK)
			e = fn(w, t, envelope);
		proto_free((ProtobufCMessage *)a);
	}
	return e;
}

static enum err
is_still_here(struct withdraw_job *w, struct txn *t, struct id envelope)
{
	if (book_is_marked(w->office->book, t, LIST_UNSENT, envelope))
		return OK;
	w->words = "it has left this office already; send a note that corrects it";
	return ERR_WRONG_STATE;
}

static enum err
take_off_lists(struct withdraw_job *w, struct txn *t, struct id envelope)
{
	enum err e = book_unmark(w->office->book, t, LIST_UNSENT, envelope);

	return e == OK ? book_unmark(w->office->book, t, LIST_WAITING, envelope) : e;
}

static enum err
withdraw_run(struct job *j, struct txn *t)
{
	struct withdraw_job *w = (struct withdraw_job *)j;
	struct book *b = w->office->book;
	Citex__BookMessage *m = NULL;
	char text[ID_TEXT_BYTES];
	enum err e = book_message(b, t, w->id, &m);

	id_print(w->id, text);
	if (e == OK && (!m->outgoing || m->withdrawn)) {
		w->words = m->outgoing ? "it was withdrawn before"
				       : "only a message of yours can be withdrawn";
		e = ERR_WRONG_STATE;
	}
	/* checked before anything is written: a batch keeps what a refused job wrote */
	if (e == OK)
		e = each_envelope(w, t, m, is_still_here);
	if (e == OK)
		e = each_envelope(w, t, m, take_off_lists);
	if (e == OK)
		e = book_unmark(b, t, LIST_UNSEALED, w->id);
	if (e == OK) {
		m->withdrawn = true;
		e = book_put_message(b, t, m, false);
	}
	proto_wipe((ProtobufCMessage *)m);
	return e == OK ? book_audit(b, t, w->now_ms, w->officer, "withdraw", text, "") : e;
}

static void
withdraw_done(struct job *j, enum err result)
{
	struct withdraw_job *w = (struct withdraw_job *)j;

	w->done(w->arg, result, w->words != NULL ? w->words : "");
	if (result != OK)
		mail_reload(w->office); /* what was held back goes on */
	if (result == OK)
		tell_watches(w->office, "state", w->id, "", "", "withdrawn");
	free(w->officer);
	free(w);
}

/* Offered to the post and not answered: it may be there already. What was not offered is held back.
 */
static bool
is_on_its_way(struct office *o, struct id message)
{
	CLEANUP(store_end_drop) struct txn *t = NULL;
	Citex__BookMessage *m = NULL;
	bool offered = false;

	if (store_read(o->store, &t) != OK || book_message(o->book, t, message, &m) != OK)
		return false; /* the transaction says what is wrong */
	for (unsigned i = 0; i < m->addressee_count; i++) {
		Citex__BookAddressee *a = NULL;
		struct id envelope;
		if (book_addressee(o->book, t, message, i, &a) == OK &&
		    id_from_bytes(bytes_of_pb(a->envelope_id), &envelope) == OK) {
			mail_forget(o, envelope);
			offered = offered || mail_is_offered(o, envelope);
		}
		proto_free((ProtobufCMessage *)a);
	}
	proto_wipe(&m->base);
	return offered;
}

void
office_withdraw(
    struct office *o, struct id message, const char *officer, office_done *done, void *arg)
{
	struct withdraw_job *w = xalloc(sizeof(*w));

	*w = (struct withdraw_job){ { withdraw_run, withdraw_done, OK, NULL }, o, message,
		xstrdup(officer), loop_now(o->loop).utc_ms, done, arg, NULL };
	if (is_on_its_way(o, message)) {
		w->words = "it is on its way already; send a note that corrects it";
		withdraw_done(&w->job, ERR_WRONG_STATE);
		return;
	}
	office_submit_job(o, &w->job);
}
