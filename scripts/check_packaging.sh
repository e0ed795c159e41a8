#!/bin/bash
# check_packaging.sh [BUILD_DIR] : manual pages without warnings, completions that complete, units, scripts and package recipes
# that parse, `cmake --install`, the logout script on a made-up /sys. A tool that is not installed is said to be missing, and its
# check skipped. Closing line: N passed, N failed.
set -u
top=$(cd "$(dirname "$0")/.." && pwd); dir=${1:-$top/build}; cd "$top" || exit 1
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
passed=0 failed=0
check() {       # NAME COMMAND... : passes if the command ends with 0 and says nothing
    local name=$1 out; shift
    if out=$("$@" 2>&1) && [ -z "$out" ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAIL $name"; echo "$out" | head -n 20; fi
}
have() { command -v "$1" >/dev/null || { echo "skip: $1 is not installed"; return 1; }; }
same() { [ "$1" = "$2" ] || { echo "want: $1"; echo "got:  $2"; return 1; }; }

packaging=scripts/packaging
root=$work/root
check "cmake --install" bash -c "DESTDIR='$root' cmake --install '$dir' --prefix /usr > /dev/null"
have mandoc && for page in "$root"/usr/share/man/man*/*; do check "mandoc ${page##*/}" mandoc -Tlint -W warning "$page"; done
have groff && for page in "$root"/usr/share/man/man*/*; do
    check "man --warnings ${page##*/}" bash -c "LC_ALL=C.UTF-8 groff -man -ww -b -Tutf8 -rLL=80n -z '$page'"
done
for applet in $("$dir/iscsi" --list); do
    check "a page for $applet" bash -c "ls '$root'/usr/share/man/man*/$applet.* '$root'/usr/share/man/man*/iscsi-$applet.* 2>/dev/null | grep -q ."
done
for link in "$root"/usr/sbin/*; do check "link ${link##*/}" test -x "$link"; done

bash_completion=$root/usr/share/bash-completion/completions/iscsi
complete() { # WORD... : what bash offers for the last one
    bash -c 'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _iscsi "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"; echo "${COMPREPLY[*]}"' "$bash_completion" "$@"
}
check "bash parses" bash -n "$bash_completion"
check "bash: option" same --mode "$(complete tgtadm --mo)"
check "bash: value" same "target" "$(complete tgtadm --mode = ta)"
check "bash: value of a letter" same "target" "$(complete tgtadm -m ta)"
check "bash: applet" same export "$(complete iscsi exp)"
check "bash: option of an applet" same --chap "$(complete iscsi export --ch)"
check "bash: by the front" same "node" "$(complete iscsi iscsiadm -m n)"
have zsh && check "zsh parses" zsh -n "$root/usr/share/zsh/vendor-completions/_iscsi"
have fish && check "fish parses" fish --no-execute "$root/usr/share/fish/vendor_completions.d/iscsi.fish"
have fish && check "fish: option" same "--chap" "$(fish -c "source '$root/usr/share/fish/vendor_completions.d/iscsi.fish'; complete -C 'iscsi export --ch'" | cut -f1 | cut -d= -f1)"

scripts=$(find $packaging -type f | while read -r f; do head -n 1 "$f" | grep -q '^#!.*\(sh\|openrc-run\|rc.common\)' && echo "$f"; done)
for script in $scripts; do
    if head -n 1 "$script" | grep -q bash; then shell=bash interpreter=bash; else shell=sh interpreter=dash; fi
    check "$shell $script" $interpreter -n "$script"
    have shellcheck && check "shellcheck $script" shellcheck -s $shell -S warning "$script"
done
if have systemd-analyze; then
    for unit in tgt.service iscsid.service iscsid.socket open-iscsi.service iscsi-export@vdb.service; do
        # what it says of units and programs that this machine lacks is no mistake of ours
        check "systemd $unit" bash -c "SYSTEMD_UNIT_PATH='$root/usr/lib/systemd/system:' systemd-analyze verify --man=no --recursive-errors=no $unit 2>&1 |
            grep -v 'is not executable\|SO_PASSSEC\|Failed to open /dev/tty\|^Failed to prepare\|Unit .* not found' || :"
    done
fi

# stop-sessions on a made-up machine: session 1 has a disk with a mounted partition, session 2 the root.
sys=$work/sys
disk() { # SESSION DISK NUMBER
    mkdir -p "$sys/class/iscsi_session/session$1/device/target$1:0:0/$1:0:0:1/block/$2" "$sys/class/block/$2/${2}1" "$sys/class/block/$2/holders" "$sys/class/block/${2}1"
    echo "$3:0" > "$sys/class/block/$2/dev"; echo "$3:1" > "$sys/class/block/${2}1/dev"; echo 1 > "$sys/class/block/$2/${2}1/partition"
}
disk 1 sda 8; disk 2 sdb 9; disk 3 sdc 10
printf '%s\n' '20 1 9:1 / / rw - ext4 /dev/sdb1 rw' '21 20 8:1 / /srv/a\040b rw shared:1 - ext4 /dev/sda1 rw' '22 20 0:30 / /srv/c rw - btrfs /dev/sdc rw' > "$work/mountinfo"
mkdir "$work/bin"
for program in umount iscsiadm sync; do printf '#!/bin/sh\necho "%s $*" >> "$LOG"\n' $program > "$work/bin/$program"; chmod 755 "$work/bin/$program"; done
stop() { PATH=$work/bin:$PATH LOG=$work/log SYSFS=$sys MOUNTINFO=$work/mountinfo SWAPS=/dev/null $packaging/lib/stop-sessions 2>"$work/err"; cat "$work/log"; }
check "stop-sessions" same "umount /srv/a b
sync 
iscsiadm -m session -r 1 -u
umount /srv/c
sync 
iscsiadm -m session -r 3 -u" "$(stop)"
check "stop-sessions: the root stays" same "stop-sessions: session 2 stays: the root is on sdb1" "$(cat "$work/err")"

# tar.gz: in, its names work, twice is once, out again, nothing left but what somebody has changed
tarball=$(scripts/packaging/tarball.sh -o "$work" "$dir") && tar -xzf "$tarball" -C "$work"
installer="$(echo "$work"/iscsi-*/install.sh) --prefix /opt/iscsi --destdir $work/dest"
check "tar.gz: install" sh -c "$installer > /dev/null && $installer > /dev/null"
for name in tgtd tgtadm iscsiadm iscsid; do check "tar.gz: $name runs" sh -c "'$work/dest/opt/iscsi/sbin/$name' --version > /dev/null"; done
check "tar.gz: units name the prefix" sh -c "! grep -r /usr/ '$work/dest/opt/iscsi/lib/systemd'"
check "tar.gz: what is not ours stays" sh -c "mkdir -p '$work/other/usr/local/sbin'; touch '$work/other/usr/local/sbin/tgtd'; ! '$(dirname "${installer%% *}")/install.sh' --destdir '$work/other' 2>/dev/null"
check "tar.gz: uninstall" sh -c "$installer uninstall"
check "tar.gz: nothing left" find "$work/dest" -mindepth 1
check "tar.gz: a changed file stays" sh -c "$installer > /dev/null && echo '# mine' >> '$work/dest/etc/tgt/targets.conf' && $installer uninstall > /dev/null && test \"\$(cd '$work/dest' && find . -type f)\" = ./etc/tgt/targets.conf"

# .deb: made by CPack, both; test_deb.sh and test_guest.sh install them
check "deb.sh" sh -c "scripts/packaging/deb.sh -o '$work/debs' '$dir' > /dev/null"
check "deb: static has no names of others" sh -c "! dpkg-deb -c '$work'/debs/iscsi-static_*.deb | grep 'sbin/\|tgt.service' > /dev/null"
for name in sbin/tgtd sbin/iscsiadm bin/iscsi systemd/system/tgt.service libexec/iscsi/stop-sessions man8/tgtd.8.gz; do
    check "deb: drop-in has $name" sh -c "dpkg-deb -c '$work'/debs/iscsi-drop-in_*.deb | grep '/$name\( \|\$\)' > /dev/null"
done

# recipes of Alpine, Buildroot, OpenWrt
scripts/packaging/test_recipes.sh "$dir" > "$work/recipes"; sed '$d' "$work/recipes"
[[ $(tail -n 1 "$work/recipes") =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]] || failed=$((failed + 1))
passed=$((passed + ${BASH_REMATCH[1]:-0})) failed=$((failed + ${BASH_REMATCH[2]:-0}))

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
