#!/bin/bash
# test_recipes.sh [BUILD_DIR] : the recipes of Alpine, Buildroot and OpenWrt without their trees: APKBUILD's functions under busybox ash,
# the fragments of make with stand-ins for what they include, OpenWrt's init script with a real tgtd. Root. Closing line: N passed, N failed.
set -u
here=$(cd "$(dirname "$0")" && pwd); top=$(cd "$here/../.." && pwd); dir=$(cd "${1:-$top/build}" && pwd)
if [ -z "${INSIDE-}" ]; then
    [ "$(id -u)" = 0 ] || { echo "test_recipes.sh: needs root" >&2; exit 1; }
    INSIDE=1 exec unshare -nmpf --mount-proc --kill-child "$0" "$dir"
fi
mount --make-rprivate /; mount -t tmpfs run /run; mkdir /run/lock; ip link set lo up
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
passed=0 failed=0
check() { local name=$1; shift; if "$@" > "$work/out" 2>&1; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAIL $name: status $?"; tail -n 15 "$work/out"; fi; }
has() { if grep -q -e "$2" "$3"; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAIL $1: no '$2' in"; tail -n 20 "$3"; fi; }
version=$(sed -n 's/^project(iscsi VERSION \([0-9.]*\).*/\1/p' "$top/CMakeLists.txt")

# ---- the source they start from
if git -C "$top" rev-parse HEAD > /dev/null 2>&1; then
    check "source.sh" "$here/source.sh" -o "$work"
    check "the source is whole" sh -c "tar -tzf '$work/iscsi-$version.tar.gz' | grep -q '^iscsi-$version/CMakeLists.txt'"
fi

# ---- Alpine: build() configures for real, and takes what is built already
mkdir "$work/alpine" "$work/apk"; ln -s "$top"/{CMakeLists.txt,main.cpp,core,applets,scripts,tests,LICENSE} "$work/alpine/"
cat > "$work/apk.sh" <<'S'
set -eu
built=$1 pkgdir=$2 apkbuild=$3
cmake() {
    case $1 in
    --build) cp "$built/iscsi" build/; cp -r "$built/manual" build/;;
    *) command cmake "$@";;
    esac
}
want_check() { return 1; }
. "$apkbuild"
[ "$pkgver" = "$4" ] || { echo "APKBUILD is of $pkgver"; exit 1; }
build && package
S
check "APKBUILD: build and package" sh -c "cd '$work/alpine' && busybox ash '$work/apk.sh' '$dir' '$work/apk' '$here/alpine/APKBUILD' '$version'"
for file in usr/bin/iscsi usr/sbin/tgtd usr/sbin/iscsiadm etc/init.d/tgtd etc/init.d/iscsid usr/share/zsh/site-functions/_iscsi usr/share/man/man8/tgtd.8; do
    check "APKBUILD: $file" test -e "$work/apk/$file"
done
check "APKBUILD: no units of systemd" test ! -e "$work/apk/usr/lib/systemd"

# ---- Buildroot
cat > "$work/buildroot.mk" <<'M'
cmake-package =
INSTALL = install
ISCSI_PKGDIR = /somewhere
include $(HERE)/buildroot/iscsi.mk
options: ; @echo $(ISCSI_CONF_OPTS)
about: ; @echo $(ISCSI_VERSION) $(ISCSI_SITE) $(ISCSI_SOURCE)
.PHONY: $(TOP)/init
$(TOP)/init: ; $(ISCSI_INSTALL_INIT_SYSV)
M
br() { make -s -f "$work/buildroot.mk" HERE="$here" TOP="$top" "$@"; }
br about > "$work/about"; has "Buildroot: version and source" "^$version file:///somewhere iscsi-$version.tar.gz$" "$work/about"
for parts in ALL TARGET INITIATOR BOOT; do
    small=$(echo $parts | tr A-Z a-z)
    br options BR2_PACKAGE_ISCSI_$parts=y > "$work/options"; has "Buildroot: $small" "-DISCSI_APPLETS=$small" "$work/options"
done
br options BR2_SHARED_LIBS=y > "$work/options"; has "Buildroot: shared libraries" "-DISCSI_STATIC=OFF" "$work/options"
check "Buildroot: cmake knows the options" sh -c "cmake -G Ninja -S '$top' -B '$work/b' $(br options BR2_PACKAGE_ISCSI_TARGET=y) -Werror=dev 2>&1 | { ! grep -i 'not used\|error'; }"
check "Buildroot: its choice has the target's names alone" sh -c "grep -q '\"tgtd\"' '$work/b/chosen/wanted/applets/applets.def' && ! grep -q iscsid '$work/b/chosen/wanted/applets/applets.def'"
mkdir -p "$work/br/usr/sbin"; touch "$work/br/usr/sbin/tgtd"
check "Buildroot: init scripts" make -s -f "$work/buildroot.mk" HERE="$here" TOP="$top" TARGET_DIR="$work/br" "$top/init"
check "Buildroot: tgtd's script" test -x "$work/br/etc/init.d/S60tgt"
check "Buildroot: none for what is not there" test ! -e "$work/br/etc/init.d/S55iscsi"
check "Buildroot: Config.in" awk '
    /^(if|choice|endif|endchoice|config|comment|menu|endmenu)/ { word = $1 }
    /^if /{ depth++ } /^choice$/ { depth++ } /^endif$|^endchoice$/ { if (--depth < 0) exit 1 }
    /^config / { if (seen[$2]++ || $2 !~ /^BR2_PACKAGE_ISCSI/) exit 1; n++ }
    /^[^\t ]/ && $1 !~ /^(if|choice|endif|endchoice|config|comment)$/ { print "what is this: " $0; exit 1 }
    END { exit depth != 0 || n != 5 }' "$here/buildroot/Config.in"

# ---- OpenWrt
mkdir -p "$work/wrt/include" "$work/pkg"; cp -r "$here/openwrt/." "$work/pkg/"
DESTDIR=$work/pkginstall cmake --install "$dir" --prefix /usr > /dev/null
printf 'INCLUDE_DIR:=$(TOPDIR)/include\nINSTALL_DIR:=install -d -m 755\nINSTALL_BIN:=install -m 755\nINSTALL_CONF:=install -m 600\nLN:=ln -sf\n' > "$work/wrt/rules.mk"
cat > "$work/wrt/include/package.mk" <<'M'
PKG_INSTALL_DIR:=$(INSTALLED)
PKG_BUILD_DIR:=$(SOURCES)
all:
about: ; @echo $(PKG_NAME) $(PKG_VERSION) $(PKG_SOURCE_URL)/$(PKG_SOURCE)
options: ; @echo $(CMAKE_OPTIONS)
define BuildPackage
all: install-$(1)
install-$(1):
	$(call Package/$(1)/install,$(DEST)/$(1))
endef
M
: > "$work/wrt/include/cmake.mk"
wrt() { make -s -C "$work/pkg" TOPDIR="$work/wrt" INSTALLED="$work/pkginstall" SOURCES="$top" DEST="$work/ipk" "$@"; }
wrt about > "$work/about"; has "OpenWrt: version and source" "^iscsi $version file://.*/iscsi-$version.tar.gz$" "$work/about"
check "OpenWrt: packages" wrt all
for file in iscsi/usr/bin/iscsi iscsi-target/etc/config/tgt iscsi-target/etc/init.d/tgt iscsi-initiator/etc/init.d/open-iscsi iscsi-initiator/usr/libexec/iscsi/stop-sessions; do
    check "OpenWrt: $file" test -e "$work/ipk/$file"
done
for name in iscsi-target/usr/sbin/{tgtd,tgtadm,tgt-admin,tgtimg,tgt-setup-lun} iscsi-initiator/usr/sbin/{iscsid,iscsiadm,iscsistart,iscsi-iname}; do
    check "OpenWrt: $name" test "$(readlink "$work/ipk/$name")" = ../bin/iscsi
done
check "OpenWrt: cmake knows the options" sh -c "cmake -G Ninja -S '$top' -B '$work/w' $(wrt options) -Werror=dev 2>&1 | { ! grep -i 'not used\|error'; }"

# /etc/config/tgt becomes what tgtd does: its init script with stand-ins for OpenWrt's functions, and a real tgtd
mkdir "$work/bin"; "$dir/iscsi" --install -s "$work/bin" > /dev/null; truncate -s 8M "$work/one" "$work/two"
sed 's/^#//' "$here/openwrt/files/tgt.config" | sed "s,/dev/sda1,$work/one,; s/option portal.*/option portal '127.0.0.1:3260'/" > "$work/tgt"
printf "\nconfig target 2\n\toption name 'iqn.2001-04.com.example:disk2'\n\nconfig lun 2_3\n\toption device '$work/two'\n\toption readonly '1'\n" >> "$work/tgt"
cat > "$work/functions.sh" <<'S'
# UCI as far as the script needs it: sections with options and lists, no quotes within quotes
config_load() {
    sections='' section=
    while read -r word key value; do
        value=${value#[\'\"]}; value=${value%[\'\"]}
        name=$(echo "$section" | tr -c 'A-Za-z0-9\n' _)
        case $word in
        config) section=${value:-$key}; sections="$sections $key:$section";;
        option) eval "o_${name}_$key=\$value";;
        list) eval "l_${name}_$key=\"\${l_${name}_$key:-} \$value\"";;
        esac
    done < "$CONFIG"
}
config_get() { eval "$1=\"\${o_$(echo "$2" | tr -c 'A-Za-z0-9\n' _)_$3:-\${4:-}}\""; }
config_get_bool() { config_get "$@"; eval "case \$$1 in 1|on|true|yes) $1=1;; *) $1=0;; esac"; }
config_foreach() { local f=$1 t=$2 s; shift 2; for s in $sections; do if [ "${s%%:*}" = "$t" ]; then "$f" "${s#*:}" "$@"; fi; done; }
config_list_foreach() { local section=$1 list=$2 f=$3 values v; shift 3; eval "values=\$l_$(echo "$section" | tr -c 'A-Za-z0-9\n' _)_$list"; for v in $values; do "$f" "$v" "$@"; done; }
logger() { echo "logger: $*" >&2; }
procd_open_instance() { :; }
procd_close_instance() { :; }
procd_add_reload_trigger() { :; }
procd_set_param() { if [ "$1" = command ]; then shift 2; tgtd "$@" > "$WORK/tgtd.log" 2>&1 & echo $! > "$WORK/pid"; echo "tgtd $*" > "$WORK/command"; fi; }
S
printf '. "$WORK/functions.sh"\n. "$1"\nstart_service && service_started\n' > "$work/run.sh"
check "OpenWrt: the init script starts" env PATH="$work/bin:$PATH" WORK="$work" CONFIG="$work/tgt" busybox ash "$work/run.sh" "$here/openwrt/files/tgt.init"
check "OpenWrt: it warns of nothing" sh -c "! grep logger: '$work/out'"
has "OpenWrt: options" "tgtd -f -t 2 --iscsi portal=127.0.0.1:3260,nop_interval=5,nop_count=6" "$work/command"
"$work/bin/tgtadm" --lld iscsi --mode target --op show > "$work/show"
for line in "^Target 1: iqn.2001-04.com.example:disk1" "192.0.2.0/24" "iqn.2001-04.com.example:host" "joe" "target (outgoing)" "Backing store path: $work/one" \
    "^Target 2: iqn.2001-04.com.example:disk2" "Backing store path: $work/two" "LUN: 3" "Readonly: Yes" "ALL"; do has "OpenWrt: shown" "$line" "$work/show"; done
"$work/bin/tgtadm" --mode sys --op show > "$work/show"; has "OpenWrt: ready" "State: ready" "$work/show"
kill "$(cat "$work/pid")"
echo "$passed passed, $failed failed"
[ $failed -eq 0 ] && [ $passed -gt 0 ]
