/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_STORE_BACKEND_H
#define DAEMON_STORE_BACKEND_H

#include "daemon/store/store.h"

/* What a backend gives to store.c: raw tables of bytes. Table 0 is store.c's
 * own; the layout's tables follow. Only store.c calls these. */
struct backend; /* an open environment */
struct btxn;
struct bcursor;

struct backend_ops {
	const char *name;
	void (*close)(struct backend *b);
	enum err (*begin)(struct backend *b, bool write, struct btxn **out);
	/* OK means on disk; T is gone either way. */
	enum err (*commit)(struct btxn *t);
	void (*end)(struct btxn *t);
	enum err (*get)(struct btxn *t, unsigned table, struct bytes key, struct bytes *value);
	enum err (*put)(struct btxn *t, unsigned table, struct bytes key, struct bytes value);
	enum err (*del)(struct btxn *t, unsigned table, struct bytes key);
	enum err (*cursor)(struct btxn *t, unsigned table, struct bcursor **out);
	void (*cursor_free)(struct bcursor *c);
	enum err (*seek)(
	    struct bcursor *c, struct bytes from, struct bytes *key, struct bytes *value);
	enum err (*next)(struct bcursor *c, struct bytes *key, struct bytes *value);
	enum err (*seek_before)(
	    struct bcursor *c, struct bytes before, struct bytes *key, struct bytes *value);
	enum err (*prev)(struct bcursor *c, struct bytes *key, struct bytes *value);
	uint64_t (*used_bytes)(struct backend *b);
	uint64_t (*limit_bytes)(struct backend *b);
	enum err (*copy)(struct backend *b, const char *dir, const char *kind);
};

/* Put store.c over an opened backend: makes or checks the meta rows. On an error B is closed. WHY
 * has 200 bytes. */
enum err store_over(const struct backend_ops *ops, struct backend *b,
    const struct store_layout *layout, struct store **out, char *why) MUST_CHECK;

/* How many tables LAYOUT has, without meta. */
unsigned layout_table_count(const struct store_layout *layout);

#endif
