/* SPDX-License-Identifier: Apache-2.0 */
/* An office as a process: gathers what daemon/office/office.h asks for, in the
 * order of the sandbox. The key of the store is opened with the passphrase of
 * the authority's keys, or made at the first start: it outlives them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/keyring.h"
#include "daemon/log.h"
#include "daemon/office/office.h"
#include "daemon/roles.h"
#include "proto/json.h"
#include "pki/files.h"

#define PATH_BYTES 4096

struct role {
	struct child *child;
	const Citex__Start *start; /* borrowed from it */
	struct sandbox sandbox;
	struct loop *loop;
	char folder[PATH_BYTES];
	char link_path[PATH_BYTES];
	struct keyring signing, sealing;
	struct office_key *signing_keys, *sealing_keys;
	struct secret store_key;
	struct store *store;
	struct office_officer *officers;
	struct office_config config;
	struct office *office;
};

static unsigned
count_sockets(const Citex__Start *start)
{
	(void)start;
	return 1; /* the officers' */
}

static enum err
load_keys(struct role *r)
{
	const struct secret *passphrase = child_passphrase(r->child);
	CLEANUP(buffer_release) struct buffer why = { 0 };
	const Citex__Start *start = r->start;
	enum err e;

	e = keyring_load(
	    start->keys, "signing", USE_SIGNING, start->authority, passphrase, &r->signing, &why);
	if (e == OK)
		e = keyring_load(start->keys, "sealing", USE_SEALING, start->authority, passphrase,
		    &r->sealing, &why);
	return e == OK ? OK : role_failed(e, buffer_text(&why));
}

/* The key of the store */

static enum err
open_store_key(struct role *r, const char *path)
{
	CLEANUP(buffer_wipe) struct buffer wrapped = { 0 };
	enum err e = file_read(path, WRAPPED_KEY_BYTES, &wrapped);

	if (e == OK)
		e = wrapped_key_open(
		    child_passphrase(r->child), buffer_bytes(&wrapped), &r->store_key);
	return e == OK ? OK : role_failed(e, path);
}

static enum err
make_store_key(struct role *r, const char *path)
{
	uint8_t wrapped[WRAPPED_KEY_BYTES];
	enum err e = wrapped_key_new(child_passphrase(r->child), &r->store_key, wrapped);

	if (e == OK)
		e = file_create(path, BYTES_OF(wrapped), 0600);
	if (e == OK)
		log_event(LEVEL_INFO, "store-key-made", LOG_TEXT("file", path));
	return e == OK ? OK : role_failed(e, path);
}

static bool
is_there(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 || errno != ENOENT;
}

static enum err
get_store_key(struct role *r)
{
	char key[PATH_BYTES + 16], book[PATH_BYTES + 16];

	(void)snprintf(key, sizeof(key), "%s/book.key", r->folder);
	(void)snprintf(book, sizeof(book), "%s/%s.mdb", r->folder, book_layout.kind);
	if (is_there(key))
		return open_store_key(r, key);
	if (is_there(book))
		return role_failed(ERR_NOT_FOUND,
		    "book.key is gone: without it nobody can read "
		    "this store; bring it back from the backup");
	return make_store_key(r, key);
}

static enum err
make_folder(struct role *r)
{
	(void)snprintf(r->folder, sizeof(r->folder), "%s/offices", r->start->state);
	if (mkdir(r->folder, 0700) != 0 && errno != EEXIST)
		return role_failed(ERR_IO, r->folder);
	(void)snprintf(
	    r->folder, sizeof(r->folder), "%s/offices/%s", r->start->state, r->start->authority);
	if (mkdir(r->folder, 0700) != 0 && errno != EEXIST)
		return role_failed(ERR_IO, r->folder);
	return OK;
}

static enum err
open_files(struct role *r)
{
	enum err e = sandbox_as_user(&r->sandbox);

	json_begin(); /* bundles have a manifest */
	if (e == OK)
		e = make_folder(r);
	if (e == OK)
		e = get_store_key(r);
	if (e == OK)
		e = role_open_store(r->folder, &book_layout, r->start->store_limit, &r->store);
	if (e == OK)
		e = sandbox_as_root(&r->sandbox);
	secret_release(child_passphrase(r->child));
	return e;
}

/* The office */

static struct office_key *
keys_of(const struct keyring *k)
{
	struct office_key *keys = xalloc_array(k->count, sizeof(*keys));

	for (size_t i = 0; i < k->count; i++)
		keys[i] = (struct office_key){ k->at[i].cert, k->at[i].key };
	return keys;
}

static void
list_officers(struct role *r)
{
	const Citex__Start *start = r->start;

	r->officers = xalloc_array(start->n_officers + 1, sizeof(*r->officers));
	for (size_t i = 0; i < start->n_officers; i++)
		r->officers[i] = (struct office_officer){ start->officers[i]->name,
			start->officers[i]->user, start->officers[i]->may };
}

static void
on_hook(void *arg, const char *event, const char *id, const char *kind)
{
	child_hook(arg, event, id, kind);
}

static enum err
make_office(struct role *r)
{
	const Citex__Start *start = r->start;

	r->signing_keys = keys_of(&r->signing);
	r->sealing_keys = keys_of(&r->sealing);
	list_officers(r);
	r->config = (struct office_config){ .authority = start->authority,
		.node = start->node,
		.signing = r->signing_keys,
		.signing_count = r->signing.count,
		.sealing = r->sealing_keys,
		.sealing_count = r->sealing.count,
		.store_key = &r->store_key,
		.link_path = r->link_path,
		.trust = { start->directory_key, start->confirmed_ca, start->n_confirmed_ca },
		.desk_fd = CHILD_FIRST_FD,
		.officers = r->officers,
		.officer_count = start->n_officers,
		.tell_seen = start->seen,
		.hook = on_hook,
		.hook_arg = r->child };
	return office_new(r->loop, r->store, &r->config, &r->office);
}

static enum err
work(struct role *r)
{
	static const struct child_events events = { NULL };
	enum err e = load_keys(r);

	if (e == OK)
		e = open_files(r);
	if (e == OK)
		e = sandbox_drop(&r->sandbox);
	if (e != OK)
		return e;
	child_attach(r->child, r->loop, &events, r);
	/* the folder of the sockets is all that there is when root was given up */
	(void)snprintf(r->link_path, sizeof(r->link_path), "%s/link-%s.sock",
	    r->sandbox.change_user ? "" : r->start->run, r->start->authority);
	e = make_office(r);
	return e == OK ? role_run(r->child, r->loop, SANDBOX_OFFICE) : role_failed(e, "");
}

static void
release(struct role *r)
{
	office_free(r->office);
	store_close(r->store);
	role_end(r->child, r->loop);
	keyring_release(&r->signing);
	keyring_release(&r->sealing);
	secret_release(&r->store_key);
	free(r->signing_keys);
	free(r->sealing_keys);
	free(r->officers);
}

enum err
role_office(void)
{
	struct role r = { 0 };
	enum err e = child_new("office", count_sockets, &r.child);

	if (e != OK)
		return e;
	r.start = child_start(r.child);
	child_sandbox(r.child, SANDBOX_OFFICE, &r.sandbox);
	r.loop = loop_new();
	e = r.loop != NULL ? work(&r) : ERR_SYSTEM;
	release(&r);
	return e;
}
