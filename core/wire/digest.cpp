#include "core/wire/digest.h"

#include <algorithm>
#include <array>

namespace iscsi::wire {
namespace {

constexpr uint32_t polynomial = 0x82f63b78;     // 0x11edc6f41 (§13.1), bit-reflected

// Slice-by-8: table[k][b] is byte b followed by k zero bytes.
using Tables = std::array<std::array<uint32_t, 256>, 8>;
constexpr Tables make_tables() {
    Tables t{};
    for (uint32_t b = 0; b < 256; ++b) {
        uint32_t c = b;
        for (int i = 0; i < 8; ++i) c = c & 1 ? c >> 1 ^ polynomial : c >> 1;
        t[0][b] = c;
    }
    for (size_t k = 1; k < 8; ++k)
        for (size_t b = 0; b < 256; ++b) t[k][b] = t[k - 1][b] >> 8 ^ t[0][t[k - 1][b] & 255];
    return t;
}
constexpr Tables tables = make_tables();

uint32_t crc_tables(uint32_t crc, const uint8_t* p, size_t n) {
    for (; n >= 8; p += 8, n -= 8) {
        const uint32_t low = crc ^ get_digest(p), high = get_digest(p + 4);
        crc = tables[7][low & 255] ^ tables[6][low >> 8 & 255] ^ tables[5][low >> 16 & 255] ^ tables[4][low >> 24] ^
              tables[3][high & 255] ^ tables[2][high >> 8 & 255] ^ tables[1][high >> 16 & 255] ^ tables[0][high >> 24];
    }
    for (; n; ++p, --n) crc = crc >> 8 ^ tables[0][(crc ^ *p) & 255];
    return crc;
}
constexpr CrcWay ways[] = {{"tables", crc_tables}};
}  // namespace

std::span<const CrcWay> crc32c_ways() { return ways; }
uint32_t crc32c(uint32_t crc, Bytes data) { return ~ways[0].run(~crc, data.data(), data.size()); }

uint32_t crc32c(uint32_t crc, std::span<const iovec> pieces) {
    for (const iovec& piece : pieces) crc = crc32c(crc, {static_cast<const uint8_t*>(piece.iov_base), piece.iov_len});
    return crc;
}

uint32_t crc32c_copy(uint32_t crc, void* dst, const void* src, size_t n) {
    // Piecewise, so that the digest reads the copy from the first-level cache. It is the copy that is digested: the
    // source may be a page somebody writes to meanwhile.
    constexpr size_t step = 8192;
    auto* to = static_cast<uint8_t*>(dst);
    auto* from = static_cast<const uint8_t*>(src);
    for (size_t at = 0; at < n; at += step) {
        const size_t length = std::min(step, n - at);
        std::memcpy(to + at, from + at, length);
        crc = crc32c(crc, {to + at, length});
    }
    return crc;
}

}  // namespace iscsi::wire
