"""One measurement each: a load on a server, in alternation over the servers; start and memory; idle sessions; fairness; other clients."""
import json, os, re, statistics, subprocess, threading, time
from cells import CLIENTS


class Peak:
    """The largest memory figures of a server while something runs."""
    def __init__(self, server):
        self.server, self.most, self.stop = server, {}, threading.Event()
        self.thread = threading.Thread(target=self.watch)

    def watch(self):
        while not self.stop.wait(0.1):
            self.note()

    def note(self):
        for key, value in self.server.memory().items():
            self.most[key] = max(value, self.most.get(key, 0))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()
        self.note()


def block_size(args):
    return int(re.search(r"--bs (\d+)", args).group(1))


def measure(server, args, seconds, load, size):
    command = ["timeout", str(int(seconds) + 15), load] + server.load_args() + args.split() + ["--seconds", str(seconds), "--size", str(size)]
    with Peak(server) as peak:
        before = server.cpu_ns()
        run = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        after = server.cpu_ns()
    if run.returncode != 0:
        return {"failed": (run.stderr or run.stdout).strip()[-200:] or f"status {run.returncode}", "command": " ".join(command)}
    r = json.loads(run.stdout)
    r["cpu_us_io"] = (after - before) / 1000 / max(1, r["ios"])
    r["cpu_us_mib"] = r["cpu_us_io"] * 1048576 / block_size(args)
    r["memory"] = peak.most
    return r


def summary(runs):
    """Medians of the rounds; CPU the least of them, memory the most."""
    good = [r for r in runs if "failed" not in r]
    if not good:
        return runs[0]
    out = {k: statistics.median(r[k] for r in good) for k in ("iops", "mib_s", "p50_us", "p99_us")}
    out |= {k: min(r[k] for r in good) for k in ("cpu_us_io", "cpu_us_mib")}
    out["memory"] = {k: max(r["memory"].get(k, 0) for r in good) for k in good[0]["memory"]}
    out["failed_rounds"] = len(runs) - len(good)
    return out


def alternate(servers, args, rounds, seconds, load, size):
    runs = {s.name: [] for s in servers if s.speaks_iscsi or "digests" not in args}
    for _ in range(rounds):
        for s in servers:
            if s.name in runs:
                runs[s.name].append(measure(s, args, seconds, load, size))
    return {name: summary(r) for name, r in runs.items()}


def cold(servers, image, cells, rounds, seconds, load):
    """Reads that have to come from the disk: unit 2 of each server is `image`, which leaves the page cache before each round."""
    fd = os.open(image, os.O_RDWR)
    runs = {name: {s.name: [] for s in servers} for name, _ in cells}
    for _ in range(rounds):
        for name, args in cells:
            for s in servers:
                os.fsync(fd)
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
                runs[name][s.name].append(measure(s, args + " --lun 2", seconds, load, os.fstat(fd).st_size))
    os.close(fd)
    return {name: {s: summary(r) for s, r in by.items()} for name, by in runs.items()}


def clients(name, servers, rounds, build):
    """A client nobody here wrote, so that we do not flatter ourselves; and the one users have."""
    _, command, pattern, value = next(c for c in CLIENTS if c[0] == name)
    command = command.replace("BUILD", build).split()
    runs = {s.name: [] for s in servers}
    failed = {}
    for _ in range(rounds):
        for s in servers:
            run = subprocess.run(["timeout", "-s", "INT", "30"] + command + [s.url()], stdin=subprocess.DEVNULL, capture_output=True, text=True)
            hit = re.findall(pattern, run.stdout + run.stderr)
            if hit:
                runs[s.name].append(max(map(value, hit)))       # iscsi bench says reads and writes apart
            else:
                failed[s.name] = (run.stdout + run.stderr).strip()[-200:] or f"status {run.returncode}"
    return {n: {"iops": statistics.median(r)} if r else {"failed": failed[n]} for n, r in runs.items()}


class Held:
    """N sessions logged in and idle."""
    def __init__(self, server, load, n):
        self.server = server
        self.p = subprocess.Popen([load] + server.load_args() + ["--sessions", str(n), "--hold"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.p.stdout.readline()
        if not line:
            raise RuntimeError(self.p.stderr.read().strip()[-200:])
        self.login_seconds = json.loads(line)["login_seconds"]

    def end(self):
        self.p.stdin.close()
        self.p.wait()
        deadline = time.monotonic() + 10
        while self.server.connections() and time.monotonic() < deadline:
            time.sleep(0.01)


def start_and_memory(server, load):
    """Start to listening; memory idle, with one and with many idle sessions; logins; whether all sessions at once are served.
    `server` is fresh."""
    r = {"many": server.many, "idle_memory": server.memory()}
    starts = [t for t in (server.start_ms() for _ in range(9)) if t]
    if starts:
        r["start_ms"] = min(starts)         # noise only adds
    logins = []
    for n in [1] * (5 if server.many > 100 else 1) + [server.many]:
        h = Held(server, load, n)
        if n == 1:
            logins.append(h.login_seconds * 1000)
            r["one_memory"] = server.memory()
        else:
            r["many_memory"], r["logins_per_s"] = server.memory(), n / h.login_seconds
        h.end()
    r["login_ms"] = statistics.median(logins)
    run = subprocess.run(["timeout", "60", load] + server.load_args() + f"--bs 4096 --depth 1 --sessions {server.many} --seconds 2".split(), capture_output=True, text=True)
    if run.returncode == 0:
        j = json.loads(run.stdout)
        r["served"] = server.many if j["least_ios"] > 0 else 0
        r["served_iops"], r["served_least_ios"] = j["iops"], j["least_ios"]
    else:
        r["served"], r["failed"] = 0, run.stderr.strip()[-200:]
    return r


def idle_sessions(server, load, rounds, seconds):
    """Server CPU per command with many idle sessions beside the busy one, and with none; least of the rounds."""
    out = {"many": server.many}
    for name, args in (("4 KiB random read, depth 1", "--bs 4096 --depth 1"), ("4 KiB random read, depth 32", "--bs 4096 --depth 32")):
        least = {0: [], server.many: []}
        for _ in range(rounds):
            for n in least:
                held = Held(server, load, n) if n else None
                r = measure(server, args + " --warm 0.1", seconds, load, 0)
                if held:
                    held.end()
                if "failed" not in r:
                    least[n].append(r["cpu_us_io"])
        out[name] = {"alone_us": min(least[0]), "beside_us": min(least[server.many])} if all(least.values()) else {"failed": "no round ended"}
    return out


STREAMS = {
    "alone": [],
    "beside 1 MiB writes at depth 32": ["--bs 1048576 --depth 32 --seq --read 0"],
    "beside 1 MiB writes and 1 MiB reads at depth 32": ["--bs 1048576 --depth 32 --seq --read 0", "--bs 1048576 --depth 32 --seq"],
}


def fairness(servers, load, rounds, seconds):
    """4 KiB reads at depth 1 on one session while others stream; their clients are niced, for it is the server's turns that are asked about, not the
    scheduler's."""
    runs = {s.name: {k: [] for k in STREAMS} for s in servers}
    for _ in range(rounds):
        for s in servers:
            for key, streams in STREAMS.items():
                base = [load] + s.load_args()
                others = [subprocess.Popen(["nice", "-n", "10"] + base + a.split() + ["--seconds", str(seconds + 1)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) for a in streams]
                time.sleep(0.3 if streams else 0)         # until the streams are in their stride
                victim = subprocess.run(["timeout", "30"] + base + f"--bs 4096 --depth 1 --warm 0.2 --seconds {seconds}".split(), capture_output=True, text=True)
                texts = [o.communicate()[0] for o in others]
                if victim.returncode == 0:
                    j = json.loads(victim.stdout)
                    j["stream_mib_s"] = sum(json.loads(t)["mib_s"] for t in texts if t)
                    runs[s.name][key].append(j)
    return {n: {k: {f: statistics.median(j[f] for j in v) for f in ("p50_us", "p99_us", "stream_mib_s")} for k, v in r.items() if v} for n, r in runs.items()}
