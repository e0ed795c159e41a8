# The one-shots with a session of their own, in user space: iscsi ls, inq, bench, cp.
target_start
target_disk disk.img 64M
if [ "$TARGET" = lio ]; then
  guest_tools ov
  printf '%s\n' "IQN=$IQN PORTAL=$PORTAL" > ov/etc/vm.env
  guest oneshots -o ov -m 400 -T 300
  finish
fi
d=$(bindir "$INITIATOR") || { fail "no programs"; exit 1; }
I="timeout 60 $d/iscsi" URL=iscsi://$PORTAL/$IQN/1
[ "$TARGET" = istgt ] && URL=iscsi://$PORTAL/$IQN/0
output() { local name=$1 want=$2; shift 2; timeout 30 "$@" > "$E2E_LOG/last" 2>&1; if grep -q -- "$want" "$E2E_LOG/last"; then pass "$name"; else fail "$name: no '$want' in: $(tail -n 5 "$E2E_LOG/last" | tr '\n' '|')"; fi; }
# Refused, and the line says what to do about it.
says() { local name=$1 want=$2; shift 2; refuse "$name" "$@"; if grep -q -- "$want" "$E2E_LOG/last"; then pass "$name: says what to do"; else fail "$name: no '$want' in: $(tail -n 5 "$E2E_LOG/last" | tr '\n' '|')"; fi; }
output "ls lists the target" "^Target:$IQN Portal:$PORTAL:3260,1" $I ls "iscsi://$PORTAL"
output "ls -s lists the logical unit and its size" 'DIRECT_ACCESS .*(Size:64.0M)' $I ls -s "iscsi://$PORTAL"
check "ls --json is JSON" sh -c "$I ls -s --json iscsi://$PORTAL | python3 -m json.tool"
output "inq prints the size" '67108864 bytes' $I inq "$URL"
output "inq --vpd prints the designators" 'Device identification' $I inq --vpd "$URL"
says "inq of a unit that is not there" "iscsi ls -s. lists those" $I inq "iscsi://$PORTAL/$IQN/77"
refuse "inq of a target that is not there" $I inq "iscsi://$PORTAL/iqn.2001-04.com.example:none/1"
says "ls of a target that is not there" "no such target; " $I ls "iscsi://$PORTAL/iqn.2001-04.com.example:none"
says "a port where nobody listens" "Connection refused; is tgtd running there" $I ls "iscsi://$PORTAL:3999"
says "a host that is none" "check its spelling" $I ls "iscsi://no.such.host.invalid"
for tool in ls inq bench cp attach detach boot export doctor top; do
  "$d/iscsi" $tool --nonsense 2> "$E2E_LOG/last"
  equal "$tool: a wrong option ends with 2, on one line" "$? $(grep -c "^iscsi $tool: .*; see iscsi $tool --help$" "$E2E_LOG/last") $(wc -l < "$E2E_LOG/last")" "2 1 1"
done
echo '<target iqn.2001-04.com.example:open>' > open.conf
said=$("$d/tgtd" -f -C 9 --config open.conf 2>&1)
equal "tgtd --config with a mistake: tgt-admin's status, said by tgtd" "$? $said" "255 tgtd: open.conf:1:1: <target> is not closed"
refuse "bench does not write unasked" $I bench --rw write --time 1 "$URL"
for mode in randread read; do check "bench $mode" $I bench --rw $mode --time 1 "$URL"; done
for mode in randwrite write randrw; do check "bench $mode" $I bench --force --rw $mode --time 1 "$URL"; done
check "bench of eight sessions, 1 MiB" $I bench --force --rw rw --sessions 8 --depth 4 --bs 1M --time 1 "$URL"
for json in "" --json; do
  "$d/iscsi" bench $json --time 3600 "$URL" > "$E2E_LOG/last" 2>&1 &
  # A tenth of a second of processor time: it measures.
  n=0; until [ "$(awk '{ print $14 + $15 }' /proc/$!/stat 2>/dev/null || echo 10)" -ge 10 ] || [ $((n+=1)) -gt 300 ]; do sleep 0.1; done
  kill -INT $!; wait $!; rc=$?
  if [ $rc = 130 ] && grep -q interrupted "$E2E_LOG/last" && grep -qE 'IOPS=[1-9]|"ios":[1-9]' "$E2E_LOG/last"; then pass "bench $json, interrupted, prints its figures"; else fail "bench $json, interrupted: $rc: $(cat "$E2E_LOG/last")"; fi
done
check "bench --json is JSON" sh -c "$I bench --json --count 1000 $URL | python3 -m json.tool"

# A source with data, zeros and holes, not a whole number of pages long.
head -c 20M /dev/urandom > source.img; head -c 5M /dev/zero >> source.img; head -c 1000001 /dev/urandom >> source.img
truncate -s 40M source.img; head -c 8M /dev/urandom >> source.img
check "cp to the unit, verified" $I cp --verify source.img "$URL"
check "cp from the unit, verified" $I cp --verify "$URL" back.img
check "the bytes are the same" cmp -n 50331648 source.img back.img
check "the rest of the unit is as it was" test "$(stat -c %s back.img)" = 67108864
head -c 3000001 /dev/urandom > odd.img
check "cp of a file that is no whole number of blocks" $I cp --verify odd.img "$URL"
check "cp from unit to unit" $I cp --verify "$URL" "$URL"
truncate -s 65M large.img
says "cp of a file that is too large" "is smaller .* take a larger one" $I cp large.img "$URL"
head -c 64M /dev/urandom > dense.img
# Interrupting it in its midst, however fast this machine is today, means trying: not where a login alone takes a second.
[ "$TARGET" = istgt ] || for delay in 0.05 0.1 0.15 0.2 0.3 0.45 0.7 1 1.5; do
  timeout -s INT $delay "$d/iscsi" cp --depth 1 --bs 4k --state state dense.img "$URL" > "$E2E_LOG/last" 2>&1
  [ -e state ] && break
done
if [ -e state ]; then
  pass "a copy that is interrupted leaves its state"
  check "and is resumed" $I cp --resume --state state --verify dense.img "$URL"
  check "with nothing left behind" test ! -e state
elif [ "$TARGET" != istgt ]; then fail "no state file: $(cat "$E2E_LOG/last")"; fi
if [ "$TARGET" = ours ] || [ "$TARGET" = debian ]; then
  "$TGTADM" --lld iscsi --mode account --op new --user alice --password alicesecret12
  "$TGTADM" --lld iscsi --mode account --op new --user disks --password diskssecret12
  "$TGTADM" --lld iscsi --mode account --op bind --tid 1 --user alice
  "$TGTADM" --lld iscsi --mode account --op bind --tid 1 --user disks --outgoing
  A=iscsi://alice%alicesecret12@$PORTAL/$IQN/1
  check "CHAP" $I inq "$A"
  says "CHAP, wrong secret" "check CHAP user and password" $I inq "iscsi://alice%alicesecret13@$PORTAL/$IQN/1"
  says "CHAP, none given" "it wants CHAP" $I inq "iscsi://$PORTAL/$IQN/1"
  check "CHAP, mutual" $I inq "$A?target_user=disks&target_password=diskssecret12"
  refuse "CHAP, mutual, the target does not know its secret" $I inq "$A?target_user=disks&target_password=diskssecret13"
  check "CHAP from the environment" env LIBISCSI_CHAP_USERNAME=alice LIBISCSI_CHAP_PASSWORD=alicesecret12 $I inq "iscsi://$PORTAL/$IQN/1"
  for k in HeaderDigest DataDigest; do "$TGTADM" --lld iscsi --mode target --op update --tid 1 --name $k --value CRC32C,None; done
  check "cp with digests" $I cp --verify dense.img "$A?header_digest=crc32c&data_digest=crc32c"
  check "bench with digests" $I bench --force --rw randrw --time 1 "$A?header_digest=crc32c&data_digest=crc32c"
fi
target_stop
finish
