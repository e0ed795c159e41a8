# libiscsi's conformance suite, whole and destructive: nothing fails, and nothing that we name is skipped. Then what it skips on
# a plain disk: several paths, a write-protected logical unit, a removable one.
need iscsi-test-cu
target_start
target_disk disk.img 256M
for lun in 2 3 4; do
  truncate -s 64M disk$lun.img
  "$TGTADM" --lld iscsi --mode logicalunit --op new --tid 1 --lun $lun -b "$PWD/disk$lun.img" || fail "add LUN $lun"
done
if [ "$TARGET" = ours ]; then   # UNMAP is for thin logical units
  for lun in 1 2 3 4; do "$TGTADM" --lld iscsi --mode logicalunit --op update --tid 1 --lun $lun --params thin_provisioning=1 || fail "make LUN $lun thin"; done
  # GetLBAStatus.UnmapSingle asks for LBA i + 1 and expects i + (logical blocks per physical block) in the answer: LUN 1 has as
  # many of the one as of the other; what is skipped for that runs on LUN 4, which has eight, as tgt's disks do
  "$TGTADM" --lld iscsi --mode logicalunit --op update --tid 1 --lun 1 --params lbppbe=0 || fail "set lbppbe"
fi
"$TGTADM" --lld iscsi --mode logicalunit --op update --tid 1 --lun 2 --params readonly=1 || fail "make LUN 2 read-only"
"$TGTADM" --lld iscsi --mode logicalunit --op update --tid 1 --lun 3 --params removable=1 || fail "make LUN 3 removable"
# commands that no disk of ours claims, and what the disk under test is not; WSNZ says that WRITE SAME of 0 blocks is refused,
# the rest of those tests runs
may_skip='EXTENDEDCOPY|RECEIVE_?COPY_?RESULT|WRITEATOMIC16|READDEFECTDATA1[02]|--allow-sanitize|not removable|not write-protected|Multipath unavailable|Media is not removable|does not support 0-blocks|LBPPB < 2'
[ "$TARGET" = ours ] || may_skip=.
# suite NAME ALLOWED_SKIPS ARGUMENTS… : one check per test run
suite() {
  local name=$1 skips=$2; shift 2
  timeout 240 iscsi-test-cu -d "$@" > "$E2E_LOG/$name.out" 2>&1 </dev/null; local rc=$?
  [ $rc -lt 124 ] || fail "$name: iscsi-test-cu ended with status $rc (124: out of time)"
  awk -v name="$name" -v skips="$skips" '
    function done(result) { if (test == "") return
      if (result == "FAILED") print "FAIL " name ": " test ": " why
      else if (skip != "" && skip !~ skips) print "FAIL " name ": " test " is skipped: " skip
      else print "ok   " name ": " test (skip != "" ? " (skipped: " skip ")" : "")
      test = "" }
    /^Suite: / { suite = $2 }
    /^  Test: / { test = suite "." $2; count++; skip = ""; why = "" }
    /\[SKIPPED\]/ && skip == "" { skip = $0; sub(/.*\[SKIPPED\] */, "", skip) }
    /\[FAILED\]/ && why == "" { why = $0; sub(/.*\[FAILED\] */, "", why) }
    /passed$/ { done("passed") }
    /FAILED$/ { done("FAILED") }
    /^ *tests +[0-9]/ { total = $2; seen = 1 }
    END { if (test != "") print "FAIL " name ": " test " did not end"; 
      if (!seen || total != count) print "FAIL " name ": " count " tests seen, its summary says " total + 0 }
  ' "$E2E_LOG/$name.out" > "$E2E_LOG/$name.checks"
  cat "$E2E_LOG/$name.checks"
  _failed=$((_failed + $(grep -c '^FAIL' "$E2E_LOG/$name.checks")))
}
URL=iscsi://$PORTAL/$IQN
suite disk "$may_skip" "$URL/1"
kill -0 "$TGTD_PID" 2>/dev/null || { fail "tgtd died"; return; }
for t in CompareAndWrite Unmap WriteSame10 WriteSame16 ReadCapacity16 Inquiry; do suite blocks-of-8 "${may_skip%|LBPPB*}" -t ALL.$t "$URL/4"; done
suite paths "$may_skip" -t ALL.MultipathIO "$URL/1" "iscsi://192.0.2.11/$IQN/1"
suite read-only "$may_skip" -t ALL.ReadOnly "$URL/2"
for t in StartStopUnit PreventAllow NoMedia; do suite removable "$may_skip" -t ALL.$t "$URL/3"; done
kill -0 "$TGTD_PID" 2>/dev/null && pass "tgtd is alive" || fail "tgtd died"
