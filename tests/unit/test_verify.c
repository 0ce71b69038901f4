/* SPDX-License-Identifier: Apache-2.0 */
/* citex verify on bundles that are right, and on bundles that lie. */
#include <dirent.h>
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "cli/command.h"
#include "pki/files.h"
#include "pki/ossl.h"
#include "pki/slip.h"
#include "tests/mail.h"

#define SLIP_FILE "slips/one-stored.slip"

static struct fixture *fixture;
static char place[64], bundle[80];
static struct buffer signed_data;
static struct envelope envelope;

static void
write_part(const char *name, struct bytes what)
{
	char path[160];
	snprintf(path, sizeof(path), "%s/%s", bundle, name);
	assert_int_equal(file_replace(path, what, 0600), OK);
}

static void
make_slip(Citex__SlipType type, const char *maker, enum cert_use use, const struct envelope *about,
    struct buffer *packed)
{
	struct slip_draft draft = { .type = type,
		.about = about,
		.to = "gb.ma",
		.maker = maker,
		.time_ms = FIXTURE_NOW_MS,
		.directory = 1 };
	if (about != NULL) {
		draft.envelope_id = about->id;
		memcpy(draft.outer_digest, about->digest, DIGEST_BYTES);
	}
	assert_int_equal(slips_make(fixture_key(fixture, maker, use), &draft, 1, packed), OK);
}

static void
remove_all(const char *path)
{
	DIR *dir = opendir(path);
	if (dir == NULL) {
		unlink(path);
		return;
	}
	for (struct dirent *e; (e = readdir(dir)) != NULL;) {
		char inner[512];
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		snprintf(inner, sizeof(inner), "%s/%s", path, e->d_name);
		remove_all(inner);
	}
	closedir(dir);
	rmdir(path);
}

/* A note from gb.ma to ke.ma, and that ke's node has stored it. */
static int
make_bundle(void **state)
{
	static const char *const folders[] = { "", "/messages", "/slips", "/directory" };
	struct directory *d = fixture_directory(fixture);
	struct mail_plan plan = { 0 };
	struct buffer packed = { 0 }, slip = { 0 }, head = { 0 };
	(void)state;
	snprintf(place, sizeof(place), "/tmp/citex-verify-XXXXXX");
	assert_non_null(mkdtemp(place));
	snprintf(bundle, sizeof(bundle), "%s/bundle", place);
	for (size_t i = 0; i < 4; i++) {
		char path[128];
		snprintf(path, sizeof(path), "%s%s", bundle, folders[i]);
		assert_int_equal(mkdir(path, 0700), 0);
	}
	mail_make(fixture, &plan, &packed, &signed_data);
	assert_int_equal(envelope_parse(buffer_bytes(&packed), &envelope), OK);
	proto_pack(&directory_signed_head(d)->base, &head);
	write_part("directory/1.head", buffer_bytes(&head));
	write_part("directory/1.contents", directory_contents(d));
	write_part("messages/one.cms", buffer_bytes(&signed_data));
	write_part("slips/one.outer", bytes_of_pb(envelope.pb->outer));
	make_slip(CITEX__SLIP_TYPE__SLIP_STORED, "ke", USE_RECEIPTS, &envelope, &slip);
	write_part(SLIP_FILE, buffer_bytes(&slip));
	buffer_release(&packed);
	buffer_release(&slip);
	buffer_release(&head);
	return 0;
}

static int
remove_bundle(void **state)
{
	(void)state;
	envelope_release(&envelope);
	buffer_wipe(&signed_data);
	remove_all(place);
	return 0;
}

/* Run `citex verify BUNDLE ...'; TEXT gets what it printed, 8 KiB. */
static enum err
verify(char *text, const char *option, const char *value)
{
	struct call c = { 0 };
	char *argv[] = { (char *)(uintptr_t) "verify", bundle, (char *)(uintptr_t)option,
		(char *)(uintptr_t)value };
	FILE *file = tmpfile();
	enum err e;
	output_init(&c.out, file);
	arguments_allow(&c.given, global_options);
	arguments_allow(&c.given, verify_options);
	assert_int_equal(arguments_parse(&c.given,
			     option == NULL      ? 2
				 : value == NULL ? 3
						 : 4,
			     argv, false, &c.why),
	    OK);
	c.out.json = arguments_has(&c.given, "json");
	e = cmd_verify(&c);
	fflush(file);
	rewind(file);
	text[fread(text, 1, 8191, file)] = '\0';
	fclose(file);
	arguments_release(&c.given);
	failure_release(&c.why);
	return e;
}

static char text[8192];

static void
test_right_bundle_is_good_and_says_what_to_compare(void **state)
{
	(void)state;
	assert_int_equal(verify(text, NULL, NULL), OK);
	assert_non_null(strstr(text, fixture_pin(fixture)));
	assert_non_null(strstr(text, "COMPARE"));
	assert_non_null(strstr(text, "Said by:    gb.ma"));
	assert_non_null(strstr(text, "ke.ma: stored, says ke"));
	assert_non_null(strstr(text, "GOOD: 1 message and 1 receipt are"));
	assert_int_equal(verify(text, "--pin", fixture_pin(fixture)), OK);
	assert_null(strstr(text, "COMPARE"));
}

static void
test_json_is_one_value(void **state)
{
	(void)state;
	assert_int_equal(verify(text, "--json", NULL), OK);
	json_t *v = json_loads(text, 0, NULL);
	assert_non_null(v);
	assert_true(json_is_true(json_object_get(v, "good")));
	assert_int_equal(json_array_size(json_object_get(v, "messages")), 1);
	assert_int_equal(json_array_size(json_object_get(v, "slips")), 1);
	json_decref(v);
}

static void
test_another_pin_is_refused(void **state)
{
	(void)state;
	assert_int_not_equal(verify(text, "--pin",
				 "0000 0000 0000 0000 0000 0000 0000 0000 0000 0000 0000 0000 0000 "
				 "0000 0000 0000"),
	    OK);
	assert_null(strstr(text, "PROVED"));
}

static void
test_each_changed_byte_of_a_message_is_found(void **state)
{
	(void)state;
	for (size_t i = 0; i < signed_data.len; i += 7) {
		signed_data.at[i] ^= 1;
		write_part("messages/one.cms", buffer_bytes(&signed_data));
		signed_data.at[i] ^= 1;
		enum err e = verify(text, NULL, NULL);
		assert_int_equal(e, ERR_SIGNATURE);
		assert_int_equal(err_exit_status(e), 8);
		assert_non_null(strstr(text, "NOT PROVED"));
		assert_null(strstr(text, "GOOD"));
	}
}

static void
test_changed_directory_is_found(void **state)
{
	struct bytes contents = directory_contents(fixture_directory(fixture));
	uint8_t *copy = xmemdup(contents.at, contents.len);
	(void)state;
	copy[contents.len / 2] ^= 1;
	write_part("directory/1.contents", (struct bytes){ copy, contents.len });
	assert_int_not_equal(verify(text, NULL, NULL), OK);
	assert_null(strstr(text, "PROVED"));
	free(copy);
}

/* Receipts that say too much. */
static void
test_receipts_by_the_wrong_maker_or_of_another_envelope_are_found(void **state)
{
	struct mail_plan plan = { .sequence = 2 };
	struct envelope other;
	struct buffer slip = { 0 };
	(void)state;
	mail_envelope(fixture, &plan, &other);
	static const struct {
		Citex__SlipType type;
		const char *maker;
		enum cert_use use;
		bool other;
	} cases[] = {
		{ CITEX__SLIP_TYPE__SLIP_STORED, "gb", USE_RECEIPTS, false }, /* not ke.ma's node */
		{ CITEX__SLIP_TYPE__SLIP_OPENED, "ke", USE_RECEIPTS,
		    false }, /* a node opens nothing */
		{ CITEX__SLIP_TYPE__SLIP_OPENED, "ke.kws", USE_SIGNING, false },
		{ CITEX__SLIP_TYPE__SLIP_STORED, "ke", USE_RECEIPTS, true },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		make_slip(cases[i].type, cases[i].maker, cases[i].use,
		    cases[i].other ? &other : &envelope, &slip);
		write_part(SLIP_FILE, buffer_bytes(&slip));
		buffer_release(&slip);
		assert_int_equal(verify(text, NULL, NULL), ERR_SIGNATURE);
		assert_non_null(strstr(text, "NOT PROVED: one-stored.slip"));
	}
	envelope_release(&other);
}

/* The receipt is true, and of a message that is not the one in the bundle. */
static void
test_receipt_of_another_message_does_not_prove_this_one(void **state)
{
	struct mail_plan plan = { .sequence = 2 };
	struct envelope other;
	struct buffer slip = { 0 };
	(void)state;
	mail_envelope(fixture, &plan, &other);
	make_slip(CITEX__SLIP_TYPE__SLIP_STORED, "ke", USE_RECEIPTS, &other, &slip);
	write_part(SLIP_FILE, buffer_bytes(&slip));
	write_part("slips/one.outer", bytes_of_pb(other.pb->outer));
	assert_int_equal(verify(text, NULL, NULL), ERR_SIGNATURE);
	buffer_release(&slip);
	envelope_release(&other);
}

/* so.ma has gb.ma's note; it sends ke.kws an envelope of its own that names the note's digest. */
static void
names_the_note(Citex__Outer *o, void *arg)
{
	uint8_t digest[DIGEST_BYTES];
	(void)arg;
	sha256(buffer_bytes(&signed_data), digest);
	memcpy(o->signed_digest.data, digest, DIGEST_BYTES);
}

static void
test_receipt_for_an_envelope_of_another_author_proves_nothing(void **state)
{
	struct mail_plan plan = {
		.author = "so.ma", .addressee = "ke.kws", .outer = names_the_note
	};
	struct envelope other;
	struct slip_draft draft = { .type = CITEX__SLIP_TYPE__SLIP_STORED,
		.to = "so.ma",
		.maker = "ke",
		.time_ms = FIXTURE_NOW_MS - DAY_MS,
		.directory = 1 };
	struct buffer slip = { 0 };
	(void)state;
	mail_envelope(fixture, &plan, &other);
	draft.about = &other;
	assert_int_equal(
	    slips_make(fixture_key(fixture, "ke", USE_RECEIPTS), &draft, 1, &slip), OK);
	write_part("slips/two-stored.slip", buffer_bytes(&slip));
	write_part("slips/two.outer", bytes_of_pb(other.pb->outer));
	assert_int_equal(verify(text, "--pin", fixture_pin(fixture)), ERR_SIGNATURE);
	assert_non_null(strstr(text, "NOT PROVED: two-stored.slip"));
	buffer_release(&slip);
	envelope_release(&other);
}

static void
test_receipt_without_its_outer_fields_proves_nothing(void **state)
{
	char path[160];
	(void)state;
	snprintf(path, sizeof(path), "%s/slips/one.outer", bundle);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(verify(text, NULL, NULL), ERR_SIGNATURE);
}

static void
test_garbage_is_told_and_survived(void **state)
{
	static const char *const files[] = { "slips/one.outer", SLIP_FILE, "messages/one.cms",
		"directory/1.head" };
	uint32_t seed = 17;
	(void)state;
	for (int i = 0; i < 400; i++) {
		uint8_t junk[200];
		for (size_t j = 0; j < sizeof(junk); j++) {
			seed = seed * 1664525 + 1013904223;
			junk[j] = (uint8_t)(seed >> 24);
		}
		write_part(files[i % 4], (struct bytes){ junk, seed % 200 });
		assert_int_not_equal(verify(text, NULL, NULL), OK);
		assert_null(strstr(text, "GOOD"));
	}
}

static void
test_what_is_no_bundle_is_said_in_words(void **state)
{
	(void)state;
	remove_all(bundle);
	assert_int_equal(verify(text, NULL, NULL), ERR_NOT_FOUND);
}

static int
make_fixture(void **state)
{
	(void)state;
	fixture = fixture_new();
	return 0;
}

static int
free_fixture(void **state)
{
	(void)state;
	fixture_free(fixture);
	return 0;
}

#define BUNDLE_TEST(f) cmocka_unit_test_setup_teardown(f, make_bundle, remove_bundle)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		BUNDLE_TEST(test_right_bundle_is_good_and_says_what_to_compare),
		BUNDLE_TEST(test_json_is_one_value),
		BUNDLE_TEST(test_another_pin_is_refused),
		BUNDLE_TEST(test_each_changed_byte_of_a_message_is_found),
		BUNDLE_TEST(test_changed_directory_is_found),
		BUNDLE_TEST(test_receipts_by_the_wrong_maker_or_of_another_envelope_are_found),
		BUNDLE_TEST(test_receipt_of_another_message_does_not_prove_this_one),
		BUNDLE_TEST(test_receipt_for_an_envelope_of_another_author_proves_nothing),
		BUNDLE_TEST(test_receipt_without_its_outer_fields_proves_nothing),
		BUNDLE_TEST(test_garbage_is_told_and_survived),
		BUNDLE_TEST(test_what_is_no_bundle_is_said_in_words),
	};
	setlocale(LC_CTYPE, "C.UTF-8");
	return cmocka_run_group_tests(tests, make_fixture, free_fixture);
}
