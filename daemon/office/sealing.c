/* SPDX-License-Identifier: Apache-2.0 */
/* Sealing what was submitted. What is sealed is on disk before it is offered,
 * and is never sealed twice under one envelope id. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/office/display.h"
#include "daemon/office/inside.h"
#include "pki/ossl.h"
#include "proto/decode.h"

/* --- sealing --- */

struct sealing {
	struct seal_work work; /* first */
	struct job job;
	struct office *office;
	struct id id;
	unsigned *indexes; /* of the addressees */
	size_t left; /* addressees without a key to seal to: later */
	bool
	    leaves; /* offered as soon as this is written: it says so itself, and spares a commit */
	uint8_t spool[INCARNATION_BYTES]; /* of the post that it is offered to */
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
	e.sealed = (uint64_t)s->work.now.utc_ms;
	e.offered = s->leaves ? e.sealed : 0;
	if (s->leaves)
		e.spool = pb_of_bytes(BYTES_OF(s->spool));
	err = book_put_envelope(b, t, to->envelope_id, &e);
	if (err == OK)
		err = book_addressee(b, t, s->id, s->indexes[i], &a);
	if (err == OK) {
		text_set(&a->reason, ""); /* why the envelope before it did not serve */
		text_set(&a->words, "");
		free(a->envelope_id.data);
		set_bytes(&a->envelope_id, id_bytes(&to->envelope_id));
		err = book_put_addressee(b, t, s->id, s->indexes[i], a);
	}
	proto_free((ProtobufCMessage *)a);
	if (err == OK)
		err = book_mark(b, t, LIST_UNSENT, to->envelope_id);
	return err == OK ? book_mark(b, t, LIST_WAITING, to->envelope_id) : err;
}

/* An addressee that has no envelope yet, or whose envelope was sealed to a key that is gone. */
static bool
needs_envelope(const Citex__BookAddressee *a)
{
	return a->envelope_id.len == 0;
}

/* One may have been asked for while others were made. */
static bool
is_all_sealed(struct sealing *s, struct txn *t)
{
	bool all = true;

	for (unsigned i = 0; all && i < s->message->addressee_count; i++) {
		Citex__BookAddressee *a = NULL;
		all = book_addressee(s->office->book, t, s->id, i, &a) == OK && !needs_envelope(a);
		proto_free((ProtobufCMessage *)a);
	}
	return all;
}

static enum err
sealed_run(struct job *j, struct txn *t)
{
	struct sealing *s = SEALING_OF(j);
	Citex__BookMessage *m = NULL;
	bool done = s->left == 0;
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
	if (e == OK && done && s->work.signed_data_before.len > 0)
		done = is_all_sealed(s, t);
	/* who has no key yet is sealed to when a directory brings one */
	return e == OK && done ? book_unmark(s->office->book, t, LIST_UNSEALED, s->id) : e;
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
		s->leaves = mail_offers_at_once(s->office);
		memcpy(s->spool, s->office->post_incarnation, INCARNATION_BYTES);
		s->job = (struct job){ sealed_run, sealed_done, OK, NULL };
		office_submit_job(s->office, &s->job);
		return;
	}
	id_print(s->id, text);
	log_event(LEVEL_ERROR, "not-sealed", LOG_TEXT("id", text), LOG_ERR(w->err));
	raise_alarm(s->office, "not-sealed", s->id);
	sealing_free(s);
}

/* The key to seal to; NULL: none, or none but the one that is gone. */
static const struct directory_key *
key_for(const struct sealing *s, const Citex__BookAddressee *a)
{
	const struct directory_authority *known =
	    directory_authority(s->work.directory, a->authority);
	const struct directory_key *key =
	    known != NULL ? directory_sealing_key(known, s->work.now.utc_ms) : NULL;

	if (key != NULL &&
	    bytes_equal(
		bytes_of_pb(a->gone_key), (struct bytes){ cert_key_id(key->cert), KEY_ID_BYTES }))
		return NULL;
	return key;
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
		uint8_t chance[10];
		enum err e = book_addressee(s->office->book, t, s->id, (unsigned)i, &a);
		if (e != OK)
			return e;
		to->key = key_for(s, a);
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
	if (s->work.content == NULL || s->work.content->incarnation.len != INCARNATION_BYTES)
		return ERR_CORRUPT;
	/* as it was signed: the book may have been restored since, and begun another one */
	s->work.incarnation = s->work.content->incarnation.data;
	s->work.signed_data_before = bytes_of_pb(s->message->signed_data);
	s->work.created_ms = (int64_t)s->work.content->created;
	s->work.expires_ms = s->work.created_ms + LIFETIME_DEFAULT_MS;
	s->work.priority = s->message->urgent ? 1 : 0;
	return gather_addressees(s, t);
}

void
sealing_begin(struct office *o, struct id id)
{
	struct sealing *s;
	enum err e;

	if (o->directory == NULL || is_being_sealed(o, id))
		return; /* sealing_resume() comes back */
	s = xalloc(sizeof(*s));
	s->office = o;
	s->id = id;
	s->next = o->sealings;
	o->sealings = s;
	s->work.done = sealing_worked;
	s->work.directory = directory_ref(o->directory);
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
	sealing_begin(arg, id);
	return true;
}

void
sealing_resume(struct office *o)
{
	CLEANUP(store_end_drop) struct txn *t = NULL;

	if (store_read(o->store, &t) != OK ||
	    book_each_marked(o->book, t, LIST_UNSEALED, seal_marked, o) != OK)
		log_event(
		    LEVEL_ERROR, "queue-unreadable", LOG_TEXT("authority", o->config.authority));
}
