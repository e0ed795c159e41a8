# The short way to a root over iSCSI: an initramfs of busybox, our binary and the kernel's modules, nothing of a distribution's.
# `iscsi boot` reads the kernel command line, brings the network and the disk up and prints its device; guest/initramfs_init.sh
# mounts that and switches into it. Prints what such an initramfs weighs.
need qemu-system-x86_64 mke2fs e2fsck debugfs cpio busybox depmod
d=$(bindir "$INITIATOR") || { fail "no programs"; exit 1; }
[ -x "$d/iscsi_boot" ] || { fail "iscsi_boot is not built: ninja -C build iscsi_boot"; exit 1; }
KVER=$(ls "$KERNEL_DIR/lib/modules" | head -n 1)
# modules ROOT MODULE… : with what they need
modules() {
  local r=$1 m f; shift
  mkdir -p "$r/lib/modules/$KVER"; cp "$KERNEL_DIR/lib/modules/$KVER/modules.builtin" "$KERNEL_DIR/lib/modules/$KVER/modules.order" "$KERNEL_DIR/lib/modules/$KVER/modules.builtin.modinfo" "$r/lib/modules/$KVER/"
  for m in "$@"; do
    modprobe -d "$KERNEL_DIR" -S "$KVER" --show-depends $m | awk '$1 == "insmod" { print $2 }' | while read -r f; do
      mkdir -p "$r$(dirname "${f#"$KERNEL_DIR"}")"; cp "$f" "$r${f#"$KERNEL_DIR"}"
    done
  done
  depmod -b "$r" "$KVER"
}
# initramfs BINARY FILE : FILE, and FILE.bare without the kernel's modules
initramfs() {
  local r=$2.root
  mkdir -p "$r/bin" "$r/sbin" "$r/proc" "$r/sys" "$r/dev" "$r/root"
  cp "$(command -v busybox)" "$r/bin/busybox"; cp "$1" "$r/sbin/iscsi"; cp "$E2E_DIR/guest/initramfs_init.sh" "$r/init"; chmod 755 "$r/init"
  (cd "$r" && find . | cpio -o -H newc -R 0:0 --quiet) > "$2.bare"
  modules "$r" virtio_pci virtio_net sd_mod iscsi_tcp crc32c_generic crc32c-intel ext4
  (cd "$r" && find . | cpio -o -H newc -R 0:0 --quiet) > "$2"
}
kb() { echo "$(( ($1 + 500) / 1000 )) kB"; }
size() { stat -c %s "$1"; }
packed() { gzip -9 < "$1" | wc -c; }
initramfs "$d/iscsi" all; initramfs "$d/iscsi_boot" boot
for f in all boot; do
  pass "initramfs, applets $f: busybox $(kb "$(size $f.root/bin/busybox)") + iscsi $(kb "$(size $f.root/sbin/iscsi)") = $(kb "$(size $f.bare)"), gzip -9 $(kb "$(packed $f.bare)");" \
    "with $(find $f.root -name '*.ko*' | wc -l) modules $(kb "$(size $f)"), gzip -9 $(kb "$(packed $f)")"
done

mkdir -p root/bin root/sbin root/proc root/sys root/dev
cp "$(command -v busybox)" root/bin/busybox; cp "$E2E_DIR/guest/initramfs_root.sh" root/sbin/init; chmod 755 root/sbin/init
head -c 3000000 /dev/urandom > root/data; (cd root && sha256sum data > sums)
truncate -s 64M root.img; mke2fs -q -t ext4 -d root root.img || { fail "mke2fs"; exit 1; }
target_start; target_disk root.img 64M
account() {
  "$TGTADM" --lld iscsi --mode account --op new --user alice --password alicesecret12
  "$TGTADM" --lld iscsi --mode account --op bind --tid 1 --user alice
}
# boots NAME INITRAMFS KERNEL-ARGUMENTS
boots() {
  local out=$E2E_LOG/$1.out console=$E2E_LOG/$1.console f; : > "$out"; : > "$console"
  timeout -k 5 90 qemu-system-x86_64 -accel tcg -cpu max -m 256 -display none -nodefaults -no-reboot -kernel "$KERNEL_DIR/boot/vmlinuz-$KVER" -initrd "$2" \
    -serial "file:$console" -serial "file:$out" -device virtio-rng-pci -netdev user,id=u0 -device virtio-net-pci,netdev=u0,romfile= \
    -append "console=ttyS0 panic=-1 net.ifnames=0 mitigations=off $3 test=$1" > "$E2E_LOG/qemu" 2>&1
  grep -a '^ok \|^FAIL ' "$out" | sed "s/^ok   /ok   $1: /; s/^FAIL/& $1:/"; f=$(grep -ac '^FAIL ' "$out"); _failed=$((_failed + f))
  check "$1: the guest got to its end" grep -aq '^END' "$out"
  check "$1: its file system is clean" e2fsck -fn root.img
  check "$1: what it wrote is there" sh -c "debugfs -R 'cat /written-$1' root.img 2>/dev/null | sha256sum | cut -c1-64 | grep -qx '$(cut -c1-64 root/sums)'"
}
N=iqn.2001-04.com.example:initiator1
boots rfc4173 all "root=iscsi:$PORTAL::::$IQN iscsi_initiator=$N ip=10.0.2.15::10.0.2.2:255.255.255.0::eth0:none"
account
boots netroot boot "root=/dev/sda netroot=iscsi:alice:alicesecret12@$PORTAL:6:3260:1:$IQN rd.iscsi.initiator=$N ip=dhcp"
boots words boot "iscsi_initiator=$N iscsi_target_name=$IQN iscsi_target_ip=$PORTAL iscsi_target_port=3260 iscsi_username=alice iscsi_password=alicesecret12"
target_stop
