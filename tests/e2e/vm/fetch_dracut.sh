#!/bin/bash
# fetch_dracut.sh : print a folder with dracut's packages (not installed, to be unpacked by the case); fetch them when they are not there.
set -eu
if [ -n "${DRACUT_DEBS-}" ]; then echo "$DRACUT_DEBS"; exit 0; fi
top=$(cd "$(dirname "$0")/../../.." && pwd)
cache=${ISCSI_CACHE:-${XDG_CACHE_HOME:+$XDG_CACHE_HOME/iscsi}}; cache=${cache:-$top/build/cache}/dracut
mkdir -p "$cache"; chmod 777 "$cache"
if ! ls "$cache"/dracut-network_*.deb >/dev/null 2>&1; then
  (cd "$cache" && apt-get download -qq dracut-core dracut-network) >&2 2>/dev/null || { echo "fetch_dracut.sh: cannot download dracut-core and dracut-network" >&2; exit 1; }
fi
echo "$cache"
