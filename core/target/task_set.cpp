// Task attributes, SAM-5 8.6, within one session: an ORDERED command starts once all older ones of its logical unit have ended,
// and those behind it start once it has; HEAD OF QUEUE waits for nobody. Starting is what moves data to the medium, so a command
// that waits keeps its PDUs here, its unsolicited data included, and goes through the usual path when its turn comes.
//
// One gap is left: a READ that has ended may be in the socket by reference still (data_in.cpp) when the session's first ORDERED
// command comes, and may then show what that writes. From that command on nothing is sent by reference, so no later one can. It
// could be closed without cost for SIMPLE tasks: let the first one wait, unless its ExpStatSN acknowledges all status sent, for
// the answer to a ping put behind the READ. But there are initiators that do not answer pings, and for those a command would hang:
// worse than a READ that returns what is on the medium by the time it arrives.
#include <algorithm>

#include "core/target/connection.h"

namespace iscsi::target {

using scsi::TaskAttribute;
using wire::ScsiCommand;

namespace {
constexpr size_t max_waiting_bytes = 1024 * 1024;

TaskAttribute attribute(const ScsiCommand& h) { return TaskAttribute(h.flags & ScsiCommand::attribute_mask); }
bool is_command(const wire::Bhs& h) { return h.op() == wire::Opcode::scsi_command; }
}  // namespace

// Whether a command behind the first `before` PDUs that wait must wait, too.
bool Connection::must_wait(const ScsiCommand& h, size_t before) const {
    if (attribute(h) == TaskAttribute::head_of_queue) return false;
    const bool ordered = attribute(h) == TaskAttribute::ordered;
    for (size_t i = 0; i < before; i++) {
        if (!is_command(waiting_[i].header)) continue;
        auto older = wire::header_cast<ScsiCommand>(waiting_[i].header);
        if ((ordered || attribute(older) == TaskAttribute::ordered) && same_unit(older.lun, h.lun)) return true;
    }
    return ordered ? session_->has_tasks(h.lun) : session_->has_ordered_tasks(h.lun);
}

// True if the command was put aside (or turned away, because too much waits already).
bool Connection::put_aside(const ScsiCommand& header, Bytes ahs, Bytes data) {
    const bool simple = attribute(header) != TaskAttribute::ordered;
    if (simple && waiting_.empty() && session_->ordered_tasks() == 0) return false;
    if (!must_wait(header, waiting_.size())) return false;
    size_t bytes = data.size();
    if (!(header.flags & wire::final_bit)) bytes = std::max<size_t>(bytes, session_->params.first_burst);
    if (waiting_bytes_ + bytes > max_waiting_bytes) {
        wire::ScsiResponse full;
        full.itt = header.itt;
        full.status = uint8_t(scsi::Status::task_set_full);
        control(full);
        return true;
    }
    waiting_bytes_ += bytes;
    waiting_.push_back({wire::header_cast<wire::Bhs>(header), {ahs.begin(), ahs.end()}, {data.begin(), data.end()}, uint32_t(bytes)});
    return true;
}

// Unsolicited data of a command that waits. Nothing: nobody waits under this tag; else whether the connection lives on.
std::optional<bool> Connection::put_aside(const wire::DataOut& header, Bytes data) {
    auto command = std::find_if(waiting_.begin(), waiting_.end(), [&](const HeldCommand& h) { return is_command(h.header) && h.header.itt == header.itt; });
    if (command == waiting_.end()) return std::nullopt;
    size_t all = data.size();
    for (const HeldCommand& h : waiting_)
        if (h.header.itt == header.itt) all += h.data.size();
    if (all > session_->params.first_burst || waiting_.size() > 4096) {
        close("Data-Out overruns its burst");
        return false;
    }
    waiting_.push_back({wire::header_cast<wire::Bhs>(header), {}, {data.begin(), data.end()}, 0});
    return true;
}

bool Connection::waits(uint32_t itt, const uint64_t* lun) const {
    return std::any_of(waiting_.begin(), waiting_.end(), [&](const HeldCommand& h) {
        return is_command(h.header) && (lun ? same_unit(h.header.lun, *lun) : h.header.itt == itt);
    });
}

// All PDUs under this tag, the command first.
std::vector<Connection::HeldCommand> Connection::take_waiting(uint32_t itt) {
    std::vector<HeldCommand> taken, rest;
    for (HeldCommand& h : waiting_) (h.header.itt == itt ? taken : rest).push_back(std::move(h));
    waiting_ = std::move(rest);
    for (const HeldCommand& h : taken) waiting_bytes_ -= is_command(h.header) ? h.cmd_sn : 0;
    return taken;
}

void Connection::drop_waiting(const uint64_t* lun) {
    for (size_t i = 0; i < waiting_.size();) {
        const wire::Bhs& h = waiting_[i].header;
        if (is_command(h) && (!lun || same_unit(h.lun, *lun)))
            take_waiting(h.itt), i = 0;
        else
            i++;
    }
}

// A task has ended: whose turn is it now?
void Connection::start_waiting() {
    for (size_t i = 0; i < waiting_.size() && phase_ == Phase::full_feature;) {
        auto command = wire::header_cast<ScsiCommand>(waiting_[i].header);
        if (!is_command(waiting_[i].header) || must_wait(command, i)) {
            i++;
            continue;
        }
        bool go_on = true;
        for (HeldCommand& h : take_waiting(command.itt)) {
            go_on = go_on && (is_command(h.header) ? start(command, h.ahs, h.data) : data_out(wire::header_cast<wire::DataOut>(h.header), h.data, false, false));
        }
        if (!go_on) return;
        i = 0;
    }
    pump();
}

}  // namespace iscsi::target
