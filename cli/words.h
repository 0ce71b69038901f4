/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_WORDS_H
#define CLI_WORDS_H

#include <libintl.h>

/* Words for people, in their language when po/ has it. N_() marks words in a
 * table, which _() translates where they are shown. */
#define _(text) gettext(text)
#define N_(text) text

#endif
