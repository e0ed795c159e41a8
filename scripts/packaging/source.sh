#!/bin/bash
# source.sh [-o DIR] : iscsi-VERSION.tar.gz of what git has committed, as the recipes of OpenWrt, Buildroot and Alpine want it: there is
# no public place of releases, so ISCSI_SITE tells them where this file lies. Prints the file made.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd); out=$PWD
while getopts "o:" o; do case $o in o) out=$OPTARG;; *) exit 64;; esac; done
version=$(sed -n 's/^project(iscsi VERSION \([0-9.]*\).*/\1/p' "$top/CMakeLists.txt")
mkdir -p "$out"
git -C "$top" archive --format=tar --prefix="iscsi-$version/" HEAD | gzip -9n > "$out/iscsi-$version.tar.gz"
echo "$out/iscsi-$version.tar.gz"
