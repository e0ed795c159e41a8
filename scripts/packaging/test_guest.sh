#!/bin/bash
# test_guest.sh [-c CHROOT] [-l LOG_DIR] DEB_DIR : the drop-in package in a QEMU guest (no KVM needed) where systemd starts the units:
# package in; a targets.conf with a direct-store, `service tgt restart`, discovery, login, mkfs, logout, login, checksum by the kernel's
# initiator; iscsi-export@; then reboots with an automatic node and a _netdev file system of a target outside; the order at shutdown
# from the journal; package out, nothing left. CHROOT is made by debootstrap when it is not there, and stays as it is; root.
# Needs debootstrap, qemu-system-x86, busybox-static, cpio, kmod, e2fsprogs. Closing line: N passed, N failed.
set -u
here=$(cd "$(dirname "$0")" && pwd); top=$(cd "$here/../.." && pwd)
chroot='' logs=''
while getopts "c:l:" o; do case $o in c) chroot=$OPTARG;; l) logs=$OPTARG;; *) exit 64;; esac; done; shift $((OPTIND-1))
debs=$(cd "${1:?DEB_DIR}" && pwd)
[ "$(id -u)" = 0 ] || { echo "test_guest.sh: needs root" >&2; exit 1; }
if [ -z "${INSIDE-}" ]; then
    KERNEL_DIR=$("$top/tests/e2e/vm/fetch_kernel.sh") || exit 1
    [ -n "$chroot" ] || chroot=$(dirname "$KERNEL_DIR")/debian-systemd
    if [ ! -e "$chroot/.complete" ]; then
        rm -rf "$chroot"
        debootstrap --variant=minbase --include=systemd-sysv,udev,kmod,iproute2,e2fsprogs bookworm "$chroot" \
            "${DEBIAN_MIRROR:-http://deb.debian.org/debian}" > "$chroot.log" 2>&1 || { tail -n 20 "$chroot.log"; echo "test_guest.sh: debootstrap failed" >&2; exit 1; }
        rm -rf "$chroot"/var/cache/apt/archives/*.deb "$chroot"/var/lib/apt/lists/* "$chroot.log"; touch "$chroot/.complete"
    fi
    export KERNEL_DIR INSIDE=1          # own ports and processes
    exec unshare -nmpf --mount-proc --kill-child "$0" -c "$chroot" ${logs:+-l "$logs"} "$debs"
fi
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
[ -n "$logs" ] || logs=$top/build/guest-logs
rm -rf "$logs"; mkdir -p "$logs"
ip link set lo up
fail() { echo "FAIL $*"; echo "0 passed, 1 failed"; exit 1; }

# the guest's disk: the chroot with the kernel's modules, the package and what the guest is to do
root=$work/root; cp -a "$chroot" "$root"
version=$(ls "$KERNEL_DIR/lib/modules")
for module in virtio_pci virtio_blk virtio_net virtio_scsi sd_mod sg ext4 iscsi_tcp crc32c_generic crc32c-intel nls_ascii; do
    modprobe -d "$KERNEL_DIR" -S "$version" --show-depends "$module" 2>/dev/null | awk '$1 == "insmod" { print $2 }'
done | sort -u | while read -r file; do install -D -m 644 "$file" "$root/lib/modules/$version/${file#*"/$version/"}"; done
cp "$KERNEL_DIR/lib/modules/$version"/modules.{builtin,order,builtin.modinfo} "$root/lib/modules/$version/"
depmod -b "$root" "$version"
mkdir -p "$root/debs" "$root/var/log/journal" "$root/srv/net"
cp "$debs"/iscsi-drop-in_*.deb "$root/debs/"
cp "$here/guest_stages.sh" "$root/root/stages"; chmod 755 "$root/root/stages"
cat > "$root/etc/systemd/system/stages.service" <<'U'
[Unit]
After=multi-user.target
[Service]
Type=idle
ExecStart=/root/stages
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS1
[Install]
WantedBy=graphical.target
U
mkdir -p "$root/etc/systemd/system/graphical.target.wants"
ln -s ../stages.service "$root/etc/systemd/system/graphical.target.wants/"
printf '[Match]\nName=eth0\n[Network]\nAddress=10.0.2.15/24\nGateway=10.0.2.2\n' > "$root/etc/systemd/network/eth0.network"
chroot "$root" systemctl enable systemd-networkd systemd-networkd-wait-online > /dev/null 2>&1
chroot "$root" systemctl mask getty.target serial-getty@ttyS0.service apt-daily.timer apt-daily-upgrade.timer > /dev/null 2>&1
echo guest > "$root/etc/hostname"; echo '/dev/vda / ext4 defaults 0 1' > "$root/etc/fstab"
truncate -s 900M "$work/disk"
mke2fs -q -t ext4 -d "$root" "$work/disk" || fail "mke2fs"
rm -rf "$root"
# an initramfs that mounts it
VM_MODULES="virtio_pci virtio_blk ext4 crc32c_generic" "$top/tests/e2e/vm/mkinitrd.sh" "$work/initrd"
mkdir "$work/over"
cat > "$work/over/init" <<'I'
#!/bin/sh
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
for m in virtio_pci virtio_blk crc32c_generic ext4; do modprobe $m; done
mkdir -p /new; mount -t ext4 /dev/vda /new || poweroff -f
umount /proc /sys; mount --move /dev /new/dev
exec switch_root /new /sbin/init
I
chmod 755 "$work/over/init"; (cd "$work/over" && echo init | cpio -o -H newc --quiet) >> "$work/initrd"

# a target outside, for what is mounted at boot
mkdir "$work/bin"; "$top/build/iscsi" --install -s "$work/bin" > /dev/null || fail "no build/iscsi"
truncate -s 64M "$work/net" "$work/scsi" "$work/plain"
"$work/bin/tgtd" --iscsi portal=127.0.0.1:3260 -f > "$logs/tgtd" 2>&1 & tgtd=$!
for _ in $(seq 100); do "$work/bin/tgtadm" --mode target --op show > /dev/null 2>&1 && break; sleep 0.05; done
"$work/bin/tgtadm" --lld iscsi --mode target --op new --tid 1 -T iqn.2001-04.com.example:net &&
    "$work/bin/tgtadm" --lld iscsi --mode logicalunit --op new --tid 1 --lun 1 -b "$work/net" &&
    "$work/bin/tgtadm" --lld iscsi --mode target --op bind --tid 1 -I ALL || fail "no target outside the guest"

: > "$logs/checks"; stage=0 started=$SECONDS
while [ $stage -lt 3 ]; do
    stage=$((stage + 1)); : > "$work/out"
    timeout -k 5 "${GUEST_SECONDS:-240}" qemu-system-x86_64 -accel tcg -cpu max -m 640 -display none -nodefaults -no-reboot -no-user-config \
        -kernel "$KERNEL_DIR/boot/vmlinuz-$version" -initrd "$work/initrd" -serial "file:$logs/console.$stage" -serial "file:$work/out" \
        -append "console=ttyS0 panic=-1 quiet net.ifnames=0 mitigations=off root=/dev/vda rw systemd.show_status=1 stage=$stage" \
        -device virtio-rng-pci -netdev user,id=u0 -device virtio-net-pci,netdev=u0,romfile= \
        -drive "if=none,id=k0,format=raw,cache=unsafe,file=$work/disk" -device virtio-blk-pci,drive=k0 \
        -drive "if=none,id=k1,format=raw,cache=unsafe,file=$work/plain" -device virtio-blk-pci,drive=k1 \
        -device virtio-scsi-pci -drive "if=none,id=k2,format=raw,cache=unsafe,file=$work/scsi" \
        -device scsi-hd,drive=k2,vendor=ACME,product=ROCKET,ver=2.7,serial=S0123456789 < /dev/null > "$logs/qemu.$stage" 2>&1
    sed 's/\r$//' "$work/out" > "$logs/out.$stage"
    grep -a '^ok \|^FAIL ' "$logs/out.$stage" | tee -a "$logs/checks"
    grep -aq "^stage $stage ended" "$logs/out.$stage" || { echo "FAIL stage $stage did not end: $logs/console.$stage"; tail -n 20 "$logs/out.$stage" "$logs/console.$stage"; break; }
done
kill $tgtd
passed=$(grep -c '^ok ' "$logs/checks") failed=$(grep -c '^FAIL ' "$logs/checks")
[ $stage -eq 3 ] && grep -aq '^stage 3 ended' "$logs/out.3" || failed=$((failed + 1))
echo "three boots: $((SECONDS - started)) s; logs: $logs"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
