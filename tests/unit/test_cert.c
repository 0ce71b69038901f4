/* SPDX-License-Identifier: Apache-2.0 */
/* The profile of certificates: each row is a good certificate with one thing
 * changed and signed anew by its CA, so that nothing but the profile can refuse
 * it. Threats T1, C6, K1. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "pki/cert.h"
#include "pki/files.h"
#include "pki/ossl.h"
#include "pki/ossl_types.h"
#include "tests/fixtures.h"

static struct fixture *world;

static int
set_up(void **state)
{
	(void)state;
	world = fixture_new();
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	fixture_free(world);
	return 0;
}

/* --- changes --- */

static void
drop_extension(X509 *x, int nid)
{
	int at = X509_get_ext_by_NID(x, nid, -1);

	assert_true(at >= 0);
	X509_EXTENSION_free(X509_delete_ext(x, at));
}

/* An extension of whatever bytes. */
static void
add_raw(X509 *x, int nid, bool critical, struct bytes value)
{
	ASN1_OCTET_STRING *octets = ASN1_OCTET_STRING_new();
	X509_EXTENSION *ext;

	assert_int_equal(ASN1_OCTET_STRING_set(octets, value.at, (int)value.len), 1);
	ext = X509_EXTENSION_create_by_NID(NULL, nid, critical, octets);
	assert_int_equal(X509_add_ext(x, ext, -1), 1);
	X509_EXTENSION_free(ext);
	ASN1_OCTET_STRING_free(octets);
}

static void
add_words(X509 *x, int nid, const char *words)
{
	X509_EXTENSION *ext;
	X509V3_CTX ctx;

	X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, words);
	if (ext == NULL)
		fail_msg("%s: %s", words, ossl_why());
	assert_int_equal(X509_add_ext(x, ext, -1), 1);
	X509_EXTENSION_free(ext);
}

static void
set_words(X509 *x, int nid, const char *words)
{
	drop_extension(x, nid);
	add_words(x, nid, words);
}

/* The same value, with the other criticality. */
static void
turn_critical(X509 *x, int nid)
{
	X509_EXTENSION *ext = X509_delete_ext(x, X509_get_ext_by_NID(x, nid, -1));

	X509_EXTENSION_set_critical(ext, !X509_EXTENSION_get_critical(ext));
	assert_int_equal(X509_add_ext(x, ext, -1), 1);
	X509_EXTENSION_free(ext);
}

static void
add_again(X509 *x, int nid)
{
	X509_EXTENSION *ext = X509_get_ext(x, X509_get_ext_by_NID(x, nid, -1));

	assert_int_equal(X509_add_ext(x, ext, -1), 1);
}

static const uint8_t empty_sequence[] = { 0x30, 0x00 };
static const uint8_t garbage[] = { 0x30, 0x05, 0x06, 0x7f, 0x01 };

static void
usage_missing(X509 *x)
{
	drop_extension(x, NID_ext_key_usage);
}

static void
usage_empty(X509 *x)
{
	drop_extension(x, NID_ext_key_usage);
	add_raw(x, NID_ext_key_usage, false, BYTES_OF(empty_sequence));
}

static void
usage_garbage(X509 *x)
{
	drop_extension(x, NID_ext_key_usage);
	add_raw(x, NID_ext_key_usage, false, BYTES_OF(garbage));
}

static void
usage_twice(X509 *x)
{
	add_again(x, NID_ext_key_usage);
}

static void
usage_of_two(X509 *x)
{
	set_words(x, NID_ext_key_usage, CITEX_ARC ".2," CITEX_ARC ".3");
}

static void
usage_and_mail(X509 *x)
{
	set_words(x, NID_ext_key_usage, CITEX_ARC ".2,emailProtection");
}

static void
usage_unknown(X509 *x)
{
	set_words(x, NID_ext_key_usage, CITEX_ARC ".6");
}

static void
usage_any(X509 *x)
{
	set_words(x, NID_ext_key_usage, "anyExtendedKeyUsage");
}

static void
usage_tls_without_ours(X509 *x)
{
	set_words(x, NID_ext_key_usage, "serverAuth,clientAuth");
}

static void
usage_tls_without_client(X509 *x)
{
	set_words(x, NID_ext_key_usage, CITEX_ARC ".1,serverAuth");
}

static void
usage_tls_in_other_order(X509 *x)
{
	set_words(x, NID_ext_key_usage, CITEX_ARC ".1,clientAuth,serverAuth");
}

static void
usage_tls_alone(X509 *x)
{
	set_words(x, NID_ext_key_usage, CITEX_ARC ".1");
}

static void
usage_critical(X509 *x)
{
	turn_critical(x, NID_ext_key_usage);
}

static void
basic_missing(X509 *x)
{
	drop_extension(x, NID_basic_constraints);
}

static void
basic_missing_for_another(X509 *x)
{
	drop_extension(x, NID_basic_constraints);
	add_words(x, NID_subject_alt_name, "DNS:example.org");
}

static void
basic_not_critical(X509 *x)
{
	turn_critical(x, NID_basic_constraints);
}

static void
basic_garbage(X509 *x)
{
	drop_extension(x, NID_basic_constraints);
	add_raw(x, NID_basic_constraints, true, BYTES_OF(garbage));
}

static void
basic_of_a_ca(X509 *x)
{
	set_words(x, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
}

static void
basic_of_no_ca(X509 *x)
{
	set_words(x, NID_basic_constraints, "critical,CA:FALSE");
}

static void
basic_path_of_one(X509 *x)
{
	set_words(x, NID_basic_constraints, "critical,CA:TRUE,pathlen:1");
}

static void
basic_path_without_end(X509 *x)
{
	set_words(x, NID_basic_constraints, "critical,CA:TRUE");
}

static void
key_usage_missing(X509 *x)
{
	drop_extension(x, NID_key_usage);
}

static void
key_usage_not_critical(X509 *x)
{
	turn_critical(x, NID_key_usage);
}

static void
key_usage_more(X509 *x)
{
	set_words(x, NID_key_usage, "critical,digitalSignature,nonRepudiation");
}

static void
key_usage_agreement(X509 *x)
{
	set_words(x, NID_key_usage, "critical,keyAgreement");
}

static void
key_usage_certificates(X509 *x)
{
	set_words(x, NID_key_usage, "critical,digitalSignature,keyCertSign");
}

static void
subject_id_missing(X509 *x)
{
	drop_extension(x, NID_subject_key_identifier);
}

static void
subject_id_other(X509 *x)
{
	set_words(x, NID_subject_key_identifier, "000102030405060708090a0b0c0d0e0f10111213");
}

static void
subject_id_short(X509 *x)
{
	set_words(x, NID_subject_key_identifier, "0001020304050607");
}

static void
subject_id_critical(X509 *x)
{
	turn_critical(x, NID_subject_key_identifier);
}

static void
issuer_id_missing(X509 *x)
{
	drop_extension(x, NID_authority_key_identifier);
}

static void
issuer_id_empty(X509 *x)
{
	drop_extension(x, NID_authority_key_identifier);
	add_raw(x, NID_authority_key_identifier, false, BYTES_OF(empty_sequence));
}

static void
issuer_id_short(X509 *x)
{
	static const uint8_t value[] = { 0x30, 0x04, 0x80, 0x02, 0x01, 0x02 };

	drop_extension(x, NID_authority_key_identifier);
	add_raw(x, NID_authority_key_identifier, false, BYTES_OF(value));
}

static void
issuer_id_critical(X509 *x)
{
	turn_critical(x, NID_authority_key_identifier);
}

static void
issuer_id_with_serial(X509 *x)
{
	static const uint8_t value[] = { 0x30, 0x19, 0x80, 0x14, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11,
		12, 13, 14, 15, 16, 17, 18, 19, 20, 0x82, 0x01, 0x05 };

	drop_extension(x, NID_authority_key_identifier);
	add_raw(x, NID_authority_key_identifier, false, BYTES_OF(value));
}

static void
extension_more(X509 *x)
{
	add_words(x, NID_subject_alt_name, "DNS:example.org");
}

static void
extension_policies(X509 *x)
{
	static const uint8_t value[] = { 0x30, 0x06, 0x30, 0x04, 0x06, 0x02, 0x2a, 0x03 };

	add_raw(x, NID_certificate_policies, false, BYTES_OF(value));
}

static void
extension_for_another(X509 *x)
{
	drop_extension(x, NID_authority_key_identifier);
	add_words(x, NID_subject_alt_name, "DNS:example.org");
}

static void
change_subject(X509 *x, int type, const char *party, const char *name, int len)
{
	X509_NAME *n = X509_NAME_new();

	assert_int_equal(X509_NAME_add_entry_by_NID(
			     n, NID_organizationName, type, (const uint8_t *)party, -1, -1, 0),
	    1);
	assert_int_equal(
	    X509_NAME_add_entry_by_NID(n, NID_commonName, type, (const uint8_t *)name, len, -1, 0),
	    1);
	assert_int_equal(X509_set_subject_name(x, n), 1);
	X509_NAME_free(n);
}

static void
subject_printable(X509 *x)
{
	change_subject(x, V_ASN1_PRINTABLESTRING, "gb", "gb.ma", -1);
}

static void
subject_wide(X509 *x)
{
	change_subject(x, V_ASN1_BMPSTRING, "gb", "gb.ma1", -1);
}

static void
subject_upper_case(X509 *x)
{
	change_subject(x, V_ASN1_UTF8STRING, "gb", "gb.MA", -1);
}

static void
subject_with_a_nul(X509 *x)
{
	change_subject(x, V_ASN1_UTF8STRING, "gb", "gb.ma\0x", 7);
}

static void
subject_with_a_nul_at_the_end(X509 *x)
{
	change_subject(x, V_ASN1_UTF8STRING, "gb", "gb.ma", 6);
}

static void
subject_with_an_escape(X509 *x)
{
	change_subject(x, V_ASN1_UTF8STRING, "gb", "gb.\033[2J", -1);
}

static const char long_name[] =
    "gb.x-------10--------20--------30--------40--------50--------60---65";

static void
subject_of_64(X509 *x)
{
	change_subject(x, V_ASN1_UTF8STRING, "gb", long_name, AUTHORITY_MAX_BYTES);
}

static void
subject_of_65(X509 *x)
{
	change_subject(x, V_ASN1_UTF8STRING, "gb", long_name, AUTHORITY_MAX_BYTES + 1);
}

static void
subject_in_one_set(X509 *x)
{
	X509_NAME *n = X509_NAME_new();

	assert_int_equal(X509_NAME_add_entry_by_NID(n, NID_organizationName, V_ASN1_UTF8STRING,
			     (const uint8_t *)"gb", -1, -1, 0),
	    1);
	assert_int_equal(X509_NAME_add_entry_by_NID(n, NID_commonName, V_ASN1_UTF8STRING,
			     (const uint8_t *)"gb.ma", -1, -1, -1),
	    1);
	assert_int_equal(X509_set_subject_name(x, n), 1);
	X509_NAME_free(n);
}

static void
subject_without_a_party(X509 *x)
{
	X509_NAME *n = X509_NAME_dup(X509_get_subject_name(x));

	X509_NAME_ENTRY_free(
	    X509_NAME_delete_entry(n, X509_NAME_get_index_by_NID(n, NID_organizationName, -1)));
	assert_int_equal(X509_set_subject_name(x, n), 1);
	X509_NAME_free(n);
}

static void
subject_more(X509 *x, int nid, const char *text, int at)
{
	X509_NAME *n = X509_NAME_dup(X509_get_subject_name(x));

	assert_int_equal(
	    X509_NAME_add_entry_by_NID(n, nid, V_ASN1_UTF8STRING, (const uint8_t *)text, -1, at, 0),
	    1);
	assert_int_equal(X509_set_subject_name(x, n), 1);
	X509_NAME_free(n);
}

static void
subject_with_a_country(X509 *x)
{
	subject_more(x, NID_organizationalUnitName, "unit", -1);
}

static void
subject_of_two_names(X509 *x)
{
	subject_without_a_party(x);
	subject_more(x, NID_commonName, "ke.ma", -1);
}

static void
subject_in_other_order(X509 *x)
{
	subject_without_a_party(x);
	subject_more(x, NID_organizationName, "gb", -1);
}

static void
set_key(X509 *x, EVP_PKEY *key)
{
	assert_non_null(key);
	assert_int_equal(X509_set_pubkey(x, key), 1);
	set_words(x, NID_subject_key_identifier, "hash");
	EVP_PKEY_free(key);
}

static void
key_p384(X509 *x)
{
	set_key(x, EVP_EC_gen("P-384"));
}

static void
key_rsa(X509 *x)
{
	set_key(x, EVP_RSA_gen(2048));
}

static void
key_ed25519(X509 *x)
{
	set_key(x, EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"));
}

static void
key_compressed(X509 *x)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");

	assert_int_equal(EVP_PKEY_set_utf8_string_param(
			     key, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, "compressed"),
	    1);
	set_key(x, key);
}

static void
key_explicit(X509 *x)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");

	assert_int_equal(
	    EVP_PKEY_set_utf8_string_param(key, OSSL_PKEY_PARAM_EC_ENCODING, "explicit"), 1);
	set_key(x, key);
}

static void
version_1(X509 *x)
{
	assert_int_equal(X509_set_version(x, X509_VERSION_1), 1);
}

static void
version_4(X509 *x)
{
	assert_int_equal(X509_set_version(x, 3), 1);
}

static void
set_serial(X509 *x, const char *hex, bool negative)
{
	BIGNUM *n = NULL;

	assert_true(BN_hex2bn(&n, hex) > 0);
	BN_set_negative(n, negative);
	assert_non_null(BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x)));
	BN_free(n);
}

static void
serial_zero(X509 *x)
{
	set_serial(x, "00", false);
}

static void
serial_small(X509 *x)
{
	set_serial(x, "01", false);
}

static void
serial_negative(X509 *x)
{
	set_serial(x, "40112233445566778899aabbccddeeff", true);
}

static void
serial_long(X509 *x)
{
	set_serial(x, "4000112233445566778899aabbccddeeff", false);
}

static void
set_time(ASN1_TIME *t, int type, const char *text)
{
	assert_int_equal(ASN1_STRING_set(t, text, -1), 1);
	t->type = type;
}

static void
time_backwards(X509 *x)
{
	set_time(X509_getm_notAfter(x), V_ASN1_UTCTIME, "240101000000Z");
}

static void
time_with_an_offset(X509 *x)
{
	set_time(X509_getm_notBefore(x), V_ASN1_UTCTIME, "240101000000+0100");
}

static void
time_without_seconds(X509 *x)
{
	set_time(X509_getm_notBefore(x), V_ASN1_UTCTIME, "2401010000Z");
}

static void
time_of_no_day(X509 *x)
{
	set_time(X509_getm_notBefore(x), V_ASN1_UTCTIME, "240231000000Z");
}

static void
time_with_a_fraction(X509 *x)
{
	set_time(X509_getm_notBefore(x), V_ASN1_GENERALIZEDTIME, "20240101000000.5Z");
}

static void
time_general_before_2050(X509 *x)
{
	set_time(X509_getm_notBefore(x), V_ASN1_GENERALIZEDTIME, "20240101000000Z");
}

static void
time_general_from_2050(X509 *x)
{
	set_time(X509_getm_notAfter(x), V_ASN1_GENERALIZEDTIME, "20500101000000Z");
}

static void
time_of_2049(X509 *x)
{
	set_time(X509_getm_notAfter(x), V_ASN1_UTCTIME, "491231235959Z");
}

/* --- making them --- */

static struct bytes
der_of(X509 *x)
{
	uint8_t *der = NULL;
	int len = i2d_X509(x, &der);
	struct bytes out;

	assert_true(len > 0);
	out = bytes_dup((struct bytes){ der, (size_t)len });
	OPENSSL_free(der);
	return out;
}

static X509 *
x509_of(const char *name, enum cert_use use)
{
	struct bytes der = cert_der(fixture_cert(world, name, use));
	const uint8_t *at = der.at;
	X509 *x = d2i_X509(NULL, &at, (long)der.len);

	assert_non_null(x);
	return x;
}

/* NAME's certificate for USE, changed, and signed by the CA of gb again. Its bytes are the
 * caller's. */
static struct bytes
forge(const char *name, enum cert_use use, void (*change)(X509 *x), const EVP_MD *md)
{
	CLEANUP(x509_drop) X509 *x = x509_of(name, use);

	if (change != NULL)
		change(x);
	assert_true(X509_sign(x, private_key_evp(fixture_key(world, "gb", USE_CA)), md) > 0);
	return der_of(x);
}

static enum err
parse(struct bytes der)
{
	struct cert *c = NULL;
	enum err e = cert_parse(der, &c);

	assert_true((e == OK) == (c != NULL));
	cert_free(c);
	return e;
}

static enum err
parse_forged(const char *name, enum cert_use use, void (*change)(X509 *x), const EVP_MD *md)
{
	struct bytes der = forge(name, use, change, md);
	enum err e = parse(der);

	free((void *)(uintptr_t)der.at);
	return e;
}

#define ROW(change, expect) \
	{ \
#change, change, expect \
	}
struct row {
	const char *words;
	void (*change)(X509 *x);
	enum err expect;
};

static void
run_rows(const char *name, enum cert_use use, const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		enum err e = parse_forged(name, use, rows[i].change, EVP_sha256());
		if (e != rows[i].expect)
			fail_msg("%s: %s", rows[i].words, err_name(e));
	}
}

static void
test_cert_profile_of_a_leaf(void **state)
{
	static const struct row rows[] = {
		{ "nothing", NULL, OK },
		ROW(usage_missing, ERR_CERTIFICATE),
		ROW(usage_empty, ERR_CERTIFICATE),
		ROW(usage_garbage, ERR_CERTIFICATE),
		ROW(usage_twice, ERR_CERTIFICATE),
		ROW(usage_of_two, ERR_CERTIFICATE),
		ROW(usage_and_mail, ERR_CERTIFICATE),
		ROW(usage_unknown, ERR_CERTIFICATE),
		ROW(usage_any, ERR_CERTIFICATE),
		ROW(usage_tls_without_ours, ERR_CERTIFICATE),
		ROW(usage_critical, ERR_CERTIFICATE),
		ROW(basic_missing, ERR_CERTIFICATE),
		ROW(basic_missing_for_another, ERR_CERTIFICATE),
		ROW(basic_not_critical, ERR_CERTIFICATE),
		ROW(basic_garbage, ERR_CERTIFICATE),
		ROW(basic_of_a_ca, ERR_CERTIFICATE),
		ROW(basic_path_without_end, ERR_CERTIFICATE),
		ROW(key_usage_missing, ERR_CERTIFICATE),
		ROW(key_usage_not_critical, ERR_CERTIFICATE),
		ROW(key_usage_more, ERR_CERTIFICATE),
		ROW(key_usage_agreement, ERR_CERTIFICATE),
		ROW(key_usage_certificates, ERR_CERTIFICATE),
		ROW(subject_id_missing, ERR_CERTIFICATE),
		ROW(subject_id_other, ERR_CERTIFICATE),
		ROW(subject_id_short, ERR_CERTIFICATE),
		ROW(subject_id_critical, ERR_CERTIFICATE),
		ROW(issuer_id_missing, ERR_CERTIFICATE),
		ROW(issuer_id_empty, ERR_CERTIFICATE),
		ROW(issuer_id_short, ERR_CERTIFICATE),
		ROW(issuer_id_critical, ERR_CERTIFICATE),
		ROW(issuer_id_with_serial, ERR_CERTIFICATE),
		ROW(extension_more, ERR_CERTIFICATE),
		ROW(extension_policies, ERR_CERTIFICATE),
		ROW(extension_for_another, ERR_CERTIFICATE),
		ROW(subject_printable, ERR_CERTIFICATE),
		ROW(subject_wide, ERR_CERTIFICATE),
		ROW(subject_upper_case, ERR_CERTIFICATE),
		ROW(subject_with_a_nul, ERR_CERTIFICATE),
		ROW(subject_with_a_nul_at_the_end, ERR_CERTIFICATE),
		ROW(subject_with_an_escape, ERR_CERTIFICATE),
		ROW(subject_of_64, OK),
		ROW(subject_of_65, ERR_CERTIFICATE),
		ROW(subject_in_one_set, ERR_CERTIFICATE),
		ROW(subject_without_a_party, ERR_CERTIFICATE),
		ROW(subject_with_a_country, ERR_CERTIFICATE),
		ROW(subject_of_two_names, ERR_CERTIFICATE),
		ROW(subject_in_other_order, ERR_CERTIFICATE),
		ROW(key_p384, ERR_CERTIFICATE),
		ROW(key_rsa, ERR_CERTIFICATE),
		ROW(key_ed25519, ERR_CERTIFICATE),
		ROW(key_compressed, ERR_CERTIFICATE),
		ROW(key_explicit, ERR_CERTIFICATE),
		ROW(version_1, ERR_CERTIFICATE),
		ROW(version_4, ERR_CERTIFICATE),
		ROW(serial_zero, ERR_CERTIFICATE),
		ROW(serial_small, ERR_CERTIFICATE),
		ROW(serial_negative, ERR_CERTIFICATE),
		ROW(serial_long, ERR_CERTIFICATE),
		ROW(time_backwards, ERR_CERTIFICATE),
		ROW(time_with_an_offset, ERR_CERTIFICATE),
		ROW(time_without_seconds, ERR_CERTIFICATE),
		ROW(time_of_no_day, ERR_CERTIFICATE),
		ROW(time_with_a_fraction, ERR_CERTIFICATE),
		ROW(time_general_before_2050, ERR_CERTIFICATE),
		ROW(time_general_from_2050, OK),
		ROW(time_of_2049, OK),
	};

	(void)state;
	run_rows("gb.ma", USE_SIGNING, rows, sizeof(rows) / sizeof(*rows));
}

static void
test_cert_profile_of_tls(void **state)
{
	static const struct row rows[] = {
		{ "nothing", NULL, OK },
		ROW(usage_empty, ERR_CERTIFICATE),
		ROW(usage_tls_alone, ERR_CERTIFICATE),
		ROW(usage_tls_without_ours, ERR_CERTIFICATE),
		ROW(usage_tls_without_client, ERR_CERTIFICATE),
		ROW(usage_tls_in_other_order, ERR_CERTIFICATE),
		ROW(key_usage_agreement, ERR_CERTIFICATE),
		ROW(basic_of_a_ca, ERR_CERTIFICATE),
	};

	(void)state;
	run_rows("gb", USE_TLS, rows, sizeof(rows) / sizeof(*rows));
}

static void
usage_signing(X509 *x)
{
	add_words(x, NID_ext_key_usage, CITEX_ARC ".2");
}

static void
test_cert_profile_of_a_ca(void **state)
{
	static const struct row rows[] = {
		{ "nothing", NULL, OK },
		ROW(usage_signing, ERR_CERTIFICATE),
		ROW(basic_missing, ERR_CERTIFICATE),
		ROW(basic_not_critical, ERR_CERTIFICATE),
		ROW(basic_of_no_ca, ERR_CERTIFICATE),
		ROW(basic_path_of_one, ERR_CERTIFICATE),
		ROW(basic_path_without_end, ERR_CERTIFICATE),
		ROW(key_usage_certificates, ERR_CERTIFICATE),
		ROW(extension_more, ERR_CERTIFICATE),
		ROW(issuer_id_missing, ERR_CERTIFICATE),
	};

	(void)state;
	run_rows("gb", USE_CA, rows, sizeof(rows) / sizeof(*rows));
}

static void
test_cert_other_signature_algorithms_are_refused(void **state)
{
	(void)state;
	assert_int_equal(parse_forged("gb.ma", USE_SIGNING, NULL, EVP_sha384()), ERR_CERTIFICATE);
	assert_int_equal(parse_forged("gb.ma", USE_SIGNING, NULL, EVP_sha1()), ERR_CERTIFICATE);
}

/* Inside the signed part or outside of it: both must say the same. */
static void
test_cert_names_one_signature_algorithm(void **state)
{
	static const uint8_t oid[] = { 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02 };
	struct bytes der = cert_der(fixture_cert(world, "gb.ma", USE_SIGNING));
	uint8_t *copy = xmemdup(der.at, der.len);
	size_t seen = 0;

	(void)state;
	for (size_t i = 0; i + sizeof(oid) <= der.len; i++) {
		if (memcmp(copy + i, oid, sizeof(oid)) != 0)
			continue;
		copy[i + sizeof(oid) - 1] = 0x03; /* with SHA-384 */
		assert_int_equal(parse((struct bytes){ copy, der.len }), ERR_CERTIFICATE);
		copy[i + sizeof(oid) - 1] = 0x02;
		seen++;
	}
	assert_int_equal(seen, 2);
	free(copy);
}

/* --- bytes --- */

static void
test_cert_has_one_encoding(void **state)
{
	struct bytes der = cert_der(fixture_cert(world, "gb.ma", USE_SIGNING));
	CLEANUP(buffer_release) struct buffer b = { 0 };

	(void)state;
	assert_int_equal(parse(der), OK);
	buffer_add(&b, der);
	buffer_add_u8(&b, 0);
	assert_int_equal(parse(buffer_bytes(&b)), ERR_TRAILING);
	/* the outer SEQUENCE with one octet of length more than needed, and without a length */
	assert_int_equal(der.at[1], 0x82);
	buffer_clear(&b);
	buffer_add(&b, (struct bytes){ (const uint8_t *)"\x30\x83\x00", 3 });
	buffer_add(&b, (struct bytes){ der.at + 2, der.len - 2 });
	assert_int_equal(parse(buffer_bytes(&b)), ERR_MALFORMED);
	buffer_clear(&b);
	buffer_add(&b, (struct bytes){ (const uint8_t *)"\x30\x80", 2 });
	buffer_add(&b, (struct bytes){ der.at + 4, der.len - 4 });
	buffer_add(&b, (struct bytes){ (const uint8_t *)"\0\0", 2 });
	assert_int_equal(parse(buffer_bytes(&b)), ERR_MALFORMED);
	assert_int_equal(parse(BYTES_NONE), ERR_MALFORMED);
}

/* A good certificate's bytes are far fewer; one of that size only gets as far as the profile. */
static void
test_cert_size_is_bounded(void **state)
{
	static const size_t most = 8 * KIB;
	CLEANUP(x509_drop) X509 *x = x509_of("gb.ma", USE_SIGNING);
	CLEANUP(buffer_release) struct buffer fill = { 0 };
	struct bytes der;

	(void)state;
	memset(buffer_extend(&fill, most), 0, most);
	for (size_t at = most - 600; at < most; at++) {
		add_raw(x, NID_netscape_comment, false, (struct bytes){ fill.at, at });
		assert_true(X509_sign(x, private_key_evp(fixture_key(world, "gb", USE_CA)),
				EVP_sha256()) > 0);
		der = der_of(x);
		assert_int_equal(parse(der), der.len <= most ? ERR_CERTIFICATE : ERR_MALFORMED);
		drop_extension(x, NID_netscape_comment);
		free((void *)(uintptr_t)der.at);
		if (der.len > most)
			return;
	}
	fail();
}

static void
test_cert_cut_anywhere_is_refused(void **state)
{
	struct bytes der = cert_der(fixture_cert(world, "gb", USE_TLS));

	(void)state;
	for (size_t len = 0; len < der.len; len++) {
		uint8_t *copy = xmemdup(der.at, len == 0 ? 1 : len);
		assert_int_not_equal(parse((struct bytes){ copy, len }), OK);
		free(copy);
	}
}

/* --- judging --- */

/* A leaf whose CA is a stranger with the right names. */
static void
test_cert_of_a_stranger_with_the_right_names_is_refused(void **state)
{
	struct fixture *other = fixture_new();
	struct cert *ca = fixture_cert(world, "gb", USE_CA);

	(void)state;
	assert_int_equal(
	    cert_check(fixture_cert(other, "gb.ma", USE_SIGNING), ca, USE_SIGNING, FIXTURE_NOW_MS),
	    ERR_CERTIFICATE);
	assert_int_equal(cert_check(fixture_cert(other, "gb", USE_CA), ca, USE_CA, FIXTURE_NOW_MS),
	    ERR_CERTIFICATE);
	fixture_free(other);
}

static void
by_itself(X509 *x)
{
	assert_int_equal(X509_set_issuer_name(x, X509_get_subject_name(x)), 1);
}

static void
by_another_issuer(X509 *x)
{
	X509 *ke = x509_of("ke", USE_CA);

	assert_int_equal(X509_set_issuer_name(x, X509_get_subject_name(ke)), 1);
	X509_free(ke);
}

static void
by_another_key(X509 *x)
{
	static const uint8_t value[] = { 0x30, 0x16, 0x80, 0x14, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11,
		12, 13, 14, 15, 16, 17, 18, 19, 20 };

	drop_extension(x, NID_authority_key_identifier);
	add_raw(x, NID_authority_key_identifier, false, BYTES_OF(value));
}

static void
name_of_ke(X509 *x)
{
	change_subject(x, V_ASN1_UTF8STRING, "gb", "ke.ma", -1);
}

static void
party_ke(X509 *x)
{
	change_subject(x, V_ASN1_UTF8STRING, "ke", "ke.ma", -1);
}

static void
name_that_begins_so(X509 *x)
{
	change_subject(x, V_ASN1_UTF8STRING, "gb", "gbx.ma", -1);
}

/* Each fits the profile; the CA has signed each; the chain or the name is wrong. */
static void
test_cert_chain_and_names(void **state)
{
	static const struct row rows[] = {
		{ "nothing", NULL, OK },
		ROW(by_itself, ERR_CERTIFICATE),
		ROW(by_another_issuer, ERR_CERTIFICATE),
		ROW(by_another_key, ERR_CERTIFICATE),
		ROW(name_of_ke, ERR_IDENTITY),
		ROW(party_ke, ERR_IDENTITY),
		ROW(name_that_begins_so, ERR_IDENTITY),
	};
	struct cert *ca = fixture_cert(world, "gb", USE_CA);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct bytes der = forge("gb.ma", USE_SIGNING, rows[i].change, EVP_sha256());
		CLEANUP(cert_drop) struct cert *c = NULL;
		enum err e;
		assert_int_equal(cert_parse(der, &c), OK);
		e = cert_check(c, ca, USE_SIGNING, FIXTURE_NOW_MS);
		if (e != rows[i].expect)
			fail_msg("%s: %s", rows[i].words, err_name(e));
		assert_int_equal(cert_check_chain(c, ca, USE_SIGNING), e);
		free((void *)(uintptr_t)der.at);
	}
}

/* C6: every certificate, asked for every use. */
static void
test_cert_has_one_use(void **state)
{
	static const struct {
		const char *name;
		enum cert_use use;
	} certs[] = { { "gb", USE_TLS }, { "gb.ma", USE_SIGNING }, { "gb.ma", USE_SEALING },
		{ "gb", USE_RECEIPTS }, { "gb", USE_CA }, { "", USE_DIRECTORY } };
	struct cert *ca = fixture_cert(world, "gb", USE_CA);

	(void)state;
	for (size_t i = 0; i < sizeof(certs) / sizeof(*certs); i++) {
		struct cert *c = fixture_cert(world, certs[i].name, certs[i].use);
		assert_int_equal(cert_use(c), certs[i].use);
		for (int use = USE_CA; use <= USE_DIRECTORY; use++) {
			/* the publisher's is of nobody's CA */
			bool good = (int)certs[i].use == use && use != USE_DIRECTORY;
			enum err e = cert_check(c, ca, (enum cert_use)use, FIXTURE_NOW_MS);
			assert_true(good ? e == OK : e == ERR_CERTIFICATE || e == ERR_IDENTITY);
		}
		/* and none but a CA is one */
		if (certs[i].use != USE_CA)
			assert_int_equal(cert_check(fixture_cert(world, "gb", USE_TLS), c, USE_TLS,
					     FIXTURE_NOW_MS),
			    ERR_CERTIFICATE);
	}
}

static void
test_cert_holds_from_its_first_to_its_last_second(void **state)
{
	static const struct {
		int64_t at_ms;
		enum err expect;
	} rows[] = {
		{ FIXTURE_NOW_MS - DAY_MS - 1, ERR_NOT_YET },
		{ FIXTURE_NOW_MS - DAY_MS, OK },
		{ FIXTURE_NOW_MS + 730 * DAY_MS, OK },
		{ FIXTURE_NOW_MS + 730 * DAY_MS + 1, ERR_EXPIRED },
		{ INT64_MIN, ERR_NOT_YET },
		{ INT64_MAX, ERR_EXPIRED },
	};
	struct cert *c = fixture_cert(world, "gb", USE_TLS),
		    *ca = fixture_cert(world, "gb", USE_CA);

	(void)state;
	assert_int_equal(cert_from_ms(c), FIXTURE_NOW_MS - DAY_MS);
	assert_int_equal(cert_until_ms(c), FIXTURE_NOW_MS + 730 * DAY_MS);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		assert_int_equal(cert_check(c, ca, USE_TLS, rows[i].at_ms), rows[i].expect);
		assert_int_equal(cert_check_chain(c, ca, USE_TLS), OK); /* as evidence */
	}
}

/* --- issuing and files --- */

static void
test_cert_issued_fits_the_profile_and_has_its_own_serial(void **state)
{
	CLEANUP(private_key_drop) struct private_key *key = private_key_new();
	CLEANUP(public_key_drop) struct public_key *public = private_key_public(key);
	struct private_key *ca_key = fixture_key(world, "gb", USE_CA);
	struct cert *ca = fixture_cert(world, "gb", USE_CA);
	struct cert_request r = { "gb", "gb.new", USE_SEALING, public, FIXTURE_NOW_MS,
		FIXTURE_NOW_MS + DAY_MS };
	CLEANUP(cert_drop) struct cert *a = NULL, *b = NULL, *none = NULL;

	(void)state;
	assert_int_equal(cert_issue(&r, ca, ca_key, &a), OK);
	assert_int_equal(cert_issue(&r, ca, ca_key, &b), OK);
	assert_false(bytes_equal(cert_der(a), cert_der(b)));
	assert_string_equal(cert_name(a), "gb.new");
	assert_string_equal(cert_party(a), "gb");
	assert_true(public_key_equal(cert_key(a), public));
	assert_int_equal(cert_check(a, ca, USE_SEALING, FIXTURE_NOW_MS), OK);
	/* a leaf has a CA, a CA has none; names and times are those of the profile */
	assert_int_equal(cert_issue(&r, NULL, ca_key, &none), ERR_VALUE);
	r.use = USE_CA;
	assert_int_equal(cert_issue(&r, ca, ca_key, &none), ERR_VALUE);
	r.use = USE_SEALING;
	r.name = "GB.NEW";
	assert_int_equal(cert_issue(&r, ca, ca_key, &none), ERR_CERTIFICATE);
	r.name = "gb.new";
	r.until_ms = r.from_ms - SECOND_MS;
	assert_int_equal(cert_issue(&r, ca, ca_key, &none), ERR_CERTIFICATE);
}

static void
test_cert_fingerprint_is_in_groups_of_four(void **state)
{
	struct cert *c = fixture_cert(world, "gb", USE_CA);
	uint8_t digest[DIGEST_BYTES];
	char text[80], hex[5];

	(void)state;
	cert_fingerprint(c, text);
	sha256(cert_der(c), digest);
	assert_int_equal(strlen(text), 79);
	for (size_t i = 0; i < 16; i++) {
		hex_encode((struct bytes){ digest + 2 * i, 2 }, hex);
		assert_memory_equal(text + 5 * i, hex, 4);
		assert_int_equal(text[5 * i + 4], i < 15 ? ' ' : '\0');
	}
}

static void
test_cert_files(void **state)
{
	char folder[] = "/tmp/citex-cert-XXXXXX", path[64];
	struct cert *c = fixture_cert(world, "gb", USE_CA);
	CLEANUP(cert_drop) struct cert *again = NULL, *none = NULL;
	struct stat st;

	(void)state;
	assert_non_null(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/ca.pem", folder);
	assert_int_equal(cert_load_pem(path, &none), ERR_IO);
	assert_int_equal(cert_save_pem(c, path), OK);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	assert_int_equal(cert_save_pem(c, path), ERR_EXISTS);
	assert_int_equal(cert_load_pem(path, &again), OK);
	assert_true(bytes_equal(cert_der(c), cert_der(again)));
	assert_int_equal(
	    file_replace(path, bytes_str("-----BEGIN CERTIFICATE-----\nAA==\n"), 0644), OK);
	assert_int_equal(cert_load_pem(path, &none), ERR_MALFORMED);
	assert_null(none);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(folder), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cert_profile_of_a_leaf),
		cmocka_unit_test(test_cert_profile_of_tls),
		cmocka_unit_test(test_cert_profile_of_a_ca),
		cmocka_unit_test(test_cert_other_signature_algorithms_are_refused),
		cmocka_unit_test(test_cert_names_one_signature_algorithm),
		cmocka_unit_test(test_cert_has_one_encoding),
		cmocka_unit_test(test_cert_size_is_bounded),
		cmocka_unit_test(test_cert_cut_anywhere_is_refused),
		cmocka_unit_test(test_cert_of_a_stranger_with_the_right_names_is_refused),
		cmocka_unit_test(test_cert_chain_and_names),
		cmocka_unit_test(test_cert_has_one_use),
		cmocka_unit_test(test_cert_holds_from_its_first_to_its_last_second),
		cmocka_unit_test(test_cert_issued_fits_the_profile_and_has_its_own_serial),
		cmocka_unit_test(test_cert_fingerprint_is_in_groups_of_four),
		cmocka_unit_test(test_cert_files),
	};

	return cmocka_run_group_tests_name("cert", tests, set_up, tear_down);
}
