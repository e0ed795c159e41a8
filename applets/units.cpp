#include "applets/units.h"

#include <sched.h>

#include <cstdio>
#include <cstdlib>

namespace iscsi::applets {

std::optional<uint64_t> parse_size(std::string_view text) {
    std::string s(text);
    char* end = nullptr;
    if (s.empty() || s[0] < '0' || s[0] > '9') return std::nullopt;
    double n = std::strtod(s.c_str(), &end);
    std::string unit = end;
    if (!unit.empty() && (unit.back() == 'B' || unit.back() == 'b')) unit.pop_back();
    if (!unit.empty() && unit.back() == 'i') unit.pop_back();
    static constexpr std::string_view units = "KMGTPE";
    if (unit.size() > 1) return std::nullopt;
    if (unit.size() == 1) {
        char u = unit[0] >= 'a' ? char(unit[0] - 32) : unit[0];
        size_t power = units.find(u);
        if (power == std::string_view::npos) return std::nullopt;
        for (size_t i = 0; i <= power; i++) n *= 1024;
    }
    if (!(n >= 0 && n < 9.2e18)) return std::nullopt;
    return uint64_t(n);
}

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

std::string format_size(uint64_t bytes) {
    static constexpr const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double n = double(bytes);
    size_t unit = 0;
    while (n >= 1024 && unit < 6) {
        n /= 1024;
        unit++;
    }
    char text[32];
    std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.1f %s", n, units[unit]);
    return text;
}

unsigned default_threads() {
    cpu_set_t set;
    if (::sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    int n = CPU_COUNT(&set);
    return n < 1 ? 1 : n > 16 ? 16 : unsigned(n);
}

}  // namespace iscsi::applets
