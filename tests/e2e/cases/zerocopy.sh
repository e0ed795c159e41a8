# Long reads by MSG_ZEROCOPY from a machine whose interface takes a packet in parts (e1000): payloads leave from our memory, and
# are the disk's. On the guest's loopback they are copied on their way, and one try is all.
need cmp
d=$(bindir "$TARGET") || { fail "no programs"; exit 1; }
mkdir -p ov/sbin ov/etc; cp "$d/iscsi" ov/sbin/iscsi; for f in tgtd tgtadm; do ln -s iscsi ov/sbin/$f; done
printf '%s\n' "IQN=$IQN" > ov/etc/vm.env
dd if=/dev/urandom of=disk.img bs=1M count=16 status=none
guest zerocopy -o ov -d "$PWD/disk.img" -T 120 \
  -x "-netdev user,id=z,net=10.0.3.0/24,hostfwd=tcp:127.0.0.1:4001-:3260 -device e1000,netdev=z,romfile=" > "$E2E_LOG/guest" & vm=$!
url=iscsi://127.0.0.1:4001/$IQN
try 60 "$d/iscsi" inq "$url/1" || fail "no target in the guest: $(tail -n 3 "$E2E_LOG/guest" | tr '\n' '|')"
for digest in none crc32c; do
  timeout 60 "$d/iscsi" cp --quiet "$url/1?data_digest=$digest" "copy.$digest" > "$E2E_LOG/cp.$digest" 2>&1
  check "e1000, data digest $digest: every byte is there" cmp disk.img "copy.$digest"
done
"$d/iscsi" inq "$url.end/1" > "$E2E_LOG/end" 2>&1      # there is none: tells the guest
wait $vm
cat "$E2E_LOG/guest"
