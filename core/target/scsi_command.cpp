// SCSI Command PDUs, RFC 7143 §11.3: from header to task, to the device server, to the first data.
#include "core/target/connection.h"

#include <time.h>

#include <algorithm>

namespace iscsi::target {

using scsi::Flow;
using wire::RejectReason;

namespace {

constexpr uint8_t ahs_extended_cdb = 1, ahs_bidi_read_length = 2;      // §11.2.2.1
// Parameter lists longer than this are refused by every command we have; COMPARE AND WRITE moves 2 x 255 blocks of 4096.
constexpr uint64_t max_parameter_list = 4 * 1024 * 1024;
constexpr uint32_t long_parameter_list = 64 * 1024;     // counts as memory of transfers

uint64_t now_us() {
    timespec t{};
    ::clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return uint64_t(t.tv_sec) * 1000000 + uint64_t(t.tv_nsec) / 1000;
}

// Walks the AHS list (§11.2.2): the rest of a long CDB, the read length of a bidirectional command. False if malformed.
bool read_ahs(Bytes ahs, Task& task) {
    while (ahs.size() >= 4) {
        size_t length = get16(ahs.data());
        uint8_t type = ahs[2] & 0x3f;
        size_t whole = pad4(length + 3);
        if (length < 1 || whole > ahs.size()) return false;
        if (type == ahs_extended_cdb) {
            size_t extra = length - 1;                      // byte 3 is reserved, then CDB bytes 16…
            if (extra > sizeof task.command.cdb - 16) return false;
            std::copy_n(ahs.data() + 4, extra, task.command.cdb + 16);
            task.command.cdb_length = 16 + extra;
        } else if (type == ahs_bidi_read_length) {
            if (length != 5) return false;
            task.edtl_in = get32(ahs.data() + 4);
        }
        ahs = ahs.subspan(whole);
    }
    return true;
}

// The device server is done; the task may have been aborted meanwhile.
void command_done(scsi::Command& command) {
    Task& task = *static_cast<Task*>(command.owner);
    task.in_flight--;
    if (task.aborted) return task.session->returned(task);
    task.connection->executed(task);
}

// What the PDU says, into the task and the command for the device server. False if the AHS is malformed.
bool take_header(const wire::ScsiCommand& header, Bytes ahs, Task& task) {
    using C = wire::ScsiCommand;
    const bool write = header.flags & C::write_bit, read = header.flags & C::read_bit;
    task.itt = header.itt;
    task.cmd_sn = header.cmd_sn;
    task.edtl = header.expected_data_transfer_length;
    task.flags = header.flags;
    task.immediate = header.opcode & wire::immediate_bit;
    scsi::Command& c = task.command;
    std::copy_n(header.cdb, 16, c.cdb);
    c.cdb_length = 16;
    if (!ahs.empty() && !read_ahs(ahs, task)) return false;
    if (!(read && write)) task.edtl_in = read ? task.edtl : 0;
    c.expected_out = write ? task.edtl : 0;
    c.expected_in = task.edtl_in;
    c.lun = header.lun;
    c.attribute = scsi::TaskAttribute(header.flags & C::attribute_mask);
    c.owner = &task;
    c.done = command_done;
    task.started_us = now_us();
    return true;
}

// Of counters that one thread alone writes.
template <class Number>
void add(std::atomic<Number>& counter, std::type_identity_t<Number> n) {
    counter.store(counter.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
}

}  // namespace

bool Connection::scsi_command(const wire::ScsiCommand& header, Bytes ahs, Bytes data) {
    using C = wire::ScsiCommand;
    auto bhs = wire::header_cast<wire::Bhs>(header);
    const bool write = header.flags & C::write_bit, final = header.flags & wire::final_bit;
    if (!final && !write) return reject(RejectReason::invalid_pdu_field, bhs);
    if (header.itt == wire::reserved_tag) return reject(RejectReason::invalid_pdu_field, bhs);
    if (session_->find(header.itt) || waits(header.itt, nullptr)) return reject(RejectReason::task_in_progress, bhs);
    const nego::Params& params = session_->params;
    if (!data.empty()) {
        if (!write || !params.immediate_data) return reject(RejectReason::protocol_error, bhs);
        if (data.size() > header.expected_data_transfer_length || data.size() > params.first_burst)
            return reject(RejectReason::invalid_pdu_field, bhs);
    }
    if (!final && params.initial_r2t) return reject(RejectReason::protocol_error, bhs);
    if (header.opcode & wire::immediate_bit && session_->tasks() > session_->window.last_max_cmd_sn() - session_->window.exp_cmd_sn() + 64)
        return reject(RejectReason::immediate_command_reject, bhs);
    session_->ordered_seen |= scsi::TaskAttribute(header.flags & C::attribute_mask) == scsi::TaskAttribute::ordered;
    return put_aside(header, ahs, data) || start(header, ahs, data);
}

bool Connection::start(const wire::ScsiCommand& header, Bytes ahs, Bytes data) {
    auto owner = worker_.take_task();
    Task& task = *owner;
    task.session = session_;
    task.connection = this;
    task.last_ttt_before = session_->next_ttt;
    task.command.nexus = &session_->nexus;
    task.command.engine = worker_.engine.get();
    if (!take_header(header, ahs, task)) {
        worker_.give_back(std::move(owner));
        return reject(RejectReason::invalid_pdu_field, wire::header_cast<wire::Bhs>(header));
    }
    session_->add(std::move(owner));
    add(record_->command_pdus, 1);

    const bool completed = scsi::begin(session_->luns(), task.command);
    task.counters = session_->counters(task.command.lun);
    if (task.counters) add(task.counters->in_flight, 1);
    if (completed) {
        task.want = 0;
        respond(task);
        return true;
    }
    switch (task.command.flow) {
    case Flow::none:
    case Flow::data_in:
        execute(task);
        return true;
    case Flow::medium_read:
        begin_read(task);
        return true;
    case Flow::data_out:
        if (!begin_parameter_list(task)) return true;
        break;
    case Flow::medium_write:
        task.want = uint32_t(std::min<uint64_t>(task.command.length, task.command.expected_out));
        break;
    }
    return begin_data_out(header, data, task);
}

// What moves is bounded by what the initiator expects (§11.4.5): the rest is residual overflow.
inline void Connection::begin_read(Task& task) {
    task.want = uint32_t(std::min<uint64_t>(task.command.length, task.edtl_in));
    account_start(task);
    task.phase = Task::Phase::data_in;
    if (task.want == 0) {
        finish_medium(task);
    } else {
        queue(task);
    }
}

// Makes room for the list; false: too long, or no memory for it now, and answered so.
inline bool Connection::begin_parameter_list(Task& task) {
    scsi::Command& c = task.command;
    if (c.length > max_parameter_list) {
        scsi::fail(c, scsi::SenseKey::illegal_request, 0x24, 0x00);
        respond(task);
        return false;
    }
    task.want = uint32_t(std::min<uint64_t>(c.length, c.expected_out));
    if (task.want > long_parameter_list) {
        if (!worker_.cold_room()) {
            c.status = scsi::Status::busy;
            task.want = 0;
            respond(task);
            return false;
        }
        worker_.add_cold(task.charged = task.want);
    }
    c.parameters.resize(task.want);
    return true;
}

// Takes the immediate data, expects the unsolicited, asks for the rest. False: the connection is closed.
inline bool Connection::begin_data_out(const wire::ScsiCommand& header, Bytes data, Task& task) {
    account_start(task);
    task.phase = Task::Phase::data_out;
    task.solicited = std::min<uint32_t>(uint32_t(data.size()), task.want);
    if (!(header.flags & wire::final_bit)) {    // unsolicited Data-Out PDUs follow, up to FirstBurstLength in all (§4.2.5.2... §11.7.1)
        Burst& b = task.bursts[0];
        b = {wire::reserved_tag, uint32_t(data.size()), std::min(session_->params.first_burst, task.command.expected_out), 0, true};
        task.open_bursts = 1;
        task.solicited = std::min(b.end, task.want);
    }
    if (!data.empty()) take_data(task, 0, data);
    if (phase_ == Phase::closed) return false;
    want_more(task);
    return true;
}

void Connection::account_start(Task& task) {
    if (!task.counters || task.accounted) return;
    task.accounted = true;
    if (task.is_write()) {
        add(task.counters->write_submitted, 1);
        add(task.counters->write_submitted_bytes, task.want);
    } else if (task.is_read()) {
        add(task.counters->read_submitted, 1);
        add(task.counters->read_submitted_bytes, task.want);
    }
}

void Connection::account_done(Task& task) {
    if (!task.counters) return;
    account_start(task);                // what ended before it began to move data
    add(task.counters->busy_us, now_us() - task.started_us);
    if (task.command.status == scsi::Status::check_condition) add(task.counters->errors, 1);
    if (task.is_write()) {
        add(task.counters->write_done, 1);
        add(task.counters->write_done_bytes, task.received);
    } else if (task.is_read()) {
        add(task.counters->read_done, 1);
        // The last PDU is on its way now.
        add(task.counters->read_done_bytes, task.command.status == scsi::Status::good ? task.want : task.sent);
    }
}

void Connection::execute(Task& task) {
    task.phase = Task::Phase::executing;
    task.in_flight++;
    if (!task.command.lu->execute(task.command)) return;
    task.in_flight--;
    executed(task);
}

void Connection::finish_medium(Task& task) {
    if (task.failed) return respond(task);
    task.phase = Task::Phase::executing;
    task.in_flight++;
    if (!task.command.lu->finish(task.command)) return;
    task.in_flight--;
    executed(task);
}

// execute() or finish() has completed.
void Connection::executed(Task& task) {
    scsi::Command& c = task.command;
    if (c.flow == Flow::data_in && c.status == scsi::Status::good && !c.parameters.empty() && task.edtl_in > 0) {
        task.want = uint32_t(std::min<uint64_t>(c.parameters.size(), task.edtl_in));
        task.phase = Task::Phase::data_in;
        queue(task);
    } else {
        respond(task);
    }
    schedule_pump();
}

void Connection::respond(Task& task) {
    task.phase = Task::Phase::respond;
    queue(task);
    schedule_pump();
}

}  // namespace iscsi::target
