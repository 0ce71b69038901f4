/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_FIXTURES_H
#define TESTS_FIXTURES_H

#include "pki/directory.h"

/* A small exchange in memory, for unit tests of all rooms: the Secretariat,
 * ke (ke.ma, ke.kws), gb (gb.ma, gb.border-force), so (so.ma; no address, via
 * the Secretariat's node), each Party with its own CA, all keys at hand. */
struct fixture;

#define FIXTURE_NOW_MS \
	1766000000000LL /* all certificates hold from a day before to two years after */

struct fixture *fixture_new(void);
void fixture_free(struct fixture *f);
/* For cmocka: *STATE is a fixture. */
int fixture_set_up(void **state);
int fixture_tear_down(void **state);
/* The newest directory; borrowed. Number 1 at first. */
struct directory *fixture_directory(struct fixture *f);
/* Its publisher's fingerprint. */
const char *fixture_pin(struct fixture *f);
/* Keys and certificates of an authority (USE_SIGNING, USE_SEALING), a node (USE_TLS, USE_RECEIPTS),
 * or a Party (USE_CA) or the publisher (USE_DIRECTORY, any name). Borrowed. Fails the test when
 * there is none. */
struct private_key *fixture_key(struct fixture *f, const char *name, enum cert_use use);
struct cert *fixture_cert(struct fixture *f, const char *name, enum cert_use use);

/* Changes take effect with the next fixture_publish(), which makes number n + 1 and returns it
 * (borrowed). */
void fixture_add_party(
    struct fixture *f, const char *party, const char *authority, const char *role);
void fixture_revoke(struct fixture *f, const char *name, enum cert_use use, int64_t at_ms);
/* A new key beside the old one, which is retired at AT_MS. */
void fixture_renew(struct fixture *f, const char *name, enum cert_use use, int64_t at_ms);
struct directory *fixture_publish(struct fixture *f);
/* The bytes of what would be published as NUMBER after PREVIOUS (a digest, or NULL): for tests of
 * what is wrong. CHANGE may be NULL. */
void fixture_make(struct fixture *f, uint64_t number, const uint8_t *previous,
    void (*change)(Citex__DirectoryContents *c, void *arg), void *arg, Citex__SignedHead **head,
    struct buffer *contents);

#endif
