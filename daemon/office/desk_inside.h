/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_OFFICE_DESK_INSIDE_H
#define DAEMON_OFFICE_DESK_INSIDE_H

#include "daemon/office/desk.h"
#include "daemon/office/display.h"
#include "pki/ossl.h"

/* The parts of the desk, for its files: desk.c (who may ask what, acts, single
 * views), desk_list.c (listings, what is due, quarantine, status), desk_files.c
 * (attachments, bundles). */

#define PAGE_BYTES (FRAME_MAX_BYTES - 16 * KIB) /* of rows: one more row fits a frame for sure */
#define FETCHES_MAX DESK_CLIENTS_MAX
#define WORDS_BYTES 400

/* An attachment that an officer is saving: pieces come in order, and their
 * digest is compared before the last one is given. */
struct fetching {
	bool used;
	uid_t user;
	struct id message;
	uint32_t attachment;
	uint64_t next; /* offset */
	struct sha256_run *digest;
	uint64_t stamp; /* the oldest makes room */
};

struct desk {
	struct office *office;
	struct counter *counter;
	char whose[AUTHORITY_MAX_BYTES + 32];
	struct fetching fetches[FETCHES_MAX];
	uint64_t fetch_stamp;
	struct hearing *hearings; /* of `watch' */
	struct walk *walks;
};

/* An act of the office under way for an officer. */
struct act {
	struct desk *desk;
	struct turn *turn;
	struct id id;
};

/* On the heap; whoever ends the turn frees it. */
struct act *act_new(struct desk *d, struct turn *t);
/* An office_done that ends the turn. */
void act_done(void *arg, enum err e, const char *words);
/* The officer's name, for the record. */
const char *officer_of(const struct turn *t);

/* A view: a snapshot for one event. V is to be ended in any case. */
enum err display_begin(struct desk *d, struct display *v) MUST_CHECK;
void display_end(struct display *v);
/* The message or exchange that TEXT names. */
enum err desk_find(struct desk *d, const char *text, struct id *out) MUST_CHECK;
enum err desk_is_incoming(struct desk *d, struct id id, bool *out) MUST_CHECK;
/* The exchange of the message ID, which may be its first. */
enum err exchange_of(const struct display *v, struct id id, struct id *out) MUST_CHECK;
/* End T with E about the id that was asked for. */
void fail_id(struct turn *t, enum err e, const char *id);
/* End T with ITEM, which is wiped. */
void answer_item(struct turn *t, Citex__Item *item);

/* Requests: counter_row's RUN. */
void run_list(void *arg, struct turn *t, const Citex__Request *r);
void run_quarantine(void *arg, struct turn *t, const Citex__Request *r);
void run_status(void *arg, struct turn *t, const Citex__Request *r);
void run_fetch(void *arg, struct turn *t, const Citex__Request *r);
void run_export(void *arg, struct turn *t, const Citex__Request *r);

/* Take what belongs to the desk's walks and fetches apart. */
void walks_end(struct desk *d);
void fetches_end(struct desk *d);

#endif
