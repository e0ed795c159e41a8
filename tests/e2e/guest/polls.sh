#!/bin/sh
# use_discoveryd: iscsid asks again by itself, keeps records and logs in; keep and prune; on-demand start.
. /lib/vm.sh; . /etc/vm.env
ok() { echo "ok   $*"; }
bad() { echo "FAIL $*"; tail -n 5 /var/log/messages; exit 1; }
modprobe iscsi_tcp || bad "modprobe iscsi_tcp"
syslogd -O /var/log/messages
until_lines() { local n=150; while [ "$($1 2>/dev/null | wc -l)" != $2 ]; do n=$((n-1)); [ $n -gt 0 ] || return 1; sleep 0.1; done; }
iscsiadm -m discoverydb -t st -p $PORTAL -o new > /dev/null || bad "discoverydb -o new"
iscsiadm -m discoverydb -t st -p $PORTAL -o update -n discovery.sendtargets.use_discoveryd -v Yes -n discovery.sendtargets.discoveryd_poll_inval -v 2 || bad update
iscsid || bad "iscsid does not start"
until_lines "iscsiadm -m session" 1 || bad "iscsid does not discover by itself"; ok "iscsid discovers and logs in by itself"
[ "$(stat -c %a /etc/iscsi/nodes/$IQN)" = 700 ] || bad "mode of the record's folder: $(stat -c %a /etc/iscsi/nodes/$IQN)"; ok "the records' folders can be entered"
host --lld iscsi --mode target --op new --tid 2 -T $IQN-second || bad "tgtadm new"
host --lld iscsi --mode target --op bind --tid 2 -I ALL || bad "tgtadm bind"
until_lines "iscsiadm -m session" 2 || bad "a target made later is not found"; ok "a target made later is found and logged in to"
iscsiadm -m discoverydb -t st -p $PORTAL -o update -n discovery.sendtargets.use_discoveryd -v No
iscsiadm -m session -u > /dev/null 2>&1 || bad "logout"
sleep 3
# records tuned by hand
tuned() { iscsiadm -m node -T $IQN | grep -c '^node.session.timeo.replacement_timeout = 7$'; }
iscsiadm -m node -T $IQN -o update -n node.session.timeo.replacement_timeout -v 7
host --lld iscsi --mode target --op delete --tid 2 --force || bad "tgtadm delete"
iscsiadm -m discovery -t st -p $PORTAL --keep > /dev/null || bad "discovery --keep"
[ "$(tuned)" = 1 ] && [ "$(iscsiadm -m node | wc -l)" = 2 ] || bad "--keep"; ok "--keep leaves tuned records and those that are gone"
iscsiadm -m discovery -t st -p $PORTAL --prune > /dev/null || bad "discovery --prune"
[ "$(tuned)" = 1 ] && [ "$(iscsiadm -m node | wc -l)" = 1 ] || bad "--prune"; ok "--prune removes what is gone, leaves what was tuned"
iscsiadm -m discovery -t st -p $PORTAL > /dev/null || bad "discovery"
[ "$(tuned)" = 0 ] || bad "plain discovery"; ok "plain discovery makes records anew, as open-iscsi"
# on demand
iscsiadm -k 0; sleep 1; [ -z "$(pidof iscsid)" ] || bad "iscsid is still there"
sed -i 's/^iscsid.startup/#&/' /etc/iscsi/iscsid.conf
iscsiadm -m node --login > /tmp/l 2>&1 || bad "login with no daemon: $(cat /tmp/l)"
[ -n "$(pidof iscsid)" ] && ok "a login starts iscsid"
iscsiadm -m session --json | grep -q '"connection_state": "LOGGED IN"' || bad "--json"; ok "session --json"
iscsiadm -m node -U all > /tmp/l 2>&1 || bad "logoutall: $(cat /tmp/l)"; ok "logoutall"
exit 0
