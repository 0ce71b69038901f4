/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "pki/ossl.h"
#include "proto/decode.h"
#include "tests/mail.h"

static enum err
verify(struct fixture *f, const struct mail_plan *p, int64_t now_ms)
{
	struct proof_cache cache = { 0 };
	struct envelope e;
	enum err result;

	mail_envelope(f, p, &e);
	result = stamp_verify(&cache, fixture_directory(f), &e, now_ms);
	envelope_release(&e);
	return result;
}

static void
test_stamp_of_the_author_is_good(void **state)
{
	struct mail_plan p = { .attachments = ATTACHMENTS_MAX };
	struct envelope e;
	uint8_t digest[DIGEST_BYTES];

	assert_int_equal(verify(*state, &p, FIXTURE_NOW_MS), OK);
	mail_envelope(*state, &p, &e);
	sha256(bytes_of_pb(e.pb->outer), digest);
	assert_memory_equal(digest, e.digest, DIGEST_BYTES);
	assert_int_equal(e.id.at[0], 0xe);
	envelope_release(&e);
}

static void
test_stamp_of_somebody_else_is_refused(void **state)
{
	static const char *const others[] = { "ke.ma", "gb.border-force", "secretariat" };

	for (size_t i = 0; i < 3; i++) {
		struct mail_plan p = { .stamper = others[i] };
		assert_int_equal(verify(*state, &p, FIXTURE_NOW_MS), ERR_IDENTITY);
	}
}

/* Threats C6: one key, one use. */
static void
test_stamp_needs_a_signing_key(void **state)
{
	static const struct {
		const char *name;
		enum cert_use use;
	} keys[] = { { "gb.ma", USE_SEALING }, { "gb", USE_TLS }, { "gb", USE_RECEIPTS } };
	struct fixture *f = *state;

	for (size_t i = 0; i < 3; i++) {
		struct mail_plan p = { 0 };
		struct proof_cache cache = { 0 };
		struct envelope e;
		Citex__Proof *stamp;
		struct bytes leaf;
		mail_envelope(f, &p, &e);
		leaf = bytes_of_pb(e.pb->outer);
		assert_int_equal(proofs_sign(fixture_key(f, keys[i].name, keys[i].use), STAMP_LABEL,
				     &leaf, 1, &stamp),
		    OK);
		proto_free(&e.pb->stamp->base);
		e.pb->stamp = stamp;
		assert_int_equal(
		    stamp_verify(&cache, fixture_directory(f), &e, FIXTURE_NOW_MS), ERR_IDENTITY);
		envelope_release(&e);
	}
}

static void
test_stamp_under_another_label_is_refused(void **state)
{
	struct fixture *f = *state;
	struct mail_plan p = { 0 };
	struct proof_cache cache = { 0 };
	struct envelope e;
	Citex__Proof *stamp;
	struct bytes leaf;

	mail_envelope(f, &p, &e);
	leaf = bytes_of_pb(e.pb->outer);
	assert_int_equal(
	    proofs_sign(fixture_key(f, "gb.ma", USE_SIGNING), "citex slip v1", &leaf, 1, &stamp),
	    OK);
	proto_free(&e.pb->stamp->base);
	e.pb->stamp = stamp;
	assert_int_equal(
	    stamp_verify(&cache, fixture_directory(f), &e, FIXTURE_NOW_MS), ERR_SIGNATURE);
	envelope_release(&e);
}

static void
name_nobody(Citex__Outer *o, void *arg)
{
	(void)arg;
	free(o->author);
	o->author = xstrdup("gb.nobody");
}

static void
test_stamp_of_an_unknown_author_or_key_is_told_apart(void **state)
{
	struct fixture *f = *state, *other = fixture_new();
	struct mail_plan unknown = { .outer = name_nobody }, p = { 0 };
	struct proof_cache cache = { 0 };
	struct envelope e;

	assert_int_equal(verify(f, &unknown, FIXTURE_NOW_MS), ERR_UNKNOWN_AUTHORITY);
	mail_envelope(other, &p, &e);
	assert_int_equal(
	    stamp_verify(&cache, fixture_directory(f), &e, FIXTURE_NOW_MS), ERR_UNKNOWN_KEY);
	envelope_release(&e);
	fixture_free(other);
}

static void
test_stamp_by_a_revoked_or_long_retired_key_is_refused(void **state)
{
	struct fixture *f = fixture_new();
	struct mail_plan p = { 0 };
	struct proof_cache cache = { 0 };
	struct envelope old, revoked;

	(void)state;
	mail_envelope(f, &p, &old);
	fixture_renew(f, "gb.ma", USE_SIGNING, FIXTURE_NOW_MS);
	fixture_publish(f);
	assert_int_equal(
	    stamp_verify(&cache, fixture_directory(f), &old, FIXTURE_NOW_MS + KEY_OVERLAP_MS), OK);
	assert_int_equal(
	    stamp_verify(&cache, fixture_directory(f), &old, FIXTURE_NOW_MS + KEY_OVERLAP_MS + 1),
	    ERR_EXPIRED);
	mail_envelope(f, &p, &revoked);
	fixture_revoke(f, "gb.ma", USE_SIGNING, FIXTURE_NOW_MS);
	fixture_renew(f, "gb.ma", USE_SIGNING, FIXTURE_NOW_MS);
	fixture_publish(f);
	assert_int_equal(
	    stamp_verify(&cache, fixture_directory(f), &revoked, FIXTURE_NOW_MS), ERR_REVOKED);
	envelope_release(&old);
	envelope_release(&revoked);
	fixture_free(f);
}

/* --- outer fields out of their bounds --- */

static void
version_2(Citex__Outer *o, void *arg)
{
	(void)arg;
	o->version = 2;
}
static void
id_short(Citex__Outer *o, void *arg)
{
	(void)arg;
	o->envelope_id.len--;
}
static void
id_zero(Citex__Outer *o, void *arg)
{
	(void)arg;
	memset(o->envelope_id.data, 0, ID_BYTES);
}
static void
author_odd(Citex__Outer *o, void *arg)
{
	(void)arg;
	o->author[0] = 'G';
}
static void
addressee_none(Citex__Outer *o, void *arg)
{
	(void)arg;
	o->addressee[0] = '\0';
}
static void
incarnation_short(Citex__Outer *o, void *arg)
{
	(void)arg;
	o->incarnation.len--;
}
static void
sequence_none(Citex__Outer *o, void *arg)
{
	(void)arg;
	o->sequence = 0;
}
static void
created_none(Citex__Outer *o, void *arg)
{
	(void)arg;
	o->created = 0;
}
static void
expires_at_once(Citex__Outer *o, void *arg)
{
	(void)arg;
	o->expires = o->created;
}
static void
lifetime_one_too_long(Citex__Outer *o, void *arg)
{
	(void)arg;
	o->expires = o->created + (uint64_t)LIFETIME_MAX_MS + 1;
}
static void
lifetime_longest(Citex__Outer *o, void *arg)
{
	(void)arg;
	o->expires = o->created + (uint64_t)LIFETIME_MAX_MS;
}
static void
times_overflow(Citex__Outer *o, void *arg)
{
	(void)arg;
	o->created = UINT64_MAX - 1000;
	o->expires = UINT64_MAX;
}
static void
priority_2(Citex__Outer *o, void *arg)
{
	(void)arg;
	o->priority = 2;
}
static void
urgent(Citex__Outer *o, void *arg)
{
	(void)arg;
	o->priority = 1;
}
static void
signed_digest_short(Citex__Outer *o, void *arg)
{
	(void)arg;
	o->signed_digest.len--;
}
static void
sealed_digest_other(Citex__Outer *o, void *arg)
{
	(void)arg;
	o->sealed_digest.data[0] ^= 1;
}
static void
sealed_length_other(Citex__Outer *o, void *arg)
{
	(void)arg;
	o->sealed_length++;
}
static void
part_root_short(Citex__Outer *o, void *arg)
{
	(void)arg;
	o->parts[1]->root.len--;
}
static void
part_twice(Citex__Outer *o, void *arg)
{
	(void)arg;
	memcpy(o->parts[1]->root.data, o->parts[0]->root.data, DIGEST_BYTES);
}
static void
part_too_long(Citex__Outer *o, void *arg)
{
	(void)arg;
	o->parts[0]->length = sealed_length_of(ATTACHMENT_MAX_BYTES) + 1;
}
static void
part_longest(Citex__Outer *o, void *arg)
{
	(void)arg;
	o->parts[0]->length = sealed_length_of(ATTACHMENT_MAX_BYTES);
}
static void
part_impossible(Citex__Outer *o, void *arg)
{
	(void)arg;
	o->parts[0]->length = CHUNK_BYTES + 3;
}

static void
test_envelope_fields_have_their_bounds(void **state)
{
	static const struct {
		void (*change)(Citex__Outer *o, void *arg);
		enum err expect;
	} rows[] = {
		{ version_2, ERR_VERSION },
		{ id_short, ERR_MALFORMED },
		{ id_zero, ERR_MALFORMED },
		{ author_odd, ERR_MALFORMED },
		{ addressee_none, ERR_MALFORMED },
		{ incarnation_short, ERR_MALFORMED },
		{ sequence_none, ERR_MALFORMED },
		{ created_none, ERR_MALFORMED },
		{ expires_at_once, ERR_MALFORMED },
		{ lifetime_longest, OK },
		{ lifetime_one_too_long, ERR_MALFORMED },
		{ times_overflow, ERR_MALFORMED },
		{ urgent, OK },
		{ priority_2, ERR_MALFORMED },
		{ signed_digest_short, ERR_MALFORMED },
		{ sealed_digest_other, ERR_MALFORMED },
		{ sealed_length_other, ERR_MALFORMED },
		{ part_root_short, ERR_MALFORMED },
		{ part_twice, ERR_MALFORMED },
		{ part_longest, OK },
		{ part_too_long, ERR_MALFORMED },
		{ part_impossible, ERR_MALFORMED },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		CLEANUP(buffer_release) struct buffer packed = { 0 };
		struct mail_plan p = { .outer = rows[i].change, .attachments = 2 };
		struct envelope e;
		enum err got;
		mail_make(*state, &p, &packed, NULL);
		got = envelope_parse(buffer_bytes(&packed), &e);
		if (got != rows[i].expect)
			fail_msg("row %zu: %s", i, err_name(got));
		envelope_release(&e);
	}
}

static void
one_part_more(Citex__Outer *o, void *arg)
{
	Citex__Part *more = xalloc(sizeof(*more));

	(void)arg;
	citex__part__init(more);
	more->length = 100;
	more->root = (ProtobufCBinaryData){ DIGEST_BYTES, xalloc(DIGEST_BYTES) };
	o->parts = xgrow(o->parts, o->n_parts + 1, sizeof(*o->parts));
	o->parts[o->n_parts++] = more;
}

static void
test_envelope_has_at_most_so_many_parts(void **state)
{
	struct mail_plan p = { .outer = one_part_more, .attachments = ATTACHMENTS_MAX - 1 };
	CLEANUP(buffer_release) struct buffer packed = { 0 };
	struct envelope e;

	mail_envelope(*state, &p, &e);
	assert_int_equal(e.outer->n_parts, ATTACHMENTS_MAX);
	envelope_release(&e);
	p.attachments = ATTACHMENTS_MAX;
	mail_make(*state, &p, &packed, NULL);
	assert_int_equal(envelope_parse(buffer_bytes(&packed), &e), ERR_MALFORMED);
}

static void
grow_sealed(struct buffer *sealed, void *arg)
{
	size_t more = *(size_t *)arg;

	memset(buffer_extend(sealed, more), 'x', more);
}

static void
test_envelope_is_bounded(void **state)
{
	CLEANUP(buffer_release) struct buffer packed = { 0 }, larger = { 0 };
	size_t more = 80 * KIB;
	struct mail_plan p = { .sealed = grow_sealed, .arg = &more };
	struct envelope e;

	mail_make(*state, &p, &packed, NULL);
	/* signatures vary by a byte or two: come close, then over */
	more += ENVELOPE_MAX_BYTES - packed.len - 8;
	buffer_clear(&packed);
	mail_make(*state, &p, &packed, NULL);
	assert_in_range(packed.len, ENVELOPE_MAX_BYTES - 16, ENVELOPE_MAX_BYTES);
	assert_int_equal(envelope_parse(buffer_bytes(&packed), &e), OK);
	envelope_release(&e);
	more += 16;
	mail_make(*state, &p, &larger, NULL);
	assert_true(larger.len > ENVELOPE_MAX_BYTES);
	assert_int_equal(envelope_parse(buffer_bytes(&larger), &e), ERR_TOO_LARGE);
}

static void
test_envelope_each_cut_is_refused(void **state)
{
	CLEANUP(buffer_release) struct buffer packed = { 0 };
	struct mail_plan p = { 0 };
	struct envelope e;

	mail_make(*state, &p, &packed, NULL);
	for (size_t len = 0; len < packed.len; len++)
		assert_int_not_equal(envelope_parse((struct bytes){ packed.at, len }, &e), OK);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stamp_of_the_author_is_good),
		cmocka_unit_test(test_stamp_of_somebody_else_is_refused),
		cmocka_unit_test(test_stamp_needs_a_signing_key),
		cmocka_unit_test(test_stamp_under_another_label_is_refused),
		cmocka_unit_test(test_stamp_of_an_unknown_author_or_key_is_told_apart),
		cmocka_unit_test(test_stamp_by_a_revoked_or_long_retired_key_is_refused),
		cmocka_unit_test(test_envelope_fields_have_their_bounds),
		cmocka_unit_test(test_envelope_has_at_most_so_many_parts),
		cmocka_unit_test(test_envelope_is_bounded),
		cmocka_unit_test(test_envelope_each_cut_is_refused),
	};

	return cmocka_run_group_tests_name("stamp", tests, fixture_set_up, fixture_tear_down);
}
