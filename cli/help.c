/* SPDX-License-Identifier: Apache-2.0 */
/* Finding what the schemas say. Only fields of kinds are asked for, and
 * cli/help.awk has seen all of those. */
#include "cli/help.h"

#include <string.h>

const struct help_row *
help_find(const ProtobufCMessageDescriptor *m, const ProtobufCFieldDescriptor *f)
{
	static const struct help_row none = { "", "", NULL };
	size_t len = strlen(m->short_name);
	for (const struct help_row *row = help_rows; row->field != NULL; row++) {
		if (strncmp(row->field, m->short_name, len) == 0 && row->field[len] == '.' &&
		    strcmp(row->field + len + 1, f->name) == 0)
			return row;
	}
	return &none;
}
