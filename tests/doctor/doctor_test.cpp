#include "core/doctor/doctor.h"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <utime.h>

#include "core/base/file.h"
#include "tests/support/temp_dir.h"

using namespace iscsi;
using namespace iscsi::doctor;
using initiator::LoginFailure;
using initiator::SessionEnd;
using wire::LoginStatus;

namespace {

// A machine of our own: nothing configured, nothing running.
struct Machine {
    TempDir dir;
    Options options;
    Machine() {
        Places& at = options.places;
        at.state = at.sysfs = at.proc = at.run = at.modules = dir.path();
        at.initiator_name = dir / "initiatorname.iscsi";
        at.iscsid_conf = dir / "iscsid.conf";
        at.targets_conf = dir / "targets.conf";
        at.machine_id = dir / "machine-id";
        options.control_port = 32766;
    }
    void put(const std::string& name, std::string_view text, unsigned mode = 0600) {
        const std::string path = dir.path() + "/" + name;
        REQUIRE(bool(make_folders(path.substr(0, path.rfind('/')), 0700)));
        REQUIRE(bool(replace_file(path, text, mode)));
    }
    void put_node(const std::string& keys, unsigned mode = 0600, const char* name = "iqn.2026-01.test:disk1") {
        put("nodes/" + std::string(name) + "/192.0.2.1,3260,1/default",
            "# BEGIN RECORD 2.1.8\nnode.name = " + std::string(name) + "\nnode.tpgt = 1\niface.iscsi_ifacename = default\nnode.conn[0].address = 192.0.2.1\nnode.conn[0].port = 3260\n" + keys + "# END RECORD\n", mode);
    }
};

// The first finding that is not ok, as "warn what: finding"; "" if all is well.
std::string worst(const Report& report) {
    for (const Finding& f : report.findings())
        if (f.level != Level::ok) {
            CHECK_FALSE(f.fix.empty());
            return (f.level == Level::fail ? "FAIL " : "warn ") + f.what + ": " + f.finding;
        }
    return "";
}
// What `check` finds amiss on `m`.
template <class Check>
std::string worst(const Machine& m, Check check, State state = {}) {
    Report report;
    check(m.options, state, report);
    return worst(report);
}
bool has(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("the initiator's name: missing, none, not made yet, in capitals, older than the machine") {
    struct Row { const char* text; const char* says; };
    const Row rows[] = {{nullptr, "is missing"}, {"GenerateName=yes\n", "no name has been made yet"}, {"InitiatorName=\n", "has no line InitiatorName"},
                        {"InitiatorName=nonsense\n", "has no line InitiatorName"}, {"InitiatorName=iqn.2026-01.test:Host\n", "capitals"}, {"InitiatorName=iqn.2026-01.test:host\n", ""}};
    for (const Row& r : rows) {
        CAPTURE(r.says);
        Machine m;
        if (r.text) m.put("initiatorname.iscsi", r.text);
        const std::string found = worst(m, check_identity);
        CHECK((*r.says ? has(found, r.says) : found.empty()));
    }
    Machine m;
    m.put("initiatorname.iscsi", "InitiatorName=iqn.2026-01.test:host\n");
    m.put("machine-id", "0123456789abcdef0123456789abcdef\n");
    utimbuf old{1000000, 1000000};
    REQUIRE(::utime(m.options.places.initiator_name.c_str(), &old) == 0);
    State state;
    Report report;
    check_identity(m.options, state, report);
    CHECK(has(worst(report), "cloned image"));
    CHECK(state.initiator_name == "iqn.2026-01.test:host");
}

TEST_CASE("records: damaged, unnamed, open to others, CHAP that cannot work, an iface that is gone") {
    struct Row { const char* keys; unsigned mode; const char* says; };
    const Row rows[] = {
        {"", 0600, ""},
        {"", 0644, ""},                                                     // holds no secret
        {"future.key = 1\n", 0600, "unknown key future.key"},
        {"node.session.auth.authmethod = CHAP\n", 0600, "authmethod is CHAP, but there is no username"},
        {"node.session.auth.authmethod = CHAP\nnode.session.auth.username = alice\n", 0600, "but there is no password"},
        {"node.session.auth.username = alice\nnode.session.auth.password = alicesecret12\n", 0600, "authmethod is None"},
        {"node.session.auth.authmethod = CHAP\nnode.session.auth.username = alice\nnode.session.auth.password = short\n", 0600, "the secret has 5 bytes"},
        {"node.session.auth.authmethod = CHAP\nnode.session.auth.username = alice\nnode.session.auth.password = alicesecret12\n", 0640, "open to others (640)"},
        {"node.session.auth.authmethod = CHAP\nnode.session.auth.username = alice\nnode.session.auth.password = alicesecret12\nnode.session.auth.username_in = disks\n", 0600, "no password_in"},
        {"node.session.auth.authmethod = CHAP\nnode.session.auth.username = alice\nnode.session.auth.password = alicesecret12\nnode.session.auth.username_in = disks\n"
         "node.session.auth.password_in = alicesecret12\n", 0600, "same secret in both directions"},
        {"iface.iscsi_ifacename = gone0\n", 0600, "bound to iface gone0"},
    };
    for (const Row& r : rows) {
        CAPTURE(r.keys);
        Machine m;
        m.put_node(r.keys, r.mode);
        State state;
        Report report;
        check_records(m.options, state, report);
        CAPTURE(worst(report));
        CHECK((*r.says ? has(worst(report), r.says) : worst(report).empty()));
        CHECK(state.nodes.size() == 1);
        for (const Finding& f : report.findings()) CHECK_FALSE(has(f.what + f.finding + f.fix, "alicesecret12"));
    }
    Machine m;
    m.put("nodes/iqn.2026-01.test:x/192.0.2.1,3260,1/default", "garbage\n");
    m.put("targets.conf", "<target iqn.2026-01.test:x>\n  incominguser alice alicesecret12\n</target>\n", 0644);
    State state;
    Report report;
    check_records(m.options, state, report);
    std::string all;
    for (const Finding& f : report.findings()) all += f.finding + "\n";
    CHECK(has(all, "does not say node.name"));
    CHECK(has(all, "targets.conf holds a secret"));
}

TEST_CASE("time-outs, with and without multipath") {
    struct Row { const char* keys; bool multipath; const char* says; };
    const Row rows[] = {
        {"node.session.timeo.replacement_timeout = 120\n", false, ""},
        {"node.session.timeo.replacement_timeout = 120\n", true, "multipath waits"},
        {"node.session.timeo.replacement_timeout = 5\n", false, "no multipath"},
        {"node.session.timeo.replacement_timeout = 10\n", true, ""},
        {"node.conn[0].timeo.noop_out_interval = 0\n", false, "noop_out_interval is 0"},
        {"node.conn[0].timeo.login_timeout = 2\n", false, "login_timeout is 2"},
    };
    for (const Row& r : rows) {
        CAPTURE(r.keys);
        Machine m;
        m.put_node(r.keys);
        if (r.multipath) m.put("123/comm", "multipathd\n");
        State state;
        state.nodes = config::Database(m.dir.path()).nodes();
        const std::string found = worst(m, check_timeouts, state);
        CAPTURE(found);
        CHECK((*r.says ? has(found, r.says) : found.empty()));
    }
}

TEST_CASE("what dead daemons left behind") {
    Machine m;
    CHECK(worst(m, check_leftovers) == "");
    m.put("iscsid.pid", "77\n");
    CHECK(has(worst(m, check_leftovers), "names process 77, which is gone"));
    m.put("77/comm", "bash\n");
    CHECK(has(worst(m, check_leftovers), "which is bash"));
    m.put("77/comm", "iscsid\n");
    CHECK(worst(m, check_leftovers) == "");
}

TEST_CASE("targets.conf: a mistake with its place, a store that is not there") {
    Machine m;
    m.put("targets.conf", "<target iqn.2026-01.test:x>\n  backing-stor /srv/x\n</target>\n");
    CHECK(has(worst(m, check_target_side), "targets.conf:2:3"));
    m.put("targets.conf", "<target iqn.2026-01.test:x>\n  backing-store /nonexistent/x\n</target>\n");
    CHECK(has(worst(m, check_target_side), "neither file nor device"));
}

TEST_CASE("who listens on a port is read from the tables of the kernel") {
    Machine m;
    CHECK(listener_of(m.dir.path(), 3260).empty());
    m.put("net/tcp", "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
                     "   0: 00000000:0CBC 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0\n"
                     "   1: 0100007F:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 100 0 0 10 0\n");
    m.put("12/comm", "istgt\n");
    REQUIRE(bool(make_folders(m.dir / "12/fd", 0700)));
    REQUIRE(::symlink("socket:[4711]", (m.dir / "12/fd/7").c_str()) == 0);
    CHECK(listener_of(m.dir.path(), 3260) == "istgt (pid 12)");
    CHECK(listener_of(m.dir.path(), 3261).empty());
    CHECK_FALSE(listener_of(m.dir.path(), 22).empty());             // somebody that cannot be seen
}

TEST_CASE("another program on a port that is asked about, or on the usual one") {
    struct Row { const char* word; const char* port; const char* says; };
    for (const Row& r : {Row{"192.0.2.1:3261", "0CBD", "port 3261 is taken by istgt (pid 12)"},
                         {"iscsi://192.0.2.1:3261/iqn.2026-01.test:x", "0CBD", "port 3261 is taken by istgt (pid 12)"},
                         {"iqn.2026-01.test:x", "0CBC", "port 3260 is taken by istgt (pid 12)"},
                         {"192.0.2.1:3261", "0CBC", "port 3260 is taken by istgt (pid 12)"},
                         {"192.0.2.1", "0CBD", "does not run, but targets.conf has 1 target"}}) {
        CAPTURE(r.word);
        CAPTURE(r.port);
        Machine m;
        m.put("store", "x");
        m.put("targets.conf", "<target iqn.2026-01.test:x>\n  backing-store " + (m.dir / "store") + "\n</target>\n");
        m.put("net/tcp", "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
                         "   0: 00000000:" + std::string(r.port) + " 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0\n");
        m.put("12/comm", "istgt\n");
        REQUIRE(bool(make_folders(m.dir / "12/fd", 0700)));
        REQUIRE(::symlink("socket:[4711]", (m.dir / "12/fd/7").c_str()) == 0);
        m.options.words = {r.word};
        State state;
        Report report;
        check_target_side(m.options, state, report);
        CAPTURE(worst(report));
        CHECK(has(worst(report), r.says));
    }
}

TEST_CASE("a login that failed tells which half of CHAP, which rule, which name") {
    struct Row { LoginFailure::Kind kind; LoginStatus status; const char *user, *target_user, *secret; const char* says; };
    using Kind = LoginFailure::Kind;
    const Row rows[] = {
        {Kind::refused, LoginStatus::authentication_failed, "", "", "", "wants CHAP, and there is no user"},
        {Kind::refused, LoginStatus::authentication_failed, "alice", "", "alicesecret12", "does not take CHAP user 'alice'"},
        {Kind::refused, LoginStatus::authentication_failed, "alice", "", "short", "of 5 bytes, RFC 7143 wants 12"},
        {Kind::refused, LoginStatus::authentication_failed, "alice", "", "a secret of more than 16", "at most 16"},
        {Kind::refused, LoginStatus::authentication_failed, "alice", "disks", "alicesecret12", "no outgoing account"},
        {Kind::refused, LoginStatus::authorization_failed, "alice", "", "alicesecret12", "may not log in"},
        {Kind::refused, LoginStatus::not_found, "", "", "", "hidden from iqn.2026-01.test:host by an ACL"},
        {Kind::refused, LoginStatus::service_unavailable, "", "", "", "refused"},
        {Kind::target_unproved, LoginStatus::success, "alice", "disks", "alicesecret12", "does not prove its own"},
        {Kind::security, LoginStatus::success, "", "", "", "no way to authenticate"},
        {Kind::negotiation, LoginStatus::success, "", "", "", "cannot agree"},
        {Kind::protocol, LoginStatus::success, "", "", "", "not what RFC 7143 says"},
    };
    for (const Row& r : rows) {
        CAPTURE(r.says);
        SessionEnd end;
        end.kind = SessionEnd::Kind::login;
        end.login.kind = r.kind;
        end.login.status = r.status;
        initiator::LoginSettings used;
        used.offers.initiator_name = "iqn.2026-01.test:host";
        used.chap.account = {r.user, Secret(r.secret)};
        used.chap.target_account.user = r.target_user;
        Report report;
        report_login(report, end, used, "iqn.2026-01.test:disk1", "192.0.2.1:3260", false);
        REQUIRE(report.findings().size() == 1);
        CAPTURE(worst(report));
        CHECK(has(worst(report), r.says));
        CHECK(report.count(Level::fail) == 1);
        if (*r.secret) CHECK_FALSE(has(worst(report) + report.findings()[0].fix, r.secret));
        Report of_url;
        report_login(of_url, end, used, "iqn.2026-01.test:disk1", "192.0.2.1:3260", true);
        CHECK(has(worst(of_url), r.says));
        CHECK_FALSE(has(of_url.findings()[0].fix, "-o update"));           // there may be no record of it
    }
}

TEST_CASE("a program's output is waited for, but not for ever") {
    const char* const echo[] = {"/bin/echo", "hello", nullptr};
    CHECK(output_of(echo, 5000).value_or("") == "hello\n");
    const char* const fails[] = {"/bin/false", nullptr};
    CHECK_FALSE(output_of(fails, 5000));
    const char* const missing[] = {"/nonexistent", nullptr};
    CHECK_FALSE(output_of(missing, 5000));
    const char* const hangs[] = {"/bin/sleep", "1000", nullptr};
    CHECK_FALSE(output_of(hangs, 50));
}

TEST_CASE("findings hold no control characters of others") {
    Report report;
    report.warn("what").found("%s", "a\033[2Jb").mend("fix");
    CHECK(report.findings()[0].finding == "a?[2Jb");
}
