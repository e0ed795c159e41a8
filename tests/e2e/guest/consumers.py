"""What other programs ask of iscsiadm, and how they read its answers: OpenStack's os-brick, Kubernetes' kubelet and CSI driver,
Proxmox VE. Commands, status codes and patterns are theirs; what they do around them is not. Prints `ok` and `FAIL` lines."""
import glob, os, re, subprocess, sys, time

IQN, SECRET, PORTAL = sys.argv[1], sys.argv[2], sys.argv[3]
ADDRESS = PORTAL + ":3260"
said = ("", 0)


def check(name, good, got=None):
    print(("ok   " if good else "FAIL ") + name + ("" if good else ": %r after %r" % (got, said)), flush=True)


def run(*words, ok=(0,), limit=30, stderr=False):
    """stdout of iscsiadm; a status that the program would not take is a failed check."""
    global said
    p = subprocess.run(("iscsiadm",) + words, capture_output=True, text=True, timeout=limit)
    said = (" ".join(words), p.returncode, p.stdout[-300:], p.stderr[-300:])
    if p.returncode not in ok:
        check("status of iscsiadm " + " ".join(words), False, p.returncode)
    return p.stdout + (p.stderr if stderr else "")


def wait(f):
    for _ in range(100):
        if (got := f()):
            return got
        time.sleep(0.1)
    return f()


def blocks(sid, lun):
    return glob.glob("/sys/class/iscsi_session/session%s/device/target*/*:%s/block/sd*" % (sid, lun))


def os_brick():
    def node(*w, ok=(0,)):
        return run("-m", "node", "-T", IQN, "-p", ADDRESS, *w, ok=ok)

    def sessions():
        """Lines are split on blanks: transport, [sid], portal,tpgt and name."""
        found = []
        for line in run("-m", "session", ok=(0, 21, 255)).splitlines():
            w = line.split()
            if len(w) >= 4:
                portal, tpgt = w[2].split(",")
                found.append((w[0], w[1], portal, tpgt, w[3]))
        return found

    print("# os-brick")
    check("os-brick: no session", sessions() == [])
    run("-m", "discoverydb", "-t", "sendtargets", "-p", ADDRESS, "--op", "update", "-n", "discovery.sendtargets.auth.authmethod", "-v", "None", ok=(0, 6, 255, 21))
    run("-m", "discoverydb", "-t", "sendtargets", "-p", ADDRESS, "--op", "new", ok=(0, 255))
    found = []
    for line in run("-m", "discoverydb", "-t", "sendtargets", "-p", ADDRESS, "--discover", ok=(0, 255)).splitlines():
        w = line.split()
        if len(w) == 2 and w[1].startswith("iqn"):
            found.append((w[0].split(",")[0], w[1]))
    check("os-brick: discovery", (ADDRESS, IQN) in found and (ADDRESS, SECRET) in found, found)
    nodes = [(l.split(",")[0], l.split()[1]) for l in run("-m", "node", ok=(0, 21, 255)).splitlines()]
    check("os-brick: list of nodes", (ADDRESS, IQN) in nodes, nodes)
    shown = run("-m", "node", "--op", "show", "-p", ADDRESS, ok=(0, 21))
    check("os-brick: node.startup of the records", re.findall(r"^node\.name = (\S+)$", shown, re.M) and set(re.findall(r"^node\.startup = (\S+)$", shown, re.M)) == {"manual"}, shown[:200])
    tree = run("-m", "discoverydb", "-o", "show", "-P", "1")
    part = re.search(r"^DiscoveryAddress: %s,3260\n(.*?)(?=^DiscoveryAddress|^iSNS:|\Z)" % re.escape(PORTAL), tree, re.M | re.S)
    lines = part.group(1) if part else ""
    check("os-brick: the discovery tree", "SENDTARGETS:" in tree and re.search(r"^Target: %s\s*$" % re.escape(IQN), lines, re.M | re.I) is not None
          and re.search(r"^\s*Portal: %s," % re.escape(ADDRESS), lines, re.M) is not None and re.search(r"^\s*Iface Name: default", lines, re.M) is not None, tree)
    node(ok=(0, 21, 255))
    node("--interface", "default", "--op", "new", ok=(0, 6))
    node("--op", "update", "-n", "node.session.scan", "-v", "manual")
    node("--op", "update", "-n", "node.session.auth.authmethod", "-v", "None")
    node("--login", ok=(0, 15, 255))
    node("--op", "update", "-n", "node.startup", "-v", "automatic")
    ours = [s for s in sessions() if s[2] == ADDRESS and s[4] == IQN]
    check("os-brick: the session", len(ours) == 1 and ours[0][0] == "tcp:" and re.fullmatch(r"\[\d+\]", ours[0][1]) and ours[0][3] == "1", ours)
    sid = ours[0][1].strip("[]")
    node("--login", ok=(15,))
    check("os-brick: a second login ends with 15", said[1] == 15)
    check("os-brick: node.session.scan = manual finds no disk", not blocks(sid, 1))
    targets = glob.glob("/sys/class/iscsi_host/host*/device/session%s/target*" % sid)
    hosts = [re.search(r"/host(\d+)/", g).group(1) for g in glob.glob("/sys/class/iscsi_host/host*/device/session" + sid)]
    channel, target = (targets[0].rsplit("target", 1)[1].split(":")[1:] if targets else ("0", "0"))
    with open("/sys/class/scsi_host/host%s/scan" % hosts[0], "w") as f:
        f.write("%s %s %s" % (channel, target, 1))
    check("os-brick: its own scan of one unit", len(wait(lambda: blocks(sid, 1))) == 1 and not blocks(sid, 2))
    node("--rescan")
    name = os.path.basename(blocks(sid, 1)[0])
    with open("/sys/block/%s/device/delete" % name, "w") as f:
        f.write("1")
    check("os-brick: the disk is deleted", wait(lambda: not blocks(sid, 1)))
    node("--op", "update", "-n", "node.startup", "-v", "manual", ok=(0, 21, 255))
    node("--logout", ok=(0, 21, 255))
    node("--op", "delete", ok=(0, 21, 255))
    check("os-brick: nothing is left", sessions() == [] and IQN not in run("-m", "node", ok=(0, 21, 255)).split())
    node("--logout", ok=(21,))
    iface = run("-m", "iface", "-I", "default", ok=(0, 2, 6, 21))
    check("os-brick: the transport of an iface", re.search(r"iface\.transport_name = (\S+)", iface).group(1) == "tcp", iface)


def kubelet():
    print("# kubelet")
    volume = ADDRESS + ":pv-0001"
    shown = run("-m", "iface", "-I", "default", "-o", "show")
    check("kubelet: the transport", re.search(r"iface.transport_name = (.*)\n", shown).group(1) == "tcp", shown)
    pairs = [l.split() for l in shown.splitlines() if l.strip() and not l.strip().startswith("#")]
    check("kubelet: an iface is lines of three words", pairs and all(len(p) == 3 and p[1] == "=" for p in pairs), [p for p in pairs if len(p) != 3])
    run("-m", "iface", "-I", volume, "-o", "new")
    for key, _, value in pairs:
        if key == "iface.iscsi_ifacename":
            continue
        run("-m", "iface", "-I", volume, "-o", "update", "-n", key, "-v", "iqn.2001-04.com.example:pod" if key == "iface.initiatorname" else value)
    clone = dict((l.split() + ["", ""])[0:3:2] for l in run("-m", "iface", "-I", volume, "-o", "show").splitlines() if l and l[0] != "#")
    check("kubelet: the clone of an iface, its values as they were", clone.get("iface.initiatorname") == "iqn.2001-04.com.example:pod" and clone.get("iface.hwaddress") == "<empty>"
          and clone.get("iface.transport_name") == "tcp", clone)
    discovery = ("-m", "discoverydb", "-t", "sendtargets", "-p", ADDRESS, "-I", volume)
    run(*discovery, "-o", "new")
    run(*discovery, "-o", "update", "-n", "discovery.sendtargets.auth.authmethod", "-v", "None")
    run(*discovery, "--discover")
    node = ("-m", "node", "-p", ADDRESS, "-T", SECRET)
    run(*node, "-o", "update", "-n", "node.session.scan", "-v", "manual")
    run(*node, "-I", volume, "--login", ok=(24,))
    check("kubelet: a login without CHAP ends with 24", said[1] == 24)
    for key, value in (("authmethod", "CHAP"), ("username", "alice"), ("password", "alicesecret12")):
        run(*node, "-o", "update", "-n", "node.session.auth." + key, "-v", value)
    run(*node, "-I", volume, "--login")
    run(*node, "-o", "update", "-n", "node.startup", "-v", "manual")
    session = [s for s in glob.glob("/sys/class/iscsi_session/session*") if open(s + "/targetname").read().strip() == SECRET]
    check("kubelet: the session in sysfs", len(session) == 1 and open(session[0] + "/initiatorname").read().strip() == "iqn.2001-04.com.example:pod", session)
    sid = session[0].rsplit("session", 1)[1]
    portals = [open(c + "/persistent_address").read().strip() + ":" + open(c + "/persistent_port").read().strip()
               for c in glob.glob("/sys/class/iscsi_host/host*/device/session%s/connection*/iscsi_connection/connection*" % sid)]
    check("kubelet: the portal in sysfs", portals == [ADDRESS], portals)
    host = re.search(r"host(\d+)/device", glob.glob("/sys/class/iscsi_host/host*/device/session" + sid)[0]).group(1)
    with open("/sys/class/scsi_host/host%s/scan" % host, "w") as f:
        f.write("0 0 1")
    check("kubelet: the disk", wait(lambda: blocks(sid, 1)))
    run(*node, "-I", volume, "--logout")
    run(*node, "-I", volume, "-o", "delete")
    run("-m", "iface", "-I", volume, "-o", "delete")
    run(*discovery[:-2], "-o", "delete", ok=(0, 21))


def csi():
    print("# csi-driver-iscsi")
    run("-m", "iface", "-o", "show", limit=3)
    discovery = ("-m", "discoverydb", "-t", "sendtargets", "-p", ADDRESS, "-I", "default")
    run(*discovery, "-o", "new", limit=3)
    run(*discovery, "-o", "update", "-n", "discovery.sendtargets.auth.authmethod", "-v", "None", "-n", "node.session.auth.chap_algs", "-v", "MD5", ok=(0, 6, 7), limit=3)
    run(*discovery, "--discover", limit=3)
    node = ("-m", "node", "-T", SECRET, "-p", ADDRESS)
    run(*node, "-I", "default", "-o", "new", limit=3)
    run(*node, "-o", "update", "-n", "node.session.auth.authmethod", "-v", "CHAP", "-n", "node.session.auth.username", "-v", "alice", "-n", "node.session.auth.password", "-v", "alicesecret12", limit=3)
    run(*node, "-l", limit=3)
    words = [l.split() for l in run("-m", "session", limit=3).splitlines()]
    check("csi: the list of sessions", [w for w in words if w[3] == SECRET and w[2].split(",")[0] == ADDRESS], words)
    run(*node, "-u", limit=3)
    run(*node, "-o", "delete", limit=3)
    run(*discovery, "-o", "delete", limit=3)


def proxmox():
    print("# Proxmox VE")
    session_line = re.compile(r"^tcp:\s+\[(\S+)\]\s+(\S+:\d+)\,\S+\s+(\S+)\s+\S+?\s*$")
    node_line = re.compile(r"^(\S+:\d+)\,\S+\s+(\S+)\s*$")
    none = run("--mode", "session", ok=(21,), stderr=True)
    check("Proxmox: no session", re.search(r": No active sessions\.", none, re.I), none)
    found = [node_line.match(l) for l in run("--mode", "discovery", "--type", "sendtargets", "--portal", PORTAL).splitlines()]
    check("Proxmox: discovery", all(found) and (ADDRESS, IQN) in [m.groups() for m in found], found)
    found = [node_line.match(l) for l in run("--mode", "node").splitlines()]
    check("Proxmox: nodes", all(found) and (ADDRESS, IQN) in [m.groups() for m in found], found)
    node = ("--mode", "node", "--targetname", IQN)
    run(*node, "--op", "update", "--name", "node.session.initial_login_retry_max", "--value", "0")
    run(*node, "--login")
    found = [session_line.match(l) for l in run("--mode", "session").splitlines()]
    check("Proxmox: sessions", all(found) and found[0].group(2, 3) == (ADDRESS, IQN), found)
    sid = found[0].group(1)
    check("Proxmox: sysfs", open("/sys/class/iscsi_session/session%s/state" % sid).read().strip() == "LOGGED_IN" and open("/sys/class/iscsi_session/session%s/targetname" % sid).read().strip() == IQN)
    check("Proxmox: disks", wait(lambda: glob.glob("/sys/devices/platform/host*/session%s/target*/*:1/block/sd*" % sid)))
    run("--mode", "session", "--sid", sid, "--rescan")
    run(*node, "--logout")


os_brick()
kubelet()
csi()
proxmox()
