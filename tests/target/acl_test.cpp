#include "core/target/acl.h"

#include <doctest/doctest.h>

#include <initializer_list>

using iscsi::target::Acl;
using iscsi::target::address_matches;

TEST_CASE("address rules match hosts and networks of their family") {
    struct Row { const char *rule, *address; bool match; };
    for (const Row& r : {Row{"ALL", "192.0.2.1", true}, {"ALL", "2001:db8::1", true}, {"192.0.2.1", "192.0.2.1", true},
                         {"192.0.2.1", "192.0.2.2", false}, {"192.0.2.0/24", "192.0.2.200", true}, {"192.0.2.0/24", "192.0.3.1", false},
                         {"192.0.2.77/24", "192.0.2.1", true} /* host bits are ignored */, {"192.0.2.1/32", "192.0.2.1", true},
                         {"192.0.2.1/32", "192.0.2.2", false}, {"0.0.0.0/0", "203.0.113.9", true}, {"0.0.0.0/0", "2001:db8::1", false},
                         {"192.0.2.0/33", "192.0.2.0", false}, {"192.0.2.0/", "192.0.2.0", false}, {"192.0.2.0/x", "192.0.2.0", false},
                         {"192.0.2.128/25", "192.0.2.127", false}, {"192.0.2.128/25", "192.0.2.128", true},
                         {"2001:db8::1", "2001:db8:0:0::1", true}, {"[2001:db8::1]", "2001:db8::1", true},
                         {"[2001:db8::]/64", "2001:db8::ffff:1", true}, {"2001:db8::/64", "2001:db8:0:1::1", false},
                         {"2001:db8::/127", "2001:db8::1", true}, {"::/0", "192.0.2.1", false}, {"", "192.0.2.1", false},
                         {"nonsense", "192.0.2.1", false}, {"192.0.2.1", "fe80::1%eth0", false}, {"fe80::/10", "fe80::1%eth0", true}}) {
        CAPTURE(r.rule);
        CAPTURE(r.address);
        CHECK(address_matches(r.rule, r.address) == r.match);
    }
}

TEST_CASE("an initiator is admitted by address or by name; no rule admits nobody") {
    Acl acl;
    CHECK_FALSE(acl.admits("iqn.2026-01.org.example:a", "192.0.2.1"));
    CHECK(acl.add_name("iqn.2026-01.org.example:a"));
    CHECK_FALSE(acl.add_name("iqn.2026-01.org.example:a"));
    CHECK(acl.admits("iqn.2026-01.org.example:a", "192.0.2.1"));
    CHECK_FALSE(acl.admits("iqn.2026-01.org.example:b", "192.0.2.1"));
    CHECK(acl.add_address("192.0.2.0/24"));
    CHECK(acl.admits("iqn.2026-01.org.example:b", "192.0.2.1"));
    CHECK(acl.remove_address("192.0.2.0/24"));
    CHECK_FALSE(acl.remove_address("192.0.2.0/24"));
    CHECK_FALSE(acl.admits("iqn.2026-01.org.example:b", "192.0.2.1"));
}

TEST_CASE("an address rule that matches nobody is known as such") {
    for (const char* rule : {"ALL", "192.0.2.1", "192.0.2.0/24", "2001:db8::1", "[2001:db8::]/64", "2001:db8::/64"}) CHECK(iscsi::target::is_address_rule(rule));
    for (const char* rule : {"", "all", "192.0.2.999", "192.0.2.0/33", "192.0.2.0/", "/24", "2001:db8::/129", "host.example"}) CHECK_FALSE(iscsi::target::is_address_rule(rule));
}
