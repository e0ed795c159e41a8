#!/usr/bin/env python3
"""middle.py PORT UPSTREAM-HOST UPSTREAM-PORT CONTROL-PORT : between an initiator and a target, to say what no target says at will.

PDUs pass unchanged but for StatSN and ExpStatSN, which make room for the asynchronous messages put in between. Without digests.
One line to CONTROL-PORT asks, one line answers:
  links                                 connections made so far, and Logout Requests seen: "3 2"
  gap                                   seconds from the last `close` to the connection after it
  async EVENT P1 P2 P3 [close] [HEX]    an Asynchronous Message (RFC 7143 11.9) with data segment HEX to the newest connection;
                                        close: and then cut it
"""
import fcntl, os, socket, struct, sys, termios, threading, time
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from pdu import ASYNC, DATA_IN, LOGOUT, NONE, R2T, opcode, padding, read_pdu

links, logouts, closed_at, gap = [], 0, None, -1.0
lock = threading.Lock()

class Link:
    def __init__(self, initiator, target):
        self.initiator, self.target, self.shift, self.lock = initiator, target, 0, threading.Lock()
        self.stat_sn = self.exp_cmd_sn = self.max_cmd_sn = 0
        for run in (self.down, self.up):
            threading.Thread(target=self.guard, args=(run,), daemon=True).start()

    def guard(self, run):
        try:
            run()
        except OSError:
            self.close()

    def close(self):
        for s in (self.initiator, self.target):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()

    def up(self):                       # initiator to target
        global logouts
        while True:
            head, rest = read_pdu(self.initiator)
            if opcode(head) == LOGOUT:
                with lock:
                    logouts += 1
            with self.lock:
                exp = struct.unpack_from(">I", head, 28)[0]
                struct.pack_into(">I", head, 28, (exp - self.shift) & 0xffffffff)
            self.target.sendall(bytes(head) + rest)

    def down(self):                     # target to initiator; a Data-In without status has no StatSN
        while True:
            head, rest = read_pdu(self.target)
            with self.lock:
                if opcode(head) != DATA_IN or head[1] & 1:
                    sn = (struct.unpack_from(">I", head, 24)[0] + self.shift) & 0xffffffff
                    struct.pack_into(">I", head, 24, sn)
                    if opcode(head) != R2T and head[16:20] != b"\xff\xff\xff\xff":
                        self.stat_sn = sn
                self.exp_cmd_sn, self.max_cmd_sn = struct.unpack_from(">II", head, 28)
                self.initiator.sendall(bytes(head) + rest)

    def inject(self, event, p1, p2, p3, data):
        with self.lock:
            self.shift += 1
            self.stat_sn = (self.stat_sn + 1) & 0xffffffff
            head = struct.pack(">BBHI8xIIIIIBBHHH4x", ASYNC, 0x80, 0, len(data), NONE, 0, self.stat_sn, self.exp_cmd_sn,
                               self.max_cmd_sn, event, 0, p1, p2, p3)
            self.initiator.sendall(head + data + padding(data))

def unsent(s):
    """Bytes that the other side has not acknowledged (SIOCOUTQ); 0 once it has closed: then so has Link.guard."""
    try:
        return struct.unpack("i", fcntl.ioctl(s, termios.TIOCOUTQ, bytes(4)))[0]
    except (OSError, ValueError):
        return 0

def accept(port, upstream):
    global closed_at, gap
    listener = socket.create_server(("", port))
    while True:
        initiator, _ = listener.accept()
        try:
            target = socket.create_connection(upstream)
        except OSError:
            initiator.close()
            continue
        for s in (initiator, target):
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with lock:
            if closed_at is not None:
                gap, closed_at = time.monotonic() - closed_at, None
            links.append(Link(initiator, target))

def control(port):
    global closed_at
    listener = socket.create_server(("127.0.0.1", port))
    while True:
        client, _ = listener.accept()
        words = client.makefile().readline().split()
        with lock:
            if words[0] == "links":
                answer = "%d %d" % (len(links), logouts)
            elif words[0] == "gap":
                answer = "%.2f" % gap
            else:
                data = bytes.fromhex(words[-1]) if len(words) > 5 and words[-1] != "close" else b""
                link = links[-1]
                link.inject(*map(int, words[1:5]), data)
                if "close" in words:
                    closed_at = time.monotonic()
                    while unsent(link.initiator):
                        time.sleep(0.001)
                    link.close()
                answer = "done"
        client.sendall(answer.encode() + b"\n")
        client.close()

threading.Thread(target=accept, args=(int(sys.argv[1]), (sys.argv[2], int(sys.argv[3]))), daemon=True).start()
control(int(sys.argv[4]))
