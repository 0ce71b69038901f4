/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_POST_POST_H
#define DAEMON_POST_POST_H

#include <sys/types.h>

#include "daemon/loop.h"
#include "daemon/post/spool.h"
#include "daemon/store/store.h"
#include "pki/directory.h"
#include "pki/tls.h"

/* The process of a node that faces the network: it holds and moves sealed
 * envelopes, and cannot open one. Everything outside is behind loop.h, link.h,
 * workers.h and committer.h; there is nothing global: several posts may live
 * in one process. */
struct post;

/* An office of this node, and where it knocks. */
struct post_office {
	const char *authority;
	int listen_fd;
};

/* All borrowed; what is pointed to must outlive the post. */
struct post_config {
	const char *node;
	const char *const *relay_for; /* nodes; NULL ends. May be NULL */
	const struct private_key *receipts_key;
	struct tls_context *tls;
	/* The one the supervisor knows; the post takes the newer of it and its own. NULL: nobody is
	 * trusted until post_directory_offered(). */
	struct directory *directory;
	struct directory_trust trust; /* the pin is for a first directory */
	const int *listen_fds; /* none: this node only dials */
	size_t listen_count;
	int admin_fd; /* -1: none */
	const struct post_office *offices;
	size_t office_count;
	uint64_t queue_peer_max; /* envelopes for one node; 0: QUEUE_PEER_MAX_ENVELOPES */
	int64_t retry_first_ms, retry_max_ms; /* 0: the limits */
	/* Who may speak as an office, and who as an administrator (beside root); local users. */
	const uid_t *office_users;
	size_t office_user_count;
	const uid_t *admin_users;
	size_t admin_user_count;
	/* Something that a person should hear of: alarm words "split-view", "conflict",
	 * "clock-jump", "store-low", "peer-restored", and "directory" for a new one. ID and KIND
	 * may be "". */
	void (*hook)(void *arg, const char *event, const char *id, const char *kind);
	void *hook_arg;
};

/* Over STORE, open with spool_layout. ERR_IO and its like when the store gives no answer. */
enum err post_new(
    struct loop *l, struct store *store, const struct post_config *c, struct post **out) MUST_CHECK;
/* Commits what is under way, closes all. */
void post_free(struct post *p);

/* A directory that an administrator installed. It is judged like one from a peer, or by the pin
 * when there is none yet, and ends a standstill after two heads with one number. ERR_MALFORMED;
 * what else is wrong with it stands in the log, later. */
enum err post_directory_offered(
    struct post *p, const Citex__SignedHead *head, struct bytes contents) MUST_CHECK;
/* Try NODE (NULL: all) now. */
void post_flush(struct post *p, const char *node);
/* The number of the directory in force; 0: none. */
uint64_t post_directory_number(const struct post *p);

#endif
