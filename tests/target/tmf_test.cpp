// Task management: what is aborted is gone when the answer says so.
#include "core/scsi/disk.h"
#include "core/store/memory.h"
#include "tests/support/target_harness.h"

using namespace iscsi;
using namespace iscsi::target;
using wire::R2t;
using wire::ScsiResponse;
using wire::TmfFunction;
using wire::TmfResponse;
using wire::TmfResult;

namespace {

struct Fixture : OneSession {
    using OneSession::OneSession;
    TmfResult result(RawClient& c) { return TmfResult(c.expect<TmfResponse>().response); }
    TmfResult result() { return result(client); }
};

}  // namespace

TEST_CASE("functions without anything to do are answered") {
    struct Row { TmfFunction function; uint64_t lun; TmfResult result; };
    const uint64_t nowhere = uint64_t(77) << 48, mad = 0xffffffffffffffff;
    Fixture f;
    for (const Row& row : {
             Row{TmfFunction::abort_task, lun1, TmfResult::no_such_task},
             Row{TmfFunction::abort_task_set, lun1, TmfResult::complete},
             Row{TmfFunction::abort_task_set, nowhere, TmfResult::no_such_lun},
             Row{TmfFunction::abort_task_set, mad, TmfResult::no_such_lun},
             Row{TmfFunction::clear_aca, lun1, TmfResult::not_supported},
             Row{TmfFunction::clear_task_set, lun1, TmfResult::complete},
             Row{TmfFunction::clear_task_set, nowhere, TmfResult::no_such_lun},
             Row{TmfFunction::logical_unit_reset, lun1, TmfResult::complete},
             Row{TmfFunction::logical_unit_reset, 0, TmfResult::complete},
             Row{TmfFunction::logical_unit_reset, nowhere, TmfResult::no_such_lun},
             Row{TmfFunction::target_warm_reset, 0, TmfResult::complete},
             Row{TmfFunction::task_reassign, lun1, TmfResult::reassign_unsupported},
             Row{TmfFunction::query_task, lun1, TmfResult::complete},
             Row{TmfFunction::query_task_set, lun1, TmfResult::complete},
             Row{TmfFunction::query_task_set, nowhere, TmfResult::no_such_lun},
             Row{TmfFunction::i_t_nexus_reset, 0, TmfResult::complete},
             Row{TmfFunction::query_async_event, lun1, TmfResult::complete},
             Row{TmfFunction(99), lun1, TmfResult::not_supported},
         }) {
        CAPTURE(int(row.function));
        CAPTURE(row.lun);
        auto t = f.client.tmf(row.function, 0x1234, row.lun);
        t.ref_cmd_sn = f.client.cmd_sn - 1;
        f.client.send(t);
        auto r = f.client.expect<TmfResponse>();
        CHECK(int(r.response) == int(row.result));
        CHECK(uint32_t(r.itt) == uint32_t(t.itt));
    }
}

TEST_CASE("ABORT TASK answers once the write is off the disk, and the command never") {
    Fixture f;
    auto w = f.client.hung_write();
    f.client.send(f.client.tmf(TmfFunction::query_task, w.itt));
    CHECK(f.result() == TmfResult::succeeded);
    f.client.send(f.client.tmf(TmfFunction::query_task_set));
    CHECK(f.result() == TmfResult::succeeded);
    f.client.send(f.client.tmf(TmfFunction::abort_task, w.itt));
    CHECK(f.client.quiet());
    f.target.free_disk();
    CHECK(f.result() == TmfResult::complete);
    CHECK(f.client.quiet());
    f.client.send(f.client.command({0}));
    CHECK(f.client.expect<ScsiResponse>().status == 0);
}

TEST_CASE("ABORT TASK wants the right logical unit") {
    Fixture f;
    auto w = f.client.hung_write();
    f.client.send(f.client.tmf(TmfFunction::abort_task, w.itt, 0));
    CHECK(f.result() == TmfResult::no_such_task);
    f.client.send(f.client.tmf(TmfFunction::query_task, w.itt, 0));
    CHECK(f.result() == TmfResult::complete);
    f.target.free_disk();
    CHECK(f.client.expect<ScsiResponse>().status == 0);
}

TEST_CASE("ABORT TASK counts a command that has not come as received (RFC 7143 11.6.1)") {
    Fixture f;
    uint32_t missing = f.client.cmd_sn++;
    auto next = f.client.command({0});
    f.client.send(next);
    CHECK(f.client.quiet());            // waits for the missing one
    auto t = f.client.tmf(TmfFunction::abort_task, 0x777);
    t.ref_cmd_sn = missing;
    f.client.send(t);
    CHECK(f.result() == TmfResult::complete);
    CHECK(f.client.expect<ScsiResponse>().status == 0);
    // When it comes after all it is a stranger.
    auto late = f.client.command({0});
    f.client.cmd_sn--;
    late.cmd_sn = missing;
    late.itt = 0x777;
    f.client.send(late);
    CHECK(f.client.quiet());
}

TEST_CASE("ABORT TASK of a command that waits for its turn") {
    Fixture f;
    uint32_t missing = f.client.cmd_sn++;
    auto held = f.client.command({0}), other = f.client.command({0});
    f.client.send(held);
    f.client.send(other);
    auto t = f.client.tmf(TmfFunction::abort_task, held.itt);
    t.ref_cmd_sn = uint32_t(held.cmd_sn);
    f.client.send(t);
    CHECK(f.result() == TmfResult::complete);
    auto first = f.client.command({0});
    f.client.cmd_sn--;
    first.cmd_sn = missing;
    f.client.send(first);
    CHECK(uint32_t(f.client.expect<ScsiResponse>().itt) == uint32_t(first.itt));
    CHECK(uint32_t(f.client.expect<ScsiResponse>().itt) == uint32_t(other.itt));
    CHECK(f.client.quiet());
}

TEST_CASE("ABORT TASK SET ends this session's tasks, however their LUN is written") {
    Fixture f;
    auto w = f.client.write(0, 1);
    w.lun = lun1 | uint64_t(1) << 62;           // flat space addressing
    f.client.send_hung(w, std::vector<uint8_t>(512));
    f.client.send(f.client.tmf(TmfFunction::abort_task_set));
    CHECK(f.client.quiet());
    f.target.free_disk();
    CHECK(f.result() == TmfResult::complete);
    CHECK(f.client.quiet());
}

TEST_CASE("resets and CLEAR TASK SET wait for the writes of other sessions") {
    for (TmfFunction function : {TmfFunction::clear_task_set, TmfFunction::logical_unit_reset, TmfFunction::target_warm_reset,
                                 TmfFunction::target_cold_reset}) {
        CAPTURE(int(function));
        Fixture f;
        RawClient other(f.target);
        other.isid++;
        other.enter();
        other.hung_write();
        f.client.send(f.client.tmf(function));
        CHECK(f.client.quiet());
        f.target.free_disk();
        CHECK(f.result() == TmfResult::complete);
        if (function == TmfFunction::target_cold_reset) {
            CHECK(other.closed());
            CHECK(f.client.closed());
            continue;
        }
        // No answer to the command, but a unit attention that tells of it.
        other.send(other.command({0}));
        std::vector<uint8_t> sense;
        auto r = other.expect<ScsiResponse>(&sense);
        CHECK(uint32_t(r.itt) == other.itt - 1);
        REQUIRE(sense.size() >= 20);
        CHECK((sense[4] & 15) == 6);
        CHECK(int(sense[14]) == (function == TmfFunction::clear_task_set ? 0x2f : 0x29));
    }
}

TEST_CASE("a connection that ends while its abort waits for the disk") {
    for (TmfFunction function : {TmfFunction::abort_task, TmfFunction::abort_task_set, TmfFunction::logical_unit_reset, TmfFunction::target_cold_reset,
                                 TmfFunction::target_warm_reset, TmfFunction::i_t_nexus_reset}) {
        CAPTURE(int(function));
        Fixture f;
        auto w = f.client.hung_write();
        f.client.send(f.client.tmf(function, w.itt));
        f.target.turn();
        f.client.close();
        f.target.turn();
        f.target.free_disk();
        CHECK(f.target.until([&] { return f.target.directory.sessions.size() == 0; }));
        CHECK(f.target.server->connections() == 0);
    }
}

TEST_CASE("a session that ends while another's reset waits for it") {
    Fixture f;
    RawClient other(f.target);
    other.isid++;
    other.enter();
    other.hung_write();
    f.client.send(f.client.tmf(TmfFunction::logical_unit_reset));
    f.target.turn();
    other.close();
    CHECK(f.client.quiet());
    f.target.free_disk();
    CHECK(f.result() == TmfResult::complete);
}

TEST_CASE("data on its way to the medium's own memory is turned away by a reset from elsewhere") {
    Fixture f({"MaxRecvDataSegmentLength=262144", "MaxBurstLength=262144"});
    RawClient other(f.target);
    other.isid++;
    other.enter();
    auto c = f.client.write(0, 256);
    f.client.send(c);
    auto r = f.client.expect<R2t>();
    auto header = f.client.data_out(c, r.ttt, 0, 0, true);
    f.client.send_head(header, 131072);
    f.target.turn();
    f.client.send_raw(std::vector<uint8_t>(1000, 0xee));
    f.target.turn();
    other.send(other.tmf(TmfFunction::logical_unit_reset));
    CHECK(f.result(other) == TmfResult::complete);
    f.client.send_raw(std::vector<uint8_t>(131072 - 1000, 0xee));
    f.target.turn();
    std::vector<uint8_t> after(1024);
    REQUIRE(f.target.store->try_read(after, 4096) > 0);
    CHECK(after == std::vector<uint8_t>(1024));
    f.client.send(f.client.command({0}));
    CHECK(f.client.expect<ScsiResponse>().status == 2);     // the unit attention
}

TEST_CASE("reads that wait for the disk may be aborted") {
    Fixture f;
    auto c = f.client.send_hung(f.client.read(0, 64));
    f.client.send(f.client.tmf(TmfFunction::abort_task, c.itt));
    CHECK(f.client.quiet());
    f.target.free_disk();
    CHECK(f.result() == TmfResult::complete);
    CHECK(f.client.quiet());
}

TEST_CASE("PREEMPT AND ABORT: answered once the other's write is off the disk") {
    TestTarget t;
    RawClient a(t), b(t);
    b.isid++;
    a.enter();
    b.enter();
    auto reserve_out = [](RawClient& c, uint8_t action, uint8_t type, uint8_t key, uint8_t service) {
        auto h = c.command({0x5f, action, type, 0, 0, 0, 0, 0, 24, 0}, 24, wire::final_bit | wire::ScsiCommand::write_bit);
        std::vector<uint8_t> list(24);
        list[7] = key;
        list[15] = service;
        c.send(h, list);
    };
    reserve_out(a, 0, 0, 0, 1);
    CHECK(a.expect<ScsiResponse>().status == 0);
    reserve_out(b, 0, 0, 0, 2);
    CHECK(b.expect<ScsiResponse>().status == 0);
    reserve_out(a, 1, 5, 1, 0);                         // write exclusive, registrants only
    CHECK(a.expect<ScsiResponse>().status == 0);
    a.hung_write();
    reserve_out(b, 5, 5, 2, 1);
    CHECK(b.quiet());
    t.store->release();
    CHECK(b.expect<ScsiResponse>().status == 0);
    CHECK(a.quiet());                                   // its write was aborted
    a.send(a.command({0}));
    CHECK(a.expect<ScsiResponse>().status == 2);        // it is told
}
