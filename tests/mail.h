/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_MAIL_H
#define TESTS_MAIL_H

#include "pki/seal.h"
#include "tests/fixtures.h"

/* Envelopes between the authorities of a fixture, right ones and wrong ones. */

#define MAIL_CREATED_MS (FIXTURE_NOW_MS - HOUR_MS)

/* What is to be otherwise than usual; all zero is a right envelope. */
struct mail_plan {
	const char *author, *addressee; /* NULL: gb.ma, ke.ma */
	const char *sealed_to; /* whose sealing key; NULL: the addressee's */
	const char *signer; /* whose key signs the content; NULL: the author */
	enum cert_use signer_use; /* 0: USE_SIGNING */
	bool signed_by_ca; /* the signer is a Party */
	const char *stamper; /* whose key stamps; NULL: the author */
	struct bytes signed_data; /* sealed instead of the content, when not empty */
	const struct id *envelope_id; /* NULL: a new one */
	size_t attachments;
	uint64_t sequence; /* 0: 1 */
	void (*content)(Citex__Content *c, void *arg); /* change it before it is signed */
	void (*sealed)(struct buffer *sealed, void *arg); /* change the AuthEnvelopedData */
	void (*outer)(Citex__Outer *o, void *arg); /* change it before it is stamped */
	void *arg;
};

/* A note from gb.ma to ke.ma, heap, proto_free(). */
Citex__Content *mail_content(const struct mail_plan *plan);
/* Append the encoded Envelope; SIGNED_DATA (may be NULL) gets what is sealed in it. */
void mail_make(struct fixture *f, const struct mail_plan *plan, struct buffer *packed,
    struct buffer *signed_data);
/* The same, taken apart; fails the test when it is not well-formed. */
void mail_envelope(struct fixture *f, const struct mail_plan *plan, struct envelope *e);

#endif
