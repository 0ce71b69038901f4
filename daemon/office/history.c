/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/office/history.h"

#include <stdlib.h>
#include <string.h>

#include "proto/decode.h"

void
history_message_release(struct history_message *m)
{
	for (size_t i = 0; i < m->addressee_count; i++)
		proto_free(&m->addressees[i]->base);
	free(m->addressees);
	proto_wipe(m->body);
	proto_wipe((ProtobufCMessage *)m->content);
	proto_wipe((ProtobufCMessage *)m->message);
	*m = (struct history_message){ 0 };
}

bool
history_is_silent(const Citex__BookMessage *m, const Citex__BookAddressee *a, int64_t now_ms)
{
	return !m->withdrawn && a->stored == 0 &&
	    (a->reached == CITEX__SLIP_TYPE__SLIP_NONE ||
		a->reached == CITEX__SLIP_TYPE__SLIP_RELAYED) &&
	    now_ms - (int64_t)m->filed > SILENCE_NOTICE_MS;
}

/* M->message is set: the rest of it. */
static enum err
fill_message(struct office *o, struct txn *t, struct history_message *m)
{
	struct kind_problem problem;
	struct id id;
	enum err e = proto_unpack(&citex__content__descriptor, bytes_of_pb(m->message->content),
	    (ProtobufCMessage **)&m->content);

	if (e == OK)
		e = id_from_bytes(bytes_of_pb(m->message->id), &id);
	if (e != OK)
		return ERR_CORRUPT;
	m->kind = kind_by_name(m->content->kind);
	if (m->kind != NULL &&
	    kind_decode(m->kind, bytes_of_pb(m->content->body), &m->body, &problem) != OK)
		m->kind = NULL; /* written by another version; still shown as far as it goes */
	m->addressees = xalloc_array(m->message->addressee_count, sizeof(*m->addressees));
	for (unsigned i = 0; e == OK && i < m->message->addressee_count; i++) {
		e = book_addressee(office_book(o), t, id, i, &m->addressees[i]);
		if (e == OK)
			m->addressee_count++;
	}
	return e;
}

enum err
history_message_load(struct office *o, struct txn *t, struct id id, struct history_message *out)
{
	enum err e;

	*out = (struct history_message){ 0 };
	e = book_message(office_book(o), t, id, &out->message);
	if (e == OK)
		e = fill_message(o, t, out);
	if (e != OK)
		history_message_release(out);
	return e;
}

static bool
gather_id(void *arg, const Citex__BookMessage *m)
{
	buffer_add(arg, bytes_of_pb(m->id));
	return true;
}

static void
fill_asked(struct office *o, const struct history_message *m, struct exchange_message *f)
{
	size_t count = m->message->outgoing ? m->addressee_count : 1;

	f->asked = xalloc_array(count, sizeof(*f->asked));
	f->asked_count = count;
	if (!m->message->outgoing) {
		f->asked[0] = (struct exchange_asked){ office_config(o)->authority,
			(int64_t)m->message->clock_start, false };
		return;
	}
	for (size_t i = 0; i < count; i++) {
		const Citex__BookAddressee *a = m->addressees[i];
		uint64_t start = a->counts_from != 0 ? a->counts_from : a->stored;
		f->asked[i] = (struct exchange_asked){ a->authority, (int64_t)start,
			a->reached == CITEX__SLIP_TYPE__SLIP_REFUSED ||
			    a->reached == CITEX__SLIP_TYPE__SLIP_EXPIRED || m->message->withdrawn };
	}
}

static void
fill_facts(struct office *o, const struct history_message *m, struct exchange_message *f)
{
	*f = (struct exchange_message){ .kind = m->body != NULL ? m->kind : NULL,
		.author = m->content->author,
		.created_ms = (int64_t)m->content->created,
		.arrived_ms = m->message->outgoing ? 0 : (int64_t)m->message->clock_start,
		.rule = m->content->rule };
	memcpy(f->id.at, m->message->id.data, ID_BYTES);
	f->begins = bytes_equal(bytes_of_pb(m->message->id), bytes_of_pb(m->message->exchange));
	f->has_about = id_from_bytes(bytes_of_pb(m->content->about), &f->about) == OK;
	if (f->kind == NULL)
		return;
	f->is_final = f->kind->is_final == NULL || f->kind->is_final(m->body);
	f->until_ms = f->kind->until != NULL ? f->kind->until(m->body) : 0;
	/* our office sends no later one; another's may */
	if (f->until_ms > f->created_ms + UNTIL_MAX_MS)
		f->until_ms = f->created_ms + UNTIL_MAX_MS;
	if (f->kind->effect == EFFECT_CLOSES)
		f->outcome = kind_text(m->body, "outcome");
	if (f->kind->effect == EFFECT_ASKS &&
	    m->content->origin == NULL) /* passed on: asks nobody */
		fill_asked(o, m, f);
}

enum err
history_load(
    struct office *o, struct txn *t, struct id exchange, int64_t now_ms, struct history *out)
{
	CLEANUP(buffer_release) struct buffer ids = { 0 };
	struct reader r;
	enum err e = book_exchange(office_book(o), t, exchange, gather_id, &ids);

	*out = (struct history){ 0 };
	if (e == OK && ids.len == 0)
		e = ERR_NOT_FOUND;
	if (e != OK)
		return e;
	r = (struct reader){ buffer_bytes(&ids), OK };
	out->messages = xalloc_array(ids.len / ID_BYTES, sizeof(*out->messages));
	out->facts = xalloc_array(ids.len / ID_BYTES, sizeof(*out->facts));
	while (e == OK && r.left.len > 0) {
		struct id id;
		read_copy(&r, id.at, ID_BYTES);
		e = history_message_load(o, t, id, &out->messages[out->count]);
		if (e == OK)
			fill_facts(o, &out->messages[out->count], &out->facts[out->count]);
		out->count += e == OK ? 1 : 0;
	}
	if (e == OK)
		exchange_fill(&out->exchange, out->facts, out->count, now_ms);
	else
		history_release(out);
	return e;
}

void
history_release(struct history *v)
{
	exchange_release(&v->exchange);
	for (size_t i = 0; i < v->count; i++) {
		history_message_release(&v->messages[i]);
		free(v->facts[i].asked);
	}
	free(v->messages);
	free(v->facts);
	*v = (struct history){ 0 };
}
