#!/bin/bash
# fuzz.sh [-s SECONDS] [-b BUILD_DIR] [NAME…] : build tests/fuzz/*_fuzz.cpp with clang (ASan, UBSan), replay each corpus, then
# run each for SECONDS (default 10). Closing line: N passed, N failed. What crashed is kept in build/fuzz-crashes.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd); seconds=10; dir=$top/build/fuzz
while getopts "s:b:" o; do case $o in s) seconds=$OPTARG;; b) dir=$OPTARG;; *) exit 64;; esac; done; shift $((OPTIND-1))
mkdir -p "$dir"
BUILD_TARGETS=$(cd "$top" && if [ $# -gt 0 ]; then printf '%s_fuzz ' "$@"; else ls tests/fuzz/*_fuzz.cpp | sed 's,.*/,,; s,\.cpp$,,' | tr '\n' ' '; fi)
export BUILD_TARGETS
[ -n "$BUILD_TARGETS" ] || { echo "fuzz.sh: no fuzz targets" >&2; exit 1; }
"$top/scripts/build.sh" "$dir" -DCMAKE_CXX_COMPILER=clang++ -DISCSI_FUZZ=ON -DCMAKE_BUILD_TYPE=Debug \
  -DCMAKE_CXX_FLAGS_DEBUG="-O1 -gline-tables-only"
crashes=$top/build/fuzz-crashes; mkdir -p "$crashes"; passed=0 failed=0
grown=$(mktemp -d); trap 'rm -rf "$grown"' EXIT
for target in $BUILD_TARGETS; do
  name=${target%_fuzz}; corpus=$top/tests/fuzz/corpus/$target; seeds=()
  [ -d "$corpus" ] && mapfile -t seeds < <(find "$corpus" -type f | sort)
  dictionary=()
  grep -q 'text_keys\|negotiate\|chap\|login' <<<"$name" && dictionary=(-dict="$top/tests/fuzz/corpus/text.dict")
  if [ ${#seeds[@]} -gt 0 ]; then
    if "$dir/$target" -artifact_prefix="$crashes/$name-" "${seeds[@]}" > "$crashes/$name.replay" 2>&1; then
      passed=$((passed+1)); echo "ok   $name: corpus of ${#seeds[@]}"; rm "$crashes/$name.replay"
    else failed=$((failed+1)); echo "FAIL $name: corpus"; tail -n 40 "$crashes/$name.replay"; fi
  fi
  mkdir -p "$grown/$name"
  if "$dir/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -artifact_prefix="$crashes/$name-" \
      ${dictionary[@]+"${dictionary[@]}"} "$grown/$name" ${seeds:+"$corpus"} > "$crashes/$name.run" 2>&1; then
    passed=$((passed+1)); echo "ok   $name: $(grep -a -o 'Done [0-9]* runs.*' "$crashes/$name.run" | tail -n 1)"; rm "$crashes/$name.run"
  else failed=$((failed+1)); echo "FAIL $name: found something in $seconds s"; tail -n 40 "$crashes/$name.run"; fi
done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
