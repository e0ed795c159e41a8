// The server as a whole: its limits, its end, many clients and hostile ones.
#include <sys/resource.h>

#include <algorithm>

#include "tests/support/target_harness.h"

using namespace iscsi;
using namespace iscsi::target;
using wire::NopIn;

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
    for (uint32_t i = 0; i < count; i++) c.send(c.ping(), data);
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
