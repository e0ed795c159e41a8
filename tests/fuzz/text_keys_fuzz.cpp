// Bytes as the text of a login: split, and each value read in every form. What parses is written and parses again to
// the same pairs.
#include <cstdlib>

#include "core/wire/text_keys.h"

using namespace iscsi;
using namespace iscsi::wire;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    std::vector<TextKey> keys, again;
    const TextError error = parse_text({data, size}, keys);
    if (keys.size() > max_pairs) std::abort();
    TextWriter writer(size + 16);
    for (const TextKey& k : keys) {
        if (!writer.add(k.key, k.value)) std::abort();
        uint8_t binary[1024], back[1024];
        if (auto n = decode_binary(k.value, binary)) {
            if (decode_binary(encode_hex({binary, *n}), back) != n || std::memcmp(binary, back, *n) != 0) std::abort();
            if (decode_binary(encode_base64({binary, *n}), back) != n || std::memcmp(binary, back, *n) != 0) std::abort();
        }
        if (auto number = parse_number(k.value))
            if (parse_number(std::to_string(*number)) != number) std::abort();
        if (auto range = parse_range(k.value))
            if (range->low > range->high) std::abort();
        size_t length = 0, values = 0;
        for (std::string_view rest = k.value, v; next_value(rest, v); ++values) length += v.size();
        if (length + values - 1 != k.value.size()) std::abort();
        valid_iscsi_name(k.value);
    }
    if (error != TextError::none) return 0;
    if (parse_text(as_bytes(writer.text()), again) != TextError::none || again.size() != keys.size()) std::abort();
    for (size_t i = 0; i < keys.size(); ++i)
        if (keys[i].key != again[i].key || keys[i].value != again[i].value) std::abort();
    return 0;
}
