#!/bin/bash
# fetch_kernel.sh : print the folder of an unpacked Debian kernel package for the test guests; fetch it when it is not there.
# Cached under $ISCSI_CACHE, $XDG_CACHE_HOME/iscsi, or build/cache of this tree. Nothing is installed.
set -eu
if [ -n "${KERNEL_DIR-}" ]; then echo "$KERNEL_DIR"; exit 0; fi
top=$(cd "$(dirname "$0")/../../.." && pwd)
cache=${ISCSI_CACHE:-${XDG_CACHE_HOME:+$XDG_CACHE_HOME/iscsi}}; cache=${cache:-$top/build/cache}
mkdir -p "$cache"
exec 9>"$cache/.kernel.lock"; flock 9
if [ ! -e "$cache/kernel/.complete" ]; then
  for try in 1 2 3; do
    # the newest 6.1 kernel for amd64 with no suffix (not -cloud, not -rt)
    package=$(apt-cache search --names-only '^linux-image-6\.1\.0-[0-9]+-amd64$' | awk '{print $1}' | sort -V | tail -n 1)
    rm -rf "$cache/kernel" "$cache/kernel.deb"; mkdir -p "$cache/kernel.deb"; chmod 777 "$cache/kernel.deb"
    if [ -n "$package" ] && (cd "$cache/kernel.deb" && apt-get download -qq "$package" >&2 2>"$cache/apt.log"); then break; fi
    [ "$try" = 3 ] && { echo "fetch_kernel.sh: cannot download a kernel package (${package:-none known}): $(tail -n 2 "$cache/apt.log" 2>/dev/null)" >&2; exit 1; }
    apt-get update -qq >&2 || :
  done
  dpkg-deb --fsys-tarfile "$cache"/kernel.deb/*.deb | tar -x -C "$(mkdir -p "$cache/kernel" && echo "$cache/kernel")" ./boot ./lib/modules
  depmod -b "$cache/kernel" "$(ls "$cache/kernel/lib/modules")"
  rm -rf "$cache/kernel.deb"; : > "$cache/kernel/.complete"
fi
echo "$cache/kernel"
