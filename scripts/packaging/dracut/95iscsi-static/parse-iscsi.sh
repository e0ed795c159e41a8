#!/bin/sh
# Tells dracut that the network is needed, and that the root comes by a device.
# shellcheck disable=SC2154
case " $(getcmdline)" in
*"=iscsi:"* | *" rd.iscsi."* | *" iscsi_"*)
    : > /tmp/iscsi.wanted
    rootok=1
    export rootok
    case $root in iscsi:* | dhcp | '')
        root=/dev/root
        export root
        printf '[ -e /dev/root ]\n' > "$hookdir/initqueue/finished/iscsi.sh"
        ;;
    esac
    ;;
esac
