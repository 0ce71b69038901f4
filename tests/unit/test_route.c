/* SPDX-License-Identifier: Apache-2.0 */
/* Threat T8 by table: who may hand over what, and where it goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/post/route.h"
#include "pki/ossl.h"
#include "tests/parcel.h"

static struct fixture *fixture;

/* One node of the story, as it is set up. */
static struct route_self
self_of(const char *node)
{
	static const char *const at_gb[] = { "gb.ma", "gb.border-force", NULL };
	static const char *const at_ke[] = { "ke.ma", "ke.kws", NULL };
	static const char *const at_secretariat[] = { "secretariat", NULL };
	static const char *const at_so[] = { "so.ma", NULL };
	static const char *const relay_for[] = { "so", NULL };
	struct route_self self = { .node = node, .directory = fixture_directory(fixture) };

	self.offices = strcmp(node, "gb") == 0 ? at_gb
	    : strcmp(node, "ke") == 0          ? at_ke
	    : strcmp(node, "so") == 0          ? at_so
					       : at_secretariat;
	if (strcmp(node, "secretariat") == 0)
		self.relay_for = relay_for;
	return self;
}

#define STORED CITEX__SLIP_TYPE__SLIP_STORED
#define RELAYED CITEX__SLIP_TYPE__SLIP_RELAYED
#define NONE CITEX__SLIP_TYPE__SLIP_NONE

static void
test_envelopes_by_table(void **state)
{
	static const struct {
		const char *here, *from;
		bool office;
		const char *author, *addressee;
		enum verdict verdict;
		enum err reason;
		const char *to;
		Citex__SlipType slip;
	} rows[] = {
		/* offices speak for themselves, to anybody */
		{ "gb", "gb.ma", true, "gb.ma", "ke.ma", VERDICT_TAKE, OK, "nke", NONE },
		{ "gb", "gb.ma", true, "gb.ma", "gb.border-force", VERDICT_TAKE, OK,
		    "ogb.border-force", STORED },
		{ "gb", "gb.ma", true, "gb.border-force", "ke.ma", VERDICT_BREAK, ERR_IDENTITY, "",
		    NONE },
		{ "gb", "gb.ma", true, "ke.ma", "gb.ma", VERDICT_BREAK, ERR_IDENTITY, "", NONE },
		{ "gb", "gb.ma", true, "gb.ma", "zz.ma", VERDICT_REFUSE, ERR_UNKNOWN_AUTHORITY, "",
		    NONE },
		/* a node speaks for its own authorities */
		{ "ke", "gb", false, "gb.ma", "ke.ma", VERDICT_TAKE, OK, "oke.ma", STORED },
		{ "ke", "gb", false, "gb.border-force", "ke.kws", VERDICT_TAKE, OK, "oke.kws",
		    STORED },
		{ "ke", "secretariat", false, "gb.ma", "ke.ma", VERDICT_LATER, ERR_IDENTITY, "",
		    NONE },
		{ "ke", "gb", false, "secretariat", "ke.ma", VERDICT_LATER, ERR_IDENTITY, "",
		    NONE },
		{ "ke", "gb", false, "ke.kws", "ke.ma", VERDICT_LATER, ERR_IDENTITY, "", NONE },
		{ "ke", "gb", false, "zz.ma", "ke.ma", VERDICT_LATER, ERR_UNKNOWN_AUTHORITY, "",
		    NONE },
		/* a relay speaks for the nodes that name it, and no other node does */
		{ "ke", "secretariat", false, "so.ma", "ke.ma", VERDICT_TAKE, OK, "oke.ma",
		    STORED },
		{ "ke", "gb", false, "so.ma", "ke.ma", VERDICT_LATER, ERR_IDENTITY, "", NONE },
		{ "ke", "so", false, "so.ma", "ke.ma", VERDICT_TAKE, OK, "oke.ma", STORED },
		/* and hands its own nodes what others wrote */
		{ "so", "secretariat", false, "gb.ma", "so.ma", VERDICT_TAKE, OK, "oso.ma",
		    STORED },
		{ "so", "ke", false, "gb.ma", "so.ma", VERDICT_LATER, ERR_IDENTITY, "", NONE },
		/* it relays for its own configuration only, both ways */
		{ "secretariat", "gb", false, "gb.ma", "so.ma", VERDICT_TAKE, OK, "nso", RELAYED },
		{ "secretariat", "so", false, "so.ma", "gb.ma", VERDICT_TAKE, OK, "ngb", NONE },
		{ "secretariat", "gb", false, "gb.ma", "ke.ma", VERDICT_REFUSE, ERR_DENIED, "",
		    NONE },
		{ "secretariat", "ke", false, "gb.ma", "so.ma", VERDICT_LATER, ERR_IDENTITY, "",
		    NONE },
		/* not for us */
		{ "ke", "gb", false, "gb.ma", "so.ma", VERDICT_REFUSE, ERR_DENIED, "", NONE },
		{ "ke", "gb", false, "gb.ma", "zz.ma", VERDICT_REFUSE, ERR_UNKNOWN_AUTHORITY, "",
		    NONE },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct route_self self = self_of(rows[i].here);
		struct route_from from = { rows[i].office, rows[i].from, 1 };
		Citex__Outer outer = CITEX__OUTER__INIT;
		struct envelope e = { .outer = &outer };
		struct route r;

		outer.author = (char *)(uintptr_t)rows[i].author;
		outer.addressee = (char *)(uintptr_t)rows[i].addressee;
		route_envelope(&self, &from, &e, &r);
		if (r.verdict != rows[i].verdict || r.reason != rows[i].reason)
			fail_msg(
			    "row %zu: verdict %d, reason %s", i, r.verdict, err_name(r.reason));
		assert_string_equal(r.to, rows[i].to);
		if (r.verdict == VERDICT_TAKE)
			assert_int_equal(r.slip, rows[i].slip);
	}
}

static void
test_a_peer_with_a_newer_directory_is_believed_to_know_more(void **state)
{
	static const struct {
		const char *author, *addressee;
	} rows[] = {
		{ "gb.ma", "zz.ma" },
		{ "gb.ma", "so.ma" },
		{ "secretariat", "ke.ma" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct route_self self = self_of("ke");
		struct route_from from = { false, "gb", 2 };
		Citex__Outer outer = CITEX__OUTER__INIT;
		struct envelope e = { .outer = &outer };
		struct route r;

		outer.author = (char *)(uintptr_t)rows[i].author;
		outer.addressee = (char *)(uintptr_t)rows[i].addressee;
		route_envelope(&self, &from, &e, &r);
		assert_int_equal(r.verdict, VERDICT_LATER);
		assert_true(r.ask);
	}
}

static void
test_an_authority_of_ours_without_an_office_waits(void **state)
{
	static const char *const offices[] = { "ke.ma", NULL };
	struct route_self self = self_of("ke");
	struct route_from from = { false, "gb", 1 };
	Citex__Outer outer = CITEX__OUTER__INIT;
	struct envelope e = { .outer = &outer };
	struct route r;

	(void)state;
	self.offices = offices;
	outer.author = (char *)(uintptr_t) "gb.ma";
	outer.addressee = (char *)(uintptr_t) "ke.kws";
	route_envelope(&self, &from, &e, &r);
	assert_int_equal(r.verdict, VERDICT_LATER);
	assert_int_equal(r.reason, ERR_UNREACHABLE);
}

static void
test_slips_by_table(void **state)
{
	static const struct {
		const char *here, *from;
		bool office;
		const char *maker, *to;
		enum verdict verdict;
		const char *lane;
	} rows[] = {
		{ "ke", "ke.ma", true, "ke.ma", "gb.ma", VERDICT_TAKE, "ngb" },
		{ "ke", "ke.ma", true, "ke.ma", "ke.kws", VERDICT_TAKE, "oke.kws" },
		{ "ke", "ke.ma", true, "ke.kws", "gb.ma", VERDICT_BREAK, "" },
		{ "ke", "ke.ma", true, "ke.ma", "so.ma", VERDICT_TAKE, "nso" },
		{ "gb", "ke", false, "ke.ma", "gb.ma", VERDICT_TAKE, "ogb.ma" },
		{ "gb", "secretariat", false, "so", "gb.ma", VERDICT_TAKE, "ogb.ma" },
		{ "secretariat", "ke", false, "ke", "so.ma", VERDICT_TAKE, "nso" },
		{ "secretariat", "so", false, "so", "gb.ma", VERDICT_TAKE, "ngb" },
		/* nobody else's postman, and no way back to where it came from */
		{ "gb", "ke", false, "ke", "secretariat", VERDICT_REFUSE, "" },
		{ "secretariat", "so", false, "so", "so.ma", VERDICT_REFUSE, "" },
		{ "gb", "ke", false, "ke", "zz.ma", VERDICT_REFUSE, "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct route_self self = self_of(rows[i].here);
		struct route_from from = { rows[i].office, rows[i].from, 1 };
		Citex__SlipBody body = CITEX__SLIP_BODY__INIT;
		struct slip s = { .body = &body };
		struct route r;

		body.maker = (char *)(uintptr_t)rows[i].maker;
		body.to = (char *)(uintptr_t)rows[i].to;
		route_slip(&self, &from, &s, &r);
		if (r.verdict != rows[i].verdict)
			fail_msg("row %zu: verdict %d", i, r.verdict);
		if (r.verdict == VERDICT_TAKE)
			assert_string_equal(r.to, rows[i].lane);
	}
}

static int
begin(void **state)
{
	(void)state;
	assert_int_equal(ossl_init(), OK);
	fixture = fixture_new();
	return 0;
}

static int
finish(void **state)
{
	(void)state;
	fixture_free(fixture);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_envelopes_by_table),
		cmocka_unit_test(test_a_peer_with_a_newer_directory_is_believed_to_know_more),
		cmocka_unit_test(test_an_authority_of_ours_without_an_office_waits),
		cmocka_unit_test(test_slips_by_table),
	};

	return cmocka_run_group_tests(tests, begin, finish);
}
