/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated store: sorted tables in memory that outlive the store opened
 * on them, as a disk outlives a process. What was not committed is forgotten;
 * any step can be made to fail. A snapshot is a reference to an immutable
 * version of each table; a write batch copies a table when it first changes
 * it. Slow for large tables, which simulations do not have. */
#include <stdlib.h>
#include <string.h>

#include "daemon/store/backend.h"

#define TABLES_MAX 41
#define SIM_OVERHEAD_BYTES 64 /* counted for each record beside key and value */

struct row {
	unsigned refs;
	size_t key_len, value_len;
	uint8_t at[]; /* key, then value */
};

/* One version of a table. */
struct rows {
	unsigned refs;
	size_t count, room;
	struct row **at; /* in order of keys */
};

struct disk_store {
	char kind[32];
	struct rows *tables[TABLES_MAX];
	struct disk_store *next;
};

struct sim_disk {
	uint64_t limit_bytes;
	unsigned fail_in;
	unsigned life; /* grows at each crash: handles of an earlier life are dead */
	struct disk_store *stores;
};

struct backend {
	struct sim_disk *disk;
	struct disk_store *store;
	unsigned life, table_count;
};

struct btxn {
	struct backend *backend;
	bool write;
	struct rows *tables[TABLES_MAX];
};

struct bcursor {
	struct btxn *txn;
	unsigned table;
	size_t at;
};

static void
row_unref(struct row *r)
{
	if (--r->refs == 0)
		free(r);
}

static struct rows *
rows_new(void)
{
	struct rows *t = xalloc(sizeof(*t));

	t->refs = 1;
	return t;
}

static void
rows_unref(struct rows *t)
{
	if (--t->refs > 0)
		return;
	for (size_t i = 0; i < t->count; i++)
		row_unref(t->at[i]);
	free(t->at);
	free(t);
}

static struct rows *
rows_copy(const struct rows *t)
{
	struct rows *copy = rows_new();

	copy->count = copy->room = t->count;
	copy->at = xalloc_array(t->count, sizeof(*copy->at));
	for (size_t i = 0; i < t->count; i++) {
		copy->at[i] = t->at[i];
		copy->at[i]->refs++;
	}
	return copy;
}

static struct bytes
row_key(const struct row *r)
{
	return (struct bytes){ r->at, r->key_len };
}

static struct bytes
row_value(const struct row *r)
{
	return (struct bytes){ r->at + r->key_len, r->value_len };
}

/* The first row with a key not before KEY. */
static size_t
find(const struct rows *t, struct bytes key)
{
	size_t low = 0, high = t->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (bytes_compare(row_key(t->at[middle]), key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool
is_at(const struct rows *t, size_t i, struct bytes key)
{
	return i < t->count && bytes_equal(row_key(t->at[i]), key);
}

/* Every step counts; the one that was chosen fails. */
static enum err
step(struct backend *b, enum err how)
{
	if (b->life != b->disk->life)
		return ERR_IO;
	if (b->disk->fail_in == 0)
		return OK;
	return --b->disk->fail_in == 0 ? how : OK;
}

static uint64_t
size_of(const struct rows *const *tables, unsigned count)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < count; i++) {
		for (size_t k = 0; k < tables[i]->count; k++)
			bytes += tables[i]->at[k]->key_len + tables[i]->at[k]->value_len +
			    SIM_OVERHEAD_BYTES;
	}
	return bytes;
}

static enum err
sim_begin(struct backend *b, bool write, struct btxn **out)
{
	enum err e = step(b, ERR_FAULT);

	if (e != OK)
		return e;
	*out = xalloc(sizeof(**out));
	(*out)->backend = b;
	(*out)->write = write;
	for (unsigned i = 0; i < b->table_count; i++) {
		(*out)->tables[i] = b->store->tables[i];
		(*out)->tables[i]->refs++;
	}
	return OK;
}

static void
sim_end(struct btxn *t)
{
	for (unsigned i = 0; i < t->backend->table_count; i++)
		rows_unref(t->tables[i]);
	free(t);
}

static enum err
sim_commit(struct btxn *t)
{
	struct backend *b = t->backend;
	enum err e = step(b, ERR_IO);

	if (e == OK &&
	    size_of((const struct rows *const *)t->tables, b->table_count) > b->disk->limit_bytes)
		e = ERR_STORE_FULL;
	for (unsigned i = 0; e == OK && i < b->table_count; i++) {
		rows_unref(b->store->tables[i]);
		b->store->tables[i] = t->tables[i];
		b->store->tables[i]->refs++;
	}
	sim_end(t);
	return e;
}

static enum err
sim_get(struct btxn *t, unsigned table, struct bytes key, struct bytes *value)
{
	size_t i = find(t->tables[table], key);

	if (!is_at(t->tables[table], i, key))
		return ERR_NOT_FOUND;
	*value = row_value(t->tables[table]->at[i]);
	return OK;
}

/* The table of T that may be changed: T's own copy. */
static struct rows *
own(struct btxn *t, unsigned table)
{
	if (t->tables[table]->refs > 1) {
		struct rows *copy = rows_copy(t->tables[table]);
		rows_unref(t->tables[table]);
		t->tables[table] = copy;
	}
	return t->tables[table];
}

static enum err
sim_put(struct btxn *t, unsigned table, struct bytes key, struct bytes value)
{
	struct rows *rows;
	struct row *r;
	size_t i;
	enum err e = step(t->backend, ERR_FAULT);

	if (e != OK)
		return e;
	rows = own(t, table);
	i = find(rows, key);
	r = xalloc(sizeof(*r) + key.len + value.len);
	*r = (struct row){ 1, key.len, value.len };
	memcpy(r->at, key.at, key.len);
	if (value.len > 0)
		memcpy(r->at + key.len, value.at, value.len);
	if (is_at(rows, i, key)) {
		row_unref(rows->at[i]);
		rows->at[i] = r;
		return OK;
	}
	if (rows->count == rows->room) {
		rows->room = rows->room == 0 ? 16 : rows->room * 2;
		rows->at = xgrow(rows->at, rows->room, sizeof(*rows->at));
	}
	memmove(rows->at + i + 1, rows->at + i, (rows->count - i) * sizeof(*rows->at));
	rows->at[i] = r;
	rows->count++;
	return OK;
}

static enum err
sim_del(struct btxn *t, unsigned table, struct bytes key)
{
	size_t i = find(t->tables[table], key);
	struct rows *rows;
	enum err e = step(t->backend, ERR_FAULT);

	if (e != OK)
		return e;
	if (!is_at(t->tables[table], i, key))
		return ERR_NOT_FOUND;
	rows = own(t, table);
	row_unref(rows->at[i]);
	rows->count--;
	memmove(rows->at + i, rows->at + i + 1, (rows->count - i) * sizeof(*rows->at));
	return OK;
}

static enum err
sim_cursor(struct btxn *t, unsigned table, struct bcursor **out)
{
	*out = xalloc(sizeof(**out));
	**out = (struct bcursor){ t, table, SIZE_MAX };
	return OK;
}

static void
sim_cursor_free(struct bcursor *c)
{
	free(c);
}

static enum err
give(struct bcursor *c, size_t i, struct bytes *key, struct bytes *value)
{
	const struct rows *rows = c->txn->tables[c->table];

	if (i >= rows->count)
		return ERR_NOT_FOUND;
	c->at = i;
	*key = row_key(rows->at[i]);
	*value = row_value(rows->at[i]);
	return OK;
}

static enum err
sim_seek(struct bcursor *c, struct bytes from, struct bytes *key, struct bytes *value)
{
	return give(c, find(c->txn->tables[c->table], from), key, value);
}

static enum err
sim_next(struct bcursor *c, struct bytes *key, struct bytes *value)
{
	return give(c, c->at + 1, key, value); /* a new cursor begins with the first */
}

static enum err
sim_prev(struct bcursor *c, struct bytes *key, struct bytes *value)
{
	return c->at == 0 ? ERR_NOT_FOUND : give(c, c->at - 1, key, value);
}

static enum err
sim_seek_before(struct bcursor *c, struct bytes before, struct bytes *key, struct bytes *value)
{
	const struct rows *rows = c->txn->tables[c->table];
	size_t i = before.len == 0 ? rows->count : find(rows, before);

	return i == 0 ? ERR_NOT_FOUND : give(c, i - 1, key, value);
}

static uint64_t
sim_used_bytes(struct backend *b)
{
	return size_of((const struct rows *const *)b->store->tables, b->table_count);
}

static uint64_t
sim_limit_bytes(struct backend *b)
{
	return b->disk->limit_bytes;
}

static enum err
sim_copy(struct backend *b, const char *dir, const char *kind)
{
	(void)b;
	(void)dir;
	(void)kind;
	return ERR_SYSTEM; /* there are no folders here */
}

static void
sim_close(struct backend *b)
{
	free(b);
}

static const struct backend_ops sim_ops = {
	.name = "sim",
	.close = sim_close,
	.begin = sim_begin,
	.commit = sim_commit,
	.end = sim_end,
	.get = sim_get,
	.put = sim_put,
	.del = sim_del,
	.cursor = sim_cursor,
	.cursor_free = sim_cursor_free,
	.seek = sim_seek,
	.next = sim_next,
	.seek_before = sim_seek_before,
	.prev = sim_prev,
	.used_bytes = sim_used_bytes,
	.limit_bytes = sim_limit_bytes,
	.copy = sim_copy,
};

/* --- disks --- */

struct sim_disk *
sim_disk_new(uint64_t limit_bytes)
{
	struct sim_disk *d = xalloc(sizeof(*d));

	d->limit_bytes = limit_bytes;
	return d;
}

void
sim_disk_free(struct sim_disk *d)
{
	while (d->stores != NULL) {
		struct disk_store *s = d->stores;
		d->stores = s->next;
		for (unsigned i = 0; i < TABLES_MAX; i++)
			rows_unref(s->tables[i]);
		free(s);
	}
	free(d);
}

void
sim_disk_crash(struct sim_disk *d)
{
	d->life++;
}

void
sim_disk_fail(struct sim_disk *d, unsigned nth)
{
	d->fail_in = nth;
}

static struct disk_store *
store_on(struct sim_disk *d, const char *kind)
{
	struct disk_store *s;

	for (s = d->stores; s != NULL; s = s->next) {
		if (strcmp(s->kind, kind) == 0)
			return s;
	}
	s = xalloc(sizeof(*s));
	strncpy(s->kind, kind, sizeof(s->kind) - 1);
	for (unsigned i = 0; i < TABLES_MAX; i++)
		s->tables[i] = rows_new();
	s->next = d->stores;
	d->stores = s;
	return s;
}

enum err
store_open_sim(struct sim_disk *d, const struct store_layout *layout, struct store **out)
{
	struct backend *b = xalloc(sizeof(*b));
	char why[200];

	*b = (struct backend){ d, store_on(d, layout->kind), d->life,
		layout_table_count(layout) + 1 };
	return store_over(&sim_ops, b, layout, out, why);
}
