"""PDUs for the scripted targets and proxies: opcodes (RFC 7143 11.2.1.2) and reading from a socket."""
NOP_OUT, COMMAND, TMF, LOGIN, TEXT, DATA_OUT, LOGOUT = 0, 1, 2, 3, 4, 5, 6
NOP_IN, RESPONSE, TMF_RESPONSE, LOGIN_RESPONSE, TEXT_RESPONSE, DATA_IN, LOGOUT_RESPONSE, R2T, ASYNC, REJECT = \
    0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x31, 0x32, 0x3f
NONE = 0xffffffff       # the reserved tag


def opcode(head):
    return head[0] & 0x3f


def padding(data):
    return bytes(-len(data) % 4)


def read_exactly(s, n):
    out = b""
    while len(out) < n:
        piece = s.recv(n - len(out))
        if not piece:
            raise OSError("end")
        out += piece
    return out


def read_pdu(s):
    """Of a connection without digests: the header, to be changed at will, and all that belongs to it."""
    head = read_exactly(s, 48)
    return bytearray(head), read_exactly(s, head[4] * 4 + (int.from_bytes(head[5:8], "big") + 3) // 4 * 4)


def data_of(head, rest):
    """The data segment in what read_pdu gave."""
    return rest[head[4] * 4:][:int.from_bytes(head[5:8], "big")]
