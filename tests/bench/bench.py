#!/usr/bin/env python3
"""Runs every server on the same cached file and prints what each costs; started by scripts/bench.sh inside its own name spaces.

Per cell, rounds alternate between the servers (A B C A B C ...); the figures are medians, the CPU figure the least of the rounds
(noise only adds). Server CPU is the run time of all its threads, from the scheduler, in ns.
"""
import argparse, json, os, re, shutil, signal, statistics, subprocess, sys, time
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from servers import IQN, Ours, Tgt, Istgt, Roof
import plot

# name, load arguments; bytes per I/O is --bs
CELLS = [
    ("4 KiB random read, depth 1",           "--bs 4096 --depth 1"),
    ("4 KiB random read, depth 32",          "--bs 4096 --depth 32"),
    ("4 KiB random write, depth 1",          "--bs 4096 --depth 1 --read 0"),
    ("4 KiB random write, depth 32",         "--bs 4096 --depth 32 --read 0"),
    ("4 KiB random read, depth 32, 8 sessions", "--bs 4096 --depth 32 --sessions 8"),
    ("8 KiB 70/30, depth 32, 8 sessions",    "--bs 8192 --depth 32 --read 70 --sessions 8"),
    ("1 MiB sequential read, depth 8",       "--bs 1048576 --depth 8 --seq"),
    ("1 MiB sequential write, depth 8",      "--bs 1048576 --depth 8 --seq --read 0"),
    ("4 KiB random read, depth 32, digests", "--bs 4096 --depth 32 --digests"),
    ("4 KiB random write, depth 32, digests", "--bs 4096 --depth 32 --read 0 --digests"),
    ("1 MiB sequential read, depth 8, digests", "--bs 1048576 --depth 8 --seq --digests"),
    ("1 MiB sequential write, depth 8, digests", "--bs 1048576 --depth 8 --seq --read 0 --digests"),
]
SWEEPS = [
    ("depth", "queue depth", [1, 2, 4, 8, 16, 32, 64, 128], "--bs 4096 --depth {}"),
    ("block-size", "block size, bytes", [512 << i for i in range(14)], "--depth 8 --bs {}"),
    ("sessions", "sessions", [1, 2, 4, 8, 16, 32, 64], "--bs 4096 --depth 4 --sessions {}"),
]


def measure(server, args, seconds, load, size):
    command = ["timeout", str(int(seconds) + 15), load] + server.load_args() + args.split() + ["--seconds", str(seconds), "--size", str(size)]
    before = server.cpu_ns()
    run = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    after = server.cpu_ns()
    if run.returncode != 0:
        return {"failed": (run.stderr or run.stdout).strip()[-200:] or f"status {run.returncode}", "command": " ".join(command)}
    r = json.loads(run.stdout)
    bs = int(re.search(r"--bs (\d+)", args).group(1))
    r["cpu_us_io"] = (after - before) / 1000 / max(1, r["ios"])
    r["cpu_us_mib"] = r["cpu_us_io"] * 1048576 / bs
    r["rss_kib"] = server.rss_kib()
    return r


def alternate(servers, args, rounds, seconds, load, size):
    runs = {s.name: [] for s in servers}
    for _ in range(rounds):
        for s in servers:
            if "digests" in args and isinstance(s, Roof):
                continue
            runs[s.name].append(measure(s, args, seconds, load, size))
    out = {}
    for name, list_ in runs.items():
        good = [r for r in list_ if "failed" not in r]
        if not list_:
            continue
        if not good:
            out[name] = list_[0]
            continue
        median = lambda key: statistics.median(r[key] for r in good)
        out[name] = {k: median(k) for k in ("iops", "mib_s", "p50_us", "p99_us", "rss_kib")}
        out[name]["cpu_us_io"] = min(r["cpu_us_io"] for r in good)
        out[name]["cpu_us_mib"] = min(r["cpu_us_mib"] for r in good)
        out[name]["failed_rounds"] = len(list_) - len(good)
    return out


def table(result, ours="ours", tgt="tgt"):
    lines = ["| server | IOPS | MiB/s | p50 µs | p99 µs | server CPU µs/IO | µs/MiB | RSS KiB | CPU vs tgt | IOPS vs tgt |", "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"]
    base = result.get(tgt, {})
    for name, r in result.items():
        if "failed" in r:
            lines.append(f"| {name} | failed: {r['failed']} |||||||||")
            continue
        cpu = f"1/{base['cpu_us_io'] / r['cpu_us_io']:.2f}" if base.get("cpu_us_io") and r["cpu_us_io"] else ""
        rate = f"{r['iops'] / base['iops']:.2f}x" if base.get("iops") else ""
        lines.append(f"| {name} | {r['iops']:.0f} | {r['mib_s']:.0f} | {r['p50_us']:.0f} | {r['p99_us']:.0f} | {r['cpu_us_io']:.1f} | {r['cpu_us_mib']:.0f} | {r['rss_kib']} | {cpu} | {rate} |")
    return "\n".join(lines)


def other_clients(servers, rounds):
    """Clients nobody here wrote, so that we do not flatter ourselves."""
    commands = {
        "qemu-img bench, 4 KiB sequential reads, depth 32": (["qemu-img", "bench", "-f", "raw", "-c", "30000", "-d", "32", "-s", "4096"], r"Run completed in ([\d.]+) seconds", lambda s: 30000 / float(s)),
        "qemu-img bench, 1 MiB sequential writes, depth 8": (["qemu-img", "bench", "-f", "raw", "-w", "-c", "400", "-d", "8", "-s", "1048576"], r"Run completed in ([\d.]+) seconds", lambda s: 400 / float(s)),
        "iscsi-perf, 4 KiB random reads, depth 32": (["iscsi-perf", "-r", "-t", "2", "-m", "32", "-b", "8"], r"iops average (\d+)", float),
    }
    out = {}
    for name, (command, pattern, value) in commands.items():
        runs = {s.name: [] for s in servers}
        for _ in range(rounds):
            for s in servers:
                run = subprocess.run(["timeout", "-s", "INT", "30"] + command + [s.url()], stdin=subprocess.DEVNULL, capture_output=True, text=True)
                hit = re.findall(pattern, run.stdout + run.stderr)
                if hit:
                    runs[s.name].append(value(hit[-1]))
                else:
                    print(f"{name}: {s.name}: {(run.stdout + run.stderr)[-300:]}", file=sys.stderr)
        out[name] = {k: statistics.median(v) for k, v in runs.items() if v}
    return out


def start_and_memory(kind, make, load):
    """Start to listening, resident memory idle, with 1 and with 1000 idle sessions, login rate."""
    starts = []
    for _ in range(5):
        s = make()
        starts.append(s.start_ms)
        s.stop()
    s = make()
    r = {"many": s.many, "start_ms": statistics.median(starts), "idle_rss_kib": s.rss_kib()}
    for n in (1, s.many):
        p = subprocess.Popen([load] + s.load_args() + ["--sessions", str(n), "--hold"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = p.stdout.readline()
        if line:
            j = json.loads(line)
            key = "one" if n == 1 else "many"
            r[f"rss_kib_{key}"] = s.rss_kib()
            r[f"logins_per_s_{key}"] = n / j["login_seconds"]
        p.stdin.close()
        error = p.stderr.read()
        p.wait()
        if not line:
            r["failed"] = error.strip()[-200:]
        time.sleep(0.3)
    s.stop()
    return r


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--build", required=True)
    a.add_argument("--top", required=True)
    a.add_argument("-r", "--rounds", type=int, default=4)
    a.add_argument("-s", "--seconds", type=float, default=1.0)
    a.add_argument("-o", "--out")
    a.add_argument("--only", default=".")
    a.add_argument("--no-sweeps", action="store_true")
    a.add_argument("--no-clients", action="store_true")
    a.add_argument("--servers", default="ours,tgt,istgt,roof")
    o = a.parse_args()
    out = o.out or os.path.join(o.build, "bench")
    os.makedirs(out, exist_ok=True)
    load, roof = os.path.join(o.build, "bench_load"), os.path.join(o.build, "bench_roof")
    work = "/run/bench"
    os.makedirs(work)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2g", "bench", work], check=True)
    size = 512 << 20
    image = os.path.join(work, "disk.img")
    with open(image, "wb") as f:
        block = os.urandom(1 << 20)
        for _ in range(size >> 20):
            f.write(block)
    wanted = o.servers.split(",")
    makers = {"ours": lambda: Ours(o.build, work, image), "tgt": lambda: Tgt(work, image), "istgt": lambda: Istgt(work, image)}
    unknown = [w for w in wanted if w not in makers and not w.startswith("roof")]
    if unknown:
        a.error("no server " + unknown[0])
    report = {"machine": {"cpus": os.cpu_count(), "kernel": os.uname().release}, "cells": {}, "sweeps": {}, "clients": {}, "start": {}}
    md = [f"# Benchmark\n\n{os.cpu_count()} CPUs, Linux {os.uname().release}, loopback, a file of {size >> 20} MiB in tmpfs, client on the same machine; "
          f"{o.rounds} alternated rounds of {o.seconds} s, medians (CPU: least round).\nCommand: `scripts/bench.sh {' '.join(sys.argv[5:])}`\n"]
    report["start"] = {w: start_and_memory(w, makers[w], load) for w in wanted if w in makers}
    md.append("## Start, memory, logins\n\n| server | start to listening ms | idle RSS KiB | RSS, 1 session | sessions | RSS with them | KiB per idle session | logins/s |\n|---|---:|---:|---:|---:|---:|---:|---:|")
    for name, r in report["start"].items():
        big, one = r.get("rss_kib_many"), r.get("rss_kib_one")
        each = f"{(big - one) / (r['many'] - 1):.1f}" if big and one else r.get("failed", "")
        md.append(f"| {name} | {r['start_ms']:.1f} | {r['idle_rss_kib']} | {one} | {r['many']} | {big} | {each} | {r.get('logins_per_s_many', 0):.0f} |")
    print("\n".join(md), flush=True)
    servers = [makers[w]() for w in wanted if w in makers]
    if any(w.startswith("roof") for w in wanted):
        servers += [Roof(roof, mode, image, 3280 + i) for i, mode in enumerate(("each", "gather", "sendfile", "map"))]
    try:
        for name, args in CELLS:
            if not re.search(o.only, name):
                continue
            report["cells"][name] = alternate(servers, args, o.rounds, o.seconds, load, size)
            md.append(f"\n## {name}\n\n" + table(report["cells"][name]))
            print(md[-1], flush=True)
        real = [s for s in servers if not isinstance(s, Roof)]
        if not o.no_clients:
            report["clients"] = other_clients(real, max(1, o.rounds // 2))
            md.append("\n## Other clients, I/Os per second\n\n| client | " + " | ".join(s.name for s in real) + " |\n|---|" + "---:|" * len(real))
            for name, r in report["clients"].items():
                md.append(f"| {name} | " + " | ".join(f"{r[s.name]:.0f}" if s.name in r else "failed" for s in real) + " |")
        if not o.no_sweeps:
            for key, label, points, args in SWEEPS:
                rows = {p: alternate(servers, args.format(p), max(1, o.rounds // 2), o.seconds / 2, load, size) for p in points}
                report["sweeps"][key] = rows
                for figure, what in (("mib_s", "MiB/s") if key == "block-size" else ("iops", "I/Os per second"), ("cpu_us_io", "server CPU per I/O, µs")):
                    series = {s.name: [(p, rows[p][s.name][figure]) for p in points if figure in rows[p].get(s.name, {})] for s in servers}
                    path = os.path.join(out, f"{key}-{figure}.svg")
                    plot.lines(path, f"{what} over {label}", label, what, series)
                    md.append(f"\n![{what} over {label}]({os.path.basename(path)})")
    finally:
        for s in servers:
            s.stop()
        with open(os.path.join(out, "bench.json"), "w") as f:
            json.dump(report, f, indent=1)
        with open(os.path.join(out, "bench.md"), "w") as f:
            f.write("\n".join(md) + "\n")
    print(f"\n{out}/bench.md bench.json *.svg")


main()
