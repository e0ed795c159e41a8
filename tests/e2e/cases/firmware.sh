# The firmware's way: iPXE hooks the iSCSI disk and leaves its iBFT to the kernel; iscsistart -f, -N, -b and iscsiadm -m fw read it.
need qemu-system-x86_64 cpio gzip
KERNEL_DIR=$("$E2E_DIR/vm/fetch_kernel.sh") || { fail "no kernel"; exit 1; }; export KERNEL_DIR
KVER=$(ls "$KERNEL_DIR/lib/modules" | head -n 1)
[ -e /usr/lib/ipxe/qemu/pxe-e1000.rom ] || { fail "package ipxe-qemu is not installed"; exit 1; }
target_start; target_disk disk.img 64M
"$TGTADM" --lld iscsi --mode account --op new --user alice --password alicesecret12
"$TGTADM" --lld iscsi --mode account --op bind --tid 1 --user alice
guest_tools ov; rm -f ov/etc/iscsi/initiatorname.iscsi
printf '%s\n' "IQN=$IQN PORTAL=$PORTAL" > ov/etc/vm.env
mkdir -p ov/etc/vm tftp; cp "$E2E_DIR/guest/firmware.sh" ov/etc/vm/run; chmod 755 ov/etc/vm/run
VM_MODULES="virtio_pci virtio_net e1000 iscsi_ibft iscsi_tcp sd_mod sg crc32c_generic" "$E2E_DIR/vm/mkinitrd.sh" base.cpio || { fail mkinitrd; exit 1; }
(cd ov && find . -mindepth 1 | cpio -o -H newc -R 0:0 --quiet) >> base.cpio; gzip -1 < base.cpio > tftp/initrd
cp "$KERNEL_DIR/boot/vmlinuz-$KVER" tftp/vmlinuz
cat > tftp/boot.ipxe <<I
#!ipxe
set initiator-iqn iqn.2001-04.com.example:ipxe
set username alice
set password alicesecret12
set keep-san 1
sanhook --drive 0x80 iscsi:$PORTAL:::1:$IQN || shell
kernel tftp://10.0.2.2/vmlinuz initrd=initrd console=ttyS0 panic=-1 quiet net.ifnames=0 mitigations=off vm.mods=e1000,sd_mod,sg
initrd tftp://10.0.2.2/initrd
boot
I
# through FIRMWARE [qemu's arguments]
through() {
  local name=$1; shift; : > out; : > console
  timeout 200 qemu-system-x86_64 "$@" -accel tcg -cpu max -m 512 -display none -nodefaults -no-reboot -serial file:console -serial file:out \
    -boot n -netdev user,id=u0,tftp="$PWD/tftp",bootfile=boot.ipxe -device e1000,netdev=u0 > "$E2E_LOG/qemu" 2>&1
  grep -a '^ok \|^FAIL ' out | sed "s/^\([a-zA-Z]*\) */&$name: /"; _failed=$((_failed + $(grep -ac '^FAIL ' out)))
  check "$name: the guest got to its end" grep -aq '@@EXIT 0' out
  cp out "$E2E_LOG/$name.out"; cp console "$E2E_LOG/$name.console"
}
through BIOS -M pc,graphics=off
OVMF=/usr/share/OVMF/OVMF_CODE_4M.fd
[ -e $OVMF ] || { fail "package ovmf is not installed"; exit 1; }
cp /usr/share/OVMF/OVMF_VARS_4M.fd vars.fd
through UEFI -M q35 -drive if=pflash,format=raw,readonly=on,file=$OVMF -drive if=pflash,format=raw,file=vars.fd
