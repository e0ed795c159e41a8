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
printf '%s\n' "IQN=$IQN PORTAL=$PORTAL" > ov/etc/vm.env
guest attach -o ov -H ./hook -m 300 -T 200
kill -9 "$(cat tgtd.pid)" 2>/dev/null
finish
