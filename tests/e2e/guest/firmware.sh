#!/bin/sh
. /lib/vm.sh; . /etc/vm.env
ok() { echo "ok   $*"; }
bad() { echo "FAIL $*"; }
check() { local name=$1; shift; if "$@" >/tmp/c 2>&1; then ok "$name"; else bad "$name: $(tail -n 3 /tmp/c | tr '\n' '|')"; fi; }
modprobe iscsi_ibft; ls /sys/firmware/ibft > /tmp/ibft 2>&1; cat /tmp/ibft; dmesg | grep -i ibft
for f in /sys/firmware/ibft/*/*; do [ -f $f ] && case $f in *secret) ;; *) echo "$f: $(cat $f 2>/dev/null)";; esac; done
iscsistart -f > /tmp/f 2>&1; rc=$?; cat /tmp/f
check "iscsistart -f: exit $rc" test $rc = 0
check "iscsistart -f names the target" grep -q "^node.name = $IQN\$" /tmp/f
check "iscsistart -f names the portal" grep -q "^node.conn\[0\].address = $PORTAL\$" /tmp/f
check "iscsistart -f names the initiator" grep -q "^iface.initiatorname = iqn.2001-04.com.example:ipxe\$" /tmp/f
ip addr flush dev eth0; ip link set eth0 down
check "iscsistart -N" iscsistart -N
check "iscsistart -N brings the address back" sh -c 'ip addr show eth0 | grep -q "inet 10.0.2.15/24"'
iscsistart -b > /tmp/b 2>&1; rc=$?; cat /tmp/b
check "iscsistart -b: exit $rc" test $rc = 0
check "iscsistart -b says what it does" grep -q "^iscsistart: Logging into $IQN $PORTAL:3260,1" /tmp/b
n=100; until [ -b /dev/sda ] || [ $n = 0 ]; do n=$((n-1)); sleep 0.1; done
check "the disk can be read" dd if=/dev/sda of=/dev/null bs=64k count=16
iscsistart -b > /tmp/b 2>&1; rc=$?
check "once more is harmless: exit $rc" grep -q '15 - session exists' /tmp/b
iscsiadm -m fw > /tmp/w 2>&1; rc=$?; cat /tmp/w
check "iscsiadm -m fw: exit $rc" test $rc = 0
check "iscsiadm -m fw shows the target" grep -q "$IQN" /tmp/w
exit 0
