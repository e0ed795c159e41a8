#!/usr/bin/env python3
"""Counts the target's instructions per command: tgtd under callgrind, N commands and 2 N, the difference divided by N.

The client sends a batch, waits for all its answers, sends the next, so the server's work does not depend on timing.
Started by scripts/instructions.sh in name spaces of its own.
"""
import os, re, subprocess, sys, time
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import measure, servers

CASES = [  # name, load arguments, commands, idle sessions beside
    ("test unit ready", "--bs 512 --depth 1 --cdb tur", 2000, 0),
    ("read 4 KiB, depth 1", "--bs 4096 --depth 1", 2000, 0),
    ("read 4 KiB, depth 32", "--bs 4096 --depth 32", 3200, 0),
    ("write 4 KiB, depth 1", "--bs 4096 --depth 1 --read 0", 2000, 0),
    ("write 4 KiB, depth 32", "--bs 4096 --depth 32 --read 0", 3200, 0),
    ("read 1 MiB, depth 4", "--bs 1048576 --depth 4 --seq", 80, 0),
    ("write 1 MiB, depth 4", "--bs 1048576 --depth 4 --seq --read 0", 80, 0),
    ("read 4 KiB, depth 32, digests", "--bs 4096 --depth 32 --digests", 3200, 0),
    ("read 4 KiB, depth 32, beside 100 idle sessions", "--bs 4096 --depth 32", 3200, 100),
]
ALLOWED_GROWTH = 0.05


class UnderCallgrind(servers.TgtLike):
    name, port = "ours under callgrind", 3261

    def __init__(self, build, work, image):
        daemon, admin = servers.Ours.programs(os.path.join(build, "iscsi"), work)
        self.out = os.path.join(work, "callgrind.out")
        wrapper = os.path.join(work, "tgtd.sh")
        with open(wrapper, "w") as f:
            f.write(f"#!/bin/sh\nexec valgrind --tool=callgrind --callgrind-out-file={self.out} {daemon} -T 1 --busy-poll 0 \"$@\"\n")
        os.chmod(wrapper, 0o755)
        servers.TgtLike.__init__(self, wrapper, admin, image, 1)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise SystemExit("instructions: tgtd did not end at SIGTERM under callgrind")


def count(build, work, image, args, commands, idle=0):
    server = UnderCallgrind(build, work, image)
    held = measure.Held(server, os.path.join(build, "bench_load"), idle) if idle else None
    load = [os.path.join(build, "bench_load")] + server.load_args() + args.split() + ["--count", str(commands)]
    run = subprocess.run(["timeout", "120"] + load, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    server.stop()
    if held:
        held.end()
    if run.returncode != 0:
        raise SystemExit(f"instructions: {' '.join(load)}: {run.stderr.strip()}")
    return int(re.search(r"^(?:summary|totals): (\d+)", open(server.out).read(), re.M).group(1))


def per_command(build, work, image, args, commands, idle=0):
    n1, n2 = (count(build, work, image, args, n, idle) for n in (commands, 2 * commands))
    return round((n2 - n1) / commands)


def main():
    build, committed_path = sys.argv[1:3]
    subprocess.run("mount --make-rprivate / && mount -t tmpfs run /run && mkdir -p /run/lock /run/tgtd /run/work && ip link set lo up", shell=True, check=True)
    image = "/run/work/disk.img"
    with open(image, "wb") as f:
        for _ in range(64):
            f.write(os.urandom(1 << 20))
    committed = {}
    if os.path.exists(committed_path):
        for line in open(committed_path):
            if not line.startswith("#") and ":" in line:
                name, value = line.rsplit(":", 1)
                committed[name] = int(value)
    passed = failed = 0
    now = {}
    for name, args, commands, idle in CASES:
        now[name] = per_command(build, "/run/work", image, args, commands, idle)
        was = committed.get(name)
        growth = now[name] / was - 1 if was else None
        ok = "--update" in sys.argv or (was is not None and growth <= ALLOWED_GROWTH)
        passed, failed = passed + ok, failed + (not ok)
        print(f"{'ok  ' if ok else 'FAIL'} {name}: {now[name]} instructions per command, "
              + (f"committed {was} ({growth:+.1%})" if was else "no committed figure"), flush=True)
    if "--update" in sys.argv:
        with open(committed_path, "w") as f:
            f.write("# User-space instructions per command of the target (scripts/instructions.sh -u); CI refuses growth above 5 %.\n")
            f.writelines(f"{name}: {value}\n" for name, value in now.items())
        print(f"{len(now)} passed, 0 failed")
        return
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
