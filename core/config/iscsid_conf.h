// iscsid.conf: defaults of new records, and the few keys of the daemon itself. initiatorname.iscsi: who we are.
#pragma once
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/config/records.h"

namespace iscsi::config {

struct IscsidConf {
    std::string startup;                 // iscsid.startup: the command that starts the daemon
    bool safe_logout = false;            // iscsid.safe_logout
    bool ipc_auth_uid = false;           // iscsid.ipc_auth_uid
    std::string isns_address;            // isns.address
    int isns_port = 3205;                // isns.port
    std::vector<std::pair<std::string, std::string>> defaults;   // node.* and discovery.*, in file order
    std::vector<Complaint> complaints;   // lines that were skipped

    // Built-in defaults overlaid with the file's.
    Record new_record(Kind kind) const;
};

// A missing file is an empty one (built-in defaults); bad lines are complaints.
IscsidConf read_iscsid_conf(const std::string& path);
IscsidConf parse_iscsid_conf(std::string_view text, std::string_view origin);

struct InitiatorName {
    std::string name;
    std::string alias;                   // "" if the file names none
};
// Nothing if the file is missing or names no valid initiator.
std::optional<InitiatorName> read_initiator_name(const std::string& path);
// As above, but a missing file is made once: the name is derived from /etc/machine-id (so that it stays the same on a
// read-only root), or random where there is none.
// Nothing is written by initiator_name_here(): what the file says, else what would be made.
std::string initiator_name_here(const std::string& path, const std::string& machine_id_path = "/etc/machine-id");
Result<InitiatorName> ensure_initiator_name(const std::string& path, const std::string& machine_id_path = "/etc/machine-id");

// PREFIX:HEX, as iscsi-iname prints it.
std::string random_initiator_name(std::string_view prefix);

}  // namespace iscsi::config
