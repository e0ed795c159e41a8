#include "applets/units.h"

#include <sched.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>

namespace iscsi::applets {

// Not strtod(3), which is 40 KB of the binary.
std::optional<double> parse_decimal(std::string_view text) {
    double n = 0, unit = 1;
    bool point = false;
    if (text.empty() || text[0] < '0' || text[0] > '9') return std::nullopt;
    for (char c : text) {
        if (c == '.' && !point) {
            point = true;
        } else if (c >= '0' && c <= '9') {
            n = n * 10 + (c - '0');
            if (point) unit *= 10;
        } else {
            return std::nullopt;
        }
    }
    return n / unit;        // of 300 digits or more: infinity, or no number
}

std::optional<uint64_t> parse_size(std::string_view text) {
    const size_t digits = std::min(text.find_first_not_of("0123456789."), text.size());
    const auto number = parse_decimal(text.substr(0, digits));
    if (!number) return std::nullopt;
    double n = *number;
    std::string_view unit = text.substr(digits);
    if (!unit.empty() && (unit.back() == 'B' || unit.back() == 'b')) unit.remove_suffix(1);
    if (!unit.empty() && unit.back() == 'i') unit.remove_suffix(1);
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
