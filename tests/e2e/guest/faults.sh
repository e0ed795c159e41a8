#!/bin/sh
. /lib/vm.sh; . /etc/vm.env
ok() { echo "ok   $*"; }
bad() { echo "FAIL $*"; tail -n 15 /var/log/messages; dmesg | tail -n 10; }
check() { local name=$1; shift; if "$@" >/tmp/c 2>&1; then ok "$name"; else bad "$name: $(tail -n 3 /tmp/c | tr '\n' '|')"; fi; }
state() { cat /sys/class/iscsi_session/session*/state; }
is() { [ "$(state)" = "$1" ]; }
await() { local n=$(($2 * 10)); until is "$1"; do n=$((n-1)); [ $n -gt 0 ] || return 1; sleep 0.1; done; }
syslogd -O /var/log/messages
modprobe iscsi_tcp; modprobe dummy
iscsid || bad "iscsid does not start"
set_key() { iscsiadm -m node -T "$1" -o update -n "$2" -v "$3" || bad "update $2"; }

# ---- logins that fail: number, and nothing left
add() { iscsiadm -m node -T "$1" -p "$2" -o new >/dev/null || bad "new $1"
  set_key "$1" node.session.initial_login_retry_max 1; set_key "$1" 'node.conn[0].timeo.login_timeout' 2; }
fails() { # NAME EXIT TARGET
  timeout 60 iscsiadm -m node -T "$3" --login > /tmp/l 2>&1; rc=$?
  if [ $rc = "$2" ]; then ok "$1: exit $rc"; else bad "$1: exit $rc, want $2: $(cat /tmp/l)"; fi
  grep -q "initiator reported error ($2 - " /tmp/l || bad "$1: no message with the number: $(cat /tmp/l)"
  n=0; while ls /sys/class/iscsi_session/ 2>/dev/null | grep -q . && [ $n -lt 30 ]; do sleep 0.1; n=$((n+1)); done
  check "$1: nothing left in the kernel" test -z "$(ls /sys/class/iscsi_session/ /sys/class/iscsi_host/ 2>/dev/null | grep -v :)"
}
add $IQN.nosuch $PORTAL:3260,1;   fails "unknown target" 19 $IQN.nosuch
add $IQN.secret $PORTAL:3260,1;   fails "no CHAP where it is wanted" 24 $IQN.secret
set_key $IQN.secret node.session.auth.authmethod CHAP; set_key $IQN.secret node.session.auth.username alice
set_key $IQN.secret node.session.auth.password wrongsecret12; fails "wrong CHAP secret" 24 $IQN.secret
add $IQN.port $PORTAL:9,1;        fails "portal down" 8 $IQN.port
ip link add dummy0 type dummy; ip link set dummy0 up; ip route add 198.51.100.0/24 dev dummy0
add $IQN.host 198.51.100.1:3260,1; fails "host unreachable" 8 $IQN.host
echo 'nameserver 198.51.100.2' > /etc/resolv.conf; echo 'options timeout:1 attempts:1' >> /etc/resolv.conf
add $IQN.dns nosuch.invalid:3260,1; fails "name does not resolve" 4 $IQN.dns
add $IQN.closed $PORTAL:3260,1
iscsiadm -m node -T $IQN.closed --login >/tmp/l 2>&1; rc=$?
case $rc in 19|24) ok "not on the target's list: exit $rc";; *) bad "not on the target's list: exit $rc: $(cat /tmp/l)";; esac
set_key $IQN.secret node.session.auth.password alicesecret12
check "right CHAP secret" iscsiadm -m node -T $IQN.secret --login
check "and out" iscsiadm -m node -T $IQN.secret --logout

# ---- sixty black holes beside a live portal
if [ "$INITIATOR" != debian ]; then
  printf 'node.session.initial_login_retry_max = 1\nnode.conn[0].timeo.login_timeout = 3\n' >> /etc/iscsi/iscsid.conf
  i=1; while [ $i -le 60 ]; do iscsiadm -m node -T $IQN -p 198.51.100.$((i+10)):3260,1 -o new >/dev/null 2>&1; i=$((i+1)); done
  add $IQN $PORTAL:3260,1
  start=$(cut -d' ' -f1 /proc/uptime)
  iscsiadm -m node -T $IQN --login >/tmp/l 2>&1 & tool=$!
  n=100; until [ "$(state 2>/dev/null)" = LOGGED_IN ] || [ $n = 0 ]; do n=$((n-1)); sleep 0.05; done
  took=$(awk -v s=$start '{ printf "%d", ($1 - s) * 1000 }' /proc/uptime)
  check "60 dead portals: the live one is there after $took ms" test $took -lt 2000
  wait $tool; rc=$?; total=$(awk -v s=$start '{ printf "%d", $1 - s }' /proc/uptime)
  check "60 dead portals: all are answered after $total s" test $total -lt 15
  check "60 dead portals: exit $rc, the first error's" test $rc = 8
  check "60 dead portals: one line says yes" test "$(grep -c successful /tmp/l)" = 1
  iscsiadm -m node -T $IQN --logout >/dev/null 2>&1; iscsiadm -m node -T $IQN -o delete
fi

# ---- a session that works
iscsiadm -m discovery -t st -p $PORTAL >/dev/null 2>&1 || bad discovery
set_key $IQN node.session.timeo.replacement_timeout 8
set_key $IQN 'node.conn[0].timeo.noop_out_interval' 2; set_key $IQN 'node.conn[0].timeo.noop_out_timeout' 2
set_key $IQN 'node.conn[0].timeo.login_timeout' 4
check "login" iscsiadm -m node -T $IQN -p $PORTAL --login
wait_file /sys/block/sda 10; n=50; until [ -b /dev/sda ] || [ $n = 0 ]; do sleep 0.1; n=$((n-1)); done
dd if=/dev/urandom of=/tmp/data bs=64k count=512 2>/dev/null
write() { dd if=/tmp/data of=/dev/sda bs=64k oflag=direct 2>/tmp/w; echo $? > /tmp/w.rc; }
same() { dd if=/dev/sda bs=64k count=512 iflag=direct 2>/dev/null | cmp - /tmp/data; }
blank() { dd if=/dev/zero of=/dev/sda bs=64k count=512 oflag=direct 2>/dev/null; }
finished() { wait $1; check "$2: the write ends well" test "$(cat /tmp/w.rc)" = 0; check "$2: every byte is there" same; }
writes() { awk '{ print $5 }' /sys/block/sda/stat; }
begin_write() { local n=1000 from=$(writes); write & w=$!; until [ $(writes) -gt $from ] || [ $n = 0 ]; do n=$((n-1)); sleep 0.01; done; }
cable() { ip link set eth0 $1; [ $1 = up ] && ip route add default via 10.0.2.2 2>/dev/null; :; }

# (the pauses are how long something is away)
begin_write; cable down; sleep 5; cable up
finished $w "cable out for 5 s"
check "cable out for 5 s: logged in" await LOGGED_IN 15

blank; begin_write; host kill; sleep 2; host start || bad "target does not start again"
finished $w "target killed and started again"

blank; begin_write; host freeze; sleep 7; host thaw
finished $w "target frozen for 7 s"

blank; begin_write; kill -9 $(cat /run/iscsid.pid); sleep 0.5; iscsid || bad "iscsid does not start again"
finished $w "iscsid killed and started again"
check "iscsid killed: the new one knows the session" sh -c 'iscsiadm -m session -P 1 | grep -q "Connection State: LOGGED IN"'

blank; begin_write; kill -9 $(cat /run/iscsid.pid); host kill; sleep 1; iscsid; sleep 1; host start
finished $w "iscsid and target killed"

begin_write; cable down; wait $w
check "cable out for long: the write fails" test "$(cat /tmp/w.rc)" != 0
check "cable out for long: the session is given up" await FREE 5
cable up
check "cable back: logged in again" await LOGGED_IN 20
n=100; until [ "$(cat /sys/block/sda/device/state)" = running ] || [ $n = 0 ]; do sleep 0.1; n=$((n-1)); done
write; check "cable back: the disk works" same

mkfs.ext4 -q -F /dev/sda && mount -t ext4 /dev/sda /mnt || bad "mkfs, mount"
iscsiadm -m node -T $IQN --logout >/tmp/l 2>&1; rc=$?
if [ "$INITIATOR" = debian ]; then :; else
  if [ $rc = 28 ]; then ok "logout of a mounted disk is refused: exit 28"; else bad "logout of a mounted disk: exit $rc: $(cat /tmp/l)"; fi
fi
umount /mnt
rss=$(awk '/VmRSS/ { print $2 }' /proc/$(cat /run/iscsid.pid)/status); check "iscsid takes $rss KiB" test "$rss" -le 3072
check "logout" iscsiadm -m node -T $IQN --logout
check "logout: nothing left" test -z "$(ls /sys/class/iscsi_session/)"
exit 0
