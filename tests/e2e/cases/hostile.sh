# The one-shots in user space against targets that break the rules (tests/hostile).
need python3
d=$(bindir "$INITIATOR") || { fail "no programs"; exit 1; }
python3 "$E2E_DIR/../hostile/run.py" -b "$d/iscsi" > "$E2E_LOG/hostile"; rc=$?
grep '^ok \|^FAIL ' "$E2E_LOG/hostile" | cut -c1-160
[ $rc -eq 0 ] || _failed=$((_failed + 1))
