/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_OFFICE_OFFICE_H
#define DAEMON_OFFICE_OFFICE_H

#include <sys/types.h>

#include "daemon/loop.h"
#include "daemon/office/book.h"
#include "pki/directory.h"
#include "proto/desk.pb-c.h"

/* The process that serves one authority: it holds that authority's keys, opens
 * and writes messages, runs the clocks, serves the officers. It never sees the
 * network: everything goes through its post. Nothing is global: several offices
 * may live in one process. Loop thread only, but where said. */
struct office;

struct office_key {
	struct cert *cert;
	struct private_key *key;
};

struct office_officer {
	const char *name;
	uid_t user;
	unsigned may; /* OFFICER_MAY_..., daemon/conf.h */
};

/* Borrowed; must outlive the office. */
struct office_config {
	const char *authority, *node;
	const struct office_key *signing, *sealing; /* newest last */
	size_t signing_count, sealing_count;
	const struct secret *store_key; /* 32 bytes */
	const char *link_path; /* the post's socket for this office */
	struct directory_trust trust; /* the pin is for a first directory */
	int desk_fd; /* officers' socket; -1: none */
	const struct office_officer *officers;
	size_t officer_count;
	bool tell_seen; /* send `seen' slips */
	/* EVENT: "new", "due", "alarm". */
	void (*hook)(void *arg, const char *event, const char *id, const char *kind);
	void *hook_arg;
};

/* Over S, open with book_layout; C is borrowed. ERR_CONFIG without keys, ERR_CORRUPT when the store
 * key is another. */
enum err office_new(
    struct loop *l, struct store *s, const struct office_config *c, struct office **out) MUST_CHECK;
void office_free(struct office *o);

/* What the desk needs to know. All borrowed. */
const struct office_config *office_config(const struct office *o);
struct loop *office_loop(struct office *o);
struct book *office_book(struct office *o);
struct directory *office_directory(struct office *o); /* NULL: none yet */
bool office_has_post(const struct office *o);
/* Words of alarms that stand; NULL ends. */
const char *const *office_alarms(const struct office *o);
/* What the post last said of an envelope of ours; NULL: nothing. */
const Citex__Progress *office_progress(const struct office *o, struct id envelope);

/* Hear of each Event (message, state, due, directory, alarm) until unwatched. */
struct office_watch;
struct office_watch *office_watch(
    struct office *o, void (*fn)(void *arg, Citex__Event *e), void *arg);
void office_unwatch(struct office_watch *w);

/* The officers' acts. Each is checked, written with its audit entry, committed, and then answered
 * by DONE, once, later. WORDS says what is wrong and what to do; "" for err_words(). */
typedef void office_done(void *arg, enum err e, const char *words);
typedef void office_submitted(void *arg, enum err e, const char *words, const Citex__Submitted *s);
/* Send a message: every kind. What it refuses was not written. A known id with the same request is
 * answered with what was done (KNOWN), with another: ERR_CONFLICT. */
void office_submit(struct office *o, const Citex__Submit *s, const char *officer,
    office_submitted *done, void *arg);
/* Pass a message on, if its handling allows: ERR_HANDLING with the reason. */
void office_forward(struct office *o, const Citex__Forward *f, const char *officer,
    office_submitted *done, void *arg);
/* The next piece of an attachment, during VISIT; done when it is on disk. ERR_UNEXPECTED: not the
 * next piece. */
void office_put(
    struct office *o, uint64_t visit, const Citex__Put *p, office_done *done, void *arg);
/* The officer's program is gone: what it put and no message has taken up is thrown away, its place
 * is free at once. */
void office_visit_ended(struct office *o, uint64_t visit);
/* An officer has shown an incoming message: ends `new', audited; a `seen' slip if policy allows. */
void office_shown(
    struct office *o, struct id message, const char *officer, office_done *done, void *arg);
/* Take a message back from all its addressees or from none: while each of its envelopes is here, or
 * the post gives it back. ERR_WRONG_STATE: it has left, or may have; WORDS say for whom. */
void office_withdraw(
    struct office *o, struct id message, const char *officer, office_done *done, void *arg);
/* Open a quarantined envelope again, or drop it for good. */
void office_retry(
    struct office *o, struct id envelope, const char *officer, office_done *done, void *arg);
void office_drop(
    struct office *o, struct id envelope, const char *officer, office_done *done, void *arg);
/* Record an act that changes nothing else: saved, exported, refused. */
void office_record(struct office *o, const char *officer, const char *act, const char *id,
    const char *what, office_done *done, void *arg);
/* Ask the post for the path to a node or authority. R is NULL when the post is gone. */
void office_probe(struct office *o, const char *node,
    void (*fn)(void *arg, const Citex__ProbeResult *r), void *arg);

#endif
