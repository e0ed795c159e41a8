// tgt-admin --check and tgtd --check.
#pragma once
#include <string>

namespace iscsi::applets {

// Names each mistake of a targets.conf on stderr, a line each: FILE:LINE:COLUMN and what was meant. The exit code.
int check_targets_conf(const std::string& path);

}  // namespace iscsi::applets
