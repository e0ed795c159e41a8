#!/bin/bash
# size.sh [-w] [-a ARCHITECTURE] [BUILD_DIR] : what the binary weighs, in Markdown. Fails above the limits (x86_64: 2.5 MB stripped,
# 0.9 MB by xz -9e, 1.9 MB with the applets of an initramfs alone), or when README.md says something else by more than 3 %.
# -w writes the rows into README.md's table; -a takes the binary of another architecture, with one row and no limits.
# Debian's rows are the ELF files of the packages tgt and open-iscsi, where they are installed, and the libraries ldd names.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd); readme=$top/README.md write='' foreign=''
while getopts "wa:" o; do case $o in w) write=1;; a) foreign=$OPTARG;; *) exit 64;; esac; done; shift $((OPTIND-1))
dir=${1:-$top/build}
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
status=0
say() { echo "size.sh: $*" >&2; status=1; }

row() { # NAME BYTES PACKED : shows it, and writes or compares README's
    local line="| $1 | $2 | $3 |" there
    echo "$line"
    there=$(awk -F' *[|] *' -v name="$1" '$2 == name { print $3; exit }' "$readme")
    if [ -z "$there" ]; then [ -n "$write" ] && say "README.md has no row '$1'"; return 0; fi
    if [ -n "$write" ]; then
        awk -F' *[|] *' -v name="$1" -v line="$line" '$2 == name { print line; next } { print }' "$readme" > "$work/readme" && cat "$work/readme" > "$readme"
    elif [ -z "$foreign" ] && [ $((there * 103)) -lt $(($2 * 100)) ] || [ -z "$foreign" ] && [ $((there * 97)) -gt $(($2 * 100)) ]; then
        say "README.md says $there of '$1', it is $2: scripts/size.sh -w"
    fi
}
binary() { # NAME FILE [LIMIT [LIMIT_PACKED]]
    local bytes packed
    [ -x "$2" ] || { say "$2 is not built"; return; }
    if [ -n "$foreign" ]; then cp "$2" "$work/x"; else strip -s -o "$work/x" "$2"; fi
    bytes=$(stat -c %s "$work/x") packed=$(xz -9e -c "$work/x" | wc -c)
    row "$1" "$bytes" "$packed"
    if readelf -d "$2" | grep -q NEEDED; then say "$2 is not static: $(readelf -d "$2" | grep NEEDED | head -n 1)"; fi
    [ "$bytes" -le "${3:-$bytes}" ] || say "$bytes bytes of '$1', the limit is $3"
    [ "$packed" -le "${4:-$packed}" ] || say "$packed bytes of '$1' by xz -9e, the limit is $4"
}
debian() { # NAME FILE… : what they weigh together
    local name=$1; shift
    row "$name" "$(cat "$@" | wc -c)" "$(cat "$@" | xz -9e | wc -c)"
}

if [ -n "$foreign" ]; then binary "$foreign" "$dir/iscsi"; exit $status; fi

# Folders: text and data of their object files, before the linker drops what nobody refers to. The rest is libraries.
echo "| folder | bytes |"; echo "|---|---:|"
for objects in "$dir"/CMakeFiles/core_*.dir "$dir"/CMakeFiles/applets.dir; do
    [ -d "$objects" ] || continue
    name=$(basename "$objects" .dir); name=${name/core_/core\/}
    echo "| $name | $(find "$objects" -name '*.o' -exec size {} + | awk '$1 ~ /^[0-9]+$/ && $NF != "(TOTALS)" { s += $1 + $2 } END { print s + 0 }') |"
done
echo; echo "| binary | stripped | xz -9e |"; echo "|---|---:|---:|"
machine=$(uname -m); [ "$machine" = x86_64 ] && limits=1
binary "$machine" "$dir/iscsi" ${limits:+2500000 900000}
for switch in target initiator boot; do
    limit=; [ $switch = boot ] && limit=${limits:+1900000}
    [ -e "$dir/iscsi_$switch" ] && binary "$machine, $switch only" "$dir/iscsi_$switch" $limit
done
if dpkg -s tgt open-iscsi > /dev/null 2>&1; then
    programs=$(dpkg -L tgt open-iscsi | while read -r f; do [ -f "$f" ] && [ ! -L "$f" ] && head -c 4 "$f" | grep -q ELF && echo "$f"; done || :)
    libraries=$(for f in $programs; do ldd "$f"; done | grep -o '/[^ ]*' | sort -u | xargs readlink -f | sort -u)
    debian "tgt and open-iscsi, programs alone" $programs
    debian "tgt and open-iscsi with their libraries, without Perl" $programs $libraries
fi
exit $status
