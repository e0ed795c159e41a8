#!/bin/bash
# tarball.sh [-a ARCHITECTURE] [-o DIR] [BUILD_DIR] : iscsi-VERSION-ARCHITECTURE.tar.gz: the binary, its names as links, manual pages,
# completions, units, example configuration and install.sh. Prints the file made.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd); out=$PWD architecture=$(uname -m)
while getopts "a:o:" o; do case $o in a) architecture=$OPTARG;; o) out=$OPTARG;; *) exit 64;; esac; done; shift $((OPTIND-1))
dir=${1:-$top/build}
version=$(sed -n 's/^project(iscsi VERSION \([0-9.]*\).*/\1/p' "$top/CMakeLists.txt")
date=$(sed -n 's/^set(ISCSI_DATE \([0-9-]*\)).*/\1/p' "$top/CMakeLists.txt")
umask 022
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
name=iscsi-$version-$architecture; root=$work/$name
mkdir -p "$out"
DESTDIR=$work/stage cmake --install "$dir" --prefix /usr > /dev/null
mkdir "$root"
mv "$work"/stage/usr/* "$work/stage/etc" "$root/"
strip --strip-all "$root/bin/iscsi" 2>/dev/null || :        # a foreign strip cannot; the build has done it
cp "$top/LICENSE" "$top/README.md" "$root/"
install -m 755 "$top/scripts/packaging/install.sh" "$root/"
tar -C "$work" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@${SOURCE_DATE_EPOCH:-$(date -u -d "$date" +%s)}" -cf - "$name" |
    gzip -9n > "$out/$name.tar.gz"
echo "$out/$name.tar.gz"
