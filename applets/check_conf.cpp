#include "applets/check_conf.h"

#include <cstdio>

#include "core/config/targets_model.h"
#include "core/mgmt/tgt_params.h"

namespace iscsi::applets {

int check_targets_conf(const std::string& path) {
    config::ConfModel model = config::model_of(config::read_targets_conf(path));
    for (const auto& t : model.targets) {           // the daemon's own rules for parameters
        target::TargetConfig scratch;
        mgmt::InertKeys inert;
        for (const auto& [name, value] : t.parameters)
            if (!mgmt::set_target_parameter(scratch, inert, name, value))
                model.mistakes.push_back({t.parameter_places.at(name), "'" + name + "' cannot be '" + value + "'", false, 0});
    }
    for (const auto& m : model.mistakes) std::fprintf(stderr, "%s\n", m.message().c_str());
    return model.mistakes.empty() ? 0 : model.fatal() ? model.fatal()->exit_code : 1;
}

}  // namespace iscsi::applets
