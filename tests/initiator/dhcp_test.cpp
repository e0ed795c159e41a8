#include "core/initiator/dhcp.h"

#include <doctest/doctest.h>

using namespace iscsi;
using namespace iscsi::initiator;

namespace {
const MacAddress mac{0x52, 0x54, 0, 1, 2, 3};
std::vector<uint8_t> offer(std::initializer_list<uint8_t> options) {
    std::vector<uint8_t> p = build_dhcp(dhcp_discover, 0x01020304, mac);
    p.resize(240);
    p[0] = 2;
    p[16] = 192; p[17] = 0; p[18] = 2; p[19] = 5;
    p.insert(p.end(), options);
    return p;
}
}  // namespace

TEST_CASE("a DHCP offer is read: address, mask, router, root path in two pieces") {
    auto p = offer({53, 1, 2, 1, 4, 255, 255, 255, 0, 3, 4, 192, 0, 2, 1, 54, 4, 192, 0, 2, 2, 17, 3, 'i', 's', 'c', 0, 17, 3, 's', 'i', ':', 255});
    auto lease = parse_dhcp(p, 0x01020304, mac);
    REQUIRE(lease.has_value());
    CHECK(lease->message == dhcp_offer);
    CHECK(lease->address == "192.0.2.5");
    CHECK(lease->netmask == "255.255.255.0");
    CHECK(lease->gateway == "192.0.2.1");
    CHECK(lease->server == "192.0.2.2");
    CHECK(lease->root_path == "iscsi:");
    auto request = build_dhcp(dhcp_request, 0x01020304, mac, &*lease);
    CHECK(request.size() >= 300);
    CHECK(as_text(request).find(std::string("\x32\x04\xc0\x00\x02\x05\x36\x04\xc0\x00\x02\x02", 12)) != std::string_view::npos);
}

TEST_CASE("DHCP answers to others, cut or lying, are not taken") {
    auto good = offer({53, 1, 5, 255});
    CHECK(parse_dhcp(good, 0x01020304, mac).has_value());
    CHECK(!parse_dhcp(good, 0x01020305, mac));
    CHECK(!parse_dhcp(good, 0x01020304, MacAddress{1, 2, 3, 4, 5, 6}));
    CHECK(!parse_dhcp(Bytes(good).first(239), 0x01020304, mac));
    CHECK(!parse_dhcp(Bytes(good).first(240), 0x01020304, mac));       // no message type
    CHECK(!parse_dhcp(offer({53, 1, 5, 3, 200, 1}), 0x01020304, mac));  // runs past the end
    CHECK(!parse_dhcp(offer({53}), 0x01020304, mac));
    CHECK(!parse_dhcp(offer({53, 9}), 0x01020304, mac));
}
