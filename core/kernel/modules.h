// Kernel modules: by the system's modprobe where there is one, else by ourselves from modules.dep (an initramfs with no
// kmod).
#pragma once
#include <string_view>

#include "core/base/result.h"
#include "core/kernel/sysfs.h"

namespace iscsi::kernel {

// Nothing to do if it is loaded or built in. ENOENT: there is no such module.
Result<void> load_module(const Sysfs& sysfs, std::string_view name);

}  // namespace iscsi::kernel
