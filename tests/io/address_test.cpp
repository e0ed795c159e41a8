#include "core/io/address.h"

#include <doctest/doctest.h>

using namespace iscsi::io;

TEST_CASE("numeric addresses go to text and back") {
    struct Row { const char* text; const char* host; const char* portal; };
    for (const Row& r : {Row{"192.0.2.10", "192.0.2.10", "192.0.2.10:3260"}, {"2001:db8::1", "2001:db8::1", "[2001:db8::1]:3260"},
                         {"[2001:DB8:0::1]", "2001:db8::1", "[2001:db8::1]:3260"}, {"::ffff:192.0.2.1", "192.0.2.1", "192.0.2.1:3260"},
                         {"fe80::1%lo", "fe80::1%lo", "[fe80::1%lo]:3260"}}) {
        CAPTURE(r.text);
        auto a = parse_numeric(r.text, 3260);
        REQUIRE(a);
        CHECK(a->host() == r.host);
        CHECK(a->portal() == r.portal);
        CHECK(a->port() == 3260);
        CHECK(*a == from_sockaddr(a->get(), a->length));
    }
    for (const char* bad : {"", "host", "192.0.2", "192.0.2.256", "[192.0.2.1]", "[::1", "::1]", "fe80::1%", "fe80::1%nosuchif0",
                            "1:2:3:4:5:6:7:8:9", "fe80::1%aaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "0x7f.1"}) {
        CAPTURE(bad);
        CHECK_FALSE(parse_numeric(bad, 1));
    }
    CHECK_FALSE(*parse_numeric("::1", 1) == *parse_numeric("::1", 2));
    CHECK_FALSE(*parse_numeric("fe80::1%1", 1) == *parse_numeric("fe80::1%2", 1));
}

TEST_CASE("host and port are told apart") {
    struct Row { const char* text; const char* host; int port; };
    for (const Row& r : {Row{"a.example", "a.example", 3260}, {"a.example:860", "a.example", 860}, {"192.0.2.1:3261", "192.0.2.1", 3261},
                         {"[::1]", "::1", 3260}, {"[::1]:9", "::1", 9}, {"2001:db8::1", "2001:db8::1", 3260}}) {
        CAPTURE(r.text);
        auto p = split_host_port(r.text, 3260);
        REQUIRE(p);
        CHECK(p->host == r.host);
        CHECK(p->port == r.port);
    }
    for (const char* bad : {"", ":1", "a:", "a:0", "a:65536", "a:1x", "[::1", "[::1]x", "[::1]:", "[]", "a b", "a/b", "a\n", "a:-1", "a:+1"}) {
        CAPTURE(bad);
        CHECK_FALSE(split_host_port(bad, 3260));
    }
    CHECK_FALSE(split_host_port(std::string(256, 'a'), 1));
}
