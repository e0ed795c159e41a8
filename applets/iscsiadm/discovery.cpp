// iscsiadm -m discovery and -m discoverydb: asking targets and servers what there is, and keeping what was found.
#include <unistd.h>

#include <algorithm>

#include "applets/iscsiadm/iscsiadm.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/config/firmware.h"
#include "core/initiator/discovery.h"
#include "core/mgmt/isns_client.h"

namespace iscsi::applets::iscsiadm {
namespace {

constexpr int invalid = int(InitiatorError::invalid);
constexpr int database = int(InitiatorError::database);
constexpr int none_found = int(InitiatorError::no_objects_found);

enum class How { none, send_targets, isns, fw, slp };

How how_of(const std::optional<std::string>& type) {
    if (!type) return How::none;
    if (*type == "st" || *type == "sendtargets") return How::send_targets;
    if (*type == "isns") return How::isns;
    if (*type == "fw") return How::fw;
    if (*type == "slp") return How::slp;
    return How::none;
}

const char* folder_of(How how) { return how == How::isns ? "isns" : how == How::fw ? "fw" : "send_targets"; }
Kind kind_of(How how) { return how == How::isns ? Kind::isns : Kind::send_targets; }

// Ifaces to bind what is found to: those named; else those in files; else the default one.
std::vector<Record> chosen_ifaces(Tool& tool) {
    std::vector<Record> out;
    for (const std::string& name : tool.request.ifaces) {
        if (auto iface = tool.db.iface(name)) out.push_back(std::move(*iface));
        else
            tool.error("Could not read iface info for %s. Make sure an iface config with the file name and iface.iscsi_ifacename %s "
                       "is in %s/ifaces.", name.c_str(), name.c_str(), tool.db.root().c_str());
    }
    if (!tool.request.ifaces.empty()) return out;
    for (Record& iface : tool.db.ifaces())
        if (!config::Database::special_iface(iface.text(Key::iface_name))) out.push_back(std::move(iface));
    if (out.empty())
        if (auto iface = tool.db.iface("default")) out.push_back(std::move(*iface));
    return out;
}

void drop_foreign_transports(Tool& tool, std::vector<Record>& ifaces) {
    std::erase_if(ifaces, [&](const Record& iface) {
        if (iface.text(Key::iface_transport_name) == "tcp") return false;
        tool.error("Could not load transport %s.Dropping interface %s.", iface.text(Key::iface_transport_name).c_str(),
                   iface.text(Key::iface_name).c_str());
        return true;
    });
}

// What the target is told and where from: the record, and the one iface asked for.
Result<initiator::DiscoverySettings> settings_of(Tool& tool, const Record& record, const std::vector<Record>& ifaces) {
    initiator::DiscoverySettings s;
    s.host = record.text(Key::st_address);
    s.port = uint16_t(record.number(Key::st_port));
    s.timeout_ms = uint64_t(std::clamp(record.number(Key::st_login_timeout), 1, 600)) * 1000;
    nego::Limits& offers = s.login.offers;
    auto name = config::ensure_initiator_name(tool.db.root() + "/initiatorname.iscsi");
    if (name) {
        offers.initiator_name = name->name;
        offers.alias = name->alias;
    }
    if (!tool.request.ifaces.empty() && ifaces.size() == 1) {
        if (const std::string& own = ifaces[0].text(Key::iface_initiatorname); !own.empty()) offers.initiator_name = own;
        s.bind_address = ifaces[0].text(Key::iface_ipaddress);
        s.bind_interface = ifaces[0].text(Key::iface_net_ifacename);
        if (s.bind_interface.empty()) s.bind_interface = tool.sysfs.netdev_by_address(ifaces[0].text(Key::iface_hwaddress));
    }
    if (offers.initiator_name.empty()) return name.error();
    if (offers.alias.empty()) {
        char host[256] = "";
        ::gethostname(host, sizeof host - 1);
        offers.alias = host;
    }
    offers.max_recv_data_segment = uint32_t(std::clamp(record.number(Key::st_max_recv_dlength), 512, 0xffffff));
    if (record.text(Key::st_authmethod) == "CHAP") {
        s.login.chap.account = {record.text(Key::st_username), Secret(record.text(Key::st_password))};
        s.login.chap.target_account = {record.text(Key::st_username_in), Secret(record.text(Key::st_password_in))};
        const std::string list = "," + record.text(Key::chap_algs) + ",";
        std::vector<std::pair<size_t, auth::Hash>> wanted;
        for (const auto& [hash_name, hash] : {std::pair(",SHA3-256,", auth::Hash::sha3_256), {",SHA256,", auth::Hash::sha256},
                                              {",SHA1,", auth::Hash::sha1}, {",MD5,", auth::Hash::md5}})
            if (size_t at = list.find(hash_name); at != list.npos) wanted.emplace_back(at, hash);
        std::sort(wanted.begin(), wanted.end());
        s.login.chap.algorithms.clear();
        for (const auto& w : wanted) s.login.chap.algorithms.push_back(w.second);
    }
    return s;
}

// Says why one attempt failed. The code, and whether another attempt may help.
struct Verdict {
    InitiatorError code;
    bool again;
};
Verdict explain(Tool& tool, const initiator::DiscoverySettings& s, const initiator::DiscoveryFailure& f) {
    using Why = initiator::DiscoveryFailure::Kind;
    const char* host = s.host.c_str();
    switch (f.kind) {
        case Why::resolve:
            tool.error("Cannot resolve host %s. getaddrinfo error: [Name or service not known]", host);
            tool.error("cannot resolve host name %s", host);
            tool.error("cannot resolve host name %s", host);
            return {InitiatorError::transport, false};
        case Why::connect:
            tool.error("cannot make connection to %s: %s", host, f.code ? Error{f.code, "", ""}.text().substr(2).c_str() : f.text.c_str());
            return {InitiatorError::pdu_timeout, true};
        case Why::timeout:
            tool.error("connect to %s timed out", host);
            return {InitiatorError::pdu_timeout, true};
        case Why::closed:
            tool.error("connection to discovery portal %s was closed: %s", host, f.text.c_str());
            return {InitiatorError::pdu_timeout, true};
        case Why::protocol:
            tool.error("discovery at %s: %s", host, f.text.c_str());
            return {InitiatorError::fatal_login, false};
        case Why::login: break;
    }
    const auto& l = f.login;
    uint16_t status = uint16_t(l.status);
    bool refused = l.kind == initiator::LoginFailure::Kind::refused;
    if (refused && status == 0x0201) {
        tool.error("Login failed to authenticate with target ");        // open-iscsi leaves the blank; a discovery has no target
        tool.error("discovery login to %s rejected: initiator failed authorization", host);
    } else if (refused)
        tool.error("discovery login to %s rejected: %s error (%02x/%02x)%s", host, status >> 8 == 3 ? "target" : "initiator", status >> 8,
                   status & 0xff, l.retry() ? "" : ", non-retryable, giving up");
    else tool.error("discovery login to %s failed: %s", host, l.text.c_str());
    if (refused && (status == 0x0201 || status == 0x0202)) return {InitiatorError::login_auth_failed, false};
    return {l.retry() ? InitiatorError::pdu_timeout : InitiatorError::fatal_login, l.retry()};
}

// Asks the target. Portals, or an error that has been told.
InitiatorError send_targets(Tool& tool, const Record& record, const std::vector<Record>& ifaces,
                            std::vector<initiator::DiscoveredPortal>& found) {
    auto fail = [&](InitiatorError code) {
        tool.error("Could not perform SendTargets discovery: %s", initiator::text(code));
        return code;
    };
    auto settings = settings_of(tool, record, ifaces);
    if (!settings) {
        tool.error("Cannot perform discovery. Invalid Initiatorname.");
        log::debug("%s", settings.error().text().c_str());
        return fail(InitiatorError::invalid);
    }
    const int retries = std::clamp(record.number(Key::st_reopen_max), 0, 1000);
    for (int attempt = 0;; attempt++) {
        auto result = initiator::discover(*settings);
        if (result.ok) {
            if (result.ignored)
                tool.error("%s named %u targets or portals that cannot be; they were left out", settings->host.c_str(), result.ignored);
            found = std::move(result.portals);
            return InitiatorError::none;
        }
        Verdict verdict = explain(tool, *settings, result.failure);
        if (!verdict.again) return fail(verdict.code);
        if (attempt >= retries) {
            tool.error("connection login retries (reopen_max) %d exceeded", retries);
            return fail(verdict.code);
        }
        ::sleep(1);
    }
}

// Asks an iSNS server (RFC 4171).
InitiatorError ask_isns(Tool& tool, const Record& record, const std::vector<Record>& ifaces,
                        std::vector<initiator::DiscoveredPortal>& found) {
    auto fail = [&](InitiatorError code) {
        tool.error("Could not perform iSNS discovery: %s", initiator::text(code));
        return code;
    };
    auto settings = settings_of(tool, record, ifaces);
    if (!settings) {
        tool.error("Cannot perform discovery. Invalid Initiatorname.");
        return fail(InitiatorError::invalid);
    }
    mgmt::isns::Server server{settings->host, settings->port, 10'000};
    auto result = mgmt::isns::query_targets(server, settings->login.offers.initiator_name);
    if (!result.ok) {
        tool.error("iSNS discovery failed: %s", result.why.c_str());
        return fail(InitiatorError::isns_query);
    }
    if (result.ignored) tool.error("%s named %u targets or portals that cannot be; they were left out", settings->host.c_str(), result.ignored);
    for (auto& p : result.portals) found.push_back({std::move(p.target), std::move(p.host), p.port, p.tpgt});
    return InitiatorError::none;
}

// The records of what was found: for each iface all portals.
std::vector<Record> make_nodes(Tool& tool, How how, const Record& record, const std::vector<Record>& ifaces,
                               const std::vector<initiator::DiscoveredPortal>& found) {
    std::vector<Record> nodes;
    for (const Record& iface : ifaces)
        for (const auto& portal : found) {
            Record node = tool.conf.new_record(Kind::node);
            config::bind_iface(node, iface);
            (void)node.set(Key::node_name, portal.target_name);
            (void)node.set(Key::node_tpgt, int64_t(portal.tpgt));
            (void)node.set(Key::conn_address, portal.host);
            (void)node.set(Key::conn_port, int64_t(portal.port));
            (void)node.set(Key::discovery_type, folder_of(how));
            (void)node.set(Key::discovery_address, record.text(Key::st_address));
            (void)node.set(Key::discovery_port, int64_t(record.number(Key::st_port)));
            nodes.push_back(std::move(node));
        }
    return nodes;
}

// Brings the database in line with what was found, as the operations say. With none of them the discovery's old records are
// replaced. --keep is `-o new`, --prune `-o new -o delete`.
int keep_nodes(Tool& tool, How how, const Record* record, const std::vector<Record>& found) {
    const Request& r = tool.request;
    bool careful = r.keep || r.prune || r.has(Op::create) || r.has(Op::update) || r.has(Op::remove);
    bool add = !careful || r.keep || r.prune || r.has(Op::create);
    bool rewrite = !careful || r.has(Op::update);
    bool drop = !careful || r.prune || r.has(Op::remove);

    auto held = tool.db.lock();
    auto fail = [&](const Error& error) {
        tool.error("%s", error.text().c_str());
        return database;
    };
    if (!held) return fail(held.error());
    std::string address = record ? record->text(Key::st_address) : "";
    int port = record ? record->number(Key::st_port) : 0;
    auto before = tool.db.found_by(folder_of(how), address, port);
    if (record && !(careful && tool.db.discovery(record->kind(), address, port)))
        if (auto written = tool.db.write_discovery(*record, true); !written) return fail(written.error());

    for (const Record& node : found) {
        bool known = tool.db.node(config::id_of(node)).has_value();
        if (known ? !rewrite : !add) continue;
        if (auto written = tool.db.write_node(node, true); !written) return fail(written.error());
    }
    if (!drop) return 0;
    auto sessions = list_sessions(tool);
    for (const Record& old : before) {
        config::NodeId id = config::id_of(old);
        auto same = [&](const Record& node) { return config::id_of(node) == id; };
        if (std::any_of(found.begin(), found.end(), same)) continue;
        config::NodeFilter exactly{id.target, id.address, id.iface, id.port};
        if (careful && std::any_of(sessions.begin(), sessions.end(), [&](const auto& s) { return exactly.matches(id_of(s)); })) {
            tool.error("record %s is gone from the target, but a session is using it: kept", quoted(old).c_str());
            continue;
        }
        if (auto deleted = tool.db.delete_node(old); !deleted) return fail(deleted.error());
    }
    return 0;
}

// --logout-gone: sessions of records that this discovery made once and did not find now. Those in use stay, as a logout by
// hand would leave them.
void log_out_gone(Tool& tool, How how, const Record& record, const std::vector<Record>& found) {
    std::vector<kernel::SessionInfo> gone;
    const auto before = tool.db.found_by(folder_of(how), record.text(Key::st_address), record.number(Key::st_port));
    for (const auto& session : list_sessions(tool)) {
        auto is_of = [&](const Record& node) {
            const config::NodeId id = config::id_of(node);
            return config::NodeFilter{id.target, id.address, id.iface, id.port}.matches(id_of(session));
        };
        if (std::any_of(before.begin(), before.end(), is_of) && std::none_of(found.begin(), found.end(), is_of)) gone.push_back(session);
    }
    if (!gone.empty()) (void)logout_sessions(tool, gone);
}

int present(Tool& tool, const std::vector<Record>& nodes) {
    if (tool.request.json) print_nodes_json(tool, nodes, false);
    else if (tool.request.print_level.value_or(0) > 0) print_tree(tool, nodes);
    else print_list(tool, nodes);
    tool.flush();
    return tool.request.login ? login_nodes(tool, nodes, false, false) : 0;
}

int discover(Tool& tool, How how, const Record& record) {
    auto ifaces = chosen_ifaces(tool);
    drop_foreign_transports(tool, ifaces);
    if (ifaces.empty()) return none_found;
    std::vector<initiator::DiscoveredPortal> found;
    auto error = how == How::isns ? ask_isns(tool, record, ifaces, found) : send_targets(tool, record, ifaces, found);
    if (error != InitiatorError::none) return int(error);
    auto nodes = make_nodes(tool, how, record, ifaces, found);
    // before the records are locked: iscsid may want them
    if (tool.request.logout_gone) log_out_gone(tool, how, record, nodes);
    if (!tool.request.has(Op::nonpersistent))
        if (int code = keep_nodes(tool, how, &record, nodes)) return code;
    if (nodes.empty()) {
        tool.error("No portals found");
        return none_found;
    }
    return present(tool, nodes);
}

int discover_firmware(Tool& tool) {
    auto firmware = config::read_firmware(tool.sysfs.root());
    if (!firmware || firmware->targets.empty()) {
        tool.error("Could not get list of targets from firmware. (err %d)", none_found);
        return none_found;
    }
    Record base = tool.conf.new_record(Kind::node);
    if (auto iface = tool.db.iface("default")) config::bind_iface(base, *iface);
    std::vector<Record> nodes;
    for (const auto& target : firmware->targets) nodes.push_back(config::firmware_node(*firmware, target, base));
    if (!tool.request.has(Op::nonpersistent))
        if (int code = keep_nodes(tool, How::fw, nullptr, nodes)) return code;
    return present(tool, nodes);
}

// The stored discovery portals.
int list_discoveries(Tool& tool) {
    constexpr struct { Kind kind; const char* word; } kinds[] = {{Kind::send_targets, "sendtargets"}, {Kind::isns, "isns"}};
    bool any = false;
    if (tool.request.json) tool.print_text("[");
    for (const auto& k : kinds)
        for (const auto& d : tool.db.discoveries(k.kind)) {
            if (tool.request.json)
                tool.print_text(std::string(any ? ",\n " : "\n ") + "{\"type\": \"" + k.word + "\", \"address\": " +
                                json_string(d.address) + ", \"port\": " + std::to_string(d.port) + "}");
            else tool.print("%s:%d via %s\n", d.address.c_str(), d.port, k.word);       // no brackets, as open-iscsi
            any = true;
        }
    if (tool.request.json) tool.print_text(any ? "\n]\n" : "]\n");
    return any ? 0 : none_found;
}

int discovery_tree(Tool& tool) {
    bool any = false;
    for (const auto& [kind, heading, folder] : {std::tuple(Kind::send_targets, "SENDTARGETS:", "send_targets"),
                                                {Kind::isns, "iSNS:", "isns"}}) {
        tool.print("%s\n", heading);
        auto portals = tool.db.discoveries(kind);
        if (portals.empty()) tool.print_text("No targets found.\n");
        for (const auto& d : portals) {
            any = true;
            tool.print("DiscoveryAddress: %s,%d\n", d.address.c_str(), d.port);
            print_tree(tool, tool.db.found_by(folder, d.address, d.port));
        }
    }
    auto nodes = tool.db.nodes();
    for (const auto& [heading, type] : {std::pair("STATIC:", "static"), {"FIRMWARE:", "fw"}}) {
        tool.print("%s\n", heading);
        auto of_type = nodes;
        std::erase_if(of_type, [&](const Record& n) { return n.text(Key::discovery_type) != type; });
        if (of_type.empty()) tool.print_text("No targets found.\n");
        any |= !of_type.empty();
        print_tree(tool, of_type);
    }
    return any ? 0 : none_found;
}

int list(Tool& tool) { return tool.request.print_level.value_or(0) > 0 && !tool.request.json ? discovery_tree(tool) : list_discoveries(tool); }

int show_record(Tool& tool, const Record& record) {
    tool.print_text(tool.request.json ? record.to_json(tool.request.show_secrets) + "\n" : record.to_screen(tool.request.show_secrets));
    return 0;
}

int update_record(Tool& tool, Record record) {
    if (tool.request.params.empty() || tool.request.half_param) {
        tool.error("Update requires name and value.");
        return invalid;
    }
    auto held = tool.db.lock();
    if (!held) {
        tool.error("%s", held.error().text().c_str());
        return database;
    }
    auto now = tool.db.discovery(record.kind(), record.text(Key::st_address), record.number(Key::st_port));
    if (now) record = std::move(*now);                  // as it is under the lock
    for (const auto& [name, value] : tool.request.params)
        if (const int code = change(tool, record, name, value)) return code;
    if (auto written = tool.db.write_discovery(record); !written) {
        tool.error("%s", written.error().text().c_str());
        return database;
    }
    return 0;
}

Record new_record(Tool& tool, How how, const config::Portal& portal) {
    Record record = tool.conf.new_record(kind_of(how));
    (void)record.set(Key::st_address, portal.address);
    (void)record.set(Key::st_port, int64_t(portal.port));
    return record;
}

int db_mode_op(Tool& tool, How how, const config::Portal& portal) {
    const Request& r = tool.request;
    Kind kind = kind_of(how);
    auto stored = tool.db.discovery(kind, portal.address, portal.port);
    auto op = r.op();
    if (op == Op::create && !r.discover) {
        if (auto written = tool.db.write_discovery(new_record(tool, how, portal), true); !written) {
            tool.error("%s", written.error().text().c_str());
            tool.error("Could not add new discovery record.");
            return database;
        }
        tool.print("New discovery record for [%s,%d] added.\n", portal.address.c_str(), portal.port);
        return 0;
    }
    if (r.discover) return discover(tool, how, stored ? *stored : new_record(tool, how, portal));
    if (!stored) {
        tool.error("Discovery record [%s,%d] not found.", portal.address.c_str(), portal.port);
        return database;
    }
    if (op == Op::update) return update_record(tool, std::move(*stored));
    if (op == Op::remove) {
        auto deleted = tool.db.delete_discovery(kind, portal.address, portal.port);
        if (!deleted) tool.error("%s", deleted.error().text().c_str());
        return deleted ? 0 : database;
    }
    if (!op || op == Op::show) return show_record(tool, *stored);
    tool.error("operation is not supported.");
    return invalid;
}

}  // namespace

int discovery_mode(Tool& tool, bool db_mode) {
    const Request& r = tool.request;
    How how = how_of(r.type);
    if (!r.type && !r.portal) return list(tool);
    if (how == How::slp) {
        tool.error("SLP discovery is not fully implemented yet.");
        return invalid;
    }
    if (how == How::fw) return discover_firmware(tool);
    if (!r.portal) {
        tool.error(how == How::none ? "Invalid command. Possibly missing discovery --type." : "Please specify portal as <ipaddr>[:<ipport>]");
        return invalid;
    }
    auto portal = config::parse_portal(*r.portal, how == How::isns ? 3205 : 3260);
    if (!portal) {
        tool.error("'%s' is no portal; give it as ADDRESS[:PORT], IPv6 in brackets", r.portal->c_str());
        return invalid;
    }
    if (db_mode) {
        if (how != How::none) return db_mode_op(tool, how, *portal);
        tool.error(r.discover ? "Invalid command. Portal not needed or Possibly missing discovery --type."
                              : "Invalid command. Possibly missing discovery --type.");
        return invalid;
    }
    if (how == How::none) {
        auto stored = tool.db.discovery(Kind::send_targets, portal->address, portal->port);
        if (stored) return show_record(tool, *stored);
        tool.error("Discovery record [%s,%d] not found!", portal->address.c_str(), portal->port);
        return invalid;
    }
    // a record kept by hand is used as it is when asked to keep
    auto stored = r.keep || r.prune ? tool.db.discovery(kind_of(how), portal->address, portal->port) : std::nullopt;
    return discover(tool, how, stored ? *stored : new_record(tool, how, *portal));
}

}  // namespace iscsi::applets::iscsiadm
