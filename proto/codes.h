/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTO_CODES_H
#define PROTO_CODES_H

#include "proto/bytes.h"

/* The code lists of proto/codes/LIST.csv, built into the programs by
 * proto/codes.awk. A code and its word mean the same. All of it is constant
 * and lives as long as the program. */
struct code {
	const char *code; /* as it travels: `AUTHENTIC' */
	const char *word; /* as people type it: `suspected-forgery'; the code in lower case where
			     the list has no word */
	const char *name; /* English name */
	const char *const *values; /* all columns of the row, in the order of the list's columns */
};

struct code_list {
	const char *name; /* `outcomes'; of a file for several schemes `handling.TLP2.disclosure';
			     `countries' are parties and territories */
	const struct code *rows; /* CODE NULL ends */
	const char *const *columns; /* NULL ends */
};

extern const struct code_list code_lists[]; /* NAME NULL ends */

const struct code_list *codes_find(const char *list); /* NULL: no such list */
/* By code (exact, then without regard to case) or word. NULL: none. */
const struct code *code_find(const struct code_list *list, const char *text);
/* What ROW has in COLUMN: `name_fr', `stops_clock'. "" when LIST has no such column. */
const char *code_value(const struct code_list *list, const struct code *row, const char *column);

/* A row of deadlines.csv: a time limit of the Resolution. */
struct deadline {
	const char *id; /* `reply' */
	unsigned version; /* grows when the limit changes */
	const char *paragraph; /* `3(c)' */
	unsigned length; /* 0: no number is written */
	const char *date; /* month and day of a yearly limit: `10-31'; else "" */
	const char *unit; /* day, month, year, `yearly date'; a word where there is no number */
	const char *event; /* what starts it */
	const char *on_expiry; /* what may follow */
};

extern const struct deadline deadlines[]; /* ID NULL ends */

const struct deadline *deadline_find(const char *id); /* NULL: none */

#endif
