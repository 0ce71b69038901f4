/* SPDX-License-Identifier: Apache-2.0 */
/* What a directory must not be: threats D1 (The Update Framework's list), C6. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "pki/ossl.h"
#include "proto/decode.h"
#include "proto/kind.h"
#include "tests/fixtures.h"

static enum err
build(const struct directory *previous, const char *pin, const Citex__SignedHead *head,
    struct buffer *contents)
{
	struct directory *d = NULL;
	char why[200];
	enum err e = directory_build(previous, &(struct directory_trust){ .pin = pin }, head,
	    buffer_bytes(contents), &d, why);

	directory_free(d);
	assert_true((e == OK) == (why[0] == '\0'));
	return e;
}

/* Make number 1 with CHANGE and try to begin with it. */
static enum err
build_changed(struct fixture *f, void (*change)(Citex__DirectoryContents *c, void *arg), void *arg)
{
	Citex__SignedHead *head = NULL;
	CLEANUP(buffer_release) struct buffer contents = { 0 };
	enum err e;

	fixture_make(f, 1, NULL, change, arg, &head, &contents);
	e = build(NULL, fixture_pin(f), head, &contents);
	proto_free(&head->base);
	return e;
}

static void
test_directory_looks_up_what_it_lists(void **state)
{
	struct fixture *f = *state;
	struct directory *d = fixture_directory(f);
	const struct directory_authority *a = directory_authority(d, "ke.kws");
	const struct directory_key *key;
	const char *owner;
	enum cert_use use;

	assert_int_equal(directory_number(d), 1);
	assert_non_null(a);
	assert_int_equal(a->roles, ROLE_ENFORCEMENT);
	assert_string_equal(a->node, "ke");
	assert_null(directory_authority(d, "ke.nobody"));
	assert_null(directory_node(d, "xx"));
	assert_string_equal(directory_node(d, "so")->via[0], "secretariat");
	assert_int_equal(
	    directory_key_find(d,
		(struct bytes){ cert_key_id(fixture_cert(f, "ke", USE_RECEIPTS)), KEY_ID_BYTES },
		&key, &owner, &use),
	    OK);
	assert_string_equal(owner, "ke");
	assert_int_equal(use, USE_RECEIPTS);
	assert_non_null(directory_sealing_key(a, FIXTURE_NOW_MS));
	assert_null(directory_sealing_key(a, FIXTURE_NOW_MS + 800 * DAY_MS));
	assert_false(directory_is_stale(d, FIXTURE_NOW_MS + 30 * DAY_MS));
	assert_true(directory_is_stale(d, FIXTURE_NOW_MS + 30 * DAY_MS + 1));
}

static void
test_directory_begins_with_the_pinned_publisher_only(void **state)
{
	struct fixture *f = *state, *other = fixture_new();
	Citex__SignedHead *head = NULL;
	CLEANUP(buffer_release) struct buffer contents = { 0 };

	fixture_make(f, 1, NULL, NULL, NULL, &head, &contents);
	assert_int_equal(build(NULL, fixture_pin(f), head, &contents), OK);
	assert_int_equal(build(NULL, fixture_pin(other), head, &contents), ERR_UNKNOWN_KEY);
	proto_free(&head->base);
	fixture_free(other);
}

static void
test_directory_contents_must_be_the_ones_signed(void **state)
{
	struct fixture *f = *state;
	Citex__SignedHead *head = NULL, *other_head = NULL;
	CLEANUP(buffer_release) struct buffer contents = { 0 }, other = { 0 };

	fixture_make(f, 1, NULL, NULL, NULL, &head, &contents);
	fixture_make(
	    f, 2, directory_head_digest(fixture_directory(f)), NULL, NULL, &other_head, &other);
	assert_int_equal(build(NULL, fixture_pin(f), head, &other), ERR_DIRECTORY);
	contents.at[contents.len / 2] ^= 1;
	assert_int_equal(build(NULL, fixture_pin(f), head, &contents), ERR_DIRECTORY);
	proto_free(&head->base);
	proto_free(&other_head->base);
}

static Citex__DirectoryHeads
one(Citex__SignedHead **head)
{
	Citex__DirectoryHeads h = CITEX__DIRECTORY_HEADS__INIT;

	h.heads = head;
	h.n_heads = 1;
	return h;
}

static void
test_directory_heads_go_forward_by_one_over_the_same_past(void **state)
{
	static const struct {
		uint64_t number;
		bool right_past;
		enum err expect;
	} rows[] = {
		{ 1, false, ERR_SPLIT_VIEW }, /* another number 1 */
		{ 2, true, OK },
		{ 2, false, ERR_SPLIT_VIEW },
		{ 3, true, ERR_DIRECTORY }, /* fast forward */
		{ 900, true, ERR_DIRECTORY },
	};
	struct fixture *f = *state;
	struct directory *d = fixture_directory(f);
	uint8_t wrong[DIGEST_BYTES] = { 1 };

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		Citex__SignedHead *head = NULL;
		const Citex__SignedHead *newest;
		CLEANUP(buffer_release) struct buffer contents = { 0 };
		Citex__DirectoryHeads heads;
		bool first = rows[i].number == 1;
		fixture_make(f, rows[i].number,
		    first                    ? NULL
			: rows[i].right_past ? directory_head_digest(d)
					     : wrong,
		    NULL, NULL, &head, &contents);
		heads = one(&head);
		assert_int_equal(directory_check_heads(d, &heads, &newest), rows[i].expect);
		proto_free(&head->base);
	}
}

static void
change_name(Citex__DirectoryContents *c, void *arg)
{
	free(c->parties[0]->name);
	c->parties[0]->name = xstrdup(arg);
}

static void
test_directory_heads_are_bounded(void **state)
{
	struct fixture *f = *state;
	struct directory *d = fixture_directory(f);
	Citex__SignedHead *all[DIRECTORY_HEADS_MAX + 1] = { NULL };
	const Citex__SignedHead *newest;
	Citex__DirectoryHeads heads = one(all);
	uint8_t digest[DIGEST_BYTES];

	memcpy(digest, directory_head_digest(d), DIGEST_BYTES);
	for (size_t i = 0; i <= DIRECTORY_HEADS_MAX; i++) {
		CLEANUP(buffer_release) struct buffer contents = { 0 };
		fixture_make(f, i + 2, digest, NULL, NULL, &all[i], &contents);
		head_digest(all[i], digest);
	}
	heads.n_heads = DIRECTORY_HEADS_MAX;
	assert_int_equal(directory_check_heads(d, &heads, &newest), OK);
	assert_ptr_equal(newest, all[DIRECTORY_HEADS_MAX - 1]);
	heads.n_heads++;
	assert_int_equal(directory_check_heads(d, &heads, &newest), ERR_MALFORMED);
	for (size_t i = 0; i <= DIRECTORY_HEADS_MAX; i++)
		proto_free(&all[i]->base);
}

static void
test_directory_second_head_with_the_same_number_is_a_split_view(void **state)
{
	struct fixture *f = *state;
	Citex__SignedHead *head = NULL;
	const Citex__SignedHead *newest;
	CLEANUP(buffer_release) struct buffer contents = { 0 };
	Citex__DirectoryHeads heads;

	fixture_make(f, 1, NULL, change_name, (void *)(uintptr_t) "another", &head, &contents);
	heads = one(&head);
	assert_int_equal(
	    directory_check_heads(fixture_directory(f), &heads, &newest), ERR_SPLIT_VIEW);
	proto_free(&head->base);
}

/* Head 2 of contents with a name of LEN letters; how long the contents are, and whether the head is
 * taken. */
static size_t
contents_with_name_of(struct fixture *f, size_t len, enum err *taken)
{
	CLEANUP(buffer_release) struct buffer contents = { 0 };
	const uint8_t *past = directory_head_digest(fixture_directory(f));
	Citex__SignedHead *head = NULL;
	const Citex__SignedHead *newest;
	Citex__DirectoryHeads heads;
	char *name = xalloc(len + 1);

	memset(name, 'n', len);
	fixture_make(f, 2, past, change_name, name, &head, &contents);
	heads = one(&head);
	*taken = directory_check_heads(fixture_directory(f), &heads, &newest);
	proto_free(&head->base);
	free(name);
	return contents.len;
}

/* The same for contents of just SIZE. Signatures vary by some bytes: until they fit. */
static enum err
head_of_contents_of(struct fixture *f, size_t size)
{
	size_t len = DIRECTORY_MAX_BYTES - 64 * KIB, got;
	enum err taken;

	do {
		got = contents_with_name_of(f, len, &taken);
		len += size - got;
	} while (got != size);
	return taken;
}

static void
test_directory_contents_are_bounded(void **state)
{
	assert_int_equal(head_of_contents_of(*state, DIRECTORY_MAX_BYTES), OK);
	assert_int_equal(head_of_contents_of(*state, DIRECTORY_MAX_BYTES + 1), ERR_TOO_LARGE);
}

static void
test_directory_lower_number_is_not_taken(void **state)
{
	struct fixture *f = *state;
	Citex__SignedHead *head = NULL;
	const Citex__SignedHead *newest;
	CLEANUP(buffer_release) struct buffer contents = { 0 };
	Citex__DirectoryHeads heads;

	fixture_make(f, 1, NULL, NULL, NULL, &head, &contents);
	heads = one(&head);
	assert_int_equal(directory_number(fixture_publish(f)), 2);
	assert_int_not_equal(directory_check_heads(fixture_directory(f), &heads, &newest), OK);
	assert_null(newest);
	proto_free(&head->base);
}

static void
test_directory_heads_by_a_stranger_are_refused(void **state)
{
	struct fixture *f = *state, *stranger = fixture_new();
	Citex__SignedHead *head = NULL;
	const Citex__SignedHead *newest;
	CLEANUP(buffer_release) struct buffer contents = { 0 };
	Citex__DirectoryHeads heads;

	fixture_make(
	    stranger, 2, directory_head_digest(fixture_directory(f)), NULL, NULL, &head, &contents);
	heads = one(&head);
	assert_int_equal(
	    directory_check_heads(fixture_directory(f), &heads, &newest), ERR_UNKNOWN_KEY);
	assert_int_equal(build(fixture_directory(f), NULL, head, &contents), ERR_UNKNOWN_KEY);
	head->signature.data[head->signature.len - 1] ^= 1;
	proto_free(&head->base);
	fixture_free(stranger);
}

static void
swap_authorities(Citex__DirectoryContents *c, void *arg)
{
	Citex__SignedCard *card = c->parties[0]->authorities[0];

	(void)arg;
	c->parties[0]->authorities[0] = c->parties[1]->authorities[0];
	c->parties[1]->authorities[0] = card;
}

static void
double_authority(Citex__DirectoryContents *c, void *arg)
{
	Citex__Party *p = c->parties[0];
	CLEANUP(buffer_release) struct buffer b = { 0 };

	(void)arg;
	proto_pack(&p->authorities[0]->base, &b);
	p->authorities = xgrow(p->authorities, p->n_authorities + 1, sizeof(*p->authorities));
	assert_int_equal(proto_unpack(&citex__signed_card__descriptor, buffer_bytes(&b),
			     (ProtobufCMessage **)&p->authorities[p->n_authorities++]),
	    OK);
}

static void
spoil_card(Citex__DirectoryContents *c, void *arg)
{
	Citex__SignedCard *card = c->parties[1]->authorities[0];

	(void)arg;
	card->signature.data[card->signature.len - 1] ^= 1;
}

static void
drop_ca(Citex__DirectoryContents *c, void *arg)
{
	(void)arg;
	free(c->parties[0]->cas[0]);
	c->parties[0]->n_cas = 0;
}

static void
end_ca(Citex__DirectoryContents *c, void *arg)
{
	Citex__Key *ca = c->parties[0]->cas[0];

	(void)arg;
	ca->state = (char *)(uintptr_t) "revoked";
	ca->until = ca->from + 1;
}

static void
change_number(Citex__DirectoryContents *c, void *arg)
{
	(void)arg;
	c->number = 7;
}

static void
test_directory_with_a_fault_is_refused_whole(void **state)
{
	static const struct {
		void (*change)(Citex__DirectoryContents *c, void *arg);
		enum err expect;
	} rows[] = {
		{ NULL, OK },
		{ swap_authorities, ERR_IDENTITY },
		{ double_authority, ERR_DIRECTORY },
		{ spoil_card, ERR_SIGNATURE },
		{ end_ca, ERR_REVOKED },
		{ drop_ca, ERR_CERTIFICATE },
		{ change_number, ERR_DIRECTORY },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		assert_int_equal(build_changed(*state, rows[i].change, NULL), rows[i].expect);
}

/* The next directory gives ke a second CA, with or without the first one's voucher, or that one
 * alone. */
struct new_ca {
	struct fixture *f;
	struct private_key *key;
	struct cert *cert;
	bool alone, vouched;
	struct buffer voucher;
	ProtobufCBinaryData vouchers[1];
};

static void
new_ca(Citex__DirectoryContents *c, void *arg)
{
	struct new_ca *n = arg;
	Citex__Party *p = c->parties[1];
	Citex__Key *k = xalloc(sizeof(*k));

	assert_string_equal(p->code, "ke");
	citex__key__init(k);
	k->certificate = pb_of_bytes(cert_der(n->cert));
	k->state = (char *)(uintptr_t) "live";
	if (n->alone)
		free(p->cas[--p->n_cas]);
	p->cas = xgrow(p->cas, p->n_cas + 1, sizeof(*p->cas));
	p->cas[p->n_cas++] = k;
	if (!n->vouched)
		return;
	assert_int_equal(
	    label_sign(fixture_key(n->f, "ke", USE_CA), CA_LABEL, cert_der(n->cert), &n->voucher),
	    OK);
	n->vouchers[0] = pb_of_bytes(buffer_bytes(&n->voucher));
	p->vouchers = n->vouchers;
	p->n_vouchers = 1;
}

static void
test_directory_changed_ca_needs_the_old_ones_voucher(void **state)
{
	static const struct {
		bool alone, vouched;
		enum err expect;
		bool held;
	} rows[] = {
		{ false, true, OK, false }, { false, false, ERR_SIGNATURE, false },
		{ true, false, OK,
		    true }, /* held: nobody speaks for it until an officer has looked */
	};
	struct fixture *f = *state;
	struct new_ca n = { .f = f, .key = private_key_new() };
	struct cert_request r = { "ke", "ke", USE_CA, NULL, FIXTURE_NOW_MS - DAY_MS,
		FIXTURE_NOW_MS + DAY_MS };

	r.key = private_key_public(n.key);
	assert_int_equal(cert_issue(&r, NULL, n.key, &n.cert), OK);
	for (size_t i = 0; i < 3; i++) {
		Citex__SignedHead *head = NULL;
		CLEANUP(buffer_release) struct buffer contents = { 0 };
		struct directory *d = NULL;
		char why[200];
		n.alone = rows[i].alone;
		n.vouched = rows[i].vouched;
		fixture_make(f, 2, directory_head_digest(fixture_directory(f)), new_ca, &n, &head,
		    &contents);
		assert_int_equal(directory_build(fixture_directory(f), NULL, head,
				     buffer_bytes(&contents), &d, why),
		    rows[i].expect);
		if (d != NULL) {
			assert_int_equal(directory_ca(d, "ke") == NULL, rows[i].held);
			assert_int_equal(directory_authority(d, "ke.ma") == NULL, rows[i].held);
			assert_non_null(directory_authority(d, "gb.ma"));
		}
		directory_free(d);
		proto_free(&head->base);
		buffer_release(&n.voucher);
	}
	public_key_free((struct public_key *)(uintptr_t)r.key);
	private_key_free(n.key);
	cert_free(n.cert);
}

/* Another CA with the name of ke, and what a directory does with it. */
static void
make_rogue(struct new_ca *n)
{
	struct cert_request r = { "ke", "ke", USE_CA, NULL, FIXTURE_NOW_MS - DAY_MS,
		FIXTURE_NOW_MS + DAY_MS };

	n->key = private_key_new();
	r.key = private_key_public(n->key);
	assert_int_equal(cert_issue(&r, NULL, n->key, &n->cert), OK);
	public_key_free((struct public_key *)(uintptr_t)r.key);
}

static void
free_rogue(struct new_ca *n)
{
	buffer_release(&n->voucher);
	private_key_free(n->key);
	cert_free(n->cert);
}

/* ke without authorities and nodes: a rogue CA's own would come in their place. */
static void
bare(Citex__Party *p)
{
	for (size_t i = 0; i < p->n_authorities; i++)
		proto_free(&p->authorities[i]->base);
	for (size_t i = 0; i < p->n_nodes; i++)
		proto_free(&p->nodes[i]->base);
	p->n_authorities = p->n_nodes = 0;
}

static void
rogue_alone(Citex__DirectoryContents *c, void *arg)
{
	bare(c->parties[1]);
	new_ca(c, arg);
}

static void
party_gone(Citex__DirectoryContents *c, void *arg)
{
	Citex__Party *p = c->parties[1];

	(void)arg;
	bare(p);
	free(p->cas[0]);
	free(p->cas);
	free(p->authorities);
	free(p->nodes);
	free(p->code);
	free(p->name);
	free(p);
	memmove(&c->parties[1], &c->parties[2], (--c->n_parties - 1) * sizeof(*c->parties));
}

/* The rogue stands first, and vouches for the true one. */
static void
rogue_before(Citex__DirectoryContents *c, void *arg)
{
	struct new_ca *n = arg;
	Citex__Party *p = c->parties[1];
	Citex__Key *own;

	n->alone = n->vouched = false;
	new_ca(c, n);
	own = p->cas[0];
	p->cas[0] = p->cas[1];
	p->cas[1] = own;
	buffer_release(&n->voucher);
	assert_int_equal(
	    label_sign(n->key, CA_LABEL, cert_der(fixture_cert(n->f, "ke", USE_CA)), &n->voucher),
	    OK);
	n->vouchers[0] = pb_of_bytes(buffer_bytes(&n->voucher));
	p->vouchers = n->vouchers;
	p->n_vouchers = 1;
}

static const char *
held(const struct directory *d, size_t i)
{
	const struct cert *ca;

	return directory_held_at(d, i, &ca);
}

/* The directory after *D, in its place; with KEPT, *D is taken from a store first. */
static void
follow(struct fixture *f, struct directory **d, bool kept,
    void (*change)(Citex__DirectoryContents *c, void *arg), void *arg)
{
	Citex__SignedHead *head = NULL;
	CLEANUP(buffer_release) struct buffer contents = { 0 }, store = { 0 };
	struct directory *next = NULL, *again = NULL;
	char why[200];

	if (kept) {
		directory_keep(*d, &store);
		assert_int_equal(
		    directory_build_kept(NULL, &(struct directory_trust){ .pin = fixture_pin(f) },
			directory_signed_head(*d), buffer_bytes(&store), &again, why),
		    OK);
		directory_free(*d);
		*d = again;
	}
	fixture_make(
	    f, directory_number(*d) + 1, directory_head_digest(*d), change, arg, &head, &contents);
	assert_int_equal(directory_build(*d, NULL, head, buffer_bytes(&contents), &next, why), OK);
	proto_free(&head->base);
	directory_free(*d);
	*d = next;
}

static void
test_directory_held_party_stays_held(void **state)
{
	for (int kept = 0; kept <= 1; kept++) {
		struct fixture *f = *state;
		struct new_ca n = { .f = f, .alone = true };
		struct directory *d = directory_ref(fixture_directory(f));
		make_rogue(&n);
		for (size_t i = 0; i < 3; i++) {
			follow(f, &d, kept, rogue_alone, &n);
			assert_null(directory_ca(d, "ke"));
			assert_string_equal(held(d, 0), "ke");
			assert_null(held(d, 1));
		}
		follow(f, &d, kept, NULL, NULL); /* the true one is back */
		assert_non_null(directory_ca(d, "ke"));
		assert_non_null(directory_authority(d, "ke.ma"));
		assert_null(held(d, 0));
		directory_free(d);
		free_rogue(&n);
	}
}

static void
test_directory_party_that_was_away_is_not_new(void **state)
{
	for (int kept = 0; kept <= 1; kept++) {
		struct fixture *f = *state;
		struct new_ca n = { .f = f, .alone = true };
		struct directory *d = directory_ref(fixture_directory(f));
		make_rogue(&n);
		follow(f, &d, kept, party_gone, NULL);
		assert_null(directory_authority(d, "ke.ma"));
		follow(f, &d, kept, party_gone, NULL);
		follow(f, &d, kept, rogue_alone, &n);
		assert_string_equal(held(d, 0), "ke");
		directory_free(d);
		free_rogue(&n);
	}
}

static void
test_directory_ca_before_the_known_one_is_no_ca(void **state)
{
	struct fixture *f = *state;
	struct new_ca n = { .f = f };
	struct directory *d = directory_ref(fixture_directory(f));

	make_rogue(&n);
	follow(f, &d, false, rogue_before, &n);
	assert_string_equal(held(d, 0), "ke");
	assert_null(directory_authority(d, "ke.ma"));
	directory_free(d);
	free_rogue(&n);
}

/* With a voucher the new one is known from then on, and the old one alone is a step back. */
static void
test_directory_goes_not_back_to_an_old_ca(void **state)
{
	struct fixture *f = *state;
	struct new_ca n = { .f = f, .vouched = true };
	struct directory *d = directory_ref(fixture_directory(f));

	make_rogue(&n);
	follow(f, &d, false, new_ca, &n);
	assert_null(held(d, 0));
	assert_true(bytes_equal(cert_der(directory_ca(d, "ke")), cert_der(n.cert)));
	follow(f, &d, true, NULL, NULL);
	assert_string_equal(held(d, 0), "ke");
	n.alone = true;
	n.vouched = false;
	follow(f, &d, true, rogue_alone, &n); /* the new one, the old one dropped */
	assert_null(held(d, 0));
	directory_free(d);
	free_rogue(&n);
}

/* Directory 2 with CHANGE, by a node that has confirmed the CAs in LIST. */
static struct directory *
build_confirmed(struct new_ca *n, void (*change)(Citex__DirectoryContents *c, void *arg),
    char *const *list, size_t count)
{
	struct directory_trust trust = { NULL, list, count };
	struct directory *first = fixture_directory(n->f), *d = NULL;
	Citex__SignedHead *head = NULL;
	CLEANUP(buffer_release) struct buffer contents = { 0 };
	char why[200];

	fixture_make(n->f, 2, directory_head_digest(first), change, n, &head, &contents);
	assert_int_equal(
	    directory_build(first, &trust, head, buffer_bytes(&contents), &d, why), OK);
	proto_free(&head->base);
	return d;
}

static void
test_directory_confirmed_ca_speaks_for_its_party(void **state)
{
	struct fixture *f = *state;
	struct new_ca n = { .f = f, .alone = true };
	const struct cert *waits;
	char right[80], wrong[80];
	char *list[2] = { wrong, right };
	struct directory *d;

	make_rogue(&n);
	cert_fingerprint(n.cert, right);
	cert_fingerprint(fixture_cert(f, "gb", USE_CA), wrong);
	d = build_confirmed(&n, rogue_alone, list, 1);
	assert_string_equal(directory_held_at(d, 0, &waits), "ke");
	assert_true(bytes_equal(cert_der(waits), cert_der(n.cert)));
	directory_free(d);
	d = build_confirmed(&n, rogue_alone, list, 2);
	assert_null(held(d, 0));
	assert_true(bytes_equal(cert_der(directory_ca(d, "ke")), cert_der(n.cert)));
	follow(f, &d, true, rogue_alone, &n); /* it is the known one from then on */
	assert_null(held(d, 0));
	follow(f, &d, true, NULL, NULL); /* and the one before it no more */
	assert_string_equal(held(d, 0), "ke");
	directory_free(d);
	/* the newest alone is not enough: the one before it certifies too */
	cert_fingerprint(fixture_cert(f, "ke", USE_CA), right);
	d = build_confirmed(&n, rogue_before, list, 2);
	assert_string_equal(held(d, 0), "ke");
	directory_free(d);
	free_rogue(&n);
}

static void
test_directory_kept_bytes_that_are_no_list_are_refused(void **state)
{
	struct fixture *f = *state;
	CLEANUP(buffer_release) struct buffer store = { 0 };
	struct directory *d = NULL;
	char why[200];

	directory_keep(fixture_directory(f), &store);
	buffer_add_str(&store, "x");
	assert_int_equal(
	    directory_build_kept(NULL, NULL, directory_signed_head(fixture_directory(f)),
		buffer_bytes(&store), &d, why),
	    ERR_MALFORMED);
	assert_null(d);
	assert_string_equal(why, "what was kept of the directory is malformed");
}

static void
test_directory_revoked_and_retired_keys(void **state)
{
	struct fixture *f = *state;
	struct cert *tls = cert_ref(fixture_cert(f, "gb", USE_TLS));
	struct directory *d;

	assert_int_equal(directory_check_node(fixture_directory(f), tls, FIXTURE_NOW_MS), OK);
	assert_int_equal(
	    directory_check_node(fixture_directory(f), tls, FIXTURE_NOW_MS + 731 * DAY_MS),
	    ERR_EXPIRED);
	assert_int_equal(
	    directory_check_node(fixture_directory(f), tls, FIXTURE_NOW_MS - 2 * DAY_MS),
	    ERR_NOT_YET);
	fixture_renew(f, "gb", USE_TLS, FIXTURE_NOW_MS);
	d = fixture_publish(f);
	assert_int_equal(directory_check_node(d, tls, FIXTURE_NOW_MS + KEY_OVERLAP_MS), OK);
	assert_int_equal(
	    directory_check_node(d, tls, FIXTURE_NOW_MS + KEY_OVERLAP_MS + 1), ERR_EXPIRED);
	assert_int_equal(
	    directory_check_node(d, fixture_cert(f, "gb", USE_TLS), FIXTURE_NOW_MS), OK);
	cert_free(tls);
	tls = cert_ref(fixture_cert(f, "gb", USE_TLS));
	fixture_revoke(f, "gb", USE_TLS, FIXTURE_NOW_MS);
	d = fixture_publish(f);
	assert_int_equal(directory_check_node(d, tls, FIXTURE_NOW_MS), ERR_REVOKED);
	cert_free(tls);
}

/* C6: a key has one use. */
static void
test_directory_each_certificate_fits_one_use(void **state)
{
	static const struct {
		const char *name;
		enum cert_use use;
	} leaves[] = { { "gb", USE_TLS }, { "gb.ma", USE_SIGNING }, { "gb.ma", USE_SEALING },
		{ "gb", USE_RECEIPTS } };
	struct fixture *f = *state;
	struct cert *ca = fixture_cert(f, "gb", USE_CA), *foreign = fixture_cert(f, "ke", USE_CA);

	for (size_t i = 0; i < 4; i++) {
		struct cert *c = fixture_cert(f, leaves[i].name, leaves[i].use);
		for (size_t k = 0; k < 4; k++)
			assert_int_equal(cert_check(c, ca, leaves[k].use, FIXTURE_NOW_MS),
			    i == k ? OK : ERR_CERTIFICATE);
		assert_int_not_equal(cert_check(c, foreign, leaves[i].use, FIXTURE_NOW_MS), OK);
		assert_int_equal(cert_check(c, ca, USE_CA, FIXTURE_NOW_MS), ERR_CERTIFICATE);
		assert_int_equal(directory_check_node(fixture_directory(f), c, FIXTURE_NOW_MS),
		    leaves[i].use == USE_TLS ? OK : ERR_CERTIFICATE);
	}
}

static void
test_cert_is_refused_when_a_byte_changes(void **state)
{
	struct fixture *f = *state;
	struct bytes der = cert_der(fixture_cert(f, "gb.ma", USE_SIGNING));
	struct cert *ca = fixture_cert(f, "gb", USE_CA);
	uint8_t *copy = xmemdup(der.at, der.len);

	for (size_t i = 0; i < der.len; i++) {
		struct cert *c = NULL;
		copy[i] ^= 1;
		if (cert_parse((struct bytes){ copy, der.len }, &c) == OK)
			assert_int_not_equal(cert_check(c, ca, USE_SIGNING, FIXTURE_NOW_MS), OK);
		cert_free(c);
		copy[i] ^= 1;
	}
	free(copy);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    test_directory_looks_up_what_it_lists, fixture_set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(
		    test_directory_begins_with_the_pinned_publisher_only, fixture_set_up,
		    fixture_tear_down),
		cmocka_unit_test_setup_teardown(test_directory_contents_must_be_the_ones_signed,
		    fixture_set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(
		    test_directory_heads_go_forward_by_one_over_the_same_past, fixture_set_up,
		    fixture_tear_down),
		cmocka_unit_test_setup_teardown(
		    test_directory_heads_are_bounded, fixture_set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(
		    test_directory_second_head_with_the_same_number_is_a_split_view, fixture_set_up,
		    fixture_tear_down),
		cmocka_unit_test_setup_teardown(
		    test_directory_lower_number_is_not_taken, fixture_set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(
		    test_directory_contents_are_bounded, fixture_set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(test_directory_heads_by_a_stranger_are_refused,
		    fixture_set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(test_directory_with_a_fault_is_refused_whole,
		    fixture_set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(
		    test_directory_changed_ca_needs_the_old_ones_voucher, fixture_set_up,
		    fixture_tear_down),
		cmocka_unit_test_setup_teardown(test_directory_confirmed_ca_speaks_for_its_party,
		    fixture_set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(
		    test_directory_kept_bytes_that_are_no_list_are_refused, fixture_set_up,
		    fixture_tear_down),
		cmocka_unit_test_setup_teardown(
		    test_directory_goes_not_back_to_an_old_ca, fixture_set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(test_directory_ca_before_the_known_one_is_no_ca,
		    fixture_set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(test_directory_party_that_was_away_is_not_new,
		    fixture_set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(
		    test_directory_held_party_stays_held, fixture_set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(
		    test_directory_revoked_and_retired_keys, fixture_set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(test_directory_each_certificate_fits_one_use,
		    fixture_set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(
		    test_cert_is_refused_when_a_byte_changes, fixture_set_up, fixture_tear_down),
	};

	return cmocka_run_group_tests_name("directory", tests, NULL, NULL);
}
