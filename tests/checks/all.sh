#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every check of `./run check', each stage with its seconds. Stops at the first
# that fails and shows what it printed; a missing tool is a failure.
set -euo pipefail
cd "$(dirname "$0")/../.."
logs=build/check-logs
mkdir -p "$logs"
jobs=$(nproc)

need() {
	local tool
	for tool in "$@"; do
		command -v "$tool" >/dev/null || { echo "missing: $tool (./run install-tools)"; exit 1; }
	done
}
need gcc clang clang-format-14 make autoreconf protoc-c mandoc shellcheck python3 openssl git mdb_stat mdb_copy

stage() { # NAME COMMAND...
	local name=$1 begin=$SECONDS
	shift
	if ! "$@" >"$logs/$name.log" 2>&1; then
		tail -n 60 "$logs/$name.log"
		echo "stage $name failed after $((SECONDS - begin)) s"
		exit 1
	fi
	printf '%-12s %4d s\n' "$name" $((SECONDS - begin))
}

format() {
	git ls-files '*.c' '*.h' | xargs clang-format-14 --dry-run -Werror
}
scripts() {
	git ls-files | while read -r f; do
		head -c 40 "$f" | grep -qE '^#!/bin/(ba)?sh' && printf '%s\0' "$f"
	done | xargs -0 shellcheck -x -S warning
	python3 -m compileall -q tests
	find tests -name __pycache__ -prune -exec rm -rf {} +
}
manuals() {
	git ls-files 'docs/*.[1-8]' | xargs mandoc -T lint -W warning
}
configured() { # DIR ARGUMENT...
	local dir=$1
	shift
	[ -x configure ] && [ configure -nt configure.ac ] || ./bootstrap
	mkdir -p "$dir"
	[ -f "$dir/Makefile" ] || (cd "$dir" && ../configure --quiet "$@")
}
gcc_build() {
	configured build --enable-werror
	make -C build -j"$jobs" all
	make -C build -j"$jobs" check TESTS=
}
gcc_check() {
	make -C build -j"$jobs" check || { cat build/test-suite.log; return 1; }
}
clang_build() {
	configured build-clang --enable-werror CC=clang
	make -C build-clang -j"$jobs" all
	make -C build-clang -j"$jobs" check TESTS=
}
sanitized_check() {
	configured build-asan --enable-werror --enable-sanitizers=address,undefined CFLAGS='-O1 -g'
	ASAN_OPTIONS=detect_leaks=1:abort_on_error=1 UBSAN_OPTIONS=print_stacktrace=1 \
		make -C build-asan -j"$jobs" check || { cat build-asan/test-suite.log; return 1; }
}
threads_check() {
	configured build-tsan --enable-werror --enable-sanitizers=thread CFLAGS='-O1 -g'
	make -C build-tsan -j"$jobs" check TESTS='$(check_PROGRAMS)' || { cat build-tsan/test-suite.log; return 1; }
}
planted_check() {
	make -s -C build planted
}
dist_check() {
	make -C build -j"$jobs" distcheck
}

stage format format
stage scripts scripts
stage rooms tests/checks/includes.sh
stage source tests/checks/source.sh
stage limits tests/checks/limits.sh
stage manuals manuals
stage gcc gcc_build
stage tests gcc_check
stage planted planted_check
stage clang clang_build
stage sanitizers sanitized_check
stage threads threads_check
stage distcheck dist_check
echo "all stages: $SECONDS s"
tests/checks/totals.sh build build-asan build-tsan
