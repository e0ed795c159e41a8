// One iSCSI target node: what management configures and login asks. Thread safe: a small lock guards the configuration,
// which only management and login take; the path of a command goes to `router` alone.
#pragma once
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/auth/chap.h"
#include "core/base/secret.h"
#include "core/nego/keys.h"
#include "core/scsi/router.h"
#include "core/target/acl.h"

namespace iscsi::target {

using auth::Account;

// What one login must prove (RFC 7143 §9.2.1): empty incoming means no authentication is asked for.
struct AuthPolicy {
    std::vector<Account> incoming;          // the initiator proves one of these
    std::optional<Account> outgoing;        // we prove this if the initiator asks
};

// Login answers Target Moved (RFC 7143 §11.13.5) with this address.
struct Redirect {
    std::string address, port;
    std::string reason;                     // "", "Temporary", "Permanent"
    std::string callback;                   // a program asked for the address; tgt's RedirectCallback
    bool active() const { return !address.empty() && !reason.empty(); }
};

// All that management may set. Copied out whole.
struct TargetConfig {
    bool ready = true;
    nego::Limits limits;                    // what this target is willing to negotiate
    int nop_interval = 0, nop_count = 0;    // seconds, pings without answer; 0: no pings
    unsigned max_queue_cmd = 128;           // CmdSN window of a session
    Redirect redirect;
    Acl acl;
    std::vector<std::string> incoming_users;            // bind order; names in Directory's account list
    std::optional<std::string> outgoing_user;
    std::string alias;
};

class Target {
public:
    Target(int tid, std::string name) : tid_(tid), name_(std::move(name)) {}
    int tid() const { return tid_; }
    const std::string& name() const { return name_; }

    TargetConfig config() const { std::lock_guard lock(mutex_); return config_; }
    // Runs `change(TargetConfig&)` under the lock; returns what it returns.
    template <class F>
    auto change(F change) { std::lock_guard lock(mutex_); return change(config_); }

    scsi::Router router;
    std::atomic<bool> deleted{false};       // no new login once set

private:
    const int tid_;
    const std::string name_;
    mutable std::mutex mutex_;
    TargetConfig config_;
};

}  // namespace iscsi::target
