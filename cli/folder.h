/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_FOLDER_H
#define CLI_FOLDER_H

#include "cli/failure.h"

/* Files that are made for an officer, within one folder and nowhere else. */

/* Open the folder PATH, made (0700, with those above it) when it is not there. A descriptor, or -1
 * with words in WHY. */
int folder_open(const char *path, struct failure *why);
/* Open or make the folder NAME (one name) within FOLDER; no symbolic link. */
int folder_within(int folder, const char *name, struct failure *why);
/* Make the file NAME (one name, as name_clean() leaves it) in FOLDER for writing: 0600, a new
 * one, never through a symbolic link. -1 with ERR_EXISTS or another error in WHY. */
int folder_create(int folder, const char *name, struct failure *why);
enum err folder_write(int fd, struct bytes what, struct failure *why) MUST_CHECK;
/* Sync and close FD; when E is an error, or this fails, the half file NAME is taken away. */
enum err folder_finish(int folder, const char *name, int fd, enum err e, struct failure *why)
    MUST_CHECK;

#endif
