/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "pki/ossl.h"
#include "pki/slip.h"
#include "proto/decode.h"
#include "tests/mail.h"

#define RELAYED CITEX__SLIP_TYPE__SLIP_RELAYED
#define STORED CITEX__SLIP_TYPE__SLIP_STORED
#define OPENED CITEX__SLIP_TYPE__SLIP_OPENED
#define SEEN CITEX__SLIP_TYPE__SLIP_SEEN
#define REFUSED CITEX__SLIP_TYPE__SLIP_REFUSED
#define EXPIRED CITEX__SLIP_TYPE__SLIP_EXPIRED

static struct slip_draft
draft(Citex__SlipType type, const struct envelope *e, const char *maker)
{
	return (struct slip_draft){ .type = type,
		.about = e,
		.maker = maker,
		.time_ms = FIXTURE_NOW_MS,
		.reason = type == REFUSED || type == EXPIRED ? ERR_CANNOT_BE_OPENED : OK,
		.directory = 1 };
}

static void
make(struct fixture *f, const struct slip_draft *d, const char *signer, enum cert_use use,
    struct slip *s)
{
	CLEANUP(buffer_release) struct buffer packed = { 0 };

	assert_int_equal(slips_make(fixture_key(f, signer, use), d, 1, &packed), OK);
	assert_int_equal(slip_parse(buffer_bytes(&packed), s), OK);
}

/* gb.ma wrote to so.ma, whose node is behind the Secretariat's. */
static void
test_slip_fits_when_its_maker_may_say_so(void **state)
{
	static const struct {
		Citex__SlipType type;
		const char *maker;
		enum cert_use use;
		enum err verifies, fits;
	} rows[] = {
		{ STORED, "so", USE_RECEIPTS, OK, OK },
		{ STORED, "secretariat", USE_RECEIPTS, OK, ERR_IDENTITY },
		{ STORED, "gb", USE_RECEIPTS, OK, ERR_IDENTITY },
		{ STORED, "so", USE_TLS, ERR_IDENTITY, ERR_IDENTITY },
		{ RELAYED, "secretariat", USE_RECEIPTS, OK, OK },
		{ RELAYED, "so", USE_RECEIPTS, OK, ERR_IDENTITY },
		{ RELAYED, "ke", USE_RECEIPTS, OK, ERR_IDENTITY },
		{ OPENED, "so.ma", USE_SIGNING, OK, OK },
		{ OPENED, "so.ma", USE_SEALING, ERR_IDENTITY, ERR_IDENTITY },
		{ OPENED, "ke.ma", USE_SIGNING, OK, ERR_IDENTITY },
		{ OPENED, "gb.ma", USE_SIGNING, OK, ERR_IDENTITY },
		{ SEEN, "so.ma", USE_SIGNING, OK, OK },
		{ SEEN, "secretariat", USE_SIGNING, OK, ERR_IDENTITY },
		{ REFUSED, "so.ma", USE_SIGNING, OK, OK },
		{ REFUSED, "so", USE_RECEIPTS, OK, OK },
		{ REFUSED, "secretariat", USE_RECEIPTS, OK, OK },
		/* the Secretariat as an authority has no say in what its node relays */
		{ REFUSED, "secretariat", USE_SIGNING, OK, ERR_IDENTITY },
		{ REFUSED, "gb", USE_RECEIPTS, OK, OK },
		{ REFUSED, "ke", USE_RECEIPTS, OK, ERR_IDENTITY },
		{ REFUSED, "gb.ma", USE_SIGNING, OK, ERR_IDENTITY },
		{ EXPIRED, "secretariat", USE_RECEIPTS, OK, OK },
		{ EXPIRED, "gb", USE_RECEIPTS, OK, OK },
		{ EXPIRED, "so.ma", USE_SEALING, ERR_IDENTITY, ERR_IDENTITY },
		{ EXPIRED, "ke.kws", USE_SIGNING, OK, ERR_IDENTITY },
	};
	struct fixture *f = *state;
	struct mail_plan p = { .addressee = "so.ma" };
	struct proof_cache cache = { 0 };
	struct envelope e;

	mail_envelope(f, &p, &e);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct slip_draft d = draft(rows[i].type, &e, rows[i].maker);
		struct slip s;
		enum err got;
		make(f, &d, rows[i].maker, rows[i].use, &s);
		got = slip_verify(&cache, fixture_directory(f), &s);
		if (got != rows[i].verifies)
			fail_msg("row %zu verifies: %s", i, err_name(got));
		got = slip_fits(fixture_directory(f), &s, &e);
		if (got != rows[i].fits)
			fail_msg("row %zu fits: %s", i, err_name(got));
		slip_release(&s);
	}
	envelope_release(&e);
}

static void
test_slip_relay_of_the_author_may_say_it_relayed(void **state)
{
	struct fixture *f = *state;
	struct mail_plan p = { .author = "so.ma" };
	struct slip_draft d;
	struct envelope e;
	struct slip s;

	mail_envelope(f, &p, &e);
	d = draft(RELAYED, &e, "secretariat");
	make(f, &d, "secretariat", USE_RECEIPTS, &s);
	assert_int_equal(slip_fits(fixture_directory(f), &s, &e), OK);
	slip_release(&s);
	envelope_release(&e);
}

static void
test_slip_signed_by_another_than_its_maker_is_refused(void **state)
{
	struct fixture *f = *state, *strangers = fixture_new();
	struct mail_plan p = { 0 };
	struct proof_cache cache = { 0 };
	struct slip_draft d;
	struct envelope e;
	struct slip s;

	mail_envelope(f, &p, &e);
	d = draft(OPENED, &e, "ke.ma");
	make(f, &d, "gb.ma", USE_SIGNING, &s);
	assert_int_equal(slip_verify(&cache, fixture_directory(f), &s), ERR_IDENTITY);
	slip_release(&s);
	make(strangers, &d, "ke.ma", USE_SIGNING, &s);
	assert_int_equal(slip_verify(&cache, fixture_directory(f), &s), ERR_UNKNOWN_KEY);
	assert_int_equal(slip_fits(fixture_directory(f), &s, &e), ERR_UNKNOWN_KEY);
	slip_release(&s);
	envelope_release(&e);
	fixture_free(strangers);
}

static void
test_slip_about_another_envelope_does_not_fit(void **state)
{
	struct fixture *f = *state;
	struct mail_plan p = { 0 }, other = { .sequence = 2 };
	struct slip_draft d;
	struct envelope e, e2;
	struct slip s;

	mail_envelope(f, &p, &e);
	mail_envelope(f, &other, &e2); /* the same id, other outer fields */
	d = draft(OPENED, &e, "ke.ma");
	make(f, &d, "ke.ma", USE_SIGNING, &s);
	assert_int_equal(slip_fits(fixture_directory(f), &s, &e), OK);
	assert_int_equal(slip_fits(fixture_directory(f), &s, &e2), ERR_IDENTITY);
	slip_release(&s);
	d.about = NULL;
	d.envelope_id = e.id;
	memcpy(d.outer_digest, e.digest, DIGEST_BYTES);
	d.to = "gb.ma";
	make(f, &d, "ke.ma", USE_SIGNING, &s);
	assert_int_equal(slip_fits(fixture_directory(f), &s, &e), OK);
	slip_release(&s);
	d.to = "gb.border-force";
	make(f, &d, "ke.ma", USE_SIGNING, &s);
	assert_int_equal(slip_fits(fixture_directory(f), &s, &e), ERR_IDENTITY);
	slip_release(&s);
	d.to = "gb.ma";
	d.envelope_id.at[3] ^= 1;
	make(f, &d, "ke.ma", USE_SIGNING, &s);
	assert_int_equal(slip_fits(fixture_directory(f), &s, &e), ERR_IDENTITY);
	slip_release(&s);
	envelope_release(&e);
	envelope_release(&e2);
}

static void
test_slip_of_a_retired_key_counts_and_of_a_revoked_one_before_its_end_only(void **state)
{
	struct fixture *f = fixture_new();
	struct mail_plan p = { 0 };
	struct proof_cache cache = { 0 };
	struct slip_draft d;
	struct envelope e;
	struct slip before, after, retired;

	(void)state;
	mail_envelope(f, &p, &e);
	d = draft(STORED, &e, "ke");
	d.time_ms = FIXTURE_NOW_MS + 100 * DAY_MS;
	make(f, &d, "ke", USE_RECEIPTS, &retired);
	fixture_renew(f, "ke", USE_RECEIPTS, FIXTURE_NOW_MS);
	d.time_ms = FIXTURE_NOW_MS - 1;
	make(f, &d, "ke", USE_RECEIPTS, &before);
	d.time_ms = FIXTURE_NOW_MS;
	make(f, &d, "ke", USE_RECEIPTS, &after);
	fixture_revoke(f, "ke", USE_RECEIPTS, FIXTURE_NOW_MS);
	fixture_renew(f, "ke", USE_RECEIPTS, FIXTURE_NOW_MS);
	fixture_publish(f);
	assert_int_equal(slip_verify(&cache, fixture_directory(f), &retired), OK);
	assert_int_equal(slip_verify(&cache, fixture_directory(f), &before), OK);
	assert_int_equal(slip_verify(&cache, fixture_directory(f), &after), ERR_REVOKED);
	slip_release(&before);
	slip_release(&after);
	slip_release(&retired);
	envelope_release(&e);
	fixture_free(f);
}

static void
test_slip_batch_is_bounded_and_each_slip_stands_alone(void **state)
{
	struct fixture *f = *state;
	struct mail_plan p = { 0 };
	struct slip_draft drafts[BATCH_MAX + 1];
	struct buffer packed[BATCH_MAX + 1] = { { 0 } };
	struct proof_cache cache = { 0 };
	struct envelope e;

	mail_envelope(f, &p, &e);
	for (size_t i = 0; i <= BATCH_MAX; i++) {
		drafts[i] = draft(STORED, &e, "ke");
		drafts[i].time_ms += (int64_t)i;
	}
	assert_int_equal(
	    slips_make(fixture_key(f, "ke", USE_RECEIPTS), drafts, 0, packed), ERR_TOO_MANY);
	assert_int_equal(
	    slips_make(fixture_key(f, "ke", USE_RECEIPTS), drafts, BATCH_MAX + 1, packed),
	    ERR_TOO_MANY);
	assert_int_equal(
	    slips_make(fixture_key(f, "ke", USE_RECEIPTS), drafts, BATCH_MAX, packed), OK);
	for (size_t i = 0; i < BATCH_MAX; i++) {
		struct slip s;
		assert_int_equal(slip_parse(buffer_bytes(&packed[i]), &s), OK);
		assert_int_equal(s.body->time, FIXTURE_NOW_MS + (int64_t)i);
		assert_int_equal(slip_verify(&cache, fixture_directory(f), &s), OK);
		s.pb->body.data[s.pb->body.len - 1] ^= 1;
		assert_int_equal(slip_verify(&cache, fixture_directory(f), &s), ERR_SIGNATURE);
		slip_release(&s);
		buffer_release(&packed[i]);
	}
	drafts[0].type = REFUSED;
	assert_int_equal(
	    slips_make(fixture_key(f, "ke", USE_RECEIPTS), drafts, 1, packed), ERR_VALUE);
	envelope_release(&e);
}

static void
test_slip_words_are_cut_between_characters(void **state)
{
	struct fixture *f = *state;
	struct mail_plan p = { 0 };
	struct slip_draft d;
	struct envelope e;
	struct slip s;
	char words[SLIP_REASON_MAX_BYTES + 3];

	mail_envelope(f, &p, &e);
	d = draft(REFUSED, &e, "ke.ma");
	d.words = words;
	memset(words, 'w', sizeof(words));
	words[SLIP_REASON_MAX_BYTES] = '\0';
	make(f, &d, "ke.ma", USE_SIGNING, &s);
	assert_int_equal(strlen(s.body->words), SLIP_REASON_MAX_BYTES);
	assert_string_equal(s.body->reason, "cannot-be-opened");
	slip_release(&s);
	words[SLIP_REASON_MAX_BYTES - 1] = (char)0xc3; /* é over the edge */
	words[SLIP_REASON_MAX_BYTES] = (char)0xa9;
	words[SLIP_REASON_MAX_BYTES + 1] = '\0';
	make(f, &d, "ke.ma", USE_SIGNING, &s);
	assert_int_equal(strlen(s.body->words), SLIP_REASON_MAX_BYTES - 1);
	slip_release(&s);
	envelope_release(&e);
}

/* --- bodies out of their bounds --- */

static uint8_t some[64] = { 1 };
static char long_words[SLIP_REASON_MAX_BYTES + 2];

static void
right_body(Citex__SlipBody *b)
{
	citex__slip_body__init(b);
	b->version = 1;
	b->type = REFUSED;
	b->envelope_id = (ProtobufCBinaryData){ ID_BYTES, some };
	b->outer_digest = (ProtobufCBinaryData){ DIGEST_BYTES, some };
	b->to = (char *)(uintptr_t) "gb.ma";
	b->maker = (char *)(uintptr_t) "ke.ma";
	b->time = FIXTURE_NOW_MS;
	b->reason = (char *)(uintptr_t) "cannot-be-opened";
}

static enum err
parse_body(struct fixture *f, const Citex__SlipBody *b)
{
	CLEANUP(buffer_release) struct buffer body = { 0 }, packed = { 0 };
	Citex__Slip slip = CITEX__SLIP__INIT;
	struct slip s;
	struct bytes leaf;
	enum err e;

	proto_pack(&b->base, &body);
	leaf = buffer_bytes(&body);
	assert_int_equal(
	    proofs_sign(fixture_key(f, "ke.ma", USE_SIGNING), SLIP_LABEL, &leaf, 1, &slip.proof),
	    OK);
	slip.body = pb_of_bytes(leaf);
	proto_pack(&slip.base, &packed);
	e = slip_parse(buffer_bytes(&packed), &s);
	slip_release(&s);
	proto_free(&slip.proof->base);
	return e;
}

static void
test_slip_fields_have_their_bounds(void **state)
{
	Citex__SlipBody b;

	right_body(&b);
	assert_int_equal(parse_body(*state, &b), OK);
#define REFUSE(change, error) \
	do { \
		right_body(&b); \
		change; \
		assert_int_equal(parse_body(*state, &b), error); \
	} while (0)
	REFUSE(b.version = 2, ERR_VERSION);
	REFUSE(b.type = CITEX__SLIP_TYPE__SLIP_NONE, ERR_MALFORMED);
	REFUSE(b.envelope_id.len = 15, ERR_MALFORMED);
	REFUSE(b.envelope_id.data = some + 16, ERR_MALFORMED); /* all zeros */
	REFUSE(b.outer_digest.len = 31, ERR_MALFORMED);
	REFUSE(b.to = (char *)(uintptr_t) "", ERR_MALFORMED);
	REFUSE(b.maker = (char *)(uintptr_t) "K E", ERR_MALFORMED);
	REFUSE(b.time = 0, ERR_MALFORMED);
	REFUSE(b.time = UINT64_MAX, ERR_MALFORMED);
	REFUSE(b.reason = (char *)(uintptr_t) "", ERR_MALFORMED);
	REFUSE(b.reason = (char *)(uintptr_t) "ok", ERR_MALFORMED);
	REFUSE(b.reason = (char *)(uintptr_t) "Not A Word", ERR_MALFORMED);
	REFUSE(b.reason = (char *)(uintptr_t) "a-reason-of-tomorrow", OK);
	REFUSE(b.type = OPENED, ERR_MALFORMED); /* with a reason */
	REFUSE((b.type = OPENED, b.reason = (char *)(uintptr_t) ""), OK);
	REFUSE(
	    (b.type = STORED, b.reason = (char *)(uintptr_t) ""), ERR_MALFORMED); /* by no node */
	memset(long_words, 'w', SLIP_REASON_MAX_BYTES + 1);
	REFUSE(b.words = long_words, ERR_MALFORMED);
	long_words[SLIP_REASON_MAX_BYTES] = '\0';
	REFUSE(b.words = long_words, OK);
#undef REFUSE
}

static void
test_slip_that_is_none_is_refused(void **state)
{
	struct fixture *f = *state;
	CLEANUP(buffer_release) struct buffer packed = { 0 }, large = { 0 };
	struct mail_plan p = { 0 };
	struct slip_draft d;
	struct envelope e;
	struct slip s;

	mail_envelope(f, &p, &e);
	d = draft(OPENED, &e, "ke.ma");
	assert_int_equal(slips_make(fixture_key(f, "ke.ma", USE_SIGNING), &d, 1, &packed), OK);
	for (size_t len = 0; len < packed.len; len++)
		assert_int_not_equal(slip_parse((struct bytes){ packed.at, len }, &s), OK);
	memset(buffer_extend(&large, SLIP_MAX_BYTES + 1), 0, SLIP_MAX_BYTES + 1);
	assert_int_equal(slip_parse(buffer_bytes(&large), &s), ERR_TOO_LARGE);
	assert_int_equal(slip_parse((struct bytes){ large.at, SLIP_MAX_BYTES }, &s), ERR_MALFORMED);
	envelope_release(&e);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slip_fits_when_its_maker_may_say_so),
		cmocka_unit_test(test_slip_relay_of_the_author_may_say_it_relayed),
		cmocka_unit_test(test_slip_signed_by_another_than_its_maker_is_refused),
		cmocka_unit_test(test_slip_about_another_envelope_does_not_fit),
		cmocka_unit_test(
		    test_slip_of_a_retired_key_counts_and_of_a_revoked_one_before_its_end_only),
		cmocka_unit_test(test_slip_batch_is_bounded_and_each_slip_stands_alone),
		cmocka_unit_test(test_slip_words_are_cut_between_characters),
		cmocka_unit_test(test_slip_fields_have_their_bounds),
		cmocka_unit_test(test_slip_that_is_none_is_refused),
	};

	return cmocka_run_group_tests_name("slip", tests, fixture_set_up, fixture_tear_down);
}
