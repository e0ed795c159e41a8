#!/bin/sh
# A target with many portals of which most are dead: the live ones are there in about a second.
. /lib/vm.sh; . /etc/vm.env
ok() { echo "ok   $*"; }
bad() { echo "FAIL $*"; tail -n 5 /var/log/messages; exit 1; }
modprobe iscsi_tcp || bad "modprobe iscsi_tcp"
modprobe dummy; ip link add hole type dummy; ip addr add 203.0.113.1/24 dev hole; ip link set hole up    # what goes there is never heard of
syslogd -O /var/log/messages
now() { cut -d' ' -f1 /proc/uptime | tr -d .; }          # hundredths of a second
# records are copied, not made one by one: this is no test of the database
iscsiadm -m discovery -t st -p 192.0.2.10 > /dev/null || bad "discovery"
iscsiadm -m discovery -t st -p 192.0.2.11 > /dev/null || bad "discovery"
nodes=/etc/iscsi/nodes/$IQN
for i in $(seq 10 71); do
  mkdir -m 700 "$nodes/203.0.113.$i,3260,1"
  sed "s/^node.conn\[0\].address = .*/node.conn[0].address = 203.0.113.$i/" "$nodes/192.0.2.10,3260,1/default" > "$nodes/203.0.113.$i,3260,1/default"
done
n=$(iscsiadm -m node | wc -l); [ "$n" = 64 ] || bad "$n records, want 64"
iscsid || bad "iscsid does not start"
start=$(now); iscsiadm -m node --login > /tmp/l 2>&1; rc=$?; took=$(( $(now) - start ))
[ "$(grep -c ' successful\.$' /tmp/l)" = 2 ] || bad "$(grep -c successful /tmp/l) logins, want 2"; ok "the live portals are logged in to"
[ "$(grep -c 'Could not login to' /tmp/l)" = 62 ] || bad "$(grep -c 'Could not' /tmp/l) failures, want 62"; ok "each dead portal is named"
[ $rc = 8 ] || bad "exit $rc, want 8"; ok "exit 8: connection timed out"
[ "$took" -lt 400 ] && ok "64 portals, 62 of them dead: done after $((took / 100)).$((took % 100)) s" || bad "took $took hundredths of a second"
[ "$(iscsiadm -m session | wc -l)" = 2 ] || bad "session list"; ok "two sessions"
start=$(now); iscsiadm -m session -u > /tmp/l 2>&1 || bad "logout: $(cat /tmp/l)"; ok "logout"
exit 0
