# Targets that send the initiator away: asynchronous messages (RFC 7143 11.9) put in by middle.py, and login redirects between two
# target daemons (7.5). The device stays and I/O goes on.
need python3
target_start; target_disk disk.img 64M
truncate -s 32M second.img
second() {
  "$TGTD" -f -C 1 --iscsi portal=192.0.2.11:3261 > "$E2E_LOG/tgtd.second" 2>&1 &
  echo $! > second.pid; try 10 "$TGTADM" -C 1 --mode target --op show
  "$TGTADM" -C 1 --lld iscsi --mode target --op new --tid 1 -T $IQN
  "$TGTADM" -C 1 --lld iscsi --mode logicalunit --op new --tid 1 --lun 1 -b "$PWD/disk.img"
  "$TGTADM" -C 1 --lld iscsi --mode target --op bind --tid 1 -I ALL
}
second
"$TGTADM" --lld iscsi --mode target --op new --tid 2 -T $IQN.circle
"$TGTADM" --lld iscsi --mode target --op bind --tid 2 -I ALL
for w in Address=$PORTAL Port=3260 Reason=Temporary; do "$TGTADM" --lld iscsi --mode target --op update --tid 2 --name Redirect${w%=*} --value ${w#*=}; done
echo $TGTD_PID > first.pid
python3 "$E2E_DIR/middle.py" 3270 $PORTAL 3260 3271 2> "$E2E_LOG/middle" & MIDDLE=$!
try 10 listening 3271 || { fail "middle.py: $(cat "$E2E_LOG/middle")"; exit 1; }
guest_tools ov
cat > hook <<'H'
#!/bin/bash
. "$E2E_DIR/lib.sh"
case $1 in
  middle) shift; exec 3<>/dev/tcp/127.0.0.1/3271; echo "$*" >&3; cat <&3;;
  lun) tgtadm --lld iscsi --mode logicalunit --op new --tid 1 --lun 2 -b "$PWD/second.img";;
  kill) kill -9 "$(cat $2.pid)";;
  redirect) for w in Address=$2 ${3:+Port=$3 Reason=$4}; do tgtadm --lld iscsi --mode target --op update --tid 1 --name Redirect${w%=*} --value "${w#*=}" || exit 1; done;;
  first) rm -f /run/tgtd/socket.0*; target_start && target_disk disk.img 64M && echo $TGTD_PID > first.pid;;
  second) rm -f /run/tgtd/socket.1*; eval "$SECOND"; second;;
esac
H
chmod 755 hook; TGTD=$TGTD TGTADM=$TGTADM; SECOND=$(declare -f second); export TGTD TGTADM SECOND
printf '%s\n' "IQN=$IQN PORTAL=$PORTAL TARGET=$TARGET INITIATOR=$INITIATOR" > ov/etc/vm.env
guest moves -o ov -H ./hook -T 240
kill $MIDDLE; disown -a; kill -9 $(cat second.pid) $(cat first.pid) 2>/dev/null
