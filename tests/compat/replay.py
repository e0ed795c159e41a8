#!/usr/bin/env python3
"""replay.py [-v] [--record] [--bin DIR] [NAME...]: run the command lines of golden/NAME.steps against the programs of DIR (default: the
links of build/iscsi), in mount, network, pid and host name spaces of their own, and compare what they print with
golden/NAME.txt, which was recorded with tgt 1.0.85. A command that may differ is named, with the reason and what we print
instead, in accepted/NAME.txt (or accepted/all.txt). Needs root and libiscsi. Last line: N passed, N failed.

Steps: `! cmd` runs unseen, `? cmd` waits until it succeeds, `& NAME cmd` starts in the background and waits for it (a tgtd answers,
a qemu-io has logged in and prompts), `% NAME` ends it, `> NAME text` writes to a background program (and waits for a qemu-io to prompt
again), `< FILE` shows a file, `# text` and `@ text` are for the reader, `LOG on|off` is of the recorder; the rest are commands that
count. accepted/*.txt: `## reason`, then `$ command` as in the transcript (`$2 command`: its second time only) with the lines
expected; `~ regex` stands for a line, `*` for any number of lines. Instead of lines, `= sorted` means tgt's in any order,
`= s/regex/text/` tgt's after that change. --record writes golden/NAME.txt anew: for programs of tgt itself only (--bin with an
empty directory)."""
import difflib, os, re, signal, subprocess, sys, time

here = os.path.dirname(os.path.realpath(__file__))
top = os.path.dirname(os.path.dirname(here))


def segments(text):
    """[(command, [lines])] of a transcript; log lines of the daemon and comments left out."""
    found, current = [], None
    for line in text.split('\n'):
        if current is None:
            if line.startswith('$ '):
                current = (line[2:], [])
                found.append(current)
                if line.endswith(' &'):
                    current = None
            continue
        if line.startswith('[tgtd] '):
            continue
        current[1].append(line)
        if re.fullmatch(r'\[exit \d+\]|\[timeout .*\]', line):
            current = None
    return found


class Accepted:
    def __init__(self, *paths):
        self.rules = []
        for path in paths:
            if not os.path.exists(path):
                continue
            reason = rule = None
            for number, line in enumerate(open(path).read().split('\n'), 1):
                if line.startswith('##'):
                    reason, rule = line[2:].strip(), None
                    continue
                m = re.match(r'\$(\d*) (.*)', line)
                if m:
                    if not reason:
                        sys.exit('%s:%d: no reason given' % (path, number))
                    rule = {'times': int(m[1]) if m[1] else 0, 'command': m[2], 'lines': [], 'used': False, 'at': '%s:%d' % (path, number)}
                    self.rules.append(rule)
                elif rule is not None and not (rule['lines'] and rule['lines'][-1].startswith('[exit ')):
                    rule['lines'].append(line)
                elif line and not line.startswith('#'):
                    sys.exit('%s:%d: what is this?' % (path, number))

    def find(self, command, nth):
        for r in self.rules:
            same = re.fullmatch(r['command'][2:], command) if r['command'].startswith('~ ') else r['command'] == command
            if same and r['times'] in (0, nth):
                r['used'] = True
                return r['lines']
        return None


def matches(expected, actual):
    if not expected:
        return not actual
    if expected[0] == '*':
        return any(matches(expected[1:], actual[i:]) for i in range(len(actual) + 1))
    if not actual:
        return False
    e, a = expected[0], actual[0]
    good = re.fullmatch(e[2:], a) if e.startswith('~ ') else e == a
    return bool(good) and matches(expected[1:], actual[1:])


def as_accepted(rule, golden, actual):
    """Whether the output is what an accepted difference says."""
    if not any(line.startswith('= ') for line in rule):
        return matches(rule, actual)
    expected = list(golden)
    for line in rule:
        if line.startswith('= s'):
            if line == '= sorted':
                continue
            _, pattern, text, _ = line[3:].split(line[3])
            expected = [e for e in (re.sub(pattern, text, e) for e in expected) if e != '(gone)']
    if '= sorted' in rule:
        expected, actual = sorted(expected), sorted(actual)
    return expected == actual


PATIENCE_S = 20         # for what a step waits for; far above what it takes


def wait_until(what, done):
    end = time.monotonic() + PATIENCE_S
    while not done():
        if time.monotonic() > end:
            sys.exit('waited in vain: ' + what)
        time.sleep(0.01)


def settled():
    """Whether the servers have heard of every connection that its client has ended."""
    rows = [line.split() for family in ('tcp', 'tcp6') for line in open('/proc/net/' + family).readlines()[1:]]
    port = lambda row: row[1].rpartition(':')[2]
    served = {port(row) for row in rows if row[3] == '0A'}              # LISTEN
    return not any(row[3] == '08' and port(row) in served for row in rows)      # CLOSE-WAIT


class Runner:
    def __init__(self):
        self.background = {}

    def shell(self, command, **more):
        return subprocess.run(['bash', '-c', command], stdin=subprocess.DEVNULL, **more)

    def succeeds(self, command):
        return self.shell(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0

    def command(self, line):
        try:
            p = self.shell(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        except subprocess.TimeoutExpired:
            return ['[timeout 60 s]']
        out = p.stdout.decode('utf8', 'replace')
        lines = out.split('\n')
        if lines[-1] == '':
            lines.pop()
        elif out:
            lines += ['[no newline at end of output]']
        lines += ['[stderr] ' + e for e in p.stderr.decode('utf8', 'replace').splitlines()]
        code = p.returncode if p.returncode >= 0 else 128 - p.returncode
        return lines + ['[exit %d]' % code]

    def output(self, name):
        return '/run/rec/bg-%s.out' % name

    def prompts(self, name):
        return open(self.output(name)).read().count('qemu-io> ')

    def start(self, name, command):
        out = open(self.output(name), 'w')
        p = self.background[name] = subprocess.Popen(['bash', '-c', 'exec ' + command], stdin=subprocess.PIPE, stdout=out, stderr=out, start_new_session=True)
        started = {
            'tgtd': lambda: self.succeeds('tgtadm --mode sys --op show'),
            'qemu-io': lambda: self.prompts(name) > 0,
        }.get(command.split()[0])               # of others the next step asks what it needs
        if started:
            wait_until('%s starts' % name, lambda: p.poll() is not None or started())

    def end(self, name):
        p = self.background.pop(name)
        p.terminate()
        try:
            p.wait(3)
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()
        wait_until('the end of connections after ' + name, settled)

    def run(self, steps):
        """Yields (command, lines) for each command that counts."""
        lines = iter(steps.split('\n'))
        held = ''
        for line in lines:
            line = held + '\n' + line if held else line
            held = ''
            if line.endswith('\\'):
                held = line
                continue
            kind = line[:2]
            if not line.strip() or kind in ('# ', '@ ') or line in ('#', '@') or line.startswith('LOG '):
                continue
            if kind == '! ' and line.endswith("<<'X'"):
                body = []
                for b in lines:
                    if b == 'X':
                        break
                    body.append(b)
                self.shell(line[2:] + '\n' + '\n'.join(body) + '\nX')
            elif kind == '! ':
                self.shell(line[2:])
            elif kind == '> ':
                _, name, text = line.split(' ', 2)
                pipe, before = self.background[name].stdin, self.prompts(name)
                pipe.write((text + '\n').encode())
                pipe.flush()
                if before:                      # of a qemu-io: it prompts again when it is done
                    wait_until(line, lambda: self.prompts(name) > before)
            elif kind == '? ':
                wait_until(line, lambda: self.succeeds(line[2:]))
            elif kind == '& ':
                _, name, command = line.split(' ', 2)
                self.start(name, command)
            elif kind == '% ':
                self.end(line[2:].strip())
            else:
                if line[0] == '<':
                    line = 'cat ' + line[1:].strip()
                yield line, self.command(line)
                wait_until('the end of connections after ' + line, settled)
        for p in self.background.values():
            p.kill()


def record(name):
    steps = open('%s/golden/%s.steps' % (here, name)).read()
    with open('%s/golden/%s.txt' % (here, name), 'w') as out:
        for command, lines in Runner().run(steps):
            out.write('\n'.join(['$ ' + command] + lines) + '\n')
    print('COUNT 1 0')


def inside(name, verbose):
    """In the name spaces: replay one transcript."""
    golden = segments(open('%s/golden/%s.txt' % (here, name)).read())
    golden = [g for g in golden if not g[0].endswith(' &')]
    accepted = Accepted('%s/accepted/%s.txt' % (here, name), '%s/accepted/all.txt' % here)
    steps = open('%s/golden/%s.steps' % (here, name)).read()
    passed = failed = differing = 0
    seen = {}
    place = 0
    for command, actual in Runner().run(steps):
        seen[command] = seen.get(command, 0) + 1
        expected = golden[place][1] if place < len(golden) and golden[place][0] == command else None
        place += 1
        other = accepted.find(command, seen[command])
        if expected is not None and matches(expected, actual):
            passed += 1
        elif other is not None and as_accepted(other, expected or [], actual):
            passed += 1
            differing += 1
        else:
            failed += 1
            print('FAIL %s: $ %s' % (name, command))
            wanted = other if other is not None else expected if expected is not None else ['(not in the transcript)']
            for line in difflib.unified_diff(wanted, actual, 'expected', 'actual', lineterm='', n=2):
                print('    ' + line)
    print('%s: %d as tgt, %d with accepted differences, %d failed' % (name, passed - differing, differing, failed))
    if verbose:
        for r in accepted.rules:
            if not r['used'] and 'all.txt' not in r['at']:
                print('%s: unused: %s' % (r['at'], r['command']))
    print('COUNT %d %d' % (passed, failed))


SETUP = r'''
mount --make-rprivate /
hostname san1; ip link set lo up
ip addr add 192.0.2.10/24 dev lo; ip addr add 192.0.2.11/24 dev lo; ip addr add 2001:db8::10/64 dev lo nodad
for d in /srv /run /etc/tgt; do mkdir -p $d; done
cp -a /etc/tgt /tmp/etctgt.$$ 2>/dev/null
mkdir -p /var/lib/tgt; mount -t tmpfs t /var/lib/tgt; mount -t tmpfs t /srv; mount -t tmpfs t /run; mount -t tmpfs t /etc/tgt; mkdir -p /run/rec /run/lock /run/bin
cp -a /tmp/etctgt.$$/. /etc/tgt/ 2>/dev/null; rm -rf /tmp/etctgt.$$
[ -e /etc/tgt/targets.conf ] || { mkdir -p /etc/tgt/conf.d; echo 'include /etc/tgt/conf.d/*.conf' > /etc/tgt/targets.conf; }
"$1/iscsi" --install -s /run/bin 2>/dev/null || cp -a "$1/." /run/bin/
[ -x "$2" ] && cp "$2" /run/bin/cdb
# up N: when the tgtd of control port N answers
printf '%s\n' '#!/bin/sh' 'n=400; until tgtadm -C $1 --mode sys --op show > /dev/null 2>&1; do n=$((n-1)); [ $n -gt 0 ] || exit 1; sleep 0.05; done' > /run/bin/up; chmod 755 /run/bin/up
export TOOLS=$(dirname "$3") T=iscsi://127.0.0.1/iqn.2001-04.com.example:disk1 PATH=/run/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 TZ=UTC
unset TGT_IPC_SOCKET NOTIFY_SOCKET; cd /srv
exec python3 "$3" --inside "$4" $5
'''


def main(arguments):
    if arguments[:1] == ['--inside']:
        return record(arguments[1]) if '--record' in arguments else inside(arguments[1], '-v' in arguments)
    bindir = os.path.join(top, 'build')
    names = []
    flags = ' '.join(a for a in arguments if a in ('-v', '--record'))
    rest = iter(a for a in arguments if a not in ('-v', '--record'))
    for a in rest:
        if a == '--bin':
            bindir = os.path.abspath(next(rest))
        else:
            names.append(a)
    if not names:
        names = sorted(f[:-6] for f in os.listdir(os.path.join(here, 'golden')) if f.endswith('.steps'))
    cdb = os.path.join(os.environ.get('TMPDIR', '/tmp'), 'compat-cdb.%d' % os.getpid())
    subprocess.run(['cc', '-O1', '-o', cdb, os.path.join(here, 'cdb.c'), '-liscsi'], check=True)
    passed = failed = 0
    for name in names:
        p = subprocess.run(['timeout', '-k', '5', '300', 'unshare', '-mnupf', '--mount-proc', '--kill-child', 'bash', '-c', SETUP, 'replay', bindir, cdb,
                            os.path.realpath(__file__), name, flags], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        out = p.stdout.decode('utf8', 'replace')
        m = re.search(r'^COUNT (\d+) (\d+)$', out, re.M)
        print(re.sub(r'^COUNT .*\n', '', out, flags=re.M), end='', flush=True)
        if not m:
            print('FAIL %s: the replay itself ended with %d' % (name, p.returncode))
            failed += 1
            continue
        passed += int(m[1])
        failed += int(m[2])
    os.unlink(cdb)
    print('%d passed, %d failed' % (passed, failed))
    return 0 if failed == 0 and passed > 0 else 1


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
