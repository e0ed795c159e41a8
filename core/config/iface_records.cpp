// Iface records: ifaces/NAME, and the two that are always there.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "core/base/file.h"
#include "core/base/log.h"
#include "core/config/node_records.h"

namespace iscsi::config {
namespace {

// Kubernetes names ifaces "10.0.0.1:3260:volume", so only what breaks a path or a line is refused.
bool safe_iface(std::string_view name) {
    return !name.empty() && name.size() <= 64 && name.front() != '.' &&
           std::none_of(name.begin(), name.end(), [](char c) { return static_cast<unsigned char>(c) <= 0x20 || c == '/' || c == ','; });
}

Record built_in(std::string_view name) {
    Record record(Kind::iface);
    (void)record.set(Key::iface_name, name);
    (void)record.set(Key::iface_transport_name, name == "iser" ? "iser" : "tcp");
    return record;
}

}  // namespace

bool Database::special_iface(std::string_view name) { return name == "default" || name == "iser"; }

std::optional<Record> Database::iface(std::string_view name) {
    if (special_iface(name)) return built_in(name);
    std::string path = root_ + "/ifaces/" + std::string(name);
    if (!safe_iface(name) || !exists(path)) return std::nullopt;
    return read_record(Kind::iface, path, Key::iface_name);
}

std::vector<Record> Database::ifaces() {
    std::vector<Record> out;
    auto names = list_folder(root_ + "/ifaces");
    std::sort(names.begin(), names.end());
    for (const std::string& name : names)
        if (!special_iface(name) && safe_iface(name))
            if (auto record = iface(name)) out.push_back(std::move(*record));
    out.push_back(built_in("default"));
    out.push_back(built_in("iser"));
    return out;
}

Result<void> Database::write_iface(const Record& iface, bool replace) {
    const std::string& name = iface.text(Key::iface_name);
    if (!safe_iface(name) || special_iface(name)) return Error{EINVAL, "an iface cannot be named", name};
    auto held = TRY(lock());
    TRY_VOID(make_folders(root_ + "/ifaces", 0700));
    return write_record(iface, root_ + "/ifaces/" + name, replace);
}

Result<void> Database::delete_iface(std::string_view name) {
    if (!safe_iface(name) || special_iface(name)) return Error{EINVAL, "an iface cannot be named", std::string(name)};
    auto held = TRY(lock());
    std::string path = root_ + "/ifaces/" + std::string(name);
    if (::unlink(path.c_str()) != 0) return Error{errno, "delete", path};
    return {};
}

}  // namespace iscsi::config
