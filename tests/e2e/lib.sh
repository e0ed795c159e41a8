# Sourced by every case, inside its name spaces. Variables: TARGET INITIATOR (see run.sh), E2E_LOG (folder kept on failure),
# E2E_WORK; the working directory is a tmpfs.
IQN=iqn.2001-04.com.example:disk1
PORTAL=192.0.2.10
_failed=0
pass() { echo "ok   $*"; }
fail() { echo "FAIL $*"; _failed=$((_failed + 1)); }
# check NAME COMMAND… : passes when COMMAND ends with 0; its output is kept and shown when it does not
check() { local name=$1; shift; if "$@" > "$E2E_LOG/last" 2>&1; then pass "$name"; else local rc=$?; fail "$name: '$*' ended with $rc: $(tail -n 5 "$E2E_LOG/last" | tr '\n' '|')"; fi; }
# refuse NAME COMMAND… : passes when COMMAND fails (and is not killed)
refuse() { local name=$1; shift; "$@" > "$E2E_LOG/last" 2>&1; local rc=$?; if [ $rc -ne 0 ] && [ $rc -lt 124 ]; then pass "$name"; else fail "$name: '$*' ended with $rc: $(tail -n 5 "$E2E_LOG/last" | tr '\n' '|')"; fi; }
equal() { if [ "$2" = "$3" ]; then pass "$1"; else fail "$1: got '$2', want '$3'"; fi; }
need() { local c; for c in "$@"; do command -v "$c" >/dev/null || { fail "program $c is not installed"; exit 1; }; done; }
finish() { exit $(( _failed > 0 )); }
# try SECONDS COMMAND… : until it succeeds
try() { local end=$((SECONDS + $1)); shift; until "$@" >/dev/null 2>&1; do [ $SECONDS -ge $end ] && return 1; sleep 0.05; done; }
listening() { [ -n "$(ss -Hltn "sport = :$1")" ]; }
# folder of a side's programs
bindir() { case $1 in ours) [ -n "$E2E_OURS" ] || { echo "FAIL build/iscsi is missing and no -b BINDIR given" >&2; return 1; }; echo "$E2E_OURS";; debian) echo /usr/sbin;; *) echo "$1";; esac; }

# ---- target side: TARGET = ours | debian | DIR, or istgt, or lio (a guest, port forwarded)
# target_start : daemon up, no target yet (istgt, lio: everything at target_disk)
target_start() {
  case $TARGET in
    istgt|lio) return 0;;
  esac
  local d; d=$(bindir "$TARGET") || { fail "no target programs"; exit 1; }
  [ -x "$d/tgtd" ] && [ -x "$d/tgtadm" ] || { fail "no tgtd and tgtadm in $d"; exit 1; }
  PATH=$d:$PATH; TGTADM=$d/tgtadm TGTD=$d/tgtd
  "$TGTD" -f "$@" > "$E2E_LOG/tgtd.log" 2>&1 & TGTD_PID=$!
  try 10 "$TGTADM" --mode target --op show || { fail "tgtd does not answer: $(tail -n 3 "$E2E_LOG/tgtd.log")"; exit 1; }
}
target_stop() {
  [ -n "${TGTD_PID-}" ] || return 0
  kill "$TGTD_PID" 2>/dev/null; local n=100; while kill -0 "$TGTD_PID" 2>/dev/null && [ $n -gt 0 ]; do sleep 0.05; n=$((n-1)); done
  kill -9 "$TGTD_PID" 2>/dev/null; wait "$TGTD_PID" 2>/dev/null; TGTD_PID=
}
# target_disk FILE SIZE : export FILE (made sparse) as LUN 1 of $IQN to everybody
target_disk() {
  [ -e "$1" ] || truncate -s "$2" "$1"
  local f; f=$(readlink -f "$1")
  case $TARGET in
    istgt) istgt_start "$f";;
    lio) lio_start "$f";;
    *) "$TGTADM" --lld iscsi --mode target --op new --tid 1 -T $IQN &&
       "$TGTADM" --lld iscsi --mode logicalunit --op new --tid 1 --lun 1 -b "$f" &&
       "$TGTADM" --lld iscsi --mode target --op bind --tid 1 -I ALL;;
  esac || { fail "cannot export $f"; exit 1; }
}
istgt_start() {
  need istgt
  mkdir -p "$E2E_WORK/istgt"
  cat > "$E2E_WORK/istgt/istgt.conf" <<C
[Global]
  NodeBase "iqn.2001-04.com.example"
  PidFile $E2E_WORK/istgt/pid
  AuthFile $E2E_WORK/istgt/auth.conf
  MediaDirectory $E2E_WORK/istgt
  LogFacility "local7"
  Timeout 30
  NopInInterval 20
  DiscoveryAuthMethod None
  MaxSessions 32
  MaxConnections 8
  FirstBurstLength 65536
  MaxBurstLength 1048576
  MaxRecvDataSegmentLength 262144
[UnitControl]
  AuthMethod None
  AuthGroup None
  Portal UC1 127.0.0.1:3261
  Netmask 127.0.0.1
[PortalGroup1]
  Portal DA1 $PORTAL:3260
[InitiatorGroup1]
  InitiatorName "ALL"
  Netmask ALL
[LogicalUnit1]
  TargetName disk1
  Mapping PortalGroup1 InitiatorGroup1
  AuthMethod None
  UseDigest Auto
  UnitType Disk
  LUN0 Storage $1 Auto
C
  : > "$E2E_WORK/istgt/auth.conf"; chmod 600 "$E2E_WORK/istgt/auth.conf"
  istgt -D -c "$E2E_WORK/istgt/istgt.conf" > "$E2E_LOG/istgt.log" 2>&1 &
  try 10 listening 3260 || { echo "istgt does not listen" >&2; return 1; }
  TARGET_LUN=0
}
TARGET_LUN=1 GUEST_NET=()
# LIO lives in a guest of its own, on a private link to the initiator's: 10.1.0.1 and 10.1.0.2
lio_start() {
  PORTAL=10.1.0.1; local link=20260 size; size=$(stat -c %s "$1"); mkdir -p lio/etc
  printf '%s\n' "IQN=$IQN SIZE=$size" > lio/etc/vm.env
  VM_CACHE=$VM_CACHE TMPDIR=$E2E_WORK "$E2E_DIR/vm/vm.sh" -q -n target -2 listen:$link -i 10.1.0.1 -m 900 -T 500 -o lio -l "$E2E_LOG/lio" "$E2E_DIR/guest/lio.sh" &
  try 20 listening $link || { echo "the guest with LIO does not start" >&2; return 1; }
  GUEST_NET=(-2 "connect:$link" -i 10.1.0.2)
}

# ---- guests
VM_CACHE=${E2E_VM_CACHE:-${TMPDIR:-/tmp}/iscsi-vm-cache}
# guest_tools OVERLAY : the initiator's programs and configuration
guest_tools() {
  local o=$1 d f; mkdir -p "$o/etc/iscsi" "$o/usr/sbin" "$o/sbin"
  case $INITIATOR in
    debian)
      "$E2E_DIR/vm/addbin.sh" "$o" /usr/sbin/iscsid=/sbin/iscsid /usr/bin/iscsiadm=/sbin/iscsiadm /usr/sbin/iscsistart=/sbin/iscsistart /usr/sbin/iscsi-iname=/sbin/iscsi-iname
      cp /etc/iscsi/iscsid.conf "$o/etc/iscsi/";;
    *)
      d=$(bindir "$INITIATOR") || { fail "no initiator programs"; exit 1; }
      cp "$d/iscsi" "$o/sbin/iscsi"; for f in iscsid iscsiadm iscsistart iscsi-iname tgtd tgtadm; do ln -sf iscsi "$o/sbin/$f"; done
      [ -e /etc/iscsi/iscsid.conf ] && cp /etc/iscsi/iscsid.conf "$o/etc/iscsi/";;
  esac
  echo "InitiatorName=iqn.2001-04.com.example:initiator1" > "$o/etc/iscsi/initiatorname.iscsi"
  guest_overlay_fs "$o"
}
guest_overlay_fs() {
  mkdir -p "$1/etc" "$1/usr/sbin"
  "$E2E_DIR/vm/addbin.sh" "$1" /sbin/mke2fs=/usr/sbin/mke2fs /sbin/e2fsck=/usr/sbin/e2fsck
  ln -sf mke2fs "$1/usr/sbin/mkfs.ext4"; cp /etc/mke2fs.conf "$1/etc/"
}
# guest SCRIPT [vm.sh options] : run guest/SCRIPT.sh in a guest; lines `ok …` and `FAIL …` of its output are checks of ours
guest() {
  local script=$1; shift
  need qemu-system-x86_64 cpio busybox
  VM_CACHE=$VM_CACHE TMPDIR=$E2E_WORK "$E2E_DIR/vm/vm.sh" -q -M sd_mod,sg -l "$E2E_LOG/$script" ${GUEST_NET[@]+"${GUEST_NET[@]}"} "$@" "$E2E_DIR/guest/$script.sh"
  local rc=$?
  [ -e "$E2E_LOG/$script.out" ] || { fail "the guest of $script did not start (status $rc)"; return; }
  grep -a '^ok \|^FAIL ' "$E2E_LOG/$script.out" || :
  local f; f=$(grep -ac '^FAIL ' "$E2E_LOG/$script.out"); _failed=$((_failed + f))
  if [ $rc -ne 0 ] && [ "$f" = 0 ]; then fail "guest $script ended with status $rc: $(tail -n 3 "$E2E_LOG/$script.out" "$E2E_LOG/$script.console" | tr '\n\r' '||')"; fi
}
