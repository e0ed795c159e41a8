// The kernel command line, and a DHCP server's answer.
#include "core/initiator/boot.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    (void)iscsi::initiator::parse_cmdline({reinterpret_cast<const char*>(data), size});
    iscsi::initiator::MacAddress mac{};
    uint32_t xid = 0;
    if (size >= 34) {
        xid = iscsi::get32(data + 4);
        std::copy(data + 28, data + 34, mac.begin());
    }
    (void)iscsi::initiator::parse_dhcp({data, size}, xid, mac);
    return 0;
}
