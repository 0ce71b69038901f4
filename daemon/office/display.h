/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_OFFICE_DISPLAY_H
#define DAEMON_OFFICE_DISPLAY_H

#include "daemon/office/history.h"
#include "daemon/office/office.h"

/* What an officer is shown, made from the book: one snapshot, one moment. It
 * changes nothing. What is given out is the caller's, proto_wipe(). */
struct display {
	struct book *book;
	struct txn *t;
	const struct directory *directory; /* NULL: none yet */
	struct office *office;
	const char *me;
	int64_t now_ms;
};

/* A line of a listing. ERR_CORRUPT. */
enum err display_row(const struct display *v, struct id message, Citex__MessageRow **out)
    MUST_CHECK;
enum err display_item(const struct display *v, struct id message, Citex__Item **out) MUST_CHECK;
enum err display_tracking(const struct display *v, struct id message, Citex__Tracking **out)
    MUST_CHECK;
enum err display_exchange(const struct display *v, struct id exchange, Citex__ExchangeView **out)
    MUST_CHECK;
/* Append to LIST who still owes an answer in EXCHANGE. */
enum err display_due(const struct display *v, struct id exchange, Citex__DueList *list) MUST_CHECK;
void display_due_sort(
    Citex__DueList *list); /* what is due first, first; what has no time yet, last */
/* Does TEXT occur in the message: its fields, people, files, id? Letters of ASCII in either case.
 */
bool display_matches(const Citex__BookMessage *m, const char *text);

/* Texts of messages that are made here: replaced and given a value of their own. */
void text_set(char **field, const char *value);
void text_add(char ***list, size_t *count, const char *value);
void text_set_id(char **field, ProtobufCBinaryData id); /* "" when it is none */
void text_set_time(char **field, int64_t utc_ms); /* "" for 0 */
/* A new message of D, on the heap. */
void *message_new(const ProtobufCMessageDescriptor *d);
/* Append M to an array of pointers to messages. */
void message_add(void *list, size_t *count, void *m);
/* The word for how far an envelope is. */
const char *slip_word(Citex__SlipType type);

#endif
