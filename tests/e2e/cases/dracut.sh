# The same with an image of dracut's: its iscsi module takes our programs for open-iscsi's. dracut is unpacked for the
# occasion, not installed; busybox stands in for arping, and nothing asks for DHCP.
need qemu-system-x86_64 mke2fs e2fsck busybox
. "$E2E_DIR/boot_lib.sh"
own_usr
if ! command -v dracut >/dev/null; then
  debs=$("$E2E_DIR/vm/fetch_dracut.sh") || { fail "no dracut"; exit 1; }
  for f in "$debs"/*.deb; do dpkg-deb --fsys-tarfile "$f" | tar -x -C / --keep-directory-symlink ./usr; done
fi
command -v arping >/dev/null || cp "$(command -v busybox)" /usr/sbin/arping
command -v dhclient >/dev/null || { printf '#!/bin/sh\nexit 1\n' > /usr/sbin/dhclient; chmod 755 /usr/sbin/dhclient; }
mkdir -p dtmp
check "dracut builds an image with its iscsi module" dracut --tmpdir "$PWD/dtmp" --no-hostonly --no-hostonly-cmdline --no-early-microcode --gzip --force --kver "$KVER" \
  -m "base bash dash fs-lib iscsi kernel-modules network network-legacy rootfs-block udev-rules url-lib" \
  --drivers "virtio_pci virtio_net sd_mod ext4 iscsi_tcp libiscsi crc32c_generic crc32c-intel af_packet" "$PWD/initrd"
cp "$E2E_LOG/last" "$E2E_LOG/dracut"
root_image root.img
export_root root.img
boot_guest root.img "rd.iscsi.initiator=iqn.2001-04.com.example:initiator1 netroot=iscsi:alice:alicesecret12:tgtuser:targetsecret1@$PORTAL::3260::1:$IQN root=LABEL=iscsiroot ip=10.0.2.15::10.0.2.2:255.255.255.0::eth0:none rd.neednet=1 rd.shell=0 ro init=/sbin/init"
