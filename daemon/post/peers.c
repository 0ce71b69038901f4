/* SPDX-License-Identifier: Apache-2.0 */
/* With whom to speak: whom to dial and when, whom to let in, and which of two
 * conversations with one node stays.
 *
 * Mail waits in lanes named for the node that serves the addressee; who
 * carries a lane (the node itself, or a relay) is decided here, again whenever
 * somebody comes, goes, or the directory changes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/address.h"
#include "daemon/log.h"
#include "daemon/post/inside.h"
#include "pki/ossl.h"

/* A second connection from a node within this time of the first is the other half of two dials that
 * crossed; later, the node has lost the first one. */
#define CROSSED_MS (HANDSHAKE_TIMEOUT_MS + HELLO_TIMEOUT_MS)

struct peer {
	char node[NODE_MAX_BYTES + 1];
	struct conn *conn; /* ready */
	struct conn *dialling; /* on its way */
	struct retry retry;
	char words[200]; /* of the last failure */
	size_t address; /* which of its addresses is next */
	bool wanted; /* there is something to say to it, or to hear from it */
	uint64_t sent, received; /* over past conversations */
	bool knows_us; /* it has heard which spool ours is */
	bool is_known; /* which spool is its: since this post was started */
	uint8_t incarnation[INCARNATION_BYTES];
};

struct peers {
	struct post *post;
	struct peer **at; /* by node */
	size_t count, room;
	struct timer *timer;
};

static size_t
place_of(const struct peers *x, const char *node)
{
	size_t low = 0, high = x->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (strcmp(x->at[middle]->node, node) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct peer *
find(const struct peers *x, const char *node)
{
	size_t i = place_of(x, node);

	return i < x->count && strcmp(x->at[i]->node, node) == 0 ? x->at[i] : NULL;
}

/* The peer NODE, made when new. Nodes come from the directory: their number is bounded. */
static struct peer *
get(struct peers *x, const char *node)
{
	size_t i = place_of(x, node);
	struct spool_peer was;
	struct peer *n;

	if (i < x->count && strcmp(x->at[i]->node, node) == 0)
		return x->at[i];
	if (x->count == x->room) {
		x->room = x->room == 0 ? 16 : x->room * 2;
		x->at = xgrow(x->at, x->room, sizeof(struct peer *));
	}
	memmove(&x->at[i + 1], &x->at[i], (x->count - i) * sizeof(struct peer *));
	n = x->at[i] = xalloc(sizeof(*n));
	x->count++;
	strncpy(n->node, node, sizeof(n->node) - 1);
	retry_init(&n->retry, x->post->config.retry_first_ms, x->post->config.retry_max_ms);
	n->knows_us = spool_peer(x->post->spool, node, &was) == OK && was.knows_us;
	return n;
}

struct conn *
peers_conn(struct post *p, const char *node)
{
	struct peer *n = find(p->peers, node);

	return n != NULL ? n->conn : NULL;
}

/* --- who carries what --- */

/* A carrier for NODE among RELAYS, or the one of them to dial. */
static struct conn *
among(struct post *p, const struct directory_node *of, struct peer **dial)
{
	for (size_t i = 0; i < of->via_count; i++) {
		struct peer *relay;
		if (strcmp(of->via[i], p->config.node) == 0)
			continue;
		relay = get(p->peers, of->via[i]);
		if (relay->conn != NULL)
			return relay->conn;
		if (*dial == NULL || relay->retry.attempts < (*dial)->retry.attempts)
			*dial = relay;
	}
	return NULL;
}

/* Who carries mail to NODE, or, when nobody does, *DIAL and *OR: whom to dial for it. */
static struct conn *
way_to(struct post *p, const char *node, struct peer **dial, struct peer ** or)
{
	const struct directory_node *there, *self;
	struct peer *n = get(p->peers, node);
	struct conn *c;

	*dial = * or = NULL;
	if (n->conn != NULL || p->directory == NULL)
		return n->conn;
	there = directory_node(p->directory, node);
	self = directory_node(p->directory, p->config.node);
	if (there == NULL ||
	    route_relays_for(&(struct route_self){ .relay_for = p->config.relay_for }, node))
		return NULL; /* unknown, or it dials us */
	if (p->config.listen_count == 0 && self != NULL) {
		c = among(p, self, dial);
		if (c != NULL)
			return c;
	}
	if (there->address_count > 0) {
		/* past our own relay only when that one does not answer */
		if (*dial == NULL || (*dial)->retry.attempts > 0)
			* or = n;
		return NULL;
	}
	return *dial == NULL ? among(p, there, dial) : NULL;
}

struct conn *
peers_carrier(struct post *p, const char *node)
{
	struct peer *dial, * or ;

	return way_to(p, node, &dial, & or);
}

const struct retry *
peers_retry(struct post *p, const char *node, const char **words, const char **hop)
{
	struct peer *dial, * or, *n;

	(void)way_to(p, node, &dial, & or);
	n = dial != NULL ? dial : or != NULL ? or : get(p->peers, node);
	*words = n->words;
	*hop = n->node;
	return &n->retry;
}

/* --- dialling --- */

static void
dial(struct post *p, struct peer *n)
{
	const struct directory_node *d = directory_node(p->directory, n->node);
	struct now now = loop_now(p->loop);
	const char *address;

	if (d == NULL || d->address_count == 0) {
		retry_failed(&n->retry, ERR_UNREACHABLE, post_chance(), now);
		strncpy(n->words, "the directory has no address for it", sizeof(n->words) - 1);
		probe_failed(p, n->node, ERR_UNREACHABLE, n->words);
		return;
	}
	address = d->addresses[n->address % d->address_count];
	log_event(LEVEL_DEBUG, "dialling", LOG_TEXT("peer", n->node), LOG_TEXT("address", address));
	n->retry.last_utc_ms = now.utc_ms;
	n->dialling = conn_dial(p, n->node, address);
}

static void
want(struct peer *n)
{
	if (n != NULL)
		n->wanted = true;
}

/* After a restore everybody must hear of it: only they know what they have to offer again. */
static void
want_all_told(struct post *p)
{
	const struct directory_node *d;

	for (size_t i = 0; (d = directory_node_at(p->directory, i)) != NULL; i++) {
		struct peer *n;
		if (d->address_count == 0 || strcmp(d->id, p->config.node) == 0)
			continue;
		n = get(p->peers, d->id);
		if (!n->knows_us)
			want(n);
	}
}

/* Whom we need: whoever is to carry a lane with something in it, and, when we cannot be reached,
 * our relays, through whom we are. */
static void
find_wanted(struct post *p)
{
	const struct directory_node *self = directory_node(p->directory, p->config.node);
	struct lane *l;

	for (size_t i = 0; i < p->peers->count; i++)
		p->peers->at[i]->wanted = false;
	for (size_t i = 0; (l = queue_lane_at(p->queue, i)) != NULL; i++) {
		struct peer *first, * or ;
		if (lane_name(l)[0] != LANE_NODE || lane_total(l) == 0)
			continue;
		if (way_to(p, lane_name(l) + 1, &first, & or) != NULL)
			continue;
		want(first);
		want(or);
	}
	for (size_t i = 0; self != NULL && p->config.listen_count == 0 && i < self->via_count; i++)
		want(get(p->peers, self->via[i]));
	if (spool_is_restored(p->spool))
		want_all_told(p);
}

static void
review(void *arg)
{
	struct post *p = arg;
	struct now now = loop_now(p->loop);
	int64_t next_ms = INT64_MAX;

	if (p->ending)
		return;
	outgo_assign(p);
	if (p->directory == NULL)
		return;
	find_wanted(p);
	for (size_t i = 0; i < p->peers->count; i++) {
		struct peer *n = p->peers->at[i];
		if (!n->wanted || n->conn != NULL || n->dialling != NULL)
			continue;
		if (n->retry.next_ms <= now.mono_ms)
			dial(p, n);
		if (n->dialling == NULL && n->retry.next_ms < next_ms)
			next_ms = n->retry.next_ms;
	}
	timer_set(p->peers->timer, next_ms);
}

void
peers_review(struct post *p)
{
	timer_set(p->peers->timer, loop_now(p->loop).mono_ms);
}

void
peers_flush(struct post *p, const char *node)
{
	for (size_t i = 0; i < p->peers->count; i++) {
		struct peer *n = p->peers->at[i];
		if (node == NULL || strcmp(n->node, node) == 0)
			retry_alive(&n->retry);
	}
	peers_review(p);
}

void
peers_want(struct post *p, const char *node)
{
	struct peer *n = get(p->peers, node);

	if (n->conn != NULL || n->dialling != NULL || p->directory == NULL)
		return;
	retry_alive(&n->retry);
	dial(p, n);
}

/* --- who comes and goes --- */

enum err
peers_judge(struct conn *c, const struct cert *cert)
{
	struct post *p = c->post;
	enum err e;

	if (p->directory == NULL)
		return ERR_DIRECTORY;
	e = directory_check_node(p->directory, cert, loop_now(p->loop).utc_ms);
	if (e == OK && c->dialled && strcmp(cert_name(cert), c->name) != 0)
		e = ERR_IDENTITY;
	if (e == OK && strcmp(cert_name(cert), p->config.node) == 0)
		e = ERR_IDENTITY; /* nobody is we */
	if (e == OK)
		return OK;
	log_event(LEVEL_WARNING, "not-let-in", LOG_TEXT("peer", cert_name(cert)),
	    LOG_TEXT("address", c->link != NULL ? link_address(c->link) : ""), LOG_ERR(e));
	/* A key we do not know may be in a directory that we have not. */
	if (e == ERR_UNKNOWN_KEY)
		lookout_ask(p, NULL);
	return e;
}

/* Two conversations with one node: the one that both sides keep. */
static bool
new_one_stays(const struct post *p, const struct conn *old, const struct conn *new)
{
	bool we_sort_first = strcmp(p->config.node, new->name) < 0;

	if (old->dialled == new->dialled)
		return true;
	if (new->ready_mono_ms - old->ready_mono_ms > CROSSED_MS)
		return true;
	return new->dialled == we_sort_first;
}

struct facts {
	struct errand errand;
	char node[NODE_MAX_BYTES + 1];
	struct spool_peer peer;
	struct spool *spool;
};

static enum err
write_facts(struct errand *e, struct txn *t)
{
	struct facts *f = (struct facts *)e;

	return spool_put_peer(f->spool, t, f->node, &f->peer);
}

static void
wrote_facts(struct errand *e, enum err result)
{
	(void)result; /* of no weight: it is told again */
	errand_end(e);
}

/* A node that lost its disk, or went back to an older one, says so by another incarnation. */
static void
remember_peer(struct post *p, const struct conn *c)
{
	const Citex__Hello *hello = session_peer_hello(c->session);
	struct spool_peer was;
	struct facts *f;
	bool known = spool_peer(p->spool, c->name, &was) == OK;

	if (known && !bytes_equal(BYTES_OF(was.incarnation), bytes_of_pb(hello->incarnation))) {
		log_event(LEVEL_WARNING, "peer-restored", LOG_TEXT("peer", c->name));
		post_alarm(p, "peer-restored", "");
	}
	f = errand_new(p, NULL, sizeof(*f));
	f->errand.write = write_facts;
	f->errand.written = wrote_facts;
	f->spool = p->spool;
	memcpy(f->node, c->name, sizeof(f->node));
	memcpy(f->peer.incarnation, hello->incarnation.data, INCARNATION_BYTES);
	f->peer.seen_ms = c->since_utc_ms;
	f->peer.directory = hello->directory;
	errand_commit(&f->errand);
}

/* --- which spool a node has --- */

static bool
is_relayed_here(const struct post *p, const char *node)
{
	return route_relays_for(&(struct route_self){ .relay_for = p->config.relay_for }, node);
}

static void
tell_spool(struct conn *c, const struct peer *n)
{
	Citex__Frame frame = CITEX__FRAME__INIT;
	Citex__Spool spool = CITEX__SPOOL__INIT;

	if (!n->is_known || c->dead || strcmp(c->name, n->node) == 0 ||
	    (c->kind == CONN_PEER && !is_relayed_here(c->post, n->node) &&
		!is_relayed_here(c->post, c->name)))
		return;
	spool.node = (char *)(uintptr_t)n->node;
	spool.incarnation = pb_of_bytes(BYTES_OF(n->incarnation));
	frame.body_case = CITEX__FRAME__BODY_SPOOL;
	frame.spool = &spool;
	conn_send(c, &frame);
}

static void
tell_spools(struct conn *c)
{
	for (size_t i = 0; i < c->post->peers->count; i++)
		tell_spool(c, c->post->peers->at[i]);
}

static void
learn_spool(struct post *p, struct peer *n, struct bytes incarnation)
{
	size_t count;
	struct conn **all;

	if (n->is_known && bytes_equal(BYTES_OF(n->incarnation), incarnation))
		return;
	n->is_known = true;
	memcpy(n->incarnation, incarnation.at, INCARNATION_BYTES);
	all = conns_hold(p, &count);
	for (size_t i = 0; i < count; i++) {
		if (all[i]->session != NULL && session_is_ready(all[i]->session))
			tell_spool(all[i], n);
	}
	conns_let_go(all, count);
}

static bool
is_via(const struct directory_node *d, const char *relay)
{
	for (size_t i = 0; d != NULL && i < d->via_count; i++) {
		if (strcmp(d->via[i], relay) == 0)
			return true;
	}
	return false;
}

/* Only a relay, its or ours, may speak for a node that does not speak for itself. */
void
peers_spool(struct conn *c, const Citex__Spool *spool)
{
	struct post *p = c->post;
	const struct directory_node *there, *self;
	struct peer *n;

	if (c->kind != CONN_PEER || p->directory == NULL)
		return;
	there = directory_node(p->directory, spool->node);
	self = directory_node(p->directory, p->config.node);
	if (there == NULL || there == self || (!is_via(there, c->name) && !is_via(self, c->name)))
		return;
	n = get(p->peers, spool->node);
	if (n->conn == NULL)
		learn_spool(p, n, bytes_of_pb(spool->incarnation));
}

static void
office_ready(struct post *p, struct conn *c)
{
	for (struct conn *o = p->conns, *next; o != NULL; o = next) {
		next = o->next;
		if (o != c && o->kind == CONN_OFFICE && strcmp(o->name, c->name) == 0) {
			conn_close(o, OK);
			break; /* there is never more than one */
		}
	}
	tell_spools(c);
	peers_review(p);
}

void
peers_ready(struct post *p, struct conn *c)
{
	struct peer *n;
	struct conn *old;

	if (c->kind == CONN_OFFICE) {
		office_ready(p, c);
		return;
	}
	n = get(p->peers, c->name);
	old = n->conn;
	if (n->dialling == c)
		n->dialling = NULL;
	retry_alive(&n->retry);
	n->words[0] = '\0';
	if (old != NULL && !new_one_stays(p, old, c)) {
		conn_close(c, OK);
		return;
	}
	n->conn = c;
	n->knows_us = true;
	if (old != NULL)
		conn_close(old, OK);
	remember_peer(p, c);
	learn_spool(p, n, bytes_of_pb(session_peer_hello(c->session)->incarnation));
	tell_spools(c);
	probe_ready(p, c);
	peers_review(p);
}

void
peers_lost(struct post *p, struct conn *c, enum err why, const char *words)
{
	struct peer *n = find(p->peers, c->name);

	if (n == NULL)
		return;
	n->sent += c->sent;
	n->received += c->received;
	if (n->dialling == c) {
		n->dialling = NULL;
		n->address++;
	} else if (n->conn == c) {
		n->conn = NULL;
	} else {
		return; /* one of two, or a stranger's */
	}
	if (n->conn == NULL) {
		retry_failed(&n->retry, why, post_chance(), loop_now(p->loop));
		strncpy(n->words, words, sizeof(n->words) - 1);
		probe_failed(p, n->node, why, words);
	}
	outgo_tell_waiting(p, n->node);
	peers_review(p);
}

void
peers_directory_changed(struct post *p)
{
	int64_t now_ms = loop_now(p->loop).utc_ms;
	size_t count;
	struct conn **all = conns_hold(p, &count);

	for (size_t i = 0; i < count; i++) {
		struct conn *c = all[i];
		enum err e;
		if (c->dead || c->kind != CONN_PEER || c->cert == NULL)
			continue;
		e = directory_check_node(p->directory, c->cert, now_ms);
		if (e == OK)
			continue;
		log_event(LEVEL_WARNING, "key-gone", LOG_TEXT("peer", c->name), LOG_ERR(e));
		conn_close(c, e);
	}
	conns_let_go(all, count);
	for (size_t i = 0; i < p->peers->count; i++)
		retry_alive(&p->peers->at[i]->retry);
	peers_review(p);
}

/* --- limits at the door --- */

/* The part of an address that one attacker is likely to hold whole: /24, /56. */
static void
prefix_of(const char *address, char prefix[64])
{
	struct address a;
	const uint8_t *at;

	prefix[0] = '\0';
	if (address_parse(address, &a) != OK)
		return;
	if (a.at.ss_family == AF_INET) {
		at = (const uint8_t *)&((const struct sockaddr_in *)&a.at)->sin_addr;
		hex_encode((struct bytes){ at, 3 }, prefix);
	} else if (a.at.ss_family == AF_INET6) {
		at = (const uint8_t *)&((const struct sockaddr_in6 *)&a.at)->sin6_addr;
		hex_encode((struct bytes){ at, 7 }, prefix);
	}
}

bool
peers_may_accept(struct post *p, const char *address, char prefix[64])
{
	size_t half = 0, same = 0, open = 0;

	memset(prefix, 0, 64);
	prefix_of(address, prefix);
	for (const struct conn *c = p->conns; c != NULL; c = c->next) {
		if (c->kind != CONN_PEER || c->dialled)
			continue;
		open += c->opened;
		half += !c->ready;
		same += !c->ready && strcmp(c->prefix, prefix) == 0;
	}
	return open < PEERS_MAX && half < HALF_OPEN_MAX && same < HALF_OPEN_PER_PREFIX_MAX;
}

/* --- for administrators --- */

static const char *
state_of(const struct post *p, const struct peer *n)
{
	const struct directory_node *d =
	    p->directory != NULL ? directory_node(p->directory, n->node) : NULL;

	if (n->conn != NULL)
		return "connected";
	if (n->dialling != NULL)
		return "dialling";
	return d == NULL || d->address_count == 0 ? "incoming-only" : "waiting";
}

/* Text that lives as long as TEXTS; its place is found when all is written. */
static void
add_time(struct buffer *texts, int64_t utc_ms)
{
	char text[TIME_TEXT_BYTES];

	time_print(utc_ms, text);
	buffer_add(texts, (struct bytes){ (const uint8_t *)text, strlen(text) + 1 });
}

bool
peers_row(struct post *p, size_t i, Citex__PeerRow *row, struct buffer *texts)
{
	struct peer *n = i < p->peers->count ? p->peers->at[i] : NULL;
	char lane[LANE_NAME_BYTES];
	struct lane *l;
	const struct directory_node *d;
	size_t since_len;

	if (n == NULL)
		return false;
	buffer_clear(texts);
	add_time(texts, n->conn != NULL ? n->conn->since_utc_ms : 0);
	since_len = texts->len;
	add_time(texts, n->conn == NULL && n->wanted ? n->retry.next_utc_ms : 0);
	*row = (Citex__PeerRow)CITEX__PEER_ROW__INIT;
	l = lane_name_make(LANE_NODE, n->node, lane) == OK ? queue_find(p->queue, lane) : NULL;
	d = p->directory != NULL ? directory_node(p->directory, n->node) : NULL;
	row->node = n->node;
	row->state = (char *)(uintptr_t)state_of(p, n);
	row->since = (char *)texts->at;
	row->next_try = (char *)texts->at + since_len;
	row->address = n->conn != NULL && n->conn->link != NULL
	    ? (char *)(uintptr_t)link_address(n->conn->link)
	    : d != NULL && d->address_count > 0 ? (char *)(uintptr_t)d->addresses[0]
						: (char *)(uintptr_t) "";
	row->queued = l != NULL ? lane_total(l) : 0;
	row->sent = n->sent + (n->conn != NULL ? n->conn->sent : 0);
	row->received = n->received + (n->conn != NULL ? n->conn->received : 0);
	row->reason = n->conn == NULL ? n->words : (char *)(uintptr_t) "";
	return true;
}

struct peers *
peers_new(struct post *p)
{
	struct peers *x = xalloc(sizeof(*x));

	x->post = p;
	x->timer = timer_new(p->loop, review, p);
	return x;
}

void
peers_free(struct peers *x)
{
	if (x == NULL)
		return;
	timer_free(x->timer);
	for (size_t i = 0; i < x->count; i++)
		free(x->at[i]);
	free(x->at);
	free(x);
}
