// From what a target is to what the file wants, step by step, so that initiators that are logged in go on. Needs our own
// daemon, which says all that it has; tgt's does not.
#include <algorithm>

#include "core/mgmt/tgt_admin.h"
#include "core/mgmt/tgt_params.h"
#include "core/mgmt/tgt_use.h"

namespace iscsi::mgmt {
namespace {

using config::ConfAccount;
using config::StoreModel;
using config::TargetModel;

// What --params has set, or would set, one entry per key; of mode pages, per page.
std::map<std::string, std::string> settings(const StoreModel& s) {
    std::map<std::string, std::string> all;
    auto set = [&](const std::string& key, const std::string& value) {
        const bool page = key == "mode_page";
        all[page ? key + "=" + value.substr(0, value.find(':', value.find(':') + 1)) : key] = value;
    };
    for (const std::string& page : s.mode_pages) set("mode_page", page);
    if (s.get("write-cache") == "off") set("mode_page", write_cache_off);
    if (s.direct)
        for (const auto& [key, value] : scsi_identity(s.path))
            if (key != "block-size") set(key, value);
    for (std::string_view key : config::lun_parameter_keys())
        if (!s.get(std::string(key)).empty()) set(std::string(key), s.get(std::string(key)));
    for (const std::string& params : s.params)
        for (size_t at = 0; at < params.size();) {
            const size_t end = std::min(params.find(',', at), params.size());
            const std::string pair = params.substr(at, end - at);
            at = end + 1;
            const size_t equals = pair.find('=');
            if (equals != std::string::npos) set(pair.substr(0, equals), pair.substr(equals + 1));
        }
    all.erase("path");          // changes the store, see same_store
    return all;
}

const std::string& path_of(const StoreModel& s) { return s.get("path").empty() ? s.path : s.get("path"); }

// Whether both open the same thing in the same way.
bool same_store(const StoreModel& wanted, const StoreModel& now) {
    if (path_of(wanted) != path_of(now) || now.get("replaced") == "yes") return false;
    auto type = [](const StoreModel& s) { return s.get("bs-type").empty() ? std::string("rdwr") : s.get("bs-type"); };
    auto block = [](const StoreModel& s) { return s.get("block-size").empty() ? std::string("512") : s.get("block-size"); };
    return type(wanted) == type(now) && (wanted.direct || block(wanted) == block(now)) && wanted.get("bsopts") == now.get("bsopts") &&
           wanted.get("bsoflags") == now.get("bsoflags");
}

std::map<uint64_t, const StoreModel*> by_lun(const TargetModel& t) {
    std::map<uint64_t, const StoreModel*> luns;
    LunNumbers numbers(t);
    for (const StoreModel& s : t.stores) luns[numbers.take(s)] = &s;
    return luns;
}

// Every parameter with its value: given, or the default.
std::map<std::string, std::string> effective(const TargetModel& t) {
    target::TargetConfig config;
    InertKeys inert;
    for (const auto& [name, value] : t.parameters) set_target_parameter(config, inert, name, value);
    std::map<std::string, std::string> all;
    for (const auto& [name, value] : target_parameters(config, inert)) all[name] = value;
    all["nop_interval"] = std::to_string(config.nop_interval);
    all["nop_count"] = std::to_string(config.nop_count);
    all["state"] = config.ready ? "ready" : "offline";
    for (auto [name, value] : {std::pair{"RedirectAddress", &config.redirect.address}, std::pair{"RedirectPort", &config.redirect.port},
                               std::pair{"RedirectReason", &config.redirect.reason}, std::pair{"RedirectCallback", &config.redirect.callback}})
        all[name] = *value;
    return all;
}

std::vector<std::string> addresses(const TargetModel& t) {
    return t.addresses.empty() && !t.no_address ? std::vector<std::string>{"ALL"} : t.addresses;
}
std::vector<std::string> users(const TargetModel& t) {
    std::vector<std::string> names;
    for (const ConfAccount& a : t.incoming) names.push_back(a.user);
    return names;
}
std::string outgoing(const TargetModel& t) { return t.outgoing ? t.outgoing->user : std::string(); }

bool contains(const std::vector<std::string>& list, const std::string& item) { return std::find(list.begin(), list.end(), item) != list.end(); }

}  // namespace

bool TgtAdmin::is_as(const TargetModel& wanted, const TargetModel& now, const RunningTarget& r) const {
    if (wanted.controller_tid && *wanted.controller_tid != r.tid) return false;
    if (effective(wanted) != effective(now) || addresses(wanted) != addresses(now) || wanted.names != now.names ||
        users(wanted) != users(now) || outgoing(wanted) != outgoing(now))
        return false;
    const auto want = by_lun(wanted), have = by_lun(now);
    return std::equal(want.begin(), want.end(), have.begin(), have.end(), [](const auto& a, const auto& b) {
        return a.first == b.first && same_store(*a.second, *b.second) && settings(*a.second) == settings(*b.second);
    });
}

TgtAdmin::Done TgtAdmin::change_target(const TargetModel& wanted, const TargetModel& now, int tid) {
    comment("# Changing target: " + wanted.name);
    const auto have = effective(now);
    for (const auto& [name, value] : effective(wanted))
        if (const auto old = have.find(name); old == have.end() || old->second != value)
            if (name != "RedirectReason" || !value.empty())
                if (auto failed = parameter(tid, name, value)) return failed;
    if (auto failed = change_stores(wanted, now, tid)) return failed;

    // What is added comes before what goes: nobody who stays is shut out in between.
    for (const ConfAccount& a : wanted.incoming) {
        if (contains(users(now), a.user)) refresh_secret(a);
        else if (auto failed = account(a, tid, false)) return failed;
    }
    for (const std::string& user : users(now))
        if (!contains(users(wanted), user))
            if (auto failed = bind_account(user, tid, false, false)) return failed;
    if (outgoing(wanted) != outgoing(now)) {
        if (now.outgoing)
            if (auto failed = bind_account(now.outgoing->user, tid, true, false)) return failed;
        if (wanted.outgoing)
            if (auto failed = account(*wanted.outgoing, tid, true)) return failed;
    } else if (wanted.outgoing) {
        refresh_secret(*wanted.outgoing);
    }
    struct Rules { const char* option; std::vector<std::string> want, have; };
    for (const Rules& rules : {Rules{"-I", addresses(wanted), addresses(now)}, Rules{"-Q", wanted.names, now.names}}) {
        for (const std::string& text : rules.want)
            if (!contains(rules.have, text))
                if (auto failed = rule(tid, rules.option, text)) return failed;
        for (const std::string& text : rules.have)
            if (!contains(rules.want, text))
                if (auto failed = rule(tid, rules.option, text, false)) return failed;
    }
    return {};
}

TgtAdmin::Done TgtAdmin::delete_store(int tid, uint64_t lun) {
    Step s{request(TgtMode::logicalunit, TgtOp::remove, tid),
           tool("iscsi") + " --op delete --mode logicalunit --tid " + std::to_string(tid) + " --lun " + std::to_string(lun)};
    s.request.lun = lun;
    return run(s);
}

// New units come at once; a unit that somebody may use goes, or is opened anew, only with force.
TgtAdmin::Done TgtAdmin::change_stores(const TargetModel& wanted, const TargetModel& now, int tid) {
    const auto want = by_lun(wanted), have = by_lun(now);
    for (const auto& [lun, store] : have) {
        const auto same = want.find(lun);
        if (same != want.end() && same_store(*same->second, *store)) continue;
        if (!options_.force) {
            comment("# Lun " + std::to_string(lun) + " (" + store->path + ") of a target in use: it won't be removed without --force.");
            continue;
        }
        if (auto failed = delete_store(tid, lun)) return failed;
    }
    for (const auto& [lun, store] : want) {
        const auto old = have.find(lun);
        Done failed;
        if (old != have.end() && same_store(*store, *old->second)) failed = change_store(*store, *old->second, tid, lun);
        else if ((old == have.end() || options_.force) && usable(*store)) failed = add_store(wanted, *store, tid, lun);
        if (failed) return failed;
    }
    return {};
}

TgtAdmin::Done TgtAdmin::change_store(const StoreModel& wanted, const StoreModel& now, int tid, uint64_t lun) {
    const auto want = settings(wanted), have = settings(now);
    for (const auto& [key, value] : have)
        if (!want.count(key))
            comment("# Lun " + std::to_string(lun) + ": " + key + " keeps its value " + value + " until the target is made again.");
    for (const auto& [key, value] : want) {
        if (const auto old = have.find(key); old != have.end() && old->second == value) continue;
        const std::string name = key.substr(0, key.find('='));
        if (auto failed = store_parameter(tid, lun, name + "=" + value, name + "=\"" + value + "\"")) return failed;
    }
    return {};
}

}  // namespace iscsi::mgmt
