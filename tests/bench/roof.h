// What the roof and its client say to each other.
#pragma once
#include <stdint.h>

namespace bench {

constexpr uint32_t roof_read = 1, roof_write = 2;

struct RoofHeader {
    uint32_t op, tag;
    uint64_t offset;
    uint32_t length;
    char rest[28];      // as long as an iSCSI header
};
static_assert(sizeof(RoofHeader) == 48);

}  // namespace bench
