#include "core/base/wildcard.h"

#include <doctest/doctest.h>
#include <fnmatch.h>

#include <random>
#include <string>

TEST_CASE("wildcards match as a shell's") {
    struct Row {
        const char *pattern, *name;
        bool match;
    };
    for (const Row& r : {Row{"*.conf", "a.conf", true}, {"*.conf", ".conf", false}, {".*", ".conf", true}, {"*", "", true}, {"", "", true},
                         {"", "a", false}, {"a*b*c", "aXbXbYc", true}, {"a*b*c", "aXbXbYd", false}, {"[0-9]?", "5x", true},
                         {"[!0-9]?", "5x", false}, {"[]a]", "]", true}, {"[a", "[a", true}, {"\\*", "*", true}, {"\\*", "x", false},
                         {"[[:digit:]]*", "7th", true}, {"[[:digit:]]*", "th", false}, {"**a", "bba", true}, {"?*", ".a", false},
                         {"a\\", "a\\", true}}) {
        CAPTURE(r.pattern);
        CAPTURE(r.name);
        CHECK(iscsi::wildcard_match(r.pattern, r.name) == r.match);
    }
    CHECK_FALSE(iscsi::wildcard_match(std::string(40, '*') + "b", std::string(4000, 'a')));
}

TEST_CASE("wildcards agree with fnmatch") {
    std::mt19937 random(5);
    static constexpr char alphabet[] = "ab.*?[]!-";
    int matches = 0;
    for (int i = 0; i < 200000; i++) {
        std::string pattern, name;
        for (unsigned n = random() % 7; n; n--) pattern += alphabet[random() % (sizeof alphabet - 1)];
        for (unsigned n = random() % 5; n; n--) name += "ab.-"[random() % 4];
        // a bracket whose range runs backwards, or that never ends, is unspecified
        if (pattern.find('[') != std::string::npos && (pattern.find(']') == std::string::npos || pattern.find('-') != std::string::npos)) continue;
        const bool want = ::fnmatch(pattern.c_str(), name.c_str(), FNM_PERIOD) == 0;
        CAPTURE(pattern);
        CAPTURE(name);
        if (iscsi::wildcard_match(pattern, name) != want) CHECK(iscsi::wildcard_match(pattern, name) == want);
        matches += want;
    }
    CHECK(matches > 1000);
}
