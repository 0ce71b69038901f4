/* SPDX-License-Identifier: Apache-2.0 */
/* From records to an exchange. Decides nothing: exchange.c does. A message
 * whose kind is not known here is in it, and moves no clock. */
#include "daemon/office/dossier.h"

#include <stdlib.h>
#include <string.h>

static bool
has_ended(const Citex__BookAddressee *a)
{
	return a->reached == CITEX__SLIP_TYPE__SLIP_REFUSED ||
	    a->reached == CITEX__SLIP_TYPE__SLIP_EXPIRED;
}

static enum err
load_addressees(struct book *b, struct txn *t, struct dossier_message *m)
{
	size_t count = m->book->addressee_count;
	if (!m->book->outgoing || count == 0)
		return OK;
	if (count > ADDRESSEES_MAX)
		return ERR_CORRUPT;
	m->addressees = xalloc_array(count, sizeof(Citex__BookAddressee *));
	for (; m->addressee_count < count; m->addressee_count++) {
		enum err e = book_addressee(
		    b, t, m->id, (unsigned)m->addressee_count, &m->addressees[m->addressee_count]);
		if (e != OK)
			return e;
	}
	return OK;
}

/* Of an outgoing message all addressees, of an incoming one ourselves. */
static void
fill_asked(struct dossier_message *m, const char *me)
{
	m->asked_count = m->book->outgoing ? m->addressee_count : 1;
	m->asked = xalloc_array(m->asked_count, sizeof(*m->asked));
	if (!m->book->outgoing) {
		m->asked[0].authority = me;
		m->asked[0].stored_ms = (int64_t)m->book->clock_start;
		return;
	}
	for (size_t i = 0; i < m->asked_count; i++) {
		m->asked[i].authority = m->addressees[i]->authority;
		m->asked[i].stored_ms = (int64_t)m->addressees[i]->stored;
		m->asked[i].ended = m->book->withdrawn || has_ended(m->addressees[i]);
	}
}

enum err
dossier_message_load(
    struct book *b, struct txn *t, const char *me, struct id id, struct dossier_message *m)
{
	ProtobufCMessage *content = NULL;
	enum err e;
	*m = (struct dossier_message){ .id = id };
	e = book_message(b, t, id, &m->book);
	if (e != OK)
		return e;
	e = proto_unpack(&citex__content__descriptor, bytes_of_pb(m->book->content), &content);
	if (e != OK)
		return ERR_CORRUPT;
	m->content = (Citex__Content *)content;
	m->kind = kind_by_name(m->content->kind);
	if (m->kind != NULL &&
	    proto_unpack(m->kind->body, bytes_of_pb(m->content->body), &m->body) != OK)
		m->body = NULL; /* of a newer version: shown as such */
	e = load_addressees(b, t, m);
	if (e == OK)
		fill_asked(m, me);
	return e;
}

void
dossier_message_release(struct dossier_message *m)
{
	for (size_t i = 0; i < m->addressee_count; i++)
		proto_wipe(&m->addressees[i]->base);
	free(m->addressees);
	free(m->asked);
	proto_wipe(m->body);
	if (m->content != NULL)
		proto_wipe(&m->content->base);
	if (m->book != NULL)
		proto_wipe(&m->book->base);
	*m = (struct dossier_message){ 0 };
}

static void
fill_line(const struct dossier_message *m, struct exchange_message *line)
{
	*line = (struct exchange_message){ .id = m->id,
		.kind = m->kind,
		.author = m->content->author,
		.created_ms = (int64_t)m->content->created,
		.rule = m->content->rule,
		.asked = m->asked,
		.asked_count = m->asked_count };
	line->has_about = id_from_bytes(bytes_of_pb(m->content->about), &line->about) == OK;
	if (m->body == NULL)
		return;
	line->is_final = m->kind->is_final == NULL || m->kind->is_final(m->body);
	line->until_ms = m->kind->until != NULL ? m->kind->until(m->body) : 0;
	line->outcome = m->kind->effect == EFFECT_CLOSES ? kind_text(m->body, "outcome") : NULL;
}

struct gathering {
	struct id *ids;
	size_t count;
};

static bool
gather(void *arg, const Citex__BookMessage *m)
{
	struct gathering *g = arg;
	g->ids = xgrow(g->ids, g->count + 1, sizeof(*g->ids));
	if (id_from_bytes(bytes_of_pb(m->id), &g->ids[g->count]) == OK)
		g->count++;
	return true;
}

static enum err
load_all(
    struct book *b, struct txn *t, const char *me, const struct gathering *g, struct dossier *d)
{
	d->messages = xalloc_array(g->count, sizeof(*d->messages));
	for (; d->count < g->count; d->count++) {
		enum err e =
		    dossier_message_load(b, t, me, g->ids[d->count], &d->messages[d->count]);
		if (e != OK) {
			dossier_message_release(&d->messages[d->count]);
			return e;
		}
	}
	return OK;
}

enum err
dossier_load(
    struct book *b, struct txn *t, const char *me, struct id id, int64_t now_ms, struct dossier *d)
{
	struct gathering g = { 0 };
	enum err e;
	*d = (struct dossier){ 0 };
	e = book_exchange(b, t, id, gather, &g);
	if (e == OK && g.count == 0)
		e = ERR_NOT_FOUND;
	if (e == OK)
		e = load_all(b, t, me, &g, d);
	free(g.ids);
	if (e != OK)
		return e;
	d->lines = xalloc_array(d->count, sizeof(*d->lines));
	for (size_t i = 0; i < d->count; i++)
		fill_line(&d->messages[i], &d->lines[i]);
	exchange_fill(&d->state, d->lines, d->count, now_ms);
	return OK;
}

void
dossier_release(struct dossier *d)
{
	exchange_release(&d->state);
	for (size_t i = 0; i < d->count; i++)
		dossier_message_release(&d->messages[i]);
	free(d->messages);
	free(d->lines);
	*d = (struct dossier){ 0 };
}

const struct dossier_message *
dossier_find(const struct dossier *d, struct id message)
{
	for (size_t i = 0; i < d->count; i++) {
		if (id_equal(d->messages[i].id, message))
			return &d->messages[i];
	}
	return NULL;
}

const struct exchange_clock *
dossier_clock(const struct dossier *d, struct id message, const char *authority)
{
	for (size_t i = 0; i < d->state.clock_count; i++) {
		const struct exchange_clock *c = &d->state.clocks[i];
		if (id_equal(c->message, message) && strcmp(c->authority, authority) == 0)
			return c;
	}
	return NULL;
}
