/* SPDX-License-Identifier: Apache-2.0 */
/* Administrators' requests on the post's own socket: queue, flush, peers,
 * probe. The counter knows who asks; this answers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/counter.h"
#include "daemon/post/inside.h"

#define QUEUE_ROWS_MAX 128 /* in one answer, which must fit a frame */
#define PEER_ROWS_MAX 256 /* in one answer; more follow in further ones */
#define MAY_ADMINISTER 1u

struct admin {
	struct post *post;
	struct counter *counter;
};

static bool
who(void *arg, uid_t user, struct visitor *out)
{
	struct admin *a = arg;
	const struct post_config *c = &a->post->config;
	bool known = user == 0;

	for (size_t i = 0; i < c->admin_user_count; i++)
		known = known || c->admin_users[i] == user;
	if (!known)
		return false;
	*out = (struct visitor){ .user = user, .may = MAY_ADMINISTER };
	(void)snprintf(out->name, sizeof(out->name), "administrator %u", (unsigned)user);
	return true;
}

/* --- queue --- */

/* One row, and the texts it points into. */
struct queue_texts {
	Citex__QueueRow row;
	char envelope[ID_TEXT_BYTES], created[TIME_TEXT_BYTES], expires[TIME_TEXT_BYTES];
	char next[TIME_TEXT_BYTES], reason[256];
	struct spool_item item;
	char node[NODE_MAX_BYTES + 1];
};

struct listing {
	struct post *post;
	struct queue_texts rows[QUEUE_ROWS_MAX];
	struct spool_item page[QUEUE_ROWS_MAX];
	size_t count;
	uint64_t total;
};

static void
fill_row(struct listing *q, const struct lane *l, const struct spool_item *item)
{
	struct queue_texts *x = &q->rows[q->count++];
	const char *words, *hop;
	const struct retry *r = peers_retry(q->post, lane_name(l) + 1, &words, &hop);

	x->row = (Citex__QueueRow)CITEX__QUEUE_ROW__INIT;
	x->item = *item;
	strncpy(x->node, lane_name(l) + 1, sizeof(x->node) - 1);
	id_print(item->envelope_id, x->envelope);
	time_print(item->created_ms, x->created);
	time_print(item->expires_ms, x->expires);
	time_print(lane_is_open(l) ? 0 : r->next_utc_ms, x->next);
	strncpy(x->reason, lane_is_open(l) ? "" : words, sizeof(x->reason) - 1);
	x->row.envelope = x->envelope;
	x->row.author = x->item.author;
	x->row.addressee = x->item.addressee;
	x->row.node = x->node;
	x->row.created = x->created;
	x->row.expires = x->expires;
	x->row.attempts = lane_is_open(l) ? 0 : r->attempts;
	x->row.next_try = x->next;
	x->row.reason = x->reason;
	x->row.bytes = item->bytes;
}

static void
list_lane(struct listing *q, const struct lane *l)
{
	for (int class = LANE_URGENT; class < LANE_CLASSES; class ++) {
		size_t room = QUEUE_ROWS_MAX - q->count, found = 0;
		bool end;
		q->total += lane_count(l, (enum lane_class) class);
		if (room == 0 ||
		    spool_page(q->post->spool, lane_name(l), (enum lane_class) class, 0, q->page,
			room, &found, &end) != OK)
			continue;
		for (size_t i = 0; i < found; i++)
			fill_row(q, l, &q->page[i]);
	}
}

/* Nobody whom mail could wait for: not in the directory, neither as a node nor as an authority. */
static bool
is_nobody(const struct post *p, const char *name)
{
	return p->directory == NULL ||
	    (directory_node(p->directory, name) == NULL &&
		directory_authority(p->directory, name) == NULL);
}

static void
answer_queue(void *arg, struct turn *t, const Citex__Request *r)
{
	struct admin *a = arg;
	struct listing *q = xalloc(sizeof(*q));
	Citex__QueueRow *rows[QUEUE_ROWS_MAX];
	Citex__Answer answer = CITEX__ANSWER__INIT;
	Citex__QueueView view = CITEX__QUEUE_VIEW__INIT;
	const char *node = r->queue->node;
	struct lane *l;

	q->post = a->post;
	for (size_t i = 0; (l = queue_lane_at(a->post->queue, i)) != NULL; i++) {
		if (node[0] == '\0' || strcmp(lane_name(l) + 1, node) == 0)
			list_lane(q, l);
	}
	if (q->total == 0 && node[0] != '\0' && is_nobody(a->post, node)) {
		turn_fail(t, ERR_NOT_FOUND, "the directory has no node or authority %s", node);
		free(q);
		return;
	}
	for (size_t i = 0; i < q->count; i++)
		rows[i] = &q->rows[i].row;
	view.queue = rows;
	view.n_queue = q->count;
	view.total = q->total;
	answer.what_case = CITEX__ANSWER__WHAT_QUEUE;
	answer.queue = &view;
	turn_answer(t, &answer);
	free(q);
}

static void
answer_flush(void *arg, struct turn *t, const Citex__Request *r)
{
	struct admin *a = arg;
	const char *node = r->flush->node;

	if (node[0] != '\0' &&
	    (a->post->directory == NULL || directory_node(a->post->directory, node) == NULL)) {
		turn_fail(t, ERR_NOT_FOUND, "the directory has no node %s", node);
		return;
	}
	peers_flush(a->post, node[0] != '\0' ? node : NULL);
	turn_done(t, OK);
}

/* --- peers --- */

struct peer_texts {
	Citex__PeerRow row;
	struct buffer texts;
};

static void
answer_peers(void *arg, struct turn *t, const Citex__Request *r)
{
	struct admin *a = arg;
	struct peer_texts *x = xalloc_array(PEER_ROWS_MAX, sizeof(*x));
	Citex__PeerRow *rows[PEER_ROWS_MAX];
	Citex__Answer answer = CITEX__ANSWER__INIT;
	Citex__PeersView view = CITEX__PEERS_VIEW__INIT;
	size_t count = 0;

	(void)r;
	while (count < PEER_ROWS_MAX && peers_row(a->post, count, &x[count].row, &x[count].texts)) {
		rows[count] = &x[count].row;
		count++;
	}
	view.peers = rows;
	view.n_peers = count;
	answer.what_case = CITEX__ANSWER__WHAT_PEERS;
	answer.peers = &view;
	turn_answer(t, &answer);
	for (size_t i = 0; i < PEER_ROWS_MAX; i++)
		buffer_release(&x[i].texts);
	free(x);
}

/* --- probe --- */

static const char *
mend_of(enum err why)
{
	switch (why) {
	case OK:
		return "";
	case ERR_UNREACHABLE:
	case ERR_TIMEOUT:
		return "look whether the node runs, and at the line and the firewall between";
	case ERR_NOT_FOUND:
		return "see `citex directory' for the nodes there are";
	case ERR_UNKNOWN_KEY:
	case ERR_CERTIFICATE:
	case ERR_EXPIRED:
	case ERR_REVOKED:
	case ERR_TLS:
		return "compare its certificate with the directory";
	default:
		return "see the log of this node";
	}
}

static void
probed(void *arg, const Citex__ProbeResult *r)
{
	struct turn *t = arg;
	Citex__Answer answer = CITEX__ANSWER__INIT;
	Citex__DoctorView view = CITEX__DOCTOR_VIEW__INIT;
	Citex__Check check = CITEX__CHECK__INIT, *checks[1] = { &check };
	char reason[512];
	enum err why = strcmp(r->reason, err_name(OK)) == 0 ? OK : err_from_name(r->reason);

	check.what = r->node;
	check.good = why == OK;
	if (why == OK)
		(void)snprintf(reason, sizeof(reason), "%s%sround trip %llu ms", r->words,
		    r->words[0] != '\0' ? "; " : "", (unsigned long long)r->round_trip_us / 1000);
	else
		(void)snprintf(reason, sizeof(reason), "%s%s%s", err_words(why),
		    r->words[0] != '\0' ? ": " : "", r->words);
	check.reason = reason;
	check.mend = (char *)(uintptr_t)mend_of(why);
	view.checks = checks;
	view.n_checks = 1;
	answer.what_case = CITEX__ANSWER__WHAT_DOCTOR;
	answer.doctor = &view;
	turn_answer(t, &answer);
}

static void
answer_probe(void *arg, struct turn *t, const Citex__Request *r)
{
	struct admin *a = arg;

	probe_begin(a->post, r->probe->node, probed, t);
}

static const struct counter_row rows[] = {
	{ CITEX__REQUEST__WHAT_QUEUE, "queue", MAY_ADMINISTER, false, answer_queue },
	{ CITEX__REQUEST__WHAT_FLUSH, "flush", MAY_ADMINISTER, false, answer_flush },
	{ CITEX__REQUEST__WHAT_PEERS, "peers", MAY_ADMINISTER, false, answer_peers },
	{ CITEX__REQUEST__WHAT_PROBE, "probe", MAY_ADMINISTER, true, answer_probe },
	{ 0 },
};

struct admin *
admin_new(struct post *p)
{
	struct admin *a;
	struct counter_rules rules = {
		.whose = "this node's post",
		.rows = rows,
		.who = who,
	};

	if (p->config.admin_fd < 0)
		return NULL;
	a = xalloc(sizeof(*a));
	a->post = p;
	rules.arg = a;
	a->counter = counter_new(p->loop, p->config.admin_fd, &rules);
	return a;
}

void
admin_free(struct admin *a)
{
	if (a == NULL)
		return;
	counter_free(a->counter);
	free(a);
}
