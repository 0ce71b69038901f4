/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_POST_INSIDE_H
#define DAEMON_POST_INSIDE_H

#include "daemon/link.h"
#include "daemon/post/post.h"
#include "daemon/post/route.h"
#include "daemon/session.h"
#include "daemon/store/committer.h"
#include "daemon/workers.h"
#include "proto/desk.pb-c.h"

/* What the files of the post share. Loop thread only, but where a line says
 * otherwise. post.c wires; conn.c joins link and session; peers.c says with
 * whom to speak; intake.c, pulls.c and slips.c take, outgo.c hands on; lookout.c keeps the
 * directory; probe.c tries a path; chores.c forgets and expires; moves.c turns mail to another way;
 * takeback.c gives envelopes back to their office; admin.c answers administrators. */

struct conn;
struct errand;
struct intake;
struct pulls;
struct lookout;
struct peers;
struct probes;
struct chores;
struct moves;
struct takeback;
struct door;
struct admin;

struct post {
	struct loop *loop;
	struct post_config config;
	const char **offices; /* authorities; NULL ends */
	struct spool_signer signer;
	struct spool *spool;
	struct committer *committer;
	struct workers *workers; /* one thread, so that one cache serves it */
	struct proof_cache cache; /* that thread's */
	struct queue *queue;
	struct directory *directory; /* NULL: none yet */
	struct session_self self;
	struct conn *conns; /* all that live, newest first */
	struct errand *errands; /* under way */
	bool ending; /* begin nothing new */
	struct listener **listeners;
	struct door *doors; /* one for each listener */
	size_t listener_count;
	struct intake *intake;
	struct pulls *pulls;
	struct lookout *lookout;
	struct peers *peers;
	struct probes *probes;
	struct chores *chores;
	struct moves *moves;
	struct takeback *takebacks; /* under way: takeback.c */
	struct admin *admin;
};

struct route_self post_route_self(const struct post *p);
/* A lane got more, or less: for the queue, and for whoever carries it. */
void post_tell_news(struct post *p, const struct spool_news *news);
/* Something that a person should hear of. */
void post_alarm(struct post *p, const char *what, const char *id);
/* Another directory is in force; takes D. */
void post_switch_directory(struct post *p, struct directory *d);
uint32_t post_chance(void);

/* --- errand.c: one thing on its way through worker and store thread --- */

/* Embed at the front. Every errand is known to its post, so that what was
 * under way when a post ends is freed. */
struct errand {
	struct work work;
	struct job job;
	struct post *post;
	struct conn *conn; /* a reference; NULL: nobody waits */
	struct errand *prev, *next;
	size_t weight_bytes; /* intake.c: what it holds of what may be under way */
	void (*compute)(struct errand *e); /* worker's thread */
	void (*computed)(struct errand *e); /* may end it */
	enum err (*write)(struct errand *e, struct txn *t); /* store thread */
	void (*written)(struct errand *e, enum err result); /* may end it */
	void (*release)(struct errand *e); /* what it holds beside itself; may be NULL */
};
/* SIZE bytes, zeroed. CONN may be NULL. */
void *errand_new(struct post *p, struct conn *conn, size_t size);
void errand_compute(struct errand *e);
void errand_commit(struct errand *e);
void errand_end(struct errand *e);

/* --- conn.c: one conversation --- */

enum conn_kind { CONN_PEER, CONN_OFFICE };

/* An item of ours that the other side has not answered. */
struct flight {
	bool used;
	struct lane *lane;
	enum lane_class class;
	uint64_t ticket;
	struct id envelope_id;
	char author[AUTHORITY_MAX_BYTES + 1];
	struct spool_part *parts; /* owned */
	size_t part_count;
	uint64_t bytes, bytes_total;
	int64_t told_ms; /* when the author's office last heard */
};

struct held_chunk {
	uint8_t root[DIGEST_BYTES];
	uint32_t index;
};

struct pull; /* pulls.c: an envelope whose chunks come over this connection */

struct conn {
	struct post *post;
	struct conn *prev, *next;
	unsigned refs;
	bool dead;
	enum conn_kind kind;
	bool dialled; /* by us */
	bool opened; /* the link stands */
	bool ready; /* hello of both sides */
	bool closing; /* by our own wish: no failure */
	char name[AUTHORITY_MAX_BYTES + 1]; /* node, or authority; dialled: whom we want */
	char prefix[64]; /* of the source address, of an accepted one */
	struct link *link;
	struct session *session;
	struct cert *cert; /* presented by the peer */
	struct timer *timer;
	int64_t wake_ms; /* beside the session's deadline */
	int64_t ready_mono_ms, since_utc_ms;
	int64_t clock_off_ms; /* the peer's clock minus ours, when it said hello */
	struct actions actions; /* being carried out */
	size_t action_next;
	bool acting;
	struct flight *flights; /* WINDOW_ENVELOPES, once one flew; the index is the token */
	struct lane **lanes; /* carried, in order of names */
	size_t lane_count, lane_room, lane_turn;
	struct pull *pulls;
	struct held_chunk held[CHUNKS_IN_FLIGHT]; /* requests that wait for the link to drain */
	size_t held_count;
	bool paused; /* we do not read: too much is under way */
	uint64_t sent, received; /* items taken */
};

struct conn *conn_dial(struct post *p, const char *node, const char *address);
struct conn *conn_accept(struct post *p, int fd, const char *prefix);
struct conn *conn_accept_office(struct post *p, int fd, const char *authority);
struct conn *conn_ref(struct conn *c);
void conn_unref(struct conn *c);
/* An event for its session; what comes of it is carried out before this returns, or, when called
 * from there, after what is being carried out. Nothing for the dead. */
void conn_tell(struct conn *c, const struct event *ev);
/* The same, for a frame that goes as it is. */
void conn_send(struct conn *c, Citex__Frame *f);
/* Answer an offer: OK is taken. */
void conn_answer(struct conn *c, uint32_t number, enum err result, int64_t wait_ms);
/* Say goodbye; WHY is told to the peer. C is dead after it, and freed with its last reference. */
void conn_close(struct conn *c, enum err why);
/* Wake it by AT_MS (mono_ms) to offer what has waited. */
void conn_wake(struct conn *c, int64_t at_ms);
/* Too much is queued on its link: offer nothing now. */
bool conn_is_full(const struct conn *c);
/* All that live, each with a reference, to walk over while some may end; *COUNT of them. */
struct conn **conns_hold(struct post *p, size_t *count);
void conns_let_go(struct conn **all, size_t count);
/* Who it is, for route.h. */
struct route_from conn_from(const struct conn *c);

/* --- peers.c --- */

struct peers *peers_new(struct post *p);
void peers_free(struct peers *x);
enum err peers_judge(struct conn *c, const struct cert *cert) MUST_CHECK;
/* C said hello: keep it, or close it for another one. */
void peers_ready(struct post *p, struct conn *c);
void peers_spool(struct conn *c, const Citex__Spool *spool); /* the peer tells of a node's spool */
/* C is over. */
void peers_lost(struct post *p, struct conn *c, enum err why, const char *words);
/* Work came or went, a directory came: look again, soon. */
void peers_review(struct post *p);
void peers_directory_changed(struct post *p);
void peers_flush(struct post *p, const char *node);
/* Dial NODE now, although nothing waits for it. */
void peers_want(struct post *p, const char *node);
/* May one more be accepted? */
bool peers_may_accept(struct post *p, const char *address, char prefix[64]);
/* The conversation with NODE that is ready; NULL: none. */
struct conn *peers_conn(struct post *p, const char *node);
/* Who would carry mail to NODE now (NULL: nobody), and, when nobody, why not and when again. */
struct conn *peers_carrier(struct post *p, const char *node);
const struct retry *peers_retry(
    struct post *p, const char *node, const char **words, const char **hop);
/* Rows for administrators: I from 0; false after the last. */
bool peers_row(struct post *p, size_t i, Citex__PeerRow *row, struct buffer *texts);

/* --- intake.c --- */

#define LATER_LONG_MS (60 * SECOND_MS)
#define LATER_ASKED_MS (5 * SECOND_MS) /* the directory may be here by then */

struct intake *intake_new(struct post *p);
void intake_free(struct intake *x);
void intake_envelope(struct conn *c, uint32_t number, Citex__Frame *frame); /* takes FRAME */
/* Is an offer of envelope ID being judged or written? */
bool intake_has(const struct post *p, struct id id);
/* E, with BYTES of what its peer sent, is under way, and is no more; when too much is, peers are
 * not read. */
void intake_begin(struct errand *e, size_t bytes);
void intake_finish(struct errand *e);
/* End E, whose offer NUMBER is nothing that can be judged; WHY is OK when no directory is here yet.
 * WHAT is for the log. */
void intake_reject(struct errand *e, uint32_t number, const char *what, enum err why);
/* The store is above its low mark. */
bool intake_is_low(struct post *p);
/* How long to wait before it is offered again: MS, but never longer than we would wait to dial. */
int64_t intake_wait_ms(const struct post *p, int64_t ms);

/* --- slips.c --- */

void slips_take_in(struct conn *c, uint32_t number, Citex__Frame *frame); /* takes FRAME */

/* --- pulls.c --- */

struct pulls *pulls_new(void);
void pulls_free(struct pulls *x);
/* Envelope NUMBER of the spool, which C offers as OFFER, lacks chunks: ask for them, and answer
 * when all are here. */
void pulls_begin(struct conn *c, uint32_t offer, uint64_t number);
void pulls_chunk(struct conn *c, Citex__Frame *frame); /* takes FRAME */
void pulls_chunk_lost(struct conn *c, const uint8_t root[DIGEST_BYTES], uint32_t index);
/* Ask for chunks as far as it goes. */
void pulls_pump(struct conn *c);
void pulls_gone(struct conn *c);

/* --- outgo.c --- */

void outgo_pump(struct conn *c);
void outgo_taken(struct conn *c, uint64_t token);
void outgo_later(struct conn *c, uint64_t token, enum err why, int64_t wait_ms);
void outgo_read_chunk(struct conn *c, const uint8_t root[DIGEST_BYTES], uint32_t index);
void outgo_drained(struct conn *c);
void outgo_gone(struct conn *c);
/* Give the lanes that C should carry to it, those it carries no more to others. */
void outgo_assign(struct post *p);
/* Tell the authors' offices how it stands with what waits for NODE. */
void outgo_tell_waiting(struct post *p, const char *node);

/* --- lookout.c --- */

struct lookout *lookout_new(struct post *p);
void lookout_free(struct lookout *x);
/* The directory kept in the spool, or the configured one: the newer. May leave none. */
enum err lookout_begin(struct lookout *x) MUST_CHECK;
void lookout_peer(struct conn *c); /* C's hello names another directory */
void lookout_frame(struct conn *c, const Citex__Frame *f);
/* Something is unknown here that C, or (NULL) anybody, may know. */
void lookout_ask(struct post *p, struct conn *c);
void lookout_gone(struct conn *c);
void lookout_tick(struct post *p);
enum err lookout_offered(struct post *p, const Citex__SignedHead *head, struct bytes contents)
    MUST_CHECK;

/* --- probe.c --- */

struct probes *probes_new(struct post *p);
void probes_free(struct probes *x);
typedef void probe_fn(void *arg, const Citex__ProbeResult *r);
/* Try the path to NODE, which may be an authority. FN is called once. */
void probe_begin(struct post *p, const char *node, probe_fn *fn, void *arg);
void probe_frame(struct conn *c, const Citex__Frame *f);
/* A conversation began or failed: whoever waits for it hears. */
void probe_ready(struct post *p, struct conn *c);
void probe_failed(struct post *p, const char *node, enum err why, const char *words);

/* --- chores.c --- */

struct chores *chores_new(struct post *p);
void chores_free(struct chores *x);
/* Chunks are to be deleted. */
void chores_sweep(struct post *p);
/* Our clock went with the monotonic one: its word on expiry counts. */
bool chores_clock_is_sane(const struct post *p);

/* --- moves.c --- */

struct moves *moves_new(struct post *p);
void moves_free(struct moves *x);
/* A directory came: look at all that waits for nodes. */
void moves_begin(struct moves *x);

/* --- takeback.c --- */

/* An office asks for envelopes of its own. Answered when they are off the disk, or stay. */
void takeback_frame(struct conn *c, const Citex__Frame *f);
/* Is what waits under TICKET being given back? Then it is not to be offered. */
bool takeback_holds(const struct post *p, uint64_t ticket);

/* --- admin.c --- */

/* Answers administrators, when there is a socket for them. */
struct admin *admin_new(struct post *p);
void admin_free(struct admin *x);

#endif
