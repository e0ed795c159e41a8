# Time from iscsistart to disk present, ours beside open-iscsi's in the same guest, by turns.
target_start; target_disk disk.img 64M
guest_tools ov
INITIATOR=debian guest_tools theirs
mkdir -p ov/opt/theirs; cp -a theirs/sbin/iscsistart ov/opt/theirs/; for d in lib lib64 usr/lib; do [ -d theirs/$d ] && mkdir -p ov/$d && cp -an theirs/$d/. ov/$d/; done
printf '%s\n' "IQN=$IQN PORTAL=$PORTAL" > ov/etc/vm.env
guest start_time -o ov -T 200
grep -a '^# ' "$E2E_LOG/start_time.out"
