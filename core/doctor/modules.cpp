// Kernel modules: iscsi_tcp for iscsid, nbd for iscsi attach.
#include <sys/utsname.h>

#include "core/base/file.h"
#include "core/doctor/doctor.h"

namespace iscsi::doctor {
namespace {

// In the lists of modules that this kernel came with.
bool comes_with_kernel(const std::string& folder, const std::string& module) {
    for (const char* list : {"/modules.dep", "/modules.builtin"}) {
        auto names = read_file(folder + list, 16 << 20);
        if (names && names->find("/" + module + ".ko") != std::string::npos) return true;
    }
    return false;
}

}  // namespace

void check_modules(const Options& options, const State& state, Report& report) {
    const kernel::Sysfs sysfs(options.places.sysfs, options.places.proc);
    utsname system{};
    ::uname(&system);
    const std::string folder = options.places.modules + "/" + system.release;
    // `matters`: something here is configured that cannot work without.
    auto missing = [&](const char* module, const char* user, bool matters) {
        if (comes_with_kernel(folder, module)) return report.ok("module %s", module).is("not loaded; %s loads it", user);
        report.say(matters ? Level::fail : Level::warn, "module %s", module)
            .found("this kernel (%s) has no such module; %s cannot work", system.release, user)
            .mend("install the distribution's full kernel (Debian: linux-image-amd64; cloud kernels leave it out). "
                  "iscsi cp, ls and QEMU's iscsi:// need no module");
    };
    if (sysfs.transport_handle())
        report.ok("module iscsi_tcp").is("loaded, transport tcp %s", sysfs.transport_version().c_str());
    else if (sysfs.module_loaded("iscsi_tcp"))
        report.fail("module iscsi_tcp")
            .found("loaded, but %s/class/iscsi_transport/tcp is not there", options.places.sysfs.c_str())
            .mend("modprobe -r iscsi_tcp; modprobe iscsi_tcp (or mount /sys)");
    else missing("iscsi_tcp", "iscsid", !state.nodes.empty());
    if (sysfs.module_loaded("nbd")) report.ok("module nbd").is("loaded");
    else missing("nbd", "iscsi attach", false);
}

}  // namespace iscsi::doctor
