// targets.conf, checked without a daemon: syntax, sense, and the daemon's own rules for parameters.
#pragma once
#include <string>

#include "core/config/targets_model.h"

namespace iscsi::mgmt {

// What the file says; every mistake is in `mistakes`.
config::ConfModel checked_targets_conf(const std::string& path);

}  // namespace iscsi::mgmt
