#include "core/config/node_records.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "core/base/file.h"
#include "core/base/log.h"

namespace iscsi::config {
namespace {

constexpr size_t max_record = 64 * 1024;
constexpr size_t max_records = 65536;        // a tree with more is somebody's mistake

// A component that came out of a record or a command line and is about to become a path. Looser than safe_name: what
// open-iscsi once wrote must stay reachable.
bool safe_component(std::string_view s) {
    return !s.empty() && s.size() <= 255 && s != "." && s != ".." && s.find('/') == s.npos &&
           std::none_of(s.begin(), s.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; });
}

std::optional<int> to_int(std::string_view s, int low, int high) {
    int n = 0;
    auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), n);
    if (error != std::errc() || end != s.data() + s.size() || n < low || n > high) return std::nullopt;
    return n;
}

// "ADDR,PORT" or "ADDR,PORT,TPGT", the name of a portal's folder.
struct PortalName {
    std::string_view address;
    int port;
};
std::optional<PortalName> parse_portal_name(std::string_view name) {
    size_t first = name.find(',');
    if (first == name.npos) return std::nullopt;
    std::string_view rest = name.substr(first + 1);
    auto port = to_int(rest.substr(0, rest.find(',')), 0, 65535);
    if (!port) return std::nullopt;
    return PortalName{name.substr(0, first), *port};
}

void complain(const std::vector<Complaint>& complaints) {
    for (const Complaint& c : complaints) log::warning("%s", c.message().c_str());
}

const char* folder_of(Kind kind) { return kind == Kind::isns ? "/isns" : "/send_targets"; }
const char* file_of(Kind kind) { return kind == Kind::isns ? "/isns_config" : "/st_config"; }

}  // namespace

std::string state_directory() {
    const char* given = ::secure_getenv("ISCSI_STATE_DIR");
    return given && *given ? given : "/etc/iscsi";
}

std::optional<Portal> parse_portal(std::string_view text, int default_port) {
    Portal portal;
    portal.port = default_port;
    if (size_t comma = text.find(','); comma != text.npos) {
        std::string_view tpgt = text.substr(comma + 1);
        tpgt = tpgt.substr(0, tpgt.find(','));
        if (tpgt == "4294967295") tpgt = "-1";             // as a list shows the unknown one
        if (tpgt.empty()) tpgt = "-1";
        auto n = to_int(tpgt, -1, 65535);
        if (!n) return std::nullopt;
        portal.tpgt = *n;
        text = text.substr(0, comma);
    }
    if (text.ends_with(':') && !text.ends_with("::")) text.remove_suffix(1);      // "192.0.2.10:3260:", as scripts have it
    std::string_view port;
    if (text.starts_with('[')) {
        size_t close = text.find(']');
        if (close == text.npos) return std::nullopt;
        portal.address = text.substr(1, close - 1);
        std::string_view rest = text.substr(close + 1);
        if (!rest.empty() && rest.front() != ':') return std::nullopt;
        if (!rest.empty()) port = rest.substr(1);
    } else if (std::count(text.begin(), text.end(), ':') > 1) {
        portal.address = text;                              // a bare IPv6 address has no port
    } else {
        size_t colon = text.find(':');
        portal.address = text.substr(0, colon);
        if (colon != text.npos) port = text.substr(colon + 1);
    }
    if (!port.empty()) {
        auto n = to_int(port, 1, 65535);
        if (!n) return std::nullopt;
        portal.port = *n;
    }
    if (!safe_component(portal.address) || portal.address.find_first_of(" ,[]") != std::string::npos) return std::nullopt;
    return portal;
}

std::string portal_text(std::string_view address, int port) {
    std::string out(address);
    if (address.find(':') != address.npos) out = "[" + out + "]";
    return out + ":" + std::to_string(port);
}

NodeId id_of(const Record& node) {
    return {node.text(Key::node_name), node.text(Key::conn_address), node.text(Key::iface_name), node.number(Key::conn_port),
            node.number(Key::node_tpgt)};
}

bool NodeFilter::matches(const NodeId& id) const {
    return (target.empty() || target == id.target) && (address.empty() || address == id.address) &&
           (port == 0 || port == id.port) && (iface.empty() || iface == id.iface);
}

void bind_iface(Record& node, const Record& iface) {
    for (Key key : keys_of(Kind::iface)) (void)node.set(key, std::string_view(iface.text(key)));
}

Database::Database(std::string root)
    : root_(std::move(root)), lock_folder_(root_ == "/etc/iscsi" ? "/run/lock/iscsi" : root_ + "/lock") {}

// The lock of open-iscsi: a hard link "lock.write" to "lock"; who made the link holds it.
Result<Database::Lock> Database::lock() {
    if (lock_depth_ > 0) return Lock(*this);
    if (::mkdir(lock_folder_.c_str(), 0770) != 0 && errno != EEXIST) {
        if (auto made = make_folders(lock_folder_, 0770); !made) return made.error();
    }
    std::string file = lock_folder_ + "/lock", held = lock_folder_ + "/lock.write";
    int fd = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) return Error{errno, "open the database lock", file};
    ::close(fd);
    for (int tries = 0; ::link(file.c_str(), held.c_str()) != 0; tries++) {
        if (errno != EEXIST) return Error{errno, "lock the database with", held};
        if (tries >= 3000)
            return Error{0, "the database is locked; if no other iscsiadm runs, remove", held};
        timespec pause{0, 10'000'000};
        ::nanosleep(&pause, nullptr);
    }
    return Lock(*this);
}

Database::Lock::~Lock() {
    if (owner_ && --owner_->lock_depth_ == 0) ::unlink((owner_->lock_folder_ + "/lock.write").c_str());
}

std::optional<Record> Database::read_record(Kind kind, const std::string& path, Key name_key) {
    auto text = read_file(path, max_record);
    if (!text) {
        log::warning("%s", text.error().text().c_str());
        return std::nullopt;
    }
    Record record(kind);
    std::vector<Complaint> complaints;
    record.read(*text, path, complaints);
    complain(complaints);
    if (record.text(name_key).empty()) {
        log::warning("%s names no %s; skipped", path.c_str(), field(name_key).key);
        return std::nullopt;
    }
    return record;
}

Result<void> Database::write_record(const Record& record, const std::string& path, bool replace) {
    if (!replace) {
        Record old(record.kind());
        std::vector<Complaint> complaints;
        if (auto text = read_file(path, max_record)) old.read(*text, path, complaints);
        if (!complaints.empty())
            return Error{0, "not rewritten, correct or delete it first: " + complaints.front().message(), ""};
    }
    return replace_file(path, record.to_file(), 0600);
}

void Database::list_target(const std::string& target, const NodeFilter& filter, Order order, std::vector<Record>& out) {
    auto listed = [&](const std::string& folder) {
        auto names = list_folder(folder);
        if (order == Order::sorted) std::sort(names.begin(), names.end());
        return names;
    };
    auto take = [&](const std::string& path) {
        if (out.size() >= max_records) return;
        auto record = read_record(Kind::node, path, Key::node_name);
        if (record && filter.matches(id_of(*record))) out.push_back(std::move(*record));
    };
    std::string folder = root_ + "/nodes/" + target;
    for (const std::string& portal : listed(folder)) {
        auto parts = parse_portal_name(portal);
        bool other = parts && ((!filter.address.empty() && parts->address != filter.address) ||
                               (filter.port && parts->port != filter.port));
        if (portal.starts_with('.') || other) continue;
        std::string path = folder + "/" + portal;
        if (!is_folder(path)) {
            take(path);                                     // the flat form
            continue;
        }
        for (const std::string& iface : listed(path))
            if (!iface.starts_with('.') && (filter.iface.empty() || filter.iface == iface)) take(path + "/" + iface);
    }
}

std::vector<Record> Database::nodes(const NodeFilter& filter, Order order) {
    std::vector<Record> out;
    if (!filter.target.empty()) {
        if (safe_component(filter.target)) list_target(filter.target, filter, order, out);
        return out;
    }
    auto targets = list_folder(root_ + "/nodes");
    if (order == Order::sorted) std::sort(targets.begin(), targets.end());
    for (const std::string& target : targets)
        if (!target.starts_with('.')) list_target(target, filter, order, out);
    return out;
}

std::string Database::node_folder(const NodeId& id) const {
    std::string path = root_ + "/nodes/" + id.target + "/" + id.address + "," + std::to_string(id.port);
    return id.tpgt < 0 ? path : path + "," + std::to_string(id.tpgt);
}

std::optional<Record> Database::node(const NodeId& id) {
    auto candidates = nodes({id.target, id.address, id.iface, id.port});
    Record* unsure = nullptr;                                // one side does not know the tag
    for (Record& record : candidates) {
        int tpgt = record.number(Key::node_tpgt);
        if (tpgt == id.tpgt) return std::move(record);
        if ((tpgt < 0 || id.tpgt < 0) && !unsure) unsure = &record;
    }
    if (unsure) return std::move(*unsure);
    return std::nullopt;
}

std::string Database::link_path(const Record& node) const {
    NodeId id = id_of(node);
    const std::string& type = node.text(Key::discovery_type);
    std::string name = id.target + "," + id.address + "," + std::to_string(id.port) + "," + std::to_string(id.tpgt) + "," + id.iface;
    if (id.tpgt < 0) return {};                              // as open-iscsi: the flat form has none
    if (type == "static" || type == "fw") return root_ + "/" + type + "/" + name;
    const std::string& address = node.text(Key::discovery_address);
    if ((type != "send_targets" && type != "isns") || !safe_component(address)) return {};
    return root_ + "/" + type + "/" + address + "," + std::to_string(node.number(Key::discovery_port)) + "/" + name;
}

Result<void> Database::write_node(const Record& node, bool replace) {
    NodeId id = id_of(node);
    if (!safe_component(id.target) || !safe_component(id.address) || !safe_component(id.iface))
        return Error{EINVAL, "a node record cannot be named", id.target};
    auto held = TRY(lock());
    std::string place = node_folder(id), path = place;
    TRY_VOID(make_folders(root_ + "/nodes/" + id.target, 0700));
    if (id.tpgt >= 0) {
        NodeId flat = id;
        flat.tpgt = -1;
        std::string old = node_folder(flat);
        if (exists(old) && !is_folder(old)) ::unlink(old.c_str());      // the tpgt is known now
        TRY_VOID(make_folders(place, 0700));
        path += "/" + id.iface;
    } else if (is_folder(place)) {
        path += "/" + id.iface;
    }
    std::string link = link_path(node);
    if (replace && exists(path))                              // it may have been found in another way before
        if (auto old = read_record(Kind::node, path, Key::node_name))
            if (std::string former = link_path(*old); !former.empty() && former != link) ::unlink(former.c_str());
    TRY_VOID(write_record(node, path, replace));
    if (link.empty()) return {};
    TRY_VOID(make_folders(link.substr(0, link.rfind('/')), 0700));
    if (::symlink(place.c_str(), link.c_str()) != 0 && errno != EEXIST) return Error{errno, "make link", link};
    return {};
}

Result<void> Database::delete_node(const Record& node) {
    NodeId id = id_of(node);
    if (!safe_component(id.target) || !safe_component(id.address) || !safe_component(id.iface))
        return Error{EINVAL, "a node record cannot be named", id.target};
    auto held = TRY(lock());
    std::string place = node_folder(id);
    std::string path = is_folder(place) ? place + "/" + id.iface : place;
    if (std::string link = link_path(node); !link.empty()) ::unlink(link.c_str());
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) return Error{errno, "delete", path};
    ::rmdir(place.c_str());                                  // these stay while they hold something
    ::rmdir((root_ + "/nodes/" + id.target).c_str());
    return {};
}

std::vector<Record> Database::found_by(std::string_view type, std::string_view address, int port) {
    std::string folder = root_ + "/" + std::string(type);
    if (!address.empty()) folder += "/" + std::string(address) + "," + std::to_string(port);
    std::vector<Record> out;
    for (const std::string& name : list_folder(folder)) {
        // IQN,ADDR,PORT,TPGT,IFACE taken from the right
        std::string_view rest = name, part[4];
        bool whole = true;
        for (auto& p : part) {
            size_t comma = rest.rfind(',');
            if (comma == rest.npos) {
                whole = false;
                break;
            }
            p = rest.substr(comma + 1);
            rest = rest.substr(0, comma);
        }
        if (!whole || out.size() >= max_records) continue;
        auto tpgt = to_int(part[1], -1, 65535), portal_port = to_int(part[2], 0, 65535);
        if (!tpgt || !portal_port) continue;
        NodeId id{std::string(rest), std::string(part[3]), std::string(part[0]), *portal_port, *tpgt};
        if (auto record = node(id)) out.push_back(std::move(*record));
    }
    return out;
}

std::vector<DiscoveryPortal> Database::discoveries(Kind kind) {
    std::vector<DiscoveryPortal> out;
    std::string folder = root_ + folder_of(kind);
    for (const std::string& name : list_folder(folder))
        if (auto parts = parse_portal_name(name); parts && exists(folder + "/" + name + file_of(kind)))
            out.push_back({kind, std::string(parts->address), parts->port});
    return out;
}

namespace {
std::string discovery_folder(const std::string& root, Kind kind, std::string_view address, int port) {
    return root + folder_of(kind) + "/" + std::string(address) + "," + std::to_string(port);
}
}  // namespace

std::optional<Record> Database::discovery(Kind kind, std::string_view address, int port) {
    std::string path = discovery_folder(root_, kind, address, port) + file_of(kind);
    if (!safe_component(address) || !exists(path)) return std::nullopt;
    return read_record(kind, path, Key::st_address);
}

Result<void> Database::write_discovery(const Record& record, bool replace) {
    const std::string& address = record.text(Key::st_address);
    if (!safe_component(address)) return Error{EINVAL, "a discovery record cannot be named", address};
    auto held = TRY(lock());
    std::string folder = discovery_folder(root_, record.kind(), address, record.number(Key::st_port));
    TRY_VOID(make_folders(folder, 0700));
    return write_record(record, folder + file_of(record.kind()), replace);
}

Result<void> Database::delete_discovery(Kind kind, std::string_view address, int port) {
    if (!safe_component(address)) return Error{EINVAL, "a discovery record cannot be named", std::string(address)};
    auto held = TRY(lock());
    for (const Record& node : found_by(kind == Kind::isns ? "isns" : "send_targets", address, port)) TRY_VOID(delete_node(node));
    std::string folder = discovery_folder(root_, kind, address, port);
    for (const std::string& name : list_folder(folder)) ::unlink((folder + "/" + name).c_str());
    if (::rmdir(folder.c_str()) != 0 && errno != ENOENT) return Error{errno, "delete", folder};
    return {};
}

}  // namespace iscsi::config
