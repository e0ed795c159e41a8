#!/bin/bash
# bench.sh [-b BUILD_DIR] [--page] [--quick] [--only REGEX] [--not REGEX] [-r ROUNDS] [-s SECONDS] [-o OUT_DIR] [--servers ours,tgt,istgt,roof] :
# us, Debian's tgt, istgt and the roof on the same cached file, A B A B; LIO and they once more in a guest. Medians, ratios, what is asked
# and whether it is reached: Markdown, JSON and SVG in build/bench; with --page in tests/bench/results and tests/bench/RESULTS.md. --only
# and --not choose cells (SECTION/NAME) and leave what else the JSON holds. Twelve minutes, --quick three. Root. See tests/bench/bench.py.
# bench.sh [-b BUILD_DIR] --lio [OPTIONS]: only beside the kernel's own target, printed. No root. See tests/bench/lio.py.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd); dir=$top/build page= out=
[ "${1-}" = -b ] && { dir=$2; shift 2; }
BUILD_TARGETS="iscsi bench_roof bench_load" "$top/scripts/build.sh" "$dir" >&2
dir=$(cd "$dir" && pwd); out=$dir/bench
if [ "${1-}" = --lio ]; then shift; exec python3 "$top/tests/bench/lio.py" --build "$dir" --top "$top" "$@"; fi
[ "$(id -u)" = 0 ] || { echo "bench.sh: needs root (name spaces)" >&2; exit 1; }
for a; do [ "$a" = --page ] && page=1; done
args=(); while [ $# -gt 0 ]; do case $1 in --page) ;; -o) out=$2; shift;; *) args+=("$1");; esac; shift; done
[ -n "$page" ] && out=$top/tests/bench/results
mkdir -p "$out"; out=$(cd "$out" && pwd)
KERNEL_DIR=$("$top/tests/e2e/vm/fetch_kernel.sh") || KERNEL_DIR=      # while there is a network
export KERNEL_DIR
rc=0
unshare -nmupf --mount-proc --kill-child bash -c '
  mount --make-rprivate /; mount -t tmpfs run /run; mkdir -p /run/lock /run/tgtd; ip link set lo up
  exec python3 "$0" "$@"' "$top/tests/bench/bench.py" --build "$dir" --top "$top" -o "$out" ${args[@]+"${args[@]}"} || rc=$?
[ -e "$out/bench.json" ] || exit $rc
python3 "$top/tests/bench/page.py" "$out/bench.json" "$([ -n "$page" ] && echo "$top/tests/bench/RESULTS.md" || echo "$out/bench.md")" "$out"
exit $rc
