#!/bin/sh
# /dev/nbd0 by iscsi attach: used, lost, back again, detached.
. /lib/vm.sh; . /etc/vm.env
ok() { echo "ok   $*"; }
bad() { echo "FAIL $*"; dmesg | tail -n 5; }
want() { name=$1; shift; if "$@" > /run/last 2>&1; then ok "$name"; else bad "$name: $(tail -n 3 /run/last)"; fi; }
unwanted() { name=$1; shift; if "$@" > /run/last 2>&1; then bad "$name: went through"; else ok "$name"; fi; }
modprobe nbd 2>/dev/null
URL=iscsi://$PORTAL/$IQN/1
want "attach" iscsi attach --timeout 60 "$URL"
[ -b /dev/nbd0 ] && [ "$(cat /sys/block/nbd0/size)" = 262144 ] && ok "the device has the unit's size" || bad "no /dev/nbd0"
want "mkfs" mkfs.ext4 -q -F /dev/nbd0
want "mount" mount -t ext4 /dev/nbd0 /mnt
dd if=/dev/urandom of=/mnt/a bs=64k count=200 2>/dev/null; sync
host grow; n=0; until [ "$(cat /sys/block/nbd0/size)" = 393216 ] || [ $n -gt 300 ]; do sleep 0.1; n=$((n+1)); done
[ $n -le 300 ] && ok "the device grows with the unit, mounted" || bad "size stays $(cat /sys/block/nbd0/size)"
want "the new blocks can be written" dd if=/dev/zero of=/dev/nbd0 bs=4k seek=49151 count=1 oflag=direct
unwanted "detach refuses while it is mounted" iscsi detach /dev/nbd0
written=$(awk '{ print $5 }' /sys/block/nbd0/stat)
(dd if=/dev/urandom of=/mnt/b bs=64k count=400 conv=fsync 2>/dev/null; echo $? > /run/dd) & writer=$!
under_way() { [ "$(awk '{ print $5 }' /sys/block/nbd0/stat)" -gt $written ]; }
n=100; until under_way || [ $n = 0 ]; do sleep 0.05; n=$((n-1)); done
host kill; sleep 3; host start; wait $writer        # an outage of 3 s: attempts to reconnect fail
[ "$(cat /run/dd)" = 0 ] && ok "a write outlives the target's death" || bad "the write failed"
sums=$(cd /mnt && sha256sum a b)
want "umount" umount /mnt
want "detach" iscsi detach /dev/nbd0
unwanted "detach of what is not attached" iscsi detach /dev/nbd0
want "attach again" iscsi attach --timeout 2 "$URL"
want "fsck" e2fsck -fn /dev/nbd0
want "mount again" mount -t ext4 -o ro /dev/nbd0 /mnt
[ "$(cd /mnt && sha256sum a b)" = "$sums" ] && ok "checksums are equal" || bad "checksums differ"
umount /mnt
host kill; unwanted "I/O fails when the target stays away" dd if=/dev/nbd0 of=/dev/null bs=4k count=1 iflag=direct
host start; n=0; until dd if=/dev/nbd0 of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null || [ $n -gt 50 ]; do sleep 0.3; n=$((n+1)); done
[ $n -le 50 ] && ok "and works when it is back" || bad "does not come back"
rss=$(awk '/VmRSS/ {print $2}' /proc/$(pidof iscsi)/status); [ "$rss" -lt 8192 ] && ok "the process is small ($rss kB)" || bad "RSS $rss kB"
kill $(pidof iscsi); n=0; while pidof iscsi > /dev/null && [ $n -lt 50 ]; do sleep 0.1; n=$((n+1)); done
pidof iscsi > /dev/null && bad "SIGTERM does not end it" || ok "SIGTERM detaches"
[ -n "$HOSTILE" ] || exit 0
# targets that break the rules: all at once, as most only let time pass
set -- $HOSTILE
while [ $# -gt 2 ]; do
  (timeout 60 iscsi attach --command-timeout 1 --timeout 2 "iscsi://${PORTAL%:*}:$2/iqn.2001-04.com.example:hostile/0" > /run/hostile.$1 2>&1; echo $? > /run/hostile.$1.rc) &
  shift 2
done
wait
for f in /run/hostile.*.rc; do
  m=${f#/run/hostile.}; m=${m%.rc}
  [ "$(cat $f)" = 1 ] && ok "attach to a target of $m fails: $(tail -n 1 /run/hostile.$m)" || bad "attach to a target of $m: $(cat $f /run/hostile.$m)"
done
want "attach to a target that reads short" iscsi attach --timeout 2 "iscsi://${PORTAL%:*}:$2/iqn.2001-04.com.example:hostile/0"
unwanted "its data is no data" dd if=/dev/nbd0 of=/dev/null bs=4k count=1 iflag=direct
want "and it is detached" iscsi detach /dev/nbd0
