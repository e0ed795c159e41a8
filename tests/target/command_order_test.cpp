// In which order commands start: CmdSN and its window, StatSN, task tags, task attributes.
#include <algorithm>

#include "tests/support/target_harness.h"

using namespace iscsi;
using namespace iscsi::target;
using wire::NopIn;
using wire::RejectReason;
using wire::ScsiResponse;

TEST_CASE("CmdSN: gaps wait, duplicates and strangers vanish, immediate commands pass") {
    TestTarget t;
    RawClient c(t);
    c.enter();
    const uint32_t base = c.cmd_sn;
    auto at = [&](uint32_t sn, bool immediate = false) {
        auto h = c.command({0});
        c.cmd_sn--;
        h.cmd_sn = sn;
        if (immediate) h.opcode |= wire::immediate_bit;
        c.send(h);
        return uint32_t(h.itt);
    };
    auto answered = [&](uint32_t itt) {
        auto r = c.expect<ScsiResponse>();
        CHECK(uint32_t(r.itt) == itt);
        CHECK(r.status == 0);
        return r;
    };
    uint32_t third = at(base + 2), second = at(base + 1);
    at(base + 2);                                       // again
    at(base - 1);                                       // past
    at(base + 0x10000);                                 // far ahead
    at(base + 0x80000000);
    CHECK(c.quiet());
    uint32_t now = at(base, true);                      // immediate: at once, counts nothing
    auto r = answered(now);
    CHECK(uint32_t(r.exp_cmd_sn) == base);
    uint32_t first = at(base);
    answered(first);
    answered(second);
    r = answered(third);
    CHECK(uint32_t(r.exp_cmd_sn) == base + 3);
    CHECK(uint32_t(r.max_cmd_sn) - uint32_t(r.exp_cmd_sn) < 128);
    CHECK(c.quiet());
}

TEST_CASE("too many commands behind a gap end the connection, not the daemon") {
    TestTarget t;
    RawClient c(t);
    REQUIRE(c.login() == 0);
    c.cmd_sn++;
    for (int i = 0; i < 100; i++) c.send(c.command({0}));
    CHECK(c.closed());
}

TEST_CASE("StatSN advances by one for each status, and R2T, pings and Data-In do not") {
    TestTarget t;
    RawClient c(t);
    REQUIRE(c.login() == 0);
    c.send(c.command({0}));
    uint32_t sn = c.expect<ScsiResponse>().stat_sn;
    c.drop_attentions();
    c.send(c.command({0}));
    sn = c.expect<ScsiResponse>().stat_sn;
    c.send(c.read(0, 1));
    CHECK(uint32_t(c.expect<wire::DataIn>().stat_sn) == sn + 1);
    auto w = c.write(0, 1);
    c.send(w);
    auto r = c.expect<wire::R2t>();
    CHECK(uint32_t(r.stat_sn) == sn + 2);
    c.send(c.data_out(w, r.ttt, 0, 0, true), std::vector<uint8_t>(512));
    CHECK(uint32_t(c.expect<ScsiResponse>().stat_sn) == sn + 2);
    c.send(c.ping());
    CHECK(uint32_t(c.expect<NopIn>().stat_sn) == sn + 3);
    c.send(c.command({0}));
    CHECK(uint32_t(c.expect<ScsiResponse>().stat_sn) == sn + 4);
}

TEST_CASE("a full window closes and opens again") {
    TestTarget t;
    t.target->change([](TargetConfig& c) { c.max_queue_cmd = 4; });
    RawClient c(t);
    c.enter();
    t.hang_disk();
    uint32_t base = c.cmd_sn;
    for (int i = 0; i < 6; i++) c.send(c.read(0, 1));            // two too many: they vanish
    c.send(c.ping());
    auto n = c.expect<NopIn>();
    CHECK(uint32_t(n.exp_cmd_sn) == base + 4);
    CHECK(uint32_t(n.max_cmd_sn) == base + 3);
    t.store->release();
    for (int i = 0; i < 4; i++) c.expect<wire::DataIn>();
    c.send(c.ping());
    n = c.expect<NopIn>();
    CHECK(uint32_t(n.max_cmd_sn) == base + 7);
    CHECK(c.quiet());
}

TEST_CASE("a task tag in use is refused") {
    TestTarget t;
    RawClient c(t);
    c.enter();
    auto w = c.write(0, 4);
    c.send(w);
    c.expect<wire::R2t>();
    auto again = c.command({0});
    again.itt = uint32_t(w.itt);
    c.send(again);
    CHECK(int(c.expect<wire::Reject>().reason) == int(RejectReason::task_in_progress));
}

// ---- task attributes

TEST_CASE("ORDERED waits for what is older, and the younger wait for it; HEAD OF QUEUE for nobody") {
    TestTarget t;
    RawClient c(t);
    c.enter({"InitialR2T=No"});
    auto older = c.send_hung(c.read(0, 1));
    t.store->cold = false;
    auto ordered = c.write(0, 2), after = c.read(0, 1), head = c.command({0}), elsewhere = c.command({0});
    ordered.flags = uint8_t((ordered.flags & 0x78 & ~wire::final_bit) | 2);
    head.flags = uint8_t((head.flags & 0xf8) | 3);
    elsewhere.lun = 0;
    elsewhere.cdb[0] = 0x12;                                // INQUIRY, of the controller
    c.send(ordered, std::vector<uint8_t>(512, 0x11));
    c.send(c.data_out(ordered, wire::reserved_tag, 0, 512, true), std::vector<uint8_t>(512, 0x22));
    c.send(after);
    c.send(head);
    CHECK(uint32_t(c.expect<ScsiResponse>().itt) == uint32_t(head.itt));
    c.send(elsewhere);
    CHECK(uint32_t(c.expect<ScsiResponse>().itt) == uint32_t(elsewhere.itt));
    auto twice = c.command({0});
    twice.itt = uint32_t(ordered.itt);
    c.send(twice);
    CHECK(int(c.expect<wire::Reject>().reason) == int(RejectReason::task_in_progress));
    c.send(c.tmf(wire::TmfFunction::query_task, ordered.itt));
    CHECK(int(c.expect<wire::TmfResponse>().response) == int(wire::TmfResult::succeeded));
    CHECK(c.quiet());
    t.store->release();
    CHECK(uint32_t(c.expect<wire::DataIn>().itt) == uint32_t(older.itt));
    CHECK(uint32_t(c.expect<ScsiResponse>().itt) == uint32_t(ordered.itt));
    std::vector<uint8_t> data;
    CHECK(uint32_t(c.expect<wire::DataIn>(&data).itt) == uint32_t(after.itt));
    CHECK(data == std::vector<uint8_t>(512, 0x11));         // it read what the ordered one wrote
}

TEST_CASE("commands that wait for an ORDERED one are aborted, refused when too many, and forgotten with their connection") {
    for (const char* how : {"task", "set", "close", "full"}) {
        CAPTURE(std::string(how));
        TestTarget t;
        RawClient c(t);
        c.enter({"InitialR2T=No"});
        c.send_hung(c.read(0, 1));
        auto ordered = c.command({0});
        ordered.flags = uint8_t((ordered.flags & 0xf8) | 2);
        c.send(ordered);
        std::vector<wire::ScsiCommand> behind;
        const int count = std::string(how) == "full" ? 40 : 3;
        for (int i = 0; i < count; i++) {
            behind.push_back(c.write(8, 64));
            c.send(behind.back(), std::vector<uint8_t>(32768));
        }
        if (std::string(how) == "task") {
            c.send(c.tmf(wire::TmfFunction::abort_task, behind[1].itt));
            CHECK(int(c.expect<wire::TmfResponse>().response) == 0);
            t.store->release();
            c.expect<wire::DataIn>();
            CHECK(uint32_t(c.expect<ScsiResponse>().itt) == uint32_t(ordered.itt));
            std::vector<uint32_t> done{c.expect<ScsiResponse>().itt, c.expect<ScsiResponse>().itt};
            std::sort(done.begin(), done.end());            // the two may end in any order
            CHECK(done == std::vector<uint32_t>{behind[0].itt, behind[2].itt});
        } else if (std::string(how) == "set") {
            c.send(c.tmf(wire::TmfFunction::abort_task_set));
            CHECK(c.quiet());
            t.store->release();
            CHECK(int(c.expect<wire::TmfResponse>().response) == 0);
            CHECK(c.quiet());
        } else if (std::string(how) == "close") {
            t.turn();
            c.close();
            t.turn();
            t.store->release();
            CHECK(t.until([&] { return t.directory.sessions.size() == 0; }));
        } else {
            CHECK(int(c.expect<ScsiResponse>().status) == 0x28);        // TASK SET FULL, for those beyond 1 MiB
            t.store->release();
            int good = 0, full = 1;
            while (good + full < 41) {
                auto pdu = c.receive();
                REQUIRE(pdu);
                if (pdu->op() == wire::Opcode::data_in) continue;
                auto r = pdu->as<ScsiResponse>();
                good += r.status == 0;
                full += r.status == 0x28;
            }
            CHECK(good == 33);
            CHECK(full == 8);
        }
    }
}
