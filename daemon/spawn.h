/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_SPAWN_H
#define DAEMON_SPAWN_H

#include <stddef.h>
#include <sys/types.h>

#include "proto/error.h"

#define SPAWN_FIRST_FD 3
#define SPAWN_FDS_MAX 600 /* a socket for each authority and address of a node, and some */

/* A fresh image of this very program with ARGUMENTS (NULL ends), an empty
 * environment, default signals, /dev/null as input, our standard error as output,
 * and the COUNT descriptors FDS as 3, 4, ... and no other. ERR_SYSTEM, ERR_TOO_MANY. */
enum err spawn_self(const char *const *arguments, const int *fds, size_t count, pid_t *pid)
    MUST_CHECK;

#endif
