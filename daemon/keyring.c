/* SPDX-License-Identifier: Apache-2.0 */
/* Keys in a folder. Not here: whether the directory lists them. */
#include "daemon/keyring.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_BYTES 4096
#define PAIRS_MAX 64 /* one a year, and then some */

static enum err
say(struct buffer *why, enum err e, const char *path, const char *words)
{
	buffer_printf(why, "%s: %s", path, words);
	return e;
}

static enum err
check_cert(
    const struct cert *c, enum cert_use use, const char *name, const char *path, struct buffer *why)
{
	if (cert_use(c) != use)
		return say(why, ERR_CERTIFICATE, path, "this certificate is for another use");
	if (strcmp(cert_name(c), name) != 0) {
		buffer_printf(
		    why, "%s: this certificate is of %s, not of %s", path, cert_name(c), name);
		return ERR_IDENTITY;
	}
	return OK;
}

static bool
key_fits(const struct key_pair *pair)
{
	struct public_key *half = private_key_public(pair->key);
	bool fits = public_key_equal(half, cert_key(pair->cert));

	public_key_free(half);
	return fits;
}

static void
pair_release(struct key_pair *p)
{
	cert_free(p->cert);
	private_key_free(p->key);
}

/* STEM.pem and STEM.key. */
static enum err
load_pair(const char *stem, enum cert_use use, const char *name, const struct secret *passphrase,
    struct key_pair *out, struct buffer *why)
{
	char path[PATH_BYTES + 8];
	enum err e;

	(void)snprintf(path, sizeof(path), "%s.pem", stem);
	e = cert_load_pem(path, &out->cert);
	if (e != OK)
		return say(why, e, path, err_words(e));
	e = check_cert(out->cert, use, name, path, why);
	if (e != OK)
		return e;
	(void)snprintf(path, sizeof(path), "%s.key", stem);
	e = private_key_load(path, passphrase->len > 0 ? passphrase : NULL, &out->key);
	if (e != OK)
		return say(why, e, path, err_words(e));
	if (!key_fits(out))
		return say(why, ERR_CERTIFICATE, path, "this key is not the certificate's");
	return OK;
}

static bool
ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);

	return len > end_len && strcmp(text + len - end_len, end) == 0;
}

static enum err
add_file(struct keyring *k, const char *folder, const char *file, enum cert_use use,
    const char *name, const struct secret *passphrase, struct buffer *why)
{
	struct key_pair pair = { 0 };
	char stem[PATH_BYTES];
	enum err e;

	(void)snprintf(stem, sizeof(stem), "%s/%.*s", folder, (int)(strlen(file) - 4), file);
	e = load_pair(stem, use, name, passphrase, &pair, why);
	if (e == OK && k->count == PAIRS_MAX)
		e = say(why, ERR_TOO_MANY, folder, "there are too many keys");
	if (e != OK) {
		pair_release(&pair);
		return e;
	}
	k->at = xgrow(k->at, k->count + 1, sizeof(*k->at));
	k->at[k->count++] = pair;
	return OK;
}

static int
by_begin(const void *a, const void *b)
{
	const struct key_pair *x = a, *y = b;
	int64_t xm = cert_from_ms(x->cert), ym = cert_from_ms(y->cert);

	return xm < ym ? -1 : xm > ym;
}

enum err
keyring_load(const char *folder, const char *prefix, enum cert_use use, const char *name,
    const struct secret *passphrase, struct keyring *out, struct buffer *why)
{
	DIR *d = opendir(folder);
	const struct dirent *entry;
	enum err e = OK;

	*out = (struct keyring){ 0 };
	if (d == NULL)
		return say(why, ERR_IO, folder, strerror(errno));
	while (e == OK && (entry = readdir(d)) != NULL)
		if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0 &&
		    ends_with(entry->d_name, ".pem"))
			e = add_file(out, folder, entry->d_name, use, name, passphrase, why);
	(void)closedir(d);
	if (e == OK && out->count == 0) {
		buffer_printf(why, "%s: there is no %s*.pem", folder, prefix);
		e = ERR_NOT_FOUND;
	}
	if (e != OK)
		keyring_release(out);
	else
		qsort(out->at, out->count, sizeof(*out->at), by_begin);
	return e;
}

void
keyring_release(struct keyring *k)
{
	for (size_t i = 0; i < k->count; i++)
		pair_release(&k->at[i]);
	free(k->at);
	*k = (struct keyring){ 0 };
}

const struct key_pair *
keyring_current(const struct keyring *k, int64_t now_ms)
{
	for (size_t i = k->count; i > 0; i--) {
		const struct key_pair *p = &k->at[i - 1];
		if (cert_from_ms(p->cert) <= now_ms && now_ms < cert_until_ms(p->cert))
			return p;
	}
	return NULL;
}
