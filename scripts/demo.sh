#!/bin/bash
# demo.sh : on a fresh Debian 12 as root: install what building needs, build, export a disk image, let a client that nobody here
# wrote (QEMU's, by libiscsi) write to it and read it back, end the export.
set -eu
cd "$(dirname "$0")/.."
scripts/packages.sh demo
[ -x build/iscsi ] && [ -z "$(find main.cpp applets core CMakeLists.txt -newer build/iscsi -print -quit)" ] || scripts/build.sh
work=$(mktemp -d); export_pid=
cleanup() { [ -n "$export_pid" ] && kill "$export_pid" 2>/dev/null; wait "$export_pid" 2>/dev/null || :; rm -rf "$work"; }
trap cleanup EXIT
say() { printf '\n\033[1m$ %s\033[0m\n' "$*"; }
port=$((20000 + $$ % 20000)); while [ -n "$(ss -Hltn "sport = :$port")" ]; do port=$((port + 1)); done

say "iscsi export --create 64M --portal 127.0.0.1:$port disk.img &"
build/iscsi export --create 64M --portal "127.0.0.1:$port" "$work/disk.img" > "$work/log" 2>&1 & export_pid=$!
for _ in $(seq 200); do grep -q '^ *iscsi://' "$work/log" && break; kill -0 $export_pid 2>/dev/null || { cat "$work/log" >&2; exit 1; }; sleep 0.05; done
cat "$work/log"
url=$(sed -n 's/^ *\(iscsi:\/\/.*\)$/\1/p' "$work/log" | head -n 1)
[ -n "$url" ] || { echo "demo.sh: the export printed no iscsi:// URL" >&2; exit 1; }
hidden=$(sed 's/%[^@]*@/%SECRET@/' <<<"$url")

say "qemu-io -f raw -c 'write -P 0xa5 1M 4M' -c 'read -v -P 0xa5 1M 32' -c 'read -P 0xa5 1M 4M' -c flush $hidden"
timeout 60 qemu-io -f raw -c 'write -P 0xa5 1M 4M' -c 'read -v -P 0xa5 1M 32' -c 'read -P 0xa5 1M 4M' -c flush "$url"

say "qemu-img convert -n -f raw -O raw source.img $hidden"
head -c 32M /dev/urandom > "$work/source.img"
timeout 60 qemu-img convert -n -f raw -O raw "$work/source.img" "$url"
truncate -s 64M "$work/source.img"
say "qemu-img compare source.img $hidden"
timeout 60 qemu-img compare -f raw -F raw "$work/source.img" "$url"
cmp "$work/source.img" "$work/disk.img" && echo "The file behind it holds the same bytes."

say "kill -TERM \$!   # as Ctrl-C"
kill -TERM $export_pid; wait $export_pid && echo "exit status 0"; export_pid=
grep -E '^[0-9:]{8} |log' "$work/log" | tail -n 6
