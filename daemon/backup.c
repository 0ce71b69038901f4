/* SPDX-License-Identifier: Apache-2.0 */
/* Copies of all stores of a node. A backup looks like the state folder: spool.mdb,
 * offices/AUTHORITY/book.mdb with its book.key (wrapped by the passphrase), and
 * the directory. Not in it: keys, passphrases, configuration.
 *
 * What is restored is checked and marked under another name first, so that no
 * daemon ever opens an old store as if it were the newest. */
#include "daemon/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/office/book.h"
#include "daemon/post/spool.h"
#include "daemon/sandbox.h"
#include "daemon/store/store.h"
#include "pki/files.h"

#define PATH_BYTES 4096
#define WORDS_BYTES 200
#define COPY_BYTES (64 * KIB)
#define RESTORING "restoring" /* a folder beside the store, for as long as it is not good */
#define BOOK_KEY "book.key"
#define DIRECTORY_FILE "directory.citex"

static enum err
wrong(struct buffer *why, enum err e, const char *path, const char *words)
{
	buffer_printf(why, "%s: %s", path, words);
	return e;
}

static void
join(char *out, const char *folder, const char *name)
{
	if ((size_t)snprintf(out, PATH_BYTES, "%s/%s", folder, name) >= PATH_BYTES)
		out[0] = '\0'; /* no file has this name */
}

/* The folder of an office below STATE, or below a backup. */
static void
office_folder(char *out, const char *state, const char *authority)
{
	char offices[PATH_BYTES];

	join(offices, state, "offices");
	join(out, offices, authority);
}

static enum err
make_folder(const char *path, struct buffer *why)
{
	if (mkdir(path, 0700) == 0)
		return OK;
	return wrong(why, errno == EEXIST ? ERR_EXISTS : ERR_IO, path, strerror(errno));
}

static void
remove_file(const char *folder, const char *kind, const char *ending)
{
	char path[PATH_BYTES];

	if ((size_t)snprintf(path, sizeof(path), "%s/%s%s", folder, kind, ending) < sizeof(path))
		(void)unlink(path);
}

/* Checking */

struct damage {
	const char *folder;
	unsigned count;
};

static void
on_damage(void *arg, const char *table, struct bytes key, const char *words)
{
	char hex[2 * STORE_KEY_MAX_BYTES + 1] = "";
	struct damage *d = arg;

	if (key.len <= STORE_KEY_MAX_BYTES)
		hex_encode(key, hex);
	(void)printf("%s: %s %s: %s\n", d->folder, table, hex, words);
	d->count++;
}

static enum err
check_open(struct store *s, const char *folder, const char *kind, struct buffer *why)
{
	struct damage d = { folder, 0 };
	enum err e = store_check(s, on_damage, &d);

	if (e == OK) {
		(void)printf("%s/%s.mdb: good\n", folder, kind);
		return OK;
	}
	buffer_printf(why, "%s/%s.mdb: %s (%u places)", folder, kind, err_words(e), d.count);
	return e;
}

/* Open the store in FOLDER and check it; MARK it as restored, too. */
static enum err
check_store(const struct store_layout *layout, const char *folder, uint64_t limit_bytes, bool mark,
    struct buffer *why)
{
	char words[WORDS_BYTES] = "";
	struct store *s = NULL;
	enum err e = store_open_lmdb(folder, layout, limit_bytes, &s, words);

	if (e != OK)
		return wrong(why, e, folder, words);
	e = check_open(s, folder, layout->kind, why);
	if (e == OK && mark)
		e = store_mark_restored(s);
	store_close(s);
	return e;
}

static bool
has_store(const char *folder, const char *kind)
{
	char path[PATH_BYTES];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/%s.mdb", folder, kind);
	return stat(path, &st) == 0;
}

/* Whose the files are. */
static struct sandbox
owner_of(const struct conf *c)
{
	return (struct sandbox){ .change_user = getuid() == 0 && c->user != 0,
		.user = c->user,
		.group = c->user_group };
}

/* All stores, and go on when one is bad. */
static enum err
check_all(const struct conf *c, struct buffer *why)
{
	char folder[PATH_BYTES];
	enum err result = OK, e;

	if (has_store(c->state, spool_layout.kind))
		result = check_store(&spool_layout, c->state, c->store_limit_bytes, false, why);
	for (size_t i = 0; i < c->authority_count; i++) {
		const struct conf_authority *a = &c->authorities[i];

		office_folder(folder, c->state, a->id);
		if (!has_store(folder, book_layout.kind))
			continue;
		if (why->len > 0)
			buffer_add_str(why, "; ");
		e = check_store(&book_layout, folder, a->store_limit_bytes, false, why);
		result = result == OK ? e : result;
	}
	return result;
}

enum err
backup_check(const struct conf *c, const char *dir, struct buffer *why)
{
	struct sandbox owner = owner_of(c);
	enum err e = sandbox_as_user(&owner);

	(void)dir;
	return e == OK ? check_all(c, why) : e;
}

/* Copying */

static enum err
copy_file(const char *from, const char *to, const char *name, struct buffer *why)
{
	CLEANUP(buffer_wipe) struct buffer content = { 0 };
	char source[PATH_BYTES], target[PATH_BYTES];
	enum err e;

	join(source, from, name);
	join(target, to, name);
	e = file_read(source, DIRECTORY_MAX_BYTES + MIB, &content);
	if (e != OK)
		return wrong(why, e, source, err_words(e));
	e = file_create(target, buffer_bytes(&content), 0600);
	return e == OK ? OK : wrong(why, e, target, err_words(e));
}

static enum err
copy_store(const struct store_layout *layout, const char *from, const char *to,
    uint64_t limit_bytes, struct buffer *why)
{
	char words[WORDS_BYTES] = "";
	enum err e = store_copy_beside(from, layout, to, words);

	if (e != OK)
		return wrong(why, e, to, words);
	e = check_store(layout, to, limit_bytes, false, why);
	remove_file(to, layout->kind, ".lock");
	remove_file(to, layout->kind, ".mdb-lock");
	return e;
}

static enum err
copy_office(
    const struct conf *c, const struct conf_authority *a, const char *dir, struct buffer *why)
{
	char from[PATH_BYTES], to[PATH_BYTES];
	enum err e;

	office_folder(from, c->state, a->id);
	office_folder(to, dir, a->id);
	if (!has_store(from, book_layout.kind))
		return OK; /* it was never started */
	e = make_folder(to, why);
	if (e == OK)
		e = copy_store(&book_layout, from, to, a->store_limit_bytes, why);
	return e == OK ? copy_file(from, to, BOOK_KEY, why) : e;
}

enum err
backup_make(const struct conf *c, const char *dir, struct buffer *why)
{
	char offices[PATH_BYTES];
	enum err e = make_folder(dir, why);

	join(offices, dir, "offices");
	if (e == OK)
		e = make_folder(offices, why);
	/* The spool first: what it has handed to an office by then, the office's copy has. The
	 * other way about it would call a message delivered that no copy has. What an office gave
	 * to the post in between is offered again, for a restored spool is another. */
	if (e == OK)
		e = copy_store(&spool_layout, c->state, dir, c->store_limit_bytes, why);
	for (size_t i = 0; e == OK && i < c->authority_count; i++)
		e = copy_office(c, &c->authorities[i], dir, why);
	return e == OK ? copy_file(c->state, dir, DIRECTORY_FILE, why) : e;
}

/* Restoring */

static enum err
copy_bytes(int from, int to)
{
	uint8_t piece[COPY_BYTES];
	ssize_t n;

	while ((n = read(from, piece, sizeof(piece))) > 0)
		for (ssize_t done = 0; done < n;) {
			ssize_t m = write(to, piece + done, (size_t)(n - done));
			if (m <= 0)
				return ERR_IO;
			done += m;
		}
	return n == 0 && fsync(to) == 0 ? OK : ERR_IO;
}

/* A copy of NAME in FROM, made as root and given to the owner, in the folder TO. */
static enum err
bring(const struct conf *c, const char *from, const char *to, const char *name, struct buffer *why)
{
	char source[PATH_BYTES], target[PATH_BYTES];
	int in, out;
	enum err e = ERR_IO;

	join(source, from, name);
	join(target, to, name);
	in = open(source, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	out = open(target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (in >= 0 && out >= 0)
		e = copy_bytes(in, out);
	if (e == OK && getuid() == 0 && fchown(out, c->user, c->user_group) != 0)
		e = ERR_IO;
	if (e != OK)
		(void)wrong(why, e, in < 0 ? source : target, strerror(errno));
	if (in >= 0)
		(void)close(in);
	if (out >= 0)
		(void)close(out);
	return e;
}

static enum err
make_owned_folder(const struct conf *c, const char *path, struct buffer *why)
{
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return wrong(why, ERR_IO, path, strerror(errno));
	if (getuid() == 0 && lchown(path, c->user, c->user_group) != 0)
		return wrong(why, ERR_IO, path, strerror(errno));
	return OK;
}

/* Check and mark what lies in FOLDER, as its owner; root again afterwards. */
static enum err
judge_as_owner(const struct conf *c, const struct store_layout *layout, const char *folder,
    uint64_t limit_bytes, struct buffer *why)
{
	struct sandbox owner = owner_of(c);
	enum err e = sandbox_as_user(&owner), back;

	if (e == OK)
		e = check_store(layout, folder, limit_bytes, true, why);
	back = sandbox_as_root(&owner);
	return e == OK ? back : e;
}

static enum err
move_in(const char *from, const char *to, const char *name, struct buffer *why)
{
	char source[PATH_BYTES], target[PATH_BYTES];
	int fd;
	bool synced;

	join(source, from, name);
	join(target, to, name);
	if (rename(source, target) != 0)
		return wrong(why, ERR_IO, target, strerror(errno));
	fd = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	synced = fd >= 0 && fsync(fd) == 0;
	if (fd >= 0)
		(void)close(fd);
	return synced ? OK : wrong(why, ERR_IO, to, strerror(errno));
}

/* The first step: bring the store of FROM to a folder aside of TO, and judge it there. */
static enum err
prepare_store(const struct conf *c, const struct store_layout *layout, const char *from,
    const char *to, uint64_t limit_bytes, struct buffer *why)
{
	char aside[PATH_BYTES], name[64];
	enum err e;

	(void)snprintf(name, sizeof(name), "%s.mdb", layout->kind);
	if (has_store(to, layout->kind))
		return wrong(why, ERR_EXISTS, to, "there is a store already; move it away first");
	join(aside, to, RESTORING);
	remove_file(aside, layout->kind, ".mdb"); /* of a try that was broken off */
	e = make_owned_folder(c, aside, why);
	if (e == OK)
		e = bring(c, from, aside, name, why);
	return e == OK ? judge_as_owner(c, layout, aside, limit_bytes, why) : e;
}

static void
clear_aside(const struct store_layout *layout, const char *to)
{
	char aside[PATH_BYTES];

	join(aside, to, RESTORING);
	remove_file(aside, layout->kind, ".mdb");
	remove_file(aside, layout->kind, ".lock");
	remove_file(aside, layout->kind, ".mdb-lock");
	(void)rmdir(aside);
}

/* The last step. */
static enum err
place_store(const struct store_layout *layout, const char *to, struct buffer *why)
{
	char aside[PATH_BYTES], name[64];

	(void)snprintf(name, sizeof(name), "%s.mdb", layout->kind);
	join(aside, to, RESTORING);
	return has_store(aside, layout->kind) ? move_in(aside, to, name, why) : OK;
}

/* The store's key comes before the store: a store without its key is of no use to anybody. */
static enum err
bring_key(const struct conf *c, const char *from, const char *to, struct buffer *why)
{
	CLEANUP(buffer_wipe) struct buffer wanted = { 0 }, there = { 0 };
	char source[PATH_BYTES], target[PATH_BYTES];
	struct stat st;

	join(source, from, BOOK_KEY);
	join(target, to, BOOK_KEY);
	if (stat(target, &st) != 0)
		return bring(c, from, to, BOOK_KEY, why);
	if (file_read(source, KIB, &wanted) == OK && file_read(target, KIB, &there) == OK &&
	    bytes_equal(buffer_bytes(&wanted), buffer_bytes(&there)))
		return OK;
	return wrong(why, ERR_EXISTS, target, "there is another key already; move it away first");
}

static enum err
prepare_office(
    const struct conf *c, const struct conf_authority *a, const char *dir, struct buffer *why)
{
	char from[PATH_BYTES], to[PATH_BYTES], offices[PATH_BYTES];
	enum err e;

	office_folder(from, dir, a->id);
	office_folder(to, c->state, a->id);
	join(offices, c->state, "offices");
	if (!has_store(from, book_layout.kind))
		return OK;
	e = make_owned_folder(c, offices, why);
	if (e == OK)
		e = make_owned_folder(c, to, why);
	if (e == OK)
		e = prepare_store(c, &book_layout, from, to, a->store_limit_bytes, why);
	return e == OK ? bring_key(c, from, to, why) : e;
}

/* ERR_LOCKED while a daemon works in the state folder. */
static enum err
check_not_running(const struct conf *c, struct buffer *why)
{
	char path[PATH_BYTES];
	int fd;
	bool free_now;

	join(path, c->state, "citexd.lock");
	fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return OK;
	free_now = flock(fd, LOCK_EX | LOCK_NB) == 0;
	(void)close(fd);
	return free_now ? OK : wrong(why, ERR_LOCKED, c->state, "citexd is running; stop it first");
}

static enum err
prepare_all(const struct conf *c, const char *dir, struct buffer *why)
{
	enum err e = prepare_store(c, &spool_layout, dir, c->state, c->store_limit_bytes, why);

	for (size_t i = 0; e == OK && i < c->authority_count; i++)
		e = prepare_office(c, &c->authorities[i], dir, why);
	return e;
}

/* Offices first: one without its post waits, a post without its office does not know that. */
static enum err
place_all(const struct conf *c, struct buffer *why)
{
	char folder[PATH_BYTES];
	enum err e = OK;

	for (size_t i = 0; e == OK && i < c->authority_count; i++) {
		office_folder(folder, c->state, c->authorities[i].id);
		e = place_store(&book_layout, folder, why);
	}
	return e == OK ? place_store(&spool_layout, c->state, why) : e;
}

static void
clear_all(const struct conf *c)
{
	char folder[PATH_BYTES];

	clear_aside(&spool_layout, c->state);
	for (size_t i = 0; i < c->authority_count; i++) {
		office_folder(folder, c->state, c->authorities[i].id);
		clear_aside(&book_layout, folder);
	}
}

enum err
backup_restore(const struct conf *c, const char *dir, struct buffer *why)
{
	enum err e = check_not_running(c, why);

	if (e != OK)
		return e;
	e = prepare_all(c, dir, why);
	if (e == OK)
		e = place_all(c, why);
	clear_all(c);
	return e;
}
