#include "core/base/sizes.h"

#include <doctest/doctest.h>

using namespace iscsi;

TEST_CASE("sizes are numbers with a unit; strict ones are whole, with one letter at most") {
    constexpr uint64_t none = 0;
    struct Row { const char* text; uint64_t strict, loose; };
    for (const Row& r : {Row{"512", 512, 512}, {"64M", 64 << 20, 64 << 20}, {"1g", 1 << 30, 1 << 30}, {"2k", 2048, 2048},
                         {"3T", uint64_t(3) << 40, uint64_t(3) << 40}, {"", none, none}, {"M", none, none}, {"1X", none, none},
                         {"-1", none, none}, {"+1", none, none}, {" 1", none, none}, {"1 ", none, none}, {"1MM", none, none},
                         {"1MB", none, 1 << 20}, {"1.5G", none, uint64_t(3) << 29}, {"10MiB", none, 10 << 20}, {"2P", none, uint64_t(2) << 50},
                         {"512b", none, 512}, {"1.5.2", none, none}, {".5", none, none}, {"1e3", none, none},
                         {"99999999999999999999", none, none}, {"9999999T", none, none}}) {
        CAPTURE(r.text);
        CHECK(parse_size(r.text, SizeSyntax::strict).value_or(none) == r.strict);
        CHECK(parse_size(r.text).value_or(none) == r.loose);
    }
    CHECK(parse_size("0") == 0);
    CHECK_FALSE(parse_size("M"));
}

TEST_CASE("sizes for people") {
    CHECK(brief_size(0) == "0B");
    CHECK(brief_size(1536) == "1.5K");
    CHECK(brief_size(uint64_t(250) << 30) == "250G");
    CHECK(format_size(1023) == "1023 B");
    CHECK(format_size(64 << 20) == "64.0 MiB");
    CHECK(format_size(uint64_t(250) << 30) == "250.0 GiB");
    CHECK(brief_size(UINT64_MAX) == "16.0E");
    CHECK(format_size(UINT64_MAX) == "16.0 EiB");
}
