/* SPDX-License-Identifier: Apache-2.0 */
/* What is the same over every backend: the form of a record, and the count and
 * sum of each table, kept in the transaction that changes it. LMDB finds next
 * to no damage by itself (docs/threats.md); this does, when a record is read
 * and when store_check() walks. docs/store.md has the form byte by byte. */
#include "daemon/store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/store/backend.h"

#define META 0
#define WHY_BYTES 200
#define RECORD_VERSION 1
/* version 1, key length 2, digest 32; then key, then value */
#define RECORD_FRONT_BYTES (1 + 2 + DIGEST_BYTES)
#define TABLES_MAX 40

static const char kind_key[] = "kind";
static const char sums_key[] = "sums";
static const char restored_key[] = "restored";

/* How many records a table has, and the sum of their digests mod 2^256. */
struct sum {
	uint64_t count;
	uint64_t limbs[4]; /* least significant first */
};

struct store {
	const struct backend_ops *ops;
	struct backend *backend;
	struct store_layout layout;
	unsigned table_count;
};

struct txn {
	struct store *store;
	struct btxn *raw;
	bool write, changed;
	struct sum sums[TABLES_MAX]; /* of a write batch */
	struct buffer record;
};

struct cursor {
	struct txn *txn;
	unsigned table;
	struct bcursor *raw;
};

unsigned
layout_table_count(const struct store_layout *layout)
{
	unsigned n = 0;

	while (layout->tables[n] != NULL)
		n++;
	return n;
}

/* --- sums --- */

static void
sum_add(struct sum *s, const uint8_t digest[DIGEST_BYTES], bool minus)
{
	unsigned __int128 carry = minus ? 1 : 0;

	for (size_t i = 0; i < 4; i++) {
		uint64_t limb;
		memcpy(&limb, digest + 8 * i, 8);
		carry += s->limbs[i];
		carry += minus ? ~limb : limb; /* two's complement */
		s->limbs[i] = (uint64_t)carry;
		carry >>= 64;
	}
	s->count += minus ? (uint64_t)-1 : 1;
}

static void
pack_sums(const struct txn *t, struct buffer *out)
{
	for (unsigned i = 0; i < t->store->table_count; i++) {
		buffer_add_u64(out, t->sums[i].count);
		for (size_t k = 0; k < 4; k++)
			buffer_add_u64(out, t->sums[i].limbs[k]);
	}
}

static enum err
read_sums(struct store *s, struct btxn *raw, struct sum *sums)
{
	struct bytes value;
	struct reader r = { BYTES_NONE, OK };
	enum err e = s->ops->get(raw, META, bytes_str(sums_key), &value);

	if (e != OK)
		return e == ERR_NOT_FOUND ? ERR_CORRUPT : e;
	r.left = value;
	for (unsigned i = 0; i < s->table_count; i++) {
		sums[i].count = read_u64(&r);
		for (size_t k = 0; k < 4; k++)
			sums[i].limbs[k] = read_u64(&r);
	}
	return reader_finish(&r) == OK ? OK : ERR_CORRUPT;
}

/* --- opening --- */

static void
pack_kind(const struct store_layout *layout, struct buffer *out)
{
	buffer_add_u32(out, layout->version);
	buffer_add_u32(out, layout_table_count(layout));
	buffer_add_str(out, layout->kind);
}

static enum err
make_meta(struct store *s, struct btxn *raw)
{
	CLEANUP(buffer_release) struct buffer kind = { 0 }, sums = { 0 };
	struct txn nothing = { .store = s };
	enum err e;

	pack_kind(&s->layout, &kind);
	pack_sums(&nothing, &sums);
	e = s->ops->put(raw, META, bytes_str(kind_key), buffer_bytes(&kind));
	return e == OK ? s->ops->put(raw, META, bytes_str(sums_key), buffer_bytes(&sums)) : e;
}

static enum err
check_meta(const struct store *s, struct bytes value, char *why)
{
	struct reader r = { value, OK };
	uint32_t version = read_u32(&r), tables = read_u32(&r);
	struct bytes kind = read_bytes(&r, r.left.len);

	if (reader_finish(&r) != OK)
		return ERR_CORRUPT;
	if (!bytes_equal(kind, bytes_str(s->layout.kind))) {
		(void)snprintf(why, WHY_BYTES, "it is a %.*s, not a %s",
		    (int)(kind.len > 40 ? 40 : kind.len), (const char *)kind.at, s->layout.kind);
		return ERR_CONFIG;
	}
	if (version <= s->layout.version && tables == s->table_count)
		return OK;
	(void)snprintf(why, WHY_BYTES,
	    "it was written by a newer citex (%s version %u, this one knows %u)", s->layout.kind,
	    (unsigned)version, (unsigned)s->layout.version);
	return ERR_VERSION;
}

static enum err
make_or_check(struct store *s, char *why)
{
	struct btxn *raw = NULL;
	struct bytes value;
	enum err e = s->ops->begin(s->backend, true, &raw);

	if (e != OK)
		return e;
	e = s->ops->get(raw, META, bytes_str(kind_key), &value);
	if (e == ERR_NOT_FOUND) {
		e = make_meta(s, raw);
		if (e == OK)
			return s->ops->commit(raw);
	} else if (e == OK) {
		e = check_meta(s, value, why);
	}
	s->ops->end(raw);
	return e;
}

enum err
store_over(const struct backend_ops *ops, struct backend *b, const struct store_layout *layout,
    struct store **out, char *why)
{
	struct store *s = xalloc(sizeof(*s));
	enum err e;

	*s = (struct store){ ops, b, *layout, layout_table_count(layout) };
	why[0] = '\0';
	e = s->table_count <= TABLES_MAX ? make_or_check(s, why) : ERR_INTERNAL;
	if (e == OK) {
		*out = s;
		return OK;
	}
	if (why[0] == '\0')
		(void)snprintf(why, WHY_BYTES, "%s", err_words(e));
	store_close(s);
	return e;
}

void
store_close(struct store *s)
{
	if (s == NULL)
		return;
	s->ops->close(s->backend);
	free(s);
}

/* --- transactions --- */

static enum err
begin(struct store *s, bool write, struct txn **out)
{
	struct btxn *raw = NULL;
	struct txn *t;
	enum err e = s->ops->begin(s->backend, write, &raw);

	if (e != OK)
		return e;
	t = xalloc(sizeof(*t));
	t->store = s;
	t->raw = raw;
	t->write = write;
	if (write)
		e = read_sums(s, raw, t->sums);
	if (e == OK)
		*out = t;
	else
		store_end(t);
	return e;
}

enum err
store_begin(struct store *s, struct txn **out)
{
	return begin(s, true, out);
}

enum err
store_read(struct store *s, struct txn **out)
{
	return begin(s, false, out);
}

static void
txn_free(struct txn *t)
{
	buffer_wipe(&t->record);
	free(t);
}

void
store_end(struct txn *t)
{
	if (t == NULL)
		return;
	t->store->ops->end(t->raw);
	txn_free(t);
}

void
store_end_drop(struct txn **t)
{
	store_end(*t);
}

enum err
store_commit(struct txn *t)
{
	CLEANUP(buffer_release) struct buffer sums = { 0 };
	enum err e = OK;

	if (t->changed) {
		pack_sums(t, &sums);
		e = t->store->ops->put(t->raw, META, bytes_str(sums_key), buffer_bytes(&sums));
	}
	if (e == OK)
		e = t->store->ops->commit(t->raw);
	else
		t->store->ops->end(t->raw);
	txn_free(t);
	return e;
}

/* --- records --- */

/* KEY and VALUE as one run of bytes in T's buffer, behind room for the front. */
static enum err
pack_record(struct txn *t, struct bytes key, struct bytes value, uint8_t digest[DIGEST_BYTES])
{
	struct buffer *b = &t->record;
	uint8_t *front;

	buffer_clear(b);
	front = buffer_extend(b, RECORD_FRONT_BYTES);
	buffer_add(b, key);
	buffer_add(b, value);
	if (front == NULL || buffer_status(b) != OK)
		return ERR_NO_MEMORY;
	t->store->layout.digest(
	    (struct bytes){ b->at + RECORD_FRONT_BYTES, b->len - RECORD_FRONT_BYTES }, digest);
	b->at[0] = RECORD_VERSION;
	b->at[1] = (uint8_t)(key.len >> 8);
	b->at[2] = (uint8_t)key.len;
	memcpy(b->at + 3, digest, DIGEST_BYTES);
	return OK;
}

/* Take a record apart. Its digest is compared only when CHECK: a record that is overwritten was
 * looked at when read. */
static enum err
open_record(
    const struct store *s, struct bytes key, struct bytes record, struct bytes *value, bool check)
{
	uint8_t digest[DIGEST_BYTES];
	struct bytes all;
	size_t key_len;

	if (record.len < RECORD_FRONT_BYTES || record.at[0] != RECORD_VERSION)
		return ERR_CORRUPT;
	key_len = (size_t)record.at[1] << 8 | record.at[2];
	all = (struct bytes){ record.at + RECORD_FRONT_BYTES, record.len - RECORD_FRONT_BYTES };
	if (all.len < key_len || !bytes_equal((struct bytes){ all.at, key_len }, key))
		return ERR_CORRUPT;
	if (check) {
		s->layout.digest(all, digest);
		if (memcmp(digest, record.at + 3, DIGEST_BYTES) != 0)
			return ERR_CORRUPT;
	}
	*value = (struct bytes){ all.at + key_len, all.len - key_len };
	return OK;
}

enum err
store_get(struct txn *t, unsigned table, struct bytes key, struct bytes *value)
{
	struct bytes record;
	enum err e = t->store->ops->get(t->raw, table + 1, key, &record);

	return e == OK ? open_record(t->store, key, record, value, true) : e;
}

bool
store_has(struct txn *t, unsigned table, struct bytes key)
{
	struct bytes record;

	return t->store->ops->get(t->raw, table + 1, key, &record) == OK;
}

/* Take the old record under KEY, if there is one, out of the sum. */
static enum err
forget(struct txn *t, unsigned table, struct bytes key)
{
	struct bytes record, value;
	enum err e = t->store->ops->get(t->raw, table + 1, key, &record);

	if (e != OK)
		return e;
	e = open_record(t->store, key, record, &value, false);
	if (e == OK)
		sum_add(&t->sums[table], record.at + 3, true);
	return e;
}

enum err
store_put(struct txn *t, unsigned table, struct bytes key, struct bytes value)
{
	uint8_t digest[DIGEST_BYTES];
	struct sum before = t->sums[table];
	enum err e;

	if (key.len == 0 || key.len > STORE_KEY_MAX_BYTES || value.len > STORE_VALUE_MAX_BYTES)
		return ERR_TOO_LARGE;
	e = pack_record(t, key, value, digest);
	if (e != OK)
		return e;
	e = forget(t, table, key);
	if (e != OK && e != ERR_NOT_FOUND)
		return e;
	e = t->store->ops->put(t->raw, table + 1, key, buffer_bytes(&t->record));
	if (e != OK) {
		t->sums[table] = before;
		return e;
	}
	sum_add(&t->sums[table], digest, false);
	t->changed = true;
	return OK;
}

enum err
store_del(struct txn *t, unsigned table, struct bytes key)
{
	struct sum before = t->sums[table];
	enum err e = forget(t, table, key);

	if (e == OK)
		e = t->store->ops->del(t->raw, table + 1, key);
	if (e != OK)
		t->sums[table] = before;
	else
		t->changed = true;
	return e;
}

enum err
store_count(struct txn *t, unsigned table, uint64_t *count)
{
	struct sum sums[TABLES_MAX];
	enum err e = t->write ? OK : read_sums(t->store, t->raw, sums);

	if (e == OK)
		*count = t->write ? t->sums[table].count : sums[table].count;
	return e;
}

/* --- cursors --- */

enum err
cursor_new(struct txn *t, unsigned table, struct cursor **out)
{
	struct bcursor *raw = NULL;
	enum err e = t->store->ops->cursor(t->raw, table + 1, &raw);

	if (e != OK)
		return e;
	*out = xalloc(sizeof(**out));
	**out = (struct cursor){ t, table, raw };
	return OK;
}

void
cursor_free(struct cursor *c)
{
	if (c == NULL)
		return;
	c->txn->store->ops->cursor_free(c->raw);
	free(c);
}

void
cursor_drop(struct cursor **c)
{
	cursor_free(*c);
}

static enum err
opened(struct cursor *c, enum err e, struct bytes *key, struct bytes *value)
{
	return e == OK ? open_record(c->txn->store, *key, *value, value, true) : e;
}

enum err
cursor_seek(struct cursor *c, struct bytes from, struct bytes *key, struct bytes *value)
{
	return opened(c, c->txn->store->ops->seek(c->raw, from, key, value), key, value);
}

enum err
cursor_next(struct cursor *c, struct bytes *key, struct bytes *value)
{
	return opened(c, c->txn->store->ops->next(c->raw, key, value), key, value);
}

enum err
cursor_seek_before(struct cursor *c, struct bytes before, struct bytes *key, struct bytes *value)
{
	return opened(c, c->txn->store->ops->seek_before(c->raw, before, key, value), key, value);
}

enum err
cursor_prev(struct cursor *c, struct bytes *key, struct bytes *value)
{
	return opened(c, c->txn->store->ops->prev(c->raw, key, value), key, value);
}

/* --- the rest --- */

bool
store_is_low(struct store *s)
{
	return store_used_bytes(s) > store_limit_bytes(s) / 100 * STORE_LOW_MARK_PERCENT;
}

uint64_t
store_used_bytes(struct store *s)
{
	return s->ops->used_bytes(s->backend);
}

uint64_t
store_limit_bytes(struct store *s)
{
	return s->ops->limit_bytes(s->backend);
}

struct walk {
	void (*found)(void *arg, const char *table, struct bytes key, const char *words);
	void *arg;
	bool bad;
};

static void
damage(struct walk *w, const char *table, struct bytes key, const char *words)
{
	w->bad = true;
	w->found(w->arg, table, key, words);
}

static void
check_table(struct txn *t, unsigned table, const struct sum *expected, struct walk *w)
{
	const char *name = t->store->layout.tables[table];
	struct bcursor *c = NULL;
	struct bytes key, record, value;
	struct sum sum = { 0 };
	enum err e = t->store->ops->cursor(t->raw, table + 1, &c);

	for (e = e == OK ? t->store->ops->seek(c, BYTES_NONE, &key, &record) : e; e == OK;
	     e = t->store->ops->next(c, &key, &record)) {
		if (open_record(t->store, key, record, &value, true) == OK)
			sum_add(&sum, record.at + 3, false);
		else
			damage(w, name, key, "the record is damaged");
	}
	if (e != ERR_NOT_FOUND)
		damage(w, name, BYTES_NONE, err_words(e));
	if (sum.count != expected->count)
		damage(w, name, BYTES_NONE, "records are missing, or too many");
	else if (memcmp(sum.limbs, expected->limbs, sizeof(sum.limbs)) != 0)
		damage(w, name, BYTES_NONE, "the records are not those that were stored");
	if (c != NULL)
		t->store->ops->cursor_free(c);
}

enum err
store_check(struct store *s,
    void (*found)(void *arg, const char *table, struct bytes key, const char *words), void *arg)
{
	struct walk w = { found, arg, false };
	struct sum sums[TABLES_MAX];
	CLEANUP(store_end_drop) struct txn *t = NULL;
	enum err e = store_read(s, &t);

	if (e == OK)
		e = read_sums(s, t->raw, sums);
	if (e != OK) {
		damage(&w, "meta", BYTES_NONE, err_words(e));
		return ERR_CORRUPT;
	}
	for (unsigned i = 0; i < s->table_count; i++)
		check_table(t, i, &sums[i], &w);
	return w.bad ? ERR_CORRUPT : OK;
}

enum err
store_copy(struct store *s, const char *dir)
{
	return s->ops->copy(s->backend, dir, s->layout.kind);
}

enum err
store_mark_restored(struct store *s)
{
	struct btxn *raw = NULL;
	enum err e = s->ops->begin(s->backend, true, &raw);

	if (e != OK)
		return e;
	e = s->ops->put(raw, META, bytes_str(restored_key), bytes_str("1"));
	if (e == OK)
		return s->ops->commit(raw);
	s->ops->end(raw);
	return e;
}

bool
store_take_restored(struct txn *t)
{
	return t->store->ops->del(t->raw, META, bytes_str(restored_key)) == OK;
}
