// A KernelSession when things end: connection errors, the target's asynchronous messages, taking over what another daemon
// left in the kernel, logout.
#include <sys/socket.h>

#include <cstring>

#include "core/base/log.h"
#include "core/initiator/kernel_session.h"

namespace iscsi::initiator {

using kernel::EventKind;
using kernel::StopFlag;

namespace {
constexpr uint32_t cid = 0;
// iscsid's old state numbers in its log line: 3 logged in, 5 in logout … people grep for "state (3)".
int log_number(ConnectionState s) {
    switch (s) {
    case ConnectionState::free: return 0;
    case ConnectionState::xpt_wait: return 1;
    case ConnectionState::in_login: return 2;
    case ConnectionState::logged_in: return 3;
    case ConnectionState::in_logout: return 4;
    case ConnectionState::logout_requested: return 5;
    case ConnectionState::cleanup_wait: return 6;
    }
    return 0;
}
}  // namespace

void KernelSession::on_event(const kernel::Event& event) {
    if (gone_) return;
    switch (event.kind) {
    case EventKind::connection_error:
        // Of a connection we are stopping or have stopped: late news.
        if (connection_ == ConnectionState::free || connection_ == ConnectionState::xpt_wait) return;
        log::warning("Kernel reported iSCSI connection %u:0 error (%u - %s) state (%d)", event.sid, event.error,
                     kernel::connection_error_text(event.error), log_number(connection_));
        if (connection_ == ConnectionState::in_login)
            return attempt_failed({InitiatorError::transport_timeout, true, kernel::connection_error_text(event.error)});
        return lost(seconds(settings_.offers.default_time2wait));
    case EventKind::recv_pdu:
        switch (wire::Opcode(event.header[0] & wire::opcode_mask)) {
        case wire::Opcode::login_response: return on_login_pdu(event);
        case wire::Opcode::logout_response: return on_logout_pdu(event);
        case wire::Opcode::async_message: return on_async(event);
        case wire::Opcode::reject:
            log::warning("%s: the target rejected a PDU (reason 0x%02x)", name(), event.header[2]);
            return;
        default: return;
        }
    case EventKind::unbind_session:
        if (phase_ == Phase::unbinding) send_logout();
        return;
    case EventKind::destroy_session:        // by somebody else, as long as we are not leaving ourselves
        if (phase_ == Phase::leaving) return;
        log::warning("%s: the session was removed by somebody else", name());
        sid_.reset();
        return finish(InitiatorError::session_not_found, "the session was removed");
    case EventKind::interface_error:
    case EventKind::create_session: return;
    }
}

// The connection is broken, or about to be: give up the socket, and either end a logout that was under way or log in
// again after `wait_ms`.
void KernelSession::lost(uint64_t wait_ms) {
    timer_.cancel();
    const bool leaving = phase_ == Phase::unbinding || (phase_ == Phase::logging_out && work_ == Work::cleanup);
    move(ConnectionEvent::transport_lost);
    drop_connection(leaving ? StopFlag::terminate : StopFlag::recover);
    move(ConnectionEvent::cleaned_up);
    if (leaving) {
        destroy();
        return finish(InitiatorError::none, "");
    }
    move(SessionEvent::connection_failed);
    work_ = Work::reopen;
    attempts_ = 0;
    redirect_ = {};
    move(ConnectionEvent::connect_requested);
    phase_ = Phase::waiting;
    timer_.arm(wait_ms);
}

// The target's asynchronous messages, RFC 7143 §11.9.1.
void KernelSession::on_async(const kernel::Event& event) {
    wire::AsyncMessage m;
    std::memcpy(static_cast<void*>(&m), event.header.data(), sizeof m);
    switch (wire::AsyncEvent(m.async_event)) {
    case wire::AsyncEvent::logout_request:
    case wire::AsyncEvent::renegotiate:         // a Logout Request is a lawful answer, and a new login negotiates anew
        log::warning("%s: the target asks for %s within %u seconds", name(),
                     m.async_event == uint8_t(wire::AsyncEvent::renegotiate) ? "renegotiation" : "logout",
                     unsigned(m.parameter3));
        if (!move(ConnectionEvent::logout_asked) || connection_ != ConnectionState::logout_requested) return;
        work_ = Work::reopen;
        return send_logout();
    case wire::AsyncEvent::drop_connection:
        if (m.parameter1 != cid) return;
        [[fallthrough]];
    case wire::AsyncEvent::drop_all_connections:
        log::warning("%s: the target drops the connection, reconnect after %u seconds", name(), unsigned(m.parameter2));
        if (connection_ == ConnectionState::in_login || !established_) return;
        return lost(seconds(std::min<uint32_t>(m.parameter2, 300)));
    case wire::AsyncEvent::scsi:
        return on_scsi_event(event.data);
    case wire::AsyncEvent::task_termination:
    case wire::AsyncEvent::vendor:
        log::info("%s: asynchronous message %u", name(), m.async_event);
        return;
    }
}

// §11.9.2: SenseLength, sense data. REPORTED LUNS DATA HAS CHANGED is what it is for.
void KernelSession::on_scsi_event(Bytes data) {
    if (data.size() < 2) return;
    const size_t length = std::min<size_t>(size_t(data[0] << 8 | data[1]), data.size() - 2);
    const Bytes sense = data.subspan(2, length);
    const bool fixed = length > 13 && (sense[0] & 0x7e) == 0x70, descriptor = length > 3 && (sense[0] & 0x7e) == 0x72;
    const unsigned code = fixed ? unsigned(sense[12] << 8 | sense[13]) : descriptor ? unsigned(sense[2] << 8 | sense[3]) : 0;
    log::info("%s: SCSI event %02x/%02x", name(), code >> 8, code & 0xff);
    if (code != 0x3f0e || !settings_.scan || !settled() || (rescan_ && rescan_->running())) return;
    rescan_ = std::make_unique<ScanJob>(context_.loop, [] {});
    if (auto begun = rescan_->start(context_.sysfs, *sid_, host_, settings_.queue_depth, true); !begun)
        log::error("scan of host%d failed: %s", host_, begun.error().text().c_str());
}

// Closes the session (leaving), or only clears the way for a new login (the target asked for it).
void KernelSession::send_logout() {
    timer_.cancel();
    wire::LogoutRequest request;
    request.reason = uint8_t(wire::final_bit | uint8_t(wire::LogoutReason::close_session));
    phase_ = Phase::logging_out;
    move(ConnectionEvent::logout_sent);
    auto sent = context_.transport.send_pdu(*sid_, cid, Bytes(reinterpret_cast<const uint8_t*>(&request), sizeof request), {});
    if (!sent) {
        log::warning("%s: %s", name(), sent.error().text().c_str());
        return lost(0);
    }
    timer_.arm(seconds(settings_.logout_timeout));
}

void KernelSession::on_logout_pdu(const kernel::Event& event) {
    if (phase_ != Phase::logging_out) return;
    wire::LogoutResponsePdu r;
    std::memcpy(static_cast<void*>(&r), event.header.data(), sizeof r);
    if (r.response != 0) log::warning("%s: the target answered the logout with %u", name(), r.response);
    if (work_ != Work::cleanup) return lost(seconds(r.time2wait));
    timer_.cancel();
    move(ConnectionEvent::logout_done);
    drop_connection(StopFlag::terminate);
    destroy();
    move(SessionEvent::logged_out);
    finish(InitiatorError::none, "");
}

void KernelSession::adopt(const kernel::SessionInfo& found) {
    set_sid(found.sid);
    host_ = found.host;
    established_ = true;
    // Never started by who made it: its devices are still to be found.
    scan_pending_ = context_.sysfs.devices(found.sid).empty() && settings_.scan;
    if (found.state == "LOGGED_IN" && (found.connection_state == "up" || found.connection_state.empty())) {
        connection_ = ConnectionState::logged_in;
        session_ = SessionState::logged_in;
        phase_ = Phase::full_feature;
        scan_pending_ = false;
        log::info("%s: session to %s taken over as it runs", name(), settings_.describe().c_str());
        return;
    }
    log::info("%s: session to %s taken over, logging in again", name(), settings_.describe().c_str());
    connection_ = ConnectionState::logged_in;
    session_ = SessionState::logged_in;
    lost(0);
}

void KernelSession::resync() {
    if (gone_ || !sid_ || connection_ != ConnectionState::logged_in) return;
    auto found = context_.sysfs.session(*sid_);
    if (!found) {
        sid_.reset();
        return finish(InitiatorError::session_not_found, "the session was removed");
    }
    if (found->state != "LOGGED_IN" || (!found->connection_state.empty() && found->connection_state != "up"))
        lost(seconds(settings_.offers.default_time2wait));
}

void KernelSession::logout(Done done) {
    if (done_ && established_ && !logout_after_ && work_ != Work::cleanup) {        // logged in, its devices are being looked for
        logout_after_ = std::move(done);
        return;
    }
    if (done_) return done(InitiatorError::busy, "the session is busy");
    done_ = std::move(done);
    limit_.cancel();
    work_ = Work::cleanup;
    if (connection_ == ConnectionState::logged_in) {
        phase_ = Phase::unbinding;
        // The devices first: the kernel writes their caches back through the session.
        if (auto asked = context_.transport.unbind_session(*sid_); !asked) {
            log::warning("%s: %s", name(), asked.error().text().c_str());
            return send_logout();
        }
        timer_.arm(seconds(uint64_t(settings_.logout_timeout) * 2));
        return;
    }
    // No connection to log out on: its devices get no more answers.
    timer_.cancel();
    connector_.reset();
    login_.reset();
    drop_connection(StopFlag::terminate);
    destroy();
    finish(InitiatorError::none, "");
}

// Takes the socket from the kernel and closes it with a reset: nothing of the old connection may come later.
void KernelSession::drop_connection(StopFlag flag) {
    if (fd_) {
        linger reset{1, 0};
        ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    }
    if (sid_)
        if (auto stopped = context_.transport.stop_connection(*sid_, cid, flag); !stopped)
            log::debug("%s: %s", name(), stopped.error().text().c_str());
    fd_.reset();
}

void KernelSession::destroy() {
    if (!sid_) return;
    phase_ = Phase::leaving;
    if (auto done = context_.transport.destroy_connection(*sid_, cid); !done)
        log::debug("%s: %s", name(), done.error().text().c_str());
    if (auto done = context_.transport.destroy_session(*sid_); !done)
        log::error("%s: %s", name(), done.error().text().c_str());
    sid_.reset();
    host_ = -1;
}

// The session is no more (or has never been).
void KernelSession::finish(InitiatorError error, const std::string& message) {
    timer_.cancel();
    scan_.reset();
    if (sid_) {                         // giving up a session the kernel still has
        drop_connection(StopFlag::terminate);
        destroy();
    }
    move(SessionEvent::closed);
    phase_ = Phase::leaving;
    std::string what = name_;
    what[0] = 'C';
    log::warning("%s to %s is shutdown.", what.c_str(), settings_.describe().c_str());
    gone_ = true;
    answer(error, message);
    context_.finished();
}

}  // namespace iscsi::initiator
