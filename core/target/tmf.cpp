// Task management, RFC 7143 §11.5, §11.6; query functions and I_T nexus reset, RFC 7144 §4. The answer goes once the tasks it
// speaks of are gone for good: none of their writes can reach the medium after it. It does not wait for the data that R2Ts of
// theirs asked for (§4.2.3.3 a): initiators that abort fast never send it, and what comes late is known by its old TTT.
#include <algorithm>

#include "core/target/connection.h"

namespace iscsi::target {

using wire::TmfFunction;
using wire::TmfResult;

namespace {
constexpr uint32_t max_waiting = 128;       // functions that wait for tasks to end, per connection
}

void Connection::tmf_response(uint32_t itt, TmfResult result) {
    wire::TmfResponse r;
    r.itt = itt;
    r.response = uint8_t(result);
    control(r);
    schedule_pump();
}

// Whether a task management function of this tag waits.
bool Connection::is_tmf(uint32_t itt) const {
    return std::find(tmfs_.begin(), tmfs_.end(), itt) != tmfs_.end() ||
           std::any_of(held_.begin(), held_.end(), [&](const HeldCommand& h) { return h.header.op() == wire::Opcode::tmf_request && h.header.itt == itt; });
}

// "Function complete", to be called on our loop, whenever; the connection may be gone by then.
std::function<void()> Connection::answer_later(uint32_t itt) {
    tmfs_.push_back(itt);
    return [self = handle_, itt] {
        if (!*self) return;
        auto& waiting = (*self)->tmfs_;
        if (auto own = std::find(waiting.begin(), waiting.end(), itt); own != waiting.end()) waiting.erase(own);
        if ((*self)->phase_ == Phase::full_feature) (*self)->tmf_response(itt, TmfResult::complete);
    };
}

// Commands of this LUN (all: nullopt) on every other session of the target, on whichever loop; `done` on ours.
void Connection::abort_elsewhere(std::optional<uint64_t> lun, std::function<void()> done) {
    auto waiting = std::make_shared<std::atomic<int>>(1);
    auto arrived = [waiting, loop = worker_.loop.get(), done = std::move(done)] {
        if (waiting->fetch_sub(1) == 1) loop->post(done);
    };
    for (const auto& record : worker_.directory.sessions.of_target(session_->target->tid())) {
        if (record.get() == session_->record.get() || !record->abort_tasks) continue;
        waiting->fetch_add(1);
        record->abort_tasks(lun, arrived);
    }
    arrived();
}

void Connection::abort_task(const wire::TmfRequest& header, std::function<void()> done) {
    Task* task = session_->find(header.referenced_task_tag);
    if (task && same_unit(task->command.lun, header.lun)) return session_->abort(*task, std::move(done));
    if (waits(header.referenced_task_tag, nullptr)) {
        take_waiting(header.referenced_task_tag);
        task_ended();
        return done();
    }
    // §11.6.1: not here. If its CmdSN may still come, before the function's own, it counts as received and aborted: its number
    // is used up by a PDU that does nothing.
    const uint32_t sn = header.ref_cmd_sn;
    CommandWindow& window = session_->window;
    if (task || !wire::sn_in_window(sn, window.exp_cmd_sn(), window.last_max_cmd_sn()) || !wire::sn_less(sn, header.cmd_sn)) {
        std::erase(tmfs_, uint32_t(header.itt));
        return tmf_response(header.itt, TmfResult::no_such_task);
    }
    wire::NopOut nothing;
    nothing.opcode |= wire::immediate_bit;
    nothing.itt = wire::reserved_tag;
    auto bhs = wire::header_cast<wire::Bhs>(nothing);
    auto held = std::find_if(held_.begin(), held_.end(), [&](const HeldCommand& h) { return h.cmd_sn == sn && !is_early(h); });
    if (held != held_.end()) {
        held_bytes_ -= held->data.size();
        *held = {bhs, {}, {}, sn};
    } else {
        held_.push_back({bhs, {}, {}, sn});
    }
    done();
    release_held();
}

bool Connection::tmf_request(const wire::TmfRequest& header) {
    const auto function = TmfFunction(header.function & 0x7f);
    const uint32_t itt = header.itt;
    const uint64_t lun = header.lun;
    const auto& table = session_->luns();
    auto number = scsi::Router::decode_lun(lun);
    auto unit = number ? table.find(*number) : table.end();
    auto answer = [&](TmfResult result) {
        tmf_response(itt, result);
        return true;
    };
    const bool wants_unit = function == TmfFunction::query_task_set || function == TmfFunction::abort_task_set ||
                            function == TmfFunction::clear_task_set || function == TmfFunction::logical_unit_reset;
    if (wants_unit && unit == table.end()) return answer(TmfResult::no_such_lun);
    if (tmfs_.size() >= max_waiting || held_.size() >= max_waiting) return answer(TmfResult::rejected);
    // §11.5.1: it acts on all commands with a lower CmdSN. Of those that have not come an immediate function of a set of tasks
    // waits for (§4.2.3.3 b); a reset of the target counts them as received.
    const uint32_t sn = header.cmd_sn, exp = session_->window.exp_cmd_sn();
    const bool early = header.opcode & wire::immediate_bit && wire::sn_in_window(sn, exp + 1, session_->window.last_max_cmd_sn() + 1);
    const bool of_target = function == TmfFunction::target_warm_reset || function == TmfFunction::target_cold_reset;
    if (early && (wants_unit || function == TmfFunction::i_t_nexus_reset)) {
        held_.insert(held_.begin(), {wire::header_cast<wire::Bhs>(header), {}, {}, sn});
        return true;
    }
    if (early && of_target) plug(sn);
    switch (function) {
    case TmfFunction::abort_task:
        if (is_tmf(header.referenced_task_tag)) return answer(TmfResult::rejected);         // §11.5.1
        abort_task(header, answer_later(itt));
        return phase_ != Phase::closed;
    case TmfFunction::query_task: {
        Task* task = session_->find(header.referenced_task_tag);
        const bool here = task ? same_unit(task->command.lun, lun) : waits(header.referenced_task_tag, nullptr);
        return answer(here ? TmfResult::succeeded : TmfResult::complete);
    }
    case TmfFunction::query_task_set:
        return answer(session_->has_tasks(lun) || waits(0, &lun) ? TmfResult::succeeded : TmfResult::complete);
    case TmfFunction::query_async_event:
        return answer(TmfResult::complete);
    case TmfFunction::abort_task_set:
        session_->abort_all(&lun, answer_later(itt));
        return true;
    case TmfFunction::clear_task_set:
    case TmfFunction::logical_unit_reset:
        if (function == TmfFunction::logical_unit_reset)
            unit->second->logical_unit_reset(&session_->nexus);
        else
            unit->second->raise_unit_attention(0x2f, 0x00, &session_->nexus);      // COMMANDS CLEARED BY ANOTHER INITIATOR
        session_->abort_all(&lun, [self = handle_, lun, last = answer_later(itt)] {
            if (*self) (*self)->abort_elsewhere(lun, last);
        });
        return true;
    case TmfFunction::target_warm_reset:
    case TmfFunction::target_cold_reset: {
        for (const auto& [n, u] : table) u->logical_unit_reset(&session_->nexus);
        auto last = answer_later(itt);
        if (function == TmfFunction::target_cold_reset)
            // §11.5.1: every connection is dropped, this one after the answer.
            last = [self = handle_, complete = std::move(last)] {
                complete();
                if (!*self) return;
                for (const auto& record : (*self)->worker_.directory.sessions.of_target((*self)->session_->target->tid()))
                    if (record.get() != (*self)->session_->record.get()) record->drop();
                (*self)->close_when_sent_ = true;
            };
        session_->abort_all(nullptr, [self = handle_, last = std::move(last)] {
            if (*self) (*self)->abort_elsewhere(std::nullopt, last);
        });
        if (early) release_held();
        return phase_ != Phase::closed;
    }
    case TmfFunction::i_t_nexus_reset:
        for (const auto& [n, u] : table) u->nexus_lost(session_->nexus), u->nexus_arrived(session_->nexus);
        session_->abort_all(nullptr, answer_later(itt));
        return true;
    case TmfFunction::task_reassign:                    // ErrorRecoveryLevel 2
        return answer(TmfResult::reassign_unsupported);
    case TmfFunction::clear_aca:                        // NormACA is 0 (SPC-4 6.4.2)
        return answer(TmfResult::not_supported);
    }
    return answer(TmfResult::not_supported);
}

}  // namespace iscsi::target
