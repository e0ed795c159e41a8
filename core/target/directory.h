// All that management configures and sessions ask: targets, accounts, system state, sessions. One per daemon, shared by
// all loops; every method is thread safe and short.
#pragma once
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/target/challenges.h"
#include "core/target/session_registry.h"
#include "core/target/target.h"

namespace iscsi::target {

enum class SystemState : uint8_t { offline, ready };

class Directory {
public:
    // nullptr if the tid or the name is taken.
    std::shared_ptr<Target> add(int tid, const std::string& name);
    bool remove(int tid);
    std::shared_ptr<Target> find(int tid) const;
    std::shared_ptr<Target> find(std::string_view name) const;
    std::vector<std::shared_ptr<Target>> targets() const;               // in tid order
    std::vector<std::shared_ptr<Target>> targets_by_age() const;        // in creation order, as SendTargets lists them
    bool empty() const;

    // Accounts: one list for all targets.
    bool add_account(const std::string& user, const Secret& secret);    // false if the user exists
    bool remove_account(std::string_view user);         // and every binding of it; false if there is none
    bool set_secret(std::string_view user, const Secret& secret);       // of the next logins; false if there is no such user
    bool has_account(std::string_view user) const;
    std::vector<std::string> accounts() const;          // newest first

    // Discovery sessions have bindings of their own.
    struct DiscoveryUsers { std::vector<std::string> incoming; std::optional<std::string> outgoing; };
    DiscoveryUsers discovery_users() const;
    template <class F>
    auto change_discovery_users(F change) { std::lock_guard lock(mutex_); return change(discovery_); }

    // What a login to this target (nullptr: discovery) must prove, secrets included.
    AuthPolicy policy(const Target* target) const;

    std::atomic<SystemState> state{SystemState::ready};
    SessionRegistry sessions;
    Challenges challenges;

private:
    std::optional<Account> account(std::string_view user) const;        // mutex_ held
    mutable std::mutex mutex_;
    std::vector<std::shared_ptr<Target>> targets_;      // creation order
    std::vector<Account> accounts_;                     // creation order
    DiscoveryUsers discovery_;
};

}  // namespace iscsi::target
