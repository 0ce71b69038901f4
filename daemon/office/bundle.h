/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_OFFICE_BUNDLE_H
#define DAEMON_OFFICE_BUNDLE_H

#include "daemon/office/display.h"

/* An exchange as files that an outsider can check: the signed originals, the
 * certificates that signed them and those above, the receipts with the outer
 * fields they speak of, the directory that judges all keys, a manifest and a
 * README. docs/protocol.md, "Bundles". `citex verify' reads them. */
struct bundle_file {
	char *name; /* NAME or FOLDER/NAME */
	struct buffer data;
};

struct bundle {
	struct bundle_file *files;
	size_t count;
};

/* ERR_NOT_FOUND, ERR_CORRUPT, ERR_DIRECTORY (there is none yet). OUT is to be released in any
 * case. */
enum err bundle_make(const struct display *v, struct id exchange, struct bundle *out) MUST_CHECK;
void bundle_release(struct bundle *b); /* wipes: messages are plaintext */

#endif
