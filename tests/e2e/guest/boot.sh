#!/bin/busybox sh
# /sbin/init of a guest that runs from an iSCSI disk.
export PATH=/sbin:/bin:/usr/sbin:/usr/bin HOME=/root
mount -t proc proc /proc 2>/dev/null; mount -t sysfs sys /sys 2>/dev/null; mount -t devtmpfs dev /dev 2>/dev/null; mount -t tmpfs run /run 2>/dev/null
mount -o remount,rw /
stty -F /dev/ttyS1 raw -echo -opost 2>/dev/null
exec >/dev/ttyS1 2>&1
ok() { echo "ok   $*"; }
bad() { echo "FAIL $*"; }
check() { local name=$1; shift; if "$@" >/run/c 2>&1; then ok "$name"; else bad "$name: $(tail -n 3 /run/c | tr '\n' '|')"; fi; }
mkdir -p /run/lock
syslogd -O /run/messages
check "the session is there at boot" grep -q LOGGED_IN /sys/class/iscsi_session/session1/state
check "iscsid starts" iscsid
check "it takes over the session" sh -c 'iscsiadm -m session -P 1 | grep "Connection State: LOGGED IN"'
dd if=/dev/urandom of=/run/data bs=64k count=128 2>/dev/null
echo LOAD
# 45 s of load, the target is away in the middle
end=$(($(date +%s) + 45)); i=0; bad=0
while [ "$(date +%s)" -lt $end ]; do
  i=$((i+1)); cp /run/data /root/copy && sync && echo 3 > /proc/sys/vm/drop_caches && cmp /run/data /root/copy || bad=$((bad+1))
done
check "$i rounds of writing and reading: none wrong" test $bad = 0
check "the session was recovered" grep -q 'is operational after recovery' /run/messages
iscsiadm -m session -u >/run/c 2>&1; rc=$?
check "the root's session is not logged out (exit $rc)" grep -q LOGGED_IN /sys/class/iscsi_session/session1/state
check "remount read-only" mount -o remount,ro /
echo END; cat /run/messages; dmesg | tail -n 20
poweroff -f
