/* SPDX-License-Identifier: Apache-2.0 */
/* The log: nothing from outside gets out of its field or drives a terminal; a flood is cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/log.h"
#include "proto/bytes.h"
#include "proto/limits.h"

static int64_t mono_ms, utc_ms;
static FILE *sink;

static int64_t
fake_mono(void)
{
	return mono_ms;
}

static int64_t
fake_utc(void)
{
	return utc_ms;
}

static int
setup(void **state)
{
	(void)state;
	mono_ms = 1000;
	utc_ms = 1792000000123;
	sink = tmpfile();
	assert_non_null(sink);
	log_set_clocks(fake_mono, fake_utc);
	log_set_fd(fileno(sink));
	log_open("post ke", LEVEL_INFO);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	log_set_clocks(NULL, NULL);
	log_set_fd(STDERR_FILENO);
	(void)fclose(sink);
	return 0;
}

/* All that was written since the last call; the caller's. */
static char *
written(void)
{
	off_t len = lseek(fileno(sink), 0, SEEK_END);
	char *text = xalloc((size_t)len + 1);

	assert_int_equal(pread(fileno(sink), text, (size_t)len, 0), len);
	assert_return_code(ftruncate(fileno(sink), 0), 0);
	(void)lseek(fileno(sink), 0, SEEK_SET);
	return text;
}

static void
assert_written(const char *wanted)
{
	char *text = written();

	assert_string_equal(text, wanted);
	free(text);
}

#define FRONT "2026-10-14T17:46:40.123Z "

static void
test_log_writes_event_and_fields(void **state)
{
	(void)state;
	log_event(LEVEL_INFO, "stored", LOG_TEXT("envelope", "0192-ab"), LOG_NUM("bytes", 4711),
	    LOG_ERR(ERR_STORE_FULL));
	assert_written(FRONT "info post ke: stored envelope=0192-ab bytes=4711 error=store-full\n");
	log_event(LEVEL_ERROR, "numbers", LOG_NUM("a", INT64_MIN), LOG_NUM("b", INT64_MAX),
	    LOG_NUM("c", 0));
	assert_written(FRONT "error post ke: numbers a=-9223372036854775808 b=9223372036854775807 "
			     "c=0\n");
}

static const struct {
	const char *text, *shown;
} escapes[] = {
	{ "plain", "plain" },
	{ "", "\"\"" },
	{ "two words", "\"two words\"" },
	{ "a=b", "\"a=b\"" },
	{ "\"", "\"\\\"\"" },
	{ "\\", "\"\\\\\"" },
	{ "line\nerror post ke: forged", "\"line\\nerror post ke: forged\"" },
	{ "\x1b[2J", "\"\\x1b[2J\"" },
	{ "\r\t\x7f", "\"\\x0d\\x09\\x7f\"" },
	{ "caf\xc3\xa9", "\"caf\\xc3\\xa9\"" },
	{ "\xc2\x9b", "\"\\xc2\\x9b\"" }, /* CSI as one C1 character */
	{ "[::1]:4711", "[::1]:4711" },
};

static void
test_log_escapes_text_from_outside(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(escapes) / sizeof(escapes[0]); i++) {
		CLEANUP(buffer_release) struct buffer wanted = { 0 };
		buffer_printf(
		    &wanted, FRONT "info post ke: peer words=%s last=1\n", escapes[i].shown);
		log_event(
		    LEVEL_INFO, "peer", LOG_TEXT("words", escapes[i].text), LOG_NUM("last", 1));
		assert_written(buffer_text(&wanted));
	}
}

/* A value of LEN letters, unquoted or with a blank before it. */
static char *
long_value(size_t len)
{
	char *text = xalloc(len + 1);

	memset(text, 'x', len);
	return text;
}

static void
test_log_cuts_a_long_value(void **state)
{
	char *at_limit = long_value(LOG_VALUE_MAX_BYTES),
	     *over = long_value(LOG_VALUE_MAX_BYTES + 1);
	CLEANUP(buffer_release) struct buffer wanted = { 0 };

	(void)state;
	log_event(LEVEL_INFO, "e", LOG_TEXT("k", at_limit));
	buffer_printf(&wanted, FRONT "info post ke: e k=%s\n", at_limit);
	assert_written(buffer_text(&wanted));
	log_event(LEVEL_INFO, "e", LOG_TEXT("k", over));
	buffer_clear(&wanted);
	buffer_printf(&wanted, FRONT "info post ke: e k=\"%s\"...\n", at_limit);
	assert_written(buffer_text(&wanted));
	free(at_limit);
	free(over);
}

static void
test_log_line_never_exceeds_its_limit(void **state)
{
	char *value = long_value(LOG_VALUE_MAX_BYTES);
	struct log_field fields[12];
	char *text;

	(void)state;
	for (size_t i = 0; i < 11; i++)
		fields[i] = LOG_TEXT("k", value);
	fields[11] = (struct log_field){ 0 };
	log_write(LEVEL_INFO, "e", fields);
	text = written();
	assert_int_equal(strlen(text), LOG_LINE_MAX_BYTES);
	assert_int_equal(text[LOG_LINE_MAX_BYTES - 1], '\n');
	free(text);
	free(value);
}

static void
test_log_level_hides_what_is_below_it(void **state)
{
	enum log_level level;

	(void)state;
	log_event(LEVEL_DEBUG, "hidden", { 0 });
	assert_written("");
	log_set_level(LEVEL_DEBUG);
	log_event(LEVEL_DEBUG, "shown", { 0 });
	assert_written(FRONT "debug post ke: shown\n");
	log_set_level(LEVEL_ERROR);
	log_event(LEVEL_WARNING, "hidden", { 0 });
	assert_written("");
	assert_int_equal(log_level_parse("warning", &level), OK);
	assert_int_equal(level, LEVEL_WARNING);
	assert_int_equal(log_level_parse("Warning", &level), ERR_VALUE);
	assert_int_equal(log_level_parse("", &level), ERR_VALUE);
}

static unsigned
count_lines(const char *text)
{
	unsigned n = 0;

	for (; *text != '\0'; text++)
		n += *text == '\n';
	return n;
}

static void
test_log_flood_is_cut_and_counted(void **state)
{
	char *text;

	(void)state;
	for (unsigned i = 0; i < LOG_LINES_PER_SECOND_MAX; i++)
		log_event(LEVEL_INFO, "flood", LOG_NUM("i", i));
	text = written();
	assert_int_equal(count_lines(text), LOG_LINES_PER_SECOND_MAX);
	free(text);
	for (unsigned i = 0; i < 7; i++)
		log_event(LEVEL_ERROR, "over", LOG_NUM("i", i));
	mono_ms += SECOND_MS - 1;
	log_event(LEVEL_ERROR, "over", { 0 });
	assert_written("");
	mono_ms += 1;
	log_event(LEVEL_INFO, "again", { 0 });
	assert_written(
	    FRONT "warning post ke: log-dropped lines=8\n" FRONT "info post ke: again\n");
}

static void
test_log_gives_priorities_to_the_journal(void **state)
{
	int pair[2];
	char line[128] = "";

	(void)state;
	assert_return_code(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	log_set_fd(pair[0]);
	log_event(LEVEL_WARNING, "low", LOG_NUM("percent", 80));
	assert_true(read(pair[1], line, sizeof(line) - 1) > 0);
	assert_string_equal(line, "<4>post ke: low percent=80\n");
	(void)close(pair[0]);
	(void)close(pair[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_log_writes_event_and_fields, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_log_escapes_text_from_outside, setup, teardown),
		cmocka_unit_test_setup_teardown(test_log_cuts_a_long_value, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_log_line_never_exceeds_its_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_log_level_hides_what_is_below_it, setup, teardown),
		cmocka_unit_test_setup_teardown(test_log_flood_is_cut_and_counted, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_log_gives_priorities_to_the_journal, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
