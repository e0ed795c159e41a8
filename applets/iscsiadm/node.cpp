// iscsiadm -m node: records of targets, and login, logout, rescan and statistics of those that match.
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "applets/iscsiadm/iscsiadm.h"

namespace iscsi::applets::iscsiadm {
namespace {

constexpr int invalid = int(InitiatorError::invalid);
constexpr int none_found = int(InitiatorError::no_objects_found);

int usage(Tool& tool, const char* text) {
    tool.error("%s", text);
    return invalid;
}

// Sessions of the kernel that the selectors match.
std::vector<kernel::SessionInfo> matching_sessions(Tool& tool, const config::NodeFilter& filter) {
    auto sessions = list_sessions(tool);
    std::erase_if(sessions, [&](const kernel::SessionInfo& s) { return !filter.matches(id_of(s)); });
    return sessions;
}

int new_node(Tool& tool, const std::optional<config::Portal>& portal) {
    const Request& r = tool.request;
    auto fail = [&](const std::string& why) {
        tool.error("Error while adding record: %s", why.c_str());
        return invalid;
    };
    if (!r.target || !portal) return fail("give a target (-T) and a portal (-p)");
    if (!config::safe_name(*r.target)) return fail("'" + *r.target + "' cannot be a target name");
    auto iface = tool.db.iface(r.ifaces.empty() ? "default" : r.ifaces.back());
    if (!iface) return int(InitiatorError::no_memory);       // told before; the number is open-iscsi's
    Record node = tool.conf.new_record(Kind::node);
    (void)node.set(Key::node_name, *r.target);
    (void)node.set(Key::conn_address, portal->address);
    (void)node.set(Key::conn_port, int64_t(portal->port));
    (void)node.set(Key::node_tpgt, int64_t(portal->tpgt));
    config::bind_iface(node, *iface);
    if (auto written = tool.db.write_node(node, true); !written) {
        fail(written.error().text());
        return int(InitiatorError::database);
    }
    const Record& n = node;
    tool.print("New iSCSI node [%s:[hw=%s,ip=%s,net_if=%s,iscsi_if=%s] %s,%d,%d %s] added\n", n.text(Key::iface_transport_name).c_str(),
               n.text(Key::iface_hwaddress).c_str(), n.text(Key::iface_ipaddress).c_str(), n.text(Key::iface_net_ifacename).c_str(),
               n.text(Key::iface_name).c_str(), portal->address.c_str(), portal->port, portal->tpgt, r.target->c_str());
    return 0;
}

bool startup_is(const Record& node, const std::string& wanted) { return wanted == "all" || node.text(Key::node_startup) == wanted; }

int login_all(Tool& tool, const std::string& which) {
    auto nodes = tool.db.nodes({}, config::Database::Order::as_listed);
    // boot sessions are the initramfs's business unless named
    std::erase_if(nodes, [&](const Record& n) { return !startup_is(n, which); });
    if (nodes.empty()) {
        tool.error("No records found");
        return none_found;
    }
    return login_nodes(tool, nodes);
}

int logout_all(Tool& tool, const std::string& which) {
    auto sessions = list_sessions(tool);
    std::erase_if(sessions, [&](const kernel::SessionInfo& s) {
        auto node = tool.db.node(id_of(s));
        if (!node) return true;                                // nobody's: made by hand or at boot
        if (node->text(Key::node_startup) == "onboot" && which != "onboot") return true;
        return !startup_is(*node, which);
    });
    return logout_sessions(tool, sessions);
}

}  // namespace

int show_nodes(Tool& tool, const std::vector<Record>& nodes) {
    if (tool.request.json) print_nodes_json(tool, nodes, true);
    else
        for (const Record& n : nodes) tool.print_text(n.to_screen(tool.request.show_secrets));
    return 0;
}

int update_nodes(Tool& tool, std::vector<Record> nodes) {
    int first = 0;
    bool iface_key = false;
    auto held = tool.db.lock();
    if (!held) {
        tool.error("%s", held.error().text().c_str());
        return int(InitiatorError::database);
    }
    for (Record& node : nodes) {
        if (auto now = tool.db.node(config::id_of(node))) node = std::move(*now);     // as it is under the lock
        Record before = node;
        int code = 0;
        for (const auto& [name, value] : tool.request.params) {
            code = change(tool, node, name, value);
            auto key = config::find_key(name);
            iface_key |= key && (config::field(*key).flags & config::flag::iface);
            if (code) break;
        }
        if (!code && !(node == before)) {
            if (auto written = tool.db.write_node(node); !written) {
                tool.error("%s", written.error().text().c_str());
                code = int(InitiatorError::database);
            }
        }
        if (!first) first = code;
    }
    if (first && !iface_key) tool.error("Could not execute operation on all records: %s", initiator::text(InitiatorError(first)));
    return first;
}

int delete_nodes(Tool& tool, const std::vector<Record>& nodes) {
    auto sessions = list_sessions(tool);
    int first = 0;
    for (const Record& node : nodes) {
        config::NodeId id = config::id_of(node);
        config::NodeFilter same{id.target, id.address, id.iface, id.port};
        int code = 0;
        if (std::any_of(sessions.begin(), sessions.end(), [&](const auto& s) { return same.matches(id_of(s)); })) {
            tool.error("This command will remove the record %s, but a session is using it. Logout session then rerun command to "
                       "remove record.", quoted(node).c_str());
            code = int(InitiatorError::session_exists);
        } else if (auto deleted = tool.db.delete_node(node); !deleted) {
            tool.error("%s", deleted.error().text().c_str());
            code = int(InitiatorError::database);
        }
        if (!first) first = code;
    }
    if (first) tool.error("Could not execute operation on all records: %s", initiator::text(InitiatorError(first)));
    return first;
}

int node_mode(Tool& tool) {
    const Request& r = tool.request;
    if (r.login && r.logout) return usage(tool, "Invalid parameters. Both login and logout passed in");
    if (r.login_all) return login_all(tool, *r.login_all);
    if (r.logout_all) return logout_all(tool, *r.logout_all);

    auto op = r.op();
    if (op && *op != Op::create && *op != Op::update && *op != Op::remove && *op != Op::show)
        return usage(tool, "operation is not supported.");
    if (op == Op::update && (r.params.empty() || r.half_param)) return usage(tool, "update requires name and value");

    std::optional<config::Portal> portal;
    if (r.portal && !(portal = config::parse_portal(*r.portal))) {
        tool.error("'%s' is no portal; give it as ADDRESS[:PORT][,TPGT], IPv6 in brackets", r.portal->c_str());
        return invalid;
    }
    if (!r.ifaces.empty() && !tool.db.iface(r.ifaces.back())) {
        tool.error("Could not read iface info for %s.", r.ifaces.back().c_str());
        return int(InitiatorError::no_memory);
    }
    if (op == Op::create) return new_node(tool, portal);

    config::NodeFilter filter;
    filter.target = r.target.value_or("");
    filter.iface = r.ifaces.empty() ? "" : r.ifaces.back();
    if (portal) filter.address = portal->address, filter.port = portal->port;

    if (r.logout) return logout_sessions(tool, matching_sessions(tool, filter));
    if (r.rescan) return rescan_sessions(tool, matching_sessions(tool, filter));
    if (r.stats) return print_stats(tool, matching_sessions(tool, filter));

    bool selected = r.target || r.portal || !r.ifaces.empty();
    bool records = selected || op == Op::show;
    if (!r.login && !op && !records && r.print_level.value_or(0) > 1) {
        tool.error("Invalid info level %d. Try 0 or 1.", *r.print_level);
        return invalid;
    }
    auto nodes = tool.db.nodes(filter, r.login ? config::Database::Order::as_listed : config::Database::Order::sorted);
    if (nodes.empty()) {
        std::string folder = tool.db.root() + "/nodes";
        if (::access(folder.c_str(), R_OK | X_OK) != 0 && errno == EACCES) {
            tool.error("read the node records in %s: Permission denied", folder.c_str());
            return int(InitiatorError::database);
        }
        if (r.json && !op && !r.login) tool.print_text("[]\n");
        tool.error("No records found");
        return none_found;
    }
    if (r.login) return login_nodes(tool, nodes);
    if (op == Op::update) return update_nodes(tool, std::move(nodes));
    if (op == Op::remove) return delete_nodes(tool, nodes);
    if (records) return show_nodes(tool, nodes);
    if (r.json) print_nodes_json(tool, nodes, false);
    else if (r.print_level.value_or(0) == 1) print_tree(tool, nodes);
    else print_list(tool, nodes);
    return 0;
}

}  // namespace iscsi::applets::iscsiadm
