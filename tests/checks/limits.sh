#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Each bound of proto/limits.h has its test: tests/checks/limits.txt says which.
set -euo pipefail
cd "$(dirname "$0")/../.."
list=tests/checks/limits.txt
# Units, and the lengths of what has one length: no other length ever passes a decoder.
no_bounds='PROTO_LIMITS_H|KIB|MIB|SECOND_MS|MINUTE_MS|HOUR_MS|DAY_MS'
no_bounds+='|ID_BYTES|DIGEST_BYTES|KEY_ID_BYTES|INCARNATION_BYTES|FRAME_HEADER_BYTES|CHUNK_TAG_BYTES'

bad=0 rows=0
fail() { echo "$list: $*"; bad=1; }
limits=$(sed -nE 's/^#define ([A-Z0-9_]+).*/\1/p' proto/limits.h | grep -vxE "$no_bounds")

while read -r limit file test more; do
	case "$limit" in '#'* | '') continue ;; esac
	rows=$((rows + 1))
	grep -qxF -e "$limit" <<<"$limits" || fail "$limit: no bound of proto/limits.h"
	[ -n "$test" ] && [ -z "$more" ] || { fail "$limit: a row is LIMIT FILE TEST"; continue; }
	[ -f "$file" ] || { fail "$limit: there is no $file"; continue; }
	grep -qwF -e "$limit" "$file" || fail "$limit: $file does not name it"
	grep -q "^$test(void \*\*state)" "$file" || { fail "$limit: no $test() in $file"; continue; }
	grep -qE "[(,[:space:]]${test}[,)]" "$file" || fail "$limit: $test() is in no table of tests"
done <"$list"

while read -r limit; do
	grep -qE "^${limit}[[:space:]]" "$list" || fail "$limit has no row"
done <<<"$limits"
[ "$rows" -gt 0 ] || fail "no rows"
echo "limits: $(wc -l <<<"$limits") bounds, $rows rows"
exit $bad
