#!/bin/bash
# What the guest of test_guest.sh does, one stage a boot. Lines `ok NAME` and `FAIL NAME: why` are its checks.
stage=$(sed -n 's/.*stage=\([0-9]\).*/\1/p' /proc/cmdline)
export DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8
check() { local name=$1; shift; if "$@" > /tmp/out 2>&1; then echo "ok   $name"; else echo "FAIL $name: status $?: $(tail -n 6 /tmp/out | tr '\n' '|')"; fi; }
has() { local name=$1; if grep -q -- "$2" "$3"; then echo "ok   $name"; else echo "FAIL $name: no '$2' in: $(tail -n 12 "$3" | tr '\n' '|')"; fi; }
state() { find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /var/tmp -o -path /root -o -path /var/cache \
    -o -path /var/log -o -path /var/lib/dpkg -o -path /var/lib/systemd/timers -o -path /var/lib/systemd/random-seed -o -path /var/lib/private \) -prune -o -print | LC_ALL=C sort; }
until_disk() { # LINK-OR-GLOB : waits for the disk
    local n; for ((n = 0; n < 100; n++)); do compgen -G "$1" > /dev/null && return 0; sleep 0.1; done; return 1
}
iqn=iqn.2001-04.com.example:rocket
ended() { echo "stage $stage ended"; sync; systemctl --no-block "$1"; }

stage1() {
    state > /root/before
    check "package in" dpkg -i /debs/iscsi-drop-in_*.deb
    check "tgt.service is active" systemctl is-active tgt.service
    check "iscsid.socket is active" systemctl is-active iscsid.socket
    check "units without mistakes" sh -c 'out=$(systemd-analyze verify --man=no tgt.service iscsid.service iscsid.socket open-iscsi.service iscsi-export@vdb.service 2>&1); echo "$out"; test -z "$out"'
    for unit in tgt.service iscsid.service iscsi-export@vdb.service; do
        systemd-analyze security --no-pager $unit 2>/dev/null | tail -n 1
        check "$unit is hardened" systemd-analyze security --no-pager --threshold=60 $unit
    done

    printf 'default-driver iscsi\n<target %s>\n    direct-store /dev/sda\n    initiator-address 127.0.0.1\n</target>\n' $iqn > /etc/tgt/conf.d/rocket.conf
    check "service tgt restart" service tgt restart
    tgtadm --lld iscsi --mode target --op show > /tmp/show; cat /tmp/show
    has "direct-store: the device behind it" "Backing store path: /dev/sda" /tmp/show
    has "direct-store: its serial" "SCSI SN: S0123456789" /tmp/show
    check "discovery" iscsiadm -m discovery -t st -p 127.0.0.1
    check "login" iscsiadm -m node -T $iqn -p 127.0.0.1 --login
    check "iscsid came by its socket" systemctl is-active iscsid.service
    check "the disk is there" until_disk '/dev/disk/by-path/*iscsi*rocket-lun-1'
    disk=$(readlink -f /dev/disk/by-path/*iscsi*rocket-lun-1)
    cat "/sys/block/${disk##*/}/device/"{vendor,model,rev} > /tmp/inq; cat /tmp/inq
    has "direct-store: vendor of the device" "^ACME" /tmp/inq
    has "direct-store: product of the device" "^ROCKET" /tmp/inq
    check "mkfs" mkfs.ext4 -q -F "$disk"
    check "mount" mount "$disk" /mnt
    dd if=/dev/urandom of=/mnt/file bs=64k count=100 2> /dev/null; (cd /mnt && sha256sum file > /root/sum)
    tgtadm --lld iscsi --mode target --op show > /tmp/show; has "the target lists the initiator" "Initiator: iqn" /tmp/show
    check "umount" umount /mnt
    check "logout" iscsiadm -m node -T $iqn -p 127.0.0.1 --logout
    check "service tgt restart again" service tgt restart
    check "login again" iscsiadm -m node -T $iqn -p 127.0.0.1 --login
    check "the disk is there again" until_disk '/dev/disk/by-path/*iscsi*rocket-lun-1'
    disk=$(readlink -f /dev/disk/by-path/*iscsi*rocket-lun-1)
    check "mount again" mount "$disk" /mnt
    check "checksums are equal" sh -c 'cd /mnt && sha256sum -c /root/sum'
    umount /mnt; check "logout again" iscsiadm -m node -T $iqn -p 127.0.0.1 --logout
    check "service tgt reload" service tgt reload
    check "the record goes" iscsiadm -m node -T $iqn -p 127.0.0.1 -o delete

    mkdir -p /etc/iscsi/export; echo 'ISCSI_EXPORT="--portal 127.0.0.1:3261 --open"' > /etc/iscsi/export/vdb
    check "iscsi-export@vdb starts" systemctl start iscsi-export@vdb.service
    iscsi ls iscsi://127.0.0.1:3261 > /tmp/ls 2>&1; cat /tmp/ls; has "iscsi-export@vdb exports" vdb /tmp/ls
    check "iscsi-export@vdb stops" systemctl stop iscsi-export@vdb.service

    # for the next boot: a file system of a target elsewhere
    # (QEMU stands for its address, which it therefore does not know)
    check "a record of the target outside" iscsiadm -m node -T iqn.2001-04.com.example:net -p 10.0.2.2 -o new
    iscsiadm -m node -T iqn.2001-04.com.example:net -o update -n node.startup -v automatic
    check "login outside" iscsiadm -m node -T iqn.2001-04.com.example:net --login
    check "the disk outside is there" until_disk '/dev/disk/by-path/*iscsi*example:net-lun-1'
    check "mkfs outside" mkfs.ext4 -q -F -L net "$(readlink -f /dev/disk/by-path/*iscsi*example:net-lun-1)"
    check "logout outside" iscsiadm -m node -T iqn.2001-04.com.example:net --logout
    echo 'LABEL=net /srv/net ext4 _netdev 0 0' >> /etc/fstab
    ended reboot
}

stage2() {
    check "the _netdev file system is mounted at boot" mountpoint /srv/net
    for unit in tgt.service iscsid.service iscsid.socket open-iscsi.service iscsi.service remote-fs.target; do check "$unit is active" systemctl is-active $unit; done
    check "nothing failed at boot" sh -c 'out=$(systemctl --failed --no-legend); echo "$out"; test -z "$out"'
    check "no ordering cycle" sh -c '! journalctl -b --no-pager | grep -i "ordering cycle"'
    check "service tgt status" service tgt status
    check "the targets are there again" sh -c "tgtadm --mode target --op show | grep -q $iqn"
    dd if=/dev/urandom of=/srv/net/file bs=64k count=50 2> /dev/null; (cd /srv/net && sha256sum file > /root/sum2)
    ended reboot
}

stage3() {
    journalctl -b -1 --no-pager -o short-monotonic > /tmp/j
    line() { grep -n -- "$1" /tmp/j | tail -n 1 | cut -d: -f1; }
    unmounted=$(line 'Unmounted srv-net.mount\|Unmounted /srv/net\|srv-net.mount: Deactivated') logout=$(line 'Stopped open-iscsi.service') iscsid=$(line 'Stopped iscsid.service')
    network=$(line 'Stopped target network.target\|Stopped systemd-networkd.service')
    grep -- 'srv-net\|/srv/net\|open-iscsi\|iscsid\|stop-sessions\|Logging out\|Logout\|network' /tmp/j | tail -n 30
    check "at shutdown: unmounted, then logged out" test "${unmounted:-0}" -gt 0 -a "${unmounted:-0}" -lt "${logout:-0}"
    check "at shutdown: logged out, then iscsid ended" test "${logout:-0}" -lt "${iscsid:-0}"
    check "at shutdown: logged out, then the network went" test "${logout:-0}" -lt "${network:-0}"
    has "at shutdown: the session was logged out" 'Logout of .*example:net.*successful' /tmp/j
    check "the file system came through" sh -c 'cd /srv/net && sha256sum -c /root/sum2'
    check "umount" umount /srv/net
    check "logout" iscsiadm -m node --logoutall=all
    sed -i '/srv.net/d' /etc/fstab; systemctl daemon-reload
    rm -rf /etc/iscsi/export /etc/tgt/conf.d/rocket.conf
    check "package out" dpkg -r iscsi-drop-in
    check "tgtd is gone" sh -c '! pidof tgtd'
    check "iscsid is gone" sh -c '! pidof iscsid'
    check "purge" dpkg -P iscsi-drop-in
    state > /root/after
    check "nothing left" diff /root/before /root/after
    check "no unit left" sh -c '! systemctl list-unit-files --no-legend | grep -i "iscsi\|tgt"'
    ended poweroff
}
"stage$stage"
