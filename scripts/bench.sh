#!/bin/bash
# bench.sh [-b BUILD_DIR] [-r ROUNDS] [-s SECONDS] [-o OUT_DIR] [--only REGEX] [--no-sweeps] [--servers ours,tgt,istgt,roof] :
# us, Debian's tgt, istgt and the roof on the same cached file, A B A B, medians and ratios. Root. See tests/bench/bench.py.
# bench.sh [-b BUILD_DIR] --lio [OPTIONS]: beside the kernel's own target in a guest. No root. See tests/bench/lio.py.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd); dir=$top/build
[ "${1-}" = -b ] && { dir=$2; shift 2; }
if [ "${1-}" = --lio ]; then
  shift; BUILD_TARGETS="iscsi bench_roof bench_load" "$top/scripts/build.sh" "$dir" >&2
  exec python3 "$top/tests/bench/lio.py" --build "$dir" --top "$top" "$@"
fi
[ "$(id -u)" = 0 ] || { echo "bench.sh: needs root (name spaces)" >&2; exit 1; }
BUILD_TARGETS="iscsi bench_roof bench_load" "$top/scripts/build.sh" "$dir" >&2
exec unshare -nmupf --mount-proc --kill-child bash -c '
  mount --make-rprivate /; mount -t tmpfs run /run; mkdir -p /run/lock /run/tgtd; ip link set lo up
  exec python3 "$0" "$@"' "$top/tests/bench/bench.py" --build "$dir" --top "$top" "$@"
