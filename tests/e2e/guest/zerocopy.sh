#!/bin/sh
. /lib/vm.sh; . /etc/vm.env
ok() { echo "ok   $*"; }
bad() { echo "FAIL $*"; tail -n 20 /tmp/log; }
modprobe e1000 || bad "no e1000"
ip link set eth1 up; ip addr add 10.0.3.15/24 dev eth1
tgtd -f -d 1 2> /tmp/log &
n=100; until tgtadm --lld iscsi --mode target --op new --tid 1 -T $IQN 2>/dev/null; do n=$((n-1)); [ $n -gt 0 ] || { bad "tgtd does not answer"; exit 1; }; sleep 0.1; done
tgtadm --lld iscsi --mode target --op update --tid 1 --name DataDigest --value CRC32C,None || bad "no digests"
tgtadm --lld iscsi --mode logicalunit --op new --tid 1 --lun 1 -b /dev/vdb --bsoflags direct || bad "no disk"
tgtadm --lld iscsi --mode target --op bind --tid 1 -I ALL
iscsi cp --quiet iscsi://127.0.0.1/$IQN/1 /tmp/copy 2>/tmp/c && cmp /tmp/copy /dev/vdb && ok "loopback: every byte is there" || bad "loopback: $(cat /tmp/c)"
n=600; until grep -q "$IQN.end" /tmp/log; do n=$((n-1)); [ $n -gt 0 ] || break; sleep 0.1; done
by() { sed -n "s/.*connection from $1: payloads sent by reference: \([0-9]*\), copies: $2$/\1/p" /tmp/log; }
[ "$(by 127.0.0.1 yes)" = 1 ] && ok "loopback: copied, so tried once" || bad "loopback: by reference: $(by 127.0.0.1 '.*')"
set -- $(by 10.0.3.2 no)
if [ $# = 2 ] && [ $1 -ge 32 ] && [ $2 -ge 32 ]; then ok "e1000: $* payloads went without a copy"; else bad "e1000: by reference: $*"; fi
