#!/bin/bash
# build.sh [BUILD_DIR] [CMAKE_ARGUMENTS…] : from a clean clone to build/iscsi, one static stripped binary. ccache is used if installed.
# BUILD_TARGETS names other targets: "iscsi unit_tests", "all".
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
dir=${1:-$top/build}; [ $# -gt 0 ] && shift
launcher=(); command -v ccache >/dev/null && launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
cmake -G Ninja -S "$top" -B "$dir" ${launcher[@]+"${launcher[@]}"} "$@" > "$dir.cmake.log" 2>&1 || { cat "$dir.cmake.log" >&2; exit 1; }
rm -f "$dir.cmake.log"
ninja -C "$dir" ${BUILD_TARGETS:-iscsi} | { [ -t 1 ] && cat || grep -v '^\[[0-9]*/[0-9]*\] Building' || :; }
exit "${PIPESTATUS[0]}"
