/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

#include "cli/arguments.h"
#include "cli/client.h"
#include "cli/form.h"
#include "cli/output.h"
#include "proto/kind.h"

struct call;

enum command_group { GROUP_SEND, GROUP_READ, GROUP_PROVE, GROUP_OFFICE, GROUP_ADMIN, GROUP_COUNT };

/* One command: `citex NAME'. The verbs of kinds have one row in common, and are
 * found by kind_by_verb(). */
struct command {
	const char *name;
	enum err (*run)(struct call *c);
	const struct option_row *options; /* its own; NULL: none */
	const char *words; /* what follows, for --help: "ID --to DIR" */
	unsigned words_min, words_max;
	const char *summary;
	enum command_group group;
};

/* One run of the program. */
struct call {
	const struct command *command;
	const struct kind *kind; /* of a verb; else NULL */
	struct form *form; /* of a verb; else NULL */
	struct arguments given;
	struct output out;
	struct failure why; /* set by whoever returns an error first */
};

/* What every command takes. */
extern const struct option_row global_options[];

/* The office (-a) and the post (-n) that the call is for. *OUT is the caller's. */
enum err call_office(struct call *c, struct client **out) MUST_CHECK;
enum err call_node(struct call *c, struct client **out) MUST_CHECK;

/* Ask, show the one answer as JSON when --json was given (*OUT is NULL then), or give it. */
enum err call_show(struct call *c, struct client *client, Citex__Request *r,
    Citex__Answer__WhatCase want, Citex__Answer **out) MUST_CHECK;
/* The member of an answer's oneof, whichever it is. */
const ProtobufCMessage *answer_payload(const Citex__Answer *a);

/* "0193f3c2-1a2b": enough of an id to tell messages of different milliseconds apart. OUT has
 * ID_TEXT_BYTES. */
void short_id(const char *id, char *out);
/* The same, but the whole id when that of a row BEFORE or AFTER would be shortened to the same. */
void short_id_beside(const char *id, const char *before, const char *after, char *out);

/* Append FILE (`-': standard input) to OUT; at most MAX bytes. */
enum err read_file(const char *file, size_t max_bytes, struct buffer *out, struct failure *why)
    MUST_CHECK;

/* cmd_send.c: options of all verbs, and the command. */
extern const struct option_row send_options[];
enum err cmd_send(struct call *c);
extern const struct option_row forward_options[];
enum err cmd_forward(struct call *c);
enum err cmd_withdraw(struct call *c);

/* cmd_list.c */
extern const struct option_row list_options[];
enum err cmd_inbox(struct call *c);
enum err cmd_sent(struct call *c);
enum err cmd_search(struct call *c);
enum err cmd_due(struct call *c);
enum err cmd_quarantine(struct call *c);

/* cmd_show.c */
enum err cmd_show(struct call *c);
enum err cmd_exchange(struct call *c);
enum err cmd_track(struct call *c);

/* cmd_save.c */
extern const struct option_row save_options[];
enum err cmd_save(struct call *c);
extern const struct option_row export_options[];
enum err cmd_export(struct call *c);

/* cmd_wait.c */
extern const struct option_row wait_options[];
enum err cmd_wait(struct call *c);
enum err cmd_watch(struct call *c);

/* cmd_verify.c */
extern const struct option_row verify_options[];
enum err cmd_verify(struct call *c);

/* cmd_status.c */
enum err cmd_status(struct call *c);
enum err cmd_doctor(struct call *c);
/* Checks as a table or JSON; ERR_UNREACHABLE when one is bad. */
enum err show_checks(struct call *c, const Citex__DoctorView *d) MUST_CHECK;
enum err cmd_directory(struct call *c);
enum err cmd_codes(struct call *c);

/* cmd_node.c */
enum err cmd_node(struct call *c);

#endif
