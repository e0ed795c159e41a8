#include "core/wire/digest.h"

#include <algorithm>
#include <array>

#if defined(__x86_64__)
#include <immintrin.h>
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"      // GCC 12's own AVX-512 headers
#endif
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

namespace iscsi::wire {
namespace {

constexpr uint32_t polynomial = 0x82f63b78;     // 0x11edc6f41 (§13.1), bit-reflected

// Slice-by-8: table[k][b] is byte b followed by k zero bytes.
using Tables = std::array<std::array<uint32_t, 256>, 8>;
Tables make_tables() {
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

uint32_t crc_tables(uint32_t crc, const uint8_t* p, size_t n) {
    static const Tables tables = make_tables();         // not in the file, which it would make 8 KB longer
    for (; n >= 8; p += 8, n -= 8) {
        const uint32_t low = crc ^ get_digest(p), high = get_digest(p + 4);
        crc = tables[7][low & 255] ^ tables[6][low >> 8 & 255] ^ tables[5][low >> 16 & 255] ^ tables[4][low >> 24] ^
              tables[3][high & 255] ^ tables[2][high >> 8 & 255] ^ tables[1][high >> 16 & 255] ^ tables[0][high >> 24];
    }
    for (; n; ++p, --n) crc = crc >> 8 ^ tables[0][(crc ^ *p) & 255];
    return crc;
}

// x^n mod P, bit-reflected: bit 31 is x^0.
[[maybe_unused]] constexpr uint32_t x_to(unsigned n) {
    uint32_t v = 0x80000000;
    while (n--) v = v & 1 ? v >> 1 ^ polynomial : v >> 1;
    return v;
}

#if defined(__x86_64__)

#define ISCSI_SSE __attribute__((target("sse4.2")))
#define ISCSI_CLMUL __attribute__((target("sse4.2,pclmul")))
#define ISCSI_AVX512 __attribute__((target("avx512f,vpclmulqdq,pclmul,sse4.2")))

inline uint64_t load64(const uint8_t* p) { uint64_t v; std::memcpy(&v, p, 8); return v; }

// One crc32 instruction after the other: three cycles for eight bytes.
ISCSI_SSE uint32_t crc_sse42(uint32_t crc, const uint8_t* p, size_t n) {
    uint64_t c = crc;
    for (; n >= 8; p += 8, n -= 8) c = _mm_crc32_u64(c, load64(p));
    crc = uint32_t(c);
    for (; n; ++p, --n) crc = _mm_crc32_u8(crc, *p);
    return crc;
}

// Three streams of `length` bytes side by side hide the instruction's latency; carry-less products move the first two
// behind the third. clmul(c, x^(8n-33)) followed by crc32 is c * x^8n: the product of two reflected 32-bit words,
// read as 64 bits, is one x too high, and crc32 multiplies by x^32.
template <size_t length>
ISCSI_CLMUL inline uint32_t crc_three(uint32_t crc, const uint8_t* p) {
    uint64_t a = crc, b = 0, c = 0;
    for (size_t i = 0; i < length; i += 8) {
        a = _mm_crc32_u64(a, load64(p + i));
        b = _mm_crc32_u64(b, load64(p + length + i));
        c = _mm_crc32_u64(c, load64(p + 2 * length + i));
    }
    constexpr uint32_t one = x_to(8 * length - 33), two = x_to(16 * length - 33);
    const __m128i moved = _mm_xor_si128(_mm_clmulepi64_si128(_mm_cvtsi64_si128(int64_t(a)), _mm_cvtsi32_si128(int(two)), 0),
                                        _mm_clmulepi64_si128(_mm_cvtsi64_si128(int64_t(b)), _mm_cvtsi32_si128(int(one)), 0));
    return uint32_t(_mm_crc32_u64(0, uint64_t(_mm_cvtsi128_si64(moved)))) ^ uint32_t(c);
}

ISCSI_CLMUL uint32_t crc_clmul(uint32_t crc, const uint8_t* p, size_t n) {
    for (; n >= 3 * 1024; p += 3 * 1024, n -= 3 * 1024) crc = crc_three<1024>(crc, p);
    for (; n >= 3 * 128; p += 3 * 128, n -= 3 * 128) crc = crc_three<128>(crc, p);
    return crc_sse42(crc, p, n);
}

// Folding: 128 bits X = low * x^64 + high (reflected) move T bits ahead as low * x^(T+64) + high * x^T mod P. One x
// less in the constants, as above.
constexpr uint64_t fold_low(unsigned t) { return uint64_t(x_to(t + 63)) << 32; }
constexpr uint64_t fold_high(unsigned t) { return uint64_t(x_to(t - 1)) << 32; }

ISCSI_AVX512 inline __m512i fold(__m512i x, __m512i k, __m512i next) {
    return _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(x, k, 0x00), _mm512_clmulepi64_epi128(x, k, 0x11), next, 0x96);
}
ISCSI_AVX512 inline __m128i fold(__m128i x, __m128i k, __m128i next) {
    return _mm_xor_si128(_mm_xor_si128(_mm_clmulepi64_si128(x, k, 0x00), _mm_clmulepi64_si128(x, k, 0x11)), next);
}

ISCSI_AVX512 uint32_t crc_avx512(uint32_t crc, const uint8_t* p, size_t n) {
    if (n < 256) return crc_sse42(crc, p, n);
    constexpr uint64_t k2048[] = {fold_low(2048), fold_high(2048)}, k512[] = {fold_low(512), fold_high(512)},
                       k128[] = {fold_low(128), fold_high(128)};
    auto constant = [](const uint64_t* k) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(k)); };
    const __m512i by2048 = _mm512_broadcast_i32x4(constant(k2048)), by512 = _mm512_broadcast_i32x4(constant(k512));
    __m512i a = _mm512_loadu_si512(p), b = _mm512_loadu_si512(p + 64), c = _mm512_loadu_si512(p + 128),
            d = _mm512_loadu_si512(p + 192);
    a = _mm512_xor_si512(a, _mm512_zextsi128_si512(_mm_cvtsi32_si128(int(crc))));
    for (p += 256, n -= 256; n >= 256; p += 256, n -= 256) {
        a = fold(a, by2048, _mm512_loadu_si512(p));
        b = fold(b, by2048, _mm512_loadu_si512(p + 64));
        c = fold(c, by2048, _mm512_loadu_si512(p + 128));
        d = fold(d, by2048, _mm512_loadu_si512(p + 192));
    }
    d = fold(fold(fold(a, by512, b), by512, c), by512, d);
    for (; n >= 64; p += 64, n -= 64) d = fold(d, by512, _mm512_loadu_si512(p));
    const __m128i by128 = constant(k128);
    __m128i x = fold(_mm512_castsi512_si128(d), by128, _mm512_extracti32x4_epi32(d, 1));
    x = fold(x, by128, _mm512_extracti32x4_epi32(d, 2));
    x = fold(x, by128, _mm512_extracti32x4_epi32(d, 3));
    const uint64_t low = _mm_crc32_u64(0, uint64_t(_mm_cvtsi128_si64(x)));
    return crc_sse42(uint32_t(_mm_crc32_u64(low, uint64_t(_mm_extract_epi64(x, 1)))), p, n);
}

size_t find_ways(CrcWay* out) {
    size_t n = 0;
    const bool sse = __builtin_cpu_supports("sse4.2"), clmul = sse && __builtin_cpu_supports("pclmul");
    if (clmul && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("vpclmulqdq")) out[n++] = {"avx512", crc_avx512};
    if (clmul) out[n++] = {"sse4.2+pclmul", crc_clmul};
    if (sse) out[n++] = {"sse4.2", crc_sse42};
    return n;
}

#elif defined(__aarch64__)

inline uint32_t crc_word(uint32_t c, const uint8_t* p) {
    uint64_t v;
    std::memcpy(&v, p, 8);
    asm(".arch_extension crc\n\tcrc32cx %w0, %w0, %x1" : "+r"(c) : "r"(v));
    return c;
}

uint32_t crc_one_stream(uint32_t crc, const uint8_t* p, size_t n) {
    for (; n >= 8; p += 8, n -= 8) crc = crc_word(crc, p);
    return crc_tables(crc, p, n);
}

// a * b mod P, both reflected
uint32_t multiply(uint32_t a, uint32_t b) {
    uint32_t r = 0;
    for (uint32_t bit = 0x80000000; bit; bit >>= 1) {
        r ^= a & bit ? b : 0;
        b = b & 1 ? b >> 1 ^ polynomial : b >> 1;
    }
    return r;
}

// Three streams side by side hide the instruction's latency; the first two are then moved behind the third.
uint32_t crc_armv8(uint32_t crc, const uint8_t* p, size_t n) {
    constexpr size_t length = 2048;
    constexpr uint32_t one = x_to(8 * length), two = x_to(16 * length);
    for (; n >= 3 * length; p += 3 * length, n -= 3 * length) {
        uint32_t b = 0, c = 0;
        for (size_t i = 0; i < length; i += 8) {
            crc = crc_word(crc, p + i);
            b = crc_word(b, p + length + i);
            c = crc_word(c, p + 2 * length + i);
        }
        crc = multiply(crc, two) ^ multiply(b, one) ^ c;
    }
    return crc_one_stream(crc, p, n);
}

size_t find_ways(CrcWay* out) {
    if (!(::getauxval(AT_HWCAP) & HWCAP_CRC32)) return 0;
    out[0] = {"armv8-crc", crc_armv8};
    return 1;
}

#else

size_t find_ways(CrcWay*) { return 0; }

#endif

struct Ways {
    CrcWay way[4];
    size_t count;
    Ways() : count(find_ways(way)) { way[count++] = {"tables", crc_tables}; }
};

const Ways& ways() {
    static const Ways found;
    return found;
}

}  // namespace

std::span<const CrcWay> crc32c_ways() { return {ways().way, ways().count}; }

uint32_t crc32c(uint32_t crc, Bytes data) { return ~ways().way[0].run(~crc, data.data(), data.size()); }

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
