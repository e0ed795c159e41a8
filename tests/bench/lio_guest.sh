#!/bin/sh
# In the guest of lio.sh: sets every server up on the same file in memory (LIO's ramdisk and null stores for reference on their
# own), runs the cells in alternation, prints lines "RESULT server|cell|round|JSON". /etc/lio.env: SERVERS CELLS ROUNDS SECONDS_ SIZE.
. /etc/lio.env
set -e
IQN=iqn.2001-04.com.example:bench
mkdir -p /srv /var/target/pr /var/target/alua /run/tgtd /run/lock
mount -t tmpfs -o size=$((SIZE_MIB * 2))m srv /srv
dd if=/dev/zero of=/srv/disk.img bs=1M count=$SIZE_MIB 2>/dev/null     # every page there, none a hole
echo "clock: $(cat /sys/devices/system/clocksource/clocksource0/current_clocksource), $(nproc) CPU, $(uname -r)"

c=/sys/kernel/config/target
lio_up() {
  modprobe configfs 2>/dev/null || :; mount -t configfs none /sys/kernel/config
  modprobe target_core_mod; modprobe target_core_file; modprobe iscsi_target_mod
}
# lio_target NAME PORT BACKSTORE
lio_target() {
  mkdir -p $c/iscsi; local t=$c/iscsi/$IQN-$1/tpgt_1
  mkdir -p $t/lun/lun_1 $t/np/127.0.0.1:$2; ln -s $3 $t/lun/lun_1/disk
  echo 0 > $t/attrib/authentication; echo 1 > $t/attrib/generate_node_acls; echo 1 > $t/attrib/cache_dynamic_acls; echo 0 > $t/attrib/demo_mode_write_protect
  for k in ${LIO_PARAMS-}; do echo ${k#*=} > $t/param/${k%%=*}; done
  echo 1 > $t/enable
}
start() {
  case $1 in
    lio-fileio)
      b=$c/core/fileio_0/file; mkdir -p $b
      echo "fd_dev_name=/srv/disk.img,fd_dev_size=$(stat -c %s /srv/disk.img),fd_buffered_io=1" > $b/control; echo 1 > $b/enable
      lio_target file 3261 $b; to="127.0.0.1:3261 --target $IQN-file --lun 1";;
    lio-ramdisk)
      b=$c/core/rd_mcp_0/ram; mkdir -p $b; echo "rd_pages=$((SIZE_MIB * 256))" > $b/control; echo 1 > $b/enable
      lio_target ram 3262 $b; to="127.0.0.1:3262 --target $IQN-ram --lun 1";;
    tgt*|ours*)
      case $1 in tgt*) d=/usr/sbin port=3263 n=2;; *) d=/opt/ours port=3264 n=1;; esac
      $d/tgtd -f -C $n --iscsi portal=127.0.0.1:$port $OURS_OPTIONS > /run/$1.log 2>&1 &
      echo $! > /run/$1.pid
      i=100; until $d/tgtadm -C $n --lld iscsi --mode target --op show >/dev/null 2>&1; do i=$((i-1)); [ $i -gt 0 ] || { cat /run/$1.log; exit 1; }; sleep 0.05; done
      $d/tgtadm -C $n --lld iscsi --mode target --op new --tid 1 -T $IQN
      $d/tgtadm -C $n --lld iscsi --mode logicalunit --op new --tid 1 --lun 1 -b /srv/disk.img
      $d/tgtadm -C $n --lld iscsi --mode target --op bind --tid 1 -I ALL
      to="127.0.0.1:$port --target $IQN --lun 1";;
    istgt)
      cp /etc/istgt.auth /run/istgt.auth; chmod 600 /run/istgt.auth
      istgt -D -c /etc/istgt.conf > /run/istgt.log 2>&1 & to="127.0.0.1:3265 --target $IQN --lun 0"
      i=100; until nc -w 1 127.0.0.1 3265 </dev/null >/dev/null 2>&1; do i=$((i-1)); [ $i -gt 0 ] || { cat /run/istgt.log; exit 1; }; sleep 0.05; done;;
    roof-*)
      p=3270; case $1 in *gather) p=3271;; *map) p=3272;; *sendfile) p=3273;; esac
      bench_roof ${1#roof-} $p /srv/disk.img & to="127.0.0.1:$p --roof --size $((SIZE_MIB << 20))";;
  esac
  echo "$to" > /run/$1.to
}
case " $SERVERS " in *" lio"*) lio_up;; esac
for s in $SERVERS; do start $s; done
ulimit -n 4096
for s in $SERVERS; do           # every page of the file touched by every server, so that no first time is in a figure
  for w in 100 0; do bench_load $(cat /run/$s.to) --bs 1048576 --depth 8 --seq --read $w --count $SIZE_MIB </dev/null >/dev/null; done
done
round=1
while [ $round -le $ROUNDS ]; do
  while IFS='|' read -r cell arguments stream; do
    for s in $SERVERS; do
      case $s$stream in roof*--*) continue;; esac
      beside=
      [ -z "$stream" ] || { bench_load $(cat /run/$s.to) $stream --seconds 60 --by-reference </dev/null >/dev/null 2>&1 & beside=$!; sleep 0.1; }
      out=$(timeout 60 bench_load $(cat /run/$s.to) $arguments --warm 0.03 --by-reference 2>&1 </dev/null) || :
      echo "RESULT $s|$cell|$round|$out"
      [ -z "$beside" ] || { kill $beside; wait $beside 2>/dev/null || :; }
    done
  done < /etc/lio.cells
  round=$((round + 1))
done
