/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PKI_DIRECTORY_FILE_H
#define PKI_DIRECTORY_FILE_H

#include "pki/directory.h"

/* A directory as a file: how it is published, carried by hand and installed.
 * DIRECTORY_FILE_MAGIC, the length of the SignedHead (4 bytes, big-endian), the
 * SignedHead, the contents up to the end. */
#define DIRECTORY_FILE_MAGIC "citex directory 1\n"
#define DIRECTORY_FILE_NAME "directory.citex" /* of the installed one, in the state folder */

void directory_file_print(const Citex__SignedHead *head, struct bytes contents, struct buffer *out);
/* Take FILE apart; nothing is verified. *HEAD is the caller's, proto_free(); *CONTENTS is borrowed
 * from FILE. ERR_MALFORMED, ERR_TOO_LARGE. */
enum err directory_file_parse(struct bytes file, Citex__SignedHead **head, struct bytes *contents)
    MUST_CHECK;
/* Read the one installed in the folder STATE and build it by PIN, as directory_build() does: WHY
 * (200 bytes) says what is wrong. ERR_NOT_FOUND, ERR_IO, and those of directory_build(). */
enum err directory_file_read(const char *state, const char *pin, struct directory **out, char *why)
    MUST_CHECK;

#endif
