#!/bin/sh
# install.sh [--prefix DIR] [--destdir DIR] [--force] [uninstall] : from the unpacked tar.gz, where this lies: the binary, its names,
# manual pages, completions, units and example configuration below DIR (/usr/local); `uninstall` takes away what it brought. Files of
# /etc that exist are left as they are, and those somebody has changed stay. What belongs to somebody else is overwritten with --force.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
prefix=/usr/local destdir='' force='' action=install
usage() { sed -n '2,4s/^# //p' "$here/install.sh" >&2; exit 64; }
while [ $# -gt 0 ]; do
    case $1 in
    --prefix | --destdir) [ $# -gt 1 ] || usage; if [ "$1" = --prefix ]; then prefix=$2; else destdir=$2; fi; shift;;
    --prefix=*) prefix=${1#*=};;
    --destdir=*) destdir=${1#*=};;
    --force) force=1;;
    install | uninstall) action=$1;;
    *) usage;;
    esac
    shift
done
case $prefix in /*) ;; *) echo "install.sh: --prefix is an absolute path, not '$prefix'" >&2; exit 64;; esac
prefix=${prefix%/}
destdir=${destdir%/}
list=$destdir$prefix/share/iscsi/installed      # a line a thing: file PATH, conf PATH CHECKSUM, folder PATH
sum() { cksum < "$1" | tr ' ' '-'; }

uninstall() {
    [ -e "$list" ] || { echo "install.sh: nothing is installed below $prefix: no $list" >&2; exit 1; }
    while read -r kind path checksum; do
        case $kind in
        file) rm -f "$destdir$path";;
        conf) if [ -e "$destdir$path" ] && [ "$(sum "$destdir$path")" = "$checksum" ]; then rm -f "$destdir$path"
              elif [ -e "$destdir$path" ]; then echo "install.sh: $path was changed and stays"; fi;;
        esac
    done < "$list"
    folders=$(sed -n 's/^folder //p' "$list" | LC_ALL=C sort -r)
    rm -f "$list"
    for path in $folders; do rmdir "$destdir$path" 2>/dev/null || :; done
}

folder() { # PATH : with those above it; what was not there is ours
    [ -d "$destdir$1" ] && return 0
    case ${1%/*} in '') ;; *) folder "${1%/*}";; esac
    mkdir "$destdir$1"
    echo "folder $1" >> "$list.new"
}
ours() { [ -e "$list" ] && grep -q "^[a-z]* $1\( \|\$\)" "$list"; }

install_all() {
    cd "$here"
    for path in $(find bin sbin lib libexec share ! -type d 2>/dev/null | LC_ALL=C sort); do
        at=$prefix/$path
        if [ -z "$force" ] && { [ -e "$destdir$at" ] || [ -L "$destdir$at" ]; } && ! ours "$at"; then
            echo "install.sh: $at is there and not from here; --force overwrites it, --prefix goes elsewhere" >&2
            exit 1
        fi
    done
    if [ -n "$destdir" ]; then mkdir -p "$destdir"; fi
    old=''
    [ -e "$list" ] && old=$(cat "$list")
    # the list lies in a folder that is to be in the list
    missing='' path=$prefix/share/iscsi
    while [ -n "$path" ] && [ ! -d "$destdir$path" ]; do missing="$path $missing"; path=${path%/*}; done
    mkdir -p "$destdir$prefix/share/iscsi"
    printf '%s\n' "$old" | grep '^folder ' > "$list.new" || :
    for path in $missing; do echo "folder $path" >> "$list.new"; done
    find bin sbin lib libexec share ! -type d 2>/dev/null | LC_ALL=C sort | while read -r path; do
        at=$prefix/$path
        folder "${at%/*}"
        rm -f "$destdir$at"
        case $path in
        lib/systemd/*) sed "s,/usr/,$prefix/,g" "$path" > "$destdir$at"; chmod 644 "$destdir$at";;
        *) cp -P -p "$path" "$destdir$at";;
        esac
        echo "file $at" >> "$list.new"
    done
    find etc -type d 2>/dev/null | LC_ALL=C sort | while read -r path; do folder "/$path"; done
    find etc -type f 2>/dev/null | LC_ALL=C sort | while read -r path; do
        if known=$(printf '%s\n' "$old" | grep "^conf /$path "); then echo "$known" >> "$list.new"; fi
        [ -e "$destdir/$path" ] && continue
        cp -p "$path" "$destdir/$path"
        [ -n "$known" ] || echo "conf /$path $(sum "$path")" >> "$list.new"
    done
    mv "$list.new" "$list"
    echo "installed below $prefix; away again: $0 --prefix $prefix${destdir:+ --destdir $destdir} uninstall"
}

case $action in install) install_all;; uninstall) uninstall;; esac
