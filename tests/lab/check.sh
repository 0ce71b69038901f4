#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The story, one house and the faults on real nodes, as part of `make check'. A distcheck
# runs the unit tests only.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
case $(pwd) in
*/_build/*) echo "the lab is not for distcheck"; exit 77 ;;
esac
for python in /usr/bin/python3 python3; do
	"$python" -c 'import cryptography' 2>/dev/null && break
done
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
if "$python" "$here/demo" --build . --dir "$folder/demo" >"$folder/story" 2>&1; then
	grep 'nothing is left running' "$folder/story"
	echo '1 passed, 0 failed'
else
	cat "$folder/story"
	echo '0 passed, 1 failed'
	exit 1
fi
"$python" "$here/test_pki.py" --build .
"$python" "$here/test_house.py" --build .
"$python" "$here/test_lab.py" --build .
