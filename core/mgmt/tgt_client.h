// tgtadm's end of the control socket.
#pragma once
#include "core/base/result.h"
#include "core/mgmt/tgt_protocol.h"

namespace iscsi::mgmt {

// Sends one request and waits for its answer. Where nobody listens: fails at once if no daemon is there, waits up to five
// seconds for one that holds its lock but does not accept yet, and up to `wait_seconds` for any. Waits for the answer as long
// as it takes, or `answer_seconds` for each part of it (then EAGAIN). Of an error, `what` is the whole line for the user and
// `code` the exit code.
Result<TgtAnswer> tgt_call(int control_port, const TgtRequest& request, unsigned wait_seconds = 0, unsigned answer_seconds = 0);

// After a successful system delete: returns once nobody accepts any more, or after `limit_ms`.
void tgt_await_end(int control_port, unsigned limit_ms = 30'000);

}  // namespace iscsi::mgmt
