// iscsiadm -m fw: the boot targets that the firmware knows (iBFT).
#include "applets/iscsiadm/iscsiadm.h"
#include "core/config/firmware.h"

namespace iscsi::applets::iscsiadm {
namespace {

std::vector<Record> firmware_nodes(Tool& tool, const config::Firmware& firmware) {
    Record base = tool.conf.new_record(Kind::node);
    if (auto iface = tool.db.iface("default")) config::bind_iface(base, *iface);
    std::vector<Record> nodes;
    for (const auto& target : firmware.targets) {
        Record node = config::firmware_node(firmware, target, base);
        for (const auto& [key, value] : tool.request.params)
            if (node.set(std::string_view(key), value) != Record::Set::ok) tool.error("Unknown parameter %s.", key.c_str());
        nodes.push_back(std::move(node));
    }
    return nodes;
}

}  // namespace

int fw_mode(Tool& tool) {
    auto firmware = config::read_firmware(tool.sysfs.root());
    if (!firmware || firmware->targets.empty()) {
        tool.error("Could not get list of targets from firmware. (err %d)", int(InitiatorError::no_objects_found));
        return int(InitiatorError::no_objects_found);
    }
    if (!tool.request.login) {
        if (tool.request.json) print_nodes_json(tool, firmware_nodes(tool, *firmware), true);
        else tool.print_text(config::firmware_text(*firmware));
        return 0;
    }
    return login_nodes(tool, firmware_nodes(tool, *firmware), false, false);
}

}  // namespace iscsi::applets::iscsiadm
