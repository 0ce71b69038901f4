/* SPDX-License-Identifier: Apache-2.0 */
/* The office's tables on either store: what is written comes back, nothing of it lies open on the
 * disk, and a log that was tampered with is found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/office/book.h"
#include "proto/decode.h"

#define CANARY "Pembe-za-ndovu-Mombasa-4711"
#define NOW_MS 1766000000000LL

struct place {
	bool lmdb;
	char dir[64];
	struct sim_disk *disk;
	struct secret key;
	struct store *store;
	struct book *book;
};

static void
open_place(struct place *p)
{
	char why[200] = "";

	if (p->lmdb)
		assert_int_equal(
		    store_open_lmdb(p->dir, &book_layout, 64 * MIB, &p->store, why), OK);
	else
		assert_int_equal(store_open_sim(p->disk, &book_layout, &p->store), OK);
}

static void
open_book(struct place *p)
{
	open_place(p);
	assert_int_equal(book_new(p->store, &p->key, &p->book), OK);
}

static void
close_book(struct place *p)
{
	book_free(p->book);
	store_close(p->store);
	p->book = NULL;
	p->store = NULL;
}

static void
set_key(struct place *p, uint8_t fill)
{
	uint8_t key[32];

	memset(key, fill, sizeof(key));
	secret_release(&p->key);
	assert_int_equal(secret_from(&p->key, BYTES_OF(key)), OK);
}

static int
set_up(void **state, bool lmdb)
{
	struct place *p = xalloc(sizeof(*p));

	p->lmdb = lmdb;
	if (lmdb) {
		snprintf(p->dir, sizeof(p->dir), "%s", "/tmp/test_book-XXXXXX");
		assert_non_null(mkdtemp(p->dir));
	} else {
		p->disk = sim_disk_new(64 * MIB);
	}
	set_key(p, 9);
	open_book(p);
	*state = p;
	return 0;
}

static int
set_up_sim(void **state)
{
	return set_up(state, false);
}

static int
set_up_lmdb(void **state)
{
	return set_up(state, true);
}

static int
tear_down(void **state)
{
	static const char *const names[] = { "book.mdb", "book.mdb-lock", "book.lock" };
	struct place *p = *state;
	char path[128];

	close_book(p);
	if (!p->lmdb)
		sim_disk_free(p->disk);
	for (size_t i = 0; p->lmdb && i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", p->dir, names[i]);
		(void)unlink(path);
	}
	if (p->lmdb)
		(void)rmdir(p->dir);
	secret_release(&p->key);
	free(p);
	return 0;
}

static struct txn *
begin(struct place *p)
{
	struct txn *t = NULL;

	assert_int_equal(store_begin(p->store, &t), OK);
	return t;
}

static struct txn *
look(struct place *p)
{
	struct txn *t = NULL;

	assert_int_equal(store_read(p->store, &t), OK);
	return t;
}

static char *
text(const char *s)
{
	return (char *)(uintptr_t)s;
}

/* Ids whose last byte is N, their first bytes FRONT. */
static struct id
id_of(uint8_t front, uint8_t n)
{
	struct id id = { { 0x01, 0x93, front } };

	id.at[6] = 0x70;
	id.at[8] = 0x80;
	id.at[ID_BYTES - 1] = n;
	return id;
}

static enum err
put_message(
    struct place *p, struct txn *t, struct id id, struct id exchange, bool outgoing, int64_t filed)
{
	Citex__BookMessage m = CITEX__BOOK_MESSAGE__INIT;

	m.id = pb_of_bytes(id_bytes(&id));
	m.exchange = pb_of_bytes(id_bytes(&exchange));
	m.outgoing = outgoing;
	m.filed = (uint64_t)filed;
	m.content = pb_of_bytes(bytes_str(CANARY));
	m.subject = text(CANARY);
	return book_put_message(p->book, t, &m, true);
}

static void
file(struct place *p, uint8_t front, uint8_t n, bool outgoing, int64_t filed)
{
	struct txn *t = begin(p);

	assert_int_equal(put_message(p, t, id_of(front, n), id_of(front, 1), outgoing, filed), OK);
	assert_int_equal(store_commit(t), OK);
}

/* --- round trips --- */

static void
test_book_gives_back_what_was_put(void **state)
{
	struct place *p = *state;
	struct id id = id_of(1, 1);
	Citex__BookAddressee a = CITEX__BOOK_ADDRESSEE__INIT, *addressee = NULL;
	Citex__BookEnvelope e = CITEX__BOOK_ENVELOPE__INIT, *envelope = NULL;
	Citex__BookMessage *m = NULL;
	struct buffer got = { 0 };
	struct txn *t;

	file(p, 1, 1, false, NOW_MS);
	t = begin(p);
	a.authority = text("gb.ma");
	a.sequence = 7;
	assert_int_equal(book_put_addressee(p->book, t, id, 300, &a), OK);
	e.packed = pb_of_bytes(bytes_str("sealed"));
	assert_int_equal(book_put_envelope(p->book, t, id, &e), OK);
	assert_int_equal(book_put_slip(p->book, t, id, 3, bytes_str("slip")), OK);
	assert_int_equal(store_commit(t), OK);
	close_book(p);
	open_book(p);
	t = look(p);
	assert_int_equal(book_message(p->book, t, id, &m), OK);
	assert_string_equal(m->subject, CANARY);
	assert_int_equal(book_addressee(p->book, t, id, 300, &addressee), OK);
	assert_int_equal(addressee->sequence, 7);
	assert_int_equal(book_addressee(p->book, t, id, 301, &addressee), ERR_NOT_FOUND);
	assert_int_equal(book_envelope(p->book, t, id, &envelope), OK);
	assert_true(bytes_equal(bytes_of_pb(envelope->packed), bytes_str("sealed")));
	assert_int_equal(book_slip(p->book, t, id, 3, &got), OK);
	assert_true(bytes_equal(buffer_bytes(&got), bytes_str("slip")));
	assert_int_equal(book_slip(p->book, t, id, 2, &got), ERR_NOT_FOUND);
	store_end(t);
	proto_free(&m->base);
	proto_free(&addressee->base);
	proto_free(&envelope->base);
	buffer_release(&got);
}

static void
test_book_a_slip_is_kept_by_type(void **state)
{
	struct place *p = *state;
	struct buffer got = { 0 };
	struct txn *t = begin(p);

	for (unsigned type = 1; type <= 6; type++) {
		uint8_t word = (uint8_t)type;
		assert_int_equal(
		    book_put_slip(p->book, t, id_of(1, 1), type, (struct bytes){ &word, 1 }), OK);
	}
	for (unsigned type = 1; type <= 6; type++) {
		buffer_clear(&got);
		assert_int_equal(book_slip(p->book, t, id_of(1, 1), type, &got), OK);
		assert_int_equal(got.at[0], type);
	}
	store_end(t);
	buffer_release(&got);
}

static void
test_book_lists_hold_what_is_marked(void **state)
{
	struct place *p = *state;
	struct txn *t = begin(p);

	assert_int_equal(book_mark(p->book, t, LIST_UNSENT, id_of(1, 1)), OK);
	assert_int_equal(book_mark(p->book, t, LIST_UNSENT, id_of(1, 1)), OK);
	assert_true(book_is_marked(p->book, t, LIST_UNSENT, id_of(1, 1)));
	assert_false(book_is_marked(p->book, t, LIST_WAITING, id_of(1, 1)));
	assert_false(book_is_marked(p->book, t, LIST_UNSENT, id_of(1, 2)));
	assert_int_equal(book_unmark(p->book, t, LIST_UNSENT, id_of(1, 1)), OK);
	assert_int_equal(book_unmark(p->book, t, LIST_UNSENT, id_of(1, 1)), OK);
	assert_false(book_is_marked(p->book, t, LIST_UNSENT, id_of(1, 1)));
	store_end(t);
}

static void
test_book_counts_each_addressees_messages(void **state)
{
	static const struct {
		const char *to;
		uint64_t number;
	} rows[] = { { "gb.ma", 1 }, { "gb.ma", 2 }, { "de.ma", 1 }, { "gb.ma", 3 } };
	struct place *p = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct txn *t = begin(p);
		uint64_t got;
		assert_int_equal(book_next_sequence(p->book, t, rows[i].to, &got), OK);
		assert_int_equal(got, rows[i].number);
		assert_int_equal(store_commit(t), OK);
	}
}

static void
test_book_a_message_of_another_author_was_not_seen(void **state)
{
	struct place *p = *state;
	uint8_t digest[DIGEST_BYTES] = { 1 }, got[DIGEST_BYTES];
	struct txn *t = begin(p);

	assert_int_equal(book_put_seen(p->book, t, "gb.ma", id_of(1, 1), digest), OK);
	assert_int_equal(book_seen(p->book, t, "gb.ma", id_of(1, 1), got), OK);
	assert_memory_equal(got, digest, DIGEST_BYTES);
	assert_int_equal(book_seen(p->book, t, "gb.m", id_of(1, 1), got), ERR_NOT_FOUND);
	assert_int_equal(book_seen(p->book, t, "de.ma", id_of(1, 1), got), ERR_NOT_FOUND);
	store_end(t);
}

static void
test_book_chunks_are_found_by_root_or_handle(void **state)
{
	struct place *p = *state;
	uint8_t root[DIGEST_BYTES];
	struct id handle = id_of(5, 5), of_root;
	struct buffer got = { 0 };
	bool left = false;
	struct txn *t = begin(p);

	memset(root, 0x77, sizeof(root));
	memset(of_root.at, 0x77, ID_BYTES);
	assert_true(id_equal(book_handle(p->book, t, BYTES_OF(root)), of_root));
	assert_int_equal(book_put_root(p->book, t, BYTES_OF(root), handle), OK);
	assert_true(id_equal(book_handle(p->book, t, BYTES_OF(root)), handle));
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(book_put_chunk(p->book, t, handle, i, bytes_str("chunk")), OK);
	assert_int_equal(book_put_chunk(p->book, t, id_of(5, 6), 0, bytes_str("another")), OK);
	assert_int_equal(book_chunk(p->book, t, handle, 2, &got), OK);
	assert_int_equal(book_chunk(p->book, t, handle, 3, &got), ERR_NOT_FOUND);
	assert_int_equal(book_put_chunk(p->book, t, handle, 9, bytes_str("after a gap")), OK);
	assert_int_equal(book_del_chunks(p->book, t, handle, 2, &left), OK);
	assert_true(left);
	assert_true(book_has_chunk(p->book, t, handle, 2));
	assert_int_equal(book_del_chunks(p->book, t, handle, 3, &left), OK);
	assert_false(left);
	for (uint32_t i = 0; i < 10; i++)
		assert_false(book_has_chunk(p->book, t, handle, i));
	assert_true(book_has_chunk(p->book, t, id_of(5, 6), 0));
	store_end(t);
	buffer_release(&got);
}

/* A smaller directory leaves nothing of the larger one behind it. */
static void
test_book_keeps_the_newest_directory_only(void **state)
{
	static const size_t lengths[] = { 0, 1, 512 * KIB, 512 * KIB + 1, 3 * MIB, 100 };
	struct place *p = *state;
	uint8_t *large = xalloc(3 * MIB);

	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		struct buffer head = { 0 }, contents = { 0 };
		struct txn *t = begin(p);
		memset(large, (int)i + 1, lengths[i]);
		assert_int_equal(book_put_directory(p->book, t, bytes_str("head"),
				     (struct bytes){ large, lengths[i] }),
		    OK);
		assert_int_equal(store_commit(t), OK);
		t = look(p);
		assert_int_equal(book_directory(p->book, t, &head, &contents), OK);
		assert_true(
		    bytes_equal(buffer_bytes(&contents), (struct bytes){ large, lengths[i] }));
		store_end(t);
		buffer_release(&head);
		buffer_release(&contents);
	}
	free(large);
}

/* --- looking up and listing --- */

static void
test_book_finds_ids_by_their_beginning(void **state)
{
	static const struct {
		const char *what;
		enum err err;
		uint8_t front, n;
	} rows[] = {
		{ "01930100-0000-7000-8000-000000000001", OK, 1, 1 },
		{ "01930100-0000-7000-8000-000000000002", OK, 1, 2 },
		{ "01930200", OK, 2, 1 },
		{ "019302", OK, 2, 1 },
		{ "01930100", ERR_AMBIGUOUS, 0, 0 },
		{ "01930", ERR_AMBIGUOUS, 0, 0 },
		{ "01930300", ERR_NOT_FOUND, 0, 0 },
		{ "01930100-0000-7000-8000-000000000003", ERR_NOT_FOUND, 0, 0 },
		{ "nonsense", ERR_MALFORMED, 0, 0 },
		{ "", ERR_MALFORMED, 0, 0 },
	};
	struct place *p = *state;
	struct txn *t;

	file(p, 1, 1, false, NOW_MS);
	file(p, 1, 2, false, NOW_MS);
	file(p, 2, 1, true, NOW_MS);
	t = look(p);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct id id;
		enum err e = book_find(p->book, t, rows[i].what, &id);
		if (e != rows[i].err)
			fail_msg("%s: %s", rows[i].what, err_name(e));
		if (e == OK)
			assert_true(id_equal(id, id_of(rows[i].front, rows[i].n)));
	}
	store_end(t);
}

struct page {
	uint8_t seen[20];
	size_t count, stop_after;
	struct id last;
};

static bool
on_page(void *arg, const Citex__BookMessage *m)
{
	struct page *g = arg;

	assert_true(g->count < sizeof(g->seen));
	g->seen[g->count++] = m->id.data[ID_BYTES - 1];
	memcpy(g->last.at, m->id.data, ID_BYTES);
	return g->count != g->stop_after;
}

static void
test_book_lists_newest_first_page_by_page(void **state)
{
	struct place *p = *state;
	struct page g = { .stop_after = 3 };
	struct txn *t;

	/* the time of filing counts, not the id; of one time the higher id is newer */
	for (uint8_t n = 1; n <= 7; n++)
		file(p, 1, n, false, NOW_MS - n / 2 * 1000);
	file(p, 1, 8, true, NOW_MS + 1);
	t = look(p);
	assert_int_equal(book_list(p->book, t, BOX_INBOX, (struct id){ { 0 } }, on_page, &g), OK);
	assert_int_equal(g.count, 3);
	for (size_t before = 0; before != g.count;) {
		before = g.count;
		g.stop_after = g.count + 2;
		assert_int_equal(book_list(p->book, t, BOX_INBOX, g.last, on_page, &g), OK);
	}
	assert_int_equal(g.count, 7);
	assert_memory_equal(g.seen, ((uint8_t[]){ 1, 3, 2, 5, 4, 7, 6 }), 7);
	assert_int_equal(book_count(p->book, t, BOX_INBOX), 7);
	assert_int_equal(book_count(p->book, t, BOX_SENT), 1);
	assert_int_equal(book_list(p->book, t, BOX_INBOX, id_of(9, 9), on_page, &g), ERR_NOT_FOUND);
	store_end(t);
}

static void
test_book_an_exchange_is_its_messages_only(void **state)
{
	struct place *p = *state;
	struct page g = { .stop_after = 100 };
	struct txn *t;

	file(p, 1, 3, false, NOW_MS);
	file(p, 1, 1, true, NOW_MS + 5);
	file(p, 2, 2, false, NOW_MS);
	file(p, 1, 2, false, NOW_MS - 5);
	t = look(p);
	assert_int_equal(book_exchange(p->book, t, id_of(1, 1), on_page, &g), OK);
	assert_int_equal(g.count, 3);
	assert_memory_equal(g.seen, ((uint8_t[]){ 1, 2, 3 }), 3);
	store_end(t);
}

/* --- slips on their way out --- */

struct outgoing {
	uint64_t numbers[8];
	size_t count;
};

static bool
on_slip(void *arg, uint64_t number, struct bytes packed)
{
	struct outgoing *o = arg;

	(void)packed;
	assert_true(o->count < 8);
	o->numbers[o->count++] = number;
	return true;
}

static void
put_out_slip(struct place *p, struct outgoing *now)
{
	struct txn *t = begin(p);

	assert_int_equal(book_put_out_slip(p->book, t, bytes_str("slip")), OK);
	*now = (struct outgoing){ .count = 0 };
	assert_int_equal(book_each_out_slip(p->book, t, 0, on_slip, now), OK);
	assert_int_equal(store_commit(t), OK);
}

static void
test_book_lists_slips_behind_a_number(void **state)
{
	struct place *p = *state;
	struct outgoing all = { .count = 0 }, rest = { .count = 0 }, none = { .count = 0 };
	struct txn *t;

	for (int i = 0; i < 4; i++)
		put_out_slip(p, &all);
	assert_int_equal(all.count, 4);
	t = look(p);
	assert_int_equal(book_each_out_slip(p->book, t, all.numbers[1], on_slip, &rest), OK);
	assert_int_equal(rest.count, 2);
	assert_int_equal(rest.numbers[0], all.numbers[2]);
	assert_int_equal(book_each_out_slip(p->book, t, all.numbers[3], on_slip, &none), OK);
	assert_int_equal(none.count, 0);
	store_end(t);
}

static void
test_book_numbers_of_slips_never_come_again(void **state)
{
	struct place *p = *state;
	uint64_t last = 0;

	for (int i = 0; i < 4; i++) {
		struct outgoing o;
		struct txn *t;
		put_out_slip(p, &o);
		assert_int_equal(o.count, 1); /* the table was empty before */
		assert_true(o.numbers[0] > last);
		last = o.numbers[0];
		t = begin(p);
		assert_int_equal(book_del_out_slip(p->book, t, last), OK);
		assert_int_equal(book_del_out_slip(p->book, t, last), OK);
		assert_int_equal(store_commit(t), OK);
		close_book(p);
		open_book(p);
	}
}

/* --- the chained log --- */

static void
write_log(struct place *p, unsigned entries, const char *what)
{
	for (unsigned i = 0; i < entries; i++) {
		struct txn *t = begin(p);
		assert_int_equal(
		    book_audit(p->book, t, NOW_MS + i, "Wanjiru", "show", "id", what), OK);
		assert_int_equal(store_commit(t), OK);
	}
}

static unsigned
table_of(const char *name)
{
	unsigned i = 0;

	while (strcmp(book_layout.tables[i], name) != 0)
		i++;
	return i;
}

static struct bytes
audit_key(uint8_t *key, unsigned count)
{
	memset(key, 0, 8);
	key[7] = (uint8_t)count;
	return (struct bytes){ key, 8 };
}

/* The raw row of entry COUNT. */
static void
raw_entry(struct place *p, unsigned count, struct buffer *out)
{
	struct txn *t = look(p);
	struct bytes row;
	uint8_t key[8];

	assert_int_equal(store_get(t, table_of("audit"), audit_key(key, count), &row), OK);
	buffer_add(out, row);
	store_end(t);
}

static void
set_raw_entry(struct place *p, unsigned count, struct bytes row)
{
	struct txn *t = begin(p);
	uint8_t key[8];

	if (row.len > 0)
		assert_int_equal(store_put(t, table_of("audit"), audit_key(key, count), row), OK);
	else
		assert_int_equal(store_del(t, table_of("audit"), audit_key(key, count)), OK);
	assert_int_equal(store_commit(t), OK);
}

static bool
count_entry(void *arg, const Citex__BookAudit *a)
{
	(void)a;
	++*(unsigned *)arg;
	return true;
}

static enum err
walk(struct place *p, book_audit_fn *fn, void *arg)
{
	struct txn *t = look(p);
	enum err e = book_audit_walk(p->book, t, fn, arg);

	store_end(t);
	return e;
}

static void
test_book_log_is_whole_from_its_first_entry(void **state)
{
	struct place *p = *state;
	uint8_t head[DIGEST_BYTES], zero[DIGEST_BYTES] = { 0 };
	unsigned seen = 0;
	uint64_t count = 9;
	struct txn *t = look(p);

	assert_int_equal(book_audit_head(p->book, t, &count, head), OK);
	assert_int_equal(count, 0);
	assert_memory_equal(head, zero, sizeof(head));
	store_end(t);
	assert_int_equal(walk(p, NULL, NULL), OK);
	write_log(p, 5, "a");
	assert_int_equal(walk(p, NULL, NULL), OK);
	assert_int_equal(walk(p, count_entry, &seen), OK);
	assert_int_equal(seen, 5);
	t = look(p);
	assert_int_equal(book_audit_head(p->book, t, &count, head), OK);
	assert_int_equal(count, 5);
	store_end(t);
}

/* Each by somebody who can write the file; `forged' by somebody who has the key, too. */
enum tampering { ALTERED, DELETED, REORDERED, TRUNCATED, EMPTIED, FORGED };

static void
tamper(struct place *p, enum tampering how)
{
	struct buffer a = { 0 }, b = { 0 };
	struct place other = { .disk = sim_disk_new(MIB) };

	raw_entry(p, 2, &a);
	raw_entry(p, 3, &b);
	switch (how) {
	case ALTERED:
		a.at[a.len - 1] ^= 1;
		set_raw_entry(p, 2, buffer_bytes(&a));
		break;
	case DELETED:
		set_raw_entry(p, 2, BYTES_NONE);
		break;
	case REORDERED:
		set_raw_entry(p, 2, buffer_bytes(&b));
		set_raw_entry(p, 3, buffer_bytes(&a));
		break;
	case TRUNCATED:
		set_raw_entry(p, 4, BYTES_NONE);
		break;
	case EMPTIED:
		for (unsigned i = 1; i <= 4; i++)
			set_raw_entry(p, i, BYTES_NONE);
		break;
	case FORGED:
		set_key(&other, 9);
		open_book(&other);
		write_log(&other, 4, "another story");
		buffer_clear(&a);
		raw_entry(&other, 2, &a);
		set_raw_entry(p, 2, buffer_bytes(&a));
		close_book(&other);
		break;
	}
	secret_release(&other.key);
	sim_disk_free(other.disk);
	buffer_release(&a);
	buffer_release(&b);
}

static void
test_book_tampering_with_the_log_is_found(void **state)
{
	struct place *p = *state;

	for (enum tampering how = ALTERED; how <= FORGED; how++) {
		struct place q = { .disk = sim_disk_new(64 * MIB) };
		unsigned seen = 0;
		set_key(&q, 9);
		open_book(&q);
		write_log(&q, 4, "what was");
		assert_int_equal(walk(&q, NULL, NULL), OK);
		tamper(&q, how);
		if (walk(&q, NULL, NULL) != ERR_CORRUPT)
			fail_msg("tampering %d was not found", (int)how);
		if (walk(&q, count_entry, &seen) != ERR_CORRUPT)
			fail_msg("tampering %d was not found by who reads along", (int)how);
		close_book(&q);
		secret_release(&q.key);
		sim_disk_free(q.disk);
	}
	(void)p;
}

/* --- secrecy --- */

static void
test_book_another_key_opens_nothing(void **state)
{
	struct place *p = *state;
	struct book *b = NULL;

	file(p, 1, 1, false, NOW_MS);
	close_book(p);
	set_key(p, 10);
	open_place(p);
	assert_int_equal(book_new(p->store, &p->key, &b), ERR_CORRUPT);
	/* also not when the store was restored: it is not taken for a new one */
	assert_int_equal(store_mark_restored(p->store), OK);
	assert_int_equal(book_new(p->store, &p->key, &b), ERR_CORRUPT);
	store_close(p->store);
	set_key(p, 9);
	open_book(p);
}

static void
test_book_rows_do_not_open_under_another_key_of_the_table(void **state)
{
	struct place *p = *state;
	struct id one = id_of(1, 1), two = id_of(1, 2);
	Citex__BookMessage *m = NULL;
	struct buffer row = { 0 };
	struct bytes got;
	struct txn *t;

	file(p, 1, 1, false, NOW_MS);
	file(p, 1, 2, false, NOW_MS);
	t = begin(p);
	assert_int_equal(store_get(t, table_of("messages"), id_bytes(&one), &got), OK);
	buffer_add(&row, got);
	assert_int_equal(
	    store_put(t, table_of("messages"), id_bytes(&two), buffer_bytes(&row)), OK);
	assert_int_equal(book_message(p->book, t, two, &m), ERR_CORRUPT);
	assert_int_equal(book_message(p->book, t, one, &m), OK);
	proto_free(&m->base);
	store_end(t);
	buffer_release(&row);
}

static bool
file_holds(struct place *p, const char *word)
{
	CLEANUP(buffer_release) struct buffer all = { 0 };
	uint8_t piece[4096];
	char path[128];
	FILE *f;
	size_t got;

	snprintf(path, sizeof(path), "%s/book.mdb", p->dir);
	f = fopen(path, "rb");
	assert_non_null(f);
	while ((got = fread(piece, 1, sizeof(piece), f)) > 0)
		buffer_add(&all, (struct bytes){ piece, got });
	(void)fclose(f);
	return memmem(all.at, all.len, word, strlen(word)) != NULL;
}

static void
put_canary_everywhere(struct place *p, struct txn *t)
{
	Citex__BookAddressee a = CITEX__BOOK_ADDRESSEE__INIT;
	Citex__BookQuarantined q = CITEX__BOOK_QUARANTINED__INIT;
	struct id id = id_of(1, 1);
	uint64_t number;

	assert_int_equal(put_message(p, t, id, id, false, NOW_MS), OK);
	a.authority = a.words = a.reason = text(CANARY);
	assert_int_equal(book_put_addressee(p->book, t, id, 0, &a), OK);
	q.author = q.words = text(CANARY);
	assert_int_equal(book_put_quarantined(p->book, t, id, &q), OK);
	assert_int_equal(book_audit(p->book, t, NOW_MS, CANARY, CANARY, CANARY, CANARY), OK);
	assert_int_equal(book_next_sequence(p->book, t, CANARY, &number), OK);
	assert_int_equal(
	    book_put_seen(p->book, t, CANARY, id, (const uint8_t[DIGEST_BYTES]){ 1 }), OK);
	assert_int_equal(book_put_slip(p->book, t, id, 1, bytes_str(CANARY)), OK);
	assert_int_equal(book_put_out_slip(p->book, t, bytes_str(CANARY)), OK);
	assert_int_equal(book_put_directory(p->book, t, bytes_str(CANARY), bytes_str(CANARY)), OK);
}

static void
test_book_nothing_lies_open_on_the_disk(void **state)
{
	struct place *p = *state;
	struct txn *t = begin(p);

	put_canary_everywhere(p, t);
	assert_int_equal(store_commit(t), OK);
	close_book(p);
	assert_true(file_holds(p, "messages")); /* it is the right file, and names are seen */
	assert_false(file_holds(p, CANARY));
	open_book(p);
	t = begin(p);
	assert_int_equal(book_del_quarantined(p->book, t, id_of(1, 1)), OK);
	assert_int_equal(book_del_out_slip(p->book, t, 1), OK);
	assert_int_equal(store_commit(t), OK);
	close_book(p);
	assert_false(file_holds(p, CANARY));
	open_book(p);
}

/* --- incarnations, and steps that fail --- */

static void
test_book_a_restored_store_begins_a_new_incarnation(void **state)
{
	struct place *p = *state;
	uint8_t first[INCARNATION_BYTES], second[INCARNATION_BYTES];

	memcpy(first, book_incarnation(p->book), sizeof(first));
	close_book(p);
	open_book(p);
	assert_memory_equal(book_incarnation(p->book), first, sizeof(first));
	assert_int_equal(store_mark_restored(p->store), OK);
	close_book(p);
	open_book(p);
	memcpy(second, book_incarnation(p->book), sizeof(second));
	assert_memory_not_equal(first, second, sizeof(first));
	close_book(p);
	open_book(p);
	assert_memory_equal(book_incarnation(p->book), second, sizeof(second));
}

/* What an opened message writes in one transaction. */
static enum err
write_all(struct place *p, struct txn *t)
{
	static const uint8_t digest[DIGEST_BYTES] = { 4 };
	struct id id = id_of(3, 3);
	enum err e = put_message(p, t, id, id, false, NOW_MS);

	if (e == OK)
		e = book_put_seen(p->book, t, "gb.ma", id, digest);
	if (e == OK)
		e = book_mark(p->book, t, LIST_CLOCKS, id);
	if (e == OK)
		e = book_put_receipt(p->book, t, digest, bytes_str("receipt"));
	if (e == OK)
		e = book_put_out_slip(p->book, t, bytes_str("receipt"));
	return e == OK ? book_audit(p->book, t, NOW_MS, "", "filed", "id", "gb.ma") : e;
}

/* All of it or nothing. */
static bool
is_written(struct place *p)
{
	static const uint8_t digest[DIGEST_BYTES] = { 4 };
	CLEANUP(buffer_release) struct buffer receipt = { 0 };
	Citex__BookMessage *m = NULL;
	uint8_t head[DIGEST_BYTES];
	uint64_t count;
	struct outgoing o = { .count = 0 };
	struct txn *t = look(p);
	bool has = book_message(p->book, t, id_of(3, 3), &m) == OK;

	proto_free((ProtobufCMessage *)m);
	assert_int_equal(book_receipt(p->book, t, digest, &receipt) == OK, has);
	assert_int_equal(book_is_marked(p->book, t, LIST_CLOCKS, id_of(3, 3)), has);
	assert_int_equal(book_count(p->book, t, BOX_INBOX), has ? 1 : 0);
	assert_int_equal(book_each_out_slip(p->book, t, 0, on_slip, &o), OK);
	assert_int_equal(o.count, has ? 1 : 0);
	assert_int_equal(book_audit_head(p->book, t, &count, head), OK);
	assert_int_equal(count, has ? 1 : 0);
	store_end(t);
	assert_int_equal(walk(p, NULL, NULL), OK);
	return has;
}

static void
test_book_a_step_that_fails_leaves_no_half_state(void **state)
{
	struct place *p = *state;
	unsigned nth = 1;
	bool done = false;

	for (; !done && nth < 500; nth++) {
		struct txn *t = NULL;
		enum err e;
		sim_disk_fail(p->disk, nth);
		e = store_begin(p->store, &t);
		if (e == OK)
			e = write_all(p, t);
		if (e == OK) {
			e = store_commit(t);
			done = e == OK;
		} else if (t != NULL) {
			store_end(t);
		}
		sim_disk_fail(p->disk, 0);
		if (e == ERR_IO) { /* not known: the process ends, and looks again */
			sim_disk_crash(p->disk);
			close_book(p);
			open_book(p);
		}
		assert_int_equal(is_written(p), done);
	}
	assert_true(done);
	assert_in_range(nth, 15, 499); /* there were steps to fail at */
}

#define BOTH(test) \
	{ #test " (sim)", test, set_up_sim, tear_down, NULL }, \
	{ \
#test " (lmdb)", test, set_up_lmdb, tear_down, NULL \
	}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(test_book_gives_back_what_was_put),
		BOTH(test_book_a_slip_is_kept_by_type),
		BOTH(test_book_lists_hold_what_is_marked),
		BOTH(test_book_counts_each_addressees_messages),
		BOTH(test_book_a_message_of_another_author_was_not_seen),
		BOTH(test_book_chunks_are_found_by_root_or_handle),
		BOTH(test_book_keeps_the_newest_directory_only),
		BOTH(test_book_finds_ids_by_their_beginning),
		BOTH(test_book_lists_newest_first_page_by_page),
		BOTH(test_book_an_exchange_is_its_messages_only),
		BOTH(test_book_lists_slips_behind_a_number),
		BOTH(test_book_numbers_of_slips_never_come_again),
		BOTH(test_book_log_is_whole_from_its_first_entry),
		cmocka_unit_test_setup_teardown(
		    test_book_tampering_with_the_log_is_found, set_up_sim, tear_down),
		BOTH(test_book_another_key_opens_nothing),
		BOTH(test_book_rows_do_not_open_under_another_key_of_the_table),
		cmocka_unit_test_setup_teardown(
		    test_book_nothing_lies_open_on_the_disk, set_up_lmdb, tear_down),
		BOTH(test_book_a_restored_store_begins_a_new_incarnation),
		cmocka_unit_test_setup_teardown(
		    test_book_a_step_that_fails_leaves_no_half_state, set_up_sim, tear_down),
	};

	return cmocka_run_group_tests_name("book", tests, NULL, NULL);
}
