/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include <stdio.h>

#include "cli/failure.h"
#include "proto/json.h"

/* Everything that `citex' shows goes through here: a table or lines for people,
 * one JSON value for programs. All text is escaped on the way, whoever wrote
 * it, so no caller can forget to. Nothing else writes to standard output. */
struct output {
	FILE *to;
	bool json; /* --json was given */
	bool terminal; /* TO is one */
	bool colour; /* a terminal, and no NO_COLOR */
	bool ascii_only; /* the character set is not UTF-8 */
	unsigned columns; /* of the terminal; 0: no terminal, lines are not broken */
	bool written; /* a JSON value is out: there must not be a second */
};

/* Looks at the terminal and the locale (setlocale() was called). */
void output_init(struct output *o, FILE *to);
/* Flush. ERR_IO and words in F when anything could not be written. */
enum err output_finish(struct output *o, struct failure *f) MUST_CHECK;

/* One line, escaped as a whole. */
void output_say(struct output *o, const char *fmt, ...) PRINTF(2, 3);
/* "Label:   value"; nothing when VALUE is NULL or empty. INDENT in blanks. */
void output_field(struct output *o, unsigned indent, const char *label, const char *value);
/* Text of several lines, each with a mark at its beginning that text cannot
 * make itself, broken at the terminal's width, so that no line of it can pass
 * for one of ours. */
void output_text(struct output *o, struct bytes text);
/* A heading: bold on a terminal. */
void output_heading(struct output *o, const char *text);
void output_gap(struct output *o); /* an empty line */

/* One JSON value; takes the reference. ASCII only, no control character, also no DEL. */
void output_json(struct output *o, json_t *value);
/* The same on one line, for streams; flushed. */
void output_json_line(struct output *o, json_t *value);
void output_message(struct output *o, const ProtobufCMessage *m);

/* "citex: WORDS" on standard error, and with --json a Failure on standard output unless a value is
 * out already. */
void output_failure(struct output *o, const struct failure *f);
/* A line to standard error that is no failure; none with --json. */
void output_note(const struct output *o, const char *fmt, ...) PRINTF(2, 3);
/* Progress on the one last line of standard error, when that is a terminal: replaces itself. DONE
 * of TOTAL bytes; ends the line when both are the same. */
void output_progress(
    const struct output *o, const char *name, uint64_t done_bytes, uint64_t total_bytes);

/* A table. Columns are ours, cells are text from anywhere: escaped. */
enum paint { PAINT_NONE, PAINT_BOLD, PAINT_RED, PAINT_GREEN, PAINT_DIM };
struct table_column {
	const char *name;
	enum {
		COLUMN_PLAIN,
		COLUMN_RIGHT,
		COLUMN_WRAP
	} how; /* WRAP: in several lines on a narrow terminal */
};
struct table;
/* COLUMNS stays the caller's until table_print(), COUNT of them. A column that is empty in all rows
 * is left out. */
struct table *table_new(struct output *o, const struct table_column *columns, size_t count);
/* COUNT cells; NULL is an empty one. */
void table_row(struct table *t, enum paint paint, const char *const *cells);
/* Print to its output and free; EMPTY (a line, or "" for none) when it has no row. */
void table_print(struct table *t, const char *empty);

/* "2026-12-20 23:59" of "2026-12-20T23:59:59Z"; OUT has 32 bytes. Anything else is copied, cut. */
void pretty_time(const char *iso, char *out);
/* "1.9 MiB"; OUT has 32 bytes. */
void pretty_bytes(uint64_t bytes, char *out);
/* "a, b, c" */
void pretty_list(char **words, size_t count, struct buffer *out);

#endif
