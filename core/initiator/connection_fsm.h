// Connection states of an initiator, RFC 7143 §8.1.3: one row per transition, labelled as the RFC labels it. Pure table:
// who owns a connection looks up what an event means, and an illegal pair is nullptr (ignore a late event, drop a bad one).
#pragma once
#include <algorithm>
#include <cstdint>
#include <iterator>

namespace iscsi::initiator {

enum class ConnectionState : uint8_t {
    free, xpt_wait, in_login, logged_in, in_logout, logout_requested, cleanup_wait,     // S1 S2 S4 S5 S6 S7 S8
};
enum class ConnectionEvent : uint8_t {
    connect_requested, connect_failed, connected, login_done, login_failed, logout_sent, logout_asked, logout_done,
    logout_failed, transport_lost, cleaned_up,
};

struct ConnectionTransition {
    ConnectionState from;
    ConnectionEvent on;
    ConnectionState to;
    const char* rfc;
};
inline constexpr ConnectionTransition connection_transitions[] = {
    {ConnectionState::free, ConnectionEvent::connect_requested, ConnectionState::xpt_wait, "T1"},
    {ConnectionState::xpt_wait, ConnectionEvent::connect_failed, ConnectionState::free, "T2"},
    {ConnectionState::xpt_wait, ConnectionEvent::connected, ConnectionState::in_login, "T4"},
    {ConnectionState::in_login, ConnectionEvent::login_done, ConnectionState::logged_in, "T5"},
    {ConnectionState::in_login, ConnectionEvent::login_failed, ConnectionState::free, "T7"},
    {ConnectionState::in_login, ConnectionEvent::transport_lost, ConnectionState::free, "T7"},
    {ConnectionState::logged_in, ConnectionEvent::logout_sent, ConnectionState::in_logout, "T9"},
    {ConnectionState::logout_requested, ConnectionEvent::logout_sent, ConnectionState::in_logout, "T10"},
    {ConnectionState::logged_in, ConnectionEvent::logout_asked, ConnectionState::logout_requested, "T11"},
    {ConnectionState::logout_requested, ConnectionEvent::logout_asked, ConnectionState::logout_requested, "T12"},
    {ConnectionState::in_logout, ConnectionEvent::logout_done, ConnectionState::free, "T13"},
    {ConnectionState::in_logout, ConnectionEvent::logout_asked, ConnectionState::in_logout, "T14"},
    {ConnectionState::logged_in, ConnectionEvent::transport_lost, ConnectionState::cleanup_wait, "T15"},
    {ConnectionState::logout_requested, ConnectionEvent::transport_lost, ConnectionState::cleanup_wait, "T16"},
    {ConnectionState::in_logout, ConnectionEvent::transport_lost, ConnectionState::cleanup_wait, "T17"},
    {ConnectionState::in_logout, ConnectionEvent::logout_failed, ConnectionState::cleanup_wait, "T17"},
    {ConnectionState::cleanup_wait, ConnectionEvent::cleaned_up, ConnectionState::free, "M1"},
};

constexpr const ConnectionTransition* next(ConnectionState from, ConnectionEvent on) {
    auto row = std::find_if(std::begin(connection_transitions), std::end(connection_transitions),
                            [&](const ConnectionTransition& t) { return t.from == from && t.on == on; });
    return row == std::end(connection_transitions) ? nullptr : row;
}

// As `iscsiadm -m session -P 1` shows it.
constexpr const char* text(ConnectionState s) {
    constexpr const char* names[] = {"FREE", "TRANSPORT WAIT", "IN LOGIN", "LOGGED IN", "IN LOGOUT", "LOGOUT REQUESTED",
                                     "CLEANUP WAIT"};
    return names[uint8_t(s)];
}

}  // namespace iscsi::initiator
