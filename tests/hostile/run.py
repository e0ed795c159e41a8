#!/usr/bin/env python3
"""run.py [-b BINARY] [MODE…] : the one-shots against a target that breaks the rules (target.py).

Each tool must end by itself with the status that says so, one line of explanation and bounded memory, whatever the target does; the
bound on time is a multiple of the limits given on its command line. Closing line: N passed, N failed.
"""
import argparse, asyncio, os, resource, sys, tempfile, time
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import target

LIMIT_S = 60            # far above what the options below allow
RSS_KIB = {"ls": 16 << 10, "ls-s": 16 << 10, "inq": 8 << 10, "bench": 8 << 10, "cp-from": 40 << 10, "cp-to": 40 << 10}


def command(tool, binary, port, image, out):
    url = f"iscsi://127.0.0.1:{port}/{target.IQN}/0"
    limits = ["--command-timeout", "1", "--timeout", "3"]
    return [binary] + {
        "ls": ["ls"] + limits + [f"iscsi://127.0.0.1:{port}"],
        "ls-s": ["ls", "-s"] + limits + [f"iscsi://127.0.0.1:{port}"],
        "inq": ["inq"] + limits + [url],
        "bench": ["bench", "--command-timeout", "1", "--time", "0.2", "--size", "512k", url],
        "cp-from": ["cp", "--quiet"] + limits + [url, out],
        "cp-to": ["cp", "--quiet"] + limits + [image, url],
    }[tool]


def peak_kib(pid):
    """Of what it executes now; rusage would count the interpreter it was forked from."""
    try:
        if os.readlink(f"/proc/{pid}/exe") == os.readlink("/proc/self/exe"):
            return 0
        return next((int(line.split()[1]) for line in open(f"/proc/{pid}/status") if line.startswith("VmHWM")), 0)
    except OSError:
        return 0


async def attempt(name, tool, fails, binary, port, work, gate):
    async with gate:
        image, out = f"{work}/image", f"{work}/{name}-{tool}.out"
        argv = command(tool, binary, port, image, out)
        begin = time.monotonic()
        err = open(f"{work}/{name}-{tool}.err", "w+b")
        pid = os.posix_spawnp(argv[0], argv, os.environ, file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0), (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0), (os.POSIX_SPAWN_DUP2, err.fileno(), 2)])
        rss = 0
        while True:
            rss = max(rss, peak_kib(pid))
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                break
            if time.monotonic() - begin > LIMIT_S:
                os.kill(pid, 9)
                os.waitpid(pid, 0)
                return name, tool, f"does not end within {LIMIT_S} s; {rss} KiB"
            await asyncio.sleep(0.02)
        took = time.monotonic() - begin
        err.seek(0)
        said = err.read(20000).decode(errors="replace")
        if os.path.exists(out):
            os.unlink(out)
    if os.WIFSIGNALED(status):
        return name, tool, f"died of signal {os.WTERMSIG(status)}: {said[-300:]}"
    code = os.WEXITSTATUS(status)
    if code not in ((1,) if fails else (0, 1)):
        return name, tool, f"status {code}: {said[-300:]}"
    lines = said.splitlines()
    if code == 1 and not (lines and lines[-1].startswith("iscsi ")):
        return name, tool, f"says nothing: {said[-300:]!r}"
    if any(ord(c) < 32 and c not in "\n" for c in said) or len(lines) > 200 or max(map(len, lines), default=0) > 1000:
        return name, tool, f"says too much: {said[:300]!r}"
    if rss > RSS_KIB[tool]:
        return name, tool, f"needs {rss} KiB"
    print(f"ok   {name}: {tool}: {code} in {took:.1f} s, {rss} KiB: {lines[-1] if lines else ''}", flush=True)
    return name, tool, None


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-b", dest="binary", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../build/iscsi"))
    parser.add_argument("-j", dest="jobs", type=int, default=24, help="at once; most of them wait for time to pass")
    parser.add_argument("modes", nargs="*")
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    gate = asyncio.Semaphore(options.jobs)
    with tempfile.TemporaryDirectory() as work:
        with open(f"{work}/image", "wb") as f:
            f.write(os.urandom(1 << 20))
        jobs, servers = [], []
        for name in options.modes or target.MODES:
            cls, tools, fails = target.MODES[name]
            bound = asyncio.get_running_loop().create_future()
            servers.append(asyncio.create_task(target.serve(cls, bound.set_result)))
            port = await bound
            jobs += [attempt(name, tool, fails, os.path.abspath(options.binary), port, work, gate) for tool in tools.split()]
        results = await asyncio.gather(*jobs)
        for s in servers:
            s.cancel()
    wrong = [r for r in results if r[2]]
    for name, tool, why in wrong:
        print(f"FAIL {name}: {tool}: {why}")
    print(f"{len(results) - len(wrong)} passed, {len(wrong)} failed")
    return bool(wrong)


sys.exit(asyncio.run(main()))
