/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTO_CHECK_H
#define PROTO_CHECK_H

#include "proto/bytes.h"

/* Checks of texts in the bodies of messages, for the kinds. Each leaves an
 * empty text alone (empty means absent) but for check_needed(), and fills
 * *PROBLEM when it gives ERR_VALUE. PATH names the field. */

/* A place in the body that looks wrong: names of fields joined by dots. */
struct kind_problem {
	char path[64];
	char words[200];
};

/* Set *PROBLEM and return ERR_VALUE. */
enum err problem_set(struct kind_problem *problem, const char *path, const char *fmt, ...)
    PRINTF(3, 4) MUST_CHECK;
/* Warnings: as long as *COUNT is under MAX, fill the next one. */
void problem_add(struct kind_problem *problems, size_t max, size_t *count, const char *path,
    const char *fmt, ...) PRINTF(5, 6);

enum err check_needed(const char *text, const char *path, struct kind_problem *problem) MUST_CHECK;
/* 2026-12-20 */
enum err check_date(const char *text, const char *path, struct kind_problem *problem) MUST_CHECK;
/* 2026, 2026-12 or 2026-12-20 */
enum err check_partial_date(const char *text, const char *path, struct kind_problem *problem)
    MUST_CHECK;
/* 12 or 12.345: no sign, no exponent, at most 15 digits before the point and 9 after it. */
enum err check_decimal(const char *text, const char *path, struct kind_problem *problem) MUST_CHECK;
/* At most MAX characters (not bytes). */
enum err check_length(const char *text, size_t max, const char *path, struct kind_problem *problem)
    MUST_CHECK;

#endif
