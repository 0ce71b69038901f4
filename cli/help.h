/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_HELP_H
#define CLI_HELP_H

#include <protobuf-c/protobuf-c.h>

/* What the schemas of the kinds say of their fields: made by cli/help.awk.
 * English; _() where it is shown. */
struct help_row {
	const char *field; /* "Permit.number"; NULL ends */
	const char *name; /* in words: "valid until" */
	const char *words; /* more about it, or NULL */
};

extern const struct help_row help_rows[];

/* Of the field F of M. Its words may be missing, its name never is. */
const struct help_row *help_find(
    const ProtobufCMessageDescriptor *m, const ProtobufCFieldDescriptor *f);

#endif
