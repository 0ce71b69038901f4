/* SPDX-License-Identifier: Apache-2.0 */
/* Who may pass what on to whom: every label, every relation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "proto/handling.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static void
test_tlp_labels_are_ranked_and_read_as_people_write_them(void **state)
{
	static const struct {
		const char *text, *label;
		int rank;
	} rows[] = {
		{ "clear", "CLEAR", 0 },
		{ "TLP:GREEN", "GREEN", 1 },
		{ "amber", "AMBER", 2 },
		{ "tlp:amber+strict", "AMBER+STRICT", 3 },
		{ "Red", "RED", 4 },
	};
	static const char *const bad[] = { "", "TLP:", "white", "amber strict", "ambre",
		"TLP:TLP:RED", "RED " };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_string_equal(tlp_label(rows[i].text), rows[i].label);
		assert_int_equal(tlp_rank(rows[i].label), rows[i].rank);
	}
	for (size_t i = 0; i < COUNT(bad); i++) {
		assert_null(tlp_label(bad[i]));
		assert_int_equal(tlp_rank(bad[i]), -1);
	}
	assert_int_equal(tlp_rank("amber"), -1); /* only the standard's spelling is a label */
}

/* FROM ke.kws, to gb.border-force. */
static void
test_handling_each_label_to_each_relation(void **state)
{
	static const struct {
		const char *label;
		bool inside, same_party, other, sender, named;
	} rows[] = {
		{ "CLEAR", true, true, true, true, true },
		{ "GREEN", true, true, true, true, true },
		{ "AMBER", true, true, false, true, true },
		{ "AMBER+STRICT", true, false, false, true, true },
		{ "RED", false, false, false, true, true },
		{ "", false, false, false, true, true },
		{ "amber", false, false, false, true, true },
		{ "WHITE", false, false, false, true, true },
	};
	char *named[] = { "fr.ma", "so.ma" };
	char why[HANDLING_WHY_BYTES];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		Citex__Handling h = CITEX__HANDLING__INIT;
		const struct {
			const char *to;
			bool allowed;
		} to[] = {
			{ "gb.border-force", rows[i].inside },
			{ "gb.ma", rows[i].same_party },
			{ "us.ma", rows[i].other },
			{ "ke.ma", rows[i].other },
			{ "gbx.ma", rows[i].other },
			{ "ke.kws", rows[i].sender },
			{ "so.ma", rows[i].named },
		};

		h.tlp = (char *)(uintptr_t)rows[i].label;
		h.n_audience = COUNT(named);
		h.audience = named;
		for (size_t k = 0; k < COUNT(to); k++) {
			bool allowed =
			    handling_allows(&h, "ke.kws", "gb.border-force", to[k].to, why);
			if (allowed != to[k].allowed)
				fail_msg("%s to %s: %d", rows[i].label, to[k].to, allowed);
			assert_int_equal(why[0] == '\0', allowed);
		}
	}
}

static void
test_handling_says_why_not_and_whom_to_ask(void **state)
{
	Citex__Handling h = CITEX__HANDLING__INIT;
	char why[HANDLING_WHY_BYTES];

	(void)state;
	h.tlp = "AMBER";
	assert_false(handling_allows(&h, "ke.kws", "gb.border-force", "so.ma", why));
	assert_string_equal(
	    why, "TLP:AMBER stays with the authorities of your Party; ask ke.kws for permission");
	assert_false(handling_allows(NULL, "ke.kws", "gb.border-force", "so.ma", why));
	assert_string_equal(why, "it carries no handling label that is known here");
}

static void
test_handling_the_author_disposes_of_its_own(void **state)
{
	Citex__Handling h = CITEX__HANDLING__INIT;
	char why[HANDLING_WHY_BYTES];

	(void)state;
	h.tlp = "RED";
	assert_true(handling_allows(&h, "ke.kws", "ke.kws", "so.ma", why));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tlp_labels_are_ranked_and_read_as_people_write_them),
		cmocka_unit_test(test_handling_each_label_to_each_relation),
		cmocka_unit_test(test_handling_says_why_not_and_whom_to_ask),
		cmocka_unit_test(test_handling_the_author_disposes_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
