// The names that `tgtadm --mode target --op update` knows and `--op show --tid` lists, in tgt's order, with their values
// in a TargetConfig.
#pragma once
#include <map>
#include <string>
#include <string_view>

#include "core/target/target.h"

namespace iscsi::mgmt {

// Values of keys without effect on TCP: markers and iSER's. Absent: the default.
using InertKeys = std::map<std::string, std::string>;

// Sets one name; false if name or value is not admissible. iSCSI keys without regard to case, tgt's own names exactly.
bool set_target_parameter(target::TargetConfig& config, InertKeys& inert, std::string_view name, const std::string& value);

// Name and value of each iSCSI key, in order.
std::vector<std::pair<std::string, std::string>> target_parameters(const target::TargetConfig& config, const InertKeys& inert);

}  // namespace iscsi::mgmt
