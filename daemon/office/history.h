/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_OFFICE_HISTORY_H
#define DAEMON_OFFICE_HISTORY_H

#include "daemon/office/exchange.h"
#include "daemon/office/office.h"

/* An exchange as it stands in the book: its messages, taken apart, and its state. */
struct history_message {
	Citex__BookMessage *message;
	Citex__Content *content;
	ProtobufCMessage *body; /* NULL: a kind not known here */
	const struct kind *kind;
	Citex__BookAddressee **addressees; /* of an outgoing one */
	size_t addressee_count;
};

struct history {
	struct history_message *messages; /* in order of ids */
	size_t count;
	struct exchange exchange;
	struct exchange_message *facts; /* as many; what EXCHANGE borrows from */
};

/* Load EXCHANGE at NOW_MS. history_release() wipes. ERR_NOT_FOUND: no message of it is here. */
enum err history_load(struct office *o, struct txn *t, struct id exchange, int64_t now_ms,
    struct history *out) MUST_CHECK;
void history_release(struct history *v);
/* Has A, an addressee of M, been sent to for SILENCE_NOTICE_MS without a receipt of its own node?
 */
bool history_is_silent(const Citex__BookMessage *m, const Citex__BookAddressee *a, int64_t now_ms);
/* One message alone. */
enum err history_message_load(
    struct office *o, struct txn *t, struct id id, struct history_message *out) MUST_CHECK;
void history_message_release(struct history_message *m);

#endif
