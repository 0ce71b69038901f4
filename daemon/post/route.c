/* SPDX-License-Identifier: Apache-2.0 */
/* Threat T8 in one place: a peer speaks for its own authorities, a relay for
 * the nodes that name it, an office for itself. What may be no more than a
 * directory that is behind is answered `later', never refused: a refusal ends a
 * message, and must not come from somebody else's offering it. */
#include "daemon/post/route.h"

#include <string.h>

static bool
is_in(const char *const *list, const char *name)
{
	for (; list != NULL && *list != NULL; list++) {
		if (strcmp(*list, name) == 0)
			return true;
	}
	return false;
}

bool
route_is_office(const struct route_self *self, const char *authority)
{
	return is_in(self->offices, authority);
}

bool
route_relays_for(const struct route_self *self, const char *node)
{
	return is_in(self->relay_for, node);
}

bool
route_is_via(const struct directory *d, const char *node, const char *relay)
{
	const struct directory_node *n = directory_node(d, node);

	for (size_t i = 0; n != NULL && i < n->via_count; i++) {
		if (strcmp(n->via[i], relay) == 0)
			return true;
	}
	return false;
}

bool
route_home(const struct route_self *self, const char *authority, char out[LANE_NAME_BYTES])
{
	const struct directory_authority *a;

	out[0] = '\0';
	if (route_is_office(self, authority))
		return lane_name_make(LANE_OFFICE, authority, out) == OK;
	a = directory_authority(self->directory, authority);
	if (a == NULL || strcmp(a->node, self->node) == 0)
		return false;
	return lane_name_make(LANE_NODE, a->node, out) == OK;
}

static void
judge(struct route *out, enum verdict v, enum err reason, const char *words)
{
	out->verdict = v;
	out->reason = reason;
	out->words = words;
}

/* Is the peer's directory newer than ours? Then what we do not know may exist. */
static bool
is_behind(const struct route_self *self, const struct route_from *from)
{
	return from->directory > directory_number(self->directory);
}

/* It cannot go on from here: for good, unless our directory is behind. */
static void
dead_end(const struct route_self *self, const struct route_from *from, struct route *out,
    enum err reason, const char *words)
{
	out->ask = is_behind(self, from);
	judge(out, out->ask ? VERDICT_LATER : VERDICT_REFUSE, reason, words);
}

/* May FROM, a node, hand over what AUTHOR wrote? */
static bool
may_hand_over(
    const struct route_self *self, const struct route_from *from, const char *authors_node)
{
	if (strcmp(authors_node, self->node) == 0)
		return false;
	return strcmp(from->name, authors_node) == 0 ||
	    route_is_via(self->directory, authors_node, from->name) ||
	    route_is_via(self->directory, self->node, from->name);
}

static void
take(struct route *out, char what, const char *name, Citex__SlipType slip)
{
	out->slip = slip;
	judge(out, VERDICT_TAKE, OK, NULL);
	if (lane_name_make(what, name, out->to) != OK)
		judge(out, VERDICT_LATER, ERR_INTERNAL, NULL);
}

/* AUTHORS_NODE is NULL for an office's own. */
static void
find_way(const struct route_self *self, const struct route_from *from, const char *authors_node,
    const char *addressee, struct route *out)
{
	const struct directory_authority *a;

	if (route_is_office(self, addressee)) {
		take(out, LANE_OFFICE, addressee, CITEX__SLIP_TYPE__SLIP_STORED);
		return;
	}
	a = directory_authority(self->directory, addressee);
	if (a == NULL) {
		dead_end(
		    self, from, out, ERR_UNKNOWN_AUTHORITY, "the directory has no such authority");
		return;
	}
	if (strcmp(a->node, self->node) == 0)
		judge(out, VERDICT_LATER, ERR_UNREACHABLE, "its office is not set up here");
	else if (route_relays_for(self, a->node))
		take(out, LANE_NODE, a->node, CITEX__SLIP_TYPE__SLIP_RELAYED);
	else if (authors_node == NULL ||
	    (strcmp(authors_node, from->name) == 0 && route_relays_for(self, from->name)))
		take(out, LANE_NODE, a->node, CITEX__SLIP_TYPE__SLIP_NONE);
	else
		dead_end(self, from, out, ERR_DENIED,
		    "this node neither serves the addressee nor relays for its node");
}

void
route_envelope(const struct route_self *self, const struct route_from *from,
    const struct envelope *e, struct route *out)
{
	const char *author = e->outer->author;
	const struct directory_authority *a;

	*out = (struct route){ 0 };
	(void)route_home(self, author, out->home);
	if (from->office && strcmp(author, from->name) != 0) {
		judge(out, VERDICT_BREAK, ERR_IDENTITY, "an office speaks for another");
		return;
	}
	if (from->office) {
		find_way(self, from, NULL, e->outer->addressee, out);
		return;
	}
	a = directory_authority(self->directory, author);
	if (a == NULL || !may_hand_over(self, from, a->node)) {
		out->ask = a == NULL || is_behind(self, from);
		judge(out, VERDICT_LATER, a == NULL ? ERR_UNKNOWN_AUTHORITY : ERR_IDENTITY,
		    "the peer may not hand over what this author wrote");
		return;
	}
	find_way(self, from, a->node, e->outer->addressee, out);
}

void
route_slip(const struct route_self *self, const struct route_from *from, const struct slip *s,
    struct route *out)
{
	const char *node;

	*out = (struct route){ 0 };
	if (from->office && strcmp(s->body->maker, from->name) != 0) {
		judge(out, VERDICT_BREAK, ERR_IDENTITY, "an office speaks for another");
		return;
	}
	if (!route_home(self, s->body->to, out->to)) {
		dead_end(self, from, out, ERR_UNKNOWN_AUTHORITY, "nobody here knows its author");
		return;
	}
	node = out->to + 1;
	judge(out, VERDICT_TAKE, OK, NULL);
	if (out->to[0] == LANE_OFFICE || from->office)
		return;
	if (strcmp(node, from->name) != 0 &&
	    (route_relays_for(self, node) || route_relays_for(self, from->name)))
		return;
	out->to[0] = '\0';
	dead_end(self, from, out, ERR_DENIED, "this node does not carry it");
}
