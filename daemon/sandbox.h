/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_SANDBOX_H
#define DAEMON_SANDBOX_H

#include <stdbool.h>
#include <sys/types.h>

#include "proto/error.h"

/* The ritual that every process goes through before it reads a byte from
 * outside (docs/threats.md, 5.3 to 5.5), in this order: sandbox_early(), keys
 * are read, files are opened within sandbox_as_user(), sandbox_drop(), threads
 * are started, sandbox_filter(). */
enum sandbox_role { SANDBOX_POST, SANDBOX_OFFICE };

struct sandbox {
	enum sandbox_role role;
	bool change_user; /* we are root: become the next two */
	uid_t user;
	gid_t group;
	const char *root; /* becomes the root folder when CHANGE_USER */
};

/* Whether this build runs under a sanitizer, which the filter would kill. */
bool sandbox_is_sanitized(void);

/* No core dumps, not to be traced, nothing written is open to group or others, a dead peer is no
 * signal, and only descriptors below KEEP. ERR_SYSTEM. */
enum err sandbox_early(int keep) MUST_CHECK;

/* Do what is done with files as the user, and be root again afterwards: what is made is the user's
 * own. Nothing when there is no CHANGE_USER. ERR_SYSTEM. */
enum err sandbox_as_user(const struct sandbox *s) MUST_CHECK;
enum err sandbox_as_root(const struct sandbox *s) MUST_CHECK;

/* For good: root folder, groups, user, no new privileges. ERR_SYSTEM. */
enum err sandbox_drop(const struct sandbox *s) MUST_CHECK;

/* From here on any system call that ROLE does not need kills the process: no file is opened, no
 * program or thread started; a post opens stream sockets to the Internet only, an office Unix
 * sockets only. For all threads that there are. ERR_SYSTEM. */
enum err sandbox_filter(enum sandbox_role role) MUST_CHECK;

/* A store's file that ends too early shows as SIGBUS: name FILE (copied) in the log and end. */
void sandbox_name_store(const char *file);

#endif
