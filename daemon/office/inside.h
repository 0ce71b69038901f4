/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_OFFICE_INSIDE_H
#define DAEMON_OFFICE_INSIDE_H

#include "daemon/link.h"
#include "daemon/log.h"
#include "daemon/office/office.h"
#include "daemon/office/vault.h"
#include "daemon/session.h"
#include "daemon/store/committer.h"

/* The parts of an office, for the files of this folder: office.c (wiring),
 * mail.c (session with the post, directory), send.c (submit, serve chunks),
 * uploads.c (attachments from officers), sealing.c (seal), home.c (slips, offering
 * again), withdraw.c (taking back), receive.c (fetch, open, file or refuse),
 * watchman.c (clocks), sweep.c (deletes chunks that nobody needs), prune.c (what
 * was kept long enough). */

#define ALARMS_MAX 8
#define UPLOADS_MAX 64
#define PARTS_MAX ATTACHMENTS_MAX
#define DRAFTS_MAX (2 * BATCH_MAX)
#define PROGRESS_LISTS 256

/* What waits to be offered to the post: an envelope, or a slip by number. */
struct errand {
	bool is_slip;
	struct id envelope;
	uint64_t number;
	uint64_t token; /* 0: not offered on this session */
	bool leaving; /* that it leaves is being written; offered when it is */
	int64_t not_before_ms;
	struct errand *next;
};

struct sealing; /* sealing.c */
struct withdrawal; /* withdraw.c */

/* An attachment on its way from an officer. */
struct upload {
	struct id handle;
	char *name, *media_type;
	uint64_t length;
	uint32_t count, next; /* chunks, and the next one */
	uint8_t key[32];
	uint8_t digest[DIGEST_BYTES]; /* of the plaintext, when complete */
	struct sha256_run *running;
	struct merkle *leaves;
	uint64_t visit; /* of the officer's program that sends it */
	bool busy; /* a piece is being written */
	bool given_up; /* while busy: thrown away when the piece is written */
};

/* An envelope whose chunks are being fetched from the post. */
struct pull {
	struct envelope envelope;
	uint8_t digest[DIGEST_BYTES];
	uint32_t number; /* of the offer on this session */
	uint64_t stored_ms;
	size_t part; /* the part and chunk to ask for next */
	uint32_t index;
	unsigned asked, writing;
	struct pull *next;
};

struct office_watch {
	struct office *office;
	void (*fn)(void *arg, Citex__Event *e);
	void *arg;
	struct office_watch *next;
};

/* What the post said of an envelope. */
struct progress {
	struct id envelope;
	Citex__Frame *frame;
	struct progress *next;
};

/* A slip to be made by the batch under way (store thread). */
struct draft {
	Citex__SlipType type;
	struct id envelope_id;
	uint8_t digest[DIGEST_BYTES];
	char to[AUTHORITY_MAX_BYTES + 1];
	int64_t time_ms;
	enum err reason;
	char words[SLIP_REASON_MAX_BYTES + 1];
	uint64_t directory;
};

struct probing {
	uint32_t number;
	void (*fn)(void *arg, const Citex__ProbeResult *r);
	void *arg;
	struct probing *next;
};

struct office {
	struct office_config config;
	struct loop *loop;
	struct store *store;
	struct book *book;
	struct committer *committer;
	struct vault *vault;
	struct directory *directory;
	struct desk *desk;
	struct office_watch *watches;
	const char *alarms[ALARMS_MAX + 1];
	bool closing;

	/* mail.c */
	struct link *link;
	struct session *session;
	uint64_t
	    session_number; /* grows with each: offers are answered on their own session only */
	struct timer *tick, *redial;
	int64_t redial_ms;
	bool pumping; /* a pump is deferred */
	struct errand *errands, **last_errand;
	struct timer *errand_timer;
	uint64_t next_token;
	uint64_t last_slip; /* the highest number that was an errand since the last reload */
	struct progress *progress[PROGRESS_LISTS]; /* by the last byte of the envelope's id */
	size_t progress_count;
	struct proof_cache cache;
	struct probing *probings;
	uint32_t next_probe;
	struct withdrawal *withdrawals; /* withdraw.c: the post is asked, or has given back */
	uint32_t next_take_back;
	uint8_t post_incarnation[INCARNATION_BYTES];
	Citex__SignedHead *fetching; /* the head whose contents are on their way */
	struct buffer fetched;

	struct sealing *sealings; /* sealing.c: under way */
	struct upload *uploads[UPLOADS_MAX]; /* uploads.c */

	/* send.c */
	struct merkle *served; /* leaves of the attachment last served, and its root */
	uint8_t served_root[DIGEST_BYTES];

	/* receive.c */
	struct pull *pulls;
	struct buffer left; /* digests of what waits to be opened, one by one */
	bool reopening; /* one of them is */

	/* store thread: slips to be made when the batch ends */
	struct draft drafts[DRAFTS_MAX];
	size_t draft_count;

	bool sweeping; /* sweep.c */
	bool pruning; /* prune.c */

	/* watchman.c */
	struct timer *watchman;
	struct id silence_seen; /* envelopes up to here were looked at when they had waited long */
	bool noticing; /* what is to be told is being written */
	int64_t reoffer_ms, prune_ms;
};

/* office.c */
void tell_watches(struct office *o, const char *event, struct id id, const char *kind,
    const char *authority, const char *state);
void raise_alarm(struct office *o, const char *what, struct id id); /* WHAT is static */
void end_alarm(struct office *o, const char *what); /* its cause is gone */
void office_submit_job(struct office *o, struct job *j);
/* Store thread: a slip that this batch is to make. False: the batch has no room. */
bool add_draft(struct office *o, const struct draft *d);
void log_id(struct id id, char out[ID_TEXT_BYTES]);
/* A book_id_fn that appends each id to the buffer ARG: read_copy() takes them off. */
bool gather_marked(void *arg, struct id id);

/* mail.c */
enum err mail_open(struct office *o) MUST_CHECK;
void mail_close(struct office *o);
/* Hand over an envelope or slip now, or when the post is there. */
void mail_add(struct office *o, bool is_slip, struct id envelope, uint64_t number);
void mail_forget(struct office *o, struct id envelope); /* no longer to be offered */
/* Would an envelope sealed now be offered as soon as it is on disk? */
bool mail_offers_at_once(const struct office *o);
void mail_event(struct office *o, const struct event *ev);
void mail_send(struct office *o, Citex__Frame *f); /* a frame that goes as it is */
/* What was held back may go again. */
void mail_resume(struct office *o);
/* Offer again all that the store says is unsent, and the slips that wait. */
void mail_reload(struct office *o);
/* Load the slips newly made by a batch. */
void mail_new_slips(struct office *o);

/* send.c */
void send_close(struct office *o);
void send_chunk_wanted(struct office *o, const uint8_t *root, uint32_t index);
Citex__Content *content_of(const Citex__BookMessage *m); /* proto_wipe(); NULL: damaged */
void set_bytes(
    ProtobufCBinaryData *field, struct bytes b); /* a copy; what was there is not freed */

/* sealing.c */
void sealing_begin(struct office *o, struct id message); /* whoever of MESSAGE has no envelope */
void sealing_resume(struct office *o); /* what could not be sealed yet: for want of a directory */

/* uploads.c */
enum err uploads_open(struct office *o) MUST_CHECK; /* sweep what an earlier process left */
void uploads_close(struct office *o);
struct upload *upload_find(struct office *o, struct bytes handle); /* NULL: none */
void upload_forget(struct office *o, struct id handle); /* a message has its chunks now */
/* No message will have it: its place is free, its chunks go. */
void upload_give_up(struct office *o, struct id handle);

/* home.c */
void home_slip_arrived(struct office *o, uint32_t number, Citex__Slip *slip); /* takes SLIP */
void home_reoffer(struct office *o); /* no `opened' for a day, or the post is another one */

/* withdraw.c */
bool withdraw_holds(const struct office *o, struct id envelope); /* not to be offered now */
void withdraw_answer(struct office *o, const Citex__TakeBackResult *r); /* of the post */
void withdraw_link_lost(struct office *o);

/* receive.c */
enum err receive_open(struct office *o) MUST_CHECK;
void receive_close(struct office *o);
void receive_envelope(struct office *o, uint32_t number, Citex__Envelope *e,
    const Citex__Slip *receipt); /* takes E */
void receive_chunk(struct office *o, const Citex__Chunk *c);
void receive_link_lost(struct office *o);
void receive_directory_changed(struct office *o);
void receive_again(struct office *o); /* open what could not be, one by one */

/* restored.c */
void restored_spool(struct office *o, const Citex__Spool *spool); /* which spool a node has */

/* sweep.c */
/* Begin to delete the chunks under the handles of LIST_ORPHANS, if that is not under way. */
void sweep_begin(struct office *o);
/* Store thread. The envelope PACKED is gone from here: what no message and no other envelope has of
 * its attachments is an orphan. Bytes that are no envelope have none. */
enum err sweep_orphan(struct office *o, struct txn *t, struct bytes packed) MUST_CHECK;
/* Store thread. An envelope with OUTER is here: nothing of it is an orphan. */
enum err sweep_spare(struct office *o, struct txn *t, const Citex__Outer *outer) MUST_CHECK;

/* prune.c */
void prune_begin(struct office *o); /* once a day: what was kept long enough */

/* watchman.c */
enum err watchman_open(struct office *o) MUST_CHECK;
void watchman_close(struct office *o);

#endif
