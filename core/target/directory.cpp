#include "core/target/directory.h"

#include <algorithm>

namespace iscsi::target {

std::shared_ptr<Target> Directory::add(int tid, const std::string& name) {
    std::lock_guard lock(mutex_);
    for (const auto& t : targets_)
        if (t->tid() == tid || t->name() == name) return nullptr;
    targets_.push_back(std::make_shared<Target>(tid, name));
    return targets_.back();
}

bool Directory::remove(int tid) {
    std::lock_guard lock(mutex_);
    auto place = std::find_if(targets_.begin(), targets_.end(), [&](const auto& t) { return t->tid() == tid; });
    if (place == targets_.end()) return false;
    (*place)->deleted = true;
    targets_.erase(place);
    return true;
}

std::shared_ptr<Target> Directory::find(int tid) const {
    std::lock_guard lock(mutex_);
    for (const auto& t : targets_)
        if (t->tid() == tid) return t;
    return nullptr;
}

std::shared_ptr<Target> Directory::find(std::string_view name) const {
    std::lock_guard lock(mutex_);
    for (const auto& t : targets_)
        if (t->name() == name) return t;
    return nullptr;
}

std::vector<std::shared_ptr<Target>> Directory::targets() const {
    auto list = targets_by_age();
    std::sort(list.begin(), list.end(), [](const auto& a, const auto& b) { return a->tid() < b->tid(); });
    return list;
}

std::vector<std::shared_ptr<Target>> Directory::targets_by_age() const {
    std::lock_guard lock(mutex_);
    return targets_;
}

bool Directory::empty() const {
    std::lock_guard lock(mutex_);
    return targets_.empty();
}

bool Directory::add_account(const std::string& user, const Secret& secret) {
    std::lock_guard lock(mutex_);
    if (account(user)) return false;
    accounts_.push_back({user, secret});
    return true;
}

bool Directory::remove_account(std::string_view user) {
    std::lock_guard lock(mutex_);
    if (std::erase_if(accounts_, [&](const Account& a) { return a.user == user; }) == 0) return false;
    auto unbind = [&](std::vector<std::string>& incoming, std::optional<std::string>& outgoing) {
        std::erase(incoming, user);
        if (outgoing == user) outgoing.reset();
    };
    unbind(discovery_.incoming, discovery_.outgoing);
    for (const auto& t : targets_) t->change([&](TargetConfig& c) { unbind(c.incoming_users, c.outgoing_user); });
    return true;
}

bool Directory::set_secret(std::string_view user, const Secret& secret) {
    std::lock_guard lock(mutex_);
    for (Account& a : accounts_)
        if (a.user == user) {
            a.secret = secret;
            return true;
        }
    return false;
}

bool Directory::has_account(std::string_view user) const {
    std::lock_guard lock(mutex_);
    return account(user).has_value();
}

std::vector<std::string> Directory::accounts() const {
    std::lock_guard lock(mutex_);
    std::vector<std::string> users;
    for (auto a = accounts_.rbegin(); a != accounts_.rend(); ++a) users.push_back(a->user);
    return users;
}

Directory::DiscoveryUsers Directory::discovery_users() const {
    std::lock_guard lock(mutex_);
    return discovery_;
}

std::optional<Account> Directory::account(std::string_view user) const {
    for (const Account& a : accounts_)
        if (a.user == user) return a;
    return std::nullopt;
}

AuthPolicy Directory::policy(const Target* target) const {
    std::lock_guard lock(mutex_);
    std::vector<std::string> incoming = discovery_.incoming;
    std::optional<std::string> outgoing = discovery_.outgoing;
    if (target) {
        TargetConfig c = target->config();
        incoming = c.incoming_users;
        outgoing = c.outgoing_user;
    }
    AuthPolicy policy;
    for (const std::string& user : incoming)
        if (auto a = account(user)) policy.incoming.push_back(*a);
    if (outgoing) policy.outgoing = account(*outgoing);
    return policy;
}

}  // namespace iscsi::target
