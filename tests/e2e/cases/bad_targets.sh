# Targets that break the protocol, each in its own way (bad_targets.py), and records that are broken: nothing hangs, dies or grows.
need python3
python3 "$E2E_DIR/bad_targets.py" 3300 > targets.list 2> "$E2E_LOG/bad_targets" & BAD=$!
try 10 grep -q ready targets.list || { fail "bad_targets.py: $(cat "$E2E_LOG/bad_targets")"; exit 1; }
target_start; target_disk disk.img 64M
guest_tools ov; grep -v ready targets.list > ov/etc/targets
printf '%s\n' "IQN=$IQN PORTAL=$PORTAL" > ov/etc/vm.env
guest bad_targets -o ov -T 240
kill $BAD; target_stop
