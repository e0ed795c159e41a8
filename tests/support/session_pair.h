// A session and a scripted target on two ends of a socket pair, for tests of what a target may say.
#pragma once
#include "core/initiator/session.h"
#include "tests/support/fake_target.h"

namespace iscsi::test {

using namespace initiator;
using wire::Opcode;

inline const char* const usual = "InitialR2T=Yes|ImmediateData=Yes|MaxBurstLength=262144|FirstBurstLength=65536|MaxOutstandingR2T=1|"
                    "MaxRecvDataSegmentLength=8192";

inline SessionConfig config() {
    SessionConfig c;
    c.login.offers.initiator_name = "iqn.2026-01.test:i";
    c.login.offers.target_name = "iqn.2026-01.test:t";
    c.login.offers.max_outstanding_r2t = 4;
    c.login.offers.default_time2wait = 0;
    c.replacement_timeout_ms = 0;
    return c;
}

struct Watch final : SessionOwner {
    int ups = 0, downs = 0;
    bool ended = false;
    SessionEnd end;
    void session_up(Session&) override { ups++; }
    void session_down(Session&, const std::string&) override { downs++; }
    void session_ended(Session&, const SessionEnd& e) override {
        CHECK_FALSE(ended);
        ended = true;
        end = e;
    }
};

// A session and a scripted target on two ends of a socket pair.
struct Pair {
    std::unique_ptr<io::Loop> loop = std::move(*io::Loop::create());
    Watch watch;
    std::unique_ptr<Session> session;
    std::unique_ptr<FakeTarget> target;
    Pair(SessionConfig c, FakeTarget::Script script, std::string text = usual) {
        int fds[2];
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
        session = std::make_unique<Session>(*loop, c, watch);
        target = std::make_unique<FakeTarget>(*loop, Fd(fds[1]), [script, text](FakeTarget& t, const wire::Bhs& h, Bytes data) {
            if (h.op() == Opcode::login_request) {
                t.grant_login(h, text);
                t.header_digest = text.find("HeaderDigest=CRC32C") != std::string::npos;
                t.data_digest = text.find("DataDigest=CRC32C") != std::string::npos;
            } else {
                script(t, h, data);
            }
        });
        session->start_on(Fd(fds[0]));
    }
    template <class Until>
    void run(Until until) {
        for (int i = 0; i < 2000 && !until(); i++) loop->run_once(20);
        CHECK(until());
    }
};

struct Request : ScsiRequest {
    int calls = 0;
    Request() {
        done = [](ScsiRequest& r) { static_cast<Request&>(r).calls++; };
    }
};

}  // namespace iscsi::test
