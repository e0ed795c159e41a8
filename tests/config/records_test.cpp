#include "core/config/records.h"

#include <doctest/doctest.h>

using namespace iscsi::config;

TEST_CASE("a record of each kind has open-iscsi's keys in its order") {
    CHECK(keys_of(Kind::iface).size() == 55);
    CHECK(keys_of(Kind::node).size() == 4 + 55 + 48);
    CHECK(keys_of(Kind::send_targets).size() == 17);
    CHECK(std::string(field(keys_of(Kind::node).front()).key) == "node.name");
    CHECK(std::string(field(keys_of(Kind::node).back()).key) == "node.conn[0].iscsi.OFMarker");
}

TEST_CASE("an st_config is written as open-iscsi writes it") {
    Record record(Kind::send_targets);
    CHECK(record.set(Key::st_address, "192.0.2.10") == Record::Set::ok);
    CHECK(record.to_file() ==
          "# BEGIN RECORD 2.1.8\n"
          "discovery.startup = manual\n"
          "discovery.type = sendtargets\n"
          "discovery.sendtargets.address = 192.0.2.10\n"
          "discovery.sendtargets.port = 3260\n"
          "discovery.sendtargets.auth.authmethod = None\n"
          "node.session.auth.chap_algs = MD5\n"
          "discovery.sendtargets.timeo.login_timeout = 15\n"
          "discovery.sendtargets.use_discoveryd = No\n"
          "discovery.sendtargets.discoveryd_poll_inval = 30\n"
          "discovery.sendtargets.reopen_max = 5\n"
          "discovery.sendtargets.timeo.auth_timeout = 45\n"
          "discovery.sendtargets.timeo.active_timeout = 30\n"
          "discovery.sendtargets.iscsi.MaxRecvDataSegmentLength = 32768\n"
          "# END RECORD\n");
}

TEST_CASE("values are checked by their row") {
    struct Row { const char *key, *value; Record::Set answer; const char* kept; };
    for (const Row& r : {Row{"node.startup", "automatic", Record::Set::ok, "automatic"},
                         {"node.startup", "banana", Record::Set::bad_value, "manual"},
                         {"node.leading_login", "yes", Record::Set::bad_value, "No"},
                         {"node.session.cmds_max", "64", Record::Set::ok, "64"},
                         {"node.session.cmds_max", "many", Record::Set::bad_value, "128"},
                         {"node.session.cmds_max", "99999999999", Record::Set::bad_value, "128"},
                         {"node.session.timeo.replacement_timeout", "-1", Record::Set::ok, "-1"},
                         {"node.session.auth.chap_algs", "SHA256,BOGUS", Record::Set::ok, "SHA256"},
                         {"node.session.auth.chap_algs", "BOGUS", Record::Set::bad_value, "MD5"},
                         {"node.conn[0].iscsi.HeaderDigest", "CRC32C,None", Record::Set::ok, "CRC32C,None"},
                         {"node.session.auth.username", "<empty>", Record::Set::ok, ""},
                         {"node.session.auth.username", "a\nnode.startup = automatic", Record::Set::bad_value, ""},
                         {"node.bogus", "x", Record::Set::unknown_key, ""}}) {
        CAPTURE(r.key);
        CAPTURE(r.value);
        Record record(Kind::node);
        CHECK(record.set(std::string_view(r.key), r.value) == r.answer);
        if (auto key = find_key(r.key)) CHECK(record.text(*key) == r.kept);
    }
}

TEST_CASE("reading skips what it does not understand and says where") {
    Record record(Kind::node);
    std::vector<Complaint> complaints;
    record.read("# BEGIN RECORD 2.1.8\nnode.name = iqn.x\nnode.startup\nfuture.key = 1\nnode.tpgt=5\r\nnode.startup = soon\n",
                "F", complaints);
    CHECK(record.text(Key::node_name) == "iqn.x");
    CHECK(record.number(Key::node_tpgt) == 5);
    CHECK(record.text(Key::node_startup) == "manual");
    REQUIRE(complaints.size() == 3);
    CHECK(complaints[0].message() == "F line 3: no '=' in it; skipped");
    CHECK(complaints[1].message() == "F line 4: unknown key future.key; skipped");
    CHECK(complaints[2].message() == "F line 6: bad value of node.startup; skipped");
}

TEST_CASE("secrets are hidden on screen, not in the file") {
    Record record(Kind::node);
    (void)record.set(Key::password, "hush");
    CHECK(record.to_screen(false).find("node.session.auth.password = ********\n") != std::string::npos);
    CHECK(record.to_screen(false).find("hush") == std::string::npos);
    CHECK(record.to_json(false).find("hush") == std::string::npos);
    CHECK(record.to_screen(true).find("password = hush\n") != std::string::npos);
    CHECK(record.to_screen(true).find("password_in = <empty>\n") != std::string::npos);
    CHECK(record.to_file().find("password = hush\n") != std::string::npos);
    CHECK(record.to_file().find("password_in") == std::string::npos);
}

TEST_CASE("names from the network") {
    CHECK(valid_iscsi_name("iqn.2026-01.org.example:disk_1"));
    CHECK(valid_iscsi_name("eui.02004567A425678D"));
    CHECK(!valid_iscsi_name("disk1"));
    CHECK(valid_iscsi_name("eui.02004567A425678"));
    CHECK(safe_name("disk1"));
    for (const char* bad : {"", ".", "..", "iqn.a/b", "iqn.a b", "iqn.a\nb", "iqn.a,b"}) {
        CAPTURE(bad);
        CHECK(!safe_name(bad));
    }
    CHECK(safe_name(std::string(223, 'a')));
    CHECK(!safe_name(std::string(224, 'a')));
}
