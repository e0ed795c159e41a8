// What an iSNS server sends.
#include <cstddef>
#include <cstdint>

#include "core/mgmt/isns.h"

using namespace iscsi::mgmt::isns;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    Reader reader;
    for (size_t at = 0; at < size;) {
        size_t n = size - at < 61 ? size - at : 61;
        auto step = reader.take({data + at, n});
        at += n;
        if (!step) break;
        if (!*step) continue;
        unsigned ignored = 0;
        (void)targets_of(**step, ignored);
        for (const auto& a : (*step)->attributes) (void)a.address(), (void)a.text(), (void)a.number();
    }
    return 0;
}
