/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_POST_ROUTE_H
#define DAEMON_POST_ROUTE_H

#include "daemon/post/queue.h"
#include "pki/slip.h"

/* Who may hand over what, and where it goes from here. Pure: the directory and
 * this node's own configuration in, a verdict out. */

/* What this node is. All borrowed. */
struct route_self {
	const char *node;
	const struct directory *directory; /* never NULL */
	const char *const *relay_for; /* NULL ends; may be NULL */
	const char *const *offices; /* authorities served here; NULL ends */
};

/* Who offers. */
struct route_from {
	bool office; /* an office of this node; NAME is its authority. Else a node */
	const char *name;
	uint64_t directory; /* the number of its directory */
};

enum verdict {
	VERDICT_TAKE,
	VERDICT_REFUSE, /* REASON and WORDS go home in a slip, if the stamp is good */
	VERDICT_LATER, /* REASON; ASK: it may be that our directory is behind */
	VERDICT_BREAK /* it lies about itself: end the session */
};
struct route {
	enum verdict verdict;
	enum err reason;
	const char *words; /* static */
	bool ask;
	Citex__SlipType slip; /* that we owe once it is on our disk */
	char to[LANE_NAME_BYTES]; /* "" unless taken */
	char home[LANE_NAME_BYTES]; /* of slips to the author; "": no way */
};

/* May FROM offer E, and what becomes of it? The stamp is not looked at. */
void route_envelope(const struct route_self *self, const struct route_from *from,
    const struct envelope *e, struct route *out);
/* The same for a slip that was verified. Refuse: answer `taken', and drop it. */
void route_slip(const struct route_self *self, const struct route_from *from, const struct slip *s,
    struct route *out);
/* The lane on which AUTHORITY is reached, whoever asks; false: there is none. */
bool route_home(const struct route_self *self, const char *authority, char out[LANE_NAME_BYTES]);

bool route_is_office(const struct route_self *self, const char *authority);
bool route_relays_for(const struct route_self *self, const char *node);
/* Is RELAY in the `via' of NODE? */
bool route_is_via(const struct directory *d, const char *node, const char *relay);

#endif
