// CRC32C, the header and data digest of RFC 7143 §13.1. The fastest way this processor has is chosen once, at the
// first call: AVX-512 or PCLMUL folding, SSE4.2 or ARMv8 crc instructions, else tables. Thread safe.
#pragma once
#include <sys/uio.h>

#include "core/base/bytes.h"

namespace iscsi::wire {

inline constexpr size_t digest_length = 4;

// The CRC of what came before (0 to begin) followed by `data`. crc32c(crc32c(0, a), b) == crc32c(0, a + b).
// Padding bytes are part of the digest (§13.1): the caller passes them too.
uint32_t crc32c(uint32_t crc, Bytes data);
uint32_t crc32c(uint32_t crc, std::span<const iovec> pieces);
// The same over `n` bytes of `src` that are copied to `dst` on the way. The two must not overlap.
uint32_t crc32c_copy(uint32_t crc, void* dst, const void* src, size_t n);

// The digest word on the wire: bit-reflected as §13.1 says, which makes it the CRC's low byte first.
inline void put_digest(void* p, uint32_t crc) {
    uint8_t b[4] = {uint8_t(crc), uint8_t(crc >> 8), uint8_t(crc >> 16), uint8_t(crc >> 24)};
    std::memcpy(p, b, 4);
}
inline uint32_t get_digest(const void* p) {
    uint8_t b[4];
    std::memcpy(b, p, 4);
    return uint32_t(b[0]) | uint32_t(b[1]) << 8 | uint32_t(b[2]) << 16 | uint32_t(b[3]) << 24;
}

// For tests and the benchmark: every implementation this processor can run, the chosen one first. They work on the
// register, which starts as ~0 and is complemented at the end.
using CrcFunction = uint32_t (*)(uint32_t crc, const uint8_t* p, size_t n);
struct CrcWay { const char* name; CrcFunction run; };
std::span<const CrcWay> crc32c_ways();

}  // namespace iscsi::wire
