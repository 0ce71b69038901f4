/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include "daemon/link.h"
#include "daemon/loop.h"
#include "daemon/store/committer.h"
#include "daemon/workers.h"

/* A world in one thread and one seed: virtual time, a network that delays, cuts
 * and splits, disks that forget, machines that die at a commit. It stands
 * behind daemon/loop.h, link.h, workers.h and store/committer.h, so that post
 * and office run in it as they are. One world at a time. */

/* Faults and how often each was used, over all worlds of the process. */
#define FAULT_LIST(X) \
	X(FAULT_DELAY, "delay") \
	X(FAULT_SPLIT, "split") \
	X(FAULT_CUT, "cut") \
	X(FAULT_REFUSED, "dial-refused") \
	X(FAULT_CRASH_BEFORE_COMMIT, "crash-before-commit") \
	X(FAULT_CRASH_AFTER_COMMIT, "crash-after-commit") \
	X(FAULT_CRASH_ANY, "crash-anywhere") \
	X(FAULT_DISK_FULL, "disk-full") \
	X(FAULT_CLOCK_JUMP, "clock-jump") \
	X(FAULT_KEY_GONE, "key-gone")
enum fault {
#define X(name, words) name,
	FAULT_LIST(X)
#undef X
	    FAULT_COUNT
};
extern uint64_t faults_used[FAULT_COUNT];
const char *fault_words(enum fault f);

/* Begin a world from SEED; ends the one before. OpenSSL's randomness comes from it, too. */
void world_begin(uint64_t seed);
/* Free all that is left: links, loops, timers. */
void world_end(void);
/* A number from 0 to BELOW - 1 of the world's own chance; BELOW > 0. */
uint64_t world_chance(uint64_t below);
/* From now on no fault happens: the calm phase. */
void world_calm(void);
bool world_is_calm(void);
struct now world_now(void);

/* A machine: one process with its loop and its disk. CRASHED is called, between events, after the
 * world has decided that it dies: it frees what ran there (nothing of it is committed any more),
 * and world_restart() comes later. */
struct machine;
struct machine *machine_new(const char *name, void (*boot)(void *arg, struct machine *m),
    void (*crashed)(void *arg, struct machine *m), void *arg);
struct loop *machine_loop(struct machine *m);
struct sim_disk *machine_disk(struct machine *m);
bool machine_is_up(const struct machine *m);
/* Boots M (again): a new loop, BOOT is called. */
void machine_boot(struct machine *m);
/* M dies at most MAX times by the world's own decision; without it there is no limit. */
void machine_deaths_max(struct machine *m, unsigned max);
/* Would the world let it die once more? */
bool machine_may_die(const struct machine *m);
/* M dies now (between events). */
void machine_crash(struct machine *m);
/* M ends as it should (between events): CRASHED is called, what it commits counts, and it boots
 * again soon. */
void machine_end(struct machine *m);
/* Chance of dying at one commit, in 1/1000. */
void world_crash_rate(unsigned per_mille);
/* Chance that a link is cut at one delivery, in 1/1000. */
void world_cut_rate(unsigned per_mille);
/* Nobody reaches M and M reaches nobody, until healed. */
void machine_cut(struct machine *m, bool cut);
/* M's clocks: UTC jumps by MS. */
void machine_clock_jump(struct machine *m, int64_t ms);

/* A number to pass as listening descriptor to what runs on M; dialled by ADDRESS (HOST:PORT, or a
 * path). */
int world_listen(struct machine *m, const char *address);
/* Which certificate a TLS context presents: the judge of the other side gets it. */
void world_tls(const struct tls_context *c, struct cert *cert);

/* Run the next event; false when there is none before UNTIL (mono_ms). */
bool world_step(int64_t until_ms);
/* Run all events up to MONO_MS. */
void world_run(int64_t until_ms);
/* A digest of all that happened: same seed, same trace. */
uint64_t world_trace(void);

#endif
