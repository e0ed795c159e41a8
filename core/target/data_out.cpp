// SCSI Data-Out and R2T, RFC 7143 §11.7, §11.8: data for a task, as it comes: immediate, unsolicited, asked for. Each PDU is
// one piece: it goes to the medium (or the parameter list) at once, so that no more than one PDU per connection is ever held
// in memory, whatever the length of the command.
#include "core/target/connection.h"

#include <algorithm>

#include "core/base/log.h"

namespace iscsi::target {

using scsi::Flow;

namespace {
constexpr uint32_t bulk_from = 32 * 1024;
}

// Decides from the 48-byte header alone, before one byte of data is read. nullptr: fine; `task` is nullptr if the data is to be
// dropped, because the task is gone (aborted, or answered early).
const char* Connection::check_data_out(const wire::DataOut& h, Task*& task, Burst*& burst) {
    burst = nullptr;
    task = session_->find(h.itt);
    if (!task) return nullptr;
    if (task->connection != this) return "Data-Out on another connection than its command";       // §4.2.2: allegiance
    burst = task->find_burst(h.ttt);
    if (!burst) {
        // Late data of a task that has failed already, or of one that was aborted and whose tag this one bears now.
        if (h.ttt == wire::reserved_tag || task->phase != Task::Phase::data_out || wire::sn_less_equal(h.ttt, task->last_ttt_before)) {
            task = nullptr;
            return nullptr;
        }
        return "Data-Out with an unknown target transfer tag";
    }
    const uint32_t length = h.data_segment_length;
    if (h.buffer_offset != burst->next) return "Data-Out out of order with DataPDUInOrder=Yes";
    if (length > burst->end - burst->next) return "Data-Out overruns its burst";
    if ((h.flags & wire::final_bit) && h.ttt != wire::reserved_tag && length != burst->end - burst->next)
        return "Data-Out ends its burst early";
    return nullptr;
}

// Where a payload that is not here in whole goes: the medium's own memory if the store has some, the parameter list of its
// task, or a landing buffer that is given back once the PDU has been dealt with.
MutableBytes Connection::on_landing(const wire::Bhs& header, size_t length, size_t here) {
    landed_in_place_ = false;
    if (phase_ != Phase::full_feature || close_when_sent_) return {};
    if (header.op() != wire::Opcode::data_out) return header.op() == wire::Opcode::scsi_command ? take_landing(length) : MutableBytes();
    auto h = wire::header_cast<wire::DataOut>(header);
    Task* task = data_out_task_;
    if (task && !task->failed && uint64_t(h.buffer_offset) + length <= task->want) {
        scsi::Command& c = task->command;
        if (c.flow == Flow::data_out) return MutableBytes(c.parameters).subspan(h.buffer_offset, length);
        // With a digest, or behind a gap in DataSN, nothing reaches the medium before it is checked; and only the kernel may
        // touch the medium's memory.
        const Burst* burst = task->find_burst(h.ttt);
        if (c.flow == Flow::medium_write && !digests_.data && here == 0 && burst && h.data_sn == burst->exp_data_sn) {
            if (MutableBytes place = c.lu->in_place(c, h.buffer_offset, length); place.size() == length) {
                landed_in_place_ = true;
                landing_lu_ = c.lu;         // keeps the memory even if the task is aborted while data arrives
                return place;
            }
        }
    }
    return take_landing(length);
}

MutableBytes Connection::take_landing(size_t length) {
    landing_ = worker_.take_landing(length);
    return landing_.span().first(length);
}

void Connection::close_burst(Task& task, Burst& burst) {
    burst.open = false;
    task.open_bursts--;
    bulk_bursts_ -= burst.bulk;
}

void Connection::forget(Task& task) {
    unqueue(task);
    for (Burst& b : task.bursts)
        if (b.open) close_burst(task, b);
    if (data_out_task_ != &task) return;
    // The payload that is coming in right now must reach neither the medium nor memory that is given back.
    data_out_task_ = nullptr;
    stop_passing();
    landed_in_place_ = false;
    if (size_t length = reader_.landing()) {
        Buffer before = std::move(landing_);        // until the reader has taken from it what a digest covers
        reader_.move_landing(take_landing(length));
        if (before) worker_.give_back(std::move(before));
    }
}

// The PDU that has come in.
bool Connection::data_out(const wire::DataOut& header, Bytes data) {
    const bool in_place = std::exchange(landed_in_place_, false), passed = std::exchange(passing_, false);
    data_out_task_ = nullptr;
    auto unit = std::move(landing_lu_);
    return data_out(header, data, in_place, passed);
}

// That one, or one that was put aside: then another may be coming in meanwhile.
bool Connection::data_out(const wire::DataOut& header, Bytes data, bool in_place, bool passed) {
    Task* task;
    Burst* burst;
    record_->data_out_pdus.store(record_->data_out_pdus.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    if (const char* wrong = check_data_out(header, task, burst)) {
        close(wrong);
        return false;
    }
    if (!task) {
        if (passed || (waiting_.empty() && held_.empty())) return true;
        if (hold(header, data)) return phase_ != Phase::closed;
        return put_aside(header, data).value_or(true);
    }
    // §7.9: a gap in DataSN is taken as a digest error, and by §7.8 b the task ends once all its data has come.
    const bool out_of_sequence = header.data_sn != burst->exp_data_sn;          // §11.7.5
    if (out_of_sequence) task->failed = task->data_lost = true;
    burst->exp_data_sn = header.data_sn + 1;
    burst->next += header.data_segment_length;
    if (header.flags & wire::final_bit) {
        if (header.ttt == wire::reserved_tag) task->solicited = std::min(burst->next, task->want);      // it may end early
        close_burst(*task, *burst);
    }
    if (passed)
        ;       // pass() has taken it
    else if (in_place || out_of_sequence)
        task->received += uint32_t(data.size());
    else
        take_data(*task, header.buffer_offset, data);
    if (phase_ == Phase::closed) return false;
    want_more(*task);
    return true;
}

void Connection::transfer_done(scsi::Chunk& chunk) {
    Transfer& t = *static_cast<Transfer*>(chunk.owner);
    Task& task = *t.task;
    task.in_flight--;
    Worker& worker = task.session->worker;
    worker.remove_cold(chunk.data.size());
    if (task.aborted) {
        worker.give_back(std::unique_ptr<Transfer>(&t));
        task.session->returned(task);
        return;
    }
    task.connection->transferred(t);
}

// A piece that has to wait for the disk, with memory of its own (what was to be read_ahead, if anything was); comes back through
// transfer_done.
Transfer& Connection::cold_transfer(Task& task, uint32_t position, size_t length) {
    Transfer& t = *worker_.take_transfer().release();
    t.task = &task;
    t.buffer = task.read_ahead ? std::move(task.read_ahead) : worker_.transfer_memory(length);
    t.chunk.command = &task.command;
    t.chunk.position = position;
    t.chunk.data = *t.buffer;
    t.chunk.at_once = false;
    t.chunk.failed = false;
    t.chunk.owner = &t;
    t.chunk.done = transfer_done;
    task.in_flight++;
    worker_.add_cold(length);
    return t;
}

// `data` belongs at `offset` of the task's data-out buffer; it is valid during the call only.
void Connection::take_data(Task& task, uint32_t offset, Bytes data) {
    if (offset >= task.want) return;                    // beyond what the CDB asks for: residual underflow
    data = data.first(std::min<size_t>(data.size(), task.want - offset));
    task.received += uint32_t(data.size());
    scsi::Command& c = task.command;
    if (c.flow == Flow::data_out) {
        if (data.data() != c.parameters.data() + offset) std::copy(data.begin(), data.end(), c.parameters.begin() + offset);
        return;
    }
    if (task.failed || data.empty()) return;
    MutableBytes writable(const_cast<uint8_t*>(data.data()), data.size());     // the store only reads it
    scsi::Chunk& now = worker_.chunk;
    now.command = &c;
    now.position = offset;
    now.data = writable;
    now.at_once = true;
    now.failed = false;
    if (c.lu->transfer(now)) {
        task.failed |= now.failed;
        return;
    }
    Transfer& t = cold_transfer(task, offset, data.size());
    std::copy(data.begin(), data.end(), t.buffer->begin());
    if (c.lu->transfer(t.chunk)) {
        task.in_flight--;
        worker_.remove_cold(data.size());
        task.failed |= t.chunk.failed;
        worker_.give_back(std::unique_ptr<Transfer>(&t));
    }
}

// A transfer that had to wait is back.
void Connection::transferred(Transfer& t) {
    Task& task = *t.task;
    task.failed |= t.chunk.failed;
    if (task.phase == Task::Phase::data_in) {
        if (!task.failed) {
            task.read_ahead = std::move(t.buffer);
            task.read_ahead_used = 0;
        }
        worker_.give_back(std::unique_ptr<Transfer>(&t));
        if (task.failed)
            respond(task);
        else
            queue(task);
    } else {
        worker_.give_back(std::unique_ptr<Transfer>(&t));
        want_more(task);
    }
    schedule_pump();
}

// Asks for the next bursts (§11.8: R2T), or goes on when all data is there.
void Connection::want_more(Task& task) {
    if (task.phase != Task::Phase::data_out) return;
    const nego::Params& params = session_->params;
    // While unsolicited data comes nothing is asked for: it may end early, and where it ends the first R2T begins.
    if (!task.failed && !task.find_burst(wire::reserved_tag)) {
        bool cold = task.in_flight > 0;     // the disk is behind: one burst at a time, the initiator waits, not our memory
        while (task.solicited < task.want && task.open_bursts < (cold ? 1 : params.max_outstanding_r2t)) {
            if (cold && !worker_.cold_room()) break;
            auto slot = std::find_if(task.bursts.begin(), task.bursts.end(), [](const Burst& b) { return !b.open; });
            if (slot == task.bursts.end()) break;
            uint32_t length = std::min(task.want - task.solicited, params.max_burst);
            if (++session_->next_ttt == wire::reserved_tag) session_->next_ttt = 1;
            *slot = {session_->next_ttt, task.solicited, task.solicited + length, 0, true, length >= bulk_from};
            task.open_bursts++;
            bulk_bursts_ += slot->bulk;
            task.solicited += length;
            wire::R2t r;
            r.lun = task.command.lun;
            r.itt = task.itt;
            r.ttt = slot->ttt;
            r.r2t_sn = task.r2t_sn++;
            r.buffer_offset = slot->next;
            r.desired_length = length;
            control(r, {}, false);          // an R2T carries StatSN but does not advance it
        }
    }
    if (task.open_bursts > 0 || task.in_flight > 0) return;
    if (task.data_lost) scsi::fail(task.command, scsi::SenseKey::aborted_command, 0x47, 0x05);     // §11.4.7.2
    if (task.failed) return respond(task);
    if (task.received < task.want) return;          // unsolicited data ended early: the rest was just asked for
    if (task.command.flow == Flow::data_out)
        execute(task);
    else
        finish_medium(task);
}

}  // namespace iscsi::target
