// CHAP challenges that are out on connections still in their login, so that one reflected on a parallel connection is
// recognised (RFC 7143 §9.2.1). Thread safe; bounded by the number of connections in login.
#pragma once
#include <algorithm>
#include <mutex>
#include <vector>

#include "core/base/bytes.h"

namespace iscsi::target {

class Challenges {
public:
    void note(const void* login, Bytes challenge) {
        if (challenge.empty()) return;
        std::lock_guard lock(mutex_);
        std::erase_if(out_, [&](const Entry& e) { return e.login == login; });
        out_.push_back({login, {challenge.begin(), challenge.end()}});
    }
    void forget(const void* login) {
        std::lock_guard lock(mutex_);
        std::erase_if(out_, [&](const Entry& e) { return e.login == login; });
    }
    bool contains(Bytes challenge) const {
        std::lock_guard lock(mutex_);
        return std::any_of(out_.begin(), out_.end(), [&](const Entry& e) {
            return std::equal(e.challenge.begin(), e.challenge.end(), challenge.begin(), challenge.end());
        });
    }

private:
    struct Entry { const void* login; std::vector<uint8_t> challenge; };
    mutable std::mutex mutex_;
    std::vector<Entry> out_;
};

}  // namespace iscsi::target
