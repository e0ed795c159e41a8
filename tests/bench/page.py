#!/usr/bin/env python3
"""page.py RESULTS.json PAGE.md SVG_FOLDER: the figures as a page with plots. Every figure that misses what is asked of it says so."""
import json, os, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import plot
from cells import CELLS, CLIENTS, FIGURES, SWEEPS, Goal, cell_goals, start_goals


def table(head, rows):
    return ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)] + ["| " + " | ".join(str(c) for c in r) + " |" for r in rows] + [""]


def number(value, digits=0):
    return "" if value is None else f"{value:.{digits}f}"


def bullets(goals):
    return [f"- {g.line()}" for g in goals] + [""]


def cell(name, rows, cells, all_goals):
    base = rows.get("tgt", {})
    body = []
    for server, r in rows.items():
        if "failed" in r:
            body.append([server, "failed: " + r["failed"]] + [""] * 7)
            continue
        cpu = f"1/{base['cpu_us_io'] / r['cpu_us_io']:.1f}" if base.get("cpu_us_io") and r["cpu_us_io"] else ""
        rate = f"{r['iops'] / base['iops']:.2f}x" if base.get("iops") else ""
        body.append([server] + [number(r[k]) for k in ("iops", "mib_s", "p50_us", "p99_us")] + [number(r["cpu_us_io"], 1), number(r["cpu_us_mib"]), cpu, rate])
    goals = cell_goals(name, rows, cells)
    all_goals += [(name, g) for g in goals]
    return [f"### {name}", ""] + table(["server", "IOPS", "MiB/s", "p50 µs", "p99 µs", "server CPU µs/IO", "µs/MiB", "CPU vs tgt", "IOPS vs tgt"], body) + bullets(goals)


def grid_memory(report, all_goals):
    peak = {}
    for rows in list(report.get("cells", {}).values()) + [rows for sweep in report.get("sweeps", {}).values() for rows in sweep.values()]:
        for server, r in rows.items():
            for k, v in r.get("memory", {}).items():
                peak.setdefault(server, {})[k] = max(v, peak.get(server, {}).get(k, 0))
    keys = ["VmHWM", "VmRSS", "RssAnon", "RssFile", "RssShmem"]
    lines = ["## Memory under the whole grid and the sweeps", "",
             "Peaks in KiB, sampled every 100 ms (VmHWM: the kernel's own peak). RssShmem are pages of the image in tmpfs that are mapped at that moment, RssFile",
             "those of the binary: both lie in the page cache once, whoever maps them; RssAnon is what the process takes for itself.", ""]
    lines += table(["server"] + keys, [[s] + [number(m.get(k)) for k in keys] for s, m in peak.items()])
    if "ours" in peak:
        g = Goal("peak RSS (VmHWM, mapped pages of the image included)", peak["ours"]["VmHWM"] / 1024, 24, more=False, unit=" MiB")
        all_goals.append(("memory", g))
        lines += bullets([g])
    return lines


def start(report, all_goals):
    head = ["server", "start to listening ms", "idle RSS KiB", "login ms", "sessions", "KiB anonymous per idle session", "RSS with them KiB", "of it anonymous", "logins/s", "IOPS with all at depth 1", "least served session's I/Os"]
    rows = []
    for s, r in report.items():
        each = (r["many_memory"]["RssAnon"] - r["one_memory"]["RssAnon"]) / (r["many"] - 1)
        rows.append([s, number(r.get("start_ms"), 1), r["idle_memory"]["VmRSS"], number(r["login_ms"], 2), r["many"], number(each, 1), r["many_memory"]["VmRSS"], r["many_memory"]["RssAnon"],
                     number(r.get("logins_per_s")), number(r.get("served_iops")), r.get("served_least_ios", r.get("failed", ""))])
    goals = start_goals(report["ours"]) if "ours" in report else []
    all_goals += [("start", g) for g in goals]
    return ["## Start, memory, logins", "", "One loader logs in one session after the other (login, TEST UNIT READY, READ CAPACITY).", ""] + table(head, rows) + bullets(goals)


def idle(report, all_goals):
    lines = ["## Many idle sessions beside a busy one", "", "Server CPU per command, least round, and, repeatable, instructions in user space (callgrind).", ""]
    rows = []
    for s, r in report.items():
        for name, v in r.items():
            if not isinstance(v, dict):
                continue
            a, b = (v.get("alone_us"), v.get("beside_us")) if "alone_us" in v else (v.get("alone_instructions"), v.get("beside_instructions"))
            unit = "µs" if "alone_us" in v else "instructions"
            rows.append([s, name + ", " + unit, number(a, 2 if unit == "µs" else 0), number(b, 2 if unit == "µs" else 0), r["many"] if "many" in r else "", f"{b / a - 1:+.1%}" if a and b else v.get("failed", "")])
            if s.startswith("ours") and a and b:
                all_goals.append(("idle sessions", Goal(f"{name}, {unit}: more with idle sessions than alone", (b / a - 1) * 100, 5, more=False, unit=" %")))
    return lines + table(["server", "command", "alone", "beside idle sessions", "idle sessions", "difference"], rows) + bullets([g for n, g in all_goals if n == "idle sessions"])


FAIR_BOUND_MS = 10


def fair(report, all_goals):
    lines = ["## Fairness", "", f"4 KiB reads at depth 1 on one session while others stream. The bound we state: p99 within {FAIR_BOUND_MS} ms beside one stream of writes and one of reads,", "all on the same two CPUs, the streaming clients niced by 10 (it is the server's turns that are asked about). One turn of a connection is",
             "at most 256 KiB in, and 256 KiB and a PDU out; how much of the rest the scheduler takes was not measured apart; the same on an undisturbed CPU: in the guest, below.", ""]
    rows = [[s, k, number(v["p50_us"]), number(v["p99_us"]), number(v["stream_mib_s"])] for s, r in report.items() for k, v in r.items()]
    goals = [Goal(f"p99 {k}", v["p99_us"] / 1000, FAIR_BOUND_MS, more=False, unit=" ms") for k, v in report.get("ours", {}).items() if k != "alone"]
    all_goals += [("fairness", g) for g in goals]
    return lines + table(["server", "4 KiB reads", "p50 µs", "p99 µs", "streams MiB/s"], rows) + bullets(goals)


def cold(report):
    rows = [[name, s] + ([number(r[f], d) for f, d in (("iops", 0), ("mib_s", 0), ("p50_us", 0), ("p99_us", 0), ("cpu_us_io", 1))] if "iops" in r else ["failed: " + r.get("failed", "")] + [""] * 4)
            + [f"{r['iops'] / by['tgt']['iops']:.2f}x" if "iops" in r and "iops" in by.get("tgt", {}) else ""] for name, by in report.items() for s, r in by.items()]
    return ["## Cold data", "", "A file of 2 GiB on a disk (virtual, so its speed varies), dropped from the page cache before each round; rounds of 0.25 s.", ""] + table(
        ["load", "server", "IOPS", "MiB/s", "p50 µs", "p99 µs", "CPU µs/IO", "vs tgt"], rows)


def client_tables(report):
    servers = list(dict.fromkeys(s for r in report.values() for s in r))
    rows = []
    for name, r in ((c[0], report[c[0]]) for c in CLIENTS if c[0] in report):
        base = r.get("tgt", {}).get("iops")
        rows.append([name] + [f"{r[s]['iops']:.0f}" if "iops" in r.get(s, {}) else "failed: " + r.get(s, {}).get("failed", "") for s in servers] + [f"{r['ours']['iops'] / base:.2f}x" if base and "iops" in r.get("ours", {}) else ""])
    return ["## Clients, I/Os per second", "", "`iscsi bench` is ours, `iscsi-perf` libiscsi's, `qemu-img bench` QEMU's.", ""] + table(["client"] + servers + ["ours vs tgt"], rows)


def sweeps(report, folder, link):
    lines = ["## Sweeps", ""]
    for key, label, points, _, first in SWEEPS:
        rows = report.get(key)
        if not rows:
            continue
        here = [p for p in points if str(p) in rows]
        for figure in (first, "cpu_us_io"):
            series = {s: [(p, rows[str(p)][s][figure]) for p in here if figure in rows[str(p)].get(s, {})] for s in rows[str(here[0])]}
            name = f"{key}-{figure}.svg"
            plot.lines(os.path.join(folder, name), f"{FIGURES[figure]} over {label}", label, FIGURES[figure], series)
            lines.append(f"![{FIGURES[figure]} over {label}]({link}{name})\n")
    return lines


def kernel_target(report, all_goals):
    lines = ["## Beside the kernel's own target", ""] + report["text"].splitlines() + [""]
    all_goals += [("in a guest, beside LIO: " + c, Goal("throughput against LIO", got, asked)) for c, got, asked in report["goals"]]
    all_goals += [("in a guest: " + c, Goal("p99", got, asked, more=False, unit=" µs")) for c, got, asked in report.get("fair", [])]
    return lines


def page(report, folder, link):
    goals, body = [], []
    cells = {n: report["cells"][n] for n, _ in CELLS if n in report.get("cells", {})}
    body += ["## Grid", ""]
    for name, rows in cells.items():
        body += cell(name, rows, cells, goals)
    body += grid_memory(report, goals)
    for section, make in (("start", start), ("idle", idle), ("fair", fair), ("lio", kernel_target)):
        if report.get(section):
            body += make(report[section], goals)
    if report.get("cold"):
        body += cold(report["cold"])
    if report.get("clients"):
        body += client_tables(report["clients"])
    body += sweeps(report.get("sweeps", {}), folder, link)
    m = report["machine"]
    missed = [f"- {where}: {g.line()}" for where, g in goals if not g.reached]
    load = f"; load average before the run {m['load_before']:.1f}" if "load_before" in m else "; load average not recorded"
    head = ["# Benchmark", "", f"{m['cpus']} CPUs ({m['model']}), Linux {m['kernel']}, loopback, a file of {m['mib']} MiB in tmpfs, client on the same machine; {m.get('rounds', 0)} alternated rounds",
            f"of {m.get('seconds', 0)} s, medians (CPU: the least round, noise only adds; memory: the most){load}. `scripts/bench.sh --page` makes this page, `scripts/bench.sh --page --only REGEX`",
            "runs single cells again. The roofs are servers with no protocol: `each` is pread and one send per answer, `gather` one send per wake-up, `sendfile` sendfile and splice,",
            "`map` a mapping of the file.", "", f"{len(goals) - len(missed)} of {len(goals)} figures asked for are reached." + (" Not reached:" if missed else ""), ""] + missed + [""]
    return "\n".join(head + body)


def main():
    source, target, folder = sys.argv[1:4]
    with open(source) as f:
        report = json.load(f)
    link = os.path.relpath(folder, os.path.dirname(os.path.abspath(target))) + "/"
    text = page(report, folder, "" if link == "./" else link)
    with open(target, "w") as f:
        f.write(text.rstrip() + "\n")
    print(text.split("## Grid")[0])
    print(target)


if __name__ == "__main__":
    main()
