/* SPDX-License-Identifier: Apache-2.0 */
/* The post as a process: gathers what daemon/post/post.h asks for, in the order
 * of the sandbox. Keys are read first, then root is given up. */
#include <stdlib.h>
#include <string.h>

#include "daemon/keyring.h"
#include "daemon/log.h"
#include "daemon/post/post.h"
#include "daemon/roles.h"
#include "pki/directory_file.h"
#include "pki/ossl.h"
#include "proto/decode.h"

struct role {
	struct child *child;
	const Citex__Start *start; /* borrowed from it */
	struct sandbox sandbox;
	struct loop *loop;
	struct keyring tls_keys, receipt_keys;
	struct tls_context *tls;
	struct store *store;
	struct directory *directory;
	int *listen_fds;
	struct post_office *offices;
	const char **relay_for;
	uid_t user; /* whom the offices run as */
	struct post_config config;
	struct post *post;
};

static unsigned
count_sockets(const Citex__Start *start)
{
	/* of other nodes, of administrators, of each office */
	return start->listeners + 1 + (unsigned)start->n_authorities;
}

static enum err
load_keys(struct role *r)
{
	const struct secret *passphrase = child_passphrase(r->child);
	CLEANUP(buffer_release) struct buffer why = { 0 };
	const Citex__Start *start = r->start;
	enum err e;

	e = keyring_load(start->keys, "tls", USE_TLS, start->node, passphrase, &r->tls_keys, &why);
	if (e == OK)
		e = keyring_load(start->keys, "receipts", USE_RECEIPTS, start->node, passphrase,
		    &r->receipt_keys, &why);
	secret_release(child_passphrase(r->child));
	return e == OK ? OK : role_failed(e, buffer_text(&why));
}

/* The newest that holds; the newest at all when none does, for peers will say why they refuse. */
static const struct key_pair *
current(const struct role *r, const struct keyring *k, const char *what)
{
	const struct key_pair *pair = keyring_current(k, loop_now(r->loop).utc_ms);

	if (pair != NULL)
		return pair;
	log_event(LEVEL_ERROR, "no-certificate-holds", LOG_TEXT("what", what));
	return &k->at[k->count - 1];
}

static enum err
prepare_tls(struct role *r)
{
	const struct key_pair *pair = current(r, &r->tls_keys, "tls");
	enum err e = tls_context_new(pair->cert, pair->key, &r->tls);

	return e == OK ? OK : role_failed(e, ossl_why());
}

/* The installed directory, if there is one; the post has its own copy of newer ones. */
static void
read_directory(struct role *r)
{
	char why[200] = "";
	enum err e =
	    directory_file_read(r->start->state, r->start->directory_key, &r->directory, why);

	if (e != OK)
		log_event(LEVEL_ERROR, "no-directory", LOG_ERR(e), LOG_TEXT("words", why));
}

static enum err
open_files(struct role *r)
{
	enum err e = sandbox_as_user(&r->sandbox);

	if (e != OK)
		return e;
	read_directory(r);
	e = role_open_store(r->start->state, &spool_layout, r->start->store_limit, &r->store);
	if (e == OK)
		e = sandbox_as_root(&r->sandbox);
	return e;
}

static void
on_hook(void *arg, const char *event, const char *id, const char *kind)
{
	child_hook(arg, event, id, kind);
}

static void
arrange_sockets(struct role *r)
{
	const Citex__Start *start = r->start;
	struct post_config *c = &r->config;
	int next = CHILD_FIRST_FD;

	r->listen_fds = xalloc_array(start->listeners + 1, sizeof(*r->listen_fds));
	for (uint32_t i = 0; i < start->listeners; i++)
		r->listen_fds[i] = next++;
	c->listen_fds = r->listen_fds;
	c->listen_count = start->listeners;
	c->admin_fd = next++;
	r->offices = xalloc_array(start->n_authorities + 1, sizeof(*r->offices));
	for (size_t i = 0; i < start->n_authorities; i++)
		r->offices[i] = (struct post_office){ start->authorities[i], next++ };
	c->offices = r->offices;
	c->office_count = start->n_authorities;
}

static void
list_relayed(struct role *r)
{
	r->relay_for = xalloc_array(r->start->n_relay_for + 1, sizeof(*r->relay_for));
	for (size_t i = 0; i < r->start->n_relay_for; i++)
		r->relay_for[i] = r->start->relay_for[i];
	r->config.relay_for = r->relay_for;
}

static enum err
make_post(struct role *r)
{
	const Citex__Start *start = r->start;

	r->user = start->user;
	r->config = (struct post_config){ .node = start->node,
		.receipts_key = current(r, &r->receipt_keys, "receipts")->key,
		.tls = r->tls,
		.directory = r->directory,
		.trust = { start->directory_key, start->confirmed_ca, start->n_confirmed_ca },
		.retry_first_ms = (int64_t)start->retry_first_ms,
		.retry_max_ms = (int64_t)start->retry_max_ms,
		.office_users = &r->user,
		.office_user_count = 1,
		.admin_users = start->administrators,
		.admin_user_count = start->n_administrators,
		.hook = on_hook,
		.hook_arg = r->child };
	list_relayed(r);
	arrange_sockets(r);
	return post_new(r->loop, r->store, &r->config, &r->post);
}

static void
on_directory(void *arg, struct bytes file)
{
	struct role *r = arg;
	CLEANUP(proto_drop) Citex__SignedHead *head = NULL;
	struct bytes contents;
	enum err e = directory_file_parse(file, &head, &contents);

	if (e == OK)
		e = post_directory_offered(r->post, head, contents);
	if (e != OK)
		log_event(LEVEL_WARNING, "directory-not-taken", LOG_ERR(e));
}

static enum err
work(struct role *r)
{
	static const struct child_events events = { on_directory };
	enum err e = load_keys(r);

	if (e == OK)
		e = prepare_tls(r);
	if (e == OK)
		e = open_files(r);
	if (e == OK)
		e = sandbox_drop(&r->sandbox);
	if (e != OK)
		return e;
	child_attach(r->child, r->loop, &events, r);
	e = make_post(r);
	return e == OK ? role_run(r->child, r->loop, SANDBOX_POST) : role_failed(e, "");
}

static void
release(struct role *r)
{
	post_free(r->post);
	store_close(r->store);
	role_end(r->child, r->loop);
	tls_context_free(r->tls);
	keyring_release(&r->tls_keys);
	keyring_release(&r->receipt_keys);
	directory_free(r->directory);
	free(r->listen_fds);
	free(r->offices);
	free(r->relay_for);
}

enum err
role_post(void)
{
	struct role r = { 0 };
	enum err e = child_new("post", count_sockets, &r.child);

	if (e != OK)
		return e;
	r.start = child_start(r.child);
	child_sandbox(r.child, SANDBOX_POST, &r.sandbox);
	r.loop = loop_new();
	e = r.loop != NULL ? work(&r) : ERR_SYSTEM;
	release(&r);
	return e;
}
