/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_SOCKETS_H
#define DAEMON_SOCKETS_H

#include <stdbool.h>
#include <sys/types.h>

#include "proto/bytes.h"

/* Listening sockets: made, bound and given their rights by the supervisor, and
 * handed to its children. */

struct socket_rights {
	mode_t mode;
	bool change_owner; /* we are root */
	uid_t user;
	gid_t group;
};
/* A listening Unix socket at PATH. The socket of a daemon that is dead is replaced, without a
 * moment in which there is none; that of a living one is ERR_LOCKED. The rights hold before
 * anybody can connect. WHY says what is wrong, in words. *FD is the caller's. ERR_SYSTEM. */
enum err socket_listen_local(
    const char *path, const struct socket_rights *rights, int *fd, struct buffer *why) MUST_CHECK;

/* The same at ADDRESS:PORT. ERR_LOCKED: somebody listens there. */
enum err socket_listen(const char *address, int *fd, struct buffer *why) MUST_CHECK;

#endif
