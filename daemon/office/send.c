/* SPDX-License-Identifier: Apache-2.0 */
/* The road out begins here: submit, or pass on. What is accepted is on disk
 * before the officer hears so. And the chunks that a post asks for. */
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/office/history.h"
#include "daemon/office/inside.h"
#include "pki/ossl.h"
#include "proto/codes.h"
#include "proto/decode.h"
#include "proto/handling.h"
#include "proto/kind.h"

#define WORDS_BYTES 400
#define WARNINGS_MAX 8

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
	char warnings[WARNINGS_MAX][300];
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

Citex__Content *
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
refuse_body(struct submission *s, enum err e, const struct kind_problem *p)
{
	return refuse(s, e, "%s%s%s", p->path, p->path[0] != '\0' ? ": " : "",
	    p->words[0] != '\0' ? p->words : err_words(e));
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
		if (a == me)
			return refuse(
			    s, ERR_VALUE, "%s is your own authority: name another", me->id);
		if (!kind_allowed(s->kind, me->roles, a->roles))
			return refuse(s, ERR_DENIED, "%s may not send a %s to %s (%s)", me->id,
			    s->kind->name, a->id, s->kind->paragraph);
		if (!reads_kind(a, s->kind) && !even_if_unreadable)
			return refuse(s, ERR_UNREADABLE,
			    "%s cannot read messages of kind %s; --even-if-unreadable sends it all "
			    "the same",
			    a->id, s->kind->name);
		if (kind_check_addressee(s->kind, body, a->roles, &problem) != OK)
			return refuse_body(s, ERR_VALUE, &problem);
	}
	return OK;
}

/* --- the content --- */

static enum err
read_body(struct submission *s, struct bytes packed, ProtobufCMessage **body)
{
	struct kind_problem problem;
	enum err e = kind_decode(s->kind, packed, body, &problem);

	return e == OK ? OK : refuse_body(s, e, &problem);
}

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
		return refuse_body(s, e, &problem);
	kind_subject(s->kind, *body, s->subject);
	return OK;
}

/* The date that a message promises: it lies ahead, and does not put the clock out of use. */
static enum err
check_until(struct submission *s, const ProtobufCMessage *body)
{
	int64_t until_ms = s->kind->until != NULL ? s->kind->until(body) : 0;

	if (until_ms != 0 && until_ms < s->now.utc_ms)
		return refuse(s, ERR_VALUE, "this date has passed: name one that lies ahead");
	if (until_ms > s->now.utc_ms + UNTIL_MAX_MS)
		return refuse(s, ERR_VALUE,
		    "this date is more than a year ahead: name an earlier one, and give another "
		    "interim answer then");
	return OK;
}

static void
take_warnings(struct submission *s, const ProtobufCMessage *body)
{
	struct kind_problem problems[WARNINGS_MAX];
	size_t count = s->kind->warn != NULL
	    ? s->kind->warn(body, problems, WARNINGS_MAX - s->warning_count)
	    : 0;

	for (size_t i = 0; i < count; i++)
		(void)snprintf(s->warnings[s->warning_count++], sizeof(s->warnings[0]),
		    "%.63s: %.199s", problems[i].path, problems[i].words);
}

/* How M fits what it is about, as far as its author should hear. Nothing new when M is here: the
 * same command was given again. */
static enum err
take_advice(struct submission *s, struct txn *t, const ProtobufCMessage *body)
{
	CLEANUP(history_release) struct history d = { 0 };
	const struct kind *k = s->kind;
	struct exchange_message m = { .id = s->id,
		.kind = k,
		.author = s->office->config.authority,
		.created_ms = s->now.utc_ms,
		.has_about = s->has_about,
		.about = s->about,
		.is_final = k->is_final == NULL || k->is_final(body),
		.until_ms = k->until != NULL ? k->until(body) : 0 };
	const char *words;
	enum err e;

	if (!s->has_about || k->effect == EFFECT_NONE || k->effect == EFFECT_ASKS)
		return OK;
	e = history_load(s->office, t, s->exchange, s->now.utc_ms, &d);
	if (e != OK)
		return e;
	for (size_t i = 0; i < d.count; i++) {
		if (id_equal(d.facts[i].id, s->id))
			return OK;
	}
	words = exchange_advice(&d.exchange, &m);
	if (words != NULL && s->warning_count < WARNINGS_MAX)
		(void)snprintf(
		    s->warnings[s->warning_count++], sizeof(s->warnings[0]), "%s", words);
	return OK;
}

void
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
		struct upload *u = upload_find(s->office, bytes_of_pb(in->attachments[i]));
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
		e = check_until(s, body);
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
	if (e == OK)
		e = take_advice(s, t, body);
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

static void
tell_submitted(struct submission *s)
{
	Citex__Submitted out = CITEX__SUBMITTED__INIT;
	char id[ID_TEXT_BYTES], exchange[ID_TEXT_BYTES];
	char *warnings[WARNINGS_MAX];

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
	for (size_t i = 0; i < s->handle_count; i++) {
		if (s->known) /* the message has those that came with it the first time */
			upload_give_up(o, s->handles[i]);
		else
			upload_forget(o, s->handles[i]);
	}
	tell_submitted(s);
	if (!s->known) {
		char text[ID_TEXT_BYTES];
		id_print(s->id, text);
		log_event(LEVEL_INFO, "submitted", LOG_TEXT("id", text),
		    LOG_TEXT("kind", s->kind->name), LOG_NUM("addressees", s->to_count));
		sealing_begin(o, s->id);
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

/* The body of C, stated to be fit for the Secretariat by who passes it on. */
static enum err
release_body(struct submission *s, Citex__Content *c, const char *statement)
{
	CLEANUP(buffer_wipe) struct buffer packed = { 0 };
	ProtobufCMessage *body = NULL;
	struct kind_problem problem;
	enum err e = read_body(s, bytes_of_pb(c->body), &body);

	if (e != OK)
		return e;
	e = kind_set_release(s->kind, body, statement, &problem);
	if (e != OK)
		e = refuse_body(s, e, &problem);
	else
		proto_pack(body, &packed);
	proto_wipe(body);
	if (e != OK)
		return e;
	explicit_bzero(c->body.data, c->body.len);
	free(c->body.data);
	set_bytes(&c->body, buffer_bytes(&packed));
	return OK;
}

static enum err
build_forward(struct submission *s, struct txn *t, const Citex__Forward *f)
{
	CLEANUP(buffer_release) struct buffer packed = { 0 };
	Citex__BookMessage *m = NULL;
	Citex__Content *c = NULL;
	ProtobufCMessage *body = NULL;
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
		e = s->kind == NULL ? ERR_UNKNOWN_KIND : OK;
	}
	if (e == OK && f->release[0] != '\0')
		e = release_body(s, c, f->release);
	if (e == OK)
		e = read_body(s, bytes_of_pb(c->body), &body);
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

void
send_close(struct office *o)
{
	merkle_free(o->served);
}
