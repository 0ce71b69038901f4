/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_BODY_H
#define CLI_BODY_H

#include "cli/output.h"
#include "proto/kind.h"

/* A kind's own message, shown by its descriptor. KIND is its name; one that is
 * not known here, or a body that does not decode, is said in a line. */
void body_print(struct output *o, const char *kind, struct bytes body);
/* Append VALUE of the field at PATH of a KIND as people read it: a code with its word and name. */
void body_add_value(
    const struct kind *kind, const char *path, const char *value, struct buffer *out);
/* The same as JSON: a new reference, NULL when it cannot be decoded. */
json_t *body_json(const char *kind, struct bytes body);

#endif
