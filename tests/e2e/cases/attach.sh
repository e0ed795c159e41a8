# iscsi attach and detach in a guest whose kernel has nbd: file system, target killed under load, time-out, in-use check;
# the unit grows (Debian's tgtd looks at its size only when it starts).
target_start
target_disk disk.img 128M
echo $TGTD_PID > tgtd.pid
guest_tools ov
cat > hook <<'H'
#!/bin/bash
. "$E2E_DIR/lib.sh"
case $1 in
  kill) kill -9 "$(cat tgtd.pid)";;
  start) rm -f /run/tgtd/*; target_start && target_disk disk.img 128M && echo $TGTD_PID > tgtd.pid;;
  grow) [ "$TARGET" = ours ] || kill -9 "$(cat tgtd.pid)"; truncate -s 192M disk.img; [ "$TARGET" = ours ] || "$0" start;;
esac
H
chmod 755 hook
hostile= hostile_pid=
if [ "$TARGET" = ours ]; then
  hostile="answers_pings_only 3301 always_attention 3302 huge_pdu 3303 no_end 3304 short_reads_called_good 3305"
  python3 "$E2E_DIR/../hostile/target.py" $hostile & hostile_pid=$!
fi
printf '%s\n' "IQN=$IQN PORTAL=$PORTAL HOSTILE='$hostile'" > ov/etc/vm.env
guest attach -o ov -H ./hook -m 300 -T 200
kill -9 "$(cat tgtd.pid)" $hostile_pid 2>/dev/null
finish
