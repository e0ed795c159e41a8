#!/bin/bash
# unit.sh [BUILD_DIR] : the unit tests of the ordinary build. Closing line: N passed, N failed.
set -u
top=$(cd "$(dirname "$0")/.." && pwd); dir=${1:-$top/build}; log=$(mktemp); trap 'rm -f "$log"' EXIT
cd "$top" || exit 1
timeout 300 "$dir/unit_tests" > "$log" 2>&1 </dev/null; rc=$?
line=$(grep -a '^\[doctest\] test cases:' "$log" | tail -n 1)
passed=$(sed -n 's/.*| *\([0-9]*\) passed.*/\1/p' <<<"$line") failed=$(sed -n 's/.*| *\([0-9]*\) failed.*/\1/p' <<<"$line")
[ $rc -ne 0 ] && { tail -n 60 "$log"; echo "unit tests ended with status $rc"; [ "${failed:-0}" = 0 ] && failed=1; }
echo "${passed:-0} passed, ${failed:-1} failed"
[ $rc -eq 0 ]
