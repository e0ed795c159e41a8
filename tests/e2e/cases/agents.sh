# Pacemaker's agents of Debian's resource-agents drive our target unmodified: two nodes, a disk that moves between them.
A=/usr/lib/ocf/resource.d/heartbeat
need ip $A/iSCSITarget $A/iSCSILogicalUnit
d=$(bindir "$TARGET") || { fail "no programs"; exit 1; }
export OCF_ROOT=/usr/lib/ocf PATH=$d:$PATH HA_LOGFILE=$E2E_LOG/ha HA_debug=0
node_env() { echo "TGT_IPC_SOCKET=/run/tgtd/$1"; }
ip link add sw type bridge; ip link set sw up; ip addr add 198.51.100.1/24 dev sw
n=10
for h in a b; do
  ip netns add $h; ip link add eth0 netns $h type veth peer name to$h; ip link set to$h master sw up
  ip -n $h link set lo up; ip -n $h link set eth0 up; ip -n $h addr add 198.51.100.$n/24 dev eth0; n=$((n + 1))
  ip netns exec $h env "$(node_env $h)" "$d/tgtd" -f > "$E2E_LOG/tgtd.$h" 2>&1 &
done
for h in a b; do try 10 env "$(node_env $h)" "$d/tgtadm" --mode target --op show || fail "no tgtd on node $h"; done
truncate -s 32M one.img; truncate -s 16M two.img
# agent NODE TYPE INSTANCE ACTION [KEY=VALUE…]
agent() { local h=$1 type=$2 name=$3 action=$4; shift 4; local k=("$@"); ip netns exec "$h" env "$(node_env "$h")" OCF_RESOURCE_INSTANCE="$name" OCF_RESOURCE_TYPE="$type" OCF_RESKEY_implementation=tgt "${k[@]/#/OCF_RESKEY_}" timeout 20 $A/"$type" "$action" > "$E2E_LOG/agent" 2>&1; }
# answers NAME STATUS NODE TYPE INSTANCE ACTION [KEY=VALUE…]
answers() { local name=$1 want=$2; shift 2; agent "$@"; local rc=$?; [ $rc -eq "$want" ] && pass "$name" || fail "$name: ended with $rc, not $want: $(tail -n 3 "$E2E_LOG/agent" | tr '\n' '|')"; }
show() { env "$(node_env "$1")" "$d/tgtadm" --lld iscsi --mode target --op show; }
shows() { local name=$1 h=$2; shift 2; if show "$h" | grep -q -- "$@"; then pass "$name"; else fail "$name: $(show "$h" | tr '\n' '|')"; fi; }
T="iqn=$IQN tid=7 incoming_username=alice incoming_password=alicesecret12"
U1="target_iqn=$IQN lun=1 path=$PWD/one.img"; U2="target_iqn=$IQN lun=2 path=$PWD/two.img"
allowed="allowed_initiators=198.51.100.0/24 192.0.2.7"
target() { local want=$1 h=$2 action=$3; answers "target: $action on $h" "$want" "$h" iSCSITarget san "$action" $T "$allowed" "additional_parameters=MaxRecvDataSegmentLength=65536 HeaderDigest=None,CRC32C"; }
unit() { local want=$1 h=$2 which=$3 action=$4; local v=U$which; answers "unit $which: $action on $h" "$want" "$h" iSCSILogicalUnit disk"$which" "$action" ${!v}; }
answers "meta-data is XML" 0 a iSCSITarget san meta-data
check "meta-data parses" python3 -c 'import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.argv[1])' "$E2E_LOG/agent"
target 0 a validate-all
answers "validate-all without a tid" 6 a iSCSITarget san validate-all iqn=$IQN
target 7 a monitor
unit 7 a 1 monitor
target 0 a start
target 0 a monitor
shows "the target has its number and name" a "^Target 7: $IQN"
for rule in 198.51.100.0/24 192.0.2.7; do shows "allowed_initiators: $rule" a "^        $rule$"; done
check "incoming_username is bound" sh -c "env '$(node_env a)' '$d/tgtadm' --lld iscsi --mode target --op show | sed -n '/Account information/,/ACL/p' | grep -q alice"
check "additional_parameters" sh -c "env '$(node_env a)' '$d/tgtadm' --lld iscsi --mode target --op show --tid 7 | grep -q MaxRecvDataSegmentLength=65536"
target 0 a start
unit 0 a 1 start; unit 0 a 1 monitor; unit 0 a 2 start; unit 0 a 2 monitor; unit 0 a 1 start
shows "two units" a "Backing store path: $PWD/two.img"
# two portals would do for a cluster: one address that goes with the target
vip() { ip -n "$1" addr del 198.51.100.5/24 dev eth0 2>/dev/null; ip -n "$2" addr add 198.51.100.5/24 dev eth0; ip neigh flush dev sw; }
vip b a
C=iscsi://alice%alicesecret12@198.51.100.5/$IQN
check "an allowed initiator logs in and writes" sh -c "head -c 1M /dev/urandom > data; '$d/iscsi' cp data '$C/1'"
refuse "one with another secret does not" "$d/iscsi" inq "iscsi://alice%alicesecret13@198.51.100.5/$IQN/1"
"$d/iscsi" inq --vpd "$C/1" > on.a 2>&1
# a session is open while the resource stops: the agent ends its connections, and the stop ends
"$d/iscsi" bench --time 600 "$C/2" > /dev/null 2>&1 & load=$!
connected() { show a | grep -q 'IP Address: 198.51.100.1'; }
try 10 connected || fail "no session on a"
unit 0 a 1 stop; unit 7 a 1 monitor; unit 0 a 1 stop
target 0 a stop; target 7 a monitor; target 0 a stop
check "nothing is left on a" sh -c "! env '$(node_env a)' '$d/tgtadm' --mode target --op show | grep -q . && ! env '$(node_env a)' '$d/tgtadm' --lld iscsi --mode account --op show | grep -q alice"
wait $load 2>/dev/null; rc=$?
check "the initiator hears of it and ends with an error" test $rc -eq 1
# failover: the same resources on the other node
target 0 b start; unit 0 b 1 start; unit 0 b 2 start; target 0 b monitor; unit 0 b 1 monitor
vip a b
check "the data is there" sh -c "'$d/iscsi' cp '$C/1' back && cmp -n 1048576 data back"
"$d/iscsi" inq --vpd "$C/1" > on.b 2>&1
check "and the disk has the same identity" diff on.a on.b
# back, as a restart of each
unit 0 b 1 stop; unit 0 b 2 stop; target 0 b stop; target 0 a start; unit 0 a 1 start
vip b a
check "and back again" "$d/iscsi" inq "$C/1"
answers "an unknown store type is refused" 1 a iSCSILogicalUnit disk3 start target_iqn=$IQN lun=3 path=$PWD/two.img tgt_bstype=none
answers "tgt_bstype, tgt_bsoflags" 0 a iSCSILogicalUnit disk3 start target_iqn=$IQN lun=3 path=$PWD/two.img tgt_bstype=aio tgt_bsoflags=direct
truncate -s 16M three.img
answers "scsi_sn, vendor_id, product_id" 0 a iSCSILogicalUnit disk4 start target_iqn=$IQN lun=4 path=$PWD/three.img scsi_sn=sn0004 vendor_id=ACME product_id=Disk4
check "are what initiators see" sh -c "'$d/iscsi' inq '$C/4' | grep -q 'Vendor: ACME' && '$d/iscsi' inq --vpd '$C/4' | grep -q sn0004"
finish
