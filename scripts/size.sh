#!/bin/bash
# size.sh [-l LIMIT_BYTES] [-x LIMIT_PACKED] [-w] [BUILD_DIR] : what the binary weighs, in Markdown; fails above the limits
# (x86_64: 2.5 MB stripped, 0.9 MB by xz -9e).
# -w writes the table into README.md.
# Folders are the text and data of their object files, before the linker drops what nobody refers to; the rest is libraries.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd); limit=2500000 packed_limit=900000 write=
while getopts "l:x:w" o; do case $o in l) limit=$OPTARG;; x) packed_limit=$OPTARG;; w) write=1;; *) exit 64;; esac; done; shift $((OPTIND-1))
dir=${1:-$top/build}; binary=$dir/iscsi
[ -x "$binary" ] || { echo "size.sh: $binary is not built" >&2; exit 1; }
stripped=$(mktemp); trap 'rm -f "$stripped" "$stripped.xz"' EXIT
strip -s -o "$stripped" "$binary" && xz -9e -k "$stripped"
bytes=$(stat -c %s "$stripped") packed=$(stat -c %s "$stripped.xz")
table() {
echo "| part | bytes |"; echo "|---|---:|"
for objects in "$dir"/CMakeFiles/core_*.dir "$dir"/CMakeFiles/applets.dir; do
  [ -d "$objects" ] || continue
  name=$(basename "$objects" .dir); name=${name/core_/core\/}
  echo "| $name | $(find "$objects" -name '*.o' -exec size {} + | awk '$1 ~ /^[0-9]+$/ && $NF != "(TOTALS)" { s += $1 + $2 } END { print s + 0 }') |"
done
echo "| **stripped binary** | **$bytes** |"; echo "| xz -9e | $packed |"
}
text=$(table); echo "$text"
if [ -n "$write" ]; then
  awk -v table="$text" '/^<!-- size -->/ { print; print table; skip = 1 } /^<!-- \/size -->/ { skip = 0 } !skip && !/^<!-- size -->/' "$top/README.md" > "$top/README.md.new"
  mv "$top/README.md.new" "$top/README.md"
fi
if readelf -d "$binary" | grep -q NEEDED; then echo "size.sh: not static: $(readelf -d "$binary" | grep NEEDED | head -n 1)" >&2; exit 1; fi
[ "$bytes" -le "$limit" ] || { echo "size.sh: $bytes bytes stripped, the limit is $limit" >&2; exit 1; }
[ "$packed" -le "$packed_limit" ] || { echo "size.sh: $packed bytes by xz -9e, the limit is $packed_limit" >&2; exit 1; }
