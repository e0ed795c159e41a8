# iscsid that polls its discovery records; re-discovery that keeps or prunes; iscsid started on demand.
target_start
target_disk disk.img 64M
guest_tools ov
cat > hook <<'H'
#!/bin/sh
exec tgtadm "$@"
H
chmod 755 hook
printf '%s\n' "IQN=$IQN PORTAL=$PORTAL" > ov/etc/vm.env
guest polls -o ov -H ./hook -T 120
