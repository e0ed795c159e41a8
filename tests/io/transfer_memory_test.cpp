#include "core/io/transfer_memory.h"

#include <doctest/doctest.h>

#include <vector>

using namespace iscsi;
using namespace iscsi::io;

TEST_CASE("transfers get pages of the arena, apart from each other, and their own when it is full") {
    auto memory = TransferMemory::create();
    REQUIRE(memory);
    const auto arena = memory->arena();
    auto inside = [&](MutableBytes b) { return b.data() >= arena.data() && b.data() + b.size() <= arena.data() + arena.size(); };
    std::vector<std::shared_ptr<MutableBytes>> taken;
    for (size_t i = 0; i < 16; i++) {
        taken.push_back(TransferMemory::take(memory, (256 << 10) - i));
        MutableBytes bytes = *taken.back();
        CHECK(bytes.size() == (256 << 10) - i);
        CHECK(reinterpret_cast<uintptr_t>(bytes.data()) % TransferMemory::page == 0);
        CHECK(inside(bytes));
        std::fill(bytes.begin(), bytes.end(), uint8_t(i));
    }
    for (size_t i = 0; i < 16; i++) {
        CHECK(taken[i]->front() == i);
        CHECK(taken[i]->back() == i);
    }
    auto extra = TransferMemory::take(memory, 4096);
    CHECK(!inside(*extra));
    CHECK(reinterpret_cast<uintptr_t>(extra->data()) % TransferMemory::page == 0);
    extra->back() = 1;
    taken[5].reset();
    auto again = TransferMemory::take(memory, 100 << 10);
    CHECK(inside(*again));
    CHECK(!inside(*TransferMemory::take(memory, 256 << 10)));       // what is left there is too short
    CHECK(!inside(*TransferMemory::take(memory, 5 << 20)));
    CHECK(TransferMemory::take(nullptr, 512)->size() == 512);
    memory.reset();
    again->front() = 2;                 // pieces outlive whoever made them
    CHECK(again->front() == 2);
}
