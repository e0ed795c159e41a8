#!/bin/sh
# Once: the network as dracut left it, or as `iscsi boot` brings it up.
[ -e /tmp/iscsi.wanted ] || return 0
rm -f /tmp/iscsi.wanted
if disk=$(iscsi boot --cmdline "$(getcmdline)"); then
    [ -e /dev/root ] || ln -s "$(echo "$disk" | head -n 1)" /dev/root
else
    warn "iscsi boot failed"
fi
