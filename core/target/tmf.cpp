// Task management, RFC 7143 §11.5, §11.6; query functions and I_T nexus reset, RFC 7144 §4. The answer goes once the tasks it
// speaks of are gone for good: none of their writes can reach the medium after it.
#include "core/target/connection.h"

namespace iscsi::target {

using wire::TmfFunction;
using wire::TmfResult;

void Connection::tmf_response(uint32_t itt, TmfResult result) {
    wire::TmfResponse r;
    r.itt = itt;
    r.response = uint8_t(result);
    control(r);
    schedule_pump();
}

// Commands of this LUN (all: nullptr) on every other session of the target, on whichever loop; `done` on ours.
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

bool Connection::tmf_request(const wire::TmfRequest& header) {
    const auto function = TmfFunction(header.function & 0x7f);
    const uint32_t itt = header.itt;
    const uint64_t lun = header.lun;
    const auto& table = session_->luns();
    auto number = scsi::Router::decode_lun(lun);
    auto unit = number ? table.find(*number) : table.end();
    auto answer_when_gone = [this, session = session_->handle(), itt](TmfResult result) {
        return [this, session, itt, result] {
            if (*session && phase_ == Phase::full_feature) tmf_response(itt, result);
        };
    };
    switch (function) {
    case TmfFunction::abort_task: {
        Task* task = session_->find(header.referenced_task_tag);
        if (task && task->command.lun == lun) {
            session_->abort(*task, answer_when_gone(TmfResult::complete));
            return true;
        }
        // §11.5.5: not here; if its CmdSN is within the window it may never come: then it counts as aborted.
        bool in_window = wire::sn_in_window(header.ref_cmd_sn, session_->window.exp_cmd_sn(), session_->window.last_max_cmd_sn());
        for (auto h = held_.begin(); h != held_.end(); ++h)
            if (h->cmd_sn == header.ref_cmd_sn) {
                h->header.opcode = uint8_t(wire::Opcode::nop_out);          // its number still counts; it does nothing
                auto nop = wire::header_cast<wire::NopOut>(h->header);
                nop.itt = wire::reserved_tag;
                nop.opcode |= wire::immediate_bit;
                h->header = wire::header_cast<wire::Bhs>(nop);
                h->data.clear();
                in_window = true;
                break;
            }
        tmf_response(itt, in_window ? TmfResult::complete : TmfResult::no_such_task);
        return true;
    }
    case TmfFunction::query_task:
        tmf_response(itt, session_->find(header.referenced_task_tag) ? TmfResult::succeeded : TmfResult::complete);
        return true;
    case TmfFunction::query_task_set: {
        if (unit == table.end()) {
            tmf_response(itt, TmfResult::no_such_lun);
            return true;
        }
        tmf_response(itt, session_->has_tasks(lun) ? TmfResult::succeeded : TmfResult::complete);
        return true;
    }
    case TmfFunction::query_async_event:
        tmf_response(itt, TmfResult::complete);
        return true;
    case TmfFunction::abort_task_set:
        if (unit == table.end()) {
            tmf_response(itt, TmfResult::no_such_lun);
            return true;
        }
        session_->abort_all(&lun, answer_when_gone(TmfResult::complete));
        return true;
    case TmfFunction::clear_task_set:
    case TmfFunction::logical_unit_reset: {
        if (unit == table.end()) {
            tmf_response(itt, TmfResult::no_such_lun);
            return true;
        }
        if (function == TmfFunction::logical_unit_reset)
            unit->second->logical_unit_reset(&session_->nexus);
        else
            unit->second->raise_unit_attention(0x2f, 0x00, &session_->nexus);      // COMMANDS CLEARED BY ANOTHER INITIATOR
        auto last = answer_when_gone(TmfResult::complete);
        session_->abort_all(&lun, [this, session = session_->handle(), lun, last] {
            if (*session && phase_ == Phase::full_feature) abort_elsewhere(lun, last);
        });
        return true;
    }
    case TmfFunction::target_warm_reset:
    case TmfFunction::target_cold_reset: {
        for (const auto& [n, u] : table) u->logical_unit_reset(&session_->nexus);
        if (function == TmfFunction::target_cold_reset) {
            // §11.5.1: every connection is dropped, this one after the answer.
            for (const auto& record : worker_.directory.sessions.of_target(session_->target->tid()))
                if (record.get() != session_->record.get()) record->drop();
            session_->abort_all(nullptr, [this, session = session_->handle(), itt] {
                if (!*session || phase_ != Phase::full_feature) return;
                tmf_response(itt, TmfResult::complete);
                close_when_sent_ = true;
            });
            return true;
        }
        auto last = answer_when_gone(TmfResult::complete);
        session_->abort_all(nullptr, [this, session = session_->handle(), last] {
            if (*session && phase_ == Phase::full_feature) abort_elsewhere(std::nullopt, last);
        });
        return true;
    }
    case TmfFunction::i_t_nexus_reset:
        for (const auto& [n, u] : table) u->nexus_lost(session_->nexus), u->nexus_arrived(session_->nexus);
        session_->abort_all(nullptr, answer_when_gone(TmfResult::complete));
        return true;
    case TmfFunction::task_reassign:                    // ErrorRecoveryLevel 2
        tmf_response(itt, TmfResult::reassign_unsupported);
        return true;
    case TmfFunction::clear_aca:                        // NormACA is 0 (SPC-4 6.4.2)
        tmf_response(itt, TmfResult::not_supported);
        return true;
    }
    tmf_response(itt, TmfResult::not_supported);
    return true;
}

}  // namespace iscsi::target
