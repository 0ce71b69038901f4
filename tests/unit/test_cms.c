/* SPDX-License-Identifier: Apache-2.0 */
/* The one CMS shape (threats C1-C3, C7): what we write is read, and nothing
 * else is. Shapes by name (aead_to_ofb, lamps_eufcma, ...) are in
 * tests/vectors/, written by a foreign hand; here is every small change to the
 * structure and to each byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <openssl/objects.h>

#include "pki/cms.h"
#include "pki/der.h"
#include "pki/ossl.h"
#include "pki/ossl_types.h"
#include "proto/ids.h"

#define NOW_MS 1795478399000LL

static struct private_key *signer, *reader_key;
static struct public_key *signer_public, *reader_public;
static uint8_t signer_id[KEY_ID_BYTES], reader_id[KEY_ID_BYTES];
static const struct id envelope = { { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 } };

static int
set_up(void **state)
{
	(void)state;
	signer = private_key_new();
	reader_key = private_key_new();
	signer_public = private_key_public(signer);
	reader_public = private_key_public(reader_key);
	public_key_id(signer_public, signer_id);
	public_key_id(reader_public, reader_id);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	private_key_free(signer);
	private_key_free(reader_key);
	public_key_free(signer_public);
	public_key_free(reader_public);
	return 0;
}

/* Is DER a SignedData by our signer? */
static bool
signed_accepted(struct bytes der)
{
	struct cms_signed s;

	return cms_parse_signed(der, &s) == OK && bytes_equal(s.key_id, BYTES_OF(signer_id)) &&
	    cms_verify(&s, signer_public) == OK;
}

/* Does DER open for our reader? Every failure must look the same and give out nothing. */
static bool
sealed_accepted(struct cms_opener *o, struct bytes der)
{
	CLEANUP(buffer_release) struct buffer out = { 0 };
	struct cms_sealed s;
	enum err e = cms_parse_sealed(der, &s);

	if (e == OK)
		e = cms_open(o, &s, id_bytes(&envelope), &out);
	if (e == OK)
		return true;
	assert_int_equal(e, ERR_CANNOT_BE_OPENED);
	assert_int_equal(out.len, 0);
	return false;
}

static void
make_signed(struct bytes content, struct buffer *out)
{
	assert_int_equal(cms_sign(signer, content, NOW_MS, out), OK);
}

static void
make_sealed(struct bytes plain, struct buffer *out)
{
	struct cms_sender *s;

	assert_int_equal(cms_sender_new(reader_public, &s), OK);
	assert_int_equal(cms_seal(s, reader_id, id_bytes(&envelope), plain, out), OK);
	cms_sender_free(s);
}

static void
test_cms_content_type_is_the_one_of_the_header(void **state)
{
	CLEANUP(buffer_release) struct buffer out = { 0 };
	ASN1_OBJECT *oid = OBJ_txt2obj(CMS_CONTENT_OID, 1);

	(void)state;
	assert_non_null(oid);
	assert_string_equal(CMS_CONTENT_OID, CITEX_ARC ".0");
	make_signed(bytes_str("x"), &out);
	assert_non_null(memmem(out.at, out.len, OBJ_get0_data(oid), OBJ_length(oid)));
	ASN1_OBJECT_free(oid);
}

static void
check_signed_round_trip(size_t len)
{
	CLEANUP(buffer_release) struct buffer content = { 0 }, out = { 0 };
	struct cms_signed s;

	memset(buffer_extend(&content, len), 'c', len);
	buffer_add_str(&out, "before");
	make_signed(buffer_bytes(&content), &out);
	assert_int_equal(cms_parse_signed((struct bytes){ out.at + 6, out.len - 6 }, &s), OK);
	assert_true(bytes_equal(s.content, buffer_bytes(&content)));
	assert_true(bytes_equal(s.key_id, BYTES_OF(signer_id)));
	assert_int_equal(s.signing_time_ms, NOW_MS);
	if (len % 16 == 0) /* the slow part says nothing new for each */
		assert_int_equal(cms_verify(&s, signer_public), OK);
}

static void
check_sealed_round_trip(struct cms_sender *sender, struct cms_opener *o, size_t len)
{
	CLEANUP(buffer_release) struct buffer plain = { 0 }, out = { 0 }, again = { 0 };
	struct cms_sealed s;

	memset(buffer_extend(&plain, len), 'p', len);
	buffer_add_str(&out, "before");
	assert_int_equal(
	    cms_seal(sender, reader_id, id_bytes(&envelope), buffer_bytes(&plain), &out), OK);
	assert_int_equal(cms_parse_sealed((struct bytes){ out.at + 6, out.len - 6 }, &s), OK);
	assert_int_equal(cms_open(o, &s, id_bytes(&envelope), &again), OK);
	assert_true(bytes_equal(buffer_bytes(&again), buffer_bytes(&plain)));
}

/* Around each place where a length of the encoding grows by an octet. */
static void
test_cms_survives_the_round_trip_at_each_length(void **state)
{
	static const size_t ranges[][2] = { { 0, 300 }, { 65536 - 400, 65536 + 2 } };
	struct cms_sender *sender;
	struct cms_opener *o;

	(void)state;
	assert_int_equal(cms_sender_new(reader_public, &sender), OK);
	assert_int_equal(cms_opener_new(reader_key, &o), OK);
	for (size_t r = 0; r < 2; r++)
		for (size_t len = ranges[r][0]; len <= ranges[r][1]; len++) {
			check_signed_round_trip(len);
			check_sealed_round_trip(sender, o, len);
		}
	check_signed_round_trip(DER_MAX_BYTES - DER_ROOM_BYTES);
	check_sealed_round_trip(sender, o, DER_MAX_BYTES - DER_ROOM_BYTES);
	cms_sender_free(sender);
	cms_opener_free(o);
}

static void
test_cms_refuses_to_write_what_it_could_not_read(void **state)
{
	CLEANUP(buffer_release) struct buffer content = { 0 }, out = { 0 };
	size_t len = DER_MAX_BYTES - DER_ROOM_BYTES + 1;
	struct cms_sender *s;

	(void)state;
	memset(buffer_extend(&content, len), 'c', len);
	assert_int_equal(cms_sign(signer, buffer_bytes(&content), NOW_MS, &out), ERR_TOO_LARGE);
	assert_int_equal(cms_sign(signer, bytes_str("x"), -1, &out), ERR_VALUE);
	assert_int_equal(cms_sign(signer, bytes_str("x"), INT64_MAX, &out), ERR_VALUE);
	assert_int_equal(cms_sender_new(reader_public, &s), OK);
	assert_int_equal(cms_seal(s, reader_id, id_bytes(&envelope), buffer_bytes(&content), &out),
	    ERR_TOO_LARGE);
	assert_int_equal(
	    cms_seal(s, reader_id, bytes_str("short"), bytes_str("x"), &out), ERR_VALUE);
	cms_sender_free(s);
	assert_int_equal(out.len, 0);
}

static void
test_cms_signing_times_of_both_forms_are_read(void **state)
{
	static const int64_t times[] = { 0, NOW_MS, 2524607999000, 2524608000000, 253402300799000 };

	(void)state;
	for (size_t i = 0; i < sizeof(times) / sizeof(*times); i++) {
		CLEANUP(buffer_release) struct buffer out = { 0 };
		struct cms_signed s;
		assert_int_equal(cms_sign(signer, bytes_str("x"), times[i] + 7, &out), OK);
		assert_int_equal(cms_parse_signed(buffer_bytes(&out), &s), OK);
		assert_int_equal(s.signing_time_ms, times[i]);
		assert_int_equal(cms_verify(&s, signer_public), OK);
	}
}

/* Changes to one element of a DER encoding; the lengths around it stay right. */
enum edit {
	CUT_ELEMENT,
	TWICE,
	OTHER_CLASS,
	NEXT_TAG,
	OTHER_FORM,
	EMPTIED,
	LAST_BYTE_CUT,
	ZERO_ADDED,
	NULL_INSIDE,
	NULL_AFTER,
	NULL_BEFORE,
	LENGTH_LONGER,
	LENGTH_INDEFINITE,
	SWAPPED,
	FIRST_BYTE_CHANGED,
	ZERO_IN_FRONT,
	EDITS
};

static struct bytes
next_element(struct reader *r, uint8_t *tag)
{
	assert_true(r->left.len > 0);
	*tag = r->left.at[0];
	return der_take(r, *tag);
}

static void
add_element(struct buffer *out, uint8_t tag, struct bytes value, enum edit edit)
{
	static const uint8_t null[] = { 5, 0 };
	size_t more = edit == NULL_INSIDE ? 2 : edit == ZERO_ADDED || edit == ZERO_IN_FRONT ? 1 : 0;
	size_t len = value.len + more;

	if (edit == NULL_BEFORE)
		buffer_add(out, BYTES_OF(null));
	if (edit == OTHER_CLASS)
		tag ^= 0x80;
	if (edit == OTHER_FORM)
		tag ^= 0x20;
	if (edit == NEXT_TAG)
		tag++;
	if (edit == EMPTIED)
		len = value.len = 0;
	if (edit == LAST_BYTE_CUT && value.len > 0)
		len = --value.len;
	buffer_add_u8(out, tag);
	if (edit == LENGTH_INDEFINITE) {
		buffer_add_u8(out, 0x80);
	} else if (len < 128 && edit != LENGTH_LONGER) {
		buffer_add_u8(out, (uint8_t)len);
	} else if (len < 128 || (len < 256 && edit != LENGTH_LONGER)) {
		buffer_add_u8(out, 0x81);
		buffer_add_u8(out, (uint8_t)len);
	} else if (edit != LENGTH_LONGER) {
		buffer_add_u8(out, 0x82);
		buffer_add_u16(out, (uint16_t)len);
	} else {
		buffer_add_u8(out, 0x83);
		buffer_add_u8(out, 0);
		buffer_add_u16(out, (uint16_t)len);
	}
	if (edit == ZERO_IN_FRONT)
		buffer_add_u8(out, 0);
	buffer_add(out, value);
	if (edit == FIRST_BYTE_CHANGED && value.len > 0)
		out->at[out->len - value.len] ^= 1;
	if (edit == ZERO_ADDED)
		buffer_add_u8(out, 0);
	if (edit == NULL_INSIDE || edit == NULL_AFTER)
		buffer_add(out, BYTES_OF(null));
	if (edit == LENGTH_INDEFINITE)
		buffer_add_u16(out, 0);
}

/* Append the elements of IN to OUT with EDIT on number TARGET, counting in *NUMBER. */
static void
edit_elements(
    struct bytes in, unsigned *number, unsigned target, enum edit edit, struct buffer *out)
{
	CLEANUP(buffer_release) struct buffer held = { 0 };
	struct reader r = { in, OK };

	while (r.left.len > 0) {
		CLEANUP(buffer_release) struct buffer inside = { 0 };
		uint8_t tag;
		struct bytes value = next_element(&r, &tag);
		bool here = (*number)++ == target;
		if ((tag & 0x20) != 0) {
			edit_elements(value, number, target, edit, &inside);
			value = buffer_bytes(&inside);
		}
		if (here && edit == SWAPPED) {
			add_element(&held, tag, value, EDITS);
			continue;
		}
		if (!here || edit != CUT_ELEMENT)
			add_element(out, tag, value, here ? edit : EDITS);
		if (here && edit == TWICE)
			add_element(out, tag, value, EDITS);
		buffer_add(out, buffer_bytes(&held));
		buffer_release(&held);
	}
	buffer_add(out, buffer_bytes(&held));
}

/* Every edit on every element of WHOLE; how many were other bytes, all of them refused. */
static unsigned
try_all_edits(struct bytes whole, struct cms_opener *o)
{
	unsigned tried = 0, elements = 0;
	CLEANUP(buffer_release) struct buffer same = { 0 };

	edit_elements(whole, &elements, ~0U, EDITS, &same);
	assert_true(bytes_equal(buffer_bytes(&same), whole));
	for (unsigned target = 0; target < elements; target++)
		for (enum edit edit = 0; edit < EDITS; edit++) {
			CLEANUP(buffer_release) struct buffer changed = { 0 };
			unsigned number = 0;
			edit_elements(whole, &number, target, edit, &changed);
			if (bytes_equal(buffer_bytes(&changed), whole))
				continue;
			tried++;
			if (o == NULL ? signed_accepted(buffer_bytes(&changed))
				      : sealed_accepted(o, buffer_bytes(&changed)))
				fail_msg("edit %d of element %u was accepted", (int)edit, target);
		}
	return tried;
}

/* t_cms_shapes */
static void
test_cms_every_other_shape_is_refused(void **state)
{
	CLEANUP(buffer_release) struct buffer whole = { 0 }, sealed = { 0 };
	struct cms_opener *o;
	unsigned of_signed, of_sealed;

	(void)state;
	assert_int_equal(cms_opener_new(reader_key, &o), OK);
	make_signed(bytes_str("the content"), &whole);
	make_sealed(buffer_bytes(&whole), &sealed);
	assert_true(signed_accepted(buffer_bytes(&whole)));
	assert_true(sealed_accepted(o, buffer_bytes(&sealed)));
	of_signed = try_all_edits(buffer_bytes(&whole), NULL);
	of_sealed = try_all_edits(buffer_bytes(&sealed), o);
	print_message("%u shapes of SignedData, %u of AuthEnvelopedData\n", of_signed, of_sealed);
	assert_true(of_signed >= 200 && of_sealed >= 200);
	cms_opener_free(o);
}

static void
test_cms_each_changed_bit_and_each_cut_is_refused(void **state)
{
	CLEANUP(buffer_release) struct buffer whole = { 0 }, sealed = { 0 };
	struct cms_opener *o;

	(void)state;
	assert_int_equal(cms_opener_new(reader_key, &o), OK);
	make_signed(bytes_str("the content"), &whole);
	make_sealed(bytes_str("the plaintext"), &sealed);
	for (size_t i = 0; i < whole.len * 8; i++) {
		whole.at[i / 8] ^= (uint8_t)(1 << i % 8);
		assert_false(signed_accepted(buffer_bytes(&whole)));
		whole.at[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	for (size_t i = 0; i < sealed.len * 8; i++) {
		sealed.at[i / 8] ^= (uint8_t)(1 << i % 8);
		assert_false(sealed_accepted(o, buffer_bytes(&sealed)));
		sealed.at[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	for (size_t len = 0; len < whole.len; len++)
		assert_false(signed_accepted((struct bytes){ whole.at, len }));
	for (size_t len = 0; len < sealed.len; len++)
		assert_false(sealed_accepted(o, (struct bytes){ sealed.at, len }));
	buffer_add_u8(&whole, 0);
	buffer_add_u8(&sealed, 0);
	assert_false(signed_accepted(buffer_bytes(&whole)));
	assert_false(sealed_accepted(o, buffer_bytes(&sealed)));
	cms_opener_free(o);
}

/* The one change that verifies, in every ECDSA: so the hash of a file is not its identity. */
static void
test_cms_signature_has_a_twin(void **state)
{
	CLEANUP(buffer_release) struct buffer out = { 0 };
	struct cms_signed s;
	const uint8_t *at;
	ECDSA_SIG *sig;
	BIGNUM *order = NULL, *other = BN_new();
	uint8_t *twin = NULL;
	int len;

	(void)state;
	make_signed(bytes_str("x"), &out);
	assert_int_equal(cms_parse_signed(buffer_bytes(&out), &s), OK);
	at = s.signature.at;
	sig = d2i_ECDSA_SIG(NULL, &at, (long)s.signature.len);
	BN_hex2bn(&order, "FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551");
	BN_sub(other, order, ECDSA_SIG_get0_s(sig));
	ECDSA_SIG_set0(sig, BN_dup(ECDSA_SIG_get0_r(sig)), other);
	len = i2d_ECDSA_SIG(sig, &twin);
	s.signature = (struct bytes){ twin, (size_t)len };
	assert_int_equal(cms_verify(&s, signer_public), OK);
	OPENSSL_free(twin);
	ECDSA_SIG_free(sig);
	BN_free(order);
}

static void
test_cms_signature_is_by_its_key_over_its_content(void **state)
{
	CLEANUP(buffer_release) struct buffer out = { 0 };
	struct cms_signed s;

	(void)state;
	make_signed(bytes_str("content"), &out);
	assert_int_equal(cms_parse_signed(buffer_bytes(&out), &s), OK);
	assert_int_equal(cms_verify(&s, reader_public), ERR_SIGNATURE);
	s.content = bytes_str("Content");
	assert_int_equal(cms_verify(&s, signer_public), ERR_SIGNATURE);
}

static void
test_cms_opens_for_its_key_and_envelope_only(void **state)
{
	CLEANUP(buffer_release) struct buffer sealed = { 0 }, out = { 0 };
	struct id other = { { 9 } };
	struct cms_opener *right, *wrong;
	struct cms_sealed s;

	(void)state;
	make_sealed(bytes_str("plain"), &sealed);
	assert_int_equal(cms_opener_new(reader_key, &right), OK);
	assert_int_equal(cms_opener_new(signer, &wrong), OK);
	assert_int_equal(cms_parse_sealed(buffer_bytes(&sealed), &s), OK);
	assert_int_equal(cms_open(wrong, &s, id_bytes(&envelope), &out), ERR_CANNOT_BE_OPENED);
	/* another envelope's id beside this ukm, and the other way round */
	assert_int_equal(cms_open(right, &s, id_bytes(&other), &out), ERR_CANNOT_BE_OPENED);
	s.ukm = id_bytes(&other);
	assert_int_equal(cms_open(right, &s, id_bytes(&other), &out), ERR_CANNOT_BE_OPENED);
	s.ukm = id_bytes(&envelope);
	/* the key's name changed: it is not under the tag, so it is compared */
	s.recipient_key_id = BYTES_OF(signer_id);
	assert_int_equal(cms_open(right, &s, id_bytes(&envelope), &out), ERR_CANNOT_BE_OPENED);
	assert_int_equal(cms_open(wrong, &s, id_bytes(&envelope), &out), ERR_CANNOT_BE_OPENED);
	s.recipient_key_id = BYTES_OF(reader_id);
	assert_int_equal(out.len, 0);
	assert_int_equal(cms_open(right, &s, id_bytes(&envelope), &out), OK);
	cms_opener_free(right);
	cms_opener_free(wrong);
}

static void
test_cms_points_that_are_none_open_nothing(void **state)
{
	CLEANUP(buffer_release) struct buffer sealed = { 0 }, out = { 0 };
	uint8_t point[65];
	struct cms_opener *o;
	struct cms_sealed s;

	(void)state;
	make_sealed(bytes_str("plain"), &sealed);
	assert_int_equal(cms_opener_new(reader_key, &o), OK);
	assert_int_equal(cms_parse_sealed(buffer_bytes(&sealed), &s), OK);
	memcpy(point, s.originator.at, sizeof(point));
	point[64] ^= 1; /* off the curve */
	s.originator = BYTES_OF(point);
	for (unsigned again = 0; again < 2; again++)
		assert_int_equal(cms_open(o, &s, id_bytes(&envelope), &out), ERR_CANNOT_BE_OPENED);
	memset(point + 1, 0, 64);
	assert_int_equal(cms_open(o, &s, id_bytes(&envelope), &out), ERR_CANNOT_BE_OPENED);
	memset(point + 1, 0xff, 64); /* over the prime */
	assert_int_equal(cms_open(o, &s, id_bytes(&envelope), &out), ERR_CANNOT_BE_OPENED);
	cms_opener_free(o);
}

/* More senders than the opener remembers, each twice. */
static void
test_cms_opener_remembers_and_forgets(void **state)
{
	enum { SENDERS = 140 };
	struct cms_sender *senders[SENDERS];
	struct cms_opener *o;

	(void)state;
	assert_int_equal(cms_opener_new(reader_key, &o), OK);
	for (size_t i = 0; i < SENDERS; i++) {
		assert_int_equal(cms_sender_new(reader_public, &senders[i]), OK);
		check_sealed_round_trip(senders[i], o, 10);
	}
	for (size_t i = 0; i < SENDERS; i++) {
		check_sealed_round_trip(senders[i], o, 11);
		cms_sender_free(senders[i]);
	}
	cms_opener_free(o);
}

static void
test_cms_one_sender_never_repeats_key_or_nonce(void **state)
{
	CLEANUP(buffer_release) struct buffer a = { 0 }, b = { 0 };
	struct cms_sender *sender;
	struct cms_sealed x, y;

	(void)state;
	assert_int_equal(cms_sender_new(reader_public, &sender), OK);
	assert_int_equal(cms_seal(sender, reader_id, id_bytes(&envelope), bytes_str("p"), &a), OK);
	assert_int_equal(cms_seal(sender, reader_id, id_bytes(&envelope), bytes_str("p"), &b), OK);
	assert_int_equal(cms_parse_sealed(buffer_bytes(&a), &x), OK);
	assert_int_equal(cms_parse_sealed(buffer_bytes(&b), &y), OK);
	assert_true(bytes_equal(x.originator, y.originator));
	assert_false(bytes_equal(x.wrapped_key, y.wrapped_key));
	assert_false(bytes_equal(x.nonce, y.nonce));
	assert_false(bytes_equal(x.tag, y.tag));
	cms_sender_free(sender);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cms_content_type_is_the_one_of_the_header),
		cmocka_unit_test(test_cms_survives_the_round_trip_at_each_length),
		cmocka_unit_test(test_cms_refuses_to_write_what_it_could_not_read),
		cmocka_unit_test(test_cms_signing_times_of_both_forms_are_read),
		cmocka_unit_test(test_cms_every_other_shape_is_refused),
		cmocka_unit_test(test_cms_each_changed_bit_and_each_cut_is_refused),
		cmocka_unit_test(test_cms_signature_has_a_twin),
		cmocka_unit_test(test_cms_signature_is_by_its_key_over_its_content),
		cmocka_unit_test(test_cms_opens_for_its_key_and_envelope_only),
		cmocka_unit_test(test_cms_points_that_are_none_open_nothing),
		cmocka_unit_test(test_cms_opener_remembers_and_forgets),
		cmocka_unit_test(test_cms_one_sender_never_repeats_key_or_nonce),
	};

	return cmocka_run_group_tests_name("cms", tests, set_up, tear_down);
}
