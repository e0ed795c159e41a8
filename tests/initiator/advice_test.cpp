#include "core/initiator/advice.h"

#include <doctest/doctest.h>

#include <string>

using namespace iscsi;
using namespace iscsi::initiator;

TEST_CASE("the same trouble gets the same advice from a session and from a discovery") {
    using S = SessionEnd::Kind;
    using D = DiscoveryFailure::Kind;
    for (int error : {ECONNREFUSED, ENETUNREACH, EHOSTUNREACH, ETIMEDOUT, EPERM}) {
        CAPTURE(error);
        const std::string said = advice(SessionEnd{S::connect, "", {}, error}, false);
        CHECK(said == advice(DiscoveryFailure{D::connect, error, "", {}}, false));
        CHECK(said.substr(0, 2) == "; ");
    }
    CHECK(std::string(advice(SessionEnd{S::connect, "", {}, ECONNREFUSED}, false)).find("is tgtd running") != std::string::npos);
    CHECK(std::string(advice(SessionEnd{S::lost, "", {}, ETIMEDOUT}, false)) == advice(DiscoveryFailure{D::timeout, 0, "", {}}, false));
    CHECK(std::string(advice(SessionEnd{S::connect, "", {}, ETIMEDOUT}, false)) == advice(DiscoveryFailure{D::timeout, 0, "", {}}, false));
    CHECK(std::string(advice(SessionEnd{S::lost, "", {}, EPROTO}, false)) == advice(DiscoveryFailure{D::closed, 0, "", {}}, false));
    CHECK(std::string(advice(SessionEnd{S::resolve, "", {}}, false)) == advice(DiscoveryFailure{D::resolve, 0, "", {}}, false));
    CHECK(std::string(advice(SessionEnd{}, false)).empty());
}

TEST_CASE("advice about a refused login") {
    auto of = [](LoginFailure::Kind kind, wire::LoginStatus status, bool credentials) {
        LoginFailure f;
        f.kind = kind;
        f.status = status;
        const std::string said = advice(SessionEnd{SessionEnd::Kind::login, "", f}, credentials);
        CHECK(said == advice(DiscoveryFailure{DiscoveryFailure::Kind::login, 0, "", f}, credentials));
        return said;
    };
    using K = LoginFailure::Kind;
    using L = wire::LoginStatus;
    CHECK(of(K::refused, L::authentication_failed, false).find("wants CHAP") != std::string::npos);
    CHECK(of(K::refused, L::authentication_failed, true).find("check CHAP user") != std::string::npos);
    CHECK(of(K::refused, L::not_found, true).find("`iscsi ls`") != std::string::npos);
    CHECK(of(K::refused, L::authorization_failed, true).find("-i") != std::string::npos);
    CHECK(of(K::refused, L::service_unavailable, true) == "; try again later");
    CHECK(of(K::target_unproved, L::success, true).find("target_password") != std::string::npos);
    CHECK(of(K::protocol, L::success, true).find("iSCSI portal") != std::string::npos);
}

TEST_CASE("advice about a command") {
    ScsiRequest r;
    r.outcome = ScsiRequest::Outcome::answered;
    auto sense = [&](uint8_t key, uint16_t asc) {
        r.status = 2;
        r.sense_length = 18;
        r.sense[0] = 0x70;
        r.sense[2] = key;
        r.sense[12] = uint8_t(asc >> 8);
        r.sense[13] = uint8_t(asc);
        return std::string(advice(r));
    };
    CHECK(sense(5, 0x2500).find("`iscsi ls -s`") != std::string::npos);
    CHECK(std::string(write_protected) == "write protected" + sense(7, 0x2700));
    CHECK(sense(7, 0x2707).find("make room") != std::string::npos);
    CHECK(sense(3, 0x1100).find("log") != std::string::npos);
    CHECK(sense(5, 0x2400).empty());
    r.status = 0x18;
    CHECK(std::string(advice(r)).find("reserved") != std::string::npos);
    r.outcome = ScsiRequest::Outcome::lost;
    CHECK(std::string(advice(r)).empty());
}
