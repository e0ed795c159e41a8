#include "core/base/json.h"

#include <doctest/doctest.h>

using iscsi::Json;

TEST_CASE("JSON nests, separates and closes") {
    Json j;
    j.object().field("a", 1).key("list").array().value("x").value(true).object().end().array().end().end().field("n", uint64_t(1) << 63).end();
    CHECK(j.take() == "{\n  \"a\": 1,\n  \"list\": [\n    \"x\",\n    true,\n    {},\n    []\n  ],\n  \"n\": 9223372036854775808\n}\n");
    CHECK(j.array().end().take() == "[]\n");
}

TEST_CASE("JSON has no infinities") {
    Json j;
    j.array().value(0.25).value(1e3).value(1.0 / 0.0).value(-1.5).end();
    CHECK(j.take() == "[\n  0.250,\n  1000.000,\n  0.000,\n  -1.500\n]\n");
}

TEST_CASE("JSON escapes what it must and replaces what is no UTF-8") {
    auto text = [](std::string_view s) { return Json().value(s).take(); };
    CHECK(text("a\"b\\c\n\x01\x7f") == "\"a\\\"b\\\\c\\u000a\\u0001\\u007f\"\n");
    CHECK(text("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80") == "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"\n");
    CHECK(text("\xff\xc3") == "\"\\ufffd\\ufffd\"\n");
    CHECK(text("\xed\xa0\x80") == "\"\\ufffd\\ufffd\\ufffd\"\n");     // a surrogate
    CHECK(text("\xc0\x80") == "\"\\ufffd\\ufffd\"\n");                // overlong
}
