// What iscsiadm shows of records and sessions: open-iscsi's lists and trees byte for byte, and JSON.
#include <cstdlib>

#include "applets/iscsiadm/iscsiadm.h"
#include "core/base/json.h"

namespace iscsi::applets::iscsiadm {
namespace {


std::string or_empty(const std::string& s) { return s.empty() ? "<empty>" : s; }
std::string or_default(const std::string& s) { return s.empty() ? "default" : s; }
const char* yes_no(const std::string& flag) { return flag == "1" ? "Yes" : "No"; }
const char* digest(const std::string& flag) { return flag == "1" ? "CRC32C" : "None"; }

std::string session_portal(const std::string& address, const std::string& port, const std::string& tpgt) {
    return config::portal_text(address, std::atoi(port.c_str())) + "," + tpgt;
}

std::string transport_of(Tool& tool, const kernel::SessionInfo& s) {
    auto host = tool.sysfs.host(s.host);
    return host && !host->transport.empty() ? host->transport : "tcp";
}

// iscsid's words for the sessions; empty if it does not run (told once).
struct States {
    std::map<uint32_t, mgmt::IscsidSessionState> by_sid;
    bool asked = false;

    const mgmt::IscsidSessionState* find(uint32_t sid) const {
        auto at = by_sid.find(sid);
        return at == by_sid.end() ? nullptr : &at->second;
    }
};

States ask_states(Tool& tool) {
    States states;
    mgmt::IscsidClient* client = tool.daemon(false, nullptr);
    if (!client) return states;
    auto answer = client->call(mgmt::request(mgmt::IscsidRequest::states), std::chrono::seconds(10));
    if (!answer) {
        tool.error("%s", answer.error().what.c_str());
        return states;
    }
    for (std::string_view line : answer->all("session"))
        if (auto state = mgmt::parse_session_state(line)) states.by_sid[state->sid] = *state;
    return states;
}

// The negotiated parameters: label, where in sysfs, how to show.
struct Parameter {
    const char* label;
    const char* attribute;
    bool connection;
    enum { number, flag, crc } kind;
};
constexpr Parameter parameters[] = {
    {"HeaderDigest", "header_digest", true, Parameter::crc},
    {"DataDigest", "data_digest", true, Parameter::crc},
    {"MaxRecvDataSegmentLength", "max_recv_dlength", true, Parameter::number},
    {"MaxXmitDataSegmentLength", "max_xmit_dlength", true, Parameter::number},
    {"FirstBurstLength", "first_burst_len", false, Parameter::number},
    {"MaxBurstLength", "max_burst_len", false, Parameter::number},
    {"ImmediateData", "immediate_data", false, Parameter::flag},
    {"InitialR2T", "initial_r2t", false, Parameter::flag},
    {"MaxOutstandingR2T", "max_outstanding_r2t", false, Parameter::number},
};
constexpr struct { const char *label, *attribute; } timeouts[] = {
    {"Recovery Timeout", "recovery_tmo"}, {"Target Reset Timeout", "tgt_reset_tmo"},
    {"LUN Reset Timeout", "lu_reset_tmo"}, {"Abort Timeout", "abort_tmo"},
};
constexpr struct { const char* name; bool secret; } credentials[] = {
    {"username", false}, {"password", true}, {"username_in", false}, {"password_in", true},
};

std::string value_of(Tool& tool, uint32_t sid, const Parameter& p) {
    std::string raw = p.connection ? tool.sysfs.connection_attribute(sid, p.attribute) : tool.sysfs.session_attribute(sid, p.attribute);
    if (p.kind == Parameter::flag) return yes_no(raw);
    if (p.kind == Parameter::crc) return digest(raw);
    return or_empty(raw);
}

// As wide as the text, but for one that open-iscsi gave the width of another.
void title(Tool& tool, const std::string& indent, const char* text, size_t width = 0) {
    std::string stars(width ? width : std::char_traits<char>::length(text), '*');
    tool.print_text(indent + stars + "\n" + indent + text + "\n" + indent + stars + "\n");
}

class SessionPrinter {
public:
    SessionPrinter(Tool& tool, const SessionParts& parts, const std::string& indent) : tool_(tool), parts_(parts), base_(indent) {
        states_ = ask_states(tool);
    }

    void print(const kernel::SessionInfo& s) {
        line_ = base_ + "\t";
        line("Current Portal: ", session_portal(s.address, s.port, s.tpgt));
        line("Persistent Portal: ", session_portal(s.persistent_address, s.persistent_port, s.tpgt));
        line_ += "\t";
        interface(s);
        if (parts_.timeouts) {
            title(tool_, line_, "Timeouts:");
            for (const auto& t : timeouts) line(std::string(t.label) + ": ", or_empty(tool_.sysfs.session_attribute(s.sid, t.attribute)));
        }
        if (parts_.chap) chap(s);
        if (parts_.params) {
            title(tool_, line_, "Negotiated iSCSI params:");
            for (const Parameter& p : parameters) line(std::string(p.label) + ": ", value_of(tool_, s.sid, p));
        }
        if (parts_.devices) devices(s);
    }

private:
    void line(const std::string& label, const std::string& value) { tool_.print_text(line_ + label + value + "\n"); }

    void interface(const kernel::SessionInfo& s) {
        auto host = tool_.sysfs.host(s.host).value_or(kernel::HostInfo{});
        title(tool_, line_, "Interface:");
        line("Iface Name: ", or_default(s.iface_name));
        line("Iface Transport: ", host.transport.empty() ? "tcp" : host.transport);
        line("Iface Initiatorname: ", or_empty(s.initiator_name));
        line("Iface IPaddress: ", host.ip_address.empty() ? "default" : host.ip_address);
        line("Iface HWaddress: ", or_default(host.hw_address));
        std::string netdev = host.netdev;              // the kernel knows it only if it was told
        if (netdev.empty())
            if (auto iface = tool_.db.iface(s.iface_name)) netdev = iface->text(Key::iface_net_ifacename);
        line("Iface Netdev: ", or_default(netdev));
        line("SID: ", std::to_string(s.sid));
        const auto* state = states_.find(s.sid);
        line("iSCSI Connection State: ", state ? state->connection : "Unknown");
        line("iSCSI Session State: ", s.state.empty() ? "Unknown" : s.state);
        line("Internal iscsid Session State: ", state ? state->internal : "Unknown");
    }

    void chap(const kernel::SessionInfo& s) {
        title(tool_, line_, "CHAP:");
        for (const auto& c : credentials) {
            bool hidden = c.secret && !tool_.request.show_secrets;
            line(std::string(c.name) + ": ", hidden ? "********" : or_empty(tool_.sysfs.session_attribute(s.sid, c.name)));
        }
    }

    void devices(const kernel::SessionInfo& s) {
        title(tool_, line_, "Attached SCSI devices:", 24);
        if (parts_.host_state) {
            auto host = tool_.sysfs.host(s.host).value_or(kernel::HostInfo{});
            line("Host Number: ", std::to_string(s.host) + "\tState: " + (host.state.empty() ? "unknown" : host.state));
        }
        for (const kernel::ScsiDevice& d : tool_.sysfs.devices(s.sid)) {
            char at[96];
            std::snprintf(at, sizeof at, "scsi%d Channel %02d Id %d Lun: %llu", d.host, d.channel, d.id,
                          static_cast<unsigned long long>(d.lun));
            line(at, "");
            if (!d.block.empty()) line("\tAttached scsi disk " + d.block + "\t\tState: ", d.state);
        }
    }

    Tool& tool_;
    SessionParts parts_;
    std::string base_, line_;
    States states_;
};

}  // namespace

std::string portal_of(const Record& node) {
    return config::portal_text(node.text(Key::conn_address), node.number(Key::conn_port));
}

std::string quoted(const Record& node) {
    return "[iface: " + node.text(Key::iface_name) + ", target: " + node.text(Key::node_name) + ", portal: " +
           node.text(Key::conn_address) + "," + std::to_string(node.number(Key::conn_port)) + "]";
}

std::string quoted(const kernel::SessionInfo& s) {
    return "[sid: " + std::to_string(s.sid) + ", target: " + s.target_name + ", portal: " + s.persistent_address + "," +
           s.persistent_port + "]";
}

void print_list(Tool& tool, const std::vector<Record>& nodes) {
    // an unknown portal group tag shows as the unsigned number it is in open-iscsi
    for (const Record& n : nodes)
        tool.print("%s,%u %s\n", portal_of(n).c_str(), unsigned(n.number(Key::node_tpgt)), n.text(Key::node_name).c_str());
}

void print_tree(Tool& tool, const std::vector<Record>& nodes) {
    const std::string* target = nullptr;
    for (const Record& n : nodes) {
        if (!target || *target != n.text(Key::node_name)) tool.print("Target: %s\n", n.text(Key::node_name).c_str());
        target = &n.text(Key::node_name);
        tool.print("\tPortal: %s,%d\n", portal_of(n).c_str(), n.number(Key::node_tpgt));
        tool.print("\t\tIface Name: %s\n", n.text(Key::iface_name).c_str());
    }
}

void print_nodes_json(Tool& tool, const std::vector<Record>& nodes, bool whole) {
    tool.print_text("[");
    for (size_t i = 0; i < nodes.size(); i++) {
        const Record& n = nodes[i];
        tool.print_text(i ? ",\n " : "\n ");
        if (whole) {
            tool.print_text(n.to_json(tool.request.show_secrets));
            continue;
        }
        tool.print_text("{\"target\": " + json_string(n.text(Key::node_name)) + ", \"address\": " + json_string(n.text(Key::conn_address)) +
                        ", \"port\": " + std::to_string(n.number(Key::conn_port)) + ", \"tpgt\": " +
                        std::to_string(n.number(Key::node_tpgt)) + ", \"iface\": " + json_string(n.text(Key::iface_name)) +
                        ", \"startup\": " + json_string(n.text(Key::node_startup)) + "}");
    }
    tool.print_text(nodes.empty() ? "]\n" : "\n]\n");
}

void print_session_list(Tool& tool, const std::vector<kernel::SessionInfo>& sessions) {
    for (const kernel::SessionInfo& s : sessions)
        tool.print("%s: [%u] %s %s (non-flash)\n", transport_of(tool, s).c_str(), s.sid,
                   session_portal(s.persistent_address, s.persistent_port, s.tpgt).c_str(), s.target_name.c_str());
}

void print_session_tree(Tool& tool, const std::vector<kernel::SessionInfo>& sessions, const SessionParts& parts, const std::string& indent) {
    SessionPrinter printer(tool, parts, indent);
    // sessions of one target stand together, targets in the order of their first session
    std::vector<bool> done(sessions.size());
    for (size_t i = 0; i < sessions.size(); i++) {
        if (done[i]) continue;
        tool.print_text(indent + "Target: " + sessions[i].target_name + " (non-flash)\n");
        for (size_t j = i; j < sessions.size(); j++) {
            if (done[j] || sessions[j].target_name != sessions[i].target_name) continue;
            printer.print(sessions[j]);
            done[j] = true;
        }
    }
}

void print_session_tree(Tool& tool, const std::vector<kernel::SessionInfo>& sessions, int level) {
    if (level >= 3) {
        tool.print("iSCSI Transport Class version %s\n", tool.sysfs.transport_version().c_str());
        tool.print("version %s\n", std::string(config::record_version).c_str());
    }
    SessionParts parts;
    parts.timeouts = parts.chap = parts.params = level >= 2;
    parts.devices = parts.host_state = level >= 3;
    print_session_tree(tool, sessions, parts, "");
}

void print_sessions_json(Tool& tool, const std::vector<kernel::SessionInfo>& sessions) {
    States states = ask_states(tool);
    std::string out = "[";
    auto text = [&](const char* key, const std::string& value) {
        out += std::string(", \"") + key + "\": " + (value.empty() ? "null" : json_string(value));
    };
    auto number = [&](const char* key, const std::string& value) {
        bool plain = !value.empty() && value.find_first_not_of("-0123456789") == value.npos;
        out += std::string(", \"") + key + "\": " + (plain ? value : "null");
    };
    for (size_t i = 0; i < sessions.size(); i++) {
        const kernel::SessionInfo& s = sessions[i];
        auto host = tool.sysfs.host(s.host).value_or(kernel::HostInfo{});
        out += (i ? ",\n {\"sid\": " : "\n {\"sid\": ") + std::to_string(s.sid);
        text("transport", transport_of(tool, s));
        text("target", s.target_name);
        number("tpgt", s.tpgt);
        text("address", s.address);
        number("port", s.port);
        text("persistent_address", s.persistent_address);
        number("persistent_port", s.persistent_port);
        text("iface", s.iface_name);
        text("initiatorname", s.initiator_name);
        text("ipaddress", host.ip_address);
        text("hwaddress", host.hw_address);
        text("netdev", host.netdev);
        const auto* state = states.find(s.sid);
        text("connection_state", state ? state->connection : "");
        text("session_state", s.state);
        text("internal_state", state ? state->internal : "");
        for (const auto& t : timeouts) number(t.attribute, tool.sysfs.session_attribute(s.sid, t.attribute));
        for (const auto& c : credentials) {
            std::string value = tool.sysfs.session_attribute(s.sid, c.name);
            text(c.name, c.secret && !tool.request.show_secrets && !value.empty() ? "********" : value);
        }
        for (const Parameter& p : parameters)
            (p.kind == Parameter::number ? number(p.label, value_of(tool, s.sid, p)) : text(p.label, value_of(tool, s.sid, p)));
        number("host", std::to_string(s.host));
        text("host_state", host.state);
        out += ", \"devices\": [";
        auto devices = tool.sysfs.devices(s.sid);
        for (size_t d = 0; d < devices.size(); d++)
            out += (d ? ", {\"hctl\": " : "{\"hctl\": ") + json_string(devices[d].name()) + ", \"lun\": " + std::to_string(devices[d].lun) +
                   ", \"block\": " + (devices[d].block.empty() ? "null" : json_string(devices[d].block)) +
                   ", \"state\": " + json_string(devices[d].state) + "}";
        out += "]}";
    }
    tool.print_text(out + (sessions.empty() ? "]\n" : "\n]\n"));
}

}  // namespace iscsi::applets::iscsiadm
