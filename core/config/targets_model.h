// What targets.conf says, as tgt-admin understands it: targets with their logical units, accounts and rules. Made from
// the parsed file; what is wrong with it comes along, each mistake with its place.
#pragma once
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/base/secret.h"
#include "core/config/targets_conf.h"

namespace iscsi::config {

// What a dump has instead of a secret, as tgt's. It is never made one.
inline constexpr const char* no_secret = "PLEASE_CORRECT_THE_PASSWORD";

struct ConfAccount {
    std::string user;
    Secret secret;
    ConfPlace place;
};

// A backing-store or direct-store. Values of the store's own block come before those of its target.
struct StoreModel {
    bool direct = false;
    std::string path;
    ConfPlace place;
    std::map<std::string, std::string> values;      // keys that may stand once: lun, vendor_id, bs-type …
    std::vector<std::string> mode_pages, params;
    bool allow_in_use = false;

    // "" if it is not given.
    const std::string& get(const std::string& key) const;
};

struct TargetModel {
    std::string name;
    ConfPlace place;
    std::string driver;                             // empty: the default one
    std::optional<int> controller_tid;
    std::vector<std::pair<std::string, std::string>> parameters;    // iSCSI keys, state, nop_…: in ASCII order of the keys
    std::map<std::string, ConfPlace> parameter_places;
    std::vector<StoreModel> stores;                 // backing stores by path, then direct stores by path
    std::vector<ConfAccount> incoming;
    std::optional<ConfAccount> outgoing;
    bool more_outgoing = false;                     // a second one was given; only the first counts
    std::vector<std::string> addresses, names;      // initiator-address, initiator-name; no address: ALL
    bool no_address = false;                        // initiator-address none: not even ALL
};

struct ConfModel {
    std::optional<std::string> default_driver;
    bool ignore_errors = false;
    std::optional<int> control_port;
    std::vector<std::pair<std::string, std::string>> isns;          // iSNSAccessControl, …ServerIP, …ServerPort, iSNS
    std::vector<ConfAccount> discovery_incoming;
    std::optional<ConfAccount> discovery_outgoing;
    std::vector<TargetModel> targets;               // by name
    std::vector<ConfMistake> mistakes;              // of syntax and of sense, in file order

    const ConfMistake* fatal() const;               // the first; nullptr: it can be carried out
    const TargetModel* find(std::string_view name) const;
};

ConfModel model_of(TargetsConf conf);

// The names that are passed to `tgtadm --mode target --op update`.
bool is_target_parameter(std::string_view key);

// Keys of a logical unit that go to `--params` as they are, in the order of tgt-admin.
std::span<const std::string_view> lun_parameter_keys();

}  // namespace iscsi::config
