// tgtd --config: the daemon reads targets.conf itself, at start and again at SIGHUP, by the same rules as tgt-admin.
#pragma once
#include <string>

#include "core/mgmt/tgt_ops.h"

namespace iscsi::mgmt {

// At start: makes the targets of the file. Again: brings what runs to what the file says; what is the same, and whoever uses
// it, is left alone. A mistake in the file changes nothing: its exit code (1, 2, 255) is returned. What tgtd refuses
// (a backing file that is not there) is logged, the rest goes on. Call it on the loop of `ops`.
int tgt_configure(TgtOps& ops, const std::string& path, bool again);

}  // namespace iscsi::mgmt
