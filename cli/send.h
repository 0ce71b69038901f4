/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_SEND_H
#define CLI_SEND_H

#include "cli/command.h"
#include "proto/ids.h"

/* What sending and forwarding do alike (cmd_send.c). */

/* The id of --id, else a new one; OUT has ID_TEXT_BYTES. */
enum err send_id(struct call *c, char *out) MUST_CHECK;
/* Say what became of it. K: the kind, for what is due; NULL: nothing is. */
void send_print(struct call *c, const Citex__Submitted *s, const struct kind *k);

#endif
