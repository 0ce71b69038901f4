/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fixtures.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "pki/ossl.h"
#include "proto/decode.h"
#include "proto/kind.h"

#define HELD_MAX 96

/* One key with its certificate. */
struct held {
	char name[AUTHORITY_MAX_BYTES + 1];
	enum cert_use use;
	struct private_key *key;
	struct cert *cert;
	int64_t until_ms; /* 0: in use */
	bool revoked;
};

struct member {
	const char *party, *authority, *role, *node, *address, *via;
};

struct fixture {
	struct held held[HELD_MAX];
	size_t held_count;
	struct member members[24];
	size_t member_count;
	struct directory *directory;
	char pin[80];
};

static const struct member story[] = {
	{ "gb", "gb.ma", "management", "gb", "127.0.0.1:7003", NULL },
	{ "gb", "gb.border-force", "enforcement", "gb", NULL, NULL },
	{ "ke", "ke.ma", "management", "ke", "127.0.0.1:7002", NULL },
	{ "ke", "ke.kws", "enforcement", "ke", NULL, NULL },
	{ "secretariat", "secretariat", "secretariat", "secretariat", "127.0.0.1:7001", NULL },
	{ "so", "so.ma", "management", "so", NULL, "secretariat" },
};

static struct held *
find(struct fixture *f, const char *name, enum cert_use use)
{
	for (size_t i = f->held_count; i-- > 0;) { /* the newest */
		if (f->held[i].use == use &&
		    (use == USE_DIRECTORY || strcmp(f->held[i].name, name) == 0))
			return &f->held[i];
	}
	return NULL;
}

static void
hold(struct fixture *f, const char *party, const char *name, enum cert_use use)
{
	struct held *h = &f->held[f->held_count];
	struct held *ca = find(f, party, USE_CA);
	bool alone = use == USE_CA || use == USE_DIRECTORY;
	struct cert_request r = { party, name, use, NULL, FIXTURE_NOW_MS - DAY_MS,
		FIXTURE_NOW_MS + 730 * DAY_MS };

	assert_true(f->held_count < HELD_MAX);
	snprintf(h->name, sizeof(h->name), "%s", name);
	h->use = use;
	h->key = private_key_new();
	assert_non_null(h->key);
	r.key = private_key_public(h->key);
	assert_int_equal(
	    cert_issue(&r, alone ? NULL : ca->cert, alone ? h->key : ca->key, &h->cert), OK);
	public_key_free((struct public_key *)(uintptr_t)r.key);
	f->held_count++;
}

static void
add_member(struct fixture *f, const struct member *m)
{
	f->members[f->member_count++] = *m;
	if (find(f, m->party, USE_CA) == NULL)
		hold(f, m->party, m->party, USE_CA);
	if (find(f, m->node, USE_TLS) == NULL) {
		hold(f, m->party, m->node, USE_TLS);
		hold(f, m->party, m->node, USE_RECEIPTS);
	}
	hold(f, m->party, m->authority, USE_SIGNING);
	hold(f, m->party, m->authority, USE_SEALING);
}

/* All keys of NAME for USE, oldest first; they borrow from F. */
static void
list_keys(struct fixture *f, const char *name, enum cert_use use, Citex__Key ***out, size_t *count)
{
	static const char *const states[] = { "live", "retired", "revoked" };

	*out = NULL;
	*count = 0;
	for (size_t i = 0; i < f->held_count; i++) {
		struct held *h = &f->held[i];
		Citex__Key *k;
		if (h->use != use || strcmp(h->name, name) != 0)
			continue;
		k = xalloc(sizeof(*k));
		citex__key__init(k);
		k->certificate = pb_of_bytes(cert_der(h->cert));
		k->from = (uint64_t)cert_from_ms(h->cert);
		k->until = (uint64_t)h->until_ms;
		k->state = (char *)(uintptr_t)states[h->revoked ? 2 : h->until_ms != 0 ? 1 : 0];
		*out = xgrow(*out, *count + 1, sizeof(**out));
		(*out)[(*count)++] = k;
	}
}

static void
free_list(Citex__Key **keys, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(keys[i]);
	free(keys);
}

static Citex__SignedCard *
sign_card(struct fixture *f, const ProtobufCMessage *card, const char *label, const char *who,
    enum cert_use use)
{
	Citex__SignedCard s = CITEX__SIGNED_CARD__INIT;
	CLEANUP(buffer_release) struct buffer bytes = { 0 }, signature = { 0 }, all = { 0 };
	ProtobufCMessage *out = NULL;

	proto_pack(card, &bytes);
	assert_int_equal(
	    label_sign(find(f, who, use)->key, label, buffer_bytes(&bytes), &signature), OK);
	s.card = pb_of_bytes(buffer_bytes(&bytes));
	s.key_id =
	    pb_of_bytes((struct bytes){ cert_key_id(find(f, who, use)->cert), KEY_ID_BYTES });
	s.signature = pb_of_bytes(buffer_bytes(&signature));
	proto_pack(&s.base, &all);
	assert_int_equal(
	    proto_unpack(&citex__signed_card__descriptor, buffer_bytes(&all), &out), OK);
	return (Citex__SignedCard *)out;
}

static Citex__SignedCard *
authority_card(struct fixture *f, const struct member *m)
{
	Citex__AuthorityCard c = CITEX__AUTHORITY_CARD__INIT;
	Citex__ReadableKind reads[32], *read_list[32];
	Citex__SignedCard *out;
	size_t n = 0;

	c.version = 1;
	c.issued = FIXTURE_NOW_MS;
	c.authority = c.name = (char *)(uintptr_t)m->authority;
	c.roles = (char **)(uintptr_t)&m->role;
	c.n_roles = 1;
	c.node = (char *)(uintptr_t)m->node;
	for (; kinds[n] != NULL && n < 32; n++) {
		citex__readable_kind__init(&reads[n]);
		reads[n].kind = (char *)(uintptr_t)kinds[n]->name;
		reads[n].version = kinds[n]->version;
		read_list[n] = &reads[n];
	}
	c.kinds = read_list;
	c.n_kinds = n;
	list_keys(f, m->authority, USE_SIGNING, &c.signing, &c.n_signing);
	list_keys(f, m->authority, USE_SEALING, &c.sealing, &c.n_sealing);
	out = sign_card(f, &c.base, AUTHORITY_CARD_LABEL, m->authority, USE_SIGNING);
	free_list(c.signing, c.n_signing);
	free_list(c.sealing, c.n_sealing);
	return out;
}

static Citex__SignedCard *
node_card(struct fixture *f, const struct member *m)
{
	Citex__NodeCard c = CITEX__NODE_CARD__INIT;
	char *serves[8];
	Citex__SignedCard *out;

	c.version = 1;
	c.issued = FIXTURE_NOW_MS;
	c.node = (char *)(uintptr_t)m->node;
	c.addresses = (char **)(uintptr_t)&m->address;
	c.n_addresses = m->address != NULL ? 1 : 0;
	c.via = (char **)(uintptr_t)&m->via;
	c.n_via = m->via != NULL ? 1 : 0;
	c.serves = serves;
	for (size_t i = 0; i < f->member_count; i++) {
		if (strcmp(f->members[i].node, m->node) == 0)
			serves[c.n_serves++] = (char *)(uintptr_t)f->members[i].authority;
	}
	list_keys(f, m->node, USE_TLS, &c.tls, &c.n_tls);
	list_keys(f, m->node, USE_RECEIPTS, &c.receipts, &c.n_receipts);
	out = sign_card(f, &c.base, NODE_CARD_LABEL, m->node, USE_RECEIPTS);
	free_list(c.tls, c.n_tls);
	free_list(c.receipts, c.n_receipts);
	return out;
}

static Citex__Party *
add_party(Citex__DirectoryContents *c, struct fixture *f, const char *code)
{
	Citex__Party *p;

	for (size_t i = 0; i < c->n_parties; i++) {
		if (strcmp(c->parties[i]->code, code) == 0)
			return c->parties[i];
	}
	p = xalloc(sizeof(*p));
	citex__party__init(p);
	p->code = xstrdup(code);
	p->name = xstrdup(code);
	list_keys(f, code, USE_CA, &p->cas, &p->n_cas);
	c->parties = xgrow(c->parties, c->n_parties + 1, sizeof(*c->parties));
	c->parties[c->n_parties++] = p;
	return p;
}

static void
add_card(Citex__SignedCard ***cards, size_t *count, Citex__SignedCard *card)
{
	*cards = xgrow(*cards, *count + 1, sizeof(**cards));
	(*cards)[(*count)++] = card;
}

static void
fill(struct fixture *f, Citex__DirectoryContents *c)
{
	list_keys(f, "secretariat", USE_DIRECTORY, &c->publishers, &c->n_publishers);
	for (size_t i = 0; i < f->member_count; i++) {
		const struct member *m = &f->members[i];
		Citex__Party *p = add_party(c, f, m->party);
		add_card(&p->authorities, &p->n_authorities, authority_card(f, m));
		if (i == 0 || strcmp(f->members[i - 1].node, m->node) != 0)
			add_card(&p->nodes, &p->n_nodes, node_card(f, m));
	}
}

static void
empty(Citex__DirectoryContents *c)
{
	for (size_t i = 0; i < c->n_parties; i++) {
		Citex__Party *p = c->parties[i];
		for (size_t k = 0; k < p->n_authorities; k++)
			proto_free(&p->authorities[k]->base);
		for (size_t k = 0; k < p->n_nodes; k++)
			proto_free(&p->nodes[k]->base);
		free_list(p->cas, p->n_cas);
		free(p->authorities);
		free(p->nodes);
		free(p->code);
		free(p->name);
		free(p);
	}
	free_list(c->publishers, c->n_publishers);
	free(c->parties);
}

void
fixture_make(struct fixture *f, uint64_t number, const uint8_t *previous,
    void (*change)(Citex__DirectoryContents *c, void *arg), void *arg, Citex__SignedHead **head,
    struct buffer *contents)
{
	Citex__DirectoryContents c = CITEX__DIRECTORY_CONTENTS__INIT;
	Citex__Head h = CITEX__HEAD__INIT;
	Citex__SignedHead s = CITEX__SIGNED_HEAD__INIT;
	struct held *publisher = find(f, "", USE_DIRECTORY);
	CLEANUP(buffer_release) struct buffer bytes = { 0 }, signature = { 0 }, all = { 0 };
	uint8_t digest[DIGEST_BYTES];

	c.version = 1;
	c.number = number;
	fill(f, &c);
	if (change != NULL)
		change(&c, arg);
	proto_pack(&c.base, contents);
	empty(&c);
	sha256(buffer_bytes(contents), digest);
	h.version = 1;
	h.number = number;
	if (previous != NULL)
		h.previous = pb_of_bytes((struct bytes){ previous, DIGEST_BYTES });
	h.contents_digest = pb_of_bytes(BYTES_OF(digest));
	h.contents_length = contents->len;
	h.date = FIXTURE_NOW_MS + number;
	h.fresh_until = FIXTURE_NOW_MS + 30 * DAY_MS;
	proto_pack(&h.base, &bytes);
	assert_int_equal(
	    label_sign(publisher->key, DIRECTORY_LABEL, buffer_bytes(&bytes), &signature), OK);
	s.head = pb_of_bytes(buffer_bytes(&bytes));
	s.key_id = pb_of_bytes((struct bytes){ cert_key_id(publisher->cert), KEY_ID_BYTES });
	s.signature = pb_of_bytes(buffer_bytes(&signature));
	proto_pack(&s.base, &all);
	assert_int_equal(proto_unpack(&citex__signed_head__descriptor, buffer_bytes(&all),
			     (ProtobufCMessage **)head),
	    OK);
}

struct directory *
fixture_publish(struct fixture *f)
{
	struct directory *was = f->directory, *is = NULL;
	Citex__SignedHead *head = NULL;
	CLEANUP(buffer_release) struct buffer contents = { 0 };
	char why[200];

	fixture_make(f, was == NULL ? 1 : directory_number(was) + 1,
	    was == NULL ? NULL : directory_head_digest(was), NULL, NULL, &head, &contents);
	if (directory_build(was, &(struct directory_trust){ .pin = f->pin }, head,
		buffer_bytes(&contents), &is, why) != OK)
		fail_msg("%s", why);
	proto_free(&head->base);
	directory_free(was);
	f->directory = is;
	return is;
}

struct fixture *
fixture_new(void)
{
	struct fixture *f = xalloc(sizeof(*f));

	assert_int_equal(ossl_init(), OK);
	hold(f, "secretariat", "secretariat", USE_DIRECTORY);
	cert_fingerprint(find(f, "", USE_DIRECTORY)->cert, f->pin);
	for (size_t i = 0; i < sizeof(story) / sizeof(*story); i++)
		add_member(f, &story[i]);
	(void)fixture_publish(f);
	return f;
}

void
fixture_free(struct fixture *f)
{
	for (size_t i = 0; i < f->held_count; i++) {
		private_key_free(f->held[i].key);
		cert_free(f->held[i].cert);
	}
	directory_free(f->directory);
	free(f);
}

struct directory *
fixture_directory(struct fixture *f)
{
	return f->directory;
}

const char *
fixture_pin(struct fixture *f)
{
	return f->pin;
}

struct private_key *
fixture_key(struct fixture *f, const char *name, enum cert_use use)
{
	struct held *h = find(f, name, use);

	assert_non_null(h);
	return h->key;
}

struct cert *
fixture_cert(struct fixture *f, const char *name, enum cert_use use)
{
	struct held *h = find(f, name, use);

	assert_non_null(h);
	return h->cert;
}

void
fixture_add_party(struct fixture *f, const char *party, const char *authority, const char *role)
{
	struct member m = { party, authority, role, party, "127.0.0.1:7009", NULL };

	add_member(f, &m);
}

void
fixture_revoke(struct fixture *f, const char *name, enum cert_use use, int64_t at_ms)
{
	struct held *h = find(f, name, use);

	h->revoked = true;
	h->until_ms = at_ms;
}

void
fixture_renew(struct fixture *f, const char *name, enum cert_use use, int64_t at_ms)
{
	struct held *h = find(f, name, use);

	h->until_ms = at_ms;
	hold(f, cert_party(h->cert), name, use);
}

int
fixture_set_up(void **state)
{
	*state = fixture_new();
	return 0;
}

int
fixture_tear_down(void **state)
{
	fixture_free(*state);
	return 0;
}
