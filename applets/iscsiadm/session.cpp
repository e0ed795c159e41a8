// iscsiadm -m session: views of the kernel's sessions, rescan, statistics, logout, one session more.
#include <algorithm>
#include <charconv>
#include <string>

#include "applets/iscsiadm/iscsiadm.h"
#include "core/base/json.h"

namespace iscsi::applets::iscsiadm {
namespace {

constexpr int none_found = int(InitiatorError::no_objects_found);

// -r: a number, or a folder of the session in sysfs. A message is printed on failure.
std::optional<uint32_t> parse_sid(Tool& tool, const std::string& text, int& code) {
    std::string_view s = text;
    while (s.size() > 1 && s.ends_with('/')) s.remove_suffix(1);
    bool path = s.find('/') != s.npos;
    if (path) {
        s.remove_prefix(s.rfind('/') + 1);
        if (!s.starts_with("session")) {
            tool.error("%s is not the folder of a session", text.c_str());
            code = int(InitiatorError::generic);
            return std::nullopt;
        }
        s.remove_prefix(7);
    }
    uint32_t sid = 0;
    auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), sid);
    if (s.empty() || error != std::errc() || end != s.data() + s.size()) {
        tool.error("%s is an invalid session ID or path", text.c_str());
        code = int(InitiatorError::generic);
        return std::nullopt;
    }
    return sid;
}

// The counters of the kernel in the order in which they are shown.
int print_stats_of(Tool& tool, mgmt::IscsidClient& client, const kernel::SessionInfo& s, bool first) {
    auto ask = mgmt::request(mgmt::IscsidRequest::stats);
    ask.add("sid", uint64_t(s.sid));
    auto answer = client.call(std::move(ask), std::chrono::seconds(15));
    InitiatorError code = answer ? answer->error() : InitiatorError(answer.error().code);
    if (code != InitiatorError::none) {
        tool.error("Could not execute operation on %s", quoted(s).c_str());
        tool.report(code);
        return int(code);
    }
    auto split = [](std::string_view line) {
        size_t blank = std::min(line.find(' '), line.size());
        return std::pair(std::string(line.substr(0, blank)), std::string(line.substr(std::min(blank + 1, line.size()))));
    };
    if (tool.request.json) {
        tool.print_text((first ? "\n {\"sid\": " : ",\n {\"sid\": ") + std::to_string(s.sid) + ", \"target\": " +
                        json_string(s.target_name));
        for (const char* group : {"snmp", "extended"}) {
            tool.print_text(std::string(", \"") + group + "\": {");
            const char* comma = "";
            for (std::string_view line : answer->all(group)) {
                auto [name, value] = split(line);
                tool.print_text(comma + json_string(name) + ": " + value);
                comma = ", ";
            }
            tool.print_text("}");
        }
        tool.print_text("}");
        return 0;
    }
    tool.print("Stats for session %s\n", quoted(s).c_str());
    for (const auto& [heading, group] : {std::pair("iSCSI SNMP:", "snmp"), {"iSCSI Extended:", "extended"}}) {
        tool.print("%s\n", heading);
        for (std::string_view line : answer->all(group)) {
            auto [name, value] = split(line);
            tool.print("\t%s: %s\n", name.c_str(), value.c_str());
        }
    }
    return 0;
}

int one_session(Tool& tool, const kernel::SessionInfo& s) {
    const Request& r = tool.request;
    auto op = r.op();
    if (op == Op::create) return login_nodes(tool, {record_of(tool, s)}, true);
    if (r.logout) return logout_sessions(tool, {s});
    if (r.rescan) return rescan_sessions(tool, {s});
    if (r.stats) return print_stats(tool, {s});
    if (op == Op::update) {
        if (r.params.empty() || r.half_param) {
            tool.error("update requires name and value");
            return int(InitiatorError::invalid);
        }
        return update_nodes(tool, {record_of(tool, s)});
    }
    if (op == Op::remove) return delete_nodes(tool, {record_of(tool, s)});
    if (r.json && op != Op::show) {
        print_sessions_json(tool, {s});
        return 0;
    }
    if (r.print_level.value_or(0) > 0) {
        print_session_tree(tool, {s}, *r.print_level);
        return 0;
    }
    return show_nodes(tool, {record_of(tool, s)});
}

}  // namespace

std::vector<kernel::SessionInfo> list_sessions(Tool& tool) {
    auto sessions = tool.sysfs.sessions();
    // by name, as open-iscsi lists them: session11 before session8
    std::sort(sessions.begin(), sessions.end(), [](const auto& a, const auto& b) { return std::to_string(a.sid) < std::to_string(b.sid); });
    return sessions;
}

config::NodeId id_of(const kernel::SessionInfo& s) {
    auto number = [](const std::string& text, int otherwise) {
        int n = otherwise;
        std::from_chars(text.data(), text.data() + text.size(), n);
        return n;
    };
    return {s.target_name, s.persistent_address, s.iface_name.empty() ? "default" : s.iface_name, number(s.persistent_port, 3260),
            number(s.tpgt, -1)};
}

Record record_of(Tool& tool, const kernel::SessionInfo& s) {
    config::NodeId id = id_of(s);
    if (auto exact = tool.db.node(id)) return std::move(*exact);
    auto any_tag = tool.db.nodes({id.target, id.address, id.iface, id.port});
    if (!any_tag.empty()) return std::move(any_tag.front());
    Record node = tool.conf.new_record(Kind::node);
    if (auto iface = tool.db.iface(id.iface)) config::bind_iface(node, *iface);
    (void)node.set(Key::node_name, id.target);
    (void)node.set(Key::conn_address, id.address);
    (void)node.set(Key::conn_port, int64_t(id.port));
    (void)node.set(Key::node_tpgt, int64_t(id.tpgt));
    return node;
}

int rescan_sessions(Tool& tool, const std::vector<kernel::SessionInfo>& sessions) {
    if (sessions.empty()) {
        tool.error("No session found.");
        return none_found;
    }
    int first = 0;
    for (const kernel::SessionInfo& s : sessions) {
        tool.print("Rescanning session %s\n", quoted(s).c_str());
        tool.flush();
        auto devices = tool.sysfs.devices(s.sid);
        for (const kernel::ScsiDevice& d : devices) (void)tool.sysfs.rescan_device(d);     // one that is gone answers with an error
        if (auto scanned = tool.sysfs.scan_host(s.host); !scanned) {
            tool.error("%s", scanned.error().text().c_str());
            if (!first) first = int(InitiatorError::sysfs_lookup);
        }
    }
    return first;
}

int print_stats(Tool& tool, const std::vector<kernel::SessionInfo>& sessions) {
    if (sessions.empty()) {
        tool.error("No session found.");
        return none_found;
    }
    InitiatorError why = InitiatorError::none;
    mgmt::IscsidClient* client = tool.daemon(true, &why);
    if (!client) {
        tool.report(why);
        return int(why);
    }
    if (tool.request.json) tool.print_text("[");
    int first = 0;
    bool first_one = true;
    for (const kernel::SessionInfo& s : sessions) {
        int code = print_stats_of(tool, *client, s, first_one);
        if (!code) first_one = false;
        if (!first) first = code;
    }
    if (tool.request.json) tool.print_text("\n]\n");
    return first;
}

int session_mode(Tool& tool) {
    const Request& r = tool.request;
    auto op = r.op();
    if (op && *op != Op::create && *op != Op::update && *op != Op::remove && *op != Op::show) {
        tool.error("operation is not supported.");
        return int(InitiatorError::invalid);
    }
    if (r.sid) {
        int code = 0;
        auto sid = parse_sid(tool, *r.sid, code);
        if (!sid) return code;
        auto session = tool.sysfs.session(*sid);
        if (!session || session->target_name.empty()) {
            tool.error("could not read session targetname: 5");
            tool.error("Could not get session info for sid %u", *sid);
            return int(InitiatorError::sysfs_lookup);
        }
        return one_session(tool, *session);
    }
    if (op == Op::create) {
        tool.error("session mode: Operation 'new' only allowed with specific session IDs");
        return int(InitiatorError::invalid);
    }
    auto sessions = list_sessions(tool);
    if (r.logout) return logout_sessions(tool, sessions);
    if (r.rescan) return rescan_sessions(tool, sessions);
    if (r.stats) return print_stats(tool, sessions);
    if (sessions.empty()) {
        if (r.json) tool.print_text("[]\n");
        tool.error("No active sessions.");
        return none_found;
    }
    if (op == Op::update || op == Op::remove) {
        std::vector<Record> nodes;
        for (const auto& s : sessions) nodes.push_back(record_of(tool, s));
        if (op == Op::remove) return delete_nodes(tool, nodes);
        if (r.params.empty() || r.half_param) {
            tool.error("update requires name and value");
            return int(InitiatorError::invalid);
        }
        return update_nodes(tool, std::move(nodes));
    }
    if (op == Op::show) {
        std::vector<Record> nodes;
        for (const auto& s : sessions) nodes.push_back(record_of(tool, s));
        return show_nodes(tool, nodes);
    }
    int level = r.print_level.value_or(0);
    if (level < 0 || level > 3) {
        tool.error("Invalid info level %d. Try 0 - 3.", level);
        return int(InitiatorError::invalid);
    }
    if (r.json) print_sessions_json(tool, sessions);
    else if (level == 0) print_session_list(tool, sessions);
    else print_session_tree(tool, sessions, level);
    return 0;
}

}  // namespace iscsi::applets::iscsiadm
