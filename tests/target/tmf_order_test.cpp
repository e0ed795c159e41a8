// Task management and commands that have not come: gaps in CmdSN before a function, RFC 7143 4.2.3.3 and 11.5.1.
#include <algorithm>

#include "tests/support/target_harness.h"

using namespace iscsi;
using namespace iscsi::target;
using wire::ScsiResponse;
using wire::TmfFunction;
using wire::TmfResponse;
using wire::TmfResult;

namespace {

struct Fixture : OneSession {
    using OneSession::OneSession;
    TmfResult result() { return TmfResult(client.expect<TmfResponse>().response); }
    // The tags of the next two answers, in any order.
    std::vector<uint32_t> two_answers() {
        std::vector<uint32_t> tags;
        for (int i = 0; i < 2; i++) {
            auto pdu = client.receive();
            REQUIRE(pdu);
            tags.push_back(pdu->header.itt);
        }
        std::sort(tags.begin(), tags.end());
        return tags;
    }
    void free_disk() {
        target.store->release();
        target.store->cold = false;
    }
};

}  // namespace

TEST_CASE("a function of a set of tasks waits for the commands before it (RFC 7143 4.2.3.3, 11.5.1)") {
    for (TmfFunction function : {TmfFunction::abort_task_set, TmfFunction::clear_task_set, TmfFunction::logical_unit_reset, TmfFunction::i_t_nexus_reset,
                                 TmfFunction::query_task_set})
        for (bool immediate : {true, false}) {
            CAPTURE(int(function));
            CAPTURE(immediate);
            Fixture f;
            // A write and what it needs have not come; one behind it has, and so has one behind the function.
            auto missing = f.client.write(0, 1), held = f.client.write(1, 1);
            f.client.send(held, std::vector<uint8_t>(512, 0xbb));
            auto t = f.client.tmf(function);
            if (!immediate) t.opcode &= uint8_t(~wire::immediate_bit), f.client.cmd_sn++;
            auto behind = f.client.command({0});
            f.client.send(behind);
            f.client.send(t);
            CHECK(f.client.quiet());
            f.target.store->cold = true;
            f.target.store->hang();
            f.client.send(missing, std::vector<uint8_t>(512, 0xaa));
            if (function == TmfFunction::query_task_set) {
                CHECK(f.result() == TmfResult::succeeded);
                f.free_disk();
                continue;
            }
            REQUIRE(f.target.until([&] { return f.target.store->stuck > 0; }));
            f.free_disk();
            // Neither write is answered, neither before nor after; and the command behind is no part of it.
            CHECK(f.two_answers() == std::vector<uint32_t>{t.itt, behind.itt});
            CHECK(f.client.quiet());
        }
}

TEST_CASE("a reset of the target counts the commands before it as received (RFC 7143 4.2.3.3 b)") {
    Fixture f;
    auto missing = f.client.write(0, 1), held = f.client.write(1, 1);
    f.client.send(held, std::vector<uint8_t>(512, 0xbb));
    auto t = f.client.tmf(TmfFunction::target_warm_reset);
    auto behind = f.client.command({0});
    f.client.send(behind);
    f.client.send(t);
    CHECK(f.two_answers() == std::vector<uint32_t>{t.itt, behind.itt});
    f.client.send(missing, std::vector<uint8_t>(512, 0xaa));
    CHECK(f.client.quiet());
    std::vector<uint8_t> now(1024);
    REQUIRE(f.target.store->try_read(now, 0) == 1024);
    CHECK(now == std::vector<uint8_t>(1024));
    f.client.send(f.client.command({0}));
    CHECK(uint32_t(f.client.expect<ScsiResponse>().itt) == f.client.itt - 1);
}

TEST_CASE("a function whose CmdSN lies far off is not waited for") {
    Fixture f;
    for (uint32_t off : {0x7fffffffu, 0x80000000u, 1000u, 0xffffff00u}) {
        CAPTURE(off);
        auto t = f.client.tmf(TmfFunction::abort_task_set);
        t.cmd_sn = f.client.cmd_sn + off;
        f.client.send(t);
        CHECK(f.result() == TmfResult::complete);
    }
}

TEST_CASE("ABORT TASK of a task management function is rejected (RFC 7143 11.5.1)") {
    Fixture f;
    f.client.hung_write();
    auto reset = f.client.tmf(TmfFunction::logical_unit_reset);
    f.client.send(reset);
    CHECK(f.client.quiet());
    auto t = f.client.tmf(TmfFunction::abort_task, reset.itt);
    t.ref_cmd_sn = f.client.cmd_sn - 1;
    f.client.send(t);
    CHECK(f.result() == TmfResult::rejected);
    f.free_disk();
    CHECK(uint32_t(f.client.expect<TmfResponse>().itt) == uint32_t(reset.itt));
}

TEST_CASE("unsolicited data of a command behind a gap waits with it") {
    Fixture f({"InitialR2T=No", "FirstBurstLength=2048"});
    auto missing = f.client.command({0});
    auto w = f.client.write(0, 4), x = f.client.write(4, 4);
    w.flags &= uint8_t(~wire::final_bit);
    x.flags &= uint8_t(~wire::final_bit);
    f.client.send(w, std::vector<uint8_t>(512, 1));
    f.client.send(x);
    f.client.send(f.client.data_out(w, wire::reserved_tag, 0, 512, false), std::vector<uint8_t>(512, 1));
    f.client.send(f.client.data_out(w, wire::reserved_tag, 1, 1024, true), std::vector<uint8_t>(1024, 1));
    f.client.send(f.client.data_out(x, wire::reserved_tag, 0, 0, true), std::vector<uint8_t>(2048, 2));
    CHECK(f.client.quiet());
    f.client.send(missing);
    for (const auto* c : {&missing, &w, &x}) {
        auto r = f.client.expect<ScsiResponse>();
        CHECK(r.status == 0);
        CHECK(uint32_t(r.itt) == uint32_t(c->itt));
    }
    std::vector<uint8_t> now(4096), want(4096, 1);
    std::fill(want.begin() + 2048, want.end(), uint8_t(2));
    REQUIRE(f.target.store->try_read(now, 0) == 4096);
    CHECK(now == want);
}
