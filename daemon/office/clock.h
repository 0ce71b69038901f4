/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_OFFICE_CLOCK_H
#define DAEMON_OFFICE_CLOCK_H

#include "proto/ids.h"
#include "proto/message.pb-c.h"

/* Deadlines as pure arithmetic, in UTC. */

/* When what began at START_MS is due by RULE: days are 24 h, months are calendar months (the last
 * day of a month that is too short). 0: the rule sets no time. */
int64_t clock_due_ms(int64_t start_ms, const Citex__Rule *rule);
/* Due after an interim answer that names UNTIL_MS (end of its day): never earlier than DUE_MS. */
int64_t clock_extended_ms(int64_t due_ms, int64_t until_ms);
/* Is RULE one that this version knows, with the length it gives it? */
bool clock_rule_is_ours(const Citex__Rule *rule);

#endif
