/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "cli/editor.h"
#include "proto/escape.h"
#include "cli/folder.h"
#include "cli/names.h"

static char place[] = "/tmp/citex-files-XXXXXX";
static int outer = -1; /* descriptor of PLACE; the folder to save to is `in' within it */

static int
make_place(void **state)
{
	(void)state;
	if (mkdtemp(place) == NULL)
		return -1;
	outer = open(place, O_RDONLY | O_DIRECTORY);
	return outer < 0 ? -1 : 0;
}

static void
empty(int folder)
{
	int again = openat(folder, ".", O_RDONLY | O_DIRECTORY);
	DIR *dir = fdopendir(again);
	for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		int inner = openat(folder, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
		if (inner >= 0) {
			empty(inner);
			close(inner);
		}
		unlinkat(folder, entry->d_name, inner >= 0 ? AT_REMOVEDIR : 0);
	}
	closedir(dir);
}

static int
remove_place(void **state)
{
	(void)state;
	empty(outer);
	close(outer);
	return rmdir(place);
}

static size_t
entries(int folder)
{
	size_t n = 0;
	DIR *dir = fdopendir(openat(folder, ".", O_RDONLY | O_DIRECTORY));
	for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
		n += entry->d_name[0] != '.' || strlen(entry->d_name) > 2;
	closedir(dir);
	return n;
}

static void
test_names_become_harmless(void **state)
{
	static const struct {
		const char *label, *name;
	} cases[] = {
		{ "scan1.pdf", "scan1.pdf" },
		{ "../../etc/passwd", "_.._etc_passwd" },
		{ "/etc/passwd", "_etc_passwd" },
		{ "..", "attachment" },
		{ ".", "attachment" },
		{ "", "attachment" },
		{ ".bashrc", "bashrc" },
		{ "-rf", "rf" },
		{ "~root", "root" },
		{ "a\\b:c", "a_b_c" },
		{ "annexe\342\200\256fdp.exe", "annexe_fdp.exe" },
		{ "a\nb\033[2J", "a_b_[2J" },
		{ "\xff\xfe", "__" },
		{ "CON", "_CON" },
		{ "nul.txt", "_nul.txt" },
		{ "com1", "_com1" },
		{ "common.pdf", "common.pdf" },
		{ "end. . ", "end" },
		{ "\xc3\xa9l\xc3\xa9phant.pdf", "\xc3\xa9l\xc3\xa9phant.pdf" },
		{ "a?*\"<>|.txt", "a______.txt" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char name[NAME_BYTES];
		name_clean(cases[i].label, name);
		assert_string_equal(name, cases[i].name);
		assert_true(name_is_clean(name));
	}
}

static void
test_long_names_keep_their_ending_and_whole_characters(void **state)
{
	char label[400], name[NAME_BYTES];
	(void)state;
	memset(label, 'x', 300);
	memcpy(label + 300, ".pdf", 5);
	name_clean(label, name);
	assert_int_equal(strlen(name), 200);
	assert_string_equal(name + 196, ".pdf");
	for (size_t i = 0; i < 300; i += 3)
		memcpy(label + i, "\xe0\xa4\x95", 3);
	name_clean(label, name);
	assert_true(strlen(name) <= 200);
	for (struct bytes left = bytes_str(name); left.len > 0;)
		assert_true(utf8_next(&left) >= 0);
	name_number(name, 12, label);
	assert_true(name_is_clean(label) || strlen(label) > 200);
	assert_true(strlen(label) < NAME_BYTES);
}

/* Made of what is likely to lead astray, and saved: everything lands in the folder. */
static void
test_generated_names_stay_in_the_folder(void **state)
{
	static const char *const pieces[] = { "../", "/", "..", ".", "-", "~", "\\", "a", "\n",
		"\xe2\x80\xae", "\xff", " ", "NUL", "con", "\x01", "\xef\xbc\x8f", "x.pdf", ":",
		"%2e%2e%2f", "\xc0\xaf" };
	struct failure why = { 0 };
	int folder = folder_within(outer, "generated", &why);
	uint32_t seed = 99;
	size_t made = 0;
	(void)state;
	assert_true(folder >= 0);
	size_t before = entries(outer);
	for (int i = 0; i < 10000; i++) {
		char label[256] = "", name[NAME_BYTES];
		for (int j = 0; j < 8; j++) {
			seed = seed * 1664525 + 1013904223;
			size_t len = strlen(label);
			snprintf(label + len, sizeof(label) - len, "%s", pieces[(seed >> 16) % 20]);
		}
		name_clean(label, name);
		assert_true(name[0] != '\0' && name[0] != '.' && name[0] != '-');
		assert_null(strchr(name, '/'));
		assert_true(strlen(name) < NAME_BYTES - 50);
		if (i % 20 != 0)
			continue;
		int fd = folder_create(folder, name, &why);
		if (fd >= 0) {
			made++;
			close(fd);
		} else
			assert_int_equal(why.err, ERR_EXISTS);
		failure_release(&why);
	}
	assert_int_equal(entries(folder), made);
	assert_int_equal(entries(outer), before);
	close(folder);
}

static void
test_unclean_names_are_refused_by_the_file_system_side_too(void **state)
{
	static const char *const names[] = { "../x", "/tmp/x", "..", ".", "", "a/b", ".hidden",
		"-x" };
	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		struct failure why = { 0 };
		assert_int_equal(folder_create(outer, names[i], &why), -1);
		assert_int_equal(why.err, ERR_VALUE);
		failure_release(&why);
		assert_int_equal(folder_within(outer, names[i], &why), -1);
		assert_int_equal(why.err, ERR_VALUE);
		failure_release(&why);
	}
}

static void
test_nothing_is_written_over(void **state)
{
	struct failure why = { 0 };
	struct stat st;
	int fd = folder_create(outer, "once", &why);
	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(folder_write(fd, bytes_str("first"), &why), OK);
	assert_int_equal(folder_finish(outer, "once", fd, OK, &why), OK);
	assert_int_equal(fstatat(outer, "once", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_size, 5);
	assert_int_equal(folder_create(outer, "once", &why), -1);
	assert_int_equal(why.err, ERR_EXISTS);
	failure_release(&why);
	assert_int_equal(symlinkat("/etc/passwd", outer, "link"), 0);
	assert_int_equal(folder_create(outer, "link", &why), -1);
	assert_int_equal(why.err, ERR_EXISTS);
	failure_release(&why);
	assert_int_equal(symlinkat("nowhere", outer, "dangling"), 0);
	assert_int_equal(folder_create(outer, "dangling", &why), -1);
	failure_release(&why);
	assert_int_not_equal(fstatat(outer, "nowhere", &st, 0), 0);
	assert_int_equal(symlinkat("/tmp", outer, "door"), 0);
	assert_int_equal(folder_within(outer, "door", &why), -1);
	failure_release(&why);
}

static void
test_failed_file_is_taken_away(void **state)
{
	struct failure why = { 0 };
	struct stat st;
	int fd = folder_create(outer, "half", &why);
	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(folder_finish(outer, "half", fd, ERR_CORRUPT, &why), ERR_CORRUPT);
	assert_int_not_equal(fstatat(outer, "half", &st, 0), 0);
	failure_release(&why);
}

/* Somebody swaps a name between a file, a link to the outside, and nothing. */
static atomic_bool swapping;

static void *
swap(void *arg)
{
	(void)arg;
	while (atomic_load(&swapping)) {
		(void)!symlinkat("target", outer, "race");
		unlinkat(outer, "race", 0);
	}
	return NULL;
}

static void
test_swapped_symbolic_link_is_never_followed(void **state)
{
	pthread_t thread;
	struct stat st;
	(void)state;
	atomic_store(&swapping, true);
	assert_int_equal(pthread_create(&thread, NULL, swap, NULL), 0);
	for (int i = 0; i < 5000; i++) {
		struct failure why = { 0 };
		int fd = folder_create(outer, "race", &why);
		if (fd >= 0)
			close(fd);
		failure_release(&why);
		assert_int_not_equal(fstatat(outer, "target", &st, 0), 0);
	}
	atomic_store(&swapping, false);
	pthread_join(thread, NULL);
	unlinkat(outer, "race", 0);
}

static void
test_folder_is_made_with_those_above_it(void **state)
{
	struct failure why = { 0 };
	char path[128];
	struct stat st;
	(void)state;
	snprintf(path, sizeof(path), "%s/a/b//c/", place);
	int fd = folder_open(path, &why);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	fd = folder_open(path, &why);
	assert_true(fd >= 0);
	close(fd);
	snprintf(path, sizeof(path), "%s/file", place);
	close(open(path, O_WRONLY | O_CREAT, 0600));
	assert_int_equal(folder_open(path, &why), -1);
	assert_int_equal(why.err, ERR_IO);
	failure_release(&why);
}

static void
test_editor_is_refused_on_a_disk_and_leaves_nothing_in_memory(void **state)
{
	struct buffer text = { 0 };
	struct failure why = { 0 };
	struct stat st;
	char shm[] = "/dev/shm/citex-test-XXXXXX";
	(void)state;
	unsetenv("XDG_RUNTIME_DIR");
	assert_int_equal(editor_run(&text, &why), ERR_DENIED);
	failure_release(&why);
	setenv("XDG_RUNTIME_DIR", "/proc", 1);
	assert_int_equal(editor_run(&text, &why), ERR_DENIED);
	failure_release(&why);
	if (mkdtemp(shm) == NULL)
		skip();
	setenv("XDG_RUNTIME_DIR", shm, 1);
	buffer_add_str(&text, "text: before\n");
	setenv("VISUAL",
	    "sh -c 'stat -c %a \"$0\" >\"$0\".mode; cp \"$0\" \"$0\"~; echo \"text: after\" "
	    ">\"$0\"'",
	    1);
	enum err e = editor_run(&text, &why);
	if (e == ERR_DENIED) /* no tmpfs at /dev/shm here */
		skip();
	assert_int_equal(e, OK);
	assert_string_equal(buffer_text(&text), "text: after\n");
	int folder = open(shm, O_RDONLY | O_DIRECTORY);
	assert_int_equal(entries(folder), 0);
	setenv("VISUAL", "false", 1);
	assert_int_equal(editor_run(&text, &why), ERR_VALUE);
	assert_int_equal(entries(folder), 0);
	close(folder);
	failure_release(&why);
	buffer_release(&text);
	assert_int_equal(stat(shm, &st), 0);
	assert_int_equal(rmdir(shm), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_become_harmless),
		cmocka_unit_test(test_long_names_keep_their_ending_and_whole_characters),
		cmocka_unit_test(test_generated_names_stay_in_the_folder),
		cmocka_unit_test(test_unclean_names_are_refused_by_the_file_system_side_too),
		cmocka_unit_test(test_nothing_is_written_over),
		cmocka_unit_test(test_failed_file_is_taken_away),
		cmocka_unit_test(test_swapped_symbolic_link_is_never_followed),
		cmocka_unit_test(test_folder_is_made_with_those_above_it),
		cmocka_unit_test(test_editor_is_refused_on_a_disk_and_leaves_nothing_in_memory),
	};
	return cmocka_run_group_tests(tests, make_place, remove_place);
}
