/* SPDX-License-Identifier: Apache-2.0 */
/* Memory for secrets: own pages, locked, not dumped, not inherited, wiped. */
#include "pki/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pki/ossl.h"
#include "pki/ossl_types.h"

#define WRAP_VERSION 1
#define SALT_BYTES 16
#define STORE_KEY_BYTES 32
#define SCRYPT_N (1U << 15)
#define SCRYPT_R 8
#define SCRYPT_P 1
#define SCRYPT_MEMORY_BYTES (64 * MIB)

enum err
secret_init(struct secret *s, size_t len)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t room = (len / page + 1) * page;
	void *at = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		return ERR_NO_MEMORY;
	(void)mlock(
	    at, room); /* a small limit is no reason to fail: the guide says how to raise it */
	(void)madvise(at, room, MADV_DONTDUMP);
	(void)madvise(at, room, MADV_WIPEONFORK);
	*s = (struct secret){ at, len, room };
	return OK;
}

enum err
secret_from(struct secret *s, struct bytes from)
{
	enum err e = secret_init(s, from.len);

	if (e == OK && from.len > 0)
		memcpy(s->at, from.at, from.len);
	return e;
}

void
secret_release(struct secret *s)
{
	if (s->at == NULL)
		return;
	explicit_bzero(s->at, s->room);
	munmap(s->at, s->room);
	*s = (struct secret){ 0 };
}

struct bytes
secret_bytes(const struct secret *s)
{
	return (struct bytes){ s->at, s->len };
}

/* Up to ROOM bytes or the end; -1 on an error. */
static ssize_t
read_up_to(int fd, uint8_t *to, size_t room)
{
	size_t len = 0;

	while (len < room) {
		ssize_t n = read(fd, to + len, room - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	return (ssize_t)len;
}

enum err
secret_read_fd(int fd, struct secret *out)
{
	enum err e = secret_init(out, PASSPHRASE_MAX_BYTES + 2);
	ssize_t len;
	uint8_t *end;

	if (e != OK)
		return e;
	len = read_up_to(fd, out->at, out->len);
	if (len < 0) {
		secret_release(out);
		return ERR_IO;
	}
	end = memchr(out->at, '\n', (size_t)len);
	out->len = end != NULL ? (size_t)(end - out->at) : (size_t)len;
	if (out->len <= PASSPHRASE_MAX_BYTES)
		return OK;
	secret_release(out);
	return ERR_TOO_LARGE;
}

static uid_t trusted_owner; /* 0: root, who is trusted anyway */

void
secret_trust_owner(uid_t user)
{
	trusted_owner = user;
}

bool
secret_owner_is_trusted(uid_t user)
{
	return user == geteuid() || user == 0 || user == trusted_owner;
}

enum err
secret_read_file(const char *path, struct secret *out)
{
	struct stat st;
	enum err e = ERR_DENIED;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return ERR_IO;
	if (fstat(fd, &st) == 0 && secret_owner_is_trusted(st.st_uid) &&
	    (st.st_mode & (S_IRWXG | S_IRWXO)) == 0)
		e = secret_read_fd(fd, out);
	close(fd);
	return e;
}

static enum err
derive(const struct secret *passphrase, const uint8_t *salt, struct secret *kek)
{
	enum err e = secret_init(kek, 32);

	if (e != OK)
		return e;
	if (EVP_PBE_scrypt((const char *)passphrase->at, passphrase->len, salt, SALT_BYTES,
		SCRYPT_N, SCRYPT_R, SCRYPT_P, SCRYPT_MEMORY_BYTES, kek->at, kek->len) == 1)
		return OK;
	secret_release(kek);
	return ERR_CRYPTO;
}

enum err
wrapped_key_new(const struct secret *passphrase, struct secret *key, uint8_t out[WRAPPED_KEY_BYTES])
{
	CLEANUP(secret_release) struct secret kek = { 0 };
	enum err e;

	out[0] = WRAP_VERSION;
	random_bytes(out + 1, SALT_BYTES);
	e = derive(passphrase, out + 1, &kek);
	if (e == OK)
		e = secret_init(key, STORE_KEY_BYTES);
	if (e != OK)
		return e;
	random_bytes(key->at, key->len);
	if (key_wrap(kek.at, key->at, out + 1 + SALT_BYTES))
		return OK;
	secret_release(key);
	return ERR_CRYPTO;
}

enum err
wrapped_key_open(const struct secret *passphrase, struct bytes wrapped, struct secret *key)
{
	CLEANUP(secret_release) struct secret kek = { 0 };
	enum err e;

	if (wrapped.len != WRAPPED_KEY_BYTES)
		return ERR_MALFORMED;
	if (wrapped.at[0] != WRAP_VERSION)
		return ERR_VERSION;
	e = derive(passphrase, wrapped.at + 1, &kek);
	if (e == OK)
		e = secret_init(key, STORE_KEY_BYTES);
	if (e != OK)
		return e;
	if (key_unwrap(kek.at, wrapped.at + 1 + SALT_BYTES, key->at))
		return OK;
	secret_release(key);
	return ERR_PASSPHRASE;
}
