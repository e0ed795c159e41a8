# What tgtd tells of itself: Prometheus text, the Grafana dashboard and the alert rules made for it, iscsi top on a terminal.
d=$(bindir "$TARGET") || { fail "no programs"; exit 1; }
need python3 script
grafana=$E2E_DIR/../../scripts/packaging/grafana
timeout 10 "$d/iscsi" top -n 1 > "$E2E_LOG/last" 2>&1; rc=$?
[ $rc -ne 0 ] && [ $rc -lt 124 ] && [ "$(wc -l < "$E2E_LOG/last")" = 1 ] && pass "top without a tgtd says so and ends" || fail "top without a tgtd: ended with $rc: $(cat "$E2E_LOG/last")"
target_start --metrics 9261
target_disk disk.img 64M
"$d/iscsi" bench --time 600 --depth 4 "iscsi://$PORTAL/$IQN/1" > /dev/null 2>&1 & load=$!
running() { "$d/iscsi" top -n 1 -d 0.2 --json | grep -q '"lun"'; }
try 10 running || fail "no load"
cat > names.py <<'P'
"""Both ways: every metric that the dashboard or the rules name is exported, and every one exported is on the dashboard."""
import json, re, sys, urllib.request
text = urllib.request.urlopen("http://127.0.0.1:9261/metrics", timeout=10).read().decode()
exported = set(re.findall(r"^([a-z_]+)[{ ]", text, re.M))
typed = {n: t for n, t in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M)}
labels = {n: set(re.findall(r'(\w+)="', l)) for n, l in re.findall(r"^([a-z_]+)\{(.*)\} ", text, re.M)}
board = json.load(open(sys.argv[1]))
expressions = [t["expr"] for p in board["panels"] for t in p["targets"]]
queries = [v["definition"] for v in board["templating"]["list"] if "definition" in v]
name = re.compile(r"\b(?:iscsi|process)_[a-z_]+\b")
shown = {n for e in expressions for n in name.findall(e)}
asked = shown | {n for e in queries + [open(sys.argv[2]).read()] for n in name.findall(e)}
problems = ["not exported: " + n for n in sorted(asked - exported)] + ["not on the dashboard: " + n for n in sorted(exported - shown)]
for e in expressions + queries:
    for n, selector in re.findall(r"\b((?:iscsi|process)_[a-z_]+)\{([^}]*)\}", e):
        for l in set(re.findall(r"(\w+)=", selector)) - {"instance", "job"}:
            if l not in labels.get(n, ()): problems.append("%s has no label %s" % (n, l))
    for f, n in re.findall(r"\b(rate|increase)\((\w+)", e):
        if typed.get(n) != "counter": problems.append("%s of %s, a %s" % (f, n, typed.get(n)))
ids = [p["id"] for p in board["panels"]]
if len(set(ids)) != len(ids): problems.append("two panels with one id")
print("\n".join(problems) or "%d metrics" % len(exported)); sys.exit(bool(problems))
P
check "dashboard and rules name what is exported, and all of it" python3 names.py "$grafana/iscsi.json" "$grafana/alerts.yml"
T="$d/iscsi top -d 0.2"
check "top --json" sh -c "$T -n 2 --json | python3 -c '
import json, sys
text, rows, d = sys.stdin.read(), [], json.JSONDecoder()
while text.strip(): r, n = d.raw_decode(text.lstrip()); rows.append(r); text = text.lstrip()[n:]
assert len(rows) == 2
r = rows[1][0]
assert r[\"lun\"] == 1 and r[\"reads\"] > 0 and r[\"read_bytes\"] > 0 and r[\"latency_us\"] > 0 and 0 < r[\"depth\"] <= 4.5, r
'"
# screen COLUMNS ROWS KEYS COMMAND : what a terminal of that size shows; KEYS are typed once something is there
cat > screen.py <<'P'
import fcntl, os, pty, select, struct, sys, termios, time
columns, rows, keys, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3].encode().decode("unicode_escape").encode(), sys.argv[4:]
pid, fd = pty.fork()
if pid == 0: os.execvp(command[0], command)
fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
out, typed, end = b"", False, time.time() + 20
while time.time() < end:
    if select.select([fd], [], [], 0.1)[0]:
        try: chunk = os.read(fd, 65536)
        except OSError: break
        if not chunk: break
        out += chunk
    if not typed and out.count(b"\x1b[H") >= 2: os.write(fd, keys); typed = True
_, status = os.waitpid(pid, os.WNOHANG)
if _ == 0 and time.time() >= end: os.kill(pid, 9); sys.exit("hangs")
if _ == 0: _, status = os.waitpid(pid, 0)
last = out.split(b"\x1b[H")[-1].decode()
print(last); lines = last.replace("\x1b[J", "").replace("\r", "").rstrip("\n").split("\n")
wide = max(len(l) for l in lines)
if wide > columns: sys.exit("%d columns on %d" % (wide, columns))
if len(lines) > rows: sys.exit("%d lines on %d" % (len(lines), rows))
if b"\x1b[?1049h" in out and b"\x1b[?1049l" not in out: sys.exit("the screen is not given back")
if b"\x1b[?25l" in out and b"\x1b[?25h" not in out: sys.exit("the cursor is not given back")
sys.exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))
P
check "top on a terminal, q ends it" sh -c "python3 screen.py 120 24 q $T > shown"
check "and shows the session's numbers" grep -q "^ *1 *1 .*iqn\." shown
check "top on 40 columns and 6 rows" python3 screen.py 40 6 q $T
python3 screen.py 80 24 '\x03' $T > "$E2E_LOG/last" 2>&1; rc=$?; case $rc in 0|130) pass "Ctrl-C ends it";; *) fail "Ctrl-C: ended with $rc: $(tail -n 3 "$E2E_LOG/last")";; esac
# a shell on the terminal, where top is ended by a signal: echo and lines are as before
for s in INT TERM HUP; do
  script -qec "sh -c 'stty -g > before; timeout --foreground -s $s 1 $T; stty -g > after'" /dev/null < /dev/null > shown 2>&1
  check "after SIG$s the terminal is as it was" cmp before after
done
check "it was drawn before" grep -q READ/S shown
"$d/iscsi" top -d 0.2 > "$E2E_LOG/last" 2>&1 & top=$!
shown() { grep -q TID "$E2E_LOG/last"; }
try 10 shown
target_stop
wait $top; rc=$?; [ $rc -ne 0 ] && [ $rc -lt 124 ] && pass "top ends when tgtd does" || fail "top when tgtd ended: $rc"
wait $load 2>/dev/null
finish
