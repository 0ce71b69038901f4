/* SPDX-License-Identifier: Apache-2.0 */
/* One suite, every backend; then what only a file can suffer. */
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/store/committer.h"
#include "daemon/store/store.h"
#include "pki/ossl.h"

enum { FIRST, SECOND };
/* any word will do; "meta" was once the store's own */
static const char *const tables[] = { "first", "meta", NULL };
static const struct store_layout layout = { "test", 1, tables, sha256 };

struct place {
	struct sim_disk *disk; /* NULL: LMDB in DIR */
	char dir[64];
	uint64_t limit_bytes;
	struct store *store;
};

static void
open_place(struct place *p)
{
	char why[200];

	if (p->disk != NULL)
		assert_int_equal(store_open_sim(p->disk, &layout, &p->store), OK);
	else if (store_open_lmdb(p->dir, &layout, p->limit_bytes, &p->store, why) != OK)
		fail_msg("%s", why);
}

static void
close_place(struct place *p)
{
	store_close(p->store);
	p->store = NULL;
}

static void
file_of(const struct place *p, const char *name, char *out)
{
	snprintf(out, 128, "%s/%s", p->dir, name);
}

static struct place *
new_place(bool sim, uint64_t limit_bytes)
{
	struct place *p = xalloc(sizeof(*p));

	p->limit_bytes = limit_bytes;
	if (sim) {
		p->disk = sim_disk_new(limit_bytes);
	} else {
		snprintf(p->dir, sizeof(p->dir), "/tmp/citex-store-XXXXXX");
		assert_non_null(mkdtemp(p->dir));
	}
	open_place(p);
	return p;
}

static void
free_place(struct place *p)
{
	static const char *const names[] = { "test.mdb", "test.mdb-lock", "test.lock",
		"copy/test.mdb" };

	close_place(p);
	if (p->disk != NULL)
		sim_disk_free(p->disk);
	for (size_t i = 0; p->disk == NULL && i < 4; i++) {
		char path[128];
		file_of(p, names[i], path);
		unlink(path);
	}
	if (p->disk == NULL) {
		char path[128];
		file_of(p, "copy", path);
		rmdir(path);
		rmdir(p->dir);
	}
	free(p);
}

static int
set_up_sim(void **state)
{
	*state = new_place(true, 64 * MIB);
	return 0;
}

static int
set_up_lmdb(void **state)
{
	*state = new_place(false, 64 * MIB);
	return 0;
}

static int
tear_down(void **state)
{
	free_place(*state);
	return 0;
}

static struct bytes
key_of(unsigned i)
{
	static _Thread_local uint8_t key[4]; /* the store thread has its own */

	key[0] = (uint8_t)(i >> 24);
	key[1] = (uint8_t)(i >> 16);
	key[2] = (uint8_t)(i >> 8);
	key[3] = (uint8_t)i;
	return BYTES_OF(key);
}

static void
put(struct place *p, unsigned table, struct bytes key, const char *value)
{
	struct txn *t = NULL;

	assert_int_equal(store_begin(p->store, &t), OK);
	assert_int_equal(store_put(t, table, key, bytes_str(value)), OK);
	assert_int_equal(store_commit(t), OK);
}

static bool
holds(struct place *p, unsigned table, struct bytes key, const char *value)
{
	CLEANUP(store_end_drop) struct txn *t = NULL;
	struct bytes got;

	assert_int_equal(store_read(p->store, &t), OK);
	return store_get(t, table, key, &got) == OK && bytes_equal(got, bytes_str(value));
}

static unsigned damages;

static void
count_damage(void *arg, const char *table, struct bytes key, const char *words)
{
	(void)arg;
	(void)table;
	(void)key;
	(void)words;
	damages++;
}

static bool
is_whole(struct place *p)
{
	damages = 0;
	return store_check(p->store, count_damage, NULL) == OK && damages == 0;
}

static void
test_store_keeps_what_was_committed_and_nothing_else(void **state)
{
	struct place *p = *state;
	struct txn *t = NULL;

	put(p, FIRST, key_of(1), "one");
	put(p, FIRST, key_of(1), "uno");
	put(p, SECOND, key_of(1), "other table");
	assert_int_equal(store_begin(p->store, &t), OK);
	assert_int_equal(store_put(t, FIRST, key_of(2), bytes_str("dropped")), OK);
	assert_int_equal(store_del(t, FIRST, key_of(1)), OK);
	assert_int_equal(store_del(t, FIRST, key_of(9)), ERR_NOT_FOUND);
	store_end(t);
	close_place(p);
	open_place(p);
	assert_true(holds(p, FIRST, key_of(1), "uno"));
	assert_true(holds(p, SECOND, key_of(1), "other table"));
	assert_false(holds(p, FIRST, key_of(2), "dropped"));
	assert_true(is_whole(p));
}

static void
test_store_reader_sees_its_snapshot(void **state)
{
	struct place *p = *state;
	CLEANUP(store_end_drop) struct txn *reader = NULL;
	struct bytes value;

	put(p, FIRST, key_of(1), "before");
	assert_int_equal(store_read(p->store, &reader), OK);
	put(p, FIRST, key_of(1), "after");
	put(p, FIRST, key_of(2), "new");
	assert_int_equal(store_get(reader, FIRST, key_of(1), &value), OK);
	assert_true(bytes_equal(value, bytes_str("before")));
	assert_int_equal(store_get(reader, FIRST, key_of(2), &value), ERR_NOT_FOUND);
}

static void
test_store_cursors_walk_in_order_of_keys(void **state)
{
	struct place *p = *state;
	CLEANUP(store_end_drop) struct txn *t = NULL;
	CLEANUP(cursor_drop) struct cursor *c = NULL;
	struct bytes key, value;
	unsigned n = 0;

	for (unsigned i = 0; i < 50; i++)
		put(p, FIRST, key_of((i * 37) % 50 * 2), "even");
	assert_int_equal(store_read(p->store, &t), OK);
	assert_int_equal(cursor_new(t, FIRST, &c), OK);
	for (enum err e = cursor_seek(c, key_of(11), &key, &value); e == OK;
	     e = cursor_next(c, &key, &value))
		assert_true(bytes_equal(key, key_of(12 + 2 * n++)));
	assert_int_equal(n, 44);
	assert_int_equal(cursor_seek_before(c, key_of(12), &key, &value), OK);
	assert_true(bytes_equal(key, key_of(10)));
	assert_int_equal(cursor_prev(c, &key, &value), OK);
	assert_true(bytes_equal(key, key_of(8)));
	assert_int_equal(cursor_seek_before(c, BYTES_NONE, &key, &value), OK);
	assert_true(bytes_equal(key, key_of(98)));
	assert_int_equal(cursor_seek_before(c, key_of(0), &key, &value), ERR_NOT_FOUND);
	assert_int_equal(cursor_seek(c, key_of(99), &key, &value), ERR_NOT_FOUND);
}

static void
test_store_bounds_at_the_limit_and_one_beyond(void **state)
{
	struct place *p = *state;
	struct txn *t = NULL;
	uint8_t *big = xalloc(STORE_VALUE_MAX_BYTES + 1);
	uint8_t key[STORE_KEY_MAX_BYTES + 1] = { 1 };

	assert_int_equal(store_begin(p->store, &t), OK);
	assert_int_equal(store_put(t, FIRST, BYTES_OF(key), bytes_str("v")), ERR_TOO_LARGE);
	assert_int_equal(
	    store_put(t, FIRST, (struct bytes){ key, STORE_KEY_MAX_BYTES }, bytes_str("v")), OK);
	assert_int_equal(store_put(t, FIRST, BYTES_NONE, bytes_str("v")), ERR_TOO_LARGE);
	assert_int_equal(
	    store_put(t, FIRST, key_of(1), (struct bytes){ big, STORE_VALUE_MAX_BYTES + 1 }),
	    ERR_TOO_LARGE);
	assert_int_equal(
	    store_put(t, FIRST, key_of(1), (struct bytes){ big, STORE_VALUE_MAX_BYTES }), OK);
	assert_int_equal(store_commit(t), OK);
	assert_true(is_whole(p));
	free(big);
}

static void
test_store_counts_its_records(void **state)
{
	struct place *p = *state;
	struct txn *t = NULL;
	uint64_t count = 99;

	for (unsigned i = 0; i < 10; i++)
		put(p, SECOND, key_of(i), "x");
	put(p, SECOND, key_of(3), "again");
	assert_int_equal(store_begin(p->store, &t), OK);
	assert_int_equal(store_del(t, SECOND, key_of(4)), OK);
	assert_int_equal(store_count(t, SECOND, &count), OK);
	assert_int_equal(count, 9);
	store_end(t);
	assert_int_equal(store_read(p->store, &t), OK);
	assert_int_equal(store_count(t, SECOND, &count), OK);
	assert_int_equal(count, 10);
	store_end(t);
}

static void
test_store_restored_mark_is_taken_once(void **state)
{
	struct place *p = *state;
	struct txn *t = NULL;

	assert_int_equal(store_mark_restored(p->store), OK);
	close_place(p);
	open_place(p);
	assert_int_equal(store_begin(p->store, &t), OK);
	assert_true(store_take_restored(t));
	assert_false(store_take_restored(t));
	assert_int_equal(store_commit(t), OK);
}

static void
test_store_of_another_kind_or_newer_is_refused(void **state)
{
	static const struct store_layout newer = { "test", 2, tables, sha256 };
	struct place *p = *state;
	struct store *s = NULL;
	char why[200] = "";

	close_place(p);
	/* written by version 2, opened by 1 */
	if (p->disk != NULL) {
		struct sim_disk *d = sim_disk_new(MIB);
		assert_int_equal(store_open_sim(d, &newer, &s), OK);
		store_close(s);
		assert_int_equal(store_open_sim(d, &layout, &s), ERR_VERSION);
		sim_disk_free(d);
	} else {
		char dir[128];
		file_of(p, "copy", dir);
		assert_int_equal(mkdir(dir, 0700), 0);
		assert_int_equal(store_open_lmdb(dir, &newer, MIB, &s, why), OK);
		store_close(s);
		assert_int_equal(store_open_lmdb(dir, &layout, MIB, &s, why), ERR_VERSION);
		assert_non_null(strstr(why, "newer citex"));
		file_of(p, "copy/test.mdb-lock", dir);
		unlink(dir);
		file_of(p, "copy/test.lock", dir);
		unlink(dir);
	}
	open_place(p);
}

/* Low is what uses more than the mark. In LMDB as near as pages allow: a page is a quarter of a
 * percent here. */
static void
test_store_is_low_above_its_mark(void **state)
{
	struct place *model = *state;
	const uint64_t limit = 400 * 4 * KIB, mark = limit / 100 * STORE_LOW_MARK_PERCENT;
	struct place *p = new_place(model->disk != NULL, limit);
	char value[2000];
	uint64_t used = 0, nearest = 0;

	memset(value, 'x', sizeof(value));
	value[sizeof(value) - 1] = '\0';
	for (unsigned n = 0; used <= mark; n++) {
		nearest = used;
		put(p, FIRST, key_of(n), value);
		used = store_used_bytes(p->store);
		assert_int_equal(store_is_low(p->store), used > mark);
	}
	assert_in_range(nearest, mark - limit / 100, mark);
	free_place(p);
}

/* To the byte, where rows and not pages are counted. */
static void
test_sim_is_low_one_byte_above_its_mark(void **state)
{
	struct place *p = new_place(true, MIB);
	const uint64_t mark = MIB / 100 * STORE_LOW_MARK_PERCENT;
	char *value = xalloc(MIB);
	uint64_t row = store_used_bytes(p->store);

	(void)state;
	put(p, FIRST, key_of(0), "");
	row = store_used_bytes(p->store) - row;
	memset(value, 'x', mark / 2);
	put(p, FIRST, key_of(1), value);
	memset(value, 'x', MIB - 1);
	value[mark - store_used_bytes(p->store) - row] = '\0';
	put(p, FIRST, key_of(2), value);
	assert_int_equal(store_used_bytes(p->store), mark);
	assert_false(store_is_low(p->store));
	put(p, FIRST, key_of(0), "x");
	assert_true(store_is_low(p->store));
	free(value);
	free_place(p);
}

/* Fill until the mark; then nothing new is let in, but deletes pass. */
static void
test_store_at_the_low_mark_still_deletes(void **state)
{
	struct place *model = *state;
	struct place *p = new_place(model->disk != NULL, MIB);
	char value[4096];
	unsigned n = 0;

	memset(value, 'x', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	while (!store_is_low(p->store))
		put(p, FIRST, key_of(n++), value);
	assert_true(n > 50);
	for (unsigned i = 0; i < n; i++) {
		struct txn *t = NULL;
		assert_int_equal(store_begin(p->store, &t), OK);
		assert_int_equal(store_del(t, FIRST, key_of(i)), OK);
		assert_int_equal(store_commit(t), OK);
	}
	assert_false(store_is_low(p->store));
	assert_true(is_whole(p));
	free_place(p);
}

/* A full store drops the whole batch, and takes the next one. */
static void
test_store_full_batch_never_happened(void **state)
{
	struct place *model = *state;
	struct place *p = new_place(model->disk != NULL, MIB);
	struct txn *t = NULL;
	uint8_t *big = xalloc(STORE_VALUE_MAX_BYTES);
	enum err e = OK;

	put(p, FIRST, key_of(1), "kept");
	assert_int_equal(store_begin(p->store, &t), OK);
	for (unsigned i = 2; e == OK && i < 6; i++)
		e = store_put(
		    t, FIRST, key_of(i), (struct bytes){ big, STORE_VALUE_MAX_BYTES / 2 });
	if (e == OK)
		e = store_commit(t);
	else
		store_end(t);
	assert_int_equal(e, ERR_STORE_FULL);
	assert_false(holds(p, FIRST, key_of(2), ""));
	put(p, FIRST, key_of(7), "next");
	assert_true(holds(p, FIRST, key_of(1), "kept"));
	assert_true(is_whole(p));
	free(big);
	free_place(p);
}

/* --- the simulated disk --- */

static enum err
some_work(struct place *p)
{
	struct txn *t = NULL;
	enum err e = store_begin(p->store, &t);

	if (e != OK)
		return e;
	for (unsigned i = 0; e == OK && i < 5; i++)
		e = store_put(t, FIRST, key_of(i), bytes_str("new"));
	if (e == OK)
		e = store_del(t, SECOND, key_of(1));
	if (e == OK)
		return store_commit(t);
	store_end(t);
	return e;
}

static void
test_sim_fails_at_every_step_and_leaves_no_half_state(void **state)
{
	enum err e = ERR_FAULT;
	unsigned at = 1;

	(void)state;
	for (; e != OK; at++) {
		struct place *p = new_place(true, MIB);
		put(p, SECOND, key_of(1), "old");
		sim_disk_fail(p->disk, at);
		e = some_work(p);
		sim_disk_fail(p->disk, 0);
		sim_disk_crash(p->disk);
		close_place(p);
		open_place(p);
		assert_int_equal(holds(p, FIRST, key_of(0), "new"), e == OK);
		assert_int_equal(holds(p, FIRST, key_of(4), "new"), e == OK);
		assert_int_equal(holds(p, SECOND, key_of(1), "old"), e != OK);
		assert_true(is_whole(p));
		free_place(p);
	}
	assert_true(at > 8);
}

static void
test_sim_crash_forgets_what_was_not_committed(void **state)
{
	struct place *p = new_place(true, MIB);
	struct txn *t = NULL;

	(void)state;
	put(p, FIRST, key_of(1), "kept");
	assert_int_equal(store_begin(p->store, &t), OK);
	assert_int_equal(store_put(t, FIRST, key_of(2), bytes_str("lost")), OK);
	sim_disk_crash(p->disk);
	assert_int_equal(store_commit(t), ERR_IO);
	close_place(p);
	open_place(p);
	assert_true(holds(p, FIRST, key_of(1), "kept"));
	assert_false(holds(p, FIRST, key_of(2), "lost"));
	free_place(p);
}

/* --- files --- */

static void
test_lmdb_second_opener_is_refused(void **state)
{
	struct place *p = *state;
	struct store *s = NULL;
	char why[200];

	assert_int_equal(store_open_lmdb(p->dir, &layout, MIB, &s, why), ERR_LOCKED);
	assert_non_null(strstr(why, "another citexd"));
}

static void
test_lmdb_survives_a_kill_in_mid_batch(void **state)
{
	struct place *p = *state;
	int status;
	pid_t child;

	put(p, FIRST, key_of(1), "kept");
	close_place(p);
	child = fork();
	if (child == 0) {
		struct txn *t = NULL;
		open_place(p);
		put(p, FIRST, key_of(2), "committed");
		if (store_begin(p->store, &t) == OK &&
		    store_put(t, FIRST, key_of(3), bytes_str("not")) == OK)
			_exit(3);
		_exit(1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(WEXITSTATUS(status), 3);
	open_place(p);
	assert_true(holds(p, FIRST, key_of(1), "kept"));
	assert_true(holds(p, FIRST, key_of(2), "committed"));
	assert_false(holds(p, FIRST, key_of(3), "not"));
	assert_true(is_whole(p));
}

static void
test_lmdb_truncated_file_is_refused_in_words(void **state)
{
	struct place *p = *state;
	struct store *s = NULL;
	char path[128], why[200];

	for (unsigned i = 0; i < 200; i++)
		put(p, FIRST, key_of(i), "some value that takes room");
	close_place(p);
	file_of(p, "test.mdb", path);
	assert_int_equal(truncate(path, 3 * 4096), 0);
	assert_int_equal(store_open_lmdb(p->dir, &layout, 64 * MIB, &s, why), ERR_CORRUPT);
	assert_non_null(strstr(why, "restore a backup"));
	unlink(path);
	open_place(p);
}

/* Change MARK in the closed file, wherever it stands. */
static unsigned
damage_file(struct place *p, const char *mark)
{
	char path[128];
	uint8_t *data;
	struct stat st;
	unsigned n = 0;
	int fd;

	file_of(p, "test.mdb", path);
	fd = open(path, O_RDWR);
	assert_int_equal(fstat(fd, &st), 0);
	data = xalloc((size_t)st.st_size);
	assert_int_equal(pread(fd, data, (size_t)st.st_size, 0), st.st_size);
	for (off_t i = 0; i + (off_t)strlen(mark) < st.st_size; i++) {
		if (memcmp(data + i, mark, strlen(mark)) != 0)
			continue;
		data[i] ^= 1;
		n++;
	}
	assert_int_equal(pwrite(fd, data, (size_t)st.st_size, 0), st.st_size);
	close(fd);
	free(data);
	return n;
}

static void
test_lmdb_flipped_bit_is_found(void **state)
{
	struct place *p = *state;
	CLEANUP(store_end_drop) struct txn *t = NULL;
	struct bytes value;

	for (unsigned i = 0; i < 20; i++)
		put(p, FIRST, key_of(i), i == 7 ? "the-marked-value" : "another");
	close_place(p);
	assert_true(damage_file(p, "the-marked-value") > 0);
	open_place(p);
	assert_int_equal(store_read(p->store, &t), OK);
	assert_int_equal(store_get(t, FIRST, key_of(7), &value), ERR_CORRUPT);
	assert_int_equal(store_get(t, FIRST, key_of(8), &value), OK);
	store_end(t);
	t = NULL;
	assert_false(is_whole(p));
}

static void
test_lmdb_copy_is_whole_and_opens(void **state)
{
	struct place *p = *state, *copy;
	char dir[128];

	for (unsigned i = 0; i < 100; i++)
		put(p, FIRST, key_of(i), "value");
	copy = new_place(false, 64 * MIB);
	close_place(copy);
	file_of(copy, "test.mdb", dir);
	unlink(dir);
	assert_int_equal(store_copy(p->store, copy->dir), OK);
	assert_int_equal(store_copy(p->store, copy->dir), ERR_EXISTS);
	open_place(copy);
	assert_true(holds(copy, FIRST, key_of(99), "value"));
	assert_true(is_whole(copy));
	free_place(copy);
}

/* --- the committer --- */

struct counter {
	struct loop *loop;
	struct place *place;
	unsigned done, refused, batches, wanted;
};

struct put_job {
	struct job job;
	struct counter *counter;
	unsigned key;
	bool refuse;
};

static enum err
run_put(struct job *j, struct txn *t)
{
	struct put_job *p = (struct put_job *)j;

	return p->refuse ? ERR_DENIED : store_put(t, FIRST, key_of(p->key), bytes_str("by a job"));
}

static void
put_done(struct job *j, enum err result)
{
	struct put_job *p = (struct put_job *)j;
	struct counter *c = p->counter;

	assert_int_equal(result, p->refuse ? ERR_DENIED : OK);
	/* answered means on disk */
	assert_int_equal(holds(c->place, FIRST, key_of(p->key), "by a job"), !p->refuse);
	c->refused += p->refuse ? 1 : 0;
	if (++c->done == c->wanted)
		loop_stop(c->loop);
	free(p);
}

static enum err
count_batch(void *arg, struct txn *t)
{
	(void)t;
	((struct counter *)arg)->batches++;
	return OK;
}

static void
test_committer_answers_after_the_commit_and_gathers(void **state)
{
	struct counter n = { loop_new(), *state, 0, 0, 0, 1000 };
	struct committer_hooks hooks = { count_batch, NULL, &n };
	struct committer *c = committer_new(n.loop, n.place->store, &hooks);

	for (unsigned i = 0; i < n.wanted; i++) {
		struct put_job *j = xalloc(sizeof(*j));
		*j = (struct put_job){ { run_put, put_done, OK, NULL }, &n, i, i % 10 == 3 };
		committer_submit(c, &j->job);
	}
	loop_run(n.loop);
	assert_int_equal(n.refused, 100);
	assert_int_equal(committer_pending(c), 0);
	/* all came in one event */
	assert_int_equal(n.batches, (1000 + BATCH_MAX - 1) / BATCH_MAX);
	committer_free(c);
	assert_true(is_whole(n.place));
	loop_free(n.loop);
}

struct straggler {
	struct put_job put;
	struct committer *committer;
};

static void
crowd_done(struct job *j, enum err result)
{
	struct straggler *s = (struct straggler *)j;
	struct put_job *next = xalloc(sizeof(*next));

	*next = (struct put_job){ { run_put, put_done, OK, NULL }, s->put.counter, 1000, false };
	committer_submit(s->committer, &next->job);
	put_done(j, result);
}

static void
submit_crowd(struct committer *c, struct counter *n, unsigned count)
{
	for (unsigned i = 1; i < count; i++) {
		struct put_job *j = xalloc(sizeof(*j));
		*j = (struct put_job){ { run_put, put_done, OK, NULL }, n, i, false };
		committer_submit(c, &j->job);
	}
}

static void
test_committer_lets_a_crowd_gather(void **state)
{
	struct counter n = { loop_new(), *state, 0, 0, 0, CROWD_MIN + 1 };
	struct committer_hooks hooks = { count_batch, NULL, &n };
	struct committer *c = committer_new(n.loop, n.place->store, &hooks);
	struct straggler *s = xalloc(sizeof(*s));
	int64_t begin_ms = loop_now(n.loop).mono_ms;

	*s = (struct straggler){ { { run_put, crowd_done, OK, NULL }, &n, 0, false }, c };
	committer_submit(c, &s->put.job);
	submit_crowd(c, &n, CROWD_MIN);
	loop_run(n.loop);
	assert_int_equal(n.batches, 2);
	assert_true(loop_now(n.loop).mono_ms >= begin_ms + CROWD_GATHER_MS);
	committer_free(c);
	loop_free(n.loop);
}

static void
test_committer_that_ends_commits_what_has_gathered(void **state)
{
	struct counter n = { loop_new(), *state, 0, 0, 0, UINT_MAX };
	struct committer_hooks hooks = { count_batch, NULL, &n };
	struct committer *c = committer_new(n.loop, n.place->store, &hooks);
	struct straggler *s = xalloc(sizeof(*s));

	*s = (struct straggler){ { { run_put, crowd_done, OK, NULL }, &n, 0, false }, c };
	committer_submit(c, &s->put.job);
	submit_crowd(c, &n, 2 * BATCH_MAX);
	committer_free(c); /* no loop has run: nothing was handed over before */
	assert_int_equal(n.done, 2 * BATCH_MAX + 1);
	assert_int_equal(n.batches, 3);
	loop_free(n.loop);
}

#define BOTH(test) \
	{ #test " (sim)", test, set_up_sim, tear_down, NULL }, \
	{ \
#test " (lmdb)", test, set_up_lmdb, tear_down, NULL \
	}
#define LMDB(test) \
	{ \
#test, test, set_up_lmdb, tear_down, NULL \
	}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(test_store_keeps_what_was_committed_and_nothing_else),
		BOTH(test_store_reader_sees_its_snapshot),
		BOTH(test_store_cursors_walk_in_order_of_keys),
		BOTH(test_store_bounds_at_the_limit_and_one_beyond),
		BOTH(test_store_counts_its_records),
		BOTH(test_store_restored_mark_is_taken_once),
		BOTH(test_store_of_another_kind_or_newer_is_refused),
		BOTH(test_store_is_low_above_its_mark),
		cmocka_unit_test(test_sim_is_low_one_byte_above_its_mark),
		BOTH(test_store_at_the_low_mark_still_deletes),
		BOTH(test_store_full_batch_never_happened),
		cmocka_unit_test(test_sim_fails_at_every_step_and_leaves_no_half_state),
		cmocka_unit_test(test_sim_crash_forgets_what_was_not_committed),
		LMDB(test_lmdb_second_opener_is_refused),
		LMDB(test_lmdb_survives_a_kill_in_mid_batch),
		LMDB(test_lmdb_truncated_file_is_refused_in_words),
		LMDB(test_lmdb_flipped_bit_is_found),
		LMDB(test_lmdb_copy_is_whole_and_opens),
		LMDB(test_committer_answers_after_the_commit_and_gathers),
		LMDB(test_committer_lets_a_crowd_gather),
		LMDB(test_committer_that_ends_commits_what_has_gathered),
	};

	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
