/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_OFFICE_DOSSIER_H
#define DAEMON_OFFICE_DOSSIER_H

#include "daemon/office/book.h"
#include "daemon/office/exchange.h"

/* An exchange out of the book: its messages decoded, and its state at a time.
 * Plaintext: dossier_release() wipes. Store thread, or on a snapshot. */

struct dossier_message {
	struct id id;
	Citex__BookMessage *book;
	Citex__Content *content;
	const struct kind *kind; /* NULL: not known here */
	ProtobufCMessage *body; /* NULL: not known here, or not decodable */
	Citex__BookAddressee **addressees; /* of an outgoing one */
	size_t addressee_count;
	struct exchange_asked *asked; /* who owes an answer */
	size_t asked_count;
};

struct dossier {
	struct dossier_message *messages; /* in order of ids */
	size_t count;
	struct exchange_message *lines; /* what STATE was made of */
	struct exchange state;
};

/* One message alone: its content and body. ERR_NOT_FOUND, ERR_CORRUPT. M is to be released in any
 * case. */
enum err dossier_message_load(struct book *b, struct txn *t, const char *me, struct id id,
    struct dossier_message *m) MUST_CHECK;
void dossier_message_release(struct dossier_message *m);

/* The exchange ID as the authority ME sees it at NOW_MS. D is to be released in any case. */
enum err dossier_load(struct book *b, struct txn *t, const char *me, struct id id, int64_t now_ms,
    struct dossier *d) MUST_CHECK;
void dossier_release(struct dossier *d);

/* Borrowed; NULL: none. */
const struct dossier_message *dossier_find(const struct dossier *d, struct id message);
const struct exchange_clock *dossier_clock(
    const struct dossier *d, struct id message, const char *authority);

#endif
