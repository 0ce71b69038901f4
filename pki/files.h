/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PKI_FILES_H
#define PKI_FILES_H

#include <sys/stat.h>

#include "proto/bytes.h"

/* Files that are whole or not there: written under a temporary name beside
 * PATH, synced, renamed, and the folder synced. */

/* A new file; never over one that is there: ERR_EXISTS. ERR_IO, and nothing is left behind. */
enum err file_create(const char *path, struct bytes content, mode_t mode) MUST_CHECK;
/* The same, replacing what is there. */
enum err file_replace(const char *path, struct bytes content, mode_t mode) MUST_CHECK;
/* Append the whole file to OUT. ERR_IO, ERR_TOO_LARGE over MAX bytes. */
enum err file_read(const char *path, size_t max, struct buffer *out) MUST_CHECK;

#endif
