/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_NAMES_H
#define CLI_NAMES_H

#include "proto/bytes.h"

/* Names of files from labels that somebody else chose. Pure. */

#define NAME_BYTES 256 /* with its NUL */

/* LABEL as a name within one folder, for any file system: no separator, no
 * control, hidden or reordering character, no leading dot, dash, tilde or blank, no
 * trailing dot or blank, no name of a device, at most 200 bytes with its
 * ending kept. Never empty. */
void name_clean(const char *label, char out[NAME_BYTES]);
/* The same name with "-NUMBER" before its ending. */
void name_number(const char *name, unsigned number, char out[NAME_BYTES]);
/* Is NAME one that name_clean() would leave as it is? */
bool name_is_clean(const char *name);

#endif
