// Requests and replies on iscsid's socket.
#include "core/mgmt/iscsid_protocol.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    auto decoded = iscsi::mgmt::decode_iscsid({data, size});
    if (!decoded || !*decoded) return 0;
    const auto& m = (*decoded)->message;
    (void)m.error();
    for (auto line : m.all("session")) (void)iscsi::mgmt::parse_session_state(line);
    auto again = iscsi::mgmt::decode_iscsid(iscsi::as_bytes(iscsi::mgmt::encode(m)));
    if (!again || !*again || (*again)->message.fields != m.fields) __builtin_trap();
    return 0;
}
