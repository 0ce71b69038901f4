/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_EDITOR_H
#define CLI_EDITOR_H

#include "cli/failure.h"

/* Let the officer change TEXT in $VISUAL, else $EDITOR, else vi. It lies for
 * that time in a file of mode 0600 in a folder of its own under
 * $XDG_RUNTIME_DIR, which must be in memory (tmpfs), and is overwritten and
 * taken away afterwards, with whatever the editor left beside it. ERR_DENIED
 * when there is no such place, ERR_VALUE when the editor fails. */
enum err editor_run(struct buffer *text, struct failure *why) MUST_CHECK;

#endif
