/* SPDX-License-Identifier: Apache-2.0 */
/* Looking up code lists. The lists themselves are generated: code_tables.c. */
#include "proto/codes.h"

#include <string.h>
#include <strings.h>

const struct code_list *
codes_find(const char *list)
{
	for (const struct code_list *l = code_lists; l->name != NULL; l++) {
		if (strcmp(l->name, list) == 0)
			return l;
	}
	return NULL;
}

const struct code *
code_find(const struct code_list *list, const char *text)
{
	const struct code *row;

	for (row = list->rows; row->code != NULL; row++) {
		if (strcmp(row->code, text) == 0)
			return row;
	}
	for (row = list->rows; row->code != NULL; row++) {
		if (strcasecmp(row->code, text) == 0 || strcasecmp(row->word, text) == 0)
			return row;
	}
	return NULL;
}

const char *
code_value(const struct code_list *list, const struct code *row, const char *column)
{
	for (size_t i = 0; list->columns[i] != NULL; i++) {
		if (strcmp(list->columns[i], column) == 0)
			return row->values[i];
	}
	return "";
}

const struct deadline *
deadline_find(const char *id)
{
	for (const struct deadline *d = deadlines; d->id != NULL; d++) {
		if (strcmp(d->id, id) == 0)
			return d;
	}
	return NULL;
}
