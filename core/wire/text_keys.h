// key=value text of Login and Text PDUs, RFC 7143 §6.1: bytes <-> pairs <-> values. No policy: which key means what
// is nego/'s. Views returned by the parser point into the text and live as long as it does.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/bytes.h"

namespace iscsi::wire {

inline constexpr size_t max_key_length = 63;            // standard-label
inline constexpr size_t max_simple_value = 255;         // of a decoded simple-value, unless the key says otherwise
inline constexpr size_t max_value_length = 8192;        // encoded; covers 1024 binary bytes in hex and long lists
inline constexpr size_t max_pairs = 256;                // in one logical text
inline constexpr size_t max_name_length = 223;          // iSCSI names, §4.2.7.1

struct TextKey { std::string_view key, value; };
using TextKeys = std::span<const TextKey>;

enum class TextError : uint8_t { none, unterminated, no_equals, bad_key, long_key, long_value, too_many };
const char* text(TextError error);                      // "key without ="

// Splits one logical text. Trailing NULs (a padded segment) are ignored; an empty text is no pair. On an error `out`
// holds the pairs before it. Keys are standard-labels (also with a small first letter or as X#...); values are any bytes but NUL.
TextError parse_text(Bytes text, std::vector<TextKey>& out);

// The value of the first pair with that key.
std::optional<std::string_view> find_value(TextKeys keys, std::string_view key);

// Writes pairs up to a limit in bytes. A pair that does not fit is left out whole and `overflowed` says so.
class TextWriter {
public:
    explicit TextWriter(size_t limit = max_value_length) : limit_(limit) {}
    bool add(std::string_view key, std::string_view value);
    bool add(std::string_view key, uint64_t number);
    bool add_bool(std::string_view key, bool yes) { return add(key, yes ? "Yes" : "No"); }
    bool add_hex(std::string_view key, Bytes binary);    // 0x...
    const std::string& text() const { return text_; }
    bool empty() const { return text_.empty(); }
    bool overflowed() const { return overflowed_; }
    void clear() { text_.clear(); overflowed_ = false; }

private:
    std::string text_;
    size_t limit_;
    bool overflowed_ = false;
};

// numerical-value: decimal without leading zeros, or 0x hex; below 2^64.
std::optional<uint64_t> parse_number(std::string_view s);
// numerical-range "low~high"; low <= high.
struct Range { uint64_t low, high; };
std::optional<Range> parse_range(std::string_view s);
// boolean-value
std::optional<bool> parse_bool(std::string_view s);

// binary-value as 0x hex or 0b base64 into `out`; its length. Nothing if malformed, empty, or longer than `out`.
// A hex constant of odd length has an implicit leading zero digit.
std::optional<size_t> decode_binary(std::string_view s, MutableBytes out);
std::string encode_hex(Bytes binary);
std::string encode_base64(Bytes binary);

// list-of-values: takes the next value off `rest`; false at the end. "a,,b" has an empty value in the middle.
//   for (std::string_view rest = list, v; next_value(rest, v);) ...
bool next_value(std::string_view& rest, std::string_view& value);
bool list_contains(std::string_view list, std::string_view value);

// iSCSI-name-value, liberally: 1..223 bytes without blanks, control characters, ',' and '/'. (The stringprep profile
// also folds case and forbids '_', which initiators in the field use.)
bool usable_iscsi_name(std::string_view name);
// That, and if it says that it is an eui. or naa. name, what §4.2.7.5 and §4.2.7.6 have follow: 16, for naa. perhaps 32
// hexadecimal digits. For the names we give ourselves: targets in the field are called anything.
bool valid_iscsi_name(std::string_view name);

}  // namespace iscsi::wire
