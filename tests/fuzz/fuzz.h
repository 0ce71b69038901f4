/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* One target a file, fuzz_NAME.c; its corpus is corpus/NAME/. main.c replays
 * the corpus in `make check'; `make fuzz T=NAME S=SECONDS' grows it. */
int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len);

/* What must hold of every input; the fuzzer and the replay both see the end. */
#define MUST(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
			abort(); \
		} \
	} while (0)

#endif
