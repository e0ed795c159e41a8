#!/bin/bash
# selftest.sh: does the harness do what README.md says? 
set -u
cd "$(dirname "$0")" || exit 1
W=$(mktemp -d "${TMPDIR:-/tmp}/vmself.XXXXXX"); trap 'rm -rf "$W"' EXIT; bad=0
ck() { if [ "$2" = "$3" ]; then echo "ok   $1"; else echo "FAIL $1: got '$2', want '$3'"; bad=1; fi; }
mkdir -p "$W/ov/opt" "$W/sh"; echo hello > "$W/ov/opt/f"
cat > "$W/a.sh" <<'S'
#!/bin/sh
. /lib/vm.sh
cat /opt/f; [ -b /dev/vdb ] && echo "vdb $(cat /sys/block/vdb/size)"; echo out > /share/o
nc -w 2 10.0.2.2 $(cat /opt/port) </dev/null
modprobe iscsi_tcp && echo "iscsi_tcp $(cat /sys/class/iscsi_transport/tcp/caps)"
modprobe nbd && ls /dev/nbd0
dd if=/dev/zero of=/dev/vdb bs=1M count=1 2>/dev/null; mkdir -p /mnt/e
host echo from-host
exit 42
S
printf '#!/bin/sh\nexec "$@"\n' > "$W/hook"; chmod +x "$W/hook"
port=$((30000 + $$ % 10000)); echo $port > "$W/ov/opt/port"
python3 -c "
import socket,sys
s=socket.socket(); s.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1); s.bind(('127.0.0.1',$port)); s.listen(1); c,_=s.accept(); c.sendall(b'greeting\n'); c.close()" & P=$!
out=$(./vm.sh -o "$W/ov" -D 8M -s "$W/sh" -H "$W/hook" "$W/a.sh"); rc=$?
kill $P 2>/dev/null; wait $P 2>/dev/null
ck status "$rc" 42
ck output "$(echo $out)" "hello vdb 16384 greeting iscsi_tcp 0x39 /dev/nbd0 from-host"
ck share "$(cat "$W/sh/o" 2>/dev/null)" out
printf '#!/bin/sh\nsleep 60\n' > "$W/b.sh"; ./vm.sh -T 12 "$W/b.sh" >/dev/null 2>&1; ck timeout $? 124
printf '#!/bin/sh\necho c > /proc/sysrq-trigger; sleep 9\n' > "$W/c.sh"; ./vm.sh -T 60 "$W/c.sh" >/dev/null 2>&1; ck panic $? 125
printf '#!/bin/sh\nhostname; while :; do echo hi-from-target | nc -l -p 3260; done\n' > "$W/t.sh"
printf '#!/bin/sh\n. /lib/vm.sh\nfor i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do r=$(nc -w 2 10.1.0.1 3260 </dev/null 2>/dev/null); [ -n "$r" ] && break; sleep 1; done\necho "$r"; exit 5\n' > "$W/i.sh"
out=$(./two.sh "$W/t.sh" "$W/i.sh"); rc=$?
ck two-status "$rc" 5
ck two-output "$(echo $out)" "hi-from-target --- target guest target"
exit $bad
