// TEST UNIT READY, REQUEST SENSE, REPORT SUPPORTED OPERATION CODES and the other small ones of SPC-4 clause 6.
#include <algorithm>

#include "core/scsi/disk.h"
#include "core/scsi/table.h"

namespace iscsi::scsi {

// Offline: a fixed disk says "becoming ready" (and still reads, as tgt's), a removable one that it has no medium.
bool Handlers::test_unit_ready(Unit& u, Command& c) {
    const uint32_t s = u.state();
    if (s & Unit::State::no_medium) return fail(c, SenseKey::not_ready, 0x3a), false;
    if (s & Unit::State::offline) return fail(c, SenseKey::not_ready, 0x04, 0x01), false;
    return true;
}

// SPC-4 6.39: a pending unit attention is reported as data and is gone then.
bool Handlers::request_sense(Unit& u, Command& c) {
    Sense sense;
    {
        std::lock_guard lock(u.mutex_);
        auto n = c.nexus ? u.nexuses_.find(c.nexus->id) : u.nexuses_.end();
        if (n != u.nexuses_.end() && !n->second.attentions.empty()) {
            sense.key = SenseKey::unit_attention;
            std::tie(sense.asc, sense.ascq) = n->second.attentions.front();
            n->second.attentions.erase(n->second.attentions.begin());
            u.update_state_locked();
        } else if (u.flag(Unit::State::no_medium)) {
            sense.key = SenseKey::not_ready;
            sense.asc = 0x3a;
        }
    }
    return answer(c, encode_sense(sense, (c.cdb[1] & 1) || u.descriptor_sense()));
}

bool Handlers::report_luns(Unit&, Command&) { return true; }      // begin (router.cpp) has made the answer

namespace {

// Nominal and recommended time-outs are for the longest that a command may take; 0: not specified (SPC-4 6.35.4).
void append_timeouts(std::vector<uint8_t>& d) {
    d.resize(d.size() + 12);
    put16(&d[d.size() - 12], 10);
}

// UNMAP is there although it answers 20h until thin provisioning is on: as tgt has it.
bool has(const Unit& u, const Row& row) {
    return row.flags & (u.type() == DeviceType::disk ? Row::disk : Row::controller);
}

}  // namespace

// SPC-4 6.35.
bool Handlers::report_opcodes(Unit& u, Command& c) {
    const bool timeouts = c.cdb[2] & 0x80;
    const uint8_t option = c.cdb[2] & 7, opcode = c.cdb[3];
    const uint16_t service = get16(c.cdb + 4);
    std::vector<uint8_t> d;
    if (option == 0) {
        d.resize(4);
        for (const Row& row : all_rows()) {
            if (!has(u, row)) continue;
            const size_t at = d.size();
            d.resize(at + 8);
            d[at] = row.opcode;
            if (row.service >= 0) put16(&d[at + 2], uint16_t(row.service)), d[at + 5] = 1;
            if (timeouts) d[at + 5] |= 2;
            put16(&d[at + 6], row.length);
            if (timeouts) append_timeouts(d);
        }
        put32(&d[0], uint32_t(d.size() - 4));
        return answer(c, std::move(d));
    }
    // A field pointer, because 24h alone is also what an unknown service action of A3h gets.
    auto refuse = [&](uint32_t field) {
        fail(c, Sense{SenseKey::illegal_request, 0x24, 0, {}, 0x400000 | field});
        return true;
    };
    if (option > 3) return refuse(2);
    const Row* found = nullptr;
    bool with_service = false;
    for (const Row& row : all_rows()) {
        if (row.opcode != opcode || !has(u, row)) continue;
        with_service = row.service >= 0;
        if (row.service < 0 || row.service == service) found = &row;
    }
    // Option 1 is for opcodes without service actions, 2 for those with; 3 takes either, with SERVICE ACTION 0 then.
    if (option == 1 && with_service) return refuse(2);
    if (option == 2 && found && !with_service) return refuse(2);
    if (option == 3 && found && !with_service && service != 0) found = nullptr;
    d.resize(4);
    d[1] = found ? 3 : 1;           // SUPPORT: as the standard says, or not at all
    if (found) {
        put16(&d[2], found->length);
        const size_t at = d.size();
        d.insert(d.end(), found->usage, found->usage + found->length);
        d[at] = opcode;
        if (timeouts) {
            d[1] |= 0x80;           // CTDP
            append_timeouts(d);
        }
    }
    return answer(c, std::move(d));
}

// SPC-4 6.36: ABORT TASK, ABORT TASK SET, CLEAR TASK SET, LOGICAL UNIT RESET, QUERY TASK, target reset.
bool Handlers::report_tmf(Unit&, Command& c) {
    std::vector<uint8_t> d(c.cdb[2] & 0x80 ? 16 : 4);
    d[0] = 0x80 | 0x40 | 0x10 | 0x08 | 0x04 | 0x02;
    d[3] = uint8_t(d.size() - 4);
    return answer(c, std::move(d));
}

// SPC-4 6.18 (as SBC-3 has it): kept per I_T nexus.
bool Handlers::prevent_allow(Unit& u, Command& c) {
    if (!c.nexus) return true;
    std::lock_guard lock(u.mutex_);
    auto& n = u.nexuses_[c.nexus->id];
    if (n.initiator_port.empty()) n.initiator_port = c.nexus->initiator_port;
    n.prevents_removal = c.cdb[4] & 1;
    return true;
}

// SBC-3 5.25. A stop without LOEJ is accepted and changes nothing but that the cache is written: the disk spins on.
bool Handlers::start_stop(Unit& u, Command& c) {
    const bool start = c.cdb[4] & 1, load_eject = c.cdb[4] & 2;
    const bool power_condition = c.cdb[4] & 0xf0, no_flush = c.cdb[4] & 4;
    if (!power_condition && load_eject && u.flag(Unit::State::removable)) {
        std::lock_guard lock(u.mutex_);
        if (u.removal_prevented()) return illegal(c, 0x53, 0x02), true;     // loading, too
        if (!start) {
            u.set_flag(Unit::State::offline, true);
            u.set_flag(Unit::State::no_medium, true);
        } else if (u.flag(Unit::State::no_medium)) {
            if (disk(u).empty()) return fail(c, SenseKey::not_ready, 0x3a), true;
            u.set_flag(Unit::State::offline, false);
            u.set_flag(Unit::State::no_medium, false);
            u.attention_locked(0x28, 0x00, c.nexus);            // NOT READY TO READY CHANGE
        }
    }
    if (start || no_flush || power_condition || disk(u).empty()) return true;
    return synchronize(u, c);
}

// FORMAT UNIT (SBC-3 5.2) and SEND DIAGNOSTIC (SPC-4 6.42), in their simple forms: without a parameter list.
bool Handlers::check_format(Unit&, Command& c) {
    if (c.cdb[0] == 0x04) return !(c.cdb[1] & 0xf0) || illegal(c, 0x24);
    // The default self test, with nothing to test: passed.
    return !((c.cdb[1] & 0xe0) || get16(c.cdb + 3)) || illegal(c, 0x24);
}

// Data after a format without initialization pattern are not specified: they stay.
bool Handlers::format_unit(Unit& u, Command& c) { return synchronize(u, c); }

}  // namespace iscsi::scsi
