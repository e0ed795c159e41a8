#include "core/mgmt/conf_check.h"

#include "core/mgmt/tgt_params.h"

namespace iscsi::mgmt {

config::ConfModel checked_targets_conf(const std::string& path) {
    config::ConfModel model = config::model_of(config::read_targets_conf(path));
    for (const auto& t : model.targets) {
        target::TargetConfig scratch;
        InertKeys inert;
        for (const auto& [name, value] : t.parameters)
            if (!set_target_parameter(scratch, inert, name, value))
                model.mistakes.push_back({t.parameter_places.at(name), "'" + name + "' cannot be '" + value + "'", false, 0});
    }
    return model;
}

}  // namespace iscsi::mgmt
