/* SPDX-License-Identifier: Apache-2.0 */
/* What all commands do alike: reach the office, ask, show. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/words.h"
#include "proto/ids.h"

const struct option_row global_options[] = {
	{ "authority", 'a', N_("AUTHORITY"),
	    N_("for which office you act (else $CITEX_AUTHORITY, or the only one here)"), false },
	{ "node", 'n', N_("NODE"), N_("which post, for `citex node'"), false },
	{ "json", 0, NULL, N_("print one JSON value"), false },
	{ "help", 'h', NULL, N_("print this"), false },
	{ "version", 0, NULL, N_("print the version"), false }, { 0 }
};

enum err
call_office(struct call *c, struct client **out)
{
	const char *authority = arguments_value(&c->given, "authority");
	if (authority == NULL)
		authority = getenv("CITEX_AUTHORITY");
	return client_open_office(authority, &c->why, out);
}

enum err
call_node(struct call *c, struct client **out)
{
	return client_open_node(arguments_value(&c->given, "node"), &c->why, out);
}

const ProtobufCMessage *
answer_payload(const Citex__Answer *a)
{
	/* All members of the oneof are pointers to messages. */
	return a->what_case != CITEX__ANSWER__WHAT__NOT_SET ? &a->failure->base : NULL;
}

enum err
call_show(struct call *c, struct client *client, Citex__Request *r, Citex__Answer__WhatCase want,
    Citex__Answer **out)
{
	enum err e = client_ask(client, r, want, out);
	if (e != OK || !c->out.json)
		return e;
	output_message(&c->out, answer_payload(*out));
	proto_wipe(&(*out)->base);
	*out = NULL;
	return OK;
}

void
short_id(const char *id, char *out)
{
	size_t len = strlen(id) == ID_TEXT_BYTES - 1 ? 13 : strnlen(id, ID_TEXT_BYTES - 1);
	memcpy(out, id, len);
	out[len] = '\0';
}

void
short_id_beside(const char *id, const char *before, const char *after, char *out)
{
	char other[2][ID_TEXT_BYTES];
	short_id(before, other[0]);
	short_id(after, other[1]);
	short_id(id, out);
	if (strlen(id) < ID_TEXT_BYTES &&
	    (strcmp(out, other[0]) == 0 || strcmp(out, other[1]) == 0))
		memcpy(out, id, strlen(id) + 1);
}

static enum err
read_all(int fd, const char *file, size_t max_bytes, struct buffer *out, struct failure *why)
{
	uint8_t piece[16 * KIB];
	for (;;) {
		ssize_t n = read(fd, piece, sizeof(piece));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return failure_errno(why, ERR_IO, "%s", file);
		if (n == 0)
			return buffer_status(out);
		if ((size_t)n > max_bytes)
			return failure_set(why, ERR_TOO_LARGE, _("%s is too large"), file);
		max_bytes -= (size_t)n;
		buffer_add(out, (struct bytes){ piece, (size_t)n });
	}
}

enum err
read_file(const char *file, size_t max_bytes, struct buffer *out, struct failure *why)
{
	bool is_stdin = strcmp(file, "-") == 0;
	int fd = is_stdin ? STDIN_FILENO : open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	enum err e;
	if (fd < 0)
		return failure_errno(why, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "%s", file);
	e = read_all(fd, file, max_bytes, out, why);
	if (!is_stdin)
		(void)close(fd);
	return e;
}
