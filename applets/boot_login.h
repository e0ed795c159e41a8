// Logins of programs that run at boot (iscsistart, iscsi boot): the engine of iscsid in this process until the last login
// is answered.
#pragma once
#include <string>
#include <vector>

#include "core/config/records.h"
#include "core/initiator/initiator_error.h"

namespace iscsi::applets {

struct BootTarget {
    config::Record node;
    std::string initiator_name;
};

struct BootOutcome {
    unsigned failed = 0;
    initiator::InitiatorError first_error = initiator::InitiatorError::none;
    std::vector<uint32_t> sessions;     // in the targets' order; 0 where it failed
};

enum class Repeated : bool { error, fine };     // a session that is there already

// All at once; each failure is one line on stderr, `initiator reported error (N - TEXT)`.
BootOutcome boot_login(std::vector<BootTarget> targets, Repeated repeated = Repeated::error);

}  // namespace iscsi::applets
