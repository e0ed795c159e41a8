#include "core/config/targets_model.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <set>
#include <tuple>

#include "core/base/nearest.h"

namespace iscsi::config {
namespace {

constexpr std::string_view global_keys[] = {
    "default-driver", "ignore-errors", "control-port", "iSNS", "iSNSServerIP", "iSNSServerPort", "iSNSAccessControl",
    "incomingdiscoveryuser", "outgoingdiscoveryuser", "include", "target"};
constexpr std::string_view target_keys[] = {"driver", "controller_tid", "backing-store", "direct-store", "incominguser", "outgoinguser",
                                            "initiator-address", "initiator-name"};
constexpr std::string_view parameter_keys[] = {
    "DataDigest", "DataPDUInOrder", "DataSequenceInOrder", "DefaultTime2Retain", "DefaultTime2Wait", "ErrorRecoveryLevel",
    "FirstBurstLength", "HeaderDigest", "IFMarker", "ImmediateData", "InitialR2T", "InitiatorRecvDataSegmentLength",
    "MaxBurstLength", "MaxConnections", "MaxOutstandingR2T", "MaxOutstandingUnexpectedPDUs", "MaxQueueCmd",
    "MaxRecvDataSegmentLength", "MaxXmitDataSegmentLength", "OFMarker", "RDMAExtensions", "RedirectAddress", "RedirectCallback",
    "RedirectPort", "RedirectReason", "TargetRecvDataSegmentLength", "nop_count", "nop_interval", "state"};

enum class Is { text, number, flag, switch_word, yes_no, power };
struct LunKey {
    std::string_view name;
    Is is;
    unsigned long max = 0;
};
constexpr LunKey lun_keys[] = {
    {"lun", Is::number, 16383}, {"vendor_id", Is::text}, {"product_id", Is::text}, {"product_rev", Is::text}, {"scsi_id", Is::text},
    {"scsi_sn", Is::text}, {"sense_format", Is::flag}, {"removable", Is::flag}, {"online", Is::flag}, {"readonly", Is::flag},
    {"path", Is::text}, {"lbppbe", Is::number, 15}, {"la_lba", Is::number, 0x3fff}, {"optimal_xfer_gran", Is::number, 0xffff},
    {"optimal_xfer_len", Is::number, 0xffffffff}, {"write-cache", Is::switch_word}, {"device-type", Is::text}, {"bs-type", Is::text},
    {"bsopts", Is::text}, {"bsoflags", Is::text}, {"block-size", Is::power, 1 << 20}, {"allow-in-use", Is::yes_no},
    {"replaced", Is::yes_no}};       // of a dump: the path leads to another file now
constexpr std::string_view lun_lists[] = {"mode_page", "params"};

template <class List>
bool contains(const List& list, std::string_view key) {
    return std::find(std::begin(list), std::end(list), key) != std::end(list);
}
const LunKey* find_lun_key(std::string_view key) {
    auto row = std::find_if(std::begin(lun_keys), std::end(lun_keys), [&](const LunKey& k) { return k.name == key; });
    return row == std::end(lun_keys) ? nullptr : row;
}

bool to_number(const std::string& text, unsigned long min, unsigned long max, unsigned long& out) {
    char* end;
    errno = 0;
    out = std::strtoul(text.c_str(), &end, 0);
    return errno == 0 && end != text.c_str() && !*end && text[0] != '-' && out >= min && out <= max;
}

class Builder {
public:
    explicit Builder(TargetsConf conf) : conf_(std::move(conf)) { model_.mistakes = std::move(conf_.mistakes); }

    ConfModel build() {
        globals();
        std::set<std::string> seen;
        for (const ConfEntry* e : conf_.root.all("target")) {
            if (!e->block || e->value.empty()) wrong(e->key_place, "<target> needs a name: <target iqn.2001-04.com.example:disk1>", 255);
            else if (seen.insert(e->value).second) target(*e);
        }
        std::sort(model_.targets.begin(), model_.targets.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
        sort_mistakes();
        return std::move(model_);
    }

private:
    // As they stand in the files, the files in the order in which they come up.
    void sort_mistakes() {
        std::vector<std::string> files;
        auto rank = [&](const ConfMistake& m) {
            const std::string name = m.place.file ? *m.place.file : std::string();
            const auto known = std::find(files.begin(), files.end(), name);
            const long n = known - files.begin();
            if (known == files.end()) files.push_back(name);
            return n;
        };
        for (const ConfMistake& m : model_.mistakes) rank(m);
        std::stable_sort(model_.mistakes.begin(), model_.mistakes.end(), [&](const ConfMistake& a, const ConfMistake& b) {
            return std::tuple(rank(a), a.place.line, a.place.column) < std::tuple(rank(b), b.place.line, b.place.column);
        });
    }

    void wrong(const ConfPlace& at, std::string text, int code = 1) { model_.mistakes.push_back({at, std::move(text), true, code}); }
    void doubtful(const ConfPlace& at, std::string text) { model_.mistakes.push_back({at, std::move(text), false, 0}); }

    void unknown(const ConfEntry& e, const std::vector<std::string_view>& known, const char* where) {
        std::string text = "unknown key '" + e.key + "'" + where;
        if (e.key == "thin_provisioning" || e.key == "rotation_rate") text += "; write 'params " + e.key + "=" + (e.value.empty() ? "1" : e.value) + "'";
        else if (std::string_view meant = nearest(e.key, known); !meant.empty()) text += "; did you mean '" + std::string(meant) + "'?";
        doubtful(e.key_place, text);
    }

    // The one value of a key, checked to be there and to be one.
    const ConfEntry* single(const ConfBlock& block, std::string_view key, const std::string& context) {
        const auto all = block.all(key);
        if (all.empty()) return nullptr;
        if (all.size() > 1)
            wrong(all[1]->key_place, "a second '" + std::string(key) + "'" + context + "; the first is at " + all[0]->key_place.text());
        if (all[0]->value.empty()) wrong(all[0]->key_place, "'" + std::string(key) + "' needs a value");
        return all[0];
    }

    void yes_no(const ConfEntry* e, bool& out) {
        if (!e) return;
        out = e->value == "yes";
        if (!out && e->value != "no") doubtful(e->value_place, "'" + e->key + "' is yes or no, not '" + e->value + "'");
    }

    // "USER SECRET"
    std::optional<ConfAccount> account(const ConfEntry& e) {
        const size_t end = e.value.find_first_of(" \t");
        const size_t next = end == std::string::npos ? end : e.value.find_first_not_of(" \t", end);
        if (e.value.empty() || next == std::string::npos) {
            wrong(e.has_value ? e.value_place : e.key_place, "'" + e.key + "' needs a user and a secret");
            return std::nullopt;
        }
        // only the first word counts as secret, as in tgt-admin
        const std::string_view secret = std::string_view(e.value).substr(next, e.value.find_first_of(" \t", next) - next);
        if (secret == no_secret) doubtful(e.value_place, "the secret of '" + e.value.substr(0, end) + "' is still to be filled in");
        return ConfAccount{e.value.substr(0, end), Secret(secret), e.value_place};
    }

    std::vector<ConfAccount> accounts(const ConfBlock& block, std::string_view key) {
        std::vector<ConfAccount> list;
        for (const ConfEntry* e : block.all(key))
            if (auto a = account(*e)) list.push_back(std::move(*a));
        return list;
    }

    void globals() {
        const ConfBlock& root = conf_.root;
        if (const ConfEntry* e = single(root, "default-driver", "")) {
            model_.default_driver = e->value;
            check_driver(*e);
        }
        yes_no(single(root, "ignore-errors", ""), model_.ignore_errors);
        unsigned long n;
        if (const ConfEntry* e = single(root, "control-port", "")) {
            if (to_number(e->value, 0, 32767, n)) model_.control_port = int(n);
            else if (!e->value.empty()) wrong(e->value_place, "'control-port' is a number from 0 to 32767, not '" + e->value + "'");
        }
        for (const char* key : {"iSNSAccessControl", "iSNSServerIP", "iSNSServerPort", "iSNS"}) {
            const ConfEntry* e = single(root, key, "");
            if (!e) continue;
            const bool on_off = std::string_view(key) == "iSNS" || std::string_view(key) == "iSNSAccessControl";
            if (on_off && e->value != "On" && e->value != "Off") doubtful(e->value_place, "'" + e->key + "' is On or Off, not '" + e->value + "'");
            model_.isns.emplace_back(key, e->value);
        }
        model_.discovery_incoming = accounts(root, "incomingdiscoveryuser");
        for (ConfAccount& a : accounts(root, "outgoingdiscoveryuser")) {
            if (model_.discovery_outgoing) doubtful(a.place, "a second 'outgoingdiscoveryuser'; only the first counts");
            else model_.discovery_outgoing = std::move(a);
        }
        const std::vector<std::string_view> known(std::begin(global_keys), std::end(global_keys));
        for (const ConfEntry& e : root.entries)
            if (!contains(global_keys, e.key)) unknown(e, known, is_target_key(e.key) ? " outside of <target>" : "");
    }

    void check_driver(const ConfEntry& e) {
        if (!e.value.empty() && e.value != "iscsi") doubtful(e.value_place, "driver '" + e.value + "' is not there; 'iscsi' is");
    }

    static bool is_target_key(std::string_view key) {
        return contains(target_keys, key) || contains(parameter_keys, key) || find_lun_key(key) || contains(lun_lists, key);
    }

    void target(const ConfEntry& e) {
        const ConfBlock& b = *e.block;
        TargetModel t;
        t.name = e.value;
        t.place = e.value_place;
        for (char c : t.name)
            if (!std::isalnum(static_cast<unsigned char>(c)) && c != ':' && c != '.' && c != '-') {
                doubtful(e.value_place, std::string("a target's name holds letters, digits, ':', '.' and '-' only, not '") + c + "'");
                break;
            }
        if (const ConfEntry* d = single(b, "driver", "")) {
            t.driver = d->value;
            check_driver(*d);
        }
        unsigned long n;
        if (const ConfEntry* c = single(b, "controller_tid", "")) {
            if (to_number(c->value, 1, INT_MAX, n)) t.controller_tid = int(n);
            else if (!c->value.empty()) wrong(c->value_place, "'controller_tid' is a number from 1 on, not '" + c->value + "'");
        }
        for (std::string_view key : parameter_keys)
            if (const ConfEntry* p = single(b, key, "")) {
                t.parameters.emplace_back(p->key, p->value);
                t.parameter_places[p->key] = p->value_place;
            }
        t.incoming = accounts(b, "incominguser");
        for (ConfAccount& a : accounts(b, "outgoinguser")) {
            t.more_outgoing = t.outgoing.has_value();
            if (t.outgoing) doubtful(a.place, "a second 'outgoinguser'; only the first counts");
            else t.outgoing = std::move(a);
        }
        rules(b, "initiator-address", t.addresses);
        rules(b, "initiator-name", t.names);
        if (t.addresses == std::vector<std::string>{"none"}) t.no_address = true, t.addresses.clear();
        else if (t.addresses.empty() && !t.names.empty())
            doubtful(b.first("initiator-name")->key_place, "without an 'initiator-address' every initiator is admitted, not only these names");
        stores(b, "backing-store", false, t);
        stores(b, "direct-store", true, t);
        std::vector<std::string_view> known;
        for (const LunKey& k : lun_keys)
            if (k.name != "replaced") known.push_back(k.name);
        for (std::string_view k : target_keys) known.push_back(k);
        for (std::string_view k : parameter_keys) known.push_back(k);
        for (std::string_view k : lun_lists) known.push_back(k);
        for (const ConfEntry& entry : b.entries)
            if (!is_target_key(entry.key)) unknown(entry, known, "");
        model_.targets.push_back(std::move(t));
    }

    void rules(const ConfBlock& b, std::string_view key, std::vector<std::string>& out) {
        for (const ConfEntry* e : b.all(key)) {
            if (e->value.empty()) wrong(e->key_place, "'" + e->key + "' needs a value");
            else if (std::find(out.begin(), out.end(), e->value) != out.end()) doubtful(e->value_place, "'" + e->value + "' is there already");
            else out.push_back(e->value);
        }
    }

    void stores(const ConfBlock& b, std::string_view key, bool direct, TargetModel& t) {
        const size_t before = t.stores.size();
        for (const ConfEntry* e : b.all(key)) {
            if (e->value.empty()) {
                wrong(e->key_place, "'" + e->key + "' needs a path");
                continue;
            }
            StoreModel s;
            s.direct = direct;
            s.path = e->value;
            s.place = e->value_place;
            if (e->block) lun_values(*e->block, s, true, direct ? " in 'direct-store'" : " in 'backing-store'");
            lun_values(b, s, false, "");
            t.stores.push_back(std::move(s));
        }
        std::stable_sort(t.stores.begin() + long(before), t.stores.end(), [](const auto& x, const auto& y) { return x.path < y.path; });
    }

    // Takes what is not there yet; the inner block comes first.
    void lun_values(const ConfBlock& b, StoreModel& s, bool own_block, const std::string& context) {
        for (const LunKey& k : lun_keys) {
            if (k.name == "block-size" && !own_block) {
                if (const ConfEntry* e = b.first(k.name); e && checked_.insert(e).second) doubtful(e->key_place, "'block-size' counts inside of <backing-store> only");
                continue;
            }
            const auto all = b.all(k.name);
            if (all.empty()) continue;
            if (checked_.insert(all[0]).second) {
                single(b, k.name, context);
                if (!all[0]->value.empty()) check_value(*all[0], k);
            }
            s.values.emplace(std::string(k.name), all[0]->value);
        }
        s.allow_in_use = s.get("allow-in-use") == "yes";
        for (std::string_view key : lun_lists) {
            std::vector<std::string>& list = key == "params" ? s.params : s.mode_pages;
            const bool take = list.empty();
            for (const ConfEntry* e : b.all(key)) {
                if (e->value.empty() && checked_.insert(e).second) wrong(e->key_place, "'" + e->key + "' needs a value");
                if (take) list.push_back(e->value);
            }
        }
        if (!own_block) return;
        std::vector<std::string_view> known(std::begin(lun_lists), std::end(lun_lists));
        for (const LunKey& k : lun_keys) known.push_back(k.name);
        for (const ConfEntry& e : b.entries)
            if (!find_lun_key(e.key) && !contains(lun_lists, e.key))
                unknown(e, known, is_target_key(e.key) ? " inside of a store; it belongs to <target>" : "");
    }

    void check_value(const ConfEntry& e, const LunKey& k) {
        unsigned long n;
        auto complain = [&](const std::string& rule) { doubtful(e.value_place, "'" + e.key + "' is " + rule + ", not '" + e.value + "'"); };
        switch (k.is) {
        case Is::number:
            if (!to_number(e.value, k.name == "lun" ? 1 : 0, k.max, n)) complain("a number up to " + std::to_string(k.max));
            break;
        case Is::flag:
            if (e.value != "0" && e.value != "1") complain("1 or 0");
            break;
        case Is::switch_word:
            if (e.value != "on" && e.value != "off") complain("on or off");
            break;
        case Is::yes_no:
            if (e.value != "yes" && e.value != "no") complain("yes or no");
            break;
        case Is::power:
            if (!to_number(e.value, 512, k.max, n) || (n & (n - 1))) complain("a power of two from 512 on");
            break;
        case Is::text: break;
        }
    }

    TargetsConf conf_;
    ConfModel model_;
    std::set<const ConfEntry*> checked_;        // entries of a target are seen once per store
};

}  // namespace

const std::string& StoreModel::get(const std::string& key) const {
    static const std::string none;
    auto row = values.find(key);
    return row == values.end() ? none : row->second;
}

const ConfMistake* ConfModel::fatal() const {
    auto first = std::find_if(mistakes.begin(), mistakes.end(), [](const ConfMistake& m) { return m.fatal; });
    return first == mistakes.end() ? nullptr : &*first;
}

const TargetModel* ConfModel::find(std::string_view name) const {
    auto t = std::find_if(targets.begin(), targets.end(), [&](const TargetModel& m) { return m.name == name; });
    return t == targets.end() ? nullptr : &*t;
}

ConfModel model_of(TargetsConf conf) { return Builder(std::move(conf)).build(); }

bool is_target_parameter(std::string_view key) { return contains(parameter_keys, key); }

std::span<const std::string_view> lun_parameter_keys() {
    static constexpr std::string_view keys[] = {"vendor_id", "product_id", "product_rev", "scsi_id", "scsi_sn", "sense_format", "removable",
                                                "online", "readonly", "path", "lbppbe", "la_lba", "optimal_xfer_gran", "optimal_xfer_len"};
    return keys;
}

}  // namespace iscsi::config
