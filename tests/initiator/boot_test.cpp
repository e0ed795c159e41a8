#include "core/initiator/boot.h"

#include <doctest/doctest.h>

using namespace iscsi;
using namespace iscsi::initiator;

TEST_CASE("root paths of RFC 4173 and dracut") {
    struct Row { const char* text; const char* address; uint16_t port; int lun; const char* target; const char* user; };
    for (const Row& r : {Row{"iscsi:192.0.2.1::::iqn.2026-01.org.example:d:1", "192.0.2.1", 3260, -1, "iqn.2026-01.org.example:d:1", ""},
                         Row{"iscsi:192.0.2.1:6:3261:2:iqn.a", "192.0.2.1", 3261, 2, "iqn.a", ""},
                         Row{"iscsi:[2001:db8::1]:::1:iqn.a", "2001:db8::1", 3260, 1, "iqn.a", ""},
                         Row{"iscsi:bob:pw@san.example:::0:eui.02004567A425678D", "san.example", 3260, 0, "eui.02004567A425678D", "bob"},
                         Row{"iscsi:a:b:c:d@10.0.0.1:6:3260:4:iqn.a", "10.0.0.1", 3260, 4, "iqn.a", "a"},
                         Row{"iscsi:@10.0.0.1::3260::iqn.a:x@y", "10.0.0.1", 3260, -1, "iqn.a:x@y", ""},
                         Row{"10.0.0.1:::if0:eth1:3:iqn.a", "10.0.0.1", 3260, 3, "iqn.a", ""},
                         Row{"iscsi:10.0.0.1:iqn.a", "10.0.0.1", 3260, -1, "iqn.a", ""}}) {
        CAPTURE(r.text);
        BootRequest b;
        REQUIRE(bool(parse_root_path(r.text, b)));
        CHECK(b.address == r.address);
        CHECK(b.port == r.port);
        CHECK((b.lun ? int(*b.lun) : -1) == r.lun);
        CHECK(b.target_name == r.target);
        CHECK(b.user == r.user);
    }
    BootRequest b;
    REQUIRE(bool(parse_root_path("10.0.0.1:::if0:eth1:3:iqn.a", b)));
    CHECK(b.iface_name == "if0");
    CHECK(b.net_device == "eth1");
    for (const char* wrong : {"iscsi:", "iscsi:192.0.2.1::::disk", "iscsi:::::iqn.a", "iscsi:h:6:0::iqn.a", "iscsi:h:6:99999::iqn.a",
                              "iscsi:h:17:::iqn.a", "iscsi:h:::x:iqn.a", "iscsi:u:p:q@h::::iqn.a", "iscsi:h:1:2:3:4:5:6:7:iqn.a"}) {
        CAPTURE(wrong);
        BootRequest none;
        CHECK(!parse_root_path(wrong, none));
    }
}

TEST_CASE("LUNs of root paths") {
    CHECK(parse_boot_lun("10") == 10u);
    CHECK(parse_boot_lun("0x1f") == 31u);
    CHECK(parse_boot_lun("4001-0-0-0") == 1u);
    CHECK(parse_boot_lun("0005-0000-0000-0000") == 5u);
    for (const char* wrong : {"", "x", "1-2", "1-0-0-0-0", "12345-0", "-1"}) CHECK(!parse_boot_lun(wrong));
}

TEST_CASE("ip= as the kernel and dracut write it") {
    auto one = [](const char* text) {
        BootRequest b;
        REQUIRE(bool(parse_ip(text, b)));
        REQUIRE(b.networks.size() == 1);
        return b.networks[0];
    };
    CHECK(one("dhcp").dhcp);
    CHECK(one("eth1:dhcp").device == "eth1");
    auto plan = one("10.0.0.2::10.0.0.1:255.255.255.0:host:eth0:none");
    CHECK(!plan.dhcp);
    CHECK(plan.address == "10.0.0.2");
    CHECK(plan.gateway == "10.0.0.1");
    CHECK(plan.netmask == "255.255.255.0");
    CHECK(plan.device == "eth0");
    CHECK(one("[2001:db8::2]:::64::eth0:off").address == "2001:db8::2");
    CHECK(one("[2001:db8::2]:::64::eth0:off").prefix == 64);
    CHECK(one("::::host:eth2:dhcp").device == "eth2");
    BootRequest off;
    CHECK(bool(parse_ip("off", off)));
    CHECK(off.network_off);
    CHECK(!parse_ip("eth0:sometimes", off));
    CHECK(!parse_ip("10.0.0.2:::999", off));
}

TEST_CASE("a kernel command line in the words of initramfs-tools, dracut and RFC 4173") {
    auto b = parse_cmdline("BOOT_IMAGE=/vmlinuz ro iscsi_initiator=iqn.i iscsi_target_name=iqn.t:1 iscsi_target_ip=192.0.2.9 "
                           "iscsi_target_port=3333 iscsi_target_group=2 iscsi_username=u iscsi_password=p root=/dev/sda1 quiet\n");
    REQUIRE(bool(b));
    CHECK(b->initiator_name == "iqn.i");
    CHECK(b->target_name == "iqn.t:1");
    CHECK(b->port == 3333);
    CHECK(b->tpgt == 2);
    CHECK(b->password.reveal() == "p");
    auto d = parse_cmdline("rd.iscsi.initiator=iqn.i netroot=iscsi:u:p@[::1]::::iqn.t ip=eth0:dhcp "
                           "rd.iscsi.param=node.session.timeo.replacement_timeout=30 foo=\"a b iscsi_target_port=1\"");
    REQUIRE(bool(d));
    CHECK(d->address == "::1");
    CHECK(d->port == 3260);
    REQUIRE(d->params.size() == 1);
    CHECK(d->params[0].second == "30");
    REQUIRE(d->networks.size() == 1);
    CHECK(bool(parse_cmdline("iscsi_auto")));
    CHECK(bool(parse_cmdline("root=dhcp")));
    CHECK(!parse_cmdline("root=/dev/sda1 quiet"));
    CHECK(!parse_cmdline("iscsi_target_name=iqn.t"));
    CHECK(!parse_cmdline("root=iscsi:nonsense"));
    CHECK(!parse_cmdline(""));
}
