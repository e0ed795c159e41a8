// The target over loopback: login and its refusals, discovery, text, the command window, logout, attributes, the end.
#include <algorithm>
#include <sys/resource.h>

#include "core/scsi/disk.h"
#include "core/store/memory.h"
#include "tests/support/target_harness.h"

using namespace iscsi;
using namespace iscsi::target;
using wire::LoginRequest;
using wire::LoginResponse;
using wire::LoginStatus;
using wire::NopIn;
using wire::NopOut;
using wire::RejectReason;
using wire::ScsiResponse;
using wire::Stage;
using wire::TextRequest;
using wire::TextResponse;

namespace {

bool has_key(const std::string& text, const std::string& pair) { return ('\0' + text).find('\0' + pair + '\0') != std::string::npos; }

TextRequest text_header(RawClient& c, bool final = true, uint32_t ttt = wire::reserved_tag) {
    TextRequest t;
    t.flags = final ? wire::final_bit : 0;
    t.opcode |= wire::immediate_bit;
    t.itt = c.itt;
    t.ttt = ttt;
    t.cmd_sn = c.cmd_sn;
    return t;
}

std::string ask(RawClient& c, const std::string& what) {
    c.itt++;
    c.send_text(text_header(c), "SendTargets=" + what + '\0');
    std::vector<uint8_t> data;
    auto r = c.expect<TextResponse>(&data);
    CHECK((r.flags & wire::final_bit));
    CHECK(uint32_t(r.ttt) == wire::reserved_tag);
    return {data.begin(), data.end()};
}

uint16_t status_of(RawClient& c) { return uint16_t(c.expect<LoginResponse>().status); }

NopOut ping(RawClient& c) {
    NopOut n;
    n.opcode |= wire::immediate_bit;
    n.itt = c.itt++;
    n.ttt = wire::reserved_tag;
    n.cmd_sn = c.cmd_sn;
    return n;
}

}  // namespace

// ---- login

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

TEST_CASE("connections are limited, and their places come back") {
    ServerOptions options;
    options.max_connections = 3;
    TestTarget t(options);
    {
        RawClient a(t), b(t), c(t);
        t.until([&] { return t.server->connections() == 3; });
        RawClient d(t);
        CHECK(d.closed());
        CHECK(a.login() == 0);
    }
    CHECK(t.until([&] { return t.server->connections() == 0; }));
    RawClient again(t);
    CHECK(again.login() == 0);
}

// ---- session reinstatement

TEST_CASE("the same I_T nexus: the old session is gone before the new one is admitted") {
    TestTarget t;
    RawClient old(t);
    REQUIRE(old.login() == 0);
    old.drop_attentions();
    t.store->cold = true;
    t.store->hang();
    old.send(old.write(0, 1), std::vector<uint8_t>(512, 0xaa));
    REQUIRE(t.until([&] { return t.store->stuck > 0; }));
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
    REQUIRE(old.login() == 0);
    old.drop_attentions();
    t.store->cold = true;
    t.store->hang();
    old.send(old.write(0, 1), std::vector<uint8_t>(512));
    REQUIRE(t.until([&] { return t.store->stuck > 0; }));
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

// ---- discovery and text

TEST_CASE("SendTargets") {
    TestTarget t;
    t.add_target(2, "iqn.2026-01.example:second");
    t.target->change([](TargetConfig& c) { c.limits.portal_group_tag = 7; });
    RawClient c(t);
    REQUIRE(c.discovery() == 0);
    const std::string address = "TargetAddress=127.0.0.1:" + std::to_string(t.port);
    const std::string first = text_of({std::string("TargetName=") + target_iqn, address + ",7"}),
                      second = text_of({"TargetName=iqn.2026-01.example:second", address + ",1"});
    CHECK(ask(c, "All") == first + second);
    CHECK(ask(c, target_iqn) == first);
    CHECK(ask(c, "iqn.2026-01.example:second") == second);
    CHECK(ask(c, "iqn.2026-01.example:none") == "");
    CHECK(ask(c, "") == "");
    // A normal session: its own target only.
    RawClient n(t);
    REQUIRE(n.login() == 0);
    CHECK(ask(n, "") == first);
    CHECK(ask(n, target_iqn) == first);
    CHECK(ask(n, "All") == text_of({"SendTargets=Reject"}));
    CHECK(ask(n, "iqn.2026-01.example:second") == "");
}

TEST_CASE("targets are hidden from whom their ACL does not admit") {
    TestTarget t;
    t.add_target(2, "iqn.2026-01.example:second")->change([](TargetConfig& c) { c.acl = {}; });
    RawClient c(t);
    REQUIRE(c.discovery() == 0);
    CHECK(ask(c, "All").find("second") == std::string::npos);
    CHECK(ask(c, "iqn.2026-01.example:second") == "");
}

TEST_CASE("a long list goes in pieces of the initiator's size") {
    TestTarget t;
    std::string want = "TargetName=" + std::string(target_iqn) + '\0' + "TargetAddress=127.0.0.1:" + std::to_string(t.port) + ",1" + '\0';
    for (int i = 2; i < 60; i++) {
        std::string name = "iqn.2026-01.example:disk-number-" + std::to_string(i);
        t.add_target(i, name);
        want += text_of({"TargetName=" + name, "TargetAddress=127.0.0.1:" + std::to_string(t.port) + ",1"});
    }
    RawClient c(t);
    c.session_type = "Discovery";
    REQUIRE(c.login({"MaxRecvDataSegmentLength=512"}) == 0);
    c.send_text(text_header(c), text_of({"SendTargets=All"}));
    std::string got;
    for (;;) {
        std::vector<uint8_t> data;
        auto r = c.expect<TextResponse>(&data);
        CHECK(data.size() <= 512);
        got.append(data.begin(), data.end());
        if (r.flags & wire::final_bit) break;
        CHECK((r.flags & TextResponse::continue_bit));
        CHECK(uint32_t(r.ttt) != wire::reserved_tag);
        c.send(text_header(c, true, r.ttt));
    }
    CHECK(got == want);
}

TEST_CASE("text requests against the rules are rejected and the session stays") {
    TestTarget t;
    RawClient c(t);
    REQUIRE(c.discovery() == 0);
    auto both = text_header(c);
    both.flags |= TextRequest::continue_bit;
    c.send_text(both, text_of({"SendTargets=All"}));
    CHECK(int(c.expect<wire::Reject>().reason) == int(RejectReason::protocol_error));
    c.send(text_header(c, true, 0x1234));               // a TTT nobody gave
    CHECK(int(c.expect<wire::Reject>().reason) == int(RejectReason::protocol_error));
    c.send_text(text_header(c), "no equals sign");
    CHECK(int(c.expect<wire::Reject>().reason) == int(RejectReason::protocol_error));
    c.send_text(text_header(c), text_of({"InitiatorName=iqn.x"}));
    CHECK(int(c.expect<wire::Reject>().reason) == int(RejectReason::protocol_error));
    CHECK(ask(c, "All").size() > 10);
    // A request that never ends.
    std::vector<uint8_t> junk(8192, 'a');
    uint32_t ttt = wire::reserved_tag;
    for (int i = 0;; i++) {
        REQUIRE(i < 20);
        auto h = text_header(c, false, ttt);
        h.flags = TextRequest::continue_bit;
        c.send(h, junk);
        auto pdu = c.receive();
        REQUIRE(pdu);
        if (pdu->op() == wire::Opcode::reject) break;
        ttt = pdu->as<TextResponse>().ttt;
    }
    CHECK(ask(c, "All").size() > 10);
}

TEST_CASE("a discovery session does nothing else, and not for ever") {
    ServerOptions options;
    TestTarget t(options);
    RawClient c(t);
    REQUIRE(c.discovery() == 0);
    c.send(c.command({0}));
    CHECK(int(c.expect<wire::Reject>().reason) == int(RejectReason::protocol_error));
    c.send(c.tmf(wire::TmfFunction::target_cold_reset));
    CHECK(int(c.expect<wire::Reject>().reason) == int(RejectReason::protocol_error));
    c.send(ping(c));
    c.expect<NopIn>();
    ServerOptions hasty;
    hasty.discovery_timeout_s = 0;
    TestTarget h(hasty);
    RawClient idle(h);
    REQUIRE(idle.discovery() == 0);
    CHECK(idle.closed());
}

// ---- the command window

TEST_CASE("CmdSN: gaps wait, duplicates and strangers vanish, immediate commands pass") {
    TestTarget t;
    RawClient c(t);
    REQUIRE(c.login() == 0);
    c.drop_attentions();
    const uint32_t base = c.cmd_sn;
    auto at = [&](uint32_t sn, bool immediate = false) {
        auto h = c.command({0});
        c.cmd_sn--;
        h.cmd_sn = sn;
        if (immediate) h.opcode |= wire::immediate_bit;
        c.send(h);
        return uint32_t(h.itt);
    };
    auto answered = [&](uint32_t itt) {
        auto r = c.expect<ScsiResponse>();
        CHECK(uint32_t(r.itt) == itt);
        CHECK(r.status == 0);
        return r;
    };
    uint32_t third = at(base + 2), second = at(base + 1);
    at(base + 2);                                       // again
    at(base - 1);                                       // past
    at(base + 0x10000);                                 // far ahead
    at(base + 0x80000000);
    CHECK(c.quiet());
    uint32_t now = at(base, true);                      // immediate: at once, counts nothing
    auto r = answered(now);
    CHECK(uint32_t(r.exp_cmd_sn) == base);
    uint32_t first = at(base);
    answered(first);
    answered(second);
    r = answered(third);
    CHECK(uint32_t(r.exp_cmd_sn) == base + 3);
    CHECK(uint32_t(r.max_cmd_sn) - uint32_t(r.exp_cmd_sn) < 128);
    CHECK(c.quiet());
}

TEST_CASE("too many commands behind a gap end the connection, not the daemon") {
    TestTarget t;
    RawClient c(t);
    REQUIRE(c.login() == 0);
    c.cmd_sn++;
    for (int i = 0; i < 100; i++) c.send(c.command({0}));
    CHECK(c.closed());
}

TEST_CASE("StatSN advances by one for each status, and R2T, pings and Data-In do not") {
    TestTarget t;
    RawClient c(t);
    REQUIRE(c.login() == 0);
    c.send(c.command({0}));
    uint32_t sn = c.expect<ScsiResponse>().stat_sn;
    c.drop_attentions();
    c.send(c.command({0}));
    sn = c.expect<ScsiResponse>().stat_sn;
    c.send(c.read(0, 1));
    CHECK(uint32_t(c.expect<wire::DataIn>().stat_sn) == sn + 1);
    auto w = c.write(0, 1);
    c.send(w);
    auto r = c.expect<wire::R2t>();
    CHECK(uint32_t(r.stat_sn) == sn + 2);
    c.send(c.data_out(w, r.ttt, 0, 0, true), std::vector<uint8_t>(512));
    CHECK(uint32_t(c.expect<ScsiResponse>().stat_sn) == sn + 2);
    c.send(ping(c));
    CHECK(uint32_t(c.expect<NopIn>().stat_sn) == sn + 3);
    c.send(c.command({0}));
    CHECK(uint32_t(c.expect<ScsiResponse>().stat_sn) == sn + 4);
}

TEST_CASE("a full window closes and opens again") {
    TestTarget t;
    t.target->change([](TargetConfig& c) { c.max_queue_cmd = 4; });
    RawClient c(t);
    REQUIRE(c.login() == 0);
    c.drop_attentions();
    t.store->cold = true;
    t.store->hang();
    uint32_t base = c.cmd_sn;
    for (int i = 0; i < 6; i++) c.send(c.read(0, 1));            // two too many: they vanish
    c.send(ping(c));
    auto n = c.expect<NopIn>();
    CHECK(uint32_t(n.exp_cmd_sn) == base + 4);
    CHECK(uint32_t(n.max_cmd_sn) == base + 3);
    t.store->release();
    for (int i = 0; i < 4; i++) c.expect<wire::DataIn>();
    c.send(ping(c));
    n = c.expect<NopIn>();
    CHECK(uint32_t(n.max_cmd_sn) == base + 7);
    CHECK(c.quiet());
}

TEST_CASE("a task tag in use is refused") {
    TestTarget t;
    RawClient c(t);
    REQUIRE(c.login() == 0);
    c.drop_attentions();
    auto w = c.write(0, 4);
    c.send(w);
    c.expect<wire::R2t>();
    auto again = c.command({0});
    again.itt = uint32_t(w.itt);
    c.send(again);
    CHECK(int(c.expect<wire::Reject>().reason) == int(RejectReason::task_in_progress));
}

// ---- task attributes

TEST_CASE("ORDERED waits for what is older, and the younger wait for it; HEAD OF QUEUE for nobody") {
    TestTarget t;
    RawClient c(t);
    REQUIRE(c.login({"InitialR2T=No"}) == 0);
    c.drop_attentions();
    t.store->cold = true;
    t.store->hang();
    auto older = c.read(0, 1);
    c.send(older);
    REQUIRE(t.until([&] { return t.store->stuck > 0; }));
    t.store->cold = false;
    auto ordered = c.write(0, 2), after = c.read(0, 1), head = c.command({0}), elsewhere = c.command({0});
    ordered.flags = uint8_t((ordered.flags & 0x78 & ~wire::final_bit) | 2);
    head.flags = uint8_t((head.flags & 0xf8) | 3);
    elsewhere.lun = 0;
    elsewhere.cdb[0] = 0x12;                                // INQUIRY, of the controller
    c.send(ordered, std::vector<uint8_t>(512, 0x11));
    c.send(c.data_out(ordered, wire::reserved_tag, 0, 512, true), std::vector<uint8_t>(512, 0x22));
    c.send(after);
    c.send(head);
    CHECK(uint32_t(c.expect<ScsiResponse>().itt) == uint32_t(head.itt));
    c.send(elsewhere);
    CHECK(uint32_t(c.expect<ScsiResponse>().itt) == uint32_t(elsewhere.itt));
    auto twice = c.command({0});
    twice.itt = uint32_t(ordered.itt);
    c.send(twice);
    CHECK(int(c.expect<wire::Reject>().reason) == int(RejectReason::task_in_progress));
    c.send(c.tmf(wire::TmfFunction::query_task, ordered.itt));
    CHECK(int(c.expect<wire::TmfResponse>().response) == int(wire::TmfResult::succeeded));
    CHECK(c.quiet());
    t.store->release();
    CHECK(uint32_t(c.expect<wire::DataIn>().itt) == uint32_t(older.itt));
    CHECK(uint32_t(c.expect<ScsiResponse>().itt) == uint32_t(ordered.itt));
    std::vector<uint8_t> data;
    CHECK(uint32_t(c.expect<wire::DataIn>(&data).itt) == uint32_t(after.itt));
    CHECK(data == std::vector<uint8_t>(512, 0x11));         // it read what the ordered one wrote
}

TEST_CASE("commands that wait for an ORDERED one are aborted, refused when too many, and forgotten with their connection") {
    for (const char* how : {"task", "set", "close", "full"}) {
        CAPTURE(std::string(how));
        TestTarget t;
        RawClient c(t);
        REQUIRE(c.login({"InitialR2T=No"}) == 0);
        c.drop_attentions();
        t.store->cold = true;
        t.store->hang();
        auto older = c.read(0, 1);
        c.send(older);
        REQUIRE(t.until([&] { return t.store->stuck > 0; }));
        auto ordered = c.command({0});
        ordered.flags = uint8_t((ordered.flags & 0xf8) | 2);
        c.send(ordered);
        std::vector<wire::ScsiCommand> behind;
        const int count = std::string(how) == "full" ? 40 : 3;
        for (int i = 0; i < count; i++) {
            behind.push_back(c.write(8, 64));
            c.send(behind.back(), std::vector<uint8_t>(32768));
        }
        if (std::string(how) == "task") {
            c.send(c.tmf(wire::TmfFunction::abort_task, behind[1].itt));
            CHECK(int(c.expect<wire::TmfResponse>().response) == 0);
            t.store->release();
            c.expect<wire::DataIn>();
            CHECK(uint32_t(c.expect<ScsiResponse>().itt) == uint32_t(ordered.itt));
            std::vector<uint32_t> done{c.expect<ScsiResponse>().itt, c.expect<ScsiResponse>().itt};
            std::sort(done.begin(), done.end());            // the two may end in any order
            CHECK(done == std::vector<uint32_t>{behind[0].itt, behind[2].itt});
        } else if (std::string(how) == "set") {
            c.send(c.tmf(wire::TmfFunction::abort_task_set));
            CHECK(c.quiet());
            t.store->release();
            CHECK(int(c.expect<wire::TmfResponse>().response) == 0);
            CHECK(c.quiet());
        } else if (std::string(how) == "close") {
            t.turn();
            c.close();
            t.turn();
            t.store->release();
            CHECK(t.until([&] { return t.directory.sessions.size() == 0; }));
        } else {
            CHECK(int(c.expect<ScsiResponse>().status) == 0x28);        // TASK SET FULL, for those beyond 1 MiB
            t.store->release();
            int good = 0, full = 1;
            while (good + full < 41) {
                auto pdu = c.receive();
                REQUIRE(pdu);
                if (pdu->op() == wire::Opcode::data_in) continue;
                auto r = pdu->as<ScsiResponse>();
                good += r.status == 0;
                full += r.status == 0x28;
            }
            CHECK(good == 33);
            CHECK(full == 8);
        }
    }
}

// ---- NOP, logout, reject, asynchronous messages

TEST_CASE("NOP-Out: answered with its data, or not at all") {
    TestTarget t;
    RawClient c(t);
    REQUIRE(c.login() == 0);
    std::vector<uint8_t> data(300, 7), back;
    c.send(ping(c), data);
    auto n = c.expect<NopIn>(&back);
    CHECK(back == data);
    CHECK(uint32_t(n.ttt) == wire::reserved_tag);
    auto silent = ping(c);
    silent.itt = wire::reserved_tag;
    c.send(silent);
    CHECK(c.quiet());
    silent.opcode = 0;                          // ITT reserved must be immediate
    c.send(silent);
    CHECK(int(c.expect<wire::Reject>().reason) == int(RejectReason::invalid_pdu_field));
    c.cmd_sn++;
    auto counted = ping(c);
    counted.opcode = 0;
    counted.cmd_sn = c.cmd_sn++;
    c.send(counted);
    CHECK(uint32_t(c.expect<NopIn>().exp_cmd_sn) == c.cmd_sn);
}

TEST_CASE("pings of the target: answered, the session stays; not, it ends") {
    TestTarget t;
    t.target->change([](TargetConfig& c) { c.nop_interval = 1, c.nop_count = 1; });
    RawClient good(t), bad(t);
    bad.isid++;
    REQUIRE(good.login() == 0);
    REQUIRE(bad.login() == 0);
    auto n = good.expect<NopIn>();
    CHECK(uint32_t(n.itt) == wire::reserved_tag);
    CHECK(uint32_t(n.ttt) != wire::reserved_tag);
    auto reply = ping(good);
    reply.itt = wire::reserved_tag;
    reply.ttt = uint32_t(n.ttt);
    good.send(reply);
    CHECK(bad.closed());
    CHECK(t.directory.sessions.size() == 1);
}

TEST_CASE("logout, for every reason") {
    struct Row { uint8_t reason; uint16_t cid; int response; bool closes; };
    for (const Row& row : {Row{0, 0, 0, true}, Row{1, 1, 0, true}, Row{1, 9, 1, false}, Row{2, 1, 2, false}, Row{5, 0, -1, false}}) {
        CAPTURE(int(row.reason));
        TestTarget t;
        RawClient c(t);
        REQUIRE(c.login() == 0);
        wire::LogoutRequest r;
        r.reason = uint8_t(wire::final_bit | row.reason);
        r.cid = row.cid;
        r.itt = c.itt++;
        r.cmd_sn = c.cmd_sn;
        c.send(r);
        if (row.response < 0)
            CHECK(int(c.expect<wire::Reject>().reason) == int(RejectReason::invalid_pdu_field));
        else
            CHECK(int(c.expect<wire::LogoutResponsePdu>().response) == row.response);
        if (row.closes)
            CHECK(c.closed());
        else
            CHECK(c.quiet());
        CHECK(t.until([&] { return t.directory.sessions.size() == (row.closes ? 0u : 1u); }));
    }
}

TEST_CASE("a logout waits for the disk; what comes behind it is ignored; nobody waits for whoever has gone") {
    for (bool stays : {true, false}) {
        TestTarget t;
        RawClient c(t);
        REQUIRE(c.login() == 0);
        c.drop_attentions();
        t.store->cold = true;
        t.store->hang();
        c.send(c.write(0, 1), std::vector<uint8_t>(512));
        REQUIRE(t.until([&] { return t.store->stuck > 0; }));
        wire::LogoutRequest r;
        r.itt = c.itt++;
        r.cmd_sn = c.cmd_sn;
        c.send(r);
        c.send(c.command({0}));
        CHECK(c.quiet());
        if (!stays) c.close();
        t.turn();
        t.store->release();
        if (stays) {
            CHECK(int(c.expect<wire::LogoutResponsePdu>().response) == 0);
            CHECK(c.closed());
        }
        CHECK(t.until([&] { return t.directory.sessions.size() == 0 && t.server->connections() == 0; }));
    }
}

TEST_CASE("reject: what no target answers otherwise") {
    struct Row { uint8_t opcode; RejectReason reason; };
    TestTarget t;
    RawClient c(t);
    REQUIRE(c.login() == 0);
    for (const Row& row : {Row{0x10, RejectReason::snack_reject}, Row{0x43, RejectReason::protocol_error}, Row{0x03, RejectReason::protocol_error},
                           Row{0x1c, RejectReason::command_not_supported}, Row{0x21, RejectReason::command_not_supported},
                           Row{0x3f, RejectReason::command_not_supported}}) {
        CAPTURE(int(row.opcode));
        wire::Bhs h;
        h.opcode = row.opcode;
        h.flags = 0x80;
        h.itt = 0x4711;
        c.send(h);
        std::vector<uint8_t> back;
        CHECK(int(c.expect<wire::Reject>(&back).reason) == int(row.reason));
        CHECK(back.size() == 48);
    }
    CHECK(c.quiet());
}

TEST_CASE("shut down: initiators are asked to log out, who does not is dropped, the loop ends") {
    TestTarget t;
    RawClient polite(t), deaf(t);
    deaf.isid++;
    REQUIRE(polite.login() == 0);
    REQUIRE(deaf.login() == 0);
    t.server->shut_down(50);
    auto m = polite.expect<wire::AsyncMessage>();
    CHECK(int(m.async_event) == int(wire::AsyncEvent::logout_request));
    CHECK(uint16_t(m.parameter3) == 1);
    wire::LogoutRequest r;
    r.itt = polite.itt++;
    r.cmd_sn = polite.cmd_sn;
    polite.send(r);
    polite.expect<wire::LogoutResponsePdu>();
    CHECK(polite.closed());
    CHECK(deaf.closed());
    CHECK(t.until([&] { return t.server->loop().stopping(); }));
    CHECK(t.directory.sessions.size() == 0);
}

// ---- what management does meanwhile

TEST_CASE("a logical unit is added, taken away and exchanged under a session") {
    TestTarget t;
    RawClient c(t);
    REQUIRE(c.login() == 0);
    c.drop_attentions();
    auto sense_of = [&](uint64_t lun) {
        auto h = c.command({0});
        h.lun = lun;
        c.send(h);
        std::vector<uint8_t> sense;
        auto r = c.expect<ScsiResponse>(&sense);
        return r.status == 0 ? 0 : sense[14] << 8 | sense[15];
    };
    auto disk = [] { return scsi::Disk::over(*store::make_ram("1M", 1 << 20), {}); };
    REQUIRE(t.target->router.add(2, disk()));
    CHECK(sense_of(lun1) == 0x3f0e);                    // REPORTED LUNS DATA HAS CHANGED
    CHECK(sense_of(lun1) == 0);
    CHECK(sense_of(lun1 * 2) == 0x2900);                // it is new to this nexus
    CHECK(sense_of(lun1 * 2) == 0);
    t.store->cold = true;
    t.store->hang();
    c.send(c.write(0, 1), std::vector<uint8_t>(512));
    REQUIRE(t.until([&] { return t.store->stuck > 0; }));
    REQUIRE(t.target->router.remove(1));
    CHECK(sense_of(lun1) == 0x2500);
    CHECK(sense_of(lun1 * 2) == 0x3f0e);
    REQUIRE(t.target->router.add(1, disk()));
    CHECK(sense_of(lun1) == 0x2900);
    t.store->release();
    CHECK(c.expect<ScsiResponse>().status == 0);        // what was on its way to the old one
    CHECK(sense_of(lun1) == 0);
}

TEST_CASE("a session, a connection, a target dropped by the administrator while commands are in flight") {
    for (int how = 0; how < 3; how++) {
        CAPTURE(how);
        TestTarget t;
        RawClient c(t);
        REQUIRE(c.login() == 0);
        c.drop_attentions();
        t.store->cold = true;
        t.store->hang();
        c.send(c.write(0, 1), std::vector<uint8_t>(512));
        c.send(c.read(0, 512));
        REQUIRE(t.until([&] { return t.store->stuck > 1; }));
        auto record = t.directory.sessions.all().front();
        if (how == 0) record->drop();
        if (how == 1) record->drop_connection(1);
        if (how == 2) {
            t.directory.remove(1);
            record->drop();
            t.target.reset();
        }
        CHECK(c.closed());
        CHECK(t.directory.sessions.size() == 1);        // its I/O is not back
        t.store->release();
        CHECK(t.until([&] { return t.directory.sessions.size() == 0; }));
        record->drop();                                 // of a session that is gone: nothing
        record->notify(wire::AsyncEvent::logout_request, 1);
        t.turn();
    }
}

TEST_CASE("PREEMPT AND ABORT: answered once the other's write is off the disk") {
    TestTarget t;
    RawClient a(t), b(t);
    b.isid++;
    REQUIRE(a.login() == 0);
    REQUIRE(b.login() == 0);
    a.drop_attentions();
    b.drop_attentions();
    auto reserve_out = [](RawClient& c, uint8_t action, uint8_t type, uint8_t key, uint8_t service) {
        auto h = c.command({0x5f, action, type, 0, 0, 0, 0, 0, 24, 0}, 24, wire::final_bit | wire::ScsiCommand::write_bit);
        std::vector<uint8_t> list(24);
        list[7] = key;
        list[15] = service;
        c.send(h, list);
    };
    reserve_out(a, 0, 0, 0, 1);
    CHECK(a.expect<ScsiResponse>().status == 0);
    reserve_out(b, 0, 0, 0, 2);
    CHECK(b.expect<ScsiResponse>().status == 0);
    reserve_out(a, 1, 5, 1, 0);                         // write exclusive, registrants only
    CHECK(a.expect<ScsiResponse>().status == 0);
    t.store->cold = true;
    t.store->hang();
    a.send(a.write(0, 1), std::vector<uint8_t>(512, 0xaa));
    REQUIRE(t.until([&] { return t.store->stuck > 0; }));
    reserve_out(b, 5, 5, 2, 1);
    CHECK(b.quiet());
    t.store->release();
    CHECK(b.expect<ScsiResponse>().status == 0);
    CHECK(a.quiet());                                   // its write was aborted
    a.send(a.command({0}));
    CHECK(a.expect<ScsiResponse>().status == 2);        // it is told
}

// ---- many, and hostile

TEST_CASE("many idle sessions cost next to nothing") {
    TestTarget t;
    rlimit files{};
    ::getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
    const size_t count = std::min<size_t>(1000, files.rlim_cur / 2 - 50);
    std::vector<std::unique_ptr<RawClient>> clients;
    for (size_t i = 0; i < count; i++) {
        clients.push_back(std::make_unique<RawClient>(t));
        clients.back()->isid += i;
        REQUIRE(clients.back()->login() == 0);
    }
    CHECK(t.directory.sessions.size() == count);
    clients[count / 2]->drop_attentions();
    clients.clear();
    CHECK(t.until([&] { return t.directory.sessions.size() == 0; }));
}

TEST_CASE("storms without reading the answers: back-pressure, nothing lost") {
    TestTarget t;
    RawClient c(t);
    REQUIRE(c.login() == 0);
    const uint32_t count = 20000;
    std::vector<uint8_t> data(100, 3);
    for (uint32_t i = 0; i < count; i++) c.send(ping(c), data);
    for (uint32_t i = 0; i < count; i++) {
        std::vector<uint8_t> back;
        auto n = c.expect<NopIn>(&back);
        REQUIRE(back == data);
        REQUIRE(uint32_t(n.itt) == c.itt - count + i);
    }
}

TEST_CASE("a connection torn at every byte") {
    std::vector<uint8_t> whole;
    {
        wire::ScsiCommand c;
        c.flags = 0xa1;
        c.lun = lun1;
        c.itt = 2;
        c.cmd_sn = 1;
        c.expected_data_transfer_length = 512;
        c.data_segment_length = 512;
        c.cdb[0] = 0x2a;
        c.cdb[8] = 1;
        whole.resize(48 + 512);
        std::memcpy(whole.data(), &c, 48);
        wire::NopOut n;
        n.opcode |= wire::immediate_bit;
        n.itt = 3;
        n.ttt = wire::reserved_tag;
        whole.resize(whole.size() + 48);
        std::memcpy(whole.data() + 560, &n, 48);
    }
    TestTarget t;
    for (size_t cut = 0; cut <= whole.size(); cut += cut < 52 || cut > 550 ? 1 : 37) {
        CAPTURE(cut);
        RawClient c(t);
        REQUIRE(c.login() == 0);
        c.send_raw(Bytes(whole).first(cut));
        c.half_close();
        REQUIRE(c.closed());
        REQUIRE(t.until([&] { return t.server->connections() == 0; }));
    }
}
