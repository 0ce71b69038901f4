/* SPDX-License-Identifier: Apache-2.0 */
/* The office's tables. Keys are built here and nowhere else; a value goes to
 * the store only through seal_value(), so that no plaintext can. */
#include "daemon/office/book.h"

#include <stdlib.h>
#include <string.h>

#include "pki/ossl.h"
#include "proto/decode.h"

#define NONCE_BYTES 12
#define KEY_BYTES 32

enum table {
	T_META, /* word; "facts": "meta" is the store's own */
	T_MESSAGES, /* message id */
	T_ADDRESSEES, /* message id, index (2) */
	T_INBOX, /* time (8), message id */
	T_SENT, /* time (8), message id */
	T_EXCHANGES, /* exchange id, message id */
	T_SLIPS, /* envelope id, type (1) */
	T_ENVELOPES, /* envelope id */
	T_LISTS, /* list (1), id */
	T_SEQUENCES, /* digest of the addressee */
	T_ARRIVED, /* envelope's digest */
	T_RECEIPTS, /* envelope's digest */
	T_SEEN, /* digest of author and message id */
	T_QUARANTINE, /* envelope id */
	T_OUT_SLIPS, /* number (8) */
	T_CHUNKS, /* handle, index (4) */
	T_ROOTS, /* root */
	T_AUDIT, /* count (8) */
	T_DIRECTORY, /* part (4) */
};
static const char *const tables[] = { "facts", "messages", "addressees", "inbox", "sent",
	"exchanges", "slips", "envelopes", "lists", "sequences", "arrived", "receipts", "seen",
	"quarantine", "out_slips", "chunks", "roots", "audit", "directory", NULL };

const struct store_layout book_layout = { "book", 1, tables, sha256 };

struct book {
	struct store *store;
	struct secret key;
	uint8_t incarnation[INCARNATION_BYTES];
};

/* A key on the stack. */
struct key {
	uint8_t at[64];
	size_t len;
};

static struct bytes
bytes_of_key(const struct key *k)
{
	return (struct bytes){ k->at, k->len };
}

static void
key_add(struct key *k, struct bytes more)
{
	memcpy(k->at + k->len, more.at, more.len);
	k->len += more.len;
}

static void
key_add_number(struct key *k, uint64_t v, unsigned size)
{
	for (unsigned i = 0; i < size; i++)
		k->at[k->len++] = (uint8_t)(v >> (8 * (size - 1 - i)));
}

static struct key
key_id(struct id id)
{
	struct key k = { .len = 0 };

	key_add(&k, id_bytes(&id));
	return k;
}

static struct key
key_digest(const uint8_t digest[DIGEST_BYTES])
{
	struct key k = { .len = 0 };

	key_add(&k, (struct bytes){ digest, DIGEST_BYTES });
	return k;
}

static struct key
key_number(uint64_t v, unsigned size)
{
	struct key k = { .len = 0 };

	key_add_number(&k, v, size);
	return k;
}

static struct key
key_word(const char *word)
{
	struct key k = { .len = 0 };

	key_add(&k, bytes_str(word));
	return k;
}

static struct key
key_id_number(struct id id, uint64_t v, unsigned size)
{
	struct key k = key_id(id);

	key_add_number(&k, v, size);
	return k;
}

/* --- values --- */

static void
aad_of(enum table table, struct bytes key, struct buffer *out)
{
	buffer_add_u8(out, (uint8_t)table);
	buffer_add(out, key);
}

static enum err
put_value(struct book *b, struct txn *t, enum table table, struct key k, struct bytes value)
{
	CLEANUP(buffer_release) struct buffer sealed = { 0 }, aad = { 0 };
	uint8_t nonce[NONCE_BYTES];
	enum err e;

	random_bytes(nonce, sizeof(nonce));
	buffer_add(&sealed, BYTES_OF(nonce));
	aad_of(table, bytes_of_key(&k), &aad);
	e = aead_seal(b->key.at, nonce, buffer_bytes(&aad), value, &sealed);
	return e == OK ? store_put(t, table, bytes_of_key(&k), buffer_bytes(&sealed)) : e;
}

static enum err
open_value(
    struct book *b, enum table table, struct bytes key, struct bytes sealed, struct buffer *out)
{
	CLEANUP(buffer_release) struct buffer aad = { 0 };

	if (sealed.len < NONCE_BYTES)
		return ERR_CORRUPT;
	aad_of(table, key, &aad);
	if (aead_open(b->key.at, sealed.at, buffer_bytes(&aad),
		(struct bytes){ sealed.at + NONCE_BYTES, sealed.len - NONCE_BYTES }, out) != OK)
		return ERR_CORRUPT;
	return OK;
}

/* Append the value under K to OUT. */
static enum err
get_value(struct book *b, struct txn *t, enum table table, struct key k, struct buffer *out)
{
	struct bytes sealed;
	enum err e = store_get(t, table, bytes_of_key(&k), &sealed);

	return e == OK ? open_value(b, table, bytes_of_key(&k), sealed, out) : e;
}

static enum err
put_record(struct book *b, struct txn *t, enum table table, struct key k, const ProtobufCMessage *m)
{
	CLEANUP(buffer_wipe) struct buffer packed = { 0 };

	proto_pack(m, &packed);
	return buffer_status(&packed) == OK ? put_value(b, t, table, k, buffer_bytes(&packed))
					    : ERR_NO_MEMORY;
}

static enum err
unpack_record(const ProtobufCMessageDescriptor *d, struct buffer *packed, ProtobufCMessage **out)
{
	return proto_unpack(d, buffer_bytes(packed), out) == OK ? OK : ERR_CORRUPT;
}

static enum err
get_record(struct book *b, struct txn *t, enum table table, struct key k,
    const ProtobufCMessageDescriptor *d, void *out)
{
	CLEANUP(buffer_wipe) struct buffer packed = { 0 };
	enum err e = get_value(b, t, table, k, &packed);

	return e == OK ? unpack_record(d, &packed, out) : e;
}

static enum err
del(struct txn *t, enum table table, struct key k)
{
	return store_del(t, table, bytes_of_key(&k));
}

/* Call FN for each key (and sealed value) of TABLE that begins with FRONT, from FROM on; false
 * stops. */
typedef bool row_fn(void *arg, struct bytes key, struct bytes sealed);
static enum err
each_row_from(
    struct txn *t, enum table table, struct bytes from, struct bytes front, row_fn *fn, void *arg)
{
	CLEANUP(cursor_drop) struct cursor *c = NULL;
	struct bytes key, sealed;
	enum err e = cursor_new(t, table, &c);

	if (e != OK)
		return e;
	for (e = cursor_seek(c, from, &key, &sealed); e == OK; e = cursor_next(c, &key, &sealed)) {
		if (key.len < front.len ||
		    (front.len > 0 && memcmp(key.at, front.at, front.len) != 0) ||
		    !fn(arg, key, sealed))
			return OK;
	}
	return e == ERR_NOT_FOUND ? OK : e;
}

static enum err
each_row(struct txn *t, enum table table, struct bytes front, row_fn *fn, void *arg)
{
	return each_row_from(t, table, front, front, fn, arg);
}

/* --- the book --- */

static enum err
begin_incarnation(struct book *b, struct txn *t)
{
	CLEANUP(buffer_release) struct buffer was = { 0 };
	bool restored = store_take_restored(t);
	enum err e = get_value(b, t, T_META, key_word("incarnation"), &was);

	if (e == OK && !restored && was.len == INCARNATION_BYTES) {
		memcpy(b->incarnation, was.at, INCARNATION_BYTES);
		return OK;
	}
	if (e != OK && e != ERR_NOT_FOUND)
		return e;
	random_bytes(b->incarnation, sizeof(b->incarnation));
	return put_value(b, t, T_META, key_word("incarnation"), BYTES_OF(b->incarnation));
}

enum err
book_new(struct store *s, const struct secret *key, struct book **out)
{
	struct book *b = xalloc(sizeof(*b));
	struct txn *t = NULL;
	enum err e = key->len == KEY_BYTES ? secret_from(&b->key, secret_bytes(key)) : ERR_INTERNAL;

	b->store = s;
	if (e == OK)
		e = store_begin(s, &t);
	if (e == OK) {
		e = begin_incarnation(b, t);
		if (e == OK)
			e = store_commit(t);
		else
			store_end(t);
	}
	if (e == OK)
		*out = b;
	else
		book_free(b);
	return e;
}

void
book_free(struct book *b)
{
	if (b == NULL)
		return;
	secret_release(&b->key);
	free(b);
}

struct store *
book_store(struct book *b)
{
	return b->store;
}

const uint8_t *
book_incarnation(const struct book *b)
{
	return b->incarnation;
}

/* --- messages --- */

enum err
book_message(struct book *b, struct txn *t, struct id id, Citex__BookMessage **out)
{
	return get_record(b, t, T_MESSAGES, key_id(id), &citex__book_message__descriptor, out);
}

static struct key
box_key(const Citex__BookMessage *m)
{
	struct key k = key_number(m->filed, 8);

	key_add(&k, bytes_of_pb(m->id));
	return k;
}

enum err
book_put_message(struct book *b, struct txn *t, const Citex__BookMessage *m, bool is_new)
{
	struct id id, exchange;
	struct key k;
	enum err e = id_from_bytes(bytes_of_pb(m->id), &id);

	if (e == OK)
		e = id_from_bytes(bytes_of_pb(m->exchange), &exchange);
	if (e == OK)
		e = put_record(b, t, T_MESSAGES, key_id(id), &m->base);
	if (e != OK || !is_new)
		return e;
	k = key_id(exchange);
	key_add(&k, id_bytes(&id));
	e = put_value(b, t, T_EXCHANGES, k, BYTES_NONE);
	return e == OK ? put_value(b, t, m->outgoing ? T_SENT : T_INBOX, box_key(m), BYTES_NONE)
		       : e;
}

enum err
book_addressee(
    struct book *b, struct txn *t, struct id message, unsigned index, Citex__BookAddressee **out)
{
	return get_record(b, t, T_ADDRESSEES, key_id_number(message, index, 2),
	    &citex__book_addressee__descriptor, out);
}

enum err
book_put_addressee(
    struct book *b, struct txn *t, struct id message, unsigned index, const Citex__BookAddressee *a)
{
	return put_record(b, t, T_ADDRESSEES, key_id_number(message, index, 2), &a->base);
}

struct finding {
	struct id high, found;
	unsigned count;
};

static bool
on_candidate(void *arg, struct bytes key, struct bytes sealed)
{
	struct finding *f = arg;
	struct id id;

	(void)sealed;
	memcpy(id.at, key.at, ID_BYTES);
	if (memcmp(id.at, f->high.at, ID_BYTES) > 0)
		return false;
	if (f->count == 0 || !id_equal(id, f->found))
		f->count++;
	f->found = id;
	return f->count < 2;
}

enum err
book_find(struct book *b, struct txn *t, const char *text, struct id *out)
{
	struct finding f = { .count = 0 };
	struct id low;
	CLEANUP(cursor_drop) struct cursor *c = NULL;
	struct bytes key, sealed;
	enum err e = id_prefix(text, &low, &f.high);

	(void)b;
	if (e == OK)
		e = cursor_new(t, T_MESSAGES, &c);
	if (e != OK)
		return e;
	for (e = cursor_seek(c, id_bytes(&low), &key, &sealed); e == OK;
	     e = cursor_next(c, &key, &sealed)) {
		if (!on_candidate(&f, key, sealed))
			break;
	}
	if (e != OK && e != ERR_NOT_FOUND)
		return e;
	if (f.count != 1)
		return f.count == 0 ? ERR_NOT_FOUND : ERR_AMBIGUOUS;
	*out = f.found;
	return OK;
}

static enum err
start_of_list(struct book *b, struct txn *t, struct id after, struct key *out)
{
	Citex__BookMessage *m = NULL;
	enum err e;

	out->len = 0;
	if (id_is_zero(after))
		return OK;
	e = book_message(b, t, after, &m);
	if (e == OK)
		*out = box_key(m);
	proto_wipe((ProtobufCMessage *)m);
	return e;
}

enum err
book_list(
    struct book *b, struct txn *t, enum box box, struct id after, book_message_fn *fn, void *arg)
{
	CLEANUP(cursor_drop) struct cursor *c = NULL;
	struct bytes key, sealed;
	struct key from;
	bool more = true;
	enum err e = start_of_list(b, t, after, &from);

	if (e == OK)
		e = cursor_new(t, box == BOX_SENT ? T_SENT : T_INBOX, &c);
	if (e != OK)
		return e;
	for (e = cursor_seek_before(c, bytes_of_key(&from), &key, &sealed); e == OK && more;
	     e = more ? cursor_prev(c, &key, &sealed) : OK) {
		Citex__BookMessage *m = NULL;
		struct id id;
		memcpy(id.at, key.at + 8, ID_BYTES);
		e = book_message(b, t, id, &m);
		if (e != OK)
			return e;
		more = fn(arg, m);
		proto_wipe(&m->base);
	}
	return e == ERR_NOT_FOUND ? OK : e;
}

struct exchange_walk {
	struct book *book;
	struct txn *txn;
	book_message_fn *fn;
	void *arg;
	enum err err;
};

static bool
on_exchange_row(void *arg, struct bytes key, struct bytes sealed)
{
	struct exchange_walk *w = arg;
	Citex__BookMessage *m = NULL;
	struct id id;
	bool more;

	(void)sealed;
	memcpy(id.at, key.at + ID_BYTES, ID_BYTES);
	w->err = book_message(w->book, w->txn, id, &m);
	if (w->err != OK)
		return false;
	more = w->fn(w->arg, m);
	proto_wipe(&m->base);
	return more;
}

enum err
book_exchange(struct book *b, struct txn *t, struct id exchange, book_message_fn *fn, void *arg)
{
	struct exchange_walk w = { b, t, fn, arg, OK };
	enum err e = each_row(t, T_EXCHANGES, id_bytes(&exchange), on_exchange_row, &w);

	return e == OK ? w.err : e;
}

uint64_t
book_count(struct book *b, struct txn *t, enum box box)
{
	static const enum table of[] = { T_INBOX, T_SENT, T_QUARANTINE };
	uint64_t count = 0;

	(void)b;
	return store_count(t, of[box], &count) == OK ? count : 0;
}

/* --- slips and envelopes --- */

enum err
book_put_slip(struct book *b, struct txn *t, struct id envelope, unsigned type, struct bytes packed)
{
	return put_value(b, t, T_SLIPS, key_id_number(envelope, type, 1), packed);
}

struct id
book_arrival_name(const uint8_t digest[DIGEST_BYTES])
{
	struct id name;

	memcpy(name.at, digest, sizeof(name.at));
	return name;
}

enum err
book_slip(struct book *b, struct txn *t, struct id envelope, unsigned type, struct buffer *packed)
{
	return get_value(b, t, T_SLIPS, key_id_number(envelope, type, 1), packed);
}

enum err
book_envelope(struct book *b, struct txn *t, struct id envelope, Citex__BookEnvelope **out)
{
	return get_record(
	    b, t, T_ENVELOPES, key_id(envelope), &citex__book_envelope__descriptor, out);
}

struct id_walk {
	book_id_fn *fn;
	void *arg;
	size_t front;
};

static bool
on_id_row(void *arg, struct bytes key, struct bytes sealed)
{
	struct id_walk *w = arg;
	struct id id;

	(void)sealed;
	memcpy(id.at, key.at + w->front, ID_BYTES);
	return w->fn(w->arg, id);
}

enum err
book_each_envelope(struct book *b, struct txn *t, struct id after, book_id_fn *fn, void *arg)
{
	struct id_walk w = { fn, arg, 0 };
	struct key from = key_id(after);

	(void)b;
	if (!id_is_zero(after))
		key_add_number(&from, 0, 1); /* behind it */
	return each_row_from(t, T_ENVELOPES, bytes_of_key(&from), BYTES_NONE, on_id_row, &w);
}

static struct key
key_spool(const char *node)
{
	uint8_t digest[DIGEST_BYTES];
	struct key k = key_word("spool");

	sha256(bytes_str(node), digest);
	key_add(&k, BYTES_OF(digest));
	return k;
}

enum err
book_spool(struct book *b, struct txn *t, const char *node, uint8_t *out)
{
	CLEANUP(buffer_release) struct buffer was = { 0 };
	enum err e = get_value(b, t, T_META, key_spool(node), &was);

	if (e == OK && was.len != INCARNATION_BYTES)
		e = ERR_CORRUPT;
	if (e == OK)
		memcpy(out, was.at, INCARNATION_BYTES);
	return e;
}

enum err
book_put_spool(struct book *b, struct txn *t, const char *node, const uint8_t *incarnation)
{
	return put_value(
	    b, t, T_META, key_spool(node), (struct bytes){ incarnation, INCARNATION_BYTES });
}

enum err
book_put_envelope(struct book *b, struct txn *t, struct id envelope, const Citex__BookEnvelope *e)
{
	return put_record(b, t, T_ENVELOPES, key_id(envelope), &e->base);
}

enum err
book_pruned(struct book *b, struct txn *t, struct id *out)
{
	CLEANUP(buffer_release) struct buffer was = { 0 };
	enum err e = get_value(b, t, T_META, key_word("pruned"), &was);

	*out = (struct id){ { 0 } };
	if (e == OK)
		e = id_from_bytes(buffer_bytes(&was), out);
	return e == ERR_NOT_FOUND ? OK : e;
}

enum err
book_put_pruned(struct book *b, struct txn *t, struct id envelope)
{
	return put_value(b, t, T_META, key_word("pruned"), id_bytes(&envelope));
}

static struct key
list_key(unsigned list, struct id id)
{
	struct key k = key_number(list, 1);

	key_add(&k, id_bytes(&id));
	return k;
}

enum err
book_mark(struct book *b, struct txn *t, unsigned list, struct id id)
{
	return put_value(b, t, T_LISTS, list_key(list, id), BYTES_NONE);
}

enum err
book_unmark(struct book *b, struct txn *t, unsigned list, struct id id)
{
	enum err e = del(t, T_LISTS, list_key(list, id));

	(void)b;
	return e == ERR_NOT_FOUND ? OK : e;
}

bool
book_is_marked(struct book *b, struct txn *t, unsigned list, struct id id)
{
	struct key k = list_key(list, id);

	(void)b;
	return store_has(t, T_LISTS, bytes_of_key(&k));
}

enum err
book_each_marked(struct book *b, struct txn *t, unsigned list, book_id_fn *fn, void *arg)
{
	struct id_walk w = { fn, arg, 1 };
	struct key k = key_number(list, 1);

	(void)b;
	return each_row(t, T_LISTS, bytes_of_key(&k), on_id_row, &w);
}

enum err
book_each_marked_after(
    struct book *b, struct txn *t, unsigned list, struct id after, book_id_fn *fn, void *arg)
{
	struct id_walk w = { fn, arg, 1 };
	struct key front = key_number(list, 1), from = list_key(list, after);

	(void)b;
	if (!id_is_zero(after))
		key_add_number(&from, 0, 1); /* behind it */
	return each_row_from(t, T_LISTS, bytes_of_key(&from), bytes_of_key(&front), on_id_row, &w);
}

struct id
book_notice_id(struct id message, const char *authority, int64_t date_ms)
{
	CLEANUP(buffer_release) struct buffer all = { 0 };
	uint8_t digest[DIGEST_BYTES];
	struct id id;

	buffer_add(&all, id_bytes(&message));
	buffer_add_u64(&all, (uint64_t)date_ms);
	buffer_add_str(&all, authority);
	sha256(buffer_bytes(&all), digest);
	memcpy(id.at, digest, ID_BYTES);
	return id;
}

enum err
book_next_sequence(struct book *b, struct txn *t, const char *addressee, uint64_t *out)
{
	CLEANUP(buffer_release) struct buffer was = { 0 }, is = { 0 };
	uint8_t digest[DIGEST_BYTES];
	struct reader r;
	enum err e;

	sha256(bytes_str(addressee), digest);
	e = get_value(b, t, T_SEQUENCES, key_digest(digest), &was);
	if (e != OK && e != ERR_NOT_FOUND)
		return e;
	r = (struct reader){ buffer_bytes(&was), OK };
	*out = e == OK ? read_u64(&r) + 1 : 1;
	buffer_add_u64(&is, *out);
	return put_value(b, t, T_SEQUENCES, key_digest(digest), buffer_bytes(&is));
}

/* --- what arrived --- */

enum err
book_arrived(
    struct book *b, struct txn *t, const uint8_t digest[DIGEST_BYTES], Citex__BookArrived **out)
{
	return get_record(
	    b, t, T_ARRIVED, key_digest(digest), &citex__book_arrived__descriptor, out);
}

enum err
book_put_arrived(
    struct book *b, struct txn *t, const uint8_t digest[DIGEST_BYTES], const Citex__BookArrived *a)
{
	return put_record(b, t, T_ARRIVED, key_digest(digest), &a->base);
}

enum err
book_del_arrived(struct book *b, struct txn *t, const uint8_t digest[DIGEST_BYTES])
{
	(void)b;
	return del(t, T_ARRIVED, key_digest(digest));
}

struct digest_walk {
	book_digest_fn *fn;
	void *arg;
};

static bool
on_digest_row(void *arg, struct bytes key, struct bytes sealed)
{
	struct digest_walk *w = arg;

	(void)sealed;
	return w->fn(w->arg, key.at);
}

enum err
book_each_arrived(struct book *b, struct txn *t, book_digest_fn *fn, void *arg)
{
	struct digest_walk w = { fn, arg };

	(void)b;
	return each_row(t, T_ARRIVED, BYTES_NONE, on_digest_row, &w);
}

enum err
book_receipt(
    struct book *b, struct txn *t, const uint8_t digest[DIGEST_BYTES], struct buffer *packed)
{
	return get_value(b, t, T_RECEIPTS, key_digest(digest), packed);
}

enum err
book_put_receipt(
    struct book *b, struct txn *t, const uint8_t digest[DIGEST_BYTES], struct bytes packed)
{
	return put_value(b, t, T_RECEIPTS, key_digest(digest), packed);
}

enum err
book_del_receipt(struct book *b, struct txn *t, const uint8_t digest[DIGEST_BYTES])
{
	(void)b;
	return del(t, T_RECEIPTS, key_digest(digest));
}

static struct key
seen_key(const char *author, struct id message)
{
	CLEANUP(buffer_release) struct buffer both = { 0 };
	uint8_t digest[DIGEST_BYTES];

	buffer_add(&both, id_bytes(&message));
	buffer_add_str(&both, author);
	sha256(buffer_bytes(&both), digest);
	return key_digest(digest);
}

enum err
book_seen(
    struct book *b, struct txn *t, const char *author, struct id message, uint8_t out[DIGEST_BYTES])
{
	CLEANUP(buffer_release) struct buffer was = { 0 };
	enum err e = get_value(b, t, T_SEEN, seen_key(author, message), &was);

	if (e != OK)
		return e;
	if (was.len != DIGEST_BYTES)
		return ERR_CORRUPT;
	memcpy(out, was.at, DIGEST_BYTES);
	return OK;
}

enum err
book_put_seen(struct book *b, struct txn *t, const char *author, struct id message,
    const uint8_t digest[DIGEST_BYTES])
{
	return put_value(
	    b, t, T_SEEN, seen_key(author, message), (struct bytes){ digest, DIGEST_BYTES });
}

enum err
book_quarantined(struct book *b, struct txn *t, struct id envelope, Citex__BookQuarantined **out)
{
	return get_record(
	    b, t, T_QUARANTINE, key_id(envelope), &citex__book_quarantined__descriptor, out);
}

enum err
book_put_quarantined(
    struct book *b, struct txn *t, struct id envelope, const Citex__BookQuarantined *q)
{
	return put_record(b, t, T_QUARANTINE, key_id(envelope), &q->base);
}

enum err
book_del_quarantined(struct book *b, struct txn *t, struct id envelope)
{
	(void)b;
	return del(t, T_QUARANTINE, key_id(envelope));
}

struct quarantine_walk {
	struct book *book;
	book_quarantined_fn *fn;
	void *arg;
	enum err err;
};

static bool
on_quarantine_row(void *arg, struct bytes key, struct bytes sealed)
{
	struct quarantine_walk *w = arg;
	CLEANUP(buffer_wipe) struct buffer packed = { 0 };
	Citex__BookQuarantined *q = NULL;
	struct id id;
	bool more;

	memcpy(id.at, key.at, ID_BYTES);
	w->err = open_value(w->book, T_QUARANTINE, key, sealed, &packed);
	if (w->err == OK)
		w->err = unpack_record(
		    &citex__book_quarantined__descriptor, &packed, (ProtobufCMessage **)&q);
	if (w->err != OK)
		return false;
	more = w->fn(w->arg, id, q);
	proto_free(&q->base);
	return more;
}

enum err
book_each_quarantined(struct book *b, struct txn *t, book_quarantined_fn *fn, void *arg)
{
	struct quarantine_walk w = { b, fn, arg, OK };
	enum err e = each_row(t, T_QUARANTINE, BYTES_NONE, on_quarantine_row, &w);

	return e == OK ? w.err : e;
}

/* --- slips on their way out --- */

/* Numbers never come again, also when the table has been empty: whoever remembers one knows what is
 * newer. */
static enum err
next_number(struct book *b, struct txn *t, uint64_t *out)
{
	CLEANUP(buffer_release) struct buffer was = { 0 }, is = { 0 };
	struct reader r;
	enum err e = get_value(b, t, T_META, key_word("out_slip"), &was);

	if (e != OK && e != ERR_NOT_FOUND)
		return e;
	r = (struct reader){ buffer_bytes(&was), OK };
	*out = e == OK ? read_u64(&r) + 1 : 1;
	buffer_add_u64(&is, *out);
	return put_value(b, t, T_META, key_word("out_slip"), buffer_bytes(&is));
}

enum err
book_put_out_slip(struct book *b, struct txn *t, struct bytes packed)
{
	uint64_t number;
	enum err e = next_number(b, t, &number);

	return e == OK ? put_value(b, t, T_OUT_SLIPS, key_number(number, 8), packed) : e;
}

enum err
book_out_slip(struct book *b, struct txn *t, uint64_t number, struct buffer *packed)
{
	return get_value(b, t, T_OUT_SLIPS, key_number(number, 8), packed);
}

enum err
book_del_out_slip(struct book *b, struct txn *t, uint64_t number)
{
	enum err e = del(t, T_OUT_SLIPS, key_number(number, 8));

	(void)b;
	return e == ERR_NOT_FOUND ? OK : e;
}

struct slip_walk {
	struct book *book;
	book_slip_fn *fn;
	void *arg;
	enum err err;
};

static bool
on_slip_row(void *arg, struct bytes key, struct bytes sealed)
{
	struct slip_walk *w = arg;
	CLEANUP(buffer_release) struct buffer packed = { 0 };
	struct reader r = { key, OK };

	w->err = open_value(w->book, T_OUT_SLIPS, key, sealed, &packed);
	return w->err == OK && w->fn(w->arg, read_u64(&r), buffer_bytes(&packed));
}

enum err
book_each_out_slip(struct book *b, struct txn *t, uint64_t after, book_slip_fn *fn, void *arg)
{
	struct slip_walk w = { b, fn, arg, OK };
	struct key from = key_number(after + 1, 8);
	enum err e =
	    each_row_from(t, T_OUT_SLIPS, bytes_of_key(&from), BYTES_NONE, on_slip_row, &w);

	return e == OK ? w.err : e;
}

/* --- chunks: ciphertext already --- */

enum err
book_put_chunk(struct book *b, struct txn *t, struct id handle, uint32_t index, struct bytes data)
{
	struct key k = key_id_number(handle, index, 4);

	(void)b;
	return store_put(t, T_CHUNKS, bytes_of_key(&k), data);
}

enum err
book_chunk(struct book *b, struct txn *t, struct id handle, uint32_t index, struct buffer *out)
{
	struct key k = key_id_number(handle, index, 4);
	struct bytes data;
	enum err e = store_get(t, T_CHUNKS, bytes_of_key(&k), &data);

	(void)b;
	if (e == OK)
		buffer_add(out, data);
	return e;
}

bool
book_has_chunk(struct book *b, struct txn *t, struct id handle, uint32_t index)
{
	struct key k = key_id_number(handle, index, 4);

	(void)b;
	return store_has(t, T_CHUNKS, bytes_of_key(&k));
}

struct chunk_walk {
	uint32_t *indexes;
	unsigned count, max;
};

static bool
on_chunk_row(void *arg, struct bytes key, struct bytes sealed)
{
	struct chunk_walk *w = arg;
	struct reader r = { { key.at + ID_BYTES, key.len - ID_BYTES }, OK };

	(void)sealed;
	w->indexes[w->count++] = read_u32(&r);
	return w->count < w->max;
}

enum err
book_del_chunks(struct book *b, struct txn *t, struct id handle, unsigned max, bool *left)
{
	struct chunk_walk w = { xalloc_array(max, sizeof(uint32_t)), 0, max };
	enum err e = each_row(t, T_CHUNKS, id_bytes(&handle), on_chunk_row, &w);

	(void)b;
	for (unsigned i = 0; e == OK && i < w.count; i++)
		e = del(t, T_CHUNKS, key_id_number(handle, w.indexes[i], 4));
	*left = w.count == max;
	free(w.indexes);
	return e;
}

enum err
book_put_root(struct book *b, struct txn *t, struct bytes root, struct id handle)
{
	struct key k = { .len = 0 };

	key_add(&k, root);
	return put_value(b, t, T_ROOTS, k, id_bytes(&handle));
}

bool
book_has_root(struct book *b, struct txn *t, struct bytes root)
{
	struct key k = { .len = 0 };

	(void)b;
	key_add(&k, root);
	return store_has(t, T_ROOTS, bytes_of_key(&k));
}

struct id
book_handle(struct book *b, struct txn *t, struct bytes root)
{
	CLEANUP(buffer_release) struct buffer got = { 0 };
	struct key k = { .len = 0 };
	struct id id;

	key_add(&k, root);
	if (get_value(b, t, T_ROOTS, k, &got) != OK || id_from_bytes(buffer_bytes(&got), &id) != OK)
		memcpy(id.at, root.at, ID_BYTES);
	return id;
}

/* --- the chained log --- */

static void
audit_digest(const Citex__BookAudit *a, uint8_t out[DIGEST_BYTES])
{
	CLEANUP(buffer_wipe) struct buffer packed = { 0 };

	proto_pack(&a->base, &packed);
	sha256(buffer_bytes(&packed), out);
}

/* The head stands in meta: count and digest of the last entry, so that a log cut short is found. */
enum err
book_audit_head(struct book *b, struct txn *t, uint64_t *count, uint8_t head[DIGEST_BYTES])
{
	CLEANUP(buffer_release) struct buffer was = { 0 };
	struct reader r;
	enum err e = get_value(b, t, T_META, key_word("audit"), &was);

	*count = 0;
	memset(head, 0, DIGEST_BYTES);
	if (e != OK)
		return e == ERR_NOT_FOUND ? OK : e;
	r = (struct reader){ buffer_bytes(&was), OK };
	*count = read_u64(&r);
	read_copy(&r, head, DIGEST_BYTES);
	return reader_finish(&r) == OK ? OK : ERR_CORRUPT;
}

enum err
book_audit(struct book *b, struct txn *t, int64_t now_ms, const char *officer, const char *act,
    const char *id, const char *what)
{
	Citex__BookAudit a = CITEX__BOOK_AUDIT__INIT;
	CLEANUP(buffer_release) struct buffer is = { 0 };
	uint8_t head[DIGEST_BYTES];
	uint64_t count;
	enum err e = book_audit_head(b, t, &count, head);

	if (e != OK)
		return e;
	a.count = count + 1;
	a.time = (uint64_t)now_ms;
	a.officer = (char *)(uintptr_t)officer;
	a.act = (char *)(uintptr_t)act;
	a.id = (char *)(uintptr_t)id;
	a.what = (char *)(uintptr_t)what;
	a.previous = pb_of_bytes(BYTES_OF(head));
	e = put_record(b, t, T_AUDIT, key_number(a.count, 8), &a.base);
	if (e != OK)
		return e;
	audit_digest(&a, head);
	buffer_add_u64(&is, a.count);
	buffer_add(&is, BYTES_OF(head));
	return put_value(b, t, T_META, key_word("audit"), buffer_bytes(&is));
}

struct audit_walk {
	struct book *book;
	book_audit_fn *fn;
	void *arg;
	uint64_t count;
	uint8_t head[DIGEST_BYTES];
	bool stopped; /* by FN */
	enum err err;
};

static bool
on_audit_row(void *arg, struct bytes key, struct bytes sealed)
{
	struct audit_walk *w = arg;
	CLEANUP(buffer_wipe) struct buffer packed = { 0 };
	Citex__BookAudit *a = NULL;

	w->err = open_value(w->book, T_AUDIT, key, sealed, &packed);
	if (w->err == OK)
		w->err =
		    unpack_record(&citex__book_audit__descriptor, &packed, (ProtobufCMessage **)&a);
	if (w->err != OK)
		return false;
	if (a->count != w->count + 1 || !bytes_equal(bytes_of_pb(a->previous), BYTES_OF(w->head)))
		w->err = ERR_CORRUPT;
	w->count = a->count;
	audit_digest(a, w->head);
	if (w->err == OK && w->fn != NULL)
		w->stopped = !w->fn(w->arg, a);
	proto_free(&a->base);
	return w->err == OK && !w->stopped;
}

enum err
book_audit_walk(struct book *b, struct txn *t, book_audit_fn *fn, void *arg)
{
	struct audit_walk w = { .book = b, .fn = fn, .arg = arg };
	uint8_t head[DIGEST_BYTES];
	uint64_t count;
	enum err e = each_row(t, T_AUDIT, BYTES_NONE, on_audit_row, &w);

	if (e == OK)
		e = w.err;
	if (e == OK)
		e = book_audit_head(b, t, &count, head);
	if (e != OK || w.stopped)
		return e;
	return count == w.count && memcmp(head, w.head, DIGEST_BYTES) == 0 ? OK : ERR_CORRUPT;
}

/* --- the directory --- */

#define PART_BYTES (512 * KIB)

enum err
book_put_directory(struct book *b, struct txn *t, struct bytes head, struct bytes kept)
{
	uint32_t part = 1;
	enum err e = put_value(b, t, T_DIRECTORY, key_number(0, 4), head);

	for (; e == OK && kept.len > 0; part++) {
		size_t len = kept.len < PART_BYTES ? kept.len : PART_BYTES;
		e = put_value(
		    b, t, T_DIRECTORY, key_number(part, 4), (struct bytes){ kept.at, len });
		kept.at += len;
		kept.len -= len;
	}
	while (e == OK)
		e = del(t, T_DIRECTORY, key_number(part++, 4));
	return e == ERR_NOT_FOUND ? OK : e;
}

enum err
book_directory(struct book *b, struct txn *t, struct buffer *head, struct buffer *kept)
{
	enum err e = get_value(b, t, T_DIRECTORY, key_number(0, 4), head);

	if (e != OK)
		return e;
	for (uint32_t part = 1; e == OK; part++)
		e = get_value(b, t, T_DIRECTORY, key_number(part, 4), kept);
	return e == ERR_NOT_FOUND ? OK : e;
}
