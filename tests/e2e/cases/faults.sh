# Faults under a session: cable, target and iscsid die under load, logins are refused. Nothing lost, nothing torn, nothing left behind.
target_start
target_disk disk.img 128M
"$TGTADM" --lld iscsi --mode target --op new --tid 2 -T $IQN.secret
"$TGTADM" --lld iscsi --mode account --op new --user alice --password alicesecret12
"$TGTADM" --lld iscsi --mode account --op bind --tid 2 --user alice
"$TGTADM" --lld iscsi --mode target --op bind --tid 2 -I ALL
"$TGTADM" --lld iscsi --mode target --op new --tid 3 -T $IQN.closed
"$TGTADM" --lld iscsi --mode target --op bind --tid 3 -I 203.0.113.1
echo $TGTD_PID > tgtd.pid
guest_tools ov
cat > hook <<'H'
#!/bin/bash
# kill, freeze, thaw: the target daemon; start: a new one with the disk
. "$E2E_DIR/lib.sh"
case $1 in
  kill) kill -9 "$(cat tgtd.pid)";;
  freeze) kill -STOP "$(cat tgtd.pid)";;
  thaw) kill -CONT "$(cat tgtd.pid)";;
  start) rm -f /run/tgtd/*; target_start && target_disk disk.img 128M && echo $TGTD_PID > tgtd.pid;;
esac
H
chmod 755 hook
printf '%s\n' "IQN=$IQN PORTAL=$PORTAL TARGET=$TARGET INITIATOR=$INITIATOR" > ov/etc/vm.env
guest faults -o ov -H ./hook -T 280
kill -9 "$(cat tgtd.pid)" 2>/dev/null
