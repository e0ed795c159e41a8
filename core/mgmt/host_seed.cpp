#include "core/mgmt/host_seed.h"

#include <dirent.h>
#include <fcntl.h>

#include <algorithm>
#include <vector>

#include "core/base/fd.h"

namespace iscsi::mgmt {
namespace {

std::string first_line(const std::string& path) {
    Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    char text[256];
    ssize_t n = fd ? ::read(fd.get(), text, sizeof text) : 0;
    std::string line(text, n > 0 ? size_t(n) : 0);
    return line.substr(0, line.find('\n'));
}

}  // namespace

std::string host_seed() {
    for (const char* path : {"/etc/machine-id", "/var/lib/dbus/machine-id", "/sys/class/dmi/id/product_uuid"}) {
        std::string seed = first_line(path);
        if (seed.size() >= 8 && seed != "uninitialized") return seed;
    }
    std::vector<std::string> names;
    if (DIR* directory = ::opendir("/sys/class/net")) {
        while (const dirent* entry = ::readdir(directory))
            if (entry->d_name[0] != '.') names.push_back(entry->d_name);
        ::closedir(directory);
    }
    std::sort(names.begin(), names.end());
    for (const std::string& name : names) {
        std::string address = first_line("/sys/class/net/" + name + "/address");
        if (!address.empty() && address != "00:00:00:00:00:00") return address;
    }
    return "";
}

}  // namespace iscsi::mgmt
