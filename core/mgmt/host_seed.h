// Text that is this host's alone and the same after a restart: what makes identifiers of logical units differ between
// hosts. Empty if the host has nothing of the kind.
#pragma once
#include <string>

namespace iscsi::mgmt {

// /etc/machine-id, else the board's UUID, else the first network device's address.
std::string host_seed();

}  // namespace iscsi::mgmt
