#!/bin/sh
# A disk of QEMU's that is an iscsi:// URL. The first guest makes a file system and notes checksums in it, the second verifies.
. /lib/vm.sh; . /etc/vm.env
bad() { echo "FAIL $*"; dmesg | tail -n 20; exit 1; }
[ -b /dev/vda ] || bad "no disk"
if [ $STEP = write ]; then
  mkfs.ext4 -q -F /dev/vda || bad mkfs.ext4
  mount -t ext4 /dev/vda /mnt || bad mount
  dd if=/dev/urandom of=/mnt/a bs=64k count=200 2>/dev/null; dd if=/dev/urandom of=/mnt/b bs=3k count=999 2>/dev/null
  (cd /mnt && sha256sum a b > sums); umount /mnt || bad umount
  echo "ok   a QEMU guest writes a file system"
else
  e2fsck -fn /dev/vda > /tmp/f 2>&1 || bad "e2fsck: $(tail -n 3 /tmp/f)"
  mount -t ext4 /dev/vda /mnt || bad mount
  (cd /mnt && sha256sum -c sums) || bad "checksums differ"
  umount /mnt; echo "ok   another QEMU guest reads it back, checksums equal"
fi
