#!/bin/sh
. /lib/vm.sh; . /etc/vm.env
GOOD=$IQN IQN=iqn.2001-04.com.example:hostile
ok() { echo "ok   $*"; }
bad() { echo "FAIL $*"; tail -n 12 /var/log/messages; }
check() { local name=$1; shift; if "$@" >/tmp/c 2>&1; then ok "$name"; else bad "$name: $(tail -n 3 /tmp/c | tr '\n' '|')"; fi; }
now() { cut -d. -f1 /proc/uptime; }
syslogd -O /var/log/messages
modprobe iscsi_tcp
printf '%s\n' 'discovery.sendtargets.timeo.login_timeout = 3' 'discovery.sendtargets.reopen_max = 1' 'node.session.initial_login_retry_max = 1' \
  'node.conn[0].timeo.login_timeout = 3' 'node.conn[0].timeo.noop_out_interval = 1' 'node.conn[0].timeo.noop_out_timeout = 1' 'node.conn[0].timeo.logout_timeout = 3' \
  'node.session.timeo.replacement_timeout = 3' > /etc/iscsi/iscsid.conf
iscsid || bad "iscsid does not start"
pid=$(cat /run/iscsid.pid)
# every process of ours has 64 MB of address space and no more
ulimit -v 65536

# ---- discovery, all at once
start=$(now)
while read -r port name; do
  (timeout 60 iscsiadm -m discovery -t st -p $PORTAL:$port > /tmp/d.$name 2>&1; echo $? > /tmp/rc.$name) &
done < /etc/targets
wait $(jobs -p | grep -v "^$pid$") 2>/dev/null
while read -r port name; do
  rc=$(cat /tmp/rc.$name)
  case $name:$rc in
    bad_names:0) check "discovery, $name: only what can be one" test "$(grep '^1' /tmp/d.$name)" = "$(printf '%s\n' "$PORTAL:3260,1 eui.02" "$PORTAL:3260,1 naa.zz" "$PORTAL:3260,1 $IQN:good")";;
    *:0 | *:1[2-9][0-9] | *:2[0-9][0-9]) bad "discovery, $name: exit $rc: $(head -c 200 /tmp/d.$name)";;
    *) ok "discovery, $name: exit $rc: $(tail -n 1 /tmp/d.$name | head -c 120)";;
  esac
done < /etc/targets
check "all discoveries ended after $(($(now) - start)) s" test $(($(now) - start)) -lt 40
check "no path was made of a name" test -z "$(ls /tmp/evil /etc/iscsi/nodes/iqn.2001-04.com.example:a* 2>/dev/null)"
rm -rf /etc/iscsi/nodes/* /etc/iscsi/send_targets/*

# ---- login, all at once
while read -r port name; do
  case $name in junk_after_login|dead_after_login) continue;; endless_t*|flood*|bad_names) continue;; esac
  iscsiadm -m node -T $IQN:$name -p $PORTAL:$port,1 -o new >/dev/null || bad "new $name"
done < /etc/targets
start=$(now)
timeout 100 iscsiadm -m node --login > /tmp/l 2>&1; rc=$?
check "login to all of them: exit $rc" test $rc != 0 -a $rc -lt 124
check "login to all of them: ended after $(($(now) - start)) s" test $(($(now) - start)) -lt 60
check "login to all of them: each failure is named" test "$(grep -c 'Could not login to' /tmp/l)" = "$(iscsiadm -m node | wc -l)"
sed -n 's/.*initiator reported error (/  # /p' /tmp/l | sort | uniq -c
n=0; while ls /sys/class/iscsi_session | grep -q . && [ $n -lt 50 ]; do sleep 0.1; n=$((n+1)); done
check "login to all of them: nothing left in the kernel" test -z "$(ls /sys/class/iscsi_session /sys/class/iscsi_host | grep -v :)"
iscsiadm -m node -o delete

# ---- sessions with targets that go wrong later
conn_errors() { dmesg | grep -c 'detected conn error'; }
conn_errors_beyond() { local n=150; until [ $(conn_errors) -gt $1 ]; do n=$((n-1)); [ $n -gt 0 ] || return 1; sleep 0.1; done; }
for name in junk_after_login dead_after_login; do
  port=$(awk "/ $name\$/ { print \$1 }" /etc/targets)
  iscsiadm -m node -T $IQN:$name -p $PORTAL:$port,1 -o new >/dev/null
  errors=$(conn_errors); start=$(now); timeout 100 iscsiadm -m node -T $IQN:$name --login > /tmp/l 2>&1; rc=$?
  check "$name: login ended after $(($(now) - start)) s, exit $rc" test $rc -lt 124
  check "$name: the kernel finds the connection broken" conn_errors_beyond $errors
  start=$(now); timeout 60 iscsiadm -m node -T $IQN:$name --logout > /tmp/l 2>&1; rc=$?
  check "$name: logout ended after $(($(now) - start)) s, exit $rc" test $rc -lt 124
  n=0; while ls /sys/class/iscsi_session | grep -q . && [ $n -lt 100 ]; do sleep 0.1; n=$((n+1)); done
  check "$name: nothing left in the kernel" test -z "$(ls /sys/class/iscsi_session | grep .)"
done
iscsiadm -m node -o delete

# ---- records that are broken
iscsiadm -m discovery -t st -p $PORTAL > /dev/null || bad "discovery of the good one"
r=/etc/iscsi/nodes/$GOOD/$PORTAL,3260,1/default
breaks() { # NAME LINE WHERE : said with file and line, and left as it is
  cp $r /tmp/good; sed -i "3s!.*!$2!" $r; cp $r /tmp/broken
  iscsiadm -m node -T $GOOD -p $PORTAL > /tmp/l 2>&1; rc=$?
  check "$1: named with file and line (exit $rc)" grep -q "default line 3:" /tmp/l
  iscsiadm -m node > /tmp/l 2>&1; iscsiadm -m node --login > /tmp/l1 2>&1; iscsiadm -m node --logout > /tmp/l2 2>&1 || cat /tmp/l1 /tmp/l2
  check "$1: not rewritten" cmp $r /tmp/broken
  cp /tmp/good $r
}
breaks "a record with an unknown key" 'node.nonsense = 1'
breaks "a record with a number that is none" 'node.tpgt = many'
breaks "a record with a line that is none" 'what is this'
head -c 3000 /dev/urandom > $r; cp $r /tmp/broken
iscsiadm -m node > /tmp/l 2>&1; rc=$?; timeout 30 iscsiadm -m node --login > /tmp/l2 2>&1; rc2=$?
check "a record of noise: exits $rc and $rc2, the file is named" grep -q "default" /tmp/l /tmp/l2
check "a record of noise: not rewritten" cmp $r /tmp/broken
cp /tmp/good $r
printf 'node.startup = automatic\nnode.session.cmds_max = plenty\nno key at all\n' >> /etc/iscsi/iscsid.conf
iscsiadm -m node -T $GOOD.other -p $PORTAL -o new > /tmp/l 2>&1
check "iscsid.conf: what is wrong is named with its line" grep -q 'iscsid.conf line 10:' /tmp/l
check "and the next" grep -q 'iscsid.conf line 11:' /tmp/l

check "iscsid is the same" test "$(cat /run/iscsid.pid)" = $pid -a -d /proc/$pid
rss=$(awk '/VmRSS/ { print $2 }' /proc/$pid/status) peak=$(awk '/VmHWM/ { print $2 }' /proc/$pid/status)
check "iscsid takes $rss KiB, took $peak at most" test $peak -le 4096
check "and still logs in" iscsiadm -m node -T $GOOD -p $PORTAL --login
check "and out" iscsiadm -m node -T $GOOD -p $PORTAL --logout
exit 0
