#!/bin/sh
# Replays the commands of a recorded session ("$ " lines; "! " lines are steps that are not compared) and prints what a
# recording would hold.
. /lib/vm.sh
modprobe iscsi_tcp; syslogd -O /var/log/messages; mkdir -p /run/lock
while IFS= read -r line <&3; do
  case $line in
    '## '*) printf '%s\n\n' "$line";;
    '$ '*) tsh "${line#??}" 3<&-;;
    '! '*) sh -c "${line#??}" >/dev/null 2>&1 3<&-;;
  esac
done 3< /etc/replay
exit 0
