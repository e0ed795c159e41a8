// PDUs of the full feature phase: in CmdSN order (RFC 7143 §4.2.2.1), then to the file of their kind.
#include "core/target/connection.h"

namespace iscsi::target {

using wire::Bhs;
using wire::Opcode;
using wire::RejectReason;

namespace {
constexpr size_t max_held = 64, max_held_bytes = 1024 * 1024;      // commands that wait for a gap in CmdSN to close

bool carries_cmd_sn(Opcode op) {
    switch (op) {
    case Opcode::nop_out: case Opcode::scsi_command: case Opcode::tmf_request: case Opcode::text_request: case Opcode::logout_request:
        return true;
    default:
        return false;
    }
}
}  // namespace

bool Connection::dispatch(const Bhs& header, Bytes ahs, Bytes data) {
    if (!carries_cmd_sn(header.op())) return perform(header, ahs, data);
    // A NOP-Out that only confirms (ITT reserved) is immediate and advances nothing.
    if (header.immediate()) return perform(header, ahs, data);
    return sequenced(header, ahs, data);
}

bool Connection::sequenced(const Bhs& header, Bytes ahs, Bytes data) {
    uint32_t cmd_sn = wire::header_cast<wire::ScsiCommand>(header).cmd_sn;      // the same place in all of them
    switch (session_->window.arrive(cmd_sn)) {
    case CommandWindow::Fate::ignore:
        return true;                    // §4.2.2.1: outside the window, silently
    case CommandWindow::Fate::hold:
        for (const HeldCommand& h : held_)
            if (h.cmd_sn == cmd_sn) return true;
        if (held_.size() >= max_held || held_bytes_ + data.size() > max_held_bytes) {
            close("too many commands wait for a missing CmdSN");
            return false;
        }
        held_.push_back({header, {ahs.begin(), ahs.end()}, {data.begin(), data.end()}, cmd_sn});
        held_bytes_ += data.size();
        return true;
    case CommandWindow::Fate::start:
        break;
    }
    if (!perform(header, ahs, data)) return false;
    if (!held_.empty()) release_held();
    return phase_ != Phase::closed;
}

void Connection::release_held() {
    for (size_t i = 0; i < held_.size() && phase_ == Phase::full_feature;) {
        if (held_[i].cmd_sn != session_->window.exp_cmd_sn()) {
            i++;
            continue;
        }
        HeldCommand h = std::move(held_[i]);
        held_.erase(held_.begin() + ptrdiff_t(i));
        held_bytes_ -= h.data.size();
        session_->window.arrive(h.cmd_sn);
        if (!perform(h.header, h.ahs, h.data)) return;
        i = 0;
    }
}

bool Connection::perform(const Bhs& header, Bytes ahs, Bytes data) {
    if (session_->discovery() && header.op() != Opcode::text_request && header.op() != Opcode::logout_request &&
        header.op() != Opcode::nop_out)
        return reject(RejectReason::protocol_error, header);           // §4.3: a discovery session does SendTargets only
    switch (header.op()) {
    case Opcode::scsi_command: return scsi_command(wire::header_cast<wire::ScsiCommand>(header), ahs, data);
    case Opcode::data_out: return data_out(wire::header_cast<wire::DataOut>(header), data);
    case Opcode::tmf_request: return tmf_request(wire::header_cast<wire::TmfRequest>(header));
    case Opcode::text_request: return text_request(wire::header_cast<wire::TextRequest>(header), data);
    case Opcode::nop_out: return nop_out(wire::header_cast<wire::NopOut>(header), data);
    case Opcode::logout_request: return logout_request(wire::header_cast<wire::LogoutRequest>(header));
    case Opcode::snack: return reject(RejectReason::snack_reject, header);          // ErrorRecoveryLevel 0 has none
    case Opcode::login_request: return reject(RejectReason::protocol_error, header);
    default: return reject(RejectReason::command_not_supported, header);
    }
}

// §11.17: the header that was refused goes back with the reason.
bool Connection::reject(RejectReason reason, const Bhs& header) {
    wire::Reject r;
    r.reason = uint8_t(reason);
    control(r, {reinterpret_cast<const uint8_t*>(&header), sizeof header});
    return true;
}

}  // namespace iscsi::target
