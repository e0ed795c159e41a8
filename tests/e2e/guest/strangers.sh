#!/bin/sh
. /lib/vm.sh; . /etc/vm.env
ok() { echo "ok   $*"; }
bad() { echo "FAIL $*"; tail -n 12 /var/log/messages; }
check() { local name=$1; shift; if "$@" >/tmp/c 2>&1; then ok "$name"; else bad "$name: $(tail -n 3 /tmp/c | tr '\n' '|')"; fi; }
wait_iscsid() { local n=100; until grep -q ISCSIADM_ABSTRACT_NAMESPACE /proc/net/unix || [ $n = 0 ]; do n=$((n-1)); sleep 0.1; done; }
gone() { local n=100; while pidof iscsid >/dev/null && [ $n -gt 0 ]; do n=$((n-1)); sleep 0.1; done; }
syslogd -O /var/log/messages
modprobe iscsi_tcp
iscsiadm -m discovery -t st -p $PORTAL > /dev/null || bad discovery
mismatch() { # NAME EXIT COMMAND…
  local name=$1 want=$2; shift 2; timeout 20 "$@" > /tmp/l 2>&1; rc=$?
  check "$name: exit $rc" test $rc = $want
}
/opt/theirs/iscsid; wait_iscsid
mismatch "our iscsiadm, their iscsid" 18 iscsiadm -m node --login
check "who answers is named, in one line" test "$(grep -c "the running iscsid is not this program's: pid [0-9]*, /opt/theirs/iscsid" /tmp/l)" = 1
mismatch "our iscsiadm -k 0, their iscsid" 0 iscsiadm -k 0
check "theirs logs in" /opt/theirs/iscsiadm -m node --login
wait_file /dev/sda; kill $(pidof iscsid); gone

/sbin/iscsid; wait_iscsid
check "ours takes over the session of theirs" sh -c 'iscsiadm -m session -P 1 | grep -q "Connection State: LOGGED IN"'
mismatch "their iscsiadm, our iscsid" 18 /opt/theirs/iscsiadm -m node --logout
check "it says so in one line" test "$(grep -c '^iscsiadm: initiator reported error (18 - could not communicate to iscsid)' /tmp/l)" = 1
check "and nothing of a daemon that died" sh -c '! grep -q died /tmp/l'
check "our iscsid says who asked" grep -q "a request that is not ours (open-iscsi's iscsiadm?): refused" /var/log/messages
kill $(pidof iscsid); gone
/opt/theirs/iscsid; wait_iscsid
check "theirs takes over the session of ours" sh -c 'n=50; until /opt/theirs/iscsiadm -m session -P 1 | grep -q "Connection State: LOGGED IN"; do n=$((n-1)); [ $n -gt 0 ] || exit 1; sleep 0.1; done'
check "the disk works" dd if=/dev/sda of=/dev/null bs=64k count=16 iflag=direct
check "theirs logs out" /opt/theirs/iscsiadm -m node --logout
exit 0
