#!/bin/sh
. /lib/vm.sh; . /etc/vm.env
ok() { echo "ok   $*"; }
bad() { echo "FAIL $*"; tail -n 12 /var/log/messages; dmesg | tail -n 6; }
check() { local name=$1; shift; if "$@" >/tmp/c 2>&1; then ok "$name"; else bad "$name: $(tail -n 3 /tmp/c | tr '\n' '|')"; fi; }
syslogd -O /var/log/messages
modprobe iscsi_tcp
iscsid || bad "iscsid does not start"
state() { cat /sys/class/iscsi_session/session*/state; }
await() { local n=$(($2 * 10)); until [ "$(state)" = $1 ]; do n=$((n-1)); [ $n -gt 0 ] || return 1; sleep 0.1; done; }
set_key() { iscsiadm -m node -T $1 -p $2 -o update -n "$3" -v "$4" || bad "update $3"; }
add() { iscsiadm -m node -T $1 -p $2,1 -o new >/dev/null || bad "new $1"
  set_key $1 $2 node.session.initial_login_retry_max 1; set_key $1 $2 'node.conn[0].timeo.login_timeout' 5
  set_key $1 $2 node.session.timeo.replacement_timeout 60; }
dd if=/dev/urandom of=/tmp/data bs=64k count=64 2>/dev/null
rounds=0
writes() { awk '{ print $5 }' /sys/block/sda/stat; }
writes_go_on() { local n=300 from=$(writes); until [ $(writes) -gt $from ]; do n=$((n-1)); [ $n -gt 0 ] || return 1; sleep 0.05; done; }
# by now the kernel has read what the target said before, and iscsid has read it from the kernel
heard() { writes_go_on && iscsiadm -m session -P 1; }
within() { local n=$(($1 * 10)); shift; until "$@" > /dev/null 2>&1; do n=$((n-1)); [ $n -gt 0 ] || return 1; sleep 0.1; done; }
# under NAME EFFECT COMMAND… : the command is carried out under writes, the last of which begins when it has had its effect (a
# command in one word that then succeeds) and the session is well again
under() {
  local name=$1 effect=$2 w; shift 2; rounds=$((rounds+1)); : > /tmp/go
  (while :; do last=; [ -e /tmp/go ] || last=1; dd if=/tmp/data of=/dev/sda bs=64k seek=$((rounds % 2)) conv=notrunc oflag=direct 2>/tmp/w || exit 1; [ -z "$last" ] || exit 0; done) & w=$!
  writes_go_on; "$@" > /tmp/c 2>&1 || bad "$name: $(cat /tmp/c)"
  check "$name: $effect" within 30 $effect
  check "$name: logged in" await LOGGED_IN 30
  rm /tmp/go; wait $w; check "$name: the writes end well" test $? = 0
  echo 3 > /proc/sys/vm/drop_caches
  check "$name: every byte is there" sh -c "dd if=/dev/sda bs=64k skip=$((rounds % 2)) count=64 iflag=direct 2>/dev/null | cmp - /tmp/data"
  check "$name: the same session and disk" test "$(ls /sys/class/iscsi_session) $(ls /sys/block | grep ^sd)" = "$session sda"
}

# ---- asynchronous messages
add $IQN $PORTAL:3270
check "login" iscsiadm -m node -T $IQN -p $PORTAL:3270 --login
wait_file /dev/sda; session=$(ls /sys/class/iscsi_session)
linked() { [ "$(host middle links)" = "$1 $2" ]; }
expect() { check "$1: connections and logouts $2" test "$(host middle links)" = "$2"; }
under "the target asks for logout" "linked 2 1" host middle async 1 0 0 10;                expect "the target asks for logout" "2 1"
under "the target asks for renegotiation" "linked 3 2" host middle async 4 0 0 10;         expect "the target asks for renegotiation" "3 2"
under "the target drops the connection" "linked 4 2" host middle async 2 0 2 60 close;     expect "the target drops the connection" "4 2"
gap=$(host middle gap); check "reconnected after $gap s, not before the 2 s it asked for" awk "BEGIN { exit !($gap >= 2) }"
under "the target drops all connections" "linked 5 2" host middle async 3 0 1 60 close;    expect "the target drops all connections" "5 2"
harmless() {
  host middle async 2 5 0 60              # of a connection that is not ours
  host middle async 5 0 0 0               # tasks terminated
  host middle async 255 0 0 0 0102        # a vendor's
  host middle async 77 1 2 3 00ff         # of no kind
  host middle async 0 0 0 0 00            # a SCSI event cut short
  host middle async 0 0 0 0 ffff70        # one that lies about its length
}
under "six messages that need nothing done" heard harmless;                         expect "six messages that need nothing done" "5 2"
host lun || bad "no second logical unit"
host middle async 0 0 0 0 0012700006000000000a000000003f0e00000000 > /dev/null       # UNIT ATTENTION, REPORTED LUNS DATA HAS CHANGED
check "the logical units changed: the new one is found" wait_file /dev/sdb 10
check "logout" iscsiadm -m node -T $IQN -p $PORTAL:3270 --logout
iscsiadm -m node -T $IQN -p $PORTAL:3270 -o delete

# ---- redirects
B=192.0.2.11
portals() { iscsiadm -m session -P 1 | awk '/Current Portal/ { c = $3 } /Persistent Portal/ { print c, $3 }'; }
at_first() { [ "$(portals)" = "$PORTAL:3260,1 $PORTAL:3260,1" ]; }
add $IQN $PORTAL:3260
host redirect $B 3261 Temporary || bad "redirect"
check "redirected: login" iscsiadm -m node -T $IQN -p $PORTAL:3260 --login
wait_file /dev/sda; session=$(ls /sys/class/iscsi_session)
check "redirected: iscsiadm shows both portals" test "$(portals)" = "$B:3261,1 $PORTAL:3260,1"
check "redirected: the session is listed by its own portal" sh -c "iscsiadm -m session | grep -q ' $PORTAL:3260,1 $IQN '"
under "redirected" heard true
iscsiadm -m node -T $IQN -p $PORTAL:3260 --login >/tmp/l 2>&1; rc=$?
check "redirected: a second login is known to be one (exit $rc)" test $rc = 15
host redirect '' || bad "no redirect"
under "moved back: the second portal dies" at_first host kill second
check "moved back: the first one has it" test "$(portals)" = "$PORTAL:3260,1 $PORTAL:3260,1"
host second; host redirect $B 3261 Permanent || bad "redirect"
iscsiadm -m session -u > /dev/null; check "moved for good: login" iscsiadm -m node -T $IQN -p $PORTAL:3260 --login
wait_file /dev/sda; session=$(ls /sys/class/iscsi_session)
host kill first
both() { host kill second; await FAILED 30; host second; }
under "moved for good: the second portal comes back, the first is dead" heard both
check "moved for good: it is at the second" test "$(portals)" = "$B:3261,1 $PORTAL:3260,1"
host first; under "moved for good: the second portal dies" at_first host kill second
check "moved for good: the first one has it" test "$(portals)" = "$PORTAL:3260,1 $PORTAL:3260,1"
check "logout" iscsiadm -m session -u

# ---- a portal known by its name, whose address changes
cp /etc/hosts /tmp/hosts; echo "$PORTAL san.example" >> /etc/hosts
host second; add $IQN san.example:3261
sed -i "s/^$PORTAL san/$B san/" /etc/hosts
check "by name: login" iscsiadm -m node -T $IQN -p san.example:3261 --login
wait_file /dev/sda; session=$(ls /sys/class/iscsi_session)
under "by name: the portal dies and comes back" heard both
check "logout" iscsiadm -m session -u

# ---- in circles
add $IQN.circle $PORTAL:3260
start=$(cut -d. -f1 /proc/uptime)
timeout 60 iscsiadm -m node -T $IQN.circle --login > /tmp/l 2>&1; rc=$?
check "redirected in a circle: exit $rc" test $rc = 19
check "redirected in a circle: ends" test $(($(cut -d. -f1 /proc/uptime) - start)) -lt 30
check "redirected in a circle: nothing left" test -z "$(ls /sys/class/iscsi_session /sys/class/iscsi_host | grep -v :)"
exit 0
