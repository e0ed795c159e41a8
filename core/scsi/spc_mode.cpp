// MODE SENSE and MODE SELECT (6) and (10), SPC-4 6.11 to 6.14.
#include "core/scsi/disk.h"
#include "core/scsi/table.h"

namespace iscsi::scsi {

bool Handlers::check_mode_sense(Unit&, Command& c) {
    if ((c.cdb[2] >> 6) == uint8_t(ModePages::Control::saved)) return illegal(c, 0x39);
    return true;
}

bool Handlers::mode_sense(Unit& u, Command& c) {
    const bool ten = c.cdb[0] == 0x5a, no_descriptor = c.cdb[1] & 8;
    std::vector<uint8_t> d(ten ? 8 : 4);
    const uint32_t state = u.state();
    d[ten ? 3 : 2] = uint8_t(0x10 | (state & (Unit::State::read_only | Unit::State::swp) ? 0x80 : 0));    // DPOFUA, WP
    if (!no_descriptor) {
        // Number of blocks 0: all of them. The long form (LLBAA) is not offered, which is allowed.
        d[ten ? 7 : 3] = 8;
        const size_t at = d.size();
        d.resize(at + 8);
        put24(&d[at + 5], disk(u).block_size());
    }
    std::lock_guard lock(u.mutex_);
    if (!u.modes_.sense(c.cdb[2] & 0x3f, c.cdb[3], ModePages::Control(c.cdb[2] >> 6), d)) {
        illegal(c, 0x24);
        return true;
    }
    if (ten) put16(&d[0], uint16_t(d.size() - 2));
    else d[0] = uint8_t(d.size() - 1);
    return answer(c, std::move(d));
}

bool Handlers::mode_select(Unit& u, Command& c) {
    const bool ten = c.cdb[0] == 0x55;
    auto refuse = [&](uint8_t asc) { return illegal(c, asc), true; };
    if (c.cdb[1] & 1) return refuse(0x24);                      // SP: nothing can be saved
    Bytes list(c.parameters);
    if (list.empty()) return true;                              // SPC-4: no parameter list is no error
    const size_t header = ten ? 8 : 4;
    if (list.size() < header) return refuse(0x1a);
    const size_t descriptors = ten ? get16(&list[6]) : list[3];
    if (ten && (list[4] & 1) && descriptors) return refuse(0x26);
    list = list.subspan(header);
    if (list.size() < descriptors) return refuse(0x1a);
    if (descriptors != 0) {
        if (descriptors != 8) return refuse(0x26);
        const uint32_t blocks = get32(&list[0]), size = get24(&list[5]);
        if (size != disk(u).block_size()) return refuse(0x26);
        if (blocks != 0 && blocks != 0xffffffff && blocks != disk(u).blocks()) return refuse(0x26);
        list = list.subspan(descriptors);
    }
    std::lock_guard lock(u.mutex_);
    bool changed = false;
    if (uint8_t asc = u.modes_.select(list, changed)) return refuse(asc);
    if (changed) {
        u.set_flag(Unit::State::swp, u.modes_.software_write_protect());
        u.set_flag(Unit::State::write_through, !u.modes_.write_cache());
        u.attention_locked(0x2a, 0x01, c.nexus);                // MODE PARAMETERS CHANGED, to the others
    }
    return true;
}

}  // namespace iscsi::scsi
