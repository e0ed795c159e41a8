#!/bin/sh
. /lib/vm.sh; . /etc/vm.env
modprobe iscsi_tcp; modprobe crc32c
now() { awk '{ print int($1 * 1000) }' /proc/uptime; }
once() { # PROGRAM -> milliseconds in $took
  local start=$(now) n=2000
  $1 -i iqn.2001-04.com.example:h -t $IQN -g 1 -a $PORTAL -p 3260 >/dev/null 2>&1
  until [ -b /dev/sda ] || [ $n = 0 ]; do n=$((n-1)); usleep 5000; done
  took=$(($(now) - start)); [ $n -gt 0 ] || { echo "FAIL no disk from $1"; exit 1; }
  iscsid; iscsiadm -m session -u >/dev/null 2>&1 || { echo "FAIL logout after $1"; exit 1; }
  iscsiadm -k 0; n=100; while pidof iscsid >/dev/null && [ $n -gt 0 ]; do n=$((n-1)); usleep 20000; done
}
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
once /sbin/iscsistart; once /opt/theirs/iscsistart
: > /tmp/ours; : > /tmp/theirs
for i in 1 2 3 4 5 6 7; do once /sbin/iscsistart; echo $took >> /tmp/ours; once /opt/theirs/iscsistart; echo $took >> /tmp/theirs; done
o=$(median < /tmp/ours) t=$(median < /tmp/theirs)
echo "# ours: $(tr '\n' ' ' < /tmp/ours)ms, open-iscsi: $(tr '\n' ' ' < /tmp/theirs)ms; medians $o and $t ms, ratio $(awk "BEGIN { printf \"%.2f\", $o / $t }")"
if [ $o -le $((t + t / 10)) ]; then echo "ok   iscsistart to disk: $o ms, open-iscsi $t ms"; else echo "FAIL iscsistart to disk: $o ms, open-iscsi $t ms"; fi
exit 0
