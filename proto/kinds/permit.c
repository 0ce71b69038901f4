/* SPDX-License-Identifier: Apache-2.0 */
/* Checks on the boxes of a document. Not here: whether the document is good;
 * only its issuer can say. */
#include "proto/kinds/permit.h"

#include <stdlib.h>
#include <string.h>

#include "proto/codes.h"

/* Each text with its path and the form that it must have. */
struct form {
	const char *text;
	const char *path;
	enum err (*check)(const char *text, const char *path, struct kind_problem *problem);
};

static enum err
check_forms(const struct form *forms, size_t n, struct kind_problem *problem)
{
	for (size_t i = 0; i < n; i++) {
		enum err e = forms[i].check(forms[i].text, forms[i].path, problem);
		if (e != OK)
			return e;
	}
	return OK;
}

enum err
permit_check(const Citex__Permit *p, struct kind_problem *problem)
{
	enum err e;

	if (p == NULL)
		return OK;
	const struct form forms[] = {
		{ p->issue_date, "permit.issue_date", check_date },
		{ p->valid_from, "permit.valid_from", check_date },
		{ p->valid_until, "permit.valid_until", check_date },
		{ p->endorsement_date, "permit.endorsement_date", check_date },
	};
	e = check_length(p->number, PERMIT_NUMBER_MAX_CHARACTERS, "permit.number", problem);
	if (e != OK)
		return e;
	return check_forms(forms, sizeof(forms) / sizeof(forms[0]), problem);
}

enum err
lines_check(Citex__Line *const *lines, size_t n, struct kind_problem *problem)
{
	for (size_t i = 0; i < n; i++) {
		const Citex__Line *l = lines[i];
		const struct form forms[] = {
			{ l->quantity, "lines.quantity", check_decimal },
			{ l->exported_quantity, "lines.exported_quantity", check_decimal },
			{ l->quota_used, "lines.quota_used", check_decimal },
			{ l->quota, "lines.quota", check_decimal },
			{ l->origin_date, "lines.origin_date", check_date },
			{ l->reexport_date, "lines.reexport_date", check_date },
			{ l->acquisition_date, "lines.acquisition_date", check_partial_date },
		};
		enum err e = check_forms(forms, sizeof(forms) / sizeof(forms[0]), problem);
		if (e != OK)
			return e;
	}
	return OK;
}

/* Year and month of a date, checked before, as a count of months. */
static long
month_number(const char *date)
{
	return strtol(date, NULL, 10) * 12 + strtol(date + 5, NULL, 10);
}

/* How many months it is from FROM to TO, a begun one counted whole. */
static long
months_between(const char *from, const char *to)
{
	long months = month_number(to) - month_number(from);

	return strcmp(to + 8, from + 8) > 0 ? months + 1 : months;
}

/* Conf. 12.3: how long a document of each type may be valid. */
static void
warn_validity(const Citex__Permit *p, struct kind_problem *warnings, size_t max, size_t *count)
{
	const char *from = p->valid_from[0] != '\0' ? p->valid_from : p->issue_date;
	const struct code_list *types = codes_find("permit_types");
	const struct code *type = p->type[0] == '\0' ? NULL : code_find(types, p->type);
	long limit =
	    type == NULL ? 0 : strtol(code_value(types, type, "max_validity_months"), NULL, 10);

	if (from[0] == '\0' || p->valid_until[0] == '\0')
		return;
	if (strcmp(p->valid_until, from) < 0)
		problem_add(warnings, max, count, "permit.valid_until", "is before the first day");
	else if (limit > 0 && months_between(from, p->valid_until) > limit)
		problem_add(warnings, max, count, "permit.valid_until",
		    "is more than %ld months after the first day, the most for this type", limit);
}

void
permit_warn(const Citex__Permit *p, struct kind_problem *warnings, size_t max, size_t *count)
{
	if (p == NULL)
		return;
	warn_validity(p, warnings, max, count);
	if (p->exporter_country[0] != '\0' && strcmp(p->exporter_country, p->importer_country) == 0)
		problem_add(warnings, max, count, "permit.exporter_country",
		    "is also the country of import");
	if (strcmp(p->type, "O") == 0 && p->type_words[0] == '\0')
		problem_add(warnings, max, count, "permit.type_words",
		    "should say what kind of document it is");
}

static bool
may_stand_beside(const char *source)
{
	return strcmp(source, "I") == 0 || strcmp(source, "O") == 0;
}

static void
warn_source(const Citex__Line *l, struct kind_problem *warnings, size_t max, size_t *count)
{
	if (strcmp(l->source, "U") == 0 && l->description[0] == '\0')
		problem_add(warnings, max, count, "lines.source",
		    "U (unknown) must be justified; the description says nothing");
	if (strcmp(l->source, "D") == 0 && l->operation[0] == '\0')
		problem_add(warnings, max, count, "lines.operation",
		    "is expected with source D: the number of the registered operation");
	if (strcmp(l->source, "D") == 0 && l->appendix[0] != '\0' && strcmp(l->appendix, "I") != 0)
		problem_add(warnings, max, count, "lines.source", "D is for Appendix I only");
	if (l->second_source[0] != '\0' && !may_stand_beside(l->source) &&
	    !may_stand_beside(l->second_source))
		problem_add(
		    warnings, max, count, "lines.second_source", "may stand beside I or O only");
	if ((strcmp(l->source, "O") == 0 || strcmp(l->second_source, "O") == 0) &&
	    l->acquisition_date[0] == '\0')
		problem_add(warnings, max, count, "lines.acquisition_date",
		    "is expected with source O (pre-Convention)");
}

void
lines_warn(
    Citex__Line *const *lines, size_t n, struct kind_problem *warnings, size_t max, size_t *count)
{
	for (size_t i = 0; i < n; i++) {
		const Citex__Line *l = lines[i];

		warn_source(l, warnings, max, count);
		if (l->quota[0] != '\0' && strtod(l->quota_used, NULL) > strtod(l->quota, NULL))
			problem_add(warnings, max, count, "lines.quota_used", "is over the quota");
		if (l->quantity[0] != '\0' &&
		    strtod(l->exported_quantity, NULL) > strtod(l->quantity, NULL))
			problem_add(warnings, max, count, "lines.exported_quantity",
			    "is more than the quantity");
	}
}
