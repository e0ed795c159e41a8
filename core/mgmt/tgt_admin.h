// What tgt-admin does with a running tgtd: brings it to what targets.conf says, in tgt-admin's order, one tgtadm request at
// a time. Talks to any tgtd, by socket or in this process.
#pragma once
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/base/result.h"
#include "core/config/targets_model.h"
#include "core/mgmt/tgt_protocol.h"
#include "core/mgmt/tgt_status.h"

namespace iscsi::mgmt {

class TgtAdmin {
public:
    struct Options {
        int control_port = 0;
        bool control_port_given = false;
        bool force = false, pretend = false, verbose = false, ignore_errors = false;
        bool conf_named = false;            // by --conf: said so under verbose
    };
    struct Io {
        // Errors as of tgt_call.
        std::function<Result<TgtAnswer>(int control_port, const TgtRequest&)> call;
        std::function<void(const std::string&)> say;        // to stdout, as is
        std::function<void(const std::string&)> complain;   // to stderr, a line without its end
    };
    TgtAdmin(const Options& options, Io io) : options_(options), io_(std::move(io)) {}

    // Each returns the exit code.
    int execute(const std::string& conf_path);
    int update(const std::string& what, const std::string& conf_path);      // ALL, tid=N or a name
    int remove(const std::string& what);
    int set_state(const std::string& what, const char* state);              // offline, ready
    int show();
    int dump();

private:
    // A request and the tgtadm command line that means the same.
    struct Step {
        TgtRequest request;
        std::string shown;
    };
    struct Failed {
        int code;
    };
    using Done = std::optional<Failed>;     // empty: go on

    Done run(const Step& step);
    void attempt(const Step& step);
    Done load(const std::string& path);
    Done globals();
    Done accounts(const std::vector<config::ConfAccount>& incoming, const std::optional<config::ConfAccount>& outgoing, int tid);
    Done account(const config::ConfAccount& account, int tid, bool outgoing);
    Done add_target(const config::TargetModel& t, int tid);
    Done add_store(const config::TargetModel& t, const config::StoreModel& s, int tid, uint64_t lun);
    // `device` is what a direct store says of itself.
    Done store_parameters(const config::StoreModel& s, const std::map<std::string, std::string>& device, int tid, uint64_t lun);
    Done parameter(int tid, const std::string& name, const std::string& value);
    Done rule(int tid, const char* option, const std::string& text);
    Done add_new_targets(int& next_tid);
    Done delete_target(const RunningTarget& t);
    Done update_target(const config::TargetModel& t, int& next_tid);
    int update_all();
    bool usable(const config::TargetModel& t, const config::StoreModel& s);
    void read_state();
    const RunningTarget* find(std::string_view name) const;
    const RunningTarget* find(int tid) const;
    int next_free_tid() const;
    void comment(const std::string& line);          // under verbose and pretend
    std::string tool(const std::string& driver) const;
    const std::string& driver_of(const config::TargetModel& t) const;
    static TgtRequest request(TgtMode mode, TgtOp op, int tid = -1);

    Options options_;
    Io io_;
    config::ConfModel conf_;
    std::vector<RunningTarget> running_;
    std::vector<std::string> known_accounts_;
    bool reachable_ = true;
};

}  // namespace iscsi::mgmt
