/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_CONF_H
#define DAEMON_CONF_H

#include <sys/types.h>

#include "daemon/log.h"
#include "proto/bytes.h"

/* The configuration file as a value: citexd.conf(5). One table of settings
 * (conf.c) gives each its type, range, default and words; nobody reads the file
 * but the supervisor. */

struct conf_words {
	char **at;
	size_t count;
};
struct conf_users {
	uid_t *at;
	size_t count;
};

/* Where a passphrase comes from: at most one of the two is set. */
struct conf_passphrase {
	char *file;
	char *credential; /* a file of that name in $CREDENTIALS_DIRECTORY */
};

#define OFFICER_MAY_READ 1u
#define OFFICER_MAY_WRITE 2u
#define OFFICER_MAY_MANAGE 4u /* quarantine, doctor, held keys */

struct conf_officer {
	char *name;
	uid_t user;
	unsigned may; /* OFFICER_MAY_... */
};

struct conf_authority {
	char *id;
	char *keys; /* folder */
	struct conf_passphrase passphrase;
	bool seen; /* tell the sender that an officer has seen a message */
	uint64_t store_limit_bytes;
	char *on_new, *on_due, *on_alarm; /* programs; NULL: none */
	struct conf_officer *officers;
	size_t officer_count;
};

struct conf {
	char *node;
	struct conf_words listen; /* ADDRESS:PORT */
	char *state, *run; /* folders */
	char *keys; /* folder */
	struct conf_passphrase passphrase;
	char *directory_key; /* fingerprint, in groups of four lower-case digits */
	struct conf_words confirmed_ca; /* fingerprints, the same way */
	uid_t user;
	gid_t user_group; /* USER's own */
	bool has_group;
	gid_t group; /* of the officers' and administrators' sockets, when HAS_GROUP */
	uid_t hook_user;
	gid_t hook_group; /* HOOK_USER's own */
	bool has_hook_user;
	struct conf_users administrators;
	struct conf_words relay_for; /* nodes */
	uint64_t store_limit_bytes;
	int64_t retry_first_ms, retry_max_ms;
	enum log_level log_level;
	char *on_alarm;
	struct conf_authority *authorities;
	size_t authority_count;
};

/* Read and check the file at PATH. ERR_CONFIG; WHY then says what is wrong, as
 * "FILE:LINE: words". Names of users are looked up, files and folders that are
 * named must be there. One call at a time. */
enum err conf_load(const char *path, struct conf **out, struct buffer *why) MUST_CHECK;
void conf_free(struct conf *c);
void conf_drop(struct conf **c); /* fits CLEANUP() */

/* Append all settings, one a line: section, name, type, range, default, words; separated by tabs.
 * What the manual must hold. */
void conf_print_settings(struct buffer *out);

#endif
