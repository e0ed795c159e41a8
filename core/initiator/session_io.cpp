// The full feature phase of a session: commands, data both ways, and what else the target may say.
#include <algorithm>

#include "core/base/log.h"
#include "core/initiator/session.h"
#include "core/initiator/session_tags.h"
#include "core/wire/serial.h"

namespace iscsi::initiator {

using wire::Opcode;

namespace {
constexpr uint8_t simple_attribute = 1;         // §11.3.1
constexpr uint8_t max_empty_data = 16;          // Data-In PDUs without data, for one command
}  // namespace

// ---- out

void Session::submit(ScsiRequest& request) {
    request.outcome = ScsiRequest::Outcome::pending;
    request.status = 0;
    request.sense_length = 0;
    request.transferred = request.residual = 0;
    request.overflow = request.underflow = false;
    request.next_ = nullptr;
    request.sends_ = 0;
    (pending_last_ ? pending_last_->next_ : pending_) = &request;
    pending_last_ = &request;
    if (state_ == State::up) pump();
    else if (state_ == State::ended) fail_later_.schedule();
}

// Sends what may be sent: first the data that is owed, then new commands.
void Session::pump() {
    if (state_ != State::up || logout_sent_) return;
    while (bursts_ || (pending_ && free_ && !draining_ && !resetting() && wire::sn_less_equal(cmd_sn_, max_cmd_sn_))) {
        if (!connection_.want_room()) return;
        if (bursts_) {
            send_data_out(*bursts_);
            continue;
        }
        ScsiRequest& request = *pending_;
        pending_ = request.next_;
        if (!pending_) pending_last_ = nullptr;
        start_command(request);
    }
    if (in_flight_ == 0 && (draining_ || (logout_wanted_ && !pending_))) send_logout();
}

void Session::start_command(ScsiRequest& request) {
    const nego::Params& p = success_.params;
    Task& task = *free_;
    free_ = task.next_burst;
    const uint32_t index = uint32_t(&task - tasks_.data());
    task.itt = next_tag(task.itt, index);
    task.request = &request;
    task.cmd_sn = cmd_sn_;
    task.exp_data_sn = task.exp_r2t_sn = task.received = task.solicited = 0;
    task.first_burst = task.burst_count = task.empty_data = 0;
    task.answered = false;
    task.started_ms = loop_.now_ms();
    request.sends_++;

    const uint32_t length = request.expected();
    wire::ScsiCommand h;
    h.flags = wire::final_bit | simple_attribute;
    Bytes immediate;
    if (!request.out.empty()) {
        h.flags |= wire::ScsiCommand::write_bit;
        const uint32_t unsolicited = std::min(p.first_burst, length);
        if (p.immediate_data) immediate = request.out.first(std::min(unsolicited, p.max_xmit_data_segment));
        const uint32_t sent = uint32_t(immediate.size());
        if (!p.initial_r2t && sent < unsolicited) {
            h.flags &= uint8_t(~wire::final_bit);               // unsolicited Data-Out follows
            owe(task, {wire::reserved_tag, sent, unsolicited - sent, 0});
        }
    } else if (length > 0) {
        h.flags |= wire::ScsiCommand::read_bit;
    }
    h.data_segment_length = uint32_t(immediate.size());
    h.lun = request.lun;
    h.itt = task.itt;
    h.expected_data_transfer_length = length;
    h.cmd_sn = cmd_sn_++;
    h.exp_stat_sn = exp_stat_sn_;
    std::memcpy(h.cdb, request.cdb, sizeof h.cdb);
    connection_.put(h, immediate);
    task.last_put = connection_.put_count();
    in_flight_++;
}

void Session::owe(Task& task, const Burst& burst) {
    task.bursts[(task.first_burst + task.burst_count) % std::size(task.bursts)] = burst;
    task.burst_count++;
    if (task.in_burst_queue) return;
    task.in_burst_queue = true;
    task.next_burst = nullptr;
    (bursts_last_ ? bursts_last_->next_burst : bursts_) = &task;
    bursts_last_ = &task;
}

// One Data-Out PDU of the task at the head of the queue.
void Session::send_data_out(Task& task) {
    Burst& burst = task.bursts[task.first_burst];
    const uint32_t length = std::min(burst.left, success_.params.max_xmit_data_segment);
    wire::DataOut h;
    h.flags = length == burst.left ? wire::final_bit : 0;
    h.data_segment_length = length;
    h.lun = task.request->lun;
    h.itt = task.itt;
    h.ttt = burst.ttt;
    h.exp_stat_sn = exp_stat_sn_;
    h.data_sn = burst.data_sn++;
    h.buffer_offset = burst.offset;
    connection_.put(h, task.request->out.subspan(burst.offset, length));
    task.last_put = connection_.put_count();
    burst.offset += length;
    burst.left -= length;
    if (burst.left > 0) return;
    task.first_burst = uint8_t((task.first_burst + 1) % std::size(task.bursts));
    if (--task.burst_count > 0) return;
    task.in_burst_queue = false;
    bursts_ = task.next_burst;
    if (!bursts_) bursts_last_ = nullptr;
}

// ---- in

Session::Task* Session::find(uint32_t itt) {
    const uint32_t index = tag_index(itt);
    if (index >= tasks_.size()) return nullptr;
    Task& task = tasks_[index];
    return task.request && task.itt == itt && !task.answered ? &task : nullptr;
}

// §4.2.2.1: both or neither; they only grow.
void Session::take_window(uint32_t exp_cmd_sn, uint32_t max_cmd_sn) {
    if (wire::sn_less(max_cmd_sn, exp_cmd_sn - 1)) return;
    if (wire::sn_less(exp_cmd_sn_, exp_cmd_sn)) exp_cmd_sn_ = exp_cmd_sn;
    if (wire::sn_less(max_cmd_sn_, max_cmd_sn)) max_cmd_sn_ = max_cmd_sn;
}

Connection::Landing Session::arriving(const wire::Bhs& header) {
    using Way = Connection::Landing::Way;
    if (state_ != State::up) return {Way::scratch, nullptr, ""};
    if (header.opcode == uint8_t(Opcode::data_in)) return data_in_landing(wire::header_cast<wire::DataIn>(header));
    return {Way::scratch, nullptr, ""};
}

// RFC 7143 §11.7: decides from the header alone. We negotiate DataPDUInOrder=Yes and DataSequenceInOrder=Yes.
Connection::Landing Session::data_in_landing(const wire::DataIn& h) {
    using Way = Connection::Landing::Way;
    auto refuse = [](const char* why) { return Connection::Landing{Way::refuse, nullptr, why}; };
    Task* task = find(h.itt);
    if (!task || !task->request->reads()) return refuse("Data-In for a command that is not a read in progress");
    const uint32_t length = h.data_segment_length, expected = task->request->expected();
    if (h.data_sn != task->exp_data_sn) return refuse("Data-In with a wrong DataSN");
    if (h.buffer_offset != task->received) return refuse("Data-In out of order");
    if (length > expected - task->received) return refuse("Data-In beyond the length that was asked for");
    if (task->request->in.data()) return {Way::here, task->request->in.data() + task->received, ""};
    if (connection_.can_discard()) return {Way::discard, nullptr, ""};
    if (!sink_) sink_ = std::make_unique_for_overwrite<uint8_t[]>(std::max<size_t>(success_.params.max_recv_data_segment, Connection::scratch_size));
    return {Way::here, sink_.get(), ""};
}

void Session::arrived(const wire::Bhs& header, Bytes data) {
    if (state_ == State::login) return login_pdu(header, data);
    if (state_ != State::up) return;
    const char* wrong = nullptr;
    switch (Opcode(header.opcode)) {
    case Opcode::data_in: wrong = data_in(wire::header_cast<wire::DataIn>(header), data); break;
    case Opcode::scsi_response: wrong = scsi_response(wire::header_cast<wire::ScsiResponse>(header), data); break;
    case Opcode::r2t: wrong = r2t(wire::header_cast<wire::R2t>(header)); break;
    case Opcode::tmf_response: wrong = tmf_response(wire::header_cast<wire::TmfResponse>(header)); break;
    case Opcode::nop_in: wrong = nop_in(wire::header_cast<wire::NopIn>(header)); break;
    case Opcode::reject: wrong = reject(wire::header_cast<wire::Reject>(header), data); break;
    case Opcode::async_message: wrong = async_message(wire::header_cast<wire::AsyncMessage>(header)); break;
    case Opcode::logout_response: wrong = logout_response(wire::header_cast<wire::LogoutResponsePdu>(header)); break;
    default: wrong = "a PDU that the target may not send now";
    }
    if (wrong) return lost(wrong);
    if (pending_ || bursts_ || logout_wanted_ || draining_) pump();
}

const char* Session::data_in(const wire::DataIn& h, Bytes) {
    if (h.data_segment_length == 0) {               // arriving() was not asked
        if (auto landing = data_in_landing(h); landing.way == Connection::Landing::Way::refuse) return landing.why;
    }
    Task* task = find(h.itt);
    if (!task) return "Data-In for a command that is not in progress";
    if (h.data_segment_length == 0 && ++task->empty_data > max_empty_data) return "Data-In without data, without end";
    task->exp_data_sn++;
    task->received += h.data_segment_length;
    const bool with_status = h.flags & wire::DataIn::status_bit;
    // TTT, LUN and the A bit matter from ErrorRecoveryLevel 1 on.
    take_window(h.exp_cmd_sn, h.max_cmd_sn);
    if (!with_status) return nullptr;
    exp_stat_sn_ = h.stat_sn + 1;
    ScsiRequest& request = *task->request;
    request.outcome = ScsiRequest::Outcome::answered;
    request.status = h.status;
    request.overflow = h.flags & wire::DataIn::overflow;
    request.underflow = h.flags & wire::DataIn::underflow;
    request.residual = h.residual_count;
    complete(*task);
    return nullptr;
}

const char* Session::scsi_response(const wire::ScsiResponse& h, Bytes data) {
    exp_stat_sn_ = h.stat_sn + 1;
    take_window(h.exp_cmd_sn, h.max_cmd_sn);
    Task* task = find(h.itt);
    if (!task) return "SCSI Response for a command that is not in progress";
    ScsiRequest& request = *task->request;
    request.outcome = h.response == 0 ? ScsiRequest::Outcome::answered : ScsiRequest::Outcome::rejected;
    request.status = h.status;
    request.overflow = h.flags & wire::ScsiResponse::overflow;
    request.underflow = h.flags & wire::ScsiResponse::underflow;
    request.residual = h.residual_count;
    if (data.size() >= 2) {                         // §11.4.7: SenseLength, sense data, response data
        size_t length = std::min<size_t>({get16(data.data()), data.size() - 2, sizeof request.sense});
        std::memcpy(request.sense, data.data() + 2, length);
        request.sense_length = uint16_t(length);
    }
    complete(*task);
    return nullptr;
}

const char* Session::r2t(const wire::R2t& h) {
    const nego::Params& p = success_.params;
    take_window(h.exp_cmd_sn, h.max_cmd_sn);        // carries the next StatSN but does not use it up
    Task* task = find(h.itt);
    if (!task || task->request->out.empty()) return "R2T for a command that is not a write in progress";
    const uint32_t total = uint32_t(task->request->out.size()), offset = h.buffer_offset, length = h.desired_length;
    if (h.data_segment_length != 0) return "R2T with data";
    if (h.ttt == wire::reserved_tag) return "R2T without a target transfer tag";
    if (h.r2t_sn != task->exp_r2t_sn) return "R2T with a wrong R2TSN";
    if (length == 0 || offset > total || length > total - offset) return "R2T for bytes that the command does not have";
    if (length > p.max_burst) return "R2T longer than MaxBurstLength";
    // The same byte is not asked for twice at ErrorRecoveryLevel 0: otherwise it would never end.
    if (length > total - task->solicited) return "R2Ts for more bytes than the command has";
    unsigned outstanding = task->burst_count;
    if (outstanding > 0 && task->bursts[task->first_burst].ttt == wire::reserved_tag) outstanding--;
    if (outstanding >= std::min(p.max_outstanding_r2t, uint32_t(max_r2t))) return "more R2Ts than MaxOutstandingR2T";
    task->exp_r2t_sn++;
    task->solicited += length;
    owe(*task, {h.ttt, offset, length, 0});
    return nullptr;
}

const char* Session::nop_in(const wire::NopIn& h) {
    take_window(h.exp_cmd_sn, h.max_cmd_sn);
    if (h.itt != wire::reserved_tag) {              // the answer to our ping
        if (h.itt != ping_tag || !ping_sent_) return "NOP-In that answers nothing";
        exp_stat_sn_ = h.stat_sn + 1;
        ping_sent_ = false;
        return nullptr;
    }
    if (h.ttt == wire::reserved_tag) return nullptr;
    return connection_.put(ping_answer(h, cmd_sn_, exp_stat_sn_)) ? nullptr : "the target does not take our answers";
}

const char* Session::reject(const wire::Reject& h, Bytes data) {
    exp_stat_sn_ = h.stat_sn + 1;
    take_window(h.exp_cmd_sn, h.max_cmd_sn);
    log::debug("target rejects a PDU, reason 0x%02x", h.reason);
    if (data.size() < wire::bhs_length) return "Reject without the header that it is about";
    wire::Bhs refused;
    std::memcpy(&refused, data.data(), sizeof refused);
    if (refused.op() == Opcode::nop_out) {          // alive, and that is all we wanted to know
        ping_sent_ = false;
        return nullptr;
    }
    // A Data-Out with a bad digest: the target ends the command itself, with a SCSI Response (§7.8).
    if (refused.op() == Opcode::data_out) return nullptr;
    if (refused.op() == Opcode::tmf_request) {
        if (late_tmf(refused.itt)) return nullptr;
        if (!tmf_.active || refused.itt != tmf_.itt) return "the target rejects our PDU";
        tmf_failed("the target rejects it");
        return nullptr;
    }
    Task* task = refused.op() == Opcode::scsi_command ? find(refused.itt) : nullptr;
    if (!task) return "the target rejects our PDU";
    task->request->outcome = ScsiRequest::Outcome::rejected;
    complete(*task);
    return nullptr;
}

const char* Session::async_message(const wire::AsyncMessage& h) {
    exp_stat_sn_ = h.stat_sn + 1;
    take_window(h.exp_cmd_sn, h.max_cmd_sn);
    switch (wire::AsyncEvent(h.async_event)) {
    case wire::AsyncEvent::logout_request:          // within parameter3 seconds
    case wire::AsyncEvent::renegotiate:             // we do that by logging in anew
        hurry_logout(uint64_t(h.parameter3) * 1000);
        return nullptr;
    case wire::AsyncEvent::drop_connection:
    case wire::AsyncEvent::drop_all_connections: return "the target drops the connection";
    default: return nullptr;                        // sense data of unit attentions come with the next command, too
    }
}

const char* Session::logout_response(const wire::LogoutResponsePdu& h) {
    if (!logout_sent_ || h.itt != logout_tag) return "Logout Response that was not asked for";
    if (!logout_wanted_) return "logged out as the target wished";      // and in again
    end({SessionEnd::Kind::logout, "", {}});
    return nullptr;
}

// ---- endings

void Session::complete(Task& task) {
    ScsiRequest& request = *task.request;
    progress_ = progress_ || request.outcome == ScsiRequest::Outcome::answered;
    request.transferred = task.received;
    if (task.in_burst_queue || task.last_put > connection_.sent_count()) {
        // Answered before all of its data went out: the bytes are borrowed until the kernel has those queued. What is
        // still owed need not be sent (§4.2.5.2: only what was asked for and not yet answered).
        if (task.in_burst_queue) {
            Task** at = &bursts_;
            Task* before = nullptr;
            while (*at != &task) {
                before = *at;
                at = &before->next_burst;
            }
            *at = task.next_burst;
            if (bursts_last_ == &task) bursts_last_ = before;
            task.in_burst_queue = false;
        }
        if (task.last_put > connection_.sent_count()) {
            task.answered = true;
            lingering_++;
            connection_.want_sent();
            return;
        }
    }
    release(task);
    hand_back(request);
}

void Session::release(Task& task) {
    task.request = nullptr;
    task.next_burst = free_;
    free_ = &task;
    in_flight_--;
}

void Session::finish_answered() {
    if (lingering_ == 0) return;
    bool left = false;
    for (Task& task : tasks_) {
        if (!task.request || !task.answered) continue;
        if (task.last_put > connection_.sent_count()) {
            left = true;
            continue;
        }
        ScsiRequest& request = *task.request;
        lingering_--;
        release(task);
        hand_back(request);
        if (state_ != State::up) return;
    }
    if (left) connection_.want_sent();
}

void Session::room() {
    finish_answered();
    if (state_ == State::up) pump();
}

}  // namespace iscsi::initiator
