/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_ARGUMENTS_H
#define CLI_ARGUMENTS_H

#include "cli/failure.h"

/* What the officer typed, taken apart by tables of options. */
struct option_row {
	const char *name; /* --name; NULL ends a table */
	char letter; /* -l; 0: none */
	const char *argument; /* what it takes, for --help: "FILE"; NULL: nothing */
	const char *summary;
	bool several; /* may be given several times; else the last one counts */
};

struct given {
	const struct option_row *option; /* borrowed from its table */
	const char *value; /* NULL when it takes none; borrowed from argv */
};

struct arguments {
	const struct option_row **rows; /* all that are allowed */
	size_t row_count;
	struct given *given; /* in the order given */
	size_t given_count;
	char **words; /* what is no option; borrowed from argv */
	size_t word_count;
};

/* Allow the options of TABLE, which must live as long as A. */
void arguments_allow(struct arguments *a, const struct option_row *table);
/* Parse ARGV[1..]; options are added to those already given. FIRST_WORD_ENDS: stop at the first
 * word, which begins WORDS (a command and its own part). ERR_USAGE with words in F. */
enum err arguments_parse(
    struct arguments *a, int argc, char **argv, bool first_word_ends, struct failure *f) MUST_CHECK;
void arguments_release(struct arguments *a);

/* The last value given; NULL: none. */
const char *arguments_value(const struct arguments *a, const char *name);
bool arguments_has(const struct arguments *a, const char *name);
/* Next value of an option that may be given several times: begin with *AT = 0; NULL after the
 * last. */
const char *arguments_next(const struct arguments *a, const char *name, size_t *at);

#endif
