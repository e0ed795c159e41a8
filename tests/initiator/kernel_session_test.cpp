#include <doctest/doctest.h>

#include "core/base/log.h"
#include "core/initiator/kernel_initiator.h"
#include "tests/support/fake_kernel.h"
#include "tests/support/portal.h"

using namespace iscsi;
using namespace iscsi::initiator;
using kernel::Request;

namespace {

using namespace std::string_view_literals;
constexpr std::string_view tgtd_answer =
    "TargetPortalGroupTag=1\0HeaderDigest=None\0DataDigest=None\0DefaultTime2Wait=2\0DefaultTime2Retain=0\0"
    "ErrorRecoveryLevel=0\0InitialR2T=Yes\0ImmediateData=Yes\0MaxBurstLength=262144\0FirstBurstLength=65536\0"
    "MaxOutstandingR2T=1\0MaxConnections=1\0DataPDUInOrder=Yes\0DataSequenceInOrder=Yes\0MaxRecvDataSegmentLength=8192\0"sv;

struct Rig {
    std::unique_ptr<io::Loop> loop = std::move(*io::Loop::create());
    test::TempTree tree;
    kernel::Sysfs sysfs{tree.root(), tree.root()};
    test::FakeKernel* fake = new test::FakeKernel;
    kernel::Transport transport{std::unique_ptr<kernel::Channel>(fake), 0};
    // A "second" of 25 ms: nothing here waits for a real one.
    KernelInitiator engine{*loop, transport, sysfs, Pace{25, 5, 1000}};
    test::Listener listener;
    const uint16_t port = listener.port;
    wire::LoginStatus status = wire::LoginStatus::success;
    bool silent = false;
    InitiatorError result = InitiatorError::internal;
    bool answered = false;
    uint32_t sid = 0;

    Rig() {
        log::open("test", log::Sink::quiet, log::Level::debug);
        tree.file("class/iscsi_transport/tcp/handle", "4711");
        tree.file("module/crc32c_generic/refcnt", "1");
        REQUIRE(bool(engine.start()));
        fake->on_pdu = [this](test::FakeKernel& k, const test::FakeKernel::Call& c) { answer(k, c); };
    }
    void answer(test::FakeKernel& k, const test::FakeKernel::Call& c) {
        if (silent) return;
        if ((c.pdu[0] & 0x3f) == 0x06) {
            wire::LogoutResponsePdu r;
            r.time2wait = 0;
            return k.pdu(c.sid, r, "");
        }
        wire::LoginResponse r;
        r.flags = 0x87;
        std::memcpy(r.isid, &c.pdu[8], 6);
        r.itt = 0x12345678;             // the kernel's own tag
        r.stat_sn = 41;
        r.status = uint16_t(status);
        if (status != wire::LoginStatus::success) r.flags = 0;
        else r.tsih = 1;
        k.pdu(c.sid, r, status == wire::LoginStatus::success ? tgtd_answer : "");
    }
    SessionSettings settings() {
        SessionSettings s;
        s.target_name = "iqn.2026-01.org.example:disk1";
        s.initiator_name = "iqn.2026-01.org.example:host";
        s.address = "127.0.0.1";
        s.port = port;
        s.scan = false;
        s.login_timeout = 4;
        s.login_retry_max = 0;
        return s;
    }
    void start(SessionSettings s) {
        engine.login(std::move(s), false, 0, [this](InitiatorError e, const std::string&, uint32_t id, int) {
            result = e;
            sid = id;
            answered = true;
        });
    }
    template <class Condition>
    bool until(Condition c) {
        for (int i = 0; i < 2000 && !c(); i++) {
            loop->run_once(5);
            transport.poll(0);
        }
        return c();
    }
    void login() {
        start(settings());
        REQUIRE(until([&] { return answered; }));
        REQUIRE(result == InitiatorError::none);
    }
};

}  // namespace

TEST_CASE("a login makes open-iscsi's calls in open-iscsi's order") {
    Rig r;
    r.login();
    std::string order;
    for (const auto& c : r.fake->calls) {
        if (c.type == Request::set_param) order += std::to_string(c.param) + " ";
        else order += "[" + std::to_string(unsigned(c.type)) + "] ";
    }
    CHECK(order == "[11] [13] [15] 15 17 18 19 26 27 28 35 30 31 32 34 43 [19] 0 1 2 3 4 5 6 7 8 9 10 11 14 16 [17] ");
    CHECK(r.sid == 1);
    KernelSession* s = r.engine.find(1);
    REQUIRE(s);
    CHECK(std::string(text(s->connection())) == "LOGGED IN");
    CHECK(std::string(text(s->work())) == "NO CHANGE");
    auto value = [&](uint32_t p) {
        for (const auto& c : r.fake->calls)
            if (c.type == Request::set_param && c.param == p) return c.value;
        return std::string("-");
    };
    CHECK(value(1) == "8192");
    CHECK(value(4) == "1");
    CHECK(value(7) == "65536");
    CHECK(value(14) == "42");
    // The ISID carries the kernel's session number, so that whoever adopts the session derives it again.
    for (const auto& c : r.fake->calls)
        if (c.type == Request::send_pdu) CHECK(c.pdu[13] == 1);
}

TEST_CASE("the same portal twice is refused, twice on purpose is not") {
    Rig r;
    r.login();
    r.answered = false;
    r.start(r.settings());
    CHECK(r.answered);
    CHECK(r.result == InitiatorError::session_exists);
    r.answered = false;
    r.engine.login(r.settings(), true, 0, [&](InitiatorError e, const std::string&, uint32_t id, int) {
        r.answered = true;
        r.result = e;
        r.sid = id;
    });
    REQUIRE(r.until([&] { return r.answered; }));
    CHECK(r.result == InitiatorError::none);
    CHECK(r.sid == 2);
}

TEST_CASE("a refused login leaves nothing in the kernel and has open-iscsi's number") {
    struct Row { wire::LoginStatus status; InitiatorError expect; };
    for (const Row& row : {Row{wire::LoginStatus::not_found, InitiatorError::fatal_login},
                           {wire::LoginStatus::authentication_failed, InitiatorError::login_auth_failed},
                           {wire::LoginStatus::authorization_failed, InitiatorError::login_auth_failed},
                           {wire::LoginStatus::target_removed, InitiatorError::fatal_login},
                           {wire::LoginStatus::out_of_resources, InitiatorError::login}}) {
        Rig r;
        r.status = row.status;
        r.start(r.settings());
        CAPTURE(int(row.status));
        REQUIRE(r.until([&] { return r.answered; }));
        CHECK(r.result == row.expect);
        CHECK(r.fake->count(Request::create_session) == r.fake->count(Request::destroy_session));
        CHECK(r.fake->count(Request::destroy_connection) == r.fake->count(Request::destroy_session));
        r.loop->run_once(0);
        CHECK(r.engine.sessions().empty());
    }
}

TEST_CASE("a silent target costs the login time-out, a dead port nothing in the kernel") {
    Rig r;
    r.silent = true;
    r.start(r.settings());
    REQUIRE(r.until([&] { return r.answered; }));
    CHECK(r.result == InitiatorError::pdu_timeout);
    CHECK(r.fake->count(Request::destroy_session) == 1);

    Rig dead;
    auto s = dead.settings();
    dead.listener.fd.reset();
    s.login_retry_max = 1;
    s.login_timeout = 1;
    dead.start(s);
    REQUIRE(dead.until([&] { return dead.answered; }));
    CHECK(dead.result == InitiatorError::transport_timeout);
    CHECK(dead.fake->calls.empty());
}

TEST_CASE("a time limit of who asks ends a login") {
    Rig r;
    r.silent = true;
    auto s = r.settings();
    s.login_retry_max = 1000;
    r.engine.login(s, false, 60, [&](InitiatorError e, const std::string&, uint32_t, int) {
        r.answered = true;
        r.result = e;
    });
    REQUIRE(r.until([&] { return r.answered; }));
    CHECK(r.result == InitiatorError::transport_timeout);
    CHECK(r.fake->count(Request::create_session) == r.fake->count(Request::destroy_session));
}

TEST_CASE("a lost connection is stopped, logged in again and started, however often it takes") {
    Rig r;
    r.login();
    r.silent = true;                    // the first attempts get no answer
    r.fake->calls.clear();
    r.fake->event(kernel::EventKind::connection_error, 1, 1020);
    r.transport.poll(0);
    KernelSession* s = r.engine.find(1);
    CHECK(std::string(text(s->connection())) == "TRANSPORT WAIT");
    CHECK(std::string(text(s->work())) == "REOPEN");
    CHECK(!r.engine.settled());
    REQUIRE(r.fake->calls.size() == 1);
    CHECK(r.fake->calls[0].type == Request::stop_connection);
    CHECK(r.fake->calls[0].flag == 3);
    r.fake->event(kernel::EventKind::connection_error, 1, 1020);       // late news of the old connection
    r.transport.poll(0);
    CHECK(r.fake->calls.size() == 1);
    REQUIRE(r.until([&] { return r.fake->count(Request::stop_connection) >= 3; }));
    r.silent = false;
    r.status = wire::LoginStatus::not_found;    // the target is back, its configuration is not yet
    REQUIRE(r.until([&] { return r.fake->count(Request::stop_connection) >= 5; }));
    r.status = wire::LoginStatus::success;
    REQUIRE(r.until([&] { return r.engine.settled(); }));
    CHECK(r.fake->count(Request::create_session) == 0);
    CHECK(r.fake->count(Request::destroy_session) == 0);
    CHECK(r.fake->calls.back().type == Request::start_connection);
}

TEST_CASE("logout: devices, logout, stop, connection, session") {
    Rig r;
    r.login();
    r.fake->calls.clear();
    InitiatorError result = InitiatorError::internal;
    r.engine.logout(1, false, [&](InitiatorError e, const std::string&) { result = e; });
    REQUIRE(r.until([&] { return r.engine.sessions().empty(); }));
    CHECK(result == InitiatorError::none);
    std::string order;
    for (const auto& c : r.fake->calls) order += std::to_string(unsigned(c.type)) + " ";
    CHECK(order == "27 19 18 14 12 ");
    r.engine.logout(1, false, [&](InitiatorError e, const std::string&) { result = e; });
    CHECK(result == InitiatorError::session_not_connected);
}

TEST_CASE("logout ends though the target and the devices do not answer") {
    Rig r;
    r.login();
    r.silent = true;
    r.fake->gone_devices = false;
    bool done = false;
    r.engine.logout(1, false, [&](InitiatorError, const std::string&) { done = true; });
    REQUIRE(r.until([&] { return done; }));
    CHECK(r.fake->count(Request::destroy_session) == 1);
    // And while the connection is down.
    Rig down;
    down.login();
    down.silent = true;
    down.fake->event(kernel::EventKind::connection_error, 1, 1020);
    down.transport.poll(0);
    done = false;
    down.engine.logout(1, false, [&](InitiatorError, const std::string&) { done = true; });
    CHECK(done);
    CHECK(down.fake->count(Request::destroy_session) == 1);
}

TEST_CASE("the target's asynchronous messages") {
    SUBCASE("logout requested: logout, then login again") {
        Rig r;
        r.login();
        r.fake->calls.clear();
        wire::AsyncMessage m;
        m.async_event = uint8_t(wire::AsyncEvent::logout_request);
        m.parameter3 = 10;
        r.fake->pdu(1, m, "");
        REQUIRE(r.until([&] { return r.fake->count(Request::start_connection) == 1; }));
        CHECK(r.fake->calls[0].type == Request::send_pdu);
        CHECK((r.fake->calls[0].pdu[0] & 0x3f) == 0x06);
        CHECK(r.fake->calls[1].flag == 3);
        CHECK(r.engine.settled());
    }
    SUBCASE("connection dropped: reconnect after Time2Wait") {
        Rig r;
        r.login();
        r.fake->calls.clear();
        wire::AsyncMessage m;
        m.async_event = uint8_t(wire::AsyncEvent::drop_all_connections);
        m.parameter2 = 1;
        r.fake->pdu(1, m, "");
        REQUIRE(r.until([&] { return r.fake->count(Request::start_connection) == 1; }));
        CHECK(r.fake->calls[0].type == Request::stop_connection);
    }
}

TEST_CASE("a redirection loop ends") {
    Rig r;
    r.fake->on_pdu = [&](test::FakeKernel& k, const test::FakeKernel::Call& c) {
        wire::LoginResponse p;
        std::memcpy(p.isid, &c.pdu[8], 6);
        p.status = uint16_t(wire::LoginStatus::moved_temporarily);
        std::string where = "TargetAddress=127.0.0.1:" + std::to_string(r.port) + ",1";
        k.pdu(c.sid, p, std::string_view(where.c_str(), where.size() + 1));
    };
    r.start(r.settings());
    REQUIRE(r.until([&] { return r.answered; }));
    CHECK(r.result == InitiatorError::fatal_login);
    CHECK(r.fake->count(Request::create_session) < 20);
    CHECK(r.fake->count(Request::create_session) == r.fake->count(Request::destroy_session));
}

TEST_CASE("sessions found in the kernel: those that run are left alone, others are logged in again") {
    Rig r;
    for (const char* n : {"5", "6"}) {
        std::string dir = std::string("class/iscsi_session/session") + n;
        r.tree.folder(std::string("devices/host") + n + "/session" + n);
        r.tree.link(dir + "/device", std::string("devices/host") + n + "/session" + n);
        r.tree.file(dir + "/targetname", std::string("iqn.2026-01.org.example:d") + n);
        r.tree.file(dir + "/initiatorname", "iqn.2026-01.org.example:host");
        if (*n == '5') r.tree.file(dir + "/username", "alice");
        r.tree.file(dir + "/password", "secretsecret");
        r.tree.file(std::string("class/iscsi_connection/connection") + n + ":0/recv_tmo", "7");
        r.tree.file(dir + "/state", *n == '5' ? "LOGGED_IN\n" : "FAILED\n");
        std::string connection = std::string("class/iscsi_connection/connection") + n + ":0";
        r.tree.file(connection + "/persistent_address", "127.0.0.1");
        r.tree.file(connection + "/persistent_port", std::to_string(r.port));
        r.tree.file(connection + "/state", *n == '5' ? "up" : "failed");
    }
    auto settings = [&](const kernel::SessionInfo& s) {
        return settings_from_kernel(s, r.sysfs, config::Record(config::Kind::node), "host");
    };
    r.engine.adopt(settings);
    REQUIRE(r.engine.find(5));
    REQUIRE(r.engine.find(6));
    CHECK(r.engine.find(5)->logged_in());
    REQUIRE(r.until([&] { return r.engine.find(6)->logged_in(); }));
    for (const auto& c : r.fake->calls) CHECK(c.sid == 6);
    CHECK(r.fake->count(Request::create_session) == 0);
    CHECK(r.engine.find(5)->settings().chap.account.user == "alice");
    CHECK(r.engine.find(5)->settings().ping_interval == 7);
    r.engine.adopt(settings);
    CHECK(r.engine.sessions().size() == 2);
}

TEST_CASE("sixty dead portals do not delay a live one") {
    Rig r;
    int failed = 0;
    for (int i = 0; i < 60; i++) {
        auto s = r.settings();
        s.target_name += std::to_string(i);
        s.address = "192.0.2.1";        // TEST-NET: no answer, or no route
        s.login_timeout = 40;
        r.engine.login(s, false, 0, [&](InitiatorError, const std::string&, uint32_t, int) { failed++; });
    }
    uint64_t before = io::Loop::clock_ms();
    r.start(r.settings());
    REQUIRE(r.until([&] { return r.answered; }));
    CHECK(r.result == InitiatorError::none);
    CHECK(io::Loop::clock_ms() - before < 1000);
}
