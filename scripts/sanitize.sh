#!/bin/bash
# sanitize.sh [address|thread …] : unit tests under ASan+UBSan and under TSan, each in a build folder of its own.
# Closing line: N passed, N failed.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd); [ $# -gt 0 ] || set -- address thread
passed=0 failed=0 log=$(mktemp); trap 'rm -f "$log"' EXIT
export ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1
for which in "$@"; do
  case $which in address) kind=address,undefined;; thread) kind=thread;; *) echo "sanitize.sh: address or thread, not $which" >&2; exit 64;; esac
  mkdir -p "$top/build"
  BUILD_TARGETS=unit_tests "$top/scripts/build.sh" "$top/build/$which" -DISCSI_SANITIZE=$kind -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG="-O0 -g1" \
    -DCMAKE_CXX_FLAGS=-fno-sanitize-recover=all
  # setarch -R: ThreadSanitizer of GCC 12 knows the classic memory layout only
  rc=0; (cd "$top" && timeout 600 setarch -R "$top/build/$which/unit_tests") > "$log" 2>&1 </dev/null || rc=$?
  line=$(grep -a '^\[doctest\] test cases:' "$log" | tail -n 1)
  p=$(sed -n 's/.*| *\([0-9]*\) passed.*/\1/p' <<<"$line") f=$(sed -n 's/.*| *\([0-9]*\) failed.*/\1/p' <<<"$line")
  if [ $rc -ne 0 ] && [ "${f:-0}" = 0 ]; then f=1; fi
  [ $rc -eq 0 ] || { tail -n 60 "$log"; echo "unit tests under $kind ended with status $rc"; }
  echo "$kind: ${p:-0} passed, ${f:-0} failed"
  passed=$((passed + ${p:-0})) failed=$((failed + ${f:-0}))
done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ] && [ $passed -gt 0 ]
