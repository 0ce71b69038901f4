#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Is docs/citex.1 whole? Every command and option that `citex --help' names
# stands in it, and it names no command that is not there. Run by `make check'.
set -euo pipefail
manual=${srcdir:-.}/docs/citex.1
citex=./citex
passed=0 failed=0
judge() { # WORDS COMMAND...
	local words=$1
	shift
	if "$@"; then
		passed=$((passed + 1))
	else
		echo "$words"
		failed=$((failed + 1))
	fi
}
names_command() { grep -qE "^\.It Cm $1( |\$)" "$manual"; }
names_option() { grep -qE "^\.It (.* )?Fl -$1( |\$)" "$manual"; }
is_command() { grep -qx -- "$1" <<<"$commands"; } # no pipe: grep leaves at the first line, and printf would die of it

commands=$("$citex" --help | sed -nE 's/^  ([a-z-]+) +.*/\1/p')
[ -n "$commands" ] || { echo "citex --help names no command"; exit 1; }
for command in $commands; do
	judge "docs/citex.1 lacks the command $command" names_command "$command"
	options=$("$citex" "$command" --help | sed -nE 's/^ +(-[a-z], )?--([a-z-]+).*/\2/p')
	judge "citex $command --help names no option" [ -n "$options" ]
	for option in $options; do
		judge "docs/citex.1 lacks --$option of $command" names_option "$option"
	done
done
while read -r command; do
	judge "docs/citex.1 names $command, which citex does not know" is_command "$command"
done < <(sed -nE 's/^\.It Cm ([a-z-]+).*/\1/p' "$manual")
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
