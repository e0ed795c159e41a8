#!/bin/bash
# test_deb.sh [-c CHROOT] DEB_DIR : installs, upgrades, removes and purges both packages in a copy of a Debian 12 chroot (debootstrap
# makes it if it is not there; root), and looks for what is left; in between a target is served by `service tgt restart`, and the
# packages tgt and open-iscsi are replaced. Closing line: N passed, N failed.
set -u
chroot=
while getopts "c:" o; do case $o in c) chroot=$OPTARG;; *) exit 64;; esac; done; shift $((OPTIND-1))
debs=$(cd "${1:?DEB_DIR}" && pwd)
[ "$(id -u)" = 0 ] || { echo "test_deb.sh: needs root" >&2; exit 1; }
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
[ -n "$chroot" ] || chroot=$work/fresh
[ -e "$chroot/etc/debian_version" ] || debootstrap --variant=minbase bookworm "$chroot" "${DEBIAN_MIRROR:-http://deb.debian.org/debian}" > "$work/log" 2>&1 ||
    { tail -n 20 "$work/log"; echo "test_deb.sh: debootstrap failed" >&2; exit 1; }
cp -a "$chroot" "$work/root"; chroot=$work/root
printf '#!/bin/sh\nexit 0\n' > "$chroot/usr/sbin/policy-rc.d"; chmod 755 "$chroot/usr/sbin/policy-rc.d"
mkdir -p "$chroot/debs"; rm -f "$chroot/debs/"*; cp "$debs"/*.deb "$chroot/debs/"
# the same content as a later version, for the upgrade
for deb in "$chroot"/debs/*.deb; do
    dpkg-deb -R "$deb" "$work/later"; sed -i 's/^Version: .*/&+1/' "$work/later/DEBIAN/control"
    dpkg-deb --root-owner-group -Zgzip -b "$work/later" "${deb%.deb}+1.later" > /dev/null; rm -rf "$work/later"
done
passed=0 failed=0
in_root() { unshare -mpf --mount-proc --kill-child chroot "$chroot" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive "$@" < /dev/null; }
check() { local name=$1; shift; if "$@" > "$work/out" 2>&1; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAIL $name"; tail -n 15 "$work/out"; fi; }
state() { (cd "$chroot" && find . -xdev \( -path ./proc -o -path ./sys -o -path ./tmp -o -path ./debs -o -path ./var/cache -o -path ./var/log \
    -o -path ./var/lib/dpkg -o -path ./var/lib/apt \) -prune -o -print | LC_ALL=C sort); }
nothing_left() { state > "$work/after"; diff "$work/before" "$work/after"; }

if command -v lintian > /dev/null; then
    for deb in "$debs"/*.deb; do check "lintian ${deb##*/}" lintian --allow-root --fail-on error "$deb"; done
else
    echo "skip: lintian is not installed"
fi
state > "$work/before"
check "static: install" in_root sh -c 'dpkg -i /debs/iscsi-static_*.deb'
check "static: names" in_root sh -c 'iscsi --version && tgtadm --version && test "$(readlink -f /usr/sbin/iscsiadm)" = /usr/bin/iscsi'
check "static: upgrade" in_root sh -c 'dpkg -i /debs/iscsi-static_*.later'
check "static: names after the upgrade" in_root sh -c 'tgtadm --version && iscsid --version'
check "static: remove" in_root dpkg -r iscsi-static
check "static: purge" in_root dpkg -P iscsi-static
check "static: nothing left" nothing_left

# shellcheck disable=SC2016
serve='ip() { :; }; mkdir -p /srv; truncate -s 16M /srv/d.img
printf "<target iqn.2001-04.com.example:d>\n backing-store /srv/d.img\n incominguser joe secretsecret12\n</target>\n" > /etc/tgt/conf.d/d.conf
service tgt restart && service tgt restart && tgtadm --mode target --op show | grep -q "Target 1: iqn.2001-04.com.example:d" &&
tgtadm --mode target --op show | grep -q /srv/d.img && iscsi ls iscsi://127.0.0.1 | grep -q "example:d" && service tgt status &&
service tgt reload && service tgt stop && ! service tgt status
rc=$?; rm -rf /srv/d.img /etc/tgt/conf.d/d.conf; exit $rc'
check "drop-in: install" in_root sh -c 'dpkg -i /debs/iscsi-drop-in_*.deb'
check "drop-in: initiator name" in_root sh -c 'grep -q ^InitiatorName=iqn /etc/iscsi/initiatorname.iscsi && test "$(stat -c %a /etc/iscsi/initiatorname.iscsi)" = 600'
check "drop-in: service tgt restart serves targets.conf" unshare -n bash -c "ip link set lo up; $(declare -f in_root); chroot='$chroot'; in_root sh -c '${serve//\'/\'\\\'\'}'"
check "drop-in: upgrade" in_root sh -c 'echo "# mine" >> /etc/tgt/targets.conf; dpkg -i /debs/iscsi-drop-in_*.later && grep -q "# mine" /etc/tgt/targets.conf'
check "drop-in: remove" in_root dpkg -r iscsi-drop-in
check "drop-in: configuration stays" in_root grep -q '# mine' /etc/tgt/targets.conf
check "drop-in: purge" in_root dpkg -P iscsi-drop-in
check "drop-in: nothing left" nothing_left

printf '#!/bin/sh\nexit 101\n' > "$chroot/usr/sbin/policy-rc.d"      # Debian's daemons need not run
if in_root sh -c 'apt-get update -q && apt-get install -q -y --no-install-recommends tgt open-iscsi' > "$work/out" 2>&1; then
    check "replace: beside tgt, its files stay" in_root sh -c 'dpkg -i /debs/iscsi-static_*.deb && ! test -L /usr/sbin/tgtd && iscsi tgtadm --version && dpkg -P iscsi-static'
    check "replace: tgt and open-iscsi" in_root sh -c 'echo "# kept" >> /etc/tgt/targets.conf; apt-get install -q -y /debs/iscsi-drop-in_*.deb &&
        grep -q "# kept" /etc/tgt/targets.conf && test "$(readlink -f /usr/sbin/tgtd)" = /usr/bin/iscsi && ! dpkg -s tgt 2>/dev/null | grep -q "ok installed" && grep -q stop-sessions /etc/init.d/open-iscsi'
    check "replace: back again" in_root sh -c 'apt-get install -q -y -o Dpkg::Options::=--force-confold tgt open-iscsi && ! test -L /usr/sbin/tgtd && grep -q "# kept" /etc/tgt/targets.conf'
    check "replace: purge leaves tgt alone" in_root sh -c 'dpkg -P iscsi-drop-in; test -e /etc/tgt/targets.conf && test -e /etc/init.d/tgt && apt-get purge -q -y tgt open-iscsi && apt-get autoremove -q -y --purge'
else
    echo "skip: the chroot has no way to packages of Debian"; tail -n 3 "$work/out"
fi
echo "$passed passed, $failed failed"
[ $failed -eq 0 ] && [ $passed -gt 0 ]
