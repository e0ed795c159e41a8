# A root file system over iSCSI, with CHAP, by initramfs-tools' own hook and script for open-iscsi and our iscsistart in its place.
# The target goes away for 20 s under load; the guest shuts down cleanly.
need mkinitramfs qemu-system-x86_64 mke2fs e2fsck
. "$E2E_DIR/boot_lib.sh"
own_usr
mkdir -p conf.d; cp -a /etc/initramfs-tools/. conf.d/; sed -i 's/^MODULES=.*/MODULES=list/' conf.d/initramfs.conf
printf '%s\n' virtio_pci virtio_net sd_mod ext4 crc32c_generic > conf.d/modules
check "mkinitramfs takes the hook of open-iscsi" mkinitramfs -d "$PWD/conf.d" -o "$PWD/initrd" "$KVER"
root_image root.img
export_root root.img
boot_guest root.img "ip=dhcp ro root=/dev/sda init=/sbin/init rootdelay=60 iscsi_target_name=$IQN iscsi_target_ip=$PORTAL iscsi_target_port=3260 iscsi_username=alice iscsi_password=alicesecret12 iscsi_in_username=tgtuser iscsi_in_password=targetsecret1"
