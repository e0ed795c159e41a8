#!/bin/bash
# fetch_kernel.sh [KERNEL] : print the folder of an unpacked Debian kernel package for the test guests; fetch it when it is not there.
# KERNEL is 6.1 (the default), 6.12, 6.1-cloud or 6.12-cloud: the newest of that line. Without one, KERNEL_DIR overrides it.
# Cached under $ISCSI_CACHE, $XDG_CACHE_HOME/iscsi, or build/cache of this tree. Nothing is installed.
set -eu
if [ $# -eq 0 ] && [ -n "${KERNEL_DIR-}" ]; then echo "$KERNEL_DIR"; exit 0; fi
kernel=${1:-6.1}
case $kernel in
  6.1) name=kernel pattern='^linux-image-6\.1\.0-[0-9]+-amd64$';;      # with no suffix (not -cloud, not -rt)
  6.1-cloud) name=kernel-$kernel pattern='^linux-image-6\.1\.0-[0-9]+-cloud-amd64$';;
  6.12) name=kernel-$kernel pattern='^linux-image-6\.12\.[0-9]+\+deb12-amd64$';;
  6.12-cloud) name=kernel-$kernel pattern='^linux-image-6\.12\.[0-9]+\+deb12-cloud-amd64$';;
  *) echo "fetch_kernel.sh: no kernel $kernel" >&2; exit 64;;
esac
top=$(cd "$(dirname "$0")/../../.." && pwd)
cache=${ISCSI_CACHE:-${XDG_CACHE_HOME:+$XDG_CACHE_HOME/iscsi}}; cache=${cache:-$top/build/cache}
mkdir -p "$cache"
exec 9>"$cache/.kernel.lock"; flock 9
dir=$cache/$name
if [ ! -e "$dir/.complete" ]; then
  for try in 1 2 3; do
    package=$(apt-cache search --names-only "$pattern" | awk '{print $1}' | sort -V | tail -n 1)
    rm -rf "$dir" "$dir.deb"; mkdir -p "$dir.deb"; chmod 777 "$dir.deb"
    if [ -n "$package" ] && (cd "$dir.deb" && apt-get download -qq "$package" >&2 2>"$cache/apt.log"); then break; fi
    [ "$try" = 3 ] && { echo "fetch_kernel.sh: cannot download a kernel package (${package:-none known}): $(tail -n 2 "$cache/apt.log" 2>/dev/null)" >&2; exit 1; }
    apt-get update -qq >&2 || :
  done
  # from 6.12 on the modules lie in usr/lib
  mkdir -p "$dir"; dpkg-deb --fsys-tarfile "$dir".deb/*.deb | tar -x -C "$dir" --wildcards './boot/*' '*lib/modules/*'
  if [ -d "$dir/usr/lib/modules" ]; then mkdir -p "$dir/lib"; mv "$dir/usr/lib/modules" "$dir/lib/"; fi
  depmod -b "$dir" "$(ls "$dir/lib/modules")"
  rm -rf "$dir.deb"; : > "$dir/.complete"
fi
echo "$dir"
