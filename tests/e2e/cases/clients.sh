# Clients that use libiscsi: its own tools, qemu-img, qemu-io, and a QEMU guest whose disk is an iscsi:// URL.
need iscsi-ls iscsi-inq iscsi-readcapacity16 iscsi-perf qemu-img qemu-io
target_start
target_disk disk.img 128M
URL=iscsi://$PORTAL/$IQN/1
output() { local name=$1 want=$2; shift 2; timeout 30 "$@" > "$E2E_LOG/last" 2>&1; if grep -q -- "$want" "$E2E_LOG/last"; then pass "$name"; else fail "$name: no '$want' in: $(tail -n 5 "$E2E_LOG/last" | tr '\n' '|')"; fi; }
output "iscsi-ls lists the target" "^Target:$IQN Portal:$PORTAL:3260,1" iscsi-ls "iscsi://$PORTAL"
output "iscsi-ls -s lists the logical unit" "^Lun:1 .*DIRECT_ACCESS" iscsi-ls -s "iscsi://$PORTAL"
output "iscsi-ls over IPv6" "^Target:$IQN Portal:\[2001:db8::10\]:3260,1" iscsi-ls "iscsi://[2001:db8::10]"
output "iscsi-inq prints the product" 'Product:VIRTUAL-DISK' iscsi-inq "$URL"
for page in 0x00 0x80 0x83; do check "iscsi-inq -e 1 -c $page" timeout 30 iscsi-inq -e 1 -c $((page)) "$URL"; done
if [ "$TARGET" = ours ]; then for page in 0xb0 0xb1 0xb2; do check "iscsi-inq -e 1 -c $page" timeout 30 iscsi-inq -e 1 -c $((page)) "$URL"; done; fi
output "iscsi-readcapacity16 prints the size" '134217728' iscsi-readcapacity16 "$URL"
# iscsi-perf has no end of its own in 1.19 but -t
output "iscsi-perf reads" 'iops' timeout -s INT 10 iscsi-perf -t 2 -m 16 -b 8 -r "$URL"

head -c 64M /dev/urandom > source.img
check "qemu-img convert to the LUN" timeout 60 qemu-img convert -n -f raw -O raw source.img "$URL"
truncate -s 128M source.img
check "qemu-img compare" timeout 60 qemu-img compare -f raw -F raw source.img "$URL"
check "the backing file holds the same bytes" cmp source.img disk.img
check "qemu-img convert from the LUN" timeout 60 qemu-img convert -f raw -O raw "$URL" back.img
check "and they are the same" cmp source.img back.img
check "qemu-img bench, reads" timeout 60 qemu-img bench -f raw -c 5000 -d 32 -s 4096 "$URL"
check "qemu-img bench, writes" timeout 60 qemu-img bench -f raw -w -c 5000 -d 32 -s 4096 --pattern 7 "$URL"
check "qemu-io writes, verifies, flushes, discards" timeout 60 qemu-io -f raw -c 'write -P 0xa5 1M 3M' -c 'read -P 0xa5 1M 3M' -c flush \
  -c 'write -z 2M 64k' -c 'read -P 0 2M 64k' -c 'discard 3M 64k' -c 'aio_write -P 0x11 512 1024' -c aio_flush -c 'read -P 0x11 512 1024' "$URL"
refuse "qemu-io finds no LUN 9" timeout 30 qemu-io -f raw -c 'read 0 4k' "iscsi://$PORTAL/$IQN/9"
refuse "qemu-io finds no such target" timeout 30 qemu-io -f raw -c 'read 0 4k' "iscsi://$PORTAL/iqn.2001-04.com.example:none/1"

mkdir -p ov; guest_overlay_fs ov
drive=(-x "-drive if=none,id=i0,format=raw,file=$URL" -x "-device virtio-blk-pci,drive=i0,serial=iscsi")
echo STEP=write > ov/etc/vm.env; guest qemu_disk -o ov "${drive[@]}"
echo STEP=read > ov/etc/vm.env; guest qemu_disk -o ov "${drive[@]}"
kill -0 "$TGTD_PID" 2>/dev/null && pass "tgtd is alive" || fail "tgtd died"
