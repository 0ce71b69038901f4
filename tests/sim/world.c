/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated world, behind four headers of the daemon. Nothing here knows
 * what a message is. Known weakness: a disk's commit is atomic here; torn
 * pages are LMDB's matter and tested there. */
#include "tests/sim/world.h"

#include <limits.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define START_UTC_MS 1766000000000LL

uint64_t faults_used[FAULT_COUNT];

struct happening {
	int64_t at_ms;
	uint64_t order; /* first come, first served */
	struct loop *loop; /* NULL: the world's own */
	loop_fn *fn;
	void *arg;
	struct timer *timer; /* set: a timer's, valid while its generation is GENERATION */
	uint64_t generation;
};

struct loop {
	struct machine *machine;
	bool dead;
	struct loop *next;
};

struct timer {
	struct loop *loop;
	loop_fn *fn;
	void *arg;
	uint64_t generation;
	bool freed;
	struct timer *next; /* of the world: freed with it, so that a happening may still look */
};

struct machine {
	char name[64];
	void (*boot)(void *arg, struct machine *m);
	void (*crashed)(void *arg, struct machine *m);
	void *arg;
	struct loop *loop; /* NULL: down */
	struct sim_disk *disk;
	bool cut;
	bool doomed;
	unsigned deaths, deaths_max;
	int64_t utc_offset_ms;
	struct machine *next;
};

/* Where somebody listens: the number given out, and what listens on it now. */
struct place {
	int number;
	struct machine *machine;
	char address[108];
	struct listener *listener;
	struct place *next;
};

struct listener {
	struct loop *loop;
	listener_fn *fn;
	void *arg;
	struct place *place;
};

/* One end of a connection; the other end is PEER until either is gone. */
struct link {
	struct loop *loop;
	struct machine *machine;
	struct link *peer;
	const struct link_events *events;
	void *arg;
	struct cert *own; /* presented; NULL on a local link */
	tls_judge *judge;
	void *judge_arg;
	char address[108];
	int number; /* an accepted end that nobody took over yet */
	bool taken; /* has its events */
	bool opened, closed, paused, was_high;
	struct frame_reader in;
	size_t flying; /* bytes on their way to the peer */
	int64_t arrive_ms; /* of the last bytes sent: order is kept */
	unsigned refs; /* happenings that point here */
	struct link *next;
};

struct tls_name {
	const struct tls_context *context;
	struct cert *cert;
	struct tls_name *next;
};

static struct {
	bool begun, calm;
	uint64_t chance[2]; /* for what happens */
	uint64_t bytes[2]; /* for OpenSSL: how much it takes does not change what happens */
	int64_t mono_ms;
	uint64_t order, trace;
	unsigned crash_per_mille, cut_per_mille;
	struct happening *heap;
	size_t count, room;
	struct happening *dropped; /* of dead machines: what they hold is freed at the end */
	size_t dropped_count, dropped_room;
	struct loop *loops;
	struct timer *timers;
	struct machine *machines;
	struct place *places;
	struct link *links;
	struct tls_name *tls_names;
	int next_number;
} world;

const char *
fault_words(enum fault f)
{
	static const char *const words[] = {
#define X(name, words) words,
		FAULT_LIST(X)
#undef X
	};
	return words[f];
}

/* xoroshiro128+: enough for tests, the same everywhere */
static uint64_t
next_of(uint64_t stream[2])
{
	uint64_t a = stream[0], b = stream[1], sum = a + b;

	b ^= a;
	stream[0] = ((a << 24) | (a >> 40)) ^ b ^ (b << 16);
	stream[1] = (b << 37) | (b >> 27);
	return sum;
}

static uint64_t
next_chance(void)
{
	return next_of(world.chance);
}

uint64_t
world_chance(uint64_t below)
{
	return (next_chance() >> 11) % below;
}

static bool
happens(unsigned per_mille, enum fault f)
{
	if (world.calm || per_mille == 0 || world_chance(1000) >= per_mille)
		return false;
	faults_used[f]++;
	return true;
}

/* OpenSSL asks the world for its randomness, so that a seed is a run. */
static int
rand_bytes(unsigned char *out, int len)
{
	for (int i = 0; i < len; i++)
		out[i] = (unsigned char)(next_of(world.bytes) >> 23);
	return 1;
}

static int
rand_status(void)
{
	return 1;
}

static const RAND_METHOD rand_of_world = {
	.bytes = rand_bytes,
	.pseudorand = rand_bytes,
	.status = rand_status,
};

/* --- events --- */

static bool
before(const struct happening *a, const struct happening *b)
{
	return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

static void
push(struct happening h)
{
	size_t i = world.count++;

	if (world.count > world.room) {
		world.room = world.room == 0 ? 256 : world.room * 2;
		world.heap = xgrow(world.heap, world.room, sizeof(*world.heap));
	}
	h.order = world.order++;
	while (i > 0 && before(&h, &world.heap[(i - 1) / 2])) {
		world.heap[i] = world.heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	world.heap[i] = h;
}

static struct happening
pop(void)
{
	struct happening top = world.heap[0], last = world.heap[--world.count];
	size_t i = 0;

	for (;;) {
		size_t child = 2 * i + 1;
		if (child >= world.count)
			break;
		if (child + 1 < world.count && before(&world.heap[child + 1], &world.heap[child]))
			child++;
		if (!before(&world.heap[child], &last))
			break;
		world.heap[i] = world.heap[child];
		i = child;
	}
	world.heap[i] = last;
	return top;
}

static void
later(struct loop *l, int64_t wait_ms, loop_fn *fn, void *arg)
{
	push((struct happening){
	    .at_ms = world.mono_ms + wait_ms, .loop = l, .fn = fn, .arg = arg });
}

static void
trace(uint64_t what)
{
	world.trace = (world.trace ^ what ^ (uint64_t)world.mono_ms) * 1099511628211ULL;
}

/* A dead machine's happenings do not happen. */
static void
crash_the_doomed(void)
{
	for (struct machine *m = world.machines; m != NULL; m = m->next) {
		if (m->doomed)
			machine_crash(m);
	}
}

static void
drop(struct happening h)
{
	if (world.dropped_count == world.dropped_room) {
		world.dropped_room = world.dropped_room == 0 ? 64 : world.dropped_room * 2;
		world.dropped = xgrow(world.dropped, world.dropped_room, sizeof(*world.dropped));
	}
	world.dropped[world.dropped_count++] = h;
}

bool
world_step(int64_t until_ms)
{
	struct happening h;

	if (world.count == 0 || world.heap[0].at_ms > until_ms)
		return false;
	h = pop();
	if (h.at_ms > world.mono_ms)
		world.mono_ms = h.at_ms;
	if (h.timer != NULL && (h.timer->freed || h.timer->generation != h.generation))
		return true;
	if (h.loop != NULL && h.loop->dead) {
		drop(h);
		return true;
	}
	trace(h.order);
	h.fn(h.arg);
	crash_the_doomed();
	return true;
}

void
world_run(int64_t until_ms)
{
	while (world_step(until_ms))
		;
	if (world.mono_ms < until_ms)
		world.mono_ms = until_ms;
}

struct now
world_now(void)
{
	return (struct now){ world.mono_ms, START_UTC_MS + world.mono_ms };
}

uint64_t
world_trace(void)
{
	return world.trace;
}

/* --- daemon/loop.h --- */

static struct machine *booting; /* whose loop the next loop_new() is */

struct loop *
loop_new(void)
{
	struct loop *l = xalloc(sizeof(*l));

	l->machine = booting;
	l->next = world.loops;
	world.loops = l;
	return l;
}

void
loop_free(struct loop *l)
{
	l->dead = true; /* freed with the world: happenings point here */
}

void
loop_run(struct loop *l)
{
	(void)l;
	abort(); /* world_run() runs all */
}

void
loop_stop(struct loop *l)
{
	l->dead = true;
}

struct now
loop_now(struct loop *l)
{
	struct now now = world_now();

	now.utc_ms += l->machine != NULL ? l->machine->utc_offset_ms : 0;
	return now;
}

void
loop_defer(struct loop *l, loop_fn *fn, void *arg)
{
	later(l, 0, fn, arg);
}

void
loop_call(struct loop *l, loop_fn *fn, void *arg)
{
	later(l, 0, fn, arg);
}

static void
timer_fires(void *arg)
{
	struct timer *t = arg;

	t->generation++;
	t->fn(t->arg);
}

struct timer *
timer_new(struct loop *l, loop_fn *fn, void *arg)
{
	struct timer *t = xalloc(sizeof(*t));

	*t = (struct timer){ .loop = l, .fn = fn, .arg = arg, .next = world.timers };
	world.timers = t;
	return t;
}

void
timer_free(struct timer *t)
{
	if (t != NULL)
		t->freed = true;
}

void
timer_set(struct timer *t, int64_t mono_ms)
{
	t->generation++;
	if (mono_ms == INT64_MAX)
		return;
	push((struct happening){ .at_ms = mono_ms > world.mono_ms ? mono_ms : world.mono_ms,
	    .loop = t->loop,
	    .fn = timer_fires,
	    .arg = t,
	    .timer = t,
	    .generation = t->generation });
}

/* Descriptors and signals do not exist here. */
struct watch *
watch_new(struct loop *l, int fd, watch_fn *fn, void *arg)
{
	(void)l;
	(void)fd;
	(void)fn;
	(void)arg;
	abort();
}

void
watch_set(struct watch *w, unsigned want)
{
	(void)w;
	(void)want;
	abort();
}

void
watch_free(struct watch *w)
{
	if (w != NULL)
		abort();
}

void
loop_on_signal(struct loop *l, int signo, loop_fn *fn, void *arg)
{
	(void)l;
	(void)signo;
	(void)fn;
	(void)arg;
}

/* --- daemon/workers.h --- */

struct workers {
	struct loop *loop;
	unsigned pending;
};

struct working {
	struct workers *pool;
	struct work *work;
};

static void
work_done(void *arg)
{
	struct working *w = arg;
	struct work *work = w->work;

	w->pool->pending--;
	free(w);
	work->done(work);
}

static void
work_run(void *arg)
{
	struct working *w = arg;

	w->work->run(w->work);
	later(w->pool->loop, world.calm ? 0 : (int64_t)world_chance(3), work_done, w);
}

struct workers *
workers_new(struct loop *l, unsigned threads)
{
	struct workers *p = xalloc(sizeof(*p));

	(void)threads;
	p->loop = l;
	return p;
}

void
workers_submit(struct workers *p, struct work *w)
{
	struct working *x = xalloc(sizeof(*x));

	*x = (struct working){ p, w };
	p->pending++;
	later(p->loop, world.calm ? 0 : (int64_t)world_chance(3), work_run, x);
}

unsigned
workers_pending(const struct workers *p)
{
	return p->pending;
}

void
workers_free(struct workers *p)
{
	free(p);
}

/* --- daemon/store/committer.h --- */

struct committer {
	struct loop *loop;
	struct store *store;
	struct committer_hooks hooks;
	struct job *waiting, **last;
	struct job *committed; /* to be answered */
	unsigned pending;
	bool running;
};

static void committer_batch(void *arg);

static void
answer_all(struct committer *c)
{
	struct job *j = c->committed;

	c->committed = NULL;
	while (j != NULL) {
		struct job *next = j->next;
		c->pending--;
		j->done(j, j->result);
		j = next;
	}
}

static void
committer_answer(void *arg)
{
	struct committer *c = arg;

	c->running = false;
	answer_all(c);
	if (c->waiting != NULL && !c->running) {
		c->running = true;
		later(c->loop, (int64_t)world_chance(8), committer_batch, c);
	}
}

/* Takes at most BATCH_MAX jobs off the queue. */
static struct job *
take_jobs(struct committer *c)
{
	struct job *first = c->waiting, *j = first;

	for (size_t i = 1; j != NULL && i < BATCH_MAX; i++)
		j = j->next;
	if (j == NULL || j->next == NULL) {
		c->waiting = NULL;
		c->last = &c->waiting;
	} else {
		c->waiting = j->next;
		j->next = NULL;
	}
	return first;
}

static enum err
commit_jobs(struct committer *c, struct job *jobs)
{
	struct txn *t = NULL;
	enum err e = store_begin(c->store, &t);

	if (e != OK)
		return e;
	for (struct job *j = jobs; j != NULL; j = j->next)
		j->result = j->run(j, t);
	if (c->hooks.batch_end != NULL)
		e = c->hooks.batch_end(c->hooks.arg, t);
	if (e == OK && c->loop->machine != NULL && machine_may_die(c->loop->machine) &&
	    happens(world.crash_per_mille, FAULT_CRASH_BEFORE_COMMIT)) {
		c->loop->machine->doomed = true;
		e = ERR_FAULT;
	}
	if (e != OK) {
		store_end(t);
		return e;
	}
	return store_commit(t);
}

static void
committer_batch(void *arg)
{
	struct committer *c = arg;
	struct job *jobs = take_jobs(c);
	enum err e = commit_jobs(c, jobs);

	if (c->loop->machine != NULL && c->loop->machine->doomed) {
		c->committed = jobs; /* nobody is answered */
		return;
	}
	if (e != OK) {
		if (c->hooks.batch_dropped != NULL)
			c->hooks.batch_dropped(c->hooks.arg);
		if (e == ERR_STORE_FULL)
			faults_used[FAULT_DISK_FULL]++;
		for (struct job *j = jobs; j != NULL; j = j->next)
			j->result = ERR_STORE_FULL;
	}
	c->committed = jobs;
	if (c->loop->machine != NULL && machine_may_die(c->loop->machine) &&
	    happens(world.crash_per_mille, FAULT_CRASH_AFTER_COMMIT)) {
		c->loop->machine->doomed = true;
		return;
	}
	later(c->loop, (int64_t)world_chance(4), committer_answer, c);
}

struct committer *
committer_new(struct loop *l, struct store *s, const struct committer_hooks *hooks)
{
	struct committer *c = xalloc(sizeof(*c));

	*c = (struct committer){ .loop = l, .store = s };
	if (hooks != NULL)
		c->hooks = *hooks;
	c->last = &c->waiting;
	return c;
}

void
committer_submit(struct committer *c, struct job *j)
{
	j->next = NULL;
	*c->last = j;
	c->last = &j->next;
	c->pending++;
	if (c->running)
		return;
	c->running = true;
	later(c->loop, (int64_t)world_chance(8), committer_batch, c);
}

unsigned
committer_pending(const struct committer *c)
{
	return c->pending;
}

void
committer_free(struct committer *c)
{
	bool crashed = c->loop->machine != NULL && c->loop->machine->doomed;

	while (!crashed && (c->committed != NULL || c->waiting != NULL)) {
		if (c->committed == NULL) {
			struct job *jobs = take_jobs(c);
			if (commit_jobs(c, jobs) != OK)
				break;
			c->committed = jobs;
		}
		answer_all(c);
	}
	free(c);
}

/* --- daemon/link.h --- */

static struct place *
place_of(const char *address)
{
	for (struct place *p = world.places; p != NULL; p = p->next) {
		if (strcmp(p->address, address) == 0)
			return p;
	}
	return NULL;
}

static struct link *
new_link(struct loop *l)
{
	struct link *x = xalloc(sizeof(*x));

	x->loop = l;
	x->machine = l != NULL ? l->machine : NULL;
	frame_reader_init(&x->in);
	x->next = world.links;
	world.links = x;
	return x;
}

struct ending {
	struct link *link;
	enum err why;
};

static void
link_ends(void *arg)
{
	struct ending *e = arg;
	struct link *x = e->link;
	enum err why = e->why;

	free(e);
	if (x->closed)
		return;
	x->closed = true;
	if (x->taken)
		x->events->closed(x->arg, x, why, err_words(why));
}

static void
end_later(struct link *x, enum err why, int64_t wait_ms)
{
	struct ending *e = xalloc(sizeof(*e));

	*e = (struct ending){ x, why };
	later(x->loop, wait_ms, link_ends, e);
}

/* X is over: its peer hears of it later. */
static void
part(struct link *x, enum err why)
{
	struct link *peer = x->peer;

	x->peer = NULL;
	if (peer == NULL)
		return;
	peer->peer = NULL;
	end_later(peer, why, 1 + (int64_t)world_chance(30));
}

static void
cut(struct link *x)
{
	struct link *peer = x->peer;

	x->peer = NULL;
	end_later(x, ERR_CLOSED, (int64_t)world_chance(50));
	if (peer == NULL)
		return;
	peer->peer = NULL;
	end_later(peer, ERR_CLOSED, (int64_t)world_chance(50));
}

static void
hand_out_frames(struct link *x)
{
	struct bytes frame;

	while (!x->closed && !x->paused && x->opened && frame_next(&x->in, &frame) == OK)
		x->events->frame(x->arg, x, frame);
	if (!x->closed && x->in.err != OK) {
		part(x, ERR_CLOSED);
		end_later(x, x->in.err, 0);
	}
}

static void
link_opens(void *arg)
{
	struct link *x = arg;
	enum err e = OK;
	const char *name = "";

	if (x->closed || x->opened)
		return;
	if (x->peer == NULL)
		return;
	if (x->judge != NULL && x->peer->own != NULL) {
		name = cert_name(x->peer->own);
		e = x->judge(x->judge_arg, x->peer->own);
	}
	if (e != OK) {
		part(x, ERR_TLS);
		end_later(x, e, 0);
		return;
	}
	x->opened = true;
	x->events->opened(x->arg, x, name);
	hand_out_frames(x); /* the other end may have been open before this one, and spoken */
}

struct dialling {
	struct link *link;
	char address[108];
};

static bool
is_unreachable(const struct link *x, const struct place *p)
{
	return p == NULL || p->listener == NULL || p->listener->loop->dead || p->machine->cut ||
	    (x->machine != NULL && x->machine != p->machine && x->machine->cut);
}

static void
dial_arrives(void *arg)
{
	struct dialling *d = arg;
	struct link *x = d->link, *far;
	struct place *p = place_of(d->address);

	free(d);
	if (x->closed)
		return;
	if (is_unreachable(x, p)) {
		end_later(x, ERR_UNREACHABLE, 0);
		return;
	}
	far = new_link(p->listener->loop);
	far->number = ++world.next_number;
	far->peer = x;
	x->peer = far;
	p->listener->fn(p->listener->arg, far->number, "10.0.0.1:1");
	if (!far->taken) {
		far->closed = true;
		cut(x);
		return;
	}
	later(x->loop, 1 + (int64_t)world_chance(5), link_opens, x);
	later(far->loop, 1 + (int64_t)world_chance(5), link_opens, far);
}

static struct cert *
cert_of(const struct tls_context *c)
{
	for (struct tls_name *n = world.tls_names; n != NULL; n = n->next) {
		if (n->context == c)
			return n->cert;
	}
	return NULL;
}

static struct link *
dial(struct loop *l, const char *address, bool refusable, const struct link_events *events,
    void *arg)
{
	struct link *x = new_link(l);
	struct dialling *d = xalloc(sizeof(*d));

	x->events = events;
	x->arg = arg;
	x->taken = true;
	snprintf(x->address, sizeof(x->address), "%s", address);
	d->link = x;
	snprintf(d->address, sizeof(d->address), "%s", address);
	if (refusable && happens(20, FAULT_REFUSED)) {
		free(d);
		end_later(x, ERR_UNREACHABLE, (int64_t)world_chance(100));
		return x;
	}
	later(l, 1 + (int64_t)world_chance(10), dial_arrives, d);
	return x;
}

struct link *
link_dial(struct loop *l, struct tls_context *c, const char *address, tls_judge *judge,
    void *judge_arg, const struct link_events *events, void *arg)
{
	struct link *x = dial(l, address, true, events, arg);

	x->own = cert_of(c);
	x->judge = judge;
	x->judge_arg = judge_arg;
	return x;
}

static struct link *
take_over(struct loop *l, int number, const struct link_events *events, void *arg)
{
	for (struct link *x = world.links; x != NULL; x = x->next) {
		if (x->number != number || x->taken)
			continue;
		x->loop = l;
		x->events = events;
		x->arg = arg;
		x->taken = true;
		return x;
	}
	abort(); /* a number that nobody gave out */
}

struct link *
link_accept(struct loop *l, struct tls_context *c, int fd, tls_judge *judge, void *judge_arg,
    const struct link_events *events, void *arg)
{
	struct link *x = take_over(l, fd, events, arg);

	x->own = cert_of(c);
	x->judge = judge;
	x->judge_arg = judge_arg;
	return x;
}

struct link *
link_dial_local(struct loop *l, const char *path, const struct link_events *events, void *arg)
{
	return dial(l, path, false, events, arg);
}

struct link *
link_accept_local(struct loop *l, int fd, const struct link_events *events, void *arg)
{
	return take_over(l, fd, events, arg);
}

struct flight {
	struct link *to;
	struct link *from;
	uint8_t *at;
	size_t len;
};

static void
flight_lands(void *arg)
{
	struct flight *f = arg;
	struct link *x = f->to, *from = f->from;

	if (!from->closed && from->flying >= f->len) {
		from->flying -= f->len;
		if (from->was_high && from->flying < SEND_HIGH_BYTES / 4) {
			from->was_high = false;
			if (!from->loop->dead)
				from->events->drained(from->arg, from);
		}
	}
	if (!x->closed && x->peer != NULL) {
		frame_feed(&x->in, (struct bytes){ f->at, f->len });
		if (x->machine != NULL && from->machine != x->machine &&
		    happens(world.cut_per_mille, FAULT_CUT))
			cut(x);
		else
			hand_out_frames(x);
	}
	free(f->at);
	free(f);
}

static int64_t
travel_ms(const struct link *x)
{
	if (x->own == NULL || world.calm)
		return 1;
	if (happens(50, FAULT_DELAY))
		return 200 + (int64_t)world_chance(3000);
	return 1 + (int64_t)world_chance(20);
}

static void
fly(struct link *x, struct bytes part_of_it)
{
	struct flight *f = xalloc(sizeof(*f));
	int64_t at_ms = world.mono_ms + travel_ms(x);

	if (at_ms < x->arrive_ms)
		at_ms = x->arrive_ms;
	x->arrive_ms = at_ms;
	*f = (struct flight){ x->peer, x, xmemdup(part_of_it.at, part_of_it.len), part_of_it.len };
	x->flying += part_of_it.len;
	if (x->flying > SEND_HIGH_BYTES)
		x->was_high = true;
	/* not bound to a loop: bytes on the way outlive their sender, and find the receiver dead or
	 * not */
	push((struct happening){
	    .at_ms = at_ms, .loop = x->peer->loop, .fn = flight_lands, .arg = f });
}

void
link_send(struct link *x, struct bytes frames)
{
	if (x->closed || x->peer == NULL || frames.len == 0)
		return;
	if (frames.len > 1 && happens(100, FAULT_SPLIT)) {
		size_t first = 1 + world_chance(frames.len - 1);
		fly(x, (struct bytes){ frames.at, first });
		frames.at += first;
		frames.len -= first;
	}
	fly(x, frames);
}

size_t
link_queued_bytes(const struct link *x)
{
	return x->flying;
}

static void
resume(void *arg)
{
	hand_out_frames(arg);
}

void
link_pause(struct link *x, bool paused)
{
	x->paused = paused;
	if (!paused)
		later(x->loop, 0, resume, x);
}

void
link_close(struct link *x)
{
	if (x->closed)
		return;
	x->closed = true;
	part(x, ERR_CLOSED);
}

uid_t
link_peer_uid(const struct link *x)
{
	return x->own == NULL ? 0 : (uid_t)-1;
}

pid_t
link_peer_pid(const struct link *x)
{
	(void)x;
	return 1;
}

const char *
link_address(const struct link *x)
{
	return x->address;
}

struct loop *
link_loop(const struct link *x)
{
	return x->loop;
}

/* An end that nobody takes over is cut by whoever dialled. */
void
link_refuse(struct loop *l, int number)
{
	(void)l;
	(void)number;
}

struct listener *
listener_new(struct loop *l, int fd, listener_fn *fn, void *arg)
{
	struct listener *x;

	for (struct place *p = world.places; p != NULL; p = p->next) {
		if (p->number != fd)
			continue;
		x = xalloc(sizeof(*x));
		*x = (struct listener){ l, fn, arg, p };
		p->listener = x;
		return x;
	}
	abort();
}

void
listener_free(struct listener *x)
{
	if (x == NULL)
		return;
	if (x->place->listener == x)
		x->place->listener = NULL;
	free(x);
}

/* --- machines --- */

struct machine *
machine_new(const char *name, void (*boot)(void *arg, struct machine *m),
    void (*crashed)(void *arg, struct machine *m), void *arg)
{
	struct machine *m = xalloc(sizeof(*m));

	snprintf(m->name, sizeof(m->name), "%s", name);
	m->boot = boot;
	m->crashed = crashed;
	m->arg = arg;
	m->deaths_max = UINT_MAX;
	m->disk = sim_disk_new(64 * MIB);
	m->next = world.machines;
	world.machines = m;
	return m;
}

struct loop *
machine_loop(struct machine *m)
{
	return m->loop;
}

struct sim_disk *
machine_disk(struct machine *m)
{
	return m->disk;
}

void
machine_deaths_max(struct machine *m, unsigned max)
{
	m->deaths_max = max;
}

bool
machine_may_die(const struct machine *m)
{
	return m->deaths < m->deaths_max;
}

bool
machine_is_up(const struct machine *m)
{
	return m->loop != NULL;
}

void
machine_boot(struct machine *m)
{
	if (m->loop != NULL)
		return;
	booting = m;
	m->loop = loop_new();
	booting = NULL;
	m->boot(m->arg, m);
}

static void
boot_again(void *arg)
{
	machine_boot(arg);
}

void
machine_crash(struct machine *m)
{
	if (m->loop == NULL)
		return;
	m->deaths++;
	m->doomed = true; /* committer_free() must not commit */
	sim_disk_crash(m->disk);
	m->loop->dead = true;
	for (struct link *x = world.links; x != NULL; x = x->next) {
		if (x->machine == m && !x->closed) {
			part(x, ERR_CLOSED);
			x->closed = true;
		}
	}
	m->crashed(m->arg, m);
	m->loop = NULL;
	m->doomed = false;
	trace(77);
	later(NULL, 1 + (int64_t)world_chance(2000), boot_again, m);
}

void
machine_end(struct machine *m)
{
	if (m->loop == NULL)
		return;
	m->crashed(m->arg, m);
	m->loop->dead = true;
	m->loop = NULL;
	trace(78);
	later(NULL, 1 + (int64_t)world_chance(2000), boot_again, m);
}

void
world_crash_rate(unsigned per_mille)
{
	world.crash_per_mille = per_mille;
}

void
world_cut_rate(unsigned per_mille)
{
	world.cut_per_mille = per_mille;
}

void
machine_cut(struct machine *m, bool is_cut)
{
	m->cut = is_cut;
	for (struct link *x = world.links; is_cut && x != NULL; x = x->next) {
		if (x->machine == m && !x->closed && x->peer != NULL && x->peer->machine != m)
			cut(x);
	}
	if (is_cut)
		faults_used[FAULT_CUT]++;
}

void
machine_clock_jump(struct machine *m, int64_t ms)
{
	m->utc_offset_ms += ms;
	faults_used[FAULT_CLOCK_JUMP]++;
}

int
world_listen(struct machine *m, const char *address)
{
	struct place *p = place_of(address);

	if (p == NULL) {
		p = xalloc(sizeof(*p));
		p->number = ++world.next_number;
		snprintf(p->address, sizeof(p->address), "%s", address);
		p->next = world.places;
		world.places = p;
	}
	p->machine = m;
	return p->number;
}

void
world_tls(const struct tls_context *c, struct cert *cert)
{
	struct tls_name *n = xalloc(sizeof(*n));

	*n = (struct tls_name){ c, cert, world.tls_names };
	world.tls_names = n;
}

/* --- the world itself --- */

#define FREE_LIST(type, head, release) \
	while ((head) != NULL) { \
		struct type *gone = (head); \
		(head) = gone->next; \
		release; \
		free(gone); \
	}

void
world_end(void)
{
	if (!world.begun)
		return;
	while (world.count > 0)
		drop(pop());
	/* What still flies or ends holds memory of its own. */
	while (world.dropped_count > 0) {
		struct happening h = world.dropped[--world.dropped_count];
		if (h.fn == flight_lands)
			free(((struct flight *)h.arg)->at);
		if (h.fn == flight_lands || h.fn == link_ends || h.fn == dial_arrives ||
		    h.fn == work_run || h.fn == work_done)
			free(h.arg);
	}
	FREE_LIST(machine, world.machines, sim_disk_free(gone->disk));
	FREE_LIST(place, world.places, free(gone->listener));
	FREE_LIST(link, world.links, frame_reader_release(&gone->in));
	FREE_LIST(timer, world.timers, );
	FREE_LIST(loop, world.loops, );
	FREE_LIST(tls_name, world.tls_names, );
	free(world.heap);
	free(world.dropped);
	memset(&world, 0, sizeof(world));
}

void
world_begin(uint64_t seed)
{
	world_end();
	world.begun = true;
	world.chance[0] = seed * 0x9e3779b97f4a7c15ULL + 1;
	world.chance[1] = ~seed;
	world.bytes[0] = ~world.chance[0];
	world.bytes[1] = world.chance[1] ^ 0x5555;
	for (int i = 0; i < 16; i++) {
		(void)next_chance();
		(void)next_of(world.bytes);
	}
	world.mono_ms = 1000;
	world.next_number = 1000;
	world.trace = 14695981039346656037ULL;
	RAND_set_rand_method(&rand_of_world);
}

void
world_calm(void)
{
	world.calm = true;
	for (struct machine *m = world.machines; m != NULL; m = m->next)
		m->cut = false;
}

bool
world_is_calm(void)
{
	return world.calm;
}
