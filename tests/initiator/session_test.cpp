#include "core/initiator/session.h"

#include <doctest/doctest.h>

#include "core/initiator/remote_lun.h"
#include "tests/support/pattern.h"
#include "tests/support/portal.h"
#include "tests/support/session_pair.h"

using namespace iscsi;
using namespace iscsi::initiator;
using namespace iscsi::test;
using wire::Opcode;

namespace {

wire::DataIn data_in(uint32_t itt, uint32_t sn, uint32_t offset, bool last) {
    wire::DataIn h;
    h.itt = itt;
    h.ttt = wire::reserved_tag;
    h.data_sn = sn;
    h.buffer_offset = offset;
    if (last) h.flags = wire::final_bit | wire::DataIn::status_bit;
    return h;
}

}  // namespace

TEST_CASE("a read lands in the caller's buffer, status with the last data") {
    for (const char* digests : {"", "|HeaderDigest=CRC32C|DataDigest=CRC32C"}) {
        CAPTURE(digests);
        SessionConfig c = config();
        c.login.offers.header_digest = c.login.offers.data_digest = nego::Digests::none_crc32c;
        const auto data = pattern(10001);
        Pair p(c, [&](FakeTarget& t, const wire::Bhs& h, Bytes) {
            auto command = wire::header_cast<wire::ScsiCommand>(h);
            CHECK((command.flags & wire::ScsiCommand::read_bit));
            CHECK(uint32_t(command.expected_data_transfer_length) == 12000);
            t.send(t.numbered(data_in(h.itt, 0, 0, false), false), Bytes(data).first(6001));
            auto last = data_in(h.itt, 1, 6001, true);
            last.flags |= wire::DataIn::underflow;
            last.residual_count = 1999;
            t.send(t.numbered(last), Bytes(data).subspan(6001));
        }, std::string(usual) + digests);
        std::vector<uint8_t> buffer(12000);
        Request r;
        r.in = buffer;
        make_read(r, 0, 24);
        p.session->submit(r);
        p.run([&] { return r.calls == 1; });
        CHECK(r.good());
        CHECK(r.transferred == 10001);
        CHECK(r.underflow);
        CHECK(r.residual == 1999);
        CHECK(std::equal(data.begin(), data.end(), buffer.begin()));
        CHECK(p.session->params().data_digest == (*digests != 0));

        Request drop;                                   // the same without a buffer
        drop.discard = 12000;
        make_read(drop, 0, 24);
        p.session->submit(drop);
        p.run([&] { return drop.calls == 1; });
        CHECK(drop.transferred == 10001);
    }
}

TEST_CASE("sense data and residuals of a SCSI Response") {
    Pair p(config(), [&](FakeTarget& t, const wire::Bhs& h, Bytes) {
        const uint8_t sense[] = {0, 18, 0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x21, 0, 0, 0, 0, 0};
        wire::ScsiResponse r;
        r.itt = h.itt;
        r.status = 2;
        r.flags |= wire::ScsiResponse::overflow;
        r.residual_count = 7;
        t.send(t.numbered(r), sense);
    });
    Request r;
    p.session->submit(r);
    p.run([&] { return r.calls == 1; });
    CHECK_FALSE(r.good());
    CHECK(r.sense_length == 18);
    CHECK(sense_code(r).key == 5);
    CHECK(sense_code(r).asc == 0x2100);
    CHECK(r.overflow);
    CHECK(r.residual == 7);
    CHECK(describe(r) == "CHECK CONDITION, illegal request, LBA out of range");
}

TEST_CASE("a write goes out as immediate, unsolicited and solicited data") {
    struct Row { const char* text; size_t immediate, unsolicited; };
    for (const Row& row : {Row{"InitialR2T=No|ImmediateData=Yes|FirstBurstLength=20000|MaxBurstLength=32768|MaxOutstandingR2T=4|"
                               "MaxRecvDataSegmentLength=8192", 8192, 20000},
                           {"InitialR2T=Yes|ImmediateData=Yes|FirstBurstLength=4096|MaxBurstLength=32768|MaxOutstandingR2T=4|"
                            "MaxRecvDataSegmentLength=8192|HeaderDigest=CRC32C|DataDigest=CRC32C", 4096, 4096},
                           {"InitialR2T=No|ImmediateData=No|FirstBurstLength=65536|MaxBurstLength=65536|MaxOutstandingR2T=1|"
                            "MaxRecvDataSegmentLength=65536", 0, 65536},
                           {"InitialR2T=Yes|ImmediateData=No|FirstBurstLength=65536|MaxBurstLength=65536|MaxOutstandingR2T=1|"
                            "MaxRecvDataSegmentLength=512", 0, 0}}) {
        CAPTURE(row.text);
        SessionConfig c = config();
        c.login.offers.header_digest = c.login.offers.data_digest = nego::Digests::none_crc32c;
        const auto data = pattern(100001);
        std::vector<uint8_t> got(data.size());
        size_t bytes = 0, asked = 0, immediate = 0, outstanding = 0;
        uint32_t itt = 0, r2t_sn = 0;
        const bool many = std::string(row.text).find("R2T=4") != std::string::npos;
        auto ask = [&](FakeTarget& t) {
            while (asked < data.size() && outstanding < (many ? 4 : 1)) {
                wire::R2t r;
                r.itt = itt;
                r.ttt = 1000 + r2t_sn;
                r.r2t_sn = r2t_sn++;
                r.buffer_offset = uint32_t(asked);
                r.desired_length = uint32_t(std::min<size_t>(30000, data.size() - asked));
                asked += r.desired_length;
                outstanding++;
                t.send(t.numbered(r, false));
            }
        };
        Pair p(c, [&](FakeTarget& t, const wire::Bhs& h, Bytes d) {
            size_t at = 0;
            bool burst_over = false;
            if (h.op() == Opcode::scsi_command) {
                itt = h.itt;
                immediate = d.size();
                burst_over = h.final();
                CHECK(burst_over == (immediate >= row.unsolicited));
            } else {
                REQUIRE(h.op() == Opcode::data_out);
                auto o = wire::header_cast<wire::DataOut>(h);
                at = o.buffer_offset;
                burst_over = h.final();
                if (o.ttt != wire::reserved_tag && burst_over) outstanding--;
            }
            REQUIRE(at + d.size() <= got.size());
            std::copy(d.begin(), d.end(), got.begin() + ssize_t(at));
            bytes += d.size();
            if (burst_over) {
                asked = std::max(asked, row.unsolicited);
                ask(t);
            }
            if (bytes == data.size()) t.answer_good(itt);
        }, row.text);
        Request r;
        r.out = data;
        make_write(r, 0, 1);
        p.session->submit(r);
        p.run([&] { return r.calls == 1; });
        CHECK(r.good());
        CHECK(immediate == row.immediate);
        CHECK(got == data);
    }
}

TEST_CASE("commands wait for the window and for a slot") {
    unsigned open = 0, most = 0, served = 0;
    std::vector<uint32_t> waiting;
    Pair p(config(), [&](FakeTarget& t, const wire::Bhs& h, Bytes) {
        most = std::max(most, ++open);
        waiting.push_back(h.itt);
        t.window = 3;
        if (waiting.size() < 3 && served + waiting.size() < 50) return;
        for (uint32_t itt : waiting) {
            open--;
            served++;
            t.answer_good(itt);
        }
        waiting.clear();
    });
    p.target->window = 3;
    std::vector<Request> requests(50);
    for (Request& r : requests) p.session->submit(r);
    p.run([&] { return served == 50 && p.session->in_flight() == 0; });
    CHECK(most <= 3);
    for (Request& r : requests) CHECK(r.good());
}

TEST_CASE("pings are answered, and asked") {
    SessionConfig c = config();
    c.noop_interval_ms = 30;
    c.noop_timeout_ms = 30;
    int pings = 0, answers = 0;
    bool mute = false;
    Pair p(c, [&](FakeTarget& t, const wire::Bhs& h, Bytes) {
        REQUIRE(h.op() == Opcode::nop_out);
        if (uint32_t(h.itt) == wire::reserved_tag) {
            answers++;
            CHECK(uint32_t(wire::header_cast<wire::NopOut>(h).ttt) == 77);
            return;
        }
        pings++;
        if (mute) return;
        wire::NopIn n;
        n.itt = h.itt;
        n.ttt = wire::reserved_tag;
        t.send(t.numbered(n));
    });
    p.run([&] { return p.session->is_up(); });
    wire::NopIn ask;
    ask.itt = wire::reserved_tag;
    ask.ttt = 77;
    p.target->send(p.target->numbered(ask, false));
    p.run([&] { return answers == 1 && pings >= 2; });
    CHECK_FALSE(p.watch.ended);
    mute = true;
    p.run([&] { return p.watch.ended; });
    CHECK(p.watch.end.text == "ping timeout");
}

TEST_CASE("logging out ends the session, what was queued first") {
    int commands = 0;
    Pair p(config(), [&](FakeTarget& t, const wire::Bhs& h, Bytes) {
        if (h.op() == Opcode::scsi_command) {
            commands++;
            return t.answer_good(h.itt);
        }
        REQUIRE(h.op() == Opcode::logout_request);
        CHECK(commands == 2);
        wire::LogoutResponsePdu r;
        r.itt = h.itt;
        t.send(t.numbered(r));
    });
    Request a, b;
    p.session->submit(a);
    p.session->submit(b);
    p.run([&] { return p.session->is_up(); });
    p.session->logout();
    p.run([&] { return p.watch.ended; });
    CHECK(p.watch.end.kind == SessionEnd::Kind::logout);
    CHECK(a.good());
    CHECK(b.good());
    Request late;
    p.session->submit(late);
    CHECK(late.calls == 0);             // never from within submit
    p.run([&] { return late.calls == 1; });
    CHECK(late.outcome == ScsiRequest::Outcome::lost);
}

TEST_CASE("abandoned requests come back once, as lost") {
    Pair p(config(), [](FakeTarget&, const wire::Bhs&, Bytes) {});
    std::vector<Request> requests(200);
    const auto data = pattern(300000);
    for (Request& r : requests) {
        r.out = data;
        p.session->submit(r);
    }
    p.run([&] { return p.session->in_flight() > 0; });
    p.session->abandon("enough");
    CHECK(p.watch.ended);
    for (Request& r : requests) {
        CHECK(r.calls == 1);
        CHECK(r.outcome == ScsiRequest::Outcome::lost);
    }
}

TEST_CASE("an answer that comes before the data has gone keeps the data alive") {
    // The target answers the write at once and reads nothing more for a while.
    bool answered = false;
    SessionConfig c = config();
    Pair p(c, [&](FakeTarget& t, const wire::Bhs& h, Bytes) {
        if (h.op() != Opcode::scsi_command || answered) return;
        answered = true;
        wire::R2t r;
        r.itt = h.itt;
        r.ttt = 5;
        r.buffer_offset = 0;
        r.desired_length = 262144;
        t.send(t.numbered(r, false));
        t.answer_good(h.itt);
    });
    auto data = std::make_unique<std::vector<uint8_t>>(pattern(600000));
    struct Owner { std::unique_ptr<std::vector<uint8_t>>* data; bool done = false; } owner{&data};
    ScsiRequest r;
    r.owner = &owner;
    r.done = [](ScsiRequest& q) {
        auto& o = *static_cast<Owner*>(q.owner);
        o.data->reset();                // the sanitizer sees whoever still sends it
        o.done = true;
    };
    r.out = *data;
    p.session->submit(r);
    p.run([&] { return owner.done; });
    CHECK(r.good());
    Request next;
    p.session->submit(next);
    p.run([&] { return p.session->in_flight() == 1; });
}

TEST_CASE("a target that breaks the rules loses the session, and nothing else happens") {
    struct Row { const char* what; FakeTarget::Script script; };
    auto numbered = [](FakeTarget& t, auto h, bool status = true) { return t.numbered(h, status); };
    const std::vector<uint8_t> some(9000, 1);
    const Row rows[] = {
        {"Data-In of an unknown task", [&](auto& t, auto&, Bytes) { t.send(numbered(t, data_in(0x55555, 0, 0, true)), Bytes(some).first(8)); }},
        {"Data-In with the tag of an earlier life", [&](auto& t, auto& h, Bytes) { t.send(numbered(t, data_in(h.itt ^ 0x1000, 0, 0, true)), Bytes(some).first(8)); }},
        {"Data-In beyond the buffer", [&](auto& t, auto& h, Bytes) { t.send(numbered(t, data_in(h.itt, 0, 0, true)), Bytes(some).first(4097)); }},
        {"Data-In at an offset beyond", [&](auto& t, auto& h, Bytes) { t.send(numbered(t, data_in(h.itt, 0, 4096, true)), Bytes(some).first(4)); }},
        {"Data-In whose offset wraps", [&](auto& t, auto& h, Bytes) { t.send(numbered(t, data_in(h.itt, 0, 0xfffffffc, true)), Bytes(some).first(8)); }},
        {"Data-In out of order", [&](auto& t, auto& h, Bytes) { t.send(numbered(t, data_in(h.itt, 0, 512, true)), Bytes(some).first(512)); }},
        {"Data-In with a wrong DataSN", [&](auto& t, auto& h, Bytes) { t.send(numbered(t, data_in(h.itt, 1, 0, true)), Bytes(some).first(512)); }},
        {"empty Data-In for ever", [&](auto& t, auto& h, Bytes) {
             for (uint32_t i = 0; i < 100; i++) t.send(numbered(t, data_in(h.itt, i, 0, false), false));
         }},
        {"Data-In longer than MaxRecvDataSegmentLength", [&](auto& t, auto& h, Bytes) {
             auto d = data_in(h.itt, 0, 0, true);
             d.data_segment_length = 262145;
             t.send_lying(d);
         }},
        {"response of an unknown task", [](auto& t, auto&, Bytes) { t.answer_good(0x12345); }},
        {"two responses", [](auto& t, auto& h, Bytes) { t.answer_good(h.itt); t.answer_good(h.itt); }},
        {"a response of 8 MiB", [](auto& t, auto& h, Bytes) {
             wire::ScsiResponse r;
             r.itt = h.itt;
             r.data_segment_length = 8u << 20;
             t.send_lying(t.numbered(r));
         }},
        {"R2T for a read", [](auto& t, auto& h, Bytes) {
             wire::R2t r;
             r.itt = h.itt;
             r.ttt = 1;
             r.desired_length = 4;
             t.send(t.numbered(r, false));
         }},
        {"additional header", [](auto& t, auto& h, Bytes) {
             wire::ScsiResponse r;
             r.itt = h.itt;
             r.total_ahs_length = 1;
             t.send(t.numbered(r));
         }},
        {"a request of an initiator", [](auto& t, auto&, Bytes) { t.send(wire::NopOut()); }},
        {"Login Response", [](auto& t, auto&, Bytes) { t.send(wire::LoginResponse()); }},
        {"Text Response", [](auto& t, auto&, Bytes) { t.send(wire::TextResponse()); }},
        {"Logout Response", [](auto& t, auto&, Bytes) { t.send(wire::LogoutResponsePdu()); }},
        {"NOP-In that answers nothing", [](auto& t, auto&, Bytes) {
             wire::NopIn n;
             n.itt = 4;
             t.send(t.numbered(n));
         }},
        {"Reject without a header", [](auto& t, auto&, Bytes) { t.send(t.numbered(wire::Reject())); }},
        {"end of connection", [](auto& t, auto&, Bytes) { t.close(); }},
        {"drop connection", [](auto& t, auto&, Bytes) {
             wire::AsyncMessage a;
             a.async_event = uint8_t(wire::AsyncEvent::drop_connection);
             t.send(t.numbered(a));
         }},
    };
    for (const Row& row : rows) {
        CAPTURE(row.what);
        int commands = 0;
        Pair p(config(), [&](FakeTarget& t, const wire::Bhs& h, Bytes d) {
            if (h.op() == Opcode::scsi_command && commands++ == 0) row.script(t, h, d);
        });
        std::vector<uint8_t> buffer(4096);
        Request r, other;
        r.in = buffer;
        p.session->submit(r);
        p.session->submit(other);
        p.run([&] { return p.watch.ended; });
        CHECK(p.watch.end.kind == SessionEnd::Kind::lost);
        CHECK(r.calls == 1);
        CHECK(other.calls == 1);
        CHECK(other.outcome == ScsiRequest::Outcome::lost);
    }
}

TEST_CASE("R2Ts that lie are refused") {
    struct Row { const char* what; uint32_t offset, length, sn, ttt, times; };
    for (const Row& row : {Row{"beyond", 60000, 5537, 0, 1, 1}, {"offset wraps", 0xffffff00, 0x200, 0, 1, 1}, {"empty", 0, 0, 0, 1, 1},
                           {"no tag", 0, 512, 0, 0xffffffff, 1}, {"wrong R2TSN", 0, 512, 1, 1, 1}, {"longer than MaxBurstLength", 0, 32769, 0, 1, 1},
                           {"more than one outstanding", 0, 512, 0, 1, 2}}) {
        CAPTURE(row.what);
        Pair p(config(), [&](FakeTarget& t, const wire::Bhs& h, Bytes) {
            if (h.op() != Opcode::scsi_command) return;
            for (uint32_t i = 0; i < row.times; i++) {
                wire::R2t r;
                r.itt = h.itt;
                r.ttt = row.ttt;
                r.r2t_sn = row.sn + i;
                r.buffer_offset = row.offset;
                r.desired_length = row.length;
                t.send(t.numbered(r, false));
            }
        }, "InitialR2T=Yes|ImmediateData=No|MaxBurstLength=32768|FirstBurstLength=512|MaxOutstandingR2T=1|MaxRecvDataSegmentLength=512");
        const auto data = pattern(65536);
        Request r;
        r.out = data;
        p.session->submit(r);
        p.run([&] { return p.watch.ended; });
        CHECK(r.calls == 1);
    }
}

TEST_CASE("R2Ts for the same bytes over and over have an end") {
    unsigned asked = 0;
    Pair p(config(), [&](FakeTarget& t, const wire::Bhs& h, Bytes) {
        if (!h.final()) return;
        wire::R2t r;
        r.itt = h.itt;
        r.ttt = 1;
        r.r2t_sn = asked++;
        r.desired_length = 4096;
        t.send(t.numbered(r, false));
    });
    const auto data = pattern(65536);
    Request r;
    r.out = data;
    p.session->submit(r);
    p.run([&] { return p.watch.ended; });
    CHECK(asked <= 17);
}

TEST_CASE("digest errors end the connection") {
    for (bool header : {true, false}) {
        CAPTURE(header);
        SessionConfig c = config();
        c.login.offers.header_digest = c.login.offers.data_digest = nego::Digests::crc32c;
        Pair p(c, [&](FakeTarget& t, const wire::Bhs& h, Bytes) {
            auto d = t.numbered(data_in(h.itt, 0, 0, true));
            d.data_segment_length = 4;
            t.header_digest = !header;
            t.data_digest = false;
            const uint8_t junk[8] = {1, 2, 3, 4, 0, 0, 0, 0};
            t.send_lying(d, header ? Bytes(junk, 8) : Bytes(junk, 8));
        }, "HeaderDigest=CRC32C|DataDigest=CRC32C");
        std::vector<uint8_t> buffer(4);
        Request r;
        r.in = buffer;
        p.session->submit(r);
        p.run([&] { return p.watch.ended; });
        CHECK(p.watch.end.text == (header ? "header digest error" : "data digest error"));
    }
}

TEST_CASE("a lost connection is made anew and what was not answered is sent again") {
    auto loop = std::move(*io::Loop::create());
    SessionConfig c = config();
    c.host = "127.0.0.1";
    c.replacement_timeout_ms = 10000;
    Watch watch;
    std::vector<std::string> isids;
    std::vector<uint8_t> order;
    unsigned answered = 0;
    Portal portal(*loop, [&](FakeTarget& t, const wire::Bhs& h, Bytes) {
        if (h.op() == Opcode::login_request) {
            auto r = wire::header_cast<wire::LoginRequest>(h);
            isids.emplace_back(reinterpret_cast<char*>(r.isid), 6);
            CHECK(uint16_t(r.tsih) == 0);
            return t.grant_login(h, std::string(usual) + "|DefaultTime2Wait=0");
        }
        if (h.op() != Opcode::scsi_command) return;
        auto command = wire::header_cast<wire::ScsiCommand>(h);
        order.push_back(command.cdb[1]);
        if (isids.size() == 1 && order.size() == 2) return t.answer_good(h.itt);    // the second of five
        if (isids.size() == 1 && order.size() == 5) return t.close();
        if (isids.size() == 2) {
            answered++;
            t.answer_good(h.itt);
        }
    });
    c.port = portal.port();
    {
        Session session(*loop, c, watch);
        session.start();
        Request requests[5];
        for (uint8_t i = 0; i < 5; i++) {
            requests[i].cdb[1] = i;
            session.submit(requests[i]);
        }
        for (int i = 0; i < 1000 && (answered < 4 || session.in_flight() > 0); i++) loop->run_once(50);
        CHECK(answered == 4);
        for (Request& r : requests) {
            CHECK(r.calls == 1);
            CHECK(r.good());
        }
        CHECK(order == std::vector<uint8_t>{0, 1, 2, 3, 4, 0, 2, 3, 4});
        CHECK(watch.ups == 2);
        CHECK(watch.downs == 1);
        CHECK(session.reconnects() == 1);
        REQUIRE(isids.size() == 2);
        CHECK(isids[0] == isids[1]);

        // The target wishes us to log out: we do, and come again.
        wire::AsyncMessage a;
        a.async_event = uint8_t(wire::AsyncEvent::logout_request);
        a.parameter3 = 1;
        FakeTarget& target = *portal.targets.back();
        target.send(target.numbered(a));
        for (int i = 0; i < 1000 && watch.ups < 3; i++) loop->run_once(50);
        CHECK(watch.ups == 3);
    }
}
