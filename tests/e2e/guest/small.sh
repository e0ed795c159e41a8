#!/bin/sh
. /lib/vm.sh; . /etc/vm.env
ok() { echo "ok   $*"; }
bad() { echo "FAIL $*"; dmesg | tail -n 15; exit 1; }
check() { local name=$1; shift; if "$@" >/tmp/c 2>&1; then ok "$name"; else bad "$name: exit $?: $(tail -n 3 /tmp/c | tr '\n' '|')"; fi; }
rss() { awk '/VmRSS/ { print $2 }' /proc/$1/status; }
mem() { awk "/^$1:/ { print \$2 }" /proc/meminfo; }
total=$(mem MemTotal)
check "the guest has $total kB" test $total -le 65536
OWN=iqn.2001-04.com.example:own
tgtd; tgtd=$(pidof tgtd)
check "tgtd runs" tgtadm --lld iscsi --mode target --op new --tid 1 -T $OWN
check "it takes a disk" tgtadm --lld iscsi --mode logicalunit --op new --tid 1 --lun 1 -b /dev/vdb
tgtadm --lld iscsi --mode target --op bind --tid 1 -I ALL
modprobe iscsi_tcp
check "iscsid runs" iscsid
iscsid=$(cat /run/iscsid.pid)
check "iscsid, idle: $(rss $iscsid) kB" test $(rss $iscsid) -le 3072
ok "tgtd, idle: $(rss $tgtd) kB; MemAvailable $(mem MemAvailable) kB"

# use NAME TARGET PORTAL : the whole walk
use() {
  check "$1: discovery" iscsiadm -m discovery -t st -p $3
  check "$1: login" iscsiadm -m node -T $2 -p $3 --login
  check "$1: a disk" wait_file /dev/sda
  check "$1: mkfs" mke2fs -F /dev/sda
  check "$1: mount" mount -t ext2 /dev/sda /mnt
  dd if=/dev/urandom of=/mnt/file bs=64k count=384 2>/tmp/c || bad "$1: writing 24 MB: $(tail -n 1 /tmp/c)"
  sum=$(sha256sum < /mnt/file); umount /mnt || bad "$1: umount"
  echo 3 > /proc/sys/vm/drop_caches
  mount -t ext2 /dev/sda /mnt
  check "$1: 24 MB written and read again" test "$(sha256sum < /mnt/file)" = "$sum"
  umount /mnt
  ok "$1: iscsid $(rss $iscsid) kB, tgtd $(rss $tgtd) kB; MemAvailable $(mem MemAvailable) kB"
  check "$1: logout" iscsiadm -m node -T $2 -p $3 --logout
  check "$1: the disk is gone" wait_gone /sys/block/sda
}
use "a target outside" $IQN $PORTAL
use "our own target" $OWN 127.0.0.1

URL=iscsi://$PORTAL/$IQN/1
check "iscsi ls" iscsi ls -s iscsi://$PORTAL
check "iscsi inq" iscsi inq $URL
check "iscsi bench" iscsi bench --force --rw randrw --time 1 $URL
check "iscsi cp, from target to target, verified" iscsi cp --verify $URL iscsi://127.0.0.1/$OWN/1
dd if=/dev/urandom of=/tmp/file bs=64k count=64 2>/dev/null
check "iscsi cp, from a file, verified" iscsi cp --verify /tmp/file $URL
check "iscsi attach" iscsi attach $URL
check "its bytes" cmp -n 4194304 /tmp/file /dev/nbd0
check "iscsi detach" iscsi detach /dev/nbd0
check "the same daemons to the end" test "$(pidof tgtd) $(cat /run/iscsid.pid)" = "$tgtd $iscsid"
check "nobody was killed for memory" test -z "$(dmesg | grep -i 'out of memory\|oom-kill')"
ok "at the end: iscsid $(rss $iscsid) kB, tgtd $(rss $tgtd) kB; MemAvailable $(mem MemAvailable) kB"
exit 0
