// PDUs of the full feature phase: in CmdSN order (RFC 7143 §4.2.2.1), then to the file of their kind.
#include <algorithm>

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
            if (h.cmd_sn == cmd_sn && !is_early(h)) return true;
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

// An immediate task management function that speaks of commands which have not come yet (tmf.cpp): it takes no CmdSN.
bool Connection::is_early(const HeldCommand& h) { return h.header.op() == Opcode::tmf_request && h.header.immediate(); }

// Unsolicited data of a command behind a gap waits with it. False: of none.
bool Connection::hold(const wire::DataOut& header, Bytes data) {
    auto command = std::find_if(held_.begin(), held_.end(), [&](const HeldCommand& h) {
        return h.header.op() == Opcode::scsi_command && uint32_t(h.header.itt) == uint32_t(header.itt);
    });
    if (command == held_.end()) return false;
    if (held_.size() >= max_held || held_bytes_ + data.size() > max_held_bytes) {
        close("too much data waits for a missing CmdSN");
        return true;
    }
    held_.push_back({wire::header_cast<Bhs>(header), {}, {data.begin(), data.end()}, command->cmd_sn});
    held_bytes_ += data.size();
    return true;
}

void Connection::release_held() {
    for (size_t i = 0; i < held_.size() && phase_ == Phase::full_feature;) {
        const uint32_t exp = session_->window.exp_cmd_sn(), sn = held_[i].cmd_sn;
        const bool early = is_early(held_[i]), data_out = held_[i].header.op() == Opcode::data_out;
        if (early ? wire::sn_less(exp, sn) : data_out ? !wire::sn_less(sn, exp) : sn != exp) {
            i++;
            continue;
        }
        HeldCommand h = std::move(held_[i]);
        held_.erase(held_.begin() + ptrdiff_t(i));
        held_bytes_ -= h.data.size();
        if (!early && !data_out) session_->window.arrive(sn);
        if (!perform(h.header, h.ahs, h.data)) return;
        i = 0;
    }
}

// Commands before `cmd_sn` that have not come, or wait behind one that has not, count as received and do nothing.
void Connection::plug(uint32_t cmd_sn) {
    std::erase_if(held_, [&](const HeldCommand& h) {
        if (is_early(h) || !wire::sn_less(h.cmd_sn, cmd_sn)) return false;
        held_bytes_ -= h.data.size();
        return true;
    });
    session_->window.skip_to(cmd_sn);
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
