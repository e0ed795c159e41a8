// A disk in memory behind a listener on loopback, for tests of what uses whole sessions: enough of SPC and SBC for
// core/initiator/remote_lun, and faults on demand.
#pragma once
#include <algorithm>
#include <map>
#include <memory>

#include "core/initiator/client.h"
#include "tests/support/portal.h"

namespace iscsi::test {

class RamTarget {
public:
    RamTarget(io::Loop& loop, size_t bytes)
        : disk(bytes), mapped(bytes / 512, false), portal_(loop, [this](FakeTarget& t, const wire::Bhs& h, Bytes data) { serve(t, h, data); }) {}

    initiator::Url url() const {
        initiator::Url u;
        u.host = "127.0.0.1";
        u.port = portal_.port();
        u.target_name = "iqn.2026-01.test:ram";
        u.lun = 1;
        return u;
    }
    void drop_connections() {
        for (auto& c : portal_.targets) c->close();
    }

    std::vector<uint8_t> disk;
    std::vector<bool> mapped;                   // by block
    bool thin = true, refuse_write_same = false, refuse_lba_status = false;
    uint32_t fail_at_lba = UINT32_MAX;          // reads and writes of that block: MEDIUM ERROR
    int drop_after = -1;                        // so many reads and writes, then the connection is cut, once
    unsigned reads = 0, writes = 0, same = 0, unmaps = 0, flushes = 0, attention = 1;
    uint16_t attention_code = 0x2900;

private:
    struct Write { std::vector<uint8_t> cdb, data; size_t want = 0; };

    void serve(FakeTarget& t, const wire::Bhs& h, Bytes data) {
        switch (h.op()) {
        case wire::Opcode::login_request:
            return t.grant_login(h, "InitialR2T=Yes|ImmediateData=Yes|FirstBurstLength=65536|MaxBurstLength=16776192|"
                                    "MaxRecvDataSegmentLength=65536|MaxOutstandingR2T=1|DefaultTime2Wait=0");
        case wire::Opcode::logout_request: {
            wire::LogoutResponsePdu r;
            r.itt = h.itt;
            return t.send(t.numbered(r));
        }
        case wire::Opcode::scsi_command: {
            auto c = wire::header_cast<wire::ScsiCommand>(h);
            if (attention > 0) {
                attention--;
                return sense(t, h.itt, 6, attention_code);
            }
            Write w;
            w.cdb.assign(c.cdb, c.cdb + 16);
            w.want = c.flags & wire::ScsiCommand::write_bit ? uint32_t(c.expected_data_transfer_length) : 0;
            w.data.assign(data.begin(), data.end());
            if (w.data.size() < w.want) {
                wire::R2t r;
                r.itt = h.itt;
                r.ttt = 1;
                r.buffer_offset = uint32_t(w.data.size());
                r.desired_length = uint32_t(w.want - w.data.size());
                pending_[{&t, h.itt}] = std::move(w);
                return t.send(t.numbered(r, false));
            }
            return execute(t, h.itt, w);
        }
        case wire::Opcode::data_out: {
            Write& w = pending_[{&t, h.itt}];
            w.data.insert(w.data.end(), data.begin(), data.end());
            if (w.data.size() < w.want) return;
            Write whole = std::move(w);
            pending_.erase({&t, h.itt});
            return execute(t, h.itt, whole);
        }
        default: return;
        }
    }

    void execute(FakeTarget& t, uint32_t itt, const Write& w) {
        const uint8_t* cdb = w.cdb.data();
        const bool wide = cdb[0] >= 0x80;
        const uint64_t lba = wide ? get64(cdb + 2) : get32(cdb + 2);
        const uint64_t blocks = wide ? get32(cdb + 10) : get16(cdb + 7), at = lba * 512, length = blocks * 512;
        switch (cdb[0]) {
        case 0x28: case 0x88: case 0x2a: case 0x8a: case 0x93:
            if (lba > disk.size() / 512 || blocks > disk.size() / 512 - lba) return sense(t, itt, 5, 0x2100);
            if (fail_at_lba >= lba && fail_at_lba < lba + blocks) return sense(t, itt, 3, 0x1100);
            if (drop_after >= 0 && drop_after-- == 0) return t.close();
        }
        switch (cdb[0]) {
        case 0x12: return inquiry(t, itt, cdb);
        case 0x1a: return data_in(t, itt, std::vector<uint8_t>{3, 0, 0, 0});
        case 0x28: case 0x88:
            reads++;
            return data_in(t, itt, Bytes(disk).subspan(at, length));
        case 0x2a: case 0x8a:
            writes++;
            REQUIRE(w.data.size() == length);
            std::copy(w.data.begin(), w.data.end(), disk.begin() + ptrdiff_t(at));
            std::fill_n(mapped.begin() + ptrdiff_t(lba), blocks, true);
            return t.answer_good(itt);
        case 0x93:
            if (refuse_write_same) return sense(t, itt, 5, 0x2000);
            same++;
            std::fill_n(disk.begin() + ptrdiff_t(at), length, uint8_t(0));
            std::fill_n(mapped.begin() + ptrdiff_t(lba), blocks, !(cdb[1] & 8));
            return t.answer_good(itt);
        case 0x42: {
            unmaps++;
            const uint64_t from = get64(&w.data[8]), n = get32(&w.data[16]);
            REQUIRE(from + n <= mapped.size());
            std::fill_n(disk.begin() + ptrdiff_t(from * 512), n * 512, uint8_t(0));
            std::fill_n(mapped.begin() + ptrdiff_t(from), n, false);
            return t.answer_good(itt);
        }
        case 0x35: flushes++; return t.answer_good(itt);
        case 0x9e: return (cdb[1] & 0x1f) == 0x10 ? capacity(t, itt) : lba_status(t, itt, lba);
        default: return sense(t, itt, 5, 0x2000);
        }
    }

    void inquiry(FakeTarget& t, uint32_t itt, const uint8_t* cdb) {
        std::vector<uint8_t> d;
        if (!(cdb[1] & 1)) {
            d.assign(36, ' ');
            std::fill_n(d.begin(), 8, uint8_t(0));
            d[2] = 5;
            d[4] = 31;
        } else if (cdb[2] == 0) {
            d = {0, 0, 0, 2, 0x00, 0xb2};
        } else if (cdb[2] == 0xb2) {
            d = {0, 0xb2, 0, 4, 0, uint8_t(thin ? 0xc0 : 0), uint8_t(thin ? 2 : 0), 0};
        } else {
            return sense(t, itt, 5, 0x2400);
        }
        data_in(t, itt, d);
    }
    void capacity(FakeTarget& t, uint32_t itt) {
        std::vector<uint8_t> d(32);
        put64(&d[0], disk.size() / 512 - 1);
        put32(&d[8], 512);
        d[14] = thin ? 0xc0 : 0;
        data_in(t, itt, d);
    }
    void lba_status(FakeTarget& t, uint32_t itt, uint64_t lba) {
        if (refuse_lba_status) return sense(t, itt, 5, 0x2000);
        std::vector<uint8_t> d(8);
        while (lba < mapped.size() && d.size() < 8 + 16 * 4) {
            uint64_t end = lba;
            while (end < mapped.size() && mapped[end] == mapped[lba]) end++;
            d.resize(d.size() + 16);
            uint8_t* e = &d[d.size() - 16];
            put64(e, lba);
            put32(e + 8, uint32_t(end - lba));
            e[12] = mapped[lba] ? 0 : 1;
            lba = end;
        }
        put32(&d[0], uint32_t(d.size() - 4));
        data_in(t, itt, d);
    }

    // All of it, in PDUs of 64 KiB, status with the last.
    void data_in(FakeTarget& t, uint32_t itt, Bytes data) {
        uint32_t sn = 0;
        size_t at = 0;
        do {
            const size_t n = std::min<size_t>(data.size() - at, 65536);
            wire::DataIn h;
            const bool last = at + n == data.size();
            h.flags = last ? wire::final_bit | wire::DataIn::status_bit : 0;
            h.itt = itt;
            h.ttt = wire::reserved_tag;
            h.data_sn = sn++;
            h.buffer_offset = uint32_t(at);
            t.send(t.numbered(h, last), data.subspan(at, n));
            at += n;
        } while (at < data.size());
    }
    void sense(FakeTarget& t, uint32_t itt, uint8_t key, uint16_t asc) {
        uint8_t d[20] = {0, 18, 0x70, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, uint8_t(asc >> 8), uint8_t(asc), 0, 0, 0, 0};
        wire::ScsiResponse r;
        r.itt = itt;
        r.status = 2;
        t.send(t.numbered(r), d);
    }

    std::map<std::pair<const FakeTarget*, uint32_t>, Write> pending_;      // those that wait for data, by connection and task
    Portal portal_;
};

}  // namespace iscsi::test
