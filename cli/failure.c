/* SPDX-License-Identifier: Apache-2.0 */
/* The words of a failure. Prints nothing: see output_failure(). */
#include "cli/failure.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

PRINTF(3, 0)
static void
set(struct failure *f, enum err e, const char *fmt, va_list args)
{
	char *text = NULL;
	if (f->err != OK)
		return;
	f->err = e;
	if (vasprintf(&text, fmt, args) < 0)
		return;
	buffer_add_str(&f->words, text);
	free(text);
}

enum err
failure_set(struct failure *f, enum err e, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	set(f, e, fmt, args);
	va_end(args);
	return e;
}

enum err
failure_errno(struct failure *f, enum err e, const char *fmt, ...)
{
	int number = errno;
	bool first = f->err == OK;
	va_list args;
	va_start(args, fmt);
	set(f, e, fmt, args);
	va_end(args);
	if (first)
		buffer_printf(&f->words, ": %s", strerror(number));
	return e;
}

void
failure_release(struct failure *f)
{
	buffer_release(&f->words);
	f->err = OK;
}
