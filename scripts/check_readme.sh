#!/bin/bash
# check_readme.sh : files that README.md names exist, its blocks are tagged and their options known. (scripts/size.sh checks its size table.)
set -eu
cd "$(dirname "$0")/.."; bad=0
for f in $(grep -oE '\b(core|applets|scripts|tests)/[a-z0-9_/.-]+\.(cpp|h|sh|txt|md|py|def)\b' README.md | sort -u); do
  [ -e "$f" ] || { echo "README.md names $f, which is not there"; bad=1; }
done
if [ -x build/iscsi ]; then scripts/readme_blocks.py check build/iscsi || bad=1; fi
exit $bad
