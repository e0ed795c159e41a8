#!/usr/bin/env python3
"""Beside the kernel's own target: LIO, Debian's tgt, istgt, ours and the roof in one guest, on one file in its memory, the client in
the same guest. QEMU counts instructions and calls them time (TCG, -icount), so the figures repeat however busy this machine is.
Started by scripts/bench.sh --lio.

A figure is all that happens in the guest per I/O: client, server, kernel; the roof's rows show what the client and TCP alone take.
"""
import argparse, json, os, re, shutil, statistics, subprocess, sys, tempfile
from servers import istgt_conf

CELLS = [       # name, load arguments, asked of us against LIO
    ("4 KiB random read, depth 32", "--bs 4096 --depth 32", 2.0),
    ("4 KiB random write, depth 32", "--bs 4096 --depth 32 --read 0", 2.0),
    ("4 KiB random read, depth 1", "--bs 4096 --depth 1", 1.2),
    ("4 KiB random write, depth 1", "--bs 4096 --depth 1 --read 0", 1.2),
    ("1 MiB sequential read, depth 8", "--bs 1048576 --depth 8 --seq", 1.3),
    ("1 MiB sequential write, depth 8", "--bs 1048576 --depth 8 --seq --read 0", 1.3),
]
FAIR_P99_US = 1500      # the bound we state, of guest time
FAIR = [        # name, load arguments, those of the stream beside it
    ("4 KiB random read, depth 1, beside 1 MiB writes at depth 32", "--bs 4096 --depth 1", "--bs 1048576 --depth 32 --seq --read 0"),
    ("4 KiB random read, depth 1, beside 1 MiB reads at depth 32", "--bs 4096 --depth 1", "--bs 1048576 --depth 32 --seq"),
]
LONG = 10       # a cell of 1 MiB runs this much longer


def cells_asked(o):
    return [c for c in CELLS if re.search(o.only, c[0])]


def overlay(o, cells, at):
    for d in ("etc", "opt/ours", "bin", "usr/sbin"):
        os.makedirs(os.path.join(at, d))
    shutil.copy(os.path.join(o.build, "iscsi"), os.path.join(at, "opt/ours/iscsi"))
    for name in ("tgtd", "tgtadm"):
        os.symlink("iscsi", os.path.join(at, "opt/ours", name))
    for name in ("bench_load", "bench_roof"):
        shutil.copy(os.path.join(o.build, name), os.path.join(at, "bin", name))
        subprocess.run(["strip", os.path.join(at, "bin", name)], check=True)
    vm = os.path.join(o.top, "tests/e2e/vm")
    subprocess.run([os.path.join(vm, "addbin.sh"), at, "/usr/sbin/tgtd", "/usr/sbin/tgtadm"] + (["/usr/sbin/istgt"] if "istgt" in o.servers else []), check=True)
    with open(os.path.join(at, "etc/istgt.conf"), "w") as f:
        f.write(istgt_conf("/run/istgt.pid", "/run/istgt.auth", "/srv", "/srv/disk.img", 3265, 32))
    open(os.path.join(at, "etc/istgt.auth"), "w").close()
    with open(os.path.join(at, "etc/lio.cells"), "w") as f:
        f.writelines(f"{name}|{args} --seconds {o.seconds * LONG:.3f}|{stream}\n" for name, args, stream in FAIR if not o.check and re.search(o.only, name))
        f.writelines(f"{name}|{args} --seconds {o.seconds * (LONG if '1048576' in args else 1):.3f}|\n" for name, args, _ in cells)
    with open(os.path.join(at, "etc/lio.env"), "w") as f:
        f.write(f"SERVERS='{o.servers.replace(',', ' ')}' ROUNDS={o.rounds} SIZE_MIB={o.mib} LIO_PARAMS='{o.lio_params}' OURS_OPTIONS='{o.ours_options}'\n")


def run_guest(o, cells):
    with tempfile.TemporaryDirectory() as work:
        over = os.path.join(work, "overlay")
        overlay(o, cells, over)
        env = dict(os.environ, VM_NONET="1", TMPDIR=work, VM_CACHE=os.environ.get("VM_CACHE", os.path.join(o.build, "cache/vm")))
        env["VM_ACCEL"] = "tcg"
        command = [os.path.join(o.top, "tests/e2e/vm/vm.sh"), "-m", str(600 + 4 * o.mib), "-c", str(o.cpus), "-T", str(o.timeout), "-o", over,
                   "-x", f"-icount shift={o.shift},sleep=off", "-x", "-cpu " + o.cpu, "-a", "tsc=reliable nohz=on " + o.append, "-l", os.path.join(o.build, "lio-guest"),
                   os.path.join(o.top, "tests/bench/lio_guest.sh")]
        run = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=env)
    if run.returncode != 0:
        print(run.stdout[-3000:], run.stderr[-3000:], file=sys.stderr)
        raise SystemExit(f"lio: the guest ended with {run.returncode}")
    return run.stdout


def collect(output):
    runs, failed = {}, []
    for line in output.splitlines():
        hit = re.match(r"RESULT ([^|]*)\|([^|]*)\|(\d+)\|(.*)", line)
        if not hit:
            continue
        server, cell, _, text = hit.groups()
        try:
            runs.setdefault(cell, {}).setdefault(server, []).append(json.loads(text))
        except ValueError:
            failed.append(f"{server}, {cell}: {text}")
            continue
        if runs[cell][server][-1]["ios"] == 0:
            failed.append(f"{server}, {cell}: no I/O ended in the time")
            runs[cell][server].pop()
    cells = {}
    for cell, servers in runs.items():
        cells[cell] = {}
        for server, rows in ((s, r) for s, r in servers.items() if r):
            iops = statistics.median(r["iops"] for r in rows)
            cells[cell][server] = {"iops": iops, "ns_io": 1e9 / iops, "p50_us": statistics.median(r["p50_us"] for r in rows), "p99_us": statistics.median(r["p99_us"] for r in rows),
                                   "spread": (max(r["iops"] for r in rows) - min(r["iops"] for r in rows)) / iops}
    return cells, failed


def markdown(o, cells, failed):
    lines = [f"One guest (QEMU TCG, `-icount shift={o.shift},sleep=off`: an instruction is {1 << int(o.shift)} ns, {o.cpus} vCPU, `-cpu {o.cpu}`), {o.mib} MiB file in tmpfs, client in the guest, "
             f"{o.rounds} alternated rounds of {o.seconds} s of guest time, medians. Instructions per I/O are the whole guest's: client, TCP, server.", ""]
    for cell, asked in ((c, a) for c, _, a in CELLS if c in cells):
        rows = cells[cell]
        lines += [f"### {cell}", "", "| server | I/Os per guest second | instructions per I/O | p50 µs | p99 µs | vs LIO | vs tgt |", "|---|---:|---:|---:|---:|---:|---:|"]
        lio, tgt = rows.get("lio-fileio"), rows.get("tgt")
        for s, r in rows.items():
            ratio = lambda base: f"{r['iops'] / base['iops']:.2f}x" if base else ""
            lines.append(f"| {s} | {r['iops']:.0f} | {r['ns_io'] / (1 << int(o.shift)):.0f} | {r['p50_us']:.0f} | {r['p99_us']:.0f} | {ratio(lio)} | {ratio(tgt)} |")
        if lio and "ours" in rows:
            got = rows["ours"]["iops"] / lio["iops"]
            said = f"{got:.2f}x of {asked:g}x asked"
            lines.append(f"\n- throughput against LIO: {'reached: ' + said if got >= asked else '**not reached: ' + said + '**'}")
        lines.append("")
    for cell in (c for c, *_ in FAIR if c in cells):
        lines += [f"### {cell}", "", "Fairness where nothing else runs: one CPU for clients and server, so the scheduler's turns are in it.", "",
                  "| server | I/Os per guest second | p50 µs | p99 µs |", "|---|---:|---:|---:|"]
        lines += [f"| {s} | {r['iops']:.0f} | {r['p50_us']:.0f} | {r['p99_us']:.0f} |" for s, r in cells[cell].items()] + [""]
        if "ours" in cells[cell]:
            said = f"{cells[cell]['ours']['p99_us']:.0f} µs of {FAIR_P99_US} µs asked"
            lines += [f"- p99: {'reached: ' + said if cells[cell]['ours']['p99_us'] <= FAIR_P99_US else '**not reached: ' + said + '**'}", ""]
    lines += [f"failed: {f}" for f in failed]
    return "\n".join(lines)


def main():
    a = argparse.ArgumentParser(prog="bench.sh --lio")
    a.add_argument("--build", required=True)
    a.add_argument("--top", required=True)
    a.add_argument("-r", "--rounds", type=int, default=2)
    a.add_argument("-s", "--seconds", type=float, default=0.04)
    a.add_argument("-o", "--out")
    a.add_argument("--only", default=".")
    a.add_argument("--servers", default="ours,lio-fileio,lio-ramdisk,tgt,istgt,roof-gather,roof-map,roof-sendfile")
    a.add_argument("--cpus", type=int, default=1)
    a.add_argument("--shift", default="1")
    a.add_argument("--cpu", default="max")
    a.add_argument("--mib", type=int, default=64)
    a.add_argument("--timeout", type=int, default=900)
    a.add_argument("--append", default="")
    a.add_argument("--lio-params", default="")
    a.add_argument("--ours-options", default="")
    a.add_argument("--check", action="store_true", help="pass or fail each cell: what is asked of it, less 5 %")
    o = a.parse_args()
    o.out = o.out or os.path.join(o.build, "bench")
    os.makedirs(o.out, exist_ok=True)
    cells, failed = collect(run_guest(o, cells_asked(o)))
    text = markdown(o, cells, failed)
    goals = [(c, cells[c]["ours"]["iops"] / cells[c]["lio-fileio"]["iops"], asked) for c, _, asked in CELLS if {"ours", "lio-fileio"} <= set(cells.get(c, {}))]
    with open(os.path.join(o.out, "lio.json"), "w") as f:
        json.dump({"settings": {k: v for k, v in vars(o).items() if k not in ("build", "top", "out")}, "cells": cells, "failed": failed, "text": text, "goals": goals,
                   "fair": [(c, cells[c]["ours"]["p99_us"], FAIR_P99_US) for c, *_ in FAIR if "ours" in cells.get(c, {})]}, f, indent=1)
    if not o.check:
        print(text)
        return
    good = [got >= asked * 0.95 for _, got, asked in goals]
    for (cell, got, asked), ok in zip(goals, good):
        print(f"{'ok  ' if ok else 'FAIL'} {cell}: {got:.2f}x LIO, {asked:g}x asked")
    for f in failed:
        print("FAIL " + f)
    bad = len(cells_asked(o)) - sum(good)
    print(f"{sum(good)} passed, {bad} failed")
    sys.exit(bad > 0)


main()
