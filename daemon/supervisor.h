/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_SUPERVISOR_H
#define DAEMON_SUPERVISOR_H

#include "daemon/conf.h"

/* Starts, wires and restarts the processes of a node: one post, and one office
 * for each authority. Parses nothing from outside but the frames of its own
 * processes. docs/threats.md, 5.4. */

/* Run the node of the configuration file PATH until SIGTERM or SIGINT. OK, or what kept it from
 * starting: it is in the log. */
enum err supervisor_run(const char *path) MUST_CHECK;

#endif
