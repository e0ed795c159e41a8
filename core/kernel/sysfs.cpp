#include "core/kernel/sysfs.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <tuple>

#include "core/base/fd.h"

namespace iscsi::kernel {
namespace {

std::vector<std::string> list(const std::string& path) {
    std::vector<std::string> out;
    std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(path.c_str()), ::closedir);
    if (!dir) return out;
    while (dirent* e = ::readdir(dir.get()))
        if (e->d_name[0] != '.') out.emplace_back(e->d_name);
    return out;
}

// "session12" with prefix "session" -> 12; nothing if anything follows the number.
template <class T>
std::optional<T> number_after(std::string_view text, std::string_view prefix) {
    if (!text.starts_with(prefix)) return std::nullopt;
    text.remove_prefix(prefix.size());
    T value{};
    auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (ec != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return value;
}

// "0:0:0:1"
std::optional<ScsiDevice> parse_device_name(std::string_view name) {
    ScsiDevice d;
    uint64_t parts[4];
    for (int i = 0; i < 4; i++) {
        auto [end, ec] = std::from_chars(name.data(), name.data() + name.size(), parts[i]);
        if (ec != std::errc()) return std::nullopt;
        name.remove_prefix(size_t(end - name.data()));
        if (i == 3 ? !name.empty() : !name.starts_with(':')) return std::nullopt;
        if (i != 3) name.remove_prefix(1);
        if (i != 3 && parts[i] > INT_MAX) return std::nullopt;
    }
    d.host = int(parts[0]);
    d.channel = int(parts[1]);
    d.id = int(parts[2]);
    d.lun = parts[3];
    return d;
}

std::string real_path(const std::string& path) {
    char buffer[PATH_MAX];
    return ::realpath(path.c_str(), buffer) ? buffer : "";
}

std::string slurp(const std::string& path, size_t limit) {
    std::string out;
    Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) return out;
    char buffer[4096];
    ssize_t n;
    while (out.size() < limit && (n = ::read(fd.get(), buffer, sizeof buffer)) > 0) out.append(buffer, size_t(n));
    return out;
}

// The next blank-separated word.
std::string_view word(std::string_view& line) {
    size_t start = line.find_first_not_of(" \t");
    if (start == line.npos) { line = {}; return {}; }
    line.remove_prefix(start);
    size_t end = std::min(line.find_first_of(" \t"), line.size());
    std::string_view w = line.substr(0, end);
    line.remove_prefix(end);
    return w;
}

std::string_view base_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }

}  // namespace

std::string ScsiDevice::name() const {
    return std::to_string(host) + ":" + std::to_string(channel) + ":" + std::to_string(id) + ":" + std::to_string(lun);
}

std::string Sysfs::read(const std::string& path) const {
    Fd fd(::open((root_ + path).c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) return "";
    char buffer[4097];
    ssize_t n = ::read(fd.get(), buffer, sizeof buffer - 1);
    if (n <= 0) return "";
    std::string_view text(buffer, size_t(n));
    text = text.substr(0, std::min(text.find('\n'), text.size()));
    while (!text.empty() && (text.back() == ' ' || text.back() == '\0')) text.remove_suffix(1);
    if (text == "(null)" || text == "<NULL>") return "";
    return std::string(text);
}

Result<void> Sysfs::write(const std::string& path, std::string_view value) const {
    std::string full = root_ + path;
    Fd fd(::open(full.c_str(), O_WRONLY | O_CLOEXEC));
    if (!fd) return Error{errno, "open", full};
    ssize_t n;
    do {
        n = ::write(fd.get(), value.data(), value.size());
    } while (n < 0 && errno == EINTR);
    if (n < 0) return Error{errno, "write", full};
    return {};
}

std::optional<uint64_t> Sysfs::transport_handle(std::string_view transport) const {
    return number_after<uint64_t>(read("/class/iscsi_transport/" + std::string(transport) + "/handle"), "");
}
std::string Sysfs::transport_version() const { return read("/module/scsi_transport_iscsi/version"); }
bool Sysfs::module_loaded(std::string_view module) const {
    return ::access((root_ + "/module/" + std::string(module)).c_str(), F_OK) == 0;
}

std::vector<uint32_t> Sysfs::session_ids() const {
    std::vector<uint32_t> out;
    for (const std::string& name : list(root_ + "/class/iscsi_session"))
        if (auto sid = number_after<uint32_t>(name, "session")) out.push_back(*sid);
    return out;
}

std::string Sysfs::session_attribute(uint32_t sid, std::string_view name) const {
    return read("/class/iscsi_session/session" + std::to_string(sid) + "/" + std::string(name));
}
std::string Sysfs::connection_attribute(uint32_t sid, std::string_view name) const {
    return read("/class/iscsi_connection/connection" + std::to_string(sid) + ":0/" + std::string(name));
}
Result<void> Sysfs::set_session_attribute(uint32_t sid, std::string_view name, std::string_view value) const {
    return write("/class/iscsi_session/session" + std::to_string(sid) + "/" + std::string(name), value);
}

int Sysfs::host_of_session(uint32_t sid) const {
    // …/platform/host0/session1
    std::string path = real_path(root_ + "/class/iscsi_session/session" + std::to_string(sid) + "/device");
    size_t end = path.rfind('/');
    if (end == path.npos) return -1;
    path.resize(end);
    return number_after<int>(base_name(path), "host").value_or(-1);
}

std::optional<SessionInfo> Sysfs::session(uint32_t sid) const {
    if (::access((root_ + "/class/iscsi_session/session" + std::to_string(sid)).c_str(), F_OK) != 0) return std::nullopt;
    SessionInfo s;
    s.sid = sid;
    s.host = host_of_session(sid);
    s.path = real_path(root_ + "/class/iscsi_session/session" + std::to_string(sid) + "/device");
    s.target_name = session_attribute(sid, "targetname");
    s.tpgt = session_attribute(sid, "tpgt");
    s.iface_name = session_attribute(sid, "ifacename");
    s.initiator_name = session_attribute(sid, "initiatorname");
    s.state = session_attribute(sid, "state");
    s.connection_state = connection_attribute(sid, "state");
    s.address = connection_attribute(sid, "address");
    s.port = connection_attribute(sid, "port");
    s.persistent_address = connection_attribute(sid, "persistent_address");
    s.persistent_port = connection_attribute(sid, "persistent_port");
    return s;
}

std::vector<SessionInfo> Sysfs::sessions() const {
    std::vector<SessionInfo> out;
    for (uint32_t sid : session_ids())
        if (auto s = session(sid)) out.push_back(std::move(*s));
    return out;
}

std::vector<int> Sysfs::host_numbers() const {
    std::vector<int> out;
    for (const std::string& name : list(root_ + "/class/iscsi_host"))
        if (auto n = number_after<int>(name, "host")) out.push_back(*n);
    std::sort(out.begin(), out.end());
    return out;
}

std::optional<HostInfo> Sysfs::host(int number) const {
    std::string name = "host" + std::to_string(number);
    if (::access((root_ + "/class/iscsi_host/" + name).c_str(), F_OK) != 0) return std::nullopt;
    HostInfo h;
    h.number = number;
    std::string dir = "/class/iscsi_host/" + name + "/";
    h.ip_address = read(dir + "ipaddress");
    h.hw_address = read(dir + "hwaddress");
    h.netdev = read(dir + "netdev");
    h.initiator_name = read(dir + "initiatorname");
    h.state = read("/class/scsi_host/" + name + "/state");
    h.transport = read("/class/scsi_host/" + name + "/proc_name");
    if (h.transport.starts_with("iscsi_")) h.transport.erase(0, 6);     // "iscsi_tcp" is transport "tcp"
    return h;
}

std::vector<ScsiDevice> Sysfs::devices(uint32_t sid) const {
    std::vector<ScsiDevice> out;
    std::string base = root_ + "/class/iscsi_session/session" + std::to_string(sid) + "/device";
    for (const std::string& target : list(base)) {
        if (!target.starts_with("target")) continue;
        for (const std::string& name : list(base + "/" + target)) {
            auto device = parse_device_name(name);
            if (!device) continue;
            std::string dir = "/class/iscsi_session/session" + std::to_string(sid) + "/device/" + target + "/" + name;
            device->state = read(dir + "/state");
            device->type = read(dir + "/type");
            auto blocks = list(root_ + dir + "/block");
            if (!blocks.empty()) device->block = blocks.front();
            out.push_back(std::move(*device));
        }
    }
    std::sort(out.begin(), out.end(), [](const ScsiDevice& a, const ScsiDevice& b) {
        return std::tie(a.host, a.channel, a.id, a.lun) < std::tie(b.host, b.channel, b.id, b.lun);
    });
    return out;
}

Result<void> Sysfs::scan_host(int host, std::string_view what) const {
    return write("/class/scsi_host/host" + std::to_string(host) + "/scan", what);
}
Result<void> Sysfs::rescan_device(const ScsiDevice& d) const { return write("/bus/scsi/devices/" + d.name() + "/rescan", "1"); }
Result<void> Sysfs::delete_device(const ScsiDevice& d) const { return write("/bus/scsi/devices/" + d.name() + "/delete", "1"); }
Result<void> Sysfs::set_queue_depth(const ScsiDevice& d, uint32_t depth) const {
    return write("/bus/scsi/devices/" + d.name() + "/queue_depth", std::to_string(depth));
}

// A block device, its partitions, and what is stacked on each of them (dm, md): names as in /dev.
void Sysfs::collect_block(const std::string& block, std::vector<std::string>& names, int depth) const {
    if (depth > 8 || std::find(names.begin(), names.end(), block) != names.end()) return;
    names.push_back(block);
    std::string dir = root_ + "/class/block/" + block;
    for (const std::string& entry : list(dir))
        if (::access((dir + "/" + entry + "/partition").c_str(), F_OK) == 0) collect_block(entry, names, depth + 1);
    for (const std::string& holder : list(dir + "/holders")) collect_block(holder, names, depth + 1);
}

std::optional<std::string> Sysfs::in_use(uint32_t sid) const {
    std::vector<std::string> names;
    for (const ScsiDevice& d : devices(sid))
        if (!d.block.empty()) collect_block(d.block, names, 0);
    if (names.empty()) return std::nullopt;
    std::vector<std::string> numbers;       // "8:1"
    for (const std::string& n : names) numbers.push_back(read("/class/block/" + n + "/dev"));

    std::string mounts = slurp(proc_ + "/self/mountinfo", 4 << 20);
    if (mounts.empty()) return "no list of mounts can be read, perhaps " + names.front();
    for (std::string_view rest = mounts; !rest.empty();) {
        std::string_view line = rest.substr(0, rest.find('\n'));
        rest.remove_prefix(std::min(line.size() + 1, rest.size()));
        std::string_view tail = line;
        word(tail), word(tail);             // mount id, parent id
        std::string_view device = word(tail);
        word(tail);                         // root
        std::string_view where = word(tail);
        size_t dash = tail.find(" - ");
        std::string_view source;
        if (dash != tail.npos) {
            tail.remove_prefix(dash + 3);
            word(tail);
            source = word(tail);
        }
        for (size_t i = 0; i < names.size(); i++)       // btrfs mounts under a number of its own: compare the source too
            if ((!numbers[i].empty() && device == numbers[i]) || source == "/dev/" + names[i])
                return "/dev/" + names[i] + " on " + std::string(where);
    }
    std::string swaps = slurp(proc_ + "/swaps", 1 << 20);
    for (std::string_view rest = swaps; !rest.empty();) {
        std::string_view line = rest.substr(0, rest.find('\n'));
        rest.remove_prefix(std::min(line.size() + 1, rest.size()));
        std::string_view device = word(line);
        for (const std::string& n : names)
            if (device == "/dev/" + n) return "/dev/" + n + " as swap";
    }
    return std::nullopt;
}

std::string Sysfs::netdev_by_address(std::string_view hw_address) const {
    std::string wanted(hw_address);
    std::transform(wanted.begin(), wanted.end(), wanted.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; });
    for (const std::string& name : list(root_ + "/class/net"))
        if (read("/class/net/" + name + "/address") == wanted) return name;
    return "";
}

}  // namespace iscsi::kernel
