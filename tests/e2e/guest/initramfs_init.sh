#!/bin/busybox sh
# /init of an initramfs of busybox and `iscsi`: everything a boot needs is in the middle, the rest is the test's.
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
stty -F /dev/ttyS1 raw -echo -opost 2>/dev/null
exec >/dev/ttyS1 2>&1
ok() { echo "ok   $*"; }
bad() { echo "FAIL $*"; dmesg | tail -n 15; poweroff -f; }
modprobe virtio_pci; modprobe virtio_net; modprobe ext4

disk=$(iscsi boot) || bad "iscsi boot: exit $?"
[ -b "$disk" ] || bad "iscsi boot printed '$disk', which is no block device"
ok "iscsi boot prints $disk"
again=$(iscsi boot); rc=$?
[ $rc = 0 ] && [ "$again" = "$disk" ] || bad "once more it printed '$again', exit $rc"
ok "and once more, for the session is there"
[ "$(ls /sys/class/iscsi_session)" = session1 ] || bad "sessions: $(ls /sys/class/iscsi_session)"
wrong=$(iscsi boot -c "$(sed "s/:disk1/:none/; s/iscsi_target_name=[^ ]*/&x/" /proc/cmdline)" 2>&1); rc=$?
[ $rc = 19 ] || [ $rc = 24 ] || bad "a target that is not there: exit $rc: $wrong"
ok "a target that is not there: exit $rc"

mount -t ext4 "$disk" /root || bad "mount $disk"
mount --move /dev /root/dev; mount --move /sys /root/sys; mount --move /proc /root/proc
exec switch_root /root /sbin/init
