/* SPDX-License-Identifier: Apache-2.0 */
/* The vault with its threads: what waits is sealed together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/office/vault.h"
#include "pki/ossl.h"
#include "proto/decode.h"
#include "tests/mail.h"

static const uint8_t incarnation[INCARNATION_BYTES] = { 1, 2, 3, 4, 5, 6, 7, 8 };

struct place {
	struct fixture *fixture;
	struct loop *loop;
	struct office_key signing, sealing;
	struct office_config config;
	struct vault *vault;
	size_t left; /* not yet done */
};

static int
set_up(void **state)
{
	struct place *p = xalloc(sizeof(*p));

	p->fixture = fixture_new();
	p->loop = loop_new();
	p->signing = (struct office_key){ fixture_cert(p->fixture, "gb.ma", USE_SIGNING),
		fixture_key(p->fixture, "gb.ma", USE_SIGNING) };
	p->sealing = (struct office_key){ fixture_cert(p->fixture, "gb.ma", USE_SEALING),
		fixture_key(p->fixture, "gb.ma", USE_SEALING) };
	p->config = (struct office_config){ .authority = "gb.ma",
		.signing = &p->signing,
		.sealing = &p->sealing,
		.signing_count = 1,
		.sealing_count = 1 };
	assert_int_equal(vault_new(p->loop, &p->config, &p->vault), OK);
	*state = p;
	return 0;
}

static int
tear_down(void **state)
{
	struct place *p = *state;

	vault_free(p->vault);
	loop_free(p->loop);
	fixture_free(p->fixture);
	free(p);
	return 0;
}

static void
sealed(struct seal_work *w)
{
	struct place *p = w->arg;

	if (--p->left == 0)
		loop_stop(p->loop);
}

static const struct directory_key *
sealing_key(struct place *p, const char *authority)
{
	const struct directory_authority *a =
	    directory_authority(fixture_directory(p->fixture), authority);

	return directory_sealing_key(a, FIXTURE_NOW_MS);
}

static void
address(Citex__Content *c, const char *const *to, size_t count)
{
	for (size_t i = 0; i < c->n_addressees; i++)
		free(c->addressees[i]);
	c->addressees = xgrow(c->addressees, count, sizeof(char *));
	for (c->n_addressees = 0; c->n_addressees < count; c->n_addressees++)
		c->addressees[c->n_addressees] = xstrdup(to[c->n_addressees]);
}

/* A message to COUNT of the fixture's authorities, with ATTACHMENTS. */
static struct seal_work *
work_new(struct place *p, size_t count, size_t attachments)
{
	static const char *const to[] = { "ke.ma", "ke.kws", "so.ma" };
	struct seal_work *w = xalloc(sizeof(*w));

	w->done = sealed;
	w->arg = p;
	w->directory = fixture_directory(p->fixture);
	w->content = mail_content(&(struct mail_plan){ .attachments = attachments });
	address(w->content, to, count);
	w->incarnation = incarnation;
	w->created_ms = MAIL_CREATED_MS;
	w->expires_ms = MAIL_CREATED_MS + DAY_MS;
	w->now = (struct now){ 0, FIXTURE_NOW_MS };
	w->to = xalloc_array(count, sizeof(*w->to));
	for (w->to_count = 0; w->to_count < count; w->to_count++) {
		struct seal_addressee *a = &w->to[w->to_count];
		a->authority = to[w->to_count];
		a->key = sealing_key(p, a->authority);
		a->sequence = 1;
		random_bytes(a->envelope_id.at, ID_BYTES);
	}
	p->left++;
	return w;
}

static void
work_free(struct seal_work *w)
{
	for (size_t i = 0; i < w->to_count; i++)
		buffer_release(&w->to[i].packed);
	free(w->to);
	buffer_release(&w->signed_data);
	proto_wipe(&w->content->base);
	free(w);
}

/* Open the envelope to A as A would; how many envelopes its signature covers. */
static uint64_t
open_sealed(struct place *p, const struct seal_addressee *a)
{
	struct proof_cache cache = { .next = 0 };
	struct cms_opener *opener;
	struct envelope e;
	struct opened out;
	char detail[200];
	uint64_t size;

	assert_int_equal(envelope_parse(buffer_bytes(&a->packed), &e), OK);
	assert_true(id_equal(e.id, a->envelope_id));
	assert_int_equal(
	    stamp_verify(&cache, fixture_directory(p->fixture), &e, FIXTURE_NOW_MS), OK);
	assert_int_equal(
	    cms_opener_new(fixture_key(p->fixture, a->authority, USE_SEALING), &opener), OK);
	assert_int_equal(envelope_open(opener, fixture_directory(p->fixture), a->authority, &e,
			     FIXTURE_NOW_MS, &out, detail),
	    OK);
	size = e.pb->stamp->size;
	opened_release(&out);
	cms_opener_free(opener);
	envelope_release(&e);
	return size;
}

static void
test_vault_seals_together_what_waits(void **state)
{
	struct place *p = *state;
	struct seal_work *works[5];

	for (size_t i = 0; i < 5; i++) {
		works[i] = work_new(p, 1, 0);
		vault_seal(p->vault, works[i]);
	}
	loop_run(p->loop);
	for (size_t i = 0; i < 5; i++) {
		assert_int_equal(works[i]->err, OK);
		assert_int_equal(open_sealed(p, &works[i]->to[0]), 5);
		work_free(works[i]);
	}
}

static void
test_vault_one_that_fails_harms_no_other(void **state)
{
	/* too large to sign, and too many parts to stamp */
	enum { GOOD, LARGE, BETWEEN, MANY, LAST, COUNT };
	struct place *p = *state;
	struct seal_work *works[COUNT];

	for (size_t i = 0; i < COUNT; i++)
		works[i] = work_new(p, 1, i == MANY ? ATTACHMENTS_MAX + 1 : 0);
	free(works[LARGE]->content->body.data);
	works[LARGE]->content->body.len = CONTENT_MAX_BYTES;
	works[LARGE]->content->body.data = xalloc(CONTENT_MAX_BYTES);
	for (size_t i = 0; i < COUNT; i++)
		vault_seal(p->vault, works[i]);
	loop_run(p->loop);
	assert_int_equal(works[LARGE]->err, ERR_TOO_LARGE);
	assert_int_equal(works[MANY]->err, ERR_TOO_MANY);
	assert_int_equal(works[MANY]->to[0].packed.len, 0);
	for (size_t i = 0; i < COUNT; i++) {
		if (i != LARGE && i != MANY) {
			assert_int_equal(works[i]->err, OK);
			assert_int_equal(open_sealed(p, &works[i]->to[0]), 1);
		}
		work_free(works[i]);
	}
}

/* The ephemeral key to which W's first addressee has its envelope sealed. */
static void
ephemeral_key(const struct seal_work *w, uint8_t out[65])
{
	struct envelope e;
	struct cms_sealed s;

	assert_int_equal(w->err, OK);
	assert_int_equal(envelope_parse(buffer_bytes(&w->to[0].packed), &e), OK);
	assert_int_equal(cms_parse_sealed(bytes_of_pb(e.pb->sealed), &s), OK);
	assert_int_equal(s.originator.len, 65);
	memcpy(out, s.originator.at, 65);
	envelope_release(&e);
}

static void
test_vault_changes_the_key_when_it_is_old(void **state)
{
	static const int64_t at_ms[] = { 5, 5 + EPHEMERAL_MAX_MS, 5 + EPHEMERAL_MAX_MS + 1 };
	struct place *p = *state;
	uint8_t keys[3][65];

	for (size_t i = 0; i < 3; i++) {
		struct seal_work *w = work_new(p, 1, 0);
		w->now.mono_ms = at_ms[i];
		vault_seal(p->vault, w);
		loop_run(p->loop);
		ephemeral_key(w, keys[i]);
		work_free(w);
	}
	assert_memory_equal(keys[0], keys[1], 65);
	assert_memory_not_equal(keys[0], keys[2], 65);
}

/* An ephemeral key serves so many envelopes and no more, also when the last is within a batch. */
static void
test_vault_changes_the_key_within_a_batch(void **state)
{
	enum { COUNT = EPHEMERAL_MAX_ENVELOPES + BATCH_MAX };
	struct place *p = *state;
	struct seal_work **works = xalloc_array(COUNT, sizeof(*works));
	uint8_t first[65], last[65], next[65];

	for (size_t i = 0; i < COUNT; i++) {
		works[i] = work_new(p, 1, 0);
		vault_seal(p->vault, works[i]);
	}
	loop_run(p->loop);
	ephemeral_key(works[0], first);
	ephemeral_key(works[EPHEMERAL_MAX_ENVELOPES - 1], last);
	ephemeral_key(works[EPHEMERAL_MAX_ENVELOPES], next);
	assert_memory_equal(first, last, 65);
	assert_memory_not_equal(first, next, 65);
	for (size_t i = 0; i < COUNT; i++) {
		assert_int_equal(works[i]->err, OK);
		if (i + BATCH_MAX >= EPHEMERAL_MAX_ENVELOPES)
			assert_int_equal(open_sealed(p, &works[i]->to[0]),
			    i < COUNT / BATCH_MAX * BATCH_MAX ? BATCH_MAX : COUNT % BATCH_MAX);
		work_free(works[i]);
	}
	free(works);
}

static void
test_vault_seals_to_several_under_one_signature(void **state)
{
	struct place *p = *state;
	struct seal_work *several = work_new(p, 3, 2), *one = work_new(p, 1, 0);

	vault_seal(p->vault, several);
	vault_seal(p->vault, one);
	loop_run(p->loop);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(open_sealed(p, &several->to[i]), 4);
	assert_int_equal(open_sealed(p, &one->to[0]), 4);
	work_free(several);
	work_free(one);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    test_vault_seals_together_what_waits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_vault_one_that_fails_harms_no_other, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_vault_changes_the_key_within_a_batch, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_vault_changes_the_key_when_it_is_old, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_vault_seals_to_several_under_one_signature, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
