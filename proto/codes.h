/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTO_CODES_H
#define PROTO_CODES_H

#include "proto/bytes.h"

/* The code lists of proto/codes/LIST.csv, built into the programs by
 * proto/codes.awk. A code and its word mean the same. */
struct code {
	const char *code; /* as it travels: `AUTHENTIC' */
	const char *word; /* as people type it: `suspected-forgery'; the code in lower case where
			     the list has no word */
	const char *name; /* English name */
};

struct code_list {
	const char *name;
	const struct code *rows; /* CODE NULL ends */
};

extern const struct code_list code_lists[]; /* NAME NULL ends */

const struct code_list *codes_find(const char *list); /* NULL: no such list */
/* By code (exact, then without regard to case) or word. NULL: none. */
const struct code *code_find(const struct code_list *list, const char *text);

#endif
