#!/bin/sh
. /lib/vm.sh; . /etc/vm.env
ok() { echo "ok   $*"; }
bad() { echo "FAIL $*"; dmesg | tail -n 20; exit 1; }
has() { grep -q -- "$1" || bad "$2"; ok "$2"; }
modprobe iscsi_tcp || bad "modprobe iscsi_tcp"
syslogd -O /var/log/messages
iscsid || bad "iscsid does not start"
if [ "$TARGET" = lio ]; then   # a guest too: it may still be booting
  n=30; until iscsiadm -m discovery -t st -p $PORTAL > /dev/null 2>&1; do n=$((n-1)); [ $n -gt 0 ] || bad "LIO is not there"; sleep 1; done
fi
iscsiadm -m discovery -t st -p $PORTAL > /tmp/d 2>&1; rc=$?; cat /tmp/d; [ $rc = 0 ] || bad "discovery: exit $rc"
has "^$PORTAL:3260,1 $IQN\$" "discovery prints the portal and the name" < /tmp/d
iscsiadm -m node -o show > /tmp/n || bad "node show"
has '^node.startup = ' "node -o show prints the record" < /tmp/n
login() {
  iscsiadm -m node -T $IQN -p $PORTAL --login > /tmp/l 2>&1; rc=$?; cat /tmp/l; [ $rc = 0 ] || bad "login: exit $rc"
  has "Logging in to .*target: $IQN, portal: $PORTAL,3260" "login prints its first line" < /tmp/l
  has "Login to .*target: $IQN, portal: $PORTAL,3260. successful." "login prints its second line" < /tmp/l
  n=100; DISK=; while [ $n -gt 0 ]; do DISK=$(ls /sys/block | grep '^sd' | head -n 1); [ -n "$DISK" ] && [ -b /dev/$DISK ] && [ "$(cat /sys/block/$DISK/size)" -gt 0 ] && break; n=$((n-1)); sleep 0.1; done
  [ -n "$DISK" ] || bad "no disk after login"; ok "the disk appears ($DISK)"
}
logout() {
  iscsiadm -m node -T $IQN -p $PORTAL --logout > /tmp/l 2>&1; rc=$?; cat /tmp/l; [ $rc = 0 ] || bad "logout: exit $rc"
  has "Logout of .*target: $IQN, portal: $PORTAL,3260. successful." "logout prints its line" < /tmp/l
  wait_gone /sys/block/$DISK 10 || bad "the disk stays after logout"; ok "the disk is gone after logout"
}
login
# both logs are written behind the events
logged() { grep -q 'is operational now' /var/log/messages && dmesg | grep -q "\[$DISK\] Attached"; }
n=50; until logged || [ $n = 0 ]; do sleep 0.1; n=$((n-1)); done
cat /var/log/messages > /tmp/k; dmesg >> /tmp/k
has 'is operational now' "iscsid logs that the connection is operational" < /tmp/k
if [ "$TARGET" != istgt ] && [ "$TARGET" != lio ]; then
  has 'Direct-Access     IET      VIRTUAL-DISK     0001' "the kernel names the disk as tgt's" < /tmp/k
  has 'RAID              IET      Controller       0001' "the kernel names LUN 0 as tgt's" < /tmp/k
  has 'Write cache: enabled, read cache: enabled' "the kernel sees the caches" < /tmp/k
  host --mode target --op show > /tmp/s || bad "tgtadm show while connected"; cat /tmp/s
  has 'Initiator: iqn.2001-04.com.example:initiator1' "the target lists the initiator" < /tmp/s
  has 'IP Address: ' "the target lists its address" < /tmp/s
fi
iscsiadm -m session > /tmp/s || bad "session: exit $?"
has "^tcp: \[[0-9]*\] $PORTAL:3260,1 $IQN (non-flash)" "session lists the session" < /tmp/s
for p in 1 2 3; do iscsiadm -m session -P $p > /tmp/s 2>&1 || bad "session -P $p"; has "Target: $IQN" "session -P $p" < /tmp/s; done
iscsiadm -m session -s > /tmp/s 2>&1 || bad "session -s"; has 'txdata_octets' "session -s prints counters" < /tmp/s
mkfs.ext4 -q -F /dev/$DISK || bad mkfs.ext4; ok "mkfs.ext4"
mount -t ext4 /dev/$DISK /mnt || bad mount
dd if=/dev/urandom of=/mnt/a bs=64k count=160 2>/dev/null; dd if=/dev/urandom of=/mnt/b bs=1k count=999 2>/dev/null
(cd /mnt && sha256sum a b > /tmp/sums); umount /mnt || bad umount
iscsiadm -m session -R > /tmp/s 2>&1 || bad "session -R: $(cat /tmp/s)"; ok "rescan"
logout
iscsiadm -m session > /tmp/s 2>&1; rc=$?; [ $rc = 21 ] || bad "session with none: exit $rc, want 21"; ok "no session left: exit 21"
login
e2fsck -fn /dev/$DISK >/tmp/f 2>&1 || bad "e2fsck: $(tail -n 3 /tmp/f)"; ok "e2fsck finds nothing"
mount -t ext4 /dev/$DISK /mnt || bad "mount again"
(cd /mnt && sha256sum -c /tmp/sums) || bad "checksums differ"; ok "checksums equal"
umount /mnt; logout
exit 0
