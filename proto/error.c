/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/error.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define NAME_MAX_BYTES 32

static const struct {
	const char *code;
	enum err_class class;
	const char *words;
} rows[] = {
#define X(name, class, words) { #name, class, words },
	ERR_LIST(X)
#undef X
};

static const int exit_statuses[] = {
#define X(name, exit_status, words) exit_status,
	CLASS_LIST(X)
#undef X
};

static enum err
known(enum err e)
{
	return (unsigned)e < ERR_COUNT ? e : ERR_INTERNAL;
}

const char *
err_words(enum err e)
{
	return rows[known(e)].words;
}

const char *
err_name(enum err e)
{
	static _Thread_local char name[NAME_MAX_BYTES];
	const char *code = rows[known(e)].code;
	size_t i;

	if (strncmp(code, "ERR_", 4) == 0)
		code += 4;
	for (i = 0; code[i] != '\0' && i + 1 < sizeof(name); i++)
		name[i] = code[i] == '_' ? '-' : (char)tolower((unsigned char)code[i]);
	name[i] = '\0';
	return name;
}

enum err
err_from_name(const char *name)
{
	for (enum err e = OK; e < ERR_COUNT; e++) {
		if (strcmp(err_name(e), name) == 0)
			return e;
	}
	return ERR_INTERNAL;
}

enum err_class
err_class(enum err e)
{
	return rows[known(e)].class;
}

int
err_exit_status(enum err e)
{
	return exit_statuses[err_class(e)];
}
