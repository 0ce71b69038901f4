#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Rules that a search can check: licence lines, banned functions, recursive
# schemas, documented public functions.
set -euo pipefail
cd "$(dirname "$0")/../.."
bad=0
fail() { echo "$*"; bad=1; }

while read -r f; do
	head -n 3 "$f" | grep -q 'SPDX-License-Identifier: Apache-2.0' || fail "$f: no SPDX line in its first three"
done < <(git ls-files '*.c' '*.h' '*.sh' '*.py' '*.am' '*.ac' '*.proto' '*.awk' run bootstrap .ci/run)

banned='strcpy|strcat|sprintf|vsprintf|gets|scanf|sscanf|fscanf|strtok|atoi|atol|system|popen|alloca|rand|tmpnam|mktemp'
if git grep -nE "(^|[^_a-zA-Z0-9.>\"\`])($banned)[[:space:]]*\(" -- 'proto/*.[ch]' 'pki/*.[ch]' 'daemon/*.[ch]' 'cli/*.[ch]' |
	grep -vE ':[0-9]+:[[:space:]]*(/?\*|//|")'; then
	fail "the functions above are banned (docs/threats.md)"
fi

if git grep -nE '\b(CMS_decrypt|CMS_verify|d2i_CMS|PKCS7_)' -- 'pki/*.c' 'daemon/*.c' 'cli/*.c' | grep -vE ':[0-9]+:[[:space:]]*\*'; then
	fail "received bytes never reach OpenSSL's CMS functions"
fi

# A message that contains itself, directly or not, could be nested without end.
protos=$(mktemp)
git ls-files '*.proto' >"$protos"
python3 - "$protos" <<'PY' || bad=1
import re, sys
uses = {}
for path in open(sys.argv[1], encoding="utf-8").read().split():
    with open(path, encoding="utf-8") as f:
        text = re.sub(r"//.*", "", f.read())
    for name, body in re.findall(r"message (\w+) \{(.*?)\n?\}", text, re.S):
        uses[name] = set(re.findall(r"(?:repeated )?(?:citex\.)?([A-Z]\w*) \w+ = ", body))
def reach(name, seen):
    for next_name in uses.get(name, ()):
        if next_name not in seen:
            seen.add(next_name)
            reach(next_name, seen)
    return seen
loops = [name for name in uses if name in reach(name, set())]
for name in loops:
    print(f"message {name} contains itself")
sys.exit(1 if loops or not uses else 0)
PY
rm -f "$protos"

# A run of declarations without a blank line has a comment somewhere in it;
# _free, _release and _drop mean the same everywhere.
while read -r h; do
	awk -v file="$h" '
	function judge() { if (what != "" && !commented) { print file ":" at ": no comment: " what; bad = 1 } what = "" }
	/^[[:space:]]*$/ { judge(); commented = 0; next }
	/\/\*|^ \*/ { commented = 1 }
	/^(enum|struct|const|bool|void|int|int64_t|uint64_t|uint32_t|size_t|unsigned|char|uid_t|pid_t|json_t)[ a-z0-9_*]*\(/ {
		if ($0 !~ /_(free|release|drop)\(/) { what = $0; at = FNR }
	}
	END { judge(); exit bad }' "$h" || bad=1
done < <(git ls-files 'proto/*.h' 'pki/*.h' 'daemon/*.h')
exit $bad
