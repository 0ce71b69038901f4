/* SPDX-License-Identifier: Apache-2.0 */
/* Who may see it next. Not here: who the authorities are (the directory), and
 * recording that somebody asked (the audit). */
#include "proto/handling.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "proto/ids.h"

/* In order of rank. The words are the standard's, which are never translated (TLP 2.0). */
static const char *const labels[] = { "CLEAR", "GREEN", "AMBER", "AMBER+STRICT", "RED" };

enum { RANK_CLEAR, RANK_GREEN, RANK_AMBER, RANK_STRICT, RANK_RED, RANK_COUNT };

int
tlp_rank(const char *label)
{
	for (int i = 0; i < RANK_COUNT; i++) {
		if (strcmp(labels[i], label) == 0)
			return i;
	}
	return -1;
}

const char *
tlp_label(const char *text)
{
	if (strncasecmp(text, "TLP:", 4) == 0)
		text += 4;
	for (int i = 0; i < RANK_COUNT; i++) {
		if (strcasecmp(labels[i], text) == 0)
			return labels[i];
	}
	return NULL;
}

static bool
is_named(const Citex__Handling *h, const char *authority)
{
	for (size_t i = 0; i < h->n_audience; i++) {
		if (strcmp(h->audience[i], authority) == 0)
			return true;
	}
	return false;
}

PRINTF(2, 3)
static bool
forbid(char *why, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(why, HANDLING_WHY_BYTES, fmt, args);
	va_end(args);
	return false;
}

bool
handling_allows(
    const Citex__Handling *h, const char *from, const char *me, const char *to, char *why)
{
	int rank = h == NULL ? -1 : tlp_rank(h->tlp);

	why[0] = '\0';
	if (h != NULL && is_named(h, to))
		return true;
	if (strcmp(to, from) == 0 || strcmp(me, from) == 0)
		return true;
	switch (rank) {
	case RANK_CLEAR:
	case RANK_GREEN:
		return true;
	case RANK_AMBER:
		if (same_party(to, me))
			return true;
		return forbid(why,
		    "TLP:AMBER stays with the authorities of your Party; ask %.64s for permission",
		    from);
	case RANK_STRICT:
		if (strcmp(to, me) == 0)
			return true;
		return forbid(why,
		    "TLP:AMBER+STRICT stays inside your authority; ask %.64s for permission", from);
	case RANK_RED:
		return forbid(why, "TLP:RED is for you alone; ask %.64s for permission", from);
	default:
		snprintf(
		    why, HANDLING_WHY_BYTES, "it carries no handling label that is known here");
		return false;
	}
}
