/* SPDX-License-Identifier: Apache-2.0 */
/* One conversation: frames from the link become events of the session, its
 * actions become calls to whoever knows what they mean. No decision about mail
 * is made here.
 *
 * Actions are carried out in the order in which the session gave them, also
 * when carrying out one brings the next event: a frame never overtakes another. */
#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/post/inside.h"

struct conn *
conn_ref(struct conn *c)
{
	c->refs++;
	return c;
}

void
conn_unref(struct conn *c)
{
	if (--c->refs > 0)
		return;
	session_free(c->session);
	actions_release(&c->actions);
	cert_free(c->cert);
	free(c->lanes);
	free(c->flights);
	free(c);
}

struct route_from
conn_from(const struct conn *c)
{
	const Citex__Hello *hello = c->session != NULL ? session_peer_hello(c->session) : NULL;

	return (struct route_from){ c->kind == CONN_OFFICE, c->name,
		hello != NULL ? hello->directory : 0 };
}

static void
set_timer(struct conn *c)
{
	int64_t at_ms = c->session != NULL ? session_deadline_ms(c->session) : INT64_MAX;

	timer_set(c->timer, at_ms < c->wake_ms ? at_ms : c->wake_ms);
}

/* It is over. LINK is gone already when the far side closed it. */
static void
end(struct conn *c, enum err why, const char *words)
{
	struct post *p = c->post;

	if (c->dead)
		return;
	c->dead = true;
	log_event(c->opened ? LEVEL_INFO : LEVEL_DEBUG, "closed", LOG_TEXT("peer", c->name),
	    LOG_TEXT("reason", err_name(why)), LOG_TEXT("words", words));
	if (c->link != NULL)
		link_close(c->link);
	c->link = NULL;
	timer_free(c->timer);
	c->timer = NULL;
	if (c->prev != NULL)
		c->prev->next = c->next;
	else
		p->conns = c->next;
	if (c->next != NULL)
		c->next->prev = c->prev;
	outgo_gone(c);
	pulls_gone(c);
	lookout_gone(c);
	if (c->kind == CONN_PEER && !p->ending)
		peers_lost(p, c, why, words);
	conn_unref(c);
}

/* The other side said who it is. */
static void
greet(struct conn *c)
{
	const Citex__Hello *hello = session_peer_hello(c->session);
	struct now now = loop_now(c->post->loop);

	if (strcmp(hello->node, c->name) != 0) {
		log_event(LEVEL_WARNING, "wrong-name", LOG_TEXT("peer", c->name),
		    LOG_TEXT("says", hello->node));
		conn_close(c, ERR_IDENTITY);
		return;
	}
	c->ready = true;
	c->ready_mono_ms = now.mono_ms;
	c->since_utc_ms = now.utc_ms;
	c->clock_off_ms = (int64_t)hello->time - now.utc_ms;
	log_event(LEVEL_INFO, "connected", LOG_TEXT("peer", c->name),
	    LOG_NUM("directory", hello->directory), LOG_TEXT("by", c->dialled ? "us" : "them"));
	peers_ready(c->post, c);
}

static void
send_out(struct conn *c, const struct buffer *frames)
{
	link_send(c->link, buffer_bytes(frames));
}

static Citex__Frame *
frame_of(struct action *a)
{
	Citex__Frame *f = a->frame;

	a->frame = NULL;
	return f;
}

static void
carry_out(struct conn *c, struct action *a)
{
	switch (a->type) {
	case ACTION_SEND:
		send_out(c, &a->bytes);
		break;
	case ACTION_READY:
		greet(c);
		break;
	case ACTION_STORE_ENVELOPE:
		intake_envelope(c, a->number, frame_of(a));
		break;
	case ACTION_STORE_SLIP:
		slips_take_in(c, a->number, frame_of(a));
		break;
	case ACTION_TAKEN:
		outgo_taken(c, a->token);
		break;
	case ACTION_LATER:
		outgo_later(c, a->token, a->result, a->wait_ms);
		break;
	case ACTION_CREDIT:
		outgo_pump(c);
		break;
	case ACTION_READ_CHUNK:
		outgo_read_chunk(c, a->root, a->index);
		break;
	case ACTION_CHUNK:
		pulls_chunk(c, frame_of(a));
		break;
	case ACTION_CHUNK_LOST:
		pulls_chunk_lost(c, a->root, a->index);
		break;
	case ACTION_DIRECTORY:
		lookout_frame(c, a->frame);
		break;
	case ACTION_PEER_DIRECTORY:
		lookout_peer(c);
		break;
	case ACTION_PROBE:
		probe_frame(c, a->frame);
		break;
	case ACTION_SPOOL:
		peers_spool(c, a->frame->spool);
		break;
	case ACTION_TAKE_BACK:
		takeback_frame(c, a->frame);
		break;
	case ACTION_TAKE_BACK_RESULT:
		conn_close(c, ERR_UNEXPECTED); /* a post asks nobody */
		break;
	case ACTION_PROGRESS:
		break; /* a post sends it, and has nobody to hear it from */
	case ACTION_CLOSE:
		end(c, a->result, a->text != NULL ? a->text : "");
		break;
	}
}

static void
act(struct conn *c)
{
	c->acting = true;
	while (!c->dead && c->action_next < c->actions.count) {
		struct action a = c->actions.at[c->action_next];
		c->actions.at[c->action_next++] = (struct action){ .type = a.type };
		carry_out(c, &a);
		buffer_release(&a.bytes);
		proto_free((ProtobufCMessage *)a.frame);
	}
	c->acting = false;
	actions_release(&c->actions);
	c->action_next = 0;
	if (!c->dead)
		set_timer(c);
}

void
conn_tell(struct conn *c, const struct event *ev)
{
	if (c->dead || c->session == NULL)
		return;
	conn_ref(c);
	/* An error is among the actions, too: as ACTION_CLOSE. */
	(void)!session_handle(c->session, ev, loop_now(c->post->loop), &c->actions);
	if (!c->acting)
		act(c);
	conn_unref(c);
}

void
conn_send(struct conn *c, Citex__Frame *f)
{
	conn_tell(c, &(struct event){ .type = EVENT_SEND, .frame = f });
}

void
conn_answer(struct conn *c, uint32_t number, enum err result, int64_t wait_ms)
{
	conn_tell(c,
	    &(struct event){
		.type = EVENT_COMMITTED, .number = number, .result = result, .wait_ms = wait_ms });
}

void
conn_close(struct conn *c, enum err why)
{
	if (c->dead)
		return;
	conn_ref(c);
	c->closing = true;
	if (c->opened)
		conn_tell(c, &(struct event){ .type = EVENT_BYE, .result = why });
	else
		end(c, why == OK ? ERR_CLOSED : why, "closed by this side");
	conn_unref(c);
}

void
conn_wake(struct conn *c, int64_t at_ms)
{
	if (c->dead || at_ms >= c->wake_ms)
		return;
	c->wake_ms = at_ms;
	if (!c->acting)
		set_timer(c);
}

bool
conn_is_full(const struct conn *c)
{
	return c->link == NULL || link_queued_bytes(c->link) >= SEND_HIGH_BYTES;
}

static void
on_timer(void *arg)
{
	struct conn *c = arg;
	struct now now = loop_now(c->post->loop);

	conn_ref(c);
	if (now.mono_ms >= c->wake_ms) {
		c->wake_ms = INT64_MAX;
		outgo_pump(c);
	}
	if (!c->dead && c->session != NULL && now.mono_ms >= session_deadline_ms(c->session))
		conn_tell(c, &(struct event){ .type = EVENT_TICK });
	if (!c->dead)
		set_timer(c);
	conn_unref(c);
}

/* --- what the link tells --- */

static void
on_opened(void *arg, struct link *l, const char *peer)
{
	struct conn *c = arg;

	(void)l;
	if (c->kind == CONN_PEER && !c->dialled)
		strncpy(c->name, peer, sizeof(c->name) - 1);
	c->opened = true;
	c->session = session_new(&c->post->self);
	conn_tell(c, &(struct event){ .type = EVENT_OPEN });
}

static void
on_frame(void *arg, struct link *l, struct bytes frame)
{
	(void)l;
	conn_tell(arg, &(struct event){ .type = EVENT_FRAME, .bytes = frame });
}

static void
on_drained(void *arg, struct link *l)
{
	struct conn *c = arg;

	(void)l;
	conn_ref(c);
	outgo_drained(c);
	conn_unref(c);
}

static void
on_closed(void *arg, struct link *l, enum err why, const char *words)
{
	struct conn *c = arg;

	(void)l;
	c->link = NULL;
	end(c, why, words != NULL ? words : err_words(why));
}

static const struct link_events link_events = { on_opened, on_frame, on_drained, on_closed };

static enum err
judge(void *arg, const struct cert *cert)
{
	struct conn *c = arg;
	enum err e = peers_judge(c, cert);

	if (e == OK && c->cert == NULL)
		c->cert = cert_ref((struct cert *)(uintptr_t)cert);
	return e;
}

/* --- making one --- */

static struct conn *
conn_new(struct post *p, enum conn_kind kind, const char *name)
{
	struct conn *c = xalloc(sizeof(*c));

	c->post = p;
	c->refs = 1;
	c->kind = kind;
	strncpy(c->name, name, sizeof(c->name) - 1);
	c->wake_ms = INT64_MAX;
	c->timer = timer_new(p->loop, on_timer, c);
	c->next = p->conns;
	if (p->conns != NULL)
		p->conns->prev = c;
	p->conns = c;
	return c;
}

struct conn *
conn_dial(struct post *p, const char *node, const char *address)
{
	struct conn *c = conn_new(p, CONN_PEER, node);

	c->dialled = true;
	c->link = link_dial(p->loop, p->config.tls, address, judge, c, &link_events, c);
	return c;
}

struct conn *
conn_accept(struct post *p, int fd, const char *prefix)
{
	struct conn *c = conn_new(p, CONN_PEER, "");

	memcpy(c->prefix, prefix, sizeof(c->prefix));
	c->link = link_accept(p->loop, p->config.tls, fd, judge, c, &link_events, c);
	return c;
}

struct conn **
conns_hold(struct post *p, size_t *count)
{
	struct conn **all;
	size_t n = 0;

	for (struct conn *c = p->conns; c != NULL; c = c->next)
		n++;
	all = xalloc_array(n + 1, sizeof(struct conn *));
	*count = n;
	n = 0;
	for (struct conn *c = p->conns; c != NULL; c = c->next)
		all[n++] = conn_ref(c);
	return all;
}

void
conns_let_go(struct conn **all, size_t count)
{
	for (size_t i = 0; i < count; i++)
		conn_unref(all[i]);
	free(all);
}

static bool
is_office_user(const struct post *p, uid_t user)
{
	for (size_t i = 0; i < p->config.office_user_count; i++) {
		if (p->config.office_users[i] == user)
			return true;
	}
	return user == 0;
}

struct conn *
conn_accept_office(struct post *p, int fd, const char *authority)
{
	struct conn *c = conn_new(p, CONN_OFFICE, authority);

	c->link = link_accept_local(p->loop, fd, &link_events, c);
	if (!is_office_user(p, link_peer_uid(c->link))) {
		log_event(LEVEL_WARNING, "denied", LOG_TEXT("office", authority),
		    LOG_NUM("user", link_peer_uid(c->link)));
		conn_close(c, ERR_DENIED);
		return NULL;
	}
	return c;
}
