# What a session printed, comparable: session ids, host numbers and counters blanked; records folded as in the recordings, against the first
# whole node record of the file.
function flush_record(   i, equal) {
  if (folded) for (i = 1; i <= n; i++) print record[i]
  else if (!seen) {
    for (i = 1; i <= n; i++) { print record[i]; if (n > 90) known[record[i]] = 1 }
    if (n > 90) seen = 1
  } else {
    equal = 0
    for (i = 1; i <= n; i++) if (record[i] in known) equal++; else print record[i]
    print "[... " equal " lines equal]"
  }
  n = 0; folded = 0
}
/^\[\.\.\. [0-9]+ lines equal/ { sub(/ to those.*/, "]"); record[++n] = $0; folded = 1; next }
/^# BEGIN RECORD/ { print; inside = 1; n = 0; folded = 0; next }
/^# END RECORD/ { flush_record(); inside = 0; print; next }
inside && / = / { record[++n] = $0; next }
{
  gsub(/sid: [0-9]+/, "sid: N"); gsub(/^tcp: \[[0-9]+\]/, "tcp: [N]"); gsub(/SID: [0-9]+/, "SID: N")
  gsub(/Host Number: [0-9]+/, "Host Number: N"); gsub(/scsi[0-9]+ Channel/, "scsiN Channel")
  sub(/_octets: [0-9]+/, "_octets: N"); sub(/_pdus: [0-9]+/, "_pdus: N"); print
}
