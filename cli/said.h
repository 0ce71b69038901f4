/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_SAID_H
#define CLI_SAID_H

#include "proto/bytes.h"
#include "proto/codes.h"

/* In the officer's language what other rooms say in English. For people only:
 * what programs read is never translated, nor what another authority wrote. */

/* Append TEXT to OUT: a sentence of the checks of forms, of the office's doctor
 * or of the list of errors, with its parameters as they are; before it, perhaps, what it speaks
 * of (`ke.ma: '). What is not known stays as it is. */
void said_append(const char *text, struct buffer *out);
/* How far a message is, what an exchange is (`stored', `answered'), what an
 * authority is (`management'), what kind a message is (`query'): WORD itself
 * when it is none of these. */
const char *said_word(const char *word);
/* All of WORDS, with commas. */
void said_list(char **words, size_t count, struct buffer *out);
/* The name of a code of LIST. */
const char *said_name(const struct code_list *list, const struct code *code);

#endif
