#include "core/kernel/modules.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "core/base/fd.h"

namespace iscsi::kernel {
namespace {

constexpr int compressed_file = 4;      // MODULE_INIT_COMPRESSED_FILE, Linux 5.17

bool run_modprobe(const char* program, const char* name) {
    pid_t child = ::fork();
    if (child < 0) return false;
    if (child == 0) {
        const char* arguments[] = {program, "-q", name, nullptr};
        char* environment[] = {const_cast<char*>("PATH=/sbin:/usr/sbin:/bin:/usr/bin"), nullptr};
        ::execve(program, const_cast<char**>(arguments), environment);
        ::_exit(127);
    }
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// "kernel/drivers/scsi/iscsi_tcp.ko.xz" is module iscsi_tcp; '-' and '_' are the same.
std::string module_of(std::string_view path) {
    std::string name(path.substr(path.rfind('/') + 1));
    name.resize(std::min(name.find(".ko"), name.size()));
    std::replace(name.begin(), name.end(), '-', '_');
    return name;
}

Result<void> insert(const std::string& path) {
    Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) return Error{errno, "open module", path};
    int flags = path.ends_with(".ko") ? 0 : compressed_file;
    if (::syscall(SYS_finit_module, fd.get(), "", flags) == 0 || errno == EEXIST) return {};
    if (flags && (errno == EINVAL || errno == EOPNOTSUPP || errno == ENOEXEC))
        return Error{0, "this kernel cannot unpack module " + path + " by itself; install kmod (modprobe)", ""};
    return Error{errno, "load module", path};
}

// A line of modules.dep is `module: needs1 needs2 …`; what is needed first stands last.
Result<void> insert_with_dependencies(const std::string& directory, const std::string& name) {
    std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen((directory + "/modules.dep").c_str(), "re"), std::fclose);
    if (!file) return Error{errno, "open", directory + "/modules.dep"};
    char* line = nullptr;
    size_t size = 0;
    ssize_t length;
    std::vector<std::string> wanted;
    while ((length = ::getline(&line, &size, file.get())) > 0) {
        std::string_view text(line, size_t(length));
        size_t colon = text.find(':');
        if (colon == text.npos || module_of(text.substr(0, colon)) != name) continue;
        wanted.emplace_back(text.substr(0, colon));
        for (std::string_view rest = text.substr(colon + 1); !rest.empty();) {
            size_t start = rest.find_first_not_of(" \t\n");
            if (start == rest.npos) break;
            rest.remove_prefix(start);
            size_t end = std::min(rest.find_first_of(" \t\n"), rest.size());
            wanted.emplace_back(rest.substr(0, end));
            rest.remove_prefix(end);
        }
        break;
    }
    std::free(line);
    if (wanted.empty()) return Error{ENOENT, "find kernel module", name};
    for (auto it = wanted.rbegin(); it != wanted.rend(); ++it)
        TRY_VOID(insert(it->starts_with('/') ? *it : directory + "/" + *it));
    return {};
}

}  // namespace

Result<void> load_module(const Sysfs& sysfs, std::string_view name) {
    std::string module(name);
    std::replace(module.begin(), module.end(), '-', '_');
    if (sysfs.module_loaded(module)) return {};
    for (const char* program : {"/sbin/modprobe", "/usr/sbin/modprobe", "/bin/modprobe"})
        if (::access(program, X_OK) == 0 && run_modprobe(program, module.c_str())) return {};
    utsname system{};
    ::uname(&system);
    std::string directory = std::string("/lib/modules/") + system.release;
    if (::access(directory.c_str(), F_OK) != 0) directory = "/usr" + directory;
    return insert_with_dependencies(directory, module);
}

}  // namespace iscsi::kernel
