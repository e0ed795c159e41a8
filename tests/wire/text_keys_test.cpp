#include "core/wire/text_keys.h"

#include <doctest/doctest.h>

using namespace iscsi;
using namespace iscsi::wire;
using namespace std::string_view_literals;

static TextError parse(std::string_view text, std::vector<TextKey>& out) { return parse_text(as_bytes(text), out); }

TEST_CASE("text splits at NUL and at the first =") {
    std::vector<TextKey> keys;
    REQUIRE(parse("InitiatorName=iqn.x:a\0Empty=\0X-com.example.k=a=b\0"sv, keys) == TextError::none);
    REQUIRE(keys.size() == 3);
    CHECK(keys[0].key == "InitiatorName");
    CHECK(keys[0].value == "iqn.x:a");
    CHECK(keys[1].value == "");
    CHECK(keys[2].value == "a=b");
    CHECK(find_value(keys, "Empty") == ""sv);
    CHECK_FALSE(find_value(keys, "empty"));
}

TEST_CASE("malformed text names its fault") {
    struct Row { std::string text; TextError error; };
    const std::string k63(63, 'K'), k64(64, 'K'), v(max_value_length, 'v');
    const std::string nul(1, '\0');
    for (const Row& r : {
             Row{"", TextError::none},
             {std::string("\0\0\0\0", 4), TextError::none},
             {"A=b" + nul + nul + nul, TextError::none},
             {"A=b", TextError::unterminated},
             {"A=b" + nul + "C", TextError::unterminated},
             {"A" + nul, TextError::no_equals},
             {"A=b" + nul + nul + "C=d" + nul, TextError::no_equals},
             {"=b" + nul, TextError::bad_key},
             {"1A=b" + nul, TextError::bad_key},
             {"A b=c" + nul, TextError::bad_key},
             {"A\x80=c" + nul, TextError::bad_key},
             {"X#NodeArchitecture=c" + nul, TextError::none},
             {"Xy#z=c" + nul, TextError::bad_key},
             {"iSCSIProtocolLevel=1" + nul, TextError::none},
             {k63 + "=b" + nul, TextError::none},
             {k64 + "=b" + nul, TextError::long_key},
             {"A=" + v + nul, TextError::none},
             {"A=" + v + "v" + nul, TextError::long_value},
         }) {
        CAPTURE(r.text);
        std::vector<TextKey> keys;
        CHECK(parse(r.text, keys) == r.error);
    }
    std::string many;
    for (size_t i = 0; i < max_pairs; ++i) many += "A=b" + nul;
    std::vector<TextKey> keys;
    CHECK(parse(many, keys) == TextError::none);
    CHECK(parse(many + "A=b" + nul, keys) == TextError::too_many);
    CHECK(keys.size() == max_pairs);
}

TEST_CASE("the writer leaves out what does not fit") {
    TextWriter w(16);
    CHECK(w.add("Key", "value"));                   // 10 bytes
    CHECK_FALSE(w.add("Abc", "def"));
    CHECK(w.overflowed());
    CHECK(w.add("A", uint64_t(123)));               // 6: full to the brim
    CHECK_FALSE(w.add("", ""));
    CHECK(w.text() == "Key=value\0A=123\0"sv);
    w.clear();
    CHECK_FALSE(w.overflowed());
    const uint8_t binary[] = {0x00, 0xab};
    CHECK(w.add_hex("C", binary));
    CHECK(w.add_bool("D", false));
    CHECK(w.text() == "C=0x00ab\0D=No\0"sv);
}

TEST_CASE("numerical values") {
    struct Row { const char* text; bool good; uint64_t value; };
    for (const Row& r : {
             Row{"0", true, 0}, {"8192", true, 8192}, {"0x2000", true, 8192}, {"0X00ff", true, 255},
             {"18446744073709551615", true, UINT64_MAX}, {"0xffffffffffffffff", true, UINT64_MAX},
             {"0x0000ffffffffffffffff", true, UINT64_MAX},
             {"18446744073709551616", false, 0}, {"0x10000000000000000", false, 0}, {"", false, 0}, {"0x", false, 0},
             {"01", false, 0}, {"+1", false, 0}, {"-1", false, 0}, {" 1", false, 0}, {"1 ", false, 0}, {"1k", false, 0},
             {"0x-1", false, 0}, {"0b1", false, 0}, {"1~2", false, 0}, {"a", false, 0}, {"0xg", false, 0},
         }) {
        CAPTURE(r.text);
        auto n = parse_number(r.text);
        CHECK(n.has_value() == r.good);
        if (n && r.good) CHECK(*n == r.value);
    }
    auto range = parse_range("512~0x1000");
    REQUIRE(range);
    CHECK(range->low == 512);
    CHECK(range->high == 4096);
    CHECK(parse_range("7~7"));
    for (const char* bad : {"8~7", "~", "1~", "~1", "1~2~3", "1", ""}) CHECK_FALSE(parse_range(bad));
    CHECK(parse_bool("Yes") == true);
    CHECK(parse_bool("No") == false);
    for (const char* bad : {"yes", "NO", "", "1", "Yes "}) CHECK_FALSE(parse_bool(bad));
}

TEST_CASE("binary values in hex and base64") {
    struct Row { const char* text; std::string_view bytes; bool good; };
    for (const Row& r : {
             Row{"0x00ff10", "\x00\xff\x10"sv, true}, {"0XaBc", "\x0a\xbc"sv, true}, {"0x1", "\x01"sv, true},
             {"0bAP8Q", "\x00\xff\x10"sv, true}, {"0BZg==", "f"sv, true}, {"0bZm8=", "fo"sv, true}, {"0bZm9v", "foo"sv, true},
             {"0bZm9vYg==", "foob"sv, true}, {"0b+/+/", "\xfb\xff\xbf"sv, true},
             {"", ""sv, false}, {"0x", ""sv, false}, {"0b", ""sv, false}, {"12", ""sv, false}, {"0xfg", ""sv, false},
             {"0bZg", ""sv, false}, {"0bZg=", ""sv, false}, {"0bZh==", ""sv, false}, {"0b====", ""sv, false},
             {"0bZ===", ""sv, false}, {"0bZ=g=", ""sv, false}, {"0bZm9v ", ""sv, false}, {"0bZm9vZg==Zm9v", ""sv, false},
         }) {
        CAPTURE(r.text);
        uint8_t out[16];
        auto n = decode_binary(r.text, out);
        REQUIRE(n.has_value() == r.good);
        if (n) CHECK(as_text({out, *n}) == r.bytes);
    }
    uint8_t small[2];
    CHECK(decode_binary("0xabcd", small) == size_t(2));
    CHECK(decode_binary("0xbcd", small) == size_t(2));
    CHECK_FALSE(decode_binary("0xabcde", small));
    CHECK_FALSE(decode_binary("0bZm9v", small));

    uint8_t bytes[67], back[67];
    for (size_t i = 0; i < sizeof bytes; ++i) bytes[i] = uint8_t(i * 37 + 11);
    for (size_t n = 1; n <= sizeof bytes; ++n) {
        for (const std::string& text : {encode_hex({bytes, n}), encode_base64({bytes, n})}) {
            REQUIRE(decode_binary(text, back) == n);
            CHECK(std::memcmp(bytes, back, n) == 0);
        }
    }
}

TEST_CASE("lists keep empty values") {
    auto all = [](std::string_view list) {
        std::string s;
        for (std::string_view rest = list, v; next_value(rest, v);) s.append("[").append(v).append("]");
        return s;
    };
    CHECK(all("CRC32C,None") == "[CRC32C][None]");
    CHECK(all("a,,b,") == "[a][][b][]");
    CHECK(all("") == "[]");
    CHECK(list_contains("CHAP,None", "None"));
    CHECK_FALSE(list_contains("CHAP,None", "Non"));
}

TEST_CASE("iSCSI names") {
    CHECK(valid_iscsi_name("iqn.1993-08.org.debian:01:Host_1"));
    CHECK(valid_iscsi_name("naa.52004567ba64678d"));
    CHECK(valid_iscsi_name("iqn.2001-04.example:\xc3\xa4"));
    CHECK(valid_iscsi_name(std::string(223, 'a')));
    CHECK_FALSE(valid_iscsi_name(std::string(224, 'a')));
    for (const char* bad : {"", "a b", "a\nb", "a,b", "../a", "a\x7f"}) CHECK_FALSE(valid_iscsi_name(bad));
    // RFC 7143 4.2.7.5, 4.2.7.6: 16 digits, or 32 of naa. A target of somebody else may be called anything.
    CHECK(valid_iscsi_name("eui.02004567A425678D"));
    CHECK(valid_iscsi_name("naa.62004567BA64678D0123456789ABCDEF"));
    for (const char* bad : {"eui.", "eui.02004567A425678", "eui.02004567A425678D0", "EUI.02004567A425678G", "eui.62004567BA64678D0123456789ABCDEF",
                            "naa.", "naa.zz", "naa.52004567ba64678", "naa.52004567ba64678d0", "naa.62004567BA64678D0123456789ABCDE:"}) {
        CAPTURE(bad);
        CHECK_FALSE(valid_iscsi_name(bad));
        CHECK(usable_iscsi_name(bad));
    }
}
