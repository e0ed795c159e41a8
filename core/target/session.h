// One iSCSI session, RFC 7143 §4.4.1: the I_T nexus, its CmdSN window, its tasks, its connections (one at ErrorRecoveryLevel
// 0 without MC/S; the structure has room for more). Lives on one worker and is touched only there.
#pragma once
#include <array>
#include <functional>
#include <memory>
#include <vector>

#include "core/nego/keys.h"
#include "core/target/command_window.h"
#include "core/target/directory.h"
#include "core/target/task.h"
#include "core/target/worker.h"

namespace iscsi::target {

class Connection;

// Two LUN fields as on the wire: one logical unit may be addressed in two ways (SAM-5 4.7.7).
bool same_unit(uint64_t a, uint64_t b);

class Session {
public:
    // Call admit() next.
    Session(Worker& worker, std::shared_ptr<SessionRecord> record, std::shared_ptr<Target> target, nego::Params params,
            uint32_t first_cmd_sn, unsigned queue_depth);
    ~Session();
    // A normal session (target set) is entered into the registry and makes its nexus known to the logical units. False: another
    // session has the same I_T nexus.
    bool admit();
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    bool discovery() const { return !target; }
    Task* find(uint32_t itt);
    bool has_tasks(uint64_t lun) const;             // LUN fields as on the wire, here and below
    bool has_ordered_tasks(uint64_t lun) const;
    uint32_t ordered_tasks() const { return ordered_count_; }
    void add(std::unique_ptr<Task> task);           // now findable by its ITT
    void retire(Task& task);                        // answered: forgotten and pooled
    // No answer will be sent. `done` is called once nothing of it is in flight any more, perhaps at once.
    void abort(Task& task, std::function<void()> done);
    // All tasks, or (lun) those of one logical unit.
    void abort_all(const uint64_t* lun, std::function<void()> done);
    // A transfer or execution came back on a task that was aborted.
    void returned(Task& task);

    // The table of logical units as of now; new units learn of this nexus.
    const scsi::LunTable& luns();
    LunCounters* counters(uint64_t lun);            // nullptr if there is no such unit

    void attach(Connection& connection) { connections.push_back(&connection); }
    void detach(Connection& connection);            // the last one ends the session
    // Connections closed, tasks aborted; gone once nothing is in flight.
    void end(const char* why);
    // Tasks that hold a place in the command window: one whose status is being written does not (answered).
    uint32_t tasks() const { return task_count_ - answered_; }
    void answered() { answered_++; }                // retire() comes next
    // For callbacks that may outlive the session: points to nullptr then.
    std::shared_ptr<Session*> handle() const { return handle_; }

    Worker& worker;
    const std::shared_ptr<SessionRecord> record;
    const std::shared_ptr<Target> target;           // nullptr: discovery
    const nego::Params params;
    scsi::Nexus nexus;
    CommandWindow window;
    std::vector<Connection*> connections;
    uint32_t next_ttt = 0;
    bool ordered_seen = false;                      // this initiator relies on order between its commands

private:
    static constexpr size_t buckets = 64;
    static size_t bucket(uint32_t itt) { return (itt ^ (itt >> 6) ^ (itt >> 16)) % buckets; }
    void publish();                                 // the record's calls from other threads
    std::unique_ptr<Task> unlink(Task& task);
    void check_waits();

    std::array<Task*, buckets> table_{};            // owning: chains through hash_next
    uint32_t task_count_ = 0, ordered_count_ = 0, answered_ = 0;
    std::vector<std::unique_ptr<Task>> aborted_;    // in flight still
    struct Wait { std::vector<const Task*> tasks; std::function<void()> done; };
    std::vector<Wait> waits_;
    bool ending_ = false;
    std::shared_ptr<const scsi::LunTable> luns_;
    uint64_t luns_generation_ = 0;
    uint64_t counters_lun_ = 0;
    LunCounters* counters_ = nullptr;
    std::shared_ptr<Session*> handle_;
};

}  // namespace iscsi::target
