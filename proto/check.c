/* SPDX-License-Identifier: Apache-2.0 */
/* The form of texts in bodies. Not here: which text a kind needs (the kind
 * says), and which code lists hold a code (proto/kind.c). */
#include "proto/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "proto/ids.h"

#define DECIMAL_WHOLE_MAX 15
#define DECIMAL_FRACTION_MAX 9
#define DIGITS "0123456789"

static void PRINTF(3, 0)
    fill(struct kind_problem *problem, const char *path, const char *fmt, va_list args)
{
	snprintf(problem->path, sizeof(problem->path), "%s", path);
	vsnprintf(problem->words, sizeof(problem->words), fmt, args);
}

enum err
problem_set(struct kind_problem *problem, const char *path, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	fill(problem, path, fmt, args);
	va_end(args);
	return ERR_VALUE;
}

void
problem_add(struct kind_problem *problems, size_t max, size_t *count, const char *path,
    const char *fmt, ...)
{
	va_list args;

	if (*count >= max)
		return;
	va_start(args, fmt);
	fill(&problems[(*count)++], path, fmt, args);
	va_end(args);
}

enum err
check_needed(const char *text, const char *path, struct kind_problem *problem)
{
	if (text[strspn(text, " \t\r\n")] != '\0')
		return OK;
	return problem_set(problem, path, "is needed");
}

enum err
check_date(const char *text, const char *path, struct kind_problem *problem)
{
	int64_t utc_ms;

	if (text[0] == '\0' || date_parse_end(text, &utc_ms) == OK)
		return OK;
	return problem_set(problem, path, "is not a date like 2026-12-20");
}

enum err
check_partial_date(const char *text, const char *path, struct kind_problem *problem)
{
	static const char first_day[] = "0001-01-01";
	char whole[sizeof(first_day)];
	size_t len = strlen(text);
	int64_t utc_ms;

	if (len == 0)
		return OK;
	if (len == 4 || len == 7 || len == 10) {
		snprintf(whole, sizeof(whole), "%s%s", text, first_day + len);
		if (date_parse_end(whole, &utc_ms) == OK)
			return OK;
	}
	return problem_set(problem, path, "is not a date like 2026, 2026-12 or 2026-12-20");
}

enum err
check_decimal(const char *text, const char *path, struct kind_problem *problem)
{
	size_t whole = strspn(text, DIGITS), fraction = 0;
	const char *end = text + whole;

	if (text[0] == '\0')
		return OK;
	if (*end == '.') {
		fraction = strspn(end + 1, DIGITS);
		end = fraction == 0 ? end : end + 1 + fraction;
	}
	if (*end != '\0' || whole == 0 || whole > DECIMAL_WHOLE_MAX ||
	    fraction > DECIMAL_FRACTION_MAX)
		return problem_set(problem, path, "is not a number like 12 or 12.5");
	return OK;
}

enum err
check_length(const char *text, size_t max, const char *path, struct kind_problem *problem)
{
	size_t characters = 0;

	for (const char *c = text; *c != '\0'; c++)
		characters += ((unsigned char)*c & 0xc0) != 0x80;
	if (characters <= max)
		return OK;
	return problem_set(problem, path, "is longer than %zu characters", max);
}
