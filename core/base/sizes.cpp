#include "core/base/sizes.h"

#include <algorithm>
#include <cstdio>

namespace iscsi {
namespace {
constexpr std::string_view units = "KMGTPE";
}  // namespace

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

std::optional<uint64_t> parse_size(std::string_view text, SizeSyntax syntax) {
    const bool strict = syntax == SizeSyntax::strict;
    const size_t digits = std::min(text.find_first_not_of(strict ? "0123456789" : "0123456789."), text.size());
    const auto number = parse_decimal(text.substr(0, digits));
    if (!number) return std::nullopt;
    double n = *number;
    std::string_view unit = text.substr(digits);
    if (!strict && !unit.empty() && (unit.back() == 'B' || unit.back() == 'b')) unit.remove_suffix(1);
    if (!strict && !unit.empty() && unit.back() == 'i') unit.remove_suffix(1);
    if (unit.size() > 1) return std::nullopt;
    if (unit.size() == 1) {
        const size_t power = units.substr(0, strict ? 4 : 6).find(unit[0] >= 'a' ? char(unit[0] - 32) : unit[0]);
        if (power == std::string_view::npos) return std::nullopt;
        for (size_t i = 0; i <= power; i++) n *= 1024;
    }
    if (!(n >= 0 && n < 9.2e18)) return std::nullopt;
    return uint64_t(n);
}

std::string format_size(uint64_t bytes, SizeStyle style) {
    double n = double(bytes);
    size_t unit = 0;
    for (; n >= 1024 && unit < units.size(); unit++) n /= 1024;
    const bool full = style == SizeStyle::full;
    const char letters[] = {unit ? units[unit - 1] : 'B', '\0'};
    char text[32];
    std::snprintf(text, sizeof text, "%.*f%s%s%s", unit == 0 || (!full && n >= 100) ? 0 : 1, n, full ? " " : "", letters, full && unit ? "iB" : "");
    return text;
}

}  // namespace iscsi
