/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/office/clock.h"

#include <string.h>

#include "proto/codes.h"

/* Days since 1970-01-01 of a date of the Gregorian calendar, and back (proleptic; Hinnant's
 * arithmetic). */
static int64_t
days_of(int64_t year, unsigned month, unsigned day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t year_of_era = y - era * 400;
	int64_t day_of_year =
	    (153 * (int64_t)(month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

	return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 +
	    day_of_year - 719468;
}

static void
date_of(int64_t days, int64_t *year, unsigned *month, unsigned *day)
{
	int64_t z = days + 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;

	*day = (unsigned)(doy - (153 * mp + 2) / 5 + 1);
	*month = (unsigned)(mp < 10 ? mp + 3 : mp - 9);
	*year = yoe + era * 400 + (*month <= 2 ? 1 : 0);
}

static unsigned
days_in_month(int64_t year, unsigned month)
{
	int64_t next_year = month == 12 ? year + 1 : year;

	return (
	    unsigned)(days_of(next_year, month == 12 ? 1 : month + 1, 1) - days_of(year, month, 1));
}

static int64_t
add_months(int64_t start_ms, uint32_t months)
{
	int64_t days = start_ms / DAY_MS, rest_ms = start_ms % DAY_MS, year, of_year;
	unsigned month, day;

	date_of(days, &year, &month, &day);
	of_year = (int64_t)month - 1 + months;
	year += of_year / 12;
	month = (unsigned)(of_year % 12) + 1;
	if (day > days_in_month(year, month))
		day = days_in_month(year, month);
	return days_of(year, month, day) * DAY_MS + rest_ms;
}

int64_t
clock_due_ms(int64_t start_ms, const Citex__Rule *rule)
{
	if (rule == NULL || rule->id[0] == '\0' || rule->length == 0 || rule->length > 1200)
		return 0;
	if (strcmp(rule->unit, "day") == 0)
		return start_ms + (int64_t)rule->length * DAY_MS;
	return strcmp(rule->unit, "month") == 0 ? add_months(start_ms, rule->length) : 0;
}

int64_t
clock_extended_ms(int64_t due_ms, int64_t until_ms)
{
	return until_ms > due_ms ? until_ms : due_ms;
}

bool
clock_rule_is_ours(const Citex__Rule *rule)
{
	const struct deadline *d = deadline_find(rule->id);

	return d != NULL && rule->version == d->version && rule->length == d->length &&
	    strcmp(rule->unit, d->unit) == 0;
}
