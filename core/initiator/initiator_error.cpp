#include "core/initiator/initiator_error.h"

namespace iscsi::initiator {

const char* text(InitiatorError error) {
    static constexpr const char* texts[initiator_error_count] = {
        "success", "unknown error", "session not found", "no available memory", "encountered connection failure",
        "encountered iSCSI login failure", "encountered iSCSI database failure", "invalid parameter",
        "connection timed out", "internal error", "encountered iSCSI logout failure", "iSCSI PDU timed out",
        "iSCSI driver not found. Please make sure it is loaded, and retry the operation", "daemon access denied",
        "iSCSI driver does not support requested capability.", "session exists", "Unknown request",
        "iSNS service not supported", "could not communicate to iscsid", "encountered non-retryable iSCSI login failure",
        "could not connect to iscsid", "no objects found", "sysfs lookup failure", "host not found",
        "iSCSI login failed due to authorization failure", "iSNS query failed", "iSNS registration failed",
        "operation not supported", "device or resource in use", "operation failed but retry may succeed",
        "unknown discovery type", "child process terminated", "target likely not connected", "iscsid request timed out",
    };
    int n = int(error);
    return n >= 0 && n < initiator_error_count ? texts[n] : texts[1];
}

}  // namespace iscsi::initiator
