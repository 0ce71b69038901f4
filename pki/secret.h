/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PKI_SECRET_H
#define PKI_SECRET_H

#include <sys/types.h>

#include "proto/bytes.h"

/* Bytes that nobody else may see: locked in memory, left out of core dumps and
 * children, wiped when released. There is no way to print one. */
struct secret {
	uint8_t *at;
	size_t len;
	size_t room; /* whole pages */
};

/* Room for LEN bytes, zeroed. ERR_NO_MEMORY. A machine that refuses mlock() still gives a secret.
 */
enum err secret_init(struct secret *s, size_t len) MUST_CHECK;
enum err secret_from(struct secret *s, struct bytes from) MUST_CHECK;
void secret_release(struct secret *s); /* fits CLEANUP() */
struct bytes secret_bytes(const struct secret *s);
/* Who else may own a file with a key or a passphrase, beside us and root: whom citexd works as,
 * when root starts it. Once, before the first is read. */
void secret_trust_owner(uid_t user);
bool secret_owner_is_trusted(uid_t user);
/* The first line of the file at PATH (which must belong to somebody trusted and be
 * closed to group and others: ERR_DENIED) or of descriptor FD, without its newline. ERR_IO,
 * ERR_TOO_LARGE. */
enum err secret_read_file(const char *path, struct secret *out) MUST_CHECK;
enum err secret_read_fd(int fd, struct secret *out) MUST_CHECK;

/* The random key of a store, wrapped by a passphrase (scrypt N=2^15 r=8 p=1, AES-256 key wrap, RFC
 * 3394): 1 byte version, 16 bytes salt, 40 bytes wrapped key. */
#define WRAPPED_KEY_BYTES 57
enum err wrapped_key_new(
    const struct secret *passphrase, struct secret *key, uint8_t out[WRAPPED_KEY_BYTES]) MUST_CHECK;
enum err wrapped_key_open(const struct secret *passphrase, struct bytes wrapped, struct secret *key)
    MUST_CHECK; /* ERR_PASSPHRASE */

#endif
