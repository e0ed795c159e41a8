#include "applets/units.h"

#include <sched.h>

#include <cstdio>
#include <cstdlib>
#include <ctime>

namespace iscsi::applets {

std::optional<uint64_t> parse_duration(std::string_view text) {
    std::string s(text);
    char* end = nullptr;
    if (s.empty() || s[0] < '0' || s[0] > '9') return std::nullopt;
    unsigned long long n = std::strtoull(s.c_str(), &end, 10);
    uint64_t factor = 1;
    switch (*end) {
    case 0: break;
    case 's': end++; break;
    case 'm': factor = 60; end++; break;
    case 'h': factor = 3600; end++; break;
    case 'd': factor = 86400; end++; break;
    default: return std::nullopt;
    }
    if (*end || n > 0xffffffffu) return std::nullopt;
    return n * factor;
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
