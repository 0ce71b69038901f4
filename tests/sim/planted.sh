#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Is the net any good? Each patch in tests/sim/planted/ puts a known bug into a
# copy of the tree; the simulator must find it within 600 seeds.
set -eu
here=$(pwd)
source=$(cd "${srcdir:?}" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0
for patch in "$source"/tests/sim/planted/*.patch; do
	name=$(basename "$patch" .patch)
	rm -rf "$work/src"
	mkdir "$work/src"
	(cd "$source" && tar cf - --exclude=./build --exclude=./build-asan --exclude=./build-clang \
		--exclude=./build-tsan --exclude=./.git .) | (cd "$work/src" && tar xf -)
	patch -s -d "$work/src" -p1 <"$patch"
	mkdir -p "$work/build"
	(cd "$work/build" && { [ -f Makefile ] || "$work/src/configure" --quiet CFLAGS='-O1'; } &&
		make -s -j2 tests/sim/sim_mail) >"$work/log" 2>&1 || { tail -n 20 "$work/log"; exit 1; }
	if found=$(timeout 300 "$work/build/tests/sim/sim_mail" 1 600 2>/dev/null); then
		echo "$name: NOT FOUND in 600 seeds"
		failed=$((failed + 1))
	else
		echo "$name: $(printf '%s\n' "$found" | grep seed | tail -n 1)"
		passed=$((passed + 1))
	fi
done
cd "$here"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
