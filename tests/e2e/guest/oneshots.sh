#!/bin/sh
# The one-shots from a guest, where the target is another guest's kernel.
. /lib/vm.sh; . /etc/vm.env
ok() { echo "ok   $*"; }
bad() { echo "FAIL $*"; }
want() { name=$1; shift; if "$@" > /run/last 2>&1; then ok "$name"; else bad "$name: $(tail -n 3 /run/last)"; fi; }
unwanted() { name=$1; shift; if "$@" > /run/last 2>&1; then bad "$name: went through"; else ok "$name"; fi; }
n=0; until iscsi ls iscsi://$PORTAL 2>/dev/null | grep -q $IQN || [ $n -gt 100 ]; do sleep 0.5; n=$((n+1)); done
want "ls lists the target" sh -c "iscsi ls iscsi://$PORTAL | grep -q '^Target:$IQN Portal:$PORTAL:3260,1'"
lun=$(iscsi ls -s iscsi://$PORTAL | sed -n 's/^  Lun:\([0-9]*\) *DIRECT_ACCESS.*/\1/p' | head -n 1)
[ -n "$lun" ] && ok "ls -s finds a disk, LUN $lun" || bad "ls -s finds no disk"
URL=iscsi://$PORTAL/$IQN/$lun
want "inq" iscsi inq "$URL"
want "inq --vpd" iscsi inq --vpd "$URL"
unwanted "inq of a unit that is not there" iscsi inq "iscsi://$PORTAL/$IQN/77"
dd if=/dev/urandom of=/run/source bs=64k count=256 2>/dev/null
dd if=/dev/zero of=/run/source bs=64k seek=512 count=0 2>/dev/null
dd if=/dev/urandom of=/run/source bs=64k seek=512 count=16 2>/dev/null
for q in "" "?header_digest=crc32c&data_digest=crc32c"; do
  want "bench randread $q" iscsi bench --time 1 "$URL$q"
  want "bench randwrite $q" iscsi bench --force --rw randwrite --time 1 "$URL$q"
  want "bench rw, 1 MiB $q" iscsi bench --force --rw rw --bs 1M --depth 4 --time 1 "$URL$q"
  want "cp to the unit, verified $q" iscsi cp --verify /run/source "$URL$q"
done
want "cp from the unit" iscsi cp --verify "$URL" /run/back
want "the bytes are the same" cmp -n $(stat -c %s /run/source) /run/source /run/back
