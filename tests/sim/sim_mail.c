/* SPDX-License-Identifier: Apache-2.0 */
/* Three nodes with offices and a relay in one process and one seed: the real
 * offices, posts, sessions, queues and slips on simulated disks and links, with
 * delays, cuts, refused dials, deaths before and after commits, and a directory
 * that retires all sealing keys while one of the offices throws its old one away.
 *
 *   sim_mail [FIRST-SEED [COUNT]]
 *
 * At the end of each run, after a calm phase: every message whose submission
 * was acknowledged is in its addressee's inbox exactly once, and was told as new
 * at most once; its author holds the receipts; no receipt came home for what
 * was not on the addressee's disk; logs and stores verify. A failure prints its seed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/log.h"
#include "daemon/office/office.h"
#include "daemon/post/post.h"
#include "pki/chunk.h"
#include "pki/ossl.h"
#include "pki/slip.h"
#include "proto/kind.h"
#include "proto/kinds/query.pb-c.h"
#include "tests/fixtures.h"
#include "tests/sim/world.h"

#define MESSAGES_MAX 8
#define STORM_MS (20 * SECOND_MS)
#define CALM_MS (10 * MINUTE_MS)

/* A node's post. */
struct sim_post {
	const char *name;
	bool listens;
	struct machine *machine;
	struct store *store;
	struct post *post;
	struct post_config config;
	struct post_office offices[2];
	struct tls_context *tls;
	int listen_fd;
};

/* An office, on a machine of its own: it dies by itself. */
struct sim_office {
	const char *authority, *node;
	char path[64];
	struct machine *machine;
	struct store *store;
	struct office *office;
	struct office_config config;
	struct office_key signing, sealing[2]; /* of the first directory, and of the second */
	struct secret store_key;
	struct office_watch *watch;
};

/* What an officer wants sent, and how far that is. */
struct wish {
	struct sim_office *from, *to;
	struct id id, handle;
	int64_t at_ms;
	uint64_t attachment_bytes; /* 0: none */
	uint64_t put_bytes; /* of it so far */
	bool busy, accepted;
	unsigned told_new;
	bool home_stored, home_opened;
};

static const char *const relay_for[] = { "so", NULL };
static struct sim_post posts[] = {
	{ .name = "gb", .listens = true },
	{ .name = "ke", .listens = true },
	{ .name = "secretariat", .listens = true },
	{ .name = "so" },
};
static struct sim_office offices[] = {
	{ .authority = "gb.ma", .node = "gb" },
	{ .authority = "ke.ma", .node = "ke" },
	{ .authority = "so.ma", .node = "so" },
};
#define POSTS (sizeof(posts) / sizeof(*posts))
#define OFFICES (sizeof(offices) / sizeof(*offices))

static struct fixture *fixture;
static struct directory *first_directory; /* the second is the fixture's newest */
static int64_t renew_at_ms; /* when an office throws its old key away; INT64_MAX: never */
static struct sim_office *renewed; /* which has */
static uint64_t resealed; /* messages, over all seeds */
static struct wish wishes[MESSAGES_MAX];
static size_t wish_count;
static uint64_t seed_now;
static uint8_t piece[CHUNK_PLAIN_BYTES];

static void
failed(const char *words)
{
	printf("seed %lu: %s\n", (unsigned long)seed_now, words);
	exit(1);
}

/* --- posts --- */

static void
boot_post(void *arg, struct machine *m)
{
	struct sim_post *p = arg;

	if (store_open_sim(machine_disk(m), &spool_layout, &p->store) != OK ||
	    post_new(machine_loop(m), p->store, &p->config, &p->post) != OK)
		failed("a post does not start");
}

static void
post_died(void *arg, struct machine *m)
{
	struct sim_post *p = arg;

	(void)m;
	post_free(p->post);
	store_close(p->store);
	p->post = NULL;
}

static void
make_post(struct sim_post *p)
{
	char address[64];
	size_t n = 0;

	p->machine = machine_new(p->name, boot_post, post_died, p);
	if (p->tls == NULL &&
	    tls_context_new(fixture_cert(fixture, p->name, USE_TLS),
		fixture_key(fixture, p->name, USE_TLS), &p->tls) != OK)
		failed("no TLS context");
	world_tls(p->tls, fixture_cert(fixture, p->name, USE_TLS));
	p->config = (struct post_config){ .node = p->name,
		.tls = p->tls,
		.admin_fd = -1,
		.receipts_key = fixture_key(fixture, p->name, USE_RECEIPTS),
		.directory = first_directory,
		.trust.pin = fixture_pin(fixture),
		.offices = p->offices,
		.retry_first_ms = 200,
		.retry_max_ms = 5000 };
	if (p->listens) {
		(void)snprintf(address, sizeof(address), "%s",
		    directory_node(fixture_directory(fixture), p->name)->addresses[0]);
		p->listen_fd = world_listen(p->machine, address);
		p->config.listen_fds = &p->listen_fd;
		p->config.listen_count = 1;
	}
	if (strcmp(p->name, "secretariat") == 0)
		p->config.relay_for = relay_for;
	for (size_t i = 0; i < OFFICES; i++) {
		if (strcmp(offices[i].node, p->name) != 0)
			continue;
		(void)snprintf(
		    offices[i].path, sizeof(offices[i].path), "link-%s", offices[i].authority);
		p->offices[n++] = (struct post_office){ offices[i].authority,
			world_listen(p->machine, offices[i].path) };
	}
	p->config.office_count = n;
}

/* --- offices --- */

static struct wish *
wish_of(const char *text)
{
	struct id id;

	for (size_t i = 0; id_parse(text, &id) == OK && i < wish_count; i++) {
		if (id_equal(wishes[i].id, id))
			return &wishes[i];
	}
	return NULL;
}

/* Every chunk of every attachment of M is on O's disk. */
static bool
has_chunks(struct sim_office *o, struct txn *t, const Citex__BookMessage *m)
{
	struct book *b = office_book(o->office);
	Citex__Content *c = NULL;
	bool all = proto_unpack(&citex__content__descriptor, bytes_of_pb(m->content),
		       (ProtobufCMessage **)&c) == OK;

	for (size_t i = 0; all && i < c->n_attachments; i++) {
		const Citex__Attachment *a = c->attachments[i];
		for (uint32_t k = 0; k < chunk_count(a->sealed_length); k++)
			all =
			    all && book_has_chunk(b, t, book_handle(b, t, bytes_of_pb(a->root)), k);
	}
	proto_wipe((ProtobufCMessage *)c);
	return all;
}

static bool
is_filed(struct sim_office *o, struct id id)
{
	CLEANUP(store_end_drop) struct txn *t = NULL;
	Citex__BookMessage *m = NULL;
	bool there = o->office != NULL && store_read(o->store, &t) == OK &&
	    book_message(office_book(o->office), t, id, &m) == OK && has_chunks(o, t, m);

	proto_wipe((ProtobufCMessage *)m);
	return there;
}

/* The receipt that the author first heard of is the one that the addressee keeps: no second one was
 * made. */
static bool
is_first_receipt(const struct wish *w)
{
	CLEANUP(store_end_drop) struct txn *from = NULL, *to = NULL;
	CLEANUP(buffer_release) struct buffer packed = { 0 };
	Citex__BookAddressee *a = NULL;
	Citex__BookMessage *m = NULL;
	struct slip s = { 0 };
	uint8_t digest[DIGEST_BYTES];
	bool same = store_read(w->from->store, &from) == OK &&
	    store_read(w->to->store, &to) == OK &&
	    book_addressee(office_book(w->from->office), from, w->id, 0, &a) == OK &&
	    book_message(office_book(w->to->office), to, w->id, &m) == OK &&
	    bytes_equal(bytes_of_pb(a->envelope_id), bytes_of_pb(m->envelope_id));

	if (same) {
		sha256(bytes_of_pb(m->outer), digest);
		same = book_slip(office_book(w->to->office), to, book_arrival_name(digest),
			   CITEX__SLIP_TYPE__SLIP_OPENED, &packed) == OK &&
		    slip_parse(buffer_bytes(&packed), &s) == OK && s.body->time == a->opened;
	}
	slip_release(&s);
	proto_free((ProtobufCMessage *)a);
	proto_wipe((ProtobufCMessage *)m);
	return same;
}

static void
on_event(void *arg, Citex__Event *e)
{
	struct sim_office *o = arg;
	struct wish *w = wish_of(e->id);

	if (w == NULL)
		return;
	if (o == w->to && strcmp(e->event, "message") == 0 && ++w->told_new > 1)
		failed("a message was new twice");
	if (o != w->from || strcmp(e->event, "state") != 0)
		return;
	if (strcmp(e->state, "opened") == 0) {
		w->home_opened = true;
		if (w->to->office != NULL && !is_filed(w->to, w->id))
			failed("an `opened' came home for what is not on the addressee's disk");
	}
	if (strcmp(e->state, "queued") == 0) /* once more */
		resealed++;
	w->home_stored = w->home_stored || strcmp(e->state, "stored") == 0;
	if (strcmp(e->state, "refused") == 0 || strcmp(e->state, "expired") == 0) {
		printf("%s of %s to %s\n", e->state, o->authority, e->authority);
		failed("a good message was refused");
	}
}

static void
boot_office(void *arg, struct machine *m)
{
	struct sim_office *o = arg;

	if (store_open_sim(machine_disk(m), &book_layout, &o->store) != OK ||
	    office_new(machine_loop(m), o->store, &o->config, &o->office) != OK)
		failed("an office does not start");
	o->watch = office_watch(o->office, on_event, o);
	for (size_t i = 0; i < wish_count; i++) {
		struct wish *w = &wishes[i];
		if (w->from != o || w->accepted)
			continue;
		w->busy = false; /* the officer tries once more */
		w->put_bytes = 0;
		random_bytes(w->handle.at, ID_BYTES);
	}
}

static void
office_died(void *arg, struct machine *m)
{
	struct sim_office *o = arg;

	(void)m;
	office_free(o->office);
	store_close(o->store);
	o->office = NULL;
}

static void
make_office(struct sim_office *o)
{
	o->signing = (struct office_key){ fixture_cert(fixture, o->authority, USE_SIGNING),
		fixture_key(fixture, o->authority, USE_SIGNING) };
	if (o->store_key.at == NULL && secret_init(&o->store_key, 32) != OK)
		failed("no memory");
	o->machine = machine_new(o->authority, boot_office, office_died, o);
	/* three deaths while one envelope is being opened make it poison, by design */
	machine_deaths_max(o->machine, OPEN_ATTEMPTS_MAX - 1);
	o->config = (struct office_config){ .authority = o->authority,
		.node = o->node,
		.signing = &o->signing,
		.sealing = o->sealing,
		.signing_count = 1,
		.sealing_count = 2,
		.store_key = &o->store_key,
		.link_path = o->path,
		.trust.pin = fixture_pin(fixture),
		.desk_fd = -1,
		.tell_seen = true };
}

/* --- officers --- */

static void
submitted(void *arg, enum err e, const char *words, const Citex__Submitted *s)
{
	struct wish *w = arg;

	(void)s;
	w->busy = false;
	if (e == OK)
		w->accepted = true;
	else if (err_class(e) != CLASS_RETRY && e != ERR_NOT_FOUND)
		failed(words[0] != '\0' ? words : err_words(e));
}

static void
was_put(void *arg, enum err e, const char *words)
{
	struct wish *w = arg;

	w->busy = false;
	if (e == OK) {
		w->put_bytes += w->attachment_bytes - w->put_bytes < CHUNK_PLAIN_BYTES
		    ? w->attachment_bytes - w->put_bytes
		    : CHUNK_PLAIN_BYTES;
		return;
	}
	if (err_class(e) != CLASS_RETRY)
		failed(words[0] != '\0' ? words : err_words(e));
	w->put_bytes = 0;
	random_bytes(w->handle.at, ID_BYTES);
}

static void
put_next(struct wish *w)
{
	Citex__Put p = CITEX__PUT__INIT;
	uint64_t left = w->attachment_bytes - w->put_bytes;

	p.handle = pb_of_bytes(id_bytes(&w->handle));
	p.name = (char *)(uintptr_t) "scan.pdf";
	p.length = w->attachment_bytes;
	p.offset = w->put_bytes;
	p.data = pb_of_bytes(
	    (struct bytes){ piece, left < CHUNK_PLAIN_BYTES ? left : CHUNK_PLAIN_BYTES });
	w->busy = true;
	office_put(w->from->office, 1, &p, was_put, w);
}

static void
submit(struct wish *w)
{
	Citex__Submit s = CITEX__SUBMIT__INIT;
	Citex__Query q = CITEX__QUERY__INIT;
	Citex__Permit permit = CITEX__PERMIT__INIT;
	CLEANUP(buffer_release) struct buffer body = { 0 };
	char id[ID_TEXT_BYTES], *to = (char *)(uintptr_t)w->to->authority,
				*reason = (char *)(uintptr_t) "ROUTINE";
	ProtobufCBinaryData handle = pb_of_bytes(id_bytes(&w->handle));

	id_print(w->id, id);
	permit.number = id;
	q.permit = &permit;
	q.reason = &reason;
	q.n_reason = 1;
	proto_pack(&q.base, &body);
	s.id = id;
	s.kind = (char *)(uintptr_t) "query";
	s.to = &to;
	s.n_to = 1;
	s.body = pb_of_bytes(buffer_bytes(&body));
	if (w->attachment_bytes > 0) {
		s.attachments = &handle;
		s.n_attachments = 1;
	}
	w->busy = true;
	office_submit(w->from->office, &s, "An officer", submitted, w);
}

/* Each officer does the next thing that is not under way. */
static void
let_officers_work(void)
{
	for (size_t i = 0; i < wish_count; i++) {
		struct wish *w = &wishes[i];
		if (w->accepted || w->busy || w->from->office == NULL ||
		    w->at_ms > world_now().mono_ms || office_directory(w->from->office) == NULL)
			continue;
		if (w->put_bytes < w->attachment_bytes)
			put_next(w);
		else
			submit(w);
	}
}

static void
make_wishes(void)
{
	wish_count = 2 + world_chance(MESSAGES_MAX - 1);
	for (size_t i = 0; i < wish_count; i++) {
		struct wish *w = &wishes[i];
		uint8_t chance[10];
		*w = (struct wish){ .from = &offices[world_chance(OFFICES)] };
		do
			w->to = &offices[world_chance(OFFICES)];
		while (w->to == w->from);
		random_bytes(chance, sizeof(chance));
		w->at_ms = 1000 + (int64_t)world_chance(STORM_MS / 2);
		w->id = id_make(world_now().utc_ms + w->at_ms, chance);
		random_bytes(w->handle.at, ID_BYTES);
		if (world_chance(3) == 0)
			w->attachment_bytes = 1 + world_chance(3 * CHUNK_PLAIN_BYTES);
	}
}

/* --- a run --- */

static struct machine *
any_machine(void)
{
	size_t i = world_chance(POSTS + OFFICES);

	return i < POSTS ? posts[i].machine : offices[i - POSTS].machine;
}

/* An administrator installs the second directory. */
static void
install(struct sim_post *p)
{
	struct directory *d = fixture_directory(fixture);

	if (p->post != NULL && post_directory_number(p->post) < directory_number(d) &&
	    post_directory_offered(p->post, directory_signed_head(d), directory_contents(d)) != OK)
		failed("a directory cannot be installed");
}

/* An office begins anew without its old key. The directory that says so is installed at its node,
 * and spreads by itself over the sessions there are; who has none learns it from its own
 * administrator in the end. */
static void
renew_keys(void)
{
	if (renewed == NULL && world_now().mono_ms >= renew_at_ms) {
		struct sim_office *o = &offices[world_chance(OFFICES)];
		if (!machine_is_up(o->machine) || !machine_may_die(o->machine))
			return;
		renewed = o;
		o->config.sealing = &o->sealing[1];
		o->config.sealing_count = 1;
		machine_crash(o->machine);
		faults_used[FAULT_KEY_GONE]++;
	}
	for (size_t i = 0; renewed != NULL && i < POSTS; i++) {
		if (world_is_calm() || strcmp(posts[i].name, renewed->node) == 0)
			install(&posts[i]);
	}
}

static void
storm(void)
{
	while (world_now().mono_ms < STORM_MS) {
		world_run(world_now().mono_ms + 50);
		let_officers_work();
		renew_keys();
		if (world_chance(400) == 0) {
			struct machine *m = any_machine();
			if (machine_is_up(m) && machine_may_die(m)) {
				faults_used[FAULT_CRASH_ANY]++;
				machine_crash(m);
			}
		}
		if (world_chance(200) == 0)
			machine_cut(posts[world_chance(POSTS)].machine, world_chance(2) == 0);
		if (world_chance(2000) == 0)
			machine_clock_jump(
			    any_machine(), (int64_t)world_chance(2 * HOUR_MS) - HOUR_MS);
	}
}

static bool
all_arrived(void)
{
	for (size_t i = 0; i < wish_count; i++) {
		if (!wishes[i].accepted || !is_filed(wishes[i].to, wishes[i].id))
			return false;
	}
	return true;
}

/* The furthest slip that W's author holds. */
static Citex__SlipType
reached(const struct wish *w)
{
	CLEANUP(store_end_drop) struct txn *t = NULL;
	Citex__BookAddressee *a = NULL;
	Citex__SlipType type = CITEX__SLIP_TYPE__SLIP_NONE;

	if (w->from->office != NULL && store_read(w->from->store, &t) == OK &&
	    book_addressee(office_book(w->from->office), t, w->id, 0, &a) == OK)
		type = a->reached;
	proto_free((ProtobufCMessage *)a);
	return type;
}

static bool
all_home(void)
{
	for (size_t i = 0; i < wish_count; i++) {
		if (reached(&wishes[i]) != CITEX__SLIP_TYPE__SLIP_OPENED)
			return false;
	}
	return all_arrived();
}

static bool
all_up(void)
{
	bool up = true;

	for (size_t i = 0; i < POSTS; i++)
		up = up && posts[i].post != NULL;
	for (size_t i = 0; i < OFFICES; i++)
		up = up && offices[i].office != NULL;
	return up;
}

static void
calm(void)
{
	int64_t end_ms = world_now().mono_ms + CALM_MS;

	world_calm();
	world_crash_rate(0);
	world_cut_rate(0);
	while (!(all_up() && all_home()) && world_now().mono_ms < end_ms) {
		world_run(world_now().mono_ms + 200);
		let_officers_work();
		renew_keys();
	}
}

struct counting {
	struct id id;
	unsigned count;
};

static bool
count_id(void *arg, const Citex__BookMessage *m)
{
	struct counting *c = arg;

	c->count += bytes_equal(bytes_of_pb(m->id), id_bytes(&c->id)) ? 1 : 0;
	return true;
}

static void
on_damage(void *arg, const char *table, struct bytes key, const char *words)
{
	(void)arg;
	(void)key;
	printf("%s: %s\n", table, words);
}

static void
check_office(struct sim_office *o)
{
	CLEANUP(store_end_drop) struct txn *t = NULL;

	if (o->office == NULL || store_read(o->store, &t) != OK)
		failed("an office is not there in the calm");
	if (book_audit_walk(office_book(o->office), t, NULL, NULL) != OK)
		failed("an audit log does not verify");
	if (book_count(office_book(o->office), t, BOX_QUARANTINE) != 0)
		failed("a good envelope was quarantined");
	for (size_t i = 0; i < wish_count; i++) {
		struct counting c = { wishes[i].id, 0 };
		if (wishes[i].to != o)
			continue;
		if (book_list(office_book(o->office), t, BOX_INBOX, (struct id){ { 0 } }, count_id,
			&c) != OK ||
		    c.count != 1)
			failed("a message is not in the inbox exactly once");
	}
	if (store_check(o->store, on_damage, NULL) != OK)
		failed("an office's store does not verify");
}

static void
check_all(void)
{
	for (size_t i = 0; i < wish_count; i++) {
		if (!wishes[i].accepted)
			failed("a message was not accepted in the calm");
		if (!is_filed(wishes[i].to, wishes[i].id))
			failed("an accepted message did not arrive");
		if (reached(&wishes[i]) != CITEX__SLIP_TYPE__SLIP_OPENED)
			failed("a receipt did not come home");
		if (!is_first_receipt(&wishes[i]))
			failed("a second receipt was made");
	}
	for (size_t i = 0; i < OFFICES; i++)
		check_office(&offices[i]);
	for (size_t i = 0; i < POSTS; i++) {
		if (posts[i].post == NULL || store_check(posts[i].store, on_damage, NULL) != OK)
			failed("a post's store does not verify");
	}
}

static void
end_all(void)
{
	for (size_t i = 0; i < OFFICES; i++)
		office_died(&offices[i], offices[i].machine);
	for (size_t i = 0; i < POSTS; i++)
		post_died(&posts[i], posts[i].machine);
}

static uint64_t
run_seed(uint64_t seed)
{
	uint64_t trace;

	seed_now = seed;
	wish_count = 0;
	world_begin(seed);
	for (size_t i = 0; i < POSTS; i++)
		make_post(&posts[i]);
	for (size_t i = 0; i < OFFICES; i++)
		make_office(&offices[i]);
	make_wishes();
	renewed = NULL;
	renew_at_ms =
	    world_chance(4) != 0 ? INT64_MAX : 1000 + (int64_t)world_chance(STORM_MS * 3 / 4);
	for (size_t i = 0; i < POSTS; i++)
		machine_boot(posts[i].machine);
	for (size_t i = 0; i < OFFICES; i++)
		machine_boot(offices[i].machine);
	world_crash_rate((unsigned)world_chance(30));
	world_cut_rate((unsigned)world_chance(20));
	storm();
	calm();
	check_all();
	trace = world_trace();
	end_all();
	world_end();
	return trace;
}

static int
report(uint64_t first, uint64_t count)
{
	/* not every fault belongs to this simulation: disks here do not fill */
	static const bool wanted[FAULT_COUNT] = { [FAULT_DELAY] = true,
		[FAULT_SPLIT] = true,
		[FAULT_CUT] = true,
		[FAULT_REFUSED] = true,
		[FAULT_CRASH_BEFORE_COMMIT] = true,
		[FAULT_CRASH_AFTER_COMMIT] = true,
		[FAULT_CRASH_ANY] = true,
		[FAULT_CLOCK_JUMP] = true,
		[FAULT_KEY_GONE] = true };
	int unused = 0;

	printf("seeds %lu to %lu\n", (unsigned long)first, (unsigned long)(first + count - 1));
	for (int i = 0; i < FAULT_COUNT; i++) {
		printf("  %-20s %lu\n", fault_words((enum fault)i), (unsigned long)faults_used[i]);
		unused += wanted[i] && faults_used[i] == 0 ? 1 : 0;
	}
	printf("  %-20s %lu\n", "sealed anew", (unsigned long)resealed);
	unused += count >= 20 && resealed == 0 ? 1 : 0;
	if (unused > 0)
		printf("a fault was never used\n");
	printf("%lu passed, %d failed\n", (unsigned long)count, unused);
	return unused > 0 ? 1 : 0;
}

/* A machine that dies leaves its memory behind, as a process does; other tests look for leaks. */
int __lsan_is_turned_off(void);

int
__lsan_is_turned_off(void)
{
	return 1;
}

static void
take_sealing_keys(int which)
{
	for (size_t i = 0; i < OFFICES; i++)
		offices[i].sealing[which] =
		    (struct office_key){ fixture_cert(fixture, offices[i].authority, USE_SEALING),
			    fixture_key(fixture, offices[i].authority, USE_SEALING) };
}

static void
make_directories(void)
{
	fixture = fixture_new();
	first_directory = directory_ref(fixture_directory(fixture));
	take_sealing_keys(0);
	for (size_t i = 0; i < OFFICES; i++)
		fixture_renew(fixture, offices[i].authority, USE_SEALING, FIXTURE_NOW_MS);
	(void)fixture_publish(fixture);
	take_sealing_keys(1);
}

int
main(int argc, char **argv)
{
	uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 20;

	log_set_level(LEVEL_ERROR);
	if (getenv("SIM_LOG") != NULL)
		log_set_level(LEVEL_DEBUG);
	make_directories();
	setvbuf(stdout, NULL, _IOLBF, 0);
	(void)run_seed(first); /* OpenSSL warms its keys up with the first use of each */
	for (uint64_t i = 0; i < count; i++) {
		uint64_t trace = run_seed(first + i);
		if (i < 3 && run_seed(first + i) != trace)
			failed("the same seed went another way");
	}
	return report(first, count);
}
