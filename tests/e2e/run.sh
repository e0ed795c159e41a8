#!/bin/bash
# run.sh [-b BINDIR] [-j LANES] [-l] [CASE | CASE:TARGET:INITIATOR[:KERNEL] ...] : end-to-end tests against real peers and real kernels.
#   -b BINDIR   folder with our binary's links (tgtd, tgtadm, iscsid, …); default: links made from build/iscsi
#   -j LANES    so many cases at once; default: 2, on one core 1
#   -l          list the plan and end
# Without CASE the whole of tests/e2e/plan is run; a CASE alone means all its lines in the plan.
# TARGET and INITIATOR are `ours`, `debian` (tgt, open-iscsi), `istgt`, `lio`, `libiscsi`, `qemu`, `-`, or a BINDIR.
# KERNEL is the guests', one of those vm/fetch_kernel.sh knows; 6.1 when none is named.
# Every case runs in its own mount, network and process name spaces: ports, sockets and processes disturb nobody, and nothing is
# left behind. Each check prints `ok` or `FAIL`; a case that failed leaves its logs in build/e2e-logs. Closing line: N passed, N failed.
set -u
here=$(cd "$(dirname "$0")" && pwd); top=$(cd "$here/../.." && pwd); bindir= list= lanes=2
[ "$(nproc)" -gt 1 ] || lanes=1
while getopts "b:j:lh" o; do case $o in b) bindir=$(cd "$OPTARG" && pwd) || exit 64;; j) lanes=$OPTARG;; l) list=1;; *) sed -n 2,10p "$0"; exit 64;; esac; done
shift $((OPTIND-1))
plan() { grep -v '^#' "$here/plan" | awk 'NF { print $1 ":" $2 ":" $3 ($4 ? ":" $4 : "") }'; }
[ -n "$list" ] && { plan; exit 0; }
[ "$(id -u)" = 0 ] || { echo "run.sh: needs root (name spaces, raw network)" >&2; exit 1; }
work=$(mktemp -d "${TMPDIR:-/tmp}/iscsi-e2e.XXXXXX"); trap 'rm -rf "$work"' EXIT
logs=${E2E_LOGS:-$top/build/e2e-logs}
if [ -z "$bindir" ] && [ -x "$top/build/iscsi" ]; then
  bindir=$work/bin; mkdir "$bindir"; cp "$top/build/iscsi" "$bindir/"; cp "$top/build/iscsi_boot" "$bindir/" 2>/dev/null || :; "$bindir/iscsi" --install -s "$bindir" >/dev/null || exit 1
fi
wanted=()
[ $# -eq 0 ] && mapfile -t wanted < <(plan)
for c in "$@"; do case $c in
  *:*:*) wanted+=("$c");;
  *) mapfile -t more < <(plan | grep "^$c:"); [ ${#more[@]} -gt 0 ] || { echo "run.sh: no case $c in the plan" >&2; exit 64; }; wanted+=("${more[@]}");;
esac; done
# the name spaces have no way out: what is fetched is fetched here
declare -A kernels
kernels[6.1]=$("$here/vm/fetch_kernel.sh") || { echo "FAIL no kernel for the guests"; echo "0 passed, 1 failed"; exit 1; }
for c in "${wanted[@]}"; do
  IFS=: read -r _ _ _ kernel <<<"$c"
  [ -z "$kernel" ] || [ -n "${kernels[$kernel]-}" ] || kernels[$kernel]=$("$here/vm/fetch_kernel.sh" "$kernel") ||
    { echo "FAIL no kernel $kernel for the guests"; echo "0 passed, 1 failed"; exit 1; }
done
case " ${wanted[*]} " in *" dracut:"*)
  DRACUT_DEBS=$("$here/vm/fetch_dracut.sh") || { echo "FAIL no dracut packages"; echo "0 passed, 1 failed"; exit 1; }
  export DRACUT_DEBS;;
esac
run_case() {     # CASE:TARGET:INITIATOR[:KERNEL] : one case; what it says last is `P F` in the file $2
  local name target initiator kernel id dir what start try rc p f
  IFS=: read -r name target initiator kernel <<<"$1"
  export KERNEL_DIR=${kernels[${kernel:-6.1}]}
  id=$(printf '%s' "$name-$target-$initiator${kernel:+-$kernel}" | tr -c 'A-Za-z0-9.-' _); dir=$logs/$id; rm -rf "$dir"; mkdir -p "$dir" "$work/$id"
  what="$name: target $target, initiator $initiator${kernel:+, kernel $kernel}"
  echo "=== $what"; start=$SECONDS
  for try in 1 2; do
    E2E_DIR=$here E2E_WORK=$work/$id E2E_LOG=$dir E2E_OURS=$bindir TARGET=$target INITIATOR=$initiator \
      timeout -k 5 "${E2E_TIMEOUT:-600}" unshare -nmupf --mount-proc --kill-child "$here/enter.sh" "$here/cases/$name.sh" > "$dir/checks" 2>&1 </dev/null
    rc=$?
    cat "$dir/checks"
    p=$(grep -c '^ok ' "$dir/checks"); f=$(grep -c '^FAIL ' "$dir/checks")
    if [ $rc -ne 0 ] && [ "$f" = 0 ]; then echo "FAIL $name: ended with status $rc"; f=1; fi
    if [ "$p" = 0 ] && [ "$f" = 0 ]; then echo "FAIL $name: checked nothing"; f=1; fi
    { [ "$f" = 0 ] || [ $try = 2 ]; } && break
    # Once more, and said aloud: what fails once and passes then is a bug of the test or of ours. Its logs are kept.
    echo "AGAIN $what: $f failed; logs: ${dir#"$top"/}.first"
    rm -rf "$dir.first"; mv "$dir" "$dir.first"; rm -rf "${work:?}/$id"; mkdir -p "$dir" "$work/$id"
  done
  echo "--- $what: $p passed, $f failed, $((SECONDS - start)) s"
  if [ "$f" = 0 ]; then rm -rf "$dir"; else echo "    logs: ${dir#"$top"/}"; fi
  rm -rf "${work:?}/$id"
  echo "$p $f" > "$2"
}
n=0
for c in "${wanted[@]}"; do
  while [ "$(jobs -rp | wc -l)" -ge "$lanes" ]; do wait -n; done
  n=$((n+1))
  { run_case "$c" "$work/sum.$n" > "$work/out.$n" 2>&1; flock "$work" cat "$work/out.$n"; } &
done
wait
passed=0 failed=0
for ((i = 1; i <= n; i++)); do
  read -r p f 2>/dev/null < "$work/sum.$i" || { p=0 f=1; echo "FAIL ${wanted[i-1]}: did not end"; }
  passed=$((passed + p)) failed=$((failed + f))
done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ] && [ $passed -gt 0 ]
