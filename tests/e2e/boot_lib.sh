# Sourced by the cases that boot a guest from an iSCSI disk.
# own_usr : a /usr of our own over the host's, with our links in place of open-iscsi's programs and the guests' kernel modules
own_usr() {
  local d f; d=$(bindir "$INITIATOR") || exit 1
  KERNEL_DIR=$("$E2E_DIR/vm/fetch_kernel.sh") || { fail "no kernel"; exit 1; }
  KVER=$(ls "$KERNEL_DIR/lib/modules" | head -n 1)
  mkdir -p "$E2E_WORK/over"; mount -t tmpfs over "$E2E_WORK/over"; mkdir "$E2E_WORK/over/up" "$E2E_WORK/over/work"
  mount -t overlay usr -o lowerdir=/usr,upperdir="$E2E_WORK/over/up",workdir="$E2E_WORK/over/work" /usr || { fail "cannot overlay /usr"; exit 1; }
  if [ "$INITIATOR" != debian ]; then
    cp "$d/iscsi" /usr/sbin/iscsi; for f in iscsid iscsiadm iscsistart iscsi-iname; do ln -sf iscsi /usr/sbin/$f; done; ln -sf ../sbin/iscsiadm /usr/bin/iscsiadm
  fi
  mkdir -p /usr/lib/modules/"$KVER"; mount --bind "$KERNEL_DIR/lib/modules/$KVER" /usr/lib/modules/"$KVER"
  mkdir -p boot; cp "$KERNEL_DIR/boot/config-$KVER" boot/; mount --bind boot /boot
  echo "InitiatorName=iqn.2001-04.com.example:initiator1" > /etc/iscsi/initiatorname.iscsi
}
# root_image FILE : busybox, our programs, guest/boot.sh as init
root_image() {
  mkdir -p root/bin root/sbin root/usr/sbin root/usr/bin root/proc root/sys root/dev root/run root/tmp root/mnt root/etc/iscsi root/root root/var/log root/lib
  cp "$(command -v busybox)" root/bin/busybox; busybox --list | while read -r a; do [ "$a" = busybox ] || ln -sf busybox root/bin/$a; done
  guest_tools root
  echo 'ID=test' > root/etc/os-release; mkdir -p root/usr/lib; cp root/etc/os-release root/usr/lib/
  cp "$E2E_DIR/guest/boot.sh" root/sbin/init; chmod 755 root/sbin/init
  truncate -s 192M "$1"; mke2fs -q -t ext4 -L iscsiroot -d root "$1" || { fail "mke2fs"; exit 1; }
}
# export_root FILE : as LUN 1 of $IQN, with mutual CHAP
export_root() {
  target_start; target_disk "$1" 192M
  "$TGTADM" --lld iscsi --mode account --op new --user alice --password alicesecret12
  "$TGTADM" --lld iscsi --mode account --op new --user tgtuser --password targetsecret1
  "$TGTADM" --lld iscsi --mode account --op bind --tid 1 --user alice
  "$TGTADM" --lld iscsi --mode account --op bind --tid 1 --user tgtuser --outgoing
}
# boot_guest FILE APPEND : from initrd to power off; the target goes away for 20 s once the guest's load runs
boot_guest() {
  : > out; : > console
  qemu-system-x86_64 -accel tcg -cpu max -m 512 -display none -nodefaults -no-reboot -kernel "$KERNEL_DIR/boot/vmlinuz-$KVER" -initrd initrd \
    -serial file:console -serial file:out -device virtio-rng-pci -netdev user,id=u0 -device virtio-net-pci,netdev=u0,romfile= \
    -append "console=ttyS0 panic=-1 net.ifnames=0 mitigations=off $2" > "$E2E_LOG/qemu" 2>&1 &
  local qemu=$! n=1200
  if try 200 grep -aq '^LOAD' out; then
    pass "the guest runs from its iSCSI disk"
    kill -9 "$TGTD_PID"; sleep 20; rm -f /run/tgtd/*
    export_root "$1"
  else fail "the guest does not boot: $(tail -n 5 console | tr '\n\r' '||')"; kill $qemu
  fi
  while kill -0 $qemu 2>/dev/null && [ $n -gt 0 ]; do n=$((n-1)); sleep 0.1; done
  kill $qemu 2>/dev/null && fail "the guest does not shut down"
  wait $qemu
  cp out console "$E2E_LOG/"
  grep -a '^ok \|^FAIL ' out; _failed=$((_failed + $(grep -ac '^FAIL ' out)))
  check "the guest got to its end" grep -aq '^END' out
  sleep 1; target_stop
  check "its file system is clean" e2fsck -fn "$1"
}
