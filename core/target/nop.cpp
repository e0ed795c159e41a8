// NOP-Out and NOP-In, RFC 7143 §11.18, §11.19.
#include <algorithm>

#include "core/target/connection.h"

namespace iscsi::target {

namespace {
constexpr size_t max_answer = 64 * 1024;        // of a ping's data; it has to fit the send batch
}

bool Connection::nop_out(const wire::NopOut& header, Bytes data) {
    if (header.itt == wire::reserved_tag) {
        // An answer to our ping, or a mere confirmation of StatSN: neither is answered. Must be immediate (§11.18.1).
        return header.opcode & wire::immediate_bit ? true : reject(wire::RejectReason::invalid_pdu_field, wire::header_cast<wire::Bhs>(header));
    }
    // With an ITT it asks for an answer even if it answers a ping of ours as well (§11.18.1).
    wire::NopIn answer;
    answer.lun = header.lun;
    answer.itt = header.itt;
    answer.ttt = wire::reserved_tag;
    control(answer, data.first(std::min<size_t>({data.size(), max_xmit_, max_answer})));    // §11.19: the ping's data comes back
    return true;
}

}  // namespace iscsi::target
