# What records ask for, on a real kernel: IPv6, digests, mutual CHAP, several sessions, interfaces; force, --json, a state directory
# elsewhere, a name made from the machine's. Target and initiator in one guest.
guest_tools ov; rm ov/etc/iscsi/initiatorname.iscsi
echo 0123456789abcdef0123456789abcdef > ov/etc/machine-id
printf '%s\n' "IQN=$IQN" > ov/etc/vm.env
mkdir -p json
guest features -o ov -s "$PWD/json" -D 64M -T 150
for f in json/*.json; do check "$(basename "$f"): JSON" python3 -m json.tool "$f"; done
