# A root file system over iSCSI, with CHAP, by initramfs-tools' own hook and script for open-iscsi and our iscsistart in its place.
# The target goes away for 20 s under load; the guest shuts down cleanly.
need mkinitramfs qemu-system-x86_64 mke2fs e2fsck
KERNEL_DIR=$("$E2E_DIR/vm/fetch_kernel.sh") || { fail "no kernel"; exit 1; }
KVER=$(ls "$KERNEL_DIR/lib/modules" | head -n 1)
d=$(bindir "$INITIATOR") || exit 1
# a /usr of our own: the links, the kernel's modules
mkdir -p "$E2E_WORK/over"; mount -t tmpfs over "$E2E_WORK/over"; mkdir "$E2E_WORK/over/up" "$E2E_WORK/over/work"
mount -t overlay usr -o lowerdir=/usr,upperdir="$E2E_WORK/over/up",workdir="$E2E_WORK/over/work" /usr || { fail "cannot overlay /usr"; exit 1; }
if [ "$INITIATOR" != debian ]; then
  cp "$d/iscsi" /usr/sbin/iscsi; for f in iscsid iscsiadm iscsistart; do ln -sf iscsi /usr/sbin/$f; done
fi
mkdir -p /usr/lib/modules/"$KVER"; mount --bind "$KERNEL_DIR/lib/modules/$KVER" /usr/lib/modules/"$KVER"
cp -a /etc/initramfs-tools conf.d 2>/dev/null; mkdir -p conf.d; sed -i 's/^MODULES=.*/MODULES=list/' conf.d/initramfs.conf
printf '%s\n' virtio_pci virtio_net sd_mod ext4 crc32c_generic > conf.d/modules
{ echo "InitiatorName=iqn.2001-04.com.example:initiator1"; } > /etc/iscsi/initiatorname.iscsi
cp "$KERNEL_DIR/boot/config-$KVER" /boot/ 2>/dev/null || { mkdir -p boot; cp "$KERNEL_DIR/boot/config-$KVER" boot/; mount --bind boot /boot; }
check "mkinitramfs takes the hook of open-iscsi" mkinitramfs -d "$PWD/conf.d" -o "$PWD/initrd" "$KVER"
# what is to be booted: busybox, our program, the script
mkdir -p root/bin root/sbin root/usr/sbin root/proc root/sys root/dev root/run root/tmp root/mnt root/etc/iscsi root/root root/var/log root/lib
cp "$(command -v busybox)" root/bin/busybox; busybox --list | while read -r a; do [ "$a" = busybox ] || ln -sf busybox root/bin/$a; done
guest_tools root
cp "$E2E_DIR/guest/boot.sh" root/sbin/init; chmod 755 root/sbin/init
truncate -s 192M root.img; mke2fs -q -t ext4 -d root root.img || { fail "mke2fs"; exit 1; }
target_start; target_disk root.img 192M
"$TGTADM" --lld iscsi --mode account --op new --user alice --password alicesecret12
"$TGTADM" --lld iscsi --mode account --op new --user tgtuser --password targetsecret1
"$TGTADM" --lld iscsi --mode account --op bind --tid 1 --user alice
"$TGTADM" --lld iscsi --mode account --op bind --tid 1 --user tgtuser --outgoing
: > out; : > console
qemu-system-x86_64 -accel tcg -cpu max -m 512 -display none -nodefaults -no-reboot -kernel "$KERNEL_DIR/boot/vmlinuz-$KVER" -initrd initrd \
  -serial file:console -serial file:out -device virtio-rng-pci -netdev user,id=u0 -device virtio-net-pci,netdev=u0,romfile= \
  -append "console=ttyS0 panic=-1 net.ifnames=0 mitigations=off ip=dhcp ro root=/dev/sda init=/sbin/init rootdelay=60 iscsi_target_name=$IQN iscsi_target_ip=$PORTAL iscsi_target_port=3260 iscsi_username=alice iscsi_password=alicesecret12 iscsi_in_username=tgtuser iscsi_in_password=targetsecret1" > "$E2E_LOG/qemu" 2>&1 &
QEMU=$!
if try 150 grep -aq '^LOAD' out; then
  pass "the guest runs from its iSCSI disk"
  kill -9 $TGTD_PID; sleep 20; rm -f /run/tgtd/*
  target_start; target_disk root.img 192M
  "$TGTADM" --lld iscsi --mode account --op new --user alice --password alicesecret12
  "$TGTADM" --lld iscsi --mode account --op new --user tgtuser --password targetsecret1
  "$TGTADM" --lld iscsi --mode account --op bind --tid 1 --user alice
  "$TGTADM" --lld iscsi --mode account --op bind --tid 1 --user tgtuser --outgoing
else fail "the guest does not boot: $(tail -n 5 console | tr '\n\r' '||')"
fi
n=900; while kill -0 $QEMU 2>/dev/null && [ $n -gt 0 ]; do n=$((n-1)); sleep 0.1; done
kill $QEMU 2>/dev/null && fail "the guest does not shut down"
wait $QEMU
grep -a '^ok \|^FAIL ' out; _failed=$((_failed + $(grep -ac '^FAIL ' out)))
check "the guest got to its end" grep -aq '^END' out
sleep 1; target_stop
check "its file system is clean" e2fsck -fn root.img
cp out console "$E2E_LOG/"
