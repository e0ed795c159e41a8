// Data in and out of a session: immediate, unsolicited, asked for; what a liar gets.
#include "core/target/session.h"
#include "tests/support/pattern.h"
#include "tests/support/target_harness.h"

using namespace iscsi;
using namespace iscsi::target;
using wire::DataIn;
using wire::DataOut;
using wire::R2t;
using wire::RejectReason;
using wire::ScsiCommand;
using wire::ScsiResponse;

namespace {

struct Fixture : OneSession {
    using OneSession::OneSession;
    std::vector<uint8_t> on_disk(uint64_t offset, size_t length) { return read_back(*target.store, offset, length); }
    ScsiResponse status(uint8_t want = 0) {
        auto r = client.expect<ScsiResponse>();
        CHECK(r.status == want);
        return r;
    }
};

const std::vector<std::string> unsolicited = {"InitialR2T=No", "ImmediateData=Yes", "FirstBurstLength=4096", "MaxBurstLength=8192",
                                              "MaxOutstandingR2T=4"};
}  // namespace

TEST_CASE("a write with all its data immediate needs no R2T") {
    Fixture f;
    auto data = pattern(1024);
    auto c = f.client.write(4, 2);
    f.client.send(c, data);
    auto r = f.status();
    CHECK(uint32_t(r.residual_count) == 0);
    CHECK(!(r.flags & 0x1e));
    CHECK(f.on_disk(2048, 1024) == data);
}

TEST_CASE("R2Ts ask for what did not come, MaxOutstandingR2T at a time, MaxBurstLength each") {
    Fixture f(unsolicited);
    auto data = pattern(40960);
    auto c = f.client.write(0, 80);
    f.client.send(c);
    std::vector<R2t> asked;
    uint32_t next_offset = 0;
    size_t open = 0, served = 0;
    while (served < 5) {
        while (open + served < 5 && open < 4) {
            asked.push_back(f.client.expect<R2t>());
            R2t& r = asked.back();
            CHECK(uint32_t(r.r2t_sn) == asked.size() - 1);
            CHECK(uint32_t(r.buffer_offset) == next_offset);
            CHECK(uint32_t(r.desired_length) == 8192);
            CHECK(uint32_t(r.itt) == uint32_t(c.itt));
            for (size_t i = 0; i + 1 < asked.size(); i++) CHECK(uint32_t(asked[i].ttt) != uint32_t(r.ttt));
            next_offset += 8192;
            open++;
        }
        CHECK(f.client.quiet());
        R2t& r = asked[served];
        uint32_t at = r.buffer_offset;
        f.client.send(f.client.data_out(c, r.ttt, 0, at, false), Bytes(data).subspan(at, 4096));
        f.client.send(f.client.data_out(c, r.ttt, 1, at + 4096, true), Bytes(data).subspan(at + 4096, 4096));
        served++;
        open--;
    }
    f.status();
    CHECK(f.on_disk(0, data.size()) == data);
}

TEST_CASE("open bursts may be served in any order between each other") {
    Fixture f(unsolicited);
    auto data = pattern(16384);
    auto c = f.client.write(0, 32);
    f.client.send(c);
    auto a = f.client.expect<R2t>(), b = f.client.expect<R2t>();
    f.client.send(f.client.data_out(c, b.ttt, 0, 8192, true), Bytes(data).subspan(8192));
    f.client.send(f.client.data_out(c, a.ttt, 0, 0, true), Bytes(data).first(8192));
    f.status();
    CHECK(f.on_disk(0, data.size()) == data);
}

TEST_CASE("unsolicited data, whole or ended early, is completed by R2T") {
    for (uint32_t sent : {0u, 512u, 2048u, 4096u}) {
        CAPTURE(sent);
        Fixture f(unsolicited);
        auto data = pattern(6144, uint8_t(sent >> 8));
        auto c = f.client.write(0, 12);
        c.flags &= uint8_t(~wire::final_bit);
        uint32_t immediate = sent ? 512 : 0;
        f.client.send(c, Bytes(data).first(immediate));
        f.client.send(f.client.data_out(c, wire::reserved_tag, 0, immediate, true), Bytes(data).subspan(immediate, sent - immediate));
        auto r = f.client.expect<R2t>();
        CHECK(uint32_t(r.buffer_offset) == sent);
        CHECK(uint32_t(r.desired_length) == 6144 - sent);
        f.client.send(f.client.data_out(c, r.ttt, 0, sent, true), Bytes(data).subspan(sent));
        f.status();
        CHECK(f.on_disk(0, data.size()) == data);
    }
}

TEST_CASE("a Data-Out PDU that lies ends the connection and nothing of it is kept") {
    struct Row { const char* what; uint32_t ttt_change, sn, offset, length; bool final; };
    for (const Row& row : {Row{"unknown TTT", 1000, 0, 0, 512, false}, Row{"offset ahead", 0, 0, 512, 512, false},
                           Row{"offset wraps", 0, 0, 0xfffffe00, 512, false}, Row{"longer than asked", 0, 0, 0, 9216, false},
                           Row{"burst ended early", 0, 0, 0, 512, true}}) {
        CAPTURE(std::string(row.what));
        Fixture f(unsolicited);
        auto c = f.client.write(0, 16);
        f.client.send(c);
        auto r = f.client.expect<R2t>();
        f.client.send(f.client.data_out(c, r.ttt + row.ttt_change, row.sn, row.offset, row.final), pattern(row.length, 99));
        CHECK(f.client.closed());
        CHECK(f.target.until([&] { return f.target.directory.sessions.size() == 0; }));
        CHECK(f.on_disk(0, 9216) == std::vector<uint8_t>(9216));
    }
}

TEST_CASE("Data-Out bears the LUN of its command; unsolicited data need not (RFC 7143 11.7.4)") {
    for (uint64_t lun : {uint64_t(0), uint64_t(2) << 48, ~uint64_t(0), lun1 | uint64_t(1) << 62, lun1}) {
        CAPTURE(lun);
        Fixture f(unsolicited);
        auto c = f.client.write(0, 8);
        c.flags &= uint8_t(~wire::final_bit);
        f.client.send(c);
        auto first = f.client.data_out(c, wire::reserved_tag, 0, 0, true);
        first.lun = lun;
        f.client.send(first, pattern(1024));
        auto r = f.client.expect<R2t>();
        CHECK(uint64_t(r.lun) == lun1);
        auto second = f.client.data_out(c, r.ttt, 0, 1024, true);
        second.lun = lun;
        f.client.send(second, pattern(3072, 9));
        if (same_unit(lun, lun1)) {
            f.status();
            CHECK(f.on_disk(1024, 3072) == pattern(3072, 9));
        } else {
            CHECK(f.client.closed());
            CHECK(f.on_disk(1024, 3072) == std::vector<uint8_t>(3072));
        }
    }
}

TEST_CASE("a gap in DataSN ends the command once its data has come, and what follows the gap is not written") {
    struct Row { uint32_t first, second; };
    for (const Row& row : {Row{0, 1}, {0, 0}, {0, 2}, {1, 2}, {0xffffffff, 0}}) {
        CAPTURE(row.first);
        CAPTURE(row.second);
        Fixture f({"MaxRecvDataSegmentLength=262144", "MaxBurstLength=262144"});
        auto c = f.client.write(0, 512);
        f.client.send(c);
        auto r = f.client.expect<R2t>();
        const auto half = pattern(131072);
        f.client.send(f.client.data_out(c, r.ttt, row.first, 0, false), half);
        f.client.send(f.client.data_out(c, r.ttt, row.second, 131072, true), half);
        const bool first_fine = row.first == 0, fine = first_fine && row.second == 1;
        std::vector<uint8_t> sense;
        auto status = f.client.expect<ScsiResponse>(&sense);
        CHECK(int(status.status) == (fine ? 0 : 2));
        if (!fine) CHECK((sense.size() >= 20 && (sense[4] & 15) == 0x0b && sense[14] == 0x47 && sense[15] == 0x05));
        CHECK((f.on_disk(0, 131072) == half) == first_fine);
        if (!fine && first_fine) CHECK(f.on_disk(131072, 131072) == std::vector<uint8_t>(131072));
    }
}

TEST_CASE("data that a command may not carry is rejected") {
    struct Row { const char* what; std::vector<std::string> keys; bool write, final; uint32_t edtl, data; RejectReason reason; };
    for (const Row& row : {
             Row{"ImmediateData=No", {"ImmediateData=No"}, true, true, 512, 512, RejectReason::protocol_error},
             Row{"immediate data of a read", {}, false, true, 512, 512, RejectReason::protocol_error},
             Row{"more than the expected length", {}, true, true, 512, 1024, RejectReason::invalid_pdu_field},
             Row{"more than FirstBurstLength", {"FirstBurstLength=512"}, true, true, 1024, 1024, RejectReason::invalid_pdu_field},
             Row{"unsolicited with InitialR2T=Yes", {}, true, false, 1024, 512, RejectReason::protocol_error},
             Row{"F=0 without W", {"InitialR2T=No"}, false, false, 512, 0, RejectReason::invalid_pdu_field},
         }) {
        CAPTURE(std::string(row.what));
        Fixture f(row.keys);
        auto c = row.write ? f.client.write(0, 2) : f.client.read(0, 2);
        c.expected_data_transfer_length = row.edtl;
        if (!row.final) c.flags &= uint8_t(~wire::final_bit);
        f.client.send(c, pattern(row.data));
        std::vector<uint8_t> header;
        auto r = f.client.expect<wire::Reject>(&header);
        CHECK(int(r.reason) == int(row.reason));
        CHECK(uint32_t(r.itt) == wire::reserved_tag);
        REQUIRE(header.size() == wire::bhs_length);
        CHECK(header[0] == uint8_t(c.opcode));
        // The session goes on, and its CmdSN was counted.
        f.client.send(f.client.command({0}));
        f.status();
    }
}

TEST_CASE("residuals: what was expected against what the CDB asks for") {
    struct Row { const char* what; bool write; uint16_t blocks; uint32_t edtl; uint8_t flag; uint32_t count; };
    for (const Row& row : {Row{"read, exact", false, 2, 1024, 0, 0}, Row{"read underflow", false, 2, 2048, ScsiResponse::underflow, 1024},
                           Row{"read overflow", false, 2, 600, ScsiResponse::overflow, 424}, Row{"read, nothing expected", false, 2, 0, ScsiResponse::overflow, 1024},
                           Row{"write underflow", true, 2, 2048, ScsiResponse::underflow, 1024}, Row{"write, exact", true, 2, 1024, 0, 0}}) {
        CAPTURE(std::string(row.what));
        Fixture f;
        auto c = row.write ? f.client.write(0, row.blocks) : f.client.read(0, row.blocks);
        c.expected_data_transfer_length = row.edtl;
        f.client.send(c, row.write ? pattern(row.edtl) : std::vector<uint8_t>());
        auto pdu = f.client.receive();
        REQUIRE(pdu);
        uint8_t flags;
        uint32_t count;
        if (pdu->op() == wire::Opcode::data_in) {
            auto d = pdu->as<DataIn>();
            CHECK(pdu->data.size() == std::min<size_t>(row.blocks * 512u, row.edtl));
            CHECK((d.flags & DataIn::status_bit));
            CHECK((d.flags & wire::final_bit));
            flags = d.flags & 6;
            count = d.residual_count;
        } else {
            auto r = pdu->as<ScsiResponse>();
            CHECK(r.status == 0);
            flags = r.flags & 6;
            count = r.residual_count;
        }
        CHECK(flags == row.flag);
        CHECK(count == row.count);
    }
}

TEST_CASE("Data-In respects the initiator's segment length and ends a sequence at MaxBurstLength") {
    Fixture f({"MaxRecvDataSegmentLength=1024", "MaxBurstLength=4096", "FirstBurstLength=1024"});
    auto data = pattern(10240);
    auto w = f.client.write(0, 20);
    f.client.send(w, Bytes(data).first(1024));
    for (uint32_t at = 1024; at < data.size();) {
        auto r = f.client.expect<R2t>();
        uint32_t length = r.desired_length;
        CHECK(length <= 4096);
        f.client.send(f.client.data_out(w, r.ttt, 0, at, true), Bytes(data).subspan(at, length));
        at += length;
    }
    f.status();
    auto c = f.client.read(0, 20);
    f.client.send(c);
    std::vector<uint8_t> got, piece;
    for (uint32_t sn = 0; got.size() < data.size(); sn++) {
        auto d = f.client.expect<DataIn>(&piece);
        CHECK(piece.size() <= 1024);
        CHECK(uint32_t(d.data_sn) == sn);
        CHECK(uint32_t(d.buffer_offset) == got.size());
        got.insert(got.end(), piece.begin(), piece.end());
        bool last = got.size() == data.size();
        CHECK(bool(d.flags & wire::final_bit) == (last || got.size() % 4096 == 0));
        CHECK(bool(d.flags & DataIn::status_bit) == last);
        CHECK(uint32_t(d.ttt) == wire::reserved_tag);
    }
    CHECK(got == data);
}

TEST_CASE("a write that fails takes the data it asked for before it says so") {
    Fixture f(unsolicited);
    auto c = f.client.write(0, 64);
    f.client.send(c);
    std::vector<R2t> asked;
    for (int i = 0; i < 4; i++) asked.push_back(f.client.expect<R2t>());
    f.target.store->write_error = EIO;
    f.client.send(f.client.data_out(c, asked[0].ttt, 0, 0, true), pattern(8192));
    CHECK(f.client.quiet());                    // neither another R2T nor a status while bursts are open
    f.client.send(f.client.data_out(c, asked[2].ttt, 0, 16384, true), pattern(8192));
    f.client.send(f.client.data_out(c, asked[1].ttt, 0, 8192, true), pattern(8192));
    CHECK(f.client.quiet());
    f.client.send(f.client.data_out(c, asked[3].ttt, 0, 24576, true), pattern(8192));
    std::vector<uint8_t> sense;
    auto r = f.client.expect<ScsiResponse>(&sense);
    CHECK(r.status == 2);
    REQUIRE(sense.size() >= 20);
    CHECK((sense[2 + 2] & 15) == 3);            // MEDIUM ERROR
    f.target.store->write_error = 0;
    f.client.send(f.client.command({0}));
    f.status();
}

TEST_CASE("Data-Out for a task that is gone is dropped in silence") {
    Fixture f(unsolicited);
    auto c = f.client.write(0, 16);
    f.client.send(c);
    auto r = f.client.expect<R2t>();
    f.client.send(f.client.tmf(wire::TmfFunction::abort_task, c.itt));
    CHECK(f.client.expect<wire::TmfResponse>().response == 0);
    f.client.send(f.client.data_out(c, r.ttt, 0, 0, true), pattern(8192));
    CHECK(f.client.quiet());
    // Its tag is free again; data for the old R2T that was on its way does not reach the new task.
    auto again = f.client.write(100, 16);
    again.itt = uint32_t(c.itt);
    f.client.send(again);
    auto fresh = f.client.expect<R2t>();
    CHECK(uint32_t(fresh.ttt) != uint32_t(r.ttt));
    f.client.send(f.client.data_out(c, r.ttt, 0, 0, true), pattern(8192, 55));
    auto data = pattern(8192, 77);
    f.client.send(f.client.data_out(again, fresh.ttt, 0, 0, true), data);
    f.status();
    CHECK(f.on_disk(51200, 8192) == data);
    CHECK(f.on_disk(0, 8192) == std::vector<uint8_t>(8192));
}

TEST_CASE("large payloads in pieces of any size, cached and from the disk") {
    for (bool cold : {false, true}) {
        CAPTURE(cold);
        Fixture f({"MaxRecvDataSegmentLength=262144", "MaxBurstLength=262144"});
        f.target.store->cold = cold;
        auto data = pattern(262144, 9);
        auto c = f.client.write(64, 512);
        f.client.send(c);
        auto r = f.client.expect<R2t>();
        REQUIRE(uint32_t(r.desired_length) == data.size());
        auto header = f.client.data_out(c, r.ttt, 0, 0, true);
        header.data_segment_length = uint32_t(data.size());
        std::vector<uint8_t> bytes(48);
        std::memcpy(bytes.data(), &header, 48);
        bytes.insert(bytes.end(), data.begin(), data.end());
        for (size_t at = 0, piece = 1; at < bytes.size(); at += piece, piece = piece * 3 + 1) {
            piece = std::min(piece, bytes.size() - at);
            f.client.send_raw(Bytes(bytes).subspan(at, piece));
            f.target.turn(0);
        }
        f.status();
        CHECK(f.on_disk(32768, data.size()) == data);
        f.client.send(f.client.read(64, 512));
        std::vector<uint8_t> got, piece;
        while (got.size() < data.size()) {
            f.client.expect<DataIn>(&piece);
            got.insert(got.end(), piece.begin(), piece.end());
        }
        CHECK(got == data);
    }
}

TEST_CASE("header and data digests guard both ways") {
    const std::vector<std::string> both = {"HeaderDigest=CRC32C", "DataDigest=CRC32C"};
    SUBCASE("intact") {
        Fixture f(both);
        auto data = pattern(1024);
        f.client.send(f.client.write(0, 2), data);
        f.status();
        std::vector<uint8_t> got;
        f.client.send(f.client.read(0, 2));
        f.client.expect<DataIn>(&got);
        CHECK(got == data);
    }
    SUBCASE("a header digest error ends the connection") {
        Fixture f(both);
        auto c = f.client.command({0});
        std::vector<uint8_t> bytes(52);
        std::memcpy(bytes.data(), &c, 48);
        f.client.send_raw(bytes);
        CHECK(f.client.closed());
    }
    SUBCASE("a data digest error is rejected, then the connection ends; nothing reaches the medium") {
        Fixture f({"DataDigest=CRC32C"});
        auto c = f.client.write(0, 2);
        c.data_segment_length = 1024;
        std::vector<uint8_t> bytes(48 + 1024 + 4, 0x5a);
        std::memcpy(bytes.data(), &c, 48);
        f.client.send_raw(bytes);
        auto r = f.client.expect<wire::Reject>();
        CHECK(int(r.reason) == int(RejectReason::data_digest_error));
        CHECK(f.client.closed());
        CHECK(f.on_disk(0, 1024) == std::vector<uint8_t>(1024));
    }
}

TEST_CASE("AHS: a longer CDB, a bidirectional length, and nonsense") {
    Fixture f;
    // READ(32): VARIABLE LENGTH CDB is not ours: refused by the device server, not by the transport.
    uint8_t extended[20] = {0, 17, 1, 0};
    auto c = f.client.command({0x7f});
    f.client.send(c, {}, extended);
    f.status(2);
    for (std::vector<uint8_t> bad : {std::vector<uint8_t>{0, 0, 1, 0}, {0xff, 0xff, 1, 0}, {0, 4, 2, 0, 0, 0, 0, 0}, {0, 200, 1, 0}}) {
        f.client.send(f.client.command({0}), {}, bad);
        CHECK(int(f.client.expect<wire::Reject>().reason) == int(RejectReason::invalid_pdu_field));
    }
    uint8_t bidi[8] = {0, 5, 2, 0, 0, 0, 2, 0};
    auto b = f.client.write(0, 1);
    b.flags |= ScsiCommand::read_bit;
    f.client.send(b, pattern(512), bidi);
    auto r = f.status();
    CHECK((r.flags & ScsiResponse::bidi_underflow));
    CHECK(uint32_t(r.bidi_residual_count) == 512);
}
