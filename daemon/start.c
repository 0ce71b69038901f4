/* SPDX-License-Identifier: Apache-2.0 */
/* The part of the configuration that a process gets. Not here: the process
 * (process.c), and what it does with it (child.c). */
#include "daemon/start.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "proto/frame.h"
#include "proto/start.pb-c.h"

#define SEND_SECONDS 5

static const char *credentials_folder;

void
start_set_credentials(const char *folder)
{
	credentials_folder = folder;
}

const char *
start_credentials(void)
{
	return credentials_folder != NULL ? credentials_folder : getenv("CREDENTIALS_DIRECTORY");
}

void
start_passphrase_path(const struct conf_passphrase *p, const char *credentials, char *out)
{
	out[0] = '\0';
	if (p->file != NULL)
		(void)snprintf(out, START_PATH_BYTES, "%s", p->file);
	else if (p->credential != NULL)
		(void)snprintf(out, START_PATH_BYTES, "%s/%s",
		    credentials != NULL ? credentials : "/run/credentials/citexd.service",
		    p->credential);
}

void
start_socket_path(const struct conf *c, const char *kind, const char *name, char *out)
{
	(void)snprintf(out, START_PATH_BYTES, "%s/%s-%s.sock", c->run, kind, name);
}

/* Fills OUT, all borrowed from C. */
static void
fill_common(const struct conf *c, Citex__Start *out)
{
	static const char *const levels[] = { "error", "warning", "info", "debug" };

	out->node = c->node;
	out->state = c->state;
	out->run = c->run;
	out->log_level = (char *)(uintptr_t)levels[c->log_level];
	out->change_user = getuid() == 0 && c->user != 0;
	out->user = c->user;
	out->group = c->user_group;
}

static void
write_start(Citex__Start *start, struct start_part *p)
{
	Citex__Control m = CITEX__CONTROL__INIT;

	m.what_case = CITEX__CONTROL__WHAT_START;
	m.start = start;
	frame_write(&m.base, &p->frame);
	start->log_level = (char *)(uintptr_t) "";
	frame_write(&m.base, &p->facts);
}

static void
write_post(const struct conf *c, struct start_part *p)
{
	Citex__Start start = CITEX__START__INIT;
	char **authorities = xalloc_array(c->authority_count + 1, sizeof(*authorities));

	for (size_t i = 0; i < c->authority_count; i++)
		authorities[i] = c->authorities[i].id;
	fill_common(c, &start);
	start.keys = c->keys;
	start.store_limit = c->store_limit_bytes;
	start.directory_key = c->directory_key;
	start.confirmed_ca = c->confirmed_ca.at;
	start.n_confirmed_ca = c->confirmed_ca.count;
	start.relay_for = c->relay_for.at;
	start.n_relay_for = c->relay_for.count;
	start.retry_first_ms = (uint64_t)c->retry_first_ms;
	start.retry_max_ms = (uint64_t)c->retry_max_ms;
	start.administrators = c->administrators.at;
	start.n_administrators = c->administrators.count;
	start.listeners = (uint32_t)c->listen.count;
	start.authorities = authorities;
	start.n_authorities = c->authority_count;
	write_start(&start, p);
	free(authorities);
}

static void
write_office(const struct conf *c, const struct conf_authority *a, struct start_part *p)
{
	Citex__Start start = CITEX__START__INIT;
	Citex__StartOfficer *officers = xalloc_array(a->officer_count + 1, sizeof(*officers));
	Citex__StartOfficer **list =
	    xalloc_array(a->officer_count + 1, sizeof(Citex__StartOfficer *));

	for (size_t i = 0; i < a->officer_count; i++) {
		citex__start_officer__init(&officers[i]);
		officers[i].name = a->officers[i].name;
		officers[i].user = a->officers[i].user;
		officers[i].may = a->officers[i].may;
		list[i] = &officers[i];
	}
	fill_common(c, &start);
	start.authority = a->id;
	start.keys = a->keys;
	start.store_limit = a->store_limit_bytes;
	start.directory_key = c->directory_key;
	start.confirmed_ca = c->confirmed_ca.at;
	start.n_confirmed_ca = c->confirmed_ca.count;
	start.seen = a->seen;
	start.officers = list;
	start.n_officers = a->officer_count;
	write_start(&start, p);
	free(officers);
	free(list);
}

static int
compare_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* What changes when a file in FOLDER does, in an order of its own. */
static void
describe_files(const char *folder, struct buffer *out)
{
	char **lines = NULL;
	size_t count = 0;
	DIR *d = opendir(folder);
	const struct dirent *entry;

	while (d != NULL && (entry = readdir(d)) != NULL) {
		CLEANUP(buffer_release) struct buffer line = { 0 };
		struct stat st;
		if (fstatat(dirfd(d), entry->d_name, &st, 0) != 0 || !S_ISREG(st.st_mode))
			continue;
		buffer_printf(&line, "%s %llu %lld %lld.%09ld\n", entry->d_name,
		    (unsigned long long)st.st_ino, (long long)st.st_size,
		    (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
		lines = xgrow(lines, count + 1, sizeof(*lines));
		lines[count++] = xstrdup(buffer_text(&line));
	}
	if (d != NULL)
		(void)closedir(d);
	if (count > 0)
		qsort(lines, count, sizeof(*lines), compare_text);
	for (size_t i = 0; i < count; i++) {
		buffer_add_str(out, lines[i]);
		free(lines[i]);
	}
	free(lines);
}

static enum err
read_passphrase(const struct conf_passphrase *p, struct secret *out)
{
	char path[START_PATH_BYTES];
	enum err e;

	start_passphrase_path(p, start_credentials(), path);
	if (path[0] == '\0')
		return OK;
	e = secret_read_file(path, out);
	if (e != OK)
		log_event(LEVEL_ERROR, "passphrase-unreadable", LOG_TEXT("file", path), LOG_ERR(e),
		    LOG_TEXT("words", err_words(e)));
	return e;
}

static const struct conf_authority *
authority_of(const struct conf *c, const char *id)
{
	for (size_t i = 0; id != NULL && i < c->authority_count; i++)
		if (strcmp(c->authorities[i].id, id) == 0)
			return &c->authorities[i];
	return NULL;
}

enum err
start_part_fill(const struct conf *c, const char *authority, struct start_part *p)
{
	const struct conf_authority *a = authority_of(c, authority);
	enum err e;

	*p = (struct start_part){ 0 };
	if (authority != NULL && a == NULL)
		return ERR_NOT_FOUND;
	if (a != NULL)
		write_office(c, a, p);
	else
		write_post(c, p);
	describe_files(a != NULL ? a->keys : c->keys, &p->facts);
	e = read_passphrase(a != NULL ? &a->passphrase : &c->passphrase, &p->passphrase);
	return e == OK ? buffer_status(&p->frame) : e;
}

void
start_part_release(struct start_part *p)
{
	secret_release(&p->passphrase);
	buffer_release(&p->frame);
	buffer_release(&p->facts);
}

bool
start_part_equal(const struct start_part *a, const struct start_part *b)
{
	return bytes_equal(buffer_bytes(&a->facts), buffer_bytes(&b->facts)) &&
	    bytes_equal_secret(secret_bytes(&a->passphrase), secret_bytes(&b->passphrase));
}

static enum err
send_whole(int fd, struct bytes b)
{
	while (b.len > 0) {
		ssize_t n = send(fd, b.at, b.len, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return ERR_CLOSED;
		b.at += n;
		b.len -= (size_t)n;
	}
	return OK;
}

enum err
start_part_send(const struct start_part *p, int fd)
{
	const struct timeval patience = { .tv_sec = SEND_SECONDS };
	CLEANUP(buffer_release) struct buffer length = { 0 };
	enum err e;

	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	buffer_add_u32(&length, (uint32_t)p->passphrase.len);
	e = send_whole(fd, buffer_bytes(&length));
	if (e == OK)
		e = send_whole(fd, secret_bytes(&p->passphrase));
	if (e == OK)
		e = send_whole(fd, buffer_bytes(&p->frame));
	return e;
}
