#include "applets/units.h"

#include <sched.h>

#include <charconv>
#include <cstdio>
#include <ctime>

namespace iscsi::applets {

std::optional<uint64_t> parse_number(std::string_view text, uint64_t least, uint64_t most) {
    uint64_t n = 0;
    const char* end = text.data() + text.size();
    const auto [at, error] = std::from_chars(text.data(), end, n);
    if (error != std::errc() || at != end || n < least || n > most) return std::nullopt;
    return n;
}

std::optional<uint64_t> parse_duration(std::string_view text) {
    uint64_t factor = 1;
    if (text.ends_with('m')) factor = 60;
    if (text.ends_with('h')) factor = 3600;
    if (text.ends_with('d')) factor = 86400;
    if (factor > 1 || text.ends_with('s')) text.remove_suffix(1);
    const auto n = parse_number(text, 0, 0xffffffff);
    if (!n) return std::nullopt;
    return *n * factor;
}

std::string time_of_day() {
    const time_t now = ::time(nullptr);
    tm local{};
    ::localtime_r(&now, &local);
    char text[48];
    std::snprintf(text, sizeof text, "%02d:%02d:%02d", local.tm_hour, local.tm_min, local.tm_sec);
    return text;
}

unsigned default_threads() {
    cpu_set_t set;
    if (::sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    int n = CPU_COUNT(&set);
    return n < 1 ? 1 : n > 16 ? 16 : unsigned(n);
}

unsigned default_busy_poll_us() { return default_threads() > 1 ? 100 : 0; }

}  // namespace iscsi::applets
