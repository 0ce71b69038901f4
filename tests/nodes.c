/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/nodes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "pki/ossl.h"
#include "proto/decode.h"

/* --- nodes --- */

static void
on_hook(void *arg, const char *event, const char *id, const char *kind)
{
	struct node *n = arg;
	size_t len = strlen(n->alarms);

	(void)event;
	(void)id;
	snprintf(n->alarms + len, sizeof(n->alarms) - len, "%s ", kind);
}

static void
boot(void *arg, struct machine *m)
{
	struct node *n = arg;

	assert_int_equal(store_open_sim(machine_disk(m), &spool_layout, &n->store), OK);
	if (n->is_restored)
		assert_int_equal(store_mark_restored(n->store), OK);
	n->is_restored = false;
	n->config.directory = n->given != NULL ? n->given : n->all->first;
	assert_int_equal(post_new(machine_loop(m), n->store, &n->config, &n->post), OK);
}

static void
crashed(void *arg, struct machine *m)
{
	struct node *n = arg;

	(void)m;
	post_free(n->post);
	store_close(n->store);
	n->post = NULL;
	n->store = NULL;
}

static void
add_node(struct nodes *all, const char *name, const char *address, const char *one, const char *two)
{
	struct node *n = &all->at[all->count++];
	char path[128];

	n->all = all;
	snprintf(n->name, sizeof(n->name), "%s", name);
	n->machine = machine_new(name, boot, crashed, n);
	assert_int_equal(tls_context_new(fixture_cert(all->fixture, name, USE_TLS),
			     fixture_key(all->fixture, name, USE_TLS), &n->tls),
	    OK);
	world_tls(n->tls, fixture_cert(all->fixture, name, USE_TLS));
	if (address != NULL)
		n->listen_fd = world_listen(n->machine, address);
	n->offices[0].authority = one;
	n->offices[1].authority = two;
	n->config = (struct post_config){
		.node = n->name,
		.relay_for = n->relay_for,
		.receipts_key = fixture_key(all->fixture, name, USE_RECEIPTS),
		.tls = n->tls,
		.trust.pin = fixture_pin(all->fixture),
		.listen_fds = &n->listen_fd,
		.listen_count = address != NULL ? 1 : 0,
		.admin_fd = -1,
		.offices = n->offices,
		.office_count = two != NULL ? 2 : 1,
		.hook = on_hook,
		.hook_arg = n,
	};
	for (size_t i = 0; i < n->config.office_count; i++) {
		snprintf(path, sizeof(path), "/%s", n->offices[i].authority);
		n->offices[i].listen_fd = world_listen(n->machine, path);
	}
}

struct nodes *
nodes_new(uint64_t seed)
{
	struct nodes *all = xalloc(sizeof(*all));

	world_begin(seed);
	all->fixture = fixture_new();
	all->first = directory_ref(fixture_directory(all->fixture));
	add_node(all, "gb", "127.0.0.1:7003", "gb.ma", "gb.border-force");
	add_node(all, "ke", "127.0.0.1:7002", "ke.ma", "ke.kws");
	add_node(all, "secretariat", "127.0.0.1:7001", "secretariat", NULL);
	add_node(all, "so", NULL, "so.ma", NULL);
	nodes_get(all, "secretariat")->relay_for[0] = "so";
	return all;
}

void
nodes_free(struct nodes *all)
{
	while (all->desks != NULL)
		desk_free(all->desks);
	for (size_t i = 0; i < all->count; i++) {
		if (all->at[i].post != NULL)
			machine_crash(all->at[i].machine);
	}
	world_end();
	for (size_t i = 0; i < all->count; i++)
		tls_context_free(all->at[i].tls);
	parcels_forget();
	directory_free(all->first);
	fixture_free(all->fixture);
	free(all);
}

struct node *
nodes_get(struct nodes *all, const char *name)
{
	for (size_t i = 0; i < all->count; i++) {
		if (strcmp(all->at[i].name, name) == 0)
			return &all->at[i];
	}
	fail_msg("no node %s", name);
	return NULL;
}

void
node_start(struct node *n)
{
	machine_boot(n->machine);
}

void
node_crash(struct node *n)
{
	machine_crash(n->machine);
}

void
node_end(struct node *n)
{
	machine_end(n->machine);
}

void
nodes_run(int64_t ms)
{
	world_run(world_now().mono_ms + ms);
}

/* --- desks --- */

static void tell(struct desk *d, const struct event *ev);

static void
keep(struct desk *d, struct received *r)
{
	*d->got_last = r;
	d->got_last = &r->next;
}

static void
pull_more(struct desk *d)
{
	while (d->pull_number != 0 && d->pull_next < d->pull_count &&
	    session_may_want(d->session) > 0) {
		tell(d,
		    &(struct event){ .type = EVENT_WANT_CHUNK,
			.root = BYTES_OF(d->pull_root),
			.index = d->pull_next++ });
		d->pulling++;
	}
	if (d->pull_number == 0 || d->pulling > 0 || d->pull_next < d->pull_count)
		return;
	tell(d, &(struct event){ .type = EVENT_COMMITTED, .number = d->pull_number });
	d->pull_number = 0;
}

static void
take_envelope(struct desk *d, uint32_t number, Citex__Frame *f)
{
	struct received *r = xalloc(sizeof(*r));

	assert_int_equal(envelope_take(f->offer->envelope, &r->envelope), OK);
	f->offer->envelope = NULL;
	if (f->offer->receipt != NULL) {
		assert_int_equal(slip_take(f->offer->receipt, &r->slip), OK);
		f->offer->receipt = NULL;
	}
	proto_free(&f->base);
	keep(d, r);
	d->envelopes++;
	if (d->silent)
		return;
	if (d->later != OK) {
		tell(d,
		    &(struct event){ .type = EVENT_COMMITTED,
			.number = number,
			.result = d->later,
			.wait_ms = SECOND_MS });
		return;
	}
	if (r->envelope.outer->n_parts == 0) {
		tell(d, &(struct event){ .type = EVENT_COMMITTED, .number = number });
		return;
	}
	d->pull_number = number;
	d->pull_next = 0;
	d->pull_count = chunk_count(r->envelope.outer->parts[0]->length);
	memcpy(d->pull_root, r->envelope.outer->parts[0]->root.data, DIGEST_BYTES);
	pull_more(d);
}

static void
take_slip(struct desk *d, uint32_t number, Citex__Frame *f)
{
	struct received *r = xalloc(sizeof(*r));

	assert_int_equal(slip_take(f->offer->slip, &r->slip), OK);
	f->offer->slip = NULL;
	proto_free(&f->base);
	keep(d, r);
	d->slips++;
	if (!d->silent)
		tell(d, &(struct event){ .type = EVENT_COMMITTED, .number = number });
}

static void
serve(struct desk *d, const uint8_t *root, uint32_t index)
{
	struct event ev = { .type = EVENT_CHUNK_READ, .index = index };
	Citex__Chunk *chunk = NULL;
	uint8_t mine[DIGEST_BYTES];

	ev.root = (struct bytes){ root, DIGEST_BYTES };
	if (d->serves_below != 0 && index >= d->serves_below) {
		buffer_add(&d->held, ev.root);
		buffer_add_u32(&d->held, index);
		return;
	}
	buffer_add_u32(&d->asked, index);
	for (size_t i = 0; i < d->has_count && chunk == NULL; i++) {
		parcel_root(&d->has[i], mine);
		if (memcmp(mine, root, DIGEST_BYTES) == 0 && index < d->has[i].count)
			chunk = parcel_pb(&d->has[i], index);
	}
	if (chunk != NULL && d->spoils == index + 1)
		chunk->data.data[3] ^= 1;
	if (chunk != NULL)
		d->chunks_served++;
	ev.chunk = chunk;
	tell(d, &ev);
	proto_free((ProtobufCMessage *)chunk);
}

static void
directory_frame(struct desk *d, const Citex__Frame *f)
{
	(void)d;
	(void)f;
}

static void
hold(Citex__Frame **at, struct action *a)
{
	proto_free((ProtobufCMessage *)*at);
	*at = a->frame;
	a->frame = NULL;
}

static void
carry_out(struct desk *d, struct action *a)
{
	Citex__Frame *frame = a->frame;

	switch (a->type) {
	case ACTION_SEND:
		link_send(d->link, buffer_bytes(&a->bytes));
		break;
	case ACTION_READY:
		d->ready = true;
		d->their_directory = session_peer_hello(d->session)->directory;
		break;
	case ACTION_PEER_DIRECTORY:
		d->their_directory = session_peer_hello(d->session)->directory;
		break;
	case ACTION_STORE_ENVELOPE:
		a->frame = NULL;
		take_envelope(d, a->number, frame);
		break;
	case ACTION_STORE_SLIP:
		a->frame = NULL;
		take_slip(d, a->number, frame);
		break;
	case ACTION_TAKEN:
		d->taken++;
		d->last_taken = a->token;
		break;
	case ACTION_LATER:
		d->laters++;
		d->last_later = a->result;
		break;
	case ACTION_READ_CHUNK:
		serve(d, a->root, a->index);
		break;
	case ACTION_CHUNK:
		assert_true(frame->chunk->data.len > 0);
		d->pulling--;
		pull_more(d);
		break;
	case ACTION_DIRECTORY:
		directory_frame(d, frame);
		hold(&d->progress, a);
		break;
	case ACTION_PROBE:
		hold(&d->probe, a);
		break;
	case ACTION_PROGRESS:
		hold(&d->progress, a);
		d->progress_count++;
		break;
	case ACTION_TAKE_BACK_RESULT:
		hold(&d->took_back, a);
		break;
	case ACTION_SPOOL:
		strncat(d->spools, frame->spool->node, sizeof(d->spools) - strlen(d->spools) - 2);
		strcat(d->spools, " ");
		break;
	case ACTION_CLOSE:
		d->closed = true;
		d->why = a->result;
		link_close(d->link);
		d->link = NULL;
		break;
	default:
		break;
	}
}

static void
tell(struct desk *d, const struct event *ev)
{
	struct actions out = { 0 };

	if (d->closed || d->session == NULL)
		return;
	(void)!session_handle(d->session, ev, loop_now(machine_loop(d->machine)), &out);
	for (size_t i = 0; i < out.count && !d->closed; i++)
		carry_out(d, &out.at[i]);
	actions_release(&out);
	timer_set(d->timer, d->closed ? INT64_MAX : session_deadline_ms(d->session));
}

static void
on_timer(void *arg)
{
	tell(arg, &(struct event){ .type = EVENT_TICK });
}

static void
on_opened(void *arg, struct link *l, const char *peer)
{
	struct desk *d = arg;

	(void)l;
	(void)peer;
	d->session = session_new(&d->self);
	tell(d, &(struct event){ .type = EVENT_OPEN });
}

static void
on_frame(void *arg, struct link *l, struct bytes frame)
{
	(void)l;
	tell(arg, &(struct event){ .type = EVENT_FRAME, .bytes = frame });
}

static void
on_drained(void *arg, struct link *l)
{
	(void)arg;
	(void)l;
}

static void
on_closed(void *arg, struct link *l, enum err why, const char *words)
{
	struct desk *d = arg;

	(void)l;
	(void)words;
	d->closed = true;
	if (d->why == OK)
		d->why = why;
	d->link = NULL;
}

static const struct link_events events = { on_opened, on_frame, on_drained, on_closed };

static enum err
judge(void *arg, const struct cert *cert)
{
	(void)arg;
	(void)cert;
	return OK;
}

static void
desk_boot(void *arg, struct machine *m)
{
	(void)arg;
	(void)m;
}

static struct desk *
desk_new(struct nodes *all, const char *name)
{
	struct desk *d = xalloc(sizeof(*d));

	d->all = all;
	snprintf(d->name, sizeof(d->name), "%s", name);
	d->got_last = &d->got;
	d->machine = machine_new(name, desk_boot, desk_boot, d);
	machine_boot(d->machine);
	d->timer = timer_new(machine_loop(d->machine), on_timer, d);
	snprintf(d->self.node, sizeof(d->self.node), "%s", name);
	memset(d->self.incarnation, name[0], INCARNATION_BYTES);
	d->self.directory = 1;
	memcpy(d->self.head_digest, directory_head_digest(all->first), DIGEST_BYTES);
	d->next = all->desks;
	all->desks = d;
	return d;
}

struct desk *
desk_office(struct node *n, const char *authority)
{
	struct desk *d = desk_new(n->all, authority);
	char path[128];

	snprintf(path, sizeof(path), "/%s", authority);
	d->link = link_dial_local(machine_loop(d->machine), path, &events, d);
	return d;
}

struct desk *
desk_node(struct node *n, const char *its_node)
{
	struct nodes *all = n->all;
	struct desk *d = desk_new(all, its_node);
	const struct directory_node *dn = directory_node(all->first, n->name);

	assert_int_equal(tls_context_new(fixture_cert(all->fixture, its_node, USE_TLS),
			     fixture_key(all->fixture, its_node, USE_TLS), &d->tls),
	    OK);
	world_tls(d->tls, fixture_cert(all->fixture, its_node, USE_TLS));
	d->link =
	    link_dial(machine_loop(d->machine), d->tls, dn->addresses[0], judge, d, &events, d);
	return d;
}

void
desk_free(struct desk *d)
{
	struct desk **at = &d->all->desks;

	while (*at != d)
		at = &(*at)->next;
	*at = d->next;
	if (d->link != NULL)
		link_close(d->link);
	timer_free(d->timer);
	session_free(d->session);
	while (d->got != NULL) {
		struct received *r = d->got;
		d->got = r->next;
		envelope_release(&r->envelope);
		slip_release(&r->slip);
		free(r);
	}
	buffer_release(&d->asked);
	buffer_release(&d->held);
	proto_free((ProtobufCMessage *)d->progress);
	proto_free((ProtobufCMessage *)d->probe);
	proto_free((ProtobufCMessage *)d->took_back);
	tls_context_free(d->tls);
	free(d);
}

void
desk_offer_bytes(struct desk *d, enum event_type type, struct bytes packed, uint64_t token)
{
	tell(d, &(struct event){ .type = type, .bytes = packed, .token = token });
}

void
desk_serve_all(struct desk *d)
{
	struct buffer held = d->held;
	struct reader r = { buffer_bytes(&held), OK };

	d->held = (struct buffer){ 0 };
	d->serves_below = 0;
	while (r.left.len > 0) {
		struct bytes root = read_bytes(&r, DIGEST_BYTES);
		serve(d, root.at, read_u32(&r));
	}
	buffer_release(&held);
}

void
desk_offer(struct desk *d, const struct parcel *p, uint64_t token)
{
	CLEANUP(buffer_release) struct buffer packed = { 0 };

	parcel_make(d->all->fixture, p, &packed);
	desk_offer_bytes(d, EVENT_OFFER_ENVELOPE, buffer_bytes(&packed), token);
}

void
desk_frame(struct desk *d, Citex__Frame *f)
{
	tell(d, &(struct event){ .type = EVENT_SEND, .frame = f });
}

const struct slip *
desk_slip(const struct desk *d, Citex__SlipType type, size_t nth)
{
	for (const struct received *r = d->got; r != NULL; r = r->next) {
		if (r->slip.pb != NULL && r->slip.body->type == type && nth-- == 0)
			return &r->slip;
	}
	return NULL;
}
