#!/bin/bash
# dracut module: one static file instead of iscsid, iscsiadm, their libraries and scripts. Install the folder as
# shellcheck disable=SC2154
# /usr/lib/dracut/modules.d/95iscsi-static and build with: dracut --add iscsi-static --omit iscsi

check() {
    require_binaries iscsi || return 1
    # wanted by name only, unless this host's root lies on iSCSI
    [[ $hostonly ]] || return 255
    local device
    for device in "${!host_fs_types[@]}"; do
        [[ $(readlink -f "/sys/dev/block/$(stat -L -c '%Hr:%Lr' "$device" 2>/dev/null)") == */session[0-9]* ]] && return 0
    done
    return 255
}

depends() {
    echo network
}

installkernel() {
    hostonly="" instmods iscsi_tcp iscsi_ibft crc32c crc32c_intel sd_mod af_packet
}

# What this host's root needs, for an image that is built without a kernel command line at hand.
cmdline() {
    local session connection
    for session in /sys/class/iscsi_session/session*; do
        [[ -d $session ]] || continue
        for connection in "$session"/device/connection*/iscsi_connection/connection*; do
            printf ' netroot=iscsi:%s::%s::%s rd.iscsi.initiator=%s' "$(< "$connection/persistent_address")" \
                "$(< "$connection/persistent_port")" "$(< "$session/targetname")" "$(< "$session/initiatorname")"
        done
    done
}

install() {
    inst_simple "$(readlink -f "$(command -v iscsi)")" /usr/bin/iscsi
    local file
    for file in /etc/iscsi/initiatorname.iscsi /etc/iscsi/iscsid.conf; do
        [[ $hostonly && -r $file ]] && inst_simple "$file"
    done
    inst_hook cmdline 90 "$moddir/parse-iscsi.sh"
    inst_hook initqueue/settled 90 "$moddir/login.sh"
    if [[ $hostonly_cmdline == yes ]]; then
        local line
        line=$(cmdline)
        [[ $line ]] && printf '%s\n' "$line" > "$initdir/etc/cmdline.d/95iscsi-static.conf"
    fi
}
