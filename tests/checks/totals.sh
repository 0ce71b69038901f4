#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Adds up what the test logs of the given build folders say; the last line is
# `N passed, N failed, N skipped'. Fails when nothing ran or anything failed.
set -euo pipefail
find "$@" -name '*.log' -path '*tests*' -print0 | xargs -0 awk '
	/^\[  PASSED  \] [0-9]+ test/ { passed += $4 }
	/^\[  FAILED  \] [0-9]+ test/ { failed += $4 }
	/^\[  SKIPPED \] [0-9]+ test/ { skipped += $4 }
	/^[0-9]+ passed, [0-9]+ failed/ { passed += $1; failed += $3; skipped += $5 }
	END {
		printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
		exit (passed == 0 || failed > 0)
	}'
