/* SPDX-License-Identifier: Apache-2.0 */
/* Is this configuration one that a node can work with? A process of its own
 * asks, because it reads keys, certificates and a directory, and nothing of
 * that belongs into the supervisor. Not here: the file's own mistakes (conf.c). */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/conf.h"
#include "daemon/keyring.h"
#include "daemon/roles.h"
#include "daemon/start.h"
#include "pki/directory_file.h"

struct check {
	const struct conf *c;
	int64_t now_ms;
	struct directory *directory;
	unsigned wrong; /* how much is */
};

static void PRINTF(2, 3) complain(struct check *k, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)dprintf(STDERR_FILENO, "citexd: ");
	(void)vdprintf(STDERR_FILENO, fmt, ap);
	(void)dprintf(STDERR_FILENO, "\n");
	va_end(ap);
	k->wrong++;
}

/* What does not stand in the way, but a person should know. */
static void PRINTF(1, 2) warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)dprintf(STDERR_FILENO, "citexd: warning: ");
	(void)vdprintf(STDERR_FILENO, fmt, ap);
	(void)dprintf(STDERR_FILENO, "\n");
	va_end(ap);
}

/* Folders */

static void
check_rights(struct check *k, const char *path)
{
	struct stat st;

	if (stat(path, &st) != 0)
		complain(k, "%s: %s", path, strerror(errno));
	else if (st.st_uid != k->c->user)
		complain(k, "%s: belongs to user %u, not to %u, whom citexd works as", path,
		    (unsigned)st.st_uid, (unsigned)k->c->user);
	else if (st.st_mode & 077)
		complain(k, "%s: is open to group or others (chmod go= %s)", path, path);
}

/* What is above the folder counts, too: by the eyes of whom citexd works as. */
static void
check_reach(struct check *k, const char *path)
{
	const struct sandbox user = { .change_user = getuid() == 0 && k->c->user != 0,
		.user = k->c->user,
		.group = k->c->user_group };

	if (sandbox_as_user(&user) != OK)
		complain(k, "cannot become user %u", (unsigned)user.user);
	else if (faccessat(AT_FDCWD, path, R_OK | W_OK | X_OK, AT_EACCESS) != 0)
		complain(k, "%s: user %u cannot use it: %s", path, (unsigned)k->c->user,
		    strerror(errno));
	if (sandbox_as_root(&user) != OK)
		complain(k, "cannot become root again");
}

static void
check_state(struct check *k)
{
	unsigned wrong = k->wrong;

	check_rights(k, k->c->state);
	if (k->wrong == wrong)
		check_reach(k, k->c->state);
}

static void
check_run(struct check *k)
{
	char above[START_PATH_BYTES];
	const char *path = k->c->run;

	if (access(path, F_OK) != 0 && errno == ENOENT) { /* it is made at the start */
		(void)snprintf(
		    above, sizeof(above), "%.*s", (int)(strrchr(path, '/') - path), path);
		path = above;
	}
	if (access(path, W_OK | X_OK) != 0)
		complain(k, "%s: %s", k->c->run, strerror(errno));
}

/* Keys */

static void
read_passphrase(struct check *k, const struct conf_passphrase *p, struct secret *out)
{
	char path[START_PATH_BYTES];
	enum err e;

	start_passphrase_path(p, start_credentials(), path);
	e = path[0] == '\0' ? secret_init(out, 0) : secret_read_file(path, out);
	if (e != OK)
		complain(k, "%s: %s", path, err_words(e));
}

static void
check_directory_lists(struct check *k, const struct key_pair *pair, const char *file)
{
	const struct directory_key *found;
	const char *owner;
	enum cert_use use;
	enum err e;

	if (k->directory == NULL)
		return;
	e = directory_key_find(k->directory,
	    (struct bytes){ cert_key_id(pair->cert), KEY_ID_BYTES }, &found, &owner, &use);
	if (e == OK && strcmp(owner, cert_name(pair->cert)) == 0)
		e = found->revoked ? ERR_REVOKED : OK;
	if (e != OK)
		warn("%s: in directory %llu: %s", file,
		    (unsigned long long)directory_number(k->directory), err_words(e));
}

static void
check_keys(struct check *k, const char *folder, const char *prefix, enum cert_use use,
    const char *name, const struct secret *passphrase)
{
	CLEANUP(keyring_release) struct keyring ring = { 0 };
	CLEANUP(buffer_release) struct buffer why = { 0 };
	const struct key_pair *pair;

	if (keyring_load(folder, prefix, use, name, passphrase, &ring, &why) != OK) {
		complain(k, "%s", buffer_text(&why));
		return;
	}
	pair = keyring_current(&ring, k->now_ms);
	buffer_printf(&why, "%s/%s*.pem", folder, prefix);
	if (pair == NULL)
		complain(k, "%s: no certificate holds today", buffer_text(&why));
	else
		check_directory_lists(k, pair, buffer_text(&why));
}

static void
check_node(struct check *k)
{
	const struct conf *c = k->c;
	CLEANUP(secret_release) struct secret passphrase = { 0 };

	read_passphrase(k, &c->passphrase, &passphrase);
	check_keys(k, c->keys, "tls", USE_TLS, c->node, &passphrase);
	check_keys(k, c->keys, "receipts", USE_RECEIPTS, c->node, &passphrase);
	if (k->directory != NULL && directory_node(k->directory, c->node) == NULL)
		warn("node %s is not in directory %llu", c->node,
		    (unsigned long long)directory_number(k->directory));
}

static void
check_authority(struct check *k, const struct conf_authority *a)
{
	const struct directory_authority *listed =
	    k->directory != NULL ? directory_authority(k->directory, a->id) : NULL;
	CLEANUP(secret_release) struct secret passphrase = { 0 };

	read_passphrase(k, &a->passphrase, &passphrase);
	check_keys(k, a->keys, "signing", USE_SIGNING, a->id, &passphrase);
	check_keys(k, a->keys, "sealing", USE_SEALING, a->id, &passphrase);
	if (k->directory != NULL && listed == NULL)
		warn("authority %s is not in directory %llu", a->id,
		    (unsigned long long)directory_number(k->directory));
	else if (listed != NULL && strcmp(listed->node, k->c->node) != 0)
		warn("authority %s is served by node %s, says directory %llu", a->id, listed->node,
		    (unsigned long long)directory_number(k->directory));
}

/* The directory */

static void
check_directory(struct check *k)
{
	char why[200] = "";

	if (directory_file_read(k->c->state, k->c->directory_key, &k->directory, why) != OK)
		complain(k, "%s/%s: %s", k->c->state, DIRECTORY_FILE_NAME, why);
	else if (directory_is_stale(k->directory, k->now_ms))
		warn("directory %llu is past its time",
		    (unsigned long long)directory_number(k->directory));
}

static enum err
check_all(const struct conf *c)
{
	struct check k = { .c = c };
	struct loop *l = loop_new(); /* for the time of day */

	if (l == NULL)
		return ERR_SYSTEM;
	k.now_ms = loop_now(l).utc_ms;
	loop_free(l);
	check_state(&k);
	check_run(&k);
	check_directory(&k);
	check_node(&k);
	for (size_t i = 0; i < c->authority_count; i++)
		check_authority(&k, &c->authorities[i]);
	directory_free(k.directory);
	return k.wrong == 0 ? OK : ERR_CONFIG;
}

enum err
role_check(const char *path)
{
	CLEANUP(buffer_release) struct buffer why = { 0 };
	CLEANUP(conf_drop) struct conf *c = NULL;
	enum err e = conf_load(path, &c, &why);

	if (e != OK) {
		(void)dprintf(STDERR_FILENO, "citexd: %s\n", buffer_text(&why));
		return e;
	}
	if (getuid() == 0)
		secret_trust_owner(c->user);
	return check_all(c);
}
