#!/bin/sh
# The commands of README.md that want a kernel of their own.
. /lib/vm.sh
modprobe iscsi_tcp; modprobe nbd; syslogd -O /var/log/messages; iscsid; mkdir -p /run/lock
for applet in $(iscsi --list); do [ -e /sbin/$applet ] || ln -s iscsi /sbin/$applet; done; rm -f /sbin/ls /sbin/cp /sbin/attach
grep -v '^$' /etc/readme.sh > /tmp/commands
while IFS= read -r line <&3; do
  if sh -c "$line" > /tmp/last 2>&1 3<&-; then echo "ok   ${line%% #*}"; else echo "FAIL ${line%% #*}: exit $?: $(tail -n 4 /tmp/last | tr '\n' '|')"; fi
done 3< /tmp/commands
[ -b /dev/nbd0 ] && [ "$(cat /sys/block/nbd0/size)" -gt 0 ] && echo "ok   the unit is /dev/nbd0" || echo "FAIL no /dev/nbd0"
iscsiadm -m session | grep -q disk1 && echo "ok   a session is there" || echo "FAIL no session"
exit 0
