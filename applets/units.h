// Numbers and durations as people type them, times as they read them; what a machine of this size can take.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace iscsi::applets {

// Digits and nothing else, from `least` to `most`.
std::optional<uint64_t> parse_number(std::string_view text, uint64_t least, uint64_t most);
std::optional<uint64_t> parse_duration(std::string_view text);      // seconds: 90, 90s, 30m, 8h, 2d
std::string time_of_day();                                          // "17:04:59", local
unsigned default_threads();                                         // one per core this process may use, 16 at most
unsigned default_busy_poll_us();                                    // io::Loop::set_busy_poll(): a core to spare is worth a lower latency

}  // namespace iscsi::applets
