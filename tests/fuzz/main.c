/* SPDX-License-Identifier: Apache-2.0 */
/* Runs one fuzz target over files, or over all files of folders; without
 * arguments over its own corpus. Each input is in memory of just its length,
 * so that the sanitizers see one byte too far. */
#include <dirent.h>
#include <libgen.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/fuzz/fuzz.h"

#define INPUT_MAX_BYTES (16L << 20)

static unsigned inputs;

static void
stop(const char *path, const char *why)
{
	fprintf(stderr, "%s: %s\n", path, why);
	exit(1);
}

static void
run_file(const char *path, long len)
{
	FILE *f = fopen(path, "rb");
	uint8_t *input = len > INPUT_MAX_BYTES ? NULL : malloc((size_t)len + (len == 0));

	if (f == NULL || input == NULL || fread(input, 1, (size_t)len, f) != (size_t)len)
		stop(path, "cannot be read");
	fclose(f);
	if (LLVMFuzzerTestOneInput(input, (size_t)len) != 0)
		stop(path, "the target said no");
	free(input);
	inputs++;
}

static void
run(const char *path)
{
	struct stat st;
	struct dirent **names;
	int count;

	if (stat(path, &st) != 0)
		stop(path, "is not there");
	if (!S_ISDIR(st.st_mode)) {
		run_file(path, (long)st.st_size);
		return;
	}
	count = scandir(path, &names, NULL, alphasort);
	if (count < 0)
		stop(path, "cannot be read");
	for (int i = 0; i < count; i++) {
		char *inside;
		if (names[i]->d_name[0] != '.') {
			if (asprintf(&inside, "%s/%s", path, names[i]->d_name) < 0)
				stop(path, "no memory");
			run(inside);
			free(inside);
		}
		free(names[i]);
	}
	free(names);
}

/* fuzz_NAME to $srcdir/tests/fuzz/corpus/NAME */
static void
run_own_corpus(char *program)
{
	const char *name = strstr(basename(program), "fuzz_"), *top = getenv("srcdir");
	char *path;

	if (name == NULL)
		stop(program, "is not called fuzz_NAME");
	if (asprintf(&path, "%s/tests/fuzz/corpus/%s", top == NULL ? "." : top, name + 5) < 0)
		stop(program, "no memory");
	run(path);
	free(path);
}

int
main(int argc, char **argv)
{
	if (argc == 1)
		run_own_corpus(argv[0]);
	for (int i = 1; i < argc; i++)
		run(argv[i]);
	if (inputs == 0)
		stop(argv[0], "found no input");
	printf("%u inputs\n1 passed, 0 failed, 0 skipped\n", inputs);
	return 0;
}
