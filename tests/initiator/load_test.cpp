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
