// Asynchronous Message, RFC 7143 §11.9: we ask the initiator for a logout, or tell that we drop the connection.
#include "core/target/connection.h"

namespace iscsi::target {

void Connection::async_message(wire::AsyncEvent event, uint16_t parameter1, uint16_t parameter2, uint16_t parameter3) {
    if (phase_ != Phase::full_feature || !session_ || session_->discovery()) return;
    wire::AsyncMessage m;
    m.reserved16 = wire::reserved_tag;
    m.async_event = uint8_t(event);
    m.parameter1 = parameter1;
    m.parameter2 = parameter2;
    m.parameter3 = parameter3;
    control(m);
    schedule_pump();
}

}  // namespace iscsi::target
