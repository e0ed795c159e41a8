#!/bin/bash
# compare.sh copy|perf [-b BUILD_DIR] [OPTION…] : `iscsi cp` against qemu-img convert, or `iscsi bench` against iscsi-perf, on our
# target and Debian's tgt: alternated rounds, medians, ratios, CPU. Root. Options: tests/bench/compare.py --help.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd); dir=$top/build
what=${1:?copy or perf}; shift
[ "${1-}" = -b ] && { dir=$2; shift 2; }
[ "$(id -u)" = 0 ] || { echo "compare.sh: needs root (name spaces)" >&2; exit 1; }
BUILD_TARGETS=iscsi "$top/scripts/build.sh" "$dir" >&2
exec unshare -nmupf --mount-proc --kill-child bash -c '
  mount --make-rprivate /; mount -t tmpfs run /run; mkdir -p /run/lock /run/tgtd; ip link set lo up
  exec python3 "$0" "$@"' "$top/tests/bench/compare.py" "$what" --build "$dir" "$@"
