// Text requests and what a discovery session may do: SendTargets, lists in pieces, texts against the rules.
#include "tests/support/target_harness.h"

using namespace iscsi;
using namespace iscsi::target;
using wire::NopIn;
using wire::RejectReason;
using wire::TextRequest;
using wire::TextResponse;

namespace {

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

}  // namespace

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
    c.send(c.ping());
    c.expect<NopIn>();
    ServerOptions hasty;
    hasty.discovery_timeout_s = 0;
    TestTarget h(hasty);
    RawClient idle(h);
    REQUIRE(idle.discovery() == 0);
    CHECK(idle.closed());
}
