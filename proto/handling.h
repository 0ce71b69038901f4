/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTO_HANDLING_H
#define PROTO_HANDLING_H

#include "proto/bytes.h"
#include "proto/message.pb-c.h"

/* Rank of a TLP label: CLEAR 0 … RED 4; -1 for no label. */
int tlp_rank(const char *label);
/* A label as an officer types it (`amber', `TLP:AMBER', `amber+strict') to the standard's; NULL:
 * none. */
const char *tlp_label(const char *text);
/* May content under H, which FROM sent to ME, be passed on to TO? WHY
 * (HANDLING_WHY_BYTES) gets the reason of a no.
 *
 * TLP 2.0 for authorities: RED to nobody; AMBER+STRICT inside the receiving
 * authority; AMBER to authorities of its Party; GREEN and CLEAR to every
 * authority. Always to whom the sender named in H's audience, back to the sender,
 * and by the sender, whose content it is. */
#define HANDLING_WHY_BYTES 200
bool handling_allows(
    const Citex__Handling *h, const char *from, const char *me, const char *to, char *why);

#endif
