// Logout, RFC 7143 §11.14, §11.15.
#include "core/base/log.h"
#include "core/target/connection.h"

namespace iscsi::target {

using wire::LogoutReason;
using wire::LogoutResponse;

bool Connection::logout_request(const wire::LogoutRequest& header) {
    auto reason = LogoutReason(header.reason & 0x7f);
    wire::LogoutResponsePdu answer;
    answer.itt = header.itt;
    answer.time2wait = uint16_t(session_->params.default_time2wait);
    answer.time2retain = uint16_t(session_->params.default_time2retain);
    bool close_after = false;
    switch (reason) {
    case LogoutReason::close_session:
        close_after = true;
        break;
    case LogoutReason::close_connection:
        if (header.cid == cid_)
            close_after = true;
        else
            answer.response = uint8_t(LogoutResponse::cid_not_found);
        break;
    case LogoutReason::recover_connection:
        answer.response = uint8_t(LogoutResponse::recovery_unsupported);
        break;
    default:
        return reject(wire::RejectReason::invalid_pdu_field, wire::header_cast<wire::Bhs>(header));
    }
    if (!close_after) {
        control(answer);
        return true;
    }
    // Tasks of the connection end before the answer goes (§11.14.1).
    phase_ = Phase::logged_out;
    const uint16_t sid = session_->record->sid;
    auto done = [self = handle_, answer] {
        if (!*self) return;
        (*self)->control(answer);
        (*self)->close_when_sent_ = true;
        (*self)->schedule_pump();
    };
    log::debug("session %u: logout of %s", unsigned(sid), session_->record->initiator.c_str());
    session_->record->logged_out = true;
    while (send_head_) unqueue(*send_head_);
    session_->abort_all(nullptr, std::move(done));
    return phase_ != Phase::closed;
}

}  // namespace iscsi::target
