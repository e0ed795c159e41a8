#!/bin/sh
# use_discoveryd: iscsid asks again by itself, keeps records and logs in, logs out of what is gone; keep and prune; on-demand start.
. /lib/vm.sh; . /etc/vm.env
ok() { echo "ok   $*"; }
bad() { echo "FAIL $*"; tail -n 5 /var/log/messages; exit 1; }
modprobe iscsi_tcp || bad "modprobe iscsi_tcp"
syslogd -O /var/log/messages
until_lines() { local n=150; while [ "$($1 2>/dev/null | wc -l)" != $2 ]; do n=$((n-1)); [ $n -gt 0 ] || return 1; sleep 0.1; done; }
until_gone() { local n=150; while pidof $1 > /dev/null; do n=$((n-1)); [ $n -gt 0 ] || return 1; sleep 0.1; done; }
iscsiadm -m discoverydb -t st -p $PORTAL -o new > /dev/null || bad "discoverydb -o new"
iscsiadm -m discoverydb -t st -p $PORTAL -o update -n discovery.sendtargets.use_discoveryd -v Yes -n discovery.sendtargets.discoveryd_poll_inval -v 2 || bad update
iscsid || bad "iscsid does not start"
until_lines "iscsiadm -m session" 1 || bad "iscsid does not discover by itself"; ok "iscsid discovers and logs in by itself"
[ "$(stat -c %a /etc/iscsi/nodes/$IQN)" = 700 ] || bad "mode of the record's folder: $(stat -c %a /etc/iscsi/nodes/$IQN)"; ok "the records' folders can be entered"
host --lld iscsi --mode target --op new --tid 2 -T $IQN-second || bad "tgtadm new"
host --lld iscsi --mode target --op bind --tid 2 -I ALL || bad "tgtadm bind"
until_lines "iscsiadm -m session" 2 || bad "a target made later is not found"; ok "a target made later is found and logged in to"
# one in use, one not, both taken away
disk=$(ls /sys/class/iscsi_session/*/device/target*/*/block | grep '^sd' | head -n 1)
mkfs.ext4 -q -F /dev/$disk && mount -t ext4 /dev/$disk /mnt || bad "mount of $disk"
host --lld iscsi --mode target --op delete --tid 2 --force || bad "tgtadm delete"
until_lines "iscsiadm -m session" 1 || bad "a target that is gone is not logged out"
until_lines "iscsiadm -m node" 1 || bad "its record stays"; ok "a target that is gone is logged out, its record removed"
host --lld iscsi --mode target --op unbind --tid 1 -I ALL || bad "tgtadm unbind"
until_lines "grep -m 1 is.not.logged.out:.*is.in.use /var/log/messages" 1 || bad "iscsid does not say that it is in use"
host --lld iscsi --mode target --op bind --tid 1 -I ALL || bad "tgtadm bind"
[ "$(iscsiadm -m session | wc -l)" = 1 ] && [ "$(iscsiadm -m node | wc -l)" = 1 ] || bad "a target with a mounted disk was logged out"
ok "what is mounted stays, with its record"
umount /mnt
host --lld iscsi --mode target --op new --tid 2 -T $IQN-second && host --lld iscsi --mode target --op bind --tid 2 -I ALL || bad "tgtadm new"
until_lines "iscsiadm -m session" 2 || bad "a target that comes back is not found"; ok "a target that comes back is logged in to"
iscsiadm -m discoverydb -t st -p $PORTAL -o update -n discovery.sendtargets.use_discoveryd -v No
# an iscsid that has never polled: nobody logs in again behind the logout
iscsiadm -k 0; until_gone iscsid || bad "iscsid does not end"; iscsid || bad "iscsid does not start again"
iscsiadm -m session -u > /dev/null 2>&1 || bad "logout"
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
iscsiadm -k 0; until_gone iscsid || bad "iscsid is still there"
sed -i 's/^iscsid.startup/#&/' /etc/iscsi/iscsid.conf
iscsiadm -m node --login > /tmp/l 2>&1 || bad "login with no daemon: $(cat /tmp/l)"
[ -n "$(pidof iscsid)" ] && ok "a login starts iscsid"
iscsiadm -m session --json | grep -q '"connection_state": "LOGGED IN"' || bad "--json"; ok "session --json"
iscsiadm -m node -U all > /tmp/l 2>&1 || bad "logoutall: $(cat /tmp/l)"; ok "logoutall"
exit 0
