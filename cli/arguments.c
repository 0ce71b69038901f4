/* SPDX-License-Identifier: Apache-2.0 */
/* getopt_long() behind tables. Long options may be shortened as getopt_long()
 * does it; the tables are the only place where options are named. */
#include "cli/arguments.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "cli/words.h"

void
arguments_allow(struct arguments *a, const struct option_row *table)
{
	for (; table != NULL && table->name != NULL; table++) {
		a->rows = xgrow(a->rows, a->row_count + 1, sizeof(const struct option_row *));
		a->rows[a->row_count++] = table;
	}
}

static void
add_given(struct arguments *a, const struct option_row *option, const char *value)
{
	a->given = xgrow(a->given, a->given_count + 1, sizeof(*a->given));
	a->given[a->given_count++] =
	    (struct given){ option, option->argument != NULL ? value : NULL };
}

/* The letters for getopt_long(): `+' to stop at the first word, `:' to tell a missing argument. */
static char *
letters_of(const struct arguments *a, bool first_word_ends)
{
	char *letters = xalloc(2 * a->row_count + 3), *at = letters;
	if (first_word_ends)
		*at++ = '+';
	*at++ = ':';
	for (size_t i = 0; i < a->row_count; i++) {
		if (a->rows[i]->letter == 0)
			continue;
		*at++ = a->rows[i]->letter;
		if (a->rows[i]->argument != NULL)
			*at++ = ':';
	}
	return letters;
}

static struct option *
long_options_of(const struct arguments *a)
{
	struct option *options = xalloc_array(a->row_count + 1, sizeof(*options));
	for (size_t i = 0; i < a->row_count; i++) {
		options[i].name = a->rows[i]->name;
		options[i].has_arg = a->rows[i]->argument != NULL ? required_argument : no_argument;
	}
	return options;
}

static const struct option_row *
by_letter(const struct arguments *a, int letter)
{
	for (size_t i = 0; i < a->row_count; i++) {
		if (a->rows[i]->letter == letter)
			return a->rows[i];
	}
	return NULL;
}

static enum err
explain(int what, char **argv, struct failure *f)
{
	const char *typed = optind > 0 ? argv[optind - 1] : "";
	if (what == ':')
		return failure_set(f, ERR_USAGE, _("the option %s needs a value"), typed);
	if (optopt != 0 && strncmp(typed, "--", 2) != 0)
		return failure_set(f, ERR_USAGE, _("there is no option -%c here"), optopt);
	return failure_set(f, ERR_USAGE,
	    _("the option %s is not known here, takes no value, or is short for more than one; "
	      "--help "
	      "lists all"),
	    typed);
}

static enum err
run(struct arguments *a, int argc, char **argv, const char *letters, const struct option *options,
    struct failure *f)
{
	for (;;) {
		int index = -1;
		int c = getopt_long(argc, argv, letters, options, &index);
		if (c == -1)
			return OK;
		if (c == '?' || c == ':')
			return explain(c, argv, f);
		const struct option_row *row = index >= 0 ? a->rows[index] : by_letter(a, c);
		add_given(a, row, optarg);
	}
}

enum err
arguments_parse(struct arguments *a, int argc, char **argv, bool first_word_ends, struct failure *f)
{
	char *letters = letters_of(a, first_word_ends);
	struct option *options = long_options_of(a);
	enum err e;
	optind = 0; /* begin anew, also what glibc remembers itself */
	opterr = 0;
	optopt = 0;
	e = run(a, argc, argv, letters, options, f);
	a->words = argv + optind;
	a->word_count = (size_t)(argc - optind);
	free(letters);
	free(options);
	return e;
}

void
arguments_release(struct arguments *a)
{
	free(a->rows);
	free(a->given);
	*a = (struct arguments){ 0 };
}

const char *
arguments_value(const struct arguments *a, const char *name)
{
	const char *value = NULL;
	for (size_t i = 0; i < a->given_count; i++) {
		if (strcmp(a->given[i].option->name, name) == 0)
			value = a->given[i].value;
	}
	return value;
}

bool
arguments_has(const struct arguments *a, const char *name)
{
	for (size_t i = 0; i < a->given_count; i++) {
		if (strcmp(a->given[i].option->name, name) == 0)
			return true;
	}
	return false;
}

const char *
arguments_next(const struct arguments *a, const char *name, size_t *at)
{
	while (*at < a->given_count) {
		const struct given *g = &a->given[(*at)++];
		if (strcmp(g->option->name, name) == 0)
			return g->value;
	}
	return NULL;
}
