/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_OFFICE_EXCHANGE_H
#define DAEMON_OFFICE_EXCHANGE_H

#include "daemon/office/clock.h"
#include "proto/book.pb-c.h"
#include "proto/kind.h"
#include "proto/message.pb-c.h"

/* A thread of messages as a value: its state is a pure function of its
 * messages, their receipts and the time (domain: Conf. 11.3, 3(a) to 3(e)).
 * Silence is never an answer: nothing here closes or answers by lapse of time. */

/* One message of the exchange. */
struct exchange_message {
	struct id id;
	const struct kind *kind; /* NULL: not known here */
	const char *author;
	int64_t created_ms;
	int64_t arrived_ms; /* of what came in: when our own node stored it; 0: our own */
	const Citex__Rule *rule; /* of a message that starts clocks; may be NULL */
	bool begins; /* the first message of the exchange */
	bool has_about;
	struct id about;
	bool is_final; /* an answer that ends the wait */
	int64_t until_ms; /* an interim answer's date; 0: none */
	const char *outcome; /* a closing's code; NULL */
	/* Those who are asked: of an outgoing message all addressees with the time of their own
	 * node's receipt (0: not delivered yet); of an incoming one ourselves. */
	struct exchange_asked {
		const char *authority;
		int64_t stored_ms;
		bool ended; /* refused or expired */
	} * asked;
	size_t asked_count;
};

/* One addressee's clock. */
struct exchange_clock {
	struct id message; /* that asked */
	const char *authority; /* who owes */
	const char *to; /* whom */
	int64_t start_ms; /* 0: not yet delivered */
	int64_t due_ms; /* 0: none yet */
	int64_t until_ms; /* of the newest interim answer; 0 */
	int64_t answered_ms; /* 0: open */
	bool ended; /* refused, expired, or the exchange is closed */
	bool was_overdue; /* also when an interim answer came later */
	const Citex__Rule *rule;
	const char *paragraph;
};

enum exchange_status { EXCHANGE_OPEN, EXCHANGE_ANSWERED, EXCHANGE_CLOSED };

struct exchange {
	enum exchange_status status;
	const char *outcome; /* of the closing; NULL */
	struct exchange_clock *clocks;
	size_t clock_count;
};

/* Fill X from MESSAGES (borrowed by X), in whatever order, at NOW_MS: ids follow their authors'
 * clocks, so that an answer may stand before its question. Only who began the exchange closes it;
 * only who was asked answers. exchange_release() frees. */
void exchange_fill(
    struct exchange *x, const struct exchange_message *messages, size_t count, int64_t now_ms);
void exchange_release(struct exchange *x);
const char *exchange_status_word(enum exchange_status s); /* open, answered, closed */
/* Is the clock running and past its due time at NOW_MS? */
bool exchange_clock_is_overdue(const struct exchange_clock *c, int64_t now_ms);
/* Is it running, and due within DUE_SOON_MS? */
bool exchange_clock_is_due_soon(const struct exchange_clock *c, int64_t now_ms);
/* What the author of M, which is not in X yet, should hear though nothing forbids it: that it
 * closes or answers what is closed or answered, or moves no date. A sentence marked for po/; NULL:
 * nothing.
 */
const char *exchange_advice(const struct exchange *x, const struct exchange_message *m);
/* When the state next changes by itself (a clock runs out): INT64_MAX: never. */
int64_t exchange_next_ms(const struct exchange *x, int64_t now_ms);

#endif
