#!/usr/bin/env python3
"""Runs every server on the same cached file and keeps what each costs in a JSON; started by scripts/bench.sh inside name spaces of its own.

Per cell, rounds alternate between the servers (A B C A B C ...); the figures are medians, the CPU figure the least of the rounds
(noise only adds). Server CPU is the run time of all its threads, from the scheduler, in ns. What a run measures replaces what the
JSON says about it, so `--only REGEX` repeats single cells; a cell's name is SECTION/NAME: cells/… start/… idle/… fair cold clients/…
sweeps/… lio.
"""
import argparse, json, os, re, subprocess, sys, tempfile, time
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import measure
from cells import CELLS, CLIENTS, COLD, SWEEPS
from servers import Istgt, Ours, Roof, Tgt

ROOFS = ("each", "gather", "sendfile", "map")
WORK = "/run/bench"


def options():
    a = argparse.ArgumentParser(prog="bench.sh")
    a.add_argument("--build", required=True, help=argparse.SUPPRESS)
    a.add_argument("--top", required=True, help=argparse.SUPPRESS)
    a.add_argument("-r", "--rounds", type=int)
    a.add_argument("-s", "--seconds", type=float)
    a.add_argument("-o", "--out", default="")
    a.add_argument("--only", default=".", metavar="REGEX")
    a.add_argument("--not", dest="without", metavar="REGEX")
    a.add_argument("--quick", action="store_true", help="three minutes: shorter, fewer points")
    a.add_argument("--no-sweeps", action="store_true")
    a.add_argument("--no-clients", action="store_true")
    a.add_argument("--servers", default="ours,tgt,istgt,roof")
    o = a.parse_args()
    o.rounds = o.rounds or (2 if o.quick else 3)
    o.seconds = o.seconds or (0.25 if o.quick else 0.7)
    o.out = o.out or os.path.join(o.build, "bench")
    o.wanted = o.servers.split(",")
    for w in o.wanted:
        if w not in ("ours", "tgt", "istgt", "roof"):
            a.error("no server " + w)
    return o


class Run:
    def __init__(self, o):
        self.o, self.begin = o, time.time()
        self.load_before = os.getloadavg()[0]
        self.path = os.path.join(o.out, "bench.json")
        self.load, self.roof = os.path.join(o.build, "bench_load"), os.path.join(o.build, "bench_roof")
        self.report = {}
        if os.path.exists(self.path):
            with open(self.path) as f:
                self.report = json.load(f)
        os.makedirs(WORK)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2g", "bench", WORK], check=True)
        self.size, self.image = 512 << 20, os.path.join(WORK, "disk.img")
        with open(self.image, "wb") as f:
            block = os.urandom(1 << 20)
            for _ in range(self.size >> 20):
                f.write(block)
        model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "unknown")
        self.report["machine"] = {"cpus": os.cpu_count(), "model": model, "kernel": os.uname().release, "mib": self.size >> 20} | {
            k: v for k, v in self.report.get("machine", {}).items() if k in ("rounds", "seconds", "load_before")}

    def asked(self, name):
        return re.search(self.o.only, name) and not (self.o.without and re.search(self.o.without, name))

    def keep(self, section, name, value):
        if name is None:
            self.report[section] = value
        else:
            self.report.setdefault(section, {})[name] = value
        os.makedirs(self.o.out, exist_ok=True)
        with open(self.path + ".new", "w") as f:
            json.dump(self.report, f, indent=1)
        os.rename(self.path + ".new", self.path)
        print(f"{time.time() - self.begin:6.1f} s  {section}{'/' + name if name else ''}", flush=True)

    def make(self, name):
        return {"ours": lambda: Ours(self.o.build, WORK, self.image), "tgt": lambda: Tgt(WORK, self.image), "istgt": lambda: Istgt(WORK, self.image)}[name]()

    def fresh(self, section, each):
        """A section of one entry per server, each started for it."""
        for name in self.o.wanted:
            if name == "roof" or (name == "istgt" and (section == "idle" or self.o.quick)) or not self.asked(f"{section}/{name}"):
                continue
            s = self.make(name)
            try:
                self.keep(section, name, each(s))
            except RuntimeError as e:
                print(f"{section}/{name}: {e}", file=sys.stderr)
            finally:
                s.stop()

    def together(self):
        """What runs in alternation."""
        o = self.o
        cells = [c for c in CELLS if self.asked("cells/" + c[0])]
        clients = [c for c in CLIENTS if self.asked("clients/" + c[0]) and not o.no_clients]
        sweeps = [s for s in SWEEPS if self.asked("sweeps/" + s[0]) and not o.no_sweeps]
        fair = self.asked("fair")
        if not (cells or clients or sweeps or fair):
            return
        real = [self.make(w) for w in o.wanted if w != "roof"]
        roofs = [Roof(self.roof, mode, self.image, 3280 + i) for i, mode in enumerate(ROOFS)] if "roof" in o.wanted else []
        try:
            if cells or "rounds" not in self.report["machine"]:
                self.report["machine"] |= {"rounds": o.rounds, "seconds": o.seconds, "load_before": self.load_before}
            for name, args in cells:
                self.keep("cells", name, measure.alternate(real + roofs, args, o.rounds, o.seconds, self.load, self.size))
            if fair:
                self.keep("fair", None, measure.fairness(real, self.load, 1 if o.quick else 2, max(0.5, o.seconds)))
            for name, *_ in clients:
                self.keep("clients", name, measure.clients(name, [s for s in real if not (o.quick and s.name == "istgt")], 1 if o.quick else 2, o.build))
            for key, _, points, args, _ in sweeps:              # istgt takes a second for each login
                some = [s for s in real + roofs if s.name in (("ours", "tgt", "roof: map") if o.quick else ("ours", "tgt", "istgt", "roof: gather", "roof: map") if key != "sessions" else ("ours", "tgt", "roof: gather", "roof: map"))]
                rows = {str(p): measure.alternate(some, args.format(p), 1, 0.15 if o.quick else 0.4, self.load, self.size)
                        for p in (points[::3] + points[-1:] if o.quick else points)}
                self.keep("sweeps", key, rows)
        finally:
            for s in real + roofs:
                s.stop()

    def cold(self):
        servers = [self.make(w) for w in self.o.wanted if w in ("ours", "tgt")]
        os.makedirs(self.o.out, exist_ok=True)
        try:
            with tempfile.NamedTemporaryFile(dir=self.o.out, prefix="cold-") as f:
                for _ in range(2048):
                    f.write(os.urandom(1 << 20))
                f.flush()
                for s in servers:
                    s.add_unit(2, f.name)
                self.keep("cold", None, measure.cold(servers, f.name, COLD, self.o.rounds, 0.25, self.load))
        finally:
            for s in servers:
                s.stop()

    def instructions(self):
        """Idle sessions once more, by instructions in user space."""
        import instructions
        out = {"many": 1000}
        for name, args, commands, idle in instructions.CASES:
            if idle:
                alone, beside = (instructions.per_command(self.o.build, WORK, self.image, args, commands, n) for n in (0, 1000))
                out[name.split(", beside")[0]] = {"alone_instructions": alone, "beside_instructions": beside}
        self.keep("idle", "ours, by callgrind", out)

    def kernel_target(self):
        o = self.o
        command = [os.path.join(o.top, "tests/bench/lio.py"), "--build", o.build, "--top", o.top, "-o", o.out] + (["-r", "1", "--servers", "ours,lio-fileio,tgt"] if o.quick else [])
        run = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        path = os.path.join(o.out, "lio.json")
        if run.returncode == 0:
            with open(path) as f:
                self.keep("lio", None, json.load(f))
            os.remove(path)
        else:
            print("lio: failed", file=sys.stderr)


def main():
    r = Run(options())
    r.fresh("start", lambda s: measure.start_and_memory(s, r.load))
    r.fresh("idle", lambda s: measure.idle_sessions(s, r.load, 3 if r.o.quick else 6, 0.15 if r.o.quick else 0.4))
    if "ours" in r.o.wanted and r.asked("idle/ours, by callgrind"):
        r.instructions()
    r.together()
    if r.asked("cold"):
        r.cold()
    if r.asked("lio"):
        r.kernel_target()


main()
