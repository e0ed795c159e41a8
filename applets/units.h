// Sizes and durations as people type and read them.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace iscsi::applets {

std::optional<double> parse_decimal(std::string_view text);         // 5, 0.25; no sign, no exponent
std::optional<uint64_t> parse_size(std::string_view text);          // bytes: 512, 64K, 10M, 1.5G, 2T (powers of 1024)
std::optional<uint64_t> parse_duration(std::string_view text);      // seconds: 90, 90s, 30m, 8h, 2d
std::string format_size(uint64_t bytes);                            // "64.0 MiB"
std::string time_of_day();                                          // "17:04:59", local
unsigned default_threads();                                         // one per core this process may use, 16 at most
unsigned default_busy_poll_us();                                    // io::Loop::set_busy_poll(): a core to spare is worth a lower latency

}  // namespace iscsi::applets
