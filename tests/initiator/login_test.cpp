#include "core/initiator/login.h"

#include <doctest/doctest.h>

#include <functional>

#include "core/wire/text_keys.h"

using namespace iscsi;
using namespace iscsi::initiator;
using Step = Login::Step;
using Kind = LoginFailure::Kind;

namespace {

LoginSettings settings() {
    LoginSettings s;
    s.offers.initiator_name = "iqn.1993-08.org.debian:01:ini";
    s.offers.alias = "ini-host";
    s.offers.target_name = "iqn.2026-01.t:d";
    s.isid[5] = 1;
    return s;
}

// "A=1|B=2" as text of a PDU.
std::string pairs(std::string_view text) {
    std::string s(text);
    for (char& c : s)
        if (c == '|') c = '\0';
    if (!s.empty()) s += '\0';
    return s;
}

std::string readable(Bytes data) {
    std::string s(as_text(data));
    for (char& c : s)
        if (c == '\0') c = '|';
    return s;
}

// A response that fits the request: the stage it asked for is granted.
wire::LoginResponse answer_to(const Login& login, size_t length, uint32_t stat_sn = 0) {
    wire::LoginResponse h;
    h.flags = login.header().flags;
    std::memcpy(h.isid, login.header().isid, 6);
    h.tsih = 7;
    h.itt = login.header().itt;
    h.stat_sn = stat_sn;
    h.exp_cmd_sn = login.header().cmd_sn;
    h.max_cmd_sn = login.header().cmd_sn + 63;
    h.data_segment_length = uint32_t(length);
    return h;
}

Step give(Login& login, std::string_view text, std::function<void(wire::LoginResponse&)> change = nullptr) {
    std::string data = pairs(text);
    auto h = answer_to(login, data.size());
    if (change) change(h);
    return login.feed(h, as_bytes(data));
}

const char* usual = "HeaderDigest=None|DataDigest=None|DefaultTime2Wait=2|DefaultTime2Retain=0|IFMarker=No|OFMarker=No|"
                    "ErrorRecoveryLevel=0|InitialR2T=Yes|ImmediateData=Yes|MaxBurstLength=262144|FirstBurstLength=65536|"
                    "MaxOutstandingR2T=1|MaxConnections=1|DataPDUInOrder=Yes|DataSequenceInOrder=Yes|"
                    "MaxRecvDataSegmentLength=8192|TargetPortalGroupTag=1|TargetAlias=disks";

}  // namespace

TEST_CASE("a login without authentication says what open-iscsi says") {
    Login login(settings());
    REQUIRE(login.start() == Step::send);
    CHECK(login.header().flags == 0x87);            // T, CSG 1, NSG 3
    CHECK(login.header().opcode == 0x43);
    CHECK(uint32_t(login.header().cmd_sn) == 1);
    CHECK(readable(login.data()) ==
          "InitiatorName=iqn.1993-08.org.debian:01:ini|InitiatorAlias=ini-host|TargetName=iqn.2026-01.t:d|SessionType=Normal|"
          "HeaderDigest=None|DataDigest=None|DefaultTime2Wait=2|DefaultTime2Retain=0|IFMarker=No|OFMarker=No|ErrorRecoveryLevel=0|"
          "InitialR2T=No|ImmediateData=Yes|MaxBurstLength=16776192|FirstBurstLength=262144|MaxOutstandingR2T=1|MaxConnections=1|"
          "DataPDUInOrder=Yes|DataSequenceInOrder=Yes|MaxRecvDataSegmentLength=262144|");
    REQUIRE(give(login, usual) == Step::done);
    const LoginSuccess& s = login.success();
    CHECK(s.tsih == 7);
    CHECK(s.cmd_sn == 1);
    CHECK(s.exp_stat_sn == 1);
    CHECK(s.max_cmd_sn == 64);
    CHECK(s.params.initial_r2t);
    CHECK(s.params.max_burst == 262144);
    CHECK(s.params.first_burst == 65536);
    CHECK(s.params.max_xmit_data_segment == 8192);
    CHECK(s.params.max_recv_data_segment == 262144);
    CHECK(s.params.target_alias == "disks");
    CHECK(s.params.portal_group_tag == 1);
}

TEST_CASE("a discovery login says what open-iscsi says") {
    LoginSettings st = settings();
    st.offers.discovery = true;
    st.offers.target_name.clear();
    st.offers.max_recv_data_segment = 32768;
    Login login(st);
    REQUIRE(login.start() == Step::send);
    CHECK(readable(login.data()) ==
          "InitiatorName=iqn.1993-08.org.debian:01:ini|InitiatorAlias=ini-host|SessionType=Discovery|HeaderDigest=None|DataDigest=None|"
          "DefaultTime2Wait=2|DefaultTime2Retain=0|IFMarker=No|OFMarker=No|ErrorRecoveryLevel=0|MaxRecvDataSegmentLength=32768|");
    CHECK(give(login, "HeaderDigest=None|DataDigest=None|DefaultTime2Wait=2|DefaultTime2Retain=0|IFMarker=No|OFMarker=No|ErrorRecoveryLevel=0",
               [](auto& h) { h.tsih = 0; }) == Step::done);
}

TEST_CASE("an answer in pieces is put together (C bit)") {
    Login login(settings());
    login.start();
    std::string text = pairs(usual);
    auto h = answer_to(login, 10);
    h.flags = 0x44;                                 // C, CSG 1
    REQUIRE(login.feed(h, as_bytes(text.substr(0, 10))) == Step::send);
    CHECK(login.data().empty());
    CHECK(login.header().flags == 0x04);            // T=0 until all is here
    CHECK(uint32_t(login.header().exp_stat_sn) == 1);
    auto rest = answer_to(login, text.size() - 10, 1);
    REQUIRE(login.feed(rest, as_bytes(text.substr(10))) == Step::send);
    CHECK(login.header().flags == 0x87);
    auto last = answer_to(login, 0, 2);
    CHECK(login.feed(last, {}) == Step::done);
    CHECK(login.success().params.max_burst == 262144);
}

TEST_CASE("a target that breaks the rules of login is refused") {
    struct Row { const char* what; std::function<void(wire::LoginResponse&)> change; const char* text = usual; };
    const Row rows[] = {
        {"another opcode", [](auto& h) { h.opcode = 0x24; }},
        {"additional header", [](auto& h) { h.total_ahs_length = 1; }},
        {"version", [](auto& h) { h.version_active = 1; }},
        {"task tag", [](auto& h) { h.itt = 99; }},
        {"ISID", [](auto& h) { h.isid[0] ^= 1; }},
        {"stage", [](auto& h) { h.flags = 0x83; }},
        {"next stage", [](auto& h) { h.flags = 0x85; }},
        {"T and C", [](auto& h) { h.flags |= 0x40; }},
        {"no TSIH", [](auto& h) { h.tsih = 0; }},
        {"status class 5", [](auto& h) { h.status = 0x0500; }},
        {"length", [](auto& h) { h.data_segment_length = 3; }},
        {"no equals sign", {}, "HeaderDigest"},
        {"empty key", {}, "=1"},
        {"a key twice", {}, "InitialR2T=Yes|InitialR2T=Yes"},
        {"digest that was not offered", {}, "HeaderDigest=CRC32C"},
        {"value out of range", {}, "MaxBurstLength=511"},
        {"value that is no number", {}, "MaxBurstLength=many"},
        {"value beyond the offer", {}, "MaxOutstandingR2T=9"},
    };
    for (const Row& r : rows) {
        CAPTURE(r.what);
        Login login(settings());
        login.start();
        CHECK(give(login, r.text, r.change) == Step::failed);
        CHECK_FALSE(login.failure().text.empty());
    }
    Login unterminated(settings());
    unterminated.start();
    std::string text = "InitialR2T=Yes";
    CHECK(unterminated.feed(answer_to(unterminated, text.size()), as_bytes(text)) == Step::failed);
    Login long_one(settings());
    long_one.start();
    std::string big(8193, 'x');
    CHECK(long_one.feed(answer_to(long_one, big.size()), as_bytes(big)) == Step::failed);
}

TEST_CASE("a login has an end, whatever the target does") {
    SUBCASE("text in pieces for ever") {
        Login login(settings());
        login.start();
        std::string piece(8000, 'x');
        Step step = Step::send;
        unsigned n = 0;
        for (; step == Step::send && n < 1000; n++) {
            auto h = answer_to(login, piece.size(), n);
            h.flags = 0x44;
            step = login.feed(h, as_bytes(piece));
        }
        CHECK(step == Step::failed);
        CHECK(n < 20);
    }
    SUBCASE("never a transition") {
        Login login(settings());
        login.start();
        Step step = Step::send;
        unsigned n = 0;
        for (; step == Step::send && n < 1000; n++) {
            auto h = answer_to(login, 0, n);
            h.flags = 0x04;
            step = login.feed(h, {});
        }
        CHECK(step == Step::failed);
        CHECK(n < 100);
    }
    SUBCASE("StatSN stands still") {
        Login login(settings());
        login.start();
        auto h = answer_to(login, 0);
        h.flags = 0x04;
        REQUIRE(login.feed(h, {}) == Step::send);
        CHECK(login.feed(h, {}) == Step::failed);
    }
}

TEST_CASE("refusals and redirections") {
    Login login(settings());
    login.start();
    REQUIRE(give(login, "", [](auto& h) { h.status = 0x0203; h.itt = 5; }) == Step::failed);
    CHECK(login.failure().kind == Kind::refused);
    CHECK(login.failure().status == wire::LoginStatus::not_found);
    CHECK(login.failure().text == "target not found (02/03)");
    CHECK_FALSE(login.failure().retry());

    Login busy(settings());
    busy.start();
    REQUIRE(give(busy, "", [](auto& h) { h.status = 0x0301; }) == Step::failed);
    CHECK(busy.failure().retry());

    struct Row { const char* address; const char* host; int port; };
    for (const Row& r : {Row{"192.0.2.9", "192.0.2.9", 3260}, {"192.0.2.9:3261,2", "192.0.2.9", 3261}, {"[2001:db8::9]:860", "2001:db8::9", 860},
                         {"disks.example.org,1", "disks.example.org", 3260}}) {
        CAPTURE(r.address);
        Login moved(settings());
        moved.start();
        REQUIRE(give(moved, std::string("TargetAddress=") + r.address, [](auto& h) { h.status = 0x0102; }) == Step::failed);
        CHECK(moved.failure().kind == Kind::redirected);
        CHECK(moved.failure().permanent);
        CHECK(moved.failure().host == r.host);
        CHECK(moved.failure().port == r.port);
    }
    for (const char* bad : {"", "TargetName=x", "TargetAddress=", "TargetAddress=a b", "TargetAddress=h:99999", "TargetAddress"}) {
        CAPTURE(bad);
        Login moved(settings());
        moved.start();
        CHECK(give(moved, bad, [](auto& h) { h.status = 0x0101; }) == Step::failed);
        CHECK(moved.failure().kind == Kind::protocol);
    }
}

namespace {

// A CHAP target for tests: walks a login through to its end, mutual if the initiator asks.
struct Outcome { Step step; LoginFailure failure; std::string user; };
Outcome chap_login(LoginSettings st, const char* secret, const char* target_secret) {
    Login login(st);
    Step step = login.start();
    auth::Account own{"target-user", Secret(target_secret)};
    Secret expected{secret};
    auth::ChapTarget::Config config;
    config.lookup = [&](std::string_view user) { return user == "joe" ? &expected : nullptr; };
    config.required = true;
    config.outgoing = &own;
    auth::ChapTarget chap(std::move(config));
    for (uint32_t n = 0; step == Step::send && n < 20; n++) {
        std::vector<wire::TextKey> keys;
        std::string request(as_text(login.data()));
        REQUIRE(wire::parse_text(as_bytes(request), keys) == wire::TextError::none);
        wire::TextWriter answer;
        if (login.header().csg() == wire::Stage::operational) {
            step = give(login, usual, [&](auto& h) { h.stat_sn = n; });
            continue;
        }
        auth::Progress progress = chap.digest(keys, answer);
        auto h = answer_to(login, answer.text().size(), n);
        if (progress == auth::Progress::failed) h.status = 0x0201;
        if (progress != auth::Progress::done) h.flags &= 0x7c;
        step = login.feed(h, as_bytes(answer.text()));
    }
    return {step, login.failure(), chap.user()};
}

}  // namespace

TEST_CASE("CHAP, one way and mutual") {
    LoginSettings st = settings();
    st.chap.account = {"joe", Secret("a secret of joe")};
    {
        Login login(st);
        REQUIRE(login.start() == Step::send);
        CHECK(login.header().csg() == wire::Stage::security);
        CHECK(readable(login.data()).find("|AuthMethod=CHAP") != std::string::npos);
    }
    auto good = chap_login(st, "a secret of joe", "target secret");
    CHECK(good.step == Step::done);
    CHECK(good.user == "joe");
    auto wrong = chap_login(st, "another secret!", "target secret");
    CHECK(wrong.step == Step::failed);
    CHECK(wrong.failure.kind == Kind::refused);
    CHECK(wrong.failure.status == wire::LoginStatus::authentication_failed);

    st.chap.target_account = {"target-user", Secret("target secret")};
    CHECK(chap_login(st, "a secret of joe", "target secret").step == Step::done);
    auto impostor = chap_login(st, "a secret of joe", "guessed secret");
    CHECK(impostor.step == Step::failed);
    CHECK(impostor.failure.kind == Kind::target_unproved);
    CHECK(impostor.failure.text.find("secret of") == std::string::npos);

    // A target that waves us through without proving itself.
    Login login(st);
    login.start();
    CHECK(give(login, "AuthMethod=None") == Step::failed);
    st.chap.target_account = {};
    Login one_way(st);          // there the target's proof is not asked for: open-iscsi goes on, too
    one_way.start();
    CHECK(readable(one_way.data()).find("|AuthMethod=CHAP,None|") != std::string::npos);
    CHECK(give(one_way, "AuthMethod=None") == Step::send);
}
