// The text of targets.conf; includes lead nowhere.
#include <cstddef>
#include <cstdint>

#include "core/config/targets_conf.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    auto conf = iscsi::config::parse_targets_conf({reinterpret_cast<const char*>(data), size}, "fuzz", "/nonexistent");
    for (const auto& mistake : conf.mistakes) (void)mistake.message();
    return 0;
}
