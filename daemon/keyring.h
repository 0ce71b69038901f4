/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_KEYRING_H
#define DAEMON_KEYRING_H

#include "pki/cert.h"

/* The keys of one node or authority as they lie in a folder: PREFIX*.pem beside
 * PREFIX*.key, of which several may be there while one replaces another. */
struct key_pair {
	struct cert *cert;
	struct private_key *key;
};
struct keyring {
	struct key_pair *at; /* in the order in which they begin to hold */
	size_t count;
};

/* Load all pairs whose certificate is for USE and bears NAME. A certificate for something else,
 * of somebody else, without its key or with another's is an error, and so is no pair at all: WHY
 * names the file. ERR_NOT_FOUND, ERR_IDENTITY, ERR_CERTIFICATE, ERR_PASSPHRASE, ERR_DENIED, ERR_IO.
 * A key without a certificate waits for one and is passed over. */
enum err keyring_load(const char *folder, const char *prefix, enum cert_use use, const char *name,
    const struct secret *passphrase, struct keyring *out, struct buffer *why) MUST_CHECK;
void keyring_release(struct keyring *k);

/* The newest pair that holds at NOW_MS (UTC); NULL when none does. Borrowed. */
const struct key_pair *keyring_current(const struct keyring *k, int64_t now_ms);

#endif
