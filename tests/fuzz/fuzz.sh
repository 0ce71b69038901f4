#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# fuzz.sh TARGET SECONDS DEFINES..., in the build folder, called by `make fuzz': builds the
# libraries and one target with clang's fuzzer and the sanitizers, and runs it
# on its corpus. New inputs gather in tests/fuzz/found/TARGET; one that crashes
# is left there too, and goes into the corpus with the fix.
set -eu
: "${srcdir:?}" "${sources:?}" "${libraries:?}"
target=$1 seconds=$2
shift 2 # what is left goes to the compiler
objects=tests/fuzz/objects
found=tests/fuzz/found/$target
main=$srcdir/tests/fuzz/fuzz_$target.c

command -v clang >/dev/null || { echo 'make fuzz needs clang (./run install-tools)'; exit 1; }
if [ -z "$target" ] || [ ! -f "$main" ]; then
	echo 'make fuzz T=TARGET [S=SECONDS]; the targets are:'
	for f in "$srcdir"/tests/fuzz/fuzz_*.c; do
		name=${f##*/fuzz_}
		echo "  ${name%.c}"
	done
	exit 2
fi

set -- -std=gnu11 -g -O1 -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined \
	-fno-sanitize-recover=undefined "$@"

# is_newer FILE OBJECT: whether FILE or any header is
is_newer() {
	[ ! -f "$2" ] || [ -n "$(find "$1" "$srcdir/proto" "$srcdir/pki" "$srcdir/daemon" "$srcdir/tests" proto \
		\( -name '*.h' -o -path "$1" \) -newer "$2" -print | head -n 1)" ]
}

mkdir -p "$objects" "$found"
rm -f "$objects/all.a"
for source in $sources; do
	object=$objects/${source%.c}.o
	file=$source
	[ -f "$file" ] || file=$srcdir/$source
	case $source in
	*.c)
		mkdir -p "${object%/*}"
		if is_newer "$file" "$object"; then clang "$@" -c -o "$object" "$file"; fi
		ar -qc "$objects/all.a" "$object" ;;
	esac
done
ranlib "$objects/all.a"
# shellcheck disable=SC2086 # the libraries are words
clang "$@" -fsanitize=fuzzer -o "$objects/fuzz_$target" "$main" "$objects/all.a" $libraries -lpthread
exec "$objects/fuzz_$target" -max_total_time="$seconds" -max_len=131072 -timeout=10 -rss_limit_mb=1024 \
	-print_final_stats=1 -artifact_prefix="$found/" "$found" "$srcdir/tests/fuzz/corpus/$target"
