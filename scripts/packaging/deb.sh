#!/bin/bash
# deb.sh [-a ARCHITECTURE] [-o DIR] [BUILD_DIR] : two packages of the binary in BUILD_DIR. iscsi-static has links by
# update-alternatives and no services, beside tgt and open-iscsi; iscsi-drop-in takes the place of both. Prints the files made.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd); out=$PWD architecture=$(dpkg --print-architecture)
while getopts "a:o:" o; do case $o in a) architecture=$OPTARG;; o) out=$OPTARG;; *) exit 64;; esac; done; shift $((OPTIND-1))
dir=${1:-$top/build}; packaging=$top/scripts/packaging
version=$(sed -n 's/^project(iscsi VERSION \([0-9.]*\).*/\1/p' "$top/CMakeLists.txt")-1
date=$(sed -n 's/^set(ISCSI_DATE \([0-9-]*\)).*/\1/p' "$top/CMakeLists.txt")
maintainer=${DEB_MAINTAINER:-iscsi maintainers <iscsi@example.org>}
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(date -u -d "$date" +%s)}
umask 022
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
mkdir -p "$out"

common() { # ROOT PACKAGE : what both have
    local root=$1 doc=$1/usr/share/doc/$2
    DESTDIR=$root cmake --install "$dir" --prefix /usr > /dev/null
    strip --strip-all -R .comment -R .note "$root/usr/bin/iscsi" 2>/dev/null || :     # a foreign strip cannot; the build has done it
    find "$root/usr/share/man" -type f -exec gzip -9n {} +
    mkdir -p "$doc"
    printf 'iscsi (%s) unstable; urgency=medium\n\n  * Version %s.\n\n -- %s  %s\n' "$version" "${version%-*}" "$maintainer" \
        "$(date -u -R -d "$date")" | gzip -9n > "$doc/changelog.Debian.gz"
    sed 's/^$/./; s/^/ /' "$top/LICENSE" > "$work/license"
    sed -e "s/@YEAR@/${date%%-*}/" -e "/@LICENSE@/{r $work/license" -e 'd}' "$packaging/debian/copyright" > "$doc/copyright"
    mkdir -p "$root/usr/share/lintian/overrides"
    # one static file is the point of it
    printf '%s: statically-linked-binary [usr/bin/iscsi]\n%s: embedded-library *\n' "$2" "$2" > "$root/usr/share/lintian/overrides/$2"
}
scripts() { # ROOT FLAVOUR NAMES
    local script
    for script in "$packaging/debian/$2".*; do
        sed "s/@NAMES@/$3/" "$script" > "$1/DEBIAN/${script##*.}"
        chmod 755 "$1/DEBIAN/${script##*.}"
    done
}
pack() { # ROOT PACKAGE, stdin: further fields, as CPack's variables; the description is the last of them
    local root=$1 script extra=''
    for script in "$root"/DEBIAN/*; do extra+="$script;"; done
    find "$root" -newermt "@$SOURCE_DATE_EPOCH" -print0 | xargs -0r touch -h -d "@$SOURCE_DATE_EPOCH"
    mv "$root/DEBIAN" "$work/$2.control"
    {
        cat <<END
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME $2)
set(CPACK_PACKAGE_VERSION ${version%-*})
set(CPACK_PACKAGE_FILE_NAME $2)
set(CPACK_PACKAGE_DIRECTORY "$work/cpack")
set(CPACK_INSTALLED_DIRECTORIES "$root;.")
set(CPACK_PACKAGING_INSTALL_PREFIX /)
set(CPACK_SET_DESTDIR OFF)
set(CPACK_DEBIAN_PACKAGE_SOURCE iscsi)
set(CPACK_DEBIAN_PACKAGE_RELEASE ${version##*-})
set(CPACK_DEBIAN_PACKAGE_ARCHITECTURE $architecture)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_MAINTAINER "$maintainer")
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA "${extra//"$root/DEBIAN"/"$work/$2.control"}")
END
        cat
    } > "$work/$2.cmake"
    cpack --config "$work/$2.cmake" > "$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
    # CPack takes a link for as long as what it leads to
    local made=$work/cpack/$2_${version}_$architecture.deb
    dpkg-deb -R "$made" "$work/made"
    sed -i "s/^Installed-Size: .*/Installed-Size: $(du -k -s --exclude=DEBIAN "$work/made" | cut -f 1)/" "$work/made/DEBIAN/control"
    dpkg-deb --root-owner-group -Zxz -b "$work/made" "$out/${made##*/}" > /dev/null
    rm -rf "$work/made"
    echo "$out/${made##*/}"
}

root=$work/static; mkdir -p "$root/DEBIAN"; common "$root" iscsi-static
names=$(cd "$root/usr/sbin" && echo *)
rm -r "${root:?}/usr/sbin" "$root/usr/bin/iscsiadm" "${root:?}/etc" "$root/usr/libexec"
find "$root/usr/lib/systemd" -type f ! -name 'iscsi-export@.service' -delete
# pages and completions of the names that are not ours alone
for name in $names; do rm -f "$root"/usr/share/man/man8/"$name".8.gz "$root/usr/share/bash-completion/completions/$name" "$root/usr/share/fish/vendor_completions.d/$name.fish"; done
rm -r "$root/usr/share/man/man5"
scripts "$root" static "$names"
for name in $names; do echo "interest-noawait /usr/sbin/$name"; done > "$root/DEBIAN/triggers"
pack "$root" iscsi-static <<'END'
set(CPACK_DEBIAN_PACKAGE_CONFLICTS iscsi-drop-in)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "iSCSI target, initiator and tools in one static binary")
set(CPACK_PACKAGE_DESCRIPTION "The commands of tgt and of open-iscsi, and iscsi export, ls, inq, cp and
bench, in one file that needs no library.

This package lives beside tgt and open-iscsi: their names lead to it where
they are not installed (update-alternatives); \"iscsi NAME\" always does.")
END

root=$work/drop-in; mkdir -p "$root/DEBIAN"; common "$root" iscsi-drop-in
# What lies in /etc is brought by postinst: files of tgt and open-iscsi stay what they are, and dpkg asks nothing.
mkdir -p "$root/usr/share/iscsi"
mv "$root/etc/tgt" "$root/etc/iscsi" "$root/usr/share/iscsi/"
rm -r "${root:?}/etc" "$root/usr/share/iscsi/tgt/conf.d"
install -D -m 755 -t "$root/usr/share/iscsi/init.d" "$packaging"/sysv/*
install -D -m 755 "$packaging/initramfs-tools/hook" "$root/usr/share/initramfs-tools/hooks/iscsi"
install -D -m 755 "$packaging/initramfs-tools/local-top" "$root/usr/share/initramfs-tools/scripts/local-top/iscsi"
scripts "$root" drop-in "$names"
pack "$root" iscsi-drop-in <<'END'
set(CPACK_DEBIAN_PACKAGE_PREDEPENDS "init-system-helpers (>= 1.54~)")
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS kmod)
set(CPACK_DEBIAN_PACKAGE_PROVIDES "open-iscsi (= 2.1.8-1), tgt (= 1:1.0.85-1)")
set(CPACK_DEBIAN_PACKAGE_CONFLICTS "iscsi-static, open-iscsi, tgt")
set(CPACK_DEBIAN_PACKAGE_REPLACES "iscsi-static, open-iscsi, tgt")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "iSCSI target and initiator in place of tgt and open-iscsi")
set(CPACK_PACKAGE_DESCRIPTION "The commands, services and configuration files of tgt and of open-iscsi, and
iscsi export, ls, inq, cp and bench, in one static binary that needs no
library.

This package takes the place of tgt and open-iscsi; their configuration is
read as it is.")
END
