#include <doctest/doctest.h>
#include <unistd.h>

#include "applets/iscsiadm/iscsiadm.h"
#include "core/base/file.h"
#include "core/base/log.h"
#include "tests/support/temp_dir.h"

using namespace iscsi;
using namespace iscsi::applets::iscsiadm;

namespace {

// A /sys with the session of the recording, and an empty state directory.
struct World {
    TempDir dir;
    std::string sys = dir / "sys", etc = dir / "etc";

    World() {
        log::open("unit_tests", log::Sink::quiet, log::Level::error);
        (void)make_folders(etc, 0700);
        (void)make_folders(sys + "/class/iscsi_session", 0755);
    }
    void file(const std::string& path, const std::string& value) {
        std::string full = sys + path;
        REQUIRE(make_folders(full.substr(0, full.rfind('/')), 0755));
        REQUIRE(replace_file(full, value + "\n", 0644));
    }
    void link(const std::string& path, const std::string& to) {
        std::string full = sys + path;
        REQUIRE(make_folders(full.substr(0, full.rfind('/')), 0755));
        REQUIRE(::symlink((sys + to).c_str(), full.c_str()) == 0);
    }
    void session(int sid, int host, const char* target, const char* address) {
        std::string h = std::to_string(host), s = std::to_string(sid);
        std::string device = "/devices/platform/host" + h + "/session" + s;
        std::string dir_of = device + "/iscsi_session/session" + s + "/";
        for (auto [name, value] : {std::pair("targetname", target), {"tpgt", "1"}, {"ifacename", "default"}, {"initiatorname", "iqn.x:i"},
                                   {"state", "LOGGED_IN"}, {"recovery_tmo", "120"}, {"tgt_reset_tmo", "30"}, {"lu_reset_tmo", "30"},
                                   {"abort_tmo", "15"}, {"username", "alice"}, {"password", "hush"}, {"username_in", "(null)"},
                                   {"password_in", "(null)"}, {"first_burst_len", "65536"}, {"max_burst_len", "262144"},
                                   {"immediate_data", "1"}, {"initial_r2t", "1"}, {"max_outstanding_r2t", "1"}})
            file(dir_of + name, value);
        link(dir_of + "device", device);
        link("/class/iscsi_session/session" + s, device + "/iscsi_session/session" + s);
        std::string connection = device + "/connection" + s + ":0/iscsi_connection/connection" + s + ":0/";
        for (auto [name, value] : {std::pair("address", address), {"port", "3260"}, {"persistent_address", address},
                                   {"persistent_port", "3260"}, {"header_digest", "0"}, {"data_digest", "1"},
                                   {"max_recv_dlength", "262144"}, {"max_xmit_dlength", "8192"}, {"state", "up"}})
            file(connection + name, value);
        link("/class/iscsi_connection/connection" + s + ":0", device + "/connection" + s + ":0/iscsi_connection/connection" + s + ":0");
        file("/class/iscsi_host/host" + h + "/ipaddress", "10.0.2.15");
        file("/class/iscsi_host/host" + h + "/netdev", "(null)");
        file("/class/scsi_host/host" + h + "/state", "running");
        file("/class/scsi_host/host" + h + "/proc_name", "iscsi_tcp");
        std::string lun = device + "/target" + h + ":0:0/" + h + ":0:0:1";
        file(lun + "/state", "running");
        file(lun + "/type", "0");
        file(lun + "/block/sda/size", "1");
        file("/module/scsi_transport_iscsi/version", "2.0-870");
    }

    struct Ran {
        int code;
        std::string out, errors;
    };
    Ran run(int (*mode)(Tool&), Request request) {
        Tool tool(std::move(request), etc, kernel::Sysfs(sys));
        tool.captured = true;
        tool.socket_name = "iscsiadm-test-nobody-listens";
        int code = mode(tool);
        return {code, tool.out, tool.errors};
    }
    Ran node(Request r) { return run(node_mode, std::move(r)); }
    Ran session_view(int level) {
        Request r;
        r.print_level = level;
        return run(session_mode, std::move(r));
    }
};

Request new_node(const char* target, const char* portal) {
    Request r;
    r.target = target;
    r.portal = portal;
    r.ops = {Op::create};
    return r;
}

}  // namespace

TEST_CASE("the session list is open-iscsi's, byte for byte") {
    World w;
    auto none = w.session_view(0);
    CHECK(none.code == 21);
    CHECK(none.errors == "iscsiadm: No active sessions.\n");
    w.session(8, 0, "iqn.x:disk1", "192.0.2.10");
    w.session(11, 1, "iqn.x:secret", "2001:db8::10");
    auto list = w.session_view(0);
    CHECK(list.code == 0);
    CHECK(list.out == "tcp: [11] [2001:db8::10]:3260,1 iqn.x:secret (non-flash)\n"
                      "tcp: [8] 192.0.2.10:3260,1 iqn.x:disk1 (non-flash)\n");
}

TEST_CASE("session -P 3 shows everything, secrets only when asked") {
    World w;
    w.session(1, 0, "iqn.x:disk1", "192.0.2.10");
    auto tree = w.session_view(3);
    CHECK(tree.code == 0);
    CHECK(tree.out ==
          "iSCSI Transport Class version 2.0-870\nversion 2.1.8\n"
          "Target: iqn.x:disk1 (non-flash)\n"
          "\tCurrent Portal: 192.0.2.10:3260,1\n"
          "\tPersistent Portal: 192.0.2.10:3260,1\n"
          "\t\t**********\n\t\tInterface:\n\t\t**********\n"
          "\t\tIface Name: default\n\t\tIface Transport: tcp\n\t\tIface Initiatorname: iqn.x:i\n\t\tIface IPaddress: 10.0.2.15\n"
          "\t\tIface HWaddress: default\n\t\tIface Netdev: default\n\t\tSID: 1\n"
          "\t\tiSCSI Connection State: Unknown\n\t\tiSCSI Session State: LOGGED_IN\n\t\tInternal iscsid Session State: Unknown\n"
          "\t\t*********\n\t\tTimeouts:\n\t\t*********\n"
          "\t\tRecovery Timeout: 120\n\t\tTarget Reset Timeout: 30\n\t\tLUN Reset Timeout: 30\n\t\tAbort Timeout: 15\n"
          "\t\t*****\n\t\tCHAP:\n\t\t*****\n"
          "\t\tusername: alice\n\t\tpassword: ********\n\t\tusername_in: <empty>\n\t\tpassword_in: ********\n"
          "\t\t************************\n\t\tNegotiated iSCSI params:\n\t\t************************\n"
          "\t\tHeaderDigest: None\n\t\tDataDigest: CRC32C\n\t\tMaxRecvDataSegmentLength: 262144\n"
          "\t\tMaxXmitDataSegmentLength: 8192\n\t\tFirstBurstLength: 65536\n\t\tMaxBurstLength: 262144\n\t\tImmediateData: Yes\n"
          "\t\tInitialR2T: Yes\n\t\tMaxOutstandingR2T: 1\n"
          "\t\t************************\n\t\tAttached SCSI devices:\n\t\t************************\n"
          "\t\tHost Number: 0\tState: running\n\t\tscsi0 Channel 00 Id 0 Lun: 1\n\t\t\tAttached scsi disk sda\t\tState: running\n");
    Request json;
    json.json = true;
    auto view = w.run(session_mode, json);
    CHECK(view.out.find("\"password\": \"********\"") != std::string::npos);
    CHECK(view.out.find("hush") == std::string::npos);
    CHECK(view.out.find("\"block\": \"sda\"") != std::string::npos);
}

TEST_CASE("a session is named by its number or by its folder") {
    World w;
    w.session(1, 0, "iqn.x:disk1", "192.0.2.10");
    struct Row { std::string sid; int code; };
    for (const Row& r : {Row{"1", 0}, {"/sys/devices/platform/host0/session1", 0}, {"/sys/devices/platform/host0/session1/", 0},
                         {"9", 22}, {"x", 1}, {"/tmp", 1}, {"", 1}}) {
        CAPTURE(r.sid);
        Request request;
        request.sid = r.sid;
        request.print_level = 1;
        CHECK(w.run(session_mode, request).code == r.code);
    }
}

TEST_CASE("node records: new, list, update, delete") {
    World w;
    CHECK(w.node(Request{}).errors == "iscsiadm: No records found\n");
    auto made = w.node(new_node("iqn.x:disk1", "192.0.2.10:3260,1"));
    CHECK(made.out == "New iSCSI node [tcp:[hw=,ip=,net_if=,iscsi_if=default] 192.0.2.10,3260,1 iqn.x:disk1] added\n");
    CHECK(w.node(new_node("iqn.x:disk1", "2001:db8::10")).code == 0);
    CHECK(w.node(Request{}).out == "192.0.2.10:3260,1 iqn.x:disk1\n[2001:db8::10]:3260,4294967295 iqn.x:disk1\n");
    Request update;
    update.target = "iqn.x:disk1";
    update.ops = {Op::update};
    CHECK(w.node(update).code == 7);
    update.params = {{"node.startup", "automatic"}, {"node.session.timeo.replacement_timeout", "33"}};
    CHECK(w.node(update).code == 0);
    update.params = {{"node.startup", "banana"}};
    CHECK(w.node(update).errors.starts_with("iscsiadm: unknown value format 'banana' for parameter name 'node.startup'\n"
                                            "iscsiadm: Unknown parameter node.startup.\n"));
    update.params = {{"node.session.auth.password", std::string(2000, 'x')}};
    CHECK(w.node(update).errors.find("xxx") == std::string::npos);           // not even a bad secret is shown
    auto nodes = config::Database(w.etc).nodes();
    REQUIRE(nodes.size() == 2);
    CHECK(nodes[0].text(Key::node_startup) == "automatic");
    CHECK(nodes[1].number(Key::replacement_timeout) == 33);
    Request remove;
    remove.ops = {Op::remove};
    w.session(1, 0, "iqn.x:disk1", "192.0.2.10");
    auto kept = w.node(remove);
    CHECK(kept.code == 15);
    CHECK(kept.errors.find("but a session is using it") != std::string::npos);
    CHECK(config::Database(w.etc).nodes().size() == 1);                       // the other one is gone
}

TEST_CASE("what cannot be a name or a portal is refused") {
    World w;
    CHECK(w.node(new_node("../../etc/x", "192.0.2.10")).code == 7);
    CHECK(w.node(new_node("iqn.x:a", "192.0.2.10:abc")).code == 7);
    CHECK(w.node(new_node("iqn.x:a", "[2001:db8::1")).code == 7);
    CHECK(config::Database(w.etc).nodes().empty());
}

TEST_CASE("firmware targets show without their secrets") {
    World w;
    Request r;
    CHECK(w.run(fw_mode, r).code == 21);
    for (auto [name, value] : {std::pair("initiator/initiator-name", "iqn.x:boot"), {"ethernet0/index", "0"}, {"ethernet0/mac", "52:54:00:12:34:56"},
                               {"ethernet0/ip-addr", "10.0.2.15"}, {"ethernet0/origin", "3"}, {"ethernet0/prefix-len", "24"},
                               {"ethernet0/vlan", "0"}, {"target0/index", "0"}, {"target0/flags", "3"}, {"target0/ip-addr", "192.0.2.10"},
                               {"target0/port", "3260"}, {"target0/nic-assoc", "0"}, {"target0/target-name", "iqn.x:disk1"},
                               {"target0/chap-name", "alice"}, {"target0/chap-secret", "hush"}, {"target0/lun", "01000000"},
                               {"target1/index", "1"}, {"target1/ip-addr", "192.0.2.10"}, {"target1/target-name", "../x"}})
        w.file(std::string("/firmware/ibft/") + name, value);
    w.file("/class/net/eth0/address", "52:54:00:12:34:56");
    auto shown = w.run(fw_mode, r);
    CHECK(shown.code == 0);
    CHECK(shown.out ==
          "# BEGIN RECORD 2.1.8\niface.initiatorname = iqn.x:boot\niface.transport_name = tcp\niface.hwaddress = 52:54:00:12:34:56\n"
          "iface.bootproto = DHCP\niface.ipaddress = 10.0.2.15\niface.prefix_len = 24\niface.vlan_id = 0\niface.net_ifacename = eth0\n"
          "node.name = iqn.x:disk1\nnode.conn[0].address = 192.0.2.10\nnode.conn[0].port = 3260\n"
          "node.session.auth.username = alice\nnode.session.auth.password = ********\nnode.boot_lun = 01000000\n# END RECORD\n");
}
