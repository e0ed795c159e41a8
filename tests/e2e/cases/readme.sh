# README.md, block by block: what it says to type is typed. Tags: scripts/readme_blocks.py.
d=$(bindir "$TARGET") || { fail "no programs"; exit 1; }
top=$(cd "$E2E_DIR/../.." && pwd)
check "README.md is well tagged" python3 "$top/scripts/readme_blocks.py" split "$PWD/blocks"
export PATH=$d:$PATH
# as on a machine with one interface
ip addr del 192.0.2.10/32 dev lo; ip addr del 192.0.2.11/32 dev lo
ip link add eth0 type veth peer name cable; ip link set cable up; ip link set eth0 up; ip addr add 192.0.2.10/24 dev eth0; ip addr add 192.0.2.11/24 dev eth0
mkdir -p srv; mount --bind srv /srv; rm -rf /etc/tgt/* /etc/iscsi/*
truncate -s 64M /srv/disk2.img; { head -c 3M /dev/urandom; head -c 5M /dev/zero; } > backup.img
stays='' secret='' guest=''
end_stays() { [ -n "$stays" ] && { kill -INT $stays; wait $stays; }; stays=; }
said() { sed -n 's/.*secret \([^ ]*\) (made.*/\1/p' "$1"; }
# a run's own secret for the README's
run() { [ -n "$secret" ] && sed -i "s/$secret/$real/g" "$1"; timeout 60 bash -e "$1"; }
for b in blocks/*; do
  case $b in *.line) continue;; esac
  name="README.md:$(cat "$b.line")"
  case $b in
    *-heading) end_stays;;
    *-host-stays) bash -ec "exec $(sed 's/ #.*//' "$b")" > stays.out 2>&1 & stays=$!; try 10 grep -q '^Ctrl-C' stays.out && pass "$name" || fail "$name: $(tail -n 3 stays.out)";;
    *-output)
      secret=$(said "$b") real=$(said stays.out)
      sed "s/$secret/$real/g" "$b" | sed -e '/^$/d' > want; sed -e '/^[0-9:]\{8\} /d' -e '/^$/d' stays.out > got
      check "$name: it prints that" diff want got;;
    *-host|*-host-table) check "$name" run "$b";;
    *-file) f=$(cut -d' ' -f2 "$b.line"); mkdir -p "$(dirname "$f")"; cp "$b" "$f";;
    *-guest|*-guest-table) cat "$b" >> guest.sh;;
  esac
done
end_stays
# the guest's part, with the target that the host's part has left
check "tgtd runs with what the README set up" sh -c "tgtadm --mode target --op show | grep -q '^Target 1: $IQN'"
INITIATOR=ours guest_tools ov
cp guest.sh ov/etc/readme.sh; : > ov/etc/vm.env
guest readme -o ov -M nbd -m 400 -T 200
tgt-admin --update ALL -c /dev/null -f && tgtadm --mode system --op delete || fail "tgtd does not end"
gone() { ! tgtadm --mode target --op show; }
try 10 gone
# the board, in a copy of /usr and /etc that is thrown away
for o in usr etc; do mkdir -p "over/$o"; mount -t tmpfs over "over/$o"; mkdir "over/$o/up" "over/$o/work"; done
ln -s "$top/scripts" scripts; mkdir build; cp "$d/iscsi" build/; conf=$(cat /etc/tgt/targets.conf)
umount /etc/tgt /etc/iscsi
for o in usr etc; do mount -t overlay $o -o "lowerdir=/$o,upperdir=$PWD/over/$o/up,workdir=$PWD/over/$o/work" /$o || fail "cannot overlay /$o"; done
mkdir -p /etc/tgt /etc/init.d; echo "$conf" > /etc/tgt/targets.conf
for b in blocks/*-host-board; do PATH=${PATH#"$d:"} check "README.md:$(cat "$b.line")" run "$b"; done
check "and the board serves it" sh -c "/usr/sbin/tgtadm --mode target --op show | grep -q '^Target 1: $IQN'"
check "and stops" /etc/init.d/S60tgt stop
finish
