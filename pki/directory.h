/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PKI_DIRECTORY_H
#define PKI_DIRECTORY_H

#include "pki/cert.h"
#include "proto/directory.pb-c.h"
#include "proto/frame.pb-c.h"

/* The signed list as a value. Pure: no file, no clock. A directory never
 * changes; a new one is a new value. References may be held by several threads. */
struct directory;

#define DIRECTORY_LABEL "citex directory v1"
#define AUTHORITY_CARD_LABEL "citex authority card v1"
#define NODE_CARD_LABEL "citex node card v1"
#define CA_LABEL "citex ca v1"

/* One key that the directory lists. Borrowed from the directory. */
struct directory_key {
	const struct cert *cert;
	int64_t from_ms, until_ms; /* until 0: in use */
	bool revoked;
	const char *reason;
};
struct directory_authority {
	const char *id, *name, *party, *node;
	unsigned roles; /* enum role of proto/kind.h */
	const struct directory_key *signing, *sealing; /* newest last */
	size_t signing_count, sealing_count;
	const Citex__AuthorityCard *card;
};
struct directory_node {
	const char *id, *party;
	const char *const *addresses; /* HOST:PORT */
	size_t address_count;
	const char *const *via;
	size_t via_count;
	const struct directory_key *tls, *receipts;
	size_t tls_count, receipts_count;
	const Citex__NodeCard *card;
};

/* Check a signed head: shape, and signature by PUBLISHER (a USE_DIRECTORY certificate). OUT: the
 * caller's, proto_free(). */
enum err head_verify(const Citex__SignedHead *h, const struct cert *publisher, Citex__Head **out)
    MUST_CHECK;
void head_digest(const Citex__SignedHead *h, uint8_t out[DIGEST_BYTES]);

/* What the node's administrator has looked at; all borrowed, as cert_fingerprint() writes them. */
struct directory_trust {
	const char *pin; /* of the publisher; NULL: none */
	char *const *confirmed; /* of CAs that changed without a voucher */
	size_t confirmed_count;
};

/* Build a directory from a head and its contents, checking everything: the
 * head's signature by a publisher key of PREVIOUS (or by the certificate whose
 * fingerprint is TRUST's pin, when PREVIOUS is NULL), digest and length of the
 * contents, each Party's CA (a changed CA needs the voucher of the old one, or to be confirmed in
 * TRUST, and is `held' else), each card's signature and certificates, names of its own Party only,
 * no name twice, roles known, each CA live. ERR_DIRECTORY, ERR_SIGNATURE, ERR_CERTIFICATE,
 * ERR_IDENTITY, ERR_MALFORMED; WHY (200 bytes) says what in words. */
enum err directory_build(const struct directory *previous, const struct directory_trust *trust,
    const Citex__SignedHead *head, struct bytes contents, struct directory **out, char *why)
    MUST_CHECK;
/* Judge a card by itself, as directory_build() does: PARTY's, by its CAS. Errors and WHY as above.
 */
enum err directory_check_card(const Citex__SignedCard *s, bool is_node, const char *party,
    struct cert *const *cas, size_t count, char *why) MUST_CHECK;
/* What a store keeps of D beside its head: the contents, and behind them the CAs that spoke for
 * each Party, also for one that is held or stands there no more. A restart without these would take
 * a changed CA for a new one. Appended to OUT. */
void directory_keep(const struct directory *d, struct buffer *out);
/* Build one again that was kept: contents and cards are checked again, the CAs by those in KEPT,
 * the head's signature by a publisher of JUDGE, or by the one that TRUST pins when JUDGE is NULL
 * (no pin either: by one that it names itself). KEPT may be contents alone: nothing is known of the
 * CAs then. Errors as above. */
enum err directory_build_kept(const struct directory *judge, const struct directory_trust *trust,
    const Citex__SignedHead *head, struct bytes kept, struct directory **out, char *why) MUST_CHECK;
struct directory *directory_ref(struct directory *d);
void directory_free(struct directory *d);
void directory_drop(struct directory **d);

/* What to do with heads offered by a peer: HEADS must be a chain, each signed by a publisher of D,
 * beginning at D's own number (whose digest must be D's: ERR_SPLIT_VIEW else, with both heads as
 * proof) or the one after it. *NEWEST is the last. */
enum err directory_check_heads(const struct directory *d, const Citex__DirectoryHeads *heads,
    const Citex__SignedHead **newest) MUST_CHECK;

/* Is H, of whatever number, signed by a publisher of D? *OUT is the caller's, proto_free(). For
 * finding out that two heads bear one number. ERR_MALFORMED, ERR_SIGNATURE, ERR_UNKNOWN_KEY. */
enum err directory_check_head(
    const struct directory *d, const Citex__SignedHead *h, Citex__Head **out) MUST_CHECK;

/* Facts of the head; all borrowed. STALE: past fresh-until. */
uint64_t directory_number(const struct directory *d);
const uint8_t *directory_head_digest(const struct directory *d);
const Citex__Head *directory_head(const struct directory *d);
const Citex__SignedHead *directory_signed_head(const struct directory *d);
struct bytes directory_contents(const struct directory *d);
bool directory_is_stale(const struct directory *d, int64_t now_ms);

/* Look-ups: NULL when there is none. All borrowed from D. */
const struct directory_authority *directory_authority(const struct directory *d, const char *id);
const struct directory_node *directory_node(const struct directory *d, const char *id);
const struct cert *directory_ca(
    const struct directory *d, const char *party); /* the live one; NULL: none, or held */
/* The code of a held Party, and the CA that waits to be confirmed; NULL after the last. */
const char *directory_held_at(const struct directory *d, size_t i, const struct cert **ca);
const struct directory_authority *directory_authority_at(
    const struct directory *d, size_t i); /* NULL after the last; by id */
const struct directory_node *directory_node_at(const struct directory *d, size_t i);
/* Any key by its identifier: *KEY, and *OWNER (authority or node id) and its use. ERR_UNKNOWN_KEY.
 */
enum err directory_key_find(const struct directory *d, struct bytes key_id,
    const struct directory_key **key, const char **owner, enum cert_use *use) MUST_CHECK;
/* The newest live sealing key of an authority, valid at NOW_MS; NULL: none. */
const struct directory_key *directory_sealing_key(
    const struct directory_authority *a, int64_t now_ms);
/* Is a TLS certificate one of NODE's keys here, chained, in use at NOW_MS? OK, ERR_UNKNOWN_KEY,
 * ERR_REVOKED, ERR_EXPIRED, ERR_NOT_YET, ERR_CERTIFICATE, ERR_IDENTITY. */
enum err directory_check_node(const struct directory *d, const struct cert *tls, int64_t now_ms)
    MUST_CHECK;
/* May KEY (signing) sign something at NOW_MS: live, or retired less than KEY_OVERLAP_MS ago, not
 * revoked, certificate in time? */
enum err directory_key_usable(const struct directory_key *key, int64_t now_ms) MUST_CHECK;

#endif
