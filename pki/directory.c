/* SPDX-License-Identifier: Apache-2.0 */
/* The directory as a value: built once, checked wholly, then only looked up.
 * The order of checks is that of docs/protocol.md, section 4. Not here: where
 * it is kept, and what a node does when two views differ. */
#include "pki/directory.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pki/ossl.h"
#include "proto/decode.h"
#include "proto/ids.h"
#include "proto/kind.h"

#define VERSION 1
#define WHY_BYTES 200

struct party {
	char *code;
	struct cert *
	    *cas; /* oldest first, each vouched for by the one before; the last speaks for it */
	size_t ca_count;
	bool held; /* its CA changed without a voucher: nobody speaks for it */
};

/* The CAs that spoke for a Party, oldest first. They outlive its being held, and its absence. */
struct known {
	char *party;
	struct cert **cas;
	size_t count;
};

/* A key by its identifier, in order of identifiers. */
struct listed {
	const uint8_t *id;
	const struct directory_key *key;
	const char *owner;
	enum cert_use use;
};

struct directory {
	atomic_uint refs;
	Citex__SignedHead *signed_head;
	Citex__Head *head;
	uint8_t head_digest[DIGEST_BYTES];
	struct bytes contents_bytes; /* owned */
	Citex__DirectoryContents *contents;
	struct cert **publishers;
	size_t publisher_count;
	struct party *parties;
	size_t party_count;
	struct known *known;
	size_t known_count;
	struct directory_authority *authorities; /* by id */
	size_t authority_count;
	struct directory_node *nodes; /* by id */
	size_t node_count;
	struct listed *listed;
	size_t listed_count;
	ProtobufCMessage **cards; /* owned: what authorities and nodes point into */
	size_t card_count;
};

static enum err say(char *why, enum err e, const char *fmt, ...) PRINTF(3, 4);

static enum err
say(char *why, enum err e, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(why, WHY_BYTES, fmt, args);
	va_end(args);
	return e;
}

/* --- heads --- */

void
head_digest(const Citex__SignedHead *h, uint8_t out[DIGEST_BYTES])
{
	sha256(bytes_of_pb(h->head), out);
}

static enum err
check_head_fields(const Citex__Head *h)
{
	if (h->version != VERSION)
		return ERR_VERSION;
	if (h->number == 0 || h->previous.len != (h->number == 1 ? 0 : DIGEST_BYTES) ||
	    h->contents_digest.len != DIGEST_BYTES || h->contents_length == 0)
		return ERR_MALFORMED;
	if (h->contents_length > DIRECTORY_MAX_BYTES)
		return ERR_TOO_LARGE;
	return h->fresh_until >= h->date && h->fresh_until <= (uint64_t)INT64_MAX ? OK
										  : ERR_MALFORMED;
}

enum err
head_verify(const Citex__SignedHead *h, const struct cert *publisher, Citex__Head **out)
{
	Citex__Head *head = NULL;
	enum err e;

	if (cert_use(publisher) != USE_DIRECTORY ||
	    !bytes_equal(
		bytes_of_pb(h->key_id), (struct bytes){ cert_key_id(publisher), KEY_ID_BYTES }))
		return ERR_UNKNOWN_KEY;
	e = label_verify(
	    cert_key(publisher), DIRECTORY_LABEL, bytes_of_pb(h->head), bytes_of_pb(h->signature));
	if (e == OK)
		e = proto_unpack(
		    &citex__head__descriptor, bytes_of_pb(h->head), (ProtobufCMessage **)&head);
	if (e == OK)
		e = check_head_fields(head);
	if (e == OK)
		*out = head;
	else
		proto_free((ProtobufCMessage *)head);
	return e;
}

static enum err
verify_by_any(
    const Citex__SignedHead *h, struct cert *const *publishers, size_t count, Citex__Head **out)
{
	enum err e = ERR_UNKNOWN_KEY;

	for (size_t i = 0; i < count && e == ERR_UNKNOWN_KEY; i++)
		e = head_verify(h, publishers[i], out);
	return e;
}

/* --- keys and cards --- */

static enum err
take_key(const Citex__Key *k, struct directory_key *out, char *why)
{
	enum err e = cert_parse(bytes_of_pb(k->certificate), (struct cert **)&out->cert);

	if (e != OK)
		return say(why, e, "a certificate does not fit the profile");
	out->from_ms = (int64_t)k->from;
	out->until_ms = (int64_t)k->until;
	out->revoked = strcmp(k->state, "revoked") == 0;
	out->reason = k->reason;
	if (strcmp(k->state, "live") == 0)
		return k->until == 0 ? OK : say(why, ERR_MALFORMED, "a live key has an end");
	if (!out->revoked && strcmp(k->state, "retired") != 0)
		return say(why, ERR_MALFORMED, "a key is neither live, retired nor revoked");
	return k->until >= k->from && k->until != 0
	    ? OK
	    : say(why, ERR_MALFORMED, "an ended key has no end");
}

static void
free_keys(const struct directory_key *keys, size_t count)
{
	for (size_t i = 0; i < count; i++)
		cert_free((struct cert *)(uintptr_t)keys[i].cert);
	free((void *)(uintptr_t)keys);
}

/* What a CA certified stays good after the Party has taken a new one. */
static enum err
check_chain(const struct cert *c, const struct party *of, enum cert_use use)
{
	enum err e = ERR_CERTIFICATE;

	for (size_t i = of->ca_count; i-- > 0 && e != OK;)
		e = cert_check_chain(c, of->cas[i], use);
	return e;
}

/* The keys of one use of OWNER: chained to its Party, bearing OWNER's name. */
static enum err
take_keys(Citex__Key **from, size_t count, enum cert_use use, const char *owner,
    const struct party *of, const struct directory_key **out, size_t *out_count, char *why)
{
	struct directory_key *keys = xalloc_array(count, sizeof(*keys));

	*out = keys;
	*out_count = count;
	for (size_t i = 0; i < count; i++) {
		enum err e = take_key(from[i], &keys[i], why);
		if (e != OK)
			return e;
		e = check_chain(keys[i].cert, of, use);
		if (e == OK && strcmp(cert_name(keys[i].cert), owner) != 0)
			e = ERR_IDENTITY;
		if (e != OK)
			return say(why, e, "a certificate of %s: %s", owner, err_words(e));
	}
	return OK;
}

static const struct directory_key *
newest_live(const struct directory_key *keys, size_t count)
{
	for (size_t i = count; i-- > 0;) {
		if (keys[i].until_ms == 0)
			return &keys[i];
	}
	return NULL;
}

static enum err
verify_card(const Citex__SignedCard *signed_card, const struct directory_key *keys, size_t count,
    const char *label, const char *owner, char *why)
{
	const struct directory_key *newest = newest_live(keys, count);
	enum err e;

	if (newest == NULL)
		return say(why, ERR_CERTIFICATE, "%s has no live key for its card", owner);
	if (!bytes_equal(bytes_of_pb(signed_card->key_id),
		(struct bytes){ cert_key_id(newest->cert), KEY_ID_BYTES }))
		return say(
		    why, ERR_UNKNOWN_KEY, "the card of %s is not signed by its newest key", owner);
	e = label_verify(cert_key(newest->cert), label, bytes_of_pb(signed_card->card),
	    bytes_of_pb(signed_card->signature));
	return e == OK ? OK : say(why, e, "the card of %s: %s", owner, err_words(e));
}

static enum err
unpack_card(struct directory *d, const Citex__SignedCard *s, const ProtobufCMessageDescriptor *what,
    ProtobufCMessage **out, char *why)
{
	enum err e = proto_unpack(what, bytes_of_pb(s->card), out);

	if (e != OK)
		return say(why, e, "a card is malformed");
	d->cards = xgrow(d->cards, d->card_count + 1, sizeof(*d->cards));
	d->cards[d->card_count++] = *out;
	return OK;
}

static enum err
take_roles(const Citex__AuthorityCard *card, unsigned *roles, char *why)
{
	for (size_t i = 0; i < card->n_roles; i++) {
		unsigned role = role_from_word(card->roles[i]);
		if (role == 0)
			return say(why, ERR_VALUE, "%s has an unknown role", card->authority);
		*roles |= role;
	}
	return *roles != 0 ? OK : say(why, ERR_VALUE, "%s has no role", card->authority);
}

static enum err
take_authority(struct directory *d, const Citex__Party *party, const struct party *own,
    const Citex__SignedCard *s, char *why)
{
	struct directory_authority *a;
	char of[AUTHORITY_MAX_BYTES + 1];
	Citex__AuthorityCard *card = NULL;
	enum err e =
	    unpack_card(d, s, &citex__authority_card__descriptor, (ProtobufCMessage **)&card, why);

	if (e != OK)
		return e;
	if (card->version != VERSION || !authority_is_valid(card->authority) ||
	    !node_is_valid(card->node))
		return say(
		    why, ERR_MALFORMED, "an authority's card of %s is malformed", party->code);
	authority_party(card->authority, of);
	if (strcmp(of, party->code) != 0)
		return say(
		    why, ERR_IDENTITY, "%s is no authority of %s", card->authority, party->code);
	d->authorities = xgrow(d->authorities, d->authority_count + 1, sizeof(*d->authorities));
	a = &d->authorities[d->authority_count++];
	*a = (struct directory_authority){ .id = card->authority,
		.name = card->name,
		.party = party->code,
		.node = card->node,
		.card = card };
	e = take_roles(card, &a->roles, why);
	if (e == OK)
		e = take_keys(card->signing, card->n_signing, USE_SIGNING, card->authority, own,
		    &a->signing, &a->signing_count, why);
	if (e == OK)
		e = take_keys(card->sealing, card->n_sealing, USE_SEALING, card->authority, own,
		    &a->sealing, &a->sealing_count, why);
	return e != OK ? e
		       : verify_card(s, a->signing, a->signing_count, AUTHORITY_CARD_LABEL,
			     card->authority, why);
}

static enum err
take_node(struct directory *d, const Citex__Party *party, const struct party *own,
    const Citex__SignedCard *s, char *why)
{
	struct directory_node *n;
	Citex__NodeCard *card = NULL;
	enum err e =
	    unpack_card(d, s, &citex__node_card__descriptor, (ProtobufCMessage **)&card, why);

	if (e != OK)
		return e;
	if (card->version != VERSION || !node_is_valid(card->node))
		return say(why, ERR_MALFORMED, "a node's card of %s is malformed", party->code);
	d->nodes = xgrow(d->nodes, d->node_count + 1, sizeof(*d->nodes));
	n = &d->nodes[d->node_count++];
	*n = (struct directory_node){ .id = card->node,
		.party = party->code,
		.addresses = (const char *const *)card->addresses,
		.address_count = card->n_addresses,
		.via = (const char *const *)card->via,
		.via_count = card->n_via,
		.card = card };
	e = take_keys(
	    card->tls, card->n_tls, USE_TLS, card->node, own, &n->tls, &n->tls_count, why);
	if (e == OK)
		e = take_keys(card->receipts, card->n_receipts, USE_RECEIPTS, card->node, own,
		    &n->receipts, &n->receipts_count, why);
	return e != OK
	    ? e
	    : verify_card(s, n->receipts, n->receipts_count, NODE_CARD_LABEL, card->node, why);
}

enum err
directory_check_card(const Citex__SignedCard *s, bool is_node, const char *party,
    struct cert *const *cas, size_t count, char *why)
{
	struct directory *d = xalloc(sizeof(*d)); /* of this card alone */
	struct party own = { .cas = (struct cert **)(uintptr_t)cas, .ca_count = count };
	Citex__Party of = CITEX__PARTY__INIT;
	enum err e;

	d->refs = 1;
	of.code = (char *)(uintptr_t)party;
	e = is_node ? take_node(d, &of, &own, s, why) : take_authority(d, &of, &own, s, why);
	directory_free(d);
	return e;
}

/* --- Parties --- */

static const struct party *
find_party(const struct directory *d, const char *code)
{
	for (size_t i = 0; i < d->party_count; i++) {
		if (strcmp(d->parties[i].code, code) == 0)
			return &d->parties[i];
	}
	return NULL;
}

static const struct known *
find_known(const struct directory *d, const char *party)
{
	for (size_t i = 0; d != NULL && i < d->known_count; i++) {
		if (strcmp(d->known[i].party, party) == 0)
			return &d->known[i];
	}
	return NULL;
}

static void
remember(struct directory *d, const char *party, struct cert *const *cas, size_t count)
{
	struct known *k;

	d->known = xgrow(d->known, d->known_count + 1, sizeof(*d->known));
	k = &d->known[d->known_count++];
	*k = (struct known){ xstrdup(party), xalloc_array(count, sizeof(struct cert *)), count };
	for (size_t i = 0; i < count; i++)
		k->cas[i] = cert_ref(cas[i]);
}

static void
free_known(struct directory *d)
{
	for (size_t i = 0; i < d->known_count; i++) {
		for (size_t n = 0; n < d->known[i].count; n++)
			cert_free(d->known[i].cas[n]);
		free(d->known[i].cas);
		free(d->known[i].party);
	}
	free(d->known);
}

/* Each CA after the first is vouched for by the one before it. */
static enum err
check_voucher(const Citex__Party *p, size_t i, const struct cert *before, struct bytes der)
{
	if (i >= p->n_vouchers + 1)
		return ERR_SIGNATURE;
	return label_verify(cert_key(before), CA_LABEL, der, bytes_of_pb(p->vouchers[i - 1]));
}

static enum err
take_one_ca(const Citex__Party *p, size_t i, struct cert **out, char *why)
{
	enum err e = cert_parse(bytes_of_pb(p->cas[i]->certificate), out);

	if (e == OK && (cert_use(*out) != USE_CA || strcmp(cert_party(*out), p->code) != 0))
		e = ERR_IDENTITY;
	if (e == OK)
		e = cert_check_chain(*out, *out, USE_CA);
	/* one that holds no more is left out of the list */
	if (e == OK && strcmp(p->cas[i]->state, "live") != 0)
		e = ERR_REVOKED;
	return e == OK ? OK : say(why, e, "the CA of %s: %s", p->code, err_words(e));
}

/* Does the list go on where the known one ended? Its oldest may have been dropped; nothing may
 * stand before or between the known ones, for each CA of the list certifies. */
static bool
goes_on(const struct known *k, const struct party *p)
{
	size_t first = 0;

	while (first < k->count && !bytes_equal(cert_der(k->cas[first]), cert_der(p->cas[0])))
		first++;
	if (first == k->count || k->count - first > p->ca_count)
		return false;
	for (size_t i = 1; first + i < k->count; i++) {
		if (!bytes_equal(cert_der(k->cas[first + i]), cert_der(p->cas[i])))
			return false;
	}
	return true;
}

/* The CAs, by the chain of vouchers. */
static enum err
take_cas(const Citex__Party *p, struct party *out, char *why)
{
	if (p->n_cas == 0)
		return say(why, ERR_CERTIFICATE, "%s has no CA", p->code);
	out->cas = xalloc_array(p->n_cas, sizeof(struct cert *));
	for (size_t i = 0; i < p->n_cas; i++) {
		struct cert *c = NULL;
		enum err e = take_one_ca(p, i, &c, why);
		if (e != OK) {
			cert_free(c);
			return e;
		}
		out->cas[out->ca_count++] = c;
		if (i > 0 && check_voucher(p, i, out->cas[i - 1], cert_der(c)) != OK)
			return say(why, ERR_SIGNATURE,
			    "a CA of %s has no voucher of the one before", p->code);
	}
	return OK;
}

static bool
is_confirmed(const struct directory_trust *trust, const struct cert *ca)
{
	char fingerprint[80];

	cert_fingerprint(ca, fingerprint);
	for (size_t i = 0; trust != NULL && i < trust->confirmed_count; i++) {
		if (strcmp(trust->confirmed[i], fingerprint) == 0)
			return true;
	}
	return false;
}

/* Each CA of the list certifies, so each must have been looked at. */
static bool
all_confirmed(const struct directory_trust *trust, const struct party *p)
{
	size_t i = 0;

	while (i < p->ca_count && is_confirmed(trust, p->cas[i]))
		i++;
	return i == p->ca_count;
}

/* Held when the list does not go on from what was known before. */
static void
judge_cas(struct directory *d, struct party *p, const struct known *known,
    const struct directory_trust *trust)
{
	p->held = known != NULL && !goes_on(known, p) && !all_confirmed(trust, p);
	if (p->held)
		remember(d, p->code, known->cas, known->count);
	else
		remember(d, p->code, p->cas, p->ca_count);
}

static enum err
take_party(struct directory *d, const Citex__Party *p, const struct directory *before,
    const struct directory_trust *trust, char *why)
{
	struct party *own;
	enum err e;

	if (!node_is_valid(p->code) || find_party(d, p->code) != NULL)
		return say(why, ERR_DIRECTORY, "a Party stands there twice, or has no valid code");
	d->parties = xgrow(d->parties, d->party_count + 1, sizeof(*d->parties));
	own = &d->parties[d->party_count++];
	*own = (struct party){ .code = p->code };
	e = take_cas(p, own, why);
	if (e == OK)
		judge_cas(d, own, find_known(before, p->code), trust);
	for (size_t i = 0; e == OK && !own->held && i < p->n_authorities; i++)
		e = take_authority(d, p, own, p->authorities[i], why);
	for (size_t i = 0; e == OK && !own->held && i < p->n_nodes; i++)
		e = take_node(d, p, own, p->nodes[i], why);
	return e;
}

/* --- putting it together --- */

static int
by_authority(const void *a, const void *b)
{
	return strcmp(((const struct directory_authority *)a)->id,
	    ((const struct directory_authority *)b)->id);
}

static int
by_node(const void *a, const void *b)
{
	return strcmp(
	    ((const struct directory_node *)a)->id, ((const struct directory_node *)b)->id);
}

static int
by_key_id(const void *a, const void *b)
{
	return memcmp(((const struct listed *)a)->id, ((const struct listed *)b)->id, KEY_ID_BYTES);
}

static void
list_keys(struct directory *d, const struct directory_key *keys, size_t count, const char *owner,
    enum cert_use use)
{
	d->listed = xgrow(d->listed, d->listed_count + count, sizeof(*d->listed));
	for (size_t i = 0; i < count; i++)
		d->listed[d->listed_count++] =
		    (struct listed){ cert_key_id(keys[i].cert), &keys[i], owner, use };
}

/* Names and keys stand once. */
static enum err
check_whole(struct directory *d, char *why)
{
	for (size_t i = 0; i < d->authority_count; i++) {
		const struct directory_authority *a = &d->authorities[i];
		if (i > 0 && strcmp(d->authorities[i - 1].id, a->id) == 0)
			return say(why, ERR_DIRECTORY, "%s stands there twice", a->id);
		list_keys(d, a->signing, a->signing_count, a->id, USE_SIGNING);
		list_keys(d, a->sealing, a->sealing_count, a->id, USE_SEALING);
	}
	for (size_t i = 0; i < d->node_count; i++) {
		const struct directory_node *n = &d->nodes[i];
		if (i > 0 && strcmp(d->nodes[i - 1].id, n->id) == 0)
			return say(why, ERR_DIRECTORY, "node %s stands there twice", n->id);
		list_keys(d, n->tls, n->tls_count, n->id, USE_TLS);
		list_keys(d, n->receipts, n->receipts_count, n->id, USE_RECEIPTS);
	}
	if (d->listed_count > 1)
		qsort(d->listed, d->listed_count, sizeof(*d->listed), by_key_id);
	for (size_t i = 1; i < d->listed_count; i++) {
		if (memcmp(d->listed[i - 1].id, d->listed[i].id, KEY_ID_BYTES) == 0)
			return say(why, ERR_DIRECTORY, "one key stands there for %s and %s",
			    d->listed[i - 1].owner, d->listed[i].owner);
	}
	return OK;
}

static enum err
take_publishers(struct directory *d, char *why)
{
	const Citex__DirectoryContents *c = d->contents;

	d->publishers = xalloc_array(c->n_publishers, sizeof(struct cert *));
	for (size_t i = 0; i < c->n_publishers; i++) {
		struct directory_key k = { 0 };
		enum err e = take_key(c->publishers[i], &k, why);
		if (e == OK && cert_use(k.cert) != USE_DIRECTORY)
			e = say(why, ERR_CERTIFICATE, "a publisher's key is for another use");
		if (e != OK || k.until_ms != 0) {
			cert_free((struct cert *)(uintptr_t)k.cert);
			if (e != OK)
				return e;
			continue; /* an ended key publishes no more */
		}
		d->publishers[d->publisher_count++] = (struct cert *)(uintptr_t)k.cert;
	}
	return d->publisher_count > 0 ? OK : say(why, ERR_DIRECTORY, "it names no publisher");
}

static enum err
take_contents(struct directory *d, struct bytes contents, const struct directory *before,
    const struct directory_trust *trust, char *why)
{
	uint8_t digest[DIGEST_BYTES];
	enum err e;

	sha256(contents, digest);
	if (contents.len != d->head->contents_length ||
	    !bytes_equal(BYTES_OF(digest), bytes_of_pb(d->head->contents_digest)))
		return say(why, ERR_DIRECTORY, "the contents are not those that the head signs");
	e = proto_unpack(
	    &citex__directory_contents__descriptor, contents, (ProtobufCMessage **)&d->contents);
	if (e != OK)
		return say(why, e, "the contents are malformed");
	if (d->contents->version != VERSION || d->contents->number != d->head->number)
		return say(why, ERR_DIRECTORY, "the contents are of another number or version");
	d->contents_bytes = bytes_dup(contents);
	e = take_publishers(d, why);
	for (size_t i = 0; e == OK && i < d->contents->n_parties; i++)
		e = take_party(d, d->contents->parties[i], before, trust, why);
	if (e != OK)
		return e;
	for (size_t i = 0; before != NULL && i < before->known_count; i++) {
		const struct known *k = &before->known[i];
		if (find_party(d, k->party) == NULL)
			remember(d, k->party, k->cas, k->count);
	}
	if (d->authority_count > 1)
		qsort(d->authorities, d->authority_count, sizeof(*d->authorities), by_authority);
	if (d->node_count > 1)
		qsort(d->nodes, d->node_count, sizeof(*d->nodes), by_node);
	return check_whole(d, why);
}

/* The head's signature: by a publisher of the directory before, or by the pinned one, which the
 * contents name. */
static enum err
check_pinned(struct directory *d, const char *pin, const Citex__SignedHead *head, char *why)
{
	char fingerprint[80];
	Citex__Head *again = NULL;
	enum err e = ERR_UNKNOWN_KEY;

	for (size_t i = 0; i < d->publisher_count && e != OK; i++) {
		cert_fingerprint(d->publishers[i], fingerprint);
		if (pin == NULL || strcmp(fingerprint, pin) == 0)
			e = head_verify(head, d->publishers[i], &again);
	}
	proto_free((ProtobufCMessage *)again);
	return e == OK ? OK : say(why, e, "it is not signed by the key with the fingerprint given");
}

static enum err
copy_head(struct directory *d, const Citex__SignedHead *head)
{
	CLEANUP(buffer_release) struct buffer b = { 0 };
	enum err e;

	proto_pack(&head->base, &b);
	e = proto_unpack(&citex__signed_head__descriptor, buffer_bytes(&b),
	    (ProtobufCMessage **)&d->signed_head);
	if (e == OK)
		e = proto_unpack(&citex__head__descriptor, bytes_of_pb(head->head),
		    (ProtobufCMessage **)&d->head);
	if (e == OK)
		head_digest(head, d->head_digest);
	return e == OK ? check_head_fields(d->head) : e;
}

/* The head is judged by JUDGE's publishers, or by TRUST's pin; the CAs by what BEFORE knew. */
static enum err
build(const struct directory *judge, const struct directory_trust *trust,
    const struct directory *before, const Citex__SignedHead *head, struct bytes contents,
    struct directory **out, char *why)
{
	struct directory *d = xalloc(sizeof(*d));
	Citex__Head *again = NULL;
	enum err e;

	d->refs = 1;
	why[0] = '\0';
	e = copy_head(d, head);
	if (e != OK)
		(void)say(why, e, "the head is malformed");
	if (e == OK && judge != NULL) {
		e = verify_by_any(head, judge->publishers, judge->publisher_count, &again);
		proto_free((ProtobufCMessage *)again);
		if (e != OK)
			(void)say(why, e,
			    "its head is not signed by a publisher of the directory before");
	}
	if (e == OK)
		e = take_contents(d, contents, before, trust, why);
	if (e == OK && judge == NULL)
		e = check_pinned(d, trust != NULL ? trust->pin : NULL, head, why);
	if (e == OK)
		*out = d;
	else
		directory_free(d);
	return e;
}

enum err
directory_build(const struct directory *previous, const struct directory_trust *trust,
    const Citex__SignedHead *head, struct bytes contents, struct directory **out, char *why)
{
	return previous == NULL && (trust == NULL || trust->pin == NULL)
	    ? say(why, ERR_DIRECTORY, "there is nothing to judge it by")
	    : build(previous, trust, previous, head, contents, out, why);
}

static enum err
take_known_party(struct directory *d, const Citex__KnownParty *p)
{
	struct cert **cas = xalloc_array(p->n_cas, sizeof(struct cert *));
	enum err e = p->n_cas > 0 ? OK : ERR_MALFORMED;

	for (size_t i = 0; e == OK && i < p->n_cas; i++)
		e = cert_parse(bytes_of_pb(p->cas[i]), &cas[i]);
	if (e == OK)
		remember(d, p->party, cas, p->n_cas);
	for (size_t i = 0; i < p->n_cas; i++)
		cert_free(cas[i]);
	free(cas);
	return e;
}

static enum err
take_known(struct directory *d, struct bytes known)
{
	Citex__KnownParties *list = NULL;
	enum err e =
	    proto_unpack(&citex__known_parties__descriptor, known, (ProtobufCMessage **)&list);

	for (size_t i = 0; e == OK && i < list->n_parties; i++)
		e = take_known_party(d, list->parties[i]);
	proto_free((ProtobufCMessage *)list);
	return e;
}

enum err
directory_build_kept(const struct directory *judge, const struct directory_trust *trust,
    const Citex__SignedHead *head, struct bytes kept, struct directory **out, char *why)
{
	struct directory before = { 0 };
	Citex__Head *h = NULL;
	struct bytes contents = kept, known = BYTES_NONE;
	enum err e = proto_unpack(
	    &citex__head__descriptor, bytes_of_pb(head->head), (ProtobufCMessage **)&h);

	if (e == OK && h->contents_length < kept.len) {
		contents.len = (size_t)h->contents_length;
		known = (struct bytes){ kept.at + contents.len, kept.len - contents.len };
	}
	if (e == OK)
		e = take_known(&before, known);
	e = e == OK ? build(judge, trust, &before, head, contents, out, why)
		    : say(why, e, "what was kept of the directory is malformed");
	free_known(&before);
	proto_free((ProtobufCMessage *)h);
	return e;
}

static void
add_known(Citex__KnownParties *list, const struct known *k)
{
	Citex__KnownParty *p = xalloc(sizeof(*p));

	citex__known_party__init(p);
	p->party = xstrdup(k->party);
	p->cas = xalloc_array(k->count, sizeof(*p->cas));
	for (size_t i = 0; i < k->count; i++) {
		struct bytes der = bytes_dup(cert_der(k->cas[i]));
		p->cas[p->n_cas++] = pb_of_bytes(der);
	}
	list->parties[list->n_parties++] = p;
}

void
directory_keep(const struct directory *d, struct buffer *out)
{
	Citex__KnownParties *list = xalloc(sizeof(*list));

	citex__known_parties__init(list);
	list->parties = xalloc_array(d->known_count, sizeof(*list->parties));
	for (size_t i = 0; i < d->known_count; i++)
		add_known(list, &d->known[i]);
	buffer_add(out, d->contents_bytes);
	proto_pack(&list->base, out);
	proto_free(&list->base);
}

struct directory *
directory_ref(struct directory *d)
{
	atomic_fetch_add(&d->refs, 1);
	return d;
}

void
directory_free(struct directory *d)
{
	if (d == NULL || atomic_fetch_sub(&d->refs, 1) != 1)
		return;
	for (size_t i = 0; i < d->authority_count; i++) {
		free_keys(d->authorities[i].signing, d->authorities[i].signing_count);
		free_keys(d->authorities[i].sealing, d->authorities[i].sealing_count);
	}
	for (size_t i = 0; i < d->node_count; i++) {
		free_keys(d->nodes[i].tls, d->nodes[i].tls_count);
		free_keys(d->nodes[i].receipts, d->nodes[i].receipts_count);
	}
	for (size_t i = 0; i < d->card_count; i++)
		proto_free(d->cards[i]);
	for (size_t i = 0; i < d->party_count; i++) {
		for (size_t k = 0; k < d->parties[i].ca_count; k++)
			cert_free(d->parties[i].cas[k]);
		free(d->parties[i].cas);
	}
	for (size_t i = 0; i < d->publisher_count; i++)
		cert_free(d->publishers[i]);
	free_known(d);
	proto_free((ProtobufCMessage *)d->signed_head);
	proto_free((ProtobufCMessage *)d->head);
	proto_free((ProtobufCMessage *)d->contents);
	free((void *)(uintptr_t)d->contents_bytes.at);
	free(d->authorities);
	free(d->nodes);
	free(d->cards);
	free(d->parties);
	free(d->publishers);
	free(d->listed);
	free(d);
}

void
directory_drop(struct directory **d)
{
	directory_free(*d);
}

enum err
directory_check_head(const struct directory *d, const Citex__SignedHead *h, Citex__Head **out)
{
	*out = NULL;
	return verify_by_any(h, d->publishers, d->publisher_count, out);
}

enum err
directory_check_heads(
    const struct directory *d, const Citex__DirectoryHeads *heads, const Citex__SignedHead **newest)
{
	uint64_t number = d->head->number;
	uint8_t digest[DIGEST_BYTES];

	memcpy(digest, d->head_digest, DIGEST_BYTES);
	*newest = NULL;
	if (heads->n_heads == 0 || heads->n_heads > DIRECTORY_HEADS_MAX)
		return ERR_MALFORMED;
	for (size_t i = 0; i < heads->n_heads; i++) {
		Citex__Head *head = NULL;
		uint8_t mine[DIGEST_BYTES];
		bool follows;
		enum err e =
		    verify_by_any(heads->heads[i], d->publishers, d->publisher_count, &head);
		if (e != OK)
			return e;
		head_digest(heads->heads[i], mine);
		if (i == 0 && head->number == number) {
			proto_free(&head->base);
			if (memcmp(mine, digest, DIGEST_BYTES) != 0)
				return ERR_SPLIT_VIEW;
			continue;
		}
		follows = head->number == number + 1 &&
		    bytes_equal(bytes_of_pb(head->previous), BYTES_OF(digest));
		/* the right number over another past is a second history */
		e = follows ? OK : head->number == number + 1 ? ERR_SPLIT_VIEW : ERR_DIRECTORY;
		number = head->number;
		proto_free(&head->base);
		if (e != OK)
			return e;
		memcpy(digest, mine, DIGEST_BYTES);
		*newest = heads->heads[i];
	}
	return *newest != NULL ? OK : ERR_DIRECTORY;
}

/* --- look-ups --- */

uint64_t
directory_number(const struct directory *d)
{
	return d->head->number;
}

const uint8_t *
directory_head_digest(const struct directory *d)
{
	return d->head_digest;
}

const Citex__Head *
directory_head(const struct directory *d)
{
	return d->head;
}

const Citex__SignedHead *
directory_signed_head(const struct directory *d)
{
	return d->signed_head;
}

struct bytes
directory_contents(const struct directory *d)
{
	return d->contents_bytes;
}

bool
directory_is_stale(const struct directory *d, int64_t now_ms)
{
	return now_ms > (int64_t)d->head->fresh_until;
}

const char *
directory_held_at(const struct directory *d, size_t i, const struct cert **ca)
{
	for (size_t k = 0; k < d->party_count; k++) {
		const struct party *p = &d->parties[k];
		if (p->held && i-- == 0) {
			*ca = p->cas[p->ca_count - 1];
			return p->code;
		}
	}
	return NULL;
}

const struct directory_authority *
directory_authority(const struct directory *d, const char *id)
{
	struct directory_authority wanted = { .id = id };

	return d->authority_count == 0
	    ? NULL
	    : bsearch(&wanted, d->authorities, d->authority_count, sizeof(wanted), by_authority);
}

const struct directory_node *
directory_node(const struct directory *d, const char *id)
{
	struct directory_node wanted = { .id = id };

	return d->node_count == 0
	    ? NULL
	    : bsearch(&wanted, d->nodes, d->node_count, sizeof(wanted), by_node);
}

const struct cert *
directory_ca(const struct directory *d, const char *party)
{
	const struct party *p = find_party(d, party);

	return p != NULL && !p->held ? p->cas[p->ca_count - 1] : NULL;
}

const struct directory_authority *
directory_authority_at(const struct directory *d, size_t i)
{
	return i < d->authority_count ? &d->authorities[i] : NULL;
}

const struct directory_node *
directory_node_at(const struct directory *d, size_t i)
{
	return i < d->node_count ? &d->nodes[i] : NULL;
}

enum err
directory_key_find(const struct directory *d, struct bytes key_id, const struct directory_key **key,
    const char **owner, enum cert_use *use)
{
	struct listed wanted = { .id = key_id.at };
	const struct listed *found;

	if (key_id.len != KEY_ID_BYTES || d->listed_count == 0)
		return ERR_UNKNOWN_KEY;
	found = bsearch(&wanted, d->listed, d->listed_count, sizeof(wanted), by_key_id);
	if (found == NULL)
		return ERR_UNKNOWN_KEY;
	*key = found->key;
	*owner = found->owner;
	*use = found->use;
	return OK;
}

enum err
directory_key_usable(const struct directory_key *key, int64_t now_ms)
{
	if (key->revoked)
		return ERR_REVOKED;
	if (key->until_ms != 0 && now_ms > key->until_ms + KEY_OVERLAP_MS)
		return ERR_EXPIRED;
	if (now_ms < cert_from_ms(key->cert))
		return ERR_NOT_YET;
	return now_ms > cert_until_ms(key->cert) ? ERR_EXPIRED : OK;
}

const struct directory_key *
directory_sealing_key(const struct directory_authority *a, int64_t now_ms)
{
	for (size_t i = a->sealing_count; i-- > 0;) {
		if (a->sealing[i].until_ms == 0 &&
		    directory_key_usable(&a->sealing[i], now_ms) == OK)
			return &a->sealing[i];
	}
	return NULL;
}

enum err
directory_check_node(const struct directory *d, const struct cert *tls, int64_t now_ms)
{
	const struct directory_node *n = directory_node(d, cert_name(tls));
	const struct party *p;
	enum err e = ERR_CERTIFICATE;

	if (cert_use(tls) != USE_TLS)
		return ERR_CERTIFICATE;
	if (n == NULL)
		return ERR_UNKNOWN_KEY;
	p = find_party(d, n->party);
	for (size_t i = p->ca_count; i-- > 0 && e == ERR_CERTIFICATE;)
		e = cert_check(tls, p->cas[i], USE_TLS, now_ms);
	if (e != OK)
		return e;
	for (size_t i = 0; i < n->tls_count; i++) {
		if (public_key_equal(cert_key(n->tls[i].cert), cert_key(tls)))
			return directory_key_usable(&n->tls[i], now_ms);
	}
	return ERR_UNKNOWN_KEY;
}
