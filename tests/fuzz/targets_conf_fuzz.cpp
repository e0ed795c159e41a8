// The text of targets.conf. What would include files of this machine is left out.
#include <string.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "core/config/targets_model.h"

using namespace iscsi::config;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string text(reinterpret_cast<const char*>(data), size);
    if (::strcasestr(text.c_str(), "include")) return 0;
    const ConfModel model = model_of(parse_targets_conf(text, "fuzz", "/nonexistent"));
    for (const auto& mistake : model.mistakes) (void)mistake.message();
    (void)model.fatal();
    return 0;
}
