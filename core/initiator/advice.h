// What can be done about a failure: the end of the one line that the one-shots print. The same words for the same trouble, whichever
// tool met it. "" or "; WHAT TO DO".
#pragma once
#include "core/initiator/discovery.h"
#include "core/initiator/session.h"

namespace iscsi::initiator {

// `credentials`: the login that failed had a CHAP account to show.
const char* advice(const SessionEnd& end, bool credentials);
const char* advice(const DiscoveryFailure& failure, bool credentials);
const char* advice(const ScsiRequest& request);

inline constexpr const char* write_protected = "write protected; the target exports it read-only";

}  // namespace iscsi::initiator
