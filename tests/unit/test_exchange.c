/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a validity query as a table of lives: Conf. 11.3, 3(a) to 3(e), 21. */
#include "daemon/office/exchange.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define T0 1796083200000LL /* 2026-12-01T00:00:00Z */
#define DAYS(n) ((int64_t)(n)*DAY_MS)
#define DUE (T0 + DAYS(14))
#define MAX 8

static Citex__Rule two_weeks = CITEX__RULE__INIT;

/* Messages in the making. */
struct tale {
	struct exchange_message m[MAX];
	struct exchange_asked asked[MAX][3];
	size_t count;
	struct exchange x;
};

static int
setup(void **state)
{
	two_weeks.id = (char *)(uintptr_t) "reply";
	two_weeks.version = 1;
	two_weeks.length = 14;
	two_weeks.unit = (char *)(uintptr_t) "day";
	*state = xalloc(sizeof(struct tale));
	return 0;
}

static int
teardown(void **state)
{
	struct tale *t = *state;

	exchange_release(&t->x);
	free(t);
	return 0;
}

static struct exchange_message *
say(struct tale *t, const char *kind, const char *author, uint8_t about, int64_t created_ms)
{
	struct exchange_message *m = &t->m[t->count];

	assert_true(t->count < MAX);
	*m = (struct exchange_message){ .kind = kind_by_name(kind),
		.author = author,
		.created_ms = created_ms,
		.is_final = true,
		.has_about = about != 0 };
	assert_non_null(m->kind);
	m->id.at[0] = (uint8_t)(t->count + 1);
	m->about.at[0] = about;
	m->begins = t->count == 0;
	t->count++;
	return m;
}

/* gb.ma asks ke.ma and, when STORED2 is not negative, tz.ma. */
static void
ask(struct tale *t, int64_t stored_ms, int64_t stored2_ms)
{
	struct exchange_asked *a = t->asked[t->count];
	struct exchange_message *m = say(t, "query", "gb.ma", 0, T0);

	a[0] = (struct exchange_asked){ "ke.ma", stored_ms, false };
	a[1] = (struct exchange_asked){ "tz.ma", stored2_ms, false };
	m->rule = &two_weeks;
	m->asked = a;
	m->asked_count = stored2_ms >= 0 ? 2 : 1;
}

static void
look(struct tale *t, int64_t now_ms)
{
	exchange_release(&t->x);
	exchange_fill(&t->x, t->m, t->count, now_ms);
}

/* What is sent all the same, and what its author hears of it. */
static void
test_exchange_says_what_moves_nothing(void **state)
{
	static const struct {
		const char *kind, *author, *before; /* BEFORE: a kind that is there already */
		int64_t until_ms;
		const char *words; /* a part of them; NULL: none */
	} rows[] = {
		{ "closing", "gb.ma", "reply", 0, NULL },
		{ "closing", "gb.ma", "closing", 0, "closed before" },
		{ "reply", "ke.ma", "query", 0, NULL },
		{ "reply", "ke.ma", "interim", 0, NULL },
		{ "reply", "ke.ma", "reply", 0, "answered this before" },
		{ "reply", "ke.ma", "closing", 0, "is closed" },
		{ "interim", "ke.ma", "query", DUE, "does not change" },
		{ "interim", "ke.ma", "query", DUE + 1, NULL },
		{ "interim", "ke.ma", "query", 0, NULL },
		{ "interim", "ke.ma", "reply", DUE + 1, "answered this before" },
		{ "note", "ke.ma", "closing", 0, NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct tale t = { .count = 0 };
		const struct kind *before = kind_by_name(rows[i].before);
		struct exchange_message *m;
		const char *words;

		ask(&t, T0, -1);
		if (before->effect != EFFECT_ASKS)
			say(&t, rows[i].before, before->effect == EFFECT_CLOSES ? "gb.ma" : "ke.ma",
			    1, T0 + 1);
		look(&t, T0 + 2);
		m = say(&t, rows[i].kind, rows[i].author, 1, T0 + 2);
		m->until_ms = rows[i].until_ms;
		words = exchange_advice(&t.x, m);
		if ((words == NULL) != (rows[i].words == NULL) ||
		    (words != NULL && strstr(words, rows[i].words) == NULL))
			fail_msg("%s after %s: %s", rows[i].kind, rows[i].before,
			    words == NULL ? "nothing" : words);
		exchange_release(&t.x);
	}
}

/* 3(c): nothing is due before both sides hold the receipt. */
static void
test_exchange_not_delivered_has_no_due(void **state)
{
	struct tale *t = *state;

	ask(t, 0, -1);
	look(t, T0 + DAYS(100));
	assert_int_equal(t->x.status, EXCHANGE_OPEN);
	assert_int_equal(t->x.clocks[0].due_ms, 0);
	assert_false(exchange_clock_is_overdue(&t->x.clocks[0], T0 + DAYS(100)));
	assert_int_equal(exchange_next_ms(&t->x, T0), INT64_MAX);
}

/* 3(c): two weeks from the receipt, to the millisecond. */
static void
test_exchange_is_due_two_weeks_after_the_receipt(void **state)
{
	struct tale *t = *state;

	ask(t, T0, -1);
	look(t, DUE);
	assert_int_equal(t->x.clocks[0].due_ms, DUE);
	assert_false(exchange_clock_is_overdue(&t->x.clocks[0], DUE));
	assert_false(t->x.clocks[0].was_overdue);
	assert_int_equal(exchange_next_ms(&t->x, DUE), DUE + 1);
	look(t, DUE + 1);
	assert_true(exchange_clock_is_overdue(&t->x.clocks[0], DUE + 1));
	assert_true(t->x.clocks[0].was_overdue);
}

static void
test_exchange_is_due_soon_two_days_before(void **state)
{
	struct tale *t = *state;

	ask(t, T0, -1);
	look(t, T0);
	assert_false(exchange_clock_is_due_soon(&t->x.clocks[0], DUE - DUE_SOON_MS));
	assert_true(exchange_clock_is_due_soon(&t->x.clocks[0], DUE - DUE_SOON_MS + 1));
	assert_true(exchange_clock_is_due_soon(&t->x.clocks[0], DUE));
	assert_false(exchange_clock_is_due_soon(&t->x.clocks[0], DUE + 1));
}

/* Silence is not refusal, and no answer: no lapse of time changes the state. */
static void
test_exchange_silence_is_never_an_answer(void **state)
{
	struct tale *t = *state;

	ask(t, T0, -1);
	look(t, T0 + DAYS(3650));
	assert_int_equal(t->x.status, EXCHANGE_OPEN);
	assert_int_equal(t->x.clocks[0].answered_ms, 0);
	assert_null(t->x.outcome);
}

static void
test_exchange_an_answer_stops_the_clock(void **state)
{
	struct tale *t = *state;

	ask(t, T0, -1);
	say(t, "reply", "ke.ma", 1, T0 + DAYS(3));
	look(t, T0 + DAYS(100));
	assert_int_equal(t->x.status, EXCHANGE_ANSWERED);
	assert_int_equal(t->x.clocks[0].answered_ms, T0 + DAYS(3));
	assert_false(t->x.clocks[0].was_overdue);
}

/* An answer that came late answers, and stays late. */
static void
test_exchange_a_late_answer_was_overdue(void **state)
{
	struct tale *t = *state;

	ask(t, T0, -1);
	say(t, "reply", "ke.ma", 1, DUE + 1);
	look(t, T0 + DAYS(100));
	assert_int_equal(t->x.status, EXCHANGE_ANSWERED);
	assert_true(t->x.clocks[0].was_overdue);
}

/* Ids follow their authors' clocks: a fast asker's question stands after the answer. */
/* Dated back by its author: our node knows when it came. */
static void
test_exchange_an_answer_that_came_late_was_overdue(void **state)
{
	struct tale *t = *state;
	struct exchange_message *m;

	ask(t, T0, -1);
	m = say(t, "reply", "ke.ma", 1, T0 + DAYS(10));
	m->arrived_ms = DUE;
	look(t, DUE + DAYS(20));
	assert_false(t->x.clocks[0].was_overdue);
	m->arrived_ms = DUE + 1;
	look(t, DUE + DAYS(20));
	assert_true(t->x.clocks[0].was_overdue);
	assert_int_equal(t->x.status, EXCHANGE_ANSWERED);
}

static void
test_exchange_the_answer_may_stand_before_the_question(void **state)
{
	struct tale *t = *state;
	struct exchange_message swap;

	ask(t, T0, -1);
	say(t, "reply", "ke.ma", 1, T0 - HOUR_MS);
	swap = t->m[0];
	t->m[0] = t->m[1];
	t->m[1] = swap;
	look(t, T0 + DAYS(100));
	assert_int_equal(t->x.status, EXCHANGE_ANSWERED);
}

/* 3(c), 21(a): an interim answer moves the date to the end of its day, never earlier. */
static void
test_exchange_interim_answers_move_the_date_later_only(void **state)
{
	static const struct {
		int64_t until_ms, due_ms;
	} rows[] = { { T0 + DAYS(20), T0 + DAYS(20) }, { DUE + 1, DUE + 1 }, { DUE, DUE },
		{ T0 + DAYS(2), DUE }, { 0, DUE } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct tale t = { 0 };
		ask(&t, T0, -1);
		say(&t, "interim", "ke.ma", 1, T0 + DAYS(1))->until_ms = rows[i].until_ms;
		look(&t, T0 + DAYS(1));
		assert_int_equal(t.x.status, EXCHANGE_OPEN);
		assert_int_equal(t.x.clocks[0].due_ms, rows[i].due_ms);
		exchange_release(&t.x);
	}
	(void)state;
}

static void
test_exchange_a_second_interim_answer_never_goes_back(void **state)
{
	struct tale *t = *state;

	ask(t, T0, -1);
	say(t, "interim", "ke.ma", 1, T0 + DAYS(1))->until_ms = T0 + DAYS(30);
	say(t, "interim", "ke.ma", 1, T0 + DAYS(2))->until_ms = T0 + DAYS(20);
	look(t, T0 + DAYS(3));
	assert_int_equal(t->x.clocks[0].due_ms, T0 + DAYS(30));
	assert_int_equal(t->x.clocks[0].until_ms, T0 + DAYS(30));
}

/* What was overdue when the interim answer was written stays so. */
static void
test_exchange_a_late_interim_answer_hides_nothing(void **state)
{
	struct tale *t = *state;

	ask(t, T0, -1);
	say(t, "interim", "ke.ma", 1, DUE + DAYS(1))->until_ms = DUE + DAYS(30);
	look(t, DUE + DAYS(2));
	assert_false(exchange_clock_is_overdue(&t->x.clocks[0], DUE + DAYS(2)));
	assert_true(t->x.clocks[0].was_overdue);
	say(t, "reply", "ke.ma", 1, DUE + DAYS(3));
	look(t, DUE + DAYS(4));
	assert_int_equal(t->x.status, EXCHANGE_ANSWERED);
	assert_true(t->x.clocks[0].was_overdue);
}

static void
test_exchange_an_interim_answer_after_the_answer_moves_nothing(void **state)
{
	struct tale *t = *state;

	ask(t, T0, -1);
	say(t, "reply", "ke.ma", 1, T0 + DAYS(3));
	say(t, "interim", "ke.ma", 1, T0 + DAYS(4))->until_ms = T0 + DAYS(40);
	look(t, T0 + DAYS(5));
	assert_int_equal(t->x.status, EXCHANGE_ANSWERED);
	assert_int_equal(t->x.clocks[0].due_ms, DUE);
}

/* `Cannot tell' does not end the wait. */
static void
test_exchange_an_answer_that_is_not_final_leaves_it_open(void **state)
{
	struct tale *t = *state;

	ask(t, T0, -1);
	say(t, "reply", "ke.ma", 1, T0 + DAYS(3))->is_final = false;
	look(t, DUE + 1);
	assert_int_equal(t->x.status, EXCHANGE_OPEN);
	assert_true(exchange_clock_is_overdue(&t->x.clocks[0], DUE + 1));
}

/* 3(a)(i): two are asked at once, each with its own clock and answer. */
static void
test_exchange_two_addressees_have_their_own_clocks(void **state)
{
	struct tale *t = *state;

	ask(t, T0, T0 + DAYS(5));
	say(t, "interim", "ke.ma", 1, T0 + DAYS(6))->until_ms = T0 + DAYS(40);
	look(t, T0 + DAYS(19) + 1);
	assert_int_equal(t->x.clock_count, 2);
	assert_int_equal(t->x.clocks[0].due_ms, T0 + DAYS(40));
	assert_int_equal(t->x.clocks[1].due_ms, T0 + DAYS(19));
	assert_true(t->x.clocks[1].was_overdue);
	assert_false(t->x.clocks[0].was_overdue);
	say(t, "reply", "ke.ma", 1, T0 + DAYS(7));
	look(t, T0 + DAYS(8));
	assert_int_equal(t->x.status, EXCHANGE_OPEN);
	say(t, "reply", "tz.ma", 1, T0 + DAYS(9));
	look(t, T0 + DAYS(10));
	assert_int_equal(t->x.status, EXCHANGE_ANSWERED);
}

/* Nobody answers for another. */
static void
test_exchange_a_stranger_answers_nothing(void **state)
{
	struct tale *t = *state;

	ask(t, T0, -1);
	say(t, "reply", "so.ma", 1, T0 + DAYS(3));
	say(t, "interim", "so.ma", 1, T0 + DAYS(3))->until_ms = T0 + DAYS(90);
	look(t, DUE + 1);
	assert_int_equal(t->x.status, EXCHANGE_OPEN);
	assert_int_equal(t->x.clocks[0].due_ms, DUE);
}

static void
test_exchange_an_answer_to_another_message_answers_nothing(void **state)
{
	struct tale *t = *state;

	ask(t, T0, -1);
	say(t, "reply", "ke.ma", 7, T0 + DAYS(3));
	look(t, T0 + DAYS(4));
	assert_int_equal(t->x.status, EXCHANGE_OPEN);
}

/* A refused or expired envelope ends that addressee's clock; nobody is late for what never came. */
static void
test_exchange_refused_ends_one_clock(void **state)
{
	struct tale *t = *state;

	ask(t, T0, 0);
	t->asked[0][1].ended = true;
	look(t, DUE + 1);
	assert_int_equal(t->x.status, EXCHANGE_OPEN);
	assert_false(exchange_clock_is_overdue(&t->x.clocks[1], DUE + 1));
	say(t, "reply", "ke.ma", 1, T0 + DAYS(3));
	look(t, DUE + 1);
	assert_int_equal(t->x.status, EXCHANGE_ANSWERED);
}

static void
test_exchange_who_asked_closes_with_an_outcome(void **state)
{
	struct tale *t = *state;

	ask(t, T0, -1);
	say(t, "closing", "gb.ma", 1, T0 + DAYS(3))->outcome = "REFUSED";
	look(t, DUE + DAYS(10));
	assert_int_equal(t->x.status, EXCHANGE_CLOSED);
	assert_string_equal(t->x.outcome, "REFUSED");
	assert_false(exchange_clock_is_overdue(&t->x.clocks[0], DUE + DAYS(10)));
	assert_false(t->x.clocks[0].was_overdue);
	assert_int_equal(exchange_next_ms(&t->x, T0), INT64_MAX);
}

static void
test_exchange_closing_late_keeps_that_it_was_overdue(void **state)
{
	struct tale *t = *state;

	ask(t, T0, -1);
	say(t, "closing", "gb.ma", 1, DUE + DAYS(1))->outcome = "REFUSED";
	look(t, DUE + DAYS(2));
	assert_int_equal(t->x.status, EXCHANGE_CLOSED);
	assert_true(t->x.clocks[0].was_overdue);
}

/* Who is asked can't close the question by itself. */
static void
test_exchange_nobody_else_closes(void **state)
{
	struct tale *t = *state;

	ask(t, T0, -1);
	say(t, "closing", "ke.ma", 1, T0 + DAYS(3))->outcome = "REFUSED";
	look(t, DUE + 1);
	assert_int_equal(t->x.status, EXCHANGE_OPEN);
	assert_null(t->x.outcome);
	assert_true(exchange_clock_is_overdue(&t->x.clocks[0], DUE + 1));
}

static void
test_exchange_a_kind_not_known_here_changes_nothing(void **state)
{
	struct tale *t = *state;

	ask(t, T0, -1);
	say(t, "note", "ke.ma", 1, T0 + 1)->kind = NULL;
	look(t, T0 + DAYS(1));
	assert_int_equal(t->x.status, EXCHANGE_OPEN);
	assert_string_equal(exchange_status_word(t->x.status), "open");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		T(test_exchange_says_what_moves_nothing),
		T(test_exchange_not_delivered_has_no_due),
		T(test_exchange_is_due_two_weeks_after_the_receipt),
		T(test_exchange_is_due_soon_two_days_before),
		T(test_exchange_silence_is_never_an_answer),
		T(test_exchange_an_answer_stops_the_clock),
		T(test_exchange_a_late_answer_was_overdue),
		T(test_exchange_an_answer_that_came_late_was_overdue),
		T(test_exchange_the_answer_may_stand_before_the_question),
		T(test_exchange_interim_answers_move_the_date_later_only),
		T(test_exchange_a_second_interim_answer_never_goes_back),
		T(test_exchange_a_late_interim_answer_hides_nothing),
		T(test_exchange_an_interim_answer_after_the_answer_moves_nothing),
		T(test_exchange_an_answer_that_is_not_final_leaves_it_open),
		T(test_exchange_two_addressees_have_their_own_clocks),
		T(test_exchange_a_stranger_answers_nothing),
		T(test_exchange_an_answer_to_another_message_answers_nothing),
		T(test_exchange_refused_ends_one_clock),
		T(test_exchange_who_asked_closes_with_an_outcome),
		T(test_exchange_closing_late_keeps_that_it_was_overdue),
		T(test_exchange_nobody_else_closes),
		T(test_exchange_a_kind_not_known_here_changes_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
