// One target, made and removed: the requests, in tgt-admin's order, each with the tgtadm command line that means the same.
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "core/base/format.h"
#include "core/base/random.h"
#include "core/mgmt/tgt_admin.h"
#include "core/mgmt/tgt_ops.h"
#include "core/mgmt/tgt_use.h"

namespace iscsi::mgmt {
namespace {

using config::ConfAccount;
using config::StoreModel;
using config::TargetModel;

std::string number(uint64_t n) { return std::to_string(n); }


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

// With force an initiator that is logged in is put out: first nobody may come (back) in, then its connections go, then the target.
TgtAdmin::Done TgtAdmin::delete_target(const RunningTarget& t) {
    comment("# Removing target: " + t.name);
    const bool busy = !t.sessions.empty();
    if (busy) {
        for (const std::string& text : t.rules) {
            const bool address = is_address(text);
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

}  // namespace iscsi::mgmt
