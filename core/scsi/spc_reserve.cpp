// RESERVE, RELEASE, PERSISTENT RESERVE IN and OUT as commands; their rules are in reservations.cpp.
#include <algorithm>
#include <chrono>
#include <condition_variable>

#include "core/base/log.h"
#include "core/scsi/disk.h"
#include "core/scsi/table.h"

namespace iscsi::scsi {

namespace {

// What a PERSISTENT RESERVE OUT still waits for, on a thread that may block.
struct Rest {
    std::mutex mutex;
    std::condition_variable changed;
    size_t aborting = 0;
    bool save = false;
    void aborted() {
        std::lock_guard lock(mutex);
        if (--aborting == 0) changed.notify_all();
    }
};

// Good status means that no task of a preempted nexus will write any more, and that APTPL is on the disk.
void finish_persistent_out(Disk& d, Command& c) {
    auto& rest = *static_cast<Rest*>(c.context.get());
    std::unique_lock lock(rest.mutex);
    if (!rest.changed.wait_for(lock, std::chrono::seconds(60), [&] { return rest.aborting == 0; })) {
        log::error("PREEMPT AND ABORT: tasks do not end, is the backing store hung?");
        return fail(c, SenseKey::hardware_error, 0x44);     // INTERNAL TARGET FAILURE
    }
    if (!rest.save) return;
    auto saved = d.save_reservations();
    if (saved) return;
    log::error("%s", saved.error().text().c_str());
    fail(c, SenseKey::hardware_error, 0x44);
}

}  // namespace

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
    std::vector<decltype(Nexus::abort_tasks)> abort;
    bool save = false;
    {
        std::lock_guard lock(u.mutex_);
        u.reservations_.out(c, !u.reservation_file_.empty(), effects, save);
        for (auto& e : effects)
            for (auto& [id, n] : u.nexuses_) {
                if (n.initiator_port != e.initiator_port || id == c.nexus->id) continue;
                const std::pair<uint8_t, uint8_t> what{e.asc, e.ascq};
                if (std::find(n.attentions.begin(), n.attentions.end(), what) == n.attentions.end()) n.attentions.push_back(what);
                if (e.abort && n.abort_tasks) abort.push_back(n.abort_tasks);
            }
        u.update_state_locked();
    }
    if (abort.empty() && !save) return true;
    auto rest = std::make_shared<Rest>();
    rest->save = save;
    rest->aborting = abort.size();
    const uint64_t lun = Router::encode_lun(u.identity_.lun);
    for (auto& end_tasks : abort) end_tasks(lun, [rest] { rest->aborted(); });
    c.context = rest;
    if (!disk(u).empty()) return submit(disk(u), c, finish_persistent_out);
    finish_persistent_out(disk(u), c);
    return true;
}

}  // namespace iscsi::scsi
