// Session states of an initiator, RFC 7143 §8.3.1, with what iscsid does about each: `iscsiadm -m session -P 1` shows the
// work under way as "Internal iscsid Session State".
#pragma once
#include <algorithm>
#include <cstdint>
#include <iterator>

namespace iscsi::initiator {

enum class SessionState : uint8_t { free, logged_in, failed };      // Q1 Q3 Q4
enum class SessionEvent : uint8_t { logged_in, logged_out, reinstated, closed, connection_failed };

struct SessionTransition {
    SessionState from;
    SessionEvent on;
    SessionState to;
    const char* rfc;
};
inline constexpr SessionTransition session_transitions[] = {
    {SessionState::free, SessionEvent::logged_in, SessionState::logged_in, "N1"},
    {SessionState::logged_in, SessionEvent::logged_out, SessionState::free, "N3"},
    {SessionState::failed, SessionEvent::reinstated, SessionState::logged_in, "N4"},
    {SessionState::logged_in, SessionEvent::connection_failed, SessionState::failed, "N5"},
    {SessionState::failed, SessionEvent::closed, SessionState::free, "N6"},
};

constexpr const SessionTransition* next(SessionState from, SessionEvent on) {
    auto row = std::find_if(std::begin(session_transitions), std::end(session_transitions),
                            [&](const SessionTransition& t) { return t.from == from && t.on == on; });
    return row == std::end(session_transitions) ? nullptr : row;
}

enum class Work : uint8_t { none, cleanup, reopen, redirect };
constexpr const char* text(Work w) {
    constexpr const char* names[] = {"NO CHANGE", "CLEANUP", "REOPEN", "REDIRECT"};
    return names[uint8_t(w)];
}

}  // namespace iscsi::initiator
