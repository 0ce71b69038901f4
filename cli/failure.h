/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_FAILURE_H
#define CLI_FAILURE_H

#include "proto/bytes.h"

/* Why a command failed: gathered where it happens, shown once, by main.c. */
struct failure {
	enum err err;
	struct buffer words; /* what failed, why, what to do; text from outside not yet escaped */
};

/* Set F to E with these words, and return E: `return failure_set(f, ERR_USAGE, ...)'. The first
 * failure stays: what follows from it tells less. */
enum err failure_set(struct failure *f, enum err e, const char *fmt, ...) PRINTF(3, 4);
/* The same with what errno says at the end. */
enum err failure_errno(struct failure *f, enum err e, const char *fmt, ...) PRINTF(3, 4);
void failure_release(struct failure *f);

#endif
