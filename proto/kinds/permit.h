/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTO_KINDS_PERMIT_H
#define PROTO_KINDS_PERMIT_H

#include "proto/kind.h"
#include "proto/kinds/permit.pb-c.h"

/* The boxes of a document, for all kinds that carry them. */

#define PERMIT_NUMBER_MAX_CHARACTERS 70 /* the longest that a schema in use allows */

/* Rows for struct kind's codes: of a field `permit', of a repeated field `lines'. */
#define PERMIT_CODES \
	{ "permit.type", "permit_types" }, { "permit.country", "countries" }, \
	    { "permit.importer_country", "countries" }, \
	    { "permit.exporter_country", "countries" }, \
	{ \
		"permit.purpose", "purposes" \
	}
#define LINE_CODES \
	{ "lines.term", "terms" }, { "lines.appendix", "appendices" }, \
	    { "lines.source", "sources" }, { "lines.second_source", "sources" }, \
	    { "lines.unit", "units" }, { "lines.origin_country", "countries" }, \
	{ \
		"lines.reexport_country", "countries" \
	}

/* Length of the number and form of the dates; a number is never refused for its pattern. P may be
 * NULL. */
enum err permit_check(const Citex__Permit *p, struct kind_problem *problem) MUST_CHECK;
/* Quantities and dates. */
enum err lines_check(Citex__Line *const *lines, size_t n, struct kind_problem *problem) MUST_CHECK;

/* What looks wrong on the document and yet may stand there: that is why somebody asks. */
void permit_warn(const Citex__Permit *p, struct kind_problem *warnings, size_t max, size_t *count);
void lines_warn(
    Citex__Line *const *lines, size_t n, struct kind_problem *warnings, size_t max, size_t *count);

#endif
