#!/bin/sh
. /lib/vm.sh; . /etc/vm.env
ok() { echo "ok   $*"; }
bad() { echo "FAIL $*"; tail -n 6 /var/log/messages; }
check() { local name=$1; shift; if "$@" >/tmp/c 2>&1; then ok "$name"; else bad "$name: exit $?: $(tail -n 3 /tmp/c | tr '\n' '|')"; fi; }
exits() { local name=$1 want=$2 rc; shift 2; timeout 60 "$@" > /tmp/c 2>&1; rc=$?; if [ $rc = "$want" ]; then ok "$name: exit $rc"; else bad "$name: exit $rc, want $want: $(tail -n 3 /tmp/c | tr '\n' '|')"; fi; }
says() { local name=$1 want=$2; shift 2; "$@" > /tmp/c 2>&1; if grep -q -- "$want" /tmp/c; then ok "$name"; else bad "$name: no '$want' in: $(tail -n 4 /tmp/c | tr '\n' '|')"; fi; }
tgt() { tgtadm --lld iscsi "$@" || bad "tgtadm $*"; }
set_key() { iscsiadm -m node -T $IQN "$@" > /tmp/c 2>&1 || bad "update: $(cat /tmp/c)"; }
syslogd -O /var/log/messages
modprobe iscsi_tcp; modprobe dummy
ip link add dummy0 type dummy; ip link set dummy0 up
ip addr add 192.0.2.1/32 dev lo; ip addr add 203.0.113.7/32 dev lo; ip -6 addr add 2001:db8::1/128 dev lo
tgtd; tgt --mode target --op new --tid 1 -T $IQN; tgt --mode logicalunit --op new --tid 1 --lun 1 -b /dev/vdb; tgt --mode target --op bind --tid 1 -I ALL
peers() { tgtadm --lld iscsi --mode conn --op show --tid 1 | awk '/IP Address/ { print $3 }' | sort | tr '\n' ' '; }

# ---- the daemon
check "iscsid starts" iscsid
says "its PID file" "^$(pidof iscsid)\$" cat /run/iscsid.pid
exits "a second copy is refused" 1 iscsid
says "and says why" 'another iscsid is running' iscsid -f
says "a name is made from the machine's" '^InitiatorName=iqn\.' cat /etc/iscsi/initiatorname.iscsi
cp /etc/iscsi/initiatorname.iscsi /tmp/name; rm /etc/iscsi/initiatorname.iscsi
kill $(pidof iscsid); wait_gone /proc/$(cat /run/iscsid.pid); iscsid
check "always the same" cmp /tmp/name /etc/iscsi/initiatorname.iscsi

# ---- IPv6
says "IPv6: discovery" "^\[2001:db8::1\]:3260,1 $IQN\$" iscsiadm -m discovery -t st -p '[2001:db8::1]'
check "IPv6: login" iscsiadm -m node -T $IQN -p '[2001:db8::1]:3260' --login
says "IPv6: session" "^tcp: \[[0-9]*\] \[2001:db8::1\]:3260,1 $IQN" iscsiadm -m session
check "IPv6: the disk is read" sh -c '. /lib/vm.sh; wait_file /dev/sda; dd if=/dev/sda of=/dev/null bs=64k count=16 iflag=direct'
check "IPv6: logout" iscsiadm -m session -u
iscsiadm -m node -o delete

# ---- digests, mutual CHAP, several sessions
says "discovery" "^192.0.2.1:3260,1 $IQN\$" iscsiadm -m discovery -t st -p 192.0.2.1
tgt --mode account --op new --user alice --password alicesecret12; tgt --mode account --op new --user disks --password diskssecret12
tgt --mode account --op bind --tid 1 --user alice; tgt --mode account --op bind --tid 1 --user disks --outgoing
for k in HeaderDigest DataDigest; do tgt --mode target --op update --tid 1 --name $k --value CRC32C; done
exits "no CHAP" 24 iscsiadm -m node -T $IQN --login
set_key -o update -n node.session.auth.authmethod -v CHAP -n node.session.auth.username -v alice -n node.session.auth.password -v alicesecret12
set_key -o update -n node.session.auth.username_in -v disks -n node.session.auth.password_in -v wrongsecret12
exits "a target that proves to be another" 19 iscsiadm -m node -T $IQN --login
set_key -o update -n node.session.auth.password_in -v diskssecret12
set_key -o update -n 'node.conn[0].iscsi.HeaderDigest' -v CRC32C -n 'node.conn[0].iscsi.DataDigest' -v CRC32C -n node.session.nr_sessions -v 2
check "mutual CHAP, digests, two sessions: login" iscsiadm -m node -T $IQN --login
check "two sessions" test "$(iscsiadm -m session | wc -l)" = 2
says "with header digests" 'HeaderDigest: CRC32C' iscsiadm -m session -P 2
says "and data digests" 'DataDigest: CRC32C' iscsiadm -m session -P 2
check "one more of the first" iscsiadm -m session -r "$(iscsiadm -m session | sed -n '1s/.*\[\([0-9]*\)\].*/\1/p')" -o new
check "three sessions" test "$(iscsiadm -m session | wc -l)" = 3
n=50; until [ "$(ls /sys/block | grep -c ^sd)" = 3 ] || [ $n = 0 ]; do n=$((n-1)); sleep 0.1; done
dd if=/dev/urandom of=/tmp/data bs=64k count=32 2>/dev/null
check "a write by one" dd if=/tmp/data of=/dev/sda bs=64k oflag=direct
check "is read by another" sh -c 'dd if=/dev/sdc bs=64k count=32 iflag=direct 2>/dev/null | cmp - /tmp/data'
for v in node session iface discovery discoverydb host; do iscsiadm -m $v --json > /share/$v.json 2>/tmp/c || [ $? = 21 ] || bad "-m $v --json: $(cat /tmp/c)"; [ -s /share/$v.json ] || rm -f /share/$v.json; done
for p in 1 2 3; do iscsiadm -m session -P $p --json > /share/session-$p.json || bad "-m session -P $p --json"; done
iscsiadm -m session -s --json > /share/statistics.json || bad "-m session -s --json"
check "no secret in them" sh -c '! grep -l secret12 /share/*.json'
check "logout of all" iscsiadm -m session -u
set_key -o update -n node.session.nr_sessions -v 1

# ---- interfaces
iscsiadm -m iface -I byaddress -o new >/dev/null; iscsiadm -m iface -I byaddress -o update -n iface.ipaddress -v 203.0.113.7 >/dev/null || bad "iface update"
iscsiadm -m iface -I bydevice -o new >/dev/null; iscsiadm -m iface -I bydevice -o update -n iface.net_ifacename -v dummy0 >/dev/null || bad "iface update"
cp -r /etc/iscsi/nodes /tmp/nodes
for i in byaddress bydevice; do
  iscsiadm -m node -T $IQN -p 192.0.2.1:3260,1 -I $i -o new >/dev/null || bad "node of iface $i"
  for w in node.session.auth.authmethod=CHAP node.session.auth.username=alice node.session.auth.password=alicesecret12 'node.conn[0].iscsi.HeaderDigest=CRC32C' 'node.conn[0].iscsi.DataDigest=CRC32C' \
    node.session.initial_login_retry_max=1 'node.conn[0].timeo.login_timeout=2'; do set_key -I $i -o update -n "${w%%=*}" -v "${w#*=}"; done
done
check "an iface with an address: login" iscsiadm -m node -T $IQN -I byaddress --login
check "the target sees it come from there" test "$(peers)" = "203.0.113.7 "
exits "an iface on a device that leads nowhere" 8 iscsiadm -m node -T $IQN -I bydevice --login

# ---- in use
wait_file /dev/sda; mke2fs -F /dev/sda > /dev/null 2>&1; modprobe ext4; mount -t ext4 /dev/sda /mnt 2>/tmp/c || mount -t ext2 /dev/sda /mnt || bad "mount: $(cat /tmp/c)"
exits "logout of a mounted disk" 28 iscsiadm -m session -u
check "logout of a mounted disk, forced" iscsiadm -m session -u --force
check "no session" test -z "$(ls /sys/class/iscsi_session)"
umount -l /mnt

# ---- another state directory
mkdir /tmp/state
check "records elsewhere" iscsiadm --database /tmp/state -m discovery -t st -p 192.0.2.1
check "are elsewhere" test -e "/tmp/state/nodes/$IQN/192.0.2.1,3260,1/default"
rm -rf /etc/iscsi/nodes; says "and nowhere else" 'No records found' iscsiadm -m node
says "by the environment" "^192.0.2.1:3260,1 $IQN" env ISCSI_STATE_DIR=/tmp/state iscsiadm -m node
exit 0
