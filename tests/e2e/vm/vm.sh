#!/bin/bash
# vm.sh [options] SCRIPT : boot a throw-away guest, run SCRIPT in it, print its output, exit with its status.
# See README.md. Nothing is left behind but the files asked for.
set -eu
usage() { sed -n '2,3p' "$0"; sed -n '/^## Options/,/^## /p' "$(dirname "$0")/README.md" | sed '$d'; exit 64; }
HERE=$(cd "$(dirname "$0")" && pwd)
KERNEL_DIR=$("$HERE/fetch_kernel.sh"); export KERNEL_DIR
MEM=${VM_MEM:-768} CPUS=${VM_CPUS:-1} TMO=${VM_TIMEOUT:-120} ACCEL=${VM_ACCEL:-tcg} MODS= NAME=guest
OVER=() DISKS=() SHARE= LOG= HOOK= NET2= IP1= FWD= PCAP= QUIET= EXTRA=() APPEND=
while getopts "o:d:D:s:l:H:M:m:c:T:n:2:i:f:p:a:x:qh" o; do case $o in
  o) OVER+=("$OPTARG");; d) DISKS+=("$OPTARG");; D) DISKS+=("new:$OPTARG");; s) SHARE=$OPTARG;; l) LOG=$OPTARG;; H) HOOK=$OPTARG;;
  M) MODS=${MODS:+$MODS,}$OPTARG;; m) MEM=$OPTARG;; c) CPUS=$OPTARG;; T) TMO=$OPTARG;; n) NAME=$OPTARG;;
  2) NET2=$OPTARG;; i) IP1=$OPTARG;; f) FWD=$FWD,hostfwd=$OPTARG;; p) PCAP=$OPTARG;; a) APPEND=$OPTARG;; x) EXTRA+=("$OPTARG");; q) QUIET=1;; *) usage;;
esac; done
shift $((OPTIND-1)); [ $# -ge 1 ] || usage
SCRIPT=$1; [ -f "$SCRIPT" ] || { echo "vm.sh: no script $SCRIPT" >&2; exit 64; }
KVER=${KVER:-$(ls "$KERNEL_DIR/lib/modules" | head -n1)}
W=$(mktemp -d "${TMPDIR:-/tmp}/vm.XXXXXX"); QPID=
savelog() { if [ -n "$LOG" ] && [ -e "$W/out" ]; then cp "$W/out" "$LOG.out"; sed 's/\r$//' "$W/con" > "$LOG.console"; cp "$W/qemu" "$LOG.qemu"; fi; }
cleanup() { [ -n "$QPID" ] && kill "$QPID" 2>/dev/null && wait "$QPID" 2>/dev/null; savelog; rm -rf "$W"; }
trap cleanup EXIT; trap 'exit 143' TERM; trap 'exit 130' INT
[ -n "$HOOK" ] && [ -z "$SHARE" ] && SHARE=$W/share
# base archive, cached by what it is made of
CACHE=${VM_CACHE:-${TMPDIR:-/tmp}/vm-cache}; mkdir -p "$CACHE"
KEY=$(cat "$HERE/mkinitrd.sh" "$HERE/guest-init" "$HERE/guest-lib.sh" <(echo "$KERNEL_DIR $KVER ${VM_MODULES-} ${BUSYBOX-}") | sha256sum | cut -c1-16)
BASE=$CACHE/base-$KEY.cpio
[ -s "$BASE" ] || "$HERE/mkinitrd.sh" "$BASE"
# overlay archives: the given folders, then the script
mkdir -p "$W/top/etc/vm"; cp "$SCRIPT" "$W/top/etc/vm/run"; chmod 755 "$W/top/etc/vm/run"
cat "$BASE" > "$W/initrd"
for d in ${OVER[@]+"${OVER[@]}"} "$W/top"; do (cd "$d" && find . -mindepth 1 | cpio -o -H newc -R 0:0 --quiet) >> "$W/initrd"; done
Q=(qemu-system-x86_64 -accel "$ACCEL" -cpu max -m "$MEM" -smp "$CPUS" -display none -nodefaults -no-reboot -no-user-config
   -kernel "$KERNEL_DIR/boot/vmlinuz-$KVER" -initrd "$W/initrd"
   -serial "file:$W/con" -serial "file:$W/out" -device virtio-rng-pci)
CMD="console=ttyS0 panic=-1 quiet loglevel=${VM_LOGLEVEL:-4} net.ifnames=0 mitigations=off vm.host=$NAME ${MODS:+vm.mods=$MODS} ${IP1:+vm.ip1=$IP1} ${SHARE:+vm.share} $APPEND"
[ -n "${VM_NONET-}" ] || Q+=(-netdev "user,id=u0$FWD" -device virtio-net-pci,netdev=u0,romfile=)
[ -n "$PCAP" ] && Q+=(-object "filter-dump,id=d0,netdev=u0,file=$PCAP")
# -2 listen:PORT or connect:PORT : a private link to another guest (eth1)
case $NET2 in
  listen:*)  Q+=(-netdev "socket,id=s1,listen=127.0.0.1:${NET2#*:}" -device virtio-net-pci,netdev=s1,mac=52:54:00:00:01:01,romfile=);;
  connect:*) Q+=(-netdev "socket,id=s1,connect=127.0.0.1:${NET2#*:}" -device virtio-net-pci,netdev=s1,mac=52:54:00:00:01:02,romfile=);;
esac
if [ ${#DISKS[@]} -gt 0 ]; then   # a 1 MiB vda first, so that the first disk asked for is /dev/vdb
  truncate -s 1M "$W/vda"; n=0
  Q+=(-drive "if=none,id=k0,format=raw,file=$W/vda" -device virtio-blk-pci,drive=k0,serial=vda)
  for d in "${DISKS[@]}"; do n=$((n+1)); ro=
    case $d in new:*) truncate -s "${d#new:}" "$W/disk$n"; d=$W/disk$n;; *:ro) ro=,readonly=on; d=${d%:ro};; esac
    Q+=(-drive "if=none,id=k$n,format=raw,cache=unsafe,file=$d$ro" -device "virtio-blk-pci,drive=k$n,serial=disk$n")
  done
fi
[ -n "$SHARE" ] && { mkdir -p "$SHARE"; Q+=(-virtfs "local,path=$SHARE,mount_tag=share,security_model=none,id=sh"); }
for x in ${EXTRA[@]+"${EXTRA[@]}"}; do read -r -a xs <<<"$x"; Q+=("${xs[@]}"); done
: > "$W/con"; : > "$W/out"
"${Q[@]}" -append "$CMD" </dev/null >"$W/qemu" 2>&1 & QPID=$!
[ -n "${VM_PIDFILE-}" ] && echo $QPID > "$VM_PIDFILE"
end=$((SECONDS+TMO)); off=0; timedout=
emit() { local sz; sz=$(stat -c %s "$W/out"); if [ "$sz" -gt $off ]; then [ -n "$QUIET" ] || tail -c +$((off+1)) "$W/out" | head -c $((sz-off)) | grep -av '^@@EXIT ' || :; off=$sz; fi; }
while kill -0 $QPID 2>/dev/null; do
  [ $SECONDS -ge $end ] && { timedout=1; kill $QPID 2>/dev/null || :; break; }
  if [ -n "$HOOK" ] && [ -e "$SHARE/.req" ]; then   # the guest's  host ARGS...  : run the hook here, hand back output and status
    mv "$SHARE/.req" "$W/req"; mapfile -t req < "$W/req"; hrc=0
    "$HOOK" ${req[@]+"${req[@]}"} > "$SHARE/.rep.out" 2> "$SHARE/.rep.err" </dev/null || hrc=$?
    echo $hrc > "$SHARE/.rep.rc.tmp"; mv "$SHARE/.rep.rc.tmp" "$SHARE/.rep.rc"
  fi
  sleep 0.1
done
wait $QPID 2>/dev/null || :; QPID=; emit
RC=$(grep -a '^@@EXIT ' "$W/out" | tail -n1 | cut -d' ' -f2 || :)
if [ -n "$RC" ]; then exit "$RC"; fi
if [ -n "$timedout" ]; then echo "vm.sh: guest still running after $TMO s" >&2; tail -n 15 "$W/con" >&2; exit 124; fi
echo "vm.sh: the guest ended with no exit status; qemu said: $(tail -c 500 "$W/qemu")" >&2; tail -n 25 "$W/con" >&2; exit 125
