#!/usr/bin/env python3
"""target.py MODE PORT [MODE PORT]… : targets that break the rules, each mode in one way; run.py has them one by one.

They read PDUs of an initiator and answer as the mode wishes.
"""
import asyncio, os, struct, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from pdu import (ASYNC, COMMAND, DATA_IN, DATA_OUT, LOGIN, LOGIN_RESPONSE, LOGOUT, LOGOUT_RESPONSE, NONE, NOP_IN, NOP_OUT, R2T, REJECT, RESPONSE,
                 TEXT, TEXT_RESPONSE, TMF, TMF_RESPONSE, opcode, padding)

KEYS = ("InitialR2T=Yes\0ImmediateData=No\0MaxBurstLength=262144\0FirstBurstLength=65536\0MaxOutstandingR2T=1\0"
        "MaxRecvDataSegmentLength=65536\0DefaultTime2Wait=0\0")
IQN = "iqn.2001-04.com.example:hostile"


class Gone(Exception):
    pass


class Session:
    """One connection. A mode overrides what it does wrongly; the rest is as it should be."""

    digests = ""
    blocks, block_size = 2048, 512

    def __init__(self, reader, writer, port):
        self.reader, self.writer, self.port = reader, writer, port
        self.stat_sn, self.exp_cmd_sn, self.digested = 1, 0, False

    # ---- wire
    async def send(self, raw):
        self.writer.write(raw)
        await self.writer.drain()

    def header(self, op, flags, itt, words, b2=0, b3=0, length=0, lun=b"\0" * 8):
        return bytes([op, flags, b2, b3]) + struct.pack(">I", length) + lun + struct.pack(">I", itt) + b"".join(struct.pack(">I", w & NONE) for w in words)

    def framed(self, header, data=b""):
        if self.digested:
            header += crc(header)
        if data:
            padded = data + padding(data)
            data = padded + (crc(padded) if self.digested else b"")
        return header + data

    def numbers(self, status=True):
        sn = self.stat_sn
        self.stat_sn += status
        return [sn, self.exp_cmd_sn, self.exp_cmd_sn + 63]

    async def pdu(self, op, itt, words, data=b"", flags=0x80, **more):
        await self.send(self.framed(self.header(op, flags, itt, words, length=len(data), **more), data))

    async def read(self):
        h = await self.reader.readexactly(48)
        length = int.from_bytes(h[5:8], "big")
        if self.digested:
            await self.reader.readexactly(4)
        data = await self.reader.readexactly(length + (-length % 4)) if length else b""
        if length and self.digested:
            await self.reader.readexactly(4)
        return h, data[:length]

    # ---- behaviour
    async def run(self):
        await self.accepted()
        while True:
            h, data = await self.read()
            op, itt = opcode(h), int.from_bytes(h[16:20], "big")
            if op == COMMAND:
                self.exp_cmd_sn = int.from_bytes(h[24:28], "big") + 1
            await {LOGIN: self.login, COMMAND: self.command, TEXT: self.text, NOP_OUT: self.nop, TMF: self.tmf, LOGOUT: self.logout,
                   DATA_OUT: self.data_out}[op](h, itt, data)

    async def accepted(self):
        pass

    async def login(self, h, itt, data):
        self.exp_cmd_sn = int.from_bytes(h[24:28], "big")
        await self.grant(h, itt, "MaxRecvDataSegmentLength=65536\0" if b"SessionType=Discovery" in data else None)
        if h[1] & 0x83 == 0x83:
            self.digested = bool(self.digests)
            await self.up()

    async def grant(self, h, itt, text=None, flags=None, status=0, address=""):
        text = (KEYS + self.digests if text is None else text).encode()
        if address:
            text = f"TargetAddress={address}\0".encode()
        words = [0] + self.numbers() + [status << 16, 0, 0]
        raw = self.header(LOGIN_RESPONSE, h[1] if flags is None else flags, itt, words[:7], length=len(text), lun=h[8:14] + b"\0\1")
        await self.send(raw + text + padding(text))

    async def up(self):
        pass

    async def nop(self, h, itt, data):
        if itt != NONE:
            await self.pdu(NOP_IN, itt, [NONE] + self.numbers() + [0, 0, 0])

    async def tmf(self, h, itt, data):
        await self.pdu(TMF_RESPONSE, itt, [0] + self.numbers() + [0, 0, 0])

    async def logout(self, h, itt, data):
        await self.pdu(LOGOUT_RESPONSE, itt, [0] + self.numbers() + [0, 0, 0])

    async def text(self, h, itt, data):
        await self.pdu(TEXT_RESPONSE, itt, [NONE] + self.numbers() + [0, 0, 0], f"TargetName={IQN}\0TargetAddress=127.0.0.1:{self.port},1\0".encode())

    async def data_out(self, h, itt, data):
        if h[1] & 0x80:
            await self.status(itt)

    async def status(self, itt, status=0, sense=b""):
        await self.pdu(RESPONSE, itt, [0] + self.numbers() + [0, 0, 0], struct.pack(">H", len(sense)) + sense if sense else b"", b3=status)

    async def sense(self, itt, key, asc):
        await self.status(itt, 2, bytes([0x70, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, asc >> 8, asc & 255, 0, 0, 0, 0]))

    async def data_in(self, itt, data, want):
        data = data[:want]
        under = want > len(data)
        await self.pdu(DATA_IN, itt, [NONE] + self.numbers() + [0, 0, want - len(data)], data, flags=0x81 | (2 if under else 0))

    async def command(self, h, itt, data):
        cdb, want = h[32:48], int.from_bytes(h[20:24], "big")
        if h[1] & 0x20:
            return await self.pdu(R2T, itt, [7] + self.numbers(False) + [0, 0, want], b"")
        answer = self.answer(cdb, want)
        await (self.sense(itt, 5, 0x2000) if answer is None else self.data_in(itt, answer, want) if want else self.status(itt))

    def answer(self, cdb, want):
        op = cdb[0]
        if op == 0x12 and not cdb[1] & 1:
            return bytes([0, 0, 5, 2, 31, 0, 0, 0]) + b"HOSTILE disk            0001"
        if op == 0x12:
            return {0: bytes([0, 0, 0, 3, 0, 0xb0, 0xb2]), 0xb0: bytes([0, 0xb0, 0, 60]) + b"\0" * 60,
                    0xb2: bytes([0, 0xb2, 0, 4, 0, 0x40, 0, 0])}.get(cdb[2])
        if op == 0xa0:
            return struct.pack(">II", 8, 0) + b"\0" * 8
        if op == 0x9e and cdb[1] & 31 == 0x10:
            return self.capacity()
        if op == 0x25:
            return struct.pack(">II", self.blocks - 1, self.block_size)
        if op == 0x1a:
            return bytes([3, 0, 0, 0])
        if op in (0x28, 0x88, 0x00):
            return b"\0" * want
        return None

    def capacity(self):
        return struct.pack(">QI", self.blocks - 1, self.block_size) + bytes([0, 0, 0xc0]) + b"\0" * 17


def crc_table():
    table = []
    for i in range(256):
        c = i
        for _ in range(8):
            c = c >> 1 ^ (0x82f63b78 if c & 1 else 0)
        table.append(c)
    return table


TABLE = crc_table()


def crc(data):
    c = NONE
    for b in data:
        c = TABLE[(c ^ b) & 255] ^ c >> 8
    return struct.pack("<I", c ^ NONE)


MODES = {}


def mode(tools, fails=True):
    """tools: those that meet it. fails: they must end with 1; else they may succeed."""
    def take(cls):
        MODES[cls.__name__] = (cls, tools, fails)
        return cls
    return take


ALL, UNIT, READS, WRITES, LIST = "ls inq cp-from cp-to bench", "inq cp-from cp-to bench", "cp-from bench", "cp-to", "ls"


# ---- before and during login

@mode(ALL)
class silence(Session):
    async def accepted(self):
        await asyncio.sleep(3600)


@mode(ALL)
class closes_at_once(Session):
    async def accepted(self):
        raise Gone


@mode(ALL)
class garbage(Session):
    async def accepted(self):
        while True:
            await self.send(os.urandom(65536))


@mode(ALL)
class zeros(Session):
    async def accepted(self):
        while True:
            await self.send(b"\0" * 65536)


@mode(ALL)
class drips(Session):
    async def accepted(self):
        for b in bytes([LOGIN_RESPONSE, 0x87]) + b"\0" * 3600:
            await self.send(bytes([b]))
            await asyncio.sleep(1)


@mode(ALL)
class endless_login(Session):
    async def login(self, h, itt, data):
        await self.grant(h, itt, "", flags=4)


@mode(ALL)
class endless_login_text(Session):
    async def login(self, h, itt, data):
        await self.grant(h, itt, "X-com.example.a=" + "b" * 8000 + "\0", flags=0x44)


@mode(ALL)
class huge_login_pdu(Session):
    async def login(self, h, itt, data):
        await self.send(self.header(LOGIN_RESPONSE, 0x87, itt, [0] * 7, length=0xffffff))
        while True:
            await self.send(b"A" * 65536)


@mode(ALL)
class redirects_to_itself(Session):
    async def login(self, h, itt, data):
        await self.grant(h, itt, flags=0, status=0x0101, address=f"127.0.0.1:{self.port},1")


@mode(ALL)
class redirects_for_good(Session):
    async def login(self, h, itt, data):
        await self.grant(h, itt, flags=0, status=0x0102, address=f"127.0.0.1:{self.port},1")


@mode(ALL)
class redirects_to_nonsense(Session):
    async def login(self, h, itt, data):
        await self.grant(h, itt, flags=0, status=0x0101, address="%s%n\x1b[2J" * 20 + ":99999999,1")


@mode(ALL)
class busy_for_ever(Session):
    async def login(self, h, itt, data):
        await self.grant(h, itt, flags=0, status=0x0301)


@mode(ALL)
class bad_keys(Session):
    async def login(self, h, itt, data):
        await self.grant(h, itt, "MaxBurstLength=0\0FirstBurstLength=99999999999999999999\0MaxRecvDataSegmentLength=-1\0=\0\0\0nothing\0")


# ---- text

@mode(LIST)
class endless_text(Session):
    async def text(self, h, itt, data):
        await self.pdu(TEXT_RESPONSE, itt, [1] + self.numbers() + [0, 0, 0], (f"TargetName={IQN}\0" * 100).encode(), flags=0x40)


@mode(LIST, fails=False)
class many_targets(Session):
    async def text(self, h, itt, data):
        self.sent = getattr(self, "sent", 0) + 1
        text = "".join(f"TargetName=iqn.2001-04.com.example:{self.sent}.{i}\0TargetAddress=127.0.0.1:{self.port},1\0" for i in range(300))
        last = self.sent == 50
        await self.pdu(TEXT_RESPONSE, itt, [NONE if last else 1] + self.numbers() + [0, 0, 0], text.encode()[:32768], flags=0x80 if last else 0x00)


@mode(LIST, fails=False)
class bad_names(Session):
    async def text(self, h, itt, data):
        names = ["../../etc/passwd", "iqn.2001-04.com.example:" + "x" * 300, "iqn.2001-04.com.example:\x1b[2J\n", "eui.1", ""]
        await self.pdu(TEXT_RESPONSE, itt, [NONE] + self.numbers() + [0, 0, 0], "".join(f"TargetName={n}\0TargetAddress=[::1:3260,1\0" for n in names).encode())


@mode(LIST)
class silent_text(Session):
    async def text(self, h, itt, data):
        pass


@mode(LIST)
class text_of_nops(Session):
    async def text(self, h, itt, data):
        while True:
            await self.pdu(NOP_IN, NONE, [1] + self.numbers(False) + [0, 0, 0])
            await asyncio.sleep(0.01)


# ---- full feature phase

@mode(UNIT)
class answers_pings_only(Session):
    async def command(self, h, itt, data):
        pass

    async def tmf(self, h, itt, data):
        pass


@mode(UNIT)
class aborts_only(Session):
    async def command(self, h, itt, data):
        pass


@mode(UNIT)
class mute_after_login(Session):
    async def up(self):
        await asyncio.sleep(3600)


@mode(UNIT)
class closes_at_commands(Session):
    async def command(self, h, itt, data):
        raise Gone


@mode(UNIT)
class always_busy(Session):
    async def command(self, h, itt, data):
        await self.status(itt, 8)


@mode(UNIT)
class always_attention(Session):
    async def command(self, h, itt, data):
        await self.sense(itt, 6, 0x2a09)


@mode(UNIT)
class wishes_logout_always(Session):
    async def up(self):
        await self.pdu(ASYNC, NONE, [0] + self.numbers() + [0x01000000, 0, 0])


@mode(UNIT)
class wrong_header_digest(Session):
    digests = "HeaderDigest=CRC32C\0DataDigest=CRC32C\0"

    async def command(self, h, itt, data):
        await self.send(self.header(RESPONSE, 0x80, itt, [0] + self.numbers() + [0, 0, 0]) + b"\xde\xad\xbe\xef")


@mode(UNIT)
class wrong_data_digest(Session):
    digests = "HeaderDigest=CRC32C\0DataDigest=CRC32C\0"

    async def data_in(self, itt, data, want):
        h = self.header(DATA_IN, 0x81, itt, [NONE] + self.numbers() + [0, 0, 0], length=4)
        await self.send(h + crc(h) + b"data" + b"\0\0\0\0")


@mode(UNIT)
class data_too_long(Session):
    async def data_in(self, itt, data, want):
        await Session.data_in(self, itt, b"x" * (want + 4), want + 4)


@mode(UNIT)
class data_elsewhere(Session):
    async def data_in(self, itt, data, want):
        await self.pdu(DATA_IN, itt, [NONE] + self.numbers() + [0, 0xfffffff0, 0], b"data", flags=0x81)


@mode(UNIT)
class data_of_nobody(Session):
    async def data_in(self, itt, data, want):
        await self.pdu(DATA_IN, itt ^ 0x555, [NONE] + self.numbers() + [0, 0, 0], b"data", flags=0x81)


@mode(UNIT)
class empty_data_for_ever(Session):
    async def data_in(self, itt, data, want):
        for sn in range(10 ** 9):
            await self.pdu(DATA_IN, itt, [NONE] + self.numbers(False) + [sn, 0, 0], flags=0)


@mode(UNIT)
class huge_pdu(Session):
    async def command(self, h, itt, data):
        await self.send(self.header(RESPONSE, 0x80, itt, [0] + self.numbers() + [0, 0, 0], length=0xffffff))
        while True:
            await self.send(b"A" * 65536)


@mode(UNIT)
class additional_headers(Session):
    async def command(self, h, itt, data):
        await self.send(self.header(RESPONSE, 0x80, itt, [0] + self.numbers() + [0, 0, 0], length=0xff << 24))
        while True:
            await self.send(b"A" * 65536)


@mode(UNIT)
class flood_of_pings(Session):
    async def up(self):
        while True:
            await self.pdu(NOP_IN, NONE, [1] + self.numbers(False) + [0, 0, 0])


@mode(UNIT)
class rejects_everything(Session):
    async def command(self, h, itt, data):
        await self.pdu(REJECT, NONE, [0] + self.numbers() + [0, 0, 0], h, b2=4)


@mode(UNIT)
class unknown_opcodes(Session):
    async def command(self, h, itt, data):
        await self.pdu(0x3c, itt, [0] + self.numbers() + [0, 0, 0])


@mode(UNIT)
class window_shut(Session):
    def numbers(self, status=True):
        sn = self.stat_sn
        self.stat_sn += status
        return [sn, self.exp_cmd_sn, self.exp_cmd_sn - 1]


# ---- lies of a disk

@mode("cp-from cp-to bench", fails=True)
class blocks_of_0(Session):
    block_size = 0


@mode("cp-from cp-to bench")
class blocks_of_1_gib(Session):
    block_size = 1 << 30


@mode("cp-from cp-to bench")
class no_end(Session):
    def capacity(self):
        return b"\xff" * 8 + struct.pack(">I", 512) + b"\0" * 20


@mode("inq ls-s", fails=False)
class lengths_that_lie(Session):
    def answer(self, cdb, want):
        answer = Session.answer(self, cdb, want)
        if cdb[0] == 0x12 and answer:
            return answer[:2] + b"\xff\xff\xff" + answer[5:]
        return b"\xff\xff\xff\xf8" + answer[4:] if cdb[0] == 0xa0 else answer


@mode("ls-s", fails=False)
class many_units(Session):
    def answer(self, cdb, want):
        return (struct.pack(">II", 8 * 4096, 0) + b"".join(struct.pack(">BBHI", 0x40 | i >> 8, i & 255, 0, 0) for i in range(4096)))[:want] \
            if cdb[0] == 0xa0 else Session.answer(self, cdb, want)


@mode("cp-from", fails=False)
class extents_of_nothing(Session):
    def answer(self, cdb, want):
        if cdb[0] == 0x9e and cdb[1] & 31 == 0x12:
            return struct.pack(">II", 20, 0) + cdb[2:10] + b"\0" * 8
        return Session.answer(self, cdb, want)


@mode(READS)
class short_reads_called_good(Session):
    async def data_in(self, itt, data, want):
        if want >= 4096:
            return await self.pdu(DATA_IN, itt, [NONE] + self.numbers() + [0, 0, 0], data[:512], flags=0x81)
        await Session.data_in(self, itt, data, want)


@mode(WRITES)
class r2t_beyond(Session):
    async def command(self, h, itt, data):
        if not h[1] & 0x20:
            return await Session.command(self, h, itt, data)
        await self.pdu(R2T, itt, [7] + self.numbers(False) + [0, 0xffffff00, 0x1000])


@mode(WRITES)
class r2t_of_a_byte(Session):
    async def command(self, h, itt, data):
        if not h[1] & 0x20:
            return await Session.command(self, h, itt, data)
        self.sn, self.itt = 0, itt
        await self.pdu(R2T, itt, [7] + self.numbers(False) + [0, 0, 1])

    async def data_out(self, h, itt, data):
        self.sn += 1
        await self.pdu(R2T, itt, [7] + self.numbers(False) + [self.sn, 0, 1])


@mode(WRITES)
class r2t_flood(Session):
    async def command(self, h, itt, data):
        if not h[1] & 0x20:
            return await Session.command(self, h, itt, data)
        for sn in range(1 << 20):
            await self.pdu(R2T, itt, [7 + sn] + self.numbers(False) + [sn, 0, 512])


async def serve(cls, announce, host="127.0.0.1", port=0):
    async def client(reader, writer):
        try:
            await cls(reader, writer, writer.get_extra_info("sockname")[1]).run()
        except (Gone, OSError, asyncio.IncompleteReadError, asyncio.CancelledError, KeyError, struct.error):
            pass
        finally:
            writer.close()
    server = await asyncio.start_server(client, host, port)
    announce(server.sockets[0].getsockname()[1])
    async with server:
        await server.serve_forever()


async def main():
    await asyncio.gather(*(serve(MODES[mode][0], lambda _: None, "0.0.0.0", int(port)) for mode, port in zip(sys.argv[1::2], sys.argv[2::2])))


if __name__ == "__main__":
    asyncio.run(main())
