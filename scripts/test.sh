#!/bin/bash
# test.sh [STAGE…] : install what is needed on a fresh Debian 12 (root), build, run every test. Stages in order: see `stages`.
# Each stage prints its name, result and duration; a stage that counts its checks ends in a line `N passed, N failed`, any other
# counts as one. The last line is the sum.
set -u
cd "$(dirname "$0")/.." || exit 1
stages="packages build layers size readme unit compat packaging instructions lio fuzz sanitize e2e demo"
command_of() {
  case $1 in
    packages) echo "scripts/packages.sh test";;
    build)    echo "env BUILD_TARGETS=all scripts/build.sh";;
    layers)   echo "scripts/check_layers.sh";;
    size)     echo "scripts/size.sh";;
    readme)   echo "scripts/check_readme.sh";;
    packaging) echo "scripts/check_packaging.sh";;
    unit)     echo "scripts/unit.sh";;
    compat)   echo "tests/compat/replay.py";;
    instructions) echo "scripts/instructions.sh";;
    lio)      echo "scripts/bench.sh --lio --check -r 1 -s 0.02 --servers ours,lio-fileio";;
    demo)     echo "scripts/demo.sh";;
    fuzz)     echo "scripts/fuzz.sh -s ${FUZZ_SECONDS:-10}";;
    sanitize) echo "scripts/sanitize.sh";;
    e2e)      echo "tests/e2e/run.sh";;
    *) return 1;;
  esac
}
[ $# -gt 0 ] && stages=$*
log=$(mktemp); trap 'rm -f "$log"' EXIT
passed=0 failed=0 summary=
for stage in $stages; do
  run=$(command_of "$stage") || { echo "test.sh: no stage $stage" >&2; exit 64; }
  echo; echo "##### $stage: $run"; start=$SECONDS
  timeout -k 10 "${STAGE_TIMEOUT:-1800}" $run </dev/null 2>&1 | tee "$log"; rc=${PIPESTATUS[0]}
  p=0 f=0; last=$(tail -n 1 "$log")
  if [[ $last =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then p=${BASH_REMATCH[1]} f=${BASH_REMATCH[2]}
  elif [ $rc -eq 0 ]; then p=1; fi
  [ $rc -ne 0 ] && [ $f -eq 0 ] && f=1
  passed=$((passed + p)) failed=$((failed + f))
  result=ok; [ $rc -eq 0 ] || result="FAILED (status $rc)"
  line=$(printf '%-10s %-20s %5d passed %3d failed %5d s' "$stage" "$result" $p $f $((SECONDS - start)))
  echo "##### $line"; summary+="$line"$'\n'
  case $stage in packages|build) [ $rc -eq 0 ] || break;; esac
done
printf '\n%s\n' "$summary"
echo "$passed passed, $failed failed"
[ $failed -eq 0 ] && [ $passed -gt 0 ]
