/* SPDX-License-Identifier: Apache-2.0 */
/* TLS over memory. OpenSSL's own chain building is not used: the certificate
 * goes to the caller's judge, who knows the directory. Settings are those of
 * docs/threats.md, "TLS". */
#include "pki/tls.h"

#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#include "pki/ossl.h"
#include "pki/ossl_types.h"

#define CERT_LIST_MAX_BYTES 16384
#define KEY_UPDATES_MAX 32 /* in one session: a peer that sends more only wants work done */
#define PIECE_BYTES 16384

static const unsigned char alpn[] = "\x07"
				    "citex/1";
#define ALPN_BYTES (sizeof(alpn) - 1)

struct tls_context {
	SSL_CTX *server, *client;
};

struct tls {
	SSL *ssl;
	BIO *in, *out; /* owned by SSL */
	tls_judge *judge;
	void *arg;
	struct cert *peer;
	enum err judged;
	unsigned key_updates;
	const char *why;
};

static void
fail_with(struct tls *t, const char *why)
{
	if (t->why == NULL)
		t->why = why;
}

/* By these OpenSSL chooses the alert (RFC 8446, 6.2), from which the other side learns why. */
static int
verify_error(enum err judged)
{
	switch (judged) {
	case ERR_EXPIRED:
		return X509_V_ERR_CERT_HAS_EXPIRED; /* certificate_expired */
	case ERR_REVOKED:
		return X509_V_ERR_CERT_REVOKED; /* certificate_revoked */
	case ERR_UNKNOWN_KEY:
		return X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT; /* unknown_ca */
	default:
		return X509_V_ERR_CERT_UNTRUSTED; /* bad_certificate */
	}
}

/* The other side's alert in an administrator's words; NULL: it was none of these. */
static const char *
alert_words(void)
{
	unsigned long e = ERR_peek_error();

	if (ERR_GET_LIB(e) != ERR_LIB_SSL)
		return NULL;
	switch (ERR_GET_REASON(e) - SSL_AD_REASON_OFFSET) {
	case SSL_AD_CERTIFICATE_EXPIRED:
		return "the other side says that our certificate has ended";
	case SSL_AD_CERTIFICATE_REVOKED:
		return "the other side says that our key was revoked";
	case SSL_AD_UNKNOWN_CA:
		return "the other side does not know our key";
	case SSL_AD_BAD_CERTIFICATE:
		return "the other side does not accept our certificate";
	default:
		return NULL;
	}
}

/* The one place where a peer's certificate is looked at. */
static int
on_verify(X509_STORE_CTX *ctx, void *unused)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(ctx, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls *t = SSL_get_app_data(ssl);
	X509 *x = X509_STORE_CTX_get0_cert(ctx);
	uint8_t *der = NULL;
	int len = x == NULL ? -1 : i2d_X509(x, &der);

	(void)unused;
	t->judged = ERR_CERTIFICATE;
	cert_free(t->peer);
	t->peer = NULL;
	if (len > 0)
		t->judged = cert_parse((struct bytes){ der, (size_t)len }, &t->peer);
	OPENSSL_free(der);
	if (t->judged == OK)
		t->judged = t->judge(t->arg, t->peer);
	if (t->judged == OK)
		return 1;
	fail_with(t, err_words(t->judged));
	X509_STORE_CTX_set_error(ctx, verify_error(t->judged));
	return 0;
}

static int
on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
    unsigned in_len, void *arg)
{
	unsigned char *chosen = NULL;

	(void)ssl;
	(void)arg;
	if (SSL_select_next_proto(&chosen, out_len, alpn, ALPN_BYTES, in, in_len) !=
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static void
on_message(int write, int version, int type, const void *buf, size_t len, SSL *ssl, void *arg)
{
	struct tls *t = SSL_get_app_data(ssl);

	(void)version;
	(void)arg;
	if (write == 0 && type == SSL3_RT_HANDSHAKE && len > 0 && t != NULL &&
	    ((const uint8_t *)buf)[0] == SSL3_MT_KEY_UPDATE)
		t->key_updates++;
}

static bool
set_up(SSL_CTX *c, X509 *own, EVP_PKEY *key)
{
	if (SSL_CTX_set_min_proto_version(c, TLS1_3_VERSION) != 1 ||
	    SSL_CTX_set_max_proto_version(c, TLS1_3_VERSION) != 1 ||
	    SSL_CTX_set_ciphersuites(
		c, "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256") !=
		1 ||
	    SSL_CTX_set1_groups_list(c, "X25519:P-256") != 1 ||
	    SSL_CTX_set1_sigalgs_list(c, "ECDSA+SHA256:ECDSA+SHA384") != 1 ||
	    SSL_CTX_use_certificate(c, own) != 1 || SSL_CTX_use_PrivateKey(c, key) != 1 ||
	    SSL_CTX_check_private_key(c) != 1 || SSL_CTX_set_num_tickets(c, 0) != 1 ||
	    SSL_CTX_set_max_early_data(c, 0) != 1 ||
	    SSL_CTX_set_alpn_protos(c, alpn, ALPN_BYTES) != 0)
		return false;
	SSL_CTX_set_options(c, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
	SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_max_cert_list(c, CERT_LIST_MAX_BYTES);
	SSL_CTX_set_verify_depth(c, 2);
	SSL_CTX_set_security_level(c, 3);
	SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE);
	SSL_CTX_set_verify(c, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_cert_verify_callback(c, on_verify, NULL);
	SSL_CTX_set_alpn_select_cb(c, on_alpn, NULL);
	SSL_CTX_set_msg_callback(c, on_message);
	return true;
}

enum err
tls_context_new(const struct cert *own, const struct private_key *key, struct tls_context **out)
{
	struct tls_context *c;
	struct bytes der = cert_der(own);
	const uint8_t *at = der.at;
	CLEANUP(x509_drop) X509 *x = d2i_X509(NULL, &at, (long)der.len);
	bool done;

	if (x == NULL || cert_use(own) != USE_TLS)
		return ERR_CERTIFICATE;
	c = xalloc(sizeof(*c));
	c->server = SSL_CTX_new(TLS_server_method());
	c->client = SSL_CTX_new(TLS_client_method());
	done = c->server != NULL && c->client != NULL &&
	    set_up(c->server, x, private_key_evp(key)) &&
	    set_up(c->client, x, private_key_evp(key));
	ERR_clear_error();
	if (done) {
		*out = c;
		return OK;
	}
	tls_context_free(c);
	return ERR_CRYPTO;
}

void
tls_context_free(struct tls_context *c)
{
	if (c == NULL)
		return;
	SSL_CTX_free(c->server);
	SSL_CTX_free(c->client);
	free(c);
}

enum err
tls_new(struct tls_context *c, bool server, tls_judge *judge, void *arg, struct tls **out)
{
	struct tls *t = xalloc(sizeof(*t));

	t->judge = judge;
	t->arg = arg;
	t->judged = OK;
	t->ssl = SSL_new(server ? c->server : c->client);
	t->in = BIO_new(BIO_s_mem());
	t->out = BIO_new(BIO_s_mem());
	if (t->ssl == NULL || t->in == NULL || t->out == NULL) {
		BIO_free(t->in);
		BIO_free(t->out);
		SSL_free(t->ssl);
		free(t);
		return ERR_NO_MEMORY;
	}
	SSL_set_app_data(t->ssl, t);
	SSL_set_bio(t->ssl, t->in, t->out);
	if (server)
		SSL_set_accept_state(t->ssl);
	else
		SSL_set_connect_state(t->ssl);
	*out = t;
	return OK;
}

void
tls_free(struct tls *t)
{
	if (t == NULL)
		return;
	SSL_free(t->ssl);
	cert_free(t->peer);
	free(t);
}

enum err
tls_receive(struct tls *t, struct bytes cipher)
{
	while (cipher.len > 0) {
		int piece = cipher.len > PIECE_BYTES ? PIECE_BYTES : (int)cipher.len;
		int n = BIO_write(t->in, cipher.at, piece);
		if (n <= 0)
			return ERR_NO_MEMORY;
		cipher.at += n;
		cipher.len -= (size_t)n;
	}
	return OK;
}

/* What OpenSSL's answer RESULT means; OK: it waits for the other side. */
static enum err
outcome(struct tls *t, int result)
{
	const char *alert;
	int what = SSL_get_error(t->ssl, result);

	if (what == SSL_ERROR_WANT_READ || what == SSL_ERROR_WANT_WRITE) {
		if (t->key_updates <= KEY_UPDATES_MAX)
			return OK;
		fail_with(t, "the other side changes keys without end");
		return ERR_TLS;
	}
	if (what == SSL_ERROR_ZERO_RETURN)
		return ERR_CLOSED;
	alert = alert_words();
	fail_with(t, alert != NULL ? alert : ossl_why());
	ERR_clear_error();
	return t->judged != OK ? t->judged : ERR_TLS;
}

static bool
has_alpn(const struct tls *t)
{
	const unsigned char *chosen = NULL;
	unsigned len = 0;

	SSL_get0_alpn_selected(t->ssl, &chosen, &len);
	return len == ALPN_BYTES - 1 && memcmp(chosen, alpn + 1, len) == 0;
}

enum err
tls_handshake(struct tls *t)
{
	int result;

	if (SSL_is_init_finished(t->ssl) == 1)
		return OK;
	ERR_clear_error();
	result = SSL_do_handshake(t->ssl);
	if (result != 1)
		return outcome(t, result);
	if (has_alpn(t) && t->peer != NULL && t->judged == OK)
		return OK;
	fail_with(t, "the other side does not speak citex/1");
	return ERR_TLS;
}

enum err
tls_read(struct tls *t, size_t max, struct buffer *plain)
{
	while (max > 0) {
		uint8_t piece[PIECE_BYTES];
		size_t len = 0;
		int result;
		ERR_clear_error();
		result =
		    SSL_read_ex(t->ssl, piece, max < sizeof(piece) ? max : sizeof(piece), &len);
		if (result != 1)
			return outcome(t, result);
		buffer_add(plain, (struct bytes){ piece, len });
		max -= len;
		if (t->key_updates > KEY_UPDATES_MAX)
			return outcome(t, -1);
	}
	return OK;
}

enum err
tls_write(struct tls *t, struct bytes plain)
{
	while (plain.len > 0) {
		size_t len = 0;
		int result;
		ERR_clear_error();
		result = SSL_write_ex(t->ssl, plain.at, plain.len, &len);
		if (result != 1) {
			enum err e = outcome(t, result);
			return e != OK ? e : ERR_TLS; /* memory never makes it wait */
		}
		plain.at += len;
		plain.len -= len;
	}
	return OK;
}

void
tls_close(struct tls *t)
{
	ERR_clear_error();
	if (tls_is_open(t))
		(void)SSL_shutdown(t->ssl);
	ERR_clear_error();
}

void
tls_output(struct tls *t, struct buffer *cipher)
{
	size_t waiting = BIO_ctrl_pending(t->out);
	uint8_t *to = waiting == 0 ? NULL : buffer_extend(cipher, waiting);

	if (to != NULL && BIO_read(t->out, to, (int)waiting) != (int)waiting)
		cipher->err = ERR_NO_MEMORY;
}

bool
tls_is_open(const struct tls *t)
{
	return SSL_is_init_finished(t->ssl) == 1 && t->peer != NULL && t->judged == OK &&
	    has_alpn(t);
}

const char *
tls_peer(const struct tls *t)
{
	return t->peer != NULL ? cert_name(t->peer) : "";
}

const struct cert *
tls_peer_cert(const struct tls *t)
{
	return t->peer;
}

const char *
tls_why(const struct tls *t)
{
	return t->why != NULL ? t->why : "";
}
