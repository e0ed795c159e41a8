#include "core/wire/text_keys.h"

#include <charconv>

#include "core/base/iscsi_name.h"

namespace iscsi::wire {
namespace {

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

// standard-label (§6.1). RFC 7144 and 7145 begin keys with a small letter (iSCSIProtocolLevel), so a capital is not
// asked for; '#' is the old public prefix X# (§13.26).
bool valid_key(std::string_view key) {
    if (key.empty() || !is_letter(key[0])) return false;
    for (size_t i = 1; i < key.size(); ++i) {
        char c = key[i];
        if (is_letter(c) || is_digit(c) || c == '.' || c == '-' || c == '+' || c == '@' || c == '_') continue;
        if (c == '#' && i == 1) continue;
        return false;
    }
    return true;
}

int hex_digit(char c) {
    if (is_digit(c)) return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

bool has_prefix(std::string_view s, char letter) {
    return s.size() > 2 && s[0] == '0' && (s[1] | 0x20) == letter;
}

constexpr char base64_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int base64_digit(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (is_digit(c)) return c - '0' + 52;
    if (c == '+') return 62;
    if (c == '/') return 63;
    return -1;
}

std::optional<size_t> decode_hex(std::string_view digits, MutableBytes out) {
    const size_t n = digits.size() / 2 + digits.size() % 2;
    if (n > out.size()) return std::nullopt;
    size_t at = 0;
    unsigned value = 0;
    bool half = digits.size() % 2;                  // implicit leading zero
    for (char c : digits) {
        int d = hex_digit(c);
        if (d < 0) return std::nullopt;
        value = value << 4 | unsigned(d);
        if (half) out[at++] = uint8_t(value);
        half = !half;
    }
    return n;
}

// RFC 4648 §4, padded, no stray bits.
std::optional<size_t> decode_base64(std::string_view text, MutableBytes out) {
    if (text.size() % 4) return std::nullopt;
    size_t padding = 0;
    while (padding < 2 && text[text.size() - 1 - padding] == '=') ++padding;
    const size_t n = text.size() / 4 * 3 - padding;
    if (n == 0 || n > out.size()) return std::nullopt;
    uint32_t bits = 0;
    unsigned have = 0;
    size_t at = 0;
    for (char c : text.substr(0, text.size() - padding)) {
        int d = base64_digit(c);
        if (d < 0) return std::nullopt;
        bits = bits << 6 | uint32_t(d);
        have += 6;
        if (have >= 8) {
            have -= 8;
            out[at++] = uint8_t(bits >> have);
            bits &= (1u << have) - 1;
        }
    }
    if (bits != 0) return std::nullopt;
    return n;
}

}  // namespace

const char* text(TextError error) {
    switch (error) {
        case TextError::none: return "";
        case TextError::unterminated: return "text does not end with a NUL";
        case TextError::no_equals: return "key without =";
        case TextError::bad_key: return "malformed key name";
        case TextError::long_key: return "key longer than 63 characters";
        case TextError::long_value: return "value too long";
        case TextError::too_many: return "too many keys";
    }
    return "";
}

TextError parse_text(Bytes bytes, std::vector<TextKey>& out) {
    out.clear();
    std::string_view rest = as_text(bytes);
    if (rest.empty()) return TextError::none;
    if (rest.back() != '\0') return TextError::unterminated;
    while (!rest.empty() && rest.back() == '\0') rest.remove_suffix(1);     // the last pair's end and any padding
    while (!rest.empty()) {
        const size_t end = rest.find('\0');
        std::string_view pair = rest.substr(0, end);
        rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
        const size_t equals = pair.find('=');
        if (equals == std::string_view::npos) return TextError::no_equals;
        TextKey k{pair.substr(0, equals), pair.substr(equals + 1)};
        if (k.key.size() > max_key_length) return TextError::long_key;
        if (!valid_key(k.key)) return TextError::bad_key;
        if (k.value.size() > max_value_length) return TextError::long_value;
        if (out.size() >= max_pairs) return TextError::too_many;
        out.push_back(k);
    }
    return TextError::none;
}

std::optional<std::string_view> find_value(TextKeys keys, std::string_view key) {
    for (const TextKey& k : keys)
        if (k.key == key) return k.value;
    return std::nullopt;
}

bool TextWriter::add(std::string_view key, std::string_view value) {
    const size_t room = limit_ - text_.size();
    if (key.size() > room || value.size() > room || key.size() + value.size() + 2 > room) {
        overflowed_ = true;
        return false;
    }
    text_.append(key).append(1, '=').append(value).append(1, '\0');
    return true;
}

bool TextWriter::add(std::string_view key, uint64_t number) {
    char digits[24];
    auto end = std::to_chars(digits, digits + sizeof digits, number).ptr;
    return add(key, std::string_view(digits, size_t(end - digits)));
}

bool TextWriter::add_hex(std::string_view key, Bytes binary) { return add(key, encode_hex(binary)); }

std::optional<uint64_t> parse_number(std::string_view s) {
    int base = 10;
    if (has_prefix(s, 'x')) {
        base = 16;
        s.remove_prefix(2);
    } else if (s.size() > 1 && s[0] == '0') {
        return std::nullopt;                        // decimal-constant has no leading zero
    }
    if (s.empty() || hex_digit(s[0]) < 0) return std::nullopt;
    uint64_t value = 0;
    auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), value, base);
    if (error != std::errc() || end != s.data() + s.size()) return std::nullopt;
    return value;
}

std::optional<Range> parse_range(std::string_view s) {
    const size_t tilde = s.find('~');
    if (tilde == std::string_view::npos) return std::nullopt;
    auto low = parse_number(s.substr(0, tilde)), high = parse_number(s.substr(tilde + 1));
    if (!low || !high || *high < *low) return std::nullopt;
    return Range{*low, *high};
}

std::optional<bool> parse_bool(std::string_view s) {
    if (s == "Yes") return true;
    if (s == "No") return false;
    return std::nullopt;
}

std::optional<size_t> decode_binary(std::string_view s, MutableBytes out) {
    if (has_prefix(s, 'x')) return decode_hex(s.substr(2), out);
    if (has_prefix(s, 'b')) return decode_base64(s.substr(2), out);
    return std::nullopt;
}

std::string encode_hex(Bytes binary) {
    static constexpr char digits[] = "0123456789abcdef";
    std::string s = "0x";
    s.reserve(2 + 2 * binary.size());
    for (uint8_t b : binary) s.append(1, digits[b >> 4]).append(1, digits[b & 15]);
    return s;
}

std::string encode_base64(Bytes binary) {
    std::string s = "0b";
    s.reserve(2 + (binary.size() + 2) / 3 * 4);
    for (size_t i = 0; i < binary.size(); i += 3) {
        const size_t n = binary.size() - i;
        uint32_t bits = uint32_t(binary[i]) << 16;
        if (n > 1) bits |= uint32_t(binary[i + 1]) << 8;
        if (n > 2) bits |= binary[i + 2];
        s += base64_alphabet[bits >> 18];
        s += base64_alphabet[bits >> 12 & 63];
        s += n > 1 ? base64_alphabet[bits >> 6 & 63] : '=';
        s += n > 2 ? base64_alphabet[bits & 63] : '=';
    }
    return s;
}

bool next_value(std::string_view& rest, std::string_view& value) {
    if (rest.data() == nullptr) return false;
    const size_t comma = rest.find(',');
    value = rest.substr(0, comma);
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
    return true;
}

bool list_contains(std::string_view list, std::string_view value) {
    for (std::string_view rest = list, v; next_value(rest, v);)
        if (v == value) return true;
    return false;
}

bool usable_iscsi_name(std::string_view name) {
    if (name.empty() || name.size() > max_name_length) return false;
    for (unsigned char c : name)
        if (c <= ' ' || c == 0x7f || c == ',' || c == '/') return false;
    return true;
}

bool valid_iscsi_name(std::string_view name) { return usable_iscsi_name(name) && digits_fit_type(name); }

}  // namespace iscsi::wire
