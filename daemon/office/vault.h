/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_OFFICE_VAULT_H
#define DAEMON_OFFICE_VAULT_H

#include "daemon/office/office.h"
#include "daemon/workers.h"
#include "pki/seal.h"
#include "pki/slip.h"

/* The only user of the authority's private keys. It is asked for meaning: seal
 * this message to these addressees, open this envelope, sign these receipts; it
 * never signs a digest that somebody hands it. Threads first; a process could
 * stand behind the same header. Loop thread, but where said. */
struct vault;

enum err vault_new(struct loop *l, const struct office_config *c, struct vault **out) MUST_CHECK;
/* No work may be under way whose DONE matters. */
void vault_free(struct vault *v);

struct seal_addressee {
	const char *authority; /* borrowed from the work's content or directory */
	struct id envelope_id;
	uint64_t sequence;
	const struct directory_key *key;
	struct buffer packed; /* out: the Envelope */
};
struct seal_work {
	struct seal_work *next; /* the vault's */
	void (*done)(struct seal_work *w); /* the caller's again */
	void *arg;
	/* in; owned by the caller */
	struct directory *directory; /* a reference: the keys are borrowed from it */
	Citex__Content *content;
	struct bytes
	    signed_data_before; /* a message that was signed already: sealed anew as it is */
	const uint8_t *incarnation;
	int64_t created_ms, expires_ms;
	unsigned priority;
	struct now now;
	struct seal_addressee *to;
	size_t to_count;
	/* out */
	struct buffer signed_data;
	enum err err;
};
/* What gathers while others are sealed is sealed together: their envelopes share a signature. One
 * that fails does not harm the others. */
void vault_seal(struct vault *v, struct seal_work *w);

struct open_work {
	struct work work;
	struct vault *vault;
	void (*done)(struct open_work *w);
	void *arg;
	struct directory *directory; /* a reference */
	struct envelope envelope;
	int64_t now_ms;
	struct opened opened;
	enum err err;
	char detail[200]; /* for the local log alone */
};
/* ERR is what envelope_open() says, or ERR_RESEAL: it was sealed to a key of ours that is gone. */
void vault_open(struct vault *v, struct open_work *w);

/* Sign receipts and refusals about envelopes that arrived (slips_make()). Store thread. */
enum err vault_receipts(struct vault *v, const struct slip_draft *drafts, size_t count,
    struct buffer *packed) MUST_CHECK;

#endif
