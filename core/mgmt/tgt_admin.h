// What tgt-admin does with a running tgtd: brings it to what targets.conf says, in tgt-admin's order, one tgtadm request at
// a time. Talks to any tgtd, by socket or in this process.
#pragma once
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "core/config/targets_model.h"
#include "core/mgmt/tgt_protocol.h"
#include "core/mgmt/tgt_status.h"

namespace iscsi::mgmt {

// The caching mode page of a unit with `write-cache off`, as --params takes it.
inline constexpr const char* write_cache_off = "8:0:18:0x10:0:0xff:0xff:0:0:0xff:0xff:0xff:0xff:0x80:0x14:0:0:0:0:0:0";

// Of an ACL as tgtd shows it: addresses and networks, and ALL, against names.
inline bool is_address(std::string_view rule) {
    return rule == "ALL" || rule.find_first_not_of("0123456789abcdefABCDEF.:/[]") == std::string_view::npos;
}

// The numbers of a target's logical units: explicit ones, else the lowest that is free from 1 on.
class LunNumbers {
public:
    explicit LunNumbers(const config::TargetModel& t);
    uint64_t take(const config::StoreModel& s);

private:
    std::set<uint64_t> taken_;
    uint64_t next_ = 1;
};

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
        // To stderr, a line without its end; `program`: who says it to users of tgt-admin, "" for nobody.
        std::function<void(std::string_view program, const std::string&)> complain;
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

    // tgt_admin.cpp: the commands.
    Done run(const Step& step);
    void attempt(const Step& step);
    bool worked(Result<TgtAnswer>& answer);
    Failed failed(Result<TgtAnswer>& answer, const std::string& shown);
    Done load(const std::string& path);
    Done globals();
    Done add_new_targets(int& next_tid);
    Done update_target(const config::TargetModel& t, int& next_tid);
    int update_all();
    void read_state();
    const RunningTarget* find(std::string_view name) const;
    const RunningTarget* find(int tid) const;
    int next_free_tid() const;
    void comment(const std::string& line);          // under verbose and pretend
    std::string tool(const std::string& driver) const;
    const std::string& driver_of(const config::TargetModel& t) const;
    static TgtRequest request(TgtMode mode, TgtOp op, int tid = -1);
    // tgt_admin_target.cpp: one target and what belongs to it.
    Done account(const config::ConfAccount& account, int tid, bool outgoing);
    Done add_target(const config::TargetModel& t, int tid);
    Done add_store(const config::TargetModel& t, const config::StoreModel& s, int tid, uint64_t lun);
    Done store_parameter(int tid, uint64_t lun, const std::string& params, const std::string& shown);
    // `device` is what a direct store says of itself.
    Done store_parameters(const config::StoreModel& s, const std::map<std::string, std::string>& device, int tid, uint64_t lun);
    Done parameter(int tid, const std::string& name, const std::string& value);
    Done rule(int tid, const char* option, const std::string& text, bool bind = true);
    Done bind_account(const std::string& user, int tid, bool outgoing, bool bind);
    void refresh_secret(const config::ConfAccount& account);
    bool usable(const config::StoreModel& s);
    Done delete_target(const RunningTarget& t);
    // tgt_admin_changes.cpp: what a target is in our daemon and what the file wants of it.
    bool is_as(const config::TargetModel& wanted, const config::TargetModel& now, const RunningTarget& r) const;
    // Brings a target that is in use there without disturbing who uses it, as far as that goes; the rest with force.
    Done change_target(const config::TargetModel& wanted, const config::TargetModel& now, int tid);
    Done change_stores(const config::TargetModel& wanted, const config::TargetModel& now, int tid);
    Done change_store(const config::StoreModel& wanted, const config::StoreModel& now, int tid, uint64_t lun);
    Done delete_store(int tid, uint64_t lun);

    Options options_;
    Io io_;
    config::ConfModel conf_;
    std::vector<RunningTarget> running_;
    std::vector<std::string> known_accounts_;
    std::string running_text_;                      // what runs, as our own daemon writes it
    std::optional<config::ConfModel> running_conf_;
    bool reachable_ = true;
};

}  // namespace iscsi::mgmt
