#include "core/initiator/url.h"

#include <doctest/doctest.h>

#include <cstring>

using namespace iscsi;
using namespace iscsi::initiator;

namespace {
const char* no_environment(const char*) { return nullptr; }
const char* some_environment(const char* name) {
    if (!std::strcmp(name, "LIBISCSI_CHAP_USERNAME")) return "env-user";
    if (!std::strcmp(name, "LIBISCSI_CHAP_PASSWORD")) return "env-secret";
    return nullptr;
}
}  // namespace

TEST_CASE("URLs as libiscsi writes them") {
    auto u = parse_url("iscsi://joe%a@b/c@192.0.2.1:860/iqn.2001-04.com.example:disk1/2?target_user=t&target_password=p%26q&"
                       "header_digest=crc32c&data_digest=none", no_environment);
    REQUIRE(u);
    CHECK(u->host == "192.0.2.1");
    CHECK(u->port == 860);
    CHECK(u->target_name == "iqn.2001-04.com.example:disk1");
    CHECK(u->lun == 2);
    CHECK(u->user == "joe");
    CHECK(u->password.reveal() == "a@b/c");
    CHECK(u->target_user == "t");
    CHECK(u->target_password.reveal() == "p&q");
    CHECK(u->header_digest == nego::Digests::crc32c);
    CHECK(u->data_digest == nego::Digests::none);
    CHECK(u->text() == "iscsi://192.0.2.1:860/iqn.2001-04.com.example:disk1/2");

    auto six = parse_url("iscsi://[2001:db8::1]/iqn.2001-04.com.example%3Adisk1", some_environment);
    REQUIRE(six);
    CHECK(six->host == "2001:db8::1");
    CHECK(six->port == 3260);
    CHECK(six->target_name == "iqn.2001-04.com.example:disk1");
    CHECK_FALSE(six->lun);
    CHECK(six->user == "env-user");
    CHECK(six->password.reveal() == "env-secret");
    CHECK(parse_url("iscsi://store/", no_environment));
    CHECK(parse_url("iscsi://joe@store", some_environment)->password.reveal() == "env-secret");
}

TEST_CASE("what is no URL is named") {
    for (const char* bad : {"", "iscsi:", "http://h", "iscsi://", "iscsi:///iqn.2001-04.com.example:d/1", "iscsi://h:0", "iscsi://h:x/",
                            "iscsi://h/not a name/1", "iscsi://h/iqn.2001-04.com.example:d/x", "iscsi://h/iqn.2001-04.com.example:d/16384",
                            "iscsi://h/iqn.2001-04.com.example:d/-1", "iscsi://h?x=1", "iscsi://h?header_digest=md5", "iscsi://h?target_user",
                            "iscsi://u@h", "iscsi://@h", "iscsi://h?target_user=a&target_password=b", "iscsi://[::1/x"}) {
        CAPTURE(bad);
        auto u = parse_url(bad, no_environment);
        CHECK_FALSE(u);
        if (!u) CHECK_FALSE(u.error().text().empty());
    }
}

TEST_CASE("LUNs on the wire and back") {
    struct Row { uint16_t lun; uint64_t field; };
    for (const Row& r : {Row{0, 0}, {1, 0x0001000000000000}, {255, 0x00ff000000000000}, {256, 0x4100000000000000}, {16383, 0x7fff000000000000}}) {
        CAPTURE(r.lun);
        CHECK(lun_field(r.lun) == r.field);
        CHECK(lun_number(r.field) == r.lun);
    }
    CHECK(lun_number(0xc101000000000000) == 0xffff);
    CHECK(lun_number(0x0001000000000001) == 0xffff);
    CHECK(lun_number(0x0101000000000000) == 0xffff);
}
