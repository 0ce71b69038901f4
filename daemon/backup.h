/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_BACKUP_H
#define DAEMON_BACKUP_H

#include "daemon/conf.h"

/* citexd backup, restore, check: all stores of the node that C describes. WHY
 * says in words what went wrong; what is good is said on standard output. */

/* Copy all to the new folder DIR, each store as it stands at one moment, and verify the copies.
 * The daemon may be running. ERR_EXISTS, ERR_IO, ERR_CORRUPT. */
enum err backup_make(const struct conf *c, const char *dir, struct buffer *why) MUST_CHECK;
/* Put the stores of the backup in DIR where C has none yet, verified and with a new incarnation.
 * ERR_LOCKED while the daemon runs, ERR_EXISTS, ERR_CORRUPT. */
enum err backup_restore(const struct conf *c, const char *dir, struct buffer *why) MUST_CHECK;
/* Walk every record of every store. DIR is not used. ERR_LOCKED, ERR_CORRUPT. */
enum err backup_check(const struct conf *c, const char *dir, struct buffer *why) MUST_CHECK;

#endif
