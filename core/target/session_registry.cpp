#include "core/target/session_registry.h"

#include <algorithm>

namespace iscsi::target {

std::shared_ptr<LunCounters> SessionRecord::counters(uint64_t lun) {
    std::lock_guard lock(mutex);
    for (auto& [number, counters] : luns)
        if (number == lun) return counters;
    luns.emplace_back(lun, std::make_shared<LunCounters>());
    return luns.back().second;
}

uint16_t SessionRegistry::take_sid() {
    std::lock_guard lock(mutex_);
    for (unsigned tries = 0; tries < 0x10000; tries++) {
        uint16_t sid = next_sid_++;
        if (sid != 0 && std::none_of(records_.begin(), records_.end(), [&](const auto& r) { return r->sid == sid; })) return sid;
    }
    return 0;
}

void SessionRegistry::changed() {
    std::vector<std::pair<uint64_t, std::function<void()>>> watchers;
    {
        std::lock_guard lock(mutex_);
        watchers = watchers_;
    }
    for (auto& w : watchers) w.second();
}

bool SessionRegistry::add(std::shared_ptr<SessionRecord> record) {
    {
        std::lock_guard lock(mutex_);
        for (const auto& r : records_)
            if (r->tid == record->tid && r->isid == record->isid && r->initiator == record->initiator) return false;
        records_.push_back(std::move(record));
    }
    changed();
    return true;
}

void SessionRegistry::remove(const SessionRecord& record) {
    {
        std::lock_guard lock(mutex_);
        std::erase_if(records_, [&](const auto& r) { return r.get() == &record; });
    }
    changed();
}

std::vector<std::shared_ptr<SessionRecord>> SessionRegistry::all() const {
    std::lock_guard lock(mutex_);
    return records_;
}

std::vector<std::shared_ptr<SessionRecord>> SessionRegistry::of_target(int tid) const {
    auto list = all();
    std::erase_if(list, [&](const auto& r) { return r->tid != tid; });
    return list;
}

std::shared_ptr<SessionRecord> SessionRegistry::find(uint16_t sid) const {
    std::lock_guard lock(mutex_);
    for (const auto& r : records_)
        if (r->sid == sid) return r;
    return nullptr;
}

size_t SessionRegistry::size() const {
    std::lock_guard lock(mutex_);
    return records_.size();
}

uint64_t SessionRegistry::watch(std::function<void()> changed) {
    std::lock_guard lock(mutex_);
    watchers_.emplace_back(next_watcher_, std::move(changed));
    return next_watcher_++;
}

void SessionRegistry::unwatch(uint64_t id) {
    std::lock_guard lock(mutex_);
    std::erase_if(watchers_, [&](const auto& w) { return w.first == id; });
}

}  // namespace iscsi::target
