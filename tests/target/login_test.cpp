// Logging in: both stages, what is refused and with which status, and a session that takes the place of an older one.
#include <algorithm>

#include "tests/support/target_harness.h"

using namespace iscsi;
using namespace iscsi::target;
using wire::LoginRequest;
using wire::LoginResponse;
using wire::LoginStatus;
using wire::Stage;

namespace {

bool has_key(const std::string& text, const std::string& pair) { return ('\0' + text).find('\0' + pair + '\0') != std::string::npos; }

uint16_t status_of(RawClient& c) { return uint16_t(c.expect<LoginResponse>().status); }

}  // namespace

TEST_CASE("a login in both stages") {
    TestTarget t;
    RawClient c(t);
    c.send_text(c.login_header(Stage::security, Stage::operational),
                text_of({"InitiatorName=iqn.2026-01.example:i", "SessionType=Normal", std::string("TargetName=") + target_iqn, "AuthMethod=None"}));
    std::vector<uint8_t> data;
    auto r = c.expect<LoginResponse>(&data);
    CHECK(uint16_t(r.status) == 0);
    CHECK((r.flags & LoginResponse::transit_bit));
    CHECK(int(r.csg()) == int(Stage::security));
    CHECK(int(r.nsg()) == int(Stage::operational));
    CHECK(uint16_t(r.tsih) == 0);
    CHECK(has_key({data.begin(), data.end()}, "AuthMethod=None"));
    CHECK(has_key({data.begin(), data.end()}, "TargetPortalGroupTag=1"));
    c.send_text(c.login_header(Stage::operational, Stage::full_feature), text_of({"MaxBurstLength=16384", "X-unknown=1"}));
    r = c.expect<LoginResponse>(&data);
    CHECK((r.flags & LoginResponse::transit_bit));
    CHECK(int(r.nsg()) == int(Stage::full_feature));
    CHECK(uint16_t(r.tsih) != 0);
    CHECK(has_key({data.begin(), data.end()}, "MaxBurstLength=16384"));
    CHECK(has_key({data.begin(), data.end()}, "X-unknown=NotUnderstood"));
    CHECK(t.directory.sessions.size() == 1);
}

TEST_CASE("login text in pieces (C bit)") {
    TestTarget t;
    RawClient c(t);
    const std::string text = text_of({"InitiatorName=iqn.2026-01.example:i", "SessionType=Normal", std::string("TargetName=") + target_iqn});
    auto h = c.login_header(Stage::operational, Stage::full_feature, false);
    h.flags |= LoginRequest::continue_bit;
    for (size_t i = 0; i < text.size() - 1; i += 7) {
        c.send_text(h, text.substr(i, std::min<size_t>(7, text.size() - 1 - i)));
        std::vector<uint8_t> data;
        auto r = c.expect<LoginResponse>(&data);
        CHECK(uint16_t(r.status) == 0);
        CHECK(!(r.flags & (LoginResponse::transit_bit | LoginResponse::continue_bit)));
        CHECK(data.empty());
    }
    c.send_text(c.login_header(Stage::operational, Stage::full_feature), text.substr(text.size() - 1));
    auto r = c.expect<LoginResponse>();
    CHECK(uint16_t(r.status) == 0);
    CHECK((r.flags & LoginResponse::transit_bit));
}

TEST_CASE("logins that are refused, with their status") {
    struct Row { const char* what; std::vector<std::string> keys; LoginStatus status; };
    const std::string initiator = "InitiatorName=iqn.2026-01.example:i", name = std::string("TargetName=") + target_iqn;
    for (const Row& row : std::initializer_list<Row>{
             {"no InitiatorName", {name}, LoginStatus::missing_parameter},
             {"no TargetName", {initiator}, LoginStatus::missing_parameter},
             {"no such target", {initiator, "TargetName=iqn.2026-01.example:none"}, LoginStatus::not_found},
             {"session type", {initiator, name, "SessionType=Odd"}, LoginStatus::session_type_unsupported},
             {"a key twice", {initiator, name, "MaxBurstLength=8192", "MaxBurstLength=8192"}, LoginStatus::initiator_error},
             {"not the initiator's key", {initiator, name, "TargetAlias=x"}, LoginStatus::initiator_error},
             {"a key without =", {initiator, name, "Nonsense"}, LoginStatus::initiator_error},
             {"declaration out of range", {initiator, name, "MaxRecvDataSegmentLength=1"}, LoginStatus::initiator_error},
             {"a name too long", {"InitiatorName=iqn." + std::string(230, 'x'), name}, LoginStatus::initiator_error},
             {"SendTargets", {initiator, name, "SendTargets=All"}, LoginStatus::initiator_error},
         }) {
        CAPTURE(std::string(row.what));
        TestTarget t;
        RawClient c(t);
        std::string text;
        for (const auto& key : row.keys) text += key + '\0';
        c.send_text(c.login_header(Stage::operational, Stage::full_feature), text);
        std::vector<uint8_t> data;
        auto r = c.expect<LoginResponse>(&data);
        CHECK(int(r.status) == int(row.status));
        CHECK(!(r.flags & LoginResponse::transit_bit));
        CHECK(data.empty());
        CHECK(c.closed());
        CHECK(t.directory.sessions.size() == 0);
    }
}

TEST_CASE("Login Requests with impossible headers") {
    struct Row { const char* what; void (*spoil)(LoginRequest&); LoginStatus status; };
    for (const Row& row : std::initializer_list<Row>{
             {"version", [](LoginRequest& r) { r.version_min = r.version_max = 1; }, LoginStatus::unsupported_version},
             {"T and C", [](LoginRequest& r) { r.flags |= LoginRequest::continue_bit; }, LoginStatus::initiator_error},
             {"CSG 2", [](LoginRequest& r) { r.flags = 0x80 | 2 << 2 | 3; }, LoginStatus::initiator_error},
             {"CSG 3", [](LoginRequest& r) { r.flags = 0x80 | 3 << 2 | 3; }, LoginStatus::initiator_error},
             {"NSG 2", [](LoginRequest& r) { r.flags = 0x80 | 1 << 2 | 2; }, LoginStatus::initiator_error},
             {"backwards", [](LoginRequest& r) { r.flags = 0x80 | 1 << 2 | 0; }, LoginStatus::initiator_error},
             {"not immediate", [](LoginRequest& r) { r.opcode = 3; }, LoginStatus::initiator_error},
             {"a TSIH nobody has", [](LoginRequest& r) { r.tsih = 0x7777; }, LoginStatus::session_does_not_exist},
         }) {
        CAPTURE(std::string(row.what));
        TestTarget t;
        RawClient c(t);
        auto h = c.login_header(Stage::operational, Stage::full_feature);
        row.spoil(h);
        c.send_text(h, text_of({"InitiatorName=iqn.2026-01.example:i", std::string("TargetName=") + target_iqn}));
        CHECK(int(status_of(c)) == int(row.status));
        CHECK(c.closed());
    }
}

TEST_CASE("what may not change during a login") {
    struct Row { const char* what; void (*spoil)(LoginRequest&); };
    for (const Row& row : std::initializer_list<Row>{
             {"ISID", [](LoginRequest& r) { r.isid[5] ^= 1; }}, {"TSIH", [](LoginRequest& r) { r.tsih = 1; }},
             {"CID", [](LoginRequest& r) { r.cid = 9; }}, {"ITT", [](LoginRequest& r) { r.itt = 99; }},
             {"the stage, unasked", [](LoginRequest& r) { r.flags = 0x80 | 1 << 2 | 3; }},
         }) {
        CAPTURE(std::string(row.what));
        TestTarget t;
        RawClient c(t);
        c.send_text(c.login_header(Stage::security, Stage::security, false),
                    text_of({"InitiatorName=iqn.2026-01.example:i", std::string("TargetName=") + target_iqn}));
        CHECK(status_of(c) == 0);
        auto h = c.login_header(Stage::security, Stage::operational);
        row.spoil(h);
        c.send(h);
        CHECK(int(status_of(c)) == int(LoginStatus::initiator_error));
        CHECK(c.closed());
    }
}

TEST_CASE("anything but a Login Request before the login ends the connection") {
    for (uint8_t opcode : {0x00, 0x01, 0x02, 0x04, 0x05, 0x06, 0x10, 0x23, 0x3f, 0x1c}) {
        CAPTURE(int(opcode));
        TestTarget t;
        RawClient c(t);
        wire::Bhs h;
        h.opcode = opcode;
        c.send(h);
        CHECK(c.closed());
    }
    TestTarget t;
    RawClient c(t);
    auto h = c.login_header(Stage::operational, Stage::full_feature);
    std::vector<uint8_t> bytes(48);
    h.data_segment_length = 8193;
    std::memcpy(bytes.data(), &h, 48);
    c.send_raw(bytes);
    CHECK(c.closed());                      // longer than any login PDU may be: not even read
}

TEST_CASE("who is not admitted: ACL, offline, deleted, redirected") {
    TestTarget t;
    SUBCASE("by name") {
        t.target->change([](TargetConfig& c) { c.acl = {}; c.acl.add_name("iqn.2026-01.example:other"); });
        RawClient c(t);
        CHECK(c.login() == uint16_t(LoginStatus::not_found));
        RawClient good(t);
        good.initiator = "iqn.2026-01.example:other";
        CHECK(good.login() == 0);
    }
    SUBCASE("by address") {
        t.target->change([](TargetConfig& c) { c.acl = {}; c.acl.add_address("192.0.2.0/24"); });
        RawClient c(t);
        CHECK(c.login() == uint16_t(LoginStatus::not_found));
    }
    SUBCASE("offline") {
        t.target->change([](TargetConfig& c) { c.ready = false; });
        RawClient c(t);
        CHECK(c.login() == uint16_t(LoginStatus::target_error));
    }
    SUBCASE("deleted") {
        t.add_target(2, "iqn.2026-01.example:second");
        t.directory.remove(1);
        RawClient c(t);
        CHECK(c.login() == uint16_t(LoginStatus::not_found));
    }
    SUBCASE("the system is offline") {
        t.directory.state = SystemState::offline;
        RawClient c(t);
        CHECK(c.closed());
    }
    SUBCASE("redirected") {
        for (bool permanent : {false, true}) {
            t.target->change([&](TargetConfig& c) { c.redirect = {"2001:db8::1", "3261", permanent ? "Permanent" : "Temporary", ""}; });
            RawClient c(t);
            CHECK(c.login() == uint16_t(permanent ? LoginStatus::moved_permanently : LoginStatus::moved_temporarily));
            CHECK(has_key(c.answers, "TargetAddress=[2001:db8::1]:3261"));
            CHECK(c.closed());
        }
    }
    SUBCASE("no account") {
        REQUIRE(t.directory.add_account("alice", Secret("secret secret secret")));
        t.target->change([](TargetConfig& c) { c.incoming_users = {"alice"}; });
        RawClient c(t);
        CHECK(c.login() == uint16_t(LoginStatus::authentication_failed));
    }
}

TEST_CASE("a login that takes too long, and one that never starts") {
    ServerOptions options;
    options.login_timeout_s = 0;
    TestTarget t(options);
    RawClient silent(t);
    CHECK(silent.closed());
    CHECK(t.server->connections() == 0);
}

// ---- session reinstatement

TEST_CASE("the same I_T nexus: the old session is gone before the new one is admitted") {
    TestTarget t;
    RawClient old(t);
    old.enter();
    old.hung_write();
    RawClient fresh(t);
    auto h = fresh.login_header(Stage::operational, Stage::full_feature);
    fresh.send_text(h, text_of({"InitiatorName=" + old.initiator, std::string("TargetName=") + target_iqn}));
    CHECK(old.closed());
    CHECK(fresh.quiet());                       // its write is on its way to the disk still
    CHECK(t.directory.sessions.size() == 1);
    t.store->release();
    auto r = fresh.expect<LoginResponse>();
    CHECK(uint16_t(r.status) == 0);
    CHECK(uint16_t(r.tsih) != 0);
    CHECK(t.directory.sessions.size() == 1);
    CHECK(t.server->connections() == 1);
}

TEST_CASE("another ISID, name or target is another session; a TSIH asks for a second connection, which there is not") {
    TestTarget t;
    t.add_target(2, "iqn.2026-01.example:second");
    RawClient a(t), b(t), c(t), d(t);
    REQUIRE(a.login() == 0);
    b.isid++;
    c.initiator += "2";
    d.target_name = "iqn.2026-01.example:second";
    CHECK(b.login() == 0);
    CHECK(c.login() == 0);
    CHECK(d.login() == 0);
    CHECK(t.directory.sessions.size() == 4);
    RawClient second(t);
    second.tsih = a.tsih;
    second.cid = 2;
    CHECK(second.login() == uint16_t(LoginStatus::too_many_connections));
    RawClient stranger(t);
    stranger.tsih = a.tsih;
    stranger.isid += 9;
    CHECK(stranger.login() == uint16_t(LoginStatus::session_does_not_exist));
    CHECK(a.quiet());
}

TEST_CASE("a login whose place is waited for may go away, or wait in vain") {
    ServerOptions options;
    TestTarget t(options);
    RawClient old(t);
    old.enter();
    old.hung_write();
    {
        RawClient fresh(t);
        fresh.send_text(fresh.login_header(Stage::operational, Stage::full_feature),
                        text_of({"InitiatorName=" + old.initiator, std::string("TargetName=") + target_iqn}));
        CHECK(old.closed());
    }
    t.turn();
    t.store->release();
    CHECK(t.until([&] { return t.directory.sessions.size() == 0; }));
    CHECK(t.until([&] { return t.server->connections() == 0; }));
}
