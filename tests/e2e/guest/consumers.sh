#!/bin/sh
# Programs that call iscsiadm: their commands (consumers.py), libvirt's storage pool and Pacemaker's iscsi agent themselves.
. /lib/vm.sh; . /etc/vm.env
ok() { echo "ok   $*"; }
bad() { echo "FAIL $*"; }
check() { local name=$1; shift; if "$@" > /tmp/last 2>&1; then ok "$name"; else bad "$name: exit $?: $(tail -n 4 /tmp/last | tr '\n' '|')"; fi; }
says() { local name=$1 what=$2; shift 2; "$@" > /tmp/last 2>&1; if grep -q -- "$what" /tmp/last; then ok "$name"; else bad "$name: no '$what' in: $(tail -n 4 /tmp/last | tr '\n' '|')"; fi; }
modprobe 9pnet_virtio; modprobe 9p; mkdir -p /host; mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=262144 hostusr /host || { bad "no /usr of the host"; exit 1; }
# The host's programs, with their libraries where they look for them; ours are in /sbin.
mkdir -p /lib64 /usr/lib /var/lib/libvirt /var/cache/libvirt /var/log/libvirt /etc/libvirt/storage /run/libvirt /run/resource-agents /var/lock
ln -sf /host/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 /lib64/; for l in x86_64-linux-gnu python3.11 python3 ocf; do [ -e /usr/lib/$l ] || ln -s /host/lib/$l /usr/lib/$l; done
mkdir -p /usr/share; for l in libvirt misc; do ln -sf /host/share/$l /usr/share/; done
ln -sf /sbin/iscsiadm /usr/bin/iscsiadm
modprobe iscsi_tcp || bad "modprobe iscsi_tcp"
syslogd -O /var/log/messages; iscsid || bad "iscsid does not start"
PYTHONDONTWRITEBYTECODE=1 PYTHONHOME=/usr /host/bin/python3 -S /etc/consumers.py $IQN $SECRET $PORTAL || bad "consumers.py ended with $?"
iscsiadm -m session > /dev/null 2>&1 && bad "a session is left"; rm -rf /etc/iscsi/nodes /etc/iscsi/send_targets

# Pacemaker's agent
agent() { OCF_ROOT=/usr/lib/ocf OCF_RESOURCE_INSTANCE=disk OCF_RESOURCE_TYPE=iscsi OCF_RESKEY_portal=$PORTAL:3260 OCF_RESKEY_target=$IQN OCF_RESKEY_udev=no \
  PATH=/tmp/bin:/sbin:/host/bin:/host/sbin:$PATH HA_LOGFILE=/tmp/ha /host/bin/bash /usr/lib/ocf/resource.d/heartbeat/iscsi "$1"; }
answers() { agent $2 > /tmp/last 2>&1; rc=$?; [ $rc = $1 ] && ok "the iscsi agent: $2 answers $1" || bad "the iscsi agent: $2 answers $rc, not $1: $(tail -n 4 /tmp/last | tr '\n' '|')"; }
answers 7 monitor; answers 0 start; answers 0 monitor; answers 0 status; answers 0 start; answers 0 stop; answers 7 monitor; answers 0 stop; answers 0 validate-all
iscsiadm -m session > /dev/null 2>&1 && bad "a session is left by the agent"

# libvirt
export LIBVIRT_DEFAULT_URI=storage:///system HOME=/root LIBVIRT_DRIVER_DIR=/tmp/drivers
mkdir /tmp/drivers; ln -s /host/lib/x86_64-linux-gnu/libvirt/connection-driver/libvirt_driver_storage.so /tmp/drivers/     # that one only
printf 'unix_sock_group = "root"\nauth_unix_rw = "none"\nauth_unix_ro = "none"\n' > /etc/libvirt/libvirtd.conf
PATH=/sbin:$PATH /host/sbin/libvirtd -f /etc/libvirt/libvirtd.conf > /tmp/libvirtd 2>&1 & pid=$!
n=100; until /host/bin/virsh -q pool-list > /tmp/last 2>&1; do n=$((n-1)); [ $n -gt 0 ] && kill -0 $pid 2> /dev/null || { bad "libvirtd: $(tail -n 3 /tmp/last /tmp/libvirtd | tr '\n' '|')"; exit 0; }; sleep 0.2; done
v() { /host/bin/virsh -q "$@"; }
says "libvirt finds the pool's sources" "$IQN" v find-storage-pool-sources-as iscsi $PORTAL
check "pool-define-as" v pool-define-as san iscsi --source-host $PORTAL --source-dev $IQN --target /dev
check "pool-start" v pool-start san
says "the pool is a session" "$IQN" iscsiadm -m session
says "vol-list" "unit:0:0:1" v vol-list san
says "pool-info" 'State: *running' v pool-info san
check "pool-refresh" v pool-refresh san
check "pool-destroy" v pool-destroy san
iscsiadm -m session > /tmp/last 2>&1; rc=$?; [ $rc = 21 ] && ok "and the session is gone" || bad "sessions after pool-destroy: exit $rc: $(cat /tmp/last)"
cat > /tmp/pool.xml <<X
<pool type='iscsi'><name>own</name><source><host name='$PORTAL'/><device path='$IQN'/><initiator><iqn name='iqn.2001-04.com.example:pool'/></initiator></source><target><path>/dev</path></target></pool>
X
check "a pool with an initiator name of its own" v pool-create /tmp/pool.xml
host --mode target --op show > /tmp/last 2>&1; grep -q 'Initiator: iqn.2001-04.com.example:pool' /tmp/last && ok "the target sees that name" || bad "the target sees: $(grep Initiator /tmp/last)"
check "pool-destroy of it" v pool-destroy own
kill $pid

# the doctor, where there is a kernel initiator
D="iscsi doctor"
iscsiadm -m node -T $IQN -p $PORTAL -o delete > /dev/null 2>&1; iscsiadm -m discovery -t st -p $PORTAL > /dev/null; iscsiadm -m node -T $SECRET -o delete
iscsiadm -m node -T $IQN --login > /dev/null || bad "login"
n=50; until ls /sys/block | grep -q '^sd' || [ $n = 0 ]; do n=$((n-1)); sleep 0.1; done; disk=$(ls /sys/block | grep '^sd' | head -n 1)
says "doctor: the module" '^ok    module iscsi_tcp: loaded, transport tcp' $D
says "doctor: iscsid" '^ok    iscsid: answers: ours, .* 1 session' $D
check "doctor: all is well with a session" $D
old=$(cat /sys/block/$disk/device/timeout); echo 3 > /sys/block/$disk/device/timeout
says "doctor: a disk's time-out that is too short" "^warn  disk $disk: its commands time out after 3 s" $D
fix=$($D | sed -n "/^warn  disk $disk/{n;s/^      fix: //p}"); sh -c "$fix"
[ "$(cat /sys/block/$disk/device/timeout)" = 30 ] && ok "and its fix mends it" || bad "after '$fix': $(cat /sys/block/$disk/device/timeout)"
killall -9 iscsid; rm -f /run/iscsid.pid
says "doctor: a session nobody looks after" '^FAIL  iscsid: does not run, but the kernel has 1 session' $D
iscsid; says "doctor: it is looked after again" '^ok    iscsid: answers' $D
iscsiadm -m node -T $IQN --logout > /dev/null || bad "logout"; killall iscsid
n=50; while $D | grep -q '^ok    iscsid: answers' && [ $n -gt 0 ]; do n=$((n-1)); sleep 0.1; done
/host/sbin/iscsid -c /etc/iscsi/iscsid.conf -i /etc/iscsi/initiatorname.iscsi > /tmp/last 2>&1
says "doctor: somebody else's iscsid" "^warn  iscsid: the running iscsid is not this program's: pid [0-9]*, .*/iscsid" $D
exit 0
