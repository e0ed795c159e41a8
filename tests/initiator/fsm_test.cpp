#include <doctest/doctest.h>

#include <string>

#include "core/initiator/connection_fsm.h"
#include "core/initiator/session_fsm.h"

using namespace iscsi::initiator;

TEST_CASE("connection transitions are the initiator's table of RFC 7143 8.1.3") {
    using S = ConnectionState;
    using E = ConnectionEvent;
    CHECK(next(S::free, E::connect_requested)->to == S::xpt_wait);
    CHECK(next(S::xpt_wait, E::connected)->to == S::in_login);
    CHECK(next(S::in_login, E::login_done)->to == S::logged_in);
    CHECK(next(S::logged_in, E::transport_lost)->to == S::cleanup_wait);
    CHECK(next(S::in_logout, E::logout_done)->to == S::free);
    // Illegal pairs are answered, not crashed on: late events of a dead connection.
    CHECK(next(S::xpt_wait, E::transport_lost) == nullptr);
    CHECK(next(S::free, E::logout_sent) == nullptr);
    CHECK(next(S::cleanup_wait, E::connect_requested) == nullptr);
    for (const auto& t : connection_transitions) CHECK(next(t.from, t.on) == &t);      // one row per pair
    CHECK(std::string(text(S::logout_requested)) == "LOGOUT REQUESTED");
}

TEST_CASE("session transitions are the initiator's table of RFC 7143 8.3.1") {
    using S = SessionState;
    using E = SessionEvent;
    CHECK(next(S::free, E::logged_in)->to == S::logged_in);
    CHECK(next(S::failed, E::reinstated)->to == S::logged_in);
    CHECK(next(S::free, E::connection_failed) == nullptr);
    for (const auto& t : session_transitions) CHECK(next(t.from, t.on) == &t);
}
