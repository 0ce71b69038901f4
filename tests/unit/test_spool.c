/* SPDX-License-Identifier: Apache-2.0 */
/* The spool on each store: what is kept, what is said, what is forgotten, and
 * that a step that fails leaves nothing half done. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/post/spool.h"
#include "pki/ossl.h"
#include "proto/decode.h"
#include "tests/parcel.h"

static struct fixture *fixture;

/* A spool on one of the stores. */
struct world {
	bool lmdb;
	char dir[64];
	struct sim_disk *disk;
	struct store *store;
	struct spool_signer signer;
	struct spool *spool;
	struct spool_news news;
};

static void
open_spool(struct world *w)
{
	char why[200] = "";

	if (w->lmdb)
		assert_int_equal(
		    store_open_lmdb(w->dir, &spool_layout, 64 * MIB, &w->store, why), OK);
	else
		assert_int_equal(store_open_sim(w->disk, &spool_layout, &w->store), OK);
	w->signer = (struct spool_signer){ "ke", fixture_key(fixture, "ke", USE_RECEIPTS) };
	assert_int_equal(spool_open(w->store, &w->signer, &w->spool), OK);
}

static void
close_spool(struct world *w)
{
	spool_free(w->spool);
	store_close(w->store);
}

static int
set_up(void **state, bool lmdb)
{
	struct world *w = xalloc(sizeof(*w));

	w->lmdb = lmdb;
	if (lmdb) {
		snprintf(w->dir, sizeof(w->dir), "%s", "/tmp/test_spool-XXXXXX");
		assert_non_null(mkdtemp(w->dir));
	} else {
		w->disk = sim_disk_new(64 * MIB);
	}
	open_spool(w);
	*state = w;
	return 0;
}

static int
set_up_sim(void **state)
{
	return set_up(state, false);
}

static int
set_up_lmdb(void **state)
{
	return set_up(state, true);
}

static int
tear_down(void **state)
{
	struct world *w = *state;
	char path[128];

	close_spool(w);
	parcels_forget();
	spool_news_release(&w->news);
	if (!w->lmdb)
		sim_disk_free(w->disk);
	if (w->lmdb) {
		snprintf(path, sizeof(path), "%s/spool.mdb", w->dir);
		(void)unlink(path);
		snprintf(path, sizeof(path), "%s/spool.mdb-lock", w->dir);
		(void)unlink(path);
		snprintf(path, sizeof(path), "%s/spool.lock", w->dir);
		(void)unlink(path);
		(void)rmdir(w->dir);
	}
	free(w);
	return 0;
}

/* --- one job, as the committer does it --- */

typedef enum err job_fn(struct world *w, struct txn *t, const void *arg);

static enum err
run(struct world *w, job_fn *fn, const void *arg)
{
	struct committer_hooks hooks = spool_hooks(w->spool);
	struct txn *t;
	enum err e = store_begin(w->store, &t), said;

	if (e != OK)
		return e;
	said = fn(w, t, arg);
	e = hooks.batch_end(hooks.arg, t);
	if (e != OK) {
		store_end(t);
		hooks.batch_dropped(hooks.arg);
		return e;
	}
	e = store_commit(t);
	return e == OK ? said : e;
}

static enum err
accept_job(struct world *w, struct txn *t, const void *arg)
{
	return spool_accept(w->spool, t, arg, &w->news);
}

static struct spool_arrival
arrival(const struct envelope *e, struct bytes packed)
{
	return (struct spool_arrival){
		.envelope = e,
		.packed = packed,
		.from = "ngb",
		.to = "oke.ma",
		.home = "ngb",
		.slip = CITEX__SLIP_TYPE__SLIP_STORED,
		.now_ms = FIXTURE_NOW_MS,
		.directory = 1,
	};
}

/* Accept PARCEL into lane TO with SLIP. */
static enum err
accept_to(struct world *w, const struct parcel *parcel, const char *to, Citex__SlipType slip)
{
	CLEANUP(buffer_release) struct buffer packed = { 0 };
	struct envelope e;
	struct spool_arrival a;
	enum err result;

	parcel_make(fixture, parcel, &packed);
	assert_int_equal(envelope_parse(buffer_bytes(&packed), &e), OK);
	a = arrival(&e, buffer_bytes(&packed));
	a.to = to;
	a.slip = slip;
	if (to[0] == '\0')
		a.reason = ERR_DENIED;
	result = run(w, accept_job, &a);
	envelope_release(&e);
	return result;
}

static enum err
accept_one(struct world *w, const struct parcel *parcel)
{
	return accept_to(w, parcel, "oke.ma", CITEX__SLIP_TYPE__SLIP_STORED);
}

static enum err
chunk_job(struct world *w, struct txn *t, const void *arg)
{
	return spool_chunk(w->spool, t, arg, &w->news);
}

static enum err
give_chunk(struct world *w, const struct parcel_part *p, uint32_t index)
{
	Citex__Chunk *pb = parcel_pb(p, index);
	struct bytes path[MERKLE_PATH_MAX];
	struct spool_chunk c = {
		.root = pb->root.data,
		.length = parcel_length(p),
		.index = index,
		.path = path,
		.path_count = pb->n_path,
		.data = bytes_of_pb(pb->data),
		.now_ms = FIXTURE_NOW_MS,
		.directory = 1,
	};
	enum err e;

	for (size_t i = 0; i < pb->n_path; i++)
		path[i] = bytes_of_pb(pb->path[i]);
	e = run(w, chunk_job, &c);
	proto_free(&pb->base);
	return e;
}

struct taking {
	const char *lane;
	enum lane_class class;
	uint64_t ticket;
};

static enum err
taken_job(struct world *w, struct txn *t, const void *arg)
{
	const struct taking *x = arg;

	return spool_taken(w->spool, t, x->lane, x->class, x->ticket, &w->news);
}

/* How many items LANE has of CLASS; the first ticket. */
static size_t
lane_size(struct world *w, const char *lane, enum lane_class class, uint64_t *first)
{
	struct spool_item rows[16];
	size_t found;
	bool end;

	assert_int_equal(spool_page(w->spool, lane, class, 0, rows, 16, &found, &end), OK);
	assert_true(end);
	if (first != NULL)
		*first = found > 0 ? rows[0].ticket : 0;
	return found;
}

/* The last slip in LANE, parsed. */
static void
last_slip(struct world *w, const char *lane, struct slip *s)
{
	struct spool_item rows[16];
	struct spool_envelope e;
	size_t found;
	bool end;

	assert_int_equal(spool_page(w->spool, lane, LANE_SLIPS, 0, rows, 16, &found, &end), OK);
	assert_true(found > 0);
	assert_int_equal(spool_load(w->spool, lane, LANE_SLIPS, rows[found - 1].ticket, &e), OK);
	assert_int_equal(slip_parse(buffer_bytes(&e.packed), s), OK);
	spool_envelope_release(&e);
}

/* The other side took everything in LANE of CLASS. */
static void
take_all(struct world *w, const char *lane, enum lane_class class)
{
	uint64_t ticket;

	while (lane_size(w, lane, class, &ticket) > 0) {
		struct taking x = { lane, class, ticket };
		assert_int_equal(run(w, taken_job, &x), OK);
	}
}

static void
found_damage(void *arg, const char *table, struct bytes key, const char *words)
{
	(void)arg;
	(void)key;
	print_error("%s: %s\n", table, words);
}

static void
assert_sound(struct world *w)
{
	assert_int_equal(store_check(w->store, found_damage, NULL), OK);
}

/* --- tests --- */

static void
test_incarnation_lasts_until_restored(void **state)
{
	struct world *w = *state;
	uint8_t was[INCARNATION_BYTES];

	memcpy(was, spool_incarnation(w->spool), sizeof(was));
	close_spool(w);
	open_spool(w);
	assert_memory_equal(was, spool_incarnation(w->spool), sizeof(was));
	assert_false(spool_is_restored(w->spool));
	assert_int_equal(store_mark_restored(w->store), OK);
	close_spool(w);
	open_spool(w);
	assert_memory_not_equal(was, spool_incarnation(w->spool), sizeof(was));
	assert_true(spool_is_restored(w->spool));
	memcpy(was, spool_incarnation(w->spool), sizeof(was));
	close_spool(w);
	open_spool(w);
	assert_memory_equal(was, spool_incarnation(w->spool), sizeof(was));
	assert_true(spool_is_restored(w->spool)); /* until all have heard of it: peers.c */
}

static void
test_envelope_and_its_receipt_stand_together(void **state)
{
	struct world *w = *state;
	struct proof_cache cache = { 0 };
	struct spool_envelope e;
	struct slip s;
	uint64_t ticket;

	assert_int_equal(accept_one(w, &(struct parcel){ .id = 1 }), OK);
	assert_int_equal(w->news.outcome, SPOOL_DONE);
	assert_false(w->news.duplicate);
	assert_int_equal(w->news.count, 2);
	assert_int_equal(lane_size(w, "oke.ma", LANE_ROUTINE, &ticket), 1);
	last_slip(w, "ngb", &s);
	assert_int_equal(s.body->type, CITEX__SLIP_TYPE__SLIP_STORED);
	assert_string_equal(s.body->maker, "ke");
	assert_string_equal(s.body->to, "gb.ma");
	assert_int_equal(s.body->time, FIXTURE_NOW_MS);
	assert_int_equal(slip_verify(&cache, fixture_directory(fixture), &s), OK);
	assert_int_equal(spool_load(w->spool, "oke.ma", LANE_ROUTINE, ticket, &e), OK);
	assert_memory_equal(e.digest, s.body->outer_digest.data, DIGEST_BYTES);
	assert_string_equal(e.item.author, "gb.ma");
	assert_string_equal(e.item.addressee, "ke.ma");
	assert_int_equal(e.item.bytes, e.packed.len);
	spool_envelope_release(&e);
	slip_release(&s);
	assert_sound(w);
}

static void
test_duplicate_brings_the_first_receipt_again(void **state)
{
	struct world *w = *state;
	struct slip first, again;

	assert_int_equal(accept_one(w, &(struct parcel){ .id = 1 }), OK);
	last_slip(w, "ngb", &first);
	/* The receipt still waits: nothing new. */
	assert_int_equal(accept_one(w, &(struct parcel){ .id = 1 }), OK);
	assert_true(w->news.duplicate);
	assert_int_equal(w->news.count, 0);
	take_all(w, "ngb", LANE_SLIPS);
	/* It went, and the envelope went to its office: the same receipt again, no envelope. */
	take_all(w, "oke.ma", LANE_ROUTINE);
	assert_int_equal(accept_one(w, &(struct parcel){ .id = 1 }), OK);
	assert_true(w->news.duplicate);
	assert_int_equal(lane_size(w, "oke.ma", LANE_ROUTINE, NULL), 0);
	last_slip(w, "ngb", &again);
	assert_memory_equal(first.digest, again.digest, DIGEST_BYTES);
	slip_release(&first);
	slip_release(&again);
	assert_sound(w);
}

static enum err
slip_job(struct world *w, struct txn *t, const void *arg)
{
	return spool_slip(w->spool, t, arg, &w->news);
}

/* A slip of ke.ma about PARCEL. */
static void
make_slip(const struct parcel *parcel, Citex__SlipType type, struct buffer *packed)
{
	struct envelope e;
	struct slip_draft d = {
		.type = type,
		.maker = "ke.ma",
		.time_ms = FIXTURE_NOW_MS,
		.reason = ERR_DENIED,
		.directory = 1,
	};

	parcel_envelope(fixture, parcel, &e);
	d.about = &e;
	assert_int_equal(slips_make(fixture_key(fixture, "ke.ma", USE_SIGNING), &d, 1, packed), OK);
	envelope_release(&e);
}

static enum err
give_slip(struct world *w, struct bytes packed, const char *lane, bool ends, bool remember)
{
	struct slip s;
	struct spool_slip in = { .packed = packed, .lane = lane, .ends = ends };
	enum err e;

	assert_int_equal(slip_parse(packed, &s), OK);
	in.slip = &s;
	in.remember = remember;
	in.now_ms = FIXTURE_NOW_MS;
	e = run(w, slip_job, &in);
	slip_release(&s);
	return e;
}

static void
test_duplicate_brings_the_office_s_last_word_too(void **state)
{
	struct world *w = *state;
	CLEANUP(buffer_release) struct buffer opened = { 0 };
	const struct parcel parcel = { .id = 1 };

	assert_int_equal(accept_one(w, &parcel), OK);
	make_slip(&parcel, CITEX__SLIP_TYPE__SLIP_OPENED, &opened);
	assert_int_equal(give_slip(w, buffer_bytes(&opened), "ngb", false, true), OK);
	take_all(w, "ngb", LANE_SLIPS);
	assert_int_equal(accept_one(w, &parcel), OK);
	assert_int_equal(lane_size(w, "ngb", LANE_SLIPS, NULL), 2);
	assert_sound(w);
}

static void
test_no_receipt_before_the_last_chunk(void **state)
{
	struct world *w = *state;
	const struct parcel_part parts[2] = { { 1, 3, 100 }, { 9, 1, 17 } };
	const struct parcel parcel = { .id = 2, .parts = parts, .part_count = 2 };
	const uint32_t order[] = { 2, 0, 1 };

	assert_int_equal(accept_one(w, &parcel), OK);
	assert_int_equal(w->news.outcome, SPOOL_PARTIAL);
	assert_int_equal(give_chunk(w, &parts[1], 0), OK);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(lane_size(w, "ngb", LANE_SLIPS, NULL), 0);
		assert_int_equal(lane_size(w, "oke.ma", LANE_ROUTINE, NULL), 0);
		assert_int_equal(give_chunk(w, &parts[0], order[i]), OK);
	}
	assert_int_equal(lane_size(w, "ngb", LANE_SLIPS, NULL), 1);
	assert_int_equal(lane_size(w, "oke.ma", LANE_ROUTINE, NULL), 1);
	assert_int_equal(accept_one(w, &parcel), OK);
	assert_int_equal(w->news.outcome, SPOOL_DONE);
	assert_sound(w);
}

static void
test_what_is_missing_survives_a_restart(void **state)
{
	struct world *w = *state;
	const struct parcel_part part = { 1, 5, 100 };
	const struct parcel parcel = { .id = 2, .parts = &part, .part_count = 1 };
	struct spool_missing missing[ATTACHMENTS_MAX];
	size_t count;

	assert_int_equal(accept_one(w, &parcel), OK);
	assert_int_equal(give_chunk(w, &part, 0), OK);
	assert_int_equal(give_chunk(w, &part, 1), OK);
	assert_int_equal(give_chunk(w, &part, 3), OK);
	if (!w->lmdb)
		sim_disk_crash(w->disk);
	close_spool(w);
	open_spool(w);
	assert_int_equal(accept_one(w, &parcel), OK);
	assert_int_equal(w->news.outcome, SPOOL_PARTIAL);
	assert_int_equal(spool_missing(w->spool, w->news.number, missing, &count), OK);
	assert_int_equal(count, 1);
	assert_int_equal(missing[0].next, 2);
	assert_int_equal(missing[0].later, 2); /* chunk 3 is here */
	assert_int_equal(give_chunk(w, &part, 2), OK);
	assert_int_equal(give_chunk(w, &part, 4), OK);
	assert_int_equal(lane_size(w, "oke.ma", LANE_ROUTINE, NULL), 1);
}

static bool
is_lane(void *arg, const char *lane)
{
	return strcmp(lane, arg) == 0;
}

static enum err
read_chunk(struct world *w, const struct parcel_part *part, uint32_t index, const char *lane)
{
	CLEANUP(buffer_release) struct buffer data = { 0 };
	CLEANUP(buffer_release) struct buffer right = { 0 };
	uint8_t root[DIGEST_BYTES], path[MERKLE_PATH_MAX][DIGEST_BYTES];
	size_t count;
	enum err e;

	parcel_root(part, root);
	e = spool_read_chunk(
	    w->spool, root, index, is_lane, (void *)(uintptr_t)lane, &data, path, &count);
	if (e != OK)
		return e;
	parcel_chunk(part, index, &right);
	assert_true(bytes_equal(buffer_bytes(&data), buffer_bytes(&right)));
	return OK;
}

static enum err
sweep_job(struct world *w, struct txn *t, const void *arg)
{
	return spool_sweep(w->spool, t, (bool *)(uintptr_t)arg);
}

static unsigned
sweep(struct world *w)
{
	bool more = true;
	unsigned jobs = 0;

	for (; more; jobs++)
		assert_int_equal(run(w, sweep_job, &more), OK);
	return jobs;
}

static void
test_a_chunk_is_kept_once_and_goes_with_the_last(void **state)
{
	struct world *w = *state;
	const struct parcel_part part = { 1, 2, 100 };
	const struct parcel one = { .id = 2, .parts = &part, .part_count = 1 };
	const struct parcel two = {
		.id = 3, .addressee = "ke.kws", .parts = &part, .part_count = 1
	};

	assert_int_equal(accept_one(w, &one), OK);
	assert_int_equal(accept_to(w, &two, "oke.kws", CITEX__SLIP_TYPE__SLIP_STORED), OK);
	assert_int_equal(give_chunk(w, &part, 0), OK);
	assert_int_equal(give_chunk(w, &part, 1), OK);
	/* Both are whole by the one chunk. */
	assert_int_equal(lane_size(w, "oke.ma", LANE_ROUTINE, NULL), 1);
	assert_int_equal(lane_size(w, "oke.kws", LANE_ROUTINE, NULL), 1);
	assert_int_equal(read_chunk(w, &part, 1, "oke.ma"), OK);
	assert_int_equal(read_chunk(w, &part, 1, "oke.kws"), OK);
	assert_int_equal(read_chunk(w, &part, 1, "ngb"), ERR_NOT_FOUND);
	take_all(w, "oke.ma", LANE_ROUTINE);
	(void)sweep(w);
	assert_int_equal(read_chunk(w, &part, 1, "oke.ma"), ERR_NOT_FOUND);
	assert_int_equal(read_chunk(w, &part, 1, "oke.kws"), OK);
	take_all(w, "oke.kws", LANE_ROUTINE);
	(void)sweep(w);
	assert_int_equal(read_chunk(w, &part, 1, "oke.kws"), ERR_NOT_FOUND);
	assert_sound(w);
}

static void
test_sweeping_a_large_part_takes_several_jobs(void **state)
{
	struct world *w = *state;
	const struct parcel_part part = { 1, 130, 100 };
	const struct parcel parcel = { .id = 2, .parts = &part, .part_count = 1 };

	assert_int_equal(accept_one(w, &parcel), OK);
	for (uint32_t i = 0; i < part.count; i++)
		assert_int_equal(give_chunk(w, &part, i), OK);
	take_all(w, "oke.ma", LANE_ROUTINE);
	assert_true(sweep(w) >= 3);
	/* Nothing of it is left: it would have to be pulled whole. */
	assert_int_equal(accept_to(w, &(struct parcel){ .id = 3, .parts = &part, .part_count = 1 },
			     "oke.ma", CITEX__SLIP_TYPE__SLIP_STORED),
	    OK);
	assert_int_equal(w->news.outcome, SPOOL_PARTIAL);
	assert_int_equal(read_chunk(w, &part, 0, "oke.ma"), ERR_NOT_FOUND);
	assert_sound(w);
}

static void
test_a_part_wanted_again_while_it_is_swept_is_pulled_from_where_it_ends(void **state)
{
	struct world *w = *state;
	const struct parcel_part part = { 1, 130, 100 };
	struct spool_missing missing[ATTACHMENTS_MAX];
	size_t count;
	bool more = false;

	assert_int_equal(
	    accept_one(w, &(struct parcel){ .id = 2, .parts = &part, .part_count = 1 }), OK);
	for (uint32_t i = 0; i < part.count; i++)
		assert_int_equal(give_chunk(w, &part, i), OK);
	take_all(w, "oke.ma", LANE_ROUTINE);
	assert_int_equal(run(w, sweep_job, &more), OK);
	assert_int_equal(
	    accept_one(w, &(struct parcel){ .id = 3, .parts = &part, .part_count = 1 }), OK);
	assert_int_equal(spool_missing(w->spool, w->news.number, missing, &count), OK);
	assert_int_equal(missing[0].next, 66);
	assert_int_equal(run(w, sweep_job, &more), OK);
	assert_false(more);
	for (uint32_t i = 66; i < part.count; i++)
		assert_int_equal(give_chunk(w, &part, i), OK);
	assert_int_equal(lane_size(w, "oke.ma", LANE_ROUTINE, NULL), 1);
	assert_int_equal(read_chunk(w, &part, 0, "oke.ma"), OK);
}

static void
test_a_chunk_nobody_lists_is_not_kept(void **state)
{
	struct world *w = *state;
	const struct parcel_part part = { 1, 2, 100 };

	assert_int_equal(give_chunk(w, &part, 0), ERR_NOT_FOUND);
}

static void
test_relay_hands_on_again_what_it_handed_on(void **state)
{
	struct world *w = *state;
	const struct parcel parcel = { .id = 1, .addressee = "so.ma" };
	struct slip first, again;

	assert_int_equal(accept_to(w, &parcel, "nso", CITEX__SLIP_TYPE__SLIP_RELAYED), OK);
	last_slip(w, "ngb", &first);
	assert_int_equal(first.body->type, CITEX__SLIP_TYPE__SLIP_RELAYED);
	take_all(w, "ngb", LANE_SLIPS);
	take_all(w, "nso", LANE_ROUTINE);
	assert_int_equal(accept_to(w, &parcel, "nso", CITEX__SLIP_TYPE__SLIP_RELAYED), OK);
	assert_int_equal(lane_size(w, "nso", LANE_ROUTINE, NULL), 1);
	assert_int_equal(lane_size(w, "ngb", LANE_SLIPS, NULL), 1);
	last_slip(w, "ngb", &again);
	assert_memory_equal(first.digest, again.digest, DIGEST_BYTES);
	slip_release(&first);
	slip_release(&again);
	assert_sound(w);
}

static void
test_a_slip_ends_what_waits_for_a_node_only(void **state)
{
	struct world *w = *state;
	const struct parcel relayed = { .id = 1 }, here = { .id = 2 };
	CLEANUP(buffer_release) struct buffer one = { 0 };
	CLEANUP(buffer_release) struct buffer two = { 0 };

	assert_int_equal(accept_to(w, &relayed, "nso", CITEX__SLIP_TYPE__SLIP_RELAYED), OK);
	assert_int_equal(accept_one(w, &here), OK);
	make_slip(&relayed, CITEX__SLIP_TYPE__SLIP_OPENED, &one);
	make_slip(&here, CITEX__SLIP_TYPE__SLIP_OPENED, &two);
	assert_int_equal(give_slip(w, buffer_bytes(&one), "ngb", true, false), OK);
	assert_int_equal(give_slip(w, buffer_bytes(&two), "ngb", true, false), OK);
	assert_int_equal(lane_size(w, "nso", LANE_ROUTINE, NULL), 0);
	assert_int_equal(lane_size(w, "oke.ma", LANE_ROUTINE, NULL), 1);
	/* The same slip again stands once. */
	assert_int_equal(lane_size(w, "ngb", LANE_SLIPS, NULL), 4);
	assert_int_equal(give_slip(w, buffer_bytes(&two), "ngb", true, false), OK);
	assert_int_equal(lane_size(w, "ngb", LANE_SLIPS, NULL), 4);
	assert_sound(w);
}

static void
test_refused_is_remembered_unless_the_stamp_was_bad(void **state)
{
	struct world *w = *state;
	CLEANUP(buffer_release) struct buffer packed = { 0 };
	const struct parcel parcel = { .id = 1 };
	struct envelope e;
	struct spool_arrival a;
	struct slip first, again;

	assert_int_equal(accept_to(w, &parcel, "", CITEX__SLIP_TYPE__SLIP_REFUSED), OK);
	last_slip(w, "ngb", &first);
	assert_string_equal(first.body->reason, "denied");
	take_all(w, "ngb", LANE_SLIPS);
	/* Later it might be taken; but it was refused. */
	assert_int_equal(accept_one(w, &parcel), OK);
	assert_int_equal(lane_size(w, "oke.ma", LANE_ROUTINE, NULL), 0);
	last_slip(w, "ngb", &again);
	assert_memory_equal(first.digest, again.digest, DIGEST_BYTES);
	slip_release(&first);
	slip_release(&again);

	parcel_make(fixture, &(struct parcel){ .id = 2 }, &packed);
	assert_int_equal(envelope_parse(buffer_bytes(&packed), &e), OK);
	a = arrival(&e, buffer_bytes(&packed));
	a.to = "";
	a.slip = CITEX__SLIP_TYPE__SLIP_REFUSED;
	a.reason = ERR_SIGNATURE;
	a.forget = true;
	assert_int_equal(run(w, accept_job, &a), OK);
	envelope_release(&e);
	assert_int_equal(accept_one(w, &(struct parcel){ .id = 2 }), OK);
	assert_false(w->news.duplicate);
	assert_int_equal(lane_size(w, "oke.ma", LANE_ROUTINE, NULL), 1);
	assert_sound(w);
}

static void
test_one_id_for_two_envelopes_is_a_conflict(void **state)
{
	struct world *w = *state;

	assert_int_equal(accept_one(w, &(struct parcel){ .id = 1 }), OK);
	assert_int_equal(accept_one(w, &(struct parcel){ .id = 1, .sequence = 2 }), ERR_CONFLICT);
	assert_int_equal(lane_size(w, "oke.ma", LANE_ROUTINE, NULL), 1);
	/* Another author's is another matter. */
	assert_int_equal(
	    accept_one(w, &(struct parcel){ .id = 1, .author = "gb.border-force" }), OK);
	assert_int_equal(lane_size(w, "oke.ma", LANE_ROUTINE, NULL), 2);
}

static void
test_urgent_and_routine_are_apart(void **state)
{
	struct world *w = *state;

	assert_int_equal(accept_one(w, &(struct parcel){ .id = 1 }), OK);
	assert_int_equal(accept_one(w, &(struct parcel){ .id = 2, .urgent = true }), OK);
	assert_int_equal(lane_size(w, "oke.ma", LANE_ROUTINE, NULL), 1);
	assert_int_equal(lane_size(w, "oke.ma", LANE_URGENT, NULL), 1);
}

struct tally {
	uint64_t counts[LANE_CLASSES];
	unsigned lanes;
};

static void
tally_lane(void *arg, const char *lane, const uint64_t counts[LANE_CLASSES])
{
	struct tally *t = arg;

	(void)lane;
	t->lanes++;
	for (size_t i = 0; i < LANE_CLASSES; i++)
		t->counts[i] += counts[i];
}

static void
test_counts_of_lanes_agree_after_a_restart(void **state)
{
	struct world *w = *state;
	struct tally t = { 0 };

	for (uint8_t i = 1; i <= 5; i++)
		assert_int_equal(
		    accept_one(w, &(struct parcel){ .id = i, .urgent = i % 2 == 0 }), OK);
	take_all(w, "oke.ma", LANE_URGENT);
	close_spool(w);
	open_spool(w);
	assert_int_equal(spool_lanes(w->spool, tally_lane, &t), OK);
	assert_int_equal(t.lanes, 2);
	assert_int_equal(t.counts[LANE_SLIPS], 5);
	assert_int_equal(t.counts[LANE_URGENT], 0);
	assert_int_equal(t.counts[LANE_ROUTINE], 3);
	/* Tickets go on from where they were. */
	assert_int_equal(accept_one(w, &(struct parcel){ .id = 9 }), OK);
	assert_int_equal(lane_size(w, "oke.ma", LANE_ROUTINE, NULL), 4);
}

/* --- expiry --- */

static enum err
expire_job(struct world *w, struct txn *t, const void *arg)
{
	return spool_expire(w->spool, t, arg, &w->news);
}

static size_t
expire_all(struct world *w, int64_t now_ms)
{
	struct spool_after after = { 0 };
	struct spool_due rows[8];
	size_t found;

	assert_int_equal(spool_due(w->spool, now_ms, &after, rows, 8, &found), OK);
	for (size_t i = 0; i < found; i++) {
		struct spool_ending e = { .id = rows[i].id,
			.number = rows[i].number,
			.home = "ngb",
			.now_ms = now_ms,
			.directory = 1 };
		memcpy(e.digest, rows[i].digest, DIGEST_BYTES);
		assert_int_equal(run(w, expire_job, &e), OK);
	}
	return found;
}

static void
test_what_waits_for_a_node_expires_with_a_slip(void **state)
{
	struct world *w = *state;
	const int64_t end_ms = MAIL_CREATED_MS + LIFETIME_DEFAULT_MS;
	const struct parcel parcel = { .id = 1, .addressee = "so.ma" };
	struct slip s;

	assert_int_equal(accept_to(w, &parcel, "nso", CITEX__SLIP_TYPE__SLIP_NONE), OK);
	assert_int_equal(accept_one(w, &(struct parcel){ .id = 2 }), OK);
	take_all(w, "ngb", LANE_SLIPS);
	assert_int_equal(expire_all(w, end_ms - 1), 0);
	assert_int_equal(expire_all(w, end_ms), 2);
	assert_int_equal(lane_size(w, "nso", LANE_ROUTINE, NULL), 0);
	/* What was stored for an office here stays: it has its receipt. */
	assert_int_equal(lane_size(w, "oke.ma", LANE_ROUTINE, NULL), 1);
	assert_int_equal(lane_size(w, "ngb", LANE_SLIPS, NULL), 1);
	last_slip(w, "ngb", &s);
	assert_int_equal(s.body->type, CITEX__SLIP_TYPE__SLIP_EXPIRED);
	slip_release(&s);
	/* It stays ended. */
	assert_int_equal(accept_to(w, &parcel, "nso", CITEX__SLIP_TYPE__SLIP_NONE), OK);
	assert_int_equal(lane_size(w, "nso", LANE_ROUTINE, NULL), 0);
	assert_sound(w);
}

static void
test_what_waits_for_chunks_expires_without_a_word(void **state)
{
	struct world *w = *state;
	const struct parcel_part part = { 1, 2, 100 };
	const struct parcel parcel = { .id = 2, .parts = &part, .part_count = 1 };

	assert_int_equal(accept_to(w, &parcel, "nso", CITEX__SLIP_TYPE__SLIP_NONE), OK);
	assert_int_equal(give_chunk(w, &part, 0), OK);
	assert_int_equal(expire_all(w, MAIL_CREATED_MS + LIFETIME_DEFAULT_MS), 1);
	assert_int_equal(lane_size(w, "ngb", LANE_SLIPS, NULL), 0);
	(void)sweep(w);
	assert_int_equal(give_chunk(w, &part, 1), ERR_NOT_FOUND);
	assert_sound(w);
}

struct pruning {
	int64_t now_ms;
	bool *more;
};

static enum err
prune_job(struct world *w, struct txn *t, const void *arg)
{
	const struct pruning *p = arg;

	return spool_prune(w->spool, t, p->now_ms, p->more, &w->news);
}

static void
test_memory_lasts_48_hours_beyond_the_end(void **state)
{
	struct world *w = *state;
	const int64_t end_ms = MAIL_CREATED_MS + LIFETIME_DEFAULT_MS + REMEMBER_AFTER_EXPIRY_MS;
	const struct parcel parcel = { .id = 1 };
	bool more;

	assert_int_equal(accept_one(w, &parcel), OK);
	/* While the office has not taken it, it is not forgotten either. */
	assert_int_equal(run(w, prune_job, &(struct pruning){ end_ms, &more }), OK);
	assert_int_equal(accept_one(w, &parcel), OK);
	assert_true(w->news.duplicate);
	take_all(w, "oke.ma", LANE_ROUTINE);
	assert_int_equal(run(w, prune_job, &(struct pruning){ end_ms - 1, &more }), OK);
	assert_int_equal(accept_one(w, &parcel), OK);
	assert_true(w->news.duplicate);
	assert_int_equal(run(w, prune_job, &(struct pruning){ end_ms, &more }), OK);
	assert_false(more);
	assert_int_equal(accept_one(w, &parcel), OK);
	assert_false(w->news.duplicate);
	assert_sound(w);
}

/* More than one look of those that stay lie before it. */
static void
test_what_stays_does_not_keep_the_rest_from_being_forgotten(void **state)
{
	static const char *const who[] = { "gb.ma", "so.ma", "gb.border-force", "ke.kws", "ke.ma" };
	struct world *w = *state;
	const struct parcel last = { .id = 255, .author = "secretariat" };
	const int64_t end_ms = MAIL_CREATED_MS + 200 * DAY_MS;
	bool more = true;

	for (unsigned i = 0; i < 1100; i++) {
		struct parcel stays = { .id = (uint8_t)(1 + i % 250),
			.author = who[i / 250],
			.created_ms = MAIL_CREATED_MS,
			.expires_ms = MAIL_CREATED_MS + HOUR_MS };
		assert_int_equal(accept_one(w, &stays), OK);
		if (i % 16 == 0)
			parcels_forget();
	}
	assert_int_equal(accept_to(w, &last, "nke", CITEX__SLIP_TYPE__SLIP_NONE), OK);
	take_all(w, "nke", LANE_ROUTINE);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(run(w, prune_job, &(struct pruning){ end_ms, &more }), OK);
	assert_int_equal(accept_to(w, &last, "nke", CITEX__SLIP_TYPE__SLIP_NONE), OK);
	assert_false(w->news.duplicate);
}

static void
test_slips_nobody_takes_are_dropped_at_last(void **state)
{
	struct world *w = *state;
	bool more;

	assert_int_equal(accept_one(w, &(struct parcel){ .id = 1 }), OK);
	assert_int_equal(
	    run(w, prune_job, &(struct pruning){ FIXTURE_NOW_MS + SLIP_KEPT_MS - 1, &more }), OK);
	assert_int_equal(lane_size(w, "ngb", LANE_SLIPS, NULL), 1);
	assert_int_equal(
	    run(w, prune_job, &(struct pruning){ FIXTURE_NOW_MS + SLIP_KEPT_MS, &more }), OK);
	assert_int_equal(lane_size(w, "ngb", LANE_SLIPS, NULL), 0);
	assert_sound(w);
}

static enum err
move_job(struct world *w, struct txn *t, const void *arg)
{
	const struct taking *x = arg;

	return spool_move(w->spool, t, x->lane, x->class, x->ticket, "nke", &w->news);
}

static void
test_mail_moves_to_another_lane_with_its_parts(void **state)
{
	struct world *w = *state;
	const struct parcel_part part = { 1, 1, 100 };
	const struct parcel parcel = { .id = 2, .parts = &part, .part_count = 1 };
	struct taking x = { .lane = "nso", .class = LANE_ROUTINE };

	assert_int_equal(accept_to(w, &parcel, "nso", CITEX__SLIP_TYPE__SLIP_NONE), OK);
	assert_int_equal(give_chunk(w, &part, 0), OK);
	assert_int_equal(lane_size(w, "nso", LANE_ROUTINE, &x.ticket), 1);
	assert_int_equal(run(w, move_job, &x), OK);
	assert_int_equal(lane_size(w, "nso", LANE_ROUTINE, NULL), 0);
	assert_int_equal(lane_size(w, "nke", LANE_ROUTINE, &x.ticket), 1);
	assert_int_equal(read_chunk(w, &part, 0, "nso"), ERR_NOT_FOUND);
	assert_int_equal(read_chunk(w, &part, 0, "nke"), OK);
	take_all(w, "nke", LANE_ROUTINE);
	(void)sweep(w);
	assert_int_equal(read_chunk(w, &part, 0, "nke"), ERR_NOT_FOUND);
	assert_sound(w);
}

/* --- taken back --- */

struct retreat {
	const struct spool_place *at;
	size_t count;
};

static enum err
take_back_job(struct world *w, struct txn *t, const void *arg)
{
	const struct retreat *x = arg;

	return spool_take_back(w->spool, t, x->at, x->count, &w->news);
}

static enum err
place_of(struct world *w, const struct parcel *parcel, struct spool_place *out)
{
	struct envelope e;
	enum err err;

	parcel_envelope(fixture, parcel, &e);
	err = spool_place(w->spool, e.id, e.digest, out);
	envelope_release(&e);
	return err;
}

static const struct parcel_part back_part = { 1, 1, 100 };
static const struct parcel back_one = { .id = 1 };
static const struct parcel back_two = { .id = 2, .parts = &back_part, .part_count = 1 };

static void
test_what_is_taken_back_leaves_with_its_chunks_and_no_slip(void **state)
{
	struct world *w = *state;
	struct spool_place at[2];
	struct retreat x = { at, 2 };

	assert_int_equal(accept_to(w, &back_one, "nke", CITEX__SLIP_TYPE__SLIP_NONE), OK);
	assert_int_equal(accept_to(w, &back_two, "nke", CITEX__SLIP_TYPE__SLIP_NONE), OK);
	assert_int_equal(place_of(w, &back_one, &at[0]), OK);
	assert_int_equal(place_of(w, &back_two, &at[1]), ERR_NOT_YET);
	assert_int_equal(give_chunk(w, &back_part, 0), OK);
	assert_int_equal(place_of(w, &back_two, &at[1]), OK);
	assert_string_equal(at[1].author, "gb.ma");
	assert_string_equal(at[1].lane, "nke");
	assert_true(at[1].parts && !at[0].parts && !at[0].again);
	assert_true(at[0].ticket > spool_old_tickets(w->spool));
	assert_int_equal(run(w, take_back_job, &x), OK);
	assert_int_equal(w->news.count, 2);
	assert_false(w->news.at[0].added || w->news.at[1].added);
	(void)sweep(w);
	assert_int_equal(lane_size(w, "nke", LANE_ROUTINE, NULL), 0);
	assert_int_equal(lane_size(w, "ngb", LANE_SLIPS, NULL), 0);
	assert_int_equal(read_chunk(w, &back_part, 0, "nke"), ERR_NOT_FOUND);
	assert_int_equal(place_of(w, &back_one, &at[0]), ERR_NOT_FOUND);
	assert_sound(w);
}

static void
test_all_are_taken_back_or_none(void **state)
{
	struct world *w = *state;
	struct spool_place at[2];
	struct retreat x = { at, 2 };
	struct taking taking = { .lane = "nke", .class = LANE_ROUTINE };

	assert_int_equal(accept_to(w, &back_one, "nke", CITEX__SLIP_TYPE__SLIP_NONE), OK);
	assert_int_equal(
	    accept_to(w, &(struct parcel){ .id = 3 }, "nke", CITEX__SLIP_TYPE__SLIP_NONE), OK);
	assert_int_equal(place_of(w, &back_one, &at[0]), OK);
	assert_int_equal(place_of(w, &(struct parcel){ .id = 3 }, &at[1]), OK);
	taking.ticket = at[1].ticket;
	assert_int_equal(run(w, taken_job, &taking), OK);
	assert_int_equal(run(w, take_back_job, &x), ERR_NOT_FOUND);
	assert_int_equal(lane_size(w, "nke", LANE_ROUTINE, NULL), 1);
	assert_int_equal(place_of(w, &back_one, &at[0]), OK);
	assert_sound(w);
}

/* What was handed on once, and what waits elsewhere than before, may have left. */
static void
test_what_came_again_is_known_to_have(void **state)
{
	struct world *w = *state;
	struct spool_place at;
	struct retreat x = { &at, 1 };

	assert_int_equal(accept_to(w, &back_one, "nke", CITEX__SLIP_TYPE__SLIP_NONE), OK);
	assert_int_equal(accept_to(w, &back_one, "nke", CITEX__SLIP_TYPE__SLIP_NONE), OK);
	assert_int_equal(place_of(w, &back_one, &at), OK);
	assert_false(at.again); /* a duplicate of what never went */
	assert_int_equal(run(w, take_back_job, &x), OK);
	assert_int_equal(accept_to(w, &back_one, "nke", CITEX__SLIP_TYPE__SLIP_NONE), OK);
	assert_int_equal(lane_size(w, "nke", LANE_ROUTINE, NULL), 1); /* it is not lost */
	assert_int_equal(place_of(w, &back_one, &at), OK);
	assert_true(at.again);
	close_spool(w);
	open_spool(w);
	assert_int_equal(place_of(w, &back_one, &at), OK);
	assert_true(at.again && at.ticket <= spool_old_tickets(w->spool));
}

/* so.ma has got the same attachment, lists its root with a byte less, and gives nothing. */
static void
test_a_false_length_hides_no_chunk(void **state)
{
	struct world *w = *state;
	const struct parcel_part part = { 1, 2, 100 };
	const struct parcel one = { .id = 2, .parts = &part, .part_count = 1 };
	const struct parcel false_one = {
		.id = 9, .author = "so.ma", .parts = &part, .part_count = 1
	};
	CLEANUP(buffer_release) struct buffer packed = { 0 };
	struct envelope x;
	struct spool_arrival a;

	assert_int_equal(accept_one(w, &one), OK);
	assert_int_equal(give_chunk(w, &part, 0), OK);
	assert_int_equal(give_chunk(w, &part, 1), OK);
	parcel_make(fixture, &false_one, &packed);
	assert_int_equal(envelope_parse(buffer_bytes(&packed), &x), OK);
	x.outer->parts[0]->length -= 1; /* the spool looks at no stamp */
	a = arrival(&x, buffer_bytes(&packed));
	a.from = a.home = "nso";
	assert_int_equal(run(w, accept_job, &a), OK);
	assert_int_equal(w->news.outcome, SPOOL_PARTIAL);
	for (uint32_t i = 0; i < 2; i++)
		assert_int_equal(read_chunk(w, &part, i, "oke.ma"), OK);
	envelope_release(&x);
}

/* For the next process, once; and not on a disk that came from a backup. */
static void
test_what_was_tried_is_told_once(void **state)
{
	struct world *w = *state;
	uint64_t certain = spool_old_tickets(w->spool), last;
	struct spool_place at;

	assert_int_equal(accept_to(w, &back_one, "nke", CITEX__SLIP_TYPE__SLIP_NONE), OK);
	assert_int_equal(place_of(w, &back_one, &at), OK);
	last = at.ticket;
	for (unsigned i = 0; i < 4; i++) {
		struct queue *q = queue_new();
		const struct lane *l;

		if (i < 2) { /* 0, 1: told; 2: not told; 3: told, and restored */
			lane_set_tried(queue_lane(q, "nke"), LANE_ROUTINE, 7 + i);
			lane_set_tried(queue_lane(q, "nso"), LANE_URGENT, 9);
			lane_set_tried(queue_lane(q, "oke.ma"), LANE_URGENT, 11);
		}
		if (i != 2)
			assert_int_equal(spool_put_tried(w->spool, q), OK);
		queue_free(q);
		if (i == 3)
			assert_int_equal(store_mark_restored(w->store), OK);
		close_spool(w);
		open_spool(w);
		q = queue_new();
		spool_take_tried(w->spool, q);
		l = queue_find(q, "nke");
		assert_int_equal(l != NULL ? lane_tried(l, LANE_ROUTINE) : 0, i < 2 ? 7 + i : 0);
		l = queue_find(q, "nso");
		assert_int_equal(l != NULL ? lane_tried(l, LANE_URGENT) : 0, i < 2 ? 9 : 0);
		assert_null(queue_find(q, "oke.ma"));
		assert_int_equal(spool_old_tickets(w->spool) >= last, i >= 2);
		assert_true(i >= 2 || spool_old_tickets(w->spool) == certain);
		queue_free(q);
	}
	assert_sound(w);
}

static void
test_what_was_moved_may_have_left(void **state)
{
	struct world *w = *state;
	struct spool_place at;
	struct taking x = { .lane = "nso", .class = LANE_ROUTINE };

	assert_int_equal(accept_to(w, &back_one, "nso", CITEX__SLIP_TYPE__SLIP_NONE), OK);
	assert_int_equal(place_of(w, &back_one, &at), OK);
	x.ticket = at.ticket;
	assert_int_equal(run(w, move_job, &x), OK);
	assert_int_equal(place_of(w, &back_one, &at), OK);
	assert_true(at.again);
	assert_string_equal(at.lane, "nke");
}

/* --- the world --- */

static enum err
directory_job(struct world *w, struct txn *t, const void *arg)
{
	const struct directory *d = arg;
	Citex__SignedHead *head = (Citex__SignedHead *)(uintptr_t)directory_signed_head(d);

	return spool_put_directory(w->spool, t, &head, 1, directory_contents(d));
}

static enum err
split_job(struct world *w, struct txn *t, const void *arg)
{
	const Citex__SignedHead *head = directory_signed_head(arg);

	return spool_put_split(w->spool, t, 1, head, head);
}

static enum err
peer_job(struct world *w, struct txn *t, const void *arg)
{
	return spool_put_peer(w->spool, t, "gb", arg);
}

static enum err
heads_job(struct world *w, struct txn *t, const void *arg)
{
	Citex__SignedHead **all = (Citex__SignedHead **)(uintptr_t)arg;

	return spool_put_directory(w->spool, t, all, DIRECTORY_HEADS_MAX + 1,
	    directory_contents(fixture_directory(fixture)));
}

static void
test_heads_are_read_so_many_at_once(void **state)
{
	struct world *w = *state;
	Citex__SignedHead *all[DIRECTORY_HEADS_MAX + 1], *read[DIRECTORY_HEADS_MAX];
	uint8_t digest[DIGEST_BYTES] = { 0 };
	size_t count;

	for (size_t i = 0; i <= DIRECTORY_HEADS_MAX; i++) {
		CLEANUP(buffer_release) struct buffer contents = { 0 };
		fixture_make(fixture, i + 1, digest, NULL, NULL, &all[i], &contents);
	}
	assert_int_equal(run(w, heads_job, all), OK);
	for (uint64_t from = 1; from <= 3; from++) { /* one too many, as many, one less */
		assert_int_equal(spool_heads(w->spool, from, read, &count), OK);
		assert_int_equal(count, DIRECTORY_HEADS_MAX - (from == 3 ? 1 : 0));
		for (size_t i = 0; i < count; i++)
			proto_free(&read[i]->base);
	}
	for (size_t i = 0; i <= DIRECTORY_HEADS_MAX; i++)
		proto_free(&all[i]->base);
}

static void
test_directory_split_and_peers_are_kept(void **state)
{
	struct world *w = *state;
	struct directory *d = fixture_directory(fixture);
	CLEANUP(proto_drop) Citex__SignedHead *head = NULL;
	CLEANUP(buffer_release) struct buffer contents = { 0 };
	Citex__SignedHead *heads[DIRECTORY_HEADS_MAX];
	uint8_t digest[DIGEST_BYTES];
	size_t count;
	uint64_t frozen;
	struct spool_peer peer = { .seen_ms = 7, .directory = 3, .knows_us = true }, again;

	assert_int_equal(spool_directory(w->spool, &head, &contents), ERR_NOT_FOUND);
	assert_int_equal(run(w, directory_job, d), OK);
	assert_int_equal(run(w, directory_job, d), OK);
	assert_int_equal(spool_directory(w->spool, &head, &contents), OK);
	assert_true(bytes_equal(buffer_bytes(&contents), directory_contents(d)));
	head_digest(head, digest);
	assert_memory_equal(digest, directory_head_digest(d), DIGEST_BYTES);
	assert_int_equal(spool_heads(w->spool, 1, heads, &count), OK);
	assert_int_equal(count, 1);
	proto_free(&heads[0]->base);
	assert_int_equal(spool_heads(w->spool, 2, heads, &count), OK);
	assert_int_equal(count, 0);

	assert_int_equal(spool_frozen(w->spool, &frozen), OK);
	assert_int_equal(frozen, 0);
	assert_int_equal(run(w, split_job, d), OK);
	assert_int_equal(spool_frozen(w->spool, &frozen), OK);
	assert_int_equal(frozen, 1);

	assert_int_equal(spool_peer(w->spool, "gb", &again), ERR_NOT_FOUND);
	assert_int_equal(run(w, peer_job, &peer), OK);
	assert_int_equal(spool_peer(w->spool, "gb", &again), OK);
	assert_memory_equal(&peer, &again, sizeof(peer));
	assert_int_equal(store_mark_restored(w->store), OK);
	close_spool(w);
	open_spool(w);
	assert_int_equal(spool_peer(w->spool, "gb", &again), OK);
	assert_false(again.knows_us);
}

/* --- each step fails once --- */

static const struct parcel_part fault_part = { 1, 1, 100 };

static enum err
fault_accept(struct world *w)
{
	return accept_one(w, &(struct parcel){ .id = 1 });
}

static enum err
fault_partial(struct world *w)
{
	return accept_one(w, &(struct parcel){ .id = 2, .parts = &fault_part, .part_count = 1 });
}

static enum err
fault_chunk(struct world *w)
{
	return give_chunk(w, &fault_part, 0);
}

static enum err
fault_taken(struct world *w)
{
	struct spool_item row;
	size_t found;
	bool end;
	struct taking x = { .lane = "oke.ma", .class = LANE_ROUTINE };
	enum err e = spool_page(w->spool, x.lane, x.class, 0, &row, 1, &found, &end);

	x.ticket = row.ticket;
	return e == OK ? run(w, taken_job, &x) : e;
}

static enum err
fault_take_back(struct world *w)
{
	struct spool_place at;
	struct retreat x = { &at, 1 };
	enum err e = place_of(w, &(struct parcel){ .id = 1 }, &at);

	return e == OK ? run(w, take_back_job, &x) : e;
}

static enum err
fault_sweep(struct world *w)
{
	bool more = false;

	return run(w, sweep_job, &more);
}

/* What the whole spool holds, as one number. */
static uint64_t
sum_of(struct world *w)
{
	struct tally t = { 0 };
	uint64_t sum = 0;

	assert_int_equal(spool_lanes(w->spool, tally_lane, &t), OK);
	for (size_t c = 0; c < LANE_CLASSES; c++)
		sum = sum * 1000 + t.counts[c];
	return sum;
}

static void
test_a_step_that_fails_leaves_nothing_half_done(void **state)
{
	static enum err (*const steps[])(struct world *) = { fault_accept, fault_partial,
		fault_chunk, fault_take_back, fault_taken, fault_sweep };
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		uint64_t before = sum_of(w);
		enum err e = ERR_FAULT;
		unsigned nth;
		for (nth = 1; e != OK; nth++) {
			assert_true(nth < 500);
			sim_disk_fail(w->disk, nth);
			e = steps[i](w);
			sim_disk_fail(w->disk, 0);
			if (e == OK)
				break;
			assert_sound(w);
			assert_int_equal(sum_of(w), before);
			/* A commit that fails ends the process: what comes after is another one. */
			if (e == ERR_IO) {
				sim_disk_crash(w->disk);
				close_spool(w);
				open_spool(w);
			}
		}
		assert_true(nth > 3);
		assert_sound(w);
	}
}

static int
begin(void **state)
{
	(void)state;
	assert_int_equal(ossl_init(), OK);
	fixture = fixture_new();
	return 0;
}

static int
finish(void **state)
{
	(void)state;
	fixture_free(fixture);
	return 0;
}

#define ON_BOTH(test) \
	{ #test " (sim)", test, set_up_sim, tear_down, NULL }, \
	{ \
#test " (lmdb)", test, set_up_lmdb, tear_down, NULL \
	}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		ON_BOTH(test_incarnation_lasts_until_restored),
		ON_BOTH(test_envelope_and_its_receipt_stand_together),
		ON_BOTH(test_duplicate_brings_the_first_receipt_again),
		ON_BOTH(test_duplicate_brings_the_office_s_last_word_too),
		ON_BOTH(test_no_receipt_before_the_last_chunk),
		ON_BOTH(test_what_is_missing_survives_a_restart),
		ON_BOTH(test_a_chunk_is_kept_once_and_goes_with_the_last),
		ON_BOTH(test_sweeping_a_large_part_takes_several_jobs),
		ON_BOTH(test_a_part_wanted_again_while_it_is_swept_is_pulled_from_where_it_ends),
		ON_BOTH(test_a_chunk_nobody_lists_is_not_kept),
		ON_BOTH(test_relay_hands_on_again_what_it_handed_on),
		ON_BOTH(test_a_slip_ends_what_waits_for_a_node_only),
		ON_BOTH(test_refused_is_remembered_unless_the_stamp_was_bad),
		ON_BOTH(test_one_id_for_two_envelopes_is_a_conflict),
		ON_BOTH(test_urgent_and_routine_are_apart),
		ON_BOTH(test_counts_of_lanes_agree_after_a_restart),
		ON_BOTH(test_what_waits_for_a_node_expires_with_a_slip),
		ON_BOTH(test_what_waits_for_chunks_expires_without_a_word),
		ON_BOTH(test_memory_lasts_48_hours_beyond_the_end),
		cmocka_unit_test_setup_teardown(
		    test_what_stays_does_not_keep_the_rest_from_being_forgotten, set_up_sim,
		    tear_down),
		ON_BOTH(test_slips_nobody_takes_are_dropped_at_last),
		ON_BOTH(test_mail_moves_to_another_lane_with_its_parts),
		ON_BOTH(test_what_is_taken_back_leaves_with_its_chunks_and_no_slip),
		ON_BOTH(test_all_are_taken_back_or_none),
		ON_BOTH(test_what_came_again_is_known_to_have),
		ON_BOTH(test_a_false_length_hides_no_chunk),
		ON_BOTH(test_what_was_tried_is_told_once),
		ON_BOTH(test_what_was_moved_may_have_left),
		ON_BOTH(test_directory_split_and_peers_are_kept),
		ON_BOTH(test_heads_are_read_so_many_at_once),
		cmocka_unit_test_setup_teardown(
		    test_a_step_that_fails_leaves_nothing_half_done, set_up_sim, tear_down),
	};

	return cmocka_run_group_tests(tests, begin, finish);
}
