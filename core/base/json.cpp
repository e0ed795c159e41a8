#include "core/base/json.h"

#include <cmath>
#include <cstdio>

namespace iscsi {
namespace {

// The length of the UTF-8 character at the front of `s`, 0 if there is none (RFC 3629).
size_t utf8_length(std::string_view s) {
    auto byte = [&](size_t i) { return i < s.size() ? uint8_t(s[i]) : 0; };
    const uint8_t lead = byte(0);
    size_t n = lead < 0x80 ? 1 : lead >= 0xc2 && lead < 0xe0 ? 2 : lead >= 0xe0 && lead < 0xf0 ? 3 : lead >= 0xf0 && lead < 0xf5 ? 4 : 0;
    for (size_t i = 1; i < n; i++)
        if ((byte(i) & 0xc0) != 0x80) return 0;
    const uint8_t second = byte(1);
    if ((lead == 0xe0 && second < 0xa0) || (lead == 0xed && second >= 0xa0) || (lead == 0xf0 && second < 0x90) ||
        (lead == 0xf4 && second >= 0x90))
        return 0;
    return n;
}

}  // namespace

std::string json_string(std::string_view text) {
    std::string out = "\"";
    while (!text.empty()) {
        const char c = text[0];
        size_t n = utf8_length(text);
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (uint8_t(c) < 0x20 || c == 0x7f) {
            char escape[8];
            std::snprintf(escape, sizeof escape, "\\u%04x", unsigned(uint8_t(c)));
            out += escape;
        } else if (n == 0) {
            out += "\\ufffd";
        } else {
            out += text.substr(0, n);
        }
        text.remove_prefix(n ? n : 1);
    }
    return out + "\"";
}

void Json::separate() {
    if (after_key_) {
        after_key_ = false;
        return;
    }
    if (open_.empty()) return;
    if (!first_) out_ += ',';
    out_ += '\n';
    out_.append(2 * open_.size(), ' ');
    first_ = false;
}

Json& Json::open(char bracket) {
    separate();
    out_ += bracket;
    open_ += bracket;
    first_ = true;
    return *this;
}

Json& Json::end() {
    if (open_.empty()) return *this;
    char bracket = open_.back();
    open_.pop_back();
    if (!first_) {
        out_ += '\n';
        out_.append(2 * open_.size(), ' ');
    }
    out_ += bracket == '{' ? '}' : ']';
    first_ = false;
    return *this;
}

Json& Json::key(std::string_view name) {
    value(name);
    out_ += ": ";
    after_key_ = true;
    return *this;
}

Json& Json::raw(std::string_view text) {
    separate();
    out_ += text;
    return *this;
}

Json& Json::value(double n) {
    char text[352];
    std::snprintf(text, sizeof text, "%.3f", std::isfinite(n) ? n : 0);
    return raw(text);
}

std::string Json::take() {
    std::string done = std::move(out_) + "\n";
    *this = Json();
    return done;
}

}  // namespace iscsi
