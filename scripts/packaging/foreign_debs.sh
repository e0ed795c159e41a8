#!/bin/bash
# foreign_debs.sh ARCHITECTURE DIR PACKAGE… : unpack Debian 12's packages of another architecture below DIR; nothing of the system is
# changed. A PACKAGE with a * is the newest of that pattern. What lies in DIR already is not fetched again.
set -eu
architecture=$1 dir=$2; shift 2
mark=$dir/.$(echo "$*" | cksum | cut -d' ' -f1)
[ -e "$mark" ] && exit 0
apt=$dir/apt
mkdir -p "$apt"/{lists/partial,cache/archives/partial} "$dir/debs"
trap 'rm -rf "$dir/debs" "$apt"' EXIT
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${DEBIAN_MIRROR:-http://deb.debian.org/debian} bookworm main" > "$apt/sources.list"
: > "$apt/status"
options=(-q -o APT::Architecture="$architecture" -o APT::Architectures="$architecture" -o Dir::Etc::sourcelist="$apt/sources.list"
    -o Dir::Etc::sourceparts=/dev/null -o Dir::State::lists="$apt/lists" -o Dir::State::status="$apt/status" -o Dir::Cache="$apt/cache"
    -o APT::Sandbox::User=root)
apt-get "${options[@]}" update > "$apt/log" 2>&1 || { tail -n 5 "$apt/log" >&2; exit 1; }
names=()
for name in "$@"; do
    case $name in
    *\**) name=$(apt-cache "${options[@]}" search --names-only "^${name//\*/[0-9]+}\$" | awk '{ print $1 }' | sort -V | tail -n 1);;
    esac
    names+=("$name")
done
(cd "$dir/debs" && apt-get "${options[@]}" download "${names[@]}") >> "$apt/log" 2>&1 || { tail -n 5 "$apt/log" >&2; exit 1; }
for deb in "$dir"/debs/*.deb; do dpkg-deb -x "$deb" "$dir"; done
: > "$mark"
