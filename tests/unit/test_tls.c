/* SPDX-License-Identifier: Apache-2.0 */
/* TLS over memory: threats T1, T2, T5, T7. The peers that misbehave are made
 * with OpenSSL itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <openssl/ssl.h>

#include "pki/ossl_types.h"
#include "pki/tls.h"
#include "tests/fixtures.h"

struct end {
	struct tls *t;
	enum err e;
	struct buffer got;
};

struct meeting {
	struct fixture *f;
	int64_t now_ms;
	struct end server, client;
};

static enum err
judge(void *arg, const struct cert *peer)
{
	struct meeting *m = arg;

	return directory_check_node(fixture_directory(m->f), peer, m->now_ms);
}

static int
set_up(void **state)
{
	struct meeting *m = xalloc(sizeof(*m));

	m->f = fixture_new();
	m->now_ms = FIXTURE_NOW_MS;
	*state = m;
	return 0;
}

static void
part(struct meeting *m)
{
	tls_free(m->server.t);
	tls_free(m->client.t);
	buffer_release(&m->server.got);
	buffer_release(&m->client.got);
	m->server = m->client = (struct end){ 0 };
}

static int
tear_down(void **state)
{
	struct meeting *m = *state;

	part(m);
	fixture_free(m->f);
	free(m);
	return 0;
}

/* Move what FROM has to say to TO, SPLIT bytes at a time; whether there was any. */
static bool
carry(struct end *from, struct end *to, size_t split)
{
	CLEANUP(buffer_release) struct buffer wire = { 0 };

	tls_output(from->t, &wire);
	for (size_t at = 0; at < wire.len && to->e == OK; at += split) {
		size_t len = wire.len - at < split ? wire.len - at : split;
		to->e = tls_receive(to->t, (struct bytes){ wire.at + at, len });
		if (to->e == OK)
			to->e = tls_handshake(to->t);
		if (to->e == OK && tls_is_open(to->t))
			to->e = tls_read(to->t, SIZE_MAX, &to->got);
	}
	return wire.len > 0;
}

static void
shake(struct meeting *m, size_t split)
{
	m->client.e = tls_handshake(m->client.t);
	while (carry(&m->client, &m->server, split) || carry(&m->server, &m->client, split))
		;
}

static struct tls_context *
context_of(struct meeting *m, const char *node)
{
	struct tls_context *c = NULL;

	assert_int_equal(tls_context_new(fixture_cert(m->f, node, USE_TLS),
			     fixture_key(m->f, node, USE_TLS), &c),
	    OK);
	return c;
}

static void
meet(struct meeting *m, size_t split)
{
	struct tls_context *a = context_of(m, "gb"), *b = context_of(m, "ke");

	assert_int_equal(tls_new(a, false, judge, m, &m->client.t), OK);
	assert_int_equal(tls_new(b, true, judge, m, &m->server.t), OK);
	shake(m, split);
	tls_context_free(a);
	tls_context_free(b);
}

static void
test_tls_carries_bytes_in_every_split(void **state)
{
	static const size_t splits[] = { 1, 2, 3, 7, 64, 1000, SIZE_MAX };
	struct meeting *m = *state;

	for (size_t i = 0; i < sizeof(splits) / sizeof(*splits); i++) {
		CLEANUP(buffer_release) struct buffer long_text = { 0 };
		memset(buffer_extend(&long_text, 100000), 'x', 100000);
		meet(m, splits[i]);
		assert_true(tls_is_open(m->client.t) && tls_is_open(m->server.t));
		assert_string_equal(tls_peer(m->client.t), "ke");
		assert_string_equal(tls_peer(m->server.t), "gb");
		assert_int_equal(tls_write(m->client.t, buffer_bytes(&long_text)), OK);
		assert_int_equal(tls_write(m->server.t, bytes_str("back")), OK);
		carry(&m->client, &m->server, splits[i]);
		carry(&m->server, &m->client, splits[i]);
		assert_true(bytes_equal(buffer_bytes(&m->server.got), buffer_bytes(&long_text)));
		assert_true(bytes_equal(buffer_bytes(&m->client.got), bytes_str("back")));
		part(m);
	}
}

static void
test_tls_cut_is_not_an_end(void **state)
{
	struct meeting *m = *state;

	meet(m, SIZE_MAX);
	tls_close(m->client.t);
	carry(&m->client, &m->server, SIZE_MAX);
	assert_int_equal(m->server.e, ERR_CLOSED); /* only close_notify says so */
}

static void
test_tls_certificate_out_of_its_time_is_refused(void **state)
{
	static const struct {
		int64_t at_ms;
		enum err expect;
		const char *told; /* to the other side, by the alert */
	} rows[] = { { FIXTURE_NOW_MS + 731 * DAY_MS, ERR_EXPIRED,
			 "the other side says that our certificate has ended" },
		{ FIXTURE_NOW_MS - 2 * DAY_MS, ERR_NOT_YET,
		    "the other side does not accept our certificate" } };
	struct meeting *m = *state;

	for (size_t i = 0; i < 2; i++) {
		m->now_ms = rows[i].at_ms;
		meet(m, SIZE_MAX);
		assert_int_equal(m->client.e, rows[i].expect);
		assert_false(tls_is_open(m->server.t));
		assert_string_equal(tls_why(m->server.t), rows[i].told);
		part(m);
	}
}

static void
test_tls_revoked_key_is_refused(void **state)
{
	struct meeting *m = *state;

	fixture_revoke(m->f, "gb", USE_TLS, FIXTURE_NOW_MS - 1);
	(void)fixture_publish(m->f);
	meet(m, SIZE_MAX);
	assert_int_equal(m->server.e, ERR_REVOKED);
	assert_false(tls_is_open(m->server.t));
	assert_string_equal(tls_why(m->client.t), "the other side says that our key was revoked");
}

/* A client of our server, made with OpenSSL and CHANGE. */
static void
meet_stranger(struct meeting *m, const char *name, enum cert_use use, void (*change)(SSL_CTX *c))
{
	struct tls_context *b = context_of(m, "ke");
	SSL_CTX *c = SSL_CTX_new(TLS_client_method());
	SSL *ssl;
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	uint8_t piece[65536];

	if (name != NULL) {
		struct bytes der = cert_der(fixture_cert(m->f, name, use));
		assert_int_equal(SSL_CTX_use_certificate_ASN1(c, (int)der.len, der.at), 1);
		assert_int_equal(
		    SSL_CTX_use_PrivateKey(c, private_key_evp(fixture_key(m->f, name, use))), 1);
	}
	assert_int_equal(SSL_CTX_set_alpn_protos(c,
			     (const unsigned char *)"\x07"
						    "citex/1",
			     8),
	    0);
	if (change != NULL)
		change(c);
	ssl = SSL_new(c);
	SSL_set_bio(ssl, in, out);
	SSL_set_connect_state(ssl);
	assert_int_equal(tls_new(b, true, judge, m, &m->server.t), OK);
	for (int i = 0; i < 10; i++) {
		CLEANUP(buffer_release) struct buffer wire = { 0 };
		int len;
		(void)SSL_do_handshake(ssl);
		len = BIO_read(out, piece, sizeof(piece));
		if (len > 0 && m->server.e == OK)
			m->server.e =
			    tls_receive(m->server.t, (struct bytes){ piece, (size_t)len });
		if (m->server.e == OK)
			m->server.e = tls_handshake(m->server.t);
		tls_output(m->server.t, &wire);
		(void)BIO_write(in, wire.at, (int)wire.len);
	}
	SSL_free(ssl);
	SSL_CTX_free(c);
	tls_context_free(b);
}

static void
only_tls_1_2(SSL_CTX *c)
{
	SSL_CTX_set_max_proto_version(c, TLS1_2_VERSION);
}

static void
no_alpn(SSL_CTX *c)
{
	SSL_CTX_set_alpn_protos(c, NULL, 0);
}

static void
other_alpn(SSL_CTX *c)
{
	SSL_CTX_set_alpn_protos(c, (const unsigned char *)"\x02h2", 3);
}

static void
only_p384(SSL_CTX *c)
{
	SSL_CTX_set1_groups_list(c, "P-384");
}

static void
test_tls_strangers_are_refused(void **state)
{
	static const struct {
		const char *name;
		enum cert_use use;
		void (*change)(SSL_CTX *c);
		enum err expect;
	} rows[] = {
		{ "gb", USE_TLS, NULL, OK }, { "gb", USE_TLS, only_tls_1_2, ERR_TLS },
		{ "gb", USE_TLS, no_alpn, ERR_TLS }, { "gb", USE_TLS, other_alpn, ERR_TLS },
		{ "gb", USE_TLS, only_p384, ERR_TLS },
		{ NULL, USE_TLS, NULL, ERR_TLS }, /* no certificate */
		{ "gb.ma", USE_SIGNING, NULL, ERR_CERTIFICATE }, /* another use */
		{ "gb", USE_RECEIPTS, NULL, ERR_CERTIFICATE },
		{ "gb", USE_CA, NULL, ERR_CERTIFICATE }, /* a CA is no leaf */
	};
	struct meeting *m = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		meet_stranger(m, rows[i].name, rows[i].use, rows[i].change);
		assert_int_equal(m->server.e, rows[i].expect);
		assert_int_equal(tls_is_open(m->server.t), rows[i].expect == OK);
		part(m);
	}
}

static void
test_tls_right_name_of_another_world_is_refused(void **state)
{
	struct meeting *m = *state;
	struct fixture *ours = m->f, *other = fixture_new();
	struct tls_context *a, *b = context_of(m, "ke");

	m->f = other;
	a = context_of(m, "gb"); /* the right names, another CA */
	m->f = ours;
	assert_int_equal(tls_new(a, false, judge, m, &m->client.t), OK);
	assert_int_equal(tls_new(b, true, judge, m, &m->server.t), OK);
	shake(m, SIZE_MAX);
	assert_int_equal(m->server.e, ERR_CERTIFICATE);
	tls_context_free(a);
	tls_context_free(b);
	fixture_free(other);
}

static void
test_tls_garbage_is_refused(void **state)
{
	struct meeting *m = *state;
	struct tls_context *b = context_of(m, "ke");

	assert_int_equal(tls_new(b, true, judge, m, &m->server.t), OK);
	assert_int_equal(tls_receive(m->server.t, bytes_str("GET / HTTP/1.1\r\n\r\n")), OK);
	assert_int_equal(tls_handshake(m->server.t), ERR_TLS);
	tls_context_free(b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    test_tls_carries_bytes_in_every_split, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_tls_cut_is_not_an_end, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_tls_certificate_out_of_its_time_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_tls_revoked_key_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_tls_strangers_are_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_tls_right_name_of_another_world_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_tls_garbage_is_refused, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("tls", tests, NULL, NULL);
}
