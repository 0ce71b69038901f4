/* SPDX-License-Identifier: Apache-2.0 */
/* Private keys at work. One thread seals, one opens: each has its own cache of
 * agreed keys, which nobody else touches. Receipts are signed in the store
 * thread, in the transaction that makes them true. */
#include "daemon/office/vault.h"

#include <stdlib.h>
#include <string.h>

#include "pki/ossl.h"

#define SENDERS_MAX 512

/* An ephemeral key for one addressee. */
struct sender {
	uint8_t key_id[KEY_ID_BYTES];
	struct cms_sender *cms;
	unsigned used;
	int64_t born_ms;
};

struct vault {
	const struct office_config *config;
	struct workers *sealing, *opening;
	struct sender senders[SENDERS_MAX]; /* the sealing thread's */
	size_t sender_count;
	struct cms_opener **openers; /* the opening thread's; as config->sealing */
};

static const struct office_key *
newest_signing(const struct vault *v)
{
	return &v->config->signing[v->config->signing_count - 1];
}

enum err
vault_new(struct loop *l, const struct office_config *c, struct vault **out)
{
	struct vault *v = xalloc(sizeof(*v));
	enum err e = OK;

	v->config = c;
	v->openers = xalloc_array(c->sealing_count, sizeof(struct cms_opener *));
	for (size_t i = 0; e == OK && i < c->sealing_count; i++)
		e = cms_opener_new(c->sealing[i].key, &v->openers[i]);
	v->sealing = workers_new(l, 1);
	v->opening = workers_new(l, 1);
	if (v->sealing == NULL || v->opening == NULL)
		e = ERR_SYSTEM;
	if (e == OK)
		*out = v;
	else
		vault_free(v);
	return e;
}

void
vault_free(struct vault *v)
{
	if (v == NULL)
		return;
	if (v->sealing != NULL)
		workers_free(v->sealing);
	if (v->opening != NULL)
		workers_free(v->opening);
	for (size_t i = 0; i < v->sender_count; i++)
		cms_sender_free(v->senders[i].cms);
	for (size_t i = 0; i < v->config->sealing_count; i++) {
		if (v->openers[i] != NULL)
			cms_opener_free(v->openers[i]);
	}
	free(v->openers);
	free(v);
}

/* --- sealing --- */

static bool
is_worn(const struct sender *s, int64_t mono_ms)
{
	return s->used >= EPHEMERAL_MAX_ENVELOPES || mono_ms - s->born_ms > EPHEMERAL_MAX_MS;
}

static struct sender *
place_for(struct vault *v, const uint8_t *key_id, int64_t mono_ms)
{
	struct sender *oldest = &v->senders[0];

	for (size_t i = 0; i < v->sender_count; i++) {
		struct sender *s = &v->senders[i];
		if (memcmp(s->key_id, key_id, KEY_ID_BYTES) == 0)
			return s;
		if (is_worn(s, mono_ms) || s->born_ms < oldest->born_ms)
			oldest = s;
	}
	return v->sender_count < SENDERS_MAX ? &v->senders[v->sender_count++] : oldest;
}

static enum err
sender_for(
    struct vault *v, const struct directory_key *to, int64_t mono_ms, struct cms_sender **out)
{
	const uint8_t *key_id = cert_key_id(to->cert);
	struct sender *s = place_for(v, key_id, mono_ms);

	if (s->cms == NULL || memcmp(s->key_id, key_id, KEY_ID_BYTES) != 0 || is_worn(s, mono_ms)) {
		struct cms_sender *fresh = NULL;
		enum err e = cms_sender_new(cert_key(to->cert), &fresh);
		if (e != OK)
			return e;
		if (s->cms != NULL)
			cms_sender_free(s->cms);
		*s = (struct sender){ .cms = fresh, .born_ms = mono_ms };
		memcpy(s->key_id, key_id, KEY_ID_BYTES);
	}
	s->used++;
	*out = s->cms;
	return OK;
}

static enum err
seal_batch(struct vault *v, struct seal_work *w, size_t first, size_t count)
{
	struct seal_draft drafts[BATCH_MAX];
	struct bytes signed_data[BATCH_MAX];
	struct buffer packed[BATCH_MAX] = { { 0 } };
	enum err e = OK;

	for (size_t i = 0; e == OK && i < count; i++) {
		struct seal_addressee *a = &w->to[first + i];
		signed_data[i] = buffer_bytes(&w->signed_data);
		drafts[i] = (struct seal_draft){ .envelope_id = a->envelope_id,
			.author = v->config->authority,
			.addressee = a->authority,
			.incarnation = w->incarnation,
			.sequence = a->sequence,
			.created_ms = w->created_ms,
			.expires_ms = w->expires_ms,
			.priority = w->priority,
			.recipient = a->key,
			.attachments = (const Citex__Attachment *const *)w->content->attachments,
			.attachment_count = w->content->n_attachments };
		e = sender_for(v, a->key, w->now.mono_ms, &drafts[i].sender);
	}
	if (e == OK)
		e = envelopes_make(newest_signing(v)->key, signed_data, drafts, count, packed);
	for (size_t i = 0; i < count; i++)
		w->to[first + i].packed = packed[i];
	return e;
}

static void
seal_run(struct work *work)
{
	struct seal_work *w = (struct seal_work *)work;
	struct vault *v = w->vault;

	if (w->signed_data_before.len > 0)
		buffer_add(&w->signed_data, w->signed_data_before);
	else
		w->err = content_sign(
		    w->content, newest_signing(v)->key, w->now.utc_ms, &w->signed_data);
	/* Two addressees of one batch must not share a sender that is replaced in between: at most
	 * SENDERS_MAX differ. */
	for (size_t i = 0; w->err == OK && i < w->to_count; i += BATCH_MAX) {
		size_t count = w->to_count - i < BATCH_MAX ? w->to_count - i : BATCH_MAX;
		w->err = seal_batch(v, w, i, count);
	}
}

static void
seal_done(struct work *work)
{
	struct seal_work *w = (struct seal_work *)work;

	w->done(w);
}

void
vault_seal(struct vault *v, struct seal_work *w)
{
	w->vault = v;
	w->work.run = seal_run;
	w->work.done = seal_done;
	w->err = OK;
	workers_submit(v->sealing, &w->work);
}

/* --- opening --- */

static struct cms_opener *
opener_for(struct vault *v, struct bytes key_id)
{
	for (size_t i = 0; i < v->config->sealing_count; i++) {
		if (bytes_equal(key_id,
			(struct bytes){ cert_key_id(v->config->sealing[i].cert), KEY_ID_BYTES }))
			return v->openers[i];
	}
	return NULL;
}

static void
open_run(struct work *work)
{
	struct open_work *w = (struct open_work *)work;
	struct cms_opener *opener = NULL;
	struct bytes key_id;

	w->err = envelope_recipient(&w->envelope, &key_id);
	if (w->err == OK)
		opener = opener_for(w->vault, key_id);
	if (w->err != OK || opener == NULL) {
		w->err = ERR_CANNOT_BE_OPENED;
		memcpy(w->detail, "not sealed to a key of ours",
		    sizeof("not sealed to a key of ours"));
		return;
	}
	w->err = envelope_open(opener, w->directory, w->vault->config->authority, &w->envelope,
	    w->now_ms, &w->opened, w->detail);
}

static void
open_done(struct work *work)
{
	struct open_work *w = (struct open_work *)work;

	w->done(w);
}

void
vault_open(struct vault *v, struct open_work *w)
{
	w->vault = v;
	w->work.run = open_run;
	w->work.done = open_done;
	w->detail[0] = '\0';
	workers_submit(v->opening, &w->work);
}

enum err
vault_receipts(
    struct vault *v, const struct slip_draft *drafts, size_t count, struct buffer *packed)
{
	return slips_make(newest_signing(v)->key, drafts, count, packed);
}
