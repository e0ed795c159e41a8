#include "core/mgmt/top.h"

#include <doctest/doctest.h>

#include "core/base/json.h"

using namespace iscsi::mgmt;

TEST_CASE("top reads what statistics are written as") {
    iscsi::Json json;
    json.array().object().field("tid", 1).field("lun", uint64_t(2)).field("sid", 3).field("initiator", "iqn.x:\"q\"");
    json.field("read_submitted_bytes", uint64_t(999)).field("read_done_bytes", uint64_t(18446744073709551615u)).field("read_done", uint64_t(5)).end();
    json.object().field("tid", 4).end().end();
    auto rows = parse_top(json.take());
    REQUIRE(rows.size() == 2);
    CHECK(rows[0].tid == 1);
    CHECK(rows[0].lun == 2);
    CHECK(rows[0].sid == 3);
    CHECK(rows[0].initiator == "iqn.x:\"q\"");
    CHECK(rows[0].read_bytes == 18446744073709551615u);
    CHECK(rows[0].reads == 5);
    CHECK(rows[1].tid == 4);
    for (const char* junk : {"", "\"", "{", "7", "{\"tid\"", "{\"tid\":", "[{\"initiator\": \"a\\", "}{}{"}) parse_top(junk);
}

TEST_CASE("top's rates are per second, latency per command, depth by Little's law") {
    std::vector<TopCounters> before(1), after(2);
    before[0] = {1, 1, 1, "a", 1000, 10, 0, 0, 0, 5000, 0};
    after[0] = {1, 1, 1, "a", 1000 + 4096 * 200, 10 + 200, 512 * 100, 100, 2, 5000 + 600000, 3};
    after[1] = {1, 2, 1, "a"};
    auto rows = top_rows(before, after, 2, false);
    REQUIRE(rows.size() == 1);
    CHECK(rows[0].reads == doctest::Approx(100));
    CHECK(rows[0].writes == doctest::Approx(50));
    CHECK(rows[0].read_bytes == doctest::Approx(4096 * 100));
    CHECK(rows[0].latency_us == doctest::Approx(2000));
    CHECK(rows[0].depth == doctest::Approx(0.3));
    CHECK(rows[0].errors == 2);
    CHECK(top_rows(before, after, 2, true).size() == 2);
    CHECK(top_rows(before, after, 0, true).empty());
}

TEST_CASE("top begins anew when counters went back, and shows commands that hang") {
    std::vector<TopCounters> before(1), after(1);
    before[0] = {1, 1, 1, "a", 100000, 1000, 0, 0, 0, 900, 0};
    after[0] = {1, 1, 1, "a", 4096, 1, 0, 0, 0, 100, 0};
    CHECK(top_rows(before, after, 1, false).at(0).reads == doctest::Approx(1));
    before[0] = after[0];
    after[0].in_flight = 4;
    CHECK(top_rows(before, after, 1, false).at(0).depth == doctest::Approx(4));
}
