/* SPDX-License-Identifier: Apache-2.0 */
/* Listings and views. A row of a message that asks needs its whole exchange,
 * for its clock; any other row needs the message alone. */
#include "daemon/office/display.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pki/ossl.h"
#include "pki/slip.h"

/* Addressees whose proofs fit one frame; of a larger broadcast the states are shown, and the bundle
 * has the proofs. */
#define PROOFS_SHOWN_MAX 128

void
text_set(char **field, const char *value)
{
	if (*field != NULL && *field != protobuf_c_empty_string)
		free(*field);
	*field = xstrdup(value != NULL ? value : "");
}

void
text_add(char ***list, size_t *count, const char *value)
{
	*list = xgrow(*list, *count + 1, sizeof(char *));
	(*list)[(*count)++] = xstrdup(value);
}

void
text_set_id(char **field, ProtobufCBinaryData bytes)
{
	char text[ID_TEXT_BYTES] = "";
	struct id id;
	if (id_from_bytes(bytes_of_pb(bytes), &id) == OK && !id_is_zero(id))
		id_print(id, text);
	text_set(field, text);
}

void
text_set_time(char **field, int64_t utc_ms)
{
	char text[TIME_TEXT_BYTES];
	time_print(utc_ms, text);
	text_set(field, text);
}

void *
message_new(const ProtobufCMessageDescriptor *d)
{
	ProtobufCMessage *m = xalloc(d->sizeof_message);
	protobuf_c_message_init(d, m);
	return m;
}

void
message_add(void *list, size_t *count, void *m)
{
	void ***at = list;
	*at = xgrow(*at, *count + 1, sizeof(void *));
	(*at)[(*count)++] = m;
}

const char *
slip_word(Citex__SlipType type)
{
	static const char *const words[] = {
		[CITEX__SLIP_TYPE__SLIP_NONE] = "queued",
		[CITEX__SLIP_TYPE__SLIP_RELAYED] = "relayed",
		[CITEX__SLIP_TYPE__SLIP_STORED] = "stored",
		[CITEX__SLIP_TYPE__SLIP_OPENED] = "opened",
		[CITEX__SLIP_TYPE__SLIP_SEEN] = "seen",
		[CITEX__SLIP_TYPE__SLIP_REFUSED] = "refused",
		[CITEX__SLIP_TYPE__SLIP_EXPIRED] = "expired",
	};
	size_t i = (size_t)type;
	return i < sizeof(words) / sizeof(*words) ? words[i] : "queued";
}

static struct id
id_of(const struct history_message *m)
{
	struct id id = { 0 };
	memcpy(id.at, m->message->id.data, ID_BYTES); /* 16 bytes: history_load() has looked */
	return id;
}

/* The clock that M has started at AUTHORITY; NULL: none. */
static const struct exchange_clock *
clock_of(const struct history *d, const struct history_message *m, const char *authority)
{
	for (size_t i = 0; i < d->exchange.clock_count; i++) {
		const struct exchange_clock *c = &d->exchange.clocks[i];
		if (id_equal(c->message, id_of(m)) && strcmp(c->authority, authority) == 0)
			return c;
	}
	return NULL;
}

/* How far M is at addressee I: its newest slip, or that it has answered. *SINCE_MS may be NULL. */
static const char *
addressee_state(
    const struct history *d, const struct history_message *m, size_t i, int64_t *since_ms)
{
	const Citex__BookAddressee *a = m->addressees[i];
	const struct exchange_clock *c = clock_of(d, m, a->authority);
	int64_t since = a->reached != CITEX__SLIP_TYPE__SLIP_NONE ? (int64_t)a->since
								  : (int64_t)m->message->filed;
	const char *word = slip_word(a->reached);
	if (m->message->withdrawn)
		word = "withdrawn";
	if (c != NULL && c->answered_ms != 0) {
		since = c->answered_ms;
		word = "answered";
	}
	if (since_ms != NULL)
		*since_ms = since;
	return word;
}

/* The way in order; what ended elsewhere counts as far. */
static int
rank_of(const char *state)
{
	static const char *const order[] = { "queued", "relayed", "stored", "opened", "seen",
		"answered" };
	for (int i = 0; i < 6; i++) {
		if (strcmp(state, order[i]) == 0)
			return i;
	}
	return 6;
}

/* Of a message of ours: the state of who is least far. */
static const char *
least_state(const struct history *d, const struct history_message *m)
{
	const char *least = m->message->withdrawn ? "withdrawn" : "queued";
	int rank = 7;
	for (size_t i = 0; i < m->addressee_count; i++) {
		const char *state = addressee_state(d, m, i, NULL);
		if (rank_of(state) >= rank)
			continue;
		rank = rank_of(state);
		least = state;
	}
	return least;
}

/* When the first open answer to M is due; 0: nothing is. */
static int64_t
first_due(const struct history *d, const struct history_message *m, int64_t now_ms, bool *overdue)
{
	int64_t due_ms = 0;
	*overdue = false;
	if (d->exchange.status == EXCHANGE_CLOSED)
		return 0;
	for (size_t i = 0; i < d->exchange.clock_count; i++) {
		const struct exchange_clock *c = &d->exchange.clocks[i];
		if (!id_equal(c->message, id_of(m)) || c->answered_ms != 0 || c->ended ||
		    c->due_ms == 0)
			continue;
		if (due_ms == 0 || c->due_ms < due_ms)
			due_ms = c->due_ms;
		*overdue = *overdue || exchange_clock_is_overdue(c, now_ms);
	}
	return due_ms;
}

static void
add_addressees(const struct history_message *m, Citex__MessageRow *row)
{
	for (size_t i = 0; i < m->addressee_count; i++)
		text_add(&row->to, &row->n_to, m->addressees[i]->authority);
	for (size_t i = 0; m->addressee_count == 0 && i < m->content->n_addressees; i++)
		text_add(&row->to, &row->n_to, m->content->addressees[i]);
	if (row->n_to == 0 && m->content->audience[0] != '\0')
		text_add(&row->to, &row->n_to, m->content->audience);
}

static bool
asks(const struct history_message *m)
{
	return m->kind != NULL && m->kind->effect == EFFECT_ASKS;
}

static const char *
incoming_state(const struct history *d, const struct history_message *m)
{
	if (asks(m))
		return exchange_status_word(d->exchange.status);
	return m->message->new_ ? "new" : "read";
}

static Citex__MessageRow *
make_row(const struct display *v, const struct history *d, const struct history_message *m)
{
	Citex__MessageRow *row = message_new(&citex__message_row__descriptor);
	bool overdue = false;
	int64_t due_ms = first_due(d, m, v->now_ms, &overdue);
	text_set_id(&row->id, m->message->id);
	text_set_id(&row->exchange, m->message->exchange);
	text_set(&row->kind, m->content->kind);
	text_set(&row->from, m->content->author);
	add_addressees(m, row);
	text_set_time(&row->time, (int64_t)m->content->created);
	text_set(&row->subject, m->message->subject);
	text_set(&row->state, m->message->outgoing ? least_state(d, m) : incoming_state(d, m));
	text_set_time(&row->due, due_ms);
	row->overdue = overdue;
	for (size_t i = 0; i < m->addressee_count; i++)
		row->silent =
		    row->silent || history_is_silent(m->message, m->addressees[i], v->now_ms);
	row->new_ = m->message->new_;
	row->urgent = m->message->urgent;
	if (m->content->handling != NULL)
		text_set(&row->handling, m->content->handling->tlp);
	return row;
}

/* The message's exchange, and it in it. */
static enum err
load_both(
    const struct display *v, struct id message, struct history *d, const struct history_message **m)
{
	CLEANUP(proto_wipe_drop) Citex__BookMessage *book = NULL;
	struct id exchange;
	enum err e = book_message(v->book, v->t, message, &book);
	*d = (struct history){ 0 };
	if (e != OK)
		return e;
	if (id_from_bytes(bytes_of_pb(book->exchange), &exchange) != OK)
		return ERR_CORRUPT;
	e = history_load(v->office, v->t, exchange, v->now_ms, d);
	if (e != OK)
		return e;
	*m = NULL;
	for (size_t i = 0; i < d->count; i++) {
		if (id_equal(id_of(&d->messages[i]), message))
			*m = &d->messages[i];
	}
	return *m != NULL ? OK : ERR_CORRUPT;
}

enum err
display_row(const struct display *v, struct id message, Citex__MessageRow **out)
{
	CLEANUP(history_message_release) struct history_message alone = { 0 };
	CLEANUP(history_release) struct history d = { 0 };
	const struct history_message *m = &alone;
	enum err e = history_message_load(v->office, v->t, message, &alone);
	if (e == OK && asks(&alone))
		e = load_both(v, message, &d, &m);
	if (e == OK)
		*out = make_row(v, &d, m);
	return e;
}

/* One addressee, or one that owes. */

static void
add_proofs(const struct display *v, struct id envelope, Citex__Addressee *out)
{
	for (int type = CITEX__SLIP_TYPE__SLIP_RELAYED; type <= CITEX__SLIP_TYPE__SLIP_EXPIRED;
	     type++) {
		CLEANUP(buffer_release) struct buffer packed = { 0 };
		CLEANUP(slip_release) struct slip slip = { 0 };
		if (book_slip(v->book, v->t, envelope, (unsigned)type, &packed) != OK ||
		    slip_parse(buffer_bytes(&packed), &slip) != OK)
			continue;
		Citex__Proven *p = message_new(&citex__proven__descriptor);
		text_set(&p->state, slip_word(slip.body->type));
		text_set_time(&p->time, (int64_t)slip.body->time);
		text_set(&p->maker, slip.body->maker);
		message_add(&out->proofs, &out->n_proofs, p);
	}
}

static uint64_t
total_bytes(const struct history_message *m)
{
	uint64_t total = m->message->signed_data.len;
	for (size_t i = 0; i < m->content->n_attachments; i++)
		total += m->content->attachments[i]->sealed_length;
	return total;
}

/* What the post says of the way, while it is on it. */
static void
add_progress(const struct display *v, const struct history_message *m,
    const Citex__BookAddressee *a, struct id envelope, Citex__Addressee *out)
{
	const Citex__Progress *p = v->office != NULL ? office_progress(v->office, envelope) : NULL;
	bool there = a->stored != 0 || a->opened != 0;
	out->bytes_total = total_bytes(m);
	out->bytes = there ? out->bytes_total : 0;
	if (p == NULL || there || m->message->withdrawn ||
	    a->reached > CITEX__SLIP_TYPE__SLIP_RELAYED)
		return;
	text_set_time(&out->last_try, (int64_t)p->last_try);
	text_set_time(&out->next_try, (int64_t)p->next_try);
	if (strcmp(p->reason, "ok") != 0)
		text_set(&out->reason, p->reason);
	text_set(&out->words, p->words);
	if (p->bytes_total != 0) {
		out->bytes = p->bytes;
		out->bytes_total = p->bytes_total;
	}
}

static void
add_clock(const struct display *v, const struct exchange_clock *c, Citex__Addressee *out)
{
	char date[TIME_TEXT_BYTES];
	if (c == NULL)
		return;
	text_set_time(&out->due, c->due_ms);
	out->overdue = exchange_clock_is_overdue(c, v->now_ms);
	date_print(c->until_ms, date);
	text_set(&out->until, date);
}

static Citex__Addressee *
make_addressee(
    const struct display *v, const struct history *d, const struct history_message *m, size_t i)
{
	const Citex__BookAddressee *a = m->addressees[i];
	Citex__Addressee *out = message_new(&citex__addressee__descriptor);
	struct id envelope;
	int64_t since_ms = 0;
	text_set(&out->authority, a->authority);
	text_set(&out->state, addressee_state(d, m, i, &since_ms));
	text_set_time(&out->since, since_ms);
	text_set(&out->reason, a->reason);
	text_set(&out->words, a->words);
	out->silent = history_is_silent(m->message, a, v->now_ms);
	add_clock(v, clock_of(d, m, a->authority), out);
	if (id_from_bytes(bytes_of_pb(a->envelope_id), &envelope) != OK)
		return out;
	add_progress(v, m, a, envelope, out);
	if (m->addressee_count <= PROOFS_SHOWN_MAX)
		add_proofs(v, envelope, out);
	return out;
}

/* Of a message that came in: ourselves. */
static Citex__Addressee *
make_ourselves(const struct display *v, const struct history *d, const struct history_message *m)
{
	Citex__Addressee *out = message_new(&citex__addressee__descriptor);
	const struct exchange_clock *c = clock_of(d, m, v->me);
	uint8_t digest[DIGEST_BYTES];
	text_set(&out->authority, v->me);
	text_set(&out->state, m->message->new_ ? "opened" : "seen");
	text_set_time(
	    &out->since, (int64_t)(m->message->new_ ? m->message->filed : m->message->shown));
	if (c != NULL && c->answered_ms != 0) {
		text_set(&out->state, "answered");
		text_set_time(&out->since, c->answered_ms);
	}
	out->bytes = out->bytes_total = total_bytes(m);
	add_clock(v, c, out);
	sha256(bytes_of_pb(m->message->outer), digest);
	add_proofs(v, book_arrival_name(digest), out);
	return out;
}

static void
add_all(const struct display *v, const struct history *d, const struct history_message *m,
    Citex__Addressee ***list, size_t *count)
{
	if (!m->message->outgoing)
		message_add(list, count, make_ourselves(v, d, m));
	for (size_t i = 0; i < m->addressee_count; i++)
		message_add(list, count, make_addressee(v, d, m, i));
}

enum err
display_tracking(const struct display *v, struct id message, Citex__Tracking **out)
{
	CLEANUP(history_release) struct history d = { 0 };
	const struct history_message *m = NULL;
	enum err e = load_both(v, message, &d, &m);
	if (e != OK)
		return e;
	*out = message_new(&citex__tracking__descriptor);
	text_set_id(&(*out)->id, m->message->id);
	text_set(&(*out)->kind, m->content->kind);
	add_all(v, &d, m, &(*out)->addressees, &(*out)->n_addressees);
	return OK;
}

/* The message that began it; the first there is when that one is not here. Ids are chosen by their
 * authors: the lowest need not be it. */
static size_t
first_of(const struct history *d)
{
	for (size_t i = 0; i < d->count; i++) {
		if (d->facts[i].begins)
			return i;
	}
	return 0;
}

enum err
display_exchange(const struct display *v, struct id exchange, Citex__ExchangeView **out)
{
	CLEANUP(history_release) struct history d = { 0 };
	enum err e = history_load(v->office, v->t, exchange, v->now_ms, &d);
	size_t first;
	if (e != OK)
		return e;
	first = first_of(&d);
	*out = message_new(&citex__exchange_view__descriptor);
	text_set_id(&(*out)->exchange, d.messages[0].message->exchange);
	text_set(&(*out)->state, exchange_status_word(d.exchange.status));
	text_set(&(*out)->outcome, d.exchange.outcome);
	text_set(&(*out)->subject, d.messages[first].message->subject);
	for (size_t i = 0; i < d.count; i++) {
		const struct history_message *m = &d.messages[i];
		message_add(&(*out)->messages, &(*out)->n_messages, make_row(v, &d, m));
		if (i == first || asks(m))
			add_all(v, &d, m, &(*out)->addressees, &(*out)->n_addressees);
	}
	return OK;
}

/* A whole message. */

static unsigned
roles_of(const struct display *v, const char *authority)
{
	const struct directory_authority *a =
	    v->directory != NULL ? directory_authority(v->directory, authority) : NULL;
	return a != NULL ? a->roles : 0;
}

/* Who asks closes; who was asked answers. */
static bool
is_ours_to_send(const struct display *v, const struct history *d, const struct history_message *m,
    const struct kind *k)
{
	const char *to = m->content->author;
	if (k->effect == EFFECT_CLOSES)
		return strcmp(d->messages[first_of(d)].content->author, v->me) == 0 &&
		    d->exchange.status != EXCHANGE_CLOSED;
	if (k->effect == EFFECT_ANSWERS || k->effect == EFFECT_EXTENDS)
		return !m->message->outgoing &&
		    kind_allowed(k, roles_of(v, v->me), roles_of(v, to));
	return true;
}

static void
add_next(const struct display *v, const struct history *d, const struct history_message *m,
    Citex__Item *item)
{
	if (m->kind == NULL)
		return;
	for (size_t i = 0; i < 8 && m->kind->answers[i] != NULL; i++) {
		const struct kind *k = kind_by_name(m->kind->answers[i]);
		if (k != NULL && is_ours_to_send(v, d, m, k))
			text_add(&item->next, &item->n_next, k->verb);
	}
}

static void
add_attachments(const struct history_message *m, Citex__Item *item)
{
	for (size_t i = 0; i < m->content->n_attachments; i++) {
		const Citex__Attachment *a = m->content->attachments[i];
		Citex__AttachmentRow *row = message_new(&citex__attachment_row__descriptor);
		char hex[2 * DIGEST_BYTES + 1] = "";
		if (a->digest.len == DIGEST_BYTES)
			hex_encode(bytes_of_pb(a->digest), hex);
		row->index = (uint32_t)i;
		text_set(&row->name, a->name);
		text_set(&row->media_type, a->media_type);
		row->length = a->length;
		text_set(&row->digest, hex);
		row->complete = true; /* it was not opened before every chunk was here */
		message_add(&item->attachments, &item->n_attachments, row);
	}
}

static void
add_handling(const struct history_message *m, Citex__Item *item)
{
	const Citex__Handling *h = m->content->handling;
	if (h == NULL)
		return;
	text_set(&item->handling, h->tlp);
	for (size_t i = 0; i < h->n_audience; i++)
		text_add(&item->audience, &item->n_audience, h->audience[i]);
	text_set(&item->handling_words, h->words);
	text_set(&item->use, h->use);
}

static void
add_signer(const struct display *v, const struct history_message *m, Citex__Item *item)
{
	const struct directory_key *key = NULL;
	const char *owner = NULL;
	enum cert_use use;
	char hex[2 * KEY_ID_BYTES + 1] = "", text[2 * KEY_ID_BYTES + AUTHORITY_MAX_BYTES + 16];
	if (m->message->signer.len != KEY_ID_BYTES)
		return;
	hex_encode(bytes_of_pb(m->message->signer), hex);
	if (v->directory == NULL ||
	    directory_key_find(v->directory, bytes_of_pb(m->message->signer), &key, &owner, &use) !=
		OK)
		owner = m->content->author;
	(void)snprintf(text, sizeof(text), "%s, key %s", owner, hex);
	text_set(&item->signed_by, text);
}

enum err
display_item(const struct display *v, struct id message, Citex__Item **out)
{
	CLEANUP(history_release) struct history d = { 0 };
	const struct history_message *m = NULL;
	char version[16];
	enum err e = load_both(v, message, &d, &m);
	if (e != OK)
		return e;
	Citex__Item *item = *out = message_new(&citex__item__descriptor);
	item->message = make_row(v, &d, m);
	text_set(&item->officer, m->content->officer);
	text_set(&item->language, m->content->language);
	add_handling(m, item);
	add_attachments(m, item);
	item->body.len = m->content->body.len;
	item->body.data = xmemdup(m->content->body.data, m->content->body.len);
	(void)snprintf(version, sizeof(version), "%u", m->content->kind_version);
	text_set(&item->kind_version, version);
	text_set_id(&item->about, m->content->about);
	if (m->content->origin != NULL)
		text_set(&item->origin, m->content->origin->author);
	add_signer(v, m, item);
	add_next(v, &d, m, item);
	text_set(&item->paragraph, m->kind != NULL ? m->kind->paragraph : "");
	return OK;
}

/* What is owed. */

static Citex__DueRow *
make_due(const struct display *v, const struct history_message *m, const struct exchange_clock *c)
{
	Citex__DueRow *row = message_new(&citex__due_row__descriptor);
	text_set_id(&row->id, m->message->id);
	text_set_id(&row->exchange, m->message->exchange);
	text_set(&row->who, c->authority);
	text_set(&row->owes, c->rule != NULL ? c->rule->id : "");
	text_set(&row->to, c->to);
	text_set_time(&row->due, c->due_ms);
	row->overdue = exchange_clock_is_overdue(c, v->now_ms);
	text_set(&row->subject, m->message->subject);
	text_set_time(&row->since, c->start_ms);
	text_set(&row->rule, c->rule != NULL ? c->rule->id : "");
	text_set(&row->paragraph, c->paragraph);
	return row;
}

static const struct history_message *
asked_by(const struct history *d, const struct exchange_clock *c)
{
	for (size_t i = 0; i < d->count; i++) {
		if (id_equal(id_of(&d->messages[i]), c->message))
			return &d->messages[i];
	}
	return NULL;
}

enum err
display_due(const struct display *v, struct id exchange, Citex__DueList *list)
{
	CLEANUP(history_release) struct history d = { 0 };
	enum err e = history_load(v->office, v->t, exchange, v->now_ms, &d);
	if (e != OK || d.exchange.status == EXCHANGE_CLOSED)
		return e;
	for (size_t i = 0; i < d.exchange.clock_count; i++) {
		const struct exchange_clock *c = &d.exchange.clocks[i];
		const struct history_message *m = asked_by(&d, c);
		if (m != NULL && c->answered_ms == 0 && !c->ended)
			message_add(&list->due, &list->n_due, make_due(v, m, c));
	}
	return OK;
}

static int
compare_due(const void *a, const void *b)
{
	const Citex__DueRow *x = *(Citex__DueRow *const *)a, *y = *(Citex__DueRow *const *)b;
	bool x_none = x->due[0] == '\0', y_none = y->due[0] == '\0';
	if (x_none != y_none)
		return x_none ? 1 : -1;
	return strcmp(x->due, y->due);
}

void
display_due_sort(Citex__DueList *list)
{
	if (list->n_due > 1)
		qsort(list->due, list->n_due, sizeof(Citex__DueRow *), compare_due);
}

/* Searching. */

static bool
has_text(const char *in, const char *text)
{
	return in != NULL && strcasestr(in, text) != NULL;
}

static size_t
item_size(const ProtobufCFieldDescriptor *f)
{
	return f->type == PROTOBUF_C_TYPE_STRING || f->type == PROTOBUF_C_TYPE_MESSAGE
	    ? sizeof(void *)
	    : 0;
}

/* In any text of M, whatever its schema; as deep as proto_unpack() lets it be. */
static bool
message_has(const ProtobufCMessage *m, const char *text)
{
	for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
		const char *at = (const char *)m + f->offset;
		size_t n = 1;
		if (item_size(f) == 0)
			continue;
		if (f->label == PROTOBUF_C_LABEL_REPEATED) {
			n = *(const size_t *)(const void *)((const char *)m + f->quantifier_offset);
			at = *(const char *const *)(const void *)at;
		}
		for (size_t k = 0; k < n; k++, at += sizeof(void *)) {
			const void *value = *(const void *const *)(const void *)at;
			if (value == NULL)
				continue;
			if (f->type == PROTOBUF_C_TYPE_STRING ? has_text(value, text)
							      : message_has(value, text))
				return true;
		}
	}
	return false;
}

bool
display_matches(const Citex__BookMessage *m, const char *text)
{
	CLEANUP(proto_wipe_drop) Citex__Content *content = NULL;
	CLEANUP(proto_wipe_drop) ProtobufCMessage *body = NULL;
	char id[ID_TEXT_BYTES] = "";
	const struct kind *kind;
	struct id raw;
	if (id_from_bytes(bytes_of_pb(m->id), &raw) == OK)
		id_print(raw, id);
	if (has_text(m->subject, text) || has_text(m->officer, text) ||
	    strncasecmp(id, text, strlen(text)) == 0)
		return true;
	if (proto_unpack(&citex__content__descriptor, bytes_of_pb(m->content),
		(ProtobufCMessage **)(void *)&content) != OK)
		return false;
	if (message_has(&content->base, text))
		return true;
	kind = kind_by_name(content->kind);
	return kind != NULL && proto_unpack(kind->body, bytes_of_pb(content->body), &body) == OK &&
	    message_has(body, text);
}
