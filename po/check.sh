#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Each catalogue has all words of the sources, none is doubtful, and the program
# speaks by it: to people. What programs read stays as it is.
set -eu
build=$(pwd)
source=$(cd "${srcdir:-$(dirname "$0")/..}" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
passed=0 failed=0

row() { # WORDS COMMAND...
	words=$1
	shift
	if "$@" >"$folder/out" 2>&1; then
		passed=$((passed + 1))
	else
		echo "FAILED: $words"
		cat "$folder/out"
		failed=$((failed + 1))
	fi
}

says() { # LANGUAGE WORDS STATUS ARGUMENT...
	language=$1 expected=$2 status=$3
	shift 3
	got=0
	LANGUAGE=$language LC_ALL=C.UTF-8 TEXTDOMAINDIR=$build/po CITEX_RUN=$folder/nowhere \
		"$build/citex" "$@" >"$folder/said" 2>&1 || got=$?
	cat "$folder/said"
	[ "$got" -eq "$status" ] && grep -qF -e "$expected" "$folder/said"
}

# Lines of help that are sentences, and the same in English and in LANGUAGE.
left_english() { # LANGUAGE COMMAND...
	for language in C "$1"; do
		for command in '' $commands; do
			# shellcheck disable=SC2086 # none for the whole program
			LANGUAGE=$language LC_ALL=C.UTF-8 TEXTDOMAINDIR=$build/po "$build/citex" $command --help
		done | sed -E 's/.*[^ ]  +//; s/^ +//' | grep -E '[a-z]+ [a-z]+ [a-z]+' | sort -u >"$folder/help.$language"
	done
	[ -s "$folder/help.C" ] && [ -s "$folder/help.$1" ] || return 1
	comm -12 "$folder/help.C" "$folder/help.$1" >"$folder/same"
	cat "$folder/same"
	! [ -s "$folder/same" ] && ! grep -q Project-Id-Version "$folder/help.$1"
}

# Sentences with parameters that arrive filled in: cli/said.c has to know them.
known_sentences() {
	xgettext --omit-header --keyword=N_ --output="$folder/said.pot" "$source/cli/said.c"
	printf 'msgid "%s"\nmsgstr ""\n\n' '%s' '%s: %s' '%s%s%s' >"$folder/no-words.po"
	xgettext --omit-header --keyword=N_ --keyword=problem_set:3 --keyword=problem_add:5 --keyword=refuse:3 \
		--keyword=turn_fail:3 --keyword=forbid:2 --exclude-file="$folder/no-words.po" --output="$folder/sent.pot" \
		"$source/proto/check.c" "$source/proto/kind.c" "$source"/proto/kinds/*.c "$source/proto/handling.c" \
		"$source/daemon/office/doctor.c" "$source/daemon/office/send.c" "$source"/daemon/office/desk*.c \
		"$source/daemon/post/admin.c"
	msggrep --msgid --regexp=% --output-file="$folder/formats.pot" "$folder/sent.pot"
	grep -q '^msgid "[^"]' "$folder/formats.pot" || return 1
	msgcmp --use-untranslated "$folder/said.pot" "$folder/formats.pot" >"$folder/judged" 2>&1 && return
	grep -v 'is not used' "$folder/judged"
	return 1
}

"$source/po/gather.sh" "$folder/citex.pot"
for po in "$source"/po/*.po; do
	language=$(basename "$po" .po)
	row "$language: a word of the sources is missing or doubtful" msgcmp "$po" "$folder/citex.pot"
	row "$language: a format differs" msgfmt --check-format -o /dev/null "$po"
	row "$language: it is not installed" grep -qw "$language" "$source/po/room.am"
done
commands=$("$build/citex" --help | sed -nE 's/^  ([a-z-]+) +.*/\1/p')
for language in fr es; do
	row "$language: help that is still in English" left_english "$language"
done
row 'a sentence that cli/said.c does not know' known_sentences
row 'fr: the help' says fr 'Pour écrire :' 0 --help
row 'fr: a command'\''s help' says fr 'joindre ce fichier' 0 ask --help
row 'fr: an error' says fr "il n'y a pas de commande « frobnicate »" 2 frobnicate
row 'es: the help' says es 'Para escribir:' 0 --help
row 'es: an error' says es '¿qué orden?' 2
row 'en: the help' says en 'To write:' 0 --help
row 'fr: codes stay codes' says fr 'missing-information' 0 codes query_reasons
row 'fr: a failure for programs is in English' says fr '"words": "there is no list `zz'\''; citex codes names them"' 4 codes zz --json
row 'fr: the same for people' says fr 'il n'\''y a pas de liste « zz »' 4 codes zz
row 'fr: for programs nothing changes' says fr '"word": "missing-information"' 0 codes query_reasons --json
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
