#!/bin/sh
# The kernel's own target, set up through configfs as targetcli would: one file in memory as LUN 1, anybody may log in.
. /lib/vm.sh; . /etc/vm.env
set -e
modprobe configfs 2>/dev/null || :; mount -t configfs none /sys/kernel/config
modprobe target_core_mod; modprobe target_core_file; modprobe iscsi_target_mod
mkdir -p /var/target/pr /var/target/alua /srv /dev/shm; mount -t tmpfs -o size=400m srv /srv; truncate -s $SIZE /srv/disk.img
c=/sys/kernel/config/target; b=$c/core/fileio_0/disk1; mkdir -p $b
echo "fd_dev_name=/srv/disk.img,fd_dev_size=$(stat -c %s /srv/disk.img),fd_buffered_io=1" > $b/control; echo 1 > $b/enable
mkdir -p $c/iscsi; t=$c/iscsi/$IQN/tpgt_1; mkdir -p $t/lun/lun_1 $t/np/10.1.0.1:3260
ln -s $b $t/lun/lun_1/disk1
echo 0 > $t/attrib/authentication; echo 1 > $t/attrib/generate_node_acls; echo 1 > $t/attrib/cache_dynamic_acls; echo 0 > $t/attrib/demo_mode_write_protect
echo 1 > $t/enable
echo "LIO is up"; touch /run/up
while :; do sleep 1; done
