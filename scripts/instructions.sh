#!/bin/bash
# instructions.sh [-u] [BUILD_DIR] : user-space instructions per command of the target, counted by callgrind, against
# tests/bench/instructions.txt. Fails when one grew by more than 5 %; -u writes the file anew. Closing line: N passed, N failed.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd); update=
[ "${1-}" = -u ] && { update=1; shift; }
dir=${1:-$top/build}
BUILD_TARGETS="iscsi bench_load" "$top/scripts/build.sh" "$dir" >&2
exec unshare -nmupf --mount-proc --kill-child python3 "$top/tests/bench/instructions.py" "$dir" "$top/tests/bench/instructions.txt" ${update:+--update}
