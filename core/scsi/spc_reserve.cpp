// RESERVE, RELEASE, PERSISTENT RESERVE IN and OUT as commands; their rules are in reservations.cpp.
#include <algorithm>

#include "core/base/log.h"
#include "core/scsi/disk.h"
#include "core/scsi/table.h"

namespace iscsi::scsi {

// Third-party and extent reservations (SPC-2 5.5.1) are not offered.
bool Handlers::check_reserve(Unit&, Command& c) { return !(c.cdb[1] & 0x1f) || illegal(c, 0x24); }

bool Handlers::reserve(Unit& u, Command& c) {
    std::lock_guard lock(u.mutex_);
    if (c.nexus && !u.reservations_.reserve(*c.nexus)) c.status = Status::reservation_conflict;
    u.update_state_locked();
    return true;
}

bool Handlers::release(Unit& u, Command& c) {
    std::lock_guard lock(u.mutex_);
    if (c.nexus && !u.reservations_.release(*c.nexus)) c.status = Status::reservation_conflict;
    u.update_state_locked();
    return true;
}

bool Handlers::persistent_in(Unit& u, Command& c) {
    std::vector<uint8_t> out;
    std::lock_guard lock(u.mutex_);
    if (!u.reservations_.in(c, c.cdb[1] & 0x1f, !u.reservation_file_.empty(), out)) return true;
    return answer(c, std::move(out));
}

bool Handlers::persistent_out(Unit& u, Command& c) {
    if (!c.nexus) return illegal(c, 0x24), true;
    std::vector<Reservations::Effect> effects;
    std::vector<uint64_t> abort;
    bool save = false;
    {
        std::lock_guard lock(u.mutex_);
        u.reservations_.out(c, !u.reservation_file_.empty(), effects, save);
        for (auto& e : effects)
            for (auto& [id, n] : u.nexuses_) {
                if (n.initiator_port != e.initiator_port || id == c.nexus->id) continue;
                const std::pair<uint8_t, uint8_t> what{e.asc, e.ascq};
                if (std::find(n.attentions.begin(), n.attentions.end(), what) == n.attentions.end()) n.attentions.push_back(what);
                if (e.abort) abort.push_back(id);
            }
        u.update_state_locked();
    }
    for (uint64_t id : abort)
        if (u.abort_tasks) u.abort_tasks(u, id);
    if (!save) return true;
    // Good status means that it is on the disk.
    auto work = [](Disk& d, Command& command) {
        auto saved = d.save_reservations();
        if (saved) return;
        log::error("%s", saved.error().text().c_str());
        fail(command, SenseKey::hardware_error, 0x44);      // INTERNAL TARGET FAILURE
    };
    if (!disk(u).empty()) return submit(disk(u), c, work);
    work(disk(u), c);
    return true;
}

}  // namespace iscsi::scsi
