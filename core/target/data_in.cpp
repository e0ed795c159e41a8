// SCSI Data-In and SCSI Response, RFC 7143 §11.7, §11.4: what a task sends. Good status rides on the last Data-In PDU
// (phase collapse). A cached piece of a medium read is read straight into the send batch, behind its header; or, where the
// store has it in memory or in the page cache, it is sent from there: not to who sends ORDERED commands, because one that follows
// may change what the socket still refers to.
#include <algorithm>

#include "core/target/connection.h"

namespace iscsi::target {

using scsi::Flow;
using scsi::Status;

namespace {
constexpr uint32_t max_inline = 128 * 1024;     // one Data-In PDU's payload through the batch
constexpr uint32_t min_in_place = 2048;         // below this, a reference costs more than the copy
constexpr uint32_t min_in_file = 8192;          // likewise
constexpr uint32_t cold_piece = 256 * 1024;     // one read that waits for the disk
}  // namespace

// True when this turn of the task is over (answered, or waiting for the disk); false: there is more, in its next turn.
bool Connection::produce(Task& task) {
    switch (task.phase) {
    case Task::Phase::data_in:
        return task.command.flow == Flow::medium_read ? produce_medium_read(task) : produce_parameters(task);
    case Task::Phase::respond:
        if (!worker_.batch.has_room(512)) return false;
        produce_status(task);
        return true;
    default:
        return true;
    }
}

// §11.4.5: what the initiator expected against what the CDB asked for.
void Connection::residual(const Task& task, uint8_t& flags, uint32_t& count) const {
    const scsi::Command& c = task.command;
    count = 0;
    uint64_t asked = c.length;
    if (c.flow == Flow::data_in) asked = c.status == Status::good || task.sent ? c.parameters.size() : 0;
    if (c.flow == Flow::none) asked = 0;
    uint32_t expected = task.is_write() ? task.edtl : task.edtl_in;
    if (c.status != Status::good && c.status != Status::condition_met) asked = std::min<uint64_t>(task.is_write() ? task.received : task.sent, asked);
    if (asked > expected) {
        flags |= wire::ScsiResponse::overflow;
        count = uint32_t(std::min<uint64_t>(asked - expected, 0xffffffff));
    } else if (asked < expected) {
        flags |= wire::ScsiResponse::underflow;
        count = expected - uint32_t(asked);
    }
}

// Header of the next Data-In PDU of `length` bytes. `last`: status may ride on it.
wire::DataIn Connection::data_in_header(Task& task, uint32_t length, bool last) {
    wire::DataIn d;
    d.itt = task.itt;
    d.ttt = wire::reserved_tag;
    d.data_segment_length = length;
    d.data_sn = task.data_sn++;
    d.buffer_offset = task.sent;
    const uint32_t end = task.sent + length, burst = session_->params.max_burst;
    // F ends a sequence: at most MaxBurstLength each (§13.13).
    if (last || end % burst == 0) d.flags |= wire::final_bit;
    task.sent = end;
    if (last) {
        uint32_t count;
        uint8_t residual_flags = 0;
        residual(task, residual_flags, count);
        d.flags |= uint8_t(wire::DataIn::status_bit | residual_flags);
        d.status = uint8_t(task.command.status);
        d.residual_count = count;
        stamp(d, true);
    } else {
        d.exp_cmd_sn = exp_cmd_sn();
        d.max_cmd_sn = max_cmd_sn();
    }
    return d;
}

// How much the next PDU may carry: the initiator's limit, the rest of the sequence, the rest of the command.
uint32_t Connection::data_in_limit(const Task& task) const {
    const uint32_t burst = session_->params.max_burst;
    return std::min({max_xmit_, burst - task.sent % burst, task.want - task.sent});
}

bool Connection::produce_parameters(Task& task) {
    while (task.sent < task.want) {
        uint32_t length = std::min(data_in_limit(task), max_inline);
        if (!worker_.batch.has_room(length)) return false;
        bool last = task.sent + length == task.want;
        uint32_t from = task.sent;
        count_data_in();
        if (last) retire_after(task);
        worker_.batch.append(data_in_header(task, length, last), Bytes(task.command.parameters).subspan(from, length), digests_);
    }
    session_->retire(task);
    return true;
}

bool Connection::produce_medium_read(Task& task) {
    scsi::Command& c = task.command;
    wire::PduBatch& batch = worker_.batch;
    while (task.sent < task.want) {
        uint32_t length = data_in_limit(task);
        if (!batch.has_room(0)) return false;
        // Status rides on the last PDU only if finish() has nothing to wait for, as for every read.
        bool last = task.sent + length == task.want;
        if (task.read_ahead) {
            length = std::min(length, uint32_t(task.read_ahead->size() - task.read_ahead_used));
            last = task.sent + length == task.want;
            if (last && !finished_read(task)) return true;
            Bytes piece = Bytes(*task.read_ahead).subspan(task.read_ahead_used, length);
            task.read_ahead_used += length;
            auto keep = task.read_ahead;
            if (task.read_ahead_used == task.read_ahead->size()) task.read_ahead.reset();
            count_data_in();
            if (last) retire_after(task);
            const uint32_t memory = sends_by_reference(length) ? uint32_t(keep->size()) : 0;
            batch.refer(data_in_header(task, length, last), piece, digests_, std::move(keep), memory);
            continue;
        }
        if (length >= min_in_place && !digests_.data && !session_->ordered_seen) {
            if (MutableBytes place = c.lu->in_place(c, task.sent, length); place.size() == length) {
                if (last && !finished_read(task)) return true;
                count_data_in();
                if (last) retire_after(task);
                batch.refer(data_in_header(task, length, last), place, digests_, c.lu);
                continue;
            }
            store::FileRange range;
            if (length >= min_in_file) range = c.lu->in_file(c, task.sent, length);
            if (range) {
                if (last && !finished_read(task)) return true;
                count_data_in();
                if (last) retire_after(task);
                batch.refer_file(data_in_header(task, length, last), {range.fd, 0, range.offset}, length, digests_, c.lu);
                continue;
            }
        }
        length = std::min(length, max_inline);
        last = task.sent + length == task.want;
        if (sends_by_reference(length)) {
            if (read_ahead(task)) continue;
            if (!task.failed) return start_cold_read(task);
            respond(task);
            return true;
        }
        if (!batch.has_room(length)) return false;
        scsi::Chunk& now = worker_.chunk;
        now.command = &c;
        now.position = task.sent;
        now.data = batch.payload_place(length, digests_);
        now.at_once = true;
        now.failed = false;
        if (!c.lu->transfer(now)) return start_cold_read(task);
        if (now.failed) {
            task.failed = true;
            respond(task);
            return true;
        }
        if (last && !finished_read(task)) return true;
        count_data_in();
        if (last) retire_after(task);
        batch.commit(data_in_header(task, length, last), digests_);
    }
    session_->retire(task);
    return true;
}

// The status of a medium read, before it rides on the last Data-In. False: it failed and was queued as a response.
bool Connection::finished_read(Task& task) {
    task.in_flight++;
    bool done = task.command.lu->finish(task.command);
    if (!done) {                        // a device server that must wait here answers through executed()
        task.phase = Task::Phase::executing;
        return false;
    }
    task.in_flight--;
    if (task.command.status == Status::good) return true;
    respond(task);
    return false;
}

// Reads the next piece into memory of its own if that can be done at once.
bool Connection::read_ahead(Task& task) {
    task.read_ahead = worker_.transfer_memory(std::min(cold_piece, task.want - task.sent));
    task.read_ahead_used = 0;
    scsi::Chunk& now = worker_.chunk;
    now.command = &task.command;
    now.position = task.sent;
    now.data = *task.read_ahead;
    now.at_once = true;
    now.failed = false;
    if (!task.command.lu->transfer(now)) return false;
    task.failed = now.failed;
    return !now.failed;
}

// The next piece has to come from the disk, into what was to be read_ahead, if anything was. False: memory for such reads is used
// up; the task's turn comes again.
bool Connection::start_cold_read(Task& task) {
    if (!worker_.cold_room()) {
        task.read_ahead.reset();
        worker_.wait_for_room(*this);
        return false;
    }
    uint32_t length = std::min(cold_piece, task.want - task.sent);
    Transfer& t = cold_transfer(task, task.sent, length);
    if (task.command.lu->transfer(t.chunk)) {
        task.in_flight--;
        worker_.remove_cold(length);
        transferred(t);
    }
    return true;
}

void Connection::count_data_in() {
    record_->data_in_pdus.store(record_->data_in_pdus.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

void Connection::retire_after(Task& task) {
    record_->response_pdus.store(record_->response_pdus.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    account_done(task);
    session_->answered();
}

void Connection::produce_status(Task& task) {
    scsi::Command& c = task.command;
    wire::ScsiResponse r;
    r.itt = task.itt;
    r.status = uint8_t(c.status);
    r.exp_data_sn = task.is_write() ? task.r2t_sn : task.data_sn;
    uint8_t residual_flags = 0;
    uint32_t count;
    residual(task, residual_flags, count);
    r.flags |= residual_flags;
    r.residual_count = count;
    if (task.is_read() && task.is_write() && task.edtl_in > 0) {     // no command of ours returns data both ways
        r.flags |= wire::ScsiResponse::bidi_underflow;
        r.bidi_residual_count = task.edtl_in;
    }
    std::vector<uint8_t> sense;
    if (c.status == Status::check_condition) {
        sense = scsi::encode_sense(c.sense, c.lu && c.lu->descriptor_sense());
        uint8_t length[2];
        put16(length, uint16_t(sense.size()));
        sense.insert(sense.begin(), length, length + 2);
    }
    retire_after(task);
    stamp(r, true);
    worker_.batch.append(r, sense, digests_);
    session_->retire(task);
}

}  // namespace iscsi::target
