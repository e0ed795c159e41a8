// Serial number arithmetic, RFC 1982 with SERIAL_BITS 32, as RFC 7143 §4.2.2 asks for CmdSN, StatSN, DataSN.
#pragma once
#include <cstdint>

namespace iscsi::wire {

constexpr bool sn_less(uint32_t a, uint32_t b) { return int32_t(a - b) < 0; }
constexpr bool sn_less_equal(uint32_t a, uint32_t b) { return int32_t(a - b) <= 0; }
// exp <= sn <= max
constexpr bool sn_in_window(uint32_t sn, uint32_t exp, uint32_t max) { return sn - exp <= max - exp && sn_less_equal(exp, max); }

}  // namespace iscsi::wire
