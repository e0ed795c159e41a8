#include "core/mgmt/tgt_admin.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <set>

#include "core/base/random.h"
#include "core/mgmt/tgt_ops.h"
#include "core/mgmt/tgt_use.h"

namespace iscsi::mgmt {
namespace {

using config::ConfAccount;
using config::StoreModel;
using config::TargetModel;

constexpr const char* write_cache_off = "8:0:18:0x10:0:0xff:0xff:0:0:0xff:0xff:0xff:0xff:0x80:0x14:0:0:0:0:0:0";

std::string number(uint64_t n) { return std::to_string(n); }

// tid=N, or a name.
bool parse_tid(const std::string& what, int& tid) {
    if (!what.starts_with("tid=")) return false;
    char* end;
    const long n = std::strtol(what.c_str() + 4, &end, 10);
    tid = *end || what.size() == 4 || n < 0 || n > 0x7fffffff ? -1 : int(n);
    return true;
}

TgtDevice device_of(const std::string& name) {
    if (name == "tape" || name == "ssc") return TgtDevice::tape;
    if (name == "cd") return TgtDevice::cd;
    if (name == "changer") return TgtDevice::changer;
    if (name == "osd") return TgtDevice::osd;
    if (name == "pt") return TgtDevice::passthrough;
    return TgtDevice::disk;
}

std::string unknown_secret() {
    uint8_t bytes[16];
    fill_random(bytes);
    std::string text;
    for (uint8_t b : bytes) append(text, "%02x", b);
    return text;
}

// Stores without a file behind them.
bool pathless(const std::string& bstype) { return bstype == "null" || bstype == "ram" || bstype == "rbd"; }

}  // namespace

LunNumbers::LunNumbers(const TargetModel& t) {
    for (const StoreModel& s : t.stores)
        if (!s.get("lun").empty()) taken_.insert(std::strtoull(s.get("lun").c_str(), nullptr, 0));
}

uint64_t LunNumbers::take(const StoreModel& s) {
    if (!s.get("lun").empty()) return std::strtoull(s.get("lun").c_str(), nullptr, 0);
    while (taken_.count(next_)) next_++;
    return next_++;
}

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
    int code;
    if (auto answer = io_.call(options_.control_port, step.request); !answer) {
        io_.complain("tgtadm: " + answer.error().what);
        code = answer.error().code;
    } else if (answer->code != TgtCode::ok) {
        io_.complain(std::string("tgtadm: ") + tgt_code_text(answer->code));
        code = EINVAL;
    } else {
        return {};
    }
    if (options_.ignore_errors) return {};
    io_.say("Command:\n\t" + step.shown + "\nexited with code: " + std::to_string(code) + ".\n");
    return Failed{code};
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
        if (!answer || answer->code != TgtCode::ok) {
            io_.complain("tgtadm: " + (answer ? std::string(tgt_code_text(answer->code)) : answer.error().what));
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
        io_.complain("Config file " + path + " not found. Exiting...");
        return Failed{2};
    }
    if (options_.conf_named) comment("# Using " + path + " as configuration file\n");
    conf_ = config::model_of(config::read_targets_conf(path));
    for (const auto& m : conf_.mistakes) {
        if (m.fatal) io_.complain("tgt-admin: " + m.message());
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

// Makes the account if there is none of the name, and binds it. The secret is not shown.
TgtAdmin::Done TgtAdmin::account(const ConfAccount& a, int tid, bool outgoing) {
    const std::string base = tool(tid < 0 ? "" : "iscsi") + " --mode account --op ";
    if (std::find(known_accounts_.begin(), known_accounts_.end(), a.user) == known_accounts_.end()) {
        Step s{request(TgtMode::account, TgtOp::create), base + "new --user=" + a.user + " --password=********"};
        TgtText text;
        text.user = a.user;
        // A secret that is still to be filled in is one that nobody knows.
        text.password = a.secret.reveal() == config::no_secret ? unknown_secret() : std::string(a.secret.reveal());
        s.request.text = encode_tgt_text(text, false);
        if (auto failed = run(s)) return failed;
        known_accounts_.push_back(a.user);
    } else {
        refresh_secret(a);
    }
    return bind_account(a.user, tid, outgoing, true);
}

// tgt leaves an account as it is; our daemon takes the file's secret.
void TgtAdmin::refresh_secret(const ConfAccount& a) {
    if (!running_conf_ || options_.pretend || a.secret.reveal() == config::no_secret) return;
    TgtText text;
    text.user = a.user;
    text.password = std::string(a.secret.reveal());
    TgtRequest r = request(TgtMode::account, TgtOp::update);
    r.text = encode_tgt_text(text, false);
    (void)io_.call(options_.control_port, r);
}

TgtAdmin::Done TgtAdmin::bind_account(const std::string& user, int tid, bool outgoing, bool bind) {
    const std::string base = tool(tid < 0 ? "" : "iscsi") + " --mode account --op ";
    Step s{request(TgtMode::account, bind ? TgtOp::bind : TgtOp::unbind, tid), ""};
    s.shown = base + (bind ? "bind " : "unbind ") + (tid < 0 ? "--user=" + user + " " : "--tid=" + number(uint64_t(tid)) + " --user=" + user);
    if (outgoing) s.shown += " --outgoing";
    s.request.outgoing = outgoing;
    s.request.text = "user=" + user;
    return run(s);
}

TgtAdmin::Done TgtAdmin::parameter(int tid, const std::string& name, const std::string& value) {
    Step s{request(TgtMode::target, TgtOp::update, tid),
           tool("iscsi") + " --mode target --op update --tid " + number(uint64_t(tid)) + " --name " + name + " --value " + value};
    s.request.text = name + "=" + value;
    return run(s);
}

TgtAdmin::Done TgtAdmin::rule(int tid, const char* option, const std::string& text, bool bind) {
    Step s{request(TgtMode::target, bind ? TgtOp::bind : TgtOp::unbind, tid),
           tool("iscsi") + (bind ? " --op bind" : " --op unbind") + " --mode target --tid " + number(uint64_t(tid)) + " " + option + " " + text};
    s.request.text = (option[1] == 'I' ? "initiator-address=" : "initiator-name=") + text;
    return run(s);
}

TgtAdmin::Done TgtAdmin::add_target(const TargetModel& t, int tid) {
    comment("# Adding target: " + t.name);
    Step create{request(TgtMode::target, TgtOp::create, tid),
                tool(driver_of(t)) + " --op new --mode target --tid " + number(uint64_t(tid)) + " -T " + t.name};
    create.request.lld = driver_of(t);
    create.request.text = "targetname=" + t.name;
    if (auto failed = run(create)) return failed;

    auto upper = [](const std::string& name) { return name[0] >= 'A' && name[0] <= 'Z'; };
    for (const auto& [name, value] : t.parameters)
        if (upper(name))
            if (auto failed = parameter(tid, name, value)) return failed;

    LunNumbers numbers(t);
    for (const StoreModel& s : t.stores)
        if (usable(s))
            if (auto failed = add_store(t, s, tid, numbers.take(s))) return failed;

    for (const ConfAccount& a : t.incoming)
        if (auto failed = account(a, tid, false)) return failed;
    for (const std::string& address : t.addresses)
        if (auto failed = rule(tid, "-I", address)) return failed;
    for (const std::string& name : t.names)
        if (auto failed = rule(tid, "-Q", name)) return failed;
    for (const auto& [name, value] : t.parameters)
        if (!upper(name) && name != "state")
            if (auto failed = parameter(tid, name, value)) return failed;
    if (t.more_outgoing) comment("# Warning: only one outgoinguser is allowed. Will only use the first one.");
    if (t.outgoing)
        if (auto failed = account(*t.outgoing, tid, true)) return failed;
    for (const auto& [name, value] : t.parameters)
        if (name == "state")
            if (auto failed = parameter(tid, name, value)) return failed;
    if (t.addresses.empty() && !t.no_address) return rule(tid, "-I", "ALL");
    return {};
}

// Whether the file behind a logical unit is there and free; says why not.
bool TgtAdmin::usable(const StoreModel& s) {
    const std::string& bstype = s.get("bs-type");
    if (pathless(bstype) || s.path.starts_with("NONE")) return true;
    if (bstype != "glfs" && !is_file_or_device(s.path)) {
        comment("# Skipping device: " + s.path + "\n# " + s.path + " does not exist - please check the configuration file");
        return false;
    }
    if (options_.force || s.allow_in_use) return true;
    const Use use = use_of(s.path);
    if (use == Use::none) return true;
    if (use == Use::system) comment("# Device " + s.path + " is used by the system (mounted, used by swap?).");
    else comment("# Device " + s.path + " is used (already tgtd target?).\n# Run 'lsof " + s.path + "' to see the details.");
    comment("# Skipping device " + s.path + " - it is in use.\n"
            "# You can override it with --force or 'allow-in-use yes' config option.\n"
            "# Note - do so only if you know what you're doing, you may damage your data.");
    return false;
}

TgtAdmin::Done TgtAdmin::add_store(const TargetModel& t, const StoreModel& s, int tid, uint64_t lun) {
    auto option = [&](const char* name, const char* key) {
        const std::string& value = s.get(key);
        return value.empty() ? std::string() : std::string(name) + " " + value;
    };
    Step create{request(TgtMode::logicalunit, TgtOp::create, tid), ""};
    create.request.lld = driver_of(t);
    create.request.lun = lun;
    create.request.device = device_of(s.get("device-type"));
    create.shown = tool(driver_of(t)) + " --op new --mode logicalunit --tid " + number(uint64_t(tid)) + " --lun " + number(lun) + " -b \"" +
                   s.path + "\" " + option("--device-type", "device-type") + " " + option("--bstype", "bs-type") + " " +
                   option("--bsopts", "bsopts") + " " + option("--bsoflags", "bsoflags") + " " + option("--blocksize", "block-size");
    std::map<std::string, std::string> device;
    if (s.direct) {
        device = scsi_identity(s.path);
        if (device.empty()) comment("# " + s.path + " is no SCSI disk, it keeps tgtd's vendor, product and serial number");
    }
    TgtText text;
    text.path = s.path;
    if (device.count("block-size") && s.get("block-size").empty() && device["block-size"] != "512") {
        text.blocksize = device["block-size"];
        create.shown += "--blocksize " + *text.blocksize;
    }
    for (auto [key, field] : {std::pair{"bs-type", &text.bstype}, std::pair{"bsopts", &text.bsopts}, std::pair{"bsoflags", &text.bsoflags},
                              std::pair{"block-size", &text.blocksize}})
        if (!s.get(key).empty()) *field = s.get(key);
    create.request.text = encode_tgt_text(text, false);
    if (auto failed = run(create)) return failed;
    return store_parameters(s, device, tid, lun);
}

TgtAdmin::Done TgtAdmin::store_parameter(int tid, uint64_t lun, const std::string& params, const std::string& shown) {
    Step step{request(TgtMode::logicalunit, TgtOp::update, tid),
              tool("iscsi") + " --op update --mode logicalunit --tid " + number(uint64_t(tid)) + " --lun=" + number(lun) + " --params " + shown};
    step.request.lun = lun;
    step.request.text = "targetOps " + params + ",";
    return run(step);
}

TgtAdmin::Done TgtAdmin::store_parameters(const StoreModel& s, const std::map<std::string, std::string>& device, int tid, uint64_t lun) {
    auto set = [&](const std::string& params, const std::string& shown) { return store_parameter(tid, lun, params, shown); };
    for (const std::string& page : s.mode_pages)
        if (auto failed = set("mode_page=" + page, "mode_page=\"" + page + "\"")) return failed;
    const std::string& cache = s.get("write-cache");
    if (cache == "off")
        if (auto failed = set(std::string("mode_page=") + write_cache_off, std::string("mode_page=") + write_cache_off)) return failed;
    for (std::string_view name : config::lun_parameter_keys()) {
        const std::string key(name);
        std::string value = s.get(key);
        if (auto own = device.find(key); value.empty() && own != device.end()) value = own->second;
        if (value.empty()) continue;
        if (auto failed = set(key + "=" + value, key + "=\"" + value + "\"")) return failed;
    }
    for (const std::string& params : s.params)
        if (auto failed = set(params, "\"" + params + "\"")) return failed;
    if (cache.empty() || cache == "on") comment("# Write cache is enabled (default) for lun " + number(lun) + ".");
    else if (cache != "off")
        comment("# WARNING! Unknown value (" + cache + ") to write-cache! Accepted values are \"on\" and \"off\".");
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

// With force an initiator that is logged in is put out: first nobody may come (back) in, then its connections go, then the target.
TgtAdmin::Done TgtAdmin::delete_target(const RunningTarget& t) {
    comment("# Removing target: " + t.name);
    const bool busy = !t.sessions.empty();
    if (busy) {
        for (const std::string& text : t.rules) {
            const bool address = text.find_first_not_of("0123456789abcdefABCDEF.:/[]") == std::string::npos || text == "ALL";
            Step s{request(TgtMode::target, TgtOp::unbind, t.tid),
                   tool("") + " --op unbind --mode target --tid " + number(uint64_t(t.tid)) + (address ? " -I " : " -Q ") + text};
            s.request.text = (address ? "initiator-address=" : "initiator-name=") + text;
            attempt(s);
        }
        for (const RunningSession& session : t.sessions)
            for (const std::string& cid : session.cids) {
                Step s{request(TgtMode::connection, TgtOp::remove, t.tid),
                       tool("") + " --op delete --mode conn --tid " + number(uint64_t(t.tid)) + " --sid " + session.sid + " --cid " + cid};
                s.request.sid = std::strtoull(session.sid.c_str(), nullptr, 10);
                s.request.cid = uint32_t(std::strtoul(cid.c_str(), nullptr, 10));
                attempt(s);                 // it may be gone by itself meanwhile
            }
    }
    Step s{request(TgtMode::target, TgtOp::remove, t.tid),
           tool("") + " --mode target --op delete" + (busy ? " --force" : "") + " --tid=" + number(uint64_t(t.tid))};
    s.request.force = busy;
    // tgt's own daemon drops connections later than it says.
    for (int i = 0; busy && !options_.pretend && i < 50; i++) {
        auto answer = io_.call(options_.control_port, s.request);
        if (answer && (answer->code == TgtCode::target_active || answer->code == TgtCode::lun_active)) {
            ::usleep(100'000);
            continue;
        }
        if (answer && answer->code == TgtCode::ok) {
            comment(s.shown + "\n");
            return {};
        }
        break;
    }
    if (auto failed = run(s)) return failed;
    comment("");
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
    if (answer && answer->code == TgtCode::ok) {
        io_.say(answer->text);
        return 0;
    }
    const int code = answer ? EINVAL : answer.error().code;
    io_.complain("tgtadm: " + (answer ? std::string(tgt_code_text(answer->code)) : answer.error().what));
    io_.say("Command:\n\t" + shown + "\nexited with code: " + std::to_string(code) + ".\n");
    return code;
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
            const bool address = rule == "ALL" || rule.find_first_not_of("0123456789abcdefABCDEF.:/[]") == std::string::npos;
            out += (address ? "\tinitiator-address " : "\tinitiator-name ") + rule + "\n";
        }
        out += "</target>\n\n";
    }
    io_.say(out);
    return 0;
}

}  // namespace iscsi::mgmt
