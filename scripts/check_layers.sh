#!/bin/bash
# check_layers.sh : refuses an #include in core/ that core/layers.txt does not allow, and any of applets/ or tests/.
set -eu
cd "$(dirname "$0")/.."
awk '
  FILENAME == "core/layers.txt" {
    if ($0 ~ /^#/ || $0 !~ /:/) next
    split($0, part, ":"); folder[part[1]] = 1; allowed[part[1], part[1]] = 1
    n = split(part[2], to, " "); for (i = 1; i <= n; i++) allowed[part[1], to[i]] = 1
    next
  }
  /^#[ \t]*include[ \t]*"/ {
    files[FILENAME]; split(FILENAME, at, "/"); from = at[2]
    header = $0; sub(/^[^"]*"/, "", header); sub(/".*/, "", header); split(header, h, "/")
    if (!(from in folder)) { print FILENAME ":" FNR ": folder core/" from " is not in core/layers.txt"; bad++; next }
    if (h[1] != "core") { print FILENAME ":" FNR ": core/ includes " header; bad++; next }
    if (!((from, h[2]) in allowed)) { print FILENAME ":" FNR ": core/" from " may not include core/" h[2] " (" header ")"; bad++ }
  }
  END { n = 0; for (f in files) n++; print n " files, " bad + 0 " forbidden includes"; exit bad > 0 }
' core/layers.txt $(git ls-files 'core/*.h' 'core/*.cpp')
