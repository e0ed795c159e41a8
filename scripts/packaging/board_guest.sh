#!/bin/bash
# board_guest.sh [-k] [BINARY] : a board of 64 MB: QEMU's aarch64 (no KVM needed) boots Debian's arm64 kernel and an initramfs of busybox and
# BINARY (build/cross/arm64/iscsi, from scripts/cross.sh arm64), serves a disk, logs in to itself, mounts it and writes; then this machine
# copies the disk over the guest's network and finds what was written. The kernel is fetched into build/cross/board, or $ISCSI_CACHE/board.
# Needs qemu-system-arm, busybox, cpio, kmod, e2fsprogs. Closing line: N passed, N failed.
set -u
top=$(cd "$(dirname "$0")/../.." && pwd); keep=''
while getopts "k" o; do case $o in k) keep=1;; *) exit 64;; esac; done; shift $((OPTIND-1))
binary=${1:-$top/build/cross/arm64/iscsi}; cache=${ISCSI_CACHE:-$top/build/cross}/board
[ -x "$binary" ] || { echo "board_guest.sh: $binary is not there: scripts/cross.sh arm64" >&2; exit 1; }
"$top/scripts/packaging/foreign_debs.sh" arm64 "$cache" 'linux-image-6.1.0-*-arm64' busybox-static || exit 1
work=$(mktemp -d); qemu=''
cleanup() { [ -n "$qemu" ] && kill "$qemu" 2>/dev/null && wait "$qemu" 2>/dev/null; [ -z "$keep" ] || cp "$work/console" board.console; rm -rf "$work"; }
trap cleanup EXIT
passed=0 failed=0
result() { if [ "$1" = 0 ]; then passed=$((passed + 1)); echo "ok   $2"; else failed=$((failed + 1)); echo "FAIL $2"; fi; }

root=$work/root version=$(ls "$cache/lib/modules")
mkdir -p "$root"/{bin,sbin,proc,sys,dev,run,etc/iscsi,tmp,mnt,var/lib/tgt,lib/modules}; ln -s ../run "$root/var/run"
busybox=$(find "$cache/bin" "$cache/usr/bin" -name busybox 2>/dev/null | head -n 1)
cp "$busybox" "$root/bin/busybox"; for name in rm sh mount umount mkdir cat sleep ls grep ip modprobe insmod sha256sum dd sync echo poweroff ps free; do ln -s busybox "$root/bin/$name"; done
cp "$binary" "$root/sbin/iscsi"; for name in tgtd tgtadm iscsid iscsiadm iscsi-iname; do ln -s iscsi "$root/sbin/$name"; done
ln -s /bin/modprobe "$root/sbin/modprobe"
[ -e "$cache/lib/modules/$version/modules.dep" ] || depmod -b "$cache" "$version"
for module in virtio_pci virtio_blk virtio_net sd_mod ext4 iscsi_tcp crc32c_generic; do
    modprobe -d "$cache" -S "$version" --show-depends "$module" 2>/dev/null | awk '$1 == "insmod" { print $2 }'
done | sort -u | while read -r file; do install -D -m 644 "$file" "$root/lib/modules/$version/${file#*"/$version/"}"; done
find "$root/lib/modules" -name '*.ko' -exec aarch64-linux-gnu-strip -g {} + 2>/dev/null || :
cp "$cache/lib/modules/$version"/modules.{builtin,order} "$root/lib/modules/$version/"
depmod -b "$root" "$version" 2> /dev/null
cat > "$root/init" <<'I'
#!/bin/sh
export PATH=/sbin:/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev; mount -t tmpfs run /run
check() { what=$1; shift; if "$@" > /tmp/out 2>&1; then echo "ok   $what"; else echo "FAIL $what: $?: $(cat /tmp/out)"; fi; }
for m in virtio_pci virtio_blk virtio_net sd_mod crc32c_generic ext4 iscsi_tcp; do modprobe $m || echo "FAIL modprobe $m"; done
rm -r /lib/modules             # loaded: the initramfs is memory
ip link set lo up; ip link set eth0 up; ip addr add 10.0.2.15/24 dev eth0
name=iqn.2001-04.com.example:board
iscsi-iname -g > /etc/iscsi/initiatorname.iscsi
check "tgtd starts" tgtd
check "a target" tgtadm --lld iscsi --mode target --op new --tid 1 -T $name
check "a disk" tgtadm --lld iscsi --mode logicalunit --op new --tid 1 --lun 1 -b /dev/vda
for key in HeaderDigest DataDigest; do check "$key=CRC32C" tgtadm --lld iscsi --mode target --op update --tid 1 --name $key -v CRC32C; done
check "for everybody" tgtadm --lld iscsi --mode target --op bind --tid 1 -I ALL
check "iscsid starts" iscsid
check "discovery" iscsiadm -m discovery -t st -p 127.0.0.1
iscsiadm -m node -T $name -p 127.0.0.1 -o update -n node.conn[0].iscsi.HeaderDigest -v CRC32C
iscsiadm -m node -T $name -p 127.0.0.1 -o update -n node.conn[0].iscsi.DataDigest -v CRC32C
check "login, with digests" iscsiadm -m node -T $name -p 127.0.0.1 --login
n=0; until [ -b /dev/sda ] || [ $n -gt 100 ]; do sleep 0.1; n=$((n + 1)); done
check "mount" mount -t ext4 /dev/sda /mnt
check "what was on it" grep -q "hello board" /mnt/hello
dd if=/dev/urandom of=/mnt/file bs=64k count=32 2> /dev/null; sha256sum < /mnt/file > /mnt/sum
check "umount" umount /mnt
check "digests were agreed on" sh -c 'cat /sys/class/iscsi_connection/*/header_digest | grep -q 1'
check "mount again" mount -t ext4 /dev/sda /mnt
check "checksums are equal" sh -c 'test "$(sha256sum < /mnt/file)" = "$(cat /mnt/sum)"'
umount /mnt
check "logout" iscsiadm -m node -T $name -p 127.0.0.1 --logout
ps -o comm,rss 2>/dev/null | grep -E 'tgtd|iscsid'; free
echo "serving after $(cat /proc/uptime)"
sleep 100; poweroff -f
I
chmod 755 "$root/init"
(cd "$root" && find . -mindepth 1 | cpio -o -H newc -R 0:0 --quiet | gzip -9) > "$work/initrd"
mkdir "$work/files"; echo "hello board" > "$work/files/hello"
truncate -s 32M "$work/disk"; mke2fs -q -t ext4 -d "$work/files" "$work/disk"
mkdir "$work/bin"
port=$((20000 + $$ % 20000)); while [ -n "$(ss -Hltn "sport = :$port")" ]; do port=$((port + 1)); done
started=$SECONDS
qemu-system-aarch64 -M virt -cpu cortex-a72 -accel tcg -m 64 -smp 1 -display none -nodefaults -no-reboot -no-user-config -kernel "$cache/boot/vmlinuz-$version" \
    -initrd "$work/initrd" -append "console=ttyAMA0 panic=-1 quiet mitigations=off net.ifnames=0" -serial "file:$work/console" \
    -netdev "user,id=u0,hostfwd=tcp:127.0.0.1:$port-:3260" -device virtio-net-pci,netdev=u0,romfile= \
    -drive "if=none,id=k0,format=raw,cache=unsafe,file=$work/disk" -device virtio-blk-pci,drive=k0 < /dev/null > "$work/qemu" 2>&1 & qemu=$!
until grep -aq '^serving' "$work/console" 2>/dev/null || ! kill -0 $qemu 2>/dev/null || [ $((SECONDS - started)) -gt 120 ]; do sleep 0.2; done
sed -i 's/\r$//' "$work/console"
grep -a '^ok \|^FAIL ' "$work/console"
passed=$(grep -ac '^ok ' "$work/console") failed=$(grep -ac '^FAIL ' "$work/console")
if grep -aq '^serving' "$work/console"; then
    grep -a '^tgtd \|^iscsid \|Mem:\|^serving' "$work/console"
    "$top/build/iscsi" ls "iscsi://127.0.0.1:$port" > "$work/ls" 2>&1; result $? "the host lists its target"
    "$top/build/iscsi" cp "iscsi://127.0.0.1:$port/iqn.2001-04.com.example:board/1" "$work/copy" > "$work/cp" 2>&1 < /dev/null || { cat "$work/cp"; false; }; result $? "the host copies its disk"
    e2fsck -fn "$work/copy" > /dev/null 2>&1; result $? "the copy's file system is whole"
    [ "$(debugfs -R 'cat file' "$work/copy" 2>/dev/null | sha256sum)" = "$(debugfs -R 'cat sum' "$work/copy" 2>/dev/null)" ]; result $? "the copy has what the board wrote"
else
    echo "FAIL the guest did not come so far:"; tail -n 20 "$work/console" "$work/qemu"; failed=$((failed + 1))
fi
echo "$((SECONDS - started)) s"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
