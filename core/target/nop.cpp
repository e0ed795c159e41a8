// NOP-Out and NOP-In, RFC 7143 §11.18, §11.19.
#include "core/target/connection.h"

namespace iscsi::target {

bool Connection::nop_out(const wire::NopOut& header, Bytes data) {
    if (header.itt == wire::reserved_tag) {
        // An answer to our ping, or a mere confirmation of StatSN: neither is answered. Must be immediate (§11.18.1).
        return header.opcode & wire::immediate_bit ? true : reject(wire::RejectReason::invalid_pdu_field, wire::header_cast<wire::Bhs>(header));
    }
    if (header.ttt != wire::reserved_tag) return reject(wire::RejectReason::invalid_pdu_field, wire::header_cast<wire::Bhs>(header));
    wire::NopIn answer;
    answer.lun = header.lun;
    answer.itt = header.itt;
    answer.ttt = wire::reserved_tag;
    control(answer, data.first(std::min<size_t>(data.size(), max_xmit_)));     // §11.19: the ping's data comes back
    return true;
}

}  // namespace iscsi::target
