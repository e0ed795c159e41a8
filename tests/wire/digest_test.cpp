#include "core/wire/digest.h"

#include <doctest/doctest.h>

#include <vector>

using namespace iscsi;
using namespace iscsi::wire;

namespace {
std::vector<uint8_t> pattern(size_t n) {
    std::vector<uint8_t> v(n);
    uint32_t x = 12345;
    for (uint8_t& b : v) b = uint8_t((x = x * 1664525 + 1013904223) >> 24);
    return v;
}
uint32_t bitwise(uint32_t crc, const uint8_t* p, size_t n) {
    for (crc = ~crc; n; ++p, --n) {
        crc ^= *p;
        for (int i = 0; i < 8; ++i) crc = crc & 1 ? crc >> 1 ^ 0x82f63b78 : crc >> 1;
    }
    return ~crc;
}
}  // namespace

TEST_CASE("CRC32C golden vectors of RFC 7143 appendix A.4") {
    std::vector<uint8_t> zeros(32, 0), ones(32, 0xff), up(32), down(32);
    for (size_t i = 0; i < 32; ++i) {
        up[i] = uint8_t(i);
        down[i] = uint8_t(31 - i);
    }
    const std::vector<uint8_t> read10 = {0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x14, 0, 0, 0, 0, 0, 4, 0,
                                         0, 0, 0, 0x14, 0, 0, 0, 0x18, 0x28, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0};
    struct Row { const std::vector<uint8_t>& data; uint8_t wire[4]; };
    for (const Row& r : {Row{zeros, {0xaa, 0x36, 0x91, 0x8a}}, {ones, {0x43, 0xab, 0xa8, 0x62}},
                         {up, {0x4e, 0x79, 0xdd, 0x46}}, {down, {0x5c, 0xdb, 0x3f, 0x11}},
                         {read10, {0x56, 0x3a, 0x96, 0xd9}}}) {
        uint8_t word[4];
        put_digest(word, crc32c(0, r.data));
        CHECK(std::memcmp(word, r.wire, 4) == 0);
        CHECK(get_digest(word) == crc32c(0, r.data));
    }
}

TEST_CASE("every implementation agrees with the definition, at any length and alignment") {
    const auto data = pattern(40000);
    for (const CrcWay& way : crc32c_ways()) {
        CAPTURE(way.name);
        for (size_t n = 0; n < 700; ++n)
            for (size_t at : {0, 1, 7, 13}) REQUIRE(~way.run(~0u, &data[at], n) == bitwise(0, &data[at], n));
        for (size_t n : {1023, 1024, 1025, 3071, 3072, 3073, 8192, 8200, 12288, 16384, 39000})
            for (size_t at : {0, 3, 64}) REQUIRE(~way.run(~7u, &data[at], n) == bitwise(7, &data[at], n));
    }
}

TEST_CASE("the digest goes on over pieces, and folds into a copy") {
    const auto data = pattern(30001);
    const uint32_t whole = crc32c(0, data);
    for (size_t cut : {0, 1, 3, 4, 48, 8192, 30000, 30001}) {
        const Bytes a(data.data(), cut), b(data.data() + cut, data.size() - cut);
        CHECK(crc32c(crc32c(0, a), b) == whole);
        const iovec pieces[] = {{const_cast<uint8_t*>(a.data()), a.size()}, {const_cast<uint8_t*>(b.data()), b.size()}};
        CHECK(crc32c(0, pieces) == whole);
    }
    std::vector<uint8_t> to(data.size());
    CHECK(crc32c_copy(0, to.data(), data.data(), data.size()) == whole);
    CHECK(to == data);
    CHECK(crc32c(0, Bytes()) == 0);
    CHECK(crc32c_copy(9, nullptr, nullptr, 0) == 9);
}
