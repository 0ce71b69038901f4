/* SPDX-License-Identifier: Apache-2.0 */
/* The LMDB backend. Default flags only (never NOSYNC or WRITEMAP), one opener
 * by lock, read transactions that copy out and end. LMDB is trusted for atomic
 * commits and for nothing else; the rest is store.c's. Known weakness: a meta
 * page torn inside one sector is not noticed by LMDB. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "daemon/store/backend.h"

#define WHY_BYTES 200
#define READERS_MAX 32
#define OWN_TABLE ".store" /* no layout has a table of this name */
#ifndef FUSE_SUPER_MAGIC
#define FUSE_SUPER_MAGIC 0x65735546
#endif
#define CIFS_MAGIC 0xff534d42
#define SMB2_MAGIC 0xfe534d42

struct backend {
	MDB_env *env;
	MDB_dbi *dbis;
	unsigned page_bytes;
	uint64_t limit_bytes;
	int lock_fd;
};

struct btxn {
	struct backend *backend;
	MDB_txn *txn;
};

struct bcursor {
	MDB_cursor *cursor;
};

static enum err
error_of(int rc)
{
	switch (rc) {
	case 0:
		return OK;
	case MDB_NOTFOUND:
		return ERR_NOT_FOUND;
	case MDB_MAP_FULL:
	case MDB_TXN_FULL:
	case MDB_BAD_TXN: /* what follows a full map in the same transaction */
	case ENOSPC:
	case EDQUOT:
		return ERR_STORE_FULL;
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_INVALID:
	case MDB_VERSION_MISMATCH:
		return ERR_CORRUPT;
	case MDB_BAD_VALSIZE:
		return ERR_TOO_LARGE;
	case ENOMEM:
		return ERR_NO_MEMORY;
	default:
		return ERR_IO;
	}
}

static MDB_val
val_of(struct bytes b)
{
	return (MDB_val){ b.len, (void *)(uintptr_t)b.at };
}

static struct bytes
bytes_of(MDB_val v)
{
	return (struct bytes){ v.mv_data, v.mv_size };
}

/* --- transactions --- */

static enum err
lmdb_begin(struct backend *b, bool write, struct btxn **out)
{
	MDB_txn *txn = NULL;
	int rc = mdb_txn_begin(b->env, NULL, write ? 0 : MDB_RDONLY, &txn);

	if (rc == MDB_READERS_FULL && mdb_reader_check(b->env, NULL) == 0)
		rc = mdb_txn_begin(b->env, NULL, write ? 0 : MDB_RDONLY, &txn);
	if (rc != 0)
		return error_of(rc);
	*out = xalloc(sizeof(**out));
	**out = (struct btxn){ b, txn };
	return OK;
}

static enum err
lmdb_commit(struct btxn *t)
{
	struct backend *b = t->backend;
	int rc = mdb_txn_commit(t->txn);
	MDB_txn *probe = NULL;

	free(t);
	if (error_of(rc) != ERR_STORE_FULL || rc == MDB_MAP_FULL || rc == MDB_BAD_TXN)
		return error_of(rc);
	/* No room on the disk: if it was the meta page that failed, the outcome is not known, and
	 * LMDB says so now. */
	if (mdb_txn_begin(b->env, NULL, 0, &probe) != 0)
		return ERR_IO;
	mdb_txn_abort(probe);
	return ERR_STORE_FULL;
}

static void
lmdb_end(struct btxn *t)
{
	mdb_txn_abort(t->txn);
	free(t);
}

static enum err
lmdb_get(struct btxn *t, unsigned table, struct bytes key, struct bytes *value)
{
	MDB_val k = val_of(key), v;
	int rc = mdb_get(t->txn, t->backend->dbis[table], &k, &v);

	if (rc == 0)
		*value = bytes_of(v);
	return error_of(rc);
}

static enum err
lmdb_put(struct btxn *t, unsigned table, struct bytes key, struct bytes value)
{
	MDB_val k = val_of(key), v = val_of(value);

	return error_of(mdb_put(t->txn, t->backend->dbis[table], &k, &v, 0));
}

static enum err
lmdb_del(struct btxn *t, unsigned table, struct bytes key)
{
	MDB_val k = val_of(key);

	return error_of(mdb_del(t->txn, t->backend->dbis[table], &k, NULL));
}

/* --- cursors --- */

static enum err
lmdb_cursor(struct btxn *t, unsigned table, struct bcursor **out)
{
	MDB_cursor *c = NULL;
	int rc = mdb_cursor_open(t->txn, t->backend->dbis[table], &c);

	if (rc != 0)
		return error_of(rc);
	*out = xalloc(sizeof(**out));
	(*out)->cursor = c;
	return OK;
}

static void
lmdb_cursor_free(struct bcursor *c)
{
	mdb_cursor_close(c->cursor);
	free(c);
}

static enum err
step(struct bcursor *c, MDB_val k, MDB_cursor_op op, struct bytes *key, struct bytes *value)
{
	MDB_val v;
	int rc = mdb_cursor_get(c->cursor, &k, &v, op);

	if (rc == 0) {
		*key = bytes_of(k);
		*value = bytes_of(v);
	}
	return error_of(rc);
}

static enum err
lmdb_seek(struct bcursor *c, struct bytes from, struct bytes *key, struct bytes *value)
{
	return step(c, val_of(from), from.len == 0 ? MDB_FIRST : MDB_SET_RANGE, key, value);
}

static enum err
lmdb_next(struct bcursor *c, struct bytes *key, struct bytes *value)
{
	return step(c, (MDB_val){ 0 }, MDB_NEXT, key, value);
}

static enum err
lmdb_prev(struct bcursor *c, struct bytes *key, struct bytes *value)
{
	return step(c, (MDB_val){ 0 }, MDB_PREV, key, value);
}

static enum err
lmdb_seek_before(struct bcursor *c, struct bytes before, struct bytes *key, struct bytes *value)
{
	enum err e =
	    before.len == 0 ? ERR_NOT_FOUND : step(c, val_of(before), MDB_SET_RANGE, key, value);

	if (e == ERR_NOT_FOUND)
		return step(c, (MDB_val){ 0 }, MDB_LAST, key, value);
	return e == OK ? lmdb_prev(c, key, value) : e;
}

/* --- room --- */

/* Pages that LMDB would use again: what its free list counts. */
static uint64_t
free_pages(struct backend *b)
{
	MDB_txn *txn = NULL;
	MDB_cursor *c = NULL;
	MDB_val k, v;
	uint64_t pages = 0;

	if (mdb_txn_begin(b->env, NULL, MDB_RDONLY, &txn) != 0)
		return 0;
	if (mdb_cursor_open(txn, 0, &c) == 0) {
		while (mdb_cursor_get(c, &k, &v, MDB_NEXT) == 0 && v.mv_size >= sizeof(size_t)) {
			size_t count;
			memcpy(&count, v.mv_data, sizeof(count));
			pages += count;
		}
		mdb_cursor_close(c);
	}
	mdb_txn_abort(txn);
	return pages;
}

static uint64_t
lmdb_used_bytes(struct backend *b)
{
	MDB_envinfo info;
	uint64_t pages, unused;

	if (mdb_env_info(b->env, &info) != 0)
		return b->limit_bytes;
	pages = info.me_last_pgno + 1;
	/* Walking the free list costs; below the mark it changes nothing. */
	if (pages * b->page_bytes <= b->limit_bytes / 100 * STORE_LOW_MARK_PERCENT)
		return pages * b->page_bytes;
	unused = free_pages(b);
	return (pages > unused ? pages - unused : 0) * b->page_bytes;
}

static uint64_t
lmdb_limit_bytes(struct backend *b)
{
	return b->limit_bytes;
}

/* --- files --- */

static bool
sync_dir(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool done = fd >= 0 && fsync(fd) == 0;

	if (fd >= 0)
		close(fd);
	return done;
}

static char *
path_of(const char *dir, const char *kind, const char *ending)
{
	char *path = NULL;

	if (asprintf(&path, "%s/%s%s", dir, kind, ending) < 0)
		abort();
	return path;
}

static enum err
lmdb_copy(struct backend *b, const char *dir, const char *kind)
{
	char *path = path_of(dir, kind, ".mdb"), *temporary = path_of(dir, kind, ".mdb.new");
	int fd = access(path, F_OK) == 0
	    ? -1
	    : open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	enum err e = fd >= 0 ? OK : access(path, F_OK) == 0 ? ERR_EXISTS : ERR_IO;

	if (e == OK)
		e = error_of(mdb_env_copyfd2(b->env, fd, MDB_CP_COMPACT));
	if (e == OK && (fsync(fd) != 0 || rename(temporary, path) != 0 || !sync_dir(dir)))
		e = ERR_IO;
	if (fd >= 0) {
		close(fd);
		if (e != OK)
			unlink(temporary);
	}
	free(path);
	free(temporary);
	return e;
}

static void
lmdb_close(struct backend *b)
{
	if (b->env != NULL)
		mdb_env_close(b->env);
	if (b->lock_fd >= 0)
		close(b->lock_fd); /* and the lock with it */
	free(b->dbis);
	free(b);
}

static enum err
say(char *why, enum err e, const char *words)
{
	(void)snprintf(why, WHY_BYTES, "%s", words);
	return e;
}

static enum err
check_file_system(const char *dir, char *why)
{
	struct statfs fs;

	if (statfs(dir, &fs) != 0)
		return say(why, ERR_IO, strerror(errno));
	switch ((unsigned long)fs.f_type) {
	case NFS_SUPER_MAGIC:
	case FUSE_SUPER_MAGIC:
	case CIFS_MAGIC:
	case SMB2_MAGIC:
	case V9FS_MAGIC:
		return say(why, ERR_SYSTEM,
		    "a store must lie on a local disk, like one of ext4 or xfs, not on a remote "
		    "one");
	default:
		return OK;
	}
}

static enum err
take_lock(struct backend *b, const char *dir, const char *kind, char *why)
{
	char *path = path_of(dir, kind, ".lock");

	b->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	free(path);
	if (b->lock_fd < 0)
		return say(why, ERR_IO, strerror(errno));
	if (flock(b->lock_fd, LOCK_EX | LOCK_NB) == 0)
		return OK;
	return say(why, ERR_LOCKED, "another citexd has this store open: stop it first");
}

static enum err
open_env(struct backend *b, const char *path, const struct store_layout *layout, uint64_t map_bytes,
    unsigned flags)
{
	int rc = mdb_env_create(&b->env);

	if (rc == 0)
		rc = mdb_env_set_maxdbs(b->env, layout_table_count(layout) + 1);
	if (rc == 0)
		rc = mdb_env_set_maxreaders(b->env, READERS_MAX);
	if (rc == 0)
		rc = mdb_env_set_mapsize(b->env, map_bytes);
	if (rc == 0)
		rc = mdb_env_open(b->env, path, MDB_NOSUBDIR | MDB_NOTLS | flags, 0600);
	return error_of(rc);
}

static enum err
open_tables(struct backend *b, const struct store_layout *layout)
{
	unsigned count = layout_table_count(layout) + 1;
	MDB_txn *txn = NULL;
	int rc = mdb_txn_begin(b->env, NULL, 0, &txn);

	b->dbis = xalloc_array(count, sizeof(*b->dbis));
	for (unsigned i = 0; rc == 0 && i < count; i++)
		rc = mdb_dbi_open(
		    txn, i == 0 ? OWN_TABLE : layout->tables[i - 1], MDB_CREATE, &b->dbis[i]);
	if (rc == 0)
		return error_of(mdb_txn_commit(txn));
	mdb_txn_abort(txn);
	return error_of(rc);
}

/* A file made whole under another name: a power cut while LMDB writes its first pages leaves what
 * it refuses later. */
static enum err
make_file(const char *dir, const struct store_layout *layout, const char *path, uint64_t map_bytes)
{
	char *temporary = path_of(dir, layout->kind, ".mdb.new");
	char *its_lock = path_of(dir, layout->kind, ".mdb.new-lock");
	struct backend *b = xalloc(sizeof(*b));
	enum err e;

	b->lock_fd = -1;
	unlink(temporary);
	unlink(its_lock);
	e = open_env(b, temporary, layout, map_bytes, 0);
	if (e == OK)
		e = open_tables(b, layout);
	if (e == OK)
		e = error_of(mdb_env_sync(b->env, 1));
	lmdb_close(b);
	if (e == OK && (rename(temporary, path) != 0 || !sync_dir(dir)))
		e = ERR_IO;
	unlink(its_lock);
	free(temporary);
	free(its_lock);
	return e;
}

/* LMDB would only find out by SIGBUS that its file is shorter than its meta page says. */
static enum err
check_length(struct backend *b, char *why)
{
	MDB_envinfo info;
	MDB_stat stat;
	struct stat st;
	int fd;

	if (mdb_env_info(b->env, &info) != 0 || mdb_env_stat(b->env, &stat) != 0 ||
	    mdb_env_get_fd(b->env, &fd) != 0 || fstat(fd, &st) != 0)
		return ERR_IO;
	b->page_bytes = stat.ms_psize;
	(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	if ((uint64_t)st.st_size >= (info.me_last_pgno + 1) * stat.ms_psize)
		return OK;
	return say(why, ERR_CORRUPT, "the file is shorter than its contents; restore a backup");
}

static enum err
open_all(struct backend *b, const char *dir, const struct store_layout *layout, uint64_t map_bytes,
    char *why)
{
	char *path = path_of(dir, layout->kind, ".mdb");
	enum err e = check_file_system(dir, why);

	if (e == OK)
		e = take_lock(b, dir, layout->kind, why);
	if (e == OK && access(path, F_OK) != 0)
		e = make_file(dir, layout, path, map_bytes);
	if (e == OK)
		e = open_env(b, path, layout, map_bytes, 0);
	if (e == OK)
		e = check_length(b, why);
	if (e == OK)
		e = error_of(mdb_reader_check(b->env, NULL));
	if (e == OK)
		e = open_tables(b, layout);
	if (e != OK && why[0] == '\0')
		(void)snprintf(why, WHY_BYTES, "%s: %s", path, err_words(e));
	free(path);
	return e;
}

static const struct backend_ops lmdb_ops = {
	.name = "lmdb",
	.close = lmdb_close,
	.begin = lmdb_begin,
	.commit = lmdb_commit,
	.end = lmdb_end,
	.get = lmdb_get,
	.put = lmdb_put,
	.del = lmdb_del,
	.cursor = lmdb_cursor,
	.cursor_free = lmdb_cursor_free,
	.seek = lmdb_seek,
	.next = lmdb_next,
	.seek_before = lmdb_seek_before,
	.prev = lmdb_prev,
	.used_bytes = lmdb_used_bytes,
	.limit_bytes = lmdb_limit_bytes,
	.copy = lmdb_copy,
};

enum err
store_open_lmdb(const char *dir, const struct store_layout *layout, uint64_t map_bytes,
    struct store **out, char *why)
{
	struct backend *b = xalloc(sizeof(*b));
	enum err e;

	b->lock_fd = -1;
	b->limit_bytes = map_bytes;
	why[0] = '\0';
	e = open_all(b, dir, layout, map_bytes, why);
	if (e == OK)
		return store_over(&lmdb_ops, b, layout, out, why);
	lmdb_close(b);
	return e;
}

/* A reader beside the one opener: LMDB's own lock file keeps what it sees from being used again. */
enum err
store_copy_beside(const char *from, const struct store_layout *layout, const char *dir, char *why)
{
	char *path = path_of(from, layout->kind, ".mdb");
	struct backend *b = xalloc(sizeof(*b));
	enum err e = access(path, F_OK) == 0 ? OK : ERR_NOT_FOUND;

	b->lock_fd = -1;
	why[0] = '\0';
	if (e == OK)
		e = open_env(b, path, layout, 0, MDB_RDONLY);
	if (e == OK)
		e = check_length(b, why);
	if (e == OK)
		e = lmdb_copy(b, dir, layout->kind);
	if (e != OK && why[0] == '\0')
		(void)snprintf(why, WHY_BYTES, "%s: %s", path, err_words(e));
	lmdb_close(b);
	free(path);
	return e;
}
