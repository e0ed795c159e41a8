// What a session hears and says besides commands and texts: pings, logout, reject; and what the administrator does to it meanwhile.
#include "core/scsi/disk.h"
#include "core/store/memory.h"
#include "tests/support/target_harness.h"

using namespace iscsi;
using namespace iscsi::target;
using wire::NopIn;
using wire::RejectReason;
using wire::ScsiResponse;

TEST_CASE("NOP-Out: answered with its data, or not at all") {
    TestTarget t;
    RawClient c(t);
    REQUIRE(c.login() == 0);
    std::vector<uint8_t> data(300, 7), back;
    c.send(c.ping(), data);
    auto n = c.expect<NopIn>(&back);
    CHECK(back == data);
    CHECK(uint32_t(n.ttt) == wire::reserved_tag);
    auto silent = c.ping();
    silent.itt = wire::reserved_tag;
    c.send(silent);
    CHECK(c.quiet());
    silent.opcode = 0;                          // ITT reserved must be immediate
    c.send(silent);
    CHECK(int(c.expect<wire::Reject>().reason) == int(RejectReason::invalid_pdu_field));
    c.cmd_sn++;
    auto counted = c.ping();
    counted.opcode = 0;
    counted.cmd_sn = c.cmd_sn++;
    c.send(counted);
    CHECK(uint32_t(c.expect<NopIn>().exp_cmd_sn) == c.cmd_sn);
}

TEST_CASE("pings of the target: answered, the session stays; not, it ends") {
    TestTarget t;
    t.target->change([](TargetConfig& c) { c.nop_interval = 1, c.nop_count = 1; });
    RawClient good(t), bad(t);
    bad.isid++;
    REQUIRE(good.login() == 0);
    REQUIRE(bad.login() == 0);
    auto n = good.expect<NopIn>();
    CHECK(uint32_t(n.itt) == wire::reserved_tag);
    CHECK(uint32_t(n.ttt) != wire::reserved_tag);
    auto reply = good.ping();
    reply.itt = wire::reserved_tag;
    reply.ttt = uint32_t(n.ttt);
    good.send(reply);
    CHECK(bad.closed());
    CHECK(t.directory.sessions.size() == 1);
}

TEST_CASE("logout, for every reason") {
    struct Row { uint8_t reason; uint16_t cid; int response; bool closes; };
    for (const Row& row : {Row{0, 0, 0, true}, Row{1, 1, 0, true}, Row{1, 9, 1, false}, Row{2, 1, 2, false}, Row{5, 0, -1, false}}) {
        CAPTURE(int(row.reason));
        TestTarget t;
        RawClient c(t);
        REQUIRE(c.login() == 0);
        wire::LogoutRequest r;
        r.reason = uint8_t(wire::final_bit | row.reason);
        r.cid = row.cid;
        r.itt = c.itt++;
        r.cmd_sn = c.cmd_sn;
        c.send(r);
        if (row.response < 0)
            CHECK(int(c.expect<wire::Reject>().reason) == int(RejectReason::invalid_pdu_field));
        else
            CHECK(int(c.expect<wire::LogoutResponsePdu>().response) == row.response);
        if (row.closes)
            CHECK(c.closed());
        else
            CHECK(c.quiet());
        CHECK(t.until([&] { return t.directory.sessions.size() == (row.closes ? 0u : 1u); }));
    }
}

TEST_CASE("a logout waits for the disk; what comes behind it is ignored; nobody waits for whoever has gone") {
    for (bool stays : {true, false}) {
        TestTarget t;
        RawClient c(t);
        c.enter();
        c.hung_write();
        wire::LogoutRequest r;
        r.itt = c.itt++;
        r.cmd_sn = c.cmd_sn;
        c.send(r);
        c.send(c.command({0}));
        CHECK(c.quiet());
        if (!stays) c.close();
        t.turn();
        t.store->release();
        if (stays) {
            CHECK(int(c.expect<wire::LogoutResponsePdu>().response) == 0);
            CHECK(c.closed());
        }
        CHECK(t.until([&] { return t.directory.sessions.size() == 0 && t.server->connections() == 0; }));
    }
}

TEST_CASE("reject: what no target answers otherwise") {
    struct Row { uint8_t opcode; RejectReason reason; };
    TestTarget t;
    RawClient c(t);
    REQUIRE(c.login() == 0);
    for (const Row& row : {Row{0x10, RejectReason::snack_reject}, Row{0x43, RejectReason::protocol_error}, Row{0x03, RejectReason::protocol_error},
                           Row{0x1c, RejectReason::command_not_supported}, Row{0x21, RejectReason::command_not_supported},
                           Row{0x3f, RejectReason::command_not_supported}}) {
        CAPTURE(int(row.opcode));
        wire::Bhs h;
        h.opcode = row.opcode;
        h.flags = 0x80;
        h.itt = 0x4711;
        c.send(h);
        std::vector<uint8_t> back;
        CHECK(int(c.expect<wire::Reject>(&back).reason) == int(row.reason));
        CHECK(back.size() == 48);
    }
    CHECK(c.quiet());
}

// ---- what management does meanwhile

TEST_CASE("a logical unit is added, taken away and exchanged under a session") {
    TestTarget t;
    RawClient c(t);
    c.enter();
    auto sense_of = [&](uint64_t lun) {
        auto h = c.command({0});
        h.lun = lun;
        c.send(h);
        std::vector<uint8_t> sense;
        auto r = c.expect<ScsiResponse>(&sense);
        return r.status == 0 ? 0 : sense[14] << 8 | sense[15];
    };
    auto disk = [] { return scsi::Disk::over(*store::make_ram("1M", 1 << 20), {}); };
    REQUIRE(t.target->router.add(2, disk()));
    CHECK(sense_of(lun1) == 0x3f0e);                    // REPORTED LUNS DATA HAS CHANGED
    CHECK(sense_of(lun1) == 0);
    CHECK(sense_of(lun1 * 2) == 0x2900);                // it is new to this nexus
    CHECK(sense_of(lun1 * 2) == 0);
    c.hung_write();
    REQUIRE(t.target->router.remove(1));
    CHECK(sense_of(lun1) == 0x2500);
    CHECK(sense_of(lun1 * 2) == 0x3f0e);
    REQUIRE(t.target->router.add(1, disk()));
    CHECK(sense_of(lun1) == 0x2900);
    t.store->release();
    CHECK(c.expect<ScsiResponse>().status == 0);        // what was on its way to the old one
    CHECK(sense_of(lun1) == 0);
}

TEST_CASE("a session, a connection, a target dropped by the administrator while commands are in flight") {
    for (int how = 0; how < 3; how++) {
        CAPTURE(how);
        TestTarget t;
        RawClient c(t);
        c.enter();
        t.hang_disk();
        c.send(c.write(0, 1), std::vector<uint8_t>(512));
        c.send(c.read(0, 512));
        t.await_stuck(2);
        auto record = t.directory.sessions.all().front();
        if (how == 0) record->drop();
        if (how == 1) record->drop_connection(1);
        if (how == 2) {
            t.directory.remove(1);
            record->drop();
            t.target.reset();
        }
        CHECK(c.closed());
        CHECK(t.directory.sessions.size() == 1);        // its I/O is not back
        t.store->release();
        CHECK(t.until([&] { return t.directory.sessions.size() == 0; }));
        record->drop();                                 // of a session that is gone: nothing
        record->notify(wire::AsyncEvent::logout_request, 1);
        t.turn();
    }
}
