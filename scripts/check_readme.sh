#!/bin/bash
# check_readme.sh : files that README.md names exist, its blocks are tagged and their options known, and its size table is what scripts/size.sh printed to within 5 %.
set -eu
cd "$(dirname "$0")/.."; bad=0
for f in $(grep -oE '\b(core|applets|scripts|tests)/[a-z0-9_/.-]+\.(cpp|h|sh|txt|md|py|def)\b' README.md | sort -u); do
  [ -e "$f" ] || { echo "README.md names $f, which is not there"; bad=1; }
done
if [ -x build/iscsi ]; then scripts/readme_blocks.py check build/iscsi || bad=1; fi
said=$(sed -n 's/^| \*\*stripped binary\*\* | \*\*\([0-9]*\)\*\* |$/\1/p' README.md)
if [ -x build/iscsi ]; then
  strip -s -o build/iscsi.stripped build/iscsi; is=$(stat -c %s build/iscsi.stripped); rm build/iscsi.stripped
  [ "$((said * 20))" -le "$((is * 21))" ] && [ "$((is * 20))" -le "$((said * 21))" ] || { echo "README.md says $said bytes, it is $is: scripts/size.sh -w"; bad=1; }
fi
exit $bad
