// The running configuration as targets.conf. What that file cannot say is said in comments: a unit without a medium,
// parameters of the controller, one file as two units of a target.
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>

#include "core/config/targets_model.h"
#include "core/mgmt/tgt_ops.h"
#include "core/mgmt/tgt_params.h"
#include "core/scsi/disk.h"

namespace iscsi::mgmt {
namespace {

// As the parser of targets.conf reads it back: '#' escaped, quotes where blanks or signs at the ends would be lost.
std::string quote(const std::string& value) {
    std::string out;
    for (size_t i = 0; i < value.size(); i++) {
        if (value[i] == '#') out += '\\';
        out += value[i];
    }
    const bool ends = value.empty() || value.front() == ' ' || value.back() == ' ' || value.front() == '\t' || value.back() == '\t' ||
                      value.front() == '"' || value.front() == '\'' || value.front() == '=' || value.starts_with("<<") || value.back() == '\\';
    return ends ? "\"" + out + "\"" : out;
}

void line(std::string& out, int depth, const std::string& key, const std::string& value) {
    out.append(size_t(depth), '\t');
    out += key + " " + quote(value) + "\n";
}

// The file at the path is another one than the store has open.
bool replaced(const store::Store& store) {
    struct stat open{}, now{};
    return store.fd() >= 0 && ::fstat(store.fd(), &open) == 0 && ::stat(store.path().c_str(), &now) == 0 && S_ISREG(open.st_mode) &&
           (open.st_dev != now.st_dev || open.st_ino != now.st_ino);
}

using config::no_secret;

// Keys that targets.conf has a name for, in the order in which tgt-admin sets them; others follow as `params`.
constexpr std::string_view named[] = {"mode_page", "vendor_id", "product_id", "product_rev", "scsi_id", "scsi_sn", "sense_format", "removable", "online",
                                      "readonly", "lbppbe", "la_lba", "optimal_xfer_gran", "optimal_xfer_len"};

}  // namespace

void TgtOps::record_param(int tid, uint64_t lun, const std::string& key, const std::string& value) {
    LunRecord& r = records_[tid][lun];
    if (key == "path") {
        r.made.path = value;
        std::erase_if(r.params, [](const auto& p) { return p.first == "online"; });     // it is online now
        return;
    }
    auto page = [](const std::string& text) { return text.substr(0, text.find(':', text.find(':') + 1)); };
    std::erase_if(r.params, [&](const auto& p) { return p.first == key && (key != "mode_page" || page(p.second) == page(value)); });
    r.params.emplace_back(key, value);
}

std::string TgtOps::dump() const {
    std::string out = "# What runs in tgtd; secrets are left out.\ndefault-driver iscsi\n";
    const IsnsSettings plain;
    if (!isns_.server.empty()) line(out, 0, "iSNSServerIP", isns_.server);
    if (isns_.port != plain.port) line(out, 0, "iSNSServerPort", std::to_string(isns_.port));
    if (isns_.access_control) line(out, 0, "iSNSAccessControl", "On");
    if (isns_.on) line(out, 0, "iSNS", "On");
    const auto discovery = directory_.discovery_users();
    for (const std::string& user : discovery.incoming) line(out, 0, "incomingdiscoveryuser", user + " " + no_secret);
    if (discovery.outgoing) line(out, 0, "outgoingdiscoveryuser", *discovery.outgoing + " " + no_secret);
    out += "\n";
    std::map<std::string, int> uses;        // of a path, over all targets
    for (const auto& [tid, luns] : records_)
        for (const auto& [lun, r] : luns)
            if (r.made.path) uses[*r.made.path]++;
    for (const auto& t : directory_.targets()) dump_target(out, *t, uses);
    return out;
}

void TgtOps::dump_target(std::string& out, target::Target& t, const std::map<std::string, int>& uses) const {
    const target::TargetConfig c = t.config(), plain;
    out += "<target " + quote(t.name()) + ">\n";
    line(out, 1, "controller_tid", std::to_string(t.tid()));
    const auto inert = inert_.find(t.tid());
    const auto mine = target_parameters(c, inert == inert_.end() ? InertKeys{} : inert->second), initial = target_parameters(plain, {});
    for (size_t i = 0; i < mine.size(); i++)
        if (mine[i].second != initial[i].second) line(out, 1, mine[i].first, mine[i].second);
    if (c.nop_interval != options_.nop_interval) line(out, 1, "nop_interval", std::to_string(c.nop_interval));
    if (c.nop_count != options_.nop_count) line(out, 1, "nop_count", std::to_string(c.nop_count));
    for (auto [key, value] : {std::pair{"RedirectAddress", &c.redirect.address}, std::pair{"RedirectPort", &c.redirect.port},
                              std::pair{"RedirectReason", &c.redirect.reason}, std::pair{"RedirectCallback", &c.redirect.callback}})
        if (!value->empty()) line(out, 1, key, *value);
    if (!c.ready) line(out, 1, "state", "offline");

    const auto records = records_.find(t.tid());
    std::set<std::string> here;
    for (const auto& [lun, unit] : *t.router.table()) {
        LunRecord r;
        if (records != records_.end())
            if (const auto row = records->second.find(lun); row != records->second.end()) r = row->second;
        if (r.made.path && !here.insert(*r.made.path).second) {
            out += "\t# lun " + std::to_string(lun) + " is " + *r.made.path + " again, which cannot be written here\n";
            continue;
        }
        dump_lun(out, lun, *unit, r, uses);
    }

    for (const std::string& user : c.incoming_users) line(out, 1, "incominguser", user + " " + no_secret);
    if (c.outgoing_user) line(out, 1, "outgoinguser", *c.outgoing_user + " " + no_secret);
    const bool all = c.acl.addresses() == std::vector<std::string>{"ALL"};
    for (const std::string& address : c.acl.addresses())
        if (!all) line(out, 1, "initiator-address", address);
    for (const std::string& name : c.acl.names()) line(out, 1, "initiator-name", name);
    if (c.acl.addresses().empty()) line(out, 1, "initiator-address", "none");     // without any, tgt-admin would bind ALL
    out += "</target>\n\n";
}

void TgtOps::dump_lun(std::string& out, uint64_t lun, scsi::LogicalUnit& unit, const LunRecord& r, const std::map<std::string, int>& uses) const {
    if (lun == 0) {
        for (const auto& [key, value] : r.params) out += "\t# lun 0 has " + key + "=" + value + ", which cannot be written here\n";
        return;
    }
    const auto& disk = static_cast<const scsi::Disk&>(unit);
    const auto store = disk.store();
    if (!store || !r.made.path || r.made.path->empty()) {
        out += "\t# lun " + std::to_string(lun) + " has no medium, which cannot be written here\n";
        return;
    }
    out += "\t<backing-store " + quote(*r.made.path) + ">\n";
    line(out, 2, "lun", std::to_string(lun));
    for (auto [key, value] : {std::pair{"bs-type", &r.made.bstype}, std::pair{"bsopts", &r.made.bsopts}, std::pair{"bsoflags", &r.made.bsoflags},
                              std::pair{"block-size", &r.made.blocksize}})
        if (*value) line(out, 2, key, **value);
    for (std::string_view name : named)
        for (const auto& [key, value] : r.params)
            if (key == name) line(out, 2, key, value);
    for (const auto& [key, value] : r.params)
        if (std::find(std::begin(named), std::end(named), key) == std::end(named)) line(out, 2, "params", key + "=" + value);
    if (const auto n = uses.find(*r.made.path); n != uses.end() && n->second > 1) line(out, 2, "allow-in-use", "yes");
    if (replaced(*store)) line(out, 2, "replaced", "yes");
    out += "\t</backing-store>\n";
}

}  // namespace iscsi::mgmt
