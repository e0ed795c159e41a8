#include "core/initiator/discovery.h"

#include <doctest/doctest.h>

#include "tests/support/portal.h"

using namespace iscsi;
using namespace iscsi::initiator;
using test::FakeTarget;
using test::Portal;
using wire::Opcode;

namespace {

std::string list(std::string text) {
    for (char& c : text)
        if (c == '|') c = '\0';
    return text;
}

DiscoveryResult ask(io::Loop& loop, uint16_t port, uint64_t timeout_ms = 5000) {
    DiscoverySettings s;
    s.host = "127.0.0.1";
    s.port = port;
    s.timeout_ms = timeout_ms;
    s.login.offers.initiator_name = "iqn.2026-01.test:i";
    std::optional<DiscoveryResult> result;
    Discovery discovery(loop, s, [&](DiscoveryResult r) {
        CHECK_FALSE(result);
        result = std::move(r);
    });
    CHECK_FALSE(result);
    for (int i = 0; i < 5000 && !result; i++) loop.run_once(50);
    REQUIRE(result);
    return *result;
}

wire::TextResponse text_answer(const wire::Bhs& request, bool final, uint32_t ttt = wire::reserved_tag) {
    wire::TextResponse h;
    h.flags = final ? wire::final_bit : 0;
    h.itt = request.itt;
    h.ttt = ttt;
    return h;
}

}  // namespace

TEST_CASE("the list of targets is taken in the target's order, bad records left out") {
    DiscoveryResult r;
    REQUIRE(parse_send_targets(as_bytes(list("TargetName=iqn.2001-04.com.example:b|TargetAddress=192.0.2.1:3260,1|TargetAddress=[2001:db8::1]:3261,2|"
                                             "TargetName=iqn.2001-04.com.example:a|TargetName=../../etc|TargetAddress=192.0.2.9:3260,1|"
                                             "TargetName=eui.02004567A425678D|TargetAddress=disks.example.org,7|TargetAddress=a b|TargetAlias=x|")),
                               "192.0.2.5", 860, r));
    struct Row { const char* name; const char* host; int port, tpgt; };
    const Row rows[] = {{"iqn.2001-04.com.example:b", "192.0.2.1", 3260, 1}, {"iqn.2001-04.com.example:b", "2001:db8::1", 3261, 2},
                        {"iqn.2001-04.com.example:a", "192.0.2.5", 860, 1}, {"eui.02004567A425678D", "disks.example.org", 3260, 7}};
    REQUIRE(r.portals.size() == std::size(rows));
    for (size_t i = 0; i < std::size(rows); i++) {
        CHECK(r.portals[i].target_name == rows[i].name);
        CHECK(r.portals[i].host == rows[i].host);
        CHECK(r.portals[i].port == rows[i].port);
        CHECK(r.portals[i].tpgt == rows[i].tpgt);
    }
    CHECK(r.ignored == 2);
    DiscoveryResult bad;
    CHECK_FALSE(parse_send_targets(as_bytes("TargetName=iqn.2001-04.com.example:b"), "h", 1, bad));
    CHECK_FALSE(parse_send_targets(as_bytes(list("TargetName|")), "h", 1, bad));
    DiscoveryResult none;
    CHECK(parse_send_targets({}, "h", 1, none));
    CHECK(none.portals.empty());
}

TEST_CASE("discovery asks as open-iscsi does and follows a list in pieces") {
    auto loop = std::move(*io::Loop::create());
    int pieces = 0;
    Portal portal(*loop, [&](FakeTarget& t, const wire::Bhs& h, Bytes data) {
        if (h.op() == Opcode::login_request) return t.grant_login(h);
        REQUIRE(h.op() == Opcode::text_request);
        CHECK(h.final());
        if (pieces == 0) {
            CHECK(as_text(data) == list("SendTargets=All|"));
            wire::NopIn ping;                       // and a ping meanwhile
            ping.itt = wire::reserved_tag;
            ping.ttt = 9;
            t.send(t.numbered(ping, false));
        } else {
            CHECK(data.empty());
            CHECK(uint32_t(wire::header_cast<wire::TextRequest>(h).ttt) == 40 + pieces - 1);
        }
        std::string name = list("TargetName=iqn.2026-01.t:" + std::to_string(pieces) + "|TargetAddress=192.0.2.1:3260,1|");
        const uint32_t ttt = 40 + uint32_t(pieces);
        const bool last = ++pieces == 500;
        t.send(t.numbered(text_answer(h, last, last ? wire::reserved_tag : ttt)), as_bytes(name));
    });
    // The script's answer to our NOP-Out is nothing.
    auto inner = portal.script;
    portal.script = [inner](FakeTarget& t, const wire::Bhs& h, Bytes d) {
        if (h.op() != Opcode::nop_out) inner(t, h, d);
    };
    auto r = ask(*loop, portal.port());
    REQUIRE(r.ok);
    REQUIRE(r.portals.size() == 500);
    CHECK(r.portals[499].target_name == "iqn.2026-01.t:499");
}

TEST_CASE("discovery ends, whatever the target does") {
    auto loop = std::move(*io::Loop::create());
    using Kind = DiscoveryFailure::Kind;
    struct Row { const char* what; Kind kind; FakeTarget::Script script; };
    const std::string big = std::string(30000, 'x');
    const Row rows[] = {
        {"never answers", Kind::timeout, [](auto&, auto&, Bytes) {}},
        {"hangs up", Kind::closed, [](auto& t, auto&, Bytes) { t.close(); }},
        {"hangs up after login", Kind::closed, [](auto& t, auto& h, Bytes) {
             if (h.op() == Opcode::login_request) t.grant_login(h);
             else t.close();
         }},
        {"refuses", Kind::login, [](auto& t, auto& h, Bytes) {
             wire::LoginResponse r;
             r.status = 0x0202;
             r.itt = h.itt;
             t.send(r);
         }},
        {"redirects in a circle", Kind::login, [&](auto& t, auto& h, Bytes) {
             wire::LoginResponse r;
             r.status = 0x0101;
             r.itt = h.itt;
             sockaddr_storage own{};
             t.send(r, as_bytes(list("TargetAddress=127.0.0.1:" + std::to_string(t.stat_sn) + "|")));
             (void)own;
         }},
        {"a list without end", Kind::protocol, [&](auto& t, auto& h, Bytes) {
             if (h.op() == Opcode::login_request) return t.grant_login(h);
             t.send(t.numbered(text_answer(h, false, 7)), as_bytes(big));
         }},
        {"pieces without tag", Kind::protocol, [&](auto& t, auto& h, Bytes) {
             if (h.op() == Opcode::login_request) return t.grant_login(h);
             t.send(t.numbered(text_answer(h, false)));
         }},
        {"a list that is none", Kind::protocol, [&](auto& t, auto& h, Bytes) {
             if (h.op() == Opcode::login_request) return t.grant_login(h);
             t.send(t.numbered(text_answer(h, true)), as_bytes(big.substr(0, 100)));
         }},
        {"something else", Kind::protocol, [&](auto& t, auto& h, Bytes) {
             if (h.op() == Opcode::login_request) return t.grant_login(h);
             t.answer_good(h.itt);
         }},
    };
    for (const Row& row : rows) {
        CAPTURE(row.what);
        Portal portal(*loop, row.script);
        // For the circle: where the target says to go is where it is.
        auto script = row.script;
        portal.script = [&portal, script](FakeTarget& t, const wire::Bhs& h, Bytes d) {
            t.stat_sn = portal.port();
            script(t, h, d);
        };
        auto r = ask(*loop, portal.port(), row.kind == Kind::timeout ? 100 : 5000);
        CHECK_FALSE(r.ok);
        CHECK(r.failure.kind == row.kind);
        CHECK_FALSE(r.failure.text.empty());
        CHECK(r.portals.empty());
    }
    auto refused = ask(*loop, 1);
    CHECK(refused.failure.kind == Kind::connect);
    CHECK(refused.failure.code == ECONNREFUSED);
}
