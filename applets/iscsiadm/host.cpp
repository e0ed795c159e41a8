// iscsiadm -m host: the SCSI hosts of the iSCSI transport; the software initiator has one per session.
#include <algorithm>
#include <string>

#include "applets/iscsiadm/iscsiadm.h"
#include "core/base/json.h"

namespace iscsi::applets::iscsiadm {
namespace {

std::string or_empty(const std::string& s) { return s.empty() ? "<empty>" : s; }

void print_host(Tool& tool, const kernel::HostInfo& h) {
    tool.print("Host Number: %d\n", h.number);
    tool.print("\tState: %s\n", h.state.empty() ? "unknown" : h.state.c_str());
    tool.print("\tTransport: %s\n", h.transport.c_str());
    tool.print("\tInitiatorname: %s\n", or_empty(h.initiator_name).c_str());
    tool.print("\tIPaddress: %s\n", or_empty(h.ip_address).c_str());
    tool.print("\tHWaddress: %s\n", or_empty(h.hw_address).c_str());
    tool.print("\tNetdev: %s\n", or_empty(h.netdev).c_str());
}

void print_host_json(Tool& tool, const std::vector<kernel::HostInfo>& hosts) {
    auto value = [](const std::string& s) { return s.empty() ? std::string("null") : json_string(s); };
    tool.print_text("[");
    for (size_t i = 0; i < hosts.size(); i++) {
        const auto& h = hosts[i];
        tool.print_text((i ? ",\n {\"host\": " : "\n {\"host\": ") + std::to_string(h.number) + ", \"state\": " + value(h.state) +
                        ", \"transport\": " + value(h.transport) + ", \"initiatorname\": " + value(h.initiator_name) +
                        ", \"ipaddress\": " + value(h.ip_address) + ", \"hwaddress\": " + value(h.hw_address) + ", \"netdev\": " +
                        value(h.netdev) + "}");
    }
    tool.print_text(hosts.empty() ? "]\n" : "\n]\n");
}

}  // namespace

int host_mode(Tool& tool) {
    const Request& r = tool.request;
    int level = r.print_level.value_or(0);
    if (level < 0 || level > 4) {
        tool.error("Invalid info level %d. Try 0 - 4.", level);
        return int(InitiatorError::invalid);
    }
    if (r.submode) {
        tool.error("Host sub-mode '%s' is for offload cards; the software initiator has none.", r.submode->c_str());
        return int(InitiatorError::not_supported);
    }
    std::vector<kernel::HostInfo> hosts;
    for (int number : tool.sysfs.host_numbers())
        if (auto host = tool.sysfs.host(number))
            // -H takes a number or a hardware address
            if (!r.host || *r.host == std::to_string(number) || *r.host == host->hw_address) hosts.push_back(std::move(*host));
    if (hosts.empty()) {
        if (r.json) tool.print_text("[]\n");
        tool.error("No iSCSI hosts.");
        return int(InitiatorError::no_objects_found);
    }
    if (r.json) {
        print_host_json(tool, hosts);
        return 0;
    }
    if (level == 4) {
        tool.print("iSCSI Transport Class version %s\n", tool.sysfs.transport_version().c_str());
        tool.print("version %s\n", std::string(config::record_version).c_str());
    }
    auto sessions = level >= 2 ? list_sessions(tool) : std::vector<kernel::SessionInfo>{};
    for (const auto& h : hosts) {
        if (level == 0) {
            tool.print("%s: [%d] %s,[%s],%s %s\n", h.transport.c_str(), h.number, or_empty(h.ip_address).c_str(),
                       or_empty(h.hw_address).c_str(), or_empty(h.netdev).c_str(), or_empty(h.initiator_name).c_str());
            continue;
        }
        print_host(tool, h);
        std::vector<kernel::SessionInfo> of_host;
        std::copy_if(sessions.begin(), sessions.end(), std::back_inserter(of_host), [&](const auto& s) { return s.host == h.number; });
        if (of_host.empty()) continue;
        tool.print_text("\t*********\n\tSessions:\n\t*********\n");
        SessionParts parts;
        parts.params = level >= 3;
        parts.devices = level >= 4;
        print_session_tree(tool, of_host, parts, "\t");
    }
    return 0;
}

}  // namespace iscsi::applets::iscsiadm
