/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_HELP_H
#define CLI_HELP_H

/* What the schemas of the kinds say of their fields: made by cli/help.awk. */
struct help_row {
	const char *field; /* "Permit.number"; NULL ends */
	const char *words;
};

extern const struct help_row help_rows[];

#endif
