# Recorded sessions of open-iscsi 2.1.8 (tests/compat/open-iscsi/*.golden) replayed by the initiator: every command prints and
# exits as recorded, but for what tests/compat/open-iscsi/NAME.differences
# lists (the reasons: tests/compat/DIFFERENCES-open-iscsi.md).
golden=$E2E_DIR/../compat/open-iscsi
target_start
for n in 1 2 3; do truncate -s 128M disk$n; done
tgt() { "$TGTADM" --lld iscsi "$@" || fail "tgtadm $*"; }
tgt --mode target --op new --tid 1 -T iqn.2026-01.org.example:disk1
tgt --mode logicalunit --op new --tid 1 --lun 1 -b "$PWD/disk1"; tgt --mode logicalunit --op new --tid 1 --lun 2 -b "$PWD/disk2"
tgt --mode target --op new --tid 2 -T iqn.2026-01.org.example:secret
tgt --mode logicalunit --op new --tid 2 --lun 1 -b "$PWD/disk3"
for i in 1 2; do tgt --mode target --op bind --tid $i -I ALL; done
tgt --mode account --op new --user alice --password alicesecret12; tgt --mode account --op bind --tid 2 --user alice
tgt --mode account --op new --user tgtuser --password targetsecret1; tgt --mode account --op bind --tid 2 --user tgtuser --outgoing
guest_tools ov
cp /etc/iscsi/iscsid.conf ov/etc/iscsi/
echo "InitiatorName=iqn.1993-08.org.debian:01:34b879d4475b" > ov/etc/iscsi/initiatorname.iscsi
# commands FILE FOLDER: each command with what it printed, comparable, in a file of its own
commands() {
  rm -rf "$2"; mkdir -p "$2"
  awk -f "$golden/comparable.awk" "$1" | awk -v d="$2" '/^\$ /{ n++; f = sprintf("%s/%03d", d, n) } /^## |^! |^# [^BE]/ { next } f { print > f } /^\[exit /{ close(f); f = "" }'
}
for name in walkthrough options-errors; do
  cp "$golden/$name.golden" ov/etc/replay
  guest transcript -o ov -T 500
  cp "$E2E_LOG/transcript.out" "$E2E_LOG/$name.out"
  commands "$golden/$name.golden" want; commands "$E2E_LOG/$name.out" got
  [ "$(ls want | wc -l)" = "$(ls got | wc -l)" ] || fail "$name: $(ls got | wc -l) of $(ls want | wc -l) commands were run"
  for w in want/*; do
    g=got/${w##*/}; command=$(head -n 1 "$w")
    # which stream is first is not recorded
    if [ -e "$g" ] && diff <(sort "$w") <(sort "$g") > "$E2E_LOG/last"; then same=1; else same=; fi
    if grep -qxF -- "${w##*/} $command" "$golden/$name.differences"; then
      if [ -z "$same" ]; then pass "$name ${w##*/}: $command (a difference that is meant)"
      else fail "$name ${w##*/}: $command: no difference any more; strike it from the list"; fi
    elif [ -n "$same" ]; then pass "$name ${w##*/}: $command"
    else fail "$name ${w##*/}: $command: $(grep '^[<>]' "$E2E_LOG/last" | head -n 8 | tr '\n' '|')"
    fi
  done
done
