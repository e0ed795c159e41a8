#include "core/base/bytes.h"

#include <doctest/doctest.h>

using namespace iscsi;

TEST_CASE("big-endian integers have the wire's layout and no alignment") {
    struct { uint8_t pad; be24 three; be64 eight; be16 two; be32 four; } s{};
    static_assert(sizeof s == 18);
    s.three = 0x010203;
    s.eight = 0x0102030405060708;
    s.two = 0xfffe;
    s.four = 0x80000001;
    const uint8_t expect[] = {0, 1, 2, 3, 1, 2, 3, 4, 5, 6, 7, 8, 0xff, 0xfe, 0x80, 0, 0, 1};
    CHECK(std::memcmp(&s, expect, sizeof expect) == 0);
    CHECK(uint32_t(s.three) == 0x010203);
    CHECK(uint64_t(s.eight) == 0x0102030405060708);
    CHECK(get24(expect + 1) == 0x010203);
}

TEST_CASE("pad4 rounds up to the next word") {
    CHECK(pad4(0) == 0);
    CHECK(pad4(1) == 4);
    CHECK(pad4(4) == 4);
    CHECK(pad4(5) == 8);
}
