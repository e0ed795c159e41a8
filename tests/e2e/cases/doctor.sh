# iscsi doctor: each finding that can be had without a kernel initiator, by making it go wrong. Other hosts are net name spaces.
need nft ip python3
d=$(bindir "$INITIATOR") || { fail "no programs"; exit 1; }
rm -rf /etc/iscsi/* /etc/tgt/*; export ISCSI_STATE_DIR=/etc/iscsi
echo "InitiatorName=iqn.2001-04.com.example:initiator1" > /etc/iscsi/initiatorname.iscsi
doctor() { timeout 60 "$d/iscsi" doctor --timeout 0.5 "$@" > "$E2E_LOG/said" 2>&1; rc=$?; }
# says NAME STATUS PATTERN [ARGUMENT…] : what the doctor says, with a fix below where it is not ok
says() {
  local name=$1 want=$2 pattern=$3; shift 3; doctor "$@"
  if [ $rc -ne "$want" ]; then fail "$name: ended with $rc, not $want: $(grep -v '^ok' "$E2E_LOG/said" | tail -n 6 | tr '\n' '|')"
  elif ! grep -A 1 -E "$pattern" "$E2E_LOG/said" > "$E2E_LOG/match"; then fail "$name: no '$pattern' in: $(tr '\n' '|' < "$E2E_LOG/said")"
  elif ! grep -q '^ok' "$E2E_LOG/match" && ! sed -n 2p "$E2E_LOG/match" | grep -q '^      fix: .'; then fail "$name: no fix: $(cat "$E2E_LOG/match")"
  else pass "$name"; fi
}
adm() { "$TGTADM" --lld iscsi "$@"; }
U=iscsi://$PORTAL/$IQN

echo "<target $IQN>
  backing-store $PWD/disk.img
</target>" > /etc/tgt/targets.conf
python3 - "$PWD/listening" <<'P' &
import socket, sys, time
def listen(port, greeting):
    s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("", port)); s.listen(8); return s, greeting
import threading
held = []
def serve(s, greeting):
    while True:
        c, _ = s.accept(); held.append(c)
        if greeting: c.sendall(greeting)
for port, greeting in ((3998, b"SSH-2.0-OpenSSH_9.2\r\n" * 8), (3997, b"")): threading.Thread(target=serve, args=listen(port, greeting), daemon=True).start()
taken = listen(3260, b"")
open(sys.argv[1], "w").close()
time.sleep(600)
P
other=$!
try 10 test -e listening
truncate -s 64M disk.img
says "the port taken by another program" 1 '^FAIL  tgtd: does not run, and port 3260 is taken by python3 \(pid'
kill $other; wait $other 2>/dev/null
says "targets.conf, but no tgtd" 1 '^FAIL  tgtd: does not run, but targets.conf has 1 target'
chmod 644 /etc/tgt/targets.conf; echo "  incominguser alice" >> /etc/tgt/targets.conf
says "a mistake of targets.conf has file, line and column" 1 '^FAIL  targets.conf: /etc/tgt/targets.conf:4:'
: > /etc/tgt/targets.conf

target_start
target_disk disk.img 64M
says "all is well" 0 "^ok    login $IQN at $PORTAL:3260: works, without CHAP" "$U"
check "nothing is wrong there" sh -c "! grep '^FAIL' '$E2E_LOG/said'"
says "the target's side is well" 0 "^ok    target $IQN: 1 store, 0 sessions, 1 rule"
doctor --json "$U"
check "--json is JSON, and has the level" sh -c "python3 -c 'import json, sys; r = json.load(sys.stdin); assert {f[\"level\"] for f in r} <= {\"ok\", \"warn\", \"FAIL\"} and len(r) > 5' < '$E2E_LOG/said'"
doctor --nonsense; equal "a wrong option is a wrong command" $rc 2
doctor 'a b'; equal "a word that is nothing is a wrong command" $rc 2
check "no colours in a file" sh -c "! grep -q '$(printf '\033')' '$E2E_LOG/said'"
check "colours on a terminal" sh -c "script -qec '$d/iscsi doctor' /dev/null < /dev/null | grep -q '$(printf '\033')'"

says "nobody listens" 1 "^FAIL  portal $PORTAL:3999: connection refused" $PORTAL:3999
says "no route" 1 '^FAIL  portal 203.0.113.1:3260: no route to that network' 203.0.113.1
says "no such name" 1 '^FAIL  portal no.such.host.invalid:3260:' no.such.host.invalid
python3 -c 'import socket, time
a = socket.socket(); a.bind(("", 3998)); a.listen(8); b = socket.socket(); b.bind(("", 3997)); b.listen(8)
c = []
while True:
    s, _ = a.accept(); s.sendall(b"220 mail.example.org ESMTP ready, and some more so that it is as long as a header\r\n"); c.append(s)' & other=$!
try 10 listening 3997
says "somebody else's port" 1 "^FAIL  portal $PORTAL:3998: answers, but not as an iSCSI target" $PORTAL:3998
says "a port that says nothing" 1 "^FAIL  portal $PORTAL:3997: takes connections, but says nothing" $PORTAL:3997
doctor $PORTAL:3997 $PORTAL:3998 $PORTAL:3999 $PORTAL
equal "several portals at once, each with its word" "$(grep -c '^FAIL  portal' "$E2E_LOG/said") $(grep -c "^ok    portal $PORTAL:3260" "$E2E_LOG/said")" "3 1"
kill $other; wait $other 2>/dev/null

# records
mkdir -p /lib/modules; mount -t tmpfs none /lib/modules; mkdir "/lib/modules/$(uname -r)"; echo "kernel/drivers/scsi/iscsi_tcp.ko: kernel/drivers/scsi/libiscsi.ko" > "/lib/modules/$(uname -r)/modules.dep"
says "a kernel that has iscsi_tcp" 0 '^ok    module iscsi_tcp: not loaded; iscsid loads it'
"$d/iscsiadm" -m node -o new -T $IQN -p $PORTAL:3260,1 > /dev/null && "$d/iscsiadm" -m node -o new -T $IQN-gone -p $PORTAL:3260,1 > /dev/null || fail "records"
says "a record whose target is gone" 1 "^FAIL  record $IQN-gone at $PORTAL:3260: the portal does not list this target"
"$d/iscsiadm" -m node -T $IQN-gone -o delete
says "a record that works" 0 "^ok    login $IQN at $PORTAL:3260: works" $IQN
says "a record that is not there" 1 "^FAIL  record $IQN-none: there is none" $IQN-none
record() { "$d/iscsiadm" -m node -T $IQN -p $PORTAL -o update -n "$1" -v "$2" > /dev/null || fail "update of $1"; }
if command -v setpriv > /dev/null; then
  chmod 755 "$E2E_WORK" "$E2E_WORK/.." 2>/dev/null; cp "$d/iscsi" /run/iscsi
  setpriv --reuid 65534 --clear-groups /run/iscsi doctor > "$E2E_LOG/said" 2>&1; rc=$?
  equal "as another user: what it may not read is no failure" "$rc $(grep -c '^warn .*may not be read by this user' "$E2E_LOG/said")" "0 1"
  equal "as another user: a tgtd that may not be asked is not a dead one" "$(grep -cE 'tgtd: may not be asked|left behind by a tgtd' "$E2E_LOG/said") $(grep -c 'tgtd: may not be asked' "$E2E_LOG/said")" "1 1"
fi
record node.startup automatic
says "automatic nodes, but no iscsid" 1 '^FAIL  iscsid: does not run, and 1 of the records'
record node.startup manual
adm --mode target --op unbind --tid 1 -I ALL
says "no ACL" 1 "^FAIL  target $IQN: no ACL: nobody can log in"
adm --mode target --op bind --tid 1 -I 198.51.100.0/24
says "an ACL that hides the target from us" 1 "^FAIL  record $IQN at $PORTAL:3260: the tgtd here has this target, but its ACL hides it from iqn.2001-04.com.example:initiator1"
adm --mode target --op bind --tid 1 -I ALL

adm --mode account --op new --user alice --password alicesecret12; adm --mode account --op bind --tid 1 --user alice
says "CHAP wanted, none here" 1 "^FAIL  login $IQN at $PORTAL:3260: the target wants CHAP, and there is no user" "$U"
says "a wrong secret" 1 "^FAIL  login .*: the target does not take CHAP user 'alice' with this secret \(of 13 bytes\)" "iscsi://alice%alicesecret13@$PORTAL/$IQN"
says "a secret that is too short" 1 "^FAIL  login .*\(of 5 bytes, RFC 7143 wants 12 or more\)" "iscsi://alice%wrong@$PORTAL/$IQN"
record node.session.auth.authmethod CHAP
says "CHAP without a user in the record" 1 "^FAIL  CHAP of $IQN at $PORTAL:3260: authmethod is CHAP, but there is no username"
record node.session.auth.username alice; record node.session.auth.password alicesecret12
says "CHAP by the record" 0 "^ok    login $IQN at $PORTAL:3260: works, CHAP as alice" $IQN
says "mutual CHAP, the target has no account for it" 1 "^FAIL  login $IQN .*(mutual|proves|prove)" "iscsi://alice%alicesecret12@$PORTAL/$IQN?target_user=disks&target_password=diskssecret12"
adm --mode account --op new --user disks --password diskssecret12; adm --mode account --op bind --tid 1 --user disks --outgoing
says "mutual CHAP, a wrong secret" 1 "^FAIL  login $IQN .*: mutual CHAP: the target takes our secret, but does not prove its own" "iscsi://alice%alicesecret12@$PORTAL/$IQN?target_user=disks&target_password=diskssecret13"
says "mutual CHAP" 0 "^ok    login $IQN .*works, CHAP as alice, mutual" "iscsi://alice%alicesecret12@$PORTAL/$IQN?target_user=disks&target_password=diskssecret12"
check "no secret is ever shown" sh -c "! grep -rq 'secret1[23]' '$E2E_LOG/said' '$E2E_LOG/match'"
chmod 644 "/etc/iscsi/nodes/$IQN/$PORTAL,3260,1/default"
says "a secret that others can read" 1 '^FAIL  file mode: .* holds a secret and is open to others \(644\)'
chmod 600 "/etc/iscsi/nodes/$IQN/$PORTAL,3260,1/default"
echo "future.key = 1" >> "/etc/iscsi/nodes/$IQN/$PORTAL,3260,1/default"
says "a damaged record" 0 '^warn  records: .* unknown key future.key'
sed -i '$d' "/etc/iscsi/nodes/$IQN/$PORTAL,3260,1/default"
record node.session.timeo.replacement_timeout 5
says "a time-out too short" 0 "^warn  time-outs of $IQN at .*replacement_timeout is 5: there is no multipath"
record node.session.timeo.replacement_timeout 120

# one name from two addresses
pids=()
for p in $PORTAL 192.0.2.11; do "$d/iscsi" bench --time 600 "iscsi://alice%alicesecret12@$p/$IQN/1" > /dev/null 2>&1 & pids+=($!); done
two() { [ "$("$TGTADM" --mode target --op show | grep -c 'IP Address')" = 2 ]; }
try 10 two
says "one initiator name from two addresses" 0 "^warn  target $IQN: iqn.2001-04.com.example:initiator1 is logged in from 192.0.2.10, 192.0.2.11"
kill "${pids[@]}"; wait "${pids[@]}" 2>/dev/null
rm disk.img
says "a store that is gone" 1 "^FAIL  store of $IQN: .*/disk.img is not there"
truncate -s 64M disk.img

# the firewall, where the kernel has nf_tables
if nft add table inet filter 2> /dev/null; then
  nft add chain inet filter input '{ type filter hook input priority 0; policy drop; }'; nft add rule inet filter input iifname lo tcp sport 3260 accept; nft add rule inet filter input tcp dport 22 accept
  says "our own firewall" 1 "^(FAIL  firewall: this machine's rules let nobody in|warn  firewall: lets port 3260 in from certain)"
  says "silence" 1 "^FAIL  portal $PORTAL:3260: silence for 500 ms" $PORTAL
  nft flush chain inet filter input; nft add rule inet filter input tcp dport 22 accept
  says "a firewall that lets nobody in" 1 "^FAIL  firewall: this machine's rules let nobody in to port 3260"
  nft add rule inet filter input tcp dport '{ 860, 3260 }' accept
  says "a firewall that is open" 1 '^ok    firewall: lets port 3260 in'
  adm --mode portal --op new --param portal=$PORTAL:3261
  says "a firewall that lets nobody in to the second port" 1 "^FAIL  firewall: this machine's rules let nobody in to port 3261"
  adm --mode portal --op delete --param portal=$PORTAL:3261
  nft delete table inet filter
else echo "skip: no nf_tables in this kernel"; fi

# jumbo frames: two hosts with 9000, a bridge between them with 1500
ip netns add san; ip link add far type veth peer name swa; ip link set far netns san; ip link add near type veth peer name swb
ip link add sw type bridge; ip link set swa master sw; ip link set swb master sw
for l in sw swa swb near; do ip link set $l up; done
ip addr add 198.51.100.1/24 dev near; ip -n san addr add 198.51.100.2/24 dev far; ip -n san link set far up; ip -n san link set lo up
ip link set near mtu 9000; ip -n san link set far mtu 9000
rm -f /run/tgtd/*; target_stop
ip netns exec san "$TGTD" -f > "$E2E_LOG/far.log" 2>&1 & TGTD_PID=$!
try 10 "$TGTADM" --mode target --op show && target_disk disk.img 64M
try 10 "$d/iscsi" ls iscsi://198.51.100.2
"$d/iscsiadm" -m node -o delete > /dev/null 2>&1
says "jumbo frames that do not pass" 1 '^FAIL  MTU to 198.51.100.2:3260: jumbo frames do not pass' 198.51.100.2
for l in swa swb sw; do ip link set $l mtu 9000; done
says "jumbo frames that pass" 0 '^ok    MTU to 198.51.100.2:3260: 9000, packets of that size arrive' 198.51.100.2
ip -n san link set far mtu 1500
says "jumbo frames on one side" 1 '^warn  MTU to 198.51.100.2:3260: .*jumbo frames on one side only' 198.51.100.2
ip link set near mtu 1500
says "frames of the usual size" 0 '^ok    MTU to 198.51.100.2:3260: 1500' 198.51.100.2
says "a host that is not there" 1 '^FAIL  portal 198.51.100.9:3260: (no route to host|silence)' 198.51.100.9

# a tgtd that hangs, one that was killed, a lock and a PID file left behind
kill -STOP $TGTD_PID
says "tgtd hangs" 1 '^FAIL  tgtd: has its control socket, but does not answer'
kill -CONT $TGTD_PID; kill -9 $TGTD_PID; wait $TGTD_PID 2>/dev/null
says "a control socket left behind" 0 '^warn  control socket: .* was left behind by a tgtd that is gone'
echo 4000000 > /run/iscsid.pid
says "a PID file left behind" 0 '^warn  PID file: /run/iscsid.pid names process 4000000, which is gone'
rm /run/iscsid.pid; echo "GenerateName=yes" > /etc/iscsi/initiatorname.iscsi
says "no initiator name yet" 0 '^warn  initiator name: .*no name has been made yet'
rm /etc/iscsi/initiatorname.iscsi
says "no initiator name" 0 '^warn  initiator name: .* is missing'
finish
