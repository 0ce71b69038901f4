#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Is the net any good? Each patch in tests/sim/planted/ puts a known bug into a
# copy of the tree; the simulator must find it within 600 seeds. Without a
# patch, it must find nothing.
set -eu
here=$(pwd)
source=$(cd "${srcdir:?}" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/src" "$work/build"
(cd "$source" && tar cf - --exclude=./build --exclude=./build-asan --exclude=./build-clang \
	--exclude=./build-tsan --exclude=./.git .) | (cd "$work/src" && tar xf -)

simulator() {
	(cd "$work/build" && { [ -f Makefile ] || "$work/src/configure" --quiet CFLAGS='-O1'; } &&
		make -s -j2 tests/sim/sim_mail) >"$work/log" 2>&1 || { tail -n 20 "$work/log"; exit 1; }
}

passed=0 failed=0
simulator
if found=$(timeout 300 "$work/build/tests/sim/sim_mail" 1 200 2>/dev/null); then
	echo "no bug: nothing found in 200 seeds"
	passed=$((passed + 1))
else
	echo "no bug: $(printf '%s\n' "$found" | grep seed | tail -n 1)"
	failed=$((failed + 1))
fi
for patch in "$source"/tests/sim/planted/*.patch; do
	name=$(basename "$patch" .patch)
	patch -s -d "$work/src" -p1 <"$patch"
	simulator
	if found=$(timeout 300 "$work/build/tests/sim/sim_mail" 1 600 2>/dev/null); then
		echo "$name: NOT FOUND in 600 seeds"
		failed=$((failed + 1))
	else
		echo "$name: $(printf '%s\n' "$found" | grep seed | tail -n 1)"
		passed=$((passed + 1))
	fi
	# taken out again, so that what it changed is built anew: bugs must not add up
	patch -s -R -d "$work/src" -p1 <"$patch"
done
cd "$here"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
