/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_NODES_H
#define TESTS_NODES_H

#include "daemon/post/inside.h"
#include "tests/parcel.h"
#include "tests/sim/world.h"

/* Real posts of the fixture's nodes in the simulated world, and desks: what
 * speaks the session to them as an office or as another node would, and does
 * what a test tells it. */

#define NODES_MAX 5

struct node {
	struct nodes *all;
	char name[NODE_MAX_BYTES + 1];
	struct machine *machine;
	struct tls_context *tls;
	struct store *store;
	struct post *post;
	struct post_config config;
	struct post_office offices[4];
	const char *relay_for[3];
	int listen_fd;
	struct directory *given; /* for the next start; NULL: the fixture's first */
	bool is_restored; /* at the next boot its disk is that of a backup */
	char alarms[256]; /* words of the hook, one after the other */
};

struct nodes {
	struct fixture *fixture;
	struct directory *first;
	struct node at[NODES_MAX];
	size_t count;
	struct desk *desks;
};

/* The fixture's nodes gb, ke, secretariat (relay for so) and so, not started. */
struct nodes *nodes_new(uint64_t seed);
void nodes_free(struct nodes *n);
struct node *nodes_get(struct nodes *n, const char *name);
/* The machine boots; with what its disk holds. */
void node_start(struct node *n);
/* It dies, and boots again within two seconds. */
void node_crash(struct node *n);
/* It ends as it should, and boots again within two seconds. */
void node_end(struct node *n);
/* Let MS pass. */
void nodes_run(int64_t ms);
/* Run until CONDITION, which may be an expression, holds; fails the test after 10 virtual minutes.
 */
#define nodes_until(condition) \
	do { \
		int64_t end_ms_ = world_now().mono_ms + 10 * MINUTE_MS; \
		while (!(condition) && world_now().mono_ms < end_ms_) \
			nodes_run(20); \
		assert_true(condition); \
	} while (0)

/* What a desk was handed, or told. */
struct received {
	struct envelope envelope; /* an envelope, when its pb is not NULL */
	struct slip slip; /* a slip, when its pb is not NULL; with an envelope: its receipt */
	struct received *next;
};

struct desk {
	struct nodes *all;
	char name[AUTHORITY_MAX_BYTES + 1];
	struct machine *machine;
	struct link *link;
	struct session *session;
	struct timer *timer;
	struct tls_context *tls; /* NULL: an office */
	bool ready, closed;
	enum err why;
	struct session_self self;

	/* what it does */
	bool silent; /* answers no offer */
	enum err later; /* answers every envelope `later', with this */
	const struct parcel_part *has; /* chunks it serves */
	size_t has_count;
	uint32_t
	    serves_below; /* and only those with an index below, the others when told; 0: all */
	uint32_t spoils; /* 1 + the index of a chunk that it serves wrong */

	/* what came */
	struct received *got, **got_last;
	size_t envelopes, slips, taken, laters, chunks_served, progress_count;
	uint64_t last_taken;
	enum err last_later;
	struct buffer held; /* requests not yet answered: root, index */
	struct buffer asked; /* indices of chunk requests, 4 bytes each */
	Citex__Frame *progress, *probe, *took_back; /* the last ones */
	uint64_t their_directory;
	char spools[256]; /* nodes whose spool it was told of, one after the other */

	/* of an envelope with parts: pulls them */
	uint32_t pulling, pull_next, pull_count, pull_number;
	uint8_t pull_root[DIGEST_BYTES];
	struct desk *next;
};

/* An office of NODE. */
struct desk *desk_office(struct node *n, const char *authority);
/* Dials NODE with the TLS certificate of ITS_NODE. */
struct desk *desk_node(struct node *n, const char *its_node);
void desk_free(struct desk *d);
/* Serve all chunks, those first that it was asked for already. */
void desk_serve_all(struct desk *d);
void desk_offer(struct desk *d, const struct parcel *p, uint64_t token);
void desk_offer_bytes(struct desk *d, enum event_type type, struct bytes packed, uint64_t token);
void desk_frame(struct desk *d, Citex__Frame *f);
/* The NTH slip of TYPE it got (from 0); NULL. */
const struct slip *desk_slip(const struct desk *d, Citex__SlipType type, size_t nth);

#endif
