// Big-endian integers as they lie on the wire, and unaligned access to them. The types have
// alignment 1 and no padding, so a PDU header is a plain struct that is the RFC's picture.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>

namespace iscsi {

// N bytes, most significant first, read and written as a T. A fold, not a loop: g++ 12 turns it
// into one load and a bswap.
template <class T, size_t N>
class Be {
public:
    Be() = default;
    Be(T value) { *this = value; }
    Be& operator=(T value) { store(value, std::make_index_sequence<N>{}); return *this; }
    operator T() const { return load(std::make_index_sequence<N>{}); }

private:
    template <size_t... I>
    T load(std::index_sequence<I...>) const { return T(((uint64_t(bytes_[I]) << (8 * (N - 1 - I))) | ...)); }
    template <size_t... I>
    void store(T v, std::index_sequence<I...>) { ((bytes_[I] = uint8_t(uint64_t(v) >> (8 * (N - 1 - I)))), ...); }
    uint8_t bytes_[N]{};
};
using be16 = Be<uint16_t, 2>;
using be24 = Be<uint32_t, 3>;
using be32 = Be<uint32_t, 4>;
using be64 = Be<uint64_t, 8>;

// Reads and writes at an arbitrary place in a byte buffer. The caller has checked the bounds.
template <class B, class T>
inline T get_be(const void* p) { B b; std::memcpy(&b, p, sizeof b); return b; }
inline uint16_t get16(const void* p) { return get_be<be16, uint16_t>(p); }
inline uint32_t get24(const void* p) { return get_be<be24, uint32_t>(p); }
inline uint32_t get32(const void* p) { return get_be<be32, uint32_t>(p); }
inline uint64_t get64(const void* p) { return get_be<be64, uint64_t>(p); }
inline void put16(void* p, uint16_t v) { be16 b(v); std::memcpy(p, &b, sizeof b); }
inline void put24(void* p, uint32_t v) { be24 b(v); std::memcpy(p, &b, sizeof b); }
inline void put32(void* p, uint32_t v) { be32 b(v); std::memcpy(p, &b, sizeof b); }
inline void put64(void* p, uint64_t v) { be64 b(v); std::memcpy(p, &b, sizeof b); }

using Bytes = std::span<const uint8_t>;      // borrowed, read only
using MutableBytes = std::span<uint8_t>;     // borrowed

inline Bytes as_bytes(std::string_view s) { return {reinterpret_cast<const uint8_t*>(s.data()), s.size()}; }
inline std::string_view as_text(Bytes b) { return {reinterpret_cast<const char*>(b.data()), b.size()}; }

// The length of `n` bytes padded to the next multiple of four (RFC 7143 §11.1).
constexpr size_t pad4(size_t n) { return (n + 3) & ~size_t(3); }

}  // namespace iscsi
