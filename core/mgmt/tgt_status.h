// What a running tgtd holds, read back from `target show`: ours and tgt's print the same.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace iscsi::mgmt {

struct RunningSession {
    std::string sid;
    std::vector<std::string> cids;
    std::string initiator;
    std::vector<std::string> addresses;
};

struct RunningTarget {
    int tid = 0;
    std::string name, driver;
    std::vector<RunningSession> sessions;
    std::vector<uint64_t> luns;
    std::vector<std::string> stores;            // paths, without None
    std::vector<std::string> incoming;
    std::optional<std::string> outgoing;
    std::vector<std::string> rules;             // addresses, then names
};

std::vector<RunningTarget> parse_target_show(std::string_view text);
// The users of `account show`.
std::vector<std::string> parse_account_show(std::string_view text);
// The portals of `portal show`: "0.0.0.0:3260", "[::]:3260".
std::vector<std::string> parse_portal_show(std::string_view text);

// The accounts of discovery sessions, of `system show`.
struct SystemUsers {
    std::vector<std::string> incoming;
    std::optional<std::string> outgoing;
};
SystemUsers parse_system_users(std::string_view text);

}  // namespace iscsi::mgmt
