"""The servers under measurement: started on a port of their own, all on one file, and asked what they use."""
import os, signal, socket, subprocess, time

IQN = "iqn.2001-04.com.example:bench"


class Server:
    name, port, lun, target = "", 0, 1, IQN
    many = 1000          # sessions it is asked to hold at once
    speaks_iscsi = True

    def start_ms(self):
        """A second instance on the port above: from before its fork to the first connection it accepts."""
        port = self.port + 50
        command = self.again(port)
        if not command:
            return None
        begin = time.perf_counter()
        pid = os.posix_spawn(command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, n, "/dev/null", os.O_RDWR, 0) for n in (0, 1, 2)])
        try:
            while time.perf_counter() - begin < 10:
                s = socket.socket()
                refused = s.connect_ex(("127.0.0.1", port))
                s.close()
                if not refused:
                    return (time.perf_counter() - begin) * 1000
            raise SystemExit(f"bench: {' '.join(command)} does not listen")
        finally:
            os.kill(pid, signal.SIGTERM)
            time.sleep(0.05)            # what it may take to tidy up; some do not end by SIGTERM
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def again(self, port):
        return None

    def launch(self, command, **more):
        begin = time.perf_counter()
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=more.pop("stdout", subprocess.DEVNULL), stderr=subprocess.STDOUT, start_new_session=True, **more)
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                break
            except OSError:
                if self.process.poll() is not None or time.perf_counter() - begin > 10:
                    raise SystemExit(f"bench: {self.name} does not listen: {' '.join(command)}")
                time.sleep(0.002)

    def connections(self):
        """Those the server has not ended yet."""
        rows = (line.split() for family in ("tcp", "tcp6") for line in open("/proc/net/" + family).readlines()[1:])
        return sum(row[3] in ("01", "08") and int(row[1].rpartition(":")[2], 16) == self.port for row in rows)       # established, CLOSE-WAIT

    def cpu_ns(self):
        # the process's CPU clock (clock_getcpuclockid): all threads, those that have ended too
        return time.clock_gettime_ns((~self.process.pid << 3) | 2)

    def memory(self):
        """KiB, from /proc/PID/status. RssAnon is what the process costs; RssFile and RssShmem are pages of the binary and of a
        mapped image, which are in the page cache anyway; VmHWM is the peak of the sum."""
        keys = ("VmHWM", "VmRSS", "RssAnon", "RssFile", "RssShmem")
        found = (line.split() for line in open(f"/proc/{self.process.pid}/status"))
        return {f[0][:-1]: int(f[1]) for f in found if f and f[0][:-1] in keys}

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def load_args(self):
        return [f"127.0.0.1:{self.port}", "--target", self.target, "--lun", str(self.lun)]

    def url(self):
        return f"iscsi://127.0.0.1:{self.port}/{self.target}/{self.lun}"


class TgtLike(Server):
    """tgtd and tgtadm, theirs or ours."""

    def __init__(self, daemon, admin, image, control):
        self.control, self.daemon = control, daemon
        self.launch([daemon, "-f", "-C", str(control), "--iscsi", f"portal=127.0.0.1:{self.port}"])
        self.tgtadm = tgtadm = admin + ["-C", str(control), "--lld", "iscsi"]
        deadline = time.time() + 5
        while subprocess.run(tgtadm + ["--mode", "target", "--op", "show"], capture_output=True).returncode != 0:
            if time.time() > deadline:
                raise SystemExit(f"bench: {self.name} does not answer its tgtadm")
            time.sleep(0.01)
        for step in (["--mode", "target", "--op", "new", "--tid", "1", "-T", IQN],
                     ["--mode", "logicalunit", "--op", "new", "--tid", "1", "--lun", "1", "-b", image],
                     ["--mode", "target", "--op", "bind", "--tid", "1", "-I", "ALL"]):
            subprocess.run(tgtadm + step, check=True)
        for key in ("HeaderDigest", "DataDigest"):        # let the initiator choose
            subprocess.run(tgtadm + ["--mode", "target", "--op", "update", "--tid", "1", "--name", key, "--value", "CRC32C,None"], check=True)

    def add_unit(self, lun, image):
        subprocess.run(self.tgtadm + ["--mode", "logicalunit", "--op", "new", "--tid", "1", "--lun", str(lun), "-b", image], check=True)

    def again(self, port):
        return [self.daemon, "-f", "-C", str(self.control + 50), "--iscsi", f"portal=127.0.0.1:{port}"]


class Ours(TgtLike):
    name, port = "ours", 3261

    def __init__(self, build, work, image):
        binary = os.path.join(build, "iscsi")
        TgtLike.__init__(self, *self.programs(binary, work), image, 1)

    @staticmethod
    def programs(binary, work):
        d = os.path.join(work, "bin")
        if not os.path.isdir(d):
            os.makedirs(d)
            for name in ("tgtd", "tgtadm"):
                os.symlink(os.path.abspath(binary), os.path.join(d, name))
        return os.path.join(d, "tgtd"), [os.path.join(d, "tgtadm")]


class Tgt(TgtLike):
    name, port = "tgt", 3262

    def __init__(self, work, image):
        TgtLike.__init__(self, "/usr/sbin/tgtd", ["/usr/sbin/tgtadm"], image, 2)


def istgt_conf(pid, auth, media, image, port, sessions):
    return f"""[Global]
  NodeBase "iqn.2001-04.com.example"
  PidFile {pid}
  AuthFile {auth}
  MediaDirectory {media}
  LogFacility "local7"
  Timeout 30
  NopInInterval 20
  DiscoveryAuthMethod None
  MaxSessions {sessions}
  MaxConnections 4
  MaxOutstandingR2T 16
  FirstBurstLength 262144
  MaxBurstLength 1048576
  MaxRecvDataSegmentLength 262144
[UnitControl]
  AuthMethod None
  AuthGroup None
  Portal UC1 127.0.0.1:{port + 10}
  Netmask 127.0.0.1
[PortalGroup1]
  Portal DA1 127.0.0.1:{port}
[InitiatorGroup1]
  InitiatorName "ALL"
  Netmask ALL
[LogicalUnit1]
  TargetName bench
  Mapping PortalGroup1 InitiatorGroup1
  AuthMethod None
  UseDigest Auto
  UnitType Disk
  QueueDepth 64
  LUN0 Storage {image} Auto
"""


class Istgt(Server):
    name, port, lun = "istgt", 3263, 0
    many = 4             # a login takes it a second
    target = "iqn.2001-04.com.example:bench"

    def __init__(self, work, image):
        d = os.path.join(work, "istgt")
        os.makedirs(d, exist_ok=True)
        with open(os.path.join(d, "auth.conf"), "w") as f:
            os.chmod(f.name, 0o600)
        with open(os.path.join(d, "istgt.conf"), "w") as f:
            f.write(istgt_conf(f"{d}/pid", f"{d}/auth.conf", d, image, self.port, 2048))
        self.launch(["istgt", "-D", "-c", f.name])


class Roof(Server):
    speaks_iscsi = False

    def __init__(self, binary, mode, image, port):
        self.name, self.port = f"roof: {mode}", port
        self.launch([binary, mode, str(port), image])

    def load_args(self):
        return [f"127.0.0.1:{self.port}", "--roof"]
