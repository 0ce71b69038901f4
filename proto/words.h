/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTO_WORDS_H
#define PROTO_WORDS_H

/* Marks words for people in a table, for po/: whoever shows them translates
 * them there. A room that shows nothing needs no gettext for it. */
#define N_(text) text

#endif
