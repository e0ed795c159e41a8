#!/bin/bash
# enter.sh CASE : inside the fresh name spaces made by run.sh: private /run, /etc/tgt, /etc/iscsi, addresses on lo; then the case.
set -eu
mount --make-rprivate /
for d in /etc/tgt /etc/iscsi; do [ -d $d ] && { mkdir -p "$E2E_WORK$d"; cp -a $d/. "$E2E_WORK$d/"; mount --bind "$E2E_WORK$d" $d; }; done
mount -t tmpfs run /run; mkdir -p /run/lock /run/tgtd "$E2E_WORK/data"; mount -t tmpfs data "$E2E_WORK/data"
hostname san1 2>/dev/null || :
ip link set lo up
ip addr add 192.0.2.10/32 dev lo; ip addr add 192.0.2.11/32 dev lo
ip -6 addr add 2001:db8::10/128 dev lo nodad 2>/dev/null || :
export HOME=/root LC_ALL=C.UTF-8 TZ=UTC PATH=/usr/sbin:/usr/bin:/sbin:/bin
cd "$E2E_WORK/data"
set +e
. "$E2E_DIR/lib.sh"
. "$1"
finish
