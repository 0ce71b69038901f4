/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_OFFICE_DESK_H
#define DAEMON_OFFICE_DESK_H

#include "daemon/counter.h"
#include "daemon/office/office.h"

/* The officers' requests inside the office: one table of what they may ask
 * (proto/desk.proto). Each act is recorded before its answer leaves; no path
 * ever crosses the socket, nor a descriptor. */
struct desk;

/* Serve the officers of O's configuration on the listening socket FD, which stays the caller's.
 * ERR_SYSTEM. */
enum err desk_new(struct office *o, int fd, struct desk **out) MUST_CHECK;
/* Puts everybody out, before the office goes: acts under way end unheard. */
void desk_free(struct desk *d); /* NULL too */

/* How many users who are nobody here, and senders of garbage, were put out. */
struct counter_figures desk_figures(const struct desk *d);

#endif
