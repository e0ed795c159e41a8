// iscsiadm -m iface: iface records, which say through which network interface and under which name a session is made.
#include <algorithm>

#include "applets/iscsiadm/iscsiadm.h"

namespace iscsi::applets::iscsiadm {
namespace {

constexpr int invalid = int(InitiatorError::invalid);
constexpr int database = int(InitiatorError::database);

int list_ifaces(Tool& tool) {
    auto or_empty = [](const std::string& s) { return s.empty() ? std::string("<empty>") : s; };
    auto ifaces = tool.db.ifaces();
    if (tool.request.json) tool.print_text("[");
    const char* comma = "\n ";
    for (const Record& i : ifaces) {
        if (tool.request.json) {
            tool.print_text(comma + i.to_json(tool.request.show_secrets));
            comma = ",\n ";
            continue;
        }
        tool.print_text(i.text(Key::iface_name) + " " + i.text(Key::iface_transport_name));
        for (Key key : {Key::iface_hwaddress, Key::iface_ipaddress, Key::iface_net_ifacename, Key::iface_initiatorname})
            tool.print_text("," + or_empty(i.text(key)));
        tool.print_text("\n");
    }
    if (tool.request.json) tool.print_text("\n]\n");
    return 0;
}

// Each iface with the targets and portals bound to it; nothing at all if no target is known.
int iface_tree(Tool& tool) {
    auto nodes = tool.db.nodes();
    if (nodes.empty()) return 0;
    for (const Record& iface : tool.db.ifaces()) {
        if (!tool.request.ifaces.empty() && tool.request.ifaces.back() != iface.text(Key::iface_name)) continue;
        tool.print("Iface: %s\n", iface.text(Key::iface_name).c_str());
        std::string target;
        for (const Record& n : nodes) {
            if (n.text(Key::iface_name) != iface.text(Key::iface_name)) continue;
            if (n.text(Key::node_name) != target) tool.print("\tTarget: %s\n", n.text(Key::node_name).c_str());
            target = n.text(Key::node_name);
            tool.print("\t\tPortal: %s,%d\n", portal_of(n).c_str(), n.number(Key::node_tpgt));
        }
    }
    return 0;
}

int new_iface(Tool& tool, const std::string& name) {
    if (config::Database::special_iface(name)) {
        tool.error("iface %s is a special interface and is not stored in %s/ifaces.", name.c_str(), tool.db.root().c_str());
        tool.error("Could not create new interface %s.", name.c_str());
        return invalid;
    }
    Record iface(Kind::iface);
    (void)iface.set(Key::iface_name, name);
    if (auto written = tool.db.write_iface(iface, true); !written) {
        tool.error("Could not create new interface %s: %s", name.c_str(), written.error().text().c_str());
        return database;
    }
    tool.print("%s updated.\nNew interface %s added\n", name.c_str(), name.c_str());
    return 0;
}

int update_iface(Tool& tool, const std::string& name, Record iface) {
    auto refuse = [&](const std::string& text) {
        tool.error("%s", text.c_str());
        tool.error("Could not update iface %s: %s", name.c_str(), initiator::text(InitiatorError::invalid));
        return invalid;
    };
    if (config::Database::special_iface(name))
        return refuse("iface " + name + " is a special interface and cannot be modified.");
    auto held = tool.db.lock();
    if (!held) {
        tool.error("%s", held.error().text().c_str());
        return database;
    }
    if (auto now = tool.db.iface(name)) iface = std::move(*now);       // as it is under the lock
    for (const auto& [key, value] : tool.request.params) {
        auto known = config::find_key(key);
        if (!known || !iface.has(*known)) return refuse("Cannot modify " + key + ". Invalid param name.");
        if (*known == Key::iface_name)
            return refuse("Cannot modify " + key + ". It is used to look up the record and cannot be changed.");
        if (iface.set(*known, value) != Record::Set::ok)
            return refuse("unknown value format '" + value + "' for parameter name '" + key + "'");
    }
    if (auto written = tool.db.write_iface(iface); !written) {
        tool.error("%s", written.error().text().c_str());
        return database;
    }
    // the copies in node records follow
    for (Record& node : tool.db.nodes({"", "", name, 0})) {
        config::bind_iface(node, iface);
        if (auto written = tool.db.write_node(node); !written) tool.error("%s", written.error().text().c_str());
    }
    tool.print("%s updated.\n", name.c_str());
    return 0;
}

int delete_iface(Tool& tool, const std::string& name) {
    auto refuse = [&](const std::string& text, int code) {
        tool.error("%s", text.c_str());
        tool.error("Could not delete iface %s: %s", name.c_str(), initiator::text(InitiatorError(code)));
        return code;
    };
    if (config::Database::special_iface(name))
        return refuse("iface " + name + " is a special interface and cannot be deleted.", invalid);
    if (!tool.db.iface(name)) return refuse("Could not read iface info for " + name + ".", invalid);
    for (const auto& s : list_sessions(tool))
        if (s.iface_name == name)
            return refuse("This command will remove the iface " + name + ", but session " + std::to_string(s.sid) + " is using it. Log out first.",
                          int(InitiatorError::session_exists));
    auto held = tool.db.lock();
    if (!held) return refuse(held.error().text(), database);
    for (const Record& node : tool.db.nodes({"", "", name, 0}))
        if (auto deleted = tool.db.delete_node(node); !deleted) return refuse(deleted.error().text(), database);
    if (auto deleted = tool.db.delete_iface(name); !deleted) return refuse(deleted.error().text(), database);
    tool.print("%s unbound and deleted.\n", name.c_str());
    return 0;
}

// Only offload cards ping by themselves; this is the software initiator.
int ping(Tool& tool) {
    const Request& r = tool.request;
    if (r.ifaces.empty()) {
        tool.error("Ping requires iface.");
        return invalid;
    }
    if (!r.ip) {
        tool.error("Ping requires destination ipaddress.");
        return invalid;
    }
    for (int i = 1; i <= r.ping_count; i++)
        tool.print("Ping %d failed: %s\n", i, initiator::text(InitiatorError::not_supported));
    return int(InitiatorError::not_supported);
}

// Network settings in an iface record are for cards with a network stack of their own: nothing to apply here.
int apply_iface(Tool& tool, const std::string& name) {
    tool.error("Nothing to configure.");
    tool.print("%s applied.\n", name.c_str());
    return 0;
}

}  // namespace

int iface_mode(Tool& tool) {
    const Request& r = tool.request;
    auto fail = [&](const char* text, InitiatorError code) {
        tool.error("%s", text);
        return int(code);
    };
    if (r.submode == "ping") return ping(tool);
    std::string name = r.ifaces.empty() ? "" : r.ifaces.back();
    switch (r.op().value_or(Op::show)) {
        case Op::create:
            return name.empty() ? fail("Could not add interface. No interface passed in.", InitiatorError::sysfs_lookup) : new_iface(tool, name);
        case Op::remove:
            return name.empty() ? fail("Could not delete interface. No interface passed in.", InitiatorError::sysfs_lookup)
                                : delete_iface(tool, name);
        case Op::update: {
            if (name.empty() || r.params.empty() || r.half_param)
                return fail("Update requires name, value, and iface.", InitiatorError::invalid);
            auto iface = tool.db.iface(name);
            if (!iface) return fail(("Could not read iface info for " + name + ".").c_str(), InitiatorError::invalid);
            return update_iface(tool, name, std::move(*iface));
        }
        case Op::show: {
            if (r.print_level.value_or(0) > 1 || r.print_level.value_or(0) < 0) {
                tool.error("Invalid info level %d. Try 0 - 1.", *r.print_level);
                return invalid;
            }
            if (r.print_level.value_or(0) == 1) return iface_tree(tool);
            if (name.empty()) return list_ifaces(tool);
            auto iface = tool.db.iface(name);
            if (!iface) return fail(("Could not read iface info for " + name + ".").c_str(), InitiatorError::database);
            tool.print_text(r.json ? iface->to_json(r.show_secrets) + "\n" : iface->to_screen(r.show_secrets));
            return 0;
        }
        case Op::apply:
        case Op::applyall:
            return name.empty() ? fail("Apply requires iface.", InitiatorError::invalid) : apply_iface(tool, name);
        default: return fail("operation is not supported.", InitiatorError::invalid);
    }
}

}  // namespace iscsi::applets::iscsiadm
