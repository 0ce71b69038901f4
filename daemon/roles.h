/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_ROLES_H
#define DAEMON_ROLES_H

#include "daemon/child.h"
#include "daemon/store/store.h"
#include "pki/directory.h"

/* What a process of a node is once it runs: `citexd --role WORD', started by
 * the supervisor and by nobody else. Each returns when the process is to end. */
enum err role_post(void) MUST_CHECK;
enum err role_office(void) MUST_CHECK;
/* Judges keys, certificates, directory and folders of the configuration at PATH; what is wrong goes
 * to standard error, one a line. Root's eyes are needed for the keys. ERR_CONFIG. */
enum err role_check(const char *path) MUST_CHECK;

/* What post and office have in common. */

/* Open or make the store of LAYOUT in DIR, which names itself when it is torn. A daemon that was
 * killed is given some seconds to let go of it. What is wrong is in the log. */
enum err role_open_store(const char *dir, const struct store_layout *layout, uint64_t limit_bytes,
    struct store **out) MUST_CHECK;
/* Log what kept this process from its work, and pass E on. */
enum err role_failed(enum err e, const char *words);
/* The last steps: the filter, the word to the supervisor, the loop until it stops. */
enum err role_run(struct child *c, struct loop *l, enum sandbox_role role) MUST_CHECK;
/* Let go of both; L may be NULL. */
void role_end(struct child *c, struct loop *l);

#endif
