"""What the benchmark runs, and what issue and README ask of each figure."""

# name, load arguments; bytes per I/O is --bs
CELLS = [
    ("4 KiB random read, depth 1", "--bs 4096 --depth 1"),
    ("4 KiB random write, depth 1", "--bs 4096 --depth 1 --read 0"),
    ("4 KiB random read, depth 32", "--bs 4096 --depth 32"),
    ("4 KiB random write, depth 32", "--bs 4096 --depth 32 --read 0"),
    ("4 KiB random read, depth 32, 8 sessions", "--bs 4096 --depth 32 --sessions 8"),
    ("4 KiB random write, depth 32, 8 sessions", "--bs 4096 --depth 32 --read 0 --sessions 8"),
    ("8 KiB 70/30, depth 32, 8 sessions", "--bs 8192 --depth 32 --read 70 --sessions 8"),
    ("1 MiB sequential read, depth 8", "--bs 1048576 --depth 8 --seq"),
    ("1 MiB sequential write, depth 8", "--bs 1048576 --depth 8 --seq --read 0"),
    ("4 KiB random read, depth 1, digests", "--bs 4096 --depth 1 --digests"),
    ("4 KiB random write, depth 1, digests", "--bs 4096 --depth 1 --read 0 --digests"),
    ("4 KiB random read, depth 32, digests", "--bs 4096 --depth 32 --digests"),
    ("4 KiB random write, depth 32, digests", "--bs 4096 --depth 32 --read 0 --digests"),
    ("4 KiB random read, depth 32, 8 sessions, digests", "--bs 4096 --depth 32 --sessions 8 --digests"),
    ("1 MiB sequential read, depth 8, digests", "--bs 1048576 --depth 8 --seq --digests"),
    ("1 MiB sequential write, depth 8, digests", "--bs 1048576 --depth 8 --seq --read 0 --digests"),
]
# From a file on a disk that is dropped from the page cache before each round
COLD = [
    ("1 MiB sequential read, depth 1", "--bs 1048576 --depth 1 --seq"),
    ("1 MiB sequential read, depth 2, 4 sessions", "--bs 1048576 --depth 2 --seq --sessions 4"),
    ("64 KiB sequential read, depth 4", "--bs 65536 --depth 4 --seq"),
    ("4 KiB random read, depth 32", "--bs 4096 --depth 32"),
]
# key, axis, points, load arguments, figure of the first plot
SWEEPS = [
    ("depth", "queue depth, 4 KiB random reads", [1, 2, 4, 8, 16, 32, 64, 128], "--bs 4096 --depth {}", "iops"),
    ("block-size", "block size in bytes, random reads at depth 8", [512 << i for i in range(14)], "--depth 8 --bs {}", "mib_s"),
    ("block-size-write", "block size in bytes, random writes at depth 8", [512 << i for i in range(14)], "--depth 8 --read 0 --bs {}", "mib_s"),
    ("sessions", "sessions, 4 KiB random reads at depth 4", [1, 2, 4, 8, 16, 32, 64], "--bs 4096 --depth 4 --sessions {}", "iops"),
]
FIGURES = {"iops": "I/Os per second", "mib_s": "MiB/s", "cpu_us_io": "server CPU per I/O, µs"}

# Clients: name, command (URL goes last; BUILD is the build folder), what to find in its output, I/Os per second from that
CLIENTS = [
    ("iscsi bench, 4 KiB random reads, depth 32", "BUILD/iscsi bench --json --rw randread -b 4k -q 32 -t 1", r'"iops": *([\d.]+)', float),
    ("iscsi bench, 4 KiB random writes, depth 32", "BUILD/iscsi bench --json --force --rw randwrite -b 4k -q 32 -t 1", r'"iops": *([\d.]+)', float),
    ("iscsi bench, 1 MiB reads, depth 8", "BUILD/iscsi bench --json --rw read -b 1m -q 8 -t 1", r'"iops": *([\d.]+)', float),
    ("iscsi bench, 1 MiB writes, depth 8", "BUILD/iscsi bench --json --force --rw write -b 1m -q 8 -t 1", r'"iops": *([\d.]+)', float),
    ("iscsi bench, 4 KiB random reads, depth 1", "BUILD/iscsi bench --json --rw randread -b 4k -q 1 -t 1", r'"iops": *([\d.]+)', float),
    ("iscsi-perf, 4 KiB random reads, depth 1", "iscsi-perf -r -t 2 -m 1 -b 8", r"iops average (\d+)", float),
    ("iscsi-perf, 4 KiB random reads, depth 32", "iscsi-perf -r -t 2 -m 32 -b 8", r"iops average (\d+)", float),
    ("iscsi-perf, 1 MiB sequential reads, depth 8", "iscsi-perf -t 2 -m 8 -b 2048", r"iops average (\d+)", float),
    ("qemu-img bench, 4 KiB sequential reads, depth 32", "qemu-img bench -f raw -c 20000 -d 32 -s 4096", r"Run completed in ([\d.]+) seconds", lambda s: 20000 / float(s)),
    ("qemu-img bench, 4 KiB sequential writes, depth 32", "qemu-img bench -f raw -w -c 20000 -d 32 -s 4096", r"Run completed in ([\d.]+) seconds", lambda s: 20000 / float(s)),
    ("qemu-img bench, 1 MiB sequential reads, depth 8", "qemu-img bench -f raw -c 400 -d 8 -s 1048576", r"Run completed in ([\d.]+) seconds", lambda s: 400 / float(s)),
    ("qemu-img bench, 1 MiB sequential writes, depth 8", "qemu-img bench -f raw -w -c 400 -d 8 -s 1048576", r"Run completed in ([\d.]+) seconds", lambda s: 400 / float(s)),
]


class Goal:
    """One figure, what is asked of it. `more`: larger is better."""
    def __init__(self, text, got, asked, more=True, unit="x"):
        self.text, self.got, self.asked, self.unit = text, got, asked, unit
        self.reached = got is not None and (got >= asked if more else got <= asked)

    def line(self):
        got = "not measured" if self.got is None else f"{self.got:.2f}{self.unit}" if self.got < 100 else f"{self.got:.0f}{self.unit}"
        of = f"{got} of {self.asked:g}{self.unit} asked"
        return f"{self.text}: {'reached: ' + of if self.reached else '**not reached: ' + of + '**'}"


def cell_goals(name, rows, cells):
    """Goals of one cell of the grid; `cells` are all of them."""
    ours, tgt, istgt = (rows.get(s, {}) for s in ("ours", "tgt", "istgt"))
    ratio = lambda a, b, key: a[key] / b[key] if a.get(key) and b.get(key) else None
    less = lambda asked: Goal("server CPU per I/O, tgt's over ours", ratio(tgt, ours, "cpu_us_io"), asked)
    faster = lambda asked: Goal("throughput against tgt", ratio(ours, tgt, "iops"), asked)
    roofs = {k[6:]: r["cpu_us_io"] for k, r in rows.items() if k.startswith("roof: ") and "cpu_us_io" in r}
    over = lambda what, base, asked: Goal(f"server CPU per I/O, ours over {what}", ours["cpu_us_io"] / base if base and "cpu_us_io" in ours else None, asked, more=False)
    goals = []
    digests, small, one = "digests" in name, name.startswith("4 KiB"), "sessions" not in name
    if digests:
        if "depth 1," in name:
            goals += [Goal("p50, ours over tgt's", ratio(ours, tgt, "p50_us"), 0.5, more=False)]
        else:
            goals += [faster(4)]
        plain = cells.get(name.replace(", digests", ""), {}).get("ours", {})
        if name.startswith("1 MiB") and plain.get("cpu_us_io") and ours.get("cpu_us_io"):
            goals += [Goal("more server CPU than without digests", ours["cpu_us_io"] - plain["cpu_us_io"], 100, more=False, unit=" µs")]
    elif small and "depth 1" in name:
        goals += [less(2.5), Goal("p50, ours over tgt's", ratio(ours, tgt, "p50_us"), 0.5, more=False), Goal("p99, ours over tgt's", ratio(ours, tgt, "p99_us"), 1.0, more=False)]
    elif small and one:
        goals += [less(8), over("best roof", min(roofs.values(), default=None), 2.0), faster(4)]
    elif small:
        goals += [faster(5)]
    elif name.startswith("1 MiB"):
        read = "read" in name
        goals += [less(4 if read else 5), over("sendfile" if read else "splice", roofs.get("sendfile"), 1.3), faster(3)]
    goals += [Goal("server CPU per I/O, istgt's over ours", ratio(istgt, ours, "cpu_us_io"), 1.0)]
    return goals


def start_goals(r):
    each = (r["many_memory"]["RssAnon"] - r["one_memory"]["RssAnon"]) / (r["many"] - 1) if "many_memory" in r else None
    return [Goal("start to listening", r.get("start_ms"), 3, more=False, unit=" ms"), Goal("login of a session", r.get("login_ms"), 1, more=False, unit=" ms"),
            Goal("idle RSS", r["idle_memory"]["VmRSS"] / 1024, 3, more=False, unit=" MiB"), Goal("memory per idle session", each, 16, more=False, unit=" KiB"),
            Goal("logins per second", r.get("logins_per_s"), 2000, unit=""), Goal("sessions at once, all served", r.get("served"), 1000, unit="")]
