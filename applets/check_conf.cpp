#include "applets/check_conf.h"

#include <cstdio>

#include "core/mgmt/conf_check.h"

namespace iscsi::applets {

int check_targets_conf(const std::string& path) {
    const config::ConfModel model = mgmt::checked_targets_conf(path);
    for (const auto& m : model.mistakes) std::fprintf(stderr, "%s\n", m.message().c_str());
    return model.mistakes.empty() ? 0 : model.fatal() ? model.fatal()->exit_code : 1;
}

}  // namespace iscsi::applets
