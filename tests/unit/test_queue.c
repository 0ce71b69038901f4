/* SPDX-License-Identifier: Apache-2.0 */
/* What goes next, and when again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/post/queue.h"

static const struct now noon = { 1000, 1766000000000LL };

static struct queue *
one_lane(struct lane **l)
{
	struct queue *q = queue_new();

	*l = queue_lane(q, "nke");
	lane_open(*l);
	return q;
}

static uint64_t
next(struct lane *l, enum lane_class class, struct now now)
{
	uint64_t ticket = 0;

	return lane_next(l, class, now, &ticket) ? ticket : 0;
}

static void
test_lane_is_found_by_name(void **state)
{
	struct queue *q = queue_new();
	char name[LANE_NAME_BYTES];
	char longest[AUTHORITY_MAX_BYTES + 2];

	(void)state;
	assert_int_equal(lane_name_make(LANE_NODE, "ke", name), OK);
	assert_string_equal(name, "nke");
	assert_int_equal(lane_name_make(LANE_NODE, "", name), ERR_VALUE);
	memset(longest, 'a', sizeof(longest));
	longest[AUTHORITY_MAX_BYTES] = '\0';
	assert_int_equal(lane_name_make(LANE_OFFICE, longest, name), OK);
	longest[AUTHORITY_MAX_BYTES] = 'a';
	longest[AUTHORITY_MAX_BYTES + 1] = '\0';
	assert_int_equal(lane_name_make(LANE_OFFICE, longest, name), ERR_VALUE);

	assert_null(queue_find(q, "nke"));
	queue_lane(q, "oke.ma");
	queue_lane(q, "nke");
	assert_ptr_equal(queue_lane(q, "nke"), queue_find(q, "nke"));
	assert_string_equal(lane_name(queue_lane_at(q, 0)), "nke");
	assert_string_equal(lane_name(queue_lane_at(q, 1)), "oke.ma");
	assert_null(queue_lane_at(q, 2));
	queue_free(q);
}

static void
test_items_go_in_order_each_once(void **state)
{
	struct lane *l;
	struct queue *q = one_lane(&l);

	(void)state;
	lane_added(l, LANE_ROUTINE, 3);
	lane_added(l, LANE_ROUTINE, 5);
	lane_added(l, LANE_URGENT, 4);
	assert_int_equal(lane_total(l), 3);
	assert_int_equal(next(l, LANE_URGENT, noon), 4);
	assert_int_equal(next(l, LANE_ROUTINE, noon), 3);
	assert_int_equal(next(l, LANE_ROUTINE, noon), 5);
	assert_int_equal(next(l, LANE_ROUTINE, noon), 0);
	assert_int_equal(lane_flying(l), 3);
	lane_gone(l, LANE_ROUTINE, 3);
	assert_int_equal(lane_flying(l), 2);
	assert_int_equal(lane_count(l, LANE_ROUTINE), 1);
	queue_free(q);
}

static void
test_later_waits_for_its_time(void **state)
{
	struct lane *l;
	struct queue *q = one_lane(&l);
	struct now after = { noon.mono_ms + 500, noon.utc_ms + 500 };

	(void)state;
	lane_added(l, LANE_ROUTINE, 1);
	lane_added(l, LANE_ROUTINE, 2);
	assert_int_equal(next(l, LANE_ROUTINE, noon), 1);
	lane_later(l, LANE_ROUTINE, 1, after.mono_ms);
	assert_int_equal(lane_wakes_ms(l, noon), after.mono_ms);
	assert_int_equal(next(l, LANE_ROUTINE, noon), 2);
	assert_int_equal(next(l, LANE_ROUTINE, noon), 0);
	assert_int_equal(next(l, LANE_ROUTINE, after), 1);
	queue_free(q);
}

static void
test_what_flew_when_the_lane_closed_goes_again(void **state)
{
	struct lane *l;
	struct queue *q = one_lane(&l);
	uint64_t after, page[2] = { 1, 2 };

	(void)state;
	lane_added(l, LANE_ROUTINE, 1);
	lane_added(l, LANE_ROUTINE, 2);
	assert_int_equal(next(l, LANE_ROUTINE, noon), 1);
	lane_close(l);
	assert_false(lane_is_open(l));
	assert_int_equal(next(l, LANE_ROUTINE, noon), 0);
	assert_false(lane_wants_page(l, LANE_ROUTINE, &after));
	lane_open(l);
	assert_int_equal(next(l, LANE_ROUTINE, noon), 0);
	assert_true(lane_wants_page(l, LANE_ROUTINE, &after));
	assert_int_equal(after, 0);
	lane_page(l, LANE_ROUTINE, page, 2, true);
	assert_int_equal(next(l, LANE_ROUTINE, noon), 1);
	assert_int_equal(next(l, LANE_ROUTINE, noon), 2);
	assert_int_equal(lane_count(l, LANE_ROUTINE), 2);
	queue_free(q);
}

static void
test_a_million_items_are_a_window_in_memory(void **state)
{
	struct queue *q = queue_new();
	struct lane *l = queue_lane(q, "nke");
	uint64_t after, page[LANE_PAGE], seen = 0, last = 0;

	(void)state;
	lane_set_count(l, LANE_ROUTINE, 1000000);
	lane_open(l);
	while (lane_wants_page(l, LANE_ROUTINE, &after) && seen < 100000) {
		uint64_t ticket;
		for (size_t i = 0; i < LANE_PAGE; i++)
			page[i] = after + 1 + i;
		lane_page(l, LANE_ROUTINE, page, LANE_PAGE, false);
		while (lane_next(l, LANE_ROUTINE, noon, &ticket)) {
			assert_int_equal(ticket, last + 1);
			last = ticket;
			seen++;
			lane_gone(l, LANE_ROUTINE, ticket);
		}
	}
	assert_true(seen >= 100000);
	assert_int_equal(lane_count(l, LANE_ROUTINE), 1000000 - seen);
	queue_free(q);
}

static void
test_a_window_of_later_takes_no_more_pages(void **state)
{
	struct lane *l;
	struct queue *q = one_lane(&l);
	uint64_t after, ticket;

	(void)state;
	for (uint64_t i = 1; i <= LANE_WINDOW; i++)
		lane_added(l, LANE_ROUTINE, i);
	lane_added(l, LANE_ROUTINE, LANE_WINDOW + 1); /* one beyond: stays on disk */
	while (lane_next(l, LANE_ROUTINE, noon, &ticket))
		lane_later(l, LANE_ROUTINE, ticket, noon.mono_ms + 1000);
	assert_int_equal(ticket, LANE_WINDOW);
	assert_false(lane_wants_page(l, LANE_ROUTINE, &after));
	for (uint64_t i = 1; i <= LANE_PAGE; i++)
		lane_gone(l, LANE_ROUTINE, i);
	queue_free(q);
}

static void
test_an_item_added_while_a_page_holds_it_goes_once(void **state)
{
	struct lane *l;
	struct queue *q = one_lane(&l);
	uint64_t after, page[1] = { 7 };

	(void)state;
	lane_set_count(l, LANE_SLIPS, 0);
	lane_close(l);
	lane_added(l, LANE_SLIPS, 6);
	lane_open(l);
	assert_true(lane_wants_page(l, LANE_SLIPS, &after));
	lane_page(l, LANE_SLIPS, (uint64_t[]){ 6, 7 }, 2, true); /* 7 is committed, not yet told */
	lane_added(l, LANE_SLIPS, 7);
	assert_int_equal(next(l, LANE_SLIPS, noon), 6);
	assert_int_equal(next(l, LANE_SLIPS, noon), 7);
	assert_false(lane_wants_page(l, LANE_SLIPS, &after)); /* it holds all that was told */
	lane_page(l, LANE_SLIPS, page, 1, true);
	assert_int_equal(next(l, LANE_SLIPS, noon), 0);
	assert_int_equal(lane_count(l, LANE_SLIPS), 2);
	queue_free(q);
}

static void
test_retry_doubles_to_its_most(void **state)
{
	static const struct {
		unsigned attempts;
		int64_t wait_ms;
	} rows[] = {
		{ 1, RETRY_FIRST_MS },
		{ 2, 2 * RETRY_FIRST_MS },
		{ 3, 4 * RETRY_FIRST_MS },
		{ 10, 512 * RETRY_FIRST_MS },
		{ 11, RETRY_MAX_MS },
		{ 1000000, RETRY_MAX_MS },
	};
	struct retry r;

	(void)state;
	retry_init(&r, 0, 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		assert_int_equal(retry_wait_ms(&r, rows[i].attempts), rows[i].wait_ms);
	retry_init(&r, 200, 2000);
	assert_int_equal(retry_wait_ms(&r, 1), 200);
	assert_int_equal(retry_wait_ms(&r, 9), 2000);
}

static void
test_retry_jitters_and_forgets_at_a_sign_of_life(void **state)
{
	struct retry r;

	(void)state;
	retry_init(&r, 1000, 8000);
	retry_failed(&r, ERR_UNREACHABLE, 0, noon);
	assert_int_equal(r.next_ms, noon.mono_ms + 1000);
	retry_failed(&r, ERR_TIMEOUT, 500, noon);
	assert_int_equal(r.next_ms, noon.mono_ms + 2000 + 500);
	assert_int_equal(r.next_utc_ms, noon.utc_ms + 2500);
	assert_int_equal(r.why, ERR_TIMEOUT);
	retry_failed(&r, ERR_TIMEOUT, UINT32_MAX, noon);
	assert_in_range(r.next_ms - noon.mono_ms, 4000, 5000);
	assert_int_equal(r.attempts, 3);
	retry_alive(&r);
	assert_int_equal(r.next_ms, 0);
	assert_int_equal(r.attempts, 0);
	assert_int_equal(r.last_utc_ms, noon.utc_ms);
}

/* One commit gave tickets 1, 3 and 2, in that order of news. */
static void
test_news_out_of_order_leave_nothing_behind(void **state)
{
	struct lane *l;
	struct queue *q = one_lane(&l);
	uint64_t after;

	(void)state;
	lane_added(l, LANE_SLIPS, 1);
	assert_int_equal(next(l, LANE_SLIPS, noon), 1);
	lane_added(l, LANE_SLIPS, 3);
	assert_int_equal(next(l, LANE_SLIPS, noon), 3);
	lane_added(l, LANE_SLIPS, 2);
	assert_int_equal(next(l, LANE_SLIPS, noon), 2);
	assert_int_equal(next(l, LANE_SLIPS, noon), 0);
	assert_false(lane_wants_page(l, LANE_SLIPS, &after));
	assert_int_equal(after, 3);
	lane_added(l, LANE_SLIPS, 4);
	assert_int_equal(next(l, LANE_SLIPS, noon), 4);
	queue_free(q);
}

/* What was given once counts as gone, whatever becomes of the lane. */
static void
test_a_ticket_never_given_is_told_from_others(void **state)
{
	struct lane *l;
	struct queue *q = one_lane(&l);

	(void)state;
	lane_added(l, LANE_ROUTINE, 3);
	lane_added(l, LANE_ROUTINE, 5);
	assert_false(lane_has_tried(l, LANE_ROUTINE, 3));
	assert_int_equal(next(l, LANE_ROUTINE, noon), 3);
	lane_later(l, LANE_ROUTINE, 3, noon.mono_ms + 1000);
	lane_close(l);
	assert_true(lane_has_tried(l, LANE_ROUTINE, 3));
	assert_false(lane_has_tried(l, LANE_ROUTINE, 5));
	assert_false(lane_has_tried(l, LANE_URGENT, 3));
	lane_open(l);
	assert_true(lane_has_tried(l, LANE_ROUTINE, 2));
	assert_false(lane_has_tried(l, LANE_ROUTINE, 4));
	queue_free(q);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lane_is_found_by_name),
		cmocka_unit_test(test_items_go_in_order_each_once),
		cmocka_unit_test(test_news_out_of_order_leave_nothing_behind),
		cmocka_unit_test(test_later_waits_for_its_time),
		cmocka_unit_test(test_what_flew_when_the_lane_closed_goes_again),
		cmocka_unit_test(test_a_million_items_are_a_window_in_memory),
		cmocka_unit_test(test_a_window_of_later_takes_no_more_pages),
		cmocka_unit_test(test_an_item_added_while_a_page_holds_it_goes_once),
		cmocka_unit_test(test_a_ticket_never_given_is_told_from_others),
		cmocka_unit_test(test_retry_doubles_to_its_most),
		cmocka_unit_test(test_retry_jitters_and_forgets_at_a_sign_of_life),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
