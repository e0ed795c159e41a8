#include "core/mgmt/tgt_admin.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

namespace iscsi::mgmt {
namespace {

using config::ConfAccount;
using config::TargetModel;

// tid=N, or a name.
bool parse_tid(const std::string& what, int& tid) {
    if (!what.starts_with("tid=")) return false;
    char* end;
    const long n = std::strtol(what.c_str() + 4, &end, 10);
    tid = *end || what.size() == 4 || n < 0 || n > 0x7fffffff ? -1 : int(n);
    return true;
}

}  // namespace

TgtRequest TgtAdmin::request(TgtMode mode, TgtOp op, int tid) {
    TgtRequest r;
    r.mode = mode;
    r.op = op;
    r.tid = tid;
    return r;
}

void TgtAdmin::comment(const std::string& line) {
    if (options_.verbose || options_.pretend) io_.say(line + "\n");
}

std::string TgtAdmin::tool(const std::string& driver) const {
    std::string s = "tgtadm -C " + std::to_string(options_.control_port);
    return driver.empty() ? s : s + " --lld " + driver;
}

const std::string& TgtAdmin::driver_of(const TargetModel& t) const {
    static const std::string iscsi = "iscsi";
    if (!t.driver.empty()) return t.driver;
    return conf_.default_driver ? *conf_.default_driver : iscsi;
}

TgtAdmin::Done TgtAdmin::run(const Step& step) {
    comment(step.shown);
    if (options_.pretend) return {};
    auto answer = io_.call(options_.control_port, step.request);
    if (worked(answer) || options_.ignore_errors) return {};
    return failed(answer, step.shown);
}

// Complains as tgtadm does if it did not.
bool TgtAdmin::worked(Result<TgtAnswer>& answer) {
    if (answer && answer->code == TgtCode::ok) return true;
    io_.complain("tgtadm", answer ? tgt_code_text(answer->code) : answer.error().what);
    return false;
}

TgtAdmin::Failed TgtAdmin::failed(Result<TgtAnswer>& answer, const std::string& shown) {
    const int code = answer ? EINVAL : answer.error().code;
    io_.say("Command:\n\t" + shown + "\nexited with code: " + std::to_string(code) + ".\n");
    return {code};
}

// What may fail without harm.
void TgtAdmin::attempt(const Step& step) {
    comment(step.shown);
    if (!options_.pretend) (void)io_.call(options_.control_port, step.request);
}

// What the daemon holds now. A daemon that is not there holds nothing: what is then asked of it fails by itself.
void TgtAdmin::read_state() {
    running_.clear();
    known_accounts_.clear();
    for (TgtMode mode : {TgtMode::target, TgtMode::account}) {
        auto answer = io_.call(options_.control_port, request(mode, TgtOp::show));
        if (!worked(answer)) {
            reachable_ = false;
            return;
        }
        if (mode == TgtMode::target) running_ = parse_target_show(answer->text);
        else known_accounts_ = parse_account_show(answer->text);
    }
    TgtRequest all = request(TgtMode::system, TgtOp::show);
    all.config = true;
    auto answer = io_.call(options_.control_port, all);
    // tgt's own daemon knows no such wish and answers with its usual lines.
    if (answer && answer->code == TgtCode::ok && answer->text.starts_with("# ")) {
        running_text_ = answer->text;
        running_conf_ = config::model_of(config::parse_targets_conf(running_text_, "tgtd"));
    }
}

const RunningTarget* TgtAdmin::find(std::string_view name) const {
    auto t = std::find_if(running_.begin(), running_.end(), [&](const RunningTarget& r) { return r.name == name; });
    return t == running_.end() ? nullptr : &*t;
}
const RunningTarget* TgtAdmin::find(int tid) const {
    auto t = std::find_if(running_.begin(), running_.end(), [&](const RunningTarget& r) { return r.tid == tid; });
    return t == running_.end() ? nullptr : &*t;
}
int TgtAdmin::next_free_tid() const {
    int last = 0;
    for (const RunningTarget& t : running_) last = std::max(last, t.tid);
    return last + 1;
}

// Reads the file; nothing is changed if it has a mistake that cannot be passed over.
TgtAdmin::Done TgtAdmin::load(const std::string& path) {
    if (::access(path.c_str(), R_OK) != 0) {
        io_.complain("", "Config file " + path + " not found. Exiting...");
        return Failed{2};
    }
    if (options_.conf_named) comment("# Using " + path + " as configuration file\n");
    conf_ = config::model_of(config::read_targets_conf(path));
    for (const auto& m : conf_.mistakes) {
        if (m.fatal) io_.complain("tgt-admin", m.message());
        else if (!m.minor) comment("# " + m.message());
    }
    if (const auto* m = conf_.fatal()) return Failed{m->exit_code};
    if (conf_.ignore_errors) options_.ignore_errors = true;
    if (conf_.control_port) {
        if (options_.control_port_given && options_.control_port != 0 && options_.control_port != *conf_.control_port) {
            io_.say("Multiple control-port definitions are not allowed!\nCheck your config file for errors.\n");
            return Failed{1};
        }
        options_.control_port = *conf_.control_port;
    }
    return {};
}

// iSNS while it is off, and the accounts of discovery sessions that are not bound yet.
TgtAdmin::Done TgtAdmin::globals() {
    SystemUsers bound;
    bool isns_on = false;
    if (!conf_.isns.empty() || !conf_.discovery_incoming.empty() || conf_.discovery_outgoing) {
        auto answer = io_.call(options_.control_port, request(TgtMode::system, TgtOp::show));
        if (answer) {
            isns_on = answer->text.find("    iSNS=On\n") != std::string::npos;
            bound = parse_system_users(answer->text);
        }
        // An outgoing account alone is not shown there.
        if (running_conf_ && running_conf_->discovery_outgoing) bound.outgoing = running_conf_->discovery_outgoing->user;
    }
    for (const auto& [name, value] : conf_.isns) {
        if (isns_on) break;
        Step s{request(TgtMode::system, TgtOp::update), tool("") + " --op update --mode sys --name " + name + " -v " + value};
        s.request.text = name + "=" + value;
        if (auto failed = run(s)) return failed;
    }
    for (const ConfAccount& a : conf_.discovery_incoming) {
        if (std::find(bound.incoming.begin(), bound.incoming.end(), a.user) != bound.incoming.end()) refresh_secret(a);
        else if (auto failed = account(a, -1, false)) return failed;
    }
    if (conf_.discovery_outgoing) {
        if (bound.outgoing == conf_.discovery_outgoing->user) refresh_secret(*conf_.discovery_outgoing);
        else if (auto failed = account(*conf_.discovery_outgoing, -1, true)) return failed;
    }
    if (!conf_.default_driver) comment("# default-driver not defined, defaulting to iscsi.\n");
    return {};
}

// Targets of the file that do not run yet, in the order of their names.
TgtAdmin::Done TgtAdmin::add_new_targets(int& next_tid) {
    for (const TargetModel& t : conf_.targets) {
        if (find(t.name)) {
            comment("# Target " + t.name + " already exists!");
            continue;
        }
        const int tid = t.controller_tid.value_or(next_tid);
        next_tid = tid + 1;
        if (auto failed = add_target(t, tid)) return failed;
    }
    if (!conf_.targets.empty()) comment("");
    return {};
}

int TgtAdmin::execute(const std::string& conf_path) {
    if (auto failed = load(conf_path)) return failed->code;
    read_state();
    if (auto failed = globals()) return failed->code;
    int next_tid = next_free_tid();
    if (auto failed = add_new_targets(next_tid)) return failed->code;
    if (conf_.targets.empty()) return 0;
    for (const RunningTarget& t : running_)
        if (!conf_.find(t.name) && (t.sessions.empty() || options_.force))
            if (auto failed = delete_target(t)) return failed->code;
    return 0;
}

// One target of the file: made again under its tid, if nobody uses it; or made.
TgtAdmin::Done TgtAdmin::update_target(const TargetModel& t, int& next_tid) {
    const RunningTarget* r = find(t.name);
    if (!r) {
        comment("# Target with name " + t.name + " does not exist!");
        const int tid = t.controller_tid.value_or(next_tid);
        next_tid = std::max(next_tid, tid + 1);
        if (auto failed = add_target(t, tid)) return failed;
        comment("");
        return {};
    }
    if (const TargetModel* now = running_conf_ ? running_conf_->find(t.name) : nullptr) {
        if (is_as(t, *now, *r)) {
            for (const ConfAccount& a : t.incoming) refresh_secret(a);
            if (t.outgoing) refresh_secret(*t.outgoing);
            comment("# Target with tid " + std::to_string(r->tid) + " (" + t.name + ") is as the file says.\n");
            return {};
        }
        if (!r->sessions.empty()) {
            auto failed = change_target(t, *now, r->tid);
            comment("");
            return failed;
        }
    }
    if (!r->sessions.empty() && !options_.force) {
        comment("# Target with tid " + std::to_string(r->tid) + " (" + t.name + ") is in use, it won't be updated.\n");
        return {};
    }
    if (auto failed = delete_target(*r)) return failed;
    if (auto failed = add_target(t, r->tid)) return failed;
    comment("");
    return {};
}

int TgtAdmin::update_all() {
    for (const RunningTarget& t : running_) {
        if (conf_.find(t.name)) continue;
        if (!t.sessions.empty() && !options_.force) {
            comment("# Target with tid " + std::to_string(t.tid) + " (" + t.name + ") is in use, it won't be deleted.");
            continue;
        }
        if (auto failed = delete_target(t)) return failed->code;
    }
    if (conf_.targets.empty() && conf_.isns.empty() && conf_.discovery_incoming.empty()) return 0;
    if (auto failed = globals()) return failed->code;
    int next_tid = next_free_tid();
    for (const TargetModel& t : conf_.targets)
        if (auto failed = update_target(t, next_tid)) return failed->code;
    return 0;
}

int TgtAdmin::update(const std::string& what, const std::string& conf_path) {
    if (auto failed = load(conf_path)) return failed->code;
    read_state();
    if (what == "ALL") return update_all();
    std::string name = what;
    if (int tid; parse_tid(what, tid)) {
        const RunningTarget* r = find(tid);
        if (!r) {
            io_.say("There is no target with tid " + what.substr(4) + ", can't continue!\n");
            return 1;
        }
        name = r->name;
    }
    const RunningTarget* r = find(name);
    const TargetModel* t = conf_.find(name);
    if (!r && !t) {
        io_.say("Target " + name + " is currently not configured\nand does not exist in the config file - can't continue!\n");
        return 1;
    }
    if (auto failed = globals()) return failed->code;
    int next_tid = next_free_tid();
    if (t) {
        auto failed = update_target(*t, next_tid);
        return failed ? failed->code : 0;
    }
    if (!r->sessions.empty() && !options_.force) {
        comment("# Target with tid " + std::to_string(r->tid) + " (" + name + ") is in use, it won't be deleted.");
        return 0;
    }
    auto failed = delete_target(*r);
    return failed ? failed->code : 0;
}

int TgtAdmin::remove(const std::string& what) {
    read_state();
    std::vector<RunningTarget> doomed;
    if (what == "ALL") {
        doomed = running_;
    } else {
        int tid;
        const bool by_tid = parse_tid(what, tid);
        const RunningTarget* r = by_tid ? find(tid) : find(what);
        if (r) doomed.push_back(*r);
        else if (reachable_) comment(by_tid ? "# Target with tid " + what.substr(4) + " does not exist!" : "# Target with name " + what + " does not exist!");
    }
    for (const RunningTarget& t : doomed) {
        if (!t.sessions.empty() && !options_.force) {
            comment("# Target with tid " + std::to_string(t.tid) + " (" + t.name + ") is in use, it won't be deleted.");
            continue;
        }
        if (auto failed = delete_target(t)) return failed->code;
    }
    return 0;
}

int TgtAdmin::set_state(const std::string& what, const char* state) {
    std::vector<std::pair<int, std::string>> targets;       // tid, and the name if it was asked by
    int tid;
    if (parse_tid(what, tid)) {
        targets.emplace_back(tid, "");
    } else {
        read_state();
        if (what == "ALL") {
            for (const RunningTarget& t : running_) targets.emplace_back(t.tid, "");
        } else if (const RunningTarget* r = find(what)) {
            targets.emplace_back(r->tid, what);
        } else {
            io_.say("There is no target with name \"" + what + "\", can't " + state + " it!\n");
            return 1;
        }
    }
    for (const auto& [number_, name] : targets) {
        Step s{request(TgtMode::target, TgtOp::update, number_), tool("") + " --op update --mode target --tid=" + std::to_string(number_)};
        if (!name.empty()) s.shown += " --name=\"" + name + "\"";
        s.shown += std::string(" -n state -v ") + state;
        s.request.text = std::string("state=") + state;
        if (auto failed = run(s)) return failed->code;
    }
    return 0;
}

int TgtAdmin::show() {
    const std::string shown = tool("") + " --op show --mode target";
    comment(shown);
    auto answer = io_.call(options_.control_port, request(TgtMode::target, TgtOp::show));
    if (!worked(answer)) return failed(answer, shown).code;
    io_.say(answer->text);
    return 0;
}

// Our daemon writes all of it itself. Of tgt's: stores, users without their secrets, rules, in the layout of its tgt-admin.
int TgtAdmin::dump() {
    read_state();
    if (running_conf_) {
        io_.say(running_text_);
        return 0;
    }
    if (running_.empty()) return 0;
    const bool one_driver = std::all_of(running_.begin(), running_.end(), [&](const auto& t) { return t.driver == running_[0].driver; });
    std::string out;
    if (one_driver) out += "default-driver " + running_[0].driver + "\n\n";
    for (const RunningTarget& t : running_) {
        out += "<target " + t.name + ">\n";
        if (!one_driver) out += "\tdriver " + t.driver + "\n";
        for (const std::string& path : t.stores) out += "\tbacking-store " + path + "\n";
        for (const std::string& user : t.incoming) out += "\tincominguser " + user + " PLEASE_CORRECT_THE_PASSWORD\n";
        if (t.outgoing) out += "\toutgoinguser " + *t.outgoing + " PLEASE_CORRECT_THE_PASSWORD\n";
        for (const std::string& rule : t.rules) {
            if (t.rules.size() == 1 && rule == "ALL") continue;
            out += (is_address(rule) ? "\tinitiator-address " : "\tinitiator-name ") + rule + "\n";
        }
        out += "</target>\n\n";
    }
    io_.say(out);
    return 0;
}

}  // namespace iscsi::mgmt
