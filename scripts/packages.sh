#!/bin/bash
# packages.sh build|demo|test : install with apt-get what building, the demonstration or the tests need on Debian 12. Root.
set -eu
build="cmake ninja-build g++ libssl-dev libboost-program-options-dev"
demo="$build qemu-utils qemu-block-extra libiscsi-bin iproute2"
test="$demo doctest-dev ccache clang libclang-rt-14-dev qemu-system-x86 tgt open-iscsi istgt busybox-static cpio kmod e2fsprogs util-linux
  valgrind mandoc groff-base shellcheck zsh fish systemd python3 xz-utils make sg3-utils procps git netcat-openbsd open-isns-server xxd libiscsi-dev initramfs-tools nftables resource-agents libvirt-daemon libvirt-clients"
wanted=${!1:?which set}
missing=$(for p in $wanted; do dpkg-query -W -f '${Status}\n' "$p" 2>/dev/null | grep -q ' installed$' || echo "$p"; done)
[ -z "$missing" ] && exit 0
[ "$(id -u)" = 0 ] || { echo "packages.sh: not root, and these packages are missing:" $missing >&2; exit 1; }
# a service that a package would start is not wanted here: the tests start their own daemons
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then printf '#!/bin/sh\nexit 101\n' > $policy; chmod 755 $policy; trap 'rm -f $policy' EXIT; fi
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
for try in 1 2 3; do
  if apt-get update -q > "$log" 2>&1 && apt-get install -q -y --no-install-recommends $missing >> "$log" 2>&1 </dev/null; then rm -f "$log"; exit 0; fi
  sleep $((try * 5))
done
tail -n 30 "$log" >&2; echo "packages.sh: apt-get could not install:" $missing >&2; exit 1
