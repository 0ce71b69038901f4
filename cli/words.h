/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_WORDS_H
#define CLI_WORDS_H

#include <libintl.h>

#include "proto/words.h"

/* Words for people, in their language when po/ has it; those that N_() marks,
 * where they are shown. Nothing stays nothing: of "" gettext() makes the
 * catalogue's header. */
#define _(text) translated(text)

__attribute__((format_arg(1))) static inline const char *
translated(const char *text)
{
	return *text != '\0' ? gettext(text) : text;
}

#endif
