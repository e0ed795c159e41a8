#include "core/config/node_records.h"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "core/base/file.h"
#include "core/base/log.h"
#include "core/config/firmware.h"
#include "core/config/iscsid_conf.h"

using namespace iscsi;
using namespace iscsi::config;

namespace {

struct Tree {
    std::string path;
    Tree() {
        char name[] = "/tmp/records-test-XXXXXX";
        path = ::mkdtemp(name);
        log::open("unit_tests", log::Sink::quiet, log::Level::error);
    }
    ~Tree() { remove(path); }
    static void remove(const std::string& folder) {
        for (const auto& name : list_folder(folder)) {
            std::string p = folder + "/" + name;
            if (::unlink(p.c_str()) != 0) remove(p);
        }
        ::rmdir(folder.c_str());
    }
};

Record node(const char* target, const char* address, int tpgt, const char* iface = "default") {
    Record r(Kind::node);
    (void)r.set(Key::node_name, target);
    (void)r.set(Key::conn_address, address);
    (void)r.set(Key::node_tpgt, int64_t(tpgt));
    (void)r.set(Key::iface_name, iface);
    return r;
}

}  // namespace

TEST_CASE("portals as users write them") {
    struct Row { const char* text; const char* address; int port, tpgt; };
    for (const Row& r : {Row{"192.0.2.10", "192.0.2.10", 3260, -1}, {"192.0.2.10:9", "192.0.2.10", 9, -1},
                         {"192.0.2.10:3260,1", "192.0.2.10", 3260, 1}, {"192.0.2.10:3260:", "192.0.2.10", 3260, -1},
                         {"192.0.2.10:", "192.0.2.10", 3260, -1}, {"[2001:db8::1]:9,2", "2001:db8::1", 9, 2},
                         {"2001:db8::1", "2001:db8::1", 3260, -1}, {"host.example,4294967295", "host.example", 3260, -1},
                         {"[2001:db8::1", "", 0, 0}, {"a/b", "", 0, 0}, {"192.0.2.10:70000", "", 0, 0}, {"", "", 0, 0},
                         {"192.0.2.10:abc", "", 0, 0}}) {
        CAPTURE(r.text);
        auto p = parse_portal(r.text);
        CHECK(p.has_value() == (r.port != 0));
        if (p && r.port) {
            CHECK(p->address == r.address);
            CHECK(p->port == r.port);
            CHECK(p->tpgt == r.tpgt);
        }
    }
    CHECK(portal_text("2001:db8::1", 3260) == "[2001:db8::1]:3260");
}

TEST_CASE("node records live where open-iscsi looks for them") {
    Tree tree;
    Database db(tree.path);
    Record a = node("iqn.x:a", "192.0.2.10", 1);
    CHECK(db.write_node(a));
    CHECK(db.write_node(node("iqn.x:a", "2001:db8::1", -1)));
    CHECK(exists(tree.path + "/nodes/iqn.x:a/192.0.2.10,3260,1/default"));
    CHECK(exists(tree.path + "/nodes/iqn.x:a/2001:db8::1,3260"));
    CHECK(list_folder(tree.path + "/static") == std::vector<std::string>{"iqn.x:a,192.0.2.10,3260,1,default"});
    struct stat st;
    CHECK(::stat((tree.path + "/nodes/iqn.x:a/192.0.2.10,3260,1/default").c_str(), &st) == 0);
    CHECK((st.st_mode & 0777) == 0600);
    CHECK(db.nodes().size() == 2);
    CHECK(db.nodes({"iqn.x:a", "192.0.2.10", "", 3260}).size() == 1);
    CHECK(db.nodes({"", "192.0.2.10", "", 9}).empty());
    CHECK(db.nodes({"../x", "", "", 0}).empty());
    CHECK(db.found_by("static", "", 0).size() == 1);
    // a session knows its tag where a record made by hand does not
    CHECK(db.node({"iqn.x:a", "2001:db8::1", "default", 3260, 4})->number(Key::node_tpgt) == -1);
    CHECK(db.node({"iqn.x:a", "192.0.2.10", "default", 3260, -1})->number(Key::node_tpgt) == 1);
    CHECK(!db.node({"iqn.x:a", "192.0.2.10", "default", 3260, 2}));
    // a portal whose tag becomes known leaves the flat form
    CHECK(db.write_node(node("iqn.x:a", "2001:db8::1", 4)));
    CHECK(is_folder(tree.path + "/nodes/iqn.x:a/2001:db8::1,3260,4"));
    CHECK(!exists(tree.path + "/nodes/iqn.x:a/2001:db8::1,3260"));
    for (const Record& r : db.nodes()) CHECK(db.delete_node(r));
    CHECK(list_folder(tree.path + "/nodes").empty());
    CHECK(list_folder(tree.path + "/static").empty());
}

TEST_CASE("a name that would leave the tree is refused") {
    Tree tree;
    Database db(tree.path);
    CHECK(!db.write_node(node("../../etc/x", "192.0.2.10", 1)));
    CHECK(!db.write_node(node("..", "192.0.2.10", 1)));
    CHECK(!db.write_node(node("iqn.x:a", "..", 1)));
    Record iface(Kind::iface);
    (void)iface.set(Key::iface_name, "a/b");
    CHECK(!db.write_iface(iface));
    CHECK(!db.delete_iface("../nodes"));
}

TEST_CASE("a damaged record is read for what it says and not rewritten") {
    Tree tree;
    Database db(tree.path);
    Record a = node("iqn.x:a", "192.0.2.10", 1);
    CHECK(db.write_node(a));
    std::string path = tree.path + "/nodes/iqn.x:a/192.0.2.10,3260,1/default";
    std::string text = *read_file(path) + "future.key = 1\n";
    CHECK(replace_file(path, text, 0600));
    CHECK(db.nodes().size() == 1);
    auto refused = db.write_node(a);
    REQUIRE(!refused);
    CHECK(refused.error().text().find("future.key") != std::string::npos);
    CHECK(*read_file(path) == text);
    CHECK(db.write_node(a, true));
    CHECK(replace_file(path, "", 0600));
    CHECK(db.nodes().empty());
}

TEST_CASE("discovery records own the nodes they found") {
    Tree tree;
    Database db(tree.path);
    Record st(Kind::send_targets);
    (void)st.set(Key::st_address, "192.0.2.10");
    CHECK(db.write_discovery(st));
    Record a = node("iqn.x:a", "192.0.2.10", 1, "192.0.2.10:3260:vol1");
    (void)a.set(Key::discovery_type, "send_targets");
    (void)a.set(Key::discovery_address, "192.0.2.10");
    (void)a.set(Key::discovery_port, int64_t(3260));
    CHECK(db.write_node(a));
    auto found = db.found_by("send_targets", "192.0.2.10", 3260);
    REQUIRE(found.size() == 1);
    CHECK(found[0] == a);
    REQUIRE(db.discoveries(Kind::send_targets).size() == 1);
    CHECK(db.delete_discovery(Kind::send_targets, "192.0.2.10", 3260));
    CHECK(db.nodes().empty());
    CHECK(db.discoveries(Kind::send_targets).empty());
}

TEST_CASE("ifaces: files, then the built-in ones") {
    Tree tree;
    Database db(tree.path);
    Record iface(Kind::iface);
    (void)iface.set(Key::iface_name, "eth0if");
    CHECK(db.write_iface(iface));
    auto all = db.ifaces();
    REQUIRE(all.size() == 3);
    CHECK(all[0].text(Key::iface_name) == "eth0if");
    CHECK(all[1].text(Key::iface_name) == "default");
    CHECK(all[2].text(Key::iface_transport_name) == "iser");
    CHECK(!db.delete_iface("default"));
    CHECK(db.delete_iface("eth0if"));
    CHECK(!db.iface("eth0if"));
}

TEST_CASE("iscsid.conf gives new records their values") {
    auto conf = parse_iscsid_conf("# c\niscsid.startup = /bin/start it\niscsid.safe_logout=Yes\nnode.startup = automatic\n"
                                  "node.session.auth.password = a = b\ndiscovery.sendtargets.reopen_max = 1\nbogus = 1\nnothing\n",
                                  "C");
    CHECK(conf.startup == "/bin/start it");
    CHECK(conf.safe_logout);
    CHECK(conf.complaints.size() == 2);
    Record n = conf.new_record(Kind::node);
    CHECK(n.text(Key::node_startup) == "automatic");
    CHECK(n.text(Key::password) == "a = b");
    CHECK(conf.new_record(Kind::send_targets).number(Key::st_reopen_max) == 1);
}

TEST_CASE("a missing initiatorname.iscsi is made once, from the machine-id") {
    Tree tree;
    std::string path = tree.path + "/initiatorname.iscsi", id = tree.path + "/machine-id";
    CHECK(replace_file(id, "0123456789abcdef0123456789abcdef\n", 0644));
    auto made = ensure_initiator_name(path, id);
    REQUIRE(made);
    CHECK(valid_iscsi_name(made->name));
    auto again = ensure_initiator_name(path, tree.path + "/none");
    REQUIRE(again);
    CHECK(again->name == made->name);
    CHECK(initiator_name_here(path, tree.path + "/none") == made->name);
    ::unlink(path.c_str());
    CHECK(initiator_name_here(path, id) == made->name);
    CHECK(!exists(path));
    CHECK(valid_iscsi_name(initiator_name_here(path, tree.path + "/none")));
    CHECK(ensure_initiator_name(path, id)->name == made->name);      // the same machine, the same name
    CHECK(replace_file(path, "InitiatorName=no name\n", 0600));
    CHECK(!ensure_initiator_name(path, id));
}
