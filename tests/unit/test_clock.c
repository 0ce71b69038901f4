/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/office/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "proto/codes.h"

static Citex__Rule
rule(const char *id, uint32_t length, const char *unit)
{
	Citex__Rule r = CITEX__RULE__INIT;

	r.id = (char *)(uintptr_t)id;
	r.version = 1;
	r.length = length;
	r.unit = (char *)(uintptr_t)unit;
	return r;
}

static int64_t
day(const char *date)
{
	int64_t ms;

	assert_int_equal(date_parse_end(date, &ms), OK);
	return ms;
}

/* 3(c): two weeks are 14 × 24 h, whatever the clocks of some country do in March or October. */
static void
test_clock_days_are_24_hours(void **state)
{
	static const char *const rows[][2] = { { "2026-12-01", "2026-12-15" },
		{ "2026-12-20", "2027-01-03" }, { "2028-02-20", "2028-03-05" },
		{ "2027-02-20", "2027-03-06" }, { "2027-03-20", "2027-04-03" },
		{ "2027-10-24", "2027-11-07" }, { "2038-01-10", "2038-01-24" },
		{ "2099-12-31", "2100-01-14" } };
	Citex__Rule r = rule("reply", 14, "day");

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		assert_int_equal(clock_due_ms(day(rows[i][0]), &r), day(rows[i][1]));
}

/* 21(a), 21(b): calendar months; the last day of a month that is too short. */
static void
test_clock_months_end_with_the_month(void **state)
{
	static const struct {
		const char *from;
		uint32_t months;
		const char *to;
	} rows[] = { { "2027-01-31", 1, "2027-02-28" }, { "2028-01-31", 1, "2028-02-29" },
		{ "2026-08-31", 6, "2027-02-28" }, { "2026-10-31", 1, "2026-11-30" },
		{ "2026-11-30", 1, "2026-12-30" }, { "2026-12-31", 1, "2027-01-31" },
		{ "2026-12-15", 6, "2027-06-15" }, { "2026-12-01", 12, "2027-12-01" },
		{ "2037-12-31", 2, "2038-02-28" }, { "2099-08-31", 6, "2100-02-28" },
		{ "1999-08-31", 6, "2000-02-29" } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		Citex__Rule r = rule("secretariat_reply", rows[i].months, "month");
		assert_int_equal(clock_due_ms(day(rows[i].from), &r), day(rows[i].to));
	}
}

/* A day after another, the due day never goes back, and the time of day stays. */
static void
test_clock_goes_forward_over_simulated_days(void **state)
{
	Citex__Rule month = rule("secretariat_reply", 1, "month"), days = rule("reply", 14, "day");
	int64_t start = day("2026-01-01") - 12345, last = 0;

	(void)state;
	for (int i = 0; i < 20000; i++, start += DAY_MS) {
		int64_t due = clock_due_ms(start, &month);
		assert_true(due >= last);
		assert_true(due - start >= 28 * DAY_MS && due - start <= 31 * DAY_MS);
		assert_int_equal(due % DAY_MS, start % DAY_MS);
		assert_int_equal(clock_due_ms(start, &days) - start, 14 * DAY_MS);
		last = due;
	}
}

static void
test_clock_without_a_number_sets_no_time(void **state)
{
	Citex__Rule none = rule("", 14, "day"), immediately = rule("consult", 0, "immediately");
	Citex__Rule yearly = rule("aitr", 1, "yearly date"), huge = rule("reply", 1201, "month");
	Citex__Rule most = rule("reply", 1200, "day");

	(void)state;
	assert_int_equal(clock_due_ms(1, NULL), 0);
	assert_int_equal(clock_due_ms(1, &none), 0);
	assert_int_equal(clock_due_ms(1, &immediately), 0);
	assert_int_equal(clock_due_ms(1, &yearly), 0);
	assert_int_equal(clock_due_ms(1, &huge), 0);
	assert_int_equal(clock_due_ms(1, &most), 1 + 1200 * DAY_MS);
}

static void
test_clock_is_never_moved_earlier(void **state)
{
	(void)state;
	assert_int_equal(clock_extended_ms(100, 99), 100);
	assert_int_equal(clock_extended_ms(100, 100), 100);
	assert_int_equal(clock_extended_ms(100, 101), 101);
	assert_int_equal(clock_extended_ms(100, 0), 100);
}

/* Both sides count by the rule in the signed query, so it must be the one that we know. */
static void
test_clock_knows_its_own_rules_only(void **state)
{
	const struct deadline *d = deadline_find("reply");
	Citex__Rule r = rule("reply", 14, "day");

	(void)state;
	assert_non_null(d);
	assert_int_equal(d->length, 14);
	r.version = d->version;
	assert_true(clock_rule_is_ours(&r));
	r.length = 15;
	assert_false(clock_rule_is_ours(&r));
	r.length = 14;
	r.version++;
	assert_false(clock_rule_is_ours(&r));
	r.version--;
	r.unit = (char *)(uintptr_t) "month";
	assert_false(clock_rule_is_ours(&r));
	r = rule("soon", 14, "day");
	assert_false(clock_rule_is_ours(&r));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clock_days_are_24_hours),
		cmocka_unit_test(test_clock_months_end_with_the_month),
		cmocka_unit_test(test_clock_goes_forward_over_simulated_days),
		cmocka_unit_test(test_clock_without_a_number_sets_no_time),
		cmocka_unit_test(test_clock_is_never_moved_earlier),
		cmocka_unit_test(test_clock_knows_its_own_rules_only),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
