// Bytes that tell where they belong: a block read from the wrong place, or of another write, differs.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include <vector>

namespace iscsi {

inline std::vector<uint8_t> pattern(size_t length, uint8_t seed = 1) {
    std::vector<uint8_t> bytes(length);
    for (size_t i = 0; i < length; i++) bytes[i] = uint8_t(i * 7 + i / 256 + i / 65536 + seed);
    return bytes;
}

}  // namespace iscsi
