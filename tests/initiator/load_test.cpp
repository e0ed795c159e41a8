#include "core/initiator/load.h"

#include <doctest/doctest.h>

#include <atomic>
#include <thread>

#include "tests/support/ram_target.h"

using namespace iscsi;
using namespace iscsi::initiator;

TEST_CASE("a run that a target ends with an error ends in order, sessions before their loop") {
    auto loop = std::move(*io::Loop::create());
    test::RamTarget target(*loop, 1 << 20);
    target.fail_at_lba = 8;
    LoadPlan plan;
    plan.session = session_config(target.url(), "iqn.2026-01.test:i");
    plan.lun = lun_field(1);
    plan.random = false;
    plan.depth = 4;
    plan.sessions = 2;
    plan.count = 1000;
    std::atomic<bool> over{false};
    std::string failure;
    std::thread runner([&] {
        auto result = run_load(plan);
        if (!result) failure = result.error().text();
        over = true;
        loop->post([] {});
    });
    while (!over) loop->run_once(1000);
    runner.join();
    CHECK(failure.find("read: CHECK CONDITION") != std::string::npos);
}

TEST_CASE("a run that is interrupted ends with what it has measured") {
    auto loop = std::move(*io::Loop::create());
    test::RamTarget target(*loop, 1 << 20);
    LoadPlan plan;
    plan.session = session_config(target.url(), "iqn.2026-01.test:i");
    plan.lun = lun_field(1);
    plan.depth = 4;
    plan.time_ms = 3600000;
    std::atomic<bool> over{false};
    LoadResult result;
    std::thread runner([&] {
        auto own = std::move(*io::Loop::create());
        bool stop = false;
        io::Timer soon(*own, [&] { stop = true; });
        plan.loop = own.get();
        plan.interrupted = &stop;
        plan.begins = [&] { soon.arm(50); };
        if (auto run = run_load(plan)) result = *run;
        over = true;
        loop->post([] {});
    });
    while (!over) loop->run_once(1000);
    runner.join();
    CHECK(result.interrupted);
    CHECK(result.count() > 0);
    CHECK(result.seconds < 3600);
}
