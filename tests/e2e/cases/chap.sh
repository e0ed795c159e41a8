# CHAP with libiscsi: one-way and mutual, right and wrong; discovery accounts.
need iscsi-inq iscsi-ls
target_start
target_disk disk.img 16M
"$TGTADM" --lld iscsi --mode account --op new --user alice --password secret-of-alice
"$TGTADM" --lld iscsi --mode account --op bind --tid 1 --user alice || fail "bind alice"
url() { echo "iscsi://${1-}$PORTAL/$IQN/1${2-}"; }
inq() { timeout 20 iscsi-inq "$(url "$@")"; }
check "right secret" inq alice%secret-of-alice@
refuse "wrong secret" inq alice%secret-of-bob@
refuse "wrong user" inq bob%secret-of-alice@
refuse "no user" inq ""
"$TGTADM" --lld iscsi --mode account --op new --user target --password secret-of-target
"$TGTADM" --lld iscsi --mode account --op bind --tid 1 --user target --outgoing || fail "bind target --outgoing"
check "mutual, both secrets right" inq alice%secret-of-alice@ "?target_user=target&target_password=secret-of-target"
refuse "mutual, the target's secret is another" inq alice%secret-of-alice@ "?target_user=target&target_password=secret-of-nobody"
refuse "mutual, the target's name is another" inq alice%secret-of-alice@ "?target_user=nobody&target_password=secret-of-target"
refuse "mutual, own secret wrong" inq alice%secret-of-bob@ "?target_user=target&target_password=secret-of-target"
check "one-way still works where mutual is offered" inq alice%secret-of-alice@
check "discovery needs no secret" timeout 20 iscsi-ls iscsi://$PORTAL
"$TGTADM" --lld iscsi --mode system --op show > /dev/null
kill -0 "$TGTD_PID" 2>/dev/null && pass "tgtd is alive" || fail "tgtd died"
