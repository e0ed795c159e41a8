// What management may see and do of the sessions, which live on other threads: a record per session, with counters that the
// session's loop bumps (relaxed atomics) and a way to ask for its end.
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/wire/opcode.h"

namespace iscsi::target {

struct ConnectionRecord {
    uint16_t cid = 0;
    std::string address;                    // the initiator's, numeric, IPv6 without brackets
    std::atomic<uint64_t> rx_octets{0}, tx_octets{0}, data_out_pdus{0}, data_in_pdus{0}, command_pdus{0}, response_pdus{0};
};

// Per LUN counters of one session, tgt's rd_subm … errs.
struct LunCounters {
    std::atomic<uint64_t> read_submitted_bytes{0}, read_submitted{0}, read_done_bytes{0}, read_done{0};
    std::atomic<uint64_t> write_submitted_bytes{0}, write_submitted{0}, write_done_bytes{0}, write_done{0};
    std::atomic<uint64_t> errors{0};
    std::atomic<uint64_t> busy_us{0};       // sum of command times
    std::atomic<uint32_t> in_flight{0};
};

struct SessionRecord {
    uint16_t sid = 0;                       // = TSIH
    int tid = 0;                            // 0: discovery
    std::string target, initiator, alias;   // alias empty if not sent
    uint64_t isid = 0;                      // 48 bits
    std::atomic<bool> logged_out{false};    // it ended, or is about to, by a Logout Request
    std::mutex mutex;                       // guards the two vectors (the counters themselves are atomic)
    std::vector<std::shared_ptr<ConnectionRecord>> connections;
    std::vector<std::pair<uint64_t, std::shared_ptr<LunCounters>>> luns;
    std::shared_ptr<LunCounters> counters(uint64_t lun);        // made on first use

    // Thread safe; act later, on the session's loop.
    std::function<void()> drop;             // close all connections, abort all tasks
    std::function<void(uint16_t cid)> drop_connection;
    std::function<void(wire::AsyncEvent event, uint16_t seconds)> notify;      // async message: logout request …
    // Aborts the tasks of one LUN field (or all); `done` comes on that loop once none of them is in flight.
    std::function<void(std::optional<uint64_t> lun, std::function<void()> done)> abort_tasks;
};

class SessionRegistry {
public:
    uint16_t take_sid();                    // counts up from 1; skips 0 and those in use; 0 if all are taken
    // False if there is a session of the same I_T nexus: initiator name, ISID, target (RFC 7143 §4.4.3: never two).
    bool add(std::shared_ptr<SessionRecord> record);
    void remove(const SessionRecord& record);
    std::vector<std::shared_ptr<SessionRecord>> all() const;            // oldest first
    std::vector<std::shared_ptr<SessionRecord>> of_target(int tid) const;
    std::shared_ptr<SessionRecord> find(uint16_t sid) const;
    size_t size() const;
    // `changed` is called after each add and remove, on the thread that made it; returns an id for unwatch.
    uint64_t watch(std::function<void()> changed);
    void unwatch(uint64_t id);

private:
    void changed();
    mutable std::mutex mutex_;
    std::vector<std::shared_ptr<SessionRecord>> records_;
    std::vector<std::pair<uint64_t, std::function<void()>>> watchers_;
    uint64_t next_watcher_ = 1;
    uint16_t next_sid_ = 1;
};

}  // namespace iscsi::target
