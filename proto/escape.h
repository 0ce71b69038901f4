/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTO_ESCAPE_H
#define PROTO_ESCAPE_H

#include "proto/bytes.h"

/* Text from outside, made harmless for a terminal. Pure. What could move the
 * cursor, hide, reorder or imitate is shown as \u{hexadecimal}: C0, DEL, C1, bidi
 * controls, zero-width and blank look-alikes, line and paragraph separators,
 * tags, private use, noncharacters; a byte that is no UTF-8 as \u{its value}, and
 * the backslash of a literal \u{ as \u{5c}, so that nothing can be forged. */

enum escape {
	ESCAPE_LINE, /* one line: a line feed and a tab are escaped too */
	ESCAPE_TEXT /* line feeds stay, a tab is a blank */
};

/* Append TEXT to OUT. ASCII_ONLY: whatever is not ASCII is escaped, for a
 * terminal whose character set is not UTF-8. */
void escape_append(struct bytes text, enum escape how, bool ascii_only, struct buffer *out);

/* Take one character off the front of *TEXT: its code point, or -1 and one byte when it is no
 * UTF-8 (overlong forms and surrogates are none). *TEXT is not empty. */
int32_t utf8_next(struct bytes *text);

/* May code point C be shown as it is? */
bool escape_is_plain(int32_t c);

#endif
