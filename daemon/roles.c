/* SPDX-License-Identifier: Apache-2.0 */
/* What post and office do alike at their start and end. */
#include "daemon/roles.h"

#include <stdio.h>
#include <time.h>

#include "daemon/link.h"
#include "daemon/log.h"
#include "proto/limits.h"

#define LOCK_STEPS 50
#define LOCK_STEP_NS (100 * 1000 * 1000)
#define WHY_BYTES 200
#define PATH_BYTES 4096

enum err
role_failed(enum err e, const char *words)
{
	log_event(LEVEL_ERROR, "cannot-work", LOG_ERR(e),
	    LOG_TEXT("words", *words != '\0' ? words : err_words(e)));
	return e;
}

enum err
role_open_store(
    const char *dir, const struct store_layout *layout, uint64_t limit_bytes, struct store **out)
{
	const struct timespec step = { 0, LOCK_STEP_NS };
	char why[WHY_BYTES] = "", path[PATH_BYTES];
	enum err e;

	(void)snprintf(path, sizeof(path), "%s/%s.mdb", dir, layout->kind);
	sandbox_name_store(path);
	e = store_open_lmdb(dir, layout, limit_bytes, out, why);
	for (unsigned i = 0; e == ERR_LOCKED && i < LOCK_STEPS; i++) {
		(void)nanosleep(&step, NULL);
		e = store_open_lmdb(dir, layout, limit_bytes, out, why);
	}
	if (e != OK)
		log_event(LEVEL_ERROR, "no-store", LOG_TEXT("file", path), LOG_ERR(e),
		    LOG_TEXT("words", why));
	return e;
}

enum err
role_run(struct child *c, struct loop *l, enum sandbox_role role)
{
	enum err e = sandbox_filter(role);

	if (e != OK)
		return e;
	child_ready(c);
	loop_run(l);
	return OK;
}

void
role_end(struct child *c, struct loop *l)
{
	child_free(c);
	if (l == NULL)
		return;
	links_end(l);
	loop_free(l);
}
