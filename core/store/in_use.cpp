#include "core/store/in_use.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace iscsi::store {
namespace {

std::string read_file(const std::string& path) {
    std::string text;
    Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    char buffer[4096];
    ssize_t n;
    while (fd && text.size() < 4 * 1024 * 1024 && (n = ::read(fd.get(), buffer, sizeof buffer)) > 0) text.append(buffer, size_t(n));
    return text;
}

std::vector<std::string> entries(const std::string& folder) {
    std::vector<std::string> names;
    DIR* dir = ::opendir(folder.c_str());
    if (!dir) return names;
    while (dirent* e = ::readdir(dir))
        if (e->d_name[0] != '.') names.push_back(e->d_name);
    ::closedir(dir);
    return names;
}

std::string device_text(dev_t device) {
    char text[32];
    std::snprintf(text, sizeof text, "%u:%u", major(device), minor(device));
    return text;
}

// Line by line: f(line) until it returns something.
template <class F>
std::optional<std::string> first_line(const std::string& text, F f) {
    for (size_t at = 0; at < text.size();) {
        size_t end = std::min(text.find('\n', at), text.size());
        if (auto found = f(text.substr(at, end - at))) return found;
        at = end + 1;
    }
    return std::nullopt;
}

std::vector<std::string> words(const std::string& line) {
    std::vector<std::string> out;
    for (size_t at = 0; at < line.size();) {
        size_t end = std::min(line.find_first_of(" \t", at), line.size());
        if (end > at) out.push_back(line.substr(at, end - at));
        at = end + 1;
    }
    return out;
}

// The device and its partitions, as (name, major:minor).
struct Block { std::string name, number; };
std::vector<Block> with_partitions(dev_t device) {
    std::string link = "/sys/dev/block/" + device_text(device);
    char real[PATH_MAX];
    std::vector<Block> blocks;
    if (!::realpath(link.c_str(), real)) return {{device_text(device), device_text(device)}};
    std::string folder = real;
    blocks.push_back({folder.substr(folder.rfind('/') + 1), device_text(device)});
    for (const std::string& name : entries(folder)) {
        std::string number = read_file(folder + "/" + name + "/dev");
        if (number.empty() || read_file(folder + "/" + name + "/partition").empty()) continue;
        if (number.back() == '\n') number.pop_back();
        blocks.push_back({name, number});
    }
    return blocks;
}

std::optional<std::string> block_holder(dev_t device) {
    const std::string mounts = read_file("/proc/self/mountinfo"), swaps = read_file("/proc/swaps");
    for (const Block& b : with_partitions(device)) {
        if (auto at = first_line(mounts, [&](const std::string& line) -> std::optional<std::string> {
                auto w = words(line);
                if (w.size() < 5 || w[2] != b.number) return std::nullopt;
                return "/dev/" + b.name + " is mounted on " + w[4];
            }))
            return at;
        if (auto swap = first_line(swaps, [&](const std::string& line) -> std::optional<std::string> {
                auto w = words(line);
                struct stat st{};
                if (w.empty() || w[0][0] != '/' || ::stat(w[0].c_str(), &st) != 0) return std::nullopt;
                if (!S_ISBLK(st.st_mode) || device_text(st.st_rdev) != b.number) return std::nullopt;
                return "/dev/" + b.name + " is used as swap";
            }))
            return swap;
        auto holders = entries("/sys/dev/block/" + b.number + "/holders");
        if (!holders.empty()) return "/dev/" + b.name + " is part of /dev/" + holders.front();
    }
    return std::nullopt;
}

// A file behind a loop device is as good as mounted.
std::optional<std::string> loop_holder(const struct stat& file) {
    for (const std::string& name : entries("/sys/block")) {
        if (name.compare(0, 4, "loop") != 0) continue;
        std::string backing = read_file("/sys/block/" + name + "/loop/backing_file");
        if (!backing.empty() && backing.back() == '\n') backing.pop_back();
        struct stat st{};
        if (backing.empty() || ::stat(backing.c_str(), &st) != 0) continue;
        if (st.st_dev == file.st_dev && st.st_ino == file.st_ino) return "it is behind /dev/" + name;
    }
    return std::nullopt;
}

std::optional<std::string> lock_holder(int fd) {
    struct flock lock{};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    if (::fcntl(fd, F_OFD_GETLK, &lock) != 0 || lock.l_type == F_UNLCK) return std::nullopt;
    if (lock.l_pid <= 0) return "another process has a lock on it";
    std::string name = read_file("/proc/" + std::to_string(lock.l_pid) + "/comm");
    if (!name.empty() && name.back() == '\n') name.pop_back();
    return "process " + std::to_string(lock.l_pid) + " (" + name + ") has a lock on it";
}

}  // namespace

std::optional<std::string> holder_of(const std::string& path) {
    struct stat st{};
    if (::stat(path.c_str(), &st) != 0) return std::nullopt;        // opening it will say why
    if (S_ISBLK(st.st_mode)) {
        if (auto holder = block_holder(st.st_rdev)) return holder;
        Fd exclusive(::open(path.c_str(), O_RDONLY | O_EXCL | O_CLOEXEC | O_NONBLOCK));
        if (!exclusive && errno == EBUSY) return "it is opened exclusively by another program";
    } else if (S_ISREG(st.st_mode)) {
        if (auto holder = loop_holder(st)) return holder;
    }
    Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!fd) return std::nullopt;
    if (auto holder = lock_holder(fd.get())) return holder;
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) return "it is exported already";
    return std::nullopt;
}

Result<Fd> claim(const std::string& path) {
    Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!fd) return Error{errno, "open", path};
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) return Error{EBUSY, "lock", path};
    return fd;
}

}  // namespace iscsi::store
