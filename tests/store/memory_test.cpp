#include "core/store/memory.h"

#include <doctest/doctest.h>

#include <vector>

#include "core/store/layers.h"

using namespace iscsi;
using namespace iscsi::store;

TEST_CASE("a ram disk keeps data, forgets what is unmapped, and says so") {
    auto opened = open_store("ram", "1M", {});
    REQUIRE(opened);
    Store& s = **opened;
    std::vector<uint8_t> data(10000, 0xab), back(10000);
    CHECK(s.size() == 1 << 20);
    CHECK(s.extent_at(0, 1 << 20).length == 1 << 20);
    CHECK(!s.extent_at(0, 1 << 20).mapped);
    CHECK(s.try_write(data, 4096) == 10000);
    CHECK(s.try_read(back, 4096) == 10000);
    CHECK(back == data);
    CHECK(s.extent_at(0, 1 << 20).length == 4096);
    CHECK(s.extent_at(5000, 1 << 20).mapped);
    Request r;
    r.op = Op::unmap;
    r.offset = 5000;
    r.length = 9000;
    CHECK(s.perform(r) == 0);
    CHECK(s.try_read(back, 4096) == 10000);
    CHECK(back[0] == 0xab);
    CHECK(back[904] == 0);
    CHECK(back[9999 - 100] == 0);
    CHECK(!s.extent_at(8192, 4096).mapped);
    CHECK(s.try_read(back, (1 << 20) - 9999) == -EIO);
    CHECK(s.try_read(back, ~uint64_t(0) - 5) == -EIO);
    CHECK(s.map(100, 200, true).size() == 200);
    CHECK(!open_store("ram", "lots", {}));
}

TEST_CASE("null is tgt's terabyte of nothing") {
    auto opened = open_store("null", "/srv/whatever", {});
    REQUIRE(opened);
    Store& s = **opened;
    CHECK(s.size() == 1099511627776);
    CHECK(s.path() == "/srv/whatever");
    std::vector<uint8_t> data(4096, 7);
    CHECK(s.try_write(data, 0) == 4096);
    CHECK(s.try_read(data, 0) == 4096);
    CHECK(data == std::vector<uint8_t>(4096));
    CHECK(s.map(1 << 20, 65536, false).size() == 65536);
    CHECK(s.map(1 << 20, 65536, true).empty());
}

TEST_CASE("read-only closes every way to write") {
    OpenOptions options;
    options.read_only = true;
    auto opened = open_store("ram", "64k", options);
    REQUIRE(opened);
    Store& s = **opened;
    std::vector<uint8_t> data(512);
    CHECK(s.capabilities().read_only);
    CHECK(s.try_write(data, 0) == -EROFS);
    CHECK(s.map(0, 512, true).empty());
    Request r;
    for (Op op : {Op::write, Op::unmap, Op::zero}) {
        r.op = op;
        r.data = data;
        r.length = 512;
        CHECK(s.perform(r) == EROFS);
    }
    r.op = Op::read;
    CHECK(s.perform(r) == 0);
}
