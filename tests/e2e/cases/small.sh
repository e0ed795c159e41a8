# Everything of ours in a guest with less than 64 MB: tgtd, iscsid, sessions to a target outside and to its own, the one-shots.
# Debian's kernels are large: the cloud kernel of 6.12 unpacks to 55 MB at 16 MB and does not start below -m 72, the generic
# one not below 96. With 96 the former leaves 55 MB (MemTotal), about what a kernel made for a machine of 64 MB would.
target_start; target_disk disk.img 64M
mkdir -p ov/sbin ov/etc/iscsi; d=$(bindir "$INITIATOR") || { fail "no programs"; exit 1; }
cp "$d/iscsi" ov/sbin/iscsi; for f in iscsid iscsiadm tgtd tgtadm; do ln -s iscsi ov/sbin/$f; done
echo "InitiatorName=iqn.2001-04.com.example:initiator1" > ov/etc/iscsi/initiatorname.iscsi
printf '%s\n' "IQN=$IQN PORTAL=$PORTAL" > ov/etc/vm.env
VM_MODULES="virtio_pci virtio_net virtio_blk sd_mod iscsi_tcp nbd crc32c_generic ext4" guest small -o ov -D 64M -m 96 -M sd_mod -T 200
