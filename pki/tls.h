/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PKI_TLS_H
#define PKI_TLS_H

#include "pki/directory.h"

/* TLS 1.3 over memory: cipher bytes in and out, plain bytes in and out. No
 * socket. Both sides with certificates, ALPN citex/1, no tickets, no early data, no resumption
 * (threats 5.6). */

/* What a node presents, and by which directory it judges. */
struct tls_context;
enum err tls_context_new(
    const struct cert *own, const struct private_key *key, struct tls_context **out) MUST_CHECK;
void tls_context_free(struct tls_context *c);

/* How a peer's certificate is judged: called once in the handshake with the certificate; OK
 * accepts. */
typedef enum err tls_judge(void *arg, const struct cert *peer);

struct tls;
/* SERVER or client; JUDGE decides (usually directory_check_node, and for a client the name
 * dialled). */
enum err tls_new(struct tls_context *c, bool server, tls_judge *judge, void *arg, struct tls **out)
    MUST_CHECK;
void tls_free(struct tls *t);
/* Cipher bytes from the network. */
enum err tls_receive(struct tls *t, struct bytes cipher) MUST_CHECK;
/* Append plain bytes that arrived to PLAIN, at most MAX. ERR_TLS, ERR_CERTIFICATE and what JUDGE
 * said; ERR_CLOSED after close_notify. */
enum err tls_read(struct tls *t, size_t max, struct buffer *plain) MUST_CHECK;
/* Encrypt PLAIN (only when tls_is_open()). */
enum err tls_write(struct tls *t, struct bytes plain) MUST_CHECK;
/* Send close_notify. */
void tls_close(struct tls *t);
/* Move cipher bytes for the network to the end of CIPHER. */
void tls_output(struct tls *t, struct buffer *cipher);
/* Begin or go on with the handshake; after it tls_is_open(). */
enum err tls_handshake(struct tls *t) MUST_CHECK;
bool tls_is_open(const struct tls *t);
const char *tls_peer(const struct tls *t); /* node name in the peer's certificate; "" before */
const struct cert *tls_peer_cert(const struct tls *t); /* borrowed; NULL before */
const char *tls_why(const struct tls *t); /* words for the last failure */

#endif
