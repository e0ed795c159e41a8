# iSNS: our target registers itself with Debian's isnsd, our initiator finds it there, and what is gone is gone.
need isnsd
cat > isnsd.conf <<C
Database = $PWD/isns
DefaultDiscoveryDomain = 1
RegistrationPeriod = 10m
ESIMinInterval = 1
ESIMaxInterval = 1
ESIRetries = 3
C
mkdir isns
isnsd -f -d esi -c "$PWD/isnsd.conf" > "$E2E_LOG/isnsd.log" 2>&1 &
try 10 listening 3205 || { fail "isnsd does not listen"; return; }
target_start
target_disk disk.img 16M
adm=$(bindir "$INITIATOR")/iscsiadm
found() { timeout 20 "$adm" -m discovery -t isns -p $PORTAL -o nonpersistent 2>&1 | grep -qx "$PORTAL:3260,1 $1"; }
gone() { ! found "$1"; }
"$TGTADM" --lld iscsi --mode sys --op update --name iSNSServerIP -v $PORTAL || fail "set iSNSServerIP"
"$TGTADM" --lld iscsi --mode sys --op update --name iSNS -v On || fail "set iSNS=On"
check "the target is found by iSNS" try 10 found $IQN
"$TGTADM" --lld iscsi --mode target --op new --tid 2 -T iqn.2001-04.com.example:second
check "so is one made later" try 10 found iqn.2001-04.com.example:second
"$TGTADM" --lld iscsi --mode target --op delete --tid 2
check "and not when it is deleted" try 10 gone iqn.2001-04.com.example:second
check "discovery keeps records" timeout 20 "$adm" -m discovery -t isns -p $PORTAL
check "the record says how it was found" grep -qx 'node.discovery_type = isns' "/etc/iscsi/nodes/$IQN/$PORTAL,3260,1/default"
target_stop
check "a target that ends takes its registration back" try 5 gone $IQN
# what dies is noticed by the server's inquiries, long before its registration runs out
target_start
target_disk disk.img
"$TGTADM" --lld iscsi --mode sys --op update --name iSNSServerIP -v $PORTAL && "$TGTADM" --lld iscsi --mode sys --op update --name iSNS -v On || fail "set iSNS=On"
check "a new daemon is registered" try 10 found $IQN
answers() { grep -c 'Good ESI response' "$E2E_LOG/isnsd.log"; }
before=$(answers)
answered() { [ "$(answers)" -ge $((before + 4)) ]; }
check "it answers more inquiries than ESIRetries" try 20 answered
check "and is still there" found $IQN
kill -9 "$TGTD_PID"
check "a target that died is gone soon" try 30 gone $IQN
