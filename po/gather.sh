#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The words of all sources to FILE: po/gather.sh FILE. Tables that are made of
# schemas and code lists are made here too, so it needs no build.
set -eu
mkdir -p "$(dirname "$1")"
out=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
cd "$(dirname "$0")/.."
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
mkdir "$made/cli" "$made/proto"
awk -f cli/help.awk proto/kinds/*.proto >"$made/cli/help_table.c"
awk -f proto/codes.awk proto/codes/*.csv >"$made/proto/code_tables.c"
printf 'msgid "%s"\nmsgstr ""\n\n' '%s' '%s: %s' '%s%s%s' >"$made/no-words.po"
xgettext --directory=. --directory="$made" --files-from=po/POTFILES --keyword=_ --keyword=N_ \
	--keyword=problem_set:3 --keyword=problem_add:5 --keyword=refuse:3 --keyword=turn_fail:3 --keyword=forbid:2 \
	--exclude-file="$made/no-words.po" --add-comments=For --from-code=UTF-8 \
	--package-name=citex --output="$out"
