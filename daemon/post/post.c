/* SPDX-License-Identifier: Apache-2.0 */
/* Wires the post; decides nothing. */
#include "daemon/post/post.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/post/inside.h"
#include "pki/ossl.h"

uint32_t
post_chance(void)
{
	uint32_t chance;

	random_bytes(&chance, sizeof(chance));
	return chance;
}

struct route_self
post_route_self(const struct post *p)
{
	return (struct route_self){
		.node = p->config.node,
		.directory = p->directory,
		.relay_for = p->config.relay_for,
		.offices = p->offices,
	};
}

void
post_alarm(struct post *p, const char *what, const char *id)
{
	log_event(LEVEL_ERROR, "alarm", LOG_TEXT("about", what), LOG_TEXT("id", id));
	if (p->config.hook != NULL)
		p->config.hook(p->config.hook_arg, "alarm", id, what);
}

static void
tell_change(struct post *p, const struct spool_change *change)
{
	struct lane *l = queue_lane(p->queue, change->lane);
	bool was_empty = lane_total(l) == 0;

	if (!change->added) {
		lane_gone(l, change->class, change->ticket);
		return;
	}
	lane_added(l, change->class, change->ticket);
	if (lane_carrier(l) != NULL)
		conn_wake(lane_carrier(l), 0);
	else if (was_empty)
		peers_review(p);
}

void
post_tell_news(struct post *p, const struct spool_news *news)
{
	for (size_t i = 0; i < news->count; i++)
		tell_change(p, &news->at[i]);
}

/* --- the directory in force --- */

static void
tell_directory(struct post *p)
{
	size_t count;
	struct conn **all = conns_hold(p, &count);

	for (size_t i = 0; i < count; i++)
		conn_tell(all[i], &(struct event){ .type = EVENT_DIRECTORY, .self = &p->self });
	conns_let_go(all, count);
}

void
post_switch_directory(struct post *p, struct directory *d)
{
	const struct cert *ca;
	const char *held;
	char fingerprint[80];

	directory_free(p->directory);
	p->directory = d;
	p->self.directory = directory_number(d);
	memcpy(p->self.head_digest, directory_head_digest(d), DIGEST_BYTES);
	log_event(LEVEL_INFO, "directory", LOG_NUM("number", p->self.directory));
	for (size_t i = 0; (held = directory_held_at(d, i, &ca)) != NULL; i++) {
		cert_fingerprint(ca, fingerprint);
		log_event(LEVEL_WARNING, "party-held", LOG_TEXT("party", held),
		    LOG_TEXT("ca", fingerprint));
	}
	peers_directory_changed(p);
	tell_directory(p);
	moves_begin(p->moves);
}

uint64_t
post_directory_number(const struct post *p)
{
	return p->self.directory;
}

enum err
post_directory_offered(struct post *p, const Citex__SignedHead *head, struct bytes contents)
{
	return lookout_offered(p, head, contents);
}

void
post_flush(struct post *p, const char *node)
{
	peers_flush(p, node);
}

/* --- who knocks --- */

struct door {
	struct post *post;
	const char *authority; /* an office's; NULL: for other nodes */
};

static void
on_knock(void *arg, int fd, const char *address)
{
	struct door *d = arg;
	struct post *p = d->post;
	char prefix[64];

	if (d->authority != NULL) {
		(void)conn_accept_office(p, fd, d->authority);
		return;
	}
	if (peers_may_accept(p, address, prefix)) {
		(void)conn_accept(p, fd, prefix);
		return;
	}
	log_event(LEVEL_INFO, "turned-off", LOG_TEXT("address", address));
	link_refuse(p->loop, fd);
}

static void
open_door(struct post *p, int fd, const char *authority)
{
	size_t i = p->listener_count++;

	p->doors[i] = (struct door){ p, authority };
	p->listeners[i] = listener_new(p->loop, fd, on_knock, &p->doors[i]);
}

static void
open_doors(struct post *p)
{
	size_t count = p->config.listen_count + p->config.office_count;

	p->doors = xalloc_array(count + 1, sizeof(*p->doors));
	p->listeners = xalloc_array(count + 1, sizeof(struct listener *));
	for (size_t i = 0; i < p->config.listen_count; i++)
		open_door(p, p->config.listen_fds[i], NULL);
	for (size_t i = 0; i < p->config.office_count; i++)
		open_door(p, p->config.offices[i].listen_fd, p->config.offices[i].authority);
}

/* --- beginning and end --- */

static void
count_lane(void *arg, const char *name, const uint64_t counts[LANE_CLASSES])
{
	struct post *p = arg;
	struct lane *l = queue_lane(p->queue, name);

	for (size_t c = 0; c < LANE_CLASSES; c++)
		lane_set_count(l, (enum lane_class)c, counts[c]);
}

static void
init_self(struct post *p, const struct post_config *c)
{
	p->config = *c;
	p->offices = xalloc_array(c->office_count + 1, sizeof(*p->offices));
	for (size_t i = 0; i < c->office_count; i++)
		p->offices[i] = c->offices[i].authority;
	p->signer = (struct spool_signer){ c->node, c->receipts_key };
	strncpy(p->self.node, c->node, sizeof(p->self.node) - 1);
}

static void
init_parts(struct post *p)
{
	p->queue = queue_new();
	p->intake = intake_new(p);
	p->pulls = pulls_new();
	p->lookout = lookout_new(p);
	p->peers = peers_new(p);
	p->probes = probes_new(p);
	p->moves = moves_new(p);
	p->chores = chores_new(p);
}

enum err
post_new(struct loop *l, struct store *store, const struct post_config *c, struct post **out)
{
	struct post *p = xalloc(sizeof(*p));
	struct committer_hooks hooks;
	enum err e;

	p->loop = l;
	init_self(p, c);
	init_parts(p);
	e = spool_open(store, &p->signer, &p->spool);
	if (e == OK) {
		memcpy(p->self.incarnation, spool_incarnation(p->spool), INCARNATION_BYTES);
		e = spool_lanes(p->spool, count_lane, p);
	}
	if (e == OK)
		spool_take_tried(p->spool, p->queue);
	if (e == OK)
		e = lookout_begin(p->lookout);
	if (e == OK) {
		p->workers = workers_new(l, 1);
		e = p->workers != NULL ? OK : ERR_SYSTEM;
	}
	if (e != OK) {
		post_free(p);
		return e;
	}
	hooks = spool_hooks(p->spool);
	p->committer = committer_new(l, store, &hooks);
	open_doors(p);
	p->admin = admin_new(p);
	chores_sweep(p);
	peers_review(p);
	*out = p;
	return OK;
}

/* Everybody who is connected hears goodbye. */
static void
close_all(struct post *p)
{
	size_t count;
	struct conn **all = conns_hold(p, &count);

	for (size_t i = 0; i < count; i++)
		conn_close(all[i], OK);
	conns_let_go(all, count);
}

void
post_free(struct post *p)
{
	if (p == NULL)
		return;
	p->ending = true;
	for (size_t i = 0; i < p->listener_count; i++)
		listener_free(p->listeners[i]);
	admin_free(p->admin);
	probes_free(p->probes);
	close_all(p);
	if (p->committer != NULL) {
		enum err e;
		committer_free(p->committer);
		e = spool_put_tried(p->spool, p->queue);
		if (e != OK) /* then `withdraw' is refused for what waits: no more than that */
			log_event(LEVEL_WARNING, "tried-not-kept", LOG_ERR(e));
	}
	if (p->workers != NULL)
		workers_free(p->workers);
	while (p->errands != NULL)
		errand_end(p->errands);
	chores_free(p->chores);
	moves_free(p->moves);
	peers_free(p->peers);
	lookout_free(p->lookout);
	intake_free(p->intake);
	pulls_free(p->pulls);
	queue_free(p->queue);
	spool_free(p->spool);
	directory_free(p->directory);
	free(p->listeners);
	free(p->doors);
	free(p->offices);
	free(p);
}
