# OpenStack, Kubernetes, Proxmox, libvirt and Pacemaker with our iscsiadm: their commands, their reading of what it prints.
# The guest sees the host's /usr, read-only, for the programs.
need virsh libvirtd python3 /usr/lib/ocf/resource.d/heartbeat/iscsi
target_start
SECRET=iqn.2001-04.com.example:secret
truncate -s 32M one two three
adm() { "$TGTADM" --lld iscsi "$@" || fail "tgtadm $*"; }
adm --mode target --op new --tid 1 -T $IQN; adm --mode target --op new --tid 2 -T $SECRET
for n in 1:one 2:two; do adm --mode logicalunit --op new --tid 1 --lun ${n%:*} -b "$PWD/${n#*:}"; done
adm --mode logicalunit --op new --tid 2 --lun 1 -b "$PWD/three"
for t in 1 2; do adm --mode target --op bind --tid $t -I ALL; done
adm --mode account --op new --user alice --password alicesecret12; adm --mode account --op bind --tid 2 --user alice
guest_tools ov
cp "$E2E_DIR/guest/consumers.py" ov/etc/
printf '#!/bin/sh\nexec tgtadm "$@"\n' > hook; chmod 755 hook
printf '%s\n' "IQN=$IQN SECRET=$SECRET PORTAL=$PORTAL" > ov/etc/vm.env
guest consumers -o ov -H ./hook -m 900 -T 240 -x "-virtfs local,path=/usr,mount_tag=hostusr,security_model=none,readonly=on"
finish
