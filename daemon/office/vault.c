/* SPDX-License-Identifier: Apache-2.0 */
/* Private keys at work. One thread seals, one opens: each has its own cache of
 * agreed keys, which nobody else touches. Receipts are signed in the store
 * thread, in the transaction that makes them true.
 *
 * A signature costs as much as all the rest of an envelope, and each node on
 * its way has to verify it: so the messages that wait are sealed as one batch. */
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

/* What the sealing thread works on. */
struct sealing_batch {
	struct work work; /* first */
	struct vault *vault;
	struct seal_work *first; /* NULL: nothing */
};

struct vault {
	const struct office_config *config;
	struct workers *sealing, *opening;
	struct seal_work *waiting, **last_waiting;
	struct sealing_batch batch;
	struct timer *soon; /* the next batch */
	/* the sealing thread's */
	struct sender senders[SENDERS_MAX];
	size_t sender_count;
	struct cms_sender *worn[BATCH_MAX]; /* replaced, but drafts of this batch hold them */
	size_t worn_count;
	struct cms_opener **openers; /* the opening thread's; as config->sealing */
};

static const struct office_key *
newest_signing(const struct vault *v)
{
	return &v->config->signing[v->config->signing_count - 1];
}

static void begin_batch(void *arg);

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
	v->soon = timer_new(l, begin_batch, v);
	v->last_waiting = &v->waiting;
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
	timer_free(v->soon);
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
			v->worn[v->worn_count++] = s->cms;
		*s = (struct sender){ .cms = fresh, .born_ms = mono_ms };
		memcpy(s->key_id, key_id, KEY_ID_BYTES);
	}
	s->used++;
	*out = s->cms;
	return OK;
}

static void
free_worn(struct vault *v)
{
	while (v->worn_count > 0)
		cms_sender_free(v->worn[--v->worn_count]);
}

/* One addressee of one message. */
struct place {
	struct seal_work *work;
	size_t index;
};

static enum err
make_draft(struct vault *v, const struct place *p, struct seal_draft *out)
{
	const struct seal_work *w = p->work;
	const struct seal_addressee *a = &w->to[p->index];

	*out = (struct seal_draft){ .envelope_id = a->envelope_id,
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
	return sender_for(v, a->key, w->now.mono_ms, &out->sender);
}

/* COUNT places, at most BATCH_MAX, under one signature. */
static enum err
seal_together(struct vault *v, const struct place *at, size_t count)
{
	struct seal_draft drafts[BATCH_MAX];
	struct bytes signed_data[BATCH_MAX];
	struct buffer packed[BATCH_MAX] = { { 0 } };
	enum err e = OK;

	for (size_t i = 0; e == OK && i < count; i++) {
		signed_data[i] = buffer_bytes(&at[i].work->signed_data);
		e = make_draft(v, &at[i], &drafts[i]);
	}
	if (e == OK)
		e = envelopes_make(newest_signing(v)->key, signed_data, drafts, count, packed);
	free_worn(v);
	for (size_t i = 0; i < count; i++) {
		if (e == OK)
			at[i].work->to[at[i].index].packed = packed[i];
		else
			buffer_release(&packed[i]);
	}
	return e;
}

/* The places of each message by themselves: what is wrong with one is not the others' fault. */
static void
seal_apart(struct vault *v, const struct place *at, size_t count)
{
	for (size_t first = 0, end; first < count; first = end) {
		end = first + 1;
		while (end < count && at[end].work == at[first].work)
			end++;
		at[first].work->err = seal_together(v, &at[first], end - first);
	}
}

static void
seal_places(struct vault *v, const struct place *at, size_t count)
{
	if (count > 0 && seal_together(v, at, count) != OK)
		seal_apart(v, at, count);
}

static void
sign_content(struct vault *v, struct seal_work *w)
{
	if (w->signed_data_before.len > 0)
		buffer_add(&w->signed_data, w->signed_data_before);
	else
		w->err = content_sign(
		    w->content, newest_signing(v)->key, w->now.utc_ms, &w->signed_data);
}

static void
run_batch(struct work *work)
{
	struct sealing_batch *b = (struct sealing_batch *)work;
	struct place places[BATCH_MAX];
	size_t count = 0;

	for (struct seal_work *w = b->first; w != NULL; w = w->next) {
		sign_content(b->vault, w);
		for (size_t i = 0; w->err == OK && i < w->to_count; i++) {
			places[count++] = (struct place){ w, i };
			if (count < BATCH_MAX)
				continue;
			seal_places(b->vault, places, count);
			count = 0;
		}
	}
	seal_places(b->vault, places, count);
}

static void
batch_done(struct work *work)
{
	struct sealing_batch *b = (struct sealing_batch *)work;
	struct seal_work *w = b->first, *next;

	b->first = NULL;
	begin_batch(b->vault);
	for (; w != NULL; w = next) {
		next = w->next;
		w->done(w);
	}
}

static void
begin_batch(void *arg)
{
	struct vault *v = arg;
	struct seal_work **end = &v->waiting;

	if (v->batch.first != NULL || v->waiting == NULL)
		return;
	for (size_t i = 0; i < BATCH_MAX && *end != NULL; i++)
		end = &(*end)->next;
	v->batch =
	    (struct sealing_batch){ { .run = run_batch, .done = batch_done }, v, v->waiting };
	v->waiting = *end;
	*end = NULL;
	if (v->waiting == NULL)
		v->last_waiting = &v->waiting;
	workers_submit(v->sealing, &v->batch.work);
}

void
vault_seal(struct vault *v, struct seal_work *w)
{
	w->err = OK;
	w->next = NULL;
	*v->last_waiting = w;
	v->last_waiting = &w->next;
	/* behind the events at hand: they may bring more */
	if (v->batch.first == NULL)
		timer_set(v->soon, 0);
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

/* The directory has our key under KEY_ID: NULL, it has not. */
static const struct directory_key *
listed_as_ours(const struct open_work *w, struct bytes key_id)
{
	const struct directory_key *key = NULL;
	const char *owner = NULL;
	enum cert_use use;

	if (directory_key_find(w->directory, key_id, &key, &owner, &use) != OK ||
	    use != USE_SEALING || strcmp(owner, w->vault->config->authority) != 0)
		return NULL;
	return key;
}

/* Which opener has the key. A key of ours that is not kept any more, or should not be, is gone:
 * its author is asked to seal anew. Which key it is anybody can read in the envelope, so that
 * this answer tells nothing about what is in it. */
static enum err
find_opener(struct open_work *w, struct cms_opener **out)
{
	const struct directory_key *listed;
	struct bytes key_id;
	enum err e = envelope_recipient(&w->envelope, &key_id);

	if (e != OK)
		return ERR_CANNOT_BE_OPENED;
	listed = listed_as_ours(w, key_id);
	*out = opener_for(w->vault, key_id);
	if (*out == NULL)
		return listed != NULL ? ERR_RESEAL : ERR_CANNOT_BE_OPENED;
	return listed != NULL && listed->until_ms != 0 &&
		w->now_ms > listed->until_ms + SEALING_KEY_KEPT_MS
	    ? ERR_RESEAL
	    : OK;
}

static void
open_run(struct work *work)
{
	struct open_work *w = (struct open_work *)work;
	struct cms_opener *opener = NULL;

	w->err = find_opener(w, &opener);
	if (w->err != OK) {
		memcpy(w->detail, "not sealed to a key that we have",
		    sizeof("not sealed to a key that we have"));
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
