# Our iscsiadm beside open-iscsi's iscsid, and the other way round: one clear line, no hanging, and sessions of one adopted by the other.
target_start; target_disk disk.img 64M
guest_tools ov
"$E2E_DIR/vm/addbin.sh" ov /usr/sbin/iscsid=/opt/theirs/iscsid /usr/bin/iscsiadm=/opt/theirs/iscsiadm
printf '%s\n' "IQN=$IQN PORTAL=$PORTAL" > ov/etc/vm.env
guest strangers -o ov -T 150
