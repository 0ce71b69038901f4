#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Each room includes only what tests/checks/rooms.txt lets it.
set -euo pipefail
cd "$(dirname "$0")/../.."
outside='openssl/|protobuf-c/|jansson\.h|lmdb\.h|event2/|event\.h|confuse\.h|seccomp\.h|libsmartcols|systemd/|libxml|linux/|google/|libintl'

allowed() { # FILE INCLUDED TOKENS...
	local included=$2 token ok=1
	shift 2
	for token in "$@"; do
		case "$token" in
		!*) # shellcheck disable=SC2254
			case "$included" in ${token#!}*) return 1 ;; esac ;;
		*.h) # shellcheck disable=SC2254
			case "$included" in
			daemon/*/*) [ "$token" = "$included" ] && ok=0 ;;
			${token}) ok=0 ;;
			esac ;;
		*) case "$included" in "$token"*) ok=0 ;; esac ;;
		esac
	done
	return $ok
}

row_of() { # FILE -> its row
	local pattern inside outer
	while IFS='|' read -r pattern inside outer; do
		pattern=${pattern%"${pattern##*[! ]}"}
		case "$pattern" in '#'* | '') continue ;; esac
		# shellcheck disable=SC2254
		case "$1" in $pattern) printf '%s|%s' "$inside" "$outer"; return ;; esac
	done <tests/checks/rooms.txt
	return 1
}

bad=0 files=0
while read -r file; do
	row=$(row_of "$file") || { echo "$file: no row in tests/checks/rooms.txt"; bad=1; continue; }
	files=$((files + 1))
	read -ra inside <<<"${row%%|*}"
	read -ra outer <<<"${row##*|}"
	while read -r included; do
		case "$included" in
		proto/* | pki/* | daemon/* | cli/* | tests/*)
			allowed "$file" "$included" "${inside[@]}" || { echo "$file: may not include $included"; bad=1; } ;;
		config.h) ;;
		*) if [[ $included =~ ^($outside) ]]; then
			allowed "$file" "$included" "${outer[@]}" || { echo "$file: may not include <$included>"; bad=1; }
		fi ;;
		esac
	done < <(sed -nE 's/^#[[:space:]]*include[[:space:]]*[<"]([^>"]+)[>"].*/\1/p' "$file")
	if [[ $file == daemon/* || $file == proto/* ]] && [[ $file != daemon/loop.c ]] &&
		grep -nE '\b(clock_gettime|gettimeofday|time)\((NULL|CLOCK|&)' "$file"; then
		echo "$file: only daemon/loop.c asks the system what time it is"
		bad=1
	fi
done < <(git ls-files 'proto/*.[ch]' 'pki/*.[ch]' 'daemon/*.[ch]' 'cli/*.[ch]')
[ "$files" -gt 0 ] || { echo "no files looked at"; bad=1; }
echo "includes: $files files"
exit $bad
