/* SPDX-License-Identifier: Apache-2.0 */
#include <libintl.h>
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "cli/said.h"
#include "proto/kind.h"

/* With the catalogue that is installed. "C": English. */
static void
speak(const char *language)
{
	setenv("LANGUAGE", language, 1);
	setlocale(LC_MESSAGES, strcmp(language, "C") == 0 ? "C" : "C.UTF-8");
	bindtextdomain("citex", PO_FOLDER);
	textdomain("citex");
}

static void
assert_said(const char *language, const char *text, const char *expected)
{
	struct buffer out = { 0 };
	speak(language);
	said_append(text, &out);
	assert_string_equal(buffer_text(&out), expected);
	buffer_release(&out);
}

static void
test_sentences_are_found_again_with_their_parameters(void **state)
{
	(void)state;
	assert_said("fr", "is needed", "est nécessaire");
	assert_said("fr", "release: is needed", "release: est nécessaire");
	assert_said("fr", "there is no authority xx.ma; `citex directory' lists them",
	    "il n'y a pas d'autorité xx.ma ; « citex directory » les énumère");
	assert_said("es", "TLP:RED is for you alone; ask ke.kws for permission",
	    "TLP:RED es solo para usted; pida permiso a ke.kws");
	assert_said("es", "ke.ma may not send a alert to gb.ma (3(d))",
	    "ke.ma no puede enviar un mensaje «alerta» a gb.ma (3(d))");
	assert_said("fr", "is longer than 70 characters", "dépasse 70 caractères");
	assert_said("es", "way to ke", "camino a ke");
	assert_said("fr", "ke.ma, key 0a1b", "ke.ma, clé 0a1b");
	assert_said("fr", "1 message", "1 message");
	assert_said("es", "2 messages", "2 mensajes");
	assert_said(
	    "fr", "number 5, fresh until 2027-01-01", "numéro 5, valable jusqu'au 2027-01-01");
	assert_said("fr", "number 5, fresh until 2027-01-01: past its time, no new key is accepted",
	    "numéro 5, valable jusqu'au 2027-01-01 : périmé, aucune nouvelle clé n'est acceptée");
	assert_said("fr", "12 % of 64 MiB in use", "12 % de 64 Mio utilisés");
	assert_said("fr", "99 % of 64 MiB in use: nothing new is accepted",
	    "99 % de 64 Mio utilisés : rien de nouveau n'est accepté");
	assert_said("fr", "0.3 s behind the other nodes", "0,3 s en retard sur les autres nœuds");
	assert_said("fr", "revoked: no other node lets this one in",
	    "révoquée : aucun autre nœud ne laisse entrer celui-ci");
}

static void
test_what_is_not_known_stays(void **state)
{
	static const char *const texts[] = { "", "there is no authority zz.ma", "%s", "is longer",
		"Project-Id-Version", "1.5 ms" };
	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		assert_said("fr", texts[i], texts[i]);
	assert_said("C", "is needed", "is needed");
	assert_said("C", "ke.ma, key 0a1b", "ke.ma, key 0a1b");
}

/* A parameter that is a word of ours, but came from elsewhere. */
static void
test_values_are_not_translated(void **state)
{
	(void)state;
	assert_said("fr", "`title' is not in the list outcomes",
	    "« title » n'est pas dans la liste outcomes");
	speak("fr");
	assert_string_equal(said_word("stored"), "stocké");
	assert_string_equal(said_word("title"), "title");
	assert_string_equal(said_word(""), "");
}

static void
test_every_kind_and_code_name_has_words(void **state)
{
	static const char *const lists[] = { "outcomes", "closings", "boxes", "query_reasons",
		"fraud_kinds", "purposes", "permit_types", "transport_modes" };
	(void)state;
	speak("fr");
	for (size_t i = 0; kinds[i] != NULL; i++) {
		/* In French some are the same. */
		bool same =
		    strcmp(kinds[i]->name, "note") == 0 || strcmp(kinds[i]->name, "fraud") == 0;
		assert_true(same || strcmp(said_word(kinds[i]->name), kinds[i]->name) != 0);
		assert_string_not_equal(gettext(kinds[i]->summary), kinds[i]->summary);
	}
	for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++) {
		const struct code_list *list = codes_find(lists[i]);
		assert_string_not_equal(said_name(list, list->rows), list->rows->name);
	}
	speak("C");
	assert_string_equal(
	    said_name(codes_find("purposes"), codes_find("purposes")->rows), "Commercial");
}

/* A sentence of the checks that has parameters stands in cli/said.c too. */
static void
test_refusals_of_forms_are_said(void **state)
{
	struct kind_problem problem = { 0 };
	(void)state;
	assert_int_equal(check_length("abc", 2, "permit.number", &problem), ERR_VALUE);
	assert_said("fr", problem.words, "dépasse 2 caractères");
	assert_int_equal(check_needed("", "text", &problem), ERR_VALUE);
	assert_said("es", problem.words, "es necesario");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sentences_are_found_again_with_their_parameters),
		cmocka_unit_test(test_what_is_not_known_stays),
		cmocka_unit_test(test_values_are_not_translated),
		cmocka_unit_test(test_every_kind_and_code_name_has_words),
		cmocka_unit_test(test_refusals_of_forms_are_said),
	};
	setlocale(LC_CTYPE, "C.UTF-8");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
