#!/usr/bin/env python3
"""bad_targets.py FIRST-PORT : targets that break RFC 7143, one way each, on ports in a row. Prints `PORT NAME` lines, then serves."""
import os, socket, struct, sys, threading, time
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from pdu import LOGIN_RESPONSE, REJECT, TEXT_RESPONSE, data_of, padding, read_pdu

IQN = "iqn.2001-04.com.example:hostile"
first = int(sys.argv[1])

def read_request(s):
    head, rest = read_pdu(s)
    return head, data_of(head, rest)

def send(s, head, data=b"", length=None):
    head = bytearray(head)
    head[5:8] = (len(data) if length is None else length).to_bytes(3, "big")
    s.sendall(bytes(head) + data + padding(data))

def login_response(request, flags, stat_sn, status=0, tsih=1):
    isid, cmd_sn = request[8:14], struct.unpack_from(">I", request, 24)[0]
    return struct.pack(">BBBBBBH6sHIIIIIHHQ", LOGIN_RESPONSE, flags, 0, 0, 0, 0, 0, isid, tsih, struct.unpack_from(">I", request, 16)[0], 0,
                       stat_sn, cmd_sn, cmd_sn + 32, status, 0, 0)

def text_response(request, flags, stat_sn, ttt):
    cmd_sn = struct.unpack_from(">I", request, 24)[0]
    return struct.pack(">BBHIQIIIII12x", TEXT_RESPONSE, flags, 0, 0, 0, struct.unpack_from(">I", request, 16)[0], ttt, stat_sn, cmd_sn + 1, cmd_sn + 33)

def answers(data):
    out = []
    for pair in data.decode("latin-1").split("\0"):
        key, _, value = pair.partition("=")
        if key in ("HeaderDigest", "DataDigest"):
            out.append(key + "=None")
        elif key == "AuthMethod":
            out.append("AuthMethod=None")
        elif key in ("MaxBurstLength", "FirstBurstLength", "InitialR2T", "ImmediateData", "DefaultTime2Wait", "DefaultTime2Retain",
                     "MaxOutstandingR2T", "MaxConnections", "ErrorRecoveryLevel", "DataPDUInOrder", "DataSequenceInOrder",
                     "IFMarker", "OFMarker"):
            out.append(pair)
    out += ["TargetPortalGroupTag=1", "MaxRecvDataSegmentLength=8192"]
    return "".join(k + "\0" for k in out).encode()

def log_in(s):
    stat_sn = 0
    while True:
        request, data = read_request(s)
        send(s, login_response(request, request[1], stat_sn), answers(data))
        stat_sn += 1
        if request[1] & 0x83 == 0x83:
            return stat_sn

def garbage(s):
    s.sendall(os.urandom(100000))
    time.sleep(60)

def silence(s):
    time.sleep(600)

def trickle(s):
    request, data = read_request(s)
    for byte in login_response(request, request[1], 0):
        s.sendall(bytes([byte]))
        time.sleep(1)

def hangs_up(s):
    read_request(s)

def endless_login(s):
    stat_sn = 0
    while True:
        request, _ = read_request(s)
        send(s, login_response(request, 0x44 if request[1] & 0x0c else 0x40, stat_sn), b"X-com.example.k%d=" % stat_sn + b"x" * 8000)
        stat_sn += 1

def never_done(s):                      # answers every request, never agrees to go on
    stat_sn = 0
    while True:
        request, _ = read_request(s)
        send(s, login_response(request, request[1] & 0x0c, stat_sn))
        stat_sn += 1

def long_login(s):
    request, _ = read_request(s)
    send(s, login_response(request, request[1], 0), b"A=" + b"x" * 0xfffff0)
    time.sleep(60)

def lying_length(s):                    # promises more than it sends
    request, _ = read_request(s)
    send(s, login_response(request, request[1], 0), b"A=b\0", 8000)
    time.sleep(60)

def additional_header(s):
    request, _ = read_request(s)
    head = bytearray(login_response(request, request[1], 0))
    head[4] = 255
    send(s, head, os.urandom(255 * 4))
    time.sleep(60)

def other_opcode(s):
    request, _ = read_request(s)
    send(s, bytes([REJECT]) + login_response(request, request[1], 0)[1:])
    time.sleep(60)

def unasked_stage(s):
    request, _ = read_request(s)
    send(s, login_response(request, 0x87 | request[1] & 0x0c, 0, tsih=0))
    time.sleep(60)

def no_text(s):                         # a data segment that is no KEY=VALUE
    request, _ = read_request(s)
    send(s, login_response(request, request[1], 0), os.urandom(500))
    time.sleep(60)

def unknown_status(s):
    request, _ = read_request(s)
    send(s, login_response(request, 0, 0, 0x0e77))
    time.sleep(60)

def redirect(to):
    def run(s):
        request, _ = read_request(s)
        send(s, login_response(request, 0, 0, 0x0101), b"TargetAddress=%s\0" % to.encode() if to is not None else b"")
        time.sleep(5)
    return run

def in_a_circle(s):
    redirect("%s:%d" % (s.getsockname()[0], s.getsockname()[1]))(s)

def endless_targets(s):
    stat_sn, n = log_in(s), 0
    while True:
        request, _ = read_request(s)
        data = b""
        while len(data) < 7900:
            data += b"TargetName=%s:%d\0" % (IQN.encode(), n)
            n += 1
        send(s, text_response(request, 0, stat_sn, 7), data)
        stat_sn += 1

def endless_text(s):                    # one key without end
    stat_sn = log_in(s)
    while True:
        request, _ = read_request(s)
        send(s, text_response(request, 0x40, stat_sn, 7), b"x" * 8000)
        stat_sn += 1

def flood_of_text(s):                   # does not wait to be asked
    stat_sn = log_in(s)
    request, _ = read_request(s)
    while True:
        send(s, text_response(request, 0x40, stat_sn, 7), b"x" * 8000)
        stat_sn += 1

def bad_names(s):
    stat_sn = log_in(s)
    request, _ = read_request(s)
    names = ["../../../../tmp/evil", "iqn.2001-04.com.example:a/../../b", "iqn.2001-04.com.example:a\nb", "iqn.2001-04.com.example:" + "x" * 300,
             "", "eui.02", "naa.zz", IQN + ":good"]
    send(s, text_response(request, 0x80, stat_sn, 0xffffffff),
         b"".join(b"TargetName=%s\0TargetAddress=%s,1\0" % (n.encode(), a) for n in names for a in (b"192.0.2.10:3260", b"a/b:1", b"../x", b"192.0.2.10:99999")))
    time.sleep(60)

def junk_after_login(s):
    log_in(s)
    while True:
        request, data = read_request(s)
        s.sendall(os.urandom(48 * 20))

def dead_after_login(s):
    log_in(s)
    while True:
        read_request(s)

kinds = [garbage, silence, trickle, hangs_up, endless_login, never_done, long_login, lying_length, additional_header, other_opcode,
         unasked_stage, no_text, unknown_status, in_a_circle, redirect("%s:%d" % ("192.0.2.10", first + 15)), redirect("192.0.2.10:%d" % (first + 14)),
         redirect("nonsense::::,,"), redirect(None), redirect("x" * 5000), endless_targets, endless_text, flood_of_text, bad_names,
         junk_after_login, dead_after_login]
names = {14: "there_and_back", 15: "back_and_there", 16: "to_nonsense", 17: "to_nowhere", 18: "to_a_long_name"}

def serve(port, kind):
    listener = socket.create_server(("", port), backlog=64)
    def one(s):
        try:
            kind(s)
        except OSError:
            pass
        s.close()
    while True:
        s, _ = listener.accept()
        threading.Thread(target=one, args=(s,), daemon=True).start()

for i, kind in enumerate(kinds):
    threading.Thread(target=serve, args=(first + i, kind), daemon=True).start()
    print(first + i, names.get(i, kind.__name__), flush=True)
print("ready", flush=True)
threading.Event().wait()
