// Carries out tgtadm's requests on the daemon's Directory; what is shown is tgt's output byte for byte. Lives on the
// daemon's main loop. One file per mode: tgt_ops_target, _lun, _account, _session; the rest is in tgt_ops.cpp.
#pragma once
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "core/io/loop.h"
#include "core/mgmt/tgt_protocol.h"
#include "core/mgmt/tgt_server.h"
#include "core/target/directory.h"

namespace iscsi::scsi {
class LogicalUnit;
class Unit;
}

namespace iscsi::mgmt {

struct IsnsSettings {
    bool on = false, access_control = false;
    std::string server;
    int port = 3205;
};

// What the daemon itself does for management.
class TgtDaemon {
public:
    virtual ~TgtDaemon() = default;
    // `host` is as the user wrote it, brackets removed; empty: every address. Port 0: any free one.
    virtual Result<void> add_portal(const std::string& host, uint16_t port) = 0;
    virtual bool remove_portal(const std::string& host, uint16_t port) = 0;
    virtual std::vector<std::string> portals() const = 0;       // "192.0.2.1:3260", "[::]:3260"; newest first
    virtual Result<void> listen(bool on) = 0;                   // lld stop closes the portals, lld start opens them again
    virtual bool configure_isns(const IsnsSettings& settings) = 0;      // false: cannot
    virtual void stop() = 0;                                    // end the process cleanly, soon
};

class TgtOps {
public:
    struct Options {
        int nop_interval = 0, nop_count = 0;        // of new targets: tgtd --iscsi nop_interval=…
        uint64_t drop_ms = 30'000;                  // how long a forced delete waits for sessions to go
        std::string host_seed;                      // host_seed(): makes identifiers differ between hosts
        std::string state_directory;                // for reservations that survive power loss; empty: none do
    };
    TgtOps(io::Loop& loop, target::Directory& directory, TgtDaemon& daemon, const Options& options);
    ~TgtOps();
    TgtOps(const TgtOps&) = delete;
    TgtOps& operator=(const TgtOps&) = delete;

    void handle(const TgtRequest& request, std::shared_ptr<TgtReply> reply);

    // All that is configured, as a targets.conf that makes the same again; secrets left out (tgt_dump.cpp).
    std::string dump() const;

private:
    using Sessions = std::vector<std::shared_ptr<target::SessionRecord>>;

    TgtAnswer carry_out(const TgtRequest& r);       // all but what answers later
    TgtCode check_driver(const TgtRequest& r) const;

    TgtAnswer system_op(const TgtRequest& r);
    TgtAnswer system_update(const TgtRequest& r);
    TgtAnswer lld_op(const TgtRequest& r);
    TgtAnswer portal_op(const TgtRequest& r);
    std::string show_system(bool json) const;
    std::string show_lld() const;

    TgtAnswer target_op(const TgtRequest& r);
    TgtAnswer target_new(const TgtRequest& r);
    TgtAnswer target_bind(const TgtRequest& r, target::Target& t);
    TgtAnswer target_update(const TgtRequest& r, target::Target& t);
    std::string show_targets() const;
    void show_target(std::string& out, target::Target& t) const;
    void show_luns(std::string& out, target::Target& t) const;
    std::string show_parameters(target::Target& t) const;
    void target_json(Json& json, target::Target& t) const;
    std::string parameters_json(target::Target& t) const;
    void luns_json(Json& json, target::Target& t) const;
    void forget_target(int tid);

    TgtAnswer lun_op(const TgtRequest& r);
    TgtAnswer lun_new(const TgtRequest& r, target::Target& t);
    TgtAnswer lun_update(const TgtRequest& r, scsi::Unit& unit);
    void keep_reservations(const target::Target& t, uint64_t lun, scsi::Unit& unit) const;
    TgtAnswer lun_delete(const TgtRequest& r, target::Target& t);
    // Gives a new target its controller at LUN 0.
    void add_controller(target::Target& t);

    TgtAnswer account_op(const TgtRequest& r);
    TgtAnswer account_bind(const TgtRequest& r);

    TgtAnswer session_op(const TgtRequest& r);
    TgtAnswer connection_op(const TgtRequest& r);
    std::string show_connections(const target::Target& t, bool json) const;
    // Rows of these sessions; only of `lun` if it is given.
    TgtAnswer stat(const std::vector<std::shared_ptr<target::Target>>& targets, const uint64_t* lun, bool json) const;

    // How a logical unit was made and what was set on it: what dump() writes.
    struct LunRecord {
        TgtText made;
        std::vector<std::pair<std::string, std::string>> params;        // in the order set; one of a key, or of a mode page
    };
    void record_param(int tid, uint64_t lun, const std::string& key, const std::string& value);
    void dump_target(std::string& out, target::Target& t, const std::map<std::string, int>& uses) const;
    void dump_lun(std::string& out, uint64_t lun, scsi::LogicalUnit& unit, const LunRecord& r, const std::map<std::string, int>& uses) const;

    // Answers that wait for sessions or connections to be gone.
    struct Pending {
        Sessions sessions;
        int cid = -1;                               // wait for this connection of the one session only
        uint64_t deadline = 0;
        std::shared_ptr<TgtReply> reply;
    };
    void delete_target(const TgtRequest& r, std::shared_ptr<TgtReply> reply);
    void delete_connection(const TgtRequest& r, std::shared_ptr<TgtReply> reply);
    void wait_for(Pending pending);
    void check_pending();

    io::Loop& loop_;
    target::Directory& directory_;
    TgtDaemon& daemon_;
    const Options options_;
    bool driver_running_ = true, debug_ = false;
    IsnsSettings isns_;
    // Set and shown, without effect on TCP: iSER's keys and markers, which RFC 7143 has retired. By tid.
    std::map<int, std::map<std::string, std::string>> inert_;
    std::map<int, std::set<uint32_t>> host_bindings_;
    std::map<int, std::map<uint64_t, LunRecord>> records_;
    std::list<Pending> pending_;
    io::Timer check_timer_;
    uint64_t watch_ = 0;
    std::shared_ptr<TgtOps*> alive_;                // what other threads post to; empty when we are gone
};

inline TgtAnswer refuse(TgtCode code) { return {code, ""}; }

}  // namespace iscsi::mgmt
