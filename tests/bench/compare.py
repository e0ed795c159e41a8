#!/usr/bin/env python3
"""One-shots against the tools people use instead; started by scripts/compare.sh inside its own name spaces.

copy: `iscsi cp` and `qemu-img convert` move one image, file to unit and unit to file. perf: `iscsi bench` and `iscsi-perf` load a
unit at the same depth and block size. Rounds alternate A B B A, so that a machine that others use too treats both alike; printed are
medians, the ratio of medians, and what the client and the server spent of CPU time.
"""
import argparse, hashlib, json, os, re, resource, signal, statistics, subprocess, sys, time
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from servers import Ours, Tgt

MIB = 1 << 20


def run(command, server, seconds=None):
    """Runs it; seconds, client CPU, server CPU, and what it printed. With `seconds` it is interrupted after so long."""
    before, begin = server.cpu_ns(), time.perf_counter()
    p = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if seconds:
        time.sleep(seconds)
        p.send_signal(signal.SIGINT)
    out = p.stdout.read()
    _, status, usage = os.wait4(p.pid, 0)
    took = time.perf_counter() - begin
    if status != 0 and not seconds:
        raise SystemExit(f"compare: {' '.join(command)}: status {status}: {out.strip()[-300:]}")
    return took, usage.ru_utime + usage.ru_stime, (server.cpu_ns() - before) / 1e9, out


def alternate(rounds, pair):
    """pair: two functions. A B B A A B ...; the results of each."""
    results = [[], []]
    for i in range(rounds):
        for which in ((0, 1) if i % 2 == 0 else (1, 0)):
            results[which].append(pair[which]())
    return results


def started(server, admin):
    """As installed, so without digests: iscsi and libiscsi offer different ones."""
    for key in ("HeaderDigest", "DataDigest"):
        subprocess.run(admin + ["-C", str(server.control), "--lld", "iscsi", "--mode", "target", "--op", "update", "--tid", "1", "--name", key, "--value", "None"], check=True)
    return server


def make_image(path, size, kind):
    with open(path, "wb") as f:
        f.truncate(size)
        for at in range(0, size, 8 * MIB):
            if kind == "sparse" and (at // (8 * MIB)) % 4:
                continue
            f.seek(at)
            f.write(os.urandom(8 * MIB))


def digest(path):
    h = hashlib.blake2b()
    with open(path, "rb") as f:
        while piece := f.read(4 * MIB):
            h.update(piece)
    return h.hexdigest()


def check_equal(a, b, size):
    os.sync()
    if digest(a) != digest(b):
        raise SystemExit(f"compare: {a} and {b} differ")


def compare_copy(options, servers, iscsi):
    size = options.size * MIB
    worst = 0
    print(f"| server | image | direction | iscsi cp s | qemu-img s | time ratio | cp CPU s | qemu-img CPU s | CPU ratio | server CPU ratio |")
    print("|---|---|---|---:|---:|---:|---:|---:|---:|---:|")
    for name in options.servers.split(","):
        unit, local = f"{options.work}/unit.img", f"{options.work}/local.img"
        for kind in options.images.split(","):
            make_image(local, size, kind)
            if os.path.exists(unit):
                os.unlink(unit)
            with open(unit, "wb") as f:
                f.truncate(size)
            server = servers[name](unit)
            # both end when the copy is durable: qemu-img would not flush by itself
            qemu = ["qemu-img", "convert", "-t", "writeback"] + (["-W"] if options.out_of_order else []) + ["-f", "raw", "-O", "raw"]
            out = [f"{options.work}/out0.img", f"{options.work}/out1.img"]

            def upload(which):
                if options.fresh:
                    os.truncate(unit, 0)
                    os.truncate(unit, size)
                return run([[iscsi, "cp", "--quiet", local, server.url()], qemu + ["-n", local, server.url()]][which], server)

            def download(which):
                if os.path.exists(out[which]):
                    os.unlink(out[which])
                return run([[iscsi, "cp", "--quiet", server.url(), out[which]], qemu + [server.url(), out[which]]][which], server)

            for direction, way in (("upload", upload), ("download", download)):
                for which in (0, 1):            # warm, and right
                    way(which)
                    check_equal(local, unit if direction == "upload" else out[which], size)
                ours, theirs = alternate(options.rounds, [lambda: way(0), lambda: way(1)])
                median = lambda runs, i: statistics.median(r[i] for r in runs)
                ratio = [median(ours, i) / max(median(theirs, i), 1e-9) for i in range(3)]
                worst = max(worst, ratio[0])
                print(f"| {name} | {kind} | {direction} | {median(ours, 0):.3f} | {median(theirs, 0):.3f} | {ratio[0]:.2f} | {median(ours, 1):.3f} | "
                      f"{median(theirs, 1):.3f} | {ratio[1]:.2f} | {ratio[2]:.2f} |", flush=True)
            server.stop()
    print(f"\nworst time ratio {worst:.2f} (below 1: iscsi cp is faster); {size // MIB} MiB, {options.rounds} rounds")


PERF = [("randread", 4096, 32), ("read", 4096, 32), ("randread", 4096, 1), ("randread", 65536, 16), ("read", MIB, 8)]


def compare_perf(options, servers, iscsi):
    print("| server | load | depth | iscsi bench IOPS | iscsi-perf IOPS | IOPS ratio | bench CPU us/IO | iscsi-perf CPU us/IO | CPU ratio |")
    print("|---|---|---:|---:|---:|---:|---:|---:|---:|")
    for name in options.servers.split(","):
        unit = f"{options.work}/unit.img"
        make_image(unit, options.size * MIB, "full")
        server = servers[name](unit)
        for rw, block, depth in PERF:
            def ours():
                _, _, _, text = run([iscsi, "bench", "--json", "--rw", rw, "--bs", str(block), "--depth", str(depth), "--time", str(options.seconds), server.url()]
                                    + (["--copy"] if options.copy else []), server)
                r = json.loads(text)
                return r["read"]["iops"], r["client_cpu"]["us_per_io"]

            def theirs():
                took, cpu, _, text = run(["iscsi-perf", "-b", str(block // 512), "-m", str(depth)] + (["-r"] if rw == "randread" else []) + [server.url()], server,
                                         options.seconds + 0.2)
                iops = [int(n) for n in re.findall(r"iops average (\d+)", text)]
                if not iops:
                    raise SystemExit(f"compare: iscsi-perf printed no average: {text[-300:]}")
                return iops[-1], cpu * 1e6 / max(1, iops[-1] * options.seconds)

            a, b = alternate(options.rounds, [ours, theirs])
            median = lambda runs, i: statistics.median(r[i] for r in runs)
            print(f"| {name} | {rw} {block} | {depth} | {median(a, 0):.0f} | {median(b, 0):.0f} | {median(a, 0) / median(b, 0):.2f} | {median(a, 1):.2f} | "
                  f"{median(b, 1):.2f} | {median(a, 1) / max(median(b, 1), 1e-9):.2f} |", flush=True)
        server.stop()
    print(f"\n{options.rounds} rounds of {options.seconds:g} s")


def main():
    parser = argparse.ArgumentParser(prog="compare.sh")
    parser.add_argument("what", choices=["copy", "perf"])
    parser.add_argument("--build", required=True)
    parser.add_argument("--servers", default="ours,tgt")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=1024, help="MiB")
    parser.add_argument("--images", default="full,sparse", help="copy: full of random data, or a quarter of it")
    parser.add_argument("--out-of-order", action="store_true", help="copy: qemu-img convert -W")
    parser.add_argument("--fresh", action="store_true", help="copy: every upload finds an empty unit")
    parser.add_argument("--seconds", type=float, default=2, help="perf: of one run")
    parser.add_argument("--copy", action="store_true", help="perf: iscsi bench --copy")
    parser.add_argument("--work", default="/run/work", help="where the images are (a tmpfs)")
    options = parser.parse_args()
    os.makedirs(options.work, exist_ok=True)
    servers = {"ours": lambda unit: started(Ours(options.build, options.work, unit), [f"{options.work}/bin/tgtadm"]),
               "tgt": lambda unit: started(Tgt(options.work, unit), ["/usr/sbin/tgtadm"])}
    (compare_copy if options.what == "copy" else compare_perf)(options, servers, os.path.abspath(os.path.join(options.build, "iscsi")))


main()
