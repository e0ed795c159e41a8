# The walk: discovery, login, mkfs, write, logout, login, checksum; the target shows the session meanwhile.
target_start
target_disk disk.img 256M
guest_tools ov
cat > hook <<'H'
#!/bin/sh
exec tgtadm "$@"
H
chmod 755 hook
printf '%s\n' "IQN=$IQN PORTAL=$PORTAL TARGET=$TARGET INITIATOR=$INITIATOR TARGET_LUN=$TARGET_LUN" > ov/etc/vm.env
guest walk -o ov -H ./hook -T 240
