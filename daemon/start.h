/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_START_H
#define DAEMON_START_H

#include "daemon/conf.h"
#include "pki/secret.h"

/* What a process is given when it starts: its part of the configuration and
 * its passphrase (proto/start.proto). The supervisor's side. */
struct start_part {
	struct secret passphrase;
	struct buffer frame; /* the Start, with its length */
	struct buffer facts; /* what may change: all of Start but the log level, and the key files'
				names, sizes and times */
};

/* Fill P for the office of AUTHORITY, for the post when it is NULL. ERR_IO, ERR_DENIED: the
 * passphrase can't be read (it is in the log); ERR_TOO_LARGE. P is to be released in any case. */
enum err start_part_fill(const struct conf *c, const char *authority, struct start_part *p)
    MUST_CHECK;
void start_part_release(struct start_part *p);
/* Would a process given A do the same as one given B? */
bool start_part_equal(const struct start_part *a, const struct start_part *b);
/* Write passphrase and Start to the socket FD, past every buffer of ours, for at most 5 seconds.
 * ERR_CLOSED. */
enum err start_part_send(const struct start_part *p, int fd) MUST_CHECK;

/* The path of the file from which a passphrase is to be read; "" for none. CREDENTIALS is the
 * folder of systemd credentials or NULL. OUT has START_PATH_BYTES. */
#define START_PATH_BYTES 4096
void start_passphrase_path(const struct conf_passphrase *p, const char *credentials, char *out);
/* Where the socket KIND-NAME.sock of C is. OUT has START_PATH_BYTES. */
void start_socket_path(const struct conf *c, const char *kind, const char *name, char *out);
/* The folder of systemd credentials from the environment, or as it was set. May be NULL. */
const char *start_credentials(void);
void start_set_credentials(const char *folder); /* borrowed for good */

#endif
