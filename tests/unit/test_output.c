/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "proto/escape.h"
#include "cli/output.h"

/* A generator of its own: the same strings each time. */
static uint32_t
next_random(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

/* Written anew here from the rule, not from escape.c's table: what a terminal must never get. */
static bool
is_harmful(int32_t c)
{
	return c < 0 || c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0xad || c == 0x61c ||
	    (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
	    (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xe000 && c <= 0xf8ff) ||
	    (c & 0xfffe) == 0xfffe || c >= 0xe0000;
}

/* Bytes that are likely to hurt: escapes, marks of direction, broken UTF-8. */
static struct bytes
random_text(uint32_t *seed, uint8_t *out, size_t room)
{
	static const char *const nasty[] = { "\033[2J", "\033]52;c;AA\007", "\302\23331m",
		"\xe2\x80\xae", "\xe2\x81\xa6", "\xe2\x80\x8b", "\xef\xbb\xbf", "\xf3\xa0\x80\x81",
		"\r", "\b", "\n", "\t", "\x7f", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",
		"\xe2\x80", "\\u{1b}", "\\u{5c}", "From: secretariat", "\xd0\xa1\xd0\x98",
		"\xc3\xa9", "\xe0\xa4\x95" };
	size_t len = 0, want = next_random(seed) % 40;
	while (len < want) {
		const char *piece = nasty[next_random(seed) % (sizeof(nasty) / sizeof(*nasty))];
		if (next_random(seed) % 2 == 0) {
			out[len++] = (uint8_t)next_random(seed);
			continue;
		}
		size_t n = strlen(piece);
		if (len + n > room)
			break;
		memcpy(out + len, piece, n);
		len += n;
	}
	return (struct bytes){ out, len };
}

static void
test_escaped_text_has_allowed_characters_only(void **state)
{
	uint32_t seed = 20261123;
	(void)state;
	for (int i = 0; i < 100000; i++) {
		uint8_t raw[80];
		struct bytes text = random_text(&seed, raw, sizeof(raw));
		struct buffer out = { 0 };
		enum escape how = i % 2 == 0 ? ESCAPE_LINE : ESCAPE_TEXT;
		bool ascii_only = i % 3 == 0;
		escape_append(text, how, ascii_only, &out);
		for (struct bytes left = buffer_bytes(&out); left.len > 0;) {
			int32_t c = utf8_next(&left);
			if (c == '\n' && how == ESCAPE_TEXT)
				continue;
			assert_false(is_harmful(c));
			assert_false(ascii_only && c > 0x7e);
		}
		buffer_release(&out);
	}
}

static void
test_escape_says_what_was_there(void **state)
{
	static const struct {
		const char *in, *line;
	} cases[] = {
		{ "Panthera pardus", "Panthera pardus" },
		{ "\033[31m", "\\u{1b}[31m" },
		{ "a\nb", "a\\u{a}b" },
		{ "\xe2\x80\xae", "\\u{202e}" },
		{ "\xc2\x9b", "\\u{9b}" },
		{ "\xff", "\\u{ff}" },
		{ "\xc3\xa9l\xc3\xa9phant", "\xc3\xa9l\xc3\xa9phant" },
		{ "\xc0\xaf", "\\u{c0}\\u{af}" },
		{ "\\u{1b}", "\\u{5c}u{1b}" },
		{ "C:\\users", "C:\\users" },
		{ "\xe2\x80", "\\u{e2}\\u{80}" },
		{ "", "" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct buffer out = { 0 };
		escape_append(bytes_str(cases[i].in), ESCAPE_LINE, false, &out);
		assert_string_equal(buffer_text(&out), cases[i].line);
		buffer_release(&out);
	}
}

/* What FN prints to a file, for a terminal of COLUMNS (0: none). The caller's. */
static char *
printed(unsigned columns, void (*fn)(struct output *o, void *arg), void *arg)
{
	char *text = NULL;
	size_t len = 0;
	FILE *file = tmpfile();
	struct output o;
	assert_non_null(file);
	output_init(&o, file);
	o.columns = columns;
	o.terminal = columns > 0;
	o.ascii_only = false;
	fn(&o, arg);
	assert_int_equal(fflush(file), 0);
	len = (size_t)ftell(file);
	text = calloc(1, len + 1);
	rewind(file);
	assert_int_equal(fread(text, 1, len, file), len);
	fclose(file);
	return text;
}

static void
print_text(struct output *o, void *arg)
{
	output_text(o, bytes_str(arg));
}

static void
test_forged_header_stays_behind_the_mark(void **state)
{
	static const char indented[] = "                                        "
				       "                                        From: a";
	static const char *const bodies[] = { "hello\nFrom:         secretariat\n",
		"x\r\nFrom: secretariat", "\nFrom: a", "\vFrom: a", "\342\200\250From: a",
		indented };
	static const unsigned widths[] = { 0, 20, 40, 80 };
	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(*bodies); i++) {
		for (size_t w = 0; w < 4; w++) {
			char *text = printed(widths[w], print_text, (void *)(uintptr_t)bodies[i]);
			for (char *line = text; *line != '\0'; line = strchr(line, '\n') + 1) {
				size_t len = strcspn(line, "\n");
				assert_memory_equal(line, "  | ", 4);
				assert_true(widths[w] == 0 || len <= widths[w]);
				assert_non_null(strchr(line, '\n'));
			}
			free(text);
		}
	}
}

static void
print_field(struct output *o, void *arg)
{
	output_field(o, 0, "Text", arg);
}

static void
test_long_or_broken_field_stands_behind_the_mark(void **state)
{
	char *text = printed(40, print_field,
	    (void *)(uintptr_t) "a value so long that it does not fit beside its label");
	(void)state;
	assert_memory_equal(text, "Text:", 5);
	assert_non_null(strstr(text, "\n  | a value"));
	free(text);
	text = printed(0, print_field, (void *)(uintptr_t) "one\nFrom: two");
	assert_non_null(strstr(text, "\n  | one\n  | From: two\n"));
	free(text);
	text = printed(0, print_field, (void *)(uintptr_t) "short");
	assert_string_equal(text, "Text:         short\n");
	free(text);
}

static void
print_json(struct output *o, void *arg)
{
	o->json = true;
	output_json(o, json_pack("{s:s}", "a", (const char *)arg));
}

static void
test_json_is_ascii_without_controls(void **state)
{
	char *text = printed(0, print_json, (void *)(uintptr_t) "\x7f\xc2\x9b\xe2\x80\xae\033\n");
	json_t *back = json_loads(text, 0, NULL);
	(void)state;
	for (const char *at = text; *at != '\0'; at++)
		assert_true((*at >= 0x20 && *at < 0x7f) || *at == '\n');
	assert_string_equal(
	    json_string_value(json_object_get(back, "a")), "\x7f\xc2\x9b\xe2\x80\xae\033\n");
	json_decref(back);
	free(text);
}

static void
print_cells(struct output *o, void *arg)
{
	static const struct table_column columns[] = { { "ID", COLUMN_PLAIN },
		{ "SUBJECT", COLUMN_WRAP } };
	struct table *t = table_new(o, columns, 2);
	const char *const cells[] = { "0193", arg };
	table_row(t, PAINT_RED, cells);
	table_print(t, "none");
}

/* Permit numbers of one Party and year begin alike: none is cut. */
static void
test_table_on_a_narrow_terminal_loses_nothing(void **state)
{
	static const char subject[] = "KE 2026/0417 Panthera pardus, a skin and two skulls of it";
	char *text = printed(40, print_cells, (void *)(uintptr_t)subject);
	const char *wanted = subject;
	(void)state;
	for (const char *at = strstr(text, "KE"); *at != '\0'; at++) {
		if (*at == *wanted && *at != ' ')
			wanted++;
		while (*wanted == ' ')
			wanted++;
	}
	assert_string_equal(wanted, "");
	for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1)
		assert_in_range(strcspn(line, "\n"), 0, 40);
	free(text);
}

static void
test_table_cell_cannot_break_out_of_its_row(void **state)
{
	char *text = printed(0, print_cells, (void *)(uintptr_t) "a\n0194 forged\033[2J\x9b");
	(void)state;
	assert_non_null(strstr(text, "a\\u{a}0194 forged\\u{1b}[2J\\u{9b}"));
	assert_null(strchr(text, '\033'));
	assert_ptr_equal(strchr(strchr(text, '\n') + 1, '\n')[1], 0);
	free(text);
}

static void
test_colour_needs_a_terminal_and_no_no_color(void **state)
{
	struct output o;
	(void)state;
	setenv("TERM", "xterm", 1);
	FILE *file = tmpfile();
	output_init(&o, file);
	assert_false(o.colour);
	assert_false(o.terminal);
	fclose(file);
	int fd = posix_openpt(2); /* O_RDWR */
	assert_true(fd >= 0);
	file = fdopen(fd, "r+");
	unsetenv("NO_COLOR");
	output_init(&o, file);
	assert_int_equal(o.colour, o.terminal);
	setenv("NO_COLOR", "1", 1);
	output_init(&o, file);
	assert_false(o.colour);
	fclose(file);
}

static void
test_failed_write_fails_the_command(void **state)
{
	struct output o;
	struct failure why = { 0 };
	FILE *full = fopen("/dev/full", "w");
	(void)state;
	assert_non_null(full);
	output_init(&o, full);
	output_say(&o, "something");
	assert_int_equal(output_finish(&o, &why), ERR_IO);
	assert_true(why.words.len > 0);
	failure_release(&why);
	fclose(full);
}

/* Once the text was ended in a copy of the buffer, whose memory then moved. */
static void
print_failure(struct output *o, void *arg)
{
	o->json = true;
	output_failure(o, arg);
}

static void
test_failure_of_any_length_is_said_and_stays(void **state)
{
	int quiet = open("/dev/null", O_WRONLY), standard_error = dup(STDERR_FILENO);
	(void)state;
	dup2(quiet, STDERR_FILENO);
	for (int len = 1; len < 300; len++) {
		struct failure why = { 0 };
		assert_int_equal(failure_set(&why, ERR_VALUE, "%*s", len, "x"), ERR_VALUE);
		char *text = printed(0, print_failure, &why);
		assert_non_null(strstr(text, "x\""));
		assert_int_equal(why.words.len, len);
		free(text);
		failure_release(&why);
	}
	dup2(standard_error, STDERR_FILENO);
	close(standard_error);
	close(quiet);
}

static void
test_times_and_sizes_are_pretty(void **state)
{
	char out[32];
	(void)state;
	pretty_time("2026-12-20T23:59:59Z", out);
	assert_string_equal(out, "2026-12-20 23:59");
	pretty_time("", out);
	assert_string_equal(out, "");
	pretty_time("a very long text that is no time at all, but does not overflow", out);
	assert_int_equal(strlen(out), 31);
	pretty_bytes(2000000, out);
	assert_string_equal(out, "1.9 MiB");
	pretty_bytes(0, out);
	assert_string_equal(out, "0 B");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_escaped_text_has_allowed_characters_only),
		cmocka_unit_test(test_escape_says_what_was_there),
		cmocka_unit_test(test_forged_header_stays_behind_the_mark),
		cmocka_unit_test(test_long_or_broken_field_stands_behind_the_mark),
		cmocka_unit_test(test_json_is_ascii_without_controls),
		cmocka_unit_test(test_table_on_a_narrow_terminal_loses_nothing),
		cmocka_unit_test(test_table_cell_cannot_break_out_of_its_row),
		cmocka_unit_test(test_colour_needs_a_terminal_and_no_no_color),
		cmocka_unit_test(test_failed_write_fails_the_command),
		cmocka_unit_test(test_failure_of_any_length_is_said_and_stays),
		cmocka_unit_test(test_times_and_sizes_are_pretty),
	};
	setlocale(LC_CTYPE, "C.UTF-8");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
