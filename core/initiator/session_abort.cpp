// Commands that are not answered in time, RFC 7143 §11.5, §11.6: ABORT TASK, then LOGICAL UNIT RESET, then the session is
// reinstated. And what may be sent again after that, or after a lost connection.
#include <algorithm>

#include "core/base/log.h"
#include "core/initiator/session.h"
#include "core/initiator/session_tags.h"
#include "core/wire/serial.h"

namespace iscsi::initiator {

using wire::TmfFunction;
using wire::TmfResult;

namespace {

constexpr uint8_t max_sends = 6;                // of one command: it may be what breaks the target

// A command that was sent and not answered may have been carried out. These may be carried out twice: they read, or they
// leave the same blocks with the same contents as once. Nothing of the first time comes late, since a task is over when
// its abort is answered, and reinstatement ends the tasks of the session before (§6.3.5); nor has the caller sent anything
// else to those blocks that relied on the answer. Not so COMPARE AND WRITE (the second one finds the first one's data),
// PERSISTENT RESERVE OUT, MODE SELECT, EXTENDED COPY, and READ(6) and WRITE(6), which on a tape mean the next block.
bool repeatable(const uint8_t* cdb) {
    switch (cdb[0]) {
    case 0x00: case 0x03: case 0x12: case 0x1a: case 0x5a: case 0x4d: case 0xa0:     // TUR, sense, INQUIRY, modes, logs, LUNs
    case 0x25: case 0x28: case 0x88: case 0xa8:                                      // READ CAPACITY(10), READ(10, 16, 12)
    case 0x2a: case 0x8a: case 0xaa: case 0x2e: case 0x8e: case 0xae:                // WRITE, WRITE AND VERIFY(10, 16, 12)
    case 0x2f: case 0x8f: case 0xaf: case 0x34: case 0x90:                           // VERIFY(10, 16, 12), PRE-FETCH(10, 16)
    case 0x35: case 0x91:                                                            // SYNCHRONIZE CACHE(10, 16)
    case 0x41: case 0x93: case 0x42:                                                 // WRITE SAME(10, 16), UNMAP
    case 0x5e: case 0xa3: case 0x9e: return true;                                    // PERSISTENT RESERVE IN, what 9eh and a3h read
    default: return false;
    }
}

}  // namespace

bool Session::may_repeat(const ScsiRequest& request) const { return request.sends_ < max_sends && repeatable(request.cdb); }

void Session::time_out(ScsiRequest& request) {
    if (state_ != State::up || tmf_.active) return;
    for (Task& task : tasks_)
        if (task.request == &request && !task.answered) return abort_task(task);
}

void Session::check_times(uint64_t now) {
    if (tmf_.active) {
        const bool reset = tmf_.function == TmfFunction::logical_unit_reset;
        if (now - tmf_.sent_ms >= (reset ? settings_.reset_timeout_ms : settings_.abort_timeout_ms)) {
            tmf_.late++;
            tmf_failed("no answer");
        }
        return;
    }
    if (settings_.command_timeout_ms == 0) return;
    // Commands wait, none is under way that could open the window, and the target does not.
    const bool shut = pending_ && in_flight_ == 0 && !draining_ && !logout_sent_;
    if (!shut) shut_since_ms_ = now;
    else if (now - shut_since_ms_ >= settings_.command_timeout_ms) return lost("the target admits no commands");
    Task* oldest = nullptr;
    for (Task& task : tasks_) {
        if (!task.request || task.answered || now - task.started_ms < settings_.command_timeout_ms) continue;
        if (!oldest || task.started_ms < oldest->started_ms) oldest = &task;
    }
    if (oldest) abort_task(*oldest);
}

void Session::abort_task(Task& task) {
    log::warning("%s: command 0x%02x is not answered in time: it is aborted", settings_.login.offers.target_name.c_str(),
                 task.request->cdb[0]);
    send_tmf(TmfFunction::abort_task, task);
}

void Session::send_tmf(TmfFunction function, const Task& task) {
    wire::TmfRequest h;
    h.function = uint8_t(wire::final_bit | uint8_t(function));
    h.lun = task.request->lun;
    h.itt = tmf_.itt = next_tag(tmf_.itt, tmf_index);
    h.referenced_task_tag = function == TmfFunction::abort_task ? task.itt : wire::reserved_tag;
    h.cmd_sn = cmd_sn_;
    h.exp_stat_sn = exp_stat_sn_;
    h.ref_cmd_sn = function == TmfFunction::abort_task ? task.cmd_sn : 0;
    if (!connection_.put(h)) return lost("the target takes nothing from us");
    tmf_.active = true;
    tmf_.function = function;
    tmf_.task_itt = task.itt;
    tmf_.lun = task.request->lun;
    tmf_.sent_ms = loop_.now_ms();
}

// The function did not do it; the next harder one.
void Session::tmf_failed(const char* why) {
    tmf_.active = false;
    const Task* task = find(tmf_.task_itt);
    if (tmf_.function == TmfFunction::logical_unit_reset) return lost("a command was not answered in time, nor could the logical unit be reset");
    if (!task) return;                          // answered meanwhile
    log::warning("%s: abort: %s; the logical unit is reset", settings_.login.offers.target_name.c_str(), why);
    send_tmf(TmfFunction::logical_unit_reset, *task);
}

// The answer to an abort that we no longer wait for: once each. Tags count up, so one that was never used is known.
bool Session::late_tmf(uint32_t itt) {
    if (tmf_.late == 0 || tag_index(itt) != tmf_index || !wire::sn_less(itt, tmf_.itt + (tmf_.active ? 0 : 1))) return false;
    tmf_.late--;
    return true;
}

const char* Session::tmf_response(const wire::TmfResponse& h) {
    exp_stat_sn_ = h.stat_sn + 1;
    take_window(h.exp_cmd_sn, h.max_cmd_sn);
    if (late_tmf(h.itt)) return nullptr;
    if (!tmf_.active || h.itt != tmf_.itt) return "Task Management Function Response that was not asked for";
    const auto result = TmfResult(h.response);
    if (result == TmfResult::complete || result == TmfResult::no_such_task) {
        tmf_.active = false;
        over_by_tmf();
        return nullptr;
    }
    tmf_failed("the target refuses");
    return nullptr;
}

// The tasks that the function was about are no more, and have no answers.
void Session::over_by_tmf() {
    std::vector<Task*> gone;
    for (Task& task : tasks_) {
        if (!task.request || task.answered) continue;
        if (tmf_.function == TmfFunction::logical_unit_reset ? task.request->lun == tmf_.lun : task.itt == tmf_.task_itt) gone.push_back(&task);
    }
    // The newest first, as each goes to the head of the queue; then those that are the caller's again.
    std::sort(gone.begin(), gone.end(), [](Task* a, Task* b) { return wire::sn_less(b->cmd_sn, a->cmd_sn); });
    auto doubtful = std::stable_partition(gone.begin(), gone.end(), [this](Task* task) { return may_repeat(*task->request); });
    for (auto task = gone.begin(); task != gone.end() && state_ == State::up; ++task) {
        if (task >= doubtful) (*task)->request->outcome = ScsiRequest::Outcome::in_doubt;
        complete(**task);
    }
}

// A task is over: its request goes back to the caller or, without an outcome, to the head of the queue.
void Session::hand_back(ScsiRequest& request) {
    if (request.outcome != ScsiRequest::Outcome::pending) return request.done(request);
    request.next_ = pending_;
    pending_ = &request;
    if (!pending_last_) pending_last_ = &request;
}

// After a loss: what was under way goes back to the head of the queue in the order it had; what has its answer keeps it.
void Session::requeue_all() {
    std::vector<Task*> running;
    std::vector<ScsiRequest*> over;
    for (Task& task : tasks_) {
        if (!task.request) continue;
        if (task.request->outcome != ScsiRequest::Outcome::pending) {
            over.push_back(task.request);
        } else if (state_ != State::ended && !may_repeat(*task.request)) {
            task.request->outcome = ScsiRequest::Outcome::in_doubt;
            over.push_back(task.request);
        } else {
            running.push_back(&task);
        }
    }
    std::sort(running.begin(), running.end(), [](Task* a, Task* b) { return wire::sn_less(b->cmd_sn, a->cmd_sn); });
    for (Task* task : running) hand_back(*task->request);
    free_ = nullptr;
    for (auto task = tasks_.rbegin(); task != tasks_.rend(); ++task) {
        task->request = nullptr;
        task->in_burst_queue = task->answered = false;
        task->next_burst = free_;
        free_ = &*task;
    }
    bursts_ = bursts_last_ = nullptr;
    in_flight_ = lingering_ = 0;
    tmf_.active = false;
    tmf_.late = 0;
    for (ScsiRequest* request : over) request->done(*request);
}

}  // namespace iscsi::initiator
