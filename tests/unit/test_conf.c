/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration file: each setting good, bad, at its limits; what is wrong is named with its
 * line. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "proto/address.h"
#include "daemon/conf.h"
#include "proto/limits.h"

#define PIN "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define PIN_2 "ffff 2233 4455 6677 8899 aabb ccdd eeff 0011 2233 4455 6677 8899 aabb ccdd eeff"
#define PIN_GROUPS "0011 2233 4455 6677 8899 aabb ccdd eeff 0011 2233 4455 6677 8899 aabb ccdd eeff"
#define BASE \
	"node = \"ke\"\nstate = \"@\"\nrun = \"@\"\nkeys = \"@\"\ndirectory-key = \"" PIN \
	"\"\nuser = \"#\"\n"
#define BASE_LINES 6

static char folder[] = "/tmp/citex-conf-XXXXXX";

static void
touch(const char *name, mode_t mode)
{
	char path[128];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	f = fopen(path, "w");
	assert_non_null(f);
	(void)fclose(f);
	assert_return_code(chmod(path, mode), 0);
}

static int
setup(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(folder));
	touch("pass", 0400);
	touch("hook", 0755);
	touch("open-hook", 0777);
	touch("plain", 0644);
	return 0;
}

static int
teardown(void **state)
{
	static const char *const names[] = { "pass", "hook", "open-hook", "plain", "conf" };
	char path[128];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		(void)unlink(path);
	}
	(void)rmdir(folder);
	return 0;
}

/* TEXT with @ for the folder and # for our user. */
static void
fill(struct buffer *out, const char *text)
{
	for (; *text != '\0'; text++)
		if (*text == '@')
			buffer_add_str(out, folder);
		else if (*text == '#')
			buffer_printf(out, "%u", (unsigned)getuid());
		else
			buffer_add_u8(out, (uint8_t)*text);
}

/* Load TEXT as the file; the words of what is wrong stand in WHY without its folder. */
static enum err
load(const char *text, struct conf **out, struct buffer *why)
{
	CLEANUP(buffer_release) struct buffer whole = { 0 }, raw = { 0 };
	char path[128];
	const char *words;
	FILE *f;
	enum err e;

	fill(&whole, text);
	(void)snprintf(path, sizeof(path), "%s/conf", folder);
	f = fopen(path, "w");
	assert_non_null(f);
	if (whole.len > 0)
		assert_int_equal(fwrite(whole.at, 1, whole.len, f), whole.len);
	(void)fclose(f);
	e = conf_load(path, out, &raw);
	words = buffer_text(&raw);
	if (strncmp(words, folder, strlen(folder)) == 0)
		words += strlen(folder) + 1;
	buffer_add_str(why, words);
	return e;
}

static struct conf *
load_good(const char *text)
{
	CLEANUP(buffer_release) struct buffer why = { 0 };
	struct conf *c = NULL;

	if (load(text, &c, &why) != OK)
		fail_msg("%s: %s", text, buffer_text(&why));
	return c;
}

static void
test_conf_smallest_file_gets_defaults(void **state)
{
	struct conf *c = load_good(BASE);

	(void)state;
	assert_string_equal(c->node, "ke");
	assert_string_equal(c->state, folder);
	assert_string_equal(c->directory_key, PIN_GROUPS);
	assert_int_equal(c->user, getuid());
	assert_int_equal(c->hook_user, getuid());
	assert_int_equal(c->listen.count, 0);
	assert_int_equal(c->authority_count, 0);
	assert_int_equal(c->retry_first_ms, RETRY_FIRST_MS);
	assert_int_equal(c->retry_max_ms, RETRY_MAX_MS);
	assert_int_equal(c->store_limit_bytes, STORE_MAP_DEFAULT_BYTES);
	assert_int_equal(c->log_level, LEVEL_INFO);
	assert_false(c->has_group);
	assert_null(c->on_alarm);
	conf_free(c);
}

static void
test_conf_whole_file_is_understood(void **state)
{
	struct conf *c = load_good(
	    BASE "// a comment\nconfirmed-ca = {\"" PIN "\", \"" PIN_2
		 "\"}\nlisten = {\"127.0.0.1:4711\", \"[::1]:4711\"}\n"
		 "passphrase-file = \"@/pass\"\nrelay-for = {\"so\", \"tz\"}\nstore-limit = 512M\n"
		 "retry-first = 200ms\nretry-max = 2s\nlog-level = debug\non-alarm = \"@/hook\"\n"
		 "administrators = {root, 4242}\nhook-user = #\n"
		 "authority \"ke.ma\" {\n keys = \"@\"\n passphrase-credential = \"ke.ma\"\n"
		 " seen = true\n store-limit = 1G\n on-new = \"@/hook\"\n"
		 " officer \"Jane Doe\" { user = \"1000\" }\n"
		 " officer \"Joe Roe\" { user = 1001 may = {read, manage} }\n}\n"
		 "authority \"ke.kws\" { keys = \"@\" }\n");

	(void)state;
	assert_int_equal(c->confirmed_ca.count, 2);
	assert_string_equal(c->confirmed_ca.at[0], PIN_GROUPS);
	assert_string_equal(c->confirmed_ca.at[1], PIN_2);
	assert_int_equal(c->listen.count, 2);
	assert_string_equal(c->listen.at[1], "[::1]:4711");
	assert_string_equal(c->relay_for.at[1], "tz");
	assert_int_equal(c->store_limit_bytes, 512 * MIB);
	assert_int_equal(c->retry_first_ms, 200);
	assert_int_equal(c->retry_max_ms, 2000);
	assert_int_equal(c->log_level, LEVEL_DEBUG);
	assert_int_equal(c->administrators.count, 2);
	assert_int_equal(c->administrators.at[0], 0);
	assert_int_equal(c->administrators.at[1], 4242);
	assert_int_equal(c->authority_count, 2);
	assert_string_equal(c->authorities[0].id, "ke.ma");
	assert_string_equal(c->authorities[0].passphrase.credential, "ke.ma");
	assert_true(c->authorities[0].seen);
	assert_int_equal(c->authorities[0].store_limit_bytes, 1024 * MIB);
	assert_int_equal(c->authorities[0].officer_count, 2);
	assert_string_equal(c->authorities[0].officers[0].name, "Jane Doe");
	assert_int_equal(c->authorities[0].officers[0].user, 1000);
	assert_int_equal(c->authorities[0].officers[0].may, OFFICER_MAY_READ | OFFICER_MAY_WRITE);
	assert_int_equal(c->authorities[0].officers[1].may, OFFICER_MAY_READ | OFFICER_MAY_MANAGE);
	assert_string_equal(c->authorities[1].id, "ke.kws");
	assert_false(c->authorities[1].seen);
	assert_int_equal(c->authorities[1].officer_count, 0);
	assert_int_equal(c->authorities[1].store_limit_bytes, 512 * MIB); /* as the node says */
	conf_free(c);
}

static void
test_conf_fingerprint_is_taken_in_groups_and_either_case(void **state)
{
	struct conf *c = load_good("node=ke\nstate=\"@\"\nrun=\"@\"\nkeys=\"@\"\nuser=\"#\"\n"
				   "directory-key = \"0011 2233 4455 6677 8899 AABB CCDD EEFF "
				   "0011:2233:4455:6677:8899:AABB:CCDD:EEFF\"\n");

	(void)state;
	assert_string_equal(c->directory_key, PIN_GROUPS);
	conf_free(c);
}

/* What stands after BASE, its line counted from there, and the words. */
static const struct {
	const char *text;
	int line;
	const char *words;
} bad[] = {
	{ "nonsense = 1\n", 1, "no such option 'nonsense'" },
	{ "\n\nnode = \"gb\"\n", 3, "`node' stands there twice" },
	{ "listen = {\"localhost:1\"}\n", 1, "`listen': \"localhost:1\" is not ADDRESS:PORT" },
	{ "listen = {\"127.0.0.1:0\"}\n", 1, "`listen': \"127.0.0.1:0\" is not ADDRESS:PORT" },
	{ "listen = {\"127.0.0.1:1\"}\nlisten = {\"127.0.0.1:2\"}\n", 2,
	    "`listen' stands there twice" },
	{ "listen = {\"127.0.0.1:1\"}\nlisten += {\"127.0.0.1:2\"}\n", 2,
	    "`listen' stands there twice" },
	{ "listen = {\"127.0.0.1:1\", \"127.0.0.1:1\"}\n", 1,
	    "`listen': \"127.0.0.1:1\" stands there twice" },
	{ "passphrase-file = \"@/none\"\n", 1,
	    "`passphrase-file': \"@/none\" No such file or directory" },
	{ "passphrase-file = \"@\"\n", 1, "`passphrase-file': \"@\" is no file" },
	{ "passphrase-file = \"pass\"\n", 1, "`passphrase-file': \"pass\" does not begin with /" },
	{ "passphrase-credential = \"../x\"\n", 1,
	    "`passphrase-credential': \"../x\" is no name of a credential" },
	{ "passphrase-credential = \"\"\n", 1,
	    "`passphrase-credential': \"\" is no name of a credential" },
	{ "passphrase-file = \"@/pass\"\npassphrase-credential = \"x\"\n", 3,
	    "`passphrase-file' and `passphrase-credential' exclude each other" },
	{ "authority \"ke.ma\" { keys = \"@\" }\ndirectory-key = \"" PIN "\"\n", 2,
	    "`directory-key' stands there twice" },
	{ "hook-user = \"no-such-user-here\"\n", 1,
	    "`hook-user': \"no-such-user-here\" is no user of this machine" },
	{ "hook-user = 4294967295\n", 1, "`hook-user': \"4294967295\" is out of range" },
	{ "group = \"no-such-group-here\"\n", 1,
	    "`group': \"no-such-group-here\" is no group of this machine" },
	{ "administrators = {root, no-such-user-here}\n", 1,
	    "`administrators': \"no-such-user-here\" is no user of this machine" },
	{ "relay-for = {\"so\", \"So\"}\n", 1, "`relay-for': \"So\" is no name of a node" },
	{ "confirmed-ca = {\"00\"}\n", 1, "`confirmed-ca': \"00\" is not 64 hexadecimal digits" },
	{ "relay-for = {\"so\", \"so\"}\n", 1, "`relay-for': \"so\" stands there twice" },
	{ "relay-for = {\"ke\"}\n", 2, "`relay-for': \"ke\" is this node itself" },
	{ "store-limit = 1023K\n", 1, "`store-limit': \"1023K\" is out of range" },
	{ "store-limit = 65T\n", 1, "`store-limit': \"65T\" is out of range" },
	{ "store-limit = 999999999999999T\n", 1,
	    "`store-limit': \"999999999999999T\" is out of range" },
	{ "store-limit = 16GB\n", 1, "`store-limit': \"16GB\" is not a size like 512M or 16G" },
	{ "store-limit = 16GiBs\n", 1, "`store-limit': \"16GiBs\" is not a size like 512M or 16G" },
	{ "store-limit = \"\"\n", 1, "`store-limit': \"\" is not a size like 512M or 16G" },
	{ "store-limit = -1\n", 1, "`store-limit': \"-1\" is not a size like 512M or 16G" },
	{ "retry-first = 9ms\n", 1, "`retry-first': \"9ms\" is out of range" },
	{ "retry-first = 61s\n", 1, "`retry-first': \"61s\" is out of range" },
	{ "retry-first = 5\n", 1,
	    "`retry-first': \"5\" is not a time like 200ms, 30s, 15m, 4h or 14d" },
	{ "retry-max = 16m\n", 1, "`retry-max': \"16m\" is out of range" },
	{ "retry-first = 3s\nretry-max = 2s\n", 3, "`retry-first' is longer than `retry-max'" },
	{ "log-level = loud\n", 1, "`log-level': \"loud\" is none of error, warning, info, debug" },
	{ "on-alarm = \"@/none\"\n", 1, "`on-alarm': \"@/none\" No such file or directory" },
	{ "on-alarm = \"@/plain\"\n", 1, "`on-alarm': \"@/plain\" cannot be executed" },
	{ "on-alarm = \"@/open-hook\"\n", 1,
	    "`on-alarm': \"@/open-hook\" may be changed by group or others" },
	{ "on-alarm = \"hook\"\n", 1, "`on-alarm': \"hook\" does not begin with /" },
	{ "authority \"ke.ma\" {\n}\n", 2, "authority: `keys' is missing" },
	{ "authority \"KE\" { keys = \"@\" }\n", 1, "\"KE\" is no id of an authority" },
	{ "authority \"ke.ma\" { keys = \"@/none\" }\n", 1,
	    "`keys': \"@/none\" No such file or directory" },
	{ "authority \"ke.ma\" { keys = \"@\"\n node = \"x\" }\n", 2, "no such option 'node'" },
	{ "authority \"ke.ma\" { keys = \"@\"\n seen = perhaps }\n", 2,
	    "`seen': \"perhaps\" is neither true nor false" },
	{ "authority \"ke.ma\" { keys = \"@\"\n keys = \"@\" }\n", 2, "`keys' stands there twice" },
	{ "authority \"ke.ma\" { keys = \"@\" }\nauthority \"ke.ma\" { keys = \"@\" }\n", 2,
	    "found duplicate title 'ke.ma'" },
	{ "authority \"ke.ma\" { keys = \"@\"\npassphrase-file = \"@/pass\" "
	  "passphrase-credential = \"x\" }\n",
	    2, "`passphrase-file' and `passphrase-credential' exclude each other" },
	{ "authority \"ke.ma\" { keys = \"@\"\nofficer \"J\" {\n}\n}\n", 3,
	    "officer: `user' is missing" },
	{ "authority \"ke.ma\" { keys = \"@\"\nofficer \"\" { user = 1 }\n}\n", 2,
	    "an officer's name has 1 to 128 bytes" },
	{ "authority \"ke.ma\" { keys = \"@\"\nofficer \"J\" { user = 1 may = {rule} }\n}\n", 2,
	    "`may': \"rule\" is none of read, write, manage" },
	{ "authority \"ke.ma\" { keys = \"@\"\nofficer \"J\" { user = 1 may = "
	  "{read,write,manage,read} }\n}\n",
	    2, "`may' has more than 3" },
	{ "authority \"ke.ma\" { keys = \"@\"\nofficer \"J\" { user = 1 }\nofficer \"K\" { user = "
	  "1 }\n}\n",
	    3, "\"J\" and \"K\" are one user" },
	{ "officer \"J\" { user = 1 }\n", 1, "no such option 'officer'" },
};

static const struct {
	const char *text, *words;
} fingerprints[] = {
	{ "", "is not 64 hexadecimal digits" },
	{ "0011", "is not 64 hexadecimal digits" },
	{ PIN "0", "has more than 64 hexadecimal digits" },
	{ "g0112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
	    "is not 64 hexadecimal digits" },
};

static void
test_conf_refuses_what_is_no_fingerprint(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(fingerprints) / sizeof(fingerprints[0]); i++) {
		CLEANUP(buffer_release) struct buffer text = { 0 }, why = { 0 };
		struct conf *c = NULL;

		buffer_printf(&text, "directory-key = \"%s\"\n", fingerprints[i].text);
		assert_int_equal(load(buffer_text(&text), &c, &why), ERR_CONFIG);
		assert_non_null(strstr(buffer_text(&why), fingerprints[i].words));
	}
}

static void
test_conf_names_what_is_wrong_with_its_line(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		CLEANUP(buffer_release) struct buffer text = { 0 }, why = { 0 }, wanted = { 0 };
		struct conf *c = NULL;

		buffer_add_str(&text, BASE);
		buffer_add_str(&text, bad[i].text);
		buffer_printf(&wanted, "conf:%d: ", BASE_LINES + bad[i].line);
		fill(&wanted, bad[i].words);
		assert_int_equal(load(buffer_text(&text), &c, &why), ERR_CONFIG);
		if (strcmp(buffer_text(&why), buffer_text(&wanted)) != 0)
			print_message("case %zu: %s\n", i, bad[i].text);
		assert_string_equal(buffer_text(&why), buffer_text(&wanted));
	}
}

/* Each required setting, left out. */
static void
test_conf_misses_what_is_required(void **state)
{
	static const char *const lines[] = { "node = \"ke\"\n", "keys = \"@\"\n",
		"directory-key = \"" PIN "\"\n" };
	static const char *const names[] = { "node", "keys", "directory-key" };

	(void)state;
	for (size_t left_out = 0; left_out < 3; left_out++) {
		CLEANUP(buffer_release) struct buffer text = { 0 }, why = { 0 }, wanted = { 0 };
		struct conf *c = NULL;

		buffer_add_str(&text, "state = \"@\"\nrun = \"@\"\nuser = \"#\"\n");
		for (size_t i = 0; i < 3; i++)
			if (i != left_out)
				buffer_add_str(&text, lines[i]);
		buffer_printf(&wanted, "`%s' is missing", names[left_out]);
		assert_int_equal(load(buffer_text(&text), &c, &why), ERR_CONFIG);
		assert_non_null(strstr(buffer_text(&why), buffer_text(&wanted)));
	}
}

/* Setting, value in range at its ends: all are accepted. The values beyond stand in BAD. */
static void
test_conf_takes_values_at_their_limits(void **state)
{
	static const char *const lines[] = { "store-limit = 1M\n", "store-limit = 1048576\n",
		"store-limit = 64T\n", "store-limit = \"8MiB\"\n", "retry-first = 10ms\n",
		"retry-first = 60s\n", "retry-max = 15m\n",
		"retry-first = 10ms\nretry-max = 10ms\n",
		"listen = {\"0.0.0.0:65535\", \"[::]:1\"}\n" };

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		CLEANUP(buffer_release) struct buffer text = { 0 };
		buffer_add_str(&text, BASE);
		buffer_add_str(&text, lines[i]);
		conf_free(load_good(buffer_text(&text)));
	}
}

static enum err
load_listen(unsigned count)
{
	CLEANUP(buffer_release) struct buffer text = { 0 }, why = { 0 };
	struct conf *c = NULL;
	enum err e;

	buffer_add_str(&text, BASE "listen = {");
	for (unsigned i = 0; i < count; i++)
		buffer_printf(&text, "%s\"127.0.0.1:%u\"", i > 0 ? "," : "", 1000 + i);
	buffer_add_str(&text, "}\n");
	e = load(buffer_text(&text), &c, &why);
	conf_free(c);
	return e;
}

static void
test_conf_counts_lists(void **state)
{
	(void)state;
	assert_int_equal(load_listen(0), OK);
	assert_int_equal(load_listen(16), OK);
	assert_int_equal(load_listen(17), ERR_CONFIG);
}

static void
test_conf_socket_path_must_fit(void **state)
{
	char deep[96];
	CLEANUP(buffer_release) struct buffer text = { 0 }, why = { 0 };
	struct conf *c = NULL;
	char path[256];

	(void)state;
	memset(deep, 'd', sizeof(deep) - 1);
	deep[sizeof(deep) - 1] = '\0';
	(void)snprintf(path, sizeof(path), "%s/%s", folder, deep);
	assert_return_code(mkdir(path, 0700), errno);
	buffer_printf(&text,
	    "node=ke\nstate=\"@\"\nrun=\"%s\"\nkeys=\"@\"\nuser=\"#\"\ndirectory-key=\"" PIN "\"\n",
	    path);
	assert_int_equal(load(buffer_text(&text), &c, &why), ERR_CONFIG);
	assert_non_null(strstr(buffer_text(&why), "is too long a path for sockets"));
	(void)rmdir(path);
}

static void
test_conf_unreadable_or_broken_file(void **state)
{
	CLEANUP(buffer_release) struct buffer why = { 0 };
	struct conf *c = NULL;

	(void)state;
	assert_int_equal(conf_load("/nonexistent/citexd.conf", &c, &why), ERR_CONFIG);
	assert_string_equal(
	    buffer_text(&why), "/nonexistent/citexd.conf: No such file or directory");
	buffer_clear(&why);
	assert_int_equal(conf_load("/tmp", &c, &why), ERR_CONFIG);
	assert_string_equal(buffer_text(&why), "/tmp: is a folder");
	buffer_clear(&why);
	assert_int_equal(load("node = \"ke\nstate", &c, &why), ERR_CONFIG);
	assert_true(why.len > 0);
	buffer_clear(&why);
	assert_int_equal(
	    load(BASE "authority \"ke.ma\" { officer \"x\" { user = 1 ", &c, &why), ERR_CONFIG);
	assert_true(why.len > 0);
	buffer_clear(&why);
	assert_int_equal(load("", &c, &why), ERR_CONFIG);
	assert_true(why.len > 0);
}

static const struct {
	const char *text;
	enum err wanted;
} addresses[] = {
	{ "127.0.0.1:1", OK },
	{ "127.0.0.1:65535", OK },
	{ "127.0.0.1:65536", ERR_VALUE },
	{ "127.0.0.1:0", ERR_VALUE },
	{ "127.0.0.1:", ERR_VALUE },
	{ "127.0.0.1:1x", ERR_VALUE },
	{ "127.0.0.1:000001", ERR_VALUE },
	{ "127.0.0.1", ERR_VALUE },
	{ "127.0.0:1", ERR_VALUE },
	{ "[::1]:1", OK },
	{ "[2001:db8::ff]:4711", OK },
	{ "::1:1", ERR_VALUE },
	{ "[::1:1", ERR_VALUE },
	{ "[127.0.0.1]:1", ERR_VALUE },
	{ "[]:1", ERR_VALUE },
	{ ":1", ERR_VALUE },
	{ "", ERR_VALUE },
	{ "name.example:1", ERR_VALUE },
	{ "[aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa]:1", ERR_VALUE },
};

static void
test_address_is_parsed_strictly_and_printed_back(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		char text[ADDRESS_TEXT_BYTES];
		struct address a;
		enum err e = address_parse(addresses[i].text, &a);

		if (e != addresses[i].wanted)
			print_message("case %s\n", addresses[i].text);
		assert_int_equal(e, addresses[i].wanted);
		if (e != OK)
			continue;
		address_print(&a, text);
		assert_string_equal(text, addresses[i].text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_conf_smallest_file_gets_defaults),
		cmocka_unit_test(test_conf_whole_file_is_understood),
		cmocka_unit_test(test_conf_fingerprint_is_taken_in_groups_and_either_case),
		cmocka_unit_test(test_conf_refuses_what_is_no_fingerprint),
		cmocka_unit_test(test_conf_names_what_is_wrong_with_its_line),
		cmocka_unit_test(test_conf_misses_what_is_required),
		cmocka_unit_test(test_conf_takes_values_at_their_limits),
		cmocka_unit_test(test_conf_counts_lists),
		cmocka_unit_test(test_conf_socket_path_must_fit),
		cmocka_unit_test(test_conf_unreadable_or_broken_file),
		cmocka_unit_test(test_address_is_parsed_strictly_and_printed_back),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
