# The record database, both ways: Debian's iscsiadm and ours make the same tree, byte for byte, each uses the other's, and both
# show the same. Needs no kernel: Debian's tool sees a /sys of ours with the transport loaded, and built-in defaults for both.
need /usr/sbin/iscsiadm
ours=$(bindir "$INITIATOR")/iscsiadm debian=/usr/sbin/iscsiadm
mount -t tmpfs none /sys
mkdir -p /sys/devices/virtual/iscsi_transport/tcp /sys/class/iscsi_transport /sys/class/iscsi_session /sys/class/iscsi_host /sys/class/net
echo 1 > /sys/devices/virtual/iscsi_transport/tcp/handle; echo 0x39 > /sys/devices/virtual/iscsi_transport/tcp/caps
ln -s ../../devices/virtual/iscsi_transport/tcp /sys/class/iscsi_transport/tcp
ln -s ../../../../class/iscsi_transport /sys/devices/virtual/iscsi_transport/tcp/subsystem
T=iqn.2026-01.org.example
steps() {
  cat <<S
-m node -o new -T $T:disk1 -p 192.0.2.10:3260,1
-m node -o new -T $T:disk1 -p 192.0.2.11
-m node -o new -T $T:disk2 -p [2001:db8::10]:3261,7
-m node -o new -T eui.02004567A425678D -p host.example:3260,2
-m node -o new -T $T:gone -p 192.0.2.10:3260,1
-m iface -I eth0if -o new
-m iface -I 10.0.0.1:3260:vol1 -o new
-m iface -I eth0if -o update -n iface.net_ifacename -v lo -n iface.mtu -v 9000
-m iface -I eth0if -o update -n iface.initiatorname -v $T:other
-m node -o new -T $T:disk1 -p 192.0.2.10:3260,1 -I eth0if
-m node -T $T:disk1 -p 192.0.2.10:3260,1 -o update -n node.startup -v automatic -n node.session.timeo.replacement_timeout -v -1
-m node -T $T:disk1 -o update -n node.session.auth.authmethod -v CHAP
-m node -T $T:disk1 -o update -n node.session.auth.username -v alice
-m node -T $T:disk1 -o update -n node.session.auth.password -v alicesecret12
-m node -T $T:disk2 -o update -n node.conn[0].iscsi.HeaderDigest -v CRC32C,None -n node.session.auth.chap_algs -v SHA256,MD5
-m node -T $T:disk2 -o update -n node.leading_login -v Yes -n node.session.scan -v manual -n node.conn[0].startup -v onboot
-m node -T $T:gone -o delete
-m discoverydb -t st -p 192.0.2.10 -o new
-m discoverydb -t st -p 192.0.2.10 -o update -n discovery.sendtargets.auth.username -v bob -n discovery.sendtargets.reopen_max -v 2
-m discoverydb -t isns -p 192.0.2.11 -o new
-m discoverydb -t st -p [2001:db8::10]:3261 -o new
S
}
views() {
  cat <<S
-m node
-m node -P 1
-m node -o show
-m node -S -o show
-m node -T $T:disk1
-m node -p 192.0.2.11
-m iface
-m iface -P 1
-m iface -I eth0if
-m iface -I default
-m discoverydb -t st -p 192.0.2.10
-m discoverydb -t st -p 192.0.2.10 -S
-m discoverydb -t isns -p 192.0.2.11
S
}
# apply TOOL: the steps from an empty tree
apply() { rm -rf /etc/iscsi/*; : > /etc/iscsi/iscsid.conf; steps | while read -r line; do set -f; timeout 40 "$1" $line >> "$E2E_LOG/steps" 2>&1 || echo "FAIL $1 $line"; set +f; done; }
save() { rm -rf "$1"; cp -a /etc/iscsi "$1"; }
show() { views | while read -r line; do set -f; echo "\$ $line"; timeout 20 "$1" $line 2>/dev/null; echo "[exit $?]"; set +f; done; }
apply "$debian"; save debian.tree; show "$debian" > debian.debian; show "$ours" > debian.ours
check "ours shows Debian's tree as Debian's tool does" diff debian.debian debian.ours
check "showing changes nothing" diff -r debian.tree /etc/iscsi
apply "$ours"; save ours.tree; show "$debian" > ours.debian
check "the same tree, byte for byte" diff -r --no-dereference debian.tree ours.tree
check "the same modes" diff <(cd debian.tree && find . ! -name lock\* -printf '%p %m %l\n' | sort) <(cd ours.tree && find . ! -name lock\* -printf '%p %m %l\n' | sort)
check "Debian's tool shows our tree as its own" diff debian.debian ours.debian
# each goes on with what the other began
"$debian" -m node -T $T:disk1 -p 192.0.2.10 -o update -n node.session.queue_depth -v 64 > /dev/null 2>&1
check "ours sees what Debian's changed in our tree" grep -qx 'node.session.queue_depth = 64' <("$ours" -m node -T $T:disk1 -p 192.0.2.10)
"$ours" -m node -T $T:disk1 -p 192.0.2.10 -o update -n node.session.queue_depth -v 16
check "and Debian's what ours changed" grep -qx 'node.session.queue_depth = 16' <("$debian" -m node -T $T:disk1 -p 192.0.2.10 2>/dev/null)
"$debian" -m node -o delete > /dev/null 2>&1
check "Debian's deletes our records" test -z "$(find /etc/iscsi/nodes -type f)"
